package mapping

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"induct/internal/expr"
	"induct/internal/scim"
)

// objectFilter is a target that nothing is written to: its expression decides, with IgnoreObjectFlow, about the record.
const objectFilter = "objectFilter"

// anchorName is the source anchor of every record.
const anchorName = "externalId"

// input is one source attribute that a Program reads; its place in Program.inputs is its slot.
type input struct {
	Attribute
	order    int // in the source object; attributes that the schema does not know come last
	mapped   bool
	scoped   bool
	redacted bool
}

// rule is a compiled AttributeMapping.
type rule struct {
	target      Attribute
	text        string        // the expression, for sentences
	expr        *expr.Program // nil if slot is read as it is, or there is no source
	slot        int           // the attribute that flows as it is; -1 with expr or without source
	reads       []int         // slots that expr reads
	byDefault   expr.Value
	priority    int
	createOnly  bool
	redacted    bool
	readsActive bool
}

// compiler collects problems; there is one per Compile.
type compiler struct {
	problems       []SchemaProblem
	source, target *Object
	inputs         []input
	rules          []rule
}

func (c *compiler) fail(place, format string, args ...any) {
	path, name, _ := strings.Cut(place, " (")
	c.problems = append(c.problems, SchemaProblem{Path: path, Name: strings.TrimSuffix(name, ")"), Message: fmt.Sprintf(format, args...)})
}

// Compile checks a schema and makes the Program that evaluates records by it. The schema must have exactly one
// enabled object mapping. The error is a *SchemaError with every problem that was found.
func Compile(s *Schema, set Settings) (*Program, error) {
	c := &compiler{}
	place, om := c.pick(s)
	if om == nil {
		return nil, &SchemaError{c.problems}
	}
	c.mappings(place, om)
	filter := c.filter(place+".scope", om.Scope)
	p := &Program{
		set:    set,
		flow:   om.FlowTypes,
		rules:  c.rules,
		scope:  filter,
		anchor: c.slot(anchorName), active: c.slot("active"), userName: c.slot("userName"),
		displayName: c.slot("displayName"), givenName: c.slot("name.givenName"), familyName: c.slot("name.familyName"),
	}
	p.inputs = c.inputs
	p.inputs[p.anchor].mapped = true // the engine itself reads it
	for i := range p.rules {
		p.rules[i].readsActive = p.rules[i].slot == p.active || slices.Contains(p.rules[i].reads, p.active)
	}
	reader, err := scim.CompilePaths(c.paths())
	if err != nil {
		c.fail(place, "a source attribute cannot be read: %v", err)
	}
	if len(c.problems) > 0 {
		return nil, &SchemaError{c.problems}
	}
	p.reader = reader
	p.finish(s)
	return p, nil
}

// pick returns the enabled object mapping and its place, and sets the objects that it maps.
func (c *compiler) pick(s *Schema) (place string, om *ObjectMapping) {
	var from *Rule
	for i := range s.Rules {
		for j := range s.Rules[i].ObjectMappings {
			m := &s.Rules[i].ObjectMappings[j]
			at := fmt.Sprintf("synchronizationRules[%d].objectMappings[%d]", i, j)
			switch {
			case !m.Enabled:
			case om != nil:
				c.fail(at, "a job provisions one type of object; disable this object mapping or the one at %s", place)
			default:
				place, om, from = at, m, &s.Rules[i]
			}
		}
	}
	if om == nil {
		c.fail("synchronizationRules", "no object mapping is enabled; enable one")
		return "", nil
	}
	c.source = c.object(s, place+".sourceObjectName", from.SourceDirectoryName, om.SourceObjectName)
	c.target = c.object(s, place+".targetObjectName", from.TargetDirectoryName, om.TargetObjectName)
	if c.source == nil || c.target == nil {
		return place, nil
	}
	return place, om
}

func (c *compiler) object(s *Schema, place, directory, object string) *Object {
	for i := range s.Directories {
		if s.Directories[i].Name != directory {
			continue
		}
		for j := range s.Directories[i].Objects {
			if o := &s.Directories[i].Objects[j]; o.Name == object {
				return o
			}
		}
		c.fail(place, "the directory %q has no object %q", directory, object)
		return nil
	}
	c.fail(place, "the schema has no directory %q", directory)
	return nil
}

// attribute finds a definition by name; the exact spelling wins over one that differs in case.
func (o *Object) attribute(name string) int {
	if i := slices.IndexFunc(o.Attributes, func(a Attribute) bool { return a.Name == name }); i >= 0 {
		return i
	}
	return slices.IndexFunc(o.Attributes, func(a Attribute) bool { return strings.EqualFold(a.Name, name) })
}

// slot returns where a source attribute is read, whether or not the schema knows it.
func (c *compiler) slot(name string) int {
	a, order := Attribute{Name: name}, len(c.source.Attributes)
	if i := c.source.attribute(name); i >= 0 {
		a, order = c.source.Attributes[i], i
	} else if name == "active" {
		a.Type = "Boolean"
	}
	if i := slices.IndexFunc(c.inputs, func(in input) bool { return strings.EqualFold(in.Name, a.Name) }); i >= 0 {
		return i
	}
	c.inputs = append(c.inputs, input{Attribute: a, order: order})
	return len(c.inputs) - 1
}

// known is slot for a name that the schema must know.
func (c *compiler) known(name string) (int, error) {
	if c.source.attribute(name) < 0 {
		return 0, fmt.Errorf("the source object %q has no attribute %q; add it to the object or correct the name", c.source.Name, name)
	}
	return c.slot(name), nil
}

// paths lists where the inputs stand in a record. A reference is named without its sub-attribute value.
func (c *compiler) paths() []string {
	names := make([]string, len(c.inputs))
	for i, in := range c.inputs {
		names[i] = in.Name
	}
	return names
}

func (c *compiler) mappings(place string, om *ObjectMapping) {
	targets, priorities := map[string]int{}, map[int]string{}
	for i := range om.AttributeMappings {
		m := &om.AttributeMappings[i]
		at := fmt.Sprintf("%s.attributeMappings[%d] (%s)", place, i, m.TargetAttributeName)
		if first, ok := targets[strings.ToLower(m.TargetAttributeName)]; ok {
			c.fail(at, "the target attribute is mapped twice; remove this mapping or attributeMappings[%d]", first)
			continue
		}
		targets[strings.ToLower(m.TargetAttributeName)] = i
		if other, ok := priorities[m.MatchingPriority]; ok && m.MatchingPriority > 0 {
			c.fail(at, "the matching priority %d is taken by %s", m.MatchingPriority, other)
		}
		priorities[m.MatchingPriority] = m.TargetAttributeName
		c.mapping(at, m)
	}
	delete(priorities, 0)
	if len(priorities) == 0 {
		c.fail(place, "no attribute mapping is a matching attribute; give one a matchingPriority of 1")
	}
}

func (c *compiler) mapping(at string, m *AttributeMapping) {
	r := rule{slot: -1, text: m.Expression, priority: m.MatchingPriority}
	switch t := c.target.attribute(m.TargetAttributeName); {
	case t >= 0:
		r.target = c.target.Attributes[t]
	case m.TargetAttributeName == objectFilter:
		r.target = Attribute{Name: objectFilter}
	default:
		c.fail(at, "the target object %q has no such attribute; add it to the object or correct the name", c.target.Name)
		return
	}
	c.flow(at, m, &r)
	if m.Expression == "" && m.DefaultValue == nil {
		c.fail(at, "there is neither a source nor a default value; give one")
		return
	}
	if m.Expression != "" && !c.expression(at, m.Expression, &r) {
		return
	}
	c.checkKind(at, m, &r)
	if m.DefaultValue != nil {
		v, bad := r.target.fit(expr.Text(*m.DefaultValue))
		if bad != nil {
			c.fail(at, "the default value does not fit: %s", bad.reason)
		}
		r.byDefault = v
	}
	r.redacted = r.redacted || r.target.Mutability == "WriteOnly" || strings.HasPrefix(r.target.Name, "CSA.")
	c.rules = append(c.rules, r)
}

func (c *compiler) flow(at string, m *AttributeMapping, r *rule) {
	switch m.FlowType {
	case "", "Always":
	case "ObjectAddOnly":
		r.createOnly = true
	default:
		c.fail(at, "the flowType %q is not supported; use Always or ObjectAddOnly", m.FlowType)
	}
	switch m.FlowBehavior {
	case "", "FlowWhenChanged", "FlowAlways":
	default:
		c.fail(at, "there is no flowBehavior %q; use FlowWhenChanged or FlowAlways", m.FlowBehavior)
	}
}

// checkKind checks what a mapping may do with a target attribute of its kind.
func (c *compiler) checkKind(at string, m *AttributeMapping, r *rule) {
	if r.target.Anchor || r.target.Mutability == "ReadOnly" {
		c.fail(at, "the target sets this attribute itself; remove the mapping")
	}
	if m.MatchingPriority < 0 {
		c.fail(at, "the matchingPriority %d is negative; use 0 for none, else 1, 2, …", m.MatchingPriority)
	}
	if m.MatchingPriority > 0 && (r.target.MultiValued || r.target.Type == "Reference" || r.target.Name == objectFilter || r.target.Mutability == "WriteOnly") {
		c.fail(at, "people cannot be matched by this attribute; use a text attribute with one value")
	}
	if r.target.Type != "Reference" {
		return
	}
	if r.slot < 0 {
		c.fail(at, "a reference must be mapped from a plain attribute such as [manager], without functions and constants")
	} else if in := c.inputs[r.slot]; in.MultiValued || in.Type != "Reference" && in.Type != "String" && in.Type != "" {
		c.fail(at, "a reference must be mapped from one Reference or String, and %s is another", in.Name)
	}
	if m.DefaultValue != nil {
		c.fail(at, "a reference cannot have a default value")
	}
}

// expression compiles the source of a mapping; false means that it failed. A plain attribute is read without
// the expression's machinery.
func (c *compiler) expression(at, src string, r *rule) bool {
	read := map[int]bool{}
	prog, err := expr.Compile(src, expr.Env{Salt: r.target.Name, Attribute: func(name string) (int, error) {
		slot, err := c.known(name)
		if err == nil {
			read[slot] = true
		}
		return slot, err
	}})
	if err != nil {
		c.fail(at, "%s", expressionProblem(err))
		return false
	}
	if prog.Unique() {
		c.fail(at, "SelectUniqueValue is not supported yet: values cannot be probed in this target")
		return false
	}
	r.redacted = prog.Redacted()
	r.reads = slices.Sorted(maps.Keys(read))
	for _, slot := range r.reads {
		c.inputs[slot].mapped = true
		c.inputs[slot].redacted = c.inputs[slot].redacted || r.redacted
	}
	if plain(prog) {
		r.slot, r.reads = r.reads[0], nil
		return true
	}
	r.expr = prog
	return true
}

func expressionProblem(err error) string {
	var e *expr.Error
	if errors.As(err, &e) {
		return "the expression is wrong at character " + strconv.Itoa(e.Pos+1) + ": " + e.Msg
	}
	return "the expression is wrong: " + err.Error()
}

// plain reports whether an expression is one attribute and nothing else.
func plain(p *expr.Program) bool {
	names := p.Attributes()
	return len(names) == 1 && p.String() == "["+names[0]+"]"
}

func (c *compiler) filter(place string, f *Filter) scope {
	if f == nil {
		return nil
	}
	out := make(scope, 0, len(f.Groups))
	for i, g := range f.Groups {
		if len(g.Clauses) == 0 {
			c.fail(fmt.Sprintf("%s.groups[%d]", place, i), "the group has no clause, so everybody would be in scope; add a clause or remove the group")
		}
		clauses := make([]clause, 0, len(g.Clauses))
		for j, cl := range g.Clauses {
			at := fmt.Sprintf("%s.groups[%d].clauses[%d] (%s)", place, i, j, cl.SourceOperandName)
			slot, err := c.known(cl.SourceOperandName)
			if err != nil {
				c.fail(at, "%v", err)
				continue
			}
			compiled, err := compileClause(g.Name, cl, &c.inputs[slot].Attribute, slot)
			if err != nil {
				c.fail(at, "%v", err)
				continue
			}
			c.inputs[slot].scoped = true
			clauses = append(clauses, compiled)
		}
		out = append(out, clauses)
	}
	return out
}

// finish derives what Evaluate and the accessors need.
func (p *Program) finish(s *Schema) {
	for i, r := range p.rules {
		if r.priority > 0 {
			p.matching = append(p.matching, i)
		}
		p.volatile = p.volatile || r.expr != nil && r.expr.Volatile()
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
