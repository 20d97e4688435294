package scenario

import (
	"errors"
	"fmt"
	"time"
)

// patience is after how long the service asks a target again that has not answered.
const patience = time.Minute

// brakeWaits is more than how long the brake waits at most for disables that come together.
const brakeWaits = 2 * time.Minute

// drain has the service do all that is to do now. A target that does not answer is no failure of the scenario.
func (w *world) drain() error {
	err := w.Drain(w.t.Context())
	if photo := w.photo; photo != nil {
		w.photo = nil
		if err := w.killAt(photo); err != nil {
			return err
		}
		return w.drain()
	}
	if w.work = nil; errors.Is(err, errUnreachable) {
		w.work, err = err, nil
	}
	return err
}

// pass moves the clock, and stops whenever there is something to do on the way.
func (w *world) pass(d time.Duration) error {
	end := w.clock.Now().Add(d)
	for {
		next, err := w.next(end)
		if err != nil {
			return err
		}
		w.clock.move(next)
		if err := w.drain(); err != nil {
			return err
		}
		if err := w.ledger.check(w); err != nil {
			return fmt.Errorf("at %s: %w", next.Format(time.DateTime), err)
		}
		if !next.Before(end) {
			return nil
		}
	}
}

// next returns when there may be something to do, at most end.
func (w *world) next(end time.Time) (time.Time, error) {
	now, next := w.clock.Now(), end
	sooner := func(t time.Time) {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	if w.work != nil {
		sooner(now.Add(patience))
	}
	for _, j := range w.jobs {
		lane, err := w.store.Lane(w.t.Context(), j.pk)
		if err != nil {
			return end, err
		}
		sooner(lane.Due)
		if lane.Unjudged && now.Sub(lane.HeldFirst) <= brakeWaits {
			sooner(now.Add(time.Second))
		}
		if q := lane.Condition.Quarantine; q != nil {
			sooner(q.NextAttempt)
		}
	}
	return next, nil
}
