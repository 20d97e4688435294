package sqlstore

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"induct/internal/provision"
)

// Writes outside a job and Units of a job stage their keys one after the other, whoever commits with whom, and all of
// it is there after a restart.
func TestWritesBesideUnits(t *testing.T) {
	k := openKeyed(t, t.TempDir())
	failure := errors.New("failure")
	var hashes []int64
	for i := range 3 * keySlices {
		hashes = append(hashes, HashKey("test", 0, fmt.Sprint(i)))
	}
	file := func(i int, u *Unit) error {
		u.File(hashes[i], int64(i))
		if i%5 == 0 {
			return failure
		}
		return nil
	}
	var all sync.WaitGroup
	var committed sync.Map
	for i := range hashes {
		all.Go(func() {
			var err error
			if i%2 == 0 {
				err = k.store.Write(t.Context(), func(u *Unit) error {
					u.AfterCommit(func() { committed.Store(i, true) })
					return file(i, u)
				})
			} else {
				err = k.unit(func(u *Unit) error { return file(i, u) })
			}
			if want := i%5 == 0; errors.Is(err, failure) != want {
				t.Errorf("%d: %v", i, err)
			}
		})
		all.Go(func() { // small pieces that share transactions with them
			if err := k.store.PutSetting(t.Context(), fmt.Sprint(i), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, h := range hashes {
		if k.model[h] = map[int64]bool{}; i%5 != 0 {
			k.model[h][int64(i)] = true
		}
		if _, called := committed.Load(i); called != (i%2 == 0 && i%5 != 0) {
			t.Errorf("AfterCommit of %d: %t", i, called)
		}
	}
	k.check(t, hashes)
	if err := k.store.Close(); err != nil {
		t.Fatal(err)
	}
	k.open(t)
	k.check(t, hashes)
	if err := k.store.Close(); err != nil {
		t.Fatal(err)
	}
}

// A write is all or nothing, and sees its own keys.
func TestWrite(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), t.TempDir(), Options{ReserveBytes: -1, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hash, failure := HashKey("test", 0, "x"), &provision.TargetError{Code: "Conflict"}
	for _, want := range []error{failure, nil} {
		err := s.Write(t.Context(), func(u *Unit) error {
			if !u.Now().Equal(at) || !s.Now().Equal(at) {
				t.Errorf("the clock shows %v and %v", u.Now(), s.Now())
			}
			u.File(hash, 7)
			if rows, err := u.Keyed(hash); err != nil || !slices.Equal(rows, []int64{7}) {
				t.Errorf("its own keys: %v, %v", rows, err)
			}
			if err := Query(u.Conn(), "INSERT INTO setting (name, value) VALUES ('x', 'y')", nil, nil); err != nil {
				return err
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
		value, err := s.Setting(t.Context(), "x")
		if err != nil || (value == "y") != (want == nil) {
			t.Errorf("after %v: %q, %v", want, value, err)
		}
		if err := s.ReadKeyed(t.Context(), []int64{hash}, func(_ Conn, rows [][]int64) error {
			if (len(rows[0]) == 1) != (want == nil) {
				t.Errorf("after %v: rows %v", want, rows)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
