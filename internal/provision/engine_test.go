package provision_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/directory"
	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// engine is a service on a store and a directory of its own, with one active job.
type engine struct {
	t     *testing.T
	dir   string
	store *sqlstore.Store
	users *directory.Directory
	*provision.Service
	job  *provision.Job
	stop func()
}

func newEngine(t *testing.T) *engine {
	e := &engine{t: t, dir: t.TempDir()}
	e.open()
	app, err := e.CreateApp(t.Context(), "HR")
	if err != nil {
		t.Fatal(err)
	}
	if e.job, err = e.CreateJob(t.Context(), "API2AAD", app.ServicePrincipalID); err != nil {
		t.Fatal(err)
	}
	if err := e.StartJob(t.Context(), e.job.PK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close() })
	return e
}

func (e *engine) open() {
	e.t.Helper()
	store, err := sqlstore.Open(e.t.Context(), e.dir, sqlstore.Options{})
	if err != nil {
		e.t.Fatal(err)
	}
	e.store, e.users = store, directory.New(store)
	e.Service, err = provision.NewService(e.t.Context(), provision.Config{Store: store, Target: e.users, WithoutMail: true,
		Logger: slog.New(slog.DiscardHandler),
		Tenant: provision.Tenant{ID: uuid.MustParse("b16687d3-8faf-42ad-b298-92cdcaf01c6e"), DefaultDomain: "acme.example"}})
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { e.Run(ctx); close(done) }()
	e.stop = func() { cancel(); <-done }
}

func (e *engine) close() {
	e.stop()
	if err := e.store.Close(); err != nil {
		e.t.Error(err)
	}
}

type m = map[string]any

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

// person returns a minimal record, with more members over it.
func person(id string, more m) m {
	p := m{"externalId": id, "userName": "u" + id + "@old.example", "displayName": "Person " + id, "active": true}
	for k, v := range more {
		if v == nil {
			delete(p, k)
		} else {
			p[k] = v
		}
	}
	return p
}

func reportsTo(id string) m { return m{enterprise: m{"manager": m{"value": id}}} }

// upload sends records as one upload, waits until it is settled, and checks that its ledger balances.
func (e *engine) upload(records ...m) (*provision.UploadStatus, []provision.Receipt) {
	e.t.Helper()
	a := e.accept(records...)
	ctx, cancel := context.WithTimeout(e.t.Context(), 20*time.Second)
	defer cancel()
	st, err := e.WaitUpload(ctx, e.job.PK, a.ID, provision.UploadSettled)
	if err != nil {
		e.t.Fatal(err)
	}
	if st.State != provision.UploadSettled {
		e.t.Fatalf("upload is %s", st.State)
	}
	receipts, err := e.Receipts(ctx, e.job.PK, a.Number, 0, 1000)
	if err != nil {
		e.t.Fatal(err)
	}
	sum := 0
	for _, n := range st.Counts {
		sum += n
	}
	if sum != len(records) || len(receipts) != len(records) {
		e.t.Fatalf("%d records, counts %v, %d receipts", len(records), st.Counts, len(receipts))
	}
	for i, r := range receipts {
		if r.Index != i || r.BulkID != fmt.Sprint("b", i) {
			e.t.Fatalf("receipt %d is %+v", i, r)
		}
	}
	return st, receipts
}

func (e *engine) accept(records ...m) provision.Accepted {
	e.t.Helper()
	u := provision.Upload{Job: e.job}
	for i, r := range records {
		data, err := json.Marshal(r)
		if err != nil {
			e.t.Fatal(err)
		}
		id, _ := r["externalId"].(string)
		u.Operations = append(u.Operations, provision.Operation{BulkID: fmt.Sprint("b", i), Anchor: id, Data: data})
	}
	u.BodyHash = sha256.Sum256(fmt.Append(nil, records))
	a, err := e.Accept(e.t.Context(), u)
	if err != nil {
		e.t.Fatal(err)
	}
	return a
}

func (e *engine) user(upn string) *provision.Object {
	e.t.Helper()
	o, err := e.users.Object(e.t.Context(), upn)
	if err != nil {
		e.t.Fatal(err)
	}
	return o
}

func (e *engine) attr(upn, name string) string { return e.user(upn).Attributes[name].String() }

func (e *engine) log(q provision.LogQuery) []provision.LogEntry {
	e.t.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	page, err := e.QueryLog(e.t.Context(), q)
	if err != nil {
		e.t.Fatal(err)
	}
	return page.Entries
}

func ends(receipts []provision.Receipt) (s string) {
	for _, r := range receipts {
		s += string(r.End) + " "
	}
	return s
}

func (e *engine) want(receipts []provision.Receipt, want string) {
	e.t.Helper()
	if got := ends(receipts); got != want+" " {
		for _, r := range receipts {
			if r.Entry != nil {
				e.t.Logf("%s: %s %s %s", r.Anchor, r.Entry.Code, r.Entry.Attribute, r.Entry.Reason)
			}
		}
		e.t.Fatalf("ends are %q, want %q", got, want)
	}
}

func TestLifeOfAPerson(t *testing.T) {
	e := newEngine(t)
	_, r := e.upload(person("1", nil), person("2", m{"title": "Baker"}))
	e.want(r, "created created")
	if got := e.attr("u1@acme.example", "accountEnabled"); got != "True" {
		t.Errorf("accountEnabled is %q", got)
	}
	_, r = e.upload(person("1", nil), person("2", m{"title": "Cook"}))
	e.want(r, "unchanged updated")
	if got := r[1].Entry.Modified; len(got) != 1 || got[0].Attribute != "jobTitle" || *got[0].Old != "Baker" || *got[0].New != "Cook" {
		t.Errorf("modified %+v", got)
	}
	_, r = e.upload(person("1", m{"active": false}))
	e.want(r, "disabled")
	_, r = e.upload(person("1", m{"active": false}))
	e.want(r, "unchanged")
	_, r = e.upload(person("1", nil))
	e.want(r, "updated")
	if n := len(e.log(provision.LogQuery{JobPK: e.job.PK})); n != 7 {
		t.Errorf("%d log entries, want 7", n)
	}
	if n := len(e.log(provision.LogQuery{Anchor: "1"})); n != 5 {
		t.Errorf("%d log entries of person 1, want 5", n)
	}
}

func TestKeyOrderDoesNotChangePeople(t *testing.T) {
	e := newEngine(t)
	e.upload(person("1", m{"title": "Baker"}))
	a, err := e.Accept(t.Context(), provision.Upload{Job: e.job, Operations: []provision.Operation{{Anchor: "1",
		Data: []byte(`{"title":"Baker","active":true,"displayName":"Person 1","userName":"u1@old.example","externalId":"1"}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	st, err := e.WaitUpload(t.Context(), e.job.PK, a.ID, provision.UploadSettled)
	if err != nil || st.Counts[provision.EndUnchanged] != 1 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestManagers(t *testing.T) {
	e := newEngine(t)
	// The manager comes later in the upload; 2's manager in a later upload; 3's never.
	_, r := e.upload(person("1", reportsTo("9")), person("2", reportsTo("8")), person("3", reportsTo("7")), person("9", nil))
	e.want(r, "created created created created")
	if got, want := e.attr("u1@acme.example", "manager"), e.user("u9@acme.example").ID; got != want {
		t.Errorf("manager of 1 is %q, want %q", got, want)
	}
	if len(r[0].References) != 1 || r[0].References[0].Status != provision.StatusSuccess {
		t.Errorf("references of 1: %+v", r[0].References)
	}
	if len(r[1].References) != 1 || r[1].References[0].Code != "ReferenceNotResolved" {
		t.Errorf("references of 2: %+v", r[1].References)
	}
	_, r = e.upload(person("8", nil))
	e.want(r, "created")
	if got, want := e.attr("u2@acme.example", "manager"), e.user("u8@acme.example").ID; got != want {
		t.Errorf("manager of 2 is %q, want %q", got, want)
	}
	if got := e.attr("u3@acme.example", "manager"); got != "" {
		t.Errorf("manager of 3 is %q", got)
	}
	// Sent again, everybody is unchanged and no reference is logged again.
	before := len(e.log(provision.LogQuery{}))
	_, r = e.upload(person("1", reportsTo("9")), person("2", reportsTo("8")), person("3", reportsTo("7")))
	e.want(r, "unchanged unchanged unchanged")
	if n := len(e.log(provision.LogQuery{})) - before; n != 3 {
		t.Errorf("%d more log entries, want 3", n)
	}
	_, r = e.upload(person("1", reportsTo("8"))) // the new manager is linked: written with the record
	e.want(r, "updated")
	if got, want := e.attr("u1@acme.example", "manager"), e.user("u8@acme.example").ID; got != want {
		t.Errorf("manager of 1 is %q, want %q", got, want)
	}
}

func TestCorrectedCaseArrives(t *testing.T) {
	e := newEngine(t)
	e.upload(person("1", m{"displayName": "ann mcdonald"}))
	_, r := e.upload(person("1", m{"displayName": "Ann McDonald"}))
	e.want(r, "updated")
}

func TestOnePersonTwice(t *testing.T) {
	e := newEngine(t)
	_, r := e.upload(person("1", m{"title": "A"}), person("2", nil), person("1", m{"title": "B"}), person("1", m{"title": "B"}))
	e.want(r, "created created updated unchanged")
	if got := e.attr("u1@acme.example", "jobTitle"); got != "B" {
		t.Errorf("title is %q", got)
	}
}

func TestTwoPeopleWantOneUPN(t *testing.T) {
	e := newEngine(t)
	_, r := e.upload(person("1", m{"userName": "same@x.example"}), person("2", m{"userName": "SAME@x.example"}), person("3", nil))
	e.want(r, "created failed created")
	if x := r[1].Entry; x.Code != "Conflict" || x.Attribute != "userPrincipalName" || x.Advice == "" {
		t.Errorf("entry is %+v", x)
	}
	// A corrected record heals.
	_, r = e.upload(person("2", m{"userName": "other@x.example"}))
	e.want(r, "created")
}

func TestBadRecordsFailAlone(t *testing.T) {
	e := newEngine(t)
	_, r := e.upload(person("1", nil), m{"displayName": "No id"}, person("3", m{"userName": nil}),
		person("4", m{"displayName": string(make([]rune, 300))}), person("5", m{"active": "maybe"}), person("6", m{"title": m{"x": 1}}), person("7", nil))
	e.want(r, "created failed failed failed failed failed created")
	for _, i := range []int{1, 2, 3, 4, 5} {
		if x := r[i].Entry; x.Code == "" || x.Reason == "" || x.Advice == "" {
			t.Errorf("record %d fails without an explanation: %+v", i, x)
		}
	}
}

func TestMissingActiveLeavesPeopleAlone(t *testing.T) {
	e := newEngine(t)
	_, r := e.upload(person("1", nil), person("2", m{"active": nil}))
	e.want(r, "created created")
	if got := e.attr("u2@acme.example", "accountEnabled"); got != "False" {
		t.Errorf("somebody new without active is created with accountEnabled %q", got)
	}
	_, r = e.upload(person("1", m{"active": nil}))
	e.want(r, "unchanged")
	if got := e.attr("u1@acme.example", "accountEnabled"); got != "True" {
		t.Errorf("accountEnabled is %q", got)
	}
	if len(r[0].Entry.Warnings) == 0 {
		t.Error("no warning")
	}
}

func TestAnchorsArePrintable(t *testing.T) {
	e := newEngine(t)
	_, r := e.upload(person("1", m{"externalId": "1"}), person("a\r\nb", nil))
	e.want(r, "created failed")
	if r[1].Entry.Attribute != "externalId" {
		t.Errorf("entry is %+v", r[1].Entry)
	}
}

func TestSameRequestTwice(t *testing.T) {
	e := newEngine(t)
	u := provision.Upload{Job: e.job, ClientRequestID: "x", BodyHash: sha256.Sum256([]byte("x")),
		Operations: []provision.Operation{{Anchor: "1", Data: []byte(`{"externalId":"1"}`)}}}
	a, err := e.Accept(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Accept(t.Context(), u)
	if err != nil || !b.Replay || b.ID != a.ID || b.Number != a.Number {
		t.Errorf("%+v after %+v, %v", b, a, err)
	}
	u.BodyHash = sha256.Sum256([]byte("y"))
	if c, err := e.Accept(t.Context(), u); err != nil || c.Replay {
		t.Errorf("another body is a replay: %+v, %v", c, err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	e := newEngine(t)
	if err := e.SetJobState(t.Context(), e.job.PK, provision.JobPaused); err != nil {
		t.Fatal(err)
	}
	job := *e.job
	job.Settings.QueueRecords = 2
	u := provision.Upload{Job: &job, Operations: []provision.Operation{{Anchor: "1", Data: []byte(`{}`)}}}
	for range 2 {
		if _, err := e.Accept(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Accept(t.Context(), u); !errors.Is(err, provision.ErrQueueFull) {
		t.Errorf("error is %v, want ErrQueueFull", err)
	}
}

func TestPausedJobKeepsItsQueueOverARestart(t *testing.T) {
	e := newEngine(t)
	if err := e.SetJobState(t.Context(), e.job.PK, provision.JobPaused); err != nil {
		t.Fatal(err)
	}
	a := e.accept(person("1", nil))
	e.close()
	e.open()
	rs, err := e.Receipts(t.Context(), e.job.PK, a.Number, 0, 10)
	if err != nil || ends(rs) != "queued " {
		t.Fatalf("%v, %v", rs, err)
	}
	if err := e.SetJobState(t.Context(), e.job.PK, provision.JobActive); err != nil {
		t.Fatal(err)
	}
	st, err := e.WaitUpload(t.Context(), e.job.PK, a.ID, provision.UploadSettled)
	if err != nil || st.Counts[provision.EndCreated] != 1 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestDataDirectoryHasOneOwner(t *testing.T) {
	e := newEngine(t)
	if _, err := sqlstore.Open(t.Context(), e.dir, sqlstore.Options{}); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("error is %v, want ErrInUse", err)
	}
}
