package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/s2"
	"golang.org/x/sync/errgroup"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"induct/internal/mapping"
	"induct/internal/scim"
)

// A floor is what the machine can do with the same bytes if nothing else is to be done. It is measured right before
// and right after its phase, so that both have the same neighbours.
type floor struct {
	name string
	run  func(ctx context.Context, l *load) (effort, error)
}

// effort is work that was done, and what it took.
type effort struct {
	records      int
	seconds, cpu float64
}

func (e effort) plus(o effort) effort {
	return effort{e.records + o.records, e.seconds + o.seconds, e.cpu + o.cpu}
}

// timed adds what fn takes to e.
func (e *effort) timed(fn func() error) error {
	before, began := used(os.Getpid()), time.Now()
	err := fn()
	e.seconds += time.Since(began).Seconds()
	e.cpu += used(os.Getpid()).cpu - before.cpu
	return err
}

// again calls do for the requests of l, over and over, from n goroutines, until least has passed.
func (l *load) again(ctx context.Context, n int, least time.Duration, do func(body []byte, records int) error) (e effort, err error) {
	var next, records atomic.Int64
	err = e.timed(func() error {
		group, ctx := errgroup.WithContext(ctx)
		end := time.Now().Add(least)
		for range n {
			group.Go(func() error {
				var body []byte
				for time.Now().Before(end) && ctx.Err() == nil {
					i := int(next.Add(1)-1) % len(l.ends)
					var err error
					if body, err = l.body(body, i); err != nil {
						return err
					}
					if err := do(body, l.in(i)); err != nil {
						return err
					}
					records.Add(int64(l.in(i)))
				}
				return ctx.Err()
			})
		}
		return group.Wait()
	})
	e.records = int(records.Load())
	return e, err
}

// decodeFloor parses each request and reads from each record the paths that the default mapping reads, on all cores.
func decodeFloor(least time.Duration) floor {
	return floor{"decode", func(ctx context.Context, l *load) (effort, error) {
		paths, err := defaultReader()
		if err != nil {
			return effort{}, err
		}
		return l.again(ctx, runtime.GOMAXPROCS(0), least, func(body []byte, _ int) error {
			ops, err := scim.ParseBulk(body, scim.Limits{})
			if err != nil {
				return err
			}
			var values []scim.Value
			for i := range ops {
				if values, err = paths.Read(ops[i].Data, values, nil); err != nil {
					return err
				}
			}
			return nil
		})
	}}
}

// defaultReader reads the source attributes that occur in a mapping of the default schema.
func defaultReader() (*scim.Reader, error) {
	schema, _ := mapping.Template("API2AAD")
	mappings := schema.Rules[0].ObjectMappings[0].AttributeMappings
	var paths []string
	for _, a := range schema.Directories[0].Objects[0].Attributes {
		if slices.ContainsFunc(mappings, func(m mapping.AttributeMapping) bool { return strings.Contains(m.Expression, "["+a.Name+"]") }) {
			paths = append(paths, a.Name)
		}
	}
	return scim.CompilePaths(paths)
}

// appendFloor compresses each request with S2 and appends it to one file from so many goroutines. Each goes on once
// its bytes are on disk; those who wait share an fsync, as the uploads do that are accepted together.
func appendFloor(dir string, connections int, least time.Duration) floor {
	return floor{"append", func(ctx context.Context, l *load) (e effort, err error) {
		f, err := os.CreateTemp(dir, "append-")
		if err != nil {
			return e, err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		in, idle := make(chan write, connections), make(chan struct{})
		go func() {
			defer close(idle)
			for first := range in {
				appendGroup(f, in, first)
			}
		}()
		e, err = l.again(ctx, connections, least, func(body []byte, _ int) error {
			w := write{s2.Encode(nil, body), make(chan error, 1)}
			in <- w
			return <-w.done
		})
		close(in)
		<-idle
		return e, err
	}}
}

// write is bytes that somebody wants on disk.
type write struct {
	body []byte
	done chan error
}

// appendGroup writes the first and what else waits, with one fsync.
func appendGroup(f *os.File, in <-chan write, first write) {
	group, all := []write{first}, first.body
	for len(group) < cap(in) && len(in) > 0 {
		w := <-in
		group, all = append(group, w), append(all, w.body...)
	}
	_, err := f.Write(all)
	if err == nil {
		err = f.Sync()
	}
	for _, w := range group {
		w.done <- err
	}
}

// bulkTables hold what must stand in a database when a person has been created, with the uniqueness that is promised:
// of a user's id and user name, of a person's anchor and of the user that the anchor is linked to.
var bulkTables = []string{
	"CREATE TABLE users (pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, upn TEXT NOT NULL UNIQUE, content BLOB NOT NULL)",
	"CREATE TABLE person (pk INTEGER PRIMARY KEY, anchor TEXT NOT NULL UNIQUE, object BLOB NOT NULL UNIQUE, kept BLOB NOT NULL)",
}

// bulkRow is a user with what is kept of the person.
type bulkRow struct {
	id            [16]byte
	upn, anchor   string
	content, kept []byte
}

// bulkRows is how many rows a transaction of the bulk load has.
const bulkRows = 10_000

// bulkLoadFloor inserts everybody of the load, in its order, into an empty SQLite database (WAL, synchronous=FULL, the
// page cache and checkpoint interval that the service has), in transactions of 10,000, and again into another one
// until least has passed. Making the rows is not counted.
func bulkLoadFloor(dir string, least time.Duration) floor {
	return floor{"bulk load", func(ctx context.Context, l *load) (e effort, err error) {
		for err == nil && (e.records == 0 || e.seconds < least.Seconds()) {
			err = l.bulkLoad(ctx, dir, &e)
		}
		return e, err
	}}
}

func (l *load) bulkLoad(ctx context.Context, dir string, e *effort) error {
	dir, err := os.MkdirTemp(dir, "bulk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	conn, err := sqlite.OpenConn(filepath.Join(dir, "floor.db"), sqlite.OpenReadWrite, sqlite.OpenCreate, sqlite.OpenWAL)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, text := range append([]string{"PRAGMA synchronous = FULL", "PRAGMA cache_size = -32768", "PRAGMA wal_autocheckpoint = 8192"}, bulkTables...) {
		if err := sqlitex.ExecuteTransient(conn, text, nil); err != nil {
			return err
		}
	}
	paths, err := defaultReader()
	if err != nil {
		return err
	}
	rows := make([]bulkRow, 0, bulkRows+l.per)
	for n := 0; n < len(l.ends); {
		for rows = rows[:0]; len(rows) < bulkRows && n < len(l.ends); n++ {
			if rows, err = l.appendRows(rows, n, paths); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.timed(func() error { return insert(conn, rows) }); err != nil {
			return err
		}
		e.records += len(rows)
	}
	return nil
}

// appendRows makes the rows of request n.
func (l *load) appendRows(rows []bulkRow, n int, paths *scim.Reader) ([]bulkRow, error) {
	body, err := l.body(nil, n)
	if err != nil {
		return nil, err
	}
	ops, err := scim.ParseBulk(body, scim.Limits{})
	if err != nil {
		return nil, err
	}
	var values []scim.Value
	for _, op := range ops {
		if values, err = paths.Read(op.Data, values, nil); err != nil {
			return nil, err
		}
		r := bulkRow{anchor: op.Anchor, upn: "u" + op.Anchor + "@nordwind.example", kept: s2.Encode(nil, op.Data)}
		rand.Read(r.id[:])
		for _, v := range values {
			r.content = append(append(r.content, byte(len(v.Str))), v.Str...)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func insert(conn *sqlite.Conn, rows []bulkRow) (err error) {
	end, err := sqlitex.ImmediateTransaction(conn)
	if err != nil {
		return err
	}
	defer end(&err)
	user, err := conn.Prepare("INSERT INTO users (id, upn, content) VALUES (?1, ?2, ?3)")
	if err != nil {
		return err
	}
	person, err := conn.Prepare("INSERT INTO person (anchor, object, kept) VALUES (?1, ?2, ?3)")
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		user.BindBytes(1, r.id[:])
		user.BindText(2, r.upn)
		user.BindBytes(3, r.content)
		person.BindText(1, r.anchor)
		person.BindBytes(2, r.id[:])
		person.BindBytes(3, r.kept)
		for _, st := range []*sqlite.Stmt{user, person} {
			if _, err := st.Step(); err != nil {
				return fmt.Errorf("bulk load: %w", err)
			}
			if err := st.Reset(); err != nil {
				return err
			}
		}
	}
	return nil
}
