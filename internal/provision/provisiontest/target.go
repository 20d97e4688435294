package provisiontest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/provision"
)

// Alone returns t as a target of its own: each call runs in a Unit of the job, which commits with the call.
// The job must have no uploads.
func Alone(s provision.Store, jobPK int64, t provision.Colocated) provision.Target {
	return alone{s, provision.Fence{JobPK: jobPK}, t}
}

type alone struct {
	store  provision.Store
	fence  provision.Fence
	target provision.Colocated
}

func (a alone) Find(ctx context.Context, queries []provision.Query) (found []provision.Found, err error) {
	err = a.store.Unit(ctx, a.fence, func(u provision.Unit) (err error) {
		found, err = a.target.In(u).Find(ctx, queries)
		return err
	})
	return found, err
}

func (a alone) Apply(ctx context.Context, changes []provision.Change) (results []provision.Result, err error) {
	err = a.store.Unit(ctx, a.fence, func(u provision.Unit) (err error) {
		results, err = a.target.In(u).Apply(ctx, changes)
		return err
	})
	return results, err
}

// TestTarget is the contract of a Target. open returns one without objects; a Colocated one is opened with Alone.
func TestTarget(t *testing.T, open func(t *testing.T) provision.Target) {
	for _, test := range []struct {
		name string
		run  func(d *target)
	}{
		{"nothing asked", (*target).nothing},
		{"create and find", (*target).createAndFind},
		{"find in any case", (*target).anyCase},
		{"ambiguous", (*target).ambiguous},
		{"versions", (*target).versions},
		{"removal", (*target).removal},
		{"refusals stand alone", (*target).refusals},
		{"a refused change changes nothing", (*target).whole},
		{"an id is given once", (*target).idOnce},
		{"objects are copies", (*target).copies},
		{"kinds of values", (*target).kinds},
		{"deletion", (*target).deletion},
		{"deletion of what cannot be deleted", (*target).deletionRefused},
		{"deleted objects are not changed", (*target).deletedStands},
		{"deletion frees unique values", (*target).freed},
		{"restore", (*target).restoration},
		{"restore into a conflict", (*target).restorationConflict},
		{"versions of deleted objects", (*target).deletedVersions},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(&target{t, open(t)}) })
	}
}

type target struct {
	*testing.T
	provision.Target
}

func (d *target) find(queries ...provision.Query) []provision.Found {
	d.Helper()
	found, err := d.Find(d.Context(), queries)
	if err != nil {
		d.Fatal(err)
	}
	if len(found) != len(queries) {
		d.Fatalf("%d answers to %d queries", len(found), len(queries))
	}
	return found
}

func (d *target) apply(changes ...provision.Change) []provision.Result {
	d.Helper()
	results, err := d.Apply(d.Context(), changes)
	if err != nil {
		d.Fatal(err)
	}
	if len(results) != len(changes) {
		d.Fatalf("%d results of %d changes", len(results), len(changes))
	}
	return results
}

// user is the creation of a user named name.
func user(name string, more ...provision.Assignment) provision.Change {
	return provision.Change{Create: true, ID: uuid.NewString(), Set: append([]provision.Assignment{
		set("userPrincipalName", name+"@acme.example"), set("displayName", name)}, more...)}
}

func set(attribute, text string) provision.Assignment {
	return provision.Assignment{Attribute: attribute, Value: expr.Text(text)}
}

func update(id string, version int64, as ...provision.Assignment) provision.Change {
	return provision.Change{ID: id, Version: version, Set: as}
}

func deletion(id string, version int64) provision.Change {
	return provision.Change{Delete: true, ID: id, Version: version}
}

func restoration(id string, version int64, as ...provision.Assignment) provision.Change {
	return provision.Change{Restore: true, ID: id, Version: version, Set: as}
}

// done applies one change, which must be carried out, and returns the object's version.
func (d *target) done(c provision.Change) int64 {
	d.Helper()
	r := d.apply(c)[0]
	if r.Err != nil || r.Version <= c.Version || r.Name == "" {
		d.Fatalf("%+v leads to %+v (%v)", c, r, r.Err)
	}
	return r.Version
}

// gone makes a user that is in deleted items, and returns its id and version.
func (d *target) gone(name string, more ...provision.Assignment) (id string, version int64) {
	d.Helper()
	id = d.made(name, more...)
	return id, d.done(deletion(id, d.object(id).Version))
}

// stands checks that an object has a version, and is live or not.
func (d *target) stands(id string, version int64, live bool) *provision.Object {
	d.Helper()
	o := d.object(id)
	if o.Version != version || o.Deleted.IsZero() != live {
		d.Errorf("%s has version %d and was deleted at %v, want version %d, live %t", id, o.Version, o.Deleted, version, live)
	}
	return o
}

// made creates a user and returns the id.
func (d *target) made(name string, more ...provision.Assignment) string {
	d.Helper()
	c := user(name, more...)
	if r := d.apply(c)[0]; r.Err != nil {
		d.Fatalf("create %s: %v", name, r.Err)
	}
	return c.ID
}

// object returns the object with this id.
func (d *target) object(id string) *provision.Object {
	d.Helper()
	f := d.find(provision.Query{ID: id})[0]
	if f.Object == nil {
		d.Fatalf("no object %s", id)
	}
	return f.Object
}

func (d *target) refused(r provision.Result, code string) {
	d.Helper()
	if r.Err == nil || r.Err.Code != code || r.Err.Reason == "" || r.Err.Advice == "" {
		d.Errorf("result is %+v (%v), want an explained %s", r, r.Err, code)
	}
}

// changedMeanwhile checks that a change was refused because its version is not the object's.
func (d *target) changedMeanwhile(r provision.Result) {
	d.Helper()
	if d.refused(r, "Conflict"); r.Err != nil && (!r.Err.Retryable || r.Err.Separable) {
		d.Errorf("the refusal of another version is %+v, want one that is retryable as a whole", r.Err)
	}
}

func (d *target) nothing() {
	d.find()
	d.apply()
}

func (d *target) createAndFind() {
	a, b := user("ada", set("employeeId", "1")), user("bo", set("employeeId", "2"), set("city", "Bergen"))
	for i, r := range d.apply(a, b) {
		if want := []string{"ada", "bo"}[i] + "@acme.example"; r.Err != nil || r.Name != want || r.Version <= 0 {
			d.Fatalf("result %d is %+v (%v)", i, r, r.Err)
		}
	}
	byID := d.find(provision.Query{ID: b.ID}, provision.Query{ID: uuid.NewString()}, provision.Query{ID: "no such form of id"})
	o := byID[0].Object
	if o == nil || o.ID != b.ID || o.Attributes["city"].String() != "Bergen" || o.Created.IsZero() || !o.Deleted.IsZero() || len(o.Attributes) != 4 {
		d.Errorf("found %+v", o)
	}
	for _, f := range byID[1:] {
		if f.Same || f.Object != nil || f.Ambiguous != nil {
			d.Errorf("an unknown id finds %+v", f)
		}
	}
	for _, q := range []provision.Query{{}, {Attribute: "none"}, {Attribute: "mail"}} {
		if f := d.find(q)[0]; f.Object != nil || f.Ambiguous != nil {
			d.Errorf("%+v finds those that do not have the attribute: %+v", q, f)
		}
	}
	for attribute, value := range map[string]string{"userPrincipalName": "bo@acme.example", "employeeId": "2", "displayName": "bo", "city": "Bergen"} {
		fs := d.find(provision.Query{Attribute: attribute, Value: value}, provision.Query{Attribute: attribute, Value: value + "x"})
		if fs[0].Object == nil || fs[0].Object.ID != b.ID || fs[1].Object != nil {
			d.Errorf("%s = %s finds %+v", attribute, value, fs)
		}
	}
}

// anyCase compares as strings.EqualFold does, which is how plans compare.
func (d *target) anyCase() {
	names := []string{"Ærlig Åse", "ΟΔΥΣΣΕΥΣ", "straße", "K2"}
	for i, name := range names {
		id := d.made(fmt.Sprint("user", i), set("employeeId", name), set("city", name))
		for _, value := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			for _, attribute := range []string{"employeeId", "city"} {
				f := d.find(provision.Query{Attribute: attribute, Value: value})[0]
				if want := strings.EqualFold(name, value); (f.Object != nil && f.Object.ID == id) != want {
					d.Errorf("%s %q, asked for as %q, finds %+v", attribute, name, value, f.Object)
				}
			}
		}
	}
	if f := d.find(provision.Query{Attribute: "employeeId", Value: "Οδυσσευς"})[0]; f.Object == nil {
		d.Error("a final sigma is another letter")
	}
}

func (d *target) ambiguous() {
	ids := []string{d.made("ada", set("employeeId", "1"), set("city", "Bergen")), d.made("bo", set("employeeId", "1"), set("city", "bergen"))}
	for _, q := range []provision.Query{{Attribute: "employeeId", Value: "1"}, {Attribute: "city", Value: "BERGEN"}} {
		f := d.find(q)[0]
		if f.Object != nil || f.Same || len(f.Ambiguous) != 2 {
			d.Fatalf("%s: found %+v", q.Attribute, f)
		}
		if a := f.Ambiguous; a[0] == a[1] || a[0] != ids[0] && a[0] != ids[1] || a[1] != ids[0] && a[1] != ids[1] {
			d.Errorf("%s: ids %v, want %v", q.Attribute, a, ids)
		}
	}
}

func (d *target) versions() {
	id := d.made("ada")
	first := d.object(id).Version
	if f := d.find(provision.Query{ID: id, Version: first})[0]; !f.Same || f.Object != nil {
		d.Errorf("the version asked for: %+v", f)
	}
	r := d.apply(update(id, first, set("city", "Bergen")))[0]
	if r.Err != nil || r.Version <= first || r.Name != "ada@acme.example" {
		d.Fatalf("after version %d: %+v (%v)", first, r, r.Err)
	}
	if f := d.find(provision.Query{ID: id, Version: first})[0]; f.Same || f.Object == nil || f.Object.Version != r.Version {
		d.Errorf("an older version asked for: %+v", f)
	}
	for _, version := range []int64{first, r.Version + 1} {
		d.changedMeanwhile(d.apply(update(id, version, set("city", "Oslo")))[0])
	}
	d.refused(d.apply(update(uuid.NewString(), 1, set("city", "Oslo")))[0], "InvalidAnchor")
	if o := d.object(id); o.Attributes["city"].String() != "Bergen" || o.Version != r.Version {
		d.Errorf("refused changes lead to %+v", o)
	}
}

func (d *target) removal() {
	id := d.made("ada", set("employeeId", "1"), set("city", "Bergen"))
	v := d.object(id).Version
	if r := d.apply(update(id, v, provision.Assignment{Attribute: "employeeId"}, provision.Assignment{Attribute: "title"}))[0]; r.Err != nil {
		d.Fatal(r.Err)
	}
	o := d.object(id)
	if _, there := o.Attributes["employeeId"]; there || len(o.Attributes) != 3 {
		d.Errorf("attributes are %v", o.Attributes)
	}
	if f := d.find(provision.Query{Attribute: "employeeId", Value: "1"})[0]; f.Object != nil {
		d.Error("found by a value that was removed")
	}
}

func (d *target) refusals() {
	d.made("ada")
	id := d.made("bo")
	results := d.apply(user("cy"), user("ADA"), user("di"), update(id, d.object(id).Version, set("userPrincipalName", "aDa@acme.example")), user("ed"))
	for i, r := range results {
		if i == 1 || i == 3 {
			d.refused(r, "Conflict")
		} else if r.Err != nil {
			d.Errorf("change %d is refused with another: %v", i, r.Err)
		}
	}
	for _, name := range []string{"ada", "bo", "cy", "di", "ed"} {
		if f := d.find(provision.Query{Attribute: "userPrincipalName", Value: name + "@acme.example"})[0]; f.Object == nil {
			d.Errorf("%s is not there", name)
		}
	}
}

func (d *target) whole() {
	d.made("ada")
	id := d.made("bo", set("city", "Bergen"))
	v := d.object(id).Version
	d.refused(d.apply(update(id, v, set("city", "Oslo"), set("userPrincipalName", "ada@acme.example")))[0], "Conflict")
	if o := d.object(id); o.Version != v || o.Attributes["city"].String() != "Bergen" || o.Attributes["userPrincipalName"].String() != "bo@acme.example" {
		d.Errorf("the object is %+v", o)
	}
	c := user("ada", set("employeeId", "7"))
	d.refused(d.apply(c)[0], "Conflict")
	if f := d.find(provision.Query{ID: c.ID}, provision.Query{Attribute: "employeeId", Value: "7"}); f[0].Object != nil || f[1].Object != nil {
		d.Errorf("a refused creation leaves %+v", f)
	}
}

func (d *target) idOnce() {
	live := d.made("ada")
	gone, v := d.gone("bo")
	for _, id := range []string{live, gone} {
		c := user("cy", set("employeeId", "3"))
		c.ID = id
		d.refused(d.apply(c)[0], "Conflict")
	}
	if f := d.find(provision.Query{Attribute: "employeeId", Value: "3"})[0]; f.Object != nil {
		d.Errorf("a refused creation leaves %+v", f)
	}
	if o := d.stands(gone, v, false); o.Attributes["displayName"].String() != "bo" {
		d.Errorf("attributes are %v", o.Attributes)
	}
	d.made("cy")
}

func (d *target) copies() {
	id := d.made("ada")
	d.object(id).Attributes["displayName"] = expr.Text("changed")
	if got := d.object(id).Attributes["displayName"].String(); got != "ada" {
		d.Errorf("displayName is %q: an answer shares the target's memory", got)
	}
}

func (d *target) kinds() {
	values := map[string]expr.Value{"a": expr.Bool(true), "b": expr.Bool(false), "c": expr.Int(-7), "d": expr.Text("x;y"),
		"e": expr.Multi(expr.Text("x"), expr.Text("y")), "f": expr.Text("True")}
	var as []provision.Assignment
	for attribute, v := range values {
		as = append(as, provision.Assignment{Attribute: attribute, Value: v})
	}
	o := d.object(d.made("ada", as...))
	for attribute, v := range values {
		if got := o.Attributes[attribute]; got.Kind() != v.Kind() || !got.Equal(v, true) {
			d.Errorf("%s is %s %q, want %s %q", attribute, got.Kind(), got, v.Kind(), v)
		}
	}
}

func (d *target) deletion() {
	other := d.made("bo", set("employeeId", "2"))
	id, v := d.gone("ada", set("employeeId", "1"), set("city", "Bergen"))
	o := d.stands(id, v, false)
	if o.Created.IsZero() || o.Deleted.Before(o.Created) || len(o.Attributes) != 4 || o.Attributes["city"].String() != "Bergen" {
		d.Errorf("the deleted object is %+v", o)
	}
	for attribute, value := range map[string]string{"userPrincipalName": "ada@acme.example", "employeeId": "1", "displayName": "ada", "city": "Bergen"} {
		if f := d.find(provision.Query{Attribute: attribute, Value: value})[0]; f.Object != nil || f.Ambiguous != nil {
			d.Errorf("%s finds the deleted object: %+v", attribute, f)
		}
	}
	for _, version := range []int64{v, v - 1, v + 1} { // whoever deletes it once more may not know that it is deleted
		if r := d.apply(deletion(id, version))[0]; r.Err != nil || r.Version != v || r.Name != "ada@acme.example" {
			d.Errorf("deleted once more: %+v (%v)", r, r.Err)
		}
	}
	if again := d.stands(id, v, false); !again.Deleted.Equal(o.Deleted) {
		d.Errorf("deleted at %v, once more at %v", o.Deleted, again.Deleted)
	}
	if !d.object(other).Deleted.IsZero() {
		d.Error("another object is deleted")
	}
}

func (d *target) deletionRefused() {
	id := d.made("ada")
	v := d.object(id).Version
	d.refused(d.apply(deletion(uuid.NewString(), 1))[0], "InvalidAnchor")
	for _, version := range []int64{v - 1, v + 1} {
		d.changedMeanwhile(d.apply(deletion(id, version))[0])
	}
	d.stands(id, v, true)
}

func (d *target) deletedStands() {
	id, v := d.gone("ada", set("city", "Bergen"))
	for _, version := range []int64{v, v - 1} {
		d.refused(d.apply(update(id, version, set("city", "Oslo")))[0], "InvalidAnchor")
	}
	if o := d.stands(id, v, false); o.Attributes["city"].String() != "Bergen" {
		d.Errorf("attributes are %v", o.Attributes)
	}
}

func (d *target) freed() {
	id := d.made("ada", set("employeeId", "1"))
	heir, late := user("ADA"), user("ada")
	results := d.apply(deletion(id, d.object(id).Version), heir, late)
	if results[0].Err != nil || results[1].Err != nil {
		d.Fatalf("%+v", results)
	}
	d.refused(results[2], "Conflict")
	if f := d.find(provision.Query{Attribute: "userPrincipalName", Value: "ada@acme.example"})[0]; f.Object == nil || f.Object.ID != heir.ID {
		d.Errorf("the name leads to %+v", f)
	}
	moved := d.made("bo")
	gone, _ := d.gone("cy")
	if r := d.apply(update(moved, d.object(moved).Version, set("userPrincipalName", "cy@acme.example")))[0]; r.Err != nil {
		d.Errorf("the name of deleted %s is not free: %v", gone, r.Err)
	}
}

func (d *target) restoration() {
	id, v := d.gone("ada", set("employeeId", "1"), set("city", "Bergen"), set("title", "Dr"))
	restored := d.done(restoration(id, v, set("city", "Oslo"), provision.Assignment{Attribute: "title"}))
	o := d.stands(id, restored, true)
	if o.Attributes["city"].String() != "Oslo" || o.Attributes["employeeId"].String() != "1" || len(o.Attributes) != 4 {
		d.Errorf("attributes are %v", o.Attributes)
	}
	for attribute, value := range map[string]string{"userPrincipalName": "ada@acme.example", "employeeId": "1", "displayName": "ada", "city": "Oslo"} {
		if f := d.find(provision.Query{Attribute: attribute, Value: value})[0]; f.Object == nil || f.Object.ID != id {
			d.Errorf("%s does not find the restored object: %+v", attribute, f)
		}
	}
	d.refused(d.apply(user("ada"))[0], "Conflict")
	d.changedMeanwhile(d.apply(restoration(id, restored))[0]) // somebody else has restored it
	d.refused(d.apply(restoration(uuid.NewString(), 1))[0], "InvalidAnchor")
	d.done(deletion(id, restored)) // and so on
	d.done(restoration(id, d.object(id).Version))
}

func (d *target) restorationConflict() {
	id, v := d.gone("ada", set("city", "Bergen"))
	heir := d.made("ADA")
	r := d.apply(restoration(id, v, set("city", "Oslo")))[0]
	if d.refused(r, "Conflict"); r.Err != nil && (r.Err.Attribute != "userPrincipalName" || !strings.Contains(r.Err.Reason, "restore") || r.Err.Retryable || r.Err.Separable) {
		d.Errorf("the refusal is %+v", r.Err)
	}
	if o := d.stands(id, v, false); o.Attributes["city"].String() != "Bergen" {
		d.Errorf("a refused restore changes %v", o.Attributes)
	}
	renamed := d.done(restoration(id, v, set("userPrincipalName", "ada2@acme.example")))
	d.stands(id, renamed, true)
	if f := d.find(provision.Query{Attribute: "userPrincipalName", Value: "ada@acme.example"})[0]; f.Object == nil || f.Object.ID != heir {
		d.Errorf("the name leads to %+v", f)
	}
	v = d.done(deletion(id, renamed))
	results := d.apply(deletion(heir, d.object(heir).Version), restoration(id, v, set("userPrincipalName", "ada@acme.example")))
	if results[0].Err != nil || results[1].Err != nil {
		d.Errorf("a name that is free by then: %+v", results)
	}
}

func (d *target) deletedVersions() {
	id := d.made("ada")
	versions := []int64{d.object(id).Version}
	for range 2 {
		versions = append(versions, d.done(deletion(id, versions[len(versions)-1])))
		versions = append(versions, d.done(restoration(id, versions[len(versions)-1])))
	}
	gone := d.done(deletion(id, versions[len(versions)-1]))
	if f := d.find(provision.Query{ID: id, Version: gone})[0]; !f.Same || f.Object != nil {
		d.Errorf("the version of a deleted object asked for: %+v", f)
	}
	for _, v := range versions {
		if f := d.find(provision.Query{ID: id, Version: v})[0]; f.Same || f.Object == nil || f.Object.Version != gone {
			d.Errorf("version %d asked for, %d is there: %+v", v, gone, f)
		}
		d.changedMeanwhile(d.apply(restoration(id, v))[0])
	}
}
