package graph

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"induct/internal/provision"
)

// pendingWorld has held changes at 1, 3, 5, of which 3 and 5 are staged, and escrows at 2 and 4.
func pendingWorld(t testing.TB) *world {
	w := newWorld(t)
	since := time.Date(2026, 8, 20, 9, 0, 0, 0, time.UTC)
	for i := 1; i <= 5; i++ {
		p := provision.Pending{Place: int64(i), Kind: provision.PendingHeld, Anchor: fmt.Sprint("70", i), Name: fmt.Sprint("Person ", i), Upload: 3, Index: i, BulkID: "b", Cycle: 2,
			Action: provision.ActionDisable, ObjectID: fmt.Sprint("o", i), ObjectName: "p@contoso.example", Since: since, Staged: i > 2}
		if i%2 == 0 {
			p.Kind, p.Action, p.Attempts, p.Due, p.Code, p.Attribute, p.Reason, p.Advice, p.Staged = provision.PendingRetry, provision.ActionCreate, 4, since.Add(time.Hour), "Conflict", "mail", "taken", "free it", false
		}
		w.fake.pending = append(w.fake.pending, p)
	}
	return w
}

func (w *world) ids(target string) string {
	w.t.Helper()
	var all []string
	for next := target; next != ""; {
		p := w.page(next)
		for _, v := range p.Value {
			all = append(all, v["id"].(string))
		}
		next = strings.TrimPrefix(p.Next, "https://graph.contoso.example")
		if len(all) > 100 {
			w.t.Fatal("endless pages")
		}
	}
	return strings.Join(all, " ")
}

func TestPending(t *testing.T) {
	w := pendingWorld(t)
	for target, want := range map[string]string{
		"/heldChanges": "1 3 5", "/heldChanges?$top=1": "1 3 5", "/heldChanges?$top=2": "1 3 5", "/heldChanges?staged=true": "3 5", "/heldChanges?staged=TRUE&$top=1": "3 5",
		"/heldChanges?staged=false": "1 3 5", "/heldChanges?externalId=703": "3", "/heldChanges?externalId=702": "", "/escrows": "2 4", "/escrows?$top=1": "2 4", "/escrows?externalId=704": "4",
	} {
		for _, url := range spellings {
			if got := w.ids(url + target); got != want {
				t.Errorf("%s: %q, want %q", target, got, want)
			}
		}
	}
	for _, target := range []string{"/heldChanges?staged=perhaps", "/heldChanges?$top=0", "/escrows?$skiptoken=x", "/notifications?$top=1001"} {
		if rec := w.get(jobURL + target); rec.Code != 400 {
			t.Errorf("%s: %d", target, rec.Code)
		}
	}
	first := w.page(jobURL + "/heldChanges?$top=1")
	if rec := w.get(strings.Replace(strings.TrimPrefix(first.Next, "https://graph.contoso.example"), "heldChanges", "escrows", 1)); rec.Code != 400 {
		t.Errorf("a token of another list: %d", rec.Code)
	}
}

func TestPendingShapes(t *testing.T) {
	w := pendingWorld(t)
	w.fake.pending[2].Verdict, w.fake.pending[2].By, w.fake.pending[2].Upload = provision.VerdictApproved, "HR feed", -6
	held := w.document(jobURL + "/heldChanges('3')")
	want := m{"id": "3", "externalId": "703", "displayName": "Person 3", "action": "disable", "targetId": "o3", "targetName": "p@contoso.example", "uploadNumber": nil, "reevaluation": 6,
		"index": 3, "bulkId": "b", "changeId": provision.ChangeID(7, -6, 3).String(), "cycleId": provision.CycleID(7, 2).String(), "sinceDateTime": "2026-08-20T09:00:00Z",
		"staged": true, "verdict": "approved", "verdictBy": "HR feed", "reason": nil}
	if context := held["@odata.context"].(string); !strings.HasSuffix(context, "/heldChanges/$entity") {
		t.Error(context)
	}
	delete(held, "@odata.context")
	if encode(held) != encode(want) {
		t.Errorf("%s\nwant\n%s", encode(held), encode(want))
	}
	escrow := w.page(jobURL + "/escrows").Value[0]
	want = m{"id": "2", "externalId": "702", "displayName": "Person 2", "action": "create", "targetId": "o2", "targetName": "p@contoso.example", "uploadNumber": 3, "reevaluation": nil,
		"index": 2, "bulkId": "b", "changeId": provision.ChangeID(7, 3, 2).String(), "cycleId": provision.CycleID(7, 2).String(), "sinceDateTime": "2026-08-20T09:00:00Z",
		"attempts": 4, "nextAttemptDateTime": "2026-08-20T10:00:00Z", "error": m{"code": "Conflict", "attribute": "mail", "reason": "taken", "recommendedAction": "free it"}}
	if encode(escrow) != encode(want) {
		t.Errorf("%s\nwant\n%s", encode(escrow), encode(want))
	}
	for _, id := range []string{"2", "4", "6", "0", "-1", "x"} { // those of escrows are no held changes
		if rec := w.get(jobURL + "/heldChanges/" + id); rec.Code != 404 {
			t.Errorf("%s: %d", id, rec.Code)
		}
	}
}

func TestDecide(t *testing.T) {
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for _, c := range []struct {
		body   any
		status int
		text   string // what was done, or why not
	}{
		{`{"all":true}`, 200, "decide 7 %t []"},
		{`{"externalIds":["703","701","703"]}`, 200, "decide 7 %t [701 703]"},
		{`{"externalIds":["701","799"]}`, 404, "nothing was decided"},
		{`{"externalIds":["702"]}`, 404, "nothing was decided"},
		{`{}`, 400, "The body names nobody"},
		{`{"all":false}`, 400, "The body names nobody"},
		{`{"externalIds":[]}`, 400, "The body names nobody"},
		{`{"all":true,"externalIds":["701"]}`, 400, "The body has all and externalIds"},
		{`{"externalIds":["701",""]}`, 400, "externalIds[1] is empty"},
		{`{"externalIds":"701"}`, 400, "'externalIds' is a string"},
		{m{"externalIds": many}, 400, "externalIds has 1001 entries: at most 1000"},
	} {
		for verdict, approve := range map[string]bool{"approve": true, "reject": false} {
			w := pendingWorld(t)
			rec := w.write("POST", jobURL+"/heldChanges/"+verdict, c.body)
			if rec.Code != c.status {
				t.Errorf("%s: %d %s", c.body, rec.Code, rec.Body)
				continue
			}
			if c.status != 200 {
				if _, message := errorOf(t, rec); !strings.Contains(message, c.text) || w.fake.did != nil {
					t.Errorf("%s: %s, did %v", c.body, message, w.fake.did)
				}
				continue
			}
			did := fmt.Sprintf(c.text, approve)
			if n := map[bool]float64{true: 3, false: 2}[c.body == `{"all":true}`]; decoded(t, rec)["decided"] != n || strings.Join(w.fake.did, ", ") != did {
				t.Errorf("%s: %s, did %v, want %s", c.body, rec.Body, w.fake.did, did)
			}
		}
	}
}

func TestNotifications(t *testing.T) {
	w := newWorld(t)
	at0 := time.Date(2026, 8, 20, 9, 0, 0, 0, time.UTC)
	w.fake.notices = []provision.Notice{
		{ID: 2, Kind: provision.NoticeDeletes, Time: at0, Recipients: []string{"hr-it@contoso.example"}, Held: 600, Executed: 20, Threshold: 500, Percent: 2.5, Linked: 9000, Attempts: 3, NextAttempt: at0.Add(time.Minute), Error: "the mail server does not answer"},
		{ID: 1, Kind: provision.NoticeQuarantined, Time: at0, Quarantine: &provision.Quarantine{Reason: provision.QuarantineProportion, Code: "c", Message: "m"}, Failed: 5000, Records: 6000, Attempts: 1, Sent: at0.Add(time.Second)},
	}
	p := w.page(jobURL + "/notifications")
	if len(p.Value) != 2 {
		t.Fatalf("%v", p.Value)
	}
	want := m{"id": "2", "kind": "deletionThresholdMet", "dateTime": "2026-08-20T09:00:00Z", "recipients": []string{"hr-it@contoso.example"}, "quarantine": nil,
		"deletions": m{"held": 600, "executed": 20, "threshold": 500, "percent": 2.5, "enabled": 9000, "window": "PT40M"}, "failed": 0, "records": 0,
		"attempts": 3, "nextAttemptDateTime": "2026-08-20T09:01:00Z", "sentDateTime": nil, "error": "the mail server does not answer"}
	if encode(p.Value[0]) != encode(want) {
		t.Errorf("%s\nwant\n%s", encode(p.Value[0]), encode(want))
	}
	if n := p.Value[1]; at(n, "quarantine", "reason") != "EncounteredEscrowProportionThreshold" || n["sentDateTime"] != "2026-08-20T09:00:01Z" || n["deletions"] != nil || encode(n["recipients"]) != "[]" {
		t.Errorf("%v", n)
	}
	if p := w.page(jobURL + "/notifications?$top=1"); len(p.Value) != 1 || p.Value[0]["id"] != "2" {
		t.Errorf("%v", p.Value)
	}
}
