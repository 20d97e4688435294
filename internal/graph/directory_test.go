package graph

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

func TestOrganizationAndDomains(t *testing.T) {
	w := newWorld(t)
	for target, parts := range map[string][]string{
		"/v1.0/organization":                            {`"id":"` + tenantID.String(), `"displayName":"Contoso"`, `"verifiedDomains":[{"capabilities":"","isDefault":true,"isInitial":true,"name":"contoso.example","type":"Managed"}]`, `$metadata#organization"`},
		"/beta/organization?$select=id,verifiedDomains": {`$metadata#organization(id,verifiedDomains)","value":[{"id":"`},
		"/v1.0/organization?$filter=verifiedDomains/any(d:d/name eq 'contoso.example' and d/isDefault eq true)&$select=id": {tenantID.String()},
		"/v1.0/organization?$filter=verifiedDomains/$count gt 1":                                                           {`"value":[]`},
		"/v1.0/organization/" + tenantID.String():                                                                          {`$metadata#organization/$entity","id":"`},
		"/v1.0/organization/$count":                                                                                        {"1"},
		"/v1.0/domains":                                                                                                    {`"id":"contoso.example"`, `"authenticationType":"Managed"`},
		"/v1.0/domains?$filter=isDefault eq false":                                                                         {`"value":[]`},
		"/v1.0/domains('Contoso.example')?$select=id":                                                                      {`"id":"contoso.example"}`},
		"/v1.0/groups": {`$metadata#groups","value":[]`},
		"/v1.0/groups?$filter=startswith(displayName,'a') and groupTypes/any(g:g eq 'Unified')&$top=5": {`"value":[]`},
		"/v1.0/directoryRoles?$filter=roleTemplateId eq '62e90394-69f5-4237-9190-012177145e10'":        {`"displayName":"Global Administrator"`},
		"/v1.0/directoryRoles(roleTemplateId='fe930be7-5e62-47db-91af-98c3a49a38b1')":                  {`"displayName":"User Administrator"`},
		"/v1.0/directoryRoleTemplates":                                      {`"displayName":"Global Reader"`},
		"/v1.0/directoryRoleTemplates/f2ef992c-3afb-46b9-b7cf-a126ee74c451": {`"displayName":"Global Reader"`},
	} {
		rec := w.get(strings.ReplaceAll(target, " ", "%20"))
		for _, part := range parts {
			if rec.Code != 200 || !strings.Contains(rec.Body.String(), part) {
				t.Errorf("%s: %s is missing in %d %s", target, part, rec.Code, rec.Body)
			}
		}
	}
	p := w.page("/v1.0/groups?$count=true&$search=%22displayName:a%22", "ConsistencyLevel", "eventual")
	if p.Count == nil || *p.Count != 0 {
		t.Errorf("%+v", p)
	}
}

func TestDirectoryErrors(t *testing.T) {
	w := newWorld(t)
	const none = "3f6e0d59-6a0b-4a0e-9e0c-0d3d6f3f5e10"
	for target, want := range map[string]string{
		"/v1.0/organization/" + none:             "404 Request_ResourceNotFound",
		"/v1.0/organization?$filter=nope eq 1":   "400 BadRequest",
		"/v1.0/organization?$top=0":              "400 BadRequest",
		"/v1.0/organization?$orderby=id":         "400 Request_UnsupportedQuery",
		"/v1.0/organization?$expand=extensions":  "400 Request_UnsupportedQuery",
		"/v1.0/organization?$skiptoken=x":        "400 BadRequest",
		"/v1.0/domains/fabrikam.example":         "404 Request_ResourceNotFound",
		"/v1.0/domains(name='contoso.example')":  "400 BadRequest",
		"/v1.0/groups/" + none:                   "404 Request_ResourceNotFound",
		"/v1.0/groups(uniqueName='x')":           "404 Request_ResourceNotFound",
		"/v1.0/groups(name='x')":                 "400 BadRequest",
		"/v1.0/groups/" + none + "/members":      "404 Request_ResourceNotFound",
		"/v1.0/groups/" + none + "/members/$ref": "404 Request_ResourceNotFound",
		"/v1.0/groups?$filter=nope eq 'x'":       "400 BadRequest",
		"/v1.0/groups?$search=\"displayName:a\"": "400 Request_UnsupportedQuery",
		"/v1.0/groups/$count":                    "400 Request_BadRequest",
		"/v1.0/directoryRoles/" + none:           "404 Request_ResourceNotFound",
		"/v1.0/directoryRoles(name='x')":         "400 BadRequest",
		"/v1.0/directoryRoleTemplates/" + none:   "404 Request_ResourceNotFound",
		"/v1.0/directoryObjects/" + none:         "404 Request_ResourceNotFound",
		"/v1.0/directoryObjects/x":               "404 Request_ResourceNotFound",
		"/v1.0/directoryObjects":                 "400 BadRequest",
		"/v1.0/me":                               "400 BadRequest",
		"/v1.0/me/manager":                       "400 BadRequest",
		"/v1.0/$metadata":                        "501 NotImplemented",
		"/v1.0/users/delta()":                    "501 NotImplemented",
		"/v1.0/users/microsoft.graph.delta":      "501 NotImplemented",
		"/v1.0/users/nobody/memberOf":            "404 Request_ResourceNotFound",
		"/v1.0/users/nobody/directReports":       "404 Request_ResourceNotFound",
	} {
		rec := w.get(strings.ReplaceAll(target, " ", "%20"))
		if code, _ := errorOf(t, rec); fmt.Sprint(rec.Code, " ", code) != want {
			t.Errorf("%s: %d %s, want %s", target, rec.Code, rec.Body, want)
		}
	}
	if rec := w.send("DELETE", "/v1.0/organization", ""); rec.Code != 405 || rec.Header().Get("Allow") != "GET" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := w.send("POST", "/v1.0/groups", "{}", "Content-Type", "application/json", "Authorization", "Bearer Group.ReadWrite.All"); rec.Code != 501 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestDirectoryPermissions asks with a token that opens nothing but what any token does.
func TestDirectoryPermissions(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{"organization", "domains", "groups", "groups/x", "directoryRoles", "directoryRoles/x/members", "directoryRoleTemplates", "directoryObjects/x", "users/x/directReports", "users/x/memberOf"} {
		if rec := w.get("/v1.0/"+target, "Authorization", "Bearer ProvisioningLog.Read.All"); rec.Code != 403 {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
}

// asUser is a token of the person with this object id.
func asUser(id string) string {
	return bearer(oauth.Principal{ObjectID: uuid.MustParse(id), User: true, Scopes: []string{"User.Read"}})
}

func TestMe(t *testing.T) {
	w := userWorld(t)
	ana := w.fake.users[1].ID
	for path, want := range map[string]string{
		"":                                        `"displayName":"Ana"`,
		"?$select=employeeId":                     `"employeeId":"a-1"`,
		"/manager?$select=displayName":            `"displayName":"Cleo"`,
		"/directReports?$select=displayName":      `"value":[{"@odata.type":"#microsoft.graph.user","displayName":"Ben"}]`,
		"/memberOf":                               `"value":[]`,
		"/memberOf/microsoft.graph.group/$count":  "0",
		"/transitiveMemberOf/graph.directoryRole": `"value":[]`,
	} {
		rec := w.get("/v1.0/me"+path, "Authorization", asUser(ana), "ConsistencyLevel", "eventual")
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	if rec := w.get("/v1.0/me", "Authorization", asUser(otherSP)); rec.Code != 404 {
		t.Errorf("a person without a user: %d", rec.Code)
	}
	openID := bearer(oauth.Principal{ObjectID: uuid.MustParse(ana), User: true, Scopes: []string{"openid", "profile"}})
	for _, path := range []string{"", "/manager", "/manager/$ref", "/directReports", "/memberOf"} {
		if rec := w.get("/v1.0/me"+path, "Authorization", openID); rec.Code != 403 {
			t.Errorf("/me%s by a token that is for signing in alone: %d %s", path, rec.Code, rec.Body)
		}
	}
}

func TestDirectoryObjects(t *testing.T) {
	w := userWorld(t)
	ana := w.fake.users[1].ID
	roles := w.page("/v1.0/directoryRoles").Value
	role := roles[0]["id"].(string)
	for id, kind := range map[string]string{ana: "user", strings.ToUpper(ana): "user", spID: "servicePrincipal", role: "directoryRole"} {
		if rec := w.get("/v1.0/directoryObjects/" + id); rec.Code != 200 || !strings.Contains(rec.Body.String(), `"@odata.type":"#microsoft.graph.`+kind+`"`) {
			t.Errorf("%s: %d %s", kind, rec.Code, rec.Body)
		}
	}
	byIDs := func(ids, types string) string {
		rec := w.send("POST", "/v1.0/directoryObjects/microsoft.graph.getByIds?$select=id", `{"ids":[`+ids+`],"types":[`+types+`]}`, "Content-Type", "application/json")
		return strings.ReplaceAll(rec.Body.String(), "#microsoft.graph.", "")
	}
	all := fmt.Sprintf("%q,%q,%q,%q,%q", spID, ana, otherSP, ana, role)
	for types, want := range map[string]string{
		``:               `[{"@odata.type":"servicePrincipal","id":"` + spID + `"},{"@odata.type":"user","id":"` + ana + `"},{"@odata.type":"directoryRole","id":"` + role + `"}]`,
		`"User","group"`: `[{"@odata.type":"user","id":"` + ana + `"}]`,
		`"group"`:        `[]`,
	} {
		if got := byIDs(all, types); !strings.Contains(got, `"value":`+want+"}") {
			t.Errorf("%s: %s", types, got)
		}
	}
	for ids, want := range map[string]string{``: "ids holds 0 object ids", `"x"`: "Invalid object identifier 'x'.", strings.Repeat(`"`+ana+`",`, 1000) + `"` + ana + `"`: "ids holds 1001 object ids", `1`: "The body is not as expected"} {
		if got := byIDs(ids, ""); !strings.Contains(got, want) {
			t.Errorf("%.40s: %s", ids, got)
		}
	}
}

func TestRoleMembers(t *testing.T) {
	var asked string
	var w *world
	w = newWorld(t, func(c *Config) {
		c.RoleMembers = func(_ context.Context, template string) ([]string, error) {
			asked = template
			return []string{w.fake.users[0].ID, otherSP}, nil
		}
	})
	w.fake.addUser("Ana", nil)
	if got := w.page("/v1.0/users/ana@contoso.example/transitiveMemberOf/microsoft.graph.directoryRole?$select=displayName"); len(got.Value) != 8 || got.Value[0]["displayName"] != "Global Administrator" {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct{ action, body, want string }{
		{"getMemberGroups", `{"securityEnabledOnly":false}`, `"value":[]`},
		{"microsoft.graph.getMemberObjects", `{}`, w.page("/v1.0/directoryRoles").Value[7]["id"].(string)},
		{"checkMemberGroups", `{"groupIds":["` + otherSP + `"]}`, `"value":[]`},
		{"checkMemberObjects", `{"ids":["` + otherSP + `"]}`, `"value":[]`},
		{"checkMemberObjects", `{"ids":[]}`, `The body has 0 ids`},
		{"getMemberGroups", `[]`, `The body is an array`},
	} {
		rec := w.send("POST", "/v1.0/users/ana@contoso.example/"+c.action, c.body, "Content-Type", "application/json")
		if !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s", c.action, c.body, rec.Code, rec.Body)
		}
	}
	p := w.page("/v1.0/directoryRoles(roleTemplateId='62e90394-69f5-4237-9190-012177145e10')/members?$select=id")
	if asked != "62e90394-69f5-4237-9190-012177145e10" || len(p.Value) != 1 || p.Value[0]["id"] != w.fake.users[0].ID {
		t.Errorf("%s: %+v", asked, p)
	}
	// Whoever may change users may not change this one, but for a Global Administrator.
	user := "/v1.0/users/" + w.fake.users[0].ID
	for who, want := range map[string]int{"Bearer all": 403, "Bearer " + person(t, "User Administrator"): 403, "Bearer " + person(t, "Global Administrator"): 204} {
		if rec := w.send("PATCH", user, `{"city":"Bergen"}`, "Content-Type", "application/json", "Authorization", who); rec.Code != want {
			t.Errorf("PATCH: %d %s, want %d", rec.Code, rec.Body, want)
		}
	}
	if rec := w.send("DELETE", user, "", "Authorization", "Bearer "+person(t, "User Administrator")); rec.Code != 403 {
		t.Errorf("DELETE: %d %s", rec.Code, rec.Body)
	}
	if p := newWorld(t).page("/v1.0/directoryRoles(roleTemplateId='62e90394-69f5-4237-9190-012177145e10')/members"); len(p.Value) != 0 {
		t.Errorf("%+v", p)
	}
}

// person is a token of somebody with a directory role and every scope of users.
func person(t *testing.T, role string) string {
	t.Helper()
	text, err := json.Marshal(oauth.Principal{User: true, Scopes: []string{"User.ReadWrite.All", "User.DeleteRestore.All"}, DirectoryRoles: []string{oauth.DirectoryRoles[role]}})
	if err != nil {
		t.Fatal(err)
	}
	return "p." + base64.RawURLEncoding.EncodeToString(text)
}
