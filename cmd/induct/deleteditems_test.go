package main_test

import (
	"net/http"
	"path/filepath"
	"testing"
)

type account struct {
	ID, DisplayName, UserPrincipalName, DeletedDateTime string
}

// A deletion, a restore and a purge that were answered outlast a kill, and so do the names that they free and take.
func TestDeletedItemsSurviveKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	c := p.client(t)
	l := newLedger(1)
	upload := func(people ...string) {
		t.Helper()
		var ops []map[string]any
		for _, name := range people {
			ops = append(ops, map[string]any{"method": "POST", "bulkId": name, "path": "/Users", "data": l.person(name, name)})
		}
		a, err := c.upload(t.Context(), "", bulk(ops))
		if err != nil || a.status != http.StatusAccepted {
			t.Fatalf("%d %s, %v", a.status, a.body, err)
		}
		c.settled(t, a.header.Get("x-induct-upload-id"))
	}
	accounts := func(url string) map[string]account {
		t.Helper()
		all := map[string]account{}
		for _, u := range list[account](t, c, c.graph+url) {
			all[u.DisplayName] = u
		}
		return all
	}
	answers := func(status int, method, url, body string) {
		t.Helper()
		a, err := c.do(t.Context(), method, c.graph+url, map[string]string{"Content-Type": "application/json"}, []byte(body))
		if err != nil || a.status != status {
			t.Fatalf("%s %s: %d %s, %v", method, url, a.status, a.body, err)
		}
	}
	const items = "/directory/deletedItems"
	upload("ada", "bo", "cy", "di")
	users := accounts("/users")
	ada, bo, cy := users["Person ada"], users["Person bo"], users["Person cy"]
	for _, u := range []account{ada, bo, cy} {
		answers(http.StatusNoContent, "DELETE", "/users/"+u.UserPrincipalName, "")
	}
	answers(http.StatusOK, "POST", items+"/"+bo.ID+"/restore", `{"newUserPrincipalName":"`+ada.UserPrincipalName+`"}`)
	answers(http.StatusNoContent, "DELETE", items+"/"+cy.ID, "")
	p.kill()

	p = start(t, dir)
	c = p.client(t)
	if got := accounts("/users"); len(got) != 2 || got["Person bo"].ID != bo.ID || got["Person bo"].UserPrincipalName != ada.UserPrincipalName || got["Person di"].ID == "" {
		t.Errorf("users are %v", got)
	}
	if got := accounts(items + "/microsoft.graph.user"); len(got) != 1 || got["Person ada"].ID != ada.ID || got["Person ada"].DeletedDateTime == "" {
		t.Errorf("deleted items are %v", got)
	}
	answers(http.StatusNotFound, "GET", items+"/"+cy.ID, "")
	answers(http.StatusBadRequest, "POST", items+"/"+ada.ID+"/restore", "") // bo has the name
	answers(http.StatusNoContent, "DELETE", "/users/"+bo.ID, "")
	answers(http.StatusOK, "POST", items+"/"+ada.ID+"/restore", "")
	if got := accounts("/users" + query("$filter", "userPrincipalName eq '"+ada.UserPrincipalName+"'")); len(got) != 1 || got["Person ada"].ID != ada.ID {
		t.Errorf("the name leads to %v", got)
	}
}
