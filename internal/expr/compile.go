// Package expr is the mapping expression language: it compiles the text of an expression once,
// and evaluates it for one record after another without any I/O.
//
// The language is that of Microsoft Learn, "Reference for writing expressions for attribute mappings".
package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Env is what an expression may refer to when it is compiled.
type Env struct {
	// Attribute returns the slot of a source attribute in Context.Attributes, or says why there is none.
	// If nil, each name has the slot of its place in Program.Attributes.
	Attribute func(name string) (slot int, err error)
	// Known, which may be empty, are the names that a message may propose for a misspelt attribute.
	Known []string
}

// Context is one record, and all else that an evaluation reads.
type Context struct {
	Attributes    []Value   // by slot; a slot beyond the end is null
	Now           time.Time // what Now returns
	Seed          uint64    // what RandomString and Guid derive from; as secret as the passwords made of it
	DefaultDomain string    // what DefaultDomain returns
}

// Program is a compiled expression. It is immutable and may be used by many goroutines at once.
type Program struct {
	root       eval
	source     string
	attributes []string
	volatile   bool
	redacted   bool
}

// eval computes a value; it keeps nothing between calls.
type eval func(ctx *Context) (Value, error)

// Compile checks src and makes it ready to run. The error is an *Error.
func Compile(src string, env Env) (*Program, error) {
	p, err := compile(src, env)
	if e := (*Error)(nil); errors.As(err, &e) {
		return nil, &Error{Pos: utf8.RuneCountInString(src[:min(e.Pos, len(src))]), Msg: e.Msg}
	}
	return p, err
}

func compile(src string, env Env) (*Program, error) {
	tree, err := parse(src)
	if err != nil {
		return nil, err
	}
	c := compiler{env: env, slots: map[string]int{}, prog: &Program{}}
	if tree, err = c.resolve(tree); err != nil {
		return nil, err
	}
	if c.prog.root, err = c.compile(tree); err != nil {
		return nil, err
	}
	c.prog.source = tree.String()
	return c.prog, nil
}

// Eval returns the value for one record. The error is an *EvalError, ErrIgnoreAttribute or ErrIgnoreObject.
func (p *Program) Eval(ctx *Context) (Value, error) { return p.root(ctx) }

// Volatile reports whether the value may differ from one evaluation to the next of the same record.
func (p *Program) Volatile() bool { return p.volatile }

// Redacted reports whether the value must not be shown in logs.
func (p *Program) Redacted() bool { return p.redacted }

// Attributes returns the names of the source attributes, each once, in the order of their first use.
func (p *Program) Attributes() []string { return slices.Clone(p.attributes) }

// String returns the source in canonical form: the reference's spelling, ", " between arguments.
func (p *Program) String() string { return p.source }

type compiler struct {
	env   Env
	slots map[string]int
	sites int // volatile calls so far
	prog  *Program
}

// resolve gives each call the reference's spelling of its function and checks the shape of the tree.
func (c *compiler) resolve(n node) (node, error) {
	switch n := n.(type) {
	case comparison:
		return nil, errorAt(n.pos, "a comparison can only be the condition of IIF or CBool")
	case keyword:
		if n.name == wordTextCompare || n.name == wordBinaryCompare {
			return nil, errorAt(n.pos, "%s can only be the compareType of InStr", n.name)
		}
	case call:
		return c.resolveCall(n)
	}
	return n, nil
}

func (c *compiler) resolveCall(n call) (node, error) {
	f := lookup(n.name)
	if f == nil {
		return nil, unknownFunction(n)
	}
	n.name = f.Name
	if f.Refused != "" {
		return nil, errorAt(n.pos, "%s is not supported: %s", f.Name, f.Refused)
	}
	if err := f.checkArity(n); err != nil {
		return nil, err
	}
	args := slices.Clone(n.args)
	for i, a := range args {
		if a == nil {
			continue
		}
		var err error
		if args[i], err = c.resolveArgument(f.param(i), a); err != nil {
			return nil, err
		}
	}
	n.args = args
	return n, nil
}

func (c *compiler) resolveArgument(p Param, n node) (node, error) {
	if cmp, ok := n.(comparison); ok && p.Type == Condition {
		var err error
		if cmp.left, err = c.resolve(cmp.left); err != nil {
			return nil, err
		}
		cmp.right, err = c.resolve(cmp.right)
		return cmp, err
	}
	if p.Type == CompareType {
		if k, ok := n.(keyword); ok && (k.name == wordTextCompare || k.name == wordBinaryCompare) {
			return k, nil
		}
		return nil, errorAt(n.position(), "%s must be %s or %s", p.Name, wordBinaryCompare, wordTextCompare)
	}
	if v, ok := constant(n); ok && p.Type == Number {
		if _, ok := integer(v); !ok {
			return nil, errorAt(n.position(), "%s must be a whole number, not %s", p.Name, n)
		}
	}
	return c.resolve(n)
}

func unknownFunction(n call) error {
	var names []string
	for i := range table {
		names = append(names, table[i].Name)
	}
	if _, ok := keywordOf(n.name); ok {
		return errorAt(n.pos, "%s takes no arguments", n.name)
	}
	if near := nearest(n.name, names); near != "" {
		return errorAt(n.pos, "there is no function %s; did you mean %s?", n.name, near)
	}
	return errorAt(n.pos, "there is no function %s", n.name)
}

// constant returns the value that n writes out.
func constant(n node) (Value, bool) {
	switch n := n.(type) {
	case text:
		return Text(n.value), true
	case number:
		return Int(n.value), true
	case boolean:
		return Bool(n.value), true
	case keyword:
		return Text(n.name), n.name == wordTextCompare || n.name == wordBinaryCompare
	}
	return Value{}, false
}

func (c *compiler) compile(n node) (eval, error) {
	if v, ok := constant(n); ok {
		return func(*Context) (Value, error) { return v, nil }, nil
	}
	switch n := n.(type) {
	case attribute:
		return c.attribute(n)
	case keyword:
		ignore := ErrIgnoreAttribute
		if n.name == wordIgnoreObject {
			ignore = ErrIgnoreObject
		}
		return func(*Context) (Value, error) { return Value{}, ignore }, nil
	case comparison:
		return c.comparison(n)
	case call:
		return c.call(n)
	}
	return nil, errorAt(n.position(), "unexpected %s", n)
}

func (c *compiler) attribute(n attribute) (eval, error) {
	slot, seen := c.slots[n.name]
	if !seen {
		slot = len(c.prog.attributes)
		if c.env.Attribute != nil {
			var err error
			if slot, err = c.env.Attribute(n.name); err != nil {
				return nil, c.unknownAttribute(n, err)
			}
		}
		if slot < 0 {
			return nil, errorAt(n.pos, "the attribute [%s] cannot be read", n.name)
		}
		c.slots[n.name] = slot
		c.prog.attributes = append(c.prog.attributes, n.name)
	}
	return func(ctx *Context) (Value, error) {
		if slot < len(ctx.Attributes) {
			return ctx.Attributes[slot], nil
		}
		return Value{}, nil
	}, nil
}

func (c *compiler) unknownAttribute(n attribute, err error) error {
	if near := nearest(n.name, c.env.Known); near != "" {
		return errorAt(n.pos, "%v; did you mean [%s]?", err, near)
	}
	return errorAt(n.pos, "%v", err)
}

func (c *compiler) comparison(n comparison) (eval, error) {
	left, err := c.compile(n.left)
	if err != nil {
		return nil, err
	}
	right, err := c.compile(n.right)
	if err != nil {
		return nil, err
	}
	holds := map[string]func(order int) bool{
		"=":  func(o int) bool { return o == 0 },
		"<>": func(o int) bool { return o != 0 },
		"<":  func(o int) bool { return o < 0 },
		"<=": func(o int) bool { return o <= 0 },
		">":  func(o int) bool { return o > 0 },
		">=": func(o int) bool { return o >= 0 },
	}[n.op]
	return func(ctx *Context) (Value, error) {
		l, err := left(ctx)
		if err != nil {
			return Value{}, err
		}
		r, err := right(ctx)
		if err != nil {
			return Value{}, err
		}
		order, ok, err := compare(l, r)
		return Bool(ok && holds(order)), err
	}, nil
}

func (c *compiler) call(n call) (eval, error) {
	f := lookup(n.name)
	s := site{fn: f, pos: n.pos, nodes: n.args, args: make([]eval, len(n.args))}
	if f.Volatile {
		c.prog.volatile = true
		s.index = c.sites
		c.sites++
	}
	c.prog.redacted = c.prog.redacted || f.Name == "Redact"
	for i, a := range n.args {
		s.args[i] = func(*Context) (Value, error) { return Value{}, nil }
		if a == nil {
			continue
		}
		var err error
		if s.args[i], err = c.compile(a); err != nil {
			return nil, err
		}
	}
	run, err := f.build(&s)
	if err != nil {
		return nil, err
	}
	return func(ctx *Context) (Value, error) {
		v, err := run(ctx)
		if err == nil || err == ErrIgnoreAttribute || err == ErrIgnoreObject {
			return v, err
		}
		if _, named := err.(*EvalError); named {
			return Value{}, err
		}
		return Value{}, &EvalError{Func: f.Name, Msg: err.Error()}
	}, nil
}

// site is one call in an expression, as the builder of its function sees it.
type site struct {
	fn    *Function
	pos   int
	index int // of a volatile call among those of the expression
	nodes []node
	args  []eval
}

// given reports whether argument i was written.
func (s *site) given(i int) bool { return i >= 0 && i < len(s.nodes) && s.nodes[i] != nil }

// constant returns argument i if it is written out in the expression.
func (s *site) constant(i int) (string, bool) {
	if !s.given(i) {
		return "", false
	}
	v, ok := constant(s.nodes[i])
	return v.String(), ok
}

// errorf is a compile error at argument i, or at the call if i is -1.
func (s *site) errorf(i int, format string, args ...any) error {
	pos := s.pos
	if s.given(i) {
		pos = s.nodes[i].position()
	}
	return errorAt(pos, "%s: %s", s.fn.Name, fmt.Sprintf(format, args...))
}

// value evaluates argument i as one scalar; an argument not written is null.
func (s *site) value(ctx *Context, i int) (Value, error) {
	if i >= len(s.args) {
		return Value{}, nil
	}
	v, err := s.args[i](ctx)
	if err != nil {
		return Value{}, err
	}
	return scalar(v)
}

// text evaluates argument i as text; ok is false for null.
func (s *site) text(ctx *Context, i int) (t string, ok bool, err error) {
	v, err := s.value(ctx, i)
	return v.String(), !v.IsNull(), err
}

// integer evaluates argument i as a whole number.
func (s *site) integer(ctx *Context, i int) (int64, error) {
	v, err := s.value(ctx, i)
	if err != nil {
		return 0, err
	}
	n, ok := integer(v)
	if !ok {
		return 0, fmt.Errorf("%s must be a whole number, not %s", s.fn.param(i).Name, shown(v))
	}
	return n, nil
}

// shown is v for a message: short, and clear about null.
func shown(v Value) string {
	if v.IsNull() {
		return "null"
	}
	t := []rune(v.String())
	if len(t) > 40 {
		t = append(t[:40], '…')
	}
	return fmt.Sprintf("%q", string(t))
}

// scalar returns the one value of v; a list of one counts as its element.
func scalar(v Value) (Value, error) {
	if v.Kind() != List {
		return v, nil
	}
	switch e := v.Elems(); len(e) {
	case 0:
		return Value{}, nil
	case 1:
		return e[0], nil
	default:
		return Value{}, fmt.Errorf("needs a single value but was given %d values; use Item or Join first", len(e))
	}
}

// integer reads a number, a decimal text or a hexadecimal text such as &HF7.
func integer(v Value) (int64, bool) {
	if t := strings.ToUpper(v.String()); v.Kind() == String && strings.HasPrefix(t, "&H") {
		tok, err := (&lexer{src: t}).number()
		return tok.num, err == nil && tok.hex && len(tok.text) == len(t)
	}
	return v.AsInt()
}

// compare orders two scalars: as numbers if both are, as truth values if one is a Boolean
// and the other spells one, else as text by code point. ok is false if either is null.
func compare(l, r Value) (order int, ok bool, err error) {
	if l, err = scalar(l); err == nil {
		r, err = scalar(r)
	}
	if err != nil || l.IsNull() || r.IsNull() {
		return 0, false, asEvalError("comparison", err)
	}
	if a, ok := integer(l); ok {
		if b, ok := integer(r); ok {
			return order3(a < b, a > b), true, nil
		}
	}
	if l.Kind() == Boolean || r.Kind() == Boolean {
		a, okA := l.AsBool()
		b, okB := r.AsBool()
		if okA && okB {
			return order3(!a && b, a && !b), true, nil
		}
	}
	if a, ok := decimal(l); ok {
		if b, ok := decimal(r); ok {
			return order3(a < b, a > b), true, nil
		}
	}
	return strings.Compare(l.String(), r.String()), true, nil
}

func asEvalError(name string, err error) error {
	if err == nil {
		return nil
	}
	return &EvalError{Func: name, Msg: err.Error()}
}

func order3(less, more bool) int {
	switch {
	case less:
		return -1
	case more:
		return 1
	}
	return 0
}
