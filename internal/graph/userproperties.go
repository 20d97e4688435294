package graph

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"induct/internal/expr"
	"induct/internal/graph/odata"
	"induct/internal/provision"
)

// property is a property of Graph's user.
type property struct {
	name      string // Graph's
	attribute string // the directory's
	kind      propertyKind
	usual     bool // returned without $select; deletedDateTime is too, if there is one
	filter    support
}

type propertyKind uint8

const (
	text propertyKind = iota
	boolean
	date
	list
	phones // a list made of one text
	computed
	nothing // always null
	nobody  // always an empty list
)

// level says what a query must say to be answered.
type level uint8

const (
	unsupported level = iota
	simple
	advanced // ConsistencyLevel: eventual and $count=true (Microsoft Graph: advanced query capabilities on directory objects)
)

// support is which operators $filter has for a property; ne and not are advanced wherever eq is supported.
type support struct{ eq, order, in, prefix level }

// The lines of the published table (Microsoft Graph: advanced query capabilities on directory objects), by what they have in common.
var (
	never           = support{}
	byEqual         = support{eq: simple, in: simple}
	byAll           = support{simple, simple, simple, simple}
	byTime          = support{eq: simple, order: simple, in: advanced}
	byElement       = support{eq: simple, order: simple, prefix: simple}
	byLicense       = support{eq: simple}
	advancedAll     = support{advanced, advanced, advanced, advanced}
	advancedOrder   = support{eq: advanced, order: advanced, in: advanced}
	advancedEqual   = support{eq: advanced, in: advanced}
	advancedTime    = support{eq: advanced, order: advanced}
	advancedElement = support{eq: advanced, order: advanced, prefix: advanced}
	byExtension     = support{eq: simple, order: advanced, in: simple, prefix: simple}
)

// properties are those of users, in the order of answers; directory extensions are apart. What the directory has no place
// for is null or empty, as it is for a user of Graph who has none.
var properties = []property{
	{"id", "", computed, true, byEqual},
	{"businessPhones", "telephoneNumber", phones, true, advancedElement},
	{"displayName", "displayName", text, true, byAll},
	{"givenName", "givenName", text, true, byAll},
	{"jobTitle", "jobTitle", text, true, byAll},
	{"mail", "mail", text, true, byAll},
	{"mobilePhone", "mobile", text, true, advancedAll},
	{"officeLocation", "physicalDeliveryOfficeName", text, true, advancedAll},
	{"preferredLanguage", "preferredLanguage", text, true, advancedAll},
	{"surname", "surname", text, true, byAll},
	{"userPrincipalName", "userPrincipalName", text, true, byAll},
	{"accountEnabled", "accountEnabled", boolean, false, byEqual},
	{"ageGroup", "ageGroup", text, false, byEqual},
	{"assignedLicenses", "", nobody, false, byLicense},
	{"assignedPlans", "", nobody, false, byLicense},
	{"authorizationInfo", "", computed, false, never},
	{"city", "city", text, false, byAll},
	{"companyName", "companyName", text, false, advancedAll},
	{"consentProvidedForMinor", "consentProvidedForMinor", text, false, byEqual},
	{"country", "country", text, false, byAll},
	{"createdDateTime", "", computed, false, byTime},
	{"creationType", "", nothing, false, byEqual},
	{"customSecurityAttributes", "", nothing, false, never},
	{"deletedDateTime", "", computed, false, byTime},
	{"department", "department", text, false, byAll},
	{"employeeHireDate", "employeeHireDate", date, false, advancedOrder},
	{"employeeId", "employeeId", text, false, byAll},
	{"employeeLeaveDateTime", "employeeLeaveDateTime", date, false, advancedTime},
	{"employeeOrgData", "", computed, false, advancedOrder},
	{"employeeType", "employeeType", text, false, advancedAll},
	{"externalUserState", "", nothing, false, byEqual},
	{"externalUserStateChangeDateTime", "", nothing, false, never},
	{"faxNumber", "facsimileTelephoneNumber", text, false, advancedAll},
	{"identities", "", computed, false, byElement},
	{"imAddresses", "", nobody, false, byElement},
	{"isManagementRestricted", "", nothing, false, never},
	{"isResourceAccount", "", nothing, false, never},
	{"lastPasswordChangeDateTime", "", nothing, false, never},
	{"legalAgeGroupClassification", "", nothing, false, never},
	{"licenseAssignmentStates", "", nobody, false, never},
	{"mailNickname", "mailNickname", text, false, byAll},
	{"onPremisesDistinguishedName", "onPremisesDistinguishedName", text, false, never},
	{"onPremisesDomainName", "onPremisesDomainName", text, false, never},
	{"onPremisesExtensionAttributes", "", computed, false, advancedOrder},
	{"onPremisesImmutableId", "onPremisesImmutableId", text, false, byAll},
	{"onPremisesLastSyncDateTime", "", nothing, false, never},
	{"onPremisesProvisioningErrors", "", nobody, false, never},
	{"onPremisesSamAccountName", "onPremisesSamAccountName", text, false, advancedAll},
	{"onPremisesSecurityIdentifier", "onPremisesSecurityIdentifier", text, false, never},
	{"onPremisesSyncEnabled", "", nothing, false, byEqual},
	{"onPremisesUserPrincipalName", "onPremisesUserPrincipalName", text, false, byAll},
	{"otherMails", "otherMails", list, false, byElement},
	{"passwordPolicies", "passwordPolicies", text, false, never},
	{"passwordProfile", "", nothing, false, never},
	{"postalCode", "postalCode", text, false, advancedAll},
	{"preferredDataLocation", "preferredDataLocation", text, false, never},
	{"provisionedPlans", "", nobody, false, never},
	{"proxyAddresses", "proxyAddresses", list, false, byElement},
	{"securityIdentifier", "", nothing, false, never},
	{"serviceProvisioningErrors", "", nobody, false, never},
	{"showInAddressList", "showInAddressList", boolean, false, advancedEqual},
	{"signInActivity", "", nothing, false, never},
	{"signInSessionsValidFromDateTime", "", computed, false, never},
	{"state", "state", text, false, byAll},
	{"streetAddress", "streetAddress", text, false, advancedAll},
	{"usageLocation", "usageLocation", text, false, byAll},
	{"userType", "userType", text, false, byEqual},
}

// value is a property's value as JSON has it.
func (p property) value(o *provision.Object) any {
	switch p.name {
	case "id":
		return o.ID
	case "createdDateTime", "signInSessionsValidFromDateTime":
		return timeOrNull(o.Created.Truncate(time.Second))
	case "authorizationInfo":
		return object{{"certificateUserIds", []string{}}}
	case "identities":
		return identities(o)
	case "deletedDateTime":
		return timeOrNull(o.Deleted.Truncate(time.Second))
	case "employeeOrgData":
		return nested(o, "employeeOrgData.", []string{"costCenter", "division"}, true)
	case "onPremisesExtensionAttributes":
		return nested(o, "", extensionAttributes(), false)
	}
	switch p.kind {
	case nothing:
		return nil
	case nobody:
		return []object{}
	}
	v := attribute(o, p.attribute)
	switch p.kind {
	case list, phones:
		return texts(v)
	case boolean:
		if b, ok := v.AsBool(); ok {
			return b
		}
		return nil
	case date:
		if t, ok := parseTime(v.String()); ok {
			return timestamp(t)
		}
		return nil
	}
	return textOrNull(v)
}

// identities is how a user is known at sign-in: by userPrincipalName, to the domain that it ends in.
func identities(o *provision.Object) []object {
	upn := attribute(o, "userPrincipalName").String()
	_, domain, ok := strings.Cut(upn, "@")
	if !ok {
		return []object{}
	}
	return []object{{{"signInType", "userPrincipalName"}, {"issuer", domain}, {"issuerAssignedId", upn}}}
}

// attribute returns an attribute of an object by its name in any case; null if it has none.
func attribute(o *provision.Object, name string) expr.Value {
	if v, ok := o.Attributes[name]; ok {
		return v
	}
	for n, v := range o.Attributes {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return expr.Value{}
}

func textOrNull(v expr.Value) any {
	if v.IsNull() {
		return nil
	}
	return v.String()
}

func texts(v expr.Value) []string {
	out := []string{}
	for _, e := range v.Elems() {
		if !e.IsEmpty() {
			out = append(out, e.String())
		}
	}
	return out
}

// nested is a complex property whose members are attributes; null if none has a value and empty is null.
func nested(o *provision.Object, prefix string, names []string, emptyIsNull bool) any {
	out, empty := object{}, true
	for _, n := range names {
		v := textOrNull(attribute(o, prefix+n))
		empty = empty && v == nil
		out = append(out, member{n, v})
	}
	if empty && emptyIsNull {
		return nil
	}
	return out
}

func extensionAttributes() []string {
	names := make([]string, 15)
	for i := range names {
		names[i] = "extensionAttribute" + strconv.Itoa(i+1)
	}
	return names
}

// parseTime reads a date, with or without a time of day, as targets keep it.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateOnly, "1/2/2006 3:04:05 PM"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// userObject renders the properties that $select names, or the usual ones. A name that is none is left out, as Graph does.
func userObject(o *provision.Object, selected []string) object {
	out := object{}
	all := slices.Contains(selected, "*")
	for _, p := range properties {
		usual := p.usual || p.name == "deletedDateTime" && !o.Deleted.IsZero()
		if all || len(selected) == 0 && usual || slices.Contains(selected, strings.ToLower(p.name)) {
			out = append(out, member{p.name, p.value(o)})
		}
	}
	for _, name := range slices.Sorted(keys(o.Attributes)) {
		if isExtension(name) && (all || slices.Contains(selected, strings.ToLower(name))) {
			out = append(out, member{name, extensionValue(o.Attributes[name])})
		}
	}
	return out
}

func keys(m map[string]expr.Value) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// isExtension reports whether an attribute is a directory extension, extension_<app>_<name>.
func isExtension(name string) bool {
	return len(name) > 10 && strings.EqualFold(name[:10], "extension_")
}

func extensionValue(v expr.Value) any {
	switch v.Kind() {
	case expr.Boolean:
		b, _ := v.AsBool()
		return b
	case expr.Integer:
		n, _ := v.AsInt()
		return n
	case expr.List:
		return texts(v)
	}
	return textOrNull(v)
}

// propertyPlaces are the places of properties by their names in lower case.
var propertyPlaces = func() map[string]int {
	places := make(map[string]int, len(properties))
	for i, p := range properties {
		places[strings.ToLower(p.name)] = i
	}
	return places
}()

// findProperty returns the property with a name in lower case.
func findProperty(name string) (property, bool) {
	i, ok := propertyPlaces[name]
	if !ok {
		return property{}, false
	}
	return properties[i], true
}

// userProperty returns the value of a user's property by its lower-case path, for a filter.
func userProperty(o *provision.Object, path string) any {
	first, rest, deep := strings.Cut(path, "/")
	if isExtension(first) && !deep {
		return extensionValue(attribute(o, first))
	}
	p, ok := findProperty(first)
	if !ok {
		return odata.UnknownProperty{}
	}
	switch p.name {
	case "employeeOrgData":
		if rest == "costcenter" || rest == "division" {
			return textOrNull(attribute(o, "employeeOrgData."+rest))
		}
		return odata.UnknownProperty{}
	case "onPremisesExtensionAttributes":
		if slices.ContainsFunc(extensionAttributes(), func(n string) bool { return strings.EqualFold(n, rest) }) {
			return textOrNull(attribute(o, rest))
		}
		return odata.UnknownProperty{}
	}
	switch {
	case deep:
		return odata.UnknownProperty{}
	case p.name == "createdDateTime":
		return timeValue(o.Created)
	case p.name == "deletedDateTime":
		return timeValue(o.Deleted)
	case p.kind == date:
		if t, ok := parseTime(attribute(o, p.attribute).String()); ok {
			return t
		}
		return nil
	}
	switch v := p.value(o).(type) {
	case []object:
		elements := make([]func(string) any, len(v))
		for i := range v {
			elements[i] = v[i].filtered
		}
		return elements
	default:
		return v
	}
}

func timeValue(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Truncate(time.Second)
}
