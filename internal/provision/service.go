package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
)

// DefaultQueueRecords bounds a job's queue unless its settings say otherwise.
const DefaultQueueRecords = 5_000_000

// Colocated is a Target that lives in the store's database: its effects commit with the Unit.
type Colocated interface {
	// In returns the target as it is seen and changed inside u.
	In(u Unit) Target
}

// Config is what a Service is made of.
type Config struct {
	Store        Store
	Target       Colocated
	Tenant       Tenant
	QueueRecords int64            // bound of a job's queue; 0 means DefaultQueueRecords
	WithoutMail  bool             // jobs start although they have nobody to notify
	Now          func() time.Time // nil means time.Now
	Logger       *slog.Logger     // nil means slog.Default
	Observe      func(Batch)      // called for each batch once it is durable, by all jobs; it must not wait; nil means nobody
}

// Service is the engine: it accepts uploads, and Run takes them to their end. Its methods may be called concurrently.
type Service struct {
	store  Store
	target Colocated
	tenant Tenant
	queue  int64
	now    func() time.Time
	log    *slog.Logger
	seen   func(Batch)

	withoutMail bool

	editing sync.Mutex   // one change of a job or an app at a time
	config  atomic.Int64 // Store.ConfigRevision when jobs and apps were read

	mu       sync.Mutex
	apps     []*App
	jobs     map[int64]*Job
	programs map[int64]*mapping.Program
	runners  map[int64]*runner
	pulse    chan struct{} // closed and renewed whenever an upload may have moved
	start    func(*runner) // set while Run runs
}

// NewService returns a Service over what the store holds.
func NewService(ctx context.Context, cfg Config) (*Service, error) {
	s := &Service{store: cfg.Store, target: cfg.Target, tenant: cfg.Tenant, queue: cfg.QueueRecords, now: cfg.Now, log: cfg.Logger, seen: cfg.Observe, withoutMail: cfg.WithoutMail,
		jobs: map[int64]*Job{}, programs: map[int64]*mapping.Program{}, runners: map[int64]*runner{}, pulse: make(chan struct{})}
	if s.queue == 0 {
		s.queue = DefaultQueueRecords
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.seen == nil {
		s.seen = func(Batch) {}
	}
	revision, err := s.store.ConfigRevision(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the revision of jobs and apps: %w", err)
	}
	s.config.Store(revision)
	broken, err := s.reload(ctx)
	if err = errors.Join(append(broken, err)...); err != nil {
		return nil, err
	}
	return s, nil
}

// Refresh reads jobs and apps anew if another process has written one since they were read. It costs one small query if not.
func (s *Service) Refresh(ctx context.Context) error {
	revision, err := s.store.ConfigRevision(ctx)
	if err != nil {
		return fmt.Errorf("read the revision of jobs and apps: %w", err)
	}
	if revision == s.config.Load() {
		return nil
	}
	s.editing.Lock()
	defer s.editing.Unlock()
	broken, err := s.reload(ctx)
	if err != nil {
		return err
	}
	for _, err := range broken { // the others must not suffer, and nor must its uploads: it goes on as it was
		s.log.Error("a job that another process has changed cannot be run as it is now", "error", err)
	}
	s.config.Store(revision) // it was read first: what has changed since is read next time
	return nil
}

// reload takes over jobs and apps as they are stored; broken says which jobs cannot be. One that has not changed stays as it is.
func (s *Service) reload(ctx context.Context) (broken []error, err error) {
	apps, err := s.store.Apps(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the apps: %w", err)
	}
	jobs, err := s.store.Jobs(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the jobs: %w", err)
	}
	s.mu.Lock()
	s.apps = apps
	s.mu.Unlock()
	for _, j := range jobs {
		if known, _, err := s.compiled(j.PK); err == nil && known.Revision == j.Revision {
			continue
		}
		if p, err := s.compile(j); err != nil {
			broken = append(broken, err)
		} else {
			s.install(j, p)
		}
	}
	return broken, nil
}

func (s *Service) compile(j *Job) (*mapping.Program, error) {
	p, err := mapping.Compile(j.Schema, mapping.Settings{DefaultDomain: s.tenant.DefaultDomain, DisableMissing: j.Settings.DisableMissing})
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", j.ID, err)
	}
	return p, nil
}

// install makes a job the one that runs from the next batch on.
func (s *Service) install(j *Job, p *mapping.Program) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[j.PK], s.programs[j.PK] = j, p
	if r := s.runners[j.PK]; r != nil {
		r.hint()
		return
	}
	r := &runner{s: s, jobPK: j.PK, wake: make(chan struct{}, 1)}
	s.runners[j.PK] = r
	if s.start != nil {
		s.start(r)
	}
}

// Run works off the queues of all jobs until ctx ends; then it finishes the transactions under way and returns.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	s.mu.Lock()
	s.start = func(r *runner) { wg.Go(func() { r.run(ctx) }) }
	for _, r := range s.runners {
		s.start(r)
	}
	s.mu.Unlock()
	wg.Go(func() { s.listen(ctx) })
	<-ctx.Done()
	s.mu.Lock()
	s.start = nil
	s.mu.Unlock()
	wg.Wait()
}

// listen follows what other processes change, until ctx ends: it asks every now and then, and hears of some of it at once if the store
// can tell.
func (s *Service) listen(ctx context.Context) {
	var woken <-chan int64
	if w, ok := s.store.(Waker); ok {
		woken = w.Wakes(ctx)
	}
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case pk, open := <-woken:
			if !open {
				woken = nil
				continue
			}
			s.woken(pk)
		case <-poll.C:
			if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("jobs and apps could not be read anew; it will be tried again", "error", err)
			}
		}
	}
}

// woken tells everybody who waits that another process may have done something in a job; 0: in any.
func (s *Service) woken(jobPK int64) {
	s.mu.Lock()
	for pk, r := range s.runners {
		if jobPK == 0 || jobPK == pk {
			r.hint()
		}
	}
	s.mu.Unlock()
	s.changed()
}

func (s *Service) compiled(jobPK int64) (*Job, *mapping.Program, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[jobPK]
	if j == nil {
		return nil, nil, fmt.Errorf("job %d: %w", jobPK, ErrNotFound)
	}
	return j, s.programs[jobPK], nil
}

// changed wakes everybody who waits for an upload.
func (s *Service) changed() {
	s.mu.Lock()
	close(s.pulse)
	s.pulse = make(chan struct{})
	s.mu.Unlock()
}

// Tenant returns the tenant that owns everything.
func (s *Service) Tenant() Tenant { return s.tenant }

// Jobs returns all jobs, in the order of their creation. The caller must not change them.
func (s *Service) Jobs(ctx context.Context) ([]*Job, error) {
	all, err := s.LoggedJobs(ctx)
	return slices.DeleteFunc(all, func(j *Job) bool { return j.State == JobDeleted }), err
}

// LoggedJobs returns the jobs that entries of the log may be of: those there are, and those that were deleted. The caller must
// not change them.
func (s *Service) LoggedJobs(ctx context.Context) ([]*Job, error) {
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Values(s.jobs))
	slices.SortFunc(all, func(a, b *Job) int { return cmp.Compare(a.PK, b.PK) })
	return all, nil
}

// Job returns the job with this id, in any case, or ErrNotFound. The caller must not change it. What another process has changed
// within the last second may be missing from it, though not a job that is new.
func (s *Service) Job(ctx context.Context, id string) (*Job, error) {
	if j := s.known(id); j != nil {
		return j, nil
	}
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	if j := s.known(id); j != nil {
		return j, nil
	}
	return nil, fmt.Errorf("job %q: %w", id, ErrNotFound)
}

// known returns the job with this id as it is known; nil if it is not.
func (s *Service) known(id string) *Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.State != JobDeleted && strings.EqualFold(j.ID, id) {
			return j
		}
	}
	return nil
}

// CreateJob makes a job of a template for a provisioning app, which it starts with StartJob. ErrNotFound if there is no such template or app.
func (s *Service) CreateJob(ctx context.Context, template string, sp uuid.UUID) (*Job, error) {
	schema, ok := mapping.Template(template)
	if !ok {
		return nil, fmt.Errorf("template %q: %w", template, ErrNotFound)
	}
	app := s.app(sp)
	if app == nil {
		if err := s.Refresh(ctx); err != nil {
			return nil, err
		}
		app = s.app(sp)
	}
	if app == nil || app.ApplicationID == uuid.Nil {
		return nil, fmt.Errorf("app %s: %w", sp, ErrNotFound)
	}
	j := &Job{TemplateID: schema.ID, ApplicationID: app.ApplicationID, ServicePrincipalID: sp, DisplayName: app.DisplayName, State: JobDisabled, Created: s.now(),
		ID: fmt.Sprintf("%s.%s.%s", schema.ID, strings.ReplaceAll(s.tenant.ID.String(), "-", ""), uuid.New())}
	copied := *schema
	copied.ID = j.ID
	j.Schema = &copied
	p, err := s.compile(j)
	if err != nil {
		return nil, err
	}
	s.editing.Lock() // until it is installed: what is read anew meanwhile must not take its place
	defer s.editing.Unlock()
	err = s.store.PutJob(ctx, j, s.audit(j, ActorOf(ctx), auditCreate, "Add", Audit{}))
	if err != nil {
		return nil, fmt.Errorf("create a job: %w", err)
	}
	s.install(j, p)
	return j, nil
}

// Accept stores an upload and returns once it is durable: nothing accepted is lost from then on.
// Errors: ErrQueueFull, ErrNoSpace, ErrNotFound if the job was deleted.
func (s *Service) Accept(ctx context.Context, u Upload) (Accepted, error) {
	limit := s.queue
	if n := u.Job.Settings.QueueRecords; n > 0 {
		limit = n
	}
	if u.Received.IsZero() {
		u.Received = s.now()
	}
	a, err := s.store.Accept(ctx, u, uuid.New(), limit)
	if err != nil {
		return Accepted{}, err
	}
	s.mu.Lock()
	r := s.runners[u.Job.PK]
	s.mu.Unlock()
	if r != nil {
		r.hint()
	}
	return a, nil
}

// Upload returns how far an upload has come; ErrNotFound.
func (s *Service) Upload(ctx context.Context, jobPK int64, id uuid.UUID) (*UploadStatus, error) {
	return s.store.UploadStatus(ctx, jobPK, id)
}

// WaitUpload returns the upload's status once it has come as far as until, or as it is when ctx ends.
func (s *Service) WaitUpload(ctx context.Context, jobPK int64, id uuid.UUID, until UploadState) (*UploadStatus, error) {
	for {
		s.mu.Lock()
		pulse := s.pulse
		s.mu.Unlock()
		st, err := s.store.UploadStatus(context.WithoutCancel(ctx), jobPK, id)
		if err != nil || st.reached(until) {
			return st, err
		}
		t := time.NewTimer(pollInterval)
		select {
		case <-ctx.Done():
			t.Stop()
			return st, nil
		case <-pulse:
		case <-t.C:
		}
		t.Stop()
	}
}

func (st *UploadStatus) reached(until UploadState) bool {
	switch until {
	case UploadSettled:
		return st.State == UploadSettled
	case UploadDone:
		return st.State != UploadAccepted
	}
	return true
}

// Receipts returns what became of the operations of an upload, from index from on, at most limit (1 or more) of them.
func (s *Service) Receipts(ctx context.Context, jobPK, number int64, from, limit int) ([]Receipt, error) {
	q, err := s.store.QueuedOperations(ctx, jobPK, number)
	if err != nil {
		return nil, err
	}
	var all []Receipt
	for i, op := range q.Operations {
		r := Receipt{Index: i, BulkID: op.BulkID, Anchor: op.Anchor, End: EndQueued}
		if q.Purge != nil {
			r.End, r.Entry = EndPurged, purged(q.Purge, jobPK, number, i, op)
		}
		all = append(all, r)
	}
	if q.Operations == nil {
		if all, err = s.ended(ctx, jobPK, number); err != nil {
			return nil, err
		}
	}
	if from >= len(all) {
		return nil, nil
	}
	return all[max(from, 0):min(len(all), max(from, 0)+limit)], nil
}

// purged is what would stand in the log of a record that a restart has thrown out of the queue.
func purged(p *Purge, jobPK, number int64, index int, op Operation) *LogEntry {
	return &LogEntry{JobPK: jobPK, Time: p.Time, Upload: number, Index: index, BulkID: op.BulkID, Anchor: op.Anchor, Hidden: true, Status: StatusSkipped, End: EndPurged,
		Code: "Purged", Reason: "The job was restarted by " + p.By + " before the record was processed.", Advice: "Send the person again if the record still holds."}
}

// ended finds the receipts of an upload through its log entries: of several about one record the last says what became of it.
func (s *Service) ended(ctx context.Context, jobPK, number int64) ([]Receipt, error) {
	var all []Receipt
	q := LogQuery{JobPK: jobPK, Upload: number, Ascending: true, Hidden: true, Limit: 1000}
	for {
		page, err := s.store.QueryLog(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Entries {
			e := &page.Entries[i]
			for !e.Ref && e.Index >= len(all) {
				all = append(all, Receipt{Index: len(all)})
			}
			switch {
			case !e.Ref:
				r := &all[e.Index]
				r.BulkID, r.Anchor, r.End, r.Entry = e.BulkID, e.Anchor, e.End, e
			case e.Index < len(all):
				all[e.Index].References = append(all[e.Index].References, *e)
			}
		}
		if !page.More {
			return all, nil
		}
		q.After = page.Next
	}
}

// UnreadPaths returns the attribute paths that were sent to the job and that no mapping of it reads.
func (s *Service) UnreadPaths(ctx context.Context, jobPK int64) ([]PathCount, error) {
	return s.store.UnreadPaths(ctx, jobPK)
}

// JobStatus returns what the job says of itself.
func (s *Service) JobStatus(ctx context.Context, jobPK int64) (*JobStatus, error) {
	return s.store.JobStatus(ctx, jobPK)
}

// QueryLog implements Log.
func (s *Service) QueryLog(ctx context.Context, q LogQuery) (LogPage, error) {
	return s.store.QueryLog(ctx, q)
}

// LastSeq implements Log.
func (s *Service) LastSeq(ctx context.Context) (int64, error) { return s.store.LastSeq(ctx) }
