package pgtest

import (
	"os"
	"strings"
	"testing"
	"time"
)

// What was committed is there after Kill, under the same address; what was not is gone.
func TestKilledAndRestarted(t *testing.T) {
	s, err := Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", s.dir, err)
		}
	})
	if err := s.CreateDatabase("people"); err != nil {
		t.Fatal(err)
	}
	query := func(sql string) string {
		t.Helper()
		out, err := s.Query("people", sql)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	query("CREATE TABLE p (id int); INSERT INTO p VALUES (1), (2)")
	if got := query("SHOW fsync"); got != "on" {
		t.Errorf("fsync is %s", got)
	}
	open := make(chan error, 1)
	go func() { // its own transaction does not end before the server does
		_, err := s.Query("people", "INSERT INTO p VALUES (3); SELECT pg_sleep(60)")
		open <- err
	}()
	for query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%'") != "2" {
		time.Sleep(5 * time.Millisecond)
	}
	before := children(s.cmd.Process.Pid)
	s.Kill()
	if err := <-open; err == nil {
		t.Error("a query outlives the server")
	}
	for _, pid := range before {
		if alive(pid) {
			t.Errorf("process %d outlives Kill", pid)
		}
	}
	if _, err := s.Query("people", "SELECT 1"); err == nil {
		t.Error("a killed server answers")
	}
	url := s.URL("people")
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := query("SELECT count(*) FROM p"); got != "2" || s.URL("people") != url {
		t.Errorf("%s of 2 rows at %s, formerly %s", got, s.URL("people"), url)
	}
	if err := s.Restart(); err != nil { // in an orderly way
		t.Fatal(err)
	}
	if got := query("SELECT count(*) FROM p"); got != "2" {
		t.Errorf("%s of 2 rows", got)
	}
}

// Every test has a database of its own, empty.
func TestDatabase(t *testing.T) {
	a, b := Database(t), Database(t)
	if a == b || !strings.HasPrefix(a, "postgres://induct:") || !strings.Contains(a, "@127.0.0.1:") {
		t.Errorf("databases %q and %q", a, b)
	}
}
