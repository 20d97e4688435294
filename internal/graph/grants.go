package graph

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

const (
	mostScope     = 8 << 10 // bytes of a grant's scopes
	allPrincipals = "AllPrincipals"
	onePrincipal  = "Principal"
)

// granted is a delegated permission with the app that has it.
type granted struct {
	oauth.Grant
	client *oauth.Client
}

// grantObject is Graph's oAuth2PermissionGrant.
func grantObject(g *granted) object {
	consent, person := allPrincipals, any(nil)
	if g.Person != uuid.Nil {
		consent, person = onePrincipal, g.Person.String()
	}
	return object{
		{"clientId", g.client.ObjectID.String()},
		{"consentType", consent},
		{"id", g.ID},
		{"principalId", person},
		{"resourceId", g.Resource.String()},
		{"scope", g.Scope},
	}
}

// grants are all delegated permissions, or those of one app.
func (c *call) grants(of *oauth.Client) ([]granted, error) {
	all, err := c.s.Apps.Clients(c.r.Context())
	if err != nil {
		return nil, err
	}
	var list []granted
	for _, a := range all {
		if of != nil && a.AppID != of.AppID {
			continue
		}
		for _, g := range a.Grants {
			list = append(list, granted{g, a})
		}
	}
	return list, nil
}

func (c *call) listGrants() error {
	list, err := c.grants(nil)
	if err != nil {
		return err
	}
	return c.listRows("oauth2PermissionGrants", objects(list, grantObject))
}

func (c *call) listGrantsOf() error {
	a, err := c.registered()
	if err != nil {
		return err
	}
	list, err := c.grants(a)
	if err != nil {
		return err
	}
	return c.listRows("oauth2PermissionGrants", objects(list, grantObject))
}

// grant is the one that the path names.
func (c *call) grant() (*granted, error) {
	id, err := c.param("{grant}")
	if err != nil {
		return nil, err
	}
	list, err := c.grants(nil)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(g granted) bool { return g.ID == id })
	if i < 0 {
		return nil, objectNotFound(id)
	}
	return &list[i], nil
}

func (c *call) getGrant() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	g, err := c.grant()
	if err != nil {
		return err
	}
	return c.entity("oauth2PermissionGrants/$entity", grantObject(g).pick(o.Select))
}

// sentGrant is an oAuth2PermissionGrant as a client writes it.
type sentGrant struct {
	Client    string  `json:"clientId"`
	Consent   string  `json:"consentType"`
	Principal *string `json:"principalId"`
	Resource  string  `json:"resourceId"`
	Scope     *string `json:"scope"`
}

// sentGrant reads the body, with the scope in its one form.
func (c *call) sentGrant() (sent sentGrant, scope string, err error) {
	body, err := c.jsonBody()
	if err == nil {
		err = decode(body, &sent)
	}
	if err == nil {
		scope, err = scopeOf(sent.Scope)
	}
	return sent, scope, err
}

// postGrant lets a client act for people (oauth2PermissionGrant: create).
func (c *call) postGrant() error {
	sent, scope, err := c.sentGrant()
	if err != nil {
		return err
	}
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	client, err := c.principalWith(sent.Client)
	if err != nil {
		return err
	}
	resource, err := c.principalWith(sent.Resource)
	if err != nil {
		return err
	}
	person, err := c.personOf(&sent)
	if err != nil {
		return err
	}
	g := &granted{oauth.Grant{ID: linkID("oauth2PermissionGrant", client.ObjectID, resource.ObjectID, person), Resource: resource.ObjectID, Person: person, Scope: scope}, client}
	err = c.changeClient(client, deed{"Add delegated permission grant", "Assign", false}, func(a *oauth.Client) error {
		if slices.ContainsFunc(a.Grants, func(o oauth.Grant) bool { return o.ID == g.ID }) {
			return &problem{status: http.StatusConflict, code: codeSameKey, message: "Permission entry already exists."}
		}
		a.Grants = append(a.Grants, g.Grant)
		return nil
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.root()+"/oauth2PermissionGrants/"+g.ID)
	c.json(http.StatusCreated, append(object{{"@odata.context", c.context("oauth2PermissionGrants/$entity")}}, grantObject(g)...))
	return nil
}

// personOf is whom a grant is for; uuid.Nil for everybody.
func (c *call) personOf(sent *sentGrant) (uuid.UUID, error) {
	named := sent.Principal != nil && *sent.Principal != ""
	switch {
	case strings.EqualFold(sent.Consent, allPrincipals) && !named:
		return uuid.Nil, nil
	case !strings.EqualFold(sent.Consent, onePrincipal) || !named:
		return uuid.Nil, requestBad("Property 'consentType' is invalid: it is AllPrincipals without a principalId, or Principal with one.")
	}
	id, err := uuid.Parse(*sent.Principal)
	if err != nil {
		return uuid.Nil, requestBad("Invalid object identifier '%s'.", clip(*sent.Principal))
	}
	if _, err := c.s.Service.Object(c.r.Context(), id.String()); err != nil {
		return uuid.Nil, missingUser(err, id.String())
	}
	return id, nil
}

// scopeOf is a grant's scope in its one form: names with one blank between them.
func scopeOf(sent *string) (string, error) {
	if sent == nil {
		return "", requestBad("A value is required for property 'scope' of resource 'OAuth2PermissionGrant'.")
	}
	if len(*sent) > mostScope {
		return "", requestBad("Property 'scope' is invalid: it has %d bytes, and %d are the most.", len(*sent), mostScope)
	}
	return strings.Join(strings.Fields(*sent), " "), nil
}

// patchGrant replaces the scope of a grant.
func (c *call) patchGrant() error {
	_, scope, err := c.sentGrant()
	if err != nil {
		return err
	}
	return c.changeGrant("Update delegated permission grant", func(a *oauth.Client, i int) { a.Grants[i].Scope = scope })
}

func (c *call) deleteGrant() error {
	return c.changeGrant("Remove delegated permission grant", func(a *oauth.Client, i int) { a.Grants = slices.Delete(a.Grants, i, i+1) })
}

// changeGrant changes the grant that the path names, which is at place i of its app.
func (c *call) changeGrant(activity string, change func(a *oauth.Client, i int)) error {
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	g, err := c.grant()
	if err != nil {
		return err
	}
	err = c.changeClient(g.client, deed{activity, "Update", false}, func(a *oauth.Client) error {
		change(a, slices.IndexFunc(a.Grants, func(o oauth.Grant) bool { return o.ID == g.ID }))
		return nil
	})
	if err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}
