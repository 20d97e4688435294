package mapping

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"induct/internal/expr"
	"induct/internal/scim"
)

// objectFilter is a target that nothing is written to: its expression decides, with IgnoreObjectFlow, about the record.
const objectFilter = "objectFilter"

// anchorName is the source anchor of every record.
const anchorName = "externalId"

// activeName is the source attribute that a record should never lack.
const activeName = "active"

// Bounds of a schema. A larger one is refused.
const (
	maxProblems   = 100
	maxMappings   = 1000
	maxGroups     = 200
	maxClauses    = 200
	maxAttributes = 10_000
	maxNameLength = 512
	maxExpression = 4 * expr.MaxLength // bytes of an expression that a problem repeats
)

// input is one source attribute that a Program reads; its place in Program.inputs is its slot.
type input struct {
	Attribute
	holder   int // 1 + the place in Program.holders of what the attribute is part of; 0 if that does not matter
	order    int // in the source object; attributes that the schema does not know come last
	mapped   bool
	scoped   bool
	redacted bool
}

// rule is a compiled AttributeMapping.
type rule struct {
	target    Attribute
	place     place
	mapping   *AttributeMapping
	kind      MappingType
	text      string        // the expression, for sentences
	expr      *expr.Program // nil if slot is read as it is, or there is no source
	slot      int           // the attribute that flows as it is; -1 with expr or without source
	reads     []int         // slots that the source reads
	byDefault expr.Value
	priority  int
	unique    bool
	filter    bool // the target is objectFilter
	reference bool // the target is one
	plain     bool // the target is a single text, of at most most characters
	most      int
	flow      Flow // as far as it is the same for every record

	createOnly, whenEmpty, addValues, always bool // as in Flow
	flowNull                                 bool // nothing removes what stands in the target
	redacted                                 bool
	readsActive                              bool
}

// place is where something stands in a schema.
type place struct{ path, name string }

func (at place) member(name string) place { return place{at.path + "." + name, at.name} }

// compiler collects problems; there is one per Compile.
type compiler struct {
	problems       []SchemaProblem
	schema         *Schema
	mapped         *ObjectMapping // the one that is compiled
	at             place          // where it stands
	source, target *Object
	targets        *Directory // that target is in
	from, to       index      // of source and target
	known          []string   // the names of the source's attributes
	inputs         []input
	slots          map[string]int // of inputs, by name in lower case
	rules          []rule
	holders        []string
}

func (c *compiler) fail(at place, advice, format string, args ...any) {
	c.add(SchemaProblem{Path: at.path, Name: at.name, Message: fmt.Sprintf(format, args...), Advice: advice})
}

func (c *compiler) add(p SchemaProblem) {
	if c.full() {
		return
	}
	if p.Name = shorten(p.Name, maxShown); len(p.Expression) > maxExpression {
		p.Expression, p.Pos, p.End = "", 0, 0
	}
	c.problems = append(c.problems, p)
}

// full reports whether more problems would not be told.
func (c *compiler) full() bool { return len(c.problems) >= maxProblems }

// Compile checks a schema and makes the Program that evaluates records by it. The schema must have exactly one
// enabled object mapping. The error is a *SchemaError with every problem that was found, at most 100.
func Compile(s *Schema, set Settings) (*Program, error) {
	c, p := compile(s, set)
	if len(c.problems) > 0 {
		return nil, &SchemaError{c.problems, c.full()}
	}
	return p, nil
}

// compile is Compile for Lint, too, which looks at what was compiled. The Program is nil if there are problems.
func compile(s *Schema, set Settings) (*compiler, *Program) {
	c := &compiler{schema: s, slots: map[string]int{}}
	c.definitions()
	at, om := c.pick()
	if om == nil {
		return c, nil
	}
	c.at, c.mapped = at, om
	c.anchor(at)
	c.mappings(at, om)
	in, out := c.filters(at.member("scope"), om.Scope)
	p := &Program{
		set:    set,
		flow:   om.FlowTypes,
		rules:  c.rules,
		input:  in,
		scope:  out,
		anchor: c.slot(anchorName), active: c.slot(activeName), userName: c.slot("userName"),
		displayName: c.slot("displayName"), givenName: c.slot("name.givenName"), familyName: c.slot("name.familyName"),
	}
	p.inputs = c.inputs
	p.inputs[p.anchor].mapped = true // the engine itself reads it
	c.redact(p)
	for i := range p.rules {
		p.rules[i].readsActive = slices.Contains(p.rules[i].reads, p.active)
	}
	var err error
	if p.reader, err = scim.CompilePaths(c.paths()); err != nil {
		c.fail(at, "correct its name", "a source attribute cannot be read: %v", err)
	} else if p.holders, err = scim.CompilePaths(c.holders); err != nil {
		c.fail(at, "", "a source attribute cannot be read: %v", err)
	}
	if len(c.problems) > 0 {
		return c, nil
	}
	p.finish(s)
	return c, p
}

// pick returns the enabled object mapping and its place, and sets the objects that it maps; nil if there is none.
func (c *compiler) pick() (at place, om *ObjectMapping) {
	var from *Rule
	var fromPath string
	for i := range c.schema.Rules {
		path := fmt.Sprintf("synchronizationRules[%d]", i)
		for j := range c.schema.Rules[i].ObjectMappings {
			m := &c.schema.Rules[i].ObjectMappings[j]
			here := place{path: fmt.Sprintf("%s.objectMappings[%d]", path, j)}
			switch {
			case !m.Enabled:
			case om == nil:
				at, om, from, fromPath = here, m, &c.schema.Rules[i], path
			default:
				c.fail(here, "disable this object mapping or the one at "+at.path, "a job provisions one type of object, and two object mappings are enabled")
			}
		}
	}
	if om == nil {
		c.fail(place{path: "synchronizationRules"}, "enable one", "no object mapping is enabled")
		return at, nil
	}
	source := c.directory(place{path: fromPath + ".sourceDirectoryName"}, from.SourceDirectoryName)
	c.targets = c.directory(place{path: fromPath + ".targetDirectoryName"}, from.TargetDirectoryName)
	if source == nil || c.targets == nil {
		return at, nil
	}
	c.source = c.object(at.member("sourceObjectName"), source, om.SourceObjectName)
	c.target = c.object(at.member("targetObjectName"), c.targets, om.TargetObjectName)
	if c.source == nil || c.target == nil {
		return at, nil
	}
	c.from, c.to, c.known = indexed(c.source), indexed(c.target), c.source.names()
	return at, om
}

func (c *compiler) directory(at place, name string) *Directory {
	var names []string
	for i := range c.schema.Directories {
		if c.schema.Directories[i].Name == name {
			return &c.schema.Directories[i]
		}
		names = append(names, c.schema.Directories[i].Name)
	}
	c.fail(at, oneOf(names, "the directories are"), "the schema has no directory %s", quote(name))
	return nil
}

func (c *compiler) object(at place, d *Directory, name string) *Object {
	var names []string
	for i := range d.Objects {
		if d.Objects[i].Name == name {
			return &d.Objects[i]
		}
		names = append(names, d.Objects[i].Name)
	}
	c.fail(at, oneOf(names, "its objects are"), "the directory %s has no object %s", quote(d.Name), quote(name))
	return nil
}

// oneOf lists the names that there are, if they are few.
func oneOf(names []string, are string) string {
	if len(names) == 0 || len(names) > 10 {
		return "correct the name"
	}
	return are + " " + strings.Join(names, ", ")
}

func (o *Object) names() []string {
	names := make([]string, len(o.Attributes))
	for i := range o.Attributes {
		names[i] = o.Attributes[i].Name
	}
	return names
}

// index finds the attributes of an object by name.
type index struct{ exact, folded map[string]int }

func indexed(o *Object) index {
	x := index{make(map[string]int, len(o.Attributes)), make(map[string]int, len(o.Attributes))}
	for i := len(o.Attributes) - 1; i >= 0; i-- { // the first of a name counts
		x.exact[o.Attributes[i].Name] = i
		x.folded[strings.ToLower(o.Attributes[i].Name)] = i
	}
	return x
}

// at returns where an attribute is defined; the exact spelling wins over one that differs in case.
func (x index) at(name string) (i int, ok bool) {
	if i, ok = x.exact[name]; !ok {
		i, ok = x.folded[strings.ToLower(name)]
	}
	return i, ok
}

// targetAttribute finds the definition of a mapping's target. Extension attributes of the directory need none: they are texts.
func (c *compiler) targetAttribute(name string) (Attribute, bool) {
	switch i, ok := c.to.at(name); {
	case ok:
		return c.target.Attributes[i], true
	case name == objectFilter:
		return Attribute{Name: objectFilter}, true
	case directoryExtension.MatchString(name):
		return Attribute{Name: name, Type: "String", CaseExact: true, MaxLength: 256}, true
	}
	return Attribute{}, false
}

// directoryExtension is the name of a directory extension (Microsoft Graph, "Add custom data to resources using
// extensions"): extension, the application's id without hyphens, the attribute's own name.
var directoryExtension = regexp.MustCompile(`^extension_[0-9a-fA-F]{32}_[A-Za-z0-9_]{1,60}$`)

// slot returns where a source attribute is read, whether or not the schema knows it.
func (c *compiler) slot(name string) int {
	a, order := Attribute{Name: name}, len(c.source.Attributes)
	if i, ok := c.from.at(name); ok {
		a, order = c.source.Attributes[i], i
	} else if name == activeName {
		a.Type = "Boolean"
	}
	key := strings.ToLower(a.Name)
	i, ok := c.slots[key]
	if !ok {
		i = len(c.inputs)
		c.slots[key] = i
		c.inputs = append(c.inputs, input{Attribute: a, order: order})
	}
	return i
}

// paths lists where the inputs stand in a record. A reference is named without its sub-attribute value.
func (c *compiler) paths() []string {
	names := make([]string, len(c.inputs))
	for i, in := range c.inputs {
		names[i] = in.Name
	}
	return names
}

func (c *compiler) mappings(at place, om *ObjectMapping) {
	if n := len(om.AttributeMappings); n > maxMappings {
		c.fail(at.member("attributeMappings"), "", "there are %d attribute mappings; at most %d are allowed", n, maxMappings)
		return
	}
	targets, priorities := map[string]int{}, map[int]string{}
	for i := range om.AttributeMappings {
		if c.full() {
			return
		}
		m := &om.AttributeMappings[i]
		here := place{fmt.Sprintf("%s.attributeMappings[%d]", at.path, i), m.TargetAttributeName}
		if first, ok := targets[strings.ToLower(m.TargetAttributeName)]; ok {
			c.fail(here, fmt.Sprintf("remove this mapping or attributeMappings[%d]", first), "the target attribute is mapped twice")
			continue
		}
		targets[strings.ToLower(m.TargetAttributeName)] = i
		if other, ok := priorities[m.MatchingPriority]; ok && m.MatchingPriority > 0 {
			c.fail(here, "give each matching attribute a number of its own, in the order in which to try them",
				"the matching priority %d is taken by %s", m.MatchingPriority, other)
		}
		priorities[m.MatchingPriority] = m.TargetAttributeName
		c.mapping(here, m)
	}
	delete(priorities, 0)
	if len(priorities) == 0 {
		c.fail(at.member("attributeMappings"), "give one a matchingPriority of 1", "no attribute mapping is a matching attribute")
	}
}

func (c *compiler) mapping(at place, m *AttributeMapping) {
	r := rule{place: at, mapping: m, slot: -1, text: strings.TrimSpace(m.Expression), priority: m.MatchingPriority}
	var ok bool
	if r.target, ok = c.targetAttribute(m.TargetAttributeName); !ok {
		advice := "correct the name, or add it to the object's attributes"
		if near := expr.Nearest(m.TargetAttributeName, c.target.names()); near != "" {
			advice = "did you mean " + near + "? Else add it to the object's attributes"
		}
		c.fail(at.member("targetAttributeName"), advice, "the target object %s has no such attribute", quote(c.target.Name))
		return
	}
	r.filter, r.reference = r.target.Name == objectFilter, r.target.Type == "Reference"
	byDefault := m.DefaultValue
	if byDefault == nil {
		byDefault = r.target.DefaultValue
	}
	if r.text == "" && byDefault == nil {
		c.fail(at, "give one", "there is neither a source nor a default value")
		return
	}
	if r.kind = m.Type(); r.text != "" && !c.expression(at, &r) {
		return
	}
	c.checkFlow(at, &r)
	c.checkKind(at, &r)
	if byDefault != nil && !r.reference {
		v, bad := r.target.fit(expr.Text(*byDefault))
		if bad != nil {
			c.fail(at.member("defaultValue"), "write another one", "the default value does not fit: %s", bad.reason)
		}
		r.byDefault = v
	}
	r.plain = !r.target.MultiValued && (r.target.Type == "" || r.target.Type == "String")
	r.most = r.target.most()
	c.rules = append(c.rules, r)
}

// expression compiles the source of a mapping; false means that it failed. A plain attribute is read without
// the expression's machinery.
func (c *compiler) expression(at place, r *rule) bool {
	prog, err := expr.Compile(r.text, expr.Env{Known: c.known, Salt: r.target.Name, Attribute: func(name string) (int, error) {
		if _, ok := c.from.at(name); !ok {
			return 0, fmt.Errorf("the source object %q has no attribute %q", c.source.Name, name)
		}
		return c.slot(name), nil
	}})
	if err != nil {
		c.add(expressionProblem(at.member("source"), r.text, err))
		return false
	}
	for _, name := range prog.Attributes() {
		r.reads = append(r.reads, c.slot(name))
	}
	for _, name := range prog.RedactedAttributes() {
		c.inputs[c.slot(name)].redacted = true
	}
	for _, slot := range r.reads {
		c.inputs[slot].mapped = true
	}
	r.redacted = prog.Redacted()
	r.unique = prog.Unique()
	r.createOnly = r.unique
	if r.kind == Direct {
		r.slot = r.reads[0]
	} else {
		r.expr = prog
	}
	return true
}

func expressionProblem(at place, src string, err error) SchemaProblem {
	p := SchemaProblem{Path: at.path, Name: at.name, Message: "the expression is wrong: " + err.Error(), Expression: src}
	var e *expr.Error
	if errors.As(err, &e) {
		p.Message = fmt.Sprintf("the expression is wrong at character %d: %s", e.Pos+1, e.Msg)
		p.Pos, p.End = e.Offset, e.End
		if strings.HasPrefix(e.Msg, "the source object") {
			p.Advice = "else add it to the object's attributes"
			if !strings.HasSuffix(e.Msg, "?") {
				p.Advice = "correct the name, or add it to the object's attributes"
			}
		}
	}
	return p
}

// filters compiles the filters that decide who is looked at, and who is in scope.
func (c *compiler) filters(at place, f *Filter) (in, out scope) {
	if f == nil {
		return nil, nil
	}
	if len(f.CategoryGroups) > 0 {
		c.fail(at.member("categoryFilterGroups"), "move its clauses to groups", "category filters are experimental on the reference, and not evaluated here")
	}
	return c.filter(at.member("inputFilterGroups"), f.InputGroups), c.filter(at.member("groups"), f.Groups)
}

func (c *compiler) filter(at place, groups []FilterGroup) scope {
	if len(groups) > maxGroups {
		c.fail(at, "", "there are %d groups; at most %d are allowed", len(groups), maxGroups)
		return nil
	}
	out := make(scope, 0, len(groups))
	for i, g := range groups {
		here := place{fmt.Sprintf("%s[%d]", at.path, i), g.Name}
		switch n := len(g.Clauses); {
		case n == 0:
			c.fail(here, "add a clause or remove the group", "the group has no clause, so everybody would be in scope")
		case n > maxClauses:
			c.fail(here, "", "there are %d clauses; at most %d are allowed", n, maxClauses)
			continue
		}
		out = append(out, group{g.Name, c.clauses(here, g)})
	}
	return out
}

func (c *compiler) clauses(at place, g FilterGroup) []clause {
	var out []clause
	for i, cl := range g.Clauses {
		if c.full() {
			return nil
		}
		here := place{fmt.Sprintf("%s.clauses[%d]", at.path, i), cl.SourceOperandName}
		if _, ok := c.from.at(cl.SourceOperandName); !ok {
			advice := "correct the name, or add it to the object's attributes"
			if near := expr.Nearest(cl.SourceOperandName, c.known); near != "" {
				advice = "did you mean " + near + "? Else add it to the object's attributes"
			}
			c.fail(here.member("sourceOperandName"), advice, "the source object %s has no such attribute", quote(c.source.Name))
			continue
		}
		slot := c.slot(cl.SourceOperandName)
		compiled, err := compileClause(g.Name, cl, &c.inputs[slot].Attribute, slot)
		if err != nil {
			c.fail(here, "", "%v", err)
			continue
		}
		c.inputs[slot].scoped = true
		out = append(out, compiled)
	}
	return out
}

// redact masks what is read under Redact wherever it is shown, and what flows into a secret target unless it flows
// into another one openly.
func (c *compiler) redact(p *Program) {
	p.inputs[p.anchor].redacted = false // it names the record everywhere
	for i := range p.rules {
		r := &p.rules[i]
		r.redacted = r.redacted || slices.ContainsFunc(r.reads, func(slot int) bool { return p.inputs[slot].redacted })
	}
	open := map[int]bool{p.anchor: true}
	for i := range p.rules {
		if r := &p.rules[i]; !r.redacted && !r.secret() {
			for _, slot := range r.reads {
				open[slot] = true
			}
		}
	}
	for i := range p.rules {
		r := &p.rules[i]
		if r.redacted = r.redacted || r.secret(); !r.secret() {
			continue
		}
		for _, slot := range r.reads {
			p.inputs[slot].redacted = p.inputs[slot].redacted || !open[slot]
		}
	}
}

// secret reports whether the values of the target are not for logs: passwords, and custom security attributes
// (Microsoft Learn, "Provision custom security attributes from HR sources").
func (r *rule) secret() bool {
	return r.target.Mutability == "WriteOnly" || strings.HasPrefix(r.target.Name, "CSA.")
}

// finish derives what Evaluate and the accessors need.
func (p *Program) finish(s *Schema) {
	for i := range p.rules {
		r := &p.rules[i]
		r.flow = Flow{Attribute: r.target.Name, CreateOnly: r.createOnly, WhenEmpty: r.whenEmpty, AddValues: r.addValues, Always: r.always,
			CaseExact: r.target.CaseExact, Redacted: r.redacted}
		if r.priority > 0 {
			p.matching = append(p.matching, i)
		}
		p.volatile = p.volatile || r.volatile()
	}
	slices.SortFunc(p.matching, func(a, b int) int { return cmp.Compare(p.rules[a].priority, p.rules[b].priority) })
	for i := range p.inputs {
		if p.inputs[i].mapped {
			p.imported = append(p.imported, i)
		}
	}
	slices.SortStableFunc(p.imported, func(a, b int) int { return cmp.Compare(p.inputs[a].order, p.inputs[b].order) })
	p.id = fingerprint(s, p.set)
}

// volatile reports whether the rule can decide otherwise about an object that is there already.
func (r *rule) volatile() bool {
	if r.expr == nil || !r.expr.Volatile() {
		return false
	}
	return !r.createOnly || strings.Contains(r.expr.String(), "IgnoreObjectFlow")
}

// fingerprint hashes what a schema and settings mean, not what they are called.
func fingerprint(s *Schema, set Settings) uint64 {
	h := sha256.New()
	// Plain structs of strings, numbers and slices always encode.
	_ = json.NewEncoder(h).Encode(struct {
		Rules       []Rule
		Directories []Directory
		Settings    Settings
	}{s.Rules, s.Directories, set})
	return binary.BigEndian.Uint64(h.Sum(nil))
}
