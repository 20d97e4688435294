package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestPaths asks for a user in every way that a path can name one, and in ways that name nobody.
func TestPaths(t *testing.T) {
	w := userWorld(t)
	w.fake.addUser("O'Neil", map[string]string{})
	id := w.fake.users[1].ID
	for path, want := range map[string]any{
		"/v1.0/users/" + id:                                    "Ana",
		"/V1.0/USERS/" + strings.ToUpper(id) + "/":             "Ana",
		"/v1.0/users('" + id + "')":                            "Ana",
		"/v1.0/users(" + id + ")":                              "Ana",
		"/v1.0/users(id='" + id + "')":                         "Ana",
		"/v1.0/users%28%27" + id + "%27%29":                    "Ana",
		"/v1.0/users( '" + id + "' )/":                         "Ana",
		"/v1.0/users/ana@contoso.example":                      "Ana",
		"/v1.0/users/ana%40contoso.example":                    "Ana",
		"/v1.0/users(userPrincipalName='ana@contoso.example')": "Ana",
		"/v1.0/users('o''neil@contoso.example')":               "O'Neil",
		"/v1.0/users/o'neil@contoso.example":                   "O'Neil",
		"/v1.0/users('o%27%27neil@contoso.example')":           "O'Neil",
		"/v1.0/users('o'neil@contoso.example')":                400,
		"/v1.0/users()":                                        200,
		"/v1.0/users(mail='x')":                                400,
		"/v1.0/users('')":                                      400,
		"/v1.0/users('a','b')":                                 400,
		"/v1.0/users/" + id + "/":                              "Ana",
		"/v1.0/users/" + id + "//":                             400,
		"/v1.0/users//":                                        400,
		"/v1.0//users":                                         400,
		"//v1.0/users":                                         400,
		"/v1.0/users//" + id:                                   400,
		"/v1.0/users/%2e%2e/organization":                      400,
		"/v1.0/users/../organization":                          400,
		"/v1.0/%2e%2e/users":                                   400,
		"/v1.0/users/%2e%2e":                                   404,
		"/v1.0/users;jsessionid=1":                             400,
		"/v1.0/users/" + id + ";a=b":                           404,
		"/v1.0/users/a%2Fb":                                    404,
		"/v1.0/users%2F" + id:                                  400,
		"/v1.0/users/%00":                                      404,
		"/v1.0/users/%ff%fe":                                   404,
		"/v1.0/users/x%0d%0aSet-Cookie:%20a=b":                 404,
		"/v1.0/users/%25252e":                                  404,
		"/v1.0/users/%e2%80%ae":                                404,
		"/v1.0/users.json":                                     400,
		"/v1.0/directory/deletedItems/user":                    404,
		"/v1.0/user":                                           400,
		"/v1.0/" + strings.Repeat("a/", 5000):                  414,
		"/beta":                                                400,
		"/":                                                    400,
		"/v1.0/users/" + strings.Repeat("x", 500):              404,
	} {
		rec := w.raw("GET", path)
		if name, ok := want.(string); ok {
			var u struct{ DisplayName string }
			if _ = json.Unmarshal(rec.Body.Bytes(), &u); rec.Code != 200 || u.DisplayName != name {
				t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
			}
		} else if rec.Code != want {
			t.Errorf("%s: %d %s, want %v", path, rec.Code, rec.Body, want)
		}
	}
}

// raw sends a path as it is, which a URL parser may have another view of.
func (w *world) raw(method, path string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, "https://graph.contoso.example/", nil)
	plain, err := url.PathUnescape(path)
	if err != nil {
		plain = path
	}
	r.URL = &url.URL{Path: plain, RawPath: path}
	r.Header.Set("Authorization", "Bearer all")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	w.validate(method, path, rec)
	for name, values := range rec.Header() {
		if strings.ContainsAny(name+strings.Join(values, ""), "\r\n") {
			w.t.Errorf("%s: header %q has %q", path, name, values)
		}
	}
	return rec
}

// TestEveryRoute asks every route there is with every method, with no token, one that opens nothing and one that opens
// much: each answer must be one that is listed, errors in Graph's form.
func TestEveryRoute(t *testing.T) {
	w := pendingWorld(t)
	w.fake.addUser("Ana", nil)
	names := strings.NewReplacer("{sp}", spID, "{job}", jobID, "{app}", appID, "{template}", "API2AAD", "{user}", "ana@contoso.example", "{upload}", uploadID.String())
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"}
	for _, rt := range routes {
		for _, method := range methods {
			_, has := rt.methods[method]
			for _, token := range []string{"", "Bearer nothing", "Bearer all"} {
				w.now = w.now.Add(1)
				path := names.Replace(rt.pattern)
				rec := w.send(method, "/v1.0"+path, "{}", "Authorization", token, "Content-Type", "application/json")
				switch {
				case token == "" && rec.Code != 401:
					t.Errorf("%s %s without a token: %d", method, path, rec.Code)
				case rec.Code == 500 || rec.Code == 200 && !has:
					t.Errorf("%s %s: %d %s", method, path, rec.Code, rec.Body)
				case token == "Bearer all" && !has && rec.Code != 405 && rec.Code != 403 && rec.Code != 401:
					t.Errorf("%s %s: %d %s, and it is no method of it", method, path, rec.Code, rec.Body)
				case rec.Code == 405 && rec.Header().Get("Allow") != strings.Join(rt.allowed(), ", "):
					t.Errorf("%s %s: Allow %q", method, path, rec.Header().Get("Allow"))
				}
			}
		}
	}
}

// TestErrorsOnTheWire looks at errors as a real server sends them, with what net/http makes of odd requests.
func TestErrorsOnTheWire(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	for target, status := range map[string]int{"/v1.0/nope": 400, "/v1.0/users/..%2f..": 404, "/v1.0/./users": 400, "/v1.0/users?a;b": 200, "/v1.0/users?$top=%zz": 400, "/v1.0/users?$top=1&%24top=2": 400} {
		r, err := http.NewRequest("GET", srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(target, "?")
		r.URL.Opaque, r.URL.RawQuery = strings.TrimPrefix(srv.URL, "http:")+path, query
		r.Header.Set("Authorization", "Bearer all")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var e errorBody
		_ = json.NewDecoder(resp.Body).Decode(&e)
		_ = resp.Body.Close()
		if resp.StatusCode != status || status >= 400 && (e.Error.Code == "" || e.Error.Inner.RequestID != resp.Header.Get("Request-Id")) {
			t.Errorf("%s: %d %+v", target, resp.StatusCode, e)
		}
	}
}

// TestQueryOptions spells system query options as clients do, and as they must not.
func TestQueryOptions(t *testing.T) {
	w := userWorld(t)
	for query, want := range map[string]int{
		"%24filter=displayName+eq+%27Ana%27": 200, "filter=displayName%20eq%20'Ana'": 200, "$FILTER=DISPLAYNAME EQ 'ana'": 200, "$format=json": 200, "api-version=1": 200,
		"$select=id, displayName": 200, "$select=nope": 200, "$select=": 200, "$select=id,,mail": 400, "$nope=1": 400, "$top=1&$top=2": 400, "$top=x": 400, "$top=-1": 400, "$top=0": 400, "$count=yes": 400,
		"$filter=" + strings.Repeat("(", 100): 400, "$filter=" + strings.Repeat("displayName eq 'x' or ", 1000) + "displayName eq 'x'": 400,
		"$filter=displayName eq 'x' or": 400, "$filter=displayName eq x": 400, "$filter='a' eq 'a'": 400, "$filter=displayName eq displayName": 400, "$filter=length(displayName) eq 1": 400,
		"$expand=manager($levels=0)": 400, "$expand=manager($filter=x)": 400, "$expand=manager,manager": 400, "$skiptoken=AAAA": 400, "$apply=x": 400, "$compute=x": 400, "$deltatoken=x": 400,
	} {
		rec := w.get("/v1.0/users?" + strings.ReplaceAll(query, " ", "%20"))
		if rec.Code != want {
			t.Errorf("%s: %d %s", query, rec.Code, fmt.Sprintf("%.300s", rec.Body))
		}
	}
}
