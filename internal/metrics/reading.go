package metrics

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// errSlow says that a reading has not come in time.
var errSlow = errors.New("no answer in time")

// reading is something that is read for many who ask: by one at a time, and again only when the last answer is too old.
type reading[T any] struct {
	read  func(ctx context.Context) (T, error)
	now   func() time.Time
	fresh time.Duration // how old an answer may be
	wait  time.Duration // how long one who asks waits for a new one
	stale time.Duration // how old the last answer may be for one who has waited in vain; 0: it is not given

	flight singleflight.Group
	mu     sync.Mutex
	last   answer[T]
}

type answer[T any] struct {
	at    time.Time // zero: there was none
	value T
	err   error
}

// get returns the answer; errSlow if there is none in time.
func (r *reading[T]) get() (T, error) {
	if a := r.known(r.fresh); a != nil {
		return a.value, a.err
	}
	// Who reads outlives who asks: a store that hangs is asked once, however often somebody wants to know.
	came := r.flight.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), max(r.wait, r.stale))
		defer cancel()
		v, err := r.read(ctx)
		a := answer[T]{r.now(), v, err}
		r.mu.Lock()
		r.last = a
		r.mu.Unlock()
		return a, nil
	})
	t := time.NewTimer(r.wait)
	defer t.Stop()
	select {
	case c := <-came:
		a := c.Val.(answer[T])
		return a.value, a.err
	case <-t.C:
	}
	if a := r.known(r.stale); a != nil {
		return a.value, a.err
	}
	var none T
	return none, errSlow
}

// known returns the last answer if it is not older than that.
func (r *reading[T]) known(age time.Duration) *answer[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.at.IsZero() || r.now().Sub(r.last.at) >= age {
		return nil
	}
	a := r.last
	return &a
}
