package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/language"

	"induct/internal/scim"
)

// Severity tells how bad a Problem is.
type Severity string

// The severities. An error is what the service will refuse, lose or fail at; a warning is what is
// probably not meant.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is something that is wrong with a record.
type Problem struct {
	Line     int      `json:"line,omitempty"` // see Record.Line; 0 if it is the file's as a whole
	Anchor   string   `json:"externalId,omitempty"`
	Path     string   `json:"path,omitempty"` // of the attribute, as in emails[0].value
	Severity Severity `json:"severity"`
	Message  string   `json:"message"` // what was found and what to do
}

// Result counts what Validate found.
type Result struct {
	Records    int  `json:"records"`
	Requests   int  `json:"requests"`   // that 50 operations each need
	Errors     int  `json:"errors"`     // problems of this severity
	Warnings   int  `json:"warnings"`   // also those that were told in one sentence for many records
	Duplicates int  `json:"duplicates"` // records whose externalId came before
	Complete   bool `json:"complete"`   // false if reading ended at a mistake
}

const (
	perRequest   = 50
	maxTold      = 100 // problems of one record, about; then the rest of it is not looked at
	largeRecord  = 100 << 10
	maxOperation = 4 << 20  // a service takes requests of this size
	maxTracked   = 10 << 20 // anchors that duplicates are looked for among; 16 bytes each and the table's slack
)

// Validate checks each record against the schemas of a user and an enterprise user (RFC 7643 sections
// 4.1 and 4.3) and calls report with each problem, in the order of the file. Nothing is sent.
//
// A row that cannot be read is a problem too, and the next one is tried; reading ends where that is not
// possible. The error is that of the file system. Memory does not grow with the file but for a
// number per externalId and userName, about 80 MB for a million people.
func Validate(src Source, report func(Problem)) (Result, error) {
	v := &validator{report: report, anchors: newTracker(), users: newTracker(), lacking: map[string]int{}}
	for {
		rec, err := src.Next()
		var input *InputError
		switch {
		case err == io.EOF:
			v.result.Complete = true
			v.tellLacking()
			v.unseen(src)
			return v.done(), nil
		case errors.As(err, &input):
			v.rec, v.told = Record{Line: input.Line}, 0
			v.errorf("", "%s", input.Msg)
			if !input.row {
				v.tellLacking()
				return v.done(), nil
			}
			continue
		case err != nil:
			return v.done(), err
		}
		v.rec, v.told = rec, 0
		v.result.Records++
		v.record()
	}
}

type validator struct {
	report  func(Problem)
	result  Result
	anchors tracker // by externalId
	users   tracker // by userName
	rec     Record
	told    int            // problems of rec
	lacking map[string]int // attributes that records lack, and how many do
}

// tracker knows where a text was seen last, whatever its case, and a tag with it.
type tracker struct {
	seed maphash.Seed
	at   map[uint64]seenAt
}

type seenAt struct {
	tag  uint32 // a hash
	line int32
}

func newTracker() tracker { return tracker{maphash.MakeSeed(), map[uint64]seenAt{}} }

// see returns where the text was seen before and whether with the same tag; 0 is nowhere.
func (t tracker) see(text, tag string, line int) (before int, same bool) {
	h := maphash.String(t.seed, strings.ToLower(text))
	now := seenAt{uint32(maphash.String(t.seed, tag)), int32(line)}
	at, ok := t.at[h]
	if ok || len(t.at) < maxTracked {
		t.at[h] = now
	}
	return int(at.line), ok && at.tag == now.tag
}

func (v *validator) done() Result {
	v.result.Requests = (v.result.Records + perRequest - 1) / perRequest
	return v.result
}

func (v *validator) errorf(path, format string, args ...any) {
	v.result.Errors++
	v.tell(path, SeverityError, format, args...)
}

func (v *validator) warnf(path, format string, args ...any) {
	v.result.Warnings++
	v.tell(path, SeverityWarning, format, args...)
}

// lacks warns of an attribute that is often missing everywhere: once in full, and in the end of the others.
func (v *validator) lacks(path, message string) {
	v.result.Warnings++
	if v.lacking[path]++; v.lacking[path] == 1 {
		v.tell(path, SeverityWarning, "%s", message)
	}
}

func (v *validator) tellLacking() {
	v.rec, v.told = Record{}, 0
	for _, path := range []string{"userName", "active", "schemas"} {
		if n := v.lacking[path] - 1; n > 0 {
			v.tell(path, SeverityWarning, "%d more records have no %s", n, path)
		}
	}
}

func (v *validator) tell(path string, s Severity, format string, args ...any) {
	v.told++
	v.report(Problem{Line: v.rec.Line, Anchor: clip(v.rec.Anchor), Path: path, Severity: s, Message: fmt.Sprintf(format, args...)})
}

// unseen warns of paths of the mapping at which no object held a value.
func (v *validator) unseen(src Source) {
	s, ok := src.(*mappedSource)
	if !ok {
		return
	}
	in, ok := s.in.(*jsonInput)
	if !ok || v.result.Records == 0 {
		return
	}
	v.rec = Record{}
	for _, p := range in.missing() {
		if near := nearest(p, in.known); near != "" {
			v.warnf("", "no record has a value at %q, which the mapping reads; did you mean %q?", p, near)
		} else {
			v.warnf("", "no record has a value at %q, which the mapping reads", p)
		}
	}
}

func (v *validator) record() {
	if !v.operation() {
		return
	}
	if n := len(v.rec.Data); n > maxOperation/2 {
		v.errorf("", "the record takes %d KiB; a request of this size is refused", n>>10)
	} else if n > largeRecord {
		v.warnf("", "the record takes %d KiB; is a photo or another file in it?", n>>10)
	}
	seen := v.members(v.rec.Data, "", coreAttributes)
	v.anchor(seen)
	if user, ok := seen["username"]; !ok || isBlank(user) {
		v.lacks("userName", "there is no userName; RFC 7643 requires one, and most mappings make the sign-in name of it")
	} else if user[0] == '"' {
		if line, same := v.users.see(strings.TrimSpace(unquote(user)), strings.TrimSpace(v.rec.Anchor), v.rec.Line); line > 0 && !same {
			v.warnf("userName", "the person at %d has the same userName; only one of them can be created", line)
		}
	}
	if active, ok := seen["active"]; !ok || isBlank(active) {
		v.lacks("active", "there is no active; depending on the job, a person without it is disabled or left as they are")
	}
	v.schemas(seen)
}

// operation checks method and path, and reports whether there is a record to check.
func (v *validator) operation() bool {
	switch {
	case v.rec.Method == "":
	case v.rec.Method == "DELETE":
		v.warnf("", "a DELETE does nothing; send the person with active false instead")
	case v.rec.Method == "POST":
		v.errorf("", "the path %q is refused; write /Users", clip(v.rec.Path))
	default:
		v.errorf("", "the method %s is refused; write POST, which creates and updates", clip(v.rec.Method))
	}
	if len(v.rec.BulkID) > scim.MaxBulkID {
		v.errorf("", "the bulkId has %d bytes; at most %d are taken", len(v.rec.BulkID), scim.MaxBulkID)
	}
	return v.rec.Data != nil
}

func (v *validator) anchor(seen map[string]json.RawMessage) {
	id := v.rec.Anchor
	switch raw, ok := seen["externalid"]; {
	case strings.TrimSpace(id) == "":
		v.errorf("externalId", "there is no externalId; it is what a person is recognised by")
		return
	case len(id) > scim.MaxAnchor:
		v.errorf("externalId", "the externalId has %d bytes; at most %d are taken", len(id), scim.MaxAnchor)
	case ok && raw[0] == '"' && strings.TrimSpace(unquote(raw)) != unquote(raw):
		v.warnf("externalId", "blanks stand around the externalId; they are not part of it")
	}
	id = strings.TrimSpace(id)
	switch line, same := v.anchors.see(id, id, v.rec.Line); {
	case line == 0:
	case same:
		v.result.Duplicates++
		v.warnf("externalId", "the record at %d has the same externalId; the later one counts", line)
	default:
		v.warnf("externalId", "the externalId differs from that at %d only in upper and lower case; are they one person?", line)
	}
	if managerOf(v.rec.Data) == id {
		v.warnf(managerPath, "the person is their own manager")
	}
}

const managerPath = scim.EnterpriseURN + ":manager.value"

func managerOf(user []byte) string {
	m := memberOf(user, scim.EnterpriseURN)
	if m == nil || m[0] != '{' {
		return ""
	}
	if m = memberOf(m, "manager"); m == nil || m[0] != '{' {
		return ""
	}
	if m = memberOf(m, "value"); m == nil || m[0] != '"' {
		return ""
	}
	return unquote(m)
}

func isBlank(raw []byte) bool {
	return raw[0] == 'n' || raw[0] == '"' && strings.TrimSpace(unquote(raw)) == ""
}

func unquote(raw []byte) string { return string(decodeName(raw)) }

// schemas checks that the extensions of the record are named.
func (v *validator) schemas(seen map[string]json.RawMessage) {
	var list []string
	raw, ok := seen["schemas"]
	switch {
	case !ok:
		v.lacks("schemas", "there is no schemas; it must list the schemas of the record, such as "+scim.UserURN)
		return
	case json.Unmarshal(raw, &list) != nil || raw[0] != '[':
		v.errorf("schemas", "schemas must be a list of strings")
		return
	case !slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, scim.UserURN) }):
		v.warnf("schemas", "schemas does not list %q", scim.UserURN)
	}
	for name, value := range seen {
		if strings.HasPrefix(name, "urn:") && value[0] == '{' && !slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) }) {
			v.warnf("schemas", "schemas does not list %q, which the record has", clip(name))
		}
	}
}

// ---- attributes

// kind is the shape of an attribute's value.
type kind uint8

const (
	textKind    kind = iota
	booleanKind      // true or false
	complexKind      // an object
	multiKind        // a list of objects
	ignoredKind      // the service sets it
	anyKind
)

// attribute is what RFC 7643 says of an attribute.
type attribute struct {
	name  string
	kind  kind
	subs  attributes
	types []string                  // canonical values of type
	check func(value string) string // says what is wrong with a text, or ""
}

type attributes []attribute

func (a attributes) find(name string) (attribute, bool) {
	for _, x := range a {
		if strings.EqualFold(x.name, name) {
			return x, true
		}
	}
	return attribute{}, false
}

func (a attributes) names() []string {
	var names []string
	for _, x := range a {
		names = append(names, x.name)
	}
	return names
}

func textAttributes(names ...string) attributes {
	var a attributes
	for _, n := range names {
		a = append(a, attribute{name: n})
	}
	return a
}

// multiValued is an attribute with the sub-attributes of RFC 7643 section 2.4.
func multiValued(name string, check func(string) string, types ...string) attribute {
	return attribute{name: name, kind: multiKind, types: types, subs: attributes{
		{name: "value", check: check}, {name: "display"}, {name: "type"}, {name: "primary", kind: booleanKind}, {name: "$ref"}}}
}

var coreAttributes = slices.Concat(attributes{
	{name: "schemas", kind: anyKind}, {name: "externalId"},
	{name: "id", kind: ignoredKind}, {name: "meta", kind: ignoredKind}, {name: "groups", kind: ignoredKind}, {name: "password", kind: ignoredKind},
	{name: "name", kind: complexKind, subs: textAttributes(nameParts...)},
	{name: "profileUrl", check: checkURL}, {name: "preferredLanguage", check: checkLanguages}, {name: "locale", check: checkLanguage},
	{name: "timezone", check: checkTimezone}, {name: "active", kind: booleanKind},
	multiValued("emails", checkEmail, "work", "home", "other"),
	multiValued("phoneNumbers", nil, "work", "home", "mobile", "fax", "pager", "other"),
	multiValued("ims", nil, "aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
	multiValued("photos", checkURL, "photo", "thumbnail"),
	multiValued("entitlements", nil), multiValued("roles", nil), multiValued("x509Certificates", nil),
	{name: "addresses", kind: multiKind, types: []string{"work", "home", "other"}, subs: slices.Concat(
		textAttributes("formatted", "streetAddress", "locality", "region", "postalCode", "type"),
		attributes{{name: "country", check: checkCountry}, {name: "primary", kind: booleanKind}})},
}, textAttributes("userName", "displayName", "nickName", "title", "userType"))

var enterpriseAttributes = append(textAttributes("employeeNumber", "costCenter", "organization", "division", "department"),
	attribute{name: "manager", kind: complexKind, subs: textAttributes(managerSubs...)})

// members checks an object's members and returns them by name in lower case. Prefix is the path of the object with its
// separator.
func (v *validator) members(object []byte, prefix string, known attributes) map[string]json.RawMessage {
	seen := make(map[string]json.RawMessage, 8)
	each(object, func(n, value []byte) bool {
		if v.told >= maxTold {
			return false
		}
		name := string(n)
		folded := strings.ToLower(name)
		if _, ok := seen[folded]; ok {
			v.errorf(prefix+clip(name), "the attribute stands twice, in different case; leave one")
			return true
		}
		seen[folded] = value
		if prefix == "" && strings.Contains(name, ":") {
			v.extension(name, value)
			return true
		}
		a, ok := known.find(name)
		if !ok {
			if near := nearest(name, known.names()); near != "" {
				v.warnf(prefix+clip(name), "no schema has this attribute; did you mean %s?", near)
			} else {
				v.warnf(prefix+clip(name), "no schema has this attribute; put your own into an extension such as \"urn:example:hr\": {…}")
			}
			return true
		}
		if a.name != name {
			v.warnf(prefix+name, "write %s: not every reader takes names in another case", a.name)
		}
		v.value(a, prefix+a.name, value)
		return true
	})
	return seen
}

// extension checks the attributes of a schema, or one of them that is written flat behind its URN.
func (v *validator) extension(name string, value []byte) {
	switch colon := strings.LastIndexByte(name, ':'); {
	case strings.EqualFold(name, scim.EnterpriseURN):
		if v.shape(name, value, '{', "an object") {
			v.members(value, scim.EnterpriseURN+":", enterpriseAttributes)
		}
	case strings.EqualFold(name, scim.UserURN):
		if v.shape(name, value, '{', "an object") {
			v.members(value, scim.UserURN+":", coreAttributes)
		}
	case strings.EqualFold(name[:colon], scim.EnterpriseURN):
		if a, ok := enterpriseAttributes.find(name[colon+1:]); ok {
			v.value(a, name, value)
		} else {
			v.warnf(clip(name), "the enterprise schema has no such attribute")
		}
	case value[0] == '{':
		each(value, func(n, value []byte) bool {
			v.custom(clip(name)+":"+clip(string(n)), value)
			return v.told < maxTold
		})
	default:
		v.custom(clip(name), value)
	}
}

// custom checks an attribute of the customer's own: only what its name promises.
func (v *validator) custom(path string, value []byte) {
	name := strings.ToLower(path[strings.LastIndexByte(path, ':')+1:])
	if value[0] != '"' || !strings.HasSuffix(name, "date") && !strings.HasPrefix(name, "date") {
		return
	}
	if text := unquote(value); text != "" && !isDate(text) {
		v.warnf(path, "%q is no date in the form of ISO 8601; write 2026-03-31 or 2026-03-31T00:00:00Z", clip(text))
	}
}

func isDate(s string) bool {
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04Z07:00"} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

// shape reports whether a value begins as it must, and that it does not unless it is null.
func (v *validator) shape(path string, value []byte, first byte, want string) bool {
	if value[0] != first && value[0] != 'n' {
		v.errorf(path, "it must be %s, found %s", want, clip(string(value)))
	}
	return value[0] == first
}

func (v *validator) value(a attribute, path string, value []byte) {
	switch a.kind {
	case ignoredKind:
		v.warnf(path, "%s cannot be provisioned; leave it out", a.name)
	case booleanKind:
		v.boolean(path, value)
	case complexKind:
		want := "an object"
		if a.name == "manager" {
			want = `an object such as {"value": "the manager's externalId"}`
		}
		if v.shape(path, value, '{', want) {
			v.members(value, path+".", a.subs)
		}
	case multiKind:
		if v.shape(path, value, '[', `a list such as [{"type": "work", …}]`) {
			v.elements(a, path, value)
		}
	case textKind:
		v.text(a, path, value)
	}
}

func (v *validator) text(a attribute, path string, value []byte) {
	if a.name == "externalId" && value[0] != '"' && v.rec.Anchor != "" {
		v.warnf(path, "write it as a string, in quotes: numbers lose leading zeros")
		return
	}
	if !v.shape(path, value, '"', "a string") {
		return
	}
	text := unquote(value)
	if strings.ContainsRune(text, utf8.RuneError) {
		v.warnf(path, "the text holds the replacement character U+FFFD: it was read in a wrong encoding")
	}
	if a.check == nil || strings.TrimSpace(text) == "" {
		return
	}
	if wrong := a.check(text); wrong != "" {
		v.warnf(path, "%q %s", clip(text), wrong)
	}
}

func (v *validator) boolean(path string, value []byte) {
	switch {
	case value[0] == 't', value[0] == 'f', value[0] == 'n':
	case value[0] == '"' && (strings.EqualFold(unquote(value), "true") || strings.EqualFold(unquote(value), "false")):
		v.warnf(path, `write %s without quotes; in a mapping, "type": "boolean" does it`, strings.ToLower(unquote(value)))
	default:
		v.errorf(path, `it must be true or false, found %s; in a mapping, "equals" names the values that mean true`, clip(string(value)))
	}
}

// elements checks the values of a list: their types, and that at most one is primary.
func (v *validator) elements(a attribute, path string, list []byte) {
	primary, i := 0, 0
	each(list, func(_, value []byte) bool {
		if v.told >= maxTold {
			return false
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		i++
		if !v.shape(at, value, '{', "an object") {
			return true
		}
		seen := v.members(value, at+".", a.subs)
		if bytes.Equal(seen["primary"], []byte("true")) {
			primary++
		}
		kind, ok := seen["type"]
		switch {
		case len(a.types) == 0:
		case !ok || kind[0] != '"':
			v.warnf(at, "it has no type; only the values whose type a mapping names are read, such as %s", a.types[0])
		case !slices.Contains(a.types, unquote(kind)):
			v.warnf(at+".type", "%q is none of the usual types: %s", clip(unquote(kind)), strings.Join(a.types, ", "))
		}
		return true
	})
	if primary > 1 {
		v.errorf(path, "%d values are primary; at most one may be", primary)
	}
}

// ---- forms of texts

func checkEmail(s string) string {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(s, " \t\r\n,;<>") || strings.Contains(domain, "@") ||
		domain[0] == '.' || domain[len(domain)-1] == '.' || strings.Contains(domain, "..") {
		return "is no e-mail address"
	}
	return ""
}

func checkURL(s string) string {
	if u, err := url.Parse(s); err != nil || u.Scheme == "" {
		return "is no URL; write it with its scheme, as in https://"
	}
	return ""
}

func checkCountry(s string) string {
	const must = "is no country code of ISO 3166-1 alpha-2"
	r, err := language.ParseRegion(s)
	switch {
	case len(s) == 2 && strings.ToUpper(s) == s && err == nil && r.IsCountry() && r.Canonicalize().String() == s:
		return ""
	case err == nil && r.IsCountry():
		return must + "; write " + r.Canonicalize().String()
	}
	return must + " such as DE"
}

func checkLanguage(s string) string {
	if _, err := language.Parse(s); err != nil || strings.Contains(s, "_") {
		return "is no language tag of BCP 47; write for example en-US"
	}
	return ""
}

// checkLanguages is for preferredLanguage, which has the form of Accept-Language.
func checkLanguages(s string) string {
	if _, _, err := language.ParseAcceptLanguage(s); err != nil || strings.Contains(s, "_") {
		return "is no language tag of BCP 47; write for example en-US"
	}
	return ""
}

func checkTimezone(s string) string {
	if strings.Contains(s, " ") || !strings.Contains(s, "/") && s != "UTC" && s != "GMT" {
		return "is no name of the IANA time zone database; write for example Europe/Berlin"
	}
	return ""
}
