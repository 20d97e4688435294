package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/directory"
	"induct/internal/expr"
	"induct/internal/mapping"
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
	mail   bool // jobs need somebody to notify
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
	e.Service, err = provision.NewService(e.t.Context(), provision.Config{Store: e.store, Target: e.target, WithoutMail: !e.mail, Now: e.now,
		Logger: slog.New(slog.DiscardHandler), Tenant: provision.Tenant{ID: uuid.MustParse("b16687d3-8faf-42ad-b298-92cdcaf01c6e"), DefaultDomain: "acme.example"}})
	if err != nil {
		e.t.Fatal(err)
	}
}

// withMail starts the service anew, with jobs that need somebody to notify.
func (e *stepped) withMail() {
	e.t.Helper()
	e.must(e.store.Close())
	e.mail = true
	e.open()
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

// TestDeletedJobLeavesNothingToOthers holds that the rows of a deleted job's people are not mistaken for those of another's, who
// come while the job is being removed.
func TestDeletedJobLeavesNothingToOthers(t *testing.T) {
	e := newStepped(t)
	first := e.job
	e.job = e.addJob()
	e.must(e.SetSettings(t.Context(), e.job.PK, provision.JobSettings{DeleteThreshold: new(int64)}))
	e.must(e.SetSettings(t.Context(), first.PK, provision.JobSettings{DeleteThreshold: new(int64)}))
	e.accept(people(0, 5, nil)...)
	e.drain()
	e.accept(people(0, 5, m{"active": false})...)
	e.drain()
	if s := e.status(); s.Held != 5 {
		t.Fatalf("%d held", s.Held)
	}
	e.must(e.DeleteJob(t.Context(), e.job.PK))
	// As far as a removal may have come when it is somebody else's turn.
	e.must(e.store.Unit(t.Context(), provision.Fence{JobPK: e.job.PK, Free: true}, func(u provision.Unit) error {
		_, err := u.Remove(5)
		return err
	}))
	e.job = first
	e.accept(people(10, 15, nil)...)
	a := e.accept(people(10, 15, m{"active": false})...)
	e.drain()
	if s := e.status(); s.Held != 5 {
		t.Errorf("%d held", s.Held)
	}
	e.balance(10)
	e.pass(time.Minute)
	e.drain()
	n, err := e.Decide(t.Context(), e.job.PK, true, nil)
	if err != nil || n != 5 {
		t.Errorf("%d decided: %v", n, err)
	}
	e.drain()
	e.balance(10)
	rs, err := e.Receipts(t.Context(), e.job.PK, a.Number, 0, 10)
	e.must(err)
	e.want(rs, "disabled disabled disabled disabled disabled")
}

// TestRunWithoutMailAfterAll holds that a job that stands still for want of somebody to notify goes on when it may run without.
func TestRunWithoutMailAfterAll(t *testing.T) {
	e := newStepped(t)
	e.withMail()
	e.must(e.StartJob(t.Context(), e.job.PK))
	e.accept(person("1", nil))
	e.drain()
	if q := e.status().Condition.Quarantine; q == nil || e.status().Queued != 1 {
		t.Fatalf("quarantine %+v", q)
	}
	e.must(e.SetSettings(t.Context(), e.job.PK, provision.JobSettings{RunWithoutMail: true}))
	e.drain()
	if s := e.status(); s.Condition.Quarantine != nil || s.Queued != 0 {
		t.Errorf("%d queued, quarantine %+v", s.Queued, s.Condition.Quarantine)
	}
}

// TestOutageDoesNotLiftABrake holds that what people are asked about keeps the job braked, though the target was away meanwhile.
func TestOutageDoesNotLiftABrake(t *testing.T) {
	e := newStepped(t)
	e.accept(people(0, 5, nil)...)
	e.drain()
	e.must(e.SetSettings(t.Context(), e.job.PK, provision.JobSettings{DeleteThreshold: new(int64)}))
	e.accept(people(0, 5, m{"active": false})...)
	e.drain()
	e.pass(4 * time.Second)
	e.drain()
	e.accept(person("9", nil))
	e.target.down = true
	e.pass(7 * time.Hour)
	_ = e.Drain(t.Context())
	e.target.down = false
	e.pass(25 * time.Hour)
	e.drain()
	s := e.status()
	if q := s.Condition.Quarantine; q == nil || q.Reason != provision.QuarantineDeletes || s.Held != 5 {
		t.Errorf("quarantine %+v, %d held", q, s.Held)
	}
	if s.Queued != 0 {
		t.Errorf("%d queued", s.Queued)
	}
}

// TestAnyLife takes jobs through random lives: records of all kinds, a target that is moody or away, verdicts, restarts of every
// scope, new schemas, other accounts, and the service started anew. Whatever happens, counts balance at any moment; and when
// all is well again, each record has come to one end, which its receipt, the counts and one entry of the log agree about.
func TestAnyLife(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newLife(t, seed).live(60) })
	}
}

type life struct {
	*stepped
	rand    *rand.Rand
	uploads []provision.Accepted
	sizes   map[int64]int
	records int64
}

func newLife(t *testing.T, seed uint64) *life {
	l := &life{stepped: newStepped(t), rand: rand.New(rand.NewPCG(seed, seed)), sizes: map[int64]int{}}
	limit := int64(l.rand.IntN(4))
	l.must(l.SetSettings(t.Context(), l.job.PK, provision.JobSettings{DeleteThreshold: &limit, Leave: []provision.LeaveAction{provision.LeaveDisable, provision.LeaveDelete, provision.LeaveAlone}[l.rand.IntN(3)]}))
	return l
}

func (l *life) live(steps int) {
	for range steps {
		l.step()
		if l.rand.IntN(3) > 0 {
			l.work()
		}
		l.balance(l.records)
	}
	l.target.down, l.target.refuse = false, map[string]bool{}
	for range 40 {
		l.pass(13 * time.Hour)
		l.must(l.StartJob(l.t.Context(), l.job.PK))
		l.drain()
		l.pass(time.Minute)
		l.drain()
		if _, err := l.Decide(l.t.Context(), l.job.PK, l.rand.IntN(2) == 0, nil); err != nil && !errors.Is(err, provision.ErrNotFound) {
			l.t.Fatal(err)
		}
	}
	l.drain()
	l.settled()
	l.atRest()
}

// atRest checks that counters are right, and that everybody is as the mapping wants once everybody was re-evaluated.
func (l *life) atRest() {
	ctx := l.t.Context()
	for range 4 { // a name that somebody gives up is free for the next round
		l.must(l.SetSettings(ctx, l.job.PK, provision.JobSettings{DeleteThreshold: new(int64(-1))}))
		l.must(l.Reevaluate(ctx, l.job.PK))
		l.drain()
	}
	s := l.status()
	for _, end := range []provision.End{provision.EndCreated, provision.EndUpdated, provision.EndDisabled, provision.EndDeleted, provision.EndHeld, provision.EndRetrying} {
		if n := s.Reevaluation.Ends[end]; n > 0 {
			l.t.Errorf("one more re-evaluation has %d %s", n, end)
		}
	}
	people, err := l.store.PeopleAfter(ctx, l.job.PK, 0, 1000)
	l.must(err)
	var linked, enabled int64
	for _, p := range people {
		if p.ObjectID != "" {
			linked++
		}
		if p.Enabled {
			enabled++
		}
	}
	if s.Users != linked || s.Enabled != enabled {
		l.t.Errorf("%d linked and %d enabled, counted as %d and %d", linked, enabled, s.Users, s.Enabled)
	}
}

// work does what there is to do; the target may be away.
func (l *life) work() {
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	if _ = l.Drain(ctx); ctx.Err() != nil {
		l.t.Fatal("there is always something to do")
	}
}

func (l *life) some() string { return fmt.Sprint(l.rand.IntN(12)) }

func (l *life) step() {
	ctx, pk := l.t.Context(), l.job.PK
	ignore := func(err error) {
		if err != nil && !errors.Is(err, provision.ErrNotFound) && !errors.Is(err, provision.ErrRunning) && !errors.Is(err, provision.ErrTaken) && !errors.Is(err, errDown) {
			l.t.Error(err)
		}
	}
	object := func() string {
		c, err := l.Connection(ctx, pk, l.some())
		if err != nil {
			return uuid.NewString()
		}
		return c.ObjectID
	}
	switch n := l.rand.IntN(40); n {
	default:
		l.send()
	case 0, 1, 2:
		l.target.refuse[[]string{"Person " + l.some(), object()}[l.rand.IntN(2)]] = true
	case 3, 4:
		clear(l.target.refuse)
	case 5:
		l.target.down = true
	case 6, 7:
		l.target.down = false
	case 8, 9, 10:
		l.pass([]time.Duration{time.Second, 4 * time.Second, 2 * time.Minute, 41 * time.Minute, 3 * time.Hour, 25 * time.Hour, 30 * 24 * time.Hour}[l.rand.IntN(7)])
	case 11, 12:
		_, err := l.Decide(ctx, pk, l.rand.IntN(2) == 0, nil)
		ignore(err)
	case 13:
		_, err := l.Decide(ctx, pk, l.rand.IntN(2) == 0, []string{l.some()})
		ignore(err)
	case 14, 15:
		_, err := l.RestartJob(ctx, pk, []provision.ResetScope{0, 1, 2, 4, 8, 15, 32, 35, 47}[l.rand.IntN(9)])
		ignore(err)
	case 16:
		ignore(l.PauseJob(ctx, pk))
	case 17, 18, 19:
		ignore(l.StartJob(ctx, pk))
	case 20:
		ignore(l.SetJobState(ctx, pk, provision.JobDisabled))
	case 21, 22:
		_, err := l.ProvisionOnDemand(ctx, pk, l.some())
		ignore(err)
	case 23:
		ignore(l.SetSchema(ctx, pk, l.mapped("jobTitle", []string{"[title]", "ToUpper([title])"}[l.rand.IntN(2)])))
	case 24:
		ignore(l.users.Delete(ctx, object()))
	case 25:
		ignore(l.users.DeleteForever(ctx, object()))
	case 26:
		ignore(l.Disconnect(ctx, pk, l.some()))
	case 27:
		ignore(l.Relink(ctx, pk, l.some(), object()))
	case 28:
		l.must(l.store.Close())
		was := l.target
		l.open()
		l.target.down, l.target.refuse = was.down, was.refuse
	}
}

// send accepts an upload of a few records of a few people.
func (l *life) send() {
	u := provision.Upload{Job: l.job}
	for i := range 1 + l.rand.IntN(6) {
		id := l.some()
		r := person(id, m{"title": fmt.Sprint("T", l.rand.IntN(3)), "active": l.rand.IntN(3) > 0})
		op := provision.Operation{BulkID: fmt.Sprint("b", i), Anchor: id}
		switch l.rand.IntN(12) {
		case 0:
			op.Delete = true
		case 1:
			op.Anchor = ""
			delete(r, "externalId")
		case 2:
			delete(r, "active")
		case 3:
			r["userName"] = "same@old.example"
		case 4:
			r["displayName"] = string(make([]rune, 300))
		case 5, 6:
			r[enterprise] = m{"manager": m{"value": l.some()}}
		}
		if !op.Delete {
			data, err := json.Marshal(r)
			l.must(err)
			op.Data = data
		}
		u.Operations = append(u.Operations, op)
	}
	a, err := l.Accept(l.t.Context(), u)
	l.must(err)
	l.uploads, l.records = append(l.uploads, a), l.records+int64(len(u.Operations))
	l.sizes[a.Number] = len(u.Operations)
}

// settled checks what has become of each record.
func (l *life) settled() {
	ctx := l.t.Context()
	if s := l.status(); s.Queued+s.Held+s.Staged+s.Retrying != 0 {
		l.t.Errorf("%d queued, %d held, %d staged, %d retrying, quarantine %+v", s.Queued, s.Held, s.Staged, s.Retrying, s.Condition.Quarantine)
	}
	totals := map[provision.End]int64{}
	for _, a := range l.uploads {
		st, err := l.Upload(ctx, l.job.PK, a.ID)
		l.must(err)
		rs, err := l.Receipts(ctx, l.job.PK, a.Number, 0, 100)
		l.must(err)
		counts := map[provision.End]int{}
		for _, r := range rs {
			counts[r.End]++
			totals[r.End]++
		}
		if st.State != provision.UploadSettled || len(rs) != l.sizes[a.Number] || !maps.Equal(counts, st.Counts) {
			l.t.Errorf("upload %d of %d is %s, counts %v, receipts %v", a.Number, l.sizes[a.Number], st.State, st.Counts, counts)
		}
		finals := make([]int, len(rs))
		for _, x := range l.log(provision.LogQuery{JobPK: l.job.PK, Upload: a.Number}) {
			if !x.Ref && !x.Hidden && x.End.Final() {
				finals[x.Index]++
			}
		}
		for i, n := range finals {
			want := 1
			if r := rs[i]; r.Entry.Hidden {
				want = 0
			}
			if n != want {
				l.t.Errorf("record %d of upload %d, %s, has %d entries about its end", i, a.Number, rs[i].End, n)
			}
		}
	}
	got := l.status().TotalCounts
	maps.DeleteFunc(got, func(_ provision.End, n int64) bool { return n == 0 })
	if !maps.Equal(got, totals) {
		l.t.Errorf("totals %v, receipts %v", got, totals)
	}
}

// TestApprovedDoesNotKeepAJobForEver holds that a job whose target is away for 28 days is given up, whatever waits.
func TestApprovedDoesNotKeepAJobForEver(t *testing.T) {
	e := newStepped(t)
	e.accept(people(0, 5, nil)...)
	e.drain()
	e.accept(people(0, 2, m{"active": false})...)
	e.drain() // a few: carried out at once
	e.must(e.SetSettings(t.Context(), e.job.PK, provision.JobSettings{DeleteThreshold: new(int64)}))
	e.accept(people(2, 4, m{"active": false})...)
	e.drain()
	e.target.down = true
	if n, err := e.Decide(t.Context(), e.job.PK, true, nil); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	for range 80 {
		_ = e.Drain(t.Context())
		e.pass(9 * time.Hour)
	}
	if j, _ := e.Job(t.Context(), e.job.ID); j.State != provision.JobDisabled {
		t.Errorf("job is %s, %+v", j.State, e.status().Condition.Quarantine)
	}
	e.balance(9)
}

// TestNewMappingEndsAQuarantineForFailures holds that a job which so many records have failed in is tried at once with the mapping
// that is to heal them.
func TestNewMappingEndsAQuarantineForFailures(t *testing.T) {
	e := newStepped(t)
	e.must(e.SetSchema(t.Context(), e.job.PK, e.mapped("jobTitle", `Error([title])`)))
	for i := range 51 {
		e.accept(people(100*i, 100*i+100, m{"title": "Baker"})...)
	}
	e.drain()
	if q := e.status().Condition.Quarantine; q == nil || q.Reason != provision.QuarantineProportion {
		t.Fatalf("quarantine %+v", q)
	}
	e.pass(time.Minute)
	e.must(e.SetSchema(t.Context(), e.job.PK, e.mapped("jobTitle", "[title]")))
	e.drain()
	s := e.status()
	if s.Condition.Quarantine != nil || s.Reevaluation.Ends[provision.EndCreated] != 5100 {
		t.Errorf("quarantine %+v, re-evaluation %+v", s.Condition.Quarantine, s.Reevaluation)
	}
}

// TestDeferredReferenceToSomebodyUnlinked holds that a reference which is tried again later, and which nobody stands at the other
// end of by then, waits like any other.
func TestDeferredReferenceToSomebodyUnlinked(t *testing.T) {
	e := newStepped(t)
	e.accept(person("1", nil))
	e.drain()
	object := e.user("u1@acme.example").ID
	e.accept(person("1", reportsTo("2")))
	e.drain()
	e.target.refuse[object] = true
	e.accept(person("2", nil)) // now the reference is ready, and refused
	e.drain()
	e.must(e.PauseJob(t.Context(), e.job.PK))
	e.must(e.Disconnect(t.Context(), e.job.PK, "2"))
	e.must(e.StartJob(t.Context(), e.job.PK))
	clear(e.target.refuse)
	e.pass(time.Hour)
	e.drain()
	e.accept(person("2", nil))
	e.drain()
	if got, want := e.attr("u1@acme.example", "manager"), e.user("u2@acme.example").ID; got != want {
		t.Errorf("manager is %q, want %q", got, want)
	}
}

// TestReferenceToSomebodyRetried holds that a reference is written when the person it names comes late, by a retry and not by an
// upload.
func TestReferenceToSomebodyRetried(t *testing.T) {
	e := newStepped(t)
	e.target.refuse["Person 2"] = true
	e.accept(person("1", reportsTo("2")), person("2", nil))
	e.drain()
	clear(e.target.refuse)
	e.pass(2 * time.Minute)
	e.drain()
	if got, want := e.attr("u1@acme.example", "manager"), e.user("u2@acme.example").ID; got != want {
		t.Errorf("manager is %q, want %q", got, want)
	}
	// And by somebody who links the person by hand.
	e.accept(person("3", reportsTo("4")))
	e.accept(person("4", m{"userName": ""}))
	e.accept(person("5", nil))
	e.drain()
	e.must(e.PauseJob(t.Context(), e.job.PK))
	e.must(e.Disconnect(t.Context(), e.job.PK, "5"))
	e.must(e.Relink(t.Context(), e.job.PK, "4", e.user("u5@acme.example").ID))
	e.must(e.StartJob(t.Context(), e.job.PK))
	e.drain()
	if got, want := e.attr("u3@acme.example", "manager"), e.user("u5@acme.example").ID; got != want {
		t.Errorf("manager is %q, want %q", got, want)
	}
}

// TestRejectedStaysRejected holds that what somebody has rejected is not done after all because the mapping changes or the job is
// restarted, but when a newer record asks for it, or somebody for this one person.
func TestRejectedStaysRejected(t *testing.T) {
	e := newStepped(t)
	e.accept(people(0, 5, m{"title": "Cook"})...)
	e.drain()
	limit := func(n int64) {
		e.must(e.SetSettings(t.Context(), e.job.PK, provision.JobSettings{DeleteThreshold: &n}))
	}
	settle := func() {
		e.drain()
		e.pass(5 * time.Second)
		e.drain()
	}
	limit(0)
	e.accept(people(0, 4, m{"title": "Cook", "active": false})...)
	settle()
	if n, err := e.Decide(t.Context(), e.job.PK, false, nil); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	settle()
	limit(100)
	for range 2 {
		e.must(e.SetSchema(t.Context(), e.job.PK, e.mapped("jobTitle", "ToUpper([title])")))
		settle()
		_, err := e.RestartJob(t.Context(), e.job.PK, provision.ResetWatermark|provision.ResetEscrows|provision.ResetQuarantineState)
		e.must(err)
		settle()
	}
	for i := range 4 {
		if got := e.attr(fmt.Sprintf("u%d@acme.example", i), "accountEnabled"); got != "True" {
			t.Errorf("account %d is disabled after all", i)
		}
	}
	if got := e.attr("u4@acme.example", "jobTitle"); got != "COOK" {
		t.Errorf("title of somebody else is %q", got)
	}
	e.balance(9)
	e.accept(person("1", m{"active": false}))
	settle()
	done, err := e.ProvisionOnDemand(t.Context(), e.job.PK, "2")
	if err != nil || done.Entry.End != provision.EndDisabled {
		t.Errorf("%+v, %v", done, err)
	}
	for i, want := range []string{"True", "False", "False", "True"} {
		if got := e.attr(fmt.Sprintf("u%d@acme.example", i), "accountEnabled"); got != want {
			t.Errorf("account %d is enabled: %s", i, got)
		}
	}
	e.balance(10)
}

// TestClearedIsDisabled holds that brakes see it when somebody loses the account because accountEnabled is cleared.
func TestClearedIsDisabled(t *testing.T) {
	for _, c := range []struct {
		was  expr.Value
		want provision.End
	}{{expr.Bool(true), provision.EndDisabled}, {expr.Bool(false), provision.EndUpdated}} {
		out := &mapping.Outcome{Flows: []mapping.Flow{{Attribute: "accountEnabled", Clear: true}}}
		object := &provision.Object{ID: uuid.NewString(), Attributes: map[string]expr.Value{"accountEnabled": c.was}}
		if got := provision.Plan(out, object, mapping.FlowTypes{Add: true, Update: true}); got.End != c.want {
			t.Errorf("from %v: %s, want %s", c.was, got.End, c.want)
		}
	}
}

// TestReferencesOfWhatIsHeld holds that no part of a held change is carried out before a verdict, nor after it was rejected.
func TestReferencesOfWhatIsHeld(t *testing.T) {
	for _, approve := range []bool{false, true} {
		e := newStepped(t)
		e.accept(person("1", reportsTo("7")))
		e.drain()
		e.must(e.SetSettings(t.Context(), e.job.PK, provision.JobSettings{DeleteThreshold: new(int64)}))
		leaver := reportsTo("8")
		leaver["active"] = false
		e.accept(person("1", leaver))
		e.drain()
		e.pass(5 * time.Second)
		e.drain()
		e.pass(7 * time.Hour) // an attempt takes up what was sent in quarantine
		e.accept(person("8", nil))
		e.drain()
		if got := e.attr("u1@acme.example", "manager"); got != "" {
			t.Errorf("manager is %q before a verdict", got)
		}
		if n, err := e.Decide(t.Context(), e.job.PK, approve, nil); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		e.drain()
		e.accept(person("7", nil))
		e.drain()
		want := e.user("u7@acme.example").ID
		if approve {
			want = e.user("u8@acme.example").ID
		}
		if got := e.attr("u1@acme.example", "manager"); got != want {
			t.Errorf("approved %t: manager is %q, want %q", approve, got, want)
		}
		e.balance(4)
	}
}

// TestStartDuringAnOutage holds that somebody who starts a job whose target is away is not told at once that it is in quarantine
// again: it is tried for as long as at first.
func TestStartDuringAnOutage(t *testing.T) {
	e := newStepped(t)
	e.accept(person("1", nil))
	e.target.down = true
	outage := func() {
		_ = e.Drain(t.Context())
		e.pass(3 * time.Hour)
		_ = e.Drain(t.Context())
		if q := e.status().Condition.Quarantine; q == nil || q.Code != "TargetUnreachable" {
			t.Errorf("quarantine %+v", q)
		}
	}
	outage()
	e.must(e.StartJob(t.Context(), e.job.PK))
	_ = e.Drain(t.Context())
	if q := e.status().Condition.Quarantine; q != nil {
		t.Errorf("quarantine %+v", q)
	}
	outage()
	e.balance(1)
}
