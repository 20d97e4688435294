package records

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Failure says why a record failed; Line is that of the Record.
type Failure struct {
	Line      int
	Anchor    string
	End       string // failed, skipped or another end
	Code      string
	Attribute string
	Reason    string
	Advice    string // what to do about it
}

// failureColumns are the columns that WriteFailed adds to a table.
var failureColumns = []string{"induct.line", "induct.code", "induct.attribute", "induct.reason", "induct.advice"}

// WriteFailed writes the records for which of knows a failure, in the order of the file, so that they can be
// corrected and sent again with the same mapping, and returns how many they are.
//
// A table becomes CSV in UTF-8: the columns and cells of the source with its delimiter (a workbook's with
// commas), followed by induct.line, induct.code, induct.attribute, induct.reason and induct.advice, which
// take the place of columns with these names. It begins with a byte order mark, by which spreadsheets know
// UTF-8, unless the source is UTF-8 without one. The cells of the source are not altered; those that are added never begin as a formula does.
//
// Objects become JSON Lines, which Open reads: {"induct":{"line":…,"code":…,"attribute":…,"reason":…,"advice":…},
// "data":{…}}, or an operation of a bulk request with the member induct.
func (f *File) WriteFailed(w io.Writer, of func(line int) (Failure, bool)) (int, error) {
	out := bufio.NewWriter(w)
	write := f.writeTable
	if f.isJSON() {
		write = f.writeObjects
	}
	n, err := write(out, of)
	if err != nil {
		return n, err
	}
	return n, out.Flush()
}

func (f *File) writeTable(out *bufio.Writer, of func(line int) (Failure, bool)) (n int, err error) {
	t, err := f.table()
	if err != nil {
		return 0, err
	}
	defer t.Close()
	w := csv.NewWriter(out)
	if c, ok := t.(*csvTable); ok {
		w.Comma = c.r.Comma
	}
	plain, err := f.isPlain()
	if err != nil {
		return 0, err
	}
	if !plain {
		out.WriteString("\ufeff")
	}
	row := make([]string, 0, len(f.columns)+len(failureColumns))
	var keep []int
	for i, c := range f.columns {
		if !slices.Contains(failureColumns, c) {
			keep = append(keep, i)
			row = append(row, c)
		}
	}
	if err := w.Write(append(row, failureColumns...)); err != nil {
		return 0, err
	}
	for {
		cells, line, err := t.Next()
		if err == io.EOF {
			w.Flush()
			return n, w.Error()
		}
		if isRowError(err) {
			continue // it was never sent
		}
		if err != nil {
			return n, err
		}
		failure, ok := of(line)
		if !ok {
			continue
		}
		row = row[:0]
		for _, i := range keep {
			row = append(row, cells[i])
		}
		row = append(row, strconv.Itoa(line), harmless(failure.Code), harmless(failure.Attribute), harmless(failure.Reason), harmless(failure.Advice))
		if err := w.Write(row); err != nil {
			return n, err
		}
		n++
	}
}

// isPlain reports whether the file is text in UTF-8 without byte order mark, which only its last byte tells.
func (f *File) isPlain() (bool, error) {
	if f.opt.Format == FormatExcel || f.opt.Encoding != "" {
		return false, nil
	}
	in := bufio.NewReaderSize(f.reader(), sniffSize)
	head, _ := in.Peek(512)
	if decodeUnicode(in, head) != nil {
		return false, nil
	}
	u := &undecided{in: in}
	for u.out == nil {
		if _, err := io.CopyN(io.Discard, u, sniffSize); err == io.EOF {
			break
		} else if err != nil {
			return false, err
		}
	}
	return u.out == nil || u.out == u.in, nil
}

// harmless keeps a spreadsheet from taking a text for a formula.
func harmless(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

// reason is the member induct of an object that failed.
type reason struct {
	Line      int    `json:"line"`
	Anchor    string `json:"externalId,omitempty"`
	End       string `json:"end,omitempty"`
	Code      string `json:"code,omitempty"`
	Attribute string `json:"attribute,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Advice    string `json:"advice,omitempty"`
}

func (f *File) writeObjects(out *bufio.Writer, of func(line int) (Failure, bool)) (n int, err error) {
	e, err := f.elements()
	if err != nil {
		return 0, err
	}
	defer e.done()
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for {
		el, err := e.next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		failure, ok := of(el.line)
		if !ok {
			continue
		}
		line := struct {
			Reason reason          `json:"induct"`
			Method json.RawMessage `json:"method,omitempty"`
			Path   json.RawMessage `json:"path,omitempty"`
			BulkID json.RawMessage `json:"bulkId,omitempty"`
			Data   json.RawMessage `json:"data,omitempty"`
		}{Reason: reason{el.line, failure.Anchor, failure.End, failure.Code, failure.Attribute, failure.Reason, failure.Advice}, Data: el.data}
		if el.operation {
			line.Method, line.Path = memberOf(el.data, "method"), memberOf(el.data, "path")
			line.BulkID, line.Data = memberOf(el.data, "bulkId"), memberOf(el.data, "data")
		}
		if err := enc.Encode(line); err != nil {
			return n, err
		}
		n++
	}
}
