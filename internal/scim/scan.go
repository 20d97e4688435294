package scim

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is the nesting that Read and Merge follow, and the most that Limits.Depth can ask for.
const maxDepth = 1000

// scanner reads RFC 8259 JSON in place: it validates syntax, UTF-8 and surrogate escapes while it
// moves, and builds nothing. The first mistake sticks in err; from then on every method does
// nothing, begin and more report false, and so loops end by themselves.
//
// A scanner can copy what it passes without the insignificant whitespace: see copyValue.
type scanner struct {
	src   []byte
	pos   int
	depth int // how many more levels may be opened
	err   *Error

	out     []byte // the copy
	copying bool
	mark    int // start of what has been passed and not copied
}

// span is a piece of a scanner's source; the zero span is none.
type span struct{ start, end int }

func (p span) found() bool { return p.end > p.start }

func (s *scanner) fail(offset int, format string, args ...any) {
	if s.err == nil {
		s.err = &Error{Operation: -1, Offset: int64(offset), Reason: fmt.Sprintf(format, args...)}
	}
}

// peek returns the next byte, or 0 at the end, which no JSON value begins with.
func (s *scanner) peek() byte {
	if s.err != nil || s.pos >= len(s.src) {
		return 0
	}
	return s.src[s.pos]
}

func (s *scanner) space() {
	i := s.pos
	for i < len(s.src) && (s.src[i] == ' ' || s.src[i] == '\n' || s.src[i] == '\r' || s.src[i] == '\t') {
		i++
	}
	if i == s.pos {
		return
	}
	if s.copying {
		s.out = append(s.out, s.src[s.mark:s.pos]...)
		s.mark = i
	}
	s.pos = i
}

// begin enters the object or array that closes with end, and reports whether it has an element.
func (s *scanner) begin(end byte) bool {
	if s.err != nil {
		return false
	}
	if s.depth == 0 {
		s.fail(s.pos, "expected fewer levels of nested JSON values, found one level too many")
		return false
	}
	s.depth--
	s.pos++
	s.space()
	if s.peek() == end {
		s.depth++
		s.pos++
		return false
	}
	return true
}

// more goes on to the next element, or leaves the object or array that closes with end.
func (s *scanner) more(end byte) bool {
	if s.err != nil {
		return false
	}
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return true
	case end:
		s.depth++
		s.pos++
		return false
	}
	s.fail(s.pos, "expected ',' or '%c', found %s", end, s.found())
	return false
}

// name reads a member's name and colon, and returns the name decoded. It may alias the source.
func (s *scanner) name() []byte {
	if s.err != nil {
		return nil
	}
	if s.peek() != '"' {
		s.fail(s.pos, "expected a member name in double quotes, found %s", s.found())
		return nil
	}
	start := s.pos
	escaped := s.text()
	if s.err != nil {
		return nil
	}
	name := s.src[start+1 : s.pos-1]
	if escaped {
		name = unescape(name)
	}
	s.space()
	if s.peek() != ':' {
		s.fail(s.pos, "expected ':' after a member name, found %s", s.found())
		return nil
	}
	s.pos++
	s.space()
	return name
}

// skip passes one value of any kind and returns where it stands.
func (s *scanner) skip() span {
	if s.err != nil {
		return span{}
	}
	start := s.pos
	switch c := s.peek(); {
	case c == '"':
		s.text()
	case c == '{':
		for ok := s.begin('}'); ok; ok = s.more('}') {
			s.name()
			s.skip()
		}
	case c == '[':
		for ok := s.begin(']'); ok; ok = s.more(']') {
			s.skip()
		}
	case c == 't':
		s.literal("true")
	case c == 'f':
		s.literal("false")
	case c == 'n':
		s.literal("null")
	case c == '-' || c >= '0' && c <= '9':
		s.number()
	default:
		s.fail(s.pos, "expected a JSON value, found %s", s.found())
	}
	if s.err != nil {
		return span{}
	}
	return span{start, s.pos}
}

func (s *scanner) literal(want string) {
	if end := s.pos + len(want); end <= len(s.src) && string(s.src[s.pos:end]) == want {
		s.pos = end
		return
	}
	s.fail(s.pos, "expected a JSON value, found a misspelt literal where %s would fit", want)
}

func (s *scanner) number() {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	zero := s.peek() == '0'
	if n := s.digits(); n == 0 || zero && n > 1 {
		s.fail(start, "expected a number as JSON spells it, found a malformed one")
		return
	}
	if s.peek() == '.' {
		s.pos++
		if s.digits() == 0 {
			s.fail(start, "expected a number as JSON spells it, found one without digits after the point")
			return
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			s.fail(start, "expected a number as JSON spells it, found one without digits in the exponent")
		}
	}
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.src) && s.src[s.pos] >= '0' && s.src[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// plain tells the bytes that stand for themselves in a string: ASCII without controls, '"' and '\\'.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// text passes a string and reports whether it contains escapes.
func (s *scanner) text() (escaped bool) {
	src, i := s.src, s.pos+1
	for i < len(src) {
		for i < len(src) && plain[src[i]] {
			i++
		}
		if i == len(src) {
			break
		}
		switch c := src[i]; {
		case c == '"':
			s.pos = i + 1
			return escaped
		case c == '\\':
			escaped = true
			n := s.escape(i)
			if n == 0 {
				return escaped
			}
			i += n
		case c < ' ':
			s.fail(i, "expected control characters in a string to be escaped, found U+%04X", c)
			return escaped
		default:
			r, n := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && n == 1 {
				s.fail(i, "expected UTF-8, found the byte 0x%02X", c)
				return escaped
			}
			i += n
		}
	}
	s.fail(len(src), "expected a closing double quote, found the end of the input")
	return escaped
}

// escape returns the length of the escape at i, or 0 after it has failed.
func (s *scanner) escape(i int) int {
	if i+1 < len(s.src) {
		switch s.src[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			return 2
		case 'u':
			r := hex4(s.src, i+2)
			switch {
			case r < 0:
			case !utf16.IsSurrogate(r):
				return 6
			case i+7 < len(s.src) && s.src[i+6] == '\\' && s.src[i+7] == 'u' &&
				utf16.DecodeRune(r, hex4(s.src, i+8)) != utf8.RuneError:
				return 12
			default:
				s.fail(i, `expected a surrogate pair, found \u%04x alone`, r)
				return 0
			}
		}
	}
	s.fail(i, `expected an escape as JSON spells it, found a malformed one`)
	return 0
}

// hex4 returns the number that four hexadecimal digits spell at i, or -1.
func hex4(src []byte, i int) rune {
	if i+4 > len(src) {
		return -1
	}
	var r rune
	for _, c := range src[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescape decodes the inside of a string that text has passed.
func unescape(src []byte) []byte {
	dst := make([]byte, 0, len(src))
	for i := 0; i < len(src); {
		n := bytes.IndexByte(src[i:], '\\')
		if n < 0 {
			return append(dst, src[i:]...)
		}
		dst = append(dst, src[i:i+n]...)
		i += n
		if src[i+1] != 'u' {
			dst = append(dst, unescaped(src[i+1]))
			i += 2
			continue
		}
		r := hex4(src, i+2)
		i += 6
		if utf16.IsSurrogate(r) {
			r = utf16.DecodeRune(r, hex4(src, i+2))
			i += 6
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// finish fails unless nothing but whitespace follows.
func (s *scanner) finish() {
	if s.err != nil {
		return
	}
	if s.space(); s.pos < len(s.src) {
		s.fail(s.pos, "expected the end of the input, found %s", s.found())
	}
}

// startCopy begins to copy at the current position, and endCopy ends it there.
func (s *scanner) startCopy() { s.copying, s.mark = true, s.pos }

func (s *scanner) endCopy() {
	if s.err == nil {
		s.out = append(s.out, s.src[s.mark:s.pos]...)
	}
	s.copying = false
}

// blank passes one value and leaves an empty string in the copy.
func (s *scanner) blank() {
	s.endCopy()
	s.skip()
	s.out = append(s.out, `""`...)
	s.startCopy()
}

// found describes what stands at the current position.
func (s *scanner) found() string {
	if s.pos >= len(s.src) {
		return "the end of the input"
	}
	if d := shape(s.src[s.pos]); d != "" {
		return d
	}
	r, n := utf8.DecodeRune(s.src[s.pos:])
	if r == utf8.RuneError && n == 1 {
		return fmt.Sprintf("the byte 0x%02X", s.src[s.pos])
	}
	return fmt.Sprintf("%q", r)
}

// shape names the kind of value that begins with c, or is "".
func shape(c byte) string {
	switch {
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == 't' || c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	case c == '-' || c >= '0' && c <= '9':
		return "a number"
	}
	return ""
}

// equalFold compares without regard to the case of ASCII letters, as RFC 7643 section 2.1 compares names.
func equalFold[A, B ~string | ~[]byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	return c
}
