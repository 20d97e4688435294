package oauth

import (
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestLimiterKeepsNoBodies(t *testing.T) {
	l := newLimiter(1, time.Minute)
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	for i := range 1000 {
		name := strconv.Itoa(100_000 + i)
		body := "client_id=" + name + strings.Repeat("x", maxForm)
		l.fail(origin{client: body[len("client_id="):][:len(name)]}, time.Now())
	}
	if grown := heap() - before; grown > 8<<20 {
		t.Errorf("a thousand names take %d KiB", grown>>10)
	}
	runtime.KeepAlive(l)
}

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64", "[2001:db8:1:2::1]:1": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64",
		"[::1]:1": "::/64", "pipe": "pipe", "": "",
	} {
		if got := network(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("%q is of %q, want %q", remote, got, want)
		}
	}
}
