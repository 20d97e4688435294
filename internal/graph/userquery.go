package graph

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"induct/internal/graph/odata"
	"induct/internal/provision"
)

// userSearch is a query for users.
type userSearch struct {
	provision.ObjectQuery
	in     provision.Objects
	points []point // if there are any: all that match are among those that are found at them
	bad    error   // of Match
}

// point is where the directory finds users without looking at all of them: by id, or by an attribute that it has keys of.
type point struct{ attribute, value string }

// mostPoints bounds the look-ups of a query; one that has more looks at all users.
const mostPoints = 100

// searchUsers checks $filter and $search and makes a query of them. counted says that the client asks for a count, which
// together with ConsistencyLevel opens advanced queries.
func (c *call) searchUsers(set userSet, o odata.Options, counted bool) (*userSearch, error) {
	q := &userSearch{in: set.in}
	if o.Skip != nil {
		return nil, &problem{status: http.StatusBadRequest, code: codeUnsupportedQuery, message: "'$skip' is not supported by the service."}
	}
	search, err := c.parseUserSearch(o)
	if err != nil {
		return nil, err
	}
	filter, err := parseFilter(o.Filter)
	if err != nil {
		return nil, err
	}
	if filter != nil {
		filter.Fold = true
		if err := checkUserFilter(filter, c.eventual() && counted); err != nil {
			return nil, err
		}
		if points, ok := pointsOf(filter.Root); ok && (set.keyed || !slices.ContainsFunc(points, func(p point) bool { return p.attribute != "id" })) {
			q.points = points
		}
	}
	if filter == nil && search == nil && set.only == nil {
		return q, nil
	}
	q.Match = func(u *provision.Object) bool {
		if set.only != nil && !set.only(u) || search != nil && !search.Match(func(clause odata.Clause) bool { return found(u, clause) }) {
			return false
		}
		if filter == nil {
			return true
		}
		ok, err := filter.Match(func(path string) any { return userProperty(u, path) })
		if err != nil {
			q.bad = err
		}
		return ok
	}
	return q, nil
}

// searchable are the properties that $search looks at (Microsoft Graph: use the $search query parameter), those first
// that a clause without a property is looked for in.
var searchable = []string{"displayName", "givenName", "surname", "mail", "mailNickname", "userPrincipalName", "otherMails", "proxyAddresses", "imAddresses", "department", "jobTitle", "employeeId"}

const searchedByDefault = 6

// parseUserSearch reads $search; nil if there is none.
func (c *call) parseUserSearch(o odata.Options) (*odata.Search, error) {
	if strings.TrimSpace(o.Search) == "" {
		return nil, nil
	}
	if !c.eventual() {
		return nil, c.needsEventual(o)
	}
	search, err := odata.ParseSearch(o.Search)
	if err != nil {
		return nil, err
	}
	for _, clause := range search.Clauses() {
		if clause.Property != "" && !slices.ContainsFunc(searchable, func(n string) bool { return strings.EqualFold(n, clause.Property) }) {
			return nil, unsupportedQuery("'%s' cannot be searched: these can, %s.", clip(clause.Property), strings.Join(searchable, ", "))
		}
	}
	return search, nil
}

// found reports whether a clause of a search is true of a user: of displayName if each word of it begins one there, of
// others if it is what they begin with.
func found(u *provision.Object, clause odata.Clause) bool {
	in := searchable[:searchedByDefault]
	if clause.Property != "" {
		in = []string{clause.Property}
	}
	want := strings.ToLower(clause.Text)
	return slices.ContainsFunc(in, func(name string) bool {
		switch v := userProperty(u, strings.ToLower(name)).(type) {
		case string:
			return strings.HasPrefix(strings.ToLower(v), want) || strings.EqualFold(name, "displayName") && hasWords(strings.ToLower(v), want)
		case []string:
			return slices.ContainsFunc(v, func(s string) bool { return strings.HasPrefix(strings.ToLower(s), want) })
		}
		return false
	})
}

// hasWords reports whether each word of want begins a word of text.
func hasWords(text, want string) bool {
	words := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	}
	have, wanted := words(text), words(want)
	return len(wanted) > 0 && !slices.ContainsFunc(wanted, func(w string) bool {
		return !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) })
	})
}

// keyedAttributes are those that provision.ObjectQuery can narrow by.
var keyedAttributes = []string{"userPrincipalName", "employeeId", "mail", "mailNickname", "displayName"}

// pointsOf returns where all users are found that an expression can hold for; ok is false if they can be anywhere.
func pointsOf(x odata.Expr) (points []point, ok bool) {
	switch x := x.(type) {
	case odata.And:
		for _, m := range x {
			if of, has := pointsOf(m); has && (!ok || len(of) < len(points)) {
				points, ok = of, true
			}
		}
		return points, ok
	case odata.Or:
		for _, m := range x {
			of, has := pointsOf(m)
			if points = append(points, of...); !has || len(points) > mostPoints {
				return nil, false
			}
		}
		return points, true
	case odata.Comparison:
		return pointsOfComparison(x)
	}
	return nil, false
}

func pointsOfComparison(x odata.Comparison) (points []point, ok bool) {
	values := []any{x.Value}
	if x.Op == "in" {
		values = x.Value.([]any)
	}
	place := slices.IndexFunc(keyedAttributes, func(n string) bool { return strings.ToLower(n) == x.Path })
	if x.Op != "eq" && x.Op != "in" || x.Func != "" || place < 0 && x.Path != "id" || len(values) > mostPoints {
		return nil, false
	}
	for _, v := range values {
		s, isText := v.(string)
		if !isText || s == "" {
			return nil, false
		}
		p := point{"id", s}
		if place >= 0 {
			p.attribute = keyedAttributes[place]
		}
		points = append(points, p)
	}
	return points, true
}

// eventual reports whether the client asked for Graph's advanced queries.
func (c *call) eventual() bool {
	return strings.EqualFold(strings.TrimSpace(c.r.Header.Get("ConsistencyLevel")), "eventual")
}

// needsAdvanced is the answer for a query that is one of Graph's advanced ones and does not say so.
func needsAdvanced(message string) *problem {
	p := unsupportedQuery("%s", message)
	p.details = []errorDetail{{codeUnsupportedQuery, "It is an advanced query: send the header ConsistencyLevel: eventual, and $count=true.", "ConsistencyLevel"}}
	return p
}

// checkUserFilter refuses a filter that Graph's table of what users can be filtered by does not have.
func checkUserFilter(f *odata.Filter, advancedQuery bool) error {
	var refusal error
	ask := func(path string, needs level) {
		name, _, _ := strings.Cut(path, "/")
		if p, ok := findProperty(name); ok {
			path = p.name + path[len(name):]
		}
		text := "Unsupported or invalid query filter clause specified for property '" + clip(path) + "' of resource 'User'."
		switch {
		case refusal != nil:
		case needs == unsupported:
			refusal = unsupportedQuery("%s", text)
		case needs == advanced && !advancedQuery:
			refusal = needsAdvanced(text)
		}
	}
	walkFilter(f.Root, "", simple, ask)
	if refusal != nil {
		return refusal
	}
	if _, err := f.Match(func(path string) any { return userProperty(&provision.Object{}, path) }); err != nil {
		return invalidFilter(err)
	}
	return nil
}

// walkFilter tells ask of each path in an expression what level of query it needs, at least the given one. An element of
// the collection at prefix is what paths are relative to.
func walkFilter(x odata.Expr, prefix string, least level, ask func(path string, needs level)) {
	switch x := x.(type) {
	case odata.And:
		for _, m := range x {
			walkFilter(m, prefix, least, ask)
		}
	case odata.Or:
		for _, m := range x {
			walkFilter(m, prefix, least, ask)
		}
	case odata.Not:
		walkFilter(x.X, prefix, advanced, ask)
	case odata.Any:
		if x.All {
			least = advanced
		}
		of := supportOf(x.Path, true)
		ask(x.Path, atLeast(of.eq, least))
		if x.Cond != nil {
			walkFilter(x.Cond, x.Path, least, ask)
		}
	case odata.Comparison:
		path := x.Path
		if prefix != "" {
			path = strings.TrimSuffix(prefix+"/"+x.Path, "/")
		}
		ask(path, atLeast(supportOf(path, prefix != "").of(x), least))
	}
}

// atLeast is a level that is supported raised to another.
func atLeast(l, least level) level {
	if l == unsupported {
		return unsupported
	}
	return max(l, least)
}

// supportOf is what a path can be asked for; element says that it is of an element of a collection.
func supportOf(path string, element bool) support {
	if isExtension(path) && !strings.Contains(path, "/") {
		return byExtension
	}
	first, rest, deep := strings.Cut(path, "/")
	p, ok := findProperty(first)
	switch {
	case !ok:
		return never
	case !deep:
		return p.filter
	case rest == "$count":
		return advancedOrder
	case p.name == "identities" || p.name == "assignedLicenses" || p.name == "assignedPlans":
		members := map[string][]string{"identities": {"issuer", "issuerassignedid", "signintype"}, "assignedLicenses": {"skuid"}, "assignedPlans": {"service", "serviceplanid", "capabilitystatus"}}
		if !element || !slices.Contains(members[p.name], rest) {
			return never
		}
		return p.filter
	}
	if _, unknown := userProperty(&provision.Object{}, path).(odata.UnknownProperty); unknown {
		return never
	}
	return p.filter
}

// of is the level that a comparison needs.
func (s support) of(x odata.Comparison) level {
	switch x.Op {
	case "eq", "ne":
		if x.Op == "ne" || x.Value == nil {
			return atLeast(s.eq, advanced)
		}
		return s.eq
	case "in":
		return s.in
	case "startswith":
		return s.prefix
	case "endswith":
		if slices.Contains([]string{"mail", "othermails", "userprincipalname"}, x.Path) || x.Path == "" && s == byElement {
			return advanced
		}
		return unsupported
	case "contains":
		return unsupported
	}
	return s.order
}

// page returns up to size users in an order, from place on, and where to go on; the zero cursor at the end.
func (q *userSearch) page(ctx context.Context, order userOrdering, place cursor, size int) (found []provision.Object, rest cursor, err error) {
	if q.points != nil || !order.plain() {
		if order.name == "" {
			order.name = "createdDateTime"
		}
		return q.sorted(ctx, order, place, size)
	}
	found, next, more, err := q.scan(ctx, place.after, size)
	if more {
		rest.after = next
	}
	return found, rest, err
}

// count returns how many users match.
func (q *userSearch) count(ctx context.Context) (n int64, err error) {
	if q.points != nil {
		found, _, _, err := q.scan(ctx, 0, 0)
		return int64(len(found)), err
	}
	q.After, q.Limit = 0, 0
	n, err = q.in.CountObjects(ctx, q.ObjectQuery)
	if err == nil {
		err = q.failed()
	}
	return n, err
}

// scan returns up to limit users of the query, in the order of their creation, from after on; and if there may be more,
// where to go on. It asks the directory a bounded number of times, so that it may return fewer than there are. Those of
// points are returned all at once.
func (q *userSearch) scan(ctx context.Context, after int64, limit int) (found []provision.Object, next int64, more bool, err error) {
	if q.points != nil {
		found, err = q.atPoints(ctx)
		return found, 0, false, err
	}
	next = after
	for range mostScans {
		q.After, q.Limit = next, limit-len(found)
		page, err := q.in.Objects(ctx, q.ObjectQuery)
		if err == nil {
			err = q.failed()
		}
		if err != nil {
			return nil, 0, false, err
		}
		found, next, more = append(found, page.Objects...), page.Next, page.More
		if !more || len(found) >= limit {
			break
		}
	}
	return found, next, more, nil
}

// atPoints returns all users at the query's points that match, each once.
func (q *userSearch) atPoints(ctx context.Context) (found []provision.Object, err error) {
	seen := map[string]bool{}
	take := func(u *provision.Object) {
		if !seen[u.ID] {
			seen[u.ID] = true
			found = append(found, *u)
		}
	}
	for _, p := range q.points {
		if p.attribute == "id" {
			u, err := q.in.Object(ctx, p.value)
			if err == nil && strings.EqualFold(u.ID, p.value) && q.Match(u) {
				take(u)
			}
			if err != nil && !isNotFound(err) {
				return nil, err
			}
			continue
		}
		at := provision.ObjectQuery{Equal: map[string]string{p.attribute: p.value}, Match: q.Match, Limit: objectScan}
		for more := true; more; {
			page, err := q.in.Objects(ctx, at)
			if err != nil {
				return nil, err
			}
			for i := range page.Objects {
				take(&page.Objects[i])
			}
			if len(found) > mostSorted {
				return nil, unsupportedQuery("More than %d users match: narrow them with $filter.", mostSorted)
			}
			at.After, more = page.Next, page.More
		}
	}
	return found, q.failed()
}

func (q *userSearch) failed() error {
	if q.bad == nil {
		return nil
	}
	return invalidFilter(q.bad)
}

// userOrdering is an order of users; the zero value is that of creation.
type userOrdering struct {
	name string // a property
	desc bool
}

// plain reports whether the order is the directory's own.
func (o userOrdering) plain() bool { return o.name == "" || o.name == "createdDateTime" && !o.desc }

// userOrder reads $orderby. names can be ordered by in any query, other texts and times in an advanced one; so can
// what is filtered, too.
func userOrder(o odata.Options, names []string, advanced bool) (userOrdering, error) {
	if len(o.OrderBy) == 0 {
		return userOrdering{}, nil
	}
	by := o.OrderBy[0]
	p, ok := findProperty(by.Path)
	sortable := ok && (p.kind == text || p.kind == date || p.name == "createdDateTime" || p.name == "deletedDateTime")
	if len(o.OrderBy) > 1 || !sortable {
		return userOrdering{}, unsupportedQuery("Users can be ordered by one property that is a text or a time, such as %s.", strings.Join(names, ", "))
	}
	if !advanced && (!slices.Contains(names, p.name) || o.Filter != "") {
		return userOrdering{}, needsAdvanced("Sorting not supported for current query.")
	}
	return userOrdering{p.name, by.Desc}, nil
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
	p, _ := findProperty(strings.ToLower(o.name))
	v := attribute(u, p.attribute).String()
	if p.kind == date {
		if t, ok := parseTime(v); ok {
			v = t.Format(sortable)
		}
	}
	return strings.ToLower(v) + "\x00" + u.ID
}

func (o userOrdering) compare(a, b string) int {
	if o.desc {
		a, b = b, a
	}
	return cmp.Compare(a, b)
}

// sorted returns the next size users in an order, after the one whose key place holds. It looks at all that match, and
// keeps no more than it returns.
func (q *userSearch) sorted(ctx context.Context, order userOrdering, place cursor, size int) ([]provision.Object, cursor, error) {
	type keyed struct {
		key  string
		user provision.Object
	}
	var kept []keyed
	var after int64
	for seen := 0; ; {
		found, next, more, err := q.scan(ctx, after, objectScan)
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
