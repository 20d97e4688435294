package upload

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// pacer decides when the next request may go. Until the service throttles there is no pace at all. The first 429
// tells the rate that the service bears: what it took since the last silence, over the time up to the end of the
// silence it asks for, which is right for a window and for a bucket alike. From there the rate climbs slowly, and
// slower still near the rate that was refused last; a refusal takes a twentieth off. So it stays near the limit,
// with a refusal about once a minute, instead of swinging between a burst and a silence.
//
// The zero value is ready. A nil pacer lets everything pass.
type pacer struct {
	mu      sync.Mutex
	limiter *rate.Limiter // nil: no pace yet
	most    rate.Limit    // by configuration; 0 is no limit
	refused rate.Limit    // the rate that was refused last; 0 if there is none
	quiet   time.Time     // the service asked for silence until then
	epoch   time.Time     // the first request since the last silence
	taken   int           // requests that the service took since epoch
	cut     time.Time     // of the last refusal that counted
	raised  time.Time
}

const (
	paceStep   = 5 * time.Second // between raises
	paceCut    = 0.95            // of the rate, at a refusal
	paceLeast  = 0.7             // of the rate is left by one refusal, whatever was measured
	paceRaise  = 1.05            // of the rate, a step
	paceProbe  = 1.002           // the same near the rate that was refused last
	paceNear   = 0.97            // of that rate is near it
	paceLowest = rate.Limit(1.0 / 60)
)

// bound sets the requests a second that are not exceeded; 0 is no bound.
func (p *pacer) bound(most float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = rate.Limit(most)
	if most > 0 && (p.limiter == nil || p.limiter.Limit() > p.most) {
		p.limiter = rate.NewLimiter(p.most, 1)
	}
}

// wait returns when a request may go. Its error is ctx's cause.
func (p *pacer) wait(ctx context.Context) error {
	if p == nil {
		return context.Cause(ctx)
	}
	for {
		pause := p.next(time.Now())
		if pause <= 0 {
			return context.Cause(ctx)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// next takes a turn, or returns how long to wait before asking again. A turn that is not yet due is not reserved:
// a refusal in the meantime would change it.
func (p *pacer) next(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pause := p.quiet.Sub(now); pause > 0 {
		return pause
	}
	if p.limiter != nil {
		turn := p.limiter.ReserveN(now, 1)
		if pause := turn.DelayFrom(now); pause > 0 {
			turn.CancelAt(now)
			return pause
		}
	}
	if p.epoch.IsZero() {
		p.epoch = now
	}
	return 0
}

// accepted counts a request that the service took.
func (p *pacer) accepted(now time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken++
	if p.limiter == nil || now.Sub(p.raised) < paceStep {
		return
	}
	p.raised = now
	limit := p.limiter.Limit()
	step := rate.Limit(paceRaise)
	switch {
	case p.refused > 0 && limit > p.refused*1.05: // the service bears more than it did
		p.refused = 0
	case p.refused > 0 && limit*paceRaise > p.refused*paceNear:
		step = paceProbe
	}
	limit *= step
	if p.most > 0 {
		limit = min(limit, p.most)
	}
	p.limiter.SetLimitAt(now, limit)
}

// throttled takes in that a request which was started then was refused now, and when the next may come.
func (p *pacer) throttled(started, now time.Time, wait time.Duration) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := now.Add(wait); until.After(p.quiet) {
		p.quiet = until
	}
	// Requests that were under way when the first was refused are refused for the same reason.
	if started.Before(p.cut) || p.epoch.IsZero() {
		return
	}
	taken, span := p.taken, p.quiet.Sub(p.epoch).Seconds()
	p.cut, p.raised, p.epoch, p.taken = now, p.quiet, time.Time{}, 0
	if taken == 0 && p.limiter == nil || wait >= longWait { // others used the window up, or it is the day's quota
		return
	}
	limit := rate.Limit(float64(taken) / (span + 0.001))
	if p.limiter == nil {
		p.limiter = rate.NewLimiter(limit, 1)
		p.refused = limit
	} else {
		p.refused = p.limiter.Limit()
		limit = min(max(limit, p.refused*paceLeast), p.refused)
	}
	p.limiter.SetLimitAt(now, max(limit*paceCut, paceLowest))
}

// silence lets no request go before until.
func (p *pacer) silence(until time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.quiet) {
		p.quiet = until
	}
}
