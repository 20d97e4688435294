package sqlstore

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"
)

// Of many who change an allowance at once none undoes what another did; one that is too old is dropped.
func TestAllowance(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), t.TempDir(), Options{ReserveBytes: -1, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	count := func(state []byte) (n uint64) {
		if len(state) == 8 {
			n = binary.BigEndian.Uint64(state)
		}
		return n
	}
	add := func(names ...string) {
		err := s.Allowance(t.Context(), time.Hour, names, func(now time.Time, states [][]byte) {
			if !now.Equal(at) {
				t.Errorf("it is %v", now)
			}
			for i := range states {
				states[i] = binary.BigEndian.AppendUint64(nil, count(states[i])+1)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() { add(fmt.Sprint("caller ", i%4), "all") })
	}
	wg.Wait()
	want := func(name string, want uint64) {
		t.Helper()
		err := s.Allowance(t.Context(), time.Hour, []string{name}, func(_ time.Time, states [][]byte) {
			if n := count(states[0]); n != want {
				t.Errorf("%s: %d, want %d", name, n, want)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
	want("caller 1", 10)
	want("all", 40)
	at = at.Add(2 * time.Hour)
	want("caller 1", 10)
	want("caller 2", 0)
}

// Processes that decide a fact at once agree on it.
func TestPutSettingOnce(t *testing.T) {
	s := fresh(t)
	var held [8]string
	var wg sync.WaitGroup
	for i := range held {
		wg.Go(func() {
			var err error
			if held[i], err = s.PutSettingOnce(t.Context(), "tenant.id", fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	value, err := s.Setting(t.Context(), "tenant.id")
	for _, h := range held {
		if h != value || err != nil || value == "" {
			t.Errorf("somebody holds %q for decided, and it is %q, %v", h, value, err)
		}
	}
}
