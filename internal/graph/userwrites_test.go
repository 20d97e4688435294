package graph

import (
	"fmt"
	"strings"
	"testing"
)

const newUser = `{"accountEnabled":true,"displayName":"Dana","mailNickname":"dana","userPrincipalName":"dana@contoso.example","passwordProfile":{"password":"not kept","forceChangePasswordNextSignIn":true}`

func TestPostUser(t *testing.T) {
	w := userWorld(t)
	rec := w.send("POST", "/v1.0/users", newUser+`,"@odata.type":"#microsoft.graph.user","businessPhones":["+1 555 0109"],"employeeOrgData":{"costCenter":"77"},"extension_0123_grade":"9","OfficeLocation":"18/2","memberOf":null}`, "Content-Type", "application/json")
	if rec.Code == 201 {
		t.Fatal("memberOf is no property that can be set")
	}
	rec = w.send("POST", "/v1.0/users", newUser+`,"@odata.type":"#microsoft.graph.user","businessPhones":["+1 555 0109"],"employeeOrgData":{"costCenter":"77"},"extension_0123_grade":"9","OfficeLocation":"18/2","imAddresses":[]}`, "Content-Type", "application/json")
	id := w.fake.users[len(w.fake.users)-1].ID
	if rec.Code != 201 || rec.Header().Get("Location") != "https://graph.contoso.example/v1.0/users/"+id || !strings.Contains(rec.Body.String(), `$metadata#users/$entity","id":"`+id) {
		t.Fatalf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	got := w.get("/v1.0/users/dana@contoso.example?$select=businessPhones,employeeOrgData,extension_0123_grade,officeLocation,userType,passwordProfile,accountEnabled").Body.String()
	for _, part := range []string{`"businessPhones":["+1 555 0109"]`, `"costCenter":"77"`, `"extension_0123_grade":"9"`, `"officeLocation":"18/2"`, `"userType":"Member"`, `"passwordProfile":null`, `"accountEnabled":true`} {
		if !strings.Contains(got, part) {
			t.Errorf("%s is missing in %s", part, got)
		}
	}
	if strings.Contains(w.log.String()+strings.Join(w.fake.did, ""), "not kept") {
		t.Error("the password went somewhere")
	}
}

// TestUsersStaySmall has a user grow by what may be sent any number of times.
func TestUsersStaySmall(t *testing.T) {
	w := userWorld(t)
	extensions := func(from, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"extension_0123_x%d":"v"`, from+i)
		}
		return b.String()
	}
	long := `["a@fabrikam.example"` + strings.Repeat(`,"a@fabrikam.example"`, mostElements) + `]`
	w.must(400, "POST", "/v1.0/users", newUser+extensions(0, 101)+"}")
	const ana = "/v1.0/users/ana@contoso.example"
	w.must(204, "PATCH", ana, `{"jobTitle":"Lead"`+extensions(0, 90)+"}")
	w.must(400, "PATCH", ana, `{"jobTitle":"Lead"`+extensions(90, 11)+"}")
	w.must(204, "PATCH", ana, `{"extension_0123_x0":null`+extensions(90, 10)+"}")
	w.must(204, "PATCH", ana, `{"extension_0123_x1":"w"}`)
	w.must(400, "PATCH", ana, `{"otherMails":`+long+"}")
	w.must(400, "PATCH", ana, `{"extension_0123_x1":`+long+"}")
	for _, at := range []string{"0000-06-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"} {
		w.must(400, "PATCH", ana, `{"employeeHireDate":"`+at+`"}`)
	}
}

func TestPatchUser(t *testing.T) {
	w := userWorld(t)
	for _, c := range []struct{ body, property, want string }{
		{`{"jobTitle":"Lead","mobilePhone":"+1 555 0177"}`, "jobTitle,mobilePhone", `"mobilePhone":"+1 555 0177","jobTitle"`},
		{`{"jobTitle":null}`, "jobTitle", `"jobTitle":null`},
		{`{"businessPhones":[]}`, "businessPhones", `"businessPhones":[]`},
		{`{"businessPhones":["5"]}`, "businessPhones", `"businessPhones":["5"]`},
		{`{"otherMails":["a@fabrikam.example","b@fabrikam.example"]}`, "otherMails", `"otherMails":["a@fabrikam.example","b@fabrikam.example"]`},
		{`{"employeeHireDate":"2026-09-01T02:00:00+02:00"}`, "employeeHireDate", `"employeeHireDate":"2026-09-01T00:00:00Z"`},
		{`{"onPremisesExtensionAttributes":{"extensionAttribute3":null,"extensionAttribute4":"x4"}}`, "onPremisesExtensionAttributes", `"extensionAttribute3":null,"extensionAttribute4":"x4"`},
		{`{"employeeOrgData":null}`, "employeeOrgData", `"employeeOrgData":null`},
		{`{"accountEnabled":false}`, "accountEnabled", `"accountEnabled":false`},
		{`{"userPrincipalName":"ana@contoso.example"}`, "userPrincipalName", `"userPrincipalName":"ana@contoso.example"`},
		{`{}`, "displayName", `"displayName":"Ana"`},
		{`{"passwordProfile":{"password":"not kept"}}`, "displayName", `"displayName":"Ana"`},
	} {
		rec := w.send("PATCH", "/v1.0/users/ana@contoso.example", c.body, "Content-Type", "application/json")
		if rec.Code != 204 {
			t.Errorf("%s: %d %s", c.body, rec.Code, rec.Body)
		}
		got := w.get("/v1.0/users/ana@contoso.example?$select=" + c.property).Body.String()
		for _, part := range strings.Split(c.want, `,"jobTitle"`) {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %s is missing in %s", c.body, part, got)
			}
		}
	}
}

func TestUserWritesRefused(t *testing.T) {
	for _, c := range []struct {
		method, body string
		status       int
		code, part   string
	}{
		{"POST", `{}`, 400, "Request_BadRequest", "A value is required for property 'accountEnabled' of resource 'User'."},
		{"POST", strings.Replace(newUser, "dana@", "ana@", 1) + "}", 400, "Request_BadRequest", `"details":[{"code":"ObjectConflict","message":"Another object with the same value for property userPrincipalName already exists.","target":"userPrincipalName"}]`},
		{"POST", strings.Replace(newUser, "dana@contoso.example", "dana", 1) + "}", 400, "Request_BadRequest", "Property userPrincipalName is invalid."},
		{"POST", strings.Replace(newUser, "not kept", "", 1) + "}", 400, "Request_BadRequest", "A value is required for property 'passwordProfile'"},
		{"POST", strings.Replace(newUser, `"displayName":"Dana"`, `"displayName":""`, 1) + "}", 400, "Request_BadRequest", "A value is required for property 'displayName'"},
		{"PATCH", `{"nope":1}`, 400, "Request_BadRequest", "Invalid property 'nope'."},
		{"PATCH", `{"id":"x"}`, 400, "Request_BadRequest", "Property 'id' is read-only"},
		{"PATCH", `{"createdDateTime":"2026-01-01T00:00:00Z"}`, 400, "Request_BadRequest", "Property 'createdDateTime' is read-only"},
		{"PATCH", `{"assignedLicenses":[{}]}`, 400, "Request_BadRequest", "Property 'assignedLicenses' is read-only"},
		{"PATCH", `{"manager@odata.bind":"x"}`, 400, "Request_BadRequest", "Invalid property 'manager@odata.bind'."},
		{"PATCH", `{"city":5}`, 400, "Request_BadRequest", "Property 'city' is invalid: it is a text."},
		{"PATCH", `{"city":"a","City":"b"}`, 400, "Request_BadRequest", "is given twice."},
		{"PATCH", `{"accountEnabled":"true"}`, 400, "Request_BadRequest", "it is true or false."},
		{"PATCH", `{"accountEnabled":null}`, 400, "Request_BadRequest", "A value is required for property 'accountEnabled'"},
		{"PATCH", `{"businessPhones":"5"}`, 400, "Request_BadRequest", "it is a list of texts."},
		{"PATCH", `{"businessPhones":["5","6"]}`, 400, "Request_BadRequest", "holds one number at most."},
		{"PATCH", `{"employeeHireDate":"tomorrow"}`, 400, "Request_BadRequest", "it is a time such as"},
		{"PATCH", `{"employeeOrgData":{"cost":"1"}}`, 400, "Request_BadRequest", "Invalid property 'cost'."},
		{"PATCH", `{"employeeOrgData":5}`, 400, "Request_BadRequest", "it is an object of texts."},
		{"PATCH", `{"extension_0123_grade":{}}`, 400, "Request_BadRequest", "Property 'extension_0123_grade' is invalid"},
		{"PATCH", `{"extension_0123_gr/ade":"x"}`, 400, "Request_BadRequest", "Invalid property 'extension_0123_gr/ade'."},
		{"PATCH", `{"extension_0123_grade":{}`, 400, "BadRequest", "The body is not valid JSON"},
		{"PATCH", `{"mobilePhone":"refused"}`, 400, "Request_BadRequest", "Property mobilePhone is invalid."},
		{"PATCH", `[]`, 400, "BadRequest", "The body is an array"},
		{"PATCH", `null`, 400, "BadRequest", "The body is null"},
	} {
		w := userWorld(t)
		path := "/v1.0/users"
		if c.method == "PATCH" {
			path += "/ben@contoso.example"
		}
		rec := w.send(c.method, path, c.body, "Content-Type", "application/json")
		if code, _ := errorOf(t, rec); rec.Code != c.status || code != c.code || !strings.Contains(rec.Body.String(), c.part) || w.fake.did != nil {
			t.Errorf("%s %s: %d %s, did %v", c.method, c.body, rec.Code, rec.Body, w.fake.did)
		}
	}
	w := userWorld(t)
	if rec := w.send("PATCH", "/v1.0/users/nobody@contoso.example", `{}`, "Content-Type", "application/json"); rec.Code != 404 {
		t.Errorf("nobody: %d", rec.Code)
	}
	if rec := w.send("PATCH", "/v1.0/users/ana@contoso.example", `{}`, "Content-Type", ""); rec.Code != 400 {
		t.Errorf("no Content-Type: %d", rec.Code)
	}
	for _, method := range []string{"POST /v1.0/users", "PATCH /v1.0/users/x", "PUT /v1.0/users/x/manager/$ref", "DELETE /v1.0/users/x/manager/$ref"} {
		verb, path, _ := strings.Cut(method, " ")
		if rec := w.send(verb, path, `{}`, "Content-Type", "application/json", "Authorization", "Bearer User.Read.All"); rec.Code != 403 {
			t.Errorf("%s: %d", method, rec.Code)
		}
	}
}

func TestManagerReference(t *testing.T) {
	w := userWorld(t)
	ben, cleo := w.fake.users[2].ID, "/v1.0/users/cleo@contoso.example/manager"
	for _, ref := range []string{"https://graph.microsoft.com/v1.0/users/" + ben, "https://graph.contoso.example/beta/directoryObjects/" + ben, "users/ben@contoso.example", "https://x.example/v1.0/users('ben%40contoso.example')", "https://x.example/v1.0/directoryObjects(%27" + ben + "%27)"} {
		w.fake.users[0].Attributes["manager"] = w.fake.users[2].Attributes["nothing"]
		if rec := w.send("PUT", cleo+"/$ref", `{"@odata.id":"`+ref+`"}`, "Content-Type", "application/json"); rec.Code != 204 {
			t.Errorf("%s: %d %s", ref, rec.Code, rec.Body)
		}
		if rec := w.get(cleo + "?$select=id"); !strings.Contains(rec.Body.String(), ben) {
			t.Errorf("%s: %d %s", ref, rec.Code, rec.Body)
		}
	}
	if rec := w.send("DELETE", cleo+"/$ref", ""); rec.Code != 204 || w.get(cleo).Code != 404 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := w.send("DELETE", cleo+"/$ref", ""); rec.Code != 404 {
		t.Errorf("again: %d %s", rec.Code, rec.Body)
	}
	for body, want := range map[string]int{`{}`: 400, `{"@odata.id":"x"}`: 400, `{"@odata.id":"https://x.example/v1.0/groups/` + ben + `"}`: 400, `{"@odata.id":"https://x.example/v1.0/users/` + otherSP + `"}`: 404, `{"@odata.id":"https://x.example/v1.0/users/a/b"}`: 400, `{"@odata.id":"https://x.example/v1.0/users/%zz"}`: 400} {
		if rec := w.send("PUT", cleo+"/$ref", body, "Content-Type", "application/json"); rec.Code != want {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
}
