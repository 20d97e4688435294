package compat

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/uuid"
	"github.com/microsoftgraph/msgraph-sdk-go/applications"
	"github.com/microsoftgraph/msgraph-sdk-go/applicationtemplates"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/serviceprincipals"
)

// TestGraphSDKApps sets up an app from nothing with the Graph SDK: gallery, client, secret, certificate, permission, owner, job; then
// the new client signs in with azidentity, both ways, and leads its own app.
func TestGraphSDKApps(t *testing.T) {
	s := start(t)
	g, ctx := s.sdk(t, s.credential(t)), context.Background()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %s", what, text(err))
		}
	}
	ptr := func(v string) *string { return &v }

	filter := "displayName eq 'API-driven provisioning to Microsoft Entra ID'"
	gallery, err := g.ApplicationTemplates().Get(ctx, &applicationtemplates.ApplicationTemplatesRequestBuilderGetRequestConfiguration{
		QueryParameters: &applicationtemplates.ApplicationTemplatesRequestBuilderGetQueryParameters{Filter: &filter}})
	must("applicationTemplates", err)
	if len(gallery.GetValue()) != 1 {
		t.Fatalf("%d templates", len(gallery.GetValue()))
	}
	instance := applicationtemplates.NewItemInstantiatePostRequestBody()
	instance.SetDisplayName(ptr("HR"))
	both, err := g.ApplicationTemplates().ByApplicationTemplateId(*gallery.GetValue()[0].GetId()).Instantiate().Post(ctx, instance, nil)
	must("instantiate", err)
	sp := g.ServicePrincipals().ByServicePrincipalId(*both.GetServicePrincipal().GetId())
	if roles := both.GetApplication().GetAppRoles(); len(roles) != 1 || *roles[0].GetDisplayName() != "msiam_access" {
		t.Errorf("app roles %v", roles)
	}

	made := models.NewApplication()
	made.SetDisplayName(ptr("Client"))
	made.SetTags([]string{"a"})
	web := models.NewWebApplication()
	web.SetRedirectUris([]string{"https://app.people.example/cb"})
	made.SetWeb(web)
	app, err := g.Applications().Post(ctx, made, nil)
	must("POST application", err)
	client := g.Applications().ByApplicationId(*app.GetId())
	principal := models.NewServicePrincipal()
	principal.SetAppId(app.GetAppId())
	created, err := g.ServicePrincipals().Post(ctx, principal, nil)
	must("POST servicePrincipal", err)
	_, err = client.Patch(ctx, app, nil) // what was read, sent back
	must("PATCH of what was read", err)

	password := applications.NewItemAddPasswordPostRequestBody()
	credential := models.NewPasswordCredential()
	credential.SetDisplayName(ptr("ci"))
	end := time.Now().Add(24 * time.Hour)
	credential.SetEndDateTime(&end)
	password.SetPasswordCredential(credential)
	secret, err := client.AddPassword().Post(ctx, password, nil)
	must("addPassword", err)

	key, der := selfSigned(t)
	certified := models.NewApplication()
	keyCredential := models.NewKeyCredential()
	keyCredential.SetTypeEscaped(ptr("AsymmetricX509Cert"))
	keyCredential.SetUsage(ptr("Verify"))
	keyCredential.SetKey(der)
	certified.SetKeyCredentials([]models.KeyCredentialable{keyCredential})
	_, err = client.Patch(ctx, certified, nil)
	must("PATCH keyCredentials", err)
	read, err := g.ApplicationsWithAppId(app.GetAppId()).Get(ctx, nil)
	must("GET application by appId", err)
	if len(read.GetKeyCredentials()) != 1 || len(read.GetPasswordCredentials()) != 1 || read.GetPasswordCredentials()[0].GetSecretText() != nil || read.GetTags()[0] != "a" {
		t.Errorf("credentials %d %d", len(read.GetKeyCredentials()), len(read.GetPasswordCredentials()))
	}

	federated := models.NewFederatedIdentityCredential()
	federated.SetName(ptr("ci-main"))
	federated.SetIssuer(ptr("https://idp.example"))
	federated.SetSubject(ptr("repo:a"))
	federated.SetAudiences([]string{"api://AzureADTokenExchange"})
	_, err = client.FederatedIdentityCredentials().Post(ctx, federated, nil)
	must("federatedIdentityCredentials", err)
	extension := models.NewExtensionProperty()
	extension.SetName(ptr("costCode"))
	extension.SetDataType(ptr("String"))
	extension.SetTargetObjects([]string{"User"})
	_, err = client.ExtensionProperties().Post(ctx, extension, nil)
	must("extensionProperties", err)

	graphFilter := "appId eq '00000003-0000-0000-c000-000000000000'"
	found, err := g.ServicePrincipals().Get(ctx, &serviceprincipals.ServicePrincipalsRequestBuilderGetRequestConfiguration{
		QueryParameters: &serviceprincipals.ServicePrincipalsRequestBuilderGetQueryParameters{Filter: &graphFilter}})
	must("Microsoft Graph", err)
	graph, id := found.GetValue()[0], uuid.MustParse(*created.GetId())
	for _, role := range graph.GetAppRoles() {
		if !strings.HasSuffix(*role.GetValue(), ".OwnedBy") {
			continue
		}
		assignment, resource := models.NewAppRoleAssignment(), uuid.MustParse(*graph.GetId())
		assignment.SetPrincipalId(&id)
		assignment.SetResourceId(&resource)
		assignment.SetAppRoleId(role.GetId())
		_, err := g.ServicePrincipals().ByServicePrincipalId(*created.GetId()).AppRoleAssignments().Post(ctx, assignment, nil)
		must(*role.GetValue(), err)
	}
	owner := models.NewReferenceCreate()
	owner.SetOdataId(ptr(s.env["GRAPH_BASE"] + "/directoryObjects/" + *created.GetId()))
	must("owners", sp.Owners().Ref().Post(ctx, owner, nil))
	if owners, err := sp.Owners().Get(ctx, nil); err != nil || len(owners.GetValue()) != 2 {
		t.Errorf("owners: %v", err)
	}
	grant, everybody := models.NewOAuth2PermissionGrant(), "AllPrincipals"
	grant.SetClientId(created.GetId())
	grant.SetConsentType(&everybody)
	grant.SetResourceId(graph.GetId())
	grant.SetScope(ptr("User.Read"))
	_, err = g.Oauth2PermissionGrants().Post(ctx, grant, nil)
	must("oauth2PermissionGrants", err)

	// The new client leads the app that it owns, with its secret and with its certificate.
	options := policy.ClientOptions{Transport: s.http, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: strings.TrimSuffix(s.env["AUTHORITY"], s.env["TENANT_ID"])}}
	own := &service{env: maps.Clone(s.env), http: s.http}
	own.env["CLIENT_ID"], own.env["CLIENT_SECRET"] = *app.GetAppId(), *secret.GetSecretText()
	parsed, err := x509.ParseCertificate(der)
	must("certificate", err)
	byCertificate, err := azidentity.NewClientCertificateCredential(s.env["TENANT_ID"], *app.GetAppId(), []*x509.Certificate{parsed}, key,
		&azidentity.ClientCertificateCredentialOptions{DisableInstanceDiscovery: true, ClientOptions: options})
	must("credential", err)
	job, template := models.NewSynchronizationJob(), "API2AAD"
	job.SetTemplateId(&template)
	for what, sdk := range map[string]interface {
		ServicePrincipals() *serviceprincipals.ServicePrincipalsRequestBuilder
	}{"secret": own.sdk(t, own.credential(t)), "certificate": own.sdk(t, byCertificate)} {
		_, err := sdk.ServicePrincipals().ByServicePrincipalId(*both.GetServicePrincipal().GetId()).Synchronization().Jobs().Post(ctx, job, nil)
		must("a job with the "+what, err)
		_, err = sdk.ServicePrincipals().ByServicePrincipalId(s.env["SP_ID"]).Get(ctx, nil)
		wantStatus(t, "another's app with the "+what, err, 404) // as if there were none
	}

	must("DELETE", g.Applications().ByApplicationId(*both.GetApplication().GetId()).Delete(ctx, nil))
	_, err = sp.Get(ctx, nil)
	wantStatus(t, "its service principal", err, 404)
}

// selfSigned makes a key and a certificate of its own for it.
func selfSigned(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}
