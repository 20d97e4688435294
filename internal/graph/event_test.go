package graph

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"induct/internal/oauth"
	"induct/internal/provision"
)

// fields makes a log line's members.
func fields(t *testing.T, w *world) map[string]any {
	t.Helper()
	if n := strings.Count(w.log.String(), "\n"); n != 1 {
		t.Fatalf("%d lines: %s", n, &w.log)
	}
	var line map[string]any
	if err := json.Unmarshal(w.log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	return line
}

// Each request is one line and is observed once, by the pattern of its route; neither repeats what the client sent.
func TestEvents(t *testing.T) {
	body := bulk(2)
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		route              string
		status             int
		code               string
		err                error
		level              string
	}{
		"accepted":      {"POST", bulkURL, body, nil, jobsPattern + "/{job}/bulkUpload", 202, "", nil, "INFO"},
		"no bulk":       {"POST", bulkURL, `{"secret":1}`, nil, jobsPattern + "/{job}/bulkUpload", 400, "BadRequest", nil, "INFO"},
		"no token":      {"POST", bulkURL, body, []string{"Authorization", ""}, jobsPattern + "/{job}/bulkUpload", 401, "InvalidAuthenticationToken", nil, "INFO"},
		"queue full":    {"POST", bulkURL, body, nil, jobsPattern + "/{job}/bulkUpload", 500, "InternalServerError", provision.ErrQueueFull, "INFO"},
		"no space":      {"POST", bulkURL, body, nil, jobsPattern + "/{job}/bulkUpload", 503, "ServiceUnavailable", provision.ErrNoSpace, "ERROR"},
		"broken":        {"POST", bulkURL, body, nil, jobsPattern + "/{job}/bulkUpload", 500, "InternalServerError", io.ErrUnexpectedEOF, "ERROR"},
		"users":         {"GET", "/v1.0/users?$filter=" + "startsWith(displayName,'secret')", "", nil, "/users", 200, "", nil, "INFO"},
		"bad filter":    {"GET", "/v1.0/users?$filter=secret", "", nil, "/users", 400, "BadRequest", nil, "INFO"},
		"nobody":        {"GET", "/v1.0/users/secret@acme.example", "", nil, "/users/{user}", 404, "Request_ResourceNotFound", nil, "INFO"},
		"no such path":  {"GET", "/v1.0/secret/path", "", nil, "", 400, "BadRequest", nil, "INFO"},
		"not there":     {"GET", "/v1.0/users/delta?secret", "", nil, "/users/delta", 501, "NotImplemented", nil, "INFO"},
		"no version":    {"GET", "/secret", "", nil, "", 400, "BadRequest", nil, "INFO"},
		"other method":  {"SECRET", bulkURL, "", nil, jobsPattern + "/{job}/bulkUpload", 405, "Request_BadRequest", nil, "INFO"},
		"not permitted": {"GET", "/v1.0/users", "", []string{"Authorization", "Bearer X.Read.All"}, "/users", 403, "Authorization_RequestDenied", nil, "INFO"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []Request
			w := newWorld(t, func(cfg *Config) { cfg.Observe = func(r Request) { seen = append(seen, r) } })
			w.handler.(*server).Logger = slog.New(slog.NewJSONHandler(&w.log, nil))
			w.fake.err = c.err
			rec := w.send(c.method, c.path, c.body, append([]string{"Content-Type", "application/scim+json", "client-request-id", "c-1"}, c.headers...)...)
			if len(seen) != 1 || seen[0].Method != c.method || seen[0].Route != c.route || seen[0].Status != c.status || seen[0].Duration <= 0 {
				t.Errorf("observed %+v", seen)
			}
			line := fields(t, w)
			want := map[string]any{"level": c.level, "msg": "request", "method": c.method, "route": c.route, "status": float64(c.status),
				"request_id": rec.Header().Get("Request-Id"), "client_request_id": "c-1", "bytes_out": float64(rec.Body.Len())}
			if c.status == 202 {
				want["upload_id"], want["bytes_in"], want["app_id"] = uploadID.String(), float64(len(c.body)), appID
			}
			if c.code != "" {
				want["code"] = c.code
			}
			if c.err != nil {
				want["error"] = c.err.Error()
			}
			for k, v := range want {
				if line[k] != v {
					t.Errorf("%s is %v, want %v", k, line[k], v)
				}
			}
			if ms, ok := line["duration_ms"].(float64); !ok || ms < 0 {
				t.Errorf("duration_ms is %v", line["duration_ms"])
			}
			if strings.Contains(w.log.String(), "secret") {
				t.Errorf("the log repeats the request: %s", &w.log)
			}
		})
	}
}

// Below its level a line costs nothing and says nothing; the request is observed all the same.
func TestEventsBelowTheLevel(t *testing.T) {
	seen := 0
	w := newWorld(t, func(cfg *Config) { cfg.Observe = func(Request) { seen++ } })
	w.handler.(*server).Logger = slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w.get("/v1.0/users")
	if seen != 1 || w.log.Len() > 0 {
		t.Errorf("observed %d, logged %s", seen, &w.log)
	}
}

// Every panic is a line of its own beside the request's.
func TestEventOfPanic(t *testing.T) {
	var seen []Request
	w := newWorld(t, func(cfg *Config) { cfg.Observe = func(r Request) { seen = append(seen, r) } })
	w.fake.panics = true
	if rec := w.get(jobsURL); rec.Code != 500 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if len(seen) != 1 || seen[0].Status != 500 || seen[0].Route != jobsPattern || strings.Count(w.log.String(), "level=ERROR") != 2 {
		t.Errorf("observed %+v, logged %s", seen, &w.log)
	}
}

// The patterns are as many as there are routes: none is made of a request.
func TestRoutePatternsAreFixed(t *testing.T) {
	var patterns []string
	for _, rt := range routes {
		if slices.Contains(patterns, rt.pattern) {
			t.Errorf("%s stands twice", rt.pattern)
		}
		if strings.ContainsAny(rt.pattern, `"\ `) {
			t.Errorf("%s is no label", rt.pattern)
		}
		patterns = append(patterns, rt.pattern)
	}
}

// BenchmarkEvent is what the line of an accepted upload costs, written to a file as the service writes it, and what it
// costs where nobody wants it.
func BenchmarkEvent(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn} {
		b.Run(fmt.Sprint(level), func(b *testing.B) {
			r := httptest.NewRequest(http.MethodPost, bulkURL, nil)
			id := "5f0c7b1e-6a58-4a36-9c2f-2c0a3b8f1a01"
			c := &call{s: &server{Config: Config{Observe: func(Request) {}, Logger: slog.New(slog.NewJSONHandler(file, &slog.HandlerOptions{Level: level}))}},
				w: &statusWriter{status: 202}, r: r, read: &countedBody{bytes: 62_500}, requestID: id, client: id, principal: &oauth.Principal{},
				event: event{route: jobsPattern + "/{job}/bulkUpload", app: appID, upload: id}}
			for b.Loop() {
				c.ended(1234567)
			}
		})
	}
}
