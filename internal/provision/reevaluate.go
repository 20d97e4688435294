package provision

import (
	"context"
	"fmt"
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
func (r *runner) reevaluate(ctx context.Context) (bool, error) {
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
	position, err := r.s.store.Position(ctx, job.PK)
	if err != nil {
		return false, err
	}
	status, err := r.s.store.JobStatus(ctx, job.PK)
	if err != nil {
		return false, err
	}
	r.ahead = nil // it was prepared on people who may change now
	cycle := &Cycle{Number: status.Cycle}
	if len(people) == 0 {
		return true, r.endReevaluation(ctx, job, cycle, position, *re)
	}
	began := r.s.now()
	b := r.prepareKept(job, program, cycle, *re, people)
	err = r.s.store.Unit(ctx, Fence{JobPK: job.PK, Position: position}, func(u Unit) error {
		return b.apply(ctx, u, r.s.target.In(u))
	})
	if err != nil {
		return false, fmt.Errorf("re-evaluation %d of %d people: %w", re.Number, len(people), err)
	}
	r.stride.took(r.s.now().Sub(began))
	r.report(ctx, b)
	return true, nil
}

// prepareKept makes a batch of people as if their kept records had been sent again.
func (r *runner) prepareKept(job *Job, program *mapping.Program, cycle *Cycle, re Reevaluation, people []KeptPerson) *batch {
	re.Cursor = people[len(people)-1].Place
	b := &batch{store: r.s.store, job: job, program: program, cycle: cycle, began: r.s.now(), redo: &re,
		people: map[string]*latest{}, unread: map[string]int64{}}
	for i := range people {
		p := &people[i]
		b.people[p.Anchor] = &latest{&p.Person}
		b.records = append(b.records, &record{person: &p.Person, place: p.Place, hash: p.Hash, kept: p.Kept,
			upload: &Queued{Number: p.Upload, Received: re.Began}, index: p.Index, op: &Operation{Anchor: p.Anchor, Data: p.Kept}})
	}
	eachOf(b.records, b.run)
	return b
}

// finishReevaluated writes entries for the changes and the failures, and moves the re-evaluation.
func (b *batch) finishReevaluated(u Unit) error {
	var entries []LogEntry
	for _, r := range b.records {
		b.redo.Evaluated++
		b.redo.Ends[r.entry.End]++
		if r.entry.End == EndUnchanged || r.entry.End == EndSkipped {
			continue
		}
		e := r.entry
		e.Upload, e.Index, e.BulkID = -b.redo.Number, int(r.place), ""
		entries = append(entries, e)
	}
	if err := u.Append(entries); err != nil {
		return err
	}
	return u.Reevaluated(*b.redo)
}

// endReevaluation resolves the references that have become ready and ends the re-evaluation.
func (r *runner) endReevaluation(ctx context.Context, job *Job, cycle *Cycle, position int64, re Reevaluation) error {
	re.Ended = r.s.now()
	err := r.resolveReady(ctx, job, cycle, position, func(u Unit) error { return u.Reevaluated(re) })
	if err != nil {
		return fmt.Errorf("end of re-evaluation %d: %w", re.Number, err)
	}
	r.s.changed()
	r.s.log.Info("re-evaluated everybody", "job", job.ID, "reevaluation", re.Number, "people", re.Evaluated, "ends", re.Ends, "duration_ms", milliseconds(re.Ended.Sub(re.Began)))
	return nil
}

// SetSchema gives a job another schema, under a new version, and has everybody re-evaluated in the background. Errors
// of the schema are those of mapping.Compile; then nothing has changed.
func (s *Service) SetSchema(ctx context.Context, jobPK int64, schema *mapping.Schema) error {
	return s.edit(ctx, jobPK, true, func(j *Job) {
		next := *schema
		next.ID, next.Version = j.ID, nextVersion(j.Schema.Version)
		j.Schema = &next
	})
}

// Reevaluate has everybody of a job re-evaluated from the kept records in the background.
func (s *Service) Reevaluate(ctx context.Context, jobPK int64) error {
	return s.edit(ctx, jobPK, true, func(*Job) {})
}

// edit changes a copy of the job and puts it in the job's place. It compiles it first, so that a job that cannot run is
// never stored.
func (s *Service) edit(ctx context.Context, jobPK int64, reevaluate bool, change func(*Job)) error {
	s.editing.Lock()
	defer s.editing.Unlock()
	j, _, err := s.compiled(jobPK)
	if err != nil {
		return err
	}
	next := *j
	change(&next)
	program, err := s.compile(&next)
	if err != nil {
		return err
	}
	if reevaluate {
		err = s.store.BeginReevaluation(ctx, &next, s.now())
	} else {
		err = s.store.PutJob(ctx, &next)
	}
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
