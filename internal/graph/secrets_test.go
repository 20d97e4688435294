package graph

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"induct/internal/provision"
)

// secretURLs are the ways to name the secrets of the app.
var secretURLs = []string{
	"/v1.0/servicePrincipals/" + spID + "/synchronization/secrets",
	"/beta/servicePrincipals(appId='" + appID + "')/synchronization/secrets",
	"/v1.0/applications/" + appID + "/synchronization/secrets",
	"/beta/applications(appId='" + appID + "')/synchronization/secrets",
}

// secrets are the app's secrets as they are answered.
func (w *world) secrets(url string) string {
	w.t.Helper()
	var all []string
	for _, s := range w.page(url).Value {
		all = append(all, s["key"].(string)+"="+s["value"].(string))
	}
	return strings.Join(all, " ")
}

// TestSecretsOfTerraform does what Terraform's provider does with secrets.
func TestSecretsOfTerraform(t *testing.T) {
	for _, url := range secretURLs {
		w := newWorld(t)
		put := func(pairs ...string) {
			t.Helper()
			value := []m{}
			for i := 0; i < len(pairs); i += 2 {
				value = append(value, m{"key": pairs[i], "value": pairs[i+1]})
			}
			if rec := w.write("PUT", url, m{"value": value}); rec.Code != 204 || rec.Body.Len() > 0 {
				t.Fatalf("%s: %d %s", url, rec.Code, rec.Body)
			}
		}
		put("BaseAddress", "https://scim.contoso.example", "SecretToken", "hunter2", "SyncAll", "false")
		if got := w.secrets(url); got != "BaseAddress=https://scim.contoso.example SecretToken=* SyncAll=false" {
			t.Errorf("%s: %s", url, got)
		}
		if rec := w.get(url + "/$count"); rec.Body.String() != "3" || rec.Header().Get("Content-Type") != "text/plain" {
			t.Errorf("%s: count %s", url, rec.Body)
		}
		if strings.Contains(encode(w.fake.apps[0]), "hunter2") || strings.Contains(w.log.String(), "hunter2") {
			t.Error("a confidential value was kept")
		}
		put("SecretToken", "*", "SyncAll", "false") // what was read, put back, with one entry less
		if got := w.secrets(url); got != "SecretToken=* SyncAll=false" {
			t.Errorf("%s: %s", url, got)
		}
		put("SecretToken", "", "SyncAll", "")
		if got := w.secrets(url); got != "" {
			t.Errorf("%s: %s", url, got)
		}
		if rec := w.get(url + "/$count"); rec.Body.String() != "0" {
			t.Errorf("%s: count %s", url, rec.Body)
		}
	}
}

func TestSecretsBody(t *testing.T) {
	for _, c := range []struct{ body, did, refused string }{
		{body: `{"value":[]}`, did: "secrets []"},
		{body: `{"value":[{"key":"secrettoken","value":"hunter2"}]}`, did: "secrets [{SecretToken }]"},
		{body: `{"value":[{"@odata.type":"microsoft.graph.synchronizationSecretKeyStringValuePair","key":"Domain","value":null}]}`, did: "secrets []"},
		{body: `{"value":[{"key":"SyncNotificationSettings","value":"{\"Enabled\":true,\"Recipients\":\"a@contoso.example;b@contoso.example\",\"DeleteThresholdEnabled\":true,\"DeleteThresholdValue\":500,\"HumanResourcesLookaheadQueryEnabled\":false}"}]}`,
			did: `secrets [{SyncNotificationSettings {"Enabled":true,"Recipients":"a@contoso.example;b@contoso.example","DeleteThresholdEnabled":true,"DeleteThresholdValue":500,"HumanResourcesLookaheadQueryEnabled":false}}]`},
		{body: `{"value":[{"key":"SkipOutOfScopeDeletions","value":"True"}]}`, did: "secrets [{SkipOutOfScopeDeletions True}]"},
		{body: `{}`, refused: "The body has no value"},
		{body: `{"value":null}`, refused: "The body has no value"},
		{body: `{"value":{"key":"SyncAll"}}`, refused: "'value' is an object"},
		{body: `{"value":[{"key":"SyncAll","value":false}]}`, refused: "'value.value' is a bool"},
		{body: `{"value":[{"key":"Passwort","value":"hunter2"}]}`, refused: "The key 'Passwort' is not one of synchronizationSecret: None, UserName, Password"},
		{body: `{"value":[{"value":"hunter2"}]}`, refused: "The key ''"},
		{body: `{"value":[{"key":"Password","value":"hunter2"},{"key":"password","value":"hunter2"}]}`, refused: "The key 'Password' is given twice"},
		{body: `{"value":[{"key":"Password","value":"hunter2` + strings.Repeat("x", 64<<10) + `"}]}`, refused: "The value of Password has 65543 bytes"},
		{body: `{"value":[{"key":"SyncNotificationSettings","value":"yes"}]}`, refused: "The value of SyncNotificationSettings cannot be used: it is not a JSON object written as text"},
		{body: `{"value":[{"key":"SyncNotificationSettings","value":"{\"Recipients\":\"nobody\"}"}]}`, refused: `"nobody" is not a mail address`},
		{body: `{"value":[{"key":"SyncNotificationSettings","value":"{\"DeleteThresholdValue\":\"500\"}"}]}`, refused: "DeleteThresholdValue is to be a whole number"},
		{body: `{"value":[{"key":"SkipOutOfScopeDeletions","value":"yes"}]}`, refused: "it is True or False"},
	} {
		w := newWorld(t)
		rec := w.write("PUT", secretURLs[0], c.body)
		if c.refused == "" {
			if rec.Code != 204 || strings.Join(w.fake.did, ", ") != c.did {
				t.Errorf("%s: %d %s, did %q", c.body, rec.Code, rec.Body, w.fake.did)
			}
			continue
		}
		_, message := errorOf(t, rec)
		if rec.Code != 400 || !strings.Contains(message, c.refused) || strings.Contains(message, "hunter2") || w.fake.did != nil {
			t.Errorf("%.200s: %d %s, did %v", c.body, rec.Code, message, w.fake.did)
		}
	}
	w := newWorld(t)
	if rec := w.write("PUT", strings.Replace(secretURLs[0], spID, otherSP, 1), m{"value": []m{}}); rec.Code != 404 {
		t.Errorf("no such app: %d", rec.Code)
	}
}

func TestSynchronizationRoot(t *testing.T) {
	w := newWorld(t)
	w.fake.apps[0].Secrets = []provision.KeyValue{{Key: "SyncAll", Value: "false"}, {Key: "Password"}}
	for _, secrets := range secretURLs {
		root := w.document(strings.TrimSuffix(secrets, "/secrets"))
		if root["id"] != spID || encode(root["secrets"]) != `[{"key":"SyncAll","value":"false"},{"key":"Password","value":"*"}]` || !strings.HasSuffix(root["@odata.context"].(string), "/synchronization/$entity") {
			t.Errorf("%s: %v", secrets, root)
		}
	}
	if rec := w.write("PUT", strings.TrimSuffix(secretURLs[0], "/secrets"), m{}); rec.Code != 405 {
		t.Errorf("PUT of the root: %d", rec.Code)
	}
	if rec := w.write("PATCH", strings.TrimSuffix(secretURLs[0], "/secrets")+"/connectivityParameters", m{}); rec.Code != 501 {
		t.Errorf("connectivityParameters: %d", rec.Code)
	}
}

// FuzzSecrets looks for a body of which a confidential value stays, or a key that is none.
func FuzzSecrets(f *testing.F) {
	for _, s := range []string{`{"value":[{"key":"SecretToken","value":"x"},{"key":"SyncAll","value":"false"}]}`, `{"value":[]}`,
		`{"value":[{"key":"SyncNotificationSettings","value":"{\"Recipients\":\"a@contoso.example\"}"}]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		secrets, err := parseSecrets([]byte(body))
		if err != nil {
			if p := asProblem(err); p.status != 400 || p.message == "" {
				t.Errorf("%q: %+v", body, p)
			}
			return
		}
		seen := map[string]bool{}
		value := []m{}
		for _, s := range secrets {
			if !slices.Contains(secretKeys, s.Key) || seen[s.Key] || s.Value != "" && !slices.Contains(clearSecrets, s.Key) {
				t.Errorf("%q: %+v", body, secrets)
			}
			seen[s.Key] = true
			value = append(value, m{"key": s.Key, "value": secretObject(&s).get("value")})
		}
		shown, _ := json.Marshal(m{"value": value})
		if again, err := parseSecrets(shown); err != nil || !slices.Equal(again, secrets) {
			t.Errorf("%q: what is shown is read as %+v %v", body, again, err)
		}
	})
}
