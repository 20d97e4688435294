package provision

import (
	"time"

	"github.com/google/uuid"
)

// App is a provisioning app: the service principal that jobs belong to, with the secrets that are given to them all.
type App struct {
	ServicePrincipalID uuid.UUID
	ApplicationID      uuid.UUID
	DisplayName        string
	Secrets            []KeyValue // in the order of SetSecrets; of values that are confidential only the key is kept
	Revision           int64      `json:"-"` // another one after each change; the store's own, 0 if the app was not read from it
}

// KeyValue is an entry of Graph's synchronizationSecretKeyStringValuePair and keyValuePair.
type KeyValue struct{ Key, Value string }

// Keys of App.Secrets that the engine reads (Graph's synchronizationSecret).
const (
	SecretNotifications  = "SyncNotificationSettings" // a JSON object as text, see Notifications
	SecretSkipOutOfScope = "SkipOutOfScopeDeletions"  // "True": people who leave the scope are left alone
)

// Notifications are what SyncNotificationSettings holds.
type Notifications struct {
	Enabled                bool
	Recipients             []string
	DeleteThresholdEnabled *bool  // nil: not said
	DeleteThresholdValue   *int64 // nil: not said
}

// LeaveAction is what becomes of the account of somebody who leaves the scope.
type LeaveAction string

// The actions. The zero LeaveAction is LeaveDisable.
const (
	LeaveDisable LeaveAction = "Disable"
	LeaveDelete  LeaveAction = "Delete"
	LeaveAlone   LeaveAction = "None"
)

// DefaultDeleteThreshold is how many disables and deletions within an interval pass unless a job says otherwise.
const DefaultDeleteThreshold = 500

// DefaultInterval is the interval of a job: the documented one of API-driven jobs. Work begins at once all the same; it is
// the length of the window over which brakes count.
const DefaultInterval = 40 * time.Minute

// QuarantineReason says why a job is in quarantine (Graph's quarantineReason).
type QuarantineReason string

// The reasons that the engine gives.
const (
	QuarantineException  QuarantineReason = "EncounteredQuarantineException"       // the target cannot be reached, or there is nobody to notify
	QuarantineProportion QuarantineReason = "EncounteredEscrowProportionThreshold" // more than 40 % of at least 5,000 failed
	QuarantineBase       QuarantineReason = "EncounteredBaseEscrowThreshold"       // more than 40,000 failed
	QuarantineTotal      QuarantineReason = "EncounteredTotalEscrowThreshold"      // 60,000 failed, references included
	QuarantineDeletes    QuarantineReason = "TooManyDeletes"
)

// Quarantine says that a job only makes an attempt now and then, and why (Graph's synchronizationQuarantine).
type Quarantine struct {
	Reason       QuarantineReason
	Code         string // of the error
	Message      string // what happened, with figures, and what to do
	Actionable   bool   // somebody of the tenant can do something about it
	SeriesBegan  time.Time
	CurrentBegan time.Time // when Reason became the reason
	SeriesCount  int64     // attempts that have found the job still at fault
	NextAttempt  time.Time
}

// ExecutionState is how a cycle ended (Graph's synchronizationTaskExecutionResult).
type ExecutionState string

// Succeeded: no record failed. EntryLevelErrors: some did. Failed: the cycle could not be carried out.
const (
	ExecutionSucceeded   ExecutionState = "Succeeded"
	ExecutionEntryErrors ExecutionState = "EntryLevelErrors"
	ExecutionFailed      ExecutionState = "Failed"
)

// Execution is a cycle that has ended, or was attempted (Graph's synchronizationTaskExecution).
type Execution struct {
	Cycle         int64 // 0 if none could be opened
	State         ExecutionState
	Began, Ended  time.Time
	Counts        map[End]int64 // first outcomes of its records
	References    int64         // written
	Code, Message string        // of the error; "" if there is none
}

// Condition is how a job fares: what its cycles have come to, and what its brakes and its quarantine remember.
type Condition struct {
	Last, LastSuccess, LastWithExports *Execution
	SuccessiveFailures                 int64     // attempts in a row that failed as a whole
	SteadyFirst, SteadyLast            time.Time // when a cycle first, and last, left nothing waiting; zero before the first since a restart
	Quarantine                         *Quarantine
	Window                             Window
	Unreachable                        time.Time // since when the target has not answered; zero if it does
	Unlink                             *int64    // a reset of links that is under way: up to which person it has come
	Restarted                          bool      // and no cycle has ended since
	Swept                              Swept     // by the latest cycle that has
}

// Swept counts the references that a cycle has written.
type Swept struct{ Cycle, References int64 }

// of returns how many a cycle has written.
func (s Swept) of(cycle *Cycle) int64 {
	if s.Cycle != cycle.Number {
		return 0
	}
	return s.References
}

// PendingKind says why the latest record of a person has not ended.
type PendingKind uint8

// Held: it would disable or delete, and waits for a verdict. Retrying: it failed for a reason that may pass. Rejected, of people
// only: it has ended, and somebody did not want it to disable or delete, which no re-evaluation does then.
const (
	PendingNone PendingKind = iota
	PendingHeld
	PendingRetry
	PendingRejected
)

// End returns the count that such a record stands in.
func (k PendingKind) End() End { return [...]End{"", EndHeld, EndRetrying, ""}[k] }

// Verdict is what has been decided about a pending record.
type Verdict uint8

// Approved: it is carried out. Rejected, Purged: it ends without an effect.
const (
	VerdictNone Verdict = iota
	VerdictApproved
	VerdictRejected
	VerdictPurged
)

// Pending is a record that has an outcome and no end: one that is held, or that is retried. A person has at most one,
// which is the latest record; a newer one ends it as superseded.
type Pending struct {
	Place      int64 // in the store's order, for paging
	Kind       PendingKind
	Anchor     string
	Name       string // display name of the person
	Upload     int64  // 0: ordered by somebody; negative: of a re-evaluation
	Index      int
	BulkID     string
	Cycle      int64  // of the upload
	Action     Action // what is held, or was attempted
	ObjectID   string
	ObjectName string
	Since      time.Time // when the record was first held, or first failed
	Due        time.Time // of the next attempt
	Attempts   int
	Staged     bool // a verdict is asked of people: the threshold was exceeded
	Verdict    Verdict
	By         string // whose verdict; "" is the engine's own
	Allowed    bool   // people approved it, and it is retried because the target failed: no other verdict is needed
	Code       string // of the latest failure
	Attribute  string
	Reason     string
	Advice     string
	Record     []byte // as it was sent; nil if that is the person's kept record, or if it was not read
}

// PendingQuery selects pending records of a job. Zero fields do not restrict.
type PendingQuery struct {
	Kind   PendingKind
	Staged bool // only staged ones
	Anchor string
	After  int64 // only Place > After
	Limit  int   // 0: 100
}

// PendingPage is a part of an answer; with More the rest is asked for with After = Next.
type PendingPage struct {
	Records []Pending
	More    bool
	Next    int64
}

// ResetScope says what a restart forgets (Graph's synchronizationJobRestartScope; the values are Graph's).
type ResetScope uint8

// The flags of a ResetScope.
const (
	ResetConnectorDataStore ResetScope = 1  // links are dropped; kept records stay
	ResetEscrows            ResetScope = 2  // what is retried or held ends as purged
	ResetWatermark          ResetScope = 4  // everybody is re-evaluated
	ResetQuarantineState    ResetScope = 8  // the quarantine ends
	ResetFull               ResetScope = 15 // all of the above
	ResetForceDeletes       ResetScope = 32 // what is held is approved
)

// Purge is what a restart has thrown out of the queue.
type Purge struct {
	Uploads, Records int64
	First, Last      int64 // upload numbers; 0 if there were none
	Time             time.Time
	By               string
}

// ActorKind is what somebody who acts is.
type ActorKind string

// The kinds of actors.
const (
	ActorApp    ActorKind = "app"
	ActorUser   ActorKind = "user"
	ActorSystem ActorKind = "system"
)

// Actor is who does something to a job. The zero Actor is the service itself.
type Actor struct {
	Kind ActorKind
	ID   string // of the app's service principal, or of the user
	Name string
}

// Audit is one entry of the audit log: who changed what of a job, and when (Graph's directoryAudit).
type Audit struct {
	Seq           int64
	ID            uuid.UUID
	Time          time.Time
	JobID         string // "" if it is about an app
	TargetID      string // the service principal
	TargetName    string
	Activity      string // Graph's activityDisplayName, such as "Disable/pause provisioning configuration"
	OperationType string // Add, Update, Delete, …
	Category      string `json:",omitempty"` // Category, Service and TargetType as Graph spells them; "": those of provisioning
	Service       string `json:",omitempty"`
	TargetType    string `json:",omitempty"`
	Actor         Actor
	Failed        bool
	Reason        string // of a failure, or more about a success
	Modified      []Modification
	Details       []KeyValue
}

// AuditQuery selects audit entries, newest first unless Ascending. Zero fields do not restrict.
type AuditQuery struct {
	From, To  time.Time // From <= entry < To
	Activity  string
	Before    int64 // only Seq < Before
	After     int64 // only Seq > After
	Ascending bool
	Limit     int
	Match     func(*Audit) bool // nil matches all
}

// AuditPage is a part of an answer; with More the rest is asked for with Before (or After) = Next. It may be short, even empty.
type AuditPage struct {
	Entries []Audit
	More    bool
	Next    int64
}

// NoticeKind is what a Notice is about.
type NoticeKind string

// The kinds of notices.
const (
	NoticeQuarantined NoticeKind = "quarantineEntered"
	NoticeRecovered   NoticeKind = "quarantineLeft"
	NoticeDeletes     NoticeKind = "deletionThresholdMet"
	NoticeDisabled    NoticeKind = "jobDisabled"
)

// Notice is news of a job for the people who look after it. It is made in the transaction that makes it true, and sent
// by mail afterwards; what cannot be sent is tried again and stands in the way of nothing.
type Notice struct {
	ID          int64
	Kind        NoticeKind
	Time        time.Time
	JobPK       int64
	JobID       string
	AppID       string // the service principal
	AppName     string
	Recipients  []string // mail addresses; none: it is only shown
	Quarantine  *Quarantine
	Held        int64 // disables and deletions that wait for a verdict
	Executed    int64 // and those that were carried out within the window
	Threshold   int64
	Percent     float64       // threshold in percent of Linked; 0 if there is none
	Linked      int64         // enabled accounts when the window began
	Window      time.Duration // over which they were counted
	Failed      int64         // records that failed within the window
	Records     int64         // of so many
	Attempts    int           // to send it
	NextAttempt time.Time     // zero: it was sent, given up, or there is nobody to send it to
	Sent        time.Time
	Error       string    // of the latest attempt
	Reached     []string  `json:",omitempty"` // recipients who have it, while others do not yet
	ReachedAt   time.Time `json:",omitzero"`  // when the first of them got it
}
