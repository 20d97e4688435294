package directory

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// maxScan bounds how many users one call of Objects looks at.
const maxScan = 20_000

// Object implements provision.Objects.
func (d *Directory) Object(ctx context.Context, idOrUPN string) (o *provision.Object, err error) {
	if id, err := uuid.Parse(idOrUPN); err == nil {
		o, err = d.byID(ctx, id, false)
		if err != nil || o != nil {
			return o, err
		}
	} else {
		page, err := d.Objects(ctx, provision.ObjectQuery{Equal: map[string]string{"userPrincipalName": idOrUPN}, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(page.Objects) == 1 {
			return &page.Objects[0], nil
		}
	}
	return nil, fmt.Errorf("user %q: %w", idOrUPN, provision.ErrNotFound)
}

// byID returns the user with this id, a live one or one in deleted items; nil if there is none.
func (d *Directory) byID(ctx context.Context, id uuid.UUID, deleted bool) (o *provision.Object, err error) {
	which := " AND deleted IS NULL"
	if deleted {
		which = " AND deleted IS NOT NULL"
	}
	err = d.store.Read(ctx, func(c sqlstore.Conn) error {
		return sqlstore.Query(c, "SELECT "+columns+" FROM users WHERE id = ?1"+which, []any{id[:]}, func(st sqlstore.Row) error {
			x, err := row(st)
			if err == nil {
				o = x.Object
			}
			return err
		})
	})
	return o, err
}

// Objects implements provision.Objects.
func (d *Directory) Objects(ctx context.Context, q provision.ObjectQuery) (page provision.ObjectPage, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	seen := 0
	take := func(st sqlstore.Row) error {
		if len(page.Objects) == q.Limit || seen == maxScan {
			page.More = true
			return errStop
		}
		seen++
		x, err := row(st)
		if err != nil {
			return err
		}
		page.Next = x.pk
		if x.matches(q) {
			page.Objects = append(page.Objects, *x.Object)
		}
		return nil
	}
	hash, narrow := narrowest(q)
	if q.Deleted || !narrow { // deleted users have no keys
		from := " FROM users WHERE deleted IS NULL AND pk > ?1 ORDER BY pk"
		if q.Deleted {
			from = " FROM users INDEXED BY user_deleted_order WHERE deleted IS NOT NULL AND pk > ?1 ORDER BY pk"
		}
		err = d.store.Read(ctx, func(c sqlstore.Conn) error {
			return sqlstore.Scan(c, "SELECT "+columns+from, []any{q.After}, take)
		})
		return page, stop(err)
	}
	err = d.store.ReadKeyed(ctx, []int64{hash}, func(c sqlstore.Conn, rows [][]int64) error {
		slices.Sort(rows[0])
		for _, pk := range rows[0] {
			if pk <= q.After {
				continue
			}
			// The keys may be older than the row, which may have gone to deleted items since.
			if err := sqlstore.Query(c, "SELECT "+columns+" FROM users WHERE pk = ?1 AND deleted IS NULL", []any{pk}, take); err != nil {
				return err
			}
		}
		return nil
	})
	return page, stop(err)
}

// matches reports whether q selects the user.
func (x *user) matches(q provision.ObjectQuery) bool {
	for attribute, value := range q.Equal {
		if slices.Contains(filed, attribute) && !x.has(attribute, value) {
			return false
		}
	}
	return q.Match == nil || q.Match(x.Object)
}

// narrowest returns the key of the filed attribute that q's users have and the fewest share.
func narrowest(q provision.ObjectQuery) (hash int64, ok bool) {
	for _, attribute := range filed {
		if value, asked := q.Equal[attribute]; asked {
			return key(attribute, value), true
		}
	}
	return 0, false
}

// count is how users are counted: deleted ones in their own index, live ones as all in the smallest index less these.
var count = map[bool]string{
	true:  "SELECT count(*) FROM users WHERE deleted IS NOT NULL",
	false: "SELECT (SELECT count(*) FROM users) - (SELECT count(*) FROM users WHERE deleted IS NOT NULL)",
}

// CountObjects implements provision.Objects.
func (d *Directory) CountObjects(ctx context.Context, q provision.ObjectQuery) (n int64, err error) {
	q.After = 0
	if _, narrow := narrowest(q); !narrow && q.Match == nil {
		err = d.store.Read(ctx, func(c sqlstore.Conn) error {
			return sqlstore.Query(c, count[q.Deleted], nil, func(st sqlstore.Row) error { n = st.ColumnInt64(0); return nil })
		})
		return n, err
	}
	q.Limit = maxScan
	for {
		page, err := d.Objects(ctx, q)
		if err != nil {
			return 0, err
		}
		n += int64(len(page.Objects))
		if !page.More {
			return n, nil
		}
		q.After = page.Next
	}
}

var errStop = fmt.Errorf("enough")

func stop(err error) error {
	if err == errStop {
		return nil
	}
	return err
}

var (
	_ provision.Objects   = (*Directory)(nil)
	_ provision.Colocated = (*Directory)(nil)
)
