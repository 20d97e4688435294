package graph

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

const auditsURL = "/v1.0/auditLogs/directoryAudits"

// auditWorld has an entry by an app, a user and the service itself; times are 10:01, 10:02, ….
func auditWorld(t testing.TB) *world {
	w := newWorld(t)
	app := provision.Actor{Kind: provision.ActorApp, ID: "app-1", Name: "HR feed"}
	for i, a := range []provision.Audit{
		{JobID: jobID, Activity: "Add provisioning configuration", OperationType: "Add", Actor: app},
		{JobID: jobID, Activity: "Enable/start provisioning configuration", OperationType: "Update", Actor: provision.Actor{Kind: provision.ActorUser, ID: "user-1", Name: "Ana Lima"},
			Modified: []provision.Modification{{Attribute: "state", Old: ptr("Disabled"), New: ptr("Active")}}},
		{Activity: "Update provisioning setting or credentials", OperationType: "Update", Actor: app, Failed: true, Reason: "the store is full"},
		{JobID: jobID, Activity: "Quarantine", OperationType: "Update", Actor: provision.Actor{Kind: provision.ActorSystem}, Details: []provision.KeyValue{{Key: "Reason", Value: "TooManyDeletes"}}},
		{JobID: jobID, Activity: "Enable/start provisioning configuration", OperationType: "Update"},
	} {
		a.Seq, a.ID = int64(i+1), uuid.NewSHA1(uuid.Nil, []byte{byte(i)})
		a.Time = time.Date(2026, 8, 20, 10, i+1, 0, 123456789, time.UTC)
		a.TargetID, a.TargetName = spID, "HR feed"
		if i == 2 {
			a.TargetID = emptySP
		}
		w.fake.audits = append(w.fake.audits, a)
	}
	return w
}

// minutes lists the minutes of the entries on all pages.
func (w *world) minutes(target string) string {
	w.t.Helper()
	var all []string
	for next := target; next != ""; {
		p := w.page(next)
		for _, v := range p.Value {
			all = append(all, strings.TrimPrefix(v["activityDateTime"].(string), "2026-08-20T10:0")[:1])
		}
		next = strings.TrimPrefix(p.Next, "https://graph.contoso.example")
		if len(all) > 100 {
			w.t.Fatal("endless pages")
		}
	}
	return strings.Join(all, "")
}

func TestAuditQueries(t *testing.T) {
	w := auditWorld(t)
	third := w.fake.audits[2].ID.String()
	for filter, want := range map[string]string{
		"": "54321",
		"activityDateTime ge 2026-08-20T10:02:30Z":                                              "543",
		"activityDateTime le 2026-08-20T10:02:00.123456Z":                                       "21",
		"activityDateTime gt 2026-08-20T10:01:30Z and activityDateTime lt 2026-08-20T10:04:00Z": "32",
		"activityDisplayName eq 'Enable/start provisioning configuration'":                      "52",
		"startsWith(activityDisplayName,'Enable')":                                              "52",
		"category eq 'ProvisioningManagement'":                                                  "54321",
		"category eq 'UserManagement'":                                                          "",
		"loggedByService eq 'Account Provisioning' and result eq 'failure'":                     "3",
		"result eq 'success'":                                                                   "5421",
		"correlationId eq '" + third + "'":                                                      "3",
		"initiatedBy/app/displayName eq 'HR feed'":                                              "31",
		"initiatedBy/app/id eq 'app-1'":                                                         "31",
		"initiatedBy/app/servicePrincipalId eq null":                                            "542",
		"initiatedBy/app/displayName eq 'Azure AD Provisioning Service'":                        "54",
		"initiatedBy/user/id eq 'user-1'":                                                       "2",
		"initiatedBy/user/displayName eq 'Ana Lima'":                                            "2",
		"targetResources/any(t:t/id eq '" + emptySP + "')":                                      "3",
		"targetResources/any(t: t/displayName eq 'HR feed' and t/type eq 'ServicePrincipal')":   "54321",
		"additionalDetails/any(d:d/key eq 'JobId' and d/value eq '" + jobID + "')":              "5421",
		"operationType eq 'Add' or activityDisplayName eq 'Quarantine'":                         "41",
	} {
		for _, version := range []string{"/v1.0", "/beta"} {
			for _, rest := range []string{"", "&$top=1", "&$top=2"} {
				target := version + strings.TrimPrefix(auditsURL, "/v1.0") + "?$filter=" + url.QueryEscape(filter) + rest
				if got := w.minutes(target); got != want {
					t.Errorf("%s%s: %q, want %q", filter, rest, got, want)
				}
			}
		}
	}
	if got := w.minutes(auditsURL + "?$orderby=activityDateTime%20asc&$top=2"); got != "12345" {
		t.Errorf("ascending: %s", got)
	}
	for _, query := range []string{"$filter=nickName%20eq%20'x'", "$filter=targetResources/any(t:t/nickName%20eq%20'x')", "$filter=targetResources%20eq%20'x'", "$filter=activityDateTime%20eq%20'x'",
		"$filter=initiatedBy/app/colour%20eq%20'x'", "$orderby=result", "$top=1001", "$top=0", "$skip=1", "$skiptoken=x", "$filter=("} {
		if rec := w.get(auditsURL + "?" + query); rec.Code != 400 {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
}

func TestAuditEntity(t *testing.T) {
	w := auditWorld(t)
	want := m{"category": "ProvisioningManagement", "result": "success", "resultReason": "", "activityDisplayName": "Enable/start provisioning configuration",
		"activityDateTime": "2026-08-20T10:02:00.123456Z", "loggedByService": "Account Provisioning", "operationType": "Update",
		"initiatedBy": m{"app": nil, "user": m{"id": "user-1", "displayName": "Ana Lima", "userPrincipalName": nil, "ipAddress": nil}},
		"targetResources": []m{{"id": spID, "displayName": "HR feed", "type": "ServicePrincipal", "userPrincipalName": nil, "groupType": nil,
			"modifiedProperties": []m{{"displayName": "state", "oldValue": "Disabled", "newValue": "Active"}}}},
		"additionalDetails": []m{{"key": "JobId", "value": jobID}}}
	for i, a := range w.fake.audits {
		id := a.ID.String()
		got := w.document(auditsURL + "/" + id)
		if got["id"] != id || got["@odata.context"] != "https://graph.contoso.example/v1.0/$metadata#auditLogs/directoryAudits/$entity" {
			t.Errorf("%v", got)
		}
		if i != 1 {
			continue
		}
		for _, name := range []string{"id", "correlationId", "@odata.context"} {
			delete(got, name)
		}
		if encode(got) != encode(want) {
			t.Errorf("%s\nwant\n%s", encode(got), encode(want))
		}
	}
	byApp := w.document("/beta/auditLogs/directoryAudits('" + w.fake.audits[2].ID.String() + "')?$select=result,resultReason,initiatedBy")
	if len(byApp) != 4 || byApp["result"] != "failure" || byApp["resultReason"] != "the store is full" || at(byApp, "initiatedBy", "app", "servicePrincipalId") != "app-1" || at(byApp, "initiatedBy", "user") != nil {
		t.Errorf("%v", byApp)
	}
	if system := w.document(auditsURL + "/" + w.fake.audits[3].ID.String()); at(system, "initiatedBy", "app", "displayName") != initiatorName || at(system, "additionalDetails", 1, "value") != "TooManyDeletes" {
		t.Errorf("%v", system)
	}
	for _, id := range []string{"x", uuid.NewSHA1(uuid.Nil, []byte("nothing")).String()} {
		if rec := w.get(auditsURL + "/" + id); rec.Code != 404 {
			t.Errorf("%s: %d", id, rec.Code)
		}
	}
}
