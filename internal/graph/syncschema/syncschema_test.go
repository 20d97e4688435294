package syncschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"induct/internal/expr"
	"induct/internal/mapping"
)

var update = flag.Bool("update", false, "write the golden files")

func template(t testing.TB, id string) *mapping.Schema {
	t.Helper()
	s, ok := mapping.Template(id)
	if !ok {
		t.Fatalf("there is no template %s", id)
	}
	return s
}

// golden compares with a file of testdata, indented so that people can read it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, got, "", " "); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, append(b.Bytes(), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), bytes.TrimSpace(b.Bytes())) {
		t.Errorf("%s differs; see what changed with -update and git diff", path)
	}
}

func TestTemplates(t *testing.T) {
	for _, id := range mapping.Templates() {
		s := template(t, id)
		b := Marshal(s)
		golden(t, id+".json", b)
		back, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, s) {
			t.Errorf("%s: what was read is not what was written", id)
		}
	}
}

// TestAnswersAreGraphs holds what is written to the JSON Schemas that are made from Graph's published metadata.
func TestAnswersAreGraphs(t *testing.T) {
	for _, version := range []string{"v1.0", "beta"} {
		b, err := os.ReadFile(filepath.Join("..", "testdata", "schema", "graph-"+version+".schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("graph.json", doc); err != nil {
			t.Fatal(err)
		}
		shape, err := compiler.Compile("graph.json#/$defs/synchronizationSchema")
		if err != nil {
			t.Fatal(err)
		}
		directory, err := compiler.Compile("graph.json#/$defs/directoryDefinition")
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range mapping.Templates() {
			s := template(t, id)
			rule := &s.Rules[0].ObjectMappings[0]
			rule.Scope = &mapping.Filter{Groups: []mapping.FilterGroup{{Name: "g", Clauses: []mapping.Clause{{SourceOperandName: "title", OperatorName: "IS NULL"}}}}}
			rule.AttributeMappings[2].FlowNullValues = true
			answers := []struct {
				shape *jsonschema.Schema
				body  []byte
			}{{shape, Marshal(s)}, {directory, AppendDirectory(nil, &s.Directories[0])}, {directory, AppendDirectory(nil, &s.Directories[1])}}
			for _, a := range answers {
				body, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
				if err == nil {
					err = a.shape.Validate(body)
				}
				if err != nil {
					t.Errorf("%s %s: %v", version, id, err)
				}
			}
		}
	}
}

// clientSchema is what clients of all sorts send: other capitals, missing and unknown members, a source without its text.
const clientSchema = `{
 "@odata.context": "https://graph.example/v1.0/$metadata#schema",
 "ID": "job", "version": "v7", "provisioningTaskIdentifier": "x",
 "synchronizationRules": [{
  "id": "r", "name": "USER_INBOUND_USER", "sourceDirectoryName": "API", "targetDirectoryName": "Azure Active Directory", "priority": 1,
  "containerFilter": {"includedContainers": ["OU=x"]}, "metadata": [{"key": "a", "value": "b"}],
  "objectMappings": [{
   "name": "users", "sourceObjectName": "User", "targetObjectName": "User", "flowTypes": "update,add", "metadata": [],
   "scope": {"groups": [{"name": "g", "clauses": [{"operatorName": "EQUALS", "sourceOperandName": "title", "targetOperand": {"values": ["Pilot"]}, "why": 1}]}],
    "inputFilterGroups": [{"name": "i", "clauses": []}], "categoryFilterGroups": [], "note": {"a": [1, 2.50]}},
   "attributeMappings": [
    {"targetAttributeName": "jobTitle", "flowType": "Add", "mappingType": "Direct", "source": {"name": "title", "type": "attribute", "parameters": []}},
    {"targetAttributeName": "city", "flowtype": "objectaddonly", "defaultValue": "Bremen", "source": null, "flowNullValues": true},
    {"targetAttributeName": "country", "matchingPriority": 2, "source": {"@odata.type": "#microsoft.graph.attributeMappingSource", "expression": " [locale] "}}
   ]}]}],
 "directories": [{"id": "d", "name": "API", "discoverabilities": "attributenames, ReferenceAttributes", "discoveryDateTime": "2026-01-02T03:04:05.6Z",
  "objects": [{"name": "User", "supportedApis": ["x"], "metadata": [{"key": "BaseObjectName", "value": "User"}], "attributes": [
   {"name": "a", "type": "string", "metadata": [{"key": "IsContainer", "value": "False"}, {"key": "MaximumLength", "value": "12"}], "apiExpressions": [{"key": "GET", "value": "a"}]},
   {"name": "b", "type": "Reference", "referencedObjects": [{"referencedObjectName": "User", "referencedProperty": "id"}], "defaultValue": "x", "isExotic": "very"},
   {"name": "c", "mutability": "readonly", "flowNullValues": true}]}]}]
}`

func TestParseIsTolerant(t *testing.T) {
	s, err := Parse([]byte("\xef\xbb\xbf" + clientSchema))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "client.json", Marshal(s))
	m := s.Rules[0].ObjectMappings[0]
	for _, want := range []struct{ got, want any }{
		{s.ID, "job"}, {m.Enabled, true}, {m.FlowTypes, mapping.FlowTypes{Add: true, Update: true}}, {s.Rules[0].Editable, true},
		{m.AttributeMappings[0].FlowType, "Always"}, {m.AttributeMappings[0].Expression, "[title]"},
		{m.AttributeMappings[1].FlowType, "ObjectAddOnly"}, {m.AttributeMappings[1].Expression, ""}, {m.AttributeMappings[1].FlowNullValues, true},
		{m.AttributeMappings[2].Expression, "[locale]"},
		{s.Directories[0].Objects[0].Attributes[0].MaxLength, 12}, {s.Directories[0].Objects[0].Attributes[2].Mutability, "ReadOnly"},
	} {
		if !reflect.DeepEqual(want.got, want.want) {
			t.Errorf("got %#v, want %#v", want.got, want.want)
		}
	}
}

// TestNothingIsLost holds what a client is answered to what it sent: each member that is not null is there.
func TestNothingIsLost(t *testing.T) {
	for _, body := range []string{clientSchema, string(Marshal(template(t, "API2AAD")))} {
		s, err := Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		var sent, answered any
		if err := errors.Join(json.Unmarshal([]byte(body), &sent), json.Unmarshal(Marshal(s), &answered)); err != nil {
			t.Fatal(err)
		}
		lost(t, "", sent, answered)
	}
}

// lost reports what of sent is not in answered. Texts may change their case, as enumerations do.
func lost(t *testing.T, path string, sent, answered any) {
	t.Helper()
	switch sent := sent.(type) {
	case map[string]any:
		got, _ := answered.(map[string]any)
	members:
		for name, v := range sent {
			if v == nil || strings.HasPrefix(name, "@odata.") {
				continue
			}
			for other := range got {
				if strings.EqualFold(name, other) {
					lost(t, path+"."+name, v, got[other])
					continue members
				}
			}
			t.Errorf("%s.%s is lost", path, name)
		}
	case []any:
		got, _ := answered.([]any)
		if len(got) != len(sent) {
			t.Errorf("%s: sent %v, answered %v", path, sent, answered)
			return
		}
		if strings.HasSuffix(path, ".metadata") {
			return // a set
		}
		for i := range sent {
			lost(t, path, sent[i], got[i])
		}
	case string:
		if s, ok := answered.(string); !ok || !strings.EqualFold(strings.ReplaceAll(s, " ", ""), strings.ReplaceAll(sent, " ", "")) &&
			!strings.HasSuffix(path, "lowTypes") && !strings.HasSuffix(path, "flowType") {
			t.Errorf("%s: sent %q, answered %v", path, sent, answered)
		}
	default:
		if !reflect.DeepEqual(sent, answered) {
			t.Errorf("%s: sent %v, answered %v", path, sent, answered)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	mappings := func(m string) string {
		return `{"synchronizationRules":[{"sourceDirectoryName":"API","targetDirectoryName":"T","objectMappings":[{"sourceObjectName":"User","targetObjectName":"User","attributeMappings":[` + m + `]}]}]}`
	}
	const at = "synchronizationRules[0].objectMappings[0].attributeMappings[0]."
	source := func(s string) string { return mappings(`{"targetAttributeName":"city","source":` + s + `}`) }
	tests := []struct{ body, want string }{
		{``, "the body is not JSON: unexpected end of JSON input (byte 0)"},
		{`{"id":}`, "the body is not JSON: invalid character '}' looking for beginning of value (byte 7)"},
		{`[]`, "expected an object, found an array"},
		{`{"synchronizationRules":{}}`, "synchronizationRules: expected an array, found an object"},
		{`{"id":1,"version":true}`, "id: expected a string, found a number\nversion: expected a string, found a boolean"},
		{`{"id":"a","ID":"b"}`, "ID: the member stands twice; send it once"},
		{`{"directories":[null,{"name":"A","readOnly":"yes"}]}`, "directories[0]: expected an object, found null\ndirectories[1].readOnly: expected true or false, found a string"},
		{`{"directories":[{"objects":[{"name":"User","attributes":[{"type":"Text"}]}]}]}`,
			"directories[0].name: expected a name, found none\ndirectories[0].objects[0].attributes[0].name: expected a name, found none\n" +
				`directories[0].objects[0].attributes[0].type: there is no type "Text"; use one of String, Integer, Reference, Binary, Boolean, DateTime`},
		{`{"directories":[{"name":"A","discoveryDateTime":"soon"}]}`, `directories[0].discoveryDateTime: expected a time such as 2026-08-20T17:56:15Z, found "soon"`},
		{mappings(`{"targetAttributeName":"city","matchingPriority":1.5}`), at + `matchingPriority: expected a whole number of at most 32 bits, found "1.5"`},
		{mappings(`{"targetAttributeName":"city","flowType":"Sometimes"}`), at + `flowType: there is no flowType "Sometimes"; use one of Always, ObjectAddOnly, MultiValueAddOnly, ValueAddOnly, AttributeAddOnly`},
		{source(`"[title]"`), at + `source: ` + malformed + `Expected an object, found a string; send {"type": "Attribute", "name": "userName", "expression": "[userName]", "parameters": []}, or null`},
		{source(`{}`), at + `source: ` + malformed + `There is neither an expression nor a type; send {"type": "Attribute", "name": "userName"}, or null for a mapping that has no source`},
		{source(`{"name":"title"}`), at + `source.type: ` + malformed + `The type is missing; use Attribute, Constant or Function`},
		{source(`{"type":"Attribute"}`), at + `source.name: ` + malformed + `The name is missing`},
		{source(`{"type":"Attribute","name":"a]b"}`), at + `source.name: ` + malformed + `"a]b" cannot be the name of an Attribute; correct the name, or send the expression alone`},
		{source(`{"type":"Attribute","name":"a","value":"x"}`), at + `source.value: ` + malformed + `There is no such member; a source has expression, name, parameters and type`},
		{source(`{"type":"Attribute","name":"a","parameters":[{"key":"source","value":null}]}`), at + `source.parameters: ` + malformed + `Only a Function has parameters`},
		{source(`{"type":"Function","name":"Not","parameters":[{"key":"origin","value":{"type":"Attribute","name":"active"}}]}`),
			at + `source.parameters[0].key: ` + malformed + `"origin" is no parameter of Not, or was given already; the parameters are source`},
		{source(`{"type":"Function","name":"Not","parameters":[{"key":"source","value":{"type":"Field","name":"active"}}]}`),
			at + `source.parameters[0].value.type: ` + malformed + `There is no type "Field"; use Attribute, Constant or Function`},
		{source(`{"type":"Function","name":"Not","parameters":[{"key":"source","value":{"expression":"Not("}}]}`),
			at + `source.parameters[0].value.expression: ` + malformed + `The expression is wrong: `},
		{strings.Repeat("[", 500) + strings.Repeat("]", 500), "the body has objects and arrays more than 400 deep"},
		{"[" + strings.Repeat("1,", MaxValues) + "1]", "the body has more than 400000 values"},
		{`"` + strings.Repeat("x", MaxSize) + `"`, "the body has 4194306 bytes; at most 4194304 are allowed"},
	}
	for _, tt := range tests {
		_, err := Parse([]byte(tt.body))
		var bad *mapping.SchemaError
		if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), tt.want) || strings.Count(err.Error(), "\n") != strings.Count(tt.want, "\n") {
			t.Errorf("%.200s\n got %v\nwant %s", tt.body, err, tt.want)
		}
	}
}

// TestExpressionsThatGrow refuses a schema that could be read and not be answered.
func TestExpressionsThatGrow(t *testing.T) {
	deep := strings.Repeat("ToLower(", 80) + "[" + strings.Repeat("a", 8000) + "]" + strings.Repeat(")", 80)
	var mappings []string
	for range 20 {
		mappings = append(mappings, `{"targetAttributeName":"city","source":{"expression":"`+deep+`"}}`)
	}
	body := `{"synchronizationRules":[{"sourceDirectoryName":"API","targetDirectoryName":"T","objectMappings":[{"sourceObjectName":"User","targetObjectName":"User","attributeMappings":[` + strings.Join(mappings, ",") + `]}]}]}`
	if _, err := Parse([]byte(body)); err == nil || !strings.HasPrefix(err.Error(), "the schema has at least 1") {
		t.Errorf("%v", err)
	}
}

func TestTheDeepestExpressionComesBack(t *testing.T) {
	s := template(t, "API2AAD")
	deepest := strings.Repeat("ToLower(", expr.MaxDepth) + "[title]" + strings.Repeat(")", expr.MaxDepth)
	if _, err := expr.Parse(deepest); err != nil {
		t.Fatal(err)
	}
	s.Rules[0].ObjectMappings[0].AttributeMappings[3].Expression = deepest
	back, err := Parse(Marshal(s))
	if err != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("%v", err)
	}
}

func TestManyProblemsAreBounded(t *testing.T) {
	_, err := Parse([]byte(`{"directories":[` + strings.Repeat("1,", 1000) + `1]}`))
	var bad *mapping.SchemaError
	if !errors.As(err, &bad) || len(bad.Problems) != maxProblems {
		t.Errorf("%v", err)
	}
}

// sources are expressions with their structured form, as AppendSource writes it.
var sources = []struct{ expression, structured string }{
	{`[externalId]`, `Attribute externalId`},
	{`[emails[type eq "work"].value]`, `Attribute emails[type eq "work"].value`},
	{`"Employee"`, `Constant Employee`},
	{`"say \"hi\" \\"`, `Constant say "hi" \`},
	{`5`, `Constant 5`},
	{`True`, `Constant True`},
	{`Not([active])`, `Function Not(source=Attribute active)`},
	{`Replace([a], "-", , , "_", , )`, `Function Replace(source=Attribute a; Find=Constant -; Replacement=Constant _)`},
	{`Join(",", [a], ToLower([b], ), "x, (y\")")`, `Function Join(separator=Constant ,; source=Attribute a; source=Function ToLower(source=Attribute b); source=Constant x, (y"))`},
	{`Switch([a], , "1", "x", "2", "y")`, `Function Switch(source=Attribute a; switchValue=Constant 1; switchValue=Constant x; switchValue=Constant 2; switchValue=Constant y)`},
	{`IIF([a] = "x", IgnoreAttributeFlow, Mid([b], 1, 3))`, `Function IIF(condition=Function [a] = "x"; valueIfTrue=Function IgnoreAttributeFlow; valueIfFalse=Function Mid(source=Attribute b; start=Constant 1; length=Constant 3))`},
	{`DefaultDomain()`, `Function DefaultDomain`},
	{`Nobody([a], 1)`, `Function Nobody(source=Attribute a; source=Constant 1)`},
	{`Join("",`, `Function Join("",`},
}

// text writes a structured form in one line.
func (s *source) text() string {
	out := s.kind + " " + s.name
	if len(s.parameters) > 0 {
		parts := make([]string, len(s.parameters))
		for i, p := range s.parameters {
			parts[i] = p.key + "=" + p.value.text()
		}
		out += "(" + strings.Join(parts, "; ") + ")"
	}
	return out
}

func TestSources(t *testing.T) {
	for _, tt := range sources {
		if got := sourceOf(tt.expression).text(); got != tt.structured {
			t.Errorf("%s\n got %s\nwant %s", tt.expression, got, tt.structured)
		}
		if back, err := ParseSource(AppendSource(nil, tt.expression)); err != nil || back != tt.expression {
			t.Errorf("%s came back as %s %v", tt.expression, back, err)
		}
	}
	if got := string(AppendSource([]byte("x"), " ")); got != "xnull" {
		t.Error(got)
	}
}

// TestSourcesWithoutTheirText rebuilds the text from the structured form alone.
func TestSourcesWithoutTheirText(t *testing.T) {
	spelt := map[string]string{
		`5`: `"5"`, `True`: `"True"`,
		`Join(",", [a], ToLower([b], ), "x, (y\")")`:          `Join(",", [a], ToLower([b], ), "x, (y\")")`,
		`IIF([a] = "x", IgnoreAttributeFlow, Mid([b], 1, 3))`: `IIF([a] = "x", IgnoreAttributeFlow, Mid([b], "1", "3"))`,
		`Nobody([a], 1)`: `Nobody([a], "1")`,
		`Join("",`:       "",
	}
	for _, tt := range sources {
		var s any
		if err := json.Unmarshal(AppendSource(nil, tt.expression), &s); err != nil {
			t.Fatal(err)
		}
		forget(s)
		b, _ := json.Marshal(s)
		want, other := spelt[tt.expression]
		if !other {
			want = tt.expression
		}
		got, err := ParseSource(b)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s\n got %s %v\nwant %s", b, got, err, want)
		}
	}
}

// forget takes the texts away from a source.
func forget(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "expression")
		for _, e := range v {
			forget(e)
		}
	case []any:
		for _, e := range v {
			forget(e)
		}
	}
}

func TestStructuredFormAndText(t *testing.T) {
	tests := []struct{ about, source, want string }{
		{"null", `null`, ``},
		{"they agree: the text stays as it was written", `{"expression":" Not( [active] ) ","name":"not","type":"function","parameters":[{"key":"SOURCE","value":{"name":"active","type":"Attribute"}}]}`, `Not( [active] )`},
		{"they disagree", `{"expression":"[mail]","name":"title","type":"Attribute","parameters":[]}`, `[title]`},
		{"they disagree inside", `{"expression":"Not([a])","name":"Not","type":"Function","parameters":[{"key":"source","value":{"name":"b","type":"Attribute"}}]}`, `Not([b])`},
		{"another function", `{"expression":"Not([a])","name":"DefaultDomain","type":"Function","parameters":[]}`, `DefaultDomain()`},
		{"only a text", `{"expression":"Not([a])"}`, `Not([a])`},
		{"no parameters beside a text that has them", `{"expression":"Not([a])","name":"Not","type":"Function","parameters":[]}`, `Not([a])`},
		{"the text as name", `{"expression":"Not([a])","name":"Not([a])","type":"Function"}`, `Not([a])`},
		{"a type without a name", `{"expression":"[a]","type":"Attribute"}`, `[a]`},
		{"a text that is no expression is for Compile to refuse", `{"expression":"Not([a]","name":"Not","type":"Function"}`, `Not([a]`},
		{"a constant without quotes", `{"expression":"Employee","name":"Employee","type":"Constant"}`, `"Employee"`},
		{"a constant that is a number", `{"expression":"5","name":"5","type":"Constant"}`, `5`},
		{"an empty constant", `{"expression":"\"\"","name":"","type":"Constant"}`, `""`},
		{"parameters by the reference's names", `{"name":"Replace","type":"Function","parameters":[{"key":"replacementValue","value":{"name":"_","type":"Constant"}},{"key":"source","value":{"name":"a","type":"Attribute"}},{"key":"oldValue","value":{"name":"-","type":"Constant"}}]}`,
			`Replace([a], "-", , , "_", , )`},
		{"parameters that are null", `{"name":"Split","type":"Function","parameters":[{"key":"source","value":{"name":"a","type":"Attribute"}},{"key":"delimiter","value":null}]}`, `Split([a], )`},
		{"nothing but a type", `{"type":"Function","name":"Guid","parameters":null}`, `Guid()`},
	}
	for _, tt := range tests {
		if got, err := ParseSource([]byte(tt.source)); err != nil || got != tt.want {
			t.Errorf("%s: got %s %v, want %s", tt.about, got, err, tt.want)
		}
	}
}

func TestPatch(t *testing.T) {
	s := template(t, "API2AAD")
	s.Extra = mapping.Extra{{Name: "a", Value: json.RawMessage("1")}, {Name: "b", Value: json.RawMessage("2")}}
	got, err := Patch(s, []byte(`{"version":"v9","directories":[],"synchronizationRules":null,"b":3,"c":4}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != "v9" || got.Directories != nil || len(got.Rules) != 1 || got.ID != s.ID {
		t.Errorf("%+v", got)
	}
	if want := (mapping.Extra{{Name: "a", Value: json.RawMessage("1")}, {Name: "b", Value: json.RawMessage("3")}, {Name: "c", Value: json.RawMessage("4")}}); !reflect.DeepEqual(got.Extra, want) {
		t.Errorf("%s", got.Extra)
	}
	if s.Version != "v1" || len(s.Extra) != 2 {
		t.Error("the schema itself has changed")
	}
	if _, err := Patch(s, []byte(`{"version":1}`)); err == nil {
		t.Error("a number is a version")
	}
}

func TestParts(t *testing.T) {
	s := template(t, "API2AAD")
	d, err := ParseDirectory(AppendDirectory(nil, &s.Directories[0]))
	if err != nil || !reflect.DeepEqual(*d, s.Directories[0]) {
		t.Errorf("%v", err)
	}
	if o, err := ParseObject([]byte(`{"name":"User","attributes":[{"name":"a"}]}`)); err != nil || o.Attributes[0].Type != "String" {
		t.Errorf("%+v %v", o, err)
	}
	if a, err := ParseAttribute([]byte(`{"name":"a","type":"boolean"}`)); err != nil || a.Type != "Boolean" {
		t.Errorf("%+v %v", a, err)
	}
}

func TestTextsAreWrittenAsEncodingJSONDoes(t *testing.T) {
	for _, s := range []string{"", "plain", `"`, `\`, "\x00\x1f\x7f", "<a&b>", "ä", "\u2028", "\xff", "😀"} {
		w := writer{}
		w.quote(s)
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil || strings.TrimSpace(b.String()) != string(w.b) {
			t.Errorf("%q: %s, encoding/json writes %s", s, w.b, &b)
		}
	}
}

// FuzzParse looks for a schema that does not come back as it was understood.
func FuzzParse(f *testing.F) {
	f.Add([]byte(clientSchema))
	f.Add([]byte(`{"synchronizationRules":[{"objectMappings":[{"attributeMappings":[{"source":{"type":"Function","name":"Join","parameters":[{"key":"source"},{"key":"separator","value":{}}]}}]}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := Parse(body)
		if err != nil {
			var bad *mapping.SchemaError
			if !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Fatalf("%v", err)
			}
			return
		}
		b := Marshal(s)
		back, err := Parse(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if !reflect.DeepEqual(back, s) {
			t.Fatalf("%+v\n%+v\n%s", s, back, b)
		}
		stored, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var loaded mapping.Schema
		if err := json.Unmarshal(stored, &loaded); err != nil {
			t.Fatalf("%v\n%s", err, stored)
		}
		var before, after any
		if err := errors.Join(json.Unmarshal(b, &before), json.Unmarshal(Marshal(&loaded), &after)); err != nil || !reflect.DeepEqual(before, after) {
			t.Fatalf("it was stored and loaded: %v\n%s\n%s", err, b, Marshal(&loaded))
		}
	})
}

func FuzzParseSource(f *testing.F) {
	for _, tt := range sources {
		f.Add(AppendSource(nil, tt.expression))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		text, err := ParseSource(source)
		if err != nil {
			return
		}
		again, err := ParseSource(AppendSource(nil, text))
		if err != nil || again != text {
			t.Fatalf("%q came back as %q: %v", text, again, err)
		}
	})
}
