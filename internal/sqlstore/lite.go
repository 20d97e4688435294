package sqlstore

import (
	"context"
	"errors"

	"zombiezen.com/go/sqlite/sqlitex"
)

// database is what the store is kept in.
type database interface {
	// read runs fn on a connection that sees one state of the database throughout.
	read(ctx context.Context, fn func(Conn) error) error
	// write runs fn in a transaction and returns once that is durable. fn may be run again after its effects were rolled back.
	write(ctx context.Context, fn func(Conn) error) error
	// writeOnce is write for a batch: fn is run once. after is run once the transaction is durable, before any other that needs what it does.
	writeOnce(ctx context.Context, fn func(Conn) error, after func()) error
	close() error
}

// lite is SQLite: one connection that writes, and some that read.
type lite struct {
	s      *Store
	unlock func() error
}

func (l *lite) read(ctx context.Context, fn func(c Conn) error) error {
	c, err := l.s.readers.Take(ctx)
	if err != nil {
		return l.s.damage.note(err)
	}
	defer l.s.readers.Put(c)
	if err := sqlitex.ExecuteTransient(c, "BEGIN", nil); err != nil {
		return l.s.damage.note(err)
	}
	c.SetInterrupt(ctx.Done())
	defer func() {
		c.SetInterrupt(nil)
		sqlitex.ExecuteTransient(c, "ROLLBACK", nil)
	}()
	return l.s.damage.note(fn(liteConn{c}))
}

func (l *lite) write(ctx context.Context, fn func(Conn) error) error { return l.s.w.do(ctx, fn) }

func (l *lite) writeOnce(ctx context.Context, fn func(Conn) error, after func()) error {
	return l.s.w.doLarge(ctx, fn, after)
}

func (l *lite) close() error {
	l.s.background()
	l.s.w.close()
	return errors.Join(l.s.readers.Close(), l.s.w.conn.Close(), l.unlock())
}
