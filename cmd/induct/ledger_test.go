package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

const (
	coreUser   = "urn:ietf:params:scim:schemas:core:2.0:User"
	enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// request is a bulk request; sent until it has a clear answer.
type request struct {
	id         string // client-request-id
	body       []byte
	operations []operation
	upload     string // the upload's id, once it is known
}

// operation is what is remembered of an operation, to compare its end with.
type operation struct {
	Delete bool
	BulkID string
	Anchor string
}

// ledger is what uploaders have sent, and which of it was accepted.
type ledger struct {
	mu        sync.Mutex
	rand      *rand.Rand
	next      int // people so far
	unknown   []*request
	lost      int // answers that were not clear
	accepted  []*request
	colliding map[string]string // anchors of people whose userName another person may have → that name
	managers  map[string]string // anchor → the anchor of the manager who is always sent with it
}

func newLedger(seed uint64) *ledger {
	return &ledger{rand: rand.New(rand.NewPCG(seed, seed)), colliding: map[string]string{}, managers: map[string]string{}}
}

func (l *ledger) intn(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.IntN(n)
}

// compose makes a request of new people, people sent before, people twice, people whose name is taken, DELETEs and
// a record without an externalId.
func (l *ledger) compose() *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ops []map[string]any
	r := &request{id: uuid.NewString()}
	add := func(method, anchor string, data map[string]any) {
		bulk := fmt.Sprint("b", len(ops))
		op := map[string]any{"method": method, "bulkId": bulk, "path": "/Users"}
		if method == http.MethodDelete {
			op["path"] = "/Users/" + anchor
		} else {
			op["data"] = data
		}
		ops = append(ops, op)
		r.operations = append(r.operations, operation{method == http.MethodDelete, bulk, anchor})
	}
	for n := 1 + l.rand.IntN(40); len(ops) < n; {
		switch l.rand.IntN(20) {
		case 0:
			add(http.MethodDelete, fmt.Sprint("p", l.rand.IntN(l.next+1)), nil)
		case 1:
			add(http.MethodPost, "", map[string]any{"userName": "nobody", "displayName": "Nobody"})
		case 2: // two people, one userName
			anchor, name := fmt.Sprint("c", l.next), fmt.Sprint("shared", l.rand.IntN(20))
			l.next++
			l.colliding[anchor] = name
			add(http.MethodPost, anchor, l.person(anchor, name))
		case 3, 4, 5, 6: // sent before
			anchor := fmt.Sprint("p", l.rand.IntN(l.next+1))
			add(http.MethodPost, anchor, l.person(anchor, anchor))
		case 7: // twice
			anchor := fmt.Sprint("p", l.next)
			l.next++
			add(http.MethodPost, anchor, l.person(anchor, anchor))
			add(http.MethodPost, anchor, l.person(anchor, anchor))
		default:
			anchor := fmt.Sprint("p", l.next)
			l.next++
			add(http.MethodPost, anchor, l.person(anchor, anchor))
		}
	}
	r.body = bulk(ops)
	return r
}

func bulk(ops []map[string]any) []byte {
	body, err := json.Marshal(map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, "Operations": ops})
	if err != nil {
		panic(err)
	}
	return body
}

// person is a record. A third of the people report to a manager: one who comes at the very end, or a person who is there,
// comes soon, or perhaps never comes.
func (l *ledger) person(anchor, userName string) map[string]any {
	data := map[string]any{"schemas": []string{coreUser, enterprise}, "externalId": anchor, "userName": userName,
		"displayName": "Person " + anchor, "title": fmt.Sprint("Title ", l.rand.IntN(3)), "active": true}
	manager, known := l.managers[anchor]
	if !known && l.rand.IntN(3) == 0 {
		if manager, known = fmt.Sprint("m", l.rand.IntN(30)), true; l.rand.IntN(2) == 0 {
			manager = fmt.Sprint("p", l.rand.IntN(l.next+20))
		}
		l.managers[anchor] = manager
	}
	if known {
		data[enterprise] = map[string]any{"manager": map[string]any{"value": manager}}
	}
	return data
}

// take returns a request to send: first those whose fate is unknown.
func (l *ledger) take() *request {
	l.mu.Lock()
	if n := len(l.unknown); n > 0 {
		r := l.unknown[n-1]
		l.unknown = l.unknown[:n-1]
		l.mu.Unlock()
		return r
	}
	l.mu.Unlock()
	return l.compose()
}

// send sends r once and notes its answer. It reports whether there was a clear one.
func (l *ledger) send(t *testing.T, ctx context.Context, c *client, r *request) bool {
	a, err := c.upload(ctx, r.id, r.body)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil, a.status == http.StatusServiceUnavailable:
		l.unknown = append(l.unknown, r)
		l.lost++
		return false
	case a.status != http.StatusAccepted:
		t.Errorf("upload %s: %d %s", r.id, a.status, a.body)
		return false
	}
	r.upload = a.header.Get("x-induct-upload-id")
	if _, err := uuid.Parse(r.upload); err != nil {
		t.Errorf("upload %s: x-induct-upload-id is %q", r.id, r.upload)
	}
	l.accepted = append(l.accepted, r)
	return true
}

// load sends requests from several uploaders until stop is called; stop waits for them.
func (l *ledger) load(t *testing.T, c *client, uploaders int) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range uploaders {
		wg.Go(func() {
			for ctx.Err() == nil && l.send(t, context.WithoutCancel(ctx), c, l.take()) {
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// drain sends again what has no clear answer until everything has.
func (l *ledger) drain(t *testing.T, c *client) {
	t.Helper()
	for range 100 {
		l.mu.Lock()
		left := len(l.unknown)
		l.mu.Unlock()
		if left == 0 {
			return
		}
		if !l.send(t, t.Context(), c, l.take()) {
			time.Sleep(100 * time.Millisecond)
		}
	}
	t.Fatalf("%d requests cannot be sent", len(l.unknown))
}

// replay sends some accepted requests again: each must be the same upload.
func (l *ledger) replay(t *testing.T, c *client) {
	t.Helper()
	for range min(5, len(l.accepted)) {
		r := l.accepted[l.intn(len(l.accepted))]
		a, err := c.upload(t.Context(), r.id, r.body)
		if err != nil || a.status != http.StatusAccepted || a.header.Get("x-induct-upload-id") != r.upload {
			t.Errorf("request %s was upload %s; again it is %q: %d %v", r.id, r.upload, a.header.Get("x-induct-upload-id"), a.status, err)
		}
	}
}

// sendManagers sends the managers everybody names, after all who name them.
func (l *ledger) sendManagers(t *testing.T, c *client) {
	t.Helper()
	r := &request{id: uuid.NewString()}
	var ops []map[string]any
	for i := range 30 {
		anchor := fmt.Sprint("m", i)
		ops = append(ops, map[string]any{"method": "POST", "bulkId": anchor, "path": "/Users", "data": map[string]any{
			"externalId": anchor, "userName": anchor, "displayName": "Manager " + anchor, "active": true}})
		r.operations = append(r.operations, operation{false, anchor, anchor})
	}
	r.body = bulk(ops)
	if !l.send(t, t.Context(), c, r) {
		t.Fatal("the managers could not be sent")
	}
}

// uploadStatus is the resource of an upload.
type uploadStatus struct {
	ID             string
	Number         int64
	State          string
	OperationCount int
	Counts         map[string]int
}

// receipt is an element of an upload's operations.
type receipt struct {
	Index      int
	BulkID     string
	ExternalID string
	End        string
	ChangeID   string
	LogEntryID *string
	TargetID   *string
}

// logEntry is what is compared of an entry of the provisioning log.
type logEntry struct {
	ID, ChangeID, JobID  string
	ProvisioningAction   string
	SourceIdentity       struct{ ID string }
	TargetIdentity       struct{ ID string }
	ProvisioningStepList []struct {
		Type string `json:"provisioningStepType"`
	} `json:"provisioningSteps"`
	ProvisioningStatusInfo struct{ Status string }
}

func (e *logEntry) reference() bool {
	for _, s := range e.ProvisioningStepList {
		if s.Type == "referenceResolution" {
			return true
		}
	}
	return false
}

// user is what is compared of a directory user.
type user struct {
	ID, EmployeeID, UserPrincipalName string
	Manager                           *struct{ ID string }
}

// statusOf is the status of the entry of a record with this end.
var statusOf = map[string]string{"created": "success", "updated": "success", "unchanged": "skipped", "disabled": "success",
	"skipped": "skipped", "failed": "failure"}

// audit waits until everything is settled and proves that each accepted record had exactly one end, in the receipts,
// in the log and in the directory alike.
func (l *ledger) audit(t *testing.T, c *client) {
	t.Helper()
	numbers := map[int64]string{}
	created := map[string]int{}        // creations by anchor
	target := map[string]string{}      // anchor → object
	change := map[string]receipt{}     // what the log must have, by changeId
	mustExist := map[string]struct{}{} // people whom nothing keeps from being created
	operations, ends := 0, map[string]int{}
	for _, r := range l.accepted {
		u := c.settled(t, r.upload)
		if other, twice := numbers[u.Number]; twice && other != r.id {
			t.Errorf("requests %s and %s are one upload", r.id, other)
		}
		numbers[u.Number] = r.id
		receipts := list[receipt](t, c, c.job+"/uploads/"+r.upload+"/operations"+query("$top", "17"))
		counts := map[string]int{}
		if u.OperationCount != len(r.operations) || len(receipts) != len(r.operations) {
			t.Fatalf("upload %d: %d operations sent, operationCount %d, %d receipts", u.Number, len(r.operations), u.OperationCount, len(receipts))
		}
		for i, got := range receipts {
			sent := r.operations[i]
			if got.Index != i || got.BulkID != sent.BulkID || !sent.Delete && got.ExternalID != sent.Anchor {
				t.Errorf("upload %d: receipt %d is %+v, sent was %+v", u.Number, i, got, sent)
			}
			counts[got.End]++
			ends[got.End]++
			if got.End == "created" {
				created[sent.Anchor]++
				target[sent.Anchor] = *got.TargetID
			}
			if sent.Delete {
				if got.LogEntryID != nil || got.End != "skipped" {
					t.Errorf("upload %d: the receipt of a DELETE is %+v", u.Number, got)
				}
				continue
			}
			if l.colliding[sent.Anchor] == "" && sent.Anchor != "" {
				mustExist[sent.Anchor] = struct{}{}
			}
			if _, twice := change[got.ChangeID]; twice {
				t.Errorf("upload %d: changeId %s is not unique", u.Number, got.ChangeID)
			}
			change[got.ChangeID] = got
		}
		operations += len(receipts)
		for end, n := range u.Counts {
			if counts[end] != n {
				t.Errorf("upload %d: counts say %d %s, the receipts %d", u.Number, n, end, counts[end])
			}
		}
	}
	if len(numbers) != len(l.accepted) {
		t.Errorf("%d requests were accepted, as %d uploads", len(l.accepted), len(numbers))
	}
	for n := range int64(len(numbers)) {
		if numbers[n+1] == "" {
			t.Errorf("upload %d of %d belongs to no request", n+1, len(numbers))
		}
	}
	l.auditLog(t, c, change)
	l.auditUsers(t, c, created, target, mustExist)
	t.Logf("%d uploads, %d operations: %v; %d answers were lost", len(numbers), operations, ends, l.lost)
}

func (c *client) settled(t *testing.T, id string) (u uploadStatus) {
	t.Helper()
	for range 4 {
		c.get(t, c.job+"/uploads/"+id+"?waitFor=settled&timeout=15", &u)
		if u.State == "settled" {
			return u
		}
	}
	t.Fatalf("upload %d is %s after a minute: %v", u.Number, u.State, u.Counts)
	return u
}

func (l *ledger) auditLog(t *testing.T, c *client, change map[string]receipt) {
	t.Helper()
	ids := map[string]bool{}
	logged := map[string]bool{}
	for _, e := range list[logEntry](t, c, c.graph+"/auditLogs/provisioning"+query("$filter", "jobId eq '"+c.jobID+"'", "$top", "999")) {
		if ids[e.ID] {
			t.Errorf("two log entries have the id %s", e.ID)
		}
		ids[e.ID] = true
		r, known := change[e.ChangeID]
		switch {
		case !known:
			t.Errorf("log entry %s is of a change that nobody has sent: %s", e.ID, e.ChangeID)
		case e.reference():
		case logged[e.ChangeID]:
			t.Errorf("the log has change %s twice", e.ChangeID)
		default:
			logged[e.ChangeID] = true
			if r.LogEntryID == nil || *r.LogEntryID != e.ID || e.SourceIdentity.ID != r.ExternalID || e.ProvisioningStatusInfo.Status != statusOf[r.End] {
				t.Errorf("receipt %+v and log entry %+v contradict each other", r, e)
			}
		}
	}
	if len(logged) != len(change) {
		t.Errorf("the log has %d of %d records", len(logged), len(change))
	}
}

func (l *ledger) auditUsers(t *testing.T, c *client, created map[string]int, target map[string]string, mustExist map[string]struct{}) {
	t.Helper()
	users := list[user](t, c, c.graph+"/users"+query("$select", "id,employeeId,userPrincipalName", "$expand", "manager($select=id)", "$top", "500"))
	byAnchor, names := map[string]user{}, map[string]bool{}
	for _, u := range users {
		if _, twice := byAnchor[u.EmployeeID]; twice {
			t.Errorf("two users have the employeeId %s", u.EmployeeID)
		}
		if names[u.UserPrincipalName] {
			t.Errorf("two users have the userPrincipalName %s", u.UserPrincipalName)
		}
		byAnchor[u.EmployeeID], names[u.UserPrincipalName] = u, true
		if created[u.EmployeeID] != 1 || target[u.EmployeeID] != u.ID {
			t.Errorf("user %s (%s) was created %d times, as %s", u.EmployeeID, u.ID, created[u.EmployeeID], target[u.EmployeeID])
		}
		want := ""
		if m := l.managers[u.EmployeeID]; m != "" {
			want = target[m]
		}
		got := ""
		if u.Manager != nil {
			got = u.Manager.ID
		}
		if got != want {
			t.Errorf("user %s: manager %q, want %q (%s)", u.EmployeeID, got, want, l.managers[u.EmployeeID])
		}
	}
	if len(users) != len(created) {
		t.Errorf("%d users, %d people were created", len(users), len(created))
	}
	for anchor := range mustExist {
		if _, ok := byAnchor[anchor]; !ok {
			t.Errorf("%s is missing in the directory", anchor)
		}
	}
	taken := map[string]int{}
	for anchor, name := range l.colliding {
		taken[name] += created[anchor]
	}
	for name, n := range taken {
		if n > 1 {
			t.Errorf("%d people were created as %s", n, name)
		}
	}
}
