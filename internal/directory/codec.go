package directory

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"induct/internal/expr"
)

// The stored form of a user's attributes: a version byte, then (name, kind, text), the common names first,
// where a list is a count and its elements. Numbers are varints, texts are length-prefixed. A name is its place among
// the common ones, from 1, or 0 and the text.
const contentV1 = 1

// common are the names that users have most. The list only ever grows at its end.
var common = []string{
	"accountEnabled", "userPrincipalName", "displayName", "givenName", "surname", "mailNickname", "employeeId", "mail", "jobTitle", "department",
	"companyName", "manager", "city", "country", "postalCode", "state", "streetAddress", "telephoneNumber", "mobile",
	"facsimileTelephoneNumber", "physicalDeliveryOfficeName", "preferredLanguage", "usageLocation", "employeeType", "employeeHireDate",
	"employeeLeaveDateTime", "userType", "otherMails", "proxyAddresses", "showInAddressList", "division", "costCenter",
	"extensionAttribute1", "extensionAttribute2", "extensionAttribute3", "extensionAttribute4", "extensionAttribute5",
	"extensionAttribute6", "extensionAttribute7", "extensionAttribute8", "extensionAttribute9", "extensionAttribute10",
	"extensionAttribute11", "extensionAttribute12", "extensionAttribute13", "extensionAttribute14", "extensionAttribute15",
}

var commonPlace = func() map[string]uint64 {
	m := make(map[string]uint64, len(common))
	for i, name := range common {
		m[name] = uint64(i) + 1
	}
	return m
}()

var errCorrupt = errors.New("stored attributes are damaged")

func encode(attributes map[string]expr.Value) []byte {
	b := make([]byte, 0, 40*len(attributes)+2)
	b = append(b, contentV1)
	b = binary.AppendUvarint(b, uint64(len(attributes)))
	left := len(attributes)
	for i, name := range common {
		if v, ok := attributes[name]; ok {
			b = appendValue(binary.AppendUvarint(b, uint64(i)+1), v)
			if left--; left == 0 {
				return b
			}
		}
	}
	var others []string
	for name := range attributes {
		if commonPlace[name] == 0 {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	for _, name := range others {
		b = appendValue(appendText(append(b, 0), name), attributes[name])
	}
	return b
}

func appendValue(b []byte, v expr.Value) []byte {
	b = append(b, byte(v.Kind()))
	if v.Kind() != expr.List {
		return appendText(b, v.String())
	}
	b = binary.AppendUvarint(b, uint64(len(v.Elems())))
	for _, e := range v.Elems() {
		b = append(b, byte(e.Kind()))
		b = appendText(b, e.String())
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

// place reads a number that counts nothing.
func (r *reader) place() uint64 {
	n, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[w:]
	return n
}

// uint reads a count of what takes at least a byte each.
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

func (r *reader) name() string {
	switch place := r.place(); {
	case place == 0:
		return r.text()
	case place > uint64(len(common)):
		r.bad, r.b = true, nil
		return ""
	default:
		return common[place-1]
	}
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
		name := r.name()
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
