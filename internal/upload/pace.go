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
	epoch   time.Time     // the beginning of what is measured: the first request after a silence
	taken   int           // requests that the service took since epoch
	closed  bool          // nothing was taken since the last refusal: the silence is part of what is measured
	cut     time.Time     // of the last refusal that counted
	raised  time.Time
}

const (
	paceStep   = 5 * time.Second // between raises
	paceCut    = 0.95            // of the rate, at a refusal
	paceLeast  = 0.7             // of the rate is left, whatever was measured, if refusals follow each other
	paceSeek   = 1.15            // of the rate, a step, while no rate has been refused
	paceRaise  = 1.05            // the same below the rate that was refused last
	paceProbe  = 1.002           // the same near it
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

// accepted counts a request, started then, that the service took.
func (p *pacer) accepted(started, now time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed && started.After(p.cut) {
		p.closed, p.epoch, p.taken = false, now, -1 // intervals are counted, not their ends
	}
	p.taken++
	if p.limiter == nil || now.Sub(p.raised) < paceStep {
		return
	}
	p.raised = now
	limit := p.limiter.Limit()
	step := rate.Limit(paceRaise)
	switch {
	case p.refused == 0:
		step = paceSeek
	case limit > p.refused*1.05: // the service bears more than it did
		p.refused = 0
	case limit*paceRaise > p.refused*paceNear:
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
	if started.Before(p.cut) {
		return
	}
	p.cut, p.raised = now, p.quiet
	if p.taken <= 0 || wait >= longWait { // others have used the window up, or it is the day's quota
		p.closed = p.closed || wait >= longWait
		return
	}
	limit := rate.Limit(float64(p.taken) / (p.quiet.Sub(p.epoch).Seconds() + 0.001))
	switch {
	case p.limiter == nil:
		p.limiter = rate.NewLimiter(rate.Inf, 1) // a measure from below: no rate has been refused yet
	case p.closed: // the silence was too short
		limit = min(limit, p.limiter.Limit()/paceCut)
	case now.Sub(p.epoch) > 2*paceStep: // it went well for a while: the limit is close
		p.refused = p.limiter.Limit()
		limit = p.refused
	default:
		p.refused = p.limiter.Limit()
		limit = min(max(limit, p.refused*paceLeast), p.refused)
	}
	p.closed = true
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
