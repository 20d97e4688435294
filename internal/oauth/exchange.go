package oauth

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// exchange is a request and its answer.
type exchange struct {
	a                  *Authority
	w                  http.ResponseWriter
	r                  *http.Request
	tenantName         string // as in the path
	v1                 bool   // of the token endpoints
	now                time.Time
	trace, correlation uuid.UUID
	client             string    // as the request names it, for the log
	person             uuid.UUID // who has signed in, for the log

	endpoint endpoint
	began    time.Time
	status   int            // that was sent
	outcome  string         // TokenIssued or the kind of the error
	refused  *protocolError // nil: not refused
	failure  error          // of the store, for the operator
}

func (a *Authority) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{a: a, w: w, r: r, now: a.now(), began: time.Now(), trace: uuid.New()}
	if id, err := uuid.Parse(r.Header.Get("client-request-id")); err == nil {
		x.correlation = id
	} else {
		x.correlation = uuid.New()
	}
	return x
}

// TokenIssued is the outcome of a token request that was answered with a token.
const TokenIssued = "issued"

// Request is an answered request as metrics see it. Nothing in it is about a person.
type Request struct {
	Method   string // as the client sent it: any word
	Route    string // the endpoint's documented path, one of a fixed set
	Status   int
	Duration time.Duration
	// Token is what became of a token request: TokenIssued, or the error of RFC 6749 section 5.2 that it was answered
	// with; "" at the other endpoints.
	Token string
}

// ended tells the log and the metrics about the request.
func (x *exchange) ended() {
	seen := Request{Method: x.r.Method, Route: x.endpoint.pattern(), Status: x.status, Duration: time.Since(x.began)}
	if x.endpoint == tokenV1 || x.endpoint == tokenV2 || x.endpoint == localIdentity {
		seen.Token = x.outcome
	}
	x.a.observe(seen)
	level := x.level()
	if !x.a.log.Enabled(x.r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String("method", seen.Method), slog.String("route", seen.Route), slog.Int("status", seen.Status),
		slog.Float64("duration_ms", float64(seen.Duration.Microseconds())/1000),
		slog.String("request_id", x.trace.String()), slog.String("client_request_id", x.correlation.String()))
	if id, err := uuid.Parse(x.client); err == nil { // else it may be anything, such as a secret in the wrong field
		attrs = append(attrs, slog.String("app_id", id.String()))
	}
	if x.person != uuid.Nil {
		attrs = append(attrs, slog.String("person_id", x.person.String()))
	}
	if e := x.refused; e != nil {
		attrs = append(attrs, slog.String("code", e.kind), slog.Int("aadsts", e.code), slog.String("remote", remoteHost(x.r)))
	}
	if x.failure != nil {
		attrs = append(attrs, slog.String("error", x.failure.Error()))
	}
	x.a.log.LogAttrs(x.r.Context(), level, "request", attrs...)
}

// level is that of the request's line: low where the limiter is at work, so that a client in a loop does not fill the log.
func (x *exchange) level() slog.Level {
	switch {
	case x.failure != nil:
		return slog.LevelError
	case x.status == http.StatusUnauthorized:
		return slog.LevelWarn
	case x.status == http.StatusTooManyRequests:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
