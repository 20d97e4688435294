package provisiontest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// purges throws what waits after a number out of the queue.
func (l *lane) purges(after int64) provision.Purge {
	l.Helper()
	var p provision.Purge
	l.unit(func(u provision.Unit) (err error) {
		p, err = u.Purge(after, provision.Purge{Time: noon, By: "Ada"})
		return err
	})
	l.position = at(l)
	l.balance()
	return p
}

// waits returns the numbers of the uploads that a runner sees after the job's position.
func (l *lane) waits() (numbers []int64) {
	l.Helper()
	for _, q := range must(l.queue(at(l), unbounded))(l) {
		numbers = append(numbers, q.Number)
	}
	return numbers
}

// purge: what waits ends as purged at once, and the queue goes on after it.
func (l *lane) purge() {
	for range 2 {
		l.accept(2)
	}
	cycle := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	l.take(2, provision.EndCreated)
	l.unit(func(u provision.Unit) error { return u.CloseCycle(cycle, noon) })
	u := l.upload(3)
	u.ClientRequestID, u.BodyHash = "r1", sha256.Sum256([]byte("body"))
	a := must(l.s.Accept(l.Context(), u, uuid.New(), unbounded))(l)
	l.ids = append(l.ids, a.ID)
	l.accept(4)
	want := provision.Purge{Uploads: 2, Records: 7, First: 3, Last: 4, Time: noon, By: "Ada"}
	if p := l.purges(l.position); p != want {
		l.Errorf("purged are %+v, want %+v", p, want)
	}
	if us := l.status(3); us.State != provision.UploadSettled || !us.Done.Equal(noon) || !us.Settled.Equal(noon) || us.Purge == nil || *us.Purge != want ||
		!reflect.DeepEqual(us.Counts, map[provision.End]int{provision.EndPurged: 3}) {
		l.Errorf("a purged upload is %+v", us)
	}
	if us := l.status(2); us.Purge != nil || us.Counts[provision.EndCreated] != 2 {
		l.Errorf("an upload that had been taken up is %+v", us)
	}
	// Its operations are kept for the receipts.
	if q := must(l.s.QueuedOperations(l.Context(), l.job.PK, 3))(l); len(q.Operations) != 3 || q.Purge == nil || *q.Purge != want {
		l.Errorf("a purged upload's operations are %+v", q)
	}
	// Nothing waits, and no cycle is opened over what was purged.
	lane := must(l.s.Lane(l.Context(), l.job.PK))(l)
	if lane.Position != 4 || lane.Waits || lane.Cycle != nil {
		l.Errorf("lane is %+v, want position 4 and nothing to do", lane)
	}
	if c := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l); c != nil {
		l.Errorf("a cycle of an empty queue: %+v", c)
	}
	if js := must(l.s.JobStatus(l.Context(), l.job.PK))(l); js.Queued != 0 || !js.Oldest.IsZero() || js.CycleCounts[provision.EndPurged] != 0 {
		l.Errorf("status is %+v", js)
	}
	// The same request is another upload now: whoever repeats it wants it done. It is taken up.
	again := must(l.s.Accept(l.Context(), u, uuid.New(), unbounded))(l)
	if l.ids = append(l.ids, again.ID); again.Replay || again.Number != 5 {
		l.Errorf("the request of a purged upload again: %+v", again)
	}
	if w := l.waits(); !slices.Equal(w, []int64{5}) {
		l.Errorf("what waits is %v, want 5", w)
	}
	if c := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l); c == nil || c.Number != 2 || c.To != 5 {
		l.Errorf("cycle is %+v", c)
	}
	l.take(5, provision.EndUpdated)
	l.balance()
}

// purgeOpenCycle: the cycle under way is finished with what is left of it, and what was purged behind it is skipped.
func (l *lane) purgeOpenCycle() {
	idle := func(want bool) {
		l.Helper()
		l.unit(func(u provision.Unit) error {
			if is, err := u.Idle(); err != nil || is != want {
				return fmt.Errorf("idle is %t, want %t: %w", is, want, err)
			}
			return nil
		})
	}
	waits := func(position int64, numbers ...int64) {
		l.Helper()
		if p, w := at(l), l.waits(); p != position || !slices.Equal(w, numbers) {
			l.Errorf("at position %d %v wait, want %v at %d", p, w, numbers, position)
		}
	}
	for range 3 {
		l.accept(1)
	}
	cycle := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	l.take(1, provision.EndCreated)
	l.accept(2)
	l.accept(2)
	// What is behind the cycle: the position stays before what is left of it.
	if p := l.purges(cycle.To); p.Uploads != 2 || p.First != 4 || p.Last != 5 {
		l.Errorf("purged are %+v", p)
	}
	waits(1, 2, 3)
	idle(false)
	l.accept(1)
	waits(1, 2, 3, 6)
	if p := l.purges(cycle.To); p.Uploads != 1 || p.First != 6 { // once more, what has come since
		l.Errorf("purged are %+v", p)
	}
	l.take(2, provision.EndCreated)
	l.take(3, provision.EndCreated)
	idle(true)
	l.accept(1)
	idle(false)
	l.unit(func(u provision.Unit) error { return u.CloseCycle(cycle, noon) })
	l.position = at(l)
	waits(6, 7)
	for number := int64(1); number <= 6; number++ {
		if us := l.status(number); us.State != provision.UploadSettled || (us.Purge != nil) != (number > 3) {
			l.Errorf("upload %d is %+v", number, us)
		}
	}
	// All that is left of a cycle: it can be closed at once, though some of it was never taken up.
	l.accept(1)
	cycle = must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	l.take(7, provision.EndCreated)
	l.accept(1)
	if p := l.purges(l.position); p.Uploads != 2 || p.First != 8 {
		l.Errorf("purged are %+v", p)
	}
	waits(9)
	idle(true)
	if lane := must(l.s.Lane(l.Context(), l.job.PK))(l); lane.Cycle == nil || lane.Position < lane.Cycle.To {
		l.Errorf("lane is %+v, want a cycle that is at its end", lane)
	}
	l.accept(1)
	l.unit(func(u provision.Unit) error { return u.ExtendCycle(cycle) }) // what came since may be part of it
	cycle = must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	if cycle.Number != 2 || cycle.To != 10 {
		l.Errorf("cycle is %+v", cycle)
	}
	waits(9, 10)
	l.take(10, provision.EndUpdated)
	l.unit(func(u provision.Unit) error { return u.CloseCycle(cycle, noon) })
	waits(10)
	for number := int64(7); number <= 10; number++ {
		if us := l.status(number); us.State != provision.UploadSettled || (us.Purge != nil) != (number == 8 || number == 9) {
			l.Errorf("upload %d is %+v", number, us)
		}
	}
	if js := must(l.s.JobStatus(l.Context(), l.job.PK))(l); js.TotalCounts[provision.EndPurged] != 7 || js.TotalCounts[provision.EndCreated] != 4 {
		l.Errorf("counts are %v", js.TotalCounts)
	}
	l.balance()
}

// purgeNothing leaves nothing behind.
func (l *lane) purgeNothing() {
	if p := l.purges(0); p != (provision.Purge{Time: noon, By: "Ada"}) {
		l.Errorf("purged are %+v", p)
	}
	l.accept(1)
	if p := l.purges(1); p.Uploads != 0 {
		l.Errorf("purged are %+v, after the last", p)
	}
	newLane(l.T, l.s).accept(1)
	l.take(1, provision.EndCreated)
	if p := l.purges(0); p.Uploads != 0 || at(l) != 1 {
		l.Errorf("purged are %+v, which had been taken up, and the position is %d", p, at(l))
	}
}

// known stores people who are as their record wants them, so that the same record would be proved to change nothing, and has
// the store remember them.
func (l *lane) known(anchors ...string) (ids []string) {
	l.Helper()
	l.unit(func(u provision.Unit) error {
		for i, a := range anchors {
			ids = append(ids, uuid.NewString())
			p := provision.Person{Anchor: a, ObjectID: ids[i], Version: 3, Hash: [16]byte{1}, Program: 7, Enabled: true, Kept: []byte(`{"externalId":"k"}`), Name: a}
			if err := u.PutPeople([]provision.Person{p}); err != nil {
				return err
			}
		}
		return nil
	})
	for i, p := range l.asked(anchors...) {
		if p == nil || p.ObjectID != ids[i] || p.Hash != [16]byte{1} {
			l.Fatalf("%s is %+v", anchors[i], p)
		}
	}
	return ids
}

// asked returns people as one who seeks the same record again is told of them.
func (l *lane) asked(anchors ...string) []*provision.Person {
	l.Helper()
	s := sought(anchors...)
	for i := range s {
		s[i].Hash = [16]byte{1}
	}
	return must(l.s.People(l.Context(), l.job.PK, s))(l)
}

// unproven fails the test unless nothing proves that the same record changes nothing, and the kept record is there.
func (l *lane) unproven(anchor, object string) {
	l.Helper()
	p := l.asked(anchor)[0]
	if p == nil || p.ObjectID != object || p.Hash != [16]byte{} || p.Version != 0 || p.Enabled || string(p.Kept) != `{"externalId":"k"}` {
		l.Errorf("%s is %+v, want the object %q, the kept record and nothing that proves anything", anchor, p, object)
	}
	var links []string
	l.unit(func(u provision.Unit) (err error) { links, err = u.Links([]string{anchor}); return err })
	if links[0] != object {
		l.Errorf("%s is linked to %q, want %q", anchor, links[0], object)
	}
}

// link: a person is linked to another object, or to none; what was proved of the old one counts no more.
func (l *lane) link() {
	ids := l.known("a", "b")
	other := newLane(l.T, l.s)
	others := other.known("a")
	free := uuid.NewString()
	put := func(anchor, object string) {
		l.Helper()
		l.unit(func(u provision.Unit) error { return u.Link(anchor, object) })
		l.balance()
		l.unproven(anchor, object)
	}
	put("a", free)
	if a := must(l.s.LinkedAnchors(l.Context(), l.job.PK, []string{free, ids[0]}))(l); a[0] != "a" || a[1] != "" {
		l.Errorf("linked are %q", a)
	}
	put("a", "")
	put("a", "")
	if js := must(l.s.JobStatus(l.Context(), l.job.PK))(l); js.Users != 1 || js.Enabled != 1 {
		l.Errorf("%d are linked, %d enabled", js.Users, js.Enabled)
	}
	// A link that is new makes the references to the person ready, as PutPeople does.
	l.unit(func(u provision.Unit) error {
		return u.PutReference(provision.PendingReference{Anchor: "b", Attribute: "manager", To: "a"})
	})
	put("a", free)
	l.unit(func(u provision.Unit) error {
		refs, err := u.ReadyReferences(noon, 10)
		if err != nil || len(refs) != 1 {
			return fmt.Errorf("ready are %+v: %w", refs, err)
		}
		return nil
	})
	// Of the Unit that stores somebody, the last word counts.
	l.unit(func(u provision.Unit) error {
		p := provision.Person{Anchor: "c", ObjectID: uuid.NewString(), Version: 3, Hash: [16]byte{1}, Program: 7, Enabled: true, Kept: []byte(`{"externalId":"k"}`)}
		return errors.Join(u.PutPeople([]provision.Person{p}), u.Link("c", ""))
	})
	l.unproven("c", "")
	l.balance()
	// An object has one person, a person must be there, and an object has an id.
	for _, bad := range []struct {
		anchor, object string
		want           error
	}{{"a", ids[1], provision.ErrTaken}, {"nobody", uuid.NewString(), provision.ErrNotFound}, {"a", "no id", nil}} {
		err := l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK, Position: l.position}, func(u provision.Unit) error { return u.Link(bad.anchor, bad.object) })
		if err == nil || bad.want != nil && !errors.Is(err, bad.want) {
			l.Errorf("%s to %q: %v, want %v", bad.anchor, bad.object, err, bad.want)
		}
		l.balance()
	}
	put("b", "") // and when it is free again another may have it
	put("a", ids[1])
	if p := other.asked("a")[0]; p == nil || p.ObjectID != others[0] || p.Hash != [16]byte{1} {
		l.Errorf("the person of another job is %+v", p)
	}
	other.balance()
}

// unlink drops all links of a job, some at a time; people, kept records and what is pending stay.
func (l *lane) unlink() {
	var anchors []string
	for i := range 10 {
		anchors = append(anchors, fmt.Sprint("p", i))
	}
	l.known(anchors[:4]...)
	other := newLane(l.T, l.s)
	others := other.known("p0", "p9")
	l.known(anchors[4:]...)
	l.pend(provision.PendingHeld, "p3")
	l.unit(func(u provision.Unit) error { return u.Link("p5", "") })
	l.balance()
	unlink := func(after int64, limit int) (place int64, done bool) {
		l.Helper()
		l.unit(func(u provision.Unit) (err error) { place, done, err = u.Unlink(after, limit); return err })
		l.balance()
		return place, done
	}
	place, done := unlink(0, 4)
	if again, _ := unlink(0, 4); again != place || done {
		l.Errorf("the same again has come to %d, and to the end: %t; want %d", again, done, place)
	}
	for i, p := range l.asked("p2", "p4") {
		if want := i == 1; (p.ObjectID != "") != want {
			l.Errorf("after four: %+v", p)
		}
	}
	for steps := 0; !done; steps++ {
		if steps == 5 {
			l.Fatal("there is no end")
		}
		if place, done = unlink(place, 4); place == 0 {
			l.Fatal("it has lost its place")
		}
	}
	if again, done := unlink(place, 4); again != place || !done {
		l.Errorf("after the end it has come to %d, and to the end: %t; want %d", again, done, place)
	}
	for _, a := range anchors {
		if a != "p3" { // whose kept record is another
			l.unproven(a, "")
		}
	}
	if p := l.pendingOf("p3"); p == nil || p.Kind != provision.PendingHeld {
		l.Errorf("what was pending is %+v", p)
	}
	if people := must(l.s.Connected(l.Context(), l.job.PK, 0, 100))(l); len(people) != 0 {
		l.Errorf("%d are linked", len(people))
	}
	for i, p := range other.asked("p0", "p9") {
		if p == nil || p.ObjectID != others[i] || p.Hash != [16]byte{1} {
			l.Errorf("the person of another job is %+v", p)
		}
	}
	other.balance()
}

// connected pages over linked people while links come and go.
func (l *lane) connected() {
	var anchors []string
	for i := range 12 {
		anchors = append(anchors, fmt.Sprintf("p%02d", i))
	}
	ids := l.known(anchors...)
	l.unit(func(u provision.Unit) error {
		return u.PutPeople([]provision.Person{{Anchor: "unlinked", Kept: []byte(`{}`)}})
	})
	newLane(l.T, l.s).known("p00")
	all := must(connectedPeople(l.Context(), l.s, l.job.PK))(l)
	if len(all) != len(anchors) {
		l.Fatalf("%d are linked, want %d", len(all), len(anchors))
	}
	for i, p := range all {
		if p.Anchor != anchors[i] || p.ObjectID != ids[i] || p.Kept != nil || !p.Enabled || i > 0 && p.Place <= all[i-1].Place {
			l.Errorf("place %d is %+v", i, p)
		}
	}
	seen := map[string]int{}
	for after, step := int64(0), 0; ; step++ {
		page := must(l.s.Connected(l.Context(), l.job.PK, after, 5))(l)
		if len(page) == 0 {
			break
		}
		for _, p := range page {
			seen[p.Anchor]++
			after = p.Place
		}
		if step == 0 {
			l.unit(func(u provision.Unit) error {
				return errors.Join(u.Link("p01", ""), u.Link("p07", ""), u.Link("unlinked", ids[7]))
			})
			l.known("late")
			l.unit(func(u provision.Unit) error { return u.Link("p02", uuid.NewString()) })
		}
	}
	for _, a := range anchors {
		if want := map[bool]int{true: 1}[a != "p07"]; seen[a] != want {
			l.Errorf("%s comes %d times, want %d", a, seen[a], want)
		}
	}
	l.balance()
}

// removeAll removes the job's rows, limit at a time.
func (l *lane) removeAll(limit int) {
	l.Helper()
	for steps, done := 0, false; !done; steps++ {
		if steps == 1000 {
			l.Fatal("there is no end")
		}
		if err := l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK, Free: true}, func(u provision.Unit) (err error) {
			done, err = u.Remove(limit)
			return err
		}); err != nil {
			l.Fatal(err)
		}
	}
}

// fill gives a job something of everything.
func (l *lane) fill() {
	l.Helper()
	l.known("a", "b", "c", "d", "e")
	l.pend(provision.PendingHeld, "a", "x")
	l.pend(provision.PendingRetry, "b", "y", "z")
	l.endCycle(noon)
	l.accept(2)
	l.purges(l.position)
	l.accept(1)
	l.unit(func(u provision.Unit) error {
		var errs []error
		for _, r := range []provision.PendingReference{{Anchor: "a", To: "b"}, {Anchor: "b", To: "none"}, {Anchor: "c", To: "gone"}} {
			r.Attribute = "manager"
			errs = append(errs, u.PutReference(r))
		}
		reported := provision.PendingReference{Anchor: "c", Attribute: "manager", To: "gone"}
		return errors.Join(append(errs, u.EndReference(reported, false), u.CountUnread(map[string]int64{"nickName": 1}), u.BeginReevaluation(noon),
			u.Append([]provision.LogEntry{l.entry(1, 0)}), u.PutCondition(provision.Condition{SuccessiveFailures: 3}))...)
	})
}

// remove: all is gone but the log and the job's name; it may stop and go on anywhere, and once more.
func (l *lane) remove() {
	for _, limit := range []int{1, 2, 3, 1000} {
		l := newLane(l.T, l.s)
		l.fill()
		seq := l.lastSeq()
		ids := l.ids
		l.removeAll(limit)
		l.removeAll(limit)
		for i, p := range l.asked("a", "b", "x") {
			if p != nil {
				l.Errorf("person %d is %+v", i, p)
			}
		}
		js := must(l.s.JobStatus(l.Context(), l.job.PK))(l)
		if js.Queued+js.Users+js.Enabled+js.Held+js.Staged+js.Retrying != 0 || len(js.TotalCounts)+len(js.CycleCounts) != 0 || js.Reevaluation != nil || js.Condition.SuccessiveFailures != 0 {
			l.Errorf("status is %+v", js)
		}
		for _, id := range ids {
			if _, err := l.s.UploadStatus(l.Context(), l.job.PK, id); !errors.Is(err, provision.ErrNotFound) {
				l.Errorf("an upload: %v", err)
			}
		}
		lane := must(l.s.Lane(l.Context(), l.job.PK))(l)
		if lane.Waits || lane.Unjudged || lane.Approved || lane.Refused || !lane.Due.IsZero() {
			l.Errorf("lane is %+v", lane)
		}
		if n := len(must(l.s.UnreadPaths(l.Context(), l.job.PK))(l)) + len(must(pendingRecords(l.Context(), l.s, l.job.PK, provision.PendingQuery{}))(l)) +
			len(must(connectedPeople(l.Context(), l.s, l.job.PK))(l)) + len(must(l.s.PeopleAfter(l.Context(), l.job.PK, 0, 10))(l)); n != 0 {
			l.Errorf("%d rows are left", n)
		}
		if page := l.query(provision.LogQuery{JobPK: l.job.PK, Limit: 10, Hidden: true}); len(page.Entries) != 1 || l.lastSeq() != seq {
			l.Errorf("%d entries of the log are left", len(page.Entries))
		}
		var refs []provision.PendingReference
		l.position = at(l)
		l.unit(func(u provision.Unit) (err error) {
			ready, err1 := u.ReadyReferences(noon, 10)
			unreported, err2 := u.UnreportedReferences(10)
			refs = append(ready, unreported...)
			return errors.Join(err1, err2)
		})
		if len(refs) != 0 {
			l.Errorf("references are left: %+v", refs)
		}
		// An anchor that was removed can be stored again, as somebody new; nothing of the old one is left.
		l.ids = nil
		l.known("a", "b")
		l.unit(func(u provision.Unit) error {
			return u.PutReference(provision.PendingReference{Anchor: "d", Attribute: "manager", To: "a"})
		})
		if p := l.pendingOf("a"); p != nil {
			l.Errorf("what was pending is %+v", p)
		}
		if js := must(l.s.JobStatus(l.Context(), l.job.PK))(l); js.Users != 2 || js.Enabled != 2 {
			l.Errorf("status is %+v", js)
		}
	}
}

// removeBeside: while a job is removed others go on, and nothing of theirs is touched.
func (l *lane) removeBeside() {
	l.fill()
	before := l.facts()
	for _, limit := range []int{1, 3, 5, 8, 13} {
		gone := newLane(l.T, l.s)
		gone.fill()
		third := newLane(l.T, l.s)
		for steps, done := 0, false; !done; steps++ {
			if err := l.s.Unit(l.Context(), provision.Fence{JobPK: gone.job.PK, Free: true}, func(u provision.Unit) (err error) {
				done, err = u.Remove(limit)
				return err
			}); err != nil || steps > 1000 {
				l.Fatal(steps, err)
			}
			// A store may give the places of people who are gone to somebody else, with whatever was pending there.
			third.pend(provision.PendingHeld, fmt.Sprint("p", steps))
			third.balance()
		}
		for number := range third.ids {
			if us := third.status(int64(number + 1)); us.Counts[provision.EndHeld] != 1 {
				l.Errorf("an upload of another job is %+v", us)
			}
		}
	}
	l.balance()
	if after := l.facts(); after != before {
		l.Errorf("another job is\n%s, was\n%s", after, before)
	}
}

// facts writes down what is known of a job, but for its log.
func (l *lane) facts() string {
	l.Helper()
	var b strings.Builder
	for _, id := range l.ids {
		us := must(l.s.UploadStatus(l.Context(), l.job.PK, id))(l)
		purge := us.Purge
		us.Purge = nil
		fmt.Fprintf(&b, "%+v %+v\n", *us, purge)
	}
	js := must(l.s.JobStatus(l.Context(), l.job.PK))(l)
	redo := js.Reevaluation
	js.Reevaluation = nil
	fmt.Fprintf(&b, "%+v\n%+v\n%+v\n", *js, redo, must(pendingRecords(l.Context(), l.s, l.job.PK, provision.PendingQuery{}))(l))
	fmt.Fprintf(&b, "%+v\n%+v\n", must(l.s.PeopleAfter(l.Context(), l.job.PK, 0, 100))(l), must(l.s.UnreadPaths(l.Context(), l.job.PK))(l))
	l.unit(func(u provision.Unit) error {
		ready, err1 := u.ReadyReferences(noon, 10)
		unreported, err2 := u.UnreportedReferences(10)
		fmt.Fprintf(&b, "%+v\n%+v\n", ready, unreported)
		return errors.Join(err1, err2)
	})
	return b.String()
}

// freeFences: a Unit that claims no lane commits wherever the lane is, also one of no job.
func (l *lane) freeFences() {
	l.accept(1)
	l.take(1, provision.EndCreated)
	app := &provision.App{ServicePrincipalID: uuid.New(), DisplayName: "HR"}
	for i, f := range []provision.Fence{{JobPK: l.job.PK, Free: true}, {JobPK: l.job.PK, Position: 99, Free: true}, {Free: true}} {
		app.DisplayName = fmt.Sprint("HR ", i)
		if err := l.s.Unit(l.Context(), f, func(u provision.Unit) error {
			return errors.Join(u.PutApp(app), u.Audit(provision.Audit{Time: noon, Activity: "x"}))
		}); err != nil {
			l.Errorf("fence %+v: %v", f, err)
		}
		if apps := must(l.s.Apps(l.Context()))(l); len(apps) != 1 || apps[0].DisplayName != app.DisplayName {
			l.Errorf("fence %+v left %+v", f, apps)
		}
	}
	if p := at(l); p != 1 {
		l.Errorf("position is %d", p)
	}
	// One that claims a lane needs a job.
	for _, position := range []int64{0, -1} {
		if err := l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK + 99, Position: position}, func(provision.Unit) error { return nil }); !errors.Is(err, provision.ErrFenced) {
			l.Errorf("the lane of no job at %d: %v, want ErrFenced", position, err)
		}
	}
}

// apps are kept in the order of their creation, and replaced as a whole.
func (l *lane) apps() {
	var apps []*provision.App
	for i := range 5 {
		apps = append(apps, &provision.App{ServicePrincipalID: uuid.New(), ApplicationID: uuid.New(), DisplayName: fmt.Sprint("App ", i)})
	}
	put := func(a *provision.App) {
		l.Helper()
		if err := l.s.Unit(l.Context(), provision.Fence{Free: true}, func(u provision.Unit) error { return u.PutApp(a) }); err != nil {
			l.Fatal(err)
		}
	}
	for _, a := range apps {
		put(a)
	}
	apps[1].DisplayName = "Payroll"
	apps[1].Secrets = []provision.KeyValue{{Key: provision.SecretNotifications, Value: `{"Enabled":true}`}, {Key: "BaseAddress"}}
	put(apps[1])
	if got := must(l.s.Apps(l.Context()))(l); !reflect.DeepEqual(got, apps) {
		l.Errorf("apps are %+v", got)
	}
}

// condition comes back as it was put, to a Unit, in the Lane and in the status.
func (l *lane) condition() {
	at := noon.UTC()
	place := int64(7)
	want := provision.Condition{
		Last:               &provision.Execution{Cycle: 3, State: provision.ExecutionEntryErrors, Began: at, Ended: at.Add(1000), Counts: map[provision.End]int64{provision.EndFailed: 2}, References: 1},
		SuccessiveFailures: 2, SteadyFirst: at, SteadyLast: at, Unreachable: at, Unlink: &place, Restarted: true,
		Quarantine: &provision.Quarantine{Reason: provision.QuarantineDeletes, Code: "c", Message: "m", Actionable: true, SeriesBegan: at, CurrentBegan: at, SeriesCount: 4, NextAttempt: at},
		Window:     provision.Window{Slots: []provision.Slot{{Minute: 1, Effects: 2, Records: 3, Failures: 4, References: 5}}, Linked: 9},
	}
	for _, want := range []provision.Condition{want, {}} {
		l.unit(func(u provision.Unit) error { return u.PutCondition(want) })
		var got provision.Condition
		l.unit(func(u provision.Unit) (err error) { got, err = u.Condition(); return err })
		for i, got := range []provision.Condition{got, must(l.s.Lane(l.Context(), l.job.PK))(l).Condition, must(l.s.JobStatus(l.Context(), l.job.PK))(l).Condition} {
			if !reflect.DeepEqual(got, want) {
				l.Errorf("condition, read in way %d, is\n%+v, want\n%+v", i, got, want)
			}
		}
	}
	newLane(l.T, l.s).unit(func(u provision.Unit) error { return u.PutCondition(want) })
	if got := must(l.s.Lane(l.Context(), l.job.PK))(l).Condition; !reflect.DeepEqual(got, provision.Condition{}) {
		l.Errorf("the condition of another job is of this one: %+v", got)
	}
}

// reevaluation: one at a time, under growing numbers; whoever goes on with one that has begun anew is told.
func (l *lane) reevaluation() {
	latest := func() *provision.Reevaluation {
		l.Helper()
		return must(l.s.Reevaluation(l.Context(), l.job.PK))(l)
	}
	if r := latest(); r != nil {
		l.Errorf("re-evaluation is %+v", r)
	}
	l.known("a", "b", "c")
	begin := func() provision.Reevaluation {
		l.Helper()
		l.unit(func(u provision.Unit) error { return u.BeginReevaluation(noon) })
		return *latest()
	}
	first := begin()
	if first.Number != 1 || first.Cursor != 0 || !first.Began.Equal(noon) || !first.Ended.IsZero() || first.Evaluated != 0 || len(first.Ends) != 0 {
		l.Errorf("re-evaluation is %+v", first)
	}
	people := must(l.s.PeopleAfter(l.Context(), l.job.PK, 0, 2))(l)
	if len(people) != 2 || people[0].Anchor != "a" || string(people[0].Kept) != `{"externalId":"k"}` {
		l.Fatalf("people are %+v", people)
	}
	step := first
	step.Cursor, step.Evaluated, step.Ends = people[1].Place, 2, map[provision.End]int64{provision.EndUpdated: 2}
	l.unit(func(u provision.Unit) error { return u.Reevaluated(step) })
	if r := latest(); !reflect.DeepEqual(r.Ends, step.Ends) || r.Cursor != step.Cursor || r.Evaluated != 2 || !r.Ended.IsZero() {
		l.Errorf("re-evaluation is %+v, want %+v", r, step)
	}
	if rest := must(l.s.PeopleAfter(l.Context(), l.job.PK, step.Cursor, 10))(l); len(rest) != 1 || rest[0].Anchor != "c" {
		l.Errorf("the rest is %+v", rest)
	}
	second := begin()
	if second.Number != 2 || second.Cursor != 0 || second.Evaluated != 0 || len(second.Ends) != 0 {
		l.Errorf("re-evaluation is %+v", second)
	}
	err := l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK}, func(u provision.Unit) error { return u.Reevaluated(step) })
	if !errors.Is(err, provision.ErrFenced) {
		l.Errorf("going on with the first: %v, want ErrFenced", err)
	}
	second.Ended = noon.Add(time.Hour)
	l.unit(func(u provision.Unit) error { return u.Reevaluated(second) })
	if r := latest(); !r.Ended.Equal(second.Ended) {
		l.Errorf("re-evaluation is %+v", r)
	}
	if third := begin(); third.Number != 3 || !third.Ended.IsZero() {
		l.Errorf("re-evaluation is %+v", third)
	}
}

// steerRollback does everything to a job in a Unit that fails: all is as it was.
func (l *lane) steerRollback() {
	l.fill()
	object := uuid.NewString()
	all := func(u provision.Unit) error {
		paused := *l.job
		paused.State = provision.JobPaused
		_, err1 := u.Purge(l.position, provision.Purge{Time: noon})
		err2 := u.Link("c", object)
		_, _, err3 := u.Unlink(0, 2)
		return errors.Join(err1, err2, err3, u.PutJob(&paused), u.PutApp(&provision.App{ServicePrincipalID: uuid.New()}), u.BeginReevaluation(noon),
			u.PutCondition(provision.Condition{Restarted: true}), u.Audit(provision.Audit{Time: noon}), u.Notify(provision.Notice{Kind: provision.NoticeDisabled, NextAttempt: noon}))
	}
	beside := func() string {
		l.Helper()
		jobs := must(l.s.Jobs(l.Context()))(l)
		return fmt.Sprintln(l.facts(), jobs[0].State, len(must(l.s.Apps(l.Context()))(l)), len(must(l.s.QueryAudit(l.Context(), provision.AuditQuery{}))(l).Entries),
			len(must(l.s.Notices(l.Context(), l.job.PK, 10))(l)), at(l))
	}
	fails := func(do func(provision.Unit) error) {
		l.Helper()
		before, failure := beside(), errors.New("failure")
		err := l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK, Position: l.position}, func(u provision.Unit) error { return errors.Join(do(u), failure) })
		if err == nil || err.Error() != failure.Error() {
			l.Errorf("error is %v", err)
		}
		if after := beside(); after != before {
			l.Errorf("a failed Unit left\n%s, before\n%s", after, before)
		}
		l.balance()
	}
	fails(all)
	fails(func(u provision.Unit) error {
		_, err := u.Remove(2)
		return err
	})
	before := beside()
	l.unit(all)
	l.position = at(l)
	if beside() == before {
		l.Error("a Unit that succeeded left nothing")
	}
	l.balance()
}

// audit: what was done to a job is noted with it, or not at all; its entries come back as they were.
func (l *lane) audit() {
	old := "Active"
	a := provision.Audit{ID: uuid.New(), Time: noon, JobID: l.job.ID, TargetID: "t", TargetName: "HR", Activity: "Disable/pause provisioning configuration", OperationType: "Update",
		Actor: provision.Actor{Kind: provision.ActorUser, ID: "u", Name: "Ada"}, Reason: "why", Modified: []provision.Modification{{Attribute: "state", Old: &old}}, Details: []provision.KeyValue{{Key: "k", Value: "v"}}}
	b := a
	b.ID, b.Failed = uuid.New(), true
	l.unit(func(u provision.Unit) error { return u.Audit(a) })
	if err := l.s.PutJob(l.Context(), l.job, b); err != nil {
		l.Fatal(err)
	}
	page := must(l.s.QueryAudit(l.Context(), provision.AuditQuery{}))(l)
	if len(page.Entries) != 2 || page.More {
		l.Fatalf("audit log is %+v", page)
	}
	for i, want := range []provision.Audit{b, a} {
		got := page.Entries[i]
		if !got.Time.Equal(want.Time) || got.Seq == 0 {
			l.Errorf("entry is %+v", got)
		}
		if got.Seq, got.Time = 0, want.Time; !reflect.DeepEqual(got, want) {
			l.Errorf("entry is\n%+v, want\n%+v", got, want)
		}
	}
	if page.Entries[0].Seq <= page.Entries[1].Seq {
		l.Error("the newer entry has the lower place")
	}
	// A job that cannot be stored leaves no entry.
	twin := *l.job
	twin.PK = 0
	if err := l.s.PutJob(l.Context(), &twin, a); err == nil || twin.PK != 0 {
		l.Errorf("a second job with the id %s: %v, key %d", twin.ID, err, twin.PK)
	}
	if page := must(l.s.QueryAudit(l.Context(), provision.AuditQuery{}))(l); len(page.Entries) != 2 {
		l.Errorf("%d entries", len(page.Entries))
	}
}

// audits pages through a query.
func (l *lane) audits(q provision.AuditQuery) (all []provision.Audit) {
	l.Helper()
	for range 10_000 {
		page := must(l.s.QueryAudit(l.Context(), q))(l)
		if q.Limit > 0 && len(page.Entries) > q.Limit {
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
	}
	l.Fatal("the audit log has no end")
	return nil
}

// auditQueries compares the store's answers with what a query says of each entry, and bounds what one call looks at.
func (l *lane) auditQueries() {
	const n = 12_000
	l.unit(func(u provision.Unit) error {
		for i := range n {
			a := provision.Audit{Time: noon.Add(time.Duration(i/2) * time.Second), Activity: fmt.Sprint("x", i%3), Reason: fmt.Sprint(i)}
			if i == 50 || i == n-50 {
				a.Activity = "rare"
			}
			if err := u.Audit(a); err != nil {
				return err
			}
		}
		return nil
	})
	all := l.audits(provision.AuditQuery{Ascending: true, Limit: 5000})
	if len(all) != n {
		l.Fatalf("%d entries, want %d", len(all), n)
	}
	mid := all[n/2]
	for _, q := range []provision.AuditQuery{
		{}, {From: mid.Time}, {To: mid.Time}, {From: all[10].Time, To: all[60].Time}, {From: mid.Time, To: mid.Time}, {From: mid.Time.Add(1)}, {To: mid.Time.Add(1)},
		{From: noon.Add(-time.Hour)}, {To: noon.Add(-time.Hour)}, {From: noon.Add(99 * time.Hour)}, {To: noon.Add(99 * time.Hour)},
		{Activity: "rare"}, {Activity: "x1"}, {Activity: "none"}, {Activity: "rare", From: mid.Time}, {Activity: "rare", To: mid.Time},
		{Before: mid.Seq}, {After: mid.Seq}, {Before: mid.Seq, After: all[n/2-9].Seq}, {Before: all[0].Seq}, {After: all[n-1].Seq},
		{Match: func(a *provision.Audit) bool { return a.Reason == "7" || a.Reason == "11990" }}, {Match: func(*provision.Audit) bool { return false }},
	} {
		want := auditsOf(all, q)
		for _, ascending := range []bool{false, true} {
			if q.Ascending, q.Limit = ascending, 3000; ascending {
				slices.Reverse(want)
			}
			got := l.audits(q)
			if len(got) != len(want) || !slices.EqualFunc(got, want, func(a, b provision.Audit) bool { return a.Seq == b.Seq }) {
				l.Errorf("%+v: %d entries, want %d", q, len(got), len(want))
			}
		}
	}
	for _, q := range []provision.AuditQuery{{Limit: 7}, {Limit: 7, Ascending: true}, {Limit: 1, Activity: "rare"}, {Limit: 0}} {
		page := must(l.s.QueryAudit(l.Context(), q))(l)
		if want := max(q.Limit, 1); !page.More || q.Limit > 0 && len(page.Entries) != want {
			l.Errorf("%+v: %d entries, and more: %t", q, len(page.Entries), page.More)
		}
	}
	// One call looks at a bounded number of entries, whatever it seeks.
	looked := 0
	page := must(l.s.QueryAudit(l.Context(), provision.AuditQuery{Limit: 10, Match: func(*provision.Audit) bool { looked++; return false }}))(l)
	if looked >= n || len(page.Entries) != 0 || !page.More {
		l.Errorf("one call has looked at %d entries, and says that there is more: %t", looked, page.More)
	}
}

// auditsOf is what a query promises, newest first.
func auditsOf(all []provision.Audit, q provision.AuditQuery) (s []provision.Audit) {
	for _, a := range all {
		if (q.From.IsZero() || !a.Time.Before(q.From)) && (q.To.IsZero() || a.Time.Before(q.To)) && (q.Activity == "" || a.Activity == q.Activity) &&
			(q.Before == 0 || a.Seq < q.Before) && (q.After == 0 || a.Seq > q.After) && (q.Match == nil || q.Match(&a)) {
			s = append(s, a)
		}
	}
	slices.Reverse(s)
	return s
}

// notices of a job come newest first, as they were made.
func (l *lane) notices() {
	other := newLane(l.T, l.s)
	want := provision.Notice{Kind: provision.NoticeDeletes, Time: noon, JobPK: l.job.PK, JobID: l.job.ID, AppID: "app", AppName: "HR", Recipients: []string{"hr-it@acme.example"},
		Quarantine: &provision.Quarantine{Reason: provision.QuarantineDeletes, SeriesBegan: noon}, Held: 1, Executed: 2, Threshold: 3, Percent: 4.5, Linked: 5, Window: time.Minute, Failed: 6, Records: 7, NextAttempt: noon}
	l.unit(func(u provision.Unit) error { return u.Notify(want) })
	for i := range 3 {
		other.unit(func(u provision.Unit) error {
			return u.Notify(provision.Notice{Kind: provision.NoticeRecovered, Held: int64(i)})
		})
	}
	l.unit(func(u provision.Unit) error { return u.Notify(provision.Notice{Kind: provision.NoticeDisabled}) })
	got := must(l.s.Notices(l.Context(), l.job.PK, 10))(l)
	if len(got) != 2 || got[0].Kind != provision.NoticeDisabled || !got[0].NextAttempt.IsZero() || got[0].ID == got[1].ID {
		l.Fatalf("notices are %+v", got)
	}
	n := got[1]
	if n.ID == 0 || !n.Time.Equal(want.Time) || !n.NextAttempt.Equal(want.NextAttempt) || !n.Quarantine.SeriesBegan.Equal(noon) {
		l.Errorf("notice is %+v", n)
	}
	n.ID, n.Time, n.NextAttempt, n.Quarantine = 0, want.Time, want.NextAttempt, want.Quarantine
	if !reflect.DeepEqual(n, want) {
		l.Errorf("notice is\n%+v, want\n%+v", n, want)
	}
	if two := must(l.s.Notices(l.Context(), other.job.PK, 2))(l); len(two) != 2 || two[0].Held != 2 || two[1].Held != 1 {
		l.Errorf("the last two of another job are %+v", two)
	}
	if none := must(l.s.Notices(l.Context(), l.job.PK+99, 2))(l); len(none) != 0 {
		l.Errorf("notices of no job: %+v", none)
	}
}

// appEdits shows that of two who have read an app and change it the second is told.
func (l *lane) appEdits() {
	put := func(a provision.App) (provision.App, error) {
		err := l.s.Unit(l.Context(), provision.Fence{Free: true}, func(u provision.Unit) error { return u.PutApp(&a) })
		return a, err
	}
	a, err := put(provision.App{ServicePrincipalID: uuid.New(), ApplicationID: uuid.New(), DisplayName: "HR"})
	if err != nil {
		l.Fatal(err)
	}
	first, second := a, *must(l.s.Apps(l.Context()))(l)[0]
	first.DisplayName, second.Secrets = "Payroll", []provision.KeyValue{{Key: "BaseAddress"}}
	if first, err = put(first); err != nil {
		l.Error(err)
	}
	if _, err := put(second); !errors.Is(err, provision.ErrFenced) {
		l.Errorf("a change of an app that was read before another change: %v", err)
	}
	if _, err := put(provision.App{ServicePrincipalID: a.ServicePrincipalID, DisplayName: "new"}); !errors.Is(err, provision.ErrFenced) {
		l.Errorf("an app that was not known, and is there: %v", err)
	}
	first.DisplayName = "HR"
	if _, err := put(first); err != nil {
		l.Error(err)
	}
}
