package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"induct/internal/mapping"
)

// readText reads a test file from a text; a person is in ana.json.
func readText(text string) (*trialFile, error) {
	return readTrials("dir/t.yaml", func(path string) ([]byte, error) {
		switch path {
		case "dir/t.yaml":
			return []byte(text), nil
		case "dir/ana.json", "dir/people/tom.json":
			return []byte(`{"externalId": "1"}`), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	})
}

const yamlForm = `
schema: s.json
domain: x.example
disableMissing: true
now: 2026-03-01
x-people: [&ana {externalId: "007", name: {givenName: Ana}, title: a}]
tests:
  - name: all
    record: {<<: *ana, title: null, nr: 007, n: 1.50, day: 2026-01-31, active: true, country: NO, list: [1, a]}
    kept: *ana
    update: true
    exact: true
    now: 2026-04-01T00:00:00Z
    expect: {a: 1, b: true, c: null, d: [x, False], e: "", f: [], g: 2026-01-31}
    warning: w
  - {record: ana.json, outOfScope: userType}
  - {record: ana.json, outOfScope: true}
  - {record: ana.json, problem: MissingValues, reason: r}
`

const jsonForm = `{"schema": "s.json", "domain": "x.example", "disableMissing": true, "now": "2026-03-01", "tests": [
 {"name": "all", "kept": {"externalId": "007", "name": {"givenName": "Ana"}, "title": "a"},
  "record": {"externalId": "007", "name": {"givenName": "Ana"}, "title": null, "nr": "007", "n": 1.50, "day": "2026-01-31", "active": true, "country": "NO", "list": [1, "a"]},
  "update": true, "exact": true, "now": "2026-04-01T00:00:00Z",
  "expect": {"a": 1, "b": true, "c": null, "d": ["x", false], "e": "", "f": [], "g": "2026-01-31"}, "warning": "w"},
 {"record": "ana.json", "outOfScope": "userType"},
 {"record": "ana.json", "outOfScope": true},
 {"record": "ana.json", "problem": "MissingValues", "reason": "r"}
]}`

// YAML and JSON say the same; scalars keep their spelling.
func TestTrialFile(t *testing.T) {
	show := func(text string) string {
		f, err := readText(text)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		fmt.Fprintln(&b, f.schema.file, f.settings, f.now)
		for _, t := range f.tests {
			fmt.Fprintf(&b, "%+v\n%s\n%s\n", struct{ mapping.Test }{t}, t.Record, t.Kept)
		}
		return b.String()
	}
	got, want := show(yamlForm), show(jsonForm)
	if got != want {
		t.Errorf("YAML:\n%s\nJSON:\n%s", got, want)
	}
	for _, part := range []string{
		`"nr":"007","n":1.50,"day":"2026-01-31","active":true,"country":"NO","list":[1,"a"]`,
		"a:[1] b:[True] c:[] d:[x False] e:[] f:[] g:[2026-01-31]",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
	f, err := readText(yamlForm)
	if err != nil || !slices.Equal(f.lines, []int{8, 16, 17, 18}) || len(f.tests[0].Attributes["e"]) != 1 {
		t.Errorf("lines %v, expect %q", f.lines, f.tests[0].Attributes)
	}
}

// The file that --help shows can be read.
func TestTrialHelp(t *testing.T) {
	_, text, _ := strings.Cut(testHelp, "JSON:\n\n")
	text, _, _ = strings.Cut(text, "\n\nA test has")
	f, err := readText(text)
	if err != nil || len(f.tests) != 2 || f.tests[1].Clause != "userType" {
		t.Errorf("%v: %s", err, text)
	}
}

func TestTrialFileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "dir/t.yaml: the file is empty",
		"a: [":                    "dir/t.yaml:1: ",
		"a: 1\n--- \nb: 1":        "dir/t.yaml: there is more than one document",
		"schema: s.json":          "dir/t.yaml: there are no tests",
		"tests: []":               "dir/t.yaml: there are no tests",
		"- a":                     "dir/t.yaml:1: the file is members with values, not a list",
		"shema: x":                `dir/t.yaml:1: the file has no "shema"; it can have schema, `,
		"schema: 1\nschema: 2":    `dir/t.yaml:2: the file has "schema" twice`,
		"schema: [x]":             "dir/t.yaml:1: schema: write a text, not a list",
		"now: tomorrow":           `dir/t.yaml:1: now: "tomorrow" is no date`,
		"disableMissing: perhaps": `dir/t.yaml:1: disableMissing: write true or false, not "perhaps"`,
		"tests: {}":               "dir/t.yaml:1: tests: write a list of tests",
		"tests:\n- nam: x":        `dir/t.yaml:2: test 1 has no "nam"`,
		"tests:\n- name: x":       "dir/t.yaml:2: test 1 has no record",
		"tests:\n- name:":         "dir/t.yaml:2: name: write a text, not nothing",
		"tests:\n- record: {a: b}\n  expect: [x]":                                  "dir/t.yaml:3: expect is members with values, not a list",
		"tests:\n- record: {a: b}\n  expect: {x: {}}":                              "dir/t.yaml:3: x: write a value, a list of values, or null",
		"tests:\n- record: {a: b}\n  reason: x":                                    "dir/t.yaml:2: test 1: reason goes with problem",
		"tests:\n- record: {a: b}\n  problem: x\n  expect: {}":                     "dir/t.yaml:2: test 1: a person flows",
		"tests:\n- record: none.json":                                              "dir/t.yaml:2: record: open dir/none.json",
		"tests:\n- record: 12":                                                     "dir/t.yaml:2: record: write a person",
		"tests:\n- record: &a {b: *a}":                                             "nested more than 100 deep",
		"tests:\n- record: &a {<<: *a}":                                            "nested more than 100 deep",
		"tests:\n- record: {<<: 1}":                                                "a person is members with values, not",
		"tests:\n- record: {a: 1, a: 2}":                                           `has "a" twice`,
		"tests:\n- record: {[a]: 1}":                                               "the name of a member is a text",
		"{\"tests\": [\n\n{\"nam\": 1}]}":                                          `dir/t.yaml:3: test 1 has no "nam"`,
		"{\"tests\": " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}": "nested more than 100 deep",
		"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
			"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]": `has no "a"`,
	} {
		if _, err := readText(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n%v, want %s", text, err, want)
		}
	}
}

// Aliases of aliases cannot make a small file large.
func TestTrialFileBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("x-0: &a0 [x, x]\n")
	for i := range 40 {
		fmt.Fprintf(&b, "x-%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	b.WriteString("tests:\n- record: {a: *a40}\n")
	if _, err := readText(b.String()); err == nil || !strings.Contains(err.Error(), "values, with all that aliases repeat") {
		t.Error(err)
	}
}

func FuzzTrialFile(f *testing.F) {
	f.Add(yamlForm)
	f.Add(jsonForm)
	f.Add("tests:\n- record: {<<: [&a {x: 1}, *a], y: !!binary aGk=}\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := readText(text)
		if err != nil {
			return
		}
		for _, test := range file.tests {
			if _, err := decodePerson(test.Record); err != nil && !strings.Contains(err.Error(), "bulk request") {
				t.Fatalf("%s: %v", test.Record, err)
			}
			if test.Kept != nil && !json.Valid(test.Kept) {
				t.Fatalf("%s is no JSON", test.Kept)
			}
		}
	})
}
