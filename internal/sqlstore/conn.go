package sqlstore

import (
	"fmt"

	"zombiezen.com/go/sqlite"
)

// Conn is a connection inside a transaction, of whichever database. Texts are the same for all: parameters are ?1, ?2, …,
// and what only SQLite knows, INDEXED BY and NOT INDEXED, is left out elsewhere. It is used by one goroutine at a time.
type Conn interface {
	// A write that says /*ONE ROW*/ fails with provision.ErrFenced if there is no such row: somebody else was first.

	// query runs a statement, which is kept prepared, with args bound to ?1, ?2, … and calls row for each row. Args are int, int64, string, *string,
	// []byte, bool and nil. While row runs another query may be made.
	query(text string, args []any, row func(Row) error) error
	// scan is query for an answer that may be long and is likely not to be read to its end.
	scan(text string, args []any, row func(Row) error) error
	// changes returns how many rows the latest statement has written.
	changes() int
}

// Row is a row of an answer, valid until the function that got it returns. Columns are counted from 0.
type Row interface {
	ColumnInt64(col int) int64
	ColumnInt(col int) int
	ColumnBool(col int) bool
	ColumnText(col int) string
	ColumnIsNull(col int) bool
	ColumnLen(col int) int                // bytes of a text or blob
	ColumnBytes(col int, into []byte) int // copies as much as there is room for
}

// Query runs a statement on a connection, see Conn.
func Query(c Conn, text string, args []any, row func(Row) error) error {
	return c.query(text, args, row)
}

// Scan is Query for an answer that may be long and is likely not to be read to its end.
func Scan(c Conn, text string, args []any, row func(Row) error) error {
	return c.scan(text, args, row)
}

// Changes returns how many rows the connection's latest statement has written.
func Changes(c Conn) int { return c.changes() }

// query is Query.
func query(c Conn, text string, args []any, row func(Row) error) error {
	return c.query(text, args, row)
}

// inserted runs an INSERT … RETURNING of one place, and returns it.
func inserted(c Conn, text string, args ...any) (pk int64, err error) {
	err = query(c, text, args, func(st Row) error {
		pk = st.ColumnInt64(0)
		return nil
	})
	return pk, err
}

// Blob returns a copy of a column's bytes, nil if it is null.
func Blob(st Row, col int) []byte {
	if st.ColumnIsNull(col) {
		return nil
	}
	b := make([]byte, st.ColumnLen(col))
	st.ColumnBytes(col, b)
	return b
}

// liteConn is a connection to SQLite.
type liteConn struct{ *sqlite.Conn }

func (c liteConn) changes() int { return c.Changes() }

func (c liteConn) scan(text string, args []any, row func(Row) error) error {
	return c.query(text, args, row)
}

func (c liteConn) query(text string, args []any, row func(Row) error) error {
	st, err := c.Prepare(text)
	if err != nil {
		return err
	}
	defer st.Reset()
	for i, a := range args {
		switch v := a.(type) {
		case nil:
			st.BindNull(i + 1)
		case int:
			st.BindInt64(i+1, int64(v))
		case int64:
			st.BindInt64(i+1, v)
		case string:
			st.BindText(i+1, v)
		case *string:
			if v == nil {
				st.BindNull(i + 1)
			} else {
				st.BindText(i+1, *v)
			}
		case []byte:
			if v == nil {
				st.BindNull(i + 1)
			} else {
				st.BindBytes(i+1, v)
			}
		case bool:
			st.BindBool(i+1, v)
		default:
			return fmt.Errorf("cannot bind a %T", a)
		}
	}
	for {
		more, err := st.Step()
		if err != nil || !more {
			return err
		}
		if row != nil {
			if err := row(st); err != nil {
				return err
			}
		}
	}
}
