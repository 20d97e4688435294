package scenario

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/directory"
	"induct/internal/provision"
	"induct/internal/scim"
	"induct/internal/sqlstore"
)

// monday is when every scenario begins.
var monday = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.After(c.now) {
		c.now = to
	}
}

// world is what a scenario runs on: a service with its jobs on a store and a directory of their own.
type world struct {
	t      testing.TB
	site   site // where the store's data is
	clock  clock
	store  *sqlstore.Store
	rivals *rand.Rand // says when others come first; nil if there are none
	users  *directory.Directory
	target *misbehaving
	*provision.Service

	jobs    []*job
	spoken  *job              // whom "the job" and records without a job are about
	ledger  ledger            // what must hold after every step
	period  period            // what happened since the last action
	work    error             // why work is left undone: the target does not answer
	deleted map[string]string // ids of users who were deleted by hand, by userPrincipalName
	photo   site              // as it was at the moment when the service is to have died; nil if it lives
}

// job is a job, and what has been sent to it.
type job struct {
	name    string
	pk      int64
	app     uuid.UUID
	secrets map[string]string // of the app
	uploads []*upload
	latest  map[string]map[string]any // what was sent last of each person
}

// upload is an upload that was accepted.
type upload struct {
	provision.Accepted
	job        *job
	request    string // client-request-id
	body       [32]byte
	operations []provision.Operation
	cycle      int64           // that it was part of; 0 before
	ends       []provision.End // as they stood when they were last looked at
	settled    bool
}

// newWorld begins a world on a new site. The caller closes it.
func newWorld(t testing.TB, build func(testing.TB) site) *world {
	t.Helper()
	w := &world{t: t, site: build(t), clock: clock{now: monday}, target: &misbehaving{}, deleted: map[string]string{}}
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	return w
}

// close ends the world and removes what it has stored.
func (w *world) close() {
	if err := errors.Join(w.store.Close(), w.site.remove()); err != nil {
		w.t.Error(err)
	}
}

// open opens the store, with a new service on it.
func (w *world) open() (err error) {
	if w.store, err = w.site.open(w.t.Context(), w.clock.Now); err != nil {
		return err
	}
	w.users = directory.New(w.store)
	w.target.users = w.users
	w.Service, err = provision.NewService(w.t.Context(), provision.Config{Store: contended{w.store, w}, Target: w.target, Now: w.clock.Now,
		Logger: slog.New(slog.DiscardHandler),
		Tenant: provision.Tenant{ID: uuid.MustParse("b16687d3-8faf-42ad-b298-92cdcaf01c6e"), DisplayName: "One", DefaultDomain: "one.example"}})
	return err
}

// stop ends the service in order, and starts it again.
func (w *world) stop() error {
	if err := w.store.Close(); err != nil {
		return err
	}
	return w.open()
}

// kill ends the service as a power failure does: what is stored now is what the next one finds.
func (w *world) kill() error {
	photo, err := w.site.photograph()
	if err != nil {
		return err
	}
	return w.killAt(photo)
}

// killAt goes on from a photograph.
func (w *world) killAt(photo site) error {
	if err := w.store.Close(); err != nil {
		return err
	}
	w.site = photo
	return w.open()
}

// killLater ends the service like kill, in the middle of the n-th call of the target from now on that writes: a transaction
// is open then.
func (w *world) killLater(n int) {
	w.target.nthCall(n, true, func() (err error) {
		w.photo, err = w.site.photograph()
		return errors.Join(errUnreachable, err)
	})
}

// job returns the job that is called so; "" and "the job" are the one that was spoken of last.
func (w *world) job(name string) (*job, error) {
	if name == "" || name == "the job" {
		if w.spoken == nil {
			return nil, fmt.Errorf("there is no job yet")
		}
		return w.spoken, nil
	}
	for _, j := range w.jobs {
		if j.name == name {
			w.spoken = j
			return j, nil
		}
	}
	return nil, fmt.Errorf("there is no job %q", name)
}

// stored returns the job as the service has it.
func (w *world) stored(j *job) (*provision.Job, error) {
	jobs, err := w.Jobs(w.t.Context())
	if err != nil {
		return nil, err
	}
	for _, s := range jobs {
		if s.PK == j.pk {
			return s, nil
		}
	}
	return nil, fmt.Errorf("job %q: %w", j.name, provision.ErrNotFound)
}

// operation is an operation as a client sends it.
type operation struct {
	Method string         `json:"method"`
	BulkID string         `json:"bulkId"`
	Path   string         `json:"path"`
	Data   map[string]any `json:"data,omitempty"`
}

// send uploads records, and remembers them.
func (w *world) send(j *job, ops []operation) error {
	for i := range ops {
		ops[i].BulkID, ops[i].Path = fmt.Sprint("b", i+1), "/Users"
	}
	body, err := json.Marshal(map[string]any{"schemas": []string{scim.BulkRequestURN}, "Operations": ops})
	if err != nil {
		return err
	}
	parsed, err := scim.ParseBulk(body, scim.Limits{Operations: len(ops)})
	if err != nil {
		return err
	}
	u := &upload{job: j, request: uuid.NewString(), body: sha256.Sum256(body), ends: make([]provision.End, len(ops))}
	for i, op := range parsed {
		u.operations = append(u.operations, provision.Operation{BulkID: op.BulkID, Delete: op.Method == "DELETE", Anchor: op.Anchor, Data: op.Data})
		if op.Anchor != "" && op.Method != "DELETE" {
			j.latest[op.Anchor] = ops[i].Data
		}
	}
	return w.accept(u)
}

// accept has the service accept an upload; one that it knows already is not another.
func (w *world) accept(u *upload) error {
	j := u.job
	stored, err := w.stored(j)
	if err != nil {
		return err
	}
	u.Accepted, err = w.Accept(w.t.Context(), provision.Upload{Job: stored, ClientRequestID: u.request, BodyHash: u.body, Operations: u.operations})
	if err != nil || u.Replay {
		return err
	}
	j.uploads = append(j.uploads, u)
	w.period.uploads = append(w.period.uploads, u)
	return nil
}

// everyObject returns the users of the directory, in the order of their creation.
func (w *world) everyObject() (all []provision.Object, err error) {
	q := provision.ObjectQuery{Limit: 1000}
	for {
		page, err := w.users.Objects(w.t.Context(), q)
		if err != nil {
			return nil, err
		}
		if all = append(all, page.Objects...); !page.More {
			return all, nil
		}
		q.After = page.Next
	}
}

// object returns the user with this userPrincipalName, nil if there is none.
func (w *world) object(upn string) (*provision.Object, error) {
	o, err := w.users.Object(w.t.Context(), upn)
	if errors.Is(err, provision.ErrNotFound) {
		return nil, nil
	}
	return o, err
}

// entries returns the log entries that q selects, oldest first.
func (w *world) entries(q provision.LogQuery) (all []provision.LogEntry, err error) {
	q.Ascending, q.Limit = true, 1000
	for {
		page, err := w.QueryLog(w.t.Context(), q)
		if err != nil {
			return nil, err
		}
		if all = append(all, page.Entries...); !page.More {
			return all, nil
		}
		q.After = page.Next
	}
}

// period is what happened since the last action.
type period struct {
	seq     int64 // of the newest entry before it
	notice  int64 // the newest notice
	audit   int64 // and the newest entry of the audit log
	uploads []*upload
	objects map[string]int64 // versions by id, as they were before it; nil if nobody is going to ask

	named        map[int64]bool  // entries that a sentence has spoken of, by Seq
	namedObjects map[string]bool // objects, by id
}

// begin starts a period. With look the directory is remembered as it is.
func (w *world) begin(look bool) (err error) {
	p := period{named: map[int64]bool{}, namedObjects: map[string]bool{}}
	if p.seq, err = w.LastSeq(w.t.Context()); err != nil {
		return err
	}
	for _, j := range w.jobs {
		newest, err := w.Notices(w.t.Context(), j.pk, 1)
		if err != nil {
			return err
		}
		for _, n := range newest {
			p.notice = max(p.notice, n.ID)
		}
	}
	audit, err := w.QueryAudit(w.t.Context(), provision.AuditQuery{Limit: 1})
	if err != nil {
		return err
	}
	for _, e := range audit.Entries {
		p.audit = e.Seq
	}
	if look {
		p.objects = map[string]int64{}
		all, err := w.everyObject()
		if err != nil {
			return err
		}
		for _, o := range all {
			p.objects[o.ID] = o.Version
		}
	}
	w.period = p
	return nil
}

// news returns the visible entries of the period.
func (w *world) news(j *job, anchor *string) ([]provision.LogEntry, error) {
	q := provision.LogQuery{After: w.period.seq}
	if j != nil {
		q.JobPK = j.pk
	}
	if anchor != nil {
		q.Anchor = *anchor
	}
	all, err := w.entries(q)
	if anchor != nil && *anchor == "" {
		all = slices.DeleteFunc(all, func(e provision.LogEntry) bool { return e.Anchor != "" })
	}
	return all, err
}

func (w *world) name(entries []provision.LogEntry) {
	for _, e := range entries {
		w.period.named[e.Seq] = true
		w.period.namedObjects[e.ObjectID] = true
	}
}

// describe says what an entry is, for a message.
func describe(e *provision.LogEntry) string {
	s := fmt.Sprintf("%s: %s %s", e.Anchor, e.Action, e.Status)
	for _, more := range []string{e.Code, e.Attribute, e.Reason} {
		if more != "" {
			s += " " + more
		}
	}
	return strings.TrimSpace(s)
}
