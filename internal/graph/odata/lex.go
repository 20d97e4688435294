package odata

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

type kind uint8

const (
	end    kind = iota
	name        // an identifier or keyword, as written
	value       // a literal that no name can be mistaken for; its value is in token.value
	symbol      // one of ( ) , : /
)

type token struct {
	kind  kind
	pos   int
	text  string
	value any
}

// clip cuts what a client sent to what an error message needs of it.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// describe names a token in an error message.
func (t token) describe() string {
	switch t.kind {
	case end:
		return "the end of the filter"
	case value:
		return "the literal " + clip(t.text)
	}
	return strconv.Quote(clip(t.text))
}

type lexer struct {
	src string
	pos int
}

// next reads one token. White space separates tokens and means nothing else.
func (l *lexer) next() (token, error) {
	for l.pos < len(l.src) && strings.IndexByte(" \t\r\n", l.src[l.pos]) >= 0 {
		l.pos++
	}
	start := l.pos
	if start == len(l.src) {
		return token{kind: end, pos: start}, nil
	}
	switch c := l.src[start]; {
	case c == '\'':
		return l.quoted(start)
	case strings.IndexByte("(),:/", c) >= 0:
		l.pos++
		return token{kind: symbol, pos: start, text: l.src[start:l.pos]}, nil
	case isGUID(l.src[start:]):
		l.pos += guidLen
		text := l.src[start:l.pos]
		return token{kind: value, pos: start, text: text, value: text}, nil
	case isDigit(c) || c == '-':
		l.skip(func(c byte) bool { return isNameByte(c) || strings.IndexByte("-:+.", c) >= 0 })
		return numberOrTime(start, l.src[start:l.pos])
	case isNameByte(c) || c == '$':
		return l.name(start)
	}
	r := []rune(l.src[start:min(start+4, len(l.src))])[0]
	return token{}, &Error{start, fmt.Sprintf("unexpected character %q", r)}
}

func (l *lexer) skip(while func(byte) bool) {
	for l.pos < len(l.src) && while(l.src[l.pos]) {
		l.pos++
	}
}

// quoted reads a string literal that starts at l.pos; two quotes in it stand for one.
// The token starts at start, which is before l.pos when a type's name stands before the string.
func (l *lexer) quoted(start int) (token, error) {
	var b strings.Builder
	for rest := l.src[l.pos+1:]; ; {
		part, after, closed := strings.Cut(rest, "'")
		if !closed {
			return token{}, &Error{l.pos, "the string has no closing quote"}
		}
		b.WriteString(part)
		if !strings.HasPrefix(after, "'") {
			l.pos = len(l.src) - len(after)
			return token{kind: value, pos: start, text: l.src[start:l.pos], value: b.String()}, nil
		}
		b.WriteByte('\'')
		rest = after[1:]
	}
}

// name reads an identifier, or an enum literal such as microsoft.graph.provisioningResult'failure'.
func (l *lexer) name(start int) (token, error) {
	if l.src[l.pos] == '$' { // of $count, the number of a collection's elements
		l.pos++
	}
	l.skip(func(c byte) bool { return isNameByte(c) || c == '.' })
	text := l.src[start:l.pos]
	if !strings.Contains(text, ".") {
		return token{kind: name, pos: start, text: text}, nil
	}
	if l.pos < len(l.src) && l.src[l.pos] == '\'' {
		return l.quoted(start)
	}
	return token{}, &Error{start, fmt.Sprintf("%q is not a property: only an enum literal such as %s'member' has dots in its name", clip(text), clip(text))}
}

func numberOrTime(pos int, text string) (token, error) {
	t := token{kind: value, pos: pos, text: text}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		t.value = n
		return t, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && isDecimal(text) {
		t.value = f
		return t, nil
	}
	if at, ok := parseTime(text); ok {
		t.value = at
		return t, nil
	}
	return token{}, &Error{pos, fmt.Sprintf("%q is neither a number nor a date such as 2026-06-19 or 2026-06-19T07:24:37.123Z (a string needs quotes, a + in a URL is written %%2B)", clip(text))}
}

// parseTime reads a dateTimeOffset, with or without seconds and fractions, or a date, which stands for its midnight in
// UTC. It refuses what is not within the years 0 to 9999 in UTC.
func parseTime(text string) (time.Time, bool) {
	text = strings.ToUpper(text)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			at = at.UTC()
			return at, at.Year() >= 0 && at.Year() <= 9999
		}
	}
	return time.Time{}, false
}

// isDecimal leaves out the other spellings that strconv knows: hexadecimal floats, infinities.
func isDecimal(text string) bool {
	return strings.Trim(text, "0123456789+-.eE") == "" && isDigit(strings.TrimPrefix(text, "-")[0])
}

const guidLen = 36

// isGUID reports whether s starts with a guid (8-4-4-4-12 hexadecimal digits) that ends there.
func isGUID(s string) bool {
	if len(s) < guidLen || len(s) > guidLen && (isNameByte(s[guidLen]) || s[guidLen] == '-') {
		return false
	}
	for i := range guidLen {
		switch c := s[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNameByte(c byte) bool {
	return isDigit(c) || c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
