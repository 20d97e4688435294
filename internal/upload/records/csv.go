package records

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	utf "golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

const (
	sniffSize = 64 << 10 // how far ahead encoding and delimiter are guessed
	maxRow    = 1 << 20  // bytes of one row in UTF-8, embedded line breaks included
)

// InputError says what is wrong with the file or the mapping, and where.
type InputError struct {
	Line int    // line in the file or row of a workbook, from 1; 0 if the error belongs to none
	Msg  string // one sentence: what was found and what to do

	row  bool   // only this row is wrong: the next can be read
	unit string // what Line counts if that is no line, as in "row"
}

func (e *InputError) Error() string {
	msg := strings.Map(printable, e.Msg)
	if e.Line > 0 {
		return fmt.Sprintf("%s %d: %s", cmp.Or(e.unit, "line"), e.Line, msg)
	}
	return msg
}

// printable keeps what a file holds from steering a terminal: control characters become U+FFFD.
func printable(r rune) rune {
	if unicode.IsControl(r) && r != '\n' {
		return utf8.RuneError
	}
	return r
}

func inputErrorf(line int, format string, args ...any) error {
	return &InputError{Line: line, Msg: fmt.Sprintf(format, args...)}
}

// rowErrorf is for a mistake that leaves the rows after it readable.
func rowErrorf(line int, format string, args ...any) error {
	return &InputError{Line: line, Msg: fmt.Sprintf(format, args...), row: true}
}

// CSV reads a delimited text file with a header, row by row, in constant memory. UTF-8 (with or
// without byte order mark), UTF-16 and Windows-1252 are told apart by their bytes; the delimiter
// (comma, semicolon, tab or bar) by the header or by a leading "sep=" line, which may name any.
// Quoting is that of RFC 4180; lines may also all end with a carriage return alone.
type CSV struct {
	// Header holds the column names, without surrounding blanks.
	Header []string

	src     *rowLimit
	r       *csv.Reader
	named   string // the encoding, if it was not guessed
	skipped int    // lines before the header
	line    int    // of the last row
}

// NewCSV reads the header of r. Errors are *InputError or those of r.
func NewCSV(r io.Reader) (*CSV, error) { return newCSV(r, Options{}) }

func newCSV(r io.Reader, opt Options) (*CSV, error) {
	comma, err := parseDelimiter(opt.Delimiter)
	if err != nil {
		return nil, err
	}
	c := &CSV{named: opt.Encoding}
	text8, err := decodeAs(r, opt.Encoding)
	if err != nil {
		return nil, err
	}
	text := bufio.NewReaderSize(text8, sniffSize)
	head, err := text.Peek(sniffSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0 {
		text = bufio.NewReaderSize(&returns{r: text}, sniffSize)
		if head, err = text.Peek(sniffSize); err != nil && err != io.EOF {
			return nil, err
		}
	}
	first, _, _ := bytes.Cut(head, []byte("\n"))
	guess, declared := delimiter(first)
	if declared {
		n := min(len(first)+1, len(head))
		if _, err := text.Discard(n); err != nil {
			return nil, err
		}
		c.skipped = 1
	}
	if comma == 0 {
		comma = guess
	}
	c.src = &rowLimit{r: text}
	c.r = csv.NewReader(c.src)
	c.r.Comma = comma
	c.r.FieldsPerRecord = -1
	c.r.ReuseRecord = true
	header, line, err := c.next()
	if err == io.EOF {
		return nil, inputErrorf(0, "the file is empty; its first line must name the columns")
	}
	if err != nil {
		return nil, err
	}
	named := false
	for _, h := range header {
		h = strings.Clone(strings.TrimSpace(h))
		c.Header = append(c.Header, h)
		named = named || h != ""
	}
	if !named {
		return nil, inputErrorf(line, "the header names no column")
	}
	return c, nil
}

// Next returns the cells of the next row that is not blank, one per column of the header, and the line it begins on.
// The cells are valid until the next call. It returns io.EOF at the end.
func (c *CSV) Next() ([]string, int, error) {
	cells, line, err := c.next()
	for err == nil && blankRow(cells) {
		cells, line, err = c.next()
	}
	if err != nil {
		return nil, line, err
	}
	if len(cells) != len(c.Header) {
		return nil, line, rowErrorf(line, "the row has %d cells, the header has %d; is a quote or a delimiter missing?", len(cells), len(c.Header))
	}
	return cells, line, nil
}

// blankRow reports whether no cell of a row holds anything: spreadsheets write such rows as delimiters alone.
func blankRow(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return strings.TrimSpace(cell) != "" })
}

// returns makes line feeds of carriage returns, for a text whose lines end with these alone.
type returns struct{ r io.Reader }

func (t *returns) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	for i, b := range p[:n] {
		if b == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

func (c *CSV) next() ([]string, int, error) {
	c.src.left = maxRow
	cells, err := c.r.Read()
	var parse *csv.ParseError
	switch {
	case errors.Is(err, errRowTooLong):
		return nil, c.line + 1, inputErrorf(c.line+1, "the row is longer than 1 MiB; is a closing quote missing?")
	case errors.As(err, &parse):
		return nil, parse.StartLine + c.skipped, rowErrorf(parse.Line+c.skipped, "%s (column %d)", quoteAdvice(parse.Err), parse.Column)
	case err != nil:
		return nil, 0, err
	}
	line, _ := c.r.FieldPos(0)
	line += c.skipped
	c.line = line
	for i, cell := range cells {
		if !utf8.ValidString(cell) {
			return nil, line, rowErrorf(line, "cell %d is not valid UTF-8 although the text before it is; save the file in one encoding", i+1)
		}
		if c.named != "" && strings.ContainsRune(cell, utf8.RuneError) {
			return nil, line, rowErrorf(line, "cell %d is not valid %s; is the file in another encoding?", i+1, c.named)
		}
	}
	return cells, line, nil
}

// counted returns err with what its Line counts.
func counted(unit string, err error) error {
	var input *InputError
	if errors.As(err, &input) {
		input.unit = unit
	}
	return err
}

// isRowError reports whether err leaves the rows after it readable.
func isRowError(err error) bool {
	var input *InputError
	return errors.As(err, &input) && input.row
}

func quoteAdvice(err error) string {
	switch {
	case errors.Is(err, csv.ErrQuote):
		return `a quoted cell goes on after its closing quote or has none; write a quote inside a quoted cell twice`
	case errors.Is(err, csv.ErrBareQuote):
		return `a quote stands inside a cell that is not quoted; quote the cell and write the quote twice`
	}
	return err.Error()
}

// delimiter guesses the delimiter from the first line: the candidate that is most frequent
// outside quotes. declared means that the line was a spreadsheet's "sep=;" and is no header.
func delimiter(line []byte) (comma rune, declared bool) {
	const candidates = ",;\t|"
	line = bytes.TrimRight(line, "\r")
	if rest, ok := bytes.CutPrefix(line, []byte("sep=")); ok {
		if r, n := utf8.DecodeRune(rest); n == len(rest) && isDelimiter(r) {
			return r, true
		}
	}
	var count [len(candidates)]int
	quoted := false
	for _, b := range line {
		if b == '"' {
			quoted = !quoted
		} else if i := strings.IndexByte(candidates, b); i >= 0 && !quoted {
			count[i]++
		}
	}
	best := 0
	for i := range count {
		if count[i] > count[best] {
			best = i
		}
	}
	return rune(candidates[best]), false
}

var errRowTooLong = errors.New("row too long")

// rowLimit bounds what one row may take from r; left is set anew before each row.
type rowLimit struct {
	r    io.Reader
	left int
}

func (l *rowLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// parseDelimiter reads the option: one character, or "tab"; 0 stands for none given.
func parseDelimiter(s string) (rune, error) {
	switch r, n := utf8.DecodeRuneInString(s); {
	case s == "":
		return 0, nil
	case strings.EqualFold(s, "tab"), s == `\t`:
		return '\t', nil
	case n == len(s) && isDelimiter(r):
		return r, nil
	}
	return 0, inputErrorf(0, "the delimiter must be one character, and no quote or line break, or the word tab; found %q", s)
}

// isDelimiter reports whether csv.Reader takes r as its Comma.
func isDelimiter(r rune) bool {
	return r != 0 && r != '"' && r != '\r' && r != '\n' && r != utf8.RuneError && utf8.ValidRune(r)
}

// decodeAs returns r as UTF-8 without byte order mark, from the encoding with the given name, which a
// byte order mark overrules, or from the one that the bytes tell.
func decodeAs(r io.Reader, name string) (io.Reader, error) {
	in := bufio.NewReaderSize(r, sniffSize)
	head, _ := in.Peek(512) // an error comes again with the first Read
	if name == "" {
		return decode(in, head), nil
	}
	enc, err := htmlindex.Get(name)
	if err != nil {
		enc, err = ianaindex.IANA.Encoding(name)
	}
	if err != nil || enc == nil {
		return nil, inputErrorf(0, "the encoding %q is not known; write a name of the IANA list of character sets such as utf-8, windows-1252, iso-8859-15 or shift_jis", name)
	}
	return transform.NewReader(in, utf.BOMOverride(enc.NewDecoder())), nil
}

// decode returns in, whose first bytes are head, as UTF-8 without byte order mark.
func decode(in *bufio.Reader, head []byte) io.Reader {
	if wide := decodeUnicode(in, head); wide != nil {
		return wide
	}
	return &undecided{in: in}
}

// decodeUnicode is decode for what shows itself to be Unicode by its first bytes; otherwise it returns nil.
func decodeUnicode(in *bufio.Reader, head []byte) io.Reader {
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		in.Discard(3)
		return in
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return utf.UTF16(utf.LittleEndian, utf.ExpectBOM).NewDecoder().Reader(in)
	}
	if enc := bareUTF16(head); enc != nil {
		return enc.NewDecoder().Reader(in)
	}
	return nil
}

// bareUTF16 recognises UTF-16 without byte order mark by the zero bytes of its ASCII characters:
// a header of column names is full of them.
func bareUTF16(head []byte) encoding.Encoding {
	var zero [2]int
	for i, b := range head {
		if b == 0 {
			zero[i%2]++
		}
	}
	switch many := len(head) / 4; {
	case len(head) < 4:
		return nil
	case zero[1] > many && zero[0] == 0:
		return utf.UTF16(utf.LittleEndian, utf.IgnoreBOM)
	case zero[0] > many && zero[1] == 0:
		return utf.UTF16(utf.BigEndian, utf.IgnoreBOM)
	}
	return nil
}

// undecided passes ASCII through until the first other byte, and there decides between UTF-8 and
// Windows-1252 by what follows, however late in the file that is.
type undecided struct {
	in  *bufio.Reader
	out io.Reader // set when decided
}

func (u *undecided) Read(p []byte) (int, error) {
	if u.out != nil {
		return u.out.Read(p)
	}
	if _, err := u.in.Peek(1); err != nil {
		return 0, err
	}
	ahead, _ := u.in.Peek(min(u.in.Buffered(), len(p)))
	n := 0
	for n < len(ahead) && ahead[n] < utf8.RuneSelf {
		n++
	}
	if n > 0 || len(p) == 0 {
		return u.in.Read(p[:n])
	}
	ahead, _ = u.in.Peek(sniffSize)
	u.out = u.in
	if cut := len(ahead) == sniffSize; !utf8.Valid(ahead) && !(cut && validPrefix(ahead)) {
		u.out = charmap.Windows1252.NewDecoder().Reader(u.in)
	}
	return u.out.Read(p)
}

// validPrefix reports whether b is UTF-8, a character cut off at its end aside.
func validPrefix(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return !utf8.FullRune(b)
		}
		b = b[n:]
	}
	return true
}
