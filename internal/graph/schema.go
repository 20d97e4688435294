package graph

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"induct/internal/expr"
	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
	"induct/internal/provision"
)

// schemaOwner is what has a schema: a job, or a template of the service principal or application that the path names.
type schemaOwner struct {
	job     *provision.Job  // nil for a template
	schema  *mapping.Schema // under the owner's id
	context string          // of the owner, for @odata.context
}

// schemaOwner returns the owner that the path names.
func (c *call) schemaOwner() (*schemaOwner, error) {
	if _, ok := c.params["{template}"]; ok {
		app, id, err := c.template()
		if err != nil {
			return nil, err
		}
		s, _ := mapping.Template(id)
		return &schemaOwner{nil, s, app.context + "/synchronization/templates('" + id + "')"}, nil
	}
	job, err := c.job()
	if err != nil {
		return nil, err
	}
	if job.Schema == nil {
		return nil, notFound("schema of job", job.ID)
	}
	s := *job.Schema
	s.ID = job.ID
	return &schemaOwner{job, &s, c.jobContext(job)}, nil
}

// settings are those that the owner's schema is compiled with.
func (c *call) settings(job *provision.Job) mapping.Settings {
	set := mapping.Settings{DefaultDomain: c.s.Service.Tenant().DefaultDomain}
	if job != nil {
		set.DisableMissing = job.Settings.DisableMissing
	}
	return set
}

// getSchema answers with a synchronizationSchema, its directories inlined.
func (c *call) getSchema() error {
	o, err := c.schemaOwner()
	if err != nil {
		return err
	}
	return c.encoded(http.StatusOK, o.context+"/schema/$entity", syncschema.Marshal(o.schema))
}

// putSchema replaces the job's schema: what is left out is gone.
func (c *call) putSchema() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	s, err := syncschema.Parse(body)
	if err != nil {
		return err
	}
	return c.changeSchema(func(job *provision.Job) (*mapping.Schema, error) {
		takeEditedTexts(s, job.Schema, body)
		return s, nil
	})
}

// patchSchema replaces the top-level members that the body has.
func (c *call) patchSchema() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	return c.changeSchema(func(job *provision.Job) (*mapping.Schema, error) {
		next, err := syncschema.Patch(job.Schema, body)
		if err != nil {
			return nil, err
		}
		takeEditedTexts(next, job.Schema, body)
		if sameSchema(next, job.Schema) {
			return nil, nil // SDKs send a PATCH without members for an object in whose parts they saw no change
		}
		return next, nil
	})
}

// sameSchema reports whether two schemas are the same but for id and version.
func sameSchema(a, b *mapping.Schema) bool {
	named := *a
	named.ID, named.Version = b.ID, b.Version
	return bytes.Equal(syncschema.Marshal(&named), syncschema.Marshal(b))
}

// deleteSchema gives the job its template's schema again, "restore default mappings".
func (c *call) deleteSchema() error {
	return c.changeSchema(func(job *provision.Job) (*mapping.Schema, error) {
		s, ok := mapping.Template(job.TemplateID)
		if !ok {
			return nil, notFound("template", job.TemplateID)
		}
		return s, nil
	})
}

// changeSchema is editSchema, answered with 204.
func (c *call) changeSchema(change func(*provision.Job) (*mapping.Schema, error)) error {
	if err := c.editSchema(change); err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

// editSchema gives the job what change makes of its schema, nil for no change. change must not alter the schema that the
// job has.
func (c *call) editSchema(change func(*provision.Job) (*mapping.Schema, error)) error {
	unlock, err := c.lock(lockJobs)
	if err != nil {
		return err
	}
	defer unlock()
	job, err := c.job()
	if err != nil {
		return err
	}
	next, err := change(job)
	if err != nil || next == nil {
		return err
	}
	return c.s.Service.SetSchema(c.r.Context(), job.PK, next)
}

// jsonBody reads the body of a write; it must say that it is JSON.
func (c *call) jsonBody() ([]byte, error) {
	if err := c.jsonContent(); err != nil {
		return nil, err
	}
	return c.body()
}

// jsonContent checks the media type.
func (c *call) jsonContent() error {
	sent := c.r.Header.Get("Content-Type")
	if sent == "" {
		return badRequest("Write requests (excluding DELETE) must contain the Content-Type header declaration.")
	}
	media, _, _ := strings.Cut(sent, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media != "application/json" && media != "text/json" && !strings.HasSuffix(media, "+json") {
		return &problem{status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType",
			message: fmt.Sprintf("The Content-Type '%s' is not supported: send application/json.", clip(sent))}
	}
	return nil
}

// mostDetails bounds how many problems of a schema are listed.
const mostDetails = 100

// invalidSchema is the answer for a schema that cannot be read or cannot run: each problem is a detail.
func invalidSchema(e *mapping.SchemaError) *problem {
	p := badRequest("The schema cannot be used; nothing was changed.")
	for i := range e.Problems {
		q := &e.Problems[i]
		if i == mostDetails {
			p.details = append(p.details, errorDetail{"InvalidSchema", fmt.Sprintf("There are %d more problems.", len(e.Problems)-i), ""})
			break
		}
		p.details = append(p.details, errorDetail{"InvalidSchema", schemaSentence(q), q.Path})
	}
	if n := len(e.Problems); n == 1 {
		p.message = located(&e.Problems[0])
	} else if n > 1 {
		least := ""
		if e.Cut {
			least = "at least "
		}
		p.message = fmt.Sprintf("The schema has %s%d problems; nothing was changed. The first: %s", least, n, located(&e.Problems[0]))
	}
	return p
}

// located is a problem in one line that ends with its place.
func located(p *mapping.SchemaProblem) string {
	s := advised(p)
	if p.Path != "" {
		s += " (" + p.Path + ")"
	}
	return s
}

// advised is a problem with its advice and without its place.
func advised(p *mapping.SchemaProblem) string {
	s := capital(p.Message)
	if p.Name != "" {
		s = p.Name + ": " + p.Message
	}
	if p.Advice != "" {
		s += "; " + p.Advice
	}
	return s
}

// schemaSentence says what is wrong, and with an expression where in it.
func schemaSentence(p *mapping.SchemaProblem) string {
	if p.Expression == "" {
		return advised(p)
	}
	return advised(p) + "\n" + caret(p.Expression, p.Pos, p.End)
}

// caret draws the line of an expression that bytes from to end are in, and a caret below them.
func caret(expression string, from, end int) string {
	from = min(max(from, 0), len(expression))
	e := expr.Error{Pos: len([]rune(expression[:from])), Offset: from, End: min(max(end, from), len(expression))}
	return e.Caret(expression)
}

// directory returns the index of the directory with this id, -1 if there is none.
func directory(s *mapping.Schema, id string) int {
	return slices.IndexFunc(s.Directories, func(d mapping.Directory) bool { return strings.EqualFold(d.ID, id) })
}
