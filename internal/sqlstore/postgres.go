package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"induct/internal/provision"
)

// PostgresOptions are the choices of a Store on PostgreSQL. A zero field means its default.
type PostgresOptions struct {
	Connections int           // at most; default 16
	Lanes       int           // of a new job; default provision.MaxLanes
	Lease       time.Duration // how long a replica holds its lanes that is not heard of; default DefaultLease
	Name        string        // of this replica, for people: a host's name
	Observer    bool          // it takes no lanes: a command that looks or writes beside the service
	Now         func() time.Time
	Logger      *slog.Logger // what goes on in the background is told; default: nobody
}

// DefaultLease is how long a replica holds its lanes that is not heard of.
const DefaultLease = 6 * time.Second

// unitTimeout bounds a transaction: a network that swallows packets must not hold a lane for ever.
const unitTimeout = time.Minute

// postgres is a PostgreSQL server that several processes share.
type postgres struct {
	s        *Store
	pool     *pgxpool.Pool
	log      *slog.Logger
	patience string // see pgConn
	accepts  *accepter
	replicas *replica
	runs     *runMaker
}

// OpenPostgres opens the store in the database that url names (postgres://user@host/database, with what libpq's environment
// variables and password file say) and migrates it to this release; of several processes that start at once one does.
// Close gives back what this process holds.
func OpenPostgres(ctx context.Context, url string, o PostgresOptions) (*Store, error) {
	if o.Connections == 0 {
		o.Connections = 16
	}
	if o.Lanes == 0 {
		o.Lanes = provision.MaxLanes
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the database's address: %w", err) // pgx leaves the password out
	}
	cfg.MaxConns = int32(o.Connections)
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	for name, value := range map[string]string{
		"application_name":                    "induct",
		"idle_in_transaction_session_timeout": fmt.Sprint(unitTimeout.Milliseconds()), // shorter once it holds locks
		"lock_timeout":                        "30s",
		"statement_timeout":                   fmt.Sprint(unitTimeout.Milliseconds()),
		"timezone":                            "UTC",
		// Whatever is asked, is asked by key. Without these the planner, which knows nothing of young tables, reads whole ones.
		"jit":              "off",
		"enable_hashjoin":  "off",
		"enable_mergejoin": "off",
		"plan_cache_mode":  "force_generic_plan",
	} {
		if cfg.ConnConfig.RuntimeParams[name] == "" {
			cfg.ConnConfig.RuntimeParams[name] = value
		}
	}
	if err := migratePostgres(ctx, cfg.ConnConfig.Copy(), 0); err != nil {
		return nil, fmt.Errorf("migrate the database: %w", classifyPG(err))
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	zip, err := newCompressor()
	if err != nil {
		return nil, err
	}
	s := &Store{zip: zip, now: o.Now, runs: runSizes, lanes: o.Lanes}
	pg := &postgres{s: s, pool: pool, log: o.Logger}
	// A process that stands still must not hold others up for longer than its lanes are its own.
	pg.patience = fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", o.Lease.Milliseconds())
	s.db, s.pg = pg, pg
	s.rows = newRowNumbers(pg.reserveRows)
	if o.Observer {
		pg.replicas = &replica{self: observer}
	} else if pg.replicas, err = joinReplicas(ctx, pg, o.Name, o.Lease); err != nil {
		pool.Close()
		return nil, err
	}
	pg.accepts = startAccepter(pg)
	pg.runs = startRunMaker(pg)
	return s, nil
}

// migratePostgres brings the database's tables to a version; 0 is this release's. A lock of the session makes other processes wait.
func migratePostgres(ctx context.Context, cfg *pgx.ConnConfig, version int64) error {
	delete(cfg.RuntimeParams, "statement_timeout")
	delete(cfg.RuntimeParams, "lock_timeout")
	db := sql.OpenDB(stdlib.GetConnector(*cfg))
	defer db.Close()
	dir, err := fs.Sub(migrations, "migrations/postgres")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, dir, goose.WithSessionLocker(locker))
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

func (p *postgres) close() error {
	p.runs.stop()
	p.accepts.stop()
	p.replicas.leave()
	p.pool.Close()
	return nil
}

// with runs fn on a connection inside a transaction that begins with the text, and ends it: with COMMIT if commit says so
// and fn does not fail.
func (p *postgres) with(ctx context.Context, begin string, commit bool, fn func(c *pgConn) error) (err error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return classifyPG(err)
	}
	pg := conn.Conn().PgConn()
	defer conn.Release() // pgx closes one that is in a transaction
	c := &pgConn{ctx: ctx, pg: pg, patience: p.patience}
	if _, err := pg.Exec(ctx, begin).ReadAll(); err != nil {
		return classifyPG(err)
	}
	finished := false
	defer func() {
		if !finished { // a panic: the transaction must not be gone on with
			pg.Close(context.WithoutCancel(ctx))
		}
	}()
	if err = fn(c); err == nil && commit {
		err = c.flush()
	}
	finished = true
	if err == nil && commit {
		_, err = pg.Exec(ctx, "COMMIT").ReadAll()
		return classifyPG(err)
	}
	if pg.TxStatus() != 'I' && !pg.IsClosed() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, rollbackErr := pg.Exec(end, "ROLLBACK").ReadAll(); rollbackErr != nil {
			pg.Close(end)
		}
	}
	return classifyPG(err)
}

func (p *postgres) read(ctx context.Context, fn func(Conn) error) error {
	return p.with(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", false, func(c *pgConn) error { return fn(c) })
}

// writeAttempts is how often a small write is tried that others are in the way of.
const writeAttempts = 10

func (p *postgres) write(ctx context.Context, fn func(Conn) error) error {
	return again(ctx, func() error { return p.writeOnce(ctx, fn, nil) })
}

// again repeats a small write while another transaction is in the way.
func again(ctx context.Context, write func() error) error {
	for attempt := 1; ; attempt++ {
		err := write()
		if !errors.Is(err, errAgain) || attempt == writeAttempts {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(rand.IntN(10*attempt)+1) * time.Millisecond):
		}
	}
}

// writeOnce does not look at ctx once it has begun: an outcome that is known is worth the wait.
func (p *postgres) writeOnce(ctx context.Context, fn func(Conn) error, after func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), unitTimeout)
	defer cancel()
	err := p.with(bounded, "BEGIN", true, func(c *pgConn) error { return fn(c) })
	if err == nil && after != nil {
		after()
	}
	return err
}

// errAgain says that another transaction was in the way, and that nothing has been written.
var errAgain = fmt.Errorf("another transaction was first: %w", provision.ErrFenced)

// classifyPG tells apart what the caller can act on: another was first, the server does not answer, its disk is full.
func classifyPG(err error) error {
	if err == nil || errors.Is(err, provision.ErrFenced) || errors.Is(err, provision.ErrNoSpace) || errors.Is(err, provision.ErrUnavailable) {
		return err
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		var connect *pgconn.ConnectError
		if errors.As(err, &connect) || pgconn.Timeout(err) || lostConnection(err) {
			return fmt.Errorf("%w: %w", provision.ErrUnavailable, err)
		}
		return undecodable(err)
	}
	switch {
	case e.Code == "40001", e.Code == "40P01", e.Code == "55P03", e.Code == "23505": // serialization, deadlock, lock timeout, a key that was just taken
		return fmt.Errorf("%w: %w", errAgain, err)
	case e.Code == "XX001", e.Code == "XX002": // a damaged page, a damaged index
		return fmt.Errorf("%w: %w", provision.ErrDamaged, err)
	case e.Code == "53100": // disk full
		return fmt.Errorf("%w: %w", provision.ErrNoSpace, err)
	case e.Code[:2] == "08", e.Code[:2] == "53", e.Code[:2] == "57", e.Code == "25P03", e.Code == "25006": // connection, resources, shutdown, stood still for too long, a server that only reads
		return fmt.Errorf("%w: %w", provision.ErrUnavailable, err)
	}
	return err
}

// reserveRows takes places of new rows from the table's sequence, which counts in steps of rowBlock.
func (p *postgres) reserveRows(table string) (from, to int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), unitTimeout)
	defer cancel()
	err = p.with(ctx, "BEGIN", true, func(c *pgConn) error {
		return c.query("SELECT nextval('"+table+"_pk')", nil, func(r Row) error {
			from = r.ColumnInt64(0)
			return nil
		})
	})
	return from, from + rowBlock, err
}

// rowBlock is the increment of the sequences.
const rowBlock = 1000

// lostConnection reports whether an error that is none of the server's comes from the way to it.
func lostConnection(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(err.Error(), "conn closed")
}
