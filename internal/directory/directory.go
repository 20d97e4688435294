// Package directory is the built-in cloud directory: users whose attributes have the names that provisioning
// mappings use (telephoneNumber, not businessPhones). It is a provision.Target inside the engine's
// transaction, so that an account, its log entry and the queue's position are one commit.
package directory

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"zombiezen.com/go/sqlite"

	"induct/internal/expr"
	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// Directory is the users of the tenant. It is safe for concurrent use.
type Directory struct{ store *sqlstore.Store }

// New returns the directory whose tables are in store.
func New(store *sqlstore.Store) *Directory { return &Directory{store: store} }

// In implements provision.Colocated. u must be of the store that the directory was made with.
func (d *Directory) In(u provision.Unit) provision.Target { return target{u.(*sqlstore.Unit)} }

const columns = "id, version, created, content, pk"

// found are the attributes that a user can be found by, with their columns.
var found = map[string]string{
	"userPrincipalName": "upn",
	"employeeId":        "employee",
	"mail":              "mail",
	"displayName":       "name",
}

// fold returns s such that two texts are equal in any case (strings.EqualFold) if they are equal folded.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		if 'A' <= least && least <= 'Z' {
			return least + 'a' - 'A'
		}
		return least
	}, s)
}

type target struct{ u *sqlstore.Unit }

// Find implements provision.Target.
func (t target) Find(_ context.Context, queries []provision.Query) ([]provision.Found, error) {
	answers := make([]provision.Found, len(queries))
	for i, q := range queries {
		var err error
		if q.ID != "" {
			answers[i], err = t.byID(q)
		} else {
			answers[i], err = t.byAttribute(q)
		}
		if err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func (t target) byID(q provision.Query) (f provision.Found, err error) {
	id, err := uuid.Parse(q.ID)
	if err != nil {
		return f, nil
	}
	if q.Version != 0 {
		err := sqlstore.Query(t.u.Conn(), "SELECT version FROM user WHERE id = ?1", []any{id[:]}, func(st *sqlite.Stmt) error {
			f.Same = st.ColumnInt64(0) == q.Version
			return nil
		})
		if err != nil || f.Same {
			return f, err
		}
	}
	err = sqlstore.Query(t.u.Conn(), "SELECT "+columns+" FROM user WHERE id = ?1", []any{id[:]}, func(st *sqlite.Stmt) error {
		f.Object, err = object(st)
		return err
	})
	return f, err
}

// byAttribute looks through the column of an indexed attribute; others are compared user by user.
func (t target) byAttribute(q provision.Query) (f provision.Found, err error) {
	text, args := "SELECT "+columns+" FROM user", []any(nil)
	column, indexed := found[q.Attribute]
	if indexed {
		text, args = text+" WHERE "+column+" = ?1 LIMIT 10", []any{fold(q.Value)}
	}
	var ids []string
	err = sqlstore.Query(t.u.Conn(), text, args, func(st *sqlite.Stmt) error {
		o, err := object(st)
		if err != nil {
			return err
		}
		if v := o.Attributes[q.Attribute]; !indexed && (v.IsNull() || !strings.EqualFold(v.String(), q.Value)) {
			return nil
		}
		f.Object = o
		ids = append(ids, o.ID)
		return nil
	})
	if len(ids) > 1 {
		f = provision.Found{Ambiguous: ids}
	}
	return f, err
}

// Apply implements provision.Target.
func (t target) Apply(_ context.Context, changes []provision.Change) ([]provision.Result, error) {
	results := make([]provision.Result, len(changes))
	for i := range changes {
		var err error
		if changes[i].Create {
			results[i], err = t.create(&changes[i])
		} else {
			results[i], err = t.update(&changes[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

func (t target) create(c *provision.Change) (provision.Result, error) {
	o := &provision.Object{ID: c.ID, Version: 1, Created: t.u.Now(), Attributes: map[string]expr.Value{}}
	return t.write(o, c.Set, `INSERT INTO user (id, version, created, upn, employee, mail, name, content)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING`)
}

func (t target) update(c *provision.Change) (provision.Result, error) {
	f, err := t.byID(provision.Query{ID: c.ID})
	if err != nil {
		return provision.Result{}, err
	}
	o := f.Object
	if o == nil {
		return refused("InvalidAnchor", "", "the account that this person was linked to is gone", "Send the person again: a new account is then made or matched."), nil
	}
	if o.Version != c.Version {
		return refused("Conflict", "", "the account was changed by somebody else in the meantime", "Send the person again."), nil
	}
	o.Version++
	return t.write(o, c.Set, `UPDATE OR IGNORE user SET version = ?2, created = ?3, upn = ?4, employee = ?5, mail = ?6, name = ?7, content = ?8 WHERE id = ?1`)
}

// write checks the assignments, applies them to o, and runs the statement, which does nothing if another user
// has the userPrincipalName.
func (t target) write(o *provision.Object, set []provision.Assignment, statement string) (provision.Result, error) {
	for _, a := range set {
		v, problem := check(a)
		if problem != nil {
			return provision.Result{Err: problem}, nil
		}
		if v.IsEmpty() {
			delete(o.Attributes, a.Attribute)
		} else {
			o.Attributes[a.Attribute] = v
		}
	}
	if problem := complete(o); problem != nil {
		return provision.Result{Err: problem}, nil
	}
	id, err := uuid.Parse(o.ID)
	if err != nil {
		return provision.Result{}, fmt.Errorf("object id %q: %w", o.ID, err)
	}
	text := func(attribute string) any {
		if v := o.Attributes[attribute]; !v.IsEmpty() {
			return fold(v.String())
		}
		return nil
	}
	c := t.u.Conn()
	err = sqlstore.Query(c, statement, []any{id[:], o.Version, o.Created.UnixMicro(), text("userPrincipalName"), text("employeeId"),
		text("mail"), text("displayName"), encode(o.Attributes)}, nil)
	if err != nil {
		return provision.Result{}, fmt.Errorf("write user %s: %w", o.ID, err)
	}
	upn := o.Attributes["userPrincipalName"].String()
	if c.Changes() == 0 {
		return refused("Conflict", "userPrincipalName", fmt.Sprintf("another account has the userPrincipalName '%s' already", upn),
			"Give this person another userName, or make the userPrincipalName mapping add something unique."), nil
	}
	return provision.Result{Version: o.Version, Name: upn}, nil
}

func refused(code, attribute, reason, advice string) provision.Result {
	return provision.Result{Err: &provision.TargetError{Code: code, Attribute: attribute, Reason: reason, Advice: advice}}
}

// object reads a row of columns.
func object(st *sqlite.Stmt) (*provision.Object, error) {
	var id uuid.UUID
	st.ColumnBytes(0, id[:])
	o := &provision.Object{ID: id.String(), Version: st.ColumnInt64(1), Created: time.UnixMicro(st.ColumnInt64(2)).UTC()}
	attributes, err := decode(sqlstore.Blob(st, 3))
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", o.ID, err)
	}
	o.Attributes = attributes
	return o, nil
}
