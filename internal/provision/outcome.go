package provision

import (
	"errors"
	"slices"
	"time"

	"induct/internal/mapping"
)

// skips are the codes of problems that leave a person alone on purpose.
var skips = map[string]bool{"ImportSkipped": true, "EntrySynchronizationSkipped": true}

// refuse ends a record that never reaches the target: a DELETE, a record that cannot be evaluated, one out of scope.
func (b *batch) refuse(r *record) bool {
	switch {
	case r.op.Delete:
		b.start(r)
		r.entry.Hidden = true
		b.end(r, ActionOther, StatusSkipped, EndSkipped)
		r.entry.Code = "MethodNotAllowed"
		r.entry.Reason = "DELETE operations are accepted and ignored: nothing was done"
		r.entry.Advice = "To take an account away from somebody send the person with \"active\": false."
	case r.out != nil && r.out.Problem != nil:
		b.fail(r, *r.out.Problem)
		if skips[r.out.Problem.Code] {
			b.end(r, ActionOther, StatusSkipped, EndSkipped)
		}
	case r.out != nil && r.out.OutOfScope != "":
		if r.person != nil && r.person.ObjectID != "" && !r.out.OutOfInput { // was in scope, and has an account
			return false
		}
		b.outOfScope(r)
	default:
		return false
	}
	return true
}

// outOfScope ends a record whose person is out of scope and has nothing that could be taken away.
func (b *batch) outOfScope(r *record) {
	b.start(r)
	b.end(r, ActionOther, StatusSkipped, EndSkipped)
	r.entry.Code = "EntrySynchronizationSkipped"
	r.entry.Attribute = "scope"
	r.entry.Reason = "The person is out of scope: " + r.out.OutOfScope
	r.entry.Advice = "Nothing to do if this is meant; else correct the scoping filter or the person's data."
}

// leaves ends a record whose person has left the scope, as it was planned.
func (b *batch) leaves(r *record) {
	switch r.planned.End {
	case EndDisabled:
		b.end(r, ActionDisable, StatusSuccess, EndDisabled)
	case EndDeleted:
		b.end(r, ActionDelete, StatusSuccess, EndDeleted)
	default:
		b.outOfScope(r)
		r.entry.Reason += ". The account stays as it is, because " + b.whyAlone(r) + "."
		return
	}
	r.entry.Warnings = append(r.entry.Warnings, "The person has left the scope: "+r.out.OutOfScope)
}

// whyAlone says why the account of somebody who has left the scope is left alone.
func (b *batch) whyAlone(r *record) string {
	on, known := r.object.Attributes[accountEnabled].AsBool()
	switch {
	case !r.object.Deleted.IsZero():
		return "it is in deleted items"
	case b.policy.leave == LeaveAlone:
		return "the app's settings say so (" + SecretSkipOutOfScope + ")"
	case b.policy.leave == LeaveDisable && known && !on:
		return "it is disabled already"
	}
	return "the mapping's target object actions do not allow what would have to be done"
}

func problemOf(e *TargetError) mapping.Problem {
	return mapping.Problem{Code: e.Code, Attribute: e.Attribute, Reason: e.Reason, Advice: e.Advice}
}

// start fills in what is true of every entry about the record.
func (b *batch) start(r *record) {
	r.entry = LogEntry{
		JobPK: b.job.PK, Cycle: b.cycle.Number, Upload: r.upload.Number, Index: r.index, BulkID: r.op.BulkID, Schema: b.job.Schema.Version,
		Anchor: r.op.Anchor, Matched: r.object != nil,
	}
	if r.out != nil {
		r.entry.Name, r.entry.Warnings = r.out.DisplayName, r.out.Warnings
	}
	if r.object != nil {
		r.entry.ObjectID, r.entry.ObjectName = r.object.ID, objectName(r.object)
	}
	if r.lost != "" {
		r.entry.Warnings = append(slices.Clone(r.entry.Warnings), "The account "+r.lost+", which the person was linked to, is gone for good; it was looked for anew by the matching attributes.")
	}
}

func (b *batch) end(r *record, a Action, s Status, e End) {
	r.entry.Action, r.entry.Status, r.entry.End = a, s, e
}

func (b *batch) fail(r *record, p mapping.Problem) {
	b.start(r)
	action := ActionOther
	if r.out != nil && r.out.Problem == nil {
		action = ActionUpdate
		if r.object == nil {
			action = ActionCreate
		}
	}
	b.end(r, action, StatusFailure, EndFailed)
	r.entry.Code, r.entry.Attribute, r.entry.Reason, r.entry.Advice = p.Code, p.Attribute, p.Reason, p.Advice
	if r.out != nil {
		r.entry.Source, r.entry.Modified = r.out.Source, r.planned.Modified
	}
}

// unchanged ends a record whose effect is proved to stand already.
func (b *batch) unchanged(r *record) {
	b.start(r)
	r.entry.Matched = true
	r.entry.ObjectID = r.person.ObjectID
	if r.entry.Name = r.person.Name; r.entry.Name == "" {
		r.entry.Name = r.name
	}
	b.end(r, ActionOther, StatusSkipped, EndUnchanged)
	r.entry.Code = "RedundantExport"
}

// settle ends a record that was planned, with the target's answer if it was asked.
func (b *batch) settle(r *record, res Result) {
	if res.Err != nil {
		b.fail(r, problemOf(res.Err))
		if res.Err.Retryable && !b.tired(r) {
			r.entry.End = EndRetrying
			if r.entry.Advice == "" {
				r.entry.Advice = "Nothing to do: it is tried again by itself."
			}
		}
		return
	}
	b.start(r)
	switch {
	case r.out.OutOfScope != "":
		b.leaves(r)
	default:
		b.settleEnd(r)
	}
	b.warn(r)
	if len(r.planned.Modified) > 0 {
		r.entry.Source, r.entry.Modified = r.out.Source, r.planned.Modified
	}
	if res.Version > 0 {
		r.entry.ObjectName = res.Name
		if r.object == nil {
			r.object = &Object{ID: r.entry.ObjectID}
		}
		r.object.Version = res.Version
	}
}

// tired reports whether a record has been tried for so long that it counts as failed.
func (b *batch) tired(r *record) bool {
	return r.pending != nil && r.pending.Kind == PendingRetry && b.began.Sub(r.pending.Since) >= retriesEnd
}

// warn says which attributes were left out.
func (b *batch) warn(r *record) {
	for i, p := range r.isolated {
		if i == 0 {
			r.entry.Status, r.entry.Code, r.entry.Attribute = StatusWarning, p.Code, p.Attribute
			r.entry.Reason = p.Reason + ". The rest was written."
			r.entry.Advice = p.Advice
			continue
		}
		r.entry.Warnings = append(slices.Clone(r.entry.Warnings), p.Reason+". The rest was written.")
	}
}

// settleEnd gives a record the end that was planned.
func (b *batch) settleEnd(r *record) {
	switch r.planned.End {
	case EndCreated:
		b.end(r, ActionCreate, StatusSuccess, EndCreated)
		r.entry.ObjectID = b.change(r).ID
	case EndUpdated:
		b.end(r, ActionUpdate, StatusSuccess, EndUpdated)
	case EndDisabled:
		b.end(r, ActionDisable, StatusSuccess, EndDisabled)
	case EndSkipped:
		b.end(r, ActionOther, StatusSkipped, EndSkipped)
		r.entry.Code = "EntrySynchronizationSkipped"
		r.entry.Reason = "The object mapping's target object actions do not allow what would have to be done"
		r.entry.Advice = "Allow Create or Update in the target object actions if this is not meant."
	default:
		b.end(r, ActionOther, StatusSkipped, EndUnchanged)
		r.entry.Code = "RedundantExport"
	}
}

// flush records what the wave has come to: references, people, unread paths.
func (b *batch) flush(u Unit, wave, again []*record) error {
	waits := make(map[*record]bool, len(again))
	for _, r := range again {
		waits[r] = true
	}
	people := make([]Person, 0, len(wave))
	stored := make([]*Person, 0, len(wave))
	for _, r := range wave {
		if waits[r] {
			continue
		}
		if r.out != nil && !b.kept {
			for _, p := range r.out.Unread {
				b.unread[p]++
			}
		}
		if p := b.person(r); p != nil {
			b.people[p.Anchor].person = p
			people, stored = append(people, *p), append(stored, p)
		}
	}
	if err := u.PutPeople(people); err != nil {
		return err
	}
	for i, p := range stored {
		p.Revision = people[i].Revision
	}
	for _, r := range wave {
		if waits[r] {
			continue
		}
		if err := b.leavePending(u, r); err != nil {
			return err
		}
		if err := b.putReferences(u, r); err != nil {
			return err
		}
		if r.planned.destroys() && r.entry.Status == StatusSuccess && (r.pending == nil || r.pending.By == "") && !b.ordered {
			b.effects++
		}
	}
	return nil
}

// person returns what is now known of the record's person; nil if nothing is new.
func (b *batch) person(r *record) *Person {
	if r.op.Delete || r.op.Anchor == "" || r.proven {
		return nil
	}
	p := &Person{Anchor: r.op.Anchor, Kept: r.kept, Upload: r.upload.Number, Index: r.index, Name: r.entry.Name}
	if r.person != nil {
		p.ObjectID, p.Version, p.Enabled = r.person.ObjectID, r.person.Version, r.person.Enabled
	}
	if l := b.people[p.Anchor]; l != nil && l.person != nil { // an earlier record of the batch may have written the person
		p.Revision = l.person.Revision
	}
	if r.lost != "" {
		p.ObjectID, p.Version, p.Enabled = "", 0, false
	}
	switch r.entry.End {
	case EndHeld: // the match counts, though nothing is done
		p.Pending = PendingHeld
		p.ObjectID, p.Version = r.object.ID, r.object.Version
		p.Enabled, _ = r.object.Attributes[accountEnabled].AsBool()
		return p
	case EndRetrying:
		p.Pending = PendingRetry
		return p
	case EndFailed, EndSkipped:
		if b.redo != nil && r.rejected() { // until a newer record comes, or a mapping that asks for it no more
			p.Pending = PendingRejected
		}
		return p
	}
	p.ObjectID, p.Version, p.Enabled = r.object.ID, r.object.Version, r.enabled()
	if r.out.OutOfScope == "" {
		p.Hash, p.Program = r.hash, b.program.ID()
	}
	return p
}

// enabled reports whether the object is enabled after what was planned has been done.
func (r *record) enabled() bool {
	if r.planned.End == EndDeleted {
		return false
	}
	v := r.object.Attributes[accountEnabled]
	for _, a := range r.planned.Set {
		if a.Attribute == accountEnabled {
			v = a.Value
		}
	}
	on, _ := v.AsBool()
	return on
}

// finish writes the batch's entries in the order of arrival and moves the position of its lanes. Each upload that it passes counts its
// own records; those of other lanes are counted by other batches.
func (b *batch) finish(u Unit) error {
	took := time.Since(b.clock)
	results := make([]UploadResult, len(b.uploads))
	at := map[int64]int{}
	for i := range b.uploads {
		results[i] = UploadResult{Number: b.uploads[i].Number, Counts: map[End]int{}}
		at[b.uploads[i].Number] = i
	}
	entries := make([]LogEntry, 0, len(b.records))
	for _, r := range b.records {
		r.entry.Duration = took
		entries = append(entries, r.entry)
		results[at[r.upload.Number]].Counts[r.entry.End]++
	}
	if err := errors.Join(reached(u, b.began, b.count()), u.CountUnread(b.unread), u.Append(entries), u.Append(b.extra)); err != nil {
		return err
	}
	return u.Advance(results, b.cycle.Number, b.began)
}

// count returns what the batch adds to the job's window.
func (b *batch) count() Slot {
	n := Slot{Effects: b.effects, Records: int64(len(b.records))}
	for _, r := range b.records {
		if r.entry.Status == StatusFailure {
			n.Failures++
		}
	}
	return n
}

func objectName(o *Object) string {
	if v, ok := o.Attributes["userPrincipalName"]; ok && !v.IsEmpty() {
		return v.String()
	}
	return o.Attributes["displayName"].String()
}
