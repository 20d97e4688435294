// Package syncschema reads and writes Graph's synchronizationSchema: the JSON that a client PUTs to a job's schema, and
// that it is answered (Microsoft Graph, "synchronizationSchema resource type" and the types it is made of).
//
// Parse is tolerant where real clients need it: a member that is missing or null has its default, the case of names
// of enumerations does not matter, an illegal flowType "Add" means Always, @odata members are passed over, and members
// that Graph does not have are kept. It is strict where Graph is: about the source of an attribute mapping, and about
// types. What a schema means is not its business: mapping.Compile checks that.
package syncschema

import (
	"errors"

	"induct/internal/mapping"
)

// Bounds of a schema. A larger one is refused.
const (
	MaxSize     = 4 << 20 // bytes
	MaxElements = 20_000  // rules, mappings, groups, clauses, objects, attributes and entries of metadata, together
	MaxDepth    = 200     // nested objects and arrays
)

// Parse reads a schema. The error is a *mapping.SchemaError with each problem that was found: its path is the place in
// the body. The result shares no memory with body.
func Parse(body []byte) (*mapping.Schema, error) { return nil, errors.ErrUnsupported }

// Marshal writes a schema as JSON, members in Graph's order. It cannot fail. The same schema always gives the same
// bytes, and Parse of them gives the schema again.
func Marshal(s *mapping.Schema) []byte { return Append(nil, s) }

// Append appends what Marshal writes to dst.
func Append(dst []byte, s *mapping.Schema) []byte { return dst }

// AppendSource appends an expression as an attributeMappingSource: its text, and the same as a tree of named parameters,
// as parseExpression answers it. A text that is no expression is written as a Function of that name. "" is written as null.
func AppendSource(dst []byte, expression string) []byte { return dst }

// ParseSource reads an attributeMappingSource and returns its expression, "" for null. Where the structured form and
// the text disagree the structured form wins; where the structured form says less than the text, as without
// parameters, the text does. The error is a *mapping.SchemaError.
func ParseSource(source []byte) (expression string, err error) { return "", errors.ErrUnsupported }

// Patch returns s with the members that body has in place of its own, as a PATCH of the schema does. The error is as Parse's.
func Patch(s *mapping.Schema, body []byte) (*mapping.Schema, error) {
	return nil, errors.ErrUnsupported
}

// AppendDirectory appends a directoryDefinition.
func AppendDirectory(dst []byte, d *mapping.Directory) []byte { return dst }

// ParseDirectory reads a directoryDefinition. The error is a *mapping.SchemaError.
func ParseDirectory(body []byte) (*mapping.Directory, error) { return nil, errors.ErrUnsupported }

// ParseObject reads an objectDefinition, such as that of parseExpression's testInputObject. The error is a *mapping.SchemaError.
func ParseObject(body []byte) (*mapping.Object, error) { return nil, errors.ErrUnsupported }

// ParseAttribute reads an attributeDefinition, such as parseExpression's targetAttributeDefinition. The error is a
// *mapping.SchemaError.
func ParseAttribute(body []byte) (*mapping.Attribute, error) { return nil, errors.ErrUnsupported }
