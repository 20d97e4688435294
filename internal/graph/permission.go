package graph

import (
	"errors"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// access says who may use a method of a route (Microsoft Graph permissions reference). An app needs one of the permissions
// as an application permission. A person needs one of them as a scope of the token and, beside it, one of the roles.
type access struct {
	permissions []string
	owned       []string // application permissions that do as well where the app owns what the path names
	self        bool     // for owned, an app counts as an owner of itself
	resource    bool     // for owned, everybody counts as an owner of Microsoft Graph's service principal
	hides       bool     // for owned, what the app does not own looks as if it were not there: who deletes an app waits for 404
	anyone      bool     // any token will do
	me          bool     // it is about the person who asks, who needs no role; an app is told that it is no person
	roles       []string // directory roles

	deny func(lacking []string) *problem
}

// Directory roles, as oauth.DirectoryRoles names them.
const (
	globalAdministrator   = "Global Administrator"
	appAdministrator      = "Application Administrator"
	cloudAppAdministrator = "Cloud Application Administrator"
	hybridAdministrator   = "Hybrid Identity Administrator"
	userAdministrator     = "User Administrator"
	globalReader          = "Global Reader"
	reportsReader         = "Reports Reader"
	securityReader        = "Security Reader"
)

var (
	appAdmins   = []string{globalAdministrator, appAdministrator, cloudAppAdministrator, hybridAdministrator}
	appReaders  = append([]string{globalReader}, appAdmins...)
	userAdmins  = []string{globalAdministrator, userAdministrator}
	userReaders = append([]string{userAdministrator}, appReaders...)
	logReaders  = append([]string{reportsReader, securityReader}, appReaders...)
	allReaders  = append([]string{userAdministrator}, logReaders...)
	grantAdmins = []string{globalAdministrator, appAdministrator, cloudAppAdministrator}
)

// Who may do what, by what it is done to.
var (
	mayUpload = access{roles: userAdmins, deny: denied, self: true,
		permissions: []string{"SynchronizationData-User.Upload"},
		owned:       []string{"SynchronizationData-User.Upload.OwnedBy"}}
	mayReadUploads = access{roles: allReaders, deny: deniedSync, self: true,
		permissions: []string{"SynchronizationData-User.Upload", "Synchronization.Read.All", "Synchronization.ReadWrite.All", "ProvisioningLog.Read.All"},
		owned:       []string{"SynchronizationData-User.Upload.OwnedBy", "Application.ReadWrite.OwnedBy"}}

	mayReadSync = access{roles: appReaders, deny: deniedSync, self: true,
		permissions: []string{"Synchronization.Read.All", "Synchronization.ReadWrite.All"},
		owned:       []string{"Application.ReadWrite.OwnedBy"}}
	mayWriteSync = access{roles: appAdmins, deny: deniedSync, self: true,
		permissions: []string{"Synchronization.ReadWrite.All"},
		owned:       []string{"Application.ReadWrite.OwnedBy"}}
	mayPatchJobs = access{roles: appAdmins, deny: deniedSync,
		permissions: []string{"Synchronization.ReadWrite.All"}}
	mayDiscover = access{roles: appAdmins, deny: deniedSync, self: true,
		permissions: []string{"Synchronization.ReadWrite.All", "Directory.ReadWrite.All"},
		owned:       []string{"Application.ReadWrite.OwnedBy"}}
	mayReadLinks = access{roles: appReaders, deny: deniedSync,
		permissions: []string{"SynchronizationMetadata.Read.All", "SynchronizationMetadata.ReadWrite.All", "Synchronization.Read.All", "Synchronization.ReadWrite.All"}}
	mayWriteLinks = access{roles: appAdmins, deny: deniedSync,
		permissions: []string{"SynchronizationMetadata.ReadWrite.All", "Synchronization.ReadWrite.All"}}

	mayReadLogs = access{roles: logReaders, deny: deniedLogs,
		permissions: []string{"ProvisioningLog.Read.All", "AuditLog.Read.All", "Directory.Read.All"}}
	mayReadAudits = access{roles: logReaders, deny: deniedLogs,
		permissions: []string{"AuditLog.Read.All", "Directory.Read.All"}}

	mayReadUsers = access{roles: userReaders, deny: denied,
		permissions: []string{"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	mayReadMe = access{me: true, deny: denied,
		permissions: []string{"User.Read", "User.ReadWrite", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	mayDeleteUsers = access{roles: userAdmins, deny: denied,
		permissions: []string{"User.DeleteRestore.All", "User.ReadWrite.All"}}

	mayWriteUsers = access{roles: userAdmins, deny: denied,
		permissions: []string{"User.ReadWrite.All", "Directory.ReadWrite.All"}}

	anybody = access{anyone: true, deny: denied} // what is behind it has rules of its own, or is no secret

	mayReadOrganization = access{roles: allReaders, deny: denied,
		permissions: []string{"Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	mayReadDomains = access{roles: allReaders, deny: denied,
		permissions: []string{"Domain.Read.All", "Domain.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	mayReadRoles = access{roles: allReaders, deny: denied,
		permissions: []string{"RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory", "Directory.Read.All", "Directory.ReadWrite.All"}}
	mayReadDirectory = access{roles: userReaders, deny: denied,
		permissions: []string{"Directory.Read.All", "Directory.ReadWrite.All"}}
	mayReadObjects = access{roles: userReaders, deny: denied, // whose type decides the rest
		permissions: append([]string{"Application.Read.All", "Application.ReadWrite.All"}, mayReadDirectory.permissions...),
		owned:       []string{"Application.ReadWrite.OwnedBy"}}
	mayReadGroups = access{roles: userReaders, deny: denied,
		permissions: []string{"GroupMember.Read.All", "Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	mayWriteGroups = access{roles: userAdmins, deny: denied,
		permissions: []string{"Group.Create", "Group.ReadWrite.All", "Directory.ReadWrite.All"}}

	mayReadApps = access{roles: appReaders, deny: denied, self: true, hides: true, resource: true,
		permissions: []string{"Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All", "Synchronization.Read.All", "Synchronization.ReadWrite.All"},
		owned:       []string{"Application.ReadWrite.OwnedBy"}}
	mayWriteApps = access{roles: appAdmins, deny: denied,
		permissions: []string{"Application.ReadWrite.All", "Directory.ReadWrite.All"},
		owned:       []string{"Application.ReadWrite.OwnedBy"}}

	mayReadAssignments = access{roles: appReaders, deny: denied, self: true,
		permissions: []string{"AppRoleAssignment.ReadWrite.All", "Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"},
		owned:       []string{"Application.ReadWrite.OwnedBy"}}
	mayAssign = access{roles: []string{globalAdministrator}, deny: denied,
		permissions: []string{"AppRoleAssignment.ReadWrite.All"}}
	mayReadGrants = access{roles: appReaders, deny: denied,
		permissions: []string{"DelegatedPermissionGrant.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	mayGrant = access{roles: grantAdmins, deny: denied,
		permissions: []string{"DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All"}}
)

// authorize returns nil if the caller may do what a asks for, to what the path names.
func (c *call) authorize(a *access) error {
	p := c.principal
	switch {
	case a.anyone, a.me && !p.User:
		return nil
	case p.User:
		if !among(p.Scopes, a.permissions) {
			return a.deny(a.permissions)
		}
		if !a.me && !inRole(p, a.roles) {
			return a.deny(a.roles)
		}
		return nil
	case among(p.Roles, a.permissions):
		return nil
	case among(p.Roles, a.owned):
		ok, err := c.owns(a)
		if err != nil {
			return err
		}
		if c.limited = ok; ok {
			return nil
		}
		if a.hides {
			return objectNotFound(c.appKey().value)
		}
	}
	return a.deny(slices.Concat(a.permissions, a.owned))
}

// owns reports whether the caller owns the app that the path names. Where it names none there is nothing to own yet: then
// the caller is limited to what it makes, or owns.
func (c *call) owns(a *access) (bool, error) {
	if c.params["{sp}"] == (key{}) && c.params["{app}"] == (key{}) {
		return true, nil
	}
	app, err := c.registered()
	var p *problem
	if errors.As(err, &p) { // what there is not is nobody's
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return c.isOwner(app) || a.self && c.isSelf(app) || a.resource && app.ObjectID == c.s.graphPrincipal(), nil
}

// isOwner reports whether the caller is an owner of the app.
func (c *call) isOwner(app *oauth.Client) bool {
	return c.principal.ObjectID != uuid.Nil && slices.Contains(app.Owners, c.principal.ObjectID)
}

func (c *call) isSelf(app *oauth.Client) bool {
	return c.principal.ObjectID != uuid.Nil && c.principal.ObjectID == app.ObjectID
}

// sees reports whether a list shows the app to the caller: one that is limited sees what it owns, itself, and what all need.
func (c *call) sees(app *oauth.Client) bool {
	return !c.limited || c.isOwner(app) || c.isSelf(app) || app.ObjectID == c.s.graphPrincipal()
}

// mustOwn refuses a caller that is limited to what it owns if it does not own the app.
func (c *call) mustOwn(app *oauth.Client) error {
	if c.limited && !c.isOwner(app) {
		return &problem{status: http.StatusForbidden, code: codeDenied, message: textDenied}
	}
	return nil
}

// among reports whether one of the wanted names is had.
func among(had, wanted []string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(had, w) })
}

// inRole reports whether the person has one of the directory roles.
// mayChange returns nil if the caller may change the user with this id: somebody with a directory role is changed by a Global
// Administrator alone, or who may do little could take an administrator's place (Microsoft Entra built-in roles, "Who can
// perform sensitive actions").
func (c *call) mayChange(id string) error {
	if c.principal.User && inRole(c.principal, []string{globalAdministrator}) {
		return nil
	}
	for _, template := range oauth.DirectoryRoles {
		members, err := c.s.RoleMembers(c.r.Context(), template)
		if err != nil {
			return err
		}
		if slices.Contains(members, id) {
			return denied(nil)
		}
	}
	return nil
}

func inRole(p *oauth.Principal, roles []string) bool {
	return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(p.DirectoryRoles, oauth.DirectoryRoles[r]) })
}
