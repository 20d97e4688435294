package oauth_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"induct/internal/oauth"
	"induct/internal/oauth/oauthtest"
)

const (
	tenant   = "b16687d3-8faf-42ad-b298-92cdcaf01c6e"
	domain   = "fabrikam.example"
	graph    = "https://graph.microsoft.com"
	graphID  = "00000003-0000-0000-c000-000000000000"
	host     = "induct.example"
	tokenURL = "/" + tenant + "/oauth2/v2.0/token"
)

var start = time.Date(2026, 8, 20, 10, 0, 0, 700e6, time.UTC)

// world is an authority with one client, whose clock a test may move.
type world struct {
	*oauth.Authority
	store           *oauthtest.Store
	client          *oauth.Client
	secret, expired string
	now             time.Time
	log             bytes.Buffer
	asserted        int // assertions sent so far
}

func newWorld(t testing.TB, change ...func(*oauth.Config)) *world {
	t.Helper()
	w := &world{store: oauthtest.NewStore(), now: start}
	var s, gone, other oauth.Secret
	w.secret, s = oauth.NewSecret(start, 24*time.Hour)
	w.expired, gone = oauth.NewSecret(start.Add(-2*time.Hour), time.Hour)
	_, other = oauth.NewSecret(start, time.Hour)
	w.client = &oauth.Client{
		AppID: uuid.New(), ObjectID: uuid.New(), DisplayName: "HR feed",
		Roles:   []string{"SynchronizationData-User.Upload"},
		Secrets: []oauth.Secret{gone, other, s},
	}
	if err := errors.Join(w.store.PutClient(t.Context(), w.client), w.store.PutSigningKey(t.Context(), signingKey())); err != nil {
		t.Fatal(err)
	}
	cfg := oauth.Config{
		Tenant: uuid.MustParse(tenant), Domains: []string{"Fabrikam.Example"},
		PublicURL: "https://" + host, Hosts: []string{"graph.induct.example"},
		Now:    func() time.Time { return w.now },
		Logger: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if w.Authority, err = oauth.New(cfg, w.store); err != nil {
		t.Fatal(err)
	}
	return w
}

// signingKey is one that worlds begin with: making a key is slow.
var signingKey = sync.OnceValue(func() oauth.SigningKey {
	s := oauthtest.NewStore()
	a, err := oauth.New(oauth.Config{Tenant: uuid.MustParse(tenant), Now: func() time.Time { return start }}, s)
	if err == nil {
		err = a.RotateKey(context.Background())
	}
	keys, err2 := s.SigningKeys(context.Background())
	if err = errors.Join(err, err2); err != nil {
		panic(err)
	}
	return keys[0]
})

// An authority whose store is empty makes a key when it needs one.
func TestFirstKey(t *testing.T) {
	s := oauthtest.NewStore()
	a, err := oauth.New(oauth.Config{Tenant: uuid.MustParse(tenant)}, s)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Authority: a, store: s}
	ids := w.keyIDs(t)
	if keys, err := s.SigningKeys(t.Context()); err != nil || len(keys) != 1 || len(ids) != 1 || keys[0].KeyID != ids[0] {
		t.Errorf("published %v, stored %v, %v", ids, keys, err)
	}
}

// form is a token request that succeeds, with changes as name, value pairs; an
// empty value removes the parameter.
func (w *world) form(changes ...string) url.Values {
	f := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {w.client.AppID.String()},
		"client_secret": {w.secret}, "scope": {graph + "/.default"},
	}
	for c := range slices.Chunk(changes, 2) {
		if f.Set(c[0], c[1]); c[1] == "" {
			f.Del(c[0])
		}
	}
	return f
}

type answer struct {
	*httptest.ResponseRecorder
	body map[string]any
}

func (w *world) do(t testing.TB, r *http.Request) answer {
	t.Helper()
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, r)
	a := answer{ResponseRecorder: rec}
	if err := json.Unmarshal(rec.Body.Bytes(), &a.body); err != nil && r.Method != http.MethodHead {
		t.Fatalf("%s %s: body %q: %v", r.Method, r.URL, rec.Body, err)
	}
	return a
}

func (w *world) post(t testing.TB, path string, form url.Values) answer {
	t.Helper()
	return w.do(t, postForm(path, form.Encode()))
}

func postForm(path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Host = host
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

func (w *world) get(t testing.TB, path string) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = host
	return w.do(t, r)
}

func (w *world) token(t testing.TB, changes ...string) string {
	t.Helper()
	a := w.post(t, tokenURL, w.form(changes...))
	if a.Code != http.StatusOK {
		t.Fatalf("status %d: %s", a.Code, a.Body)
	}
	return a.body["access_token"].(string)
}

func decode(t testing.TB, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token has %d parts", len(parts))
	}
	for i, into := range []*map[string]any{&header, &claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func TestTokenV2(t *testing.T) {
	w := newWorld(t)
	// What azidentity sends, with its four scopes.
	a := w.post(t, tokenURL, w.form("scope", graph+"/.default openid offline_access profile", "client_info", "1"))
	if a.Code != http.StatusOK {
		t.Fatalf("status %d: %s", a.Code, a.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store, no-cache", "Pragma": "no-cache",
	} {
		if got := a.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if a.body["token_type"] != "Bearer" || a.body["expires_in"] != 3599. || a.body["ext_expires_in"] != 3599. {
		t.Errorf("answer %s", a.Body)
	}
	header, claims := decode(t, a.body["access_token"].(string))
	if header["alg"] != "RS256" || header["typ"] != "JWT" || header["kid"] == "" {
		t.Errorf("header %v", header)
	}
	uti, _ := claims["uti"].(string)
	delete(claims, "uti")
	iat := float64(start.Truncate(time.Second).Unix())
	want := map[string]any{
		"aud": graph, "iss": "https://induct.example/" + tenant + "/v2.0", "iat": iat, "nbf": iat, "exp": iat + 3600,
		"app_displayname": "HR feed", "appid": w.client.AppID.String(), "appidacr": "1", "azp": w.client.AppID.String(), "azpacr": "1",
		"idp": "https://induct.example/" + tenant + "/v2.0", "idtyp": "app", "oid": w.client.ObjectID.String(),
		"sub": w.client.ObjectID.String(), "tid": tenant, "ver": "2.0",
	}
	roles := claims["roles"]
	delete(claims, "roles")
	if !maps.Equal(claims, want) || uti == "" || fmt.Sprint(roles) != "[SynchronizationData-User.Upload]" {
		t.Errorf("claims\n%v, roles %v, uti %q; want\n%v", claims, roles, uti, want)
	}
}

func TestTokenV1(t *testing.T) {
	w := newWorld(t)
	a := w.post(t, "/"+tenant+"/oauth2/token", w.form("scope", "", "resource", graph+"/"))
	if a.Code != http.StatusOK {
		t.Fatalf("status %d: %s", a.Code, a.Body)
	}
	_, claims := decode(t, a.body["access_token"].(string))
	if claims["iss"] != "https://sts.windows.net/"+tenant+"/" || claims["ver"] != "1.0" || claims["aud"] != graph {
		t.Errorf("claims %v", claims)
	}
	token := a.body["access_token"].(string)
	delete(a.body, "access_token")
	iat := start.Unix()
	want := map[string]any{
		"token_type": "Bearer", "expires_in": "3599", "ext_expires_in": "3599", "resource": graph + "/",
		"expires_on": fmt.Sprint(iat + 3600), "not_before": fmt.Sprint(iat),
	}
	if !maps.Equal(a.body, want) {
		t.Errorf("answer %v, want %v", a.body, want)
	}
	if _, err := w.Verify(t.Context(), token); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

func TestTokenPaths(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{
		tokenURL, tokenURL + "/", strings.ToUpper(tokenURL), "/" + domain + "/oauth2/v2.0/token",
		"/FABRIKAM.example/OAuth2/token", tokenURL + "?slice=x",
	} {
		if a := w.post(t, path, w.form()); a.Code != http.StatusOK {
			t.Errorf("%s: status %d: %s", path, a.Code, a.Body)
		}
	}
}

func TestAudience(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ scope, resource, want string }{
		{scope: graph + "/.default", want: graph},
		{scope: graph + "//.default", want: graph},
		{scope: "HTTPS://Graph.Microsoft.com/.default", want: graph},
		{scope: graph + "/.default " + graph + "/.default", want: graph},
		{scope: ".default", want: graph},
		{scope: graphID + "/.default", want: graphID},
		{scope: "https://induct.example/.default", want: graph},
		{scope: "https://graph.induct.example/.default profile", want: graph},
		{resource: graphID, want: graphID},
		{resource: graph, want: graph},
		{scope: graph + "/.default", resource: graphID, want: graph},
	} {
		token := w.token(t, "scope", c.scope, "resource", c.resource)
		if _, claims := decode(t, token); claims["aud"] != c.want {
			t.Errorf("scope %q, resource %q: audience %v, want %s", c.scope, c.resource, claims["aud"], c.want)
		}
		if _, err := w.Verify(t.Context(), token); err != nil {
			t.Errorf("scope %q, resource %q: %v", c.scope, c.resource, err)
		}
	}
}

func TestTokenErrors(t *testing.T) {
	w := newWorld(t)
	const code = http.StatusBadRequest
	for name, c := range map[string]struct {
		path   string
		change []string
		status int
		kind   string
		code   int
	}{
		"wrong secret":          {"", []string{"client_secret", "x"}, 401, "invalid_client", 7000215},
		"secret of key id":      {"", []string{"client_secret", w.client.Secrets[2].KeyID.String()}, 401, "invalid_client", 7000215},
		"expired secret":        {"", []string{"client_secret", w.expired}, 401, "invalid_client", 7000222},
		"no secret":             {"", []string{"client_secret", ""}, 401, "invalid_client", 7000216},
		"assertion":             {"", []string{"client_secret", "", "client_assertion_type", jwtBearer, "client_assertion", "a.b.c"}, 401, "invalid_client", 50027},
		"unknown client":        {"", []string{"client_id", uuid.NewString()}, code, "unauthorized_client", 700016},
		"client is no guid":     {"", []string{"client_id", "hr\x00feed"}, code, "unauthorized_client", 700016},
		"no client":             {"", []string{"client_id", ""}, code, "invalid_request", 900144},
		"no grant":              {"", []string{"grant_type", ""}, code, "invalid_request", 900144},
		"no scope":              {"", []string{"scope", ""}, code, "invalid_request", 900144},
		"no resource":           {"/" + tenant + "/oauth2/token", []string{"scope", ""}, code, "invalid_request", 900144},
		"other grant":           {"", []string{"grant_type", "password"}, code, "unsupported_grant_type", 70003},
		"not .default":          {"", []string{"scope", graph + "/User.Read.All"}, code, "invalid_scope", 1002012},
		"bare permission":       {"", []string{"scope", "User.Read.All"}, code, "invalid_scope", 1002012},
		"two scopes":            {"", []string{"scope", ".default " + graph + "/.default"}, code, "invalid_scope", 70011},
		"only openid":           {"", []string{"scope", "openid profile"}, code, "invalid_scope", 70011},
		"other resource":        {"", []string{"scope", "https://vault.example/.default"}, code, "invalid_resource", 500011},
		"empty resource":        {"", []string{"scope", "/.default"}, code, "invalid_resource", 500011},
		"resource of no host":   {"", []string{"scope", "https:///.default"}, code, "invalid_resource", 500011},
		"unknown tenant":        {"/contoso.example/oauth2/v2.0/token", nil, code, "invalid_request", 90002},
		"tenant common":         {"/common/oauth2/v2.0/token", nil, code, "invalid_request", 50059},
		"tenant organizations":  {"/Organizations/oauth2/v2.0/token", nil, code, "invalid_request", 50059},
		"no such endpoint":      {"/" + tenant + "/oauth2/v3.0/token", nil, 404, "invalid_request", 90014},
		"no tenant in the path": {"//oauth2/v2.0/token", nil, 404, "invalid_request", 90014},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.path
			if path == "" {
				path = tokenURL
			}
			wantError(t, w.post(t, path, w.form(c.change...)), c.status, c.kind, c.code)
		})
	}
	if log := w.log.String(); strings.Contains(log, w.expired) || strings.Contains(log, w.secret) || !strings.Contains(log, "7000215") {
		t.Errorf("log:\n%s", log)
	}
}

var description = regexp.MustCompile(`^AADSTS(\d+): .+\. Trace ID: [0-9a-f-]{36} Correlation ID: [0-9a-f-]{36} Timestamp: 2026-\d\d-\d\d \d\d:\d\d:\d\dZ$`)

func wantError(t *testing.T, a answer, status int, kind string, code int) {
	t.Helper()
	text, _ := a.body["error_description"].(string)
	match := description.FindStringSubmatch(text)
	if a.Code != status || a.body["error"] != kind || match == nil || match[1] != fmt.Sprint(code) ||
		fmt.Sprint(a.body["error_codes"]) != fmt.Sprintf("[%v]", float64(code)) {
		t.Errorf("status %d, %s; want %d %s %d", a.Code, a.Body, status, kind, code)
	}
	if !strings.Contains(text, fmt.Sprint(a.body["trace_id"])) || !strings.Contains(text, fmt.Sprint(a.body["correlation_id"])) ||
		!strings.HasSuffix(text, fmt.Sprint(a.body["timestamp"])) || a.body["error_uri"] != fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code) {
		t.Errorf("error %s", a.Body)
	}
	if a.Header().Get("Cache-Control") != "no-store, no-cache" {
		t.Errorf("Cache-Control %q", a.Header().Get("Cache-Control"))
	}
}

func TestTokenRequestForm(t *testing.T) {
	w := newWorld(t)
	good := w.form().Encode()
	for name, c := range map[string]struct {
		contentType, body string
		status, code      int
	}{
		"no content type":      {"", good, 200, 0},
		"JSON":                 {"application/json", `{"grant_type":"client_credentials"}`, 400, 900144},
		"bad content type":     {"a/b/c; ;", good, 400, 900144},
		"empty":                {"", "", 400, 900144},
		"bad escape":           {"", good + "&x=%zz", 400, 90013},
		"semicolon":            {"", good + "&x=a;b", 400, 90013},
		"repeated parameter":   {"", good + "&scope=x", 400, 90013},
		"unread parameters":    {"", good + "&x-client-SKU=msal.js.node&x-client-current-telemetry=5|771,0,,,|,&claims={}", 200, 0},
		"as long as permitted": {"", good + "&x=" + strings.Repeat("x", 64*1024-len(good)-3), 200, 0},
		"too long":             {"", good + "&x=" + strings.Repeat("x", 64*1024-len(good)-2), 413, 90013},
	} {
		t.Run(name, func(t *testing.T) {
			r := postForm(tokenURL, c.body)
			r.Header.Del("Content-Type")
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			a := w.do(t, r)
			if a.Code == 200 && c.status == 200 {
				return
			}
			wantError(t, a, c.status, "invalid_request", c.code)
		})
	}
	r := postForm(tokenURL, "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(good), brokenReader{}))
	wantError(t, w.do(t, r), 400, "invalid_request", 90013)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestMethods(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ method, path, allow string }{
		{"GET", tokenURL, "POST"},
		{"PUT", "/" + tenant + "/oauth2/token", "POST"},
		{"POST", "/" + tenant + "/v2.0/.well-known/openid-configuration", "GET, HEAD"},
		{"DELETE", "/" + tenant + "/discovery/keys", "GET, HEAD"},
	} {
		a := w.do(t, httptest.NewRequest(c.method, c.path, nil))
		wantError(t, a, http.StatusMethodNotAllowed, "invalid_request", 900561)
		if got := a.Header().Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got, c.allow)
		}
	}
	if a := w.do(t, httptest.NewRequest("HEAD", "/common/discovery/keys", nil)); a.Code != 200 {
		t.Errorf("HEAD: status %d", a.Code)
	}
	r := httptest.NewRequest("GET", "/"+tenant+"/discovery/keys", nil)
	r.Host = "a/b"
	wantError(t, w.do(t, r), 400, "invalid_request", 90013)
}

func TestBasic(t *testing.T) {
	w := newWorld(t)
	odd := "a:b+c/%&ü ~" // as a secret that came from elsewhere
	w.client.Secrets = append(w.client.Secrets, oauth.Secret{Hash: oauth.HashSecret(odd)}, oauth.Secret{Hash: oauth.HashSecret("100%")})
	if err := w.store.PutClient(t.Context(), w.client); err != nil {
		t.Fatal(err)
	}
	id := w.client.AppID.String()
	plain := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	}
	none := []string{"client_id", "", "client_secret", ""}
	for name, c := range map[string]struct {
		header string
		change []string
		status int
	}{
		"plain":                 {plain(id, w.secret), none, 200},
		"lower-case scheme":     {"basic" + strings.TrimPrefix(plain(id, w.secret), "Basic"), none, 200},
		"encoded":               {plain(url.QueryEscape(id), url.QueryEscape(odd)), none, 200},
		"cannot be decoded":     {plain(id, "100%"), none, 200},
		"id in the body too":    {plain(id, w.secret), []string{"client_secret", ""}, 200},
		"both in the body too":  {plain(id, w.secret), nil, 200},
		"wrong":                 {plain(id, "x"), none, 401},
		"no secret":             {plain(id, ""), none, 401},
		"other id in the body":  {plain(uuid.NewString(), w.secret), []string{"client_secret", ""}, 400},
		"other secret":          {plain(id, "x"), nil, 400},
		"not base64":            {"Basic !", none, 400},
		"no colon":              {"Basic " + base64.StdEncoding.EncodeToString([]byte("x")), none, 400},
		"other scheme is as no": {"Bearer x", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			r := postForm(tokenURL, w.form(c.change...).Encode())
			r.Header.Set("Authorization", c.header)
			a := w.do(t, r)
			if a.Code != c.status {
				t.Errorf("status %d, want %d: %s", a.Code, c.status, a.Body)
			}
			if a.Code == 401 && !strings.HasPrefix(a.Header().Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("WWW-Authenticate %q", a.Header().Get("WWW-Authenticate"))
			}
		})
	}
}

func TestCorrelation(t *testing.T) {
	w := newWorld(t)
	id := uuid.NewString()
	r := postForm(tokenURL, "")
	r.Header.Set("client-request-id", id)
	if a := w.do(t, r); a.body["correlation_id"] != id || a.Header().Get("x-ms-request-id") != a.body["trace_id"] {
		t.Errorf("answer %s, want correlation %s", a.Body, id)
	}
}

func TestFailureLimit(t *testing.T) {
	w := newWorld(t)
	try := func(remote string, form url.Values) answer {
		r := postForm(tokenURL, form.Encode())
		r.RemoteAddr = remote
		return w.do(t, r)
	}
	wrong := w.form("client_secret", "wrong")
	for i := range 10 {
		wantError(t, try(fmt.Sprintf("192.0.2.1:%d", 1000+i), wrong), 401, "invalid_client", 7000215)
	}
	w.now = w.now.Add(10500 * time.Millisecond)
	a := try("192.0.2.1:99", wrong)
	wantError(t, a, 429, "temporarily_unavailable", 90055)
	if got := a.Header().Get("Retry-After"); got != "50" {
		t.Errorf("Retry-After %q, want 50", got)
	}
	if a := try("192.0.2.1:99", w.form()); a.Code != 200 {
		t.Errorf("a valid secret was refused: %s", a.Body)
	}
	wantError(t, try("192.0.2.2:99", wrong), 401, "invalid_client", 7000215)
	wantError(t, try("192.0.2.1:99", w.form("client_id", uuid.NewString())), 400, "unauthorized_client", 700016)
	w.now = w.now.Add(time.Minute)
	wantError(t, try("192.0.2.1:99", wrong), 401, "invalid_client", 7000215)
}

func TestMetadata(t *testing.T) {
	w := newWorld(t)
	const base = "https://induct.example/" + tenant
	for _, c := range []struct{ path, token, keys, issuer string }{
		{"/" + tenant + "/v2.0/.well-known/openid-configuration", "/oauth2/v2.0/token", "/discovery/v2.0/keys", base + "/v2.0"},
		{"/" + tenant + "/v2.0/.well-known/openid-configuration?", "/oauth2/v2.0/token", "/discovery/v2.0/keys", base + "/v2.0"},
		{"/" + strings.ToUpper(tenant) + "/v2.0/.well-known/openid-configuration/", "/oauth2/v2.0/token", "/discovery/v2.0/keys", base + "/v2.0"},
		{"/common/v2.0/.well-known/openid-configuration", "/oauth2/v2.0/token", "/discovery/v2.0/keys", base + "/v2.0"},
		{"/organizations/v2.0/.well-known/openid-configuration", "/oauth2/v2.0/token", "/discovery/v2.0/keys", base + "/v2.0"},
		{"/fabrikam.example/.well-known/openid-configuration", "/oauth2/token", "/discovery/keys", "https://sts.windows.net/" + tenant + "/"},
	} {
		a := w.get(t, c.path)
		if a.Code != 200 || a.body["token_endpoint"] != base+c.token || a.body["jwks_uri"] != base+c.keys || a.body["issuer"] != c.issuer ||
			!strings.HasPrefix(fmt.Sprint(a.body["authorization_endpoint"]), base+"/oauth2/") {
			t.Errorf("%s: status %d: %s", c.path, a.Code, a.Body)
		}
	}
	for _, name := range []string{"contoso.example", "consumers"} {
		wantError(t, w.get(t, "/"+name+"/v2.0/.well-known/openid-configuration"), 400, "invalid_tenant", 90002)
	}
}

// TestIssuerIsOfTheHost checks that tokens have the issuer which discovery on
// the same host announces.
func TestIssuerIsOfTheHost(t *testing.T) {
	w := newWorld(t, func(c *oauth.Config) { c.PublicURL = "" })
	for _, c := range []struct {
		handler func(http.Handler) *httptest.Server
		scheme  string
	}{{httptest.NewServer, "http://"}, {httptest.NewTLSServer, "https://"}} {
		srv := c.handler(w.Handler())
		defer srv.Close()
		resp, err := srv.Client().Get(srv.URL + "/" + domain + "/v2.0/.well-known/openid-configuration?")
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Issuer string `json:"issuer"`
			Token  string `json:"token_endpoint"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp, err = srv.Client().PostForm(doc.Token, w.form("scope", srv.URL+"/.default")); err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Token string `json:"access_token"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		_, claims := decode(t, answer.Token)
		if !strings.HasPrefix(doc.Issuer, c.scheme) || claims["iss"] != doc.Issuer {
			t.Errorf("issuer %v, discovery says %q", claims["iss"], doc.Issuer)
		}
		if _, err := w.Verify(t.Context(), answer.Token); err != nil {
			t.Error(err)
		}
	}
}

func TestInstanceDiscovery(t *testing.T) {
	w := newWorld(t)
	ask := func(host, authority string) answer {
		r := httptest.NewRequest("GET", "/common/discovery/instance?api-version=1.1&authorization_endpoint="+url.QueryEscape(authority), nil)
		r.Host = host
		return w.do(t, r)
	}
	for _, c := range []struct{ host, authority, want string }{
		{host, "https://induct.example/" + domain + "/oauth2/v2.0/authorize", "https://induct.example/" + domain + "/v2.0/.well-known/openid-configuration"},
		{"login.microsoftonline.com", "https://login.windows.net/" + tenant + "/oauth2/v2.0/authorize", "https://login.windows.net/" + tenant + "/v2.0/.well-known/openid-configuration"},
		{"login.microsoftonline.com", "https://Induct.example/common/oauth2/v2.0/authorize", "https://induct.example/" + tenant + "/v2.0/.well-known/openid-configuration"},
	} {
		a := ask(c.host, c.authority)
		if a.Code != 200 || a.body["tenant_discovery_endpoint"] != c.want || a.body["api-version"] != "1.1" || len(a.body["metadata"].([]any)) != 1 {
			t.Errorf("%s on %s: status %d: %s", c.authority, c.host, a.Code, a.Body)
		}
	}
	wantError(t, ask(host, "https://login.microsoftonline.com/"+tenant), 400, "invalid_instance", 50049)
	wantError(t, ask(host, "https://evil.example/"+tenant), 400, "invalid_instance", 50049)
	wantError(t, ask(host, "https://%zz"), 400, "invalid_instance", 50049)
	wantError(t, ask(host, ""), 400, "invalid_request", 900144)
}

// TestKeySet verifies a token as another resource server would: with nothing
// but the published keys.
func TestKeySet(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/" + tenant + "/discovery/v2.0/keys", "/common/discovery/keys"} {
		a := w.get(t, path)
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(a.Body.Bytes(), &set); err != nil {
			t.Fatal(err)
		}
		token, err := jwt.ParseSigned(w.token(t), []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Fatal(err)
		}
		var c jwt.Claims
		if err := token.Claims(&set, &c); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if k := set.Keys[0]; len(k.Certificates) != 1 || !k.Certificates[0].PublicKey.(*rsa.PublicKey).Equal(k.Key) || token.Headers[0].ExtraHeaders["x5t"] != base64.RawURLEncoding.EncodeToString(k.CertificateThumbprintSHA1) {
			t.Errorf("%s: certificate of %v", path, k)
		}
		public, ok := set.Keys[0].Key.(*rsa.PublicKey)
		if !ok || public.N.BitLen() != 2048 || !set.Keys[0].IsPublic() {
			t.Errorf("%s: key %v", path, set.Keys[0])
		}
	}
}

func (w *world) keyIDs(t *testing.T) (ids []string) {
	t.Helper()
	for _, k := range w.get(t, "/common/discovery/keys").body["keys"].([]any) {
		ids = append(ids, k.(map[string]any)["kid"].(string))
	}
	return ids
}

func TestRotateKey(t *testing.T) {
	w := newWorld(t)
	kid := func(token string) string { header, _ := decode(t, token); return header["kid"].(string) }
	old := w.token(t)
	if kid(old) != w.keyIDs(t)[0] {
		t.Error("the first key does not sign at once")
	}
	w.now = w.now.Add(30 * time.Minute)
	if err := w.RotateKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids := w.keyIDs(t)
	if len(ids) != 2 || ids[1] != kid(old) {
		t.Fatalf("published %v, want a new key and %v", ids, kid(old))
	}
	w.now = w.now.Add(9 * time.Minute)
	late := w.token(t)
	if kid(late) != kid(old) {
		t.Error("signs with the new key before others can have fetched it")
	}
	w.now = w.now.Add(time.Minute)
	young := w.token(t)
	if kid(young) != ids[0] {
		t.Error("does not sign with the new key")
	}
	for _, token := range []string{old, late, young} {
		if _, err := w.Verify(t.Context(), token); err != nil {
			t.Errorf("Verify: %v", err)
		}
	}
	w.now = w.now.Add(66 * time.Minute)
	if left := w.keyIDs(t); len(left) != 1 || left[0] != ids[0] {
		t.Errorf("published %v, want only %v", left, ids[0])
	}
	if rotated, err := w.RotateKeyAfter(t.Context(), 24*time.Hour); rotated || err != nil {
		t.Errorf("rotated %v, %v", rotated, err)
	}
	if rotated, err := w.RotateKeyAfter(t.Context(), time.Hour); !rotated || err != nil {
		t.Errorf("rotated %v, %v", rotated, err)
	}
	if stored, _ := w.store.SigningKeys(t.Context()); len(stored) != 2 || stored[1].KeyID != ids[0] {
		t.Errorf("the store keeps %d keys, want 2: no token of the first is left", len(stored))
	}
}

// TestKeysAreShared checks that two processes with one store accept each
// other's tokens, also after a rotation.
func TestKeysAreShared(t *testing.T) {
	w := newWorld(t)
	other, err := oauth.New(oauth.Config{Tenant: uuid.MustParse(tenant), Now: func() time.Time { return w.now }}, w.store)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Verify(t.Context(), w.token(t)); err != nil {
		t.Errorf("first key: %v", err)
	}
	w.now = w.now.Add(2 * time.Second)
	if err := w.RotateKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Verify(t.Context(), w.token(t)); err != nil {
		t.Errorf("second key: %v", err)
	}
	if keys, _ := w.store.SigningKeys(t.Context()); len(keys) != 2 {
		t.Errorf("%d keys in the store, want 2", len(keys))
	}
}

func TestVerify(t *testing.T) {
	w := newWorld(t)
	token := w.token(t)
	want := oauth.Principal{
		AppID: w.client.AppID, ObjectID: w.client.ObjectID, Roles: w.client.Roles,
		Expires: start.Truncate(time.Second).Add(time.Hour),
	}
	for range 2 { // the second time from memory
		p, err := w.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if p.AppID != want.AppID || p.ObjectID != want.ObjectID || !slices.Equal(p.Roles, want.Roles) || !p.Expires.Equal(want.Expires) {
			t.Errorf("principal %+v, want %+v", p, want)
		}
		if !p.Has("User.Read.All", "SynchronizationData-User.Upload") || p.Has("User.Read.All") || p.Has() {
			t.Errorf("Has is wrong for %v", p.Roles)
		}
	}
	// The roles are those of the time of issue.
	w.client.Roles = nil
	if err := w.store.PutClient(t.Context(), w.client); err != nil {
		t.Fatal(err)
	}
	if p, err := w.Verify(t.Context(), token); err != nil || len(p.Roles) != 1 {
		t.Errorf("principal %v, error %v", p, err)
	}
	if p, err := w.Verify(t.Context(), w.token(t)); err != nil || len(p.Roles) != 0 {
		t.Errorf("principal %v, error %v", p, err)
	}
	w.now = want.Expires.Add(-time.Nanosecond)
	if _, err := w.Verify(t.Context(), token); err != nil {
		t.Errorf("just before the end: %v", err)
	}
	w.now = want.Expires
	for range 2 { // from memory and not
		if _, err := w.Verify(t.Context(), token); err != oauth.ErrTokenLifetime {
			t.Errorf("at the end: %v, want %v", err, oauth.ErrTokenLifetime)
		}
	}
}

// signWith makes a token with the authority's own key and other claims.
func (w *world) signWith(t *testing.T, change func(claims map[string]any), key jose.SigningKey) string {
	t.Helper()
	header, claims := decode(t, w.token(t))
	change(claims)
	if key.Key == nil {
		stored, err := w.store.SigningKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		private, err := parseKey(stored[0].Private)
		if err != nil {
			t.Fatal(err)
		}
		key = jose.SigningKey{Algorithm: key.Algorithm, Key: private}
	}
	opts := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", header["kid"])
	signer, err := jose.NewSigner(key, opts)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestVerifyRefuses(t *testing.T) {
	w := newWorld(t)
	good := w.token(t)
	parts := strings.Split(good, ".")
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	own := jose.SigningKey{Algorithm: jose.RS256}
	now := start.Unix()
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	header, _ := decode(t, good)
	kid := header["kid"].(string)
	hs := encode(`{"alg":"HS256","kid":"`+kid+`"}`) + "." + parts[1]
	mac := hmac.New(sha256.New, []byte(kid))
	mac.Write([]byte(hs))
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"empty":               {"", oauth.ErrTokenEmpty},
		"no dots":             {"abc", oauth.ErrTokenMalformed},
		"two parts":           {parts[0] + "." + parts[1], oauth.ErrTokenMalformed},
		"four parts":          {good + ".x", oauth.ErrTokenMalformed},
		"not base64":          {"!." + parts[1] + "." + parts[2], oauth.ErrTokenMalformed},
		"too long":            {strings.Repeat("x", 20000), oauth.ErrTokenMalformed},
		"alg none":            {encode(`{"alg":"none","kid":"`+kid+`"}`) + "." + parts[1] + ".", oauth.ErrTokenMalformed},
		"alg HS256":           {hs + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), oauth.ErrTokenMalformed},
		"alg PS256":           {w.signWith(t, set("x", 1), jose.SigningKey{Algorithm: jose.PS256}), oauth.ErrTokenMalformed},
		"no kid":              {encode(`{"alg":"RS256"}`) + "." + parts[1] + "." + parts[2], oauth.ErrTokenSignature},
		"other kid":           {encode(`{"alg":"RS256","kid":"x"}`) + "." + parts[1] + "." + parts[2], oauth.ErrTokenSignature},
		"key in the header":   {encode(`{"alg":"RS256","jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}}`) + "." + parts[1] + "." + parts[2], oauth.ErrTokenSignature},
		"claims changed":      {parts[0] + "." + encode(`{"roles":["x"]}`) + "." + parts[2], oauth.ErrTokenSignature},
		"other key":           {w.signWith(t, set("x", 1), jose.SigningKey{Algorithm: jose.RS256, Key: foreign}), oauth.ErrTokenSignature},
		"other audience":      {w.signWith(t, set("aud", "https://vault.example"), own), oauth.ErrTokenAudience},
		"two audiences":       {w.signWith(t, set("aud", []string{graph, "https://vault.example"}), own), oauth.ErrTokenAudience},
		"no audience":         {w.signWith(t, set("aud", []string{}), own), oauth.ErrTokenAudience},
		"null audience":       {w.signWith(t, set("aud", nil), own), oauth.ErrTokenMalformed},
		"expired":             {w.signWith(t, set("exp", now-1), own), oauth.ErrTokenLifetime},
		"without end":         {w.signWith(t, set("exp", nil), own), oauth.ErrTokenLifetime},
		"without beginning":   {w.signWith(t, set("nbf", nil), own), oauth.ErrTokenLifetime},
		"not yet valid":       {w.signWith(t, set("nbf", now+302), own), oauth.ErrTokenLifetime},
		"valid in a moment":   {w.signWith(t, set("nbf", now+299), own), nil},
		"other tenant":        {w.signWith(t, set("tid", uuid.NewString()), own), oauth.ErrTokenIssuer},
		"issuer of another":   {w.signWith(t, set("iss", "https://induct.example/"+uuid.NewString()+"/v2.0"), own), oauth.ErrTokenIssuer},
		"issuer of the hosts": {w.signWith(t, set("iss", "https://other.example/"+tenant+"/v2.0"), own), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Verify(t.Context(), c.token)
			if err != c.want {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if typed := (*oauth.TokenError)(nil); c.want != nil && (!errors.As(err, &typed) || typed.Message == "") {
				t.Errorf("error of type %T", err)
			}
		})
	}
}

// failing is a store that is out of order.
type failing struct{ oauth.Store }

var errDown = errors.New("database is down")

func (failing) Client(context.Context, uuid.UUID) (*oauth.Client, error) { return nil, errDown }
func (failing) SigningKeys(context.Context) ([]oauth.SigningKey, error)  { return nil, errDown }
func (failing) Ticket(context.Context, [32]byte) (*oauth.Ticket, error)  { return nil, errDown }
func (failing) PutSigningKey(context.Context, oauth.SigningKey) error    { return errDown }
func (failing) Lock(context.Context, string) (func(), error)             { return nil, errDown }

func TestStoreFails(t *testing.T) {
	w := newWorld(t)
	token := w.token(t)
	a, err := oauth.New(oauth.Config{Tenant: uuid.MustParse(tenant)}, failing{})
	if err != nil {
		t.Fatal(err)
	}
	w.Authority = a
	r := postForm(tokenURL, w.form().Encode())
	rec := httptest.NewRecorder()
	a.Handler().ServeHTTP(rec, r)
	if rec.Code != 503 || rec.Header().Get("Retry-After") == "" || strings.Contains(rec.Body.String(), "database") {
		t.Errorf("status %d: %s", rec.Code, rec.Body)
	}
	if a := w.get(t, "/common/discovery/keys"); a.Code != 503 {
		t.Errorf("keys: status %d", a.Code)
	}
	if _, err := a.Verify(t.Context(), token); !errors.Is(err, errDown) {
		t.Errorf("Verify: %v", err)
	}
	if err := a.RotateKey(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("RotateKey: %v", err)
	}
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "Bearer": "", "Bearer ": "", "Basic abc": "", "Bearerabc": "",
		"Bearer abc": "abc", "bearer  a.b-c_d~e+f/g= ": "a.b-c_d~e+f/g=", "Bearer a b": "", "Bearer a\x00": "",
		"Bearer " + strings.Repeat("x", 20000): "",
	} {
		got, err := oauth.Bearer(header)
		if typed := (*oauth.TokenError)(nil); got != want || (err == nil) != (want != "") || err != nil && !errors.As(err, &typed) {
			t.Errorf("Bearer(%.40q) = %q, %v; want %q", header, got, err, want)
		}
	}
}

func TestChallenge(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest("GET", "/v1.0/users", nil)
	r.Host = `Induct.example"x`
	want := `Bearer realm="", authorization_uri="https://induct.examplex/common/oauth2/authorize", client_id="` + graphID + `"`
	if got := w.Challenge(r); got != want {
		t.Errorf("Challenge is %s, want %s", got, want)
	}
}

// A tool that finds the cloud by its metadata gets a token for what that names.
func TestCloudMetadata(t *testing.T) {
	w := newWorld(t)
	a := w.get(t, "/metadata/endpoints?api-version=2022-09-01")
	resource, _ := a.body["microsoftGraphResourceId"].(string)
	login, _ := a.body["authentication"].(map[string]any)["loginEndpoint"].(string)
	if a.Code != 200 || a.body["name"] == "" || a.body["resourceManager"] == "" || login != "https://"+host || resource != "https://"+host+"/" {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	w.token(t, "scope", resource+".default")
}

func TestServes(t *testing.T) {
	for path, want := range map[string]bool{
		tokenURL: true, "/common/discovery/instance": true, "/x/discovery/keys/": true,
		"/": false, "": false, "/v1.0/users": false, "/v1.0/servicePrincipals/x/synchronization/jobs": false, "//discovery/keys": false,
	} {
		if got := oauth.Serves(path); got != want {
			t.Errorf("Serves(%q) = %v", path, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	id := uuid.MustParse(tenant)
	for name, c := range map[string]oauth.Config{
		"no tenant":      {},
		"domain":         {Tenant: id, Domains: []string{"common"}},
		"empty domain":   {Tenant: id, Domains: []string{" "}},
		"short lifetime": {Tenant: id, TokenLifetime: time.Second},
		"negative":       {Tenant: id, TokenLifetime: -time.Hour},
		"public URL":     {Tenant: id, PublicURL: "induct.example"},
		"path in URL":    {Tenant: id, PublicURL: "https://induct.example/base"},
	} {
		if _, err := oauth.New(c, oauthtest.NewStore()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := oauth.New(oauth.Config{Tenant: id}, nil); err == nil {
		t.Error("no store: no error")
	}
}

func TestSecret(t *testing.T) {
	clear, s := oauth.NewSecret(start, time.Hour)
	if !regexp.MustCompile(`^[A-Za-z0-9]{40}$`).MatchString(clear) || s.Hint != clear[:3] || s.KeyID == uuid.Nil {
		t.Errorf("secret %q, %+v", clear, s)
	}
	if bytes.Contains(s.Hash, []byte(clear)) || bytes.Equal(oauth.HashSecret(clear), s.Hash) {
		t.Error("the hash has no salt, or the secret in it")
	}
	if !s.Matches(clear) || s.Matches(clear+"x") || s.Matches("") || (oauth.Secret{}).Matches("") || (oauth.Secret{Hash: []byte("x")}).Matches("x") {
		t.Error("Matches is wrong")
	}
	if s.Expired(start.Add(time.Hour-1)) || !s.Expired(start.Add(time.Hour)) || (oauth.Secret{}).Expired(start) {
		t.Error("Expired is wrong")
	}
}

func TestRoleIDs(t *testing.T) {
	seen := make(map[uuid.UUID]string)
	for name, id := range oauth.RoleIDs {
		if seen[id] != "" {
			t.Errorf("%s and %s have the same id", name, seen[id])
		}
		seen[id] = name
	}
	if len(seen) != 18 {
		t.Errorf("%d roles, want 18", len(seen))
	}
}

func FuzzTokenForm(f *testing.F) {
	w := newWorld(f, func(c *oauth.Config) { c.Logger = nil })
	// Fixed, because each process of a fuzz run makes its own world.
	w.client.AppID, w.secret = uuid.MustParse("6e3f1b7c-9a51-4d27-8c40-2f5d7be0a913"), "fixed"
	w.client.Secrets = []oauth.Secret{{Hash: oauth.HashSecret(w.secret)}}
	if err := w.store.PutClient(f.Context(), w.client); err != nil {
		f.Fatal(err)
	}
	w.token(f) // makes the key
	const form = "application/x-www-form-urlencoded"
	f.Add(w.form().Encode(), "", form)
	f.Add("grant_type=client_credentials&scope=.default", "Basic NmUzZjFiN2MtOWE1MS00ZDI3LThjNDAtMmY1ZDdiZTBhOTEzOmZpeGVk", form)
	f.Add("grant_type=client_credentials", "Basic YTpi", "")
	f.Add("grant_type=refresh_token&client_id=6e3f1b7c-9a51-4d27-8c40-2f5d7be0a913&client_secret=fixed&refresh_token=x&client_info=1", "", form)
	f.Add("grant_type=authorization_code&client_id=6e3f1b7c-9a51-4d27-8c40-2f5d7be0a913&client_secret=fixed&code=x&code_verifier=y&redirect_uri=z", "", form)
	f.Add("grant_type=client_credentials&scope=.default&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=e30.e30.", "", form)
	f.Add("scope=%zz;&scope=&client_id=\xff", "basic Og==", "text/plain; charset=\"")
	f.Fuzz(func(t *testing.T, body, authorization, contentType string) {
		r := postForm(tokenURL, body)
		r.Header.Set("Authorization", authorization)
		r.Header.Set("Content-Type", contentType)
		a := w.do(t, r)
		switch a.Code {
		case 200:
			if sent, err := url.ParseQuery(body); err != nil || authorization == "" && sent.Get("client_secret") != w.secret {
				t.Errorf("a token for %q", body)
			}
			if _, err := w.Verify(t.Context(), a.body["access_token"].(string)); err != nil {
				t.Errorf("the token is not valid: %v", err)
			}
		case 400, 401, 413, 429:
			if a.body["error"] == "" || a.body["error_description"] == "" {
				t.Errorf("answer %s", a.Body)
			}
		default:
			t.Errorf("status %d: %s", a.Code, a.Body)
		}
	})
}

func FuzzBearer(f *testing.F) {
	w := newWorld(f)
	good := w.token(f)
	f.Add("Bearer " + good)
	f.Add("bearer a.b.c")
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, header string) {
		token, err := oauth.Bearer(header)
		if err != nil {
			return
		}
		p, err := w.Verify(t.Context(), token)
		if typed := (*oauth.TokenError)(nil); err != nil && !errors.As(err, &typed) {
			t.Errorf("error %v of type %T", err, err)
		}
		if err == nil && (token != good || p.AppID != w.client.AppID) {
			t.Errorf("accepted %q", token)
		}
	})
}
