package graph

import (
	"maps"
	"slices"
	"strings"

	"induct/internal/oauth"
	"induct/internal/provision"
)

const (
	appCategory = "ApplicationManagement"
	appService  = "Core Directory"
	mostFact    = 1 << 10 // bytes of a value in the audit log
)

// deed is what the audit log says of a change of an app.
type deed struct {
	activity, operation string
	application         bool // it is about the application, else about the service principal
}

// putClient stores an app and records what has changed since before; nil: it is new.
func (c *call) putClient(a *oauth.Client, before map[string]string, d deed) error {
	if err := c.s.Apps.PutClient(c.r.Context(), a); err != nil {
		return err
	}
	return c.record(a, before, d)
}

// dropClient deletes an app and records it.
func (c *call) dropClient(a *oauth.Client, d deed) error {
	if err := c.s.Apps.DeleteClient(c.r.Context(), a.AppID); err != nil {
		return err
	}
	return c.record(a, facts(a), d)
}

// record writes an entry of the audit log.
func (c *call) record(a *oauth.Client, before map[string]string, d deed) error {
	entry := provision.Audit{Activity: d.activity, OperationType: d.operation, Category: appCategory, Service: appService,
		TargetID: objectID(a, d.application).String(), TargetName: a.DisplayName, TargetType: "ServicePrincipal",
		Details: []provision.KeyValue{{Key: "AppId", Value: a.AppID.String()}}}
	if d.application {
		entry.TargetType = "Application"
	}
	after := facts(a)
	names := maps.Clone(before)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before[name] != after[name] {
			entry.Modified = append(entry.Modified, provision.Modification{Attribute: name, Old: valueOrNil(before[name]), New: valueOrNil(after[name])})
		}
	}
	return c.s.Service.Record(c.r.Context(), entry)
}

// facts are what the audit log shows of an app, by name: of credentials only which there are.
func facts(a *oauth.Client) map[string]string {
	f := map[string]string{"DisplayName": a.DisplayName, "AccountEnabled": "True"}
	if a.Disabled {
		f["AccountEnabled"] = "False"
	}
	var credentials []string
	for _, s := range a.Secrets {
		credentials = append(credentials, "Password "+s.KeyID.String()+" "+s.DisplayName)
	}
	for _, k := range a.Certificates {
		credentials = append(credentials, "AsymmetricX509Cert "+k.KeyID.String()+" "+k.DisplayName)
	}
	for _, x := range a.Federated {
		credentials = append(credentials, "FederatedIdentity "+x.Name+" "+x.Issuer+" "+x.Subject)
	}
	var owners, roles, grants []string
	for _, o := range a.Owners {
		owners = append(owners, o.String())
	}
	for _, r := range a.Assignments {
		if !slices.Contains(a.Roles, graphRoleName(r.Role)) {
			roles = append(roles, r.Resource.String()+" "+r.Role.String())
		}
	}
	for _, g := range a.Grants {
		grants = append(grants, g.Resource.String()+" "+g.Person.String()+" "+g.Scope)
	}
	for name, values := range map[string][]string{"Credentials": credentials, "Owners": owners, "AppRoles": slices.Concat(roles, a.Roles), "DelegatedPermissions": grants} {
		if len(values) > 0 {
			f[name] = clipTo(strings.Join(values, "; "), 8*mostFact)
		}
	}
	for name, value := range membersOf(a.Application) {
		f["Application."+name] = clipTo(string(value), mostFact)
	}
	for name, value := range membersOf(a.Principal) {
		f["ServicePrincipal."+name] = clipTo(string(value), mostFact)
	}
	return f
}

func valueOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
