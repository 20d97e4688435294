package expr

import (
	"testing"
)

// BenchmarkRecord evaluates 25 mappings of one record: 15 attributes and ten functions.
func BenchmarkRecord(b *testing.B) {
	sources := []string{
		`Join("", Replace([userName], , "(?<Suffix>@(.)*)", "Suffix", "", , ), "@", DefaultDomain())`,
		`Replace([userName], , "(?<Suffix>@(.)*)", "Suffix", "", , )`,
		`Not([active])`,
		`Switch([country], [country], "PE", "Peru", "US", "United States", "DE", "Germany")`,
		`IIF([employeeType] = "Contractor", "True", "False")`,
		`ToLower([nickName])`,
		`Join(", ", [familyName], [givenName])`,
		`Coalesce([displayName], [nickName])`,
		`Left([middleName], 1)`,
		`Append([employeeId], "-E")`,
	}
	for _, name := range []string{"employeeId", "displayName", "givenName", "familyName", "title", "department", "division", "company", "street", "city", "state", "zip", "country", "phone", "language"} {
		sources = append(sources, "["+name+"]")
	}
	values := map[string]Value{
		"userName": Text("bjensen@fabrikam.example"), "active": Bool(true), "country": Text("US"), "employeeType": Text("Employee"),
		"nickName": Text("BJensen"), "familyName": Text("Jensen"), "givenName": Text("Barbara"), "displayName": Text("Barbara Jensen"),
		"middleName": Text("Jane"), "employeeId": Text("701984"),
	}
	slots := map[string]int{}
	ctx := &Context{DefaultDomain: "contoso.example"}
	env := Env{Attribute: func(name string) (int, error) {
		if _, ok := slots[name]; !ok {
			slots[name] = len(ctx.Attributes)
			v := values[name]
			if v.IsNull() {
				v = Text("some " + name)
			}
			ctx.Attributes = append(ctx.Attributes, v)
		}
		return slots[name], nil
	}}
	var programs []*Program
	for _, src := range sources {
		p, err := Compile(src, env)
		if err != nil {
			b.Fatal(err)
		}
		programs = append(programs, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range programs {
			if _, err := p.Eval(ctx); err != nil {
				b.Fatal(err)
			}
		}
	}
}
