package provision

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"induct/internal/mapping"
)

// runner takes one job's queue to its end, batch by batch. There is one per job.
type runner struct {
	s      *Service
	jobPK  int64
	wake   chan struct{} // capacity 1: a hint that there may be something to do
	ahead  *batch        // prepared while the batch before it was committed; nil if there is none
	first  int           // batches of uploads since a re-evaluation had its turn
	stride stride        // of re-evaluations
}

const (
	batchRecords    = 2000             // records of a batch: they share a commit, and what is accepted meanwhile waits for it
	referenceBatch  = 1000             // references resolved in one transaction
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
	backoff := 100 * time.Millisecond
	for ctx.Err() == nil {
		worked, err := r.step(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return
		case err != nil && !errors.Is(err, ErrFenced):
			r.s.log.Error("provisioning step failed; it will be tried again", "job", r.s.jobID(r.jobPK), "error", err, "retry_in_ms", backoff.Milliseconds())
			sleep(ctx, backoff)
			backoff = min(2*backoff, maxRetryBackoff)
		case worked:
			backoff = 100 * time.Millisecond
		default:
			r.wait(ctx)
		}
	}
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

// step does the next piece of work: a batch of the open cycle, or the cycle's end. It reports whether there was any.
func (r *runner) step(ctx context.Context) (bool, error) {
	job, program, err := r.s.compiled(r.jobPK)
	if err != nil {
		return false, err
	}
	if job.State != JobActive {
		return false, nil
	}
	cycle, err := r.s.store.OpenCycle(ctx, job.PK, r.s.now())
	if err != nil {
		return false, err
	}
	if cycle == nil || r.first >= uploadsFirst {
		r.first = 0
		if worked, err := r.reevaluate(ctx); worked || err != nil || cycle == nil {
			return worked, err
		}
	}
	r.first++
	position, err := r.s.store.Position(ctx, job.PK)
	if err != nil {
		return false, err
	}
	if position >= cycle.To {
		return true, r.closeCycle(ctx, job, cycle, position)
	}
	return true, r.batch(ctx, job, program, cycle, position)
}

// batch commits the batch at position, and prepares the next one meanwhile.
func (r *runner) batch(ctx context.Context, job *Job, program *mapping.Program, cycle *Cycle, position int64) error {
	b := r.ahead
	r.ahead = nil
	if b == nil || b.program != program || b.uploads[0].Number != position+1 || b.last() > cycle.To {
		var err error
		if b, err = r.prepare(ctx, nil, job, program, position, cycle.To); err != nil || b == nil {
			return err
		}
	}
	b.cycle, b.began = cycle, r.s.now()
	committed := make(chan error, 1)
	go func() {
		committed <- r.s.store.Unit(ctx, Fence{JobPK: job.PK, Position: position}, func(u Unit) error {
			if err := b.apply(ctx, u, r.s.target.In(u)); err != nil || b.last() < cycle.To {
				return err
			}
			_, err := r.endCycle(ctx, u, job, cycle)
			return err
		})
	}()
	to := cycle.To
	if b.last() == to { // what waits after it is all of the next cycle, which begins later
		to = math.MaxInt64
	}
	next, aheadErr := r.prepare(ctx, b, job, program, b.last(), to)
	if err := <-committed; err != nil {
		return fmt.Errorf("batch of %d records after upload %d: %w", len(b.records), position, err)
	}
	if aheadErr == nil { // else it is tried again when it is its turn
		r.ahead = next
	}
	r.s.changed()
	r.report(ctx, b)
	return nil
}

// prepare prepares the batch of the uploads after position, up to number to; nil if there are none. before is the batch
// that is being committed, or nil.
func (r *runner) prepare(ctx context.Context, before *batch, job *Job, program *mapping.Program, position, to int64) (*batch, error) {
	uploads, err := r.s.store.Next(ctx, job.PK, position, to, batchRecords)
	if err != nil || len(uploads) == 0 {
		return nil, err
	}
	return prepare(ctx, r.s.store, before, job, program, uploads)
}

// closeCycle does what is left to do at a cycle's end.
func (r *runner) closeCycle(ctx context.Context, job *Job, cycle *Cycle, position int64) error {
	for done := false; !done; {
		err := r.s.store.Unit(ctx, Fence{JobPK: job.PK, Position: position}, func(u Unit) (err error) {
			done, err = r.endCycle(ctx, u, job, cycle)
			return err
		})
		if err != nil {
			return fmt.Errorf("end of cycle %d: %w", cycle.Number, err)
		}
	}
	r.s.changed()
	return nil
}

// endCycle does what belongs to a cycle's end, and reports whether all of it is done. While uploads wait and the cycle is
// young they become part of it: what comes as one load is one cycle, whose references are written in one sweep. Else
// references that have become ready are resolved, and the uploads settled. Of references that cannot be resolved an
// entry says so, once, when nothing waits that could still link the person they name.
func (r *runner) endCycle(ctx context.Context, u Unit, job *Job, cycle *Cycle) (bool, error) {
	idle, err := u.Idle()
	if err != nil {
		return false, err
	}
	if !idle && r.s.now().Sub(cycle.Began) < longestCycle {
		return true, u.ExtendCycle(cycle)
	}
	const rounds = 4 // in one transaction; the second finds nothing more, unless there is much
	for round, more := 0, true; more; round++ {
		if round == rounds {
			return false, nil
		}
		if more, err = r.resolveSome(ctx, u, job, cycle); err != nil {
			return false, err
		}
	}
	if idle {
		refs, err := u.UnreportedReferences(referenceBatch)
		if err == nil && len(refs) > 0 {
			err = r.resolve(ctx, u, job, cycle, refs)
		}
		if err != nil || len(refs) == referenceBatch {
			return false, err
		}
	}
	return true, u.CloseCycle(cycle, r.s.now())
}

// resolveSome resolves references that are ready, and reports whether there may be more.
func (r *runner) resolveSome(ctx context.Context, u Unit, job *Job, cycle *Cycle) (bool, error) {
	refs, err := u.ReadyReferences(referenceBatch)
	if err != nil || len(refs) == 0 {
		return false, err
	}
	return true, r.resolve(ctx, u, job, cycle, refs)
}

// resolveReady resolves the references that are ready, in transactions of their own, and calls end in the last.
func (r *runner) resolveReady(ctx context.Context, job *Job, cycle *Cycle, position int64, end func(Unit) error) error {
	for more := true; more; {
		err := r.s.store.Unit(ctx, Fence{JobPK: job.PK, Position: position}, func(u Unit) (err error) {
			if more, err = r.resolveSome(ctx, u, job, cycle); err != nil || more {
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
