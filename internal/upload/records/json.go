package records

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"induct/internal/scim"
)

const (
	maxElement = 1 << 20 // bytes of one object in UTF-8
	maxDepth   = 24      // levels of one object; a service that allows 32 in a request leaves it these
	maxPaths   = 2000    // paths that Columns collects
)

// shape says where the objects stand in a JSON text.
type shape struct {
	lines bool // one top-level value after the other is a person each, not one holds them all
	bulk  bool // the objects are operations
	scim  bool // the objects are SCIM users, or operations
	array bool // the top-level value is an array
}

func (s shape) unit() string {
	if s.lines {
		return "line"
	}
	return "record"
}

// examineJSON finds the shape and the paths of the file.
func (f *File) examineJSON() error {
	var err error
	if f.shape, err = findShape(f.reader(), f.opt.Format); err != nil {
		return err
	}
	switch {
	case f.shape.bulk:
		f.opt.Format = FormatSCIM
	case f.shape.lines:
		f.opt.Format = FormatJSONLines
	}
	e, err := f.elements()
	if err != nil {
		return err
	}
	defer e.done()
	seen := map[string]bool{}
	for n := 0; n < sampled; n++ {
		el, err := e.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			// What is wrong later in the file is told when it is read; a file that cannot even begin is refused here.
			if n == 0 {
				return err
			}
			break
		}
		data := el.data
		if n == 0 {
			f.shape.scim = el.operation || isUser(data)
		}
		if el.operation {
			data = memberOf(data, "data")
		}
		eachPath(data, nil, func(path, _ []byte) {
			if len(seen) < maxPaths && !seen[string(path)] {
				seen[string(path)] = true
				f.columns = append(f.columns, string(path))
			}
		})
	}
	if f.opt.Format == FormatSCIM {
		f.shape.scim = true
	}
	return nil
}

// findShape reads the beginning of a JSON text.
//
// An array is a list of people. An object that has `Operations`, in any case, is a bulk request. Another
// that is followed by something is the first of many. One that stands alone, or is too large for one
// person, holds them in its only array of objects, unless it is a SCIM user or has no such array.
func findShape(r io.Reader, format Format) (shape, error) {
	text, err := unicodeText(r)
	if err != nil {
		return shape{}, err
	}
	in := bufio.NewReaderSize(text, maxElement)
	for {
		c, err := in.ReadByte()
		if err == io.EOF {
			return shape{}, inputErrorf(0, "the file is empty")
		}
		if err != nil {
			return shape{}, err
		}
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			continue
		}
		in.UnreadByte()
		if c == '[' {
			return shape{array: true}, nil
		}
		if c != '{' {
			return shape{}, inputErrorf(0, "the file is not JSON: it must begin with { or [")
		}
		break
	}
	head, err := in.Peek(maxElement)
	if err != nil && err != io.EOF {
		return shape{}, err
	}
	names, end := topMembers(head)
	failed := slices.Contains(names, "induct")
	for _, name := range names {
		if strings.EqualFold(name, "Operations") {
			return shape{bulk: true, scim: true}, nil
		}
	}
	switch {
	case format == FormatSCIM && end > 0 && !failed && !isUser(head[:end]):
		return shape{}, inputErrorf(0, "the file holds no bulk request and no SCIM user: there is no member Operations and none named schemas that lists %q", scim.UserURN)
	case format == FormatJSONLines, end > 0 && len(bytes.TrimLeft(head[end:], " \t\r\n")) > 0:
		return shape{lines: true}, nil
	case end > 0 && (failed || isUser(head[:end]) || !hasList(head[:end])):
		return shape{lines: true}, nil
	}
	return shape{}, nil
}

// topMembers returns the names of the object that head begins with, and where it ends: 0 if that is beyond head or
// the object is malformed.
func topMembers(head []byte) (names []string, end int) {
	d := json.NewDecoder(bytes.NewReader(head))
	depth, name := 0, false
	for {
		t, err := d.Token()
		if err != nil {
			return names, 0
		}
		switch t := t.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				depth++
			} else {
				depth--
			}
			if depth == 0 {
				return names, int(d.InputOffset())
			}
			name = depth == 1
			continue
		case string:
			if depth == 1 && name {
				names, name = append(names, t), false
				continue
			}
		}
		name = depth == 1
	}
}

// hasList reports whether a member of the object is an array whose first element is an object, or an empty array.
func hasList(object []byte) bool {
	found := false
	each(object, func(_, v []byte) bool {
		if v[0] == '[' {
			rest := bytes.TrimLeft(v[1:], " \t\r\n")
			found = found || rest[0] == '{' || rest[0] == ']'
		}
		return !found
	})
	return found
}

// isUser reports whether the object lists a schema of SCIM users.
func isUser(object []byte) bool {
	var schemas []string
	if json.Unmarshal(memberOf(object, "schemas"), &schemas) != nil {
		return false
	}
	for _, s := range schemas {
		if strings.EqualFold(s, scim.UserURN) || strings.EqualFold(s, scim.EnterpriseURN) {
			return true
		}
	}
	return false
}

// unicodeText returns r as UTF-8: JSON is Unicode (RFC 8259 section 8.1).
func unicodeText(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, sniffSize)
	head, err := in.Peek(512)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if wide := decodeUnicode(in, head); wide != nil {
		return wide, nil
	}
	return in, nil
}

// element is an object of a JSON text.
type element struct {
	line      int // see Record.Line
	data      json.RawMessage
	operation bool // it is an operation of a bulk request
}

// elements reads the objects of a JSON text one by one, none larger than maxElement. Its first error ends it.
type elements struct {
	shape shape
	file  io.Closer
	src   *lineReader
	dec   *json.Decoder
	done  func() // has the File close it

	n    int // objects so far
	last int // where the last one began
	pull func() (element, error, bool)
	stop func()
}

func newElements(r io.ReadCloser, s shape) (*elements, error) {
	text, err := unicodeText(r)
	if err != nil {
		return nil, err
	}
	src := &lineReader{r: text}
	e := &elements{shape: s, file: r, src: src, dec: json.NewDecoder(src)}
	e.pull, e.stop = iter.Pull2(func(yield func(element, error) bool) {
		err := e.scan(func(el element) error {
			if !yield(el, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && err != errStopped {
			yield(element{}, e.wrong(err))
		}
	})
	return e, nil
}

var errStopped = errors.New("stopped")

// next returns the next object; io.EOF ends them.
func (e *elements) next() (element, error) {
	el, err, ok := e.pull()
	if !ok {
		err = io.EOF
	}
	if err != nil {
		e.done()
	}
	return el, err
}

// Close ends the reading.
func (e *elements) Close() error {
	e.stop()
	return e.file.Close()
}

// scan gives every object to yield.
func (e *elements) scan(yield func(element) error) error {
	if e.shape.lines {
		for {
			if err := e.object(yield); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	for first := true; ; first = false {
		t, err := e.token()
		switch {
		case err == io.EOF && !first:
			return nil
		case err != nil:
			return err
		case !first && !e.shape.bulk:
			return errors.New("something follows the end of the list")
		case t == json.Delim('[') && e.shape.array:
			_, err = e.array(yield)
		case t == json.Delim('{') && !e.shape.array:
			err = e.envelope(yield)
		default:
			err = fmt.Errorf("expected an object, found %v", t)
		}
		if err != nil {
			return err
		}
	}
}

// envelope reads the object around a list, after its brace.
func (e *elements) envelope(yield func(element) error) error {
	list, lists := "", 0
	for e.more() {
		t, err := e.token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if t, err = e.token(); err != nil {
			return err
		}
		wanted := !e.shape.bulk || strings.EqualFold(name, "Operations")
		if t != json.Delim('[') || !wanted {
			if err := e.skip(t); err != nil {
				return err
			}
			continue
		}
		is, err := e.array(func(el element) error {
			if list != "" && list != name {
				return fmt.Errorf("the object has two lists of objects, %q and %q; leave one of them", clip(list), clip(name))
			}
			list = name
			return yield(el)
		})
		if err != nil {
			return err
		}
		if is {
			lists++
		}
	}
	if err := e.end('}'); err != nil {
		return err
	}
	switch {
	case lists > 0:
		return nil
	case e.shape.bulk:
		return errors.New("the bulk request has no Operations")
	}
	return errors.New("the object has no member that is a list of objects")
}

// array reads the elements of an array, after its bracket, and reports whether it can be a list of objects. One that
// begins with something else is passed over, unless it must be one.
func (e *elements) array(yield func(element) error) (bool, error) {
	for first := true; e.more(); first = false {
		raw, err := e.value()
		if err != nil {
			return false, err
		}
		if raw[0] != '{' {
			if first && !e.shape.array && !e.shape.bulk {
				return false, e.skip(json.Delim('['))
			}
			return false, fmt.Errorf("expected an object, found %s", clip(string(raw)))
		}
		if err := e.give(raw, yield); err != nil {
			return false, err
		}
	}
	return true, e.end(']')
}

// more reports whether the list or object goes on. It says no also after a mistake, which end tells.
func (e *elements) more() bool {
	e.src.left = maxElement
	return e.dec.More()
}

// end passes the delimiter at which more has said no.
func (e *elements) end(want json.Delim) error {
	t, err := e.token()
	if err == nil && t != want {
		err = fmt.Errorf("expected %v, found %v", want, t)
	}
	return err
}

// object reads one top-level object.
func (e *elements) object(yield func(element) error) error {
	raw, err := e.value()
	if err != nil {
		return err
	}
	if raw[0] != '{' {
		return fmt.Errorf("expected an object, found %s", clip(string(raw)))
	}
	return e.give(raw, yield)
}

// give hands out an object after checking it.
func (e *elements) give(raw json.RawMessage, yield func(element) error) error {
	if err := checkObject(raw); err != nil {
		return err
	}
	line := e.src.lineAt(e.dec.InputOffset() - int64(len(raw)))
	el := element{line: e.n + 1, data: raw, operation: e.shape.bulk}
	if e.shape.lines {
		if line == e.last {
			return errors.New("two objects begin on this line; write each on a line of its own")
		}
		el.line, e.last = line, line
	}
	// A file of failed records has the reason beside the record.
	if memberOf(raw, "induct") != nil {
		if memberOf(raw, "method") != nil {
			el.operation = true
		} else if data := memberOf(raw, "data"); data != nil && data[0] == '{' {
			el.data = data
		}
	}
	e.n++
	return yield(el)
}

// value reads a value of bounded size.
func (e *elements) value() (json.RawMessage, error) {
	e.src.left = maxElement
	var raw json.RawMessage
	if err := e.dec.Decode(&raw); err != nil {
		return nil, err
	}
	if len(raw) > maxElement {
		return nil, errRowTooLong
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("the text is not valid UTF-8")
	}
	return raw, nil
}

func (e *elements) token() (json.Token, error) {
	e.src.left = maxElement
	e.src.lineAt(e.dec.InputOffset()) // lets go of the lines that were passed
	return e.dec.Token()
}

// skip passes the rest of a value that begins with the token t.
func (e *elements) skip(t json.Token) (err error) {
	depth := 0
	for {
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return errTooDeep
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		if t, err = e.token(); err != nil {
			return err
		}
	}
}

var errTooDeep = fmt.Errorf("the object has more than %d levels", maxDepth)

// wrong says where in the file err happened.
func (e *elements) wrong(err error) error {
	var syntax *json.SyntaxError
	var msg string
	switch {
	case errors.Is(err, errChanged):
		return err
	case errors.Is(err, errRowTooLong):
		msg = "it is longer than 1 MiB; is a closing brace or quote missing?"
	case errors.As(err, &syntax):
		msg = "not valid JSON: " + err.Error()
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		msg = "the file ends in the middle of a value; is it complete?"
	default:
		msg = err.Error()
	}
	return inputErrorf(e.src.lineAt(e.dec.InputOffset()), "%s %d: %s", "element", e.n+1, msg)
}

// lineReader bounds what one value takes from r, as rowLimit does, and knows on which line an offset is.
type lineReader struct {
	r        io.Reader
	left     int
	read     int64
	newlines []int64 // offsets of those that lineAt has not passed
	line     int     // how many it has
}

func (l *lineReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	for i, c := range p[:n] {
		if c == '\n' {
			l.newlines = append(l.newlines, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

// lineAt returns the line of an offset, which must not be before that of the last call.
func (l *lineReader) lineAt(offset int64) int {
	i := 0
	for i < len(l.newlines) && l.newlines[i] < offset {
		i++
	}
	l.line += i
	l.newlines = l.newlines[i:]
	return 1 + l.line
}

// ---- objects

// each calls f with every member of an object or every element of an array, which must be valid JSON, until f
// returns false. Names and values alias data; the name of an element is nil. Names are decoded.
func each(data []byte, f func(name, value []byte) bool) {
	object := data[0] == '{'
	i := blanks(data, 1)
	for data[i] != '}' && data[i] != ']' {
		var name []byte
		if object {
			end := valueEnd(data, i)
			name = decodeName(data[i:end])
			i = blanks(data, blanks(data, end)+1)
		}
		end := valueEnd(data, i)
		if !f(name, data[i:end:end]) {
			return
		}
		if i = blanks(data, end); data[i] == ',' {
			i = blanks(data, i+1)
		}
	}
}

func decodeName(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	json.Unmarshal(quoted, &s) // cannot fail: the JSON is valid
	return []byte(s)
}

func blanks(data []byte, i int) int {
	for data[i] == ' ' || data[i] == '\t' || data[i] == '\r' || data[i] == '\n' {
		i++
	}
	return i
}

// valueEnd returns the end of the value at i.
func valueEnd(data []byte, i int) int {
	depth := 0
	for ; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ' ', '\t', '\r', '\n', ',', ':':
			continue
		default:
			for i+1 < len(data) && !bytes.ContainsRune([]byte(" \t\r\n,}]"), rune(data[i+1])) {
				i++
			}
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(data)
}

// memberOf returns the first member of the object with the name, in any case, or nil.
func memberOf(object []byte, name string) (value json.RawMessage) {
	each(object, func(n, v []byte) bool {
		if strings.EqualFold(string(n), name) {
			value = v
		}
		return value == nil
	})
	return value
}

// checkObject bounds the depth and refuses a name that stands twice in an object, because readers disagree on
// which one counts.
func checkObject(data []byte) error { return checkLevel(data, 1) }

func checkLevel(data []byte, level int) (err error) {
	if level > maxDepth {
		return errTooDeep
	}
	var names [][]byte
	var many map[string]bool
	each(data, func(name, v []byte) bool {
		if name != nil {
			if len(names) == 32 && many == nil {
				many = map[string]bool{}
				for _, n := range names {
					many[string(n)] = true
				}
			}
			if many[string(name)] || many == nil && slices.ContainsFunc(names, func(n []byte) bool { return bytes.Equal(n, name) }) {
				err = fmt.Errorf("the name %q stands twice in one object", clip(string(name)))
				return false
			}
			if many != nil {
				many[string(name)] = true
			} else {
				names = append(names, name)
			}
		}
		if v[0] == '{' || v[0] == '[' {
			err = checkLevel(v, level+1)
		}
		return err == nil
	})
	return err
}

// eachPath calls f with every scalar in the value and its path, as in emails[0].value; data may be nil. The path is
// valid until f returns.
func eachPath(data, path []byte, f func(path, value []byte)) {
	if len(data) == 0 {
		return
	}
	if data[0] != '{' && data[0] != '[' {
		f(path, data)
		return
	}
	eachBelow(data, path, func(path, v []byte) { eachPath(v, path, f) })
}

// eachBelow calls f with every member or element of an object or array, and its path. The path is valid until f returns.
func eachBelow(data, path []byte, f func(path, value []byte)) {
	i := 0
	each(data, func(name, v []byte) bool {
		p := path
		switch {
		case name == nil:
			p = fmt.Appendf(p, "[%d]", i)
		case len(p) > 0:
			p = append(append(p, '.'), name...)
		default:
			p = append(p, name...)
		}
		f(p, v)
		i++
		return true
	})
}

// readySource gives SCIM users and operations as they are.
type readySource struct{ elements *elements }

func (s *readySource) Next() (Record, error) {
	el, err := s.elements.next()
	if err != nil {
		return Record{}, err
	}
	rec := Record{Line: el.line}
	data := el.data
	if el.operation {
		if data, err = rec.readOperation(el.data); err != nil {
			return Record{}, counted(s.elements.shape.unit(), rowErrorf(el.line, "%v", err))
		}
	}
	if rec.BulkID == "" {
		rec.BulkID = fmt.Sprintf("%s-%d", s.elements.shape.unit(), el.line)
	}
	if data == nil {
		return rec, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return Record{}, counted(s.elements.shape.unit(), rowErrorf(el.line, "not valid JSON: %v", err))
	}
	rec.Data = b.Bytes()
	rec.Anchor = anchorOf(rec.Data)
	return rec, nil
}

// readOperation takes the operation's members and returns its data.
func (r *Record) readOperation(op []byte) (data json.RawMessage, err error) {
	text := func(name string) string {
		v := memberOf(op, name)
		var s string
		if v != nil && v[0] != 'n' && json.Unmarshal(v, &s) != nil && err == nil {
			err = fmt.Errorf("%s must be a string, found %s", name, clip(string(v)))
		}
		return s
	}
	r.Method, r.Path, r.BulkID = strings.ToUpper(text("method")), text("path"), text("bulkId")
	if data = memberOf(op, "data"); data != nil && data[0] == 'n' {
		data = nil
	}
	switch {
	case err != nil:
	case r.Method == "":
		err = errors.New("the operation has no method; write POST")
	case r.Path == "":
		err = errors.New("the operation has no path; write /Users")
	case data != nil && data[0] != '{':
		err = fmt.Errorf("data must be an object, found %s", clip(string(data)))
	case r.Method == "POST" && data == nil:
		err = errors.New("the operation has no data")
	}
	if r.Method == "POST" && strings.EqualFold(strings.Trim(r.Path, "/"), "users") {
		r.Method, r.Path = "", ""
	}
	return data, err
}

// anchorOf returns the externalId of a SCIM user as the service reads it.
func anchorOf(user []byte) string {
	v := memberOf(user, "externalId")
	if v == nil {
		v = memberOf(user, scim.UserURN+":externalId")
	}
	if v == nil {
		if core := memberOf(user, scim.UserURN); core != nil && core[0] == '{' {
			v = memberOf(core, "externalId")
		}
	}
	if v == nil {
		return ""
	}
	text, err := typedText(v)
	if err != nil || string(v) == "true" || string(v) == "false" {
		return ""
	}
	return strings.TrimSpace(text.text)
}
