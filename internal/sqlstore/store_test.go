package sqlstore

import (
	"testing"
	"time"

	"induct/internal/mapping"
	"induct/internal/oauth"
	"induct/internal/oauth/oauthtest"
	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
)

// fresh returns a store in a directory of its own.
func fresh(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), t.TempDir(), Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	provisiontest.TestStore(t, func(t *testing.T) provision.Store { return fresh(t) })
}

func TestCredentials(t *testing.T) {
	oauthtest.TestStore(t, func() oauth.Store { return fresh(t) })
}

// Everything is there after a restart, and the log goes on where it ended.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	open := func() *Store {
		t.Helper()
		s, err := Open(t.Context(), dir, Options{ReserveBytes: -1, Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	entries := []provision.LogEntry{{JobPK: 1, Upload: 1, Cycle: 1}, {JobPK: 1, Upload: 1, Cycle: 1, Index: 1}}
	for i := range 3 {
		s := open()
		if i == 0 {
			if err := s.PutJob(t.Context(), &provision.Job{ID: "j", Schema: &mapping.Schema{}}); err != nil {
				t.Fatal(err)
			}
		}
		if seq, err := s.LastSeq(t.Context()); err != nil || seq != int64(2*i) {
			t.Errorf("last place is %d, %v", seq, err)
		}
		err := s.Unit(t.Context(), provision.Fence{JobPK: 1}, func(u provision.Unit) error { return u.Append(entries) })
		if err != nil {
			t.Fatal(err)
		}
		if want := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC); !entries[1].Time.Equal(want) || entries[1].Seq != int64(2*i+2) {
			t.Errorf("entry is %+v", entries[1])
		}
		at = at.Add(-time.Hour) // a clock that goes back does not take the log with it
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
