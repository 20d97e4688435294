//go:build unix

package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"induct/test/faults/balance"
)

// binary is the program under test; TestMain builds it.
var binary string

func TestMain(m *testing.M) { os.Exit(runMain(m)) }

func runMain(m *testing.M) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given { // the tests wait for leases most of the time
		if err := flag.Set("test.parallel", "4"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "induct-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "induct")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/induct").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// long is how many times as much as usual is tried: INDUCT_FAULTS=10 is ten times as many kills.
func long(t *testing.T, n int) int {
	t.Helper()
	text := os.Getenv("INDUCT_FAULTS")
	if text == "" {
		if testing.Short() {
			return max(n/5, 1)
		}
		return n
	}
	var times int
	if _, err := fmt.Sscan(text, &times); err != nil || times < 1 {
		t.Fatalf("INDUCT_FAULTS=%q is no number of times", text)
	}
	return n * times
}

// A service is an installation under test: its replicas, and the load balancer that clients reach them through.
type service struct {
	t      *testing.T
	front  *balance.Balancer
	args   []string // of every process: where the data is
	binary string
	env    map[string]string // the credentials of the app

	mu       sync.Mutex
	replicas []*replica // that run
	ended    []*replica
}

// install makes an installation with one app, which args tell where to keep. Nothing runs yet.
func install(t *testing.T, args ...string) *service {
	t.Helper()
	s := &service{t: t}
	s.open(args...)
	s.makeApp()
	return s
}

// open gives a service its load balancer.
func (s *service) open(args ...string) {
	t := s.t
	t.Helper()
	front, err := balance.New()
	if err != nil {
		t.Fatal(err)
	}
	s.front, s.args, s.binary = front, args, binary
	t.Cleanup(func() {
		for _, r := range s.running() {
			r.kill()
		}
		if err := front.Close(); err != nil {
			t.Error(err)
		}
		s.discreet()
	})
}

// makeApp makes the app, with a process that runs alone and ends again.
func (s *service) makeApp() {
	t := s.t
	t.Helper()
	file := filepath.Join(t.TempDir(), "env")
	r := s.launch("--dev", "--env-file", file)
	until(t, "the credentials are written", 30*time.Second, func() bool {
		_, err := os.Stat(file)
		return err == nil || r.hasEnded()
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.log())
	}
	s.env = map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		s.env[name] = value
	}
	if code := r.stop(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, r.log())
	}
}

// A replica is one process of the service.
type replica struct {
	s                *service
	cmd              *exec.Cmd
	serving          chan struct{} // closed once it takes requests
	ended            chan struct{}
	address, metrics string // known once it serves
	mu               sync.Mutex
	text             bytes.Buffer // its log
}

// launch starts a replica and does not wait for it.
func (s *service) launch(args ...string) *replica {
	s.t.Helper()
	return s.launchWith(nil, args...)
}

// launchWith is launch with more environment.
func (s *service) launchWith(env []string, args ...string) *replica {
	s.t.Helper()
	r := &replica{s: s, serving: make(chan struct{}), ended: make(chan struct{})}
	r.cmd = exec.Command(s.binary, slices.Concat([]string{"serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--limits", "none",
		"--public-url", "http://" + s.front.Address()}, s.args, args)...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "INDUCT_") {
			r.cmd.Env = append(r.cmd.Env, v)
		}
	}
	r.cmd.Env = append(r.cmd.Env, env...)
	r.cmd.Dir = filepath.Dir(binary)
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go r.read(stderr)
	s.mu.Lock()
	s.replicas = append(s.replicas, r)
	s.mu.Unlock()
	return r
}

// read takes the replica's log, until it ends.
func (r *replica) read(stderr io.Reader) {
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		r.mu.Lock()
		r.text.Write(line)
		r.mu.Unlock()
		var event struct{ Msg, Address, Metrics string }
		if json.Unmarshal(line, &event) == nil && event.Msg == "serving" {
			r.address, r.metrics = strings.TrimPrefix(event.Address, "http://"), event.Metrics
			close(r.serving)
			r.s.balance()
		}
		if err != nil {
			break
		}
	}
	r.cmd.Wait()
	close(r.ended)
	r.s.gone(r)
}

// start starts replicas and waits until they take requests.
func (s *service) start(replicas int) {
	s.t.Helper()
	var launched []*replica
	for range replicas {
		launched = append(launched, s.launch())
	}
	for _, r := range launched {
		r.wait(s.t)
	}
}

// wait waits until the replica takes requests.
func (r *replica) wait(t *testing.T) {
	t.Helper()
	select {
	case <-r.serving:
		r.s.balance()
	case <-r.ended:
		t.Fatalf("a replica has ended instead of serving: %s", r.log())
	case <-time.After(time.Minute):
		t.Fatalf("a replica does not serve: %s", r.log())
	}
}

func (s *service) running() []*replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.replicas)
}

// trouble shows the newest warnings of the replicas that run.
func (s *service) trouble() {
	for i, r := range s.running() {
		var lines []string
		for line := range strings.Lines(r.log()) {
			if !strings.Contains(line, `"level":"INFO"`) && !strings.Contains(line, `"msg":"request"`) {
				lines = append(lines, line)
			}
		}
		s.t.Logf("replica %d at %s says in %d warnings, lately:\n%s", i, r.address, len(lines), strings.Join(lines[max(0, len(lines)-30):], ""))
	}
}

// past are the replicas that have ended.
func (s *service) past() []*replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ended)
}

func (s *service) gone(r *replica) {
	s.mu.Lock()
	s.replicas = slices.DeleteFunc(s.replicas, func(o *replica) bool { return o == r })
	s.ended = append(s.ended, r)
	s.mu.Unlock()
	s.balance()
}

// balance tells the load balancer which replicas serve.
func (s *service) balance() {
	var addresses []string
	for _, r := range s.running() {
		select {
		case <-r.serving:
			addresses = append(addresses, r.address)
		default:
		}
	}
	s.front.Set(addresses...)
}

// kill ends the replica as a power failure would, also while it is frozen.
func (r *replica) kill() {
	r.cmd.Process.Kill()
	<-r.ended
}

// freeze stops the replica's process until it is thawed or killed.
func (r *replica) freeze() { r.cmd.Process.Signal(syscall.SIGSTOP) }
func (r *replica) thaw()   { r.cmd.Process.Signal(syscall.SIGCONT) }

// stop asks the replica to end, and returns its exit code.
func (r *replica) stop(t *testing.T) int {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	select {
	case <-r.ended:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		t.Fatalf("a replica has not ended 30 seconds after it was told to: %s", r.log())
		return -1
	}
}

func (r *replica) hasEnded() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func (r *replica) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// secret is what must not stand in a log: people, and the password of the database.
var secret = regexp.MustCompile(`Person p\d|"p\d+"|p\d+@|:[A-Z2-7]{26}@`)

// discreet checks the logs of everything that ran: nothing has crashed, nobody is named.
func (s *service) discreet() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Concat(s.replicas, s.ended) {
		text := r.log()
		for _, at := range [][]int{secret.FindStringIndex(text), regexp.MustCompile(`goroutine \d|panic`).FindStringIndex(text)} {
			if at != nil {
				s.t.Errorf("the log of a replica has %q: …%s…", text[at[0]:at[1]], text[max(0, at[0]-500):min(len(text), at[1]+3000)])
			}
		}
	}
}

// until waits until something holds, which it must within the time.
func until(t *testing.T, what string, within time.Duration, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("it does not come true within %v that %s", within, what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
