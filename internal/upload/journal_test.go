package upload

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"induct/internal/upload/uploadtest"
)

// A journal that cannot be gone on with is refused with what to do, and left as it is.
func TestJournalRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"other fingerprint": {`{"what":"run","version":2,"run":"8f0d3a52-0000-4000-8000-000000000001","fingerprint":"other","at":"2026-11-21T10:00:00Z"}` + "\n" + `{"what":"sent","batch":"0"}` + "\n", "--restart"},
		"other version":     {`{"what":"run","version":9,"run":"8f0d3a52-0000-4000-8000-000000000001","fingerprint":"f"}` + "\n", "another version"},
		"no journal":        {"name,mail\nAda,ada@nordwind.example\n", "is not a journal"},
		"no line":           {"x", "is not a journal"},
		"damaged":           {`{"what":"run","version":2,"run":"8f0d3a52-0000-4000-8000-000000000001","fingerprint":"f"}` + "\n{{{\n" + `{"what":"sent","batch":"0"}` + "\n", "line 2 is damaged"},
		"no run":            {`{"what":"run","version":2,"run":"?","fingerprint":"f"}` + "\n", "line 1 is damaged"},
	} {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenJournal(path, "f", false)
		var config *ConfigError
		if !errors.As(err, &config) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", name, err)
		}
		if text, _ := os.ReadFile(path); string(text) != tc.text {
			t.Errorf("%s: the file has changed to %q", name, text)
		}
	}
}

// Restart forgets what was, but cuts no file that is not a journal.
func TestJournalRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, err := OpenJournal(path, "f", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path, "f", false); err == nil || !strings.Contains(err.Error(), "another upload of this file is running") {
		t.Errorf("two have the journal: %v", err)
	}
	first := j.run
	if err := j.write(entry{What: "sent", Batch: "0", At: time.Now()}, true); err != nil {
		t.Fatal(err)
	}
	j.f.Close()
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if j, err = OpenJournal(path, "f", false); err != nil || j.run != first || !j.before("0").sent {
		t.Fatalf("%v, %+v", err, j)
	}
	if _, ok := j.Resumed(); !ok {
		t.Error("it does not say that it goes on")
	}
	j.f.Close()
	if j, err = OpenJournal(path, "g", true); err != nil || j.run == first || j.before("0").sent {
		t.Fatalf("%v, %+v", err, j)
	}
	if kept, err := j.Close(false); kept || err != nil {
		t.Errorf("a run that has sent nothing is kept: %v, %v", kept, err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("a list of people"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path, "g", true); err == nil {
		t.Error("a file that is no journal is overwritten")
	}
	if _, err := OpenJournal(filepath.Join(path, "j"), "g", true); err == nil || !strings.Contains(err.Error(), "--no-journal") {
		t.Error(err)
	}
}

// A run whose journal cannot be written ends: it could not be resumed.
func TestJournalBroken(t *testing.T) {
	j, err := OpenJournal(filepath.Join(t.TempDir(), "j"), "f", false)
	if err != nil {
		t.Fatal(err)
	}
	j.f.Close()
	s := &uploadtest.Service{Receipts: true}
	sum, err := standIn(t, s).Run(t.Context(), &list{n: 300}, Options{Journal: j}, nil)
	if err == nil || !strings.Contains(err.Error(), j.path) || s.Stored() > 0 || ExitCode(sum, err) != ExitService {
		t.Errorf("%v, %d uploads stored", err, s.Stored())
	}
}

// After a day our service has forgotten the request: then it is said that rows may be there twice.
func TestJournalTooOld(t *testing.T) {
	for wait, want := range map[time.Duration]int{23 * time.Hour: 0, 25 * time.Hour: 50} {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "j")
			lost := true
			s := &uploadtest.Service{Receipts: true, Trouble: func(int) uploadtest.Trouble {
				if lost {
					return uploadtest.LostAnswer
				}
				return uploadtest.None
			}}
			var sum Summary
			for range 2 {
				j, err := OpenJournal(path, "f", false)
				if err != nil {
					t.Fatal(err)
				}
				sum, err = standIn(t, s).Run(t.Context(), &list{n: 50}, Options{Journal: j, Retry: Retry{Wait: time.Minute}}, nil)
				if kept, e := j.Close(err == nil); e != nil || kept != lost || (err != nil) != lost {
					t.Fatal(kept, e, err)
				}
				if lost {
					lost = false
					time.Sleep(wait)
				}
			}
			if sum.Repeated != want || sum.Accepted != 50 {
				t.Errorf("after %s: %+v", wait, sum)
			}
		})
	}
}

// A journal is whatever bytes stand there: it is read or refused, and a read one can be written.
func FuzzJournal(f *testing.F) {
	head := `{"what":"run","version":2,"run":"8f0d3a52-0000-4000-8000-000000000001","fingerprint":"f","at":"2026-11-21T10:00:00Z"}` + "\n"
	f.Add(head)
	f.Add(head + `{"what":"sent","batch":"0","at":"2026-11-21T10:00:00Z"}` + "\n" + `{"what":"accepted","batch":"0","upload":"u"}` + "\n" +
		`{"what":"split","batch":"1","without":3}` + "\n" + `{"what":"ended","batch":"1.0","refused":true,"counts":{"failed":1},"rows":[{"line":2,"end":"failed"}]}` + "\n" + `{"what":"se`)
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path, "f", false)
		if err != nil {
			return
		}
		for key, p := range j.past {
			if p.ended > 0 {
				if _, err := j.end(p); err != nil {
					t.Errorf("the end of %q cannot be read again: %v", key, err)
				}
			}
		}
		if err := j.write(entry{What: "sent", Batch: "new"}, false); err != nil {
			t.Fatal(err)
		}
		run := j.run
		j.f.Close()
		if j, err = OpenJournal(path, "f", false); err != nil || j.run != run || !j.before("new").sent {
			t.Fatalf("what was written is not there: %v", err)
		}
		j.f.Close()
	})
}
