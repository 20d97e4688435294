package graph

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"induct/internal/expr"
	"induct/internal/provision"
)

// requiredOfUsers is what a new user must have, beside passwordProfile (user: create).
var requiredOfUsers = []string{"accountEnabled", "displayName", "mailNickname", "userPrincipalName"}

// mostExtensionName is how many bytes the name of a directory extension has: extension_{appId}_{name}.
const mostExtensionName = 256

// What a user may grow to, because lists of users hold many at once: 100 directory extension values (Microsoft Graph: add custom
// data to resources using extensions), and the elements of each list.
const (
	mostExtensionValues = 100
	mostElements        = 1000
)

// refusedProperty is the directory's answer for a member of a body that it does not take.
func refusedProperty(name, message string) *problem {
	return &problem{status: http.StatusBadRequest, code: codeRequestBadRequest, message: message, details: []errorDetail{{"InvalidValue", message, name}}}
}

// postUser makes a user (user: create). No password is kept: it must be there, and is not looked at.
func (c *call) postUser() error {
	members, err := c.userMembers()
	if err != nil {
		return err
	}
	set, err := assignments(members)
	if err != nil {
		return err
	}
	for _, name := range requiredOfUsers {
		p, _ := findProperty(strings.ToLower(name))
		if !slices.ContainsFunc(set, func(a provision.Assignment) bool { return a.Attribute == p.attribute && !a.Value.IsEmpty() }) {
			return refusedProperty(name, "A value is required for property '"+name+"' of resource 'User'.")
		}
	}
	var password struct{ Password string }
	if err := json.Unmarshal(members["passwordprofile"].value, &password); err != nil || password.Password == "" {
		return refusedProperty("passwordProfile", "A value is required for property 'passwordProfile' of resource 'User'.")
	}
	if _, given := members["usertype"]; !given {
		set = append(set, provision.Assignment{Attribute: "userType", Value: expr.Text("Member")})
	}
	if err := checkExtensions(&provision.Object{}, set); err != nil {
		return err
	}
	u, err := c.s.Service.CreateObject(c.r.Context(), set)
	if err != nil {
		return refusedWrite(err)
	}
	c.w.Header().Set("Location", c.root()+"/users/"+u.ID)
	c.json(http.StatusCreated, append(object{{"@odata.context", c.context("users/$entity")}}, userObject(u, nil)...))
	return nil
}

// patchUser changes a user (user: update).
func (c *call) patchUser() error {
	members, err := c.userMembers()
	if err != nil {
		return err
	}
	set, err := assignments(members)
	if err != nil {
		return err
	}
	u, err := c.user()
	if err != nil {
		return err
	}
	if err := errors.Join(c.mayChange(u.ID), checkExtensions(u, set)); err != nil {
		return err
	}
	if len(set) > 0 {
		if _, err := c.s.Service.UpdateObject(c.r.Context(), u.ID, set); err != nil {
			return missingUser(refusedWrite(err), u.ID)
		}
	}
	return c.none(http.StatusNoContent)
}

// checkExtensions refuses a change after which a user would have too many directory extensions.
func checkExtensions(u *provision.Object, set []provision.Assignment) error {
	has := map[string]bool{}
	for name, v := range u.Attributes {
		if isExtension(strings.ToLower(name)) && !v.IsEmpty() {
			has[name] = true
		}
	}
	before := len(has)
	for _, a := range set {
		switch {
		case !isExtension(strings.ToLower(a.Attribute)):
		case a.Value.IsEmpty():
			delete(has, a.Attribute)
		default:
			has[a.Attribute] = true
		}
	}
	if n := len(has); n > mostExtensionValues && n > before {
		return requestBad("The user would have %d directory extension values, and %d are the most: clear those that are not used, by null.", n, mostExtensionValues)
	}
	return nil
}

// sentMember is a member of a user's body.
type sentMember struct {
	name  string // as sent
	value json.RawMessage
}

// userMembers reads the body, by the members' names in lower case. Annotations are passed over.
func (c *call) userMembers() (map[string]sentMember, error) {
	body, err := c.jsonBody()
	if err != nil {
		return nil, err
	}
	sent, err := parseMembers(body)
	if err != nil {
		return nil, err
	}
	members := make(map[string]sentMember, len(sent))
	for name, value := range sent {
		if strings.Contains(name, "@odata.") {
			if strings.HasSuffix(name, "@odata.bind") {
				return nil, refusedProperty(name, "Invalid property '"+clip(name)+"'.")
			}
			continue
		}
		if other, twice := members[strings.ToLower(name)]; twice {
			return nil, refusedProperty(name, "Property '"+clip(other.name)+"' is given twice.")
		}
		members[strings.ToLower(name)] = sentMember{name, value}
	}
	return members, nil
}

// assignments are what the members of a user's body set.
func assignments(members map[string]sentMember) (set []provision.Assignment, err error) {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		sent := members[name]
		of, err := assignmentsOf(name, sent)
		if err != nil {
			return nil, err
		}
		set = append(set, of...)
	}
	return set, nil
}

func assignmentsOf(name string, sent sentMember) ([]provision.Assignment, error) {
	if isExtension(name) {
		if len(name) > mostExtensionName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return nil, refusedProperty(sent.name, "Invalid property '"+clip(sent.name)+"'.")
		}
		v, err := openValue(sent.value)
		if len(v.Elems()) > mostElements {
			return nil, tooMany(sent.name)
		}
		if err != nil || sent.value[0] == '{' {
			return nil, wrongType(sent.name, "a text, a number, true or false, or a list of texts")
		}
		return []provision.Assignment{{Attribute: sent.name, Value: v}}, nil
	}
	p, ok := findProperty(name)
	switch {
	case !ok:
		return nil, refusedProperty(sent.name, "Invalid property '"+clip(sent.name)+"'.")
	case p.name == "passwordProfile":
		return nil, nil
	case p.name == "employeeOrgData":
		return nestedAssignments(p.name, "employeeOrgData.", []string{"costCenter", "division"}, sent.value)
	case p.name == "onPremisesExtensionAttributes":
		return nestedAssignments(p.name, "", extensionAttributes(), sent.value)
	case p.attribute == "":
		if text := string(sent.value); text == "null" || text == "[]" {
			return nil, nil
		}
		return nil, refusedProperty(p.name, "Property '"+p.name+"' is read-only and cannot be set.")
	}
	v, err := p.parse(sent.value)
	return []provision.Assignment{{Attribute: p.attribute, Value: v}}, err
}

// nestedAssignments reads a complex property whose members are attributes; null clears them all.
func nestedAssignments(name, prefix string, of []string, raw json.RawMessage) (set []provision.Assignment, err error) {
	var members map[string]*string
	if json.Unmarshal(raw, &members) != nil {
		return nil, wrongType(name, "an object of texts")
	}
	if members == nil {
		for _, n := range of {
			set = append(set, provision.Assignment{Attribute: prefix + n})
		}
		return set, nil
	}
	for _, n := range slices.Sorted(func(yield func(string) bool) {
		for n := range members {
			if !yield(n) {
				return
			}
		}
	}) {
		if strings.Contains(n, "@") {
			continue
		}
		i := slices.IndexFunc(of, func(known string) bool { return strings.EqualFold(known, n) })
		if i < 0 {
			return nil, refusedProperty(name+"/"+clip(n), "Invalid property '"+clip(n)+"'.")
		}
		a := provision.Assignment{Attribute: prefix + of[i]}
		if members[n] != nil {
			a.Value = expr.Text(*members[n])
		}
		set = append(set, a)
	}
	return set, nil
}

// parse reads a value of the property; null clears it.
func (p property) parse(raw json.RawMessage) (v expr.Value, err error) {
	var texts []string
	var s *string
	var b *bool
	switch p.kind {
	case boolean:
		if json.Unmarshal(raw, &b) != nil {
			return v, wrongType(p.name, "true or false")
		}
		switch {
		case b != nil:
			v = expr.Bool(*b)
		case p.name == "accountEnabled":
			return v, refusedProperty(p.name, "A value is required for property 'accountEnabled' of resource 'User'.")
		}
		return v, nil
	case list, phones:
		if json.Unmarshal(raw, &texts) != nil {
			return v, wrongType(p.name, "a list of texts")
		}
		if p.kind == phones {
			if len(texts) > 1 {
				return v, refusedProperty(p.name, "Property '"+p.name+"' holds one number at most.")
			}
			return expr.Text(strings.Join(texts, "")), nil
		}
		if len(texts) > mostElements {
			return v, tooMany(p.name)
		}
		values := make([]expr.Value, len(texts))
		for i, t := range texts {
			values[i] = expr.Text(t)
		}
		return expr.Multi(values...), nil
	}
	if json.Unmarshal(raw, &s) != nil {
		return v, wrongType(p.name, "a text")
	}
	if s == nil {
		return v, nil
	}
	if p.kind == date {
		t, err := time.Parse(time.RFC3339Nano, *s)
		if err != nil {
			return v, wrongType(p.name, "a time such as 2026-08-20T00:00:00Z")
		}
		if y := t.UTC().Year(); y < 1 || y > 9999 {
			return v, wrongType(p.name, "a time of the years 1 to 9999, in UTC")
		}
		return expr.Text(timestamp(t)), nil
	}
	return expr.Text(*s), nil
}

func tooMany(name string) *problem {
	return wrongType(name, "a list of at most "+strconv.Itoa(mostElements)+" values")
}

func wrongType(name, want string) *problem {
	return refusedProperty(name, "Property '"+clip(name)+"' is invalid: it is "+want+".")
}

// putManager makes a user somebody's manager (user: assign manager).
func (c *call) putManager() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	id, err := referencedObject(body)
	if err != nil {
		return err
	}
	u, err := c.user()
	if err != nil {
		return err
	}
	m, err := c.s.Service.Object(c.r.Context(), id)
	if err != nil {
		return missingUser(err, id)
	}
	return c.setManager(u, expr.Text(m.ID))
}

// deleteManager takes a user's manager away (user: remove manager); not having one is 404.
func (c *call) deleteManager() error {
	u, err := c.user()
	if err != nil {
		return err
	}
	if attribute(u, "manager").IsEmpty() {
		return objectNotFound("manager")
	}
	return c.setManager(u, expr.Value{})
}

func (c *call) setManager(u *provision.Object, to expr.Value) error {
	if _, err := c.s.Service.UpdateObject(c.r.Context(), u.ID, []provision.Assignment{{Attribute: "manager", Value: to}}); err != nil {
		return missingUser(refusedWrite(err), u.ID)
	}
	return c.none(http.StatusNoContent)
}

// referencedObject is the object id or userPrincipalName that the body of a …/$ref names by a URL, on whatever host.
func referencedObject(body []byte) (string, error) {
	var ref struct {
		ID string `json:"@odata.id"`
	}
	if err := decode(body, &ref); err != nil {
		return "", err
	}
	path := ref.ID
	if _, rest, absolute := strings.Cut(path, "://"); absolute {
		_, path, _ = strings.Cut(rest, "/")
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil {
			break
		}
		s := parseSegment(text)
		if !strings.EqualFold(s.name, "users") && !strings.EqualFold(s.name, "directoryObjects") {
			continue
		}
		switch {
		case s.key != nil && i == len(parts)-1:
			return s.key.value, nil
		case s.key == nil && i == len(parts)-2:
			if id, err := url.PathUnescape(parts[i+1]); err == nil && id != "" {
				return id, nil
			}
		}
	}
	return "", badRequest(`The body names no user: send {"@odata.id":"https://…/v1.0/users/{id}"}.`)
}

// refusedWrite is the answer for a write that the directory refuses; another error is returned as it is.
func refusedWrite(err error) error {
	var refusal *provision.TargetError
	if !errors.As(err, &refusal) {
		return err
	}
	name := refusal.Attribute
	if i := slices.IndexFunc(properties, func(p property) bool { return p.attribute == name && name != "" }); i >= 0 {
		name = properties[i].name
	}
	switch {
	case refusal.Code == "Conflict" && name != "":
		message := "Another object with the same value for property " + name + " already exists."
		return &problem{status: http.StatusBadRequest, code: codeRequestBadRequest, message: message, details: []errorDetail{{"ObjectConflict", message, name}}}
	case refusal.Code == "Conflict":
		return conflict("The object was changed in the meantime: repeat this request.")
	case refusal.Code == "MandatoryFieldsMissing":
		return refusedProperty(name, "A value is required for property '"+name+"' of resource 'User'.")
	}
	p := refusedProperty(name, "Property "+name+" is invalid.")
	p.details[0].Message = refusal.Reason
	return p
}
