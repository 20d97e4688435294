package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"induct/internal/scim"
)

// Source returns the records of the file. It fails with an *InputError if the mapping names a
// column that the file does not have.
func (m *Mapping) Source(c *CSV) (Source, error) {
	return m.source(&tableInput{table: c, names: c.Header, label: "line"})
}

func (m *Mapping) source(in input) (Source, error) {
	s := &mappedSource{m: m, in: in, columns: make([][]int, len(m.rules)+1)}
	for i := range m.rules {
		r := &m.rules[i]
		if err := s.bind(r); err != nil {
			return nil, err
		}
		if strings.EqualFold(r.path, "externalId") || strings.EqualFold(r.path, scim.UserURN+":externalId") {
			s.anchor = r
		}
	}
	if m.bulkID != nil {
		if err := s.bind(m.bulkID); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *mappedSource) bind(r *rule) error {
	for _, column := range r.columns {
		i, err := s.in.bind("mapping: "+r.path, column)
		if err != nil {
			return err
		}
		s.columns[r.number] = append(s.columns[r.number], i)
	}
	return nil
}

// input is what a mapping reads: people one after the other, their values found by column.
type input interface {
	// bind returns the number by which cell knows a column; where begins the error if there is none.
	bind(where, column string) (int, error)
	// next goes on to the next person and says where it stands; io.EOF ends them.
	next() (line int, err error)
	// cell returns a value of the person.
	cell(i int) (value, error)
	// unit is what lines count, as in "line" or "row".
	unit() string
}

// value is what a cell holds: text, and the JSON scalar if the file has types.
type value struct {
	text  string
	typed json.RawMessage // a number, true, false, or nil for text
}

// tableInput is a table as an input.
type tableInput struct {
	table table
	names []string
	label string
	cells []string
}

// table gives rows that have a cell for each column of its header.
type table interface {
	// Next returns the cells of the next row, valid until the next call, and where it stands; io.EOF ends them.
	Next() ([]string, int, error)
}

func (t *tableInput) bind(where, column string) (int, error) {
	return findColumn(t.names, where, column)
}

func (t *tableInput) next() (line int, err error) {
	t.cells, line, err = t.table.Next()
	return line, err
}

func (t *tableInput) cell(i int) (value, error) {
	if sheet, ok := t.table.(*sheetRows); ok { // its cells are more than text
		return sheet.cell(i)
	}
	return value{text: t.cells[i]}, nil
}

func (t *tableInput) unit() string { return t.label }

// jsonInput reads objects for a mapping: columns are paths. A path that an object does not have is an empty cell.
type jsonInput struct {
	elements *elements
	known    []string
	paths    map[string]int
	names    []string
	values   []json.RawMessage // of the present person, by number; nil if absent
	seen     []bool
}

func (j *jsonInput) bind(_, column string) (int, error) {
	if i, ok := j.paths[column]; ok {
		return i, nil
	}
	if j.paths == nil {
		j.paths = map[string]int{}
	}
	i := len(j.names)
	j.paths[column] = i
	j.names, j.values, j.seen = append(j.names, column), append(j.values, nil), append(j.seen, false)
	return i, nil
}

func (j *jsonInput) next() (int, error) {
	el, err := j.elements.next()
	if err != nil {
		return 0, err
	}
	clear(j.values)
	j.collect(el.data, make([]byte, 0, 64))
	return el.line, nil
}

// collect finds the values of the paths.
func (j *jsonInput) collect(data, path []byte) {
	if i, ok := j.paths[string(path)]; ok && j.values[i] == nil {
		j.values[i], j.seen[i] = data, true
	}
	if data[0] != '{' && data[0] != '[' {
		return
	}
	eachBelow(data, path, func(path, v []byte) { j.collect(v, path) })
}

func (j *jsonInput) cell(i int) (value, error) {
	if j.values[i] == nil {
		return value{}, nil
	}
	return typedText(j.values[i])
}

func (j *jsonInput) unit() string { return j.elements.shape.unit() }

// missing returns the mapped paths that no person had a value at.
func (j *jsonInput) missing() []string {
	var list []string
	for i, n := range j.names {
		if !j.seen[i] {
			list = append(list, n)
		}
	}
	return list
}

// typedText returns the text of a JSON scalar, and the scalar itself if it is none of text.
func typedText(raw json.RawMessage) (value, error) {
	switch raw[0] {
	case 'n':
		return value{}, nil
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return value{text: s}, err
	case '{':
		return value{}, errors.New("the value is an object; map one of its members, as in name.first")
	case '[':
		return value{}, errors.New("the value is a list; map one of its elements, as in emails[0].value")
	}
	return value{text: string(raw), typed: raw}, nil
}

func findColumn(header []string, where, column string) (int, error) {
	found := -1
	for i, h := range header {
		if h != column {
			continue
		}
		if found >= 0 {
			return 0, inputErrorf(0, "%s: the file has two columns %q; rename one", where, column)
		}
		found = i
	}
	if found >= 0 {
		return found, nil
	}
	return 0, unknown(where, "column", column, header)
}

// mappedSource makes a record of each person of its input.
type mappedSource struct {
	m       *Mapping
	in      input
	columns [][]int // of each rule, as the input numbers them
	anchor  *rule
	line    int
	size    int   // that a record needs, more or less
	err     error // the first of the present person
}

func (s *mappedSource) Next() (Record, error) {
	line, err := s.in.next()
	if err != nil {
		return Record{}, err
	}
	s.line, s.err = line, nil
	rec := Record{Line: line, Anchor: strings.Clone(s.cell(s.anchor).text)}
	if s.m.bulkID != nil {
		rec.BulkID = strings.Clone(s.cell(s.m.bulkID).text)
	}
	if rec.BulkID == "" {
		rec.BulkID = fmt.Sprintf("%s-%d", s.in.unit(), line)
	}
	data := append(make([]byte, 0, s.size), `{"schemas":`...)
	data = append(data, s.m.schemas...)
	for _, c := range s.m.root.children {
		data = s.appendMember(data, c)
	}
	rec.Data = append(data, '}')
	s.size = min(max(s.size, len(rec.Data)+64), 4<<10)
	if s.err != nil {
		return Record{}, s.err
	}
	return rec, nil
}

// cell returns the value of the rule's column, or its columns joined.
func (s *mappedSource) cell(r *rule) value {
	columns := s.columns[r.number]
	if len(columns) == 1 {
		return s.column(r, columns[0])
	}
	var parts []string
	for _, i := range columns {
		if text := strings.TrimSpace(s.column(r, i).text); text != "" {
			parts = append(parts, text)
		}
	}
	return value{text: strings.Join(parts, r.separator)}
}

func (s *mappedSource) column(r *rule, i int) value {
	v, err := s.in.cell(i)
	if err != nil {
		s.fail("%s: %v", r.path, err)
	}
	return v
}

func (s *mappedSource) fail(format string, args ...any) {
	if s.err == nil {
		s.err = counted(s.in.unit(), rowErrorf(s.line, format, args...))
	}
}

// appendMember appends `,"name":value`, or nothing if nothing is to be said.
func (s *mappedSource) appendMember(dst []byte, n *node) []byte {
	start := len(dst)
	if dst[start-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, n.key...)
	value := len(dst)
	if n.array {
		dst = append(dst, '[')
		for _, e := range n.children {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			comma := len(dst)
			dst = s.appendObject(dst, e)
			if len(dst) == comma && dst[comma-1] == ',' {
				dst = dst[:comma-1]
			}
		}
		if dst = append(dst, ']'); len(dst) == value+2 {
			return dst[:start]
		}
		return dst
	}
	if n.rule != nil {
		dst = s.appendValue(dst, n.rule)
	} else {
		dst = s.appendObject(dst, n)
	}
	if len(dst) == value {
		return dst[:start]
	}
	return dst
}

// appendObject appends an object with n's members, or nothing if there would be none.
func (s *mappedSource) appendObject(dst []byte, n *node) []byte {
	start := len(dst)
	dst = append(append(dst, '{'), n.selector...)
	bare := len(dst)
	for _, c := range n.children {
		dst = s.appendMember(dst, c)
	}
	if len(dst) == bare {
		return dst[:start]
	}
	return append(dst, '}')
}

// appendValue appends a leaf's value, or nothing if it is to be left out.
func (s *mappedSource) appendValue(dst []byte, r *rule) []byte {
	if len(r.columns) == 0 {
		return append(dst, r.constant...)
	}
	v := s.cell(r)
	text := strings.TrimSpace(v.text)
	switch {
	case text == "" && r.empty == "omit":
		return dst
	case text == "" && r.empty == "null":
		return append(dst, "null"...)
	case r.equals != nil:
		same := slices.ContainsFunc(r.equals, func(e string) bool { return strings.EqualFold(e, text) })
		return fmt.Append(dst, same)
	case text == "":
		return append(dst, `""`...)
	case r.kind == "boolean":
		truth, ok := parseBoolean(text)
		if !ok {
			s.fail("%s: %q is neither true nor false; use equals to name the values that mean true", r.path, clip(text))
		}
		return fmt.Append(dst, truth)
	case r.kind == "integer":
		if !isInteger(text) {
			s.fail("%s: %q is not an integer", r.path, clip(text))
		}
		return append(dst, text...)
	case v.typed != nil && r.kind == "":
		return append(dst, v.typed...)
	}
	return appendQuoted(dst, v.text)
}

// appendQuoted appends s as JSON. Most texts need no escape.
func appendQuoted(dst []byte, s string) []byte {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError }) {
		return append(dst, quote(s)...)
	}
	return append(append(append(dst, '"'), s...), '"')
}

func parseBoolean(s string) (truth, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "y", "1":
		return true, true
	case "false", "no", "n", "0":
		return false, true
	}
	return false, false
}

// isInteger reports whether s is an integer as JSON spells it, of at most 18 digits, which all readers can hold.
func isInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 18 || strings.Trim(digits, "0123456789") != "" {
		return false
	}
	return digits == "0" || digits[0] != '0'
}

// clip shortens what a message repeats of a file.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
