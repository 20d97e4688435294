package records

import (
	"bytes"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"induct/internal/scim"
)

// MappingSchema is the JSON Schema (draft 2020-12) of a mapping file. What it accepts ParseMapping accepts, unless an
// attribute is mapped twice.
//
//go:embed mapping.schema.json
var MappingSchema []byte

// Mapping says which column of a file becomes which attribute of a SCIM user (RFC 7643).
// It is immutable and safe for concurrent use.
type Mapping struct {
	rules   []rule
	bulkID  *rule // nil: the line number names the operation
	root    *node
	schemas []byte // the `schemas` member's value
}

// rule gives the value of one attribute.
type rule struct {
	number    int // in the mapping
	path      string
	columns   []string // empty for a constant
	separator string   // between the cells of several columns
	constant  json.RawMessage
	equals    []string // not nil: the value is whether the cell equals one of these
	kind      string   // what a cell is turned into: string, boolean, integer or "" for what it is
	empty     string   // what an empty cell means: omit, null or keep
}

// node is a piece of the record: a leaf has a rule, an object members, an array elements.
type node struct {
	name     string
	key      []byte // `"name":`
	rule     *rule
	array    bool
	selector string // an element's fixed member, as `"type":"work"`
	children []*node
}

// ParseMapping reads a mapping file; MappingSchema describes it:
//
//	{"attributes": {
//	   "externalId": "WorkerID",
//	   "active": {"column": "WorkerStatus", "equals": "Active"},
//	   "displayName": {"columns": ["First", "Last"], "separator": " "},
//	   "addresses[type eq \"work\"].country": {"column": "Country", "empty": "null"},
//	   "userType": {"constant": "Employee"},
//	   "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": "ManagerID"},
//	 "bulkId": "RowID", "empty": "omit"}
//
// An empty cell is left out ("omit", the default), sent as null ("null") or as "" ("keep"); the
// outer `empty` is the default of all attributes. `equals`, a string or a list of strings, makes a
// boolean of the cell, without regard to case. `type` turns the cell into a "boolean" (true, yes, y, 1
// and their opposites), an "integer" or a "string". `columns` joins the cells that are not empty.
// The members `$schema` and `unmapped` say nothing to this function. Errors are *InputError.
func ParseMapping(data []byte) (*Mapping, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	top, err := members(data, "the mapping")
	if err != nil {
		return nil, err
	}
	m := &Mapping{root: &node{}}
	empty := "omit"
	var attributes []member
	for _, t := range top {
		switch t.name {
		case "attributes":
			attributes, err = members(t.value, "attributes")
		case "empty":
			empty, err = parseEmpty(t.value, "the mapping")
		case "bulkId":
			var r rule
			if r, err = parseRule("bulkId", t.value); err == nil && len(r.columns) == 0 {
				err = inputErrorf(0, "mapping: bulkId needs a column")
			}
			m.bulkID = &r
		case "$schema":
			if t.value[0] != '"' {
				err = inputErrorf(0, "mapping: $schema must be a string")
			}
		case "unmapped":
			if _, ok := parseStrings(t.value); !ok {
				err = inputErrorf(0, "mapping: unmapped must be a list of column names")
			}
		default:
			err = unknown("mapping", "member", t.name, []string{"attributes", "bulkId", "empty", "unmapped", "$schema"})
		}
		if err != nil {
			return nil, err
		}
	}
	for _, a := range attributes {
		r, err := parseRule(a.name, a.value)
		if err != nil {
			return nil, err
		}
		if r.empty == "" {
			r.empty = empty
		}
		m.rules = append(m.rules, r)
	}
	if err := m.build(); err != nil {
		return nil, err
	}
	if m.bulkID != nil {
		m.bulkID.number = len(m.rules)
	}
	return m, nil
}

// build makes the tree of the record and the list of schemas.
func (m *Mapping) build() error {
	schemas := []string{scim.UserURN, scim.EnterpriseURN}
	anchored := false
	for i := range m.rules {
		r := &m.rules[i]
		r.number = i
		p, err := parsePath(r.path)
		if err != nil {
			return err
		}
		if p.urn != "" && !slices.Contains(schemas, p.urn) {
			schemas = append(schemas, p.urn)
		}
		if p.urn == "" && p.attr == "externalId" {
			anchored = len(r.columns) > 0 && r.equals == nil && (r.kind == "" || r.kind == "string")
		}
		if r.kind == "" && p.isText() {
			r.kind = "string"
		}
		if err := m.root.insert(p, r); err != nil {
			return err
		}
	}
	if !anchored {
		return inputErrorf(0, "mapping: externalId must come from a column; it is what a person is recognised by")
	}
	m.schemas = quote(schemas)
	return nil
}

// insert adds the leaf that p leads to.
func (n *node) insert(p path, r *rule) error {
	taken := inputErrorf(0, "mapping: %s is mapped twice, or both as a value and as an object", r.path)
	steps := []string{p.attr}
	if p.urn != "" {
		steps = []string{p.urn, p.attr}
	}
	for _, s := range steps[:len(steps)-1] {
		n = n.child(s)
	}
	attr := n.child(p.attr)
	if attr.rule != nil || (attr.children != nil && attr.array != (p.selector != "")) {
		return taken
	}
	if p.selector != "" {
		attr.array = true
		i := slices.IndexFunc(attr.children, func(e *node) bool { return e.selector == p.selector })
		if i < 0 {
			i = len(attr.children)
			attr.children = append(attr.children, &node{selector: p.selector})
		}
		attr = attr.children[i]
	}
	if p.sub != "" {
		attr = attr.child(p.sub)
	}
	if attr.rule != nil || attr.children != nil {
		return taken
	}
	attr.rule = r
	return nil
}

func (n *node) child(name string) *node {
	for _, c := range n.children {
		if strings.EqualFold(c.name, name) {
			return c
		}
	}
	c := &node{name: name, key: append(quote(name), ':')}
	n.children = append(n.children, c)
	return c
}

// quote returns v, a string or a list of strings, as JSON.
func quote[T string | []string](v T) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(v) // cannot fail: strings into memory
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// ---- reading the file

type member struct {
	name  string
	value json.RawMessage
}

// members returns the members of the JSON object in data, in their order.
func members(data []byte, what string) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	wrong := func(err error) error {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return inputErrorf(lineOf(data, syntax.Offset), "mapping: not valid JSON: %v", err)
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return inputErrorf(0, "mapping: the JSON ends too early")
		}
		return inputErrorf(0, "mapping: not valid JSON: %v", err)
	}
	if t, err := d.Token(); err != nil {
		return nil, wrong(err)
	} else if t != json.Delim('{') {
		return nil, inputErrorf(0, "%s must be a JSON object", what)
	}
	var list []member
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, wrong(err)
		}
		m := member{name: t.(string)}
		if err := d.Decode(&m.value); err != nil {
			return nil, wrong(err)
		}
		if seen[m.name] {
			return nil, inputErrorf(0, "mapping: %s names %q twice", what, m.name)
		}
		seen[m.name] = true
		list = append(list, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, wrong(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, inputErrorf(0, "mapping: something follows the JSON object")
	}
	return list, nil
}

func lineOf(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

func parseRule(path string, data json.RawMessage) (rule, error) {
	r := rule{path: path, separator: " "}
	where := "mapping: " + path
	if data[0] == '"' {
		var column string
		if json.Unmarshal(data, &column); column == "" {
			return r, inputErrorf(0, "%s: the column has no name", where)
		}
		r.columns = []string{column}
		return r, nil
	}
	if data[0] != '{' {
		return r, inputErrorf(0, "%s: expected a column name or an object, found %s", where, clip(string(data)))
	}
	list, err := members(data, path)
	if err != nil {
		return r, err
	}
	has := map[string]bool{}
	for _, m := range list {
		has[m.name] = true
		if err := r.parseMember(m, where); err != nil {
			return r, err
		}
	}
	switch {
	case has["constant"] && len(list) > 1:
		return r, inputErrorf(0, "%s: a constant goes with no other member", where)
	case has["column"] && has["columns"]:
		return r, inputErrorf(0, "%s: write column or columns, not both", where)
	case !has["column"] && !has["columns"] && !has["constant"]:
		return r, inputErrorf(0, "%s: needs a column or a constant", where)
	case has["separator"] && !has["columns"]:
		return r, inputErrorf(0, "%s: a separator goes with columns", where)
	case has["equals"] && has["type"]:
		return r, inputErrorf(0, "%s: equals makes a boolean; leave the type out", where)
	}
	return r, nil
}

func (r *rule) parseMember(m member, where string) (err error) {
	switch m.name {
	case "column":
		var column string
		if json.Unmarshal(m.value, &column) != nil || column == "" {
			return inputErrorf(0, "%s: column must be a name, found %s", where, clip(string(m.value)))
		}
		r.columns = []string{column}
	case "columns":
		var ok bool
		if r.columns, ok = parseStrings(m.value); !ok || len(r.columns) == 0 || slices.Contains(r.columns, "") {
			return inputErrorf(0, "%s: columns must be a list of names, found %s", where, clip(string(m.value)))
		}
	case "separator":
		if m.value[0] != '"' || json.Unmarshal(m.value, &r.separator) != nil {
			return inputErrorf(0, "%s: separator must be a string, found %s", where, clip(string(m.value)))
		}
	case "constant":
		if r.constant = m.value; m.value[0] == '{' || m.value[0] == '[' {
			return inputErrorf(0, "%s: constant must be a string, a number, true, false or null", where)
		}
	case "equals":
		r.equals, err = parseEquals(m.value, where)
	case "type":
		if json.Unmarshal(m.value, &r.kind) != nil || !slices.Contains([]string{"string", "boolean", "integer"}, r.kind) {
			return inputErrorf(0, `%s: type must be "string", "boolean" or "integer", found %s`, where, clip(string(m.value)))
		}
	case "empty":
		r.empty, err = parseEmpty(m.value, where)
	default:
		err = unknown(where, "member", m.name, []string{"column", "columns", "separator", "constant", "equals", "type", "empty"})
	}
	return err
}

func parseEquals(data json.RawMessage, where string) ([]string, error) {
	if data[0] == '"' {
		data = slices.Concat([]byte("["), data, []byte("]"))
	}
	list, ok := parseStrings(data)
	if !ok || len(list) == 0 {
		return nil, inputErrorf(0, "%s: equals must be a string or a list of strings", where)
	}
	return list, nil
}

// parseStrings reads a list of strings; null is neither.
func parseStrings(data json.RawMessage) ([]string, bool) {
	var list []*string
	if data[0] != '[' || json.Unmarshal(data, &list) != nil || slices.Contains(list, nil) {
		return nil, false
	}
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = *s
	}
	return texts, true
}

func parseEmpty(data json.RawMessage, where string) (string, error) {
	var s string
	if json.Unmarshal(data, &s) != nil || !slices.Contains([]string{"omit", "null", "keep"}, s) {
		return "", inputErrorf(0, `%s: empty must be "omit", "null" or "keep", found %s`, where, data)
	}
	return s, nil
}

// ---- attribute paths

// path is an attribute path of RFC 7644 section 3.5.2, cut into its pieces.
type path struct {
	urn      string // of an extension; "" for the core schema
	attr     string
	selector string // `"type":"work"` of attr[type eq "work"]
	sub      string
}

// The attributes of the core schema, RFC 7643 section 4.1, that a record may carry.
var (
	simple = []string{"externalId", "userName", "displayName", "nickName", "profileUrl", "title", "userType",
		"preferredLanguage", "locale", "timezone", "active"}
	nameParts = []string{"formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix"}
	multi     = []string{"emails", "phoneNumbers", "ims", "photos", "addresses", "entitlements", "roles", "x509Certificates"}
	multiSubs = []string{"value", "display", "type", "primary"}
	addrSubs  = []string{"formatted", "streetAddress", "locality", "region", "postalCode", "country", "type", "primary"}

	enterprise  = []string{"employeeNumber", "costCenter", "organization", "division", "department", "manager"}
	managerSubs = []string{"value", "displayName", "$ref"}
)

// isText reports whether RFC 7643 makes a string of the attribute. What it makes a boolean of, and what only
// the customer knows, keeps the type that the file gives it.
func (p path) isText() bool {
	return (p.urn == "" || p.urn == scim.EnterpriseURN) && p.attr != "active" && p.sub != "primary"
}

func parsePath(s string) (path, error) {
	var p path
	where := fmt.Sprintf("mapping: %q", s)
	head, tail, filtered := strings.Cut(s, "[")
	if len(head) >= 4 && strings.EqualFold(head[:4], "urn:") {
		i := strings.LastIndexByte(head, ':')
		p.urn, head = head[:i], head[i+1:]
		if strings.EqualFold(s, scim.UserURN) || strings.EqualFold(s, scim.EnterpriseURN) || !strings.Contains(p.urn, ":") {
			return p, inputErrorf(0, "%s: the attribute is missing after the schema", where)
		}
		if strings.ContainsAny(p.urn, " \t\r\n\"") {
			return p, inputErrorf(0, "%s: a schema URN has no blanks or quotes", where)
		}
	}
	var sub string
	if filtered {
		filter, rest, ok := cutFilter(tail)
		if !ok {
			return p, inputErrorf(0, `%s: expected a filter such as [type eq "work"]`, where)
		}
		p.selector, sub = filter, strings.TrimPrefix(rest, ".")
		if rest == "" || rest[0] != '.' {
			return p, inputErrorf(0, "%s: a sub-attribute must follow the filter, as in .value", where)
		}
		p.attr = head
	} else {
		var dotted bool
		if p.attr, sub, dotted = strings.Cut(head, "."); dotted && sub == "" {
			return p, inputErrorf(0, "%s: nothing follows the dot", where)
		}
	}
	p.sub = sub
	if !isName(p.attr) || (p.sub != "" && !isName(p.sub)) {
		return p, inputErrorf(0, "%s: not an attribute path; write for example name.givenName", where)
	}
	switch {
	case p.urn == "" || strings.EqualFold(p.urn, scim.UserURN):
		p.urn = ""
		return p, p.checkCore(where)
	case strings.EqualFold(p.urn, scim.EnterpriseURN):
		p.urn = scim.EnterpriseURN
		return p, p.checkEnterprise(where)
	}
	return p, nil
}

// checkCore checks the path against the core schema and gives its names their exact spelling.
func (p *path) checkCore(where string) error {
	if slices.ContainsFunc([]string{"password", "groups", "id", "meta", "schemas"}, func(n string) bool { return strings.EqualFold(n, p.attr) }) {
		return inputErrorf(0, "%s: %s cannot be provisioned", where, p.attr)
	}
	if spell(&p.attr, simple) {
		if p.sub != "" || p.selector != "" {
			return inputErrorf(0, "%s: %s is a single value; write only %[2]s", where, p.attr)
		}
		return nil
	}
	if strings.EqualFold(p.attr, "name") {
		p.attr = "name"
		if p.selector != "" || !spell(&p.sub, nameParts) {
			return unknown(where, "part of name", p.sub, nameParts)
		}
		return nil
	}
	if !spell(&p.attr, multi) {
		return unknown(where, "attribute", p.attr, slices.Concat(simple, multi, []string{"name"}))
	}
	subs, value := multiSubs, "value"
	if p.attr == "addresses" {
		subs, value = addrSubs, "country"
	}
	if p.selector == "" {
		return inputErrorf(0, `%s: %s has many values; write for example %[2]s[type eq "work"].%[3]s`, where, p.attr, value)
	}
	if !spell(&p.sub, subs) {
		return unknown(where, "part of "+p.attr, p.sub, subs)
	}
	return nil
}

func (p *path) checkEnterprise(where string) error {
	if !spell(&p.attr, enterprise) {
		return unknown(where, "attribute", p.attr, enterprise)
	}
	switch {
	case p.selector != "" || (p.attr != "manager" && p.sub != ""):
		return inputErrorf(0, "%s: %s is a single value", where, p.attr)
	case p.attr == "manager" && p.sub == "":
		return inputErrorf(0, "%s: write manager.value for the manager's externalId", where)
	case p.attr == "manager" && !spell(&p.sub, managerSubs):
		return unknown(where, "part of manager", p.sub, managerSubs)
	}
	return nil
}

// spell replaces name by its spelling in list; attribute names are not case-sensitive.
func spell(name *string, list []string) bool {
	i := slices.IndexFunc(list, func(n string) bool { return strings.EqualFold(n, *name) })
	if i >= 0 {
		*name = list[i]
	}
	return i >= 0
}

// cutFilter reads `type eq "work"]rest` and returns the filter as a JSON member.
func cutFilter(s string) (selector, rest string, ok bool) {
	attr, s, ok := strings.Cut(strings.TrimLeft(s, " "), " ")
	if !ok || !isName(attr) {
		return "", "", false
	}
	op, s, ok := strings.Cut(strings.TrimLeft(s, " "), " ")
	if !ok || !strings.EqualFold(op, "eq") {
		return "", "", false
	}
	d := json.NewDecoder(strings.NewReader(s))
	var value any
	if d.Decode(&value) != nil {
		return "", "", false
	}
	switch value.(type) {
	case string, bool:
	default:
		return "", "", false
	}
	literal := strings.TrimSpace(s[:d.InputOffset()])
	rest, ok = strings.CutPrefix(strings.TrimLeft(s[d.InputOffset():], " "), "]")
	return fmt.Sprintf("%s:%s", quote(attr), literal), rest, ok
}

func isName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || (r == '$' && i == 0)
		if !letter && (i == 0 || !(r >= '0' && r <= '9' || r == '-')) {
			return false
		}
	}
	return s != ""
}

// ---- near misses

// unknown says that a name is not in the list, and which one is nearest to it.
func unknown(where, what, name string, list []string) error {
	if best := nearest(name, list); best != "" {
		return inputErrorf(0, "%s: there is no %s %q; did you mean %q?", where, what, clip(name), clip(best))
	}
	shown := list[:min(len(list), 30)]
	return inputErrorf(0, "%s: there is no %s %q; there are: %s", where, what, clip(name), strings.Join(shown, ", "))
}

// nearest returns the name of the list that is a likely misspelling away, or "".
func nearest(name string, list []string) string {
	best, distance := "", max(2, utf8.RuneCountInString(name)/3)+1
	for _, l := range list {
		if d := edits(strings.ToLower(name), strings.ToLower(l)); l != "" && d < distance {
			best, distance = l, d
		}
	}
	return best
}

// edits is the Levenshtein distance of a and b, the first 200 characters of each.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	x, y = x[:min(len(x), 200)], y[:min(len(y), 200)]
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := diagonal
			if x[i] != y[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(y)]
}
