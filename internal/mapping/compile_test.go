package mapping

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// golden compares with a file of testdata; -update writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; see what changed with -update and git diff. Got\n%s", path, got)
	}
}

var update = flag.Bool("update", false, "write the golden files")

// scoped is mini with a scope.
func scoped(s *Schema, f Filter) *Schema {
	s.Rules[0].ObjectMappings[0].Scope = &f
	return s
}

func clauses(c ...Clause) Filter { return Filter{Groups: []FilterGroup{{Name: "g", Clauses: c}}} }

func flowing(m AttributeMapping, flowType string) AttributeMapping { m.FlowType = flowType; return m }

func clearing(m AttributeMapping) AttributeMapping { m.FlowNullValues = true; return m }

// edited is mini after a change.
func edited(change func(s *Schema, source, target *Object), rules ...AttributeMapping) *Schema {
	s := mini(rules...)
	change(s, &s.Directories[0].Objects[0], &s.Directories[1].Objects[0])
	return s
}

// refused are schemas that cannot run.
func refused() []struct {
	about  string
	schema *Schema
} {
	return []struct {
		about  string
		schema *Schema
	}{
		{"names", mini(mapped("noSuch", "[title]"), mapped("citty", "[title]"), mapped("state", "[noSource]"), mapped("country", "[tittle]"))},
		{"expressions", mini(mapped("city", `Join("",`), mapped("state", `Nobody([title])`), mapped("country", `Mid([title], "x", 1)`), mapped("mail", ""))},
		{"twice", mini(mapped("city", "[title]"), mapped("City", "[locale]"), matching(mapped("mobile", "[title]"), 1))},
		{"read-only", mini(mapped("objectId", "[title]"), mapped("IsSoftDeleted", "False"))},
		{"references", mini(mapped("manager", `Join("", [`+enterprise+`manager])`), withDefault(mapped("manager2", "[title]"), "x"))},
		{"a reference's object", edited(func(_ *Schema, _, target *Object) {
			i, _ := indexed(target).at("manager")
			target.Attributes[i].References = "Person"
		}, withDefault(mapped("manager", "[aliases]"), "7"))},
		{"flow types", mini(flowing(mapped("city", "[title]"), "Sometimes"), flowing(mapped("state", "[title]"), FlowTypeMultiValueAdd),
			AttributeMapping{TargetAttributeName: "country", Expression: "[title]", FlowBehavior: "FlowNever"})},
		{"clearing", mini(clearing(matching(mapped("mail", "[title]"), 2)), clearing(mapped("displayName", "[title]")), clearing(mapped("otherMails", "[aliases]")))},
		{"types", mini(mapped("level", "[shown]"), mapped("employeeHireDate", "[grade]"), mapped("showInAddressList", "[hired]"), mapped("employeeLeaveDateTime", "IsNull([title])"),
			mapped("accountEnabled", `"perhaps"`), mapped("usageLocation", `"DEU"`))},
		{"default values", mini(withDefault(mapped("accountEnabled", "[active]"), "perhaps"), withDefault(mapped("usageLocation", ""), "DEU"))},
		{"matching", mini(matching(mapped("otherMails", "[aliases]"), 2), matching(mapped("accountEnabled", "[active]"), 3), matching(mapped("employeeHireDate", "[hired]"), 4),
			matching(mapped("extensionAttribute1", "[title]"), 5), matching(mapped("CSA.hr.clearance", "[title]"), 6), matching(mapped("mail", `"a@b.example"`), 7),
			matching(mapped("userPrincipalName", `SelectUniqueValue([title], [userName])`), 8), matching(mapped("mobile", "Redact([secret])"), 9), matching(withDefault(mapped("city", ""), "x"), 10),
			matching(mapped("state", "[title]"), -1))},
		{"unique values", mini(mapped("otherMails", `SelectUniqueValue([title], [userName])`), mapped("city", `Join("", SelectUniqueValue([title], [userName]))`))},
		{"filters", scoped(mini(), clauses(
			clauseOf("title", "LIKE", []string{"x"}), clauseOf("title", "EQUALS", nil), clauseOf("title", "IS NULL", []string{"x"}), clauseOf("active", "EQUALS", []string{"True"}),
			clauseOf("title", "IS TRUE", nil), clauseOf("hired", "IS NULL", nil), clauseOf("grade", "Greater_Than", []string{"x"}), clauseOf("title", "REGEX MATCH", []string{"("}),
			clauseOf("nobody", "IS NULL", nil), clauseOf("tittle", "IS NULL", nil), clauseOf("title", "Includes", []string{""})))},
		{"filter groups", scoped(mini(), Filter{Groups: []FilterGroup{{Name: "empty"}}, CategoryGroups: []FilterGroup{{Name: "c"}}, InputGroups: []FilterGroup{{Name: "i", Clauses: []Clause{clauseOf("nobody", "IS NULL", nil)}}}})},
		{"anchors", edited(func(_ *Schema, source, _ *Object) {
			source.Attributes[0].Anchor = false
			source.Attributes[1].Anchor = true
		})},
		{"no anchor", edited(func(s *Schema, source, _ *Object) {
			source.Attributes[0].Name = "id"
			s.Rules[0].ObjectMappings[0].AttributeMappings[0].Expression = "[id]"
		})},
		{"definitions", edited(func(s *Schema, source, _ *Object) {
			source.Attributes = append(source.Attributes, Attribute{Name: "title"}, Attribute{Name: "x", Type: "Text"}, Attribute{})
			s.Directories = append(s.Directories, s.Directories[0])
			s.Directories[1].Objects = append(s.Directories[1].Objects, s.Directories[1].Objects[0])
		})},
		{"too much", edited(func(s *Schema, source, _ *Object) {
			m := &s.Rules[0].ObjectMappings[0]
			m.AttributeMappings = slices.Repeat(m.AttributeMappings, 1001)
			m.Scope = &Filter{Groups: make([]FilterGroup, 201)}
			source.Attributes = append(source.Attributes, Attribute{Name: strings.Repeat("n", 513)})
		})},
		{"no object mapping", edited(func(s *Schema, _, _ *Object) { s.Rules[0].ObjectMappings[0].Enabled = false })},
		{"two object mappings", edited(func(s *Schema, _, _ *Object) {
			s.Rules[0].ObjectMappings = append(s.Rules[0].ObjectMappings, s.Rules[0].ObjectMappings[0])
		})},
		{"no directory", edited(func(s *Schema, _, _ *Object) {
			s.Rules[0].SourceDirectoryName, s.Rules[0].TargetDirectoryName = "HR", ""
		})},
		{"no object", edited(func(s *Schema, _, _ *Object) { s.Rules[0].ObjectMappings[0].TargetObjectName = "Person" })},
		{"no matching attribute", edited(func(s *Schema, _, _ *Object) { s.Rules[0].ObjectMappings[0].AttributeMappings[0].MatchingPriority = 0 })},
		{"nothing", &Schema{}},
	}
}

func TestTemplatesCompile(t *testing.T) {
	for _, id := range Templates() {
		s, ok := Template(id)
		if !ok {
			t.Fatalf("there is no template %s", id)
		}
		if p := compiled(t, s, settings); !p.Pure() {
			t.Errorf("%s reads the clock or randomness", id)
		}
	}
}

// TestReferencePageIsTrue holds the page that lists the default rules to the templates.
func TestReferencePageIsTrue(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "default-mapping.md"))
	if err != nil {
		t.Fatal(err)
	}
	cloud, onPremises, ok := strings.Cut(string(b), "## Active Directory")
	if !ok {
		t.Fatal("the page has no part about Active Directory")
	}
	for id, page := range map[string]string{"API2AAD": cloud, "API2AD": onPremises} {
		s, _ := Template(id)
		for _, m := range s.Rules[0].ObjectMappings[0].AttributeMappings {
			source := m.Expression
			if m.Type() == Direct {
				source = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(source, "["), "]"), enterprise, "enterprise:")
			}
			row := "| `" + source + "` | `" + m.TargetAttributeName + "` |"
			if m.TargetAttributeName == "sAMAccountName" {
				row = "at its end | `sAMAccountName` |"
			}
			i := strings.Index(page, row)
			if i < 0 {
				t.Errorf("%s: the page has no row %s", id, row)
				continue
			}
			line, _, _ := strings.Cut(page[i:], "\n")
			if once := strings.Contains(line, "only when the person is created"); once != (m.FlowType == FlowTypeObjectAdd) {
				t.Errorf("%s: %s is %s", id, line, m.FlowType)
			}
		}
		if rows, want := strings.Count(page, "| `"), len(s.Rules[0].ObjectMappings[0].AttributeMappings); rows < want {
			t.Errorf("%s: %d rows, want %d", id, rows, want)
		}
	}
}

func TestOnPremisesTemplate(t *testing.T) {
	s, _ := Template("API2AD")
	record := strings.Replace(full, "ines.koch@hr.example", `i/n[e]s\\.k:o;c|h=,+*?<>.long.name....@hr.example`, 1)
	check(t, compiled(t, s, settings).Evaluate(Record{Sent: []byte(record)}), `
		match employeeID = 7001
		employeeID = 7001
		accountDisabled = False
		cn = Ines Koch (on create)
		sAMAccountName = ines.koch.long.name (on create)
		userPrincipalName = i/n[e]s\.k:o;c|h=,+*?<>.long.name....@harbor.example (on create)
		displayName = Ines Koch
		givenName = Ines
		sn = Koch
		title = Pilot
		department = Sales
		company = Harbor
		streetAddress = Kai 1
		l = Hamburg
		st = HH
		postalCode = 20457
		co = DE
		telephoneNumber = +49 40 1
		mobile = +49 170 1
		mail = ines.koch@harbor.example
		preferredLanguage = de-DE
		manager -> 7000`)
	check(t, compiled(t, s, settings).Evaluate(Record{Sent: []byte(`{"externalId":"1"}`)}), `
		match employeeID = 1
		employeeID = 1
		accountDisabled = True (on create)
		sAMAccountName =  (on create)
		userPrincipalName = @harbor.example (on create)
		warning: The record has no 'active'`)
}

func TestCompileSaysEverythingThatIsWrong(t *testing.T) {
	var b strings.Builder
	for _, tt := range refused() {
		_, err := Compile(tt.schema, settings)
		var bad *SchemaError
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v", tt.about, err)
			continue
		}
		fmt.Fprintf(&b, "# %s\n", tt.about)
		for _, p := range bad.Problems {
			short := strings.ReplaceAll(p.String(), "synchronizationRules[0].objectMappings[0].", "…")
			fmt.Fprintln(&b, strings.ReplaceAll(short, strings.TrimSuffix(enterprise, ":"), "enterprise"))
			if p.Expression != "" && (p.Pos < 0 || p.Pos > p.End || p.Pos > len(p.Expression)) {
				t.Errorf("%+v", p)
			}
		}
	}
	golden(t, "compile.txt", b.String())
}

func TestManyProblemsAreBounded(t *testing.T) {
	var rules []AttributeMapping
	for i := range 500 {
		rules = append(rules, mapped(fmt.Sprintf("%s%d", strings.Repeat("x", 1000), i), "[nobody]"))
	}
	_, err := Compile(mini(rules...), settings)
	var bad *SchemaError
	if !errors.As(err, &bad) || len(bad.Problems) != maxProblems || len(err.Error()) > maxProblems*500 {
		t.Errorf("%.200s", err)
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
