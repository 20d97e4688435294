// Package records makes records of files. It knows files and the attributes of a SCIM user, no service.
//
// A File is a table (CSV or a workbook), JSON objects, or bulk requests that are ready to be sent; Open tells them
// apart. A Mapping says which column is which attribute, and makes a record of each row; Suggest proposes one. Validate
// checks records before they are sent, and File.WriteFailed gives back the rows that failed, to be corrected and sent
// again.
//
// Files are as large as they like, and memory does not grow with them: rows and objects are read one by one, none
// larger than 1 MiB. A file that is wrong in one place is refused with an *InputError that names the place: whoever
// reads it to its end first (Count) sends nothing of a file that is broken further down.
package records

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"

	"induct/internal/scim"
)

// Record is one person as the source sees them, or one operation of a ready-made bulk request.
type Record struct {
	// Line says where the record stands, from 1: in CSV and JSON Lines the line on which it begins, in
	// a workbook its row, in a JSON array or a bulk request its place among the elements.
	Line   int
	Anchor string // the externalId; "" if there is none
	BulkID string // names the operation in its request
	// Method and Path are "" for a POST to /Users. Others come only from ready-made bulk requests,
	// the method in upper case, the path as it was written.
	Method, Path string
	Data         json.RawMessage // the SCIM user, compact; nil for an operation without data
}

// Source gives records in their order; io.EOF ends them.
type Source interface {
	Next() (Record, error)
}

// Count reads src to its end and returns how many records it holds, or its first error. A file that
// was counted first is known to be well-formed before anything is sent.
func Count(src Source) (int, error) {
	for n := 0; ; n++ {
		if _, err := src.Next(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

// BulkRequest returns the body of a bulk request (RFC 7644 section 3.7) with an operation for each record.
func BulkRequest(batch []Record) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"schemas":[%q],"Operations":[`, scim.BulkRequestURN)
	for i, rec := range batch {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(rec.operation())
	}
	b.WriteString(`],"failOnErrors":null}`)
	return b.Bytes()
}

// operation returns the record as an operation of a bulk request.
func (r Record) operation() []byte {
	b := fmt.Appendf(nil, `{"method":%s,"bulkId":%s,"path":%s`,
		quote(cmp.Or(r.Method, "POST")), quote(r.BulkID), quote(cmp.Or(r.Path, "/Users")))
	if r.Data != nil {
		b = append(append(b, `,"data":`...), r.Data...)
	}
	return append(b, '}')
}
