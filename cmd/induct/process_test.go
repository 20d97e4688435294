package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// binary is the program under test; TestMain builds it.
var binary string

func TestMain(m *testing.M) { os.Exit(runMain(m)) }

func runMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "induct-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "induct.exe")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// command is the program with arguments, in an environment that configures nothing.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "INDUCT_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Dir = filepath.Dir(binary)
	return cmd
}

// result is how a program ended.
type result struct {
	code           int
	stdout, stderr string
}

// execute runs the program to its end, which must come within a minute.
func execute(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("induct %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// refuses checks that the program ends with exit code 1 and says each of the words.
func refuses(t *testing.T, words []string, args ...string) {
	t.Helper()
	r := execute(t, args...)
	if r.code != 1 {
		t.Errorf("induct %s: exit code %d, want 1", strings.Join(args, " "), r.code)
	}
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("induct %s: %q does not stand in its message:\n%s", strings.Join(args, " "), w, r.stderr)
		}
	}
	if strings.Contains(r.stderr, "goroutine ") {
		t.Errorf("induct %s: it crashed:\n%s", strings.Join(args, " "), r.stderr)
	}
}

// process is a running `induct serve --dev`.
type process struct {
	cmd     *exec.Cmd
	env     map[string]string // the lines of its --env-file
	envFile string
	ended   chan struct{}
	stderr  syncBuffer
}

// launch starts the service on dir and does not wait for it.
func launch(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{envFile: dir + ".env", ended: make(chan struct{})}
	if err := os.Remove(p.envFile); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	p.cmd = command(context.Background(), append([]string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--env-file", p.envFile}, args...)...)
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		p.namesNobody(t, "Person ", "shared", "Nobody") // whom ledgers send
		p.namesNobody(t, anchors.FindAllString(p.stderr.String(), 1)...)
	})
	return p
}

// start starts the service on dir and waits until it can be reached.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := launch(t, dir, args...)
	deadline := time.After(30 * time.Second)
	for {
		text, err := os.ReadFile(p.envFile)
		if err == nil {
			p.env = assignments(string(text))
			return p
		}
		select {
		case <-p.ended:
			t.Fatalf("the service ended at once: %s", p.stderr.String())
		case <-deadline:
			t.Fatalf("the service has written no credentials: %s", p.stderr.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func assignments(text string) map[string]string {
	env := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	return env
}

// kill ends the process as a power failure would.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// anchors are how ledgers' people would stand in a message: quoted, in a JSON string.
var anchors = regexp.MustCompile(`\\"[pcm]\d+\\"`)

// namesNobody checks that the log has none of the words in it.
func (p *process) namesNobody(t *testing.T, words ...string) {
	t.Helper()
	text := p.stderr.String()
	for _, w := range words {
		if i := strings.Index(text, w); i >= 0 {
			t.Errorf("the log has %q: …%s…", w, text[max(0, i-300):min(len(text), i+100)])
		}
	}
}

// stop asks the process to end and returns its exit code.
func (p *process) stop(t *testing.T, within time.Duration) int {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	return p.wait(t, within)
}

func (p *process) wait(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("the service has not ended within %s: %s", within, p.stderr.String())
		return -1
	}
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// client calls a service as its dev app.
type client struct {
	http       *http.Client
	token      string
	graph, job string // base URLs
	jobID      string
}

// signIn asks for a token with the client secret.
func signIn(env map[string]string, h *http.Client) (*client, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {env["CLIENT_ID"]}, "client_secret": {env["CLIENT_SECRET"]},
		"scope": {"https://graph.microsoft.com/.default"}}
	resp, err := h.PostForm(env["AUTHORITY"]+"/oauth2/v2.0/token", form)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
		Text  string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("no token: %d %s", resp.StatusCode, answer.Text)
	}
	return &client{http: h, token: answer.Token, graph: env["GRAPH_BASE"], jobID: env["JOB_ID"],
		job: env["GRAPH_BASE"] + "/servicePrincipals/" + env["SP_ID"] + "/synchronization/jobs/" + env["JOB_ID"]}, nil
}

// client signs in at the process.
func (p *process) client(t *testing.T) *client {
	t.Helper()
	c, err := signIn(p.env, newHTTP())
	if err != nil {
		t.Fatalf("sign in: %v\n%s", err, p.stderr.String())
	}
	return c
}

func newHTTP() *http.Client {
	return &http.Client{Timeout: 70 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (c *client) do(ctx context.Context, method, url string, header map[string]string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, text}, err
}

// upload sends a bulk request.
func (c *client) upload(ctx context.Context, requestID string, body []byte) (answer, error) {
	return c.do(ctx, http.MethodPost, c.job+"/bulkUpload", map[string]string{"Content-Type": "application/scim+json", "client-request-id": requestID}, body)
}

// get reads a resource into v.
func (c *client) get(t *testing.T, url string, v any) {
	t.Helper()
	a, err := c.do(t.Context(), http.MethodGet, url, map[string]string{"ConsistencyLevel": "eventual"}, nil)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	if a.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", url, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("GET %s: %v: %s", url, err, a.body)
	}
}

// list reads all pages of a collection.
func list[T any](t *testing.T, c *client, url string) (all []T) {
	t.Helper()
	seen := map[string]bool{}
	for url != "" {
		if seen[url] {
			t.Fatalf("the pages go in a circle: %s", url)
		}
		seen[url] = true
		var page struct {
			Value []T    `json:"value"`
			Next  string `json:"@odata.nextLink"`
		}
		c.get(t, url, &page)
		all, url = append(all, page.Value...), page.Next
	}
	return all
}

func query(options ...string) string {
	var parts []string
	for i := 0; i < len(options); i += 2 {
		parts = append(parts, options[i]+"="+url.QueryEscape(options[i+1]))
	}
	return "?" + strings.Join(parts, "&")
}

// slow keeps a test of several seconds out of `make check`; `make test` runs it.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes several seconds: make test runs it")
	}
}
