package main_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// seedOf returns a new seed and logs it.
func seedOf(t *testing.T) uint64 {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return seed
}

// A process that is killed at any moment loses nothing that was accepted, and does nothing twice.
func TestKilled(t *testing.T) {
	rounds := 14
	if testing.Short() {
		rounds = 3
	}
	dir := filepath.Join(t.TempDir(), "data")
	l := newLedger(seedOf(t))
	for range rounds {
		if l.intn(3) == 0 { // killed before it is up, too
			p := launch(t, dir)
			time.Sleep(time.Duration(l.intn(60)) * time.Millisecond)
			p.kill()
		}
		p := start(t, dir)
		c := p.client(t)
		l.replay(t, c)
		stop := l.load(t, c, 4)
		time.Sleep(time.Duration(20+l.intn(380)) * time.Millisecond)
		p.kill()
		stop()
	}
	p := start(t, dir)
	c := p.client(t)
	l.drain(t, c)
	l.sendManagers(t, c)
	time.Sleep(time.Duration(l.intn(30)) * time.Millisecond)
	p.kill() // perhaps while references are resolved
	l.audit(t, start(t, dir).client(t))
}

// A process that is told to stop under load ends in time with exit code 0, and everything accepted is there afterwards.
func TestToldToStop(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l := newLedger(seedOf(t))
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := start(t, dir)
		c := p.client(t)
		stop := l.load(t, c, 4)
		time.Sleep(time.Duration(100+l.intn(200)) * time.Millisecond)
		if err := p.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(t, 10*time.Second); code != 0 {
			t.Errorf("exit code %d after %v: %s", code, sig, p.stderr.String())
		}
		stop()
	}
	p := start(t, dir)
	c := p.client(t)
	l.drain(t, c)
	l.replay(t, c)
	l.sendManagers(t, c)
	l.audit(t, c)
}

// A client that waits for an upload to end does not keep the process from ending.
func TestToldToStopWhileWaiting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	c := p.client(t)
	if a, err := c.do(t.Context(), "POST", c.job+"/pause", nil, nil); err != nil || a.status != 204 {
		t.Fatal(a.status, err, string(a.body))
	}
	l := newLedger(1)
	if !l.send(t, t.Context(), c, l.compose()) {
		t.Fatal("the upload was not accepted")
	}
	got := make(chan answer, 1)
	go func() {
		a, _ := c.do(t.Context(), "GET", c.job+"/uploads/"+l.accepted[0].upload+"?waitFor=settled&timeout=60", nil, nil)
		got <- a
	}()
	time.Sleep(200 * time.Millisecond)
	if code := p.stop(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	if a := <-got; a.status != 200 {
		t.Errorf("who waited was answered %d %s", a.status, a.body)
	}
}

// A process that is told to stop while it starts ends without a crash, and the next start finds things in order.
func TestToldToStopWhileStarting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for ms := range 40 {
		p := launch(t, dir)
		time.Sleep(time.Duration(ms) * time.Millisecond)
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		code := p.wait(t, 10*time.Second)
		if text := p.stderr.String(); code > 1 || strings.Contains(text, "goroutine ") {
			t.Errorf("told to stop after %d ms: exit code %d: %s", ms, code, text)
		}
		if ms%4 == 0 { // from the beginning again
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := newLedger(1)
	if !l.send(t, t.Context(), start(t, dir).client(t), l.compose()) {
		t.Error("no upload is accepted")
	}
}
