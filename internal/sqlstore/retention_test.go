package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
	"induct/internal/oauth"
	"induct/internal/provision"
)

// era is a store with a job and a clock that the test moves.
type era struct {
	*testing.T
	s        *Store
	now      time.Time
	job      *provision.Job
	position int64
	cycle    *provision.Cycle
	dir      string
}

func newEra(t *testing.T) *era {
	t.Helper()
	e := &era{T: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), dir: t.TempDir()}
	e.open()
	t.Cleanup(func() { e.s.Close() })
	e.job = e.newJob("j")
	return e
}

func (e *era) open() {
	e.Helper()
	var err error
	if e.s, err = Open(context.Background(), e.dir, Options{ReserveBytes: -1, Now: func() time.Time { return e.now }, FilterKiB: 16, Known: 64}); err != nil {
		e.Fatal(err)
	}
	e.s.runs = unmerged{blocks: 4, entries: 1 << 20}
}

func (e *era) newJob(id string) *provision.Job {
	e.Helper()
	j := &provision.Job{ID: id, Schema: &mapping.Schema{}, State: provision.JobActive, Created: e.now}
	e.ok(e.s.PutJob(e.Context(), j))
	return j
}

func (e *era) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// upload accepts an upload of so many people, works on it in a cycle of its own, and returns its id. Those who are held keep it
// from being settled.
func (e *era) upload(held bool, anchors ...string) uuid.UUID {
	e.Helper()
	id := e.accept(anchors...)
	var err error
	e.cycle, err = e.s.OpenCycle(e.Context(), e.job.PK, e.now)
	e.ok(err)
	number := e.cycle.To
	e.unit(func(u provision.Unit) error {
		entries := make([]provision.LogEntry, len(anchors))
		end, kind := provision.EndCreated, provision.PendingNone
		if held {
			end, kind = provision.EndHeld, provision.PendingHeld
		}
		var errs []error
		for i, a := range anchors {
			entries[i] = provision.LogEntry{JobPK: e.job.PK, Upload: number, Cycle: e.cycle.Number, Index: i, Anchor: a, End: end, Name: "Name of " + a}
			p := provision.Person{Anchor: a, Kept: []byte(`{"externalId":"` + a + `"}`), Upload: number, Index: i, Pending: kind}
			errs = append(errs, u.PutPeople([]provision.Person{p}))
			if held {
				errs = append(errs, u.PutPending(provision.Pending{Kind: kind, Anchor: a, Upload: number, Index: i, Cycle: e.cycle.Number}))
			}
		}
		errs = append(errs, u.Append(entries), u.Advance([]provision.UploadResult{{Number: number, Counts: map[provision.End]int{end: len(anchors)}}}, e.cycle.Number, e.now))
		return errors.Join(errs...)
	})
	e.position = number
	e.unit(func(u provision.Unit) error { return u.CloseCycle(e.cycle, e.now) })
	return id
}

func (e *era) accept(anchors ...string) uuid.UUID {
	e.Helper()
	u := provision.Upload{Job: e.job, Received: e.now, ClientRequestID: "r", BodyHash: [32]byte{byte(len(anchors))}}
	for _, a := range anchors {
		u.Operations = append(u.Operations, provision.Operation{Anchor: a, Data: []byte("{}")})
		copy(u.BodyHash[1:], a)
	}
	a, err := e.s.Accept(e.Context(), u, uuid.New(), 1<<40)
	e.ok(err)
	return a.ID
}

func (e *era) unit(fn func(u provision.Unit) error) {
	e.Helper()
	e.ok(e.s.Unit(e.Context(), provision.Fence{JobPK: e.job.PK, Position: e.position}, fn))
}

// month is what the tests keep.
var month = Keep{Uploads: 30 * day, Log: 30 * day, Audit: 30 * day, Notices: 30 * day, Sources: 60 * day}

func (e *era) retention(keep Keep) *Retention {
	e.Helper()
	r, err := NewRetention(e.s, keep, slog.New(slog.DiscardHandler), nil)
	e.ok(err)
	r.rest = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return r
}

// pass moves the clock and drops what is old by then.
func (e *era) pass(after time.Duration) map[string]int64 {
	e.Helper()
	e.now = e.now.Add(after)
	r := e.retention(month)
	before, err := r.States(e.Context())
	e.ok(err)
	e.ok(r.Pass(e.Context()))
	states, err := r.States(e.Context())
	e.ok(err)
	dropped := map[string]int64{}
	for i, s := range states {
		if n := s.Dropped - before[i].Dropped; n > 0 {
			dropped[s.Kind] = n
		}
		if !s.Ran.Equal(e.now) && s.Ran.Before(e.now.Add(-day)) {
			e.Errorf("%s: ran at %v, it is %v", s.Kind, s.Ran, e.now)
		}
	}
	return dropped
}

func (e *era) drops(after time.Duration, want map[string]int64) {
	e.Helper()
	if got := e.pass(after); !maps.Equal(got, want) {
		e.Errorf("dropped %v, want %v", got, want)
	}
}

// query returns the anchors of the entries that a query finds, and asks until there are no more.
func (e *era) query(q provision.LogQuery) (anchors []string) {
	e.Helper()
	for {
		page, err := e.s.QueryLog(e.Context(), q)
		e.ok(err)
		for _, x := range page.Entries {
			anchors = append(anchors, x.Anchor)
		}
		if !page.More {
			return anchors
		}
		if q.Ascending {
			q.After = page.Next
		} else {
			q.Before = page.Next
		}
	}
}

// count counts rows.
func (e *era) count(from string) (n int64) {
	e.Helper()
	e.ok(e.s.read(e.Context(), func(c Conn) error {
		return query(c, "SELECT count(*) FROM "+from, nil, func(st Row) error { n = st.ColumnInt64(0); return nil })
	}))
	return n
}

func (e *era) there(id uuid.UUID, want bool) {
	e.Helper()
	_, err := e.s.UploadStatus(e.Context(), e.job.PK, id)
	if got := err == nil; got != want || err != nil && !errors.Is(err, provision.ErrNotFound) {
		e.Errorf("upload is there: %t, want %t: %v", got, want, err)
	}
}

func (e *era) expect(q provision.LogQuery, want ...string) {
	e.Helper()
	if got := e.query(q); !slices.Equal(got, want) {
		e.Errorf("%+v finds %q, want %q", q, got, want)
	}
}

func TestKeepCheck(t *testing.T) {
	for _, test := range []struct {
		keep Keep
		want string // of the error; "": none
	}{
		{DefaultKeep(), ""},
		{Keep{}, ""},
		{Keep{Uploads: day}, ""},
		{Keep{Uploads: day, Log: day, Audit: day, Notices: day, Sources: 30 * day}, ""},
		{Keep{Uploads: day - 1}, "keep-uploads: it is 1 day at least"},
		{Keep{Uploads: day, Log: time.Hour}, "keep-log"},
		{Keep{Audit: -day}, "keep-audit"},
		{Keep{Notices: 1}, "keep-notices"},
		{Keep{Sources: 30*day - 1}, "keep-sources: it is 30 days at least"},
		{Keep{Uploads: 31 * day, Log: 30 * day}, "at most keep-log, 30 days"},
		{Keep{Log: 30 * day}, "at most keep-log"},
	} {
		err := test.keep.Check()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.keep, err, test.want)
		}
	}
}

// Uploads that are settled and old go with their receipts, their cycles and the log; what is not stays, and is found.
func TestRetentionUploadsAndLog(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	var ids []uuid.UUID
	for i := range 10 { // a day each
		ids = append(ids, e.upload(i == 3, fmt.Sprint("a", i), fmt.Sprint("b", i)))
		e.now = e.now.Add(day)
	}
	sums := e.sums()
	e.drops(0, map[string]int64{})
	// Of days 0 to 5 all are older than 30 days; upload 3 is held.
	e.drops(26*day-time.Microsecond, map[string]int64{"uploads": 5, "log": 10})
	for i, id := range ids {
		e.there(id, i == 3 || i > 5)
	}
	all := []string{"a3", "b3", "a6", "b6", "a7", "b7", "a8", "b8", "a9", "b9"}
	e.expect(provision.LogQuery{Ascending: true}, all...)
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	e.expect(provision.LogQuery{}, backwards...)
	for _, q := range []struct {
		query provision.LogQuery
		want  []string
	}{
		{provision.LogQuery{Anchor: "a1"}, nil}, // the run that it was in still has a3
		{provision.LogQuery{Anchor: "a3"}, []string{"a3"}},
		{provision.LogQuery{Anchor: "b9"}, []string{"b9"}},
		{provision.LogQuery{JobPK: e.job.PK, Upload: 2}, nil},
		{provision.LogQuery{JobPK: e.job.PK, Upload: 4, Ascending: true}, []string{"a3", "b3"}},
		{provision.LogQuery{JobPK: e.job.PK, Cycle: 1}, nil},
		{provision.LogQuery{JobPK: e.job.PK, Cycle: 7, Ascending: true}, []string{"a6", "b6"}},
		{provision.LogQuery{After: 1, Before: 8, Ascending: true}, []string{"a3"}},
		{provision.LogQuery{To: time.Date(2026, 1, 7, 0, 0, 0, 0, time.UTC), Ascending: true}, []string{"a3", "b3"}},
		{provision.LogQuery{From: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 8, 0, 0, 0, 0, time.UTC), Ascending: true, Limit: 1}, []string{"a3", "b3", "a6", "b6"}},
	} {
		e.expect(q.query, q.want...)
	}
	// Cycle 1 is the first; 4 has the upload that is held.
	if got := e.numbers("SELECT number FROM cycle ORDER BY number"); !slices.Equal(got, []int64{1, 4, 7, 8, 9, 10}) {
		t.Errorf("cycles are %v", got)
	}
	if got := e.numbers("SELECT DISTINCT cycle FROM tally ORDER BY cycle"); !slices.Equal(got, []int64{0, 1, 4, 7, 8, 9, 10}) {
		t.Errorf("counts are of cycles %v", got)
	}
	// What is held ends: its upload and cycle count on, and go with the next pass.
	e.unit(func(u provision.Unit) error {
		return errors.Join(u.EndPending(provision.Pending{Kind: provision.PendingHeld, Anchor: "a3", Upload: 4, Cycle: 4}, provision.EndDisabled),
			u.EndPending(provision.Pending{Kind: provision.PendingHeld, Anchor: "b3", Upload: 4, Index: 1, Cycle: 4}, provision.EndDisabled))
	})
	if n := e.count("tally WHERE records < 0"); n != 0 {
		t.Errorf("%d counts are below zero", n)
	}
	e.drops(time.Hour, map[string]int64{"uploads": 2, "log": 4}) // and upload 6, whose time has come
	e.expect(provision.LogQuery{Anchor: "a3"})
	if n := e.count("log_run WHERE last <= 14"); n != 0 {
		t.Errorf("%d runs are left of which all is gone", n)
	}
	after := e.sums()
	sums[string(provision.EndDisabled)], sums[string(provision.EndHeld)] = 2, 0
	if !reflect.DeepEqual(after, sums) {
		t.Errorf("records to date are %v, were %v", after, sums)
	}
	js, err := e.s.JobStatus(t.Context(), e.job.PK)
	e.ok(err)
	if js.Uploads != 10 || js.FirstCycleEnd.IsZero() || js.CycleCounts[provision.EndCreated] != 2 {
		t.Errorf("status is %+v", js)
	}
}

// sums are the job's records to date.
func (e *era) sums() map[string]int64 {
	sums := map[string]int64{}
	e.ok(e.s.read(e.Context(), func(c Conn) error {
		return query(c, "SELECT outcome, records FROM tally WHERE cycle = 0", nil, func(st Row) error {
			sums[st.ColumnText(0)] = st.ColumnInt64(1)
			return nil
		})
	}))
	return sums
}

func (e *era) numbers(text string) (all []int64) {
	e.Helper()
	e.ok(e.s.read(e.Context(), func(c Conn) error {
		return query(c, text, nil, func(st Row) error { all = append(all, st.ColumnInt64(0)); return nil })
	}))
	return all
}

// When everything is old nothing is left to read, and yet places, numbers and times go on where they were, after a restart too.
func TestRetentionOfEverything(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	for i := range 6 {
		e.upload(false, fmt.Sprint("a", i))
	}
	e.drops(40*day, map[string]int64{"uploads": 6, "log": 6})
	e.expect(provision.LogQuery{})
	for _, status := range []provision.Status{provision.StatusSuccess, provision.StatusFailure} {
		e.expect(provision.LogQuery{JobPK: e.job.PK, Status: &status})
	}
	e.expect(provision.LogQuery{Anchor: "a5"})
	if blocks, runs, rows := e.count("log_block"), e.count("log_run"), e.count("log_run_hash"); blocks != 1 || runs != 0 || rows != 0 {
		t.Errorf("%d blocks, %d runs, %d rows of runs", blocks, runs, rows)
	}
	e.drops(day, map[string]int64{}) // what is empty is not emptied again
	e.ok(e.s.Close())
	e.now = e.now.Add(-60 * day) // and the clock goes back
	e.open()
	last, err := e.s.LastSeq(t.Context())
	e.ok(err)
	if last != 6 {
		t.Errorf("last place is %d", last)
	}
	e.upload(false, "b")
	page, err := e.s.QueryLog(t.Context(), provision.LogQuery{})
	e.ok(err)
	if len(page.Entries) != 1 || page.Entries[0].Seq != 7 || page.Entries[0].Upload != 7 || page.Entries[0].Time.Before(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("entries are %+v", page.Entries)
	}
	e.expect(provision.LogQuery{Anchor: "b"}, "b")
	e.expect(provision.LogQuery{JobPK: e.job.PK, Upload: 7}, "b")
	e.drops(200*day, map[string]int64{"uploads": 1, "log": 1, "sources": 7})
	if n := e.count("log_block"); n != 1 {
		t.Errorf("%d blocks: the one that was emptied has not gone", n)
	}
}

// The index is merged over a block that was emptied.
func TestRetentionMergesOverWhatIsEmpty(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	e.upload(false, "a")
	e.drops(31*day, map[string]int64{"uploads": 1, "log": 1})
	for i := range 4 {
		e.upload(false, fmt.Sprint("b", i))
	}
	if n := e.count("log_run"); n != 1 {
		t.Fatalf("%d runs", n)
	}
	e.expect(provision.LogQuery{Anchor: "a"})
	e.expect(provision.LogQuery{Anchor: "b0"}, "b0")
	e.expect(provision.LogQuery{Ascending: true}, "b0", "b1", "b2", "b3")
}

// What waits in a queue is not dropped, however old; nor is an upload whose cycle is open. A purged one goes with its
// operations and with what is known of its restart.
func TestRetentionQueue(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	waits := e.accept("a")
	e.drops(100*day, map[string]int64{})
	e.there(waits, true)
	q, err := e.s.Next(t.Context(), e.job.PK, 0, 10, 10)
	e.ok(err)
	if len(q) != 1 || len(q[0].Operations) != 1 {
		t.Fatalf("queue is %+v", q)
	}
	e.unit(func(u provision.Unit) error {
		_, err := u.Purge(0, provision.Purge{Time: e.now, By: "somebody"})
		return err
	})
	e.position = 1
	e.there(waits, true)
	if n := e.count("upload_body"); n != 1 {
		t.Errorf("%d bodies", n)
	}
	// Its arrival is old, its restart is not: the restart stays as long as others do.
	e.drops(time.Hour, map[string]int64{"uploads": 1})
	e.there(waits, false)
	if bodies, purges := e.count("upload_body"), e.count("purge"); bodies != 0 || purges != 1 {
		t.Errorf("%d bodies, %d purges", bodies, purges)
	}
	e.drops(31*day, map[string]int64{})
	if n := e.count("purge"); n != 0 {
		t.Errorf("%d purges", n)
	}
	e.upload(false, "b") // the queue goes on
	e.expect(provision.LogQuery{}, "b")
}

// A client-request-id is remembered for a day whatever is kept.
func TestRetentionReplay(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	id := e.upload(false, "a")
	e.now = e.now.Add(day - time.Microsecond)
	r := e.retention(Keep{Uploads: day, Log: day})
	e.ok(r.Pass(t.Context()))
	if again := e.accept("a"); again != id {
		t.Error("a repeated upload was taken for another")
	}
}

// Sources: who is gone is dropped with references and keys, and nobody else.
func TestRetentionSources(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	live, lost := uuid.New(), uuid.New()
	e.ok(e.s.Write(t.Context(), func(u *Unit) error {
		return query(u.Conn(), "INSERT INTO users (pk, id, version, created, content) VALUES (1, ?1, 1, 0, ?2)", []any{live[:], []byte{1}}, nil)
	}))
	put := func(p provision.Person) {
		p.Kept = []byte(`{}`)
		p.Upload = e.position
		e.unit(func(u provision.Unit) error { return u.PutPeople([]provision.Person{p}) })
	}
	e.upload(false, "gone", "unlinked", "linked", "sent again")
	e.upload(true, "held")
	put(provision.Person{Anchor: "linked", ObjectID: live.String(), Enabled: true, Version: 1, Hash: [16]byte{1}})
	put(provision.Person{Anchor: "gone", ObjectID: lost.String(), Enabled: true, Version: 1, Hash: [16]byte{1}})
	e.unit(func(u provision.Unit) error {
		return errors.Join(u.PutReference(provision.PendingReference{Anchor: "gone", Attribute: "manager", To: "nobody", Upload: 2}),
			u.PutReference(provision.PendingReference{Anchor: "linked", Attribute: "manager", To: "gone", Upload: 2}))
	})
	e.now = e.now.Add(2 * day)
	e.upload(false, "sent again")
	e.now = e.now.Add(58*day - time.Microsecond)
	e.drops(0, map[string]int64{"uploads": 2, "log": 5})
	// Sixty days after uploads 1 and 2 were sent, and a day, because of uploads that are gone the day alone is known.
	e.drops(day, map[string]int64{"sources": 2})
	people := func() (anchors []string) {
		all, err := e.s.PeopleAfter(t.Context(), e.job.PK, 0, 100)
		e.ok(err)
		for _, p := range all {
			anchors = append(anchors, p.Anchor)
		}
		return anchors
	}
	if got := people(); !slices.Equal(got, []string{"linked", "sent again", "held"}) {
		t.Fatalf("people are %q", got)
	}
	found, err := e.s.People(t.Context(), e.job.PK, []provision.Sought{{Anchor: "gone", Hash: [16]byte{1}}, {Anchor: "unlinked"}, {Anchor: "linked"}})
	e.ok(err)
	if found[0] != nil || found[1] != nil || found[2] == nil {
		t.Errorf("found %+v", found)
	}
	js, err := e.s.JobStatus(t.Context(), e.job.PK)
	e.ok(err)
	if js.Users != 1 || js.Enabled != 1 || js.Held != 1 {
		t.Errorf("status is %+v", js)
	}
	if n := e.count("reference"); n != 1 {
		t.Errorf("%d references", n)
	}
	// Somebody who is sent again is somebody new, to whom references lead as to anybody.
	e.upload(false, "gone")
	found, err = e.s.People(t.Context(), e.job.PK, []provision.Sought{{Anchor: "gone"}})
	e.ok(err)
	if p := found[0]; p == nil || p.ObjectID != "" || string(p.Kept) != `{"externalId":"gone"}` {
		t.Errorf("found %+v", p)
	}
	put(provision.Person{Anchor: "gone", ObjectID: uuid.NewString()})
	e.unit(func(u provision.Unit) error {
		ready, err := u.ReadyReferences(e.now, 10)
		if len(ready) != 1 || ready[0].Anchor != "linked" {
			t.Errorf("ready are %+v", ready)
		}
		return err
	})
}

// While links are being dropped or everybody is evaluated anew, nobody is gone.
func TestRetentionSourcesWait(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	e.upload(false, "a")
	e.unit(func(u provision.Unit) error { return u.BeginReevaluation(e.now) })
	e.drops(100*day, map[string]int64{"uploads": 1, "log": 1})
	e.unit(func(u provision.Unit) error {
		return errors.Join(u.Reevaluated(provision.Reevaluation{Number: 1, Ended: e.now}), u.PutCondition(provision.Condition{Unlink: new(int64)}))
	})
	e.drops(2*day, map[string]int64{})
	e.unit(func(u provision.Unit) error { return u.PutCondition(provision.Condition{}) })
	e.drops(2*day, map[string]int64{"sources": 1})
}

// The audit log and notices keep their newest, and notices those that are to be sent.
func TestRetentionAuditAndNotices(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	for i := range 5 {
		e.unit(func(u provision.Unit) error {
			n := provision.Notice{Time: e.now, JobPK: e.job.PK}
			if i == 1 {
				n.NextAttempt = e.now
			}
			return errors.Join(u.Audit(provision.Audit{ID: uuid.New(), Time: e.now, Activity: fmt.Sprint(i)}), u.Notify(n))
		})
		e.now = e.now.Add(day)
	}
	e.drops(27*day, map[string]int64{"audit": 2, "notices": 1}) // of days 0 and 1
	e.drops(100*day, map[string]int64{"audit": 2, "notices": 2})
	e.drops(100*day, map[string]int64{})
	page, err := e.s.QueryAudit(t.Context(), provision.AuditQuery{})
	e.ok(err)
	if len(page.Entries) != 1 || page.Entries[0].Activity != "4" || page.Entries[0].Seq != 5 {
		t.Errorf("audit entries are %+v", page.Entries)
	}
	notices, err := e.s.Notices(t.Context(), e.job.PK, 10)
	e.ok(err)
	if len(notices) != 2 || notices[0].ID != 5 || notices[1].ID != 2 {
		t.Errorf("notices are %+v", notices)
	}
}

func TestRetentionTickets(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	for i, life := range []time.Duration{time.Hour, 3 * time.Hour} {
		e.ok(e.s.PutTicket(t.Context(), oauth.Ticket{Hash: [32]byte{byte(i)}, Issued: e.now, Expires: e.now.Add(life), Content: []byte("{}")}))
	}
	e.drops(2*time.Hour, map[string]int64{"tickets": 1})
	if _, err := e.s.Ticket(t.Context(), [32]byte{1}); err != nil {
		t.Error(err)
	}
}

// A process that ends between any two pieces leaves everything in order: each upload that is there has all its receipts.
func TestRetentionCrash(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	var ids []uuid.UUID
	var received []time.Time
	for i := range 40 {
		received = append(received, e.now)
		ids = append(ids, e.upload(false, fmt.Sprint("a", i)))
		e.now = e.now.Add(day)
	}
	died := errors.New("died")
	for pieces, done := 1, false; !done; pieces++ {
		r := e.retention(month)
		left := pieces
		r.size = pieceSize{rows: 3, blocks: 4, entries: 5, people: 1, looked: 2}
		r.rest = func(context.Context, time.Duration) error {
			if left--; left == 0 {
				return died
			}
			return nil
		}
		err := r.Pass(t.Context())
		if err != nil && !errors.Is(err, died) {
			t.Fatal(err)
		}
		e.consistent(ids)
		done = err == nil
		// Another process takes over; what it sees are the files as they are.
		from := e.s
		e.dir = t.TempDir()
		for _, name := range []string{"induct.db", "induct.db-wal"} {
			e.ok(copyFile(filepath.Join(e.dir, name), filepath.Join(from.Dir(), name)))
		}
		e.ok(from.Close())
		e.open()
		e.now = e.now.Add(day)
	}
	e.pass(time.Hour)
	want := int64(0)
	for _, at := range received {
		if !at.Before(e.now.Add(-30 * day)) {
			want++
		}
	}
	if got := e.consistent(ids); got != want || want < 5 || e.count("log_block") != want || e.count("log_entries") != want {
		t.Errorf("%d uploads, %d blocks, %d of entries; want %d", got, e.count("log_block"), e.count("log_entries"), want)
	}
}

// consistent checks that each upload that is there has its receipt, and returns how many are.
func (e *era) consistent(ids []uuid.UUID) (there int64) {
	e.Helper()
	for i, id := range ids {
		if _, err := e.s.UploadStatus(e.Context(), e.job.PK, id); err == nil {
			there++
			e.expect(provision.LogQuery{JobPK: e.job.PK, Upload: int64(i + 1)}, fmt.Sprint("a", i))
		}
	}
	return there
}

// Who has the claim is the one who drops; who has lost it drops nothing more.
func TestRetentionClaim(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	for i := range 3 {
		e.upload(false, fmt.Sprint("a", i))
	}
	e.now = e.now.Add(40 * day)
	a, b := e.retention(month), e.retention(month)
	pieces := 0
	a.rest = func(context.Context, time.Duration) error {
		if pieces++; pieces > 1 {
			return nil
		}
		// a sleeps; b comes in vain, then when the claim has run out.
		if err := b.pass(t.Context(), &kinds[1]); err != nil {
			t.Error(err)
		}
		if n := e.count("retention WHERE kind = 'uploads' AND ran IS NULL"); n != 1 {
			t.Error("b has passed over what a has claimed")
		}
		e.now = e.now.Add(claimFor)
		return b.pass(t.Context(), &kinds[1])
	}
	if err := a.pass(t.Context(), &kinds[1]); !errors.Is(err, errNotOurs) {
		t.Errorf("a: %v", err)
	}
	states, err := a.States(t.Context())
	e.ok(err)
	if states[1].Dropped != 3 || states[1].Ran.IsZero() {
		t.Errorf("state is %+v", states[1])
	}
	// Of two who have both seen that it is due one gets it.
	for i, r := range []*Retention{a, b, a} {
		p := &pass{Context: t.Context(), Retention: r, kind: &kinds[2]}
		if err := p.claim(e.now); errors.Is(err, errNotOurs) != (i == 1) {
			t.Errorf("claim %d: %v", i, err)
		}
	}
}

// Somebody who pages through the log meanwhile gets each entry that stays exactly once.
func TestRetentionWhilePaging(t *testing.T) {
	t.Parallel()
	for _, ascending := range []bool{true, false} {
		e := newEra(t)
		for i := range 40 {
			e.upload(false, fmt.Sprint("a", i))
			e.now = e.now.Add(day)
		}
		last, err := e.s.LastSeq(t.Context())
		e.ok(err)
		q := provision.LogQuery{Ascending: ascending, Before: last + 1, Limit: 3}
		seen := map[string]int{}
		for more := true; more; {
			page, err := e.s.QueryLog(t.Context(), q)
			e.ok(err)
			for _, x := range page.Entries {
				seen[x.Anchor]++
			}
			if more = page.More; ascending {
				q.After = page.Next
			} else {
				q.Before = page.Next
			}
			e.pass(day)
		}
		for i := 25; i < 40; i++ { // they stay to the end
			if n := seen[fmt.Sprint("a", i)]; n != 1 {
				t.Errorf("ascending %t: entry %d was seen %d times", ascending, i, n)
			}
		}
	}
}

// A job that is removed leaves its log, which goes by age.
func TestRetentionOfRemovedJob(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	e.upload(true, "a")
	e.unit(func(u provision.Unit) error {
		done, err := u.Remove(1000)
		if !done {
			t.Error("not removed at once")
		}
		return err
	})
	e.drops(31*day, map[string]int64{"log": 1})
}

// No statement of retention reads more than its piece.
func TestRetentionPlans(t *testing.T) {
	t.Parallel()
	e := newEra(t)
	for i := range 8 {
		e.upload(false, fmt.Sprint("a", i))
		e.unit(func(u provision.Unit) error {
			return errors.Join(u.Audit(provision.Audit{ID: uuid.New(), Time: e.now}), u.Notify(provision.Notice{Time: e.now}))
		})
	}
	e.ok(e.s.PutTicket(t.Context(), oauth.Ticket{Issued: e.now, Expires: e.now.Add(1), Content: []byte("{}")}))
	e.accept("p")
	e.unit(func(u provision.Unit) error { _, err := u.Purge(e.position, provision.Purge{Time: e.now}); return err })
	if got := e.pass(100 * day); len(got) != len(kinds) {
		t.Fatalf("dropped %v", got)
	}
	// Restarts, runs and the names of references' attributes are few, or looked for once a day; notices are read up to those that stay.
	few := []string{"SELECT pk, job, content FROM purge", "SELECT run FROM log_run", "SELECT DISTINCT attribute FROM reference",
		"SELECT pk, next, content FROM notice", "DELETE FROM log_run_hash", "DELETE FROM log_entries"}
	seen := 0
	for _, text := range prepared(t, e.s) {
		if slices.ContainsFunc(few, func(of string) bool { return strings.HasPrefix(text, of) }) {
			continue
		}
		seen++
		e.ok(e.s.read(t.Context(), func(c Conn) error {
			return query(c, "EXPLAIN QUERY PLAN "+text, nil, func(st Row) error {
				if step := st.ColumnText(3); tooMuch(text, step) {
					t.Errorf("%s\n\t%s", text, step)
				}
				return nil
			})
		}))
	}
	if seen < 50 {
		t.Errorf("only %d statements were seen", seen)
	}
}
