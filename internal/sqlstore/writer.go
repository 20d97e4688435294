package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"induct/internal/provision"
)

// maxGroup bounds how many pieces of work share one transaction and its fsync.
const maxGroup = 256

// work is a piece of writing: it takes effect as a whole or not at all.
type work struct {
	fn   func(*sqlite.Conn) error
	done chan error
}

// writer owns the only connection that writes. Each transaction takes all the work that waits, each piece in a
// savepoint of its own, so that accepted uploads and applied batches share an fsync and none spoils another.
type writer struct {
	conn *sqlite.Conn
	in   chan *work
	quit chan struct{}
	idle chan struct{}
}

func startWriter(conn *sqlite.Conn) *writer {
	w := &writer{conn: conn, in: make(chan *work, maxGroup), quit: make(chan struct{}), idle: make(chan struct{})}
	go w.loop()
	return w
}

// do runs fn in a transaction and returns once that is durable. If ctx ends before fn has begun to wait its
// turn, nothing happens; after that the outcome is waited for, so that it is never unknown.
func (w *writer) do(ctx context.Context, fn func(*sqlite.Conn) error) error {
	k := &work{fn: fn, done: make(chan error, 1)}
	select {
	case w.in <- k:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.quit:
		return errClosed
	}
	select {
	case err := <-k.done:
		return err
	case <-w.idle:
		select {
		case err := <-k.done:
			return err
		default:
			return errClosed
		}
	}
}

var errClosed = errors.New("the store is closed")

// close lets the work that waits finish.
func (w *writer) close() {
	close(w.quit)
	<-w.idle
}

func (w *writer) loop() {
	defer close(w.idle)
	for {
		select {
		case k := <-w.in:
			w.commit(w.gather(k))
		case <-w.quit:
			for {
				select {
				case k := <-w.in:
					w.commit(w.gather(k))
				default:
					return
				}
			}
		}
	}
}

func (w *writer) gather(first *work) []*work {
	group := []*work{first}
	for len(group) < maxGroup {
		select {
		case k := <-w.in:
			group = append(group, k)
		default:
			return group
		}
	}
	return group
}

func (w *writer) commit(group []*work) {
	errs := make([]error, len(group))
	err := w.exec("BEGIN IMMEDIATE")
	if err == nil {
		for i, k := range group {
			errs[i] = w.one(k)
		}
		err = w.end()
	}
	for i, k := range group {
		if err != nil {
			errs[i] = fmt.Errorf("commit: %w", classify(err))
		}
		k.done <- errs[i]
	}
}

// end commits the transaction; it leaves none open.
func (w *writer) end() error {
	if w.conn.AutocommitEnabled() {
		return errRolledBack
	}
	err := w.exec("COMMIT")
	if err != nil && !w.conn.AutocommitEnabled() {
		w.exec("ROLLBACK")
	}
	return err
}

// errRolledBack is what a group gets whose transaction SQLite has ended, which it does when the disk fails it.
var errRolledBack = fmt.Errorf("the transaction was rolled back: %w", provision.ErrNoSpace)

func (w *writer) one(k *work) (err error) {
	if w.conn.AutocommitEnabled() { // an earlier piece's failure has ended the transaction
		return errRolledBack
	}
	if err := w.exec("SAVEPOINT piece"); err != nil {
		return classify(err)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while writing: %v\n%s", p, debug.Stack())
		}
		if w.conn.AutocommitEnabled() {
			return
		}
		if err != nil {
			w.exec("ROLLBACK TO piece")
		}
		w.exec("RELEASE piece")
	}()
	return classify(k.fn(w.conn))
}

func (w *writer) exec(sql string) error { return sqlitex.ExecuteTransient(w.conn, sql, nil) }

// classify tells apart what the caller can act on: no space, an unwritable disk.
func classify(err error) error {
	if err == nil || errors.Is(err, provision.ErrNoSpace) {
		return err
	}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultReadOnly, sqlite.ResultCantOpen:
		return fmt.Errorf("%w: %w", provision.ErrNoSpace, err)
	}
	return err
}
