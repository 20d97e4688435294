package syncschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// value is a JSON value, taken apart.
type value struct {
	kind     byte // '{', '[', '"', '0' (a number), 't' (true or false) or 'n' (null)
	text     string
	truth    bool
	members  []member
	elements []value
	raw      []byte // as it stands in the body
}

type member struct {
	name  string
	value value
}

// is reports whether the member has this name, in any case.
func (m *member) is(name string) bool { return strings.EqualFold(m.name, name) }

// what names the kind of a value in a sentence.
func (v *value) what() string {
	switch v.kind {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't':
		return "a boolean"
	}
	return "null"
}

// scanner takes JSON apart that is known to be valid.
type scanner struct {
	src    []byte
	pos    int
	depth  int
	values int
}

var (
	errDeep = fmt.Errorf("the body has objects and arrays more than %d deep", MaxDepth)
	errMany = fmt.Errorf("the body has more than %d values", MaxValues)
)

// scan takes a JSON text apart. A byte order mark, which PowerShell writes, is passed over.
func scan(src []byte) (value, error) {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	if len(src) > MaxSize {
		return value{}, fmt.Errorf("the body has %d bytes; at most %d are allowed", len(src), MaxSize)
	}
	var whole json.RawMessage
	if err := json.Unmarshal(src, &whole); err != nil {
		var at *json.SyntaxError
		if errors.As(err, &at) {
			return value{}, fmt.Errorf("the body is not JSON: %s (byte %d)", strings.TrimPrefix(err.Error(), "json: "), at.Offset)
		}
		return value{}, fmt.Errorf("the body is not JSON: %w", err)
	}
	s := scanner{src: src}
	return s.value()
}

func (s *scanner) space() {
	for s.pos < len(s.src) && strings.IndexByte(" \t\r\n,:", s.src[s.pos]) >= 0 {
		s.pos++
	}
}

func (s *scanner) value() (v value, err error) {
	if s.depth++; s.depth > MaxDepth {
		return v, errDeep
	}
	if s.values++; s.values > MaxValues {
		return v, errMany
	}
	s.space()
	from := s.pos
	switch c := s.src[s.pos]; c {
	case '{':
		v.kind = c
		err = s.object(&v)
	case '[':
		v.kind = c
		err = s.array(&v)
	case '"':
		v.kind, v.text = c, s.quoted()
	case 't', 'f':
		v.kind, v.truth = 't', c == 't'
		s.word()
	case 'n':
		v.kind = c
		s.word()
	default:
		v.kind = '0'
		s.word()
		v.text = string(s.src[from:s.pos])
	}
	s.depth--
	v.raw = s.src[from:s.pos]
	return v, err
}

func (s *scanner) object(v *value) error {
	for s.pos++; ; {
		if s.space(); s.src[s.pos] == '}' {
			s.pos++
			return nil
		}
		name := s.quoted()
		val, err := s.value()
		if err != nil {
			return err
		}
		v.members = append(v.members, member{name, val})
	}
}

func (s *scanner) array(v *value) error {
	for s.pos++; ; {
		if s.space(); s.src[s.pos] == ']' {
			s.pos++
			return nil
		}
		e, err := s.value()
		if err != nil {
			return err
		}
		v.elements = append(v.elements, e)
	}
}

func (s *scanner) quoted() string {
	from := s.pos
	for s.pos++; s.src[s.pos] != '"'; s.pos++ {
		if s.src[s.pos] == '\\' {
			s.pos++
		}
	}
	s.pos++
	var text string
	_ = json.Unmarshal(s.src[from:s.pos], &text) // a valid string always decodes
	return text
}

func (s *scanner) word() {
	for s.pos < len(s.src) && strings.IndexByte(" \t\r\n,:]}", s.src[s.pos]) < 0 {
		s.pos++
	}
}

// compact returns a value as it was sent without white space, in memory of its own.
func (v *value) compact() json.RawMessage {
	var b bytes.Buffer
	_ = json.Compact(&b, v.raw) // it is valid
	return b.Bytes()
}
