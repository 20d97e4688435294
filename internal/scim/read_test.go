package scim

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func text(s string) Value         { return Value{Kind: Text, Str: s} }
func many(list ...Value) Value    { return Value{Kind: Many, List: list} }
func invalid(reason string) Value { return Value{Kind: Invalid, Str: reason} }

func TestRead(t *testing.T) {
	const (
		department = EnterpriseURN + ":department"
		manager    = EnterpriseURN + ":manager"
		jobCode    = "urn:fabrikam:employee:JobCode"
		workMail   = `emails[type eq "work"].value`
		object     = "expected a single value, found an object without a value"
	)
	absent, null := Value{}, Value{Kind: Null}
	tests := []struct {
		path, data string
		want       Value
	}{
		{"userName", `{"userName":"a"}`, text("a")},
		{"USERNAME", `{"uSeRnAmE":"a"}`, text("a")},
		{"userName", `{"user\u004eame":"a"}`, text("a")},
		{"userName", ` { "userName" : "a\n\u00e9\ud83d\ude00" } `, text("a\né😀")},
		{"userName", `{"userName":""}`, text("")},
		{"userName", `{"userName":null}`, null},
		{"userName", `{}`, absent},
		{"userName", `{"userName":"a","username":"b"}`, text("b")},
		{"userName", `{"userName":{"x":1}}`, invalid(object)},
		{"userName", `{"userName":{"value":{}}}`, invalid("expected a single value, found an object")},
		{"userName", `{"userName":[]}`, many()},
		{"active", `{"active":true}`, Value{Kind: Boolean, Str: "true"}},
		{"active", `{"active":"False"}`, text("False")},
		{"x", `{"x":-1.50E+3}`, Value{Kind: Number, Str: "-1.50E+3"}},
		{UserURN + ":userName", `{"userName":"a"}`, text("a")},
		{"userName", `{"` + strings.ToLower(UserURN) + `:userName":"a"}`, text("a")},
		{"userName", `{"` + UserURN + `":{"username":"a"}}`, text("a")},

		{"name.givenName", `{"name":{"givenName":"a"}}`, text("a")},
		{"name.givenName", `{"NAME":{"GIVENNAME":"a","givenname":"b"}}`, text("b")},
		{"name.givenName", `{"name":{"givenName":null}}`, null},
		{"name.givenName", `{"name":{}}`, absent},
		{"name.givenName", `{"name":null}`, absent},
		{"name.givenName", `{"name":"a b"}`, invalid("expected an object, found a string")},
		{"name.givenName", `{"name":{"givenName":{"a":1}}}`, invalid(object)},
		{"name.givenName", `{"name":{"givenName":"a"},"Name":{"familyName":"b"}}`, absent},
		{"name.givenName", `{"name":{"givenName":"a"},"Name":null}`, absent},
		{"name.givenName", `{"name":[{"givenName":"a"},{"givenName":"b"}]}`, many(text("a"), text("b"))},

		{workMail, `{"emails":[{"type":"home","value":"h"},{"value":"w","type":"Work"}]}`, text("w")},
		{workMail, `{"emails":[{"type":"work","value":"1"},{"type":"work","value":"2"}]}`, text("1")},
		{workMail, `{"emails":[{"type":"work","value":"1"},{"type":"work","value":"2","primary":true},{"type":"work","value":"3","primary":true}]}`, text("2")},
		{workMail, `{"emails":[{"type":"work","value":"1","primary":false},{"type":"work","value":"2","primary":"True"}]}`, text("2")},
		{workMail, `{"emails":[{"type":"home","value":"h"}]}`, absent},
		{workMail, `{"emails":[{"type":"work"}]}`, absent},
		{workMail, `{"emails":[{"type":"work","value":null}]}`, null},
		{workMail, `{"emails":[{"type":"wor\u006b","value":"1"}]}`, text("1")},
		{workMail, `{"emails":[{"type":1,"value":"1"},{"type":{},"value":"2"},{"type":null}]}`, absent},
		{workMail, `{"emails":[]}`, absent},
		{workMail, `{"emails":null}`, absent},
		{workMail, `{"emails":[null]}`, absent},
		{workMail, `{"emails":["w"]}`, invalid("expected an object, found a string")},
		{workMail, `{"emails":{"type":"work","value":"1"}}`, invalid("expected an array, found an object")},
		{workMail, `{"emails":"w"}`, invalid("expected an array, found a string")},
		{`emails[type eq "work"]`, `{"emails":[{"type":"work","value":"1"}]}`, text("1")},
		{`emails[primary eq true].value`, `{"emails":[{"value":"1","primary":false},{"value":"2","primary":true}]}`, text("2")},
		{`emails[PRIMARY EQ false].VALUE`, `{"emails":[{"value":"1","primary":"false"},{"value":"2"}]}`, text("1")},
		{`x[n eq 1.5].value`, `{"x":[{"n":"1.5","value":"1"},{"n":1.5,"value":"2"}]}`, text("2")},
		{`x[n eq null].value`, `{"x":[{"n":0,"value":"1"},{"value":"2"}]}`, text("2")},
		{`addresses[type eq "a]\"b"].locality`, `{"addresses":[{"type":"a]\"b","locality":"1"}]}`, text("1")},
		{"emails.value", `{"emails":[{"value":"1"},{"type":"x"},{"value":2},null,{"value":null}]}`, many(text("1"), Value{Kind: Number, Str: "2"}, null)},
		{"emails.value", `{"emails":["1",{"value":"2"}]}`, many(text("1"), text("2"))},
		{"emails.value", `{"emails":[]}`, many()},
		{"emails.value", `{"emails":{"value":"1"}}`, text("1")},
		{"emails.value", `{"emails":[{"value":"1"},{"value":[1]}]}`, invalid("expected elements with one value each, found an array in an array")},
		{"emails.display", `{"emails":["1"]}`, invalid("expected an object, found a string")},
		{"tags", `{"tags":["a",1,null,{"value":true}]}`, many(text("a"), Value{Kind: Number, Str: "1"}, null, Value{Kind: Boolean, Str: "true"})},
		{"tags", `{"tags":["a",{"x":1}]}`, invalid(object)},
		{"tags", `{"tags":[["a"]]}`, invalid("expected elements with one value each, found an array in an array")},

		{department, `{"` + EnterpriseURN + `":{"department":"d"}}`, text("d")},
		{department, `{"` + strings.ToUpper(EnterpriseURN) + `":{"DEPARTMENT":"d"}}`, text("d")},
		{department, `{"` + EnterpriseURN + `:Department":"d"}`, text("d")},
		{department, `{"` + EnterpriseURN + `":null}`, absent},
		{department, `{"` + EnterpriseURN + `":"x"}`, invalid("expected an object, found a string")},
		{department, `{"` + EnterpriseURN + `":{"department":"d"},"` + strings.ToLower(EnterpriseURN) + `":{}}`, absent},
		{department, `{"` + EnterpriseURN + `:department":"f","` + EnterpriseURN + `":{"costCenter":"1"}}`, text("f")},
		{manager, `{"` + EnterpriseURN + `":{"manager":{"value":"1","displayName":"n"}}}`, text("1")},
		{manager, `{"` + EnterpriseURN + `":{"manager":"1"}}`, text("1")},
		{manager, `{"` + EnterpriseURN + `":{"manager":null}}`, null},
		{manager, `{"` + EnterpriseURN + `":{"manager":{"value":null}}}`, null},
		{manager, `{"` + EnterpriseURN + `":{"manager":{"displayName":"n"}}}`, invalid(object)},
		{manager + ".value", `{"` + EnterpriseURN + `":{"manager":"1"}}`, text("1")},
		{manager + ".displayName", `{"` + EnterpriseURN + `":{"manager":{"displayName":"n"}}}`, text("n")},
		{manager + ".displayName", `{"` + EnterpriseURN + `:manager":{"displayName":"n"}}`, text("n")},
		{jobCode, `{"urn:fabrikam:employee":{"jobcode":"A"}}`, text("A")},
		{jobCode, `{"URN:fabrikam:employee:JobCode":"A"}`, text("A")},
		{jobCode, `{"urn:fabrikam":{"employee":{"JobCode":"A"}}}`, absent},
		{`urn:fabrikam:employee:badges[type eq "door"].value`, `{"urn:fabrikam:employee":{"badges":[{"type":"door","value":"9"}]}}`, text("9")},
	}
	for _, test := range tests {
		r, err := CompilePaths([]string{test.path})
		if err != nil {
			t.Errorf("%s: %v", test.path, err)
			continue
		}
		got, err := r.Read([]byte(test.data), nil, func(string) {})
		if err != nil || len(got) != 1 {
			t.Errorf("%s of %s: %v, %v", test.path, test.data, got, err)
			continue
		}
		if fmt.Sprintf("%#v", normal(got[0])) != fmt.Sprintf("%#v", normal(test.want)) {
			t.Errorf("%s of %s:\ngot  %#v\nwant %#v", test.path, test.data, got[0], test.want)
		}
	}
}

// normal makes no difference between a nil and an empty list.
func normal(v Value) Value {
	if len(v.List) == 0 {
		v.List = nil
	}
	return v
}

func TestReadManyPathsAtOnce(t *testing.T) {
	paths := []string{"userName", "USERNAME", `emails[type eq "work"].value`, `emails[type eq "home"].value`, "emails.value", "emails",
		"urn:a:b", "urn:a:b:c", "urn:a:b:d.e"}
	for range 2 { // in either order
		r, err := CompilePaths(paths)
		if err != nil {
			t.Fatal(err)
		}
		data := []byte(`{"userName":"u","emails":[{"type":"home","value":"h"},{"type":"work","value":"w"}],"urn:a:b":{"value":"v","c":"c","d":{"e":"e"}}}`)
		dst := make([]Value, 1, 20)
		dst[0] = text("stale")
		got, err := r.Read(data, dst, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			data[i] = 'X'
		}
		want := map[string]Value{"userName": text("u"), "USERNAME": text("u"), paths[2]: text("w"), paths[3]: text("h"), "emails.value": many(text("h"), text("w")), "emails": many(text("h"), text("w")),
			"urn:a:b": text("v"), "urn:a:b:c": text("c"), "urn:a:b:d.e": text("e")}
		want[`emails[type eq "work"].value`], want[`emails[type eq "home"].value`] = text("w"), text("h")
		for i, p := range paths {
			if !reflect.DeepEqual(got[i], want[p]) {
				t.Errorf("%s: got %#v, want %#v", p, got[i], want[p])
			}
		}
		if &got[0] != &dst[:1][0] {
			t.Error("dst was not reused")
		}
		slices.Reverse(paths)
	}
}

func TestReadManySubAttributes(t *testing.T) {
	var paths []string
	var data strings.Builder
	data.WriteString(`{"list":[{"type":"x"`)
	for i := range 40 {
		paths = append(paths, fmt.Sprintf(`list[type eq "x"].a%d`, i), fmt.Sprintf(`list[a%d eq "%d"].a1`, i, i))
		fmt.Fprintf(&data, `,"a%d":"%d"`, i, i)
	}
	data.WriteString(`}]}`)
	r, err := CompilePaths(paths)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Read([]byte(data.String()), nil, nil)
	for i := range 40 {
		if err != nil || got[2*i].Str != fmt.Sprint(i) || got[2*i+1].Str != "1" {
			t.Fatalf("%d: %v %v %v", i, got[2*i], got[2*i+1], err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	r, err := CompilePaths([]string{"userName"})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{``, `[]`, `null`, `{`, `{"userName":"a"`, `{"userName":"a"}}`, `{"userName":}`, "{\"userName\":\"\xff\"}", `{"a":` + strings.Repeat("[", 100_000)} {
		got, err := r.Read([]byte(data), nil, func(string) {})
		var e *Error
		if !errors.As(err, &e) || len(got) != 0 {
			t.Errorf("%.40q: %v, %v", data, got, err)
		}
	}
}

func TestCompilePathsRefuses(t *testing.T) {
	for _, path := range []string{"", ".", "a.", ".a", "a.b.c", "urn:x:", ":a", `a[`, `a[]`, `a[type]`, `a[type eq]`, `a[type eq "x"`, `a[type ne "x"]`, `a[type eq x]`,
		`a[type eq "x" and primary eq true]`, `a[type eq {}]`, `a[type eq "x"]value`, `a[type eq "x"].`, `a[type eq "x"].b.c`, `a.b[type eq "x"]`, `[type eq "x"]`, `a]b`, `a"b`} {
		if _, err := CompilePaths([]string{"userName", path}); err == nil {
			t.Errorf("%q: no error", path)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", path)) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestUnread(t *testing.T) {
	paths := []string{"externalId", "userName", "name.givenName", `emails[type eq "work"].value`, "phoneNumbers.value", EnterpriseURN + ":department", "urn:fabrikam:employee:JobCode", "tags"}
	tests := []struct {
		data string
		want []string
	}{
		{`{"schemas":["x"],"ID":"1","meta":{"a":1},"password":"","externalId":"1","username":"a","tags":["a"]}`, nil},
		{`{"NICKNAME":"x","title":null,"foo":1,"groups":[]}`, []string{"nickName", "foo"}},
		{`{"NAME":{"givenName":"a","MIDDLENAME":"b","formatted":null}}`, []string{"name.middleName"}},
		{`{"emails":[{"type":"work","value":"1","primary":true,"display":"d"},{"type":"work","value":"2"},{"type":"home","VALUE":"3"},{"value":"4"}]}`,
			[]string{`emails[type eq "home"].value`, "emails.value"}},
		{`{"addresses":[{"type":"work","Locality":"l","region":null,"primary":true}]}`, []string{`addresses[type eq "work"].locality`}},
		{`{"phoneNumbers":[{"type":"work","value":"1"}]}`, nil},
		{`{"` + strings.ToLower(EnterpriseURN) + `":{"department":"d","costcenter":"c","manager":{"value":"1","$ref":"r","displayName":"n"}}}`,
			[]string{EnterpriseURN + ":costCenter", EnterpriseURN + ":manager", EnterpriseURN + ":manager.displayName"}},
		{`{"` + EnterpriseURN + `:manager":{"value":"1"},"` + EnterpriseURN + `:department":"d"}`, []string{EnterpriseURN + ":manager"}},
		{`{"urn:fabrikam:employee":{"jobcode":"1","HireDate":"2"},"urn:x:y":{"Attr":1,"password":""},"urn:x:y:Flat":2}`,
			[]string{"urn:fabrikam:employee:HireDate", "urn:x:y:Attr", "urn:x:y:Flat"}},
		{`{"` + UserURN + `":{"title":"t","username":"u"},"` + UserURN + `:nickname":"n"}`, []string{"title", "nickName"}},
		{`{"roles":["a","b"],"deep":{"a":{"b":{"c":1}}}}`, []string{"roles", "roles", "deep.a"}},
	}
	r, err := CompilePaths(paths)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		var got []string
		if _, err := r.Read([]byte(test.data), nil, func(path string) { got = append(got, path) }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", test.data, got, test.want)
		}
		for _, path := range got {
			if _, err := CompilePaths([]string{path}); err != nil {
				t.Errorf("unread path does not compile: %v", err)
			}
		}
	}
}

// readPaths are the source attributes of a usual schema.
var readPaths = []string{"externalId", "userName", "active", "displayName", "nickName", "title", "userType", "preferredLanguage", "locale", "timezone", "profileUrl",
	"name.formatted", "name.givenName", "name.familyName", "name.middleName", "name.honorificPrefix", `emails[type eq "work"].value`, `phoneNumbers[type eq "work"].value`, `phoneNumbers[type eq "mobile"].value`,
	`addresses[type eq "work"].streetAddress`, `addresses[type eq "work"].locality`, `addresses[type eq "work"].region`, `addresses[type eq "work"].postalCode`, `addresses[type eq "work"].country`,
	EnterpriseURN + ":employeeNumber", EnterpriseURN + ":costCenter", EnterpriseURN + ":organization", EnterpriseURN + ":division", EnterpriseURN + ":department", EnterpriseURN + ":manager",
	"urn:fabrikam:employee:HireDate", "urn:fabrikam:employee:JobCode"}

func FuzzRead(f *testing.F) {
	ops, err := ParseBulk(bulkBody(1), Limits{})
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(readPaths, "emails.value", "tags", `emails[primary eq true]`) {
		f.Add([]byte(ops[0].Data), path)
	}
	f.Add([]byte(`{"urn:a":{"b":1},"urn:a:b":{"value":2},"URN:A":{}}`), "urn:a:b")
	f.Add([]byte(`{"a":[[1],{"value":[]},null]}`), "a.b")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		paths := append([]string{path}, readPaths...)
		r, err := CompilePaths(paths)
		if err != nil {
			return
		}
		unread := 0
		got, err := r.Read(data, nil, func(string) { unread++ })
		if _, cerr := compact(data, ""); (cerr == nil) != (err == nil) {
			t.Fatalf("Read: %v, compact: %v", err, cerr)
		}
		if err != nil {
			return
		}
		if unread > len(data) {
			t.Fatalf("%d unread paths", unread)
		}
		for i, v := range got {
			for _, e := range v.List {
				if v.Kind != Many || e.Kind == Absent || e.Kind == Many || e.Kind == Invalid {
					t.Fatalf("%s: %#v", paths[i], v)
				}
			}
			if v.Kind == Invalid && v.Str == "" {
				t.Fatalf("%s: no reason", paths[i])
			}
		}
		again, err := r.Read(data, nil, nil)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("got %v, then %v, %v", got, again, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	ops, err := ParseBulk(bulkBody(50), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	r, err := CompilePaths(readPaths)
	if err != nil {
		b.Fatal(err)
	}
	var size int
	for _, op := range ops {
		size += len(op.Data)
	}
	for _, unread := range []func(string){nil, func(string) {}} {
		b.Run(fmt.Sprintf("unread=%t", unread != nil), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var dst []Value
			for b.Loop() {
				for _, op := range ops {
					if dst, err = r.Read(op.Data, dst, unread); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func TestFirstText(t *testing.T) {
	for _, test := range []struct {
		data, want string
		ok         bool
	}{
		{`{"a":1,"displayName":"Ada"}`, "Ada", true},
		{`{"DISPLAYNAME":"A\u00e9\n","displayName":2}`, "Aé\n", true},
		{`{"x":{"displayName":"no"},"displayName":null}`, "", false},
		{`{"displayName":["no"]}`, "", false},
		{`{"a":1}`, "", false},
		{`[]`, "", false},
		{`{"a"`, "", false},
		{``, "", false},
	} {
		if got, ok := FirstText([]byte(test.data), "displayname"); got != test.want || ok != test.ok {
			t.Errorf("%s: %q, %v", test.data, got, ok)
		}
	}
}
