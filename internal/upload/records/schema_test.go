package records

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"induct/examples/workforce"
)

func mappingSchema(t testing.TB) func(mapping string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(MappingSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mapping.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("mapping.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(mapping string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(mapping))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
}

// TestMappingSchema holds that the schema and ParseMapping agree.
func TestMappingSchema(t *testing.T) {
	validate := mappingSchema(t)
	agree := func(mapping string, want bool) {
		t.Helper()
		_, parsed := ParseMapping([]byte(mapping))
		valid := validate(mapping)
		if (parsed == nil) != want || (valid == nil) != want {
			t.Errorf("%s\nParseMapping: %v\nschema: %v\nwant both to take it: %t", mapping, parsed, valid, want)
		}
	}
	agree(string(workforce.Mapping), true)
	agree(smallMapping, true)
	agree(documented(t), true)
	agree(strings.Replace(fullMapping, "USERNAME", "userName", 1), true)
	agree(string(Suggest([]string{"id", "first name", "last name", "email", "status", "x"}, nil).Mapping), true)
	for name, value := range map[string]string{
		`"$schema"`: `"x"`, `"unmapped"`: `["a",""]`, `"bulkId"`: `"row"`, `"empty"`: `"null"`,
	} {
		agree(`{"attributes":{"externalId":"id"},`+name+`:`+value+`}`, true)
		for _, bad := range []string{`1`, `null`, `{}`, `[null]`, `"` + "\x01" + `"`} {
			agree(`{"attributes":{"externalId":"id"},`+name+`:`+bad+`}`, false)
		}
	}
	for rule, want := range map[string]bool{
		`"c"`: true, `""`: false, `1`: false, `null`: false, `[]`: false, `{}`: false,
		`{"column":"c"}`: true, `{"column":""}`: false, `{"column":1}`: false, `{"column":null}`: false, `{"colum":"c"}`: false,
		`{"column":"c","equals":"x"}`: true, `{"column":"c","equals":["x","y"]}`: true, `{"column":"c","equals":[]}`: false, `{"column":"c","equals":[1]}`: false, `{"column":"c","equals":[null]}`: false, `{"equals":"x"}`: false,
		`{"column":"c","empty":"keep"}`: true, `{"column":"c","empty":"drop"}`: false, `{"column":"c","empty":null}`: false,
		`{"column":"c","type":"integer"}`: true, `{"column":"c","type":"date"}`: false, `{"column":"c","type":"boolean","equals":"x"}`: false, `{"column":"c","type":null}`: false,
		`{"columns":["c","d"]}`: true, `{"columns":["c","d"],"separator":""}`: true, `{"columns":[]}`: false, `{"columns":[""]}`: false, `{"columns":[null]}`: false, `{"columns":"c"}`: false, `{"columns":["c"],"column":"d"}`: false,
		`{"column":"c","separator":" "}`: false, `{"columns":["c"],"separator":null}`: false, `{"columns":["c"],"separator":1}`: false,
		`{"constant":"x"}`: true, `{"constant":1.5}`: true, `{"constant":false}`: true, `{"constant":null}`: true, `{"constant":{}}`: false, `{"constant":[]}`: false,
		`{"constant":1,"column":"c"}`: false, `{"constant":1,"empty":"keep"}`: false,
	} {
		agree(`{"attributes":{"externalId":"id","title":`+rule+`}}`, want)
	}
	for rule, want := range map[string]bool{
		`"c"`: true, `{"columns":["a","b"],"separator":"-","empty":"omit"}`: true, `{"column":"c","type":"string"}`: true,
		`{"column":"c","type":"integer"}`: false, `{"column":"c","equals":"x"}`: false, `{"constant":"x"}`: false,
	} {
		agree(`{"attributes":{"externalId":`+rule+`}}`, want)
	}
	for path, want := range map[string]bool{
		"userName": true, "active": true, "usrName": false, "name.givenName": true, "name": false, "name.first": false, "title.x": false,
		`emails[type eq \"work\"].value`: true, `emails[primary eq true].value`: true, `emails.value`: false, `emails[type eq \"work\"]`: false, `emails[type ne \"work\"].value`: false,
		`emails[type eq work].value`: false, `emails[type eq \"work\"].country`: false, `addresses[type eq \"work\"].country`: true, `addresses[type eq \"work\"].value`: false,
		`photos[type eq \"photo\"].value`: true, "password": false, "id": false, "meta": false, "groups": false, "schemas": false, "": false,
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": true, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:dept": false,
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager": false, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": true,
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": false, "urn:x:y:z": true, "urn:x:y:z.w": true, "urn:x:y:z[type eq \\\"a\\\"].w": true, "urn:x:y:": false, "urn:x y:z": false, "urn:z": false,
	} {
		agree(`{"attributes":{"externalId":"id","`+path+`":"c"}}`, want)
	}
	agree(`{}`, false)
	agree(`[]`, false)
	agree(`{"attributes":{}}`, false)
	agree(`{"attributes":{"title":"c"}}`, false)
	agree(`{"attributes":[]}`, false)
	agree(`{"attributes":{"externalId":"id"},"more":1}`, false)
}

// documented returns the mapping that the manual shows.
func documented(t *testing.T) string {
	page, err := os.ReadFile("../../../docs/upload-files.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	mapping, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the manual shows no mapping")
	}
	return mapping
}
