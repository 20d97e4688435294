package main_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"induct/examples/workforce"
)

// uploadFiles writes the example workforce and its mapping into a new directory.
func uploadFiles(t *testing.T) (people, mapping string) {
	t.Helper()
	dir := t.TempDir()
	people, mapping = filepath.Join(dir, "people.csv"), filepath.Join(dir, "mapping.json")
	write(t, people, workforce.CSV)
	write(t, mapping, workforce.Mapping)
	return people, mapping
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// crowd writes n people, and a mapping for them.
func crowd(t *testing.T, n int) (people, mapping string) {
	t.Helper()
	people, mapping = uploadFiles(t)
	var b bytes.Buffer
	b.WriteString("Number;Name\n")
	for i := range n {
		fmt.Fprintf(&b, "%d;Person %d\n", 100000+i, i)
	}
	write(t, people, b.Bytes())
	write(t, mapping, []byte(`{"attributes":{"externalId":"Number","userName":{"column":"Number"},"displayName":"Name","active":{"constant":true}}}`))
	return people, mapping
}

// finished is what the last line of --json tells.
type finished struct {
	Event   string
	Exit    int `json:"exitCode"`
	Summary struct {
		Read, Accepted, Resumed, Requests int
		Ends                              map[string]int
		FailedFile, Journal               string
	}
}

func lastEvent(t *testing.T, stdout string) (f finished) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &f); err != nil || f.Event != "finished" {
		t.Fatalf("%v: the last line is %s", err, lines[len(lines)-1])
	}
	return f
}

// Rows that failed are written with their reasons; corrected there and sent again, they arrive.
func TestUploadCorrected(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	people, mapping := uploadFiles(t)
	r := execute(t, "upload", people, "-m", mapping, "--credentials", p.envFile)
	failed := people + ".failed.csv"
	if r.code != 2 || !strings.Contains(r.stdout, failed) {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if _, err := os.Stat(people + ".induct-upload"); !os.IsNotExist(err) {
		t.Errorf("the journal of a finished upload: %v", err)
	}
	f, err := os.Open(failed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("%v: %d rows", err, len(rows))
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for i, row := range rows[1:] {
		switch row[column["induct.code"]] {
		case "Conflict":
			row[column["UserID"]] += ".2"
		case "MissingValues":
			row[column["WorkerID"]] = "999999"
		default:
			t.Errorf("row %d: %q", i, row)
		}
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.WriteAll(rows)
	write(t, failed, b.Bytes())
	r2 := execute(t, "upload", failed, "-m", mapping, "--credentials", p.envFile, "--json")
	if got := lastEvent(t, r2.stdout); r2.code != 0 || got.Exit != 0 || got.Summary.Ends["created"] != 2 || got.Summary.FailedFile != "" {
		t.Errorf("exit code %d\n%s%s", r2.code, r2.stdout, r2.stderr)
	}
	if _, err := os.Stat(failed + ".failed.csv"); !os.IsNotExist(err) {
		t.Errorf("a file of failed rows though none failed: %v", err)
	}
	c := p.client(t)
	if n := len(list[user](t, c, c.graph+"/users"+query("$top", "500"))); n != 1000 {
		t.Errorf("the directory has %d users", n)
	}
	for _, text := range []string{r.stdout, r.stderr, r2.stdout, r2.stderr} {
		if strings.Contains(text, p.env["CLIENT_SECRET"]) || strings.Contains(text, "eyJ") {
			t.Error("the secret or a token stands in the output")
		}
	}
}

// entries returns how many log entries the job has, and of how many people.
func entries(t *testing.T, c *client) (all, people int) {
	t.Helper()
	type logEntry struct{ SourceIdentity struct{ ID string } }
	seen := map[string]bool{}
	for _, e := range list[logEntry](t, c, c.graph+"/auditLogs/provisioning"+query("$filter", "jobId eq '"+c.jobID+"'", "$top", "1000")) {
		all++
		seen[e.SourceIdentity.ID] = true
	}
	return all, len(seen)
}

// A client that is killed at any moment goes on when it is started again: every row arrives, and none twice.
func TestUploadClientKilled(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	const n = 3000
	people, mapping := crowd(t, n)
	rnd := rand.New(rand.NewPCG(seedOf(t), 1))
	args := []string{"upload", people, "-m", mapping, "--credentials", p.envFile, "--json"}
	kills := 0
	var out, errs bytes.Buffer
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if kills < 5 {
			ctx, cancel = context.WithTimeout(t.Context(), time.Duration(20+rnd.IntN(200))*time.Millisecond)
		}
		cmd := command(ctx, append(args, "--rate", "60")...)
		out.Reset()
		errs.Reset()
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		cancel()
		if err == nil {
			break
		}
		if kills++; cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("%v\n%.2000s%s", err, out.String(), errs.String())
		}
	}
	got := lastEvent(t, out.String())
	if got.Exit != 0 || got.Summary.Read != n || got.Summary.Accepted != n || got.Summary.Requests != n/50 || got.Summary.Ends["created"] != n {
		t.Errorf("%+v", got)
	}
	if kills == 0 {
		t.Error("no client was killed")
	}
	if all, who := entries(t, p.client(t)); who != n || all != n {
		t.Errorf("%d log entries of %d people after %d kills", all, who, kills)
	}
}

// A service that is killed and comes back is waited for.
func TestUploadServiceKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	const n = 3000
	people, mapping := crowd(t, n)
	env := filepath.Join(t.TempDir(), "first.env")
	write(t, env, mustRead(t, p.envFile))
	base, err := url.Parse(p.env["GRAPH_BASE"])
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(seedOf(t), 1))
	cmd := command(t.Context(), "upload", people, "-m", mapping, "--credentials", env, "--json", "--rate", "30")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		time.Sleep(time.Duration(200+rnd.IntN(300)) * time.Millisecond)
		p.kill()
		time.Sleep(time.Duration(rnd.IntN(500)) * time.Millisecond)
		p = start(t, dir, "--listen", base.Host)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%.2000s%s", err, out.String(), errs.String())
	}
	if got := lastEvent(t, out.String()); got.Summary.Accepted != n || got.Summary.Ends["created"] != n {
		t.Errorf("%+v", got)
	}
	if all, who := entries(t, p.client(t)); who != n || all != n {
		t.Errorf("%d log entries of %d people", all, who)
	}
}

// What can be seen without sending anything, and what is wrong with a command line.
func TestUploadLooks(t *testing.T) {
	people, mapping := crowd(t, 120)
	r := execute(t, "upload", people, "-m", mapping, "--dry-run")
	if lines := strings.Split(strings.TrimSpace(r.stdout), "\n"); r.code != 0 || len(lines) != 3 || !json.Valid([]byte(lines[2])) {
		t.Errorf("--dry-run: exit code %d, %d requests\n%s", r.code, len(lines), r.stderr)
	}
	r = execute(t, "upload", people, "-m", mapping, "--dry-run", "--row", "4")
	if r.code != 0 || !strings.Contains(r.stdout, `"displayName": "Person 2"`) || strings.Contains(r.stdout, "Person 3") {
		t.Errorf("--row: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r = execute(t, "upload", people, "-m", mapping, "--validate"); r.code != 0 || !strings.Contains(r.stdout, "120 records in 3 requests") {
		t.Errorf("--validate: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r = execute(t, "upload", "schema"); r.code != 0 || !json.Valid([]byte(r.stdout)) {
		t.Errorf("schema: exit code %d", r.code)
	}
	suggested := filepath.Join(filepath.Dir(people), "suggested.json")
	if r = execute(t, "upload", "init", people, "-o", suggested); r.code != 0 || !strings.Contains(r.stderr, "externalId") {
		t.Errorf("init: exit code %d\n%s", r.code, r.stderr)
	}
	if r = execute(t, "upload", people, "-m", suggested, "--dry-run"); r.code != 0 {
		t.Errorf("the suggested mapping: %s", r.stderr)
	}
	bad := filepath.Join(filepath.Dir(people), "bad.env")
	write(t, bad, []byte("CLIENT_SECRET='s3cr3t"))
	where := []string{"--graph", "http://127.0.0.1:1", "--sp", "x", "--job", "y", "--authority", "http://127.0.0.1:1/t", "--client-id", "a"}
	refuses(t, []string{"is there already"}, "upload", "init", people, "-o", suggested)
	refuses(t, []string{"upload init"}, "upload", people)
	refuses(t, []string{"--row"}, "upload", people, "-m", mapping, "--row", "3")
	refuses(t, []string{"no record begins on line 999"}, "upload", people, "-m", mapping, "--dry-run", "--row", "999")
	refuses(t, []string{"--until"}, "upload", people, "-m", mapping, "--until", "tomorrow")
	refuses(t, []string{"--failed"}, append(where, "upload", people, "-m", mapping, "--failed", people)...)
	refuses(t, []string{"Graph URL is missing"}, "upload", people, "-m", mapping)
	refuses(t, []string{"credentials are missing"}, append(where, "upload", people, "-m", mapping)...)
	refuses(t, []string{"no such file"}, "upload", people+"2", "-m", mapping)
	refuses(t, []string{"line 1", "CLIENT_SECRET"}, "upload", people, "-m", mapping, "--credentials", bad)
	refuses(t, []string{"endpoint"}, "upload", people, "-m", mapping, "--endpoint", "https://graph.example/users")
}

// An unfinished upload of another file is not gone on with, and not forgotten.
func TestUploadChangedFile(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	people, mapping := crowd(t, 200)
	args := []string{"upload", people, "-m", mapping, "--credentials", p.envFile}
	c := p.client(t)
	if a, err := c.do(t.Context(), "POST", c.job+"/pause", nil, nil); err != nil || a.status != 204 {
		t.Fatal(a.status, err)
	}
	r := execute(t, append(args, "--timeout", "100ms")...)
	if r.code != 3 || !strings.Contains(r.stdout, people+".induct-upload") {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	f, err := os.OpenFile(people, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, "999;One More")
	f.Close()
	if a, err := c.do(t.Context(), "POST", c.job+"/start", nil, nil); err != nil || a.status != 204 {
		t.Fatal(a.status, err)
	}
	refuses(t, []string{"--restart", "has changed"}, args...)
	if r = execute(t, append(args, "--restart", "--json")...); r.code != 0 || lastEvent(t, r.stdout).Summary.Read != 201 {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// The standard input is a file like any other, but for its journal.
func TestUploadStdin(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	people, mapping := crowd(t, 120)
	text := mustRead(t, people)
	if err := os.Chmod(p.envFile, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := command(t.Context(), "upload", "-", "-m", mapping, "--credentials", p.envFile)
	cmd.Stdin = bytes.NewReader(text)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "120 rows read, 120 accepted in 3 requests") {
		t.Errorf("%v\n%s%s", err, out, &errs)
	}
	if !strings.Contains(errs.String(), "chmod 600") {
		t.Errorf("nothing is said of credentials that everybody may read:\n%s", &errs)
	}
	secret := p.env["CLIENT_SECRET"]
	write(t, p.envFile, bytes.ReplaceAll(mustRead(t, p.envFile), []byte(secret), []byte("x"+secret)))
	r := execute(t, "upload", people, "-m", mapping, "--credentials", p.envFile)
	if r.code != 3 || !strings.Contains(r.stderr, "check the client id") || strings.Contains(r.stdout+r.stderr, secret) {
		t.Errorf("a wrong secret: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if _, err := os.Stat(people + ".induct-upload"); !os.IsNotExist(err) {
		t.Errorf("a journal though nothing was sent: %v", err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(binary), "-.induct-upload")); !os.IsNotExist(err) {
		t.Errorf("a journal of the standard input: %v", err)
	}
}

// Without receipts the outcomes are read in the provisioning log, with its real entries.
func TestUploadFollowsLog(t *testing.T) {
	slow(t)
	p := start(t, filepath.Join(t.TempDir(), "data"))
	target, err := url.Parse(p.env["GRAPH_BASE"])
	if err != nil {
		t.Fatal(err)
	}
	bare := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("x-induct-upload-id")
			return nil
		},
	})
	defer bare.Close()
	people, mapping := crowd(t, 200)
	write(t, people, append(mustRead(t, people), ";Nobody\n"...))
	for _, end := range []string{"created", "unchanged"} {
		r := execute(t, "upload", people, "-m", mapping, "--graph", bare.URL, "--credentials", p.envFile, "--json", "--timeout", "30s")
		if got := lastEvent(t, r.stdout).Summary; r.code != 2 || got.Ends[end] != 200 || got.Ends["failed"] != 1 || got.FailedFile == "" {
			t.Errorf("exit code %d, %+v\n%s", r.code, got, r.stderr)
		}
		time.Sleep(2100 * time.Millisecond) // the Date header tells the service's clock to the second: entries just before count as later ones
	}
}
