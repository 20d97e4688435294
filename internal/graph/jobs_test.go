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

func TestSource(t *testing.T) {
	type source struct {
		Name, Type string
		Parameters []struct {
			Key   string
			Value struct{ Name, Type, Expression string }
		}
	}
	for expression, want := range map[string]string{
		`[externalId]`:                   "Attribute externalId",
		`[emails[type eq "work"].value]`: `Attribute emails[type eq "work"].value`,
		`"Employee"`:                     "Constant Employee",
		`"say \"hi\" \\"`:                `Constant say "hi" \`,
		`5`:                              "Constant 5",
		`Not([active])`:                  "Function Not; source=Attribute active",
		`Replace([a], "-", , , "_", , )`: "Function Replace; source=Attribute a; find=Constant -; replacement=Constant _",
		`Join(",", [a], ToLower([b], ), "x, (y\")")`: `Function Join; separator=Constant ,; source=Attribute a; source=Function ToLower; source=Constant x, (y")`,
		`DefaultDomain()`: "Function DefaultDomain",
	} {
		var b strings.Builder
		var s source
		raw, err := marshalled(sourceObject(expression))
		if err == nil {
			err = json.Unmarshal(raw, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(s.Type + " " + s.Name)
		for _, p := range s.Parameters {
			b.WriteString("; " + p.Key + "=" + p.Value.Type + " " + p.Value.Name)
		}
		if !strings.EqualFold(b.String(), want) {
			t.Errorf("%s\n got %s\nwant %s", expression, &b, want)
		}
	}
}

// FuzzSource looks for an expression that cannot be rendered.
func FuzzSource(f *testing.F) {
	for _, s := range []string{`[a[b eq "]"].c]`, `"\"`, `F(F(,),"`, `[`, `"`, `)(`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		if len(expression) > 10_000 {
			return
		}
		if _, err := marshalled(sourceObject(expression)); err != nil {
			t.Error(err)
		}
	})
}
