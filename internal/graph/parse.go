package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"induct/internal/expr"
	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
)

// parseRequest is the body of parseExpression.
type parseRequest struct {
	Expression      *string `json:"expression"`
	TestInputObject *struct {
		Definition json.RawMessage `json:"definition"`
		Properties []struct {
			Key   string          `json:"key"`
			Value json.RawMessage `json:"value"`
		} `json:"properties"`
	} `json:"testInputObject"`
	TargetAttributeDefinition json.RawMessage `json:"targetAttributeDefinition"`
}

// trial is an expression with what it is tried on.
type trial struct {
	text   string
	source *mapping.Object    // nil: attributes are taken as they come
	target *mapping.Attribute // nil: any value will do
	given  []given
}

// given is the value of one source attribute.
type given struct {
	name  string
	value expr.Value
}

// parseExpression reads and tries an expression (synchronizationSchema: parseExpression). What is wrong with it is part
// of a 200; a 400 is about the request.
func (c *call) parseExpression() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	try, err := parseTrial(body)
	if err != nil {
		return err
	}
	o, err := c.schemaOwner()
	if err != nil {
		return err
	}
	known := o.schema
	if try.source != nil {
		known = nil
	}
	return c.entity("microsoft.graph.parseExpressionResponse", c.try(try, sourceAttributes(known, try.source)))
}

// parseTrial reads the request. Its errors are for the caller.
func parseTrial(body []byte) (*trial, error) {
	var r parseRequest
	if err := decode(body, &r); err != nil {
		return nil, err
	}
	if r.Expression == nil {
		return nil, badRequest("The body has no expression: send {\"expression\": \"…\"}, and with testInputObject the values to try it on.")
	}
	t := &trial{text: *r.Expression}
	if present(r.TargetAttributeDefinition) {
		a, err := syncschema.ParseAttribute(r.TargetAttributeDefinition)
		if err != nil {
			return nil, within("targetAttributeDefinition", err)
		}
		t.target = a
	}
	if r.TestInputObject == nil {
		return t, nil
	}
	if present(r.TestInputObject.Definition) {
		o, err := syncschema.ParseObject(r.TestInputObject.Definition)
		if err != nil {
			return nil, within("testInputObject.definition", err)
		}
		t.source = o
	}
	if n := len(r.TestInputObject.Properties); n > mostProperties {
		return nil, badRequest("testInputObject has %d properties, and %d are the most.", n, mostProperties)
	}
	for i, p := range r.TestInputObject.Properties {
		v, err := openValue(p.Value)
		if err != nil {
			return nil, badRequest("testInputObject.properties[%d].value: %s", i, err)
		}
		t.given = append(t.given, given{p.Key, t.typed(p.Key, v)})
	}
	return t, nil
}

// mostProperties bounds the values that an expression is tried on.
const mostProperties = 1000

// decode reads a JSON body into v, passing over a byte order mark.
func decode(body []byte, v any) error {
	err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), v)
	var typ *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &typ) && typ.Field == "":
		return badRequest("The body is %s: send a JSON object.", article(typ.Value))
	case errors.As(err, &typ):
		return badRequest("The body is not as expected: '%s' is %s.", clip(typ.Field), article(typ.Value))
	case errors.As(err, &syntax):
		return badRequest("The body is not valid JSON at byte %d: %s.", syntax.Offset, clip(syntax.Error()))
	case err != nil:
		return badRequest("The body is not valid JSON.")
	}
	return nil
}

// parseMembers reads a JSON object by the names of its members.
func parseMembers(body []byte) (members map[string]json.RawMessage, err error) {
	if err := decode(body, &members); err != nil {
		return nil, err
	}
	if members == nil {
		return nil, badRequest("The body is null: send a JSON object.")
	}
	return members, nil
}

// article puts "a" or "an" before what a JSON value is called.
func article(kind string) string {
	if strings.HasPrefix(kind, "a") || strings.HasPrefix(kind, "o") {
		return "an " + kind
	}
	return "a " + kind
}

func present(v json.RawMessage) bool { return len(v) > 0 && string(v) != "null" }

// within puts the problems of a part of a body at that part.
func within(place string, err error) error {
	var e *mapping.SchemaError
	if !errors.As(err, &e) {
		return err
	}
	p := invalidSchema(e)
	for i := range p.details {
		p.details[i].Target = strings.TrimSuffix(place+"."+p.details[i].Target, ".")
	}
	p.message = place + ": " + p.message
	return p
}

// openValue reads a value of an open type: a text, a number, a truth value, a list of these, or null. A number that is
// no integer is a text; so is an object.
func openValue(raw json.RawMessage) (expr.Value, error) {
	if !present(raw) {
		return expr.Value{}, nil
	}
	if raw[0] != '[' {
		return scalar(raw)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return expr.Value{}, err
	}
	if len(list) > expr.MaxValues {
		return expr.Value{}, fmt.Errorf("the list has %d values, and %d are the most", len(list), expr.MaxValues)
	}
	elems := make([]expr.Value, 0, len(list))
	for i, e := range list {
		if e[0] == '[' {
			return expr.Value{}, fmt.Errorf("element %d is a list, and lists hold texts, numbers and truth values", i)
		}
		v, err := scalar(e)
		if err != nil {
			return expr.Value{}, err
		}
		if !v.IsNull() {
			elems = append(elems, v)
		}
	}
	return expr.Multi(elems...), nil
}

func scalar(raw json.RawMessage) (expr.Value, error) {
	switch raw[0] {
	case 'n':
		return expr.Value{}, nil
	case 't', 'f':
		return expr.Bool(raw[0] == 't'), nil
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return expr.Text(s), err
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return expr.Int(n), nil
	}
	return expr.Text(string(raw)), nil
}

// typed gives a value the type that the definition of the input has for it.
func (t *trial) typed(name string, v expr.Value) expr.Value {
	if t.source == nil || v.IsNull() {
		return v
	}
	i := slices.IndexFunc(t.source.Attributes, func(a mapping.Attribute) bool { return strings.EqualFold(a.Name, name) })
	if i < 0 {
		return v
	}
	a := &t.source.Attributes[i]
	elems := slices.Clone(v.Elems())
	for i, e := range elems {
		elems[i] = cast(e, a.Type)
	}
	if a.MultiValued || v.Kind() == expr.List {
		return expr.Multi(elems...)
	}
	return elems[0]
}

// cast reads a value as a type if it can be read so.
func cast(v expr.Value, typ string) expr.Value {
	switch typ {
	case "Boolean":
		if b, ok := v.AsBool(); ok {
			return expr.Bool(b)
		}
	case "Integer":
		if n, ok := v.AsInt(); ok {
			return expr.Int(n)
		}
	case "", "String", "Reference":
		if v.Kind() == expr.Boolean { // as JSON spells it
			return expr.Text(strings.ToLower(v.String()))
		}
		return expr.Text(v.String())
	}
	return v
}

// sourceAttributes are the names that an expression may use: those of the definition, else of the schema's source objects.
func sourceAttributes(s *mapping.Schema, definition *mapping.Object) []string {
	if definition != nil {
		return attributeNames(nil, definition)
	}
	var names []string
	for i := range s.Rules {
		for j := range s.Directories {
			if d := &s.Directories[j]; d.Name == s.Rules[i].SourceDirectoryName {
				for k := range d.Objects {
					names = attributeNames(names, &d.Objects[k])
				}
			}
		}
	}
	return names
}

func attributeNames(names []string, o *mapping.Object) []string {
	for i := range o.Attributes {
		names = append(names, o.Attributes[i].Name)
	}
	return names
}

// try is the parseExpressionResponse.
func (c *call) try(t *trial, known []string) object {
	for _, g := range t.given {
		known = append(known, g.name)
	}
	env := expr.Env{Known: known}
	if t.target != nil {
		env.Salt = t.target.Name
	}
	program, err := expr.Compile(t.text, env)
	if err != nil {
		return parseAnswer(false, parseError(t.text, err), nil, nil)
	}
	parsed := syncschema.AppendSource(nil, program.String())
	on := expr.Context{Attributes: t.slots(program), Now: c.s.Now(), Seed: c.seed(), DefaultDomain: c.s.Service.Tenant().DefaultDomain}
	_, steps, _ := program.Trace(&on)
	remarks := object{{"@induct.steps", stepObjects(t.text, steps)}, {"@induct.findings", findings(t.text, program, known)}}
	value, err := program.Eval(&on)
	switch {
	case errors.Is(err, expr.ErrIgnoreAttribute), errors.Is(err, expr.ErrIgnoreObject):
		return slices.Concat(parseAnswer(true, nil, parsed, []string{}), remarks, object{{"@induct.ignored", capital(err.Error())}})
	case err != nil:
		return append(parseAnswer(true, evaluationError(t.text, err), parsed, nil), remarks...)
	}
	result, wrong := t.fit(value)
	if wrong != "" {
		return append(parseAnswer(true, publicError("ValueDoesNotFit", wrong, "targetAttributeDefinition", nil), parsed, nil), remarks...)
	}
	return append(parseAnswer(true, nil, parsed, result), remarks...)
}

// seed is another for each request: what RandomString gives here is no password of anybody.
func (c *call) seed() uint64 {
	var n uint64
	for i := range len(c.requestID) {
		n = n*131 + uint64(c.requestID[i])
	}
	return n
}

// slots are the given values in the order in which the program reads them. Of a name given twice the last counts.
func (t *trial) slots(p *expr.Program) []expr.Value {
	names := p.Attributes()
	values := make([]expr.Value, len(names))
	for i, name := range names {
		for _, g := range t.given {
			if strings.EqualFold(g.name, name) {
				values[i] = g.value
			}
		}
		for _, g := range t.given { // the exact name wins
			if g.name == name {
				values[i] = g.value
			}
		}
	}
	return values
}

// fit says what the target attribute would get, as texts, or what is wrong with it.
func (t *trial) fit(v expr.Value) (result []string, wrong string) {
	a := t.target
	elems := v.Elems()
	if a != nil && !a.MultiValued && len(elems) > 1 {
		return nil, fmt.Sprintf("The expression gives %d values, and %s takes one: use Item, Join or Coalesce to make it one.", len(elems), a.Name)
	}
	result = make([]string, 0, len(elems))
	for _, e := range elems {
		if a != nil {
			if wrong := unfit(a, e); wrong != "" {
				return nil, wrong
			}
			e = cast(e, a.Type)
		}
		result = append(result, e.String())
	}
	return result, ""
}

// unfit says why a target attribute cannot take a value, "" if it can.
func unfit(a *mapping.Attribute, v expr.Value) string {
	switch a.Type {
	case "Boolean":
		if _, ok := v.AsBool(); !ok {
			return fmt.Sprintf("The expression gives '%s', and %s takes True or False.", clip(v.String()), a.Name)
		}
	case "Integer":
		if _, ok := v.AsInt(); !ok {
			return fmt.Sprintf("The expression gives '%s', and %s takes an Integer.", clip(v.String()), a.Name)
		}
	case "", "String":
		if n := utf8.RuneCountInString(v.String()); a.MaxLength > 0 && n > a.MaxLength {
			return fmt.Sprintf("The expression gives %d characters, and %s takes at most %d: shorten it with Left.", n, a.Name, a.MaxLength)
		}
	}
	return ""
}

// parseAnswer is a parseExpressionResponse; a result of nil means that there is none.
func parseAnswer(parsed bool, failure any, source json.RawMessage, result []string) object {
	var tree any
	if source != nil {
		tree = source
	}
	return object{
		{"error", failure},
		{"evaluationResult", append([]string{}, result...)},
		{"evaluationSucceeded", result != nil},
		{"parsedExpression", tree},
		{"parsingSucceeded", parsed},
	}
}

// parseError says where an expression is wrong.
func parseError(text string, err error) any {
	var e *expr.Error
	if !errors.As(err, &e) {
		return publicError("InvalidExpression", capital(err.Error()), "expression", nil)
	}
	return publicError("InvalidExpression", fmt.Sprintf("The expression is wrong at character %d: %s", e.Pos+1, e.Msg), "expression", position(e.Pos, e.Caret(text)))
}

// evaluationError says which call gave no value.
func evaluationError(text string, err error) any {
	var e *expr.EvalError
	if !errors.As(err, &e) {
		return publicError("EvaluationFailed", capital(err.Error()), "testInputObject", nil)
	}
	at := min(max(e.Pos, 0), len(text))
	return publicError("EvaluationFailed", fmt.Sprintf("%s at character %d gives no value: %s", e.Func, utf8.RuneCountInString(text[:at])+1, e.Msg), "testInputObject",
		position(utf8.RuneCountInString(text[:at]), caret(text, e.Pos, e.End)))
}

// position are the details of a mistake at a character, counted from 0.
func position(character int, drawing string) []object {
	return []object{
		{{"code", "Position"}, {"message", strconv.Itoa(character)}, {"target", "expression"}},
		{{"code", "Caret"}, {"message", drawing}, {"target", "expression"}},
	}
}

// publicError is Graph's publicError.
func publicError(code, message, target string, details []object) object {
	if details == nil {
		details = []object{}
	}
	return object{{"code", code}, {"message", message}, {"target", target}, {"details", details}, {"innerError", nil}}
}

// findings are what Lint has to say, and which attributes nobody knows.
func findings(text string, p *expr.Program, known []string) []object {
	found := p.Lint()
	rows := objects(found, func(f *expr.Finding) object {
		return object{{"code", f.Code}, {"message", f.Message}, {"position", runes(text, f.Pos)}, {"end", runes(text, f.End)}}
	})
	folded := make(map[string]bool, len(known))
	for _, k := range known {
		folded[strings.ToLower(k)] = true
	}
	for _, name := range p.Attributes() {
		if folded[strings.ToLower(name)] {
			continue
		}
		at := max(strings.Index(text, name), 0)
		rows = append(rows, object{{"code", "unknownAttribute"}, {"message", "The source has no attribute '" + name + "', so it is read as null."},
			{"position", runes(text, at)}, {"end", runes(text, at+len(name))}})
	}
	return rows
}

// runes counts the characters before a byte.
func runes(text string, at int) int { return utf8.RuneCountInString(text[:min(max(at, 0), len(text))]) }
