package mapping

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"induct/internal/expr"
)

// Test is a record with what is expected of it.
type Test struct {
	Name   string
	Record []byte    // the record as JSON
	Kept   []byte    // everything that has been sent of the person, as JSON; nil if that is the record
	Now    time.Time // what Now() returns; zero means 2026-01-01T00:00:00Z
	Update bool      // what an object that is there already gets, in place of what a new one gets

	// What is expected. Nothing of it given means that the record must flow.
	Attributes map[string][]string // target attributes and their values as text; an empty list: nothing flows, or the value is removed
	Exact      bool                // no other attribute may flow
	OutOfScope bool
	Clause     string // with OutOfScope: a part of the clauses that decided
	Problem    string // the code of the problem
	Reason     string // with Problem: a part of its reason
	Warning    string // a part of one of the warnings
}

// TestResult is the end of a Test.
type TestResult struct {
	Name        string
	Differences []Difference // none: the test holds
	Err         string       // why the test could not be run, such as a record that is not JSON; "" if it could
}

// Passed reports whether the test holds.
func (r *TestResult) Passed() bool { return r.Err == "" && len(r.Differences) == 0 }

// Difference is one thing that is not as expected. Values that are redacted are compared, and shown as [Redact].
type Difference struct {
	What      string // a target attribute, or "outcome", "clause", "problem", "reason", "warning"
	Want, Got string // as text, ready to be shown below each other; "(nothing)" for no value
	Hint      string // why it is so, if that is known: the rule, or the clause
}

// nothing is how a difference shows that there is no value.
const nothing = "(nothing)"

// defaultNow is what Now() returns in a test that does not say.
var defaultNow = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// RunTests evaluates each test's record by the schema and compares. The results are in the order of the tests; they depend
// on nothing else, random values included. The error is a *SchemaError: the schema cannot run.
func RunTests(s *Schema, tests []Test, set Settings) ([]TestResult, error) {
	p, err := Compile(s, set)
	if err != nil {
		return nil, err
	}
	results := make([]TestResult, len(tests))
	for i := range tests {
		results[i] = p.runTest(&tests[i])
	}
	return results, nil
}

// trial is one test that is being run.
type trial struct {
	*Test
	TestResult
	record Record
	p      *Program
	out    Outcome
}

func (p *Program) runTest(t *Test) TestResult {
	r := trial{Test: t, TestResult: TestResult{Name: t.Name}, p: p, record: Record{Sent: t.Record, Kept: t.Kept, Now: t.Now, Seed: 1}}
	if r.record.Now.IsZero() {
		r.record.Now = defaultNow
	}
	switch {
	case !json.Valid(t.Record):
		r.Err = "the record is not JSON"
	case t.Kept != nil && !json.Valid(t.Kept):
		r.Err = "the kept record is not JSON"
	case t.OutOfScope && t.Problem != "" || len(t.Attributes) > 0 && (t.OutOfScope || t.Problem != ""):
		r.Err = "it expects attributes, out of scope and a problem at once; one of them can hold"
	default:
		r.out = p.Evaluate(r.record)
		r.compare()
	}
	return r.TestResult
}

func (r *trial) differ(what, want, got, hint string) {
	r.Differences = append(r.Differences, Difference{what, want, got, hint})
}

func (r *trial) compare() {
	want, got := "the record flows", "the record flows"
	switch {
	case r.Problem != "":
		want = "the problem " + r.Problem
	case r.OutOfScope:
		want = "out of scope"
	}
	hint := ""
	switch p := r.out.Problem; {
	case p != nil:
		got, hint = "the problem "+p.Code, p.Reason
	case r.out.OutOfScope != "":
		got, hint = "out of scope", r.out.OutOfScope
	}
	if want != got {
		r.differ("outcome", want, got, hint)
		return
	}
	if !strings.Contains(r.out.OutOfScope, r.Clause) {
		r.differ("clause", r.Clause, r.out.OutOfScope, "")
	}
	if p := r.out.Problem; p != nil && !strings.Contains(p.Reason, r.Reason) {
		r.differ("reason", r.Reason, p.Reason, "")
	}
	if !slices.ContainsFunc(r.out.Warnings, func(w string) bool { return strings.Contains(w, r.Warning) }) && r.Warning != "" {
		r.differ("warning", r.Warning, cmp.Or(strings.Join(r.out.Warnings, " "), nothing), "")
	}
	r.compareAttributes()
}

// written is what a record writes to one target attribute.
type written struct {
	values   []string
	redacted bool
}

// writes returns what a new object gets, or one that is there already and has nothing of it.
func (r *trial) writes() map[string]written {
	all := map[string]written{}
	for _, f := range r.out.Flows {
		if r.Update && (f.CreateOnly || f.Default) || !r.Update && f.Value.IsNull() {
			continue
		}
		w := written{redacted: f.Redacted}
		if !f.Clear || !r.Update {
			for _, v := range f.Value.Elems() {
				w.values = append(w.values, v.String())
			}
		}
		all[f.Attribute] = w
	}
	for _, ref := range r.out.References {
		if r.Update && ref.CreateOnly || !r.Update && ref.Clear {
			continue
		}
		w := written{redacted: ref.Redacted}
		if !ref.Clear {
			w.values = []string{ref.Anchor}
		}
		all[ref.Attribute] = w
	}
	return all
}

func (r *trial) compareAttributes() {
	got := r.writes()
	names := slices.Collect(maps.Keys(r.Attributes))
	if r.Exact {
		for name := range got {
			if _, ok := r.Attributes[name]; !ok {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	var why Explanation
	for _, name := range names {
		want, is := r.Attributes[name], got[name]
		if sameValues(want, is.values) {
			continue
		}
		if why.Attributes == nil {
			why = r.p.Explain(r.record)
		}
		d := Difference{What: name, Want: list(want), Got: list(is.values), Hint: why.hint(name)}
		if is.redacted {
			d.Want, d.Got = expr.Mask, expr.Mask+", another value"
		}
		r.Differences = append(r.Differences, d)
	}
}

// sameValues compares values in any order.
func sameValues(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// list shows values.
func list(values []string) string {
	shown := make([]string, len(values))
	for i, v := range values {
		if shown[i] = v; v == "" || strings.TrimSpace(v) != v || strings.Contains(v, "; ") {
			shown[i] = strconv.Quote(v)
		}
	}
	return cmp.Or(strings.Join(shown, "; "), nothing)
}

// hint says where the value of a target attribute comes from.
func (x *Explanation) hint(target string) string {
	i := slices.IndexFunc(x.Attributes, func(a AttributeExplanation) bool { return a.Target == target })
	if i < 0 {
		return "no mapping writes " + target
	}
	a := &x.Attributes[i]
	if a.Expression == "" {
		return a.How
	}
	return a.Expression + ": " + a.How
}
