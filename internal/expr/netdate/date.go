// Package netdate reads and writes dates as .NET does in the invariant culture: by custom and standard format strings
// (Microsoft Learn, "Custom date and time format strings", "Standard date and time format strings"), and by itself
// where a text says plainly which date it is.
//
// There is no local time zone and no clock here: a date keeps the offset that it was written with, and a part that a
// format does not have is 1 for a year, month or day, and 0 for a time.
package netdate

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Zone tells what a Date knows of its offset.
type Zone uint8

// What a Date knows of its offset.
const (
	Unspecified Zone = iota // nothing: Offset is 0
	UTC                     // it was written as UTC, with Z or GMT
	Offset                  // it was written with an offset
)

// Date is a date and time of the years 1 to 9999, in steps of 100 ns.
type Date struct {
	Wall   time.Time // as written; its location is UTC whatever the offset is
	Offset int       // seconds east of UTC
	Zone   Zone
}

// Of returns t as a date in UTC.
func Of(t time.Time) Date { return Date{Wall: t.UTC(), Zone: UTC} }

// UTC returns the instant; a date without an offset is in UTC.
func (d Date) UTC() time.Time { return d.Wall.Add(-time.Duration(d.Offset) * time.Second) }

const (
	firstSecond = -62135596800 // 0001-01-01T00:00:00Z
	lastSecond  = 253402300799 // 9999-12-31T23:59:59Z
)

// Check returns an error if an instant is outside of the years 1 to 9999.
func Check(t time.Time) error {
	if s := t.Unix(); s < firstSecond || s > lastSecond {
		return errors.New("the date is outside of the years 1 to 9999 in UTC")
	}
	return nil
}

// Styles are the DateTimeStyles of .NET that make a difference here.
type Styles struct {
	Leading, Trailing, Inner bool // white space is passed over
	ToUniversal              bool // the date becomes one in UTC
	AssumeUniversal          bool // a date without an offset is in UTC, and is written with Z
}

// DefaultStyles are RoundtripKind, AllowLeadingWhite and AllowTrailingWhite.
var DefaultStyles = Styles{Leading: true, Trailing: true}

// ParseStyles reads names of DateTimeStyles with commas between them, in any case; no name is DefaultStyles.
// AssumeLocal is AssumeUniversal, because the service has no other local time.
func ParseStyles(names string) (Styles, error) {
	if strings.TrimSpace(names) == "" {
		return DefaultStyles, nil
	}
	var s Styles
	roundtrip, assumed := false, ""
	for name := range strings.SplitSeq(names, ",") {
		switch n := strings.ToLower(strings.TrimSpace(name)); n {
		case "none", "nocurrentdatedefault":
		case "allowleadingwhite":
			s.Leading = true
		case "allowtrailingwhite":
			s.Trailing = true
		case "allowinnerwhite":
			s.Inner = true
		case "allowwhitespaces":
			s.Leading, s.Trailing, s.Inner = true, true, true
		case "adjusttouniversal":
			s.ToUniversal = true
		case "assumelocal", "assumeuniversal":
			if s.AssumeUniversal = true; assumed != "" && assumed != n {
				return s, errors.New("AssumeLocal and AssumeUniversal exclude each other")
			}
			assumed = n
		case "roundtripkind":
			roundtrip = true
		default:
			return s, fmt.Errorf("there is no date style %q; use None, AllowLeadingWhite, AllowTrailingWhite, AllowInnerWhite, AllowWhiteSpaces, NoCurrentDateDefault, AdjustToUniversal, AssumeLocal, AssumeUniversal or RoundtripKind", strings.TrimSpace(name))
		}
	}
	if roundtrip && (s.ToUniversal || s.AssumeUniversal) {
		return s, errors.New("RoundtripKind excludes AssumeLocal, AssumeUniversal and AdjustToUniversal")
	}
	return s, nil
}

// fields are the parts of a date while it is read; -1 is a part that has not been seen.
type fields struct {
	year, month, day, weekday   int
	hour, minute, second, ticks int
	half                        int // 0 is AM, 1 is PM
	hour12                      bool
	zone                        Zone
	offset                      int
}

func noFields() fields {
	return fields{year: -1, month: -1, day: -1, weekday: -1, hour: -1, minute: -1, second: -1, ticks: -1, half: -1}
}

// set gives a part its value; false if it had another.
func set(part *int, v int) bool {
	if *part >= 0 && *part != v {
		return false
	}
	*part = v
	return true
}

var (
	errTime    = errors.New("the time of day does not exist")
	errDay     = errors.New("the day does not exist")
	errWeekday = errors.New("the day of the week is not that of the date")
)

// date puts the parts together.
func (f *fields) date(s Styles) (Date, error) {
	if f.hour12 && f.half < 0 {
		f.half = 0
	}
	hour := max(f.hour, 0)
	switch {
	case f.half == 0 && hour > 12 || hour > 23:
		return Date{}, errTime
	case f.half == 0 && hour == 12:
		hour = 0
	case f.half == 1 && hour < 12:
		hour += 12
	}
	if f.minute > 59 || f.second > 59 {
		return Date{}, errTime
	}
	year, month, day := max(f.year, 0), f.month, f.day
	if f.year < 0 {
		if year = 1; month == 2 && day == 29 {
			year = 4
		}
	}
	if month < 0 {
		month = 1
	}
	if day < 0 {
		day = 1
	}
	if month < 1 || month > 12 {
		return Date{}, fmt.Errorf("there is no month %d", month)
	}
	if year < 1 || year > 9999 || day < 1 || day > daysIn(year, month) {
		return Date{}, errDay
	}
	d := Date{Wall: time.Date(year, time.Month(month), day, hour, max(f.minute, 0), max(f.second, 0), max(f.ticks, 0)*100, time.UTC), Offset: f.offset, Zone: f.zone}
	if f.weekday >= 0 && int(d.Wall.Weekday()) != f.weekday {
		return Date{}, errWeekday
	}
	if err := Check(d.UTC()); err != nil {
		return Date{}, err
	}
	if s.AssumeUniversal && d.Zone == Unspecified {
		d.Zone = UTC
	}
	if s.ToUniversal {
		d = Of(d.UTC())
	}
	return d, nil
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// lastShortYear is the last year that two digits stand for: 49 is 2049, 50 is 1950.
const lastShortYear = 2049

func fullYear(short int) int {
	if short += lastShortYear / 100 * 100; short > lastShortYear {
		return short - 100
	}
	return short
}

func months() [12]string {
	return [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
}

func weekdays() [7]string {
	return [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
}

// scanner reads a text from left to right.
type scanner struct {
	text string
	pos  int
}

func (s *scanner) rest() string { return s.text[s.pos:] }
func (s *scanner) done() bool   { return s.pos >= len(s.text) }

func (s *scanner) blank() {
	for !s.done() && (s.text[s.pos] == ' ' || s.text[s.pos] >= '\t' && s.text[s.pos] <= '\r') {
		s.pos++
	}
}

func (s *scanner) accept(t string) bool {
	if !strings.HasPrefix(s.rest(), t) {
		return false
	}
	s.pos += len(t)
	return true
}

// acceptFold is accept without regard to the case of ASCII letters.
func (s *scanner) acceptFold(t string) bool {
	if len(s.rest()) < len(t) || !strings.EqualFold(s.rest()[:len(t)], t) {
		return false
	}
	s.pos += len(t)
	return true
}

// digits reads at least so many and at most so many digits.
func (s *scanner) digits(least, most int) (n, count int, ok bool) {
	for count < most && !s.done() && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
		n = n*10 + int(s.text[s.pos]-'0')
		s.pos++
		count++
	}
	return n, count, count >= least
}

// name reads one of names, or its first letters if short is not 0.
func (s *scanner) name(names []string, short int) (int, bool) {
	for i, name := range names {
		if short > 0 {
			name = name[:min(short, len(name))]
		}
		if s.acceptFold(name) {
			return i, true
		}
	}
	return 0, false
}

// fraction reads digits behind a point as a count of 100 ns.
func (s *scanner) fraction(least, most int) (int, bool) {
	n, count, ok := s.digits(least, most)
	for ; count < 7; count++ {
		n *= 10
	}
	return n, ok
}

const maxOffset = 14 * 3600

// offset reads +h, +hh, +hhmm or +hh:mm; minutes tells whether the minutes must be there, are optional, or cannot be.
func (s *scanner) offset(minutes byte) (int, bool) {
	sign := 1
	if s.accept("-") {
		sign = -1
	} else if !s.accept("+") {
		return 0, false
	}
	h, _, ok := s.digits(1, 2)
	if !ok {
		return 0, false
	}
	m := 0
	if minutes != '-' {
		at := s.pos
		colon := s.accept(":")
		if m, _, ok = s.digits(2, 2); !ok {
			if minutes == '!' || colon {
				return 0, false
			}
			s.pos, m = at, 0
		}
	}
	seconds := h*3600 + m*60
	return sign * seconds, m < 60 && seconds <= maxOffset
}
