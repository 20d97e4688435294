package graph

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"induct/internal/graph/odata"
	"induct/internal/provision"
)

const (
	usualLogPage = 100
	mostLogPage  = 1000
	mostScans    = 16 // calls of QueryLog for one page; what they leave is behind the nextLink
)

// logContext is what a log entry is rendered with beside its own facts.
type logContext struct {
	tenant provision.Tenant
	jobs   map[int64]*provision.Job
	beta   bool
}

func (c *call) logContext() (*logContext, error) {
	jobs, err := c.s.Service.LoggedJobs(c.r.Context())
	if err != nil {
		return nil, err
	}
	lc := &logContext{tenant: c.s.Service.Tenant(), jobs: make(map[int64]*provision.Job, len(jobs)), beta: c.version == "beta"}
	for _, j := range jobs {
		lc.jobs[j.PK] = j
	}
	return lc, nil
}

// job returns the job of an entry; one that is not known is a job without names.
func (lc *logContext) job(pk int64) *provision.Job {
	if j := lc.jobs[pk]; j != nil {
		return j
	}
	return &provision.Job{PK: pk}
}

// listLogs lists provisioning log entries (provisioningObjectSummary: list), newest first unless asked otherwise. What
// was committed before the first page appears exactly once on the pages; what is committed later, on none of them.
func (c *call) listLogs() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	if err := refuse(o, "provisioning logs"); err != nil {
		return err
	}
	size, err := c.pageSize(o.Top, usualLogPage, mostLogPage)
	if err != nil {
		return err
	}
	ascending, err := timeOrder(o.OrderBy, "Provisioning logs")
	if err != nil {
		return err
	}
	filter, err := parseFilter(o.Filter)
	if err != nil {
		return err
	}
	scope := cursorScope("logs", o.Filter, map[bool]string{true: "asc"}[ascending])
	place, err := parseCursor(o.SkipToken, scope)
	if err != nil {
		return err
	}
	lc, err := c.logContext()
	if err != nil {
		return err
	}
	search := logSearch{LogQuery: provision.LogQuery{Ascending: ascending}}
	if err := search.narrow(filter, lc); err != nil {
		return err
	}
	if place == (cursor{}) {
		last, err := c.s.Service.LastSeq(c.r.Context())
		if err != nil {
			return err
		}
		place.before = last + 1
	}
	page := []object{}
	token := ""
	if !search.nothing {
		entries, rest, err := search.run(c.r.Context(), c.s.Service, place, size)
		if err != nil {
			return err
		}
		for i := range entries {
			page = append(page, lc.entryObject(&entries[i]).pick(o.Select))
		}
		if rest != (cursor{}) {
			token = c.nextLink(rest.token(scope))
		}
	}
	return c.collection("auditLogs/provisioning", page, token, nil)
}

// refuse says which options a list does not have.
func refuse(o odata.Options, what string) error {
	for _, option := range []struct {
		name  string
		given bool
	}{{"$skip", o.Skip != nil}, {"$search", o.Search != ""}, {"$expand", o.Expand != ""}} {
		if option.given {
			return badRequest("'%s' is not supported for %s.", option.name, what)
		}
	}
	return nil
}

// timeOrder reads the order of a log, which is that of time alone.
func timeOrder(by []odata.Order, what string) (ascending bool, err error) {
	if len(by) == 0 {
		return false, nil
	}
	if len(by) > 1 || by[0].Path != "activitydatetime" {
		return false, badRequest("%s can be ordered by activityDateTime only.", what)
	}
	return !by[0].Desc, nil
}

// logSearch is a log query made of a filter.
type logSearch struct {
	provision.LogQuery
	nothing bool // no entry can match
	bad     error
}

// narrow makes the query as small as the filter's top-level conditions allow; the whole filter still decides.
func (q *logSearch) narrow(f *odata.Filter, lc *logContext) error {
	if f == nil {
		return nil
	}
	for _, path := range f.Paths() {
		if _, unknown := lc.property(&provision.LogEntry{}, path).(odata.UnknownProperty); unknown {
			return badRequest("Invalid filter clause: '%s' is not a property of provisioning logs that can be filtered.", clip(path))
		}
	}
	if _, err := f.Match(func(path string) any { return lc.property(&provision.LogEntry{}, path) }); err != nil {
		return invalidFilter(err)
	}
	for _, c := range f.Conjuncts() {
		if c.Func == "" {
			q.conjunct(c, lc)
		}
	}
	q.Match = func(e *provision.LogEntry) bool {
		ok, err := f.Match(func(path string) any { return lc.property(e, path) })
		if err != nil {
			q.bad = err
		}
		return ok
	}
	return nil
}

func (q *logSearch) conjunct(c odata.Comparison, lc *logContext) {
	switch v := c.Value.(type) {
	case time.Time:
		if c.Path == "activitydatetime" {
			narrowTime(&q.From, &q.To, c.Op, v)
		}
	case string:
		if c.Op == "eq" {
			q.equal(c.Path, v, lc)
		}
	}
}

// narrowTime narrows a span of time to at least what op and t allow; entries are told apart by microseconds.
func narrowTime(from, to *time.Time, op string, t time.Time) {
	floor := t.Truncate(time.Microsecond)
	if op == "ge" || op == "gt" || op == "eq" {
		if floor.After(*from) {
			*from = floor
		}
	}
	if op == "le" || op == "lt" || op == "eq" {
		if end := floor.Add(time.Microsecond); to.IsZero() || end.Before(*to) {
			*to = end
		}
	}
}

func (q *logSearch) equal(path, v string, lc *logContext) {
	switch path {
	case "jobid":
		q.nothing = true
		for pk, j := range lc.jobs {
			if j.ID == v {
				q.JobPK, q.nothing = pk, false
			}
		}
	case "sourceidentity/id":
		q.Anchor = v
	case "provisioningstatusinfo/status", "statusinfo/status":
		q.nothing = true
		for s := provision.StatusSuccess; s <= provision.StatusWarning; s++ {
			if s.String() == v {
				q.Status, q.nothing = &s, false
			}
		}
	case "cycleid":
		q.place(v, func(id uuid.UUID) (ok bool) { q.JobPK, q.Cycle, ok = provision.ParseCycleID(id); return ok })
	case "changeid":
		q.place(v, func(id uuid.UUID) (ok bool) { q.JobPK, q.Upload, _, ok = provision.ParseChangeID(id); return ok })
	case "id":
		q.place(v, func(id uuid.UUID) bool {
			seq, ok := provision.ParseEntryID(id)
			q.After, q.Before = seq-1, seq+1
			return ok && seq > 0
		})
	}
}

// place reads an id that is a place in the log; what is none of ours matches nothing.
func (q *logSearch) place(v string, parse func(uuid.UUID) bool) {
	id, err := uuid.Parse(v)
	if err != nil || !parse(id) {
		q.nothing = true
	}
}

// run returns up to size entries from place on, and where the rest begins; the zero cursor if there is no rest.
func (q *logSearch) run(ctx context.Context, log provision.Log, place cursor, size int) (found []provision.LogEntry, rest cursor, err error) {
	if place.before > 0 && (q.Before == 0 || place.before < q.Before) {
		q.Before = place.before
	}
	q.After = max(q.After, place.after)
	return scan(cursor{before: q.Before, after: q.After}, q.Ascending, size, func(at cursor, limit int) ([]provision.LogEntry, bool, int64, error) {
		q.Before, q.After, q.Limit = at.before, at.after, limit
		page, err := log.QueryLog(ctx, q.LogQuery)
		if err == nil && q.bad != nil {
			err = invalidFilter(q.bad)
		}
		return page.Entries, page.More, page.Next, err
	})
}

// scan asks for parts of a log, of up to limit entries each, until there are size of them or it has asked often enough. It
// returns where the rest begins; the zero cursor if there is no rest.
func scan[E any](at cursor, ascending bool, size int, ask func(at cursor, limit int) (part []E, more bool, next int64, err error)) (found []E, rest cursor, err error) {
	for range mostScans {
		part, more, next, err := ask(at, size-len(found))
		if err != nil {
			return nil, cursor{}, err
		}
		found = append(found, part...)
		if !more {
			return found, cursor{}, nil
		}
		if ascending {
			at.after = next
		} else {
			at.before = next
		}
		if len(found) >= size {
			break
		}
	}
	return found, at, nil
}

// getLog returns one entry.
func (c *call) getLog() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	text, err := c.param("{id}")
	if err != nil {
		return err
	}
	missing := &problem{status: http.StatusNotFound, code: codeResourceNotFound, message: "Resource not found: there is no log entry '" + clip(text) + "'."}
	id, err := uuid.Parse(text)
	if err != nil {
		return missing
	}
	seq, ok := provision.ParseEntryID(id)
	if !ok || seq < 1 {
		return missing
	}
	page, err := c.s.Service.QueryLog(c.r.Context(), provision.LogQuery{After: seq - 1, Before: seq + 1, Limit: 1})
	if err != nil {
		return err
	}
	if len(page.Entries) == 0 {
		return missing
	}
	lc, err := c.logContext()
	if err != nil {
		return err
	}
	return c.entity("auditLogs/provisioning/$entity", lc.entryObject(&page.Entries[0]).pick(o.Select))
}

// property returns the value of a property of an entry by its lower-case path, for a filter.
func (lc *logContext) property(e *provision.LogEntry, path string) any {
	job := lc.job(e.JobPK)
	switch path {
	case "id":
		return provision.EntryID(e.Seq).String()
	case "activitydatetime":
		return e.Time.Truncate(time.Microsecond)
	case "tenantid":
		return lc.tenant.ID.String()
	case "jobid":
		return job.ID
	case "changeid":
		return provision.ChangeID(e.JobPK, e.Upload, e.Index).String()
	case "cycleid":
		return provision.CycleID(e.JobPK, e.Cycle).String()
	case "provisioningaction":
		return e.Action.String()
	case "action":
		return capital(e.Action.String())
	case "durationinmilliseconds":
		return e.Duration.Milliseconds()
	case "provisioningstatusinfo/status", "statusinfo/status":
		return e.Status.String()
	case "provisioningstatusinfo/errorinformation/errorcode", "statusinfo/errorcode":
		return e.Code
	case "sourcesystem/displayname":
		return sourceSystemName
	case "targetsystem/displayname":
		return targetSystemName
	case "sourcesystem/id":
		return systemID(job, false)
	case "targetsystem/id":
		return systemID(job, true)
	case "sourceidentity/identitytype", "targetidentity/identitytype":
		return identityType
	case "sourceidentity/id":
		return e.Anchor
	case "targetidentity/id":
		return e.ObjectID
	case "sourceidentity/displayname":
		return e.Name
	case "targetidentity/displayname":
		return targetName(e)
	case "serviceprincipal/id":
		return job.ServicePrincipalID.String()
	case "serviceprincipal/name", "serviceprincipal/displayname":
		return job.DisplayName
	case "initiatedby/id":
		return ""
	case "initiatedby/displayname":
		return initiatorName
	case "initiatedby/initiatortype":
		return "system"
	}
	return odata.UnknownProperty{}
}

// capital writes the first letter of an ASCII word in upper case.
func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
