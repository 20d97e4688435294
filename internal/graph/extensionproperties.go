package graph

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

const (
	keptExtensions = "extensionProperties" // where an application keeps them, among its members
	mostExtensions = 100
)

var extensionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,59}$`)

// extension is a directory extension attribute that an application has registered. Mappings may write extension_… attributes of users
// whether they are registered or not.
type extension struct {
	ID          uuid.UUID `json:"id"`
	Name        string    `json:"name"`
	DataType    string    `json:"dataType"`
	MultiValued bool      `json:"isMultiValued,omitempty"`
	Targets     []string  `json:"targetObjects"`
}

func extensionsOf(a *oauth.Client) (list []extension) {
	_ = json.Unmarshal(membersOf(a.Application)[keptExtensions], &list) // it was written by us
	return list
}

// extensionObject is Graph's extensionProperty.
func extensionObject(a *oauth.Client, e *extension) object {
	return object{
		{"id", e.ID.String()},
		{"deletedDateTime", nil},
		{"appDisplayName", a.DisplayName},
		{"dataType", e.DataType},
		{"isMultiValued", e.MultiValued},
		{"isSyncedFromOnPremises", false},
		{"name", e.Name},
		{"targetObjects", append([]string{}, e.Targets...)},
	}
}

func extensionObjects(a *oauth.Client) []object {
	return objects(extensionsOf(a), func(e *extension) object { return extensionObject(a, e) })
}

func extensionContext(a *oauth.Client) string {
	return "applications('" + a.ApplicationID.String() + "')/extensionProperties"
}

func (c *call) listExtensions() error {
	a, err := c.registered()
	if err != nil {
		return err
	}
	return c.listRows(extensionContext(a), extensionObjects(a))
}

// listAvailableExtensions lists those of all applications (directoryObject: getAvailableExtensionProperties).
func (c *call) listAvailableExtensions() error {
	all, err := c.s.Apps.Clients(c.r.Context())
	if err != nil {
		return err
	}
	rows := []object{}
	for _, a := range all {
		if c.sees(a) {
			rows = append(rows, extensionObjects(a)...)
		}
	}
	return c.collection("Collection(microsoft.graph.extensionProperty)", rows, "", nil)
}

func (c *call) getExtension() error {
	a, err := c.registered()
	if err != nil {
		return err
	}
	id, err := c.param("{extension}")
	if err != nil {
		return err
	}
	for _, e := range extensionsOf(a) {
		if strings.EqualFold(e.ID.String(), id) {
			return c.entity(extensionContext(a)+"/$entity", extensionObject(a, &e))
		}
	}
	return objectNotFound(id)
}

// postExtension registers extension_{appId without dashes}_{name} (application: create extensionProperty).
func (c *call) postExtension() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	var e extension
	if err := decode(body, &e); err != nil {
		return err
	}
	types := []string{"Binary", "Boolean", "DateTime", "Integer", "LargeInteger", "String"}
	i := slices.IndexFunc(types, func(t string) bool { return strings.EqualFold(t, e.DataType) })
	switch {
	case !extensionName.MatchString(e.Name):
		return requestBad("Property 'name' is invalid: it has up to 60 letters, digits and _, and begins with a letter. Its prefix is added here.")
	case i < 0:
		return requestBad("Property 'dataType' is invalid: it is one of %s.", strings.Join(types, ", "))
	case len(e.Targets) == 0 || len(e.Targets) > mostExtensions:
		return requestBad("Property 'targetObjects' is invalid: it names what has the attribute, such as User.")
	}
	var shown object
	a, err := c.editClient("Add extension property to", func(a *oauth.Client) error {
		list := extensionsOf(a)
		e.ID, e.DataType = uuid.New(), types[i]
		e.Name = "extension_" + strings.ReplaceAll(a.AppID.String(), "-", "") + "_" + e.Name
		if len(list) >= mostExtensions {
			return requestBad("The application has %d extension properties, and %d are the most.", len(list), mostExtensions)
		}
		if slices.ContainsFunc(list, func(o extension) bool { return strings.EqualFold(o.Name, e.Name) }) {
			return requestBad("An extension property exists with the name %s.", e.Name)
		}
		shown = extensionObject(a, &e)
		return setExtensions(a, append(list, e))
	})
	if err != nil {
		return err
	}
	c.json(http.StatusCreated, append(object{{"@odata.context", c.context(extensionContext(a) + "/$entity")}}, shown...))
	return nil
}

func setExtensions(a *oauth.Client, list []extension) (err error) {
	kept := membersOf(a.Application)
	if kept[keptExtensions], err = json.Marshal(list); err != nil {
		return err
	}
	a.Application, err = pack(kept)
	return err
}

// deleteExtension ends the registration; values that users have stay.
func (c *call) deleteExtension() error {
	id, err := c.param("{extension}")
	if err != nil {
		return err
	}
	_, err = c.editClient("Remove extension property from", func(a *oauth.Client) error {
		list := extensionsOf(a)
		left := slices.DeleteFunc(slices.Clone(list), func(e extension) bool { return strings.EqualFold(e.ID.String(), id) })
		if len(left) == len(list) {
			return objectNotFound(id)
		}
		return setExtensions(a, left)
	})
	if err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}
