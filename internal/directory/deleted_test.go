package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"induct/internal/expr"
	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
	"induct/internal/sqlstore"
)

// made creates users and returns their ids.
func made(t *testing.T, target provision.Target, names ...string) (ids []string) {
	t.Helper()
	var changes []provision.Change
	for _, name := range names {
		c := creation(name, map[string]expr.Value{"employeeId": expr.Text("E-" + name)})
		changes, ids = append(changes, c), append(ids, c.ID)
	}
	carriedOut(t, target, changes...)
	return ids
}

func carriedOut(t *testing.T, target provision.Target, changes ...provision.Change) []provision.Result {
	t.Helper()
	rs, err := target.Apply(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		if r.Err != nil {
			t.Fatalf("%+v: %v", changes[i], r.Err)
		}
	}
	return rs
}

// version returns an object's version as a batch sees it.
func version(t *testing.T, target provision.Target, id string) int64 {
	t.Helper()
	found, err := target.Find(t.Context(), []provision.Query{{ID: id}})
	if err != nil || found[0].Object == nil {
		t.Fatalf("find %s: %+v, %v", id, found, err)
	}
	return found[0].Object.Version
}

func TestAdministratorsWrites(t *testing.T) {
	d, target := open(t)
	ids := made(t, target, "ada", "bo")
	ada, ctx := ids[0], t.Context()
	before := version(t, target, ada)
	for _, id := range []string{uuid.NewString(), "ada@acme.example", ""} {
		_, restored := d.Restore(ctx, id, "")
		_, read := d.DeletedObject(ctx, id)
		for what, err := range map[string]error{"delete": d.Delete(ctx, id), "restore": restored, "purge": d.DeleteForever(ctx, id), "read": read} {
			if !errors.Is(err, provision.ErrNotFound) {
				t.Errorf("%s %q: %v, want ErrNotFound", what, id, err)
			}
		}
	}
	if _, err := d.Restore(ctx, ada, ""); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("restore of a live user: %v", err)
	}
	if err := d.DeleteForever(ctx, ada); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("purge of a live user: %v", err)
	}
	if _, err := d.DeletedObject(ctx, ada); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("a live user as a deleted one: %v", err)
	}

	if err := d.Delete(ctx, strings.ToUpper(ada)); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(ctx, ada); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("deleted once more: %v", err)
	}
	for _, key := range []string{ada, "ada@acme.example"} {
		if _, err := d.Object(ctx, key); !errors.Is(err, provision.ErrNotFound) {
			t.Errorf("%s as a live user: %v", key, err)
		}
	}
	o, err := d.DeletedObject(ctx, ada)
	if err != nil || o.Deleted.IsZero() || o.Attributes["employeeId"].String() != "E-ada" || o.Version <= before {
		t.Fatalf("%+v, %v", o, err)
	}
	if found, err := target.Find(ctx, []provision.Query{{ID: ada, Version: before}}); err != nil || found[0].Same || found[0].Object == nil || found[0].Object.Deleted.IsZero() {
		t.Errorf("a batch does not see that an administrator has deleted: %+v, %v", found, err)
	}

	heir := made(t, target, "ADA")[0]
	var refusal *provision.TargetError
	if _, err := d.Restore(ctx, ada, ""); !errors.As(err, &refusal) || refusal.Code != "Conflict" || refusal.Attribute != "userPrincipalName" {
		t.Errorf("restore into a conflict: %v", err)
	}
	if _, err := d.Restore(ctx, ada, "no name"); !errors.As(err, &refusal) || refusal.Code != "AzureActiveDirectoryInvalidUserPrincipalName" {
		t.Errorf("restore under a bad name: %v", err)
	}
	if still, err := d.DeletedObject(ctx, ada); err != nil || still.Version != o.Version {
		t.Errorf("after refusals: %+v, %v", still, err)
	}
	restored, err := d.Restore(ctx, ada, "ada2@acme.example")
	if err != nil || !restored.Deleted.IsZero() || restored.Version <= o.Version {
		t.Fatalf("%+v, %v", restored, err)
	}
	if now, err := d.Object(ctx, "ADA2@acme.example"); err != nil || now.ID != ada || now.Version != restored.Version {
		t.Errorf("restored: %+v, %v", now, err)
	}
	if now, err := d.Object(ctx, "ada@acme.example"); err != nil || now.ID != heir {
		t.Errorf("the heir: %+v, %v", now, err)
	}
	if found, err := target.Find(ctx, []provision.Query{{ID: ada, Version: restored.Version}}); err != nil || !found[0].Same {
		t.Errorf("a batch does not see that an administrator has restored: %+v, %v", found, err)
	}

	if err := d.Delete(ctx, ada); err != nil {
		t.Fatal(err)
	}
	gone := version(t, target, ada)
	if err := d.DeleteForever(ctx, ada); err != nil {
		t.Fatal(err)
	}
	if _, err := d.DeletedObject(ctx, ada); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("purged: %v", err)
	}
	if found, err := target.Find(ctx, []provision.Query{{ID: ada, Version: gone}, {ID: ada}}); err != nil || found[0].Same || found[0].Object != nil || found[1].Object != nil {
		t.Errorf("a batch finds a purged user: %+v, %v", found, err)
	}
	if rs, err := target.Apply(ctx, []provision.Change{{Restore: true, ID: ada, Version: gone}}); err != nil || rs[0].Err == nil || rs[0].Err.Code != "InvalidAnchor" {
		t.Errorf("restore of a purged user: %+v, %v", rs, err)
	}
}

// A purge takes no live user, whatever its condition says, and is seen in its own transaction.
func TestPurgeTakesTheDeletedOnly(t *testing.T) {
	d, all := open(t)
	ids := made(t, all, "ada", "bo")
	if err := d.Delete(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if err := d.write(t.Context(), ids[0], func(in *target, x *user) error {
		if n, err := in.purge("pk > ?1", 0); n != 1 || err != nil {
			t.Errorf("%d purged, %v", n, err)
		}
		if again, err := in.user(x.uuid); again != nil || err != nil {
			t.Errorf("found in the same transaction: %+v, %v", again, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Object(t.Context(), ids[1]); err != nil {
		t.Errorf("a live user: %v", err)
	}
}

func TestListsOfDeletedUsers(t *testing.T) {
	d, target := open(t)
	ids := populate(t, target, 20)
	for i, id := range ids {
		if i%2 == 1 {
			if err := d.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	named := func(prefix string) func(*provision.Object) bool {
		return func(o *provision.Object) bool { return strings.HasPrefix(o.Attributes["displayName"].String(), prefix) }
	}
	for _, test := range []struct {
		q    provision.ObjectQuery
		want []int
	}{
		{provision.ObjectQuery{}, []int{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}},
		{provision.ObjectQuery{Deleted: true}, []int{1, 3, 5, 7, 9, 11, 13, 15, 17, 19}},
		{provision.ObjectQuery{Deleted: true, Equal: map[string]string{"employeeId": "e1"}}, []int{1, 7, 13, 19}},
		{provision.ObjectQuery{Equal: map[string]string{"employeeId": "e1"}}, nil},
		{provision.ObjectQuery{Deleted: true, Equal: map[string]string{"userPrincipalName": "U7@acme.example"}}, []int{7}},
		{provision.ObjectQuery{Equal: map[string]string{"userPrincipalName": "U7@acme.example"}}, nil},
		{provision.ObjectQuery{Deleted: true, Match: named("u1")}, []int{1, 11, 13, 15, 17, 19}},
		{provision.ObjectQuery{Match: named("u1")}, []int{10, 12, 14, 16, 18}},
	} {
		for _, limit := range []int{1, 3, 100} {
			q, got, want := test.q, []string(nil), []string(nil)
			q.Limit = limit
			for more := true; more; {
				page, err := d.Objects(t.Context(), q)
				if err != nil || len(page.Objects) > limit {
					t.Fatalf("%d objects, %v", len(page.Objects), err)
				}
				for _, o := range page.Objects {
					if got = append(got, o.ID); o.Deleted.IsZero() == q.Deleted {
						t.Errorf("%+v: found %+v", q, o)
					}
				}
				q.After, more = page.Next, page.More
			}
			for _, i := range test.want {
				want = append(want, ids[i])
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %v, want %v", q, got, want)
			}
			if n, err := d.CountObjects(t.Context(), q); err != nil || n != int64(len(want)) {
				t.Errorf("%+v: count is %d, %v, want %d", q, n, err, len(want))
			}
		}
	}
}

// clocked returns a directory whose clock stands at now.
func clocked(t *testing.T, now *time.Time) (*Directory, provision.Target) {
	t.Helper()
	return openWith(t, t.TempDir(), sqlstore.Options{ReserveBytes: -1, Now: func() time.Time { return *now }})
}

func TestPurge(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d, target := clocked(t, &now)
	const n = purgeAtOnce + 20
	var names []string
	for i := range n + 2 {
		names = append(names, fmt.Sprint("u", i))
	}
	ids := made(t, target, names...)
	var deletions []provision.Change
	for _, id := range ids[:n] {
		deletions = append(deletions, provision.Change{Delete: true, ID: id, Version: 1})
	}
	deletions = append(deletions, provision.Change{ID: ids[n], Version: 1, Set: []provision.Assignment{{Attribute: "manager", Value: expr.Text(ids[0])}}})
	carriedOut(t, target, deletions...)
	purge := func(want int) {
		t.Helper()
		if got, err := d.purgeDue(t.Context()); err != nil || got != want {
			t.Fatalf("%d purged, %v, want %d", got, err, want)
		}
	}
	now = now.Add(d.Retention - time.Second)
	purge(0)
	if err := d.Delete(t.Context(), ids[n+1]); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	purge(n)
	purge(0)
	if _, err := d.DeletedObject(t.Context(), ids[0]); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("purged: %v", err)
	}
	if o, err := d.DeletedObject(t.Context(), ids[n+1]); err != nil || !o.Deleted.Equal(now.Add(-time.Second)) {
		t.Errorf("deleted later: %+v, %v", o, err)
	}
	for q, want := range map[*provision.ObjectQuery]int64{{}: 1, {Deleted: true}: 1} {
		if got, err := d.CountObjects(t.Context(), *q); err != nil || got != want {
			t.Errorf("%+v: %d, %v, want %d", q, got, err, want)
		}
	}
	heir := made(t, target, "u0")[0] // names of purged users can be given again, also on their rows
	if o, err := d.Object(t.Context(), "u0@acme.example"); err != nil || o.ID != heir {
		t.Errorf("%+v, %v", o, err)
	}
	now = now.Add(d.Retention)
	purge(1)
}

func TestRunPurges(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d, target := clocked(t, &now)
	id := made(t, target, "ada")[0]
	if err := d.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	d.Retention = time.Second
	now = now.Add(time.Minute)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { d.Run(ctx, slog.New(slog.DiscardHandler)); close(ran) }()
	for gone := false; !gone; {
		_, err := d.DeletedObject(t.Context(), id)
		if gone = errors.Is(err, provision.ErrNotFound); err != nil && !gone {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	<-ran
}

// The directory does what the in-memory target does, whoever deletes and restores; and so it stands after a restart.
func TestDeletionAgainstModel(t *testing.T) {
	dir := t.TempDir()
	d, target := openWith(t, dir, sqlstore.Options{ReserveBytes: -1})
	model, run := provisiontest.NewMemory(), 0
	var all []string
	var names []string
	rapid.Check(t, func(rt *rapid.T) {
		run++
		var ids, own []string
		for i := range 4 {
			ids, own = append(ids, uuid.NewString()), append(own, fmt.Sprintf("U%d-%d@acme.example", run, i%3))
		}
		all, names = append(all, ids...), append(names, own...)
		versionOf := func(id string) int64 {
			found, err := model.Find(t.Context(), []provision.Query{{ID: id}})
			if err != nil || found[0].Object == nil {
				return 0
			}
			return found[0].Object.Version
		}
		draw := func(id string) provision.Change {
			c := provision.Change{ID: id, Version: versionOf(id) + int64(rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(rt, "late"))}
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0, 1:
				name := rapid.SampledFrom(own).Draw(rt, "name")
				if versionOf(id) > 0 { // one reason to refuse it is enough
					name = "new@acme.example"
				}
				c.Create, c.Version = true, 0
				c.Set = []provision.Assignment{{Attribute: "displayName", Value: expr.Text("Ada")}, {Attribute: "userPrincipalName", Value: expr.Text(name)}}
				return c
			case 2:
				c.Delete = true
				return c
			case 3:
				c.Restore = true
			}
			if rapid.Bool().Draw(rt, "renamed") {
				c.Set = append(c.Set, provision.Assignment{Attribute: "userPrincipalName", Value: expr.Text(rapid.SampledFrom(own).Draw(rt, "name"))})
			}
			return c
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if rapid.IntRange(0, 3).Draw(rt, "administrator") == 0 {
				administer(rt, d, model, rapid.SampledFrom(ids).Draw(rt, "id"), rapid.Bool().Draw(rt, "delete"))
			} else {
				var changes []provision.Change
				for _, id := range rapid.Permutation(ids).Draw(rt, "ids")[:rapid.IntRange(1, 4).Draw(rt, "changes")] {
					changes = append(changes, draw(id))
				}
				got, err := target.Apply(t.Context(), changes)
				want, err2 := model.Apply(t.Context(), changes)
				if err != nil || err2 != nil {
					rt.Fatal(err, err2)
				}
				for i := range changes {
					if summary(got[i]) != summary(want[i]) {
						rt.Fatalf("%+v: %s, want %s", changes[i], summary(got[i]), summary(want[i]))
					}
				}
			}
			agree(rt, target, model, ids, own)
		}
	})
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	_, target = openWith(t, dir, sqlstore.Options{ReserveBytes: -1})
	agree(t, target, model, all, names)
}

type failer interface {
	Fatalf(string, ...any)
	Context() context.Context
}

// administer deletes or restores a user in the directory, and in the model what comes to the same.
func administer(t failer, d *Directory, model *provisiontest.Memory, id string, remove bool) {
	found, _ := model.Find(t.Context(), []provision.Query{{ID: id}})
	o := found[0].Object
	var err error
	if remove {
		err = d.Delete(t.Context(), id)
	} else {
		_, err = d.Restore(t.Context(), id, "")
	}
	if o == nil || o.Deleted.IsZero() != remove {
		if !errors.Is(err, provision.ErrNotFound) {
			t.Fatalf("delete %t of %+v: %v", remove, o, err)
		}
		return
	}
	want, _ := model.Apply(t.Context(), []provision.Change{{Delete: remove, Restore: !remove, ID: id, Version: o.Version}})
	if (err == nil) != (want[0].Err == nil) {
		t.Fatalf("delete %t of %+v: %v, want %s", remove, o, err, summary(want[0]))
	}
}

// summary is what two targets must agree on.
func summary(r provision.Result) string {
	if r.Err != nil {
		return fmt.Sprint(r.Err.Code, r.Err.Attribute, r.Err.Retryable, r.Err.Separable)
	}
	return fmt.Sprint(r.Version, r.Name)
}

// agree checks that two targets find the same.
func agree(t failer, a, b provision.Target, ids, names []string) {
	var queries []provision.Query
	for _, id := range ids {
		queries = append(queries, provision.Query{ID: id}, provision.Query{ID: id, Version: 2})
	}
	for _, name := range names {
		queries = append(queries, provision.Query{Attribute: "userPrincipalName", Value: name})
	}
	got, err := a.Find(t.Context(), queries)
	want, err2 := b.Find(t.Context(), queries)
	if err != nil || err2 != nil {
		t.Fatalf("%v, %v", err, err2)
	}
	for i := range queries {
		if sketch(got[i]) != sketch(want[i]) {
			t.Fatalf("%+v finds %s, want %s", queries[i], sketch(got[i]), sketch(want[i]))
		}
	}
}

func sketch(f provision.Found) string {
	if o := f.Object; o != nil {
		return fmt.Sprint(o.ID, o.Version, !o.Deleted.IsZero(), o.Attributes["userPrincipalName"], len(o.Attributes))
	}
	return fmt.Sprint(f.Same, f.Ambiguous)
}
