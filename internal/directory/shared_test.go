package directory

import (
	"errors"
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
