package upload

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"induct/internal/upload/records"
	"induct/internal/upload/uploadtest"
)

// inFront stands between a client and a service; what it does not answer goes on.
type inFront struct {
	answer func(r *http.Request, body string) *http.Response
	s      *uploadtest.Service
}

func (f inFront) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if resp := f.answer(r, string(body)); resp != nil {
		return resp, nil
	}
	return f.s.RoundTrip(r)
}

func (f inFront) client(t *testing.T) *Client {
	t.Helper()
	c, err := New(Config{Graph: uploadtest.Graph, ServicePrincipal: uploadtest.ServicePrincipal, Job: uploadtest.Job, Transport: f,
		Credentials: Credentials{Authority: uploadtest.Authority, ClientID: uploadtest.ClientID, ClientSecret: uploadtest.Secret}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func isUpload(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/bulkUpload") }

// Only a 202 says that an upload is stored: a sign-in page in front of the service answers 200.
func TestOtherAnswerIsNoAcceptance(t *testing.T) {
	for _, status := range []int{200, 201, 204} {
		front := true
		f := inFront{s: &uploadtest.Service{Receipts: true}, answer: func(r *http.Request, _ string) *http.Response {
			if front && isUpload(r) {
				return answer(status, "<html>Sign in to the network</html>")
			}
			return nil
		}}
		path := filepath.Join(t.TempDir(), "j")
		for _, front = range []bool{true, false} {
			j, err := OpenJournal(path, "f", false)
			if err != nil {
				t.Fatal(err)
			}
			sum, err := f.client(t).Run(t.Context(), &list{n: 120}, Options{Journal: j}, nil)
			if kept, e := j.Close(err == nil); kept != front || e != nil {
				t.Errorf("%d: the journal is kept: %v, %v", status, kept, e)
			}
			if front && (sum.Accepted > 0 || ExitCode(sum, err) != ExitService || !strings.Contains(err.Error(), "expected 202")) {
				t.Errorf("%d: %v, %+v", status, err, sum)
			}
			if !front && (err != nil || sum.Accepted != 120) {
				t.Errorf("%d, then 202: %v, %+v", status, err, sum)
			}
		}
		arrived(t, f.s, 120, false)
	}
}

// A service that repeats what it was sent does not bring the secret or the token to the screen or into a file.
func TestEchoedSecretStaysSecret(t *testing.T) {
	for name, repeat := range map[string]func(*http.Request, string) *http.Response{
		"secret": func(r *http.Request, body string) *http.Response {
			if strings.HasSuffix(r.URL.Path, "/token") {
				form, _ := url.ParseQuery(body)
				return answer(401, `{"error":"invalid_client","error_description":"`+form.Get("client_secret")+` is wrong in `+body+`"}`)
			}
			return nil
		},
		"token, refused": func(r *http.Request, _ string) *http.Response {
			if isUpload(r) {
				return answer(403, `{"error":{"code":"`+r.Header.Get("Authorization")+`","message":"No: `+r.Header.Get("Authorization")+`"}}`)
			}
			return nil
		},
		"token, failed rows": func(r *http.Request, _ string) *http.Response {
			if isUpload(r) {
				return answer(400, `{"error":{"code":"Bad","message":"No: `+r.Header.Get("Authorization")+`"}}`)
			}
			return nil
		},
	} {
		f := inFront{repeat, &uploadtest.Service{}}
		var out bytes.Buffer
		sum, err := f.client(t).Run(t.Context(), &list{n: 30}, Options{Retry: quick}, JSON(&out))
		PrintSummary(&out, sum)
		if text := out.String() + fmt.Sprint(err); strings.Contains(text, uploadtest.Secret) || strings.Contains(text, "token-1") || !strings.Contains(text, "…") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// Every answer of 500 and above is taken for a passing one, but that the method is not known.
func TestOtherServerErrors(t *testing.T) {
	for status, want := range map[int]bool{501: false, 507: true, 520: true, 524: true, 599: true} {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int32
			f := inFront{s: &uploadtest.Service{Receipts: true}, answer: func(r *http.Request, _ string) *http.Response {
				if isUpload(r) && n.Add(1) == 1 {
					return answer(status, "")
				}
				return nil
			}}
			sum, err := f.client(t).Run(t.Context(), &list{n: 30}, Options{Retry: Retry{Wait: time.Minute}}, nil)
			if (err == nil) != want || (sum.Accepted == 30) != want {
				t.Errorf("%d: %v, %+v", status, err, sum)
			}
		})
	}
}

// onePerson gives rows of one person, one request each.
type onePerson struct{ n int }

func (o *onePerson) Next() (records.Record, error) {
	if o.n == 0 {
		return records.Record{}, io.EOF
	}
	o.n--
	return records.Record{Line: 100 - o.n, Anchor: "7", BulkID: "x", Data: bytes.Repeat([]byte(" "), batchBytes)}, nil
}

// When a request fails that ends the run, no later row of its people goes out: it would overtake the earlier one,
// which the next run sends.
func TestNothingOvertakes(t *testing.T) {
	for range 20 {
		f := inFront{s: &uploadtest.Service{}}
		var n atomic.Int32
		f.answer = func(r *http.Request, _ string) *http.Response {
			if isUpload(r) {
				n.Add(1)
				return answer(403, "")
			}
			return nil
		}
		_, err := f.client(t).Run(t.Context(), &onePerson{2}, Options{Concurrency: 4}, nil)
		if err == nil || n.Load() != 1 {
			t.Fatalf("%d requests, %v", n.Load(), err)
		}
	}
}
