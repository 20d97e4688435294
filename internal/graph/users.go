package graph

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"induct/internal/graph/odata"
	"induct/internal/provision"
)

const (
	usualUserPage = 100
	mostUserPage  = 999
	mostSorted    = 100_000 // users that an order other than that of creation may have to look at
	mostManagers  = 20      // of $expand=manager($levels=max)
	objectScan    = 500     // objects asked for at a time where many are looked at
)

// navigations lead from a user to what there is none of here.
var navigations = []string{"ownedObjects", "sponsors", "licenseDetails", "appRoleAssignments", "memberOf/" + namespace + "group", "transitiveMemberOf/" + namespace + "group"}

// roleNavigations lead from a user to directory roles, which are all that users can be members of.
var roleNavigations = []string{"memberOf", "transitiveMemberOf", "memberOf/" + namespace + "directoryRole", "transitiveMemberOf/" + namespace + "directoryRole"}

// userRoutes are those of users, and of the person who asks.
func userRoutes() []route {
	routes := []route{
		{"/users", map[string]endpoint{
			"GET":  {(*call).listUsers, mayReadUsers},
			"POST": {(*call).postUser, mayWriteUsers},
		}},
		{"/users/$count", get((*call).countUsers, mayReadUsers)},
		{"/users/delta", get((*call).lackDelta, mayReadUsers)},
		{"/users/{user}", map[string]endpoint{
			"GET":    {(*call).getUser, mayReadUsers},
			"PATCH":  {(*call).patchUser, mayWriteUsers},
			"DELETE": {(*call).deleteUser, mayDeleteUsers},
		}},
		{"/users/{user}/manager/$ref", map[string]endpoint{
			"GET":    {(*call).getManagerRef, mayReadUsers},
			"PUT":    {(*call).putManager, mayWriteUsers},
			"DELETE": {(*call).deleteManager, mayWriteUsers},
		}},
		{"/me", get((*call).getUser, mayReadMe)},
		{"/me/manager/$ref", get((*call).getManagerRef, mayReadMe)},
	}
	for _, action := range []string{"revokeSignInSessions", "assignLicense", "changePassword"} {
		routes = append(routes, route{"/users/{user}/" + action, post((*call).lackAction, mayWriteUsers)})
	}
	for _, user := range []string{"/users/{user}", "/directoryObjects/{user}"} {
		for _, action := range []string{"getMemberGroups", "getMemberObjects"} {
			routes = append(routes, route{user + "/" + action, post((*call).memberIDs, mayReadUsers)})
		}
		for _, action := range []string{"checkMemberGroups", "checkMemberObjects"} {
			routes = append(routes, route{user + "/" + action, post((*call).checkMember, mayReadUsers)})
		}
	}
	for user, may := range map[string]access{"/users/{user}": mayReadUsers, "/me": mayReadMe} {
		routes = append(routes,
			route{user + "/manager", get((*call).getManager, may)},
			route{user + "/directReports", get((*call).listReports, may)},
			route{user + "/directReports/$count", get((*call).countReports, may)})
		for _, navigation := range roleNavigations {
			routes = append(routes,
				route{user + "/" + navigation, get((*call).listMemberships, may)},
				route{user + "/" + navigation + "/$count", get((*call).listMemberships, may)})
		}
		for _, navigation := range navigations {
			routes = append(routes,
				route{user + "/" + navigation, get((*call).listNone, may)},
				route{user + "/" + navigation + "/$count", get((*call).listNone, may)})
		}
	}
	return routes
}

// userSet is a collection of users that can be listed and counted.
type userSet struct {
	in      provision.Objects
	name    string   // tells its cursors from others'
	orders  []string // what it can be ordered by without an advanced query
	keyed   bool     // the directory has keys of them
	only    func(*provision.Object) bool
	typed   bool   // each says its type, as objects of other types could stand there
	context string // "users" by default
}

func (c *call) allUsers() userSet {
	return userSet{in: c.s.Service, name: "users", keyed: true, orders: []string{"displayName", "userPrincipalName", "createdDateTime"}}
}

// listUsers lists users (user: list).
func (c *call) listUsers() error { return c.listUsersIn(c.allUsers()) }

// listUsersIn lists the users of a collection.
func (c *call) listUsersIn(set userSet) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	size, err := c.pageSize(o.Top, usualUserPage, mostUserPage)
	if err != nil {
		return err
	}
	expand, err := parseExpand(o.Expand)
	if err != nil {
		return err
	}
	q, err := c.searchUsers(set, o, o.Count)
	if err != nil {
		return err
	}
	order, err := userOrder(o, set.orders, c.eventual() && o.Count)
	if err != nil {
		return err
	}
	scope := cursorScope(set.name, o.Filter, o.Search, order.name, strconv.FormatBool(order.desc))
	place, err := parseCursor(o.SkipToken, scope)
	if err != nil {
		return err
	}
	var count *int64
	if o.Count && c.eventual() {
		n, err := q.count(c.r.Context())
		if err != nil {
			return err
		}
		count = &n
	}
	found, rest, err := q.page(c.r.Context(), order, place, size)
	if err != nil {
		return err
	}
	page := make([]object, len(found))
	for i := range found {
		if page[i], err = c.userWith(&found[i], o.Select, expand); err != nil {
			return err
		}
		if set.typed {
			page[i] = typed("user", page[i])
		}
	}
	next := ""
	if rest != (cursor{}) {
		next = c.nextLink(rest.token(scope))
	}
	return c.collection(orDefault(set.context, "users")+userSelection(o.Select), page, next, count)
}

// userSelection is the part of the context that names the selected properties.
func userSelection(selected []string) string {
	return selection(selected, userObject(&provision.Object{}, []string{"*"}))
}

// countUsers answers /users/$count.
func (c *call) countUsers() error { return c.countUsersIn(c.allUsers()) }

func (c *call) countUsersIn(set userSet) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	if !c.eventual() {
		return c.needsEventual(odata.Options{})
	}
	q, err := c.searchUsers(set, o, true)
	if err != nil {
		return err
	}
	n, err := q.count(c.r.Context())
	if err != nil {
		return err
	}
	return c.number(n)
}

// expansion is $expand=manager with its own options.
type expansion struct {
	levels   int // 0: not asked for
	selected []string
}

// parseExpand reads $expand; only manager can be expanded.
func parseExpand(text string) (expansion, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return expansion{}, nil
	}
	name, inner := text, ""
	if open := strings.IndexByte(text, '('); open >= 0 && strings.HasSuffix(text, ")") {
		name, inner = text[:open], text[open+1:len(text)-1]
	}
	if !strings.EqualFold(strings.TrimSpace(name), "manager") {
		return expansion{}, badRequest("'%s' cannot be expanded: only manager can.", clip(text))
	}
	e := expansion{levels: 1}
	for option := range strings.SplitSeq(inner, ";") {
		key, value, _ := strings.Cut(option, "=")
		value = strings.TrimSpace(value)
		switch strings.TrimPrefix(strings.ToLower(strings.TrimSpace(key)), "$") {
		case "":
		case "levels":
			n, err := strconv.Atoi(value)
			if strings.EqualFold(value, "max") {
				n, err = mostManagers, nil
			}
			if err != nil || n < 1 {
				return expansion{}, badRequest("Invalid value '%s' of $levels: it is a positive number or max.", clip(value))
			}
			e.levels = min(n, mostManagers)
		case "select":
			for s := range strings.SplitSeq(strings.ToLower(value), ",") {
				e.selected = append(e.selected, strings.TrimSpace(s))
			}
		default:
			return expansion{}, badRequest("'%s' is not supported inside $expand.", clip(option))
		}
	}
	return e, nil
}

// userWith renders a user, and the manager if that is asked for.
func (c *call) userWith(u *provision.Object, selected []string, e expansion) (object, error) {
	o := userObject(u, selected)
	if e.levels == 0 {
		return o, nil
	}
	m, err := c.managerOf(u)
	if err != nil || m == nil {
		return o, err
	}
	manager, err := c.userWith(m, e.selected, expansion{e.levels - 1, e.selected})
	return append(o, member{"manager", append(object{{"@odata.type", "#microsoft.graph.user"}}, manager...)}), err
}

// managerOf returns a user's manager, nil if there is none.
func (c *call) managerOf(u *provision.Object) (*provision.Object, error) {
	id := attribute(u, "manager").String()
	if id == "" {
		return nil, nil
	}
	m, err := c.s.Service.Object(c.r.Context(), id)
	if isNotFound(err) {
		return nil, nil
	}
	return m, err
}

// user returns the user that the path names by object id or userPrincipalName, or, under /me, the person who asks.
func (c *call) user() (*provision.Object, error) {
	k, named := c.params["{user}"]
	if !named {
		if !c.principal.User {
			return nil, badRequest("/me request is only valid with delegated authentication flow.")
		}
		k.value = c.principal.ObjectID.String()
	}
	switch strings.ToLower(k.property) {
	case "", "id", "userprincipalname":
	default:
		return nil, badRequest("'%s' is not a key of users.", clip(k.property))
	}
	u, err := c.s.Service.Object(c.r.Context(), k.value)
	if isNotFound(err) {
		return nil, objectNotFound(k.value)
	}
	return u, err
}

func (c *call) getUser() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	expand, err := parseExpand(o.Expand)
	if err != nil {
		return err
	}
	u, err := c.user()
	if err != nil {
		return err
	}
	body, err := c.userWith(u, o.Select, expand)
	if err != nil {
		return err
	}
	return c.entity("users"+userSelection(o.Select)+"/$entity", body)
}

// manager returns the manager of the user that the path names; not having one is 404.
func (c *call) manager() (*provision.Object, error) {
	u, err := c.user()
	if err != nil {
		return nil, err
	}
	m, err := c.managerOf(u)
	if err == nil && m == nil {
		err = objectNotFound("manager")
	}
	return m, err
}

func (c *call) getManager() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	m, err := c.manager()
	if err != nil {
		return err
	}
	return c.directoryObject(m, o.Select)
}

func (c *call) getManagerRef() error {
	m, err := c.manager()
	if err != nil {
		return err
	}
	return c.entity("$ref", object{{"@odata.id", c.root() + "/directoryObjects/" + m.ID + "/Microsoft.DirectoryServices.User"}})
}

// reports are the users whose manager the path names.
func (c *call) reports() (userSet, error) {
	u, err := c.user()
	if err != nil {
		return userSet{}, err
	}
	set := c.allUsers()
	set.name, set.context, set.typed = "directReports "+u.ID, "directoryObjects", true
	set.only = func(o *provision.Object) bool { return strings.EqualFold(attribute(o, "manager").String(), u.ID) }
	return set, nil
}

// listReports lists direct reports (user: list directReports). It looks at all users: a page can have fewer than there
// are, and a nextLink to the rest.
func (c *call) listReports() error {
	set, err := c.reports()
	if err != nil {
		return err
	}
	return c.listUsersIn(set)
}

func (c *call) countReports() error {
	set, err := c.reports()
	if err != nil {
		return err
	}
	return c.countUsersIn(set)
}

// listMemberships lists what a user is a member of (user: list memberOf): directory roles.
func (c *call) listMemberships() error {
	u, err := c.user()
	if err != nil {
		return err
	}
	roles, err := c.rolesOf(u)
	if err != nil {
		return err
	}
	return c.advanced("directoryObjects", roles, c.roleObject(directoryRoles[0]))
}

// memberOf returns the ids of what the user that the path names is a member of: directory roles, which are objects and no groups.
func (c *call) memberOf() (ids []string, err error) {
	u, err := c.user()
	if err != nil {
		return nil, err
	}
	last := c.path.segments[len(c.path.segments)-1].name
	if !strings.HasSuffix(strings.ToLower(last), "objects") {
		return nil, nil
	}
	roles, err := c.rolesOf(u)
	for _, r := range roles {
		ids = append(ids, r.get("id").(string))
	}
	return ids, err
}

// memberIDs answers getMemberGroups and getMemberObjects.
func (c *call) memberIDs() error {
	var asked struct {
		SecurityEnabledOnly *bool `json:"securityEnabledOnly"`
	}
	if err := c.decodeBody(&asked); err != nil {
		return err
	}
	ids, err := c.memberOf()
	if err != nil {
		return err
	}
	return c.texts(ids)
}

const mostChecked = 20 // ids of checkMemberGroups and checkMemberObjects

// checkMember answers checkMemberGroups and checkMemberObjects: those of the ids that the user is a member of.
func (c *call) checkMember() error {
	var asked struct{ GroupIDs, IDs []string }
	if err := c.decodeBody(&asked); err != nil {
		return err
	}
	wanted := append(asked.GroupIDs, asked.IDs...)
	if n := len(wanted); n == 0 || n > mostChecked {
		return badRequest("The body has %d ids: send 1 to %d, as groupIds to checkMemberGroups and as ids to checkMemberObjects.", n, mostChecked)
	}
	ids, err := c.memberOf()
	if err != nil {
		return err
	}
	return c.texts(slices.DeleteFunc(ids, func(id string) bool {
		return !slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, id) })
	}))
}

func (c *call) decodeBody(v any) error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	return decode(body, v)
}

// texts answers 200 with a collection of texts.
func (c *call) texts(of []string) error {
	c.json(http.StatusOK, object{{"@odata.context", c.context("Collection(Edm.String)")}, {"value", append([]string{}, of...)}})
	return nil
}

// listNone lists what users have none of here: groups they are in, licences, sponsors, roles on apps.
func (c *call) listNone() error {
	if _, err := c.user(); err != nil {
		return err
	}
	return c.advanced("directoryObjects", nil, groupShape())
}

func (c *call) lackDelta() error {
	return notSupported("Changes of users cannot be followed by delta queries: the provisioning log, /auditLogs/provisioning, has them in order.")
}

func (c *call) lackAction() error {
	if _, err := c.user(); err != nil {
		return err
	}
	return notSupported("Licences, passwords and sessions are not kept in this directory.")
}
