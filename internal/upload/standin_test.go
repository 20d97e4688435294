package upload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"induct/internal/upload/uploadtest"
)

// standIn returns a client of s.
func standIn(t *testing.T, s *uploadtest.Service) *Client {
	t.Helper()
	c, err := New(Config{Graph: uploadtest.Graph, ServicePrincipal: uploadtest.ServicePrincipal, Job: uploadtest.Job, Transport: s,
		Credentials: Credentials{Authority: uploadtest.Authority, ClientID: uploadtest.ClientID, ClientSecret: uploadtest.Secret}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// arrived checks that all n rows of a list have arrived, each person's in their order, and once unless twice is allowed;
// but none of those who are absent.
func arrived(t *testing.T, s *uploadtest.Service, n int, twice bool, absent ...string) {
	t.Helper()
	for _, p := range s.Problems() {
		t.Error(p)
	}
	titles := map[string]string{}
	rows := s.Rows()
	for _, row := range rows {
		titles[row.Anchor] += row.Title
	}
	if people := (n+2)/3 - len(absent); len(titles) != people {
		t.Errorf("%d people of %d", len(titles), people)
	}
	for _, anchor := range absent {
		if titles[anchor] != "" {
			t.Errorf("person %s is there", anchor)
		}
	}
	for anchor, got := range titles {
		// A request that is repeated brings the rows of a person that are in it again, never an earlier one alone.
		if ok := got == "012" || twice && strings.HasSuffix(got, "2") && strings.Contains(got, "01") && strings.Contains(got, "12"); !ok {
			t.Errorf("person %s arrived as %q", anchor, got)
		}
	}
	if n -= 3 * len(absent); !twice && len(rows) != n {
		t.Errorf("%d rows of %d", len(rows), n)
	}
}

// The pace stays near a strict limit, with few refusals, whether or not these say when to come again.
func TestPace(t *testing.T) {
	for name, tc := range map[string]struct {
		s    *uploadtest.Service
		most int // refusals
	}{
		"40 in 5 s":                {&uploadtest.Service{Requests: 40, Window: 5 * time.Second, Latency: 100 * time.Millisecond}, 20},
		"40 in 5 s, slow":          {&uploadtest.Service{Requests: 40, Window: 5 * time.Second, Latency: 700 * time.Millisecond}, 20},
		"40 in 5 s, not told when": {&uploadtest.Service{Requests: 40, Window: 5 * time.Second, Latency: 100 * time.Millisecond, NoRetryAfter: true}, 40},
		"40 in 1 s":                {&uploadtest.Service{Requests: 40, Window: time.Second, Latency: 20 * time.Millisecond}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const requests = 960
				s := tc.s
				sum, err := standIn(t, s).Run(t.Context(), &list{n: 50 * requests}, Options{Until: StateAccepted, Concurrency: 16}, nil)
				if err != nil || sum.Requests != requests {
					t.Fatalf("%v, %+v", err, sum)
				}
				arrived(t, s, 50*requests, false)
				ideal := s.Window * requests / time.Duration(s.Requests)
				all, refused := s.Posts()
				t.Logf("%d requests in %s, ideally %s; %d refused", all, sum.Elapsed.Round(time.Second), ideal, refused)
				if sum.Elapsed > ideal*5/4 || refused > tc.most {
					t.Errorf("%s for what takes %s, %d refusals", sum.Elapsed, ideal, refused)
				}
			})
		})
	}
}

// Every trouble there is, many times: all arrives, in order, once; and ends are known.
func TestTrouble(t *testing.T) {
	for i := range 6 {
		receipts := i%2 == 0
		n := []int{3000, 300, 150}[i/2] // the fewer there are, the more often a person's request waits for an earlier one
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(7, 8))
			s := &uploadtest.Service{Receipts: receipts, Latency: 30 * time.Millisecond, LogDelay: time.Minute,
				Trouble: func(int) uploadtest.Trouble { return uploadtest.Trouble(max(rnd.IntN(10)-4, 0)) }}
			sum, err := standIn(t, s).Run(t.Context(), &list{n: n}, Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			arrived(t, s, n, !receipts)
			if sum.Read != n || sum.Accepted != n || sum.Unknown != 0 || sum.Requests != n/50 || sum.Ends["created"] != n || !sum.Followed || ExitCode(sum, err) != ExitOK {
				t.Errorf("%+v", sum)
			}
			if lost := len(s.Rows()) - n; receipts && sum.Repeated != 0 || lost > 0 && sum.Repeated == 0 {
				t.Errorf("%d rows are said to be sent twice, %d were", sum.Repeated, lost)
			}
		})
	}
}

// A quota that is used up ends the run if that is too long to wait, and says when to come again; the next run goes on.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &uploadtest.Service{Daily: 12, LogDelay: time.Minute, Latency: time.Millisecond}
		const n = 1500
		path := filepath.Join(t.TempDir(), "j")
		var got Summary
		for day := 0; ; day++ {
			j, err := OpenJournal(path, "f", false)
			if err != nil {
				t.Fatal(err)
			}
			sum, err := standIn(t, s).Run(t.Context(), &list{n: n}, Options{Journal: j}, nil)
			kept, e := j.Close(err == nil)
			if e != nil {
				t.Fatal(e)
			}
			if err == nil {
				got = sum
				break
			}
			var late *ServiceError
			if !errors.As(err, &late) || late.Status != 429 || late.Resumes.IsZero() || !strings.Contains(err.Error(), "takes requests again at") || !strings.Contains(err.Error(), "--max-wait") || ExitCode(sum, err) != ExitService || !kept {
				t.Fatalf("day %d: %v", day, err)
			}
			if day > 3 {
				t.Fatal("it comes to no end")
			}
			time.Sleep(time.Until(late.Resumes))
		}
		arrived(t, s, n, false)
		if got.Accepted != n || got.Resumed != 24*50 || got.Ends["created"] != n || s.Stored() != n/50 {
			t.Errorf("%+v", got)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the journal of a finished run is still there")
		}
	})
}

// With patience the run waits for the quota by itself, and tells until when.
func TestQuotaWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &uploadtest.Service{Daily: 2, Receipts: true}
		var until time.Time
		sum, err := standIn(t, s).Run(t.Context(), &list{n: 300}, Options{Retry: Retry{Wait: 72 * time.Hour}}, func(e Event) {
			if r, ok := e.(Retried); ok && r.Wait > time.Hour && strings.Contains(r.Cause, "quota") {
				until = r.Until
			}
		})
		if err != nil || sum.Accepted != 300 || sum.Elapsed < 48*time.Hour || sum.Elapsed > 49*time.Hour || until.IsZero() {
			t.Errorf("%v, %+v, until %v", err, sum, until)
		}
	})
}

// killed runs until the context ends by itself, as often as it takes, and each time leaves the journal as a power failure might.
func killed(t *testing.T, s *uploadtest.Service, n int, rnd *rand.Rand, torn bool) (Summary, int) {
	path := filepath.Join(t.TempDir(), "j")
	for kills := 0; ; kills++ {
		j, err := OpenJournal(path, "f", false)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if kills < 12 {
			time.AfterFunc(time.Duration(rnd.IntN(2500))*time.Millisecond, cancel)
		}
		sum, err := standIn(t, s).Run(ctx, &list{n: n}, Options{Journal: j, Concurrency: 5}, nil)
		cancel()
		if err == nil {
			if _, err := j.Close(true); err != nil {
				t.Fatal(err)
			}
			return sum, kills
		}
		j.f.Close()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if head := strings.IndexByte(string(text), '\n') + 1; torn {
			cut := head + rnd.IntN(len(text)-head+1)
			if err := os.WriteFile(path, text[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // what was under way ends at the service
	}
}

// A client that is killed at any moment, with any end of its journal lost, goes on: nothing is missing, and nothing is
// there twice if the service knows repeated requests.
func TestKilled(t *testing.T) {
	for round := range 12 {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(round), 3))
			receipts, torn := round%2 == 0, round%4 < 2
			trouble := rand.New(rand.NewPCG(uint64(round), 4)) // used by the service's goroutines
			s := &uploadtest.Service{Receipts: receipts, Latency: 100 * time.Millisecond, LogDelay: 2 * time.Second, MaxBytes: 2500,
				Trouble: func(int) uploadtest.Trouble { return uploadtest.Trouble(max(trouble.IntN(30)-24, 0)) },
				Outcome: func(anchor string) (string, string) {
					if anchor == "7" {
						return "failed", "DuplicateValue"
					}
					return "created", ""
				},
				Refuse: func(anchor string) bool { return anchor == "11" }}
			const n = 1500
			sum, kills := killed(t, s, n, rnd, torn)
			arrived(t, s, n, !receipts, "11")
			updated := 0
			if !receipts { // the first of two copies may lie before what the torn journal remembers
				updated = sum.Ends["updated"]
			}
			if kills == 0 || sum.Accepted != n-3 || sum.Refused != 3 || sum.Ends["created"]+updated != n-6 || sum.Ends["failed"] != 6 || len(sum.Failed) != 6 || sum.Failed[0].Line != 9 {
				t.Errorf("round %d, %d kills: %+v", round, kills, sum)
			}
		})
	}
}

// A request that is too large is halved until it fits; a record that alone is too large fails.
func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &uploadtest.Service{Receipts: true, MaxBytes: 1000}
		sum, err := standIn(t, s).Run(t.Context(), &list{n: 300, long: 120}, Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if sum.Accepted != 299 || sum.Refused != 1 || sum.Ends["created"] != 299 || sum.Ends["failed"] != 1 || ExitCode(sum, err) != ExitFailed {
			t.Errorf("%+v", sum)
		}
		if f := sum.Failed[0]; f.Line != 122 || f.Code != "RequestEntityTooLarge" || f.Advice == "" {
			t.Errorf("%+v", f)
		}
	})
}

// A record that the service names as bad fails alone.
func TestBadOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := []string{"3", "4", "99"} // three rows each
		s := &uploadtest.Service{Receipts: true, Refuse: func(anchor string) bool { return slices.Contains(bad, anchor) }}
		sum, err := standIn(t, s).Run(t.Context(), &list{n: 300}, Options{}, nil)
		if err != nil || sum.Accepted != 291 || sum.Refused != 9 || sum.Ends["failed"] != 9 || ExitCode(sum, err) != ExitFailed {
			t.Errorf("%v, %+v", err, sum)
		}
		if f := sum.Failed[0]; f.Line != 5 || f.Anchor != "3" || !strings.Contains(f.Reason, "not good") {
			t.Errorf("%+v", f)
		}
	})
}

// A service that refuses everything is not asked for ever.
func TestAllRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &uploadtest.Service{Refuse: func(string) bool { return true }}
		sum, err := standIn(t, s).Run(t.Context(), &list{n: 3000}, Options{Concurrency: 1}, nil)
		if all, _ := s.Posts(); err == nil || !strings.Contains(err.Error(), "Operations[0]") || all > mostRefusals+1 || ExitCode(sum, err) != ExitService {
			t.Errorf("%v after %d posts", err, all)
		}
	})
}

func fate(anchor string) (end, code string) {
	var n int
	fmt.Sscan(anchor, &n)
	switch n % 10 {
	case 1:
		return "unchanged", ""
	case 2:
		return "skipped", "EntrySynchronizationSkipped"
	case 3:
		return "failed", "AzureActiveDirectoryInvalidUserPrincipalName"
	case 4:
		return "", ""
	}
	return "created", ""
}

// Without receipts the outcomes are read in the provisioning log, however late they come.
func TestFollowLog(t *testing.T) {
	const n = 600 // 200 people, 20 of each fate
	want := map[string]int{"created": 360, "unchanged": 60, "skipped": 60, "failed": 60}
	for name, tc := range map[string]struct {
		s       *uploadtest.Service
		timeout time.Duration
		rest    string // the end of those of whom the log says nothing
		exit    int
		within  time.Duration
	}{
		"a cycle ends":       {&uploadtest.Service{Cycles: 40 * time.Minute}, 0, "unlogged", ExitFailed, 2 * time.Hour},
		"job not readable":   {&uploadtest.Service{}, 0, "unknown", ExitService, 2*time.Hour + time.Minute},
		"less patience":      {&uploadtest.Service{}, time.Hour, "unknown", ExitService, time.Hour + time.Minute},
		"no patience at all": {&uploadtest.Service{}, time.Minute, "", ExitService, 2 * time.Minute},
		"log not readable":   {&uploadtest.Service{NoLog: true}, 0, "", ExitService, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := tc.s
				s.LogDelay, s.Outcome, s.Requests, s.Window = 45*time.Minute, fate, 40, 5*time.Second
				// What happened before must not count.
				if _, err := standIn(t, s).Run(t.Context(), &list{n: 300}, Options{Until: StateAccepted}, nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Minute)
				sum, err := standIn(t, s).Run(t.Context(), &list{n: n}, Options{Timeout: tc.timeout}, nil)
				if err != nil || ExitCode(sum, err) != tc.exit || sum.Elapsed > tc.within || sum.Note == "" {
					t.Errorf("%v, exit %d, %+v", err, ExitCode(sum, err), sum)
				}
				total := 0
				for _, count := range sum.Ends {
					total += count
				}
				if total != n {
					t.Errorf("%d ends of %d rows: %v", total, n, sum.Ends)
				}
				if tc.rest == "" {
					if sum.Ends["unknown"] != n {
						t.Errorf("%v", sum.Ends)
					}
					return
				}
				for end, count := range want {
					if sum.Ends[end] != count {
						t.Errorf("%d %s, want %d", sum.Ends[end], end, count)
					}
				}
				if sum.Ends[tc.rest] != 60 || len(sum.Failed) != 60 || len(sum.Skipped) != 60 || sum.Reasons["AzureActiveDirectoryInvalidUserPrincipalName"] != 60 {
					t.Errorf("%v, %v, %d failed", sum.Ends, sum.Reasons, len(sum.Failed))
				}
				if f := sum.Failed[0]; f.Line != 5 || f.Anchor != "3" || f.Reason != "because" || f.Advice != "Do something." {
					t.Errorf("%+v", f)
				}
			})
		})
	}
}

// What waits for people or for retries is said, and not waited for; what is only held until its cycle ends is.
func TestWaiting(t *testing.T) {
	end := func(anchor string) (string, string) {
		var n int
		fmt.Sscan(anchor, &n)
		switch n % 10 {
		case 1:
			return "held", "TooManyDeletes"
		case 2:
			return "retrying", "Timeout"
		case 3:
			return "disabled", ""
		case 4:
			return "failed", "DuplicateValue"
		}
		return "created", ""
	}
	const n = 600 // 200 people, three rows each
	for name, tc := range map[string]struct {
		s     *uploadtest.Service
		until State
		want  map[string]int
		exit  int
		most  time.Duration // from the time when the last outcome is known
		words []string
	}{
		"done":          {&uploadtest.Service{Receipts: true, Outcome: end, Held: 3 * time.Second}, StateDone, map[string]int{"held": 60, "retrying": 60, "disabled": 60, "failed": 60, "created": 360}, ExitFailed, 10 * time.Second, []string{"60 rows", "induct job held", "induct job escrows", "Do not send"}},
		"settled":       {&uploadtest.Service{Receipts: true, Outcome: end, Held: 3 * time.Second}, StateSettled, map[string]int{"held": 60, "retrying": 60, "disabled": 60, "failed": 60, "created": 360}, ExitFailed, 10 * time.Second, []string{"induct job held"}},
		"cycle is open": {&uploadtest.Service{Receipts: true, Outcome: end, Held: time.Hour}, StateSettled, map[string]int{"held": 120, "retrying": 60, "failed": 60, "created": 360}, ExitFailed, 4 * time.Minute, []string{"120 rows"}},
		"only retrying": {&uploadtest.Service{Receipts: true, Outcome: func(string) (string, string) { return "retrying", "Timeout" }}, StateSettled, map[string]int{"retrying": n}, ExitFailed, 5 * time.Second, []string{"600 rows", "induct job escrows"}},
		"only disables": {&uploadtest.Service{Receipts: true, Outcome: func(string) (string, string) { return "disabled", "" }, Held: 2 * time.Second}, StateDone, map[string]int{"disabled": n}, ExitOK, 10 * time.Second, nil},
		"no receipts":   {&uploadtest.Service{Outcome: end}, StateSettled, map[string]int{"held": 60, "disabled": 60, "failed": 120, "created": 360}, ExitFailed, 5 * time.Minute, []string{"provisioning page"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.s.LogDelay = time.Minute
				sum, err := standIn(t, tc.s).Run(t.Context(), &list{n: n}, Options{Until: tc.until}, nil)
				if err != nil || ExitCode(sum, err) != tc.exit || sum.Elapsed > time.Minute+tc.most {
					t.Errorf("%v, exit %d after %s", err, ExitCode(sum, err), sum.Elapsed)
				}
				if !maps.Equal(sum.Ends, tc.want) {
					t.Errorf("%v, want %v", sum.Ends, tc.want)
				}
				waits := tc.want["held"] + tc.want["retrying"]
				if len(sum.Waiting) != waits || len(sum.Failed) != tc.want["failed"] || sum.Reasons["TooManyDeletes"] != 0 {
					t.Errorf("%d rows wait, %d failed, reasons %v", len(sum.Waiting), len(sum.Failed), sum.Reasons)
				}
				if sum.Followed != (tc.until == StateDone || waits == 0) {
					t.Errorf("followed: %v", sum.Followed)
				}
				for _, w := range tc.words {
					if !strings.Contains(sum.Note, w) {
						t.Errorf("%q is not in %q", w, sum.Note)
					}
				}
				if waits == 0 && sum.Note != "" {
					t.Errorf("note %q", sum.Note)
				}
			})
		})
	}
}

// A host that has never answered is not tried for as long as one that has.
func TestFirstContact(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		met  bool
		want time.Duration
	}{
		"no such host":            {&net.DNSError{Err: "no such host", Name: "graph.example", IsNotFound: true}, false, 0},
		"no such host any more":   {&net.DNSError{Err: "no such host", Name: "graph.example", IsNotFound: true}, true, time.Hour},
		"connection refused":      {errors.New("connection refused"), false, time.Minute},
		"connection refused, now": {errors.New("connection refused"), true, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &uploadtest.Service{}
			down := false
			c := standIn(t, s)
			c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "graph.example" && (down || !tc.met) {
					return nil, tc.err
				}
				down = down || r.URL.Host == "graph.example"
				return s.RoundTrip(r)
			})
			sum, err := c.Run(t.Context(), &list{n: 150}, Options{Until: StateAccepted, Concurrency: 1}, nil)
			if err == nil || sum.Elapsed > tc.want || sum.Elapsed < tc.want*2/5 || !strings.Contains(err.Error(), tc.err.Error()) {
				t.Errorf("%s: tried for %s: %v", name, sum.Elapsed, err)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
