package upload

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"induct/internal/upload/records"
)

// service stands in for the Graph side: it remembers requests by client-request-id and, through
// disturb, throttles, fails and breaks connections.
type service struct {
	*httptest.Server
	disturb func(n int, w http.ResponseWriter) (answered, store bool) // nil: undisturbed
	bare    bool                                                      // names no uploads

	mu       sync.Mutex
	posts    int
	tokens   int
	refuse   string // a token to answer 401
	uploads  map[string]int
	rows     []row
	inFlight map[string]bool
	problems []string
	polls    map[int]int
	sizes    []int
}

type row struct{ anchor, title string }

func newService(t *testing.T) *service {
	s := &service{uploads: map[string]int{}, inFlight: map[string]bool{}, polls: map[int]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tenant/oauth2/v2.0/token", s.token)
	const job = "/v1.0/servicePrincipals/sp/synchronization/jobs/API2AAD.1.2"
	mux.HandleFunc("POST "+job+"/bulkUpload", s.bulk)
	mux.HandleFunc("GET "+job+"/uploads/{n}", s.status)
	mux.HandleFunc("GET "+job+"/uploads/{n}/operations", s.operations)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *service) client(t *testing.T) *Client {
	t.Helper()
	c, err := New(Config{Graph: s.URL, ServicePrincipal: "sp", Job: "API2AAD.1.2",
		Credentials: Credentials{Authority: s.URL + "/tenant", ClientID: "app", ClientSecret: "s3cret"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run is Client.Run; after it no handler runs, so that tests can look at s.
func (s *service) run(ctx context.Context, c *Client, src records.Source, opt Options, events func(Event)) (Summary, error) {
	sum, err := c.Run(ctx, src, opt, events)
	s.Close()
	s.mu.Lock() // handlers of dropped connections
	defer s.mu.Unlock()
	return sum, err
}

func (s *service) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.FormValue("client_secret") != "s3cret" {
		w.WriteHeader(401)
		io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: x"}`)
		return
	}
	s.tokens++
	fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":"3599","access_token":"token-%d"}`, s.tokens)
}

func (s *service) bulk(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var req struct {
		Operations []struct {
			BulkID string
			Data   struct{ ExternalID, Title string }
		}
	}
	s.mu.Lock()
	n := s.posts
	s.posts++
	if "Bearer "+s.refuse == r.Header.Get("Authorization") {
		s.mu.Unlock()
		graphError(w, 401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
		return
	}
	if json.Unmarshal(body, &req) != nil || len(req.Operations) > 50 || r.Header.Get("Content-Type") != "application/scim+json" {
		s.problems = append(s.problems, "bad request "+string(body))
	}
	for _, op := range req.Operations {
		if s.inFlight[op.Data.ExternalID] {
			s.problems = append(s.problems, op.Data.ExternalID+" is in two requests at once")
		}
	}
	for _, op := range req.Operations {
		s.inFlight[op.Data.ExternalID] = true
	}
	s.mu.Unlock()

	answered, store := false, true
	if s.disturb != nil {
		answered, store = s.disturb(n, w)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range req.Operations {
		delete(s.inFlight, op.Data.ExternalID)
	}
	id := r.Header.Get("client-request-id")
	number, known := s.uploads[id]
	if store && !known {
		number = len(s.uploads)
		s.uploads[id] = number
		s.sizes = append(s.sizes, len(req.Operations))
		for _, op := range req.Operations {
			s.rows = append(s.rows, row{op.Data.ExternalID, op.Data.Title})
		}
	}
	switch {
	case answered:
	case !store || s.disturb != nil && n%11 == 3:
		panic(http.ErrAbortHandler) // drop the connection, before or after storing
	default:
		if !s.bare {
			w.Header().Set("x-induct-upload-id", fmt.Sprint(number))
		}
		w.WriteHeader(202)
	}
}

// status: the first time accepted with something queued, then what was asked for. The first
// operation of upload 0 failed, its second was skipped.
func (s *service) status(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int
	fmt.Sscan(r.PathValue("n"), &n)
	size := s.sizes[n]
	if s.polls[n]++; s.polls[n] == 1 {
		fmt.Fprintf(w, `{"state":"accepted","operationCount":%d,"counts":{"created":1,"queued":%d}}`, size, size-1)
		return
	}
	created, failed := size, 0
	if n == 0 {
		created, failed = size-2, 1
	}
	fmt.Fprintf(w, `{"state":%q,"operationCount":%d,"counts":{"created":%d,"failed":%d,"skipped":%[4]d}}`, r.FormValue("waitFor"), size, created, failed)
}

func (s *service) operations(w http.ResponseWriter, r *http.Request) {
	end := r.FormValue("end")
	switch {
	case end == "failed" && r.FormValue("page") == "":
		fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"%s%s?end=failed&page=2"}`, s.URL, r.URL.Path)
	case end == "failed":
		io.WriteString(w, `{"value":[{"index":0,"externalId":"0","end":"failed","error":{"code":"DuplicateValue","attribute":"userPrincipalName","reason":"taken\u001b[31m","recommendedAction":"Choose another."},"warnings":["w",{"reason":"r"}]}]}`)
	default:
		io.WriteString(w, `{"value":[{"index":1,"end":"skipped","error":{"code":"OutOfScope"}}]}`)
	}
}

func graphError(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":%q}}`, code, message)
}

// list is a Source of n records on lines 2…; each person comes three times with titles 0, 1, 2.
type list struct {
	n, next int
	long    int  // if not 0, the record that is long
	ended   bool // asked again, it is broken
}

func (l *list) Next() (records.Record, error) {
	if l.ended {
		return records.Record{}, errors.New("asked again after its end")
	}
	if l.next == l.n {
		l.ended = true
		return records.Record{}, io.EOF
	}
	i := l.next
	l.next++
	people := (l.n + 2) / 3
	anchor := fmt.Sprint(i % people)
	if l.long > 0 && i == l.long {
		return records.Record{Line: i + 2, Anchor: "long", BulkID: fmt.Sprint(i), Data: fmt.Appendf(nil, `{"externalId":"long","title":%q}`, strings.Repeat("x", 2000))}, nil
	}
	return records.Record{Line: i + 2, Anchor: anchor, BulkID: fmt.Sprint(i),
		Data: fmt.Appendf(nil, `{"externalId":%q,"title":"%d"}`, anchor, i/people)}, nil
}

var quick = Retry{Base: time.Millisecond, Max: 4 * time.Millisecond}

func TestRunThroughTrouble(t *testing.T) {
	s := newService(t)
	rnd, mu := rand.New(rand.NewPCG(1, 2)), sync.Mutex{}
	s.disturb = func(n int, w http.ResponseWriter) (answered, store bool) {
		mu.Lock()
		defer mu.Unlock()
		switch rnd.IntN(6) {
		case 0:
			w.Header().Set("Retry-After", "0")
			graphError(w, 503, "ServiceUnavailable", "Please retry again later.")
			return true, false
		case 1:
			graphError(w, []int{500, 502, 503, 504}[n%4], "InternalServerError", "The bucket is full")
			return true, false
		case 2:
			graphError(w, 500, "InternalServerError", "stored, and then it failed")
			return true, true
		case 3:
			return false, false // dropped before storing
		}
		return false, true
	}
	var events []Event
	const n = 1500
	sum, err := s.run(t.Context(), s.client(t), &list{n: n}, Options{Retry: quick, Until: StateSettled}, func(e Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	if len(s.problems) > 0 {
		t.Fatal(s.problems)
	}
	titles := map[string]string{}
	for _, r := range s.rows {
		titles[r.anchor] += r.title
	}
	for anchor, got := range titles {
		if got != "012" {
			t.Errorf("person %s arrived as %q, want 012", anchor, got)
		}
	}
	if len(s.rows) != n || len(titles) != n/3 {
		t.Errorf("%d rows of %d people", len(s.rows), len(titles))
	}
	if sum.Read != n || sum.Accepted != n || sum.Unknown != 0 || sum.Retries == 0 || !sum.Followed || sum.Requests != len(s.uploads) {
		t.Errorf("summary %+v", sum)
	}
	if sum.Ends["created"] != n-2 || sum.Ends["failed"] != 1 || sum.Ends["skipped"] != 1 || sum.Reasons["DuplicateValue"] != 1 {
		t.Errorf("ends %v, reasons %v", sum.Ends, sum.Reasons)
	}
	f := sum.Failed[0]
	if f.Line < 2 || f.Reason != "taken[31m" || f.Advice != "Choose another." || !slices.Equal(f.Warnings, []string{"w", "r"}) {
		t.Errorf("failed row %+v", f)
	}
	if ExitCode(sum, err) != ExitFailed {
		t.Errorf("exit code %d", ExitCode(sum, err))
	}
	if _, ok := events[len(events)-1].(Finished); !ok {
		t.Errorf("last event %T", events[len(events)-1])
	}
	last := events[len(events)-2].(Progress)
	if last.PerSecond, last.Remaining = 0, 0; last != (Progress{Read: n, Accepted: n, Done: n, Total: n}) {
		t.Errorf("last progress %+v", last)
	}
	if s.tokens != 1 {
		t.Errorf("%d tokens", s.tokens)
	}
}

func TestRunRefused(t *testing.T) {
	for _, status := range []int{401, 403, 404, 405} {
		s := newService(t)
		s.disturb = func(_ int, w http.ResponseWriter) (bool, bool) {
			graphError(w, status, "Whatever", "Not for you")
			return true, false
		}
		sum, err := s.run(t.Context(), s.client(t), &list{n: 60}, Options{Retry: quick, Concurrency: 1}, nil)
		var refused *ServiceError
		if !errors.As(err, &refused) || refused.Status != status {
			t.Fatalf("got %v", err)
		}
		for _, want := range []string{"lines 2–51", fmt.Sprint(status), "Not for you", refused.RequestID} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if s.posts > 2 || sum.Accepted != 0 || sum.Unknown != 0 || ExitCode(sum, err) != ExitService {
			t.Errorf("%d posts, %+v", s.posts, sum)
		}
	}
}

func TestRunGivesUp(t *testing.T) {
	s := newService(t)
	s.disturb = func(int, http.ResponseWriter) (bool, bool) { return false, false }
	retry := quick
	retry.Wait = 20 * time.Millisecond
	sum, err := s.run(t.Context(), s.client(t), &list{n: 3}, Options{Retry: retry, Concurrency: 1}, nil)
	if err == nil || s.posts < 3 || sum.Unknown != 3 || ExitCode(sum, err) != ExitService {
		t.Errorf("%v after %d posts, %+v", err, s.posts, sum)
	}
}

func TestRunLongRetryAfter(t *testing.T) {
	s := newService(t)
	s.disturb = func(_ int, w http.ResponseWriter) (bool, bool) {
		w.Header().Set("Retry-After", "86400")
		graphError(w, 429, "TooManyRequests", "Daily quota")
		return true, false
	}
	_, err := s.run(t.Context(), s.client(t), &list{n: 3}, Options{Concurrency: 1}, nil)
	if err == nil || !strings.Contains(err.Error(), "Daily quota") || s.posts != 1 {
		t.Errorf("%v after %d posts", err, s.posts)
	}
}

func TestRunRenewsToken(t *testing.T) {
	s := newService(t)
	s.refuse = "token-1"
	sum, err := s.run(t.Context(), s.client(t), &list{n: 3}, Options{Retry: quick, Until: StateAccepted}, nil)
	if err != nil || s.tokens != 2 || sum.Accepted != 3 {
		t.Errorf("%v, %d tokens, %+v", err, s.tokens, sum)
	}
}

func TestRunBadSecret(t *testing.T) {
	s := newService(t)
	c, err := New(Config{Graph: s.URL, ServicePrincipal: "sp", Job: "API2AAD.1.2",
		Credentials: Credentials{Authority: s.URL + "/tenant", ClientID: "app", ClientSecret: "wr0ng"}})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := s.run(t.Context(), c, &list{n: 3}, Options{Retry: quick}, nil)
	if err == nil || !strings.Contains(err.Error(), "AADSTS7000215") || strings.Contains(err.Error(), "wr0ng") || sum.Unknown != 0 {
		t.Errorf("got %v, %+v", err, sum)
	}
}

func TestRunOtherService(t *testing.T) {
	s := newService(t)
	s.bare = true
	sum, err := s.run(t.Context(), s.client(t), &list{n: 3}, Options{}, nil)
	if err != nil || sum.Followed || !strings.Contains(sum.Note, "provisioning log") || sum.Ends["unknown"] != 3 || ExitCode(sum, err) != ExitService {
		t.Errorf("%v, %+v", err, sum)
	}
}

func TestRunInterrupted(t *testing.T) {
	s := newService(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	s.disturb = func(_ int, w http.ResponseWriter) (bool, bool) {
		cancel(errors.New("interrupt signal received"))
		return false, false
	}
	sum, err := s.run(ctx, s.client(t), &list{n: 300}, Options{Retry: quick}, nil)
	if ExitCode(sum, err) != ExitInterrupted || sum.Accepted != 0 {
		t.Errorf("%v, %+v", err, sum)
	}
}

type broken struct{ list }

func (b *broken) Next() (records.Record, error) {
	if b.next == 120 {
		return records.Record{}, &records.InputError{Line: 122, Msg: "broken"}
	}
	return b.list.Next()
}

func TestRunBrokenSource(t *testing.T) {
	s := newService(t)
	sum, err := s.run(t.Context(), s.client(t), &broken{list{n: 300}}, Options{Retry: quick}, nil)
	if ExitCode(sum, err) != ExitUsage || err.Error() != "line 122: broken" {
		t.Errorf("%v, %+v", err, sum)
	}
	if n, err := records.Count(&broken{list{n: 300}}); n != 120 || err == nil {
		t.Errorf("counted %d, %v", n, err)
	}
}

func TestCAFile(t *testing.T) {
	s := newService(t)
	secure := httptest.NewTLSServer(s.Config.Handler)
	defer secure.Close()
	cfg := Config{Graph: secure.URL, ServicePrincipal: "sp", Job: "API2AAD.1.2", Credentials: Credentials{Token: "t"}}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), &list{n: 1}, Options{Until: StateAccepted}, nil); err == nil || !strings.Contains(err.Error(), "CA file") {
		t.Errorf("untrusted: %v", err)
	}
	cfg.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(cfg.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), &list{n: 1}, Options{Until: StateAccepted}, nil); err != nil {
		t.Errorf("trusted: %v", err)
	}
}

func TestConfig(t *testing.T) {
	good := Config{Graph: "https://graph.example", ServicePrincipal: "sp", Job: "job",
		Credentials: Credentials{Authority: "https://login.example/t", ClientID: "a", ClientSecret: "s3cret"}}
	c, err := New(good)
	if err != nil || c.jobs != "https://graph.example/v1.0/servicePrincipals/sp/synchronization/jobs/job" {
		t.Fatal(err, c)
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no graph":  {func(c *Config) { c.Graph = "" }, "Graph URL is missing"},
		"clear":     {func(c *Config) { c.Graph = "http://graph.example" }, "not https"},
		"userinfo":  {func(c *Config) { c.Authority = "https://a:s3cret@login.example" }, "no user"},
		"no secret": {func(c *Config) { c.ClientSecret = "" }, "credentials are missing"},
		"no job":    {func(c *Config) { c.Job = "" }, "job's id is missing"},
		"no CA":     {func(c *Config) { c.CAFile = "/nonexistent" }, "CA file"},
	} {
		cfg := good
		tc.change(&cfg)
		_, err := New(cfg)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
	g, sp, job, err := ParseEndpoint("https://graph.example/beta/servicePrincipals/1/synchronization/jobs/2/bulkUpload")
	if err != nil || g != "https://graph.example/beta" || sp != "1" || job != "2" {
		t.Error(g, sp, job, err)
	}
	if _, _, _, err := ParseEndpoint("https://graph.example/users"); err == nil {
		t.Error("no error")
	}
}
