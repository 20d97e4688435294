package oauth

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// openScopes are what every client may ask of every person.
var openScopes = []string{"openid", "profile", "email", "offline_access", "User.Read"}

// GraphObjectID is the object id of Microsoft Graph's service principal in the
// tenant: the resource of role assignments and grants.
func GraphObjectID(tenant uuid.UUID) uuid.UUID { return uuid.NewSHA1(tenant, []byte(graphAppID)) }

// granted are the delegated permissions on Graph that the client may use for the
// person.
func (a *Authority) granted(c *Client, person uuid.UUID) (scopes []string) {
	for _, g := range c.Grants {
		if g.Resource == GraphObjectID(a.tenant) && (g.Person == uuid.Nil || g.Person == person) {
			scopes = append(scopes, strings.Fields(g.Scope)...)
		}
	}
	return scopes
}

// asked splits a scope parameter into names of permissions on Graph, without
// the resource that they may be prefixed with. all is that .default is among
// them: whatever the client has been granted.
func (x *exchange) asked(scope string) (names []string, all bool, e *protocolError) {
	for _, s := range strings.Fields(scope) {
		if i := strings.LastIndexByte(s, '/'); i >= 0 {
			if _, e := x.resource(strings.TrimRight(s[:i], "/")); e != nil {
				return nil, false, e
			}
			s = s[i+1:]
		}
		if strings.EqualFold(s, ".default") {
			all = true
			continue
		}
		names = append(names, s)
	}
	return names, all, nil
}

// scopes returns the permissions of a token: what is asked for and the client
// may use, as far as the person's roles allow it. A permission that the client
// has not been granted is an error; one that the roles do not allow is left out.
func (x *exchange) scopes(c *Client, p *Person, scope string) ([]string, *protocolError) {
	names, all, e := x.asked(scope)
	if e != nil {
		return nil, e
	}
	granted := append(slices.Clone(openScopes), x.a.granted(c, p.ObjectID)...)
	if all {
		names = append(names, granted[len(openScopes)-1:]...)
	}
	var scopes []string
	for _, name := range names {
		i := slices.IndexFunc(granted, func(g string) bool { return strings.EqualFold(g, name) })
		if i < 0 {
			return nil, &protocolError{status: 400, kind: "invalid_grant", code: 65001,
				text: "The user or administrator has not consented to use the application with ID '" + c.AppID.String() + "' for '" + shown(name) + "'. An administrator grants it as an oauth2PermissionGrant."}
		}
		if slices.Contains(openScopes, granted[i]) || slices.ContainsFunc(p.DirectoryRoles, func(role string) bool { return roleAllows(role, granted[i]) }) {
			scopes = append(scopes, granted[i])
		}
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}

// roleAllows reports whether a directory role, by the id of its template, has
// any use for a permission. What it may do with it where is for those who serve
// the request; a token only must not say more than the person is.
func roleAllows(role, scope string) bool {
	area, _, _ := strings.Cut(scope, ".")
	read := strings.Contains(scope, ".Read.") || strings.HasSuffix(scope, ".Read")
	switch role {
	case globalAdministrator:
		return true
	case DirectoryRoles["Global Reader"]:
		return read
	case DirectoryRoles["Reports Reader"], DirectoryRoles["Security Reader"]:
		return read && (area == "AuditLog" || area == "ProvisioningLog")
	case DirectoryRoles["User Administrator"]:
		return read || area == "User" || area == "Group" || area == "Directory" || area == "SynchronizationData-User"
	case DirectoryRoles["Application Administrator"], DirectoryRoles["Cloud Application Administrator"], DirectoryRoles["Hybrid Identity Administrator"]:
		return read || area == "Application" || area == "Directory" || area == "AppRoleAssignment" || area == "DelegatedPermissionGrant" || strings.HasPrefix(area, "Synchronization")
	}
	return false
}
