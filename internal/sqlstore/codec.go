package sqlstore

import (
	"fmt"

	"github.com/klauspost/compress/s2"

	"induct/internal/provision"
	"induct/internal/sqlstore/pack"
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

var errCorrupt = fmt.Errorf("stored bytes make no sense: %w", provision.ErrDamaged)

func encodeOperations(ops []provision.Operation) []byte {
	size := 16
	for i := range ops {
		size += len(ops[i].Data) + len(ops[i].BulkID) + len(ops[i].Anchor) + 16
	}
	room := packRoom.Get().(*[]byte)
	defer packRoom.Put(room)
	e := pack.Enc((*room)[:0])
	if cap(e) < size {
		e = make(pack.Enc, 0, size)
	}
	e.Uint(uint64(len(ops)))
	for i := range ops {
		op := &ops[i]
		e.Text(op.BulkID)
		e.Text(op.Anchor)
		flags := uint64(0)
		if op.Delete {
			flags = 1
		}
		e.Uint(flags)
		e.Uint(uint64(len(op.Data)))
		e = append(e, op.Data...)
	}
	*room = e[:0]
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
	d := pack.Dec{B: raw}
	ops := make([]provision.Operation, d.Count())
	for i := range ops {
		ops[i] = provision.Operation{BulkID: d.Text(), Anchor: d.Text(), Delete: d.Uint()&1 != 0}
		ops[i].Data = d.Bytes(d.Uint())
	}
	if d.Bad {
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
