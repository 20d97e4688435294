package graph

import (
	"net/url"
	"time"

	"induct/internal/provision"
)

// interval is the documented one of API-driven jobs. Work starts at once all the same.
const interval = "PT40M"

// jobObject is a synchronizationJob with our annotations.
func (c *call) jobObject(j *provision.Job, app *provision.App) (object, error) {
	st, err := c.s.Service.JobStatus(c.r.Context(), j.PK)
	if err != nil {
		return nil, err
	}
	state := orDefault(string(j.State), string(provision.JobDisabled))
	return object{
		{"id", j.ID},
		{"templateId", j.TemplateID},
		{"schedule", object{{"expiration", nil}, {"interval", interval}, {"state", state}}},
		{"status", c.statusObject(j, st)},
		{"synchronizationJobSettings", settingObjects(&j.Settings)},
		{"@induct.queue", queueObject(st, c.received)},
		{"@induct.pending", object{{"held", st.Held}, {"staged", st.Staged}, {"retrying", st.Retrying}}},
		{"@induct.totals", append(endCounts(st.TotalCounts), member{string(provision.EndQueued), st.Queued})},
		{"@induct.enabled", st.Enabled},
		{"@induct.brake", brakeObject(j, app, st, c.received)},
		{"@induct.reevaluation", reevaluationObject(st.Reevaluation)},
	}, nil
}

// queueObject is what waits for an outcome, and how long the oldest of it has.
func queueObject(st *provision.JobStatus, now time.Time) object {
	var age any
	if !st.Oldest.IsZero() {
		age = max(0, int64(now.Sub(st.Oldest)/time.Second))
	}
	return object{{"records", st.Queued}, {"oldestDateTime", timeOrNull(st.Oldest)}, {"ageSeconds", age}}
}

// brakeObject is what the brakes on disables and deletions allow, and what has passed them within the window.
func brakeObject(j *provision.Job, app *provision.App, st *provision.JobStatus, now time.Time) object {
	var threshold, percent any
	if most, limited := j.Settings.Threshold(app.Notifications()); limited {
		threshold = most
	}
	if p := j.Settings.DeletePercent; p > 0 {
		percent = p
	}
	began := now.Add(-provision.DefaultInterval).Unix() / 60
	var executed int64
	for _, s := range st.Condition.Window.Slots {
		if s.Minute >= began {
			executed += s.Effects
		}
	}
	return object{{"threshold", threshold}, {"percent", percent}, {"executed", executed}, {"window", interval}}
}

// endCounts are numbers of records by their ends, all of them, and of those that have an outcome and no end.
func endCounts(n map[provision.End]int64) object {
	counts := object{}
	for _, end := range provision.Ends {
		counts = append(counts, member{string(end), n[end]})
	}
	for _, end := range []provision.End{provision.EndHeld, provision.EndRetrying} {
		counts = append(counts, member{string(end), n[end]})
	}
	return counts
}

// reevaluationObject is how far the latest re-evaluation of everybody has come; null if there was none.
func reevaluationObject(re *provision.Reevaluation) any {
	if re == nil {
		return nil
	}
	return object{
		{"number", re.Number},
		{"beganDateTime", timestamp(re.Began)},
		{"endedDateTime", timeOrNull(re.Ended)},
		{"evaluated", re.Evaluated},
		{"ends", endCounts(re.Ends)},
	}
}

// statusObject is the job's synchronizationStatus.
func (c *call) statusObject(j *provision.Job, st *provision.JobStatus) object {
	entries := []keyValue{}
	if st.Users > 0 {
		entries = append(entries, keyValue{"User", st.Users})
	}
	cond := &st.Condition
	return object{
		{"countSuccessiveCompleteFailures", cond.SuccessiveFailures},
		{"escrowsPruned", false},
		{"code", statusCode(j, st)},
		{"lastExecution", executionObject(j.PK, cond.Last)},
		{"lastSuccessfulExecution", executionObject(j.PK, cond.LastSuccess)},
		{"lastSuccessfulExecutionWithExports", executionObject(j.PK, cond.LastWithExports)},
		{"quarantine", quarantineObject(cond.Quarantine)},
		{"steadyStateFirstAchievedTime", timestamp(cond.SteadyFirst)},
		{"steadyStateLastAchievedTime", timestamp(cond.SteadyLast)},
		{"troubleshootingUrl", orNull(c.troubleshootingURL(j, cond))},
		{"progress", progress(st)},
		{"synchronizedEntryCountByType", entries},
	}
}

// statusCode is a synchronizationStatusCode. NotConfigured is never said: a job has its target from the beginning.
func statusCode(j *provision.Job, st *provision.JobStatus) string {
	cond := &st.Condition
	switch {
	case j.State != provision.JobActive:
		return "Paused"
	case cond.Quarantine != nil:
		return "Quarantine"
	case cond.Restarted && !reevaluated(st), st.FirstCycleEnd.IsZero() && cond.SteadyFirst.IsZero():
		return "NotRun"
	}
	return "Active"
}

// reevaluated reports whether everybody has been re-evaluated. Where nothing waits in the queue, that is the run of a restart.
func reevaluated(st *provision.JobStatus) bool {
	return st.Queued == 0 && st.Reevaluation != nil && !st.Reevaluation.Ended.IsZero()
}

// troubleshootingURL leads to what a job in trouble is in trouble with: to the changes that wait for a verdict, or to the
// failures in its log. It is "" if there is no trouble.
func (c *call) troubleshootingURL(j *provision.Job, cond *provision.Condition) string {
	switch q := cond.Quarantine; {
	case q != nil && q.Reason == provision.QuarantineDeletes:
		return c.root() + "/servicePrincipals/" + j.ServicePrincipalID.String() + "/synchronization/jobs/" + j.ID + "/heldChanges?staged=true"
	case q != nil, cond.Last != nil && cond.Last.State != provision.ExecutionSucceeded:
		return c.root() + "/auditLogs/provisioning?$filter=" + url.PathEscape("jobId eq '"+j.ID+"' and provisioningStatusInfo/status eq 'failure'")
	}
	return ""
}

// quarantineObject is a synchronizationQuarantine; null if the job is in none.
func quarantineObject(q *provision.Quarantine) any {
	if q == nil {
		return nil
	}
	return object{
		{"currentBegan", timestamp(q.CurrentBegan)},
		{"nextAttempt", timestamp(q.NextAttempt)},
		{"reason", string(q.Reason)},
		{"seriesBegan", timestamp(q.SeriesBegan)},
		{"seriesCount", q.SeriesCount},
		{"error", errorObject(q.Code, q.Message, q.Actionable)},
	}
}

// errorObject is a synchronizationError; null if nothing is wrong.
func errorObject(code, message string, actionable bool) any {
	if code == "" && message == "" {
		return nil
	}
	return object{{"code", code}, {"message", message}, {"tenantActionable", actionable}}
}

// progress says how far a job with a queue has come: records with an outcome, and in all.
func progress(st *provision.JobStatus) []object {
	if st.Queued == 0 {
		return []object{}
	}
	done := st.Held + st.Retrying
	for _, end := range provision.Ends {
		done += st.TotalCounts[end]
	}
	return []object{{
		{"completedUnits", done},
		{"progressObservationDateTime", timestamp(latest(st.Oldest, st.CycleBegan))},
		{"totalUnits", done + st.Queued},
		{"units", "records"},
	}}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// executionObject is a synchronizationTaskExecution; null if there was none. Every record is a delta that is imported;
// entitled are those that the scope has let through, escrowed those that have failed, for good or until they are retried.
func executionObject(jobPK int64, e *provision.Execution) any {
	if e == nil {
		return nil
	}
	n := e.Counts
	all, escrowed := total(n), n[provision.EndFailed]+n[provision.EndRetrying]
	entitled := all - n[provision.EndSkipped]
	return object{
		{"activityIdentifier", provision.CycleID(jobPK, e.Cycle).String()},
		{"countEntitled", entitled},
		{"countEntitledForProvisioning", entitled},
		{"countEscrowed", escrowed},
		{"countEscrowedRaw", escrowed},
		{"countExported", exported(n)},
		{"countExports", exported(n)},
		{"countImported", all},
		{"countImportedDeltas", all},
		{"countImportedReferenceDeltas", e.References},
		{"state", string(e.State)},
		{"error", errorObject(e.Code, e.Message, true)},
		{"timeBegan", timestamp(e.Began)},
		{"timeEnded", timestamp(e.Ended)},
	}
}

func exported(n map[provision.End]int64) int64 {
	return n[provision.EndCreated] + n[provision.EndUpdated] + n[provision.EndDisabled] + n[provision.EndDeleted]
}

// total is how many records have an outcome.
func total(n map[provision.End]int64) int64 {
	var sum int64
	for end, count := range n {
		if end != provision.EndQueued {
			sum += count
		}
	}
	return sum
}
