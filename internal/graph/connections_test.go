package graph

import (
	"fmt"
	"strings"
	"testing"

	"induct/internal/provision"
)

func connectedWorld(t testing.TB, n int) *world {
	w := newWorld(t)
	for i := 1; i <= n; i++ {
		w.fake.people = append(w.fake.people, provision.KeptPerson{Place: int64(10 * i), Person: provision.Person{Anchor: fmt.Sprint("70", i), ObjectID: fmt.Sprint("object-", i), Name: fmt.Sprint("Person ", i)}})
	}
	w.fake.people = append(w.fake.people, provision.KeptPerson{Place: 1000, Person: provision.Person{Anchor: "no account"}})
	return w
}

func TestObjectConnection(t *testing.T) {
	for _, url := range spellings {
		for _, id := range []string{"/objectConnections/701", "/objectConnections('701')", "/objectConnections/object-1", "/objectconnections('object-1')", "/objectConnections(701)"} {
			w := connectedWorld(t, 2)
			o := w.document(url + id)
			version := strings.Split(url, "/")[1]
			if o["@odata.context"] != "https://graph.contoso.example/"+version+"/$metadata#objectConnection/$entity" || o["objectId"] != "701" || o["sourceAnchor"] != "701" ||
				o["targetAnchor"] != "object-1" || o["displayName"] != "Person 1" || o["objectTypeName"] != "user" || len(o) != 6 {
				t.Errorf("%s%s: %v", url, id, o)
			}
			for range 2 { // again when it is gone
				if rec := w.send("DELETE", url+id, ""); rec.Code != 204 || rec.Body.Len() > 0 {
					t.Errorf("%s%s: DELETE %d %s", url, id, rec.Code, rec.Body)
				}
			}
			if rec := w.get(url + id); rec.Code != 404 {
				t.Errorf("%s%s: GET after DELETE %d", url, id, rec.Code)
			}
		}
	}
	w := connectedWorld(t, 1)
	if rec := w.get(jobURL + "/objectConnections/no%20account"); rec.Code != 404 {
		t.Errorf("somebody without an account: %d", rec.Code)
	}
	w.fake.people = append(w.fake.people, provision.KeptPerson{Place: 2000, Person: provision.Person{Anchor: "a/b'c", ObjectID: "o"}})
	for _, id := range []string{"/objectConnections/a%2Fb'c", "/objectConnections('a%2Fb''c')"} {
		if o := w.document(jobURL + id); o["targetAnchor"] != "o" {
			t.Errorf("%s: %v", id, o)
		}
	}
}

func TestObjectConnectionsPaged(t *testing.T) {
	w := connectedWorld(t, 5)
	for _, top := range []string{"", "?$top=1", "?$top=2", "?$top=5", "?$top=6"} {
		var got []string
		pages := 0
		for next := jobURL + "/objectConnections" + top; next != ""; pages++ {
			p := w.page(next)
			for _, v := range p.Value {
				got = append(got, v["sourceAnchor"].(string))
			}
			next = strings.TrimPrefix(p.Next, "https://graph.contoso.example")
		}
		if strings.Join(got, " ") != "701 702 703 704 705" || top == "?$top=5" && pages != 1 {
			t.Errorf("%s: %v on %d pages", top, got, pages)
		}
	}
	for _, query := range []string{"?$top=0", "?$top=1001", "?$skiptoken=x"} {
		if rec := w.get(jobURL + "/objectConnections" + query); rec.Code != 400 {
			t.Errorf("%s: %d", query, rec.Code)
		}
	}
}

func TestRelink(t *testing.T) {
	for _, c := range []struct {
		id, body string
		running  bool
		status   int
		text     string
	}{
		{id: "701", body: `{"targetAnchor":"object-9"}`, status: 200},
		{id: "no%20account", body: `{"targetAnchor":"object-9"}`, status: 200},
		{id: "701", body: `{"targetAnchor":"object-2"}`, status: 409, text: "linked to another person of this job: GET …/objectConnections/object-2"},
		{id: "799", body: `{"targetAnchor":"object-9"}`, status: 404, text: "no person with externalId '799' in this job, or no account 'object-9'"},
		{id: "701", body: `{"targetAnchor":"nobody"}`, status: 404, text: "no account 'nobody'"},
		{id: "701", body: `{"targetAnchor":"object-9"}`, running: true, status: 409, text: "The job runs: pause it"},
		{id: "701", body: `{}`, status: 400, text: "The body has no targetAnchor"},
		{id: "701", body: `{"targetAnchor":9}`, status: 400, text: "'targetAnchor' is a number"},
	} {
		for _, url := range spellings[:2] {
			w := connectedWorld(t, 2)
			if c.running {
				w.fake.job.State = provision.JobActive
			}
			rec := w.write("PUT", url+"/objectConnections/"+c.id, c.body)
			if rec.Code != c.status {
				t.Errorf("%s %s: %d %s", c.id, c.body, rec.Code, rec.Body)
				continue
			}
			if c.status == 200 {
				if o := decoded(t, rec); o["targetAnchor"] != "object-9" || len(w.fake.did) != 1 {
					t.Errorf("%s: %v, did %v", c.body, o, w.fake.did)
				}
				continue
			}
			if code, message := errorOf(t, rec); !strings.Contains(message, c.text) || w.fake.did != nil || c.status == 409 && code != "Conflict" {
				t.Errorf("%s %s: %s %s, did %v", c.id, c.body, code, message, w.fake.did)
			}
		}
	}
	w := connectedWorld(t, 1)
	w.fake.job.State = provision.JobActive
	if rec := w.send("DELETE", jobURL+"/objectConnections/701", ""); rec.Code != 409 {
		t.Errorf("DELETE while the job runs: %d", rec.Code)
	}
	if rec := w.get(jobURL + "/objectConnections/701"); rec.Code != 200 {
		t.Errorf("it is gone: %d", rec.Code)
	}
}
