package sqlstore

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
)

// The counts agree with a model of them whatever happens, also when the process is killed: what it leaves behind is a copy of
// its files as they are between two commits.
func TestLedger(t *testing.T) {
	t.Parallel()
	open := func(t rapid.TB, dir string) provision.Store {
		s, err := Open(context.Background(), dir, Options{ReserveBytes: -1, FilterKiB: 1, Known: 8, Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	crash := func(rt rapid.TB, old provision.Store) provision.Store {
		dir := t.TempDir()
		s := old.(*Store)
		for _, name := range []string{"induct.db", "induct.db-wal"} {
			if err := copyFile(filepath.Join(dir, name), filepath.Join(s.Dir(), name)); err != nil {
				rt.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
		return open(rt, dir)
	}
	provisiontest.TestLedger(t, open, crash, func(s provision.Store) error { return s.(*Store).Close() })
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}
