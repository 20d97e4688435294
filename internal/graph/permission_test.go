package graph

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"induct/internal/oauth"
	"induct/internal/provision"
)

var update = flag.Bool("update", false, "write the golden files")

// bearer is a token that fakeTokens takes for this principal.
func bearer(p oauth.Principal) string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return "Bearer p." + base64.RawURLEncoding.EncodeToString(text)
}

// callerID is the service principal that asks in these tests; it owns the app that is asked about only where a test says so.
var callerID = uuid.MustParse("c0000000-0000-4000-8000-000000000001")

// asApp is a token of the caller, or of the app with this service principal, with the application permissions.
func asApp(sp uuid.UUID, permissions ...string) string {
	return bearer(oauth.Principal{AppID: sp, ObjectID: sp, DisplayName: "Caller", Roles: permissions})
}

// asPerson is a token of somebody with these scopes and these directory roles.
func asPerson(scopes []string, roles ...string) string {
	p := oauth.Principal{AppID: callerID, ObjectID: uuid.MustParse("a0000000-0000-4000-8000-000000000001"), User: true, UPN: "ada@contoso.example", Scopes: scopes}
	for _, r := range roles {
		p.DirectoryRoles = append(p.DirectoryRoles, oauth.DirectoryRoles[r])
	}
	return bearer(p)
}

// permissionNames are all application permissions that any route asks for, and one that none does.
func permissionNames() []string {
	names := map[string]bool{"Mail.Read": true}
	for i := range routes {
		for _, e := range routes[i].methods {
			for _, n := range slices.Concat(e.access.permissions, e.access.owned) {
				names[n] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// requestPath is a path of a route about the app of newFake and its job.
func requestPath(pattern string) string {
	known := strings.NewReplacer("{sp}", spID, "{app}", appID, "{job}", jobID, "{template}", "API2AAD", "{gallery}", Gallery()[0].ID).Replace(pattern)
	return "/v1.0" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(known, otherSP) // what else it names is not there
}

// asked is a world whose app the caller owns, or does not.
func asked(t *testing.T, owned bool) *world {
	w := newWorld(t)
	w.extended = true // what is answered is not looked at
	if owned {
		c, err := w.apps.Client(t.Context(), uuid.MustParse(appID))
		if err != nil {
			t.Fatal(err)
		}
		c.Owners = []uuid.UUID{callerID}
		w.put(c)
	}
	return w
}

// allowed reports whether a request of the principal gets past the permission check.
func allowed(t *testing.T, w *world, method, path, token string) bool {
	t.Helper()
	rec := w.send(method, path, "", "Authorization", token, "Content-Type", "")
	if rec.Code == 404 && strings.Contains(rec.Body.String(), "segment") || rec.Code == 405 {
		t.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
	if rec.Code >= 500 && rec.Code != 501 {
		t.Errorf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
	if rec.Code == 404 && method == "GET" && (strings.Contains(rec.Body.String(), "Resource '"+spID+"' does not") || strings.Contains(rec.Body.String(), "Resource '"+appID+"' does not")) {
		return false // it is there, and hidden
	}
	if rec.Code != 401 && rec.Code != 403 {
		return true
	}
	code, _ := errorOf(t, rec)
	return !slices.Contains([]string{codeDenied, codeUnknown, "Authentication_MSGraphPermissionMissing"}, code)
}

// TestPermissions asks every route as everybody, and compares who gets through with testdata/permissions.golden. To accept a
// change, run it with -update and look at git diff.
func TestPermissions(t *testing.T) {
	var lines []string
	names := permissionNames()
	roles := slices.Sorted(maps.Keys(oauth.DirectoryRoles))
	for i := range routes {
		rt := &routes[i]
		path := requestPath(rt.pattern)
		for _, method := range rt.allowed() {
			shared := asked(t, false)
			through := func(names []string, token func(name string) string, owned bool) (those []string) {
				for _, n := range names {
					w := shared
					if strings.HasSuffix(n, ".OwnedBy") || owned { // what is owned must still be there
						w = asked(t, owned)
					}
					if allowed(t, w, method, path, token(n)) {
						those = append(those, n)
					}
				}
				return those
			}
			var onOwned []string
			for _, n := range names {
				if strings.HasSuffix(n, ".OwnedBy") || n == "Mail.Read" {
					onOwned = append(onOwned, n)
				}
			}
			anyApp := through(names, func(n string) string { return asApp(callerID, n) }, false)
			owner := without(through(onOwned, func(n string) string { return asApp(callerID, n) }, true), anyApp)
			self := without(through(onOwned, func(n string) string { return asApp(uuid.MustParse(spID), n) }, false), anyApp)
			people := through(names, func(n string) string { return asPerson([]string{n}, globalAdministrator) }, false)
			inRoles := through(roles, func(r string) string { return asPerson(names, r) }, false)
			if allowed(t, shared, method, path, asPerson(names)) {
				inRoles = []string{"(none needed)"}
			}
			lines = append(lines, fmt.Sprintf("%s %s\n  app    %s\n  owner  %s\n  self   %s\n  scope  %s\n  role   %s\n", method, rt.pattern,
				listing(anyApp, names), listing(owner, names), listing(self, names), listing(people, names), listing(inRoles, roles)))
		}
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n")
	const file = "testdata/permissions.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		for i, line := range strings.Split(got, "\n") {
			if old := strings.Split(string(want), "\n"); i >= len(old) || old[i] != line {
				t.Fatalf("line %d: %s\nis not as in %s", i+1, line, file)
			}
		}
		t.Fatalf("it is shorter than %s", file)
	}
}

func without(names, those []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(those, n) })
}

// listing writes names; all of them are everybody.
func listing(names, all []string) string {
	switch len(names) {
	case 0:
		return "-"
	case len(all):
		return "*"
	}
	return strings.Join(names, ", ")
}

// TestDirectoryObjectOfApp reads the caller's own service principal as Terraform does before it makes an application, with the
// permissions that it documents for that.
func TestDirectoryObjectOfApp(t *testing.T) {
	w := userWorld(t)
	person := w.fake.users[1].ID
	for _, c := range []struct {
		token, id string
		status    int
	}{
		{asApp(uuid.MustParse(spID), "Application.ReadWrite.OwnedBy"), spID, 200},
		{asApp(uuid.MustParse(emptySP), "Application.ReadWrite.OwnedBy"), spID, 404},
		{asApp(uuid.MustParse(emptySP), "Application.ReadWrite.All"), spID, 200},
		{asApp(uuid.MustParse(emptySP), "Application.ReadWrite.All"), person, 404},
		{asApp(uuid.MustParse(emptySP), "Directory.Read.All"), person, 200},
		{asApp(uuid.MustParse(emptySP), "Synchronization.Read.All"), spID, 403},
	} {
		if rec := w.get("/v1.0/directoryObjects/"+c.id, "Authorization", c.token); rec.Code != c.status {
			t.Errorf("%s: %d %s, want %d", c.id, rec.Code, rec.Body, c.status)
		}
	}
}

// TestMethodOfSome asks for a method that there is not, as somebody who may do some of what there is, and as somebody who may do
// nothing.
func TestMethodOfSome(t *testing.T) {
	w := newWorld(t)
	for role, status := range map[string]int{"Synchronization.Read.All": 405, "Synchronization.ReadWrite.All": 405, "User.Read.All": 401} {
		if rec := w.send("HEAD", jobURL, "", "Authorization", asApp(callerID, role)); rec.Code != status {
			t.Errorf("%s: %d, want %d", role, rec.Code, status)
		}
	}
}

// TestOwnedOnly sends what an app that may do all to what it owns could try on others' apps.
func TestOwnedOnly(t *testing.T) {
	w := newWorld(t)
	mine, err := w.apps.Client(t.Context(), uuid.MustParse(emptyApp))
	if err != nil {
		t.Fatal(err)
	}
	mine.Owners = []uuid.UUID{callerID}
	w.put(mine)
	w.fake.addLog(provision.LogEntry{Anchor: "1"})
	token := asApp(callerID, "Application.ReadWrite.OwnedBy", "SynchronizationData-User.Upload.OwnedBy")
	send := func(method, path, body, typ string) (int, string) {
		rec := w.send(method, path, body, "Authorization", token, "Content-Type", typ)
		return rec.Code, rec.Body.String()
	}
	const js = "application/json"
	theirs, own := "/v1.0/servicePrincipals/"+spID, "/v1.0/servicePrincipals/"+emptySP
	for _, r := range []struct{ method, path, body, typ string }{
		{"POST", bulkURL, bulk(1), "application/scim+json"},
		{"POST", strings.Replace(bulkURL, spID, strings.ToUpper(spID), 1), bulk(1), "application/scim+json"},
		{"POST", "/beta/servicePrincipals(appId='" + appID + "')/synchronization/jobs/" + jobID + "/bulkUpload", bulk(1), "application/scim+json"},
		{"GET", jobURL, "", ""}, {"GET", jobsURL, "", ""}, {"POST", jobsURL, `{"templateId":"API2AAD"}`, js}, {"DELETE", jobURL, "", ""}, {"POST", jobURL + "/start", "", ""},
		{"PATCH", jobURL, `{"schedule":{"state":"Disabled"}}`, js}, {"GET", jobURL + "/uploads/" + uploadID.String(), "", ""}, {"GET", jobURL + "/schema", "", ""},
		{"PUT", jobURL + "/schema", `{}`, js}, {"GET", theirs + "/synchronization/secrets", "", ""}, {"PUT", theirs + "/synchronization/secrets", `{"value":[]}`, js},
		{"GET", "/v1.0/applications/" + appID + "/synchronization/secrets", "", ""}, {"PUT", "/v1.0/applications(appId='" + appID + "')/synchronization/secrets", `{"value":[]}`, js},
		{"GET", theirs, "", ""}, {"PATCH", theirs, `{"accountEnabled":false}`, js}, {"DELETE", theirs, "", ""}, {"GET", "/v1.0/applications/" + appID, "", ""},
		{"POST", theirs + "/addPassword", `{}`, js}, {"POST", "/v1.0/applications/" + appID + "/addPassword", `{}`, js}, {"DELETE", "/v1.0/applications/" + appID, "", ""},
		{"PATCH", "/v1.0/applications/" + appID, `{"keyCredentials":[]}`, js}, {"POST", theirs + "/owners/$ref", `{"@odata.id":"x/` + callerID.String() + `"}`, js},
		{"POST", "/v1.0/applications/" + appID + "/federatedIdentityCredentials", `{}`, js}, {"PATCH", "/v1.0/applications(uniqueName='new')", `{}`, js},
		{"POST", own + "/appRoleAssignments", `{"principalId":"` + emptySP + `","resourceId":"` + graphSP.String() + `","appRoleId":"` + oauth.RoleIDs["User.ReadWrite.All"].String() + `"}`, js},
		{"POST", "/v1.0/servicePrincipals/" + graphSP.String() + "/appRoleAssignedTo", `{}`, js}, {"GET", "/v1.0/servicePrincipals/" + graphSP.String() + "/appRoleAssignedTo", "", ""},
		{"POST", "/v1.0/servicePrincipals/" + graphSP.String() + "/addPassword", `{}`, js}, {"POST", "/v1.0/oauth2PermissionGrants", `{}`, js}, {"GET", "/v1.0/oauth2PermissionGrants", "", ""},
		{"GET", "/v1.0/auditLogs/provisioning", "", ""}, {"GET", "/v1.0/auditLogs/directoryAudits", "", ""}, {"GET", "/v1.0/users", "", ""},
		{"GET", "/v1.0/servicePrincipals/" + otherSP, "", ""}, {"DELETE", "/v1.0/applications/" + otherSP, "", ""}, // what there is not looks the same
	} {
		status, body := send(r.method, r.path, r.body, r.typ)
		if app := strings.Contains(r.path, "/applications/") || strings.Contains(r.path, "/servicePrincipals/"); r.method == "GET" && app && !strings.Contains(r.path, "/synchronization/") && !strings.HasSuffix(r.path, "/appRoleAssignedTo") {
			if status != 404 || !strings.Contains(body, "does not exist or one of its queried") {
				t.Errorf("%s %s: %d %s", r.method, r.path, status, body)
			}
		} else if status != 403 && status != 401 {
			t.Errorf("%s %s: %d %s", r.method, r.path, status, body)
		}
	}
	// A job of another app does not become one's own by the path.
	for _, path := range []string{"", "/start", "/bulkUpload"} {
		method, typ, body := "POST", "application/scim+json", bulk(1)
		if path == "" {
			method = "GET"
		}
		if status, body := send(method, own+"/synchronization/jobs/"+jobID+path, body, typ); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := send("POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`"}`, js); status != 403 {
		t.Errorf("a service principal for another's application: %d %s", status, body)
	}
	rec := w.send("POST", "/v1.0/$batch", `{"requests":[{"id":"1","method":"GET","url":"/servicePrincipals/`+emptySP+`"},{"id":"2","method":"DELETE","url":"`+strings.TrimPrefix(jobURL, "/v1.0")+`"}]}`,
		"Authorization", token, "Content-Type", js)
	if responses := look(members(t, rec), "responses"); look(responses, 0, "status") != 200.0 || look(responses, 1, "status") != 401.0 {
		t.Errorf("a batch: %d %s", rec.Code, rec.Body)
	}
	if status, body := send("POST", "/v1.0/servicePrincipals", `{"servicePrincipalType":"ManagedIdentity","displayName":"x"}`, js); status != 403 {
		t.Errorf("a managed identity: %d %s", status, body)
	}
	if len(w.fake.did)+len(w.fake.uploads) > 0 {
		t.Errorf("something was done: %v", w.fake.did)
	}
	if all, _ := w.apps.Client(t.Context(), uuid.MustParse(appID)); len(all.Owners)+len(all.Secrets) > 0 {
		t.Errorf("the other's app has changed: %+v", all)
	}

	// What it owns it may lead all the way, and lists show it nothing else.
	for _, r := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", own, "", 200}, {"POST", own + "/addPassword", `{}`, 200}, {"POST", own + "/synchronization/jobs", `{"templateId":"API2AAD"}`, 201},
		{"GET", own + "/synchronization/jobs", "", 200}, {"PUT", own + "/synchronization/secrets", `{"value":[]}`, 204},
		{"POST", "/v1.0/applicationTemplates/" + Gallery()[0].ID + "/instantiate", `{"displayName":"Another"}`, 201},
		{"POST", "/v1.0/applications", `{"displayName":"Client"}`, 201}, {"GET", "/v1.0/servicePrincipals(appId='" + graphAppID + "')", "", 200},
	} {
		if status, body := send(r.method, r.path, r.body, js); status != r.status {
			t.Errorf("%s %s: %d %s, want %d", r.method, r.path, status, body, r.status)
		}
	}
	if p := w.page("/v1.0/applications", "Authorization", token); len(p.Value) != 3 {
		t.Errorf("sees %d applications", len(p.Value))
	}
	if p := w.page("/v1.0/servicePrincipals", "Authorization", token); len(p.Value) != 3 { // one application has none; and Microsoft Graph
		t.Errorf("sees %d service principals", len(p.Value))
	}
	job := w.fake.others[len(w.fake.others)-1]
	if status, body := send("POST", own+"/synchronization/jobs/"+job.ID+"/bulkUpload", bulk(1), "application/scim+json"); status != 202 {
		t.Errorf("an upload to the own app: %d %s", status, body)
	}
}

// TestOwnedOnlyHasAQuota makes apps until there are enough, and lets go of some without that helping.
func TestOwnedOnlyHasAQuota(t *testing.T) {
	w := newWorld(t)
	token := asApp(callerID, "Application.ReadWrite.OwnedBy")
	for i := range mostOwnApps {
		a := &oauth.Client{AppID: uuid.New(), ApplicationID: uuid.New(), Created: w.now, Application: json.RawMessage(`{"createdByAppId":"` + callerID.String() + `"}`)}
		if i > 0 {
			w.put(a)
		}
	}
	send := func(path, token string) int {
		return w.send("POST", path, `{"displayName":"x"}`, "Authorization", token, "Content-Type", "application/json").Code
	}
	gallery := "/v1.0/applicationTemplates/" + Gallery()[0].ID + "/instantiate"
	if code := send(gallery, token); code != 201 {
		t.Errorf("the last one: %d", code)
	}
	for _, path := range []string{gallery, "/v1.0/applications"} {
		if code := send(path, token); code != 403 {
			t.Errorf("%s: %d", path, code)
		}
		if code := send(path, asApp(callerID, "Application.ReadWrite.All")); code != 201 {
			t.Errorf("%s by one that may write all: %d", path, code)
		}
	}
	many := `{"displayName":"x","owners@odata.bind":["x/` + spID + `"` + strings.Repeat(`,"x/`+spID+`"`, mostOwners) + `]}`
	w.must(400, "POST", "/v1.0/applications", many)
}

// TestPersonActs names people, not their apps, as those who did something.
func TestPersonActs(t *testing.T) {
	w := newWorld(t)
	rec := w.send("POST", jobURL+"/start", "", "Authorization", asPerson([]string{"Synchronization.ReadWrite.All"}, hybridAdministrator))
	if rec.Code != 204 || w.fake.actor.Kind != provision.ActorUser || w.fake.actor.Name != "ada@contoso.example" {
		t.Errorf("%d %+v", rec.Code, w.fake.actor)
	}
	rec = w.send("POST", jobURL+"/start", "", "Authorization", asPerson([]string{"Synchronization.ReadWrite.All"}))
	if _, message := errorOf(t, rec); rec.Code != 401 || !strings.Contains(message, appAdministrator) {
		t.Errorf("without a role: %d %s", rec.Code, message)
	}
}
