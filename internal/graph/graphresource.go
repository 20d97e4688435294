package graph

import (
	"maps"
	"slices"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// graphAppID is Microsoft Graph's appId, the same in each tenant; microsoftTenant owns it.
const (
	graphAppID      = "00000003-0000-0000-c000-000000000000"
	microsoftTenant = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
)

// scopeIDs are the delegated permissions of Microsoft Graph that mean something here (Microsoft Graph permissions reference).
var scopeIDs = map[string]string{
	"SynchronizationData-User.Upload": "1a2e7420-4e92-4d2b-94cb-fb2952e9ddf7",
	"ProvisioningLog.Read.All":        "95aec97b-cf27-4a8d-a67d-42f60b5b38ef",
	"AuditLog.Read.All":               "e4c9e354-4dc5-45b8-9e7c-e1393b0b1a20",
	"Synchronization.Read.All":        "7aa02aeb-824f-4fbe-a3f7-611f751f5b55",
	"Synchronization.ReadWrite.All":   "7bb27fa3-ea8f-4d67-a916-87715b6188bd",
	"Application.Read.All":            "c79f8feb-a9db-4090-85f9-90d820caa0eb",
	"Application.ReadWrite.All":       "bdfbf15f-ee85-4955-8675-146e8e5296b5",
	"AppRoleAssignment.ReadWrite.All": "84bccea3-f856-4a8a-967b-dbe0a3d53a64",
	"Directory.Read.All":              "06da0dbc-49e2-44d2-8312-53f166ab848a",
	"Directory.ReadWrite.All":         "c5366453-9fb0-48a5-a156-24f0c49a4b84",
	"User.Read.All":                   "a154be20-db9c-4678-8ab7-66f6cc099a59",
	"User.ReadWrite.All":              "204e0828-b5ca-4ad8-b9f3-f32a958e7cc4",
	"User.Read":                       "e1fe6dd8-ba31-4d61-89e7-88639da4683d",
	"openid":                          "37f7f235-527c-4136-accd-4a02d197296e",
	"profile":                         "14dad69e-099b-42c9-810b-d002981feec1",
	"email":                           "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0",
	"offline_access":                  "7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
}

// graphPrincipal is the object id of Microsoft Graph's service principal, which each tenant has its own of.
func (s *server) graphPrincipal() uuid.UUID {
	return oauth.GraphObjectID(s.Service.Tenant().ID)
}

// graphClient is Microsoft Graph as a resource: it is in no store, and nobody can change it.
func (s *server) graphClient() *oauth.Client {
	return &oauth.Client{AppID: uuid.MustParse(graphAppID), ObjectID: s.graphPrincipal(), DisplayName: "Microsoft Graph"}
}

// graphRoles are the appRoles of Microsoft Graph, by name.
func graphRoles() []object {
	roles := []object{}
	for _, name := range slices.Sorted(maps.Keys(oauth.RoleIDs)) {
		roles = append(roles, object{
			{"allowedMemberTypes", []string{"Application"}},
			{"description", "Lets the app act under " + name + ", without a person."},
			{"displayName", name},
			{"id", oauth.RoleIDs[name].String()},
			{"isEnabled", true},
			{"origin", "Application"},
			{"value", name},
		})
	}
	return roles
}

// graphScopes are the oauth2PermissionScopes of Microsoft Graph, by name.
func graphScopes() []object {
	scopes := []object{}
	for _, name := range slices.Sorted(maps.Keys(scopeIDs)) {
		scopes = append(scopes, object{
			{"adminConsentDescription", "Lets the app act under " + name + " for the person who has signed in."},
			{"adminConsentDisplayName", name},
			{"id", scopeIDs[name]},
			{"isEnabled", true},
			{"type", "Admin"},
			{"userConsentDescription", nil},
			{"userConsentDisplayName", nil},
			{"value", name},
		})
	}
	return scopes
}

// graphRoleName is the application permission with this app role id, "" if there is none.
func graphRoleName(id uuid.UUID) string {
	for name, known := range oauth.RoleIDs {
		if known == id {
			return name
		}
	}
	return ""
}
