package directory

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/provision"
	"induct/internal/sqlstore"
	"induct/internal/sqlstore/pgtest"
)

// Of two transactions that look for the same person at the same time, find nobody and make an account, one begins anew: by whatever
// filed attribute people are matched there is one account in the end.
func TestMatchedAtOnce(t *testing.T) {
	s, err := sqlstore.OpenPostgres(t.Context(), pgtest.Database(t), sqlstore.PostgresOptions{Connections: 6})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := New(s)
	for _, attribute := range filed {
		create := func(upn string, between func()) error {
			return s.Unit(t.Context(), provision.Fence{Free: true}, func(u provision.Unit) error {
				target := d.In(u)
				found, err := target.Find(t.Context(), []provision.Query{{Attribute: attribute, Value: "X." + attribute + "@Acme.example"}})
				if err != nil || found[0].Object != nil {
					return errors.Join(err, provision.ErrTaken)
				}
				between()
				set := []provision.Assignment{{Attribute: "userPrincipalName", Value: expr.Text(upn)}, {Attribute: "displayName", Value: expr.Text("D " + upn)}, {Attribute: "mailNickname", Value: expr.Text("n." + attribute + upn[len(attribute):len(attribute)+1])}, {Attribute: "accountEnabled", Value: expr.Bool(true)}}
				set = append(set, provision.Assignment{Attribute: attribute, Value: expr.Text("x." + attribute + "@acme.example")})
				results, err := target.Apply(t.Context(), []provision.Change{{Create: true, ID: uuid.NewString(), Set: set}})
				if err == nil && results[0].Err != nil {
					err = results[0].Err
				}
				return err
			})
		}
		err := create(attribute+"1@acme.example", func() {
			if err := create(attribute+"2@acme.example", func() {}); err != nil {
				t.Fatalf("%s: %v", attribute, err)
			}
		})
		if !errors.Is(err, provision.ErrFenced) {
			t.Errorf("two accounts are made with one %s: %v", attribute, err)
		}
		if err := create(attribute+"3@acme.example", func() {}); !errors.Is(err, provision.ErrTaken) {
			t.Errorf("%s: the account is not found: %v", attribute, err)
		}
	}
}

// Of many who make an account with one userPrincipalName, or delete one account, at the same time one does it, and the others hear why not.
func TestOrderedAtOnce(t *testing.T) {
	s, err := sqlstore.OpenPostgres(t.Context(), pgtest.Database(t), sqlstore.PostgresOptions{Connections: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := New(s)
	var id atomic.Value
	atOnce := func(what string, do func(i int) error, refused func(error) bool) {
		t.Helper()
		var done atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if err := do(i); err == nil {
					done.Add(1)
				} else if !refused(err) {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		all.Wait()
		if done.Load() != 1 {
			t.Errorf("%s: %d have done it", what, done.Load())
		}
	}
	atOnce("create", func(i int) error {
		o, err := d.CreateObject(t.Context(), []provision.Assignment{{Attribute: "userPrincipalName", Value: expr.Text("x@acme.example")}, {Attribute: "displayName", Value: expr.Text("X")},
			{Attribute: "mailNickname", Value: expr.Text(fmt.Sprint("x", i))}, {Attribute: "accountEnabled", Value: expr.Bool(true)}})
		if err == nil {
			id.Store(o.ID)
		}
		return err
	}, func(err error) bool {
		var refusal *provision.TargetError
		return errors.As(err, &refusal) && refusal.Code == "Conflict"
	})
	gone := func(err error) bool { return errors.Is(err, provision.ErrNotFound) }
	atOnce("delete", func(int) error { return d.Delete(t.Context(), id.Load().(string)) }, gone)
	atOnce("restore", func(int) error { _, err := d.Restore(t.Context(), id.Load().(string), ""); return err }, gone)
}
