package provision

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
)

// runner takes the lanes of one job that this process holds to the end of the job's queue, batch by batch. There is one per job
// and process. What it keeps in memory saves work and decides nothing: whatever it commits is fenced, and the store's rows are
// what the next step of whichever process goes by.
type runner struct {
	s     *Service
	jobPK int64
	wake  chan struct{} // capacity 1: a hint that there may be something to do

	mu      sync.Mutex // a step, or what somebody has ordered: in this process they do not get into each other's way
	ahead   *batch     // prepared while the batch before it was committed; nil if there is none
	first   int        // batches of uploads since something else had its turn
	stride  stride     // of re-evaluations
	removed bool       // nothing is left of a job that was deleted
}

const (
	batchRecords    = 2000             // records of a batch: they share a commit, and what is accepted meanwhile waits for it
	mostPassed      = 8                // times as many records of other lanes are passed at most for a batch of some of a job's lanes
	referenceBatch  = 1000             // references resolved together
	resolveRounds   = 4                // so often in one transaction; the second finds nothing more, unless there is much
	pollInterval    = time.Second      // how long a lost hint can delay work
	longestCycle    = time.Minute      // before a cycle ends although more uploads wait
	maxRetryBackoff = 30 * time.Second // between attempts while the target or the store does not answer
)

func (r *runner) hint() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends. A failure of a whole step (unreachable target, full disk) is logged and tried again
// with growing pauses: it counts against nobody's record.
func (r *runner) run(ctx context.Context) {
	backoff, fenced := 100*time.Millisecond, 0
	for ctx.Err() == nil {
		worked, err := r.work(ctx)
		if errors.Is(err, ErrFenced) && ctx.Err() == nil {
			r.s.log.Debug("somebody else was first; the step is redone", "job", r.s.jobID(r.jobPK), "error", err)
			sleep(ctx, fencedPause(fenced))
			fenced++
			continue
		}
		fenced = 0
		switch {
		case err != nil && ctx.Err() != nil:
			return
		case err != nil:
			r.s.log.Error("provisioning step failed; it will be tried again", "job", r.s.jobID(r.jobPK), "error", err, "retry_in_ms", backoff.Milliseconds())
			sleep(ctx, backoff)
			if backoff = min(2*backoff, maxRetryBackoff); errors.Is(err, ErrUnavailable) {
				backoff = min(backoff, pollInterval) // the lanes are held meanwhile
			}
		case worked:
			backoff = 100 * time.Millisecond
		default:
			r.wait(ctx)
		}
	}
}

// fencedPause is how long to wait after so many attempts that were fenced: next to nothing at first, at random, so that two who get into
// each other's way do not do it again.
func fencedPause(attempts int) time.Duration {
	return rand.N(2 * time.Millisecond << min(attempts, 8))
}

// work does the next step and notes in the job's condition if the target did not answer. ErrFenced: somebody else was first, and
// the step is to be redone from what is stored now.
func (r *runner) work(ctx context.Context) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	worked, err := r.step(ctx)
	var down *downError
	switch {
	case err == nil || ctx.Err() != nil:
		return worked, err
	case errors.Is(err, ErrFenced):
		r.ahead = nil
		return true, errors.Join(err, r.s.Refresh(ctx))
	case errors.As(err, &down):
		job, _, jobErr := r.s.compiled(r.jobPK)
		if jobErr != nil {
			return false, errors.Join(err, jobErr)
		}
		noted := r.s.store.Unit(ctx, Fence{JobPK: r.jobPK, Free: true}, func(u Unit) error {
			cond, err := u.Condition()
			if err == nil {
				err = r.s.down(u, job, &cond, down.err)
			}
			return errors.Join(err, u.PutCondition(cond))
		})
		return false, errors.Join(err, noted)
	}
	return false, err
}

// target is the job's target inside u; an error of a call says that it is down.
func (r *runner) target(u Unit) Target { return watched{r.s.target.In(u)} }

type watched struct{ Target }

func (w watched) Find(ctx context.Context, queries []Query) ([]Found, error) {
	found, err := w.Target.Find(ctx, queries)
	if err == nil && len(found) != len(queries) {
		err = fmt.Errorf("%d answers to %d queries", len(found), len(queries))
	}
	return found, downOr(ctx, err)
}

func (w watched) Apply(ctx context.Context, changes []Change) ([]Result, error) {
	results, err := w.Target.Apply(ctx, changes)
	if err == nil && len(results) != len(changes) {
		err = fmt.Errorf("%d results of %d changes", len(results), len(changes))
	}
	return results, downOr(ctx, err)
}

// downOr returns err as a downError, unless it is the store's trouble or the end of the work.
func downOr(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrNoSpace) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFenced) {
		return err
	}
	return &downError{err}
}

func (r *runner) wait(ctx context.Context) {
	t := time.NewTimer(pollInterval)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-t.C:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// step does the next piece of work, and reports whether there was any: first what has been decided, then a batch of the open
// cycle or the cycle's end, and between them retries and the re-evaluation. What spans lanes is done by whoever holds the first of
// them; others have batches of the open cycle to do, and wait for anything else.
func (r *runner) step(ctx context.Context) (bool, error) {
	job, program, err := r.s.compiled(r.jobPK)
	if err != nil || r.removed {
		return false, err
	}
	lane, err := r.s.store.Lane(ctx, job.PK)
	switch {
	case err != nil:
		return false, err
	case lane.Held == 0:
		r.ahead = nil
		return false, nil
	case !lane.First:
		if lane.waits(job, r.s.now()) || r.s.needsMailNow(job, &lane) {
			return false, nil
		}
		return r.batch(ctx, job, program, lane)
	case job.State == JobDeleted:
		return r.remove(ctx, job, lane)
	}
	active := job.State == JobActive
	q, now := lane.Condition.Quarantine, r.s.now()
	switch {
	case lane.Condition.Unlink != nil:
		return true, r.unlink(ctx, job, lane)
	case lane.Refused:
		return true, r.refuse(ctx, job, lane)
	case lane.overdue(job, now):
		return true, r.s.giveUp(ctx, job)
	case lane.Approved && active:
		r.ahead = nil
		return true, r.carryOut(ctx, job, program, lane, SetApproved)
	case lane.Unjudged && lane.Condition.braked():
		return true, r.stage(ctx, job, lane)
	case active && q == nil && lane.ripe(now):
		return true, r.judgeAlone(ctx, job, lane)
	case lane.Cycle != nil && lane.finished() && job.State != JobDisabled:
		return true, r.closeCycle(ctx, job, lane)
	case q != nil && now.Before(q.NextAttempt):
		return false, nil
	case r.s.needsMailNow(job, &lane):
		return true, r.attempt(ctx, job, lane)
	case !active && (job.State != JobPaused || lane.Cycle == nil): // a cycle that is open when a job is paused is finished
		return false, nil
	}
	uploads := lane.Waits && !lane.done()
	if r.first >= uploadsFirst || !uploads {
		r.first = 0
		if worked, err := r.between(ctx, job, program, lane); worked || err != nil || !uploads {
			return worked, err
		}
	}
	r.first++
	if lane.Cycle == nil {
		if lane.Cycle, err = r.s.store.OpenCycle(ctx, job.PK, now); err != nil || lane.Cycle == nil {
			return false, err
		}
	}
	return r.batch(ctx, job, program, lane)
}

// waits reports whether lanes without the first have nothing to do: no cycle is open or they have done their part of it, the job
// does not run, or something is under way that goes before uploads.
func (l *Lane) waits(job *Job, now time.Time) bool {
	q, active := l.Condition.Quarantine, job.State == JobActive
	return l.Cycle == nil || l.done() || !active && job.State != JobPaused ||
		l.Condition.Unlink != nil || l.Refused || l.Approved && active || l.overdue(job, now) || q != nil && now.Before(q.NextAttempt)
}

// done reports whether the lanes have come to the end of the open cycle.
func (l *Lane) done() bool { return l.Cycle != nil && l.Position >= l.Cycle.To }

// finished reports whether all lanes of the job have come to the end of the open cycle, or what is left of it has been purged.
func (l *Lane) finished() bool {
	return l.Job >= l.Cycle.To || !l.Waits && l.Job >= l.Position
}

// overdue reports whether an active job has been in quarantine for too long.
func (l *Lane) overdue(job *Job, now time.Time) bool {
	q := l.Condition.Quarantine
	return job.State == JobActive && q != nil && !now.Before(q.SeriesBegan.Add(quarantineLimit))
}

// needsMailNow reports whether an active job is in quarantine because there is nobody to notify, and still is not.
func (s *Service) needsMailNow(job *Job, lane *Lane) bool {
	q := lane.Condition.Quarantine
	return q != nil && job.State == JobActive && q.Code == codeNoMail && s.needsMail(job)
}

// whole is the fence of what spans the lanes of a job.
func whole(job *Job, lane *Lane) Fence {
	return Fence{JobPK: job.PK, Whole: true, Epoch: lane.Epoch, Revision: job.Revision}
}

// free is the fence of what anybody does to a job, wherever its lanes are and whoever holds them.
func free(job *Job) Fence { return Fence{JobPK: job.PK, Free: true, Revision: job.Revision} }

// between does what has its turn between the batches of uploads, and when there are none.
func (r *runner) between(ctx context.Context, job *Job, program *mapping.Program, lane Lane) (bool, error) {
	if !lane.Due.IsZero() && !r.s.now().Before(lane.Due) {
		r.ahead = nil
		return true, r.carryOut(ctx, job, program, lane, SetDue)
	}
	if !lane.Deferred.IsZero() && !r.s.now().Before(lane.Deferred) {
		r.ahead = nil
		return true, r.resolveReady(ctx, job, &Cycle{Number: lane.Latest}, lane, func(Unit) error { return nil })
	}
	worked, err := r.reevaluate(ctx, lane)
	switch {
	case worked || err != nil || lane.Waits || lane.Cycle != nil:
		return worked, err
	case lane.Condition.Quarantine != nil:
		return true, r.attempt(ctx, job, lane)
	}
	return false, nil
}

// batch commits the batch at the lanes' position, and prepares the next one meanwhile. It reports whether there was anything to do.
func (r *runner) batch(ctx context.Context, job *Job, program *mapping.Program, lane Lane) (bool, error) {
	lane.To = min(lane.To, lane.Cycle.To)
	b := r.ahead
	r.ahead = nil
	if b == nil || b.program != program || b.job != job || b.at != lane.at() || b.last() > lane.To {
		var err error
		if b, err = r.prepare(ctx, nil, job, program, lane.at(), lane.To); err != nil {
			return false, err
		}
		if b == nil { // what is left of the cycle has been purged
			return true, r.pass(ctx, job, lane)
		}
	}
	b.cycle, b.began, b.clock, b.policy = lane.Cycle, r.s.now(), time.Now(), r.s.policy(job)
	committed := make(chan error, 1)
	go func() {
		committed <- r.s.store.Unit(ctx, b.at.fence(job), func(u Unit) error {
			return r.commit(ctx, u, b)
		})
	}()
	next, aheadErr := r.prepareNext(ctx, b, lane)
	if err := <-committed; err != nil {
		return true, fmt.Errorf("batch of %d records after upload %d: %w", len(b.records), b.at.position, err)
	}
	if aheadErr == nil { // else it is tried again when it is its turn
		r.ahead = next
	}
	r.s.changed()
	r.report(ctx, b)
	return true, nil
}

// pass moves lanes over uploads that have been purged.
func (r *runner) pass(ctx context.Context, job *Job, lane Lane) error {
	if lane.First && lane.Job >= lane.Position { // and so does the end of the cycle, for all lanes at once
		return r.closeCycle(ctx, job, lane)
	}
	return r.s.store.Unit(ctx, lane.at().fence(job), func(u Unit) error {
		return u.Advance([]UploadResult{{Number: lane.To}}, lane.Cycle.Number, r.s.now())
	})
}

// stand is where a batch begins: lanes, and how far they have committed.
type stand struct {
	lanes    LaneSet
	epoch    int64
	position int64
}

// at is where the next batch of the lanes begins.
func (l *Lane) at() stand { return stand{l.Lanes, l.Epoch, l.Position} }

func (s stand) fence(job *Job) Fence {
	return Fence{JobPK: job.PK, Lanes: s.lanes, Epoch: s.epoch, Position: s.position, Revision: job.Revision}
}

// prepareNext prepares the batch that follows b, which is being committed; nil if there is none yet.
func (r *runner) prepareNext(ctx context.Context, b *batch, lane Lane) (*batch, error) {
	to, at := lane.To, b.at
	at.position = b.last()
	if at.position == to {
		if to < lane.Cycle.To { // other lanes stand there, which go on together with these
			return nil, nil
		}
		to = math.MaxInt64 // what waits after it is all of the next cycle, which begins later
	}
	return r.prepare(ctx, b, b.job, b.program, at, to)
}

// commit is all of a batch: its effects, the few disables that need not wait, the entries and counts, and the end of the
// cycle if it is the last. What is about people comes first: from the first thing that is about the job, others wait for the Unit.
func (r *runner) commit(ctx context.Context, u Unit, b *batch) error {
	t := r.target(u)
	if err := b.waves(ctx, u, t, b.records); err != nil {
		return err
	}
	if b.holding {
		pass, err := r.passFew(u, b.job)
		if err == nil && pass {
			err = b.release(ctx, u, t)
		}
		if err != nil {
			return err
		}
	}
	if err := b.finish(u); err != nil || b.last() < b.cycle.To || b.job.Lanes > 1 {
		return err // of several lanes others may still be on their way: the cycle's end is a Unit of its own
	}
	end, err := r.endOf(u, b.cycle, b.job.State == JobActive)
	if err == nil && end != cycleGoesOn {
		err = r.endCycle(ctx, u, b.job, b.cycle, end, &sweep{})
	}
	return err
}

// judgeAlone judges what is held.
func (r *runner) judgeAlone(ctx context.Context, job *Job, lane Lane) error {
	return r.s.store.Unit(ctx, whole(job, &lane), func(u Unit) error {
		cond, err := u.Condition()
		if err == nil {
			err = r.judge(u, job, &cond)
		}
		return errors.Join(err, u.PutCondition(cond))
	})
}

// attempt concludes an attempt of a job in quarantine that had nothing to do but to ask whether the target is there.
func (r *runner) attempt(ctx context.Context, job *Job, lane Lane) error {
	return r.s.store.Unit(ctx, whole(job, &lane), func(u Unit) error {
		cond, err := u.Condition()
		if err != nil {
			return err
		}
		if cond.Quarantine != nil && cond.Quarantine.Reason == QuarantineException && cond.Quarantine.Code != codeNoMail {
			if _, err := r.target(u).Find(ctx, []Query{{ID: uuid.Nil.String()}}); err != nil {
				return err
			}
			cond.Unreachable, cond.SuccessiveFailures = time.Time{}, 0
		}
		if err := r.s.conclude(u, job, &cond); err != nil {
			return err
		}
		return u.PutCondition(cond)
	})
}

// prepare prepares the batch of the uploads after where lanes stand, up to number to; nil if there are none. before is the batch
// that is being committed, or nil.
func (r *runner) prepare(ctx context.Context, before *batch, job *Job, program *mapping.Program, at stand, to int64) (*batch, error) {
	passed := batchRecords * min(max(job.Lanes, 1)/max(at.lanes.Len(), 1), mostPassed)
	uploads, err := r.s.store.Next(ctx, job.PK, at.position, to, passed)
	if err != nil || len(uploads) == 0 {
		return nil, err
	}
	return prepare(ctx, r.s.store, r.s.log, before, job, program, at, uploads)
}

// cycleEnd says how a cycle comes to its end.
type cycleEnd uint8

// It goes on, because more uploads wait and it is young; it ends although they wait; it ends and nothing waits.
const (
	cycleGoesOn cycleEnd = iota
	cycleFull
	cycleIdle
)

// endOf decides whether a cycle whose last upload is reached ends now. While uploads wait and it is young they become part of
// it, if it may go on: what comes as one load is one cycle, whose references are written in one sweep.
func (r *runner) endOf(u Unit, cycle *Cycle, mayGoOn bool) (cycleEnd, error) {
	idle, err := u.Idle()
	switch {
	case err != nil:
		return cycleGoesOn, err
	case idle:
		return cycleIdle, nil
	case !mayGoOn || r.s.now().Sub(cycle.Began) >= longestCycle:
		return cycleFull, nil
	}
	return cycleGoesOn, u.ExtendCycle(cycle)
}

// closeCycle does the next thing that is left to do at a cycle's end.
func (r *runner) closeCycle(ctx context.Context, job *Job, lane Lane) error {
	cycle, q := lane.Cycle, lane.Condition.Quarantine
	mayGoOn := job.State == JobActive && (q == nil || !r.s.now().Before(q.NextAttempt))
	err := r.s.store.Unit(ctx, whole(job, &lane), func(u Unit) error {
		swept := &sweep{}
		if !mayGoOn || !lane.Waits { // it is about to end: what is about people comes before what is about the job
			if more, err := r.sweep(ctx, u, job, cycle, resolveRounds, swept); err != nil || more {
				return errors.Join(err, swept.end(u, cycle, r.s.now()))
			}
		}
		end, err := r.endOf(u, cycle, mayGoOn)
		if err != nil || end == cycleGoesOn {
			return errors.Join(err, swept.end(u, cycle, r.s.now()))
		}
		return r.endCycle(ctx, u, job, cycle, end, swept)
	})
	if err != nil {
		return fmt.Errorf("end of cycle %d: %w", cycle.Number, err)
	}
	r.s.changed()
	return nil
}

// endCycle does what belongs to a cycle's end, or leaves it to the next step if that is much: references that have become
// ready are resolved, and the uploads settled. Of references that cannot be resolved an entry says so, once, when nothing waits
// that could still link the person they name.
func (r *runner) endCycle(ctx context.Context, u Unit, job *Job, cycle *Cycle, end cycleEnd, swept *sweep) error {
	more, err := r.sweep(ctx, u, job, cycle, resolveRounds, swept)
	if err == nil && !more && end == cycleIdle {
		var refs []PendingReference
		if refs, err = u.UnreportedReferences(referenceBatch); err == nil && len(refs) > 0 {
			err = r.resolve(ctx, u, job, cycle, refs, swept)
		}
		more = len(refs) == referenceBatch
	}
	if err = errors.Join(err, swept.end(u, cycle, r.s.now())); err != nil || more {
		return err
	}
	if err := r.note(u, job, cycle, end); err != nil {
		return err
	}
	return u.CloseCycle(cycle, r.s.now())
}

// note writes a cycle that ends into the job's condition.
func (r *runner) note(u Unit, job *Job, cycle *Cycle, end cycleEnd) error {
	cond, err := u.Condition()
	if err != nil {
		return err
	}
	counts, err := u.CycleCounts(cycle.Number)
	if err != nil {
		return err
	}
	now := r.s.now()
	e := &Execution{Cycle: cycle.Number, State: ExecutionSucceeded, Began: cycle.Began, Ended: now, Counts: counts, References: cond.Swept.of(cycle)}
	cond.Last = e
	if counts[EndFailed]+counts[EndRetrying] > 0 {
		e.State = ExecutionEntryErrors
	} else {
		cond.LastSuccess = e
	}
	if e.State == ExecutionSucceeded && counts[EndCreated]+counts[EndUpdated]+counts[EndDisabled]+counts[EndDeleted]+e.References > 0 {
		cond.LastWithExports = e
	}
	if cond.SteadyLast = now; cond.SteadyFirst.IsZero() {
		cond.SteadyFirst = now
	}
	cond.Restarted = false
	if f := cond.Window.failing(now); f != nil && cond.Quarantine == nil {
		err = r.s.quarantine(u, job, &cond, *f, Notice{})
	} else {
		err = r.s.conclude(u, job, &cond)
	}
	return errors.Join(err, u.PutCondition(cond))
}

// sweep resolves references that are ready, so many rounds of them, and reports whether there may be more.
func (r *runner) sweep(ctx context.Context, u Unit, job *Job, cycle *Cycle, rounds int, swept *sweep) (more bool, err error) {
	for range rounds {
		refs, err := u.ReadyReferences(r.s.now(), referenceBatch)
		if err != nil || len(refs) == 0 {
			return false, err
		}
		if err := r.resolve(ctx, u, job, cycle, refs, swept); err != nil {
			return false, err
		}
	}
	return true, nil
}

// resolveReady resolves the references that are ready, in transactions of their own, and calls end in the last.
func (r *runner) resolveReady(ctx context.Context, job *Job, cycle *Cycle, lane Lane, end func(Unit) error) error {
	for more := true; more; {
		err := r.s.store.Unit(ctx, whole(job, &lane), func(u Unit) (err error) {
			swept := &sweep{}
			more, err = r.sweep(ctx, u, job, cycle, 1, swept)
			if err = errors.Join(err, swept.end(u, cycle, r.s.now())); err != nil || more {
				return err
			}
			return end(u)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
