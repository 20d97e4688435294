package graph

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"induct/internal/graph/odata"
	"induct/internal/provision"
)

// Names that stand in entries about provisioning.
const (
	auditCategory = "ProvisioningManagement"
	auditService  = "Account Provisioning"
	auditTarget   = "ServicePrincipal"
)

// listAudits lists who changed what of the jobs and the apps (directoryAudit: list), newest first unless asked otherwise.
func (c *call) listAudits() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	if err := refuse(o, "directory audits"); err != nil {
		return err
	}
	size, err := c.pageSize(o.Top, usualLogPage, mostLogPage)
	if err != nil {
		return err
	}
	ascending, err := timeOrder(o.OrderBy, "Directory audits")
	if err != nil {
		return err
	}
	filter, err := parseFilter(o.Filter)
	if err != nil {
		return err
	}
	scope := cursorScope("audits", o.Filter, map[bool]string{true: "asc"}[ascending])
	place, err := parseCursor(o.SkipToken, scope)
	if err != nil {
		return err
	}
	search := auditSearch{AuditQuery: provision.AuditQuery{Ascending: ascending, Before: place.before, After: place.after}}
	if err := search.narrow(filter); err != nil {
		return err
	}
	found, rest, err := search.run(c, size)
	if err != nil {
		return err
	}
	next := ""
	if rest != (cursor{}) {
		next = c.nextLink(rest.token(scope))
	}
	value := objects(found, auditObject)
	for i := range value {
		value[i] = value[i].pick(o.Select)
	}
	return c.collection("auditLogs/directoryAudits", value, next, nil)
}

// auditSearch is an audit query made of a filter.
type auditSearch struct {
	provision.AuditQuery
	bad error
}

// narrow makes the query as small as the filter's top-level conditions allow; the whole filter still decides.
func (q *auditSearch) narrow(f *odata.Filter) error {
	if f == nil {
		return nil
	}
	sample := &provision.Audit{Details: []provision.KeyValue{{}}}
	for _, path := range f.Paths() {
		if !auditKnows(sample, path) {
			return badRequest("Invalid filter clause: '%s' is not a property of directory audits that can be filtered.", clip(path))
		}
	}
	if _, err := f.Match(auditGetter(sample)); err != nil {
		return invalidFilter(err)
	}
	for _, c := range f.Conjuncts() {
		switch v := c.Value.(type) {
		case time.Time:
			if c.Path == "activitydatetime" {
				narrowTime(&q.From, &q.To, c.Op, v)
			}
		case string:
			if c.Path == "activitydisplayname" && c.Op == "eq" && c.Func == "" {
				q.Activity = v
			}
		}
	}
	q.Match = func(a *provision.Audit) bool {
		ok, err := f.Match(auditGetter(a))
		if err != nil {
			q.bad = err
		}
		return ok
	}
	return nil
}

// run returns up to size entries, and where the rest begins; the zero cursor if there is no rest.
func (q *auditSearch) run(c *call, size int) (found []provision.Audit, rest cursor, err error) {
	found, rest, err = scan(cursor{before: q.Before, after: q.After}, q.Ascending, size, func(at cursor, limit int) ([]provision.Audit, bool, int64, error) {
		q.Before, q.After, q.Limit = at.before, at.after, limit
		page, err := c.s.Service.QueryAudit(c.r.Context(), q.AuditQuery)
		if err == nil && q.bad != nil {
			err = invalidFilter(q.bad)
		}
		return page.Entries, page.More, page.Next, err
	})
	q.Before, q.After = rest.before, rest.after
	return found, rest, err
}

// getAudit returns one entry.
func (c *call) getAudit() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	text, err := c.param("{id}")
	if err != nil {
		return err
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return notFound("directory audit", text)
	}
	q := auditSearch{AuditQuery: provision.AuditQuery{Match: func(a *provision.Audit) bool { return a.ID == id }}}
	for {
		found, rest, err := q.run(c, 1)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return c.entity("auditLogs/directoryAudits/$entity", auditObject(&found[0]).pick(o.Select))
		}
		if rest == (cursor{}) {
			return notFound("directory audit", text)
		}
	}
}

// auditObject is a directoryAudit.
func auditObject(a *provision.Audit) object {
	return object{
		{"id", a.ID.String()},
		{"category", orDefault(a.Category, auditCategory)},
		{"correlationId", a.ID.String()},
		{"result", auditResult(a)},
		{"resultReason", a.Reason},
		{"activityDisplayName", a.Activity},
		{"activityDateTime", timestamp(a.Time)},
		{"loggedByService", orDefault(a.Service, auditService)},
		{"operationType", a.OperationType},
		{"initiatedBy", initiatorObject(&a.Actor)},
		{"targetResources", []object{{
			{"id", a.TargetID},
			{"displayName", a.TargetName},
			{"type", orDefault(a.TargetType, auditTarget)},
			{"userPrincipalName", nil},
			{"groupType", nil},
			{"modifiedProperties", objects(a.Modified, modifiedObject)},
		}}},
		{"additionalDetails", objects(auditDetails(a), func(d *provision.KeyValue) object {
			return object{{"key", d.Key}, {"value", d.Value}}
		})},
	}
}

// auditDetails are the entry's details, with the job that it is about first.
func auditDetails(a *provision.Audit) []provision.KeyValue {
	if a.JobID == "" {
		return a.Details
	}
	return append([]provision.KeyValue{{Key: "JobId", Value: a.JobID}}, a.Details...)
}

func auditResult(a *provision.Audit) string {
	if a.Failed {
		return "failure"
	}
	return "success"
}

// initiatorObject is an auditActivityInitiator: an app, which is the service itself if nobody else acted, or a user.
func initiatorObject(a *provision.Actor) object {
	if a.Kind == provision.ActorUser {
		return object{{"app", nil}, {"user", object{
			{"id", a.ID}, {"displayName", orNull(a.Name)}, {"userPrincipalName", nil}, {"ipAddress", nil},
		}}}
	}
	return object{{"user", nil}, {"app", object{
		{"appId", nil}, {"displayName", initiator(a)}, {"servicePrincipalId", orNull(a.ID)}, {"servicePrincipalName", nil},
	}}}
}

// initiator is the name of the app that acted.
func initiator(a *provision.Actor) any {
	if a.Kind == provision.ActorApp {
		return orNull(a.Name)
	}
	return initiatorName
}

// auditGetter reads the properties of an entry by their lower-case paths, for a filter.
func auditGetter(a *provision.Audit) func(string) any {
	return func(path string) any { return auditProperty(a, path) }
}

// auditKnows reports whether a path of a filter is a property of entries, or of the elements of one of their collections.
func auditKnows(sample *provision.Audit, path string) bool {
	of, element, _ := strings.Cut(path, "/")
	if elements, ok := auditProperty(sample, of).([]func(string) any); ok && element != "" {
		_, unknown := elements[0](element).(odata.UnknownProperty)
		return !unknown
	}
	_, unknown := auditProperty(sample, path).(odata.UnknownProperty)
	return !unknown
}

func auditProperty(a *provision.Audit, path string) any {
	user := a.Actor.Kind == provision.ActorUser
	switch path {
	case "id", "correlationid":
		return a.ID.String()
	case "category":
		return orDefault(a.Category, auditCategory)
	case "result":
		return auditResult(a)
	case "resultreason":
		return a.Reason
	case "activitydisplayname":
		return a.Activity
	case "activitydatetime":
		return a.Time.Truncate(time.Microsecond)
	case "loggedbyservice":
		return orDefault(a.Service, auditService)
	case "operationtype":
		return a.OperationType
	case "initiatedby/app/id", "initiatedby/app/serviceprincipalid":
		return nullUnless(!user && a.Actor.ID != "", a.Actor.ID)
	case "initiatedby/app/displayname":
		return nullUnless(!user, initiator(&a.Actor))
	case "initiatedby/user/id":
		return nullUnless(user, a.Actor.ID)
	case "initiatedby/user/displayname":
		return nullUnless(user, a.Actor.Name)
	case "initiatedby/app/appid", "initiatedby/user/userprincipalname":
		return nil
	case "targetresources":
		return []func(string) any{getterOf(map[string]string{"id": a.TargetID, "displayname": a.TargetName, "type": orDefault(a.TargetType, auditTarget)})}
	case "additionaldetails":
		var all []func(string) any
		for _, d := range auditDetails(a) {
			all = append(all, getterOf(map[string]string{"key": d.Key, "value": d.Value}))
		}
		return all
	}
	return odata.UnknownProperty{}
}

// getterOf reads the properties of an element of a collection.
func getterOf(properties map[string]string) func(string) any {
	return func(path string) any {
		if v, ok := properties[path]; ok {
			return v
		}
		return odata.UnknownProperty{}
	}
}

func nullUnless(holds bool, v any) any {
	if holds {
		return v
	}
	return nil
}
