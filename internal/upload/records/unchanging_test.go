package records

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// changeable returns one list of two people in all formats.
func changeable(t *testing.T) map[string]string {
	x := excelize.NewFile()
	x.SetSheetRow("Sheet1", "A1", &[]any{"id", "user", "on"})
	x.SetSheetRow("Sheet1", "A2", &[]any{"7", "a", "yes"})
	return map[string]string{
		"csv":   "id,user,on\n7,a,\n8,b,\n",
		"jsonl": `{"id":"7","user":"a","on":""}` + "\n" + `{"id":"8"}` + "\n",
		"json":  `[{"id":"7","user":"a","on":""},{"id":"8"}]`,
		"excel": string(save(t, x)),
	}
}

// A file that another one replaces, as editors do when they save, stays the file that was opened: what failed is
// told of the rows that were sent.
func TestFileReplaced(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // nobody replaces a file there that is open
	}
	for name, text := range changeable(t) {
		path := filepath.Join(t.TempDir(), "people")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		before, err := f.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		other := path + ".new"
		os.WriteFile(other, []byte(strings.ReplaceAll(text, "7", "9")), 0o600)
		if err := os.Rename(other, path); err != nil {
			t.Fatal(err)
		}
		if after, err := f.Fingerprint(); err != nil || after != before {
			t.Errorf("%s: %v, another fingerprint", name, err)
		}
		recs, err := all(f, mustMapping(t, smallMapping))
		if err != nil || recs[0].Anchor != "7" {
			t.Errorf("%s: %v, %+v", name, err, recs)
		}
		var b bytes.Buffer
		n, err := f.WriteFailed(&b, func(line int) (Failure, bool) { return Failure{Line: line}, line == recs[0].Line })
		if err != nil || n != 1 || !strings.Contains(b.String(), "7") || strings.Contains(b.String(), "9") {
			t.Errorf("%s: %d, %v, %s", name, n, err, b.String())
		}
	}
}

// A file that is written to while it is in use is no longer read.
func TestFileChanged(t *testing.T) {
	for name, text := range changeable(t) {
		path := filepath.Join(t.TempDir(), "people")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Minute)
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
		_, recs := all(f, mustMapping(t, smallMapping))
		_, sum := f.Fingerprint()
		_, failed := f.WriteFailed(&bytes.Buffer{}, func(int) (Failure, bool) { return Failure{}, true })
		for _, err := range []error{recs, sum, failed} {
			if !errors.Is(err, errChanged) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
