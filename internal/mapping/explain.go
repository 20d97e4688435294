package mapping

import "induct/internal/expr"

// Explanation is the whole of what a Program makes of a record, for people. Whatever is redacted is masked in all texts and
// steps, and in Outcome, which therefore is for showing and never for writing.
type Explanation struct {
	Outcome    Outcome
	Scope      ScopeExplanation
	Inputs     []InputExplanation     // the source attributes that the program reads, in the order of the schema
	Attributes []AttributeExplanation // the attribute mappings, in the order of the schema
}

// ScopeExplanation says who is in scope, and why. Decided is false if the record did not come as far as that.
type ScopeExplanation struct {
	Decided, InScope bool
	Groups           []GroupExplanation
}

// GroupExplanation is the verdict of one filter group. Input tells that it is one of inputFilterGroups.
type GroupExplanation struct {
	Name    string
	Input   bool
	Holds   bool
	Clauses []ClauseExplanation
}

// ClauseExplanation is the verdict of one clause.
type ClauseExplanation struct {
	Text  string // such as "department EQUALS 'Sales'"
	Value string // what it was compared with; "" for no value
	Holds bool
	Why   string // why it does not hold or cannot be decided; "" if it holds
}

// InputExplanation is a source attribute as a record has it.
type InputExplanation struct {
	Name    string
	Sent    bool   // it is in the record, perhaps as null
	Value   string // as expressions see it; "" for null
	Null    bool
	Problem string // why its value cannot be used; "" if it can
}

// AttributeExplanation is one attribute mapping and what it made of the record.
type AttributeExplanation struct {
	Target     string
	Type       MappingType
	Expression string
	Matching   int      // the matching priority, 0 for none
	FlowType   string   // never ""
	Reads      []string // the source attributes, in the order of their first use
	Steps      []expr.Step
	Value      string   // what flows or would flow, as logs show it; "" for null
	Null       bool     // the mapping gave no value
	Flows      bool     // something may be written: on create, on update, or both
	How        string   // when it is written, or why it does not flow: a sentence
	Candidates []string // of SelectUniqueValue, the first 16
	Problem    *Problem // why the mapping cannot be used for this record
}

// Explain evaluates a record as Evaluate does and tells how. It is slower by far, and writes nothing anywhere.
func (p *Program) Explain(r Record) Explanation { return Explanation{Outcome: p.Evaluate(r)} }
