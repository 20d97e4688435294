package directory

import (
	"errors"
	"testing"

	"induct/internal/expr"
	"induct/internal/provision"
)

func set(pairs ...string) (as []provision.Assignment) {
	for i := 0; i < len(pairs); i += 2 {
		as = append(as, provision.Assignment{Attribute: pairs[i], Value: expr.Text(pairs[i+1])})
	}
	return as
}

func TestAccounts(t *testing.T) {
	d, target := open(t)
	ctx := t.Context()
	ana, err := d.CreateObject(ctx, set("userPrincipalName", "ana@acme.example", "displayName", "Ana", "mail", "a@acme.example"))
	if err != nil || ana.ID == "" || ana.Version != 1 || ana.Created.IsZero() {
		t.Fatalf("%+v, %v", ana, err)
	}
	if found, err := d.Object(ctx, "ANA@acme.example"); err != nil || found.ID != ana.ID {
		t.Errorf("%+v, %v", found, err)
	}
	changed, err := d.UpdateObject(ctx, ana.ID, append(set("mail", "ana@acme.example"), provision.Assignment{Attribute: "city"}))
	if err != nil || changed.Version != 2 || version(t, target, ana.ID) != 2 {
		t.Errorf("%+v, %v", changed, err)
	}
	if page, err := d.Objects(ctx, provision.ObjectQuery{Equal: map[string]string{"mail": "ANA@acme.example"}, Limit: 5}); err != nil || len(page.Objects) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	var refusal *provision.TargetError
	for code, err := range map[string]error{
		"Conflict": second(d.CreateObject(ctx, set("userPrincipalName", "Ana@acme.example", "displayName", "Other"))),
		"AzureActiveDirectoryInvalidUserPrincipalName": second(d.UpdateObject(ctx, ana.ID, set("userPrincipalName", "ana"))),
		"MandatoryFieldsMissing":                       second(d.UpdateObject(ctx, ana.ID, set("displayName", ""))),
		"UnprocessableEntity":                          second(d.UpdateObject(ctx, ana.ID, set("usageLocation", "DEU"))),
	} {
		if !errors.As(err, &refusal) || refusal.Code != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	if o, err := d.Object(ctx, ana.ID); err != nil || o.Version != 2 {
		t.Errorf("refused changes changed %+v, %v", o, err)
	}
	if err := d.Delete(ctx, ana.ID); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{ana.ID, "x", "3f6e0d59-6a0b-4a0e-9e0c-0d3d6f3f5e10"} {
		if _, err := d.UpdateObject(ctx, id, set("city", "x")); !errors.Is(err, provision.ErrNotFound) {
			t.Errorf("update of %s: %v", id, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
