package provision

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"time"

	"induct/internal/mapping"
)

// pendingBatch is how many pending records are carried out together.
const pendingBatch = 500

// retriesEnd is how long a record is retried before it counts as failed.
const retriesEnd = 28 * 24 * time.Hour

// nextAttempt returns when a record is tried again that failed for the n-th time: after one minute, twice as long each time, a
// day at most, a fifth more or less, so that what failed together does not come back together.
func nextAttempt(now time.Time, job *Job, upload int64, index, n int) time.Time {
	wait := 24 * time.Hour
	if n <= 11 {
		wait = time.Minute << (n - 1)
	}
	h := fnv.New32a()
	var b [32]byte
	binary.BigEndian.PutUint64(b[0:], uint64(job.PK))
	binary.BigEndian.PutUint64(b[8:], uint64(upload))
	binary.BigEndian.PutUint64(b[16:], uint64(index))
	binary.BigEndian.PutUint64(b[24:], uint64(n))
	h.Write(b[:])
	share := time.Duration(h.Sum32()%401) - 200 // of 1000
	return now.Add(min(wait, 24*time.Hour) * (1000 + share) / 1000)
}

// pendingOf makes the pending record of a record that has not ended.
func (b *batch) pendingOf(r *record) Pending {
	p := Pending{Upload: r.entry.Upload, Index: r.entry.Index, BulkID: r.op.BulkID, Cycle: b.cycle.Number, Since: b.began}
	if !bytes.Equal(r.op.Data, r.kept) {
		p.Record = r.op.Data
	}
	switch {
	case b.redo != nil:
		p.Upload, p.Index, p.Cycle = -b.redo.Number, int(r.place), 0
	case b.kept: // somebody has ordered it: the upload that the kept record came with has counted it already
		p.Upload, p.Index, p.Cycle = 0, int(b.began.UnixMilli()), 0
	}
	if r.pending != nil {
		p = *r.pending
		p.Verdict, p.Allowed = VerdictNone, r.approved && p.By != ""
	}
	p.Anchor, p.Name, p.Action = r.op.Anchor, r.entry.Name, r.entry.Action
	p.ObjectID, p.ObjectName = r.entry.ObjectID, r.entry.ObjectName
	p.Code, p.Attribute, p.Reason, p.Advice = r.entry.Code, r.entry.Attribute, r.entry.Reason, r.entry.Advice
	if p.Kind, p.Due = PendingHeld, b.began; r.entry.End == EndRetrying {
		p.Kind, p.Staged = PendingRetry, false
		p.Attempts++
		p.Due = nextAttempt(b.began, b.job, p.Upload, p.Index, p.Attempts)
	}
	return p
}

// hold ends a record's way for now: what it would do waits for a verdict.
func (b *batch) hold(r *record) {
	b.start(r)
	b.holding = true
	r.entry.Hidden = true
	action := ActionDisable
	if r.planned.End == EndDeleted {
		action = ActionDelete
	}
	b.end(r, action, StatusSkipped, EndHeld)
	r.entry.Code = "TooManyDeletes"
	r.entry.Reason = "Held: disables and deletions are counted before they are carried out."
	r.entry.Advice = "Nothing to do: it is carried out in a moment, unless there are too many."
	r.entry.Source, r.entry.Modified = r.out.Source, r.planned.Modified
}

// rejected reports whether somebody did not want the person's latest record to disable or delete.
func (r *record) rejected() bool { return r.person != nil && r.person.Pending == PendingRejected }

// spare ends the re-evaluation of a person whose latest record was rejected for what it would do once more.
func (b *batch) spare(r *record) {
	b.start(r)
	b.end(r, ActionOther, StatusSkipped, EndSkipped)
	r.entry.Code, r.planned = "Rejected", Planned{End: EndSkipped}
	r.entry.Reason = "The record that asks for this was rejected: nothing is done to the account until a newer one comes."
}

// leavePending stores or ends what keeps a record from its end, after its person was stored.
func (b *batch) leavePending(u Unit, r *record) error {
	if r.op.Anchor == "" || r.op.Delete || r.proven {
		return nil
	}
	if old := r.pending; old != nil { // the record itself, tried again
		switch {
		case r.entry.End.Final():
			end := r.entry.End
			if b.own(old) {
				end = ""
			}
			return u.EndPending(*old, end)
		case r.entry.End == EndHeld && old.Kind == PendingHeld && old.Verdict == VerdictNone:
			return u.PutPending(*old) // it stays as it is
		case b.own(old): // its upload has not been counted yet
			if err := u.EndPending(*old, ""); err != nil {
				return err
			}
		}
		return u.PutPending(b.pendingOf(r))
	}
	if r.person != nil && r.person.Pending != PendingNone {
		if err := b.supersede(u, r); err != nil {
			return err
		}
	}
	if r.entry.End.Final() {
		return nil
	}
	return u.PutPending(b.pendingOf(r))
}

// own reports whether a pending record is of an upload of this batch, whose outcomes have not been counted yet.
func (b *batch) own(p *Pending) bool {
	return len(b.uploads) > 0 && p.Upload >= b.uploads[0].Number && p.Upload <= b.last()
}

// supersede ends the pending record that was the person's latest until r came.
func (b *batch) supersede(u Unit, r *record) error {
	old, err := u.Pending(r.op.Anchor)
	if err != nil || old == nil {
		return err
	}
	e := b.ended(old, EndSuperseded, "Superseded", fmt.Sprintf("A newer record of the person, operation %d of upload %d, came before this one was carried out.", r.index, r.upload.Number),
		"Nothing to do: the newer record says what the person should be.")
	if !b.own(old) {
		b.extra = append(b.extra, e)
		return u.EndPending(*old, EndSuperseded)
	}
	for _, earlier := range b.records {
		if earlier.upload.Number == old.Upload && earlier.index == old.Index {
			earlier.entry = e
		}
	}
	return u.EndPending(*old, "")
}

// ended is the entry of a pending record that ends without being carried out.
func (b *batch) ended(p *Pending, end End, code, reason, advice string) LogEntry {
	return LogEntry{JobPK: b.job.PK, Cycle: b.cycle.Number, Upload: p.Upload, Index: p.Index, BulkID: p.BulkID, Schema: b.job.Schema.Version,
		Matched: p.ObjectID != "", Action: ActionOther, Status: StatusSkipped, End: end, Code: code, Reason: reason, Advice: advice,
		Anchor: p.Anchor, Name: p.Name, ObjectID: p.ObjectID, ObjectName: p.ObjectName}
}

// carryOut takes up pending records: retries whose time has come, and what has been approved.
func (r *runner) carryOut(ctx context.Context, job *Job, program *mapping.Program, lane Lane, set PendingSet) error {
	pending, err := r.s.store.PendingPeople(ctx, job.PK, set, r.s.now(), pendingBatch)
	if err != nil || len(pending) == 0 {
		return err
	}
	b := r.prepareKept(job, program, lane)
	for i := range pending {
		p := &pending[i]
		b.addKept(&p.Person, 0, &p.Pending)
	}
	eachOf(b.records, b.run)
	err = r.s.store.Unit(ctx, whole(job, &lane), func(u Unit) error {
		if err := b.apply(ctx, u, r.target(u)); err != nil {
			return err
		}
		return r.decided(u, job)
	})
	if err != nil {
		return fmt.Errorf("%d pending records: %w", len(pending), err)
	}
	r.s.changed()
	return nil
}

// decided ends a quarantine that was for too many deletions, once the last of them has been decided about.
func (r *runner) decided(u Unit, job *Job) error {
	cond, err := u.Condition()
	if err != nil || !cond.braked() || job.State == JobDisabled { // disabled: that ends when somebody starts it
		return err
	}
	if held, err := u.Held(); err != nil || held > 0 {
		return err
	}
	if err := r.s.release(u, job, &cond, "every held change has been decided about"); err != nil {
		return err
	}
	return u.PutCondition(cond)
}

// settlePending takes up pending records that need no target: end says what is done with each, and what the log tells of it.
func (r *runner) settlePending(ctx context.Context, job *Job, lane Lane, set PendingSet, end func(u Unit, b *batch, p *PendingPerson) (LogEntry, error)) error {
	pending, err := r.s.store.PendingPeople(ctx, job.PK, set, r.s.now(), pendingBatch)
	if err != nil || len(pending) == 0 {
		return err
	}
	b := r.prepareKept(job, nil, lane)
	err = r.s.store.Unit(ctx, whole(job, &lane), func(u Unit) error {
		entries := make([]LogEntry, 0, len(pending))
		for i := range pending {
			p := &pending[i]
			now, err := u.Pending(p.Anchor)
			if err != nil {
				return err
			}
			if now == nil || now.Kind != p.Kind || now.Verdict != p.Verdict || now.Upload != p.Upload || now.Index != p.Index {
				continue // a newer record has come before it, or somebody has carried it out
			}
			e, err := end(u, b, p)
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
		if err := u.Append(entries); err != nil {
			return err
		}
		return r.decided(u, job)
	})
	if err == nil {
		r.s.changed()
	}
	return err
}

// refuse ends pending records that have been rejected or purged.
func (r *runner) refuse(ctx context.Context, job *Job, lane Lane) error {
	return r.settlePending(ctx, job, lane, SetRefused, func(u Unit, b *batch, p *PendingPerson) (LogEntry, error) {
		if p.Verdict == VerdictPurged {
			return b.ended(&p.Pending, EndPurged, "Purged", "Purged by "+p.By+", before it was carried out.", "Send the person again if the record still holds."),
				u.EndPending(p.Pending, EndPurged)
		}
		e := b.ended(&p.Pending, EndRejected, "Rejected", "Rejected by "+p.By+": nothing was done to the account.", "Correct the source, so that it does not ask for this again.")
		if err := u.EndPending(p.Pending, EndRejected); err != nil {
			return e, err
		}
		p.Person.Pending = PendingRejected
		return e, u.PutPeople([]Person{p.Person})
	})
}

// stage asks people about held changes that are too many: each gets its entry.
func (r *runner) stage(ctx context.Context, job *Job, lane Lane) error {
	return r.settlePending(ctx, job, lane, SetUnjudged, func(u Unit, b *batch, p *PendingPerson) (LogEntry, error) {
		p.Staged = true
		p.Reason = "Held: more accounts would be disabled or deleted than the job's threshold allows."
		p.Advice = "Approve the change if it is meant; else reject it and correct the source."
		e := b.ended(&p.Pending, EndHeld, "TooManyDeletes", p.Reason, p.Advice)
		e.Action, e.Status, e.Matched = ActionStagedDelete, StatusSuccess, true
		if p.Action == ActionDisable {
			e.Modified = []Modification{change(accountEnabled, "True", "False")}
		}
		return e, u.PutPending(p.Pending)
	})
}
