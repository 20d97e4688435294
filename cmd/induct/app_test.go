package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// as signs in at a service with other credentials than those it printed.
func as(t *testing.T, p *process, clientID, secret string) *client {
	t.Helper()
	env := maps.Clone(p.env)
	env["CLIENT_ID"], env["CLIENT_SECRET"] = clientID, secret
	c, err := signIn(env, newHTTP())
	if err != nil {
		t.Fatalf("sign in: %v\n%s", err, p.stderr.String())
	}
	return c
}

// call sends JSON and reads the answer's members; it wants a status.
func (c *client) call(t *testing.T, status int, method, path, body string) map[string]any {
	t.Helper()
	a, err := c.do(t.Context(), method, c.graph+path, map[string]string{"Content-Type": "application/json"}, []byte(body))
	if err != nil || a.status != status {
		t.Fatalf("%s %s: %d %s, %v; want %d", method, path, a.status, a.body, err, status)
	}
	var members map[string]any
	if len(a.body) > 0 {
		if err := json.Unmarshal(a.body, &members); err != nil {
			t.Fatalf("%s %s: %v %s", method, path, err, a.body)
		}
	}
	return members
}

type registration struct {
	ID, AppID, DisplayName, ApplicationTemplateID string
}

// What the offline commands make is what the wire shows; what the wire makes outlasts a kill; and an app with a token of its own
// reaches what it owns and nothing else.
func TestAppsOverGraph(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	made := execute(t, "app", "create", "--data", dir, "--name", "Feed A")
	admin := execute(t, "app", "client", "--data", dir)
	if made.code != 0 || admin.code != 0 {
		t.Fatalf("%+v %+v", made, admin)
	}
	refuses(t, []string{"Mail.Read", "Synchronization.ReadWrite.All"}, "app", "client", "--data", dir, "--permission", "Mail.Read")
	feed, root := assignments(made.stdout), assignments(admin.stdout)

	p := start(t, dir)
	c := as(t, p, root["CLIENT_ID"], root["CLIENT_SECRET"])
	var names []string
	for _, a := range list[registration](t, c, c.graph+"/applications"+query("$top", "2")) {
		names = append(names, a.DisplayName)
	}
	slices.Sort(names)
	if want := []string{"API-driven to cloud directory", "API-driven to cloud directory client", "Administration", "Feed A", "Feed A client", "Induct admin center"}; !slices.Equal(names, want) {
		t.Errorf("applications %q, want %q", names, want)
	}
	uploader := list[registration](t, c, c.graph+"/servicePrincipals"+query("$filter", "appId eq '"+feed["CLIENT_ID"]+"'"))[0]
	owned := list[registration](t, c, c.graph+"/servicePrincipals/"+uploader.ID+"/ownedObjects")
	if len(owned) != 2 || owned[1].ID != feed["SP_ID"] || owned[0].ApplicationTemplateID == "" {
		t.Errorf("the client of Feed A owns %v", owned)
	}
	if roles := list[struct{ AppRoleID string }](t, c, c.graph+"/servicePrincipals/"+uploader.ID+"/appRoleAssignments"); len(roles) != 2 {
		t.Errorf("it has %v", roles)
	}

	// An app that may lead and feed what it owns.
	app := c.call(t, 201, "POST", "/applications", `{"displayName":"Owner"}`)
	sp := c.call(t, 201, "POST", "/servicePrincipals", fmt.Sprintf(`{"appId":%q}`, app["appId"]))
	secret := c.call(t, 200, "POST", fmt.Sprintf("/applications/%s/addPassword", app["id"]), `{}`)
	var graph struct{ Value []struct{ ID string } }
	c.get(t, c.graph+"/servicePrincipals"+query("$filter", "appId eq '00000003-0000-0000-c000-000000000000'"), &graph)
	for _, role := range []string{"18a4783c-866b-4cc7-a460-3d5e5662c884", "25c32ff3-849a-494b-b94f-20a8ac4e6774"} { // Application.ReadWrite.OwnedBy, …Upload.OwnedBy
		c.call(t, 201, "POST", fmt.Sprintf("/servicePrincipals/%s/appRoleAssignedTo", graph.Value[0].ID),
			fmt.Sprintf(`{"principalId":%q,"resourceId":%q,"appRoleId":%q}`, sp["id"], graph.Value[0].ID, role))
	}
	p.kill()

	p = start(t, dir)
	owner := as(t, p, app["appId"].(string), secret["secretText"].(string))
	var gallery struct{ Value []struct{ ID string } }
	owner.get(t, owner.graph+"/applicationTemplates", &gallery)
	both := owner.call(t, 201, "POST", "/applicationTemplates/"+gallery.Value[0].ID+"/instantiate", `{"displayName":"Feed B"}`)
	own := "/servicePrincipals/" + both["servicePrincipal"].(map[string]any)["id"].(string) + "/synchronization"
	job := owner.call(t, 201, "POST", own+"/jobs", `{"templateId":"API2AAD"}`)["id"].(string)
	owner.call(t, 204, "PUT", own+"/secrets", `{"value":[{"key":"SyncNotificationSettings","value":"{\"Enabled\":true,\"Recipients\":\"hr@people.example\"}"}]}`)
	owner.call(t, 204, "POST", own+"/jobs/"+job+"/start", "")
	body := bulk([]map[string]any{{"method": "POST", "bulkId": "1", "path": "/Users", "data": newLedger(1).person("own", "own")}})
	send := func(target string) int {
		t.Helper()
		a, err := owner.do(t.Context(), "POST", owner.graph+target+"/bulkUpload", map[string]string{"Content-Type": "application/scim+json"}, body)
		if err != nil {
			t.Fatal(err)
		}
		return a.status
	}
	theirs := "/servicePrincipals/" + feed["SP_ID"] + "/synchronization/jobs/" + feed["JOB_ID"]
	for target, want := range map[string]int{own + "/jobs/" + job: http.StatusAccepted, theirs: http.StatusForbidden, own + "/jobs/" + feed["JOB_ID"]: http.StatusNotFound} {
		if got := send(target); got != want {
			t.Errorf("an upload to %s: %d, want %d", target, got, want)
		}
	}
	if seen := list[registration](t, owner, owner.graph+"/applications"); len(seen) != 2 { // itself and Feed B
		t.Errorf("it sees %v", seen)
	}
	owner.call(t, http.StatusNotFound, "GET", "/servicePrincipals/"+feed["SP_ID"], "") // as if there were none
	for _, r := range [][3]string{{"POST", "/servicePrincipals/" + feed["SP_ID"] + "/addPassword", "{}"},
		{"POST", "/servicePrincipals/" + sp["id"].(string) + "/appRoleAssignments", "{}"}, {"GET", "/users", ""}, {"GET", "/auditLogs/provisioning", ""}} {
		owner.call(t, http.StatusForbidden, r[0], r[1], r[2])
	}

	// With the application go its job and its credentials.
	c = as(t, p, root["CLIENT_ID"], root["CLIENT_SECRET"])
	c.call(t, 204, "DELETE", "/applications/"+both["application"].(map[string]any)["id"].(string), "")
	c.call(t, 404, "GET", own+"/jobs/"+job, "")
	c.call(t, 204, "DELETE", "/applications/"+app["id"].(string), "")
	env := maps.Clone(p.env)
	env["CLIENT_ID"], env["CLIENT_SECRET"] = app["appId"].(string), secret["secretText"].(string)
	if _, err := signIn(env, newHTTP()); err == nil {
		t.Error("a deleted app still gets tokens")
	}
	if code := p.stop(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// person signs somebody in through the admin center's client.
func (p *process) person(t *testing.T, name string) *client {
	t.Helper()
	tenant := p.env["TENANT_ID"]
	base := strings.TrimSuffix(p.env["AUTHORITY"], "/"+tenant)
	app := uuid.NewSHA1(uuid.MustParse(tenant), []byte("admin-center app")).String()
	b := browse(t)
	q := url.Values{"client_id": {app}, "response_type": {"code"}, "redirect_uri": {base + "/"}, "scope": {"openid .default"}, "code_challenge": {pkceSum}, "code_challenge_method": {"S256"}}
	res, err := b.Get(p.env["AUTHORITY"] + "/oauth2/v2.0/authorize?" + q.Encode())
	_, _, page := read(t, res, err)
	res, err = b.PostForm(p.env["AUTHORITY"]+"/login", url.Values{"csrf": {field(page, "csrf")}, "request": {field(page, "request")}, "username": {name}, "password": {testPassword}})
	_, to, _ := read(t, res, err)
	u, err := url.Parse(to)
	if err != nil || u.Query().Get("code") == "" {
		t.Fatalf("%s got no code: %s", name, to)
	}
	res, err = http.PostForm(p.env["AUTHORITY"]+"/oauth2/v2.0/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {app}, "redirect_uri": {base + "/"}, "code": {u.Query().Get("code")}, "code_verifier": {pkce}})
	status, _, text := read(t, res, err)
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 {
		t.Fatalf("%s got no token: %d %s", name, status, text)
	}
	c := p.client(t)
	c.token = answer.Token
	return c
}

// What people may do is what their directory roles allow, and the audit log names them.
func TestPeopleOverGraph(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	roles := map[string]string{"admin": "Hybrid Identity Administrator", "people": "User Administrator", "logs": "Reports Reader", "reader": "Global Reader", "root": "Global Administrator", "nobody": ""}
	for name, role := range roles {
		args := []string{"user", "create", name + "@fabrikam.example", "--data", dir}
		if role != "" {
			args = append(args, "--role", role)
		}
		if r := input(t, testPassword, args...); r.code != 0 {
			t.Fatalf("%s: %+v", name, r)
		}
	}
	p := start(t, dir)
	clients := map[string]*client{}
	for name := range roles {
		clients[name] = p.person(t, name+"@fabrikam.example")
	}
	job := strings.TrimPrefix(p.client(t).job, p.env["GRAPH_BASE"])
	sp := strings.Split(job, "/synchronization")[0]
	for _, r := range []struct {
		method, path, body string
		those              string // whom it is for
	}{
		{"GET", job, "", "admin reader root"},
		{"GET", job + "/schema", "", "admin reader root"},
		{"POST", job + "/start", "", "admin root"},
		{"POST", job + "/bulkUpload", "{", "people root"},
		{"GET", "/users", "", "admin people reader root"},
		{"GET", "/auditLogs/provisioning", "", "admin logs reader root"},
		{"GET", sp, "", "admin reader root"},
		{"PATCH", sp, `{"notes":"n"}`, "admin root"},
		{"POST", sp + "/appRoleAssignments", "{}", "root"},
		{"GET", "/applicationTemplates", "", "admin people logs reader root nobody"},
	} {
		for name, c := range clients {
			a, err := c.do(t.Context(), r.method, c.graph+r.path, map[string]string{"Content-Type": "application/json"}, []byte(r.body))
			if err != nil {
				t.Fatal(err)
			}
			if through := a.status != http.StatusForbidden && a.status != http.StatusUnauthorized; through != slices.Contains(strings.Fields(r.those), name) {
				t.Errorf("%s %s by %s: %d %s", r.method, r.path, name, a.status, a.body)
			}
		}
	}
	made := clients["admin"].call(t, 201, "POST", "/applications", `{"displayName":"By a person"}`)
	var audits struct {
		Value []struct {
			InitiatedBy struct {
				User struct{ ID, DisplayName string }
			}
		}
	}
	clients["logs"].get(t, p.env["GRAPH_BASE"]+"/auditLogs/directoryAudits"+query("$filter", "activityDisplayName eq 'Add application'", "$top", "1"), &audits)
	if len(audits.Value) != 1 || audits.Value[0].InitiatedBy.User.DisplayName != "admin@fabrikam.example" {
		t.Errorf("who made %v: %v", made["id"], audits)
	}
}
