package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"induct/internal/provision"
)

// Health tells whether the service lives and is ready. Its methods may be called concurrently; its answers name no person,
// no path and no secret, because they are given to everybody.
type Health struct {
	store    Store
	log      *slog.Logger
	ending   atomic.Bool
	checked  reading[*failure]
	mu       sync.Mutex
	reported string // the check whose failure was logged last; "" while all is well
}

// failure is a check that has failed: as it is told to everybody, and the error, which is for the log.
type failure struct {
	Check   string `json:"check"`
	Problem string `json:"problem"`
	Advice  string `json:"advice"`
	err     error
}

// How readiness is found out. A check writes, so it is not made for everyone who asks; and a batch that is being written
// may keep it waiting for seconds, which does not make the service unready.
const (
	checkFresh = 5 * time.Second
	checkWait  = 500 * time.Millisecond // below the timeout of a prober, of which one second is usual
	checkStale = 20 * time.Second
)

// NewHealth returns the health of a service on the store. Changes of readiness are logged.
func NewHealth(store Store, log *slog.Logger) *Health {
	h := &Health{store: store, log: log}
	h.checked = reading[*failure]{read: h.check, now: time.Now, fresh: checkFresh, wait: checkWait, stale: checkStale}
	return h
}

// ShutDown makes the service unready from now on.
func (h *Health) ShutDown() { h.ending.Store(true) }

// Ending reports whether ShutDown was called.
func (h *Health) Ending() bool { return h.ending.Load() }

// ServeLive answers that the process runs: with 200, always, as JSON
// or, if the request prefers it, as text.
func (h *Health) ServeLive(w http.ResponseWriter, r *http.Request) { respond(w, r, nil) }

// ServeReady answers with 200 if uploads are accepted and what was accepted can be read, else with 503 and the check that
// has failed. The answer may be some seconds old.
func (h *Health) ServeReady(w http.ResponseWriter, r *http.Request) { respond(w, r, h.ready()) }

func (h *Health) ready() *failure {
	if h.ending.Load() {
		return &failure{Check: "shutdown", Problem: "The service is shutting down.", Advice: "Send requests to another instance, or wait until it is started again."}
	}
	f, err := h.checked.get()
	if err != nil {
		f = &failure{"store", fmt.Sprintf("The store has not answered for %s.", checkStale),
			"See whether the disk of the data directory answers and the machine is overloaded.", err}
		if h.checked.known(math.MaxInt64) == nil {
			f.Problem = "The store has not answered since the service was started."
		}
	}
	h.report(f)
	return f
}

// check asks the store. Its answer is an element of Health's reading, which has no errors of its own.
func (h *Health) check(ctx context.Context) (*failure, error) {
	err := h.store.CheckRead(ctx)
	if errors.Is(err, provision.ErrDamaged) {
		return &failure{"damage", "The database is damaged. Nothing is accepted or changed any more; what can be read is answered.",
			"Stop the service, keep a copy of the data directory, look at the disk, and restore the latest backup.", err}, nil
	}
	if err != nil {
		return &failure{"store", "The store cannot be read.", "The service's log has the reason. See whether the disk of the data directory is mounted and sound, then restart the service.", err}, nil
	}
	space, err := h.store.Space()
	if err != nil {
		return &failure{"store", "The space that the store has cannot be measured.", "The service's log has the reason. See whether the data directory is still there.", err}, nil
	}
	if space.Free >= 0 && space.Free < space.Reserve {
		return &failure{"space", fmt.Sprintf("Uploads are refused: %d bytes are free, %d are kept in reserve.", space.Free, space.Reserve),
			"Make space on the file system of the data directory, or lower --reserve-bytes.", errLow}, nil
	}
	if err := h.store.CheckWrite(ctx); err != nil {
		return &failure{"store", "The store cannot be written.", "The service's log has the reason. See whether the disk of the data directory is full, read-only or failing.", err}, nil
	}
	return nil, nil
}

var errLow = errors.New("the free space is below the reserve")

// report logs a change, once.
func (h *Health) report(f *failure) {
	now := ""
	if f != nil {
		now = f.Check
	}
	h.mu.Lock()
	before := h.reported
	h.reported = now
	h.mu.Unlock()
	switch {
	case before == now:
	case f == nil:
		h.log.Info("ready again", "check", before)
	default:
		h.log.Error("not ready", "check", f.Check, "problem", f.Problem, "error", f.err.Error())
	}
}

// respond writes a failure, or that there is none: as JSON, unless the request prefers text.
func respond(w http.ResponseWriter, r *http.Request, f *failure) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	status, word := http.StatusOK, "ok"
	if f != nil {
		status, word = http.StatusServiceUnavailable, "unavailable"
	}
	if prefersText(r.Header.Get("Accept")) {
		header.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		if f != nil {
			word = strings.Join([]string{word + ": " + f.Check, f.Problem, f.Advice}, "\n")
		}
		fmt.Fprintln(w, word)
		return
	}
	header.Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct { // an error here is the client's hanging up
		Status string `json:"status"`
		*failure
	}{word, f})
}

// prefersText reports whether an Accept header (RFC 9110 section 12.5.1) names text before JSON, or without it.
func prefersText(accept string) bool {
	text, js := strings.Index(accept, "text/"), strings.Index(accept, "json")
	return text >= 0 && (js < 0 || text < js)
}
