package mapping

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"induct/internal/expr"
	"induct/internal/scim"
)

// Program is a compiled Schema. It is immutable and safe for concurrent use.
type Program struct {
	id       uint64
	set      Settings
	flow     FlowTypes
	reader   *scim.Reader
	holders  *scim.Reader // of what attributes that may be cleared are part of
	inputs   []input
	imported []int // slots that mappings read, in the order of the schema
	rules    []rule
	matching []int // rules, in the order of precedence
	input    scope // who is looked at
	scope    scope // who is in scope
	volatile bool

	anchor, active, displayName, givenName, familyName, userName int // slots

	scratch sync.Pool // of *evaluation
}

// ID identifies what p does: a hash of the schema (but for its id and version) and the settings, the same in every process.
func (p *Program) ID() uint64 { return p.id }

// Pure reports whether what an Outcome does to an object that is there already depends on the record alone: no
// expression reads the clock or randomness, but for those whose value is written only when an object is created.
func (p *Program) Pure() bool { return !p.volatile }

// FlowTypes returns the actions that the object mapping allows.
func (p *Program) FlowTypes() FlowTypes { return p.flow }

// maxUnread bounds Outcome.Unread.
const maxUnread = 64

// Sentences for records without `active`.
const (
	warnActiveSafe = "The record has no 'active': an existing account keeps its state and a new one is created disabled. Send 'active' with every record."
	warnActiveOff  = "The record has no 'active', which this job reads as False: the account is disabled. Send 'active' with every record, or change the job's setting."
)

// evaluation is the scratch of one Evaluate.
type evaluation struct {
	p        *Program
	sent     []scim.Value
	kept     []scim.Value
	held     []scim.Value // what holders read; empty if it was not asked for
	record   Record
	values   []expr.Value // by slot
	problems []*mismatch  // by slot; nil if the value could be read
	results  []result     // by rule; one that matching has run already is done
	ctx      expr.Context
	noActive bool // the record has no active, and a mapping reads it
}

// result is what a rule made of a record.
type result struct {
	done    bool
	value   expr.Value
	ignored bool // IgnoreAttributeFlow: not even the default value flows
}

func (p *Program) evaluation() *evaluation {
	if e, ok := p.scratch.Get().(*evaluation); ok {
		return e
	}
	n := len(p.inputs)
	return &evaluation{p: p, values: make([]expr.Value, n), problems: make([]*mismatch, n), results: make([]result, len(p.rules))}
}

// release forgets the record, so that a pooled evaluation keeps none of it alive.
func (e *evaluation) release() {
	clear(e.sent)
	clear(e.kept)
	clear(e.held)
	e.held, e.record = e.held[:0], Record{}
	clear(e.values)
	clear(e.problems)
	clear(e.results)
	e.ctx, e.noActive = expr.Context{}, false
	e.p.scratch.Put(e)
}

// Evaluate makes of a record what should be done about it. It never fails: a record that cannot be evaluated has
// a Problem. The same record, with the same Now and Seed, always has the same Outcome.
func (p *Program) Evaluate(r Record) Outcome {
	e := p.evaluation()
	defer e.release()
	var out Outcome
	if out.Problem = e.read(r, &out); out.Problem != nil {
		return out
	}
	e.describe(&out)
	if !hasText(e.sent[p.anchor]) {
		out.Problem = &Problem{Code: codeMissing, Attribute: anchorName, Reason: "Source identifier of an entry cannot be empty.",
			Advice: "Send the person's externalId."}
		return out
	}
	if out.Problem = longAnchor(anchorName, e.sent[p.anchor].Str); out.Problem != nil {
		return out
	}
	if strings.ContainsFunc(e.sent[p.anchor].Str, unicode.IsControl) {
		out.Problem = &Problem{Code: codeEntry, Attribute: anchorName,
			Reason: quote(e.sent[p.anchor].Str) + " holds a control character; an externalId has none.", Advice: "Correct the externalId in the source."}
		return out
	}
	matching, problem := e.match()
	if problem != nil {
		out.Problem = problem
		return out
	}
	if e.inScope(&out); out.Problem != nil || out.OutOfScope != "" {
		return out
	}
	e.flow(&out)
	if out.Problem != nil { // a record that fails flows nothing
		out.Flows, out.References, out.Warnings = nil, nil, nil
		return out
	}
	out.Matching = matching
	return out
}

// read fills the slots from the record as it was sent.
func (e *evaluation) read(r Record, out *Outcome) *Problem {
	var err error
	e.record = r
	e.sent, err = e.p.reader.Read(r.Sent, e.sent[:0], out.addUnread)
	if err != nil {
		return &Problem{Code: codeEntry, Reason: "The record cannot be read: " + err.Error() + ".", Advice: "Send the record as a JSON object."}
	}
	e.sent[e.p.anchor].Str = strings.TrimSpace(e.sent[e.p.anchor].Str) // as scim trims it to know the person
	for i := range e.p.inputs {
		in := &e.p.inputs[i]
		e.values[i], e.problems[i] = in.read(e.sent[i])
		if !in.mapped && !in.scoped && e.sent[i].Kind > scim.Null {
			out.addUnread(in.Name)
		}
	}
	e.ctx = expr.Context{Attributes: e.values, Now: r.Now, Seed: r.Seed, DefaultDomain: e.p.set.DefaultDomain}
	return nil
}

func (out *Outcome) addUnread(path string) {
	if len(out.Unread) < maxUnread && !slices.Contains(out.Unread, path) {
		out.Unread = append(out.Unread, path)
	}
}

// describe fills what logs show of the record, whatever becomes of it.
func (e *evaluation) describe(out *Outcome) {
	p := e.p
	out.DisplayName = e.name(p.displayName)
	if out.DisplayName == "" {
		out.DisplayName = strings.TrimSpace(e.name(p.givenName) + " " + e.name(p.familyName))
	}
	if out.DisplayName == "" {
		out.DisplayName = e.name(p.userName)
	}
	out.DisplayName = shorten(out.DisplayName, maxName)
	if active := e.values[p.active]; active.IsNull() && e.problems[p.active] == nil {
		// Expressions see what the reference sees; whether it flows is decided where it flows.
		e.noActive = true
		e.values[p.active] = expr.Bool(false)
	} else if b, ok := active.AsBool(); ok {
		out.Active = &b
	}
	out.Source = make([]Imported, 0, len(p.imported))
	for _, slot := range p.imported {
		if e.sent[slot].Kind != scim.Absent {
			out.Source = append(out.Source, Imported{p.inputs[slot].Name, shorten(e.shown(slot), maxLogged)})
		}
	}
}

// name returns the text of a slot for showing to people.
func (e *evaluation) name(slot int) string {
	if e.p.inputs[slot].redacted {
		return ""
	}
	return strings.TrimSpace(e.values[slot].String())
}

func (e *evaluation) shown(slot int) string {
	switch {
	case e.sent[slot].Kind == scim.Null:
		return ""
	case e.p.inputs[slot].redacted:
		return redactedText
	case e.problems[slot] != nil || e.values[slot].IsNull() || slot == e.p.active && e.noActive:
		return raw(e.sent[slot])
	}
	return e.values[slot].String()
}

// raw returns what was sent, of whatever type, as text.
func raw(v scim.Value) string {
	if v.Kind != scim.Many {
		return v.Str
	}
	parts := make([]string, len(v.List))
	for i, e := range v.List {
		parts[i] = e.Str
	}
	return strings.Join(parts, ";")
}

// longAnchor is the problem of an attribute that holds an externalId no person can have; nil if there is none.
func longAnchor(attribute, id string) *Problem {
	n := len(strings.TrimSpace(id))
	if n <= scim.MaxAnchor {
		return nil
	}
	return &Problem{Code: codeEntry, Attribute: attribute, Reason: fmt.Sprintf("%s has %d bytes; an externalId has at most %d.", quote(id), n, scim.MaxAnchor),
		Advice: "Send a shorter externalId."}
}

func hasText(v scim.Value) bool {
	return (v.Kind == scim.Text || v.Kind == scim.Number) && strings.TrimSpace(v.Str) != ""
}

// match evaluates the matching attributes. Values that are empty cannot be looked for.
func (e *evaluation) match() ([]Match, *Problem) {
	var found []Match
	for _, i := range e.p.matching {
		r, res := &e.p.rules[i], &e.results[i]
		if problem := e.run(r, res); problem != nil {
			return nil, problem
		}
		if strings.TrimSpace(res.value.String()) == "" {
			res.value = expr.Value{}
		} else {
			found = append(found, Match{r.target.Name, res.value})
		}
	}
	if len(found) == 0 {
		first := &e.p.rules[e.p.matching[0]]
		return nil, &Problem{Code: codeNoMatch, Attribute: first.target.Name,
			Reason: "The record has no value for any matching attribute, so nobody can be found by it (first matching rule: " + first.describe() + ").",
			Advice: "Send what the matching rule reads."}
	}
	return found, nil
}

// inScope decides by the kept record if there is one, else by the record as it was sent.
func (e *evaluation) inScope(out *Outcome) {
	p := e.p
	if len(p.scope) == 0 && len(p.input) == 0 {
		return
	}
	source, problem := e.decisive()
	if out.Problem = problem; problem != nil {
		return
	}
	if out.OutOfScope, out.Problem = p.out(p.input, source); out.OutOfScope != "" {
		out.OutOfInput = true
	}
	if out.OutOfScope == "" && out.Problem == nil {
		out.OutOfScope, out.Problem = p.out(p.scope, source)
	}
}

// decisive returns the values that decide about the scope.
func (e *evaluation) decisive() ([]scim.Value, *Problem) {
	if e.record.Kept == nil {
		return e.sent, nil
	}
	var err error
	if e.kept, err = e.p.reader.Read(e.record.Kept, e.kept[:0], nil); err != nil {
		return nil, &Problem{Code: codeEntry, Reason: "The kept record cannot be read: " + err.Error() + ".", Advice: "Send the complete record."}
	}
	return e.kept, nil
}

// flow evaluates the mappings and fills what flows.
func (e *evaluation) flow(out *Outcome) {
	out.Flows = make([]Flow, 0, len(e.p.rules))
	warned := false
	for i := range e.p.rules {
		r, res := &e.p.rules[i], &e.results[i]
		if !res.done {
			if out.Problem = e.run(r, res); out.Problem != nil {
				return
			}
		}
		if e.noActive && r.readsActive && !warned {
			warned = true
			out.Warnings = append(out.Warnings, e.p.activeWarning())
		}
		if res.ignored || r.filter {
			continue
		}
		if r.reference {
			ref, ok, problem := e.reference(r, res.value)
			if out.Problem = problem; problem != nil {
				return
			}
			if ok {
				out.References = append(out.References, ref)
			}
			continue
		}
		n := len(out.Flows)
		out.Flows = out.Flows[:n+1]
		if !e.flowOf(r, res, &out.Flows[n]) {
			out.Flows = out.Flows[:n]
		}
	}
}

func (p *Program) activeWarning() string {
	if p.set.DisableMissing {
		return warnActiveOff
	}
	return warnActiveSafe
}

// reference returns what a rule's value, an anchor, says; ok is false if nothing flows.
func (e *evaluation) reference(r *rule, v expr.Value) (ref Reference, ok bool, problem *Problem) {
	ref = Reference{Attribute: r.target.Name, Anchor: strings.TrimSpace(v.String()), CreateOnly: r.createOnly, WhenEmpty: r.whenEmpty, Redacted: r.redacted}
	if ref.Anchor == "" {
		ref.Clear = r.flowNull && e.cleared(r)
		return ref, ref.Clear, nil
	}
	problem = longAnchor(r.target.Name, ref.Anchor)
	if problem != nil && r.redacted {
		problem.Reason = fmt.Sprintf("the value, which is redacted, is longer than an externalId may be (%d bytes).", scim.MaxAnchor)
	}
	return ref, true, problem
}

// flowOf fills in what flows of a rule's result; false if nothing does.
func (e *evaluation) flowOf(r *rule, res *result, f *Flow) bool {
	*f = r.flow
	f.Value = res.value
	if e.noActive && r.readsActive && !e.p.set.DisableMissing {
		if r.slot >= 0 && !r.byDefault.IsNull() {
			f.Value = expr.Value{} // the schema says what a missing value means
		} else {
			f.CreateOnly = true
		}
	}
	if r.flowNull && f.Value.IsEmpty() && e.cleared(r) {
		f.Value, f.Clear = r.byDefault, true
		return true
	}
	if f.Value.IsNull() {
		f.Value, f.Default = r.byDefault, true
	} else if r.unique {
		f.Unique, f.Candidate = true, e.candidates(r)
	}
	return !f.Value.IsNull()
}

// cleared reports whether what a rule reads was sent as nothing: as null or "", or left out of something that was sent.
func (e *evaluation) cleared(r *rule) bool {
	for _, slot := range r.reads {
		if h := e.p.inputs[slot].holder; h > 0 && e.sent[slot].Kind == scim.Absent && !e.holds(h-1) {
			return false
		}
	}
	return true
}

// holds reports whether the record has the object or list that holders reads at i.
func (e *evaluation) holds(i int) bool {
	if len(e.held) == 0 {
		e.held, _ = e.p.holders.Read(e.record.Sent, e.held, nil) // it was read once without an error
	}
	return i < len(e.held) && e.held[i].Kind > scim.Null
}

// candidates returns Flow.Candidate for a rule. It holds a copy of what the rule reads, which outlives the evaluation.
func (e *evaluation) candidates(r *rule) func(int) (expr.Value, bool, error) {
	ctx := expr.Context{Attributes: slices.Clone(e.values), Now: e.ctx.Now, Seed: e.ctx.Seed, DefaultDomain: e.ctx.DefaultDomain}
	return func(i int) (expr.Value, bool, error) { return r.candidate(&ctx, i) }
}

// errRedacted stands for an error that may name a value.
var errRedacted = errors.New("it fails, and its values are redacted")

// candidate returns a candidate as the target attribute takes it.
func (r *rule) candidate(ctx *expr.Context, i int) (expr.Value, bool, error) {
	v, ok, err := r.expr.Candidate(ctx, i)
	if err != nil && r.redacted && !errors.Is(err, expr.ErrIgnoreAttribute) && !errors.Is(err, expr.ErrIgnoreObject) {
		err = errRedacted
	}
	if err != nil || !ok || v.IsEmpty() {
		return expr.Value{}, ok, err
	}
	fitted, bad := r.target.fit(v)
	if bad != nil {
		return expr.Value{}, true, errors.New(r.problem(bad).Reason)
	}
	return fitted, true, nil
}

// run evaluates one rule and fits the value to the target attribute. res, which is zero, becomes the result.
func (e *evaluation) run(r *rule, res *result) *Problem {
	res.done = true
	switch {
	case r.slot >= 0:
		if bad := e.problems[r.slot]; bad != nil {
			return e.p.inputs[r.slot].problem(bad, "mapped by "+r.describe())
		}
		res.value = e.values[r.slot]
	case r.expr != nil:
		if problem := e.eval(r, res); problem != nil || res.ignored {
			return problem
		}
	}
	if r.filter || res.value.IsNull() || r.plain && fits(&res.value, r.most) {
		return nil
	}
	fitted, bad := r.target.fit(res.value)
	if bad != nil {
		return r.problem(bad)
	}
	res.value = fitted
	return nil
}

func (e *evaluation) eval(r *rule, res *result) *Problem {
	for _, slot := range r.reads {
		if bad := e.problems[slot]; bad != nil {
			return e.p.inputs[slot].problem(bad, "read by "+r.describe())
		}
	}
	var err error
	res.value, err = r.first(&e.ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, expr.ErrIgnoreAttribute):
		res.ignored = true
		return nil
	case errors.Is(err, expr.ErrIgnoreObject):
		return &Problem{Code: codeSkip, Attribute: r.target.Name, Reason: "The record is skipped by IgnoreObjectFlow in " + r.describe() + ".",
			Advice: "Nothing, if that is what the rule is meant to do."}
	}
	reason := err.Error()
	if r.redacted {
		reason = "the value is redacted"
	}
	return &Problem{Code: codeEntry, Attribute: r.target.Name, Reason: "The rule " + r.describe() + " fails: " + reason + ".",
		Advice: "Correct what the record holds for the attributes that the rule reads, or guard the rule against it."}
}

// first returns the value of the rule's expression: of several candidates the first that is one.
func (r *rule) first(ctx *expr.Context) (expr.Value, error) {
	if !r.unique {
		return r.expr.Eval(ctx)
	}
	var failed error
	for i := 0; ; i++ {
		v, ok, err := r.candidate(ctx, i)
		switch {
		case !ok && err == nil, errors.Is(err, expr.ErrIgnoreAttribute), errors.Is(err, expr.ErrIgnoreObject):
			return v, cmp.Or(err, failed)
		case err != nil:
			failed = cmp.Or(failed, err)
		case !v.IsEmpty():
			return v, nil
		}
	}
}

// describe names a rule in sentences: its expression, shortened, and its target.
func (r *rule) describe() string {
	text := []rune(r.text)
	if len(text) > 200 {
		text = append(text[:200], '…')
	}
	return string(text) + " -> " + r.target.Name
}

func (r *rule) problem(bad *mismatch) *Problem {
	reason := bad.reason
	if r.redacted {
		reason = "the value, which is redacted, does not fit"
	}
	return &Problem{Code: bad.code, Attribute: r.target.Name, Reason: fmt.Sprintf("The target attribute '%s' cannot take what the rule %s made: %s.", r.target.Name, r.describe(), reason),
		Advice: bad.advice}
}

func (in *input) problem(bad *mismatch, why string) *Problem {
	reason := bad.reason
	if in.redacted {
		reason = "the value, which is redacted, does not fit"
	}
	return &Problem{Code: bad.code, Attribute: in.Name, Reason: fmt.Sprintf("The source attribute '%s' cannot be used: %s (%s).", in.Name, reason, why),
		Advice: bad.advice}
}
