// Package pack writes and reads the primitive values of stored bytes: numbers are varints, texts are length-prefixed.
package pack

import "encoding/binary"

// Enc appends primitive values.
type Enc []byte

// Uint appends a number.
func (e *Enc) Uint(n uint64) { *e = binary.AppendUvarint(*e, n) }

// Int appends a number that may be negative.
func (e *Enc) Int(n int64) { *e = binary.AppendVarint(*e, n) }

// Text appends a text.
func (e *Enc) Text(s string) { e.Uint(uint64(len(s))); *e = append(*e, s...) }

// Opt appends a text that may be absent.
func (e *Enc) Opt(s *string) {
	if s == nil {
		e.Uint(0)
		return
	}
	e.Uint(uint64(len(*s)) + 1)
	*e = append(*e, *s...)
}

// Dec reads what Enc wrote from B, which it consumes. After the first fault all reads give zero values and Bad is set.
type Dec struct {
	B   []byte
	Bad bool
}

// fail sets Bad, and leaves nothing to be read.
func (d *Dec) fail() { d.Bad, d.B = true, nil }

// Uint reads a number.
func (d *Dec) Uint() uint64 {
	n, w := binary.Uvarint(d.B)
	if w <= 0 {
		d.fail()
		return 0
	}
	d.B = d.B[w:]
	return n
}

// Int reads a number that may be negative.
func (d *Dec) Int() int64 {
	n, w := binary.Varint(d.B)
	if w <= 0 {
		d.fail()
		return 0
	}
	d.B = d.B[w:]
	return n
}

// Bytes reads n bytes, which alias B.
func (d *Dec) Bytes(n uint64) []byte {
	if n > uint64(len(d.B)) {
		d.fail()
		return nil
	}
	s := d.B[:n]
	d.B = d.B[n:]
	return s
}

// Byte reads a byte.
func (d *Dec) Byte() byte {
	b := d.Bytes(1)
	if b == nil {
		return 0
	}
	return b[0]
}

// Text reads a text.
func (d *Dec) Text() string { return string(d.Bytes(d.Uint())) }

// Opt reads a text that may be absent.
func (d *Dec) Opt() *string {
	n := d.Uint()
	if n == 0 {
		return nil
	}
	s := string(d.Bytes(n - 1))
	return &s
}

// Count reads how many elements follow, none of which takes less than a byte.
func (d *Dec) Count() int {
	n := d.Uint()
	if n > uint64(len(d.B)) {
		d.fail()
		return 0
	}
	return int(n)
}
