package netdate

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const iso = "yyyy-MM-ddTHH:mm:ss.FFFFFFFK"

// reformat reads a text in one format and writes it in another; an error is its text.
func reformat(style, in, out, text string) string {
	s, err := ParseStyles(style)
	if err != nil {
		return err.Error()
	}
	from, err := Compile(in)
	if err != nil {
		return err.Error()
	}
	to, err := Compile(out)
	if err != nil {
		return err.Error()
	}
	d, err := from.Parse(text, s)
	if err != nil {
		return err.Error()
	}
	return string(to.Append(nil, d))
}

func TestPrint(t *testing.T) {
	d := Date{Wall: time.Date(2009, 6, 5, 13, 4, 9, 617_500_000, time.UTC), Offset: -7 * 3600, Zone: Offset}
	for format, want := range map[string]string{
		"d": "06/05/2009", "D": "Friday, 05 June 2009", "f": "Friday, 05 June 2009 13:04", "F": "Friday, 05 June 2009 13:04:09",
		"g": "06/05/2009 13:04", "G": "06/05/2009 13:04:09", "m": "June 05", "Y": "2009 June", "t": "13:04", "T": "13:04:09",
		"o": "2009-06-05T13:04:09.6175000-07:00", "s": "2009-06-05T13:04:09", "u": "2009-06-05 20:04:09Z",
		"r": "Fri, 05 Jun 2009 20:04:09 GMT", "U": "Friday, 05 June 2009 20:04:09",
		"%d": "5", "dd": "05", "ddd": "Fri", "dddd": "Friday", "%M": "6", "MM": "06", "MMM": "Jun", "MMMM": "June",
		"%y": "9", "yy": "09", "yyy": "2009", "yyyy": "2009", "yyyyy": "02009", "%h": "1", "hh": "01", "%H": "13", "HH": "13",
		"%m": "4", "mm": "04", "%s": "9", "ss": "09", "%t": "P", "tt": "PM", "%z": "-7", "zz": "-07", "zzz": "-07:00", "%K": "-07:00",
		"%f": "6", "ff": "61", "fff": "617", "ffff": "6175", "fffffff": "6175000", "FFFFFFF": "6175", "ss.FFFFFFF": "09.6175",
		"%g": "A.D.", `d \d\a\y`: "5 day", "'day' d": "day 5", `"it's" d`: "it's 5", "d/M/yy": "5/6/09", "yyyyMMddHHmmss.fZ": "20090605130409.6Z",
		"dé": "5é",
	} {
		f, err := Compile(format)
		if err != nil {
			t.Errorf("Compile(%q): %v", format, err)
		} else if got := string(f.Append(nil, d)); got != want {
			t.Errorf("%q prints %q, want %q", format, got, want)
		}
	}
	plain := Date{Wall: time.Date(33, 1, 1, 0, 0, 0, 0, time.UTC)}
	for format, want := range map[string]string{"yyyy": "0033", "%y": "33", "%h": "12", "tt": "AM", "%K": "", "zzz": "+00:00", "ss.FFF": "00", "FFF": ""} {
		f, _ := Compile(format)
		if got := string(f.Append(nil, plain)); got != want {
			t.Errorf("%q prints %q, want %q", format, got, want)
		}
	}
}

func TestParseFormat(t *testing.T) {
	for _, c := range []struct{ style, format, text, want string }{
		{"", "yyyyMMddHHmmss.fZ", "20150123105347.1Z", "2015-01-23T10:53:47.1Z"},
		{"", "yyyy-MM-ddzzz", "2020-12-31-08:00", "2020-12-31T00:00:00-08:00"},
		{"", "M/d/yyyy hh:mm:ss tt", "7/2/2021 03:33:38 PM", "2021-07-02T15:33:38"},
		{"", "M/d/yyyy hh:mm:ss tt", "7/2/2021 3:33:38 PM", "2021-07-02T15:33:38"},
		{"", "HH:mm", "3:33", `it does not have the format "HH:mm"`},
		{"", "M/d/yyyy h:mm:ss tt", "7/2/2021 12:33:38 am", "2021-07-02T00:33:38"},
		{"", "dd.MM.yyyy", "31.12.2020", "2020-12-31T00:00:00"},
		{"", "dd.MM.yyyy", "1.12.2020", `it does not have the format "dd.MM.yyyy"`},
		{"", "d.M.yyyy", "1.12.2020", "2020-12-01T00:00:00"},
		{"", "d.M.yyyy", "31.2.2020", "the day does not exist"},
		{"", "yyyy-MM-dd", "2020-12-31x", `it goes on where the format "yyyy-MM-dd" ends`},
		{"", "yyyy-MM-dd", " 2020-12-31 ", "2020-12-31T00:00:00"},
		{"None", "yyyy-MM-dd", " 2020-12-31", `it does not have the format "yyyy-MM-dd"`},
		{"AllowInnerWhite", "yyyy-MM-dd HH:mm", "2020 - 12-31  10:00", "2020-12-31T10:00:00"},
		{"AssumeUniversal", "yyyy-MM-dd", "2020-12-31", "2020-12-31T00:00:00Z"},
		{"AdjustToUniversal", "yyyy-MM-ddzzz", "2020-12-31-08:00", "2020-12-31T08:00:00Z"},
		{"assumeuniversal, AdjustToUniversal", "yyyy-MM-dd", "2020-12-31", "2020-12-31T00:00:00Z"},
		{"RoundtripKind", "o", "2020-12-31T10:00:00.1234567+01:00", "2020-12-31T10:00:00.1234567+01:00"},
		{"", "o", "2020-12-31T10:00:00.1234567Z", "2020-12-31T10:00:00.1234567Z"},
		{"", "r", "Mon, 15 Jun 2009 20:45:30 GMT", "2009-06-15T20:45:30Z"},
		{"", "r", "Tue, 15 Jun 2009 20:45:30 GMT", "the day of the week is not that of the date"},
		{"", "dd-MMM-yy", "16-mar-49", "2049-03-16T00:00:00"},
		{"", "dd-MMM-yy", "16-Mar-50", "1950-03-16T00:00:00"},
		{"", "MMMM d, yyyy", "March 16, 2020", "2020-03-16T00:00:00"},
		{"", "HH:mm", "10:30", "0001-01-01T10:30:00"},
		{"", "HH:mm", "24:00", "the time of day does not exist"},
		{"", "hh:mm", "13:00", "the time of day does not exist"},
		{"", "hh:mm", "12:30", "0001-01-01T00:30:00"},
		{"", "MM-dd", "02-29", "0004-02-29T00:00:00"},
		{"", "ss.FFF", "05", "0001-01-01T00:00:05"},
		{"", "ss.FFF", "05.25", "0001-01-01T00:00:05.25"},
		{"", "ss.fff", "05.25", `it does not have the format "ss.fff"`},
		{"", "yyyy yyyy", "2020 2021", `it does not have the format "yyyy yyyy"`},
		{"", "yyyy-MM-ddTHH:mm:sszzz", "0001-01-01T00:00:00+14:00", "the date is outside of the years 1 to 9999 in UTC"},
		{"", "HH zzz", "10 +15:00", `it does not have the format "HH zzz"`},
		{"", "HHz", "10-7", "0001-01-01T10:00:00-07:00"},
		{"", "%K", "", "0001-01-01T00:00:00"},
		{"", "d 'of' MMMM \\y", "1 of May y", "0001-05-01T00:00:00"},
		{"Foo", "d", "", `there is no date style "Foo"; use None, AllowLeadingWhite, AllowTrailingWhite, AllowInnerWhite, AllowWhiteSpaces, NoCurrentDateDefault, AdjustToUniversal, AssumeLocal, AssumeUniversal or RoundtripKind`},
		{"AssumeLocal,AssumeUniversal", "d", "", "AssumeLocal and AssumeUniversal exclude each other"},
		{"RoundtripKind,AssumeUniversal", "d", "", "RoundtripKind excludes AssumeLocal, AssumeUniversal and AdjustToUniversal"},
		{"", "", "", "the date format is empty; write one such as yyyy-MM-dd"},
		{"", "j", "", `"j" is not a standard date format; write a custom format such as yyyy-MM-dd, and one that has a single letter with % before it`},
		{"", "yy'a", "", `the date format "yy'a" has a quote that is not closed`},
		{"", `yy\`, "", `the date format "yy\\" ends in a backslash`},
		{"", "yy%", "", `the date format "yy%" has a % that is not followed by a specifier`},
		{"", "ffffffff", "", `the date format "ffffffff" has 8 digits of a second; at most 7 are possible`},
	} {
		if got := reformat(c.style, c.format, iso, c.text); got != c.want {
			t.Errorf("%q in %q (%s) = %q, want %q", c.text, c.format, c.style, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	to, _ := Compile(iso)
	for text, want := range map[string]string{
		"2020-03-16-07:00": "2020-03-16T00:00:00-07:00", "2021-06-30+08:00": "2021-06-30T00:00:00+08:00", "2021-06-30Z": "2021-06-30T00:00:00Z",
		"2009-06-15T01:45:30-07:00": "2009-06-15T01:45:30-07:00", "2009-06-15 01:45:30 -0700": "2009-06-15T01:45:30-07:00",
		"2009-6-5t1:45:30.5Z": "2009-06-05T01:45:30.5Z", "2009-06-15T01:45:30.123456789+02": "2009-06-15T01:45:30.1234567+02:00",
		" 8/25/2021 5:41:18 PM ": "2021-08-25T17:41:18", "8/25/2021": "2021-08-25T00:00:00", "8/25/21 17:41": "2021-08-25T17:41:00",
		"2021/08/25": "2021-08-25T00:00:00", "12/31/9999 11:59:59 PM": "9999-12-31T23:59:59", "8/25/2021 5pm": "2021-08-25T17:00:00",
		"March 16, 2020": "2020-03-16T00:00:00", "16 March 2020 10:00": "2020-03-16T10:00:00", "16-Mar-2020": "2020-03-16T00:00:00",
		"Mar. 16 2020": "2020-03-16T00:00:00", "Mon, 15 Jun 2009 20:45:30 GMT": "2009-06-15T20:45:30Z", "Monday, 15 June 2009": "2009-06-15T00:00:00",
		"2012-01-01T23:00:00.0000000Z": "2012-01-01T23:00:00Z",
	} {
		d, err := Parse(text)
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
		} else if got := string(to.Append(nil, d)); got != want {
			t.Errorf("Parse(%q) = %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "x", "31.12.2020", "31-12-2020", "20200316", "25/8/2021", "2021-02-29", "2021-08-25T25:00", "10:30", "2021-08-25 x",
		"8/25", "Tue, 15 Jun 2009", "2021-08-25T10:30:61", "2021-08-25T10:3", "0000-01-01", "2021-08-25 +15:00", "8/25/2021 13:00 AM", "9999-12-31T23:59:59-08:00"} {
		if d, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", text, d)
		}
	}
}

// TestRoundTrip: what o writes, o and Parse read.
func TestRoundTrip(t *testing.T) {
	f, _ := Compile("o")
	rapid.Check(t, func(t *rapid.T) {
		d := Date{Wall: time.Unix(rapid.Int64Range(firstSecond+maxOffset, lastSecond-maxOffset).Draw(t, "second"), rapid.Int64Range(0, 9_999_999).Draw(t, "ticks")*100).UTC(), Zone: Offset}
		d.Offset = rapid.IntRange(-14*60, 14*60).Draw(t, "offset") * 60
		text := string(f.Append(nil, d))
		exact, err := f.Parse(text, DefaultStyles)
		if err != nil || exact != d {
			t.Fatalf("%s is read as %v, %v", text, exact, err)
		}
		if free, err := Parse(text); err != nil || free != d {
			t.Fatalf("%s is read as %v, %v", text, free, err)
		}
	})
}

func FuzzFormat(f *testing.F) {
	f.Add("yyyy-MM-dd'T'HH:mm:ss.FFFK", "2020-02-29T10:30:00.5+02:00", "AllowWhiteSpaces")
	f.Add("r", "Mon, 15 Jun 2009 20:45:30 GMT", "")
	f.Add(`%d \o"f" MMMM yy tt`, "1 of May 20 AM", "AdjustToUniversal")
	f.Fuzz(func(t *testing.T, format, text, style string) {
		_, _ = Parse(text)
		s, err := ParseStyles(style)
		if err != nil {
			return
		}
		compiled, err := Compile(format)
		if err != nil {
			return
		}
		d, err := compiled.Parse(text, s)
		if err != nil {
			return
		}
		if out := compiled.Append(nil, d); len(out) > 20*len(format)+100 {
			t.Fatalf("%q writes %q", format, out)
		}
		if err := Check(d.UTC()); err != nil {
			t.Fatalf("%q in %q is %v", text, format, d)
		}
	})
}
