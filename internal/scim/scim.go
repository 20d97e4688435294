// Package scim turns the bytes of a bulk request into records, or says precisely which
// operation is wrong. It is pure: no I/O, no clock, no global state.
//
// The envelope is RFC 7644 section 3.7's BulkRequest as Microsoft Graph's bulkUpload reads it;
// a record is a user resource of RFC 7643 with any extension.
package scim

import "encoding/json"

// Schema URNs of RFC 7643 section 4 and RFC 7644 section 3.7.
const (
	BulkRequestURN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	UserURN        = "urn:ietf:params:scim:schemas:core:2.0:User"
	EnterpriseURN  = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// MaxBulkID is how many bytes a bulkId may have.
const MaxBulkID = 1024

// MaxAnchor is how many bytes an externalId may have. Logs, receipts and references repeat it.
const MaxAnchor = 1024

// Limits bounds what ParseBulk accepts. A zero field means its default.
type Limits struct {
	Operations int // operations in a request; default 50
	Depth      int // nesting of JSON values; default 32
}

// Operation is one element of a bulk request: one person as HR sees them now.
type Operation struct {
	Method string          // "POST" or "DELETE", upper case
	BulkID string          // as sent; "" if it was missing; not unique
	Anchor string          // the externalId, wherever Reader.Read would find it; "" if it was missing, null, longer than MaxAnchor or not a string or number
	Data   json.RawMessage // the record's JSON object, compact and valid UTF-8, values of `password` blanked; nil for DELETE without data
}

// Error says what is wrong with a bulk request and where. Its text is one sentence for the client builder.
type Error struct {
	Operation int    // index of the operation that is wrong, or -1 for the envelope
	Offset    int64  // offset in the body where it was noticed
	Path      string // where, as in Operations[3].data; "" if unknown
	Reason    string // what was expected and what was found
}

// Kind tells what a Value holds.
type Kind uint8

// The kinds of a Value. Absent is the zero Kind; absent, null and empty are three things.
const (
	Absent Kind = iota
	Null
	Text    // a string
	Number  // Str holds the literal as sent
	Boolean // Str holds "true" or "false"
	Many    // List holds the elements: none of them is Absent or Many
	Invalid // the attribute has a shape that the path cannot read; Str says what was found
)

// Value is what a record holds at a path.
type Value struct {
	Kind Kind
	Str  string
	List []Value
}
