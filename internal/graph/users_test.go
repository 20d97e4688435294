package graph

import (
	"strings"
	"testing"
)

func userWorld(t testing.TB) *world {
	w := newWorld(t)
	w.fake.addUser("Cleo", map[string]string{"employeeId": "c-1", "mobile": "+1 555 0100", "telephoneNumber": "+1 555 0101", "physicalDeliveryOfficeName": "18/2"})
	w.fake.addUser("Ana", map[string]string{"employeeId": "a-1", "manager": w.fake.users[0].ID, "extensionAttribute3": "x3", "employeeOrgData.costCenter": "4130", "extension_0123_grade": "9", "facsimileTelephoneNumber": "5"})
	w.fake.addUser("Ben", map[string]string{"employeeId": "b-1", "manager": w.fake.users[1].ID, "employeeHireDate": "2026-05-01", "otherMails": "b@fabrikam.example"})
	return w
}

func (w *world) names(target string, headers ...string) string {
	w.t.Helper()
	var names []string
	for next := target; next != "" && len(names) < 20; {
		p := w.page(next, headers...)
		for _, v := range p.Value {
			names = append(names, v["displayName"].(string))
		}
		next = strings.TrimPrefix(p.Next, "https://graph.contoso.example")
	}
	return strings.Join(names, " ")
}

func TestListUsers(t *testing.T) {
	w := userWorld(t)
	for query, want := range map[string]string{
		"":       "Cleo Ana Ben",
		"$top=1": "Cleo Ana Ben",
		"$top=2": "Cleo Ana Ben",
		"$filter=userPrincipalName eq 'ANA@contoso.example'":                  "Ana",
		"$filter=employeeId eq 'b-1'&$select=id,displayName":                  "Ben",
		"$filter=employeeId eq 'b-1' and displayName eq 'Ana'":                "",
		"$filter=id eq '" + w.fake.users[1].ID + "'":                          "Ana",
		"$filter=id eq '" + w.fake.users[1].ID + "' and displayName eq 'Ben'": "",
		"$filter=id eq 'x'":                                                 "",
		"$filter=startswith(displayName,'b')":                               "Ben",
		"$filter=displayName in ('ana','ben')":                              "Ana Ben",
		"$filter=accountEnabled eq true and employeeId ne 'a-1'":            "Cleo Ben",
		"$filter=onPremisesExtensionAttributes/extensionAttribute3 eq 'x3'": "Ana",
		"$filter=employeeOrgData/costCenter eq '4130'":                      "Ana",
		"$filter=businessPhones/any(p:p eq '+1 555 0101')":                  "Cleo",
		"$filter=employeeHireDate ge 2026-04-01T00:00:00Z":                  "Ben",
		"$filter=createdDateTime gt 2026-01-01T00:00:00Z":                   "Ana Ben",
		"$filter=extension_0123_grade eq '9'":                               "Ana",
		"$orderby=displayName&$top=1":                                       "Ana Ben Cleo",
		"$orderby=displayName desc":                                         "Cleo Ben Ana",
		"$orderby=createdDateTime desc&$top=2":                              "Ben Ana Cleo",
		"$filter=employeeId ne 'a-1'&$orderby=userPrincipalName&$top=1":     "Ben Cleo",
	} {
		query = strings.NewReplacer(" ", "%20", "+", "%2B").Replace(query)
		if got := w.names("/v1.0/users?"+query+"&$count=true", "ConsistencyLevel", "eventual"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	p := w.page("/v1.0/users?$count=true&$top=1", "ConsistencyLevel", "eventual")
	if p.Count == nil || *p.Count != 3 || len(p.Value[0]) != 11 || !strings.HasSuffix(p.Context, "#users") {
		t.Errorf("%+v", p)
	}
	if p := w.page("/v1.0/users?$count=true&$select=DisplayName,id"); p.Count != nil || len(p.Value[0]) != 2 || !strings.HasSuffix(p.Context, "#users(id,displayName)") {
		t.Errorf("%+v", p)
	}
}

func TestUserErrors(t *testing.T) {
	w := userWorld(t)
	for target, want := range map[string]string{
		"/v1.0/users?$filter=contains(displayName,'x')": "Request_UnsupportedQuery",
		"/v1.0/users?$filter=nope eq 'x'":               "Request_UnsupportedQuery",
		"/v1.0/users?$filter=displayName eq":            "BadRequest",
		"/v1.0/users?$filter=accountEnabled eq 'x'":     "BadRequest",
		"/v1.0/users?$filter=accountEnabled gt true":    "Request_UnsupportedQuery",
		"/v1.0/users?$top=1000":                         "BadRequest",
		"/v1.0/users?$orderby=city":                     "Request_UnsupportedQuery",
		"/v1.0/users?$search=\"displayName:wa\"":        "Request_UnsupportedQuery",
		"/v1.0/users?$skip=1":                           "Request_UnsupportedQuery",
		"/v1.0/users?$expand=memberOf":                  "BadRequest",
		"/v1.0/users?$expand=manager($levels=x)":        "BadRequest",
		"/v1.0/users/$count":                            "Request_BadRequest",
		"/v1.0/users?$skiptoken=x":                      "BadRequest",
	} {
		rec := w.get(strings.ReplaceAll(target, " ", "%20"))
		if code, _ := errorOf(t, rec); rec.Code != 400 || code != want {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
}

func TestUser(t *testing.T) {
	w := userWorld(t)
	for target, parts := range map[string][]string{
		"/v1.0/users/" + w.fake.users[0].ID:       {`$metadata#users/$entity","id":"`, `"businessPhones":["+1 555 0101"]`, `"mobilePhone":"+1 555 0100"`, `"officeLocation":"18/2"`, `"mail":null`},
		"/v1.0/users/Ana@contoso.example":         {`"businessPhones":[]`, `"displayName":"Ana"`},
		"/v1.0/users('ana%40contoso.example')":    {`"displayName":"Ana"`},
		"/beta/users/ana@contoso.example/manager": {`"@odata.type":"#microsoft.graph.user"`, `"displayName":"Cleo"`},
		"/v1.0/users/ana@contoso.example?$select=onPremisesExtensionAttributes,employeeOrgData,faxNumber,accountEnabled,createdDateTime,deletedDateTime,extension_0123_grade": {
			`"extensionAttribute3":"x3"`, `"employeeOrgData":{"costCenter":"4130","division":null}`, `"faxNumber":"5"`, `"accountEnabled":true`, `"createdDateTime":"2026-01-01T00:00:01Z"`, `"deletedDateTime":null`, `"extension_0123_grade":"9"`},
		"/v1.0/users/ben@contoso.example?$expand=manager($levels=max;$select=id,displayName)&$select=id": {`"manager":{"@odata.type":"#microsoft.graph.user","id":"`, `"displayName":"Ana","manager":{`, `"displayName":"Cleo"}`},
		"/v1.0/users/ben@contoso.example?$expand=manager":                                                {`"manager":{"@odata.type":"#microsoft.graph.user","id":"` + w.fake.users[1].ID},
		"/v1.0/users/ben@contoso.example?$select=employeeHireDate,otherMails":                            {`"employeeHireDate":"2026-05-01T00:00:00Z"`, `"otherMails":["b@fabrikam.example"]`},
		"/v1.0/users/ben@contoso.example/manager/$ref":                                                   {`"@odata.id":"https://graph.contoso.example/v1.0/directoryObjects/` + w.fake.users[1].ID},
	} {
		rec := w.get(target)
		for _, part := range parts {
			if !strings.Contains(rec.Body.String(), part) {
				t.Errorf("%s: %s is missing in %d %s", target, part, rec.Code, rec.Body)
			}
		}
	}
	if rec := w.get("/v1.0/users/cleo@contoso.example/manager"); rec.Code != 404 {
		t.Errorf("no manager: %d", rec.Code)
	}
	rec := w.get("/v1.0/users/$count?$filter=startswith(displayName,'A')", "ConsistencyLevel", "eventual")
	if rec.Body.String() != "1" || rec.Header().Get("Content-Type") != "text/plain" {
		t.Errorf("$count: %d %s", rec.Code, rec.Body)
	}
}
