package expr

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"induct/internal/expr/netdate"
)

// appendDate writes a date as the functions give it: M/d/yyyy h:mm:ss tt, in UTC.
func appendDate(b []byte, d time.Time) []byte {
	b = strconv.AppendInt(b, int64(d.Month()), 10)
	b = strconv.AppendInt(append(b, '/'), int64(d.Day()), 10)
	b = append(b, '/')
	for y := d.Year(); y < 1000; y *= 10 {
		b = append(b, '0')
	}
	b = strconv.AppendInt(b, int64(d.Year()), 10)
	b = strconv.AppendInt(append(b, ' '), int64((d.Hour()+11)%12+1), 10)
	for _, n := range [...]int{d.Minute(), d.Second()} {
		b = append(b, ':', byte('0'+n/10), byte('0'+n%10))
	}
	return append(b, " AM PM"[d.Hour()/12*3:][:3]...)
}

func dateValue(d time.Time) Value {
	var b [32]byte
	return Text(string(appendDate(b[:0], d)))
}

const fileTime0 = -11644473600 // 1601-01-01T00:00:00Z

func parseDate(t string) (time.Time, error) {
	d, err := netdate.Parse(t)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", shown(Text(t)), err)
	}
	return d.UTC(), nil
}

func (s *site) date(ctx *Context, i int) (time.Time, error) {
	t, ok, err := s.text(ctx, i)
	if err != nil {
		return time.Time{}, err
	}
	if !ok || t == "" {
		return time.Time{}, fmt.Errorf("%s is null or empty, not a date; guard it with IIF(IsNullOrEmpty(...), ..., ...)", s.fn.Param(i).Name)
	}
	return parseDate(t)
}

// checkDates refuses constants that are no dates.
func (s *site) checkDates(args ...int) error {
	for _, i := range args {
		if t, ok := s.constant(i); ok {
			if _, err := parseDate(t); err != nil {
				return s.errorf(i, "%v", err)
			}
		}
	}
	return nil
}

func buildCDate(s *site) (evalFunc, error) {
	return func(ctx *Context) (Value, error) {
		d, err := s.date(ctx, 0)
		if err != nil {
			return Value{}, err
		}
		return dateValue(d), nil
	}, s.checkDates(0)
}

// interval is a unit of DateAdd and DateDiff (Microsoft Learn, "DateInterval Enum" of Visual Basic).
type interval struct {
	seconds int64 // of a unit that has a fixed length
	months  int64 // of one that has not
	weeks   bool  // DateDiff counts the Sundays passed
}

func intervalOf(name string) (interval, error) {
	switch name {
	case "yyyy":
		return interval{months: 12}, nil
	case "q":
		return interval{months: 3}, nil
	case "m":
		return interval{months: 1}, nil
	case "ww":
		return interval{seconds: 7 * 86400, weeks: true}, nil
	case "w": // see dateAdd
		return interval{seconds: 7 * 86400}, nil
	case "d", "y":
		return interval{seconds: 86400}, nil
	case "h":
		return interval{seconds: 3600}, nil
	case "n":
		return interval{seconds: 60}, nil
	case "s":
		return interval{seconds: 1}, nil
	}
	return interval{}, fmt.Errorf("the interval is %s; it must be one of yyyy, m, d, ww, h, n (minute), s, or q, w, y", shown(Text(name)))
}

// onInterval builds a function whose first argument is an interval; dates are its arguments that are dates.
func onInterval(f func(s *site, ctx *Context, name string, unit interval) (Value, error), dates ...int) builder {
	return func(s *site) (evalFunc, error) {
		if err := s.checkDates(dates...); err != nil {
			return nil, err
		}
		if name, ok := s.constant(0); ok {
			unit, err := intervalOf(name)
			if err != nil {
				return nil, s.errorf(0, "%v", err)
			}
			return func(ctx *Context) (Value, error) { return f(s, ctx, name, unit) }, nil
		}
		return func(ctx *Context) (Value, error) {
			name, _, err := s.text(ctx, 0)
			if err != nil {
				return Value{}, err
			}
			unit, err := intervalOf(name)
			if err != nil {
				return Value{}, err
			}
			return f(s, ctx, name, unit)
		}, nil
	}
}

var errOverflow = errors.New("the result is outside of the years 1 to 9999")

func dateAdd(s *site, ctx *Context, name string, unit interval) (Value, error) {
	n, err := s.integer(ctx, 1)
	if err != nil {
		return Value{}, err
	}
	d, err := s.date(ctx, 2)
	if err != nil {
		return Value{}, err
	}
	if name == "w" { // Visual Basic adds weekdays as days, and counts them as weeks
		unit.seconds = 86400
	}
	const most = 10_000 * 366 * 86400
	switch months := n * unit.months; {
	case n > most || n < -most || months > 120_000 || months < -120_000:
		return Value{}, errOverflow
	case unit.months == 0:
		d = time.Unix(d.Unix()+n*unit.seconds, int64(d.Nanosecond())).UTC()
	default:
		d = addMonths(d, int(months))
	}
	if netdate.Check(d) != nil {
		return Value{}, errOverflow
	}
	return dateValue(d), nil
}

// addMonths keeps to the last day of a month that is too short.
func addMonths(d time.Time, n int) time.Time {
	first := d.AddDate(0, n, 1-d.Day())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(d.Day(), last)-1)
}

// dateDiff counts as DateAndTime.DateDiff of Visual Basic does.
func dateDiff(s *site, ctx *Context, _ string, unit interval) (Value, error) {
	from, err := s.date(ctx, 1)
	if err != nil {
		return Value{}, err
	}
	to, err := s.date(ctx, 2)
	if err != nil {
		return Value{}, err
	}
	if unit.weeks {
		from, to = from.AddDate(0, 0, -int(from.Weekday())), to.AddDate(0, 0, -int(to.Weekday()))
		return Int((dayOf(to) - dayOf(from)) / 7), nil
	}
	if unit.months == 0 {
		return Int((to.Unix() - from.Unix()) / unit.seconds), nil
	}
	count := func(d time.Time) int64 { return (int64(d.Year())*12 + int64(d.Month()) - 1) / unit.months }
	return Int(count(to) - count(from)), nil
}

// dayOf numbers the days; it divides from the year 1 on, where nothing is negative.
func dayOf(d time.Time) int64 { return (d.Unix() + 62_135_596_800) / 86400 }

const ticks = 10_000_000 // in a second

func numFromDate(t string) (Value, error) {
	if t == "" {
		return Value{}, nil
	}
	if t = strings.TrimSpace(t); len(t) < 5 || t[4] != '-' { // the reference takes ISO 8601 only
		return Value{}, fmt.Errorf("%s is not an ISO 8601 date such as 2006-01-31T15:04:05Z; use FormatDateTime first", shown(Text(t)))
	}
	d, err := parseDate(t)
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
	d := time.Unix(n/ticks+fileTime0, n%ticks*100).UTC()
	if netdate.Check(d) != nil {
		return Value{}, errors.New("the date is after the year 9999")
	}
	return dateValue(d), nil
}

// formatOf returns what gives the compiled form of a date format.
func formatOf(s *site, i int) (func(*Context) (*netdate.Format, error), error) {
	source, fixed := s.constant(i)
	if fixed {
		f, err := netdate.Compile(source)
		if err != nil {
			return nil, s.errorf(i, "%v", err)
		}
		return func(*Context) (*netdate.Format, error) { return f, nil }, nil
	}
	var compiled cache[*netdate.Format]
	return func(ctx *Context) (*netdate.Format, error) {
		source, _, err := s.text(ctx, i)
		if err != nil {
			return nil, err
		}
		return compiled.get(source, netdate.Compile)
	}, nil
}

func stylesOf(s *site, i int) (func(*Context) (netdate.Styles, error), error) {
	names, fixed := s.constant(i)
	if fixed || !s.given(i) {
		styles, err := netdate.ParseStyles(names)
		if err != nil {
			return nil, s.errorf(i, "%v", err)
		}
		return func(*Context) (netdate.Styles, error) { return styles, nil }, nil
	}
	return func(ctx *Context) (netdate.Styles, error) {
		names, _, err := s.text(ctx, i)
		if err != nil {
			return netdate.Styles{}, err
		}
		return netdate.ParseStyles(names)
	}, nil
}

func buildFormatDateTime(s *site) (evalFunc, error) {
	styles, err := stylesOf(s, 1)
	if err != nil {
		return nil, err
	}
	from, err := formatOf(s, 2)
	if err != nil {
		return nil, err
	}
	to, err := formatOf(s, 3)
	if err != nil {
		return nil, err
	}
	return func(ctx *Context) (Value, error) {
		t, ok, err := s.text(ctx, 0)
		if err != nil || !ok || t == "" {
			return Value{}, err
		}
		style, err := styles(ctx)
		if err != nil {
			return Value{}, err
		}
		f, err := from(ctx)
		if err != nil {
			return Value{}, err
		}
		d, err := f.Parse(t, style)
		if err != nil {
			return Value{}, fmt.Errorf("%s: %w", shown(Text(t)), err)
		}
		if f, err = to(ctx); err != nil {
			return Value{}, err
		}
		var b [64]byte
		return Text(string(f.Append(b[:0], d))), nil
	}, nil
}
