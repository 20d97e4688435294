package notify

import (
	"bytes"
	"flag"
	"io"
	"mime"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"induct/internal/provision"
)

var update = flag.Bool("update", false, "write the golden files")

var began = time.Date(2026, 11, 20, 2, 14, 7, 0, time.UTC)

// sample returns a notice that has everything; tests change what they are about.
func sample(kind provision.NoticeKind, reason provision.QuarantineReason, code, message string) provision.Notice {
	return provision.Notice{
		ID: 17, Kind: kind, Time: began, JobID: "API2AAD.0c7e34d1f7a64d5f9a1b8f4f5d2c7e11.6a1b",
		AppID: "4f0d2c61-5c9b-4f4e-9d2a-3f1f6e0a9b77", AppName: "HR to directory", Recipients: []string{"ops@corp.example"},
		Window: 40 * time.Minute, Records: 9800, Failed: 5123, Linked: 20000, Held: 612, Executed: 4, Threshold: 500, Percent: 2.5,
		Quarantine: &provision.Quarantine{Reason: reason, Code: code, Message: message, Actionable: true,
			SeriesBegan: began, CurrentBegan: began, NextAttempt: began.Add(6 * time.Hour)},
	}
}

func samples() map[string]provision.Notice {
	unreachable := sample(provision.NoticeQuarantined, provision.QuarantineException, "TargetUnreachable",
		"The directory has not answered since 2026-11-20 01:14 UTC: dial tcp 192.0.2.7:636: i/o timeout. Check that it runs and that this server reaches it.")
	unreachable.Records, unreachable.Failed = 0, 0
	errors := sample(provision.NoticeQuarantined, provision.QuarantineProportion, "EncounteredEscrowProportionThreshold",
		"5,123 of 9,800 records failed within 40 minutes. Most often: userPrincipalName is taken (4,980).")
	errors.Quarantine.CurrentBegan, errors.Quarantine.SeriesCount = began.Add(90*time.Minute), 2
	deletes := sample(provision.NoticeDeletes, provision.QuarantineDeletes, "TooManyDeletes", "612 are held and 4 were carried out within 40 minutes; the threshold is 500.")
	recovered := sample(provision.NoticeRecovered, provision.QuarantineException, "TargetUnreachable", "The directory has not answered.")
	recovered.Time, recovered.Quarantine.SeriesCount = began.Add(12*time.Hour), 3
	disabled := sample(provision.NoticeDisabled, provision.QuarantineBase, "EncounteredBaseEscrowThreshold", "41,200 records failed.")
	disabled.Time, disabled.Quarantine.SeriesCount, disabled.Quarantine.NextAttempt = began.Add(quarantineEnds), 30, time.Time{}
	bare := provision.Notice{ID: 1, Kind: provision.NoticeDeletes, Time: began, JobID: "API2AAD.1", AppID: "2", Held: 1, Threshold: -1}
	unknown := provision.Notice{ID: 1, Kind: "somethingNew", Time: began, JobID: "API2AAD.1", AppID: "2", AppName: "HR"}
	hostile := sample(provision.NoticeQuarantined, provision.QuarantineException, "Bad\r\nBcc: everybody@corp.example",
		"first\r\n.\r\nQUIT\x00\u2028second \u202edesrever "+strings.Repeat("long ", 1000))
	hostile.AppName, hostile.JobID, hostile.AppID = "HR\r\nBcc: everybody@corp.example\r\n\r\nhello", "job/../?x=1\r\n", "a b\nc"
	return map[string]provision.Notice{"unreachable": unreachable, "errors": errors, "deletes": deletes, "recovered": recovered,
		"disabled": disabled, "bare": bare, "unknown": unknown, "hostile": hostile}
}

const base = "https://induct.corp.example"

// What people read, for each kind of notice.
func TestCompose(t *testing.T) {
	for name, n := range samples() {
		t.Run(name, func(t *testing.T) {
			text := Compose(n, base)
			golden(t, name+".txt", []byte("Subject: "+text.Subject+"\n\n"+text.Body))
		})
	}
}

// What goes over the wire.
func TestMessageGolden(t *testing.T) {
	s := sender(t, SMTP{Host: "mail.corp.example", From: "Induct für Corp <induct@corp.example>", HELO: "induct.corp.example"})
	n := samples()["deletes"]
	n.AppName = "Personal → Verzeichnis"
	golden(t, "message.eml", render(t, s, n, []string{"ops@corp.example", "hr@corp.example"}))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func sender(t testing.TB, cfg SMTP) *Sender {
	t.Helper()
	s, err := NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func render(t testing.TB, s *Sender, n provision.Notice, to []string) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.message(n, base, to).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Whatever stands in a notice, the mail has our headers and no others, and its lines are no longer than allowed.
func FuzzMessage(f *testing.F) {
	for _, n := range samples() {
		f.Add(string(n.Kind), n.AppName, n.AppID, n.JobID, "Q", "Code", "Message", "ops@corp.example", n.Held, n.Linked, 2.5, int64(n.Window))
	}
	f.Add("deletionThresholdMet", "a\r\nTo: b", "\x00", "\xff\xfe", "\u2028", "", strings.Repeat("x", 5000), "a\r\nb@c", int64(-1), int64(0), -1.0, int64(-1))
	f.Add("jobDisabled", "=?utf-8?q?=0D=0ABcc:_b@corp.example?= =?", "a", "b", "", "", "", "\"a b\"@corp.example", int64(0), int64(0), 0.0, int64(0))
	s := sender(f, SMTP{Host: "mail.corp.example", From: "induct@corp.example", HELO: "induct.corp.example"})
	want := []string{"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}
	f.Fuzz(func(t *testing.T, kind, app, appID, jobID, reason, code, detail, recipient string, held, linked int64, percent float64, window int64) {
		n := sample(provision.NoticeKind(kind), provision.QuarantineReason(reason), code, detail)
		n.AppName, n.AppID, n.JobID, n.Held, n.Linked, n.Percent, n.Window = app, appID, jobID, held, linked, percent, time.Duration(window)
		to, _ := addresses([]string{recipient, "ops@corp.example"})
		raw := render(t, s, n, to)
		m, err := netmail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		var have []string
		for name, values := range m.Header {
			if have = append(have, name); len(values) != 1 {
				t.Errorf("%s stands there %d times", name, len(values))
			}
		}
		if slices.Sort(have); !slices.Equal(have, want) {
			t.Errorf("headers %q", have)
		}
		list, err := m.Header.AddressList("To")
		if err != nil || len(list) != len(to) {
			t.Errorf("To: %v, want %q (%v)", list, to, err)
		}
		for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") { // RFC 5322 section 2.1.1
				t.Errorf("a line of %d bytes: %q", len(line), line)
			}
		}
		text := Compose(n, base)
		if subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || subject != strings.ReplaceAll(text.Subject, "=?", "= ?") {
			t.Errorf("subject %q, want %q (%v)", subject, text.Subject, err)
		}
		if !utf8.ValidString(text.Body) || len(text.Body) > 32<<10 || strings.ContainsFunc(text.Body, func(r rune) bool { return r != '\n' && unsafe(r) }) {
			t.Errorf("body of %d bytes: %q", len(text.Body), text.Body)
		}
		if b, err := io.ReadAll(m.Body); err != nil || len(b) == 0 {
			t.Errorf("body: %v", err)
		}
	})
}

func TestAddresses(t *testing.T) {
	long := strings.Repeat("a", 260) + "@corp.example"
	to, invalid := addresses([]string{"a@corp.example", " Ops <b@corp.example> ", "A@CORP.EXAMPLE", "", "nobody", "a b@corp.example", long,
		"x@corp.example\r\nBcc: y@corp.example", "\"a\\\r\nb\"@corp.example", "ü@corp.example"})
	if want := []string{"a@corp.example", "b@corp.example"}; !slices.Equal(to, want) {
		t.Errorf("got %q, want %q", to, want)
	}
	if len(invalid) != 6 {
		t.Errorf("invalid: %v", invalid)
	}
	if strings.ContainsAny(invalid.String(), "\r\n") {
		t.Errorf("%q", invalid)
	}
	var many []string
	for i := range 150 {
		many = append(many, strings.Repeat("a", i+1)[:min(i+1, 60)]+strings.Repeat("b", max(0, i-59))+"@corp.example")
	}
	if to, invalid = addresses(many); len(to) != maxRecipients || len(invalid) != 50 {
		t.Errorf("%d recipients, %d not", len(to), len(invalid))
	}
}

// Notices of two installations with the same number are two; a notice is always the same one.
func TestMessageID(t *testing.T) {
	n := samples()["deletes"]
	other := n
	other.JobID = "API2AAD.other"
	if a, b := messageID(n, "corp.example"), messageID(n, "corp.example"); a != b {
		t.Errorf("%s, then %s", a, b)
	}
	if a, b := messageID(n, "corp.example"), messageID(other, "corp.example"); a == b {
		t.Errorf("both are %s", a)
	}
}
