package sqlstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Place is where an installation keeps everything: a data directory or a database.
type Place struct{ dir, database string }

// ParsePlace reads a place as people write it: postgres://… is a database, all else a directory.
func ParsePlace(text string) (Place, error) {
	scheme, _, isURL := strings.Cut(text, "://")
	switch {
	case text == "":
		return Place{}, errors.New("no place was given: it is a data directory or postgres://…")
	case isURL && (scheme == "postgres" || scheme == "postgresql"):
		return Place{database: text}, nil
	case isURL:
		return Place{}, fmt.Errorf("%s:// is no database that Induct knows: use postgres://…, or a data directory", scheme)
	}
	return Place{dir: text}, nil
}

// read calls fn with a snapshot. Who is live may be written to meanwhile; else nobody else may have it open.
func (p Place) read(ctx context.Context, live bool, scratch string, o DumpOptions, fn func(*snapshot) error) (err error) {
	if p.database != "" {
		return readPostgres(ctx, p.database, live, fn)
	}
	if live {
		return readLite(ctx, p.dir, scratch, o, fn)
	}
	if !exists(filepath.Join(p.dir, databaseFile)) {
		return fmt.Errorf("there is no installation in %s", p.dir)
	}
	unlock, err := lockFile(filepath.Join(p.dir, "lock"))
	if err != nil {
		return fmt.Errorf("%s: %w", p.dir, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return readLite(ctx, p.dir, "", o, fn)
}

// load fills a place from a dump.
func (p Place) load(ctx context.Context, r io.Reader, aside bool, o DumpOptions) (sum *Summary, replaced string, err error) {
	if p.database != "" {
		sum, err = loadPostgres(ctx, p.database, r, o)
		return sum, "", err
	}
	return loadLite(ctx, p.dir, r, aside, o)
}

// Backup writes all of an installation, which may be running, into a file, in the state in which it is now. The file gets its
// name, in the place of one that has it, when it is durable and was read back; it can be read by its owner only.
func Backup(ctx context.Context, from Place, path string, o DumpOptions) (sum *Summary, err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.unfinished") // 0600
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	err = from.read(ctx, true, dir, o, func(s *snapshot) error {
		w := bufio.NewWriterSize(f, 1<<20)
		if sum, err = dump(ctx, s, w, o); err != nil {
			return err
		}
		return w.Flush()
	})
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, err
	}
	got, err := verify(ctx, f, sum.Rows, o)
	if err != nil {
		return nil, fmt.Errorf("read back what was written: %w", err)
	}
	if err = sum.Differs(got); err != nil {
		return nil, fmt.Errorf("what was written is not what is read back: %w", err)
	}
	if err = errors.Join(f.Close(), os.Rename(f.Name(), path)); err != nil {
		return nil, err
	}
	return sum, syncDir(dir)
}

// VerifyBackup reads a backup to its end and returns what it holds. Errors of damage have ErrDamaged in them.
func VerifyBackup(ctx context.Context, r io.Reader, o DumpOptions) (*Summary, error) {
	return verify(ctx, bufio.NewReaderSize(r, 1<<20), 0, o)
}

func verify(ctx context.Context, r io.Reader, of int64, o DumpOptions) (*Summary, error) {
	done := int64(0)
	return readDump(r, dumpVisitor{
		head: func(h Header) error { of = max(of, h.Rows); return nil },
		row: func(*table, []any) error {
			if done++; done%progressRows == 0 {
				o.progress(StepVerify, done, max(of, done))
				return ctx.Err()
			}
			return nil
		},
	})
}

// Restored says what Restore and Copy have done.
type Restored struct {
	*Summary
	Replaced string // new path of the database that was there, if one was
}

// Restore makes an installation of a backup, in a place where there is none; else it returns ErrNotEmpty. With aside, the database of a
// data directory is renamed instead, once everything of the backup is there. All is read back and compared before it is
// an installation; until then nothing serves it.
func Restore(ctx context.Context, r io.Reader, to Place, aside bool, o DumpOptions) (Restored, error) {
	sum, replaced, err := to.load(ctx, bufio.NewReaderSize(r, 1<<20), aside, o)
	return Restored{sum, replaced}, err
}

// Copy makes an installation of another one that is stopped, as Restore does of its backup.
func Copy(ctx context.Context, from, to Place, o DumpOptions) (Restored, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	var reading sync.WaitGroup
	reading.Go(func() {
		quiet := o
		quiet.Progress = nil // the writing side tells
		w.CloseWithError(from.read(ctx, false, "", o, func(s *snapshot) error {
			b := bufio.NewWriterSize(w, 1<<20)
			if _, err := dump(ctx, s, b, quiet); err != nil {
				return err
			}
			return b.Flush()
		}))
	})
	sum, _, err := to.load(ctx, r, false, o)
	cancel()
	r.CloseWithError(context.Canceled)
	reading.Wait()
	return Restored{Summary: sum}, err
}
