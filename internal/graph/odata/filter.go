// Package odata reads the part of OData 4.01's URL conventions that Graph clients use: system query options, and
// $filter and $search expressions, which it parses, prints and evaluates. It knows nothing of entities: a caller names properties
// by path and supplies their values.
//
// The filter grammar (keywords, functions and property names in any case):
//
//	or         = and { "or" and }
//	and        = unary { "and" unary }
//	unary      = "not" unary | "(" or ")" | predicate
//	predicate  = operand cmp operand                   exactly one side is a literal
//	           | operand "in" "(" literal { "," literal } ")"
//	           | test "(" operand "," literal ")" [ ( "eq" | "ne" ) boolean ]
//	           | path "/" ( "any" | "all" ) "(" [ name ":" or ] ")"
//	operand    = path | case "(" operand ")" | literal
//	cmp        = "eq" | "ne" | "gt" | "ge" | "lt" | "le"
//	test       = "contains" | "startswith" | "endswith"
//	case       = "tolower" | "toupper"
//	path       = name { "/" name } [ "/$count" ]       $count is the number of a collection's elements
//	literal    = 'string' | guid | dateTimeOffset | date | number | true | false | null | dotted.type'member'
package odata

import (
	"fmt"
	"slices"
)

const (
	maxFilter = 8 << 10 // bytes of a filter
	maxDepth  = 64      // nested parentheses, negations and lambdas of a filter
)

// Error says what is wrong with a filter or a query, and where.
type Error struct {
	Pos int // byte offset in the filter; -1 when it is about a query option
	Msg string
}

func (e *Error) Error() string {
	if e.Pos < 0 {
		return e.Msg
	}
	return fmt.Sprintf("%s (at position %d)", e.Msg, e.Pos+1)
}

// Filter is a parsed $filter. It is safe for concurrent use as long as nobody writes its fields.
type Filter struct {
	Root Expr
	// Fold makes comparisons of strings ignore case, as the directory does; the provisioning log minds it.
	Fold bool
}

// Expr is a node of a filter: And, Or, Not, Any or Comparison.
// Trees are in one form: no And is directly in an And, no Or in an Or, no Not in a Not.
type Expr interface{ expr() }

// And holds if all of its two or more members hold.
type And []Expr

// Or holds if one of its two or more members holds.
type Or []Expr

// Not holds if X does not.
type Not struct{ X Expr }

// Any holds if Cond holds for one element of the collection at Path; with All, for each of them.
// Paths in Cond are relative to the element, and "" is the element itself. A nil Cond asks for any element at all.
type Any struct {
	Path string
	All  bool
	Cond Expr
	Pos  int // byte offset in the source
}

// Comparison compares the property at Path with a literal.
type Comparison struct {
	Path string // lower case, segments separated by "/"
	// Op is eq, ne, gt, ge, lt, le, in, contains, startswith or endswith.
	Op string
	// Value is a string (also for guids and enum members), bool, int64, float64, time.Time in UTC, or nil for null;
	// for in it is a []any of those.
	Value any
	Func  string // "", "tolower" or "toupper": applied to the property's value first
	Pos   int    // byte offset in the source
}

func (And) expr()        {}
func (Or) expr()         {}
func (Not) expr()        {}
func (Any) expr()        {}
func (Comparison) expr() {}

// Conjuncts returns the comparisons that must all hold for the filter to hold: the filter itself if it is a
// comparison, or those of the top-level "and". Whatever else is joined to them by "and" is not told of, so a caller
// may narrow a search by them but still has to Match.
func (f *Filter) Conjuncts() []Comparison {
	all, ok := f.Root.(And)
	if !ok {
		all = And{f.Root}
	}
	var found []Comparison
	for _, x := range all {
		if c, ok := x.(Comparison); ok {
			found = append(found, c)
		}
	}
	return found
}

// Paths returns each path that the filter reads, once, sorted. A path that is read of a collection's elements is
// prefixed with the collection's: identities/any(i:i/issuer eq 'x') reads identities and identities/issuer.
func (f *Filter) Paths() []string {
	var paths []string
	var walk func(prefix string, x Expr)
	walk = func(prefix string, x Expr) {
		switch x := x.(type) {
		case And:
			for _, m := range x {
				walk(prefix, m)
			}
		case Or:
			for _, m := range x {
				walk(prefix, m)
			}
		case Not:
			walk(prefix, x.X)
		case Any:
			of := join(prefix, x.Path)
			paths = append(paths, of)
			walk(of, x.Cond)
		case Comparison:
			paths = append(paths, join(prefix, x.Path))
		}
	}
	walk("", f.Root)
	slices.Sort(paths)
	return slices.Compact(paths)
}

func join(prefix, path string) string {
	if prefix == "" || path == "" {
		return prefix + path
	}
	return prefix + "/" + path
}
