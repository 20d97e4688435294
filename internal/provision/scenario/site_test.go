package scenario

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"induct/internal/provision"
	"induct/internal/sqlstore"
	"induct/internal/sqlstore/pgtest"
)

// sites are the kinds of stores that scenarios run on: on the embedded store all do, on PostgreSQL, where each takes seconds, one of some
// on each run of the tests, and all if the environment has INDUCT_SCENARIOS=all.
var sites = []struct {
	name  string
	build func(testing.TB) site
	share int // one of so many scenarios
}{
	{"SQLite", newFiles, 1},
	{"PostgreSQL", newDatabase, 15},
}

// everything reports whether all is to be run everywhere, however long that takes.
func everything() bool { return os.Getenv("INDUCT_SCENARIOS") == "all" }

// site is where the data of a store is, which is opened there again and again.
type site interface {
	// open opens the store, whose clock is now. It is closed before it is opened once more.
	open(ctx context.Context, now func() time.Time) (*sqlstore.Store, error)
	// photograph returns a site where what is durable at this moment is found, and nothing that comes later. Nothing writes meanwhile,
	// other than a transaction of the caller's, which is going to fail.
	photograph() (site, error)
	// remove removes the site and its photographs.
	remove() error
}

// files are a site of the embedded store.
type files struct{ root, dir string } // dir, in root, is the data directory

func newFiles(t testing.TB) site {
	t.Helper()
	root, err := os.MkdirTemp("", "scenario") // t.TempDir would have the names of scenarios in its path
	if err != nil {
		t.Fatal(err)
	}
	return files{root, filepath.Join(root, "data")}
}

func (f files) open(ctx context.Context, now func() time.Time) (*sqlstore.Store, error) {
	return sqlstore.Open(ctx, f.dir, sqlstore.Options{Now: now, CacheKiB: 4096, FilterKiB: 256, Known: 1 << 16})
}

func (f files) remove() error { return os.RemoveAll(f.root) }

// photograph copies the files as they are.
func (f files) photograph() (site, error) {
	dir, err := os.MkdirTemp(f.root, "data")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"induct.db", "induct.db-wal"} {
		b, err := os.ReadFile(filepath.Join(f.dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	return files{f.root, dir}, nil
}

// database is a site on PostgreSQL. What a process has not committed when it dies is not there.
type database struct{ url string }

func newDatabase(t testing.TB) site {
	t.Helper()
	return database{pgtest.Database(t)}
}

func (d database) open(ctx context.Context, now func() time.Time) (*sqlstore.Store, error) {
	return sqlstore.OpenPostgres(ctx, d.url, sqlstore.PostgresOptions{Now: now, Connections: 6})
}

func (d database) photograph() (site, error) { return d, nil }
func (d database) remove() error             { return nil } // with the test

// contended is the store as a service has it that is not alone: if there are rivals, some Units find that somebody else came first.
type contended struct {
	*sqlstore.Store
	w *world
}

// Unit implements provision.Store.
func (c contended) Unit(ctx context.Context, f provision.Fence, fn func(provision.Unit) error) error {
	if c.w.rivals != nil && c.w.rivals.IntN(8) == 0 {
		return provision.ErrFenced
	}
	return c.Store.Unit(ctx, f, fn)
}
