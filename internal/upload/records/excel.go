package records

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	slash "path"
	"strconv"
	"strings"
)

// What a workbook may hold. Excel itself has no more rows and columns.
const (
	maxRows    = 1 << 20
	maxColumns = 1 << 14
	maxPart    = 2 << 30   // bytes of the sheet, unpacked
	maxStrings = 512 << 20 // bytes of the shared strings, unpacked
	maxSmall   = 16 << 20  // bytes of the other parts, unpacked
	maxRowXML  = 8 << 20   // bytes of one row, or of what stands before the rows, as XML
	maxNesting = 64        // elements in each other
)

// workbook reads one sheet of an Office Open XML workbook (ECMA-376 part 1, SpreadsheetML).
//
// Rows are streamed out of the archive; only the shared strings, each different text of all sheets, are kept in memory,
// four bytes each beside the text. Measured with 201,200 rows of 24 cells (21 MB, 406,722 shared strings): 34 MB at
// the most for the whole process, 20,000 rows a second on one core.
//
// It does not read through excelize, which writes the workbooks of the tests: its row reader took 232 MB for that file,
// gives a number and a text that looks like one alike, and ends without an error, short of people, at a character that
// XML does not allow and some exports have.
type workbook struct {
	zip     *zip.Reader
	sheet   *zip.File
	name    string
	texts   texts
	formats []numberFormat // by cell style
	epoch   int            // 1900 or 1904
}

// openWorkbook finds the sheet, the first if it has no name, and reads what its cells refer to.
func openWorkbook(r io.ReaderAt, size int64, sheet string) (*workbook, error) {
	z, err := zip.NewReader(r, size)
	if errors.Is(err, errChanged) {
		return nil, err
	}
	if err != nil {
		return nil, inputErrorf(0, "the workbook is damaged or cut off (%v); save it again", err)
	}
	b := &workbook{zip: z, epoch: 1900}
	if err := b.read(sheet); err != nil {
		var input *InputError
		if errors.As(err, &input) || errors.Is(err, errChanged) {
			return nil, err
		}
		return nil, inputErrorf(0, "the workbook is damaged: %v; save it again", err)
	}
	return b, nil
}

// part returns the part with the name, without regard to case, or nil.
func (b *workbook) part(name string) *zip.File {
	for _, f := range b.zip.File {
		if strings.EqualFold(strings.TrimPrefix(strings.ReplaceAll(f.Name, `\`, "/"), "/"), name) {
			return f
		}
	}
	return nil
}

// relations are the files that a part refers to, by id.
type relations struct {
	List []struct {
		ID     string `xml:"Id,attr"`
		Type   string `xml:"Type,attr"`
		Target string `xml:"Target,attr"`
	} `xml:"Relationship"`
}

func (b *workbook) read(sheet string) error {
	main := b.part("xl/workbook.xml")
	switch {
	case main != nil:
	case b.part("xl/workbook.bin") != nil:
		return inputErrorf(0, "the file is a binary Excel workbook (.xlsb); save it as an Excel workbook (.xlsx)")
	case b.part("content.xml") != nil:
		return inputErrorf(0, "the file is an OpenDocument spreadsheet; save it as an Excel workbook (.xlsx) or as CSV")
	default:
		return inputErrorf(0, "the file is a zip archive and no Excel workbook; unpack it and name the file inside")
	}
	var book struct {
		Props struct {
			Date1904 string `xml:"date1904,attr"`
		} `xml:"workbookPr"`
		Sheets []struct {
			Name string `xml:"name,attr"`
			ID   string `xml:"http://schemas.openxmlformats.org/officeDocument/2006/relationships id,attr"`
			IDs  string `xml:"http://purl.oclc.org/ooxml/officeDocument/relationships id,attr"` // of the strict variant
		} `xml:"sheets>sheet"`
	}
	var rels relations
	if err := b.decode(main, &book); err != nil {
		return err
	}
	if err := b.decode(b.part("xl/_rels/workbook.xml.rels"), &rels); err != nil {
		return err
	}
	if d := book.Props.Date1904; d == "1" || d == "true" {
		b.epoch = 1904
	}
	var names []string
	id := ""
	for _, s := range book.Sheets {
		names = append(names, s.Name)
		if id == "" && (sheet == "" || strings.EqualFold(s.Name, sheet)) {
			b.name, id = s.Name, s.ID+s.IDs
		}
	}
	if id == "" && sheet != "" {
		return unknown("the workbook", "sheet", sheet, names)
	}
	for _, r := range rels.List {
		target := slash.Join("xl", r.Target)
		if strings.HasPrefix(r.Target, "/") {
			target = r.Target[1:]
		}
		var err error
		switch kind := slash.Base(r.Type); {
		case r.ID == id && id != "":
			if kind != "worksheet" {
				return inputErrorf(0, "the sheet %q holds no cells; name another sheet", b.name)
			}
			b.sheet = b.part(target)
		case kind == "sharedStrings":
			b.texts, err = b.readTexts(b.part(target))
		case kind == "styles":
			err = b.readStyles(b.part(target))
		}
		if err != nil {
			return err
		}
	}
	if b.sheet == nil {
		return errors.New("its sheet is missing")
	}
	if b.sheet.UncompressedSize64 > maxPart {
		return inputErrorf(0, "the sheet %q is larger than 2 GiB; save it as CSV", b.name)
	}
	return nil
}

// decode reads a small part.
func (b *workbook) decode(f *zip.File, into any) error {
	if f == nil {
		return errors.New("a part is missing")
	}
	if f.UncompressedSize64 > maxSmall {
		return inputErrorf(0, "the workbook's part %s is larger than 16 MiB; copy the people into a new workbook", clip(f.Name))
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := xml.NewDecoder(r).Decode(into); err != nil {
		return unexpected(err)
	}
	_, err = io.Copy(io.Discard, r) // the end of the part is where its checksum is compared
	return err
}

// texts are the shared strings, one behind the other.
type texts struct {
	all  []byte
	ends []uint32
}

func (t texts) at(i int) (string, bool) {
	if i < 0 || i >= len(t.ends) {
		return "", false
	}
	start := uint32(0)
	if i > 0 {
		start = t.ends[i-1]
	}
	return string(t.all[start:t.ends[i]]), true
}

func (b *workbook) readTexts(f *zip.File) (t texts, err error) {
	if f == nil {
		return t, errors.New("its shared strings are missing")
	}
	if f.UncompressedSize64 > maxStrings {
		return t, inputErrorf(0, "the texts of the workbook take more than 512 MiB; save it as CSV")
	}
	r, err := f.Open()
	if err != nil {
		return t, err
	}
	defer r.Close()
	d := newXMLReader(io.LimitReader(r, maxStrings))
	for {
		d.limit.left = 4 * maxRow
		token, err := d.Token()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return t, err
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "si" {
			text, err := readText(d)
			if err != nil {
				return t, err
			}
			t.all = append(t.all, text...)
			t.ends = append(t.ends, uint32(len(t.all)))
		}
	}
}

// readText returns the text of the element that d has entered, up to its end: what stands in elements t, but
// not in rPh, which tells how it is pronounced.
func readText(d *xmlReader) ([]byte, error) {
	var text []byte
	depth, silent, in := 1, 0, false
	for depth > 0 {
		token, err := d.Token()
		if err != nil {
			return nil, unexpected(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			if token.Name.Local == "rPh" && silent == 0 {
				silent = depth
			}
			in = token.Name.Local == "t" && silent == 0
		case xml.EndElement:
			if depth == silent {
				silent = 0
			}
			depth--
			in = false
		case xml.CharData:
			if in {
				text = append(text, token...)
			}
		}
	}
	return text, nil
}

// xmlReader is an XML decoder that bounds how much is read between two settings of limit.left, and how deep elements nest.
type xmlReader struct {
	*xml.Decoder
	limit *rowLimit
	depth int
}

func newXMLReader(r io.Reader) *xmlReader {
	limit := &rowLimit{r: r}
	return &xmlReader{Decoder: xml.NewDecoder(limit), limit: limit}
}

// Token returns the next token; xml.Decoder keeps all elements that are open.
func (x *xmlReader) Token() (xml.Token, error) {
	t, err := x.Decoder.Token()
	switch t.(type) {
	case xml.StartElement:
		if x.depth++; x.depth > maxNesting {
			return nil, errors.New("its elements nest too deep")
		}
	case xml.EndElement:
		x.depth--
	}
	return t, err
}

// skip passes the element that was entered.
func (x *xmlReader) skip() error {
	for outside := x.depth - 1; x.depth > outside; {
		if _, err := x.Token(); err != nil {
			return unexpected(err)
		}
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// sheetRows reads the rows of a sheet. The first row that is not blank is the header.
type sheetRows struct {
	book   *workbook
	part   io.ReadCloser
	d      *xmlReader
	done   func()
	names  []string
	cells  []string
	kinds  []cellKind
	row    int
	width  int // cells of the present row, those after the last one with text left out
	failed error
}

// cellKind tells what a cell's text does not.
type cellKind uint8

const (
	plainCell cellKind = iota
	booleanCell
	errorCell
	pendingCell // a formula without its result
)

func (b *workbook) rows() (*sheetRows, error) {
	part, err := b.sheet.Open()
	if errors.Is(err, errChanged) {
		return nil, err
	}
	if err != nil {
		return nil, inputErrorf(0, "the workbook is damaged: %v; save it again", err)
	}
	s := &sheetRows{book: b, part: part, d: newXMLReader(part), done: func() {}}
	switch err := s.read(); {
	case err == io.EOF:
		err = inputErrorf(0, "the sheet %q is empty; its first row must name the columns", b.name)
		fallthrough
	case err != nil:
		part.Close()
		return nil, counted("row", err)
	}
	for _, c := range s.cells[:s.width] {
		s.names = append(s.names, strings.TrimSpace(c))
	}
	return s, nil
}

func (s *sheetRows) header() []string { return s.names }

func (s *sheetRows) Close() error { s.done(); return nil }

// Next returns the cells of the next row that is not blank, one per column of the header, and its number.
func (s *sheetRows) Next() ([]string, int, error) {
	if s.failed == nil {
		s.failed = s.read()
	}
	if s.failed != nil {
		s.done()
		return nil, s.row, counted("row", s.failed)
	}
	if s.width > len(s.names) {
		return nil, s.row, counted("row", rowErrorf(s.row, "the row has %d cells, the header has %d; name the column or empty the cell %s%d",
			s.width, len(s.names), columnName(s.width-1), s.row))
	}
	for len(s.cells) < len(s.names) {
		s.cells, s.kinds = append(s.cells, ""), append(s.kinds, plainCell)
	}
	return s.cells[:len(s.names)], s.row, nil
}

// cell returns a value of the row.
func (s *sheetRows) cell(i int) (value, error) {
	text := s.cells[i]
	switch s.kinds[i] {
	case booleanCell:
		return value{text: text, typed: json.RawMessage(strings.ToLower(text))}, nil
	case errorCell:
		return value{}, fmt.Errorf("the cell %s%d holds the error %s; correct its formula", columnName(i), s.row, clip(text))
	case pendingCell:
		return value{}, fmt.Errorf("the cell %s%d holds a formula without its result; open the workbook in Excel and save it", columnName(i), s.row)
	}
	return value{text: text}, nil
}

// read reads the next row that is not blank; io.EOF ends them.
func (s *sheetRows) read() error {
	for s.d.limit.left = maxRowXML; ; {
		token, err := s.token()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.EndElement:
			if token.Name.Local == "sheetData" {
				return s.finish()
			}
		case xml.StartElement:
			if token.Name.Local != "row" {
				continue
			}
			if err := s.readRow(token); err != nil {
				return err
			}
			if s.width > 0 {
				return nil
			}
			s.d.limit.left = maxRowXML
		}
	}
}

// finish reads what follows the rows, so that a damaged file is noticed.
func (s *sheetRows) finish() error {
	s.d.limit.left = maxPart
	if _, err := io.Copy(io.Discard, s.d.limit); err != nil {
		return s.damaged(err)
	}
	return io.EOF
}

func (s *sheetRows) token() (xml.Token, error) {
	t, err := s.d.Token()
	if err != nil {
		return nil, s.damaged(err)
	}
	return t, nil
}

func (s *sheetRows) damaged(err error) error {
	if errors.Is(err, errRowTooLong) {
		return inputErrorf(s.row, "the row after it is longer than 8 MiB")
	}
	if errors.Is(err, errChanged) {
		return err
	}
	return inputErrorf(s.row, "the sheet %q is damaged after this row: %v; save the workbook again", s.book.name, unexpected(err))
}

func (s *sheetRows) readRow(start xml.StartElement) error {
	row := s.row + 1
	if r := attr(start, "r"); r != "" {
		n, err := strconv.Atoi(r)
		if err != nil || n < row {
			return inputErrorf(s.row, "the sheet %q is damaged: after this row comes one with the number %q", s.book.name, clip(r))
		}
		row = n
	}
	if row > maxRows {
		return inputErrorf(s.row, "the sheet has more rows than Excel allows")
	}
	s.row, s.width = row, 0
	s.cells, s.kinds = s.cells[:0], s.kinds[:0]
	size := 0
	for {
		token, err := s.token()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			if token.Name.Local != "c" {
				if err := s.d.skip(); err != nil {
					return s.damaged(err)
				}
				continue
			}
			text, kind, err := s.readCell(token)
			if err != nil {
				return err
			}
			if size += len(text); size > maxRow {
				return inputErrorf(s.row, "the row is longer than 1 MiB")
			}
			column := len(s.cells)
			if r := attr(token, "r"); r != "" {
				if column = columnOf(r); column < len(s.cells) || column >= maxColumns {
					return inputErrorf(s.row, "the sheet %q is damaged: there is a cell %q", s.book.name, clip(r))
				}
			}
			for len(s.cells) < column {
				s.cells, s.kinds = append(s.cells, ""), append(s.kinds, plainCell)
			}
			s.cells, s.kinds = append(s.cells, text), append(s.kinds, kind)
			if strings.TrimSpace(text) != "" || kind == pendingCell {
				s.width = len(s.cells)
			}
		}
	}
}

// readCell returns a cell as the person who looks at it sees it.
func (s *sheetRows) readCell(start xml.StartElement) (string, cellKind, error) {
	var v, inline []byte
	formula, hasValue := false, false
	for {
		token, err := s.token()
		if err != nil {
			return "", 0, err
		}
		switch token := token.(type) {
		case xml.EndElement:
			kind := attr(start, "t")
			if formula && len(v) == 0 && (!hasValue || kind != "str") {
				return "", pendingCell, nil
			}
			return s.show(kind, string(bytes.TrimSpace(v)), string(v)+string(inline), attr(start, "s"))
		case xml.StartElement:
			switch token.Name.Local {
			case "v":
				hasValue = true
				v, err = readChars(s.d)
			case "is":
				inline, err = readText(s.d)
			default:
				formula = formula || token.Name.Local == "f"
				err = s.d.skip()
			}
			if err != nil {
				return "", 0, s.damaged(err)
			}
		}
	}
}

// readChars returns the character data of the element that d has entered.
func readChars(d *xmlReader) ([]byte, error) {
	var text []byte
	for {
		token, err := d.Token()
		if err != nil {
			return nil, unexpected(err)
		}
		switch token := token.(type) {
		case xml.CharData:
			text = append(text, token...)
		case xml.StartElement:
			if err := d.skip(); err != nil {
				return nil, err
			}
		case xml.EndElement:
			return text, nil
		}
	}
}

// show makes text of a cell: v is its value, whole the same with its blanks or the text that stands in the cell itself.
func (s *sheetRows) show(kind, v, whole, style string) (string, cellKind, error) {
	switch kind {
	case "s":
		i, err := strconv.Atoi(v)
		if v == "" {
			return "", plainCell, nil
		}
		text, ok := s.book.texts.at(i)
		if err != nil || !ok {
			return "", 0, inputErrorf(s.row, "the sheet %q is damaged: a cell refers to the text %s, which the workbook does not have", s.book.name, clip(v))
		}
		return unescapeText(text), plainCell, nil
	case "str", "inlineStr":
		return unescapeText(whole), plainCell, nil
	case "b":
		if v == "1" || v == "true" {
			return "TRUE", booleanCell, nil
		}
		return "FALSE", booleanCell, nil
	case "e":
		return v, errorCell, nil
	case "d":
		return v, plainCell, nil
	}
	var f numberFormat
	if i, err := strconv.Atoi(style); err == nil && i >= 0 && i < len(s.book.formats) {
		f = s.book.formats[i]
	}
	return f.show(v, s.book.epoch), plainCell, nil
}

// unescapeText reads the _xHHHH_ by which a workbook writes what XML cannot (ECMA-376 part 1, 22.9.2.19).
func unescapeText(s string) string {
	if !strings.Contains(s, "_x") {
		return s
	}
	var b strings.Builder
	for {
		i := strings.Index(s, "_x")
		if i < 0 || len(s) < i+7 {
			return b.String() + s
		}
		n, err := strconv.ParseUint(s[i+2:i+6], 16, 16)
		if err != nil || s[i+6] != '_' || n >= 0xd800 && n < 0xe000 {
			b.WriteString(s[:i+2])
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		b.WriteRune(rune(n))
		s = s[i+7:]
	}
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// columnOf returns the column of a cell reference such as AB12, from 0, or -1.
func columnOf(ref string) int {
	n, i := 0, 0
	for ; i < len(ref) && i < 4 && ref[i]|0x20 >= 'a' && ref[i]|0x20 <= 'z'; i++ {
		n = 26*n + int(ref[i]|0x20-'a') + 1
	}
	if i == 0 || i == len(ref) {
		return -1
	}
	return n - 1
}

// columnName is the letters of a column, from 0.
func columnName(i int) string {
	name := ""
	for i++; i > 0; i = (i - 1) / 26 {
		name = string(rune('A'+(i-1)%26)) + name
	}
	return name
}
