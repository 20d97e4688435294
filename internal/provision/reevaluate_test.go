package provision_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// mapped returns the job's schema with another expression for a target attribute.
func (e *engine) mapped(target, expression string) *mapping.Schema {
	e.t.Helper()
	job, err := e.Job(e.t.Context(), e.job.ID)
	if err != nil {
		e.t.Fatal(err)
	}
	s := *job.Schema
	s.Rules = slices.Clone(s.Rules)
	s.Rules[0].ObjectMappings = slices.Clone(s.Rules[0].ObjectMappings)
	om := &s.Rules[0].ObjectMappings[0]
	om.AttributeMappings = slices.Clone(om.AttributeMappings)
	for i := range om.AttributeMappings {
		if om.AttributeMappings[i].TargetAttributeName == target {
			om.AttributeMappings[i].Expression = expression
			return &s
		}
	}
	e.t.Fatalf("no mapping of %s", target)
	return nil
}

// reevaluated waits until the job's re-evaluation n has ended.
func (e *engine) reevaluated(n int64) *provision.Reevaluation {
	e.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		st, err := e.JobStatus(e.t.Context(), e.job.PK)
		if err != nil {
			e.t.Fatal(err)
		}
		if re := st.Reevaluation; re != nil && re.Number == n && !re.Ended.IsZero() {
			return re
		}
	}
	e.t.Fatal("the re-evaluation does not end")
	return nil
}

func TestChangedMappingReachesEverybody(t *testing.T) {
	e := newEngine(t)
	var people []m
	for i := range 2500 { // more than two batches
		people = append(people, person(fmt.Sprint(i), m{"title": "Baker"}))
	}
	people[7]["title"] = "BAKER"
	for part := range slices.Chunk(people, 50) {
		e.accept(part...)
	}
	e.upload(person("x", m{"title": "Baker", "userName": "u0@old.example"})) // fails: the name is taken
	before := e.status()
	if err := e.SetSchema(t.Context(), e.job.PK, e.mapped("jobTitle", "ToUpper([title])")); err != nil {
		t.Fatal(err)
	}
	re := e.reevaluated(1)
	if re.Evaluated != 2501 || re.Ends[provision.EndUpdated] != 2499 || re.Ends[provision.EndUnchanged] != 1 || re.Ends[provision.EndFailed] != 1 {
		t.Errorf("re-evaluation: %+v", re)
	}
	for _, i := range []int{0, 7, 1000, 2499} {
		if got := e.attr(fmt.Sprintf("u%d@acme.example", i), "jobTitle"); got != "BAKER" {
			t.Errorf("title of %d is %q", i, got)
		}
	}
	// Entries tell of the changes, each a change of its own, under the new version; counts of uploads stay as they were.
	changes := map[uuid.UUID]bool{}
	var entries []provision.LogEntry
	for after := int64(0); ; {
		page, err := e.QueryLog(t.Context(), provision.LogQuery{JobPK: e.job.PK, Ascending: true, After: after, Limit: 1000,
			Match: func(x *provision.LogEntry) bool { return x.Upload < 0 }})
		if err != nil {
			t.Fatal(err)
		}
		if entries = append(entries, page.Entries...); !page.More {
			break
		}
		after = page.Next
	}
	for _, x := range entries {
		changes[provision.ChangeID(x.JobPK, x.Upload, x.Index)] = true
		if x.Schema != "v1.1" && x.Schema != "v1.2" {
			t.Errorf("schema version is %q", x.Schema)
		}
	}
	if len(entries) != 2500 || len(changes) != 2500 {
		t.Errorf("%d entries of %d changes, want 2,500", len(entries), len(changes))
	}
	if after := e.status(); after.TotalCounts[provision.EndUpdated] != before.TotalCounts[provision.EndUpdated] {
		t.Errorf("counts of records were %v, are %v", before.TotalCounts, after.TotalCounts)
	}
	// What is sent again is known to be as desired.
	_, r := e.upload(people[1], person("3", m{"title": "Cook"}))
	e.want(r, "unchanged updated")
}

func (e *engine) status() *provision.JobStatus {
	e.t.Helper()
	st, err := e.JobStatus(e.t.Context(), e.job.PK)
	if err != nil {
		e.t.Fatal(err)
	}
	return st
}

// A re-evaluation goes on after a restart, and a newer one takes its place.
func TestReevaluationSurvivesARestart(t *testing.T) {
	e := newEngine(t)
	var people []m
	for i := range 300 {
		people = append(people, person(fmt.Sprint(i), m{"title": "Baker"}))
	}
	for part := range slices.Chunk(people, 50) {
		e.upload(part...)
	}
	e.stop() // nobody runs it
	for _, expression := range []string{"ToUpper([title])", "ToLower([title])"} {
		if err := e.SetSchema(t.Context(), e.job.PK, e.mapped("jobTitle", expression)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.store.Close(); err != nil {
		t.Fatal(err)
	}
	e.open()
	if re := e.reevaluated(2); re.Ends[provision.EndUpdated] != 300 {
		t.Errorf("re-evaluation: %+v", re)
	}
	if got := e.attr("u299@acme.example", "jobTitle"); got != "baker" {
		t.Errorf("title is %q", got)
	}
}

// What was sent while it runs decides over what was kept.
func TestUploadsGoBeforeAReevaluation(t *testing.T) {
	e := newEngine(t)
	var people, newer []m
	for i := range 400 {
		people = append(people, person(fmt.Sprint(i), m{"title": "Baker"}))
		newer = append(newer, person(fmt.Sprint(i), m{"title": "Cook"}))
	}
	for part := range slices.Chunk(people, 50) {
		e.upload(part...)
	}
	if err := e.SetSchema(t.Context(), e.job.PK, e.mapped("jobTitle", "ToUpper([title])")); err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(newer, 50) {
		e.upload(part...)
	}
	e.reevaluated(1)
	for i := range 400 {
		if got := e.attr(fmt.Sprintf("u%d@acme.example", i), "jobTitle"); got != "COOK" {
			t.Fatalf("title of %d is %q", i, got)
		}
	}
}

// A schema that cannot run changes nothing.
func TestSetSchemaRefusesWhatCannotRun(t *testing.T) {
	e := newEngine(t)
	e.upload(person("1", nil))
	if err := e.SetSchema(t.Context(), e.job.PK, e.mapped("jobTitle", "ToUpper([title]")); err == nil {
		t.Error("a schema that does not parse was taken")
	}
	if e.status().Reevaluation != nil {
		t.Error("a re-evaluation has begun")
	}
	if err := e.SetSchema(t.Context(), 99, e.job.Schema); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("unknown job: %v", err)
	}
}

func TestReevaluateHealsReferences(t *testing.T) {
	e := newEngine(t)
	e.upload(person("1", reportsTo("9")))
	_, r := e.upload(person("9", m{"userName": nil}))
	e.want(r, "failed")
	if err := e.SetSchema(t.Context(), e.job.PK, e.mapped("userPrincipalName", `Join("@", [externalId], DefaultDomain())`)); err != nil {
		t.Fatal(err)
	}
	e.reevaluated(1)
	if got, want := e.attr("1@acme.example", "manager"), e.user("9@acme.example").ID; got != want {
		t.Errorf("manager is %q, want %q", got, want)
	}
}

// A record that was sent before and is evaluated anew, because the schema has changed, takes nothing from what is kept.
func TestKeptRecordSurvivesTheSameRecordUnderAnotherSchema(t *testing.T) {
	e := newEngine(t)
	e.upload(person("1", m{"title": "Baker"}))
	partial := person("1", nil)
	e.upload(partial)
	e.stop()
	if err := e.SetSchema(t.Context(), e.job.PK, e.mapped("jobTitle", "ToUpper([title])")); err != nil {
		t.Fatal(err)
	}
	e.accept(partial) // is taken up before the re-evaluation, which reads what is kept
	if err := e.store.Close(); err != nil {
		t.Fatal(err)
	}
	e.open()
	e.reevaluated(1)
	if got := e.attr("u1@acme.example", "jobTitle"); got != "BAKER" {
		t.Errorf("title is %q", got)
	}
}
