package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// DeletedObject implements provision.DeletedItems.
func (d *Directory) DeletedObject(ctx context.Context, id string) (o *provision.Object, err error) {
	if key, err := uuid.Parse(id); err == nil {
		if o, err = d.byID(ctx, key, true); err != nil || o != nil {
			return o, err
		}
	}
	return nil, notDeleted(id)
}

func notDeleted(id string) error { return fmt.Errorf("deleted user %q: %w", id, provision.ErrNotFound) }

// Delete implements provision.DeletedItems.
func (d *Directory) Delete(ctx context.Context, id string) error {
	return d.write(ctx, id, func(t *target, x *user) error {
		if x == nil || !x.Deleted.IsZero() {
			return fmt.Errorf("user %q: %w", id, provision.ErrNotFound)
		}
		return t.apply(ctx, provision.Change{Delete: true, ID: x.ID, Version: x.Version})
	})
}

// Restore implements provision.DeletedItems.
func (d *Directory) Restore(ctx context.Context, id, upn string) (o *provision.Object, err error) {
	err = d.write(ctx, id, func(t *target, x *user) error {
		if x == nil || x.Deleted.IsZero() {
			return notDeleted(id)
		}
		c := provision.Change{Restore: true, ID: x.ID, Version: x.Version}
		if upn != "" {
			c.Set = []provision.Assignment{{Attribute: "userPrincipalName", Value: expr.Text(upn)}}
		}
		if err := t.apply(ctx, c); err != nil {
			return err
		}
		x, err := t.user(x.uuid)
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

// DeleteForever implements provision.DeletedItems.
func (d *Directory) DeleteForever(ctx context.Context, id string) error {
	return d.write(ctx, id, func(t *target, x *user) error {
		if x == nil || x.Deleted.IsZero() {
			return notDeleted(id)
		}
		_, err := t.purge("pk = ?1", x.pk)
		return err
	})
}

// mostWrites is how often a change is attempted that other processes come before.
const mostWrites = 10

// write runs fn in a transaction of its own with the user that has the id, nil if there is none. It is run again if somebody else
// came first; ErrFenced if that does not come to an end.
func (d *Directory) write(ctx context.Context, id string, fn func(t *target, x *user) error) error {
	key, err := uuid.Parse(id)
	if err != nil {
		return fmt.Errorf("user %q: %w", id, provision.ErrNotFound)
	}
	for attempt := 1; ; attempt++ {
		err := d.store.Write(ctx, func(u *sqlstore.Unit) error {
			t := d.In(u).(*target)
			x, err := t.user(key)
			if err != nil {
				return err
			}
			return fn(t, x)
		})
		if !errors.Is(err, provision.ErrFenced) || attempt == mostWrites {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(time.Duration(attempt) * 5 * time.Millisecond)):
		}
	}
}

// apply carries out one change; its refusal is a *provision.TargetError.
func (t *target) apply(ctx context.Context, c provision.Change) error {
	results, err := t.Apply(ctx, []provision.Change{c})
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	return err
}

// purge removes the users for good that a condition on deleted ones selects, and returns how many they were. Deletion
// has taken them out of what users are found by. Who had one of them as manager keeps the id: nobody can have it again,
// and readers do not show a manager who is not there.
func (t *target) purge(condition string, args ...any) (n int, err error) {
	err = sqlstore.Query(t.u.Conn(), "DELETE FROM users WHERE deleted IS NOT NULL AND "+condition+" RETURNING id", args, func(st sqlstore.Row) error {
		var id uuid.UUID
		st.ColumnBytes(0, id[:])
		delete(t.seen, id.String())
		t.wroteVersion(id, 0)
		n++
		return nil
	})
	return n, err
}

const (
	purgeEvery  = 10 * time.Minute
	purgeAtOnce = 500 // users in one transaction, so that nobody waits long behind it
)

// Run purges what has been in deleted items for longer than Retention, now and then, until ctx ends.
func (d *Directory) Run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		switch n, err := d.purgeDue(ctx); {
		case err != nil && ctx.Err() == nil:
			log.Error("purge of deleted users; it is tried again", "error", err)
		case n > 0:
			log.Info("deleted users were purged", "users", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// purgeDue removes those who have been deleted for longer than Retention. It takes the writer only if there are any. Several
// processes may do it at once: each piece is a transaction, and who comes second finds nothing.
func (d *Directory) purgeDue(ctx context.Context) (purged int, err error) {
	if d.Retention == 0 {
		return 0, nil
	}
	until := d.store.Now().Add(-d.Retention).UnixMicro()
	due := false
	err = d.store.Read(ctx, func(c sqlstore.Conn) error {
		return sqlstore.Query(c, "SELECT 1 FROM users WHERE deleted <= ?1 LIMIT 1", []any{until}, func(sqlstore.Row) error { due = true; return nil })
	})
	for due && err == nil {
		var n int
		err = d.store.Write(ctx, func(u *sqlstore.Unit) (err error) {
			// Twice the condition: one of them may have been restored, and deleted anew, since it was selected.
			n, err = d.In(u).(*target).purge("deleted <= ?1 AND pk IN (SELECT pk FROM users WHERE deleted <= ?1 ORDER BY deleted LIMIT ?2)", until, purgeAtOnce)
			return err
		})
		if err == nil {
			purged += n
		}
		due = n == purgeAtOnce
	}
	return purged, err
}

var _ provision.DeletedItems = (*Directory)(nil)
