package mapping

import "testing"

// typical are 25 mappings, ten of them functions.
func typical() *Schema {
	s, _ := Template("API2AAD")
	m := &s.Rules[0].ObjectMappings[0]
	for target, expression := range map[string]string{
		"displayName": `Join(" ", [name.givenName], [name.familyName])`, "jobTitle": `Coalesce([title], "Staff")`, "city": `ToUpper([addresses[type eq "work"].locality])`,
		"country": `Switch([addresses[type eq "work"].country], "other", "DE", "Germany", "FR", "France")`, "department": `Mid([urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department], 1, 64)`,
		"preferredLanguage": `Replace([preferredLanguage], "-", , , "_", , )`,
	} {
		for i := range m.AttributeMappings {
			if m.AttributeMappings[i].TargetAttributeName == target {
				m.AttributeMappings[i].Expression = expression
			}
		}
	}
	m.AttributeMappings = append(m.AttributeMappings, mapped("extensionAttribute1", `IIF([userType] = "Employee", "E", "X")`), mapped("extensionAttribute2", `Append([userName], ".hr")`),
		mapped("extensionAttribute3", "[userName]"), mapped("usageLocation", `"DE"`))
	return s
}

// BenchmarkMap evaluates 25 mappings, ten of them functions, of a record that was read already.
func BenchmarkMap(b *testing.B) {
	s := typical()
	if n := len(s.Rules[0].ObjectMappings[0].AttributeMappings); n != 25 {
		b.Fatal(n)
	}
	p := compiled(b, s, settings)
	e := p.evaluation()
	if problem := e.read(Record{Sent: []byte(full)}, &Outcome{}); problem != nil {
		b.Fatalf("%+v", problem)
	}
	b.ReportAllocs()
	for b.Loop() {
		var out Outcome
		clear(e.results)
		e.describe(&out)
		out.Matching, out.Problem = e.match()
		if e.flow(&out); out.Problem != nil {
			b.Fatal(out.Problem)
		}
	}
}
