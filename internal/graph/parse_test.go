package graph

import (
	"strings"
	"testing"
	"time"

	"induct/internal/expr"
)

// answer is a parseExpressionResponse.
type answer struct {
	parsed, evaluated bool
	result            string // values joined by |; "" for none
	code, message     string
	caret             string
	tree              string
}

func (w *world) parse(url string, body any) answer {
	w.t.Helper()
	rec := w.write("POST", url, body)
	if rec.Code != 200 {
		w.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	o := decoded(w.t, rec)
	a := answer{parsed: o["parsingSucceeded"].(bool), evaluated: o["evaluationSucceeded"].(bool)}
	var values []string
	for _, v := range o["evaluationResult"].([]any) {
		values = append(values, v.(string))
	}
	a.result = strings.Join(values, "|")
	if o["parsedExpression"] != nil {
		a.tree = tree(o["parsedExpression"].(m))
	}
	if o["error"] != nil {
		e := o["error"].(m)
		a.code, a.message = e["code"].(string), e["message"].(string)
		for _, d := range e["details"].([]any) {
			if d.(m)["code"] == "Caret" {
				a.caret = d.(m)["message"].(string)
			}
		}
	}
	return a
}

// tree draws an attributeMappingSource.
func tree(s m) string {
	var parts []string
	for _, p := range s["parameters"].([]any) {
		parts = append(parts, p.(m)["key"].(string)+"="+tree(p.(m)["value"].(m)))
	}
	name := s["type"].(string) + " " + s["name"].(string)
	if parts == nil {
		return name
	}
	return name + "(" + strings.Join(parts, ", ") + ")"
}

// openProperties are those of a testInputObject: key, value, key, value.
func openProperties(of ...any) m {
	list := []any{}
	for i := 0; i+1 < len(of); i += 2 {
		list = append(list, m{"key": of[i], "value": of[i+1]})
	}
	return m{"properties": list}
}

func TestParseExpression(t *testing.T) {
	w := newWorld(t)
	text := m{"name": "x", "type": "String", "multivalued": false}
	for _, c := range []struct {
		body m
		want answer
	}{
		{ // the documented sample
			m{"expression": `Replace([preferredLanguage], "-", , , "_", , )`, "targetAttributeDefinition": nil, "testInputObject": m{"definition": nil, "properties": []any{
				m{"key": "displayName", "value": "John"}, m{"key": "preferredLanguage", "value": "EN-US"},
				m{"key": "appRoleAssignments", "value@odata.type": "#Collection(String)", "value": []any{"Default Assignment"}}}}},
			answer{parsed: true, evaluated: true, result: "EN_US",
				tree: "Function Replace(source=Attribute preferredLanguage, Find=Constant -, Replacement=Constant _)"},
		},
		{m{"expression": `[title]`, "testInputObject": openProperties("title", nil)}, answer{parsed: true, evaluated: true, tree: "Attribute title"}},
		{m{"expression": `[title]`, "testInputObject": openProperties("title", "")}, answer{parsed: true, evaluated: true, tree: "Attribute title"}},
		{m{"expression": `[title]`}, answer{parsed: true, evaluated: true, tree: "Attribute title"}},
		{m{"expression": `Not([active])`, "testInputObject": openProperties("active", true)}, answer{parsed: true, evaluated: true, result: "False", tree: "Function Not(source=Attribute active)"}},
		{m{"expression": `[TITLE]`, "testInputObject": openProperties("title", "a")}, answer{parsed: true, evaluated: true, result: "a", tree: "Attribute TITLE"}},
		{m{"expression": `[n]`, "testInputObject": openProperties("n", 12)}, answer{parsed: true, evaluated: true, result: "12", tree: "Attribute n"}},
		{m{"expression": `[n]`, "testInputObject": openProperties("n", 1.5)}, answer{parsed: true, evaluated: true, result: "1.5", tree: "Attribute n"}},
		{m{"expression": `[n]`, "testInputObject": openProperties("n", m{"a": 1})}, answer{parsed: true, evaluated: true, result: `{"a":1}`, tree: "Attribute n"}},
		{m{"expression": `[mails]`, "testInputObject": openProperties("mails", []any{"a", "b", nil})}, answer{parsed: true, evaluated: true, result: "a|b", tree: "Attribute mails"}},
		{m{"expression": `Count([mails])`, "testInputObject": openProperties("mails", []any{"a", "b"})}, answer{parsed: true, evaluated: true, result: "2", tree: "Function Count(attribute=Attribute mails)"}},
		{m{"expression": `IIF([n]="12","yes","no")`, "testInputObject": m{"definition": m{"name": "User", "attributes": []any{m{"name": "n", "type": "Integer"}}}, "properties": []any{m{"key": "n", "value": "12"}}}},
			answer{parsed: true, evaluated: true, result: "yes", tree: ""}},
		{m{"expression": `IgnoreAttributeFlow`}, answer{parsed: true, evaluated: true, tree: "Function IgnoreAttributeFlow"}},
		{m{"expression": `DefaultDomain()`}, answer{parsed: true, evaluated: true, result: "contoso.example", tree: "Function DefaultDomain"}},
		{m{"expression": `Now()`}, answer{parsed: true, evaluated: true, result: "8/20/2026 10:00:00 AM"}},
		// What the target attribute takes.
		{m{"expression": `"true"`, "targetAttributeDefinition": m{"name": "enabled", "type": "boolean"}}, answer{parsed: true, evaluated: true, result: "True", tree: "Constant true"}},
		{m{"expression": `"maybe"`, "targetAttributeDefinition": m{"name": "enabled", "type": "Boolean"}},
			answer{parsed: true, code: "ValueDoesNotFit", message: "The expression gives 'maybe', and enabled takes True or False.", tree: "Constant maybe"}},
		{m{"expression": `"x"`, "targetAttributeDefinition": m{"name": "level", "type": "Integer"}},
			answer{parsed: true, code: "ValueDoesNotFit", message: "The expression gives 'x', and level takes an Integer.", tree: "Constant x"}},
		{m{"expression": `[mails]`, "testInputObject": openProperties("mails", []any{"a", "b"}), "targetAttributeDefinition": text},
			answer{parsed: true, code: "ValueDoesNotFit", message: "The expression gives 2 values, and x takes one: use Item, Join or Coalesce to make it one.", tree: "Attribute mails"}},
		{m{"expression": `"abcdef"`, "targetAttributeDefinition": m{"name": "code", "metadata": []any{m{"key": "MaximumLength", "value": "3"}}}},
			answer{parsed: true, code: "ValueDoesNotFit", message: "The expression gives 6 characters, and code takes at most 3: shorten it with Left.", tree: "Constant abcdef"}},
		// What is wrong is a part of the answer.
		{m{"expression": `Join("-", [a], Left([b], 3)`}, answer{code: "InvalidExpression", message: "The expression is wrong at character 5: ", caret: "Join(\"-\", [a], Left([b], 3)\n    ^"}},
		{m{"expression": `Lefft([b], 3)`}, answer{code: "InvalidExpression", message: "The expression is wrong at character 1: there is no function Lefft; did you mean Left?", caret: "Lefft([b], 3)\n^"}},
		{m{"expression": ``}, answer{code: "InvalidExpression", message: "The expression is wrong at character 1: "}},
		{m{"expression": strings.Repeat("[x]", 4000)}, answer{code: "InvalidExpression"}},
		{m{"expression": strings.Repeat("Not(", 3000)}, answer{code: "InvalidExpression"}},
		{m{"expression": `Left([b], [n])`, "testInputObject": openProperties("b", "abc", "n", "many")},
			answer{parsed: true, code: "EvaluationFailed", message: "Left at character 1 gives no value: ", caret: "Left([b], [n])\n^"}},
	} {
		name := clip(c.body["expression"].(string))
		got := w.parse(schemaURL+"/parseExpression", c.body)
		if got.parsed != c.want.parsed || got.evaluated != c.want.evaluated || got.result != c.want.result || got.code != c.want.code ||
			!strings.HasPrefix(got.message, c.want.message) || !strings.HasPrefix(got.caret, c.want.caret) || c.want.tree != "" && got.tree != c.want.tree {
			t.Errorf("%s: %+v\nwant %+v", name, got, c.want)
		}
	}
	for _, url := range []string{
		"/beta/servicePrincipals(appId='" + appID + "')/synchronization/jobs('" + jobID + "')/schema/microsoft.graph.parseExpression",
		"/v1.0/servicePrincipals/" + spID + "/synchronization/templates/API2AAD/schema/parseExpression",
		"/v1.0/applications/" + appID + "/synchronization/templates/API2AAD/schema/parseExpression()",
	} {
		if a := w.parse(url, m{"expression": `ToUpper("a")`}); a.result != "A" {
			t.Errorf("%s: %+v", url, a)
		}
	}
}

func TestParseExpressionFindings(t *testing.T) {
	w := newWorld(t)
	codes := func(body m) (codes []string) {
		for _, f := range decoded(t, w.write("POST", schemaURL+"/parseExpression", body))["@induct.findings"].([]any) {
			codes = append(codes, f.(m)["code"].(string))
		}
		return codes
	}
	if got := codes(m{"expression": `[titel]`}); strings.Join(got, " ") != "unknownAttribute" {
		t.Errorf("misspelt: %v", got)
	}
	if got := codes(m{"expression": `[titel]`, "testInputObject": openProperties("titel", "x")}); got != nil {
		t.Errorf("given: %v", got)
	}
	o := decoded(t, w.write("POST", schemaURL+"/parseExpression", m{"expression": `ToUpper(Left([title], 2))`, "testInputObject": openProperties("title", "lead")}))
	if steps := o["@induct.steps"].([]any); len(steps) != 2 || at(steps, 0, "result") != "le" || at(steps, 1, "function") != "ToUpper" || at(steps, 1, "position") != 0.0 {
		t.Errorf("steps: %v", steps)
	}
	if got := codes(m{"expression": `Guid()`}); strings.Join(got, " ") != "volatile" {
		t.Errorf("volatile: %v", got)
	}
}

// TestParseExpressionRefused: a 400 is about the request, never about the expression.
func TestParseExpressionRefused(t *testing.T) {
	w := newWorld(t)
	for body, message := range map[string]string{
		``:                    "The body is not valid JSON at byte 0",
		`{`:                   "The body is not valid JSON at byte 1",
		`[]`:                  "The body is an array: send a JSON object.",
		`{}`:                  "The body has no expression",
		`{"expression":null}`: "The body has no expression",
		`{"expression":5}`:    "The body is not as expected: 'expression' is a number.",
		`{"expression":"[a]","testInputObject":"x"}`:                                          "The body is not as expected: 'testInputObject' is a string.",
		`{"expression":"[a]","testInputObject":{"properties":[{"key":"a","value":[["x"]]}]}}`: "testInputObject.properties[0].value: element 0 is a list",
		`{"expression":"[a]","testInputObject":{"definition":[]}}`:                            "testInputObject.definition: ",
		`{"expression":"[a]","targetAttributeDefinition":{"type":"Complex"}}`:                 "targetAttributeDefinition: ",
	} {
		rec := w.write("POST", schemaURL+"/parseExpression", body)
		if _, got := errorOf(t, rec); rec.Code != 400 || !strings.HasPrefix(got, message) {
			t.Errorf("%s: %d %s", body, rec.Code, got)
		}
	}
	if rec := w.write("POST", strings.Replace(schemaURL, jobID, "none", 1)+"/parseExpression", m{"expression": "[a]"}); rec.Code != 404 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// FuzzParseExpression looks for an expression or a value that is answered with anything but 200 and 400.
func FuzzParseExpression(f *testing.F) {
	for _, s := range [][2]string{{`Replace([a], , "(?<g>.)", "g", "", , )`, `"x"`}, {`Join(",", [a])`, `["a",1,true,null]`}, {`Mid([a], -1, 9)`, `{"b":[]}`}, {`"`, `-0.0`}} {
		f.Add(s[0], s[1])
	}
	w := newWorld(f)
	w.extended = true
	f.Fuzz(func(t *testing.T, expression, value string) {
		w.t = t
		body := `{"expression":` + encode(expression) + `,"testInputObject":{"properties":[{"key":"a","value":` + value + `}]},"targetAttributeDefinition":{"name":"x"}}`
		if rec := w.write("POST", schemaURL+"/parseExpression", body); rec.Code != 200 && rec.Code != 400 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}

// TestExamples tries the examples of the function reference over the wire.
func TestExamples(t *testing.T) {
	w := newWorld(t)
	w.now = time.Date(2021, 7, 2, 15, 33, 38, 0, time.UTC) // when they were written
	tried := 0
	for _, f := range expr.Functions() {
		for _, e := range f.Examples {
			var given []any
			for _, g := range e.Given {
				var value any = g.Values
				switch len(g.Values) {
				case 0:
					value = nil
				case 1:
					value = g.Values[0]
				}
				given = append(given, g.Name, value)
			}
			tried++
			a := w.parse(schemaURL+"/parseExpression", m{"expression": e.Expr, "testInputObject": openProperties(given...)})
			if got := strings.ReplaceAll(a.result, "|", ";"); got != e.Result || !a.evaluated {
				t.Errorf("%s: %+v, want %s", e.Expr, a, e.Result)
			}
		}
	}
	if tried < 40 {
		t.Errorf("%d examples", tried)
	}
}
