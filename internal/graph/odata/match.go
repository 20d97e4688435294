package odata

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// UnknownProperty is what a getter returns for a path that its entity does not have; Match then returns an error.
// Filter.Paths tells beforehand what will be asked for.
type UnknownProperty struct{}

// truth is a value of OData's three-valued logic; as numbers, and is the least, or the greatest, not the negative.
type truth int8

const (
	no      truth = -1
	unknown truth = 0
	yes     truth = 1
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// Match reports whether the filter holds for an entity. get returns the value at a path in lower case: a string, bool,
// int64, time.Time, []string, nil for null, or an UnknownProperty. For a collection of complex values it returns one
// getter per element, as []func(path string) any.
//
// Null is as OData 4.01 says: it equals only null, is neither less nor greater than anything, and a function of it is
// null, which does not match, negated or not. The error is an *Error: an unknown property, or a literal of a type that
// the property's value cannot be compared with.
func (f *Filter) Match(get func(path string) any) (bool, error) {
	t, err := f.eval(f.Root, get)
	return t == yes, err
}

func (f *Filter) eval(x Expr, get func(string) any) (truth, error) {
	switch x := x.(type) {
	case And:
		return f.evalAll(x, get, no)
	case Or:
		return f.evalAll(x, get, yes)
	case Not:
		t, err := f.eval(x.X, get)
		return -t, err
	case Any:
		return f.evalAny(x, get)
	case Comparison:
		return f.compare(x, get)
	}
	return unknown, &Error{-1, "the filter is empty"}
}

// evalAll evaluates members until one is decisive: no for and, yes for or.
func (f *Filter) evalAll(members []Expr, get func(string) any, decisive truth) (truth, error) {
	result := -decisive
	for _, m := range members {
		t, err := f.eval(m, get)
		if err != nil || t == decisive {
			return t, err
		}
		if t == unknown {
			result = unknown
		}
	}
	return result, nil
}

func (f *Filter) evalAny(x Any, get func(string) any) (truth, error) {
	elements, err := elementsOf(x.Path, x.Pos, get)
	if err != nil {
		return no, err
	}
	if x.Cond == nil {
		return truthOf(len(elements) > 0), nil
	}
	decisive := truthOf(!x.All)
	result := -decisive
	for _, e := range elements {
		t, err := f.eval(x.Cond, e)
		if err != nil || t == decisive {
			return t, err
		}
		if t == unknown {
			result = unknown
		}
	}
	return result, nil
}

// elementsOf returns a getter for each element of a collection.
func elementsOf(path string, pos int, get func(string) any) (elements []func(string) any, err error) {
	switch v := get(path).(type) {
	case nil:
	case []string:
		for _, s := range v {
			elements = append(elements, elementGetter(s))
		}
	case []func(string) any:
		elements = v
	case UnknownProperty:
		return nil, unknownProperty(pos, path)
	default:
		return nil, &Error{pos, fmt.Sprintf("%q is not a collection: any, all and $count cannot be asked of it", path)}
	}
	return elements, nil
}

// elementGetter is the getter of an element that is a plain string.
func elementGetter(s string) func(string) any {
	return func(path string) any {
		if path == "" {
			return s
		}
		return UnknownProperty{}
	}
}

func unknownProperty(pos int, path string) error {
	return &Error{pos, fmt.Sprintf("unknown property %q", clip(path))}
}

func (f *Filter) compare(c Comparison, get func(string) any) (truth, error) {
	v, err := valueOf(c, get)
	if err != nil {
		return no, err
	}
	switch have := v.(type) {
	case UnknownProperty:
		return no, unknownProperty(c.Pos, c.Path)
	case []string, []func(string) any:
		return no, &Error{c.Pos, fmt.Sprintf("%q is a collection: ask for it with %s/any(x:…)", c.Path, c.Path)}
	case string:
		if c.Func != "" {
			v = changeCase(c.Func, have)
		}
	case nil:
	default:
		if c.Func != "" || tests[c.Op] {
			return no, &Error{c.Pos, fmt.Sprintf("%q is not a string, which %s needs", c.Path, cmp.Or(c.Func, c.Op))}
		}
	}
	if tests[c.Op] {
		return f.test(c, v)
	}
	if list, ok := c.Value.([]any); ok {
		return f.in(c, v, list)
	}
	return f.relate(c, v, c.Value)
}

// valueOf returns the value that a comparison is of: a property's, or the number of a collection's elements.
func valueOf(c Comparison, get func(string) any) (any, error) {
	of, counted := strings.CutSuffix(c.Path, "/$count")
	if !counted {
		return get(c.Path), nil
	}
	elements, err := elementsOf(of, c.Pos, get)
	return int64(len(elements)), err
}

// test evaluates contains, startswith and endswith, whose literal is a string.
func (f *Filter) test(c Comparison, v any) (truth, error) {
	s, ok := v.(string)
	if !ok {
		return unknown, nil
	}
	s, want := f.fold(s), f.fold(c.Value.(string))
	switch c.Op {
	case "contains":
		return truthOf(strings.Contains(s, want)), nil
	case "startswith":
		return truthOf(strings.HasPrefix(s, want)), nil
	}
	return truthOf(strings.HasSuffix(s, want)), nil
}

func (f *Filter) in(c Comparison, v any, list []any) (truth, error) {
	c.Op = "eq"
	for _, want := range list {
		if t, err := f.relate(c, v, want); err != nil || t == yes {
			return t, err
		}
	}
	return no, nil
}

// relate compares a property's value with a literal by c.Op.
func (f *Filter) relate(c Comparison, have, want any) (truth, error) {
	if have == nil || want == nil {
		return truthOf(c.Op == "eq" && have == want || c.Op == "ne" && have != want), nil
	}
	order, ok := f.order(have, want)
	_, isBool := have.(bool)
	if !ok || isBool && c.Op != "eq" && c.Op != "ne" {
		return no, &Error{c.Pos, fmt.Sprintf("%q is %s: it cannot be compared with %s %s", c.Path, typeName(have), c.Op, literal(want))}
	}
	switch c.Op {
	case "eq":
		return truthOf(order == 0), nil
	case "ne":
		return truthOf(order != 0), nil
	case "gt":
		return truthOf(order > 0), nil
	case "ge":
		return truthOf(order >= 0), nil
	case "lt":
		return truthOf(order < 0), nil
	}
	return truthOf(order <= 0), nil
}

// order compares two values of one type, neither of them null; ok is false when their types do not compare.
func (f *Filter) order(have, want any) (order int, ok bool) {
	switch have := have.(type) {
	case string:
		want, ok := want.(string)
		return strings.Compare(f.fold(have), f.fold(want)), ok
	case time.Time:
		want, ok := want.(time.Time)
		return have.Compare(want), ok
	case bool:
		want, ok := want.(bool)
		return cmp.Compare(ordinal(have), ordinal(want)), ok
	case int64:
		switch want := want.(type) {
		case int64:
			return cmp.Compare(have, want), true
		case float64:
			return cmp.Compare(float64(have), want), true
		}
	}
	return 0, false
}

func ordinal(b bool) int { return slices.Index([]bool{false, true}, b) }

func (f *Filter) fold(s string) string {
	if f.Fold {
		return strings.ToLower(s)
	}
	return s
}

func changeCase(fn, s string) string {
	if fn == "toupper" {
		return strings.ToUpper(s)
	}
	return strings.ToLower(s)
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case time.Time:
		return "a date and time"
	case bool:
		return "a boolean"
	case int64:
		return "a number"
	}
	return fmt.Sprintf("a %T", v)
}
