package graph

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"induct/internal/oauth"
	"induct/internal/provision"
)

// Apps keeps app registrations, each with its service principal; oauth.Store is one. Clients are in the order of their
// creation; an error for one that there is not is oauth.ErrNotFound.
type Apps interface {
	Client(ctx context.Context, appID uuid.UUID) (*oauth.Client, error)
	Clients(ctx context.Context) ([]*oauth.Client, error)
	// PutClient creates or replaces; DeleteClient returns nil if there is none.
	PutClient(ctx context.Context, c *oauth.Client) error
	DeleteClient(ctx context.Context, appID uuid.UUID) error
	// Lock waits until nobody else holds the lock of that name, in whatever process, and holds it until unlock is called.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// registered returns the app that the path names, by its application or by its service principal.
func (c *call) registered() (*oauth.Client, error) {
	_, application := c.params["{app}"]
	return c.findClient(c.appKey(), application)
}

// appKey is by what the path names an app.
func (c *call) appKey() key {
	if k, application := c.params["{app}"]; application {
		return k
	}
	return c.params["{sp}"]
}

// findClient returns the app with this key; application says whether the key is of its application or of its service principal.
func (c *call) findClient(k key, application bool) (*oauth.Client, error) {
	set := "servicePrincipals"
	if application {
		set = "applications"
	}
	var is func(*oauth.Client) bool
	switch property := strings.ToLower(k.property); {
	case property == "" || property == "id":
		id, err := uuid.Parse(k.value)
		is = func(a *oauth.Client) bool { return err == nil && objectID(a, application) == id }
	case property == "appid":
		id, err := uuid.Parse(k.value)
		is = func(a *oauth.Client) bool { return err == nil && a.AppID == id }
	case property == "uniquename" && application:
		is = func(a *oauth.Client) bool { return uniqueName(a) == k.value }
	default:
		return nil, badRequest("'%s' is not a key of %s.", clip(k.property), set)
	}
	all, err := c.allClients()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if objectID(a, application) != uuid.Nil && is(a) {
			return a, nil
		}
	}
	return nil, objectNotFound(k.value)
}

// objectID is the id of a client's application or of its service principal; uuid.Nil if it has none.
func objectID(a *oauth.Client, application bool) uuid.UUID {
	if application {
		return a.ApplicationID
	}
	return a.ObjectID
}

// allClients returns every app there is, Microsoft Graph last.
func (c *call) allClients() ([]*oauth.Client, error) {
	all, err := c.s.Apps.Clients(c.r.Context())
	return append(all, c.s.graphClient()), err
}

// principalWith returns the app whose service principal has this id.
func (c *call) principalWith(id string) (*oauth.Client, error) {
	return c.findClient(key{value: id}, false)
}

var errGraphPrincipal = &problem{status: http.StatusForbidden, code: codeDenied, message: "Microsoft Graph's service principal is everybody's and cannot be changed."}

var errBuiltIn = &problem{status: http.StatusForbidden, code: codeDenied, message: "The app belongs to this service, which keeps it as it is: people sign in through it with all that they may do."}

// mostOwnApps bounds the apps that an app makes which is limited to what it owns: each request of it looks at all there are.
const mostOwnApps = 250

// withinQuota refuses another app to a caller that is limited to what it owns and has made many.
func (c *call) withinQuota() error {
	if !c.limited {
		return nil
	}
	all, err := c.s.Apps.Clients(c.r.Context())
	if err != nil {
		return err
	}
	made, by := 0, strconv.Quote(c.principal.AppID.String())
	for _, a := range all {
		if string(membersOf(a.Application)["createdByAppId"]) == by {
			made++
		}
	}
	if made < mostOwnApps {
		return nil
	}
	return &problem{status: http.StatusForbidden, code: "Directory_QuotaExceeded", message: "The directory object quota limit for the Principal has been exceeded. " +
		"Please ask your administrator to increase the quota limit or delete objects to reduce the used quota."}
}

// changeable returns why an app cannot be changed or deleted, nil if it can. Whoever could change where people are sent back to by
// the service's own app would get their tokens.
func (c *call) changeable(a *oauth.Client) error {
	switch {
	case a.ObjectID == c.s.graphPrincipal():
		return errGraphPrincipal
	case a.BuiltIn:
		return errBuiltIn
	}
	return nil
}

// editClient changes the app that the path names, one request at a time, and has the audit log say so under activity, to which the
// type of what the path names is added.
func (c *call) editClient(activity string, change func(*oauth.Client) error) (*oauth.Client, error) {
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return nil, err
	}
	defer unlock()
	a, err := c.registered()
	if err != nil {
		return nil, err
	}
	_, application := c.params["{app}"]
	kind := " service principal"
	if application {
		kind = " application"
	}
	return a, c.changeClient(a, deed{activity + kind, "Update", application}, change)
}

// changeClient changes an app; whoever calls it holds oauth.LockClients.
func (c *call) changeClient(a *oauth.Client, d deed, change func(*oauth.Client) error) error {
	if err := c.changeable(a); err != nil {
		return err
	}
	before := facts(a)
	if err := change(a); err != nil {
		return err
	}
	return c.putClient(a, before, d)
}

// application is the provisioning side of the app that a path names.
type application struct {
	*provision.App
	context string // of what belongs to it
	client  *oauth.Client
}

// application returns what is provisioned for the app that the path names: nothing yet, without secrets, if it never had a job.
func (c *call) application() (*application, error) {
	client, err := c.registered()
	if err != nil {
		return nil, err
	}
	context := servicePrincipalContext(client.ObjectID.String())
	if _, own := c.params["{app}"]; own {
		context = "applications('" + client.ApplicationID.String() + "')"
	}
	apps, err := c.s.Service.Apps(c.r.Context())
	if err != nil {
		return nil, err
	}
	for _, a := range apps {
		if client.ObjectID != uuid.Nil && a.ServicePrincipalID == client.ObjectID {
			return &application{a, context, client}, nil
		}
	}
	return &application{&provision.App{ServicePrincipalID: client.ObjectID, ApplicationID: client.AppID, DisplayName: client.DisplayName}, context, client}, nil
}

// provisioned is application, and makes it one that can have jobs and secrets.
func (c *call) provisioned() (*application, error) {
	a, err := c.application()
	if err != nil {
		return nil, err
	}
	if a.client.ApplicationID == uuid.Nil || a.client.ObjectID == uuid.Nil {
		return nil, badRequest("'%s' cannot be provisioned from: that needs an application with a service principal, such as POST /applicationTemplates/{id}/instantiate makes.", clip(a.DisplayName))
	}
	return a, c.s.Service.PutApp(c.r.Context(), a.ServicePrincipalID, a.ApplicationID, a.client.DisplayName)
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

// deletePrincipal ends all that hangs on a service principal: its jobs, what it was given, and what others have been given on it.
// It holds oauth.LockClients.
func (c *call) deletePrincipal(a *oauth.Client) error {
	jobs, err := c.jobsOf(&provision.App{ServicePrincipalID: a.ObjectID})
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if err := c.s.Service.DeleteJob(c.r.Context(), j.PK); err != nil && !isNotFound(err) {
			return err
		}
	}
	if err := c.s.Service.SetSecrets(c.r.Context(), a.ObjectID, nil); err != nil && !isNotFound(err) { // who is notified is about people
		return err
	}
	all, err := c.s.Apps.Clients(c.r.Context())
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.AppID != a.AppID && forget(other, a.ObjectID) {
			if err := c.s.Apps.PutClient(c.r.Context(), other); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget takes a service principal out of what an app refers to, and reports whether it was there.
func forget(a *oauth.Client, id uuid.UUID) bool {
	before := len(a.Assignments) + len(a.Grants) + len(a.Owners)
	a.Assignments = slices.DeleteFunc(a.Assignments, func(r oauth.RoleAssignment) bool { return r.Resource == id })
	a.Grants = slices.DeleteFunc(a.Grants, func(g oauth.Grant) bool { return g.Resource == id })
	a.Owners = slices.DeleteFunc(a.Owners, func(o uuid.UUID) bool { return o == id })
	return len(a.Assignments)+len(a.Grants)+len(a.Owners) < before
}

// uniqueName is the alternate key of an application, "" if it has none.
func uniqueName(a *oauth.Client) string {
	var name string
	_ = json.Unmarshal(membersOf(a.Application)["uniqueName"], &name) // what is kept was checked when it came
	return name
}
