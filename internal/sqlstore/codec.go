package sqlstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"

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

func bit(b bool, n uint) uint64 {
	if b {
		return 1 << n
	}
	return 0
}
