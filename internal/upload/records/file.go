package records

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
)

// Format is the form of a file.
type Format string

// The formats that Open reads.
const (
	FormatCSV       Format = "csv"   // delimited text with a header
	FormatExcel     Format = "excel" // a workbook: .xlsx or .xlsm
	FormatJSON      Format = "json"  // an array of objects, or an object with one
	FormatJSONLines Format = "jsonl" // an object after the other
	FormatSCIM      Format = "scim"  // bulk requests of RFC 7644 section 3.7
)

// Options says what Open cannot or shall not find out by itself. The zero Options detects everything.
type Options struct {
	Format    Format // "" is told by the content
	Delimiter string // of CSV: one character or "tab"; "" is told by the header
	Encoding  string // of CSV: a name of the IANA list of character sets; "" is told by the bytes
	Sheet     string // of a workbook; "" is the first
}

// sampled is how many people Columns and Sample look at.
const sampled = 1000

// File is a file of people. Its methods may be called from several goroutines, and each Source that it
// gives is for one. A File is read from its beginning by each Source, in bounded memory. Which file
// has the path may change meanwhile; what is in it may not: then reading ends with an error.
type File struct {
	src     *unchanging
	temp    bool // it is ours to remove yet
	opt     Options
	columns []string

	mu    sync.Mutex
	book  *workbook // of a workbook
	shape shape     // of JSON
	open  map[io.Closer]bool
}

// Open opens the file at path, finds out its format and reads its header. "-" is the standard input;
// that, and anything else that can be read only once, is first copied into a temporary file with mode
// 0600, which Close removes. Errors are *InputError: what is wrong with the file or the options.
func Open(path string, opt Options) (*File, error) {
	if path == "-" {
		return OpenReader(os.Stdin, opt)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, &InputError{Msg: err.Error()}
	case info.IsDir():
		return nil, inputErrorf(0, "%s is a directory; name a file", path)
	case !info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return nil, &InputError{Msg: err.Error()}
		}
		defer f.Close()
		return OpenReader(f, opt)
	}
	return newFile(path, false, opt)
}

// OpenReader is Open for what r gives, which is copied into a temporary file.
func OpenReader(r io.Reader, opt Options) (*File, error) {
	f, err := os.CreateTemp("", "induct-upload-*")
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return nil, fmt.Errorf("copying the input: %w", err)
	}
	return newFile(f.Name(), true, opt)
}

func newFile(path string, temp bool, opt Options) (*File, error) {
	src, err := openUnchanging(path)
	if err != nil {
		return nil, &InputError{Msg: err.Error()}
	}
	if temp { // it holds people: nothing is left of it by a process that is killed; Windows removes no open file
		temp = os.Remove(path) != nil
	}
	f := &File{src: src, temp: temp, opt: opt, open: map[io.Closer]bool{}}
	if err := f.examine(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close frees what the File and its Sources hold; none of them may be in use.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		c.Close()
	}
	f.open = nil
	f.book = nil
	err := f.src.Close()
	if f.temp {
		err = errors.Join(err, os.Remove(f.src.Name()))
		f.temp = false
	}
	return err
}

// Format returns the format that was given or found.
func (f *File) Format() Format { return f.opt.Format }

// Columns returns the header of a table, or the paths that the first thousand people of a JSON file
// hold values at, in the order in which they appear.
func (f *File) Columns() []string { return slices.Clone(f.columns) }

// Fingerprint returns the SHA-256 of the file's bytes in hexadecimal.
func (f *File) Fingerprint() (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f.reader()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// IsSCIM reports whether the file holds SCIM users or bulk requests already, so that it needs no mapping.
func (f *File) IsSCIM() bool { return f.shape.scim }

// Records returns the file's records from the beginning. A file that holds SCIM users or bulk requests
// gives them as they are, whatever m says; so does a JSON file if m is nil. A table needs a mapping.
// Errors, also those of the Source, are *InputError or those of the file system.
func (f *File) Records(m *Mapping) (Source, error) {
	if !f.isJSON() {
		if m == nil {
			return nil, inputErrorf(0, "a table needs a mapping: which column is which attribute")
		}
		t, err := f.table()
		if err != nil {
			return nil, err
		}
		return m.source(&tableInput{table: t, names: f.columns, label: f.unit()})
	}
	elements, err := f.elements()
	if err != nil {
		return nil, err
	}
	if m == nil || f.shape.scim {
		return &readySource{elements}, nil
	}
	return m.source(&jsonInput{elements: elements, known: f.columns})
}

// reader reads the file from its beginning.
func (f *File) reader() io.ReadCloser {
	return io.NopCloser(io.NewSectionReader(f.src, 0, f.src.info.Size()))
}

func (f *File) isJSON() bool {
	return f.opt.Format == FormatJSON || f.opt.Format == FormatJSONLines || f.opt.Format == FormatSCIM
}

// unit is what Record.Line counts.
func (f *File) unit() string {
	switch f.opt.Format {
	case FormatExcel:
		return "row"
	case FormatCSV:
		return "line"
	}
	return f.shape.unit()
}

// Sample returns the cells of up to n people, one per column, for Suggest. A row that is wrong ends it
// without an error: the Source will tell.
func (f *File) Sample(n int) ([][]string, error) {
	in, done, err := f.sampleInput()
	if err != nil {
		return nil, err
	}
	defer done()
	var rows [][]string
	for len(rows) < n {
		if _, err := in.next(); err != nil {
			break
		}
		row := make([]string, len(f.columns))
		for i := range row {
			v, err := in.cell(i)
			if err == nil {
				row[i] = strings.Clone(v.text)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// sampleInput opens the file with its columns bound in their order.
func (f *File) sampleInput() (input, func(), error) {
	if !f.isJSON() {
		t, err := f.table()
		if err != nil {
			return nil, nil, err
		}
		return &tableInput{table: t}, func() { t.Close() }, nil
	}
	e, err := f.elements()
	if err != nil {
		return nil, nil, err
	}
	in := &jsonInput{elements: e}
	for _, c := range f.columns {
		in.bind("", c)
	}
	return in, e.done, nil
}

// examine finds out what the file is.
func (f *File) examine() error {
	known := []Format{FormatCSV, FormatExcel, FormatJSON, FormatJSONLines, FormatSCIM}
	if f.opt.Format != "" && !slices.Contains(known, f.opt.Format) {
		return inputErrorf(0, "there is no format %q; there are csv, excel, json, jsonl and scim", f.opt.Format)
	}
	in := bufio.NewReader(f.reader())
	head, err := in.Peek(512)
	if err != nil && err != io.EOF {
		return err
	}
	if err := f.examineBinary(head); err != nil {
		return err
	}
	if f.opt.Format == "" {
		f.opt.Format = FormatCSV
		if c := firstByte(in, head); c == '{' || c == '[' {
			f.opt.Format = FormatJSON
		}
	}
	if f.opt.Format != FormatCSV && f.opt.Delimiter+f.opt.Encoding != "" {
		return inputErrorf(0, "a delimiter or an encoding goes with CSV; the file is %s", f.opt.Format)
	}
	if f.opt.Format != FormatExcel && f.opt.Sheet != "" {
		return inputErrorf(0, "a sheet goes with a workbook; the file is %s", f.opt.Format)
	}
	if f.isJSON() {
		return f.examineJSON()
	}
	if f.opt.Format == FormatExcel {
		if f.book, err = openWorkbook(f.src, f.src.info.Size(), f.opt.Sheet); err != nil {
			return err
		}
	}
	t, err := f.table()
	if err != nil {
		return err
	}
	defer t.Close()
	f.columns = t.header()
	return nil
}

// examineBinary tells workbooks from text, and from what looks like a workbook.
func (f *File) examineBinary(head []byte) error {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		if f.opt.Format != "" && f.opt.Format != FormatExcel {
			return inputErrorf(0, "the file is a workbook or another zip archive, not %s", f.opt.Format)
		}
		f.opt.Format = FormatExcel
	case bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
		return inputErrorf(0, "the file is an old Excel workbook (.xls) or one that a password protects; open it and save it as an Excel workbook (.xlsx) without a password")
	case f.opt.Format == FormatExcel:
		return inputErrorf(0, "the file is no Excel workbook (.xlsx or .xlsm)")
	case bytes.HasPrefix(head, []byte("%PDF-")), bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return inputErrorf(0, "the file is neither text nor a workbook; unpack it or export it as CSV, Excel or JSON")
	}
	return nil
}

// firstByte returns the first byte of the text that is no blank, in any Unicode encoding.
func firstByte(in *bufio.Reader, head []byte) byte {
	var text io.Reader = in
	if wide := decodeUnicode(in, head); wide != nil {
		text = wide
	}
	r := bufio.NewReader(io.LimitReader(text, sniffSize))
	for {
		c, err := r.ReadByte()
		if err != nil {
			return 0
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
}

// headed is a table with the names of its columns. It closes itself at its end.
type headed interface {
	table
	header() []string
	io.Closer
}

// table opens the table at its first row.
func (f *File) table() (headed, error) {
	if f.opt.Format == FormatExcel {
		t, err := f.book.rows()
		if err != nil {
			return nil, err
		}
		t.done = f.track(t.part)
		return t, nil
	}
	r := f.reader()
	c, err := newCSV(r, f.opt)
	if err != nil {
		return nil, err
	}
	return &csvTable{c, f.track(r)}, nil
}

// elements opens a JSON file at its first person.
func (f *File) elements() (*elements, error) {
	e, err := newElements(f.reader(), f.shape)
	if err != nil {
		return nil, err
	}
	e.done = f.track(e)
	return e, nil
}

// track has Close close c unless the function that it returns has done so.
func (f *File) track(c io.Closer) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		c.Close()
		return func() {}
	}
	f.open[c] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.open[c] {
			delete(f.open, c)
			c.Close()
		}
	}
}

// csvTable closes its file at the end.
type csvTable struct {
	*CSV
	done func()
}

func (c *csvTable) header() []string { return c.Header }

func (c *csvTable) Next() ([]string, int, error) {
	cells, line, err := c.CSV.Next()
	if err == io.EOF {
		c.done()
	}
	return cells, line, err
}

func (c *csvTable) Close() error { c.done(); return nil }
