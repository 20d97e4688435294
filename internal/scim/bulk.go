package scim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	defaultOperations = 50
	defaultDepth      = 32
)

// Error is the sentence for the client builder: where, what was expected, what was found.
func (e *Error) Error() string {
	where := e.Path
	if where == "" {
		where = "the JSON text"
	}
	return fmt.Sprintf("%s: %s (at byte %d)", where, e.Reason, e.Offset)
}

// ParseBulk reads a BulkRequest (RFC 7644 section 3.7) of POST and DELETE operations on /Users.
// The error is always an *Error, for the first mistake in the order of the body.
//
// It is strict about JSON: RFC 8259 syntax, valid UTF-8, no lone surrogate escapes, nothing after
// the root, bounded depth; a byte order mark at the very start is passed over. It is lenient about
// what clients are seen to send: names, methods and paths in any case, a path without its leading
// or with a trailing slash, repeated or missing bulkIds, a DELETE without data, unknown members.
//
// A name of RFC 7644 may stand only once (in any case) in the envelope and in an operation, because
// readers disagree on which one counts. Inside a record duplicates are kept, and the last counts,
// here as in Reader.Read and Merge.
//
// Secrets do not pass: in Data the value of each member `password` is "", in any case, at the top
// level, in an object named by a schema URN, or as a flat member such as urn:…:User:password.
//
// The result does not alias body. The records of one call share one buffer of at most its size.
func ParseBulk(body []byte, lim Limits) ([]Operation, error) {
	if lim.Operations <= 0 {
		lim.Operations = defaultOperations
	}
	if lim.Depth <= 0 {
		lim.Depth = defaultDepth
	}
	p := bulkParser{lim: lim, scanner: scanner{src: body, depth: min(lim.Depth, maxDepth)}}
	if bytes.HasPrefix(body, []byte("\uFEFF")) {
		p.pos = len("\uFEFF")
	}
	p.envelope()
	p.finish()
	if p.err != nil {
		return nil, p.err
	}
	return p.ops, nil
}

type bulkParser struct {
	scanner
	lim Limits
	ops []Operation
}

// Names that may stand only once, one bit each.
const (
	hasSchemas = 1 << iota
	hasOperations
	hasFailOnErrors
	hasMethod
	hasBulkID
	hasPath
	hasData
)

// once notes that a name stands in an object, and fails if it did before.
func (p *bulkParser) once(seen *int, bit int, offset int, name string) {
	if *seen&bit != 0 {
		p.fail(offset, "expected %s once, found it twice", name)
	}
	*seen |= bit
}

// within names the place of a failure that has none yet.
func (p *bulkParser) within(path string) {
	if p.err != nil && p.err.Path == "" {
		p.err.Path = path
	}
}

// expect fails unless a value of the wanted shape comes next.
func (p *bulkParser) expect(want string) bool {
	if p.err == nil && shape(p.peek()) != want {
		p.fail(p.pos, "expected %s, found %s", want, p.found())
	}
	return p.err == nil
}

func (p *bulkParser) envelope() {
	if p.space(); !p.expect("an object") {
		return
	}
	var seen int
	start := p.pos
	for ok := p.begin('}'); ok; ok = p.more('}') {
		offset := p.pos
		switch name := p.name(); {
		case equalFold(name, "schemas"):
			p.once(&seen, hasSchemas, offset, "schemas")
			p.schemas()
			p.within("schemas")
		case equalFold(name, "operations"):
			p.once(&seen, hasOperations, offset, "Operations")
			p.operations()
			p.within("Operations")
		case equalFold(name, "failonerrors"):
			p.once(&seen, hasFailOnErrors, offset, "failOnErrors")
			p.skip()
			p.within("failOnErrors")
		default:
			p.skip()
		}
	}
	if p.err == nil && seen&hasSchemas == 0 {
		p.fail(start, "expected an array that contains %q, found no such member", BulkRequestURN)
		p.within("schemas")
	}
	if p.err == nil && seen&hasOperations == 0 {
		p.fail(start, "expected an array of 1 to %d operations, found no such member", p.lim.Operations)
		p.within("Operations")
	}
}

func (p *bulkParser) schemas() {
	if !p.expect("an array") {
		return
	}
	start, found := p.pos, false
	for ok := p.begin(']'); ok; ok = p.more(']') {
		v := p.skip()
		found = found || p.err == nil && p.src[v.start] == '"' && equalFold(p.textAt(v), BulkRequestURN)
	}
	if !found {
		p.fail(start, "expected an array that contains %q, found none", BulkRequestURN)
	}
}

func (p *bulkParser) operations() {
	if !p.expect("an array") {
		return
	}
	start, n := p.pos, 0
	p.ops = make([]Operation, 0, min(p.lim.Operations, defaultOperations))
	p.out = make([]byte, 0, len(p.src)-p.pos)
	for ok := p.begin(']'); ok; ok = p.more(']') {
		if n < p.lim.Operations {
			p.operation(n)
		} else {
			p.skip()
		}
		n++
	}
	if n == 0 || n > p.lim.Operations {
		p.fail(start, "expected 1 to %d operations, found %d", p.lim.Operations, n)
	}
}

func (p *bulkParser) operation(index int) {
	var (
		op   Operation
		path string
		seen int
		at   [3]int // offsets of method, path and data
		part string
	)
	start := p.pos
	if p.expect("an object") {
		for ok := p.begin('}'); ok; ok = p.more('}') {
			offset := p.pos
			name := p.name()
			switch {
			case equalFold(name, "method"):
				part, at[0] = ".method", p.pos
				p.once(&seen, hasMethod, offset, "method")
				op.Method = p.stringValue()
			case equalFold(name, "bulkid"):
				part = ".bulkId"
				p.once(&seen, hasBulkID, offset, "bulkId")
				op.BulkID = p.optionalString()
				if p.err == nil && len(op.BulkID) > MaxBulkID {
					p.fail(offset, "expected at most %d bytes, found %d", MaxBulkID, len(op.BulkID))
				}
			case equalFold(name, "path"):
				part, at[1] = ".path", p.pos
				p.once(&seen, hasPath, offset, "path")
				path = p.stringValue()
			case equalFold(name, "data"):
				part, at[2] = ".data", p.pos
				p.once(&seen, hasData, offset, "data")
				op.Anchor, op.Data = p.record()
			default:
				p.skip()
			}
			if p.err != nil {
				break
			}
			part = ""
		}
	}
	if p.err == nil {
		part = p.check(&op, path, seen, at, start)
	}
	if p.err != nil {
		p.err.Operation = index
		p.within(fmt.Sprintf("Operations[%d]%s", index, part))
		return
	}
	p.ops = append(p.ops, op)
}

// check judges an operation as a whole; if it fails, it returns the member that is to blame.
func (p *bulkParser) check(op *Operation, path string, seen int, at [3]int, start int) (part string) {
	switch {
	case equalFold(op.Method, "post"):
		op.Method = "POST"
	case equalFold(op.Method, "delete"):
		op.Method = "DELETE"
	}
	switch {
	case seen&hasMethod == 0:
		p.fail(start, `expected "POST", found no such member`)
		return ".method"
	case op.Method != "POST" && op.Method != "DELETE":
		p.fail(at[0], `expected "POST", found %s`, quote(op.Method))
		return ".method"
	case seen&hasPath == 0:
		p.fail(start, `expected "/Users", found no such member`)
		return ".path"
	case !isUsers(path, op.Method == "DELETE"):
		p.fail(at[1], `expected "/Users", found %s`, quote(path))
		return ".path"
	case op.Method == "POST" && seen&hasData == 0:
		p.fail(start, "expected an object, found no such member")
		return ".data"
	case op.Method == "POST" && op.Data == nil:
		p.fail(at[2], "expected an object, found null")
		return ".data"
	}
	return ""
}

// isUsers reports whether path names the users, or one user if that is allowed.
func isUsers(path string, one bool) bool {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	users, id, found := strings.Cut(path, "/")
	return equalFold(users, "users") && (!found || one && id != "" && !strings.Contains(id, "/"))
}

func (p *bulkParser) stringValue() string {
	if !p.expect("a string") {
		return ""
	}
	v := p.skip()
	if p.err != nil {
		return ""
	}
	return string(p.textAt(v))
}

// optionalString reads a string or null.
func (p *bulkParser) optionalString() string {
	if p.peek() == 'n' {
		p.skip()
		return ""
	}
	return p.stringValue()
}

// record reads data: an object, or null for none.
func (p *bulkParser) record() (anchor string, data json.RawMessage) {
	if p.peek() == 'n' {
		p.skip()
		return "", nil
	}
	if !p.expect("an object") {
		return "", nil
	}
	start, unusual := len(p.out), false
	p.startCopy()
	for ok := p.begin('}'); ok; ok = p.more('}') {
		switch name := p.name(); {
		case isPassword(name):
			p.blank()
		case equalFold(name, "externalid"):
			unusual = unusual || p.peek() == '{'
			anchor = p.anchor()
		case hasURN(name):
			unusual = true
			if p.peek() == '{' {
				p.extension()
			} else {
				p.skip()
			}
		case p.peek() == '{' && bytes.IndexByte(name, ':') >= 0:
			p.extension()
		default:
			p.skip()
		}
	}
	p.endCopy()
	data = json.RawMessage(p.out[start:len(p.out):len(p.out)])
	if unusual && p.err == nil {
		anchor = readAnchor(data)
	}
	return anchor, data
}

// hasURN reports whether a name begins with the URN of the core schema: externalId may stand with it or below it.
func hasURN(name []byte) bool {
	return len(name) >= len(UserURN) && equalFold(name[:len(UserURN)], UserURN)
}

var anchorReader = func() *Reader {
	r, err := CompilePaths([]string{"externalId"})
	if err != nil {
		panic(err)
	}
	return r
}()

// readAnchor is for records that give their externalId in one of the unusual ways that Reader.Read knows, so that
// both find the same person.
func readAnchor(data []byte) string {
	values, err := anchorReader.Read(data, nil, nil)
	if err != nil || values[0].Kind != Text && values[0].Kind != Number {
		return ""
	}
	return asAnchor(values[0].Str)
}

// extension reads an object of attributes named by a schema URN.
func (p *bulkParser) extension() {
	for ok := p.begin('}'); ok; ok = p.more('}') {
		if isPassword(p.name()) {
			p.blank()
		} else {
			p.skip()
		}
	}
}

func isPassword(name []byte) bool {
	return equalFold(name[bytes.LastIndexByte(name, ':')+1:], "password")
}

func (p *bulkParser) anchor() string {
	v := p.skip()
	if p.err != nil {
		return ""
	}
	switch shape(p.src[v.start]) {
	case "a string":
		return asAnchor(string(p.textAt(v)))
	case "a number":
		return asAnchor(string(p.src[v.start:v.end]))
	}
	return ""
}

// asAnchor is the anchor that an externalId gives.
func asAnchor(id string) string {
	if id = strings.TrimSpace(id); len(id) <= MaxAnchor {
		return id
	}
	return ""
}

// textAt decodes the string at v. It may alias the source.
func (s *scanner) textAt(v span) []byte {
	text := s.src[v.start+1 : v.end-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		return unescape(text)
	}
	return text
}

// quote shows what a client sent, but not more than a line of it.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:most], ""))
	}
	return fmt.Sprintf("%q", s)
}
