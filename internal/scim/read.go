package scim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Reader reads the values at a fixed list of attribute paths out of records, in one pass and
// without building a tree. It does not change once compiled: any number of goroutines may use it.
type Reader struct {
	paths int
	// members finds what stands at the top level of a record by its name in lower case: an attribute
	// of the core schema (userName), a schema (urn:…:User), or an attribute with it (urn:…:User:department).
	members map[string]*node
}

// node is what a name at the top level leads to: a schema, an attribute, or, where one URN
// continues another, either.
type node struct {
	attributes map[string]*attribute // of a schema
	attribute  *attribute
}

// attribute is what is to be read of one attribute.
type attribute struct {
	all     []int    // every slot below, in any order
	whole   []int    // slots of paths that name the attribute itself
	fields  []string // sub-attributes of interest, in lower case; the first two are value and primary
	reads   []read   // paths with a sub-attribute and no filter
	filters []filter
}

const (
	valueField = iota
	primaryField
)

type read struct{ field, slot int }

// filter selects an element of a multi-valued attribute.
type filter struct {
	by    int // field
	want  Value
	reads []read
}

// CompilePaths makes a Reader of attribute paths. Names in paths and records are compared without
// regard to case. A path is one of
//
//	userName                              an attribute of the core schema, also with its URN
//	name.givenName                        a sub-attribute
//	emails[type eq "work"].value          of the matching element; eq with any literal, strings in any case
//	emails.value                          of each element: Many
//	urn:…:User:department                 an attribute of another schema, known or not
//	urn:…:User:manager.displayName        its sub-attribute
//
// An attribute named without sub-attribute that holds an object is read at the object's `value`.
func CompilePaths(names []string) (*Reader, error) {
	r := &Reader{paths: len(names), members: map[string]*node{}}
	for slot, name := range names {
		p, err := parsePath(name)
		if err != nil {
			return nil, err
		}
		r.attribute(p.urn, p.attr).add(p, slot)
	}
	return r, nil
}

func (r *Reader) node(name string) *node {
	n := r.members[name]
	if n == nil {
		n = &node{}
		r.members[name] = n
	}
	return n
}

// attribute finds or adds an attribute, under each name that a record can give it.
func (r *Reader) attribute(urn, name string) *attribute {
	flat := r.node(urn + ":" + name)
	if flat.attribute == nil {
		flat.attribute = &attribute{fields: []string{"value", "primary"}}
	}
	schema := r.node(urn)
	if schema.attributes == nil {
		schema.attributes = map[string]*attribute{}
	}
	schema.attributes[name] = flat.attribute
	if equalFold(urn, UserURN) {
		r.node(name).attribute = flat.attribute
	}
	return flat.attribute
}

func (a *attribute) add(p path, slot int) {
	a.all = append(a.all, slot)
	switch {
	case p.filter:
		by, field := a.field(p.by), valueField
		if p.sub != "" {
			field = a.field(p.sub)
		}
		i := slices.IndexFunc(a.filters, func(f filter) bool { return f.by == by && f.want.equal(p.want) })
		if i < 0 {
			i = len(a.filters)
			a.filters = append(a.filters, filter{by: by, want: p.want})
		}
		a.filters[i].reads = append(a.filters[i].reads, read{field, slot})
	case p.sub != "":
		a.reads = append(a.reads, read{a.field(p.sub), slot})
	default:
		a.whole = append(a.whole, slot)
	}
}

func (a *attribute) field(name string) int {
	if i := slices.Index(a.fields, name); i >= 0 {
		return i
	}
	a.fields = append(a.fields, name)
	return len(a.fields) - 1
}

// equal compares a wanted value with another: strings without regard to case, and a boolean also with
// its name as a string, which clients send.
func (v Value) equal(w Value) bool {
	kinds := v.Kind == w.Kind || v.Kind == Boolean && w.Kind == Text || v.Kind == Null && w.Kind == Absent
	return kinds && strings.EqualFold(v.Str, w.Str)
}

// Read reads a record: one Value per path in the order of CompilePaths, in dst if it is large enough.
// A path that is not there is Absent, also inside a null; one that leads to something of the wrong
// shape is Invalid. The values do not alias data.
//
//   - Of members with the same name (in any case) the last counts, as a whole.
//   - Of elements that match a filter, the first with primary true counts, or else the first.
//   - An attribute that holds an array is Many: of its scalars, and of the `value` of its objects.
//   - Where an object is expected, a scalar stands for its `value`: a manager may be a bare string.
//
// If unread is not nil, it is called with each path at which the record holds something other than
// null and that no path reads, spelt as a schema would; perhaps more than once with the same. Left out
// are schemas, id, meta and password, and what only describes a value: type, primary, display and $ref.
//
// The error is an *Error: data is not a JSON object. Then unread may have been called already.
func (r *Reader) Read(data []byte, dst []Value, unread func(path string)) ([]Value, error) {
	dst = slices.Grow(dst[:0], r.paths)[:r.paths]
	clear(dst)
	rr := reading{Reader: r, dst: dst, unread: unread, scanner: scanner{src: data, depth: maxDepth}}
	rr.record()
	if rr.err != nil {
		return dst[:0], rr.err
	}
	return dst, nil
}

// FirstText returns the text of the first member of a record with a name, given in lower case, and reads no further;
// ok is false if there is no such member or it holds no string.
func FirstText(data []byte, name string) (text string, ok bool) {
	s := scanner{src: data, depth: maxDepth}
	if s.space(); s.peek() != '{' {
		return "", false
	}
	for more := s.begin('}'); more; more = s.more('}') {
		found := equalFold(s.name(), name)
		v := s.skip()
		if found && s.err == nil {
			if s.src[v.start] != '"' {
				return "", false
			}
			return string(s.textAt(v)), true
		}
	}
	return "", false
}

// reading is the state of one Read.
type reading struct {
	*Reader
	scanner
	dst    []Value
	text   string // the source, once something was taken from it
	unread func(string)
}

func (r *reading) record() {
	if r.space(); r.peek() != '{' {
		r.fail(r.pos, "expected an object, found %s", r.found())
		return
	}
	var room [8]*node
	schemas, again := room[:0], false
	start := r.pos
	for ok := r.begin('}'); ok; ok = r.more('}') {
		name := r.name()
		v := r.skip()
		if r.err != nil {
			return
		}
		n := lookup(r.members, name)
		if n != nil && n.attributes != nil {
			again = again || slices.Contains(schemas, n)
			schemas = append(schemas, n)
		}
		r.member(n, v)
		if r.unread != nil {
			r.reportMember(n, name, v)
		}
	}
	if r.finish(); r.err == nil && again {
		r.lastOnly(start)
	}
}

// lastOnly reads the record at start anew without the members that a later one of the same name
// replaces. It is rare that it is needed: when the object of a schema stands twice.
func (r *reading) lastOnly(start int) {
	clear(r.dst)
	for _, m := range parseMembers(r.src[start:]).list {
		at := start + m.offset
		r.member(lookup(r.members, m.name), span{at, at + len(m.value)})
	}
}

// lookup finds a name of any case in a map by names in lower case.
func lookup[T any](m map[string]*T, name []byte) *T {
	var room [128]byte
	return m[string(lowered(room[:0], name))]
}

// member reads one member at the top level of a record.
func (r *reading) member(n *node, v span) {
	if n == nil {
		return
	}
	if n.attribute != nil {
		r.attributeAt(n.attribute, v)
	}
	if n.attributes == nil {
		return
	}
	switch r.src[v.start] {
	case '{':
		s := r.at(v)
		for ok := s.begin('}'); ok; ok = s.more('}') {
			a := lookup(n.attributes, s.name())
			if v := s.skip(); a != nil {
				r.attributeAt(a, v)
			}
		}
	case 'n':
	default:
		for _, a := range n.attributes {
			r.set(a.all, r.wrong("an object", v))
		}
	}
}

// at returns a scanner at the start of a value that has been passed already.
func (r *reading) at(v span) scanner {
	return scanner{src: r.src[:v.end], pos: v.start, depth: maxDepth}
}

func (r *reading) set(slots []int, v Value) {
	for _, slot := range slots {
		r.dst[slot] = v
	}
}

// wrong is the value of a path that leads to something of the wrong shape.
func (r *reading) wrong(want string, v span) Value {
	return Value{Kind: Invalid, Str: fmt.Sprintf("expected %s, found %s", want, shape(r.src[v.start]))}
}

// attributeAt reads an attribute's value; whatever an earlier member of the same name gave is gone.
func (r *reading) attributeAt(a *attribute, v span) {
	r.set(a.all, Value{})
	if len(a.whole) > 0 {
		r.set(a.whole, r.value(v))
	}
	if len(a.reads) == 0 && len(a.filters) == 0 {
		return
	}
	switch r.src[v.start] {
	case 'n':
	case '[':
		r.elements(a, v)
	default:
		var room [16]span
		fields := r.fields(a, v, room[:])
		for _, p := range a.reads {
			r.dst[p.slot] = r.sub(fields, p.field, v)
		}
		for _, f := range a.filters {
			for _, p := range f.reads {
				r.dst[p.slot] = r.wrong("an array", v)
			}
		}
	}
}

// fields finds the sub-attributes of interest in an object; room is used if it is enough. A scalar
// stands for its value.
func (r *reading) fields(a *attribute, v span, room []span) []span {
	fields := room
	if len(a.fields) > len(room) {
		fields = make([]span, len(a.fields))
	}
	fields = fields[:len(a.fields)]
	clear(fields)
	switch r.src[v.start] {
	case '{':
		s := r.at(v)
		for ok := s.begin('}'); ok; ok = s.more('}') {
			name := s.name()
			v := s.skip()
			for i, field := range a.fields {
				if equalFold(name, field) {
					fields[i] = v
				}
			}
		}
	case '[', 'n':
	default:
		fields[valueField] = v
	}
	return fields
}

// sub reads a field of the object, or of the scalar that stands for it, at v.
func (r *reading) sub(fields []span, field int, v span) Value {
	switch f := fields[field]; {
	case f.found():
		return r.value(f)
	case r.src[v.start] == '{' || r.src[v.start] == 'n':
		return Value{}
	}
	return r.wrong("an object", v)
}

// elements reads the sub-attributes of a multi-valued attribute.
func (r *reading) elements(a *attribute, v span) {
	for _, p := range a.reads {
		r.dst[p.slot].Kind = Many
	}
	const none, first, primary = 0, 1, 2
	var chosenRoom [16]uint8
	chosen := chosenRoom[:]
	if len(a.filters) > len(chosen) {
		chosen = make([]uint8, len(a.filters))
	}
	var room [16]span
	s := r.at(v)
	for ok := s.begin(']'); ok; ok = s.more(']') {
		element := s.skip()
		fields := r.fields(a, element, room[:])
		for _, p := range a.reads {
			r.dst[p.slot].add(r.sub(fields, p.field, element))
		}
		for i, f := range a.filters {
			switch {
			case r.src[element.start] == 'n':
			case r.src[element.start] != '{':
				if chosen[i] == none {
					r.setReads(f.reads, r.wrong("an object", element))
				}
			case chosen[i] != primary && r.matches(f, fields):
				rank := uint8(first)
				if r.isTrue(fields[primaryField]) {
					rank = primary
				}
				if rank > chosen[i] {
					chosen[i] = rank
					for _, p := range f.reads {
						r.dst[p.slot] = r.sub(fields, p.field, element)
					}
				}
			}
		}
	}
}

func (r *reading) setReads(reads []read, v Value) {
	for _, p := range reads {
		r.dst[p.slot] = v
	}
}

// add appends an element to a Many. What no element can be makes the whole Invalid.
func (v *Value) add(element Value) {
	switch {
	case v.Kind == Invalid || element.Kind == Absent:
	case element.Kind == Invalid:
		*v = element
	case element.Kind == Many:
		*v = Value{Kind: Invalid, Str: "expected elements with one value each, found an array in an array"}
	default:
		v.List = append(v.List, element)
	}
}

func (r *reading) matches(f filter, fields []span) bool {
	v := fields[f.by]
	if !v.found() {
		return f.want.Kind == Null
	}
	switch c := r.src[v.start]; {
	case c == '{' || c == '[':
		return false
	case c == '"' && f.want.Kind == Text && bytes.IndexByte(r.src[v.start:v.end], '\\') < 0 && equalFold(r.src[v.start+1:v.end-1], f.want.Str):
		return true
	}
	return f.want.equal(r.value(v))
}

// isTrue reports whether true, or a string that spells it, stands at v.
func (r *reading) isTrue(v span) bool {
	return v.found() && equalFold(bytes.Trim(r.src[v.start:v.end], `"`), "true")
}

// value reads a value: a scalar, an object's `value`, or an array of these.
func (r *reading) value(v span) Value {
	switch r.src[v.start] {
	case '{':
		return r.valueOf(v)
	case '[':
		list := Value{Kind: Many}
		s := r.at(v)
		for ok := s.begin(']'); ok; ok = s.more(']') {
			switch e := s.skip(); r.src[e.start] {
			case '{':
				list.add(r.valueOf(e))
			case '[':
				list.add(Value{Kind: Many})
			default:
				list.add(r.scalar(e))
			}
		}
		return list
	}
	return r.scalar(v)
}

// valueOf reads the `value` of an object, which must be a scalar.
func (r *reading) valueOf(v span) Value {
	var value span
	s := r.at(v)
	for ok := s.begin('}'); ok; ok = s.more('}') {
		name := s.name()
		if v := s.skip(); equalFold(name, "value") {
			value = v
		}
	}
	switch {
	case !value.found():
		return Value{Kind: Invalid, Str: "expected a single value, found an object without a value"}
	case r.src[value.start] == '{' || r.src[value.start] == '[':
		return r.wrong("a single value", value)
	}
	return r.scalar(value)
}

// scalar decodes a scalar. Values share one copy of the source.
func (r *reading) scalar(v span) Value {
	text := r.src[v.start]
	if text == 'n' {
		return Value{Kind: Null}
	}
	if text == '"' && bytes.IndexByte(r.src[v.start:v.end], '\\') >= 0 {
		return r.scanner.scalar(v)
	}
	if r.text == "" {
		r.text = string(r.src)
	}
	switch text {
	case '"':
		return Value{Kind: Text, Str: r.text[v.start+1 : v.end-1]}
	case 't', 'f':
		return Value{Kind: Boolean, Str: r.text[v.start:v.end]}
	}
	return Value{Kind: Number, Str: r.text[v.start:v.end]}
}
