package mapping

import (
	"time"

	"induct/internal/expr"
)

// Settings are the choices of a job that change what a record means.
type Settings struct {
	DefaultDomain  string // what DefaultDomain() returns
	DisableMissing bool   // a record without `active` disables, as the reference does; the default leaves people as they are and creates them disabled
}

// Record is what a Program is given of one person.
type Record struct {
	Sent []byte    // the record's JSON as it arrived
	Kept []byte    // the kept record merged with Sent, or nil if they are the same; decides the scope
	Now  time.Time // what Now() returns
	Seed uint64    // makes volatile functions repeat themselves in a redo: derived from (job, number, index)
}

// Outcome is what a Program makes of a record. Exactly one of Problem, OutOfScope, and the rest holds.
type Outcome struct {
	Problem    *Problem // the record cannot be evaluated
	OutOfScope string   // the clause that decided, as text; "" if in scope

	DisplayName string      // the person's name for logs: displayName, else given and family name, else userName, else ""
	Active      *bool       // the record's own `active`; nil if it was absent or null
	Source      []Imported  // the source attributes that mappings read and that were sent, in the order of the schema
	Matching    []Match     // in the order of precedence; those without a value are left out
	Flows       []Flow      // plain attributes that flow, one per target attribute, in the order of the schema
	References  []Reference // such as manager
	Warnings    []string    // sentences for the log
	Unread      []string    // paths that were sent and that neither a mapping nor the scope reads; at most 64
}

// Imported is one source attribute as it was sent, shortened if it is long, for the log's import step.
type Imported struct{ Name, Value string }

// Match is one matching attribute of the target with the value to look for. Value is never empty.
type Match struct {
	Attribute string
	Value     expr.Value
}

// Flow is a value for a target attribute.
type Flow struct {
	Attribute  string
	Value      expr.Value // never null in this first form, except with Clear
	Clear      bool       // flow null: remove the value (on update only)
	CreateOnly bool       // written when the object is created, never later
	Default    bool       // the default value: only when the object is created
	CaseExact  bool       // how it is compared with what stands in the target
	Redacted   bool       // shown as [Redact] wherever it is shown
}

// Reference is a target attribute that points at another object, named by its source anchor.
type Reference struct {
	Attribute string
	Anchor    string // "" clears nothing in this first form: absent, null and empty references do not flow
}

// Problem says why a record cannot be provisioned: Code is one of the error codes of the provisioning
// logs (EntrySynchronizationError, ImportSkipped, MandatoryFieldsMissing, …).
type Problem struct {
	Code      string
	Attribute string // target or source attribute, "" if none
	Reason    string // what is wrong, with the value where that helps
	Advice    string // what to do
}
