package provision_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/directory"
	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// moody is the built-in directory in one of several moods.
type moody struct {
	*directory.Directory
	mu     sync.Mutex
	down   bool            // calls fail as a whole
	refuse map[string]bool // display names of objects whose changes are refused for now
}

func (m *moody) In(u provision.Unit) provision.Target { return moodyIn{m, m.Directory.In(u)} }

type moodyIn struct {
	m *moody
	provision.Target
}

var errDown = errors.New("connection refused")

func (t moodyIn) Find(ctx context.Context, q []provision.Query) ([]provision.Found, error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if t.m.down && len(q) > 0 {
		return nil, errDown
	}
	return t.Target.Find(ctx, q)
}

func (t moodyIn) Apply(ctx context.Context, changes []provision.Change) ([]provision.Result, error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	results := make([]provision.Result, len(changes))
	var pass []provision.Change
	var at []int
	for i, c := range changes {
		if t.m.refuse[nameOf(c)] || t.m.refuse[c.ID] {
			results[i].Err = &provision.TargetError{Code: "Timeout", Reason: "the directory took too long", Retryable: true}
			continue
		}
		pass, at = append(pass, c), append(at, i)
	}
	passed, err := t.Target.Apply(ctx, pass)
	if err != nil {
		return nil, err
	}
	for i, r := range passed {
		results[at[i]] = r
	}
	return results, nil
}

func nameOf(c provision.Change) string {
	for _, a := range c.Set {
		if a.Attribute == "displayName" {
			return a.Value.String()
		}
	}
	return ""
}

// stepped is a service that works when told to, by a clock that stands still.
type stepped struct {
	*engine
	target *moody
	mu     sync.Mutex
	clock  time.Time
}

func newStepped(t *testing.T) *stepped {
	e := &stepped{engine: &engine{t: t, dir: t.TempDir()}, clock: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	e.open()
	t.Cleanup(func() { e.store.Close() })
	e.job = e.addJob()
	return e
}

func (e *stepped) open() {
	e.t.Helper()
	var err error
	if e.store, err = sqlstore.Open(e.t.Context(), e.dir, sqlstore.Options{Now: e.now}); err != nil {
		e.t.Fatal(err)
	}
	e.users = directory.New(e.store)
	e.target = &moody{Directory: e.users, refuse: map[string]bool{}}
	e.Service, err = provision.NewService(e.t.Context(), provision.Config{Store: e.store, Target: e.target, WithoutMail: true, Now: e.now,
		Logger: slog.New(slog.DiscardHandler), Tenant: provision.Tenant{ID: uuid.MustParse("b16687d3-8faf-42ad-b298-92cdcaf01c6e"), DefaultDomain: "acme.example"}})
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *stepped) addJob() *provision.Job {
	e.t.Helper()
	app, err := e.CreateApp(e.t.Context(), "HR")
	if err != nil {
		e.t.Fatal(err)
	}
	job, err := e.CreateJob(e.t.Context(), "API2AAD", app.ServicePrincipalID)
	if err == nil {
		err = e.StartJob(e.t.Context(), job.PK)
	}
	if err != nil {
		e.t.Fatal(err)
	}
	if job, err = e.Job(e.t.Context(), job.ID); err != nil {
		e.t.Fatal(err)
	}
	return job
}

func (e *stepped) now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.clock
}

func (e *stepped) pass(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clock = e.clock.Add(d)
}

func (e *stepped) drain() {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 10*time.Second)
	defer cancel()
	if err := e.Drain(ctx); err != nil {
		e.t.Fatal(err)
	}
}

func (e *stepped) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *stepped) status() *provision.JobStatus {
	e.t.Helper()
	s, err := e.JobStatus(e.t.Context(), e.job.PK)
	e.must(err)
	return s
}

// balance checks that what was accepted is what is queued, held, retried and ended.
func (e *stepped) balance(accepted int64) {
	e.t.Helper()
	s := e.status()
	sum := s.Queued
	for _, n := range s.TotalCounts {
		sum += n
	}
	if sum != accepted || s.TotalCounts[provision.EndHeld] > s.Held || s.TotalCounts[provision.EndRetrying] > s.Retrying {
		e.t.Errorf("%d accepted, %d queued, counts %v, held %d, retrying %d", accepted, s.Queued, s.TotalCounts, s.Held, s.Retrying)
	}
}

func people(from, to int, more m) (all []m) {
	for i := from; i < to; i++ {
		all = append(all, person(fmt.Sprint(i), more))
	}
	return all
}

// TestOnDemandThatIsRetried holds that a person whom somebody has carried out, and whom the target refuses for now, is no
// record of the upload that came last.
func TestOnDemandThatIsRetried(t *testing.T) {
	e := newStepped(t)
	a := e.accept(person("1", m{"title": "A"}))
	e.drain()
	object := e.user("u1@acme.example").ID
	e.must(e.users.Delete(t.Context(), object)) // so that there is something to do
	e.target.refuse[object] = true
	done, err := e.ProvisionOnDemand(t.Context(), e.job.PK, "1")
	if err != nil || done.Entry.End != provision.EndRetrying {
		t.Fatalf("%+v, %v", done, err)
	}
	e.balance(1)
	e.target.refuse = nil
	e.pass(2 * time.Minute)
	e.drain()
	if s := e.status(); s.Retrying != 0 {
		t.Errorf("%d retry", s.Retrying)
	}
	e.balance(1)
	rs, err := e.Receipts(t.Context(), e.job.PK, a.Number, 0, 10)
	e.must(err)
	e.want(rs, "created")
}

// TestRestartOfAJobThatWasGivenUp holds that a job that was disabled after 28 days of quarantine works again when it is restarted,
// whatever the restart forgets.
func TestRestartOfAJobThatWasGivenUp(t *testing.T) {
	for _, scope := range []provision.ResetScope{0, provision.ResetWatermark, provision.ResetEscrows, provision.ResetFull} {
		e := newStepped(t)
		e.accept(people(0, 5, nil)...)
		e.target.down = true
		for range 80 {
			_ = e.Drain(t.Context())
			e.pass(9 * time.Hour)
		}
		if j, _ := e.Job(t.Context(), e.job.ID); j.State != provision.JobDisabled {
			t.Fatalf("%s: job is %s, %+v", scope, j.State, e.status().Condition.Quarantine)
		}
		e.target.down = false
		_, err := e.RestartJob(t.Context(), e.job.PK, scope)
		e.must(err)
		e.accept(person("9", nil))
		e.drain()
		e.pass(time.Second)
		e.drain()
		if j, _ := e.Job(t.Context(), e.job.ID); j.State != provision.JobActive {
			t.Errorf("%s: job is %s again", scope, j.State)
		}
		if s := e.status(); s.Queued != 0 {
			t.Errorf("%s: %d queued, quarantine %+v", scope, s.Queued, s.Condition.Quarantine)
		}
		e.balance(6)
	}
}

// TestGivenUpIsNotRecovered holds that nobody is told that a job is well again because it was disabled.
func TestGivenUpIsNotRecovered(t *testing.T) {
	e := newStepped(t)
	e.accept(people(0, 5, nil)...)
	e.drain()
	e.must(e.SetSettings(t.Context(), e.job.PK, provision.JobSettings{DeleteThreshold: new(int64)}))
	e.accept(people(0, 5, m{"active": false})...)
	e.drain()
	e.pass(4 * time.Second)
	e.drain()
	e.pass(29 * 24 * time.Hour)
	e.drain()
	all, err := e.Notices(t.Context(), e.job.PK, 10)
	e.must(err)
	for _, n := range all {
		if n.Kind == provision.NoticeRecovered {
			t.Errorf("notice of a recovery: %+v", n)
		}
	}
	if s := e.status(); s.Held != 0 {
		t.Errorf("%d held", s.Held)
	}
}

// TestPurgedIsNoReplay holds that a request that was purged from the queue is accepted anew when it is sent again.
func TestPurgedIsNoReplay(t *testing.T) {
	e := newStepped(t)
	e.must(e.PauseJob(t.Context(), e.job.PK))
	u := provision.Upload{Job: e.job, ClientRequestID: "x", Operations: []provision.Operation{{Anchor: "1", Data: []byte(`{"externalId":"1","userName":"a","displayName":"A"}`)}}}
	first, err := e.Accept(t.Context(), u)
	e.must(err)
	_, err = e.RestartJob(t.Context(), e.job.PK, provision.ResetFull)
	e.must(err)
	again, err := e.Accept(t.Context(), u)
	e.must(err)
	if again.Replay || again.ID == first.ID {
		t.Errorf("it is a replay of the upload that was purged: %+v", again)
	}
	e.drain()
	e.balance(2)
}

// TestReevaluationOfAPendingDelta holds that a new mapping reaches people whose latest record, of a few attributes, is retried.
func TestReevaluationOfAPendingDelta(t *testing.T) {
	e := newStepped(t)
	e.accept(person("1", m{"title": "A"}))
	e.drain()
	e.target.refuse[e.user("u1@acme.example").ID] = true
	b := e.accept(person("1", m{"displayName": "New"}))
	e.drain()
	if s := e.status(); s.Retrying != 1 {
		t.Fatalf("%+v", s)
	}
	e.target.refuse = nil
	e.must(e.SetSchema(t.Context(), e.job.PK, e.mapped("jobTitle", `Append([title], " of bread")`)))
	e.drain()
	e.pass(time.Hour)
	e.drain()
	if got := e.attr("u1@acme.example", "displayName") + ", " + e.attr("u1@acme.example", "jobTitle"); got != "New, A of bread" {
		t.Errorf("displayName and jobTitle are %q", got)
	}
	rs, err := e.Receipts(t.Context(), e.job.PK, b.Number, 0, 10)
	e.must(err)
	e.want(rs, "updated")
	e.balance(2)
}
