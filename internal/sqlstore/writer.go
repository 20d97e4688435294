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

// work is a piece of writing: it takes effect as a whole or not at all. Its fn may be run again after its effects
// were rolled back, unless it is large.
type work struct {
	fn    func(Conn) error
	large bool   // a batch
	after func() // run on the writer's goroutine once the piece is durable; may be nil
	done  chan error
}

// writer owns the only connection that writes. Each transaction takes the work that waits, up to and with the first
// large piece, so that accepted uploads and an applied batch share an fsync and none spoils another. A small piece
// has a savepoint of its own. A large one has none, because SQLite copies each page that a savepoint is the first to
// touch: it comes last, and if it fails the small ones are run again without it.
type writer struct {
	conn *sqlite.Conn
	in   chan *work
	quit chan struct{}
	idle chan struct{}

	damage *damage // once there is any, nothing is written
}

func startWriter(conn *sqlite.Conn, d *damage) *writer {
	w := &writer{conn: conn, in: make(chan *work, maxGroup), quit: make(chan struct{}), idle: make(chan struct{}), damage: d}
	go w.loop()
	return w
}

// do runs fn in a transaction and returns once that is durable. If ctx ends before fn has begun to wait its
// turn, nothing happens; after that the outcome is waited for, so that it is never unknown.
func (w *writer) do(ctx context.Context, fn func(Conn) error) error {
	return w.wait(ctx, &work{fn: fn, done: make(chan error, 1)})
}

// doLarge is do for a batch. fn is run once; after runs before any other piece, if the batch has become durable.
func (w *writer) doLarge(ctx context.Context, fn func(Conn) error, after func()) error {
	return w.wait(ctx, &work{fn: fn, large: true, after: after, done: make(chan error, 1)})
}

func (w *writer) wait(ctx context.Context, k *work) error {
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
	for len(group) < maxGroup && !group[len(group)-1].large {
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
	if err := w.damage.found(); err != nil {
		for _, k := range group {
			k.done <- err
		}
		return
	}
	small, large := group, (*work)(nil)
	if last := group[len(group)-1]; last.large {
		small, large = group[:len(group)-1], last
	}
	errs := make([]error, len(small))
	err := w.transaction(small, errs, large)
	var refused *largeError
	if errors.As(err, &refused) {
		large.done <- refused.err
		large = nil
		if len(small) == 0 {
			return
		}
		err = w.transaction(small, errs, nil)
	}
	for i, k := range small {
		if err != nil {
			errs[i] = fmt.Errorf("commit: %w", w.classify(err))
		}
		k.done <- errs[i]
	}
	if large != nil {
		if err != nil {
			err = fmt.Errorf("commit: %w", w.classify(err))
		} else if large.after != nil {
			large.after()
		}
		large.done <- err
	}
}

// largeError says that a large piece has failed, and with it its transaction.
type largeError struct{ err error }

func (e *largeError) Error() string { return e.err.Error() }

// transaction runs the small pieces, whose errors it puts into errs, and the large one if there is one, and commits.
func (w *writer) transaction(small []*work, errs []error, large *work) error {
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for i, k := range small {
		errs[i] = w.one(k)
	}
	if large != nil && !w.conn.AutocommitEnabled() {
		if err := w.run(large); err != nil {
			if !w.conn.AutocommitEnabled() {
				w.exec("ROLLBACK")
			}
			return &largeError{err}
		}
	}
	return w.end()
}

// run calls a piece's fn; a panic becomes an error.
func (w *writer) run(k *work) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while writing: %v\n%s", p, debug.Stack())
		}
	}()
	return w.classify(k.fn(liteConn{w.conn}))
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

// one runs a small piece in a savepoint.
func (w *writer) one(k *work) error {
	if w.conn.AutocommitEnabled() { // an earlier piece's failure has ended the transaction
		return errRolledBack
	}
	if err := w.exec("SAVEPOINT piece"); err != nil {
		return w.classify(err)
	}
	err := w.run(k)
	if w.conn.AutocommitEnabled() {
		return err
	}
	if err != nil {
		w.exec("ROLLBACK TO piece")
	}
	w.exec("RELEASE piece")
	return err
}

func (w *writer) exec(sql string) error { return sqlitex.ExecuteTransient(w.conn, sql, nil) }

// classify is the package's, and remembers damage.
func (w *writer) classify(err error) error { return classify(w.damage.note(err)) }

// classify tells apart what the caller can act on: no space, an unwritable disk.
func classify(err error) error {
	if err == nil || errors.Is(err, provision.ErrNoSpace) || errors.Is(err, provision.ErrDamaged) {
		return err
	}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultReadOnly, sqlite.ResultCantOpen:
		return fmt.Errorf("%w: %w", provision.ErrNoSpace, err)
	}
	return err
}
