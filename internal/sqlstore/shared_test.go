package sqlstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"induct/internal/mapping"
	"induct/internal/oauth/oauthtest"
	"induct/internal/provision"
	"induct/internal/sqlstore/pgtest"
)

// replicas returns two stores on one empty database, as two processes have them.
func replicas(t *testing.T) (a, b *Store) {
	t.Helper()
	url := pgtest.Database(t)
	for _, s := range []**Store{&a, &b} {
		var err error
		if *s, err = OpenPostgres(t.Context(), url, PostgresOptions{Connections: 6}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := (*s).Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return a, b
}

// What processes share they share whatever each of them does at the same moment.
func TestShared(t *testing.T) {
	for name, open := range map[string]func(*testing.T) (a, b *Store){
		"SQLite":     func(t *testing.T) (a, b *Store) { a = fresh(t); return a, a }, // one process has the file
		"PostgreSQL": replicas,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			oauthtest.TestShared(t, a, b)
			t.Run("allowances", func(t *testing.T) { testAllowance(t, a, b) })
			t.Run("settings", func(t *testing.T) { testPutSettingOnce(t, a, b) })
			t.Run("notices", func(t *testing.T) { testClaimNotice(t, a, b) })
		})
	}
}

// each runs fn eight times at once, in turn for each store.
func each(t *testing.T, a, b *Store, fn func(i int, s *Store) error) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := fn(i, []*Store{a, b}[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func counted(state []byte) (n uint64) {
	if len(state) == 8 {
		n = binary.BigEndian.Uint64(state)
	}
	return n
}

// Of many who change an allowance at once none undoes what another did, and all see one clock.
func testAllowance(t *testing.T, a, b *Store) {
	var latest atomic.Int64
	each(t, a, b, func(i int, s *Store) error {
		for range 5 {
			err := s.Allowance(t.Context(), time.Hour, []string{fmt.Sprint("caller ", i%4), "all"}, func(now time.Time, states [][]byte) {
				if now.UnixMicro() < latest.Swap(now.UnixMicro()) {
					t.Error("the clock has gone back")
				}
				for i := range states {
					states[i] = binary.BigEndian.AppendUint64(nil, counted(states[i])+1)
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	err := a.Allowance(t.Context(), time.Hour, []string{"caller 1", "caller 9", "all"}, func(_ time.Time, states [][]byte) {
		if x, y, z := counted(states[0]), counted(states[1]), counted(states[2]); x != 10 || y != 0 || z != 40 {
			t.Errorf("counted %d, %d and %d, want 10, 0 and 40", x, y, z)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// An allowance that nobody has named for its life is dropped.
func TestAllowanceExpires(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), t.TempDir(), Options{ReserveBytes: -1, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	use := func(name string, want int) {
		t.Helper()
		err := s.Allowance(t.Context(), time.Hour, []string{name}, func(_ time.Time, states [][]byte) {
			if len(states[0]) != want {
				t.Errorf("%s has %d bytes of state, want %d", name, len(states[0]), want)
			}
			states[0] = []byte{1}
		})
		if err != nil {
			t.Error(err)
		}
	}
	use("old", 0)
	at = at.Add(time.Hour)
	use("old", 1)
	use("young", 0)
	at = at.Add(time.Hour + time.Second)
	use("young", 1) // however old it is: it was named before it was dropped
	use("old", 0)
}

// Processes that decide a fact at once agree on it.
func testPutSettingOnce(t *testing.T, a, b *Store) {
	var held [8]string
	each(t, a, b, func(i int, s *Store) (err error) {
		held[i], err = s.PutSettingOnce(t.Context(), "decided", fmt.Sprint(i))
		return err
	})
	value, err := a.Setting(t.Context(), "decided")
	for _, h := range held {
		if h != value || err != nil || value == "" {
			t.Errorf("somebody holds %q for decided, and it is %q, %v", h, value, err)
		}
	}
}

// Of those who claim a notice at once one has it; when it is given back, or the claim ends, it is due again.
func testClaimNotice(t *testing.T, a, b *Store) {
	ctx, at := t.Context(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	job := &provision.Job{ID: "notices", Schema: &mapping.Schema{}}
	err := errors.Join(a.PutJob(ctx, job), a.Unit(ctx, provision.Fence{JobPK: job.PK, Free: true}, func(u provision.Unit) error {
		return u.Notify(provision.Notice{Kind: provision.NoticeDeletes, Recipients: []string{"hr-it@acme.example"}, NextAttempt: at})
	}))
	if err != nil {
		t.Fatal(err)
	}
	due, err := b.DueNotices(ctx, at, 10)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d notices are due, %v", len(due), err)
	}
	until := at.Add(time.Minute)
	claim := func(ctx context.Context, from, to time.Time, want int32) {
		t.Helper()
		var claims atomic.Int32
		each(t, a, b, func(_ int, s *Store) error {
			claimed, err := s.ClaimNotice(ctx, due[0].ID, from, to)
			if claimed {
				claims.Add(1)
			}
			return err
		})
		if claims.Load() != want {
			t.Errorf("%d have claimed the notice, want %d", claims.Load(), want)
		}
	}
	claim(ctx, at, until, 1)
	claim(ctx, at, until, 0)
	if due, err := b.DueNotices(ctx, at, 10); err != nil || len(due) != 0 {
		t.Errorf("%d notices are due that were claimed, %v", len(due), err)
	}
	claim(ctx, until, at, 1)
	tried := due[0]
	tried.Sent, tried.NextAttempt, tried.Reached, tried.ReachedAt = at, time.Time{}, []string{"x@acme.example"}, at
	if err := a.NoticeTried(ctx, tried); err != nil {
		t.Fatal(err)
	}
	claim(ctx, at, until, 0)
	all, err := b.Notices(ctx, job.PK, 10)
	if err != nil || len(all) != 1 || all[0].Attempts != 1 || !all[0].Sent.Equal(at) || len(all[0].Reached) != 1 || !all[0].ReachedAt.Equal(at) {
		t.Errorf("the notice is %+v, %v", all, err)
	}
}
