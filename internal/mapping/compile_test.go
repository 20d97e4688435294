package mapping

import (
	"errors"
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	if _, ok := Template("API2AD2"); ok {
		t.Error("there is a template that should not be")
	}
	s, other := standard(t), standard(t)
	s.Rules[0].ObjectMappings[0].AttributeMappings[0].Expression = "changed"
	if other.Rules[0].ObjectMappings[0].AttributeMappings[0].Expression != "[externalId]" {
		t.Error("two copies of a template share memory")
	}
	if other.Directories[0].Name != "API" || other.Directories[0].Objects[0].Name != "User" || other.Directories[1].Name != "Azure Active Directory" {
		t.Error("clients expect the directory API with the object User first")
	}
}

func TestCompileSaysEverythingThatIsWrong(t *testing.T) {
	s := mini(
		mapped("noSuch", "[title]"),
		mapped("city", "[noSource]"),
		mapped("state", `Join("",`),
		mapped("country", "[title]"), mapped("Country", "[locale]"),
		mapped("manager", `Join("", ["`+enterprise+`manager"])`),
		mapped("objectId", "[title]"),
		mapped("mail", ""),
		matching(mapped("mobile", "[title]"), 1),
		AttributeMapping{TargetAttributeName: "surname", Expression: "[title]", FlowType: "ValueAddOnly"},
		withDefault(mapped("accountEnabled", "[active]"), "perhaps"),
		matching(mapped("otherMails", "[aliases]"), 7),
	)
	s.Rules[0].ObjectMappings[0].Scope = &Filter{Groups: []FilterGroup{{Name: "g", Clauses: []Clause{
		{SourceOperandName: "title", OperatorName: "LIKE", Values: []string{"x"}},
		{SourceOperandName: "title", OperatorName: "EQUALS", Values: nil},
		{SourceOperandName: "title", OperatorName: "IS NULL", Values: []string{"x"}},
		{SourceOperandName: "active", OperatorName: "EQUALS", Values: []string{"True"}},
		{SourceOperandName: "title", OperatorName: "IS TRUE", Values: nil},
		{SourceOperandName: "hired", OperatorName: "IS NULL", Values: nil},
		{SourceOperandName: "aliases", OperatorName: "EQUALS", Values: []string{"x"}},
		{SourceOperandName: "grade", OperatorName: "Greater_Than", Values: []string{"x"}},
		{SourceOperandName: "title", OperatorName: "REGEX MATCH", Values: []string{"("}},
		{SourceOperandName: "nobody", OperatorName: "IS NULL", Values: nil},
	}}, {Name: "empty"}}}
	_, err := Compile(s, settings)
	var bad *SchemaError
	if !errors.As(err, &bad) {
		t.Fatalf("%v", err)
	}
	const place = "synchronizationRules[0].objectMappings[0]."
	want := []string{
		place + "attributeMappings[1] (noSuch): the target object",
		place + "attributeMappings[2] (city): the expression is wrong at character 1:",
		place + "attributeMappings[3] (state): the expression is wrong at character",
		place + "attributeMappings[5] (Country): the target attribute is mapped twice",
		place + "attributeMappings[6] (manager): ",
		place + "attributeMappings[7] (objectId): the target sets",
		place + "attributeMappings[8] (mail): there is neither",
		place + "attributeMappings[9] (mobile): the matching priority 1 is taken by employeeId",
		place + "attributeMappings[10] (surname): the flowType",
		place + "attributeMappings[11] (accountEnabled): the default value",
		place + "attributeMappings[12] (otherMails): people cannot be matched",
		place + "scope.groups[0].clauses[0] (title): there is no operator",
		place + "scope.groups[0].clauses[1] (title): EQUALS takes one value, not 0",
		place + "scope.groups[0].clauses[2] (title): IS NULL takes no value, not 1",
		place + "scope.groups[0].clauses[3] (active): EQUALS takes String, Integer, and active is a Boolean",
		place + "scope.groups[0].clauses[4] (title): IS TRUE takes Boolean",
		place + "scope.groups[0].clauses[5] (hired): IS NULL takes",
		place + "scope.groups[0].clauses[6] (aliases): aliases has several values",
		place + `scope.groups[0].clauses[7] (grade): the value "x" is not an Integer`,
		place + "scope.groups[0].clauses[8] (title): the pattern",
		place + "scope.groups[0].clauses[9] (nobody): the source object",
		place + "scope.groups[1]: the group has no clause",
	}
	for i := range max(len(want), len(bad.Problems)) {
		switch {
		case i >= len(want):
			t.Errorf("also %s", bad.Problems[i].String())
		case i >= len(bad.Problems):
			t.Errorf("not said: %s", want[i])
		case !strings.HasPrefix(bad.Problems[i].String(), want[i]):
			t.Errorf("%s\nwant %s", bad.Problems[i].String(), want[i])
		}
	}
}

func TestCompileNeedsOneObjectMapping(t *testing.T) {
	tests := []struct {
		about  string
		change func(s *Schema)
		want   string
	}{
		{"none enabled", func(s *Schema) { s.Rules[0].ObjectMappings[0].Enabled = false }, "no object mapping is enabled"},
		{"two enabled", func(s *Schema) {
			s.Rules[0].ObjectMappings = append(s.Rules[0].ObjectMappings, s.Rules[0].ObjectMappings[0])
		}, "objectMappings[1]: a job provisions one type of object"},
		{"no such directory", func(s *Schema) { s.Rules[0].SourceDirectoryName = "HR" }, `no directory "HR"`},
		{"no such object", func(s *Schema) { s.Rules[0].ObjectMappings[0].TargetObjectName = "Person" }, `no object "Person"`},
		{"no matching attribute", func(s *Schema) { s.Rules[0].ObjectMappings[0].AttributeMappings[0].MatchingPriority = 0 }, "no attribute mapping is a matching attribute"},
		{"reference by function", func(s *Schema) {
			s.Rules[0].ObjectMappings[0].AttributeMappings[9].Expression = `ToLower([` + enterprise + `manager], )`
		}, "a reference must be mapped from a plain attribute"},
		{"empty schema", func(s *Schema) { *s = Schema{} }, "no object mapping is enabled"},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			s := standard(t)
			tt.change(s)
			if _, err := Compile(s, settings); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNamesAreComparedWithoutCase(t *testing.T) {
	p := compiled(t, mini(mapped("CITY", "[TITLE]")), settings)
	check(t, p.Evaluate(Record{Sent: []byte(`{"externalId":"1","title":"x"}`)}), "match employeeId = 1\nemployeeId = 1\ncity = x")
}

func TestPlainAttributesTakeTheFastPath(t *testing.T) {
	p := compiled(t, mini(mapped("city", " [TITLE] "), mapped("state", `[emails[type eq "work"].value]`), mapped("mail", `Join("", [title])`)), settings)
	for _, r := range p.rules {
		if fast := r.expr == nil; fast != (r.target.Name != "mail") {
			t.Errorf("%s: fast = %v", r.text, fast)
		}
	}
}
