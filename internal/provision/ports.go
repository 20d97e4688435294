package provision

import (
	"context"
	"time"

	"github.com/google/uuid"

	"induct/internal/expr"
)

// Target is a directory that people are provisioned into. Calls take many elements and answer each;
// an error of the call itself means that the target could not be reached and nothing is known of its elements.
type Target interface {
	// Find looks up, for each query, the object it matches.
	Find(ctx context.Context, queries []Query) ([]Found, error)
	// Apply carries out changes to different objects; one that is refused leaves the others alone.
	Apply(ctx context.Context, changes []Change) ([]Result, error)
}

// Query asks for an object by its id, in deleted items too, or, if ID is empty, for a live one by an attribute that
// equals a value in any case.
type Query struct {
	ID        string
	Version   int64 // with ID: the version last seen; the answer may then be Same
	Attribute string
	Value     string
}

// Found answers a Query: Same (the object still has the version asked for), one object (one in deleted items has Deleted
// set), none (all fields zero), or several.
type Found struct {
	Same      bool
	Object    *Object
	Ambiguous []string // ids of several objects that match
}

// Change is what is to be done to one object: it is created, deleted or restored, or, with none of these, updated.
// Each change that is carried out raises the object's version.
//
// A deleted object stands in deleted items: it keeps its id and its attributes, and its unique values are free at once,
// for the next change of the same call too. Deleting it once more changes nothing and is no error; updating it is
// refused with InvalidAnchor.
//
// A restored one is live again, and has Set applied, in one step. If a value of it that must be unique, such as
// userPrincipalName, is somebody else's by then, it is refused with Conflict and stays in deleted items.
type Change struct {
	Create, Delete, Restore bool

	ID      string       // of the object; for Create the id to give it
	Version int64        // the version that the change was planned on; 0 for Create
	Set     []Assignment // empty for Delete
}

// Assignment sets an attribute; a null value removes it.
type Assignment struct {
	Attribute string
	Value     expr.Value
}

// Result is the object after a Change, or why it was refused.
type Result struct {
	Version int64
	Name    string // the object's userPrincipalName, or displayName
	Err     *TargetError
}

// TargetError is a target's refusal of one change, classified.
type TargetError struct {
	Code      string // an error code of the provisioning logs, such as Conflict
	Attribute string
	Reason    string
	Advice    string
	Retryable bool // the same change may succeed later without anybody's doing: a time-out, throttling, an object that was changed meanwhile
	Separable bool // Attribute alone was refused; the rest of the change would have been carried out without it
}

func (e *TargetError) Error() string { return e.Code + ": " + e.Reason }

// Queued is an accepted upload as a batch takes it up.
type Queued struct {
	Number     int64
	Received   time.Time
	Operations []Operation
}

// Untaken is an upload that no batch has taken up: it waits, or it was purged.
type Untaken struct {
	Operations []Operation
	Purge      *Purge // nil: it waits
}

// Person is what a job knows of one anchor: the link to its object and the kept record.
type Person struct {
	Anchor   string
	ObjectID string      // the link; "" if there is none
	Version  int64       // of the object when the job last wrote it or found it as desired
	Kept     []byte      // what has been sent, merged by attribute; nil if it was not read
	Hash     [16]byte    // of the latest record, if that ended with the object as desired; else zero
	Program  uint64      // the program that decided so
	Upload   int64       // number of the latest record's upload
	Index    int         // and its index there
	Name     string      // display name in the latest record
	Enabled  bool        // the object was enabled when the job last saw it
	Pending  PendingKind // what keeps the latest record from its end
	Revision int64       // raised whenever the person is written; 0: the person was not stored. The store's own
}

// PendingPerson is a pending record with its person.
type PendingPerson struct {
	Pending
	Person Person
}

// Lane is what a runner needs to know to choose its next piece of work: how far the lanes of the job have come that
// this process holds, and, for whoever holds lane 0, what there is to do for the job as a whole.
type Lane struct {
	Held      LaneSet   // all lanes of the job that this process holds; 0: it has nothing to do here
	Lanes     LaneSet   // of them, those that stand at Position, the lowest of all that are held: the next batch is theirs
	Epoch     int64     // of the leases: raised when any lane of the job changes hands
	First     bool      // lane 0 is held: what spans lanes is this process's to do
	Position  int64     // Lanes have committed up to this upload number
	To        int64     // a batch of Lanes goes no further: there the other lanes that are held stand; math.MaxInt64 if there are none
	Job       int64     // all lanes of the job, whoever holds them, have committed up to this upload number
	Waits     bool      // uploads wait after Position
	Cycle     *Cycle    // the open one; nil if there is none
	Latest    int64     // number of the latest cycle
	Unjudged  bool      // records are held of which nothing has been decided and nobody was asked
	HeldFirst time.Time // when the first of them was held, and the last
	HeldLast  time.Time
	Approved  bool      // pending records have been approved
	Refused   bool      // pending records have been rejected or purged
	Due       time.Time // of the earliest retry; zero if none waits
	Deferred  time.Time // when the earliest reference is to be written that no cycle's end writes: it was refused for now, or became ready while no cycle was open; zero if there is none
	Condition Condition
}

// PendingSet names the pending records that a runner takes up together.
type PendingSet uint8

// The sets of a Lane.
const (
	SetUnjudged PendingSet = iota
	SetApproved
	SetRefused
	SetDue // retries whose time has come
)

// KeptPerson is a person at a place in the store's order, from 1.
type KeptPerson struct {
	Person
	Place int64
}

// Sought asks for a person. Of somebody whose Hash is the one sought only Anchor, ObjectID, Version, Hash and Program are
// certain to be read; Kept is nil.
type Sought struct {
	Anchor string
	Hash   [16]byte // zero: read it in any case
}

// PendingReference is a reference that waits for the end of the cycle, or for its target to be linked.
type PendingReference struct {
	Anchor    string // whose reference
	Attribute string
	To        string // the anchor it names
	Upload    int64
	Index     int
	BulkID    string
	Reported  bool // an entry has said that it could not be resolved
	Attempts  int  // to write it that the target refused for now

	From           string // as ReadyReferences finds it: the object of Anchor; "" if it has none
	Row, PersonRow int64  // the store's own, to be handed back as ReadyReferences gave them
}

// UploadResult is the outcome of a whole upload: the first outcomes of its records.
type UploadResult struct {
	Number int64
	Counts map[End]int
}

// Cycle is a bounded drain of a job's queue: the uploads up to the highest number when it began.
type Cycle struct {
	Number int64
	To     int64 // the highest upload number in it
	Began  time.Time
}

// Fence is the place that a Unit starts from. Its commit fails with ErrFenced if the lanes have moved, are not held
// any more, or if the job is another one by now.
type Fence struct {
	JobPK    int64
	Lanes    LaneSet // a batch of uploads of these lanes, as Store.Lane gave them; 0: of all lanes of the job
	Whole    bool    // no batch of uploads, but what spans lanes, by whoever holds lane 0: Lanes and Position are not looked at
	Epoch    int64   // of the leases, as Store.Lane gave it; 0: whichever, if the lanes are held
	Position int64   // the lanes have committed up to this upload number
	Revision int64   // of the job that was worked with; 0: whichever
	Free     bool    // nothing is claimed: only what lanes read is written. JobPK may be 0 then.
}

// Store is the durable state of the engine. Its methods may be called concurrently.
type Store interface {
	Log
	// Jobs returns all jobs.
	Jobs(ctx context.Context) ([]*Job, error)
	// ConfigRevision returns a number that has changed if a job or an app was written, by whichever process.
	ConfigRevision(ctx context.Context) (int64, error)
	// PutJob creates the job if its PK is 0, and gives it one; else it replaces schema, settings, state and name.
	// The audit entries are added in the same transaction.
	PutJob(ctx context.Context, j *Job, audit ...Audit) error
	// Apps returns all apps, in the order of their creation.
	Apps(ctx context.Context) ([]*App, error)
	// Reevaluation returns the job's latest re-evaluation; nil if there was none.
	Reevaluation(ctx context.Context, jobPK int64) (*Reevaluation, error)
	// PeopleAfter returns up to limit people after a place in the store's order, with their places.
	PeopleAfter(ctx context.Context, jobPK, cursor int64, limit int) ([]KeptPerson, error)
	// Accept stores an upload under the next number of its job and returns once it is durable. The job's queue
	// holds at most queueRecords records: beyond it, ErrQueueFull. ErrNoSpace if the disk refuses; ErrNotFound if the job was deleted.
	// If the same client-request-id and body were accepted in the last 24 hours, it returns that upload as a replay,
	// unless that was purged.
	Accept(ctx context.Context, u Upload, id uuid.UUID, queueRecords int64) (Accepted, error)
	// UploadStatus returns the upload with this id; ErrNotFound.
	UploadStatus(ctx context.Context, jobPK int64, id uuid.UUID) (*UploadStatus, error)
	// QueuedOperations returns an upload that has not been taken up; without operations if it has.
	QueuedOperations(ctx context.Context, jobPK, number int64) (Untaken, error)
	// Lane returns how far the job has come and what there is to do.
	Lane(ctx context.Context, jobPK int64) (Lane, error)
	// Next returns the uploads after position up to number to, in order, until records operations are reached.
	// At least one upload is returned if there is one.
	Next(ctx context.Context, jobPK, position, to int64, records int) ([]Queued, error)
	// People returns what the job knows of each anchor, in order; nil for one it does not know.
	People(ctx context.Context, jobPK int64, sought []Sought) ([]*Person, error)
	// LinkedAnchors returns, for each object id, the anchor that the job has linked to it, or "".
	LinkedAnchors(ctx context.Context, jobPK int64, ids []string) ([]string, error)
	// OpenCycle returns the job's open cycle, or opens one over all uploads that wait; nil if nothing waits.
	OpenCycle(ctx context.Context, jobPK int64, now time.Time) (*Cycle, error)
	// Unit runs fn in one transaction, at most once: all that fn does through u becomes durable together, or nothing does.
	// It returns ErrFenced if the fence does not hold at the commit, or if somebody else's transaction has come first in whatever way.
	Unit(ctx context.Context, f Fence, fn func(u Unit) error) error
	// JobStatus, UnreadPaths: what a job says of itself.
	JobStatus(ctx context.Context, jobPK int64) (*JobStatus, error)
	UnreadPaths(ctx context.Context, jobPK int64) ([]PathCount, error)
	// PendingRecords returns a page of the job's pending records.
	PendingRecords(ctx context.Context, jobPK int64, q PendingQuery) (PendingPage, error)
	// PendingPeople returns up to limit records of a set with their people, as they are committed.
	PendingPeople(ctx context.Context, jobPK int64, set PendingSet, now time.Time, limit int) ([]PendingPerson, error)
	// Connected returns up to limit linked people after a place in the store's order, without their kept records.
	Connected(ctx context.Context, jobPK, after int64, limit int) ([]KeptPerson, error)
	// QueryAudit returns entries of the audit log.
	QueryAudit(ctx context.Context, q AuditQuery) (AuditPage, error)
	// Notices returns up to limit notices of a job, newest first.
	Notices(ctx context.Context, jobPK int64, limit int) ([]Notice, error)
}

// Waker is a Store that other processes write too, and that hears of it.
type Waker interface {
	// Wakes returns a channel of jobs in which there may be something to do or to see because another process has written, by their
	// PK; 0: any. It is a hint: some may be missing. It is nil if nobody else writes.
	Wakes(ctx context.Context) <-chan int64
}

// Unit is one transaction of a job. It is used by one goroutine, inside Store.Unit's fn only.
type Unit interface {
	// LinkedAnchors returns, for each object id, the anchor that the job has linked to it, or "".
	LinkedAnchors(ids []string) ([]string, error)
	// Links returns, for each anchor, the id of its object, or "".
	Links(anchors []string) ([]string, error)
	// PutPeople stores people, and sets the Revision of each; a link that is new makes the references to that person ready. It fails
	// with ErrFenced if somebody else has written one of them since it was read, which its Revision tells; a Unit may write a person
	// several times.
	PutPeople(people []Person) error
	// Remember hints that this person, who stands in the store like this, will be sought with the same Hash again.
	Remember(p *Person)
	// PutReference stores a reference of a person who is stored; it replaces an older one of the same person and attribute.
	// It is ready if the person it names is linked, or becomes so when that person is.
	PutReference(r PendingReference) error
	// ReadyReferences returns up to limit references that are ready and not to be tried later than now, those of older uploads first.
	ReadyReferences(now time.Time, limit int) ([]PendingReference, error)
	// DeferReference has a reference tried again at due, and counts the attempt.
	DeferReference(r PendingReference, due time.Time) error
	// UnreportedReferences returns up to limit references that wait and of which no entry has said so.
	UnreportedReferences(limit int) ([]PendingReference, error)
	// EndReference removes a reference (resolved), or lets it wait for its target to be linked, as one that is reported.
	EndReference(r PendingReference, resolved bool) error
	// Touch records the version that a person's object has after a reference was written to it.
	Touch(r PendingReference, version int64) error
	// Append adds entries to the log in order; they have Seq and Time once the Unit has committed, and must not be changed before.
	Append(entries []LogEntry) error
	// CountUnread adds to the job's counts of paths that no mapping reads.
	CountUnread(paths map[string]int64) error
	// Advance counts the first outcomes of the uploads of a batch, which are part of a cycle, and moves the position to the last
	// of them.
	Advance(results []UploadResult, cycle int64, now time.Time) error
	// Reevaluated moves a re-evaluation's cursor and counts. It fails with ErrFenced if another has begun meanwhile.
	Reevaluated(r Reevaluation) error
	// Idle reports whether no upload waits after the job's position.
	Idle() (bool, error)
	// ExtendCycle makes the uploads that wait now part of the open cycle.
	ExtendCycle(c *Cycle) error
	// CloseCycle ends the cycle and settles those of its uploads of which no record is pending.
	CloseCycle(c *Cycle, now time.Time) error
	// CycleCounts returns the first outcomes of a cycle's records so far, moved to where they stand now.
	CycleCounts(cycle int64) (map[End]int64, error)

	// Pending returns the pending record of a person, nil if there is none. Nobody else changes it before the Unit ends.
	Pending(anchor string) (*Pending, error)
	// PutPending stores the pending record of a person who is stored, in place of an older one.
	PutPending(p Pending) error
	// EndPending ends the pending record of a person in the way of end: it is removed, and the counts of its upload and
	// cycle follow. The upload is settled if that was its last and its cycle has closed. With end "" nothing is counted:
	// the record is of an upload that is about to Advance.
	EndPending(p Pending, end End) error
	// Judge gives a verdict of somebody about the pending records of a kind (PendingNone: any), those of the anchors or, if
	// anchors is nil, all that have none yet. It returns how many they were.
	Judge(kind PendingKind, v Verdict, by string, anchors []string) (int, error)
	// CountUnjudged returns how many records are held of which nothing has been decided and nobody was asked.
	CountUnjudged() (int64, error)
	// Enabled returns how many linked accounts are enabled, as the job last saw them.
	Enabled() (int64, error)
	// Held returns how many records are held.
	Held() (int64, error)

	// PutJob replaces the job of the Unit as Store.PutJob does. PutApp creates or replaces an app. Both fail with ErrFenced if somebody
	// else has written it since it was read, and set its Revision.
	PutJob(j *Job) error
	PutApp(a *App) error
	// BeginReevaluation begins a re-evaluation of the job's people. One that is under way begins anew, under the next number.
	BeginReevaluation(now time.Time) error
	// Condition returns how the job fares; PutCondition replaces that.
	Condition() (Condition, error)
	PutCondition(c Condition) error
	// Purge throws the uploads after a number out of the queue, of those that no lane has committed.
	Purge(after int64, p Purge) (Purge, error)
	// Link links a person who is stored to an object, or to none.
	Link(anchor, objectID string) error
	// Unlink drops the links of up to limit people after a place, and returns how far it has come; done if to the end.
	Unlink(after int64, limit int) (place int64, done bool, err error)
	// Remove removes up to limit rows of the job; done if all but its log and its name is gone.
	Remove(limit int) (done bool, err error)
	// Audit adds an entry to the audit log, Notify one to the notices.
	Audit(a Audit) error
	Notify(n Notice) error
}
