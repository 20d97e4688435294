package scenario

import (
	"fmt"
	"time"

	"induct/internal/provision"
)

// ledger is what must hold after every step of every scenario, whatever the engine went through.
type ledger struct {
	seq     int64           // of the newest entry that was looked at
	at      time.Time       // its time
	doubled map[string]bool // employeeIds that the scenario itself has given to several objects
}

// place is an upload's.
type place struct{ job, upload int64 }

// check looks at everything that may have changed since it last did.
func (l *ledger) check(w *world) error {
	if err := l.log(w); err != nil {
		return err
	}
	for _, j := range w.jobs {
		for _, u := range j.uploads {
			if u.settled {
				continue
			}
			if err := l.upload(w, u); err != nil {
				return err
			}
		}
		if err := l.job(w, j); err != nil {
			return err
		}
	}
	return nil
}

// checkAll looks at everything again, and at what is too dear to look at after every step.
func (l *ledger) checkAll(w *world) error {
	for _, j := range w.jobs {
		for _, u := range j.uploads {
			u.settled = false
		}
	}
	if err := l.check(w); err != nil {
		return err
	}
	if err := l.links(w); err != nil {
		return err
	}
	return l.directory(w)
}

// upload: accepted = queued + held + retrying + the ends; each operation has a receipt that agrees with what was sent and
// with the counts; what has ended stays so.
func (l *ledger) upload(w *world, u *upload) error {
	st, err := w.Upload(w.t.Context(), u.job.pk, u.ID)
	if err != nil {
		return err
	}
	fail := func(format string, a ...any) error {
		return fmt.Errorf("upload %d of %s: %s", u.Number, u.job.name, fmt.Sprintf(format, a...))
	}
	sum := 0
	for _, n := range st.Counts {
		sum += n
	}
	if sum != len(u.operations) || st.Operations != len(u.operations) {
		return fail("%d operations were accepted, and %d of %d counted: %v", len(u.operations), sum, st.Operations, st.Counts)
	}
	queued, pending := st.Counts[provision.EndQueued], st.Counts[provision.EndHeld]+st.Counts[provision.EndRetrying]
	switch {
	case st.State == provision.UploadSettled && queued+pending > 0, st.State == provision.UploadDone && queued > 0:
		return fail("it is %s, with %v", st.State, st.Counts)
	case st.State == provision.UploadSettled && (st.Settled.IsZero() || st.Done.IsZero()):
		return fail("it is settled, at no time")
	}
	receipts, err := w.Receipts(w.t.Context(), u.job.pk, u.Number, 0, len(u.operations)+1)
	if err != nil {
		return err
	}
	if len(receipts) != len(u.operations) {
		return fail("it has %d receipts of %d operations", len(receipts), len(u.operations))
	}
	counts := map[provision.End]int{}
	for i := range receipts {
		r, op := &receipts[i], &u.operations[i]
		counts[r.End]++
		switch {
		case r.Index != i || r.BulkID != op.BulkID || r.Anchor != op.Anchor:
			return fail("the receipt of operation %d is that of %d, %q, %q", i, r.Index, r.BulkID, r.Anchor)
		case u.ends[i] != "" && u.ends[i].Final() && u.ends[i] != r.End:
			return fail("operation %d (%s) was %s, and is %s now", i, op.Anchor, u.ends[i], r.End)
		case r.Entry == nil && r.End != provision.EndQueued && r.End != provision.EndPurged:
			return fail("operation %d (%s) is %s, without an entry", i, op.Anchor, r.End)
		case r.Entry != nil && (r.Entry.End != r.End || r.Entry.Upload != u.Number || r.Entry.Index != i || r.Entry.Anchor != op.Anchor):
			return fail("operation %d (%s) is %s, and its entry is another one's: %s", i, op.Anchor, r.End, describe(r.Entry))
		}
		u.ends[i] = r.End
	}
	for _, e := range append([]provision.End{provision.EndQueued, provision.EndHeld, provision.EndRetrying}, provision.Ends...) {
		if counts[e] != st.Counts[e] {
			return fail("%d receipts are %s, and %d are counted", counts[e], e, st.Counts[e])
		}
	}
	u.settled = st.State == provision.UploadSettled
	return nil
}

// job: what a job says of itself is the sum of its uploads.
func (l *ledger) job(w *world, j *job) error {
	st, err := w.JobStatus(w.t.Context(), j.pk)
	if err != nil {
		return err
	}
	counts := map[provision.End]int64{}
	for _, u := range j.uploads {
		for _, e := range u.ends {
			counts[e]++
		}
	}
	if st.Held+st.Retrying > 0 {
		if err := w.reevaluated(j, counts); err != nil {
			return err
		}
	}
	said := map[provision.End]int64{provision.EndQueued: st.Queued, provision.EndHeld: st.Held, provision.EndRetrying: st.Retrying}
	for _, e := range provision.Ends {
		said[e] = st.TotalCounts[e]
	}
	for e, n := range said {
		if counts[e] != n {
			return fmt.Errorf("%s: %d records of its uploads are %s, and it counts %d", j.name, counts[e], e, n)
		}
	}
	for e, n := range j.inCycle(st.Cycle) {
		if st.CycleCounts[e] != n {
			return fmt.Errorf("%s: %d records of cycle %d are %s, and it counts %v", j.name, n, st.Cycle, e, st.CycleCounts)
		}
	}
	if st.Staged > st.Held {
		return fmt.Errorf("%s: %d records are staged, and only %d held", j.name, st.Staged, st.Held)
	}
	return nil
}

// inCycle counts where the records of a cycle stand.
func (j *job) inCycle(cycle int64) map[provision.End]int64 {
	counts := map[provision.End]int64{}
	if cycle == 0 {
		return counts
	}
	for _, e := range append([]provision.End{provision.EndHeld, provision.EndRetrying}, provision.Ends...) {
		counts[e] = 0
	}
	for _, u := range j.uploads {
		for _, e := range u.ends {
			if u.cycle == cycle {
				counts[e]++
			}
		}
	}
	return counts
}

// reevaluated adds what waits of people who were evaluated again, which is in no upload.
func (w *world) reevaluated(j *job, counts map[provision.End]int64) error {
	q := provision.PendingQuery{Limit: 1000}
	for {
		page, err := w.Pending(w.t.Context(), j.pk, q)
		if err != nil {
			return err
		}
		for _, p := range page.Records {
			if p.Upload <= 0 { // 0: on demand
				counts[p.Kind.End()]++
			}
		}
		if !page.More {
			return nil
		}
		q.After = page.Next
	}
}

// log: each entry is about a record that was sent, or a reference of one; time does not run backwards.
func (l *ledger) log(w *world) error {
	entries, err := w.entries(provision.LogQuery{After: l.seq, Hidden: true})
	if err != nil {
		return err
	}
	uploads := map[place]*upload{}
	for _, j := range w.jobs {
		for _, u := range j.uploads {
			uploads[place{j.pk, u.Number}] = u
		}
	}
	for i := range entries {
		e := &entries[i]
		if e.Seq != l.seq+1 {
			return fmt.Errorf("entry %d follows entry %d", e.Seq, l.seq)
		}
		if e.Time.Before(l.at) {
			return fmt.Errorf("entry %d (%s) is older than the one before it", e.Seq, describe(e))
		}
		l.seq, l.at = e.Seq, e.Time
		if e.Upload <= 0 { // of a re-evaluation, or on demand
			continue
		}
		u := uploads[place{e.JobPK, e.Upload}]
		if u == nil || e.Index >= len(u.operations) || u.operations[e.Index].Anchor != e.Anchor {
			return fmt.Errorf("entry %d (%s) names operation %d of upload %d, which is not that of this person", e.Seq, describe(e), e.Index, e.Upload)
		}
		if u.cycle == 0 {
			u.cycle = e.Cycle
		}
	}
	return nil
}

// links: an object belongs to one person of a job.
func (l *ledger) links(w *world) error {
	for _, j := range w.jobs {
		of := map[string]string{}
		var sought []provision.Sought
		for anchor := range j.latest {
			sought = append(sought, provision.Sought{Anchor: anchor})
		}
		people, err := w.store.People(w.t.Context(), j.pk, sought)
		if err != nil {
			return err
		}
		linked := int64(0)
		for _, p := range people {
			if p == nil || p.ObjectID == "" {
				continue
			}
			linked++
			if other, ok := of[p.ObjectID]; ok {
				return fmt.Errorf("%s: one object belongs to %q and to %q", j.name, p.Anchor, other)
			}
			of[p.ObjectID] = p.Anchor
		}
		st, err := w.JobStatus(w.t.Context(), j.pk)
		if err != nil {
			return err
		}
		if st.Users != linked {
			return fmt.Errorf("%s: it counts %d people with an account, and %d have one", j.name, st.Users, linked)
		}
	}
	return nil
}

// directory: nobody is doubled.
func (l *ledger) directory(w *world) error {
	all, err := w.everyObject()
	if err != nil {
		return err
	}
	for _, attribute := range []string{"userPrincipalName", "employeeId"} {
		of := map[string]bool{}
		for i := range all {
			v := all[i].Attributes[attribute].String()
			if v == "" || attribute == "employeeId" && l.doubled[v] {
				continue
			}
			if of[v] {
				return fmt.Errorf("two users have the %s %s", attribute, v)
			}
			of[v] = true
		}
	}
	return nil
}
