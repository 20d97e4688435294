package mapping

import (
	"testing"
)

func TestReadSource(t *testing.T) {
	schema, _ := Template("API2AAD")
	object := &schema.Directories[0].Objects[0]
	record := []byte(`{"userName": "a", "DisplayName": null, "title": ["x", "y"], "emails": [{"type": "work", "value": "m"}], "shoe": 42, "urn:x": {"y": "z"}, "caps": ["a", "b"]}`)
	for _, c := range []struct {
		name, spelled string
		known, sent   bool
		value         string
		problem       bool
	}{
		{"username", "userName", true, true, "a", false},
		{"displayName", "displayName", true, true, "", false},
		{"nickName", "nickName", true, false, "", false},
		{"active", "active", true, false, "False", false},
		{"title", "title", true, true, "", true},
		{`emails[type eq "work"].value`, `emails[type eq "work"].value`, true, true, "m", false},
		{"shoe", "shoe", false, true, "42", false},
		{"urn:x:y", "urn:x:y", false, true, "z", false},
		{"caps", "caps", false, true, "a;b", false},
		{"hat", "hat", false, false, "", false},
	} {
		values, err := ReadSource(object, []string{c.name, "externalId", c.name}, record)
		if err != nil || len(values) != 3 {
			t.Fatalf("%s: %v, %v", c.name, values, err)
		}
		for _, v := range []SourceValue{values[0], values[2]} {
			if v.Name != c.spelled || v.Known != c.known || v.Sent != c.sent || v.Value.String() != c.value || (v.Problem != nil) != c.problem {
				t.Errorf("%s: %+v", c.name, v)
			}
		}
	}
	for _, name := range []string{"", "a[", "a.b.c"} {
		if v, err := ReadSource(object, []string{name}, record); err == nil {
			t.Errorf("%q: %v", name, v)
		}
	}
	if v, err := ReadSource(object, nil, []byte(`[]`)); err == nil {
		t.Error(v)
	}
}
