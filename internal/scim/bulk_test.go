package scim

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const head = `{"schemas":["` + BulkRequestURN + `"],"Operations":`

func TestParseBulkAccepts(t *testing.T) {
	tests := []struct {
		name, body string
		want       []Operation
	}{
		{"plain", head + `[{"method":"POST","bulkId":"b1","path":"/Users","data":{"externalId":"7","userName":"a@fabrikam.example"}}],"failOnErrors":null}`,
			[]Operation{{"POST", "b1", "7", json.RawMessage(`{"externalId":"7","userName":"a@fabrikam.example"}`)}}},
		{"byte order mark", "\uFEFF " + head + `[{"method":"POST","path":"/Users","data":{}}]}`, []Operation{{Method: "POST", Data: json.RawMessage(`{}`)}}},
		{"case of names, method, path", `{"SCHEMAS":["` + strings.ToUpper(BulkRequestURN) + `"],"operations":[{"Method":"post","BULKID":"x","Path":"users/","DATA":{"EXTERNALID":1.50e1}}]} `,
			[]Operation{{"POST", "x", "1.50e1", json.RawMessage(`{"EXTERNALID":1.50e1}`)}}},
		{"repeated bulkId and anchor", head + `[{"method":"POST","bulkId":"b","path":"/users","data":{"externalId":"1"}},{"data":{"externalId":"1"},"path":"Users","bulkId":"b","method":"POST"}]}`,
			[]Operation{{"POST", "b", "1", json.RawMessage(`{"externalId":"1"}`)}, {"POST", "b", "1", json.RawMessage(`{"externalId":"1"}`)}}},
		{"delete", head + `[{"method":"DELETE","bulkId":null,"path":"/Users/b7c14771"},{"method":"delete","path":"/Users","data":null}]}`,
			[]Operation{{Method: "DELETE"}, {Method: "DELETE"}}},
		{"compact", head + "[{\"method\":\"POST\",\"path\":\"/Users\",\"data\": \r\n{ \"a b\" : [ 1 , { \"c\" : \" d \" } ] ,\t\"e\":null } }]}",
			[]Operation{{Method: "POST", Data: json.RawMessage(`{"a b":[1,{"c":" d "}],"e":null}`)}}},
		{"unknown members and failOnErrors", head + `[{"version":{"x":1},"method":"POST","path":"/Users","data":{},"status":[1]}],"failOnErrors":3,"x":{}}`,
			[]Operation{{Method: "POST", Data: json.RawMessage(`{}`)}}},
		{"anchor trimmed", head + `[{"method":"POST","path":"/Users","data":{"externalId":" \t7 "}}]}`,
			[]Operation{{"POST", "", "7", json.RawMessage(`{"externalId":" \t7 "}`)}}},
		{"blank anchor", head + `[{"method":"POST","path":"/Users","data":{"externalId":"  "}}]}`,
			[]Operation{{"POST", "", "", json.RawMessage(`{"externalId":"  "}`)}}},
		{"no anchor in other kinds, last counts", head + `[{"method":"POST","path":"/Users","data":{"externalId":"1","externalid":["2"]}}]}`,
			[]Operation{{"POST", "", "", json.RawMessage(`{"externalId":"1","externalid":["2"]}`)}}},
		{"anchor in an object", head + `[{"method":"POST","path":"/Users","data":{"externalId":{"value": " 2"}}},{"method":"POST","path":"/Users","data":{"externalId":{"value":{}}}}]}`,
			[]Operation{{"POST", "", "2", json.RawMessage(`{"externalId":{"value":" 2"}}`)}, {"POST", "", "", json.RawMessage(`{"externalId":{"value":{}}}`)}}},
		{"anchor too long", head + `[{"method":"POST","path":"/Users","data":{"externalId":"` + strings.Repeat("7", MaxAnchor+1) + `"}},{"method":"POST","path":"/Users","data":{"externalId":" ` + strings.Repeat("7", MaxAnchor) + `"}}]}`,
			[]Operation{{"POST", "", "", json.RawMessage(`{"externalId":"` + strings.Repeat("7", MaxAnchor+1) + `"}`)}, {"POST", "", strings.Repeat("7", MaxAnchor), json.RawMessage(`{"externalId":" ` + strings.Repeat("7", MaxAnchor) + `"}`)}}},
		{"anchor with its schema", head + `[{"method":"POST","path":"/Users","data":{"externalId":"1","` + UserURN + `:ExternalId":2}}]}`,
			[]Operation{{"POST", "", "2", json.RawMessage(`{"externalId":"1","` + UserURN + `:ExternalId":2}`)}}},
		{"anchor below its schema", head + `[{"method":"POST","path":"/Users","data":{"` + UserURN + `":{"externalId":"2","password":"s3"},"x":1}}]}`,
			[]Operation{{"POST", "", "2", json.RawMessage(`{"` + UserURN + `":{"externalId":"2","password":""},"x":1}`)}}},
		{"escaped anchor", head + `[{"method":"POST","path":"/Users","data":{"external\u0049d":"\u00e9\ud83d\ude00\n\/x"}}]}`,
			[]Operation{{"POST", "", "é😀\n/x", json.RawMessage(`{"external\u0049d":"\u00e9\ud83d\ude00\n\/x"}`)}}},
		{"passwords", head + `[{"method":"POST","path":"/Users","data":{"password":"s3", "PassWord" : { "a" : [1] } ,"pass\u0077ord":null,"x":1,"` + UserURN + `:password":"s3","urn:x:y":{"Password":12,"z":2}}}]}`,
			[]Operation{{Method: "POST", Data: json.RawMessage(`{"password":"","PassWord":"","pass\u0077ord":"","x":1,"` + UserURN + `:password":"","urn:x:y":{"Password":"","z":2}}`)}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := []byte(test.body)
			got, err := ParseBulk(body, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range body {
				body[i] = 'X'
			}
			if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", test.want); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
			for i, op := range got {
				if (op.Data == nil) != (test.want[i].Data == nil) {
					t.Errorf("operation %d: data %q", i, op.Data)
				}
			}
		})
	}
}

func TestParseBulkRefuses(t *testing.T) {
	op := func(s string) string { return head + `[{"method":"POST","path":"/Users","data":{}},{` + s + `}]}` }
	data := func(s string) string { return op(`"method":"POST","path":"/Users","data":` + s) }
	request := func(n int) string {
		return head + "[" + strings.Repeat(`{"method":"POST","path":"/Users","data":{}},`, n-1) + `{"method":"POST","path":"/Users","data":{}}]}`
	}
	tests := []struct {
		name, body string
		operation  int
		path       string
		reason     string // contained
	}{
		{"empty", ``, -1, "", "found the end of the input"},
		{"root array", `[]`, -1, "", "expected an object, found an array"},
		{"no schemas", `{"Operations":[{"method":"POST","path":"/Users","data":{}}]}`, -1, "schemas", "no such member"},
		{"schemas a string", `{"schemas":"` + BulkRequestURN + `"}`, -1, "schemas", "expected an array, found a string"},
		{"other schemas", `{"schemas":["` + UserURN + `",1]}`, -1, "schemas", BulkRequestURN},
		{"no operations", `{"schemas":["` + BulkRequestURN + `"]}`, -1, "Operations", "no such member"},
		{"operations null", head + `null}`, -1, "Operations", "expected an array, found null"},
		{"zero operations", head + `[]}`, -1, "Operations", "expected 1 to 50 operations, found 0"},
		{"51 operations", request(51), -1, "Operations", "expected 1 to 50 operations, found 51"},
		{"operations twice", head + `[{"method":"POST","path":"/Users","data":{}}],"operations":[]}`, -1, "Operations", "found it twice"},
		{"operation a number", head + `[1]}`, 0, "Operations[0]", "expected an object, found a number"},
		{"no method", op(`"path":"/Users","data":{}`), 1, "Operations[1].method", `expected "POST"`},
		{"put", op(`"method":"PUT","path":"/Users","data":{}`), 1, "Operations[1].method", `found "PUT"`},
		{"method null", op(`"method":null,"path":"/Users","data":{}`), 1, "Operations[1].method", "expected a string, found null"},
		{"look-alike method", op(`"method":"po\u017ft","path":"/Users","data":{}`), 1, "Operations[1].method", `expected "POST"`},
		{"method twice", op(`"method":"POST","METHOD":"DELETE","path":"/Users","data":{}`), 1, "Operations[1].method", "found it twice"},
		{"no path", op(`"method":"POST","data":{}`), 1, "Operations[1].path", "no such member"},
		{"groups", op(`"method":"POST","path":"/Groups","data":{}`), 1, "Operations[1].path", `expected "/Users", found "/Groups"`},
		{"post to one user", op(`"method":"POST","path":"/Users/1","data":{}`), 1, "Operations[1].path", `found "/Users/1"`},
		{"delete deeper", op(`"method":"DELETE","path":"/Users/1/2"`), 1, "Operations[1].path", `found "/Users/1/2"`},
		{"bulkId a number", op(`"method":"POST","bulkId":1,"path":"/Users","data":{}`), 1, "Operations[1].bulkId", "expected a string, found a number"},
		{"no data", op(`"method":"POST","path":"/Users"`), 1, "Operations[1].data", "no such member"},
		{"data null", data(`null`), 1, "Operations[1].data", "expected an object, found null"},
		{"data an array", data(`[]`), 1, "Operations[1].data", "expected an object, found an array"},
		{"delete with bad data", op(`"method":"DELETE","path":"/Users","data":"x"`), 1, "Operations[1].data", "found a string"},
		{"trailing garbage", request(1) + `x`, -1, "", `expected the end of the input, found 'x'`},
		{"second value", request(1) + ` {}`, -1, "", "found an object"},
		{"byte order mark later", " \uFEFF" + request(1), -1, "", "expected an object"},
		{"invalid UTF-8", data("{\"a\":\"\xff\"}"), 1, "Operations[1].data", "expected UTF-8, found the byte 0xFF"},
		{"surrogate in UTF-8", data("{\"a\":\"\xed\xa0\x80\"}"), 1, "Operations[1].data", "UTF-8"},
		{"lone high surrogate", data(`{"a":"\ud83dx"}`), 1, "Operations[1].data", "surrogate"},
		{"lone low surrogate", data(`{"a":"\ude00"}`), 1, "Operations[1].data", "surrogate"},
		{"swapped surrogates", data(`{"a":"\ude00\ud83d"}`), 1, "Operations[1].data", "surrogate"},
		{"raw newline", data("{\"a\":\"\n\"}"), 1, "Operations[1].data", "U+000A"},
		{"bad escape", data(`{"a":"\x"}`), 1, "Operations[1].data", "escape"},
		{"short escape", data(`{"a":"\u12"}`), 1, "Operations[1].data", "escape"},
		{"leading zero", data(`{"a":01}`), 1, "Operations[1].data", "number"},
		{"no digits after point", data(`{"a":1.}`), 1, "Operations[1].data", "number"},
		{"no digits in exponent", data(`{"a":1e+}`), 1, "Operations[1].data", "number"},
		{"plus", data(`{"a":+1}`), 1, "Operations[1].data", "value"},
		{"NaN", data(`{"a":NaN}`), 1, "Operations[1].data", "value"},
		{"true misspelt", data(`{"a":tru}`), 1, "Operations[1].data", "misspelt"},
		{"trailing comma", data(`{"a":1,}`), 1, "Operations[1].data", "member name"},
		{"unquoted name", data(`{a:1}`), 1, "Operations[1].data", "member name"},
		{"no colon", data(`{"a" 1}`), 1, "Operations[1].data", "':'"},
		{"unfinished", data(`{"a":"b`), 1, "Operations[1].data", "end of the input"},
		{"bad password", data(`{"password":tru}`), 1, "Operations[1].data", "misspelt"},
		{"deep", data(strings.Repeat(`{"a":`, 30) + `1` + strings.Repeat(`}`, 30)), 1, "Operations[1].data", "nested"},
		{"very deep", data(`{"a":` + strings.Repeat(`[`, 100_000)), 1, "Operations[1].data", "nested"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ops, err := ParseBulk([]byte(test.body), Limits{})
			var e *Error
			if !errors.As(err, &e) || ops != nil {
				t.Fatalf("got %v, %v", ops, err)
			}
			if e.Operation != test.operation || e.Path != test.path || !strings.Contains(e.Reason, test.reason) {
				t.Errorf("got %d %q %q", e.Operation, e.Path, e.Reason)
			}
			if e.Offset < 0 || e.Offset > int64(len(test.body)) {
				t.Errorf("offset %d of %d", e.Offset, len(test.body))
			}
		})
	}
}

func TestParseBulkLimits(t *testing.T) {
	body := []byte(head + `[` + strings.Repeat(`{"method":"POST","path":"/Users","data":{"a":[[]]}},`, 59) + `{"method":"POST","path":"/Users","data":{}}]}`)
	if _, err := ParseBulk(body, Limits{Operations: 60, Depth: 6}); err != nil {
		t.Error(err)
	}
	if _, err := ParseBulk(body, Limits{Operations: 60, Depth: 5}); err == nil {
		t.Error("depth 5: no error")
	}
	if _, err := ParseBulk(body, Limits{Operations: 59}); err == nil {
		t.Error("59 operations: no error")
	}
}

func TestErrorText(t *testing.T) {
	_, err := ParseBulk([]byte(head+`[{"method":"POST","path":"/Groups","data":{}}]}`), Limits{})
	want := `Operations[0].path: expected "/Users", found "/Groups" (at byte 103)`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// bulkBody returns a request of n operations as HR systems send them, about 1.3 KB each.
func bulkBody(n int) []byte {
	var b strings.Builder
	b.WriteString(head + "[")
	for i := range n {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `{"method":"POST","bulkId":"897401c2-2de4-4b87-a97f-%012d","path":"/Users","data":{
  "schemas":["%s","%s","urn:fabrikam:employee"],
  "externalId":"%d","userName":"worker%d@fabrikam.example",
  "name":{"formatted":"Ms. Zoë Worker %[4]d, III","familyName":"Worker %[4]d","givenName":"Zoë","middleName":"Jane","honorificPrefix":"Ms."},
  "displayName":"Zoë Worker %[4]d","nickName":"Zo",
  "emails":[{"value":"worker%[4]d@fabrikam.example","type":"work","primary":true},{"value":"zoe%[4]d@home.example","type":"home"}],
  "addresses":[{"type":"work","streetAddress":"100 Main Street\nFloor 3","locality":"Springfield","region":"CA","postalCode":"91608","country":"US","primary":true}],
  "phoneNumbers":[{"value":"+1 555 0100 %[4]d","type":"work"},{"value":"+1 555 0199","type":"mobile"}],
  "userType":"Employee","title":"Tour Guide","preferredLanguage":"en-US","locale":"en-US","timezone":"America/Los_Angeles","active":true,
  "%[3]s":{"employeeNumber":"%[4]d","costCenter":"4130","organization":"Fabrikam","division":"Theme Park","department":"Tour Operations","manager":{"value":"%[5]d","displayName":"Sam Lead"}},
  "urn:fabrikam:employee":{"HireDate":"2021-05-01T00:00:00-05:00","JobCode":"AB-1002"}}}`,
			i, UserURN, EnterpriseURN, 700000+i, i/10)
	}
	b.WriteString(`],"failOnErrors":null}`)
	return []byte(b.String())
}

func FuzzParseBulk(f *testing.F) {
	f.Add(bulkBody(2))
	f.Add([]byte(head + `[{"method":"DELETE","path":"/Users/1"}]}`))
	f.Add([]byte("\uFEFF" + head + `[ {"method":"POST","path":"users","data":{"password":{"a":[]},"urn:x":{"password":1},"externalId":"\ud83d\ude00"}} ] }`))
	f.Fuzz(func(t *testing.T, body []byte) {
		ops, err := ParseBulk(body, Limits{})
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > int64(len(body)) || e.Reason == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if len(ops) == 0 || len(ops) > defaultOperations || !json.Valid([]byte(strings.TrimPrefix(string(body), "\uFEFF"))) {
			t.Fatalf("accepted %q", body)
		}
		for _, op := range ops {
			if op.Data == nil {
				continue
			}
			var members map[string]json.RawMessage
			if err := json.Unmarshal(op.Data, &members); err != nil {
				t.Fatalf("data %q: %v", op.Data, err)
			}
			for name, value := range members {
				if isPassword([]byte(name)) && string(value) != `""` {
					t.Fatalf("password kept in %q", op.Data)
				}
			}
			if a := readAnchor(op.Data); a != op.Anchor {
				t.Fatalf("anchor %q, and read %q of %q", op.Anchor, a, op.Data)
			}
			again, cerr := compact(op.Data, "")
			if cerr != nil || string(again) != string(op.Data) {
				t.Fatalf("not compact: %q", op.Data)
			}
		}
	})
}

func BenchmarkParseBulk(b *testing.B) {
	body := bulkBody(50)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseBulk(body, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
