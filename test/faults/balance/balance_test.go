package balance

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A replica answers with its name and what it was sent.
type replica struct {
	*httptest.Server
	down atomic.Bool // it is not ready
	cut  atomic.Bool // it takes requests and does not answer
	got  atomic.Int64
}

func start(t *testing.T, name string) *replica {
	t.Helper()
	s := &replica{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			if s.down.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return
		}
		s.got.Add(1)
		if s.cut.Load() {
			panic(http.ErrAbortHandler)
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", name, r.Host, body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *replica) address() string { return s.Listener.Addr().String() }

func balancer(t *testing.T, servers ...*replica) *Balancer {
	t.Helper()
	b, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s.address())
	}
	b.Set(addresses...)
	return b
}

func post(t *testing.T, b *Balancer) (int, string) {
	t.Helper()
	resp, err := http.Post("http://"+b.Address()+"/x", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Each server gets its share, with the name that the client has used; one that is gone costs nobody a request.
func TestShares(t *testing.T) {
	one, two := start(t, "one"), start(t, "two")
	b := balancer(t, one, two)
	for range 10 {
		if code, text := post(t, b); code != 200 || !strings.HasSuffix(text, " "+b.Address()+" hello") {
			t.Errorf("%d %s", code, text)
		}
	}
	if one.got.Load() != 5 || two.got.Load() != 5 {
		t.Errorf("%d and %d requests of 10", one.got.Load(), two.got.Load())
	}
	if resp, err := http.Get("http://" + b.Address()); err != nil || resp.StatusCode != 200 {
		t.Errorf("a GET: %v %v", resp, err)
	}
	one.Close()
	for range 10 {
		if code, text := post(t, b); code != 200 {
			t.Errorf("%d %s", code, text)
		}
	}
	two.Close()
	if code, _ := post(t, b); code != http.StatusBadGateway {
		t.Errorf("without a server: %d", code)
	}
}

// A request that may have arrived is not sent again.
func TestSendsOnce(t *testing.T) {
	one, two := start(t, "one"), start(t, "two")
	b := balancer(t, one, two)
	one.cut.Store(true)
	two.cut.Store(true)
	for range 4 {
		if code, text := post(t, b); code != http.StatusBadGateway {
			t.Errorf("%d %s", code, text)
		}
	}
	if n := one.got.Load() + two.got.Load(); n != 4 {
		t.Errorf("4 requests arrived %d times", n)
	}
}

// A server that is not ready gets nothing, until it is again.
func TestReady(t *testing.T) {
	one, two := start(t, "one"), start(t, "two")
	b := balancer(t, one, two)
	one.down.Store(true)
	until(t, func() bool { // whose ever turn it is
		first, second := b.order()[0], b.order()[0]
		return first == two.address() && second == first
	})
	for range 10 {
		post(t, b)
	}
	if one.got.Load() != 0 || two.got.Load() != 10 {
		t.Errorf("%d and %d requests", one.got.Load(), two.got.Load())
	}
	one.down.Store(false)
	until(t, func() bool { post(t, b); return one.got.Load() > 0 })
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come true")
		}
	}
}
