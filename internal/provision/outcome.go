package provision

import (
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
		b.start(r)
		b.end(r, ActionOther, StatusSkipped, EndSkipped)
		r.entry.Code = "EntrySynchronizationSkipped"
		r.entry.Attribute = "scope"
		r.entry.Reason = "The person is out of scope: " + r.out.OutOfScope
		r.entry.Advice = "Nothing to do if this is meant; else correct the scoping filter or the person's data."
	default:
		return false
	}
	return true
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
		e := res.Err
		b.fail(r, mapping.Problem{Code: e.Code, Attribute: e.Attribute, Reason: e.Reason, Advice: e.Advice})
		return
	}
	b.start(r)
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

// flush records what the wave has come to: references, people, unread paths.
func (b *batch) flush(u Unit, wave, again []*record) error {
	waits := make(map[*record]bool, len(again))
	for _, r := range again {
		waits[r] = true
	}
	people := make([]Person, 0, len(wave))
	for _, r := range wave {
		if waits[r] {
			continue
		}
		if r.out != nil && b.redo == nil {
			for _, p := range r.out.Unread {
				b.unread[p]++
			}
		}
		if p := b.person(r); p != nil {
			b.people[p.Anchor].person = p
			people = append(people, *p)
		}
	}
	if err := u.PutPeople(people); err != nil {
		return err
	}
	for _, r := range wave {
		if waits[r] {
			continue
		}
		if err := b.putReferences(u, r); err != nil {
			return err
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
		p.ObjectID, p.Version = r.person.ObjectID, r.person.Version
	}
	switch r.entry.End {
	case EndFailed, EndSkipped:
		return p
	}
	p.ObjectID, p.Version = r.object.ID, r.object.Version
	p.Hash, p.Program = r.hash, b.program.ID()
	return p
}

// finish writes the batch's entries in the order of arrival and moves the position.
func (b *batch) finish(u Unit) error {
	took := time.Since(b.began)
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
	if err := u.Append(entries); err != nil {
		return err
	}
	if err := u.CountUnread(b.unread); err != nil {
		return err
	}
	return u.Advance(results, b.began)
}

func objectName(o *Object) string {
	if v, ok := o.Attributes["userPrincipalName"]; ok && !v.IsEmpty() {
		return v.String()
	}
	return o.Attributes["displayName"].String()
}
