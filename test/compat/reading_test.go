package compat

import (
	"context"
	"strings"
	"testing"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"
	"github.com/microsoftgraph/msgraph-sdk-go/directoryobjects"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/users"
)

// TestDirectorySDK reads and writes the directory with the official SDK, and sends a batch as it makes one.
func TestDirectorySDK(t *testing.T) {
	s := start(t)
	cred := s.credential(t)
	s.upload(t, cred, map[string]any{"externalId": "1", "userName": "ada", "displayName": "Ada", "active": true}, map[string]any{"externalId": "2", "userName": "bo", "displayName": "Bo", "active": true})
	g, ctx := s.sdk(t, cred), context.Background()
	organization, err := g.Organization().Get(ctx, nil)
	if err != nil || len(organization.GetValue()) != 1 || len(organization.GetValue()[0].GetVerifiedDomains()) != 1 {
		t.Fatalf("organization: %v, %v", organization, err)
	}
	domain := *organization.GetValue()[0].GetVerifiedDomains()[0].GetName()
	if domains, err := g.Domains().Get(ctx, nil); err != nil || *domains.GetValue()[0].GetId() != domain {
		t.Errorf("domains: %v", err)
	}
	if groups, err := g.Groups().Get(ctx, nil); err != nil || len(groups.GetValue()) != 0 {
		t.Errorf("groups: %v", err)
	}
	if roles, err := g.DirectoryRoles().Get(ctx, nil); err != nil || len(roles.GetValue()) != 8 {
		t.Errorf("directoryRoles: %v", err)
	}
	if _, err := g.Me().Get(ctx, nil); err == nil || !strings.Contains(err.Error(), "delegated authentication flow") {
		t.Errorf("me: %v", err)
	}

	person, profile := models.NewUser(), models.NewPasswordProfile()
	yes, name, nick, upn, password := true, "Cy", "cy", "cy@"+domain, "not kept, Xx1!"
	profile.SetPassword(&password)
	person.SetAccountEnabled(&yes)
	person.SetDisplayName(&name)
	person.SetMailNickname(&nick)
	person.SetUserPrincipalName(&upn)
	person.SetPasswordProfile(profile)
	cy, err := g.Users().Post(ctx, person, nil)
	if err != nil {
		t.Fatal(err)
	}
	change, title := models.NewUser(), "Lead"
	change.SetJobTitle(&title)
	if _, err := g.Users().ByUserId(*cy.GetId()).Patch(ctx, change, nil); err != nil {
		t.Fatal(err)
	}
	ada, err := g.Users().ByUserId("ada@"+domain).Get(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	reference, link := models.NewReferenceUpdate(), "https://graph.microsoft.com/v1.0/users/"+*cy.GetId()
	reference.SetOdataId(&link)
	if err := g.Users().ByUserId(*ada.GetId()).Manager().Ref().Put(ctx, reference, nil); err != nil {
		t.Fatal(err)
	}
	manager, err := g.Users().ByUserId(*ada.GetId()).Manager().Get(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m, is := manager.(models.Userable); !is || *m.GetJobTitle() != title {
		t.Errorf("manager: %T", manager)
	}
	if reports, err := g.Users().ByUserId(*cy.GetId()).DirectReports().Get(ctx, nil); err != nil || len(reports.GetValue()) != 1 {
		t.Errorf("reports: %v", err)
	}

	headers, yesCount, search, advanced := abstractions.NewRequestHeaders(), true, `"displayName:c"`, "endsWith(userPrincipalName,'"+domain+"')"
	headers.Add("ConsistencyLevel", "eventual")
	found, err := g.Users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{Headers: headers,
		QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Search: &search, Count: &yesCount, Filter: &advanced}})
	if err != nil || len(found.GetValue()) != 1 || *found.GetOdataCount() != 1 {
		t.Errorf("search: %v", err)
	}
	if _, err := g.Users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Filter: &advanced}}); err == nil {
		t.Error("an advanced query without its header was answered")
	}
	ids := directoryobjects.NewGetByIdsPostRequestBody()
	ids.SetIds([]string{*cy.GetId(), s.env["SP_ID"]})
	objects, err := g.DirectoryObjects().GetByIds().PostAsGetByIdsPostResponse(ctx, ids, nil)
	if err != nil || len(objects.GetValue()) != 2 {
		t.Fatalf("getByIds: %v", err)
	}
	if _, is := objects.GetValue()[1].(models.ServicePrincipalable); !is {
		t.Errorf("getByIds: %T", objects.GetValue()[1])
	}

	batch := core.NewBatchRequest(g.GetAdapter())
	request, err := g.Users().ByUserId(*ada.GetId()).ToGetRequestInformation(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := batch.AddBatchRequestStep(*request)
	if err != nil {
		t.Fatal(err)
	}
	if request, err = g.Users().ByUserId("nobody").ToDeleteRequestInformation(ctx, nil); err != nil {
		t.Fatal(err)
	}
	second, err := batch.AddBatchRequestStep(*request)
	if err != nil {
		t.Fatal(err)
	}
	second.DependsOnItem(first)
	answer, err := batch.Send(ctx, g.GetAdapter())
	if err != nil {
		t.Fatal(err)
	}
	got, err := core.GetBatchResponseById[models.Userable](answer, *first.GetId(), models.CreateUserFromDiscriminatorValue)
	if err != nil || *got.GetDisplayName() != "Ada" {
		t.Errorf("batch: %v", err)
	}
	if status := answer.GetResponseById(*second.GetId()).GetStatus(); status == nil || *status != 404 {
		t.Errorf("batch: the second was answered with %v", status)
	}
}
