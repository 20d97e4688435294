package mapping

import "testing"

func clauseOf(attribute, operator string, values []string) Clause {
	return Clause{SourceOperandName: attribute, OperatorName: operator, Values: values}
}

func TestScopingOperators(t *testing.T) {
	const (
		text   = `{"externalId":"1","title":"Pilot","grade":7,"active":true}`
		none   = `{"externalId":"1"}`
		null   = `{"externalId":"1","title":null,"grade":null,"active":null}`
		empty  = `{"externalId":"1","title":"","grade":"","active":""}`
		others = `{"externalId":"1","title":"pilot","grade":4,"active":false}`
	)
	tests := []struct {
		clause  Clause
		in, out []string
	}{
		{clauseOf("title", "EQUALS", []string{"Pilot"}), []string{text}, []string{others, none, null, empty}},
		{clauseOf("title", "NOT EQUALS", []string{"Pilot"}), []string{others}, []string{text, none, null, empty}},
		{clauseOf("grade", "EQUALS", []string{"07"}), []string{text}, []string{others, none, null, empty}},
		{clauseOf("active", "IS TRUE", nil), []string{text}, []string{others, none, null, empty}},
		{clauseOf("active", "IS FALSE", nil), []string{others}, []string{text, none, null, empty}},
		{clauseOf("title", "IS NULL", nil), []string{none, null, empty}, []string{text, others}},
		{clauseOf("title", "IS NOT NULL", []string{""}), []string{text, others}, []string{none, null, empty}},
		{clauseOf("title", "REGEX MATCH", []string{"^P.*t$"}), []string{text}, []string{others, none, null, empty}},
		{clauseOf("title", "REGEX MATCH", []string{"ilo"}), []string{text, others}, []string{none, null, empty}},
		{clauseOf("title", "NOT REGEX MATCH", []string{"^P"}), []string{others}, []string{text, none, null, empty}},
		{clauseOf("grade", "Greater_Than", []string{"4"}), []string{text}, []string{others, none, null, empty}},
		{clauseOf("grade", "Greater_Than_OR_EQUALS", []string{"4"}), []string{text, others}, []string{none, null, empty}},
		{clauseOf("title", "Includes", []string{"Pi"}), []string{text}, []string{others, none, null, empty}},
		{clauseOf("title", "ENDS_WITH", []string{"lot"}), []string{text, others}, []string{none, null, empty}},
		{clauseOf("grade", "&", []string{"2"}), []string{text}, []string{others, none, null, empty}},
		{clauseOf("grade", "!&", []string{"2"}), []string{others}, []string{text, none, null, empty}},
		{clauseOf("title", "&", []string{"Pilot, Purser"}), []string{text}, []string{others, none, null, empty}},
		{clauseOf("title", "!&", []string{"Pilot", "Purser"}), []string{others}, []string{text, none, null, empty}},
		{clauseOf("aliases", "EQUALS", []string{"a"}), []string{`{"externalId":"1","aliases":["a"]}`, `{"externalId":"1","aliases":["a","a"]}`}, []string{`{"externalId":"1","aliases":["a","b"]}`, `{"externalId":"1","aliases":[]}`, none}},
		{clauseOf("aliases", "NOT EQUALS", []string{"a"}), []string{`{"externalId":"1","aliases":["b","c"]}`}, []string{`{"externalId":"1","aliases":["a","b"]}`, none}},
		{clauseOf("TITLE", "equals", []string{"Pilot"}), []string{text}, []string{others}},
	}
	for _, tt := range tests {
		s := mini()
		s.Rules[0].ObjectMappings[0].Scope = &Filter{Groups: []FilterGroup{{Name: "g", Clauses: []Clause{tt.clause}}}}
		p := compiled(t, s, settings)
		for _, record := range tt.in {
			if out := p.Evaluate(Record{Sent: []byte(record)}); out.OutOfScope != "" || out.Problem != nil {
				t.Errorf("%v: %s is out of scope: %s %v", tt.clause, record, out.OutOfScope, out.Problem)
			}
		}
		for _, record := range tt.out {
			if out := p.Evaluate(Record{Sent: []byte(record)}); out.OutOfScope == "" {
				t.Errorf("%v: %s is in scope: %v", tt.clause, record, out.Problem)
			}
		}
	}
}

func TestScope(t *testing.T) {
	const department = enterprise + "department"
	sales := FilterGroup{Name: "Only sales", Clauses: []Clause{clauseOf(department, "EQUALS", []string{"Sales"})}}
	pilots := FilterGroup{Name: "Pilots", Clauses: []Clause{clauseOf("title", "EQUALS", []string{"Pilot"}), clauseOf("userType", "IS NOT NULL", nil)}}
	person := func(department, title, userType string) string {
		return `{"externalId":"1","title":"` + title + `","userType":"` + userType + `","` + enterprise[:len(enterprise)-1] + `":{"department":"` + department + `"}}`
	}
	tests := []struct {
		about      string
		groups     []FilterGroup
		sent, kept string
		want       string
	}{
		{"no group, everybody", nil, person("Sales", "", ""), "", ""},
		{"the clause holds", []FilterGroup{sales}, person("Sales", "", ""), "", ""},
		{"the clause fails", []FilterGroup{sales}, person("Crew", "", ""), "", "Only sales.department EQUALS 'Sales'"},
		{"one of the groups", []FilterGroup{sales, pilots}, person("Crew", "Pilot", "x"), "", ""},
		{"none of the groups", []FilterGroup{sales, pilots}, person("Crew", "Pilot", ""), "", "Only sales.department EQUALS 'Sales'; Pilots.userType IS NOT NULL"},
		{"what was kept decides", []FilterGroup{sales}, `{"externalId":"1"}`, person("Sales", "", ""), ""},
		{"what was kept decides against", []FilterGroup{sales}, person("Sales", "", ""), person("Crew", "", ""), "Only sales.department EQUALS 'Sales'"},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			s := standard(t)
			s.Rules[0].ObjectMappings[0].Scope = &Filter{Groups: tt.groups}
			r := Record{Sent: []byte(tt.sent)}
			if tt.kept != "" {
				r.Kept = []byte(tt.kept)
			}
			out := compiled(t, s, settings).Evaluate(r)
			if out.OutOfScope != tt.want || out.Problem != nil {
				t.Errorf("%q %v, want %q", out.OutOfScope, out.Problem, tt.want)
			}
			if tt.want != "" && (len(out.Flows) > 0 || len(out.Matching) > 0) {
				t.Errorf("flows although out of scope: %+v", out)
			}
		})
	}
}

func TestInputFilters(t *testing.T) {
	crew := FilterGroup{Name: "Crew", Clauses: []Clause{clauseOf("userType", "EQUALS", []string{"crew"})}}
	pilots := FilterGroup{Name: "Pilots", Clauses: []Clause{clauseOf("title", "EQUALS", []string{"Pilot"})}}
	p := compiled(t, scoped(mini(), Filter{Groups: []FilterGroup{pilots}, InputGroups: []FilterGroup{crew}}), settings)
	for _, tt := range []struct {
		record, out string
		input       bool
	}{
		{`{"externalId":"1","userType":"crew","title":"Pilot"}`, "", false},
		{`{"externalId":"1","userType":"crew","title":"Purser"}`, "Pilots.title EQUALS 'Pilot'", false},
		{`{"externalId":"1","userType":"office","title":"Purser"}`, "Crew.userType EQUALS 'crew'", true},
	} {
		if out := p.Evaluate(Record{Sent: []byte(tt.record)}); out.OutOfScope != tt.out || out.OutOfInput != tt.input {
			t.Errorf("%s: %q %v", tt.record, out.OutOfScope, out.OutOfInput)
		}
	}
}

func TestScopeThatCannotBeDecided(t *testing.T) {
	s := mini()
	s.Rules[0].ObjectMappings[0].Scope = &Filter{Groups: []FilterGroup{{Clauses: []Clause{clauseOf("title", "Greater_Than", []string{"4"})}}}}
	check(t, compiled(t, s, settings).Evaluate(Record{Sent: []byte(`{"externalId":"1","title":"high"}`)}), "problem EntrySynchronizationError title")
}

// TestOperators holds the listing to what compiles: each operator takes each of its types, with the values that it says.
func TestOperators(t *testing.T) {
	attribute := map[string]string{"String": "title", "Integer": "grade", "Boolean": "active", "Binary": "photo"}
	for _, op := range Operators() {
		for _, typ := range op.Types {
			values := []string{"7"}
			if op.Unary {
				values = nil
			}
			s := edited(func(_ *Schema, source, _ *Object) {
				source.Attributes = append(source.Attributes, Attribute{Name: "photo", Type: "Binary"})
			})
			compiled(t, scoped(s, clauses(clauseOf(attribute[typ], op.Name, values))), settings)
		}
	}
	if n := len(Operators()); n != 14 {
		t.Errorf("%d operators", n)
	}
}
