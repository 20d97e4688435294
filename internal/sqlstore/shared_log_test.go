package sqlstore

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
	"induct/internal/provision"
	"induct/internal/sqlstore/pgtest"
)

// pair is a job on two stores of one database, whose clocks are apart.
type pair struct {
	*testing.T
	a, b *Store
	job  *provision.Job
}

func newPair(t *testing.T, skew time.Duration) *pair {
	t.Helper()
	url := pgtest.Database(t)
	p := &pair{t, openPostgres(t, url, PostgresOptions{}), openPostgres(t, url, PostgresOptions{Now: func() time.Time { return time.Now().Add(skew) }}), &provision.Job{ID: "pair", State: provision.JobActive, Schema: &mapping.Schema{}}}
	if err := p.a.PutJob(t.Context(), p.job); err != nil {
		t.Fatal(err)
	}
	return p
}

// free runs fn in a Unit that claims nothing.
func (p *pair) free(s *Store, fn func(u provision.Unit) error) {
	p.Helper()
	if err := p.try(s, fn); err != nil {
		p.Error(err)
	}
}

func (p *pair) try(s *Store, fn func(u provision.Unit) error) error {
	return s.Unit(p.Context(), provision.Fence{JobPK: p.job.PK, Free: true}, fn)
}

func (p *pair) entry(anchor string) []provision.LogEntry {
	return []provision.LogEntry{{JobPK: p.job.PK, Anchor: anchor, Upload: 1, Status: provision.StatusSuccess, End: provision.EndCreated}}
}

// The log's times never go back, whichever process writes: a query by time relies on it.
func TestLogTimesOfSkewedClocks(t *testing.T) {
	p := newPair(t, -time.Hour)
	for i := range 10 {
		p.free([]*Store{p.a, p.b}[i%2], func(u provision.Unit) error { return u.Append(p.entry(fmt.Sprint(i))) })
	}
	page, err := p.b.QueryLog(t.Context(), provision.LogQuery{JobPK: p.job.PK, Ascending: true})
	if err != nil || len(page.Entries) != 10 {
		t.Fatalf("%d entries, %v", len(page.Entries), err)
	}
	for i, e := range page.Entries[1:] {
		if e.Seq <= page.Entries[i].Seq || e.Time.Before(page.Entries[i].Time) {
			t.Errorf("entry %d at %s comes after entry %d at %s", e.Seq, e.Time, page.Entries[i].Seq, page.Entries[i].Time)
		}
	}
}

// What is appended while a run of the log's index is made is found by its anchor all the same.
func TestRunBesideWriters(t *testing.T) {
	p := newPair(t, 0)
	const writers, each = 4, 60
	done := make(chan struct{})
	var runs, all sync.WaitGroup
	for _, s := range []*Store{p.a, p.b} {
		runs.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := s.db.write(t.Context(), func(c Conn) error {
					if err := query(c, "SELECT pg_advisory_xact_lock(?1)", []any{runsLock}, func(Row) error { return nil }); err != nil {
						return err
					}
					waits := false
					err := query(c, "SELECT 1 FROM log_block WHERE anchors IS NOT NULL LIMIT 1", nil, func(Row) error { waits = true; return nil })
					if err != nil || !waits {
						return err
					}
					return mergeBlocks(c)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for w := range writers {
		all.Go(func() {
			for i := range each {
				p.free([]*Store{p.a, p.b}[w%2], func(u provision.Unit) error { return u.Append(p.entry(fmt.Sprint(w, " ", i))) })
			}
		})
	}
	all.Wait()
	close(done)
	runs.Wait()
	for w := range writers {
		for i := range each {
			anchor := fmt.Sprint(w, " ", i)
			if page, err := p.a.QueryLog(t.Context(), provision.LogQuery{JobPK: p.job.PK, Anchor: anchor}); err != nil || len(page.Entries) != 1 {
				t.Fatalf("%d entries of %s are found, %v", len(page.Entries), anchor, err)
			}
		}
	}
}

// A job that another process has deleted takes no uploads: nobody would ever take them up.
func TestAcceptOfDeletedJob(t *testing.T) {
	p := newPair(t, 0)
	u := provision.Upload{Job: p.job, Received: time.Now(), Operations: []provision.Operation{{Anchor: "1"}}}
	if _, err := p.b.Accept(t.Context(), u, uuid.New(), 10); err != nil {
		t.Fatal(err)
	}
	gone := *p.job
	gone.State = provision.JobDeleted
	if err := p.a.PutJob(t.Context(), &gone); err != nil {
		t.Fatal(err)
	}
	if _, err := p.b.Accept(t.Context(), u, uuid.New(), 10); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("an upload for a job that is gone: %v", err)
	}
}
