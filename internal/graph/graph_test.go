package graph

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"induct/internal/provision"
)

func TestBulkUploadAccepted(t *testing.T) {
	byApp := "/servicePrincipals(appId='" + appID + "')/synchronization/jobs/" + jobID + "/bulkUpload"
	for _, path := range []string{
		bulkURL, bulkURL + "/", strings.ToLower(bulkURL),
		"/beta" + strings.TrimPrefix(bulkURL, "/v1.0"),
		"/v1.0" + byApp, "/beta" + byApp, "/v1.0" + strings.ReplaceAll(byApp, "'", "%27"),
		"/v1.0/servicePrincipals('" + spID + "')/synchronization/jobs('" + jobID + "')/microsoft.graph.bulkUpload",
		strings.ReplaceAll(bulkURL, jobID, strings.ToUpper(jobID)),
	} {
		t.Run(path, func(t *testing.T) {
			w := newWorld(t)
			rec := w.send("POST", path, bulk(2), "Content-Type", "application/scim+json; charset=utf-8", "client-request-id", "c-1")
			if rec.Code != 202 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			h := rec.Header()
			if _, typed := h["Content-Type"]; typed || rec.Body.Len() > 0 || h.Get("Content-Length") != "0" {
				t.Errorf("a 202 with content: %v %q", h, rec.Body)
			}
			want := fmt.Sprintf("https://graph.contoso.example/%s/auditLogs/provisioning/?$filter=jobid%%20eq%%20'%s'", strings.ToLower(strings.Split(path, "/")[1]), jobID)
			if h.Get("Location") != want {
				t.Errorf("Location %s, want %s", h.Get("Location"), want)
			}
			if h.Get("X-Induct-Upload-Id") != uploadID.String() || h.Get("Client-Request-Id") != "c-1" {
				t.Errorf("headers %v", h)
			}
			if u := w.fake.uploads[0]; u.ClientRequestID != "c-1" || len(u.Operations) != 2 || u.Operations[1].Anchor != "1" || u.Job.PK != 7 {
				t.Errorf("upload %+v", u)
			}
			if !strings.Contains(w.log.String(), "upload_id="+uploadID.String()) || !strings.Contains(w.log.String(), "status=202") || strings.Contains(w.log.String(), spID) {
				t.Errorf("event %s", &w.log)
			}
		})
	}
}

func TestBulkUploadRefused(t *testing.T) {
	const ctype = "application/scim+json"
	one := bulk(1)
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code, message            string
	}{
		{"no type", "POST", bulkURL, one, []string{"Content-Type", ""}, 400, "BadRequest", "Invalid Data Format: the Content-Type header is missing"},
		{"json", "POST", bulkURL, one, []string{"Content-Type", "application/json"}, 400, "BadRequest", "Invalid Data Format"},
		{"text", "POST", bulkURL, one, []string{"Content-Type", "text/plain"}, 400, "BadRequest", "Invalid Data Format"},
		{"two types", "POST", bulkURL, one, []string{"Content-Type", "application/scim+json, text/plain"}, 400, "BadRequest", "Invalid Data Format"},
		{"51", "POST", bulkURL, bulk(51), nil, 400, "BadRequest", "Invalid Data Format"},
		{"none", "POST", bulkURL, bulk(0), nil, 400, "BadRequest", "Invalid Data Format"},
		{"no bulk request", "POST", bulkURL, `{"name":"John Doe"}`, nil, 400, "BadRequest", "Invalid Data Format"},
		{"no json", "POST", bulkURL, `{"schemas`, nil, 400, "BadRequest", "Invalid Data Format"},
		{"list", "POST", bulkURL, `[1]`, nil, 400, "BadRequest", "Invalid Data Format"},
		{"empty", "POST", bulkURL, ``, nil, 400, "BadRequest", "Invalid Data Format"},
		{"no data", "POST", bulkURL, strings.Replace(one, `"data":`, `"date":`, 1), nil, 400, "BadRequest", "Invalid Data Format: Operations[0].data"},
		{"bad gzip", "POST", bulkURL, one, []string{"Content-Encoding", "gzip"}, 400, "BadRequest", "Invalid Data Format: the body is not valid gzip"},
		{"brotli", "POST", bulkURL, one, []string{"Content-Encoding", "br"}, 415, "UnsupportedMediaType", "The Content-Encoding 'br' is not supported"},
		{"large", "POST", bulkURL, strings.Repeat(" ", DefaultMaxBody+1), nil, 413, "RequestEntityTooLarge", ""},
		{"GET", "GET", bulkURL, "", nil, 405, "Request_BadRequest", textMethod},
		{"PUT", "PUT", bulkURL, one, nil, 405, "Request_BadRequest", textMethod},
		{"PATCH", "PATCH", bulkURL, one, nil, 405, "Request_BadRequest", textMethod},
		{"$value", "GET", bulkURL + "/$value", "", nil, 405, "Request_BadRequest", textMethod},
		{"no token", "POST", bulkURL, one, []string{"Authorization", ""}, 401, "InvalidAuthenticationToken", "Access token is empty."},
		{"basic", "POST", bulkURL, one, []string{"Authorization", "Basic YTpi"}, 401, "InvalidAuthenticationToken", "Access token is empty."},
		{"expired", "POST", bulkURL, one, []string{"Authorization", "Bearer expired"}, 401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid."},
		{"no role", "POST", bulkURL, one, []string{"Authorization", "Bearer User.Read.All"}, 403, "Authorization_RequestDenied", textDenied},
		{"token before method", "GET", bulkURL, "", []string{"Authorization", ""}, 401, "InvalidAuthenticationToken", ""},
		{"role before method", "GET", bulkURL, "", []string{"Authorization", "Bearer User.Read.All"}, 403, "Authorization_RequestDenied", ""},
		{"role before type", "POST", bulkURL, "{", []string{"Authorization", "Bearer x", "Content-Type", ""}, 403, "Authorization_RequestDenied", ""},
		{"unknown SP", "POST", strings.Replace(bulkURL, spID, otherSP, 1), one, nil, 404, "ResourceNotFound", ""},
		{"app id as SP", "POST", strings.Replace(bulkURL, spID, appID, 1), one, nil, 404, "ResourceNotFound", ""},
		{"unknown job", "POST", strings.Replace(bulkURL, jobID, "API2AAD.x", 1), one, nil, 404, "ResourceNotFound", ""},
		{"body before job", "POST", strings.Replace(bulkURL, jobID, "API2AAD.x", 1), "{", nil, 400, "BadRequest", "Invalid Data Format"},
		{"application", "POST", strings.Replace(bulkURL, "servicePrincipals", "applications", 1), one, nil, 400, "BadRequest", "Resource not found for the segment 'jobs'."},
		{"other key", "POST", "/v1.0/servicePrincipals(name='x')/synchronization/jobs/" + jobID + "/bulkUpload", one, nil, 400, "BadRequest", "'name' is not a key of servicePrincipals."},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			rec := w.send(c.method, c.path, c.body, append([]string{"Content-Type", ctype}, c.headers...)...)
			code, message := errorOf(t, rec)
			if rec.Code != c.status || code != c.code || !strings.HasPrefix(message, c.message) {
				t.Errorf("%d %s %q, want %d %s %q", rec.Code, code, message, c.status, c.code, c.message)
			}
			if c.status == 401 && !strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), `Bearer realm="", authorization_uri="https://`) {
				t.Errorf("WWW-Authenticate %q", rec.Header().Get("WWW-Authenticate"))
			}
			if c.status == 405 && !strings.HasSuffix(c.path, "$value") && rec.Header().Get("Allow") != "POST" {
				t.Errorf("Allow %q", rec.Header().Get("Allow"))
			}
			if len(w.fake.uploads) > 0 {
				t.Error("it was accepted")
			}
		})
	}
}

// TestBulkUploadLenient sends what the reference accepts although its documents do not.
func TestBulkUploadLenient(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"lower-case path": func(s string) string { return strings.ReplaceAll(s, "/Users", "/users") },
		"50 operations":   func(string) string { return bulk(50) },
		"DELETE":          func(s string) string { return strings.ReplaceAll(s, "POST", "DELETE") },
		"username and nulls": func(s string) string {
			return strings.ReplaceAll(s, `"externalId"`, `"username":null,"id":"1","externalId"`)
		},
		"byte order mark": func(s string) string { return "\ufeff" + s },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if rec := w.send("POST", bulkURL, change(bulk(2)), "Content-Type", "Application/SCIM+json; a=b; a=c"); rec.Code != 202 {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
}

func zip(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

func TestBulkUploadGzip(t *testing.T) {
	w := newWorld(t)
	headers := []string{"Content-Type", "application/scim+json", "Content-Encoding", "gzip"}
	if rec := w.send("POST", bulkURL, zip(bulk(3)), headers...); rec.Code != 202 || len(w.fake.uploads[0].Operations) != 3 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	bomb := zip(strings.Repeat(" ", 64<<20))
	if rec := w.send("POST", bulkURL, bomb, headers...); rec.Code != 413 {
		t.Errorf("a bomb: %d %s", rec.Code, rec.Body)
	}
	half := zip(bulk(3))
	if rec := w.send("POST", bulkURL, half[:len(half)/2], headers...); rec.Code != 400 {
		t.Errorf("half a body: %d %s", rec.Code, rec.Body)
	}
}

func TestBulkUploadServiceErrors(t *testing.T) {
	for _, c := range []struct {
		err     error
		status  int
		message string
	}{
		{provision.ErrQueueFull, 500, textQueueFull},
		{fmt.Errorf("accept: %w", provision.ErrNoSpace), 503, "The service cannot store the data"},
		{fmt.Errorf("accept: %w: secret", provision.ErrUnavailable), 503, "The service's database does not answer."},
		{fmt.Errorf("accept: %w", provision.ErrFenced), 503, "Others change the same all the time"},
		{fmt.Errorf("secret detail"), 500, "An internal error has occurred."},
	} {
		w := newWorld(t)
		w.fake.err = c.err
		rec := w.send("POST", bulkURL, bulk(1), "Content-Type", "application/scim+json")
		if _, message := errorOf(t, rec); rec.Code != c.status || !strings.HasPrefix(message, c.message) {
			t.Errorf("%v: %d %s", c.err, rec.Code, rec.Body)
		}
		if strings.Contains(rec.Body.String(), "secret") {
			t.Error("an internal error was shown")
		}
		if c.status == 503 && rec.Header().Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
}

func TestPanic(t *testing.T) {
	w := newWorld(t)
	w.fake.panics = true
	rec := w.get("/v1.0/auditLogs/provisioning")
	if code, _ := errorOf(t, rec); rec.Code != 500 || code != "InternalServerError" || strings.Contains(rec.Body.String(), "boom") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestOnTheWire looks at answers without content as net/http sends them.
func TestOnTheWire(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	for path, want := range map[string]struct {
		status int
		length string
	}{bulkURL: {202, "0"}, jobURL + "/start": {204, ""}} {
		r, _ := http.NewRequest("POST", srv.URL+path, strings.NewReader(bulk(1)))
		r.Header.Set("Authorization", "Bearer all")
		r.Header.Set("Content-Type", "application/scim+json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		_, typed := resp.Header["Content-Type"]
		if resp.StatusCode != want.status || typed || resp.Header.Get("Content-Length") != want.length {
			t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
		}
		if l := resp.Header.Get("Location"); l != "" && !strings.HasPrefix(l, srv.URL+"/v1.0/auditLogs/provisioning/?$filter=jobid%20eq%20'API2AAD.") {
			t.Errorf("Location %s", l)
		}
	}
}

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		method, path, token string
		status              int
		message             string
	}{
		{"GET", "/v2.0/users", "all", 400, "Invalid version"},
		{"GET", "/", "all", 400, "Invalid version"},
		{"GET", "/v1.0", "all", 400, "Resource not found"},
		{"GET", "/v1.0/xyz", "all", 400, "Resource not found for the segment 'xyz'."},
		{"GET", "/v1.0/users/1/xyz", "all", 400, "Resource not found for the segment 'xyz'."},
		{"GET", jobURL + "/nope", "all", 400, "Resource not found for the segment 'nope'."},
		{"GET", "/v1.0//users", "all", 400, "Resource not found for the segment ''."},
		{"GET", "/v1.0/auditLogs('x')", "all", 400, "Resource not found for the segment"},
		{"PUT", "/v1.0/users", "all", 405, textMethod},
		{"DELETE", bulkURL, "all", 405, textMethod},
		{"GET", jobURL, "User.Read.All", 401, "The token has none of the permissions"},
		{"POST", jobURL + "/start", "Synchronization.Read.All", 401, "The token has none of the permissions"},
		{"GET", "/v1.0/users", "Synchronization.Read.All", 403, textDenied},
		{"GET", "/v1.0/auditLogs/provisioning", "User.Read.All", 403, "The principal does not have required Microsoft Graph permission(s)"},
		{"GET", jobURL + "/uploads/" + uploadID.String(), "User.Read.All", 401, ""},
		{"GET", jobURL + "/uploads/5", "all", 404, ""},
		{"GET", strings.Replace(jobURL, spID, otherSP, 1), "all", 404, "Resource not found"},
		{"GET", "/v1.0/servicePrincipals/" + otherSP, "all", 404, "Resource '" + otherSP + "' does not exist"},
		{"GET", "/v1.0/users/nobody@contoso.example", "all", 404, "Resource 'nobody@contoso.example' does not exist"},
		{"GET", "/v1.0/auditLogs/provisioning/x", "all", 404, ""},
	} {
		w := newWorld(t)
		rec := w.send(c.method, c.path, "", "Authorization", "Bearer "+c.token)
		if _, message := errorOf(t, rec); rec.Code != c.status || !strings.HasPrefix(message, c.message) {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, rec.Code, message, c.status, c.message)
		}
	}
}

func TestKeys(t *testing.T) {
	for text, want := range map[string]segment{
		"users":                   {name: "users"},
		"users('a')":              {name: "users", key: &key{value: "a"}},
		"users(5-6)":              {name: "users", key: &key{value: "5-6"}},
		"users('it''s')":          {name: "users", key: &key{value: "it's"}},
		"users('a=b')":            {name: "users", key: &key{value: "a=b"}},
		"sp(appId='x=y')":         {name: "sp", key: &key{"appId", "x=y"}},
		"functions()":             {name: "functions"},
		"microsoft.graph.start()": {name: "start", full: true},
		"users('a'b')":            {name: "users('a'b')"},
		"users('')":               {name: "users('')"},
		"users('a','b')":          {name: "users('a','b')"},
		"(x)":                     {name: "(x)"},
	} {
		got := parseSegment(text)
		if got.full != want.full || got.name != want.name || (got.key == nil) != (want.key == nil) || got.key != nil && *got.key != *want.key {
			t.Errorf("%s: %+v %v, want %+v %v", text, got, got.key, want, want.key)
		}
	}
}

func TestClientRequestID(t *testing.T) {
	w := newWorld(t)
	for sent, echoed := range map[string]bool{"abc": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a\tb": false} {
		rec := w.get("/v1.0/users", "client-request-id", sent)
		if got := rec.Header().Get("Client-Request-Id"); (got == sent) != echoed || !echoed && got != rec.Header().Get("Request-Id") {
			t.Errorf("%q was answered with %q", sent, got)
		}
	}
}

func TestBase(t *testing.T) {
	r, _ := http.NewRequest("GET", "http://10.0.0.1:8080/", nil)
	for public, want := range map[string]string{"": "http://10.0.0.1:8080", "https://induct.example": "https://10.0.0.1:8080"} {
		s := New(Config{PublicURL: public}).(*server)
		if got := s.base(r); got != want {
			t.Errorf("base with %q is %s, want %s", public, got, want)
		}
	}
}

// FuzzRouter looks for a request that is answered with 5xx, or whose answer is no error object.
func FuzzRouter(f *testing.F) {
	for _, s := range []string{bulkURL, "/v1.0/users('x')", "/beta/auditLogs/provisioning/?$filter=jobid%20eq%20'x'", "/v1.0/users?$top=a", "/v1.0/users?$expand=manager($levels=max)&$orderby=displayName desc",
		"/v1.0/servicePrincipals(appId=%27x%27)", "//%2f(", "/v1.0/users/%zz", auditsURL + "?$filter=targetResources/any(t:t/id eq 'x')", jobURL + "/heldChanges?staged=true", jobURL + "/objectConnections('1')", jobsURL + "/$count", jobURL + "/uploads/" + uploadID.String() + "?waitFor=done&timeout=0"} {
		f.Add("GET", s)
	}
	w := newWorld(f)
	w.fake.addUser("Ana", nil)
	w.fake.addLog(provision.LogEntry{Anchor: "1"})
	f.Fuzz(func(t *testing.T, method, target string) {
		w.t = t
		w.log.Reset()
		defer func() {
			if p := recover(); p != nil && !strings.Contains(fmt.Sprint(p), "invalid NewRequest") {
				panic(p)
			}
		}()
		if rec := w.send(method, target, ""); rec.Code >= 500 {
			t.Errorf("%s %q: %d %s", method, target, rec.Code, rec.Body)
		}
	})
}

// FuzzWrites looks for a body that is answered with 5xx, or that does something although it is refused.
func FuzzWrites(f *testing.F) {
	sync := strings.TrimSuffix(jobsURL, "/jobs")
	writes := []struct{ method, path, body string }{
		{"POST", jobsURL, `{"templateId":"API2AAD"}`},
		{"PATCH", jobURL, `{"schedule":{"state":"Active"},"synchronizationJobSettings":[{"name":"InductMissingActive","value":"Keep"}]}`},
		{"POST", jobURL + "/restart", `{"criteria":{"resetScope":"Full"}}`},
		{"POST", jobURL + "/validateCredentials", `{"credentials":[{"key":"UserName","value":"x"}]}`},
		{"POST", jobURL + "/provisionOnDemand", `{"parameters":[{"ruleId":"","subjects":[{"objectId":"1"}]}]}`},
		{"PUT", jobURL + "/objectConnections/701", `{"targetAnchor":"o"}`},
		{"POST", jobURL + "/heldChanges/approve", `{"externalIds":["701"]}`},
		{"PUT", sync + "/secrets", `{"value":[{"key":"SyncAll","value":"false"}]}`},
		{"POST", "/v1.0/users", newUser + "}"},
		{"PATCH", "/v1.0/users/ana@contoso.example", `{"businessPhones":["5"],"employeeHireDate":"2026-05-01T00:00:00Z","employeeOrgData":{"costCenter":null},"extension_1_a":true}`},
		{"PUT", "/v1.0/users/ana@contoso.example/manager/$ref", `{"@odata.id":"https://x/v1.0/users('ana%40contoso.example')"}`},
		{"POST", "/v1.0/directoryObjects/getByIds", `{"ids":["60443998-8cf7-4e61-b05c-a53b658cb5e1"],"types":["user"]}`},
	}
	for i, w := range writes {
		f.Add(uint8(i), w.body)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		w := pendingWorld(t)
		w.fake.addUser("Ana", nil)
		w.fake.addLog(provision.LogEntry{Anchor: "1"})
		r := writes[int(which)%len(writes)]
		rec := w.write(r.method, r.path, body)
		if rec.Code >= 500 || rec.Code >= 300 && w.fake.did != nil {
			t.Errorf("%s %s %q: %d %s, did %v", r.method, r.path, body, rec.Code, rec.Body, w.fake.did)
		}
	})
}
