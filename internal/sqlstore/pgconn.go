package sqlstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// pgConn is a connection to PostgreSQL inside a transaction. A write whose answer nobody reads is not sent at once: it waits for
// the next question, or for the end of the transaction, and goes there with the others in one exchange. Neighbours of
// the same text become one statement over arrays. An error of such a write is that of the call which sends it.
type pgConn struct {
	ctx     context.Context
	pg      *pgconn.PgConn
	waiting []pgCall
	bytes   int // of their arguments
	n       int
	cursors int

	patience string // the statement that limits how long the transaction may stand still once it holds locks
	locks    bool   // it does
	failed   error  // what has ended the transaction: nothing is to be committed, whoever has not looked at it
}

// pgCall is a statement with its arguments in PostgreSQL's binary form. Here they may be []int64, []string and [][]byte too.
type pgCall struct {
	text  string
	kinds string // of the arguments: i int64, t text, b bytea, n null of whatever type; in capitals arrays of these
	rows  int    // how many calls it was made of; 0: it is one
	args  [][]byte
}

// maxWaiting bounds the writes that wait, maxWaitingBytes what they weigh.
const (
	maxWaiting      = 5000
	maxWaitingBytes = 8 << 20
)

func (c *pgConn) changes() int {
	if err := c.flush(); err != nil { // the next call says it again
		return 0
	}
	return c.n
}

func (c *pgConn) query(text string, args []any, row func(Row) error) error {
	call, err := newCall(text, args)
	if err != nil {
		return err
	}
	if row == nil {
		c.waiting = append(c.waiting, call)
		for _, a := range call.args {
			c.bytes += len(a)
		}
		if len(c.waiting) >= maxWaiting || c.bytes >= maxWaitingBytes {
			return c.flush()
		}
		return nil
	}
	rows, err := c.send(&call)
	if err != nil {
		return err
	}
	for i := range rows.values {
		if err := row(&pgRow{rows.values[i]}); err != nil {
			return err
		}
	}
	return nil
}

// scanned is how many rows of a scan are fetched at once.
const scanned = 256

func (c *pgConn) scan(text string, args []any, row func(Row) error) error {
	c.cursors++
	name := "c" + strconv.Itoa(c.cursors)
	if err := c.query("DECLARE "+name+" NO SCROLL CURSOR FOR "+text, args, nil); err != nil {
		return err
	}
	for more := true; more; {
		n := 0
		err := c.query("FETCH "+strconv.Itoa(scanned)+" FROM "+name, nil, func(r Row) error {
			n++
			return row(r)
		})
		if more = n == scanned; err != nil {
			return err
		}
	}
	return c.query("CLOSE "+name, nil, nil)
}

// flush sends the writes that wait.
func (c *pgConn) flush() error {
	if len(c.waiting) == 0 || c.failed != nil {
		return c.failed
	}
	_, err := c.send(nil)
	return err
}

func newCall(text string, args []any) (pgCall, error) {
	call := pgCall{text: text, args: make([][]byte, len(args))}
	kinds := make([]byte, len(args))
	for i, a := range args {
		kinds[i] = 'i'
		switch v := a.(type) {
		case nil:
			kinds[i] = 'n'
		case int:
			call.args[i] = binary.BigEndian.AppendUint64(nil, uint64(v))
		case int64:
			call.args[i] = binary.BigEndian.AppendUint64(nil, uint64(v))
		case bool:
			call.args[i] = binary.BigEndian.AppendUint64(nil, bit(v, 0))
		case *string:
			if kinds[i] = 't'; v != nil {
				call.args[i] = textOf(*v)
			}
		case string:
			kinds[i], call.args[i] = 't', textOf(v)
		case []int64:
			kinds[i], call.args[i] = 'I', arrayOfInts(v)
		case []string:
			elements := make([][]byte, len(v))
			for j, s := range v {
				elements[j] = textOf(s)
			}
			kinds[i], call.args[i] = 'T', arrayOf(pgtype.TextOID, elements)
		case [][]byte:
			kinds[i], call.args[i] = 'B', arrayOf(pgtype.ByteaOID, v)
		case []byte:
			if kinds[i] = 'b'; v != nil {
				call.args[i] = append(make([]byte, 0, len(v)), v...)
			}
		default:
			return call, fmt.Errorf("cannot bind a %T", a)
		}
	}
	call.kinds = string(kinds)
	return call, nil
}

// textOf returns a text as PostgreSQL takes it: without NUL, and in UTF-8. Where something else could come from, the text is packed, or
// refused before; if not, it must not keep a lane from going on.
func textOf(s string) []byte {
	return append(make([]byte, 0, len(s)), strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")...)
}

// pgRows is a whole answer: another question may be asked while it is read.
type pgRows struct{ values [][][]byte }

const oneRow = "/*ONE ROW*/"

// send sends what waits, and then a question if there is one, and returns its answer. After an error there is no other answer in this
// transaction: that a row was not there which had to be (oneRow) does not end it for the server.
func (c *pgConn) send(question *pgCall) (rows pgRows, err error) {
	if c.failed != nil {
		return rows, c.failed
	}
	defer func() { c.failed = err }()
	calls := merge(c.waiting)
	c.waiting, c.bytes = c.waiting[:0], 0
	if question != nil {
		calls = append(calls, *question)
	}
	if !c.locks && slices.ContainsFunc(calls, func(k pgCall) bool { return k.takesLocks() }) {
		c.locks = true
		calls = slices.Insert(calls, 0, pgCall{text: c.patience})
	}
	names := make([]string, len(calls))
	for i := range calls {
		if names[i], err = statementOf(c.ctx, c.pg, &calls[i]); err != nil {
			return rows, err
		}
	}
	p := c.pg.StartPipeline(c.ctx)
	for i := range calls {
		p.SendQueryPrepared(names[i], calls[i].args, binaryFormat, binaryFormat)
	}
	err = p.Sync()
	for i := 0; err == nil; {
		var res any
		if res, err = p.GetResults(); err != nil {
			break
		}
		if _, synced := res.(*pgconn.PipelineSync); synced {
			break
		}
		r, ok := res.(*pgconn.ResultReader)
		if !ok {
			continue
		}
		for question != nil && i == len(calls)-1 && r.NextRow() {
			rows.values = append(rows.values, copyRow(r.Values()))
		}
		var tag pgconn.CommandTag
		tag, err = r.Close()
		c.n = int(tag.RowsAffected())
		if err == nil && c.n < max(calls[i].rows, 1) && strings.Contains(calls[i].text, oneRow) {
			err = fmt.Errorf("%w: %s", errAgain, calls[i].text)
		}
		i++
	}
	return rows, errors.Join(err, p.Close())
}

var binaryFormat = []int16{1}

func copyRow(values [][]byte) [][]byte {
	size := 0
	for _, v := range values {
		size += len(v)
	}
	arena := make([]byte, 0, size)
	row := make([][]byte, len(values))
	for i, v := range values {
		if v != nil {
			from := len(arena)
			arena = append(arena, v...)
			row[i] = arena[from:len(arena):len(arena)]
		}
	}
	return row
}

// statements are those that a connection has prepared, by kinds and text.
type statements map[string]string

const statementsKey = "induct.statements"

var typeOf = map[byte]uint32{'i': pgtype.Int8OID, 't': pgtype.TextOID, 'b': pgtype.ByteaOID, 'n': 0, // what PostgreSQL concludes
	'I': pgtype.Int8ArrayOID, 'T': pgtype.TextArrayOID, 'B': pgtype.ByteaArrayOID}

// statementOf returns the name of a call's prepared statement.
func statementOf(ctx context.Context, pg *pgconn.PgConn, call *pgCall) (string, error) {
	all, _ := pg.CustomData()[statementsKey].(statements)
	if all == nil {
		all = statements{}
		pg.CustomData()[statementsKey] = all
	}
	key := call.kinds + " " + call.text
	if name := all[key]; name != "" {
		return name, nil
	}
	types := make([]uint32, len(call.kinds))
	for i := range types {
		types[i] = typeOf[call.kinds[i]]
	}
	name := "s" + strconv.Itoa(len(all))
	if _, err := pg.Prepare(ctx, name, translate(call.text), types); err != nil {
		return "", fmt.Errorf("prepare %q: %w", call.text, err)
	}
	all[key] = name
	return name, nil
}

var (
	parameter  = regexp.MustCompile(`\?(\d+)`)
	indexHints = regexp.MustCompile(` (NOT INDEXED|INDEXED BY \w+)`)
	rowLock    = regexp.MustCompile(`/\*(FOR [A-Za-z ]+)\*/`) // a comment for SQLite, which has one writer
)

// translate returns a text as PostgreSQL has it.
func translate(text string) string {
	text = parameter.ReplaceAllString(text, "$$$1")
	return rowLock.ReplaceAllString(indexHints.ReplaceAllString(text, ""), "$1")
}

// mergeable is an INSERT of one row whose parameters are ?1, ?2, … in order; byKey an UPDATE or a DELETE of rows by ?1.
var (
	mergeable = regexp.MustCompile(`(?s)^(INSERT INTO (\w+) \([^)]*\))\s+VALUES \(\?1((?:, \?\d+)*)\)(.*)$`)
	byKey     = regexp.MustCompile(`(?s)^(UPDATE|DELETE FROM) (\w+)(.*?) WHERE (\w+ = \?1\b.*)$`)
)

// leastMerged is from how many on calls become one: each number of rows takes the same statement.
const leastMerged = 4

// shape is what merge knows of a statement.
type shape struct {
	table string // that alone is read and written; "": others may be
	text  string // over arrays; "": the statement stays as it is
	keys  bool   // it writes rows that exist: no two calls may be about the same
}

// shapeOf finds out whether calls of a statement can become one.
func shapeOf(c *pgCall) (s shape) {
	if strings.Contains(c.text, "SELECT") {
		return shape{}
	}
	plain := !strings.ContainsAny(c.kinds, "nITB")
	if m := mergeable.FindStringSubmatch(c.text); m != nil {
		s.table = m[2]
		if plain && !strings.Contains(m[4], "?") && !strings.Contains(m[4], "RETURNING") && !strings.Contains(m[4], "DO UPDATE") && len(c.kinds) == 1+strings.Count(m[3], "?") {
			s.text = m[1] + " SELECT * FROM unnest(?1" + m[3] + ")" + m[4]
		}
		return s
	}
	if m := byKey.FindStringSubmatch(c.text); m != nil {
		s.table, s.keys = m[2], true
		if plain && !strings.Contains(m[4], "RETURNING") {
			names, places := make([]string, len(c.kinds)), make([]string, len(c.kinds))
			for i := range names {
				names[i], places[i] = "c"+strconv.Itoa(i+1), "?"+strconv.Itoa(i+1)
			}
			from := " FROM "
			if m[1] != "UPDATE" {
				from = " USING "
			}
			named := func(text string) string { return parameter.ReplaceAllString(text, "v.c$1") }
			s.text = m[1] + " " + m[2] + named(m[3]) + from + "unnest(" + strings.Join(places, ", ") + ") AS v (" + strings.Join(names, ", ") + ") WHERE " + named(m[4])
		}
	}
	return s
}

// merging is a call to be, of one or several.
type merging struct {
	shape
	calls []pgCall
	keys  map[string]bool // first arguments
}

// takesLocks reports whether others may have to wait for a transaction that makes the call.
func (c *pgCall) takesLocks() bool {
	return !strings.HasPrefix(c.text, "SELECT") && !strings.HasPrefix(c.text, "FETCH") && !strings.HasPrefix(c.text, "DECLARE") && !strings.HasPrefix(c.text, "CLOSE") ||
		strings.Contains(c.text, "/*FOR ") || strings.Contains(c.text, "_lock(")
}

// merge makes one call of those that do the same to one table, unless another one about that table stands between them.
func merge(calls []pgCall) []pgCall {
	var groups []*merging
	open := map[string]*merging{} // by table
	shapes := map[string]shape{}
	for _, c := range calls {
		kind := c.kinds + " " + c.text
		s, known := shapes[kind]
		if !known {
			s = shapeOf(&c)
			shapes[kind] = s
		}
		if s.table == "" {
			clear(open)
			groups = append(groups, &merging{calls: []pgCall{c}})
			continue
		}
		g := open[s.table]
		if g == nil || s.text == "" || g.calls[0].text != c.text || g.calls[0].kinds != c.kinds || s.keys && g.keys[string(c.args[0])] {
			g = &merging{shape: s, keys: map[string]bool{}}
			groups, open[s.table] = append(groups, g), g
		}
		g.calls = append(g.calls, c)
		if s.keys {
			g.keys[string(c.args[0])] = true
		}
	}
	merged := make([]pgCall, 0, len(groups))
	for _, g := range groups {
		if len(g.calls) < leastMerged {
			merged = append(merged, g.calls...)
		} else {
			merged = append(merged, arrays(g.text, g.calls))
		}
	}
	return merged
}

// arrays makes one call of many with the text overArrays.
func arrays(text string, calls []pgCall) pgCall {
	all := pgCall{text: text, rows: len(calls), kinds: strings.ToUpper(calls[0].kinds), args: make([][]byte, len(calls[0].kinds))}
	for col := range all.args {
		elements := make([][]byte, len(calls))
		for i := range calls {
			elements[i] = calls[i].args[col]
		}
		all.args[col] = arrayOf(typeOf[calls[0].kinds[col]], elements)
	}
	return all
}

// arrayOf returns the binary form of an array of one dimension; a nil element is null.
func arrayOf(element uint32, values [][]byte) []byte {
	size, nulls := 20, uint32(0)
	for _, v := range values {
		size += 4 + len(v)
		if v == nil {
			nulls = 1
		}
	}
	b := make([]byte, 0, size)
	dims := uint32(1)
	if len(values) == 0 {
		dims = 0
	}
	b = binary.BigEndian.AppendUint32(b, dims)
	b = binary.BigEndian.AppendUint32(b, nulls)
	b = binary.BigEndian.AppendUint32(b, element)
	if dims == 0 {
		return b
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(values)))
	b = binary.BigEndian.AppendUint32(b, 1)
	for _, v := range values {
		if v == nil {
			b = binary.BigEndian.AppendUint32(b, 0xffffffff)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

// arrayOfInts is arrayOf for many numbers.
func arrayOfInts(values []int64) []byte {
	b := arrayOf(pgtype.Int8OID, nil)
	if len(values) == 0 {
		return b
	}
	binary.BigEndian.PutUint32(b, 1)
	b = slices.Grow(b, 8+12*len(values))
	b = binary.BigEndian.AppendUint32(b, uint32(len(values)))
	b = binary.BigEndian.AppendUint32(b, 1)
	for _, n := range values {
		b = binary.BigEndian.AppendUint32(b, 8)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// pgRow is a row of an answer in binary form. PostgreSQL's type decides how long a number is.
type pgRow struct{ values [][]byte }

func (r *pgRow) ColumnInt64(col int) int64 {
	switch v := r.values[col]; len(v) {
	case 8:
		return int64(binary.BigEndian.Uint64(v))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v)))
	case 2:
		return int64(int16(binary.BigEndian.Uint16(v)))
	case 1:
		return int64(v[0])
	}
	return 0
}

func (r *pgRow) ColumnInt(col int) int                { return int(r.ColumnInt64(col)) }
func (r *pgRow) ColumnBool(col int) bool              { return r.ColumnInt64(col) != 0 }
func (r *pgRow) ColumnText(col int) string            { return string(r.values[col]) }
func (r *pgRow) ColumnIsNull(col int) bool            { return r.values[col] == nil }
func (r *pgRow) ColumnLen(col int) int                { return len(r.values[col]) }
func (r *pgRow) ColumnBytes(col int, into []byte) int { return copy(into, r.values[col]) }
