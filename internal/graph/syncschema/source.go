package syncschema

import (
	"fmt"
	"slices"
	"strings"

	"induct/internal/expr"
)

// The types of an attributeMappingSource.
const (
	kindAttribute = "Attribute"
	kindConstant  = "Constant"
	kindFunction  = "Function"
)

// source is an attributeMappingSource: an expression as text, and as a tree.
type source struct {
	expression, name, kind string
	parameters             []parameter
}

// parameter is an argument of a function under the name of its parameter. value is nil for one that is null.
type parameter struct {
	key   string
	value *source
}

// sourceOf takes an expression apart; nil for "".
func sourceOf(expression string) *source {
	expression = strings.TrimSpace(expression)
	if expression == "" {
		return nil
	}
	tree, err := expr.Parse(expression)
	if err != nil {
		return &source{expression: expression, name: expression, kind: kindFunction}
	}
	s := fromNode(tree, expression)
	s.expression = expression
	return s
}

// fromNode renders a node of an expression. What is neither an attribute, a constant nor a call has its text as its name.
func fromNode(n *expr.Node, expression string) *source {
	s := &source{expression: expression[n.Pos:n.End], name: n.Name, kind: kindFunction}
	switch n.Kind {
	case expr.AttributeNode:
		s.kind = kindAttribute
	case expr.TextNode, expr.NumberNode, expr.BooleanNode:
		s.kind = kindConstant
	case expr.CallNode:
		key := keys(n.Name)
		for i, a := range n.Args {
			if a != nil {
				s.parameters = append(s.parameters, parameter{key(i), fromNode(a, expression)})
			}
		}
	default:
		s.name = s.expression
	}
	return s
}

// keys returns the names of a function's parameters by their place.
func keys(function string) func(i int) string {
	f, ok := expr.Lookup(function)
	if !ok || len(f.Params) == 0 {
		return func(int) string { return "source" }
	}
	return func(i int) string { return f.Params[place(&f, i)].Wire }
}

// place returns which parameter argument i is for; one argument too many is for the last.
func place(f *expr.Function, i int) int {
	n := len(f.Params)
	switch {
	case i < n:
		return i
	case f.Repeat == 0:
		return n - 1
	}
	return n - f.Repeat + (i-n)%f.Repeat
}

// weight returns how many bytes the texts of a source and of all its parts have.
func (s *source) weight() int {
	n := len(s.expression) + len(s.name)
	for _, p := range s.parameters {
		n += p.value.weight()
	}
	return n
}

// same reports whether two sources are the same tree. Their texts do not count.
func same(a, b *source) bool {
	if a == nil || b == nil {
		return a == b
	}
	name := a.name == b.name || a.kind == kindFunction && strings.EqualFold(a.name, b.name)
	return name && a.kind == b.kind && slices.EqualFunc(a.parameters, b.parameters, func(p, q parameter) bool {
		return strings.EqualFold(p.key, q.key) && same(p.value, q.value)
	})
}

// maxParameters bounds the parameters of one function.
const maxParameters = 1000

// malformed is how the reference answers a source that is none.
const malformed = "Property source in payload has a value that does not match schema. "

// expression reads a source as the text of its expression.
func (p *parser) expression(path string, v *value) string {
	if v.kind == 'n' {
		return ""
	}
	if v.kind == '"' {
		p.fail(path, malformed+"Expected an object, found a string", `send {"type": "Attribute", "name": "userName", "expression": "[userName]", "parameters": []}, or null`)
		return ""
	}
	before := len(p.problems)
	s := p.source(path, v)
	if len(p.problems) > before {
		return ""
	}
	text := strings.TrimSpace(s.expression)
	if text != "" {
		parsed := sourceOf(text)
		if s.vague() || same(s, parsed) {
			p.weight += parsed.weight()
			return text
		}
	}
	tree := p.node(path, s)
	if tree == nil {
		return ""
	}
	made := tree.String()
	n, err := expr.Parse(made)
	if err == nil {
		p.weight += fromNode(n, made).weight()
	}
	if err != nil || n.Kind != tree.Kind || n.Name != tree.Name {
		p.fail(path+".name", malformed+shown(s.name)+" cannot be the name of "+article(s.kind), "correct the name, or send the expression alone")
		return ""
	}
	return made
}

func article(kind string) string {
	if kind == kindAttribute {
		return "an Attribute"
	}
	return "a " + kind
}

// vague reports whether the structured form leaves to the text what the source is: nothing but the text was
// sent, or a function without its parameters, or one that is named by its text.
func (s *source) vague() bool {
	switch {
	case s.kind == "":
		return true
	case s.kind != kindFunction || len(s.parameters) > 0:
		return false
	case s.name == "" || s.name == strings.TrimSpace(s.expression):
		return true
	}
	n, err := expr.Parse(s.expression)
	return err != nil || n.Kind == expr.CallNode && strings.EqualFold(n.Name, s.name)
}

// source reads an attributeMappingSource.
func (p *parser) source(path string, v *value) *source {
	if v.kind != '{' {
		p.fail(path, malformed+"Expected an object, found "+v.what(), "")
		return nil
	}
	r := p.object(path, v)
	s := &source{expression: r.text("expression"), name: r.text("name")}
	if given := r.text("type"); given != "" {
		kinds := []string{kindAttribute, kindConstant, kindFunction}
		if i := slices.IndexFunc(kinds, func(k string) bool { return strings.EqualFold(k, given) }); i >= 0 {
			s.kind = kinds[i]
		} else {
			p.fail(r.at("type"), malformed+"There is no type "+shown(given), "use Attribute, Constant or Function")
			return s
		}
	}
	r.each("parameters", func(path string, v *value) {
		if s.parameters = append(s.parameters, p.parameter(path, v)); len(s.parameters) == maxParameters+1 {
			p.fail(r.at("parameters"), malformed+fmt.Sprintf("More than %d parameters", maxParameters), "")
		}
	})
	for _, m := range r.rest() {
		p.fail(r.at(m.Name), malformed+"There is no such member", "a source has expression, name, parameters and type")
	}
	switch {
	case s.kind == "" && s.name != "":
		p.fail(r.at("type"), malformed+"The type is missing", "use Attribute, Constant or Function")
	case s.kind == "" && strings.TrimSpace(s.expression) == "":
		p.fail(path, malformed+"There is neither an expression nor a type", `send {"type": "Attribute", "name": "userName"}, or null for a mapping that has no source`)
	case s.kind != "" && s.kind != kindConstant && s.name == "" && strings.TrimSpace(s.expression) == "":
		p.fail(r.at("name"), malformed+"The name is missing", "")
	case s.kind != kindFunction && len(s.parameters) > 0:
		p.fail(r.at("parameters"), malformed+"Only a Function has parameters", "")
	}
	return s
}

func (p *parser) parameter(path string, v *value) parameter {
	r := p.object(path, v)
	out := parameter{key: r.text("key")}
	if value := r.member("value"); value != nil {
		out.value = p.source(r.at("value"), value)
	}
	return out
}

// node makes the expression that a structured form says; nil if it says none.
func (p *parser) node(path string, s *source) *expr.Node {
	parsed, err := expr.Parse(strings.TrimSpace(s.expression))
	if err == nil && (s.vague() || s.kind == kindAttribute && s.name == "") {
		return parsed
	}
	switch s.kind {
	case kindAttribute:
		return &expr.Node{Kind: expr.AttributeNode, Name: strings.TrimSpace(s.name)}
	case kindConstant:
		if err == nil && same(fromNode(parsed, strings.TrimSpace(s.expression)), &source{name: s.name, kind: kindConstant}) {
			return parsed // a number stays a number
		}
		return &expr.Node{Kind: expr.TextNode, Name: s.name, Value: expr.Text(s.name)}
	case kindFunction:
		return p.call(path, s)
	}
	p.fail(path+".expression", malformed+"The expression is wrong: "+err.Error(), "")
	return nil
}

// call makes a call of the arguments that a structured form names.
func (p *parser) call(path string, s *source) *expr.Node {
	if n, err := expr.Parse(s.name); err == nil && len(s.parameters) == 0 {
		return n // a comparison or a bare word has its text as its name
	}
	n := &expr.Node{Kind: expr.CallNode, Name: s.name}
	f, isKnown := expr.Lookup(s.name)
	for i, param := range s.parameters {
		at := fmt.Sprintf("%s.parameters[%d]", path, i)
		slot := i
		if isKnown {
			if slot = free(&f, n.Args, param.key); slot < 0 {
				p.fail(at+".key", malformed+shown(param.key)+" is no parameter of "+f.Name+", or was given already", "the parameters are "+wireNames(&f))
				continue
			}
		}
		for len(n.Args) <= slot {
			n.Args = append(n.Args, nil)
		}
		if param.value != nil {
			n.Args[slot] = p.node(at+".value", param.value)
		}
	}
	if isKnown && f.Repeat == 0 { // the reference writes out the arguments that are left empty
		for len(n.Args) < len(f.Params) && len(n.Args) > 0 {
			n.Args = append(n.Args, nil)
		}
	}
	return n
}

// free returns the first argument that a key may still be for, -1 if there is none.
func free(f *expr.Function, args []*expr.Node, key string) int {
	for i := range len(f.Params) {
		param := f.Params[i]
		if !strings.EqualFold(param.Wire, key) && !strings.EqualFold(param.Name, key) {
			continue
		}
		if i >= len(args) || args[i] == nil {
			return i
		}
	}
	if f.Repeat == 0 || !slices.ContainsFunc(f.Params[len(f.Params)-f.Repeat:], func(p expr.Param) bool { return strings.EqualFold(p.Wire, key) || strings.EqualFold(p.Name, key) }) {
		return -1
	}
	for i := len(f.Params); ; i++ {
		param := f.Params[place(f, i)]
		if (strings.EqualFold(param.Wire, key) || strings.EqualFold(param.Name, key)) && (i >= len(args) || args[i] == nil) {
			return i
		}
	}
}

func wireNames(f *expr.Function) string {
	var names []string
	for _, p := range f.Params {
		if !slices.Contains(names, p.Wire) {
			names = append(names, p.Wire)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}
