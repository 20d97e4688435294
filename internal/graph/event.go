package graph

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// Request is an answered request as metrics see it. Nothing in it is about a person.
type Request struct {
	Method   string // as the client sent it: any word
	Route    string // the route's pattern, one of a fixed set; "" if the path leads nowhere
	Status   int
	Duration time.Duration
}

// event is what the log says of one request. Nothing in it is about a person.
type event struct {
	route  string // the route's pattern, "" if there is none
	app    string
	upload string
	err    error
}

// statusWriter remembers the status that was sent, and how much.
type statusWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
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
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// countedBody counts what is read of a request's body, as it came over the wire.
type countedBody struct {
	io.ReadCloser
	bytes int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes += int64(n)
	return n, err
}

// ServeHTTP answers one request and logs one event.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.answer(w, r, s.one) }

// answer has one request served and logs one event.
func (s *server) answer(w http.ResponseWriter, r *http.Request, serve func(*call) error) {
	body := &countedBody{ReadCloser: r.Body}
	r.Body = body
	sw := &statusWriter{ResponseWriter: w}
	c := &call{s: s, w: sw, r: r, read: body, received: s.Now(), requestID: uuid.NewString(), client: clientRequestID(r)}
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
				c.ended(time.Since(start))
				panic(http.ErrAbortHandler)
			}
			c.fail(internal())
		}
		c.ended(time.Since(start))
	}()
	if err := serve(c); err != nil {
		c.fail(err)
	}
}

// ended tells the log and the metrics about the request.
func (c *call) ended(took time.Duration) {
	c.s.Observe(Request{Method: c.r.Method, Route: c.event.route, Status: c.w.status, Duration: took})
	c.log(took)
}

func (c *call) log(took time.Duration) {
	level := c.level()
	if !c.s.Logger.Enabled(c.r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("method", c.r.Method),
		slog.String("route", c.event.route),
		slog.Int("status", c.w.status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("request_id", c.requestID),
		slog.String("client_request_id", c.clientID()),
		slog.Int64("bytes_in", c.read.bytes),
		slog.Int64("bytes_out", c.w.bytes),
	)
	if c.event.app != "" {
		attrs = append(attrs, slog.String("app_id", c.event.app))
	}
	if c.event.upload != "" {
		attrs = append(attrs, slog.String("upload_id", c.event.upload))
	}
	if err := c.event.err; err != nil {
		attrs = append(attrs, slog.String("code", asProblem(err).code))
		if c.failed() { // else the text repeats what the client sent
			attrs = append(attrs, slog.String("error", err.Error()))
		}
	}
	c.s.Logger.LogAttrs(c.r.Context(), level, "request", attrs...)
}

// failed reports whether the answer says that the service, and not the client, is at fault.
func (c *call) failed() bool {
	return c.w.status >= http.StatusInternalServerError && c.w.status != http.StatusNotImplemented
}

// level is that of the request's line: an error only where the service is at fault, not where the client has left, is faster
// than we are, or asks for what there is not.
func (c *call) level() slog.Level {
	if !c.failed() || c.r.Context().Err() != nil || errors.Is(c.event.err, provision.ErrQueueFull) {
		return slog.LevelInfo
	}
	return slog.LevelError
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
