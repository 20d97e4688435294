package scenario

import (
	"context"
	"fmt"
	"time"

	"induct/internal/provision"
)

// drainNow stands in for Service.Drain.
func (w *world) drainNow() error {
	if d, ok := any(w.Service).(interface{ Drain(context.Context) error }); ok {
		return d.Drain(w.t.Context())
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for range 20000 {
		idle, err := w.idle()
		if idle || err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
		w.target.mu.Lock()
		down := w.target.down
		w.target.mu.Unlock()
		if down {
			time.Sleep(20 * time.Millisecond)
			return errUnreachable
		}
	}
	return fmt.Errorf("there is still work to do")
}

func (w *world) idle() (bool, error) {
	for _, j := range w.jobs {
		stored, err := w.stored(j)
		if err != nil {
			return false, err
		}
		st, err := w.JobStatus(w.t.Context(), j.pk)
		if err != nil {
			return false, err
		}
		open := st.Queued > 0 || st.Cycle > 0 && st.CycleEnded.IsZero() || st.Reevaluation != nil && st.Reevaluation.Ended.IsZero()
		if open && stored.State == provision.JobActive {
			return false, nil
		}
	}
	return true, nil
}

// next returns when there may be something to do, at most end.
func (w *world) next(end time.Time) (time.Time, error) {
	if w.work != nil {
		if soon := w.clock.Now().Add(time.Minute); soon.Before(end) {
			return soon, nil
		}
	}
	return end, nil
}
