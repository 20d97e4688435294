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
	standard, err := c.defaultTemplate(app)
	if err != nil {
		return err
	}
	value := []object{}
	for _, id := range mapping.Templates() {
		value = append(value, templateObject(app.App, standard, id))
	}
	return c.collection(app.context+"/synchronization/templates", value, "", nil)
}

func (c *call) getTemplate() error {
	app, id, err := c.template()
	if err != nil {
		return err
	}
	standard, err := c.defaultTemplate(app)
	if err != nil {
		return err
	}
	s, _ := mapping.Template(id)
	o := append(templateObject(app.App, standard, id), member{"schema", json.RawMessage(syncschema.Marshal(s))})
	return c.entity(app.context+"/synchronization/templates/$entity", o)
}

// defaultTemplate is the one that the app's first job was made of; without a job, that of the gallery's app, or the first there is.
func (c *call) defaultTemplate(a *application) (string, error) {
	jobs, err := c.jobsOf(a.App)
	if err != nil || len(jobs) == 0 {
		return orDefault(jobTemplateOf(a.client), mapping.Templates()[0]), err
	}
	return jobs[0].TemplateID, nil
}

// keyValue is an entry of Graph's metadata, and of counts.
type keyValue struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// templateObject is a synchronizationTemplate; standard is the app's default.
func templateObject(a *provision.App, standard, id string) object {
	agent := "False"
	if id == "API2AD" { // people go to a directory behind an agent
		agent = "True"
	}
	return object{
		{"id", id},
		{"applicationId", a.ApplicationID.String()},
		{"default", id == standard},
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
