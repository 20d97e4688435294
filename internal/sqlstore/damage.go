package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"induct/internal/provision"
)

// Damage of pages is found in two places: when the file is opened, by a check of all of them, which goes on in the background
// if it takes long; and when one that makes no sense is read or written. From then on nothing is written, because that would
// build on what is wrong, and what can still be read is. A row that cannot be decoded fails who needs it, and nobody else.

// openCheck is how long Open looks for damage before it opens the file and looks on.
const openCheck = 2 * time.Second

// damage is what was found first, if anything was. It is safe for concurrent use.
type damage struct{ first atomic.Pointer[error] }

// found returns the damage, nil if there is none that is known.
func (d *damage) found() error {
	if err := d.first.Load(); err != nil {
		return *err
	}
	return nil
}

// note returns err, as provision.ErrDamaged if it is a sign of a damaged page, which is remembered.
func (d *damage) note(err error) error {
	if badPage(err) {
		err = page(err)
		d.first.CompareAndSwap(nil, &err)
	}
	return undecodable(err)
}

// undecodable makes it an errCorrupt that stored JSON is none.
func undecodable(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return err
}

// errPage says that a page is not what was written.
var errPage = fmt.Errorf("%w: a page is not what was written", provision.ErrDamaged)

// badPage reports whether err can only come of a page that is not what was written, or cannot be read.
func badPage(err error) bool {
	if err == nil || errors.Is(err, errPage) {
		return err != nil
	}
	code := sqlite.ErrCode(err)
	return code.ToPrimary() == sqlite.ResultCorrupt || code.ToPrimary() == sqlite.ResultNotADB ||
		code == sqlite.ResultIOErrRead || code == sqlite.ResultIOErrShortRead
}

// inspect checks all pages of a file: that they can be read, belong to what they should, and are well-formed. It does not
// look into what rows say. It ends with ctx's error when ctx does.
func inspect(ctx context.Context, path string) (err error) {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 || !info.Mode().IsRegular() { // it will be made, or cannot be
		return nil
	}
	c, err := sqlite.OpenConn(path, sqlite.OpenReadOnly) // which leaves file and log as they are
	if err != nil {
		return page(err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.SetInterrupt(ctx.Done())
	verdict := ""
	err = sqlitex.ExecuteTransient(c, "PRAGMA quick_check(1)", &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
		verdict = st.ColumnText(0)
		return nil
	}})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return page(err)
	case verdict != "ok":
		return fmt.Errorf("%w: %s", errPage, verdict)
	}
	return nil
}

// page makes an error of a damaged page an errPage.
func page(err error) error {
	if badPage(err) && !errors.Is(err, errPage) {
		return fmt.Errorf("%w: %w", errPage, err)
	}
	return err
}

// inspectFirst is inspect before a file is opened, and of the log. It reports whether all of the file was looked at; that it
// cannot be looked at is for those to say who open it.
func inspectFirst(ctx context.Context, path string, most time.Duration) (whole bool, err error) {
	soon, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err = inspectLog(path + "-wal")
	if err == nil {
		err = inspect(soon, path)
	}
	if errors.Is(err, provision.ErrDamaged) {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return err == nil, ctx.Err()
}
