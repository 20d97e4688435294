package oauth_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// local asks at an endpoint for local processes.
func (w *world) local(t *testing.T, path string, q url.Values, change func(*http.Request)) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path+"?"+q.Encode(), nil)
	r.Host, r.RemoteAddr = "127.0.0.1:40342", "127.0.0.1:5555"
	r.Header.Set("Metadata", "true")
	r.Header.Set("X-IDENTITY-HEADER", "open sesame")
	if change != nil {
		change(r)
	}
	rec := httptest.NewRecorder()
	w.LocalIdentity("open sesame").ServeHTTP(rec, r)
	a := answer{ResponseRecorder: rec}
	if err := json.Unmarshal(rec.Body.Bytes(), &a.body); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLocalIdentity(t *testing.T) {
	w := newWorld(t)
	one := &oauth.Client{AppID: uuid.New(), ObjectID: uuid.New(), DisplayName: "feed", Managed: true, Roles: []string{"AuditLog.Read.All"}}
	two := &oauth.Client{AppID: uuid.New(), ObjectID: uuid.New(), Managed: true}
	off := &oauth.Client{AppID: uuid.New(), ObjectID: uuid.New(), Managed: true, Disabled: true}
	for _, c := range []*oauth.Client{one, off} {
		if err := w.store.PutClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	machine := func(pairs ...string) url.Values {
		q := url.Values{"api-version": {"2018-02-01"}, "resource": {graph}}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return q
	}
	for _, path := range []string{oauth.MachinePath, oauth.AppServicePath} {
		a := w.local(t, path, machine(), nil)
		if a.Code != 200 {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		for name, want := range map[string]string{"token_type": "Bearer", "expires_in": "3599", "expires_on": fmt.Sprint(start.Unix() + 3600), "not_before": fmt.Sprint(start.Unix()),
			"resource": graph, "refresh_token": "", "client_id": one.AppID.String()} {
			if a.body[name] != want {
				t.Errorf("%s is %v, want %q", name, a.body[name], want)
			}
		}
		p, err := w.Verify(t.Context(), a.body["access_token"].(string))
		if err != nil || p.AppID != one.AppID || !p.Has("AuditLog.Read.All") || p.User {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if err := w.store.PutClient(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			if r.Header.Set(name, value); value == "" {
				r.Header.Del(name)
			}
		}
	}
	for name, c := range map[string]struct {
		path   string
		query  url.Values
		change func(*http.Request)
		status int
		kind   any
	}{
		"client_id":            {oauth.MachinePath, machine("client_id", two.AppID.String()), nil, 200, nil},
		"object_id":            {oauth.MachinePath, machine("object_id", one.ObjectID.String()), nil, 200, nil},
		"principal_id":         {oauth.AppServicePath, machine("principal_id", one.ObjectID.String()), nil, 200, nil},
		"link-local address":   {oauth.MachinePath, machine("client_id", two.AppID.String()), func(r *http.Request) { r.Host = "169.254.169.254" }, 200, nil},
		"IPv6":                 {oauth.MachinePath, machine("client_id", two.AppID.String()), func(r *http.Request) { r.Host, r.RemoteAddr = "[::1]:1", "[::1]:2" }, 200, nil},
		"slash at the end":     {oauth.MachinePath + "/", machine("client_id", two.AppID.String()), nil, 200, nil},
		"slash, no header":     {oauth.AppServicePath + "/", machine(), header("X-IDENTITY-HEADER", ""), 400, "invalid_request"},
		"which one?":           {oauth.MachinePath, machine(), nil, 400, "invalid_request"},
		"not managed":          {oauth.MachinePath, machine("client_id", w.client.AppID.String()), nil, 400, "invalid_request"},
		"disabled":             {oauth.MachinePath, machine("client_id", off.AppID.String()), nil, 400, "invalid_request"},
		"two selections":       {oauth.MachinePath, machine("client_id", one.AppID.String(), "object_id", two.ObjectID.String()), nil, 400, "invalid_request"},
		"resource id":          {oauth.MachinePath, machine("msi_res_id", "/subscriptions/x"), nil, 400, "invalid_request"},
		"other resource":       {oauth.MachinePath, machine("resource", "https://vault.example"), nil, 400, "invalid_resource"},
		"no resource":          {oauth.MachinePath, machine("resource", ""), nil, 400, "invalid_resource"},
		"no version":           {oauth.MachinePath, machine("api-version", ""), nil, 400, "invalid_request"},
		"no Metadata":          {oauth.MachinePath, machine(), header("Metadata", ""), 400, "invalid_request"},
		"Metadata false":       {oauth.MachinePath, machine(), header("Metadata", "false"), 400, "invalid_request"},
		"no header":            {oauth.AppServicePath, machine(), header("X-IDENTITY-HEADER", ""), 400, "invalid_request"},
		"wrong header":         {oauth.AppServicePath, machine(), header("X-IDENTITY-HEADER", "open"), 400, "invalid_request"},
		"forwarded":            {oauth.MachinePath, machine(), header("X-Forwarded-For", "192.0.2.1"), 400, "invalid_request"},
		"forwarded, RFC 7239":  {oauth.MachinePath, machine(), header("Forwarded", "for=192.0.2.1"), 400, "invalid_request"},
		"forwarded, empty":     {oauth.MachinePath, machine(), header("X-Forwarded-For", ""), 400, "invalid_request"},
		"forwarded by nginx":   {oauth.MachinePath, machine(), header("X-Real-IP", "192.0.2.1"), 400, "invalid_request"},
		"by a proxy":           {oauth.MachinePath, machine(), header("Via", "1.1 proxy"), 400, "invalid_request"},
		"from another machine": {oauth.MachinePath, machine(), func(r *http.Request) { r.RemoteAddr = "192.0.2.1:5" }, 403, "access_denied"},
		"rebound name":         {oauth.MachinePath, machine(), func(r *http.Request) { r.Host = "evil.example" }, 400, "invalid_request"},
		"POST":                 {oauth.MachinePath, machine(), func(r *http.Request) { r.Method = http.MethodPost }, 405, "bad_request_102"},
		"other path":           {"/metadata/instance", machine(), nil, 404, "not_found"},
		"token endpoint":       {tokenURL, machine(), nil, 404, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.local(t, c.path, c.query, c.change)
			if a.Code != c.status || a.body["error"] != c.kind {
				t.Errorf("%d %s", a.Code, a.Body)
			}
		})
	}
	// A service that has no header's value to compare with gives nothing away there.
	r := httptest.NewRequest(http.MethodGet, oauth.AppServicePath+"?"+machine("client_id", one.AppID.String()).Encode(), nil)
	r.Host, r.RemoteAddr = "127.0.0.1:40342", "127.0.0.1:5555"
	rec := httptest.NewRecorder()
	w.LocalIdentity("").ServeHTTP(rec, r)
	if rec.Code != 400 {
		t.Errorf("no header is configured: %d", rec.Code)
	}
	if oauth.Serves(oauth.MachinePath) || oauth.Serves(oauth.AppServicePath) {
		t.Error("the public handler serves local processes")
	}
}
