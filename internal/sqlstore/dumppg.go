package sqlstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"induct/internal/provision"
)

// A PostgreSQL database is read and filled in one transaction: it is a snapshot for who reads, and who fills has all of it
// committed or nothing.

// pgSession is a connection of its own, which nothing but its end cuts: a dump may wait long for a slow disk.
func pgSession(ctx context.Context, url string) (*pgx.Conn, *pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, nil, fmt.Errorf("the database's address: %w", err) // pgx leaves the password out
	}
	cfg.ConnectTimeout = 5 * time.Second
	for name, value := range map[string]string{"application_name": "induct dump", "idle_in_transaction_session_timeout": "0", "statement_timeout": "0",
		"lock_timeout": "10s", "timezone": "UTC"} {
		cfg.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, nil, classifyPG(err)
	}
	return conn, cfg, nil
}

// readPostgres calls fn with a snapshot of the database. With live, replicas may run and go on; else there must be none, and
// none can start until fn returns.
func readPostgres(ctx context.Context, url string, live bool, fn func(*snapshot) error) (err error) {
	conn, _, err := pgSession(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	c := &pgConn{ctx: ctx, pg: conn.PgConn()}
	taken := time.Now() // no later than the snapshot, which the first question begins
	if err := execPG(ctx, conn, "BEGIN ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return err
	}
	if !live { // before the snapshot begins, so that none joins after it
		if err := execPG(ctx, conn, "LOCK TABLE replica IN SHARE MODE"); err != nil {
			return err
		}
	}
	if err := checkSchema(c); err != nil {
		return classifyPG(err)
	}
	if !live {
		if err := noReplica(c); err != nil {
			return err
		}
	}
	s := pgSnapshot(c, dumped())
	s.taken = taken
	return classifyPG(fn(s))
}

func execPG(ctx context.Context, conn *pgx.Conn, texts ...string) error {
	for _, text := range texts {
		if _, err := conn.PgConn().Exec(ctx, text).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", text, classifyPG(err))
		}
	}
	return nil
}

// noReplica returns ErrInUse if a replica has been heard of lately.
func noReplica(c Conn) error {
	return query(c, "SELECT name FROM replica WHERE beat > "+micro+" - ?1", []any{(2 * DefaultLease).Microseconds()}, func(r Row) error {
		return fmt.Errorf("replica %s: %w", r.ColumnText(0), ErrReplicas)
	})
}

// ErrReplicas is returned for a database that replicas run on, where none may.
var ErrReplicas = errors.New("it runs on the database: stop all replicas, and wait a few seconds after one that was killed")

func pgSnapshot(c *pgConn, tables []table) *snapshot {
	return &snapshot{conn: c, source: "postgresql", tables: tables,
		keys: func(row eachRow) error {
			return c.scan(`SELECT hash, "row" FROM key ORDER BY hash, "row"`, nil, func(r Row) error { return row(r.ColumnInt64(0), r.ColumnInt64(1)) })
		},
		lanes: func(row eachRow) error {
			return query(c, "SELECT job, lanes FROM progress ORDER BY job", nil, func(r Row) error {
				lanes := unpackLanes(Blob(r, 1))
				level := true
				for _, l := range lanes {
					level = level && l.position == lanes[0].position
				}
				for i, l := range lanes {
					if level {
						break
					}
					if err := row(r.ColumnInt64(0), int64(i), l.position); err != nil {
						return err
					}
				}
				return nil
			})
		}}
}

// pgTarget is a PostgreSQL database.
type pgTarget struct {
	ctx     context.Context
	cfg     *pgx.ConnConfig
	conn    *pgx.Conn
	c       *pgConn
	copying string // the COPY of the present table
	rows    []byte // for it, in its binary form
	lanes   map[int64][]laneState
	indexes []string
}

// loadPostgres makes an installation in the database of the dump that r reads.
func loadPostgres(ctx context.Context, url string, r io.Reader, o DumpOptions) (*Summary, error) {
	conn, cfg, err := pgSession(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // without COMMIT nothing has happened
	t := &pgTarget{ctx: ctx, cfg: cfg, conn: conn, c: &pgConn{ctx: ctx, pg: conn.PgConn()}, lanes: map[int64][]laneState{}}
	l := &loader{to: t, o: o}
	sum, err := l.load(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := t.finish(o); err != nil {
		return nil, err
	}
	if err := l.verify(ctx, pgSnapshot(t.c, nil), sum); err != nil {
		return nil, err
	}
	if err := execPG(ctx, conn, "COMMIT", "ANALYZE"); err != nil {
		return nil, err
	}
	return sum, migratePostgres(ctx, cfg.Copy(), 0)
}

// make implements target. Whoever wants to start on the database meanwhile waits for the locks.
func (t *pgTarget) make(ctx context.Context, version int64) error {
	if err := migratePostgres(ctx, t.cfg.Copy(), version); err != nil {
		return fmt.Errorf("migrate the database: %w", classifyPG(err))
	}
	if err := execPG(ctx, t.conn, "BEGIN", "LOCK TABLE setting, replica, job IN ACCESS EXCLUSIVE MODE"); err != nil {
		return err
	}
	if v, err := schemaVersion(t.c); err != nil || v != version {
		return errors.Join(err, fmt.Errorf("the database's tables have version %d, the backup's %d: use an empty database", v, version))
	}
	if err := noReplica(t.c); err != nil {
		return err
	}
	err := query(t.c, "SELECT indexdef, indexname FROM pg_indexes WHERE schemaname = current_schema() AND tablename <> 'goose_db_version' AND NOT EXISTS "+
		"(SELECT FROM pg_constraint WHERE conname = indexname)", nil, func(r Row) error {
		t.indexes = append(t.indexes, r.ColumnText(0))
		return query(t.c, "DROP INDEX "+r.ColumnText(1), nil, nil)
	})
	if err != nil {
		return err
	}
	return t.c.flush()
}

// open implements target.
func (t *pgTarget) open(of *table) error {
	if err := t.copy(); err != nil {
		return err
	}
	if of.name == laneTable {
		return nil
	}
	if err := query(t.c, "SELECT 1 FROM "+of.name+" LIMIT 1", nil, func(Row) error {
		return fmt.Errorf("%w: table %s of the database has rows; use a new database", ErrNotEmpty, of.name)
	}); err != nil {
		return err
	}
	columns := of.names()
	switch of.name {
	case "job", "progress":
		columns += ", lanes"
	case keyTable: // see pgkeys.go: what counts of nth is that it is unique under a hash
		columns = `hash, "row", nth`
	}
	t.copying = "COPY " + of.name + " (" + columns + ") FROM STDIN BINARY"
	return nil
}

// put implements target.
func (t *pgTarget) put(of *table, values []any) error {
	var more []byte
	switch of.name {
	case laneTable:
		job := values[0].(int64)
		if n, ok := values[1].(int64); !ok || n != int64(len(t.lanes[job])) || n >= provision.MaxLanes {
			return fmt.Errorf("%w: lanes of job %d", ErrDamaged, job)
		}
		t.lanes[job] = append(t.lanes[job], laneState{position: values[2].(int64)})
		return nil
	case "job":
		more = binary.BigEndian.AppendUint64(nil, provision.MaxLanes)
	case "progress":
		more = packLanes(level(values[1].(int64), provision.MaxLanes))
	case keyTable:
		more = binary.BigEndian.AppendUint64(nil, uint64(values[1].(int64)))
	}
	n := len(values)
	if more != nil {
		n++
	}
	t.rows = binary.BigEndian.AppendUint16(t.rows, uint16(n))
	for i, v := range values {
		if err := t.value(v); err != nil {
			return fmt.Errorf("column %s: %w", of.columns[i].name, err)
		}
	}
	if more != nil {
		t.field(more)
	}
	if len(t.rows) < 4*chunkBytes {
		return nil
	}
	return t.copy()
}

// level returns lanes that all stand at a position.
func level(position int64, n int) []laneState {
	lanes := make([]laneState, n)
	for i := range lanes {
		lanes[i].position = position
	}
	return lanes
}

func (t *pgTarget) value(v any) error {
	switch v := v.(type) {
	case nil:
		t.rows = binary.BigEndian.AppendUint32(t.rows, 0xffffffff)
	case int64:
		t.rows = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(t.rows, 8), uint64(v))
	case []byte:
		t.field(v)
	case string:
		if strings.Contains(v, "\x00") || !utf8.ValidString(v) {
			return errors.New("a text has a NUL or is not UTF-8, which PostgreSQL cannot hold")
		}
		t.rows = append(binary.BigEndian.AppendUint32(t.rows, uint32(len(v))), v...)
	}
	return nil
}

func (t *pgTarget) field(b []byte) {
	t.rows = append(binary.BigEndian.AppendUint32(t.rows, uint32(len(b))), b...)
}

// copyHead begins what COPY takes in binary form, see PostgreSQL's documentation of COPY, "Binary Format"; copyTail ends it.
const (
	copyHead = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTail = "\xff\xff"
)

// copy sends the rows that have been gathered.
func (t *pgTarget) copy() error {
	if len(t.rows) == 0 {
		return nil
	}
	_, err := t.conn.PgConn().CopyFrom(t.ctx, io.MultiReader(strings.NewReader(copyHead), bytes.NewReader(t.rows), strings.NewReader(copyTail)), t.copying)
	t.rows = t.rows[:0]
	if err != nil {
		return fmt.Errorf("%s: %w", t.copying, classifyPG(err))
	}
	return nil
}

// finish writes what is made of the rows: lanes, indexes, and where counters go on.
func (t *pgTarget) finish(o DumpOptions) error {
	if err := t.copy(); err != nil {
		return err
	}
	for job, lanes := range t.lanes {
		if err := errors.Join(query(t.c, "UPDATE progress SET lanes = ?2 WHERE job = ?1", []any{job, packLanes(lanes)}, nil),
			query(t.c, "UPDATE job SET lanes = ?2 WHERE pk = ?1", []any{job, len(lanes)}, nil)); err != nil {
			return err
		}
	}
	for i, text := range t.indexes {
		o.progress(StepIndex, int64(i), int64(len(t.indexes)))
		if err := errors.Join(t.ctx.Err(), execPG(t.ctx, t.conn, text)); err != nil {
			return err
		}
	}
	var texts []string
	err := query(t.c, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() AND is_identity = 'YES' ORDER BY 1", nil, func(r Row) error {
		texts = append(texts, fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%[1]s', '%[2]s'), max(%[2]s)) FROM %[1]s HAVING count(*) > 0", r.ColumnText(0), r.ColumnText(1)))
		return nil
	})
	for _, name := range numbered {
		texts = append(texts, fmt.Sprintf("SELECT setval('%[1]s_pk', max(pk) + 1, false) FROM %[1]s HAVING count(*) > 0", name))
	}
	texts = append(texts, "UPDATE log_head SET (seq, last) = (SELECT last, ended FROM log_block ORDER BY first DESC LIMIT 1) WHERE EXISTS (SELECT FROM log_block)")
	if err == nil {
		err = execPG(t.ctx, t.conn, texts...)
	}
	return err
}
