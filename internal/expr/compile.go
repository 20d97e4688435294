// Package expr is the mapping expression language: it compiles the text of an expression once,
// and evaluates it for one record after another without any I/O.
//
// The language is that of Microsoft Learn, "Reference for writing expressions for attribute mappings".
// A text goes through Parse (lex.go, parse.go, node.go), is resolved against the table of functions (functions.go,
// table.go) and compiled to closures (compile.go). Every function is total and bounded: a value that it cannot
// make is an error with a position, never a panic, and never more than MaxText bytes or MaxWork steps.
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
	// Known, which may be empty, are the names that a message may propose for a misspelt attribute, and that
	// Lint compares the spelling with.
	Known []string
	// Salt, which may be empty, tells the random values of this program from those of others that see the same
	// Context.Seed: the name of the target attribute, so that two attributes do not get the same Guid.
	Salt string
}

// Context is one record, and all else that an evaluation reads. One goroutine uses it at a time; it may be used for
// one Program after another.
type Context struct {
	Attributes    []Value   // by slot; a slot beyond the end is null
	Now           time.Time // what Now returns
	Seed          uint64    // what RandomString and Guid derive from; as secret as the passwords made of it
	DefaultDomain string    // what DefaultDomain returns

	work  int // what is left of MaxWork
	trace *tracer
}

// Bounds of one evaluation. A record that needs more fails.
const (
	// MaxText is the longest text that a function gives, in bytes.
	MaxText = 1 << 20
	// MaxValues is the longest list that a function gives.
	MaxValues = 10_000
	// MaxWork is how many bytes all functions of one evaluation give, and how many steps their regular expressions
	// take, together.
	MaxWork = 1 << 22
)

// Program is a compiled expression. It is immutable and may be used by many goroutines at once.
type Program struct {
	root       eval
	candidates []eval // of SelectUniqueValue
	written    *Node
	tree       *Node // with the reference's spelling
	source     string
	attributes []string
	redacted   []string
	slots      map[string]int
	known      []string
	salt       string
	volatile   bool
	masked     bool
}

// eval computes a value; it keeps nothing between calls.
type eval func(ctx *Context) (Value, error)

// Compile checks src and makes it ready to run. The error is an *Error.
func Compile(src string, env Env) (*Program, error) {
	p, err := compile(src, env)
	if err != nil {
		return nil, locate(err, src)
	}
	return p, nil
}

func compile(src string, env Env) (*Program, error) {
	tree, err := parse(src)
	if err != nil {
		return nil, err
	}
	c := compiler{src: src, env: env, prog: &Program{written: tree, slots: map[string]int{}, known: env.Known, salt: env.Salt}}
	if c.prog.tree, err = c.resolve(tree); err != nil {
		return nil, err
	}
	if err := onlyOutermost(c.prog.tree); err != nil {
		return nil, err
	}
	c.markRedacted()
	if c.prog.root, err = c.compile(c.prog.tree); err != nil {
		return nil, err
	}
	c.prog.source = c.prog.tree.String()
	return c.prog, nil
}

const selectUniqueValue = "SelectUniqueValue"

func onlyOutermost(tree *Node) (err error) {
	tree.walk(func(n *Node) {
		if n != tree && n.Kind == CallNode && n.Name == selectUniqueValue && err == nil {
			err = n.errorf("SelectUniqueValue must be the outermost function; write it around the others")
		}
	})
	return err
}

// Eval returns the value for one record. The error is an *EvalError, ErrIgnoreAttribute or ErrIgnoreObject.
// If the program is Unique it is the first candidate, unprobed.
func (p *Program) Eval(ctx *Context) (Value, error) {
	ctx.work = MaxWork
	return p.root(ctx)
}

// Unique reports whether the value has to be one that nobody in the target has: the program is a call of
// SelectUniqueValue. Whoever runs it asks for one Candidate after another, in order, until it finds one that it
// could reserve.
func (p *Program) Unique() bool { return p.candidates != nil }

// Candidate returns the value of rule i of SelectUniqueValue, counted from 0; ok is false if there is no such rule,
// and then nobody can be given a value. A rule is evaluated when it is asked for, and not before: an error concerns
// this rule only, so that a caller that found a free value earlier never sees it. The same context always has the
// same candidates.
//
// A candidate that is null or an empty text is no value: the caller passes over it without probing. Two rules may
// give the same value; the caller need not probe it twice. If every rule is passed over or taken, the record fails
// and is tried again later. ErrIgnoreAttribute and ErrIgnoreObject end the search: they decide about the record.
//
// A program that is not Unique has itself as its only candidate.
func (p *Program) Candidate(ctx *Context, i int) (v Value, ok bool, err error) {
	rules := p.candidates
	if rules == nil {
		rules = []eval{p.root}
	}
	if i < 0 || i >= len(rules) {
		return Value{}, false, nil
	}
	ctx.work = MaxWork
	v, err = rules[i](ctx)
	return v, true, err
}

// Volatile reports whether the value may differ from one evaluation to the next of the same record: the program reads
// the clock, randomness, or by SelectUniqueValue the target.
func (p *Program) Volatile() bool { return p.volatile }

// Redacted reports whether the value must not be shown in logs: anything below a Redact can reach it.
func (p *Program) Redacted() bool { return p.masked }

// RedactedAttributes returns the names of the attributes that are read under a Redact, each once. Wherever they are
// shown they must be masked, in other mappings of the record too.
func (p *Program) RedactedAttributes() []string { return slices.Clone(p.redacted) }

// Attributes returns the names of the source attributes, each once, in the order of their first use.
func (p *Program) Attributes() []string { return slices.Clone(p.attributes) }

// String returns the source in canonical form: the reference's spelling, ", " between arguments.
func (p *Program) String() string { return p.source }

type compiler struct {
	src     string
	env     Env
	sites   int // volatile calls so far
	tracing bool
	masked  map[*Node]bool // nodes whose values nobody may see
	prog    *Program
}

// resolve returns a copy of the tree with the reference's spelling of the functions, and checks its shape.
func (c *compiler) resolve(n *Node) (*Node, error) {
	switch n.Kind {
	case ComparisonNode:
		return nil, n.errorf("a comparison can only be the condition of IIF or CBool")
	case KeywordNode:
		if isCompareType(n) {
			return nil, n.errorf("%s can only be the compareType of InStr", n.Name)
		}
	case CallNode:
		return c.resolveCall(n)
	}
	return n, nil
}

func (c *compiler) resolveCall(n *Node) (*Node, error) {
	f := lookup(n.Name)
	if f == nil {
		return nil, unknownFunction(n)
	}
	if f.Refused != "" {
		return nil, n.errorf("%s is not supported: %s", f.Name, f.Refused)
	}
	out := *n
	out.Name, out.Args = f.Name, slices.Clone(n.Args)
	if f.Name == "FormatDateTime" && len(out.Args) == 3 && !slices.Contains(out.Args, nil) {
		out.Args = slices.Insert(out.Args, 1, nil) // the old form, which has no dateTimeStyles
	}
	if err := f.checkArity(&out); err != nil {
		return nil, err
	}
	for i, a := range out.Args {
		if a == nil {
			continue
		}
		var err error
		if out.Args[i], err = c.resolveArgument(f, f.Param(i), a); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

func (c *compiler) resolveArgument(f *Function, p Param, n *Node) (*Node, error) {
	if n.Kind == ComparisonNode && p.Type == Condition {
		out := *n
		out.Args = make([]*Node, 2)
		for i, side := range n.Args {
			var err error
			if out.Args[i], err = c.resolve(side); err != nil {
				return nil, err
			}
		}
		return &out, nil
	}
	if p.Type == CompareType {
		if isCompareType(n) {
			return n, nil
		}
		return nil, n.errorf("%s: %s must be %s or %s", f.Name, p.Name, wordBinaryCompare, wordTextCompare)
	}
	if v, ok := constant(n); ok && p.Type == Number {
		if _, ok := integer(v); !ok {
			return nil, n.errorf("%s: %s must be a whole number, not %s", f.Name, p.Name, n)
		}
	}
	return c.resolve(n)
}

func unknownFunction(n *Node) error {
	var names []string
	for i := range table {
		names = append(names, table[i].Name)
	}
	if _, ok := keywordOf(n.Name); ok {
		return n.errorf("%s takes no arguments", n.Name)
	}
	if near := nearest(n.Name, names); near != "" {
		return n.errorf("there is no function %s; did you mean %s?", n.Name, near)
	}
	return n.errorf("there is no function %s", n.Name)
}

func null(*Context) (Value, error) { return Value{}, nil }

func (c *compiler) compile(n *Node) (eval, error) {
	if v, ok := constant(n); ok {
		return func(*Context) (Value, error) { return v, nil }, nil
	}
	switch n.Kind {
	case AttributeNode:
		return c.attribute(n)
	case KeywordNode:
		ignore := ErrIgnoreAttribute
		if n.Name == wordIgnoreObject {
			ignore = ErrIgnoreObject
		}
		return func(*Context) (Value, error) { return Value{}, ignore }, nil
	case ComparisonNode:
		return c.comparison(n)
	}
	return c.call(n)
}

func (c *compiler) attribute(n *Node) (eval, error) {
	slot, seen := c.prog.slots[n.Name]
	if !seen {
		slot = len(c.prog.attributes)
		if c.env.Attribute != nil {
			var err error
			if slot, err = c.env.Attribute(n.Name); err != nil {
				return nil, c.unknownAttribute(n, err)
			}
		}
		if slot < 0 {
			return nil, n.errorf("the attribute [%s] cannot be read", n.Name)
		}
		c.prog.slots[n.Name] = slot
		c.prog.attributes = append(c.prog.attributes, n.Name)
	}
	return func(ctx *Context) (Value, error) {
		if slot < len(ctx.Attributes) {
			return ctx.Attributes[slot], nil
		}
		return Value{}, nil
	}, nil
}

func (c *compiler) unknownAttribute(n *Node, err error) error {
	if near := nearest(n.Name, c.env.Known); near != "" {
		return n.errorf("%v; did you mean [%s]?", err, near)
	}
	return n.errorf("%v", err)
}

func (c *compiler) comparison(n *Node) (eval, error) {
	left, err := c.compile(n.Args[0])
	if err != nil {
		return nil, err
	}
	right, err := c.compile(n.Args[1])
	if err != nil {
		return nil, err
	}
	args := []eval{left, right}
	less, equal, more := strings.Contains(n.Name, "<"), n.Name != "<>" && strings.Contains(n.Name, "="), strings.Contains(n.Name, ">")
	c.watch(n, args)
	return c.finish(n, "comparison", func(ctx *Context) (Value, error) {
		l, err := args[0](ctx)
		if err != nil {
			return Value{}, err
		}
		r, err := args[1](ctx)
		if err != nil {
			return Value{}, err
		}
		order, ok, err := compare(l, r)
		return Bool(ok && (order < 0 && less || order == 0 && equal || order > 0 && more)), err
	}), nil
}

func (c *compiler) call(n *Node) (eval, error) {
	f := lookup(n.Name)
	s := site{src: c.src, salt: c.prog.salt, fn: f, node: n, args: make([]eval, len(n.Args))}
	if f.Volatile {
		c.prog.volatile = true
		s.index = c.sites
		c.sites++
	}
	for i, a := range n.Args {
		s.args[i] = null
		if a == nil {
			continue
		}
		var err error
		if s.args[i], err = c.compile(a); err != nil {
			return nil, err
		}
	}
	c.watch(n, s.args)
	run, err := f.build(&s)
	if err != nil {
		return nil, err
	}
	for i := range s.args {
		if f.Name == selectUniqueValue && !c.tracing {
			c.prog.candidates = append(c.prog.candidates, c.finish(n, f.Name, func(ctx *Context) (Value, error) { return s.value(ctx, i) }))
		}
	}
	return c.finish(n, f.Name, run), nil
}

// finish bounds what a call gives, and names it in its error.
func (c *compiler) finish(n *Node, name string, run evalFunc) eval {
	masked := c.masked[n]
	bounded := func(ctx *Context) (Value, error) {
		v, err := run(ctx)
		if err == nil {
			if ctx.work -= len(v.str) + 1; v.kind != List && ctx.work >= 0 && len(v.str) <= MaxText {
				return v, nil
			}
			if err = ctx.check(v); err == nil {
				return v, nil
			}
		}
		if err == ErrIgnoreAttribute || err == ErrIgnoreObject {
			return Value{}, err
		}
		if _, named := err.(*EvalError); named {
			return Value{}, err
		}
		if masked {
			err = errRedacted
		}
		return Value{}, &EvalError{Func: name, Pos: n.Pos, End: n.End, Msg: err.Error()}
	}
	if !c.tracing {
		return bounded
	}
	return c.traced(n, name, bounded)
}

var (
	errTooLong = fmt.Errorf("the result is longer than %d bytes", MaxText)
	errTooMany = fmt.Errorf("the result has more than %d values", MaxValues)
	errWork    = errors.New("the expression does more work than one record may take; make it, or its regular expressions, simpler")
)

// check takes what making a list cost from the work that is left, and says what is too much of v.
func (ctx *Context) check(v Value) error {
	size := len(v.str)
	if v.kind == List {
		for _, e := range *v.list {
			size += len(e.str)
		}
		ctx.work -= size + 64*len(*v.list)
	}
	switch {
	case v.kind == List && len(*v.list) > MaxValues:
		return errTooMany
	case size > MaxText:
		return errTooLong
	case ctx.work < 0:
		return errWork
	}
	return nil
}

// site is one call in an expression, as the builder of its function sees it.
type site struct {
	src   string // of the whole expression
	salt  string
	fn    *Function
	node  *Node
	index int // of a volatile call among those of the expression
	args  []eval
}

// given reports whether argument i was written.
func (s *site) given(i int) bool { return i >= 0 && i < len(s.node.Args) && s.node.Args[i] != nil }

// constant returns argument i if it is written out in the expression.
func (s *site) constant(i int) (string, bool) {
	if !s.given(i) {
		return "", false
	}
	v, ok := constant(s.node.Args[i])
	return v.String(), ok
}

// errorf is a compile error at argument i, or at the call if i is -1.
func (s *site) errorf(i int, format string, args ...any) error {
	n := s.node
	if s.given(i) {
		n = n.Args[i]
	}
	return n.errorf("%s: %s", s.fn.Name, fmt.Sprintf(format, args...))
}

// errorIn is a compile error at a character of the text constant that argument i is.
func (s *site) errorIn(i, character int, err error) error {
	n := s.node.Args[i]
	if n.Kind != TextNode || n.End > len(s.src) {
		return s.errorf(i, "%v", err)
	}
	at := n.Pos + 1
	for range character {
		if rest := s.src[at:n.End]; strings.HasPrefix(rest, `\\`) || strings.HasPrefix(rest, `\"`) {
			at++
		}
		_, size := utf8.DecodeRuneInString(s.src[at:])
		at = min(at+size, n.End-1)
	}
	return errorAt(at, at+1, "%s: %v", s.fn.Name, err)
}

// value evaluates argument i as one scalar; an argument not written is null.
func (s *site) value(ctx *Context, i int) (Value, error) {
	if i >= len(s.args) {
		return Value{}, nil
	}
	v, err := s.args[i](ctx)
	if v.kind == List && err == nil {
		return scalar(v)
	}
	return v, err
}

// text evaluates argument i as text; ok is false for null.
func (s *site) text(ctx *Context, i int) (t string, ok bool, err error) {
	v, err := s.value(ctx, i)
	if v.kind == String || v.kind == Null {
		return v.str, v.kind == String, err
	}
	return v.String(), true, err
}

// integer evaluates argument i as a whole number.
func (s *site) integer(ctx *Context, i int) (int64, error) {
	v, err := s.value(ctx, i)
	if err != nil {
		return 0, err
	}
	n, ok := integer(v)
	if !ok {
		return 0, fmt.Errorf("%s must be a whole number, not %s", s.fn.Param(i).Name, shown(v))
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
	if v.kind == String && strings.HasPrefix(v.str, "&") {
		tok, err := (&lexer{src: v.str}).number()
		return tok.num, err == nil && tok.hex && len(tok.text) == len(v.str)
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
		return 0, false, err
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

func order3(less, more bool) int {
	switch {
	case less:
		return -1
	case more:
		return 1
	}
	return 0
}
