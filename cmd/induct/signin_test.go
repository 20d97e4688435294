package main_test

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// printing starts `induct serve` and waits until it has printed something that fits.
func printing(t *testing.T, want *regexp.Regexp, args ...string) (found []string, stop func()) {
	t.Helper()
	cmd := command(context.Background(), append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	var out, errs syncBuffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() }
	t.Cleanup(stop)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if found = want.FindStringSubmatch(out.String()); found != nil {
			return found, stop
		}
		if time.Now().After(deadline) {
			t.Fatalf("it printed\n%s\n%s", out.String(), errs.String())
		}
	}
}

// browse is an HTTP client with cookies that follows no redirect.
func browse(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func read(t *testing.T, res *http.Response, err error) (status int, location, body string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Location"), string(text)
}

// field is the value of a hidden field of a page.
func field(page, name string) string {
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// input runs the program with a line of standard input.
func input(t *testing.T, line string, args ...string) result {
	t.Helper()
	cmd := command(t.Context(), args...)
	cmd.Stdin = strings.NewReader(line + "\n")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if _, ok := err.(*exec.ExitError); !ok {
			t.Fatal(err)
		}
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

const (
	testPassword = "correct horse battery"
	pkce         = "a-code-verifier-of-at-least-forty-three-characters"
	pkceSum      = "bLRYBPalK1NsU4_TD3JrHRmfVjgoduNjiXgeScRbcr8"
)

// The first start offers to make an administrator, until there is one.
func TestFirstAdministratorLink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	link := regexp.MustCompile(`make the first one at\n#   (http://\S+)\n`)
	found, stop := printing(t, link, "--data", dir)
	b := browse(t)
	res, err := b.Get(found[1])
	status, _, page := read(t, res, err)
	if status != 200 {
		t.Fatal(status, page)
	}
	res, err = b.PostForm(found[1], url.Values{"csrf": {field(page, "csrf")}, "username": {"root@fabrikam.example"}, "password": {testPassword}, "again": {testPassword}})
	status, to, page := read(t, res, err)
	if status != 303 || !strings.HasSuffix(to, "/login") {
		t.Fatal(status, to, page)
	}
	u, _ := url.Parse(found[1])
	res, err = b.Get("http://" + u.Host + to)
	if _, _, page = read(t, res, err); !strings.Contains(page, "root@fabrikam.example") {
		t.Errorf("not signed in: %s", page)
	}
	stop()
	if again, _ := printing(t, regexp.MustCompile(`(?s)listens on (\S+)\n.*start again\.\n(.*)`), "--data", dir); strings.Contains(again[2], "setup") {
		t.Errorf("there is an administrator, and it printed %s", again[0])
	}
}

// A person of the directory gets a password, and signs in with it through the admin center's client.
func TestPersonOfTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	l, c := newLedger(1), p.client(t)
	a, err := c.upload(t.Context(), uuid.NewString(), bulk([]map[string]any{{"method": "POST", "bulkId": "1", "path": "/Users", "data": l.person("p1", "kim.lee")}}))
	if err != nil || a.status != http.StatusAccepted {
		t.Fatal(a, err)
	}
	c.settled(t, a.header.Get("x-induct-upload-id"))
	users := list[struct{ UserPrincipalName string }](t, c, p.env["GRAPH_BASE"]+"/users?$select=userPrincipalName")
	if len(users) != 1 {
		t.Fatal("nobody was provisioned")
	}
	upn := users[0].UserPrincipalName
	tenant := p.env["TENANT_ID"]
	p.stop(t, 10*time.Second)
	if r := input(t, "short", "user", "set-password", upn, "--data", dir); r.code != 1 || !strings.Contains(r.stderr, "12 characters") {
		t.Errorf("short password: %+v", r)
	}
	for _, r := range []result{input(t, testPassword, "user", "set-password", upn, "--data", dir), execute(t, "user", "roles", upn, "--data", dir, "--role", "User Administrator")} {
		if r.code != 0 || strings.Contains(r.stdout+r.stderr, testPassword) {
			t.Fatalf("%+v", r)
		}
	}
	refuses(t, []string{"no directory role"}, "user", "roles", upn, "--data", dir, "--role", "King")
	refuses(t, []string{"there is nobody named"}, "user", "roles", "nobody@x.example", "--data", dir)

	p = start(t, dir)
	base := strings.TrimSuffix(p.env["AUTHORITY"], "/"+tenant)
	client := uuid.NewSHA1(uuid.MustParse(tenant), []byte("admin-center app")).String()
	evil, err := p.client(t).do(t.Context(), http.MethodPatch, p.env["GRAPH_BASE"]+"/applications(appId='"+client+"')",
		map[string]string{"Content-Type": "application/json"}, []byte(`{"spa":{"redirectUris":["https://evil.example/"]}}`))
	if err != nil || evil.status != http.StatusForbidden {
		t.Errorf("where the admin center's people are sent back to can be changed: %d %v", evil.status, err)
	}
	b := browse(t)
	q := url.Values{"client_id": {client}, "response_type": {"code"}, "redirect_uri": {base + "/"}, "scope": {"openid .default"}, "code_challenge": {pkceSum}, "code_challenge_method": {"S256"}}
	res, err := b.Get(p.env["AUTHORITY"] + "/oauth2/v2.0/authorize?" + q.Encode())
	_, _, page := read(t, res, err)
	res, err = b.PostForm(p.env["AUTHORITY"]+"/login", url.Values{"csrf": {field(page, "csrf")}, "request": {field(page, "request")}, "username": {strings.ToUpper(upn)}, "password": {testPassword}})
	status, to, page := read(t, res, err)
	u, _ := url.Parse(to)
	if status != 303 || u.Query().Get("code") == "" {
		t.Fatal(status, to, page)
	}
	res, err = http.PostForm(p.env["AUTHORITY"]+"/oauth2/v2.0/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "redirect_uri": {base + "/"}, "code": {u.Query().Get("code")}, "code_verifier": {pkce}})
	status, _, text := read(t, res, err)
	var answer struct{ Scope string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 || !strings.Contains(answer.Scope, "User.ReadWrite.All") || strings.Contains(answer.Scope, "Synchronization.ReadWrite.All") {
		t.Errorf("%d %s", status, text)
	}
	p.namesNobody(t, upn, testPassword)
}

// The link of serve --dev signs in at once, and once.
func TestDevLink(t *testing.T) {
	found, _ := printing(t, regexp.MustCompile(`Sign in as (\S+), once within an hour:\n#   (http://\S+)\n`), "--dev")
	b := browse(t)
	res, err := b.Get(found[2])
	if status, to, page := read(t, res, err); status != 303 || !strings.HasSuffix(to, "/login") {
		t.Errorf("%d %s %s", status, to, page)
	}
	res, err = b.Get(found[2])
	if status, _, _ := read(t, res, err); status != 404 {
		t.Errorf("a second time: %d", status)
	}
}

// A key is rotated while the service runs, and no token notices.
func TestRotateWhileServing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	c := p.client(t)
	if r := execute(t, "key", "rotate", "--data", dir); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	res, err := http.Get(p.env["AUTHORITY"] + "/discovery/v2.0/keys")
	_, _, text := read(t, res, err)
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal([]byte(text), &set); err != nil || len(set.Keys) != 2 {
		t.Errorf("%s, %v", text, err)
	}
	list[any](t, c, p.env["GRAPH_BASE"]+"/users") // with a token of the old key
	p.client(t)                                   // with a new token
}

func TestSignInSettingsAreChecked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	refuses(t, []string{"loopback"}, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--managed-identity-listen", "0.0.0.0:0")
	refuses(t, []string{"--managed-identity-listen"}, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--managed-identity-listen", "40342")
	refuses(t, []string{"federated issuer"}, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--federated-issuer", "http://idp.example")
	refuses(t, []string{"--federated-ca"}, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--federated-issuer", "https://idp.example", "--federated-ca", dir)
	refuses(t, []string{"no app"}, "credential", "federate", uuid.NewString(), "--data", dir)
	refuses(t, []string{"--role"}, "credential", "managed-identity", "feed", "--data", dir, "--role", "Everything")
	if r := input(t, testPassword, "user", "create", "Ada@fabrikam.example", "--data", dir, "--role", "Global Administrator"); r.code != 0 || !strings.Contains(r.stdout, "ada@fabrikam.example") {
		t.Errorf("%+v", r)
	}
	if r := input(t, testPassword, "user", "create", "ada@fabrikam.example", "--data", dir); r.code != 1 || !strings.Contains(r.stderr, "there is a person named") {
		t.Errorf("%+v", r)
	}
}
