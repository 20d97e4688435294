package graph

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
	"induct/internal/provision"
	"induct/internal/scim"
)

func (c *call) listDirectories() error {
	o, err := c.schemaOwner()
	if err != nil {
		return err
	}
	value := make([]json.RawMessage, len(o.schema.Directories))
	for i := range o.schema.Directories {
		value[i] = syncschema.AppendDirectory(nil, &o.schema.Directories[i])
	}
	c.json(http.StatusOK, object{{"@odata.context", c.context(o.context + "/schema/directories")}, {"value", value}})
	return nil
}

func (c *call) getDirectory() error {
	o, d, err := c.directory()
	if err != nil {
		return err
	}
	return c.encoded(http.StatusOK, o.context+"/schema/directories/$entity", syncschema.AppendDirectory(nil, d))
}

// directory returns the directory that the path names, and its schema's owner.
func (c *call) directory() (*schemaOwner, *mapping.Directory, error) {
	id, err := c.param("{directory}")
	if err != nil {
		return nil, nil, err
	}
	o, err := c.schemaOwner()
	if err != nil {
		return nil, nil, err
	}
	i := directory(o.schema, id)
	if i < 0 {
		return nil, nil, notFound("directory", id)
	}
	return o, &o.schema.Directories[i], nil
}

// putDirectory replaces one directory of the job's schema; the path says which, whatever the body says.
func (c *call) putDirectory() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	return c.editDirectory(func(*mapping.Directory) (*mapping.Directory, error) { return syncschema.ParseDirectory(body) })
}

// patchDirectory replaces the top-level members of a directory that the body has.
func (c *call) patchDirectory() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	return c.editDirectory(func(d *mapping.Directory) (*mapping.Directory, error) {
		members, sent := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		if err := decode(body, &sent); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(syncschema.AppendDirectory(nil, d), &members); err != nil {
			return nil, err
		}
		for name, value := range sent {
			for own := range members {
				if strings.EqualFold(own, name) {
					name = own
				}
			}
			members[name] = value
		}
		merged, err := json.Marshal(members)
		if err != nil {
			return nil, err
		}
		return syncschema.ParseDirectory(merged)
	})
}

func (c *call) deleteDirectory() error {
	return c.editDirectory(func(*mapping.Directory) (*mapping.Directory, error) { return nil, nil })
}

// editDirectory puts what change makes of the directory that the path names in its place; nil removes it.
func (c *call) editDirectory(change func(*mapping.Directory) (*mapping.Directory, error)) error {
	id, err := c.param("{directory}")
	if err != nil {
		return err
	}
	return c.changeSchema(func(job *provision.Job) (*mapping.Schema, error) {
		i := directory(job.Schema, id)
		if i < 0 {
			return nil, notFound("directory", id)
		}
		d, err := change(&job.Schema.Directories[i])
		if err != nil {
			return nil, err
		}
		next := *job.Schema
		next.Directories = slices.Clone(next.Directories)
		if d == nil {
			next.Directories = slices.Delete(next.Directories, i, i+1)
			return &next, nil
		}
		d.ID = job.Schema.Directories[i].ID
		next.Directories[i] = *d
		return &next, nil
	})
}

// postDirectory adds a directory to the job's schema. Without an id it gets one.
func (c *call) postDirectory() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	d, err := syncschema.ParseDirectory(body)
	if err != nil {
		return err
	}
	if d.ID == "" {
		d.ID = uuid.NewString()
	}
	context := ""
	err = c.editSchema(func(job *provision.Job) (*mapping.Schema, error) {
		if directory(job.Schema, d.ID) >= 0 {
			return nil, &problem{status: http.StatusConflict, code: "Conflict", message: "There is a directory '" + clip(d.ID) + "' already: PUT it, or leave out the id."}
		}
		next := *job.Schema
		next.Directories = append(slices.Clone(next.Directories), *d)
		context = c.jobContext(job)
		return &next, nil
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.root()+"/"+context+"/schema/directories('"+strings.ReplaceAll(d.ID, "'", "''")+"')")
	return c.encoded(http.StatusCreated, context+"/schema/directories/$entity", syncschema.AppendDirectory(nil, d))
}

// mostDiscovered bounds how many attributes a discovery adds.
const mostDiscovered = 1000

// discover answers with a directory as it could be: of the source, with the attributes that were sent and that the
// schema does not know; of the target, with all attributes that it has. It is an offer: nothing is saved, so that
// nobody is re-evaluated for attributes that no mapping reads yet.
func (c *call) discover() error {
	o, d, err := c.directory()
	if err != nil {
		return err
	}
	offered := *d
	offered.Objects = slices.Clone(d.Objects)
	offered.DiscoveryDateTime = c.received.UTC().Format("2006-01-02T15:04:05Z")
	source := slices.ContainsFunc(o.schema.Rules, func(r mapping.Rule) bool { return r.SourceDirectoryName == d.Name })
	switch {
	case source && o.job != nil:
		unread, err := c.s.Service.UnreadPaths(c.r.Context(), o.job.PK)
		if err != nil {
			return err
		}
		if len(offered.Objects) > 0 {
			offered.Objects[0] = withSent(offered.Objects[0], unread)
		}
	case !source && o.job != nil:
		withBuiltIn(&offered, o.job.TemplateID)
		if err := c.withExtensions(&offered); err != nil {
			return err
		}
	}
	return c.encoded(http.StatusOK, o.context+"/schema/directories/$entity", syncschema.AppendDirectory(nil, &offered))
}

// withSent is an object with the paths that were sent as attributes, those that most records had first.
func withSent(o mapping.Object, unread []provision.PathCount) mapping.Object {
	unread = slices.Clone(unread)
	slices.SortStableFunc(unread, func(a, b provision.PathCount) int { return int(min(max(b.Records-a.Records, -1), 1)) })
	o.Attributes = slices.Clone(o.Attributes)
	for _, p := range unread[:min(len(unread), mostDiscovered)] {
		if _, err := scim.CompilePaths([]string{p.Path}); err == nil && !hasAttribute(&o, p.Path) {
			o.Attributes = append(o.Attributes, mapping.Attribute{Name: p.Path, Type: "String", Metadata: []mapping.KeyValue{{Key: "IsCustomerDefined", Value: "true"}}})
		}
	}
	return o
}

// withBuiltIn adds to a target what its template says that it has.
func withBuiltIn(d *mapping.Directory, template string) {
	s, ok := mapping.Template(template)
	if !ok {
		return
	}
	for i := range s.Directories {
		if !strings.EqualFold(s.Directories[i].Name, d.Name) {
			continue
		}
		for _, known := range s.Directories[i].Objects {
			at := slices.IndexFunc(d.Objects, func(o mapping.Object) bool { return o.Name == known.Name })
			if at < 0 {
				d.Objects = append(d.Objects, known)
				continue
			}
			o := &d.Objects[at]
			o.Attributes = slices.Clone(o.Attributes)
			for _, a := range known.Attributes {
				if !hasAttribute(o, a.Name) {
					o.Attributes = append(o.Attributes, a)
				}
			}
		}
	}
}

// withExtensions adds to the people of a target the extension properties that applications have registered. They are texts, as
// every extension attribute is here.
func (c *call) withExtensions(d *mapping.Directory) error {
	all, err := c.s.Apps.Clients(c.r.Context())
	if err != nil || len(d.Objects) == 0 {
		return err
	}
	o := &d.Objects[0]
	o.Attributes = slices.Clone(o.Attributes)
	for _, a := range all {
		for _, e := range extensionsOf(a) {
			if c.sees(a) && !hasAttribute(o, e.Name) && slices.ContainsFunc(e.Targets, func(t string) bool { return strings.EqualFold(t, "User") }) {
				o.Attributes = append(o.Attributes, mapping.Attribute{Name: e.Name, Type: "String", CaseExact: true, MaxLength: 256})
			}
		}
	}
	return nil
}

func hasAttribute(o *mapping.Object, name string) bool {
	return slices.ContainsFunc(o.Attributes, func(a mapping.Attribute) bool { return strings.EqualFold(a.Name, name) })
}
