package sqlstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"induct/internal/sqlstore/pack"
)

// A dump is a stream: a line that says what it is, then frames.
//
//	frame  = kind length payload digest
//	kind   = 1 byte, see below;  length = 4 bytes, of the payload, big-endian
//	digest = SHA-256 of the digest before it (none before the first), kind, length and payload
//
// So nothing can be altered, left out, put in or brought into another order without a digest that does not fit, and what
// ends before its last frame is not whole. That is against damage, not against somebody who makes a dump of his own.
//
//	head   Header as JSON, once, first
//	table  tableHead as JSON: the rows after it are that table's
//	rows   rows of the table, zstd-compressed
//	sum    TableSum as JSON: the table is at its end
//	end    Summary without its header as JSON, once, last; nothing follows
//
// A row is a bit for each column that says that it is null, from the lowest of the first byte, then the values of the others:
// integers as varints, texts and bytes with their length before them (see pack).
const (
	dumpMagic  = "INDUCT BACKUP\n"
	dumpFormat = 1

	frameHead  = 'H'
	frameTable = 'T'
	frameRows  = 'R'
	frameSum   = 'S'
	frameEnd   = 'E'
)

const (
	chunkBytes = 1 << 20         // of rows in a frame, before compression; a row that is larger has a frame for itself
	maxFrame   = maxStored + 1e6 // a longer one is damage
)

// Header says what a dump is.
type Header struct {
	Format   int       `json:"format"`
	Release  string    `json:"release"` // of Induct, which wrote it
	Schema   int64     `json:"schema"`  // version of the tables
	Taken    time.Time `json:"taken"`   // all that was committed before is in it, and nothing that began later
	Tenant   string    `json:"tenant"`
	Source   string    `json:"source"` // sqlite or postgresql
	Rows     int64     `json:"rows"`   // about; what is there is counted at its end
	Contains string    `json:"contains"`
}

// dumpContains is the warning in every header.
const dumpContains = "signing keys, hashed secrets and passwords, sessions, personal data: whoever has this file can sign tokens of the installation; keep it as you keep passwords"

type tableHead struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// TableSum is what a table holds: how many rows, and a checksum of them that does not depend on their order or on the database.
type TableSum struct {
	Name     string `json:"name"`
	Rows     int64  `json:"rows"`
	Checksum string `json:"checksum"`
}

// Summary is what a dump or a database holds.
type Summary struct {
	Header   Header     `json:"header,omitzero"`
	Rows     int64      `json:"rows"`
	Checksum string     `json:"checksum"` // of the tables' sums
	Tables   []TableSum `json:"tables"`
}

// ErrDamaged is part of the error of a dump that is not as it was written.
var ErrDamaged = errors.New("the backup is damaged or incomplete")

// rowSum adds up rows: their SHA-256, as numbers, so that their order does not matter.
type rowSum struct {
	rows int64
	sum  [4]uint64
}

func (s *rowSum) add(row []byte) {
	h := sha256.Sum256(row)
	s.rows++
	for i := range s.sum {
		s.sum[i] += binary.BigEndian.Uint64(h[8*i:])
	}
}

func (s *rowSum) of(name string) TableSum {
	var b []byte
	for _, n := range s.sum {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return TableSum{name, s.rows, hex.EncodeToString(b)}
}

// add appends a table to what a Summary has.
func (s *Summary) add(t TableSum) {
	s.Tables = append(s.Tables, t)
	s.Rows += t.Rows
	h := sha256.New()
	for _, t := range s.Tables {
		fmt.Fprintf(h, "%s %d %s\n", t.Name, t.Rows, t.Checksum)
	}
	s.Checksum = hex.EncodeToString(h.Sum(nil))
}

// Differs returns an error that says in which tables two databases or dumps differ; nil if they hold the same.
func (s *Summary) Differs(o *Summary) error {
	theirs := map[string]TableSum{}
	for _, t := range o.Tables {
		theirs[t.Name] = t
	}
	var errs []error
	for _, t := range s.Tables {
		if got := theirs[t.Name]; got.Rows != t.Rows {
			errs = append(errs, fmt.Errorf("table %s has %d rows on one side and %d on the other", t.Name, t.Rows, got.Rows))
		} else if got.Checksum != t.Checksum {
			errs = append(errs, fmt.Errorf("the %d rows of table %s are not the same", t.Rows, t.Name))
		}
	}
	if len(errs) == 0 && s.Checksum != o.Checksum {
		errs = append(errs, errors.New("they do not have the same tables"))
	}
	return errors.Join(errs...)
}

// dumpWriter writes frames.
type dumpWriter struct {
	w      io.Writer
	digest []byte
	zip    *zstd.Encoder
	packed []byte
}

func newDumpWriter(w io.Writer) (*dumpWriter, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(w, dumpMagic)
	return &dumpWriter{w: w, zip: zip}, err
}

func (d *dumpWriter) frame(kind byte, payload []byte) error {
	if len(payload) > maxFrame {
		return fmt.Errorf("a row of %d bytes is more than a dump can hold", len(payload))
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	d.digest = frameDigest(sha256.New(), d.digest, head, payload)
	for _, b := range [][]byte{head, payload, d.digest} {
		if _, err := d.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func frameDigest(h hash.Hash, before, head, payload []byte) []byte {
	h.Write(before)
	h.Write(head)
	h.Write(payload)
	return h.Sum(nil)
}

func (d *dumpWriter) json(kind byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return d.frame(kind, text)
}

func (d *dumpWriter) rows(raw []byte) error {
	d.packed = d.zip.EncodeAll(raw, d.packed[:0])
	return d.frame(frameRows, d.packed)
}

// appendRow appends a row as dumps have it.
func appendRow(e *pack.Enc, columns []column, r Row) {
	nulls := len(*e)
	*e = append(*e, make([]byte, (len(columns)+7)/8)...)
	for i, c := range columns {
		switch {
		case r.ColumnIsNull(i):
			(*e)[nulls+i/8] |= 1 << (i % 8)
		case c.kind == integers:
			e.Int(r.ColumnInt64(i))
		default:
			n := r.ColumnLen(i)
			e.Uint(uint64(n))
			at := len(*e)
			*e = append(*e, make([]byte, n)...)
			r.ColumnBytes(i, (*e)[at:])
		}
	}
}

// decodeRow reads a row into values, which alias d's bytes but for texts.
func decodeRow(d *pack.Dec, columns []column, values []any) {
	nulls := d.Bytes(uint64(len(columns)+7) / 8)
	for i, c := range columns {
		switch {
		case d.Bad:
			return
		case nulls[i/8]>>(i%8)&1 == 1:
			values[i] = nil
		case c.kind == integers:
			values[i] = d.Int()
		case c.kind == texts:
			values[i] = d.Text()
		default:
			values[i] = d.Bytes(d.Uint())
		}
	}
}

// dumpVisitor is told what a dump holds, in its order. A nil member is told nothing.
type dumpVisitor struct {
	head func(Header) error
	open func(t *table) error
	row  func(t *table, values []any) error
}

// dumpReader reads frames.
type dumpReader struct {
	r       io.Reader
	at      int64 // bytes read so far
	digest  []byte
	payload bytes.Buffer
	zip     *zstd.Decoder
	raw     []byte
	in      string // where it is, for messages
}

// readDump reads a dump to its end, checks all of it, and returns what it holds. Errors of damage have ErrDamaged in them and
// say where. What the visitor was told before is right as far as it goes, but the dump may end too early: only a nil error
// says that it was all.
func readDump(r io.Reader, v dumpVisitor) (*Summary, error) {
	zip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxStored+chunkBytes))
	if err != nil {
		return nil, err
	}
	defer zip.Close()
	d := &dumpReader{r: r, zip: zip, in: "the header"}
	magic := make([]byte, len(dumpMagic))
	if _, err := io.ReadFull(r, magic); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if string(magic) != dumpMagic {
		return nil, errors.New("this is not a backup of Induct: it does not begin as one")
	}
	d.at = int64(len(magic))
	var s Summary
	if err := d.header(&s.Header); err != nil {
		return nil, err
	}
	if v.head != nil {
		if err := v.head(s.Header); err != nil {
			return nil, err
		}
	}
	for {
		kind, err := d.next()
		if err != nil {
			return nil, err
		}
		if kind == frameEnd {
			return &s, d.end(&s)
		}
		if kind != frameTable {
			return nil, d.damaged("a frame %q where a table should begin", kind)
		}
		sum, err := d.table(v)
		if err != nil {
			return nil, err
		}
		s.add(sum)
	}
}

func (d *dumpReader) header(h *Header) error {
	kind, err := d.next()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(d.payload.Bytes(), h); kind != frameHead || err != nil {
		return d.damaged("the header cannot be read")
	}
	if h.Format != dumpFormat {
		return fmt.Errorf("the backup has format %d, which this release does not know: use Induct %s, which wrote it, or a later one", h.Format, h.Release)
	}
	return nil
}

// table reads a table, whose head was read.
func (d *dumpReader) table(v dumpVisitor) (TableSum, error) {
	t, err := d.tableHead()
	if err != nil {
		return TableSum{}, err
	}
	d.in = "table " + t.name
	if v.open != nil {
		if err := v.open(t); err != nil {
			return TableSum{}, err
		}
	}
	var sum rowSum
	values := make([]any, len(t.columns))
	for {
		kind, err := d.next()
		if err != nil {
			return TableSum{}, err
		}
		switch kind {
		case frameRows:
			if err := d.rows(t, v, &sum, values); err != nil {
				return TableSum{}, err
			}
		case frameSum:
			got := sum.of(t.name)
			var want TableSum
			if json.Unmarshal(d.payload.Bytes(), &want) != nil || got != want {
				return got, d.damaged("its rows do not add up")
			}
			return got, nil
		default:
			return TableSum{}, d.damaged("a frame %q among rows", kind)
		}
	}
}

func (d *dumpReader) tableHead() (*table, error) {
	var head tableHead
	if json.Unmarshal(d.payload.Bytes(), &head) != nil || !plainName(head.Name) || len(head.Columns) == 0 {
		return nil, d.damaged("the head of a table cannot be read")
	}
	t := &table{name: head.Name}
	for _, text := range head.Columns {
		c, err := parseColumn(text)
		if err != nil {
			return nil, d.damaged("table %s: %v", head.Name, err)
		}
		t.columns = append(t.columns, c)
	}
	return t, nil
}

func (d *dumpReader) rows(t *table, v dumpVisitor, sum *rowSum, values []any) (err error) {
	if d.raw, err = d.zip.DecodeAll(d.payload.Bytes(), d.raw[:0]); err != nil {
		return d.damaged("rows cannot be unpacked: %v", err)
	}
	p := pack.Dec{B: d.raw}
	for len(p.B) > 0 {
		before := p.B
		decodeRow(&p, t.columns, values)
		if p.Bad {
			return d.damaged("row %d cannot be read", sum.rows+1)
		}
		sum.add(before[:len(before)-len(p.B)])
		if v.row != nil {
			if err := v.row(t, values); err != nil {
				return fmt.Errorf("row %d of table %s: %w", sum.rows, t.name, err)
			}
		}
	}
	return nil
}

// end checks the last frame, and that nothing follows.
func (d *dumpReader) end(s *Summary) error {
	var want Summary
	if json.Unmarshal(d.payload.Bytes(), &want) != nil || want.Checksum != s.Checksum || want.Rows != s.Rows {
		return d.damaged("its tables do not add up")
	}
	d.in = "what follows the end"
	if n, err := io.ReadFull(d.r, make([]byte, 1)); n > 0 {
		return d.damaged("there should be nothing")
	} else if err != io.EOF {
		return err
	}
	return nil
}

// next reads a frame into payload.
func (d *dumpReader) next() (kind byte, err error) {
	var head [5]byte
	if err := d.read(head[:]); err != nil {
		return 0, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxFrame {
		return 0, d.damaged("a frame cannot be so long: %d bytes", size)
	}
	d.payload.Reset()
	n, err := io.CopyN(&d.payload, d.r, int64(size)) // grows with what there is, not with what a damaged length says
	d.at += n
	if err != nil {
		return 0, d.short(err)
	}
	var digest [sha256.Size]byte
	if err := d.read(digest[:]); err != nil {
		return 0, err
	}
	if d.digest = frameDigest(sha256.New(), d.digest, head[:], d.payload.Bytes()); !bytes.Equal(d.digest, digest[:]) {
		return 0, d.damaged("the bytes before are not as they were written")
	}
	return head[0], nil
}

func (d *dumpReader) read(b []byte) error {
	n, err := io.ReadFull(d.r, b)
	d.at += int64(n)
	if err != nil {
		return d.short(err)
	}
	return nil
}

// short says that the stream ended too early, if it did.
func (d *dumpReader) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return d.damaged("it ends here, before its end: it was not written or copied whole")
	}
	return err
}

func (d *dumpReader) damaged(format string, args ...any) error {
	return fmt.Errorf("%w: byte %d, in %s: %s. Use another backup; nothing of this one can be trusted", ErrDamaged, d.at, d.in, fmt.Sprintf(format, args...))
}
