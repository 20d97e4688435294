package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// dateText is the text of a date that a function gives: M/d/yyyy h:mm:ss tt, in UTC.
const dateText = "1/2/2006 3:04:05 PM"

var isoLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04",
	"2006-01-02Z07:00", "2006-01-02",
}

var usLayouts = []string{dateText, "1/2/2006 3:04 PM", "1/2/2006 15:04:05", "1/2/2006 15:04", "1/2/2006"}

const (
	firstSecond = -62135596800 // 0001-01-01T00:00:00Z
	lastSecond  = 253402300799 // 9999-12-31T23:59:59Z
	fileTime0   = -11644473600 // 1601-01-01T00:00:00Z
)

// parseDate reads a date; one without an offset is in UTC.
func parseDate(t string, layouts []string) (time.Time, error) {
	for _, layout := range layouts {
		d, err := time.Parse(layout, strings.TrimSpace(t))
		if err != nil {
			continue
		}
		if s := d.Unix(); s < firstSecond || s > lastSecond {
			return d, fmt.Errorf("%s is outside of the years 1 to 9999 in UTC", shown(Text(t)))
		}
		return d.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%s is not a date that can be read, such as 2006-01-02T15:04:05Z; use FormatDateTime first", shown(Text(t)))
}

func (s *site) date(ctx *Context, i int) (time.Time, error) {
	t, ok, err := s.text(ctx, i)
	if err != nil {
		return time.Time{}, err
	}
	if !ok || t == "" {
		return time.Time{}, fmt.Errorf("%s is null or empty, not a date", s.fn.param(i).Name)
	}
	return parseDate(t, slices.Concat(isoLayouts, usLayouts))
}

func cDate(s *site, ctx *Context) (Value, error) {
	d, err := s.date(ctx, 0)
	if err != nil {
		return Value{}, err
	}
	return Text(d.Format(dateText)), nil
}

// seconds are the lengths of the intervals that have a fixed one.
var seconds = map[string]int64{"ww": 7 * 86400, "d": 86400, "h": 3600, "n": 60, "s": 1}

func checkInterval(name string) error {
	if _, ok := seconds[name]; ok || name == "yyyy" || name == "m" {
		return nil
	}
	return fmt.Errorf("the interval is %s; it must be one of yyyy, m, ww, d, h, n, s", shown(Text(name)))
}

// onInterval builds a function whose first argument is an interval.
func onInterval(f func(s *site, ctx *Context, interval string) (Value, error)) builder {
	return func(s *site) (evalFunc, error) {
		if name, ok := s.constant(0); ok {
			if err := checkInterval(name); err != nil {
				return nil, s.errorf(0, "%v", err)
			}
		}
		return func(ctx *Context) (Value, error) {
			name, _, err := s.text(ctx, 0)
			if err == nil {
				err = checkInterval(name)
			}
			if err != nil {
				return Value{}, err
			}
			return f(s, ctx, name)
		}, nil
	}
}

func dateAdd(s *site, ctx *Context, interval string) (Value, error) {
	n, err := s.integer(ctx, 1)
	if err != nil {
		return Value{}, err
	}
	d, err := s.date(ctx, 2)
	if err != nil {
		return Value{}, err
	}
	overflow := errors.New("the result is outside of the years 1 to 9999")
	const most = lastSecond - firstSecond
	if n > most || n < -most {
		return Value{}, overflow
	}
	if unit, ok := seconds[interval]; ok {
		d = time.Unix(d.Unix()+n*unit, int64(d.Nanosecond())).UTC()
	} else {
		if interval == "yyyy" {
			n *= 12
		}
		if n > 120_000 || n < -120_000 {
			return Value{}, overflow
		}
		d = addMonths(d, int(n))
	}
	if u := d.Unix(); u < firstSecond || u > lastSecond {
		return Value{}, overflow
	}
	return Text(d.Format(dateText)), nil
}

// addMonths keeps to the last day of a month that is too short.
func addMonths(d time.Time, n int) time.Time {
	first := d.AddDate(0, n, 1-d.Day())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(d.Day(), last)-1)
}

// dateDiff counts as DateAndTime.DateDiff of Visual Basic does.
func dateDiff(s *site, ctx *Context, interval string) (Value, error) {
	from, err := s.date(ctx, 1)
	if err != nil {
		return Value{}, err
	}
	to, err := s.date(ctx, 2)
	if err != nil {
		return Value{}, err
	}
	years := int64(to.Year() - from.Year())
	switch interval {
	case "yyyy":
		return Int(years), nil
	case "m":
		return Int(12*years + int64(to.Month()) - int64(from.Month())), nil
	case "ww":
		from, to = from.AddDate(0, 0, -int(from.Weekday())), to.AddDate(0, 0, -int(to.Weekday()))
		return Int((to.Unix() - from.Unix()) / 86400 / 7), nil
	}
	return Int((to.Unix() - from.Unix()) / seconds[interval]), nil
}

const ticks = 10_000_000 // in a second

func numFromDate(t string) (Value, error) {
	if t == "" {
		return Value{}, nil
	}
	d, err := parseDate(t, isoLayouts)
	if err != nil {
		return Value{}, err
	}
	if d.Unix() < fileTime0 {
		return Value{}, errors.New("the date is before the year 1601")
	}
	return Int((d.Unix()-fileTime0)*ticks + int64(d.Nanosecond()/100)), nil
}

func dateFromNum(t string) (Value, error) {
	n, ok := integer(Text(t))
	if !ok || n < 0 {
		return Value{}, fmt.Errorf("%s is not a count of 100 ns since the year 1601", shown(Text(t)))
	}
	if n == 0 || n == 1<<63-1 {
		return Value{}, nil // never
	}
	sec := n/ticks + fileTime0
	if sec > lastSecond {
		return Value{}, errors.New("the date is after the year 9999")
	}
	return Text(time.Unix(sec, n%ticks*100).UTC().Format(dateText)), nil
}

// dateTokens are the parts of a .NET custom date format, with those of a layout of package time.
var dateTokens = map[string]string{
	"yyyy": "2006", "yy": "06", "MMMM": "January", "MMM": "Jan", "MM": "01", "M": "1",
	"dddd": "Monday", "ddd": "Mon", "dd": "02", "d": "2", "HH": "15", "H": "15", "hh": "03", "h": "3",
	"mm": "04", "m": "4", "ss": "05", "s": "5", "tt": "PM", "zzz": "-07:00", "K": "Z07:00",
}

// layoutOf translates a .NET custom date format. What cannot be said in a layout is an error.
func layoutOf(format string, output bool) (string, error) {
	if len(format) < 2 {
		return "", fmt.Errorf("the format %q is not a custom date format such as yyyy-MM-dd", format)
	}
	var b strings.Builder
	for i := 0; i < len(format); {
		c := format[i]
		n := 1
		for i+n < len(format) && format[i+n] == c {
			n++
		}
		run := format[i : i+n]
		token, known := dateTokens[run]
		switch {
		case run == "H" && output:
			return "", errors.New("the format H is not supported in an output format; use HH")
		case known:
			b.WriteString(token)
		case (c == 'f' || c == 'F') && i > 0 && format[i-1] == '.' && n <= 7:
			b.WriteString(strings.Repeat(map[byte]string{'f': "0", 'F': "9"}[c], n))
		case c == '\'':
			end := strings.IndexByte(format[i+1:], '\'')
			if end < 0 {
				return "", fmt.Errorf("the quote in the format %q is not closed", format)
			}
			if err := literal(&b, format[i+1:i+1+end]); err != nil {
				return "", err
			}
			n = end + 2
		case strings.IndexByte("yMdHhmsftzKgF%\\\"", c) >= 0:
			return "", fmt.Errorf("%q in the format %q is not supported", run, format)
		default:
			if err := literal(&b, run); err != nil {
				return "", err
			}
		}
		i += n
	}
	return b.String(), nil
}

// literal writes text that a layout would not take for a part of the date.
func literal(b *strings.Builder, t string) error {
	if len(t) > 1 && strings.ContainsFunc(t, func(r rune) bool { return r < 128 && isLetter(byte(r)) }) ||
		strings.ContainsAny(t, "0123456789_") {
		return fmt.Errorf("the literal %q in a date format is not supported", t)
	}
	b.WriteString(t)
	return nil
}

// buildFormatDateTime takes (source, dateTimeStyles, inputFormat, outputFormat) or the old form without styles.
func buildFormatDateTime(s *site) (evalFunc, error) {
	in, out := 2, 3
	if len(s.node.Args) == 3 {
		in, out = 1, 2
	}
	if !s.given(in) || !s.given(out) {
		return nil, s.errorf(-1, "inputFormat or outputFormat is missing; expected %s", s.fn.Signature())
	}
	if style, _ := s.constant(1); in == 2 && s.given(1) && !slices.Contains(
		[]string{"", "None", "RoundtripKind", "AllowLeadingWhite", "AllowTrailingWhite", "AllowWhiteSpaces", "AssumeUniversal"}, style) {
		return nil, s.errorf(1, "the dateTimeStyles %s are not supported", s.node.Args[1])
	}
	var layouts [2]string
	for i, arg := range []int{in, out} {
		format, ok := s.constant(arg)
		if !ok {
			return nil, s.errorf(arg, "a format must be a string constant")
		}
		var err error
		if layouts[i], err = layoutOf(format, arg == out); err != nil {
			return nil, s.errorf(arg, "%v", err)
		}
	}
	format, _ := s.constant(in)
	return func(ctx *Context) (Value, error) {
		t, ok, err := s.text(ctx, 0)
		if err != nil || !ok || t == "" {
			return Value{}, err
		}
		d, err := time.Parse(layouts[0], strings.TrimSpace(t))
		if err != nil {
			return Value{}, fmt.Errorf("%s does not have the format %q", shown(Text(t)), format)
		}
		return Text(d.Format(layouts[1])), nil
	}, nil
}
