package graph

import (
	"net/http/httptest"
	"strings"
	"testing"
)

const deletedURL = "/v1.0/directory/deletedItems"

// deletedWorld has three users in deleted items, Ben, Ana and Cleo in the order of their deletion, and Dan who is live.
func deletedWorld(t testing.TB) *world {
	w := userWorld(t)
	w.fake.addUser("Dan", map[string]string{"manager": w.fake.users[0].ID})
	for _, name := range []string{"ben", "ana", "cleo"} {
		if rec := w.send("DELETE", "/v1.0/users/"+name+"@contoso.example", ""); rec.Code != 204 || rec.Body.Len() > 0 {
			t.Fatalf("delete %s: %d %s", name, rec.Code, rec.Body)
		}
	}
	return w
}

// idOf returns the id of a user, deleted or not.
func (w *world) idOf(name string) string {
	w.t.Helper()
	for _, u := range w.fake.users {
		if u.Attributes["displayName"].String() == name {
			return u.ID
		}
	}
	w.t.Fatalf("no user %s", name)
	return ""
}

func TestDeletedUsersAreNoUsers(t *testing.T) {
	w := deletedWorld(t)
	if got := w.names("/v1.0/users?$top=1"); got != "Dan" {
		t.Errorf("users are %s", got)
	}
	for _, target := range []string{"/v1.0/users/ana@contoso.example", "/v1.0/users/" + w.idOf("Ana"), "/v1.0/users/dan@contoso.example/manager"} {
		rec := w.get(target)
		if code, _ := errorOf(t, rec); rec.Code != 404 || code != "Request_ResourceNotFound" {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
	if rec := w.get("/v1.0/users/dan@contoso.example?$expand=manager"); rec.Code != 200 || strings.Contains(rec.Body.String(), "manager") {
		t.Errorf("a deleted manager is shown: %s", rec.Body)
	}
	for _, id := range []string{"ana@contoso.example", w.idOf("Ana"), "nobody"} {
		if rec := w.send("DELETE", "/v1.0/users/"+id, ""); rec.Code != 404 {
			t.Errorf("delete %s: %d %s", id, rec.Code, rec.Body)
		}
	}
}

func TestListDeletedItems(t *testing.T) {
	w := deletedWorld(t)
	for query, want := range map[string]string{
		"":        "Cleo Ana Ben",
		"?$top=2": "Cleo Ana Ben",
		"?$top=1&$filter=startswith(displayName,'A') or employeeId eq 'b-1'": "Ana Ben",
		"?$orderby=deletedDateTime desc":                                     "Cleo Ana Ben",
		"?$orderby=deletedDateTime&$top=1":                                   "Ben Ana Cleo",
		"?$orderby=displayName&$top=2":                                       "Ana Ben Cleo",
		"?$filter=userPrincipalName eq 'ANA@contoso.example'":                "Ana",
		"?$filter=userPrincipalName eq 'dan@contoso.example'":                "",
		"?$filter=deletedDateTime ge 2026-08-20T09:00:02Z":                   "Cleo Ana",
		"?$filter=id eq '" + w.idOf("Ben") + "'":                             "Ben",
		"?$filter=id eq '" + w.idOf("Dan") + "'":                             "",
	} {
		for _, users := range []string{"microsoft.graph.user", "graph.user"} {
			if got := w.names(deletedURL + "/" + users + strings.ReplaceAll(query, " ", "%20")); got != want {
				t.Errorf("%s%s: %q, want %q", users, query, got, want)
			}
		}
	}
	p := w.page("/beta/directory/deleteditems/microsoft.graph.user?$count=true&$orderby=deletedDateTime%20desc&$select=id,displayName,deletedDateTime&$top=2", "ConsistencyLevel", "eventual")
	if p.Count == nil || *p.Count != 3 || p.Value[0]["deletedDateTime"] != "2026-08-20T09:00:03Z" || len(p.Value[0]) != 3 || !strings.HasSuffix(p.Context, "/beta/$metadata#users(id,displayName,deletedDateTime)") {
		t.Errorf("%+v, %v", p, p.Count)
	}
	if rec := w.get(p.Next[strings.Index(p.Next, "/beta"):]); rec.Code != 200 || strings.Contains(rec.Body.String(), "nextLink") {
		t.Errorf("the next page: %d %s", rec.Code, rec.Body)
	}
	if p := w.page(deletedURL + "/microsoft.graph.user"); p.Value[0]["deletedDateTime"] == nil || p.Value[0]["businessPhones"] == nil {
		t.Errorf("the usual properties are %v", p.Value[0])
	}
	rec := w.get(deletedURL+"/microsoft.graph.user/$count?$filter=startswith(displayName,'A')", "ConsistencyLevel", "eventual")
	if rec.Body.String() != "1" {
		t.Errorf("$count: %d %s", rec.Code, rec.Body)
	}
	token := p.Next[strings.Index(p.Next, "$skiptoken"):]
	for _, target := range []string{
		deletedURL + "/microsoft.graph.user?$orderby=mail", deletedURL + "/microsoft.graph.user?$top=1000", deletedURL + "/microsoft.graph.user?$skip=1",
		deletedURL + "/microsoft.graph.user?$filter=nothing%20eq%201", deletedURL + "/microsoft.graph.user/$count", deletedURL,
		"/v1.0/users?$orderby=deletedDateTime", "/v1.0/users?" + token,
	} {
		if rec := w.get(target); rec.Code != 400 {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
}

func TestDeletedItem(t *testing.T) {
	w := deletedWorld(t)
	for _, target := range []string{"/" + w.idOf("Ana"), "/" + strings.ToUpper(w.idOf("Ana")), "('" + w.idOf("Ana") + "')"} {
		rec := w.get(deletedURL + target)
		for _, part := range []string{`$metadata#directoryObjects/$entity"`, `"@odata.type":"#microsoft.graph.user"`, `"displayName":"Ana"`, `"deletedDateTime":"2026-08-20T09:00:02Z"`} {
			if !strings.Contains(rec.Body.String(), part) {
				t.Errorf("%s: %s is missing in %d %s", target, part, rec.Code, rec.Body)
			}
		}
	}
	if rec := w.get(deletedURL + "/" + w.idOf("Ana") + "/microsoft.graph.user?$select=displayName"); !strings.Contains(rec.Body.String(), `$metadata#users(displayName)/$entity","displayName":"Ana"}`) {
		t.Errorf("as a user: %d %s", rec.Code, rec.Body)
	}
	for _, id := range []string{w.idOf("Dan"), "ana@contoso.example", "no id", "microsoft.graph.group"} {
		rec := w.get(deletedURL + "/" + strings.ReplaceAll(id, " ", "%20"))
		if code, _ := errorOf(t, rec); rec.Code != 404 || code != "Request_ResourceNotFound" {
			t.Errorf("%s: %d %s", id, rec.Code, rec.Body)
		}
	}
}

func TestRestore(t *testing.T) {
	restore := func(w *world, name, body string, headers ...string) *httptest.ResponseRecorder {
		return w.send("POST", deletedURL+"/"+w.idOf(name)+"/microsoft.graph.restore", body, headers...)
	}
	w := deletedWorld(t)
	rec := restore(w, "Ana", "")
	for _, part := range []string{`$metadata#directoryObjects/$entity"`, `"@odata.type":"#microsoft.graph.user"`, `"displayName":"Ana"`, `"id":"` + w.idOf("Ana")} {
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), part) {
			t.Errorf("%s is missing in %d %s", part, rec.Code, rec.Body)
		}
	}
	if rec := w.get("/v1.0/users/ana@contoso.example?$select=deletedDateTime"); !strings.Contains(rec.Body.String(), `"deletedDateTime":null`) {
		t.Errorf("restored: %d %s", rec.Code, rec.Body)
	}
	if rec := restore(w, "Ana", ""); rec.Code != 404 {
		t.Errorf("restored once more: %d %s", rec.Code, rec.Body)
	}
	for body, want := range map[string]string{`[]`: "BadRequest", `{`: "BadRequest", `{"newUserPrincipalName":7}`: "BadRequest",
		`{"newUserPrincipalName":"ben"}`:                 `"code":"InvalidValue","message":"it has no @","target":"userPrincipalName"`,
		`{"newUserPrincipalName":"ANA@contoso.example"}`: `"code":"ObjectConflict","message":"Another object with the same value for property userPrincipalName already exists.","target":"userPrincipalName"`,
	} {
		if rec := restore(w, "Ben", body, "Content-Type", "application/json"); rec.Code != 400 || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	rec = restore(w, "Ben", zip(`{"autoReconcileProxyConflict":true,"newUserPrincipalName":" ben2@contoso.example"}`), "Content-Type", "application/json", "Content-Encoding", "gzip")
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), `"userPrincipalName":"ben2@contoso.example"`) {
		t.Errorf("under another name: %d %s", rec.Code, rec.Body)
	}
}

func TestDeleteForever(t *testing.T) {
	w := deletedWorld(t)
	id := w.idOf("Ana")
	if rec := w.send("DELETE", deletedURL+"/"+w.idOf("Dan"), ""); rec.Code != 404 {
		t.Errorf("a live user: %d %s", rec.Code, rec.Body)
	}
	if rec := w.send("DELETE", deletedURL+"/"+id, ""); rec.Code != 204 || rec.Body.Len() > 0 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if rec := w.send(method, deletedURL+"/"+id, ""); rec.Code != 404 {
			t.Errorf("%s: %d %s", method, rec.Code, rec.Body)
		}
	}
	if got := w.names(deletedURL + "/microsoft.graph.user"); got != "Cleo Ben" {
		t.Errorf("deleted items are %s", got)
	}
}

func TestDeletionPermissions(t *testing.T) {
	w := deletedWorld(t)
	for _, request := range [][2]string{{"DELETE", "/v1.0/users/dan@contoso.example"}, {"POST", deletedURL + "/" + w.idOf("Ana") + "/restore"}, {"DELETE", deletedURL + "/" + w.idOf("Ben")}} {
		for role, want := range map[string]bool{"User.Read.All": false, "Directory.Read.All": false, "Synchronization.ReadWrite.All": false, "User.DeleteRestore.All": true, "User.ReadWrite.All": true} {
			rec := w.send(request[0], request[1], "", "Authorization", "Bearer "+role)
			if got := rec.Code != 403; got != want {
				t.Errorf("%s %s with %s: %d %s", request[0], request[1], role, rec.Code, rec.Body)
			}
		}
	}
	for role, want := range map[string]int{"User.Read.All": 200, "User.DeleteRestore.All": 403} {
		if rec := w.get(deletedURL+"/microsoft.graph.user", "Authorization", "Bearer "+role); rec.Code != want {
			t.Errorf("list with %s: %d, want %d", role, rec.Code, want)
		}
	}
}
