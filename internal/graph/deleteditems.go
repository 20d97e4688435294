package graph

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"induct/internal/provision"
)

// deletedItemsRoutes are those of users in deleted items.
func deletedItemsRoutes() []route {
	const items, users = "/directory/deletedItems", "/" + namespace + "user"
	return []route{
		{items + users, get((*call).listDeletedUsers, mayReadUsers)},
		{items + users + "/$count", get((*call).countDeletedUsers, mayReadUsers)},
		{items + "/{id}" + users, get((*call).getDeletedUser, mayReadUsers)},
		{items + "/{id}", map[string]endpoint{
			"GET":    {(*call).getDeletedItem, mayReadUsers},
			"DELETE": {(*call).deleteForever, mayDeleteUsers},
		}},
		{items + "/{id}/restore", post((*call).restoreItem, mayDeleteUsers)},
	}
}

// deletedUsers are the users in deleted items, to be read as live ones are.
type deletedUsers struct{ Service }

func (d deletedUsers) Object(ctx context.Context, id string) (*provision.Object, error) {
	return d.DeletedObject(ctx, id)
}

func (d deletedUsers) Objects(ctx context.Context, q provision.ObjectQuery) (provision.ObjectPage, error) {
	q.Deleted = true
	return d.Service.Objects(ctx, q)
}

func (d deletedUsers) CountObjects(ctx context.Context, q provision.ObjectQuery) (int64, error) {
	q.Deleted = true
	return d.Service.CountObjects(ctx, q)
}

// listDeletedUsers lists deleted items of one type (directory: deletedItems list).
func (c *call) listDeletedUsers() error {
	return c.listUsersIn(c.allDeletedUsers())
}

func (c *call) countDeletedUsers() error { return c.countUsersIn(c.allDeletedUsers()) }

func (c *call) allDeletedUsers() userSet {
	return userSet{in: deletedUsers{c.s.Service}, name: "deletedItems", orders: []string{"deletedDateTime", "displayName", "userPrincipalName", "createdDateTime"}}
}

// deletedItem returns the user in deleted items that the path names.
func (c *call) deletedItem() (*provision.Object, error) {
	id, err := c.param("{id}")
	if err != nil {
		return nil, err
	}
	u, err := c.s.Service.DeletedObject(c.r.Context(), id)
	return u, missingUser(err, id)
}

// missingUser is err, or, for ErrNotFound, the answer that names the object.
func missingUser(err error, id string) error {
	if isNotFound(err) {
		return objectNotFound(id)
	}
	return err
}

// getDeletedItem answers with a deleted item as a directoryObject that says its type.
func (c *call) getDeletedItem() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	u, err := c.deletedItem()
	if err != nil {
		return err
	}
	return c.directoryObject(u, o.Select)
}

func (c *call) getDeletedUser() error {
	o, err := c.options()
	if err != nil {
		return err
	}
	u, err := c.deletedItem()
	if err != nil {
		return err
	}
	return c.entity("users"+userSelection(o.Select)+"/$entity", userObject(u, o.Select))
}

// directoryObject answers with a user where Graph's answer could be an object of another type.
func (c *call) directoryObject(u *provision.Object, selected []string) error {
	return c.entity("directoryObjects/$entity", directoryUser(u, selected))
}

// deleteUser moves a user to deleted items (user: delete).
func (c *call) deleteUser() error {
	u, err := c.user()
	if err != nil {
		return err
	}
	if err := c.mayChange(u.ID); err != nil {
		return err
	}
	if err := c.s.Service.Delete(c.r.Context(), u.ID); err != nil {
		return missingUser(err, u.ID)
	}
	return c.none(http.StatusNoContent)
}

// deleteForever removes a deleted item for good (directory: deletedItems delete).
func (c *call) deleteForever() error {
	id, err := c.param("{id}")
	if err != nil {
		return err
	}
	if err := c.s.Service.DeleteForever(c.r.Context(), id); err != nil {
		return missingUser(err, id)
	}
	return c.none(http.StatusNoContent)
}

// restoration is the body of a restore, which may be left out. autoReconcileProxyConflict is not read: only
// userPrincipalName is unique here, so there is nothing to reconcile.
type restoration struct {
	NewUserPrincipalName string `json:"newUserPrincipalName"`
}

// restoreItem makes a deleted item live again (directory: deletedItems restore).
func (c *call) restoreItem() error {
	id, err := c.param("{id}")
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	var r restoration
	if len(bytes.TrimSpace(body)) > 0 {
		if err := decode(body, &r); err != nil {
			return err
		}
	}
	u, err := c.s.Service.Restore(c.r.Context(), id, strings.TrimSpace(r.NewUserPrincipalName))
	if err != nil {
		return missingUser(refusedWrite(err), id)
	}
	return c.directoryObject(u, nil)
}
