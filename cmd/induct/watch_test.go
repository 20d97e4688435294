package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// read gets a page of those that are for who watches the process.
func (p *process) read(t *testing.T, url string, header ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr.String())
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// lines are the lines of the log with this message.
func (p *process) lines(t *testing.T, message string) (all []map[string]any) {
	t.Helper()
	for s := bufio.NewScanner(strings.NewReader(p.stderr.String())); s.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Errorf("a line of the log is no JSON: %s", s.Text())
		} else if line["msg"] == message {
			all = append(all, line)
		}
	}
	return all
}

// metricsAddress is the URL of the metrics' own listener, as the log says it.
func (p *process) metricsAddress(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := regexp.MustCompile(`"metrics":"(http:[^"]+)"`).FindStringSubmatch(p.stderr.String()); m != nil {
			return m[1]
		}
	}
	t.Fatalf("the log names no address: %s", p.stderr.String())
	return ""
}

// samples are the lines of a scrape, by name and labels.
func samples(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndex(line, " ")
		n, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all[line[:i]] = n
	}
	return all
}

// What was sent is counted, by both listeners alike, and one line tells of each request and each batch.
func TestMetricsAndLog(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"), "--metrics-listen", ":0")
	c := p.client(t)
	if _, err := signIn(map[string]string{"AUTHORITY": p.env["AUTHORITY"], "CLIENT_ID": p.env["CLIENT_ID"], "CLIENT_SECRET": "wrong"}, newHTTP()); err == nil {
		t.Error("any secret is good")
	}
	l := newLedger(7)
	for range 3 {
		if !l.send(t, t.Context(), c, l.compose()) {
			t.Fatal("an upload was not accepted")
		}
	}
	l.replay(t, c)
	l.sendManagers(t, c)
	records, uploads := 0, len(l.accepted)
	for _, r := range l.accepted {
		c.settled(t, r.upload)
		records += len(r.operations)
	}
	if a, err := c.do(t.Context(), "GET", c.graph+"/no/such/path", nil, nil); err != nil || a.status != 400 {
		t.Errorf("%v %v", a, err)
	}

	main := strings.TrimSuffix(p.env["GRAPH_BASE"], "/v1.0")
	own := p.metricsAddress(t)
	if u, err := url.Parse(own); err != nil || u.Hostname() != "127.0.0.1" {
		t.Errorf("without a host, metrics are at %s", own)
	}
	time.Sleep(1100 * time.Millisecond) // what a scrape before has read is kept for a second
	for _, base := range []string{main, own} {
		status, text := p.read(t, base+"/metrics")
		if status != 200 {
			t.Fatalf("%s: %d %s", base, status, text)
		}
		got := samples(t, text)
		job := `job_id="` + p.env["JOB_ID"] + `"`
		for name, want := range map[string]float64{
			"induct_job_uploads_accepted_total{" + job + "}":                                           float64(uploads),
			"induct_job_queued_records{" + job + "}":                                                   0,
			"induct_job_oldest_queued_record_age_seconds{" + job + "}":                                 0,
			"induct_job_state{" + job + `,state="Active"}`:                                             1,
			"induct_batch_records_sum{" + job + `,kind="uploads"}`:                                     float64(records),
			`induct_token_requests_total{outcome="issued"}`:                                            1,
			`induct_token_requests_total{outcome="invalid_client"}`:                                    1,
			`induct_http_requests_total{code="400",method="GET",route="unknown"}`:                      1,
			`induct_http_requests_total{code="401",method="POST",route="/{tenant}/oauth2/v2.0/token"}`: 1,
			`induct_source_up{source="jobs"}`:                                                          1,
			`induct_source_up{source="store"}`:                                                         1,
		} {
			if n, ok := got[name]; !ok || n != want {
				t.Errorf("%s is %v (%v), want %v", name, n, ok, want)
			}
		}
		ended := 0.0
		for name, n := range got {
			if strings.HasPrefix(name, "induct_job_records_total{") {
				ended += n
			}
		}
		if ended != float64(records) {
			t.Errorf("%v records have ended, %d were sent", ended, records)
		}
		for _, name := range []string{"induct_store_database_bytes", "induct_store_wal_bytes", "induct_store_reserve_bytes", "go_goroutines", "induct_job_linked_people{" + job + "}", "induct_job_cycles_total{" + job + "}"} {
			if got[name] <= 0 {
				t.Errorf("%s is %v", name, got[name])
			}
		}
	}

	inBatches := 0.0
	for _, line := range p.lines(t, "batch") {
		sum := 0.0
		for _, n := range line["ends"].(map[string]any) {
			sum += n.(float64)
		}
		if sum != line["records"] || line["job"] != p.env["JOB_ID"] || line["cycle"].(float64) < 1 || line["uploads"].(float64) < 1 || line["queued"] == nil || line["duration_ms"] == nil {
			t.Errorf("batch: %v", line)
		}
		inBatches += sum
	}
	if inBatches != float64(records) {
		t.Errorf("the batches had %v records, want %d", inBatches, records)
	}
	named := map[any]bool{}
	for _, line := range p.lines(t, "request") {
		if line["status"] == 202.0 {
			named[line["upload_id"]] = true
		}
	}
	if len(named) != uploads {
		t.Errorf("the log names %d uploads, want %d", len(named), uploads)
	}
}

// Health is told to everybody, metrics to the machine itself, and the listener of its own has nothing else.
func TestWatchPaths(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"), "--metrics-listen", "127.0.0.1:0")
	main, own := strings.TrimSuffix(p.env["GRAPH_BASE"], "/v1.0"), p.metricsAddress(t)
	forwarded := []string{"X-Forwarded-For", "192.0.2.1"}
	for _, c := range []struct {
		url    string
		header []string
		status int
		body   string
	}{
		{main + "/livez", nil, 200, `{"status":"ok"}`}, {main + "/healthz", nil, 200, `{"status":"ok"}`}, {main + "/readyz", nil, 200, `{"status":"ok"}`},
		{main + "/readyz", forwarded, 200, `{"status":"ok"}`}, {main + "/readyz", []string{"Accept", "text/plain"}, 200, "ok"},
		{main + "/metrics", nil, 200, "induct_build_info"}, {main + "/metrics", forwarded, 404, "--metrics-listen"},
		{main + "/metrics/", nil, 400, "Invalid version"}, {main + "/", nil, 400, "Invalid version"},
		{own + "/livez", nil, 200, `{"status":"ok"}`}, {own + "/readyz", nil, 200, `{"status":"ok"}`},
		{own + "/metrics", nil, 200, "induct_build_info"}, {own + "/metrics", forwarded, 200, "induct_build_info"},
		{own + "/v1.0/users", nil, 404, "not found"}, {own + "/", nil, 404, "not found"},
	} {
		if status, body := p.read(t, c.url, c.header...); status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("GET %s %v: %d %.300s", c.url, c.header, status, body)
		}
	}
	resp, err := http.Post(main+"/livez", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /livez: %d %v", resp.StatusCode, resp.Header)
	}
}

// Behind a proxy nobody is taken for local.
func TestMetricsBehindProxy(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"), "--public-url", "https://induct.example")
	if status, body := p.read(t, strings.TrimSuffix(p.env["GRAPH_BASE"], "/v1.0")+"/metrics"); status != 404 || !strings.Contains(body, "--metrics-listen") {
		t.Errorf("%d %s", status, body)
	}
}

// An address for metrics that cannot be used is refused before anything is made.
func TestMetricsListenRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	refuses(t, []string{"--metrics-listen", "HOST:PORT"}, "serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "9464")
	p := start(t, dir, "--metrics-listen", "127.0.0.1:0")
	taken := strings.TrimPrefix(p.metricsAddress(t), "http://")
	refuses(t, []string{"--metrics-listen", "address already in use"}, "serve", "--dev", "--data", dir+"2", "--listen", "127.0.0.1:0", "--metrics-listen", taken)
}

// Below the reserve the service lives and is not ready, and says what to do.
func TestNotReadyBelowReserve(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"), "--reserve-bytes", strconv.FormatInt(1<<60, 10))
	base := strings.TrimSuffix(p.env["GRAPH_BASE"], "/v1.0")
	status, body := p.read(t, base+"/readyz")
	if status != 503 || !strings.Contains(body, `"check":"space"`) || !strings.Contains(body, "--reserve-bytes") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if status, _ := p.read(t, base+"/livez"); status != 200 {
		t.Errorf("/livez: %d", status)
	}
	if n := len(p.lines(t, "not ready")); n != 1 {
		t.Errorf("%d lines say so", n)
	}
}

// While requests under way are finished, the service lives and is not ready.
func TestNotReadyWhileShuttingDown(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"), "--metrics-listen", "127.0.0.1:0")
	c, own := p.client(t), p.metricsAddress(t)
	l := newLedger(3)
	r := l.compose()
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.job+"/bulkUpload", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/scim+json")
	answered := make(chan error, 1)
	go func() {
		resp, err := c.http.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusServiceUnavailable { // stored, or to be sent again
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		}
		answered <- err
	}()
	if _, err := feed.Write(r.body[:10]); err != nil { // now the request is under way
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	status, text := 0, ""
	for deadline := time.Now().Add(4 * time.Second); status != 503 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		status, text = p.read(t, own+"/readyz")
	}
	if status != 503 || !strings.Contains(text, `"check":"shutdown"`) {
		t.Errorf("/readyz: %d %s", status, text)
	}
	if status, _ := p.read(t, own+"/livez"); status != 200 {
		t.Errorf("/livez: %d", status)
	}
	if _, err := io.Copy(feed, bytes.NewReader(r.body[10:])); err != nil {
		t.Error(err)
	}
	feed.Close()
	if err := <-answered; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if code := p.wait(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Whatever is sent, the log has nothing of it: people, what is searched for, secrets; not at debug level, and not where
// something fails.
func TestLogNamesNobody(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"), "--log-level", "debug")
	c := p.client(t)
	const mark = "zyqx" // in everything that is about a person
	person := func(id string, more map[string]any) map[string]any {
		data := map[string]any{"schemas": []string{coreUser, enterprise}, "externalId": mark + id, "userName": mark + id + "@acme.example", "displayName": "Ada Zyqx " + id,
			"active": true, "name": map[string]any{"givenName": "Ada " + mark, "familyName": "Zyqx"}, "title": mark + "title",
			"phoneNumbers": []any{map[string]any{"type": "work", "value": "+49 " + mark}}, enterprise: map[string]any{"employeeNumber": mark, "manager": map[string]any{"value": mark + "boss"}}}
		for k, v := range more {
			data[k] = v
		}
		return map[string]any{"method": "POST", "path": "/Users", "bulkId": mark + id, "data": data}
	}
	send := func(body []byte) answer {
		t.Helper()
		a, err := c.upload(t.Context(), "", body)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	settle := func(ops ...map[string]any) uploadStatus {
		t.Helper()
		a := send(bulk(ops))
		if a.status != http.StatusAccepted {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return c.settled(t, a.header.Get("x-induct-upload-id"))
	}
	// Records of every end.
	first := settle(person("1", nil), person("2", nil), person("3", map[string]any{"userName": mark + "1@acme.example"}), person("4", map[string]any{"active": mark}),
		person("5", map[string]any{"userName": nil, "displayName": map[string]any{mark: mark}}), person("6", map[string]any{"externalId": ""}),
		person("7", map[string]any{"userName": strings.Repeat(mark, 500)}), map[string]any{"method": "DELETE", "path": "/Users/" + mark + "1", "bulkId": mark})
	last := settle(person("1", nil), person("2", map[string]any{"title": mark + "2"}), person("2", map[string]any{"active": false}), person("9", map[string]any{mark: mark}))
	if first.Counts["created"] == 0 || first.Counts["failed"] == 0 || first.Counts["skipped"] == 0 || last.Counts["updated"] == 0 || last.Counts["unchanged"] == 0 {
		t.Errorf("not every end is there: %v, %v", first.Counts, last.Counts)
	}
	// Requests that are refused, and readers who look for people.
	for _, body := range []string{mark, `{"` + mark, `{"schemas":["` + mark + `"],"Operations":[]}`, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[{"method":"` + mark + `"}]}`} {
		if a := send([]byte(body)); a.status != 400 {
			t.Errorf("%s: %d", body, a.status)
		}
	}
	for _, path := range []string{"/users" + query("$filter", "startsWith(displayName,'Ada Zyqx')"), "/users" + query("$filter", "displayName eq "+mark), "/users/" + mark + "1@acme.example",
		"/users" + query("$search", `"displayName:Zyqx"`), "/users" + query("$select", mark), "/users" + query(mark, mark), "/users/" + mark + "1@acme.example/manager",
		"/auditLogs/provisioning" + query("$filter", "sourceIdentity/id eq '"+mark+"1'"), "/auditLogs/provisioning" + query("$filter", "contains(sourceIdentity/displayName,'Zyqx')"),
		"/auditLogs/provisioning" + query("$skiptoken", mark), "/" + mark, "/users('" + mark + "')", "/servicePrincipals/" + mark + "/synchronization/jobs/" + mark} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.graph+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.token)
		req.Header.Set("User-Agent", mark)
		req.Header.Set("Referer", "https://hr.example/"+mark)
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for path, body := range map[string]string{
		"/schema/preview":         `{"record":{"externalId":"zyqx8","userName":"zyqx8@acme.example","displayName":"Zyqx"}}`,
		"/schema/parseExpression": `{"expression":"Join(\"zyqx\", [zyqx]"}`,
		"/schema/validate":        `{"zyqx":"zyqx"`,
		"/zyqx":                   `zyqx`,
	} {
		if _, err := c.do(t.Context(), http.MethodPost, c.job+path, map[string]string{"Content-Type": "application/json"}, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	// Tokens and secrets, also in the wrong place.
	c.token = "eyJ" + mark + "." + mark + "." + mark
	if a, err := c.do(t.Context(), http.MethodGet, c.graph+"/users", nil, nil); err != nil || a.status != 401 {
		t.Errorf("%d %v", a.status, err)
	}
	for _, env := range []map[string]string{{"CLIENT_ID": p.env["CLIENT_ID"], "CLIENT_SECRET": mark}, {"CLIENT_ID": mark, "CLIENT_SECRET": mark}, {"CLIENT_ID": p.env["CLIENT_SECRET"], "CLIENT_SECRET": p.env["CLIENT_ID"]}} {
		env["AUTHORITY"] = p.env["AUTHORITY"]
		if _, err := signIn(env, newHTTP()); err == nil {
			t.Errorf("signed in with %v", env)
		}
	}
	if resp, err := http.PostForm(strings.TrimSuffix(p.env["GRAPH_BASE"], "/v1.0")+"/"+mark+"/oauth2/v2.0/token", url.Values{"username": {mark}, "password": {mark}, "grant_type": {"password"}}); err != nil {
		t.Error(err)
	} else {
		resp.Body.Close()
	}
	if code := p.stop(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.namesNobody(t, mark, "Zyqx", "Ada", p.env["CLIENT_SECRET"], "acme.example", "filter")
	if requests, batches := p.lines(t, "request"), p.lines(t, "batch"); len(requests) < 25 || len(batches) < 2 {
		t.Errorf("%d requests and %d batches in the log: %s", len(requests), len(batches), p.stderr.String())
	}
}
