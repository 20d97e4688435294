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
	ExitFailed      = 2   // some records failed
	ExitService     = 3   // the service could not be reached, refused, or did not finish in time
	ExitInterrupted = 130 // the user interrupted
)

// State is how far an upload is to be followed.
type State string

// The states of an upload, in their order.
const (
	StateAccepted State = "accepted" // stored durably
	StateDone     State = "done"     // every record has a first outcome
	StateSettled  State = "settled"  // none is queued, held or retrying
)

// Options shapes a run. The zero value is a good one.
type Options struct {
	Concurrency int           // requests in flight; default 4
	Rate        float64       // requests a second at most; 0 leaves the pace to the service's throttling
	Until       State         // follow until; default StateDone
	Timeout     time.Duration // for following all uploads after the last was sent; 0 is no limit
	Total       int           // records in the source, if known (for Progress)
	MaxFailures int           // failed and skipped rows kept in the summary, each; default 10000
	Retry       Retry
}

// Retry bounds how a request is repeated. Zero fields mean their defaults.
type Retry struct {
	Attempts int           // per request; default 12
	Base     time.Duration // first wait, doubled each time, with jitter; default 500 ms
	Max      time.Duration // longest wait that is not the service's own Retry-After; default 60 s
	Total    time.Duration // from first attempt to last; default 15 min
}

func (r Retry) withDefaults() Retry {
	return Retry{
		Attempts: cmp.Or(r.Attempts, 12),
		Base:     cmp.Or(r.Base, 500*time.Millisecond),
		Max:      cmp.Or(r.Max, time.Minute),
		Total:    cmp.Or(r.Total, 15*time.Minute),
	}
}

const (
	batchSize  = 50      // operations in a bulk request: the protocol's limit
	batchBytes = 3 << 20 // of records in a bulk request, below the usual 4 MB of a Graph write
)

// Event is something that happened in a run: Sent, Retried, Accepted, Progress or Finished.
type Event interface{ event() string }

// Sent says that a request goes out for the first time.
type Sent struct {
	RequestID string `json:"clientRequestId"`
	Rows      int    `json:"rows"`
}

// Retried says that a request failed and will be repeated after Wait.
type Retried struct {
	RequestID string        `json:"clientRequestId"`
	Attempt   int           `json:"attempt"` // the one that failed, from 1
	Wait      time.Duration `json:"waitNanoseconds"`
	Cause     string        `json:"cause"`
}

// Accepted says that the service has stored a request.
type Accepted struct {
	RequestID string `json:"clientRequestId"`
	UploadID  string `json:"uploadId,omitempty"` // "" if the service does not name uploads
	Rows      int    `json:"rows"`
}

// Progress counts records. Total is 0 while it is unknown.
type Progress struct {
	Read     int `json:"read"`
	Accepted int `json:"accepted"`
	Done     int `json:"done"`
	Total    int `json:"total,omitempty"`
}

// Finished is the last event of a run.
type Finished struct {
	Summary Summary `json:"summary"`
	Err     error   `json:"-"`
}

func (Sent) event() string     { return "sent" }
func (Retried) event() string  { return "retried" }
func (Accepted) event() string { return "accepted" }
func (Progress) event() string { return "progress" }
func (Finished) event() string { return "finished" }

// Summary tells what became of the records.
type Summary struct {
	Read     int            `json:"read"`
	Accepted int            `json:"accepted"` // stored by the service
	Unknown  int            `json:"unknown"`  // sent, but no answer told whether they were stored; sending them again is safe
	Requests int            `json:"requests"` // accepted bulk requests
	Retries  int            `json:"retries"`
	Ends     map[string]int `json:"ends,omitempty"`    // records by end; "queued" are those without one
	Reasons  map[string]int `json:"reasons,omitempty"` // failed and skipped records by code
	Failed   []Outcome      `json:"failed,omitempty"`
	Skipped  []Outcome      `json:"skipped,omitempty"`
	Omitted  int            `json:"omitted,omitempty"` // failed and skipped records beyond MaxFailures
	Followed bool           `json:"followed"`          // every accepted record was followed to the state asked for
	Note     string         `json:"note,omitempty"`    // why it was not, and what to do
	Elapsed  time.Duration  `json:"elapsedNanoseconds"`
}

// Outcome is a record that failed or was skipped.
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

// ExitCode returns the exit code for what Run, New or the readers of this package returned.
func ExitCode(s Summary, err error) int {
	var input *records.InputError
	var config *ConfigError
	switch {
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &input), errors.As(err, &config):
		return ExitUsage
	case err != nil:
		return ExitService
	case s.Ends["failed"] > 0 || len(s.Failed) > 0:
		return ExitFailed
	}
	return ExitOK
}
