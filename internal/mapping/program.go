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
// It belongs to the caller and aliases nothing of the record or of the Program's scratch.
type Outcome struct {
	Problem    *Problem // the record cannot be evaluated
	OutOfScope string   // the clauses that decided, as text; "" if in scope
	OutOfInput bool     // OutOfScope was decided by an input filter: the person is never deprovisioned for it

	DisplayName string      // the person's name for logs: displayName, else given and family name, else userName, else ""
	Active      *bool       // the record's own `active`; nil if it was absent or null
	Source      []Imported  // the source attributes that mappings read and that were sent, in the order of the schema
	Matching    []Match     // in the order of precedence; those without a value are left out
	Flows       []Flow      // plain attributes that flow, at most one per target attribute, in the order of the schema
	References  []Reference // such as manager, at most one per target attribute
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

// Flow is a value for a target attribute, fitted to the attribute's type and length.
//
// When the object is created, Value is written if it is not null, whatever the other fields say.
// When the object is there already, nothing is written if CreateOnly or Default is set, or if WhenEmpty is set and the
// attribute has a value. Else Clear removes the attribute; AddValues adds the elements of Value that are missing and
// removes none; and without either Value replaces what stands there, if that differs.
type Flow struct {
	Attribute  string
	Value      expr.Value // null only with Clear
	Clear      bool       // flow null: on update the attribute is removed; Value is then the default value for a new object, or null
	CreateOnly bool       // written when the object is created, never later
	Default    bool       // the default value: only when the object is created
	WhenEmpty  bool       // on update written only while the attribute has no value (AttributeAddOnly)
	AddValues  bool       // on update adds values to a multi-valued attribute and removes none (MultiValueAddOnly)
	Always     bool       // flowBehavior FlowAlways: written with every other write of the object, even if it stands there already; alone it is no reason to write
	CaseExact  bool       // how it is compared with what stands in the target
	Redacted   bool       // shown as [Redact] wherever it is shown

	// Unique says that no two objects of the target may have the value (SelectUniqueValue). CreateOnly is set too.
	// Value is then the first candidate, and Candidate gives them all, from 0: ok is false if there is no such one, and
	// then the record fails and is tried again later. A null value is passed over without probing; an error concerns its
	// candidate only. A candidate is computed when it is asked for; the same i always gives the same. Candidate may be
	// called as long as the Outcome lives, by one goroutine at a time; it is nil if Unique is not set.
	Unique    bool
	Candidate func(i int) (value expr.Value, ok bool, err error)
}

// Reference is a target attribute that points at another object, named by its source anchor.
type Reference struct {
	Attribute  string
	Anchor     string // "" only with Clear
	Clear      bool   // flow null: on update the reference is removed
	CreateOnly bool   // written for objects that this record creates, never later
	WhenEmpty  bool   // written only while the object has no such reference
	Redacted   bool   // shown as [Redact] wherever it is shown
}

// Problem says why a record cannot be provisioned: Code is one of the error codes of the provisioning
// logs (EntrySynchronizationError, ImportSkipped, MandatoryFieldsMissing, …).
type Problem struct {
	Code      string
	Attribute string // target or source attribute, "" if none
	Reason    string // what is wrong, with the value where that helps
	Advice    string // what to do
}
