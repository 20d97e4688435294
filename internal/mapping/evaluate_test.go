package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"induct/internal/expr"
)

var settings = Settings{DefaultDomain: "harbor.example"}

// full is a record that gives every default mapping a value.
const full = `{
	"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
	"externalId": "7001", "userName": "ines.koch@hr.example", "active": true, "displayName": "Ines Koch",
	"name": {"givenName": "Ines", "familyName": "Koch"}, "title": "Pilot", "userType": "Employee", "preferredLanguage": "de-DE",
	"emails": [{"type": "work", "value": "ines.koch@harbor.example"}],
	"phoneNumbers": [{"type": "work", "value": "+49 40 1"}, {"type": "mobile", "value": "+49 170 1"}],
	"addresses": [{"type": "work", "streetAddress": "Kai 1", "locality": "Hamburg", "region": "HH", "postalCode": "20457", "country": "DE"}],
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
		"department": "Sales", "organization": "Harbor", "manager": {"value": "7000"}}
}`

func standard(t testing.TB) *Schema {
	t.Helper()
	s, ok := Template("API2AAD")
	if !ok {
		t.Fatal("there is no template API2AAD")
	}
	return s
}

func compiled(t testing.TB, s *Schema, set Settings) *Program {
	t.Helper()
	p, err := Compile(s, set)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// render writes an outcome as the tests below expect it: one fact per line.
func render(o Outcome) []string {
	var lines []string
	if o.Problem != nil {
		lines = append(lines, fmt.Sprintf("problem %s %s", o.Problem.Code, o.Problem.Attribute))
	}
	if o.OutOfScope != "" {
		lines = append(lines, "out of scope: "+o.OutOfScope)
	}
	for _, m := range o.Matching {
		lines = append(lines, "match "+m.Attribute+" = "+m.Value.String())
	}
	for _, f := range o.Flows {
		line := f.Attribute + " = " + f.Value.String()
		if f.Value.Kind() == expr.List {
			line = f.Attribute + " = [" + f.Value.String() + "]"
		}
		for _, word := range []struct {
			is   bool
			text string
		}{{f.CreateOnly, "on create"}, {f.WhenEmpty, "when empty"}, {f.AddValues, "adds"}, {f.Always, "always"}, {f.Clear, "clears"}, {f.Unique, "unique"}} {
			if word.is {
				line += " (" + word.text + ")"
			}
		}
		if f.Default {
			line += " (default)"
		}
		if f.Redacted {
			line += " (redacted)"
		}
		lines = append(lines, line)
	}
	for _, r := range o.References {
		line := r.Attribute + " -> " + r.Anchor
		if r.CreateOnly {
			line += " (on create)"
		}
		if r.WhenEmpty {
			line += " (when empty)"
		}
		if r.Clear {
			line += "(clears)"
		}
		lines = append(lines, line)
	}
	for _, w := range o.Warnings {
		before, _, _ := strings.Cut(w, ":")
		lines = append(lines, "warning: "+before)
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

func check(t *testing.T, o Outcome, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if got := render(o); !slices.Equal(got, lines) {
		t.Errorf("got\n\t%s\nwant\n\t%s\n%+v", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"), o.Problem)
	}
}

func TestDefaultMapping(t *testing.T) {
	out := compiled(t, standard(t), settings).Evaluate(Record{Sent: []byte(full)})
	check(t, out, `
		match employeeId = 7001
		employeeId = 7001
		userPrincipalName = ines.koch@harbor.example
		accountEnabled = True
		displayName = Ines Koch
		givenName = Ines
		surname = Koch
		jobTitle = Pilot
		department = Sales
		companyName = Harbor
		streetAddress = Kai 1
		city = Hamburg
		state = HH
		postalCode = 20457
		country = DE
		telephoneNumber = +49 40 1
		mobile = +49 170 1
		preferredLanguage = de-DE
		employeeType = Employee
		mailNickname = ines.koch (on create)
		mail = ines.koch@harbor.example
		manager -> 7000`)
	if out.DisplayName != "Ines Koch" || out.Active == nil || !*out.Active {
		t.Errorf("DisplayName = %q, Active = %v", out.DisplayName, out.Active)
	}
	if len(out.Unread) > 0 {
		t.Errorf("Unread = %q", out.Unread)
	}
	if len(out.Source) != 20 || out.Source[0] != (Imported{"externalId", "7001"}) {
		t.Errorf("Source = %v", out.Source)
	}
}

// mini is a schema with few rules, for what the default mapping does not show.
func mini(rules ...AttributeMapping) *Schema {
	s, _ := Template("API2AAD")
	s.Directories[0].Objects[0].Attributes = append(s.Directories[0].Objects[0].Attributes,
		Attribute{Name: "hired", Type: "DateTime"}, Attribute{Name: "grade", Type: "Integer"}, Attribute{Name: "shown", Type: "Boolean"},
		Attribute{Name: "aliases", Type: "String", MultiValued: true}, Attribute{Name: "secret"}, Attribute{Name: "urn:harbor:crew:berth"})
	for _, name := range []string{"gone", "berth.gone", `ims[type eq "gone"].value`, "urn:harbor:crew:gone"} {
		s.Directories[0].Objects[0].Attributes = append(s.Directories[0].Objects[0].Attributes, Attribute{Name: name, FlowNullValues: true})
	}
	ground := "ground"
	s.Directories[1].Objects[0].Attributes = append(s.Directories[1].Objects[0].Attributes,
		Attribute{Name: "level", Type: "Integer"}, Attribute{Name: "CSA.hr.clearance"},
		Attribute{Name: "fixed", Mutability: "Immutable"}, Attribute{Name: "floor", DefaultValue: &ground})
	match := AttributeMapping{TargetAttributeName: "employeeId", Expression: "[externalId]", MatchingPriority: 1}
	s.Rules[0].ObjectMappings[0].AttributeMappings = append([]AttributeMapping{match}, rules...)
	return s
}

func mapped(target, expression string) AttributeMapping {
	return AttributeMapping{TargetAttributeName: target, Expression: expression}
}

func withDefault(m AttributeMapping, value string) AttributeMapping {
	m.DefaultValue = &value
	return m
}

func matching(m AttributeMapping, priority int) AttributeMapping {
	m.MatchingPriority = priority
	return m
}

func TestEvaluate(t *testing.T) {
	const id = "match employeeId = 1\nemployeeId = 1\n"
	disable := Settings{DefaultDomain: "harbor.example", DisableMissing: true}
	tests := []struct {
		about  string
		rules  []AttributeMapping
		set    Settings
		record string
		want   string
	}{
		{"absent and null do not flow", []AttributeMapping{mapped("city", "[title]"), mapped("state", "[locale]")}, settings,
			`{"externalId":"1","title":null}`, id},
		{"the empty text flows", []AttributeMapping{mapped("city", "[title]")}, settings,
			`{"externalId":"1","title":""}`, id + "city = "},
		{"a default value is for creating", []AttributeMapping{withDefault(mapped("city", "[title]"), "Bremen")}, settings,
			`{"externalId":"1"}`, id + "city = Bremen (default)"},
		{"a default value gives way to any value", []AttributeMapping{withDefault(mapped("city", "[title]"), "Bremen")}, settings,
			`{"externalId":"1","title":""}`, id + "city = "},
		{"a rule without source has only its default", []AttributeMapping{withDefault(mapped("usageLocation", ""), "DE")}, settings,
			`{"externalId":"1"}`, id + "usageLocation = DE (default)"},
		{"a constant", []AttributeMapping{mapped("usageLocation", `"DE"`)}, settings,
			`{"externalId":"1"}`, id + "usageLocation = DE"},
		{"an empty reference does not flow", []AttributeMapping{mapped("manager", "["+enterprise+"manager]")}, settings,
			`{"externalId":"1","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":" "}}}`, id},
		{"a number is an anchor", nil, settings,
			`{"externalId":17}`, "match employeeId = 17\nemployeeId = 17"},
		{"no source identifier", nil, settings, `{"userName":"a"}`, "problem MissingValues externalId"},
		{"a blank source identifier", nil, settings, `{"externalId":"  "}`, "problem MissingValues externalId"},
		{"a null source identifier", nil, settings, `{"externalId":null}`, "problem MissingValues externalId"},

		{"matching attributes in their order", []AttributeMapping{matching(mapped("userPrincipalName", "[userName]"), 3), matching(mapped("mail", "[title]"), 2)}, settings,
			`{"externalId":"1","userName":"u","title":""}`, "match employeeId = 1\nmatch userPrincipalName = u\nemployeeId = 1\nuserPrincipalName = u"},

		{"without active nobody is disabled", []AttributeMapping{mapped("accountEnabled", "[active]")}, settings,
			`{"externalId":"1"}`, id + "accountEnabled = False (on create)\nwarning: The record has no 'active'"},
		{"null is no active", []AttributeMapping{mapped("accountEnabled", "[active]")}, settings,
			`{"externalId":"1","active":null}`, id + "accountEnabled = False (on create)\nwarning: The record has no 'active'"},
		{"the schema may say what a missing active means", []AttributeMapping{withDefault(mapped("accountEnabled", "[active]"), "True")}, settings,
			`{"externalId":"1"}`, id + "accountEnabled = True (default)\nwarning: The record has no 'active'"},
		{"without active the compatible setting disables", []AttributeMapping{mapped("accountEnabled", "[active]")}, disable,
			`{"externalId":"1"}`, id + "accountEnabled = False\nwarning: The record has no 'active', which this job reads as False"},
		{"expressions on a missing active are for creating", []AttributeMapping{mapped("accountEnabled", "[active]"), mapped("city", `Switch([active], "in", "False", "out")`)}, settings,
			`{"externalId":"1"}`, id + "accountEnabled = False (on create)\ncity = out (on create)\nwarning: The record has no 'active'"},
		{"active as text", []AttributeMapping{mapped("accountEnabled", "[active]")}, settings, `{"externalId":"1","active":"True"}`, id + "accountEnabled = True"},
		{"active as number", []AttributeMapping{mapped("accountEnabled", "[active]")}, settings, `{"externalId":"1","active":0}`, id + "accountEnabled = False"},
		{"active as something else", []AttributeMapping{mapped("accountEnabled", "[active]")}, settings, `{"externalId":"1","active":"yes"}`, "problem EntrySynchronizationError active"},
		{"active as a list", []AttributeMapping{mapped("accountEnabled", "[active]")}, settings, `{"externalId":"1","active":[true,false]}`, "problem SchemaPropertyCanOnlyAcceptValue active"},
		{"a bad value that nobody reads harms nobody", nil, settings, `{"externalId":"1","active":"yes"}`, id},

		{"Boolean to text", []AttributeMapping{mapped("city", "[active]")}, settings, `{"externalId":"1","active":true}`, id + "city = True"},
		{"text to Boolean", []AttributeMapping{mapped("showInAddressList", "[title]")}, settings, `{"externalId":"1","title":"false"}`, id + "showInAddressList = False"},
		{"other text to Boolean", []AttributeMapping{mapped("showInAddressList", "[title]")}, settings, `{"externalId":"1","title":"no"}`, "problem EntrySynchronizationError showInAddressList"},
		{"text to Integer", []AttributeMapping{mapped("level", "[title]")}, settings, `{"externalId":"1","title":"12"}`, id + "level = 12"},
		{"other text to Integer", []AttributeMapping{mapped("level", "[title]")}, settings, `{"externalId":"1","title":"1.5"}`, "problem EntrySynchronizationError level"},
		{"a date", []AttributeMapping{mapped("employeeHireDate", "[hired]")}, settings, `{"externalId":"1","hired":"2026-02-01"}`, id + "employeeHireDate = 2026-02-01T00:00:00Z"},
		{"a time keeps its offset", []AttributeMapping{mapped("employeeHireDate", "[title]")}, settings, `{"externalId":"1","title":"2026-02-01T08:00:00+01:00"}`, id + "employeeHireDate = 2026-02-01T08:00:00+01:00"},
		{"no date", []AttributeMapping{mapped("employeeHireDate", "[title]")}, settings, `{"externalId":"1","title":"soon"}`, "problem EntrySynchronizationError employeeHireDate"},
		{"empty is no date", []AttributeMapping{mapped("employeeHireDate", "[title]")}, settings, `{"externalId":"1","title":""}`, id},
		{"several values", []AttributeMapping{mapped("otherMails", "[aliases]")}, settings, `{"externalId":"1","aliases":["a@x.example","b@x.example"]}`, id + "otherMails = [a@x.example;b@x.example]"},
		{"one of several", []AttributeMapping{mapped("otherMails", "[title]")}, settings, `{"externalId":"1","title":"a@x.example"}`, id + "otherMails = [a@x.example]"},
		{"an empty list is no value", []AttributeMapping{mapped("otherMails", "[aliases]")}, settings, `{"externalId":"1","aliases":[]}`, id},
		{"several values into one", []AttributeMapping{mapped("city", "[aliases]")}, settings, `{"externalId":"1","aliases":["a","b"]}`, "problem SchemaPropertyCanOnlyAcceptValue city"},
		{"several values from one", []AttributeMapping{mapped("city", "[title]")}, settings, `{"externalId":"1","title":["a","b"]}`, "problem SchemaPropertyCanOnlyAcceptValue title"},
		{"an object is no text", []AttributeMapping{mapped("city", "[title]")}, settings, `{"externalId":"1","title":{"a":1}}`, "problem EntrySynchronizationError title"},
		{"too long", []AttributeMapping{mapped("usageLocation", "[title]")}, settings, `{"externalId":"1","title":"DEU"}`, "problem EntrySynchronizationError usageLocation"},
		{"characters are counted, not bytes", []AttributeMapping{mapped("usageLocation", "[title]")}, settings, `{"externalId":"1","title":"ÄÖ"}`, id + "usageLocation = ÄÖ"},
		{"control characters", []AttributeMapping{mapped("city", "[title]")}, settings, `{"externalId":"1","title":"a\u0007b"}`, "problem EntrySynchronizationError city"},
		{"addresses have lines", []AttributeMapping{mapped("city", "Replace([title], \"\n\", , , \"/\", , )")}, settings, `{"externalId":"1","title":"a\nb"}`, id + "city = a/b"},

		{"an attribute is left out", []AttributeMapping{withDefault(mapped("city", `IIF([title]="x", IgnoreAttributeFlow, "y")`), "Bremen")}, settings, `{"externalId":"1","title":"x"}`, id},
		{"a record is left out", []AttributeMapping{mapped("objectFilter", `IIF([title]="x", IgnoreObjectFlow, "False")`)}, settings, `{"externalId":"1","title":"x"}`, "problem EntrySynchronizationSkipped objectFilter"},
		{"the filter itself flows nowhere", []AttributeMapping{mapped("objectFilter", `IIF([title]="x", IgnoreObjectFlow, "False")`)}, settings, `{"externalId":"1","title":"y"}`, id},
		{"a rule that fails", []AttributeMapping{mapped("city", `FormatDateTime([title], , "yyyy-MM-dd", "yyyy")`)}, settings, `{"externalId":"1","title":"nope"}`, "problem EntrySynchronizationError city"},
		{"only when created", []AttributeMapping{flowing(mapped("city", "[title]"), FlowTypeObjectAdd)}, settings, `{"externalId":"1","title":"x"}`, id + "city = x (on create)"},
		{"while it is empty", []AttributeMapping{flowing(mapped("city", "[title]"), FlowTypeAttributeAdd), flowing(mapped("state", "[title]"), FlowTypeValueAdd)}, settings, `{"externalId":"1","title":"x"}`,
			id + "city = x (when empty)\nstate = x (when empty)"},
		{"values are added", []AttributeMapping{flowing(mapped("otherMails", "[aliases]"), FlowTypeMultiValueAdd), flowing(mapped("proxyAddresses", "[aliases]"), FlowTypeValueAdd)}, settings,
			`{"externalId":"1","aliases":["a","b"]}`, id + "otherMails = [a;b] (adds)\nproxyAddresses = [a;b] (adds)"},
		{"flow always", []AttributeMapping{{TargetAttributeName: "city", Expression: "[title]", FlowBehavior: "FlowAlways"}}, settings, `{"externalId":"1","title":"x"}`, id + "city = x (always)"},
		{"an immutable attribute", []AttributeMapping{mapped("fixed", "[title]")}, settings, `{"externalId":"1","title":"x"}`, id + "fixed = x (on create)"},
		{"the attribute's own default", []AttributeMapping{mapped("floor", "[title]"), withDefault(mapped("city", "[title]"), "Bremen")}, settings, `{"externalId":"1"}`, id + "floor = ground (default)\ncity = Bremen (default)"},
		{"a directory extension", []AttributeMapping{mapped("extension_0123456789abcdef0123456789ABCDEF_badge", "[title]"), mapped("extensionAttribute15", "[title]")}, settings,
			`{"externalId":"1","title":"x"}`, id + "extension_0123456789abcdef0123456789ABCDEF_badge = x\nextensionAttribute15 = x"},
		{"an attribute of a schema of one's own", []AttributeMapping{mapped("city", "[urn:harbor:crew:berth]")}, settings, `{"externalId":"1","urn:harbor:crew":{"berth":"7"}}`, id + "city = 7"},
		{"one value of a list", []AttributeMapping{mapped("city", "[aliases]")}, settings, `{"externalId":"1","aliases":["a"]}`, id + "city = a"},
		{"references have flow types", []AttributeMapping{flowing(mapped("manager", "[title]"), FlowTypeObjectAdd)}, settings, `{"externalId":"1","title":"7"}`, id + "manager -> 7 (on create)"},
		{"references while there is none", []AttributeMapping{flowing(mapped("manager", "[title]"), FlowTypeAttributeAdd)}, settings, `{"externalId":"1","title":"7"}`, id + "manager -> 7 (when empty)"},
		{"a unique value", []AttributeMapping{mapped("mail", `SelectUniqueValue([title], Join(".", [title], [locale]))`)}, settings, `{"externalId":"1","title":"a","locale":"b"}`, id + "mail = a (on create) (unique)"},
		{"a unique value by its second rule", []AttributeMapping{mapped("usageLocation", `SelectUniqueValue([locale], [userName], [title])`)}, settings, `{"externalId":"1","userName":"abc","title":"de"}`, id + "usageLocation = de (on create) (unique)"},
		{"no unique value", []AttributeMapping{mapped("mail", `SelectUniqueValue([title], [locale])`)}, settings, `{"externalId":"1"}`, id},
		{"no unique value that fits", []AttributeMapping{mapped("usageLocation", `SelectUniqueValue([title], [locale])`)}, settings, `{"externalId":"1","title":"abc"}`, "problem EntrySynchronizationError usageLocation"},

		{"null clears", []AttributeMapping{clearing(mapped("city", "[gone]"))}, settings, `{"externalId":"1","gone":null}`, id + "city =  (clears)"},
		{"the empty text clears", []AttributeMapping{clearing(mapped("city", "[gone]"))}, settings, `{"externalId":"1","gone":""}`, id + "city =  (clears)"},
		{"what is left out clears", []AttributeMapping{clearing(mapped("city", "[gone]"))}, settings, `{"externalId":"1"}`, id + "city =  (clears)"},
		{"a value does not clear", []AttributeMapping{clearing(mapped("city", "[gone]"))}, settings, `{"externalId":"1","gone":"x"}`, id + "city = x"},
		{"new people have the default value", []AttributeMapping{withDefault(clearing(mapped("city", "[gone]")), "Bremen")}, settings, `{"externalId":"1"}`, id + "city = Bremen (clears)"},
		{"the source does not let null flow", []AttributeMapping{clearing(mapped("city", "[title]"))}, settings, `{"externalId":"1"}`, id},
		{"the mapping does not let null flow", []AttributeMapping{mapped("city", "[gone]")}, settings, `{"externalId":"1"}`, id},
		{"an expression clears", []AttributeMapping{clearing(mapped("city", `Join("-", [gone], [urn:harbor:crew:gone])`))}, settings, `{"externalId":"1","urn:harbor:crew":{}}`, id + "city =  (clears)"},
		{"an expression of which one part may not", []AttributeMapping{clearing(mapped("city", `Join("-", [gone], [title])`))}, settings, `{"externalId":"1"}`, id},
		{"left out of an object that was sent", []AttributeMapping{clearing(mapped("city", "[berth.gone]"))}, settings, `{"externalId":"1","berth":{"x":1}}`, id + "city =  (clears)"},
		{"left out with its object", []AttributeMapping{clearing(mapped("city", "[berth.gone]"))}, settings, `{"externalId":"1"}`, id},
		{"left out of a list that was sent", []AttributeMapping{clearing(mapped("city", `[ims[type eq "gone"].value]`))}, settings, `{"externalId":"1","ims":[]}`, id + "city =  (clears)"},
		{"left out with its list", []AttributeMapping{clearing(mapped("city", `[ims[type eq "gone"].value]`))}, settings, `{"externalId":"1"}`, id},
		{"left out of a schema that was sent", []AttributeMapping{clearing(mapped("city", "[urn:harbor:crew:gone]"))}, settings, `{"externalId":"1","urn:harbor:crew":{"berth":"7"}}`, id + "city =  (clears)"},
		{"left out with its schema", []AttributeMapping{clearing(mapped("city", "[urn:harbor:crew:gone]"))}, settings, `{"externalId":"1"}`, id},
		{"a reference is cleared", []AttributeMapping{clearing(mapped("manager", "[gone]"))}, settings, `{"externalId":"1","gone":""}`, id + "manager -> (clears)"},
		{"what is only created is not cleared", []AttributeMapping{flowing(clearing(mapped("city", "[gone]")), FlowTypeObjectAdd)}, settings, `{"externalId":"1"}`, id},
		{"a rule that leaves the attribute out does not clear", []AttributeMapping{clearing(mapped("city", `IgnoreFlowIfNullOrEmpty([gone])`))}, settings, `{"externalId":"1"}`, id},

		{"redacted", []AttributeMapping{mapped("city", `Redact([secret])`)}, settings, `{"externalId":"1","secret":"s3"}`, id + "city = s3 (redacted)"},
		{"security attributes are redacted", []AttributeMapping{mapped("CSA.hr.clearance", `[title]`)}, settings, `{"externalId":"1","title":"s"}`, id + "CSA.hr.clearance = s (redacted)"},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			p := compiled(t, mini(tt.rules...), tt.set)
			check(t, p.Evaluate(Record{Sent: []byte(tt.record)}), tt.want)
		})
	}
}

func TestCandidates(t *testing.T) {
	p := compiled(t, mini(mapped("usageLocation", `SelectUniqueValue([locale], CStr([title]), Redact([secret]), "de", Now())`)), settings)
	record := []byte(`{"externalId":"1","title":"abc","secret":"long"}`)
	out := p.Evaluate(Record{Sent: record})
	clear(record) // a candidate is made of nothing that the record's memory holds
	for range 3 { // nor of what other records leave behind
		p.Evaluate(Record{Sent: []byte(`{"externalId":"2","title":"zz","locale":"zz"}`)})
	}
	f := out.Flows[1]
	var got []string
	for i := 0; ; i++ {
		v, ok, err := f.Candidate(i)
		if !ok {
			break
		}
		switch {
		case err != nil && strings.Contains(err.Error(), "long"):
			t.Errorf("%v", err)
		case err != nil:
			got = append(got, "error")
		default:
			got = append(got, v.String())
		}
	}
	if want := []string{"", "error", "error", "de", "error"}; !slices.Equal(got, want) || f.Value.String() != "de" {
		t.Errorf("candidates %q, want %q; first %q", got, want, f.Value)
	}
	if !p.Pure() {
		t.Error("what is only created makes the program impure")
	}
}

func TestRedactionSpreads(t *testing.T) {
	p := compiled(t, mini(mapped("city", "Redact([secret])"), mapped("state", "[secret]"), mapped("country", `Join("", [secret], [title])`), mapped("jobTitle", "[title]"),
		mapped("passwordProfile.password", "[locale]"), mapped("CSA.hr.clearance", "[title]")), settings)
	out := p.Evaluate(Record{Sent: []byte(`{"externalId":"1","secret":"s3","title":"Pilot","locale":"pa55"}`)})
	check(t, out, `
		match employeeId = 1
		employeeId = 1
		city = s3 (redacted)
		state = s3 (redacted)
		country = s3Pilot (redacted)
		jobTitle = Pilot
		passwordProfile.password = pa55 (redacted)
		CSA.hr.clearance = Pilot (redacted)`)
	want := []Imported{{"externalId", "1"}, {"title", "Pilot"}, {"locale", redactedText}, {"secret", redactedText}}
	if !slices.Equal(out.Source, want) {
		t.Errorf("Source = %v", out.Source)
	}
	s := scoped(mini(mapped("city", "Redact([secret])")), clauses(clauseOf("secret", "Greater_Than", []string{"4"})))
	if out := compiled(t, s, settings).Evaluate(Record{Sent: []byte(`{"externalId":"1","secret":"hunter2"}`)}); out.Problem == nil || strings.Contains(out.Problem.Reason, "hunter2") {
		t.Errorf("%+v", out.Problem)
	}
}

func TestNoMatchingValue(t *testing.T) {
	s := standard(t)
	s.Rules[0].ObjectMappings[0].AttributeMappings[0].Expression = "[" + enterprise + "employeeNumber]"
	check(t, compiled(t, s, settings).Evaluate(Record{Sent: []byte(`{"externalId":"1","active":"bad"}`)}), "problem ImportSkipped employeeId")
}

func TestProblemsSayWhatToDo(t *testing.T) {
	long := strings.Repeat("ab", 600)
	tests := []struct {
		record string
		want   []string
	}{
		{`{"externalId":""}`, []string{"Source identifier of an entry cannot be empty"}},
		{`{"externalId":"` + long + `"}`, []string{`"` + long[:64] + `…" has 1200 bytes; an externalId has at most 1024`}},
		{`{"externalId":"1","userName":"u","displayName":"U","` + enterprise + `manager":{"value":"` + long + `"}}`, []string{"has 1200 bytes"}},
		{`{"externalId":"1","active":"maybe"}`, []string{"'active'", `"maybe"`, "Boolean", "[active] -> accountEnabled"}},
		{`{"externalId":"1","displayName":"` + long + `"}`, []string{"'displayName'", `"` + long[:64] + `…"`, "1200 characters", "256", "[displayName] -> displayName"}},
		{`{"externalId":"1","displayName":"a\u0000b"}`, []string{"U+0000", "displayName"}},
		{`{"externalId":"1","displayName":{"a":1}}`, []string{"'displayName' cannot be used: expected a single value, found an object without a value ("}},
		{`{"externalId":"1","title":["a",["b"]]}`, []string{"cannot be used: expected elements with one value each, found an array in an array ("}},
	}
	p := compiled(t, standard(t), settings)
	for _, tt := range tests {
		out := p.Evaluate(Record{Sent: []byte(tt.record)})
		if out.Problem == nil {
			t.Errorf("%.80s: no problem", tt.record)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(out.Problem.Reason, want) {
				t.Errorf("%.80s: %q does not say %q", tt.record, out.Problem.Reason, want)
			}
		}
		if out.Problem.Advice == "" || strings.Contains(out.Problem.Reason, long) {
			t.Errorf("%+v", out.Problem)
		}
	}
}

func TestRedactedValuesAreNeverShown(t *testing.T) {
	p := compiled(t, mini(mapped("usageLocation", "Redact([secret])"), mapped("city", "[secret]")), settings)
	out := p.Evaluate(Record{Sent: []byte(`{"externalId":"1","secret":"hunter2"}`)})
	if out.Problem == nil || strings.Contains(out.Problem.Reason, "hunter2") {
		t.Errorf("Problem = %+v", out.Problem)
	}
	if want := (Imported{"secret", "[Redact]"}); !slices.Contains(out.Source, want) {
		t.Errorf("Source = %v", out.Source)
	}
}

func TestDescribesTheRecord(t *testing.T) {
	p := compiled(t, standard(t), settings)
	tests := []struct{ record, name, unread string }{
		{`{"displayName":"Ines"}`, "Ines", ""},
		{`{"name":{"givenName":"Ines","familyName":"Koch"}}`, "Ines Koch", ""},
		{`{"name":{"familyName":"Koch"},"userName":"k"}`, "Koch", ""},
		{`{"userName":"k"}`, "k", ""},
		{`{"shoeSize":43,"nickName":"I","schemas":["x"]}`, "", "nickName shoeSize"},
	}
	for _, tt := range tests {
		out := p.Evaluate(Record{Sent: []byte(tt.record)})
		slices.Sort(out.Unread)
		if out.DisplayName != tt.name || strings.Join(out.Unread, " ") != tt.unread {
			t.Errorf("%s: DisplayName = %q, Unread = %q", tt.record, out.DisplayName, out.Unread)
		}
	}
	many := make([]string, 200)
	for i := range many {
		many[i] = fmt.Sprintf(`"x%d":1`, i)
	}
	if out := p.Evaluate(Record{Sent: []byte("{" + strings.Join(many, ",") + "}")}); len(out.Unread) != maxUnread {
		t.Errorf("%d unread paths", len(out.Unread))
	}
}

func TestLongValuesAreShortenedInLogs(t *testing.T) {
	p := compiled(t, standard(t), settings)
	long := strings.Repeat("é", 100_000)
	out := p.Evaluate(Record{Sent: []byte(`{"externalId":"1","displayName":"` + long + `","title":"` + long[:2*maxLogged] + `"}`)})
	if want := long[:2*maxName] + "…"; out.DisplayName != want {
		t.Errorf("DisplayName has %d bytes", len(out.DisplayName))
	}
	for _, want := range []Imported{{"displayName", long[:2*maxLogged] + "…"}, {"title", long[:2*maxLogged]}} {
		if !slices.Contains(out.Source, want) {
			t.Errorf("%s is not in Source as it should be", want.Name)
		}
	}
}

func TestUnreadIncludesWhatOnlyLogsRead(t *testing.T) {
	p := compiled(t, mini(), settings)
	out := p.Evaluate(Record{Sent: []byte(`{"externalId":"1","displayName":"Ines"}`)})
	if !slices.Equal(out.Unread, []string{"displayName"}) || out.DisplayName != "Ines" {
		t.Errorf("Unread = %q, DisplayName = %q", out.Unread, out.DisplayName)
	}
}

func TestFingerprint(t *testing.T) {
	base := compiled(t, standard(t), settings)
	renamed := standard(t)
	renamed.ID, renamed.Version = "other", "v2"
	if p := compiled(t, renamed, settings); p.ID() != base.ID() {
		t.Error("the id depends on the schema's name or version")
	}
	if p := compiled(t, standard(t), Settings{DefaultDomain: "harbor.example", DisableMissing: true}); p.ID() == base.ID() {
		t.Error("the id does not depend on the settings")
	}
	changed := standard(t)
	changed.Rules[0].ObjectMappings[0].AttributeMappings[3].FlowType = "ObjectAddOnly"
	if p := compiled(t, changed, settings); p.ID() == base.ID() {
		t.Error("the id does not depend on the mappings")
	}
	if !base.Pure() {
		t.Error("the default schema reads the clock or randomness")
	}
	if p := compiled(t, mini(mapped("city", "Now()")), settings); p.Pure() {
		t.Error("Now() is pure")
	}
	if base.FlowTypes() != (FlowTypes{true, true, true}) {
		t.Errorf("FlowTypes = %v", base.FlowTypes())
	}
}

func TestConcurrentEvaluation(t *testing.T) {
	p := compiled(t, standard(t), settings)
	want := make([]Outcome, 8)
	record := func(i int) Record {
		return Record{Sent: []byte(strings.ReplaceAll(full, "7001", fmt.Sprint(7001+i)))}
	}
	for i := range want {
		want[i] = p.Evaluate(record(i))
	}
	var wg sync.WaitGroup
	for i := range want {
		wg.Go(func() {
			for range 200 {
				if got := p.Evaluate(record(i)); !reflect.DeepEqual(got, want[i]) {
					t.Errorf("%+v\n%+v", got, want[i])
					return
				}
			}
		})
	}
	wg.Wait()
}

// random makes a record of attributes that the default schema knows, with values of any shape.
func random(r *rand.Rand) map[string]any {
	values := []any{nil, "", " ", "x", "True", "a@b.example", true, false, 1, 2.5, []any{}, []any{"a"}, []any{1, "b"}, map[string]any{"value": "7"},
		"\u0001", strings.Repeat("y", 2000), []any{map[string]any{"type": "work", "value": "v"}, map[string]any{"type": "home", "value": 5}}}
	record := map[string]any{"externalId": "9"}
	for _, name := range []string{"externalId", "userName", "active", "displayName", "title", "name", "emails", "phoneNumbers", "addresses", "userType",
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "other"} {
		if r.IntN(3) == 0 {
			record[name] = values[r.IntN(len(values))]
		}
	}
	return record
}

func TestPropertiesOfOutcomes(t *testing.T) {
	p := compiled(t, standard(t), settings)
	r := rand.New(rand.NewPCG(1, 2))
	flowed := 0
	for range 5000 {
		record := random(r)
		sent, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		out := p.Evaluate(Record{Sent: sent})
		soundOutcome(t, sent, out)
		flowed += len(out.Flows)

		withNull := maps.Clone(record)
		for _, name := range []string{"title", "userName", "active"} {
			if _, ok := withNull[name]; !ok {
				withNull[name] = nil
			}
		}
		nulls, _ := json.Marshal(withNull)
		if got := p.Evaluate(Record{Sent: nulls}); !reflect.DeepEqual(render(got), render(out)) {
			t.Fatalf("null and absent differ:\n%s\n%s\n%q\n%q", sent, nulls, render(out), render(got))
		}
	}
	if flowed == 0 {
		t.Fatal("no record flowed")
	}
}

// soundOutcome checks what holds of every outcome.
func soundOutcome(t *testing.T, sent []byte, out Outcome) {
	t.Helper()
	kinds := 0
	for _, is := range []bool{out.Problem != nil, out.OutOfScope != "", len(out.Matching) > 0} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		t.Fatalf("%s: %+v", sent, out)
	}
	if out.Problem != nil && (out.Problem.Reason == "" || out.Problem.Advice == "" || len(out.Flows) > 0) {
		t.Fatalf("%s: %+v", sent, out)
	}
	seen := map[string]bool{}
	for _, f := range out.Flows {
		if seen[f.Attribute] || f.Value.IsNull() && !f.Clear || f.Unique != (f.Candidate != nil) {
			t.Fatalf("%s: %s flows twice or null", sent, f.Attribute)
		}
		seen[f.Attribute] = true
	}
	for _, ref := range out.References {
		if (ref.Anchor == "") != ref.Clear {
			t.Fatalf("%s: an empty reference", sent)
		}
	}
}

func FuzzEvaluate(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(`{"externalId":"1","active":null,"emails":{"type":"work"},"name":[]}`))
	f.Add([]byte(`[`))
	s, _ := Template("API2AAD")
	p, err := Compile(s, settings)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		soundOutcome(t, sent, p.Evaluate(Record{Sent: sent, Kept: sent, Now: time.Unix(0, 0)}))
	})
}

func BenchmarkEvaluate(b *testing.B) {
	p := compiled(b, standard(b), settings)
	record := Record{Sent: []byte(full)}
	b.SetBytes(int64(len(full)))
	b.ReportAllocs()
	for b.Loop() {
		if out := p.Evaluate(record); out.Problem != nil {
			b.Fatal(out.Problem)
		}
	}
}

func TestExternalIDIsTrimmed(t *testing.T) {
	s, _ := Template("API2AAD")
	p, err := Compile(s, Settings{DefaultDomain: "acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	out := p.Evaluate(Record{Sent: []byte(`{"externalId":"  7 ","userName":"a","displayName":"A","active":true}`)})
	if out.Problem != nil || out.Matching[0].Value.String() != "7" {
		t.Errorf("%+v", out)
	}
}
