package graph

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// federatedObject is Graph's federatedIdentityCredential.
func federatedObject(f *oauth.FederatedCredential) object {
	return object{
		{"id", f.ID.String()},
		{"name", f.Name},
		{"issuer", f.Issuer},
		{"subject", orNull(f.Subject)},
		{"description", orNull(f.Description)},
		{"audiences", append([]string{}, f.Audiences...)},
	}
}

// federatedContext is the context of an application's federated credentials.
func federatedContext(a *oauth.Client) string {
	return "applications('" + a.ApplicationID.String() + "')/federatedIdentityCredentials"
}

func (c *call) listFederated() error {
	a, err := c.registered()
	if err != nil {
		return err
	}
	return c.listRows(federatedContext(a), objects(a.Federated, federatedObject))
}

// federatedAt is the place of the credential that the path names, by id or by name, among those of the app; -1 if it has none.
func (c *call) federatedAt(a *oauth.Client) (int, error) {
	k := c.params["{credential}"]
	byName := strings.EqualFold(k.property, "name")
	if k.property != "" && !byName && !strings.EqualFold(k.property, "id") {
		return -1, badRequest("'%s' is not a key of federatedIdentityCredentials.", clip(k.property))
	}
	i := slices.IndexFunc(a.Federated, func(f oauth.FederatedCredential) bool {
		return k.property == "" && f.Name == k.value || byName && f.Name == k.value || !byName && strings.EqualFold(f.ID.String(), k.value)
	})
	return i, nil
}

func (c *call) getFederated() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	a, err := c.registered()
	if err != nil {
		return err
	}
	i, err := c.federatedAt(a)
	if err != nil {
		return err
	}
	if i < 0 {
		return objectNotFound(c.params["{credential}"].value)
	}
	shown := federatedObject(&a.Federated[i])
	return c.entity(federatedContext(a)+selection(o.Select, shown)+"/$entity", shown.pick(o.Select))
}

// sentFederated is a federatedIdentityCredential as a client writes it; nil: not sent.
type sentFederated struct {
	Name        *string   `json:"name"`
	Issuer      *string   `json:"issuer"`
	Subject     *string   `json:"subject"`
	Description *string   `json:"description"`
	Audiences   *[]string `json:"audiences"`
	Expression  any       `json:"claimsMatchingExpression"`
}

// over puts what was sent over a credential.
func (s *sentFederated) over(f *oauth.FederatedCredential) error {
	if s.Expression != nil {
		return requestBad("Property 'claimsMatchingExpression' is not supported: trust one subject.")
	}
	for _, m := range []struct{ to, from *string }{{&f.Issuer, s.Issuer}, {&f.Subject, s.Subject}, {&f.Description, s.Description}} {
		if m.from != nil {
			*m.to = *m.from
		}
	}
	if s.Audiences != nil {
		f.Audiences = *s.Audiences
	}
	return nil
}

// checkFederated refuses a credential that could never be used, or not be told from the app's others.
func checkFederated(a *oauth.Client, f *oauth.FederatedCredential) error {
	if slices.ContainsFunc(a.Federated, func(o oauth.FederatedCredential) bool { return o.ID != f.ID && o.Name == f.Name }) {
		return &problem{status: http.StatusConflict, code: codeSameKey, message: "FederatedIdentityCredential with name " + clip(f.Name) + " already exists."}
	}
	if err := oauth.CheckFederated(*f, a.Federated); err != nil {
		return requestBad("The federated identity credential is invalid: %s.", clipTo(err.Error(), 400))
	}
	return nil
}

func (c *call) readFederated() (*sentFederated, error) {
	body, err := c.jsonBody()
	if err != nil {
		return nil, err
	}
	var sent sentFederated
	return &sent, decode(body, &sent)
}

// postFederated adds a federated credential (application: create federatedIdentityCredential).
func (c *call) postFederated() error {
	sent, err := c.readFederated()
	if err != nil {
		return err
	}
	return c.addFederated(sent)
}

func (c *call) addFederated(sent *sentFederated) error {
	f := oauth.FederatedCredential{ID: uuid.New()}
	if sent.Name != nil {
		f.Name = *sent.Name
	}
	if err := sent.over(&f); err != nil {
		return err
	}
	a, err := c.editClient("Add credentials to", func(a *oauth.Client) error {
		if err := checkFederated(a, &f); err != nil {
			return err
		}
		a.Federated = append(a.Federated, f)
		return nil
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.root()+"/"+federatedContext(a)+"/"+f.ID.String())
	c.json(http.StatusCreated, append(object{{"@odata.context", c.context(federatedContext(a) + "/$entity")}}, federatedObject(&f)...))
	return nil
}

// patchFederated changes all of a credential but its name; with Prefer: create-if-missing it makes one.
func (c *call) patchFederated() error {
	sent, err := c.readFederated()
	if err != nil {
		return err
	}
	a, err := c.registered()
	if err != nil {
		return err
	}
	if k := c.params["{credential}"]; createIfMissing(c.r) && strings.EqualFold(k.property, "name") {
		if i, err := c.federatedAt(a); err == nil && i < 0 {
			sent.Name = &k.value
			return c.addFederated(sent)
		}
	}
	_, err = c.editClient("Update credentials of", func(a *oauth.Client) error {
		i, err := c.federatedAt(a)
		if err != nil {
			return err
		}
		if i < 0 {
			return objectNotFound(c.params["{credential}"].value)
		}
		f := a.Federated[i]
		if sent.Name != nil && *sent.Name != f.Name {
			return requestBad("Property 'name' is read-only and cannot be changed.")
		}
		if err := sent.over(&f); err != nil {
			return err
		}
		if err := checkFederated(a, &f); err != nil {
			return err
		}
		a.Federated[i] = f
		return nil
	})
	if err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

func (c *call) deleteFederated() error {
	_, err := c.editClient("Remove credentials from", func(a *oauth.Client) error {
		i, err := c.federatedAt(a)
		if err != nil {
			return err
		}
		if i < 0 {
			return objectNotFound(c.params["{credential}"].value)
		}
		a.Federated = slices.Delete(a.Federated, i, i+1)
		return nil
	})
	if err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}
