package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What an administrator changes beside provisioning is what everybody reads, is overridden by what is provisioned next, and
// outlasts a kill.
func TestReadAndWriteUsers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	c := p.client(t)
	type user struct {
		ID, DisplayName, UserPrincipalName, JobTitle, City, MailNickname string
	}
	send := func(status int, method, url, body string) []byte {
		t.Helper()
		a, err := c.do(t.Context(), method, c.graph+url, map[string]string{"Content-Type": "application/json", "ConsistencyLevel": "eventual"}, []byte(body))
		if err != nil || a.status != status {
			t.Fatalf("%s %s: %d %s, %v", method, url, a.status, a.body, err)
		}
		return a.body
	}
	upload := func(title string) {
		t.Helper()
		var ops []map[string]any
		for _, name := range []string{"ada", "bo", "cy"} {
			ops = append(ops, map[string]any{"method": "POST", "bulkId": name, "path": "/Users", "data": map[string]any{"schemas": []string{coreUser, enterprise}, "externalId": name,
				"userName": name, "displayName": "Person " + name, "title": title, "active": true}})
		}
		a, err := c.upload(t.Context(), "", bulk(ops))
		if err != nil || a.status != http.StatusAccepted {
			t.Fatalf("%d %s, %v", a.status, a.body, err)
		}
		c.settled(t, a.header.Get("x-induct-upload-id"))
	}
	upload("Clerk")
	find := func(filter string) (names string) {
		t.Helper()
		var all []string
		for _, u := range list[user](t, c, c.graph+"/users"+query("$filter", filter, "$count", "true", "$top", "1")) {
			all = append(all, strings.TrimPrefix(u.DisplayName, "Person "))
		}
		slices.Sort(all) // users made in one moment have no order among them
		return strings.Join(all, " ")
	}
	users := map[string]user{}
	for _, u := range list[user](t, c, c.graph+"/users"+query("$select", "id,displayName,userPrincipalName,jobTitle")) {
		users[strings.TrimPrefix(u.DisplayName, "Person ")] = u
	}
	ada, bo := users["ada"], users["bo"]
	send(http.StatusNoContent, "PATCH", "/users/"+ada.UserPrincipalName, `{"jobTitle":"Lead","city":"Bergen","mailNickname":"adal"}`)
	send(http.StatusNoContent, "PUT", "/users/"+ada.ID+"/manager/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/users/`+bo.ID+`"}`)
	send(http.StatusBadRequest, "PATCH", "/users/"+ada.ID, `{"userPrincipalName":"`+strings.ToUpper(bo.UserPrincipalName)+`"}`)
	send(http.StatusCreated, "POST", "/users", `{"accountEnabled":true,"displayName":"Person di","mailNickname":"di","userPrincipalName":"di@`+strings.Split(bo.UserPrincipalName, "@")[1]+`","passwordProfile":{"password":"not kept"}}`)
	p.kill()

	p = start(t, dir)
	c = p.client(t)
	for filter, want := range map[string]string{
		"mailNickname eq 'ADAL' or id eq '" + bo.ID + "'":                     "ada bo",
		"startsWith(displayName,'person') and jobTitle eq 'Lead'":             "ada",
		"city eq null and displayName ne 'Person cy'":                         "bo di",
		"userPrincipalName in ('" + bo.UserPrincipalName + "','x@x.example')": "bo",
		"userType eq 'Member' and mailNickname eq 'di'":                       "di",
	} {
		if got := find(filter); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	if got := list[user](t, c, c.graph+"/users/"+bo.ID+"/directReports"); len(got) != 1 || got[0].ID != ada.ID {
		t.Errorf("reports are %v", got)
	}
	if got := list[user](t, c, c.graph+"/users"+query("$search", `"displayName:cy"`, "$count", "true")); len(got) != 1 {
		t.Errorf("found %v", got)
	}
	upload("Clerk") // as it was sent before: what was changed beside it is put right
	var batch struct {
		Responses []struct {
			ID     string
			Status int
			Body   json.RawMessage
		}
	}
	body := send(http.StatusOK, "POST", "/$batch", fmt.Sprintf(`{"requests":[{"id":"ada","method":"GET","url":"/users/%s?$select=jobTitle,city"},{"id":"none","method":"GET","url":"/users/nobody"},
		{"id":"after","dependsOn":["none"],"method":"DELETE","url":"/users/%s"},{"id":"organization","method":"GET","url":"/organization"}]}`, ada.ID, bo.ID))
	if err := json.Unmarshal(body, &batch); err != nil || len(batch.Responses) != 4 {
		t.Fatalf("%s, %v", body, err)
	}
	for i, want := range []int{200, 404, 424, 200} {
		if r := batch.Responses[i]; r.Status != want {
			t.Errorf("%s: %d %s", r.ID, r.Status, r.Body)
		}
	}
	if got := string(batch.Responses[0].Body); !strings.Contains(got, `"jobTitle":"Clerk"`) || !strings.Contains(got, `"city":"Bergen"`) {
		t.Errorf("ada is %s", got)
	}
	if text := p.stderr.String(); strings.Contains(text, "not kept") {
		t.Error("a password is in the log")
	}
}
