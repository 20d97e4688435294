package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"zombiezen.com/go/sqlite"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// harm writes over a page of a file.
var harm = map[string]func(page []byte){
	"zeros":   func(page []byte) { clear(page) },
	"garbage": func(page []byte) { rand.NewChaCha8([32]byte{1}).Read(page) },
	"shifted": func(page []byte) { copy(page[1:], page) },
}

const pageSize = 4096

// full is a store with something in it, closed.
func full(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(t.Context(), dir, Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutJob(t.Context(), &provision.Job{ID: "j", Schema: &mapping.Schema{}}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := s.PutSetting(t.Context(), fmt.Sprint("setting ", i), strings.Repeat("x", 900)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// overwrite harms a page of the store in dir, counted from 0.
func overwrite(t *testing.T, dir string, page int, how func([]byte)) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "induct.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, pageSize)
	if _, err := f.ReadAt(b, int64(page)*pageSize); err != nil {
		t.Fatal(err)
	}
	how(b)
	if _, err := f.WriteAt(b, int64(page)*pageSize); err != nil {
		t.Fatal(err)
	}
}

// A file with any page that is not what was written is not opened, and the message says what to do; nothing is written to it.
func TestDamagedFileIsRefused(t *testing.T) {
	original := full(t)
	text, err := os.ReadFile(filepath.Join(original, "induct.db"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(t *testing.T, content []byte) {
		t.Helper()
		dir := t.TempDir()
		path := filepath.Join(dir, "induct.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), dir, Options{ReserveBytes: -1})
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, provision.ErrDamaged) || !strings.Contains(err.Error(), "restore the latest backup") {
			t.Errorf("it is opened, or: %v", err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(content) {
			t.Errorf("the file is not as it was: %v", err)
		}
	}
	for name, how := range harm {
		t.Run(name, func(t *testing.T) {
			for page := range len(text) / pageSize {
				content := []byte(string(text))
				how(content[page*pageSize : (page+1)*pageSize])
				refused(t, content)
			}
		})
	}
	t.Run("cut off", func(t *testing.T) { refused(t, text[:len(text)-pageSize]) })
	t.Run("another file", func(t *testing.T) { refused(t, []byte(strings.Repeat("no database ", 1000))) })
}

// Damage that is met while the store is open is told, and from then on nothing is written; what can be read is.
func TestDamageIsMet(t *testing.T) {
	dir := full(t)
	s, err := Open(t.Context(), dir, Options{ReserveBytes: -1, CacheKiB: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	page := pageOf(t, dir, strings.Repeat("x", 900))
	overwrite(t, dir, page, harm["zeros"])
	var damagedReads int
	for i := range 40 {
		value, err := s.Setting(t.Context(), fmt.Sprint("setting ", i))
		switch {
		case errors.Is(err, provision.ErrDamaged):
			damagedReads++
		case err != nil || len(value) != 900:
			t.Errorf("setting %d is %q, %v", i, value, err)
		}
	}
	if damagedReads == 0 {
		t.Fatal("every setting can be read")
	}
	if err := s.PutSetting(t.Context(), "another", ""); !errors.Is(err, provision.ErrDamaged) {
		t.Errorf("a setting is written: %v", err)
	}
	if _, err := s.Accept(t.Context(), provision.Upload{Job: &provision.Job{PK: 1}, Received: time.Now()}, uuid.New(), 1000); !errors.Is(err, provision.ErrDamaged) {
		t.Errorf("an upload is accepted: %v", err)
	}
	if err := s.CheckRead(t.Context()); !errors.Is(err, provision.ErrDamaged) {
		t.Errorf("the store says that it is well: %v", err)
	}
	if jobs, err := s.Jobs(t.Context()); err != nil || len(jobs) != 1 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
}

// pageOf finds a page that has the text in it, and is no root of a table: those are what everything is read through.
func pageOf(t *testing.T, dir, text string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "induct.db"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.LastIndex(string(b), text) / pageSize
}

// What takes too long to check before the file is opened is checked afterwards.
func TestDamageIsFoundInTheBackground(t *testing.T) {
	dir := full(t)
	path := filepath.Join(dir, "induct.db")
	if whole, err := inspectFirst(t.Context(), path, 0); whole || err != nil {
		t.Errorf("without time all of the file was looked at: %v, %v", whole, err)
	}
	s, err := Open(t.Context(), dir, Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	overwrite(t, dir, pageOf(t, dir, strings.Repeat("x", 900)), harm["garbage"])
	stop := s.startBackground(path, true)
	defer stop()
	for end := time.Now().Add(10 * time.Second); s.damage.found() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the damage is not found")
		}
	}
	if err := s.PutSetting(t.Context(), "another", ""); !errors.Is(err, provision.ErrDamaged) {
		t.Errorf("a setting is written: %v", err)
	}
}

// What only looks like a damaged page is none, and a row that cannot be decoded does not stop everybody.
func TestDamaged(t *testing.T) {
	var d damage
	for _, err := range []error{nil, context.Canceled, fmt.Errorf("an entry: %w", errCorrupt), sqlite.ResultInterrupt.ToError(), sqlite.ResultFull.ToError(), sqlite.ResultIOErrWrite.ToError(), provision.ErrNoSpace} {
		if got := d.note(err); got != err || d.found() != nil {
			t.Errorf("%v is taken for damage: %v", err, got)
		}
	}
	for _, err := range []error{sqlite.ResultCorrupt.ToError(), sqlite.ResultNotADB.ToError(), sqlite.ResultIOErrRead.ToError()} {
		var d damage
		if got := d.note(fmt.Errorf("read: %w", err)); !errors.Is(got, provision.ErrDamaged) || !errors.Is(d.found(), err) {
			t.Errorf("%v is not taken for damage: %v", err, got)
		}
	}
}
