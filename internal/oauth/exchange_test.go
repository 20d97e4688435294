package oauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"induct/internal/oauth"
)

// Each request is observed once and is one line, which repeats nothing that a caller could have put a secret into.
func TestRequestsAreReported(t *testing.T) {
	const v2 = "/" + tenant + "/oauth2/v2.0/token"
	for name, c := range map[string]struct {
		method, path string
		change       []string
		broken       bool
		route        string
		status       int
		token, level string
		code         any
		app          bool
	}{
		"issued":              {"POST", v2, nil, false, "/{tenant}/oauth2/v2.0/token", 200, oauth.TokenIssued, "INFO", nil, true},
		"issued, v1":          {"POST", "/Fabrikam.example/oauth2/token", []string{"scope", "", "resource", graph}, false, "/{tenant}/oauth2/token", 200, oauth.TokenIssued, "INFO", nil, true},
		"wrong secret":        {"POST", v2, []string{"client_secret", "hunter2"}, false, "/{tenant}/oauth2/v2.0/token", 401, "invalid_client", "WARN", "invalid_client", true},
		"secret as id":        {"POST", v2, []string{"client_id", "hunter2"}, false, "/{tenant}/oauth2/v2.0/token", 400, "unauthorized_client", "INFO", "unauthorized_client", false},
		"a person's password": {"POST", v2, []string{"grant_type", "password", "username", "hunter2", "password", "hunter2"}, false, "/{tenant}/oauth2/v2.0/token", 400, "unsupported_grant_type", "INFO", "unsupported_grant_type", true},
		"scope":               {"POST", v2, []string{"scope", "hunter2"}, false, "/{tenant}/oauth2/v2.0/token", 400, "invalid_scope", "INFO", "invalid_scope", true},
		"another tenant":      {"POST", "/hunter2/oauth2/v2.0/token", nil, false, "/{tenant}/oauth2/v2.0/token", 400, "invalid_request", "INFO", "invalid_request", false},
		"GET":                 {"GET", v2, nil, false, "/{tenant}/oauth2/v2.0/token", 405, "invalid_request", "INFO", "invalid_request", false},
		"keys":                {"GET", "/" + tenant + "/discovery/v2.0/keys", nil, false, "/{tenant}/discovery/keys", 200, "", "INFO", nil, false},
		"metadata":            {"GET", "/" + tenant + "/v2.0/.well-known/openid-configuration", nil, false, "/{tenant}/v2.0/.well-known/openid-configuration", 200, "", "INFO", nil, false},
		"metadata, v1":        {"GET", "/" + tenant + "/.well-known/openid-configuration", nil, false, "/{tenant}/.well-known/openid-configuration", 200, "", "INFO", nil, false},
		"instance":            {"GET", "/common/discovery/instance", nil, false, "/{tenant}/discovery/instance", 400, "", "INFO", "invalid_request", false},
		"broken store":        {"POST", v2, nil, true, "/{tenant}/oauth2/v2.0/token", 503, "temporarily_unavailable", "ERROR", "temporarily_unavailable", true},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []oauth.Request
			var log bytes.Buffer
			w := newWorld(t, func(cfg *oauth.Config) {
				cfg.Observe = func(r oauth.Request) { seen = append(seen, r) }
				cfg.Logger = slog.New(slog.NewJSONHandler(&log, nil))
			})
			r := httptest.NewRequest(c.method, "https://"+host+c.path, strings.NewReader(w.form(c.change...).Encode()))
			if c.method == "POST" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if c.broken { // to the store in memory
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				r = r.WithContext(ctx)
			}
			rec := httptest.NewRecorder()
			w.Handler().ServeHTTP(rec, r)
			if rec.Code != c.status {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if len(seen) != 1 || seen[0].Method != c.method || seen[0].Route != c.route || seen[0].Status != c.status || seen[0].Token != c.token || seen[0].Duration <= 0 {
				t.Errorf("observed %+v", seen)
			}
			var line map[string]any
			if err := json.Unmarshal(log.Bytes(), &line); err != nil { // one line, or this fails
				t.Fatalf("%v: %s", err, &log)
			}
			if line["level"] != c.level || line["route"] != c.route || line["status"] != float64(c.status) || line["code"] != c.code ||
				(line["app_id"] == w.client.AppID.String()) != c.app || (line["remote"] != nil) != (c.code != nil) || line["request_id"] != rec.Header().Get("x-ms-request-id") {
				t.Errorf("line %s", &log)
			}
			if (line["error"] != nil) != c.broken || strings.Contains(log.String(), "hunter2") || strings.Contains(log.String(), w.secret) {
				t.Errorf("line %s", &log)
			}
		})
	}
}
