package expr

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ParamType is what a parameter takes, or what a function gives.
type ParamType string

// The types of parameters and results.
const (
	Any         ParamType = "value"     // anything, a list too
	Scalar      ParamType = "text"      // one value, read as text
	Number      ParamType = "integer"   // a whole number, quoted or not
	Truth       ParamType = "boolean"   // True or False
	DateText    ParamType = "date"      // a text that says a date
	Values      ParamType = "values"    // a list
	Condition   ParamType = "condition" // a comparison, or a value that is true or false
	CompareType ParamType = "compare"   // vbBinaryCompare or vbTextCompare
)

// Schema returns the attribute type of Graph that comes closest: String, Integer or Boolean.
func (t ParamType) Schema() string {
	switch t {
	case Number:
		return "Integer"
	case Truth, Condition:
		return "Boolean"
	}
	return "String"
}

// Param describes one parameter of a function.
type Param struct {
	Name     string // as the function reference spells it
	Wire     string // as Graph's listing of functions, and the key of a structured mapping, spell it
	Type     ParamType
	Required bool
	Doc      string
}

// Given is the value of one source attribute in an example; null if Values is empty.
type Given struct {
	Name   string
	Values []string
}

// Example is an expression with the result it gives.
type Example struct {
	Expr   string
	Given  []Given
	Result string // as logs show it
}

// Function describes one function of the language.
type Function struct {
	Name        string
	Params      []Param
	Repeat      int // how many of the last parameters may be given again, together
	Returns     ParamType
	Doc         string   // what it does, in Markdown
	Traps       []string // what surprises people
	Examples    []Example
	Volatile    bool   // differs from one evaluation to the next
	MultiValued bool   // is made for attributes with several values
	Extension   bool   // Entra's reference for app provisioning does not have it
	Refused     string // why the function cannot be used here, "" if it can

	build func(*site) (func(*Context) (Value, error), error)
}

// Repeats reports whether parameter i may be given again.
func (f *Function) Repeats(i int) bool { return i >= len(f.Params)-f.Repeat }

// Functions returns the functions in alphabetical order, those that are refused too. What they share must not be changed.
func Functions() []Function { return slices.Clone(table) }

// Lookup returns the function of a name, in any case.
func Lookup(name string) (f Function, ok bool) {
	if found := lookup(name); found != nil {
		return *found, true
	}
	return f, false
}

func lookup(name string) *Function {
	for i := range table {
		if strings.EqualFold(table[i].Name, name) {
			return &table[i]
		}
	}
	return nil
}

// Signature is the call form, such as "Mid(source, start, length)"; optional parameters have a "?".
func (f *Function) Signature() string {
	names := make([]string, len(f.Params))
	for i, p := range f.Params {
		if names[i] = p.Name; !p.Required {
			names[i] += "?"
		}
	}
	if f.Repeat > 0 {
		names = append(names, "...")
	}
	return f.Name + "(" + strings.Join(names, ", ") + ")"
}

// Param returns what argument i is for. The function must have parameters, and if none repeats at least i+1 of them.
func (f *Function) Param(i int) Param {
	if n := len(f.Params); f.Repeat > 0 && i >= n {
		i = n - f.Repeat + (i-n)%f.Repeat
	}
	return f.Params[i]
}

func (f *Function) checkArity(n *Node) error {
	for i, p := range f.Params {
		if p.Required && (i >= len(n.Args) || n.Args[i] == nil) {
			return n.errorf("%s: the argument %s (number %d) is missing; expected %s", f.Name, p.Name, i+1, f.Signature())
		}
	}
	extra := len(n.Args) - len(f.Params)
	if extra <= 0 {
		return nil
	}
	if len(f.Params) == 0 {
		return n.errorf("%s takes no arguments; write %s()", f.Name, f.Name)
	}
	if f.Repeat == 0 {
		// Trailing empty arguments, as in ToLower([x], , ), mean nothing.
		for _, a := range n.Args[len(f.Params):] {
			if a != nil {
				return a.errorf("%s takes at most %d arguments, %d given; expected %s", f.Name, len(f.Params), len(n.Args), f.Signature())
			}
		}
		return n.errorf("%s takes at most %d arguments, %d given; remove the commas at the end", f.Name, len(f.Params), len(n.Args))
	}
	if extra%f.Repeat != 0 {
		return n.errorf("%s: the last key has no value; expected %s", f.Name, f.Signature())
	}
	for i := len(f.Params); i < len(n.Args); i++ {
		if n.Args[i] == nil && f.Param(i).Required {
			return n.errorf("%s: the argument %s (number %d) is empty", f.Name, f.Param(i).Name, i+1)
		}
	}
	return nil
}

func required(name string, t ParamType, doc string) Param {
	return Param{Name: name, Wire: name, Type: t, Required: true, Doc: doc}
}

func optional(name string, t ParamType, doc string) Param {
	return Param{Name: name, Wire: name, Type: t, Doc: doc}
}

func wire(name string, p Param) Param {
	p.Wire = name
	return p
}

func given(name string, values ...string) Given {
	return Given{Name: name, Values: values}
}
func example(expr, result string, attributes ...Given) Example {
	return Example{Expr: expr, Given: attributes, Result: result}
}

type evalFunc = func(*Context) (Value, error)
type builder = func(*site) (evalFunc, error)

// onText builds a function of one text; null gives null.
func onText(f func(string) (Value, error)) builder {
	return func(s *site) (evalFunc, error) {
		return func(ctx *Context) (Value, error) {
			t, ok, err := s.text(ctx, 0)
			if err != nil || !ok {
				return Value{}, err
			}
			return f(t)
		}, nil
	}
}

func onString(f func(string) string) builder {
	return onText(func(t string) (Value, error) { return Text(f(t)), nil })
}

// onValue builds a function of one value of any kind, null and lists too.
func onValue(f func(Value) (Value, error)) builder {
	return func(s *site) (evalFunc, error) {
		return func(ctx *Context) (Value, error) {
			v, err := s.args[0](ctx)
			if err != nil {
				return Value{}, err
			}
			return f(v)
		}, nil
	}
}

// plain builds a function that checks nothing ahead.
func plain(f func(s *site, ctx *Context) (Value, error)) builder {
	return func(s *site) (evalFunc, error) {
		return func(ctx *Context) (Value, error) { return f(s, ctx) }, nil
	}
}

const (
	outboundOnly  = "it concerns app role assignments, which only outbound provisioning has"
	cloudSyncOnly = "it belongs to the language of cloud sync, not to that of app provisioning"
)

// truth reads a condition: null and an empty text are false, a number is true unless it is 0.
func truth(v Value) (bool, error) {
	v, err := scalar(v)
	if err != nil || v.IsEmpty() {
		return false, err
	}
	if n, ok := integer(v); ok {
		return n != 0, nil
	}
	b, ok := v.AsBool()
	if !ok {
		return false, fmt.Errorf("the condition is %s, which is neither true nor false", shown(v))
	}
	return b, nil
}

func iif(s *site, ctx *Context) (Value, error) {
	c, err := s.args[0](ctx)
	if err != nil {
		return Value{}, err
	}
	yes, err := truth(c)
	if err != nil {
		return Value{}, err
	}
	if yes {
		return s.args[1](ctx)
	}
	return s.args[2](ctx)
}

// buildSwitch compares with keys that are constants without evaluating them.
func buildSwitch(s *site) (evalFunc, error) {
	keys, fixed := make([]string, len(s.args)), make([]bool, len(s.args))
	for i := 2; i < len(s.args); i += 2 {
		keys[i], fixed[i] = s.constant(i)
	}
	return func(ctx *Context) (Value, error) {
		source, _, err := s.text(ctx, 0)
		if err != nil {
			return Value{}, err
		}
		for i := 2; i < len(s.args); i += 2 {
			key := keys[i]
			if !fixed[i] {
				if key, _, err = s.text(ctx, i); err != nil {
					return Value{}, err
				}
			}
			if key == source {
				return s.args[i+1](ctx)
			}
		}
		return s.args[1](ctx)
	}, nil
}

func defaultDomain(_ *site, ctx *Context) (Value, error) {
	if ctx.DefaultDomain == "" {
		return Value{}, errors.New("no default domain is configured")
	}
	return Text(ctx.DefaultDomain), nil
}

func isNull(v Value) (Value, error) { return Bool(v.IsNull() || v.Kind() == List && v.IsEmpty()), nil }

func coalesce(s *site, ctx *Context) (Value, error) {
	var kept Value
	for _, arg := range s.args {
		v, err := arg(ctx)
		if err != nil || !v.IsEmpty() {
			return v, err
		}
		if kept.IsNull() {
			kept = v
		}
	}
	return kept, nil
}

// firstRule is the first candidate of SelectUniqueValue: rules that are null or empty are passed over, and those that fail
// if another gives a value.
func firstRule(s *site, ctx *Context) (Value, error) {
	var failed error
	for i := range s.args {
		v, err := s.value(ctx, i)
		switch {
		case errors.Is(err, ErrIgnoreAttribute), errors.Is(err, ErrIgnoreObject):
			return Value{}, err
		case err != nil:
			failed = cmp.Or(failed, err)
		case !v.IsEmpty():
			return v, nil
		}
	}
	return Value{}, failed
}

func join(s *site, ctx *Context) (Value, error) {
	sep, _, err := s.text(ctx, 0)
	if err != nil {
		return Value{}, err
	}
	var short [128]byte
	out := short[:0]
	for _, arg := range s.args[1:] {
		v, err := arg(ctx)
		if err != nil {
			return Value{}, err
		}
		if v.kind != List {
			out = appendPart(out, sep, v)
		} else {
			for _, e := range *v.list {
				out = appendPart(out, sep, e)
			}
		}
		if len(out) > MaxText {
			return Value{}, errTooLong
		}
	}
	if len(out) == 0 {
		return Value{}, nil
	}
	return Text(string(out)), nil
}

// appendPart adds v to a text that is being joined, if it is not empty; beyond MaxText it adds no more.
func appendPart(out []byte, sep string, v Value) []byte {
	if v.IsEmpty() || len(out) > MaxText {
		return out
	}
	if len(out) > 0 {
		out = append(out, sep...)
	}
	if v.kind == String {
		return append(out, v.str...)
	}
	return append(out, v.String()...)
}

// concat builds Append(source, suffix) and Prepend(prefix, source).
func concat(source int) builder {
	return plain(func(s *site, ctx *Context) (Value, error) {
		first, ok0, err := s.text(ctx, 0)
		if err != nil {
			return Value{}, err
		}
		second, ok1, err := s.text(ctx, 1)
		if err != nil || !ok0 && source == 0 || !ok1 && source == 1 {
			return Value{}, err
		}
		if len(first)+len(second) > MaxText {
			return Value{}, errTooLong
		}
		return Text(first + second), nil
	})
}

func not(v Value) (Value, error) {
	v, err := scalar(v)
	return Bool(!strings.EqualFold(v.String(), "true")), err
}

func item(s *site, ctx *Context) (Value, error) {
	v, err := s.args[0](ctx)
	if err != nil || v.IsNull() {
		return Value{}, err
	}
	i, err := s.integer(ctx, 1)
	if err != nil {
		return Value{}, err
	}
	elems := v.Elems()
	if i < 1 || i > int64(len(elems)) {
		return Value{}, fmt.Errorf("there is no item %d; the attribute has %d, counted from 1", i, len(elems))
	}
	return elems[i-1], nil
}

func split(s *site) (evalFunc, error) {
	if d, ok := s.constant(1); ok && d == "" {
		return nil, s.errorf(1, "the delimiter is empty")
	}
	return func(ctx *Context) (Value, error) {
		source, ok, err := s.text(ctx, 0)
		if err != nil || !ok {
			return Value{}, err
		}
		d, _, err := s.text(ctx, 1)
		if err != nil {
			return Value{}, err
		}
		if d == "" {
			return Value{}, errors.New("the delimiter is empty")
		}
		var parts []Value
		for p := range strings.SplitSeq(source, d) {
			if p == "" {
				continue
			}
			if parts = append(parts, Text(p)); len(parts) > MaxValues {
				return Value{}, errTooMany
			}
		}
		if parts == nil {
			return Value{}, nil
		}
		return Multi(parts...), nil
	}, nil
}

func removeDuplicates(v Value) (Value, error) {
	if v.Kind() != List {
		return v, nil
	}
	seen := map[string]bool{}
	var kept []Value
	for _, e := range v.Elems() {
		if k := e.Kind().String() + ":" + e.String(); !seen[k] {
			seen[k] = true
			kept = append(kept, e)
		}
	}
	return Multi(kept...), nil
}

func bitAnd(s *site, ctx *Context) (Value, error) {
	result := int64(-1)
	for i := range s.args {
		v, err := s.value(ctx, i)
		if err != nil || v.IsNull() {
			return Value{}, err
		}
		n, err := s.integer(ctx, i)
		if err != nil {
			return Value{}, err
		}
		result &= n
	}
	return Int(result), nil
}

func toInteger(t string) (Value, error) {
	n, ok := integer(Text(t))
	if !ok {
		return Value{}, fmt.Errorf("%s is not a whole number", shown(Text(t)))
	}
	return Int(n), nil
}

func ignoreIfEmpty(v Value) (Value, error) {
	if v.IsEmpty() {
		return Value{}, ErrIgnoreAttribute
	}
	return v, nil
}
