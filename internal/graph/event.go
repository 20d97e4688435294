package graph

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// event is what the log says of one request. Nothing in it is about a person.
type event struct {
	route  string // the route's pattern, "" if there is none
	app    string
	upload string
	err    error
}

// statusWriter remembers the status that was sent.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeHTTP answers one request and logs one event.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sw := &statusWriter{ResponseWriter: w}
	c := &call{s: s, w: sw, r: r, received: s.Now(), requestID: uuid.NewString(), client: clientRequestID(r)}
	h := w.Header()
	h.Set("Request-Id", c.requestID)
	h.Set("Client-Request-Id", c.clientID())
	h.Set("Cache-Control", "no-cache")
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.Logger.Error("panic", "request_id", c.requestID, "panic", p, "stack", string(debug.Stack()))
			if sw.status != 0 { // too late for an answer: the client must not take half a body for a whole one
				c.log(time.Since(start))
				panic(http.ErrAbortHandler)
			}
			c.fail(internal())
		}
		c.log(time.Since(start))
	}()
	if err := c.serve(); err != nil {
		c.fail(err)
	}
}

func (c *call) log(took time.Duration) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("method", c.r.Method),
		slog.String("route", c.event.route),
		slog.Int("status", c.w.status),
		slog.Duration("duration", took),
		slog.String("request_id", c.requestID),
		slog.String("client_request_id", c.clientID()),
	}
	if c.event.app != "" {
		attrs = append(attrs, slog.String("app_id", c.event.app))
	}
	if c.event.upload != "" {
		attrs = append(attrs, slog.String("upload_id", c.event.upload))
	}
	if c.w.status >= http.StatusInternalServerError {
		level = slog.LevelError
		if c.r.Context().Err() != nil || errors.Is(c.event.err, provision.ErrQueueFull) { // the client left, or is faster than we are
			level = slog.LevelInfo
		}
		if c.event.err != nil {
			attrs = append(attrs, slog.String("error", c.event.err.Error()))
		}
	}
	c.s.Logger.LogAttrs(c.r.Context(), level, "request", attrs...)
}

// clientRequestID is the client-request-id header, or "" if it is missing, longer than 128 bytes, or not printable ASCII.
func clientRequestID(r *http.Request) string {
	id := r.Header.Get("Client-Request-Id")
	if len(id) > 128 {
		return ""
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return ""
		}
	}
	return id
}
