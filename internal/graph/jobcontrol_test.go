package graph

import (
	"fmt"
	"strings"
	"testing"

	"induct/internal/provision"
)

// spellings are the ways to name the job.
var spellings = []string{
	jobURL,
	"/beta" + strings.TrimPrefix(jobURL, "/v1.0"),
	"/v1.0/servicePrincipals('" + spID + "')/synchronization/jobs('" + jobID + "')",
	"/beta/servicePrincipals(appId='" + appID + "')/synchronization/jobs('" + jobID + "')",
}

func TestStartPauseRestart(t *testing.T) {
	for _, url := range spellings {
		for action, did := range map[string]string{"start": "start 7", "pause": "pause 7", "restart": "restart 7 14", "microsoft.graph.restart": "restart 7 14"} {
			w := newWorld(t)
			rec := w.send("POST", url+"/"+action, "", "Content-Length", "0")
			if _, typed := rec.Header()["Content-Type"]; rec.Code != 204 || typed || rec.Body.Len() > 0 || strings.Join(w.fake.did, ", ") != did {
				t.Errorf("%s: %d %v %s, did %v", action, rec.Code, rec.Header(), rec.Body, w.fake.did)
			}
			if w.fake.actor.ID != spID || w.fake.actor.Kind != provision.ActorApp {
				t.Errorf("%s: by %+v", action, w.fake.actor)
			}
		}
	}
}

func TestRestartCriteria(t *testing.T) {
	for _, c := range []struct {
		body    string
		scope   provision.ResetScope
		refused string
	}{
		{body: ``, scope: usualReset},
		{body: " \r\n", scope: usualReset},
		{body: "\ufeff", scope: usualReset},
		{body: `{}`, scope: usualReset},
		{body: `null`, scope: usualReset},
		{body: `{"criteria":null}`, scope: usualReset},
		{body: `{"criteria":{}}`, scope: usualReset},
		{body: `{"criteria":{"resetScope":null}}`, scope: usualReset},
		{body: `{"criteria":{"resetScope":" "}}`, scope: usualReset},
		{body: `{"criteria":{"resetScope":"None"}}`, scope: 0},
		{body: `{"criteria":{"resetScope":"Watermark, Escrows, QuarantineState"}}`, scope: 14},
		{body: `{"criteria":{"resetScope":"quarantinestate,WATERMARK ,  Escrows"}}`, scope: 14},
		{body: `{"criteria":{"resetScope":"Full"}}`, scope: 15},
		{body: `{"criteria":{"resetScope":"ConnectorDataStore"}}`, scope: 1},
		{body: `{"criteria":{"resetScope":"ForceDeletes"}}`, scope: 32},
		{body: `{"criteria":{"resetScope":"Full, ForceDeletes"}}`, scope: 47},
		{body: `{"criteria":{"resetScope":6}}`, scope: 6},
		{body: `{"criteria":{"resetScope":"4, 8, Escrows"}}`, scope: 14},
		{body: `{"Criteria":{"ResetScope":"Escrows"}}`, scope: 2},
		{body: `{"criteria":{"resetScope":"Everything"}}`, refused: "the flag 'Everything'"},
		{body: `{"criteria":{"resetScope":"Escrows,"}}`, refused: "the flag ''"},
		{body: `{"criteria":{"resetScope":16}}`, refused: "the flag '16'"},
		{body: `{"criteria":{"resetScope":-1}}`, refused: "the flag '-1'"},
		{body: `{"criteria":{"resetScope":1.5}}`, refused: "the flag '1.5'"},
		{body: `{"criteria":{"resetScope":256}}`, refused: "the flag '256'"},
		{body: `{"criteria":{"resetScope":["Escrows"]}}`, refused: "the flag '[\"Escrows\"]'"},
		{body: `{"criteria":"Full"}`, refused: "'criteria' is a string"},
		{body: `"Full"`, refused: "The body is a string"},
		{body: `{"criteria":`, refused: "not valid JSON"},
	} {
		w := newWorld(t)
		rec := w.write("POST", jobURL+"/restart", c.body)
		if c.refused != "" {
			if _, message := errorOf(t, rec); rec.Code != 400 || !strings.Contains(message, c.refused) || w.fake.did != nil {
				t.Errorf("%s: %d %s, did %v", c.body, rec.Code, message, w.fake.did)
			} else if strings.Contains(c.refused, "flag") && !strings.Contains(message, "None, ConnectorDataStore, Escrows, Watermark, QuarantineState, Full or ForceDeletes") {
				t.Errorf("%s: %s does not name the flags", c.body, message)
			}
			continue
		}
		if h := rec.Header(); h.Get("x-induct-purged-uploads") != "2" || h.Get("x-induct-purged-records") != "70" {
			t.Errorf("%s: the answer does not say what was purged: %v", c.body, h)
		}
		if want := fmt.Sprintf("restart 7 %d", c.scope); rec.Code != 204 || strings.Join(w.fake.did, ", ") != want {
			t.Errorf("%s: %d %s, did %v, want %s", c.body, rec.Code, rec.Body, w.fake.did, want)
		}
	}
	w := newWorld(t)
	if rec := w.send("POST", jobURL+"/restart", `{"criteria":{}}`, "Content-Type", "text/plain"); rec.Code != 415 || w.fake.did != nil {
		t.Errorf("text/plain: %d", rec.Code)
	}
}

// FuzzRestartCriteria looks for criteria that are read as more than there is, or differently when written by number.
func FuzzRestartCriteria(f *testing.F) {
	for _, s := range []string{`{"criteria":{"resetScope":"Watermark, Escrows, QuarantineState"}}`, `{"criteria":{"resetScope":15}}`, `{"criteria":{}}`, `{"criteria":{"resetScope":"1,2,,"}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		scope, err := parseCriteria([]byte(body))
		if err != nil {
			if p := asProblem(err); p.status != 400 || p.message == "" {
				t.Errorf("%q: %+v", body, p)
			}
			return
		}
		if scope&^(provision.ResetFull|provision.ResetForceDeletes) != 0 {
			t.Errorf("%q: %d", body, scope)
		}
		again, err := parseCriteria(fmt.Appendf(nil, `{"criteria":{"resetScope":%d}}`, scope))
		if err != nil || again != scope {
			t.Errorf("%q: %d, again %d %v", body, scope, again, err)
		}
	})
}

func TestValidateCredentials(t *testing.T) {
	root := "/servicePrincipals/" + spID + "/synchronization"
	for _, c := range []struct {
		path, body string
		status     int
		text       string
	}{
		{root + "/jobs/" + jobID + "/validateCredentials", ``, 204, ""},
		{root + "/jobs/validateCredentials", `{"applicationIdentifier":"x","templateId":"API2AAD","useSavedCredentials":false,"credentials":[{"key":"UserName","value":"u"},{"key":"Password","value":"p"}]}`, 204, ""},
		{root + "/jobs/" + jobID + "/microsoft.graph.validateCredentials", `{"useSavedCredentials":true}`, 204, ""},
		{root + "/acquireAccessToken", `{"credentials":[{"@odata.type":"microsoft.graph.synchronizationSecretKeyStringValuePair","key":"oauth2authorizationcode","value":"x"}]}`, 204, ""},
		{"/applications/" + appID + "/synchronization/acquireAccessToken", ``, 204, ""},
		{root + "/jobs/validateCredentials", `{"templateId":"Slack"}`, 400, "templateId is one of"},
		{root + "/jobs/validateCredentials", `{"credentials":[{"key":"PIN","value":"hunter2"}]}`, 400, "The key 'PIN'"},
		{root + "/jobs/validateCredentials", `{"credentials":"hunter2"}`, 400, "'credentials' is a string"},
		{root + "/jobs/nope/validateCredentials", ``, 404, "no synchronization job 'nope'"},
		{"/servicePrincipals/" + otherSP + "/synchronization/jobs/validateCredentials", ``, 404, ""},
		{"/applications/" + otherSP + "/synchronization/acquireAccessToken", ``, 404, ""},
		{root + "/jobs/" + jobID + "/validateConnectivity", `{}`, 501, "Connectivity"},
	} {
		for _, version := range []string{"/v1.0", "/beta"} {
			w := newWorld(t)
			rec := w.write("POST", version+c.path, c.body)
			if rec.Code != c.status || rec.Code == 204 && rec.Body.Len() > 0 {
				t.Errorf("%s %s: %d %s", c.path, c.body, rec.Code, rec.Body)
			}
			if c.status >= 400 {
				if _, message := errorOf(t, rec); !strings.Contains(message, c.text) || strings.Contains(message, "hunter2") {
					t.Errorf("%s %s: %s", c.path, c.body, message)
				}
			}
		}
	}
}

// TestLifePermissions holds the least permission of each route, and that another does not do.
func TestLifePermissions(t *testing.T) {
	const read, write, links, linksW, audit = "Synchronization.Read.All", "Synchronization.ReadWrite.All", "SynchronizationMetadata.Read.All", "SynchronizationMetadata.ReadWrite.All", "AuditLog.Read.All"
	sync := strings.TrimSuffix(jobsURL, "/jobs")
	for _, c := range []struct {
		method, path, enough, less string
		denied                     int
	}{
		{"GET", sync, read, "Directory.Read.All", 401},
		{"GET", jobsURL + "/$count", read, "Directory.Read.All", 401},
		{"POST", jobsURL, write, read, 401},
		{"PATCH", jobURL, write, read, 401},
		{"DELETE", jobURL, write, read, 401},
		{"POST", jobURL + "/start", write, read, 401},
		{"POST", jobURL + "/pause", write, read, 401},
		{"POST", jobURL + "/restart", write, read, 401},
		{"POST", jobURL + "/validateCredentials", write, read, 401},
		{"POST", jobsURL + "/validateCredentials", write, read, 401},
		{"POST", jobURL + "/provisionOnDemand", write, read, 401},
		{"GET", jobURL + "/objectConnections", links, "Directory.Read.All", 401},
		{"GET", jobURL + "/objectConnections/1", read, "Directory.Read.All", 401},
		{"PUT", jobURL + "/objectConnections/1", linksW, links, 401},
		{"DELETE", jobURL + "/objectConnections/1", linksW, read, 401},
		{"GET", jobURL + "/heldChanges", read, audit, 401},
		{"GET", jobURL + "/heldChanges/1", read, audit, 401},
		{"POST", jobURL + "/heldChanges/approve", write, read, 401},
		{"POST", jobURL + "/heldChanges/reject", write, read, 401},
		{"GET", jobURL + "/escrows", read, audit, 401},
		{"GET", jobURL + "/notifications", read, audit, 401},
		{"GET", sync + "/secrets", read, "Application.Read.All", 401},
		{"GET", sync + "/secrets/$count", read, "Application.Read.All", 401},
		{"PUT", sync + "/secrets", write, read, 401},
		{"POST", sync + "/acquireAccessToken", write, read, 401},
		{"GET", "/v1.0/auditLogs/directoryAudits", audit, "ProvisioningLog.Read.All", 403},
		{"GET", "/v1.0/auditLogs/directoryAudits/1", "Directory.Read.All", "ProvisioningLog.Read.All", 403},
	} {
		w := newWorld(t)
		if rec := w.write(c.method, c.path, "{}", "Authorization", "Bearer "+c.less); rec.Code != c.denied || w.fake.did != nil {
			t.Errorf("%s %s with %s: %d, did %v", c.method, c.path, c.less, rec.Code, w.fake.did)
		}
		if rec := w.write(c.method, c.path, "{}", "Authorization", "Bearer "+c.enough); rec.Code == 401 || rec.Code == 403 || rec.Code == 405 || rec.Code >= 500 {
			t.Errorf("%s %s with %s: %d %s", c.method, c.path, c.enough, rec.Code, rec.Body)
		}
	}
}

// lifeRoutes are the requests of a job's life, each with a body that is accepted.
var lifeRoutes = []struct{ method, path, body string }{
	{"GET", jobURL, ``},
	{"PATCH", jobURL, `{"schedule":{"state":"Active"}}`},
	{"DELETE", jobURL, ``},
	{"POST", jobURL + "/start", ``},
	{"POST", jobURL + "/pause", ``},
	{"POST", jobURL + "/restart", ``},
	{"POST", jobURL + "/validateCredentials", ``},
	{"POST", jobURL + "/provisionOnDemand", `{"parameters":[{"subjects":[{"objectId":"1"}]}]}`},
	{"GET", jobURL + "/objectConnections", ``},
	{"GET", jobURL + "/objectConnections/701", ``},
	{"PUT", jobURL + "/objectConnections/701", `{"targetAnchor":"o"}`},
	{"DELETE", jobURL + "/objectConnections/701", ``},
	{"GET", jobURL + "/heldChanges", ``},
	{"GET", jobURL + "/heldChanges/1", ``},
	{"POST", jobURL + "/heldChanges/approve", `{"all":true}`},
	{"POST", jobURL + "/heldChanges/reject", `{"all":true}`},
	{"GET", jobURL + "/escrows", ``},
	{"GET", jobURL + "/notifications", ``},
	{"GET", jobsURL, ``},
	{"GET", jobsURL + "/$count", ``},
	{"POST", jobsURL, `{"templateId":"API2AAD"}`},
	{"GET", secretURLs[0], ``},
	{"GET", secretURLs[0] + "/$count", ``},
	{"PUT", secretURLs[0], `{"value":[]}`},
	{"GET", strings.TrimSuffix(secretURLs[0], "/secrets"), ``},
}

// TestNobodyThere asks for jobs and apps that there are not, and with keys that are none.
func TestNobodyThere(t *testing.T) {
	for _, r := range lifeRoutes {
		for from, to := range map[string]string{jobID: "API2AAD.nope", spID: otherSP, "/" + spID + "/": "(appId='" + spID + "')/"} {
			path := strings.Replace(r.path, from, to, 1)
			if path == r.path {
				continue
			}
			w := connectedWorld(t, 1)
			if rec := w.write(r.method, path, r.body); rec.Code != 404 || w.fake.did != nil {
				t.Errorf("%s %s: %d %s, did %v", r.method, path, rec.Code, rec.Body, w.fake.did)
			}
		}
		w := connectedWorld(t, 1)
		if rec := w.write(r.method, strings.Replace(r.path, "/"+spID+"/", "(name='x')/", 1), r.body); rec.Code != 400 {
			t.Errorf("%s %s by name: %d %s", r.method, r.path, rec.Code, rec.Body)
		}
	}
}

// TestServiceFails has what is to be done fail: it is answered without what only the log may know.
func TestServiceFails(t *testing.T) {
	for _, r := range lifeRoutes {
		if r.method == "GET" || strings.HasSuffix(r.path, "/validateCredentials") {
			continue
		}
		for err, status := range map[error]int{fmt.Errorf("disk hunter2"): 500, fmt.Errorf("job: %w", provision.ErrRunning): 409, fmt.Errorf("disk: %w", provision.ErrNoSpace): 503} {
			w := connectedWorld(t, 1)
			w.fake.addLog(provision.LogEntry{Anchor: "1"})
			w.fake.refuse = err
			if rec := w.write(r.method, r.path, r.body); rec.Code != status || strings.Contains(rec.Body.String(), "hunter2") {
				t.Errorf("%s %s: %d %s, want %d", r.method, r.path, rec.Code, rec.Body, status)
			}
		}
	}
}
