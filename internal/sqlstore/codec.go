package sqlstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// Stored forms. Each begins with a version byte, so that a later release can read what an earlier one wrote.
// An upload's operations are S2-compressed (written and read once, fast); log entries are zstd-compressed
// blocks (written once, kept long). Inside, numbers are varints and texts are length-prefixed.
const (
	operationsV1 = 1
	entriesV1    = 1
)

// maxStored bounds what a stored block may say that it unpacks to: larger is damage, not content.
const maxStored = 256 << 20

var errCorrupt = errors.New("stored bytes are damaged")

// enc appends primitive values.
type enc []byte

func (e *enc) uint(n uint64) { *e = binary.AppendUvarint(*e, n) }
func (e *enc) int(n int64)   { *e = binary.AppendVarint(*e, n) }
func (e *enc) text(s string) { e.uint(uint64(len(s))); *e = append(*e, s...) }
func (e *enc) opt(s *string) {
	if s == nil {
		e.uint(0)
		return
	}
	e.uint(uint64(len(*s)) + 1)
	*e = append(*e, *s...)
}

// dec reads what enc wrote. After the first fault all reads give zero values and bad is set.
type dec struct {
	b   []byte
	bad bool
}

func (d *dec) uint() uint64 {
	n, w := binary.Uvarint(d.b)
	if w <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[w:]
	return n
}

func (d *dec) int() int64 {
	n, w := binary.Varint(d.b)
	if w <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[w:]
	return n
}

func (d *dec) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *dec) text() string { return string(d.bytes(d.uint())) }

func (d *dec) opt() *string {
	n := d.uint()
	if n == 0 {
		return nil
	}
	s := string(d.bytes(n - 1))
	return &s
}

// count reads a number of elements, none of which takes less than a byte.
func (d *dec) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func encodeOperations(ops []provision.Operation) []byte {
	size := 16
	for i := range ops {
		size += len(ops[i].Data) + len(ops[i].BulkID) + len(ops[i].Anchor) + 16
	}
	e := make(enc, 0, size)
	e.uint(uint64(len(ops)))
	for i := range ops {
		op := &ops[i]
		e.text(op.BulkID)
		e.text(op.Anchor)
		flags := uint64(0)
		if op.Delete {
			flags = 1
		}
		e.uint(flags)
		e.uint(uint64(len(op.Data)))
		e = append(e, op.Data...)
	}
	packed := make([]byte, 1+s2.MaxEncodedLen(len(e)))
	packed[0] = operationsV1
	return packed[:1+len(s2.Encode(packed[1:], e))]
}

func decodeOperations(b []byte) ([]provision.Operation, error) {
	if len(b) == 0 || b[0] != operationsV1 {
		return nil, fmt.Errorf("operations: %w", errCorrupt)
	}
	if n, err := s2.DecodedLen(b[1:]); err != nil || n > maxStored {
		return nil, fmt.Errorf("operations: %w", errCorrupt)
	}
	raw, err := s2.Decode(nil, b[1:])
	if err != nil {
		return nil, fmt.Errorf("operations: %w: %w", errCorrupt, err)
	}
	d := dec{b: raw}
	ops := make([]provision.Operation, d.count())
	for i := range ops {
		ops[i] = provision.Operation{BulkID: d.text(), Anchor: d.text(), Delete: d.uint()&1 != 0}
		ops[i].Data = d.bytes(d.uint())
	}
	if d.bad {
		return nil, fmt.Errorf("operations: %w", errCorrupt)
	}
	return ops, nil
}

// compressor holds the zstd state of one user; it is not for concurrent use.
type compressor struct {
	w *zstd.Encoder
	r *zstd.Decoder
}

func newCompressor() (*compressor, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxStored))
	return &compressor{w: w, r: r}, err
}

// Entries that say nothing but "unchanged" are most of a log: ends and flags are small numbers, absent texts one byte.
func (c *compressor) encodeEntries(entries []provision.LogEntry) []byte {
	e := enc{}
	e.uint(uint64(len(entries)))
	base := entries[0]
	e.int(base.Time.UnixMicro())
	e.int(base.JobPK)
	e.int(base.Cycle)
	number := int64(0)
	for i := range entries {
		x := &entries[i]
		e.int(x.Time.Sub(base.Time).Microseconds())
		e.int(x.Upload - number)
		number = x.Upload
		e.uint(uint64(x.Index))
		e.text(x.BulkID)
		e.uint(bit(x.Hidden, 0) | bit(x.Ref, 1) | bit(x.Matched, 2) | uint64(x.Action)<<3 | uint64(x.Status)<<6 | endNumber(x.End)<<8)
		e.text(x.Anchor)
		e.text(x.Name)
		e.text(x.ObjectID)
		e.text(x.ObjectName)
		e.text(x.Code)
		e.text(x.Attribute)
		e.text(x.Reason)
		e.text(x.Advice)
		e.int(int64(x.Duration))
		e.uint(uint64(len(x.Source)))
		for _, s := range x.Source {
			e.text(s.Name)
			e.text(s.Value)
		}
		e.uint(uint64(len(x.Modified)))
		for _, m := range x.Modified {
			e.text(m.Attribute)
			e.opt(m.Old)
			e.opt(m.New)
		}
		e.uint(uint64(len(x.Warnings)))
		for _, w := range x.Warnings {
			e.text(w)
		}
	}
	return c.w.EncodeAll(e, []byte{entriesV1})
}

// decodeEntries is safe for concurrent use.
func (c *compressor) decodeEntries(first int64, b []byte) ([]provision.LogEntry, error) {
	if len(b) == 0 || b[0] != entriesV1 {
		return nil, fmt.Errorf("log block %d: %w", first, errCorrupt)
	}
	raw, err := c.r.DecodeAll(b[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("log block %d: %w: %w", first, errCorrupt, err)
	}
	d := dec{b: raw}
	entries := make([]provision.LogEntry, d.count())
	base, job, cycle, number := d.int(), d.int(), d.int(), int64(0)
	for i := range entries {
		x := &entries[i]
		x.Seq, x.JobPK, x.Cycle = first+int64(i), job, cycle
		x.Time = time.UnixMicro(base + d.int()).UTC()
		number += d.int()
		x.Upload, x.Index, x.BulkID = number, int(d.uint()), d.text()
		flags := d.uint()
		x.Hidden, x.Ref, x.Matched = flags&1 != 0, flags&2 != 0, flags&4 != 0
		x.Action, x.Status = provision.Action(flags>>3&7), provision.Status(flags>>6&3)
		x.End = endOf(flags >> 8)
		x.Anchor, x.Name, x.ObjectID, x.ObjectName = d.text(), d.text(), d.text(), d.text()
		x.Code, x.Attribute, x.Reason, x.Advice = d.text(), d.text(), d.text(), d.text()
		x.Duration = time.Duration(d.int())
		if n := d.count(); n > 0 {
			x.Source = make([]mapping.Imported, n)
			for j := range x.Source {
				x.Source[j] = mapping.Imported{Name: d.text(), Value: d.text()}
			}
		}
		if n := d.count(); n > 0 {
			x.Modified = make([]provision.Modification, n)
			for j := range x.Modified {
				x.Modified[j] = provision.Modification{Attribute: d.text(), Old: d.opt(), New: d.opt()}
			}
		}
		if n := d.count(); n > 0 {
			x.Warnings = make([]string, n)
			for j := range x.Warnings {
				x.Warnings[j] = d.text()
			}
		}
	}
	if d.bad {
		return nil, fmt.Errorf("log block %d: %w", first, errCorrupt)
	}
	return entries, nil
}

func bit(b bool, n uint) uint64 {
	if b {
		return 1 << n
	}
	return 0
}

// endNumber numbers the ends as provision.Ends lists them, from 1; 0 is none. The list only ever grows at its end.
func endNumber(end provision.End) uint64 {
	for i, e := range provision.Ends {
		if e == end {
			return uint64(i) + 1
		}
	}
	return 0
}

func endOf(n uint64) provision.End {
	if n == 0 || n > uint64(len(provision.Ends)) {
		return ""
	}
	return provision.Ends[n-1]
}
