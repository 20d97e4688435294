package oauth

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const (
	maxFailures   = 10 // in a failureWindow, by one client from one address
	failureWindow = time.Minute
	maxWatched    = 8192 // pairs of client and address
)

// limiter counts failed authentications by client and remote address. It
// slows down a client that loops with a wrong secret and keeps it out of the
// log. A valid secret is never refused: several clients may share an address
// (a proxy's), and client ids are no secret, so refusing would let anyone lock
// others out; and the secrets are too long to be guessed anyway. Each process
// has its own; the throttle of passwords, which can be guessed, is in the store.
type limiter struct {
	max    int // failures
	window time.Duration
	failed *lru[origin, Tally]
}

type origin struct{ client, remote string }

func newLimiter(max int, window time.Duration) *limiter {
	return &limiter{max, window, newLRU[origin, Tally](maxWatched)}
}

// fail counts a failure at now. If there were too many it returns how long the
// origin has to wait, otherwise 0.
func (l *limiter) fail(o origin, now time.Time) time.Duration {
	o.client = strings.Clone(o.client) // it may be a part of a whole request's body, which must not stay with it
	t := l.failed.update(o, func(t Tally) Tally {
		if age := now.Sub(t.Since); age < 0 || age >= l.window {
			t = Tally{Since: now}
		}
		t.Count++
		return t
	})
	if t.Count <= l.max {
		return 0
	}
	return l.window - now.Sub(t.Since)
}

// network is whose failures are counted together: an IPv4 address, or the /64 network of an IPv6 address (RFC 4291 section
// 2.5.4), of which one host can have every address that it likes.
func network(r *http.Request) string {
	host := remoteHost(r)
	a, err := netip.ParseAddr(host)
	if a = a.Unmap(); err != nil || a.Is4() {
		return host
	}
	return netip.PrefixFrom(a.WithZone(""), 64).Masked().String()
}
