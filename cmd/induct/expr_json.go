package main

import (
	"errors"

	"induct/internal/expr"
	"induct/internal/mapping"
)

// The documents of --json. A value is null, true, false, a number, a text, or an array of these.
type (
	evalJSON struct {
		Expression string          `json:"expression"`
		Value      any             `json:"value"`
		Flow       string          `json:"flow"` // value, ignoreAttribute, ignoreObject or error
		Error      *placeJSON      `json:"error,omitempty"`
		Candidates []candidateJSON `json:"candidates,omitempty"`
		Findings   []findingJSON   `json:"findings,omitempty"`
		Attributes []inputJSON     `json:"attributes,omitempty"`
		Steps      []stepJSON      `json:"steps,omitempty"`
	}
	candidateJSON struct {
		Value any    `json:"value"`
		Error string `json:"error,omitempty"`
	}
	inputJSON struct {
		Name    string `json:"name"`
		Sent    bool   `json:"sent"`
		Value   any    `json:"value"`
		Problem string `json:"problem,omitempty"`
	}
	stepJSON struct {
		Function string    `json:"function"`
		Start    int       `json:"start"` // bytes of the expression
		End      int       `json:"end"`
		Args     []argJSON `json:"arguments"`
		Result   any       `json:"result"`
		Error    string    `json:"error,omitempty"`
	}
	argJSON struct {
		Name      string `json:"name"`
		Value     any    `json:"value"`
		Evaluated bool   `json:"evaluated"`
	}
	placeJSON struct {
		Message string `json:"message"`
		Start   int    `json:"start"` // bytes of the expression
		End     int    `json:"end"`
	}
	findingJSON struct {
		Path       string `json:"path,omitempty"`
		Name       string `json:"name,omitempty"`
		Line       int    `json:"line,omitempty"` // of the file
		Code       string `json:"code,omitempty"`
		Message    string `json:"message"`
		Advice     string `json:"advice,omitempty"`
		Expression string `json:"expression,omitempty"`
		Start      int    `json:"start,omitempty"` // bytes of the expression
		End        int    `json:"end,omitempty"`
	}
)

func (ev *evaluation) json(trace bool) evalJSON {
	doc := evalJSON{Expression: ev.source, Value: jsonValue(ev.value), Flow: "value"}
	var mistake *expr.EvalError
	switch e := asExprError(ev.err); {
	case e != nil:
		doc.Flow, doc.Error = "error", &placeJSON{e.Msg, e.Offset, e.End}
	case errors.As(ev.err, &mistake):
		doc.Flow, doc.Error = "error", &placeJSON{mistake.Error(), mistake.Pos, mistake.End}
	case errors.Is(ev.err, expr.ErrIgnoreAttribute):
		doc.Flow = "ignoreAttribute"
	case errors.Is(ev.err, expr.ErrIgnoreObject):
		doc.Flow = "ignoreObject"
	}
	for _, c := range ev.candidates {
		doc.Candidates = append(doc.Candidates, candidateJSON{jsonValue(c.value), message(c.err)})
	}
	for _, f := range ev.findings {
		doc.Findings = append(doc.Findings, findingJSON{Code: f.Code, Message: f.Message, Start: f.Pos, End: f.End})
	}
	if !trace {
		return doc
	}
	for _, v := range ev.inputs {
		in := inputJSON{Name: v.Name, Sent: v.Sent, Value: jsonValue(v.Value)}
		if ev.isRedacted(v.Name) && !v.Value.IsNull() {
			in.Value = expr.Mask
		}
		if v.Problem != nil {
			in.Problem = ev.reason(v)
		}
		doc.Attributes = append(doc.Attributes, in)
	}
	doc.Steps = jsonSteps(ev.steps)
	return doc
}

func jsonSteps(steps []expr.Step) (list []stepJSON) {
	for _, s := range steps {
		step := stepJSON{Function: s.Func, Start: s.Pos, End: s.End, Args: []argJSON{}, Result: jsonValue(s.Result), Error: message(s.Err)}
		for _, a := range s.Args {
			step.Args = append(step.Args, argJSON{a.Name, jsonValue(a.Value), a.Evaluated})
		}
		list = append(list, step)
	}
	return list
}

func jsonValue(v expr.Value) any {
	switch v.Kind() {
	case expr.Null:
		return nil
	case expr.Boolean:
		b, _ := v.AsBool()
		return b
	case expr.Integer:
		n, _ := v.AsInt()
		return n
	case expr.List:
		list := make([]any, 0, len(v.Elems()))
		for _, e := range v.Elems() {
			list = append(list, jsonValue(e))
		}
		return list
	}
	return v.String()
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func jsonProblems(problems []mapping.SchemaProblem) (list []findingJSON) {
	for _, p := range problems {
		list = append(list, findingJSON{Path: p.Path, Name: p.Name, Message: p.Message, Advice: p.Advice, Expression: p.Expression, Start: p.Pos, End: p.End})
	}
	return list
}

func jsonFindings(findings []mapping.Finding) (list []findingJSON) {
	for _, f := range findings {
		list = append(list, findingJSON{Path: f.Path, Name: f.Name, Code: f.Code, Message: f.Message, Expression: f.Expression, Start: f.Pos, End: f.End})
	}
	return list
}

type (
	explanationJSON struct {
		Person     string       `json:"person"`
		Verdict    string       `json:"verdict"` // inScope, outOfScope or problem
		OutOfScope string       `json:"outOfScope,omitempty"`
		Problem    *problemJSON `json:"problem,omitempty"`
		Scope      []groupJSON  `json:"scope,omitempty"`
		Matching   []matchJSON  `json:"matching,omitempty"`
		Inputs     []inputJSON  `json:"inputs"`
		Attributes []mappedJSON `json:"attributes"`
		Warnings   []string     `json:"warnings,omitempty"`
		Unread     []string     `json:"unread,omitempty"` // sent, and read by no mapping
	}
	problemJSON struct {
		Code      string `json:"code"`
		Attribute string `json:"attribute,omitempty"`
		Reason    string `json:"reason"`
		Advice    string `json:"advice,omitempty"`
	}
	groupJSON struct {
		Name    string       `json:"name"`
		Input   bool         `json:"input"`
		Holds   bool         `json:"holds"`
		Clauses []clauseJSON `json:"clauses"`
	}
	clauseJSON struct {
		Text  string `json:"text"`
		Value string `json:"value"`
		Holds bool   `json:"holds"`
		Why   string `json:"why,omitempty"`
	}
	matchJSON struct {
		Attribute string `json:"attribute"`
		Value     any    `json:"value"`
	}
	mappedJSON struct {
		Target     string       `json:"target"`
		Type       string       `json:"type"`
		Expression string       `json:"expression,omitempty"`
		Matching   int          `json:"matchingPriority,omitempty"`
		FlowType   string       `json:"flowType"`
		Value      *string      `json:"value"` // as logs show it
		Flows      bool         `json:"flows"`
		How        string       `json:"how"`
		Reads      []string     `json:"reads,omitempty"`
		Candidates []string     `json:"candidates,omitempty"`
		Problem    *problemJSON `json:"problem,omitempty"`
		Steps      []stepJSON   `json:"steps,omitempty"`
	}
)

func (x *explanation) json(trace bool) explanationJSON {
	o := &x.Outcome
	doc := explanationJSON{Person: o.DisplayName, Verdict: "inScope", OutOfScope: o.OutOfScope, Problem: jsonProblem(o.Problem),
		Inputs: []inputJSON{}, Attributes: []mappedJSON{}, Warnings: o.Warnings, Unread: o.Unread}
	switch {
	case o.Problem != nil:
		doc.Verdict = "problem"
	case o.OutOfScope != "":
		doc.Verdict = "outOfScope"
	}
	for _, g := range x.Scope.Groups {
		group := groupJSON{g.Name, g.Input, g.Holds, []clauseJSON{}}
		for _, c := range g.Clauses {
			group.Clauses = append(group.Clauses, clauseJSON{c.Text, c.Value, c.Holds, c.Why})
		}
		doc.Scope = append(doc.Scope, group)
	}
	for _, m := range o.Matching {
		doc.Matching = append(doc.Matching, matchJSON{m.Attribute, jsonValue(m.Value)})
	}
	for _, in := range x.Inputs {
		doc.Inputs = append(doc.Inputs, inputJSON{in.Name, in.Sent, textOrNull(in.Value, in.Null || !in.Sent), in.Problem})
	}
	for _, a := range x.Attributes {
		m := mappedJSON{Target: a.Target, Type: string(a.Type), Expression: a.Expression, Matching: a.Matching, FlowType: a.FlowType,
			Value: textOrNull(a.Value, a.Null), Flows: a.Flows, How: a.How, Reads: a.Reads, Candidates: a.Candidates, Problem: jsonProblem(a.Problem)}
		if trace {
			m.Steps = jsonSteps(a.Steps)
		}
		doc.Attributes = append(doc.Attributes, m)
	}
	return doc
}

func jsonProblem(p *mapping.Problem) *problemJSON {
	if p == nil {
		return nil
	}
	return &problemJSON{p.Code, p.Attribute, p.Reason, p.Advice}
}

func textOrNull(text string, null bool) *string {
	if null {
		return nil
	}
	return &text
}
