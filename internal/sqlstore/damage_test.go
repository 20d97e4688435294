package sqlstore

import (
	"bytes"
	"context"
	"encoding/binary"
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

// A file with any page that is not what was written is not opened, and nothing is written to it.
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
		if !errors.Is(err, provision.ErrDamaged) || !strings.Contains(err.Error(), path) {
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

// A spoiled frame of the log is found if a transaction that was durable lies behind it; a log that just ends is sound.
func TestDamagedLog(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var ends []int // of the log after each transaction
	for i := range 4 {
		if err := s.PutSetting(t.Context(), fmt.Sprint("setting ", i), "x"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "induct.db-wal"))
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, int(info.Size()))
	}
	text, err := os.ReadFile(filepath.Join(dir, "induct.db-wal"))
	if err != nil || len(text) != ends[3] || ends[0] >= ends[1] || ends[2] >= ends[3] {
		t.Fatal(len(text), ends, err)
	}
	const frame = frameHeader + pageSize
	first := walHeader + frame*((ends[0]-walHeader)/frame-1) // the last frame of the first transaction
	for name, test := range map[string]struct {
		spoil  func(b []byte) []byte
		damage bool
	}{
		"as it is":                    {func(b []byte) []byte { return b }, false},
		"empty":                       {func(b []byte) []byte { return nil }, false},
		"never written":               {func(b []byte) []byte { return make([]byte, len(b)) }, false},
		"cut off in a frame":          {func(b []byte) []byte { return b[:ends[1]+100] }, false},
		"cut off in the header":       {func(b []byte) []byte { return b[:20] }, false},
		"the last transaction":        {func(b []byte) []byte { b[ends[2]+100] ^= 1; return b }, false}, // as a power failure leaves it
		"a header of zeros":           {func(b []byte) []byte { clear(b[:walHeader]); return b }, true},
		"a bit of the header":         {func(b []byte) []byte { b[17] ^= 4; return b }, true},
		"a bit of a page":             {func(b []byte) []byte { b[first+frameHeader+5] ^= 1; return b }, true},
		"a bit of a checksum":         {func(b []byte) []byte { b[first+20] ^= 1; return b }, true},
		"a frame of zeros":            {func(b []byte) []byte { clear(b[first : first+frame]); return b }, true},
		"a transaction before others": {func(b []byte) []byte { clear(b[walHeader:ends[0]]); return b }, true},
		"older frames behind the end": {func(b []byte) []byte {
			b = append(b, b[ends[0]:]...)
			for at := ends[3]; at < len(b); at += frame {
				b[at+8]++ // another salt
			}
			return b
		}, false},
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, test.spoil([]byte(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := inspectLog(path); errors.Is(err, provision.ErrDamaged) != test.damage || err != nil && !test.damage {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := inspectLog(filepath.Join(dir, "none")); err != nil {
		t.Errorf("no log: %v", err)
	}
}

// Whatever a log is, reading it ends, with damage or none.
func FuzzLog(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add(make([]byte, 2000), uint16(512))
	f.Fuzz(func(t *testing.T, b []byte, page uint16) {
		if len(b) >= walHeader { // let it come past the header
			binary.BigEndian.PutUint32(b, walMagic)
			binary.BigEndian.PutUint32(b[8:], uint32(page))
			sum := checksum{order: binary.LittleEndian}
			sum.add(b[:24])
			binary.BigEndian.PutUint32(b[24:], sum.s1)
			binary.BigEndian.PutUint32(b[28:], sum.s2)
		}
		if err := readLog(bytes.NewReader(b)); err != nil && !errors.Is(err, provision.ErrDamaged) {
			t.Error(err)
		}
	})
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
