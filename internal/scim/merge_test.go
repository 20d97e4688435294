package scim

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestMerge(t *testing.T) {
	tests := []struct{ name, kept, sent, want string }{
		{"nothing kept", ``, ` { "a" : 1 } `, `{"a":1}`},
		{"nothing sent", `{"a":1, "b":[1, 2]}`, `{}`, `{"a":1,"b":[1,2]}`},
		{"replace and keep", `{"a":1,"b":2}`, `{"b":3,"c":4}`, `{"a":1,"b":3,"c":4}`},
		{"any case, the sent spelling stays", `{"userName":"a"}`, `{"username":"b"}`, `{"username":"b"}`},
		{"null is sent", `{"a":1,"name":{"x":1}}`, `{"a":null,"name":null}`, `{"a":null,"name":null}`},
		{"over null", `{"name":null}`, `{"name":{"x":1}}`, `{"name":{"x":1}}`},
		{"complex", `{"name":{"givenName":"a","familyName":"b"}}`, `{"name":{"GIVENNAME":"c"}}`, `{"name":{"familyName":"b","GIVENNAME":"c"}}`},
		{"empty complex", `{"name":{"givenName":"a"}}`, `{"name":{}}`, `{"name":{"givenName":"a"}}`},
		{"array", `{"emails":[{"type":"work","value":"a"}]}`, `{"emails":[{"type":"home","value":"b"}]}`, `{"emails":[{"type":"home","value":"b"}]}`},
		{"scalar over object", `{"name":{"x":1}}`, `{"name":"a"}`, `{"name":"a"}`},
		{"extension", `{"urn:x:y":{"a":1,"b":{"c":1,"d":2}}}`, `{"URN:x:y":{"b":{"d":3}}}`, `{"URN:x:y":{"a":1,"b":{"c":1,"d":3}}}`},
		{"deeper is replaced", `{"urn:x:y":{"b":{"c":{"d":1}}}}`, `{"urn:x:y":{"b":{"c":{"e":1}}}}`, `{"urn:x:y":{"b":{"c":{"e":1}}}}`},
		{"another manager", `{"urn:x:y":{"manager":{"value":"1","displayName":"n"}}}`, `{"urn:x:y":{"manager":{"value":"2"}}}`, `{"urn:x:y":{"manager":{"value":"2"}}}`},
		{"flat over nested", `{"urn:x:y":{"a":1,"b":2}}`, `{"urn:x:y:A":3}`, `{"urn:x:y":{"b":2},"urn:x:y:A":3}`},
		{"nested over flat", `{"urn:x:y:a":1,"urn:x:y:b":2}`, `{"urn:x:y":{"A":3}}`, `{"urn:x:y:b":2,"urn:x:y":{"A":3}}`},
		{"core URN over plain", `{"userName":"a","title":"t"}`, `{"` + UserURN + `:username":"b","` + UserURN + `":{"title":"u"}}`, `{"` + UserURN + `:username":"b","` + UserURN + `":{"title":"u"}}`},
		{"plain over core URN", `{"` + UserURN + `":{"title":"u","x":1}}`, `{"title":"t"}`, `{"` + UserURN + `":{"x":1},"title":"t"}`},
		{"duplicates, the last counts", `{"a":1,"A":2}`, `{"b":3,"B":4}`, `{"A":2,"B":4}`},
		{"escaped name", `{"\u0061":1}`, `{"a":2}`, `{"a":2}`},
	}
	for _, test := range tests {
		got, err := Merge([]byte(test.kept), []byte(test.sent))
		if err != nil || string(got) != test.want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", test.name, got, err, test.want)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	for _, test := range [][2]string{{`[]`, `{}`}, {`{}`, `[]`}, {`{}`, ``}, {`{`, `{}`}, {`{}`, `{}x`}, {`{}`, `null`}} {
		_, err := Merge([]byte(test[0]), []byte(test[1]))
		var e *Error
		if !errors.As(err, &e) || e.Path == "" {
			t.Errorf("%q: %v", test, err)
		}
	}
}

// Work must grow with the size of what is sent, not with its square.
func TestManyMembers(t *testing.T) {
	var flat, nested strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&flat, `,"urn:x:a%d":1`, i)
		fmt.Fprintf(&nested, `,"a%d":1`, i)
	}
	kept := `{"x":1` + flat.String() + `}`
	sent := `{"urn:x":{"x":1` + nested.String() + `},"list":[{"type":"t"` + nested.String() + `}]}`
	merged, err := Merge([]byte(kept), []byte(sent))
	if want := `{"x":1,` + sent[1:]; err != nil || string(merged) != want {
		t.Fatalf("%d bytes, %v", len(merged), err)
	}
	r, err := CompilePaths([]string{"urn:x:a1", "list.a2"})
	if err != nil {
		t.Fatal(err)
	}
	unread := 0
	if _, err := r.Read([]byte(sent), nil, func(string) { unread++ }); err != nil || unread != 200_000-1 {
		t.Fatalf("%d unread, %v", unread, err)
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"name":{"a":1,"b":null},"x":[1]}`), []byte(`{"NAME":{"a":2},"userName":"a"}`))
	f.Add([]byte(`{"urn:a":{"b":1},"urn:a:b":2,"URN:A":{}}`), []byte(`{"urn:a:b":{"value":2},"urn:a":{"c":1}}`))
	f.Add([]byte(`{"`+UserURN+`:userName":1}`), []byte(`{"username":2,"`+UserURN+`":{"userName":3}}`))
	f.Add([]byte(`{"`+EnterpriseURN+`":{"manager":{"value":"1"}}}`), []byte(`{"`+EnterpriseURN+`:manager":"2"}`))
	r, err := CompilePaths(append([]string{"a", "urn:a:b", "urn:a:c"}, readPaths...))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kept, sent []byte) {
		merged, err := Merge(kept, sent)
		if err != nil {
			return
		}
		if !json.Valid(merged) {
			t.Fatalf("not JSON: %q", merged)
		}
		read := func(data []byte) []Value {
			v, err := r.Read(data, nil, nil)
			if err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			return v
		}
		same, err := Merge(sent, sent)
		if err != nil || !reflect.DeepEqual(read(same), read(sent)) {
			t.Fatalf("%q with itself is %q, %v", sent, same, err)
		}
		for i, v := range read(sent) {
			if got := read(merged)[i]; v.Kind != Absent && v.Kind != Invalid && !reflect.DeepEqual(got, v) {
				t.Fatalf("path %d of %q over %q = %q: got %v, sent %v", i, sent, kept, merged, got, v)
			}
		}
		twice, err := Merge(merged, sent)
		if err != nil || !reflect.DeepEqual(read(twice), read(merged)) {
			t.Fatalf("%q twice over %q: %q, then %q", sent, kept, merged, twice)
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	ops, err := ParseBulk(bulkBody(1), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(2 * len(ops[0].Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Merge(ops[0].Data, ops[0].Data); err != nil {
			b.Fatal(err)
		}
	}
}
