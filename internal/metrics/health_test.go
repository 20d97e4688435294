package metrics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// ask calls a handler with an Accept header.
func ask(h http.HandlerFunc, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/readyz", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	rec := httptest.NewRecorder()
	h(rec, r)
	return rec
}

type verdict struct{ Status, Check, Problem, Advice string }

// readiness asks whether h is ready, and checks what is true of every answer.
func readiness(t *testing.T, h *Health) verdict {
	t.Helper()
	rec := ask(h.ServeReady, "application/json")
	var v verdict
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	if ready := v.Status == "ok"; ready != (rec.Code == 200) || ready != (v.Check == "") || !ready && (rec.Code != 503 || v.Problem == "" || v.Advice == "") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if strings.Contains(rec.Body.String(), "/srv/ada") {
		t.Errorf("the answer has the error in it: %s", rec.Body)
	}
	if live := ask(h.ServeLive, ""); live.Code != 200 {
		t.Errorf("it is not said to live: %d", live.Code)
	}
	return v
}

func TestReadiness(t *testing.T) {
	broken := errors.New("open /srv/ada/induct.db: input/output error")
	for name, c := range map[string]struct {
		change func(f *fake)
		check  string
		says   string
	}{
		"well":           {func(*fake) {}, "", ""},
		"damaged":        {func(f *fake) { f.err["CheckRead"] = fmt.Errorf("page 7: %w", provision.ErrDamaged) }, "damage", "database is damaged"},
		"unreadable":     {func(f *fake) { f.err["CheckRead"] = broken }, "store", "cannot be read"},
		"gone":           {func(f *fake) { f.err["Space"] = broken }, "store", "cannot be measured"},
		"unwritable":     {func(f *fake) { f.err["CheckWrite"] = broken }, "store", "cannot be written"},
		"low":            {func(f *fake) { f.space.Free = f.space.Reserve - 1 }, "space", "67108863 bytes are free, 67108864 are kept"},
		"just enough":    {func(f *fake) { f.space.Free = f.space.Reserve }, "", ""},
		"no reserve":     {func(f *fake) { f.space.Free, f.space.Reserve = 0, 0 }, "", ""},
		"space unknown":  {func(f *fake) { f.space.Free = -1 }, "", ""},
		"low, and worse": {func(f *fake) { f.space.Free, f.err["CheckWrite"] = 1, broken }, "space", "1 bytes are free"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				f := newFake()
				h := NewHealth(f, slog.New(slog.NewTextHandler(&log, nil)))
				if v := readiness(t, h); v.Status != "ok" || log.Len() > 0 {
					t.Fatalf("at first: %+v %s", v, &log)
				}
				f.set(func() { c.change(f) })
				time.Sleep(checkFresh)
				for range 3 {
					if v := readiness(t, h); v.Check != c.check || !strings.Contains(v.Problem, c.says) {
						t.Errorf("%+v", v)
					}
				}
				if n := strings.Count(log.String(), "not ready"); (n == 1) != (c.check != "") {
					t.Errorf("logged %s", &log)
				}
				f.set(func() { f.err, f.space = map[string]error{}, newFake().space })
				time.Sleep(checkFresh)
				if v := readiness(t, h); v.Status != "ok" || c.check != "" && !strings.Contains(log.String(), "ready again") {
					t.Errorf("in the end: %+v %s", v, &log)
				}
				h.ShutDown()
				if v := readiness(t, h); v.Check != "shutdown" {
					t.Errorf("told to stop: %+v", v)
				}
			})
		})
	}
}

// A store that is busy for a while is ready; one that hangs is not, and is asked once. Nobody waits for it.
func TestReadinessOfSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := NewHealth(f, slog.New(slog.DiscardHandler))
		readiness(t, h)
		release := make(chan struct{})
		f.hang = release
		time.Sleep(checkFresh)
		before, began := f.calls.Load(), time.Now()
		for time.Since(began) < checkStale-checkFresh-2*checkWait {
			asked := time.Now()
			if v := readiness(t, h); v.Status != "ok" {
				t.Fatalf("after %s: %+v", time.Since(began), v)
			}
			if waited := time.Since(asked); waited > checkWait {
				t.Errorf("waited for %s", waited)
			}
			time.Sleep(time.Second)
		}
		for _, later := range []time.Duration{2 * time.Second, 2 * time.Hour} {
			time.Sleep(later)
			if v := readiness(t, h); v.Check != "store" || !strings.Contains(v.Problem, "not answered for 20s") {
				t.Errorf("%+v", v)
			}
		}
		if n := f.calls.Load() - before; n != 2 { // CheckRead and Space, once; CheckWrite hangs
			t.Errorf("asked %d times", n)
		}
		close(release)
		synctest.Wait()
		if v := readiness(t, h); v.Status != "ok" {
			t.Errorf("in the end: %+v", v)
		}
	})
}

func TestReadinessBeforeTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		release := make(chan struct{})
		f.hang = release
		h := NewHealth(f, slog.New(slog.DiscardHandler))
		if v := readiness(t, h); v.Check != "store" || !strings.Contains(v.Problem, "since the service was started") {
			t.Errorf("%+v", v)
		}
		close(release)
		synctest.Wait()
		if v := readiness(t, h); v.Status != "ok" {
			t.Errorf("%+v", v)
		}
	})
}

func TestAccept(t *testing.T) {
	f := newFake()
	h := NewHealth(f, slog.New(slog.DiscardHandler))
	for accept, text := range map[string]bool{"": false, "*/*": false, "application/json": false, "text/plain": true, "text/*": true,
		"text/html,application/xhtml+xml,*/*;q=0.8": true, "application/json, text/plain": false, "text/plain, application/json": true, "image/png": false} {
		rec := ask(h.ServeReady, accept)
		if got := strings.HasPrefix(rec.Header().Get("Content-Type"), "text/plain"); got != text || got != (rec.Body.String() == "ok\n") {
			t.Errorf("Accept %q: %s %q", accept, rec.Header(), rec.Body)
		}
		if rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", rec.Header())
		}
	}
	h.ShutDown()
	rec := ask(h.ServeReady, "text/plain")
	if want := "unavailable: shutdown\nThe service is shutting down.\n"; rec.Code != 503 || !strings.HasPrefix(rec.Body.String(), want) {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
}

// real is a store on disk as Health asks it.
type real struct{ *sqlstore.Store }

func (r real) Space() (Space, error) {
	s, err := r.Store.Space()
	return Space(s), err
}

// The states of a real store: well, below its reserve, closed.
func TestReadinessOfRealStore(t *testing.T) {
	for name, c := range map[string]struct {
		reserve int64
		close   bool
		check   string
	}{
		"well":              {0, false, ""},
		"no reserve":        {-1, false, ""},
		"below the reserve": {1 << 60, false, "space"},
		"closed":            {0, true, "store"},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "data"), sqlstore.Options{ReserveBytes: c.reserve})
			if err != nil {
				t.Fatal(err)
			}
			if c.close {
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				defer store.Close()
			}
			h := NewHealth(real{store}, slog.New(slog.DiscardHandler))
			v := readiness(t, h)
			for deadline := time.Now().Add(10 * time.Second); strings.Contains(v.Problem, "since the service was started") && time.Now().Before(deadline); {
				v = readiness(t, h) // the disk is slow
			}
			if v.Check != c.check {
				t.Errorf("%+v", v)
			}
		})
	}
}
