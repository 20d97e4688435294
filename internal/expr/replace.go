package expr

import (
	"errors"
	"strings"
	"sync"

	"induct/internal/expr/regex"
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
	case has(replaceGroup):
		return nil, s.errorf(replaceGroup, "regexGroupName needs regexPattern, the third argument; oldValue is plain text")
	case has(replaceAttribute):
		return nil, s.errorf(replaceAttribute, "replacementAttributeName needs regexPattern and regexGroupName")
	case has(replaceValue) == has(replaceTemplate):
		return nil, s.errorf(-1, "oldValue needs either replacementValue, the fifth argument, or template, the seventh")
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
	if n := strings.Count(in, old); n > 0 && len(in)+n*(len(by)-len(old)) > MaxText {
		return Value{}, errTooLong
	}
	return Text(strings.ReplaceAll(in, old, by)), nil
}

// patternOf returns what gives the pattern of a call and the group that it replaces; group 0 is the whole match.
func patternOf(s *site) (func(ctx *Context) (re *regex.Regexp, group int, err error), error) {
	groupOf := func(re *regex.Regexp, name string) (int, error) {
		group, ok := re.Group(name)
		if !ok {
			return 0, errors.New("regexPattern has no group named " + shown(Text(name)))
		}
		return group, nil
	}
	source, fixed := s.constant(replacePattern)
	if !fixed {
		var compiled cache[*regex.Regexp]
		return func(ctx *Context) (*regex.Regexp, int, error) {
			source, _, err := s.text(ctx, replacePattern)
			if err != nil {
				return nil, 0, err
			}
			re, err := compiled.get(source, regex.Compile)
			if err != nil || !s.given(replaceGroup) {
				return re, 0, err
			}
			name, _, err := s.text(ctx, replaceGroup)
			if err != nil {
				return nil, 0, err
			}
			group, err := groupOf(re, name)
			return re, group, err
		}, nil
	}
	re, err := regex.Compile(source)
	if e := (*regex.Error)(nil); errors.As(err, &e) {
		return nil, s.errorIn(replacePattern, e.Pos, errors.New("the regular expression is wrong here: "+e.Msg))
	}
	name, fixed := s.constant(replaceGroup)
	if s.given(replaceGroup) && !fixed {
		return func(ctx *Context) (*regex.Regexp, int, error) {
			name, _, err := s.text(ctx, replaceGroup)
			if err != nil {
				return nil, 0, err
			}
			group, err := groupOf(re, name)
			return re, group, err
		}, nil
	}
	group := 0
	if fixed {
		if group, err = groupOf(re, name); err != nil {
			return nil, s.errorf(replaceGroup, "%v", err)
		}
	}
	return func(*Context) (*regex.Regexp, int, error) { return re, group, nil }, nil
}

func buildReplacePattern(s *site) (evalFunc, error) {
	for _, i := range []int{replaceOld, replaceTemplate} {
		if s.given(i) {
			return nil, s.errorf(i, "oldValue and template replace plain text and cannot be combined with regexPattern; leave one empty")
		}
	}
	pattern, err := patternOf(s)
	if err != nil {
		return nil, err
	}
	switch value, attribute := s.given(replaceValue), s.given(replaceAttribute); {
	case value && attribute:
		return nil, s.errorf(replaceAttribute, "replacementAttributeName cannot be combined with replacementValue")
	case value:
		return func(ctx *Context) (Value, error) {
			re, group, err := pattern(ctx)
			if err != nil {
				return Value{}, err
			}
			return replaceMatches(s, ctx, re, group)
		}, nil
	case attribute && s.given(replaceGroup):
		return func(ctx *Context) (Value, error) {
			re, group, err := pattern(ctx)
			if err != nil {
				return Value{}, err
			}
			return extractGroup(s, ctx, re, group)
		}, nil
	case attribute:
		return nil, s.errorf(replaceAttribute, "replacementAttributeName needs regexGroupName, the part that is taken of it")
	}
	return nil, s.errorf(-1, "regexPattern needs replacementValue, or regexGroupName and replacementAttributeName")
}

// replaceMatches replaces each match by replacementValue, or only what the group took of it.
func replaceMatches(s *site, ctx *Context, re *regex.Regexp, group int) (Value, error) {
	source, ok, err := s.text(ctx, replaceSource)
	if err != nil || !ok {
		return Value{}, err
	}
	by, _, err := s.text(ctx, replaceValue)
	if err != nil {
		return Value{}, err
	}
	var parts []part
	if !s.given(replaceGroup) && strings.Contains(by, "$") {
		parts = replacement(re, by)
	}
	var short [128]byte
	out, done, matches := short[:0], int32(0), 0
	err = re.Each(source, &ctx.work, func(m []int32) bool {
		from, to := m[2*group], m[2*group+1]
		if from < done || to < from {
			return true // the group took no part in this match
		}
		matches++
		out = append(out, source[done:from]...)
		if parts == nil {
			out = append(out, by...)
		}
		for _, p := range parts {
			out = p.append(out, source, m)
		}
		done = to
		return len(out) <= MaxText && matches*len(parts) <= MaxWork
	})
	switch {
	case err != nil:
		return Value{}, err
	case matches == 0:
		return Text(source), nil
	case len(out) > MaxText:
		return Value{}, errTooLong
	case matches*len(parts) > MaxWork:
		return Value{}, errWork
	}
	return Text(string(append(out, source[done:]...))), nil
}

// extractGroup returns the source, or if it is empty what the group takes of the other attribute.
func extractGroup(s *site, ctx *Context, re *regex.Regexp, group int) (Value, error) {
	source, err := s.value(ctx, replaceSource)
	if err != nil || !source.IsEmpty() {
		return source, err
	}
	other, ok, err := s.text(ctx, replaceAttribute)
	if err != nil || !ok {
		return Value{}, err
	}
	var found Value
	err = re.Each(other, &ctx.work, func(m []int32) bool {
		if from, to := m[2*group], m[2*group+1]; from >= 0 && to >= from {
			found = Text(other[from:to])
		}
		return false
	})
	return found, err
}

// part is a part of a .NET replacement (Microsoft Learn, "Substitutions in Regular Expressions").
type part struct {
	kind  byte // 0 for text, 'g' for a group; a backquote, ', and _ for what stands before and behind the match, and all
	text  string
	group int
}

// replacement reads $1, ${name}, $$, $&, $`, $', $_ and $+; anything else stands for itself.
func replacement(re *regex.Regexp, by string) []part {
	var parts []part
	literal := 0 // where text that stands for itself begins
	for i := 0; i+1 < len(by); i++ {
		if by[i] != '$' {
			continue
		}
		p, n := substitution(re, by[i+1:])
		if n == 0 {
			continue
		}
		if literal < i {
			parts = append(parts, part{text: by[literal:i]})
		}
		parts = append(parts, p)
		i += n
		literal = i + 1
	}
	return append(parts, part{text: by[literal:]})
}

// substitution reads what follows a dollar sign, and returns its length; 0 if the sign stands for itself.
func substitution(re *regex.Regexp, t string) (part, int) {
	if name, n := reference(t); name != "" {
		if group, known := re.Group(name); known {
			return part{kind: 'g', group: group}, n
		}
		return part{}, 0
	}
	switch t[0] {
	case '$':
		return part{text: "$"}, 1
	case '&':
		return part{kind: 'g'}, 1
	case '+':
		return part{kind: 'g', group: re.Groups() - 1}, 1
	case '`', '\'', '_':
		return part{kind: t[0]}, 1
	}
	return part{}, 0
}

// append writes the part for the match m; beyond MaxText it writes no more.
func (p part) append(out []byte, source string, m []int32) []byte {
	if len(out) > MaxText {
		return out
	}
	switch p.kind {
	case 0:
		return append(out, p.text...)
	case '`':
		return append(out, source[:m[0]]...)
	case '\'':
		return append(out, source[m[1]:]...)
	case '_':
		return append(out, source...)
	}
	if from, to := m[2*p.group], m[2*p.group+1]; from >= 0 && to >= from {
		out = append(out, source[from:to]...)
	}
	return out
}

// maxReference is the longest name of a group that a replacement refers to, in bytes.
const maxReference = 1000

// reference reads 12 or {name} at the start of s, and tells how long it was.
func reference(s string) (name string, n int) {
	if s[0] == '{' {
		if end := strings.IndexByte(s[:min(len(s), maxReference)], '}'); end > 0 {
			return s[1:end], end + 1
		}
		return "", 0
	}
	for n < len(s) && n < maxReference && isDigit(s[n]) {
		n++
	}
	return s[:n], n
}

// maxCached is how many compiled forms of one argument are kept.
const maxCached = 32

// cache keeps compiled forms of an argument that is not a constant. The zero cache is ready. It may be used by many
// goroutines at once; when it is full it starts anew.
type cache[T any] struct {
	mu    sync.Mutex
	forms map[string]T
}

// get returns the compiled form of source. An error is not kept.
func (c *cache[T]) get(source string, compile func(string) (T, error)) (T, error) {
	c.mu.Lock()
	form, ok := c.forms[source]
	c.mu.Unlock()
	if ok {
		return form, nil
	}
	form, err := compile(source)
	if err != nil {
		return form, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.forms) >= maxCached || c.forms == nil {
		c.forms = make(map[string]T, maxCached)
	}
	c.forms[strings.Clone(source)] = form
	return form, nil
}
