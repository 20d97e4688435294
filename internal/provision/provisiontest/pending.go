package provisiontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// imbalance returns how what a store says of a job contradicts itself: each upload accounts for all of its records, and
// the job's counters are the sums of what there is. ids are those of all its uploads.
func imbalance(ctx context.Context, s provision.Store, job int64, ids []uuid.UUID) error {
	js, err := s.JobStatus(ctx, job)
	if err != nil {
		return err
	}
	var wrong []error
	expect := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			wrong = append(wrong, fmt.Errorf("%s is %v, want %v", what, got, want))
		}
	}
	total := map[provision.End]int64{}
	for _, id := range ids {
		us, err := s.UploadStatus(ctx, job, id)
		if err != nil {
			return err
		}
		sum, open := 0, 0
		for end, n := range us.Counts {
			total[end] += int64(n)
			if sum += n; !end.Final() {
				open += n
			}
		}
		expect(fmt.Sprintf("the sum of upload %d, %v,", us.Number, us.Counts), sum, us.Operations)
		if us.State == provision.UploadSettled {
			expect(fmt.Sprintf("what is open of upload %d, which is settled,", us.Number), open, 0)
		}
		expect(fmt.Sprintf("upload %d: settled", us.Number), us.State == provision.UploadSettled, !us.Settled.IsZero())
	}
	queued := total[provision.EndQueued]
	delete(total, provision.EndQueued)
	expect("queued", js.Queued, queued)
	expect("the total", nonzero(js.TotalCounts), nonzero(total))

	kinds := map[provision.PendingKind]int64{}
	var staged, ofUploads int64
	for _, p := range must2(pendingRecords(ctx, s, job, provision.PendingQuery{})) {
		kinds[p.Kind]++
		if p.Staged {
			staged++
		}
		if p.Upload > 0 {
			ofUploads++
		}
	}
	expect("held", js.Held, kinds[provision.PendingHeld])
	expect("retrying", js.Retrying, kinds[provision.PendingRetry])
	expect("staged", js.Staged, staged)
	expect("what uploads say is pending", total[provision.EndHeld]+total[provision.EndRetrying], ofUploads)

	linked, enabled := int64(0), int64(0)
	for _, p := range must2(connectedPeople(ctx, s, job)) {
		if linked++; p.Enabled {
			enabled++
		}
	}
	expect("linked", js.Users, linked)
	expect("enabled", js.Enabled, enabled)
	return errors.Join(wrong...)
}

// must2 returns the value of a call that reads; an error leaves the value short, which the comparison shows.
func must2[T any](v T, _ error) T { return v }

// nonzero returns the counts that are not zero.
func nonzero[N int | int64](counts map[provision.End]N) map[provision.End]N {
	all := maps.Clone(counts)
	maps.DeleteFunc(all, func(_ provision.End, n N) bool { return n == 0 })
	return all
}

// pendingRecords pages through all pending records that a query selects, three at a time.
func pendingRecords(ctx context.Context, s provision.Store, job int64, q provision.PendingQuery) (all []provision.Pending, err error) {
	q.Limit = 3
	for {
		page, err := s.PendingRecords(ctx, job, q)
		if err != nil {
			return all, err
		}
		all = append(all, page.Records...)
		if !page.More {
			return all, nil
		}
		q.After = page.Next
	}
}

// connectedPeople pages through all linked people, three at a time.
func connectedPeople(ctx context.Context, s provision.Store, job int64) (all []provision.KeptPerson, err error) {
	for after := int64(0); ; {
		page, err := s.Connected(ctx, job, after, 3)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all, after = append(all, page...), page[len(page)-1].Place
	}
}

// balance fails the test if what the store says of the job contradicts itself.
func (l *lane) balance() {
	l.Helper()
	if err := imbalance(l.Context(), l.s, l.job.PK, l.ids); err != nil {
		l.Errorf("the job does not balance: %v", err)
	}
}

// pend accepts an upload of these people's records, and leaves all of them pending; who is not known has an enabled
// account from now on.
func (l *lane) pend(kind provision.PendingKind, anchors ...string) []provision.Pending {
	l.Helper()
	a := l.accept(len(anchors))
	cycle := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	records := make([]provision.Pending, len(anchors))
	l.unit(func(u provision.Unit) error {
		links, err := u.Links(anchors)
		if err != nil {
			return err
		}
		var errs []error
		for i, anchor := range anchors {
			old, err := u.Pending(anchor)
			if errs = append(errs, err); old != nil {
				errs = append(errs, u.EndPending(*old, provision.EndSuperseded))
			}
			if links[i] == "" {
				links[i] = uuid.NewString()
			}
			records[i] = provision.Pending{Kind: kind, Anchor: anchor, Name: "N " + anchor, Upload: a.Number, Index: i, BulkID: fmt.Sprint("b", i), Cycle: cycle.Number,
				Action: provision.ActionDisable, ObjectID: links[i], ObjectName: anchor + "@acme.example", Since: noon, Due: noon.Add(time.Duration(i) * time.Minute), Attempts: 2,
				Code: "c", Attribute: "mail", Reason: "r", Advice: "ad", Record: fmt.Appendf(nil, `{"externalId":%q}`, anchor)}
			errs = append(errs, u.PutPeople([]provision.Person{{Anchor: anchor, ObjectID: links[i], Enabled: true, Kept: []byte(`{}`), Pending: kind}}), u.PutPending(records[i]))
		}
		return errors.Join(append(errs, u.Advance([]provision.UploadResult{{Number: a.Number, Counts: map[provision.End]int{kind.End(): len(anchors)}}}, cycle.Number, noon))...)
	})
	l.position = a.Number
	return records
}

// endCycle closes the open cycle.
func (l *lane) endCycle(at time.Time) {
	l.Helper()
	cycle := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	l.unit(func(u provision.Unit) error { return u.CloseCycle(cycle, at) })
}

// status returns that of the upload with a number.
func (l *lane) status(number int64) provision.UploadStatus {
	l.Helper()
	return *must(l.s.UploadStatus(l.Context(), l.job.PK, l.ids[number-1]))(l)
}

// pendingOf returns the pending record of a person as a Unit and as a reader see it.
func (l *lane) pendingOf(anchor string) *provision.Pending {
	l.Helper()
	var p *provision.Pending
	l.unit(func(u provision.Unit) (err error) { p, err = u.Pending(anchor); return err })
	page := must(l.s.PendingRecords(l.Context(), l.job.PK, provision.PendingQuery{Anchor: anchor}))(l)
	if page.More || len(page.Records) > 1 || (p == nil) != (len(page.Records) == 0) || p != nil && !samePending(*p, page.Records[0]) {
		l.Errorf("pending of %s are %+v for a Unit and %+v for a reader", anchor, p, page.Records)
	}
	return p
}

// samePending compares what two pending records say, times of any zone.
func samePending(a, b provision.Pending) bool {
	same := a.Since.Equal(b.Since) && a.Due.Equal(b.Due)
	a.Since, a.Due, a.Place = b.Since, b.Due, b.Place
	return same && reflect.DeepEqual(a, b)
}

// pending: a person has one pending record at most, and it comes back as it was put.
func (l *lane) pending() {
	if p := l.pendingOf("nobody"); p != nil {
		l.Errorf("pending of somebody unknown: %+v", p)
	}
	records := l.pend(provision.PendingHeld, "a", "b", "c")
	l.balance()
	for _, want := range records {
		if got := l.pendingOf(want.Anchor); got == nil || !samePending(*got, want) {
			l.Errorf("pending is\n%+v, want\n%+v", got, want)
		}
	}
	// A newer form of it takes its place; a record that is the person's kept one is not stored twice.
	b := records[1]
	b.Kind, b.Due, b.Attempts, b.Reason, b.Record = provision.PendingRetry, noon.Add(time.Hour), 3, "timeout", nil
	l.unit(func(u provision.Unit) error { return u.PutPending(b) })
	if got := l.pendingOf("b"); got == nil || !samePending(*got, b) {
		l.Errorf("pending is\n%+v, want\n%+v", got, b)
	}
	people := must(l.s.People(l.Context(), l.job.PK, sought("a", "b", "c")))(l)
	for i, want := range []provision.PendingKind{provision.PendingHeld, provision.PendingRetry, provision.PendingHeld} {
		if people[i].Pending != want {
			l.Errorf("the person %s has pending %d, want %d", people[i].Anchor, people[i].Pending, want)
		}
	}
	// What is pending ends once.
	for range 2 {
		l.unit(func(u provision.Unit) error { return u.EndPending(b, provision.EndUpdated) })
		if got := l.pendingOf("b"); got != nil {
			l.Errorf("pending after its end: %+v", got)
		}
		if p := must(l.s.People(l.Context(), l.job.PK, sought("b")))(l)[0]; p.Pending != provision.PendingNone {
			l.Errorf("the person has pending %d after its end", p.Pending)
		}
		l.balance()
		if n := l.status(1).Counts[provision.EndUpdated]; n != 1 {
			l.Errorf("%d records are updated", n)
		}
	}
	l.unit(func(u provision.Unit) error {
		return u.EndPending(provision.Pending{Anchor: "nobody"}, provision.EndUpdated)
	})
	// Only of a person who is stored: the error can reach a log, so it says whose by the record's place alone.
	err := l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK, Position: l.position}, func(u provision.Unit) error {
		return u.PutPending(provision.Pending{Kind: provision.PendingHeld, Anchor: "nobody", Upload: 1})
	})
	if !errors.Is(err, provision.ErrNotFound) || strings.Contains(err.Error(), "nobody") {
		l.Errorf("pending record of somebody unknown: %v", err)
	}
	l.balance()
}

// pendingCounts moves records from count to count; all counts follow, wherever a record is counted.
func (l *lane) pendingCounts() {
	held, retry := provision.PendingHeld, provision.PendingRetry
	type counts = map[provision.End]int
	records := l.pend(held, "a", "b", "c", "d", "e", "f")
	check := func(number int64, want counts) {
		l.Helper()
		if got := l.status(number).Counts; !reflect.DeepEqual(got, want) {
			l.Errorf("counts of upload %d are %v, want %v", number, got, want)
		}
		l.balance()
	}
	cycleCounts := func(cycle int64) map[provision.End]int64 {
		l.Helper()
		var got map[provision.End]int64
		l.unit(func(u provision.Unit) (err error) { got, err = u.CycleCounts(cycle); return err })
		return got
	}
	change := func(p provision.Pending, change func(*provision.Pending)) {
		l.Helper()
		change(&p)
		l.unit(func(u provision.Unit) error { return u.PutPending(p) })
	}
	check(1, counts{provision.EndHeld: 6})
	change(records[0], func(p *provision.Pending) { p.Kind = retry })
	change(records[1], func(p *provision.Pending) { p.Staged = true })
	check(1, counts{provision.EndHeld: 5, provision.EndRetrying: 1})
	change(records[0], func(p *provision.Pending) { p.Kind = held })
	change(records[1], func(p *provision.Pending) { p.Kind = retry })
	check(1, counts{provision.EndHeld: 5, provision.EndRetrying: 1})
	// Several moves of one upload in one Unit, seen inside it at once.
	l.unit(func(u provision.Unit) error {
		err := errors.Join(u.EndPending(records[2], provision.EndDisabled), u.EndPending(records[3], provision.EndRejected))
		c, e := u.CycleCounts(1)
		want := map[provision.End]int64{provision.EndHeld: 3, provision.EndRetrying: 1, provision.EndDisabled: 1, provision.EndRejected: 1}
		if e != nil || !reflect.DeepEqual(c, want) {
			err = errors.Join(err, fmt.Errorf("counts inside the Unit are %v, want %v: %w", c, want, e))
		}
		n, e := u.Held()
		if e != nil || n != 3 {
			err = errors.Join(err, fmt.Errorf("%d are held, want 3: %w", n, e))
		}
		return err
	})
	check(1, counts{provision.EndHeld: 3, provision.EndRetrying: 1, provision.EndDisabled: 1, provision.EndRejected: 1})
	// What ends in a later cycle is counted where its upload is.
	l.endCycle(noon)
	l.pend(retry, "e", "g") // e's older record is superseded
	check(1, counts{provision.EndHeld: 2, provision.EndRetrying: 1, provision.EndDisabled: 1, provision.EndRejected: 1, provision.EndSuperseded: 1})
	check(2, counts{provision.EndRetrying: 2})
	if c := cycleCounts(2); !reflect.DeepEqual(c, map[provision.End]int64{provision.EndRetrying: 2}) {
		l.Errorf("the second cycle counts %v", c)
	}
	if c := cycleCounts(1); c[provision.EndSuperseded] != 1 || c[provision.EndHeld] != 2 {
		l.Errorf("the first cycle counts %v", c)
	}
	// With the end "" nothing is counted: the upload is about to be, as one of the same Unit.
	a := l.accept(1)
	l.unit(func(u provision.Unit) error {
		p := provision.Pending{Kind: held, Anchor: "h", Upload: a.Number, Cycle: 2, Since: noon, Due: noon}
		return errors.Join(u.PutPeople([]provision.Person{{Anchor: "h", Kept: []byte(`{}`)}}), u.PutPending(p), u.EndPending(p, ""),
			u.Advance([]provision.UploadResult{{Number: a.Number, Counts: counts{provision.EndDisabled: 1}}}, 2, noon))
	})
	l.position = a.Number
	check(a.Number, counts{provision.EndDisabled: 1})
	// What a re-evaluation holds is of no upload and of no cycle: it counts as held, and as nothing else.
	redone := provision.Pending{Kind: held, Anchor: "h", Upload: -1, Index: 7, Since: noon, Due: noon}
	l.unit(func(u provision.Unit) error { return u.PutPending(redone) })
	l.balance()
	change(redone, func(p *provision.Pending) { p.Kind = retry })
	l.balance()
	l.unit(func(u provision.Unit) error { return u.EndPending(redone, provision.EndDisabled) })
	check(a.Number, counts{provision.EndDisabled: 1})
}

// settled: an upload is settled when its cycle has closed and its last pending record has ended, whichever comes last.
func (l *lane) settled() {
	late := noon.Add(time.Hour)
	end := func(p provision.Pending, end provision.End) {
		l.Helper()
		l.unit(func(u provision.Unit) error { return u.EndPending(p, end) })
	}
	state := func(number int64, want provision.UploadState) {
		l.Helper()
		if us := l.status(number); us.State != want || us.Settled.IsZero() != (want != provision.UploadSettled) {
			l.Errorf("upload %d is %s, want %s: %+v", number, us.State, want, us)
		}
		l.balance()
	}
	// The cycle closes last.
	first := l.pend(provision.PendingHeld, "a", "b")
	end(first[0], provision.EndDisabled)
	state(1, provision.UploadDone)
	end(first[1], provision.EndUnchanged)
	state(1, provision.UploadDone)
	l.endCycle(late)
	state(1, provision.UploadSettled)
	if us := l.status(1); !us.Settled.Equal(late) {
		l.Errorf("settled at %v, want %v", us.Settled, late)
	}
	// The last record ends last; another kind of pending is no end.
	second := l.pend(provision.PendingRetry, "a", "b")
	end(second[0], provision.EndFailed)
	l.endCycle(late)
	state(2, provision.UploadDone)
	again := second[1]
	again.Kind = provision.PendingHeld
	l.unit(func(u provision.Unit) error { return u.PutPending(again) })
	state(2, provision.UploadDone)
	end(second[1], provision.EndRejected)
	state(2, provision.UploadSettled)
	settled := l.status(2).Settled
	// Both in one Unit, in both orders.
	for i, closeFirst := range []bool{true, false} {
		p := l.pend(provision.PendingRetry, "c")[0]
		cycle := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
		l.unit(func(u provision.Unit) error {
			if closeFirst {
				return errors.Join(u.CloseCycle(cycle, late), u.EndPending(p, provision.EndUpdated))
			}
			return errors.Join(u.EndPending(p, provision.EndUpdated), u.CloseCycle(cycle, late))
		})
		state(int64(3+i), provision.UploadSettled)
	}
	// A newer record ends the last one of an older upload.
	l.pend(provision.PendingHeld, "d")
	l.endCycle(late)
	state(5, provision.UploadDone)
	l.pend(provision.PendingHeld, "d")
	state(5, provision.UploadSettled)
	state(6, provision.UploadDone)
	// What is settled stays as it is.
	if us := l.status(2); !us.Settled.Equal(settled) {
		l.Errorf("upload 2 was settled at %v and is now at %v", settled, us.Settled)
	}
	if us := l.status(1); !us.Settled.Equal(late) {
		l.Errorf("upload 1 was settled at %v and is now at %v", late, us.Settled)
	}
}

// verdicts: of somebody for some or for all that have none; of the engine itself for those of whom nobody was asked.
func (l *lane) verdicts() {
	held, retry := provision.PendingHeld, provision.PendingRetry
	l.pend(held, "a", "b", "c", "d")
	l.pend(retry, "r", "s")
	staged := *l.pendingOf("c")
	staged.Staged = true
	l.unit(func(u provision.Unit) error { return u.PutPending(staged) })
	judge := func(kind provision.PendingKind, v provision.Verdict, by string, anchors []string) (n int, err error) {
		l.Helper()
		err = l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK, Position: l.position}, func(u provision.Unit) (err error) {
			n, err = u.Judge(kind, v, by, anchors)
			return err
		})
		l.balance()
		return n, err
	}
	stand := func(want string) {
		l.Helper()
		var got []string
		for _, p := range must(pendingRecords(l.Context(), l.s, l.job.PK, provision.PendingQuery{}))(l) {
			got = append(got, fmt.Sprintf("%s%d%s", p.Anchor, p.Verdict, p.By))
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != want {
			l.Errorf("verdicts are %q, want %q", s, want)
		}
	}
	unjudged := func(want int64) {
		l.Helper()
		l.unit(func(u provision.Unit) error {
			if n, err := u.CountUnjudged(); err != nil || n != want {
				return fmt.Errorf("%d are unjudged, want %d: %w", n, want, err)
			}
			return nil
		})
	}
	unjudged(3)
	// Of some: all of them or, if nothing of one waits, none, also if the Unit goes on.
	for _, anchors := range [][]string{{"a", "nobody"}, {"a", "r"}, {"nobody", "a"}} {
		l.unit(func(u provision.Unit) error {
			if n, err := u.Judge(held, provision.VerdictApproved, "Ada", anchors); n != 0 || !errors.Is(err, provision.ErrNotFound) {
				return fmt.Errorf("%d of %v are judged: %w", n, anchors, err)
			}
			return nil
		})
		stand("a0 b0 c0 d0 r0 s0")
	}
	if n, err := judge(held, provision.VerdictApproved, "Ada", []string{"a", "c", "a"}); n != 2 || err != nil {
		l.Errorf("%d are judged, %v, want 2, whoever is named twice", n, err)
	}
	stand("a1Ada b0 c1Ada d0 r0 s0")
	unjudged(2)
	// A verdict stands.
	if n, err := judge(held, provision.VerdictRejected, "Bo", []string{"a"}); n != 0 || !errors.Is(err, provision.ErrNotFound) {
		l.Errorf("%d are judged anew: %v", n, err)
	}
	if n, err := judge(held, provision.VerdictRejected, "Bo", []string{}); n != 0 || err != nil {
		l.Errorf("%d of nobody are judged: %v", n, err)
	}
	stand("a1Ada b0 c1Ada d0 r0 s0")
	// The engine spares those of whom people were asked; people decide about all.
	next := *l.pendingOf("d")
	next.Staged = true
	l.unit(func(u provision.Unit) error { return u.PutPending(next) })
	unjudged(1)
	if n, err := judge(held, provision.VerdictApproved, "", nil); n != 1 || err != nil {
		l.Errorf("the engine has judged %d: %v", n, err)
	}
	stand("a1Ada b1 c1Ada d0 r0 s0")
	if n, err := judge(provision.PendingNone, provision.VerdictPurged, "Bo", nil); n != 3 || err != nil {
		l.Errorf("%d are purged: %v", n, err)
	}
	stand("a1Ada b1 c1Ada d3Bo r3Bo s3Bo")
	if n, err := judge(provision.PendingNone, provision.VerdictPurged, "Bo", nil); n != 0 || err != nil {
		l.Errorf("%d are purged again: %v", n, err)
	}
}

// pendingSets: each set has what is to be done next, in order, and the Lane knows of it.
func (l *lane) pendingSets() {
	lane := func() provision.Lane {
		l.Helper()
		return must(l.s.Lane(l.Context(), l.job.PK))(l)
	}
	set := func(which provision.PendingSet, now time.Time, want string) {
		l.Helper()
		var got []string
		for _, p := range must(l.s.PendingPeople(l.Context(), l.job.PK, which, now, 100))(l) {
			got = append(got, p.Anchor)
			if p.Person.Anchor != p.Anchor || p.Person.ObjectID != p.ObjectID || string(p.Person.Kept) != `{}` || p.Person.Pending != p.Kind {
				l.Errorf("the person of %s is %+v", p.Anchor, p.Person)
			}
		}
		if s := strings.Join(got, " "); s != want {
			l.Errorf("set %d is %q, want %q", which, s, want)
		}
	}
	if a := lane(); a.Unjudged || a.Approved || a.Refused || !a.Due.IsZero() || !a.HeldFirst.IsZero() || !a.HeldLast.IsZero() {
		l.Errorf("the lane of an idle job is %+v", a)
	}
	l.pend(provision.PendingHeld, "a", "b", "c") // due at noon, and a minute later each
	l.pend(provision.PendingRetry, "r", "s", "t")
	if a := lane(); !a.Unjudged || a.Approved || a.Refused || !a.Due.Equal(noon) || !a.HeldFirst.Equal(noon) || !a.HeldLast.Equal(noon.Add(2*time.Minute)) {
		l.Errorf("lane is %+v", a)
	}
	set(provision.SetUnjudged, noon, "a b c")
	set(provision.SetDue, noon.Add(-1), "")
	set(provision.SetDue, noon.Add(time.Minute), "r s")
	set(provision.SetApproved, noon, "")
	set(provision.SetRefused, noon, "")
	if two := must(l.s.PendingPeople(l.Context(), l.job.PK, provision.SetDue, noon.Add(time.Hour), 2))(l); len(two) != 2 || two[0].Anchor != "r" || two[1].Anchor != "s" {
		l.Errorf("the first two are %+v", two)
	}
	staged, later := *l.pendingOf("a"), *l.pendingOf("r")
	staged.Staged, later.Due = true, noon.Add(time.Hour)
	l.unit(func(u provision.Unit) error { return errors.Join(u.PutPending(staged), u.PutPending(later)) })
	set(provision.SetUnjudged, noon, "b c")
	set(provision.SetDue, noon.Add(2*time.Hour), "s t r")
	if a := lane(); !a.HeldFirst.Equal(noon.Add(time.Minute)) || !a.Due.Equal(noon.Add(time.Minute)) {
		l.Errorf("lane is %+v", a)
	}
	l.unit(func(u provision.Unit) error {
		_, err1 := u.Judge(provision.PendingHeld, provision.VerdictApproved, "Ada", []string{"a", "b"})
		_, err2 := u.Judge(provision.PendingNone, provision.VerdictRejected, "Ada", []string{"c"})
		_, err3 := u.Judge(provision.PendingRetry, provision.VerdictPurged, "Ada", nil)
		return errors.Join(err1, err2, err3)
	})
	if a := lane(); a.Unjudged || !a.HeldFirst.IsZero() || !a.HeldLast.IsZero() || !a.Approved || !a.Refused || !a.Due.IsZero() {
		l.Errorf("lane is %+v", a)
	}
	set(provision.SetUnjudged, noon, "")
	set(provision.SetDue, noon.Add(2*time.Hour), "")
	set(provision.SetApproved, noon, "a b")
	set(provision.SetRefused, noon, "c r s t")
	for _, anchor := range strings.Fields("a b c r s t") {
		l.unit(func(u provision.Unit) error {
			return u.EndPending(provision.Pending{Anchor: anchor}, provision.EndPurged)
		})
	}
	if a := lane(); a.Approved || a.Refused {
		l.Errorf("lane is %+v", a)
	}
	l.balance()
	other := newLane(l.T, l.s)
	other.pend(provision.PendingHeld, "a")
	set(provision.SetUnjudged, noon, "")
	if lane().Unjudged {
		l.Error("what another job holds is of this one")
	}
	if _, err := l.s.Lane(l.Context(), l.job.PK+99); !errors.Is(err, provision.ErrNotFound) {
		l.Errorf("the lane of no job: %v", err)
	}
}

// pendingPages pages while rows come, change and go: what is there throughout comes exactly once.
func (l *lane) pendingPages() {
	var anchors []string
	for i := range 20 {
		anchors = append(anchors, fmt.Sprintf("p%02d", i))
	}
	l.pend(provision.PendingHeld, anchors[:10]...)
	l.pend(provision.PendingRetry, anchors[10:]...)
	newLane(l.T, l.s).pend(provision.PendingHeld, anchors...)
	for _, test := range []struct {
		q    provision.PendingQuery
		want int
	}{
		{provision.PendingQuery{}, 20}, {provision.PendingQuery{Kind: provision.PendingHeld}, 10}, {provision.PendingQuery{Kind: provision.PendingRetry}, 10},
		{provision.PendingQuery{Staged: true}, 0}, {provision.PendingQuery{Anchor: "p03"}, 1}, {provision.PendingQuery{Anchor: "p03", Kind: provision.PendingRetry}, 0},
		{provision.PendingQuery{Anchor: "p03", Staged: true}, 0}, {provision.PendingQuery{Anchor: "P03"}, 0},
	} {
		all := must(pendingRecords(l.Context(), l.s, l.job.PK, test.q))(l)
		if len(all) != test.want || !slices.IsSortedFunc(all, func(a, b provision.Pending) int { return int(a.Place - b.Place) }) {
			l.Errorf("%+v: %d records, want %d, in the order of their places", test.q, len(all), test.want)
		}
	}
	if page := must(l.s.PendingRecords(l.Context(), l.job.PK, provision.PendingQuery{}))(l); len(page.Records) != 20 || page.More {
		l.Errorf("without a limit there are %d records, and more: %v", len(page.Records), page.More)
	}
	if page := must(l.s.PendingRecords(l.Context(), l.job.PK, provision.PendingQuery{Limit: 20}))(l); len(page.Records) != 20 || page.More {
		l.Errorf("with a limit that is just enough there are %d records, and more: %v", len(page.Records), page.More)
	}
	// Between pages somebody comes, somebody seen goes, somebody to come goes, and somebody seen changes and is superseded.
	seen, step := map[string]int{}, 0
	q := provision.PendingQuery{Limit: 3}
	for {
		page := must(l.s.PendingRecords(l.Context(), l.job.PK, q))(l)
		for _, p := range page.Records {
			seen[p.Anchor]++
		}
		if !page.More {
			break
		}
		q.After = page.Next
		switch step++; step {
		case 1:
			l.pend(provision.PendingHeld, "new")
			l.unit(func(u provision.Unit) error {
				return u.EndPending(provision.Pending{Anchor: "p00"}, provision.EndDisabled)
			})
		case 2:
			l.unit(func(u provision.Unit) error {
				return u.EndPending(provision.Pending{Anchor: "p19"}, provision.EndUpdated)
			})
			l.pend(provision.PendingRetry, "p01")
		case 3:
			staged := *l.pendingOf("p02")
			staged.Staged = true
			l.unit(func(u provision.Unit) error { return u.PutPending(staged) })
		}
	}
	for _, anchor := range anchors[:19] {
		if seen[anchor] != 1 {
			l.Errorf("%s comes %d times", anchor, seen[anchor])
		}
	}
	if seen["p19"] != 0 || seen["new"] > 1 {
		l.Errorf("who went comes %d times, who came %d times", seen["p19"], seen["new"])
	}
	l.balance()
}

// pendingRollback does everything to pending records in a Unit that fails: all is as it was.
func (l *lane) pendingRollback() {
	records := append(l.pend(provision.PendingHeld, "a", "b", "c"), l.pend(provision.PendingRetry, "d", "e")...)
	l.endCycle(noon)
	a := l.accept(1)
	cycle := must(l.s.OpenCycle(l.Context(), l.job.PK, noon))(l)
	all := func(u provision.Unit) error {
		moved, staged := records[3], records[1]
		moved.Kind, staged.Staged = provision.PendingHeld, true
		_, err := u.Judge(provision.PendingHeld, provision.VerdictApproved, "Ada", []string{"b"})
		return errors.Join(err, u.EndPending(records[0], provision.EndDisabled), u.PutPending(staged), u.PutPending(moved), u.EndPending(records[4], provision.EndFailed),
			u.PutPending(provision.Pending{Kind: provision.PendingHeld, Anchor: "a", Upload: a.Number, Cycle: cycle.Number, Since: noon, Due: noon}),
			u.Advance([]provision.UploadResult{{Number: a.Number, Counts: map[provision.End]int{provision.EndHeld: 1}}}, cycle.Number, noon),
			u.CloseCycle(cycle, noon))
	}
	state := func() string {
		var b strings.Builder
		for _, id := range l.ids {
			fmt.Fprintf(&b, "%+v\n", *must(l.s.UploadStatus(l.Context(), l.job.PK, id))(l))
		}
		fmt.Fprintf(&b, "%+v\n%+v\n", *must(l.s.JobStatus(l.Context(), l.job.PK))(l), must(pendingRecords(l.Context(), l.s, l.job.PK, provision.PendingQuery{}))(l))
		fmt.Fprintf(&b, "%+v\n", must(l.s.Lane(l.Context(), l.job.PK))(l).HeldLast)
		return b.String()
	}
	before, failure := state(), errors.New("failure")
	err := l.s.Unit(l.Context(), provision.Fence{JobPK: l.job.PK, Position: l.position}, func(u provision.Unit) error { return errors.Join(all(u), failure) })
	if !errors.Is(err, failure) {
		l.Errorf("error is %v", err)
	}
	if after := state(); after != before {
		l.Errorf("a failed Unit left\n%s, before\n%s", after, before)
	}
	l.balance()
	l.unit(all)
	l.position = a.Number
	l.balance()
	if us := l.status(2); us.Counts[provision.EndFailed] != 1 || us.Counts[provision.EndHeld] != 1 {
		l.Errorf("a Unit that succeeded left %+v", us)
	}
}
