package main_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limitFiles lets the process write no file beyond size bytes; unix.RLIM_INFINITY takes the limit away. To the process
// it is a disk that is full, and this needs no permissions and no file system of its own.
func (p *process) limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = min(size, limit.Max)
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// refusal checks that the answer of an upload says that there is no space, in Graph's words.
func refusal(t *testing.T, a answer) {
	t.Helper()
	var body struct {
		Error struct {
			Code, Message string
			InnerError    map[string]string
		}
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		t.Errorf("the refusal is no JSON: %v: %s", err, a.body)
		return
	}
	e := body.Error
	if a.status != http.StatusServiceUnavailable || e.Code != "ServiceUnavailable" || !strings.Contains(e.Message, "out of space") || e.InnerError["request-id"] == "" {
		t.Errorf("the refusal is %d %s", a.status, a.body)
	}
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
}

// fill sends requests from several uploaders until each was refused three times. Each answer must come in ten seconds.
func (l *ledger) fill(t *testing.T, c *client) {
	t.Helper()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for refused := 0; refused < 3 && !t.Failed(); {
				r := l.compose()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				a, err := c.upload(ctx, r.id, r.body)
				cancel()
				if err != nil {
					t.Errorf("an upload was not answered: %v", err)
					return
				}
				l.mu.Lock()
				if a.status == http.StatusAccepted {
					r.upload = a.header.Get("x-induct-upload-id")
					l.accepted = append(l.accepted, r)
				} else {
					refused++
					refusal(t, a)
					l.unknown = append(l.unknown, r)
				}
				l.mu.Unlock()
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// With a full disk uploads are refused with a clear answer and reads go on; with space again, everything goes on, and what
// was accepted has its end.
func TestDiskFull(t *testing.T) {
	tests := map[string]struct {
		args []string
		then func(*testing.T, *process, string) *process
	}{
		"space is made":             {[]string{"--reserve-bytes=-1"}, spaceIsMade},
		"space is made, reserve":    {nil, spaceIsMade},
		"killed, then space":        {[]string{"--reserve-bytes=-1"}, killedThenSpace},
		"told to stop, then space":  {[]string{"--reserve-bytes=-1"}, stoppedThenSpace},
		"space is made three times": {[]string{"--reserve-bytes=-1"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			p := start(t, dir, test.args...)
			c := p.client(t)
			l := newLedger(seedOf(t))
			rounds := 1
			if test.then == nil {
				rounds, test.then = 3, spaceIsMade
			}
			for range rounds {
				info, err := os.Stat(filepath.Join(dir, "induct.db-wal"))
				if err != nil {
					t.Fatal(err)
				}
				p.limitFiles(t, uint64(info.Size())+400<<10)
				l.fill(t, c)
				var job struct{ ID string }
				c.get(t, c.job, &job)
				for _, r := range l.accepted {
					var u uploadStatus
					c.get(t, c.job+"/uploads/"+r.upload, &u)
				}
				p = test.then(t, p, dir)
				c = p.client(t)
				l.drain(t, c)
			}
			l.sendManagers(t, c)
			l.audit(t, c)
		})
	}
}

func spaceIsMade(t *testing.T, p *process, _ string) *process {
	p.limitFiles(t, unix.RLIM_INFINITY)
	return p
}

func killedThenSpace(t *testing.T, p *process, dir string) *process {
	p.kill()
	return start(t, dir)
}

func stoppedThenSpace(t *testing.T, p *process, dir string) *process {
	if code := p.stop(t, 10*time.Second); code != 0 && code != 1 {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	if e := p.stderr.String(); strings.Contains(e, "goroutine ") {
		t.Errorf("it crashed: %s", e)
	}
	return start(t, dir)
}

// Below the reserve uploads are refused, and nothing else is.
func TestReserve(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir, "--reserve-bytes", strconv.FormatInt(1<<60, 10))
	c := p.client(t)
	l := newLedger(1)
	r := l.compose()
	a, err := c.upload(t.Context(), r.id, r.body)
	if err != nil {
		t.Fatal(err)
	}
	refusal(t, a)
	if users := list[user](t, c, c.graph+"/users"); len(users) != 0 {
		t.Errorf("there are %d users", len(users))
	}
	p.stop(t, 10*time.Second)
	p = start(t, dir)
	c = p.client(t)
	if !l.send(t, t.Context(), c, r) {
		t.Fatal("with the default reserve the upload is refused, too")
	}
	l.sendManagers(t, c)
	l.audit(t, c)
}

// On a disk that is full from the beginning the service says so and ends; with space it starts.
func TestStartOnFullDisk(t *testing.T) {
	for _, blocks := range []string{"0", "8", "64", "128"} {
		dir := filepath.Join(t.TempDir(), "data")
		cmd := command(t.Context(), "serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0")
		script := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `ulimit -f "$1"; shift; exec "$@"`, "sh", blocks}, cmd.Args...)...)
		script.Env, script.Dir = cmd.Env, cmd.Dir
		var text strings.Builder
		script.Stderr = &text
		script.Run()
		if code := script.ProcessState.ExitCode(); code != 1 || !strings.Contains(text.String(), "induct: ") || strings.Contains(text.String(), "goroutine ") {
			t.Errorf("with %s blocks: exit code %d: %s", blocks, code, text.String())
		}
		l := newLedger(1)
		if !l.send(t, t.Context(), start(t, dir).client(t), l.compose()) {
			t.Errorf("with %s blocks first, then space: no upload is accepted", blocks)
		}
	}
}
