package expr

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokAttribute
	tokString
	tokNumber
	tokName
	tokOperator
	tokOpen
	tokClose
	tokComma
)

type token struct {
	kind tokenKind
	pos  int    // byte offset
	end  int    // byte offset behind it
	text string // attribute name, string value, identifier or operator
	num  int64
	hex  bool
}

func (t token) String() string {
	switch t.kind {
	case tokEnd:
		return "the end of the expression"
	case tokAttribute:
		return "[" + t.text + "]"
	case tokString:
		return quote(t.text)
	case tokNumber:
		return numberNode(t.num, t.hex).Name
	}
	return "'" + t.text + "'"
}

// lexer splits a source into tokens, one at a time.
type lexer struct {
	src string
	pos int
}

func (l *lexer) next() (token, error) {
	t, err := l.read()
	t.end = l.pos
	return t, err
}

func (l *lexer) read() (token, error) {
	// Expressions are pasted from web pages, no-break spaces and all.
	l.pos = len(l.src) - len(strings.TrimLeftFunc(l.src[l.pos:], unicode.IsSpace))
	rest := l.src[l.pos:]
	first, size := utf8.DecodeRuneInString(rest)
	if rest == "" {
		return token{pos: l.pos}, nil
	}
	for _, w := range [...]struct{ wrong, say string }{{"==", "equal is written ="}, {"!=", "not equal is written <>"},
		{"&&", "there is no AND; put an IIF inside an IIF"}, {"||", "there is no OR; put an IIF inside an IIF"}} {
		if strings.HasPrefix(rest, w.wrong) {
			return token{}, errorAt(l.pos, l.pos+2, "%s", w.say)
		}
	}
	switch c := rest[0]; {
	case c == '[':
		return l.attribute()
	case c == '"':
		return l.text()
	case c == '(':
		return l.take(tokOpen, 1), nil
	case c == ')':
		return l.take(tokClose, 1), nil
	case c == ',':
		return l.take(tokComma, 1), nil
	case strings.HasPrefix(rest, "<>"), strings.HasPrefix(rest, "<="), strings.HasPrefix(rest, ">="):
		return l.take(tokOperator, 2), nil
	case c == '=' || c == '<' || c == '>':
		return l.take(tokOperator, 1), nil
	case c == '-' || isDigit(c) || c == '&':
		return l.number()
	case isLetter(c):
		n := 1
		for n < len(rest) && (isLetter(rest[n]) || isDigit(rest[n])) {
			n++
		}
		return l.take(tokName, n), nil
	case strings.ContainsRune("'`“”„‘’«»", first):
		return token{}, errorAt(l.pos, l.pos+size, `a string constant is written in straight double quotes, as in "text"`)
	}
	return token{}, errorAt(l.pos, l.pos+size, "unexpected character %q; expected an [attribute], a \"string\", a number or a function", first)
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }

func (l *lexer) take(kind tokenKind, n int) token {
	t := token{kind: kind, pos: l.pos, text: l.src[l.pos : l.pos+n]}
	l.pos += n
	return t
}

// attribute reads [name]. A name may hold filters in brackets of their own, with strings in them.
func (l *lexer) attribute() (token, error) {
	start, depth, quoted := l.pos, 0, false
	for i := start; i < len(l.src); i++ {
		switch c := l.src[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"' && depth > 1:
			quoted = true
		case c == '[':
			depth++
		case c == ']':
			if depth--; depth > 0 {
				continue
			}
			name := strings.TrimSpace(l.src[start+1 : i])
			if name == "" {
				return token{}, errorAt(start, start+1, "an attribute name is missing between [ and ]")
			}
			l.pos = i + 1
			return token{kind: tokAttribute, pos: start, text: name}, nil
		}
	}
	return token{}, errorAt(start, start+1, "the attribute reference that starts here has no closing ]")
}

// text reads a string constant. \\ and \" stand for \ and "; any other backslash stands for itself.
func (l *lexer) text() (token, error) {
	start := l.pos
	var b strings.Builder
	for i := start + 1; i < len(l.src); i++ {
		switch c := l.src[i]; {
		case c == '"':
			l.pos = i + 1
			return token{kind: tokString, pos: start, text: b.String()}, nil
		case c == '\\' && i+1 < len(l.src) && (l.src[i+1] == '\\' || l.src[i+1] == '"'):
			i++
			b.WriteByte(l.src[i])
		default:
			b.WriteByte(c)
		}
	}
	return token{}, errorAt(start, start+1, `the string that starts here has no closing quote (inside a string, write \" for a quote and \\ for a backslash)`)
}

func (l *lexer) number() (token, error) {
	rest := l.src[l.pos:]
	n, base, digits := 0, 10, ""
	if rest[0] == '&' {
		if len(rest) < 2 || rest[1]|0x20 != 'h' {
			return token{}, errorAt(l.pos, l.pos+1, "there is no & operator; use Join(\"\", ...) to put texts together")
		}
		n, base = 2, 16
	} else if rest[0] == '-' {
		n = 1
	}
	start := n
	for n < len(rest) && (isDigit(rest[n]) || isLetter(rest[n])) {
		n++
	}
	if digits = rest[start:n]; digits == "" {
		return token{}, errorAt(l.pos, l.pos+1, "expected digits after %q", rest[:start])
	}
	if n < len(rest) && rest[n] == '.' {
		for n++; n < len(rest) && (isDigit(rest[n]) || isLetter(rest[n])); n++ {
		}
		return token{}, errorAt(l.pos, l.pos+n, "only whole numbers can be written here; quote %s if it is text", rest[:n])
	}
	if rest[0] == '-' {
		digits = "-" + digits
	}
	value, err := strconv.ParseInt(digits, base, 64)
	if err != nil || strings.Contains(digits, "_") {
		return token{}, errorAt(l.pos, l.pos+n, "%q is not a whole number from %d to %d", rest[:n], math.MinInt64, math.MaxInt64)
	}
	t := l.take(tokNumber, n)
	t.num, t.hex = value, base == 16
	return t, nil
}
