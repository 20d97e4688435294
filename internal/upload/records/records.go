// Package records makes records of files: it reads rows and, with a mapping, makes a SCIM user of
// each. It knows files and attribute paths, no service.
package records

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"induct/internal/scim"
)

// Record is one person as the source sees them.
type Record struct {
	Line   int             // where the record begins in its file, from 1
	Anchor string          // the externalId; "" if there is none
	BulkID string          // names the operation in its request
	Data   json.RawMessage // the SCIM user
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

// BulkRequest returns the body of a bulk request (RFC 7644 section 3.7) with a POST of each record.
func BulkRequest(batch []Record) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"schemas":[%q],"Operations":[`, scim.BulkRequestURN)
	for i, rec := range batch {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"method":"POST","bulkId":%s,"path":"/Users","data":%s}`, quote(rec.BulkID), rec.Data)
	}
	b.WriteString(`],"failOnErrors":null}`)
	return b.Bytes()
}
