package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/pressly/goose/v3"

	"induct/internal/sqlstore/pack"
)

// DumpOptions are the circumstances of a dump.
type DumpOptions struct {
	Release  string                            // of the program, for the header
	Progress func(step string, done, of int64) // told now and then, of rows or of pages; of is about; may be nil
}

func (o DumpOptions) progress(step string, done, of int64) {
	if o.Progress != nil {
		o.Progress(step, done, of)
	}
}

// snapshot is one committed state of a database, whichever it is.
type snapshot struct {
	conn   Conn
	taken  time.Time           // what was committed before is in it
	source string              // for the header
	keys   func(eachRow) error // calls its argument with the rows of keyTable
	lanes  func(eachRow) error // and with those of laneTable; nil: there are none
	woken  []int64             // references that are ready although their rows do not say so, sorted; see woken.go
	tables []table
}

// eachRow is called with a row of a table of integers.
type eachRow func(row ...int64) error

// Steps that a Progress is told of.
const (
	StepCopy   = "copy pages"
	StepRead   = "read"
	StepWrite  = "write"
	StepIndex  = "index"
	StepVerify = "verify"
)

const progressRows = 10_000 // between two reports

// dump writes all rows of a snapshot.
func dump(ctx context.Context, s *snapshot, w io.Writer, o DumpOptions) (*Summary, error) {
	header, err := s.header(o)
	if err != nil {
		return nil, err
	}
	d, err := newDumpWriter(w)
	if err != nil {
		return nil, err
	}
	defer d.zip.Close()
	if err := d.json(frameHead, header); err != nil {
		return nil, err
	}
	sum, err := s.scan(ctx, header, d, o, StepRead)
	if err != nil {
		return nil, err
	}
	return sum, d.json(frameEnd, Summary{Rows: sum.Rows, Checksum: sum.Checksum})
}

// sums returns what a snapshot holds, without writing it anywhere.
func (s *snapshot) sums(ctx context.Context, o DumpOptions) (*Summary, error) {
	header, err := s.header(o)
	if err != nil {
		return nil, err
	}
	return s.scan(ctx, header, nil, o, StepVerify)
}

func (s *snapshot) header(o DumpOptions) (Header, error) {
	h := Header{Format: dumpFormat, Release: o.Release, Taken: s.taken.UTC(), Source: s.source, Contains: dumpContains}
	var err error
	if h.Schema, err = schemaVersion(s.conn); err != nil {
		return h, err
	}
	err = query(s.conn, "SELECT value FROM setting WHERE name = 'tenant.id'", nil, func(r Row) error {
		h.Tenant = r.ColumnText(0)
		return nil
	})
	for _, t := range s.tables {
		if err == nil && t.name != laneTable {
			err = query(s.conn, "SELECT count(*) FROM "+t.name, nil, func(r Row) error {
				h.Rows += r.ColumnInt64(0)
				return nil
			})
		}
	}
	return h, err
}

// latestSchema returns the version of this release's tables.
func latestSchema() (latest int64, err error) {
	files, err := fs.ReadDir(migrations, "migrations/sqlite")
	for _, f := range files {
		version, e := goose.NumericComponent(f.Name())
		latest, err = max(latest, version), errors.Join(err, e)
	}
	return latest, err
}

// checkSchema refuses a database of another release, whose tables may be others.
func checkSchema(c Conn) error {
	version, err := schemaVersion(c)
	if err != nil {
		return fmt.Errorf("this is no database of Induct: %w", err)
	}
	if latest, err := latestSchema(); err != nil || version != latest {
		return errors.Join(err, fmt.Errorf("the tables have version %d and this program is for %d: use the release of Induct that runs the installation", version, latest))
	}
	return nil
}

// schemaVersion returns the version of a database's tables.
func schemaVersion(c Conn) (version int64, err error) {
	err = query(c, "SELECT max(version_id) FROM goose_db_version", nil, func(r Row) error {
		version = r.ColumnInt64(0)
		return nil
	})
	return version, err
}

// scan reads all rows, and writes them to d unless it is nil.
func (s *snapshot) scan(ctx context.Context, h Header, d *dumpWriter, o DumpOptions, step string) (*Summary, error) {
	total := &Summary{Header: h}
	for _, t := range s.tables {
		tell := func(rows int64) { o.progress(step, total.Rows+rows, max(h.Rows, total.Rows+rows)) }
		sum, err := s.table(ctx, &t, d, tell)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		total.add(sum)
		tell(0)
	}
	return total, nil
}

// table reads the rows of a table.
func (s *snapshot) table(ctx context.Context, t *table, d *dumpWriter, tell func(rows int64)) (TableSum, error) {
	if d != nil {
		head := tableHead{Name: t.name}
		for _, c := range t.columns {
			head.Columns = append(head.Columns, c.String())
		}
		if err := d.json(frameTable, head); err != nil {
			return TableSum{}, err
		}
	}
	var sum rowSum
	var chunk pack.Enc
	add := func(r Row) error {
		before := len(chunk)
		appendRow(&chunk, t.columns, r)
		sum.add(chunk[before:])
		if sum.rows%progressRows == 0 {
			tell(sum.rows)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if len(chunk) < chunkBytes {
			return nil
		}
		err := d.chunk(chunk)
		chunk = chunk[:0]
		return err
	}
	err := s.rows(t, add)
	if err == nil && len(chunk) > 0 {
		err = d.chunk(chunk)
	}
	if err != nil {
		return TableSum{}, err
	}
	result := sum.of(t.name)
	if d != nil {
		err = d.json(frameSum, result)
	}
	return result, err
}

// chunk writes a frame of rows; a nil writer writes nothing.
func (d *dumpWriter) chunk(raw []byte) error {
	if d == nil {
		return nil
	}
	return d.rows(raw)
}

func (s *snapshot) rows(t *table, add func(Row) error) error {
	each := func(row ...int64) error { return add(intRow(row)) }
	switch {
	case t.name == keyTable:
		return s.keys(each)
	case t.name == laneTable && s.lanes == nil:
		return nil
	case t.name == laneTable:
		return s.lanes(each)
	}
	text := "SELECT " + t.names() + " FROM " + t.name
	if t.order != "" {
		text += " ORDER BY " + t.order
	}
	if t.name == "reference" && len(s.woken) > 0 {
		return s.conn.scan(text, nil, s.readyRows(t, add))
	}
	return s.conn.scan(text, nil, add)
}

// readyRows has the rows of references that are woken say that they are ready.
func (s *snapshot) readyRows(t *table, add func(Row) error) func(Row) error {
	place := func(name string) int {
		return slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
	}
	pk, ready := place("pk"), place("ready")
	return func(r Row) error {
		if _, woken := slices.BinarySearch(s.woken, r.ColumnInt64(pk)); woken {
			return add(readyRow{r, ready})
		}
		return add(r)
	}
}

// readyRow is a row with a 1 in a column of integers.
type readyRow struct {
	Row
	column int
}

// ColumnInt64 implements Row.
func (r readyRow) ColumnInt64(col int) int64 {
	if col == r.column {
		return 1
	}
	return r.Row.ColumnInt64(col)
}

// intRow is a row of a table of integers.
type intRow []int64

func (r intRow) ColumnInt64(col int) int64       { return r[col] }
func (r intRow) ColumnInt(col int) int           { return int(r[col]) }
func (r intRow) ColumnBool(col int) bool         { return r[col] != 0 }
func (r intRow) ColumnText(int) string           { return "" }
func (r intRow) ColumnIsNull(int) bool           { return false }
func (r intRow) ColumnLen(int) int               { return 0 }
func (r intRow) ColumnBytes(_ int, _ []byte) int { return 0 }

// storedKeys calls row for each row of key in its order, with the staged changes made.
func storedKeys(c Conn, staged []keyChange, row eachRow) error {
	order := func(a, b keyChange) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.row, b.row)) }
	give := func(ch keyChange) error {
		if ch.gone {
			return nil
		}
		return row(ch.hash, ch.row)
	}
	err := c.scan("SELECT hash, row FROM key ORDER BY hash, row", nil, func(r Row) error {
		stored := keyChange{hash: r.ColumnInt64(0), row: r.ColumnInt64(1)}
		for len(staged) > 0 && order(staged[0], stored) < 0 {
			if err := give(staged[0]); err != nil {
				return err
			}
			staged = staged[1:]
		}
		if len(staged) > 0 && order(staged[0], stored) == 0 { // the change decides
			stored, staged = staged[0], staged[1:]
		}
		return give(stored)
	})
	for _, ch := range staged {
		if err == nil {
			err = give(ch)
		}
	}
	return err
}

// stagedKeys returns the staged changes of a SQLite file in the order of key, the latest of each row.
func stagedKeys(c Conn) ([]keyChange, error) {
	k := keys{filter: newFilter(1)}
	if err := k.load(c); err != nil {
		return nil, err
	}
	var all []keyChange
	for i := range k.staged {
		var slice []keyChange
		for _, l := range k.staged[i].list {
			slice = append(slice, l.keyChange)
		}
		all = append(all, slice...)
	}
	same := func(a, b keyChange) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.row, b.row)) }
	slices.SortStableFunc(all, same)
	last := all[:0]
	for i, ch := range all {
		if i+1 == len(all) || same(all[i+1], ch) != 0 {
			last = append(last, ch)
		}
	}
	return last, nil
}

// target is a database that is filled, in which there is no installation.
type target interface {
	// make makes the tables as they were in a version.
	make(ctx context.Context, version int64) error
	// open is told of a table before its rows.
	open(t *table) error
	// put writes a row, whose values may be bytes that do not outlive the call.
	put(t *table, values []any) error
}

// loader writes the rows of a dump into a database.
type loader struct {
	to     target
	tables []table // that there were so far
	o      DumpOptions
	done   int64
	of     int64
}

// load reads a dump into a database that it makes.
func (l *loader) load(ctx context.Context, r io.Reader) (*Summary, error) {
	latest, err := latestSchema()
	if err != nil {
		return nil, err
	}
	sum, err := readDump(r, dumpVisitor{
		head: func(h Header) error {
			if h.Schema < 1 || h.Schema > latest {
				return fmt.Errorf("the backup was written by Induct %s, whose tables have version %d; this program knows them up to %d: use that release or a later one", h.Release, h.Schema, latest)
			}
			l.of = h.Rows
			return l.to.make(ctx, h.Schema)
		},
		open: func(t *table) error {
			l.tables = append(l.tables, *t)
			return l.to.open(t)
		},
		row: func(t *table, values []any) error {
			if l.done++; l.done%progressRows == 0 {
				l.o.progress(StepWrite, l.done, max(l.of, l.done))
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			return l.to.put(t, values)
		},
	})
	if err == nil && sum.Header.Schema == latest {
		err = l.complete()
	}
	return sum, err
}

// complete checks that the dump had all tables that this release dumps.
func (l *loader) complete() error {
	for _, t := range dumped() {
		same := func(o table) bool { return o.name == t.name && slices.Equal(o.columns, t.columns) }
		if !slices.ContainsFunc(l.tables, same) {
			return fmt.Errorf("%w: table %s is not in it as it should be", ErrDamaged, t.name)
		}
	}
	return nil
}

// verify compares what the database holds now with what the dump held.
func (l *loader) verify(ctx context.Context, s *snapshot, want *Summary) error {
	s.tables = l.tables
	got, err := s.sums(ctx, l.o)
	if err != nil {
		return fmt.Errorf("read back what was written: %w", err)
	}
	if err := want.Differs(got); err != nil {
		return fmt.Errorf("what was written is not what is read back: %w", err)
	}
	return nil
}

// ErrNotEmpty is part of the error of what would fill a place where an installation is already.
var ErrNotEmpty = errors.New("there is an installation already")

// ErrLanes is part of the error of a dump that a data directory cannot take, because work was under way in several lanes.
var ErrLanes = errors.New("some people's records of an upload were done when others' were not, which only PostgreSQL can go on with: " +
	"pause all jobs, wait until their cycles have ended, and take another backup, or stop the service then and copy")
