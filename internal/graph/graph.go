// Package graph speaks Microsoft Graph's HTTP API for API-driven inbound provisioning: bulkUpload, synchronization
// jobs with their schemas and their whole life, provisioning and audit logs, and the users of the directory, on /v1.0
// and /beta. It is the only room that knows URLs, @odata annotations and Graph's error object; what happens is decided
// behind Service.
package graph

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
	"induct/internal/oauth"
	"induct/internal/provision"
)

// Service is the engine as the wire needs it. Its methods are called concurrently; errors are those of provision,
// told apart with errors.Is, and anything else is answered with 500.
type Service interface {
	Tenant() provision.Tenant
	// Apps returns all provisioning apps, those without jobs too.
	Apps(ctx context.Context) ([]*provision.App, error)
	// PutApp has a service principal be one that jobs can belong to, and gives it a name; its secrets stay.
	PutApp(ctx context.Context, servicePrincipal, appID uuid.UUID, displayName string) error
	// SetSecrets replaces all secrets of an app. Of confidential ones only the key is handed over; ErrNotFound.
	SetSecrets(ctx context.Context, servicePrincipal uuid.UUID, secrets []provision.KeyValue) error
	// Refresh has Job know what other processes have changed; without it that may be missing for a second.
	Refresh(ctx context.Context) error
	// Jobs returns all jobs of the tenant.
	Jobs(ctx context.Context) ([]*provision.Job, error)
	// LoggedJobs returns the jobs that log entries may be of: those that were deleted, too.
	LoggedJobs(ctx context.Context) ([]*provision.Job, error)
	// Job returns the job with this id, in any case; ErrNotFound.
	Job(ctx context.Context, id string) (*provision.Job, error)
	// CreateJob makes a disabled job of a template; ErrNotFound for a template or an app that there is not.
	CreateJob(ctx context.Context, template string, servicePrincipal uuid.UUID) (*provision.Job, error)
	// DeleteJob ends a job with all that it remembers; the accounts that it has provisioned, and the log, stay.
	DeleteJob(ctx context.Context, jobPK int64) error
	JobStatus(ctx context.Context, jobPK int64) (*provision.JobStatus, error)
	// StartJob begins, or goes on; it ends a quarantine, unless that asks for a decision.
	StartJob(ctx context.Context, jobPK int64) error
	// PauseJob lets what runs end, and begins nothing more. Uploads are accepted all the same.
	PauseJob(ctx context.Context, jobPK int64) error
	SetJobState(ctx context.Context, jobPK int64, state provision.JobState) error
	// RestartJob forgets what scope says, throws what waits out of the queue if that is anything, and starts the job.
	RestartJob(ctx context.Context, jobPK int64, scope provision.ResetScope) (provision.Purge, error)
	// SetSettings replaces all settings of a job.
	SetSettings(ctx context.Context, jobPK int64, settings provision.JobSettings) error
	// ProvisionOnDemand evaluates the kept record of one person now, who is named by anchor or by the id of the linked
	// object, and carries out what it comes to; ErrNotFound if nothing is kept of such a person.
	ProvisionOnDemand(ctx context.Context, jobPK int64, subject string) (*provision.OnDemand, error)
	// Pending returns records that have an outcome and no end, in the store's order.
	Pending(ctx context.Context, jobPK int64, q provision.PendingQuery) (provision.PendingPage, error)
	// Decide approves or rejects held changes, all of them for nil anchors, and returns how many. ErrNotFound if nothing is
	// held of one of the anchors: then nothing is decided.
	Decide(ctx context.Context, jobPK int64, approve bool, anchors []string) (int, error)
	// Connection returns a linked person by anchor, or else by the id of the object; ErrNotFound.
	Connection(ctx context.Context, jobPK int64, id string) (*provision.Person, error)
	// Connections returns up to limit linked people whose Place is higher than after, in order.
	Connections(ctx context.Context, jobPK int64, after int64, limit int) ([]provision.KeptPerson, error)
	// Disconnect drops the link of a person, named as for Connection; nil if there is none. ErrRunning.
	Disconnect(ctx context.Context, jobPK int64, id string) error
	// Relink links a person to another object; ErrRunning, ErrNotFound (the person or the object), ErrTaken.
	Relink(ctx context.Context, jobPK int64, anchor, objectID string) error
	// QueryAudit returns who changed what, newest first unless the query says otherwise.
	QueryAudit(ctx context.Context, q provision.AuditQuery) (provision.AuditPage, error)
	// Notices returns the latest news of a job, newest first.
	Notices(ctx context.Context, jobPK int64, limit int) ([]provision.Notice, error)
	// Accept returns once the upload is durable; ErrQueueFull, ErrNoSpace.
	Accept(ctx context.Context, u provision.Upload) (provision.Accepted, error)
	Upload(ctx context.Context, jobPK int64, id uuid.UUID) (*provision.UploadStatus, error)
	// WaitUpload returns when the upload has reached the state, or its present status when ctx ends.
	WaitUpload(ctx context.Context, jobPK int64, id uuid.UUID, until provision.UploadState) (*provision.UploadStatus, error)
	// Receipts returns what became of up to limit operations of an upload, from index from on.
	Receipts(ctx context.Context, jobPK int64, number int64, from, limit int) ([]provision.Receipt, error)
	UnreadPaths(ctx context.Context, jobPK int64) ([]provision.PathCount, error)
	// SetSchema gives a job another schema, under a new version, and has everybody re-evaluated in the background. A schema
	// that cannot run is a *mapping.SchemaError, and then nothing has changed.
	SetSchema(ctx context.Context, jobPK int64, schema *mapping.Schema) error
	// Preview tells what a record would do, by the schema or, if that is nil, by the job's own; it writes nothing.
	Preview(ctx context.Context, jobPK int64, q provision.PreviewQuery) (*provision.Preview, error)
	// Record adds an entry to the audit log; its id, time and actor are filled in.
	Record(ctx context.Context, a provision.Audit) error
	provision.Log
	provision.Objects
	provision.DeletedItems
	provision.Accounts
}

// Verifier checks bearer tokens (RFC 6750). A token that is not accepted is an *oauth.TokenError, whose message is
// for the caller; an empty token is one, too.
type Verifier interface {
	Verify(ctx context.Context, bearer string) (*oauth.Principal, error)
}

// DefaultMaxBody bounds a request body after decompression: 4 MiB, Graph's general limit of a write.
const DefaultMaxBody = 4 << 20

// Config says what a handler serves. Service, Apps and Tokens are required.
type Config struct {
	Service Service
	Apps    Apps
	Tokens  Verifier

	// PublicURL is the scheme and host that clients use, for a server behind a proxy that ends TLS. Only its scheme
	// is used, unless a request names no host: links lead to the host that the client called, because clients send
	// their token to no other.
	PublicURL string
	// AuthorityURL is the scheme and host of the token issuer, for WWW-Authenticate; default: the host that was called.
	AuthorityURL string

	// RoleMembers returns the object ids of those who have the directory role with this template id; default nobody.
	RoleMembers func(ctx context.Context, roleTemplateID string) ([]string, error)

	// Retention tells how long what is kept, and what was dropped; default nobody knows.
	Retention func(ctx context.Context) ([]Kept, error)
	// KeepUploads is how long uploads can be asked for, which those are told who ask for one that is not there; 0: for ever.
	KeepUploads time.Duration

	Limits Limits // of bulkUpload; the zero value means SelfHosted
	// Allowances has the limits hold for all processes that share it, together; default: this process is the only one.
	Allowances Allowances
	MaxBody    int64            // bytes of a body after decompression; default DefaultMaxBody
	Now        func() time.Time // default time.Now
	Logger     *slog.Logger     // one event per request; default discards
	Observe    func(Request)    // called once for each answered request, by many at once; it must not wait; default nobody
}

// server is the handler that New returns.
type server struct {
	Config
	one     func(*call) error // serves a request, also one of a batch
	secure  bool              // clients use TLS even if this process does not see it
	limiter limiter
}

// lockJobs is the name of the lock of whoever reads schemas or settings of jobs, changes and writes them; oauth.LockClients that
// of app registrations.
const lockJobs = "jobs"

// lockWait is how long a request waits for a lock: longer than anybody holds one who is well.
const lockWait = 20 * time.Second

// lock waits until no other request, of whatever process, holds the lock of that name.
func (c *call) lock(name string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(c.r.Context(), lockWait)
	defer cancel()
	unlock, err = c.s.Apps.Lock(ctx, name)
	if err != nil && ctx.Err() != nil {
		return nil, &problem{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", message: "Others are changing the same. Please retry again later.", retryAfter: time.Second}
	}
	return unlock, err
}

// New returns the handler of everything below /v1.0 and /beta, in any case.
func New(cfg Config) http.Handler {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = SelfHosted()
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.RoleMembers == nil {
		cfg.RoleMembers = func(context.Context, string) ([]string, error) { return nil, nil }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Request) {}
	}
	return &server{Config: cfg, one: (*call).serve, secure: hasScheme(cfg.PublicURL, "https"), limiter: newLimiter(cfg.Limits, cfg.Allowances)}
}
