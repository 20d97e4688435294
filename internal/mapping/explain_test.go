package mapping

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// text writes an explanation as a person would want to read it.
func (x *Explanation) text() string {
	var b strings.Builder
	if p := x.Outcome.Problem; p != nil {
		fmt.Fprintf(&b, "problem %s %s: %s\n", p.Code, p.Attribute, p.Reason)
	}
	fmt.Fprintf(&b, "scope: decided %v, in scope %v %s\n", x.Scope.Decided, x.Scope.InScope, x.Outcome.OutOfScope)
	for _, g := range x.Scope.Groups {
		fmt.Fprintf(&b, "  group %s (input %v) %v\n", g.Name, g.Input, g.Holds)
		for _, c := range g.Clauses {
			fmt.Fprintf(&b, "    %v %s  %q %s\n", c.Holds, c.Text, c.Value, c.Why)
		}
	}
	for _, m := range x.Outcome.Matching {
		fmt.Fprintf(&b, "match %s = %s\n", m.Attribute, m.Value)
	}
	for _, in := range x.Inputs {
		fmt.Fprintf(&b, "input %s sent=%v null=%v %q %s\n", in.Name, in.Sent, in.Null, in.Value, in.Problem)
	}
	for _, a := range x.Attributes {
		fmt.Fprintf(&b, "%s <- %s [%s, %s, matching %d] reads %q\n", a.Target, a.Expression, a.Type, a.FlowType, a.Matching, a.Reads)
		for _, s := range a.Steps {
			fmt.Fprintf(&b, "    %s", s.Func)
			for _, arg := range s.Args {
				if arg.Evaluated {
					fmt.Fprintf(&b, " %s=%q", arg.Name, arg.Value)
				}
			}
			fmt.Fprintf(&b, " gives %q %v\n", s.Result, s.Err)
		}
		fmt.Fprintf(&b, "    flows=%v null=%v %q %s\n", a.Flows, a.Null, a.Value, a.How)
		if a.Candidates != nil {
			fmt.Fprintf(&b, "    candidates %q\n", a.Candidates)
		}
	}
	return b.String()
}

func TestExplain(t *testing.T) {
	s := scoped(mini(
		mapped("userPrincipalName", `Join("@", ToLower([userName]), DefaultDomain())`),
		mapped("accountEnabled", "[active]"),
		withDefault(mapped("city", "[title]"), "Bremen"),
		clearing(mapped("state", "[gone]")),
		flowing(mapped("country", `"DE"`), FlowTypeAttributeAdd),
		flowing(mapped("otherMails", "[aliases]"), FlowTypeMultiValueAdd),
		mapped("jobTitle", `IIF([locale] = "x", IgnoreAttributeFlow, "y")`),
		mapped("mail", `SelectUniqueValue([locale], Join(".", [userName], "2"), [title])`),
		mapped("level", "[grade]"),
		mapped("surname", `Redact(ToUpper([secret]))`), mapped("givenName", `Append([secret], "!")`),
		mapped("manager", "["+enterprise+"manager]"),
		mapped("objectFilter", `IIF([locale] = "none", IgnoreObjectFlow, "False")`),
		withDefault(mapped("usageLocation", ""), "DE"),
		mapped("employeeHireDate", "Now()"),
	), Filter{
		Groups: []FilterGroup{{Name: "pilots", Clauses: []Clause{clauseOf("title", "EQUALS", []string{"Pilot"}), clauseOf("userName", "IS NULL", nil)}},
			{Name: "others", Clauses: []Clause{clauseOf("locale", "EQUALS", []string{"x"}), clauseOf("secret", "Includes", []string{"hunter"})}}},
		InputGroups: []FilterGroup{{Name: "all", Clauses: []Clause{clauseOf("externalId", "IS NOT NULL", nil)}}},
	})
	p := compiled(t, s, settings)
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var b strings.Builder
	for _, record := range []string{
		`{"externalId":"1","userName":"Ines","locale":"x","secret":"hunter2","aliases":["a","b"],"gone":null,"grade":7,"` + enterprise + `manager":"9"}`,
		`{"externalId":"2","userName":"Ole","locale":"de","secret":"hunter2","active":true}`,
		`{"externalId":"3","grade":"high","title":null}`,
		`{"userName":"Nobody"}`,
		`[]`,
	} {
		x := p.Explain(Record{Sent: []byte(record), Now: now})
		if text := x.text() + fmt.Sprintf("%+v", x.Outcome); strings.Contains(strings.ReplaceAll(strings.ToLower(text), "'hunter'", ""), "hunter") {
			t.Errorf("%s: something redacted is shown\n%s", record, text)
		}
		fmt.Fprintf(&b, "# %s\n%s\n", strings.ReplaceAll(record, "hunter2", "…"), x.text())
	}
	golden(t, "explain.txt", strings.ReplaceAll(b.String(), strings.TrimSuffix(enterprise, ":"), "enterprise"))
}

func TestExplainAgreesWithEvaluate(t *testing.T) {
	p := compiled(t, standard(t), settings)
	x := p.Explain(Record{Sent: []byte(full)})
	check(t, x.Outcome, strings.Join(render(p.Evaluate(Record{Sent: []byte(full)})), "\n"))
	flows := 0
	for _, a := range x.Attributes {
		if a.Flows {
			flows++
		}
	}
	if want := len(x.Outcome.Flows) + len(x.Outcome.References); flows != want || len(x.Attributes) != 21 {
		t.Errorf("%d of %d attributes flow, want %d", flows, len(x.Attributes), want)
	}
}

func TestRunTests(t *testing.T) {
	s := scoped(mini(
		mapped("city", `ToUpper([title])`), mapped("mailNickname", "[locale]"), flowing(mapped("mail", "[userName]"), FlowTypeObjectAdd),
		clearing(mapped("state", "[gone]")), mapped("otherMails", "[aliases]"), mapped("surname", "Redact([secret])"), mapped("manager", "["+enterprise+"manager]"),
		mapped("accountEnabled", "[active]"), mapped("employeeHireDate", "Now()"),
	), clauses(clauseOf("userType", "EQUALS", []string{"crew"})))
	const crew = `{"externalId":"1","userType":"crew","title":"Pilot","active":true,"userName":"a","gone":"","aliases":["x","y"],"secret":"hunter2","` + enterprise + `manager":"9"}`
	values := func(v ...string) []string { return v }
	passing := []Test{
		{Name: "a new person", Record: []byte(crew), Attributes: map[string][]string{"city": values("PILOT"), "mail": values("a"), "manager": values("9"), "otherMails": values("y", "x"), "state": nil}},
		{Name: "a person who is there", Record: []byte(crew), Update: true, Attributes: map[string][]string{"mail": nil, "state": nil}},
		{Name: "all of it", Record: []byte(`{"externalId":"2","userType":"crew","active":false}`), Exact: true,
			Attributes: map[string][]string{"employeeId": values("2"), "accountEnabled": values("False"), "employeeHireDate": values("2026-01-01T00:00:00Z")}},
		{Name: "out of scope", Record: []byte(`{"externalId":"1","userType":"guest"}`), OutOfScope: true, Clause: "userType EQUALS"},
		{Name: "by what was kept", Record: []byte(`{"externalId":"1"}`), Kept: []byte(`{"externalId":"1","userType":"guest"}`), OutOfScope: true},
		{Name: "a problem", Record: []byte(`{"userType":"crew"}`), Problem: "MissingValues", Reason: "Source identifier"},
		{Name: "a warning", Record: []byte(`{"externalId":"1","userType":"crew"}`), Warning: "no 'active'"},
	}
	results, err := RunTests(s, passing, settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Passed() {
			t.Errorf("%+v", r)
		}
	}

	failing := []Test{
		{Name: "values", Record: []byte(crew), Attributes: map[string][]string{"city": values("Pilot"), "mailNickname": values("a"), "state": values("x"), "country": values("DE"), "surname": values("x"), "otherMails": values("x"), "accountEnabled": nil}},
		{Name: "others", Record: []byte(`{"externalId":"1","userType":"crew","active":true,"title":" "}`), Exact: true, Attributes: map[string][]string{"employeeId": values("1")}},
		{Name: "no scope", Record: []byte(`{"externalId":"1","userType":"guest"}`)},
		{Name: "another clause", Record: []byte(`{"externalId":"1","userType":"guest"}`), OutOfScope: true, Clause: "title"},
		{Name: "no problem", Record: []byte(crew), Problem: "MissingValues"},
		{Name: "another reason", Record: []byte(`{"userType":"crew"}`), Problem: "MissingValues", Reason: "city"},
		{Name: "no warning", Record: []byte(crew), Warning: "no 'active'"},
		{Name: "no JSON", Record: []byte(`{`)},
		{Name: "both", Record: []byte(crew), Problem: "x", OutOfScope: true},
	}
	if results, err = RunTests(s, failing, settings); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "%s: passed %v %s\n", r.Name, r.Passed(), r.Err)
		for _, d := range r.Differences {
			fmt.Fprintf(&b, "  %s\n    want %s\n    got  %s\n    %s\n", d.What, d.Want, d.Got, d.Hint)
		}
	}
	if strings.Contains(b.String(), "hunter2") {
		t.Error("a redacted value is shown")
	}
	golden(t, "tests.txt", b.String())

	if _, err := RunTests(&Schema{}, passing, settings); err == nil {
		t.Error("a schema that cannot run has results")
	}
}
