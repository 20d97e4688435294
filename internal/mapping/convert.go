package mapping

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"induct/internal/expr"
	"induct/internal/scim"
)

// Error codes of Microsoft Graph's provisioning logs that a Problem can have.
const (
	codeEntry    = "EntrySynchronizationError"
	codeMany     = "SchemaPropertyCanOnlyAcceptValue"
	codeMissing  = "MissingValues"
	codeNoMatch  = "ImportSkipped"
	codeSkip     = "EntrySynchronizationSkipped"
	maxShown     = 64   // characters of a value in a sentence
	maxLogged    = 1024 // characters of a source value in the log
	maxName      = 256  // characters of a person's name in the log
	defaultMax   = 1024
	redactedText = "[Redact]"
)

// mismatch says why a value does not fit an attribute.
type mismatch struct{ code, reason, advice string }

func wrongType(found, want string) *mismatch {
	return &mismatch{codeEntry, found + " is not " + article(want), "Send " + article(want) + ", or change the type of the attribute in the schema."}
}

func article(typ string) string {
	if typ == "Integer" {
		return "an Integer"
	}
	return "a " + typ
}

// read converts what a record holds for a source attribute. Null, the empty list, and "" where the type is
// not text, are no value.
func (in *input) read(v scim.Value) (expr.Value, *mismatch) {
	switch v.Kind {
	case scim.Absent, scim.Null:
		return expr.Value{}, nil
	case scim.Invalid:
		return expr.Value{}, &mismatch{codeEntry, v.Str, "Send the attribute in the shape that its path names."}
	case scim.Many:
		return in.readMany(v.List)
	}
	e, m := readOne(in.Type, v)
	if m == nil && in.MultiValued && !e.IsNull() {
		e = expr.Multi(e)
	}
	return e, m
}

func (in *input) readMany(list []scim.Value) (expr.Value, *mismatch) {
	if len(list) == 0 {
		return expr.Value{}, nil
	}
	if !in.MultiValued {
		return expr.Value{}, &mismatch{codeMany, fmt.Sprintf("found %d values where one is expected", len(list)),
			"Send one value, or mark the attribute as multi-valued in the schema."}
	}
	elems := make([]expr.Value, 0, len(list))
	for _, v := range list {
		e, m := readOne(in.Type, v)
		if m != nil {
			return expr.Value{}, m
		}
		if !e.IsNull() {
			elems = append(elems, e)
		}
	}
	if len(elems) == 0 {
		return expr.Value{}, nil
	}
	return expr.Multi(elems...), nil
}

func readOne(typ string, v scim.Value) (expr.Value, *mismatch) {
	switch v.Kind {
	case scim.Text, scim.Number, scim.Boolean:
	case scim.Null:
		return expr.Value{}, nil
	default:
		return expr.Value{}, wrongType(shorten(v.Str, maxShown), typ)
	}
	if typ == "String" || typ == "" {
		if v.Kind == scim.Boolean {
			return expr.Bool(v.Str == "true"), nil // reads as "True" or "False" wherever text is wanted
		}
		return expr.Text(v.Str), nil
	}
	if v.Kind == scim.Boolean && typ != "Boolean" {
		return expr.Value{}, wrongType(v.Str, typ)
	}
	return typed(typ, expr.Text(v.Str))
}

// typed returns v as a value of a schema type other than String; "" is no value.
func typed(typ string, v expr.Value) (expr.Value, *mismatch) {
	if v.IsEmpty() {
		return expr.Value{}, nil
	}
	switch typ {
	case "Boolean":
		if b, ok := v.AsBool(); ok {
			return expr.Bool(b), nil
		}
	case "Integer":
		if n, ok := v.AsInt(); ok {
			return expr.Int(n), nil
		}
	case "DateTime":
		if v.Kind() == expr.DateTime {
			return v, nil
		}
		if t, ok := parseTime(v.String()); ok {
			return expr.Time(t), nil
		}
	case "Binary":
		if _, err := base64.StdEncoding.DecodeString(v.String()); err == nil {
			return v, nil
		}
	default: // Reference
		return v, nil
	}
	return expr.Value{}, wrongType(quote(v.String()), typ)
}

// parseTime reads RFC 3339, its date alone, its date-time without offset (UTC), and what CDate() prints.
func parseTime(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	for _, layout := range [...]string{time.RFC3339Nano, time.DateOnly, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05", "1/2/2006 3:04:05 PM"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 0 {
			return t, true
		}
	}
	return time.Time{}, false
}

// fit converts v, which is not null, to the type of a target attribute. A null result means that nothing
// flows: "" is no value of a type other than String.
func (a *Attribute) fit(v expr.Value) (expr.Value, *mismatch) {
	if !a.MultiValued {
		if v.Kind() == expr.List {
			switch len(v.Elems()) {
			case 0:
				return expr.Value{}, nil
			case 1:
				return a.fitOne(v.Elems()[0])
			}
			return expr.Value{}, &mismatch{codeMany, fmt.Sprintf("the attribute takes one value and got %d: %s", len(v.Elems()), quote(v.String())),
				"Map one of the values, for example with Item() or Join()."}
		}
		return a.fitOne(v)
	}
	elems := make([]expr.Value, 0, len(v.Elems()))
	for _, e := range v.Elems() {
		one, m := a.fitOne(e)
		if m != nil {
			return expr.Value{}, m
		}
		if !one.IsEmpty() {
			elems = append(elems, one)
		}
	}
	if len(elems) == 0 {
		return expr.Value{}, nil
	}
	return expr.Multi(elems...), nil
}

func (a *Attribute) fitOne(v expr.Value) (expr.Value, *mismatch) {
	if a.Type != "String" && a.Type != "" {
		return typed(a.Type, v)
	}
	if v.Kind() != expr.String {
		v = expr.Text(v.String())
	}
	max := a.most()
	s := v.String()
	if len(s) > max && utf8.RuneCountInString(s) > max {
		return expr.Value{}, &mismatch{codeEntry, fmt.Sprintf("%s has %d characters; the limit is %d", quote(s), utf8.RuneCountInString(s), max),
			fmt.Sprintf("Shorten the value in the source, or in the mapping with Mid(…, 1, %d).", max)}
	}
	if i := control(s); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return expr.Value{}, &mismatch{codeEntry, fmt.Sprintf("%s holds the control character U+%04X", quote(s), r),
			"Remove the character in the source, or in the mapping with Replace()."}
	}
	return v, nil
}

// most returns how many characters a text may have.
func (a *Attribute) most() int {
	if a.MaxLength <= 0 {
		return defaultMax
	}
	return a.MaxLength
}

// fits reports whether a value is seen at once to be a text that an attribute takes which is a single text of at most so many
// characters.
func fits(v *expr.Value, most int) bool {
	if v.Kind() != expr.String {
		return false
	}
	s := v.String()
	return len(s) <= most && control(s) < 0
}

// control returns where the first control character of s is, -1 if there is none.
func control(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return strings.IndexFunc(s, isControl) // rare enough: text beyond ASCII, line ends
		}
	}
	return -1
}

// isControl reports control characters other than tab and line ends, which addresses have.
func isControl(r rune) bool {
	return r != '\t' && r != '\n' && r != '\r' && unicode.IsControl(r)
}

// quote shows a value in a sentence.
func quote(s string) string { return fmt.Sprintf("%q", shorten(s, maxShown)) }

// shorten cuts a text to at most so many characters.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
