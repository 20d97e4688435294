package directory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"zombiezen.com/go/sqlite"

	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// maxScan bounds how many users one call of Objects looks at.
const maxScan = 20_000

// Object implements provision.Objects.
func (d *Directory) Object(ctx context.Context, idOrUPN string) (o *provision.Object, err error) {
	where, arg := "upn = ?1", any(fold(idOrUPN))
	if id, err := uuid.Parse(idOrUPN); err == nil {
		where, arg = "id = ?1", id[:]
	}
	err = d.store.Read(ctx, func(c *sqlite.Conn) error {
		return sqlstore.Query(c, "SELECT "+columns+" FROM user WHERE "+where, []any{arg}, func(st *sqlite.Stmt) error {
			o, err = object(st)
			return err
		})
	})
	if err == nil && o == nil {
		err = fmt.Errorf("user %q: %w", idOrUPN, provision.ErrNotFound)
	}
	return o, err
}

// Objects implements provision.Objects.
func (d *Directory) Objects(ctx context.Context, q provision.ObjectQuery) (page provision.ObjectPage, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	text, args := selection(q, "SELECT "+columns+" FROM user")
	seen := 0
	err = d.store.Read(ctx, func(c *sqlite.Conn) error {
		c.SetInterrupt(ctx.Done())
		return stop(sqlstore.Query(c, text+" ORDER BY pk", args, func(st *sqlite.Stmt) error {
			if len(page.Objects) == q.Limit || seen == maxScan {
				page.More = true
				return errStop
			}
			seen++
			o, err := object(st)
			if err != nil {
				return err
			}
			page.Next = st.ColumnInt64(4)
			if q.Match == nil || q.Match(o) {
				page.Objects = append(page.Objects, *o)
			}
			return nil
		}))
	})
	return page, err
}

// CountObjects implements provision.Objects.
func (d *Directory) CountObjects(ctx context.Context, q provision.ObjectQuery) (n int64, err error) {
	q.After = 0
	if q.Match == nil {
		text, args := selection(q, "SELECT count(*) FROM user")
		err = d.store.Read(ctx, func(c *sqlite.Conn) error {
			return sqlstore.Query(c, text, args, func(st *sqlite.Stmt) error { n = st.ColumnInt64(0); return nil })
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

// selection adds to text the conditions that the columns can answer; Equal on other attributes is ignored.
func selection(q provision.ObjectQuery, text string) (string, []any) {
	where, args := []string{"pk > ?1"}, []any{q.After}
	for _, attribute := range slices.Sorted(maps.Keys(q.Equal)) {
		value := q.Equal[attribute]
		column, ok := found[attribute]
		if ok {
			args = append(args, fold(value))
			where = append(where, fmt.Sprintf("%s = ?%d", column, len(args)))
		}
	}
	return text + " WHERE " + strings.Join(where, " AND "), args
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
