package upload

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

var story = []Event{
	Sent{"id-1", 50, 2, 51}, Retried{"id-1", 1, 1500 * time.Millisecond, time.Unix(1000, 0).UTC(), "429 Please\x1b retry"}, Retried{"id-2", 1, time.Second, time.Unix(1000, 0).UTC(), "429 Please\x1b retry"}, Accepted{"id-1", "7", 50, 2, 51},
	Progress{Read: 60, Accepted: 50}, Noted{"The job is paused."}, Progress{1006, 1006, 900, 1006, 40.2, 0}, Progress{1006, 1006, 1006, 1006, 40.2, time.Minute},
	Finished{Summary{Read: 1006, Accepted: 1006, Requests: 1, Retries: 1, Ends: map[string]int{"created": 1005, "failed": 1},
		Reasons: map[string]int{"DuplicateValue": 1}, Followed: true, Elapsed: 12 * time.Second,
		Failed: []Outcome{{Line: 413, Anchor: "103078", End: "failed", Code: "DuplicateValue", Attribute: "userPrincipalName",
			Reason: "Another object has this value.", Advice: "Correct the value at the source."}}}, nil},
}

func TestLines(t *testing.T) {
	var b bytes.Buffer
	show := Lines(&b, 5*time.Second, func() time.Time { return time.Unix(1000, 0) })
	for _, e := range story {
		show(e)
	}
	want := `goes on in 1.5s: 429 Please retry
accepted 50, outcome known for 0
The job is paused.
accepted 1,006 of 1,006, outcome known for 1,006, 40/s, 1m0s left
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	show := JSON(&b)
	for _, e := range append(append(story[:2:2], story[3:6]...), Finished{Summary{Read: 1}, errors.New("refused <1>")}) {
		show(e)
	}
	want := `{"event":"sent","clientRequestId":"id-1","rows":50,"firstLine":2,"lastLine":51}
{"event":"retried","clientRequestId":"id-1","attempt":1,"waitNanoseconds":1500000000,"until":"1970-01-01T00:16:40Z","cause":"429 Please\u001b retry"}
{"event":"accepted","clientRequestId":"id-1","uploadId":"7","rows":50,"firstLine":2,"lastLine":51}
{"event":"progress","read":60,"accepted":50,"done":0}
{"event":"noted","text":"The job is paused."}
{"event":"finished","exitCode":3,"error":"refused <1>","summary":{"read":1,"accepted":0,"unknown":0,"requests":0,"retries":0,"followed":false,"elapsedNanoseconds":0}}
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestPrintSummary(t *testing.T) {
	var b bytes.Buffer
	if err := PrintSummary(&b, story[len(story)-1].(Finished).Summary); err != nil {
		t.Fatal(err)
	}
	want := `1,006 rows read, 1,006 accepted in 1 request, 12s.
1 request repeated.

  created  1,005
  failed   1

Reasons
  DuplicateValue  1

Failed
  line 413  103078  DuplicateValue (userPrincipalName)  Another object has this value.
  DuplicateValue: Correct the value at the source.
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestBar(t *testing.T) {
	var b bytes.Buffer
	show := bar(&b, 0)
	for _, e := range story {
		show(e)
	}
	for _, want := range []string{"accepted 50 ", "provisioned 900 of 1,006, 40/s", "provisioned 1,006 of 1,006,", "waiting, goes on in 1.5s: 429 Please retry ", "40/s, 1m0s left", "The job is paused."} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %q", want, b.String())
		}
	}
}

func TestWhen(t *testing.T) {
	from := time.Date(2026, 11, 21, 23, 0, 0, 0, time.Local)
	for wait, want := range map[time.Duration]string{
		1500 * time.Millisecond: "in 1.5s",
		50 * time.Minute:        "at 23:50",
		4 * time.Hour:           "at 03:00 on Sun 22 Nov",
	} {
		if got := when(Retried{Wait: wait, Until: from.Add(wait)}); got != want {
			t.Errorf("%s: got %q, want %q", wait, got, want)
		}
	}
}

// A reason that thousands of rows share does not hide the others.
func TestPrintSummaryShowsEachReason(t *testing.T) {
	var s Summary
	for i := range 60 {
		s.Failed = append(s.Failed, Outcome{Line: i + 2, Code: "Conflict", Reason: "taken", Advice: "choose another"})
	}
	s.Failed = append(s.Failed, Outcome{Line: 99, Code: "MissingValues", Reason: "no id", Advice: "send it"})
	var b strings.Builder
	if err := PrintSummary(&b, s); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	if n := strings.Count(out, "taken"); n != 10 {
		t.Errorf("%d rows of one reason are shown, want 10:\n%s", n, out)
	}
	for _, want := range []string{"line 99", "… and 50 more rows", "MissingValues: send it"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

// What waits is listed by what it waits for, with what to do, and is not offered for correction.
func TestPrintSummaryShowsWhatWaits(t *testing.T) {
	s := Summary{Read: 3, Accepted: 3, Requests: 1, Ends: map[string]int{"held": 2, "retrying": 1}, Waiting: []Outcome{
		{Line: 2, Anchor: "4700", End: "held", Code: "TooManyDeletes", Reason: "too many", Advice: "Approve or reject it."},
		{Line: 3, Anchor: "4701", End: "retrying", Code: "Timeout", Reason: "no answer"},
		{Line: 4, Anchor: "4702", End: "held", Code: "TooManyDeletes", Reason: "too many", Advice: "Approve or reject it."}}}
	s.noteWaiting(true)
	var b strings.Builder
	if err := PrintSummary(&b, s); err != nil {
		t.Fatal(err)
	}
	want := `3 rows read, 3 accepted in 1 request, 0s.
Held until somebody decides: 2 rows, for accounts that would be disabled or deleted. ` + "`induct job held` lists them, `induct job approve` and `induct job reject` decide." + ` Tried again by the service: 1 row, which failed for a reason that may pass. ` + "`induct job escrows`" + ` tells why, and when. Do not send these rows again.

  held      2
  retrying  1

Held
  line 2  4700  TooManyDeletes  too many
  line 4  4702  TooManyDeletes  too many
  TooManyDeletes: Approve or reject it.

Retrying
  line 3  4701  Timeout  no answer
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}
