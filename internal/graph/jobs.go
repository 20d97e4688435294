package graph

import (
	"net/http"
	"slices"
	"strings"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// jobContext is the context of what belongs to a job.
func (c *call) jobContext(job *provision.Job) string {
	return jobsContext(job) + "('" + job.ID + "')"
}

// jobsContext is the context of the jobs of the job's app.
func jobsContext(job *provision.Job) string {
	return servicePrincipalContext(job.ServicePrincipalID.String()) + "/synchronization/jobs"
}

func (c *call) listJobs() error {
	app, err := c.application()
	if err != nil {
		return err
	}
	jobs, err := c.jobsOf(app.App)
	if err != nil {
		return err
	}
	value := make([]object, len(jobs))
	for i, j := range jobs {
		if value[i], err = c.jobObject(j, app.App); err != nil {
			return err
		}
	}
	return c.collection(app.context+"/synchronization/jobs", value, "", nil)
}

func (c *call) countJobs() error {
	app, err := c.application()
	if err != nil {
		return err
	}
	jobs, err := c.jobsOf(app.App)
	if err != nil {
		return err
	}
	return c.number(int64(len(jobs)))
}

func (c *call) getJob() error {
	job, err := c.job()
	if err != nil {
		return err
	}
	return c.jobEntity(http.StatusOK, job)
}

// jobEntity answers with a job.
func (c *call) jobEntity(status int, job *provision.Job) error {
	app, err := c.application()
	if err != nil {
		return err
	}
	o, err := c.jobObject(job, app.App)
	if err != nil {
		return err
	}
	c.json(status, append(object{{"@odata.context", c.context(jobsContext(job) + "/$entity")}}, o...))
	return nil
}

// sentJob is a synchronizationJob as a client writes it.
type sentJob struct {
	TemplateID string       `json:"templateId"`
	Schedule   *jobSchedule `json:"schedule"`
	Settings   []nameValue  `json:"synchronizationJobSettings"`
}

// jobSchedule is a synchronizationSchedule; of its members the state can be set.
type jobSchedule struct {
	State      *string `json:"state"`
	Interval   *string `json:"interval"`
	Expiration *string `json:"expiration"`
}

// postJob makes a job of a template, disabled.
func (c *call) postJob() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	var n sentJob
	if err := decode(body, &n); err != nil {
		return err
	}
	template, err := knownTemplate(n.TemplateID)
	if err != nil {
		return err
	}
	if s := n.Schedule; s != nil && s.State != nil && !strings.EqualFold(*s.State, string(provision.JobDisabled)) {
		return badRequest("schedule.state is '%s', and a new job is Disabled: leave it out, then start the job with POST …/jobs/{id}/start.", clip(*s.State))
	}
	if len(n.Settings) > 0 {
		return badRequest("synchronizationJobSettings cannot be given with a new job: leave them out, then set them with PATCH …/jobs/{id}.")
	}
	app, err := c.provisioned()
	if err != nil {
		return err
	}
	job, err := c.s.Service.CreateJob(c.r.Context(), template, app.ServicePrincipalID)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.root()+"/"+c.jobContext(job))
	return c.jobEntity(http.StatusCreated, job)
}

// knownTemplate returns the template with this id, in any case.
func knownTemplate(id string) (string, error) {
	known := mapping.Templates()
	i := slices.IndexFunc(known, func(t string) bool { return strings.EqualFold(t, id) })
	switch {
	case id == "":
		return "", badRequest("templateId is missing: it is one of %s.", strings.Join(known, ", "))
	case i < 0:
		return "", badRequest("There is no template '%s': templateId is one of %s.", clip(id), strings.Join(known, ", "))
	}
	return known[i], nil
}

// deleteJob ends a job with its queue and its links; the accounts that it has provisioned, and the log, stay.
func (c *call) deleteJob() error {
	job, err := c.job()
	if err != nil {
		return err
	}
	if err := c.s.Service.DeleteJob(c.r.Context(), job.PK); err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

// jobMembers are those of a synchronizationJob, in lower case. What cannot be changed is passed over: SDKs send what they
// have read.
var jobMembers = []string{"id", "templateid", "schedule", "status", "schema", "synchronizationjobsettings", "bulkupload"}

// patchJob changes the state of the schedule and the settings that are named, and answers with the job.
func (c *call) patchJob() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	p, err := parseJobPatch(body)
	if err != nil {
		return err
	}
	job, err := c.changeJob(p)
	if err != nil {
		return err
	}
	return c.jobEntity(http.StatusOK, job)
}

// changeJob makes the changes of p to the job that the path names, and returns it as it is then.
func (c *call) changeJob(p *jobPatch) (*provision.Job, error) {
	unlock, err := c.lock(lockJobs)
	if err != nil {
		return nil, err
	}
	defer unlock()
	job, err := c.job()
	if err != nil {
		return nil, err
	}
	settings, changed, err := mergeSettings(job.Settings, p.settings)
	if err != nil {
		return nil, err
	}
	if changed {
		if err := c.s.Service.SetSettings(c.r.Context(), job.PK, settings); err != nil {
			return nil, err
		}
	}
	if p.state != "" && p.state != job.State {
		if err := c.s.Service.SetJobState(c.r.Context(), job.PK, p.state); err != nil {
			return nil, err
		}
	}
	return c.job()
}

// jobPatch is what a PATCH of a job changes.
type jobPatch struct {
	state    provision.JobState // "": left as it is
	settings []nameValue
}

func parseJobPatch(body []byte) (*jobPatch, error) {
	members, err := parseMembers(body)
	if err != nil {
		return nil, err
	}
	for name := range members {
		if !slices.Contains(jobMembers, strings.ToLower(name)) && !strings.Contains(name, "@") {
			return nil, badRequest("'%s' is not a property of synchronizationJob: schedule.state and synchronizationJobSettings can be changed.", clip(name))
		}
	}
	var sent sentJob
	if err := decode(body, &sent); err != nil {
		return nil, err
	}
	p := jobPatch{settings: sent.Settings}
	if sent.Schedule != nil {
		p.state, err = sent.Schedule.changed()
	}
	return &p, err
}

// changed returns the state that a schedule sets; "" if it sets none. The rest must be as it is.
func (s *jobSchedule) changed() (provision.JobState, error) {
	if s.Interval != nil && !strings.EqualFold(*s.Interval, interval) {
		return "", badRequest("schedule.interval is '%s': it cannot be changed. Work begins as soon as something waits.", clip(*s.Interval))
	}
	if s.Expiration != nil {
		return "", badRequest("schedule.expiration is '%s': a job does not expire. Leave it out, or send null.", clip(*s.Expiration))
	}
	if s.State == nil {
		return "", nil
	}
	for _, state := range []provision.JobState{provision.JobActive, provision.JobPaused, provision.JobDisabled} {
		if strings.EqualFold(*s.State, string(state)) {
			return state, nil
		}
	}
	return "", badRequest("schedule.state is '%s': it is one of Active, Paused and Disabled.", clip(*s.State))
}
