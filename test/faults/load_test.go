//go:build unix

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"induct/test/faults/history"
)

const (
	coreUser   = "urn:ietf:params:scim:schemas:core:2.0:User"
	enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// A load is clients who send the same people again and again, each time with a newer version of them.
type load struct {
	s      *service
	people int
	http   *http.Client
	token  string
	strict bool // every request is answered with 202 the first time it is sent

	mu       sync.Mutex
	rand     *rand.Rand
	clock    int64
	version  int
	latest   map[string]string // anchor → the value that was composed last
	requests []*request
	open     []*request      // that have no clear answer
	waits    []time.Duration // of works
	answers  map[string]int  // by status
	refusals map[string]int  // by text
	wrong    map[string]int  // answers that there must not be
	stop     context.CancelFunc
	clients  sync.WaitGroup
}

// A request is what the checker knows of it, and its bytes.
type request struct {
	history.Request
	body []byte
}

// newLoad returns a load of so many people on the service, which must run.
func (s *service) newLoad(people int) *load {
	s.t.Helper()
	seed := rand.Uint64()
	s.t.Logf("seed %d", seed)
	l := &load{s: s, people: people, rand: rand.New(rand.NewPCG(seed, seed)), latest: map[string]string{}, answers: map[string]int{}, refusals: map[string]int{}, wrong: map[string]int{},
		http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	s.t.Cleanup(l.http.CloseIdleConnections)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.env["CLIENT_ID"]}, "client_secret": {s.env["CLIENT_SECRET"]},
		"scope": {"https://graph.microsoft.com/.default"}}
	resp, err := l.http.PostForm("http://"+s.front.Address()+"/"+s.env["TENANT_ID"]+"/oauth2/v2.0/token", form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		s.t.Fatalf("no token: %d %s", resp.StatusCode, body)
	}
	l.token = answer.Token
	return l
}

func (l *load) graph() string { return "http://" + l.s.front.Address() + "/v1.0" }

func (l *load) job() string {
	return l.graph() + "/servicePrincipals/" + l.s.env["SP_ID"] + "/synchronization/jobs/" + l.s.env["JOB_ID"]
}

func (l *load) intn(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.IntN(n)
}

// moment is a random time below most.
func (l *load) moment(most time.Duration) time.Duration {
	return time.Duration(l.intn(int(most)))
}

// compose makes a request of up to 20 operations.
func (l *load) compose() *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &request{Request: history.Request{ID: uuid.NewString()}}
	var ops []map[string]any
	for i := range 1 + l.rand.IntN(20) {
		n := l.rand.IntN(l.people)
		rec := history.Record{BulkID: fmt.Sprint("b", i), Person: fmt.Sprint("p", n)}
		op := map[string]any{"bulkId": rec.BulkID}
		switch l.rand.IntN(40) {
		case 0:
			rec.Delete = true
			op["method"], op["path"] = http.MethodDelete, "/Users/"+rec.Person
		default:
			if rec.Value = l.latest[rec.Person]; rec.Value == "" || l.rand.IntN(5) > 0 {
				l.version++
				rec.Value = fmt.Sprint("v", l.version)
				l.latest[rec.Person] = rec.Value
			}
			data := map[string]any{"schemas": []string{coreUser, enterprise}, "externalId": rec.Person, "userName": rec.Person,
				"displayName": "Person " + rec.Person, "title": rec.Value, "active": true}
			if n > 0 {
				rec.Manager = fmt.Sprint("p", n/5)
				data[enterprise] = map[string]any{"manager": map[string]any{"value": rec.Manager}}
			}
			op["method"], op["path"], op["data"] = http.MethodPost, "/Users", data
		}
		r.Records = append(r.Records, rec)
		ops = append(ops, op)
	}
	body, err := json.Marshal(map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, "Operations": ops})
	if err != nil {
		panic(err)
	}
	r.body = body
	l.requests = append(l.requests, r)
	return r
}

func (l *load) tick() int64 {
	l.clock++
	return l.clock
}

// send sends r once and notes the answer. It reports whether that was a 202.
func (l *load) send(ctx context.Context, r *request) bool {
	l.mu.Lock()
	if r.Began == 0 {
		r.Began = l.tick()
	}
	l.mu.Unlock()
	status, upload, text := l.post(ctx, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	word := strconv.Itoa(status)
	if status == 0 {
		word = "no answer"
	}
	l.answers[word]++
	if status == http.StatusServiceUnavailable {
		l.refusals[message(text)]++
	}
	switch {
	case status == http.StatusAccepted:
		if r.Answered == 0 {
			r.Answered = l.tick()
		}
		r.Uploads = append(r.Uploads, upload)
		return true
	case ctx.Err() != nil: // its answer was not waited for
	case l.strict:
		l.wrong[word+" "+message(text)]++
	case status == 0, status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
	default: // a fault of the service's surroundings is no mistake of the client's, and no internal error
		l.wrong[word+" "+message(text)]++
	}
	return false
}

// patience is how long a client waits for an answer to an upload before it sends it again.
const patience = 5 * time.Second

// post returns the status, 0 if there was no answer, the upload's id, and what was said.
func (l *load) post(ctx context.Context, r *request) (status int, upload, text string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.job()+"/bulkUpload", bytes.NewReader(r.body))
	if err != nil {
		return 0, "", err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	req.Header.Set("Content-Type", "application/scim+json")
	req.Header.Set("client-request-id", r.ID)
	resp, err := l.http.Do(req)
	if err != nil {
		return 0, "", err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err.Error()
	}
	return resp.StatusCode, resp.Header.Get("x-induct-upload-id"), string(body)
}

// begin lets clients send until end is called.
func (l *load) begin(clients int) {
	ctx, stop := context.WithCancel(l.s.t.Context())
	l.stop = stop
	for range clients {
		l.clients.Go(func() { l.client(ctx) })
	}
}

// client sends one request after the other, each until it is accepted; now and then one that was accepted once more.
func (l *load) client(ctx context.Context) {
	for ctx.Err() == nil {
		r := l.compose()
		for !l.send(ctx, r) {
			select {
			case <-ctx.Done():
				l.mu.Lock()
				l.open = append(l.open, r)
				l.mu.Unlock()
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		if l.intn(20) == 0 {
			l.send(ctx, r)
		}
		select {
		case <-ctx.Done():
		case <-time.After(l.moment(60 * time.Millisecond)):
		}
	}
}

// end stops the clients; then what has no clear answer is sent until it has.
func (l *load) end() {
	t := l.s.t
	t.Helper()
	l.stop()
	l.clients.Wait()
	for _, r := range l.open {
		until(t, "a request is accepted", time.Minute, func() bool { return l.send(t.Context(), r) })
	}
	l.open = nil
}

// accepted is how many requests have been.
func (l *load) accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers["202"]
}

// said is how many refusals had the words in them, since forget.
func (l *load) said(words string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for text, times := range l.refusals {
		if strings.Contains(text, words) {
			n += times
		}
	}
	return n
}

func (l *load) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.refusals)
}

// message is what an error says, in Graph's envelope; else all of the text.
func message(text string) string {
	var body struct{ Error struct{ Message string } }
	if json.Unmarshal([]byte(text), &body) == nil && body.Error.Message != "" {
		return body.Error.Message
	}
	return text
}

// get reads a resource into v.
func (l *load) get(address string, v any) {
	t := l.s.t
	t.Helper()
	until(t, "a resource can be read", time.Minute, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+l.token)
		req.Header.Set("ConsistencyLevel", "eventual")
		resp, err := l.http.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusServiceUnavailable {
			return false
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %d %s", address, resp.StatusCode, body)
		}
		if err := json.Unmarshal(body, v); err != nil {
			t.Fatalf("GET %s: %v: %s", address, err, body)
		}
		return true
	})
}

// list reads all pages of a collection.
func list[T any](l *load, address string) (all []T) {
	l.s.t.Helper()
	seen := map[string]bool{}
	for address != "" {
		if seen[address] {
			l.s.t.Fatalf("the pages go in a circle: %s", address)
		}
		seen[address] = true
		var page struct {
			Value []T    `json:"value"`
			Next  string `json:"@odata.nextLink"`
		}
		l.get(address, &page)
		all, address = append(all, page.Value...), page.Next
	}
	return all
}

func query(options ...string) string {
	var parts []string
	for i := 0; i < len(options); i += 2 {
		parts = append(parts, options[i]+"="+url.QueryEscape(options[i+1]))
	}
	return "?" + strings.Join(parts, "&")
}

// politely checks that no answer was one that there must not be, and says what the replicas have to say of it.
func (l *load) politely() {
	t := l.s.t
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) > 0 {
		t.Errorf("answers that there must not be: %v", l.wrong)
		l.s.reasons()
	}
}

// reasons says what the replicas have logged of answers with 500.
func (s *service) reasons() {
	s.t.Helper()
	reasons := map[string]int{}
	for _, r := range slices.Concat(s.running(), s.past()) {
		for line := range strings.Lines(r.log()) {
			var event struct {
				Level, Msg, Error string
				Status            int
			}
			if json.Unmarshal([]byte(line), &event) == nil && event.Msg == "request" && event.Status == http.StatusInternalServerError {
				reasons[event.Error]++
			}
		}
	}
	for reason, n := range reasons {
		s.t.Errorf("in the log, %d times: %s", n, reason)
	}
}

// judge waits until everything is settled, reads what the service says of it, and lets that be judged.
func (l *load) judge() {
	t := l.s.t
	t.Helper()
	h := history.History{}
	operations := 0
	for _, r := range l.requests {
		h.Requests = append(h.Requests, r.Request)
		operations += len(r.Records)
	}
	h.Uploads = l.uploads()
	h.Entries, h.Users = l.entries(), l.users()
	until(t, "the counters have everything", 15*time.Second, func() bool { // they may be a second old
		var sum int64
		h.Totals = l.totals()
		for _, n := range h.Totals.Ends {
			sum += n
		}
		return sum >= int64(operations)
	})
	l.politely()
	v := history.Judge(h)
	kinds := map[history.Kind]int{}
	for _, p := range v.Problems {
		if kinds[p.Kind]++; kinds[p.Kind] <= 4 {
			t.Error(p)
		}
	}
	if len(kinds) > 0 {
		t.Errorf("problems in all: %v", kinds)
	}
	t.Logf("%d uploads, %d people, ends %v, answers %v; at work after %v", v.Uploads, v.Users, v.Ends, l.answers, l.waits)
}

// uploads reads each accepted upload once it is settled.
func (l *load) uploads() (all []history.Upload) {
	l.s.t.Helper()
	for _, r := range slices.Backward(l.requests) { // the last is waited for, the others need not be
		if len(r.Uploads) == 0 {
			continue
		}
		var u struct {
			ID             string
			Number         int64
			State          string
			OperationCount int
			Counts         map[string]int
		}
		address := l.job() + "/uploads/" + r.Uploads[0]
		until(l.s.t, "an upload is settled", 2*time.Minute, func() bool {
			l.get(address+"?waitFor=settled&timeout=10", &u)
			return u.State == "settled"
		})
		got := history.Upload{ID: u.ID, Number: u.Number, Settled: true, Operations: u.OperationCount, Counts: u.Counts}
		type receipt struct {
			Index                        int
			BulkID, ExternalID, End      string
			ChangeID                     string
			LogEntryID, TargetID         *string
			Error                        json.RawMessage
			Warnings, References, Others json.RawMessage
		}
		for _, r := range list[receipt](l, address+"/operations"+query("$top", "1000")) {
			got.Receipts = append(got.Receipts, history.Receipt{Index: r.Index, BulkID: r.BulkID, Person: r.ExternalID, End: r.End,
				Change: r.ChangeID, Entry: text(r.LogEntryID), Object: text(r.TargetID)})
		}
		all = append(all, got)
	}
	return all
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// entries reads the provisioning log, oldest first.
func (l *load) entries() (all []history.Entry) {
	l.s.t.Helper()
	type entry struct {
		ID, ChangeID                   string
		SourceIdentity, TargetIdentity struct{ ID string }
		ProvisioningStatusInfo         struct{ Status string }
		ProvisioningSteps              []struct{ ProvisioningStepType string }
		ModifiedProperties             []struct {
			DisplayName        string
			OldValue, NewValue *string
		}
	}
	filter := "jobId eq '" + l.s.env["JOB_ID"] + "'"
	for _, e := range list[entry](l, l.graph()+"/auditLogs/provisioning"+query("$filter", filter, "$orderby", "activityDateTime asc", "$top", "999")) {
		got := history.Entry{ID: e.ID, Change: e.ChangeID, Person: e.SourceIdentity.ID, Object: e.TargetIdentity.ID, Status: e.ProvisioningStatusInfo.Status}
		for _, s := range e.ProvisioningSteps {
			got.Reference = got.Reference || s.ProvisioningStepType == "referenceResolution"
		}
		for _, m := range e.ModifiedProperties {
			if m.DisplayName == "jobTitle" {
				got.Modified, got.Old, got.New = true, m.OldValue, m.NewValue
			}
		}
		all = append(all, got)
	}
	return all
}

// users reads the directory.
func (l *load) users() (all []history.User) {
	l.s.t.Helper()
	type user struct {
		ID, EmployeeID, UserPrincipalName, JobTitle string
		Manager                                     *struct{ ID string }
	}
	for _, u := range list[user](l, l.graph()+"/users"+query("$select", "id,employeeId,userPrincipalName,jobTitle", "$expand", "manager($select=id)", "$top", "500")) {
		got := history.User{ID: u.ID, Person: u.EmployeeID, Name: strings.ToLower(u.UserPrincipalName), Value: u.JobTitle}
		if u.Manager != nil {
			got.Manager = u.Manager.ID
		}
		all = append(all, got)
	}
	return all
}

// totals reads the job's counters, from the metrics of a replica.
func (l *load) totals() history.Totals {
	t := l.s.t
	t.Helper()
	all := l.s.running()
	if len(all) == 0 {
		t.Fatal("no replica runs")
	}
	resp, err := l.http.Get(all[0].metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	totals := history.Totals{Ends: map[string]int64{}}
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		name, labels, _ := strings.Cut(name, "{")
		switch name {
		case "induct_job_uploads_accepted_total":
			totals.Uploads = int64(n)
		case "induct_job_queued_records", "induct_job_pending_records":
			totals.Pending += int64(n)
		case "induct_job_records_total":
			_, end, _ := strings.Cut(labels, `end="`)
			end, _, _ = strings.Cut(end, `"`)
			totals.Ends[end] = int64(n)
		}
	}
	return totals
}
