package oauth

import "time"

const (
	maxFailures   = 10 // in a failureWindow, by one client from one address
	failureWindow = time.Minute
	maxWatched    = 8192 // pairs of client and address
)

// limiter counts failed authentications by client and remote address. It
// slows down a client that loops with a wrong secret and keeps it out of the
// log. A valid secret is never refused: several clients may share an address
// (a proxy's), and client ids are no secret, so refusing would let anyone lock
// others out; and the secrets are too long to be guessed anyway.
type limiter struct {
	failed *lru[origin, tally]
}

type origin struct{ client, remote string }

type tally struct {
	count int
	since time.Time
}

func newLimiter() *limiter { return &limiter{newLRU[origin, tally](maxWatched)} }

// fail counts a failure at now. If there were too many it returns how long the
// origin has to wait, otherwise 0.
func (l *limiter) fail(o origin, now time.Time) time.Duration {
	t := l.failed.update(o, func(t tally) tally {
		if age := now.Sub(t.since); age < 0 || age >= failureWindow {
			t = tally{since: now}
		}
		t.count++
		return t
	})
	if t.count <= maxFailures {
		return 0
	}
	return failureWindow - now.Sub(t.since)
}
