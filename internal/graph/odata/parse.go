package odata

import (
	"fmt"
	"strings"
)

// ParseFilter parses the value of $filter, decoded from the URL. The error is an *Error. A filter of more than 8 KiB, or
// nested deeper than 64 levels, is refused.
func ParseFilter(s string) (*Filter, error) {
	if len(s) > maxFilter {
		return nil, &Error{maxFilter, fmt.Sprintf("the filter is longer than %d bytes", maxFilter)}
	}
	return parse(s)
}

func parse(s string) (*Filter, error) {
	p := &parser{lex: lexer{src: s}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != end {
		return nil, p.expected(`"and", "or" or the end`)
	}
	return &Filter{Root: root}, nil
}

// parser is a recursive descent with one token of look-ahead.
type parser struct {
	lex    lexer
	tok    token
	depth  int
	lambda []string // names of the variables of the lambdas around, innermost last
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lex.next()
	return err
}

func (p *parser) expected(what string) error {
	return &Error{p.tok.pos, fmt.Sprintf("expected %s, found %s", what, p.tok.describe())}
}

func (p *parser) isSymbol(s string) bool { return p.tok.kind == symbol && p.tok.text == s }

func (p *parser) isWord(w string) bool { return p.tok.kind == name && strings.EqualFold(p.tok.text, w) }

func (p *parser) symbol(s string) error {
	if !p.isSymbol(s) {
		return p.expected(fmt.Sprintf("%q", s))
	}
	return p.advance()
}

// enter counts one level of nesting; the caller leaves it with p.depth--.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return &Error{p.tok.pos, fmt.Sprintf("the filter is nested deeper than %d levels", maxDepth)}
	}
	return nil
}

func (p *parser) or() (Expr, error) {
	members, err := p.list("or", p.and, func(x Expr) []Expr { or, _ := x.(Or); return or })
	if err != nil || len(members) > 1 {
		return Or(members), err
	}
	return members[0], nil
}

func (p *parser) and() (Expr, error) {
	members, err := p.list("and", p.unary, func(x Expr) []Expr { and, _ := x.(And); return and })
	if err != nil || len(members) > 1 {
		return And(members), err
	}
	return members[0], nil
}

// list reads one member or more, joined by the keyword. A member that is itself such a list gives its own members,
// which inner returns.
func (p *parser) list(keyword string, member func() (Expr, error), inner func(Expr) []Expr) ([]Expr, error) {
	var members []Expr
	for {
		x, err := member()
		if err != nil {
			return nil, err
		}
		if own := inner(x); own != nil {
			members = append(members, own...)
		} else {
			members = append(members, x)
		}
		if !p.isWord(keyword) {
			return members, nil
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) unary() (Expr, error) {
	switch {
	case p.isWord("not"):
		return p.not()
	case p.isSymbol("("):
		return p.group()
	}
	return p.predicate()
}

func (p *parser) group() (Expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	return p.parenthesized()
}

func (p *parser) parenthesized() (Expr, error) {
	if err := p.symbol("("); err != nil {
		return nil, err
	}
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	return x, p.symbol(")")
}

// not reads a negation. Together with the parentheses of its operand it is one level of nesting. Strictly, OData's not
// binds tighter than eq; "not a eq 1" has no other sensible reading than "not (a eq 1)".
func (p *parser) not() (Expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if err := p.advance(); err != nil {
		return nil, err
	}
	operand := p.unary
	if p.isSymbol("(") {
		operand = p.parenthesized
	}
	x, err := operand()
	if err != nil {
		return nil, err
	}
	return negate(x), nil
}

func negate(x Expr) Expr {
	if not, ok := x.(Not); ok {
		return not.X
	}
	return Not{x}
}

// operand is a literal, or a path with the function that is applied to its value.
type operand struct {
	pos     int
	literal bool
	value   any
	path    string
	fn      string
}

var tests = map[string]bool{"contains": true, "startswith": true, "endswith": true}

// mirror holds the comparison operators, each with the one that holds when the sides are exchanged.
var mirror = map[string]string{"eq": "eq", "ne": "ne", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}

func (p *parser) predicate() (Expr, error) {
	if p.tok.kind != name {
		left, err := p.literal()
		if err != nil {
			return nil, err
		}
		return p.comparison(left)
	}
	start := p.tok
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	if !p.isSymbol("(") {
		left, err := p.named(start, path)
		if err != nil {
			return nil, err
		}
		return p.comparison(left)
	}
	last := path[len(path)-1]
	switch {
	case len(path) > 1 && (last == "any" || last == "all"):
		return p.any(start, path[:len(path)-1], last == "all")
	case len(path) == 1 && tests[last]:
		return p.test(start.pos, last)
	}
	left, err := p.call(start.pos, path)
	if err != nil {
		return nil, err
	}
	return p.comparison(left)
}

// path reads name { "/" name } and lowers it.
func (p *parser) path() ([]string, error) {
	var path []string
	for {
		if p.tok.kind != name {
			return nil, p.expected("a property name")
		}
		path = append(path, strings.ToLower(p.tok.text))
		if err := p.advance(); err != nil {
			return nil, err
		}
		if !p.isSymbol("/") {
			return path, nil
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

// named makes an operand of a path that has been read: one of the named literals, or a property.
func (p *parser) named(start token, path []string) (operand, error) {
	if len(path) == 1 {
		switch path[0] {
		case "true", "false":
			return operand{pos: start.pos, literal: true, value: path[0] == "true"}, nil
		case "null":
			return operand{pos: start.pos, literal: true}, nil
		}
	}
	property, err := p.property(start, path)
	return operand{pos: start.pos, path: property}, err
}

// property joins a path; within a lambda it takes the variable's name off.
func (p *parser) property(start token, path []string) (string, error) {
	if len(p.lambda) > 0 {
		variable := p.lambda[len(p.lambda)-1]
		if path[0] != variable {
			return "", &Error{start.pos, fmt.Sprintf("expected a property of %q, found %q: within any and all only the element can be asked for", variable, start.text)}
		}
		path = path[1:]
	}
	return strings.Join(path, "/"), nil
}

func (p *parser) operand() (operand, error) {
	if p.tok.kind != name {
		return p.literal()
	}
	start := p.tok
	path, err := p.path()
	if err != nil {
		return operand{}, err
	}
	if p.isSymbol("(") {
		return p.call(start.pos, path)
	}
	return p.named(start, path)
}

func (p *parser) literal() (operand, error) {
	if p.tok.kind != value {
		return operand{}, p.expected("a property or a literal")
	}
	o := operand{pos: p.tok.pos, literal: true, value: p.tok.value}
	return o, p.advance()
}

// call reads the argument of tolower or toupper. Of a literal it is computed at once.
func (p *parser) call(pos int, path []string) (operand, error) {
	fn := strings.Join(path, "/")
	if fn != "tolower" && fn != "toupper" {
		return operand{}, &Error{pos, fmt.Sprintf("the function %q is not supported here; there are contains, startswith, endswith, tolower and toupper", clip(fn))}
	}
	if err := p.enter(); err != nil {
		return operand{}, err
	}
	defer func() { p.depth-- }()
	if err := p.symbol("("); err != nil {
		return operand{}, err
	}
	arg, err := p.operand()
	if err != nil {
		return operand{}, err
	}
	if arg, err = arg.apply(fn); err != nil {
		return operand{}, err
	}
	arg.pos = pos
	return arg, p.symbol(")")
}

func (o operand) apply(fn string) (operand, error) {
	if !o.literal {
		if o.fn != "" && o.fn != fn {
			return o, &Error{o.pos, fmt.Sprintf("%s of %s is not supported", fn, o.fn)}
		}
		o.fn = fn
		return o, nil
	}
	s, ok := o.value.(string)
	if !ok {
		return o, &Error{o.pos, fmt.Sprintf("%s needs a string", fn)}
	}
	o.value = changeCase(fn, s)
	return o, nil
}

// comparison reads the operator and right side of a comparison and brings the property to the left.
func (p *parser) comparison(left operand) (Expr, error) {
	op := strings.ToLower(p.tok.text)
	if p.tok.kind != name || op != "in" && mirror[op] == "" {
		return nil, p.expected("one of eq, ne, gt, ge, lt, le and in")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if op == "in" {
		return p.in(left)
	}
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	if left.literal {
		left, right, op = right, left, mirror[op]
	}
	if left.literal || !right.literal {
		return nil, &Error{min(left.pos, right.pos), "a comparison needs a property on one side and a literal on the other (a string needs quotes)"}
	}
	return Comparison{Path: left.path, Op: op, Value: right.value, Func: left.fn, Pos: left.pos}, nil
}

func (p *parser) in(left operand) (Expr, error) {
	if left.literal {
		return nil, &Error{left.pos, `"in" needs a property on its left`}
	}
	if err := p.symbol("("); err != nil {
		return nil, err
	}
	var values []any
	for {
		o, err := p.operand()
		if err != nil {
			return nil, err
		}
		if !o.literal {
			return nil, &Error{o.pos, `"in" needs literals (a string needs quotes)`}
		}
		values = append(values, o.value)
		if !p.isSymbol(",") {
			break
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	return Comparison{Path: left.path, Op: "in", Value: values, Func: left.fn, Pos: left.pos}, p.symbol(")")
}

// test reads the arguments of contains, startswith or endswith, and the comparison with true or false that may follow.
func (p *parser) test(pos int, fn string) (Expr, error) {
	if err := p.symbol("("); err != nil {
		return nil, err
	}
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	if left.literal {
		return nil, &Error{left.pos, fn + " needs a property as its first argument"}
	}
	if err := p.symbol(","); err != nil {
		return nil, err
	}
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	if _, ok := right.value.(string); !ok {
		return nil, &Error{right.pos, fn + " needs a string in quotes as its second argument"}
	}
	if err := p.symbol(")"); err != nil {
		return nil, err
	}
	return p.truth(Comparison{Path: left.path, Op: fn, Value: right.value, Func: left.fn, Pos: pos})
}

// truth reads what may follow a test: eq true, ne false, and so on.
func (p *parser) truth(x Comparison) (Expr, error) {
	equal := p.isWord("eq")
	if !equal && !p.isWord("ne") {
		return x, nil
	}
	if err := p.enter(); err != nil { // it may become a negation
		return nil, err
	}
	defer func() { p.depth-- }()
	if err := p.advance(); err != nil {
		return nil, err
	}
	o, err := p.operand()
	if err != nil {
		return nil, err
	}
	want, ok := o.value.(bool)
	if !ok {
		return nil, &Error{o.pos, x.Op + " can only be compared with true or false"}
	}
	if want != equal {
		return Not{x}, nil
	}
	return x, nil
}

// any reads a lambda after the collection's path.
func (p *parser) any(start token, path []string, all bool) (Expr, error) {
	of, err := p.property(start, path)
	if err != nil {
		return nil, err
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if err := p.symbol("("); err != nil {
		return nil, err
	}
	x := Any{Path: of, All: all, Pos: start.pos}
	if p.isSymbol(")") && !all {
		return x, p.advance()
	}
	if p.tok.kind != name {
		return nil, p.expected("the name of a variable, as in any(x:x eq 'value')")
	}
	p.lambda = append(p.lambda, strings.ToLower(p.tok.text))
	defer func() { p.lambda = p.lambda[:len(p.lambda)-1] }()
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.symbol(":"); err != nil {
		return nil, err
	}
	if x.Cond, err = p.or(); err != nil {
		return nil, err
	}
	return x, p.symbol(")")
}
