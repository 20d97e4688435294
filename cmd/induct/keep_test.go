package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestKeepFlags(t *testing.T) {
	for _, test := range []struct{ args, want string }{ // of the error; "": none
		{"", ""},
		{"--keep-log 0 --keep-uploads 0 --keep-audit 36h --keep-notices 0d --keep-sources 400d --keep-deleted 0", ""},
		{"--keep-log 30d", "keep-uploads: it is at most keep-log, 30 days"},
		{"--keep-log 30d --keep-uploads 30d", ""},
		{"--keep-log 12h", "keep-log: it is 1 day at least"},
		{"--keep-deleted 1h", "keep-deleted"},
		{"--keep-sources 1d", "keep-sources"},
		{"--keep-audit 1y", "is no age"},
		{"--keep-audit -1d", "is no number of days"},
		{"--keep-audit 99999999d", "is no number of days"},
		{"--keep-audit -1h", "is no age"},
	} {
		var k keepSettings
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		keepFlags(f, &k)
		err := f.Parse(strings.Fields(test.args))
		if err == nil {
			err = k.check()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.args, err, test.want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0", 48 * time.Hour: "2d", 36 * time.Hour: "36h0m0s"} {
		if got := (*ageFlag)(&d).String(); got != want {
			t.Errorf("%v is written %s, want %s", time.Duration(d), got, want)
		}
	}
}
