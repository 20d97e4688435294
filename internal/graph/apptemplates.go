package graph

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// GalleryApp is an app of the gallery: what a provisioning app is made of.
type GalleryApp struct {
	ID          string // applicationTemplateId
	DisplayName string
	JobTemplate string // of the jobs of apps that are made of it
	description string
}

// Gallery returns the apps of the gallery. Graph's ids of them are not published, so that these are Induct's own; they do not change.
func Gallery() []GalleryApp {
	return []GalleryApp{
		{"5b1f6a52-7d0e-4c0b-9a55-2f9b6a3c1d01", "API-driven provisioning to Microsoft Entra ID", "API2AAD",
			"Provisions people from any system of record into the cloud directory: records are uploaded to the bulkUpload endpoint of a job."},
		{"5b1f6a52-7d0e-4c0b-9a55-2f9b6a3c1d02", "API-driven provisioning to on-premises Active Directory", "API2AD",
			"Provisions people from any system of record into a directory on premises, through an agent: records are uploaded to the bulkUpload endpoint of a job."},
	}
}

// galleryDate is when the gallery was last changed.
var galleryDate = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// galleryObject is Graph's applicationTemplate.
func galleryObject(g *GalleryApp) object {
	return object{
		{"id", g.ID},
		{"categories", []string{"humanResources", "identityManagement"}},
		{"deprecationDate", nil},
		{"description", g.description},
		{"displayName", g.DisplayName},
		{"endpoints", []string{}},
		{"homePageUrl", nil},
		{"isEntraIntegrated", true},
		{"lastModifiedDateTime", timestamp(galleryDate)},
		{"logoUrl", nil},
		{"publisher", "Induct"},
		{"riskFactors", nil},
		{"riskScore", nil},
		{"supportedProvisioningTypes", []string{"sync"}},
		{"supportedSingleSignOnModes", []string{}},
	}
}

func (c *call) listGallery() error {
	return c.listRows("applicationTemplates", objects(Gallery(), galleryObject))
}

func (c *call) countGallery() error { return c.countRows(objects(Gallery(), galleryObject)) }

// galleryApp is the one that the path names.
func (c *call) galleryApp() (*GalleryApp, error) {
	id, err := c.param("{gallery}")
	if err != nil {
		return nil, err
	}
	gallery := Gallery()
	i := slices.IndexFunc(gallery, func(g GalleryApp) bool { return strings.EqualFold(g.ID, id) })
	if i < 0 {
		return nil, objectNotFound(id)
	}
	return &gallery[i], nil
}

func (c *call) getGallery() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	g, err := c.galleryApp()
	if err != nil {
		return err
	}
	shown := galleryObject(g)
	return c.entity("applicationTemplates"+selection(o.Select, shown)+"/$entity", shown.pick(o.Select))
}

// instantiate makes an application and its service principal of an app of the gallery (applicationTemplate: instantiate).
func (c *call) instantiate() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	g, err := c.galleryApp()
	if err != nil {
		return err
	}
	var sent struct {
		DisplayName string  `json:"displayName"`
		Reference   *string `json:"serviceManagementReference"`
	}
	if err := decode(body, &sent); err != nil {
		return err
	}
	name := strings.TrimSpace(sent.DisplayName)
	if name == "" || len(name) > mostAppName {
		return requestBad("A value is required for property 'displayName', of at most %d bytes.", mostAppName)
	}
	made := NewGalleryApp(g, name, c.s.Now())
	a := c.newClient()
	made.Owners = a.Owners
	kept := membersOf(made.Application)
	kept["createdByAppId"] = json.RawMessage(strconv.Quote(c.principal.AppID.String()))
	if sent.Reference != nil {
		if kept["serviceManagementReference"], err = json.Marshal(*sent.Reference); err != nil {
			return err
		}
	}
	if made.Application, err = pack(kept); err != nil {
		return err
	}
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.withinQuota(); err != nil {
		return err
	}
	if err := c.putClient(made, nil, deed{"Add application", "Add", true}); err != nil {
		return err
	}
	if err := c.record(made, nil, deed{"Add service principal", "Add", false}); err != nil {
		return err
	}
	if err := c.s.Service.PutApp(c.r.Context(), made.ObjectID, made.AppID, made.DisplayName); err != nil {
		return err
	}
	c.json(http.StatusCreated, object{
		{"@odata.context", c.context("microsoft.graph.applicationServicePrincipal")},
		{"application", c.applicationObject(made, false)},
		{"servicePrincipal", c.servicePrincipalObject(made, false)},
	})
	return nil
}

// NewGalleryApp is what instantiating an app of the gallery makes, without owners and in no store yet.
func NewGalleryApp(g *GalleryApp, displayName string, now time.Time) *oauth.Client {
	a := &oauth.Client{AppID: uuid.New(), ApplicationID: uuid.New(), ObjectID: uuid.New(), DisplayName: displayName, TemplateID: g.ID, Created: now.UTC()}
	role := uuid.NewSHA1(a.AppID, []byte("msiam_access")).String()
	a.Application = json.RawMessage(`{"appRoles":[{"allowedMemberTypes":["User"],"description":"msiam_access","displayName":"msiam_access","id":"` + role + `","isEnabled":true,"origin":"Application","value":null}]}`)
	a.Principal = json.RawMessage(`{"appRoleAssignmentRequired":true,"tags":["WindowsAzureActiveDirectoryIntegratedApp"]}`)
	return a
}

// jobTemplateOf is the template of the jobs of an app, "" if it is not of the gallery.
func jobTemplateOf(a *oauth.Client) string {
	for _, g := range Gallery() {
		if g.ID == a.TemplateID {
			return g.JobTemplate
		}
	}
	return ""
}
