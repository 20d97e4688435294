package directory

import (
	"fmt"
	"slices"
	"time"

	"induct/internal/expr"
	"induct/internal/provision"
	"induct/internal/sqlstore/pack"
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

var errCorrupt = fmt.Errorf("stored attributes make no sense: %w", provision.ErrDamaged)

func encode(attributes map[string]expr.Value) []byte {
	e := make(pack.Enc, 0, 40*len(attributes)+2)
	e = append(e, contentV1)
	e.Uint(uint64(len(attributes)))
	left := len(attributes)
	for i, name := range common {
		if v, ok := attributes[name]; ok {
			e.Uint(uint64(i) + 1)
			appendValue(&e, v)
			if left--; left == 0 {
				return e
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
		e.Uint(0)
		e.Text(name)
		appendValue(&e, attributes[name])
	}
	return e
}

func appendValue(e *pack.Enc, v expr.Value) {
	*e = append(*e, byte(v.Kind()))
	if v.Kind() != expr.List {
		e.Text(v.String())
		return
	}
	e.Uint(uint64(len(v.Elems())))
	for _, elem := range v.Elems() {
		*e = append(*e, byte(elem.Kind()))
		e.Text(elem.String())
	}
}

// name reads a name.
func name(d *pack.Dec) string {
	switch place := d.Uint(); {
	case place == 0:
		return d.Text()
	case place > uint64(len(common)):
		d.Bad = true
		return ""
	default:
		return common[place-1]
	}
}

func scalar(d *pack.Dec, k expr.Kind) expr.Value {
	s := d.Text()
	switch k {
	case expr.Boolean:
		return expr.Bool(s == "True")
	case expr.Integer:
		n, _ := expr.Text(s).AsInt()
		return expr.Int(n)
	case expr.DateTime:
		t, err := time.Parse(time.RFC3339Nano, s)
		d.Bad = d.Bad || err != nil
		return expr.Time(t)
	}
	return expr.Text(s)
}

func decode(b []byte) (map[string]expr.Value, error) {
	if len(b) == 0 || b[0] != contentV1 {
		return nil, errCorrupt
	}
	d := pack.Dec{B: b[1:]}
	n := d.Count()
	attributes := make(map[string]expr.Value, n)
	for range n {
		name, k := name(&d), expr.Kind(d.Byte())
		if k != expr.List {
			attributes[name] = scalar(&d, k)
			continue
		}
		elems := make([]expr.Value, d.Count())
		for i := range elems {
			elems[i] = scalar(&d, expr.Kind(d.Byte()))
		}
		attributes[name] = expr.Multi(elems...)
	}
	if d.Bad {
		return nil, errCorrupt
	}
	return attributes, nil
}
