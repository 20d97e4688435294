package graph

import (
	"fmt"
	"net/url"
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

// queryLevels has, for each property of the published table, what eq, ge, in and startsWith need: D for any query, A for an
// advanced one, - for none (Microsoft Graph: advanced query capabilities on directory objects).
var queryLevels = map[string]string{
	"accountEnabled": "D-D-", "id": "D-D-", "externalUserState": "D-D-", "creationType": "D-D-", "onPremisesSyncEnabled": "D-D-", "userType": "D-D-",
	"city": "DDDD", "country": "DDDD", "department": "DDDD", "displayName": "DDDD", "employeeId": "DDDD", "givenName": "DDDD", "jobTitle": "DDDD", "mail": "DDDD",
	"mailNickname": "DDDD", "onPremisesImmutableId": "DDDD", "state": "DDDD", "surname": "DDDD", "usageLocation": "DDDD", "userPrincipalName": "DDDD",
	"onPremisesUserPrincipalName": "DDDD", "createdDateTime": "DDA-", "deletedDateTime": "DDA-",
	"companyName": "AAAA", "employeeType": "AAAA", "faxNumber": "AAAA", "mobilePhone": "AAAA", "officeLocation": "AAAA", "postalCode": "AAAA", "preferredLanguage": "AAAA",
	"streetAddress": "AAAA", "onPremisesSamAccountName": "AAAA", "employeeHireDate": "AAA-", "employeeOrgData/costCenter": "AAA-", "employeeOrgData/division": "AAA-",
	"onPremisesExtensionAttributes/extensionAttribute9": "AAA-", "showInAddressList": "A-A-", "employeeLeaveDateTime": "AA--",
	"otherMails/any": "DD-D", "proxyAddresses/any": "DD-D", "imAddresses/any": "DD-D", "identities/any": "DD-D", "assignedLicenses/any": "D---", "businessPhones/any": "AA-A",
	"passwordPolicies": "----", "passwordProfile": "----", "aboutMe": "----", "employeeOrgData": "----", "manager/id": "----", "identities/issuer": "----",
}

func TestUserQueryLevels(t *testing.T) {
	w := userWorld(t)
	filters := func(property string) []string {
		value := "'x'"
		switch {
		case strings.HasSuffix(property, "DateTime") || strings.HasSuffix(property, "Date"):
			value = "2026-01-01T00:00:00Z"
		case property == "accountEnabled" || property == "showInAddressList" || property == "onPremisesSyncEnabled":
			value = "true"
		}
		path, in, out := property, "", ""
		if of, ok := strings.CutSuffix(property, "/any"); ok {
			path, in, out = "e", of+"/any(e:", ")"
			path += map[string]string{"identities": "/issuer", "assignedLicenses": "/skuId"}[of]
		}
		return []string{in + path + " eq " + value + out, in + path + " ge " + value + out, in + path + " in (" + value + ")" + out, in + "startsWith(" + path + ",'x')" + out}
	}
	for property, levels := range queryLevels {
		for i, filter := range filters(property) {
			target := "/v1.0/users?$filter=" + strings.ReplaceAll(filter, " ", "+")
			usual, counted := w.get(target), w.get(target+"&$count=true", "ConsistencyLevel", "eventual")
			alone := w.get(target, "ConsistencyLevel", "eventual")
			want := map[byte][2]int{'D': {200, 200}, 'A': {400, 200}, '-': {400, 400}}[levels[i]]
			if usual.Code != want[0] || alone.Code != want[0] || counted.Code != want[1] {
				t.Errorf("%s: %d, advanced %d, without $count %d; want %v", filter, usual.Code, counted.Code, alone.Code, want)
			}
			if levels[i] != 'A' {
				continue
			}
			code, message := errorOf(t, usual)
			name, _, _ := strings.Cut(property, "/")
			if code != "Request_UnsupportedQuery" || !strings.HasPrefix(message, "Unsupported or invalid query filter clause specified for property '"+name) || !strings.Contains(usual.Body.String(), "ConsistencyLevel: eventual") {
				t.Errorf("%s: %s", filter, usual.Body)
			}
		}
	}
	for query, want := range map[string]bool{ // is it advanced?
		"$filter=displayName ne 'x'":                                  true,
		"$filter=not startswith(displayName,'x')":                     true,
		"$filter=mail eq null":                                        true,
		"$filter=endswith(mail,'x')":                                  true,
		"$filter=endswith(userPrincipalName,'x')":                     true,
		"$filter=otherMails/any(o:endswith(o,'x'))":                   true,
		"$filter=otherMails/all(o:o eq 'x')":                          true,
		"$filter=assignedLicenses/$count eq 0":                        true,
		"$filter=displayName eq 'x'&$orderby=displayName":             true,
		"$orderby=city":                                               true,
		"$orderby=employeeHireDate desc":                              true,
		"$orderby=createdDateTime desc":                               false,
		"$filter=tolower(mail) eq 'x'":                                false,
		"$filter=extension_0123_grade eq '9'":                         false,
		"$filter=displayName eq 'x' or (city eq 'y' and mail eq 'z')": false,
		"$filter=imAddresses/any()":                                   false,
	} {
		target := "/v1.0/users?" + strings.ReplaceAll(query, " ", "+")
		if got := w.get(target).Code == 400; got != want {
			t.Errorf("%s: advanced %v", query, got)
		}
		if rec := w.get(target+"&$count=true", "consistencylevel", "Eventual"); rec.Code != 200 {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
}

func TestSearchUsers(t *testing.T) {
	w := userWorld(t)
	w.fake.addUser("Ana-Maria de la Cruz", map[string]string{"mail": "amc@fabrikam.example", "department": "Sales"})
	for search, want := range map[string]string{
		`"displayName:ana"`:     "Ana Ana-Maria de la Cruz",
		`"displayName:cruz ma"`: "Ana-Maria de la Cruz",
		`"displayName:na"`:      "",
		`"mail:AMC"`:            "Ana-Maria de la Cruz",
		`"mail:fabrikam"`:       "",
		`"cleo"`:                "Cleo",
		`"department:sal" AND "displayName:maria"`:   "Ana-Maria de la Cruz",
		`"displayName:ben" OR "displayName:cleo"`:    "Cleo Ben",
		`("displayName:ben" OR "mail:a") "mail:amc"`: "Ana-Maria de la Cruz",
		`"otherMails:b@fabrikam.example"`:            "Ben",
		`"nobody\\ \"x"`:                             "",
	} {
		query := url.Values{"$search": {search}, "$count": {"true"}, "$top": {"1"}}.Encode()
		if got := w.names("/v1.0/users?"+query, "ConsistencyLevel", "eventual"); got != want {
			t.Errorf("%s: %q, want %q", search, got, want)
		}
	}
	p := w.page("/v1.0/users?$search=%22displayName:ana%22&$filter=startswith(mail,%27a%27)&$count=true&$orderby=displayName+desc", "ConsistencyLevel", "eventual")
	if *p.Count != 1 || len(p.Value) != 1 {
		t.Errorf("%+v", p)
	}
	for search, want := range map[string]string{`displayName:a`: "BadRequest", `"displayName:"`: "BadRequest", `"a`: "BadRequest", `("a"`: "BadRequest", `"a" or "b"`: "BadRequest", `NOT "a"`: "BadRequest", `"city:a"`: "Request_UnsupportedQuery"} {
		rec := w.get("/v1.0/users?$search="+url.QueryEscape(search), "ConsistencyLevel", "eventual")
		if code, _ := errorOf(t, rec); rec.Code != 400 || code != want {
			t.Errorf("%s: %d %s", search, rec.Code, rec.Body)
		}
	}
}

// TestUserPoints asks for users that the directory has keys of, and counts whom it had to look at.
func TestUserPoints(t *testing.T) {
	w := userWorld(t)
	for i := range 20 {
		w.fake.addUser(fmt.Sprintf("Person %d", i), map[string]string{"mail": "shared@contoso.example"})
	}
	id := w.fake.users[1].ID
	for filter, want := range map[string]string{
		"id eq '" + id + "' or userPrincipalName eq 'ben@contoso.example'":                   "Ana Ben",
		"id in ('" + id + "','" + id + "','nobody')":                                         "Ana",
		"userPrincipalName in ('BEN@contoso.example','cleo@contoso.example')":                "Cleo Ben",
		"startswith(displayName,'a') and (employeeId eq 'a-1' or employeeId eq 'b-1')":       "Ana",
		"(id eq '" + id + "' and displayName eq 'Ben') or mailNickname eq 'x'":               "",
		"mail eq 'shared@contoso.example' and displayName in ('Person 3','Person 12','Ana')": "Person 3 Person 12",
	} {
		w.fake.looked = 0
		query := "?" + url.Values{"$filter": {filter}, "$top": {"1"}}.Encode()
		if got := w.names("/v1.0/users" + query); got != want || w.fake.looked > 80 {
			t.Errorf("%s: %q, want %q; looked at %d", filter, got, want, w.fake.looked)
		}
		rec := w.get("/v1.0/users/$count"+query, "ConsistencyLevel", "eventual")
		if n := len(strings.Fields(strings.ReplaceAll(want, "Person ", "P"))); rec.Body.String() != fmt.Sprint(n) {
			t.Errorf("%s: counted %s", filter, rec.Body)
		}
	}
}

func TestMaxPageSize(t *testing.T) {
	w := userWorld(t)
	for prefer, want := range map[string][2]any{
		"odata.maxpagesize=2":                    {2, "odata.maxpagesize=2"},
		"return=minimal, maxpagesize=1":          {1, "odata.maxpagesize=1"},
		"odata.maxpagesize=0":                    {3, ""},
		"odata.maxpagesize=-1":                   {3, ""},
		"odata.maxpagesize=99999999999999999999": {3, ""},
		"odata.maxpagesize=5000":                 {3, "odata.maxpagesize=5000"},
	} {
		rec := w.get("/v1.0/users", "Prefer", prefer)
		if n := strings.Count(rec.Body.String(), `"displayName"`); n != want[0] || rec.Header().Get("Preference-Applied") != want[1] {
			t.Errorf("%s: %d users, %q", prefer, n, rec.Header().Get("Preference-Applied"))
		}
	}
	if got := w.names("/v1.0/users?$top=2", "Prefer", "odata.maxpagesize=1"); got != "Cleo Ana Ben" {
		t.Errorf("%s", got)
	}
}

func TestDirectReports(t *testing.T) {
	w := userWorld(t)
	for i := range 5 {
		w.fake.addUser(fmt.Sprintf("Report %d", i), map[string]string{"manager": strings.ToUpper(w.fake.users[0].ID)})
	}
	if got := w.names("/v1.0/users/cleo@contoso.example/directReports?$top=2&$select=displayName"); got != "Ana Report 0 Report 1 Report 2 Report 3 Report 4" {
		t.Errorf("%s", got)
	}
	rec := w.get("/v1.0/users/cleo@contoso.example/directReports/$count", "ConsistencyLevel", "eventual")
	if rec.Body.String() != "6" {
		t.Errorf("%s", rec.Body)
	}
	next := w.page("/v1.0/users/cleo@contoso.example/directReports?$top=2").Next
	other := strings.Replace(strings.TrimPrefix(next, "https://graph.contoso.example"), "cleo@", "ana@", 1)
	if rec := w.get(other); rec.Code != 400 {
		t.Errorf("another's token: %d %s", rec.Code, rec.Body)
	}
}

// TestAllProperties selects every property that Graph's user has in the table.
func TestAllProperties(t *testing.T) {
	w := userWorld(t)
	var names []string
	for _, p := range properties {
		names = append(names, p.name)
	}
	for _, version := range []string{"v1.0", "beta"} {
		p := w.page("/" + version + "/users?$select=" + strings.Join(names, ","))
		if len(p.Value) != 3 || len(p.Value[0]) != len(properties) {
			t.Errorf("%s: %d users with %d members", version, len(p.Value), len(p.Value[0]))
		}
	}
	for i := 12; i < len(properties); i++ {
		if properties[i-1].name > properties[i].name {
			t.Errorf("%s is out of order", properties[i].name)
		}
	}
}
