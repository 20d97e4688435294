package graph

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"induct/internal/mapping"
	"induct/internal/provision"
)

func ptr(s string) *string { return &s }

// logWorld has one entry of each sort; anchors are 1, 2, ….
func logWorld(t testing.TB) *world {
	w := newWorld(t)
	src := []mapping.Imported{{Name: "externalId", Value: "1"}, {Name: "active", Value: "True"}}
	for i, e := range []provision.LogEntry{
		{Action: provision.ActionCreate, End: provision.EndCreated, ObjectID: "o1", ObjectName: "ana@contoso.example", Source: src, Duration: 3 * time.Millisecond,
			Modified: []provision.Modification{{Attribute: "employeeId", New: ptr("1")}}},
		{Action: provision.ActionUpdate, Status: provision.StatusFailure, End: provision.EndFailed, Code: "Conflict", Attribute: "mail", Reason: "taken", Advice: "free it", Matched: true, ObjectID: "o2", Source: src},
		{Status: provision.StatusSkipped, End: provision.EndUnchanged, Code: "RedundantExport", Matched: true, ObjectID: "o3"},
		{Status: provision.StatusSkipped, End: provision.EndSkipped, Code: "EntrySynchronizationSkipped", Attribute: "scope", Reason: "out"},
		{Action: provision.ActionDisable, End: provision.EndDisabled, Matched: true, ObjectID: "o5", Cycle: 2, Upload: 2},
		{Status: provision.StatusFailure, End: provision.EndFailed, Code: "EntrySynchronizationError", Reason: "wrong", Cycle: 2, Upload: 2},
		{Status: provision.StatusFailure, End: provision.EndFailed, Code: "ImportSkipped", Reason: "no value", Cycle: 2, Upload: 2},
		{Ref: true, Action: provision.ActionUpdate, Attribute: "manager", Matched: true, ObjectID: "o8", Cycle: 2, Upload: 2, Modified: []provision.Modification{{Attribute: "manager", New: ptr("o1")}}},
		{Ref: true, Action: provision.ActionUpdate, Status: provision.StatusWarning, Code: "ReferenceNotResolved", Attribute: "manager", Matched: true, ObjectID: "o9", Cycle: 2, Upload: 2},
		{Hidden: true, Status: provision.StatusSkipped, End: provision.EndSkipped, Code: "MethodNotAllowed"},
	} {
		e.Anchor, e.Name, e.Index = fmt.Sprint(i+1), fmt.Sprint("Person ", i+1), i
		w.fake.addLog(e)
	}
	return w
}

// anchors lists the source ids on all pages.
func (w *world) anchors(target string) (ids []string) {
	w.t.Helper()
	for next := target; next != ""; {
		p := w.page(next)
		for _, v := range p.Value {
			ids = append(ids, v["sourceIdentity"].(map[string]any)["id"].(string))
		}
		next = strings.TrimPrefix(p.Next, "https://graph.contoso.example")
		if len(ids) > 100 {
			w.t.Fatal("endless pages")
		}
	}
	return ids
}

func TestLogQueries(t *testing.T) {
	w := logWorld(t)
	cycle1, cycle2 := provision.CycleID(7, 1).String(), provision.CycleID(7, 2).String()
	all := "9 8 7 6 5 4 3 2 1"
	for _, c := range []struct{ query, want string }{
		{"", all},
		{"$orderby=activityDateTime desc", all},
		{"$orderby=activityDateTime asc", "1 2 3 4 5 6 7 8 9"},
		{"$filter=jobid eq '" + jobID + "'", all},
		{"$filter=JOBID eq '" + jobID + "'&$top=4", all},
		{"$filter=jobid eq 'API2AAD.x'", ""},
		{"$filter=jobid eq '" + jobID + "' and cycleId ne '" + cycle2 + "' and cycleId ne 'C2'&$top=1", "4 3 2 1"},
		{"$filter=cycleId eq '" + cycle2 + "'", "9 8 7 6 5"},
		{"$filter=cycleId eq 'x'", ""},
		{"$filter=cycleId eq '" + cycle1 + "' or cycleId eq '" + cycle2 + "'", all},
		{"$filter=activityDateTime ge 2026-08-20T10:06:00.123Z and servicePrincipal/id eq '" + spID + "'&$top=100&$orderby=activityDateTime desc", "9 8 7"},
		{"$filter=activityDateTime gt 2026-08-20T10:06:00.123456Z", "9 8"},
		{"$filter=activityDateTime eq 2026-08-20T10:06:00.123456Z", "7"},
		{"$filter=activityDateTime le 2026-08-20T10:01:00.123456Z", "2 1"},
		{"$filter=activityDateTime lt 2026-08-20T10:01:00.123456Z", "1"},
		{"$filter=jobid eq '" + jobID + "' and statusInfo/status eq 'failure' and activityDateTime ge 2022-10-10T09:47:34Z", "7 6 2"},
		{"$filter=provisioningStatusInfo/status eq 'nonsense'", ""},
		{"$filter=jobid eq '" + jobID + "' and sourceIdentity/id eq '3'", "3"},
		{"$filter=((contains(tolower(servicePrincipal/id), '60443998') or contains(tolower(servicePrincipal/displayName), 'x')) and activityDateTime gt 2026-08-20 and activityDateTime lt 2026-08-21)&$top=500&$orderby=activityDateTime desc", all},
		{"$filter=provisioningAction eq 'create'&$select=id,sourceIdentity,provisioningStatusInfo", "1"},
		{"$filter=id eq '" + provision.EntryID(4).String() + "'", "4"},
		{"$filter=id eq '" + provision.EntryID(10).String() + "'", ""},
		{"$filter=changeId eq '" + provision.ChangeID(7, 2, 5).String() + "'", "6"},
		{"$filter=targetIdentity/id eq 'o5' and durationInMilliseconds lt 5", "5"},
		{"$filter=not (jobid eq '" + jobID + "')", ""},
		{"$count=true&$top=9", all},
	} {
		for _, base := range []string{"/v1.0/auditLogs/provisioning/?", "/beta/auditlogs/Provisioning?"} {
			for _, query := range []string{strings.ReplaceAll(c.query, " ", "%20"), strings.ReplaceAll(strings.ReplaceAll(c.query, " ", "+"), "$", "%24")} {
				if got := strings.Join(w.anchors(base+query), " "); got != c.want {
					t.Errorf("%s%s\n got %s\nwant %s", base, query, got, c.want)
				}
			}
		}
	}
}

func TestLogBadQueries(t *testing.T) {
	w := logWorld(t)
	for query, message := range map[string]string{
		"$filter=jobid eq":                 "Invalid filter clause",
		"$filter=nope eq 'x'":              "Invalid filter clause",
		"$filter=activityDateTime eq 'x'":  "Invalid filter clause",
		"$filter=jobid eq 5":               "Invalid filter clause",
		"$filter=id ne 'x' and id eq true": "Invalid filter clause",
		"$orderby=id":                      "Provisioning logs can be ordered by",
		"$top=0":                           "Invalid page size specified: '0'.",
		"$top=1001":                        "Invalid page size specified: '1001'.",
		"$top=x":                           "",
		"$skip=5":                          "'$skip' is not supported",
		"$search=x":                        "'$search' is not supported",
		"$skiptoken=abc":                   "The skip token is not valid",
		"$skiptoken=" + url.QueryEscape("AAAA~~~"): "The skip token is not valid",
	} {
		rec := w.get("/v1.0/auditLogs/provisioning?" + strings.ReplaceAll(query, " ", "%20"))
		if code, got := errorOf(t, rec); rec.Code != 400 || code != "BadRequest" || !strings.HasPrefix(got, message) {
			t.Errorf("%s: %d %s %s", query, rec.Code, code, got)
		}
	}
	p := w.page("/v1.0/auditLogs/provisioning?$top=1")
	token := p.Next[strings.LastIndex(p.Next, "=")+1:]
	if rec := w.get("/v1.0/auditLogs/provisioning?$filter=jobid%20eq%20'x'&$skiptoken=" + token); rec.Code != 400 {
		t.Errorf("a token of another filter: %d", rec.Code)
	}
}

// TestLogPaging writes while it reads: what was there before the first page appears once, what came later never.
func TestLogPaging(t *testing.T) {
	for _, order := range []string{"asc", "desc"} {
		for _, scan := range []int{0, 1, 3} {
			w := newWorld(t)
			w.fake.scan = scan
			var want []string
			for i := range 60 {
				e := provision.LogEntry{Anchor: fmt.Sprint(i), Status: provision.Status(i % 2)}
				if w.fake.addLog(e); i%2 == 1 {
					want = append(want, e.Anchor)
				}
			}
			var got []string
			next := "/v1.0/auditLogs/provisioning?$filter=contains(provisioningStatusInfo/status,'fail')&$top=7&$orderby=activityDateTime%20" + order
			for next != "" {
				p := w.page(next)
				for _, v := range p.Value {
					got = append(got, v["sourceIdentity"].(map[string]any)["id"].(string))
				}
				if p.Next != "" && !strings.Contains(p.Next, "$top=7&") {
					t.Fatalf("nextLink %s", p.Next)
				}
				next = strings.TrimPrefix(p.Next, "https://graph.contoso.example")
				w.fake.addLog(provision.LogEntry{Anchor: "late", Status: provision.StatusFailure})
			}
			if order == "desc" {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %d at a time: %v, want %v", order, scan, got, want)
			}
		}
	}
}

func TestLogEntries(t *testing.T) {
	w := logWorld(t)
	want := map[string]string{
		"1": "success create EntryImportAdd:success EntrySynchronizationAdd:success EntrySynchronizationScoping:success EntryExportAdd:success",
		"2": "failure update EntryImportUpdate:success EntryImport:success EntrySynchronizationScoping:success EntryExportUpdate:failure",
		"3": "skipped other EntryImportUpdate:success EntryImport:success EntrySynchronizationScoping:success EntrySynchronizationSkip:skipped",
		"4": "skipped other EntryImportAdd:success EntrySynchronizationScoping:skipped EntrySynchronizationSkip:skipped",
		"5": "success disable EntryImportUpdate:success EntryImport:success EntrySynchronizationScoping:success EntryExportUpdate:success",
		"6": "failure other EntryImportAdd:success EntrySynchronizationError:failure",
		"7": "failure other EntryImportAdd:failure",
		"8": "success update EntryImportUpdate:success EntryReferenceResolution:success EntryExportUpdate:success",
		"9": "warning update EntryImportUpdate:success EntryReferenceResolution:warning",
	}
	for _, version := range []string{"v1.0", "beta"} {
		for _, v := range w.page("/" + version + "/auditLogs/provisioning").Value {
			id := v["sourceIdentity"].(map[string]any)["id"].(string)
			got := fmt.Sprint(v["provisioningStatusInfo"].(map[string]any)["status"], " ", v["provisioningAction"])
			for _, s := range v["provisioningSteps"].([]any) {
				s := s.(map[string]any)
				got += fmt.Sprintf(" %s:%s", s["name"], s["status"])
				if s["description"] == "" {
					t.Errorf("%s: a step without description: %v", id, s)
				}
			}
			if got != want[id] {
				t.Errorf("%s: %s\nwant %s", id, got, want[id])
			}
			if _, ok := v["statusInfo"]; ok != (version == "beta") {
				t.Errorf("%s: statusInfo %v", version, ok)
			}
			one := w.get("/" + version + "/auditLogs/provisioning/" + v["id"].(string))
			var single map[string]any
			if err := json.Unmarshal(one.Body.Bytes(), &single); err != nil || single["changeId"] != v["changeId"] {
				t.Errorf("%s: %s", v["id"], one.Body)
			}
		}
	}
	create := w.get("/v1.0/auditLogs/provisioning?$filter=sourceIdentity/id%20eq%20'1'").Body.String()
	for _, part := range []string{
		`"description":"Received User '1' change of type (Add) from API","details":{"externalId":"1","active":"True"}`,
		`"description":"User 'ana@contoso.example' was created in Microsoft Entra ID"`,
		`"modifiedProperties":[{"displayName":"employeeId","oldValue":null,"newValue":"1"}]`, `"durationInMilliseconds":3`,
		`"initiatedBy":{"id":"","displayName":"Azure AD Provisioning Service","initiatorType":"system"}`,
		`"activityDateTime":"2026-08-20T10:00:00.123456Z"`,
	} {
		if !strings.Contains(create, part) {
			t.Errorf("%s is missing in %s", part, create)
		}
	}
}

func TestCursor(t *testing.T) {
	scope := cursorScope("a", "b")
	for _, c := range []cursor{{}, {before: 5}, {after: 1 << 40}, {1, 2, "x\x00ü"}} {
		got, err := parseCursor(c.token(scope), scope)
		if err != nil || got != c {
			t.Errorf("%+v: %+v %v", c, got, err)
		}
		if _, err := parseCursor(c.token(scope), cursorScope("ab")); err == nil {
			t.Errorf("%+v fits another list", c)
		}
	}
}

func FuzzCursor(f *testing.F) {
	scope := cursorScope("x")
	f.Add(cursor{before: 1}.token(scope))
	f.Add("AAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := parseCursor(token, scope)
		if err != nil {
			return
		}
		if again, err := parseCursor(c.token(scope), scope); err != nil || again != c {
			t.Errorf("%q is read as %+v, then as %+v: %v", token, c, again, err)
		}
	})
}

// TestUnfulfilledEntries renders what was not carried out, or not yet, with a reason that tells why.
func TestUnfulfilledEntries(t *testing.T) {
	src := []mapping.Imported{{Name: "externalId", Value: "1"}, {Name: "active", Value: "False"}}
	disable := []provision.Modification{{Attribute: "accountEnabled", Old: ptr("True"), New: ptr("False")}}
	for _, c := range []struct {
		name         string
		e            provision.LogEntry
		action, code string
		steps        string // names
		says         string // in the last step, or in the reason
	}{
		{"a staged disable", provision.LogEntry{Action: provision.ActionStagedDelete, Status: provision.StatusWarning, End: provision.EndHeld, Code: "TooManyDeletes", Matched: true, ObjectID: "o", ObjectName: "ana@contoso.example",
			Reason: "501 of at most 500", Source: src, Modified: disable}, "stagedDelete", "TooManyDeletes", "EntryImportUpdate EntryImport EntrySynchronizationScoping EntryExportDelete", "User 'ana@contoso.example' is staged to be disabled in Microsoft Entra ID: 501 of at most 500"},
		{"a staged change of which no more is known", provision.LogEntry{Action: provision.ActionStagedDelete, End: provision.EndHeld, Code: "TooManyDeletes", Matched: true, ObjectID: "o", ObjectName: "ana@contoso.example"},
			"stagedDelete", "TooManyDeletes", "EntryImportUpdate EntryImport EntrySynchronizationScoping EntryExportDelete", "is staged to be disabled or deleted in Microsoft Entra ID: The change would disable or delete"},
		{"superseded", provision.LogEntry{Status: provision.StatusSkipped, End: provision.EndSuperseded}, "other", "Superseded", "EntryImportAdd EntrySynchronizationSkip", "A newer record of the person"},
		{"rejected", provision.LogEntry{Status: provision.StatusSkipped, End: provision.EndRejected, Matched: true, ObjectID: "o", Reason: "rejected by HR feed"}, "other", "Rejected", "EntryImportUpdate EntrySynchronizationSkip", "rejected by HR feed"},
		{"purged", provision.LogEntry{Status: provision.StatusSkipped, End: provision.EndPurged}, "other", "Purged", "EntryImportAdd EntrySynchronizationSkip", "thrown out by a restart"},
		{"retrying", provision.LogEntry{Action: provision.ActionCreate, Status: provision.StatusFailure, End: provision.EndRetrying, Code: "Timeout", Reason: "no answer"}, "create", "Timeout",
			"EntryImportAdd EntrySynchronizationAdd EntrySynchronizationScoping EntryExportAdd", "Failed to create User"},
		{"disabled because the scope was left", provision.LogEntry{Action: provision.ActionDisable, End: provision.EndDisabled, Attribute: "scope", Reason: "Staff.userType", Matched: true, ObjectID: "o", Modified: disable}, "disable", "",
			"EntryImportUpdate EntryImport EntrySynchronizationScoping EntryExportUpdate", "was disabled in"},
	} {
		for _, version := range []string{"/v1.0", "/beta"} {
			w := newWorld(t)
			c.e.Anchor, c.e.Name = "1", "Ana"
			w.fake.addLog(c.e)
			e := w.page(version + "/auditLogs/provisioning").Value[0]
			var names []string
			steps := e["provisioningSteps"].([]any)
			for _, s := range steps {
				names = append(names, at(s, "name").(string))
			}
			code := ""
			if info, ok := at(e, "provisioningStatusInfo", "errorInformation").(m); ok {
				code = info["errorCode"].(string)
				if info["reason"] == "" {
					t.Errorf("%s: no reason in %v", c.name, info)
				}
			}
			last := at(steps[len(steps)-1], "description").(string)
			if e["provisioningAction"] != c.action || code != c.code || strings.Join(names, " ") != c.steps || !strings.Contains(last, c.says) {
				t.Errorf("%s: %v %s %v %s", c.name, e["provisioningAction"], code, names, last)
			}
			if c.e.Attribute == "scope" && at(steps[2], "details", "Scoping filter evaluation passed") != "False" {
				t.Errorf("%s: %v", c.name, steps[2])
			}
		}
	}
}

// TestLogOfDeletedJob finds the entries of a job that is gone.
func TestLogOfDeletedJob(t *testing.T) {
	w := logWorld(t)
	if rec := w.send("DELETE", jobURL, ""); rec.Code != 204 {
		t.Fatal(rec.Code)
	}
	p := w.page("/v1.0/auditLogs/provisioning?$top=1&$filter=jobId%20eq%20'" + jobID + "'")
	if len(p.Value) != 1 || p.Value[0]["jobId"] != jobID || at(p.Value[0], "servicePrincipal", "id") != spID {
		t.Errorf("%v", p.Value)
	}
}
