package mapping

import "strings"

// SchemaError lists everything that keeps a Schema from being used.
type SchemaError struct {
	Problems []SchemaProblem
	Cut      bool // the list is full: there may be more
}

// Error returns the problems, one to a line.
func (e *SchemaError) Error() string {
	lines := make([]string, len(e.Problems))
	for i := range e.Problems {
		lines[i] = e.Problems[i].String()
	}
	return strings.Join(lines, "\n")
}

// SchemaProblem is one reason why a schema cannot be used.
type SchemaProblem struct {
	// Path is the place as a path of members of Graph's synchronizationSchema, such as
	// synchronizationRules[0].objectMappings[0].attributeMappings[3].source; "" is the schema itself.
	Path    string
	Name    string // of what stands there, such as the target attribute; "" if it has none
	Message string // what is wrong: a sentence without its full stop that begins with a small letter, or a question
	Advice  string // what to do; "" if the message says it

	Expression string // the expression that Pos and End are in; "" if it is not about one
	Pos, End   int    // bytes of Expression
}

// String returns the problem in one line: path (name): message; advice.
func (p SchemaProblem) String() string {
	s := p.Message
	switch {
	case p.Advice != "" && strings.HasSuffix(s, "?"):
		s += " " + strings.ToUpper(p.Advice[:1]) + p.Advice[1:]
	case p.Advice != "":
		s += "; " + p.Advice
	}
	switch {
	case p.Name != "" && p.Path != "":
		return p.Path + " (" + p.Name + "): " + s
	case p.Path != "":
		return p.Path + ": " + s
	}
	return s
}
