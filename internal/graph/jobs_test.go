package graph

import (
	"encoding/json"
	"strings"
	"testing"

	"induct/internal/provision"
)

func TestJobs(t *testing.T) {
	w := newWorld(t)
	for _, url := range []string{jobsURL, jobsURL + "/", "/beta/servicePrincipals(appId='" + appID + "')/synchronization/jobs/"} {
		p := w.page(url)
		if len(p.Value) != 1 || p.Value[0]["id"] != jobID || !strings.HasSuffix(p.Context, "servicePrincipals('"+spID+"')/synchronization/jobs") {
			t.Errorf("%s: %+v", url, p)
		}
	}
}

// TestJobLife takes a job from its template to its end.
func TestJobLife(t *testing.T) {
	for _, c := range []struct{ name, jobs string }{
		{"v1.0, id", "/v1.0/servicePrincipals/" + emptySP + "/synchronization/jobs"},
		{"beta, appId", "/beta/servicePrincipals(appId='" + emptyApp + "')/synchronization/jobs"},
		{"v1.0, quoted id", "/v1.0/servicePrincipals('" + emptySP + "')/synchronization/jobs"},
	} {
		w := newWorld(t)
		if p := w.page(c.jobs); len(p.Value) != 0 || !strings.HasSuffix(p.Context, "servicePrincipals('"+emptySP+"')/synchronization/jobs") {
			t.Errorf("%s: an app without jobs: %+v", c.name, p)
		}
		rec := w.write("POST", c.jobs, m{"templateId": "api2aad", "@odata.type": "#microsoft.graph.synchronizationJob"})
		j := decoded(t, rec)
		id, _ := j["id"].(string)
		if rec.Code != 201 || j["templateId"] != "API2AAD" || at(j, "schedule", "state") != "Disabled" || at(j, "status", "code") != "Paused" ||
			!strings.HasSuffix(rec.Header().Get("Location"), "/synchronization/jobs('"+id+"')") {
			t.Fatalf("%s: %d %v %s", c.name, rec.Code, rec.Header(), rec.Body)
		}
		if got := w.document(strings.TrimPrefix(rec.Header().Get("Location"), "https://graph.contoso.example")); got["id"] != id {
			t.Errorf("%s: the Location leads to %v", c.name, got["id"])
		}
		if rec := w.get(c.jobs + "/$count"); rec.Code != 200 || rec.Body.String() != "1" || rec.Header().Get("Content-Type") != "text/plain" {
			t.Errorf("%s: $count: %d %s", c.name, rec.Code, rec.Body)
		}
		for i := range 3 {
			want := map[bool]int{true: 204, false: 404}[i == 0]
			if rec := w.send("DELETE", c.jobs+"('"+id+"')", ""); rec.Code != want || rec.Code == 204 && rec.Body.Len() > 0 {
				t.Errorf("%s: DELETE %d: %d %s", c.name, i, rec.Code, rec.Body)
			}
			if rec := w.get(c.jobs + "/" + id); rec.Code != 404 {
				t.Errorf("%s: GET after DELETE: %d", c.name, rec.Code)
			}
		}
		if rec := w.get("/v1.0/servicePrincipals/" + emptySP); rec.Code != 200 {
			t.Errorf("%s: the service principal went with its job: %d", c.name, rec.Code)
		}
		if w.fake.actor != (provision.Actor{Kind: provision.ActorApp, ID: spID, Name: "HR feed"}) {
			t.Errorf("%s: %+v", c.name, w.fake.actor)
		}
	}
}

func TestPostJobRefused(t *testing.T) {
	for _, c := range []struct{ url, body, text string }{
		{jobsURL, `{}`, "templateId is missing: it is one of API2AAD, API2AD."},
		{jobsURL, `{"templateId":"Slack"}`, "There is no template 'Slack': templateId is one of API2AAD, API2AD."},
		{jobsURL, `{"templateId":5}`, "'templateId' is a number"},
		{jobsURL, `{"templateId":"API2AAD","schedule":{"state":"Active"}}`, "a new job is Disabled"},
		{jobsURL, `{"templateId":"API2AAD","synchronizationJobSettings":[{"name":"a","value":"b"}]}`, "set them with PATCH"},
		{jobsURL, `[`, "not valid JSON"},
	} {
		w := newWorld(t)
		rec := w.write("POST", c.url, c.body)
		if _, message := errorOf(t, rec); rec.Code != 400 || !strings.Contains(message, c.text) || len(w.fake.did) > 0 {
			t.Errorf("%s: %d %s, did %v", c.body, rec.Code, message, w.fake.did)
		}
	}
	w := newWorld(t)
	if rec := w.write("POST", strings.Replace(jobsURL, spID, otherSP, 1), m{"templateId": "API2AAD"}); rec.Code != 404 {
		t.Errorf("no such app: %d", rec.Code)
	}
	if rec := w.send("POST", jobsURL, `{"templateId":"API2AAD"}`); rec.Code != 400 {
		t.Errorf("no Content-Type: %d", rec.Code)
	}
}

func TestPatchJob(t *testing.T) {
	for _, c := range []struct {
		body, did, refused string
	}{
		{body: `{"schedule":{"state":"active"}}`, did: "state Active"},
		{body: `{"schedule":{"state":"Disabled","interval":"PT40M","expiration":null}}`, did: "state Disabled"},
		{body: `{"schedule":{"state":"Paused"}}`}, // it is
		{body: `{}`},
		{body: `{"@odata.type":"#microsoft.graph.synchronizationJob","id":"x","templateId":"y","status":{"code":"Active"}}`},
		{body: `{"synchronizationJobSettings":[{"name":"InductMissingActive","value":"disable"}],"schedule":{"state":"Disabled"}}`, did: "settings 7, state Disabled"},
		{body: `{"synchronizationJobSettings":[{"name":"InductMissingActive","value":"Keep"}]}`},
		{body: `{"schedule":{"state":"Running"}}`, refused: "schedule.state is 'Running': it is one of Active, Paused and Disabled."},
		{body: `{"schedule":{"interval":"PT5M"}}`, refused: "schedule.interval is 'PT5M': it cannot be changed"},
		{body: `{"schedule":{"expiration":"2030-01-01T00:00:00Z"}}`, refused: "schedule.expiration"},
		{body: `{"schedule":"Active"}`, refused: "'schedule' is a string"},
		{body: `{"shedule":{"state":"Active"}}`, refused: "'shedule' is not a property of synchronizationJob"},
		{body: `{"synchronizationJobSettings":{"name":"a"}}`, refused: "'synchronizationJobSettings' is an object"},
		{body: `{"schedule":{"state":"Active"},"synchronizationJobSettings":[{"name":"InductMissingActive","value":"Drop"}]}`, refused: "InductMissingActive has the value 'Drop': it is Keep or Disable."},
		{body: `null`, refused: "The body is null"},
		{body: `[]`, refused: "The body is an array"},
	} {
		for _, url := range []string{jobURL, "/beta/servicePrincipals(appId='" + appID + "')/synchronization/jobs('" + jobID + "')"} {
			w := newWorld(t)
			rec := w.write("PATCH", url, c.body)
			if c.refused != "" {
				if _, message := errorOf(t, rec); rec.Code != 400 || !strings.Contains(message, c.refused) || len(w.fake.did) > 0 {
					t.Errorf("%s: %d %s, did %v", c.body, rec.Code, message, w.fake.did)
				}
				continue
			}
			if got := strings.Join(w.fake.did, ", "); rec.Code != 200 || got != c.did {
				t.Errorf("%s: %d %s, did %q", c.body, rec.Code, rec.Body, got)
			}
			if state := at(decoded(t, rec), "schedule", "state"); state != string(w.fake.job.State) {
				t.Errorf("%s: answered %v", c.body, state)
			}
		}
	}
}

func TestServicePrincipals(t *testing.T) {
	w := newWorld(t)
	for _, url := range []string{
		"/v1.0/servicePrincipals?$filter=id eq '" + spID + "' or appId eq '" + spID + "'&$select=id",
		"/v1.0/servicePrincipals?%24filter=AppId+eq+'" + appID + "'",
		"/v1.0/servicePrincipals?$filter=displayName%20eq%20'hr%20FEED'",
	} {
		if p := w.page(strings.ReplaceAll(url, " ", "%20")); len(p.Value) != 1 || p.Value[0]["id"] != spID {
			t.Errorf("%s: %+v", url, p)
		}
	}
	if p := w.page("/v1.0/servicePrincipals"); len(p.Value) != 3 || p.Value[1]["id"] != emptySP {
		t.Errorf("an app without jobs is missing: %d", len(p.Value))
	}
	if rec := w.get("/v1.0/servicePrincipals(appId='" + appID + "')?$select=displayName"); !strings.Contains(rec.Body.String(), `#servicePrincipals(displayName)/$entity","displayName":"HR feed"}`) {
		t.Errorf("%s", rec.Body)
	}
}

func TestSchema(t *testing.T) {
	w := newWorld(t)
	var s struct {
		ID                   string
		SynchronizationRules []struct {
			ObjectMappings []struct {
				SourceObjectName, TargetObjectName, FlowTypes string
				AttributeMappings                             []struct{ TargetAttributeName string }
			}
		}
		Directories []struct {
			Name    string
			Objects []struct{ Name string }
		}
	}
	rec := w.get("/beta" + strings.TrimPrefix(jobURL, "/v1.0") + "/schema")
	if err := json.Unmarshal(rec.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	m := s.SynchronizationRules[0].ObjectMappings[0]
	if s.ID != jobID || s.Directories[0].Name != "API" || s.Directories[0].Objects[0].Name != "User" || m.SourceObjectName != "User" || m.TargetObjectName != "User" ||
		m.FlowTypes != "Add, Update, Delete" || m.AttributeMappings[0].TargetAttributeName != "employeeId" {
		t.Errorf("%+v", s)
	}
}
