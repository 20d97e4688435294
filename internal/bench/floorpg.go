package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// copyTables are bulkTables on PostgreSQL.
var copyTables = []string{
	"CREATE TABLE users (pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bytea NOT NULL UNIQUE, upn text NOT NULL UNIQUE, content bytea NOT NULL)",
	"CREATE TABLE person (pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, anchor text NOT NULL UNIQUE, object bytea NOT NULL UNIQUE, kept bytea NOT NULL)",
}

// copyFloor is bulkLoadFloor on the PostgreSQL server that url names, by COPY, in a schema that it makes and drops. What the server's
// processes take of the processors is not known: there is no CPU ratio.
func copyFloor(url string, least time.Duration) floor {
	return floor{"COPY", func(ctx context.Context, l *load) (e effort, err error) {
		for err == nil && (e.records == 0 || e.seconds < least.Seconds()) {
			err = l.copyLoad(ctx, url, &e)
		}
		e.cpu = 0
		return e, err
	}}
}

func (l *load) copyLoad(ctx context.Context, url string, e *effort) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	schema := "induct_bench_" + strings.ToLower(rand.Text())
	for _, text := range append([]string{"CREATE SCHEMA " + schema, "SET search_path = " + schema}, copyTables...) {
		if _, err := conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("bulk load: %w", err)
		}
	}
	defer func() {
		_, dropErr := conn.Exec(context.WithoutCancel(ctx), "DROP SCHEMA "+schema+" CASCADE")
		err = errors.Join(err, dropErr)
	}()
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
		if err := e.timed(func() error { return copyRows(ctx, conn, rows) }); err != nil {
			return fmt.Errorf("bulk load: %w", err)
		}
		e.records += len(rows)
	}
	return nil
}

func copyRows(ctx context.Context, conn *pgx.Conn, rows []bulkRow) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"users"}, []string{"id", "upn", "content"}, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		return []any{rows[i].id[:], rows[i].upn, rows[i].content}, nil
	}))
	if err == nil {
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"person"}, []string{"anchor", "object", "kept"}, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			return []any{rows[i].anchor, rows[i].id[:], rows[i].kept}, nil
		}))
	}
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}
