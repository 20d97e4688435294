package provisiontest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// TestStore is the contract of a Store. open returns one without jobs, which is closed when t ends.
func TestStore(t *testing.T, open func(t *testing.T) provision.Store) {
	for _, test := range []struct {
		name string
		run  func(l *lane)
	}{
		{"jobs", (*lane).jobs},
		{"numbers", (*lane).numbers},
		{"replay", (*lane).replay},
		{"queue bound", (*lane).queueBound},
		{"next", (*lane).next},
		{"queued operations", (*lane).queuedOperations},
		{"upload status", (*lane).uploadStatus},
		{"cycles", (*lane).cycles},
		{"fence", (*lane).fenced},
		{"rollback", (*lane).rollback},
		{"people", (*lane).people},
		{"links", (*lane).links},
		{"references", (*lane).references},
		{"log order", (*lane).logOrder},
		{"log queries", (*lane).logQueries},
		{"log paging while writing", (*lane).logPaging},
		{"unread paths", (*lane).unreadPaths},
		{"job status", (*lane).jobStatus},
		{"jobs are apart", (*lane).apart},
		{"pending records", (*lane).pending},
		{"pending records are counted", (*lane).pendingCounts},
		{"settled", (*lane).settled},
		{"verdicts", (*lane).verdicts},
		{"pending sets", (*lane).pendingSets},
		{"pending pages", (*lane).pendingPages},
		{"a Unit that fails leaves pending records alone", (*lane).pendingRollback},
		{"purge", (*lane).purge},
		{"purge in an open cycle", (*lane).purgeOpenCycle},
		{"purge of nothing", (*lane).purgeNothing},
		{"link", (*lane).link},
		{"unlink", (*lane).unlink},
		{"connected", (*lane).connected},
		{"remove", (*lane).remove},
		{"remove beside others", (*lane).removeBeside},
		{"free fences", (*lane).freeFences},
		{"apps", (*lane).apps},
		{"edits of apps", (*lane).appEdits},
		{"condition", (*lane).condition},
		{"re-evaluation", (*lane).reevaluation},
		{"a Unit that fails leaves the job alone", (*lane).steerRollback},
		{"audit", (*lane).audit},
		{"audit queries", (*lane).auditQueries},
		{"notices", (*lane).notices},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // they wait for the disk
			s := open(t)
			test.run(newLane(t, s))
		})
	}
}

// lane is a job of a store, with what a runner keeps of it.
type lane struct {
	*testing.T
	s        provision.Store
	job      *provision.Job
	position int64
	ids      []uuid.UUID // of the uploads that were accepted through accept and pend
}

// noon is when uploads are received. Stores keep whole microseconds.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

const unbounded = 1 << 40

func newLane(t *testing.T, s provision.Store) *lane {
	t.Helper()
	schema, _ := mapping.Template("API2AAD")
	j := &provision.Job{ID: "API2AAD.t." + uuid.NewString(), TemplateID: "API2AAD", ServicePrincipalID: uuid.New(), ApplicationID: uuid.New(),
		DisplayName: "HR", State: provision.JobActive, Schema: schema, Settings: provision.JobSettings{QueueRecords: 7}, Created: noon}
	if err := s.PutJob(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	return &lane{T: t, s: s, job: j}
}

// upload is an upload of n operations.
func (l *lane) upload(n int) provision.Upload {
	u := provision.Upload{Job: l.job, Received: noon}
	for i := range n {
		u.Operations = append(u.Operations, provision.Operation{BulkID: fmt.Sprint("b", i), Anchor: fmt.Sprint("a", i), Delete: i%3 == 2,
			Data: fmt.Appendf(nil, `{"externalId":"a%d"}`, i)})
	}
	return u
}

func (l *lane) accept(n int) provision.Accepted {
	l.Helper()
	a, err := l.s.Accept(l.Context(), l.upload(n), uuid.New(), unbounded)
	if err != nil {
		l.Fatal(err)
	}
	l.ids = append(l.ids, a.ID)
	return a
}

// unit runs fn in a Unit at the lane's position. fn must not call Fatal: it may run on another goroutine.
func (l *lane) unit(fn func(u provision.Unit) error) {
	l.Helper()
	if err := l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK, Position: l.position}, fn); err != nil {
		l.Fatal(err)
	}
}

// take ends the uploads up to number to as if all of their records had ended so.
func (l *lane) take(to int64, end provision.End) {
	l.Helper()
	queue := must(l.queue(l.position, to))(l)
	l.unit(func(u provision.Unit) error {
		var results []provision.UploadResult
		for _, q := range queue {
			results = append(results, provision.UploadResult{Number: q.Number, Counts: map[provision.End]int{end: len(q.Operations)}})
		}
		return u.Advance(results, 0, noon.Add(time.Minute))
	})
	l.position = to
}

func (l *lane) queue(position, to int64) ([]provision.Queued, error) {
	return l.s.Next(l.Context(), l.job.PK, position, to, unbounded)
}

// at returns how far the job has come.
func at(l *lane) int64 {
	l.Helper()
	return must(l.s.Lane(l.Context(), l.job.PK))(l).Position
}

// must returns the value of a call; the lane's test fails if there was an error.
func must[T any](v T, err error) func(*lane) T {
	return func(l *lane) T {
		l.Helper()
		if err != nil {
			l.Fatal(err)
		}
		return v
	}
}

func sought(anchors ...string) []provision.Sought {
	s := make([]provision.Sought, len(anchors))
	for i, a := range anchors {
		s[i].Anchor = a
	}
	return s
}

func (l *lane) jobs() {
	other := newLane(l.T, l.s).job
	if other.PK == l.job.PK || other.PK == 0 {
		l.Fatalf("keys are %d and %d", l.job.PK, other.PK)
	}
	l.job.State, l.job.DisplayName, l.job.Settings.DisableMissing = provision.JobPaused, "Payroll", true
	pk := l.job.PK
	if err := l.s.PutJob(l.Context(), l.job); err != nil || l.job.PK != pk {
		l.Fatalf("key is %d, was %d: %v", l.job.PK, pk, err)
	}
	all := must(l.s.Jobs(l.Context()))(l)
	if len(all) != 2 {
		l.Fatalf("%d jobs", len(all))
	}
	for _, got := range all {
		want := map[int64]*provision.Job{l.job.PK: l.job, other.PK: other}[got.PK]
		if want == nil || !got.Created.Equal(want.Created) {
			l.Fatalf("job is %+v, want %+v", got, want)
		}
		got.Created = want.Created
		if !reflect.DeepEqual(got, want) {
			l.Errorf("job is %+v, want %+v", got, want)
		}
	}
}

// numbers accepts concurrently: numbers are dense, and whoever has been given one sees all lower ones.
func (l *lane) numbers() {
	const clients, each = 8, 12
	var mu sync.Mutex
	ids := map[int64]uuid.UUID{}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			before := int64(0)
			for range each {
				id := uuid.New()
				a, err := l.s.Accept(l.Context(), l.upload(1), id, unbounded)
				if err != nil || a.ID != id || a.Replay || a.Number <= before {
					l.Errorf("accepted %+v after number %d: %v", a, before, err)
					return
				}
				before = a.Number
				if q, err := l.queue(0, a.Number); err != nil || int64(len(q)) != a.Number {
					l.Errorf("number %d is given and %d uploads are seen: %v", a.Number, len(q), err)
				}
				mu.Lock()
				ids[a.Number] = id
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(ids) != clients*each {
		l.Fatalf("%d different numbers of %d uploads", len(ids), clients*each)
	}
	for n := int64(1); n <= clients*each; n++ {
		us, err := l.s.UploadStatus(l.Context(), l.job.PK, ids[n])
		if err != nil || us.Number != n {
			l.Errorf("upload %d: %+v, %v", n, us, err)
		}
	}
}

func (l *lane) replay() {
	u := l.upload(1)
	u.ClientRequestID, u.BodyHash = "r1", sha256.Sum256([]byte("body"))
	first := must(l.s.Accept(l.Context(), u, uuid.New(), unbounded))(l)
	otherJob := newLane(l.T, l.s).job
	for _, test := range []struct {
		name   string
		change func(u *provision.Upload)
		replay bool
	}{
		{"at once", func(*provision.Upload) {}, true},
		{"just within a day", func(u *provision.Upload) { u.Received = noon.Add(24*time.Hour - time.Microsecond) }, true},
		{"another body", func(u *provision.Upload) { u.BodyHash[0]++ }, false},
		{"another id", func(u *provision.Upload) { u.ClientRequestID = "r2" }, false},
		{"no id", func(u *provision.Upload) { u.ClientRequestID = "" }, false},
		{"no id again", func(u *provision.Upload) { u.ClientRequestID = "" }, false},
		{"another job", func(u *provision.Upload) { u.Job = otherJob }, false},
		{"a day later", func(u *provision.Upload) { u.Received = noon.Add(24*time.Hour + time.Microsecond) }, false},
	} {
		again, id := u, uuid.New()
		test.change(&again)
		a := must(l.s.Accept(l.Context(), again, id, unbounded))(l)
		if a.Replay != test.replay || test.replay && (a.ID != first.ID || a.Number != first.Number) || !test.replay && a.ID != id {
			l.Errorf("%s: accepted %+v, the first was %+v", test.name, a, first)
		}
	}
	// A replay takes no place in the queue, and is recognized when the queue is full or the upload has ended.
	l.take(must(l.lastNumber())(l), provision.EndCreated)
	if a, err := l.s.Accept(l.Context(), u, uuid.New(), 0); err != nil || !a.Replay || a.ID != first.ID {
		l.Errorf("after its end: %+v, %v", a, err)
	}
}

// lastNumber returns the highest number in the queue.
func (l *lane) lastNumber() (int64, error) {
	q, err := l.queue(l.position, unbounded)
	if err != nil || len(q) == 0 {
		return l.position, err
	}
	return q[len(q)-1].Number, nil
}

func (l *lane) queueBound() {
	const bound = 5
	accept := func(n int) error {
		_, err := l.s.Accept(l.Context(), l.upload(n), uuid.New(), bound)
		return err
	}
	full := func(n int) {
		l.Helper()
		if err := accept(n); !errors.Is(err, provision.ErrQueueFull) {
			l.Errorf("%d records more: %v, want ErrQueueFull", n, err)
		}
	}
	full(bound + 1)
	if err := accept(bound - 1); err != nil {
		l.Fatal(err)
	}
	full(2)
	if err := accept(1); err != nil {
		l.Fatal(err)
	}
	full(1)
	// What was refused took no number; what is taken up makes room.
	l.take(1, provision.EndCreated)
	full(bound)
	if err := accept(bound - 1); err != nil {
		l.Error(err)
	}
	if n := must(l.lastNumber())(l); n != 3 {
		l.Errorf("the last number is %d, want 3", n)
	}
}

func (l *lane) next() {
	for _, n := range []int{3, 1, 4, 1, 5} {
		l.accept(n)
	}
	for _, test := range []struct {
		position, to int64
		records      int
		want         string
	}{
		{0, 5, 100, "1 2 3 4 5"}, {0, 5, 3, "1"}, {0, 5, 4, "1 2"}, {0, 5, 5, "1 2 3"}, {0, 5, 1, "1"},
		{1, 5, 100, "2 3 4 5"}, {1, 3, 100, "2 3"}, {4, 9, 1, "5"}, {5, 9, 100, ""}, {3, 3, 100, ""}, {0, 5, 0, "1"},
	} {
		q := must(l.s.Next(l.Context(), l.job.PK, test.position, test.to, test.records))(l)
		var got []string
		for _, u := range q {
			got = append(got, fmt.Sprint(u.Number))
			if !u.Received.Equal(noon) || !reflect.DeepEqual(u.Operations, l.upload(len(u.Operations)).Operations) {
				l.Errorf("upload %d is %+v", u.Number, u)
			}
		}
		if s := strings.Join(got, " "); s != test.want {
			l.Errorf("after %d to %d, %d records: %q, want %q", test.position, test.to, test.records, s, test.want)
		}
	}
}

func (l *lane) queuedOperations() {
	a, b := l.accept(4), l.accept(1)
	if ops := must(l.s.QueuedOperations(l.Context(), l.job.PK, a.Number))(l); !reflect.DeepEqual(ops.Operations, l.upload(4).Operations) {
		l.Errorf("operations are %+v", ops)
	}
	l.take(a.Number, provision.EndCreated)
	if ops := must(l.s.QueuedOperations(l.Context(), l.job.PK, a.Number))(l); ops.Operations != nil {
		l.Errorf("operations taken up: %+v", ops)
	}
	if ops := must(l.s.QueuedOperations(l.Context(), l.job.PK, b.Number))(l); len(ops.Operations) != 1 {
		l.Errorf("operations of the next upload: %+v", ops)
	}
}

func (l *lane) uploadStatus() {
	u := l.upload(3)
	u.ClientRequestID = "r1"
	a := must(l.s.Accept(l.Context(), u, uuid.New(), unbounded))(l)
	want := provision.UploadStatus{ID: a.ID, Number: a.Number, JobID: l.job.ID, ClientRequestID: "r1", State: provision.UploadAccepted,
		Received: noon, Operations: 3, Counts: map[provision.End]int{provision.EndQueued: 3}}
	check := func() {
		l.Helper()
		if got := must(l.s.UploadStatus(l.Context(), l.job.PK, a.ID))(l); !reflect.DeepEqual(*got, want) {
			l.Errorf("status is\n%+v, want\n%+v", *got, want)
		}
	}
	check()
	cycle := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	check()
	want.State, want.Done = provision.UploadDone, noon.Add(time.Second)
	want.Counts = map[provision.End]int{provision.EndCreated: 2, provision.EndFailed: 1}
	l.unit(func(u provision.Unit) error {
		return u.Advance([]provision.UploadResult{{Number: a.Number, Counts: want.Counts}}, 1, want.Done)
	})
	l.position = a.Number
	check()
	want.State, want.Settled = provision.UploadSettled, noon.Add(2*time.Second)
	l.unit(func(u provision.Unit) error { return u.CloseCycle(cycle, want.Settled) })
	check()
	for _, at := range []struct {
		job int64
		id  uuid.UUID
	}{{l.job.PK, uuid.New()}, {l.job.PK + 1, a.ID}} {
		if _, err := l.s.UploadStatus(l.Context(), at.job, at.id); !errors.Is(err, provision.ErrNotFound) {
			l.Errorf("job %d, upload %s: %v, want ErrNotFound", at.job, at.id, err)
		}
	}
}

func (l *lane) cycles() {
	open := func() *provision.Cycle {
		l.Helper()
		return must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	}
	want := func(c *provision.Cycle, number, to int64) {
		l.Helper()
		if c == nil || c.Number != number || c.To != to || !c.Began.Equal(noon) {
			l.Fatalf("cycle is %+v, want number %d to %d", c, number, to)
		}
	}
	if c := open(); c != nil {
		l.Fatalf("cycle of an empty queue: %+v", c)
	}
	l.accept(1)
	l.accept(1)
	c := open()
	want(c, 1, 2)
	l.accept(1)
	want(open(), 1, 2) // what comes later belongs to the next
	l.take(2, provision.EndCreated)
	want(open(), 1, 2) // open until it is closed
	l.unit(func(u provision.Unit) error { return u.CloseCycle(c, noon) })
	c = open()
	want(c, 2, 3)
	l.accept(1)
	l.unit(func(u provision.Unit) error { return u.ExtendCycle(c) })
	c = open()
	want(c, 2, 4)
	l.take(4, provision.EndCreated)
	l.unit(func(u provision.Unit) error { return u.CloseCycle(c, noon) })
	l.accept(1)
	l.unit(func(u provision.Unit) error { return u.ExtendCycle(c) }) // it has ended
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if c, err := l.s.OpenCycle(l.Context(), l.job.PK, noon); err != nil || c == nil || c.Number != 3 {
				l.Errorf("opened at once: %+v, %v", c, err)
			}
		})
	}
	wg.Wait()
}

func (l *lane) fenced() {
	l.accept(1)
	l.take(1, provision.EndCreated)
	for _, f := range []provision.Fence{{JobPK: l.job.PK}, {JobPK: l.job.PK, Position: 2}, {JobPK: l.job.PK + 99}} {
		err := l.s.Unit(l.Context(), f, func(u provision.Unit) error {
			return u.PutPeople([]provision.Person{{Anchor: "x"}})
		})
		if !errors.Is(err, provision.ErrFenced) {
			l.Errorf("fence %+v: %v, want ErrFenced", f, err)
		}
	}
	if p := must(l.s.People(l.Context(), l.job.PK, sought("x")))(l); p[0] != nil {
		l.Errorf("a fenced Unit left %+v", p[0])
	}
	if p := at(l); p != 1 {
		l.Errorf("position is %d", p)
	}
	// An empty advance moves nothing.
	l.unit(func(u provision.Unit) error { return u.Advance(nil, 0, noon) })
	if p := at(l); p != 1 {
		l.Errorf("position is %d after an empty advance", p)
	}
}

func (l *lane) rollback() {
	a := l.accept(2)
	cycle := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	id := uuid.NewString()
	all := func(u provision.Unit) error {
		return errors.Join(
			u.PutPeople([]provision.Person{{Anchor: "x", ObjectID: id}}),
			u.PutReference(provision.PendingReference{Anchor: "x", Attribute: "manager", To: "y"}),
			u.Append([]provision.LogEntry{l.entry(1, 0)}),
			u.CountUnread(map[string]int64{"nickName": 1}),
			u.Advance([]provision.UploadResult{{Number: a.Number, Counts: map[provision.End]int{provision.EndCreated: 2}}}, 1, noon),
			u.CloseCycle(cycle, noon))
	}
	before := l.state(a, id)
	failure := errors.New("failure")
	err := l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK}, func(u provision.Unit) error { return errors.Join(all(u), failure) })
	if !errors.Is(err, failure) {
		l.Errorf("error is %v", err)
	}
	if after := l.state(a, id); after != before {
		l.Errorf("a failed Unit left\n%s, before\n%s", after, before)
	}
	l.unit(all)
	if after := l.state(a, id); after == before {
		l.Error("a Unit that succeeded left nothing")
	}
}

// state writes down all that can be read of the job.
func (l *lane) state(a provision.Accepted, object string) string {
	ctx := l.Context()
	var b strings.Builder
	note := func(v any, err error) { fmt.Fprintf(&b, "%+v %v\n", v, err) }
	note(at(l), nil)
	note(l.s.LastSeq(ctx))
	page, err := l.s.QueryLog(ctx, provision.LogQuery{Hidden: true})
	note(len(page.Entries), err)
	note(l.s.UnreadPaths(ctx, l.job.PK))
	people, err := l.s.People(ctx, l.job.PK, sought("x"))
	note(people[0] == nil, err)
	status, err := l.s.UploadStatus(ctx, l.job.PK, a.ID)
	note(*status, err)
	js, err := l.s.JobStatus(ctx, l.job.PK)
	note(*js, err)
	note(nil, l.s.Unit(ctx, provision.Fence{JobPK: l.job.PK, Position: at(l)}, func(u provision.Unit) error {
		note(u.UnreportedReferences(10))
		note(u.LinkedAnchors([]string{object}))
		return nil
	}))
	return b.String()
}

func (l *lane) people() {
	full := provision.Person{Anchor: "ü", ObjectID: uuid.NewString(), Version: 3, Kept: []byte(`{"a":"é"}`), Hash: [16]byte{1, 15: 9},
		Program: 1<<63 + 5, Upload: 4, Index: 2, Name: "Ünal"}
	bare := provision.Person{Anchor: "b"}
	l.unit(func(u provision.Unit) error { return u.PutPeople([]provision.Person{full, bare}) })
	check := func() {
		l.Helper()
		got := must(l.s.People(l.Context(), l.job.PK, sought("none", "ü", "b", "B")))(l)
		if len(got) != 4 || got[0] != nil || got[3] != nil || got[1] == nil || got[2] == nil {
			l.Fatalf("people are %v", got)
		}
		if len(got[2].Kept) == 0 {
			got[2].Kept = nil
		}
		if got[1].Revision == 0 || got[2].Revision == 0 {
			l.Errorf("people who are stored have no revision: %+v, %+v", *got[1], *got[2])
		}
		full.Revision, bare.Revision = got[1].Revision, got[2].Revision
		if !reflect.DeepEqual(*got[1], full) || !reflect.DeepEqual(*got[2], bare) {
			l.Errorf("people are\n%+v\n%+v, want\n%+v\n%+v", *got[1], *got[2], full, bare)
		}
	}
	check()
	full.Version = 8
	ref := provision.PendingReference{Anchor: "ü", Attribute: "manager", To: "b"}
	l.unit(func(u provision.Unit) error { return u.PutReference(ref) })
	l.unit(func(u provision.Unit) error {
		refs, err := u.UnreportedReferences(1)
		if err != nil || len(refs) != 1 || refs[0].From != full.ObjectID {
			return fmt.Errorf("unreported are %+v: %w", refs, err)
		}
		return errors.Join(u.Touch(refs[0], 8), u.EndReference(refs[0], true))
	})
	check()
	full = provision.Person{Anchor: "ü", Kept: []byte(`{}`), Upload: 5}
	l.unit(func(u provision.Unit) error { return u.PutPeople([]provision.Person{full}) })
	check()
}

func (l *lane) links() {
	id, other := uuid.NewString(), uuid.NewString()
	l.unit(func(u provision.Unit) error {
		return u.PutPeople([]provision.Person{{Anchor: "a", ObjectID: id}, {Anchor: "b"}})
	})
	check := func(anchors, ids string) {
		l.Helper()
		var gotAnchors, gotIDs []string
		l.unit(func(u provision.Unit) (err error) {
			if gotAnchors, err = u.LinkedAnchors([]string{other, id, ""}); err == nil {
				gotIDs, err = u.Links([]string{"b", "none", "a", ""})
			}
			return err
		})
		if s := strings.Join(gotAnchors, ","); s != anchors {
			l.Errorf("anchors are %q, want %q", s, anchors)
		}
		if s := strings.Join(must(l.s.LinkedAnchors(l.Context(), l.job.PK, []string{other, id, ""}))(l), ","); s != anchors {
			l.Errorf("outside of a unit anchors are %q, want %q", s, anchors)
		}
		if s := strings.Join(gotIDs, ","); s != ids {
			l.Errorf("links are %q, want %q", s, ids)
		}
	}
	check(",a,", ",,"+id+",")
	l.unit(func(u provision.Unit) error { return u.PutPeople([]provision.Person{{Anchor: "a", ObjectID: other}}) })
	check("a,,", ",,"+other+",")
	l.unit(func(u provision.Unit) error { return u.PutPeople([]provision.Person{{Anchor: "a"}}) })
	check(",,", ",,,")
}

func (l *lane) references() {
	ref := func(anchor, to string, upload int64, index int) provision.PendingReference {
		return provision.PendingReference{Anchor: anchor, Attribute: "manager", To: to, Upload: upload, Index: index, BulkID: "b" + anchor}
	}
	ready := func(limit int, want ...provision.PendingReference) {
		l.Helper()
		var got []provision.PendingReference
		l.unit(func(u provision.Unit) (err error) {
			got, err = u.ReadyReferences(noon, limit)
			return err
		})
		for i := range got {
			got[i].From, got[i].Row, got[i].PersonRow = "", 0, 0
		}
		order := func(a, b provision.PendingReference) int {
			return strings.Compare(a.Anchor+a.Attribute, b.Anchor+b.Attribute)
		}
		slices.SortFunc(got, order)
		slices.SortFunc(want, order)
		if !slices.Equal(got, want) {
			l.Errorf("ready are\n%+v, want\n%+v", got, want)
		}
	}
	end := func(r provision.PendingReference, resolved bool) {
		l.Helper()
		l.unit(func(u provision.Unit) error { return u.EndReference(r, resolved) })
	}
	put := func(rs ...provision.PendingReference) {
		l.Helper()
		l.unit(func(u provision.Unit) error {
			for _, r := range rs {
				if err := u.PutReference(r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	link := func(anchor, id string) {
		l.Helper()
		l.unit(func(u provision.Unit) error { return u.PutPeople([]provision.Person{{Anchor: anchor, ObjectID: id}}) })
	}
	a, b, c := ref("a", "x", 1, 0), ref("b", "x", 1, 1), ref("c", "y", 2, 0)
	unreported := func(want ...provision.PendingReference) {
		l.Helper()
		var got []provision.PendingReference
		l.unit(func(u provision.Unit) (err error) { got, err = u.UnreportedReferences(10); return err })
		var names, wanted []string
		for _, r := range got {
			names = append(names, r.Anchor+" "+r.To)
		}
		for _, r := range want {
			wanted = append(wanted, r.Anchor+" "+r.To)
		}
		if !slices.Equal(names, wanted) {
			l.Errorf("unreported are %v, want %v", names, wanted)
		}
	}
	// A reference is ready once the person it names is linked, before or after it is put.
	put(a, b, c)
	ready(10)
	unreported(a, b, c)
	link("x", uuid.NewString())
	ready(10, a, b)
	unreported(c)
	link("y", uuid.NewString())
	ready(10, a, b, c)
	unreported()
	put(c)
	ready(10, a, b, c)
	var two []provision.PendingReference
	l.unit(func(u provision.Unit) (err error) { two, err = u.ReadyReferences(noon, 2); return err })
	if len(two) != 2 {
		l.Errorf("%d references, limit 2", len(two))
	}
	// Resolved ends; unresolved waits, and has been reported, until its target is linked again.
	end(a, true)
	end(b, false)
	end(c, false)
	ready(10)
	unreported()
	link("x", "")
	ready(10)
	link("x", uuid.NewString())
	b.Reported = true
	ready(10, b)
	end(b, true)
	ready(10)
	// A newer reference replaces the one that waits: it is about its own target, and has not been reported.
	c = ref("c", "z", 3, 4)
	put(c)
	ready(10)
	unreported(c)
	end(c, false)
	unreported()
	link("y", uuid.NewString())
	ready(10)
	// References of other attributes stand beside each other.
	assistant := c
	assistant.Attribute, assistant.To = "assistant", "q"
	put(assistant)
	link("z", uuid.NewString())
	c.Reported = true
	ready(10, c)
	link("q", uuid.NewString())
	ready(10, assistant, c)
}

// entry is a log entry of the lane with a variety of contents.
func (l *lane) entry(upload int64, index int) provision.LogEntry {
	old, now := "Baker", "Cook"
	e := provision.LogEntry{JobPK: l.job.PK, Cycle: 1, Upload: upload, Index: index, BulkID: fmt.Sprint("b", index),
		Anchor: fmt.Sprint("a", (int(upload)+index)%7), Status: provision.Status((int(upload) + index) % 4), End: provision.EndUnchanged}
	switch index % 5 {
	case 0:
		e.Matched, e.Action, e.End = true, provision.ActionUpdate, provision.EndUpdated
		e.Name, e.ObjectID, e.ObjectName = "Ada", uuid.NewString(), "ada@acme.example"
		e.Source = []mapping.Imported{{Name: "title", Value: now}}
		e.Modified = []provision.Modification{{Attribute: "jobTitle", Old: &old, New: &now}, {Attribute: "city", Old: &old}, {Attribute: "mail", New: &now}}
		e.Warnings, e.Duration = []string{"careful"}, 1234567*time.Nanosecond
	case 1:
		e.Code, e.Reason, e.Advice, e.Attribute, e.End = "Conflict", "taken", "choose another", "userPrincipalName", provision.EndFailed
	case 2:
		e.Hidden, e.End = true, provision.EndSkipped
	case 3:
		e.Ref, e.End = true, ""
	}
	return e
}

// write appends n entries of an upload in one Unit, and returns them as they were numbered.
func (l *lane) write(upload int64, n int) []provision.LogEntry {
	l.Helper()
	var entries []provision.LogEntry
	for i := range n {
		entries = append(entries, l.entry(upload, i))
	}
	l.unit(func(u provision.Unit) error { return u.Append(entries) })
	return entries
}

func (l *lane) query(q provision.LogQuery) provision.LogPage {
	l.Helper()
	return must(l.s.QueryLog(l.Context(), q))(l)
}

func (l *lane) lastSeq() int64 {
	l.Helper()
	return must(l.s.LastSeq(l.Context()))(l)
}

func (l *lane) logOrder() {
	if n := l.lastSeq(); n != 0 {
		l.Errorf("the last place of an empty log is %d", n)
	}
	l.unit(func(u provision.Unit) error { return u.Append(nil) })
	var all []provision.LogEntry
	for i := range int64(20) {
		all = append(all, l.write(i+1, 6)...)
	}
	for i := 1; i < len(all); i++ {
		if all[i].Seq <= all[i-1].Seq || all[i].Time.Before(all[i-1].Time) {
			l.Fatalf("place %d at %v comes after place %d at %v", all[i].Seq, all[i].Time, all[i-1].Seq, all[i-1].Time)
		}
	}
	if n := l.lastSeq(); n != all[len(all)-1].Seq {
		l.Errorf("the last place is %d, want %d", n, all[len(all)-1].Seq)
	}
	got := l.all(provision.LogQuery{Ascending: true, Hidden: true, Limit: 1000}, nil)
	if !same(got, all) {
		l.Error("the log does not hold what was appended")
	}
}

// all pages through a query; between is called after each page.
func (l *lane) all(q provision.LogQuery, between func()) []provision.LogEntry {
	l.Helper()
	var all []provision.LogEntry
	for range 10_000 {
		page := l.query(q)
		if len(page.Entries) > q.Limit {
			l.Fatalf("%d entries, limit %d", len(page.Entries), q.Limit)
		}
		all = append(all, page.Entries...)
		if !page.More {
			return all
		}
		if q.Ascending {
			q.After = page.Next
		} else {
			q.Before = page.Next
		}
		if between != nil {
			between()
		}
	}
	l.Fatal("the log has no end")
	return nil
}

// same compares entries by what they say; times may be of any zone.
func same(a, b []provision.LogEntry) bool {
	return slices.EqualFunc(a, b, func(x, y provision.LogEntry) bool {
		ok := x.Time.Equal(y.Time)
		x.Time = y.Time
		return ok && reflect.DeepEqual(x, y)
	})
}

// logQueries compares the store's answers with what a query says of each entry.
func (l *lane) logQueries() {
	other := newLane(l.T, l.s)
	var all []provision.LogEntry
	for i := range int64(12) {
		w := l
		if i%3 == 2 {
			w = other
		}
		all = append(all, w.write(i+1, 9)...)
		time.Sleep(time.Millisecond) // so that times differ
	}
	mid, failure, success := all[len(all)/2], provision.StatusFailure, provision.StatusSuccess
	for _, q := range []provision.LogQuery{
		{}, {Hidden: true}, {JobPK: l.job.PK}, {JobPK: other.job.PK}, {JobPK: 99}, {Cycle: 1}, {Cycle: 2},
		{From: mid.Time}, {To: mid.Time}, {From: all[10].Time, To: mid.Time}, {From: mid.Time, To: mid.Time}, {From: mid.Time.Add(1)}, {To: mid.Time.Add(1)},
		{Status: &failure}, {Status: &success, Hidden: true}, {Anchor: "a3"}, {Anchor: "A3"}, {Anchor: "none"}, {Upload: 5}, {Upload: 99},
		{Before: mid.Seq}, {After: mid.Seq}, {Before: mid.Seq, After: all[3].Seq}, {Before: 1}, {Before: all[0].Seq}, {After: all[len(all)-1].Seq},
		{JobPK: l.job.PK, Anchor: "a2", Status: &failure, Hidden: true}, {JobPK: l.job.PK, Upload: 4, Hidden: true},
		{Match: func(e *provision.LogEntry) bool { return e.Ref }}, {Match: func(e *provision.LogEntry) bool { return !e.Hidden }, Hidden: true},
		{Match: func(*provision.LogEntry) bool { return false }},
	} {
		for _, ascending := range []bool{false, true} {
			for _, limit := range []int{1, 7, 1000} {
				q.Ascending, q.Limit = ascending, limit
				if got, want := l.all(q, nil), selected(all, q); !same(got, want) {
					l.Errorf("%+v: %d entries, want %d", q, len(got), len(want))
				}
			}
		}
	}
}

// selected is what a query promises.
func selected(all []provision.LogEntry, q provision.LogQuery) (s []provision.LogEntry) {
	for _, e := range all {
		if (q.JobPK == 0 || e.JobPK == q.JobPK) && (q.From.IsZero() || !e.Time.Before(q.From)) && (q.To.IsZero() || e.Time.Before(q.To)) &&
			(q.Cycle == 0 || e.Cycle == q.Cycle) && (q.Status == nil || e.Status == *q.Status) && (q.Anchor == "" || e.Anchor == q.Anchor) &&
			(q.Upload == 0 || e.Upload == q.Upload) && (q.Before == 0 || e.Seq < q.Before) && (q.After == 0 || e.Seq > q.After) &&
			(q.Hidden || !e.Hidden) && (q.Match == nil || q.Match(&e)) {
			s = append(s, e)
		}
	}
	if !q.Ascending {
		slices.Reverse(s)
	}
	return s
}

// logPaging pages while others write: what was committed before the first page comes exactly once.
func (l *lane) logPaging() {
	for _, ascending := range []bool{false, true} {
		var before []provision.LogEntry
		for i := range int64(30) {
			before = append(before, l.write(i+1, 5)...)
		}
		first, writes := before[0].Seq, 0
		got := l.all(provision.LogQuery{Ascending: ascending, Hidden: true, Limit: 4, After: first - 1}, func() {
			if writes++; writes <= 20 {
				l.write(int64(100+writes), 3)
			}
		})
		times := map[int64]int{}
		for i, e := range got {
			times[e.Seq]++
			if i > 0 && e.Seq > got[i-1].Seq != ascending {
				l.Errorf("ascending is %v and place %d comes after %d", ascending, e.Seq, got[i-1].Seq)
			}
		}
		for _, e := range before {
			if times[e.Seq] != 1 {
				l.Errorf("ascending is %v: the entry at %d comes %d times", ascending, e.Seq, times[e.Seq])
			}
		}
	}
}

func (l *lane) unreadPaths() {
	l.unit(func(u provision.Unit) error {
		return errors.Join(u.CountUnread(map[string]int64{"nickName": 2, "x509Certificates": 1}), u.CountUnread(nil))
	})
	l.unit(func(u provision.Unit) error { return u.CountUnread(map[string]int64{"nickName": 40}) })
	counts := func() map[string]int64 {
		m := map[string]int64{}
		for _, p := range must(l.s.UnreadPaths(l.Context(), l.job.PK))(l) {
			m[p.Path] += p.Records
		}
		return m
	}
	if m := counts(); len(m) != 2 || m["nickName"] != 42 || m["x509Certificates"] != 1 {
		l.Errorf("counts are %v", m)
	}
	// Clients choose the names: they are bounded, and those that are known go on being counted.
	for i := range 20 {
		many := map[string]int64{}
		for j := range 500 {
			many[fmt.Sprintf("urn:x:%d:%d", i, j)] = 1
		}
		l.unit(func(u provision.Unit) error { return u.CountUnread(many) })
	}
	l.unit(func(u provision.Unit) error { return u.CountUnread(map[string]int64{"nickName": 1}) })
	if m := counts(); len(m) >= 10_000 || m["nickName"] != 43 {
		l.Errorf("%d paths are kept; nickName counts %d", len(m), m["nickName"])
	}
}

func (l *lane) jobStatus() {
	status := func() provision.JobStatus {
		l.Helper()
		return *must(l.s.JobStatus(l.Context(), l.job.PK))(l)
	}
	if js := status(); js.Queued != 0 || js.Uploads != 0 || !js.Oldest.IsZero() || js.Cycle != 0 || js.Users != 0 || !js.CycleBegan.IsZero() || !js.FirstCycleEnd.IsZero() {
		l.Errorf("a new job's status is %+v", js)
	}
	l.accept(2)
	l.accept(3)
	if js := status(); js.Queued != 5 || js.Uploads != 2 || !js.Oldest.Equal(noon) {
		l.Errorf("status is %+v", js)
	}
	must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	for number, ends := range []map[provision.End]int64{{provision.EndCreated: 1, provision.EndUpdated: 1}, {provision.EndUpdated: 1, provision.EndFailed: 2}} {
		number := int64(number + 1)
		var entries []provision.LogEntry
		counts := map[provision.End]int{}
		for end, n := range ends {
			counts[end] = int(n)
			for range n {
				entries = append(entries, provision.LogEntry{JobPK: l.job.PK, Cycle: 1, Upload: number, Index: len(entries), End: end})
			}
		}
		entries = append(entries, provision.LogEntry{JobPK: l.job.PK, Cycle: 1, Upload: number, Ref: true})
		l.unit(func(u provision.Unit) error {
			return errors.Join(u.Append(entries), u.Advance([]provision.UploadResult{{Number: number, Counts: counts}}, 1, noon),
				// Each upload links one person, to an account that is new or was there before.
				u.PutPeople([]provision.Person{{Anchor: fmt.Sprint("p", number), ObjectID: uuid.NewString()}, {Anchor: "unlinked"}}))
		})
		l.position = number
		if js := status(); js.Queued != []int64{3, 0}[number-1] || js.Cycle != 1 || !js.CycleBegan.Equal(noon) || !js.CycleEnded.IsZero() || js.Users != number {
			l.Errorf("after upload %d the status is %+v", number, js)
		}
	}
	l.unit(func(u provision.Unit) error {
		return u.CloseCycle(&provision.Cycle{Number: 1, To: 2, Began: noon}, noon.Add(time.Hour))
	})
	want := map[provision.End]int64{provision.EndCreated: 1, provision.EndUpdated: 2, provision.EndFailed: 2}
	js := status()
	if !reflect.DeepEqual(js.CycleCounts, want) || !reflect.DeepEqual(js.TotalCounts, want) {
		l.Errorf("counts are %v and %v, want %v", js.CycleCounts, js.TotalCounts, want)
	}
	if at := noon.Add(time.Hour); !js.CycleEnded.Equal(at) || !js.FirstCycleEnd.Equal(at) || !js.Oldest.IsZero() {
		l.Errorf("status is %+v", js)
	}
	l.accept(1)
	must(l.s.OpenCycle(l.Context(), l.job.PK, noon.Add(2*time.Hour)))(l)
	if js = status(); js.Cycle != 2 || len(js.CycleCounts) != 0 || !reflect.DeepEqual(js.TotalCounts, want) || !js.CycleEnded.IsZero() || js.FirstCycleEnd.IsZero() {
		l.Errorf("status in the second cycle is %+v", js)
	}
}

// apart writes everything in one job and sees nothing of it in another.
func (l *lane) apart() {
	other := newLane(l.T, l.s)
	id := uuid.NewString()
	other.accept(1)
	l.accept(2)
	l.unit(func(u provision.Unit) error {
		return errors.Join(u.PutPeople([]provision.Person{{Anchor: "x", ObjectID: id}}),
			u.PutReference(provision.PendingReference{Anchor: "x", Attribute: "manager", To: "y"}), u.CountUnread(map[string]int64{"nickName": 1}))
	})
	must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	l.take(1, provision.EndCreated)
	if a := other.accept(1); a.Number != 2 {
		l.Errorf("number is %d, want 2", a.Number)
	}
	if p := must(other.s.People(l.Context(), other.job.PK, sought("x")))(l); p[0] != nil {
		l.Errorf("person of another job: %+v", p[0])
	}
	var anchors []string
	var refs []provision.PendingReference
	other.unit(func(u provision.Unit) (err error) {
		if anchors, err = u.LinkedAnchors([]string{id}); err == nil {
			refs, err = u.ReadyReferences(noon, 10)
		}
		return err
	})
	if anchors[0] != "" || len(refs) != 0 {
		l.Errorf("links %v and references %v of another job", anchors, refs)
	}
	if p := must(other.s.UnreadPaths(l.Context(), other.job.PK))(l); len(p) != 0 {
		l.Errorf("paths of another job: %v", p)
	}
	if c := must(other.s.OpenCycle(l.Context(), other.job.PK, noon))(l); c == nil || c.Number != 1 || c.To != 2 {
		l.Errorf("cycle is %+v", c)
	}
}
