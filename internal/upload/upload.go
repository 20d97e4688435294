// Package upload is the client of an API-driven provisioning job: it makes records of a file, sends
// them in bulk requests (RFC 7644 section 3.7), paces, retries, and follows every record to its end.
// What happens is told as events; drawing them is apart, in present.go.
package upload

import (
	"cmp"
	"context"
	"errors"
	"time"

	"induct/internal/upload/records"
)

// Exit codes of a program that runs an upload.
const (
	ExitOK          = 0   // every record reached an end that is not a failure
	ExitUsage       = 1   // the configuration, the mapping or the file is wrong
	ExitFailed      = 2   // some records failed, or are held or retried
	ExitService     = 3   // the service could not be reached, refused, or did not finish in time
	ExitInterrupted = 130 // the user interrupted
)

// State is how far an upload is to be followed.
type State string

// The states of an upload, in their order.
const (
	StateAccepted State = "accepted" // stored durably
	StateDone     State = "done"     // every record has a first outcome
	StateSettled  State = "settled"  // none is queued, held or retrying; a run ends before if it could only wait for people, or for retries
)

// Options shapes a run. The zero value is a good one.
type Options struct {
	Concurrency int           // requests in flight; default 8
	Rate        float64       // requests a second at most; 0 leaves the pace to the service's throttling
	Until       State         // follow until; default StateDone. A service without receipts is followed to StateDone
	Timeout     time.Duration // for following all uploads after the last was sent; 0 is no limit, for a provisioning log two hours
	Total       int           // records in the source, if known (for Progress)
	MaxFailures int           // failed, skipped and waiting rows kept in the summary, each; default 10000
	Retry       Retry
	Journal     *Journal  // remembers how far the run has come; nil: nothing does
	Outcomes    *Outcomes // receives the failed, skipped and waiting rows, all of them; nil: only the summary tells
}

func (o Options) withDefaults() Options {
	o.Concurrency = min(max(cmp.Or(o.Concurrency, 8), 1), 64)
	o.Until = cmp.Or(o.Until, StateDone)
	o.MaxFailures = cmp.Or(o.MaxFailures, 10000)
	o.Retry = Retry{
		Base: cmp.Or(o.Retry.Base, 500*time.Millisecond),
		Max:  cmp.Or(o.Retry.Max, time.Minute),
		Wait: cmp.Or(o.Retry.Wait, time.Hour),
	}
	return o
}

// Retry bounds how a request is repeated. Zero fields mean their defaults.
type Retry struct {
	Base time.Duration // first wait, doubled each time, with jitter; default 500 ms
	Max  time.Duration // longest wait that is not the service's own Retry-After; default 60 s
	Wait time.Duration // from the first failure until a request is given up, waiting included; default 1 h
}

// Event is something that happened in a run: Sent, Retried, Accepted, Noted, Progress or Finished.
type Event interface{ event() string }

// Sent says that a request goes out for the first time.
type Sent struct {
	RequestID string `json:"clientRequestId"`
	Rows      int    `json:"rows"`
	FirstLine int    `json:"firstLine"`
	LastLine  int    `json:"lastLine"`
}

// Retried says that a request failed and will be repeated after Wait.
type Retried struct {
	RequestID string        `json:"clientRequestId"`
	Attempt   int           `json:"attempt"` // the one that failed, from 1
	Wait      time.Duration `json:"waitNanoseconds"`
	Until     time.Time     `json:"until"` // when it is repeated
	Cause     string        `json:"cause"`
}

// Accepted says that the service has stored a request.
type Accepted struct {
	RequestID string `json:"clientRequestId"`
	UploadID  string `json:"uploadId,omitempty"` // "" if the service does not name uploads
	Rows      int    `json:"rows"`
	FirstLine int    `json:"firstLine"`
	LastLine  int    `json:"lastLine"`
}

// Noted says something that a person who watches should know, such as that the job is in quarantine.
type Noted struct {
	Text string `json:"text"`
}

// Progress counts records. Total is 0 while it is unknown, and so are the rate and what remains.
type Progress struct {
	Read      int           `json:"read"`
	Accepted  int           `json:"accepted"`
	Done      int           `json:"done"`
	Total     int           `json:"total,omitempty"`
	PerSecond float64       `json:"perSecond,omitempty"`            // records accepted, in the last half minute
	Remaining time.Duration `json:"remainingNanoseconds,omitempty"` // until all are accepted, at that rate
}

// Finished is the last event of a run.
type Finished struct {
	Summary Summary `json:"summary"`
	Err     error   `json:"-"`
}

func (Sent) event() string     { return "sent" }
func (Retried) event() string  { return "retried" }
func (Accepted) event() string { return "accepted" }
func (Noted) event() string    { return "noted" }
func (Progress) event() string { return "progress" }
func (Finished) event() string { return "finished" }

// Summary tells what became of the records.
type Summary struct {
	Read     int            `json:"read"`
	Accepted int            `json:"accepted"`           // stored by the service
	Resumed  int            `json:"resumed,omitempty"`  // of those read, the ones whose request had ended or been accepted before this process began
	Refused  int            `json:"refused,omitempty"`  // not stored: their request was refused; they are among the failed
	Unknown  int            `json:"unknown"`            // sent, but no answer told whether they were stored; sending them again is safe
	Repeated int            `json:"repeated,omitempty"` // sent twice to a service that may have taken them twice
	Requests int            `json:"requests"`           // accepted bulk requests
	Retries  int            `json:"retries"`
	Ends     map[string]int `json:"ends,omitempty"`    // records by end: "queued" have none yet, of "unknown" none could be read yet, of "gone" none can be, of "unlogged" a finished cycle has said nothing
	Reasons  map[string]int `json:"reasons,omitempty"` // failed and skipped records by code
	Failed   []Outcome      `json:"failed,omitempty"`
	Skipped  []Outcome      `json:"skipped,omitempty"`
	Waiting  []Outcome      `json:"waiting,omitempty"` // held for a verdict, or retried by the service: they are not to be sent again
	Omitted  int            `json:"omitted,omitempty"` // failed, skipped and waiting records beyond MaxFailures
	Followed bool           `json:"followed"`          // every accepted record was followed to the state asked for
	Note     string         `json:"note,omitempty"`    // why it was not or what waits, and what to do
	// FailedFile and Journal name files that a program has written beside: the rows that failed, and what an unfinished run goes on from.
	FailedFile string        `json:"failedFile,omitempty"`
	Journal    string        `json:"journal,omitempty"`
	Elapsed    time.Duration `json:"elapsedNanoseconds"`
}

// Outcome is a record that failed, was skipped, or is held or retried.
type Outcome struct {
	Line      int      `json:"line"`
	Anchor    string   `json:"externalId,omitempty"`
	End       string   `json:"end"`
	ChangeID  string   `json:"changeId,omitempty"`
	Code      string   `json:"code,omitempty"`
	Attribute string   `json:"attribute,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Advice    string   `json:"recommendedAction,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

// waiting is how many records are held or retried.
func (s Summary) waiting() int { return s.Ends["held"] + s.Ends["retrying"] }

// ExitCode returns the exit code for what Run, New or the readers of this package returned.
func ExitCode(s Summary, err error) int {
	var input *records.InputError
	var config *ConfigError
	switch {
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &input), errors.As(err, &config):
		return ExitUsage
	case err != nil, s.Ends["unknown"]+s.Ends["gone"] > 0:
		return ExitService
	case s.Ends["failed"]+s.waiting() > 0 || len(s.Failed) > 0:
		return ExitFailed
	}
	return ExitOK
}
