package graph

import (
	"encoding/json"
	"errors"
	"strings"

	"induct/internal/expr"
	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
	"induct/internal/provision"
	"induct/internal/scim"
)

// previewRequest is the body of a preview.
type previewRequest struct {
	Record     json.RawMessage `json:"record"`
	ExternalID string          `json:"externalId"`
	Schema     json.RawMessage `json:"schema"`
	Kept       *bool           `json:"kept"`
}

// preview tells what one person would look like in the target, and why. It writes nothing.
func (c *call) preview() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	q, written, err := parsePreview(body)
	if err != nil {
		return err
	}
	job, err := c.job()
	if err != nil {
		return err
	}
	if q.Schema != nil {
		takeEditedTexts(q.Schema, job.Schema, written)
	}
	p, err := c.s.Service.Preview(c.r.Context(), job.PK, q)
	if isNotFound(err) {
		return notFound("kept record of a person with externalId", q.Operation.Anchor)
	}
	if err != nil {
		return err
	}
	var version any = job.Schema.Version
	if q.Schema != nil {
		version = nil
	}
	return c.entity(c.jobContext(job)+"/schema/preview", append(object{{"schemaVersion", version}}, previewObject(&q, p)...))
}

// parsePreview reads the request; written is the schema as it stands in it.
func parsePreview(body []byte) (q provision.PreviewQuery, written json.RawMessage, err error) {
	var r previewRequest
	if err := decode(body, &r); err != nil {
		return q, nil, err
	}
	q.Alone = r.Kept != nil && !*r.Kept
	switch {
	case present(r.Record):
		if q.Operation, err = parseRecord(r.Record); err != nil {
			return q, nil, err
		}
		if r.ExternalID != "" && r.ExternalID != q.Operation.Anchor {
			return q, nil, badRequest("externalId is '%s', and the record's is '%s': leave it out, or send it without a record.", clip(r.ExternalID), clip(q.Operation.Anchor))
		}
	case r.ExternalID != "":
		q.Operation.Anchor = r.ExternalID
	default:
		return q, nil, badRequest("The body has no record: send {\"record\": {…}} with a SCIM user as in bulkUpload, or {\"externalId\": \"…\"} for somebody who was sent before.")
	}
	if present(r.Schema) {
		if q.Schema, err = syncschema.Parse(r.Schema); err != nil {
			return q, nil, within("schema", err)
		}
	}
	return q, r.Schema, nil
}

// parseRecord reads a record as bulkUpload does, which leaves no password in it.
func parseRecord(record json.RawMessage) (provision.Operation, error) {
	const before, after = `{"schemas":["` + scim.BulkRequestURN + `"],"Operations":[{"method":"POST","path":"/Users","data":`, `}]}`
	bulk := append(append([]byte(before), record...), after...)
	operations, err := scim.ParseBulk(bulk, scim.Limits{})
	var e *scim.Error
	if errors.As(err, &e) {
		return provision.Operation{}, badRequest("%s: %s.", strings.Replace(e.Path, "Operations[0].data", "record", 1), e.Reason)
	}
	if err != nil {
		return provision.Operation{}, err
	}
	return toOperations(operations)[0], nil
}

func previewObject(q *provision.PreviewQuery, p *provision.Preview) object {
	x := &p.Explanation
	var failure any
	if e := &p.Entry; e.End == provision.EndFailed || e.End == provision.EndSkipped {
		failure = receiptError(e)
	}
	known := p.Person != nil
	return object{
		{"externalId", orNull(q.Operation.Anchor)},
		{"displayName", orNull(x.Outcome.DisplayName)},
		{"end", string(p.Entry.End)},
		{"error", failure},
		{"known", known},
		{"keptRecordUsed", known && !q.Alone},
		{"scope", scopeVerdict(&x.Scope)},
		{"matching", objects(x.Outcome.Matching, func(m *mapping.Match) object {
			return object{{"attribute", m.Attribute}, {"value", m.Value.String()}}
		})},
		{"target", previewTarget(p)},
		{"modifiedProperties", objects(p.Planned.Modified, modifiedObject)},
		{"attributes", objects(x.Attributes, explainedObject)},
		{"inputs", objects(x.Inputs, inputObject)},
		{"references", objects(x.Outcome.References, func(r *mapping.Reference) object {
			return object{{"attribute", r.Attribute}, {"externalId", orNull(r.Anchor)}, {"linked", modifies(p, r.Attribute)}}
		})},
		{"warnings", append([]string{}, x.Outcome.Warnings...)},
		{"unreadPaths", append([]string{}, x.Outcome.Unread...)},
	}
}

// modifies reports whether the plan writes an attribute.
func modifies(p *provision.Preview, attribute string) bool {
	for _, m := range p.Planned.Modified {
		if m.Attribute == attribute {
			return true
		}
	}
	return false
}

// previewTarget is the object that the record is about; null if there is none.
func previewTarget(p *provision.Preview) any {
	o := p.Current
	if o == nil {
		return nil
	}
	return object{
		{"id", o.ID},
		{"userPrincipalName", orNull(standing(p, "userPrincipalName"))},
		{"displayName", orNull(standing(p, "displayName"))},
		{"linked", p.Person != nil && strings.EqualFold(p.Person.ObjectID, o.ID)},
	}
}

// standing is the value that the object has, masked if the mapping of the attribute is.
func standing(p *provision.Preview, attribute string) string {
	v := p.Current.Attributes[attribute].String()
	for i := range p.Explanation.Attributes {
		if a := &p.Explanation.Attributes[i]; a.Target == attribute && a.Value == expr.Mask && v != "" {
			return expr.Mask
		}
	}
	return v
}

func scopeVerdict(s *mapping.ScopeExplanation) object {
	var in any
	if s.Decided {
		in = s.InScope
	}
	return object{
		{"inScope", in},
		{"groups", objects(s.Groups, func(g *mapping.GroupExplanation) object {
			return object{
				{"name", g.Name}, {"inputFilter", g.Input}, {"holds", g.Holds},
				{"clauses", objects(g.Clauses, func(c *mapping.ClauseExplanation) object {
					return object{{"clause", c.Text}, {"value", orNull(c.Value)}, {"holds", c.Holds}, {"reason", orNull(c.Why)}}
				})},
			}
		})},
	}
}

func inputObject(in *mapping.InputExplanation) object {
	var value any = in.Value
	if in.Null {
		value = nil
	}
	return object{{"name", in.Name}, {"sent", in.Sent}, {"value", value}, {"problem", orNull(in.Problem)}}
}

func explainedObject(a *mapping.AttributeExplanation) object {
	var value, failure any = a.Value, nil
	if a.Null {
		value = nil
	}
	if p := a.Problem; p != nil {
		failure = object{{"code", p.Code}, {"attribute", orNull(p.Attribute)}, {"reason", p.Reason}, {"recommendedAction", orNull(p.Advice)}}
	}
	return object{
		{"targetAttributeName", a.Target},
		{"mappingType", string(a.Type)},
		{"expression", orNull(a.Expression)},
		{"matchingPriority", a.Matching},
		{"flowType", a.FlowType},
		{"sourceAttributes", append([]string{}, a.Reads...)},
		{"value", value},
		{"flows", a.Flows},
		{"reason", orNull(a.How)},
		{"candidates", append([]string{}, a.Candidates...)},
		{"steps", stepObjects(a.Expression, a.Steps)},
		{"error", failure},
	}
}

func stepObjects(text string, steps []expr.Step) []object {
	return objects(steps, func(s *expr.Step) object { return stepObject(text, s) })
}

// stepObject is one call of an expression; its place is in characters from 0.
func stepObject(text string, s *expr.Step) object {
	var failure any
	if s.Err != nil {
		failure = capital(s.Err.Error())
	}
	return object{
		{"function", s.Func},
		{"position", runes(text, s.Pos)},
		{"end", runes(text, s.End)},
		{"arguments", objects(s.Args, func(a *expr.StepArg) object {
			return object{{"name", a.Name}, {"value", shownValue(a.Value)}, {"evaluated", a.Evaluated}}
		})},
		{"result", shownValue(s.Result)},
		{"error", failure},
	}
}

// mostShown bounds, in bytes, each text of a step.
const mostShown = 1000

// shownValue is a value as text, a list as a list of texts.
func shownValue(v expr.Value) any {
	switch v.Kind() {
	case expr.Null:
		return nil
	case expr.List:
		elems := v.Elems()
		texts := make([]string, min(len(elems), mostShown))
		for i := range texts {
			texts[i] = clipTo(elems[i].String(), mostShown)
		}
		return texts
	}
	return clipTo(v.String(), mostShown)
}

// validateSchema tells what is wrong with a schema, and what is likely not meant, without saving it. Without a body it
// is about the job's own.
func (c *call) validateSchema() error {
	var s *mapping.Schema
	var problems *mapping.SchemaError
	var body []byte
	if c.r.ContentLength != 0 {
		var err error
		if body, err = c.jsonBody(); err != nil {
			return err
		}
		if s, err = syncschema.Parse(body); err != nil && !errors.As(err, &problems) {
			return err
		}
	}
	o, err := c.schemaOwner()
	if err != nil {
		return err
	}
	if s == nil {
		s = o.schema
	} else {
		takeEditedTexts(s, o.schema, body)
	}
	set := c.settings(o.job)
	if problems == nil {
		if _, err := mapping.Compile(s, set); err != nil && !errors.As(err, &problems) {
			return err
		}
	}
	found := []mapping.Finding{}
	if problems == nil {
		problems, found = &mapping.SchemaError{}, mapping.Lint(s, set)
	}
	return c.entity(o.context+"/schema/validation", object{
		{"valid", len(problems.Problems) == 0},
		{"problems", objects(problems.Problems, problemObject)},
		{"findings", objects(found, findingObject)},
	})
}

func problemObject(p *mapping.SchemaProblem) object {
	o := object{{"path", p.Path}, {"name", orNull(p.Name)}, {"message", capital(p.Message)}, {"recommendedAction", orNull(p.Advice)}}
	return append(o, placeIn(p.Expression, p.Pos, p.End)...)
}

func findingObject(f *mapping.Finding) object {
	o := object{{"path", f.Path}, {"name", orNull(f.Name)}, {"code", f.Code}, {"message", f.Message}}
	return append(o, placeIn(f.Expression, f.Pos, f.End)...)
}

// placeIn is a place in an expression, in characters from 0; nulls if it is not about one.
func placeIn(expression string, pos, end int) object {
	if expression == "" {
		return object{{"expression", nil}, {"position", nil}, {"end", nil}}
	}
	return object{{"expression", expression}, {"position", runes(expression, pos)}, {"end", runes(expression, end)}}
}
