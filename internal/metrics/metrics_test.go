package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"induct/internal/provision"
)

var update = flag.Bool("update", false, "write testdata anew")

const jobID = "API2AAD.b16687d38faf42adb29892cdcaf01c6e.1a03de52-b9c3-4e2c-a1e3-9145aaa8e530"

var noon = time.Date(2026, 8, 20, 12, 0, 0, 0, time.UTC)

// fake is an Engine and a Store. What err holds fails by the name of the method; hang holds CheckWrite and JobStatus.
type fake struct {
	mu     sync.Mutex
	jobs   []*provision.Job
	status provision.JobStatus
	space  Space
	err    map[string]error
	hang   chan struct{} // closed: nothing hangs
	calls  atomic.Int64
}

func newFake() *fake {
	f := &fake{jobs: []*provision.Job{{PK: 1, ID: jobID, State: provision.JobActive}}, err: map[string]error{}, hang: make(chan struct{}),
		space: Space{Database: 4096, WAL: 512, Free: 1 << 30, Reserve: 64 << 20}}
	close(f.hang)
	return f
}

func (f *fake) fails(name string) error {
	f.calls.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err[name]
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) Jobs(context.Context) ([]*provision.Job, error) { return f.jobs, f.fails("Jobs") }

func (f *fake) JobStatus(context.Context, int64) (*provision.JobStatus, error) {
	<-f.hang
	return &f.status, f.fails("JobStatus")
}

func (f *fake) Space() (Space, error) {
	err := f.fails("Space")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.space, err
}

func (f *fake) CheckRead(context.Context) error { return f.fails("CheckRead") }

func (f *fake) CheckWrite(context.Context) error {
	<-f.hang
	return f.fails("CheckWrite")
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// used is a Metrics through which a little of everything has passed.
func used(f *fake) *Metrics {
	f.status = provision.JobStatus{Queued: 70, Oldest: noon.Add(-90 * time.Second), Cycle: 3, Users: 41, Uploads: 12,
		TotalCounts: map[provision.End]int64{provision.EndCreated: 40, provision.EndFailed: 2}}
	m := New(Config{Engine: f, Store: f, Version: "v1.2.3", Now: func() time.Time { return noon }})
	m.Request("POST", "/servicePrincipals/{sp}/synchronization/jobs/{job}/bulkUpload", 202, 3*time.Millisecond)
	m.Request("GET", "", 400, time.Millisecond)
	m.Token("issued")
	m.Token("invalid_client")
	m.Batch(provision.Batch{JobID: jobID, Cycle: 3, Uploads: 2, Records: 100, Duration: 40 * time.Millisecond})
	m.Batch(provision.Batch{JobID: jobID, Cycle: 3, Reevaluation: 1, Records: 16, Duration: 4 * time.Millisecond})
	m.Dropped("log", 500)
	return m
}

// What is shown is written down: a name or label that changes breaks somebody's alert.
func TestGolden(t *testing.T) {
	var got strings.Builder
	for line := range strings.Lines(scrape(t, used(newFake()))) {
		if strings.HasPrefix(line, "# HELP induct_") || strings.HasPrefix(line, "# TYPE induct_") || strings.HasPrefix(line, "induct_") {
			got.WriteString(line)
		}
	}
	text := strings.Replace(got.String(), fmt.Sprintf("goversion=%q", runtime.Version()), `goversion="go"`, 1)
	const file = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("go test -update writes %s anew if this is meant:\n%s", file, text)
	}
}

// Every metric is as Prometheus wants them: base units, _total, help texts.
func TestLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrape(t, used(newFake())))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if problems, err := testutil.GatherAndLint(used(newFake()).registry); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// Runtime and process are shown too.
func TestRuntimeAndProcess(t *testing.T) {
	text := scrape(t, used(newFake()))
	for _, name := range []string{"go_goroutines", "go_gc_duration_seconds", "process_start_time_seconds"} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// However many paths and methods are tried, the series do not grow.
func TestBoundedSeries(t *testing.T) {
	m := New(Config{Engine: newFake(), Store: newFake()})
	for i := range 1000 {
		m.Request(fmt.Sprint("METHOD", i), "", 400, 0)
	}
	if n := testutil.CollectAndCount(m.requests) + testutil.CollectAndCount(m.durations); n != 2 {
		t.Errorf("%d series", n)
	}
}

// What a job says of itself, in its states.
func TestJobFacts(t *testing.T) {
	for name, c := range map[string]struct {
		state  provision.JobState
		status provision.JobStatus
		want   []string
	}{
		"nothing yet": {provision.JobPaused, provision.JobStatus{}, []string{
			`induct_job_state{job_id="J",state="Paused"} 1`, `induct_job_state{job_id="J",state="Active"} 0`, `induct_job_records_total{end="created",job_id="J"} 0`,
			`induct_job_oldest_queued_record_age_seconds{job_id="J"} 0`, `induct_job_reevaluation_running{job_id="J"} 0`}},
		"a state that is new": {"Quarantined", provision.JobStatus{}, []string{`induct_job_state{job_id="J",state="Quarantined"} 1`, `induct_job_state{job_id="J",state="Active"} 0`}},
		"waiting":             {provision.JobActive, provision.JobStatus{Queued: 5, Oldest: noon.Add(-time.Hour)}, []string{`induct_job_queued_records{job_id="J"} 5`, `induct_job_oldest_queued_record_age_seconds{job_id="J"} 3600`}},
		"the clock went back": {provision.JobActive, provision.JobStatus{Queued: 5, Oldest: noon.Add(time.Hour)}, []string{`induct_job_oldest_queued_record_age_seconds{job_id="J"} 0`}},
		"re-evaluation":       {provision.JobActive, provision.JobStatus{Reevaluation: &provision.Reevaluation{Number: 1}}, []string{`induct_job_reevaluation_running{job_id="J"} 1`}},
		"it has ended":        {provision.JobActive, provision.JobStatus{Reevaluation: &provision.Reevaluation{Number: 1, Ended: noon}}, []string{`induct_job_reevaluation_running{job_id="J"} 0`}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.jobs = []*provision.Job{{ID: "J", State: c.state}}
			f.status = c.status
			text := scrape(t, New(Config{Engine: f, Store: f, Now: func() time.Time { return noon }}))
			for _, line := range c.want {
				if !strings.Contains(text, line+"\n") {
					t.Errorf("%s is missing", line)
				}
			}
		})
	}
}

// A source that fails or hangs is said to be down, and the others are shown.
func TestSourceDown(t *testing.T) {
	for name, c := range map[string]struct {
		broken  func(f *fake)
		down    string
		missing string
		there   string
	}{
		"jobs fail":   {func(f *fake) { f.err["Jobs"] = errors.New("x") }, "jobs", "induct_job_", "induct_store_free_bytes"},
		"status fail": {func(f *fake) { f.err["JobStatus"] = errors.New("x") }, "jobs", "induct_job_", "induct_store_free_bytes"},
		"jobs hang":   {func(f *fake) { f.hang = make(chan struct{}) }, "jobs", "induct_job_", "induct_store_free_bytes"},
		"store fails": {func(f *fake) { f.err["Space"] = errors.New("x") }, "store", "induct_store_", "induct_job_queued_records"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				c.broken(f)
				began := time.Now()
				text := scrape(t, New(Config{Engine: f, Store: f}))
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("it took %s", took)
				}
				if !strings.Contains(text, fmt.Sprintf("induct_source_up{source=%q} 0\n", c.down)) || strings.Contains(text, "\n"+c.missing) || !strings.Contains(text, "\n"+c.there) {
					t.Errorf("shown:\n%s", text)
				}
				select {
				case <-f.hang:
				default:
					close(f.hang)
				}
			})
		})
	}
}

// What is free may not be known.
func TestFreeSpaceUnknown(t *testing.T) {
	f := newFake()
	f.space.Free = -1
	if text := scrape(t, New(Config{Engine: f, Store: f})); strings.Contains(text, "induct_store_free_bytes") || !strings.Contains(text, "induct_store_reserve_bytes") {
		t.Errorf("shown:\n%s", text)
	}
}

// However many scrape, the engine is asked once a second.
func TestScrapesShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		m := New(Config{Engine: f, Store: f})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := m.registry.Gather(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := f.calls.Load(); n != 3 { // jobs, status, space
			t.Errorf("asked %d times", n)
		}
		time.Sleep(time.Second)
		scrape(t, m)
		if n := f.calls.Load(); n != 6 {
			t.Errorf("asked %d times after a second", n)
		}
	})
}

// Metrics are for the machine itself, as far as that can be told.
func TestLocalOnly(t *testing.T) {
	for name, c := range map[string]struct {
		peer    string
		header  string
		proxied bool
		status  int
	}{
		"IPv4":                {"127.0.0.1:5555", "", false, 200},
		"elsewhere in 127/8":  {"127.8.9.1:5555", "", false, 200},
		"IPv6":                {"[::1]:5555", "", false, 200},
		"IPv4 in IPv6":        {"[::ffff:127.0.0.1]:5555", "", false, 200},
		"another machine":     {"192.0.2.7:5555", "", false, 404},
		"a private address":   {"10.0.0.1:5555", "", false, 404},
		"another machine, v6": {"[2001:db8::1]:5555", "", false, 404},
		"no address":          {"@", "", false, 404},
		"X-Forwarded-For":     {"127.0.0.1:5555", "X-Forwarded-For", false, 404},
		"in another case":     {"127.0.0.1:5555", "x-forwarded-for", false, 404},
		"X-Forwarded-Host":    {"127.0.0.1:5555", "X-Forwarded-Host", false, 404},
		"X-Forwarded-Proto":   {"[::1]:5555", "X-Forwarded-Proto", false, 404},
		"Forwarded":           {"127.0.0.1:5555", "Forwarded", false, 404},
		"Via":                 {"127.0.0.1:5555", "Via", false, 404},
		"X-Real-IP":           {"127.0.0.1:5555", "X-Real-IP", false, 404},
		"another header":      {"127.0.0.1:5555", "X-Requested-With", false, 200},
		"behind a proxy":      {"127.0.0.1:5555", "", true, 404},
	} {
		t.Run(name, func(t *testing.T) {
			h := LocalOnly(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "figures") }), c.proxied)
			r := httptest.NewRequest("GET", "/metrics", nil)
			r.RemoteAddr = c.peer
			if c.header != "" {
				r.Header.Set(c.header, "127.0.0.1")
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != c.status || c.status == 404 && !strings.Contains(rec.Body.String(), "--metrics-listen") || strings.Contains(rec.Body.String(), "figures") != (c.status == 200) {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
}

// An empty header counts: the proxy is there all the same.
func TestLocalOnlyEmptyHeader(t *testing.T) {
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header["X-Forwarded-For"] = nil
	if local(r) {
		t.Error("it is taken for local")
	}
}

// Everything may happen at once.
func TestConcurrentUse(t *testing.T) {
	f := newFake()
	m := used(f)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				m.Request("GET", "/users", 200, time.Duration(i)*time.Millisecond)
				m.Token("issued")
				m.Batch(provision.Batch{JobID: jobID, Records: 1})
				if _, err := m.registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := testutil.ToFloat64(m.tokens.WithLabelValues("issued")); n != 401 {
		t.Errorf("%v tokens", n)
	}
}

// Every fact has a name of its own.
func TestFactNames(t *testing.T) {
	var names []string
	for _, f := range jobFacts() {
		if slices.Contains(names, f.name) || !strings.HasPrefix(f.name, "induct_job_") {
			t.Errorf("%s", f.name)
		}
		names = append(names, f.name)
	}
}

// The manual lists what is shown, and nothing else.
func TestManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for line := range strings.Lines(scrape(t, used(newFake()))) {
		if name, ok := strings.CutPrefix(line, "# TYPE induct_"); ok {
			name, _, _ = strings.Cut("induct_"+name, " ")
			shown[name] = true
			if !strings.Contains(string(manual), "| `"+name+"` |") {
				t.Errorf("%s is not in the manual's table", name)
			}
		}
	}
	for _, name := range regexp.MustCompile(`\binduct_[a-z_]+`).FindAllString(string(manual), -1) {
		if !shown[name] && !strings.HasSuffix(name, "_") { // of a group
			t.Errorf("the manual has %s, which is not shown", name)
		}
	}
}
