package main

import (
	"encoding/json"
	"strings"
	"testing"

	"induct/internal/mapping"
)

// What --set sets is what an expression reads, whatever the person had there before.
func TestSetIsRead(t *testing.T) {
	schema, _ := mapping.Template("API2AAD")
	object := &schema.Directories[0].Objects[0]
	names := append(knownNames(object), `emails[type eq "home"].value`, "surname", "urn:nordwind:schemas:extension:hr:1.0:User:hireDate",
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.displayName", `ADDRESSES[Type eq "WORK"].Country`)
	for _, before := range []string{
		`{}`,
		`{"name": null, "emails": "text", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": []}`,
		`{"Name": {"GivenName": "x"}, "addresses": [{"type": "home", "country": "DE"}, {"TYPE": "work", "country": "AT"}], "TITLE": "x"}`,
	} {
		for _, name := range names {
			person, err := decodePerson([]byte(before))
			if err != nil {
				t.Fatal(err)
			}
			if err := assign(person, name+"=true=1"); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			want := "true=1"
			if name == "active" {
				want = "False"
				err = assign(person, "active:=false")
			}
			record, e := json.Marshal(person)
			if err != nil || e != nil {
				t.Fatal(err, e)
			}
			values, err := mapping.ReadSource(object, []string{name}, record)
			if err != nil || values[0].Value.String() != want || !values[0].Sent {
				t.Errorf("%s in %s: %q, %v; want %q", name, record, values[0].Value, err, want)
			}
		}
	}
}

func TestAssign(t *testing.T) {
	for _, c := range []struct{ assignment, want string }{
		{`title=Editor`, `{"title":"Editor"}`},
		{`title=`, `{"title":""}`},
		{`title:=null`, `{"title":null}`},
		{`active:=true`, `{"active":true}`},
		{`number:=12345678901234567890`, `{"number":12345678901234567890}`},
		{`name.givenName=Ana`, `{"name":{"givenName":"Ana"}}`},
		{`emails.value:=["a", "b"]`, `{"emails":[{"value":"a"},{"value":"b"}]}`},
		{`emails[type eq "a=b"].value=x=y`, `{"emails":[{"type":"a=b","value":"x=y"}]}`},
		{`roles[primary eq true].value=x`, `{"roles":[{"primary":true,"value":"x"}]}`},
		{`urn:x:User:department=Sales`, `{"urn:x:User":{"department":"Sales"}}`},
		{`title`, `! write NAME=TEXT`},
		{`=x`, `! write NAME=TEXT`},
		{`active:=yes`, `! yes is not JSON`},
		{`active:=true false`, `! true false is not JSON`},
		{`emails[type ne "x"].value=x`, `! is no filter`},
		{`emails[type eq x].value=x`, `! is no filter`},
		{`.x=y`, `! is no attribute`},
	} {
		person := map[string]any{}
		err := assign(person, c.assignment)
		got, _ := json.Marshal(person)
		if words, fails := strings.CutPrefix(c.want, "! "); fails {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %s, %v; want an error with %q", c.assignment, got, err, words)
			}
		} else if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.assignment, got, err, c.want)
		}
	}
}

func TestDecodePerson(t *testing.T) {
	for record, words := range map[string]string{
		`{"a": 1}`:             "",
		``:                     "not JSON",
		`{"a": `:               "not JSON",
		`[]`:                   "a person is a JSON object; found array",
		`null`:                 "not null",
		`{} {}`:                "one at a time",
		`{"Operations": [{}]}`: "bulk request",
	} {
		_, err := decodePerson([]byte(record))
		if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
			t.Errorf("%s: %v, want %q", record, err, words)
		}
	}
}

func FuzzAssign(f *testing.F) {
	f.Add(`{"emails": [{"type": "work"}]}`, `emails[type eq "work"].value:=["x"]`)
	f.Add(`{"urn:x": {"a": {}}}`, `urn:x:a.b=c`)
	f.Fuzz(func(t *testing.T, record, assignment string) {
		person, err := decodePerson([]byte(record))
		if err != nil {
			return
		}
		if assign(person, assignment) != nil {
			return
		}
		data, err := json.Marshal(person)
		if err != nil {
			t.Fatal(err)
		}
		if data, err = asSent(data); err == nil && !json.Valid(data) {
			t.Fatalf("%s is no JSON", data)
		}
	})
}

func TestAsSent(t *testing.T) {
	for person, want := range map[string]string{
		`{"userName": "a", "password": "hush"}`:                               `{"userName":"a","password":""}`,
		`{"a":` + strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 41): "! the person",
	} {
		got, err := asSent([]byte(person))
		if words, fails := strings.CutPrefix(want, "! "); fails {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %s, %v; want an error with %q", person, got, err, words)
			}
		} else if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", person, got, err, want)
		}
	}
}
