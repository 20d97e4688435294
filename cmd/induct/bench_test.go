package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quick makes a bench short: the figures say nothing, all else does.
var quick = []string{"bench", "--people", "500", "--least", "20ms", "--singles", "5", "--queries", "5"}

// benchReport is the part of the JSON that other programs build on.
type benchReport struct {
	People  int
	Seed    uint64
	Machine struct {
		CPUs int
		OS   string
		Go   string
	}
	Results []struct {
		Name           string
		People         int
		Records        int
		Seconds        float64
		PerSecond      float64 `json:"per_second"`
		Micros         float64 `json:"microseconds_per_record"`
		CPU            float64 `json:"cpu_seconds"`
		Floor          string
		FloorPerSecond float64 `json:"floor_per_second"`
		Ratio          float64
		P50            float64 `json:"p50_ms"`
		P99            float64 `json:"p99_ms"`
		PeakRSS        int64   `json:"peak_rss_bytes"`
		Disk           int64   `json:"disk_bytes"`
		Outcomes       map[string]int
		Spread         *struct{ Runs int }
	}
	Notes       []string
	Interrupted bool
}

func parseReport(t *testing.T, text string) (r benchReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return r
}

// A bench of everything gives each figure, and leaves nothing behind.
func TestBench(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var profiles []string
	args := append(quick, "--json", "--repeat", "2")
	for _, kind := range []string{"cpuprofile", "memprofile", "blockprofile", "mutexprofile", "trace"} {
		file := filepath.Join(dir, kind)
		args = append(args, "--"+kind, file)
		profiles = append(profiles, file, file+".accept", file+".create")
	}
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	r := execute(t, append(args, "--dir", work)...)
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	report := parseReport(t, r.stdout)
	if report.People != 500 || report.Seed != 1 || report.Machine.CPUs < 1 || report.Machine.Go == "" || report.Interrupted || len(report.Notes) > 0 {
		t.Errorf("report %+v", report)
	}
	floors := map[string]string{"accept": "append", "create": "bulk load", "unchanged": "decode", "changed": "decode", "single": "append"}
	var names []string
	for _, m := range report.Results {
		names = append(names, m.Name)
		if m.Records < 1 || m.People != 500 || m.Seconds <= 0 || m.PerSecond <= 0 || m.Micros <= 0 || m.P50 <= 0 || m.P99 < m.P50 || m.Spread == nil || m.Spread.Runs != 2 {
			t.Errorf("%+v", m)
		}
		if m.Floor != floors[m.Name] || m.Floor != "" && (m.FloorPerSecond <= 0 || m.Ratio <= 0) {
			t.Errorf("%s: floor %q of %f, ratio %f", m.Name, m.Floor, m.FloorPerSecond, m.Ratio)
		}
		if m.Floor != "" && (m.Disk == 0 || report.Machine.OS == "linux" && m.PeakRSS == 0) {
			t.Errorf("%s: %d bytes of memory, %d on disk", m.Name, m.PeakRSS, m.Disk)
		}
	}
	if got := strings.Join(names, " "); got != "accept create unchanged changed single single_visible log_query_job_time log_query_job_status log_query_cycle log_query_source" {
		t.Errorf("results %s", got)
	}
	if r := report.Results[1]; r.Records != 1500 || r.Outcomes["created"] != 1500 {
		t.Errorf("create, each time on a fresh service: %+v", r)
	}
	if got := report.Results[3].Outcomes; got["updated"] != 15 || got["unchanged"] != 1485 {
		t.Errorf("changed: %v", got)
	}
	for _, f := range profiles {
		if info, err := os.Stat(f); err != nil || info.Size() == 0 {
			t.Errorf("profile %s: %v", f, err)
		}
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// The table for people has the same measurements, and growth between sizes.
func TestBenchSizes(t *testing.T) {
	slow(t)
	t.Parallel()
	r := execute(t, "bench", "--sizes", "100,0.2k", "--least", "20ms")
	if r.code != 1 || !strings.Contains(r.stderr, `"0.2k" people`) {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	r = execute(t, "bench", "--sizes", "100,300", "--least", "20ms", "--singles", "2", "--queries", "2")
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	for _, want := range []string{"bulk load", "log_query_source", "time of a record", "1.00 ×"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q does not stand in\n%s", want, r.stdout)
		}
	}
}

// benchURL runs a bench of a running service.
func benchURL(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	endpoint := env["GRAPH_BASE"] + "/servicePrincipals/" + env["SP_ID"] + "/synchronization/jobs/" + env["JOB_ID"] + "/bulkUpload"
	cmd := command(ctx, append(append(quick, "--json", "--url", endpoint), args...)...)
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Run()
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// A running service is measured as it is: twice, each time with new people, and not at all if it is elsewhere.
func TestBenchURL(t *testing.T) {
	slow(t)
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	for range 2 {
		r := benchURL(t, p.env)
		if r.code != 0 {
			t.Fatalf("exit code %d: %s", r.code, r.stderr)
		}
		report := parseReport(t, r.stdout)
		if first := report.Results[0]; first.Name != "create" || first.Outcomes["created"] != 500 || first.PeakRSS != 0 || first.Disk != 0 || first.CPU != 0 {
			t.Errorf("%+v", first)
		}
	}
	elsewhere := map[string]string{"GRAPH_BASE": "https://induct.example/v1.0", "AUTHORITY": "https://induct.example/t", "CLIENT_ID": "a", "CLIENT_SECRET": "b", "SP_ID": "c", "JOB_ID": "d"}
	if r := benchURL(t, elsewhere); r.code != 1 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	wrong := map[string]string{}
	for k, v := range p.env {
		wrong[k] = v
	}
	wrong["CLIENT_SECRET"] = "wrong"
	if r := benchURL(t, wrong); r.code != 3 || !strings.Contains(r.stderr, "sign in") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// The same seed a second time creates nobody, and that is said instead of a figure.
func TestBenchSaysWhatItDidNotMeasure(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	if r := benchURL(t, p.env, "--seed", "5"); r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	r := benchURL(t, p.env, "--seed", "5")
	if r.code != 3 || !strings.Contains(r.stderr, "where map[created:500] is right") || len(parseReport(t, r.stdout).Results) != 0 {
		t.Errorf("exit code %d: %s%s", r.code, r.stderr, r.stdout)
	}
}

// interruptible is a bench that goes on until it is told to stop.
func interruptible(t *testing.T, out, errs *syncBuffer) *exec.Cmd {
	t.Helper()
	cmd := command(t.Context(), "bench", "--people", "1000", "--least", "20ms", "--singles", "5", "--queries", "1000000", "--json", "--dir", t.TempDir())
	cmd.Stdout, cmd.Stderr = out, errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for !strings.Contains(errs.String(), "log_query_job_time: asked") {
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatalf("no query was made: %s", errs.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
	return cmd
}

// Whoever interrupts a bench gets what was measured until then.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	var out, errs syncBuffer
	cmd := interruptible(t, &out, &errs)
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	report := parseReport(t, out.String())
	if code := cmd.ProcessState.ExitCode(); code != 130 || !report.Interrupted || len(report.Results) != 6 {
		t.Errorf("exit code %d, %+v\n%s", code, report, errs.String())
	}
}

func TestBenchWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "people.csv")
	r := execute(t, "bench", "--people", "120", "--write", path)
	if r.code != 0 || !strings.Contains(r.stdout, "people.mapping.json") {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	p := start(t, filepath.Join(t.TempDir(), "data"))
	cmd := command(t.Context(), "upload", path, "--mapping", strings.TrimSuffix(path, ".csv")+".mapping.json", "--json")
	for k, v := range p.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(`"created":120`)) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestBenchRefuses(t *testing.T) {
	t.Parallel()
	refuses(t, []string{"--people and --sizes"}, "bench", "--people", "5", "--sizes", "1,2")
	refuses(t, []string{`"-3" people`, "20k"}, "bench", "--people=-3")
	refuses(t, []string{"--repeat 0"}, "bench", "--repeat", "0")
	refuses(t, []string{"--least"}, "bench", "--least", "0s")
	refuses(t, []string{"endpoint"}, "bench", "--url", "http://127.0.0.1/nothing")
	refuses(t, []string{"--write"}, "bench", "--sizes", "1,2", "--write", "x")
}
