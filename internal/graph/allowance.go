package graph

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"
)

// Allowances keeps what has been used of limits, for all processes together.
type Allowances interface {
	// Allowance has spend change the states of the names, each empty if there is none, at the time of the clock that the
	// processes share, while nobody else changes any of them. spend may be called again, after what it did came to nothing.
	// A state may be forgotten when nobody has named it for life.
	Allowance(ctx context.Context, life time.Duration, names []string, spend func(now time.Time, states [][]byte)) error
}

// sharedLimiter counts the requests of each caller wherever they come in. It asks the store for a portion at a time: a single
// request of a window, which is a small number in a long time, and is exact then; of a token bucket as much as comes in in a
// twentieth of a second. Of a bucket at most that much more than the burst may pass at once for each process, and no more in the
// long run. Who has to wait is told so without asking until the time is over.
type sharedLimiter struct {
	limits  Limits
	portion int // most tokens that are drawn at once
	life    time.Duration
	store   Allowances

	mu    sync.Mutex
	drawn map[caller]*portion
}

// portion is what a process may still let pass.
type portion struct {
	mu     sync.Mutex // also held while it is drawn, so that this is done once for all who wait
	tokens int
	until  time.Time // when there may be more
	err    error     // of the latest attempt to draw one, which ended at failed
	failed time.Time
}

// quotaName is the allowance of the tenant's daily quota.
const quotaName = "upload quota"

func newSharedLimiter(l Limits, store Allowances) *sharedLimiter {
	s := &sharedLimiter{limits: l, portion: 1, life: l.Window, store: store, drawn: map[caller]*portion{}}
	if l.Window == 0 {
		s.portion = max(int(l.Rate/20), 1)
		s.life = time.Duration(float64(l.Burst) / l.Rate * float64(time.Second))
	}
	if l.Daily > 0 {
		s.portion, s.life = 1, max(s.life, 24*time.Hour)
	}
	return s
}

func (l *sharedLimiter) allow(ctx context.Context, who caller, now time.Time) (time.Duration, error) {
	p, arrived := l.of(who), time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil && arrived.Before(p.failed) { // waited for it: a store that hangs is not asked by each of them in turn
		return 0, p.err
	}
	if wait := p.until.Sub(now); wait > 0 && p.tokens == 0 {
		return wait, nil
	}
	if p.tokens == 0 {
		var wait time.Duration
		names := []string{fmt.Sprintf("upload %d %s", who.job, who.app)}
		if l.limits.Daily > 0 {
			names = append(names, quotaName)
		}
		drawn := 0
		err := l.store.Allowance(ctx, l.life, names, func(at time.Time, states [][]byte) { drawn, wait = l.draw(at, states) })
		if p.err = err; err != nil {
			p.failed = time.Now()
			return 0, err
		}
		if wait > 0 {
			p.until = now.Add(wait)
			return wait, nil
		}
		p.tokens = drawn
	}
	p.tokens--
	return 0, nil
}

// of returns the portion of a caller. One that is forgotten to make room was drawn in vain.
func (l *sharedLimiter) of(who caller) *portion {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.drawn[who]
	if p == nil {
		for other := range l.drawn {
			if len(l.drawn) < maxBuckets {
				break
			}
			delete(l.drawn, other)
		}
		p = new(portion)
		l.drawn[who] = p
	}
	return p
}

// draw takes a portion out of the states, or returns after how long there is one.
func (l *sharedLimiter) draw(now time.Time, states [][]byte) (n int, wait time.Duration) {
	var q quota
	if l.limits.Daily > 0 {
		if q = readQuota(states[1], now); q.used >= l.limits.Daily {
			return 0, q.since.Add(24 * time.Hour).Sub(now)
		}
	}
	if l.limits.Window > 0 {
		n = 1
		states[0], wait = takeOfWindow(states[0], now, l.limits.Window, max(l.limits.Requests, 1))
	} else {
		states[0], n, wait = takeOfBucket(states[0], now, l.limits, l.portion)
	}
	if l.limits.Daily > 0 && wait == 0 {
		q.used += n
		states[1] = q.state()
	}
	return n, wait
}

// takeOfWindow notes a request among those of the last span, of which there may be most: the state is when they were, in order.
func takeOfWindow(state []byte, now time.Time, span time.Duration, most int) ([]byte, time.Duration) {
	at := func(i int) time.Time { return time.UnixMicro(int64(binary.BigEndian.Uint64(state[8*i:]))) }
	for len(state) >= 8 && !at(0).Add(span).After(now) {
		state = state[8:]
	}
	if n := len(state) / 8; n >= most {
		return state, at(n - most).Add(span).Sub(now)
	}
	return binary.BigEndian.AppendUint64(state[:len(state)/8*8:len(state)], uint64(now.UnixMicro())), 0
}

// takeOfBucket takes up to most tokens, whole ones, out of a bucket: the state is how many there were, and when.
func takeOfBucket(state []byte, now time.Time, l Limits, most int) (_ []byte, n int, wait time.Duration) {
	tokens, at := float64(l.Burst), now
	if len(state) == 16 {
		tokens = math.Float64frombits(binary.BigEndian.Uint64(state))
		at = time.UnixMicro(int64(binary.BigEndian.Uint64(state[8:])))
	}
	tokens = min(tokens+max(now.Sub(at).Seconds(), 0)*l.Rate, float64(l.Burst))
	if n = min(int(tokens), most); n == 0 {
		wait = max(time.Duration((1-tokens)/l.Rate*float64(time.Second)), time.Microsecond)
	}
	state = binary.BigEndian.AppendUint64(nil, math.Float64bits(tokens-float64(n)))
	return binary.BigEndian.AppendUint64(state, uint64(now.UnixMicro())), n, wait
}

// quota is what has been used of the daily one, and since when.
type quota struct {
	since time.Time
	used  int
}

func readQuota(state []byte, now time.Time) quota {
	if len(state) == 16 {
		q := quota{time.UnixMicro(int64(binary.BigEndian.Uint64(state))), int(binary.BigEndian.Uint64(state[8:]))}
		if now.Sub(q.since) < 24*time.Hour {
			return q
		}
	}
	return quota{since: now}
}

func (q quota) state() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(q.since.UnixMicro())), uint64(q.used))
}
