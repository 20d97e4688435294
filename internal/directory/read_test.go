package directory

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/provision"
)

func creation(name string, more map[string]expr.Value) provision.Change {
	c := provision.Change{Create: true, ID: uuid.NewString(), Set: []provision.Assignment{
		{Attribute: "userPrincipalName", Value: expr.Text(name + "@acme.example")}, {Attribute: "displayName", Value: expr.Text(name)}}}
	for a, v := range more {
		c.Set = append(c.Set, provision.Assignment{Attribute: a, Value: v})
	}
	return c
}

// populate makes n users, u0 to u<n-1>; every third has employeeId E<i%2> and the manager u0.
func populate(t *testing.T, target provision.Target, n int) (ids []string) {
	t.Helper()
	var changes []provision.Change
	for i := range n {
		more := map[string]expr.Value{"mail": expr.Text(fmt.Sprintf("M%d@acme.example", i))}
		if i%3 == 1 {
			more["employeeId"], more["manager"] = expr.Text(fmt.Sprint("E", i%2)), expr.Text(ids[0])
		}
		c := creation(fmt.Sprint("u", i), more)
		changes, ids = append(changes, c), append(ids, c.ID)
	}
	rs, err := target.Apply(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return ids
}

func TestObject(t *testing.T) {
	d, target := open(t)
	ids := populate(t, target, 3)
	for _, key := range []string{ids[1], strings.ToUpper(ids[1]), "u1@acme.example", "U1@ACME.example"} {
		if o, err := d.Object(t.Context(), key); err != nil || o.ID != ids[1] {
			t.Errorf("%s: %+v, %v", key, o, err)
		}
	}
	for _, key := range []string{"", uuid.NewString(), "u9@acme.example", "u1"} {
		if _, err := d.Object(t.Context(), key); !errors.Is(err, provision.ErrNotFound) {
			t.Errorf("%q: %v, want ErrNotFound", key, err)
		}
	}
}

func TestObjects(t *testing.T) {
	d, target := open(t)
	ids := populate(t, target, 20)
	is := func(name string) func(*provision.Object) bool {
		return func(o *provision.Object) bool { return o.Attributes["displayName"].String() == name }
	}
	for _, test := range []struct {
		name string
		q    provision.ObjectQuery
		want []int
	}{
		{"all", provision.ObjectQuery{}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}},
		{"mail", provision.ObjectQuery{Equal: map[string]string{"mail": "m7@ACME.example"}}, []int{7}},
		{"userPrincipalName", provision.ObjectQuery{Equal: map[string]string{"userPrincipalName": "U3@acme.example"}}, []int{3}},
		{"employeeId", provision.ObjectQuery{Equal: map[string]string{"employeeId": "e0"}}, []int{4, 10, 16}},
		{"no column", provision.ObjectQuery{Equal: map[string]string{"manager": ids[0]}, Match: func(o *provision.Object) bool {
			return o.Attributes["manager"].String() == ids[0]
		}}, []int{1, 4, 7, 10, 13, 16, 19}},
		{"two", provision.ObjectQuery{Equal: map[string]string{"employeeId": "E1", "displayName": "U13"}}, []int{13}},
		{"two that exclude each other", provision.ObjectQuery{Equal: map[string]string{"employeeId": "E0", "displayName": "u13"}}, nil},
		{"empty value", provision.ObjectQuery{Equal: map[string]string{"employeeId": ""}}, nil},
		{"match", provision.ObjectQuery{Match: is("u5")}, []int{5}},
		{"equal and match", provision.ObjectQuery{Equal: map[string]string{"employeeId": "e0"}, Match: is("u5")}, nil},
	} {
		for _, limit := range []int{1, 3, 20, 100} {
			q := test.q
			q.Limit = limit
			var got []string
			for more := true; more; {
				page, err := d.Objects(t.Context(), q)
				if err != nil || len(page.Objects) > limit {
					t.Fatalf("%s: %d objects, limit %d: %v", test.name, len(page.Objects), limit, err)
				}
				for _, o := range page.Objects {
					got = append(got, o.ID)
				}
				q.After, more = page.Next, page.More
			}
			var want []string
			for _, i := range test.want {
				want = append(want, ids[i])
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, limit %d: %v, want %v", test.name, limit, got, want)
			}
			q.After = 1 << 40
			if n, err := d.CountObjects(t.Context(), q); err != nil || n != int64(len(want)) {
				t.Errorf("%s: count is %d, %v, want %d", test.name, n, err, len(want))
			}
		}
	}
}
