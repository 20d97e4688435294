package sqlstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// A notice is due until it was sent or given up; what came of each attempt stands in it.
func TestDueNotices(t *testing.T) {
	s := fresh(t)
	if err := s.PutJob(t.Context(), &provision.Job{ID: "j", Schema: &mapping.Schema{}}); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	if err := s.Unit(t.Context(), provision.Fence{JobPK: 1}, func(u provision.Unit) error {
		for i, next := range []time.Time{in(time.Minute), in(-time.Minute), in(0), {}, in(-time.Minute)} {
			if err := u.Notify(provision.Notice{Kind: provision.NoticeDeletes, AppName: fmt.Sprint(i), Recipients: []string{"hr-it@acme.example"}, NextAttempt: next}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	due := func(at time.Time, limit int, want string) (ids map[string]int64) {
		t.Helper()
		all, err := s.DueNotices(t.Context(), at, limit)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		ids = map[string]int64{}
		for _, n := range all {
			names = append(names, n.AppName)
			ids[n.AppName] = n.ID
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("due at %v are %q, want %q", at, got, want)
		}
		return ids
	}
	due(in(-time.Hour), 10, "")
	ids := due(in(0), 10, "1 4 2")
	due(in(0), 2, "1 4")
	due(in(time.Minute), 10, "1 4 2 0")
	tried := func(name string, sent time.Time, text string, next time.Time) {
		t.Helper()
		if err := s.NoticeTried(t.Context(), provision.Notice{ID: ids[name], Sent: sent, Error: text, NextAttempt: next}); err != nil {
			t.Fatal(err)
		}
	}
	tried("1", now, "", time.Time{})                  // sent
	tried("4", time.Time{}, "refused", in(time.Hour)) // to be tried again
	tried("2", time.Time{}, "no such address", time.Time{})
	due(in(time.Minute), 10, "0")
	due(in(time.Hour), 10, "0 4")
	tried("4", in(time.Hour), "", time.Time{})
	due(in(time.Hour), 10, "0")
	if err := s.NoticeTried(t.Context(), provision.Notice{ID: 99, Sent: now}); err != nil { // there is none
		t.Error(err)
	}
	all, err := s.Notices(t.Context(), 1, 10)
	if err != nil || len(all) != 5 {
		t.Fatalf("%d notices: %v", len(all), err)
	}
	for i, want := range []struct {
		attempts int
		sent     time.Time
		text     string
		next     time.Time
	}{{2, in(time.Hour), "", time.Time{}}, {0, time.Time{}, "", time.Time{}}, {1, time.Time{}, "no such address", time.Time{}}, {1, now, "", time.Time{}}, {0, time.Time{}, "", in(time.Minute)}} {
		n := all[i]
		if n.Attempts != want.attempts || !n.Sent.Equal(want.sent) || n.Error != want.text || !n.NextAttempt.Equal(want.next) || n.Kind != provision.NoticeDeletes || len(n.Recipients) != 1 {
			t.Errorf("notice %s is %+v, want %+v", n.AppName, n, want)
		}
	}
}
