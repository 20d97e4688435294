package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"induct/internal/scim"
	"induct/internal/sqlstore/pgtest"
)

// fake is a service that creates whoever it has not seen, at once.
type fake struct {
	mu      sync.Mutex
	seen    map[string]string
	uploads []map[string]int

	busy    int    // answers 429 before the first request is accepted
	forbid  string // a path that the client may not read
	broken  string // a path that answers 400
	forgets bool   // it does not know anybody again
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := r.URL.Path
	switch {
	case f.broken != "" && strings.HasSuffix(path, f.broken):
		http.Error(w, "out of order", http.StatusBadRequest)
	case f.forbid != "" && strings.HasSuffix(path, f.forbid):
		http.Error(w, "no", http.StatusForbidden)
	case strings.HasSuffix(path, "/token"):
		fmt.Fprint(w, `{"access_token":"t"}`)
	case strings.HasSuffix(path, "/pause"):
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(path, "/bulkUpload"):
		f.upload(w, r)
	case strings.Contains(path, "/uploads/"):
		n := 0
		fmt.Sscan(path[strings.LastIndexByte(path, '/')+1:], &n)
		json.NewEncoder(w).Encode(map[string]any{"state": "settled", "counts": f.uploads[n]})
	default: // users and logs
		fmt.Fprint(w, `{"value":[{"id":"1","activityDateTime":"2026-01-02T03:04:05Z","cycleId":"c"}]}`)
	}
}

func (f *fake) upload(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if f.busy > 0 {
		f.busy--
		http.Error(w, "later", http.StatusTooManyRequests)
		return
	}
	ops, err := scim.ParseBulk(body, scim.Limits{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	counts := map[string]int{}
	for _, op := range ops {
		before, known := f.seen[op.Anchor]
		switch {
		case !known || f.forgets:
			counts["created"]++
		case before == string(op.Data):
			counts["unchanged"]++
		default:
			counts["updated"]++
		}
		f.seen[op.Anchor] = string(op.Data)
	}
	w.Header().Set("x-induct-upload-id", fmt.Sprint(len(f.uploads)))
	f.uploads = append(f.uploads, counts)
	w.WriteHeader(http.StatusAccepted)
}

// bench measures f.
func (f *fake) bench(t *testing.T, change func(*Config)) (*Report, error) {
	t.Helper()
	f.seen = map[string]string{}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	cfg := Config{People: []int{230}, Connections: 4, Seed: 1, Least: time.Millisecond, Singles: 3, Queries: 4, Dir: t.TempDir(),
		Service: Service{Graph: s.URL + "/v1.0", Authority: s.URL + "/tenant", ClientID: "c", ClientSecret: "s", ServicePrincipal: "sp", Job: "j"}}
	if change != nil {
		change(&cfg)
	}
	report, err := Run(t.Context(), cfg)
	if left, _ := os.ReadDir(cfg.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return report, err
}

func namesOf(rs []Result) (names []string) {
	for _, r := range rs {
		names = append(names, r.Name)
	}
	return names
}

func TestRun(t *testing.T) {
	f := &fake{busy: 2}
	report, err := f.bench(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"create", "unchanged", "changed", "single", "single_visible", "log_query_job_time", "log_query_job_status", "log_query_cycle", "log_query_source"}
	if got := namesOf(report.Results); !slices.Equal(got, want) {
		t.Fatalf("results %v, want %v", got, want)
	}
	if r := report.Results[0]; r.Retries != 2 || r.Records != 230 || r.Outcomes["created"] != 230 || r.Floor != "bulk load" {
		t.Errorf("create: %+v", r)
	}
	if r := report.Results[2]; r.Records != 690 || r.Outcomes["updated"] != 9 || r.Others != 0 || r.Floor != "decode" || r.Ratio != r.PerSecond/r.FloorPerSecond {
		t.Errorf("changed: %+v", r)
	}
	if len(f.seen) != 233 {
		t.Errorf("%d people, want 233", len(f.seen))
	}
}

// TestRunFails holds that what goes wrong is said, and that what was measured before stays.
func TestRunFails(t *testing.T) {
	for _, c := range []struct {
		name    string
		f       *fake
		want    string // in the error; "" for none
		note    string
		results int
	}{
		{"sign in", &fake{broken: "/token"}, "sign in: ", "", 0},
		{"upload", &fake{broken: "/bulkUpload"}, "create: POST ", "", 0},
		{"outcome", &fake{forgets: true}, "unchanged: the service says map[created:230] where map[unchanged:230] is right", "", 1},
		{"users", &fake{broken: "/users"}, "single: GET ", "", 3},
		{"logs", &fake{broken: "/auditLogs/provisioning"}, "single: GET ", "", 3},
		{"no users", &fake{forbid: "/users"}, "", "single_visible was not measured", 8},
		{"no logs", &fake{forbid: "/auditLogs/provisioning"}, "", "log_query_… were not measured", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := c.f.bench(t, nil)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if len(report.Results) != c.results || report.Interrupted || !strings.Contains(strings.Join(report.Notes, "\n"), c.note) {
				t.Errorf("%v %+v", namesOf(report.Results), report.Notes)
			}
		})
	}
}

// TestServiceEnds holds that a service that dies is named as the cause, whatever breaks first.
func TestServiceEnds(t *testing.T) {
	f := &fake{}
	stopped := false
	report, err := f.bench(t, func(cfg *Config) {
		service := cfg.Service
		cfg.Start = func(_ context.Context, what, _ string) (*Running, error) {
			ended := make(chan error, 1)
			if what == "main" {
				ended <- errors.New("exit status 2")
				service.Graph = "http://127.0.0.1:1/v1.0"
			}
			return &Running{Service: service, Ended: ended, Stop: func() { stopped = true }}, nil
		}
	})
	if err == nil || !strings.Contains(err.Error(), "the service ended while it was measured: exit status 2") || !stopped {
		t.Errorf("error %v, stopped: %t", err, stopped)
	}
	if got := namesOf(report.Results); !slices.Equal(got, []string{"accept"}) {
		t.Errorf("results %v", got)
	}
}

// TestInterrupted holds that an interruption keeps what was measured.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{seen: map[string]string{}}
	s := httptest.NewServer(f)
	defer s.Close()
	report, err := Run(ctx, Config{People: []int{100}, Connections: 4, Least: time.Millisecond, Dir: t.TempDir(),
		Service: Service{Graph: s.URL, Authority: s.URL, ServicePrincipal: "sp", Job: "j"},
		Progress: func(phase, _ string, _, _ int) {
			if phase == "unchanged" {
				cancel()
			}
		}})
	if !errors.Is(err, context.Canceled) || !report.Interrupted || len(report.Results) != 1 {
		t.Errorf("%v, %+v", err, report)
	}
}

// TestFloors holds that each floor does all of its work, from the first byte to the last.
func TestFloors(t *testing.T) {
	w := Workforce{Seed: 1, People: 12_345}
	dir := t.TempDir()
	l, err := makeLoad(t.Context(), dir, w, w.shuffled(0), perRequest, nobody)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []floor{decodeFloor(5 * time.Millisecond), appendFloor(dir, 8, 5*time.Millisecond), bulkLoadFloor(dir, 0), copyFloor(pgtest.Database(t), 0)} {
		e, err := f.run(t.Context(), l)
		if err != nil || e.records == 0 || e.seconds <= 0 {
			t.Errorf("%s: %+v %v", f.name, e, err)
		}
		if (f.name == "bulk load" || f.name == "COPY") && e.records != w.People {
			t.Errorf("%d rows of %d people", e.records, w.People)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.run(ended, l); !errors.Is(err, context.Canceled) {
			t.Errorf("%s goes on after it was told to stop: %v", f.name, err)
		}
	}
	l.close()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestMedians(t *testing.T) {
	one := []Result{{Name: "create", PerSecond: 10}}
	if got := medians([][]Result{one}); got[0].Spread != nil || got[0].PerSecond != 10 {
		t.Errorf("one run: %+v", got)
	}
	run := func(speed, ratio float64, rss int64) []Result {
		return []Result{{Name: "create", PerSecond: speed, Ratio: ratio, PeakRSS: rss}, {Name: "single", P50: speed}}
	}
	got := medians([][]Result{run(30, .3, 7), run(10, .1, 9), run(20, .5, 8)})
	if r := got[0]; len(got) != 2 || r.PerSecond != 20 || r.Ratio != .3 || r.PeakRSS != 8 || r.Spread.Runs != 3 ||
		r.Spread.PerSecond != [2]float64{10, 30} || r.Spread.Ratio != [2]float64{.1, .5} {
		t.Errorf("three runs: %+v %+v", got, got[0].Spread)
	}
	if got := medians([][]Result{run(10, 1, 1), run(20, 1, 1)}); got[1].P50 != 15 {
		t.Errorf("two runs: %+v", got)
	}
	if got := medians([][]Result{run(10, 1, 1), nil}); len(got) != 2 || got[0].Spread.Runs != 1 {
		t.Errorf("a run that failed at once: %+v", got)
	}
}

func TestLines(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	p := lines(&out, 5*time.Second, func() time.Time { return now })
	p("create", "floor: bulk load", 0, 0)
	p("create", "floor: bulk load", 0, 0)
	for n := range 4 {
		p("create", "accepted", 1000*(n+1), 4000)
		now = now.Add(3 * time.Second)
	}
	want := "create: floor: bulk load\ncreate: accepted 1,000 of 4,000\ncreate: accepted 3,000 of 4,000\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestBars(t *testing.T) {
	var out strings.Builder
	p, end := bars(&out)
	p("create", "floor: bulk load", 0, 0)
	for n := range 1000 {
		p("create", "accepted", n, 1000)
	}
	end()
	p("single", "settled", 1, 1) // a phase may begin after the end
	end()
	for _, want := range []string{"create  floor: bulk load", "create  accepted", "single  settled"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not drawn: %q", want, out.String())
		}
	}
}

func TestPrint(t *testing.T) {
	rep := &Report{Version: "v1", Machine: Machine{CPUs: 2, Model: "A", OS: "linux", Arch: "amd64", Kernel: "6", Go: "go1.26"}, People: 1000, Connections: 64, Seed: 1,
		Repeat: 3, BytesPerRecord: 1249, Interrupted: true, Notes: []string{"A note."}, Results: []Result{
			{Name: "create", People: 100, Records: 100, PerSecond: 50_000, Micros: 20, CPUMicros: 30, Floor: "bulk load", FloorPerSecond: 100_000, Ratio: .5, P50: 1.5, PeakRSS: 64 << 20,
				Spread: &Spread{Runs: 3, PerSecond: [2]float64{40_000, 60_000}, Ratio: [2]float64{.4, .6}}},
			{Name: "create", People: 1000, Records: 1000, PerSecond: 25_000, Micros: 40, Retries: 3},
		}}
	var out strings.Builder
	if err := Print(&out, rep); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, want := range []string{"induct v1, 2 CPUs A, linux/amd64 6, go1.26", "1,000 people, seed 1, 64 connections, 1249 bytes a record; medians of 3",
		"50,000", "0.500", "bulk load", "records/s 40,000 to 60,000", "time of a record", "2.00 ×", "create: 3 requests were put off", "A note.", "Interrupted"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not stand in\n%s", want, got)
		}
	}
	for line := range strings.Lines(got) {
		if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
			t.Errorf("blanks at the end of %q", line)
		}
	}
}

func TestUsed(t *testing.T) {
	if u := used(0); u != (usage{}) {
		t.Errorf("nobody used %+v", u)
	}
	if u := used(-1); u != (usage{}) {
		t.Errorf("a process that is not there used %+v", u)
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		return // elsewhere these figures are left out
	}
	before, deadline := used(os.Getpid()).cpu, time.Now().Add(10*time.Second)
	for used(os.Getpid()).cpu < before+.02 {
		if time.Now().After(deadline) {
			t.Fatal("this process works, and its time stands still")
		}
	}
	if peakRSS(os.Getpid()) < 1<<20 {
		t.Errorf("this process has %d bytes", peakRSS(os.Getpid()))
	}
}
