// Package uploadtest is a service to upload to, in memory and strict. It stands in for Microsoft's endpoint as its
// documentation describes it — 40 requests in any 5 seconds and a daily quota, a 202 without a body, nothing of ours,
// outcomes only in the provisioning log and late — or, with Receipts, for Induct. It lives by the clock of the time
// package, so that under testing/synctest hours pass at once.
package uploadtest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Where the service is, and who may sign in.
const (
	Graph            = "https://graph.example"
	Authority        = "https://login.example/tenant"
	ServicePrincipal = "5e1f0c1e-0000-4000-8000-000000000001"
	Job              = "API2AAD.0123456789abcdef0123456789abcdef.00000000-0000-4000-8000-000000000002"
	ClientID         = "app"
	Secret           = "s3cr3t-that-no-output-may-show"
)

const jobPath = "/v1.0/servicePrincipals/" + ServicePrincipal + "/synchronization/jobs/" + Job

// Trouble is what goes wrong with one upload.
type Trouble int

// Kinds of trouble.
const (
	None        Trouble = iota
	LostRequest         // the connection breaks before the upload is stored
	LostAnswer          // it is stored, and the connection breaks
	Failed              // 503, not stored
	FailedLate          // stored, and then 500
	QueueFull           // the documented 500
)

// Service is the stand-in. Set its exported members before it is used. It is safe for concurrent use.
type Service struct {
	Receipts     bool          // names uploads, tells outcomes by upload, takes a repeated request once
	Requests     int           // so many requests
	Window       time.Duration // in any window of this length; 0 is no limit
	Daily        int           // so many requests in the 24 hours after the first; 0 is no quota
	NoRetryAfter bool          // a 429 does not say when to come again
	MaxBytes     int           // of a body; 0 is 4 MB
	Latency      time.Duration // until an answer
	LogDelay     time.Duration // until an outcome can be read in the log, or is done
	Cycles       time.Duration // shows finished cycles of this length in the job's status; 0 forbids to read the job
	NoLog        bool          // forbids to read the log
	Held         time.Duration // with Receipts: until the end of the cycle, when a disable that is done is carried out

	Trouble func(n int) Trouble                    // of the n-th upload, from 0
	Refuse  func(anchor string) bool               // such an operation refuses its request, by name
	Outcome func(anchor string) (end, code string) // of a record; nil is created. Ends are created, unchanged, disabled, failed, skipped, held (for a verdict), retrying, and "" for no entry

	mu        sync.Mutex
	began     time.Time
	times     []time.Time // of requests that were let pass, in the window
	day       time.Time
	today     int
	posts     int
	throttled int
	tokens    int
	uploads   []*upload
	byID      map[string]*upload
	busy      map[string]bool
	problems  []string
}

type upload struct {
	at   time.Time
	rows []Row
}

// Row is a record as it was stored.
type Row struct{ Anchor, Title string }

// Rows returns what was stored, in the order of arrival, and again what arrived again.
func (s *Service) Rows() (rows []Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.uploads {
		rows = append(rows, u.rows...)
	}
	return rows
}

// Posts returns how many uploads were tried, and how many of them were answered 429.
func (s *Service) Posts() (all, throttled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts, s.throttled
}

// Stored returns how many uploads were stored.
func (s *Service) Stored() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// Problems returns what a client did that it must not do.
func (s *Service) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

// RoundTrip serves r without a network, so that virtual time can pass while it waits.
func (s *Service) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	served := make(chan bool, 1)
	go func() {
		defer func() {
			if lost := recover(); lost != nil {
				served <- false
			}
		}()
		s.ServeHTTP(w, r)
		served <- true
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case ok := <-served:
		if !ok {
			return nil, errors.New("connection reset")
		}
		resp := w.Result()
		resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		return resp, nil
	}
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(s.Latency)
	if r.URL.Path == "/tenant/oauth2/v2.0/token" {
		s.token(w, r)
		return
	}
	if r.Header.Get("Authorization") == "" {
		fail(w, 401, "InvalidAuthenticationToken", "Access token is empty.")
		return
	}
	rest, ofJob := strings.CutPrefix(r.URL.Path, jobPath)
	switch parts := strings.Split(rest, "/"); {
	case ofJob && rest == "/bulkUpload" && r.Method == http.MethodPost:
		s.bulkUpload(w, r)
	case ofJob && rest == "" && s.Cycles > 0:
		s.job(w)
	case ofJob && len(parts) == 3 && parts[1] == "uploads" && s.Receipts:
		s.receipt(w, r, parts[2])
	case ofJob && len(parts) == 4 && parts[1] == "uploads" && parts[3] == "operations" && s.Receipts:
		s.operations(w, r, parts[2])
	case r.URL.Path == "/v1.0/auditLogs/provisioning" && !s.NoLog:
		s.log(w, r)
	case ofJob && rest == "" || s.NoLog:
		fail(w, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
	default:
		fail(w, 404, "ResourceNotFound", "Resource not found.")
	}
}

func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, _ := json.Marshal(message)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":%s,"innerError":{"date":"2026-11-21T10:00:00"}}}`, code, text)
}

func (s *Service) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.FormValue("client_secret") != Secret {
		w.WriteHeader(401)
		io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: x"}`)
		return
	}
	s.tokens++
	fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"token-%d"}`, s.tokens)
}

type bulk struct {
	Schemas    []string
	Operations []struct {
		Method, BulkID, Path string
		Data                 struct{ ExternalID, Title string }
	}
}

func (s *Service) bulkUpload(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	text, err := io.ReadAll(body)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.posts
	s.posts++
	if wait := s.throttle(now); wait > 0 {
		s.throttled++
		if !s.NoRetryAfter {
			w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		}
		fail(w, 429, "TooManyRequests", "Please retry again later.")
		return
	}
	var req bulk
	most := s.MaxBytes
	if most == 0 {
		most = 4 << 20
	}
	switch {
	case len(text) > most:
		fail(w, 413, "RequestEntityTooLarge", "The request is too large.")
		return
	case err != nil || r.Header.Get("Content-Type") != "application/scim+json" || json.Unmarshal(text, &req) != nil ||
		!slices.Equal(req.Schemas, []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}) || len(req.Operations) == 0 || len(req.Operations) > 50:
		s.problems = append(s.problems, "a request that is not a bulk request of 1 to 50 operations")
		fail(w, 400, "BadRequest", "Invalid Data Format")
		return
	}
	var rows []Row
	for i, op := range req.Operations {
		if op.Method != "POST" || op.Path != "/Users" || op.BulkID == "" {
			s.problems = append(s.problems, fmt.Sprintf("operation %d is not a POST to /Users with a bulkId", i))
		}
		if s.Refuse != nil && s.Refuse(op.Data.ExternalID) {
			fail(w, 400, "BadRequest", fmt.Sprintf("Invalid Data Format: Operations[%d].data: not good", i))
			return
		}
		rows = append(rows, Row{op.Data.ExternalID, op.Data.Title})
	}
	s.together(rows, func() { s.store(w, r, n, text, rows) })
}

// together notices when a person is in two requests at once. It gives mu up for a while.
func (s *Service) together(rows []Row, then func()) {
	if s.busy == nil {
		s.busy = map[string]bool{}
	}
	for _, row := range rows {
		if s.busy[row.Anchor] {
			s.problems = append(s.problems, row.Anchor+" is in two requests at once")
		}
	}
	for _, row := range rows {
		s.busy[row.Anchor] = true
	}
	defer func() {
		for _, row := range rows {
			delete(s.busy, row.Anchor)
		}
	}()
	s.mu.Unlock()
	time.Sleep(s.Latency)
	s.mu.Lock()
	then()
}

func (s *Service) store(w http.ResponseWriter, r *http.Request, n int, body []byte, rows []Row) {
	trouble := None
	if s.Trouble != nil {
		trouble = s.Trouble(n)
	}
	switch trouble {
	case LostRequest:
		panic(http.ErrAbortHandler)
	case Failed:
		fail(w, 503, "ServiceUnavailable", "Try again.")
		return
	case QueueFull:
		fail(w, 500, "InternalServerError", "The bucket that stores the ingested data is full, please wait for the synchronization service to process the ingested data and retry this request.")
		return
	}
	if s.began.IsZero() {
		s.began = time.Now()
	}
	id := r.Header.Get("client-request-id") + fmt.Sprintf("%x", sha256.Sum256(body))
	u := s.byID[id]
	if u == nil || !s.Receipts {
		u = &upload{time.Now(), rows}
		if s.byID == nil {
			s.byID = map[string]*upload{}
		}
		s.byID[id] = u
		s.uploads = append(s.uploads, u)
	}
	switch trouble {
	case LostAnswer:
		panic(http.ErrAbortHandler)
	case FailedLate:
		fail(w, 500, "InternalServerError", "Something went wrong.")
		return
	}
	if s.Receipts {
		w.Header().Set("x-induct-upload-id", strconv.Itoa(slices.Index(s.uploads, u)))
	}
	w.Header().Set("Location", Graph+"/v1.0/auditLogs/provisioning/?$filter=jobid%20eq%20'"+Job+"'")
	w.WriteHeader(http.StatusAccepted)
}

// throttle returns how long a request must wait, or counts it.
func (s *Service) throttle(now time.Time) time.Duration {
	if s.Daily > 0 {
		if now.Sub(s.day) >= 24*time.Hour {
			s.day, s.today = now, 0
		}
		if s.today >= s.Daily {
			return s.day.Add(24 * time.Hour).Sub(now)
		}
	}
	if s.Window > 0 {
		for len(s.times) > 0 && now.Sub(s.times[0]) >= s.Window {
			s.times = s.times[1:]
		}
		if len(s.times) >= s.Requests {
			return s.times[0].Add(s.Window).Sub(now)
		}
		s.times = append(s.times, now)
	}
	s.today++
	return 0
}

func (s *Service) outcome(anchor string) (end, code string) {
	if s.Outcome == nil {
		return "created", ""
	}
	return s.Outcome(anchor)
}

func (s *Service) upload(w http.ResponseWriter, id string) *upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := strconv.Atoi(id)
	if err != nil || n < 0 || n >= len(s.uploads) {
		fail(w, 404, "ResourceNotFound", "Resource not found.")
		return nil
	}
	return s.uploads[n]
}

func (s *Service) receipt(w http.ResponseWriter, r *http.Request, id string) {
	u := s.upload(w, id)
	if u == nil {
		return
	}
	seconds, _ := strconv.Atoi(r.FormValue("timeout"))
	wait := min(time.Until(u.at.Add(s.LogDelay)), time.Duration(seconds)*time.Second)
	select {
	case <-time.After(wait):
	case <-r.Context().Done():
	}
	state, counts := "done", map[string]int{}
	for _, row := range u.rows {
		end, _, _ := s.receiptOf(u, row)
		counts[end]++
	}
	switch {
	case time.Since(u.at) < s.LogDelay:
		state, counts = "accepted", map[string]int{"queued": len(u.rows)}
	case r.FormValue("waitFor") == "settled" && counts["held"]+counts["retrying"] == 0:
		state = "settled"
	case r.FormValue("waitFor") == "settled": // nobody decides, and no retry succeeds, while it waits
		select {
		case <-time.After(time.Duration(seconds)*time.Second - max(wait, 0)):
		case <-r.Context().Done():
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"id": id, "state": state, "operationCount": len(u.rows), "counts": counts})
}

// receiptOf is what a receipt says of a row. A disable is held until its cycle ends, without an entry in the log.
func (s *Service) receiptOf(u *upload, row Row) (end, code string, entry any) {
	end, code = s.outcome(row.Anchor)
	if end == "disabled" && time.Since(u.at) < s.LogDelay+s.Held {
		return "held", "TooManyDeletes", nil
	}
	return end, code, "e"
}

func (s *Service) operations(w http.ResponseWriter, r *http.Request, id string) {
	u := s.upload(w, id)
	if u == nil {
		return
	}
	var all []func() map[string]any
	for i, row := range u.rows {
		if end, code, entry := s.receiptOf(u, row); end == r.FormValue("end") {
			all = append(all, func() map[string]any {
				return map[string]any{"index": i, "externalId": row.Anchor, "end": end, "changeId": "c", "logEntryId": entry,
					"error": map[string]any{"code": code, "reason": "because", "recommendedAction": "Do something."}}
			})
		}
	}
	page(w, r, all, 10)
}

// page answers one page of all; only what is on it is made.
func page(w http.ResponseWriter, r *http.Request, all []func() map[string]any, size int) {
	from, _ := strconv.Atoi(r.FormValue("$skiptoken"))
	from = min(max(from, 0), len(all))
	to := min(from+size, len(all))
	value := []map[string]any{}
	for _, item := range all[from:to] {
		value = append(value, item())
	}
	answer := map[string]any{"value": value}
	if to < len(all) {
		q := r.URL.Query()
		q.Set("$skiptoken", strconv.Itoa(to))
		answer["@odata.nextLink"] = Graph + r.URL.Path + "?" + q.Encode()
	}
	w.Header().Set("Content-Type", "application/json")
	var b bytes.Buffer
	json.NewEncoder(&b).Encode(answer)
	w.Write(b.Bytes())
}

// log answers the entries of the job, the newest first, from the time the filter names.
func (s *Service) log(w http.ResponseWriter, r *http.Request) {
	begin, ok := strings.CutPrefix(r.FormValue("$filter"), "jobId eq '"+Job+"' and activityDateTime ge ")
	from, err := time.Parse(time.RFC3339, begin)
	top, _ := strconv.Atoi(r.FormValue("$top"))
	if !ok || err != nil || top < 1 || top > 1000 {
		fail(w, 400, "BadRequest", "Invalid filter clause")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []func() map[string]any
	for n, u := range slices.Backward(s.uploads) {
		at := u.at.Add(s.LogDelay / 2) // processed, and shown as much later
		if at.Before(from) || time.Since(u.at) < s.LogDelay {
			continue
		}
		for i, row := range slices.Backward(u.rows) {
			all = append(all, s.entries(row, at.Add(time.Duration(i)*time.Millisecond), fmt.Sprintf("change-%d-%d", n, i))...)
		}
	}
	page(w, r, all, top)
}

func (s *Service) entries(row Row, at time.Time, change string) []func() map[string]any {
	entry := func(action, status, code string, after time.Duration) func() map[string]any {
		return func() map[string]any { return row.entry(at.Add(after), change, action, status, code) }
	}
	switch end, code := s.outcome(row.Anchor); end {
	case "created": // and the manager, as an entry of its own in the same change, which is newer
		return []func() map[string]any{entry("update", "success", "", time.Second), entry("create", "success", "", 0)}
	case "unchanged":
		return []func() map[string]any{entry("other", "skipped", "RedundantExport", 0)}
	case "skipped":
		return []func() map[string]any{entry("other", "skipped", code, 0)}
	case "disabled":
		return []func() map[string]any{entry("disable", "success", "", 0)}
	case "held":
		return []func() map[string]any{entry("stagedDelete", "success", "", 0)}
	case "failed", "retrying": // the log does not tell these apart
		return []func() map[string]any{entry("create", "failure", code, 0)}
	}
	return nil
}

// entry is a provisioningObjectSummary.
func (row Row) entry(at time.Time, change, action, status, code string) map[string]any {
	var info any
	if code != "" {
		info = map[string]any{"errorCode": code, "reason": "because", "additionalDetails": nil, "errorCategory": "nonServiceFailure", "recommendedAction": "Do something."}
	}
	return map[string]any{"id": change + action, "activityDateTime": at.UTC().Format("2006-01-02T15:04:05.0000000Z"), "changeId": change, "jobId": Job,
		"provisioningAction": action, "sourceIdentity": map[string]any{"id": row.Anchor, "displayName": ""},
		"provisioningStatusInfo": map[string]any{"status": status, "errorInformation": info}, "provisioningSteps": []any{}}
}

// job answers its status: cycles follow each other since the first upload.
func (s *Service) job(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := int64(0)
	if !s.began.IsZero() {
		ended = int64(time.Since(s.began) / s.Cycles)
	}
	execution := map[string]any{"state": "Succeeded", "timeBegan": "0001-01-01T00:00:00Z", "timeEnded": "0001-01-01T00:00:00Z"}
	if ended > 0 {
		execution["timeBegan"] = s.began.Add(time.Duration(ended-1) * s.Cycles).UTC().Format(time.RFC3339Nano)
		execution["timeEnded"] = s.began.Add(time.Duration(ended) * s.Cycles).UTC().Format(time.RFC3339Nano)
	}
	json.NewEncoder(w).Encode(map[string]any{"id": Job, "status": map[string]any{"code": "Active", "lastExecution": execution, "lastSuccessfulExecution": execution}})
}
