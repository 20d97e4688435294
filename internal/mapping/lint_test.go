package mapping

import (
	"fmt"
	"strings"
	"testing"
)

func TestLint(t *testing.T) {
	s := scoped(edited(func(s *Schema, _, _ *Object) {
		m := &s.Rules[0].ObjectMappings[0].AttributeMappings[0]
		m.Expression, m.TargetAttributeName = "[ExternalId]", "EmployeeID"
	},
		matching(mapped("jobTitle", "[title]"), 2),
		mapped("userPrincipalName", `"all@harbor.example"`),
		mapped("city", "tolower([aliases])"), mapped("state", "[aliases]"),
		mapped("employeeHireDate", "Now()"), flowing(mapped("employeeLeaveDateTime", "Now()"), FlowTypeObjectAdd),
		mapped("mail", "SelectUniqueValue([title], [locale])"), mapped("fixed", "[title]"),
		clearing(mapped("country", "[title]")), clearing(mapped("mobile", `"1"`)), flowing(clearing(mapped("streetAddress", "[gone]")), FlowTypeAttributeAdd),
		withDefault(mapped("usageLocation", `"DE"`), "AT"),
	), Filter{
		Groups: []FilterGroup{{Name: "g", Clauses: []Clause{clauseOf("Title", "equals", []string{"x"}), clauseOf("title", "NOT EQUALS", []string{"x"}), clauseOf("active", "IS TRUE", nil),
			clauseOf("aliases", "EQUALS", []string{"x"}), clauseOf("title", "REGEX MATCH", []string{"Pilot"})}}},
		InputGroups: []FilterGroup{{Name: "i", Clauses: []Clause{clauseOf("title", "!&", []string{"x"})}}},
	})
	var b strings.Builder
	for _, f := range Lint(s, settings) {
		about := f.Expression
		if about != "" {
			about = " — " + about[f.Pos:f.End]
		}
		fmt.Fprintf(&b, "%s (%s)\n  %s: %s%s\n", strings.ReplaceAll(f.Path, "synchronizationRules[0].objectMappings[0].", "…"), f.Name, f.Code, f.Message, about)
	}
	golden(t, "lint.txt", b.String())
}

func TestLintOfTemplates(t *testing.T) {
	for _, id := range Templates() {
		s, _ := Template(id)
		for _, f := range Lint(s, settings) {
			t.Errorf("%s: %+v", id, f)
		}
	}
	if f := Lint(standard(t), Settings{}); len(f) != 1 || f[0].Code != CodeDefaultDomain {
		t.Errorf("without a default domain: %v", f)
	}
	if f := Lint(&Schema{}, settings); f != nil {
		t.Errorf("%v", f)
	}
}
