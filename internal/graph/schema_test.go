package graph

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
	"induct/internal/provision"
)

const schemaURL = jobURL + "/schema"

// m is a JSON object that a test edits.
type m = map[string]any

// document gets a JSON object.
func (w *world) document(url string) m {
	w.t.Helper()
	rec := w.get(url)
	if rec.Code != 200 {
		w.t.Fatalf("GET %s: %d %s", url, rec.Code, rec.Body)
	}
	return decoded(w.t, rec)
}

func decoded(t testing.TB, rec *httptest.ResponseRecorder) (o m) {
	t.Helper()
	if err := json.Unmarshal(rec.Body.Bytes(), &o); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return o
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// write sends a JSON body.
func (w *world) write(method, url string, body any, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	text, ok := body.(string)
	if !ok {
		text = encode(body)
	}
	return w.send(method, url, text, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// at walks into a document: names and indexes.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(m)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

func objectMapping(schema m) m {
	return at(schema, "synchronizationRules", 0, "objectMappings", 0).(m)
}

// TestSchemaRoundTrip puts back what was read: nothing changes but the version.
func TestSchemaRoundTrip(t *testing.T) {
	for _, version := range []string{"/v1.0", "/beta"} {
		w := newWorld(t)
		url := version + strings.TrimPrefix(schemaURL, "/v1.0")
		before := w.document(url)
		rec := w.write("PUT", url, zip(encode(before)), "If-Match", `"anything"`, "Content-Encoding", "gzip") // as Kiota's clients do
		if _, typed := rec.Header()["Content-Type"]; rec.Code != 204 || typed || rec.Body.Len() > 0 {
			t.Fatalf("PUT: %d %v %s", rec.Code, rec.Header(), rec.Body)
		}
		after := w.document(url)
		if before["version"] == after["version"] {
			t.Error("the version did not change")
		}
		delete(before, "version")
		delete(after, "version")
		if encode(before) != encode(after) {
			t.Errorf("%s: before\n%s\nafter\n%s", url, encode(before), encode(after))
		}
	}
}

// TestClientEdits makes the edits that shipped clients make, as they make them.
func TestClientEdits(t *testing.T) {
	const extension = "urn:ietf:params:scim:schemas:extension:contoso:1.0:User:HireDate"
	for _, c := range []struct {
		name, version string
		edit          func(schema m)
		check         func(t *testing.T, s *mapping.Schema)
	}{
		{"the Node client adds an attribute and a mapping", "/v1.0", func(s m) {
			source := at(s, "directories", 0, "objects", 0).(m)
			source["attributes"] = append(source["attributes"].([]any), m{"name": extension, "type": "String", "required": false, "caseExact": false,
				"mutability": "ReadWrite", "flowNullValues": false, "metadata": []any{}, "referencedObjects": []any{}})
			om := objectMapping(s)
			om["attributeMappings"] = append(om["attributeMappings"].([]any), m{"targetAttributeName": "extensionAttribute7", "mappingType": "Direct", "expression": nil,
				"source": m{"type": "Attribute", "name": extension, "parameters": []any{}}, "flowType": "Add", "flowBehavior": "FlowWhenChanged", "matchingPriority": 0, "defaultValue": nil})
		}, func(t *testing.T, s *mapping.Schema) {
			a := s.Rules[0].ObjectMappings[0].AttributeMappings
			last := a[len(a)-1]
			if last.Expression != "["+extension+"]" || last.TargetAttributeName != "extensionAttribute7" || last.FlowType != "" && last.FlowType != mapping.FlowTypeAlways {
				t.Errorf("mapping %+v", last)
			}
			if last.Extra.Get("mappingType") == nil {
				t.Errorf("the client's own members are gone: %+v", last.Extra)
			}
		}},
		{"the PowerShell client adds attributes to beta", "/beta", func(s m) {
			source := at(s, "directories", 0, "objects", 0).(m)
			for _, name := range []string{extension, "urn:ietf:params:scim:schemas:extension:contoso:1.0:User:JobCode"} {
				source["attributes"] = append(source["attributes"].([]any), m{"anchor": false, "caseExact": false, "flowNullValues": false, "multivalued": false,
					"mutability": "ReadWrite", "name": name, "required": false, "type": "String", "apiExpressions": []any{}, "metadata": []any{}, "referencedObjects": []any{}})
			}
			withoutNulls(s)
		}, func(t *testing.T, s *mapping.Schema) {
			a := s.Directories[0].Objects[0].Attributes
			if a[len(a)-2].Name != extension || a[len(a)-1].Type != "String" {
				t.Errorf("attributes %+v", a[len(a)-2:])
			}
		}},
		{"enumerations in other capitals", "/v1.0", func(s m) {
			for _, a := range objectMapping(s)["attributeMappings"].([]any) {
				a.(m)["flowType"] = strings.ToLower(a.(m)["flowType"].(string))
			}
			at(s, "directories", 0, "objects", 0, "attributes", 0).(m)["type"] = "string"
		}, func(t *testing.T, s *mapping.Schema) {
			if typ := s.Directories[0].Objects[0].Attributes[0].Type; typ != "String" && typ != "" {
				t.Errorf("type %q", typ)
			}
		}},
		{"an SDK writes flags without blanks, in small letters", "/v1.0", func(s m) {
			objectMapping(s)["flowTypes"] = "add,update"
		}, func(t *testing.T, s *mapping.Schema) {
			if f := s.Rules[0].ObjectMappings[0].FlowTypes; f != (mapping.FlowTypes{Add: true, Update: true}) {
				t.Errorf("%+v", f)
			}
		}},
		{"a scoping filter", "/v1.0", func(s m) {
			objectMapping(s)["scope"] = m{"categoryFilterGroups": []any{}, "inputFilterGroups": []any{}, "groups": []any{m{"name": "Only sales", "clauses": []any{
				m{"operatorName": "EQUALS", "sourceOperandName": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "targetOperand": m{"values": []any{"Sales"}}}}}}}
		}, func(t *testing.T, s *mapping.Schema) {
			if f := s.Rules[0].ObjectMappings[0].Scope; f == nil || f.Groups[0].Clauses[0].Values[0] != "Sales" {
				t.Errorf("scope %+v", f)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.extended = true // the Node client adds members that Graph has not
			url := c.version + strings.TrimPrefix(schemaURL, "/v1.0")
			s := w.document(url)
			c.edit(s)
			if rec := w.write("PUT", url, s); rec.Code != 204 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			c.check(t, w.fake.job.Schema)
			if rec := w.write("PUT", url, w.document(url)); rec.Code != 204 { // and what is answered can be sent again
				t.Fatalf("again: %d %s", rec.Code, rec.Body)
			}
			c.check(t, w.fake.job.Schema)
		})
	}
}

// withoutNulls removes members that are null, as a typed client does.
func withoutNulls(v any) {
	switch v := v.(type) {
	case m:
		for name, e := range v {
			if e == nil {
				delete(v, name)
			}
			withoutNulls(e)
		}
	case []any:
		for _, e := range v {
			withoutNulls(e)
		}
	}
}

func TestUnknownMembersSurvive(t *testing.T) {
	w := newWorld(t)
	w.extended = true
	s := w.document(schemaURL)
	place := func(s m) []m {
		return []m{s, at(s, "synchronizationRules", 0).(m), objectMapping(s), at(objectMapping(s), "attributeMappings", 3).(m),
			at(s, "directories", 1).(m), at(s, "directories", 0, "objects", 0).(m), at(s, "directories", 0, "objects", 0, "attributes", 2).(m)}
	}
	for _, o := range place(s) {
		o["contosoNote"] = m{"why": "because", "n": 1.5}
	}
	if rec := w.write("PUT", schemaURL, s); rec.Code != 204 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for i, o := range place(w.document(schemaURL)) {
		if encode(o["contosoNote"]) != `{"n":1.5,"why":"because"}` {
			t.Errorf("place %d: %v", i, o["contosoNote"])
		}
	}
}

// TestWrongSchemas are refused with the place of each problem, and change nothing.
func TestWrongSchemas(t *testing.T) {
	mapped := func(s m, i int) m { return at(objectMapping(s), "attributeMappings", i).(m) }
	for _, c := range []struct {
		name   string
		edit   func(s m)
		target string // of one of the details
		text   string // in its message
	}{
		{"a source that is a text", func(s m) { mapped(s, 2)["source"] = "[active]" }, "attributeMappings[2].source", "Property source in payload has a value that does not match schema"},
		{"an unknown target", func(s m) { mapped(s, 2)["targetAttributeName"] = "acountEnabled" }, "attributeMappings[2]", "no such attribute"},
		{"an unknown source", func(s m) {
			mapped(s, 3)["source"] = m{"type": "Attribute", "name": "dispalyName", "expression": "[dispalyName]", "parameters": []any{}}
		}, "attributeMappings[3]", "dispalyName"},
		{"a wrong expression", func(s m) { mapped(s, 3)["source"] = m{"expression": `Join("-", [displayName]`} }, "attributeMappings[3]", ""},
		{"no matching attribute", func(s m) { mapped(s, 0)["matchingPriority"] = 0 }, "objectMappings[0]", "matching"},
		{"two mappings of one target", func(s m) { mapped(s, 4)["targetAttributeName"] = "displayName" }, "attributeMappings[4]", "twice"},
		{"an operator that there is not", func(s m) {
			objectMapping(s)["scope"] = m{"groups": []any{m{"name": "g", "clauses": []any{m{"operatorName": "LIKE", "sourceOperandName": "title", "targetOperand": m{"values": []any{"x"}}}}}}}
		}, "scope.groups[0].clauses[0]", "LIKE"},
		{"no directories", func(s m) { delete(s, "directories") }, "", "directory"},
		{"rules that are no list", func(s m) { s["synchronizationRules"] = "none" }, "synchronizationRules", ""},
		{"a priority that is no number", func(s m) { mapped(s, 0)["matchingPriority"] = "first" }, "attributeMappings[0].matchingPriority", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			was := w.fake.job.Schema
			s := w.document(schemaURL)
			c.edit(s)
			rec := w.write("PUT", schemaURL, s)
			var body errorBody
			if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || rec.Code != 400 || body.Error.Code != "BadRequest" {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			found := false
			for _, d := range body.Error.Details {
				found = found || strings.Contains(d.Target, c.target) && strings.Contains(d.Message, c.text)
			}
			if !found {
				t.Errorf("no detail at %s about %q: %s", c.target, c.text, rec.Body)
			}
			if w.fake.job.Schema != was {
				t.Error("the schema changed")
			}
			v := decoded(t, w.write("POST", schemaURL+"/validate", s))
			if v["valid"] != false || len(v["problems"].([]any)) != len(body.Error.Details) {
				t.Errorf("validate: %v", v)
			}
		})
	}
	t.Run("several at once", func(t *testing.T) {
		w := newWorld(t)
		s := w.document(schemaURL)
		mapped(s, 2)["targetAttributeName"], mapped(s, 3)["targetAttributeName"], mapped(s, 0)["matchingPriority"] = "nope", "neither", 0
		code, message := errorOf(t, w.write("PUT", schemaURL, s))
		if code != "BadRequest" || !strings.HasPrefix(message, "The schema has 3 problems; nothing was changed.") {
			t.Errorf("%s %s", code, message)
		}
		rule := s["synchronizationRules"].([]any)[0].(m)["objectMappings"].([]any)[0].(m)
		for i := range 200 {
			rule["attributeMappings"] = append(rule["attributeMappings"].([]any), m{"targetAttributeName": fmt.Sprint("nobody", i), "source": m{"type": "Attribute", "name": "title"}})
		}
		if _, message := errorOf(t, w.write("PUT", schemaURL, s)); !strings.HasPrefix(message, "The schema has at least 100 problems; nothing was changed.") {
			t.Error(message)
		}
	})
}

func TestSchemaBodies(t *testing.T) {
	for _, c := range []struct {
		name, method, body, ctype string
		status                    int
		code                      string
	}{
		{"no type", "PUT", "{}", "", 400, "BadRequest"},
		{"text", "PUT", "{}", "text/plain", 415, "UnsupportedMediaType"},
		{"no JSON", "PUT", "{", "application/json", 400, "BadRequest"},
		{"a list", "PUT", "[]", "application/json", 400, "BadRequest"},
		{"nothing", "PUT", "", "application/json", 400, "BadRequest"},
		{"an empty object", "PUT", "{}", "application/json", 400, "BadRequest"},
		{"null", "PATCH", "null", "application/json", 400, "BadRequest"},
		{"large", "PUT", `{"x":"` + strings.Repeat("x", DefaultMaxBody) + `"}`, "application/json", 413, "RequestEntityTooLarge"},
		{"POST", "POST", "{}", "application/json", 405, "Request_BadRequest"},
	} {
		w := newWorld(t)
		was := w.fake.job.Schema
		rec := w.send(c.method, schemaURL, c.body, "Content-Type", c.ctype)
		if code, _ := errorOf(t, rec); rec.Code != c.status || code != c.code || w.fake.job.Schema != was {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
}

func TestSchemaPatch(t *testing.T) {
	w := newWorld(t)
	rules := w.document(schemaURL)["synchronizationRules"]
	at(rules, 0, "objectMappings", 0).(m)["flowTypes"] = "Add, Update"
	if rec := w.write("PATCH", schemaURL, m{"synchronizationRules": rules, "@odata.type": "#microsoft.graph.synchronizationSchema"}); rec.Code != 204 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	s := w.fake.job.Schema
	if s.Rules[0].ObjectMappings[0].FlowTypes != (mapping.FlowTypes{Add: true, Update: true}) || len(s.Directories) != 2 {
		t.Errorf("%+v", s)
	}
	if rec := w.write("PATCH", schemaURL, m{"@odata.context": "x", "version": "v9"}); rec.Code != 204 || w.fake.job.Schema != s {
		t.Errorf("nothing to change: %d %s", rec.Code, rec.Body)
	}
	if rec := w.write("PATCH", schemaURL, m{"directories": []any{}}); rec.Code != 400 || w.fake.job.Schema != s {
		t.Errorf("without directories: %d %s", rec.Code, rec.Body)
	}
}

// TestEditedTexts: of a source's two forms the one that was edited counts, the tree if both were.
func TestEditedTexts(t *testing.T) {
	tree := m{"type": "Attribute", "name": "title", "parameters": []any{}}
	other := m{"type": "Attribute", "name": "nickName", "parameters": []any{}}
	with := func(source m, text string) m {
		s := m{"expression": text}
		for name, v := range source {
			s[name] = v
		}
		return s
	}
	for _, c := range []struct {
		source m
		want   string
	}{
		{with(tree, "[title]"), "[title]"},
		{with(tree, " [ title ] "), "[title]"},
		{with(tree, "ToUpper([title])"), "ToUpper([title])"},
		{with(tree, ""), "[title]"},
		{tree, "[title]"},
		{with(other, "[title]"), "[nickName]"},
		{with(other, "ToUpper([title])"), "[nickName]"},
		{other, "[nickName]"},
		{m{"expression": "PCase([title])"}, "PCase([title])"},
	} {
		for _, method := range []string{"PUT", "PATCH"} {
			w := newWorld(t)
			s := w.document(schemaURL)
			mappingOf(s, "jobTitle")["source"] = c.source
			if o := decoded(t, w.write("POST", previewURL, m{"record": record("1", nil), "schema": s})); canonical(row(t, o, "jobTitle")["expression"].(string)) != c.want {
				t.Errorf("preview of %v: %v", c.source, row(t, o, "jobTitle"))
			}
			for range 2 { // and once more, which changes nothing
				if rec := w.write(method, schemaURL, s); rec.Code != 204 {
					t.Fatalf("%v: %d %s", c.source, rec.Code, rec.Body)
				}
			}
			for _, a := range w.fake.job.Schema.Rules[0].ObjectMappings[0].AttributeMappings {
				if a.TargetAttributeName == "jobTitle" && canonical(a.Expression) != c.want {
					t.Errorf("%s %v: %s, want %s", method, c.source, a.Expression, c.want)
				}
			}
		}
	}
	w := newWorld(t)
	s := w.document(schemaURL)
	mappingOf(s, "jobTitle")["source"].(m)["expression"] = "ToUpper([title]"
	if _, message := errorOf(t, w.write("PUT", schemaURL, s)); !strings.Contains(message, "has no closing") {
		t.Errorf("a text that is wrong: %s", message)
	}
}

func TestSchemaDelete(t *testing.T) {
	w := newWorld(t)
	s := w.document(schemaURL)
	objectMapping(s)["flowTypes"] = "Add"
	w.write("PUT", schemaURL, s)
	if rec := w.send("DELETE", schemaURL, ""); rec.Code != 204 || rec.Body.Len() > 0 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	template, _ := mapping.Template("API2AAD")
	want, got := *template, *w.fake.job.Schema
	want.ID, want.Version = got.ID, got.Version
	if string(syncschema.Marshal(&want)) != string(syncschema.Marshal(&got)) {
		t.Error("it is not the template's")
	}
}

// TestSchemaPermissions: reading needs less than writing, and functions are among the writes, as the permissions reference has it.
func TestSchemaPermissions(t *testing.T) {
	directories := schemaURL + "/directories"
	one := directories + "/" + newFake().job.Schema.Directories[0].ID
	templates := "/v1.0/applications/" + appID + "/synchronization/templates"
	for _, c := range []struct {
		method, url, role string
		open              bool
	}{
		{"GET", schemaURL, "Synchronization.Read.All", true},
		{"GET", schemaURL, "Synchronization.ReadWrite.All", true},
		{"GET", schemaURL, "SynchronizationData-User.Upload", false},
		{"PUT", schemaURL, "Synchronization.Read.All", false},
		{"PATCH", schemaURL, "Synchronization.Read.All", false},
		{"DELETE", schemaURL, "Synchronization.Read.All", false},
		{"DELETE", schemaURL, "Synchronization.ReadWrite.All", true},
		{"GET", schemaURL + "/functions", "Synchronization.Read.All", false},
		{"GET", schemaURL + "/filterOperators", "Synchronization.Read.All", false},
		{"POST", schemaURL + "/parseExpression", "Synchronization.Read.All", false},
		{"POST", schemaURL + "/preview", "Synchronization.Read.All", false},
		{"POST", schemaURL + "/validate", "Synchronization.Read.All", false},
		{"GET", directories, "Synchronization.Read.All", true},
		{"POST", directories, "Synchronization.Read.All", false},
		{"DELETE", one, "Synchronization.Read.All", false},
		{"POST", one + "/discover", "Synchronization.Read.All", false},
		{"POST", one + "/discover", "Directory.ReadWrite.All", true},
		{"GET", templates, "Synchronization.Read.All", true},
		{"GET", templates + "/API2AAD/schema", "Synchronization.Read.All", true},
		{"PUT", templates + "/API2AAD/schema", "Synchronization.Read.All", false},
		{"GET", templates, "User.Read.All", false},
	} {
		rec := newWorld(t).write(c.method, c.url, "", "Authorization", "Bearer "+c.role)
		if (rec.Code == 401) == c.open {
			t.Errorf("%s %s with %s: %d %s", c.method, c.url, c.role, rec.Code, rec.Body)
		}
	}
}

// documentedFunctions is the listing of Microsoft Graph, "synchronizationSchema: functions", but for FormatDateTime, which
// has got a parameter since. A star is a parameter that may repeat, a question mark one that may be left out.
var documentedFunctions = map[string]string{
	"Append":                  "source String, suffix String",
	"AppRoleAssignments":      "source String",
	"DefaultDomain":           "",
	"FormatDateTime":          "source String, dateTimeStyles? String, inputFormat String, outputFormat String",
	"IsNothing":               "source Boolean",
	"Join":                    "separator String, source* String",
	"Mid":                     "source String, start Integer, length Integer",
	"Not":                     "source Boolean",
	"Prepend":                 "prefix String, source String",
	"Replace":                 "source String, Find? String, RegularExpression? String, RegularExpressionGroupName? String, Replacement? String, ReplacementPropertyName? String, Template? String",
	"SingleAppRoleAssignment": "source String",
	"Split":                   "source String, delimiter? String",
	"StripSpaces":             "source String",
	"Switch":                  "source String, defaultValue? String, switchValue?* String",
}

// signature writes the parameters of a function as documentedFunctions does.
func signature(f m) string {
	parts := []string{}
	for _, e := range f["parameters"].([]any) {
		p := e.(m)
		name := p["name"].(string)
		if p["required"] == false {
			name += "?"
		}
		if p["allowMultipleOccurrences"] == true {
			name += "*"
		}
		parts = append(parts, name+" "+p["type"].(string))
	}
	return strings.Join(parts, ", ")
}

func TestFunctions(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/functions", "/functions()", "/microsoft.graph.functions()", "/functions/"} {
		p := w.page(schemaURL + path)
		byName := map[string]m{}
		for _, f := range p.Value {
			if f["id"] != f["name"] {
				t.Errorf("%v", f)
			}
			byName[f["name"].(string)] = f
		}
		if len(byName) < 45 {
			t.Errorf("%s: %d functions", path, len(byName))
		}
		for name, want := range documentedFunctions {
			if got := signature(byName[name]); got != want {
				t.Errorf("%s: %s(%s), want (%s)", path, name, got, want)
			}
		}
	}
	if p := w.page("/beta/applications(appId='" + appID + "')/synchronization/templates/API2AAD/schema/functions"); len(p.Value) == 0 {
		t.Error("a template has none")
	}
}

func TestFilterOperators(t *testing.T) {
	w := newWorld(t)
	want := map[string]string{"EQUALS": "Binary All String,Integer", "NOT EQUALS": "Binary All String,Integer", "REGEX MATCH": "Binary All String,Integer",
		"IS TRUE": "Unary All Boolean", "IS FALSE": "Unary All Boolean", "IS NULL": "Unary All String,Integer,Binary,Boolean", "IS NOT NULL": "Unary All String,Integer,Binary,Boolean",
		"ENDS_WITH": "Binary All String"}
	for _, path := range []string{"/filterOperators", "/filterOperators()", "/microsoft.graph.filterOperators()"} {
		found := 0
		for _, o := range w.page(schemaURL + path).Value {
			var types []string
			for _, typ := range o["supportedAttributeTypes"].([]any) {
				types = append(types, typ.(string))
			}
			got := o["arity"].(string) + " " + o["multivaluedComparisonType"].(string) + " " + strings.Join(types, ",")
			if expected, ok := want[o["name"].(string)]; ok {
				found++
				if got != expected {
					t.Errorf("%s: %s, want %s", o["name"], got, expected)
				}
			}
		}
		if found != len(want) {
			t.Errorf("%s: %d of %d", path, found, len(want))
		}
	}
}

func TestTemplates(t *testing.T) {
	w := newWorld(t)
	for _, app := range []string{"/v1.0/servicePrincipals/" + spID, "/beta/servicePrincipals(appId='" + appID + "')", "/v1.0/applications/" + appID, "/beta/applications(appId='" + appID + "')"} {
		base := app + "/synchronization/templates"
		if p := w.page(base); len(p.Value) == 0 || p.Value[0]["id"] != "API2AAD" || p.Value[0]["default"] != true || p.Value[0]["factoryTag"] != "API2AAD" {
			t.Errorf("%s: %+v", base, p)
		}
		if o := w.document(base + "/api2aad"); o["id"] != "API2AAD" || at(o, "schema", "id") != "API2AAD" {
			t.Errorf("%s: %v", base, o)
		}
		if s := w.document(base + "('API2AAD')/schema"); s["id"] != "API2AAD" || !strings.Contains(s["@odata.context"].(string), "/synchronization/templates('API2AAD')/schema/$entity") {
			t.Errorf("%s: %v", base, s)
		}
		if rec := w.write("PUT", base+"/API2AAD/schema", "{}"); rec.Code != 501 {
			t.Errorf("PUT: %d %s", rec.Code, rec.Body)
		}
		if rec := w.send("DELETE", base+"/API2AAD/schema", ""); rec.Code != 204 {
			t.Errorf("DELETE: %d %s", rec.Code, rec.Body)
		}
		for _, url := range []string{base + "/none", base + "/none/schema", base + "/none/schema/functions"} {
			if rec := w.get(url); rec.Code != 404 {
				t.Errorf("%s: %d %s", url, rec.Code, rec.Body)
			}
		}
	}
	for _, app := range []string{"/v1.0/servicePrincipals/" + otherSP, "/v1.0/applications/" + otherSP} {
		if rec := w.get(app + "/synchronization/templates"); rec.Code != 404 {
			t.Errorf("%s: %d %s", app, rec.Code, rec.Body)
		}
	}
	if rec := w.get("/v1.0/applications(uniqueName='x')/synchronization/templates"); rec.Code != 404 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestDirectories(t *testing.T) {
	w := newWorld(t)
	list := w.page(schemaURL + "/directories").Value
	if len(list) != 2 || list[0]["name"] != "API" {
		t.Fatalf("%v", list)
	}
	source, target := schemaURL+"/directories/"+list[0]["id"].(string), schemaURL+"/directories('"+list[1]["id"].(string)+"')"
	if d := w.document(target); d["name"] != "Azure Active Directory" {
		t.Errorf("%v", d)
	}
	if rec := w.get(schemaURL + "/directories/none"); rec.Code != 404 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	d := w.document(source)
	at(d, "objects", 0, "attributes", 1).(m)["caseExact"] = true
	if rec := w.write("PUT", source, d); rec.Code != 204 || !w.fake.job.Schema.Directories[0].Objects[0].Attributes[1].CaseExact {
		t.Errorf("PUT: %d %s", rec.Code, rec.Body)
	}
	if rec := w.write("PATCH", source, m{"Version": "v7"}); rec.Code != 204 || w.fake.job.Schema.Directories[0].Version != "v7" || len(w.fake.job.Schema.Directories[0].Objects) != 1 {
		t.Errorf("PATCH: %d %s", rec.Code, rec.Body)
	}
	if rec := w.write("PATCH", source, m{"objects": []any{}}); rec.Code != 400 {
		t.Errorf("PATCH without objects: %d %s", rec.Code, rec.Body)
	}
	if rec := w.send("DELETE", source, ""); rec.Code != 400 || len(w.fake.job.Schema.Directories) != 2 {
		t.Errorf("DELETE of one that is in use: %d %s", rec.Code, rec.Body)
	}
	rec := w.write("POST", schemaURL+"/directories", m{"name": "Payroll", "objects": []any{}})
	id, _ := decoded(t, rec)["id"].(string)
	if rec.Code != 201 || id == "" || !strings.Contains(rec.Header().Get("Location"), "/schema/directories('"+id+"')") {
		t.Errorf("POST: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	if rec := w.write("POST", schemaURL+"/directories", m{"id": id, "name": "Payroll"}); rec.Code != 409 {
		t.Errorf("POST again: %d %s", rec.Code, rec.Body)
	}
	if rec := w.send("DELETE", schemaURL+"/directories/"+id, ""); rec.Code != 204 || len(w.fake.job.Schema.Directories) != 2 {
		t.Errorf("DELETE: %d %s", rec.Code, rec.Body)
	}
}

// TestDiscover offers what was sent in vain, and what the target has; nothing is saved.
func TestDiscover(t *testing.T) {
	w := newWorld(t)
	source := &w.fake.job.Schema.Directories[0].Objects[0]
	source.Attributes = source.Attributes[:len(source.Attributes)-1] // nobody knows nickName
	for i, a := range source.Attributes {
		if a.Name == "nickName" {
			source.Attributes = append(source.Attributes[:i:i], source.Attributes[i+1:]...)
			break
		}
	}
	target := &w.fake.job.Schema.Directories[1].Objects[0]
	target.Attributes = target.Attributes[:5]
	was := w.fake.job.Schema
	d := decoded(t, w.send("POST", schemaURL+"/directories/"+was.Directories[0].ID+"/discover", ""))
	attributes := at(d, "objects", 0, "attributes").([]any)
	if last := attributes[len(attributes)-1].(m); last["name"] != "nickName" || d["discoveryDateTime"] != "2026-08-20T10:00:00Z" {
		t.Errorf("source: %v", d)
	}
	d = decoded(t, w.send("POST", schemaURL+"/directories/"+was.Directories[1].ID+"/microsoft.graph.discover", ""))
	if n := len(at(d, "objects", 0, "attributes").([]any)); n < 40 {
		t.Errorf("target: %d attributes", n)
	}
	if w.fake.job.Schema != was || len(target.Attributes) != 5 {
		t.Error("it was saved")
	}
	// An offer that is taken is a PUT.
	if rec := w.write("PUT", schemaURL+"/directories/"+was.Directories[1].ID, d); rec.Code != 400 && rec.Code != 204 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestValidate(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{"", encode(w.document(schemaURL))} {
		rec := w.send("POST", schemaURL+"/validate", body, "Content-Type", "application/json")
		if o := decoded(t, rec); rec.Code != 200 || o["valid"] != true || len(o["problems"].([]any)) != 0 || o["findings"] == nil {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
}

func TestFindings(t *testing.T) {
	w := newWorld(t)
	s := w.document(schemaURL)
	mappingOf(s, "jobTitle")["source"] = m{"expression": `Join("", [title], Guid())`}
	objectMapping(s)["scope"] = m{"groups": []any{m{"name": "g", "clauses": []any{m{"operatorName": "REGEX MATCH", "sourceOperandName": "title", "targetOperand": m{"values": []any{"Chief"}}}}}}}
	o := decoded(t, w.write("POST", schemaURL+"/validate", s))
	codes := map[string]m{}
	for _, f := range o["findings"].([]any) {
		codes[f.(m)["code"].(string)] = f.(m)
	}
	volatile, pattern := codes["volatile"], codes["pattern"]
	if o["valid"] != true || volatile == nil || pattern == nil {
		t.Fatalf("%v", o)
	}
	if volatile["position"] != 18.0 || volatile["name"] != "jobTitle" || !strings.Contains(pattern["path"].(string), ".scope.groups[0].clauses[0]") {
		t.Errorf("%v", o)
	}
}

func TestReevaluationIsShown(t *testing.T) {
	w := newWorld(t)
	if j := w.document(jobURL); j["@induct.reevaluation"] != nil {
		t.Errorf("%v", j)
	}
	w.fake.status.Reevaluation = &provision.Reevaluation{Number: 3, Began: w.now, Evaluated: 12, Ends: map[provision.End]int64{provision.EndUpdated: 5}}
	re := w.document(jobURL)["@induct.reevaluation"].(m)
	if re["number"] != 3.0 || re["evaluated"] != 12.0 || at(re, "ends", "updated") != 5.0 || re["endedDateTime"] != nil {
		t.Errorf("%v", re)
	}
	w.fake.addLog(provision.LogEntry{Upload: -3, Schema: "v1.4", Anchor: "1", Action: provision.ActionUpdate, End: provision.EndUpdated})
	e := w.page("/v1.0/auditLogs/provisioning").Value[0]
	if e["@induct.schemaVersion"] != "v1.4" || e["@induct.reevaluation"] != 3.0 {
		t.Errorf("%v", e)
	}
}

// FuzzPutSchema looks for a body that is answered with anything but 204 and 4xx, or that changes the job and cannot be read back.
func FuzzPutSchema(f *testing.F) {
	small, _ := mapping.Template("API2AAD")
	om := &small.Rules[0].ObjectMappings[0]
	om.AttributeMappings = om.AttributeMappings[:3]
	for i := range small.Directories {
		o := &small.Directories[i].Objects[0]
		o.Attributes = slices.DeleteFunc(o.Attributes, func(a mapping.Attribute) bool {
			return !slices.Contains([]string{"externalId", "userName", "active", "employeeId", "userPrincipalName", "accountEnabled"}, a.Name)
		})
	}
	f.Add(string(syncschema.Marshal(small)))
	for _, s := range []string{`{}`, `{"synchronizationRules":[{"objectMappings":[{"attributeMappings":[{"source":{"type":"Function","name":"Join","parameters":[{}]}}]}]}]}`, `[`, `null`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t)
		w.extended = true
		switch rec := w.write("PUT", schemaURL, body); {
		case rec.Code == 204:
			if rec := w.write("PUT", schemaURL, w.get(schemaURL).Body.String()); rec.Code != 204 {
				t.Errorf("what was taken is refused: %d %s", rec.Code, rec.Body)
			}
		case rec.Code < 400 || rec.Code > 499:
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}
