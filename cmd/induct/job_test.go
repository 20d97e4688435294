package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"induct/internal/provision"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 21, 2, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"36h":                  now.Add(-36 * time.Hour),
		"0s":                   now,
		"2026-11-20":           time.Date(2026, 11, 20, 0, 0, 0, 0, time.Local),
		"2026-11-20 10:30":     time.Date(2026, 11, 20, 10, 30, 0, 0, time.Local),
		"2026-11-20T10:30:05":  time.Date(2026, 11, 20, 10, 30, 5, 0, time.Local),
		"2026-11-20T10:30:05Z": time.Date(2026, 11, 20, 10, 30, 5, 0, time.UTC),
		"-5m":                  {},
		"7d":                   {},
		"10:30":                {},
		"":                     {},
	} {
		got, err := parseSince(text, now)
		if !got.Equal(want) || (err != nil) != want.IsZero() {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestParseScopes(t *testing.T) {
	for text, want := range map[string]string{
		usualScope:              "Escrows,Watermark,QuarantineState",
		"full":                  "Full",
		" forcedeletes , NONE ": "ForceDeletes,None",
		"Escrows,escrows":       "Escrows",
		"":                      "",
		"Escrows,":              "",
		"7":                     "",
	} {
		got, err := parseScopes(text)
		if strings.Join(got, ",") != want || (err != nil) != (want == "") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]bool{"None": false, "ForceDeletes": false, "ForceDeletes,Escrows": true, "Full": true} {
		scopes, err := parseScopes(text)
		if err != nil || purges(scopes) != want {
			t.Errorf("%s purges: %t, %v", text, !want, err)
		}
	}
}

// Whatever the settings were, those that result can be used, say who is notified, and keep the threshold.
func FuzzWithRecipients(f *testing.F) {
	f.Add("", "hr-it@corp.example")
	f.Add(`{"Enabled":true,"Recipients":"a@corp.example","DeleteThresholdEnabled":true,"DeleteThresholdValue":77}`, "b@corp.example")
	f.Add(`{"enabled":false,"RECIPIENTS":null}`, "b@corp.example")
	f.Add(`null`, "")
	f.Fuzz(func(t *testing.T, value, address string) {
		before, err := provision.ParseNotifications(value)
		if err != nil || !utf8.ValidString(address) {
			return
		}
		if _, err := provision.ParseNotifications(`{"Recipients":` + string(mustJSON(t, address)) + `}`); err != nil || strings.ContainsAny(address, ";, ") {
			return
		}
		text, err := withRecipients(value, []string{address})
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		after, err := provision.ParseNotifications(text)
		if err != nil || !after.Enabled || address != "" && (len(after.Recipients) != 1 || after.Recipients[0] != address) {
			t.Errorf("%q became %q: %+v, %v", value, text, after, err)
		}
		if !alike(before.DeleteThresholdValue, after.DeleteThresholdValue) || !alike(before.DeleteThresholdEnabled, after.DeleteThresholdEnabled) {
			t.Errorf("%q lost its threshold: %q", value, text)
		}
	})
}

func alike[T comparable](a, b *T) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// stranger is a service that speaks Graph and is no Induct: nothing of ours stands in its answers, and values of secrets are hidden.
func stranger(t *testing.T, puts *[]string) *httptest.Server {
	t.Helper()
	const job = "/v1.0/servicePrincipals/sp/synchronization/jobs/j"
	mux := http.NewServeMux()
	answer := func(pattern, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
	}
	answer("GET "+job, `{"id":"j","templateId":"API2AAD","schedule":{"state":"Active"},"status":{"code":"Quarantine","lastExecution":null,
		"quarantine":{"reason":"EncounteredTotalEscrowThreshold","currentBegan":"2026-11-20T10:00:00Z","nextAttempt":"0001-01-01T00:00:00Z","error":null}},"synchronizationJobSettings":[]}`)
	answer("GET /v1.0/servicePrincipals/sp/synchronization/secrets", `{"value":[{"key":"Password","value":"*"},{"key":"SyncNotificationSettings","value":"{\"Enabled\":true,\"Recipients\":\"a@corp.example\"}"}]}`)
	mux.HandleFunc("PUT /v1.0/servicePrincipals/sp/synchronization/secrets", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*puts = append(*puts, string(body))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+job+"/restart", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST "+job+"/heldChanges/approve", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack() // the answer is lost
		conn.Close()
	})
	const entry = `{"value":[{"id":"1","activityDateTime":"2026-11-20T10:00:00Z","provisioningAction":"create","sourceIdentity":{"id":"4711","displayName":"Ana\u001b[31m"},
		"targetIdentity":{"id":"","displayName":""},"provisioningStatusInfo":{"status":"failure","errorInformation":{"errorCode":"DuplicateValue","reason":"taken"}},"provisioningSteps":null,"modifiedProperties":null}]`
	mux.HandleFunc("GET /v1.0/auditLogs/provisioning", func(w http.ResponseWriter, r *http.Request) {
		next := ""
		if r.FormValue("$top") == "1000" {
			next = `,"@odata.nextLink":"https://elsewhere.example/next"`
		}
		io.WriteString(w, entry+next+"}")
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// At a service that is not Induct the commands that Graph has work, and none does harm.
func TestJobAtStranger(t *testing.T) {
	var puts []string
	s := stranger(t, &puts)
	t.Setenv("ACCESS_TOKEN", "s3cr3t-token")
	for name, test := range map[string]struct {
		args  []string
		code  int
		words []string // of both outputs
	}{
		"status":  {[]string{"status"}, 0, []string{"Quarantine", "EncounteredTotalEscrowThreshold", "next attempt -", "induct job log --status failure"}},
		"check":   {[]string{"status", "--check"}, exitJobAttention, nil},
		"notify":  {[]string{"notify", "b@corp.example"}, exitJobFailed, []string{"Password", "nothing was changed"}},
		"who":     {[]string{"notify"}, 0, []string{"a@corp.example"}},
		"restart": {[]string{"restart", "--yes"}, 0, []string{"does not say"}},
		"approve": {[]string{"approve", "4711"}, exitJobFailed, []string{"may have been carried out"}},
		"log":     {[]string{"log", "--limit", "0"}, exitJobFailed, []string{"another host"}},
		"latest":  {[]string{"log"}, 0, []string{"4711 (Ana[31m)", "could not create", "taken"}},
		"held":    {[]string{"held"}, exitJobFailed, []string{"404"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := runJob(t, append(test.args, "--graph", s.URL, "--sp", "sp", "--job", "j")...)
			if code != test.code {
				t.Errorf("exit code %d\n%s", code, out)
			}
			for _, w := range test.words {
				if !strings.Contains(out, w) {
					t.Errorf("%q does not stand in\n%s", w, out)
				}
			}
			if strings.Contains(out, "s3cr3t") || strings.Contains(out, "\x1b") {
				t.Errorf("a secret or a control character:\n%q", out)
			}
		})
	}
	if len(puts) > 0 {
		t.Errorf("secrets were overwritten: %s", puts)
	}
}

// runJob runs induct job in this process and returns what it printed, errors included.
func runJob(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	cmd := jobCommand()
	var b bytes.Buffer
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	if x, ok := err.(*exitError); ok {
		if x.err != nil {
			b.WriteString(x.err.Error())
		}
		return x.code, b.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, b.String()
}

// What is retried is shown with its reason and what to do, in the list and of a person. The built-in directory has no reason that
// passes, so that another service tells of one.
func TestJobEscrows(t *testing.T) {
	t.Setenv("ACCESS_TOKEN", "token")
	const job = "/v1.0/servicePrincipals/sp/synchronization/jobs/j"
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.Local).UTC().Format(time.RFC3339)
	mux := http.NewServeMux()
	answer := func(pattern, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if id := r.FormValue("externalId"); id != "" && id != "47 11&x" {
				io.WriteString(w, `{"value":[]}`)
				return
			}
			io.WriteString(w, body)
		})
	}
	answer("GET "+job, `{"id":"j","schedule":{"state":"Active"},"status":{"code":"Active"},"@induct.queue":{"records":2,"oldestDateTime":"`+at+`","ageSeconds":90},
		"@induct.pending":{"held":0,"staged":0,"retrying":1},"@induct.totals":{},"@induct.brake":{"threshold":null,"percent":2.5,"executed":4,"window":"PT40M"}}`)
	answer("GET "+job+"/escrows", `{"value":[{"externalId":"47 11&x","displayName":"Ana","action":"update","sinceDateTime":"`+at+`","attempts":4,"nextAttemptDateTime":"`+at+`",
		"error":{"code":"Timeout","attribute":"title","reason":"no answer","recommendedAction":"Wait."}}]}`)
	answer("GET "+job+"/heldChanges", `{"value":[]}`)
	answer("GET /v1.0/auditLogs/provisioning", `{"value":[]}`)
	s := httptest.NewServer(mux)
	defer s.Close()
	where := []string{"--graph", s.URL, "--sp", "sp", "--job", "j"}
	for name, test := range map[string]struct {
		args  []string
		code  int
		words []string
	}{
		"status":  {[]string{"status", "--check"}, 0, []string{"2 records, the oldest since 1m30s", "Retrying    1", "stops at more than 2.5 % of the enabled accounts; 4 disabled", "induct job escrows"}},
		"escrows": {[]string{"escrows"}, 0, []string{"47 11&x (Ana)", "update", "2026-11-20 10:00:00", "Timeout (title): no answer"}},
		"explain": {[]string{"explain", "47 11&x"}, 0, []string{"none is linked", "retried since 2026-11-20 10:00:00, 4 attempts so far", "Wait.", "2 records wait in the job's queue"}},
		"nobody":  {[]string{"explain", "nobody"}, exitJobFailed, []string{"nothing is known", "2 records wait in the queue"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := runJob(t, append(test.args, where...)...)
			if code != test.code {
				t.Errorf("exit code %d\n%s", code, out)
			}
			for _, w := range test.words {
				if !strings.Contains(out, w) {
					t.Errorf("%q does not stand in\n%s", w, out)
				}
			}
		})
	}
}
