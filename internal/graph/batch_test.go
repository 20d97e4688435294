package graph

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// batchAnswer is an answer of a batch, by the ids of its requests.
type batchAnswer map[string]struct {
	Status  int
	Headers map[string]string
	Body    json.RawMessage
}

// batch posts a batch and checks that every answer in it is what the request alone would be answered with, in shape.
func (w *world) batch(body string, headers ...string) batchAnswer {
	w.t.Helper()
	rec := w.send("POST", "/v1.0/$batch", body, append([]string{"Content-Type", "application/json"}, headers...)...)
	if rec.Code != 200 {
		w.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	var sent struct {
		Requests []struct {
			ID          any
			Method, URL string
		}
	}
	var got struct {
		Responses []struct {
			ID      string
			Status  int
			Headers map[string]string
			Body    json.RawMessage
		}
	}
	_ = json.Unmarshal([]byte(body), &sent)
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || len(got.Responses) != len(sent.Requests) {
		w.t.Fatalf("%d answers to %d requests, %v", len(got.Responses), len(sent.Requests), err)
	}
	answers := batchAnswer{}
	for i, a := range got.Responses {
		if want := fmt.Sprint(sent.Requests[i].ID); a.ID != want {
			w.t.Errorf("answer %d is %s, want %s", i, a.ID, want)
		}
		item := httptest.NewRecorder()
		for name, value := range a.Headers {
			item.Header().Set(name, value)
		}
		item.Code = a.Status
		content := []byte(a.Body)
		var text string
		if json.Unmarshal(content, &text) == nil {
			content = []byte(text)
		}
		_, _ = item.Body.Write(content)
		if len(content) > 0 {
			item.Header().Set("Content-Length", strconv.Itoa(len(content)))
		}
		path, _, _ := strings.Cut(sent.Requests[i].URL, "?")
		if _, rest, absolute := strings.Cut(path, "://"); absolute {
			_, path, _ = strings.Cut(rest, "/")
		} else {
			path = "v1.0/" + strings.TrimPrefix(path, "/")
		}
		w.validate(strings.ToUpper(sent.Requests[i].Method), "/"+path, item)
		answers[a.ID] = struct {
			Status  int
			Headers map[string]string
			Body    json.RawMessage
		}{a.Status, a.Headers, a.Body}
	}
	return answers
}

func TestBatch(t *testing.T) {
	w := userWorld(t)
	job := strings.TrimPrefix(jobURL, "/v1.0")
	upload, _ := json.Marshal(json.RawMessage(bulk(2)))
	got := w.batch(`{"Requests":[
		{"id":"users","method":"GET","url":"/users?$filter=displayName eq 'Ana'&$select=displayName"},
		{"id":2,"method":"get","url":"users/nobody@contoso.example"},
		{"id":"count","method":"GET","url":"/users/$count","headers":{"consistencylevel":"eventual"}},
		{"id":"absolute","method":"GET","url":"https://graph.microsoft.com/beta/users?$top=1"},
		{"id":"pause","dependsOn":["start"],"method":"POST","url":"`+job+`/pause"},
		{"id":"start","method":"POST","url":"`+job+`/start","headers":{"Authorization":"Bearer nothing"}},
		{"id":"after","dependsOn":[2,"users"],"method":"DELETE","url":"/users/ana@contoso.example"},
		{"id":"after that","dependsOn":["AFTER"],"method":"DELETE","url":"/users/ana@contoso.example"},
		{"id":"upload","method":"POST","url":"`+job+`/bulkUpload","headers":{"Content-Type":"application/scim+json","Content-Length":"1"},"body":`+string(upload)+`},
		{"id":"binary","method":"POST","url":"`+job+`/bulkUpload","headers":{"Content-Type":"application/scim+json"},"body":"`+base64.URLEncoding.EncodeToString([]byte(bulk(3)))+`"},
		{"id":"no base64","method":"POST","url":"`+job+`/bulkUpload","headers":{"Content-Type":"application/scim+json"},"body":"?"},
		{"id":"no type","method":"POST","url":"`+jobsURL[len("/v1.0"):]+`","body":{"templateId":"API2AAD"}},
		{"id":"nested","method":"POST","url":"/$batch","headers":{"Content-Type":"application/json"},"body":{"requests":[{"id":"1","method":"GET","url":"/users"}]}},
		{"id":"nested in another spelling","method":"POST","url":"/%24BATCH/","headers":{"Content-Type":"application/json"},"body":{"requests":[{"id":"1","method":"GET","url":"/users"}]}},
		{"id":"no path","method":"GET","url":"/users/%zz"},
		{"id":"control","method":"GET","url":"/users/a\nb"},
		{"id":"version","method":"GET","url":"/v1.0/users"},
		{"id":"elsewhere","method":"GET","url":"https://graph.microsoft.com/oauth2/token"}
	]}`, "client-request-id", "c-9")
	for id, want := range map[string]int{"users": 200, "2": 404, "count": 200, "absolute": 200, "pause": 204, "start": 204, "after": 424, "after that": 424, "upload": 202, "binary": 202,
		"no base64": 400, "no type": 400, "nested": 400, "nested in another spelling": 400, "no path": 400, "control": 400, "version": 400, "elsewhere": 400} {
		if a := got[id]; a.Status != want || a.Headers["Client-Request-Id"] != "c-9" {
			t.Errorf("%s: %d %v %s, want %d", id, a.Status, a.Headers, a.Body, want)
		}
	}
	if did := fmt.Sprint(w.fake.did); did != "[start 7 pause 7]" || w.fake.deletions > 0 {
		t.Errorf("did %s and %d deletions", did, w.fake.deletions)
	}
	if u := w.fake.uploads; len(u) != 2 || len(u[0].Operations) != 2 || len(u[1].Operations) != 3 || u[0].ClientRequestID != "c-9" {
		t.Errorf("uploads %+v", u)
	}
	if s := string(got["users"].Body); !strings.Contains(s, `"displayName":"Ana"`) || strings.Contains(s, "Ben") {
		t.Error(s)
	}
	if s := string(got["count"].Body); s != `"3"` {
		t.Error(s)
	}
	if s := string(got["absolute"].Body); !strings.Contains(s, `"@odata.nextLink":"https://graph.contoso.example/beta/users?$top=1&$skiptoken=`) {
		t.Error(s)
	}
	if a := got["upload"]; a.Body != nil || !strings.HasPrefix(a.Headers["Location"], "https://graph.contoso.example/v1.0/auditLogs/provisioning/?$filter=") {
		t.Errorf("%+v", a)
	}
	if s := string(got["after that"].Body); !strings.Contains(s, "request 'after' was answered with 424") {
		t.Error(s)
	}
	if events := strings.Count(w.log.String(), "msg=request"); events != 19 {
		t.Errorf("%d events", events)
	}
}

// TestBatchPermissions sends a batch with a token that opens some of it.
func TestBatchPermissions(t *testing.T) {
	w := userWorld(t)
	got := w.batch(`{"requests":[{"id":"a","method":"GET","url":"/users"},{"id":"b","method":"GET","url":"/auditLogs/provisioning"},{"id":"c","method":"GET","url":"`+jobURL[len("/v1.0"):]+`"}]}`,
		"Authorization", "Bearer User.Read.All")
	if got["a"].Status != 200 || got["b"].Status != 403 || got["c"].Status != 401 {
		t.Errorf("%+v", got)
	}
}

func TestBatchRefused(t *testing.T) {
	const get = `"method":"GET","url":"/users"`
	requests := func(n int) string {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(`{"id":"%d",%s}`, i, get)
		}
		return `{"requests":[` + strings.Join(items, ",") + `]}`
	}
	operations := `[{"method":"POST","bulkId":"1","path":"/Users","data":{"externalId":"701"}}]`
	address := "https://graph.contoso.example" + bulkURL
	for _, c := range []struct{ name, body, message string }{
		{"nothing", ``, "The body is not valid JSON"},
		{"null", `null`, "The batch has no requests"},
		{"no requests", `{}`, "The batch has no requests"},
		{"empty", `{"requests":[]}`, "The batch has no requests"},
		{"too many", requests(21), "The batch has more than 20 requests"},
		{"no id", `{"requests":[{` + get + `}]}`, "requests[0] has no id"},
		{"empty id", `{"requests":[{"id":"",` + get + `}]}`, "requests[0] has no id"},
		{"object as id", `{"requests":[{"id":{},` + get + `}]}`, "requests[0] has no id"},
		{"id twice", `{"requests":[{"id":"a",` + get + `},{"id":"A",` + get + `}]}`, "requests[1] has the id 'A', which another"},
		{"no method", `{"requests":[{"id":"a","url":"/users"}]}`, "requests[0], id 'a': method is ''"},
		{"TRACE", `{"requests":[{"id":"a","method":"TRACE","url":"/users"}]}`, "requests[0], id 'a': method is 'TRACE'"},
		{"no url", `{"requests":[{"id":"a","method":"GET"}]}`, "requests[0], id 'a', has no url"},
		{"unknown dependency", `{"requests":[{"id":"a","dependsOn":["b"],` + get + `}]}`, "requests[0], id 'a', depends on 'b', which is no id"},
		{"itself", `{"requests":[{"id":"a","dependsOn":["a"],` + get + `}]}`, "requests[0], id 'a', depends on itself"},
		{"circle", `{"requests":[{"id":"0",` + get + `},{"id":"a","dependsOn":["b"],` + get + `},{"id":"b","dependsOn":["a"],` + get + `}]}`, "requests[1], id 'a', depends on itself"},
		{"too many that are nothing", `{"requests":[` + strings.Repeat("{},", 1e6) + `{}]}`, "The batch has more than 20 requests"},
		{"no list", `{"requests":{}}`, "The body is not as expected: 'requests' is no array."},
		{"a number", `{"requests":[1]}`, "The body is a number"},
		{"too many dependencies", `{"requests":[{"id":"a","dependsOn":[` + strings.Repeat(`"b",`, 20) + `"b"],` + get + `}]}`, "requests[0], id 'a', depends on more requests than a batch has."},
		{"an array", `[1]`, "The body is an array"},
		{"requests alone", `[{"id":"a",` + get + `}]`, `The body is an array: send an object, {"requests":[…]}.`},
		{"SCIM operations", operations, "The body is SCIM operations, which $batch does not take"},
		{"a SCIM request", `{"Operations":` + operations + `}`, "The body is SCIM operations, which $batch does not take"},
		{"text as headers", `{"requests":[{"id":"a","headers":"x",` + get + `}]}`, "The body is not as expected"},
	} {
		w := userWorld(t)
		rec := w.send("POST", "/v1.0/$batch", c.body, "Content-Type", "application/json")
		code, message := errorOf(t, rec)
		if rec.Code != 400 || code != "BadRequest" || !strings.HasPrefix(message, c.message) {
			t.Errorf("%s: %d %s %s", c.name, rec.Code, code, message)
		}
		if strings.HasPrefix(c.message, "The body is SCIM") && !strings.HasSuffix(message, "with POST to "+address+".") {
			t.Errorf("%s: %s", c.name, message)
		}
	}
	w := newWorld(t)
	rec := w.send("POST", "/v1.0/$batch", operations, "Content-Type", "application/json", "Authorization", "Bearer User.Read.All")
	if _, message := errorOf(t, rec); strings.Contains(message, jobID) || !strings.Contains(message, "/jobs/{job-id}/bulkUpload") {
		t.Errorf("who may not upload is told %s", message)
	}
	for role, told := range map[string]bool{"SynchronizationData-User.Upload": true, "SynchronizationData-User.Upload.OwnedBy": true, "Synchronization.Read.All": false} {
		rec := w.send("POST", "/v1.0/$batch", operations, "Content-Type", "application/json", "Authorization", "Bearer "+role)
		if _, message := errorOf(t, rec); strings.Contains(message, jobID) != told {
			t.Errorf("with %s: %s", role, message)
		}
	}
	if rec := w.send("POST", "/v1.0/$batch", requests(1), "Content-Type", ""); rec.Code != 400 {
		t.Errorf("no Content-Type: %d", rec.Code)
	}
	if rec := w.get("/v1.0/$batch"); rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d", rec.Code)
	}
}

// FuzzBatch looks for a body that is answered with 5xx, or with answers that are not those of its requests.
func FuzzBatch(f *testing.F) {
	for _, s := range []string{`{"requests":[{"id":"1","method":"GET","url":"/users?$top=1"}]}`, `{"requests":[{"id":1,"dependsOn":["1"],"method":"POST","url":"https://x/v1.0/$batch","body":"e30"}]}`,
		`[{"bulkId":"1"}]`, `{"Operations":[]}`, `{"requests":[{"id":"a","method":"PATCH","url":"//%2e%2e/users;x?a=b#c","headers":{"a\r\nb":"c\r\nd","Host":"x"},"body":{}}]}`} {
		f.Add(s)
	}
	w := userWorld(f)
	f.Fuzz(func(t *testing.T, body string) {
		w.t = t
		w.log.Reset()
		rec := w.send("POST", "/v1.0/$batch", body, "Content-Type", "application/json")
		if rec.Code != 200 && rec.Code != 400 || strings.Contains(rec.Body.String(), `"status":5`) && !strings.Contains(rec.Body.String(), `"status":501`) {
			t.Errorf("%q: %d %s", body, rec.Code, rec.Body)
		}
	})
}
