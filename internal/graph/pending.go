package graph

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"induct/internal/provision"
)

// listHeldChanges lists the disables and deletions that wait for a verdict.
func (c *call) listHeldChanges() error {
	query := c.r.URL.Query()
	staged, err := truth(query, "staged")
	if err != nil {
		return err
	}
	return c.listPending("heldChanges", provision.PendingQuery{Kind: provision.PendingHeld, Staged: staged, Anchor: query.Get("externalId")}, heldObject)
}

// listEscrows lists the records that have failed and are tried again.
func (c *call) listEscrows() error {
	return c.listPending("escrows", provision.PendingQuery{Kind: provision.PendingRetry, Anchor: c.r.URL.Query().Get("externalId")}, escrowObject)
}

func (c *call) listPending(set string, q provision.PendingQuery, render func(job *provision.Job, p *provision.Pending) object) error {
	job, err := c.job()
	if err != nil {
		return err
	}
	p, err := c.pageOf(set, job.ID, q.Anchor, strconv.FormatBool(q.Staged))
	if err != nil {
		return err
	}
	q.After, q.Limit = p.after, p.size
	found, err := c.s.Service.Pending(c.r.Context(), job.PK, q)
	if err != nil {
		return err
	}
	next := ""
	if found.More {
		next = p.next(found.Next)
	}
	return c.collection(c.jobContext(job)+"/"+set, objects(found.Records, func(r *provision.Pending) object { return render(job, r) }), next, nil)
}

// truth reads a query parameter that is true or false; false if it is missing.
func truth(query url.Values, name string) (bool, error) {
	switch text := query.Get(name); strings.ToLower(text) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badRequest("Invalid value '%s' of %s: it is true or false.", clip(text), name)
	}
}

// getHeldChange answers with one change that is held.
func (c *call) getHeldChange() error {
	id, err := c.param("{place}")
	if err != nil {
		return err
	}
	job, err := c.job()
	if err != nil {
		return err
	}
	place, err := strconv.ParseInt(id, 10, 64)
	if err != nil || place < 1 {
		return notFound("held change", id)
	}
	found, err := c.s.Service.Pending(c.r.Context(), job.PK, provision.PendingQuery{Kind: provision.PendingHeld, After: place - 1, Limit: 1})
	if err != nil {
		return err
	}
	if len(found.Records) == 0 || found.Records[0].Place != place {
		return notFound("held change", id)
	}
	return c.entity(c.jobContext(job)+"/heldChanges/$entity", heldObject(job, &found.Records[0]))
}

// pendingObject is what held changes and escrows have in common.
func pendingObject(job *provision.Job, p *provision.Pending) object {
	var upload, reevaluation any
	switch {
	case p.Upload < 0:
		reevaluation = -p.Upload
	case p.Upload > 0:
		upload = p.Upload
	}
	return object{
		{"id", strconv.FormatInt(p.Place, 10)},
		{"externalId", p.Anchor},
		{"displayName", orNull(p.Name)},
		{"action", p.Action.String()},
		{"targetId", orNull(p.ObjectID)},
		{"targetName", orNull(p.ObjectName)},
		{"uploadNumber", upload},
		{"reevaluation", reevaluation},
		{"index", p.Index},
		{"bulkId", orNull(p.BulkID)},
		{"changeId", provision.ChangeID(job.PK, p.Upload, p.Index).String()},
		{"cycleId", provision.CycleID(job.PK, p.Cycle).String()},
		{"sinceDateTime", timestamp(p.Since)},
	}
}

// heldObject is a disable or a deletion that waits. One that is decided waits for its turn.
func heldObject(job *provision.Job, p *provision.Pending) object {
	return append(pendingObject(job, p),
		member{"staged", p.Staged},
		member{"verdict", orNull([...]string{"", "approved", "rejected", "purged"}[p.Verdict])},
		member{"verdictBy", orNull(p.By)},
		member{"reason", orNull(p.Reason)},
	)
}

// escrowObject is a record that is tried again.
func escrowObject(job *provision.Job, p *provision.Pending) object {
	return append(pendingObject(job, p),
		member{"attempts", p.Attempts},
		member{"nextAttemptDateTime", timeOrNull(p.Due)},
		member{"error", object{{"code", p.Code}, {"attribute", orNull(p.Attribute)}, {"reason", p.Reason}, {"recommendedAction", orNull(p.Advice)}}},
	)
}

func (c *call) approveHeldChanges() error { return c.decide(true) }
func (c *call) rejectHeldChanges() error  { return c.decide(false) }

// mostDecided bounds how many people one verdict names.
const mostDecided = 1000

// decide gives a verdict on held changes: all of them, or those of the people who are named.
func (c *call) decide(approve bool) error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	anchors, err := parseVerdict(body)
	if err != nil {
		return err
	}
	job, err := c.job()
	if err != nil {
		return err
	}
	n, err := c.s.Service.Decide(c.r.Context(), job.PK, approve, anchors)
	if isNotFound(err) {
		return &problem{status: http.StatusNotFound, code: codeResourceNotFound,
			message: "Resource not found: nothing is held of one of these externalIds, so nothing was decided. GET …/heldChanges lists what is held."}
	}
	if err != nil {
		return err
	}
	return c.entity(c.jobContext(job)+"/heldChanges/verdict", object{{"decided", n}})
}

// parseVerdict reads whom a verdict is about; nil for all.
func parseVerdict(body []byte) ([]string, error) {
	const ask = `send {"all": true}, or {"externalIds": ["…"]}`
	var v struct {
		All         bool      `json:"all"`
		ExternalIDs *[]string `json:"externalIds"`
	}
	if err := decode(body, &v); err != nil {
		return nil, err
	}
	switch {
	case v.All && v.ExternalIDs != nil:
		return nil, badRequest("The body has all and externalIds: " + ask + ".")
	case v.All:
		return nil, nil
	case v.ExternalIDs == nil || len(*v.ExternalIDs) == 0:
		return nil, badRequest("The body names nobody: " + ask + ".")
	case len(*v.ExternalIDs) > mostDecided:
		return nil, badRequest("externalIds has %d entries: at most %d are decided at a time.", len(*v.ExternalIDs), mostDecided)
	case slices.Contains(*v.ExternalIDs, ""):
		return nil, badRequest("externalIds[%d] is empty.", slices.Index(*v.ExternalIDs, ""))
	}
	anchors := slices.Sorted(slices.Values(*v.ExternalIDs))
	return slices.Compact(anchors), nil
}

// listNotices lists the latest news of a job, newest first.
func (c *call) listNotices() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	size, err := pageSize(o.Top, usualPage, mostPage)
	if err != nil {
		return err
	}
	job, err := c.job()
	if err != nil {
		return err
	}
	notices, err := c.s.Service.Notices(c.r.Context(), job.PK, size)
	if err != nil {
		return err
	}
	return c.collection(c.jobContext(job)+"/notifications", objects(notices, noticeObject), "", nil)
}

// noticeObject is a notice with what became of its mail.
func noticeObject(n *provision.Notice) object {
	var deletions any
	if n.Kind == provision.NoticeDeletes {
		var percent any
		if n.Percent > 0 {
			percent = n.Percent
		}
		deletions = object{{"held", n.Held}, {"executed", n.Executed}, {"threshold", n.Threshold}, {"percent", percent}, {"enabled", n.Linked}, {"window", interval}}
	}
	return object{
		{"id", strconv.FormatInt(n.ID, 10)},
		{"kind", string(n.Kind)},
		{"dateTime", timestamp(n.Time)},
		{"recipients", append([]string{}, n.Recipients...)},
		{"quarantine", quarantineObject(n.Quarantine)},
		{"deletions", deletions},
		{"failed", n.Failed},
		{"records", n.Records},
		{"attempts", n.Attempts},
		{"nextAttemptDateTime", timeOrNull(n.NextAttempt)},
		{"sentDateTime", timeOrNull(n.Sent)},
		{"error", orNull(n.Error)},
	}
}
