package graph

import (
	"errors"
	"net/http"

	"induct/internal/provision"
)

// Sizes of a page of connections, held changes and escrows.
const (
	usualPage = 100
	mostPage  = 1000
)

// getConnection answers with the link of a person, who is named by externalId or by the id of the account.
func (c *call) getConnection() error {
	job, id, err := c.connection()
	if err != nil {
		return err
	}
	return c.connectionEntity(job, id)
}

// connection returns the job and the id that the path names.
func (c *call) connection() (*provision.Job, string, error) {
	id, err := c.param("{connection}")
	if err != nil {
		return nil, "", err
	}
	job, err := c.job()
	return job, id, err
}

func (c *call) connectionEntity(job *provision.Job, id string) error {
	p, err := c.s.Service.Connection(c.r.Context(), job.PK, id)
	if isNotFound(err) || err == nil && p.ObjectID == "" {
		return notFound("object connection", id)
	}
	if err != nil {
		return err
	}
	return c.entity("objectConnection/$entity", connectionObject(p))
}

// connectionObject is an objectConnection.
func connectionObject(p *provision.Person) object {
	return object{
		{"objectId", p.Anchor},
		{"sourceAnchor", p.Anchor},
		{"targetAnchor", p.ObjectID},
		{"displayName", p.Name},
		{"objectTypeName", "user"},
	}
}

// listConnections lists all links of a job. The reference answers 400 here.
func (c *call) listConnections() error {
	job, err := c.job()
	if err != nil {
		return err
	}
	p, err := c.pageOf("objectConnections", job.ID)
	if err != nil {
		return err
	}
	people, err := c.s.Service.Connections(c.r.Context(), job.PK, p.after, p.size+1)
	if err != nil {
		return err
	}
	next := ""
	if len(people) > p.size {
		people = people[:p.size]
		next = p.next(people[p.size-1].Place)
	}
	return c.collection(c.jobContext(job)+"/objectConnections",
		objects(people, func(k *provision.KeptPerson) object { return connectionObject(&k.Person) }), next, nil)
}

// deleteConnection drops a link; 204 also if there is none.
func (c *call) deleteConnection() error {
	job, id, err := c.connection()
	if err != nil {
		return err
	}
	if err := c.s.Service.Disconnect(c.r.Context(), job.PK, id); err != nil && !isNotFound(err) {
		return err
	}
	return c.none(http.StatusNoContent)
}

// putConnection links a person to another account.
func (c *call) putConnection() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	var r struct {
		TargetAnchor string `json:"targetAnchor"`
	}
	if err := decode(body, &r); err != nil {
		return err
	}
	if r.TargetAnchor == "" {
		return badRequest(`The body has no targetAnchor: send {"targetAnchor": "…"} with the id of the account that the person is to be linked to.`)
	}
	job, anchor, err := c.connection()
	if err != nil {
		return err
	}
	err = c.s.Service.Relink(c.r.Context(), job.PK, anchor, r.TargetAnchor)
	switch {
	case isNotFound(err):
		return &problem{status: http.StatusNotFound, code: codeResourceNotFound,
			message: "Resource not found: there is no person with externalId '" + clip(anchor) + "' in this job, or no account '" + clip(r.TargetAnchor) + "' in the directory."}
	case errors.Is(err, provision.ErrTaken):
		return conflict("The account '" + clip(r.TargetAnchor) + "' is linked to another person of this job: GET …/objectConnections/" + clip(r.TargetAnchor) + " tells to whom.")
	case err != nil:
		return err
	}
	return c.connectionEntity(job, anchor)
}

// paging is a part of a list in the store's order.
type paging struct {
	c     *call
	size  int
	after int64
	scope [8]byte
}

// pageOf reads $top and $skiptoken of a list; parts tell it from other lists.
func (c *call) pageOf(parts ...string) (*paging, error) {
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	size, err := c.pageSize(o.Top, usualPage, mostPage)
	if err != nil {
		return nil, err
	}
	p := &paging{c: c, size: size, scope: cursorScope(parts...)}
	place, err := parseCursor(o.SkipToken, p.scope)
	p.after = place.after
	return p, err
}

// next is the link to what comes after a place.
func (p *paging) next(after int64) string { return p.c.nextLink(cursor{after: after}.token(p.scope)) }
