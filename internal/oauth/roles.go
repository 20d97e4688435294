package oauth

import "github.com/google/uuid"

// RoleIDs are the application permissions this server grants, each with the
// identifier of its app role on Microsoft Graph (Microsoft Graph permissions
// reference). It is not to be changed.
var RoleIDs = map[string]uuid.UUID{
	"SynchronizationData-User.Upload":         uuid.MustParse("db31e92a-b9ea-4d87-bf6a-75a37a9ca35a"),
	"SynchronizationData-User.Upload.OwnedBy": uuid.MustParse("25c32ff3-849a-494b-b94f-20a8ac4e6774"),
	"AuditLog.Read.All":                       uuid.MustParse("b0afded3-3588-46d8-8b3d-9842eff778da"),
	"ProvisioningLog.Read.All":                uuid.MustParse("091937d3-3e38-47a1-8649-b2f99d3035f1"),
	"Synchronization.Read.All":                uuid.MustParse("5ba43d2f-fa88-4db2-bd1c-a67c5f0fb1ce"),
	"Synchronization.ReadWrite.All":           uuid.MustParse("9b50c33d-700f-43b1-b2eb-87e89b703581"),
	"Application.Read.All":                    uuid.MustParse("9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30"),
	"Directory.Read.All":                      uuid.MustParse("7ab1d382-f21e-4acd-a863-ba3e13f7da61"),
	"User.Read.All":                           uuid.MustParse("df021288-bdef-4463-88db-98f22de89214"),
	"User.ReadWrite.All":                      uuid.MustParse("741f803b-c850-494e-b5df-cde7c675a1ca"),
	"User.DeleteRestore.All":                  uuid.MustParse("eccc023d-eccf-4e7b-9683-8813ab36cecc"),
	"Application.ReadWrite.All":               uuid.MustParse("1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9"),
	"Application.ReadWrite.OwnedBy":           uuid.MustParse("18a4783c-866b-4cc7-a460-3d5e5662c884"),
	"AppRoleAssignment.ReadWrite.All":         uuid.MustParse("06b708a9-e830-4db3-a914-8e69da51d44f"),
	"DelegatedPermissionGrant.ReadWrite.All":  uuid.MustParse("8e8e4742-1d95-4f68-9d56-6ee75648c72a"),
	"Group.Read.All":                          uuid.MustParse("5b567255-7703-4780-807c-7be8301ae99b"),
	"Group.ReadWrite.All":                     uuid.MustParse("62a82d76-70ea-41e2-9197-370581804d09"),
	"Directory.ReadWrite.All":                 uuid.MustParse("19dbc75e-c2e2-444c-a770-ec69d8559fc7"),
}
