package odata

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	num := func(n int) *int { return &n }
	tests := []struct {
		query string
		want  Options
	}{
		{"", Options{}},
		{"$filter=jobid%20eq%20'API2AAD.x'", Options{Filter: "jobid eq 'API2AAD.x'"}},
		{"$filter=cycleId eq 'C'&$top=1", Options{Filter: "cycleId eq 'C'", Top: num(1)}},
		{"$filter=activityDateTime ge 2026-06-19T06:54:37.123Z&$top=100&$orderby=activityDateTime desc",
			Options{Filter: "activityDateTime ge 2026-06-19T06:54:37.123Z", Top: num(100), OrderBy: []Order{{"activitydatetime", true}}}},
		{"%24filter=userPrincipalName+eq+%27b%27&%24Select=id%2CdisplayName",
			Options{Filter: "userPrincipalName eq 'b'", Select: []string{"id", "displayname"}}},
		{"filter=a+eq+1&SELECT=id, mail&OrderBy=displayName,createdDateTime+desc,id asc&count=TRUE",
			Options{Filter: "a eq 1", Select: []string{"id", "mail"}, Count: true,
				OrderBy: []Order{{"displayname", false}, {"createddatetime", true}, {"id", false}}}},
		{"$expand=manager($levels=max)&$search=%22displayName:wa%22&$format=json&$skip=0&$skiptoken=g82-_%3D",
			Options{Expand: "manager($levels=max)", Search: `"displayName:wa"`, Format: "json", Skip: num(0), SkipToken: "g82-_="}},
		{"waitFor=done&timeout=30&&$top=5", Options{Top: num(5)}},
		{"$filter=&$select=&$orderby=", Options{}},
		{"$filter=a eq 'b%26c=d;e'", Options{Filter: "a eq 'b&c=d;e'"}},
	}
	for _, c := range tests {
		c.want.Raw = c.query
		if got, err := ParseOptions(c.query); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\n got %+v, %v\nwant %+v", c.query, got, err, c.want)
		}
	}
}

func TestParseOptionsErrors(t *testing.T) {
	tests := map[string]string{
		"$top=-1":                     "invalid value \"-1\" of '$top'",
		"$top=ten":                    "of '$top'",
		"$top=":                       "of '$top'",
		"$top=99999999999":            "of '$top'",
		"$skip=-1":                    "of '$skip'",
		"$count=yes":                  "of '$count'",
		"$select=id,,mail":            "of '$select'",
		"$orderby=a up":               "of '$orderby'",
		"$orderby=a desc b":           "of '$orderby'",
		"$orderby=a,b,c,d,e,f,g,h,i":  "it has 9 criteria",
		"$filter=a&filter=b":          "'$filter' is given twice",
		"$top=1&%24TOP=1":             "'$top' is given twice",
		"$apply=x":                    "'$apply' is not supported",
		"$filter=100%":                "percent-encoded",
		"%zz=1":                       "percent-encoded",
		strings.Repeat("a", 32<<10+1): "longer than 32768 bytes",
	}
	for query, want := range tests {
		_, err := ParseOptions(query)
		var e *Error
		if !errors.As(err, &e) || e.Pos != -1 || !strings.Contains(e.Error(), want) {
			t.Errorf("%.40s: got %v, want …%s…", query, err, want)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add("%24filter=a+eq+%27b%27&$select=id,mail&$top=5&$orderby=a desc,b&count=true")
	f.Add("$skiptoken=x&waitFor=done&$skip=-1&$expand=manager($levels=max)")
	f.Fuzz(func(t *testing.T, query string) {
		o, err := ParseOptions(query)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%q: %#v is not an *Error", query, err)
			}
			return
		}
		if o.Top != nil && *o.Top < 0 || o.Skip != nil && *o.Skip < 0 {
			t.Fatalf("%q: negative count in %+v", query, o)
		}
		again := url.Values{"$filter": {o.Filter}, "$select": {strings.Join(o.Select, ",")}, "$skiptoken": {o.SkipToken}}.Encode()
		if len(again) > maxQuery {
			return
		}
		p, err := ParseOptions(again)
		if err != nil || p.Filter != o.Filter || p.SkipToken != o.SkipToken || !reflect.DeepEqual(p.Select, o.Select) {
			t.Fatalf("%q: %+v became %+v, %v", query, o, p, err)
		}
	})
}
