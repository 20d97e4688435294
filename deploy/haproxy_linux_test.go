package deploy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// soon is how long a test waits for what comes in seconds at most.
const soon = 30 * time.Second

// free returns an address of loopback that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// balancer is haproxy, running haproxy.cfg on loopback: of Compose's addresses 10.213.0.x it knows 127.213.0.x.
type balancer struct {
	t       *testing.T
	secrets string // directory
	address string // where clients reach it
	health  string
	port    string // of replicas, on each address
	check   string // port that it asks for readiness at
	client  *http.Client
	log     syncBuffer
	process *os.Process
	ended   chan struct{}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// balance starts haproxy, whose replicas are not there yet.
func balance(t *testing.T) *balancer {
	t.Helper()
	haproxy := need(t, "haproxy")
	b := &balancer{t: t, secrets: filepath.Join(prepared(t, "induct.corp.example"), "secrets"), address: free(t), health: free(t)}
	_, b.port, _ = net.SplitHostPort(free(t))
	_, b.check, _ = net.SplitHostPort(free(t))
	config := read(t, "haproxy.cfg")
	replace := func(old, new string) {
		t.Helper()
		if !strings.Contains(config, old) {
			t.Fatalf("haproxy.cfg has no %q", old)
		}
		config = strings.ReplaceAll(config, old, new)
	}
	replace("/run/secrets/", b.secrets+"/")
	replace("bind :8443 ", "bind "+b.address+" ")
	replace("bind 127.0.0.1:8404\n", "bind "+b.health+"\n")
	for _, n := range []string{"11", "12"} {
		replace("10.213.0."+n+":8443\n", "127.213.0."+n+":"+b.port+"\n")
	}
	replace("check port 9464 ", "check port "+b.check+" ")
	replace(" inter 1s ", " inter 250ms ")
	replace("    maxconn 10000\n", "    maxconn 200\n") // few files may be open on a desk
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := run(t, haproxy, "-c", "-f", file); code != 0 || strings.Contains(out, "WARNING") {
		t.Fatalf("haproxy does not take its configuration:\n%s", out)
	}
	cmd := exec.Command(haproxy, "-db", "-f", file)
	cmd.Stdout, cmd.Stderr = &b.log, &b.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.process, b.ended = cmd.Process, make(chan struct{})
	go func() {
		cmd.Wait()
		close(b.ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-b.ended
		if t.Failed() {
			t.Logf("haproxy:\n%s", b.log.String())
		}
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(read(t, filepath.Join(b.secrets, "site_pem"))))
	b.client = &http.Client{Timeout: soon, Transport: &http.Transport{
		DisableKeepAlives: true, // each request is a client of its own
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, b.address)
		},
	}}
	b.until("haproxy has looked for both replicas", func() bool {
		select {
		case <-b.ended:
			t.Fatalf("haproxy ended")
		default:
		}
		return b.state("induct-a") == "DOWN" && b.state("induct-b") == "DOWN"
	})
	return b
}

// state is what haproxy said last of a server: UP, DOWN or, before it has asked for the first time, nothing.
func (b *balancer) state(server string) string {
	log := b.log.String()
	before := "Server replicas/" + server + " is "
	at := strings.LastIndex(log, before)
	if at < 0 {
		return ""
	}
	word, _, _ := strings.Cut(log[at+len(before):], ",")
	return word
}

// turns waits until haproxy has seen what a server's state is now.
func (b *balancer) turns(server, state string) {
	b.t.Helper()
	b.until(server+" is "+state, func() bool { return b.state(server) == state })
}

// until waits for something that must come.
func (b *balancer) until(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(soon); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not in time: %s\n%s", what, b.log.String())
		}
	}
}

// do sends a request and returns the answer's status and body.
func (b *balancer) do(method, path, body string) (status int, text string) {
	b.t.Helper()
	resp, text := b.send(method, path, body)
	return resp.StatusCode, text
}

func (b *balancer) send(method, path, body string, header ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, "https://induct.corp.example"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(text)
}

// used waits until haproxy passes requests on to exactly these replicas, as they name themselves.
func (b *balancer) used(names ...string) {
	b.t.Helper()
	b.until(fmt.Sprintf("only %q are used", names), func() bool {
		seen := make(map[string]bool)
		for range 8 {
			status, text := b.do(http.MethodGet, "/whoami", "")
			if status != http.StatusOK {
				return false
			}
			seen[text] = true
		}
		for _, n := range names {
			if !seen[n] {
				return false
			}
		}
		return len(seen) == len(names)
	})
}

// fake is a replica: /whoami and everything that is not handled otherwise answer its name.
type fake struct {
	name         string
	ready        atomic.Bool
	handle       atomic.Pointer[http.HandlerFunc] // nil: as above
	web, metrics *httptest.Server
}

// replica starts one at 127.213.0.n.
func (b *balancer) replica(name string, n int) *fake {
	b.t.Helper()
	f := &fake{name: name}
	f.ready.Store(true)
	host := "127.213.0." + strconv.Itoa(n)
	f.metrics = b.listen(host+":"+b.check, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || !f.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	f.metrics.Start()
	f.web = b.listen(host+":"+b.port, func(w http.ResponseWriter, r *http.Request) {
		if h := f.handle.Load(); h != nil && r.URL.Path != "/whoami" {
			(*h)(w, r)
			return
		}
		io.WriteString(w, f.name)
	})
	pair, err := tls.LoadX509KeyPair(filepath.Join(b.secrets, "induct_crt"), filepath.Join(b.secrets, "induct_key"))
	if err != nil {
		b.t.Fatal(err)
	}
	f.web.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	f.web.StartTLS()
	b.t.Cleanup(f.die)
	return f
}

func (b *balancer) listen(address string, h http.HandlerFunc) *httptest.Server {
	b.t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		b.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Config.ErrorLog = nil
	return s
}

// on lets a replica answer requests otherwise.
func (f *fake) on(h http.HandlerFunc) { f.handle.Store(&h) }

// die ends a replica as SIGKILL does.
func (f *fake) die() {
	for _, s := range []*httptest.Server{f.web, f.metrics} {
		s.Listener.Close()
		s.CloseClientConnections()
	}
}

func TestForwardedHeaders(t *testing.T) {
	b := balance(t)
	requests := make(chan *http.Request, 1)
	b.replica("a", 11).on(func(w http.ResponseWriter, r *http.Request) { requests <- r })
	b.used("a")
	b.send(http.MethodGet, "/", "", "Forwarded", "for=192.0.2.1;proto=http", "X-Forwarded-For", "192.0.2.1", "X-Forwarded-For", "192.0.2.2",
		"X-Forwarded-Proto", "http", "X-Forwarded-Host", "evil.example", "X-Forwarded-Prefix", "/x", "client-request-id", "c1")
	got := <-requests
	for key, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "induct.corp.example",
		"Forwarded": "", "X-Forwarded-Prefix": "", "Client-Request-Id": "c1"} {
		if all := strings.Join(got.Header.Values(key), "|"); all != want {
			t.Errorf("%s: %q, want %q", key, all, want)
		}
	}
	if got.Host != "induct.corp.example" {
		t.Errorf("Host: %s", got.Host)
	}
}

// TestReplicaDies: each request after it is answered by the other replica, also those that come before a health check does.
func TestReplicaDies(t *testing.T) {
	b := balance(t)
	f, _ := b.replica("a", 11), b.replica("b", 12)
	b.used("a", "b")
	f.die()
	for i := range 40 {
		method := []string{http.MethodGet, http.MethodPost, http.MethodDelete}[i%3]
		if status, text := b.do(method, "/", "x"); status != http.StatusOK || text != "b" {
			t.Errorf("%s: %d %s", method, status, text)
		}
	}
	b.used("b")
	b.replica("a", 11) // comes back
	b.used("a", "b")
}

// TestDrain: a replica that is not ready any more gets nothing new and finishes what it has; a long poll is not cut.
func TestDrain(t *testing.T) {
	b := balance(t)
	a, other := b.replica("a", 11), b.replica("b", 12)
	b.used("a", "b")
	arrived, answer := make(chan *fake, 2), make(chan struct{})
	for _, f := range []*fake{a, other} {
		f.on(func(w http.ResponseWriter, r *http.Request) {
			arrived <- f
			<-answer
			io.WriteString(w, f.name)
		})
	}
	polled := make(chan string, 1)
	go func() {
		resp, err := b.client.Get("https://induct.corp.example/uploads/1?waitFor=done")
		if err != nil {
			polled <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		polled <- fmt.Sprint(resp.StatusCode, " ", string(text))
	}()
	draining := <-arrived
	draining.ready.Store(false)
	stays := map[string]string{"a": "b", "b": "a"}[draining.name]
	b.until("it is out", func() bool {
		return strings.Contains(b.log.String(), "Server replicas/induct-"+draining.name+" is DOWN")
	})
	for range 20 {
		if status, text := b.do(http.MethodPost, "/whoami", "x"); status != http.StatusOK || text != stays {
			t.Errorf("%d %s", status, text)
		}
	}
	close(answer)
	if got := <-polled; got != "200 "+draining.name {
		t.Errorf("the long poll that was under way: %s, want 200 of %s", got, draining.name)
	}
}

// TestRetriesWhatIsSafe: a request that a replica took and did not answer is sent again if it reads, and else is not.
func TestRetriesWhatIsSafe(t *testing.T) {
	b := balance(t)
	var cut atomic.Bool
	var arrived atomic.Int32
	for n, name := range map[int]string{11: "a", 12: "b"} {
		b.replica(name, n).on(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			arrived.Add(1)
			if cut.CompareAndSwap(true, false) {
				panic(http.ErrAbortHandler)
			}
		})
	}
	b.used("a", "b")
	for _, c := range []struct {
		method           string
		status, arrivals int
	}{
		{http.MethodGet, 200, 2}, {http.MethodHead, 200, 2},
		{http.MethodPost, 502, 1}, {http.MethodPatch, 502, 1}, {http.MethodPut, 502, 1}, {http.MethodDelete, 502, 1},
	} {
		cut.Store(true)
		arrived.Store(0)
		resp, text := b.send(c.method, "/", "")
		if resp.StatusCode != c.status || int(arrived.Load()) != c.arrivals {
			t.Errorf("%s: status %d after %d arrivals, want %d after %d", c.method, resp.StatusCode, arrived.Load(), c.status, c.arrivals)
		}
		if c.status == 502 {
			refused(t, resp, text, "badGateway")
		}
	}
}

// refused checks that an answer of haproxy's own can be read by clients of Graph.
func refused(t *testing.T, resp *http.Response, text, code string) {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil || body.Error.Code != code || body.Error.Message == "" {
		t.Errorf("%s: %q, %v; want the code %s", resp.Status, text, err, code)
	}
	if resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s: %v", resp.Status, resp.Header)
	}
}

func TestNobodyIsReady(t *testing.T) {
	b := balance(t)
	resp, text := b.send(http.MethodGet, "/", "")
	refused(t, resp, text, "serviceNotAvailable")
	if b.well() {
		t.Error("the container's health check is content")
	}
	f := b.replica("a", 11)
	b.used("a")
	b.until("the container's health check is content", b.well)
	f.ready.Store(false)
	b.until("the container's health check has seen it", func() bool { return !b.well() })
}

// well runs the health check that compose.yaml has for lb.
func (b *balancer) well() bool {
	b.t.Helper()
	test := compose(b.t).Services["lb"].Healthcheck.Test[1:]
	host, port, _ := net.SplitHostPort(b.health)
	script := strings.ReplaceAll(test[len(test)-1], "$$", "$") // Compose's way to write it
	if !strings.Contains(script, "/127.0.0.1/8404") {
		b.t.Fatalf("%s asks elsewhere", script)
	}
	script = strings.Replace(script, "/127.0.0.1/8404", "/"+host+"/"+port, 1)
	_, code := run(b.t, need(b.t, test[0]), append(test[1:len(test)-1], script)...)
	return code == 0
}

// TestVerifiesReplicas: requests, which have tokens in them, go to nobody whose certificate is another.
func TestVerifiesReplicas(t *testing.T) {
	b := balance(t)
	own := b.secrets
	b.secrets = filepath.Join(prepared(t, "induct.corp.example"), "secrets")
	b.replica("stranger", 11)
	b.secrets = own
	b.replica("b", 12)
	b.used("b")
	for range 10 {
		if status, text := b.do(http.MethodPost, "/", "x"); status != 200 || text != "b" {
			t.Errorf("%d %s", status, text)
		}
	}
}

// TestLargeRequestsAndHTTP2: an upload of the largest size passes, by either protocol.
func TestLargeRequestsAndHTTP2(t *testing.T) {
	b := balance(t)
	b.replica("a", 11).on(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	b.used("a")
	body := strings.Repeat("x", 4<<20)
	for _, h2 := range []bool{false, true} {
		b.client.Transport.(*http.Transport).ForceAttemptHTTP2 = h2
		resp, text := b.send(http.MethodPost, "/", body)
		if text != fmt.Sprint(len(body), nil) || resp.ProtoMajor == 2 != h2 {
			t.Errorf("%s: %s %s", resp.Proto, resp.Status, text)
		}
		b.client.CloseIdleConnections()
		b.client.Transport = b.client.Transport.(*http.Transport).Clone()
	}
}

// TestLogNamesNobody: paths and queries name people and stay out of the log, which finds a request by its id.
func TestLogNamesNobody(t *testing.T) {
	b := balance(t)
	b.replica("a", 11).on(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("request-id", "6a1e0000-0000-4000-8000-000000000001")
	})
	b.used("a")
	b.send(http.MethodGet, "/v1.0/users/ada.quist@lindqvist.example?$filter=employeeId%20eq%20'4711'", "", "Authorization", "Bearer sesame")
	b.until("the request is logged", func() bool { return strings.Contains(b.log.String(), "6a1e0000-0000-4000-8000-000000000001") })
	for _, word := range []string{"quist", "4711", "sesame", "users"} {
		if strings.Contains(b.log.String(), word) {
			t.Errorf("%q stands in the log:\n%s", word, b.log.String())
		}
	}
}

// TestStopLetsEnd: the signal that Compose stops lb with lets what is under way end.
func TestStopLetsEnd(t *testing.T) {
	signal := map[string]os.Signal{"SIGUSR1": syscall.SIGUSR1, "SIGTERM": syscall.SIGTERM}[compose(t).Services["lb"].StopSignal]
	b := balance(t)
	arrived, answer := make(chan struct{}), make(chan struct{})
	b.replica("a", 11).on(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-answer
	})
	b.used("a")
	done := make(chan error, 1)
	go func() {
		resp, err := b.client.Get("https://induct.corp.example/long")
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	<-arrived
	if err := b.process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	b.until("it listens no more", func() bool {
		c, err := net.Dial("tcp", b.address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(answer)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// service starts the program itself at 127.213.0.n, with the settings that it has in compose.yaml, but for its store, which is
// an embedded one in dir.
func (b *balancer) service(n int, dir string, settings ...string) *exec.Cmd {
	b.t.Helper()
	host := "127.213.0." + strconv.Itoa(n)
	cmd := exec.Command(binary(), "serve")
	cmd.Dir, cmd.Env = dir, []string{"INDUCT_DATA=" + filepath.Join(dir, "data"), "INDUCT_LOG_LEVEL=warn"}
	for name, value := range compose(b.t).Services["induct-a"].Environment {
		switch name {
		case "INDUCT_DATABASE", "PGPASSFILE":
			continue
		case "INDUCT_LISTEN":
			value = host + ":" + b.port
		case "INDUCT_METRICS_LISTEN":
			value = host + ":" + b.check
		case "INDUCT_TRUSTED_PROXIES":
			value = "127.0.0.0/8"
		case "INDUCT_PUBLIC_URL":
			value = "https://induct.corp.example"
		}
		cmd.Env = append(cmd.Env, name+"="+strings.Replace(value, "/run/secrets", b.secrets, 1))
	}
	cmd.Env = append(cmd.Env, settings...)
	cmd.Stderr = &b.log
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if out, err := b.asked(cmd, "health", "--wait=30s", "--pid="+strconv.Itoa(cmd.Process.Pid)); err != nil {
		b.t.Fatalf("it does not become ready: %v\n%s%s", err, out, b.log.String())
	}
	return cmd
}

// asked runs the program with the settings of a service.
func (b *balancer) asked(service *exec.Cmd, args ...string) ([]byte, error) {
	cmd := exec.Command(binary(), args...)
	cmd.Dir, cmd.Env = service.Dir, service.Env
	return cmd.CombinedOutput()
}

// stop ends a service as Compose does and checks that it ends well.
func (b *balancer) stop(service *exec.Cmd) {
	b.t.Helper()
	if err := service.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	killer := time.AfterFunc(soon, func() { service.Process.Kill() })
	defer killer.Stop()
	if err := service.Wait(); err != nil {
		b.t.Errorf("it did not end well: %v\n%s", err, b.log.String())
	}
}

func TestBeforeTheService(t *testing.T) {
	b := balance(t)
	service := b.service(11, t.TempDir(), "INDUCT_SHUTDOWN_DELAY=0s")
	b.until("it is used", func() bool { status, _ := b.do(http.MethodGet, "/readyz", ""); return status == 200 })
	if status, _ := b.do(http.MethodGet, "/metrics", ""); status != http.StatusNotFound {
		t.Errorf("/metrics is shown to everybody: %d", status)
	}
	status, text := b.do(http.MethodGet, discovery, "")
	var metadata struct {
		Token string `json:"token_endpoint"`
	}
	if err := json.Unmarshal([]byte(text), &metadata); err != nil || !strings.HasPrefix(metadata.Token, "https://induct.corp.example/") {
		t.Errorf("%d %s, %v", status, text, err)
	}
	b.stop(service)
	resp, text := b.send(http.MethodGet, "/", "")
	refused(t, resp, text, "serviceNotAvailable")
}

const discovery = "/common/v2.0/.well-known/openid-configuration"

// TestRollingRestart: one replica after the other is stopped and started while clients read and write, with and without
// connections that they keep. Each request is answered by a replica.
func TestRollingRestart(t *testing.T) {
	b := balance(t)
	dirs := map[int]string{11: t.TempDir(), 12: t.TempDir()}
	services := make(map[int]*exec.Cmd)
	for n, dir := range dirs {
		services[n] = b.service(n, dir, "INDUCT_SHUTDOWN_DELAY=2s") // it is asked each 250 ms, see balance
	}
	b.turns("induct-a", "UP")
	b.turns("induct-b", "UP")
	var clients sync.WaitGroup
	var stopped atomic.Bool
	var answered [2]atomic.Int64
	for c := range 4 {
		transport := b.client.Transport.(*http.Transport).Clone()
		transport.DisableKeepAlives = c%2 == 0
		client := &http.Client{Transport: transport, Timeout: soon}
		clients.Go(func() {
			defer client.CloseIdleConnections()
			for i := 0; !stopped.Load(); i++ {
				want, resp, err := http.StatusOK, (*http.Response)(nil), error(nil)
				if i%2 == 0 {
					resp, err = client.Get("https://induct.corp.example" + discovery)
				} else { // no client in it, which is said with 400
					want = http.StatusBadRequest
					resp, err = client.Post("https://induct.corp.example/common/oauth2/v2.0/token", "application/x-www-form-urlencoded", strings.NewReader("scope=x"))
				}
				if err != nil {
					t.Error(err)
					continue
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != want {
					t.Errorf("%s: %s, want %d", resp.Request.Method, resp.Status, want)
				}
				answered[i%2].Add(1)
			}
		})
	}
	for n, dir := range dirs {
		name := map[int]string{11: "induct-a", 12: "induct-b"}[n]
		b.stop(services[n])
		b.turns(name, "DOWN")
		b.service(n, dir)
		b.turns(name, "UP")
	}
	stopped.Store(true)
	clients.Wait()
	if answered[0].Load() == 0 || answered[1].Load() == 0 {
		t.Error("nobody asked")
	}
}
