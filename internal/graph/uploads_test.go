package graph

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"induct/internal/provision"
)

func TestUpload(t *testing.T) {
	w := newWorld(t)
	w.fake.receipt = make([]provision.Receipt, 3)
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

func TestUnreadPaths(t *testing.T) {
	w := newWorld(t)
	if p := w.page(jobURL + "/unreadPaths"); len(p.Value) != 1 || p.Value[0]["path"] != "nickName" || p.Value[0]["records"] != 3.0 {
		t.Errorf("%+v", p)
	}
}
