package records

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"induct/examples/workforce"
)

// problems validates a file and returns the problems as lines "line severity path: message".
func problems(t testing.TB, text string, m *Mapping) ([]string, Result) {
	t.Helper()
	src, err := open(t, text, Options{}).Records(m)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	result, err := Validate(src, func(p Problem) {
		list = append(list, fmt.Sprintf("%d %s %s: %s", p.Line, p.Severity, p.Path, p.Message))
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, result
}

const coreSchema = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","urn:x:hr"]`

func TestValidateAttributes(t *testing.T) {
	const enterprise = `"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`
	for members, want := range map[string]string{
		`"displayName":"A","title":null,"nickName":""`: "",
		`"displayName":1`:          `1 error displayName: it must be a string, found 1`,
		`"title":["x"]`:            `1 error title: it must be a string, found ["x"]`,
		`"dispalyName":"A"`:        `1 warning dispalyName: no schema has this attribute; did you mean displayName?`,
		`"shoeSizes":"A"`:          `1 warning shoeSizes: no schema has this attribute; put your own into an extension`,
		`"displayname":"A"`:        `1 warning displayname: write displayName: not every reader takes names in another case`,
		`"title":"A","TITLE":"B"`:  `1 error TITLE: the attribute stands twice, in different case; leave one`,
		`"password":"secret"`:      `1 warning password: password cannot be provisioned; leave it out`,
		`"groups":[]`:              `1 warning groups: groups cannot be provisioned; leave it out`,
		`"name":"Ann Elm"`:         `1 error name: it must be an object, found "Ann Elm"`,
		`"name":{"givenname":"A"}`: `1 warning name.givenname: write givenName`,
		`"name":{"first":"A"}`:     `1 warning name.first: no schema has this attribute`,
		`"emails":"a@x.example"`:   `1 error emails: it must be a list such as [{"type": "work", …}], found "a@x.example"`,
		`"emails":["a@x.example"]`: `1 error emails[0]: it must be an object, found "a@x.example"`,
		`"emails":[{"type":"work","value":"a@x.example"}]`:                                                                     "",
		`"emails":[{"type":"work","value":"a at x"}]`:                                                                          `1 warning emails[0].value: "a at x" is no e-mail address`,
		`"emails":[{"type":"work","value":""}]`:                                                                                "",
		`"emails":[{"value":"a@x.example"}]`:                                                                                   `1 warning emails[0]: it has no type; only the values whose type a mapping names are read, such as work`,
		`"emails":[{"type":"Work","value":"a@x.example"}]`:                                                                     `1 warning emails[0].type: "Work" is none of the usual types: work, home, other`,
		`"emails":[{"type":"work","primary":true},{"type":"home","primary":true}]`:                                             `1 error emails: 2 values are primary; at most one may be`,
		`"emails":[{"type":"work","primary":"true"}]`:                                                                          `1 warning emails[0].primary: write true without quotes`,
		`"emails":[{"type":"work","valeu":"a@x.example"}]`:                                                                     `1 warning emails[0].valeu: no schema has this attribute; did you mean value?`,
		`"phoneNumbers":[{"type":"mobile","value":"1"}],"roles":[{"value":"r"}]`:                                               "",
		`"addresses":[{"type":"work","country":"DE"}]`:                                                                         "",
		`"addresses":[{"type":"work","country":"de"}]`:                                                                         `1 warning addresses[0].country: "de" is no country code of ISO 3166-1 alpha-2; write DE`,
		`"addresses":[{"type":"work","country":"UK"}]`:                                                                         `1 warning addresses[0].country: "UK" is no country code of ISO 3166-1 alpha-2; write GB`,
		`"addresses":[{"type":"work","country":"DEU"}]`:                                                                        `1 warning addresses[0].country: "DEU" is no country code of ISO 3166-1 alpha-2; write DE`,
		`"addresses":[{"type":"work","country":"Germany"}]`:                                                                    `1 warning addresses[0].country: "Germany" is no country code of ISO 3166-1 alpha-2 such as DE`,
		`"addresses":[{"type":"work","country":"ZZ"}]`:                                                                         `1 warning addresses[0].country: "ZZ" is no country code of ISO 3166-1 alpha-2 such as DE`,
		`"locale":"en-US","preferredLanguage":"de-DE, en;q=0.5","timezone":"Europe/Berlin","profileUrl":"https://x.example/a"`: "",
		`"locale":"en_US"`:                                                          `1 warning locale: "en_US" is no language tag of BCP 47`,
		`"preferredLanguage":"German"`:                                              `1 warning preferredLanguage: "German" is no language tag of BCP 47`,
		`"timezone":"W. Europe Standard Time"`:                                      `1 warning timezone: "W. Europe Standard Time" is no name of the IANA`,
		`"profileUrl":"x.example"`:                                                  `1 warning profileUrl: "x.example" is no URL`,
		`"title":"J\ufffdrg"`:                                                       `1 warning title: the text holds the replacement character U+FFFD`,
		enterprise + `:{"department":"Sales","manager":{"value":"8"}}`:              "",
		enterprise + `:{"manager":"8"}`:                                             `enterprise:2.0:User:manager: it must be an object such as {"value": "the manager's externalId"}, found "8"`,
		enterprise + `:{"manager":{"value":"7"}}`:                                   `manager.value: the person is their own manager`,
		enterprise + `:{"departement":"Sales"}`:                                     `User:departement: no schema has this attribute; did you mean department?`,
		enterprise + `:"Sales"`:                                                     `it must be an object, found "Sales"`,
		`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department":1`: `it must be a string, found 1`,
		`"urn:x:hr":{"HireDate":"2026-01-31","StartDate":"2026-01-31T00:00:00-05:00","n":1}`: "",
		`"urn:x:hr":{"HireDate":"31.01.2026"}`:                                               `1 warning urn:x:hr:HireDate: "31.01.2026" is no date in the form of ISO 8601`,
		`"urn:y:hr":{"n":1}`:                                                                 `1 warning schemas: schemas does not list "urn:y:hr", which the record has`,
		`"title":"` + strings.Repeat("x", largeRecord) + `"`:                                 `1 warning : the record takes 100 KiB; is a photo or another file in it?`,
	} {
		got, result := problems(t, `[{`+coreSchema+`,"externalId":"7","userName":"ann","active":true,`+members+`}]`, nil)
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%.200s\n%q, want %q", members, got, want)
		}
		if result.Records != 1 || result.Requests != 1 || result.Errors+result.Warnings != len(got) || !result.Complete {
			t.Errorf("%+v", result)
		}
	}
}

func TestValidateRecords(t *testing.T) {
	record := func(members string) string {
		return `{` + coreSchema + `,"userName":"u","active":true,` + members + `}`
	}
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"bare":          {`[{"schemas":[]}]`, []string{"externalId: there is no externalId", "userName: there is no userName", "active: there is no active", "schemas does not list"}},
		"no schemas":    {`[{"externalId":"7","userName":"a","active":true},{"externalId":"8","userName":"b","active":true,"schemas":"x"}]`, []string{"1 warning schemas: there is no schemas", "2 error schemas: schemas must be a list"}},
		"same lack":     {`[{` + coreSchema + `,"externalId":"7","active":true},{` + coreSchema + `,"externalId":"8","active":true},{` + coreSchema + `,"externalId":"9","active":true}]`, []string{"1 warning userName: there is no userName", "0 warning userName: 2 more records have no userName"}},
		"active text":   {`[{` + coreSchema + `,"externalId":"7","userName":"a","active":"True"},{` + coreSchema + `,"externalId":"8","userName":"b","active":"Active"}]`, []string{"1 warning active: write true without quotes", `2 error active: it must be true or false, found "Active"`}},
		"number":        {`[` + record(`"externalId":7`) + `]`, []string{"warning externalId: write it as a string"}},
		"object":        {`[` + record(`"externalId":{}`) + `]`, []string{"error externalId: it must be a string", "error externalId: there is no externalId"}},
		"blanks":        {`[` + record(`"externalId":" 7 "`) + `]`, []string{"warning externalId: blanks stand around"}},
		"long":          {`[` + record(`"externalId":"`+strings.Repeat("x", 1025)+`"`) + `]`, []string{"error externalId: the externalId has 1025 bytes; at most 1024"}},
		"again":         {`[` + record(`"externalId":"7"`) + `,` + record(`"externalId":"7"`) + `]`, []string{"2 warning externalId: the record at 1 has the same externalId; the later one counts"}},
		"case":          {`[` + record(`"externalId":"a7"`) + `,` + strings.Replace(record(`"externalId":"A7"`), `"u"`, `"v"`, 1) + `]`, []string{"2 warning externalId: the externalId differs from that at 1 only in upper and lower case"}},
		"user names":    {`[` + record(`"externalId":"7"`) + `,` + strings.Replace(record(`"externalId":"8"`), `"u"`, `"U "`, 1) + `]`, []string{"2 warning userName: the person at 1 has the same userName"}},
		"operations":    {`{"Operations":[{"method":"DELETE","path":"/Users/7"},{"method":"PATCH","path":"/Users/7","data":` + record(`"externalId":"7"`) + `},{"method":"POST","path":"/Groups","bulkId":"` + strings.Repeat("x", 1025) + `","data":` + record(`"externalId":"8"`) + `}]}`, []string{"1 warning : a DELETE does nothing", "2 error : the method PATCH is refused", `3 error : the path "/Groups" is refused`, "3 error : the bulkId has 1025 bytes", "3 warning userName"}},
		"broken":        {`[` + record(`"externalId":"7"`) + `,{"a":}]`, []string{"error : element 2: not valid JSON"}},
		"bad operation": {`{"Operations":[{"method":"POST","path":"/Users"},{"method":"POST","path":"/Users","data":` + record(`"externalId":"8"`) + `}]}`, []string{"1 error : the operation has no data"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, result := problems(t, tc.text, nil)
			ok := len(got) == len(tc.want)
			for i := range tc.want {
				ok = ok && strings.Contains(got[i], tc.want[i])
			}
			if !ok {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if result.Complete != (name != "broken") {
				t.Errorf("%+v", result)
			}
		})
	}
}

// TestValidateTable holds that a wrong row does not hide the ones after it.
func TestValidateTable(t *testing.T) {
	m := mustMapping(t, `{"attributes":{"externalId":"id","userName":"user","active":{"column":"on","type":"boolean"}}}`)
	got, result := problems(t, "id,user,on\n7,a\n8,b,perhaps\n9,c,\"x\"y\n10,d,yes\n", m)
	want := []string{"2 error : the row has 2 cells", `3 error : active: "perhaps" is neither true nor false`, "4 error : a quoted cell goes on"}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got %q, want %q", got, want)
	}
	if result.Records != 1 || result.Errors != 3 || !result.Complete {
		t.Errorf("%+v", result)
	}
}

func TestValidateUnseenPath(t *testing.T) {
	m := mustMapping(t, `{"attributes":{"externalId":"id","userName":"usr","active":"on","title":"position"}}`)
	got, _ := problems(t, `[{"id":"7","user":"a","on":true}]`, m)
	want := []string{"1 warning userName", `0 warning : no record has a value at "usr", which the mapping reads; did you mean "user"?`, `0 warning : no record has a value at "position", which the mapping reads`}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestValidateWorkforce knows the flaws that the example was given.
func TestValidateWorkforce(t *testing.T) {
	got, result := problems(t, string(workforce.CSV), mustMapping(t, string(workforce.Mapping)))
	kinds := map[string]int{}
	for _, p := range got {
		_, message, _ := strings.Cut(p, ": ")
		kinds[strings.Join(strings.Fields(message)[:4], " ")]++
	}
	if result.Records != 1006 || result.Duplicates != 6 || result.Errors != 1 || kinds["there is no externalId;"] != 1 {
		t.Errorf("%+v, %v", result, kinds)
	}
}

// TestValidateBounded holds that one record cannot fill the screen.
func TestValidateBounded(t *testing.T) {
	var b strings.Builder
	for i := range 50000 {
		fmt.Fprintf(&b, `,"unknown%d":{}`, i)
	}
	got, result := problems(t, `[{`+coreSchema+`,"externalId":"7","userName":"a","active":true`+b.String()+`}]`, nil)
	if len(got) < maxTold || len(got) > maxTold+10 || !result.Complete {
		t.Errorf("%d problems, %+v", len(got), result)
	}
}
