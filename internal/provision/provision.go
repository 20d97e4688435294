// Package provision is the engine: it takes accepted uploads to their stated end.
//
// An upload is accepted durably into a job's queue (Service.Accept). A Runner takes the queue in batches by
// number, evaluates each record with the job's Program, finds the objects, plans the changes (Plan), applies
// them in waves, and commits effects, log entries, kept records, links and the position in one Unit.
// The package knows no wire and no database: it owns the ports Store, Unit and Target.
package provision

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/mapping"
)

// Errors that callers tell apart with errors.Is. Anything else is internal.
var (
	ErrNotFound  = errors.New("not found")
	ErrQueueFull = errors.New("the job's queue is full")
	ErrNoSpace   = errors.New("the data directory is out of space or cannot be written")
	// ErrUnavailable is returned if the database does not answer: what was asked for may be tried again.
	ErrUnavailable = errors.New("the database does not answer")
	// ErrDamaged says that stored data is not what was written. Nothing is accepted or changed any more.
	ErrDamaged = errors.New("the database is damaged")
	// ErrFenced is returned by a Unit whose job or people have moved on: somebody else has changed them, or holds the lanes, or the
	// outcome of a commit was unknown. What was read is to be read anew.
	ErrFenced = errors.New("the job has moved on")
	// ErrRunning is returned for what only a job that is paused or disabled allows.
	ErrRunning = errors.New("the job runs: pause it first")
	// ErrBusy is returned for what others came before each time it was attempted. It may succeed a moment later.
	ErrBusy = errors.New("others change the same all the time")
	// ErrTaken is returned if an object is linked to another person of the job already.
	ErrTaken = errors.New("the object belongs to another person")
)

// Tenant is the owner of everything.
type Tenant struct {
	ID            uuid.UUID
	DisplayName   string
	DefaultDomain string
}

// Job is a synchronization job of a provisioning app.
type Job struct {
	PK                 int64  // the store's key, unique in the tenant
	ID                 string // API2AAD.<tenant>.<guid>
	TemplateID         string // API2AAD
	ServicePrincipalID uuid.UUID
	ApplicationID      uuid.UUID
	DisplayName        string // of the app
	State              JobState
	Lanes              int   // how many lanes its people are spread over, fixed when it is created; the store gives it
	Revision           int64 // raised by each change of the job; the store's
	Schema             *mapping.Schema
	Settings           JobSettings
	Created            time.Time
}

// JobState is the state of a job's schedule.
type JobState string

// A job that is not active accepts uploads and processes none.
const (
	JobActive   JobState = "Active"
	JobPaused   JobState = "Paused"
	JobDisabled JobState = "Disabled"
	JobDeleted  JobState = "Deleted" // gone for everybody but the log
)

// JobSettings are the choices of one job.
type JobSettings struct {
	DisableMissing  bool        // see mapping.Settings
	QueueRecords    int64       // bound of the queue; 0 means the service's default
	Leave           LeaveAction // what becomes of people who leave the scope
	RunWithoutMail  bool        // start although nobody is to be notified
	DeleteThreshold *int64      // most disables and deletions within an interval; nil: as the app's notification settings say; negative: no limit
	DeletePercent   float64     // and most in percent of the job's enabled accounts; 0: no limit
	Other           []KeyValue  // settings that a client has put and that mean nothing here: they come back as they were
}

// Upload is one bulk request to accept.
type Upload struct {
	Job             *Job
	ClientRequestID string      // as the client sent it; "" if it sent none
	BodyHash        [32]byte    // SHA-256 of the body after decompression
	Operations      []Operation // at least one
	Received        time.Time
}

// Operation is one operation of an upload.
type Operation struct {
	BulkID string
	Delete bool // a DELETE operation: ends as skipped(unsupported)
	Anchor string
	Data   []byte // the record's JSON object; nil for DELETE without data
}

// Accepted is what a client gets to know of an accepted upload.
type Accepted struct {
	ID     uuid.UUID // the upload's public id
	Number int64     // its number in the job
	Replay bool      // the same client-request-id with the same body had been accepted before: this is that upload
}

// UploadState is how far an upload has come.
type UploadState string

// Accepted: not every record has an outcome. Done: each has. Settled: and nothing is queued, held or retrying.
const (
	UploadAccepted UploadState = "accepted"
	UploadDone     UploadState = "done"
	UploadSettled  UploadState = "settled"
)

// End is the stated end of a record.
type End string

// The ends of a record. Queued is not an end: it is said of records that have no outcome yet.
const (
	EndQueued     End = "queued"
	EndCreated    End = "created"
	EndUpdated    End = "updated"
	EndUnchanged  End = "unchanged"
	EndDisabled   End = "disabled"
	EndDeleted    End = "deleted"
	EndSkipped    End = "skipped"
	EndFailed     End = "failed"
	EndSuperseded End = "superseded"
	EndRejected   End = "rejected"
	EndPurged     End = "purged"

	EndHeld     End = "held"     // no end either: the record would disable or delete, and waits for a verdict
	EndRetrying End = "retrying" // nor this: it failed for a reason that may pass
)

// Ends lists every End in the order reports show them.
var Ends = []End{EndCreated, EndUpdated, EndUnchanged, EndDisabled, EndDeleted, EndSkipped, EndFailed, EndSuperseded, EndRejected, EndPurged}

// Final reports whether a record that stands so stays so.
func (e End) Final() bool { return e != EndQueued && e != EndHeld && e != EndRetrying }

// UploadStatus is an upload as its receipt shows it.
type UploadStatus struct {
	ID              uuid.UUID
	Number          int64
	JobID           string
	ClientRequestID string
	State           UploadState
	Received        time.Time
	Done, Settled   time.Time // zero until then
	Operations      int
	Counts          map[End]int // sums to Operations; EndQueued, EndHeld and EndRetrying included
	Purge           *Purge      // by which it was thrown out of the queue; nil if it was not
}

// Receipt is what became of one operation.
type Receipt struct {
	Index      int
	BulkID     string
	Anchor     string
	End        End
	Entry      *LogEntry  // nil while queued
	References []LogEntry // what became of its references
}

// Action is what an entry says was done to the object: Graph's provisioningAction.
type Action uint8

// The actions of Graph's provisioningAction.
const (
	ActionOther Action = iota
	ActionCreate
	ActionUpdate
	ActionDisable
	ActionDelete
	ActionStagedDelete
)

func (a Action) String() string {
	return [...]string{"other", "create", "update", "disable", "delete", "stagedDelete"}[a]
}

// Status is how it went: Graph's provisioningResult.
type Status uint8

// The results of Graph's provisioningResult.
const (
	StatusSuccess Status = iota
	StatusFailure
	StatusSkipped
	StatusWarning
)

func (s Status) String() string { return [...]string{"success", "failure", "skipped", "warning"}[s] }

// LogEntry holds the facts of one provisioning log entry; the wire's words are made from them on read.
type LogEntry struct {
	Seq        int64 // place in the log of the installation, given at commit; newest highest
	JobPK      int64
	Time       time.Time // never before the entry with the next lower Seq
	Cycle      int64     // number of the cycle in the job
	Upload     int64     // number of the upload in the job; -n for re-evaluation n
	Index      int       // of the operation in the upload, or of the person in a re-evaluation
	Schema     string    // version of the schema that decided
	BulkID     string
	Hidden     bool // has a receipt but no row in the provisioning log (a DELETE operation)
	Ref        bool // about a reference of the record, not the record itself
	Matched    bool // an object was found (by link or matching attribute)
	Action     Action
	Status     Status
	End        End // the record's end; "" for Ref entries
	Code       string
	Reason     string
	Advice     string
	Attribute  string
	Anchor     string
	Name       string             // display name of the source record
	ObjectID   string             // target object id; "" if there is none
	ObjectName string             // its userPrincipalName, or displayName
	Source     []mapping.Imported // what was sent; nil on unchanged records
	Modified   []Modification
	Warnings   []string
	Duration   time.Duration
}

// Modification is one changed attribute; nil stands for no value.
type Modification struct {
	Attribute string
	Old, New  *string
}

// Object is an object of a target.
type Object struct {
	ID         string
	Version    int64                 // grows with each write to the object
	Attributes map[string]expr.Value // by the target's attribute names (accountEnabled, telephoneNumber, …); manager as the id of an object
	Created    time.Time
	Deleted    time.Time // zero unless it is in deleted items
}

// LogQuery selects log entries, newest first unless Ascending. Zero fields do not restrict.
type LogQuery struct {
	JobPK     int64
	From, To  time.Time // From <= entry < To
	Cycle     int64
	Status    *Status
	Anchor    string
	Upload    int64
	Before    int64 // only Seq < Before
	After     int64 // only Seq > After
	Ascending bool
	Limit     int                  // entries wanted
	Hidden    bool                 // Hidden entries too
	Match     func(*LogEntry) bool // nil matches all; called for entries that pass everything else
}

// LogPage is a part of an answer to a LogQuery.
type LogPage struct {
	Entries []LogEntry
	// More tells that the scan ended before the log did, because Limit was reached or the scan's own bound was;
	// then the rest is asked for with Before (or After) = Next. A page may be short, even empty, and have More.
	More bool
	Next int64
}

// Log is the provisioning log as it is read.
type Log interface {
	QueryLog(ctx context.Context, q LogQuery) (LogPage, error)
	// LastSeq returns the Seq of the newest committed entry, 0 if there is none.
	LastSeq(ctx context.Context) (int64, error)
}

// PathCount says how many records sent a path that no mapping of the job reads.
type PathCount struct {
	Path    string
	Records int64
}

// Reevaluation is a pass over everybody of a job from the kept records, because the schema or a setting has changed.
// It changes what the new program wants otherwise; its entries are of the changes and failures alone.
type Reevaluation struct {
	Number    int64 // in the job, from 1
	Cursor    int64 // how far it has come, in the store's order
	Began     time.Time
	Ended     time.Time // zero while it is under way
	Evaluated int64     // people so far
	Ends      map[End]int64
}

// JobStatus is what a job says of itself.
type JobStatus struct {
	Queued        int64     // records without an outcome
	Oldest        time.Time // when the oldest of them was received; zero if there is none
	Cycle         int64     // number of the latest cycle, 0 before the first
	CycleBegan    time.Time
	CycleEnded    time.Time // zero while it runs
	CycleCounts   map[End]int64
	TotalCounts   map[End]int64 // to date
	Users         int64         // people with a link
	Enabled       int64         // of them with an account that was enabled when the job last saw it
	Held          int64         // records that wait for a verdict, Staged included
	Staged        int64         // for one of people
	Retrying      int64
	Uploads       int64 // accepted to date, without replays
	FirstCycleEnd time.Time
	Condition     Condition
	Reevaluation  *Reevaluation // the latest; nil if there was none
}

// OnDemand is what a person's kept record came to when somebody asked for it.
type OnDemand struct {
	Entry LogEntry // as it stands in the log
	Rule  string   // the synchronization rule's id
}
