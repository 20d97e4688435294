package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

const (
	databaseFile = "induct.db"
	loadingFile  = "induct.db.loading" // a database that is being filled; with it, nothing serves the directory
)

// ErrUnfinished is returned for a data directory that was being filled by a restore or a copy that did not come to its end.
var ErrUnfinished = errors.New("a restore or copy into it has not come to its end: run that again, or delete the file " + loadingFile + " there to give it up")

// checkFinished refuses a data directory that is being filled.
func checkFinished(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, loadingFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", dir, ErrUnfinished)
}

// leastFree is the free space in the data directory below which a copy is given up: the WAL grows while it is made.
const leastFree = 2 * DefaultReserve

// copyPages is how many pages are copied between two looks at whether to go on.
const copyPages = 1 << 10

// readLite calls fn with a snapshot of the database in dir.
//
// A service may have it open: SQLite lets other processes of the machine read. While a reader has a snapshot the WAL cannot
// be folded into the file and grows with all that is written, so the snapshot is held only for as long as it takes to copy
// the pages into a file in the directory scratch, from which fn reads. With scratch "" nobody may write, and fn reads the file itself.
func readLite(ctx context.Context, dir, scratch string, o DumpOptions, fn func(*snapshot) error) (err error) {
	path := filepath.Join(dir, databaseFile)
	if err := checkFinished(dir); err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("there is no installation in %s: %w", dir, err)
	}
	c, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.SetBlockOnBusy()
	if err := checkSchema(liteConn{c}); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	taken := time.Now() // no later than the snapshot begins
	if scratch != "" {
		done, err := copyLite(ctx, &c, dir, scratch, o)
		defer done()
		if err != nil {
			return fmt.Errorf("copy %s: %w", path, err)
		}
	}
	if err := execute(c, "PRAGMA cache_size = -16384", "PRAGMA temp_store = MEMORY", "BEGIN"); err != nil {
		return err
	}
	c.SetInterrupt(ctx.Done())
	s := liteSnapshot(c, dumped())
	s.taken = taken
	if s.woken, err = wokenRows(s.conn); err != nil {
		return err
	}
	return fn(s)
}

func liteSnapshot(c *sqlite.Conn, tables []table) *snapshot {
	conn := liteConn{c}
	return &snapshot{conn: conn, source: "sqlite", tables: tables, keys: func(row eachRow) error {
		staged, err := stagedKeys(conn)
		if err != nil {
			return err
		}
		return storedKeys(conn, staged, row)
	}}
}

// wokenRows returns the references in the lists of woken.
func wokenRows(c Conn) (all []int64, err error) {
	err = query(c, "SELECT rows FROM woken", nil, func(r Row) error {
		list, err := unpackWoken(Blob(r, 0))
		all = append(all, list...)
		return err
	})
	slices.Sort(all)
	return slices.Compact(all), err
}

// copyLite puts a connection to a copy of the file in the place of c, which it closes. done deletes the copy once that is closed.
func copyLite(ctx context.Context, c **sqlite.Conn, dir, scratch string, o DumpOptions) (done func(), err error) {
	temp, err := os.MkdirTemp(scratch, "induct-pages-") // 0700
	if err != nil {
		return func() {}, err
	}
	done = func() { os.RemoveAll(temp) }
	to, err := sqlite.OpenConn(filepath.Join(temp, databaseFile), sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		return done, err
	}
	if err = copyAll(ctx, to, *c, dir, o); err != nil {
		return done, errors.Join(err, to.Close())
	}
	err = (*c).Close()
	*c = to
	return done, err
}

func copyAll(ctx context.Context, to, from *sqlite.Conn, dir string, o DumpOptions) error {
	if err := execute(to, "PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA locking_mode = EXCLUSIVE"); err != nil {
		return err
	}
	// The snapshot is of this moment: without it, each commit of the service would let the copy begin anew.
	if err := execute(from, "BEGIN", "SELECT count(*) FROM sqlite_master"); err != nil {
		return err
	}
	b, err := sqlite.NewBackup(to, "", from, "")
	if err != nil {
		return err
	}
	defer b.Close()
	var space spaceGauge
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if free, err := space.freeBytes(dir); err == nil && free < leastFree {
			return fmt.Errorf("%d bytes are free in %s: gave up, so that the service can go on accepting. What is written meanwhile needs room there, and a copy of the database beside the backup", free, dir)
		}
		if more, err = b.Step(copyPages); err != nil {
			return err
		}
		o.progress(StepCopy, int64(b.PageCount()-b.Remaining()), int64(b.PageCount()))
	}
	return nil
}

// liteTarget is a new database file in a directory.
type liteTarget struct {
	path    string
	conn    *sqlite.Conn
	text    string   // the INSERT of the present table
	indexes []string // statements that make the indexes, which is done when all rows are there
}

// make implements target.
func (t *liteTarget) make(ctx context.Context, version int64) error {
	if err := migrate(ctx, t.path, version); err != nil {
		return err
	}
	c, err := sqlite.OpenConn(t.path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	t.conn = c
	c.SetInterrupt(ctx.Done())
	// Nothing of this file counts before it has its name, so that no journal is needed.
	err = execute(c, "PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA cache_size = -65536")
	if err == nil {
		err = t.dropIndexes()
	}
	if err == nil {
		err = execute(c, "BEGIN")
	}
	return err
}

// open implements target. A job has one lane here.
func (t *liteTarget) open(of *table) error {
	names, places := of.names(), make([]string, len(of.columns))
	for i := range places {
		places[i] = fmt.Sprintf("?%d", i+1)
	}
	if of.name == "job" {
		names, places = names+", lanes", append(places, "1")
	}
	t.text = "INSERT INTO " + of.name + " (" + names + ") VALUES (" + strings.Join(places, ", ") + ")"
	return nil
}

// put implements target.
func (t *liteTarget) put(of *table, values []any) error {
	if of.name == laneTable {
		return ErrLanes
	}
	return query(liteConn{t.conn}, t.text, values, nil)
}

func (t *liteTarget) dropIndexes() error {
	var drop []string
	err := query(liteConn{t.conn}, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL", nil, func(r Row) error {
		drop = append(drop, "DROP INDEX "+r.ColumnText(0))
		t.indexes = append(t.indexes, r.ColumnText(1))
		return nil
	})
	if err != nil {
		return err
	}
	return execute(t.conn, drop...)
}

// finish makes the indexes.
func (t *liteTarget) finish(ctx context.Context, o DumpOptions) error {
	for i, text := range t.indexes {
		o.progress(StepIndex, int64(i), int64(len(t.indexes)))
		if err := errors.Join(ctx.Err(), execute(t.conn, text)); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return execute(t.conn, "COMMIT")
}

// close closes the connection, if there is one.
func (t *liteTarget) close() error {
	if t.conn == nil {
		return nil
	}
	err := t.conn.Close()
	t.conn = nil
	return err
}

// loadLite makes an installation in dir of the dump that r reads. The file gets its name when all of it is there, read back
// and durable; until then nothing serves the directory. With aside, an installation that is there is renamed then, and
// replaced is the new name of its database.
func loadLite(ctx context.Context, dir string, r io.Reader, aside bool, o DumpOptions) (sum *Summary, replaced string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if old := databaseFiles(dir); len(old) > 0 && !aside {
		return nil, "", fmt.Errorf("%s: %w (%s): use a new directory, or restore with --force, which renames it", dir, ErrNotEmpty, filepath.Base(old[0]))
	}
	t := &liteTarget{path: filepath.Join(dir, loadingFile)}
	if err := t.remove(); err != nil {
		return nil, "", err
	}
	if sum, err = fillLite(ctx, t, r, o); err != nil {
		return nil, "", errors.Join(err, t.close(), t.remove())
	}
	if aside {
		replaced, err = moveAside(dir, sum.Header.Taken.Format("20060102T150405Z"))
	}
	if err == nil {
		err = errors.Join(os.Rename(t.path, filepath.Join(dir, databaseFile)), syncDir(dir))
	}
	return sum, replaced, err
}

func fillLite(ctx context.Context, t *liteTarget, r io.Reader, o DumpOptions) (*Summary, error) {
	l := &loader{to: t, o: o}
	sum, err := l.load(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := t.finish(ctx, o); err != nil {
		return nil, err
	}
	if err := l.verify(ctx, liteSnapshot(t.conn, nil), sum); err != nil {
		return nil, err
	}
	if err := t.close(); err != nil {
		return nil, err
	}
	if err := migrate(ctx, t.path, 0); err != nil { // to this release
		return nil, err
	}
	return sum, syncFile(t.path)
}

// remove removes what an interrupted load has left.
func (t *liteTarget) remove() error {
	for _, suffix := range []string{"-wal", "-shm", "-journal", ""} { // the file itself last: it says that the load is unfinished
		if err := os.Remove(t.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// databaseFiles returns the files of the database in dir that are there, the database itself first.
func databaseFiles(dir string) (paths []string) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if path := filepath.Join(dir, databaseFile) + suffix; exists(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// moveAside renames the files of the database in dir, and returns the new path of the database; "" if there is none.
func moveAside(dir, suffix string) (replaced string, err error) {
	old := databaseFiles(dir)
	if len(old) == 0 {
		return "", nil
	}
	stem := filepath.Join(dir, databaseFile)
	replaced = stem + ".before-" + suffix
	for n := 2; exists(replaced); n++ {
		replaced = fmt.Sprintf("%s.before-%s-%d", stem, suffix, n)
	}
	for _, path := range old { // the parts keep together: SQLite finds a WAL by the database's name
		if err := os.Rename(path, replaced+strings.TrimPrefix(path, stem)); err != nil {
			return "", err
		}
	}
	return replaced, syncDir(dir)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncDir makes the names in a directory durable, where the system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && runtime.GOOS != "windows" {
		return errors.Join(err, d.Close())
	}
	return d.Close()
}

// execute runs statements one after the other.
func execute(c *sqlite.Conn, texts ...string) error {
	for _, text := range texts {
		if err := sqlitex.ExecuteTransient(c, text, nil); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}
