package oauth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
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
	"github.com/google/uuid"

	"induct/internal/oauth"
)

const (
	callback  = "https://app.example/callback"
	authorize = "/" + tenant + "/oauth2/v2.0/authorize"
	loginURL  = "/" + tenant + "/login"
	verifier  = "a-code-verifier-of-at-least-forty-three-characters"
	password  = "correct horse battery"
	adminUPN  = "ada@fabrikam.example"
)

// crowd is a directory of people.
type crowd []*oauth.Person

func (c crowd) Person(_ context.Context, name string) (*oauth.Person, error) {
	for _, p := range c {
		if strings.EqualFold(p.UPN, name) || p.ObjectID.String() == name {
			return p, nil
		}
	}
	return nil, oauth.ErrNotFound
}

// club is a world with a public client, an administrator of no directory, and Kim, of the directory.
type club struct {
	*world
	public *oauth.Client
	admin  *oauth.Account
	kim    *oauth.Person
}

func newClub(t testing.TB) *club {
	t.Helper()
	c := &club{kim: &oauth.Person{ObjectID: uuid.New(), UPN: "Kim@fabrikam.example", DisplayName: "Kim Lee", Enabled: true}}
	c.world = newWorld(t, func(cfg *oauth.Config) { cfg.People = crowd{c.kim} })
	c.public = &oauth.Client{AppID: uuid.New(), ObjectID: uuid.New(), DisplayName: "Admin <center>", Public: true,
		RedirectURIs: []string{callback, "https://app.example/with?query=1", "http://localhost/cb", "http://[::1]:1/cb", "msalapp://auth"},
		Grants: []oauth.Grant{{Resource: oauth.GraphObjectID(uuid.MustParse(tenant)), Scope: "Synchronization.Read.All User.ReadWrite.All SynchronizationData-User.Upload"},
			{Resource: uuid.New(), Scope: "Else.Where"}, {Resource: oauth.GraphObjectID(uuid.MustParse(tenant)), Person: uuid.New(), Scope: "Directory.Read.All"}}}
	if err := c.store.PutClient(t.Context(), c.public); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.admin, err = c.AddAccount(t.Context(), "Ada@Fabrikam.example", "Ada", password, []string{"Global Administrator"}); err != nil {
		t.Fatal(err)
	}
	if err := c.SetPassword(t.Context(), "kim@fabrikam.example", password); err != nil {
		t.Fatal(err)
	}
	return c
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// query is an authorization request that is answered with a code, with changes as name, value pairs.
func (c *club) query(changes ...string) url.Values {
	q := url.Values{"client_id": {c.public.AppID.String()}, "response_type": {"code"}, "redirect_uri": {callback}, "state": {"s&1"}, "nonce": {"n1"},
		"scope": {"openid profile offline_access https://graph.microsoft.com/User.ReadWrite.All"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"}}
	for p := range slices.Chunk(changes, 2) {
		if q.Set(p[0], p[1]); p[1] == "" {
			q.Del(p[0])
		}
	}
	return q
}

// browser keeps cookies.
type browser struct {
	c       *club
	cookies map[string]string
	remote  string
}

func (c *club) browser() *browser {
	return &browser{c: c, cookies: map[string]string{}, remote: "192.0.2.7:1"}
}

func (b *browser) send(t testing.TB, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	r.Host, r.RemoteAddr = host, b.remote
	for name, v := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: v})
	}
	rec := httptest.NewRecorder()
	b.c.Handler().ServeHTTP(rec, r)
	for _, k := range rec.Result().Cookies() {
		if k.MaxAge < 0 {
			delete(b.cookies, k.Name)
		} else {
			b.cookies[k.Name] = k.Value
		}
		if !strings.HasPrefix(k.Name, "__Host-") || !k.HttpOnly || !k.Secure || k.SameSite != http.SameSiteLaxMode || k.Path != "/" || k.Domain != "" {
			t.Errorf("cookie %v", k)
		}
	}
	if rec.Code >= 500 {
		t.Errorf("status %d: %s", rec.Code, rec.Body)
	}
	return rec
}

func (b *browser) get(t testing.TB, path string, q url.Values) *httptest.ResponseRecorder {
	t.Helper()
	if q != nil {
		path += "?" + q.Encode()
	}
	return b.send(t, httptest.NewRequest(http.MethodGet, path, nil))
}

func (b *browser) post(t testing.TB, path string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	r := postForm(path, form.Encode())
	r.Header.Set("Origin", "https://"+host)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(t, r)
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// fields are the hidden ones of a page's form.
func fields(page *httptest.ResponseRecorder) url.Values {
	f := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page.Body.String(), -1) {
		f.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return f
}

// signIn goes to the authorization endpoint, fills the form in and returns the answer to it.
func (b *browser) signIn(t testing.TB, q url.Values, name, password string) *httptest.ResponseRecorder {
	t.Helper()
	page := b.get(t, authorize, q)
	if page.Code != 200 {
		t.Fatalf("status %d: %s", page.Code, page.Body)
	}
	f := fields(page)
	f.Set("username", name)
	f.Set("password", password)
	return b.post(t, loginURL, f)
}

// returned are the parameters with which an answer sends the browser to the client.
func returned(t testing.TB, rec *httptest.ResponseRecorder, to string) url.Values {
	t.Helper()
	location := rec.Header().Get("Location")
	if rec.Code != http.StatusFound && rec.Code != http.StatusSeeOther || !strings.HasPrefix(location, to) {
		t.Fatalf("status %d to %q, want %q: %s", rec.Code, location, to, rec.Body)
	}
	v, err := url.ParseQuery(strings.TrimLeft(location[len(to):], "?#&"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c *club) redeem(t testing.TB, changes ...string) answer {
	t.Helper()
	f := url.Values{"grant_type": {"authorization_code"}, "client_id": {c.public.AppID.String()}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	for p := range slices.Chunk(changes, 2) {
		if f.Set(p[0], p[1]); p[1] == "" {
			f.Del(p[0])
		}
	}
	r := postForm(tokenURL, f.Encode())
	c.asserted++
	r.RemoteAddr = fmt.Sprintf("192.0.2.%d:999", c.asserted)
	return c.do(t, r)
}

// code signs a fresh browser in.
func (c *club) code(t testing.TB, name string, changes ...string) string {
	t.Helper()
	return returned(t, c.browser().signIn(t, c.query(changes...), name, password), callback).Get("code")
}

func TestSignIn(t *testing.T) {
	c := newClub(t)
	b := c.browser()
	page := b.get(t, authorize, c.query())
	if page.Code != 200 || !strings.Contains(page.Body.String(), "Admin &lt;center&gt;") {
		t.Fatalf("status %d: %s", page.Code, page.Body)
	}
	policy := page.Header().Get("Content-Security-Policy")
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page.Body.String())[1]
	sum := sha256.Sum256([]byte(style))
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' https://app.example", "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q is without %q", policy, want)
		}
	}
	if regexp.MustCompile(`(src|href)=`).MatchString(page.Body.String()) || page.Header().Get("Cache-Control") != "no-store" || page.Header().Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("page %v %s", page.Header(), page.Body)
	}
	back := returned(t, b.signIn(t, c.query("client_info", "1"), " Kim@Fabrikam.example ", password), callback)
	if back.Get("state") != "s&1" || back.Get("code") == "" || back.Get("client_info") == "" {
		t.Errorf("answer %v", back)
	}
	// The second time the session is enough, silently too.
	for _, prompt := range []string{"", "none", "consent"} {
		if again := returned(t, b.get(t, authorize, c.query("prompt", prompt)), callback); again.Get("code") == "" {
			t.Errorf("prompt %q: %v", prompt, again)
		}
	}
	for _, change := range [][]string{{"prompt", "login"}, {"prompt", "select_account"}} {
		if rec := b.get(t, authorize, c.query(change...)); rec.Code != 200 {
			t.Errorf("%v: status %d", change, rec.Code)
		}
	}
	c.now = c.now.Add(time.Minute)
	if rec := b.get(t, authorize, c.query("max_age", "59")); rec.Code != 200 {
		t.Errorf("max_age: status %d", rec.Code)
	}
	if silent := returned(t, c.browser().get(t, authorize, c.query("prompt", "none")), callback); silent.Get("error") != "login_required" || silent.Get("state") != "s&1" {
		t.Errorf("silent without a session: %v", silent)
	}
	c.now = c.now.Add(13 * time.Hour)
	if rec := b.get(t, authorize, c.query()); rec.Code != 200 {
		t.Errorf("after the session: status %d", rec.Code)
	}
}

func TestRedeem(t *testing.T) {
	c := newClub(t)
	a := c.redeem(t, "code", c.code(t, adminUPN), "client_info", "1")
	if a.Code != 200 || a.body["token_type"] != "Bearer" || a.body["expires_in"] != 3599. || a.body["scope"] != "User.ReadWrite.All offline_access openid profile" || a.body["refresh_token"] == nil {
		t.Fatalf("status %d: %s", a.Code, a.Body)
	}
	info, err := base64.RawURLEncoding.DecodeString(a.body["client_info"].(string))
	if err != nil || string(info) != fmt.Sprintf(`{"uid":"%s","utid":"%s"}`, c.admin.ObjectID, tenant) {
		t.Errorf("client_info %s, %v", info, err)
	}
	_, access := decode(t, a.body["access_token"].(string))
	for name, want := range map[string]any{"idtyp": "user", "upn": adminUPN, "unique_name": adminUPN, "name": "Ada", "oid": c.admin.ObjectID.String(), "appidacr": "0",
		"appid": c.public.AppID.String(), "scp": "User.ReadWrite.All offline_access openid profile", "aud": graph, "tid": tenant} {
		if access[name] != want {
			t.Errorf("access token: %s is %v, want %v", name, access[name], want)
		}
	}
	if fmt.Sprint(access["wids"]) != "[62e90394-69f5-4237-9190-012177145e10]" || access["roles"] != nil {
		t.Errorf("wids %v, roles %v", access["wids"], access["roles"])
	}
	_, id := decode(t, a.body["id_token"].(string))
	for name, want := range map[string]any{"aud": c.public.AppID.String(), "iss": "https://" + host + "/" + tenant + "/v2.0", "nonce": "n1", "oid": c.admin.ObjectID.String(),
		"preferred_username": adminUPN, "name": "Ada", "sub": access["sub"], "auth_time": float64(start.Unix())} {
		if id[name] != want {
			t.Errorf("id token: %s is %v, want %v", name, id[name], want)
		}
	}
	p, err := c.Verify(t.Context(), a.body["access_token"].(string))
	if err != nil || !p.User || p.UPN != adminUPN || p.ObjectID != c.admin.ObjectID || p.DisplayName != "Ada" || len(p.Scopes) != 4 || len(p.DirectoryRoles) != 1 || len(p.Roles) != 0 || p.AppID != c.public.AppID {
		t.Errorf("principal %+v, %v", p, err)
	}
	if p, err := c.Verify(t.Context(), c.token(t)); err != nil || p.User || p.Scopes != nil || p.DirectoryRoles != nil {
		t.Errorf("an app's principal %+v, %v", p, err)
	}
	if _, err := c.Verify(t.Context(), a.body["id_token"].(string)); err != oauth.ErrTokenAudience {
		t.Errorf("an id token passes for an access token: %v", err)
	}
	r := httptest.NewRequest("GET", "/oidc/userinfo", nil)
	r.Host = host
	if u := c.do(t, r); u.Code != 401 || u.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("userinfo without a token: %d %s", u.Code, u.Body)
	}
	r.Header.Set("Authorization", "Bearer "+a.body["access_token"].(string))
	if u := c.do(t, r); u.Code != 200 || u.body["sub"] != id["sub"] || u.body["preferred_username"] != adminUPN {
		t.Errorf("userinfo %d %s", u.Code, u.Body)
	}
	r.Header.Set("Authorization", "Bearer "+c.token(t))
	if u := c.do(t, r); u.Code != 403 {
		t.Errorf("userinfo of an app: %d %s", u.Code, u.Body)
	}
}

// What a token may do is what was asked for, the client may do, and the person's roles allow.
func TestScopes(t *testing.T) {
	for name, c := range map[string]struct {
		roles []string
		asked string
		want  string // "" if consent is missing
	}{
		"administrator":   {[]string{"Global Administrator"}, ".default", "Synchronization.Read.All SynchronizationData-User.Upload User.Read User.ReadWrite.All"},
		"nobody special":  {nil, ".default openid", "User.Read openid"},
		"global reader":   {[]string{"Global Reader"}, ".default", "Synchronization.Read.All User.Read"},
		"user admin":      {[]string{"User Administrator"}, "user.readwrite.all Synchronization.Read.All", "Synchronization.Read.All User.ReadWrite.All"},
		"app admin":       {[]string{"Application Administrator"}, ".default", "Synchronization.Read.All SynchronizationData-User.Upload User.Read"},
		"reports reader":  {[]string{"Reports Reader"}, "Synchronization.Read.All openid", "openid"},
		"by appId":        {[]string{"Global Reader"}, graphID + "/Synchronization.Read.All", "Synchronization.Read.All"},
		"not granted":     {[]string{"Global Administrator"}, "AuditLog.Read.All", ""},
		"another's grant": {[]string{"Global Administrator"}, "Else.Where", ""},
		"other person's":  {[]string{"Global Administrator"}, "Directory.Read.All", ""},
		"no such thing":   {[]string{"Global Administrator"}, "Whatever", ""},
		"other resource":  {[]string{"Global Administrator"}, "https://vault.example/Secrets.Read", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newClub(t)
			if err := w.SetRoles(t.Context(), w.kim.UPN, c.roles); err != nil {
				t.Fatal(err)
			}
			back := returned(t, w.browser().signIn(t, w.query("scope", c.asked), w.kim.UPN, password), callback)
			if c.want == "" {
				if back.Get("code") != "" || back.Get("error") != "consent_required" && back.Get("error") != "invalid_resource" {
					t.Errorf("answer %v", back)
				}
				return
			}
			if a := w.redeem(t, "code", back.Get("code")); a.Code != 200 || a.body["scope"] != c.want {
				t.Errorf("status %d: %s", a.Code, a.Body)
			}
		})
	}
}

func TestCodeRefused(t *testing.T) {
	c := newClub(t)
	secret, s := oauth.NewSecret(start, time.Hour)
	other := &oauth.Client{AppID: uuid.New(), Public: true, RedirectURIs: []string{callback}}
	confidential := &oauth.Client{AppID: uuid.New(), RedirectURIs: []string{callback}, Secrets: []oauth.Secret{s}}
	for _, k := range []*oauth.Client{other, confidential} {
		if err := c.store.PutClient(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	for name, k := range map[string]struct {
		ask, change []string
		status      int
		kind        string
		code        int
	}{
		"no code":                  {nil, []string{"code", ""}, 400, "invalid_request", 900144},
		"unknown code":             {nil, []string{"code", "x"}, 400, "invalid_grant", 70008},
		"long code":                {nil, []string{"code", strings.Repeat("x", 60000)}, 400, "invalid_grant", 70008},
		"another client":           {nil, []string{"client_id", other.AppID.String()}, 400, "invalid_grant", 700005},
		"redirect URI":             {nil, []string{"redirect_uri", callback + "/"}, 400, "invalid_grant", 500112},
		"no redirect URI":          {nil, []string{"redirect_uri", ""}, 400, "invalid_grant", 500112},
		"verifier":                 {nil, []string{"code_verifier", verifier + "x"}, 400, "invalid_grant", 50148},
		"no verifier":              {nil, []string{"code_verifier", ""}, 400, "invalid_grant", 50148},
		"challenge as verifier":    {nil, []string{"code_verifier", challenge(verifier)}, 400, "invalid_grant", 50148},
		"a public client's secret": {nil, []string{"client_secret", "x"}, 401, "invalid_client", 700025},
		"no secret": {[]string{"client_id", confidential.AppID.String(), "scope", "openid"}, []string{"client_id", confidential.AppID.String()},
			401, "invalid_client", 7000216},
		"wrong secret": {[]string{"client_id", confidential.AppID.String(), "scope", "openid"}, []string{"client_id", confidential.AppID.String(), "client_secret", "x"},
			401, "invalid_client", 7000215},
		"verifier without challenge": {[]string{"client_id", confidential.AppID.String(), "scope", "openid", "code_challenge", "", "code_challenge_method", ""},
			[]string{"client_id", confidential.AppID.String(), "client_secret", secret}, 400, "invalid_grant", 50148},
		"a refresh token as code": {nil, []string{"grant_type", "refresh_token", "refresh_token", "x"}, 400, "invalid_grant", 700082},
	} {
		t.Run(name, func(t *testing.T) {
			code := c.code(t, adminUPN, k.ask...)
			change := append([]string{"code", code}, k.change...)
			wantError(t, c.redeem(t, change...), k.status, k.kind, k.code)
		})
	}
	t.Run("confidential", func(t *testing.T) {
		code := c.code(t, adminUPN, "client_id", confidential.AppID.String(), "scope", "openid")
		if a := c.redeem(t, "code", code, "client_id", confidential.AppID.String(), "client_secret", secret); a.Code != 200 {
			t.Errorf("status %d: %s", a.Code, a.Body)
		}
	})
	t.Run("expired", func(t *testing.T) {
		code := c.code(t, adminUPN)
		c.now = c.now.Add(5 * time.Minute)
		wantError(t, c.redeem(t, "code", code), 400, "invalid_grant", 70008)
	})
	t.Run("used twice", func(t *testing.T) {
		code := c.code(t, adminUPN)
		first := c.redeem(t, "code", code)
		if first.Code != 200 {
			t.Fatal(first.Body)
		}
		wantError(t, c.redeem(t, "code", code), 400, "invalid_grant", 54005)
		wantError(t, c.redeem(t, "grant_type", "refresh_token", "refresh_token", first.body["refresh_token"].(string)), 400, "invalid_grant", 700082)
	})
}

func TestRefresh(t *testing.T) {
	c := newClub(t)
	refresh := func(token any, changes ...string) answer {
		return c.redeem(t, append([]string{"grant_type", "refresh_token", "refresh_token", token.(string)}, changes...)...)
	}
	first := c.redeem(t, "code", c.code(t, c.kim.UPN))
	c.now = c.now.Add(20 * time.Hour)
	wantError(t, refresh(first.body["refresh_token"], "client_id", c.client.AppID.String(), "client_secret", c.secret), 400, "invalid_grant", 70000)
	second := refresh(first.body["refresh_token"], "scope", "openid User.Read offline_access")
	if second.Code != 200 || second.body["refresh_token"] == first.body["refresh_token"] || second.body["scope"] != "User.Read offline_access openid" {
		t.Fatalf("status %d: %s", second.Code, second.Body)
	}
	c.now = c.now.Add(20 * time.Hour)
	third := refresh(second.body["refresh_token"])
	if third.Code != 200 {
		t.Fatalf("status %d: %s", third.Code, third.Body)
	}
	// One that comes back was stolen from somebody: all of the family end.
	wantError(t, refresh(second.body["refresh_token"]), 400, "invalid_grant", 50173)
	wantError(t, refresh(third.body["refresh_token"]), 400, "invalid_grant", 700082)

	t.Run("unused for a day", func(t *testing.T) {
		a := c.redeem(t, "code", c.code(t, c.kim.UPN))
		c.now = c.now.Add(24 * time.Hour)
		wantError(t, refresh(a.body["refresh_token"]), 400, "invalid_grant", 700082)
	})
	t.Run("for two weeks at most", func(t *testing.T) {
		a := c.redeem(t, "code", c.code(t, c.kim.UPN))
		for range 16 {
			c.now = c.now.Add(23 * time.Hour)
			token, ok := a.body["refresh_token"]
			if !ok {
				return
			}
			if a = refresh(token); a.Code != 200 {
				return
			}
		}
		t.Error("it goes on for ever")
	})
	for name, end := range map[string]func(){
		"password changed": func() {
			if err := c.SetPassword(t.Context(), c.kim.UPN, password); err != nil {
				t.Error(err)
			}
		},
		"roles changed": func() {
			if err := c.SetRoles(t.Context(), c.kim.UPN, nil); err != nil {
				t.Error(err)
			}
		},
		"disabled": func() { c.kim.Enabled = false },
		"client disabled": func() {
			c.public.Disabled = true
			if err := c.store.PutClient(t.Context(), c.public); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.browser()
			code := returned(t, b.signIn(t, c.query(), c.kim.UPN, password), callback).Get("code")
			a := c.redeem(t, "code", code)
			end()
			if r := refresh(a.body["refresh_token"]); r.Code != 400 {
				t.Errorf("refreshed: %d %s", r.Code, r.Body)
			}
			c.kim.Enabled, c.public.Disabled = true, false
			if err := c.store.PutClient(t.Context(), c.public); err != nil {
				t.Fatal(err)
			}
			if name == "client disabled" || name == "disabled" {
				return
			}
			if rec := b.get(t, authorize, c.query()); rec.Code != 200 {
				t.Errorf("the session goes on: %d", rec.Code)
			}
		})
	}
}

func TestAuthorizeRefused(t *testing.T) {
	c := newClub(t)
	managed, disabled := &oauth.Client{AppID: uuid.New(), Managed: true, RedirectURIs: []string{callback}}, &oauth.Client{AppID: uuid.New(), Disabled: true, RedirectURIs: []string{callback}}
	for _, k := range []*oauth.Client{managed, disabled} {
		if err := c.store.PutClient(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	b := c.browser()
	b.signIn(t, c.query(), adminUPN, password) // a session makes every mistake worse
	for name, k := range map[string]struct {
		change []string
		want   string // error that the client is told; "": nobody is sent anywhere
	}{
		"no client":             {[]string{"client_id", ""}, ""},
		"unknown client":        {[]string{"client_id", uuid.NewString()}, ""},
		"managed identity":      {[]string{"client_id", managed.AppID.String()}, ""},
		"disabled client":       {[]string{"client_id", disabled.AppID.String()}, ""},
		"no redirect URI":       {[]string{"redirect_uri", ""}, ""},
		"other site":            {[]string{"redirect_uri", "https://evil.example/callback"}, ""},
		"longer path":           {[]string{"redirect_uri", callback + "/../evil"}, ""},
		"prefix":                {[]string{"redirect_uri", callback + ".evil"}, ""},
		"user in it":            {[]string{"redirect_uri", "https://app.example@evil.example/callback"}, ""},
		"backslash":             {[]string{"redirect_uri", `https://app.example\@evil.example/callback`}, ""},
		"fragment":              {[]string{"redirect_uri", callback + "#x"}, ""},
		"query":                 {[]string{"redirect_uri", callback + "?x=1"}, ""},
		"upper case":            {[]string{"redirect_uri", strings.ToUpper(callback)}, ""},
		"http":                  {[]string{"redirect_uri", "http://app.example/callback"}, ""},
		"javascript":            {[]string{"redirect_uri", "javascript:alert(1)"}, ""},
		"other loopback path":   {[]string{"redirect_uri", "http://localhost:5000/evil"}, ""},
		"loopback by address":   {[]string{"redirect_uri", "http://127.0.0.1:5000/cb"}, ""},
		"loopback look-alike":   {[]string{"redirect_uri", "http://localhost.evil.example/cb"}, ""},
		"too long":              {[]string{"state", strings.Repeat("x", 9000)}, ""},
		"no type":               {[]string{"response_type", ""}, "invalid_request"},
		"implicit":              {[]string{"response_type", "token"}, "unsupported_response_type"},
		"hybrid":                {[]string{"response_type", "code id_token"}, "unsupported_response_type"},
		"mode":                  {[]string{"response_mode", "web_message"}, "invalid_request"},
		"no PKCE":               {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"plain":                 {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"plain by silence":      {[]string{"code_challenge_method", ""}, "invalid_request"},
		"method alone":          {[]string{"code_challenge", ""}, "invalid_request"},
		"short challenge":       {[]string{"code_challenge", "abc"}, "invalid_request"},
		"challenge with blanks": {[]string{"code_challenge", strings.Repeat(" ", 43)}, "invalid_request"},
		"no scope":              {[]string{"scope", ""}, "invalid_request"},
		"prompt":                {[]string{"prompt", "whatever"}, "invalid_request"},
		"max_age":               {[]string{"max_age", "-1"}, "invalid_request"},
		"request object":        {[]string{"request_uri", "https://evil.example/request"}, "request_not_supported"},
		"long state":            {[]string{"state", strings.Repeat("x", 5000)}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			rec := b.get(t, authorize, c.query(k.change...))
			if k.want == "" {
				if rec.Code != 400 || rec.Header().Get("Location") != "" || !strings.Contains(rec.Header().Get("Content-Security-Policy"), "form-action 'self'; ") || strings.Contains(rec.Body.String(), "alert(1)<") {
					t.Errorf("status %d, %v: %s", rec.Code, rec.Header(), rec.Body)
				}
				return
			}
			if back := returned(t, rec, callback); back.Get("error") != k.want || back.Get("code") != "" || back.Get("state") == "" || back.Get("error_description") == "" {
				t.Errorf("answer %v, want %s", back, k.want)
			}
		})
	}
	twice := c.query()
	twice.Add("redirect_uri", "https://evil.example")
	if rec := b.get(t, authorize, twice); rec.Code != 400 {
		t.Errorf("two redirect URIs: %d", rec.Code)
	}
}

func TestResponseModes(t *testing.T) {
	c := newClub(t)
	b := c.browser()
	b.signIn(t, c.query(), adminUPN, password)
	for to, change := range map[string][]string{
		callback + "?":                      {"response_mode", "query"},
		callback + "#":                      {"response_mode", "fragment"},
		"https://app.example/with?query=1&": {"redirect_uri", "https://app.example/with?query=1"},
		"http://localhost:51234/cb?":        {"redirect_uri", "http://localhost:51234/cb"},
		"http://[::1]:40000/cb#":            {"redirect_uri", "http://[::1]:40000/cb", "response_mode", "fragment"},
		"msalapp://auth?":                   {"redirect_uri", "msalapp://auth"},
	} {
		if back := returned(t, b.get(t, authorize, c.query(change...)), to); back.Get("code") == "" || back.Get("state") != "s&1" {
			t.Errorf("%s: %v", to, back)
		}
	}
	page := b.get(t, authorize, c.query("response_mode", "form_post", "state", `"><script>alert(1)</script>`))
	f := fields(page)
	policy := page.Header().Get("Content-Security-Policy")
	if page.Code != 200 || f.Get("code") == "" || f.Get("state") != `"><script>alert(1)</script>` || strings.Contains(page.Body.String(), "<script>alert") ||
		!strings.Contains(page.Body.String(), `action="`+callback+`"`) || !strings.Contains(policy, "script-src 'sha256-") || !strings.Contains(policy, "form-action 'self' https://app.example") {
		t.Errorf("status %d, %s: %s", page.Code, policy, page.Body)
	}
	if page := b.get(t, authorize, c.query("response_mode", "form_post", "redirect_uri", "msalapp://auth")); !strings.Contains(page.Body.String(), `action="msalapp://auth"`) {
		t.Errorf("%s", page.Body)
	}
	// OpenID Connect lets a client post its request, from its own site.
	r := postForm(authorize, c.query().Encode())
	r.Header.Set("Origin", "https://app.example")
	if back := returned(t, b.send(t, r), callback); back.Get("code") == "" {
		t.Errorf("posted: %v", back)
	}
}

func TestSignInRefused(t *testing.T) {
	c := newClub(t)
	off, err := c.AddAccount(t.Context(), "off@fabrikam.example", "", password, nil)
	if err != nil {
		t.Fatal(err)
	}
	off.Disabled = true
	if err := c.store.PutAccount(t.Context(), off); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddAccount(t.Context(), "none@fabrikam.example", "", "", nil); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for name, try := range map[string][2]string{
		"wrong password": {adminUPN, "wrong"}, "no password": {adminUPN, ""}, "nobody": {"nobody@fabrikam.example", password}, "empty": {"", ""},
		"disabled": {"off@fabrikam.example", password}, "has no password": {"none@fabrikam.example", ""}, "long": {strings.Repeat("x", 5000), strings.Repeat("y", 5000)},
		"password and more": {adminUPN, password + strings.Repeat("y", 300)}, "odd": {"\x00'\"<script>", "x"},
	} {
		rec := c.browser().signIn(t, c.query(), try[0], try[1])
		if rec.Code != 401 || rec.Header().Get("Location") != "" || strings.Contains(rec.Body.String(), "<script>") {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		alert := regexp.MustCompile(`role="alert"[^>]*>([^<]*)`).FindStringSubmatch(rec.Body.String())
		texts = append(texts, alert[1])
	}
	if slices.Sort(texts); len(slices.Compact(texts)) != 1 {
		t.Errorf("the answers tell accounts apart: %q", texts)
	}
	if strings.Contains(c.log.String(), "nobody@") || strings.Contains(c.log.String(), password) {
		t.Errorf("log: %s", &c.log)
	}
}

func TestSignInIsThrottled(t *testing.T) {
	c := newClub(t)
	b := c.browser()
	try := func(b *browser, name, password string) int {
		clear(b.cookies)
		return b.signIn(t, c.query(), name, password).Code
	}
	for i := range 10 {
		if code := try(b, adminUPN, "wrong"); code != 401 {
			t.Fatalf("try %d: %d", i, code)
		}
	}
	if code := try(b, strings.ToUpper(adminUPN), password); code != 429 {
		t.Errorf("the right password after ten wrong ones: %d", code)
	}
	if code := try(b, c.kim.UPN, password); code != 303 {
		t.Errorf("somebody else from there: %d", code)
	}
	elsewhere := c.browser()
	elsewhere.remote = "192.0.2.99:1"
	if code := try(elsewhere, adminUPN, password); code != 303 {
		t.Errorf("from another address: %d", code)
	}
	c.now = c.now.Add(15 * time.Minute)
	if code := try(b, adminUPN, password); code != 303 {
		t.Errorf("a quarter of an hour later: %d", code)
	}
	for i := range 50 { // one name from many addresses
		elsewhere.remote = fmt.Sprintf("198.51.100.%d:1", i)
		try(elsewhere, "many@fabrikam.example", "x")
	}
	elsewhere.remote = "203.0.113.5:1"
	if code := try(elsewhere, "many@fabrikam.example", "x"); code != 429 {
		t.Errorf("after fifty addresses: %d", code)
	}
}

func TestThrottleIsOfThePerson(t *testing.T) {
	c := newClub(t)
	id := c.admin.ObjectID.String()
	spellings := []string{adminUPN, id, "urn:uuid:" + id, "{" + id + "}", strings.ReplaceAll(id, "-", "")}
	b, code := c.browser(), 0
	for i := range 11 {
		b.remote = fmt.Sprintf("[2001:db8::%x]:1", i) // of one network
		clear(b.cookies)
		code = b.signIn(t, c.query(), spellings[i%len(spellings)], "wrong").Code
	}
	if code != 429 {
		t.Errorf("the eleventh try at one person, from one network: %d", code)
	}
}

func TestThrottleHoldsUpABurst(t *testing.T) {
	c := newClub(t)
	const tries = 24
	b := c.browser()
	form := fields(b.get(t, authorize, c.query()))
	form.Set("username", adminUPN)
	form.Set("password", "wrong")
	codes := make(chan int, tries)
	for range tries {
		go func() {
			r := postForm(loginURL, form.Encode())
			r.Host, r.RemoteAddr = host, b.remote
			for name, v := range b.cookies {
				r.AddCookie(&http.Cookie{Name: name, Value: v})
			}
			rec := httptest.NewRecorder()
			c.Handler().ServeHTTP(rec, r)
			codes <- rec.Code
		}()
	}
	tried := 0
	for range tries {
		if code := <-codes; code == 401 {
			tried++
		}
	}
	if tried < 10 || tried > 11 { // two are tried at a time
		t.Errorf("%d of %d passwords that came at once were tried", tried, tries)
	}
}

func TestForms(t *testing.T) {
	c := newClub(t)
	b := c.browser()
	page := b.get(t, authorize, c.query())
	good := func() url.Values {
		f := fields(page)
		f.Set("username", adminUPN)
		f.Set("password", password)
		return f
	}
	send := func(b *browser, f url.Values, header ...string) *httptest.ResponseRecorder {
		r := postForm(loginURL, f.Encode())
		for h := range slices.Chunk(header, 2) {
			r.Header.Set(h[0], h[1])
		}
		return b.send(t, r)
	}
	f := good()
	f.Set("csrf", strings.Repeat("A", 40))
	stranger := c.browser() // without the cookie
	forged := good()
	forged.Set("csrf", "")
	empty := c.browser()
	empty.cookies["__Host-induct_form"] = ""
	for name, rec := range map[string]*httptest.ResponseRecorder{
		"other token":       send(b, f),
		"other browser":     send(stranger, good()),
		"both empty":        send(empty, forged),
		"another site":      send(b, good(), "Origin", "https://evil.example"),
		"says the browser":  send(b, good(), "Sec-Fetch-Site", "cross-site"),
		"another subdomain": send(b, good(), "Sec-Fetch-Site", "same-site"),
	} {
		if rec.Code != 403 || rec.Header().Get("Location") != "" {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	// What the form carries is checked again.
	f = good()
	f.Set("request", c.query("redirect_uri", "https://evil.example").Encode())
	if rec := send(b, f); rec.Code != 400 || rec.Header().Get("Location") != "" {
		t.Errorf("changed request: %d %v", rec.Code, rec.Header())
	}
	for _, odd := range []string{"%zz", "client_id=1", strings.Repeat("x", 9000)} {
		f.Set("request", odd)
		if rec := send(b, f); rec.Code != 400 {
			t.Errorf("request %.10q: %d", odd, rec.Code)
		}
	}
	if rec := send(b, good(), "Origin", "https://"+host); rec.Code != 303 {
		t.Errorf("the form itself: %d %s", rec.Code, rec.Body)
	}
}

// A session that somebody planted is not the one that signing in begins, and the one before ends.
func TestSessionFixation(t *testing.T) {
	c := newClub(t)
	attacker := c.browser()
	attacker.signIn(t, c.query(), c.kim.UPN, password)
	planted := attacker.cookies["__Host-induct_session"]
	victim := c.browser()
	victim.cookies["__Host-induct_session"] = planted
	if rec := victim.signIn(t, c.query("prompt", "login"), adminUPN, password); rec.Code != 303 {
		t.Fatal(rec.Code)
	}
	if victim.cookies["__Host-induct_session"] == planted {
		t.Error("the session kept its name")
	}
	if rec := attacker.get(t, authorize, c.query()); rec.Code != 200 {
		t.Errorf("the planted session goes on: %d", rec.Code)
	}
}

func TestLogout(t *testing.T) {
	c := newClub(t)
	for target, want := range map[string]string{
		"": "", callback: callback, "https://evil.example/": "", "//evil.example": "", "javascript:alert(1)": "",
	} {
		b := c.browser()
		b.signIn(t, c.query(), adminUPN, password)
		stolen := b.cookies["__Host-induct_session"]
		rec := b.get(t, "/"+tenant+"/oauth2/v2.0/logout", url.Values{"post_logout_redirect_uri": {target}})
		if got := rec.Header().Get("Location"); got != want || want == "" && rec.Code != 200 {
			t.Errorf("%q: %d to %q, want %q", target, rec.Code, got, want)
		}
		if len(b.cookies) != 0 {
			t.Errorf("cookies %v", b.cookies)
		}
		b.cookies["__Host-induct_session"] = stolen
		if rec := b.get(t, authorize, c.query()); rec.Code != 200 {
			t.Errorf("%q: the session goes on", target)
		}
	}
	b := c.browser()
	b.signIn(t, c.query(), adminUPN, password)
	if rec := b.get(t, loginURL, nil); rec.Code != 200 || !strings.Contains(rec.Body.String(), adminUPN) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if back := returned(t, b.get(t, "/"+tenant+"/oauth2/v2.0/logout", url.Values{"post_logout_redirect_uri": {callback}, "state": {"x y"}}), callback); back.Get("state") != "x y" {
		t.Errorf("%v", back)
	}
}

func TestFirstAdministrator(t *testing.T) {
	c := newClub(t)
	if link, err := c.FirstAdministratorLink(t.Context()); link != "" || err != nil {
		t.Errorf("there is an administrator, and a link %q, %v", link, err)
	}
	if err := c.SetRoles(t.Context(), adminUPN, nil); err != nil {
		t.Fatal(err)
	}
	old, err := c.FirstAdministratorLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link, err := c.FirstAdministratorLink(t.Context())
	if err != nil || link == old {
		t.Fatal(link, err)
	}
	b := c.browser()
	if rec := c.browser().get(t, old, nil); rec.Code != 200 { // that of another process, say
		t.Errorf("the older link: %d", rec.Code)
	}
	page := b.get(t, link, nil)
	send := func(name, password, again string) *httptest.ResponseRecorder {
		f := fields(page)
		f.Set("username", name)
		f.Set("password", password)
		f.Set("again", again)
		return b.post(t, link, f)
	}
	for why, rec := range map[string]*httptest.ResponseRecorder{
		"differ": send("root@x.example", password, password+"x"), "12 characters": send("root@x.example", "short", "short"),
		"one character": send("root@x.example", "aaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaa"), "like an address": send("root", password, password),
		"in the directory": send(c.kim.UPN, password, password), "contain the user name": send("superuser@x.example", "xxSuperUserxx", "xxSuperUserxx"),
	} {
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), why) {
			t.Errorf("%s: %d %s", why, rec.Code, rec.Body)
		}
	}
	if rec := c.browser().post(t, link, url.Values{"username": {"root@x.example"}, "password": {password}, "again": {password}}); rec.Code != 403 {
		t.Errorf("without the form: %d", rec.Code)
	}
	if rec := send("Root@x.example", password, password); rec.Code != 303 || rec.Header().Get("Location") != loginURL {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if rec := b.get(t, loginURL, nil); !strings.Contains(rec.Body.String(), "root@x.example") {
		t.Errorf("not signed in: %s", rec.Body)
	}
	for _, l := range []string{link, old} {
		if rec := b.get(t, l, nil); rec.Code != 404 {
			t.Errorf("a second time: %d", rec.Code)
		}
	}
	if rec := send("more@x.example", password, password); rec.Code != 404 {
		t.Errorf("a second time: %d", rec.Code)
	}
	a := c.redeem(t, "code", c.code(t, "root@x.example"))
	if p, err := c.Verify(t.Context(), a.body["access_token"].(string)); err != nil || len(p.DirectoryRoles) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	// Whoever is provisioned under an account's name does not become it.
	c.kim.UPN = "root@x.example"
	if code := c.code(t, "root@x.example"); code == "" {
		t.Error("the account is shadowed")
	}
}

// The link that makes an administrator ends when there is one, wherever that one comes from.
func TestFirstAdministratorByAnotherWay(t *testing.T) {
	c := newClub(t)
	if err := c.SetRoles(t.Context(), adminUPN, nil); err != nil {
		t.Fatal(err)
	}
	link, err := c.FirstAdministratorLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := c.browser()
	f := fields(b.get(t, link, nil))
	if err := c.SetRoles(t.Context(), adminUPN, []string{"Global Administrator"}); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"username": "second@x.example", "password": password, "again": password} {
		f.Set(name, value)
	}
	if page, rec := b.get(t, link, nil), b.post(t, link, f); page.Code != 404 || rec.Code != 404 {
		t.Errorf("the link makes another: %d, %d", page.Code, rec.Code)
	}
	if _, err := c.store.AccountNamed(t.Context(), "second@x.example"); err == nil {
		t.Error("there is a second one")
	}
}

func TestLinksExpire(t *testing.T) {
	c := newClub(t)
	if err := c.SetRoles(t.Context(), adminUPN, nil); err != nil {
		t.Fatal(err)
	}
	setup, err := c.FirstAdministratorLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at, err := c.SignInLink(t.Context(), c.admin.ObjectID)
	if err != nil {
		t.Fatal(err)
	}
	late, err := c.SignInLink(t.Context(), c.admin.ObjectID)
	if err != nil {
		t.Fatal(err)
	}
	b := c.browser()
	if rec := b.send(t, httptest.NewRequest(http.MethodHead, at, nil)); rec.Code != 404 {
		t.Errorf("HEAD: %d", rec.Code)
	}
	if rec := b.get(t, at, nil); rec.Code != 303 || b.cookies["__Host-induct_session"] == "" {
		t.Errorf("%d %v", rec.Code, b.cookies)
	}
	if rec := c.browser().get(t, at, nil); rec.Code != 404 {
		t.Errorf("a second time: %d", rec.Code)
	}
	c.now = c.now.Add(time.Hour)
	for _, link := range []string{setup, late, "/" + tenant + "/setup", "/" + tenant + "/setup?code=" + strings.Repeat("x", 9000)} {
		if rec := c.browser().get(t, link, nil); rec.Code != 404 {
			t.Errorf("%.60s: %d", link, rec.Code)
		}
	}
}

func TestCheckRedirectURI(t *testing.T) {
	for uri, want := range map[string]bool{
		"https://app.example/cb": true, "https://app.example": true, "http://localhost": true, "http://127.0.0.1:3000/x?y": true, "http://[::1]/": true,
		"com.example.app:/cb": true, "msal1://auth": true,
		"": false, "app.example/cb": false, "/cb": false, "http://app.example": false, "https://*.app.example": false, "https://a@app.example": false,
		"https://app.example/#x": false, "https://app.example/#": false, "javascript:alert(1)": false, "data:text/html,x": false, "https://": false, "https://app.example/a b": false,
		"https://app.example/ä": false, "https://app.example\\x": false, "https://app.example/" + strings.Repeat("x", 3000): false,
	} {
		if err := oauth.CheckRedirectURI(uri, true); (err == nil) != want {
			t.Errorf("%.40q: %v", uri, err)
		}
	}
	if oauth.CheckRedirectURI("msal1://auth", false) == nil {
		t.Error("a confidential client has a scheme of its own")
	}
}

func TestPassword(t *testing.T) {
	hash := oauth.HashPassword(password)
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || hash == oauth.HashPassword(password) || strings.Contains(hash, password) {
		t.Errorf("hash %s", hash)
	}
	for password, want := range map[string]bool{
		"correct horse battery": true, strings.Repeat("äb", 6): true, "short": false, strings.Repeat("ab", 200): false, "ada.lovelace@x.example": false, "my-ada.lovelace-1": false, "............": false, "": false,
	} {
		if err := oauth.CheckPassword(password, "ada.lovelace@x.example"); (err == nil) != want {
			t.Errorf("%q: %v", password, err)
		}
	}
	// What is stored may be damaged: then no password opens it.
	c := newClub(t)
	for _, bad := range []string{"", "x", "$argon2id$v=19$m=19456,t=2,p=1$", strings.Replace(hash, "m=19456", "m=4294967295", 1), strings.Replace(hash, "t=2", "t=0", 1), strings.Replace(hash, "p=1", "p=0", 1), hash[:len(hash)-4]} {
		c.admin.Password = bad
		if err := c.store.PutAccount(t.Context(), c.admin); err != nil {
			t.Fatal(err)
		}
		b := c.browser()
		b.remote = uuid.NewString()
		if rec := b.signIn(t, c.query(), adminUPN, password); rec.Code != 401 {
			t.Errorf("%q: %d", bad, rec.Code)
		}
	}
}

// TestTokensOfNoKind checks that only access tokens are taken, whatever else is signed by the same key.
func TestTokensOfNoKind(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []any{nil, "", "device", "User"} {
		token := w.signWith(t, func(c map[string]any) { c["idtyp"] = kind }, jose.SigningKey{Algorithm: jose.RS256})
		if _, err := w.Verify(t.Context(), token); err != oauth.ErrTokenMalformed {
			t.Errorf("idtyp %v: %v", kind, err)
		}
	}
}

func TestScriptsMayAsk(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest(http.MethodOptions, tokenURL, nil)
	r.Host = host
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, r)
	if rec.Code != 204 || rec.Header().Get("Access-Control-Allow-Origin") != "*" || rec.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	for path, want := range map[string]string{loginURL: "", authorize: "", "/" + tenant + "/v2.0/.well-known/openid-configuration": "*"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = host
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, r)
		if got := rec.Header().Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// Of many who bring one code at once, one gets tokens; and because it was brought twice, they do not last.
func TestCodeAtOnce(t *testing.T) {
	c := newClub(t)
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {c.public.AppID.String()}, "redirect_uri": {callback}, "code_verifier": {verifier}, "code": {c.code(t, adminUPN)}}.Encode()
	answers := make([]*httptest.ResponseRecorder, 8)
	var wg sync.WaitGroup
	for i := range answers {
		answers[i] = httptest.NewRecorder()
		wg.Go(func() { c.Handler().ServeHTTP(answers[i], postForm(tokenURL, form)) })
	}
	wg.Wait()
	got := 0
	for _, a := range answers {
		if a.Code != 200 {
			continue
		}
		got++
		var body struct {
			Refresh string `json:"refresh_token"`
		}
		if err := json.Unmarshal(a.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if r := c.redeem(t, "grant_type", "refresh_token", "refresh_token", body.Refresh); r.Code != 400 {
			t.Errorf("it was refreshed: %d %s", r.Code, r.Body)
		}
	}
	if got > 1 {
		t.Errorf("%d got tokens", got)
	}
}

// Whatever is sent to whichever endpoint, the fault is the sender's.
func TestNothingBreaks(t *testing.T) {
	c := newClub(t)
	long := strings.Repeat("A", 70_000)
	for _, path := range []string{tokenURL, "/" + tenant + "/oauth2/token", authorize, "/common/oauth2/authorize", loginURL, "/" + tenant + "/setup", "/" + tenant + "/oauth2/v2.0/logout",
		"/oidc/userinfo", "/metadata/endpoints", "/common/discovery/instance", "/common/discovery/keys", "/" + tenant + "/v2.0/.well-known/openid-configuration", "/elsewhere.example/oauth2/v2.0/authorize"} {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS", "PUT", "BREW"} {
			for _, query := range []string{"", "?code=" + long, "?client_id=" + long + "&redirect_uri=x", "?%zz", "?client_id=" + c.public.AppID.String() + "&redirect_uri=" + callback + "&max_age=" + long} {
				for _, body := range []string{"", long, "grant_type=refresh_token&client_id=" + c.public.AppID.String() + "&refresh_token=" + long[:60_000], "csrf=&request=" + long[:60_000], "a=%zz"} {
					r := httptest.NewRequest(method, "/", strings.NewReader(body))
					u, err := url.Parse(path)
					if err != nil {
						t.Fatal(err)
					}
					u.RawQuery = strings.TrimPrefix(query, "?")
					r.URL, r.Host = u, host
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					r.Header.Set("Authorization", "Bearer "+long[:100])
					r.AddCookie(&http.Cookie{Name: "__Host-induct_session", Value: long[:4000]})
					r.AddCookie(&http.Cookie{Name: "__Host-induct_form", Value: ""})
					rec := httptest.NewRecorder()
					c.Handler().ServeHTTP(rec, r)
					if rec.Code >= 500 || rec.Code < 200 {
						t.Fatalf("%s %s %.60s %.40q: %d %s", method, path, query, body, rec.Code, rec.Body)
					}
				}
			}
		}
	}
}

// A store that is out of order is said to be so, on pages too, and nobody is let in.
func TestPagesWithoutStore(t *testing.T) {
	c := newClub(t)
	b := c.browser()
	page := b.get(t, authorize, c.query())
	f := fields(page)
	f.Set("username", adminUPN)
	f.Set("password", password)
	broken, err := oauth.New(oauth.Config{Tenant: uuid.MustParse(tenant), PublicURL: "https://" + host}, failing{c.store})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*http.Request{
		"authorize": httptest.NewRequest("GET", authorize+"?"+c.query().Encode(), nil), "login": postForm(loginURL, f.Encode()),
		"setup": httptest.NewRequest("GET", "/"+tenant+"/setup?code=x", nil), "session": httptest.NewRequest("GET", loginURL, nil),
	} {
		r.Host = host
		r.AddCookie(&http.Cookie{Name: "__Host-induct_form", Value: b.cookies["__Host-induct_form"]})
		r.AddCookie(&http.Cookie{Name: "__Host-induct_session", Value: "x"})
		rec := httptest.NewRecorder()
		broken.Handler().ServeHTTP(rec, r)
		if rec.Code != 503 || rec.Header().Get("Retry-After") == "" || strings.Contains(rec.Body.String(), errDown.Error()) || rec.Header().Get("Location") != "" {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
}

// FuzzAuthorize holds that no request sends a browser anywhere but to a registered redirect URI.
func FuzzAuthorize(f *testing.F) {
	c := newClub(f)
	b := c.browser()
	b.signIn(f, c.query(), adminUPN, password)
	f.Add("https://app.example/callback", "query", "s", "openid", "none")
	f.Add("http://localhost:99999/cb", "fragment", "\r\nSet-Cookie: x=y", "https://graph.microsoft.com/.default", "")
	f.Add("https://app.example/callback\r\nX: y", "form_post", "</script>", "//.default", "login")
	f.Fuzz(func(t *testing.T, redirect, mode, state, scope, prompt string) {
		rec := b.get(t, authorize, c.query("redirect_uri", redirect, "response_mode", mode, "state", state, "scope", scope, "prompt", prompt))
		location := rec.Header().Get("Location")
		if location == "" {
			return
		}
		u, err := url.Parse(location)
		if err != nil {
			t.Fatalf("location %q: %v", location, err)
		}
		ok := u.Host == "app.example" && u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || u.Hostname() == "::1") && u.Path == "/cb" || u.Scheme == "msalapp"
		if !ok {
			t.Errorf("sent to %q", location)
		}
	})
}
