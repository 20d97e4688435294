package scim

import "bytes"

// member is a member of an object. Its slices alias the object.
type member struct {
	name   []byte // decoded
	key    []byte // as sent, with its quotes
	value  []byte
	offset int // of the value in the object
}

// members are those of an object in their order; of those with the same name, in any case, only the last.
type members struct {
	list  []member
	index map[string]int // by name in lower case, into list
}

// parseMembers returns the members of an object that has been scanned before.
func parseMembers(object []byte) *members {
	s := scanner{src: object, depth: maxDepth}
	m := &members{index: map[string]int{}}
	for ok := s.begin('}'); ok; ok = s.more('}') {
		start := s.pos
		name := s.name()
		key := s.src[start:s.pos]
		key = key[:bytes.LastIndexByte(key, '"')+1]
		v := s.skip()
		m.index[string(lowered(nil, name))] = len(m.list)
		m.list = append(m.list, member{name, key, object[v.start:v.end], v.start})
	}
	if len(m.index) < len(m.list) {
		m.dropReplaced()
	}
	return m
}

// dropReplaced leaves only the last of the members with one name.
func (m *members) dropReplaced() {
	last := m.list[:0]
	for i, e := range m.list {
		if key := string(lowered(nil, e.name)); m.index[key] == i {
			m.index[key] = len(last)
			last = append(last, e)
		}
	}
	m.list = last
}

func (m *members) find(name []byte) *member {
	var room [128]byte
	if i, ok := m.index[string(lowered(room[:0], name))]; ok {
		return &m.list[i]
	}
	return nil
}

// lowered appends a name with its ASCII letters in lower case.
func lowered(dst, name []byte) []byte {
	for _, c := range name {
		dst = append(dst, lower(c))
	}
	return dst
}

// Merge returns the kept record with what was sent laid over it, as compact JSON: first the members
// that only kept has, then those of sent in their order.
//
// A member that was sent replaces the kept one of the same name in any case, and null counts as sent.
// Objects are merged member by member instead (name, an extension, a complex attribute inside an
// extension), deeper ones and arrays are replaced whole; so is an object that is sent with a `value`,
// such as a manager, because its other members describe that value. An attribute of a schema is the
// same whether it stands in the schema's object or as a flat member such as urn:…:User:department:
// the spelling that was sent stays.
//
// No kept record (nil) counts as an empty one. The result aliases neither argument. The error is an
// *Error: one of them is not a JSON object.
func Merge(kept, sent []byte) ([]byte, error) {
	if len(kept) == 0 {
		kept = []byte("{}")
	}
	under, err := compact(kept, "the kept record")
	if err != nil {
		return nil, err
	}
	over, err := compact(sent, "the sent record")
	if err != nil {
		return nil, err
	}
	m := merger{sent: parseMembers(over), schemas: map[*member]*members{}}
	return m.object(make([]byte, 0, len(under)+len(over)), parseMembers(under), m.sent, nil, 0), nil
}

// compact returns an object without insignificant whitespace.
func compact(data []byte, what string) ([]byte, *Error) {
	s := scanner{src: data, depth: maxDepth, out: make([]byte, 0, len(data))}
	if s.space(); s.peek() != '{' {
		s.fail(s.pos, "expected an object, found %s", s.found())
	}
	s.startCopy()
	s.skip()
	s.endCopy()
	s.finish()
	if s.err != nil {
		s.err.Path = what
		return nil, s.err
	}
	return s.out, nil
}

type merger struct {
	sent    *members             // of the sent record
	schemas map[*member]*members // of its extensions, as far as they were looked into
}

// mergedLevels is how deep below the record objects are merged: an extension, and a complex attribute in it.
const mergedLevels = 2

// object appends the merge of two objects. Schema is the name of the objects at the first level.
func (m *merger) object(dst []byte, kept, sent *members, schema []byte, level int) []byte {
	dst = append(dst, '{')
	for _, k := range kept.list {
		if sent.find(k.name) != nil || m.respelt(k.name, schema, level) {
			continue
		}
		dst = appendName(dst, k.key)
		if level == 0 && k.value[0] == '{' && isURN(k.name) {
			dst = m.object(dst, parseMembers(k.value), &members{}, k.name, 1)
		} else {
			dst = append(dst, k.value...)
		}
	}
	for _, s := range sent.list {
		dst = appendName(dst, s.key)
		k := kept.find(s.name)
		if k == nil || k.value[0] != '{' || s.value[0] != '{' || level == mergedLevels {
			dst = append(dst, s.value...)
			continue
		}
		over := parseMembers(s.value)
		if over.find([]byte("value")) != nil && !(level == 0 && isURN(s.name)) {
			dst = append(dst, s.value...)
			continue
		}
		dst = m.object(dst, parseMembers(k.value), over, s.name, level+1)
	}
	return append(dst, '}')
}

// isURN reports whether a name at the top level is a schema's, or an attribute's with its schema.
func isURN(name []byte) bool { return bytes.IndexByte(name, ':') >= 0 }

// respelt reports whether the sent record has a kept attribute under another of its names.
func (m *merger) respelt(name, schema []byte, level int) bool {
	urn, attr := schema, name
	switch colon := bytes.LastIndexByte(name, ':'); {
	case level > 1 || level == 1 && !isURN(schema):
		return false
	case level == 0 && colon >= 0:
		urn, attr = name[:colon], name[colon+1:]
	case level == 0:
		urn = []byte(UserURN)
	}
	if equalFold(urn, UserURN) && m.sent.find(attr) != nil { // userName
		return true
	}
	flat := append(append(append(make([]byte, 0, len(urn)+1+len(attr)), urn...), ':'), attr...)
	if m.sent.find(flat) != nil { // urn:…:User:userName
		return true
	}
	return level == 0 && m.inSchema(urn, attr)
}

// inSchema reports whether the sent record has an attribute in the object of a schema.
func (m *merger) inSchema(urn, attr []byte) bool {
	s := m.sent.find(urn)
	if s == nil || s.value[0] != '{' {
		return false
	}
	if m.schemas[s] == nil {
		m.schemas[s] = parseMembers(s.value)
	}
	return m.schemas[s].find(attr) != nil
}

// appendName appends a member's name, and a comma unless it is the first.
func appendName(dst, key []byte) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, key...)
	return append(dst, ':')
}
