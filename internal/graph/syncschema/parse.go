package syncschema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"induct/internal/mapping"
)

// maxProblems is how many problems one error lists.
const maxProblems = 50

// parser collects problems; there is one per body.
type parser struct {
	problems []mapping.SchemaProblem
	weight   int // bytes that the expressions have when they are written with all of their parts
}

// read takes a body apart and hands it to parse.
func read[T any](body []byte, path string, parse func(*parser, *value) *T) (*T, error) {
	var p parser
	v, err := scan(body)
	if err != nil {
		p.fail(path, err.Error(), "")
		return nil, &mapping.SchemaError{Problems: p.problems}
	}
	result := parse(&p, &v)
	if len(p.problems) > 0 {
		return nil, &mapping.SchemaError{Problems: p.problems, Cut: len(p.problems) == maxProblems}
	}
	return result, nil
}

func (p *parser) fail(path, message, advice string) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, mapping.SchemaProblem{Path: path, Message: message, Advice: advice})
	}
}

// reader reads the members of one object.
type reader struct {
	*parser
	path  string
	v     *value
	taken []bool // by member
}

// object returns a reader of v. Something else than an object is a problem, and reads as an empty one.
func (p *parser) object(path string, v *value) *reader {
	r := &reader{parser: p, path: path, v: v, taken: make([]bool, len(v.members))}
	if v.kind != '{' {
		p.fail(path, "expected an object, found "+v.what(), "")
	}
	seen := make(map[string]bool, len(v.members))
	for i := range v.members {
		name := strings.ToLower(v.members[i].name)
		if seen[name] {
			p.fail(r.at(v.members[i].name), "the member stands twice", "send it once")
		}
		seen[name] = true
	}
	return r
}

// at returns the path of a member.
func (r *reader) at(name string) string {
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	if r.path == "" {
		return name
	}
	return r.path + "." + name
}

// member returns the value of a member; nil if it is missing or null.
func (r *reader) member(name string) *value {
	for i := range r.v.members {
		if m := &r.v.members[i]; m.is(name) {
			r.taken[i] = true
			if m.value.kind == 'n' {
				return nil
			}
			return &m.value
		}
	}
	return nil
}

// typed is member for a value of one kind; one of another kind is a problem.
func (r *reader) typed(name string, kind byte, want string) *value {
	v := r.member(name)
	if v != nil && v.kind != kind {
		r.fail(r.at(name), "expected "+want+", found "+v.what(), "")
		return nil
	}
	return v
}

func (r *reader) optional(name string) *string {
	if v := r.typed(name, '"', "a string"); v != nil {
		return &v.text
	}
	return nil
}

func (r *reader) text(name string) string {
	if s := r.optional(name); s != nil {
		return *s
	}
	return ""
}

// needed is text for what has no meaning without it.
func (r *reader) needed(name string) string {
	v := r.member(name)
	s := r.text(name)
	if s == "" && r.v.kind == '{' && (v == nil || v.kind == '"') {
		r.fail(r.at(name), "expected a name, found none", "")
	}
	return s
}

func (r *reader) flag(name string, usual bool) bool {
	if v := r.typed(name, 't', "true or false"); v != nil {
		return v.truth
	}
	return usual
}

func (r *reader) number(name string) int {
	v := r.typed(name, '0', "a whole number")
	if v == nil {
		return 0
	}
	n, err := strconv.ParseInt(v.text, 10, 32)
	if err != nil {
		r.fail(r.at(name), "expected a whole number of at most 32 bits, found "+shown(v.text), "")
	}
	return int(n)
}

// enum reads one of names, in any case; what is missing is the first.
func (r *reader) enum(name string, names ...string) string {
	given := r.text(name)
	if given == "" {
		return names[0]
	}
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, given) }); i >= 0 {
		return names[i]
	}
	r.fail(r.at(name), "there is no "+name+" "+shown(given), "use one of "+strings.Join(names, ", "))
	return names[0]
}

// flags reads a list of names with commas, in any case.
func (r *reader) flags(name string, names ...string) []string {
	var out []string
	for part := range strings.SplitSeq(r.text(name), ",") {
		part = strings.TrimSpace(part)
		i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, part) })
		switch {
		case part == "":
		case i < 0:
			r.fail(r.at(name), "there is no flag "+shown(part), "use one or more of "+strings.Join(names, ", ")+", with commas between them")
		case !slices.Contains(out, names[i]):
			out = append(out, names[i])
		}
	}
	return out
}

// each reads an array: element is called for each of its elements.
func (r *reader) each(name string, element func(path string, v *value)) {
	v := r.typed(name, '[', "an array")
	if v == nil {
		return
	}
	path := r.at(name)
	for i := range v.elements {
		element(fmt.Sprintf("%s[%d]", path, i), &v.elements[i])
	}
}

func elements[T any](r *reader, name string, element func(path string, v *value) T) []T {
	var out []T
	r.each(name, func(path string, v *value) { out = append(out, element(path, v)) })
	return out
}

func (r *reader) texts(name string) []string {
	return elements(r, name, func(path string, v *value) string {
		if v.kind != '"' {
			r.fail(path, "expected a string, found "+v.what(), "")
		}
		return v.text
	})
}

// keyValues reads a list of keys and values; nil if it is missing or null.
func (r *reader) keyValues(name string) []mapping.KeyValue {
	out := elements(r, name, func(path string, v *value) mapping.KeyValue {
		kv := r.object(path, v)
		return mapping.KeyValue{Key: kv.needed("key"), Value: kv.text("value")}
	})
	if out == nil && r.member(name) != nil {
		out = []mapping.KeyValue{}
	}
	return out
}

// metadata is keyValues but nil for what is meant without it.
func (r *reader) metadata(usual []mapping.KeyValue) []mapping.KeyValue {
	if m := r.keyValues("metadata"); !slices.Equal(m, usual) {
		return m
	}
	return nil
}

// rest returns the members that nobody has read. OData's own are not kept.
func (r *reader) rest() mapping.Extra {
	var x mapping.Extra
	for i := range r.v.members {
		if m := &r.v.members[i]; !r.taken[i] && !strings.Contains(strings.ToLower(m.name), "@odata.") {
			x = append(x, mapping.Member{Name: m.name, Value: m.value.compact()})
		}
	}
	return x
}

func shown(s string) string {
	if n := []rune(s); len(n) > 64 {
		s = string(n[:64]) + "…"
	}
	return strconv.Quote(s)
}

// answerable refuses a schema that is larger when it is written than it may be when it is read: each part of an expression
// is written out again.
func (p *parser) answerable(s *mapping.Schema) *mapping.Schema {
	n := p.weight
	if n <= MaxSize && len(p.problems) == 0 {
		n = len(Marshal(s))
	}
	if n > MaxSize {
		p.fail("", fmt.Sprintf("the schema has at least %d bytes when it is written with all parts of its expressions; at most %d are allowed", n, MaxSize),
			"shorten the longest expressions")
	}
	return s
}

func (p *parser) schema(v *value) *mapping.Schema {
	r := p.object("", v)
	return &mapping.Schema{
		ID:          r.text("id"),
		Version:     r.text("version"),
		Rules:       elements(r, "synchronizationRules", p.rule),
		Directories: elements(r, "directories", p.directory),
		Extra:       r.rest(),
	}
}

func (p *parser) rule(path string, v *value) mapping.Rule {
	r := p.object(path, v)
	rule := mapping.Rule{
		ID:                  r.text("id"),
		Name:                r.text("name"),
		Priority:            r.number("priority"),
		Editable:            r.flag("editable", true),
		SourceDirectoryName: r.needed("sourceDirectoryName"),
		TargetDirectoryName: r.needed("targetDirectoryName"),
		ObjectMappings:      elements(r, "objectMappings", p.objectMapping),
	}
	rule.Metadata = r.metadata(rule.DefaultMetadata())
	for _, name := range []string{"containerFilter", "groupFilter"} {
		if v := r.member(name); v != nil {
			rule.Extra = append(rule.Extra, mapping.Member{Name: name, Value: v.compact()})
		}
	}
	rule.Extra = append(rule.Extra, r.rest()...)
	return rule
}

func (p *parser) objectMapping(path string, v *value) mapping.ObjectMapping {
	r := p.object(path, v)
	m := mapping.ObjectMapping{
		Name:              r.text("name"),
		Enabled:           r.flag("enabled", true),
		FlowTypes:         r.flowTypes(),
		SourceObjectName:  r.needed("sourceObjectName"),
		TargetObjectName:  r.needed("targetObjectName"),
		AttributeMappings: elements(r, "attributeMappings", p.attributeMapping),
	}
	if scope := r.member("scope"); scope != nil {
		m.Scope = p.scope(r.at("scope"), scope)
	}
	m.Metadata = r.metadata(m.DefaultMetadata())
	m.Extra = r.rest()
	return m
}

// flowTypes reads the target object actions; all of them if the member is missing.
func (r *reader) flowTypes() mapping.FlowTypes {
	if r.member("flowTypes") == nil {
		return mapping.FlowTypes{Add: true, Update: true, Delete: true}
	}
	names := r.flags("flowTypes", "Add", "Update", "Delete", "None")
	return mapping.FlowTypes{Add: slices.Contains(names, "Add"), Update: slices.Contains(names, "Update"), Delete: slices.Contains(names, "Delete")}
}

func (p *parser) scope(path string, v *value) *mapping.Filter {
	r := p.object(path, v)
	return &mapping.Filter{
		Groups:         elements(r, "groups", p.group),
		InputGroups:    elements(r, "inputFilterGroups", p.group),
		CategoryGroups: elements(r, "categoryFilterGroups", p.group),
		Extra:          r.rest(),
	}
}

func (p *parser) group(path string, v *value) mapping.FilterGroup {
	r := p.object(path, v)
	return mapping.FilterGroup{Name: r.text("name"), Clauses: elements(r, "clauses", p.clause), Extra: r.rest()}
}

func (p *parser) clause(path string, v *value) mapping.Clause {
	r := p.object(path, v)
	c := mapping.Clause{SourceOperandName: r.needed("sourceOperandName"), OperatorName: r.needed("operatorName")}
	if operand := r.member("targetOperand"); operand != nil {
		c.Values = p.object(r.at("targetOperand"), operand).texts("values")
	}
	c.Extra = r.rest()
	return c
}

func (p *parser) attributeMapping(path string, v *value) mapping.AttributeMapping {
	r := p.object(path, v)
	m := mapping.AttributeMapping{
		TargetAttributeName:     r.needed("targetAttributeName"),
		DefaultValue:            r.optional("defaultValue"),
		MatchingPriority:        r.number("matchingPriority"),
		FlowType:                r.flowType(),
		FlowBehavior:            r.enum("flowBehavior", "FlowWhenChanged", "FlowAlways"),
		ExportMissingReferences: r.flag("exportMissingReferences", false),
		FlowNullValues:          r.flag(perMapping, false),
	}
	if source := r.member("source"); source != nil {
		m.Expression = p.expression(r.at("source"), source)
	}
	m.Extra = r.rest()
	if r.member("flowNullValues") != nil { // it is kept as well: it comes back as it was sent
		m.FlowNullValues = r.flag("flowNullValues", false)
	}
	return m
}

// flowType reads a flowType; "Add", which a shipped client sends, means Always.
func (r *reader) flowType() string {
	if strings.EqualFold(r.text("flowType"), "Add") {
		return mapping.FlowTypeAlways
	}
	return r.enum("flowType", mapping.FlowTypeAlways, mapping.FlowTypeObjectAdd, mapping.FlowTypeMultiValueAdd, mapping.FlowTypeValueAdd, mapping.FlowTypeAttributeAdd)
}

func (p *parser) directory(path string, v *value) mapping.Directory {
	r := p.object(path, v)
	d := mapping.Directory{
		ID:                r.text("id"),
		Name:              r.needed("name"),
		Version:           r.text("version"),
		ReadOnly:          r.flag("readOnly", false),
		DiscoveryDateTime: r.text("discoveryDateTime"),
		Objects:           elements(r, "objects", p.definition),
	}
	d.Discoverabilities = strings.Join(r.flags("discoverabilities", "AttributeNames", "AttributeDataTypes", "AttributeReadOnly", "ReferenceAttributes", "UnknownFutureValue", "None"), ", ")
	if d.Discoverabilities == "None" {
		d.Discoverabilities = ""
	}
	if _, err := time.Parse(time.RFC3339Nano, d.DiscoveryDateTime); err != nil && d.DiscoveryDateTime != "" {
		p.fail(r.at("discoveryDateTime"), "expected a time such as 2026-08-20T17:56:15Z, found "+shown(d.DiscoveryDateTime), "")
	}
	d.Extra = r.rest()
	return d
}

func (p *parser) definition(path string, v *value) mapping.Object {
	r := p.object(path, v)
	o := mapping.Object{Name: r.needed("name"), SupportedAPIs: r.texts("supportedApis"), Attributes: elements(r, "attributes", p.attribute)}
	o.Metadata = r.metadata(o.DefaultMetadata())
	o.Extra = r.rest()
	return o
}

func (p *parser) attribute(path string, v *value) mapping.Attribute {
	r := p.object(path, v)
	a := mapping.Attribute{
		Name:           r.needed("name"),
		Type:           r.enum("type", "String", "Integer", "Reference", "Binary", "Boolean", "DateTime"),
		Anchor:         r.flag("anchor", false),
		Required:       r.flag("required", false),
		CaseExact:      r.flag("caseExact", false),
		MultiValued:    r.flag("multivalued", false),
		FlowNullValues: r.flag("flowNullValues", false),
		Mutability:     r.enum("mutability", "ReadWrite", "ReadOnly", "Immutable", "WriteOnly"),
		DefaultValue:   r.optional("defaultValue"),
		Metadata:       r.metadata([]mapping.KeyValue{}),
		APIExpressions: r.keyValues("apiExpressions"),
		ReferencedObjects: elements(r, "referencedObjects", func(path string, v *value) mapping.ReferencedObject {
			o := p.object(path, v)
			return mapping.ReferencedObject{Name: o.needed("referencedObjectName"), Property: o.text("referencedProperty")}
		}),
	}
	a.Extra = r.rest()
	plain(&a)
	return a
}

// plain says what Graph's shape says in the fewest words that a mapping.Attribute has for it.
func plain(a *mapping.Attribute) {
	if a.Mutability == "ReadWrite" {
		a.Mutability = ""
	}
	if len(a.APIExpressions) == 0 {
		a.APIExpressions = nil
	}
	if len(a.ReferencedObjects) == 1 && a.ReferencedObjects[0].Property == "" {
		a.References, a.ReferencedObjects = a.ReferencedObjects[0].Name, nil
	}
	for i, kv := range a.Metadata {
		if n, err := strconv.Atoi(kv.Value); kv.Key == maximumLength && err == nil && n > 0 && kv.Value == strconv.Itoa(n) {
			a.MaxLength, a.Metadata = n, slices.Delete(a.Metadata, i, i+1)
			break
		}
	}
	if len(a.Metadata) == 0 {
		a.Metadata = nil
	}
}
