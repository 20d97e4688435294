package upload

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// A credentials file is whatever text: it is read or refused, and no error repeats a value.
func FuzzParseAssignments(f *testing.F) {
	f.Add("CLIENT_SECRET='it'\\''s'\nexport A=\"b\" # c\n")
	f.Add("A=\\")
	f.Fuzz(func(t *testing.T, text string) {
		env, err := ParseAssignments(text)
		if err != nil {
			return
		}
		for name := range env {
			if name == "" || strings.ContainsAny(name, "\n'\"") {
				t.Errorf("a variable is called %q", name)
			}
		}
		// What a shell would quote comes back.
		if again, err := ParseAssignments("V='" + strings.ReplaceAll(strings.ReplaceAll(text, "\n", ""), "'", `'\''`) + "'"); err != nil ||
			again["V"] != strings.ReplaceAll(text, "\n", "") {
			t.Errorf("%q became %q, %v", text, again["V"], err)
		}
	})
}

// A log entry is whatever the service writes: counts stay those of the rows that are watched.
func FuzzLogEntry(f *testing.F) {
	f.Add(`{"activityDateTime":"2026-08-20T10:05:00.1234567Z","changeId":"c","provisioningAction":"create","sourceIdentity":{"id":"1"},"provisioningStatusInfo":{"status":"success","errorInformation":null}}`, "warning")
	f.Add(`{"activityDateTime":"2026-08-20T10:05:00Z","provisioningAction":"other","sourceIdentity":{"id":"0 "},"provisioningStatusInfo":{"status":"Skipped"},"provisioningSteps":[{"details":{"SkipReason":"RedundantExport","x":null}},{"details":null}]}`, "failure")
	f.Fuzz(func(t *testing.T, text, status string) {
		r := &run{opt: Options{}.withDefaults(), outcomes: &Outcomes{}}
		defer r.outcomes.Close()
		r.sum.Ends = map[string]int{}
		l := newLogFollower(r)
		src := &list{n: 6}
		b, err := (&batcher{src: src}).take()
		if err != nil {
			t.Fatal(err)
		}
		l.add(b, time.Unix(0, 0))
		var e logEntry
		if json.Unmarshal([]byte(text), &e) != nil {
			return
		}
		for range 2 {
			if err := l.take(e); err != nil {
				t.Fatal(err)
			}
			e.Activity, e.Info.Status = e.Activity.Add(time.Second), status
		}
		total := l.open
		for end, n := range r.sum.Ends {
			if total += n; n <= 0 || end == "" {
				t.Errorf("%d %q", n, end)
			}
		}
		if total != 6 || r.done+l.open != 6 {
			t.Errorf("%d rows of 6, %d done, %d open", total, r.done, l.open)
		}
	})
}
