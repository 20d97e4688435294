package graph

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// mostOwners bounds the owners of an app.
const mostOwners = 100

// owners are the owners of an app that there still are, as directory objects; the others are passed over.
func (c *call) owners() ([]object, error) {
	a, err := c.registered()
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(a.Owners))
	for i, id := range a.Owners {
		ids[i] = id.String()
	}
	return c.knownObjects(ids)
}

// listOwners lists the owners of an application or service principal: both have the same.
func (c *call) listOwners() error {
	rows, err := c.owners()
	if err != nil {
		return err
	}
	return c.listRows("directoryObjects", rows)
}

func (c *call) listOwnerRefs() error {
	rows, err := c.owners()
	if err != nil {
		return err
	}
	for i := range rows {
		id, _ := rows[i].get("id").(string)
		rows[i] = object{{"@odata.id", c.root() + "/directoryObjects/" + id}}
	}
	return c.collection("Collection($ref)", rows, "", nil)
}

// postOwner adds an owner: {"@odata.id": "…/directoryObjects/{id}"}.
func (c *call) postOwner() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	var ref struct {
		ID string `json:"@odata.id"`
	}
	if err := decode(body, &ref); err != nil {
		return err
	}
	id, err := c.ownerAt(ref.ID)
	if err != nil {
		return err
	}
	_, err = c.editClient("Add owner to", func(a *oauth.Client) error {
		if slices.Contains(a.Owners, id) {
			return requestBad("One or more added object references already exist for the following modified properties: 'owners'.")
		}
		return addOwner(a, id)
	})
	if err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

func addOwner(a *oauth.Client, id uuid.UUID) error {
	if len(a.Owners) >= mostOwners {
		return requestBad("There are %d owners, and %d are the most.", len(a.Owners), mostOwners)
	}
	a.Owners = append(a.Owners, id)
	return nil
}

// ownerAt is the user or service principal that a reference names: …/{id}.
func (c *call) ownerAt(ref string) (uuid.UUID, error) {
	u, err := url.Parse(ref)
	if err != nil || ref == "" {
		return uuid.Nil, requestBad(`The body has no usable "@odata.id": send {"@odata.id": "%s/directoryObjects/{id}"}.`, c.root())
	}
	last := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	if s := parseSegment(last); s.key != nil && s.key.property == "" {
		last = s.key.value
	}
	id, err := uuid.Parse(last)
	if err != nil {
		return uuid.Nil, requestBad("Invalid object identifier '%s'.", clip(last))
	}
	if _, err := c.principalWith(id.String()); err == nil || !isMissing(err) {
		return id, err
	}
	if _, err := c.s.Service.Object(c.r.Context(), id.String()); err != nil {
		return uuid.Nil, missingUser(err, id.String())
	}
	return id, nil
}

// bindOwners adds the owners that a new object is sent with.
func (c *call) bindOwners(a *oauth.Client, sent map[string]json.RawMessage) error {
	bound := take(sent, "owners@odata.bind")
	if !present(bound) {
		return nil
	}
	var refs []string
	if err := json.Unmarshal(bound, &refs); err != nil {
		return requestBad("Property 'owners@odata.bind' is invalid: it is a list of URLs.")
	}
	if len(refs) > mostOwners { // each is looked up
		return requestBad("There are %d owners, and %d are the most.", len(refs), mostOwners)
	}
	for _, ref := range refs {
		id, err := c.ownerAt(ref)
		if err != nil {
			return err
		}
		if slices.Contains(a.Owners, id) {
			continue
		}
		if err := addOwner(a, id); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) deleteOwner() error {
	text, err := c.param("{owner}")
	if err != nil {
		return err
	}
	_, err = c.editClient("Remove owner from", func(a *oauth.Client) error {
		id, err := uuid.Parse(text)
		if err != nil || !slices.Contains(a.Owners, id) {
			return objectNotFound(text)
		}
		a.Owners = slices.DeleteFunc(a.Owners, func(o uuid.UUID) bool { return o == id })
		return nil
	})
	if err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}
