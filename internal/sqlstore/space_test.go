package sqlstore

import (
	"path/filepath"
	"testing"
)

func TestSpace(t *testing.T) {
	for reserve, want := range map[int64]int64{0: DefaultReserve, 5: 5, -1: 0} {
		s, err := Open(t.Context(), filepath.Join(t.TempDir(), "data"), Options{ReserveBytes: reserve})
		if err != nil {
			t.Fatal(err)
		}
		before, err := s.Space()
		if err != nil || before.Database <= 0 || before.Free == 0 || before.Reserve != want {
			t.Errorf("%+v %v", before, err)
		}
		for range 3 {
			if err := s.CheckWrite(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := s.CheckRead(t.Context()); err != nil {
			t.Error(err)
		}
		if after, err := s.Space(); err != nil || after.WAL <= before.WAL {
			t.Errorf("%+v %v: what CheckWrite writes is not in the log", after, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s.CheckRead(t.Context()) == nil || s.CheckWrite(t.Context()) == nil {
			t.Error("a closed store passes its checks")
		}
	}
}
