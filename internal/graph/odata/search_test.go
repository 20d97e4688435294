package odata

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseSearch(t *testing.T) {
	for source, want := range map[string]string{
		`"displayName:wa"`:            `"displayname:wa"`,
		`  "a"  `:                     `"a"`,
		`"a" "b"`:                     `"a" AND "b"`,
		`"a"AND"b"OR"c"`:              `("a" AND "b") OR "c"`,
		`"a" AND ("mail:b" OR ("c"))`: `"a" AND ("mail:b" OR "c")`,
		`"say \"hi\" \\ there"`:       `"say \"hi\" \\ there"`,
		`"a b:c"`:                     `"a b:c"`,
		`"mail: x:y "`:                `"mail:x:y"`,
		`"AND"`:                       `"AND"`,
		strings.Repeat("(", 64) + `"a"` + strings.Repeat(")", 64): `"a"`,
	} {
		s, err := ParseSearch(source)
		if err != nil || s.String() != want {
			t.Errorf("%s: %v, %v; want %s", source, s, err, want)
		}
	}
	for source, want := range map[string]string{
		``:              `expected a clause in double quotes`,
		`displayName:a`: `expected a clause in double quotes`,
		`"a`:            `a clause has no closing quote`,
		`"a\`:           `a clause has no closing quote`,
		`""`:            `a clause has no text`,
		`"mail: "`:      `a clause has no text`,
		`"a" AND`:       `expected a clause in double quotes`,
		`"a" or "b"`:    `expected AND, OR or the end, found "or`,
		`"a" ANDY "b"`:  `expected AND, OR or the end`,
		`NOT "a"`:       `expected a clause in double quotes`,
		`("a"`:          `a parenthesis is not closed`,
		`"a")`:          `expected AND, OR or the end`,
		strings.Repeat("(", 65) + `"a"` + strings.Repeat(")", 65): `nested deeper than 64 levels`,
		`"` + strings.Repeat("a", 8<<10) + `"`:                    `longer than 8192 bytes`,
	} {
		_, err := ParseSearch(source)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Msg, want) {
			t.Errorf("%.60s: %v, want %s", source, err, want)
		}
	}
}

func TestSearchMatch(t *testing.T) {
	s, err := ParseSearch(`"a" ("mail:b" OR "c")`)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Clauses(); !reflect.DeepEqual(got, []Clause{{"", "a"}, {"mail", "b"}, {"", "c"}}) {
		t.Errorf("%v", got)
	}
	for have, want := range map[string]bool{"a": false, "a b": true, "a c": true, "b c": false} {
		if got := s.Match(func(c Clause) bool { return strings.Contains(have, c.Text) }); got != want {
			t.Errorf("%s: %v", have, got)
		}
	}
	if (&Search{}).Match(func(Clause) bool { return true }) {
		t.Error("an empty search matched")
	}
}

// FuzzParseSearch looks for a search that is not what it prints as.
func FuzzParseSearch(f *testing.F) {
	f.Add(`"displayName:wa" AND ("mail:ana" OR "b\"\\")`)
	f.Add(`"a:b:c" "::" "é:x"`)
	f.Fuzz(func(t *testing.T, source string) {
		s, err := ParseSearch(source)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%q: %#v is not an *Error", source, err)
			}
			return
		}
		if len(s.String()) > maxFilter || strings.Count(s.String(), "(") > maxDepth {
			return
		}
		again, err := ParseSearch(s.String())
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%q prints as %q, which is %v, %v", source, s, again, err)
		}
	})
}
