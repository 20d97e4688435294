package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"induct/internal/notify/notifytest"
)

// A job that is about to disable more people than it may tells somebody, across a restart, and shows that it did.
func TestMailAboutHeldChanges(t *testing.T) {
	const secret = "p4ss word"
	sink := notifytest.Start(t, notifytest.Options{User: "induct", Password: secret})
	tmp := t.TempDir()
	dir, password := filepath.Join(tmp, "data"), filepath.Join(tmp, "password")
	if err := os.WriteFile(password, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--smtp-host", sink.Host, "--smtp-port", strconv.Itoa(sink.Port), "--smtp-ca", sink.CAFile, "--smtp-user", "induct", "--smtp-password-file", password, "--smtp-from", "induct@corp.example"}
	p := start(t, dir, args...)
	c := p.client(t)

	settings, err := json.Marshal(map[string]any{"Enabled": true, "Recipients": "ops@corp.example", "DeleteThresholdEnabled": true, "DeleteThresholdValue": 0})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := json.Marshal(map[string]any{"value": []map[string]string{{"key": "SyncNotificationSettings", "value": string(settings)}}})
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSuffix(c.job, "/jobs/"+c.jobID) + "/secrets"
	if a, err := c.do(t.Context(), http.MethodPut, url, map[string]string{"Content-Type": "application/json"}, secrets); err != nil || a.status != http.StatusNoContent {
		t.Fatalf("PUT secrets: %v, %d %s", err, a.status, a.body)
	}
	for _, active := range []bool{true, false} {
		person := map[string]any{"schemas": []string{coreUser}, "externalId": "1", "userName": "anna", "displayName": "Anna", "active": active}
		a, err := c.upload(t.Context(), "", bulk([]map[string]any{{"method": "POST", "bulkId": "1", "path": "/Users", "data": person}}))
		if err != nil || a.status != http.StatusAccepted {
			t.Fatalf("upload: %v, %d %s", err, a.status, a.body)
		}
		c.get(t, c.job+"/uploads/"+a.header.Get("x-induct-upload-id")+"?waitFor=done&timeout=20", &struct{}{})
	}
	type notice struct {
		Kind         string     `json:"kind"`
		SentDateTime *time.Time `json:"sentDateTime"`
	}
	until(t, "a notice", func() bool { return len(list[notice](t, c, c.job+"/notifications")) == 1 })
	p.stop(t, 10*time.Second)

	p = start(t, dir, args...) // what is due is sent at once
	c = p.client(t)
	until(t, "a mail", func() bool { return len(sink.Messages()) > 0 })
	until(t, "a note of it", func() bool {
		all := list[notice](t, c, c.job+"/notifications")
		return len(all) == 1 && all[0].SentDateTime != nil
	})
	for _, call := range [][2]string{{"/heldChanges/reject", `{"all": true}`}, {"/restart", `{"criteria": {"resetScope": "None"}}`}} {
		if !strings.Contains(sink.Messages()[0].Body, "POST "+c.job+call[0]+"\n       "+call[1]+"\n") {
			t.Errorf("the mail does not say %s:\n%s", call, sink.Messages()[0].Body)
		}
		if a, err := c.do(t.Context(), http.MethodPost, c.job+call[0], map[string]string{"Content-Type": "application/json"}, []byte(call[1])); err != nil || a.status/100 != 2 {
			t.Errorf("%s: %v, %d %s", call[0], err, a.status, a.body)
		}
	}
	until(t, "the end of the quarantine", func() bool {
		var job struct {
			Status struct {
				Quarantine *struct{} `json:"quarantine"`
			} `json:"status"`
		}
		c.get(t, c.job, &job)
		return job.Status.Quarantine == nil
	})
	p.stop(t, 10*time.Second)
	m := sink.Messages()
	if len(m) == 0 || !m[0].TLS || m[0].User != "induct" || !strings.HasSuffix(m[0].Subject(), ": 1 disable or deletion held, please decide") ||
		!strings.Contains(m[0].Body, c.jobID+"/heldChanges/approve") {
		t.Errorf("got %d: %+v", len(m), m)
	}
	if strings.Contains(p.stderr.String(), secret) {
		t.Errorf("the password is in the log:\n%s", p.stderr.String())
	}
}

// until waits for something.
func until(t *testing.T, what string, there func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !there(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}
