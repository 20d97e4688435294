package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"induct/internal/provision"
)

func TestUpload(t *testing.T) {
	w := newWorld(t)
	w.fake.receipt = slices.Repeat([]provision.Receipt{{End: provision.EndQueued}}, 3)
	url := jobURL + "/uploads/" + uploadID.String()
	for _, c := range []struct{ query, state string }{
		{"", "accepted"}, {"?waitFor=accepted", "accepted"}, {"?waitFor=done&timeout=0", "accepted"},
		{"?waitFor=done&timeout=5", "done"}, {"?waitFor=settled", "settled"},
	} {
		rec := w.get(url + c.query)
		var u map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &u); err != nil || u["state"] != c.state || u["id"] != uploadID.String() || u["operationCount"] != 3.0 ||
			u["counts"].(map[string]any)["queued"] != 3.0 || u["settledDateTime"] != nil || u["jobId"] != jobID {
			t.Errorf("%s: %d %s", c.query, rec.Code, rec.Body)
		}
	}
	for _, query := range []string{"?waitFor=ever", "?waitFor=done&timeout=61", "?waitFor=done&timeout=-1", "?waitFor=done&timeout=9223372036854775807", "/operations?end=lost", "/operations?$top=0", "/operations?$skiptoken=x"} {
		if rec := w.get(url + query); rec.Code != 400 {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
}

func TestOperations(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		r := provision.Receipt{Index: i, BulkID: fmt.Sprint("b", i%2), Anchor: fmt.Sprint(i), End: provision.EndQueued}
		if i > 0 {
			r.End = provision.EndFailed
			r.Entry = &provision.LogEntry{Seq: int64(i), Status: provision.StatusFailure, Code: "Conflict", Attribute: "mail", Reason: "taken", Hidden: i == 4, ObjectID: "o"}
			r.References = []provision.LogEntry{{Seq: 9, Ref: true, Attribute: "manager", Status: provision.StatusWarning, Code: "ReferenceNotResolved"}}
		}
		w.fake.receipt = append(w.fake.receipt, r)
	}
	url := jobURL + "/uploads/" + uploadID.String() + "/operations"
	for query, want := range map[string]string{"": "01234", "?$top=2": "01234", "?end=failed&$top=1": "1234", "?end=queued": "0", "?bulkId=b1": "13", "?bulkId=b0&end=failed": "24"} {
		var got strings.Builder
		for next := url + query; next != ""; {
			p := w.page(next)
			for _, v := range p.Value {
				fmt.Fprint(&got, v["index"])
			}
			next = strings.TrimPrefix(p.Next, "https://graph.contoso.example")
		}
		if got.String() != want {
			t.Errorf("%s: %s, want %s", query, &got, want)
		}
	}
	rec := w.get(url + "?bulkId=b1&$top=1")
	for _, part := range []string{`"changeId":"` + provision.ChangeID(7, 1, 1).String(), `"logEntryId":"` + provision.EntryID(1).String(), `"targetId":"o"`,
		`"error":{"code":"Conflict","attribute":"mail","reason":"taken","recommendedAction":null}`, `"warnings":[]`, `"references":[{"attribute":"manager","status":"warning"`} {
		if !strings.Contains(rec.Body.String(), part) {
			t.Errorf("%s is missing in %s", part, rec.Body)
		}
	}
	if p := w.page(url); p.Value[4]["logEntryId"] != nil {
		t.Error("a hidden entry has an id")
	}
}

// TestOpenAndUnfulfilledEnds shows the ends that need no effect, or have none yet, each with its reason.
func TestOpenAndUnfulfilledEnds(t *testing.T) {
	w := newWorld(t)
	for i, end := range []provision.End{provision.EndHeld, provision.EndRetrying, provision.EndSuperseded, provision.EndRejected, provision.EndPurged, provision.EndPurged} {
		r := provision.Receipt{Index: i, Anchor: fmt.Sprint(i), End: end, Entry: &provision.LogEntry{Seq: int64(i + 1), End: end}}
		switch {
		case end == provision.EndRetrying:
			r.Entry.Code, r.Entry.Reason, r.Entry.Advice = "Timeout", "the target did not answer", "wait"
		case i == 5:
			r.Entry = nil // it never was in a batch
		}
		w.fake.receipt = append(w.fake.receipt, r)
	}
	w.fake.purge = &provision.Purge{Uploads: 2, Records: 70, First: 1, Last: 2, Time: w.now, By: "HR feed"}
	url := jobURL + "/uploads/" + uploadID.String()
	got := []string{}
	for _, v := range w.page(url + "/operations").Value {
		got = append(got, fmt.Sprint(v["end"], ": ", at(v, "error", "code"), ": ", at(v, "error", "reason"), ". ", at(v, "error", "recommendedAction")))
	}
	want := []string{
		"held: TooManyDeletes: The change would disable or delete the account: it is held until it is allowed or rejected. Look through the held changes of the job, then approve or reject them.",
		"retrying: Timeout: the target did not answer. wait",
		"superseded: Superseded: A newer record of the person has taken the place of this one. Nothing to do: the newer record has an entry of its own.",
		"rejected: Rejected: The change was held, and was rejected. Send the person again if it is to be carried out after all.",
		"purged: Purged: The record was thrown out by a restart of the job. Send the person again.",
		"purged: Purged: The record was thrown out of the queue by a restart of the job at 2026-08-20T10:00:00Z by HR feed. Send the person again.",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for end, n := range map[string]int{"held": 1, "retrying": 1, "rejected": 1, "purged": 2, "queued": 0} {
		if p := w.page(url + "/operations?end=" + end); len(p.Value) != n {
			t.Errorf("?end=%s: %v", end, p.Value)
		}
	}
	u := w.document(url)
	counts := u["counts"].(m)
	if counts["held"] != 1.0 || counts["retrying"] != 1.0 || counts["rejected"] != 1.0 || counts["superseded"] != 1.0 || counts["purged"] != 2.0 || counts["queued"] != 0.0 || len(counts) != 13 {
		t.Errorf("%v", counts)
	}
	if encode(u["purge"]) != `{"by":"HR feed","dateTime":"2026-08-20T10:00:00Z","records":70,"uploads":2}` {
		t.Errorf("%v", u["purge"])
	}
}

func TestUnreadPaths(t *testing.T) {
	w := newWorld(t)
	if p := w.page(jobURL + "/unreadPaths"); len(p.Value) != 1 || p.Value[0]["path"] != "nickName" || p.Value[0]["records"] != 3.0 {
		t.Errorf("%+v", p)
	}
}
