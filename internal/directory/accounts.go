package directory

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// CreateObject implements provision.Accounts.
func (d *Directory) CreateObject(ctx context.Context, set []provision.Assignment) (*provision.Object, error) {
	return d.account(ctx, uuid.NewString(), func(*user) (provision.Change, error) {
		return provision.Change{Create: true, Set: set}, nil
	})
}

// UpdateObject implements provision.Accounts.
func (d *Directory) UpdateObject(ctx context.Context, id string, set []provision.Assignment) (*provision.Object, error) {
	return d.account(ctx, id, func(x *user) (provision.Change, error) {
		if x == nil || !x.Deleted.IsZero() {
			return provision.Change{}, fmt.Errorf("user %q: %w", id, provision.ErrNotFound)
		}
		return provision.Change{Version: x.Version, Set: set}, nil
	})
}

// account carries out one change of the user with the id in a transaction of its own, and returns the user after it.
func (d *Directory) account(ctx context.Context, id string, change func(x *user) (provision.Change, error)) (o *provision.Object, err error) {
	err = d.write(ctx, id, func(t *target, x *user) error {
		c, err := change(x)
		if err != nil {
			return err
		}
		c.ID = uuid.MustParse(id).String()
		if err := t.apply(ctx, c); err != nil {
			return err
		}
		x, err = t.user(uuid.MustParse(id))
		if err == nil {
			o = x.Object
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

var _ provision.Accounts = (*Directory)(nil)
