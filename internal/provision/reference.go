package provision

import (
	"context"
	"fmt"
	"time"

	"induct/internal/expr"
)

// reference is a pending reference with the objects at both of its ends.
type reference struct {
	PendingReference
	from, to string  // object ids; "" if there is none
	object   *Object // of from
}

// references writes the references of records that have ended, if the people they name are linked, and leaves the
// others to the end of the cycle. What it writes is a change of its own, after the record's.
func (b *batch) references(ctx context.Context, u Unit, t Target, ended []*record) error {
	refs, of := b.wanted(ended)
	if len(refs) == 0 {
		return nil
	}
	if err := b.locate(u, ended, refs); err != nil {
		return err
	}
	var writing []int
	var changes []Change
	var err error
	for i := range refs {
		ref := &refs[i]
		switch {
		case ref.to == "" || len(writing) > 0 && of[writing[len(writing)-1]] == of[i]: // unknown yet, or the object's second
			err = u.PutReference(ref.PendingReference)
		case ref.object.Attributes[ref.Attribute].String() != ref.to:
			writing = append(writing, i)
			changes = append(changes, ref.change())
		case of[i].person != nil:
			err = u.EndReference(ref.PendingReference, true)
		}
		if err != nil {
			return err
		}
	}
	results, err := t.Apply(ctx, changes)
	if err != nil {
		return fmt.Errorf("write %d references: %w", len(changes), err)
	}
	for n, i := range writing {
		r := of[i]
		e := refs[i].written(b.job, b.cycle, b.began, results[n])
		e.Name, e.ObjectName = r.entry.Name, r.entry.ObjectName
		b.written = append(b.written, e)
		if results[n].Err == nil {
			r.object.Version = results[n].Version
		}
		if r.person == nil { // somebody new has no older reference that waits
			continue
		}
		if err := u.EndReference(refs[i].PendingReference, true); err != nil {
			return err
		}
	}
	return nil
}

// wanted lists the references of the records that have an object now, with the record of each.
func (b *batch) wanted(ended []*record) (refs []reference, of []*record) {
	for _, r := range ended {
		if r.out == nil || r.object == nil || r.entry.End == EndFailed || r.entry.End == EndSkipped {
			continue
		}
		for _, ref := range r.out.References {
			of = append(of, r)
			refs = append(refs, reference{from: r.object.ID, object: r.object, PendingReference: PendingReference{
				Anchor: r.op.Anchor, Attribute: ref.Attribute, To: ref.Anchor, Upload: r.upload.Number, Index: r.index, BulkID: r.op.BulkID}})
		}
	}
	return refs, of
}

// locate finds the objects that the references name: among the records that have just ended, else by their links.
func (b *batch) locate(u Unit, ended []*record, refs []reference) error {
	here := make(map[string]string, len(ended))
	for _, r := range ended {
		if r.object != nil && r.entry.End != EndFailed && r.entry.End != EndSkipped {
			here[r.op.Anchor] = r.object.ID
		}
	}
	var anchors []string
	for i := range refs {
		if here[refs[i].To] == "" {
			anchors = append(anchors, refs[i].To)
		}
	}
	ids, err := u.Links(anchors)
	if err != nil {
		return err
	}
	for i := range refs {
		if refs[i].to = here[refs[i].To]; refs[i].to == "" {
			refs[i].to, ids = ids[0], ids[1:]
		}
	}
	return nil
}

func (ref *reference) change() Change {
	return Change{ID: ref.from, Version: ref.object.Version, Set: []Assignment{{Attribute: ref.Attribute, Value: expr.Text(ref.to)}}}
}

// resolve attempts references: those whose person is linked are written and end, the others wait until it is.
// Two references of one object are attempted one after the other.
func (r *runner) resolve(ctx context.Context, u Unit, job *Job, cycle *Cycle, pending []PendingReference) error {
	began := time.Now()
	refs, err := load(ctx, u, r.s.target.In(u), pending)
	if err != nil {
		return err
	}
	var entries []LogEntry
	var writing []*reference
	var changes []Change
	busy := map[string]bool{}
	for i := range refs {
		ref := &refs[i]
		switch {
		case ref.object == nil: // its own object is gone: there is nothing to write to
			err = u.EndReference(ref.PendingReference, true)
		case ref.to == "":
			if !ref.Reported {
				entries = append(entries, ref.entry(job, cycle, began))
			}
			err = u.EndReference(ref.PendingReference, false)
		case ref.object.Attributes[ref.Attribute].String() == ref.to:
			err = u.EndReference(ref.PendingReference, true)
		case !busy[ref.from]:
			busy[ref.from] = true
			writing = append(writing, ref)
			changes = append(changes, ref.change())
		}
		if err != nil {
			return err
		}
	}
	results, err := r.s.target.In(u).Apply(ctx, changes)
	if err != nil {
		return fmt.Errorf("write %d references: %w", len(changes), err)
	}
	for i, ref := range writing {
		entries = append(entries, ref.written(job, cycle, began, results[i]))
		if results[i].Err == nil {
			if err := u.Touch(ref.Anchor, results[i].Version); err != nil {
				return err
			}
		}
		if err := u.EndReference(ref.PendingReference, true); err != nil {
			return err
		}
	}
	return u.Append(entries)
}

func load(ctx context.Context, u Unit, t Target, pending []PendingReference) ([]reference, error) {
	anchors := make([]string, 0, 2*len(pending))
	for _, p := range pending {
		anchors = append(anchors, p.Anchor, p.To)
	}
	ids, err := u.Links(anchors)
	if err != nil {
		return nil, err
	}
	refs := make([]reference, len(pending))
	var linked []*reference
	var queries []Query
	for i, p := range pending {
		refs[i] = reference{PendingReference: p, from: ids[2*i], to: ids[2*i+1]}
		if refs[i].from != "" {
			linked, queries = append(linked, &refs[i]), append(queries, Query{ID: refs[i].from})
		}
	}
	found, err := t.Find(ctx, queries)
	if err != nil {
		return nil, fmt.Errorf("find %d people with references: %w", len(queries), err)
	}
	for i, ref := range linked {
		ref.object = found[i].Object
	}
	return refs, nil
}

// entry is the log entry of a reference that could not be resolved.
func (ref *reference) entry(job *Job, cycle *Cycle, began time.Time) LogEntry {
	return LogEntry{
		JobPK: job.PK, Cycle: cycle.Number, Upload: ref.Upload, Index: ref.Index, BulkID: ref.BulkID,
		Ref: true, Matched: true, Action: ActionUpdate, Status: StatusWarning,
		Code: "ReferenceNotResolved", Attribute: ref.Attribute,
		Reason: fmt.Sprintf("%s names the person with externalId '%s', whom this job has not provisioned", ref.Attribute, ref.To),
		Advice: "Send that person; the reference is then set by itself. If the id is wrong, send this person again with the right one.",
		Anchor: ref.Anchor, Name: ref.object.Attributes["displayName"].String(),
		ObjectID: ref.from, ObjectName: objectName(ref.object), Duration: time.Since(began),
	}
}

// written is the log entry of a reference that was written, or refused by the target.
func (ref *reference) written(job *Job, cycle *Cycle, began time.Time, res Result) LogEntry {
	e := ref.entry(job, cycle, began)
	e.Status, e.Code, e.Attribute, e.Reason, e.Advice = StatusSuccess, "", ref.Attribute, "", ""
	to := ref.to
	e.Modified = []Modification{{Attribute: ref.Attribute, Old: shown(ref.object.Attributes[ref.Attribute]), New: &to}}
	if res.Err != nil {
		e.Status, e.Code, e.Reason, e.Advice = StatusFailure, res.Err.Code, res.Err.Reason, res.Err.Advice
	}
	return e
}
