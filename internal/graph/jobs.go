package graph

import (
	"net/http"
	"strings"
	"time"

	"induct/internal/graph/odata"
	"induct/internal/provision"
)

// interval is the documented one of API-driven jobs. Work starts at once all the same.
const interval = "PT40M"

// jobContext is the context of what belongs to a job.
func (c *call) jobContext(job *provision.Job) string {
	return "servicePrincipals('" + job.ServicePrincipalID.String() + "')/synchronization/jobs('" + job.ID + "')"
}

// servicePrincipalJobs returns the jobs of the service principal that the path names; there is at least one.
func (c *call) servicePrincipalJobs() ([]*provision.Job, error) {
	if p := c.params["{sp}"].property; p != "" && !strings.EqualFold(p, "id") && !strings.EqualFold(p, "appId") {
		return nil, badRequest("'%s' is not a key of servicePrincipals.", clip(p))
	}
	jobs, err := c.s.Service.Jobs(c.r.Context())
	if err != nil {
		return nil, err
	}
	var own []*provision.Job
	for _, j := range jobs {
		if c.ownsJob(j) {
			own = append(own, j)
		}
	}
	if own == nil {
		return nil, objectNotFound(c.params["{sp}"].value)
	}
	return own, nil
}

func (c *call) listServicePrincipals() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	filter, err := parseFilter(o.Filter)
	if err != nil {
		return err
	}
	jobs, err := c.s.Service.Jobs(c.r.Context())
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	value := []object{}
	for _, j := range jobs {
		sp := servicePrincipalObject(j)
		if seen[j.ServicePrincipalID.String()] {
			continue
		}
		seen[j.ServicePrincipalID.String()] = true
		if filter != nil {
			filter.Fold = true
			ok, err := filter.Match(sp.get)
			if err != nil {
				return invalidFilter(err)
			}
			if !ok {
				continue
			}
		}
		value = append(value, sp.pick(o.Select))
	}
	return c.collection("servicePrincipals"+selection(o.Select, servicePrincipalObject(&provision.Job{})), value, "", nil)
}

func (c *call) getServicePrincipal() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	jobs, err := c.servicePrincipalJobs()
	if err != nil {
		return err
	}
	sp := servicePrincipalObject(jobs[0])
	return c.entity("servicePrincipals"+selection(o.Select, sp)+"/$entity", sp.pick(o.Select))
}

func servicePrincipalObject(j *provision.Job) object {
	return object{
		{"id", j.ServicePrincipalID.String()},
		{"appId", j.ApplicationID.String()},
		{"displayName", j.DisplayName},
	}
}

// get returns the value of a member by its lower-case name, for a filter.
func (o object) get(path string) any {
	for _, m := range o {
		if strings.ToLower(m.name) == path {
			return m.value
		}
	}
	return odata.UnknownProperty{}
}

// selection is the part of a context that names the selected properties, as they are spelled in o.
func selection(selected []string, o object) string {
	if len(selected) == 0 {
		return ""
	}
	var names []string
	for _, m := range o.pick(selected) {
		names = append(names, m.name)
	}
	return "(" + strings.Join(names, ",") + ")"
}

// parseFilter reads a $filter; nil if there is none.
func parseFilter(text string) (*odata.Filter, error) {
	if text == "" {
		return nil, nil
	}
	f, err := odata.ParseFilter(text)
	if err != nil {
		return nil, invalidFilter(err)
	}
	return f, nil
}

func (c *call) listJobs() error {
	jobs, err := c.servicePrincipalJobs()
	if err != nil {
		return err
	}
	value := make([]object, len(jobs))
	for i, j := range jobs {
		if value[i], err = c.jobObject(j); err != nil {
			return err
		}
	}
	return c.collection("servicePrincipals('"+jobs[0].ServicePrincipalID.String()+"')/synchronization/jobs", value, "", nil)
}

func (c *call) getJob() error {
	job, err := c.job()
	if err != nil {
		return err
	}
	o, err := c.jobObject(job)
	if err != nil {
		return err
	}
	return c.entity("servicePrincipals('"+job.ServicePrincipalID.String()+"')/synchronization/jobs/$entity", o)
}

func (c *call) startJob() error { return c.setState(provision.JobActive) }
func (c *call) pauseJob() error { return c.setState(provision.JobPaused) }

func (c *call) setState(state provision.JobState) error {
	job, err := c.job()
	if err != nil {
		return err
	}
	if err := c.s.Service.SetJobState(c.r.Context(), job.PK, state); err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

type keyValue struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

type nameValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (c *call) jobObject(j *provision.Job) (object, error) {
	st, err := c.s.Service.JobStatus(c.r.Context(), j.PK)
	if err != nil {
		return nil, err
	}
	state := string(j.State)
	if state == "" {
		state = string(provision.JobDisabled)
	}
	return object{
		{"id", j.ID},
		{"templateId", j.TemplateID},
		{"schedule", object{{"expiration", nil}, {"interval", interval}, {"state", state}}},
		{"status", statusObject(j, st)},
		{"synchronizationJobSettings", []nameValue{
			{"AzureIngestionAttributeOptimization", "False"},
			{"LookaheadQueryEnabled", "False"},
		}},
		{"@induct.reevaluation", reevaluationObject(st.Reevaluation)},
	}, nil
}

// reevaluationObject is how far the latest re-evaluation of everybody has come; null if there was none.
func reevaluationObject(re *provision.Reevaluation) any {
	if re == nil {
		return nil
	}
	ends := object{}
	for _, end := range provision.Ends {
		ends = append(ends, member{string(end), re.Ends[end]})
	}
	return object{
		{"number", re.Number},
		{"beganDateTime", timestamp(re.Began)},
		{"endedDateTime", timeOrNull(re.Ended)},
		{"evaluated", re.Evaluated},
		{"ends", ends},
	}
}

// statusObject is the job's synchronizationStatus.
func statusObject(j *provision.Job, st *provision.JobStatus) object {
	var last, success, exports any
	if st.Cycle > 0 && !st.CycleEnded.IsZero() {
		e := execution(j.PK, st)
		last = e
		if st.CycleCounts[provision.EndFailed] == 0 {
			success = e
			if exported(st.CycleCounts) > 0 {
				exports = e
			}
		}
	}
	entries := []keyValue{}
	if st.Users > 0 {
		entries = append(entries, keyValue{"User", st.Users})
	}
	steady := st.FirstCycleEnd
	latest := steady
	if st.CycleEnded.After(latest) {
		latest = st.CycleEnded
	}
	return object{
		{"countSuccessiveCompleteFailures", 0},
		{"escrowsPruned", false},
		{"code", statusCode(j, st)},
		{"lastExecution", last},
		{"lastSuccessfulExecution", success},
		{"lastSuccessfulExecutionWithExports", exports},
		{"quarantine", nil},
		{"steadyStateFirstAchievedTime", timestamp(steady)},
		{"steadyStateLastAchievedTime", timestamp(latest)},
		{"troubleshootingUrl", nil},
		{"progress", progress(st)},
		{"synchronizedEntryCountByType", entries},
	}
}

func statusCode(j *provision.Job, st *provision.JobStatus) string {
	switch {
	case j.State != provision.JobActive:
		return "Paused"
	case st.FirstCycleEnd.IsZero():
		return "NotRun"
	}
	return "Active"
}

// progress says how far a job with a queue has come: records with an outcome, and in all.
func progress(st *provision.JobStatus) []object {
	if st.Queued == 0 {
		return []object{}
	}
	ended := total(st.TotalCounts)
	return []object{{
		{"completedUnits", ended},
		{"progressObservationDateTime", timestamp(latest(st.Oldest, st.CycleBegan))},
		{"totalUnits", ended + st.Queued},
		{"units", "records"},
	}}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// execution is the latest cycle as a synchronizationTaskExecution.
func execution(jobPK int64, st *provision.JobStatus) object {
	n := st.CycleCounts
	all, failed := total(n), n[provision.EndFailed]
	state := "Succeeded"
	if failed > 0 {
		state = "EntryLevelErrors"
	}
	return object{
		{"activityIdentifier", provision.CycleID(jobPK, st.Cycle).String()},
		{"countEntitled", all - n[provision.EndSkipped]},
		{"countEntitledForProvisioning", all - n[provision.EndSkipped]},
		{"countEscrowed", failed},
		{"countEscrowedRaw", failed},
		{"countExported", exported(n)},
		{"countExports", exported(n)},
		{"countImported", all},
		{"countImportedDeltas", all},
		{"countImportedReferenceDeltas", 0},
		{"state", state},
		{"error", nil},
		{"timeBegan", timestamp(st.CycleBegan)},
		{"timeEnded", timestamp(st.CycleEnded)},
	}
}

func exported(n map[provision.End]int64) int64 {
	return n[provision.EndCreated] + n[provision.EndUpdated] + n[provision.EndDisabled] + n[provision.EndDeleted]
}

func total(n map[provision.End]int64) int64 {
	var sum int64
	for end, count := range n {
		if end != provision.EndQueued {
			sum += count
		}
	}
	return sum
}
