package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"induct/internal/mapping"
)

// A re-evaluation brings everybody to what the job's program wants now, from the kept records. It works in batches like
// an upload's, between those of uploads, on the same runner: what is sent meanwhile stays in order with it.

// reevaluationBatch is how many people are taken at a time at most: few, so that uploads do not wait.
const reevaluationBatch = 1000

// reevaluationStart is how many people are taken first: the expressions of a new schema may be slow.
const reevaluationStart = 16

// stride says how many people the next batch of a re-evaluation takes.
type stride struct {
	of     int64 // the re-evaluation
	people int
}

// next is the size of a re-evaluation's next batch.
func (s *stride) next(reevaluation int64) int {
	if s.of != reevaluation || s.people == 0 {
		*s = stride{reevaluation, reevaluationStart}
	}
	return s.people
}

// took takes twice as many people while a batch is quick, and half as many when one keeps uploads waiting.
func (s *stride) took(d time.Duration) {
	switch {
	case d < 250*time.Millisecond:
		s.people = min(2*s.people, reevaluationBatch)
	case d > time.Second:
		s.people = max(s.people/2, 1)
	}
}

// uploadsFirst is how many batches of uploads may go before a batch of a re-evaluation that is under way.
const uploadsFirst = 4

// reevaluate does the next batch of the job's re-evaluation, and reports whether there was one to do.
func (r *runner) reevaluate(ctx context.Context, lane Lane) (bool, error) {
	re, err := r.s.store.Reevaluation(ctx, r.jobPK)
	if err != nil || re == nil || !re.Ended.IsZero() {
		return false, err
	}
	// The edit that began it may be about to install its program: it has done so when it gives the lock back.
	r.s.editing.Lock()
	job, program, err := r.s.compiled(r.jobPK)
	r.s.editing.Unlock()
	if err != nil {
		return false, err
	}
	people, err := r.s.store.PeopleAfter(ctx, job.PK, re.Cursor, r.stride.next(re.Number))
	if err != nil {
		return false, err
	}
	b := r.prepareKept(job, program, lane)
	if len(people) == 0 {
		return true, r.endReevaluation(ctx, job, b.cycle, lane, *re)
	}
	b.redo = re
	re.Cursor = people[len(people)-1].Place
	for i := range people {
		b.addKept(&people[i].Person, people[i].Place, nil)
	}
	eachOf(b.records, b.run)
	err = r.s.store.Unit(ctx, whole(job, &lane), func(u Unit) error {
		return b.apply(ctx, u, r.target(u))
	})
	if err != nil {
		if errors.Is(err, ErrFenced) { // uploads of the same people, elsewhere: fewer meet fewer of them
			r.stride.people = max(r.stride.people/2, 1)
		}
		return false, fmt.Errorf("re-evaluation %d of %d people: %w", re.Number, len(people), err)
	}
	r.stride.took(r.s.now().Sub(b.began))
	r.report(ctx, b)
	return true, nil
}

// prepareKept makes an empty batch of kept records. It forgets what was prepared on people who may change now.
func (r *runner) prepareKept(job *Job, program *mapping.Program, lane Lane) *batch {
	r.ahead = nil
	return &batch{store: r.s.store, log: r.s.log, job: job, program: program, cycle: &Cycle{Number: lane.Latest}, began: r.s.now(), policy: r.s.policy(job),
		kept: true, clock: time.Now(), people: map[string]*latest{}, unread: map[string]int64{}}
}

// addKept adds a person to a batch as if the kept record had been sent again, or the one that is pending.
func (b *batch) addKept(p *Person, place int64, pending *Pending) {
	b.people[p.Anchor] = &latest{p}
	// What is proved is that the kept record changes nothing, which need not be the record that was sent last.
	r := &record{person: p, place: place, hash: hashOf(p.Kept), kept: p.Kept,
		upload: &Queued{Number: p.Upload, Received: b.began}, index: p.Index, op: &Operation{Anchor: p.Anchor, Data: p.Kept}}
	if b.redo != nil {
		r.upload.Received = b.redo.Began
	}
	if pending != nil {
		r.resume(pending)
	}
	b.records = append(b.records, r)
}

// resume goes on with a record that is pending.
func (r *record) resume(p *Pending) {
	r.pending, r.approved = p, r.approved || p.Verdict == VerdictApproved || p.Allowed
	if p.Record != nil {
		r.op.Data, r.hash = p.Record, hashOf(p.Record)
	}
}

// loadPending reads what keeps the latest records of the batch's people from their ends.
func (b *batch) loadPending(u Unit) error {
	for _, r := range b.records {
		if r.pending != nil || r.person.Pending == PendingNone {
			continue
		}
		p, err := u.Pending(r.op.Anchor)
		if err != nil {
			return err
		}
		if p != nil { // it is a part of the kept record, all of which is carried out now
			whole := *p
			whole.Record = nil
			r.resume(&whole)
		}
	}
	return nil
}

// finishKept writes the entries of kept records: of a re-evaluation those of changes and failures alone.
func (b *batch) finishKept(u Unit) error {
	for _, r := range b.records {
		if b.redo != nil {
			b.redo.Evaluated++
			b.redo.Ends[r.entry.End]++
		}
		if b.keptEntry(r) {
			r.entry.Duration = time.Since(b.clock)
			b.said = append(b.said, r.entry)
		}
	}
	if err := errors.Join(u.Append(b.said), reached(u, b.began, Slot{Effects: b.effects})); err != nil || b.redo == nil {
		return err
	}
	return u.Reevaluated(*b.redo)
}

// keptEntry gives the entry of a kept record its place, and reports whether it has anything to say.
func (b *batch) keptEntry(r *record) bool {
	e := &r.entry
	switch p := r.pending; {
	case p != nil && e.End == EndHeld && p.Kind == PendingHeld:
		return false
	case p != nil:
		e.Upload, e.Index, e.BulkID = p.Upload, p.Index, p.BulkID
		if e.End == EndRetrying {
			n := p.Attempts + 1
			e.Advice = fmt.Sprintf("Nothing to do: this was attempt %d, the next is after %s.", n, nextAttempt(b.began, b.job, p.Upload, p.Index, n).UTC().Format(time.RFC3339))
		} else if p.Kind == PendingRetry {
			e.Warnings = append(slices.Clone(e.Warnings), fmt.Sprintf("The record had failed before: this was attempt %d.", p.Attempts+1))
		}
		return true
	case b.redo != nil:
		e.Upload, e.Index, e.BulkID = -b.redo.Number, int(r.place), ""
		return e.End != EndUnchanged && e.End != EndSkipped
	}
	e.Upload, e.Index, e.BulkID = 0, int(b.began.UnixMilli()), ""
	return true
}

// endReevaluation resolves the references that have become ready and ends the re-evaluation.
func (r *runner) endReevaluation(ctx context.Context, job *Job, cycle *Cycle, lane Lane, re Reevaluation) error {
	re.Ended = r.s.now()
	err := r.resolveReady(ctx, job, cycle, lane, func(u Unit) error { return u.Reevaluated(re) })
	if err != nil {
		return fmt.Errorf("end of re-evaluation %d: %w", re.Number, err)
	}
	r.s.changed()
	r.s.log.Info("re-evaluated everybody", "job", job.ID, "reevaluation", re.Number, "people", re.Evaluated, "ends", re.Ends, "duration_ms", milliseconds(re.Ended.Sub(re.Began)))
	return nil
}

// SetSchema gives a job another schema, under a new version, and has everybody re-evaluated in the background. A quarantine for
// failed records ends (Microsoft Learn, "Application provisioning in quarantine status"). Errors of the schema are those of mapping.Compile; then nothing has changed.
func (s *Service) SetSchema(ctx context.Context, jobPK int64, schema *mapping.Schema) error {
	var before *mapping.Schema
	return s.edit(ctx, jobPK, func(j *Job) {
		next := *schema
		before = j.Schema
		next.ID, next.Version = j.ID, nextVersion(j.Schema.Version)
		j.Schema = &next
	}, func(u Unit, j *Job) error {
		return errors.Join(u.BeginReevaluation(s.now()), s.forgive(u, j), u.Audit(s.audit(j, ActorOf(ctx), auditMappings, "Update", Audit{Modified: schemaChanges(before, j.Schema)})))
	})
}

// forgive ends a quarantine that records have caused by failing: they are about to be evaluated anew.
func (s *Service) forgive(u Unit, j *Job) error {
	cond, err := u.Condition()
	if err != nil || cond.Quarantine == nil {
		return err
	}
	switch cond.Quarantine.Reason {
	case QuarantineProportion, QuarantineBase, QuarantineTotal:
		return errors.Join(s.release(u, j, &cond, "the mapping was changed"), u.PutCondition(cond))
	}
	return nil
}

// Reevaluate has everybody of a job re-evaluated from the kept records in the background.
func (s *Service) Reevaluate(ctx context.Context, jobPK int64) error {
	return s.edit(ctx, jobPK, func(*Job) {}, func(u Unit, _ *Job) error { return u.BeginReevaluation(s.now()) })
}

// edit changes a copy of the job and puts it in the job's place, in one transaction with what also does. It begins anew if somebody
// else has changed the job since it was read: change and also may be called several times.
func (s *Service) edit(ctx context.Context, jobPK int64, change func(*Job), also func(Unit, *Job) error) error {
	return s.insist(ctx, func() error { return s.editOnce(ctx, jobPK, change, also) })
}

// editOnce is one attempt to edit. It compiles the job first, so that a job that cannot run is never stored.
func (s *Service) editOnce(ctx context.Context, jobPK int64, change func(*Job), also func(Unit, *Job) error) error {
	s.editing.Lock()
	defer s.editing.Unlock()
	j, _, err := s.compiled(jobPK)
	if err == nil && j.State == JobDeleted {
		err = fmt.Errorf("job %s: %w", j.ID, ErrNotFound)
	}
	if err != nil {
		return err
	}
	next := *j
	change(&next)
	program, err := s.compile(&next)
	if err != nil {
		return err
	}
	err = s.store.Unit(ctx, free(j), func(u Unit) error {
		return errors.Join(u.PutJob(&next), also(u, &next))
	})
	if err != nil {
		return err
	}
	s.install(&next, program)
	return nil
}

// nextVersion counts versions of the form v1.N; what else a client has put there is followed by v1.1.
func nextVersion(v string) string {
	n := 0
	if _, err := fmt.Sscanf(v, "v1.%d", &n); err != nil {
		n = 0
	}
	return fmt.Sprintf("v1.%d", n+1)
}
