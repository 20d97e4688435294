package expr

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The arguments of Replace.
const (
	replaceSource = iota
	replaceOld
	replacePattern
	replaceGroup
	replaceValue
	replaceAttribute
	replaceTemplate
)

// buildReplace picks the mode of Replace by the arguments that are written.
func buildReplace(s *site) (evalFunc, error) {
	has := s.given
	switch {
	case has(replacePattern):
		return buildReplacePattern(s)
	case !has(replaceOld):
		return nil, s.errorf(-1, "nothing to look for; give oldValue or regexPattern")
	case has(replaceGroup) || has(replaceAttribute):
		return nil, s.errorf(-1, "regexGroupName and replacementAttributeName need regexPattern")
	case has(replaceValue) == has(replaceTemplate):
		return nil, s.errorf(-1, "oldValue needs either replacementValue or template")
	}
	if old, ok := s.constant(replaceOld); ok && old == "" {
		return nil, s.errorf(replaceOld, "oldValue is empty")
	}
	return func(ctx *Context) (Value, error) { return replaceText(s, ctx) }, nil
}

// replaceText replaces oldValue in the source, or oldValue in the template by the source.
func replaceText(s *site, ctx *Context) (Value, error) {
	in, ok, err := s.text(ctx, replaceSource)
	if err != nil || !ok {
		return Value{}, err
	}
	old, _, err := s.text(ctx, replaceOld)
	if err != nil {
		return Value{}, err
	}
	if old == "" {
		return Value{}, errors.New("oldValue is empty")
	}
	var by string
	if s.given(replaceTemplate) {
		by = in
		in, _, err = s.text(ctx, replaceTemplate)
	} else {
		by, _, err = s.text(ctx, replaceValue)
	}
	if err != nil {
		return Value{}, err
	}
	if n := strings.Count(in, old); len(in)+n*(len(by)-len(old)) > MaxText && n > 0 {
		return Value{}, errTooLong
	}
	return Text(strings.ReplaceAll(in, old, by)), nil
}

func buildReplacePattern(s *site) (evalFunc, error) {
	if s.given(replaceOld) || s.given(replaceTemplate) {
		return nil, s.errorf(replacePattern, "regexPattern cannot be combined with oldValue or template")
	}
	source, ok := s.constant(replacePattern)
	if !ok {
		return nil, s.errorf(replacePattern, "regexPattern must be a string constant")
	}
	p, err := compilePattern(source)
	if err != nil {
		return nil, s.errorf(replacePattern, "%v", err)
	}
	group := 0
	if s.given(replaceGroup) {
		name, ok := s.constant(replaceGroup)
		if !ok {
			return nil, s.errorf(replaceGroup, "regexGroupName must be a string constant")
		}
		if group, ok = p.group(name); !ok {
			return nil, s.errorf(replaceGroup, "regexPattern has no group named %q", name)
		}
	}
	switch value, attribute := s.given(replaceValue), s.given(replaceAttribute); {
	case value && attribute:
		return nil, s.errorf(-1, "replacementValue cannot be combined with replacementAttributeName")
	case value:
		return func(ctx *Context) (Value, error) { return replaceMatches(s, ctx, p, group) }, nil
	case attribute && s.given(replaceGroup):
		return func(ctx *Context) (Value, error) { return extractGroup(s, ctx, p, group) }, nil
	case attribute:
		return nil, s.errorf(-1, "replacementAttributeName needs regexGroupName")
	}
	return nil, s.errorf(-1, "regexPattern needs replacementValue, or regexGroupName and replacementAttributeName")
}

// replaceMatches replaces each match by replacementValue, or only what the group took of it.
func replaceMatches(s *site, ctx *Context, p *pattern, group int) (Value, error) {
	source, ok, err := s.text(ctx, replaceSource)
	if err != nil || !ok {
		return Value{}, err
	}
	by, _, err := s.text(ctx, replaceValue)
	if err == nil {
		err = p.check(source)
	}
	if err != nil {
		return Value{}, err
	}
	var b strings.Builder
	done := 0
	for _, m := range p.matches(source) {
		if m[2*group] < done {
			continue // the group took no part in this match
		}
		b.WriteString(source[done:m[2*group]])
		if s.given(replaceGroup) {
			b.WriteString(by)
		} else if err := p.expand(&b, by, source, m); err != nil {
			return Value{}, err
		}
		done = m[2*group+1]
		if b.Len() > MaxText {
			return Value{}, errTooLong
		}
	}
	b.WriteString(source[done:])
	return Text(b.String()), nil
}

// extractGroup returns the source, or if it is empty what the group takes of the other attribute.
func extractGroup(s *site, ctx *Context, p *pattern, group int) (Value, error) {
	source, err := s.value(ctx, replaceSource)
	if err != nil || !source.IsEmpty() {
		return source, err
	}
	other, ok, err := s.text(ctx, replaceAttribute)
	if err == nil {
		err = p.check(other)
	}
	if err != nil || !ok {
		return Value{}, err
	}
	m := p.re.FindStringSubmatchIndex(other)
	if m == nil || m[2*group] < 0 {
		return Value{}, nil
	}
	return Text(other[m[2*group]:m[2*group+1]]), nil
}

// pattern is a .NET regular expression that runs in linear time.
type pattern struct {
	re       *regexp.Regexp
	after    *regexp.Regexp // re at the second character of a text, for empty matches that abut another; nil if re never matches nothing
	groups   []int          // index in re by .NET number: unnamed groups first, then named
	boundary bool           // uses \b or \B, which know ASCII letters only
}

func compilePattern(source string) (*pattern, error) {
	translated, boundary, err := translatePattern(source)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(translated)
	if err != nil {
		return nil, fmt.Errorf("the regular expression is not valid: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	p := &pattern{re: re, boundary: boundary, groups: []int{0}}
	for _, named := range []bool{false, true} {
		for i, name := range re.SubexpNames() {
			if i > 0 && (name != "") == named {
				p.groups = append(p.groups, i)
			}
		}
	}
	if p.after, err = regexp.Compile(`\A(?s:.)(?:` + translated + `)`); err != nil {
		return nil, errors.New("the regular expression is too large")
	}
	return p, nil
}

// classes are the .NET classes, which know all of Unicode, as members of a class of Go.
var classes = map[byte]string{
	'd': `\p{Nd}`,
	'D': `\P{Nd}`,
	'w': `\p{L}\p{Mn}\p{Nd}\p{Pc}`,
	's': `\t-\r \x{85}\p{Z}`,
	'S': `\x00-\x08\x0e-\x1f!-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff}`,
}

// translatePattern writes a .NET pattern for Go: classes know all of Unicode, and what Go would
// read differently, or cannot run in linear time, is an error.
func translatePattern(src string) (out string, boundary bool, err error) {
	var b strings.Builder
	class := 0 // 0 outside of [ ], else position of its first member
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch {
		case c == '\\' && i+1 == len(src):
			return "", false, errors.New(`the regular expression ends in a backslash`)
		case c == '\\':
			i++
			e := src[i]
			set, isSet := classes[e]
			switch {
			case isSet && class > 0:
				b.WriteString(set)
			case isSet:
				b.WriteString("[" + set + "]")
			case e == 'W' && class == 0:
				b.WriteString("[^" + classes['w'] + "]")
			case e == 'W' || e == 'b' && class > 0:
				return "", false, fmt.Errorf(`\%c inside [ ] is not supported`, e)
			case e == 'b' || e == 'B':
				boundary = true
				b.WriteString(src[i-1 : i+1])
			case e >= '1' && e <= '9' || e == 'k':
				return "", false, errors.New("the regular expression refers back to a group, which is not supported")
			case e >= utf8.RuneSelf:
				b.WriteByte(e) // outside of ASCII a letter stands for itself
			case strings.IndexByte("QEZGuce", e) >= 0:
				return "", false, fmt.Errorf(`\%c in a regular expression is not supported`, e)
			default:
				b.WriteString(src[i-1 : i+1])
			}
		case class > 0 && c == ']' && i > class:
			class = 0
			b.WriteByte(c)
		case class > 0 && c == '[':
			if src[i-1] == '-' && i-1 > class {
				return "", false, errors.New("subtracting a class, as in [a-z-[aeiou]], is not supported")
			}
			b.WriteString(`\[`)
		case class == 0 && c == '[':
			b.WriteByte(c)
			class = i + 1
			if class < len(src) && src[class] == '^' {
				b.WriteByte('^')
				i++
				class++
			}
		case class == 0 && strings.HasPrefix(src[i:], "(?"):
			if err := checkGroup(src[i+2:]); err != nil {
				return "", false, err
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), boundary, nil
}

// checkGroup explains the constructs after "(?" that are not supported.
func checkGroup(rest string) error {
	for _, p := range []string{"=", "!", "<=", "<!"} {
		if strings.HasPrefix(rest, p) {
			return errors.New("the regular expression looks ahead or behind, which is not supported")
		}
	}
	for _, p := range []string{">", "(", "#", "'", "P"} {
		if strings.HasPrefix(rest, p) {
			return fmt.Errorf("(?%s in a regular expression is not supported; name a group with (?<name>...)", p)
		}
	}
	return nil
}

// group returns the index in re of a group given by name or .NET number.
func (p *pattern) group(name string) (int, bool) {
	if i := p.re.SubexpIndex(name); i >= 0 {
		return i, true
	}
	n, err := strconv.Atoi(name)
	if err != nil || n < 0 || n >= len(p.groups) {
		return 0, false
	}
	return p.groups[n], true
}

func (p *pattern) check(source string) error {
	if p.boundary && strings.ContainsFunc(source, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return errors.New(`\b in a regular expression knows English letters only and cannot be used on ` + shown(Text(source)))
	}
	return nil
}

// matches returns the matches as .NET finds them: also the empty ones right after another match.
func (p *pattern) matches(source string) [][]int {
	found := p.re.FindAllStringSubmatchIndex(source, -1)
	for i := len(found) - 1; i >= 0; i-- {
		start, end := found[i][0], found[i][1]
		if start == end || i+1 < len(found) && found[i+1][0] == end {
			continue
		}
		_, size := utf8.DecodeLastRuneInString(source[:end])
		m := p.after.FindStringSubmatchIndex(source[end-size:])
		if m == nil || m[1] != size {
			continue
		}
		for j := range m {
			if m[j] >= 0 {
				m[j] += end - size
			}
		}
		m[0] = end
		found = slices.Insert(found, i+1, m)
	}
	return found
}

// expand writes a .NET replacement: $1, ${name}, $$, $&, $`, $', $_ and $+ stand for something,
// anything else for itself.
func (p *pattern) expand(b *strings.Builder, by, source string, m []int) error {
	write := func(group int) {
		if m[2*group] >= 0 {
			b.WriteString(source[m[2*group]:m[2*group+1]])
		}
	}
	for by != "" && b.Len() <= MaxText {
		i := strings.IndexByte(by, '$')
		if i < 0 || i+1 == len(by) {
			b.WriteString(by)
			return nil
		}
		b.WriteString(by[:i])
		by = by[i+1:]
		name, n := reference(by)
		group, known := p.group(name)
		switch c := by[0]; {
		case name != "" && known:
			write(group)
			by = by[n:]
			continue
		case c == '$':
			b.WriteByte('$')
		case c == '&':
			write(0)
		case c == '`':
			b.WriteString(source[:m[0]])
		case c == '\'':
			b.WriteString(source[m[1]:])
		case c == '_':
			b.WriteString(source)
		case c == '+':
			write(p.groups[len(p.groups)-1])
		default:
			b.WriteByte('$')
			continue
		}
		by = by[1:]
	}
	if b.Len() > MaxText {
		return errTooLong
	}
	return nil
}

// reference reads 12 or {name} at the start of s, and tells how long it was.
func reference(s string) (name string, n int) {
	if s[0] == '{' {
		if end := strings.IndexByte(s, '}'); end > 0 {
			return s[1:end], end + 1
		}
		return "", 0
	}
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return s[:n], n
}
