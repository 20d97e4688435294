package graph

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"induct/internal/graph/odata"
)

// mostMembers bounds what is kept of an application, or of a service principal, that means nothing here: its JSON, in bytes.
const mostMembers = 256 << 10

// appMember is a member of Graph's application or servicePrincipal that is kept as it is sent.
type appMember struct{ name, initial string } // initial: what it is until it is sent, as JSON; its type is that of later values, null takes a text

// applicationMembers are those of an application, in the order of answers.
var applicationMembers = []appMember{
	{"addIns", `[]`},
	{"api", `{"acceptMappedClaims":null,"knownClientApplications":[],"oauth2PermissionScopes":[],"preAuthorizedApplications":[],"requestedAccessTokenVersion":null}`},
	{"appRoles", `[]`},
	{"certification", `{}`},
	{"createdByAppId", `null`},
	{"defaultRedirectUri", `null`},
	{"description", `null`},
	{"disabledByMicrosoftStatus", `null`},
	{"groupMembershipClaims", `null`},
	{"identifierUris", `[]`},
	{"info", `{"logoUrl":null,"marketingUrl":null,"privacyStatementUrl":null,"supportUrl":null,"termsOfServiceUrl":null}`},
	{"isDeviceOnlyAuthSupported", `false`},
	{"isFallbackPublicClient", `false`},
	{"notes", `null`},
	{"optionalClaims", `{"accessToken":[],"idToken":[],"saml2Token":[]}`},
	{"parentalControlSettings", `{"countriesBlockedForMinors":[],"legalAgeGroupRule":"Allow"}`},
	{"publicClient", `{"redirectUris":[]}`},
	{"requiredResourceAccess", `[]`},
	{"samlMetadataUrl", `null`},
	{"serviceManagementReference", `null`},
	{"signInAudience", `"AzureADMyOrg"`},
	{"spa", `{"redirectUris":[]}`},
	{"tags", `[]`},
	{"tokenEncryptionKeyId", `null`},
	{"uniqueName", `null`},
	{"verifiedPublisher", `{"addedDateTime":null,"displayName":null,"verifiedPublisherId":null}`},
	{"web", `{"homePageUrl":null,"implicitGrantSettings":{"enableAccessTokenIssuance":false,"enableIdTokenIssuance":false},"logoutUrl":null,"redirectUriSettings":[],"redirectUris":[]}`},
}

// principalMembers are those of a service principal.
var principalMembers = []appMember{
	{"addIns", `[]`},
	{"alternativeNames", `[]`},
	{"appDescription", `null`},
	{"appRoleAssignmentRequired", `false`},
	{"createdByAppId", `null`},
	{"description", `null`},
	{"disabledByMicrosoftStatus", `null`},
	{"loginUrl", `null`},
	{"logoutUrl", `null`},
	{"notes", `null`},
	{"notificationEmailAddresses", `[]`},
	{"preferredSingleSignOnMode", `null`},
	{"preferredTokenSigningKeyThumbprint", `null`},
	{"resourceSpecificApplicationPermissions", `[]`},
	{"samlSingleSignOnSettings", `null`},
	{"tags", `[]`},
	{"tokenEncryptionKeyId", `null`},
	{"verifiedPublisher", `{"addedDateTime":null,"displayName":null,"verifiedPublisherId":null}`},
}

// objectMembers take an object although they are null at first.
var objectMembers = []string{"samlSingleSignOnSettings"}

// Members that answers hold and that nobody can write; a client may send back what it has read.
var (
	computedOfApplication = []string{"id", "appId", "applicationTemplateId", "createdDateTime", "deletedDateTime", "publisherDomain",
		"createdByAppId", "extensionProperties", "federatedIdentityCredentials", "owners", "synchronization"}
	computedOfPrincipal = []string{"id", "appId", "applicationTemplateId", "appDisplayName", "appOwnerOrganizationId", "appRoles", "createdDateTime",
		"createdByAppId", "deletedDateTime", "homepage", "info", "oauth2PermissionScopes", "owners", "passwordCredentials", "keyCredentials", "replyUrls", "servicePrincipalNames", "servicePrincipalType",
		"signInAudience", "synchronization"}
)

// membersOf reads kept members by name.
func membersOf(raw json.RawMessage) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	_ = json.Unmarshal(raw, &m) // it was written by us
	return m
}

// rendered returns the members as answers have them: those that Graph has first, then what else was sent.
func rendered(kept map[string]json.RawMessage, known []appMember) object {
	o := make(object, 0, len(known)+4)
	for _, m := range known {
		value, ok := kept[m.name]
		if !ok {
			value = json.RawMessage(m.initial)
		} else if m.initial[0] == '{' && value[0] == '{' { // what was not sent of an object is as it was at first
			value = mergeObject(json.RawMessage(m.initial), value)
		}
		o = append(o, member{m.name, value})
	}
	var more []string
	for name := range kept {
		if !slices.ContainsFunc(known, func(m appMember) bool { return m.name == name }) && name != keptExtensions {
			more = append(more, name)
		}
	}
	slices.Sort(more)
	for _, name := range more {
		o = append(o, member{name, kept[name]})
	}
	return o
}

// mergeObject puts the members of one JSON object over those of another.
func mergeObject(under, over json.RawMessage) json.RawMessage {
	u, o := membersOf(under), membersOf(over)
	for name, value := range o {
		u[name] = value
	}
	merged, err := json.Marshal(u)
	if err != nil {
		return over
	}
	return merged
}

// mergeMembers takes over what was sent: a member replaces, an object is merged with what is kept of it, null removes. Names
// are known in any case. What is taken has the type that Graph's member has.
func mergeMembers(kept, sent map[string]json.RawMessage, known []appMember) error {
	for name, value := range sent {
		i := slices.IndexFunc(known, func(m appMember) bool { return strings.EqualFold(m.name, name) })
		if !present(value) {
			if i >= 0 {
				name = known[i].name
			}
			delete(kept, name)
			continue
		}
		if i >= 0 {
			name = known[i].name
			if err := fits(known[i], value); err != nil {
				return err
			}
		}
		if old, ok := kept[name]; ok && value[0] == '{' && old[0] == '{' {
			value = mergeObject(old, value)
		}
		kept[name] = value
	}
	return nil
}

// fits checks the JSON type of a member, and of what is in it as far as Graph's initial value says.
func fits(m appMember, value json.RawMessage) error {
	want := kindOf(m.initial[0])
	if m.initial == "null" {
		want = "a text"
	}
	if slices.Contains(objectMembers, m.name) {
		want = "an object"
	}
	if got := kindOf(value[0]); got != want {
		return requestBad("Property '%s' is invalid: it is %s, and %s was sent.", m.name, want, got)
	}
	if want == "a list" {
		return fitElements(m.name, value)
	}
	for name, initial := range membersOf(json.RawMessage(m.initial)) {
		inner := membersOf(value)[name]
		if !present(inner) {
			continue
		}
		if string(initial) == "null" { // a text, a number, or true or false
			if inner[0] == '[' || inner[0] == '{' {
				return requestBad("Property '%s.%s' is invalid: %s was sent.", m.name, name, kindOf(inner[0]))
			}
			continue
		}
		if err := fits(appMember{m.name + "." + name, string(initial)}, inner); err != nil {
			return err
		}
	}
	return nil
}

// textLists are the members that are lists of texts; other lists are of objects.
var textLists = []string{"alternativeNames", "countriesBlockedForMinors", "identifierUris", "knownClientApplications", "notificationEmailAddresses", "redirectUris", "tags"}

// fitElements checks the JSON types of the elements of a list.
func fitElements(name string, value json.RawMessage) error {
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil {
		return requestBad("Property '%s' is invalid: it is a list.", name)
	}
	want := "an object"
	if slices.Contains(textLists, name[strings.LastIndexByte(name, '.')+1:]) {
		want = "a text"
	}
	for i, e := range list {
		if got := kindOf(e[0]); got != want {
			return requestBad("Property '%s' is invalid: element %d is %s, and it holds %s.", name, i, got, strings.TrimPrefix(strings.TrimPrefix(want, "a "), "an ")+"s")
		}
	}
	return nil
}

func kindOf(first byte) string {
	switch first {
	case '[':
		return "a list"
	case '{':
		return "an object"
	case '"':
		return "a text"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// pack writes members for the store.
func pack(members map[string]json.RawMessage) (json.RawMessage, error) {
	if len(members) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(members)
	if err == nil && len(raw) > mostMembers {
		err = requestBad("The properties take %d bytes, and %d are the most that is kept.", len(raw), mostMembers)
	}
	if n := entries(plainJSON(json.RawMessage(raw))); err == nil && n > mostEntries {
		err = requestBad("The lists of the properties have %d entries together, and %d are the most.", n, mostEntries)
	}
	return raw, err
}

// mostEntries bounds the lists of an app together, which filters go through (Microsoft identity platform: app manifest limits).
const mostEntries = 1200

// entries counts the elements of all lists in a JSON value.
func entries(v any) (n int) {
	switch v := v.(type) {
	case []any:
		n = len(v)
		for _, e := range v {
			n += entries(e)
		}
	case map[string]any:
		for _, e := range v {
			n += entries(e)
		}
	}
	return n
}

// take removes a member from what was sent, whatever its case, and returns its value; nil if it was not sent.
func take(sent map[string]json.RawMessage, name string) json.RawMessage {
	for n, value := range sent {
		if strings.EqualFold(n, name) {
			delete(sent, n)
			return value
		}
	}
	return nil
}

// drop removes members that are not to be kept: those named, and annotations.
func drop(sent map[string]json.RawMessage, names []string) {
	for n := range sent {
		if strings.Contains(n, "@") || slices.ContainsFunc(names, func(d string) bool { return strings.EqualFold(d, n) }) {
			delete(sent, n)
		}
	}
}

// textMember reads a member that is a text. null, or nothing, is "".
func textMember(name string, raw json.RawMessage, most int) (string, error) {
	if !present(raw) {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", requestBad("Property '%s' is invalid: it is a text.", name)
	}
	if len(s) > most {
		return "", requestBad("Property '%s' is invalid: it has %d bytes, and %d are the most.", name, len(s), most)
	}
	return strings.TrimSpace(s), nil
}

// requestBad is the directory's answer for a request that it refuses.
func requestBad(format string, args ...any) *problem {
	p := badRequest(format, args...)
	p.code = codeRequestBadRequest
	return p
}

// filtering reads values at lower-case paths for a filter, each once however often the filter names it.
func (o object) filtering() func(path string) any {
	read := map[string]any{}
	return func(path string) any {
		v, ok := read[path]
		if !ok {
			v = o.filtered(path)
			read[path] = v
		}
		return v
	}
}

// filtered reads the value at a lower-case path for a filter.
func (o object) filtered(path string) any {
	name, rest, nested := strings.Cut(path, "/")
	for _, m := range o {
		if strings.ToLower(m.name) != name {
			continue
		}
		v := plainJSON(m.value)
		for nested {
			of, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			name, rest, nested = strings.Cut(rest, "/")
			v = nil
			for n, inner := range of {
				if strings.EqualFold(n, name) {
					v = inner
				}
			}
		}
		return filterValue(v, path)
	}
	return odata.UnknownProperty{}
}

// plainJSON is a member's value as encoding/json reads it.
func plainJSON(v any) any {
	switch v.(type) {
	case nil, string, bool, int64:
		return v
	}
	var b bytes.Buffer
	if err := appendJSON(&b, v); err != nil {
		return nil
	}
	var plain any
	if err := json.Unmarshal(b.Bytes(), &plain); err != nil {
		return nil
	}
	return plain
}

// filterValue is a JSON value as filters compare it.
func filterValue(v any, path string) any {
	switch v := v.(type) {
	case string:
		if strings.HasSuffix(path, "datetime") {
			if t, err := time.Parse(time.RFC3339, v); err == nil {
				return t.UTC()
			}
		}
		return v
	case float64:
		return int64(v)
	case []any:
		texts := make([]string, 0, len(v))
		elements := make([]func(string) any, 0, len(v))
		for _, e := range v {
			if s, ok := e.(string); ok {
				texts = append(texts, s)
				continue
			}
			elements = append(elements, func(of string) any {
				m, _ := e.(map[string]any)
				for n, value := range m {
					if strings.EqualFold(n, of) {
						return filterValue(value, of)
					}
				}
				return nil
			})
		}
		if len(elements) > 0 {
			return elements
		}
		return texts
	case map[string]any:
		return nil
	}
	return v
}
