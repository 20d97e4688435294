package graph

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/oauth"
	"induct/internal/provision"
)

// must sends JSON, expects a status, and returns the answer's members.
func (w *world) must(status int, method, target, body string, headers ...string) map[string]any {
	w.t.Helper()
	rec := w.send(method, target, body, append([]string{"Content-Type", "application/json; charset=utf-8"}, headers...)...)
	if rec.Code != status {
		w.t.Fatalf("%s %s: %d %s, want %d", method, target, rec.Code, rec.Body, status)
	}
	return members(w.t, rec)
}

var graphSP = oauth.GraphObjectID(tenantID)

func members(t testing.TB, rec *httptest.ResponseRecorder) (m map[string]any) {
	t.Helper()
	if rec.Body.Len() == 0 {
		if rec.Header().Get("Content-Type") != "" {
			t.Errorf("a %d without content has a Content-Type", rec.Code)
		}
		return nil
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	return m
}

// look reads a value below members: names, and numbers as indices of lists.
func look(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// certificate makes a self-signed one, valid from now on for a life.
func certificate(t testing.TB, name string, now time.Time, life time.Duration) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestFromNothing sets an app up as docs/set-up.md does, over the wire alone, and finds it again in each way that clients look.
func TestFromNothing(t *testing.T) {
	for _, version := range []string{"/v1.0", "/beta"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			templates := w.page(version + "/applicationTemplates?$filter=" + url.QueryEscape("displayName eq 'API-driven provisioning to Microsoft Entra ID'"))
			if len(templates.Value) != 1 {
				t.Fatalf("%d templates", len(templates.Value))
			}
			id := templates.Value[0]["id"].(string)
			made := w.must(201, "POST", version+"/applicationTemplates/"+id+"/instantiate", `{"displayName":"HR to cloud","serviceManagementReference":null}`)
			app, sp, appID := look(made, "application", "id").(string), look(made, "servicePrincipal", "id").(string), look(made, "application", "appId").(string)
			if !strings.HasSuffix(made["@odata.context"].(string), "#microsoft.graph.applicationServicePrincipal") || look(made, "servicePrincipal", "appId") != appID || app == sp || app == appID {
				t.Errorf("instantiated: %v", made)
			}
			for _, path := range []string{"/applications/" + app, "/applications('" + app + "')", "/applications(appId='" + appID + "')", "/applications(appId=%27" + appID + "%27)"} {
				if got := w.must(200, "GET", version+path, ""); got["id"] != app || got["applicationTemplateId"] != id || got["displayName"] != "HR to cloud" {
					t.Errorf("%s: %v", path, got)
				}
			}
			for _, path := range []string{"/servicePrincipals/" + sp, "/servicePrincipals(appId='" + appID + "')"} {
				if got := w.must(200, "GET", version+path, ""); got["id"] != sp || got["servicePrincipalType"] != "Application" || got["accountEnabled"] != true {
					t.Errorf("%s: %v", path, got)
				}
			}
			for _, filter := range []string{"id eq '" + sp + "' or appId eq '" + sp + "'", "AppId eq '" + appID + "'", "DisplayName eq 'hr to cloud'",
				"startswith(displayName,'HR to')", "servicePrincipalNames/any(n:n eq '" + appID + "')", "tags/any(t:t eq 'WindowsAzureActiveDirectoryIntegratedApp')"} {
				p := w.page(version + "/servicePrincipals?%24filter=" + url.QueryEscape(filter) + "&$select=id")
				if len(p.Value) != 1 || p.Value[0]["id"] != sp || len(p.Value[0]) != 1 {
					t.Errorf("%s: %v", filter, p.Value)
				}
			}
			jobs := version + "/servicePrincipals/" + sp + "/synchronization/jobs"
			job := w.must(201, "POST", jobs, `{"templateId":"API2AAD"}`)
			w.must(204, "POST", jobs+"/"+job["id"].(string)+"/start", "")
			if p := w.page(version + "/servicePrincipals(appId='" + appID + "')/synchronization/jobs"); len(p.Value) != 1 {
				t.Errorf("jobs %v", p.Value)
			}
			w.must(204, "PUT", version+"/servicePrincipals/"+sp+"/synchronization/secrets", `{"value":[{"key":"BaseAddress","value":"x"}]}`)
			w.must(204, "PATCH", version+"/applications/"+app, `{"displayName":"HR to cloud 2"}`)
			if got := w.must(200, "GET", version+"/servicePrincipals/"+sp, ""); got["displayName"] != "HR to cloud 2" {
				t.Errorf("the service principal is still %v", got["displayName"])
			}
			w.must(204, "DELETE", version+"/applications/"+app, "")
			for _, gone := range []string{"/applications/" + app, "/servicePrincipals/" + sp, "/servicePrincipals/" + sp + "/synchronization/jobs"} {
				w.must(404, "GET", version+gone, "")
			}
			if !slices.ContainsFunc(w.fake.did, func(s string) bool { return strings.HasPrefix(s, "delete ") }) {
				t.Errorf("the job was not deleted: %v", w.fake.did)
			}
		})
	}
}

func TestApplicationTemplates(t *testing.T) {
	w := newWorld(t)
	const all = "/v1.0/applicationTemplates"
	for filter, want := range map[string]int{
		"": 2, "displayName eq 'api-driven provisioning to on-premises active directory'": 1, "contains(displayName,'API-driven')": 2,
		"categories/any(c:contains(c,'human'))": 2, "publisher eq 'nobody'": 0, "supportedProvisioningTypes/any(t:t eq 'sync')": 2,
	} {
		if p := w.page(all + "?$filter=" + url.QueryEscape(filter)); len(p.Value) != want {
			t.Errorf("%s: %d, want %d", filter, len(p.Value), want)
		}
	}
	for _, g := range Gallery() {
		if got := w.must(200, "GET", all+"/"+g.ID, "", "Authorization", "Bearer none"); got["displayName"] != g.DisplayName {
			t.Errorf("%s: %v", g.ID, got)
		}
	}
	if p := w.page(all + "?$orderby=displayName desc&$skip=1&$top=1"); len(p.Value) != 1 || p.Value[0]["displayName"] != Gallery()[0].DisplayName {
		t.Errorf("ordered: %v", p.Value)
	}
	id := Gallery()[1].ID
	w.must(404, "POST", all+"/"+otherSP+"/instantiate", `{"displayName":"x"}`)
	w.must(400, "POST", all+"/"+id+"/instantiate", `{}`)
	w.must(403, "POST", all+"/"+id+"/instantiate", `{"displayName":"x"}`, "Authorization", "Bearer Application.Read.All")
	made := w.must(201, "POST", all+"/"+id+"/instantiate", `{"displayName":"To AD"}`)
	for _, v := range w.page("/v1.0/servicePrincipals/" + look(made, "servicePrincipal", "id").(string) + "/synchronization/templates").Value {
		if v["default"] != (v["id"] == "API2AD") {
			t.Errorf("default template: %v", v)
		}
	}
}

// TestApplication is the life of an application and its service principal as Terraform leads it.
func TestApplication(t *testing.T) {
	w := newWorld(t)
	w.extended = true
	app := w.must(201, "POST", "/v1.0/applications", `{"displayName":"Client","signInAudience":"AzureADMyOrg","tags":["a"],"uniqueName":"client-1","identifierUris":["api://client"],
		"notARealMember":{"x":[1]},"api":{"requestedAccessTokenVersion":2},"web":{"redirectUris":["https://app.contoso.example/cb"]},"owners@odata.bind":["https://graph.contoso.example/v1.0/directoryObjects/`+emptySP+`"]}`)
	url := "/v1.0/applications/" + app["id"].(string)
	for path, want := range map[string]any{"uniqueName": "client-1", "createdByAppId": appID, "publisherDomain": "contoso.example"} {
		if app[path] != want {
			t.Errorf("%s is %v, want %v", path, app[path], want)
		}
	}
	if look(app, "notARealMember", "x", 0) != 1.0 || look(app, "api", "requestedAccessTokenVersion") != 2.0 || look(app, "api", "oauth2PermissionScopes") == nil || look(app, "web", "redirectUris", 0) != "https://app.contoso.example/cb" {
		t.Errorf("members: %v", app)
	}
	stored := func() *oauth.Client {
		c, err := w.apps.Client(t.Context(), uuid.MustParse(app["appId"].(string)))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := stored(); !c.Disabled || c.ObjectID != uuid.Nil || c.Public || len(c.RedirectURIs) != 1 {
		t.Errorf("without a service principal: %+v", c)
	}
	w.must(204, "PATCH", url, `{"@odata.type":"#microsoft.graph.application","id":"`+otherSP+`","tags":null,"web":{"homePageUrl":"https://app.contoso.example"},"publicClient":{"redirectUris":["http://localhost"]}}`)
	got := w.must(200, "GET", "/v1.0/applications(uniqueName='client-1')", "")
	if got["id"] != app["id"] || len(got["tags"].([]any)) != 0 || look(got, "web", "homePageUrl") != "https://app.contoso.example" || look(got, "web", "redirectUris", 0) == nil {
		t.Errorf("after a PATCH: %v", got)
	}
	if c := stored(); len(c.RedirectURIs) != 2 || c.Public {
		t.Errorf("redirect URIs: %v %v", c.RedirectURIs, c.Public)
	}
	w.must(204, "PATCH", url, `{"web":{"redirectUris":[]},"isFallbackPublicClient":true}`)
	if c := stored(); !c.Public || len(c.RedirectURIs) != 1 {
		t.Errorf("a public client: %+v", c)
	}

	sp := w.must(201, "POST", "/v1.0/servicePrincipals", `{"appId":"`+app["appId"].(string)+`","accountEnabled":true,"tags":["x"],"unheardOf":1}`)
	spURL := "/v1.0/servicePrincipals/" + sp["id"].(string)
	if sp["displayName"] != "Client" || look(sp, "servicePrincipalNames", 1) != "api://client" || sp["unheardOf"] != 1.0 || sp["appOwnerOrganizationId"] != tenantID.String() {
		t.Errorf("service principal: %v", sp)
	}
	if rec := w.send("POST", "/v1.0/servicePrincipals", `{"appId":"`+app["appId"].(string)+`"}`, "Content-Type", "application/json"); rec.Code != 409 {
		t.Errorf("twice: %d %s", rec.Code, rec.Body)
	}
	if c := stored(); c.Disabled {
		t.Error("it gets no token")
	}
	w.must(204, "PATCH", spURL, `{"accountEnabled":false,"notes":"n","displayName":"Client 2","appRoles":[]}`)
	if c := stored(); !c.Disabled || c.DisplayName != "Client 2" {
		t.Errorf("after a PATCH: %+v", c)
	}
	w.must(204, "DELETE", spURL, "")
	w.must(404, "GET", spURL, "")
	w.must(200, "GET", url, "")
	w.must(201, "PATCH", "/v1.0/servicePrincipals(appId='"+app["appId"].(string)+"')", `{"tags":["again"]}`, "Prefer", "create-if-missing")
	w.must(204, "DELETE", url, "")
	w.must(404, "GET", url, "")
	w.must(201, "PATCH", "/v1.0/applications(uniqueName='client-1')", `{"displayName":"Client"}`, "Prefer", "create-if-missing")
	w.must(204, "PATCH", "/v1.0/applications(uniqueName='client-1')", `{"displayName":"Client B"}`, "Prefer", "create-if-missing")
}

func TestApplicationRefused(t *testing.T) {
	w := newWorld(t)
	w.put(&oauth.Client{AppID: uuid.New(), ApplicationID: uuid.New(), DisplayName: "Other", Created: w.now,
		Application: json.RawMessage(`{"uniqueName":"taken","identifierUris":["api://taken"]}`)})
	for body, want := range map[string]string{
		`{}`:                                       "A value is required for property 'displayName' of resource 'Application'.",
		`{"displayName":""}`:                       "Property 'displayName' is invalid",
		`{"displayName":7}`:                        "Property 'displayName' is invalid",
		`{"displayName":"x","tags":"a"}`:           "Property 'tags' is invalid: it is a list, and a text was sent.",
		`{"displayName":"x","web":[]}`:             "Property 'web' is invalid: it is an object, and a list was sent.",
		`{"displayName":"x","notes":true}`:         "Property 'notes' is invalid: it is a text, and true or false was sent.",
		`{"displayName":"x","uniqueName":"taken"}`: "Another object with the same value for property uniqueName already exists.",
		`{"displayName":"x","identifierUris":["api://taken"]}`:                                                 "Another object with the same value for property identifierUris already exists.",
		`{"displayName":"x","web":{"redirectUris":["http://app.contoso.example"]}}`:                            "Property 'web.redirectUris' is invalid",
		`{"displayName":"x","web":{"redirectUris":["https://a.example/#f"]}}`:                                  "Property 'web.redirectUris' is invalid",
		`{"displayName":"x","web":{"redirectUris":["javascript:alert(1)"]}}`:                                   "Property 'web.redirectUris' is invalid",
		`{"displayName":"x","spa":{"redirectUris":"https://a.example"}}`:                                       "Property 'spa.redirectUris' is invalid",
		`{"displayName":"x","owners@odata.bind":["https://graph.contoso.example/v1.0/users/` + otherSP + `"]}`: "Resource '" + otherSP + "' does not exist",
		`{"displayName":"x","more":"` + strings.Repeat("x", mostMembers) + `"}`:                                "The properties take",
		`{"displayName":"` + strings.Repeat("x", 257) + `"}`:                                                   "Property 'displayName' is invalid",
		`{"displayName":"x","tags":[1]}`:                                                                       "Property 'tags' is invalid: element 0 is a number, and it holds texts.",
		`{"displayName":"x","appRoles":["a"]}`:                                                                 "Property 'appRoles' is invalid: element 0 is a text, and it holds objects.",
		`{"displayName":"x","web":{"homePageUrl":[]}}`:                                                         "Property 'web.homePageUrl' is invalid: a list was sent.",
		`{"displayName":"x","api":{"oauth2PermissionScopes":[null]}}`:                                          "Property 'api.oauth2PermissionScopes' is invalid: element 0 is null, and it holds objects.",
		`[]`:   "The body is an array",
		`null`: "The body is null",
	} {
		rec := w.send("POST", "/v1.0/applications", body, "Content-Type", "application/json")
		if _, message := errorOf(t, rec); rec.Code/100 != 4 || !strings.HasPrefix(message, want) {
			t.Errorf("%s: %d %s, want %s", clip(body), rec.Code, message, want)
		}
	}
	if p := w.page("/v1.0/applications"); len(p.Value) != 3 {
		t.Errorf("%d applications: something was made", len(p.Value))
	}
	for _, path := range []string{"/v1.0/applications?$filter=nothing eq 1", "/v1.0/applications?$top=1000", "/v1.0/applications?$expand=owners", "/v1.0/applications(name='x')"} {
		w.must(400, "GET", strings.ReplaceAll(path, " ", "%20"), "")
	}
}

func TestApplicationPages(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.must(201, "POST", "/v1.0/applications", fmt.Sprintf(`{"displayName":"App %d"}`, 9-i))
	}
	seen := 0
	for next := "/v1.0/applications?$filter=startswith(displayName,'App')&$top=3&$orderby=displayName&$select=displayName"; next != ""; {
		p := w.page(strings.TrimPrefix(next, "https://graph.contoso.example"))
		for _, v := range p.Value {
			if v["displayName"] != fmt.Sprintf("App %d", 3+seen) {
				t.Errorf("%d: %v", seen, v)
			}
			seen++
		}
		next = p.Next
	}
	if seen != 7 {
		t.Errorf("saw %d", seen)
	}
	if p := w.page("/v1.0/applications?$count=true", "ConsistencyLevel", "eventual"); p.Count == nil || *p.Count != 9 {
		t.Errorf("count %v", p.Count)
	}
	if rec := w.get("/v1.0/applications/$count?$filter=createdDateTime%20lt%202027-01-01T00:00:00Z", "ConsistencyLevel", "eventual"); rec.Body.String() != "9" {
		t.Errorf("$count %s", rec.Body)
	}
}

// TestFilterReadsOnce has a list read again and again, as a filter can that names it often.
func TestFilterReadsOnce(t *testing.T) {
	read := object{{"tags", json.RawMessage(`["1","2"]`)}}.filtering()
	if one, two := read("tags").([]string), read("tags").([]string); len(one) != 2 || &one[0] != &two[0] {
		t.Errorf("it is decoded each time: %v, %v", one, two)
	}
	w := newWorld(t)
	w.must(400, "POST", "/v1.0/applications", `{"displayName":"x","tags":["1`+strings.Repeat(`","1`, mostEntries)+`"]}`)
	w.must(400, "POST", "/v1.0/applications", `{"displayName":"x","api":{"a":[["1`+strings.Repeat(`","1`, mostEntries)+`"]]}}`)
}

func TestPasswords(t *testing.T) {
	w := newWorld(t)
	for _, of := range []string{"/v1.0/applications/" + appID, "/beta/servicePrincipals(appId='" + emptyApp + "')"} {
		made := w.must(200, "POST", of+"/addPassword", `{"passwordCredential":{"displayName":"ci","endDateTime":"2027-08-20T00:00:00.0000000Z"}}`)
		secret := made["secretText"].(string)
		if made["hint"] != secret[:3] || made["endDateTime"] != "2027-08-20T00:00:00Z" || made["displayName"] != "ci" || len(secret) != 40 {
			t.Errorf("made %v", made)
		}
		shown := w.must(200, "GET", of, "")
		if got := look(shown, "passwordCredentials", 0); look(got, "secretText") != nil || look(got, "keyId") != made["keyId"] {
			t.Errorf("shown %v", got)
		}
		if strings.Contains(w.log.String(), secret) {
			t.Error("the log has the secret")
		}
		client, err := w.apps.Client(t.Context(), uuid.MustParse(shown["appId"].(string)))
		if err != nil || len(client.Secrets) != 1 || !client.Secrets[0].Matches(secret) || client.Secrets[0].Expired(w.now) || !client.Secrets[0].Expired(w.now.AddDate(1, 0, 1)) {
			t.Errorf("stored %+v %v", client, err)
		}
		w.must(200, "POST", of+"/addPassword", `{}`)
		w.must(204, "POST", of+"/microsoft.graph.removePassword", `{"keyId":"`+made["keyId"].(string)+`"}`)
		w.must(400, "POST", of+"/removePassword", `{"keyId":"`+made["keyId"].(string)+`"}`)
		w.must(400, "POST", of+"/removePassword", `{}`)
		w.must(501, "POST", of+"/addKey", `{}`)
		w.must(501, "POST", of+"/removeKey", `{}`)
		if got := w.must(200, "GET", of, ""); len(got["passwordCredentials"].([]any)) != 1 {
			t.Errorf("left %v", got["passwordCredentials"])
		}
		for _, body := range []string{
			`{"passwordCredential":{"endDateTime":"2026-08-20T09:00:00Z"}}`, `{"passwordCredential":{"endDateTime":"2300-01-01T00:00:00Z"}}`,
			`{"passwordCredential":{"endDateTime":"soon"}}`, `{"passwordCredential":{"startDateTime":"2026-09-20T09:00:00Z"}}`,
			`{"passwordCredential":{"startDateTime":"2026-08-19T09:00:00Z","endDateTime":"2026-08-18T09:00:00Z"}}`,
			`{"passwordCredential":{"secretText":"mine"}}`, `{"passwordCredential":{"keyId":"x"}}`, `{"passwordCredential":7}`, `{`,
		} {
			w.must(400, "POST", of+"/addPassword", body)
		}
	}
	app := w.must(201, "POST", "/v1.0/applications", `{"displayName":"x","passwordCredentials":[{"displayName":"first"}]}`)
	if secret, _ := look(app, "passwordCredentials", 0, "secretText").(string); len(secret) != 40 {
		t.Errorf("made with a secret: %v", app["passwordCredentials"])
	}
	url := "/v1.0/applications/" + app["id"].(string)
	w.must(400, "PATCH", url, `{"passwordCredentials":[{"displayName":"second"}]}`)
	w.must(204, "PATCH", url, `{"passwordCredentials":[{"keyId":"`+look(app, "passwordCredentials", 0, "keyId").(string)+`"}]}`)
	w.must(204, "PATCH", url, `{"passwordCredentials":[]}`)
	for range mostPasswords {
		w.must(200, "POST", url+"/addPassword", `{}`)
	}
	w.must(400, "POST", url+"/addPassword", `{}`)
}

// TestTogether has many change one app at once: nothing of it is lost.
func TestTogether(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			url := "/v1.0/applications/" + appID
			for _, r := range [][2]string{{url + "/addPassword", `{}`}, {url + "/federatedIdentityCredentials", fmt.Sprintf(`{"name":"ci-%d","issuer":"https://idp.example","subject":"%d","audiences":["a"]}`, i, i)}} {
				req := httptest.NewRequest("POST", "https://graph.contoso.example"+r[0], strings.NewReader(r[1]))
				req.Header.Set("Authorization", "Bearer Application.ReadWrite.All")
				req.Header.Set("Content-Type", "application/json")
				rec := httptest.NewRecorder()
				w.handler.ServeHTTP(rec, req)
				if rec.Code/100 != 2 {
					t.Errorf("%s: %d %s", r[0], rec.Code, rec.Body)
				}
			}
		})
	}
	wg.Wait()
	c, err := w.apps.Client(t.Context(), uuid.MustParse(appID))
	if err != nil || len(c.Secrets) != 12 || len(c.Federated) != 12 {
		t.Errorf("%d secrets, %d federated credentials, %v", len(c.Secrets), len(c.Federated), err)
	}
}

func TestKeyCredentials(t *testing.T) {
	w := newWorld(t)
	url := "/v1.0/applications/" + appID
	der := certificate(t, "CSV2SCIM", w.now, 24*time.Hour)
	text := base64.StdEncoding.EncodeToString(der)
	w.must(204, "PATCH", url, `{"keyCredentials":[{"type":"AsymmetricX509Cert","usage":"Verify","key":"`+text+`","displayName":"CN=CSV2SCIM"}]}`)
	first := look(w.must(200, "GET", url, ""), "keyCredentials", 0)
	if look(first, "key") != nil || look(first, "displayName") != "CN=CSV2SCIM" || look(first, "endDateTime") != "2026-08-21T10:00:00Z" || look(first, "type") != "AsymmetricX509Cert" {
		t.Errorf("%v", first)
	}
	if got := w.must(200, "GET", url+"?$select=keyCredentials", ""); look(got, "keyCredentials", 0, "key") != text || len(got) != 2 {
		t.Errorf("selected: %v", got)
	}
	second := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate(t, "second", w.now, time.Hour)}))
	keep := `{"keyId":"` + look(first, "keyId").(string) + `","key":null,"type":"AsymmetricX509Cert","usage":"Verify"}`
	w.must(204, "PATCH", url, `{"keyCredentials":[`+keep+`,{"key":"`+second+`","endDateTime":"2026-08-20T10:30:00Z","keyId":"`+otherSP+`"}]}`)
	got := w.must(200, "GET", url, "")["keyCredentials"].([]any)
	if len(got) != 2 || look(got, 0, "keyId") != look(first, "keyId") || look(got, 1, "keyId") != otherSP || look(got, 1, "endDateTime") != "2026-08-20T10:30:00Z" || look(got, 1, "displayName") != "CN=second" {
		t.Errorf("two: %v", got)
	}
	expired := base64.StdEncoding.EncodeToString(certificate(t, "old", w.now.Add(-48*time.Hour), time.Hour))
	for _, body := range []string{
		`[{"key":"!!"}]`, `[{"key":"` + base64.StdEncoding.EncodeToString([]byte("x")) + `"}]`, `[{}]`, `[{"keyId":"` + spID + `"}]`, `[{"key":"` + expired + `"}]`,
		`[{"key":"` + text + `","type":"Symmetric"}]`, `[{"key":"` + text + `","usage":"Sign"}]`, `[{"key":"` + text + `","endDateTime":"2030-01-01T00:00:00Z"}]`,
		`[` + keep + `,` + keep + `]`, `"x"`, `[` + strings.Repeat(keep+",", mostKeys) + keep + `]`,
		`[{"key":"` + base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})) + `"}]`,
	} {
		w.must(400, "PATCH", url, `{"keyCredentials":`+body+`}`)
	}
	if left := w.must(200, "GET", url, "")["keyCredentials"].([]any); len(left) != 2 {
		t.Errorf("a refused PATCH changed something: %v", left)
	}
	w.must(204, "PATCH", url, `{"keyCredentials":[]}`)
}

func TestFederatedCredentials(t *testing.T) {
	w := newWorld(t)
	url := "/v1.0/applications/" + appID + "/federatedIdentityCredentials"
	good := func(name, subject string) string {
		return `{"name":"` + name + `","issuer":"https://idp.example","subject":"` + subject + `","audiences":["api://AzureADTokenExchange"],"description":null}`
	}
	made := w.must(201, "POST", url, good("ci-main", "repo:a"))
	id := made["id"].(string)
	for _, path := range []string{url + "/" + id, url + "/ci-main", url + "(name='ci-main')", url + "('" + id + "')"} {
		if got := w.must(200, "GET", path, ""); got["id"] != id || look(got, "audiences", 0) != "api://AzureADTokenExchange" {
			t.Errorf("%s: %v", path, got)
		}
	}
	w.must(409, "POST", url, good("ci-main", "repo:b"))
	w.must(400, "POST", url, good("ci-again", "repo:a"))
	w.must(400, "POST", url, good("x", "repo:c"))
	w.must(400, "POST", url, strings.Replace(good("http", "repo:c"), "https:", "http:", 1))
	w.must(204, "PATCH", url+"/"+id, `{"subject":"repo:z","description":"d"}`)
	if got := w.must(200, "GET", url+"/"+id, ""); got["subject"] != "repo:z" || got["description"] != "d" || got["name"] != "ci-main" {
		t.Errorf("changed: %v", got)
	}
	w.must(400, "PATCH", url+"/"+id, `{"name":"other"}`)
	w.must(404, "PATCH", url+"/"+otherSP, `{"subject":"x"}`)
	w.must(201, "PATCH", url+"(name='upsert')", `{"issuer":"https://idp.example","subject":"s","audiences":["a"]}`, "Prefer", "create-if-missing")
	for i := range 18 {
		w.must(201, "POST", url, good(fmt.Sprintf("more-%d", i), fmt.Sprintf("repo:%d", i)))
	}
	w.must(400, "POST", url, good("too-many", "repo:y"))
	if p := w.page(url + "?$filter=name%20eq%20'upsert'"); len(p.Value) != 1 {
		t.Errorf("%v", p.Value)
	}
	w.must(204, "DELETE", url+"/"+id, "")
	w.must(404, "GET", url+"/"+id, "")
}

func TestOwners(t *testing.T) {
	w := newWorld(t)
	w.fake.addUser("Ada", nil)
	ada := w.fake.users[0].ID
	url := "/v1.0/servicePrincipals/" + spID + "/owners"
	ref := func(id string) string {
		return `{"@odata.id":"https://graph.contoso.example/v1.0/directoryObjects/` + id + `"}`
	}
	w.must(204, "POST", url+"/$ref", ref(emptySP))
	w.must(204, "POST", url+"/$ref", ref(ada))
	w.must(400, "POST", url+"/$ref", ref(ada))
	w.must(404, "POST", url+"/$ref", ref(otherSP))
	w.must(400, "POST", url+"/$ref", `{}`)
	p := w.page("/beta/applications/" + appID + "/owners")
	if len(p.Value) != 2 || p.Value[0]["@odata.type"] != "#microsoft.graph.servicePrincipal" || p.Value[1]["@odata.type"] != "#microsoft.graph.user" || p.Value[1]["id"] != ada {
		t.Errorf("owners %v", p.Value)
	}
	if p := w.page(url + "/$ref"); len(p.Value) != 2 || !strings.HasSuffix(p.Value[1]["@odata.id"].(string), "/directoryObjects/"+ada) {
		t.Errorf("refs %v", p.Value)
	}
	if p := w.page("/v1.0/servicePrincipals/" + emptySP + "/ownedObjects"); len(p.Value) != 2 {
		t.Errorf("owned %v", p.Value)
	}
	w.must(204, "DELETE", url+"/"+ada+"/$ref", "")
	w.must(404, "DELETE", url+"/"+ada+"/$ref", "")
	w.must(204, "DELETE", "/v1.0/applications/"+emptyApp, "")
	if p := w.page(url); len(p.Value) != 0 {
		t.Errorf("an owner that is gone: %v", p.Value)
	}
}

// TestOwnersAreNotShown makes others owners of an own app to read them.
func TestOwnersAreNotShown(t *testing.T) {
	w := newWorld(t)
	w.fake.addUser("Ada", nil)
	mine, err := w.apps.Client(t.Context(), uuid.MustParse(emptyApp))
	if err != nil {
		t.Fatal(err)
	}
	mine.Owners = []uuid.UUID{callerID, uuid.MustParse(w.fake.users[0].ID), uuid.MustParse(spID), uuid.MustParse(emptySP)}
	w.put(mine)
	url := "/v1.0/applications/" + emptyApp + "/owners"
	p := w.page(url, "Authorization", asApp(callerID, "Application.ReadWrite.OwnedBy"))
	if len(p.Value) != 3 || len(p.Value[0]) != 2 || len(p.Value[1]) != 2 || p.Value[1]["id"] != spID || p.Value[2]["displayName"] == nil {
		t.Errorf("shown to one that may read what it owns: %v", p.Value)
	}
	p = w.page(url, "Authorization", asApp(callerID, "Application.Read.All"))
	if len(p.Value) != 3 || len(p.Value[0]) != 2 || p.Value[0]["@odata.type"] != "#microsoft.graph.user" || p.Value[1]["displayName"] == nil {
		t.Errorf("shown to one that may read apps: %v", p.Value)
	}
}

func TestGraphServicePrincipal(t *testing.T) {
	w := newWorld(t)
	p := w.page("/v1.0/servicePrincipals?%24filter=" + url.QueryEscape("appId eq '00000003-0000-0000-c000-000000000000'"))
	if len(p.Value) != 1 || p.Value[0]["displayName"] != "Microsoft Graph" {
		t.Fatalf("%v", p.Value)
	}
	graph := p.Value[0]
	if graph["id"] != graphSP.String() {
		t.Errorf("its id %v is not the one that tokens are issued for", graph["id"])
	}
	roles := map[any]any{}
	for _, r := range graph["appRoles"].([]any) {
		if look(r, "allowedMemberTypes", 0) != "Application" {
			t.Errorf("%v", r)
		}
		roles[look(r, "value")] = look(r, "id")
	}
	for name, id := range oauth.RoleIDs {
		if roles[name] != id.String() {
			t.Errorf("%s has id %v", name, roles[name])
		}
	}
	for _, r := range []struct{ method, path, body string }{
		{"PATCH", "", `{"tags":["x"]}`}, {"DELETE", "", ""}, {"POST", "/addPassword", `{}`}, {"POST", "/owners/$ref", `{"@odata.id":"x/` + spID + `"}`},
	} {
		w.must(403, r.method, "/v1.0/servicePrincipals/"+graph["id"].(string)+r.path, r.body)
	}
	w.must(400, "POST", "/v1.0/servicePrincipals/"+graph["id"].(string)+"/synchronization/jobs", `{"templateId":"API2AAD"}`)
	w.must(404, "GET", "/v1.0/applications(appId='00000003-0000-0000-c000-000000000000')", "")
}

// TestBuiltInApp tries to get at the tokens of those who sign in to the service's own app.
func TestBuiltInApp(t *testing.T) {
	w := newWorld(t)
	id := uuid.MustParse(otherSP)
	own := &oauth.Client{AppID: id, ApplicationID: id, ObjectID: id, DisplayName: "Admin center", Public: true, BuiltIn: true, RedirectURIs: []string{"https://here.example/"},
		Grants: []oauth.Grant{{ID: "g", Resource: graphSP, Scope: "User.Read"}}, Created: w.now}
	w.put(own)
	app, sp := "/v1.0/applications/"+otherSP, "/v1.0/servicePrincipals/"+otherSP
	for _, r := range [][3]string{
		{"PATCH", app, `{"spa":{"redirectUris":["https://evil.example/"]}}`}, {"PATCH", sp, `{"accountEnabled":false}`}, {"DELETE", app, ""}, {"DELETE", sp, ""},
		{"POST", app + "/addPassword", `{}`}, {"POST", sp + "/owners/$ref", `{"@odata.id":"x/` + spID + `"}`},
		{"POST", app + "/federatedIdentityCredentials", `{"name":"evil","issuer":"https://evil.example","subject":"x","audiences":["x"]}`},
		{"PATCH", "/v1.0/oauth2PermissionGrants/g", `{"scope":"x"}`}, {"DELETE", "/v1.0/oauth2PermissionGrants/g", ""},
		{"POST", sp + "/appRoleAssignments", `{"principalId":"` + otherSP + `","resourceId":"` + graphSP.String() + `","appRoleId":"` + oauth.RoleIDs["User.Read.All"].String() + `"}`},
	} {
		w.must(403, r[0], r[1], r[2])
	}
	if got, err := w.apps.Client(t.Context(), id); err != nil || !cmp.Equal(got, own) {
		t.Errorf("it is now %+v, %v", got, err)
	}
	w.must(200, "GET", app, "")
}

func TestAssignments(t *testing.T) {
	w := newWorld(t)
	w.fake.addUser("Ada", nil)
	graph := graphSP.String()
	upload := oauth.RoleIDs["SynchronizationData-User.Upload"].String()
	body := func(principal, resource, role string) string {
		return `{"principalId":"` + principal + `","resourceId":"` + resource + `","appRoleId":"` + role + `"}`
	}
	mine, theirs := "/v1.0/servicePrincipals/"+spID+"/appRoleAssignments", "/v1.0/servicePrincipals/"+graph+"/appRoleAssignedTo"
	made := w.must(201, "POST", mine, body(spID, graph, upload))
	id := made["id"].(string)
	if len(id) != 43 || made["resourceDisplayName"] != "Microsoft Graph" || made["principalDisplayName"] != "HR feed" || made["principalType"] != "ServicePrincipal" {
		t.Errorf("made %v", made)
	}
	rolesOf := func(app string) []string {
		c, err := w.apps.Client(t.Context(), uuid.MustParse(app))
		if err != nil {
			t.Fatal(err)
		}
		return c.Roles
	}
	if got := rolesOf(appID); !slices.Equal(got, []string{"SynchronizationData-User.Upload"}) {
		t.Errorf("roles of new tokens: %v", got)
	}
	w.must(201, "POST", theirs, body(emptySP, graph, oauth.RoleIDs["ProvisioningLog.Read.All"].String())) // Terraform's side
	for _, path := range []string{mine + "/" + id, theirs + "/" + id} {
		if got := w.must(200, "GET", path, ""); got["appRoleId"] != upload {
			t.Errorf("%s: %v", path, got)
		}
	}
	if p := w.page(theirs + "?$filter=principalId%20eq%20" + emptySP); len(p.Value) != 1 {
		t.Errorf("assigned to: %v", p.Value)
	}
	for _, c := range []struct{ path, body, want string }{
		{mine, body(spID, graph, upload), "Permission being assigned already exists on the object"},
		{mine, body(spID, graph, otherSP), "Permission being assigned was not found on application"},
		{mine, body(spID, graph, uuid.Nil.String()), "Permission being assigned was not found on application"},
		{mine, body(spID, emptySP, upload), "Permission being assigned was not found on application"},
		{mine, body(spID, graph, "x"), "Property 'appRoleId' is invalid"},
		{mine, body(emptySP, graph, upload), "Property 'principalId' is invalid: it is the service principal that the path names"},
		{theirs, body(spID, emptySP, upload), "Property 'resourceId' is invalid: it is the service principal that the path names"},
		{theirs, body(w.fake.users[0].ID, graph, upload), "Property 'principalId' is invalid: app roles are given to service principals only"},
	} {
		rec := w.send("POST", c.path, c.body, "Content-Type", "application/json")
		if code, message := errorOf(t, rec); rec.Code != 400 || code != "Request_BadRequest" || !strings.HasPrefix(message, c.want) {
			t.Errorf("%s: %d %s %s", c.body, rec.Code, code, message)
		}
	}
	w.must(404, "POST", theirs, body(otherSP, graph, upload))
	w.must(201, "POST", mine, body(spID, emptySP, uuid.Nil.String())) // default access
	w.must(204, "DELETE", theirs+"/"+id, "")
	w.must(404, "DELETE", mine+"/"+id, "")
	if got := rolesOf(appID); len(got) != 0 {
		t.Errorf("roles left: %v", got)
	}
	w.put(&oauth.Client{AppID: uuid.MustParse(otherSP), ObjectID: uuid.MustParse(otherSP), DisplayName: "Offline", Roles: []string{"User.Read.All"}, Created: w.now})
	if p := w.page("/v1.0/servicePrincipals/" + otherSP + "/appRoleAssignments"); len(p.Value) != 1 {
		t.Fatalf("a role without an assignment: %v", p.Value)
	} else {
		w.must(204, "DELETE", "/v1.0/servicePrincipals/"+otherSP+"/appRoleAssignments/"+p.Value[0]["id"].(string), "")
	}
	if got := rolesOf(otherSP); len(got) != 0 {
		t.Errorf("roles left: %v", got)
	}
	w.must(204, "DELETE", "/v1.0/servicePrincipals/"+emptySP, "")
	if p := w.page(mine); len(p.Value) != 0 {
		t.Errorf("an assignment on what is gone: %v", p.Value)
	}
}

func TestGrants(t *testing.T) {
	w := newWorld(t)
	w.fake.addUser("Ada", nil)
	ada, graph := w.fake.users[0].ID, graphSP.String()
	const url = "/v1.0/oauth2PermissionGrants"
	made := w.must(201, "POST", url, `{"clientId":"`+spID+`","consentType":"AllPrincipals","principalId":null,"resourceId":"`+graph+`","scope":" User.Read  Synchronization.ReadWrite.All "}`)
	if made["scope"] != "User.Read Synchronization.ReadWrite.All" || made["principalId"] != nil || made["consentType"] != "AllPrincipals" {
		t.Errorf("made %v", made)
	}
	one := w.must(201, "POST", url, `{"clientId":"`+spID+`","consentType":"Principal","principalId":"`+ada+`","resourceId":"`+graph+`","scope":"openid"}`)
	if one["principalId"] != ada {
		t.Errorf("for one: %v", one)
	}
	for body, status := range map[string]int{
		`{"clientId":"` + spID + `","consentType":"AllPrincipals","resourceId":"` + graph + `","scope":"x"}`:                             409,
		`{"clientId":"` + spID + `","consentType":"Principal","resourceId":"` + graph + `","scope":"x"}`:                                 400,
		`{"clientId":"` + spID + `","consentType":"AllPrincipals","principalId":"` + ada + `","resourceId":"` + graph + `","scope":"x"}`: 400,
		`{"clientId":"` + spID + `","consentType":"Principal","principalId":"` + otherSP + `","resourceId":"` + graph + `","scope":"x"}`: 404,
		`{"clientId":"` + spID + `","consentType":"Principal","principalId":"x","resourceId":"` + graph + `","scope":"x"}`:               400,
		`{"clientId":"` + otherSP + `","consentType":"AllPrincipals","resourceId":"` + graph + `","scope":"x"}`:                          404,
		`{"clientId":"` + spID + `","consentType":"AllPrincipals","resourceId":"` + otherSP + `","scope":"x"}`:                           404,
		`{"clientId":"` + spID + `","consentType":"AllPrincipals","resourceId":"` + graph + `"}`:                                         400,
	} {
		w.must(status, "POST", url, body)
	}
	filter := "?%24filter=clientId+eq+%27" + spID + "%27+and+resourceId+eq+%27" + graph + "%27+and+consentType+eq+%27AllPrincipals%27"
	if p := w.page(url + filter); len(p.Value) != 1 || p.Value[0]["id"] != made["id"] {
		t.Errorf("filtered: %v", p.Value)
	}
	if p := w.page("/v1.0/servicePrincipals/" + spID + "/oauth2PermissionGrants"); len(p.Value) != 2 {
		t.Errorf("of the client: %v", p.Value)
	}
	w.must(204, "PATCH", url+"/"+made["id"].(string), `{"scope":"User.Read"}`)
	if got := w.must(200, "GET", url+"/"+made["id"].(string), ""); got["scope"] != "User.Read" {
		t.Errorf("changed: %v", got)
	}
	w.must(204, "DELETE", url+"/"+made["id"].(string), "")
	w.must(404, "DELETE", url+"/"+made["id"].(string), "")
}

func TestManagedIdentity(t *testing.T) {
	w := newWorld(t)
	made := w.must(201, "POST", "/v1.0/servicePrincipals", `{"servicePrincipalType":"ManagedIdentity","displayName":"Uploader"}`)
	if made["servicePrincipalType"] != "ManagedIdentity" || look(made, "alternativeNames", 0) != "isExplicit=True" {
		t.Errorf("%v", made)
	}
	url := "/v1.0/servicePrincipals/" + made["id"].(string)
	w.must(400, "POST", url+"/addPassword", `{}`)
	w.must(400, "POST", url+"/synchronization/jobs", `{"templateId":"API2AAD"}`)
	if p := w.page("/v1.0/servicePrincipals?$filter=servicePrincipalType%20eq%20'ManagedIdentity'"); len(p.Value) != 1 {
		t.Errorf("%v", p.Value)
	}
	if p := w.page("/v1.0/applications"); len(p.Value) != 2 {
		t.Errorf("it has an application: %v", p.Value)
	}
	w.must(400, "POST", "/v1.0/servicePrincipals", `{"servicePrincipalType":"ManagedIdentity"}`)
	w.must(400, "POST", "/v1.0/servicePrincipals", `{}`)
	w.must(400, "POST", "/v1.0/servicePrincipals", `{"appId":"`+otherSP+`"}`)
	w.must(204, "DELETE", url, "")
	if all, _ := w.apps.Clients(t.Context()); len(all) != 2 {
		t.Errorf("%d clients", len(all))
	}
}

func TestExtensionProperties(t *testing.T) {
	w := newWorld(t)
	url := "/v1.0/applications/" + appID + "/extensionProperties"
	made := w.must(201, "POST", url, `{"name":"costCode","dataType":"string","targetObjects":["User"]}`)
	name := "extension_" + strings.ReplaceAll(appID, "-", "") + "_costCode"
	if made["name"] != name || made["dataType"] != "String" || look(made, "targetObjects", 0) != "User" {
		t.Errorf("%v", made)
	}
	for _, body := range []string{`{"name":"COSTCODE","dataType":"String","targetObjects":["User"]}`, `{"name":"a b","dataType":"String","targetObjects":["User"]}`,
		`{"name":"x","dataType":"Text","targetObjects":["User"]}`, `{"name":"x","dataType":"String"}`} {
		w.must(400, "POST", url, body)
	}
	w.must(204, "PATCH", "/v1.0/applications/"+appID, `{"notes":"n","extensionProperties":[]}`)
	if p := w.page(url); len(p.Value) != 1 {
		t.Errorf("%v", p.Value)
	}
	available := w.must(200, "POST", "/v1.0/directoryObjects/getAvailableExtensionProperties", `{"isSyncedFromOnPremises":false}`)
	if look(available, "value", 0, "name") != name {
		t.Errorf("%v", available)
	}
	w.fake.users = []provision.Object{{ID: uuid.NewString(), Attributes: map[string]expr.Value{name: expr.Text("4711"), "userPrincipalName": expr.Text("a@contoso.example")}}}
	if p := w.page("/v1.0/users?$select=" + name); p.Value[0][name] != "4711" {
		t.Errorf("%v", p.Value)
	}
	for _, d := range w.page(jobURL + "/schema/directories").Value {
		rec := w.send("POST", jobURL+"/schema/directories/"+d["id"].(string)+"/discover", "")
		if offered := strings.Contains(rec.Body.String(), name); rec.Code != 200 || offered != (d["id"] == w.fake.job.Schema.Directories[1].ID) {
			t.Errorf("discover %v: %d, offered %t", d["name"], rec.Code, offered)
		}
	}
	w.must(200, "GET", url+"/"+made["id"].(string), "")
	w.must(204, "DELETE", url+"/"+made["id"].(string), "")
	w.must(404, "DELETE", url+"/"+made["id"].(string), "")
}

// TestAppAudit has the audit log name who changed what, and no secret.
func TestAppAudit(t *testing.T) {
	w := newWorld(t)
	app := w.must(201, "POST", "/v1.0/applications", `{"displayName":"Client","tags":["a"]}`)
	url := "/v1.0/applications/" + app["id"].(string)
	secret := w.must(200, "POST", url+"/addPassword", `{"passwordCredential":{"displayName":"ci"}}`)
	sp := w.must(201, "POST", "/v1.0/servicePrincipals", `{"appId":"`+app["appId"].(string)+`"}`)["id"].(string)
	w.must(201, "POST", "/v1.0/servicePrincipals/"+sp+"/appRoleAssignments",
		`{"principalId":"`+sp+`","resourceId":"`+graphSP.String()+`","appRoleId":"`+oauth.RoleIDs["User.Read.All"].String()+`"}`)
	w.must(204, "POST", url+"/owners/$ref", `{"@odata.id":"x/`+emptySP+`"}`)
	w.must(204, "PATCH", url, `{"tags":["b"]}`)
	w.must(400, "PATCH", url, `{"tags":"b"}`)
	w.must(204, "DELETE", "/v1.0/servicePrincipals/"+sp, "")
	w.must(204, "DELETE", url, "")
	p := w.page("/v1.0/auditLogs/directoryAudits?$filter=category%20eq%20'ApplicationManagement'")
	var got []string
	for _, e := range p.Value {
		got = append(got, fmt.Sprint(e["activityDisplayName"], " ", look(e, "targetResources", 0, "type"), " ", look(e, "initiatedBy", "app", "displayName")))
	}
	slices.Reverse(got)
	want := []string{"Add application Application HR feed", "Add credentials to application Application HR feed", "Add service principal ServicePrincipal HR feed",
		"Add app role assignment to service principal ServicePrincipal HR feed", "Add owner to application Application HR feed", "Update application Application HR feed",
		"Remove service principal ServicePrincipal HR feed", "Delete application Application HR feed"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	text := w.get("/v1.0/auditLogs/directoryAudits").Body.String()
	for _, has := range []string{"User.Read.All", secret["keyId"].(string), `"oldValue":"[\"a\"]","newValue":"[\"b\"]"`, emptySP} {
		if !strings.Contains(text, has) {
			t.Errorf("it does not have %s", has)
		}
	}
	if strings.Contains(text, secret["secretText"].(string)) {
		t.Error("it has the secret")
	}
}

// FuzzPatchApplication sends anything: it is refused whole, or kept, and then the application and all lists can be read.
func FuzzPatchApplication(f *testing.F) {
	for _, seed := range []string{`{"tags":["a"],"web":{"redirectUris":["https://a.example/cb"]},"x":{"y":[null]}}`, `{"keyCredentials":[{"key":"MIIB","keyId":null}]}`,
		`{"passwordCredentials":[{"keyId":"x"}]}`, `{"uniqueName":"u","identifierUris":["api://a"],"appRoles":[{"id":1}]}`, `{"extensionProperties":7,"owners@odata.bind":[""]}`, `{"displayName":null,"TAGS":null}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t)
		w.extended = true // members of one's own are not in Graph's schema
		for _, url := range []string{"/v1.0/applications/" + appID, "/v1.0/servicePrincipals/" + spID} {
			before := w.get(url).Body.String()
			rec := w.send("PATCH", url, body, "Content-Type", "application/json")
			after := w.must(200, "GET", url, "")
			if rec.Code/100 != 2 && (rec.Code/100 != 4 || w.get(url).Body.String() != before) || after["id"] == nil {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		}
		w.must(200, "GET", "/v1.0/applications?$filter=tags/any(t:t%20eq%20'a')%20or%20displayName%20ne%20'x'", "")
		w.must(200, "GET", "/v1.0/servicePrincipals", "")
	})
}
