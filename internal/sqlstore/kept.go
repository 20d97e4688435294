package sqlstore

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
)

// Kept records are many and small: what they have in common, the names of SCIM, is a dictionary that is not stored with
// each. The first byte of a stored record says how it is packed. A dictionary that has been released never changes.
const keptV1 = 1

// keptDictionary is what records of the SCIM schemas (RFC 7643 section 8) are made of.
var keptDictionary = sync.OnceValue(func() *s2.Dict {
	return s2.MakeDict([]byte(`{"value":"true","false","null","display":"","type":"home"},"type":"other","type":"mobile"},{"value":"+`+
		`"profileUrl":"https://","ims":[{"photos":[{"roles":[{"entitlements":[{"x509Certificates":[{"middleName":"","honorificPrefix":"","honorificSuffix":""`+
		`,"division":"","costCenter":"","organization":"","employeeNumber":"","department":"","manager":{"value":"","displayName":"","$ref":"../Users/"}}`+
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"",`+
		`"userName":"","active":true,"displayName":"","nickName":"","title":"","userType":"Employee","preferredLanguage":"","locale":"en-US","timezone":"Europe/`+
		`","name":{"formatted":"","familyName":"","givenName":""},"emails":[{"value":"@","type":"work","primary":true}],`+
		`"phoneNumbers":[{"value":"+49 ","type":"work"},{"value":"+1 ","type":"mobile"}],"addresses":[{"type":"work","streetAddress":"","locality":"",`+
		`"region":"","postalCode":"","country":"","formatted":"","primary":true}],`+
		`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"","costCenter":"","organization":"","division":"","department":"","manager":{"value":"`), nil)
})

func packKept(record []byte) []byte {
	room := packRoom.Get().(*[]byte)
	defer packRoom.Put(room)
	if n := s2.MaxEncodedLen(len(record)); cap(*room) < n {
		*room = make([]byte, n)
	}
	body := keptDictionary().Encode((*room)[:cap(*room)], record)
	return append(append(make([]byte, 0, 1+len(body)), keptV1), body...)
}

// packRoom is room to pack into, which takes more than what is packed.
var packRoom = sync.Pool{New: func() any { return new([]byte) }}

func unpackKept(packed []byte) ([]byte, error) {
	if len(packed) == 0 || packed[0] != keptV1 {
		return nil, fmt.Errorf("kept record: %w", errCorrupt)
	}
	if n, err := s2.DecodedLen(packed[1:]); err != nil || n > maxStored {
		return nil, fmt.Errorf("kept record: %w", errCorrupt)
	}
	record, err := keptDictionary().Decode(nil, packed[1:])
	if err != nil {
		return nil, fmt.Errorf("kept record: %w: %w", errCorrupt, err)
	}
	return record, nil
}
