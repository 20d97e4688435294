package graph

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// Limits is the rate profile of bulkUpload. Requests and Window, or Rate and Burst, apply to each app on each job;
// Daily to the tenant.
type Limits struct {
	Name     string
	Requests int           // at most so many requests
	Window   time.Duration // in any window of this length; 0 means the token bucket
	Rate     float64       // requests per second, in the long run
	Burst    int           // requests at once
	Daily    int           // requests in 24 hours; 0 means no quota
}

// SelfHosted is the default: 2,000 requests a second, 4,000 at once, no quota.
func SelfHosted() Limits { return Limits{Name: "selfhosted", Rate: 2000, Burst: 4000} }

// Profile returns the rate profile with this name: "selfhosted"; "reference", the 40 requests a second of the
// bulkUpload reference page; "reference-5s", the 40 requests in any 5 seconds of the concepts page; "none", no limit.
// For reference-5s daily is the tenant's quota in 24 hours, such as 2,000 or 6,000, or 0 for none; the others take no quota.
func Profile(name string, daily int) (Limits, error) {
	switch {
	case daily < 0 || daily > 0 && name != "reference-5s":
		return Limits{}, fmt.Errorf("rate profile %q takes no daily quota of %d: use reference-5s and a quota that is not negative", name, daily)
	case name == "selfhosted":
		return SelfHosted(), nil
	case name == "none":
		return Limits{Name: name, Rate: float64(rate.Inf), Burst: 1}, nil
	case name == "reference":
		return Limits{Name: name, Requests: 40, Window: time.Second}, nil
	case name == "reference-5s":
		return Limits{Name: name, Requests: 40, Window: 5 * time.Second, Daily: daily}, nil
	}
	return Limits{}, fmt.Errorf("unknown rate profile %q: use selfhosted, reference, reference-5s or none", name)
}

// maxBuckets bounds the memory of a limiter. Only jobs that exist get a bucket.
const maxBuckets = 10_000

// caller is what a bucket belongs to.
type caller struct {
	job int64
	app uuid.UUID
}

// limiter counts the requests of callers.
type limiter interface {
	// allow counts a request, or returns after how long it may be repeated. An error is the store's.
	allow(ctx context.Context, who caller, now time.Time) (wait time.Duration, err error)
}

// newLimiter returns a limiter of this process alone or, with a store, of all that share that.
func newLimiter(l Limits, store Allowances) limiter {
	if store == nil || l.Window == 0 && l.Rate == float64(rate.Inf) {
		return newLocalLimiter(l)
	}
	return newSharedLimiter(l, store)
}

// localLimiter is the limiter of one process.
type localLimiter struct {
	limits Limits

	mu      sync.Mutex
	buckets map[caller]bucket
	day     time.Time // when the quota's 24 hours began
	used    int       // of the quota
}

// bucket says whether a request may pass at now, and if not, after how long it may.
type bucket interface {
	take(now time.Time) (wait time.Duration)
	idle(now time.Time) bool // it would let a full burst pass
}

func newLocalLimiter(l Limits) *localLimiter {
	return &localLimiter{limits: l, buckets: map[caller]bucket{}}
}

func (l *localLimiter) allow(_ context.Context, who caller, now time.Time) (wait time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits.Daily > 0 {
		if now.Sub(l.day) >= 24*time.Hour {
			l.day, l.used = now, 0
		}
		if l.used >= l.limits.Daily {
			return l.day.Add(24 * time.Hour).Sub(now), nil
		}
	}
	b, ok := l.buckets[who]
	if !ok {
		l.shed(now)
		b = l.limits.bucket()
		l.buckets[who] = b
	}
	if wait = b.take(now); wait == 0 {
		l.used++
	}
	return wait, nil
}

// shed makes room for one bucket: those that are full again go first, else any.
func (l *localLimiter) shed(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for who, b := range l.buckets {
		if b.idle(now) {
			delete(l.buckets, who)
		}
	}
	for who := range l.buckets {
		if len(l.buckets) < maxBuckets {
			return
		}
		delete(l.buckets, who)
	}
}

func (l Limits) bucket() bucket {
	if l.Window > 0 {
		return &window{span: l.Window, at: make([]time.Time, max(l.Requests, 1))}
	}
	return tokens{rate.NewLimiter(rate.Limit(l.Rate), l.Burst)}
}

// window lets len(at) requests pass in any span of time: at is a ring of when they did, next the oldest.
type window struct {
	span time.Duration
	at   []time.Time
	next int
}

func (w *window) take(now time.Time) time.Duration {
	if wait := w.at[w.next].Add(w.span).Sub(now); wait > 0 {
		return wait
	}
	w.at[w.next] = now
	w.next = (w.next + 1) % len(w.at)
	return 0
}

func (w *window) idle(now time.Time) bool {
	newest := w.at[(w.next+len(w.at)-1)%len(w.at)]
	return now.Sub(newest) >= w.span
}

// tokens is a token bucket.
type tokens struct{ *rate.Limiter }

func (t tokens) take(now time.Time) time.Duration {
	r := t.ReserveN(now, 1)
	if !r.OK() {
		return time.Second
	}
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (t tokens) idle(now time.Time) bool { return t.TokensAt(now) >= float64(t.Burst()) }
