package graph

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"induct/internal/expr"
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

// property is a property of Graph's user.
type property struct {
	name      string // Graph's
	attribute string // the directory's
	kind      propertyKind
	usual     bool // returned without $select; deletedDateTime is too, if there is one
}

type propertyKind uint8

const (
	text propertyKind = iota
	boolean
	date
	list
	phones // a list made of one text
	computed
)

// properties are those of users, in the order of answers; nested ones and directory extensions are apart.
var properties = []property{
	{"id", "", computed, true},
	{"businessPhones", "telephoneNumber", phones, true},
	{"displayName", "displayName", text, true},
	{"givenName", "givenName", text, true},
	{"jobTitle", "jobTitle", text, true},
	{"mail", "mail", text, true},
	{"mobilePhone", "mobile", text, true},
	{"officeLocation", "physicalDeliveryOfficeName", text, true},
	{"preferredLanguage", "preferredLanguage", text, true},
	{"surname", "surname", text, true},
	{"userPrincipalName", "userPrincipalName", text, true},
	{"accountEnabled", "accountEnabled", boolean, false},
	{"city", "city", text, false},
	{"companyName", "companyName", text, false},
	{"country", "country", text, false},
	{"createdDateTime", "", computed, false},
	{"deletedDateTime", "", computed, false},
	{"department", "department", text, false},
	{"employeeHireDate", "employeeHireDate", date, false},
	{"employeeId", "employeeId", text, false},
	{"employeeLeaveDateTime", "employeeLeaveDateTime", date, false},
	{"employeeOrgData", "", computed, false},
	{"employeeType", "employeeType", text, false},
	{"faxNumber", "facsimileTelephoneNumber", text, false},
	{"mailNickname", "mailNickname", text, false},
	{"onPremisesExtensionAttributes", "", computed, false},
	{"otherMails", "otherMails", list, false},
	{"postalCode", "postalCode", text, false},
	{"proxyAddresses", "proxyAddresses", list, false},
	{"showInAddressList", "showInAddressList", boolean, false},
	{"state", "state", text, false},
	{"streetAddress", "streetAddress", text, false},
	{"usageLocation", "usageLocation", text, false},
	{"userType", "userType", text, false},
}

// value is a property's value as JSON has it.
func (p property) value(o *provision.Object) any {
	switch p.name {
	case "id":
		return o.ID
	case "createdDateTime":
		return timeOrNull(o.Created.Truncate(time.Second))
	case "deletedDateTime":
		return timeOrNull(o.Deleted.Truncate(time.Second))
	case "employeeOrgData":
		return nested(o, "employeeOrgData.", []string{"costCenter", "division"}, true)
	case "onPremisesExtensionAttributes":
		return nested(o, "", extensionAttributes(), false)
	}
	v := attribute(o, p.attribute)
	switch p.kind {
	case list, phones:
		return texts(v)
	case boolean:
		if b, ok := v.AsBool(); ok {
			return b
		}
		return nil
	case date:
		if t, ok := parseTime(v.String()); ok {
			return timestamp(t)
		}
		return nil
	}
	return textOrNull(v)
}

// attribute returns an attribute of an object by its name in any case; null if it has none.
func attribute(o *provision.Object, name string) expr.Value {
	if v, ok := o.Attributes[name]; ok {
		return v
	}
	for n, v := range o.Attributes {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return expr.Value{}
}

func textOrNull(v expr.Value) any {
	if v.IsNull() {
		return nil
	}
	return v.String()
}

func texts(v expr.Value) []string {
	out := []string{}
	for _, e := range v.Elems() {
		if !e.IsEmpty() {
			out = append(out, e.String())
		}
	}
	return out
}

// nested is a complex property whose members are attributes; null if none has a value and empty is null.
func nested(o *provision.Object, prefix string, names []string, emptyIsNull bool) any {
	out, empty := object{}, true
	for _, n := range names {
		v := textOrNull(attribute(o, prefix+n))
		empty = empty && v == nil
		out = append(out, member{n, v})
	}
	if empty && emptyIsNull {
		return nil
	}
	return out
}

func extensionAttributes() []string {
	names := make([]string, 15)
	for i := range names {
		names[i] = "extensionAttribute" + strconv.Itoa(i+1)
	}
	return names
}

// parseTime reads a date, with or without a time of day, as targets keep it.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateOnly, "1/2/2006 3:04:05 PM"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// userObject renders the properties that $select names, or the usual ones. A name that is none is left out, as Graph does.
func userObject(o *provision.Object, selected []string) object {
	out := object{}
	all := slices.Contains(selected, "*")
	for _, p := range properties {
		usual := p.usual || p.name == "deletedDateTime" && !o.Deleted.IsZero()
		if all || len(selected) == 0 && usual || slices.Contains(selected, strings.ToLower(p.name)) {
			out = append(out, member{p.name, p.value(o)})
		}
	}
	for _, name := range slices.Sorted(keys(o.Attributes)) {
		if isExtension(name) && (all || slices.Contains(selected, strings.ToLower(name))) {
			out = append(out, member{name, extensionValue(o.Attributes[name])})
		}
	}
	return out
}

func keys(m map[string]expr.Value) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// isExtension reports whether an attribute is a directory extension, extension_<app>_<name>.
func isExtension(name string) bool {
	return len(name) > 10 && strings.EqualFold(name[:10], "extension_")
}

func extensionValue(v expr.Value) any {
	switch v.Kind() {
	case expr.Boolean:
		b, _ := v.AsBool()
		return b
	case expr.Integer:
		n, _ := v.AsInt()
		return n
	case expr.List:
		return texts(v)
	}
	return textOrNull(v)
}

// userProperty returns the value of a user's property by its lower-case path, for a filter.
func userProperty(o *provision.Object, path string) any {
	first, rest, deep := strings.Cut(path, "/")
	if isExtension(first) && !deep {
		v := attribute(o, first)
		switch x := extensionValue(v).(type) {
		case nil, bool, int64, []string, string:
			return x
		}
	}
	for _, p := range properties {
		if strings.ToLower(p.name) != first {
			continue
		}
		switch {
		case p.name == "employeeOrgData" && (rest == "costcenter" || rest == "division"):
			return textOrNull(attribute(o, "employeeOrgData."+rest))
		case p.name == "onPremisesExtensionAttributes" && slices.ContainsFunc(extensionAttributes(), func(n string) bool { return strings.EqualFold(n, rest) }):
			return textOrNull(attribute(o, rest))
		case deep || p.kind == computed && (p.name == "employeeOrgData" || p.name == "onPremisesExtensionAttributes"):
			return odata.UnknownProperty{}
		case p.name == "createdDateTime":
			return timeValue(o.Created)
		case p.name == "deletedDateTime":
			return timeValue(o.Deleted)
		case p.kind == date:
			if t, ok := parseTime(attribute(o, p.attribute).String()); ok {
				return t
			}
			return nil
		}
		return p.value(o)
	}
	return odata.UnknownProperty{}
}

func timeValue(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Truncate(time.Second)
}

// userSearch is a query for users made of a filter.
type userSearch struct {
	provision.ObjectQuery
	id  string // if not empty: only this object
	bad error
}

// searchUsers checks a filter and makes a query of it.
func (c *call) searchUsers(o odata.Options) (*userSearch, error) {
	q := &userSearch{}
	if o.Search != "" {
		if !c.eventual() {
			return nil, unsupportedQuery("Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'")
		}
		return nil, unsupportedQuery("$search is not supported for users: use $filter, such as startswith(displayName,'A').")
	}
	if o.Skip != nil {
		return nil, &problem{status: http.StatusBadRequest, code: codeUnsupportedQuery, message: "'$skip' is not supported by the service."}
	}
	filter, err := parseFilter(o.Filter)
	if err != nil || filter == nil {
		return q, err
	}
	filter.Fold = true
	for _, path := range filter.Paths() {
		if _, unknown := userProperty(&provision.Object{}, path).(odata.UnknownProperty); unknown {
			return nil, unsupportedQuery("Unsupported or invalid query filter clause specified for property '%s' of resource 'User'.", clip(path))
		}
	}
	if name := containsOf(filter.Root); name != "" {
		return nil, unsupportedQuery("Unsupported or invalid query filter clause specified for property '%s' of resource 'User': contains is not supported, use startswith.", clip(name))
	}
	if _, err := filter.Match(func(path string) any { return userProperty(&provision.Object{}, path) }); err != nil {
		return nil, invalidFilter(err)
	}
	for _, c := range filter.Conjuncts() {
		q.conjunct(c)
	}
	q.Match = func(o *provision.Object) bool {
		ok, err := filter.Match(func(path string) any { return userProperty(o, path) })
		if err != nil {
			q.bad = err
		}
		return ok
	}
	return q, nil
}

// conjunct narrows the query by an equality that the directory has an index for.
func (q *userSearch) conjunct(c odata.Comparison) {
	value, ok := c.Value.(string)
	if !ok || c.Op != "eq" || c.Func != "" || value == "" {
		return
	}
	if c.Path == "id" {
		q.id = value
		return
	}
	for _, name := range []string{"userPrincipalName", "employeeId", "mail", "displayName"} {
		if strings.ToLower(name) == c.Path {
			if q.Equal == nil {
				q.Equal = map[string]string{}
			}
			q.Equal[name] = value
		}
	}
}

// containsOf returns the property that a filter asks contains of, "" if there is none.
func containsOf(x odata.Expr) string {
	first := func(of []odata.Expr) string {
		for _, m := range of {
			if name := containsOf(m); name != "" {
				return name
			}
		}
		return ""
	}
	switch x := x.(type) {
	case odata.And:
		return first(x)
	case odata.Or:
		return first(x)
	case odata.Not:
		return containsOf(x.X)
	case odata.Any:
		return containsOf(x.Cond)
	case odata.Comparison:
		if x.Op == "contains" {
			return orDefault(x.Path, "value")
		}
	}
	return ""
}

// scan returns up to limit users of the query, in the order of their creation, from after on; and if there may be more,
// where to go on. It asks the directory a bounded number of times, so that it may return fewer than there are.
func (q *userSearch) scan(ctx context.Context, in provision.Objects, after int64, limit int) (found []provision.Object, next int64, more bool, err error) {
	if q.id != "" {
		o, err := in.Object(ctx, q.id)
		if isNotFound(err) || err == nil && (!strings.EqualFold(o.ID, q.id) || !q.Match(o)) {
			return nil, 0, false, nil
		}
		if err != nil {
			return nil, 0, false, err
		}
		return []provision.Object{*o}, 0, false, q.failed()
	}
	next = after
	for range mostScans {
		q.After, q.Limit = next, limit-len(found)
		page, err := in.Objects(ctx, q.ObjectQuery)
		if err != nil {
			return nil, 0, false, err
		}
		if err := q.failed(); err != nil {
			return nil, 0, false, err
		}
		found, next, more = append(found, page.Objects...), page.Next, page.More
		if !more || len(found) >= limit {
			break
		}
	}
	return found, next, more, nil
}

func (q *userSearch) failed() error {
	if q.bad == nil {
		return nil
	}
	return invalidFilter(q.bad)
}

// eventual reports whether the client asked for Graph's advanced queries.
func (c *call) eventual() bool {
	return strings.EqualFold(c.r.Header.Get("ConsistencyLevel"), "eventual")
}

// listUsers lists users (user: list).
func (c *call) listUsers() error {
	return c.listUsersIn(c.s.Service, "users", "displayName", "userPrincipalName", "createdDateTime")
}

// listUsersIn lists the users of a collection, which can be ordered by the properties that orders names.
func (c *call) listUsersIn(in provision.Objects, collection string, orders ...string) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	size, err := pageSize(o.Top, usualUserPage, mostUserPage)
	if err != nil {
		return err
	}
	expand, err := parseExpand(o.Expand)
	if err != nil {
		return err
	}
	q, err := c.searchUsers(o)
	if err != nil {
		return err
	}
	order, err := userOrder(o.OrderBy, orders)
	if err != nil {
		return err
	}
	scope := cursorScope(collection, o.Filter, order.name, strconv.FormatBool(order.desc))
	place, err := parseCursor(o.SkipToken, scope)
	if err != nil {
		return err
	}
	var count *int64
	if o.Count && c.eventual() {
		n, err := c.count(in, q)
		if err != nil {
			return err
		}
		count = &n
	}
	var found []provision.Object
	var rest cursor
	if order.plain() {
		var more bool
		found, rest.after, more, err = q.scan(c.r.Context(), in, place.after, size)
		if !more {
			rest = cursor{}
		}
	} else {
		found, rest, err = q.sorted(c.r.Context(), in, order, place, size)
	}
	if err != nil {
		return err
	}
	page := make([]object, len(found))
	for i := range found {
		if page[i], err = c.userWith(&found[i], o.Select, expand); err != nil {
			return err
		}
	}
	next := ""
	if rest != (cursor{}) {
		next = c.nextLink(rest.token(scope))
	}
	return c.collection("users"+userSelection(o.Select), page, next, count)
}

// userSelection is the part of the context that names the selected properties.
func userSelection(selected []string) string {
	return selection(selected, userObject(&provision.Object{}, []string{"*"}))
}

func (c *call) count(in provision.Objects, q *userSearch) (int64, error) {
	if q.id != "" {
		found, _, _, err := q.scan(c.r.Context(), in, 0, 1)
		return int64(len(found)), err
	}
	n, err := in.CountObjects(c.r.Context(), q.ObjectQuery)
	if err == nil {
		err = q.failed()
	}
	return n, err
}

// countUsers answers /users/$count.
func (c *call) countUsers() error { return c.countUsersIn(c.s.Service) }

func (c *call) countUsersIn(in provision.Objects) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	if !c.eventual() {
		return &problem{status: http.StatusBadRequest, code: codeRequestBadRequest, message: "$count is not currently supported."}
	}
	q, err := c.searchUsers(o)
	if err != nil {
		return err
	}
	n, err := c.count(in, q)
	if err != nil {
		return err
	}
	return c.number(n)
}

// userOrdering is an order of users; the zero value is that of creation.
type userOrdering struct {
	name string // displayName, userPrincipalName, createdDateTime or deletedDateTime
	desc bool
}

// plain reports whether the order is the directory's own.
func (o userOrdering) plain() bool { return o.name == "" || o.name == "createdDateTime" && !o.desc }

func userOrder(by []odata.Order, names []string) (userOrdering, error) {
	if len(by) == 0 {
		return userOrdering{}, nil
	}
	for _, name := range names {
		if len(by) == 1 && strings.ToLower(name) == by[0].Path {
			return userOrdering{name, by[0].Desc}, nil
		}
	}
	return userOrdering{}, unsupportedQuery("Users can be ordered here by one of %s.", strings.Join(names, ", "))
}

// key is what users are sorted by: the property, then the id, so that no two are the same.
func (o userOrdering) key(u *provision.Object) string {
	const sortable = "2006-01-02T15:04:05.000000000"
	switch o.name {
	case "createdDateTime":
		return u.Created.UTC().Format(sortable) + "\x00" + u.ID
	case "deletedDateTime":
		return u.Deleted.UTC().Format(sortable) + "\x00" + u.ID
	}
	return strings.ToLower(attribute(u, o.name).String()) + "\x00" + u.ID
}

func (o userOrdering) compare(a, b string) int {
	if o.desc {
		a, b = b, a
	}
	return cmp.Compare(a, b)
}

// sorted returns the next size users in an order, after the one whose key place holds. It looks at all that match, and
// keeps no more than it returns.
func (q *userSearch) sorted(ctx context.Context, in provision.Objects, order userOrdering, place cursor, size int) ([]provision.Object, cursor, error) {
	type keyed struct {
		key  string
		user provision.Object
	}
	var kept []keyed
	var after int64
	for seen := 0; ; {
		found, next, more, err := q.scan(ctx, in, after, objectScan)
		if err != nil {
			return nil, cursor{}, err
		}
		if seen += len(found); seen > mostSorted {
			return nil, cursor{}, unsupportedQuery("More than %d users would have to be sorted: narrow them with $filter, or leave out $orderby.", mostSorted)
		}
		for i := range found {
			k := keyed{order.key(&found[i]), found[i]}
			if place.text == "" || order.compare(k.key, place.text) > 0 {
				kept = append(kept, k)
			}
		}
		slices.SortFunc(kept, func(a, b keyed) int { return order.compare(a.key, b.key) })
		kept = kept[:min(len(kept), size+1)]
		if !more {
			break
		}
		after = next
	}
	var rest cursor
	if len(kept) > size {
		kept = kept[:size]
		rest.text = kept[size-1].key
	}
	users := make([]provision.Object, len(kept))
	for i := range kept {
		users[i] = kept[i].user
	}
	return users, rest, nil
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

// user returns the user that the path names by object id or userPrincipalName.
func (c *call) user() (*provision.Object, error) {
	k := c.params["{user}"]
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
	return c.entity("directoryObjects/$entity", append(object{{"@odata.type", "#microsoft.graph.user"}}, userObject(m, o.Select)...))
}

func (c *call) getManagerRef() error {
	m, err := c.manager()
	if err != nil {
		return err
	}
	return c.entity("$ref", object{{"@odata.id", c.root() + "/directoryObjects/" + m.ID + "/Microsoft.DirectoryServices.User"}})
}
