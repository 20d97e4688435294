package provision

import (
	"context"
	"fmt"
	"time"

	"induct/internal/expr"
	"induct/internal/mapping"
)

// mostReferenceAttempts is how often a reference is written that the target refuses for now: for four weeks.
const mostReferenceAttempts = 38

// reference is a pending reference with the objects at both of its ends.
type reference struct {
	PendingReference
	to     string  // the object of To; "" if there is none
	object *Object // of From
}

// locate finds the objects of the people whom the records refer to, if they are linked by now.
func locate(u Unit, open []*record) error {
	var anchors []string
	for _, r := range open {
		for _, ref := range r.out.References {
			anchors = append(anchors, ref.Anchor)
		}
	}
	ids, err := u.Links(anchors)
	if err != nil {
		return fmt.Errorf("find %d people who are referred to: %w", len(anchors), err)
	}
	for _, r := range open {
		n := len(r.out.References)
		r.linked, ids = ids[:n:n], ids[n:]
	}
	return nil
}

// refer adds to a plan the references to people who are linked already, and those that are to be removed: they are
// written with the record. The others wait for the cycle's end.
func (p *Planned) refer(r *record, allow mapping.FlowTypes) {
	if p.End == EndSkipped || r.object != nil && !allow.Update {
		return
	}
	for i, ref := range r.out.References {
		to := r.linked[i]
		was := r.reference(ref.Attribute)
		if !r.refers(&ref) || to == "" && !ref.Clear || was == to {
			continue
		}
		m := Modification{Attribute: ref.Attribute}
		a := Assignment{Attribute: ref.Attribute}
		if was != "" {
			m.Old = &was
		}
		if to != "" {
			m.New, a.Value = &to, expr.Text(to)
		}
		p.Set, p.Modified = append(p.Set, a), append(p.Modified, m)
		if p.End == EndUnchanged {
			p.End = EndUpdated
		}
	}
}

// reference returns what the record's object refers to now.
func (r *record) reference(attribute string) string {
	if r.object == nil {
		return ""
	}
	return r.object.Attributes[attribute].String()
}

// refers reports whether a reference of the record has anything to say about its object.
func (r *record) refers(ref *mapping.Reference) bool {
	created := r.object == nil || r.planned.End == EndCreated
	switch {
	case ref.Clear:
		return !created
	case ref.CreateOnly:
		return created
	case ref.WhenEmpty:
		return r.reference(ref.Attribute) == ""
	}
	return true
}

// putReferences stores those references of a record that has ended which are left to the cycle's end, and ends older
// ones of the same attributes.
func (b *batch) putReferences(u Unit, r *record) error {
	if r.out == nil || r.object == nil || r.entry.End == EndFailed || r.entry.End == EndSkipped || r.entry.End == EndHeld {
		return nil // those of what is held are stored when that is carried out
	}
	for i, ref := range r.out.References {
		p := PendingReference{Anchor: r.op.Anchor, Attribute: ref.Attribute, To: ref.Anchor, Upload: r.upload.Number, Index: r.index, BulkID: r.op.BulkID}
		var err error
		switch {
		case !ref.Clear && !r.refers(&ref):
		case r.linked[i] == "" && !ref.Clear:
			err = u.PutReference(p)
		case r.person != nil: // somebody new has no older reference
			err = u.EndReference(p, true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (ref *reference) change() Change {
	return Change{ID: ref.From, Version: ref.object.Version, Set: []Assignment{{Attribute: ref.Attribute, Value: expr.Text(ref.to)}}}
}

// sweep is what resolving references has come to in a Unit. It is written when all that is about people has been.
type sweep struct {
	entries         []LogEntry
	written, failed int64
}

// end writes the entries, and the counts into the job's condition.
func (s *sweep) end(u Unit, cycle *Cycle, now time.Time) error {
	if len(s.entries) == 0 {
		return nil
	}
	err := u.Append(s.entries)
	if err == nil && s.failed > 0 {
		err = reached(u, now, Slot{References: s.failed})
	}
	if err != nil || s.written == 0 {
		return err
	}
	cond, err := u.Condition()
	if err != nil {
		return err
	}
	cond.Swept = Swept{cycle.Number, cond.Swept.of(cycle) + s.written}
	return u.PutCondition(cond)
}

// resolve attempts references: those whose person is linked are written and end, the others wait until it is.
// Two references of one object are attempted one after the other.
func (r *runner) resolve(ctx context.Context, u Unit, job *Job, cycle *Cycle, pending []PendingReference, swept *sweep) error {
	began := time.Now()
	t := r.target(u)
	refs, err := load(ctx, u, t, pending)
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
		case ref.object == nil || !ref.object.Deleted.IsZero(): // its own object is gone: there is nothing to write to
			err = u.EndReference(ref.PendingReference, true)
		case ref.to == "":
			if !ref.Reported {
				entries = append(entries, ref.entry(job, cycle, began))
			}
			err = u.EndReference(ref.PendingReference, false)
		case ref.object.Attributes[ref.Attribute].String() == ref.to:
			err = u.EndReference(ref.PendingReference, true)
		case !busy[ref.From]:
			busy[ref.From] = true
			writing = append(writing, ref)
			changes = append(changes, ref.change())
		}
		if err != nil {
			return err
		}
	}
	results, err := t.Apply(ctx, changes)
	if err != nil {
		return fmt.Errorf("write %d references: %w", len(changes), err)
	}
	for i, ref := range writing {
		entries = append(entries, ref.written(job, cycle, began, results[i]))
		switch refusal := results[i].Err; {
		case refusal != nil && refusal.Retryable && ref.Attempts < mostReferenceAttempts:
			swept.failed++
			due := nextAttempt(r.s.now(), job, ref.Upload, ref.Index, ref.Attempts+1)
			if err := u.DeferReference(ref.PendingReference, due); err != nil {
				return err
			}
			entries[len(entries)-1].Advice = "Nothing to do: it is tried again after " + due.UTC().Format(time.RFC3339) + "."
			continue
		case refusal != nil:
			swept.failed++
			if err := u.Touch(ref.PendingReference, 0); err != nil { // the person's next record, though it be the same, tries anew
				return err
			}
		default:
			swept.written++
			if err := u.Touch(ref.PendingReference, results[i].Version); err != nil {
				return err
			}
		}
		if err := u.EndReference(ref.PendingReference, true); err != nil {
			return err
		}
	}
	swept.entries = append(swept.entries, entries...)
	return nil
}

func load(ctx context.Context, u Unit, t Target, pending []PendingReference) ([]reference, error) {
	anchors := make([]string, len(pending))
	for i, p := range pending {
		anchors[i] = p.To
	}
	ids, err := u.Links(anchors)
	if err != nil {
		return nil, err
	}
	refs := make([]reference, len(pending))
	var linked []*reference
	var queries []Query
	for i, p := range pending {
		refs[i] = reference{PendingReference: p, to: ids[i]}
		if p.From != "" {
			linked, queries = append(linked, &refs[i]), append(queries, Query{ID: p.From})
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
		JobPK: job.PK, Cycle: cycle.Number, Upload: ref.Upload, Index: ref.Index, BulkID: ref.BulkID, Schema: job.Schema.Version,
		Ref: true, Matched: true, Action: ActionUpdate, Status: StatusWarning,
		Code: "ReferenceNotResolved", Attribute: ref.Attribute,
		Reason: fmt.Sprintf("%s names the person with externalId '%s', whom this job has not provisioned", ref.Attribute, ref.To),
		Advice: "Send that person; the reference is then set by itself. If the id is wrong, send this person again with the right one.",
		Anchor: ref.Anchor, Name: ref.object.Attributes["displayName"].String(),
		ObjectID: ref.From, ObjectName: objectName(ref.object), Duration: time.Since(began),
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
