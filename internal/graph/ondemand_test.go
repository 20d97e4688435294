package graph

import (
	"encoding/json"
	"strings"
	"testing"

	"induct/internal/provision"
)

// onDemand is a request for people.
func onDemand(rule string, subjects ...m) m {
	return m{"parameters": []m{{"ruleId": rule, "subjects": subjects}}}
}

func TestProvisionOnDemand(t *testing.T) {
	for _, url := range spellings {
		w := logWorld(t)
		rule := w.fake.job.Schema.Rules[0].ID
		rec := w.write("POST", url+"/provisionOnDemand", onDemand(rule, m{"objectId": "1", "objectTypeName": "User", "links": m{"members": []m{}, "owners": []m{}, "manager": m{}}}))
		o := decoded(t, rec)
		if rec.Code != 200 || !strings.HasSuffix(o["@odata.context"].(string), "$metadata#microsoft.graph.stringKeyStringValuePair") || o["key"] != onDemandKey {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		var value []m
		if err := json.Unmarshal([]byte(o["value"].(string)), &value); err != nil || len(value) != 1 {
			t.Fatalf("%v: %s", err, o["value"])
		}
		v := value[0]
		last := v["provisioningSteps"].([]any)[3].(m)
		if v["action"] != "Create" || v["changeId"] != provision.ChangeID(7, 1, 0).String() || v["reportableIdentifier"] != "ana@contoso.example" || at(v, "statusInfo", "status") != "Success" ||
			at(v, "statusInfo", "errorInformation") != nil || v["startTime"] != "2026-08-20T10:00:00.120456Z" || v["endTime"] != "2026-08-20T10:00:00.123456Z" || v["ruleId"] != rule ||
			at(v, "modifiedProperties", 0, "displayName") != "employeeId" || at(v, "sourceIdentity", "id") != "1" || at(v, "targetIdentity", "id") != "o1" ||
			at(v, "sourceSystem", "displayName") != "API" || at(v, "targetSystem", "displayName") != targetSystemName {
			t.Errorf("%s", encode(v))
		}
		if last["name"] != "EntryExportAdd" || last["type"] != "Export" || last["status"] != "Success" || last["timestamp"] != v["endTime"] || last["description"] != "User 'ana@contoso.example' was created in Microsoft Entra ID" {
			t.Errorf("%s", encode(last))
		}
		if strings.Join(w.fake.did, ", ") != "on demand 7 1" {
			t.Errorf("did %v", w.fake.did)
		}
	}
}

// TestProvisionOnDemandFailure shows the reason of a failure; the account is named by its id, and no rule.
func TestProvisionOnDemandFailure(t *testing.T) {
	w := logWorld(t)
	o := decoded(t, w.write("POST", jobURL+"/microsoft.graph.provisionOnDemand", onDemand("", m{"objectId": " o2 "})))
	var value []m
	if err := json.Unmarshal([]byte(o["value"].(string)), &value); err != nil {
		t.Fatal(err)
	}
	if v := value[0]; v["action"] != "Update" || at(v, "statusInfo", "status") != "Failure" || at(v, "statusInfo", "errorInformation", "errorCode") != "Conflict" || at(v, "statusInfo", "errorInformation", "recommendedAction") != "free it" {
		t.Errorf("%s", encode(v))
	}
}

func TestProvisionOnDemandRefused(t *testing.T) {
	w := logWorld(t)
	rule := w.fake.job.Schema.Rules[0].ID
	for _, c := range []struct {
		body any
		text string
	}{
		{m{}, "One person is provisioned at a time"},
		{m{"parameters": []m{}}, "One person is provisioned at a time"},
		{onDemand(rule), "One person is provisioned at a time"},
		{onDemand(rule, m{"objectId": "1"}, m{"objectId": "2"}), "One person is provisioned at a time"},
		{onDemand("other", m{"objectId": "1"}), "There is no synchronization rule 'other' in the job's schema: ruleId is " + rule},
		{onDemand(rule, m{"objectId": "1", "objectTypeName": "Group"}), "objectTypeName is 'Group'"},
		{onDemand(rule, m{"objectId": "1", "links": m{"members": []m{{"objectId": "2"}}}}), "The subject has members or owners"},
		{onDemand(rule, m{"objectId": " "}), "The subject has no objectId"},
		{onDemand(rule, m{"objectId": "nobody"}), "Nobody is known as 'nobody'"},
		{m{"parameters": "1"}, "'parameters' is a string"},
	} {
		rec := w.write("POST", jobURL+"/provisionOnDemand", c.body)
		if _, message := errorOf(t, rec); rec.Code != 400 || !strings.Contains(message, c.text) || w.fake.did != nil {
			t.Errorf("%s: %d %s", encode(c.body), rec.Code, message)
		}
	}
}
