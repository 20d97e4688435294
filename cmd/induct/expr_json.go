package main

import (
	"errors"
	"unicode/utf8"

	"induct/internal/expr"
	"induct/internal/mapping"
)

// The documents of --json. Members that the service's preview and validation of a schema have too are called as there
// (docs/graph-extensions.md). Values are texts as logs show them, or null, or an array of texts; places in an expression
// are in characters, from 0.
type (
	evalJSON struct {
		Expression string          `json:"expression"`
		Value      any             `json:"value"`
		Flow       string          `json:"flow"` // value, ignoreAttribute, ignoreObject or error
		Error      *mistakeJSON    `json:"error"`
		Candidates []candidateJSON `json:"candidates"`
		Inputs     []inputJSON     `json:"inputs"`
		Steps      []stepJSON      `json:"steps"` // with --trace
		Findings   []findingJSON   `json:"findings"`
	}
	mistakeJSON struct {
		Message  string `json:"message"`
		Position int    `json:"position"`
		End      int    `json:"end"`
	}
	candidateJSON struct {
		Value any `json:"value"`
		Error any `json:"error"`
	}
	inputJSON struct {
		Name    string `json:"name"`
		Sent    bool   `json:"sent"`
		Value   any    `json:"value"`
		Problem any    `json:"problem"`
	}
	stepJSON struct {
		Function  string    `json:"function"`
		Position  int       `json:"position"`
		End       int       `json:"end"`
		Arguments []argJSON `json:"arguments"`
		Result    any       `json:"result"`
		Error     any       `json:"error"`
	}
	argJSON struct {
		Name      string `json:"name"`
		Value     any    `json:"value"`
		Evaluated bool   `json:"evaluated"`
	}

	checkJSON struct {
		File     string        `json:"file"`
		Valid    bool          `json:"valid"`
		Problems []findingJSON `json:"problems"`
		Findings []findingJSON `json:"findings"`
	}
	findingJSON struct {
		Line       int    `json:"line,omitempty"` // of the file
		Path       string `json:"path,omitempty"`
		Name       any    `json:"name"`
		Code       string `json:"code,omitempty"` // of findings
		Message    string `json:"message"`
		Advice     any    `json:"recommendedAction"`
		Expression any    `json:"expression"`
		Position   any    `json:"position"`
		End        any    `json:"end"`
	}

	explanationJSON struct {
		DisplayName any          `json:"displayName"`
		Verdict     string       `json:"verdict"` // inScope, outOfScope or problem
		Error       *problemJSON `json:"error"`
		Scope       scopeJSON    `json:"scope"`
		Matching    []matchJSON  `json:"matching"`
		Attributes  []mappedJSON `json:"attributes"`
		Inputs      []inputJSON  `json:"inputs"`
		Warnings    []string     `json:"warnings"`
		Unread      []string     `json:"unreadPaths"`
	}
	problemJSON struct {
		Code      string `json:"code"`
		Attribute any    `json:"attribute"`
		Reason    string `json:"reason"`
		Advice    any    `json:"recommendedAction"`
	}
	scopeJSON struct {
		InScope any         `json:"inScope"` // null if it did not come to that
		Groups  []groupJSON `json:"groups"`
	}
	groupJSON struct {
		Name    string       `json:"name"`
		Input   bool         `json:"inputFilter"`
		Holds   bool         `json:"holds"`
		Clauses []clauseJSON `json:"clauses"`
	}
	clauseJSON struct {
		Text  string `json:"clause"`
		Value any    `json:"value"`
		Holds bool   `json:"holds"`
		Why   any    `json:"reason"`
	}
	matchJSON struct {
		Attribute string `json:"attribute"`
		Value     any    `json:"value"`
	}
	mappedJSON struct {
		Target     string       `json:"targetAttributeName"`
		Type       string       `json:"mappingType"`
		Expression any          `json:"expression"`
		Matching   int          `json:"matchingPriority"`
		FlowType   string       `json:"flowType"`
		Reads      []string     `json:"sourceAttributes"`
		Value      any          `json:"value"`
		Flows      bool         `json:"flows"`
		How        any          `json:"reason"`
		Candidates []string     `json:"candidates"`
		Steps      []stepJSON   `json:"steps"` // with --trace
		Error      *problemJSON `json:"error"`
	}
)

func (ev *evaluation) json(trace bool) evalJSON {
	doc := evalJSON{Expression: ev.source, Value: jsonValue(ev.value), Flow: "value", Candidates: []candidateJSON{}, Inputs: []inputJSON{},
		Steps: []stepJSON{}, Findings: jsonFindings(ev.findings)}
	var mistake *expr.EvalError
	switch e := asExprError(ev.err); {
	case e != nil:
		doc.Flow, doc.Error = "error", &mistakeJSON{e.Msg, runes(ev.source, e.Offset), runes(ev.source, e.End)}
	case errors.As(ev.err, &mistake):
		doc.Flow, doc.Error = "error", &mistakeJSON{mistake.Error(), runes(ev.source, mistake.Pos), runes(ev.source, mistake.End)}
	case errors.Is(ev.err, expr.ErrIgnoreAttribute):
		doc.Flow = "ignoreAttribute"
	case errors.Is(ev.err, expr.ErrIgnoreObject):
		doc.Flow = "ignoreObject"
	}
	for _, c := range ev.candidates {
		doc.Candidates = append(doc.Candidates, candidateJSON{jsonValue(c.value), message(c.err)})
	}
	for _, v := range ev.inputs {
		in := inputJSON{Name: v.Name, Sent: v.Sent, Value: jsonValue(v.Value)}
		if ev.isRedacted(v.Name) && !v.Value.IsNull() {
			in.Value = expr.Mask
		}
		if v.Problem != nil {
			in.Problem = ev.reason(v)
		}
		doc.Inputs = append(doc.Inputs, in)
	}
	if trace {
		doc.Steps = jsonSteps(ev.source, ev.steps)
	}
	return doc
}

func jsonSteps(source string, steps []expr.Step) []stepJSON {
	list := make([]stepJSON, len(steps))
	for i, s := range steps {
		list[i] = stepJSON{Function: s.Func, Position: runes(source, s.Pos), End: runes(source, s.End), Arguments: []argJSON{},
			Result: jsonValue(s.Result), Error: message(s.Err)}
		for _, a := range s.Args {
			list[i].Arguments = append(list[i].Arguments, argJSON{a.Name, jsonValue(a.Value), a.Evaluated})
		}
	}
	return list
}

func jsonFindings(findings []finding) []findingJSON {
	list := make([]findingJSON, len(findings))
	for i, f := range findings {
		list[i] = findingJSON{Line: f.line, Path: f.path, Name: orNull(f.name), Code: f.code, Message: f.message, Advice: orNull(f.advice)}
		if f.expression != "" {
			list[i].Expression, list[i].Position, list[i].End = f.expression, runes(f.expression, f.pos), runes(f.expression, f.end)
		}
	}
	return list
}

func (x *explanation) json(trace bool) explanationJSON {
	o := &x.Outcome
	doc := explanationJSON{DisplayName: orNull(o.DisplayName), Verdict: "inScope", Error: jsonProblem(o.Problem), Scope: jsonScope(&x.Scope),
		Matching: []matchJSON{}, Inputs: []inputJSON{}, Attributes: []mappedJSON{}, Warnings: orEmpty(o.Warnings), Unread: orEmpty(o.Unread)}
	switch {
	case o.Problem != nil:
		doc.Verdict = "problem"
	case o.OutOfScope != "":
		doc.Verdict = "outOfScope"
	}
	for _, m := range o.Matching {
		doc.Matching = append(doc.Matching, matchJSON{m.Attribute, jsonValue(m.Value)})
	}
	for _, in := range x.Inputs {
		doc.Inputs = append(doc.Inputs, inputJSON{in.Name, in.Sent, textOrNull(in.Value, in.Null), orNull(in.Problem)})
	}
	for i := range x.Attributes {
		a := &x.Attributes[i]
		m := mappedJSON{Target: a.Target, Type: string(a.Type), Expression: orNull(a.Expression), Matching: a.Matching, FlowType: a.FlowType,
			Reads: orEmpty(a.Reads), Value: textOrNull(a.Value, a.Null), Flows: a.Flows, How: orNull(a.How), Candidates: orEmpty(a.Candidates),
			Steps: []stepJSON{}, Error: jsonProblem(a.Problem)}
		if trace {
			m.Steps = jsonSteps(a.Expression, a.Steps)
		}
		doc.Attributes = append(doc.Attributes, m)
	}
	return doc
}

func jsonScope(s *mapping.ScopeExplanation) scopeJSON {
	doc := scopeJSON{Groups: []groupJSON{}}
	if s.Decided {
		doc.InScope = s.InScope
	}
	for _, g := range s.Groups {
		group := groupJSON{g.Name, g.Input, g.Holds, []clauseJSON{}}
		for _, c := range g.Clauses {
			group.Clauses = append(group.Clauses, clauseJSON{c.Text, orNull(c.Value), c.Holds, orNull(c.Why)})
		}
		doc.Groups = append(doc.Groups, group)
	}
	return doc
}

func jsonProblem(p *mapping.Problem) *problemJSON {
	if p == nil {
		return nil
	}
	return &problemJSON{p.Code, orNull(p.Attribute), p.Reason, orNull(p.Advice)}
}

// jsonValue is a value as text, several as an array.
func jsonValue(v expr.Value) any {
	switch v.Kind() {
	case expr.Null:
		return nil
	case expr.List:
		list := make([]string, 0, len(v.Elems()))
		for _, e := range v.Elems() {
			list = append(list, e.String())
		}
		return list
	}
	return v.String()
}

func message(err error) any {
	if err == nil {
		return nil
	}
	return err.Error()
}

func orNull(text string) any { return textOrNull(text, text == "") }

func textOrNull(text string, null bool) any {
	if null {
		return nil
	}
	return text
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// runes turns a place in bytes into one in characters.
func runes(text string, offset int) int {
	return utf8.RuneCountInString(text[:min(max(offset, 0), len(text))])
}
