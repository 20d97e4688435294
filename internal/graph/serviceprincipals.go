package graph

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

const managedIdentity = "ManagedIdentity" // a servicePrincipalType

// servicePrincipalObject is Graph's servicePrincipal.
func (c *call) servicePrincipalObject(a *oauth.Client, keys bool) object {
	kind, owner := "Application", c.s.Service.Tenant().ID.String()
	application := rendered(shownApplication(a), applicationMembers)
	names := append([]string{a.AppID.String()}, textsIn(raw(application, "identifierUris"))...)
	var roles, scopes any = raw(application, "appRoles"), listIn(raw(application, "api"), "oauth2PermissionScopes")
	kept := membersOf(a.Principal)
	switch {
	case a.ObjectID == c.s.graphPrincipal():
		owner, roles, scopes = microsoftTenant, graphRoles(), graphScopes()
		names = append(names, "https://graph.microsoft.com", "https://graph.microsoft.com/")
	case a.Managed:
		kind = managedIdentity
		if _, ok := kept["alternativeNames"]; !ok {
			kept["alternativeNames"] = json.RawMessage(`["isExplicit=True"]`)
		}
	}
	return slices.Concat(object{
		{"id", a.ObjectID.String()},
		{"appId", a.AppID.String()},
		{"applicationTemplateId", orNull(a.TemplateID)},
		{"displayName", a.DisplayName},
		{"appDisplayName", a.DisplayName},
		{"accountEnabled", !a.Disabled},
		{"appOwnerOrganizationId", owner},
		{"appRoles", roles},
		{"createdDateTime", timeOrNull(a.Created)},
		{"deletedDateTime", nil},
		{"homepage", membersOf(raw(application, "web"))["homePageUrl"]},
		{"info", raw(application, "info")},
		{"keyCredentials", keyObjects(a, keys)},
		{"oauth2PermissionScopes", scopes},
		{"passwordCredentials", objects(a.Secrets, passwordObject)},
		{"replyUrls", append([]string{}, a.RedirectURIs...)},
		{"servicePrincipalNames", names},
		{"servicePrincipalType", kind},
		{"signInAudience", raw(application, "signInAudience")},
	}, rendered(kept, principalMembers))
}

// raw is the JSON of a kept member.
func raw(o object, name string) json.RawMessage {
	for _, m := range o {
		if m.name == name {
			value, _ := m.value.(json.RawMessage)
			return value
		}
	}
	return nil
}

// listIn is a member of a JSON object if it is a list, else an empty one.
func listIn(of json.RawMessage, name string) json.RawMessage {
	if list := membersOf(of)[name]; len(list) > 0 && list[0] == '[' {
		return list
	}
	return json.RawMessage("[]")
}

func (c *call) listServicePrincipals() error {
	rows, err := c.servicePrincipals()
	if err != nil {
		return err
	}
	return c.listRows("servicePrincipals", rows)
}

func (c *call) countServicePrincipals() error {
	rows, err := c.servicePrincipals()
	if err != nil {
		return err
	}
	return c.countRows(rows)
}

// servicePrincipals are those that the caller sees.
func (c *call) servicePrincipals() ([]object, error) {
	all, err := c.allClients()
	if err != nil {
		return nil, err
	}
	rows := []object{}
	for _, a := range all {
		if a.ObjectID != uuid.Nil && c.sees(a) {
			rows = append(rows, c.servicePrincipalObject(a, false))
		}
	}
	return rows, nil
}

func (c *call) getServicePrincipal() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	a, err := c.registered()
	if err != nil {
		return err
	}
	shown := c.servicePrincipalObject(a, slices.Contains(o.Select, "keycredentials"))
	return c.entity("servicePrincipals"+selection(o.Select, shown)+"/$entity", shown.pick(o.Select))
}

// postServicePrincipal gives an application its service principal (servicePrincipal: create), or makes a managed identity,
// which has no application.
func (c *call) postServicePrincipal() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	sent, err := parseMembers(body)
	if err != nil {
		return err
	}
	kind, err := textMember("servicePrincipalType", sent["servicePrincipalType"], mostAppName)
	if err != nil {
		return err
	}
	appID, err := textMember("appId", take(sent, "appId"), mostAppName)
	if err != nil {
		return err
	}
	if strings.EqualFold(kind, managedIdentity) && appID == "" {
		return c.createManaged(sent)
	}
	if appID == "" {
		return requestBad("A value is required for property 'appId' of resource 'ServicePrincipal'.")
	}
	return c.createPrincipal(appID, sent)
}

// createManaged makes a managed identity. One that is limited to what it owns may not: processes that do not say which identity
// they want get the only one there is, and none once there is another.
func (c *call) createManaged(sent map[string]json.RawMessage) error {
	if c.limited {
		return denied(nil)
	}
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	a := c.newClient()
	a.ObjectID, a.Managed = uuid.New(), true
	name, err := textMember("displayName", take(sent, "displayName"), mostAppName)
	if err != nil {
		return err
	}
	if name == "" {
		return requestBad("A value is required for property 'displayName' of resource 'ServicePrincipal'.")
	}
	a.DisplayName = name
	return c.putPrincipal(a, sent)
}

func (c *call) createPrincipal(appID string, sent map[string]json.RawMessage) error {
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := c.findClient(key{property: "appId", value: appID}, true)
	if isMissing(err) {
		return requestBad("When using this permission, the backing application of the service principal being created must be in the local tenant: there is no application with appId '%s'.", clip(appID))
	}
	if err != nil {
		return err
	}
	if err := c.mustOwn(a); err != nil {
		return err
	}
	if a.ObjectID != uuid.Nil {
		return &problem{status: http.StatusConflict, code: codeSameKey,
			message: "The service principal cannot be created, updated, or restored because the service principal name " + a.AppID.String() + " is already in use."}
	}
	a.ObjectID, a.Disabled = uuid.New(), false
	return c.putPrincipal(a, sent)
}

// putPrincipal stores a new service principal and answers with it; whoever calls it holds oauth.LockClients.
func (c *call) putPrincipal(a *oauth.Client, sent map[string]json.RawMessage) error {
	if err := c.bindOwners(a, sent); err != nil {
		return err
	}
	take(sent, "displayName") // that of the application
	if err := c.setPrincipal(a, sent); err != nil {
		return err
	}
	if err := c.putClient(a, nil, deed{"Add service principal", "Add", false}); err != nil {
		return err
	}
	c.w.Header().Set("Location", c.root()+"/servicePrincipals/"+a.ObjectID.String())
	c.json(http.StatusCreated, append(object{{"@odata.context", c.context("servicePrincipals/$entity")}}, c.servicePrincipalObject(a, false)...))
	return nil
}

// setPrincipal changes a service principal as it was sent.
func (c *call) setPrincipal(a *oauth.Client, sent map[string]json.RawMessage) error {
	if name := take(sent, "displayName"); name != nil {
		text, err := textMember("displayName", name, mostAppName)
		if err != nil {
			return err
		}
		if text == "" {
			return requestBad("Property 'displayName' is invalid: it cannot be empty.")
		}
		a.DisplayName = text
	}
	if enabled := take(sent, "accountEnabled"); present(enabled) {
		on, err := strconv.ParseBool(string(enabled))
		if err != nil {
			return requestBad("Property 'accountEnabled' is invalid: it is true or false.")
		}
		a.Disabled = !on
	}
	if keys := take(sent, "keyCredentials"); keys != nil && a.ApplicationID != uuid.Nil {
		if err := c.setKeys(a, keys); err != nil {
			return err
		}
	}
	drop(sent, computedOfPrincipal)
	kept := membersOf(a.Principal)
	if err := mergeMembers(kept, sent, principalMembers); err != nil {
		return err
	}
	var err error
	a.Principal, err = pack(kept)
	return err
}

// patchServicePrincipal changes a service principal (servicePrincipal: update); with Prefer: create-if-missing and an appId it
// makes one.
func (c *call) patchServicePrincipal() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	sent, err := parseMembers(body)
	if err != nil {
		return err
	}
	if k := c.params["{sp}"]; strings.EqualFold(k.property, "appId") && createIfMissing(c.r) {
		if _, err := c.registered(); isMissing(err) {
			take(sent, "appId")
			return c.createPrincipal(k.value, sent)
		}
	}
	was := ""
	a, err := c.editClient("Update", func(a *oauth.Client) error {
		was = a.DisplayName
		return c.setPrincipal(a, sent)
	})
	if err != nil {
		return err
	}
	if a.DisplayName != was {
		if err := c.rename(a); err != nil {
			return err
		}
	}
	return c.none(http.StatusNoContent)
}

// deleteServicePrincipal deletes a service principal with its jobs; its application stays, and gets no token without one.
func (c *call) deleteServicePrincipal() error {
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := c.registered()
	if err != nil {
		return err
	}
	if err := c.changeable(a); err != nil {
		return err
	}
	if err := c.deletePrincipal(a); err != nil {
		return err
	}
	d := deed{"Remove service principal", "Delete", false}
	if a.ApplicationID == uuid.Nil {
		err = c.dropClient(a, d)
	} else {
		before, was := facts(a), *a
		a.ObjectID, a.Disabled = uuid.Nil, true
		a.Roles, a.Assignments, a.Grants, a.Principal = nil, nil, nil, nil
		if err = c.s.Apps.PutClient(c.r.Context(), a); err == nil {
			err = c.record(&was, before, d)
		}
	}
	if err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

// listOwned lists the applications and service principals that a service principal owns (servicePrincipal: list ownedObjects).
func (c *call) listOwned() error {
	owner, err := c.registered()
	if err != nil {
		return err
	}
	all, err := c.s.Apps.Clients(c.r.Context())
	if err != nil {
		return err
	}
	rows := []object{}
	for _, a := range all {
		if !slices.Contains(a.Owners, owner.ObjectID) {
			continue
		}
		if a.ApplicationID != uuid.Nil {
			rows = append(rows, typed("application", c.applicationObject(a, false)))
		}
		if a.ObjectID != uuid.Nil {
			rows = append(rows, typed("servicePrincipal", c.servicePrincipalObject(a, false)))
		}
	}
	return c.listRows("directoryObjects", rows)
}

// listMemberOf answers for what a service principal can be a member of: there is nothing yet.
func (c *call) listMemberOf() error {
	if _, err := c.registered(); err != nil {
		return err
	}
	return c.listRows("directoryObjects", []object{})
}

// isMissing reports whether an error is the answer for what is not there.
func isMissing(err error) bool {
	var p *problem
	return errors.As(err, &p) && p.status == http.StatusNotFound
}

// typed is an object with its type in front, for where objects of several types can stand.
func typed(kind string, o object) object {
	return slices.Concat(object{{"@odata.type", "#microsoft.graph." + kind}}, o)
}
