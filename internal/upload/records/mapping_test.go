package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"induct/examples/workforce"
)

func source(mapping, text string) (Source, error) {
	m, err := ParseMapping([]byte(mapping))
	if err != nil {
		return nil, err
	}
	c, err := NewCSV(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	return m.Source(c)
}

const fullMapping = `{"attributes": {
	"externalId": "ID",
	"USERNAME": {"column": "User"},
	"active": {"column": "Status", "equals": ["Active", "Leave"]},
	"name.givenName": "First",
	"name.familyName": {"column": "Last", "empty": "null"},
	"emails[type eq \"work\"].value": "Mail",
	"emails[type eq \"home\"].value": "Home",
	"addresses[type eq \"work\"].country": "Country",
	"userType": {"constant": "Employee"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": {"column": "Dept", "empty": "keep"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": "Boss",
	"urn:nordwind.example:hr:Level": "Level"
}}`

func TestRecord(t *testing.T) {
	const header = "ID,User,Status,First,Last,Mail,Home,Country,Dept,Boss,Level\n"
	const schemas = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","urn:nordwind.example:hr"],`
	for name, tc := range map[string]struct{ row, want string }{
		"full": {`7,ann,active,Ann,"O""Neil <&>",a@x.example,,DE,Sales,3,A` + "\n",
			`"externalId":"7","userName":"ann","active":true,"name":{"givenName":"Ann","familyName":"O\"Neil <&>"},` +
				`"emails":[{"type":"work","value":"a@x.example"}],"addresses":[{"type":"work","country":"DE"}],"userType":"Employee",` +
				`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Sales","manager":{"value":"3"}},` +
				`"urn:nordwind.example:hr":{"Level":"A"}}`},
		"sparse": {"7,, ,,,,h@x.example,,,,\n",
			`"externalId":"7","name":{"familyName":null},"emails":[{"type":"home","value":"h@x.example"}],"userType":"Employee",` +
				`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":""}}`},
		"left": {"7,,Terminated,,,,,,,,\n",
			`"externalId":"7","active":false,"name":{"familyName":null},"userType":"Employee",` +
				`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":""}}`},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := source(fullMapping, header+tc.row)
			if err != nil {
				t.Fatal(err)
			}
			rec, err := src.Next()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(rec.Data); got != schemas+tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, schemas+tc.want)
			}
			if rec.Anchor != "7" || rec.BulkID != "line-2" || rec.Line != 2 {
				t.Errorf("anchor %q, bulkId %q, line %d", rec.Anchor, rec.BulkID, rec.Line)
			}
		})
	}
}

func TestMappingErrors(t *testing.T) {
	with := func(s string) string { return `{"attributes":{"externalId":"ID",` + s + `}}` }
	for name, tc := range map[string]struct{ mapping, want string }{
		"not json":         {"{\n\"attributes\": {,}}", "line 2: mapping: not valid JSON"},
		"cut":              {`{"attributes": {`, "mapping: "},
		"array":            {`[]`, "must be a JSON object"},
		"trailing":         {with(`"title":"ID"`) + "x", "mapping: "},
		"member":           {`{"attribute":{}}`, `did you mean "attributes"?`},
		"rule member":      {with(`"title":{"colum":"ID"}`), `did you mean "column"?`},
		"twice":            {with(`"title":"ID","title":"ID"`), `names "title" twice`},
		"twice by case":    {with(`"title":"ID","Title":"ID"`), "mapped twice"},
		"no anchor":        {`{"attributes":{"title":"ID"}}`, "externalId must come from a column"},
		"constant anchor":  {`{"attributes":{"externalId":{"constant":"1"}}}`, "externalId must come from a column"},
		"column":           {with(`"title":"Titel"`), `there is no column "Titel"; did you mean "Title"?`},
		"far column":       {with(`"title":"Wage"`), `there are: ID, Title, Twin, Twin`},
		"twin":             {with(`"title":"Twin"`), "two columns"},
		"typo":             {with(`"name.givename":"Title"`), `did you mean "givenName"?`},
		"attribute":        {with(`"usrName":"Title"`), `did you mean "userName"?`},
		"no filter":        {with(`"emails.value":"Title"`), `emails[type eq "work"].value`},
		"no filter addr":   {with(`"addresses":"Title"`), `addresses[type eq "work"].country`},
		"bad filter":       {with(`"emails[type ne \"work\"].value":"Title"`), "expected a filter"},
		"no sub":           {with(`"emails[type eq \"work\"]":"Title"`), "a sub-attribute must follow"},
		"manager":          {with(`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager":"Title"`), "manager.value"},
		"urn alone":        {with(`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":"Title"`), "the attribute is missing"},
		"password":         {with(`"password":"Title"`), "cannot be provisioned"},
		"conflict":         {with(`"urn:x:y:a":"Title","urn:x:y:a.b":"Title"`), "mapped twice"},
		"empty":            {with(`"title":{"column":"Title","empty":"drop"}`), `found "drop"`},
		"constant, column": {with(`"title":{"column":"Title","constant":1}`), "goes with no other member"},
		"nothing":          {with(`"title":{}`), "needs a column or a constant"},
		"number":           {with(`"title":1`), "expected a column name or an object"},
		"object constant":  {with(`"title":{"constant":{}}`), "constant must be"},
		"equals":           {with(`"active":{"column":"Title","equals":[]}`), "equals must be"},
		"bulkId":           {`{"attributes":{"externalId":"ID"},"bulkId":{"constant":"1"}}`, "bulkId needs a column"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := source(tc.mapping, "ID,Title,Twin,Twin\n")
			var input *InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestWorkforce(t *testing.T) {
	src, err := source(string(workforce.Mapping), string(workforce.CSV))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		rec, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(rec.Data) {
			t.Fatalf("line %d: %s", rec.Line, rec.Data)
		}
		n++
	}
	if n < 1000 {
		t.Errorf("%d records", n)
	}
}

func FuzzCSVMapping(f *testing.F) {
	f.Add([]byte("ID,Title\n1,x\n"), []byte(`{"attributes":{"externalId":"ID","title":"Title"}}`))
	f.Add([]byte("ID;User\n\"1\n\";\xfc\n"), []byte(fullMapping))
	f.Add([]byte("\xff\xfeI\x00D\x00\n\x001\x00"), []byte(`{"attributes":{"externalId":"ID","emails[primary eq true].value":{"constant":null}},"empty":"keep"}`))
	f.Fuzz(func(t *testing.T, data, mapping []byte) {
		m, err := ParseMapping(mapping)
		if err != nil {
			return
		}
		c, err := NewCSV(bytes.NewReader(data))
		if err != nil {
			return
		}
		src, err := m.Source(c)
		if err != nil {
			return
		}
		for {
			rec, err := src.Next()
			if err != nil {
				return
			}
			if !json.Valid(rec.Data) || !json.Valid(BulkRequest([]Record{rec})) {
				t.Fatalf("line %d: not JSON: %s", rec.Line, rec.Data)
			}
		}
	})
}
