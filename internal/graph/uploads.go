package graph

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

const (
	usualWait = 30 * time.Second
	mostWait  = 60 * time.Second
	receipts  = 1000 // most operations on a page, and read at a time
)

// upload returns the job and the id of the upload that the path names.
func (c *call) upload() (*provision.Job, uuid.UUID, error) {
	job, err := c.knownJob()
	if err != nil {
		return nil, uuid.Nil, err
	}
	text, err := c.param("{upload}")
	if err != nil {
		return nil, uuid.Nil, err
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, uuid.Nil, notFound("upload", text)
	}
	return job, id, nil
}

// getUpload tells how far an upload has come, at once or when it has come as far as waitFor.
func (c *call) getUpload() error {
	job, id, err := c.upload()
	if err != nil {
		return err
	}
	query := c.r.URL.Query()
	until, wait, err := waitOptions(query)
	if err != nil {
		return err
	}
	c.event.upload = id.String()
	u, err := c.s.Service.Upload(c.r.Context(), job.PK, id)
	if err == nil && wait > 0 && !reached(u.State, until) {
		ctx, cancel := context.WithTimeout(c.r.Context(), wait)
		defer cancel()
		u, err = c.s.Service.WaitUpload(ctx, job.PK, id, until)
	}
	if isNotFound(err) {
		return c.noUpload(id.String())
	}
	if err != nil {
		return err
	}
	return c.entity(c.jobContext(job)+"/uploads/$entity", uploadObject(job, u))
}

// waitOptions reads waitFor and timeout, which is in seconds.
func waitOptions(query url.Values) (until provision.UploadState, wait time.Duration, err error) {
	until = provision.UploadState(strings.ToLower(query.Get("waitFor")))
	switch until {
	case "", provision.UploadAccepted:
		return until, 0, nil
	case provision.UploadDone, provision.UploadSettled:
	default:
		return "", 0, badRequest("Invalid value '%s' of waitFor: it is accepted, done or settled.", clip(query.Get("waitFor")))
	}
	text := query.Get("timeout")
	if text == "" {
		return until, usualWait, nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 0 || seconds > int(mostWait/time.Second) {
		return "", 0, badRequest("Invalid value '%s' of timeout: it is a number of seconds from 0 to %d.", clip(text), int(mostWait/time.Second))
	}
	return until, time.Duration(seconds) * time.Second, nil
}

func reached(state, until provision.UploadState) bool {
	order := []provision.UploadState{provision.UploadAccepted, provision.UploadDone, provision.UploadSettled}
	return slices.Index(order, state) >= slices.Index(order, until)
}

func uploadObject(job *provision.Job, u *provision.UploadStatus) object {
	counts := object{}
	for _, end := range provision.Ends {
		counts = append(counts, member{string(end), u.Counts[end]})
	}
	for _, end := range openEnds {
		counts = append(counts, member{string(end), u.Counts[end]})
	}
	return object{
		{"id", u.ID.String()},
		{"number", u.Number},
		{"jobId", job.ID},
		{"clientRequestId", orNull(u.ClientRequestID)},
		{"state", string(u.State)},
		{"receivedDateTime", timeOrNull(u.Received)},
		{"doneDateTime", timeOrNull(u.Done)},
		{"settledDateTime", timeOrNull(u.Settled)},
		{"operationCount", u.Operations},
		{"counts", counts},
		{"purge", purgeObject(u.Purge)},
	}
}

// openEnds are said of records that have not ended.
var openEnds = []provision.End{provision.EndHeld, provision.EndRetrying, provision.EndQueued}

// purgeObject is the restart that has thrown an upload out of the queue; null if none has.
func purgeObject(p *provision.Purge) any {
	if p == nil {
		return nil
	}
	return object{{"dateTime", timeOrNull(p.Time)}, {"by", orNull(p.By)}, {"uploads", p.Uploads}, {"records", p.Records}}
}

// listOperations tells what became of each operation of an upload, in order; end and bulkId narrow it.
func (c *call) listOperations() error {
	job, id, err := c.upload()
	if err != nil {
		return err
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	size, err := c.pageSize(o.Top, 100, receipts)
	if err != nil {
		return err
	}
	query := c.r.URL.Query()
	bulkID := query.Get("bulkId")
	end := provision.End(strings.ToLower(query.Get("end")))
	if known := slices.Concat(provision.Ends, openEnds); end != "" && !slices.Contains(known, end) {
		return badRequest("Invalid value '%s' of end: it is one of %v.", clip(string(end)), known)
	}
	scope := cursorScope("operations", id.String(), string(end), bulkID)
	place, err := parseCursor(o.SkipToken, scope)
	if err != nil {
		return err
	}
	c.event.upload = id.String()
	u, err := c.s.Service.Upload(c.r.Context(), job.PK, id)
	if isNotFound(err) {
		return c.noUpload(id.String())
	}
	if err != nil {
		return err
	}
	value := []object{}
	from := int(min(place.after, int64(u.Operations)))
	for from < u.Operations && len(value) < size {
		limit := receipts
		if end == "" && bulkID == "" {
			limit = size - len(value)
		}
		batch, err := c.s.Service.Receipts(c.r.Context(), job.PK, u.Number, from, limit)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			from = u.Operations
		}
		for i := range batch {
			from = batch[i].Index + 1
			if (end == "" || batch[i].End == end) && (bulkID == "" || batch[i].BulkID == bulkID) {
				value = append(value, receiptObject(job.PK, u, &batch[i]))
			}
			if len(value) == size {
				break
			}
		}
	}
	next := ""
	if from < u.Operations {
		next = c.nextLink(cursor{after: int64(from)}.token(scope))
	}
	return c.collection(c.jobContext(job)+"/uploads('"+id.String()+"')/operations", value, next, nil)
}

func receiptObject(jobPK int64, u *provision.UploadStatus, r *provision.Receipt) object {
	var entryID, targetID, failure any
	warnings := []string{}
	if e := r.Entry; e != nil {
		targetID = orNull(e.ObjectID)
		if !e.Hidden {
			entryID = provision.EntryID(e.Seq).String()
		}
		if explained(r.End) {
			failure = receiptError(e)
		}
		warnings = append(warnings, e.Warnings...)
	} else if p := u.Purge; p != nil && r.End == provision.EndPurged {
		failure = receiptError(&provision.LogEntry{End: r.End, Reason: purgeReason(p)})
	}
	references := []object{}
	for i := range r.References {
		e := &r.References[i]
		var failure any
		if e.Status != provision.StatusSuccess {
			failure = receiptError(e)
		}
		references = append(references, object{
			{"attribute", orNull(e.Attribute)},
			{"status", e.Status.String()},
			{"logEntryId", provision.EntryID(e.Seq).String()},
			{"error", failure},
		})
	}
	return object{
		{"index", r.Index},
		{"bulkId", orNull(r.BulkID)},
		{"externalId", orNull(r.Anchor)},
		{"end", string(r.End)},
		{"changeId", provision.ChangeID(jobPK, u.Number, r.Index).String()},
		{"logEntryId", entryID},
		{"targetId", targetID},
		{"error", failure},
		{"warnings", warnings},
		{"references", references},
	}
}

// explained reports whether an end needs a reason beside it.
func explained(end provision.End) bool {
	switch end {
	case provision.EndFailed, provision.EndSkipped, provision.EndSuperseded, provision.EndRejected, provision.EndPurged, provision.EndHeld, provision.EndRetrying:
		return true
	}
	return false
}

func purgeReason(p *provision.Purge) string {
	reason := "The record was thrown out of the queue by a restart of the job"
	if !p.Time.IsZero() {
		reason += " at " + timestamp(p.Time)
	}
	if p.By != "" {
		reason += " by " + p.By
	}
	return reason
}

func receiptError(e *provision.LogEntry) object {
	code, advice := e.Code, e.Advice
	if end, ok := unfulfilled[e.End]; ok {
		code, advice = orDefault(code, end.code), orDefault(advice, end.advice)
	}
	return object{
		{"code", code},
		{"attribute", orNull(e.Attribute)},
		{"reason", reasonOf(e)},
		{"recommendedAction", orNull(advice)},
	}
}

// listUnreadPaths tells which paths records have sent that no mapping of the job reads.
func (c *call) listUnreadPaths() error {
	job, err := c.knownJob()
	if err != nil {
		return err
	}
	paths, err := c.s.Service.UnreadPaths(c.r.Context(), job.PK)
	if err != nil {
		return err
	}
	value := make([]object, len(paths))
	for i, p := range paths {
		value[i] = object{{"path", p.Path}, {"records", p.Records}}
	}
	return c.collection(c.jobContext(job)+"/unreadPaths", value, "", nil)
}
