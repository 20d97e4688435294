package directory

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"induct/internal/expr"
)

// The stored form of a user's attributes: a version byte, then (name, kind, text) in the order of the names,
// where a list is a count and its elements. Numbers are varints, texts are length-prefixed.
const contentV1 = 1

var errCorrupt = errors.New("stored attributes are damaged")

func encode(attributes map[string]expr.Value) []byte {
	b := make([]byte, 0, 32*len(attributes)+2)
	b = append(b, contentV1)
	b = binary.AppendUvarint(b, uint64(len(attributes)))
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		b = appendText(b, name)
		v := attributes[name]
		b = append(b, byte(v.Kind()))
		if v.Kind() != expr.List {
			b = appendText(b, v.String())
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(v.Elems())))
		for _, e := range v.Elems() {
			b = append(b, byte(e.Kind()))
			b = appendText(b, e.String())
		}
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	n, w := binary.Uvarint(r.b)
	if w <= 0 || n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[w:]
	return n
}

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) kind() expr.Kind {
	if len(r.b) == 0 {
		r.bad = true
		return expr.Null
	}
	k := expr.Kind(r.b[0])
	r.b = r.b[1:]
	return k
}

func (r *reader) scalar(k expr.Kind) expr.Value {
	s := r.text()
	switch k {
	case expr.Boolean:
		return expr.Bool(s == "True")
	case expr.Integer:
		n, _ := expr.Text(s).AsInt()
		return expr.Int(n)
	case expr.DateTime:
		t, err := time.Parse(time.RFC3339Nano, s)
		r.bad = r.bad || err != nil
		return expr.Time(t)
	}
	return expr.Text(s)
}

func decode(b []byte) (map[string]expr.Value, error) {
	if len(b) == 0 || b[0] != contentV1 {
		return nil, errCorrupt
	}
	r := reader{b: b[1:]}
	n := r.uint()
	attributes := make(map[string]expr.Value, n)
	for range n {
		name := r.text()
		k := r.kind()
		if k != expr.List {
			attributes[name] = r.scalar(k)
			continue
		}
		elems := make([]expr.Value, r.uint())
		for i := range elems {
			elems[i] = r.scalar(r.kind())
		}
		attributes[name] = expr.Multi(elems...)
	}
	if r.bad {
		return nil, errCorrupt
	}
	return attributes, nil
}
