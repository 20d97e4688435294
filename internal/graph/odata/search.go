package odata

import (
	"fmt"
	"strings"
)

// Search is a parsed $search of directory objects, such as "displayName:wa" AND ("mail:ana" OR "mail:ben"): clauses in
// quotes, in which \" and \\ stand for a quote and a backslash, and each of which may begin with a property.
type Search struct {
	Root Expr // And, Or or Clause
}

// Clause is one clause of a Search.
type Clause struct {
	Property string // lower case; "" for those that are searched by default
	Text     string // not empty
}

func (Clause) expr() {}

// ParseSearch parses the value of $search, decoded from the URL. The error is an *Error. AND, which may be left out, binds
// tighter than OR; both are upper case. A search of more than 8 KiB, or nested deeper than 64 levels, is refused.
func ParseSearch(s string) (*Search, error) {
	if len(s) > maxFilter {
		return nil, searchError("it is longer than %d bytes", maxFilter)
	}
	p := &searchParser{rest: s}
	root, err := p.or()
	if err == nil && p.space() != "" {
		err = searchError("expected AND, OR or the end, found %q", clip(p.rest))
	}
	if err != nil {
		return nil, err
	}
	return &Search{root}, nil
}

// Match reports whether the search holds, by what match says of each clause that decides it.
func (s *Search) Match(match func(Clause) bool) bool { return searched(s.Root, match) }

func searched(x Expr, match func(Clause) bool) bool {
	switch x := x.(type) {
	case And:
		for _, m := range x {
			if !searched(m, match) {
				return false
			}
		}
		return true
	case Or:
		for _, m := range x {
			if searched(m, match) {
				return true
			}
		}
		return false
	case Clause:
		return match(x)
	}
	return false
}

// Clauses returns all clauses, in order.
func (s *Search) Clauses() (all []Clause) {
	var walk func(Expr)
	walk = func(x Expr) {
		switch x := x.(type) {
		case And:
			for _, m := range x {
				walk(m)
			}
		case Or:
			for _, m := range x {
				walk(m)
			}
		case Clause:
			all = append(all, x)
		}
	}
	walk(s.Root)
	return all
}

func searchError(format string, args ...any) *Error {
	return queryError("invalid value of '$search': "+format, args...)
}

type searchParser struct {
	rest  string
	depth int
}

// space passes over white space and returns what is left.
func (p *searchParser) space() string {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	return p.rest
}

// word takes a keyword, if it stands here.
func (p *searchParser) word(w string) bool {
	rest, found := strings.CutPrefix(p.space(), w)
	if !found || rest != "" && isNameByte(rest[0]) {
		return false
	}
	p.rest = rest
	return true
}

func (p *searchParser) or() (Expr, error) {
	var members Or
	for {
		x, err := p.and()
		if err != nil {
			return nil, err
		}
		members = append(members, x)
		if !p.word("OR") {
			break
		}
	}
	if len(members) == 1 {
		return members[0], nil
	}
	return members, nil
}

func (p *searchParser) and() (Expr, error) {
	var members And
	for {
		x, err := p.operand()
		if err != nil {
			return nil, err
		}
		members = append(members, x)
		if next := p.space(); !p.word("AND") && (next == "" || next[0] != '"' && next[0] != '(') {
			break
		}
	}
	if len(members) == 1 {
		return members[0], nil
	}
	return members, nil
}

func (p *searchParser) operand() (Expr, error) {
	if !strings.HasPrefix(p.space(), "(") {
		return p.clause()
	}
	if p.depth++; p.depth > maxDepth {
		return nil, searchError("it is nested deeper than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	p.rest = p.rest[1:]
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	var closed bool
	if p.rest, closed = strings.CutPrefix(p.space(), ")"); !closed {
		return nil, searchError("a parenthesis is not closed")
	}
	return x, nil
}

func (p *searchParser) clause() (Expr, error) {
	if !strings.HasPrefix(p.space(), `"`) {
		return nil, searchError(`expected a clause in double quotes, such as "displayName:ana", found %q`, clip(p.rest))
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		case c == '"':
			p.rest = p.rest[i+1:]
			return newClause(b.String())
		default:
			b.WriteByte(c)
		}
	}
	return nil, searchError("a clause has no closing quote")
}

func newClause(text string) (Expr, error) {
	property, rest, named := strings.Cut(text, ":")
	c := Clause{Text: text}
	if named && isName(property) {
		c = Clause{strings.ToLower(property), rest}
	}
	if c.Text = strings.TrimSpace(c.Text); c.Text == "" {
		return nil, searchError("a clause has no text")
	}
	return c, nil
}

func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// String returns the search in canonical form: ParseSearch of it gives the same tree.
func (s *Search) String() string { return printSearch(s.Root) }

func printSearch(x Expr) string {
	var parts []string
	switch x := x.(type) {
	case And:
		for _, m := range x {
			parts = append(parts, printOperand(m))
		}
		return strings.Join(parts, " AND ")
	case Or:
		for _, m := range x {
			parts = append(parts, printOperand(m))
		}
		return strings.Join(parts, " OR ")
	case Clause:
		text := x.Text
		if x.Property != "" {
			text = x.Property + ":" + text
		}
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	return fmt.Sprint(x)
}

// printOperand keeps what was in parentheses there.
func printOperand(x Expr) string {
	if _, ok := x.(Clause); ok {
		return printSearch(x)
	}
	return "(" + printSearch(x) + ")"
}
