package provisiontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// TestLedger compares all counts of a Store with a model of them, through random ways of records from their acceptance to
// their ends. open opens the store in dir, where nothing is at first; crash opens what a crash of it would leave behind.
func TestLedger(t *testing.T, open func(t rapid.TB, dir string) provision.Store, crash func(t rapid.TB, s provision.Store) provision.Store, end func(provision.Store) error) {
	rapid.Check(t, func(rt *rapid.T) {
		l := &ledger{s: open(rt, t.TempDir())}
		defer func() { // also after a failure
			if err := end(l.s); err != nil {
				t.Error(err)
			}
		}()
		for range 2 {
			l.addJob(rt)
		}
		for range rapid.IntRange(10, 40).Draw(rt, "steps") {
			b := l.books[rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(rt, "job")]
			step := rapid.SampledFrom(steps).Draw(rt, "step")
			switch step {
			case "accept":
				b.accept(rt)
			case "batch":
				b.batch(rt)
			case "end":
				b.end(rt)
			case "move":
				b.move(rt)
			case "judge":
				b.judge(rt)
			case "refuse":
				b.refuse(rt)
			case "hold":
				b.hold(rt)
			case "purge":
				b.purge(rt)
			case "close":
				b.close(rt)
			case "link":
				b.link(rt)
			case "unlink":
				b.unlink(rt)
			case "remove":
				b.remove(rt)
			case "crash":
				l.s = crash(rt, l.s)
			}
			for _, touched := range l.books {
				if touched != b && step != "remove" && step != "crash" {
					continue
				}
				if err := touched.compare(); err != nil {
					rt.Fatalf("after %s: %v", step, err)
				}
			}
		}
	})
}

// steps are what happens to a job, as often as it stands here.
var steps = strings.Fields("accept accept accept batch batch batch batch batch end end move judge refuse hold purge purge close close close link unlink remove crash")

// ledger is a store with what its jobs are expected to count.
type ledger struct {
	s     provision.Store
	books []*book
}

// book is the model of a job.
type book struct {
	l        *ledger
	job      int64
	position int64
	cycle    *provision.Cycle // the open one
	cycles   int64
	uploads  []*bookedUpload
	people   map[string]*bookedPerson
}

type bookedUpload struct {
	id     uuid.UUID
	ends   []provision.End // of its records
	who    []string
	cycle  int64
	closed bool
	purged bool
}

type bookedPerson struct {
	linked, enabled bool
	pending         *provision.Pending
}

func (l *ledger) addJob(t *rapid.T) {
	schema, _ := mapping.Template("API2AAD")
	j := &provision.Job{ID: "API2AAD.t." + uuid.NewString(), State: provision.JobActive, Schema: schema, Created: noon}
	if err := l.s.PutJob(context.Background(), j); err != nil {
		t.Fatal(err)
	}
	l.books = append(l.books, &book{l: l, job: j.PK, people: map[string]*bookedPerson{}})
}

// errFailure ends a Unit that is to be rolled back.
var errFailure = errors.New("failure")

// unit runs fn in a Unit, and reports whether that was committed; now and then it fails at its end.
func (b *book) unit(t *rapid.T, fn func(u provision.Unit) error) bool {
	fails := rapid.IntRange(0, 7).Draw(t, "fails") == 0
	err := b.l.s.Unit(context.Background(), provision.Fence{JobPK: b.job, Position: b.position}, func(u provision.Unit) error {
		if err := fn(u); err != nil || !fails {
			return err
		}
		return errFailure
	})
	if fails && !errors.Is(err, errFailure) || !fails && err != nil {
		t.Fatal(err)
	}
	return !fails
}

// set gives a record the end that it has in its upload.
func (b *book) set(p *provision.Pending, end provision.End) {
	if p.Upload > 0 {
		b.uploads[p.Upload-1].ends[p.Index] = end
	}
}

func (b *book) accept(t *rapid.T) {
	for range rapid.IntRange(1, 3).Draw(t, "uploads") {
		b.acceptOf(t, rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), 1, 3).Draw(t, "who"))
	}
}

func (b *book) acceptOf(t *rapid.T, who []string) {
	u := &bookedUpload{id: uuid.New(), who: who}
	up := provision.Upload{Job: &provision.Job{PK: b.job}, Received: noon}
	for _, who := range u.who {
		up.Operations = append(up.Operations, provision.Operation{Anchor: who, Data: []byte(`{}`)})
		u.ends = append(u.ends, provision.EndQueued)
	}
	a, err := b.l.s.Accept(context.Background(), up, u.id, unbounded)
	if err != nil || a.Number != int64(len(b.uploads)+1) {
		t.Fatalf("accepted %+v: %v", a, err)
	}
	b.uploads = append(b.uploads, u)
}

// outcome is what a record comes to at first.
var outcome = rapid.SampledFrom([]provision.End{provision.EndCreated, provision.EndUpdated, provision.EndFailed, provision.EndHeld, provision.EndHeld, provision.EndRetrying})

// batch takes up some of the uploads that wait, as the engine does: whoever's record is pending has a newer one, and what waits
// is in the cycle.
func (b *book) batch(t *rapid.T) {
	ctx := context.Background()
	cycle, err := b.l.s.OpenCycle(ctx, b.job, noon)
	if err != nil {
		t.Fatal(err)
	}
	if cycle != nil && b.cycle == nil {
		b.cycles++
		b.cycle = &provision.Cycle{Number: b.cycles, To: int64(len(b.uploads))}
	}
	if (cycle == nil) != (b.cycle == nil) || cycle != nil && (cycle.Number != b.cycle.Number || cycle.To != b.cycle.To) {
		t.Fatalf("cycle is %+v, want %+v", cycle, b.cycle)
	}
	if cycle == nil {
		return
	}
	queue, err := b.l.s.Next(ctx, b.job, b.position, cycle.To, rapid.IntRange(1, 5).Draw(t, "records"))
	if err != nil {
		t.Fatal(err)
	}
	if len(queue) == 0 {
		return
	}
	results := make([]provision.UploadResult, len(queue))
	people := clonePeople(b.people)
	own := map[int64]int{}
	changed := map[*provision.Pending]provision.End{}
	ok := b.unit(t, func(u provision.Unit) error {
		var errs []error
		for i, q := range queue {
			results[i] = provision.UploadResult{Number: q.Number, Counts: map[provision.End]int{}}
			own[q.Number] = i
			for index, op := range q.Operations {
				end := outcome.Draw(t, "outcome")
				p := people[op.Anchor]
				if p == nil {
					p = &bookedPerson{}
					people[op.Anchor] = p
				}
				if old := p.pending; old != nil {
					if at, now := own[old.Upload]; now && old.Upload > 0 {
						results[at].Counts[old.Kind.End()]--
						results[at].Counts[provision.EndSuperseded]++
						errs = append(errs, u.EndPending(*old, ""))
					} else {
						errs = append(errs, u.EndPending(*old, provision.EndSuperseded))
					}
					changed[old] = provision.EndSuperseded
				}
				results[i].Counts[end]++
				mine := &provision.Pending{Anchor: op.Anchor, Upload: q.Number, Index: index, Cycle: cycle.Number, Since: noon, Due: noon}
				p.pending = nil
				if !end.Final() {
					mine.Kind = provision.PendingHeld
					if end == provision.EndRetrying {
						mine.Kind = provision.PendingRetry
					}
					p.pending = mine
				}
				p.linked = p.linked || end == provision.EndCreated || end == provision.EndHeld
				p.enabled = p.linked && end != provision.EndFailed
				errs = append(errs, b.putPerson(u, op.Anchor, p))
				if p.pending != nil {
					errs = append(errs, u.PutPending(*mine))
				}
				changed[mine] = end
			}
		}
		for i := range results {
			results[i].Counts = nonzero(results[i].Counts)
		}
		return errors.Join(append(errs, u.Advance(results, cycle.Number, noon))...)
	})
	if !ok {
		return
	}
	b.people, b.position = people, queue[len(queue)-1].Number
	for p, end := range changed {
		b.set(p, end)
	}
	for _, q := range queue {
		b.uploads[q.Number-1].cycle = cycle.Number
	}
}

// objectOf is the object that a person of the job is linked to.
func (b *book) objectOf(anchor string) string {
	return uuid.NewSHA1(uuid.Nil, fmt.Append(nil, b.job, anchor)).String()
}

func (b *book) putPerson(u provision.Unit, anchor string, p *bookedPerson) error {
	is := provision.Person{Anchor: anchor, Kept: []byte(`{}`), Enabled: p.enabled}
	if p.linked {
		is.ObjectID = b.objectOf(anchor)
	}
	if p.pending != nil {
		is.Pending = p.pending.Kind
	}
	return u.PutPeople([]provision.Person{is})
}

func clonePeople(people map[string]*bookedPerson) map[string]*bookedPerson {
	all := map[string]*bookedPerson{}
	for a, p := range people {
		is := *p
		all[a] = &is
	}
	return all
}

// some draws a person with a pending record; nil if there is none.
func (b *book) some(t *rapid.T) *bookedPerson {
	var all []*bookedPerson
	for _, a := range slices.Sorted(maps.Keys(b.people)) {
		if b.people[a].pending != nil {
			all = append(all, b.people[a])
		}
	}
	if len(all) == 0 {
		return nil
	}
	return rapid.SampledFrom(all).Draw(t, "whose")
}

func (b *book) end(t *rapid.T) {
	p := b.some(t)
	if p == nil {
		return
	}
	end := rapid.SampledFrom([]provision.End{provision.EndDisabled, provision.EndFailed, provision.EndRejected, provision.EndPurged}).Draw(t, "end")
	if b.unit(t, func(u provision.Unit) error { return u.EndPending(*p.pending, end) }) {
		b.set(p.pending, end)
		p.pending = nil
	}
}

// move changes the kind of a pending record, or has people asked about it.
func (b *book) move(t *rapid.T) {
	p := b.some(t)
	if p == nil {
		return
	}
	next := *p.pending
	next.Kind = rapid.SampledFrom([]provision.PendingKind{provision.PendingHeld, provision.PendingRetry}).Draw(t, "kind")
	next.Staged = next.Kind == provision.PendingHeld && rapid.Bool().Draw(t, "staged")
	next.Verdict, next.By = provision.VerdictNone, ""
	if b.unit(t, func(u provision.Unit) error { return u.PutPending(next) }) {
		b.set(&next, next.Kind.End())
		p.pending = &next
	}
}

// hold is what a re-evaluation does to somebody of whom nothing is pending.
func (b *book) hold(t *rapid.T) {
	anchor := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "whom")
	p := b.people[anchor]
	if p == nil || p.pending != nil {
		return
	}
	held := provision.Pending{Kind: provision.PendingHeld, Anchor: anchor, Upload: -1, Since: noon, Due: noon}
	if b.unit(t, func(u provision.Unit) error { return u.PutPending(held) }) {
		p.pending = &held
	}
}

func (b *book) judge(t *rapid.T) {
	kind := rapid.SampledFrom([]provision.PendingKind{provision.PendingNone, provision.PendingHeld, provision.PendingRetry}).Draw(t, "kind")
	verdict := rapid.SampledFrom([]provision.Verdict{provision.VerdictApproved, provision.VerdictRejected, provision.VerdictPurged}).Draw(t, "verdict")
	by := rapid.SampledFrom([]string{"", "Ada"}).Draw(t, "by")
	anchors := rapid.SampledFrom([][]string{nil, nil, {"a"}, {"b", "c"}, {"d", "a", "d"}}).Draw(t, "anchors")
	waits := func(p *bookedPerson) bool {
		return p != nil && p.pending != nil && p.pending.Verdict == provision.VerdictNone && (kind == provision.PendingNone || p.pending.Kind == kind) && (!p.pending.Staged || by != "")
	}
	judged := map[*bookedPerson]bool{}
	for _, a := range anchors {
		if !waits(b.people[a]) {
			judged = nil
			break
		}
		judged[b.people[a]] = true
	}
	for _, p := range b.people {
		if anchors == nil && waits(p) {
			judged[p] = true
		}
	}
	ok := b.unit(t, func(u provision.Unit) error {
		n, err := u.Judge(kind, verdict, by, anchors)
		if judged == nil && errors.Is(err, provision.ErrNotFound) {
			return nil
		}
		if err == nil && n != len(judged) {
			err = fmt.Errorf("%d are judged, want %d", n, len(judged))
		}
		return err
	})
	for p := range judged {
		if ok {
			next := *p.pending
			next.Verdict, next.By = verdict, by
			p.pending = &next
		}
	}
}

// refuse ends what has been rejected or purged.
func (b *book) refuse(t *rapid.T) {
	refused, err := b.l.s.PendingPeople(context.Background(), b.job, provision.SetRefused, noon, 3)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[provision.Verdict]provision.End{provision.VerdictRejected: provision.EndRejected, provision.VerdictPurged: provision.EndPurged}
	ok := b.unit(t, func(u provision.Unit) error {
		var errs []error
		for _, p := range refused {
			errs = append(errs, u.EndPending(p.Pending, ends[p.Verdict]))
		}
		return errors.Join(errs...)
	})
	for _, p := range refused {
		if ok {
			b.set(&p.Pending, ends[p.Verdict])
			b.people[p.Anchor].pending = nil
		}
	}
}

// purge throws out what waits, or only what is behind the open cycle.
func (b *book) purge(t *rapid.T) {
	after := b.position
	if b.cycle != nil && rapid.Bool().Draw(t, "behind the cycle") {
		after = max(after, b.cycle.To)
	}
	want := provision.Purge{Time: noon}
	var thrown []*bookedUpload
	for i, u := range b.uploads[min(after, int64(len(b.uploads))):] {
		if u.purged {
			continue
		}
		thrown = append(thrown, u)
		want.Uploads, want.Records, want.Last = want.Uploads+1, want.Records+int64(len(u.ends)), after+int64(i)+1
		if want.First == 0 {
			want.First = want.Last
		}
	}
	ok := b.unit(t, func(u provision.Unit) error {
		if p, err := u.Purge(after, provision.Purge{Time: noon}); err != nil || p != want {
			return fmt.Errorf("purged are %+v, want %+v: %w", p, want, err)
		}
		return nil
	})
	if !ok {
		return
	}
	for _, u := range thrown {
		u.purged, u.closed = true, true
		for i := range u.ends {
			u.ends[i] = provision.EndPurged
		}
	}
	if len(thrown) > 0 {
		b.skip()
	}
}

// skip moves the position over what was purged.
func (b *book) skip() {
	for b.position < int64(len(b.uploads)) && b.uploads[b.position].purged {
		b.position++
	}
}

// close ends the cycle if nothing of it waits, or has it go on with what waits behind it.
func (b *book) close(t *rapid.T) {
	if b.cycle == nil || b.position < b.cycle.To {
		return
	}
	if rapid.IntRange(0, 3).Draw(t, "goes on") == 0 {
		if b.unit(t, func(u provision.Unit) error { return u.ExtendCycle(b.cycle) }) {
			b.cycle.To = int64(len(b.uploads))
		}
		return
	}
	if !b.unit(t, func(u provision.Unit) error { return u.CloseCycle(b.cycle, noon) }) {
		return
	}
	for _, u := range b.uploads[:b.cycle.To] {
		u.closed = true
	}
	b.cycle = nil
	b.skip()
}

func (b *book) link(t *rapid.T) {
	anchor := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "whom")
	p := b.people[anchor]
	if p == nil {
		return
	}
	object := ""
	if rapid.Bool().Draw(t, "linked") {
		object = b.objectOf(anchor)
	}
	if b.unit(t, func(u provision.Unit) error { return u.Link(anchor, object) }) {
		p.linked, p.enabled = object != "", false
	}
}

// unlink drops the links of all, some at a time.
func (b *book) unlink(t *rapid.T) {
	limit := rapid.IntRange(1, 4).Draw(t, "limit")
	for place, done := int64(0), false; !done; {
		next := place
		if b.unit(t, func(u provision.Unit) (err error) { next, done, err = u.Unlink(place, limit); return err }) {
			place = next
		} else {
			done = false
		}
	}
	for _, p := range b.people {
		p.linked, p.enabled = false, false
	}
}

// remove removes the job, some rows at a time while another job's people come, and puts a new one in its place.
func (b *book) remove(t *rapid.T) {
	if len(b.people) == 0 {
		return
	}
	limit := rapid.IntRange(1, 12).Draw(t, "limit")
	other := b.l.books[0]
	if other == b {
		other = b.l.books[1]
	}
	for done := false; !done; {
		err := b.l.s.Unit(context.Background(), provision.Fence{JobPK: b.job, Free: true}, func(u provision.Unit) (err error) { done, err = u.Remove(limit); return err })
		if err != nil {
			t.Fatal(err)
		}
		other.acceptOf(t, []string{fmt.Sprint("new", len(other.uploads))})
		other.batch(t)
	}
	at := slices.Index(b.l.books, b)
	b.l.addJob(t)
	b.l.books[at] = b.l.books[len(b.l.books)-1]
	b.l.books = b.l.books[:len(b.l.books)-1]
}

// compare compares what the store says of the job with the model, and with itself.
func (b *book) compare() error {
	ctx := context.Background()
	var wrong []error
	expect := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			wrong = append(wrong, fmt.Errorf("%s is %v, want %v", what, got, want))
		}
	}
	var ids []uuid.UUID
	queued, cycle := int64(0), map[provision.End]int64{}
	for i, u := range b.uploads {
		ids = append(ids, u.id)
		counts, open := map[provision.End]int{}, false
		for _, end := range u.ends {
			counts[end]++
			open = open || !end.Final()
			if end == provision.EndQueued {
				queued++
			} else if u.cycle == b.cycles && b.cycles > 0 {
				cycle[end]++
			}
		}
		state := provision.UploadDone
		switch {
		case counts[provision.EndQueued] > 0:
			state = provision.UploadAccepted
		case u.closed && !open:
			state = provision.UploadSettled
		}
		us, err := b.l.s.UploadStatus(ctx, b.job, u.id)
		if err != nil {
			return err
		}
		expect(fmt.Sprintf("upload %d", i+1), us.Counts, counts)
		expect(fmt.Sprintf("state of upload %d", i+1), us.State, state)
		expect(fmt.Sprintf("upload %d: purged", i+1), us.Purge != nil, u.purged)
	}
	js, err := b.l.s.JobStatus(ctx, b.job)
	if err != nil {
		return err
	}
	expect("queued", js.Queued, queued)
	expect("the cycle", js.Cycle, b.cycles)
	expect("the cycle's counts", nonzero(js.CycleCounts), cycle)
	lane, err := b.l.s.Lane(ctx, b.job)
	if err != nil {
		return err
	}
	expect("position", lane.Position, b.position)
	expect("waits", lane.Waits, queued > 0)
	expect("a cycle is open", lane.Cycle != nil, b.cycle != nil)
	pending := map[string]provision.Pending{}
	all, err := pendingRecords(ctx, b.l.s, b.job, provision.PendingQuery{})
	if err != nil {
		return err
	}
	for _, p := range all {
		pending[p.Anchor] = p
	}
	linked, enabled := int64(0), int64(0)
	for a, p := range b.people {
		got, is := pending[a]
		delete(pending, a)
		if p.linked {
			linked++
		}
		if p.enabled {
			enabled++
		}
		if expect("pending of "+a, is, p.pending != nil); is && p.pending != nil && !samePending(got, *p.pending) {
			wrong = append(wrong, fmt.Errorf("pending of %s is %+v, want %+v", a, got, *p.pending))
		}
	}
	expect("pending records of nobody", len(pending), 0)
	expect("linked", js.Users, linked)
	expect("enabled", js.Enabled, enabled)
	return errors.Join(append(wrong, imbalance(ctx, b.l.s, b.job, ids))...)
}
