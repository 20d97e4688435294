package mapping

import (
	"cmp"
	"errors"
	"slices"

	"induct/internal/expr"
	"induct/internal/scim"
)

// Explanation is the whole of what a Program makes of a record, for people. Whatever is redacted is masked in all texts and
// steps, and in Outcome, which therefore is for showing and never for writing.
type Explanation struct {
	Outcome    Outcome
	Scope      ScopeExplanation
	Inputs     []InputExplanation     // the source attributes that the program reads, in the order of the schema
	Attributes []AttributeExplanation // the attribute mappings, in the order of the schema
}

// ScopeExplanation says whether the person is in scope, and why; also for a record with a problem of another kind. Decided is
// false if a clause cannot be evaluated, or the record cannot be read.
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

// maxCandidates is how many candidates of SelectUniqueValue an explanation lists.
const maxCandidates = 16

// Explain evaluates a record as Evaluate does and tells how. It is slower by far, and writes nothing anywhere.
func (p *Program) Explain(r Record) Explanation {
	x := Explanation{Outcome: p.Evaluate(r)}
	e := p.evaluation()
	defer e.release()
	var again Outcome
	if e.read(r, &again) == nil {
		e.describe(&again)
		x.Inputs = e.explainInputs()
		x.Scope = e.explainScope()
		for i := range p.rules {
			x.Attributes = append(x.Attributes, e.explain(&p.rules[i], &x.Outcome))
		}
	}
	x.Outcome.mask()
	return x
}

// mask takes what is redacted out of an outcome.
func (out *Outcome) mask() {
	for i := range out.Flows {
		if f := &out.Flows[i]; f.Redacted {
			f.Value, f.Candidate = masked(f.Value), nil
		}
	}
	for i := range out.References {
		if ref := &out.References[i]; ref.Redacted && ref.Anchor != "" {
			ref.Anchor = expr.Mask
		}
	}
}

func masked(v expr.Value) expr.Value {
	if v.IsNull() {
		return v
	}
	return expr.Text(expr.Mask)
}

func (e *evaluation) explainInputs() []InputExplanation {
	var slots []int
	for i := range e.p.inputs {
		if in := &e.p.inputs[i]; in.mapped || in.scoped {
			slots = append(slots, i)
		}
	}
	slices.SortStableFunc(slots, func(a, b int) int { return cmp.Compare(e.p.inputs[a].order, e.p.inputs[b].order) })
	out := make([]InputExplanation, 0, len(slots))
	for _, slot := range slots {
		in := &e.p.inputs[slot]
		x := InputExplanation{Name: in.Name, Sent: e.sent[slot].Kind != scim.Absent, Null: e.values[slot].IsNull()}
		if x.Value = shorten(e.values[slot].String(), maxLogged); in.redacted && !x.Null {
			x.Value = expr.Mask
		}
		if bad := e.problems[slot]; bad != nil {
			if x.Problem = bad.reason; in.redacted {
				x.Problem = "the value, which is redacted, does not fit"
			}
		}
		out = append(out, x)
	}
	return out
}

// explainScope asks every clause, also those that can decide nothing any more.
func (e *evaluation) explainScope() ScopeExplanation {
	var x ScopeExplanation
	source, problem := e.decisive()
	if problem != nil {
		return x
	}
	in, undecided := e.p.out(e.p.input, source)
	of, undecidedToo := e.p.out(e.p.scope, source)
	x.Decided = undecided == nil && undecidedToo == nil
	x.InScope = x.Decided && in == "" && of == ""
	for _, set := range []struct {
		groups scope
		input  bool
	}{{e.p.input, true}, {e.p.scope, false}} {
		for i := range set.groups {
			g := &set.groups[i]
			verdict := GroupExplanation{Name: g.name, Input: set.input, Holds: true}
			for j := range g.clauses {
				c := e.explainClause(&g.clauses[j], source)
				verdict.Holds = verdict.Holds && c.Holds
				verdict.Clauses = append(verdict.Clauses, c)
			}
			x.Groups = append(x.Groups, verdict)
		}
	}
	return x
}

func (e *evaluation) explainClause(c *clause, source []scim.Value) ClauseExplanation {
	in := &e.p.inputs[c.slot]
	x := ClauseExplanation{Text: c.text}
	v, bad := in.read(source[c.slot])
	if bad != nil {
		x.Why = in.problem(bad, "a scoping filter reads it").Reason
		return x
	}
	d := c.decide(v)
	x.Value, x.Holds = shorten(v.String(), maxLogged), d.holds
	if in.redacted && !v.IsNull() {
		x.Value = expr.Mask
	}
	switch {
	case d.problem != nil:
		x.Why = in.undecided(c, d.problem).Reason
	case d.holds:
	case v.IsEmpty():
		x.Why = "The person has no " + in.Name + ", and every operator but IS NULL is false for no value."
	case c.test == nil:
		x.Why = "The person has a " + in.Name + "."
	default:
		x.Why = "The value does not meet the clause."
	}
	return x
}

// explain tells what a rule makes of the record, whatever becomes of the record.
func (e *evaluation) explain(r *rule, out *Outcome) AttributeExplanation {
	x := AttributeExplanation{Target: r.target.Name, Type: r.kind, Expression: r.text, Matching: r.priority, FlowType: cmp.Or(r.mapping.FlowType, FlowTypeAlways), Null: true}
	for _, slot := range r.reads {
		x.Reads = append(x.Reads, e.p.inputs[slot].Name)
	}
	if r.expr != nil {
		_, x.Steps, _ = r.expr.Trace(&e.ctx)
		r.maskSteps(x.Steps)
	}
	var res result
	if x.Problem = e.run(r, &res); x.Problem != nil {
		x.How = "Nothing is written: " + x.Problem.Reason
		return x
	}
	value := res.value
	switch {
	case res.ignored:
		x.How = "The rule leaves the attribute out of the flow: the target keeps what it has."
	case r.filter:
		x.How = "The rule only decides about the record; nothing is written."
	case r.reference:
		ref, ok, bad := e.reference(r, value)
		x.Flows, x.Problem = ok && bad == nil, bad
		x.How = howReference(ref, ok)
	default:
		var f Flow
		x.Flows = e.flowOf(r, &res, &f)
		value = f.Value
		if x.How = how(&f, x.Flows); e.noActive && r.readsActive {
			x.How = "The record has no 'active'. " + x.How
		}
		if f.Unique {
			x.Candidates = r.listCandidates(f.Candidate)
		}
	}
	if x.Null = value.IsNull(); r.redacted {
		value = masked(value)
	}
	x.Value = shorten(value.String(), maxLogged)
	switch {
	case !x.Flows:
	case out.Problem != nil:
		x.Flows, x.How = false, "Nothing is written, because the record cannot be provisioned: "+out.Problem.Reason
	case out.OutOfScope != "":
		x.Flows, x.How = false, "Nothing is written, because the person is out of scope: "+out.OutOfScope+"."
	}
	return x
}

// maskSteps masks a trace where more is redacted than the expression itself says.
func (r *rule) maskSteps(steps []expr.Step) {
	if !r.redacted {
		return
	}
	for i := range steps {
		s := &steps[i]
		s.Result = masked(s.Result)
		for j := range s.Args {
			s.Args[j].Value = masked(s.Args[j].Value)
		}
		if s.Err != nil && !errors.Is(s.Err, expr.ErrIgnoreAttribute) && !errors.Is(s.Err, expr.ErrIgnoreObject) {
			s.Err = errRedacted
		}
	}
}

func (r *rule) listCandidates(candidate func(int) (expr.Value, bool, error)) []string {
	var list []string
	for i := range maxCandidates {
		v, ok, err := candidate(i)
		switch {
		case !ok:
			return list
		case r.redacted:
			list = append(list, expr.Mask)
		case err != nil:
			list = append(list, "("+err.Error()+")")
		case v.IsNull():
			list = append(list, "(no value)")
		default:
			list = append(list, shorten(v.String(), maxLogged))
		}
	}
	return list
}

// how says when a flow is written.
func how(f *Flow, flows bool) string {
	switch {
	case !flows:
		return "There is no value: nothing is written, and the target keeps what it has."
	case f.Clear && !f.Value.IsNull():
		return "There is no value and null flows: the attribute is removed; a new object has the default value."
	case f.Clear:
		return "There is no value and null flows: the attribute is removed."
	case f.Default:
		return "There is no value: the default value is written when the object is created, never later."
	case f.Unique:
		return "Written when the object is created, never later: the first of the candidates that nobody has."
	case f.CreateOnly:
		return "Written when the object is created, never later."
	case f.WhenEmpty:
		return "Written when the object is created, and later while the attribute has no value."
	case f.AddValues:
		return "Written when the object is created; later the values that are missing are added, and none is removed."
	}
	return "Written whenever the target has something else."
}

func howReference(ref Reference, flows bool) string {
	switch {
	case !flows:
		return "There is no reference: nothing is written, and the target keeps what it has."
	case ref.Clear:
		return "There is no reference and null flows: the reference is removed."
	case ref.CreateOnly:
		return "Written once, for an object that this record creates, when the other object is known."
	case ref.WhenEmpty:
		return "Written while there is none, when the other object is known."
	}
	return "Written whenever the target refers to another object, when the other object is known."
}
