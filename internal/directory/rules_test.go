package directory

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"induct/internal/expr"
	"induct/internal/provision"
)

func TestUPN(t *testing.T) {
	local, domain := strings.Repeat("a", 64), strings.Repeat("d", 40)+".example"
	for _, upn := range []string{"a@b", "ada.lovelace@acme.example", "A'-_!#^~9@acme.example", local + "@" + domain, ".a@acme.example"} {
		if p := checkUPN(upn); p != nil {
			t.Errorf("%q is refused: %v", upn, p)
		}
	}
	for _, upn := range []string{"", "ada", "@acme.example", "ada@", "ada.@acme.example", "a da@acme.example", "åse@acme.example", "a@b@c",
		local + "a@acme.example", "a@d" + domain, "ada@.example", "ada@acme.", "ada@acme_x.example", "a;b@acme.example", "a\x00@acme.example", "a\xff@acme.example"} {
		if p := checkUPN(upn); p == nil || p.Code != "AzureActiveDirectoryInvalidUserPrincipalName" || p.Reason == "" || p.Advice == "" {
			t.Errorf("%q: %v", upn, p)
		}
	}
}

func TestLengths(t *testing.T) {
	for attribute, limit := range longest {
		if attribute == "userPrincipalName" {
			continue
		}
		for n, fits := range map[int]bool{limit: true, limit + 1: false} {
			for _, v := range []expr.Value{expr.Text(strings.Repeat("å", n)), expr.Multi(expr.Text("x"), expr.Text(strings.Repeat("å", n)))} {
				if _, p := check(provision.Assignment{Attribute: attribute, Value: v}); (p == nil) != fits {
					t.Errorf("%s of %d characters: %v", attribute, n, p)
				}
			}
		}
	}
	if _, p := check(provision.Assignment{Attribute: "extension_x", Value: expr.Text(strings.Repeat("x", longestOther+1))}); p == nil {
		t.Error("an attribute without a limit of its own is unbounded")
	}
}

// What is wrong with an attribute that a user can do without can be left out of a change, and nothing else can.
func TestSeparableRefusals(t *testing.T) {
	long := expr.Text(strings.Repeat("x", longestOther+1))
	_, target := open(t)
	taken := creation("ada", nil)
	carriedOut(t, target, taken)
	for _, test := range []struct {
		attribute string
		value     expr.Value
		code      string
		separable bool
	}{
		{"city", long, "UnprocessableEntity", true},
		{"otherMails", expr.Multi(expr.Text("x@acme.example"), long), "UnprocessableEntity", true},
		{"employeeHireDate", expr.Time(time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)), "UnprocessableEntity", true},
		{"displayName", long, "UnprocessableEntity", false},
		{"displayName", expr.Value{}, "MandatoryFieldsMissing", false},
		{"userPrincipalName", long, "UnprocessableEntity", false},
		{"userPrincipalName", expr.Text("bo"), "AzureActiveDirectoryInvalidUserPrincipalName", false},
		{"userPrincipalName", expr.Value{}, "MandatoryFieldsMissing", false},
		{"userPrincipalName", expr.Text("ADA@acme.example"), "Conflict", false},
	} {
		c := creation("bo", map[string]expr.Value{"title": expr.Text("Dr")})
		c.Set = append(c.Set, provision.Assignment{Attribute: test.attribute, Value: test.value})
		rs, err := target.Apply(t.Context(), []provision.Change{c})
		if err != nil {
			t.Fatal(err)
		}
		e := rs[0].Err
		if e == nil || e.Code != test.code || e.Attribute != test.attribute || e.Separable != test.separable || e.Retryable {
			t.Errorf("%s %.20s: %+v", test.attribute, test.value, e)
		}
		if test.separable { // and then the rest is carried out
			c.Set = c.Set[:len(c.Set)-1]
			v := carriedOut(t, target, c)[0].Version
			carriedOut(t, target, provision.Change{Delete: true, ID: c.ID, Version: v})
		}
	}
}

// Whatever is wrong with a change: who leaves out what is refused as separable ends with a change that is carried out,
// or refused as a whole.
func TestSeparableRefusalsComeToAnEnd(t *testing.T) {
	_, target := open(t)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		c := creation(fmt.Sprint("u", run), nil)
		good := rapid.Bool().Draw(rt, "good")
		if !good {
			c.Set[rapid.IntRange(0, 1).Draw(rt, "mandatory")].Value = expr.Text(strings.Repeat("@", 300))
		}
		bad := map[string]bool{}
		for _, a := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"city", "mail", "title", "usageLocation", "employeeHireDate"}), 0, 5, rapid.ID).Draw(rt, "attributes") {
			v := expr.Text("NO")
			if bad[a] = rapid.Bool().Draw(rt, "bad"); bad[a] {
				v = expr.Text(strings.Repeat("x", rapid.IntRange(longestOther+1, 2000).Draw(rt, "length")))
			}
			c.Set = append(c.Set, provision.Assignment{Attribute: a, Value: v})
		}
		c.Set = rapid.Permutation(c.Set).Draw(rt, "order")
		for {
			rs, err := target.Apply(t.Context(), []provision.Change{c})
			if err != nil {
				rt.Fatal(err)
			}
			e := rs[0].Err
			if e == nil || !e.Separable {
				if (e == nil) != good {
					rt.Fatalf("%v", e)
				}
				return
			}
			at := slices.IndexFunc(c.Set, func(a provision.Assignment) bool { return a.Attribute == e.Attribute })
			if at < 0 || !bad[e.Attribute] {
				rt.Fatalf("%s is refused: %v", e.Attribute, e)
			}
			c.Set = slices.Delete(c.Set, at, at+1)
		}
	})
}

// A time that cannot be read back is refused: it would make the account unreadable.
func TestTimesBeyondRFC3339(t *testing.T) {
	_, target := open(t)
	at := time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := creation("ada", map[string]expr.Value{"employeeHireDate": expr.Time(at)})
	rs, err := target.Apply(t.Context(), []provision.Change{c})
	if err != nil || rs[0].Err == nil || rs[0].Err.Attribute != "employeeHireDate" {
		t.Errorf("%+v, %v", rs, err)
	}
	if _, err := target.Find(t.Context(), []provision.Query{{ID: c.ID}}); err != nil {
		t.Error(err)
	}
}
