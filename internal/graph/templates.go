package graph

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
	"induct/internal/provision"
)

// application is the provisioning app that the path names, by its service principal or its application.
type application struct {
	job     *provision.Job // its first; there is at least one
	context string
}

// application returns the app that the path names. An application object has no id of its own here: it is its appId.
func (c *call) application() (*application, error) {
	k, ok := c.params["{app}"]
	if !ok {
		jobs, err := c.servicePrincipalJobs()
		if err != nil {
			return nil, err
		}
		return &application{jobs[0], "servicePrincipals('" + jobs[0].ServicePrincipalID.String() + "')"}, nil
	}
	if k.property != "" && !strings.EqualFold(k.property, "id") && !strings.EqualFold(k.property, "appId") {
		return nil, badRequest("'%s' is not a key of applications.", clip(k.property))
	}
	jobs, err := c.s.Service.Jobs(c.r.Context())
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if strings.EqualFold(k.value, j.ApplicationID.String()) {
			return &application{j, "applications('" + j.ApplicationID.String() + "')"}, nil
		}
	}
	return nil, objectNotFound(k.value)
}

// template returns the app, and the id of the template, that the path names.
func (c *call) template() (*application, string, error) {
	id, err := c.param("{template}")
	if err != nil {
		return nil, "", err
	}
	app, err := c.application()
	if err != nil {
		return nil, "", err
	}
	i := slices.IndexFunc(mapping.Templates(), func(t string) bool { return strings.EqualFold(t, id) })
	if i < 0 {
		return nil, "", notFound("synchronization template", id)
	}
	return app, mapping.Templates()[i], nil
}

func (c *call) listTemplates() error {
	app, err := c.application()
	if err != nil {
		return err
	}
	value := []object{}
	for _, id := range mapping.Templates() {
		value = append(value, templateObject(app.job, id))
	}
	return c.collection(app.context+"/synchronization/templates", value, "", nil)
}

func (c *call) getTemplate() error {
	app, id, err := c.template()
	if err != nil {
		return err
	}
	s, _ := mapping.Template(id)
	o := append(templateObject(app.job, id), member{"schema", json.RawMessage(syncschema.Marshal(s))})
	return c.entity(app.context+"/synchronization/templates/$entity", o)
}

// templateObject is a synchronizationTemplate. The template that the app's job was made of is its default.
func templateObject(job *provision.Job, id string) object {
	agent := "False"
	if id == "API2AD" { // people go to a directory behind an agent
		agent = "True"
	}
	return object{
		{"id", id},
		{"applicationId", job.ApplicationID.String()},
		{"default", id == job.TemplateID},
		{"description", nil},
		{"discoverable", true},
		{"factoryTag", id},
		{"metadata", []keyValue{
			{"IsSynchronizationAgentAssignmentRequired", agent},
			{"IsSynchronizationAgentRequired", agent},
			{"IsOAuthEnabled", "False"},
			{"IsSynchronizationInPreview", "False"},
		}},
	}
}

// keepTemplate answers writes to a template: it belongs to the program, and a job's own schema is what can be changed.
func (c *call) keepTemplate() error {
	if _, _, err := c.template(); err != nil {
		return err
	}
	return notSupported("The templates are built in and cannot be changed. Change the schema of a job: PUT …/synchronization/jobs/{id}/schema.")
}

// restoreTemplate answers the DELETE of a template's schema: it is the default, as ever.
func (c *call) restoreTemplate() error {
	if _, _, err := c.template(); err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}
