package provision_test

import (
	"fmt"
	"testing"
)

// People of one name, in one upload and in several, get the candidates in the order in which they came.
func TestUniqueValues(t *testing.T) {
	e := newEngine(t)
	unique := `SelectUniqueValue(Join("@", [displayName], DefaultDomain()), Join("@", Join(".", [displayName], "2"), DefaultDomain()), Join("@", Join(".", [displayName], [externalId]), DefaultDomain()))`
	if err := e.SetSchema(t.Context(), e.job.PK, e.mapped("userPrincipalName", unique)); err != nil {
		t.Fatal(err)
	}
	named := func(id, name string) m { return person(id, m{"displayName": name}) }
	_, r := e.upload(named("1", "ada"), named("2", "Ada"), named("3", "ada"), named("4", "bo"))
	e.want(r, "created created created created")
	_, r = e.upload(named("5", "ada"), named("6", "bo"))
	e.want(r, "created created")
	for upn, id := range map[string]string{"ada": "1", "Ada.2": "2", "ada.3": "3", "bo": "4", "ada.5": "5", "bo.2": "6"} {
		if got := e.attr(upn+"@acme.example", "employeeId"); got != id {
			t.Errorf("%s belongs to %q, want %q", upn, got, id)
		}
	}
	// Who has one keeps it.
	_, r = e.upload(named("3", "ada"), person("5", m{"displayName": "ada", "title": "Cook"}))
	e.want(r, "unchanged updated")
	e.attr("ada.5@acme.example", "jobTitle")
}

func TestUniqueValuesRunOut(t *testing.T) {
	e := newEngine(t)
	unique := `SelectUniqueValue(Join("@", [displayName], DefaultDomain()), Join("@", Join(".", [displayName], "2"), DefaultDomain()))`
	if err := e.SetSchema(t.Context(), e.job.PK, e.mapped("userPrincipalName", unique)); err != nil {
		t.Fatal(err)
	}
	var people []m
	for i := range 3 {
		people = append(people, person(fmt.Sprint(i), m{"displayName": "ada"}))
	}
	_, r := e.upload(people...)
	e.want(r, "created created failed")
	if x := r[2].Entry; x.Code != "UniqueValueExhausted" || x.Attribute != "userPrincipalName" {
		t.Errorf("entry: %+v", x)
	}
}
