package graph

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/mapping"
	"induct/internal/oauth"
	"induct/internal/oauth/oauthtest"
	"induct/internal/provision"
)

const (
	spID    = "60443998-8cf7-4e61-b05c-a53b658cb5e1"
	appID   = "11111111-2222-4333-8444-555555555555"
	otherSP = "99999999-8888-4777-8666-555555555555" // there is none

	emptySP  = "70443998-8cf7-4e61-b05c-a53b658cb5e2" // an app without jobs
	emptyApp = "21111111-2222-4333-8444-555555555556"

	jobID   = "API2AAD.b16687d38faf42adb29892cdcaf01c6e.1a03de52-b9c3-4e2c-a1e3-9145aaa8e530"
	jobsURL = "/v1.0/servicePrincipals/" + spID + "/synchronization/jobs"
	jobURL  = jobsURL + "/" + jobID
	bulkURL = jobURL + "/bulkUpload"
)

var tenantID = uuid.MustParse("b16687d3-8faf-42ad-b298-92cdcaf01c6e")

// fakeService is a Service in memory. Its log holds entries by Seq, from 1.
type fakeService struct {
	job     *provision.Job
	status  provision.JobStatus
	log     []provision.LogEntry
	users   []provision.Object
	uploads []provision.Upload
	receipt []provision.Receipt
	err     error // of Accept
	panics  bool
	apps    []*provision.App
	others  []*provision.Job // beside job
	purge   *provision.Purge
	gone    bool            // the job was deleted
	did     []string        // what has been asked for beside reads
	actor   provision.Actor // of the latest of it
	refuse  error           // what doing anything comes to
	pending []provision.Pending
	people  []provision.KeptPerson
	audits  []provision.Audit // oldest first
	notices []provision.Notice
	scan    int // entries that one QueryLog looks at; 0 means all

	deletions int
	looked    int // users that Objects has looked at
}

func newFake() *fakeService {
	schema, _ := mapping.Template("API2AAD")
	return &fakeService{job: &provision.Job{
		PK: 7, ID: jobID, TemplateID: "API2AAD", ServicePrincipalID: uuid.MustParse(spID), ApplicationID: uuid.MustParse(appID),
		DisplayName: "HR feed", State: provision.JobPaused, Schema: schema,
	}, apps: []*provision.App{
		{ServicePrincipalID: uuid.MustParse(spID), ApplicationID: uuid.MustParse(appID), DisplayName: "HR feed"},
		{ServicePrincipalID: uuid.MustParse(emptySP), ApplicationID: uuid.MustParse(emptyApp), DisplayName: "No job yet"},
	}}
}

func (f *fakeService) Tenant() provision.Tenant {
	return provision.Tenant{ID: tenantID, DisplayName: "Contoso", DefaultDomain: "contoso.example"}
}

func (f *fakeService) Jobs(context.Context) ([]*provision.Job, error) {
	if f.panics {
		panic("boom")
	}
	if f.gone {
		return f.others, nil
	}
	return append([]*provision.Job{f.job}, f.others...), nil
}

// LoggedJobs has the job even if it is gone.
func (f *fakeService) LoggedJobs(context.Context) ([]*provision.Job, error) {
	if f.panics {
		panic("boom")
	}
	return append([]*provision.Job{f.job}, f.others...), nil
}

func (f *fakeService) Refresh(context.Context) error { return nil }

func (f *fakeService) Job(ctx context.Context, id string) (*provision.Job, error) {
	jobs, _ := f.Jobs(ctx)
	for _, j := range jobs {
		if strings.EqualFold(id, j.ID) {
			return j, nil
		}
	}
	return nil, provision.ErrNotFound
}

func (f *fakeService) JobStatus(context.Context, int64) (*provision.JobStatus, error) {
	return &f.status, nil
}

func (f *fakeService) Apps(context.Context) ([]*provision.App, error) { return f.apps, nil }

func (f *fakeService) PutApp(_ context.Context, sp, app uuid.UUID, name string) error {
	for _, a := range f.apps {
		if a.ServicePrincipalID == sp {
			a.DisplayName = name
			return nil
		}
	}
	f.apps = append(f.apps, &provision.App{ServicePrincipalID: sp, ApplicationID: app, DisplayName: name})
	return nil
}

// act notes that something is asked for, and by whom; it is refused if anything is.
func (f *fakeService) act(ctx context.Context, format string, args ...any) error {
	f.actor = provision.ActorOf(ctx)
	if f.refuse == nil {
		f.did = append(f.did, fmt.Sprintf(format, args...))
	}
	return f.refuse
}

func (f *fakeService) SetSecrets(ctx context.Context, sp uuid.UUID, secrets []provision.KeyValue) error {
	for _, a := range f.apps {
		if a.ServicePrincipalID == sp {
			a.Secrets = secrets
			return f.act(ctx, "secrets %v", secrets)
		}
	}
	return provision.ErrNotFound
}

func (f *fakeService) CreateJob(ctx context.Context, template string, sp uuid.UUID) (*provision.Job, error) {
	schema, ok := mapping.Template(template)
	if !ok {
		return nil, provision.ErrNotFound
	}
	for _, a := range f.apps {
		if a.ServicePrincipalID == sp {
			pk := int64(8 + len(f.others))
			j := &provision.Job{PK: pk, ID: fmt.Sprintf("%s.b16687d38faf42adb29892cdcaf01c6e.%d", template, pk), TemplateID: template,
				ServicePrincipalID: sp, ApplicationID: a.ApplicationID, DisplayName: a.DisplayName, State: provision.JobDisabled, Schema: schema}
			f.others = append(f.others, j)
			return j, f.act(ctx, "create %s", template)
		}
	}
	return nil, provision.ErrNotFound
}

func (f *fakeService) DeleteJob(ctx context.Context, pk int64) error {
	f.gone = f.gone || pk == f.job.PK
	f.others = slices.DeleteFunc(f.others, func(j *provision.Job) bool { return j.PK == pk })
	return f.act(ctx, "delete %d", pk)
}

func (f *fakeService) SetJobState(ctx context.Context, _ int64, state provision.JobState) error {
	f.job.State = state
	return f.act(ctx, "state %s", state)
}

func (f *fakeService) StartJob(ctx context.Context, pk int64) error {
	f.job.State = provision.JobActive
	return f.act(ctx, "start %d", pk)
}

func (f *fakeService) PauseJob(ctx context.Context, pk int64) error {
	f.job.State = provision.JobPaused
	return f.act(ctx, "pause %d", pk)
}

func (f *fakeService) RestartJob(ctx context.Context, pk int64, scope provision.ResetScope) (provision.Purge, error) {
	return provision.Purge{Uploads: 2, Records: 70}, f.act(ctx, "restart %d %d", pk, scope)
}

func (f *fakeService) SetSettings(ctx context.Context, pk int64, settings provision.JobSettings) error {
	job := *f.job
	job.Settings = settings
	f.job = &job
	return f.act(ctx, "settings %d", pk)
}

func (f *fakeService) ProvisionOnDemand(ctx context.Context, pk int64, subject string) (*provision.OnDemand, error) {
	for _, e := range f.log {
		if e.Anchor == subject || e.ObjectID == subject {
			return &provision.OnDemand{Entry: e, Rule: f.job.Schema.Rules[0].ID}, f.act(ctx, "on demand %d %s", pk, subject)
		}
	}
	return nil, fmt.Errorf("on demand: %w", provision.ErrNotFound)
}

func (f *fakeService) Pending(_ context.Context, _ int64, q provision.PendingQuery) (page provision.PendingPage, err error) {
	for _, p := range f.pending {
		if p.Place <= q.After || q.Kind != provision.PendingNone && p.Kind != q.Kind || q.Staged && !p.Staged || q.Anchor != "" && p.Anchor != q.Anchor {
			continue
		}
		if len(page.Records) == q.Limit {
			page.More = true
			return page, nil
		}
		page.Records, page.Next = append(page.Records, p), p.Place
	}
	return page, nil
}

func (f *fakeService) Decide(ctx context.Context, pk int64, approve bool, anchors []string) (int, error) {
	n := 0
	for _, p := range f.pending {
		if p.Kind == provision.PendingHeld && (anchors == nil || slices.Contains(anchors, p.Anchor)) {
			n++
		}
	}
	if n < len(anchors) {
		return 0, fmt.Errorf("decide: %w", provision.ErrNotFound)
	}
	return n, f.act(ctx, "decide %d %t %v", pk, approve, anchors)
}

func (f *fakeService) Connection(_ context.Context, _ int64, id string) (*provision.Person, error) {
	for i := range f.people {
		if p := &f.people[i].Person; p.ObjectID != "" && (p.Anchor == id || p.ObjectID == id) {
			return p, nil
		}
	}
	return nil, provision.ErrNotFound
}

func (f *fakeService) Connections(_ context.Context, _ int64, after int64, limit int) (found []provision.KeptPerson, err error) {
	for _, p := range f.people {
		if p.Place > after && p.ObjectID != "" && len(found) < limit {
			found = append(found, p)
		}
	}
	return found, nil
}

func (f *fakeService) Disconnect(ctx context.Context, pk int64, id string) error {
	if f.job.State == provision.JobActive {
		return provision.ErrRunning
	}
	f.people = slices.DeleteFunc(f.people, func(p provision.KeptPerson) bool { return p.Anchor == id || p.ObjectID == id })
	return f.act(ctx, "disconnect %d %s", pk, id)
}

func (f *fakeService) Relink(ctx context.Context, pk int64, anchor, id string) error {
	if f.job.State == provision.JobActive {
		return provision.ErrRunning
	}
	for i := range f.people {
		if f.people[i].ObjectID == id && f.people[i].Anchor != anchor {
			return provision.ErrTaken
		}
	}
	for i := range f.people {
		if f.people[i].Anchor == anchor && id != "nobody" {
			f.people[i].ObjectID = id
			return f.act(ctx, "relink %d %s %s", pk, anchor, id)
		}
	}
	return provision.ErrNotFound
}

func (f *fakeService) QueryAudit(_ context.Context, q provision.AuditQuery) (page provision.AuditPage, err error) {
	entries := slices.Clone(f.audits)
	if !q.Ascending {
		slices.Reverse(entries)
	}
	for _, a := range entries {
		if q.Before > 0 && a.Seq >= q.Before || a.Seq <= q.After {
			continue
		}
		if len(page.Entries) == q.Limit {
			page.More = true
			return page, nil
		}
		page.Next = a.Seq
		if !q.From.IsZero() && a.Time.Before(q.From) || !q.To.IsZero() && !a.Time.Before(q.To) || q.Activity != "" && a.Activity != q.Activity || q.Match != nil && !q.Match(&a) {
			continue
		}
		page.Entries = append(page.Entries, a)
	}
	return page, nil
}

func (f *fakeService) Record(ctx context.Context, a provision.Audit) error {
	a.Seq, a.ID, a.Time, a.Actor = int64(len(f.audits)+1), uuid.New(), time.Date(2026, 8, 20, 10, len(f.audits), 0, 0, time.UTC), provision.ActorOf(ctx)
	f.audits = append(f.audits, a)
	return nil
}

func (f *fakeService) Notices(_ context.Context, _ int64, limit int) ([]provision.Notice, error) {
	return f.notices[:min(limit, len(f.notices))], nil
}

// SetSchema refuses what cannot run.
func (f *fakeService) SetSchema(_ context.Context, _ int64, s *mapping.Schema) error {
	if _, err := mapping.Compile(s, mapping.Settings{DefaultDomain: "contoso.example"}); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	next := *s
	next.ID, next.Version = f.job.ID, f.job.Schema.Version+"+"
	job := *f.job
	job.Schema = &next
	f.job = &job
	return nil
}

// Preview evaluates, and finds a user by employeeId.
func (f *fakeService) Preview(_ context.Context, _ int64, q provision.PreviewQuery) (*provision.Preview, error) {
	if q.Operation.Data == nil {
		return nil, provision.ErrNotFound
	}
	s := f.job.Schema
	if q.Schema != nil {
		s = q.Schema
	}
	program, err := mapping.Compile(s, mapping.Settings{DefaultDomain: "contoso.example"})
	if err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	r := mapping.Record{Sent: q.Operation.Data}
	p := &provision.Preview{Explanation: program.Explain(r), Entry: provision.LogEntry{End: provision.EndFailed, Anchor: q.Operation.Anchor}}
	out := program.Evaluate(r)
	if problem := out.Problem; problem != nil {
		p.Entry.Code, p.Entry.Attribute, p.Entry.Reason, p.Entry.Advice = problem.Code, problem.Attribute, problem.Reason, problem.Advice
		return p, nil
	}
	for i := range f.users {
		if f.users[i].Attributes["employeeId"].String() == q.Operation.Anchor {
			p.Current = &f.users[i]
		}
	}
	p.Planned = provision.Plan(&out, p.Current, program.FlowTypes())
	p.Entry.End = p.Planned.End
	return p, nil
}

var uploadID = uuid.MustParse("5f0c7b1e-6a58-4a36-9c2f-2c0a3b8f1a01")

func (f *fakeService) Accept(_ context.Context, u provision.Upload) (provision.Accepted, error) {
	if f.err != nil {
		return provision.Accepted{}, f.err
	}
	f.uploads = append(f.uploads, u)
	return provision.Accepted{ID: uploadID, Number: int64(len(f.uploads))}, nil
}

func (f *fakeService) Upload(_ context.Context, _ int64, id uuid.UUID) (*provision.UploadStatus, error) {
	if id != uploadID {
		return nil, provision.ErrNotFound
	}
	counts := map[provision.End]int{}
	for _, r := range f.receipt {
		counts[r.End]++
	}
	return &provision.UploadStatus{ID: id, Number: 1, JobID: jobID, State: provision.UploadAccepted, Received: time.Unix(1e9, 0),
		Operations: len(f.receipt), Counts: counts, Purge: f.purge}, nil
}

func (f *fakeService) WaitUpload(ctx context.Context, job int64, id uuid.UUID, until provision.UploadState) (*provision.UploadStatus, error) {
	u, err := f.Upload(ctx, job, id)
	if err == nil {
		u.State, u.Done = until, time.Unix(1e9+1, 0)
	}
	return u, err
}

func (f *fakeService) Receipts(_ context.Context, _ int64, _ int64, from, limit int) ([]provision.Receipt, error) {
	from = min(from, len(f.receipt))
	return f.receipt[from:min(len(f.receipt), from+limit)], nil
}

func (f *fakeService) UnreadPaths(context.Context, int64) ([]provision.PathCount, error) {
	return []provision.PathCount{{Path: "nickName", Records: 3}}, nil
}

func (f *fakeService) LastSeq(context.Context) (int64, error) { return int64(len(f.log)), nil }

func (f *fakeService) QueryLog(_ context.Context, q provision.LogQuery) (page provision.LogPage, err error) {
	entries := slices.Clone(f.log)
	if !q.Ascending {
		slices.Reverse(entries)
	}
	looked := 0
	for _, e := range entries {
		if q.Before > 0 && e.Seq >= q.Before || e.Seq <= q.After {
			continue
		}
		if len(page.Entries) == q.Limit || f.scan > 0 && looked == f.scan {
			page.More = true
			return page, nil
		}
		looked++
		page.Next = e.Seq
		if q.JobPK != 0 && e.JobPK != q.JobPK || !q.From.IsZero() && e.Time.Before(q.From) || !q.To.IsZero() && !e.Time.Before(q.To) ||
			q.Cycle != 0 && e.Cycle != q.Cycle || q.Status != nil && e.Status != *q.Status || q.Anchor != "" && e.Anchor != q.Anchor ||
			q.Upload != 0 && e.Upload != q.Upload || e.Hidden && !q.Hidden || q.Match != nil && !q.Match(&e) {
			continue
		}
		page.Entries = append(page.Entries, e)
	}
	return page, nil
}

func (f *fakeService) Object(_ context.Context, id string) (*provision.Object, error) {
	for i := range f.users {
		if f.users[i].Deleted.IsZero() && (strings.EqualFold(f.users[i].ID, id) || strings.EqualFold(f.users[i].Attributes["userPrincipalName"].String(), id)) {
			return &f.users[i], nil
		}
	}
	return nil, provision.ErrNotFound
}

func (f *fakeService) Objects(_ context.Context, q provision.ObjectQuery) (page provision.ObjectPage, err error) {
	for i := int(q.After); i < len(f.users); i++ {
		if len(page.Objects) == q.Limit {
			page.More = true
			return page, nil
		}
		page.Next = int64(i + 1)
		ok := f.users[i].Deleted.IsZero() != q.Deleted
		for name, v := range q.Equal {
			ok = ok && strings.EqualFold(f.users[i].Attributes[name].String(), v)
		}
		if ok {
			f.looked++
		}
		if ok && (q.Match == nil || q.Match(&f.users[i])) {
			page.Objects = append(page.Objects, f.users[i])
		}
	}
	return page, nil
}

func (f *fakeService) CountObjects(ctx context.Context, q provision.ObjectQuery) (int64, error) {
	q.Limit, q.After = len(f.users)+1, 0
	page, err := f.Objects(ctx, q)
	return int64(len(page.Objects)), err
}

// write sets attributes, with the directory's rules of userPrincipalName and displayName.
func (f *fakeService) write(ctx context.Context, o *provision.Object, set []provision.Assignment) (*provision.Object, error) {
	next := *o
	next.Attributes = maps.Clone(o.Attributes)
	for _, a := range set {
		next.Attributes[a.Attribute] = a.Value
		if a.Value.IsEmpty() {
			delete(next.Attributes, a.Attribute)
		}
	}
	upn := next.Attributes["userPrincipalName"].String()
	refusal := &provision.TargetError{Code: "Conflict", Attribute: "userPrincipalName"}
	if other, err := f.Object(ctx, upn); err == nil && other.ID != o.ID {
		return nil, refusal
	}
	if refusal.Code = "AzureActiveDirectoryInvalidUserPrincipalName"; !strings.Contains(upn, "@") {
		return nil, fmt.Errorf("write: %w", refusal)
	}
	if next.Attributes["mobile"].String() == "refused" {
		return nil, &provision.TargetError{Code: "UnprocessableEntity", Attribute: "mobile", Reason: "mobile is refused"}
	}
	next.Version++
	*o = next
	return o, f.act(ctx, "write %s %v", upn, set)
}

func (f *fakeService) CreateObject(ctx context.Context, set []provision.Assignment) (*provision.Object, error) {
	o, err := f.write(ctx, &provision.Object{ID: uuid.NewString(), Created: time.Date(2026, 8, 20, 9, 0, 0, 0, time.UTC), Attributes: map[string]expr.Value{}}, set)
	if err == nil {
		f.users = append(f.users, *o)
	}
	return o, err
}

func (f *fakeService) UpdateObject(ctx context.Context, id string, set []provision.Assignment) (*provision.Object, error) {
	o, err := f.Object(ctx, id)
	if err != nil {
		return nil, err
	}
	return f.write(ctx, o, set)
}

func (f *fakeService) DeletedObject(_ context.Context, id string) (*provision.Object, error) {
	for i := range f.users {
		if !f.users[i].Deleted.IsZero() && strings.EqualFold(f.users[i].ID, id) {
			return &f.users[i], nil
		}
	}
	return nil, provision.ErrNotFound
}

// Delete deletes a second after the deletion before.
func (f *fakeService) Delete(ctx context.Context, id string) error {
	o, err := f.Object(ctx, id)
	if err == nil {
		f.deletions++
		o.Deleted = time.Date(2026, 8, 20, 9, 0, f.deletions, 0, time.UTC)
	}
	return err
}

func (f *fakeService) Restore(ctx context.Context, id, upn string) (*provision.Object, error) {
	o, err := f.DeletedObject(ctx, id)
	if err != nil {
		return nil, err
	}
	upn = orDefault(upn, o.Attributes["userPrincipalName"].String())
	refusal := &provision.TargetError{Code: "Conflict", Attribute: "userPrincipalName", Reason: "taken", Advice: "none"}
	if !strings.Contains(upn, "@") {
		refusal = &provision.TargetError{Code: "AzureActiveDirectoryInvalidUserPrincipalName", Attribute: "userPrincipalName", Reason: "it has no @", Advice: "none"}
	} else if _, err := f.Object(ctx, upn); err != nil {
		o.Attributes["userPrincipalName"], o.Deleted = expr.Text(upn), time.Time{}
		return o, nil
	}
	return nil, fmt.Errorf("restore: %w", refusal)
}

func (f *fakeService) DeleteForever(ctx context.Context, id string) error {
	o, err := f.DeletedObject(ctx, id)
	if err == nil {
		f.users = slices.DeleteFunc(f.users, func(u provision.Object) bool { return u.ID == o.ID })
	}
	return err
}

// fakeTokens takes the token for the comma-separated roles it grants; "all" grants enough for every route, and one of bearer is
// a principal of its own.
type fakeTokens struct{}

func (fakeTokens) Verify(_ context.Context, bearer string) (*oauth.Principal, error) {
	switch bearer {
	case "":
		return nil, oauth.ErrTokenEmpty
	case "expired":
		return nil, oauth.ErrTokenLifetime
	case "all":
		bearer = "SynchronizationData-User.Upload,Synchronization.ReadWrite.All,AuditLog.Read.All,User.Read.All,User.DeleteRestore.All," +
			"User.ReadWrite.All,Directory.Read.All,Application.ReadWrite.All,AppRoleAssignment.ReadWrite.All,DelegatedPermissionGrant.ReadWrite.All"
	}
	if encoded, ok := strings.CutPrefix(bearer, "p."); ok {
		var p oauth.Principal
		text, err := base64.RawURLEncoding.DecodeString(encoded)
		if err == nil {
			err = json.Unmarshal(text, &p)
		}
		return &p, err
	}
	return &oauth.Principal{AppID: uuid.MustParse(appID), ObjectID: uuid.MustParse(spID), DisplayName: "HR feed", Roles: strings.Split(bearer, ",")}, nil
}

// world is a handler over a fake, with a clock that stands still.
type world struct {
	t       testing.TB
	fake    *fakeService
	apps    *oauthtest.Store
	handler http.Handler
	now     time.Time
	log     bytes.Buffer

	extended bool // answers hold members that a client has added: Graph's own schemas do not allow those
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	w := &world{t: t, fake: newFake(), apps: oauthtest.NewStore(), now: time.Date(2026, 8, 20, 10, 0, 0, 0, time.UTC)}
	for i, a := range w.fake.apps { // application and service principal have ids of their own, but these
		w.put(&oauth.Client{AppID: a.ApplicationID, ApplicationID: a.ApplicationID, ObjectID: a.ServicePrincipalID, DisplayName: a.DisplayName, Created: w.now.Add(time.Duration(i) * time.Second)})
	}
	cfg := Config{Service: w.fake, Apps: w.apps, Tokens: fakeTokens{}, Now: func() time.Time { return w.now },
		Logger: slog.New(slog.NewTextHandler(&w.log, nil))}
	for _, c := range change {
		c(&cfg)
	}
	w.handler = New(cfg)
	return w
}

// put stores an app registration.
func (w *world) put(a *oauth.Client) {
	w.t.Helper()
	if err := w.apps.PutClient(context.Background(), a); err != nil {
		w.t.Fatal(err)
	}
}

// send sends a request with the token "all" unless headers say otherwise, and checks what is true of every answer.
func (w *world) send(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, "https://graph.contoso.example/", strings.NewReader(body))
	path, query, _ := strings.Cut(target, "?")
	if u, err := r.URL.Parse(target); err == nil {
		r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
	} else {
		r.URL.Path = path
	}
	r.URL.RawQuery = query
	r.Header.Set("Authorization", "Bearer all")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	w.validate(r.Method, "/"+strings.TrimPrefix(r.URL.EscapedPath(), "/"), rec)
	return rec
}

func (w *world) get(target string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.send("GET", target, "", headers...)
}

// page gets a collection.
func (w *world) page(target string, headers ...string) (p struct {
	Context string           `json:"@odata.context"`
	Next    string           `json:"@odata.nextLink"`
	Count   *int             `json:"@odata.count"`
	Value   []map[string]any `json:"value"`
}) {
	w.t.Helper()
	rec := w.get(target, headers...)
	if rec.Code != 200 {
		w.t.Fatalf("GET %s: %d %s", target, rec.Code, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

type pathSchema struct {
	Method, Path, Schema string
	Status               int
}

func paths(t testing.TB) (rows []pathSchema) {
	readJSON(t, "paths.json", &rows)
	return append(append(ownPaths(), rows...),
		pathSchema{"GET", "auditLogs/provisioning/[^/]+", "provisioningObjectSummary", 200},
		pathSchema{"GET", `directory/deletedItems/(microsoft\.)?graph\.user`, "coll.user", 200},
		pathSchema{"GET", `directory/deletedItems/[^/]+(/(microsoft\.)?graph\.user)?`, "user", 200},
		pathSchema{"POST", `directory/deletedItems/[^/]+/(microsoft\.graph\.)?restore`, "user", 200},
		pathSchema{"PATCH", "servicePrincipals/[^/]+/synchronization/jobs/[^/]+", "synchronizationJob", 200},
		pathSchema{"GET", "servicePrincipals/[^/]+/synchronization/jobs\\('[^/]+'\\)", "synchronizationJob", 200},
		pathSchema{"GET", "applications/[^/]+/synchronization/secrets", "coll.synchronizationSecretKeyStringValuePair", 200},
		pathSchema{"GET", "applications/[^/]+/synchronization", "synchronization", 200},
	)
}

// errorOf returns the error object's code and message.
func errorOf(t testing.TB, rec *httptest.ResponseRecorder) (code, message string) {
	t.Helper()
	var body errorBody
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return body.Error.Code, body.Error.Message
}

// bulk is a body of n operations.
func bulk(n int) string {
	ops := make([]string, n)
	for i := range ops {
		ops[i] = fmt.Sprintf(`{"method":"POST","bulkId":"b","path":"/Users","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"%d"}}`, i)
	}
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[` + strings.Join(ops, ",") + `],"failOnErrors":null}`
}

// addLog appends an entry in cycle 1, one minute after the one before.
func (f *fakeService) addLog(e provision.LogEntry) {
	e.Seq, e.JobPK = int64(len(f.log)+1), 7
	e.Time = time.Date(2026, 8, 20, 10, len(f.log), 0, 123456000, time.UTC)
	if e.Cycle == 0 {
		e.Cycle = 1
	}
	if e.Upload == 0 {
		e.Upload = 1
	}
	f.log = append(f.log, e)
}

func (f *fakeService) addUser(name string, attributes map[string]string) {
	o := provision.Object{ID: uuid.NewSHA1(uuid.Nil, []byte(name)).String(), Created: time.Date(2026, 1, 1, 0, 0, len(f.users), 0, time.UTC),
		Attributes: map[string]expr.Value{"displayName": expr.Text(name), "userPrincipalName": expr.Text(strings.ToLower(name) + "@contoso.example"), "accountEnabled": expr.Bool(true)}}
	for k, v := range attributes {
		o.Attributes[k] = expr.Text(v)
	}
	f.users = append(f.users, o)
}
