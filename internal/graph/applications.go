package graph

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

const (
	usualAppPage = 100
	mostAppPage  = 999
	mostAppName  = 256 // bytes of a display name
)

// registrationRoutes are those of applications, service principals, the gallery, and what they are granted.
func registrationRoutes() []route {
	const app, sp = "/applications/{app}", "/servicePrincipals/{sp}"
	routes := []route{
		{"/applicationTemplates", get((*call).listGallery, anybody)},
		{"/applicationTemplates/$count", get((*call).countGallery, anybody)},
		{"/applicationTemplates/{gallery}", get((*call).getGallery, anybody)},
		{"/applicationTemplates/{gallery}/instantiate", post((*call).instantiate, mayWriteApps)},

		{"/applications", map[string]endpoint{
			"GET":  {(*call).listApplications, mayReadApps},
			"POST": {(*call).postApplication, mayWriteApps},
		}},
		{"/applications/$count", get((*call).countApplications, mayReadApps)},
		{app, map[string]endpoint{
			"GET":    {(*call).getApplication, mayReadApps},
			"PATCH":  {(*call).patchApplication, mayWriteApps},
			"DELETE": {(*call).deleteApplication, mayWriteApps},
		}},
		{app + "/federatedIdentityCredentials", map[string]endpoint{
			"GET":  {(*call).listFederated, mayReadApps},
			"POST": {(*call).postFederated, mayWriteApps},
		}},
		{app + "/federatedIdentityCredentials/{credential}", map[string]endpoint{
			"GET":    {(*call).getFederated, mayReadApps},
			"PATCH":  {(*call).patchFederated, mayWriteApps},
			"DELETE": {(*call).deleteFederated, mayWriteApps},
		}},
		{app + "/extensionProperties", map[string]endpoint{
			"GET":  {(*call).listExtensions, mayReadApps},
			"POST": {(*call).postExtension, mayWriteApps},
		}},
		{app + "/extensionProperties/{extension}", map[string]endpoint{
			"GET":    {(*call).getExtension, mayReadApps},
			"DELETE": {(*call).deleteExtension, mayWriteApps},
		}},

		{"/servicePrincipals", map[string]endpoint{
			"GET":  {(*call).listServicePrincipals, mayReadApps},
			"POST": {(*call).postServicePrincipal, mayWriteApps},
		}},
		{"/servicePrincipals/$count", get((*call).countServicePrincipals, mayReadApps)},
		{sp, map[string]endpoint{
			"GET":    {(*call).getServicePrincipal, mayReadApps},
			"PATCH":  {(*call).patchServicePrincipal, mayWriteApps},
			"DELETE": {(*call).deleteServicePrincipal, mayWriteApps},
		}},
		{sp + "/ownedObjects", get((*call).listOwned, mayReadApps)},
		{sp + "/memberOf", get((*call).listMemberOf, mayReadApps)},
		{sp + "/appRoleAssignments", map[string]endpoint{
			"GET":  {(*call).listAssignments, mayReadAssignments},
			"POST": {(*call).postAssignment, mayAssign},
		}},
		{sp + "/appRoleAssignments/{assignment}", map[string]endpoint{
			"GET":    {(*call).getAssignment, mayReadAssignments},
			"DELETE": {(*call).deleteAssignment, mayAssign},
		}},
		{sp + "/appRoleAssignedTo", map[string]endpoint{
			"GET":  {(*call).listAssignedTo, mayReadAssignments},
			"POST": {(*call).postAssignedTo, mayAssign},
		}},
		{sp + "/appRoleAssignedTo/{assignment}", map[string]endpoint{
			"GET":    {(*call).getAssignedTo, mayReadAssignments},
			"DELETE": {(*call).deleteAssignedTo, mayAssign},
		}},
		{sp + "/oauth2PermissionGrants", get((*call).listGrantsOf, mayReadGrants)},
		{"/oauth2PermissionGrants", map[string]endpoint{
			"GET":  {(*call).listGrants, mayReadGrants},
			"POST": {(*call).postGrant, mayGrant},
		}},
		{"/oauth2PermissionGrants/{grant}", map[string]endpoint{
			"GET":    {(*call).getGrant, mayReadGrants},
			"PATCH":  {(*call).patchGrant, mayGrant},
			"DELETE": {(*call).deleteGrant, mayGrant},
		}},
		{"/directoryObjects/getAvailableExtensionProperties", post((*call).listAvailableExtensions, mayReadApps)},
	}
	for _, of := range []string{app, sp} { // what both have
		routes = append(routes,
			route{of + "/addPassword", post((*call).addPassword, mayWriteApps)},
			route{of + "/removePassword", post((*call).removePassword, mayWriteApps)},
			route{of + "/addKey", post((*call).lackProof, mayWriteApps)},
			route{of + "/removeKey", post((*call).lackProof, mayWriteApps)},
			route{of + "/owners", get((*call).listOwners, mayReadApps)},
			route{of + "/owners/$ref", map[string]endpoint{
				"GET":  {(*call).listOwnerRefs, mayReadApps},
				"POST": {(*call).postOwner, mayWriteApps},
			}},
			route{of + "/owners/{owner}/$ref", map[string]endpoint{"DELETE": {(*call).deleteOwner, mayWriteApps}}})
	}
	return routes
}

// applicationObject is Graph's application. keys says whether the certificates themselves are shown.
func (c *call) applicationObject(a *oauth.Client, keys bool) object {
	return slices.Concat(object{
		{"id", a.ApplicationID.String()},
		{"appId", a.AppID.String()},
		{"applicationTemplateId", orNull(a.TemplateID)},
		{"displayName", a.DisplayName},
		{"createdDateTime", timeOrNull(a.Created)},
		{"deletedDateTime", nil},
		{"publisherDomain", c.s.Service.Tenant().DefaultDomain},
		{"keyCredentials", keyObjects(a, keys)},
		{"passwordCredentials", objects(a.Secrets, passwordObject)},
	}, rendered(shownApplication(a), applicationMembers))
}

// shownApplication are the kept members of an application; redirect URIs that it was made with otherwise are among them.
func shownApplication(a *oauth.Client) map[string]json.RawMessage {
	kept := membersOf(a.Application)
	if !slices.Equal(a.RedirectURIs, redirectURIs(kept)) {
		platform := "web"
		if a.Public {
			platform = "publicClient"
		}
		for _, p := range []string{"web", "spa", "publicClient"} {
			delete(kept, p)
		}
		uris, err := json.Marshal(map[string]any{"redirectUris": a.RedirectURIs})
		if err == nil {
			kept[platform] = uris
		}
	}
	return kept
}

func (c *call) listApplications() error {
	rows, err := c.applications()
	if err != nil {
		return err
	}
	return c.listRows("applications", rows)
}

func (c *call) countApplications() error {
	rows, err := c.applications()
	if err != nil {
		return err
	}
	return c.countRows(rows)
}

// applications are those that the caller sees.
func (c *call) applications() ([]object, error) {
	all, err := c.s.Apps.Clients(c.r.Context())
	if err != nil {
		return nil, err
	}
	rows := []object{}
	for _, a := range all {
		if a.ApplicationID != uuid.Nil && c.sees(a) {
			rows = append(rows, c.applicationObject(a, false))
		}
	}
	return rows, nil
}

func (c *call) getApplication() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	a, err := c.registered()
	if err != nil {
		return err
	}
	shown := c.applicationObject(a, slices.Contains(o.Select, "keycredentials"))
	return c.entity("applications"+selection(o.Select, shown)+"/$entity", shown.pick(o.Select))
}

// postApplication registers an application (application: create). Its service principal is made apart.
func (c *call) postApplication() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	sent, err := parseMembers(body)
	if err != nil {
		return err
	}
	return c.createApplication(sent)
}

func (c *call) createApplication(sent map[string]json.RawMessage) error {
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.withinQuota(); err != nil {
		return err
	}
	a := c.newClient()
	a.ApplicationID, a.Disabled = uuid.New(), true // without a service principal there are no tokens
	if err := c.bindOwners(a, sent); err != nil {
		return err
	}
	secrets, err := c.newPasswords(a, take(sent, "passwordCredentials"))
	if err != nil {
		return err
	}
	if err := c.setApplication(a, sent, true); err != nil {
		return err
	}
	if a.DisplayName == "" {
		return requestBad("A value is required for property 'displayName' of resource 'Application'.")
	}
	if err := c.putClient(a, nil, deed{"Add application", "Add", true}); err != nil {
		return err
	}
	shown := c.applicationObject(a, false)
	for i := range shown {
		if shown[i].name == "passwordCredentials" && len(secrets) > 0 {
			shown[i].value = secrets
		}
	}
	c.w.Header().Set("Location", c.root()+"/applications/"+a.ApplicationID.String())
	c.json(http.StatusCreated, append(object{{"@odata.context", c.context("applications/$entity")}}, shown...))
	return nil
}

// newClient is an app that the caller makes, and owns.
func (c *call) newClient() *oauth.Client {
	a := &oauth.Client{AppID: uuid.New(), Created: c.s.Now().UTC()}
	if c.principal.ObjectID != uuid.Nil {
		a.Owners = []uuid.UUID{c.principal.ObjectID}
	}
	return a
}

// setApplication changes an application as it was sent. made says that it is new.
func (c *call) setApplication(a *oauth.Client, sent map[string]json.RawMessage, made bool) error {
	if name := take(sent, "displayName"); name != nil {
		text, err := textMember("displayName", name, mostAppName)
		if err != nil {
			return err
		}
		if text == "" {
			return requestBad("Property 'displayName' is invalid: it cannot be empty.")
		}
		a.DisplayName = text
	}
	if keys := take(sent, "keyCredentials"); keys != nil {
		if err := c.setKeys(a, keys); err != nil {
			return err
		}
	}
	if passwords := take(sent, "passwordCredentials"); passwords != nil {
		if err := keepPasswords(a, passwords); err != nil {
			return err
		}
	}
	drop(sent, computedOfApplication)
	kept := shownApplication(a)
	was := uniqueName(a)
	if err := mergeMembers(kept, sent, applicationMembers); err != nil {
		return err
	}
	if made && c.principal.AppID != uuid.Nil {
		kept["createdByAppId"] = json.RawMessage(strconv.Quote(c.principal.AppID.String()))
	}
	if err := setRedirects(a, kept); err != nil {
		return err
	}
	var err error
	if a.Application, err = pack(kept); err != nil {
		return err
	}
	if !made && was != "" && uniqueName(a) != was {
		return requestBad("Property 'uniqueName' is read-only and cannot be changed once it is set.")
	}
	return c.checkUnique(a)
}

// checkUnique refuses a uniqueName or an identifier URI that another application has.
func (c *call) checkUnique(a *oauth.Client) error {
	name, uris := uniqueName(a), identifierURIs(a)
	if name == "" && len(uris) == 0 {
		return nil
	}
	all, err := c.s.Apps.Clients(c.r.Context())
	if err != nil {
		return err
	}
	for _, other := range all {
		switch {
		case other.AppID == a.AppID:
		case name != "" && uniqueName(other) == name:
			return requestBad("Another object with the same value for property uniqueName already exists.")
		case among(identifierURIs(other), uris):
			return requestBad("Another object with the same value for property identifierUris already exists.")
		}
	}
	return nil
}

func identifierURIs(a *oauth.Client) []string {
	return textsIn(membersOf(a.Application)["identifierUris"])
}

// textsIn are the texts of a JSON list; nil if it is none.
func textsIn(raw json.RawMessage) (texts []string) {
	if json.Unmarshal(raw, &texts) != nil {
		return nil
	}
	return texts
}

// redirectURIs are those of each platform of an application.
func redirectURIs(members map[string]json.RawMessage) (all []string) {
	for _, platform := range []string{"web", "spa", "publicClient"} {
		all = append(all, textsIn(membersOf(members[platform])["redirectUris"])...)
	}
	return all
}

const mostRedirects = 256

// setRedirects takes over where people may be sent back to, and whether the app is a public client: one that is not for the web,
// and says so.
func setRedirects(a *oauth.Client, kept map[string]json.RawMessage) error {
	for _, platform := range []string{"web", "spa", "publicClient"} {
		raw := membersOf(kept[platform])["redirectUris"]
		var uris []string
		if present(raw) && json.Unmarshal(raw, &uris) != nil {
			return requestBad("Property '%s.redirectUris' is invalid: it is a list of texts.", platform)
		}
		for _, uri := range uris {
			if err := oauth.CheckRedirectURI(uri, platform == "publicClient"); err != nil {
				return requestBad("Property '%s.redirectUris' is invalid: '%s': %s.", platform, clip(uri), err)
			}
		}
	}
	a.RedirectURIs = redirectURIs(kept)
	if len(a.RedirectURIs) > mostRedirects {
		return requestBad("There are %d redirect URIs, and %d are the most.", len(a.RedirectURIs), mostRedirects)
	}
	web := textsIn(membersOf(kept["web"])["redirectUris"])
	a.Public = len(web) == 0 && (len(a.RedirectURIs) > 0 || string(kept["isFallbackPublicClient"]) == "true")
	return nil
}

// patchApplication changes an application (application: update); with Prefer: create-if-missing and a uniqueName it makes one.
func (c *call) patchApplication() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	sent, err := parseMembers(body)
	if err != nil {
		return err
	}
	if k := c.params["{app}"]; strings.EqualFold(k.property, "uniqueName") && createIfMissing(c.r) {
		if _, err := c.registered(); isMissing(err) {
			take(sent, "uniqueName")
			sent["uniqueName"], err = json.Marshal(k.value)
			if err != nil {
				return err
			}
			return c.createApplication(sent)
		}
	}
	renamed := false
	a, err := c.editClient("Update", func(a *oauth.Client) error {
		was := a.DisplayName
		err := c.setApplication(a, sent, false)
		renamed = a.DisplayName != was
		return err
	})
	if err != nil {
		return err
	}
	if renamed {
		if err := c.rename(a); err != nil {
			return err
		}
	}
	return c.none(http.StatusNoContent)
}

// rename gives what is provisioned for an app its new name.
func (c *call) rename(a *oauth.Client) error {
	apps, err := c.s.Service.Apps(c.r.Context())
	if err != nil {
		return err
	}
	for _, p := range apps {
		if p.ServicePrincipalID == a.ObjectID {
			return c.s.Service.PutApp(c.r.Context(), a.ObjectID, a.AppID, a.DisplayName)
		}
	}
	return nil
}

func createIfMissing(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.Header.Get("Prefer")), "create-if-missing")
}

// deleteApplication deletes an application with its service principal and the jobs of that.
func (c *call) deleteApplication() error {
	unlock, err := c.lock(oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := c.registered()
	if err != nil {
		return err
	}
	if err := c.changeable(a); err != nil {
		return err
	}
	if a.ObjectID != uuid.Nil {
		if err := c.deletePrincipal(a); err != nil {
			return err
		}
	}
	if err := c.dropClient(a, deed{"Delete application", "Delete", true}); err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

// listRows answers with the rows that the query options choose.
func (c *call) listRows(context string, rows []object) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	size, err := c.pageSize(o.Top, usualAppPage, mostAppPage)
	if err != nil {
		return err
	}
	if o.Expand != "" || o.Search != "" {
		return unsupportedQuery("$expand and $search are not supported for %s: ask for what belongs to an object by its own path, and use $filter.", context)
	}
	if rows, err = c.filterRows(rows, o.Filter); err != nil {
		return err
	}
	for i := len(o.OrderBy) - 1; i >= 0; i-- {
		by := o.OrderBy[i]
		slices.SortStableFunc(rows, func(x, y object) int {
			a, _ := x.get(by.Path).(string)
			b, _ := y.get(by.Path).(string)
			if by.Desc {
				a, b = b, a
			}
			return strings.Compare(strings.ToLower(a), strings.ToLower(b))
		})
	}
	var count *int64
	if o.Count && c.eventual() {
		n := int64(len(rows))
		count = &n
	}
	selected := ""
	if len(rows) > 0 {
		selected = selection(o.Select, rows[0])
	}
	var order []string
	for _, by := range o.OrderBy {
		order = append(order, by.Path, strconv.FormatBool(by.Desc))
	}
	scope := cursorScope(append(order, context, o.Filter)...)
	place, err := parseCursor(o.SkipToken, scope)
	if err != nil {
		return err
	}
	if o.Skip != nil && o.SkipToken == "" {
		place.after = int64(*o.Skip)
	}
	rows = rows[min(int(place.after), len(rows)):]
	next := ""
	if len(rows) > size {
		rows, next = rows[:size], c.nextLink(cursor{after: place.after + int64(size)}.token(scope))
	}
	for i := range rows {
		rows[i] = rows[i].pick(o.Select)
	}
	return c.collection(context+selected, rows, next, count)
}

// countRows answers with how many rows the filter chooses.
func (c *call) countRows(rows []object) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	if rows, err = c.filterRows(rows, o.Filter); err != nil {
		return err
	}
	return c.number(int64(len(rows)))
}

// filterRows returns the rows that a filter chooses. It ends when the client leaves.
func (c *call) filterRows(rows []object, text string) ([]object, error) {
	filter, err := parseFilter(text)
	if err != nil || filter == nil {
		return rows, err
	}
	filter.Fold = true
	found := []object{}
	for _, r := range rows {
		if err := c.r.Context().Err(); err != nil {
			return nil, err
		}
		ok, err := filter.Match(r.filtering())
		if err != nil {
			return nil, invalidFilter(err)
		}
		if ok {
			found = append(found, r)
		}
	}
	return found, nil
}
