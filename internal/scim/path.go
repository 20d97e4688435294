package scim

import (
	"fmt"
	"strings"
)

// path is an attribute path, taken apart. Names are in lower case.
type path struct {
	urn    string // the schema that the attribute belongs to
	attr   string
	sub    string // "" if the attribute itself is named
	filter bool   // only elements whose attribute by equals want
	by     string
	want   Value // Text, Number, Boolean or Null
}

// parsePath reads [urn:]attr[.sub] and [urn:]attr[by eq literal][.sub]. The URN ends at the last
// colon before the filter, as in RFC 7644 section 3.10.
func parsePath(text string) (path, error) {
	head, rest := text, ""
	bracket := strings.IndexByte(text, '[')
	if bracket >= 0 {
		head, rest = text[:bracket], text[bracket:]
	}
	p := path{urn: UserURN, attr: head}
	if colon := strings.LastIndexByte(head, ':'); colon >= 0 {
		p.urn, p.attr = head[:colon], head[colon+1:]
	}
	if bracket < 0 {
		var dot bool
		p.attr, p.sub, dot = strings.Cut(p.attr, ".")
		if dot && p.sub == "" {
			return path{}, fmt.Errorf("attribute path %q: expected a sub-attribute after the point, found none", text)
		}
	} else if err := p.parseFilter(rest); err != nil {
		return path{}, fmt.Errorf("attribute path %q: %w", text, err)
	}
	p.urn, p.attr, p.sub, p.by = strings.ToLower(p.urn), strings.ToLower(p.attr), strings.ToLower(p.sub), strings.ToLower(p.by)
	if p.urn == "" || p.attr == "" || strings.ContainsAny(p.attr, `."[]`) || strings.ContainsAny(p.sub, `."[]`) {
		return path{}, fmt.Errorf(`attribute path %q: expected a name such as userName, name.givenName or emails[type eq "work"].value`, text)
	}
	return p, nil
}

// parseFilter reads `[by eq literal]` and an optional `.sub`.
func (p *path) parseFilter(text string) error {
	by, rest, _ := strings.Cut(strings.TrimLeft(text[1:], " "), " ")
	operator, rest, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if by == "" || !equalFold(operator, "eq") {
		return fmt.Errorf(`expected a filter such as [type eq "work"]; eq is the only operator`)
	}
	s := scanner{src: []byte(rest), depth: 1}
	s.space()
	c := s.peek()
	v := s.skip()
	s.space()
	if s.err != nil || c == '{' || c == '[' {
		return fmt.Errorf(`expected a string in double quotes, a number, true, false or null after eq`)
	}
	if s.peek() != ']' {
		return fmt.Errorf("expected ] after the filter's value, found %s", s.found())
	}
	p.filter, p.by, p.want = true, by, s.scalar(v)
	switch sub := rest[s.pos+1:]; {
	case sub == "":
	case sub[0] == '.' && len(sub) > 1:
		p.sub = sub[1:]
	default:
		return fmt.Errorf("expected a sub-attribute such as .value after the filter, found %q", sub)
	}
	return nil
}

// scalar decodes the string, number, boolean or null at v.
func (s *scanner) scalar(v span) Value {
	switch shape(s.src[v.start]) {
	case "a string":
		return Value{Kind: Text, Str: string(s.textAt(v))}
	case "a number":
		return Value{Kind: Number, Str: string(s.src[v.start:v.end])}
	case "a boolean":
		return Value{Kind: Boolean, Str: string(s.src[v.start:v.end])}
	}
	return Value{Kind: Null}
}
