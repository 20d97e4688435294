package graph

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"induct/internal/graph/odata"
	"induct/internal/oauth"
	"induct/internal/provision"
)

// readingRoutes are those of the directory, users and what stands beside them, and of batches of requests.
func readingRoutes() []route {
	return slices.Concat(userRoutes(), groupRoutes(), []route{
		{"/$batch", post((*call).batch, anybody)},
		{"/$metadata", get((*call).metadata, anybody)},
		{"/organization", get((*call).listOrganization, mayReadOrganization)},
		{"/organization/$count", get((*call).listOrganization, mayReadOrganization)},
		{"/organization/{id}", get((*call).getOrganization, mayReadOrganization)},
		{"/domains", get((*call).listDomains, mayReadDomains)},
		{"/domains/$count", get((*call).listDomains, mayReadDomains)},
		{"/domains/{id}", get((*call).getDomain, mayReadDomains)},
		{"/directoryRoles", get((*call).listDirectoryRoles, mayReadRoles)},
		{"/directoryRoles/{role}", get((*call).getDirectoryRole, mayReadRoles)},
		{"/directoryRoles/{role}/members", get((*call).listRoleMembers, mayReadRoles)},
		{"/directoryRoleTemplates", get((*call).listRoleTemplates, mayReadRoles)},
		{"/directoryRoleTemplates/{role}", get((*call).getRoleTemplate, mayReadRoles)},
		{"/directoryObjects/getByIds", post((*call).getByIDs, mayReadDirectory)},
		{"/directoryObjects/{id}", get((*call).getDirectoryObject, mayReadObjects)},
	})
}

// advanced is listed for a collection that can be searched, ordered and counted in Graph, by advanced queries.
func (c *call) advanced(set string, all []object, shape object) error {
	o, err := c.options()
	switch {
	case err != nil:
		return err
	case (c.counts() || o.Search != "") && !c.eventual():
		return c.needsEventual(o)
	case o.Search != "":
		if _, err := odata.ParseSearch(o.Search); err != nil {
			return err
		}
	}
	o.Search, o.OrderBy = "", nil
	return c.listedBy(o, set, all, shape)
}

// listed answers with all that there is of a small collection, filtered, in pages, or with how many they are if the path
// asks for that. shape has the members that each has.
func (c *call) listed(set string, all []object, shape object) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	return c.listedBy(o, set, all, shape)
}

func (c *call) listedBy(o odata.Options, set string, all []object, shape object) error {
	size, err := c.pageSize(o.Top, usualPage, mostUserPage)
	if err != nil {
		return err
	}
	filter, err := parseFilter(o.Filter)
	if err != nil {
		return err
	}
	switch {
	case o.Search != "" || o.Expand != "" || o.Skip != nil:
		return unsupportedQuery("$search, $expand and $skip are not supported here.")
	case len(o.OrderBy) > 0:
		return unsupportedQuery("%s cannot be ordered.", set)
	}
	if filter != nil {
		filter.Fold = true
		if _, err := filter.Match(shape.filtered); err != nil { // also where there is nothing to match
			return invalidFilter(err)
		}
	}
	scope := cursorScope(set, o.Filter)
	place, err := parseCursor(o.SkipToken, scope)
	if err != nil {
		return err
	}
	found := []object{}
	for _, one := range all {
		if filter != nil {
			ok, err := filter.Match(one.filtering())
			if err != nil {
				return invalidFilter(err)
			}
			if !ok {
				continue
			}
		}
		found = append(found, one.pick(o.Select))
	}
	if c.counts() {
		return c.number(int64(len(found)))
	}
	var count *int64
	if o.Count && c.eventual() {
		n := int64(len(found))
		count = &n
	}
	from := min(int(place.after), len(found))
	to, next := min(from+size, len(found)), ""
	if to < len(found) {
		next = c.nextLink(cursor{after: int64(to)}.token(scope))
	}
	return c.collection(set+selection(o.Select, shape), found[from:to], next, count)
}

// needsEventual is the answer for what Graph keeps to advanced queries.
func (c *call) needsEventual(o odata.Options) *problem {
	if o.Search != "" {
		return unsupportedQuery("Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'")
	}
	return &problem{status: http.StatusBadRequest, code: codeRequestBadRequest, message: "$count is not currently supported.",
		details: []errorDetail{{codeUnsupportedQuery, "Send the header ConsistencyLevel: eventual.", "ConsistencyLevel"}}}
}

// counts reports whether the path asks for a number, …/$count.
func (c *call) counts() bool {
	last := c.path.segments[len(c.path.segments)-1]
	return strings.EqualFold(last.name, "$count")
}

// single answers with one object of a collection.
func (c *call) single(set string, one object) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	return c.entity(set+selection(o.Select, one)+"/$entity", one.pick(o.Select))
}

// organizationObject is the tenant (organization resource type). What nobody has said is null.
func (c *call) organizationObject() object {
	t := c.s.Service.Tenant()
	return object{
		{"id", t.ID.String()},
		{"deletedDateTime", nil},
		{"assignedPlans", []object{}},
		{"businessPhones", []string{}},
		{"city", nil},
		{"country", nil},
		{"countryLetterCode", nil},
		{"createdDateTime", nil},
		{"defaultUsageLocation", nil},
		{"displayName", t.DisplayName},
		{"marketingNotificationEmails", []string{}},
		{"onPremisesLastSyncDateTime", nil},
		{"onPremisesSyncEnabled", nil},
		{"postalCode", nil},
		{"preferredLanguage", nil},
		{"privacyProfile", nil},
		{"provisionedPlans", []object{}},
		{"securityComplianceNotificationMails", []string{}},
		{"securityComplianceNotificationPhones", []string{}},
		{"state", nil},
		{"street", nil},
		{"technicalNotificationMails", []string{}},
		{"tenantType", "AAD"},
		{"verifiedDomains", []object{{
			{"capabilities", ""},
			{"isDefault", true},
			{"isInitial", true},
			{"name", t.DefaultDomain},
			{"type", "Managed"},
		}}},
	}
}

func (c *call) listOrganization() error {
	o := c.organizationObject()
	return c.listed("organization", []object{o}, o)
}

func (c *call) getOrganization() error {
	id, err := c.param("{id}")
	if err != nil {
		return err
	}
	o := c.organizationObject()
	if !strings.EqualFold(id, o.get("id").(string)) {
		return objectNotFound(id)
	}
	return c.single("organization", o)
}

// domainObject is the domain that userPrincipalNames get by default (domain resource type).
func (c *call) domainObject() object {
	return object{
		{"id", c.s.Service.Tenant().DefaultDomain},
		{"authenticationType", "Managed"},
		{"availabilityStatus", nil},
		{"isAdminManaged", true},
		{"isDefault", true},
		{"isInitial", true},
		{"isRoot", true},
		{"isVerified", true},
		{"manufacturer", nil},
		{"model", nil},
		{"passwordNotificationWindowInDays", nil},
		{"passwordValidityPeriodInDays", nil},
		{"state", nil},
		{"supportedServices", []string{}},
	}
}

func (c *call) listDomains() error {
	d := c.domainObject()
	return c.listed("domains", []object{d}, d)
}

func (c *call) getDomain() error {
	id, err := c.param("{id}")
	if err != nil {
		return err
	}
	d := c.domainObject()
	if !strings.EqualFold(id, d.get("id").(string)) {
		return objectNotFound(id)
	}
	return c.single("domains", d)
}

// role is a directory role that means something here.
type role struct{ name, description string }

// template is the id of the role's template.
func (r role) template() string { return oauth.DirectoryRoles[r.name] }

// directoryRoles are those that oauth knows.
var directoryRoles = []role{
	{globalAdministrator, "May do everything."},
	{appAdministrator, "Manages apps, their credentials and their provisioning."},
	{cloudAppAdministrator, "Manages apps, their credentials and their provisioning."},
	{hybridAdministrator, "Manages provisioning."},
	{userAdministrator, "Manages users, and sends people to be provisioned."},
	{reportsReader, "Reads logs."},
	{securityReader, "Reads logs."},
	{globalReader, "Reads everything."},
}

// roleID is the id of a role's object in this tenant.
func (c *call) roleID(r role) string {
	return uuid.NewSHA1(c.s.Service.Tenant().ID, []byte("directoryRole "+r.template())).String()
}

func (c *call) roleObject(r role) object {
	return object{
		{"id", c.roleID(r)},
		{"deletedDateTime", nil},
		{"description", r.description},
		{"displayName", r.name},
		{"roleTemplateId", r.template()},
	}
}

func templateOfRole(r role) object {
	return object{{"id", r.template()}, {"deletedDateTime", nil}, {"description", r.description}, {"displayName", r.name}}
}

func (c *call) listDirectoryRoles() error {
	all := make([]object, len(directoryRoles))
	for i, r := range directoryRoles {
		all[i] = c.roleObject(r)
	}
	return c.listed("directoryRoles", all, all[0])
}

// directoryRole returns the role that the path names by its id or by roleTemplateId.
func (c *call) directoryRole() (role, error) {
	k := c.params["{role}"]
	byTemplate := strings.EqualFold(k.property, "roleTemplateId")
	if !byTemplate && k.property != "" && !strings.EqualFold(k.property, "id") {
		return role{}, badRequest("'%s' is not a key of directoryRoles.", clip(k.property))
	}
	for _, r := range directoryRoles {
		if byTemplate && strings.EqualFold(k.value, r.template()) || !byTemplate && strings.EqualFold(k.value, c.roleID(r)) {
			return r, nil
		}
	}
	return role{}, objectNotFound(k.value)
}

func (c *call) getDirectoryRole() error {
	r, err := c.directoryRole()
	if err != nil {
		return err
	}
	return c.single("directoryRoles", c.roleObject(r))
}

// listRoleMembers lists who has a role (directoryRole: list members).
func (c *call) listRoleMembers() error {
	r, err := c.directoryRole()
	if err != nil {
		return err
	}
	ids, err := c.s.RoleMembers(c.r.Context(), r.template())
	if err != nil {
		return err
	}
	members, err := c.knownObjects(ids)
	if err != nil {
		return err
	}
	return c.listed("directoryObjects", members, directoryUser(&provision.Object{}, nil))
}

// rolesOf are the directory roles that a user has.
func (c *call) rolesOf(u *provision.Object) (all []object, err error) {
	for _, r := range directoryRoles {
		ids, err := c.s.RoleMembers(c.r.Context(), r.template())
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(ids, func(id string) bool { return strings.EqualFold(id, u.ID) }) {
			all = append(all, typed("directoryRole", c.roleObject(r)))
		}
	}
	return all, nil
}

func (c *call) listRoleTemplates() error {
	all := make([]object, len(directoryRoles))
	for i, r := range directoryRoles {
		all[i] = templateOfRole(r)
	}
	return c.listed("directoryRoleTemplates", all, all[0])
}

func (c *call) getRoleTemplate() error {
	id, err := c.param("{role}")
	if err != nil {
		return err
	}
	for _, r := range directoryRoles {
		if strings.EqualFold(id, r.template()) {
			return c.single("directoryRoleTemplates", templateOfRole(r))
		}
	}
	return objectNotFound(id)
}

// directoryObjectOf returns the object with an id, of whatever type, with its type in front; nil if there is none.
func (c *call) directoryObjectOf(id string, selected []string) (object, error) {
	key, err := uuid.Parse(id)
	if err != nil || key == uuid.Nil {
		return nil, nil
	}
	u, err := c.s.Service.Object(c.r.Context(), key.String())
	if err == nil {
		return directoryUser(u, selected), nil
	}
	if !isNotFound(err) {
		return nil, err
	}
	for _, r := range directoryRoles {
		if c.roleID(r) == key.String() {
			return typed("directoryRole", c.roleObject(r).pick(selected)), nil
		}
	}
	all, err := c.allClients()
	if err != nil || key == uuid.Nil {
		return nil, err
	}
	for _, a := range all {
		switch key {
		case a.ObjectID:
			return typed("servicePrincipal", c.servicePrincipalObject(a, false).pick(selected)), nil
		case a.ApplicationID:
			return typed("application", c.applicationObject(a, false).pick(selected)), nil
		}
	}
	return nil, nil
}

// directoryObjects returns the objects with these ids; ids of nothing are passed over.
func (c *call) directoryObjects(ids, selected []string) (found []object, err error) {
	for _, id := range ids {
		o, err := c.directoryObjectOf(id, selected)
		if err != nil {
			return nil, err
		}
		if o != nil {
			found = append(found, o)
		}
	}
	return found, nil
}

// knownObjects are directoryObjects as the caller may see them: of those that it may not read, type and id alone (Microsoft
// Graph permissions overview: limited information returned for inaccessible member objects).
func (c *call) knownObjects(ids []string) ([]object, error) {
	found, err := c.directoryObjects(ids, nil)
	if err != nil {
		return nil, err
	}
	for i, o := range found {
		hidden := false
		if kind := o[0].value; kind == "#microsoft.graph.user" {
			hidden = c.authorize(&mayReadUsers) != nil
		} else if c.limited {
			id, _ := o.get("id").(string)
			a, err := c.findClient(key{value: id}, kind == "#microsoft.graph.application")
			if err != nil && !isMissing(err) {
				return nil, err
			}
			hidden = err != nil || !c.sees(a)
		}
		if hidden {
			found[i] = object{o[0], {"id", o.get("id")}}
		}
	}
	return found, nil
}

func directoryUser(u *provision.Object, selected []string) object {
	return typed("user", userObject(u, selected))
}

// getDirectoryObject answers with an object of any type (directoryObject: get).
func (c *call) getDirectoryObject() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	id, err := c.param("{id}")
	if err != nil {
		return err
	}
	found, err := c.directoryObjectOf(id, o.Select)
	if err == nil && (found == nil || c.authorize(&mayReadDirectory) != nil && !c.seesApp(id)) {
		err = objectNotFound(id)
	}
	if err != nil {
		return err
	}
	return c.entity("directoryObjects/$entity", found)
}

// seesApp reports whether id is that of an application or a service principal that the caller, who may read these alone, sees.
func (c *call) seesApp(id string) bool {
	return slices.ContainsFunc([]bool{false, true}, func(application bool) bool {
		a, err := c.findClient(key{value: id}, application)
		return err == nil && c.sees(a)
	})
}

const mostIDs = 1000 // of getByIds

// getByIDs answers with those objects of a list that there are (directoryObject: getByIds).
func (c *call) getByIDs() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	var asked struct{ IDs, Types []string }
	if err := decode(body, &asked); err != nil {
		return err
	}
	if n := len(asked.IDs); n == 0 || n > mostIDs {
		return badRequest("ids holds %d object ids: send 1 to %d.", n, mostIDs)
	}
	ids := map[string]bool{}
	unique := asked.IDs[:0]
	for _, id := range asked.IDs {
		if _, err := uuid.Parse(id); err != nil {
			return &problem{status: http.StatusBadRequest, code: codeRequestBadRequest, message: "Invalid object identifier '" + clip(id) + "'."}
		}
		if id = strings.ToLower(id); !ids[id] {
			ids[id] = true
			unique = append(unique, id)
		}
	}
	found, err := c.directoryObjects(unique, o.Select)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(one object) bool {
		kind := strings.TrimPrefix(one[0].value.(string), "#microsoft.graph.")
		return len(asked.Types) > 0 && !slices.ContainsFunc(asked.Types, func(t string) bool {
			return strings.EqualFold(t, kind) || strings.EqualFold(t, "directoryObject")
		})
	})
	return c.collection("directoryObjects", found, "", nil)
}

// metadata answers $metadata: that of Graph is the one to generate clients of, and is not repeated.
func (c *call) metadata() error {
	return notSupported("The metadata document is not served: resources have the types of Microsoft Graph " + c.version + ", whose own metadata describes them.")
}
