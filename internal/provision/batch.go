package provision

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"induct/internal/mapping"
	"induct/internal/scim"
)

// record is one operation on its way through a batch.
type record struct {
	upload   *Queued
	index    int
	place    int64 // of the person, in a re-evaluation
	op       *Operation
	person   *Person // as it was before this record; nil if unknown
	hash     [16]byte
	linked   []string // the object of each reference's person, "" if there is none yet
	kept     []byte   // the kept record with this one merged in
	out      *mapping.Outcome
	name     string // of somebody who is proven and was not read
	proven   bool   // same record, program and last outcome: only the object's version is left to be checked
	deferred bool   // to a later wave
	object   *Object
	newID    string // of the object that is created for the person
	lost     string // the object that the person was linked to, which is gone for good
	planned  Planned
	isolated []mapping.Problem // attributes that the target refused and that were left out
	pending  *Pending          // the record is tried again: what has kept it from its end
	approved bool              // to disable or delete
	entry    LogEntry
}

// batch is a set of uploads that commits together.
type batch struct {
	store   Store
	log     *slog.Logger
	job     *Job
	program *mapping.Program
	cycle   *Cycle // set when it is its turn, like began and policy
	began   time.Time
	policy  policy
	at      stand    // where it begins
	uploads []Queued // all that it passes, with records of its lanes or without
	records []*record
	people  map[string]*latest // each anchor of the batch; prepare is the last to change the map
	kept    bool               // of kept records, not of uploads
	redo    *Reevaluation      // of which re-evaluation, if it is of one
	clock   time.Time          // by the machine's own clock, for durations
	before  *batch             // not yet committed when this one was prepared; nil once it is
	unread  map[string]int64
	extra   []LogEntry // of records of other uploads that have ended
	said    []LogEntry // of kept records, in the log once the batch has been committed
	holding bool       // something is held
	ordered bool       // by somebody, for one person: no brake applies
	effects int64      // disables and deletions that nobody has ordered but a record
}

// latest is the latest state of a person; nil if nothing is known.
type latest struct{ person *Person }

// prepare reads what is known of the batch's people and evaluates its records on all cores, of the uploads those of its lanes. Records
// that come second for their person, here or after the batch before, are evaluated later, on top of the first.
func prepare(ctx context.Context, store Store, log *slog.Logger, before *batch, job *Job, program *mapping.Program, at stand, uploads []Queued) (*batch, error) {
	b := &batch{store: store, log: log, job: job, program: program, at: at, uploads: uploads, before: before,
		people: map[string]*latest{}, unread: map[string]int64{}}
	for i := range uploads {
		for j := range uploads[i].Operations {
			if op := &uploads[i].Operations[j]; at.lanes.Has(LaneOf(op.Anchor, job.Lanes)) {
				b.records = append(b.records, &record{upload: &uploads[i], index: j, op: op})
			}
		}
	}
	eachOf(b.records, func(r *record) { r.hash = hashOf(r.op.Data) })
	var sought []Sought
	for _, r := range b.records {
		if r.op.Anchor == "" || r.op.Delete {
			continue
		}
		if _, seen := b.people[r.op.Anchor]; seen {
			r.deferred = true
			continue
		}
		b.people[r.op.Anchor] = &latest{}
		if before != nil && before.people[r.op.Anchor] != nil {
			r.deferred = true
			continue
		}
		sought = append(sought, Sought{Anchor: r.op.Anchor, Hash: r.hash})
	}
	people, err := store.People(ctx, job.PK, sought)
	if err != nil {
		return nil, fmt.Errorf("read the people of a batch: %w", err)
	}
	for i, q := range sought {
		b.people[q.Anchor].person = people[i]
	}
	var now []*record
	for _, r := range b.records {
		if !r.deferred {
			now = append(now, r)
		}
	}
	return b, b.evaluateAll(ctx, now)
}

// hashOf returns what a record is known by when it is sent again.
func hashOf(data []byte) (h [16]byte) {
	sum := sha256.Sum256(data)
	copy(h[:], sum[:])
	return h
}

// evaluateAll decides what records want, after what is known of their people.
func (b *batch) evaluateAll(ctx context.Context, records []*record) error {
	var open []*record
	for _, r := range records {
		if b.prove(r); !r.proven && !r.op.Delete {
			open = append(open, r)
		}
	}
	// Of people who sent the same before, the kept record has not been read: it is needed if that proves nothing.
	if err := b.recall(ctx, open); err != nil {
		return err
	}
	eachOf(records, func(r *record) {
		switch {
		case r.op.Delete:
		case !r.proven:
			b.run(r)
		case r.person.Name == "":
			r.name = b.program.Name(r.op.Data)
		}
	})
	return nil
}

// last is the number of the batch's last upload.
func (b *batch) last() int64 { return b.uploads[len(b.uploads)-1].Number }

// follow takes over what the batch before has come to, once that is committed.
func (b *batch) follow() {
	if b.before == nil {
		return
	}
	for anchor, l := range b.people {
		if earlier := b.before.people[anchor]; earlier != nil {
			l.person = earlier.person
		}
	}
	b.before = nil
}

// eachOf calls f for each record, for some at once.
func eachOf(records []*record, f func(*record)) {
	OnAllCores(len(records), 16, func(i int) { f(records[i]) })
}

// prove notes what is known of the record's person, and whether the same record has been carried out before under the
// same program.
func (b *batch) prove(r *record) {
	if l := b.people[r.op.Anchor]; l != nil && !r.op.Delete {
		r.person = l.person
	}
	p := r.person
	r.proven = p != nil && p.ObjectID != "" && p.Hash == r.hash && p.Program == b.program.ID() && b.program.Pure()
}

// run evaluates the program on the record and its kept record.
func (b *batch) run(r *record) {
	r.proven = false
	if !b.kept {
		b.merge(r)
	}
	defer func() { // one record that nobody has foreseen must not end the service, and again at its next start
		if p := recover(); p != nil {
			r.out = &mapping.Outcome{Problem: &mapping.Problem{Code: "InternalError", Reason: "The record could not be evaluated: this is a defect of the service.",
				Advice: "Report it with the job's mapping; its log has more."}}
			b.log.Error("panic while a record was evaluated", "job", b.job.ID, "upload", r.upload.Number, "index", r.index, "stack", string(debug.Stack()))
		}
	}()
	out := b.program.Evaluate(mapping.Record{Sent: r.op.Data, Kept: r.kept, Now: r.upload.Received,
		Seed: seed(b.job, r.upload.Number, r.index)})
	r.out = &out
}

// merge makes the kept record of what is kept and what was sent.
func (b *batch) merge(r *record) {
	r.kept = r.op.Data
	if r.person != nil && len(r.person.Kept) > 0 {
		merged, err := scim.Merge(r.person.Kept, r.op.Data)
		if err == nil {
			r.kept = merged
		}
	}
}

// recall reads the kept records of people of whom it was not read, because their records seemed to be known.
func (b *batch) recall(ctx context.Context, records []*record) error {
	var sought []Sought
	var of []*Person
	for _, r := range records {
		if l := b.people[r.op.Anchor]; l != nil && l.person != nil && l.person.Kept == nil {
			sought, of = append(sought, Sought{Anchor: r.op.Anchor}), append(of, l.person)
		}
	}
	if len(sought) == 0 {
		return nil
	}
	people, err := b.store.People(ctx, b.job.PK, sought)
	if err != nil {
		return fmt.Errorf("read kept records: %w", err)
	}
	for i, p := range people {
		if p != nil {
			*of[i] = *p
		}
	}
	return nil
}

// apply carries a batch of kept records out.
func (b *batch) apply(ctx context.Context, u Unit, t Target) error {
	if err := b.loadPending(u); err != nil {
		return err
	}
	if err := b.waves(ctx, u, t, b.records); err != nil {
		return err
	}
	return b.finishKept(u)
}

// waves carries records out in waves: a second record of one person or object waits for the next.
func (b *batch) waves(ctx context.Context, u Unit, t Target, todo []*record) error {
	b.follow()
	for len(todo) > 0 {
		wave, rest := b.nextWave(todo)
		if err := b.evaluateDeferred(ctx, wave); err != nil {
			return err
		}
		again, err := b.applyWave(ctx, u, t, wave)
		if err != nil {
			return err
		}
		todo = append(again, rest...)
	}
	return nil
}

// release carries out what the batch has held and what has been approved since.
func (b *batch) release(ctx context.Context, u Unit, t Target) error {
	var held []*record
	for _, r := range b.records {
		if r.entry.End != EndHeld {
			continue
		}
		p, err := u.Pending(r.op.Anchor)
		if err != nil {
			return err
		}
		if p == nil || p.Verdict != VerdictApproved || p.Upload != r.upload.Number || p.Index != r.index {
			continue
		}
		r.pending, r.approved, r.object, r.planned, r.entry = p, true, nil, Planned{}, LogEntry{}
		held = append(held, r)
	}
	return b.waves(ctx, u, t, held)
}

func (b *batch) nextWave(todo []*record) (wave, rest []*record) {
	inWave := make(map[string]bool, len(todo))
	for _, r := range todo {
		a := r.op.Anchor
		if a != "" && !r.op.Delete {
			if inWave[a] {
				rest = append(rest, r)
				continue
			}
			inWave[a] = true
		}
		wave = append(wave, r)
	}
	return wave, rest
}

func (b *batch) evaluateDeferred(ctx context.Context, wave []*record) error {
	var deferred []*record
	for _, r := range wave {
		if r.deferred {
			r.deferred = false
			deferred = append(deferred, r)
		}
	}
	return b.evaluateAll(ctx, deferred)
}

// applyWave finds, plans and applies the records of one wave. It returns those that must wait for the next
// because another record of the wave has the same object.
func (b *batch) applyWave(ctx context.Context, u Unit, t Target, wave []*record) (again []*record, err error) {
	open, err := b.find(ctx, u, t, wave)
	if err != nil {
		return nil, err
	}
	if err := locate(u, open); err != nil {
		return nil, err
	}
	open, again = b.plan(open)
	if err := b.chooseUnique(ctx, t, open); err != nil {
		return nil, err
	}
	var changing []*record
	var changes []Change
	for _, r := range open {
		if r.entry.End == "" {
			changing, changes = append(changing, r), append(changes, b.change(r))
		}
	}
	results, err := t.Apply(ctx, changes)
	if err != nil {
		return nil, fmt.Errorf("apply %d changes: %w", len(changes), err)
	}
	for i, r := range changing {
		if results[i].Err != nil && results[i].Err.Separable {
			if results[i], err = b.isolate(ctx, t, r, results[i]); err != nil {
				return nil, err
			}
		}
		b.settle(r, results[i])
	}
	return again, b.flush(u, wave, again)
}

// isolate leaves out the attributes that the target refuses one by one, until it takes the rest of the change or nothing is
// left of it.
func (b *batch) isolate(ctx context.Context, t Target, r *record, res Result) (Result, error) {
	for res.Err != nil && res.Err.Separable {
		if !r.planned.without(res.Err.Attribute) {
			return res, nil
		}
		r.isolated = append(r.isolated, problemOf(res.Err))
		results, err := t.Apply(ctx, []Change{b.change(r)})
		if err != nil {
			return res, fmt.Errorf("apply a change without %s: %w", res.Err.Attribute, err)
		}
		res = results[0]
	}
	return res, nil
}

// plan decides what each record does to its object. It returns those that write, and those that must wait because
// another record of the wave has the same object; the others have ended.
func (b *batch) plan(open []*record) (writing, again []*record) {
	inWave := map[string]bool{}
	planned := Ahead(len(open), 32, func(i int) { open[i].planned = b.planOne(open[i]) })
	for i, r := range open {
		planned(i)
		if r.object != nil {
			if inWave[r.object.ID] {
				r.object, r.planned = nil, Planned{}
				again = append(again, r)
				continue
			}
			inWave[r.object.ID] = true
		}
		switch {
		case r.planned.destroys() && b.redo != nil && r.rejected() && !r.approved:
			b.spare(r)
		case r.planned.destroys() && b.policy.holds() && !r.approved:
			b.hold(r)
		case !r.planned.writes():
			b.settle(r, Result{})
		default:
			writing = append(writing, r)
		}
	}
	return writing, again
}

func (b *batch) planOne(r *record) Planned {
	if r.out.OutOfScope != "" {
		return planLeave(r.object, b.policy.leave, b.program.FlowTypes())
	}
	if b.redo != nil && r.deletedByOthers() {
		return Planned{End: EndSkipped}
	}
	p := Plan(r.out, r.object, b.program.FlowTypes())
	p.refer(r, b.program.FlowTypes())
	return p
}

// deletedByOthers reports whether somebody else than the job has put the account into deleted items: it comes back when its
// person is sent again, not because a mapping changes.
func (r *record) deletedByOthers() bool {
	return r.object != nil && !r.object.Deleted.IsZero() && r.person != nil && r.person.Version != r.object.Version
}

func (b *batch) change(r *record) Change {
	if r.object == nil {
		if r.newID == "" {
			r.newID = objectID(b.job, r.upload.Received, r.upload.Number, r.index).String()
		}
		return Change{Create: true, Set: r.planned.Set, ID: r.newID}
	}
	return Change{ID: r.object.ID, Version: r.object.Version, Set: r.planned.Set, Delete: r.planned.End == EndDeleted, Restore: r.planned.Restore}
}

// find decides the records that need no object and looks up the objects of the others, which it returns.
func (b *batch) find(ctx context.Context, u Unit, t Target, wave []*record) ([]*record, error) {
	open, err := b.findLinked(ctx, u, t, wave)
	if err != nil {
		return nil, err
	}
	var found []*record
	var unmatched []*record
	for _, r := range open {
		switch {
		case r.object != nil:
			found = append(found, r)
		case r.out.OutOfScope != "": // there is nothing that could leave with the person
			b.outOfScope(r)
		default:
			unmatched = append(unmatched, r)
		}
	}
	matched, err := b.match(ctx, u, t, unmatched)
	return append(found, matched...), err
}

// findLinked ends the records that need no target, asks for the linked objects of the others, and ends those
// that are proved to be unchanged. A link to an object that is gone is dropped: the record is matched anew.
func (b *batch) findLinked(ctx context.Context, u Unit, t Target, wave []*record) ([]*record, error) {
	var open, linked []*record
	var queries []Query
	for _, r := range wave {
		if b.refuse(r) {
			continue
		}
		open = append(open, r)
		if r.person != nil && r.person.ObjectID != "" {
			q := Query{ID: r.person.ObjectID}
			if r.proven {
				q.Version = r.person.Version
			}
			linked, queries = append(linked, r), append(queries, q)
		}
	}
	answers, err := t.Find(ctx, queries)
	if err != nil {
		return nil, fmt.Errorf("find %d linked objects: %w", len(queries), err)
	}
	for i, r := range linked {
		switch {
		case answers[i].Same:
			b.unchanged(r)
			if r.person.Name != "" { // it was read, not remembered
				u.Remember(r.person)
			}
		default:
			if r.object = answers[i].Object; r.object == nil {
				r.lost = r.person.ObjectID
			}
		}
	}
	return b.disprove(ctx, open)
}

// disprove drops the records that have ended and runs the program for those whose proof has failed.
func (b *batch) disprove(ctx context.Context, open []*record) ([]*record, error) {
	var disproved []*record
	for _, r := range open {
		if r.entry.End == "" && r.proven {
			disproved = append(disproved, r)
		}
	}
	if err := b.recall(ctx, disproved); err != nil {
		return nil, err
	}
	left := open[:0]
	for _, r := range open {
		if r.entry.End != "" {
			continue
		}
		if r.proven {
			b.run(r)
			if b.refuse(r) {
				continue
			}
		}
		left = append(left, r)
	}
	return left, nil
}

// match looks for objects by the matching attributes, in the order of their precedence.
func (b *batch) match(ctx context.Context, u Unit, t Target, open []*record) ([]*record, error) {
	left := open
	for precedence := 0; len(left) > 0; precedence++ {
		var asked []*record
		var queries []Query
		for _, r := range left {
			if precedence < len(r.out.Matching) {
				m := r.out.Matching[precedence]
				asked, queries = append(asked, r), append(queries, Query{Attribute: m.Attribute, Value: m.Value.String()})
			}
		}
		if len(asked) == 0 {
			break
		}
		answers, err := t.Find(ctx, queries)
		if err != nil {
			return nil, fmt.Errorf("match %d records: %w", len(queries), err)
		}
		left = left[:0:0]
		for i, r := range asked {
			switch a := answers[i]; {
			case len(a.Ambiguous) > 0:
				b.fail(r, ambiguous(queries[i], a.Ambiguous))
			case a.Object != nil:
				r.object = a.Object
			default:
				left = append(left, r)
			}
		}
	}
	return b.refuseTaken(u, open)
}

func ambiguous(q Query, ids []string) mapping.Problem {
	return mapping.Problem{Code: "DuplicateTargetEntries", Attribute: q.Attribute,
		Reason: fmt.Sprintf("%d objects have %s '%s', so it is not clear which of them this person is", len(ids), q.Attribute, q.Value),
		Advice: "Remove the duplicate from the directory, or match by an attribute that is unique."}
}

// refuseTaken fails the records whose object is linked to another person of the job.
func (b *batch) refuseTaken(u Unit, open []*record) ([]*record, error) {
	var ids []string
	for _, r := range open {
		if r.object != nil {
			ids = append(ids, r.object.ID)
		}
	}
	anchors, err := u.LinkedAnchors(ids)
	if err != nil {
		return nil, err
	}
	i, left := 0, open[:0]
	for _, r := range open {
		if r.object != nil {
			taken := anchors[i]
			i++
			if taken != "" && taken != r.op.Anchor {
				b.fail(r, mapping.Problem{Code: "DuplicateSourceEntries", Attribute: r.out.Matching[0].Attribute,
					Reason: fmt.Sprintf("the object '%s' that matches this person belongs to the person with externalId '%s' already", objectName(r.object), taken),
					Advice: "Two people of the source claim one account: correct the matching value of one of them."})
			}
		}
		if r.entry.End == "" {
			left = append(left, r)
		}
	}
	return left, nil
}
