package graph

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// assigned is an app role assignment with both of its ends.
type assigned struct {
	oauth.RoleAssignment
	principal, resource *oauth.Client
}

// AssignmentID is the id of the assignment of an app role: 43 characters that follow from its ends, so that nothing is assigned twice.
func AssignmentID(principal, resource, role uuid.UUID) string {
	return linkID("appRoleAssignment", principal, resource, role)
}

// linkID is an id that follows from what it connects.
func linkID(kind string, ends ...uuid.UUID) string {
	h := sha256.New()
	h.Write([]byte(kind))
	for _, e := range ends {
		h.Write(e[:])
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// assignments are the app roles of an app. A permission that it was given without one, offline, is shown as one.
func (c *call) assignments(a *oauth.Client, all []*oauth.Client) (list []assigned) {
	for _, r := range a.Assignments {
		if i := slices.IndexFunc(all, func(o *oauth.Client) bool { return o.ObjectID == r.Resource }); i >= 0 {
			list = append(list, assigned{r, a, all[i]})
		}
	}
	for _, role := range a.Roles {
		id, ok := oauth.RoleIDs[role]
		if !ok || slices.ContainsFunc(list, func(r assigned) bool { return r.Role == id && r.Resource == c.s.graphPrincipal() }) {
			continue
		}
		graph := c.s.graphClient()
		list = append(list, assigned{oauth.RoleAssignment{ID: AssignmentID(a.ObjectID, graph.ObjectID, id), Resource: graph.ObjectID, Role: id, Created: a.Created}, a, graph})
	}
	return list
}

// assignmentObject is Graph's appRoleAssignment.
func assignmentObject(r *assigned) object {
	return object{
		{"id", r.ID},
		{"deletedDateTime", nil},
		{"appRoleId", r.Role.String()},
		{"createdDateTime", timeOrNull(r.Created)},
		{"principalDisplayName", r.principal.DisplayName},
		{"principalId", r.principal.ObjectID.String()},
		{"principalType", "ServicePrincipal"},
		{"resourceDisplayName", r.resource.DisplayName},
		{"resourceId", r.resource.ObjectID.String()},
	}
}

// assignmentsHere are those of the service principal that the path names: what it was given or, with to, what others have been
// given on it.
func (c *call) assignmentsHere(to bool) (*oauth.Client, []assigned, error) {
	a, err := c.registered()
	if err != nil {
		return nil, nil, err
	}
	all, err := c.allClients()
	if err != nil {
		return nil, nil, err
	}
	if !to {
		return a, c.assignments(a, all), nil
	}
	var list []assigned
	for _, o := range all {
		list = append(list, slices.DeleteFunc(c.assignments(o, all), func(r assigned) bool { return r.Resource != a.ObjectID })...)
	}
	return a, list, nil
}

func (c *call) listAssignments() error { return c.listAssignmentsHere(false, "appRoleAssignments") }

func (c *call) listAssignedTo() error { return c.listAssignmentsHere(true, "appRoleAssignedTo") }

func (c *call) listAssignmentsHere(to bool, set string) error {
	a, list, err := c.assignmentsHere(to)
	if err != nil {
		return err
	}
	return c.listRows(servicePrincipalContext(a.ObjectID.String())+"/"+set, objects(list, assignmentObject))
}

func (c *call) getAssignment() error { return c.getAssignmentHere(false) }

func (c *call) getAssignedTo() error { return c.getAssignmentHere(true) }

func (c *call) getAssignmentHere(to bool) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	r, err := c.assignmentHere(to)
	if err != nil {
		return err
	}
	return c.entity("appRoleAssignments/$entity", assignmentObject(r).pick(o.Select))
}

// assignmentHere is the assignment that the path names.
func (c *call) assignmentHere(to bool) (*assigned, error) {
	id, err := c.param("{assignment}")
	if err != nil {
		return nil, err
	}
	_, list, err := c.assignmentsHere(to)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(r assigned) bool { return r.ID == id })
	if i < 0 {
		return nil, objectNotFound(id)
	}
	return &list[i], nil
}

func (c *call) postAssignment() error { return c.assign(false) }

func (c *call) postAssignedTo() error { return c.assign(true) }

// assign gives a service principal an app role (servicePrincipal: create appRoleAssignment). to says that the path names the
// resource, else it names the principal.
func (c *call) assign(to bool) error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	var sent struct {
		Principal string `json:"principalId"`
		Resource  string `json:"resourceId"`
		Role      string `json:"appRoleId"`
	}
	if err := decode(body, &sent); err != nil {
		return err
	}
	role, err := uuid.Parse(sent.Role)
	if err != nil {
		return requestBad("Property 'appRoleId' is invalid: it is the GUID of an app role; 00000000-0000-0000-0000-000000000000 is default access.")
	}
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	here, err := c.registered()
	if err != nil {
		return err
	}
	if named, what := sent.Principal, "principalId"; true {
		if to {
			named, what = sent.Resource, "resourceId"
		}
		if !strings.EqualFold(named, here.ObjectID.String()) {
			return requestBad("Property '%s' is invalid: it is the service principal that the path names, '%s'.", what, here.ObjectID)
		}
	}
	principal, err := c.principalWith(sent.Principal)
	if isMissing(err) {
		return c.notAssignable(sent.Principal, err)
	}
	if err != nil {
		return err
	}
	resource, err := c.principalWith(sent.Resource)
	if err != nil {
		return err
	}
	r, err := c.assignRole(principal, resource, role)
	if err != nil {
		return err
	}
	c.json(http.StatusCreated, append(object{{"@odata.context", c.context("appRoleAssignments/$entity")}}, assignmentObject(r)...))
	return nil
}

// notAssignable says why a principal cannot be given an app role: people and groups are not assigned here.
func (c *call) notAssignable(id string, missing error) error {
	_, err := c.s.Service.Object(c.r.Context(), id)
	switch {
	case err == nil:
		return requestBad("Property 'principalId' is invalid: app roles are given to service principals only; the scope of provisioning is a filter of the job's schema.")
	case isNotFound(err):
		return missing
	}
	return err
}

// assignRole stores an assignment; whoever calls it holds oauth.LockClients.
func (c *call) assignRole(principal, resource *oauth.Client, role uuid.UUID) (*assigned, error) {
	onGraph := resource.ObjectID == c.s.graphPrincipal()
	name := graphRoleName(role)
	if onGraph && name == "" || !onGraph && role != uuid.Nil && !hasRole(resource, role) {
		return nil, requestBad("Permission being assigned was not found on application '%s'.", resource.AppID)
	}
	r := &assigned{oauth.RoleAssignment{ID: AssignmentID(principal.ObjectID, resource.ObjectID, role), Resource: resource.ObjectID, Role: role, Created: c.s.Now().UTC()}, principal, resource}
	err := c.changeClient(principal, deed{"Add app role assignment to service principal", "Assign", false}, func(a *oauth.Client) error {
		if slices.ContainsFunc(a.Assignments, func(o oauth.RoleAssignment) bool { return o.ID == r.ID }) || onGraph && slices.Contains(a.Roles, name) {
			return requestBad("Permission being assigned already exists on the object")
		}
		a.Assignments = append(a.Assignments, r.RoleAssignment)
		if onGraph {
			a.Roles = append(a.Roles, name)
		}
		return nil
	})
	return r, err
}

// hasRole reports whether an application defines an app role for applications.
func hasRole(a *oauth.Client, id uuid.UUID) bool {
	var roles []struct {
		ID      uuid.UUID `json:"id"`
		Members []string  `json:"allowedMemberTypes"`
	}
	if json.Unmarshal(membersOf(a.Application)["appRoles"], &roles) != nil {
		return false
	}
	for _, r := range roles {
		if r.ID == id && slices.Contains(r.Members, "Application") {
			return true
		}
	}
	return false
}

func (c *call) deleteAssignment() error { return c.unassign(false) }

func (c *call) deleteAssignedTo() error { return c.unassign(true) }

// unassign takes an app role away. Tokens that have it last until they expire.
func (c *call) unassign(to bool) error {
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := c.assignmentHere(to)
	if err != nil {
		return err
	}
	err = c.changeClient(r.principal, deed{"Remove app role assignment from service principal", "Unassign", false}, func(a *oauth.Client) error {
		a.Assignments = slices.DeleteFunc(a.Assignments, func(o oauth.RoleAssignment) bool { return o.ID == r.ID })
		if r.Resource == c.s.graphPrincipal() {
			name := graphRoleName(r.Role)
			a.Roles = slices.DeleteFunc(a.Roles, func(o string) bool { return o == name })
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}
