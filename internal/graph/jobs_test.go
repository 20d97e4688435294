package graph

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

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
	began := time.Date(2026, 8, 20, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		state provision.JobState
		st    provision.JobStatus
		code  string
	}{
		{provision.JobPaused, provision.JobStatus{}, "Paused"},
		{provision.JobDisabled, provision.JobStatus{}, "Paused"},
		{provision.JobActive, provision.JobStatus{Queued: 50, Oldest: began}, "NotRun"},
		{provision.JobActive, provision.JobStatus{Cycle: 3, CycleBegan: began, CycleEnded: began.Add(time.Second), FirstCycleEnd: began, Users: 5,
			CycleCounts: map[provision.End]int64{provision.EndCreated: 4, provision.EndFailed: 1}}, "Active"},
		{provision.JobActive, provision.JobStatus{Cycle: 3, CycleBegan: began, CycleEnded: began.Add(time.Second), FirstCycleEnd: began,
			CycleCounts: map[provision.End]int64{provision.EndUpdated: 4}}, "Active"},
	} {
		w.fake.job.State, w.fake.status = c.state, c.st
		rec := w.get(jobURL + "/")
		var j struct {
			Schedule struct{ State, Interval string }
			Status   struct {
				Code                   string
				LastExecution          map[string]any
				LastSuccessfulExection map[string]any
			}
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &j); err != nil || j.Status.Code != c.code || j.Schedule.State != string(c.state) || (j.Status.LastExecution != nil) != (c.st.Cycle > 0) {
			t.Errorf("%v: %s", c.code, rec.Body)
		}
	}
}

func TestStartPause(t *testing.T) {
	w := newWorld(t)
	for action, state := range map[string]provision.JobState{"start": provision.JobActive, "pause": provision.JobPaused} {
		rec := w.send("POST", jobURL+"/"+action, "")
		if _, typed := rec.Header()["Content-Type"]; rec.Code != 204 || typed || rec.Body.Len() > 0 || w.fake.job.State != state {
			t.Errorf("%s: %d %v %s", action, rec.Code, rec.Header(), rec.Body)
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
