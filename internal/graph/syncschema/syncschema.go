// Package syncschema reads and writes Graph's synchronizationSchema: the JSON that a client PUTs to a job's schema, and
// that it is answered (Microsoft Graph, "synchronizationSchema resource type" and the types it is made of).
//
// Parse is tolerant where real clients need it: a member that is missing or null has its default, the case of names
// and of enumerations does not matter, an illegal flowType "Add" means Always, @odata members are passed over, and
// members that Graph does not have are kept. It is strict where Graph is: about the source of an attribute mapping, and
// about types. What a schema means is not its business: mapping.Compile checks that.
package syncschema

import (
	"slices"

	"induct/internal/mapping"
)

// Bounds of a schema. A larger one is refused.
const (
	MaxSize   = 4 << 20 // bytes, as it is read and as it is written
	MaxValues = 400_000 // JSON values, together
	MaxDepth  = 400     // objects and arrays in each other: the deepest expression needs 300
)

// perMapping is the name, on an attribute mapping, of the switch that lets null values flow. Graph has published no name
// for it; flowNullValues, which attribute definitions have, is read too.
const perMapping = "@induct.flowNullValues"

// Parse reads a schema. The error is a *mapping.SchemaError with each problem that was found: its path is the place in
// the body. The result shares no memory with body.
func Parse(body []byte) (*mapping.Schema, error) {
	return read(body, "", func(p *parser, v *value) *mapping.Schema { return p.answerable(p.schema(v)) })
}

// ParseDirectory reads a directoryDefinition. The error is a *mapping.SchemaError.
func ParseDirectory(body []byte) (*mapping.Directory, error) {
	return read(body, "", func(p *parser, v *value) *mapping.Directory { d := p.directory("", v); return &d })
}

// ParseObject reads an objectDefinition, such as that of parseExpression's testInputObject. The error is a *mapping.SchemaError.
func ParseObject(body []byte) (*mapping.Object, error) {
	return read(body, "", func(p *parser, v *value) *mapping.Object { o := p.definition("", v); return &o })
}

// ParseAttribute reads an attributeDefinition, such as parseExpression's targetAttributeDefinition. The error is a
// *mapping.SchemaError.
func ParseAttribute(body []byte) (*mapping.Attribute, error) {
	return read(body, "", func(p *parser, v *value) *mapping.Attribute { a := p.attribute("", v); return &a })
}

// ParseSource reads an attributeMappingSource and returns its expression, "" for null. Where the structured form and
// the text disagree the structured form wins; where the structured form says less than the text, as without
// parameters, the text does. The error is a *mapping.SchemaError.
func ParseSource(source []byte) (expression string, err error) {
	text, err := read(source, "source", func(p *parser, v *value) *string {
		text := p.expression("source", v)
		return &text
	})
	if err != nil {
		return "", err
	}
	return *text, nil
}

// Patch returns s with the members that body has in place of its own, as a PATCH of the schema does. The error is as Parse's.
func Patch(s *mapping.Schema, body []byte) (*mapping.Schema, error) {
	return read(body, "", func(p *parser, v *value) *mapping.Schema {
		patched, given := *s, p.schema(v)
		for i := range v.members {
			switch m := &v.members[i]; {
			case m.value.kind == 'n':
			case m.is("id"):
				patched.ID = given.ID
			case m.is("version"):
				patched.Version = given.Version
			case m.is("synchronizationRules"):
				patched.Rules = given.Rules
			case m.is("directories"):
				patched.Directories = given.Directories
			}
		}
		for _, m := range given.Extra {
			patched.Extra = slices.DeleteFunc(slices.Clone(patched.Extra), func(old mapping.Member) bool { return old.Name == m.Name })
			patched.Extra = append(patched.Extra, m)
		}
		return p.answerable(&patched)
	})
}

// Marshal writes a schema as JSON, members in Graph's order. It cannot fail. The same schema always gives the same
// bytes, and Parse of them gives the schema again.
func Marshal(s *mapping.Schema) []byte { return Append(nil, s) }

// Append appends what Marshal writes to dst.
func Append(dst []byte, s *mapping.Schema) []byte {
	w := writer{b: dst}
	w.schema(s)
	return w.b
}

// AppendDirectory appends a directoryDefinition.
func AppendDirectory(dst []byte, d *mapping.Directory) []byte {
	w := writer{b: dst}
	w.directory(d)
	return w.b
}

// AppendSource appends an expression as an attributeMappingSource: its text, and the same as a tree of named parameters,
// as parseExpression answers it. A text that is no expression is written as a Function of that name. "" is written as null.
func AppendSource(dst []byte, expression string) []byte {
	w := writer{b: dst}
	w.source(sourceOf(expression))
	return w.b
}
