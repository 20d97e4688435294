package sqlstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"induct/internal/mapping"
	"induct/internal/provision"
	"induct/internal/sqlstore/pgtest"
)

// A replica whose work fails for a lease, while it is heard of, gives all of its lanes to others; in the end it takes its share again.
func TestStandsAside(t *testing.T) {
	url := pgtest.Database(t)
	o := PostgresOptions{Connections: 6, Lease: time.Second}
	a, b := openPostgres(t, url, o), openPostgres(t, url, o)
	j := &provision.Job{ID: "j", Schema: &mapping.Schema{}}
	if err := a.PutJob(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	held := func(s *Store) int {
		t.Helper()
		lane, err := s.Lane(t.Context(), j.PK)
		if err != nil {
			t.Fatal(err)
		}
		return lane.Held.Len()
	}
	becomes := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it does not come true that %s: %d and %d lanes are held", what, held(a), held(b))
			}
		}
	}
	half := provision.MaxLanes / 2
	becomes("each has its share", func() bool { return held(a) == half && held(b) == half })
	becomes("one leaves all to the other", func() bool {
		a.pg.replicas.note(j.PK, fmt.Errorf("read: %w", provision.ErrUnavailable))
		return held(a) == 0 && held(b) == provision.MaxLanes
	})
	becomes("each has its share again", func() bool { return held(a) == half && held(b) == half })

	// What fails for another reason, and what succeeds in between, is no reason.
	r := a.pg.replicas
	r.note(j.PK, errors.New("another"))
	r.note(j.PK+1, provision.ErrUnavailable)
	r.note(j.PK+1, nil)
	if len(r.failing) != 0 {
		t.Errorf("what fails: %v", r.failing)
	}
}
