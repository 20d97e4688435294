// Package sqlstore keeps the engine's state and the tables of the built-in directory in one SQLite file.
//
// One goroutine writes (writer.go); each of its transactions takes all the work that waits, and is durable
// (synchronous=FULL) before anybody is told. Readers have connections of their own and never wait.
// What it does not do yet: merge the small blocks of a trickle.
package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver of the migrations
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"induct/internal/provision"
)

//go:embed migrations/*/*.sql
var migrations embed.FS

// ErrInUse is returned by Open if another process has the data directory open.
var ErrInUse = errors.New("the data directory is in use by another process")

// DefaultReserve is the free space below which uploads are refused.
const DefaultReserve = 64 << 20

// Options are the choices of a Store. A zero field means its default.
type Options struct {
	Readers      int   // connections that read; default 4
	CacheKiB     int   // page cache of the writer; readers have a quarter each; default 32 MiB
	FilterKiB    int   // filter of known keys, which spares lookups of new ones; about 1.4 bytes a key are enough; default 8 MiB
	Known        int   // people of whom enough is held in memory, in 48 bytes each, to prove that a record changes nothing; default 1.5 million
	ReserveBytes int64 // free space below which Accept answers ErrNoSpace; default DefaultReserve; negative: none
	Now          func() time.Time
}

// Store is a provision.Store and an oauth.Store on SQLite. It is safe for concurrent use.
type Store struct {
	db      database
	pg      *postgres // nil on SQLite
	dir     string    // "" if the database is a server
	w       *writer
	readers *sqlitex.Pool
	zip     *compressor
	reserve int64
	lanes   int // of a new job
	space   spaceGauge
	now     func() time.Time
	keys    keys
	rows    *rowNumbers
	known   *known
	runs    unmerged // when a run of the log's index is made
	damage  damage

	background func() // stops what was begun in the background when the store was opened, and waits for its end
	locks      locks

	allowances allowances

	// Owned by the writer's goroutine:
	seq      int64     // the Seq of the newest entry
	last     time.Time // its time
	unmerged unmerged
	waiting  map[int64]bool // jobs that may have references whose target is not linked yet
}

// Open opens the store in dir, which is made if it is missing (0700), and migrates it to this release.
// Errors: ErrInUse if another process has it open.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	if o.Readers == 0 {
		o.Readers = 4
	}
	if o.CacheKiB == 0 {
		o.CacheKiB = 32 << 10
	}
	if o.FilterKiB == 0 {
		o.FilterKiB = 8 << 10
	}
	if o.Known == 0 {
		o.Known = 3 << 19
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = DefaultReserve
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	s, err := open(ctx, dir, o)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	s.db.(*lite).unlock = unlock
	return s, nil
}

func open(ctx context.Context, dir string, o Options) (*Store, error) {
	if err := checkFinished(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, databaseFile)
	whole, err := inspectFirst(ctx, path, openCheck)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, path, 0); err != nil {
		return nil, fmt.Errorf("migrate %s: %w", path, err)
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenWAL)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := prepare(conn, o.CacheKiB, true); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	readers, err := sqlitex.NewPool(path, sqlitex.PoolOptions{Flags: sqlite.OpenReadOnly | sqlite.OpenWAL, PoolSize: o.Readers,
		PrepareConn: func(c *sqlite.Conn) error { return prepare(c, o.CacheKiB/4, false) }})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	zip, err := newCompressor()
	if err != nil {
		return nil, errors.Join(err, readers.Close(), conn.Close())
	}
	s := &Store{dir: dir, readers: readers, zip: zip, reserve: o.ReserveBytes, lanes: 1, now: o.Now, runs: runSizes}
	s.keys.filter, s.known = newFilter(o.FilterKiB), newKnown(o.Known)
	c := liteConn{conn}
	if err := errors.Join(s.loadSeq(c), s.loadUnmerged(c), s.loadWaiting(c), s.loadRowNumbers(c), s.keys.load(c)); err != nil {
		return nil, errors.Join(err, readers.Close(), conn.Close())
	}
	s.w = startWriter(conn, &s.damage)
	s.db = &lite{s: s}
	s.background = s.startBackground(path, !whole)
	return s, nil
}

// prepare sets a connection up. A commit returns after its fsync. The log of the file (WAL) is folded into it
// by the writer at 32 MiB: larger stalls everybody for longer, smaller multiplies the writes.
func prepare(c *sqlite.Conn, cacheKiB int, writes bool) error {
	pragmas := []string{fmt.Sprintf("PRAGMA cache_size = -%d", cacheKiB), "PRAGMA temp_store = MEMORY", "PRAGMA mmap_size = 0"}
	if writes {
		pragmas = append(pragmas, "PRAGMA synchronous = FULL", "PRAGMA wal_autocheckpoint = 8192")
	}
	for _, p := range pragmas {
		if err := sqlitex.ExecuteTransient(c, p, nil); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	c.SetBlockOnBusy()
	return nil
}

// migrate brings the tables of a file to a version; 0 is this release's.
func migrate(ctx context.Context, path string, version int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	defer db.Close()
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return err
	}
	if version > 0 {
		_, err = p.UpTo(ctx, version)
	} else {
		_, err = p.Up(ctx)
	}
	return err
}

// startBackground fills the filter of keys, and checks the file if that is still to be done. If the file cannot be read,
// the filter stays incomplete, which costs time and nothing else; whoever reads the file next hears why.
func (s *Store) startBackground(path string, check bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = s.keys.fill(ctx, s) })
	if check {
		work.Go(func() { s.damage.note(inspect(ctx, path)) })
	}
	return func() { cancel(); work.Wait() }
}

// Close finishes the writes that wait and releases the data directory.
func (s *Store) Close() error { return s.db.close() }

// Dir returns the data directory.
func (s *Store) Dir() string { return s.dir }

// read runs fn on a connection that sees one state of the database throughout.
func (s *Store) read(ctx context.Context, fn func(c Conn) error) error { return s.db.read(ctx, fn) }

// Read runs fn on a read connection, in one snapshot, for the room that keeps its tables here.
func (s *Store) Read(ctx context.Context, fn func(c Conn) error) error {
	return s.read(ctx, fn)
}

func (s *Store) loadSeq(c Conn) error {
	return query(c, "SELECT last, ended FROM log_block ORDER BY first DESC LIMIT 1", nil, func(st Row) error {
		s.seq, s.last = st.ColumnInt64(0), time.UnixMicro(st.ColumnInt64(1))
		return nil
	})
}

// Setting returns a fact about the installation, "" if it was never set.
func (s *Store) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT value FROM setting WHERE name = ?1", []any{name}, func(st Row) error {
			value = st.ColumnText(0)
			return nil
		})
	})
	return value, err
}

// PutSetting sets a fact about the installation.
func (s *Store) PutSetting(ctx context.Context, name, value string) error {
	return s.db.write(ctx, func(c Conn) error {
		return query(c, "INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			[]any{name, value}, nil)
	})
}

// errEnough ends a query early.
var errEnough = errors.New("enough")

var _ provision.Store = (*Store)(nil)
