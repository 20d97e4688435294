package odata

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func mustParse(t *testing.T, s string) *Filter {
	t.Helper()
	f, err := ParseFilter(s)
	if err != nil {
		t.Fatalf("ParseFilter(%q): %v", s, err)
	}
	return f
}

// unplaced returns x without positions.
func unplaced(x Expr) Expr {
	switch x := x.(type) {
	case And:
		return And(unplacedAll(x))
	case Or:
		return Or(unplacedAll(x))
	case Not:
		return Not{unplaced(x.X)}
	case Any:
		x.Pos, x.Cond = 0, unplaced(x.Cond)
		return x
	case Comparison:
		x.Pos = 0
		return x
	}
	return x
}

func unplacedAll(xs []Expr) []Expr {
	out := make([]Expr, len(xs))
	for i, x := range xs {
		out[i] = unplaced(x)
	}
	return out
}

// What clients send to the provisioning log and the directory, and the canonical form of it.
var clientFilters = []struct{ source, canonical string }{
	{"jobid eq 'API2AAD.b16687d38faf42adb29892cdcaf01c6e.1a03de52-b9c3-4e2c-a1e3-9145aaa8e530'", ""},
	{"jobid eq 'J' and cycleId ne 'C1' and cycleId ne 'C2'", "jobid eq 'J' and cycleid ne 'C1' and cycleid ne 'C2'"},
	{"cycleId eq 'C1'", "cycleid eq 'C1'"},
	{"activityDateTime ge 2026-06-19T06:54:37.123Z and servicePrincipal/id eq 'SP'",
		"activitydatetime ge 2026-06-19T06:54:37.123Z and serviceprincipal/id eq 'SP'"},
	{"jobid eq 'J' and statusInfo/status eq 'failure' and activityDateTime ge 2022-10-10T09:47:34Z",
		"jobid eq 'J' and statusinfo/status eq 'failure' and activitydatetime ge 2022-10-10T09:47:34Z"},
	{"jobid eq 'J' and sourceIdentity/id eq '701984'", "jobid eq 'J' and sourceidentity/id eq '701984'"},
	{"((contains(tolower(servicePrincipal/id), 'x') or contains(tolower(servicePrincipal/displayName), 'x')) and activityDateTime gt 2023-07-30 and activityDateTime lt 2023-07-31)",
		"(contains(tolower(serviceprincipal/id),'x') or contains(tolower(serviceprincipal/displayname),'x')) and activitydatetime gt 2023-07-30T00:00:00Z and activitydatetime lt 2023-07-31T00:00:00Z"},
	{"provisioningAction eq 'create'", "provisioningaction eq 'create'"},
	{"provisioningStatusInfo/status eq microsoft.graph.provisioningResult'failure'", "provisioningstatusinfo/status eq 'failure'"},
	{"durationInMilliseconds gt 500", "durationinmilliseconds gt 500"},
	{"id eq 'X' or appId eq 'X'", "id eq 'X' or appid eq 'X'"},
	{"clientId eq 'a' and resourceId eq beeb9ea0-f7e4-4fe7-8507-cd834c88f18b and consentType eq 'AllPrincipals'",
		"clientid eq 'a' and resourceid eq 'beeb9ea0-f7e4-4fe7-8507-cd834c88f18b' and consenttype eq 'AllPrincipals'"},
	{"accountEnabled eq true", "accountenabled eq true"},
	{"userPrincipalName eq 'b.o''neil@fabrikam.example'", "userprincipalname eq 'b.o''neil@fabrikam.example'"},
	{"startsWith(displayName,'A')", "startswith(displayname,'A')"},
	{"startswith(displayName,'A') eq false", "not startswith(displayname,'A')"},
	{"endsWith(mail,'@fabrikam.example')", "endswith(mail,'@fabrikam.example')"},
	{"department in ('Sales', 'Legal')", "department in ('Sales','Legal')"},
	{"createdDateTime ge 2026-01-01 and createdDateTime le 2026-12-31T23:59:59.9999999Z",
		"createddatetime ge 2026-01-01T00:00:00Z and createddatetime le 2026-12-31T23:59:59.9999999Z"},
	{"employeeHireDate ge 2026-01-01T00:00:00+02:00", "employeehiredate ge 2025-12-31T22:00:00Z"},
	{"businessPhones/any(p:p eq '1')", "businessphones/any(x:x eq '1')"},
	{"otherMails/any(a:startswith(a,'b') or a eq 'c')", "othermails/any(x:startswith(x,'b') or x eq 'c')"},
	{"identities/any(c:c/issuerAssignedId eq 'b' and c/issuer eq 'fabrikam.example')",
		"identities/any(x:x/issuerassignedid eq 'b' and x/issuer eq 'fabrikam.example')"},
	{"assignedLicenses/any(x:x/skuId eq 184efa21-98c3-4e5d-95ab-d07053a96e67)",
		"assignedlicenses/any(x:x/skuid eq '184efa21-98c3-4e5d-95ab-d07053a96e67')"},
	{"proxyAddresses/any()", "proxyaddresses/any()"},
	{"onPremisesExtensionAttributes/extensionAttribute1 eq 'x'", "onpremisesextensionattributes/extensionattribute1 eq 'x'"},
	{"NOT(companyName eq null) AND userType EQ 'Member'", "not (companyname eq null) and usertype eq 'Member'"},
	{"companyName ne null", "companyname ne null"},
}

func TestParseFilterClients(t *testing.T) {
	for _, c := range clientFilters {
		want := c.canonical
		if want == "" {
			want = c.source
		}
		if got := mustParse(t, c.source).String(); got != want {
			t.Errorf("%s\n got %s\nwant %s", c.source, got, want)
		}
	}
}

func TestParseFilterTree(t *testing.T) {
	eq := func(path string, v any) Comparison { return Comparison{Path: path, Op: "eq", Value: v} }
	tests := map[string]Expr{
		"a eq 1 or b eq 2 and not c eq 3":  Or{eq("a", int64(1)), And{eq("b", int64(2)), Not{eq("c", int64(3))}}},
		"(a eq 1 and b eq 2) and c eq 3":   And{eq("a", int64(1)), eq("b", int64(2)), eq("c", int64(3))},
		"((a eq 1 or b eq 2))":             Or{eq("a", int64(1)), eq("b", int64(2))},
		"not (not (a eq 1))":               eq("a", int64(1)),
		"not not not a eq 1":               Not{eq("a", int64(1))},
		"not(a eq 1)":                      Not{eq("a", int64(1))},
		"5 lt a":                           Comparison{Path: "a", Op: "gt", Value: int64(5)},
		"'x' eq toLower( A / B )":          Comparison{Path: "a/b", Op: "eq", Value: "x", Func: "tolower"},
		"a eq toupper('x''y')":             eq("a", "X'Y"),
		"a eq -1.5e3":                      eq("a", -1500.0),
		"a eq 1.0":                         eq("a", 1.0),
		"a eq -9223372036854775808":        eq("a", int64(-1<<63)),
		"a eq 9223372036854775808":         eq("a", float64(1<<63)),
		"a eq ''":                          eq("a", ""),
		"a eq 'x'''":                       eq("a", "x'"),
		"a eq NULL":                        eq("a", nil),
		"a eq FALSE":                       eq("a", false),
		"a eq 2023-07-30T10:00Z":           eq("a", at("2023-07-30T10:00:00Z")),
		"a eq 2023-07-30t10:00:00.5-01:00": eq("a", at("2023-07-30T11:00:00.5Z")),
		"a in (1,null,'x')":                Comparison{Path: "a", Op: "in", Value: []any{int64(1), nil, "x"}},
		"contains(a,'x') ne true":          Not{Comparison{Path: "a", Op: "contains", Value: "x"}},
		"a/all(v:v ne 'x')":                Any{Path: "a", All: true, Cond: Comparison{Op: "ne", Value: "x"}},
		"a/b/any(v:v/c/any(w:w eq 'x'))":   Any{Path: "a/b", Cond: Any{Path: "c", Cond: eq("", "x")}},
		"null eq a":                        eq("a", nil),
		"in in ('in')":                     Comparison{Path: "in", Op: "in", Value: []any{"in"}},
		"a\teq\n'\u00fc'\r":                eq("a", "\u00fc"),
	}
	for source, want := range tests {
		if got := unplaced(mustParse(t, source).Root); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %#v\nwant %#v", source, got, want)
		}
	}
}

func TestParseFilterErrors(t *testing.T) {
	tests := []struct {
		source string
		pos    int
		msg    string
	}{
		{"", 0, "expected a property or a literal, found the end of the filter"},
		{"  ", 2, "found the end"},
		{"a", 1, "expected one of eq, ne"},
		{"a eq", 4, "found the end"},
		{"a eq 'x", 5, "no closing quote"},
		{"a eq b", 0, "a literal on the other"},
		{"1 eq 1", 0, "a literal on the other"},
		{"a eq 'x' b eq 'y'", 9, `expected "and", "or" or the end, found "b"`},
		{"a like 'x'", 2, `found "like"`},
		{"(a eq 1", 7, `expected ")"`},
		{"a eq 1)", 6, `found ")"`},
		{"a eq 2023-13-01", 5, "neither a number nor a date"},
		{"a eq 2023-07-30T10:00:00", 5, "neither a number nor a date"},
		{"a eq 0x10", 5, "neither a number"},
		{"a eq -inf", 5, "neither a number"},
		{"a eq -", 5, "neither a number"},
		{"a eq 1e999", 5, "neither a number"},
		{"a eq 0000-01-01T00:00:00+10:00", 5, "neither a number"},
		{"a.b eq 1", 0, "is not a property"},
		{"a eq \u2019x\u2019", 5, "unexpected character '\u2019'"},
		{"length(a) eq 1", 0, `"length" is not supported`},
		{"any(x:x eq 1)", 0, `"any" is not supported`},
		{"contains('a', a)", 9, "property as its first argument"},
		{"contains(a, 5)", 12, "a string in quotes"},
		{"contains(a, b)", 12, "a string in quotes"},
		{"contains(a)", 10, `expected ","`},
		{"contains(a,'x') eq 'x'", 19, "compared with true or false"},
		{"tolower(5) eq 'x'", 8, "tolower needs a string"},
		{"tolower(toupper(a)) eq 'x'", 8, "tolower of toupper"},
		{"a in 'x'", 5, `expected "("`},
		{"a in ()", 6, "expected a property or a literal"},
		{"a in (b)", 6, "needs literals"},
		{"'a' in ('a')", 0, "property on its left"},
		{"a/ 1", 3, "expected a property name"},
		{"a/any(x eq 1)", 8, `expected ":"`},
		{"a/any(x:y eq 1)", 8, `expected a property of "x"`},
		{"a/all()", 6, "the name of a variable"},
		{"a eq 1 and", 10, "found the end"},
		{"not", 3, "found the end"},
		{strings.Repeat("(", 65) + "a eq 1" + strings.Repeat(")", 65), 64, "deeper than 64"},
		{strings.Repeat("not ", 65) + "a eq 1", 256, "deeper than 64"},
		{"a eq '" + strings.Repeat("x", maxFilter) + "'", maxFilter, "longer than 8192 bytes"},
	}
	for _, c := range tests {
		f, err := ParseFilter(c.source)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.60s: got %v, %v; want an *Error", c.source, f, err)
			continue
		}
		if e.Pos != c.pos || !strings.Contains(e.Msg, c.msg) {
			t.Errorf("%.60s: got %d %s; want %d …%s…", c.source, e.Pos, e.Msg, c.pos, c.msg)
		}
	}
}

func TestDeepestFilter(t *testing.T) {
	mustParse(t, strings.Repeat("(", maxDepth)+"a eq 1"+strings.Repeat(")", maxDepth))
	f := mustParse(t, strings.Repeat("a eq 1 and ", 700)+"a eq 1") // wide is not deep
	if got := len(f.Conjuncts()); got != 701 {
		t.Errorf("got %d conjuncts, want 701", got)
	}
}

func TestConjunctsAndPaths(t *testing.T) {
	tests := []struct {
		source    string
		conjuncts []string // paths
		paths     []string
	}{
		{"a eq 1", []string{"a"}, []string{"a"}},
		{"a eq 1 and (b eq 2 and c ne 3)", []string{"a", "b", "c"}, []string{"a", "b", "c"}},
		{"(a eq 1 or b eq 2) and contains(C,'x')", []string{"c"}, []string{"a", "b", "c"}},
		{"a eq 1 or b eq 2", nil, []string{"a", "b"}},
		{"not (a eq 1)", nil, []string{"a"}},
		{"p/any(x:x eq 'v' or x/i eq 'w') and a eq 1 and a ne 2", []string{"a", "a"}, []string{"a", "p", "p/i"}},
	}
	for _, c := range tests {
		f := mustParse(t, c.source)
		var got []string
		for _, j := range f.Conjuncts() {
			got = append(got, j.Path)
		}
		if !reflect.DeepEqual(got, c.conjuncts) {
			t.Errorf("%s: conjuncts %v, want %v", c.source, got, c.conjuncts)
		}
		if got := f.Paths(); !reflect.DeepEqual(got, c.paths) {
			t.Errorf("%s: paths %v, want %v", c.source, got, c.paths)
		}
	}
}

func person(path string) any {
	switch path {
	case "name":
		return "Barbara"
	case "enabled":
		return true
	case "count":
		return int64(7)
	case "hired":
		return at("2026-06-19T00:00:00Z")
	case "phones":
		return []string{"+1 5", "+1 6"}
	case "identities":
		return []func(string) any{
			func(p string) any { return map[string]any{"issuer": "a", "id": "1"}[p] },
			func(p string) any { return map[string]any{"issuer": "b", "id": "2"}[p] },
		}
	case "none", "title":
		return nil
	}
	return UnknownProperty{}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		source      string
		plain, fold bool
	}{
		{"name eq 'Barbara'", true, true},
		{"name eq 'barbara'", false, true},
		{"name ne 'barbara'", true, false},
		{"tolower(name) eq 'barbara'", true, true},
		{"toupper(name) eq 'BARBARA'", true, true},
		{"contains(name,'ARB')", false, true},
		{"startswith(name,'Bar')", true, true},
		{"endswith(name,'bar')", false, false},
		{"name in ('x','BARBARA')", false, true},
		{"name gt 'Adam' and name lt 'Cesar'", true, true},
		{"enabled eq true", true, true},
		{"enabled ne true", false, false},
		{"count eq 7 and count ge 7 and count le 7 and count gt 6.5 and count lt 8", true, true},
		{"count in (1,7.0)", true, true},
		{"hired eq 2026-06-19", true, true},
		{"hired ge 2026-06-19T02:00:00+02:00", true, true},
		{"hired gt 2026-06-19", false, false},
		{"hired lt 2026-06-19T00:00:00.0000001Z", true, true},
		// null
		{"title eq null", true, true},
		{"title ne null", false, false},
		{"name eq null", false, false},
		{"name ne null", true, true},
		{"title eq 'x'", false, false},
		{"title ne 'x'", true, true},
		{"not (title eq 'x')", true, true},
		{"title gt 'x' or title le 'x' or title ge null", false, false},
		{"name in ('x',null)", false, false},
		{"title in ('x',null)", true, true},
		{"contains(title,'x')", false, false},
		{"not contains(title,'x')", false, false},
		{"not contains(title,'x') or enabled eq true", true, true},
		{"not (contains(title,'x') and enabled eq false)", true, true},
		{"tolower(title) eq null", true, true},
		// logic
		{"enabled eq false and count eq 7 or name eq 'Barbara'", true, true},
		{"not (enabled eq false)", true, true},
		// collections
		{"phones/any(p:p eq '+1 6')", true, true},
		{"phones/any(p:p eq '+1 7')", false, false},
		{"phones/all(p:startswith(p,'+1'))", true, true},
		{"phones/any()", true, true},
		{"none/any()", false, false},
		{"none/any(x:x eq 'v')", false, false},
		{"none/all(x:x eq 'v')", true, true},
		{"identities/any(i:i/issuer eq 'b' and i/id eq '2')", true, true},
		{"identities/any(i:i/issuer eq 'a' and i/id eq '2')", false, false},
	}
	for _, c := range tests {
		f := mustParse(t, c.source)
		for _, fold := range []bool{false, true} {
			f.Fold = fold
			want := c.plain
			if fold {
				want = c.fold
			}
			if got, err := f.Match(person); err != nil || got != want {
				t.Errorf("%s, fold %v: got %v, %v; want %v", c.source, fold, got, err, want)
			}
		}
	}
}

func TestMatchErrors(t *testing.T) {
	tests := map[string]string{
		"nothing eq 'x'":                  `unknown property "nothing"`,
		"nothing/$count eq 1":             `unknown property "nothing"`,
		"name/$count eq 1":                `"name" is not a collection`,
		"phones/$count eq 'x'":            `"phones/$count" is a number`,
		"contains(phones/$count,'x')":     `"phones/$count" is not a string`,
		"$count eq 1":                     `unknown property "$count"`,
		"nothing/any(x:x eq 'x')":         `unknown property "nothing"`,
		"phones/any(x:x/y eq 'x')":        `unknown property "y"`,
		"phones eq 'x'":                   `"phones" is a collection`,
		"name/any(x:x eq 'x')":            `"name" is not a collection`,
		"name eq 5":                       `"name" is a string: it cannot be compared with eq 5`,
		"count eq '7'":                    `"count" is a number`,
		"enabled eq 'true'":               `"enabled" is a boolean`,
		"enabled gt false":                `"enabled" is a boolean: it cannot be compared with gt false`,
		"hired eq '2026-06-19'":           `"hired" is a date and time`,
		"name in ('x',5)":                 `cannot be compared`,
		"contains(count,'7')":             `"count" is not a string, which contains needs`,
		"tolower(enabled) eq 'true'":      `"enabled" is not a string, which tolower needs`,
		"name eq 'Barbara' and name gt 1": `cannot be compared with gt 1`,
	}
	for source, want := range tests {
		ok, err := mustParse(t, source).Match(person)
		var e *Error
		if ok || !errors.As(err, &e) || !strings.Contains(e.Msg, want) {
			t.Errorf("%s: got %v, %v; want …%s…", source, ok, err, want)
		}
	}
	if _, err := (&Filter{}).Match(person); err == nil {
		t.Error("an empty filter matched")
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, c := range clientFilters {
		f.Add(c.source)
	}
	f.Add("phones/$count gt 1 or a/any(x:x/y/$count eq 0)")
	f.Add("a eq -1.5e3 or a eq 0000-01-01T00:00:00+10:00 and not (a/any(x:x/y/all(z:z ne tolower('É'))) eq 1")
	f.Fuzz(func(t *testing.T, source string) {
		got, err := ParseFilter(source)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Pos < 0 || e.Pos > len(source) {
				t.Fatalf("%q: %#v is not an *Error within the filter", source, err)
			}
			return
		}
		again, err := parse(got.String()) // canonical form may be longer than what is accepted
		if err != nil {
			t.Fatalf("%q prints as %q: %v", source, got, err)
		}
		if !reflect.DeepEqual(unplaced(again.Root), unplaced(got.Root)) {
			t.Fatalf("%q prints as %q, which is %q", source, got, again)
		}
		got.Paths()
		got.Conjuncts()
		if _, err := got.Match(person); err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%q: Match: %#v", source, err)
			}
		}
	})
}
