package expr

import (
	"strconv"
	"strings"
	"time"
)

// Kind tells what a Value holds.
type Kind uint8

// The kinds of a Value. Null is the zero Kind: it stands for "no value", whether the
// source attribute was absent or null; which of the two it was is the mapping room's business.
const (
	Null Kind = iota
	String
	Boolean
	Integer
	DateTime
	List
)

// String returns the name of the kind as the attribute types of a schema spell it.
func (k Kind) String() string {
	switch k {
	case String:
		return "String"
	case Boolean:
		return "Boolean"
	case Integer:
		return "Integer"
	case DateTime:
		return "DateTime"
	case List:
		return "List"
	}
	return "Null"
}

// Value is one immutable value of the mapping language, and of a target attribute.
// The zero Value is null. Values are copied freely; a List shares its elements.
type Value struct {
	kind Kind
	num  int64    // Boolean (0, 1), Integer
	str  string   // String; DateTime as RFC 3339 with the offset it came with
	list *[]Value // List; a pointer, because values are copied much and lists are few
}

// Text returns a String value. The empty string is a value, not null.
func Text(s string) Value { return Value{kind: String, str: s} }

// Bool returns a Boolean value.
func Bool(b bool) Value {
	if b {
		return Value{kind: Boolean, num: 1}
	}
	return Value{kind: Boolean}
}

// Int returns an Integer value.
func Int(n int64) Value { return Value{kind: Integer, num: n} }

// Time returns a DateTime value; its text form is RFC 3339 with nanoseconds as needed.
func Time(t time.Time) Value { return Value{kind: DateTime, str: t.Format(time.RFC3339Nano)} }

// Multi returns a List value that owns elems. Elements must not be lists themselves.
func Multi(elems ...Value) Value { return Value{kind: List, list: &elems} }

// Kind returns what v holds.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v holds no value.
func (v Value) IsNull() bool { return v.kind == Null }

// IsEmpty reports whether v is null, the empty string, or a list without elements.
func (v Value) IsEmpty() bool {
	switch v.kind {
	case Null:
		return true
	case String:
		return v.str == ""
	case List:
		return len(*v.list) == 0
	}
	return false
}

// AsBool returns the truth of a Boolean, or of a String or Integer that spells one
// ("true", "True", "1", "false", "0"); ok is false for anything else.
func (v Value) AsBool() (b, ok bool) {
	switch v.kind {
	case Boolean, Integer:
		return v.num != 0, v.kind == Boolean || v.num == 0 || v.num == 1
	case String:
		if len(v.str) > len("false") {
			return false, false
		}
		switch strings.ToLower(v.str) {
		case "true", "1":
			return true, true
		case "false", "0":
			return false, true
		}
	}
	return false, false
}

// AsInt returns the number of an Integer, or of a String that is a decimal integer.
func (v Value) AsInt() (n int64, ok bool) {
	switch v.kind {
	case Integer:
		return v.num, true
	case String:
		return parseInt(v.str)
	}
	return 0, false
}

// parseInt is strconv.ParseInt of a text that may have white space around it; what is not a number costs no memory.
func parseInt(t string) (int64, bool) {
	if t = strings.TrimSpace(t); t == "" || len(t) > 40 || t[len(t)-1] < '0' || t[len(t)-1] > '9' || t[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(t, 10, 64)
	return n, err == nil
}

// Elems returns the elements of a List, or v alone, or nothing for null. The caller must not change them.
func (v Value) Elems() []Value {
	switch v.kind {
	case Null:
		return nil
	case List:
		return *v.list
	}
	return []Value{v}
}

// String returns the text of v as logs show it: "" for null, "True" or "False" for a Boolean,
// the elements joined by ";" for a List.
func (v Value) String() string {
	switch v.kind {
	case String, DateTime:
		return v.str
	case Boolean:
		if v.num != 0 {
			return "True"
		}
		return "False"
	case Integer:
		return strconv.FormatInt(v.num, 10)
	case List:
		parts := make([]string, len(*v.list))
		for i, e := range *v.list {
			parts[i] = e.String()
		}
		return strings.Join(parts, ";")
	}
	return ""
}

// Equal reports whether v and w are the same value; text is compared exactly if caseExact,
// else without regard to case. Lists are compared as sets in any order.
func (v Value) Equal(w Value, caseExact bool) bool {
	if v.kind == List || w.kind == List {
		return equalLists(v.Elems(), w.Elems(), caseExact)
	}
	if v.kind == Null || w.kind == Null {
		return v.kind == w.kind
	}
	if caseExact {
		return v.String() == w.String()
	}
	return strings.EqualFold(v.String(), w.String())
}

// equalLists compares in order first, which is how lists come that have not changed.
func equalLists(a, b []Value, caseExact bool) bool {
	if len(a) != len(b) {
		return false
	}
	same := 0
	for same < len(a) && a[same].Equal(b[same], caseExact) {
		same++
	}
	if same == len(a) {
		return true
	}
	count := map[string]int{}
	key := func(v Value) string {
		t := v.String()
		if !caseExact {
			t = strings.Map(foldRune, t)
		}
		if v.kind == Null {
			return t
		}
		return "." + t
	}
	for _, v := range a[same:] {
		count[key(v)]++
	}
	for _, v := range b[same:] {
		k := key(v)
		if count[k]--; count[k] < 0 {
			return false
		}
	}
	return true
}
