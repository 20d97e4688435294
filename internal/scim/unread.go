package scim

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// reportMember calls unread for what no path reads in a member at the top level of a record.
func (r *reading) reportMember(n *node, name []byte, v span) {
	switch {
	case equalFold(name, "schemas") || equalFold(name, "id") || equalFold(name, "meta"):
		return
	case bytes.IndexByte(name, ':') < 0:
		r.report(n.itself(), nil, name, v)
		return
	}
	flat := n.itself() != nil
	if !flat && r.src[v.start] == '{' && !r.hasKnownPrefix(name) {
		r.reportSchema(n, name, v)
		return
	}
	colon := bytes.LastIndexByte(name, ':')
	r.report(n.itself(), name[:colon], name[colon+1:], v)
	if n != nil && n.attributes != nil && r.src[v.start] == '{' {
		r.reportSchema(n, name, v)
	}
}

// hasKnownPrefix reports whether a flat name begins with a schema that paths or the RFC know.
func (r *reading) hasKnownPrefix(name []byte) bool {
	urn := name[:bytes.LastIndexByte(name, ':')]
	n := lookup(r.members, urn)
	return n != nil && n.attributes != nil || equalFold(urn, UserURN) || equalFold(urn, EnterpriseURN)
}

func (r *reading) reportSchema(n *node, urn []byte, v span) {
	s := r.at(v)
	for ok := s.begin('}'); ok; ok = s.more('}') {
		name := s.name()
		v := s.skip()
		var a *attribute
		if n != nil {
			a = lookup(n.attributes, name)
		}
		r.report(a, urn, name, v)
	}
}

// itself returns what is to be read of the attribute that the name means, or nil.
func (n *node) itself() *attribute {
	if n == nil {
		return nil
	}
	return n.attribute
}

// unreadPath is a path that may have to be reported; it is spelt only then.
type unreadPath struct {
	urn, name []byte
	selector  string
}

// String spells the path. The URN of the core schema is not spelt.
func (p unreadPath) String() string {
	switch {
	case p.urn == nil || equalFold(p.urn, UserURN):
		return canonical(p.name) + p.selector
	case equalFold(p.urn, EnterpriseURN):
		return EnterpriseURN + ":" + canonical(p.name) + p.selector
	}
	return short(p.urn) + ":" + canonical(p.name) + p.selector
}

// report calls unread for what no path reads in an attribute; a is nil if none reads any of it. urn is that of its
// schema, nil for the core schema's.
func (r *reading) report(a *attribute, urn, name []byte, v span) {
	if equalFold(name, "password") {
		return
	}
	if a == nil {
		a = &nobody
	}
	path := unreadPath{urn: urn, name: name}
	switch r.src[v.start] {
	case 'n':
	case '{':
		r.reportFields(a, path, v, equalFold(name, "manager"), equalFold(name, "manager"))
	case '[':
		s := r.at(v)
		for ok := s.begin(']'); ok; ok = s.more(']') {
			r.reportElement(a, path, s.skip())
		}
	default:
		if len(a.whole) == 0 && !a.readsField([]byte("value")) {
			r.unread(path.String())
		}
	}
}

// nobody reads an attribute of which nothing is read.
var nobody = attribute{fields: []string{"value", "primary"}}

func (r *reading) reportElement(a *attribute, path unreadPath, v span) {
	switch r.src[v.start] {
	case 'n':
	case '{':
		r.reportFields(a, path, v, true, false)
	default:
		if len(a.whole) == 0 && !a.readsField([]byte("value")) {
			r.unread(path.String())
		}
	}
}

// reportFields calls unread for the sub-attributes of an object that no path reads; described tells that
// type, primary, display and $ref only describe the value, reference that its value stands for the attribute itself.
func (r *reading) reportFields(a *attribute, path unreadPath, v span, described, reference bool) {
	var room [16]span
	var fields []span
	if len(a.filters) > 0 {
		fields = r.fields(a, v, room[:])
	}
	spelt := ""
	s := r.at(v)
	for ok := s.begin('}'); ok; ok = s.more('}') {
		field := s.name()
		f := s.skip()
		switch {
		case r.src[f.start] == 'n' || described && describes(field):
		case a.readsField(field) || len(a.whole) > 0 && equalFold(field, "value"):
		case slices.ContainsFunc(a.filters, func(f filter) bool { return a.readsAny(f.reads, field) && r.matches(f, fields) }):
		case reference && equalFold(field, "value"):
			r.unread(path.String())
		default:
			if spelt == "" {
				if described && !reference {
					path.selector = r.selector(v)
				}
				spelt = path.String()
			}
			r.unread(spelt + "." + canonical(field))
		}
	}
}

// readsField reports whether a path without filter reads a sub-attribute.
func (a *attribute) readsField(field []byte) bool { return a.readsAny(a.reads, field) }

func (a *attribute) readsAny(reads []read, field []byte) bool {
	return slices.ContainsFunc(reads, func(p read) bool { return equalFold(a.fields[p.field], field) })
}

func describes(field []byte) bool {
	return equalFold(field, "type") || equalFold(field, "primary") || equalFold(field, "display") || equalFold(field, "$ref")
}

// selector spells the filter that selects an element by its type; "" if it has none.
func (r *reading) selector(v span) string {
	var text string
	s := r.at(v)
	for ok := s.begin('}'); ok; ok = s.more('}') {
		name := s.name()
		if f := s.skip(); equalFold(name, "type") && r.src[f.start] == '"' {
			text = short(s.textAt(f))
		}
	}
	if text == "" {
		return ""
	}
	return "[type eq " + strconv.Quote(text) + "]"
}

// canonical spells a name as RFC 7643 does, or as sent if it is not one of the RFC's.
func canonical(name []byte) string {
	if known, ok := spelled[string(name)]; ok {
		return known
	}
	for _, known := range knownNames {
		if equalFold(name, known) {
			return known
		}
	}
	return short(name)
}

// short cuts a name that no schema would have, so that many paths below one long name stay small.
func short(name []byte) string {
	const most = 200
	if len(name) > most {
		return strings.ToValidUTF8(string(name[:most]), "") + "…"
	}
	return string(name)
}

// knownNames are the attributes and sub-attributes of RFC 7643 sections 3.1, 4.1 and 4.3.
var knownNames = []string{
	"externalId", "userName", "name", "formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix",
	"displayName", "nickName", "profileUrl", "title", "userType", "preferredLanguage", "locale", "timezone", "active",
	"emails", "phoneNumbers", "ims", "photos", "entitlements", "roles", "x509Certificates", "addresses", "groups", "value", "display", "type", "primary",
	"streetAddress", "locality", "region", "postalCode", "country",
	"employeeNumber", "costCenter", "organization", "division", "department", "manager",
}

// spelled are the known names by themselves: most names are sent as they are spelt.
var spelled = func() map[string]string {
	m := make(map[string]string, len(knownNames))
	for _, name := range knownNames {
		m[name] = name
	}
	return m
}()
