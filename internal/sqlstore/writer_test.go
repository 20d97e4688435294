package sqlstore

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// group runs pieces of work in one transaction and returns their errors. While its first piece runs, the others queue.
func group(t *testing.T, s *Store, pieces ...func(Conn) error) []error {
	t.Helper()
	begun, all := make(chan struct{}), make(chan struct{})
	errs := make([]error, len(pieces))
	var wg sync.WaitGroup
	wg.Go(func() {
		s.w.do(t.Context(), func(Conn) error { close(begun); <-all; return nil })
	})
	<-begun
	for i, p := range pieces {
		k := &work{fn: p, done: make(chan error, 1)}
		s.w.in <- k
		wg.Go(func() { errs[i] = <-k.done })
	}
	close(all)
	wg.Wait()
	return errs
}

func setting(name string) func(Conn) error {
	return func(c Conn) error {
		return query(c, "INSERT INTO setting (name, value) VALUES (?1, 'x')", []any{name}, nil)
	}
}

func has(t *testing.T, s *Store, name string) bool {
	t.Helper()
	v, err := s.Setting(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return v != ""
}

func TestPiecesOfAGroupStandAlone(t *testing.T) {
	s := fresh(t)
	failure := errors.New("failure")
	errs := group(t, s,
		setting("before"),
		func(c Conn) error { return errors.Join(setting("failed")(c), failure) },
		func(c Conn) error { setting("panicked")(c); panic("damn") },
		func(c Conn) error {
			return query(c, "SELECT 1 UNION SELECT 2", nil, func(Row) error { panic("in a row") })
		},
		setting("before"), // a constraint
		setting("after"))
	for i, want := range []string{"", "failure", "damn", "in a row", "UNIQUE", ""} {
		if got := fmt.Sprint(errs[i]); want == "" && errs[i] != nil || !strings.Contains(got, want) {
			t.Errorf("piece %d: %v, want %q", i, errs[i], want)
		}
	}
	for name, want := range map[string]bool{"before": true, "failed": false, "panicked": false, "after": true} {
		if has(t, s, name) != want {
			t.Errorf("%s is stored: %v", name, !want)
		}
	}
}

// A batch that fails takes nothing of the others with it, and a group ends with its first batch.
func TestLargePieces(t *testing.T) {
	s := fresh(t)
	var wg sync.WaitGroup
	begun, all := make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		s.w.do(t.Context(), func(Conn) error { close(begun); <-all; return nil })
	})
	<-begun
	failure := errors.New("failure")
	pieces := []*work{
		{fn: setting("before")},
		{fn: func(c Conn) error { return errors.Join(setting("failed")(c), failure) }, large: true},
		{fn: setting("between")},
		{fn: func(c Conn) error { setting("panicked")(c); panic("damn") }, large: true},
		{fn: setting("large"), large: true},
		{fn: setting("after")},
	}
	for _, k := range pieces {
		k.done = make(chan error, 1)
		s.w.in <- k
	}
	close(all)
	wg.Wait()
	for i, want := range []string{"", "failure", "", "damn", "", ""} {
		if err := <-pieces[i].done; want == "" && err != nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("piece %d: %v, want %q", i, err, want)
		}
	}
	for name, want := range map[string]bool{"before": true, "failed": false, "between": true, "panicked": false, "large": true, "after": true} {
		if has(t, s, name) != want {
			t.Errorf("%s is stored: %v", name, !want)
		}
	}
}

func TestFullDisk(t *testing.T) {
	s := fresh(t)
	pages := 0
	cap := func(n int) {
		t.Helper()
		err := s.w.do(t.Context(), func(c Conn) error {
			return sqlitex.ExecuteTransient(c.(liteConn).Conn, fmt.Sprint("PRAGMA max_page_count = ", n), &sqlitex.ExecOptions{
				ResultFunc: func(st *sqlite.Stmt) error { pages = st.ColumnInt(0); return nil }})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	cap(1) // SQLite takes the pages that there are instead
	errs := group(t, s,
		setting("small"),
		func(c Conn) error {
			return query(c, "INSERT INTO setting (name, value) VALUES ('large', ?1)", []any{strings.Repeat("x", 1<<20)}, nil)
		},
		setting("later"))
	if !errors.Is(errs[1], provision.ErrNoSpace) {
		t.Errorf("error is %v, want ErrNoSpace", errs[1])
	}
	for i, name := range []string{"small", "large", "later"} {
		if stored := has(t, s, name); stored != (errs[i] == nil) || errs[i] != nil && !errors.Is(errs[i], provision.ErrNoSpace) {
			t.Errorf("%s is stored: %v, and its writer was told %v", name, stored, errs[i])
		}
	}
	cap(pages + 10_000)
	if errs := group(t, s, setting("again")); errs[0] != nil {
		t.Errorf("with space again: %v", errs[0])
	}
}

// A transaction that SQLite has rolled back by itself takes all of its pieces with it, and all are told.
func TestRolledBackGroup(t *testing.T) {
	s := fresh(t)
	errs := group(t, s,
		setting("before"),
		func(c Conn) error { return sqlitex.ExecuteTransient(c.(liteConn).Conn, "ROLLBACK", nil) },
		setting("after"))
	for i, err := range errs {
		if !errors.Is(err, provision.ErrNoSpace) {
			t.Errorf("piece %d: %v, want ErrNoSpace", i, err)
		}
	}
	if has(t, s, "before") || has(t, s, "after") {
		t.Error("something is stored")
	}
	if errs := group(t, s, setting("again")); errs[0] != nil {
		t.Errorf("the next group: %v", errs[0])
	}
}

func TestClassify(t *testing.T) {
	for code, want := range map[sqlite.ResultCode]bool{sqlite.ResultFull: true, sqlite.ResultIOErrWrite: true, sqlite.ResultReadOnly: true,
		sqlite.ResultCantOpen: true, sqlite.ResultConstraintUnique: false, sqlite.ResultInterrupt: false} {
		if got := errors.Is(classify(fmt.Errorf("write: %w", code.ToError())), provision.ErrNoSpace); got != want {
			t.Errorf("%v is ErrNoSpace: %v", code, got)
		}
	}
	if classify(nil) != nil {
		t.Error("no error becomes one")
	}
}

func TestReserve(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir(), Options{ReserveBytes: 1 << 60})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	j := &provision.Job{ID: "j", Schema: &mapping.Schema{}}
	if err := s.PutJob(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	u := provision.Upload{Job: j, Operations: []provision.Operation{{Anchor: "1"}}}
	if _, err := s.Accept(t.Context(), u, uuid.New(), 10); !errors.Is(err, provision.ErrNoSpace) {
		t.Errorf("error is %v, want ErrNoSpace", err)
	}
}

func TestClosed(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.PutSetting(t.Context(), "a", "b"); !errors.Is(err, errClosed) {
		t.Errorf("error is %v", err)
	}
}
