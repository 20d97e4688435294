package graph

import (
	"strings"

	"induct/internal/provision"
)

// application is the provisioning app that a path names, by its service principal or by its application.
type application struct {
	*provision.App
	context string // of what belongs to it
}

// application returns the app that the path names. An application object has no id of its own here: it is its appId.
func (c *call) application() (*application, error) {
	k, own := c.params["{app}"]
	set := "applications"
	if !own {
		k, set = c.params["{sp}"], "servicePrincipals"
	}
	byID, byApp := k.property == "" || strings.EqualFold(k.property, "id"), strings.EqualFold(k.property, "appId")
	if !byID && !byApp {
		return nil, badRequest("'%s' is not a key of %s.", clip(k.property), set)
	}
	apps, err := c.s.Service.Apps(c.r.Context())
	if err != nil {
		return nil, err
	}
	for _, a := range apps {
		id := a.ServicePrincipalID.String()
		if own || byApp {
			id = a.ApplicationID.String()
		}
		if !strings.EqualFold(k.value, id) {
			continue
		}
		if own {
			return &application{a, "applications('" + id + "')"}, nil
		}
		return &application{a, servicePrincipalContext(a.ServicePrincipalID.String())}, nil
	}
	return nil, objectNotFound(k.value)
}

func servicePrincipalContext(id string) string { return "servicePrincipals('" + id + "')" }

// jobsOf returns the jobs of an app, in the order of their creation.
func (c *call) jobsOf(a *provision.App) ([]*provision.Job, error) {
	jobs, err := c.s.Service.Jobs(c.r.Context())
	if err != nil {
		return nil, err
	}
	var own []*provision.Job
	for _, j := range jobs {
		if j.ServicePrincipalID == a.ServicePrincipalID {
			own = append(own, j)
		}
	}
	return own, nil
}

func (c *call) listServicePrincipals() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	filter, err := parseFilter(o.Filter)
	if err != nil {
		return err
	}
	apps, err := c.s.Service.Apps(c.r.Context())
	if err != nil {
		return err
	}
	value := []object{}
	for _, a := range apps {
		sp := servicePrincipalObject(a)
		if filter != nil {
			filter.Fold = true
			ok, err := filter.Match(sp.get)
			if err != nil {
				return invalidFilter(err)
			}
			if !ok {
				continue
			}
		}
		value = append(value, sp.pick(o.Select))
	}
	return c.collection("servicePrincipals"+selection(o.Select, servicePrincipalObject(&provision.App{})), value, "", nil)
}

func (c *call) getServicePrincipal() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	app, err := c.application()
	if err != nil {
		return err
	}
	sp := servicePrincipalObject(app.App)
	return c.entity("servicePrincipals"+selection(o.Select, sp)+"/$entity", sp.pick(o.Select))
}

func servicePrincipalObject(a *provision.App) object {
	return object{
		{"id", a.ServicePrincipalID.String()},
		{"appId", a.ApplicationID.String()},
		{"displayName", a.DisplayName},
	}
}
