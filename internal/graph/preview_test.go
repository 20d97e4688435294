package graph

import (
	"strings"
	"testing"

	"induct/internal/provision"
)

const previewURL = schemaURL + "/preview"

// record is a SCIM user with more in it.
func record(id string, more m) m {
	r := m{"externalId": id, "userName": "ana@old.example", "displayName": "Ana", "active": true}
	for k, v := range more {
		r[k] = v
	}
	return r
}

// row returns what a preview says of a target attribute.
func row(t *testing.T, preview m, target string) m {
	t.Helper()
	for _, a := range preview["attributes"].([]any) {
		if a.(m)["targetAttributeName"] == target {
			return a.(m)
		}
	}
	t.Fatalf("nothing about %s: %v", target, preview["attributes"])
	return nil
}

func TestPreview(t *testing.T) {
	w := newWorld(t)
	w.fake.addUser("Anna", map[string]string{"employeeId": "2"})
	created := decoded(t, w.write("POST", previewURL, m{"record": record("1", m{"title": "Lead", "password": "hunter2", "shoeSize": 4})}))
	if created["end"] != "created" || created["target"] != nil || created["schemaVersion"] != "v1" || created["externalId"] != "1" || at(created, "scope", "inScope") != true {
		t.Errorf("%v", created)
	}
	if title := row(t, created, "jobTitle"); title["value"] != "Lead" || title["flows"] != true || title["expression"] != "[title]" || title["mappingType"] != "Direct" {
		t.Errorf("%v", title)
	}
	if upn := row(t, created, "userPrincipalName"); upn["value"] != "ana@contoso.example" || len(upn["steps"].([]any)) == 0 {
		t.Errorf("%v", upn)
	}
	if city := row(t, created, "city"); city["value"] != nil || city["flows"] != false || city["reason"] == nil {
		t.Errorf("%v", city)
	}
	if s := encode(created); strings.Contains(s, "hunter2") || !strings.Contains(s, "shoeSize") {
		t.Errorf("%s", s)
	}
	updated := decoded(t, w.write("POST", previewURL, m{"record": record("2", nil)}))
	if updated["end"] != "updated" || at(updated, "target", "userPrincipalName") != "anna@contoso.example" || at(updated, "target", "linked") != false {
		t.Errorf("%v", updated)
	}
	changed := map[any]any{}
	for _, c := range updated["modifiedProperties"].([]any) {
		changed[c.(m)["displayName"]] = []any{c.(m)["oldValue"], c.(m)["newValue"]}
	}
	if got := changed["displayName"].([]any); got[0] != "Anna" || got[1] != "Ana" {
		t.Errorf("%v", changed)
	}
	failed := decoded(t, w.write("POST", previewURL, m{"record": record("1", m{"active": "perhaps"})}))
	if failed["end"] != "failed" || at(failed, "error", "reason") == nil {
		t.Errorf("%v", failed)
	}
}

func TestPreviewOfSchema(t *testing.T) {
	w := newWorld(t)
	was := w.fake.job.Schema
	s := w.document(schemaURL)
	for _, a := range objectMapping(s)["attributeMappings"].([]any) {
		if a.(m)["targetAttributeName"] == "jobTitle" {
			a.(m)["source"] = m{"expression": "Join(\" \", ToUpper([title]), \"of us\")"}
		}
		if a.(m)["targetAttributeName"] == "city" {
			a.(m)["source"] = m{"expression": "Redact([nickName])"}
		}
	}
	objectMapping(s)["scope"] = m{"groups": []any{m{"name": "Leads", "clauses": []any{m{"operatorName": "EQUALS", "sourceOperandName": "title", "targetOperand": m{"values": []any{"Lead"}}}}}}}
	in := decoded(t, w.write("POST", previewURL, m{"schema": s, "record": record("1", m{"title": "Lead", "nickName": "Topsecret"})}))
	title := row(t, in, "jobTitle")
	if in["schemaVersion"] != nil || in["end"] != "created" || title["value"] != "LEAD of us" || row(t, in, "city")["value"] != "[Redact]" || strings.Contains(encode(in), "Topsecret") {
		t.Errorf("%v", in)
	}
	if step := at(title, "steps", 0).(m); step["function"] != "ToUpper" || step["result"] != "LEAD" || step["position"] != 10.0 {
		t.Errorf("%v", title["steps"])
	}
	out := decoded(t, w.write("POST", previewURL, m{"schema": s, "record": record("1", m{"title": "Clerk"})}))
	if clause := at(out, "scope", "groups", 0, "clauses", 0).(m); at(out, "scope", "inScope") != false || clause["holds"] != false || clause["value"] != "Clerk" {
		t.Errorf("%v", out)
	}
	if w.fake.job.Schema != was {
		t.Error("it was saved")
	}
}

// mappingOf finds the mapping of a target attribute in a schema.
func mappingOf(schema m, target string) m {
	for _, a := range objectMapping(schema)["attributeMappings"].([]any) {
		if a.(m)["targetAttributeName"] == target {
			return a.(m)
		}
	}
	return nil
}

func TestPreviewSteps(t *testing.T) {
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	w := newWorld(t)
	s := w.document(schemaURL)
	mappingOf(s, "jobTitle")["source"] = m{"expression": `Join("/", Split([title], " "), Left("a", 1))`}
	mappingOf(s, "city")["source"] = m{"expression": `FormatDateTime([nickName], , "yyyy-MM-dd", "yyyy")`}
	p := decoded(t, w.write("POST", previewURL, m{"schema": s, "record": record("1", m{"title": "Head Baker", "nickName": "soon", enterprise: m{"manager": m{"value": "9"}}})}))
	split := at(row(t, p, "jobTitle"), "steps", 0).(m)
	if split["function"] != "Split" || encode(split["result"]) != `["Head","Baker"]` {
		t.Errorf("%v", split)
	}
	city := row(t, p, "city")
	if step := at(city, "steps", 0).(m); step["error"] == nil || step["result"] != nil || at(city, "error", "code") == nil || p["end"] != "failed" {
		t.Errorf("%v", city)
	}
	mappingOf(s, "city")["source"] = m{"expression": `[nickName]`}
	p = decoded(t, w.write("POST", previewURL, m{"schema": s, "record": record("1", m{enterprise: m{"manager": m{"value": "9"}}})}))
	if ref := at(p, "references", 0).(m); ref["attribute"] != "manager" || ref["externalId"] != "9" || ref["linked"] != false {
		t.Errorf("%v", ref)
	}
}

func TestPreviewRefused(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{`{}`, 400, "The body has no record"},
		{`{"record":null}`, 400, "The body has no record"},
		{`{"record":[]}`, 400, "record: expected an object, found an array"},
		{`{"record":{"externalId":"1"},"externalId":"2"}`, 400, "externalId is '2', and the record's is '1'"},
		{`{"externalId":"nobody"}`, 404, "Resource not found: there is no kept record"},
		{`{"record":{"externalId":"1"},"schema":[]}`, 400, "schema: "},
		{`{"record":{"externalId":"1"},"schema":{}}`, 400, "No object mapping"},
		{`{"record":{"externalId":"1"},"kept":"no"}`, 400, "The body is not as expected: 'kept' is a string."},
		{`{"record":{}}]`, 400, "The body is not valid JSON"},
		{`{"record":{}}}}`, 400, "The body is not valid JSON"},
	} {
		rec := w.write("POST", previewURL, c.body)
		if _, message := errorOf(t, rec); rec.Code != c.status || !strings.Contains(message, c.text) {
			t.Errorf("%s: %d %s", c.body, rec.Code, message)
		}
	}
}

// TestPreviewNames shows what the engine says of a person whom it knows.
func TestPreviewNames(t *testing.T) {
	q := provision.PreviewQuery{Operation: provision.Operation{Anchor: "1"}}
	p := &provision.Preview{Person: &provision.Person{Anchor: "1", ObjectID: "A"}, Current: &provision.Object{ID: "a"},
		Entry: provision.LogEntry{End: provision.EndSkipped, Code: "EntrySynchronizationSkipped", Reason: "The person is out of scope"}}
	o := previewObject(&q, p)
	if linked, _ := o.get("target").(object); linked.get("linked") != true || o.get("known") != true || o.get("keptrecordused") != true || o.get("error") == nil {
		t.Errorf("%v", o)
	}
}
