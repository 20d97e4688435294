package graph

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// ledger is Allowances in memory.
type ledger struct {
	mu     sync.Mutex
	now    func() time.Time
	states map[string][]byte
	asked  int
	err    error
	hangs  time.Duration // before it fails
}

func (l *ledger) Allowance(_ context.Context, _ time.Duration, names []string, spend func(time.Time, [][]byte)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.err != nil {
		time.Sleep(l.hangs)
		return l.err
	}
	take := func() [][]byte {
		states := make([][]byte, len(names))
		for i, n := range names {
			states[i] = append([]byte{}, l.states[n]...)
		}
		return states
	}
	spend(l.now(), take()) // came to nothing
	states := take()
	spend(l.now(), states)
	for i, n := range names {
		l.states[n] = states[i]
	}
	return nil
}

// Of requests that come to several processes, whose clocks differ, no more pass in any window, and in a day, than to one.
func TestSharedWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{Requests: rapid.IntRange(1, 6).Draw(t, "requests"), Window: 5 * time.Second, Daily: rapid.IntRange(0, 30).Draw(t, "daily")}
		start := time.Date(2026, 8, 20, 10, 0, 0, 0, time.UTC)
		now := start
		store := &ledger{now: func() time.Time { return now }, states: map[string][]byte{}}
		one := newLocalLimiter(limits)
		replicas := []limiter{newLimiter(limits, store), newLimiter(limits, store), newLimiter(limits, store)}
		var passed []time.Time
		for range rapid.IntRange(1, 120).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.IntRange(0, 900).Draw(t, "ms")) * time.Millisecond)
			i := rapid.IntRange(0, len(replicas)-1).Draw(t, "replica")
			want, _ := one.allow(context.Background(), caller{1, uuid.Nil}, now)
			got, err := replicas[i].allow(context.Background(), caller{1, uuid.Nil}, now.Add(time.Duration(i)*7*time.Minute))
			if err != nil || got != want {
				t.Fatalf("at %v replica %d says %v, %v; one process alone %v", now.Sub(start), i, got, err, want)
			}
			if got == 0 {
				passed = append(passed, now)
			}
		}
		for i := limits.Requests; i < len(passed); i++ {
			if passed[i].Sub(passed[i-limits.Requests]) < limits.Window {
				t.Fatalf("%d requests within %v", limits.Requests+1, passed[i].Sub(passed[i-limits.Requests]))
			}
		}
	})
}

// A bucket is drawn in portions: at once no more passes than the burst and a portion for each process, in the long run no more
// than the rate; and the store is asked for few of the requests.
func TestSharedBucket(t *testing.T) {
	limits := SelfHosted()
	now := time.Date(2026, 8, 20, 10, 0, 0, 0, time.UTC)
	store := &ledger{now: func() time.Time { return now }, states: map[string][]byte{}}
	replicas := []limiter{newLimiter(limits, store), newLimiter(limits, store), newLimiter(limits, store)}
	pass := func(tries int) (passed int) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for _, r := range replicas {
			wg.Go(func() {
				n := 0
				for range tries {
					if wait, err := r.allow(t.Context(), caller{1, uuid.Nil}, now); err != nil {
						t.Error(err)
					} else if wait == 0 {
						n++
					}
				}
				mu.Lock()
				passed += n
				mu.Unlock()
			})
		}
		wg.Wait()
		return passed
	}
	if n := pass(5000); n != 4000 {
		t.Errorf("%d of a burst pass, want 4000", n)
	}
	if store.asked > 4000/100+2*len(replicas) {
		t.Errorf("the store was asked %d times for 15000 requests", store.asked)
	}
	total := 0
	for range 100 {
		now = now.Add(100 * time.Millisecond)
		total += pass(300)
	}
	if total < 19_000 || total > 20_000 {
		t.Errorf("%d pass in 10 s, want 20000 or a little less", total)
	}
	now = now.Add(time.Hour)
	if n := pass(5000); n < 4000 || n > 4000+100*len(replicas) {
		t.Errorf("%d of a burst pass after an hour", n)
	}
}

// Without the store nothing passes, and nothing is held against anybody.
func TestSharedWithoutStore(t *testing.T) {
	down := errors.New("down")
	store := &ledger{now: time.Now, states: map[string][]byte{}, err: down}
	l := newLimiter(Limits{Requests: 1, Window: time.Hour}, store)
	if _, err := l.allow(t.Context(), caller{1, uuid.Nil}, time.Now()); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
	store.asked, store.hangs = 0, 100*time.Millisecond
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := l.allow(t.Context(), caller{1, uuid.Nil}, time.Now()); !errors.Is(err, down) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if store.asked > 25 { // once or twice, unless the machine is slow
		t.Errorf("a store that hangs was asked %d times for 50 requests at once", store.asked)
	}
	store.err = nil
	if wait, err := l.allow(t.Context(), caller{1, uuid.Nil}, time.Now()); wait != 0 || err != nil {
		t.Errorf("afterwards %v, %v", wait, err)
	}
}
