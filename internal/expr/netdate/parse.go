package netdate

import "errors"

var errOrder = errors.New("countries differ about which number is the month; use FormatDateTime first, with dd.MM.yyyy or MM-dd-yyyy")

var errUnknown = errors.New("it is not a date that can be read, such as 2006-01-31 or 1/31/2006 3:04:05 PM; use FormatDateTime first")

// Parse reads a date that needs no format: an ISO 8601 date, one with the month first as in 1/31/2006, or one with the
// name of the month; then, if there is one, a time with AM, PM or 24 hours; then, if there is one, an offset, Z or GMT.
// Dates such as 31.1.2006 and 31-1-2006 are refused, because countries differ about which is the month.
func Parse(text string) (Date, error) {
	s := scanner{text: text}
	f := noFields()
	s.blank()
	if s.numbers() {
		return Date{}, errOrder
	}
	if !s.date(&f) {
		return Date{}, errUnknown
	}
	mark := s.pos
	s.blank()
	if mark == s.pos && !s.accept("T") {
		s.accept("t")
	}
	if !s.done() && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' && !s.time(&f) {
		return Date{}, errUnknown
	}
	s.blank()
	if !s.zone(&f) {
		return Date{}, errUnknown
	}
	if s.blank(); !s.done() {
		return Date{}, errUnknown
	}
	return f.date(DefaultStyles)
}

// numbers reports whether a date such as 1.2.2006 or 1-2-2006 follows.
func (s *scanner) numbers() bool {
	ahead := *s
	_, _, day := ahead.digits(1, 2)
	if !day || !ahead.accept(".") && !ahead.accept("-") {
		return false
	}
	_, _, month := ahead.digits(1, 2)
	return month && (ahead.accept(".") || ahead.accept("-"))
}

// date reads the day.
func (s *scanner) date(f *fields) bool {
	names, days := months(), weekdays()
	if d, ok := s.name(days[:], 0); ok {
		f.weekday = d
	} else if d, ok := s.name(days[:], 3); ok {
		f.weekday = d
	}
	if f.weekday >= 0 {
		s.accept(",")
		s.blank()
	}
	if s.month(f, names[:]) { // January 31, 2006
		s.blank()
		return s.day(f) && (s.accept(",") || true) && s.spaced(s.year, f)
	}
	n, count, ok := s.digits(1, 4)
	switch {
	case !ok:
		return false
	case count == 4 && (s.accept("-") || s.accept("/")): // 2006-01-31
		separator := s.text[s.pos-1 : s.pos]
		f.year = n
		m, _, ok := s.digits(1, 2)
		f.month = m
		return ok && s.accept(separator) && s.day(f)
	case count <= 2 && s.accept("/"): // 1/31/2006
		f.month = n
		return s.day(f) && s.accept("/") && s.year(f)
	case count <= 2: // 31 January 2006, 31-Jan-2006
		f.day = n
		if !s.accept("-") {
			s.blank()
		}
		if !s.month(f, names[:]) {
			return false
		}
		if !s.accept("-") {
			s.accept(",")
			s.blank()
		}
		return s.year(f)
	}
	return false
}

func (s *scanner) spaced(read func(*fields) bool, f *fields) bool {
	s.blank()
	return read(f)
}

func (s *scanner) month(f *fields, names []string) bool {
	m, ok := s.name(names, 0)
	if !ok {
		if m, ok = s.name(names, 3); ok {
			s.accept(".")
		}
	}
	if ok {
		f.month = m + 1
	}
	return ok
}

func (s *scanner) day(f *fields) (ok bool) {
	f.day, _, ok = s.digits(1, 2)
	return ok
}

func (s *scanner) year(f *fields) bool {
	n, count, ok := s.digits(2, 4)
	if count == 2 {
		n = fullYear(n)
	}
	f.year = n
	return ok && count != 3
}

// time reads 15:04, 15:04:05.999 or 3:04 PM.
func (s *scanner) time(f *fields) (ok bool) {
	if f.hour, _, ok = s.digits(1, 2); !ok {
		return false
	}
	if !s.accept(":") {
		return s.halfDay(f) // 3 PM
	}
	if f.minute, _, ok = s.digits(2, 2); !ok {
		return false
	}
	if s.accept(":") {
		if f.second, _, ok = s.digits(2, 2); !ok {
			return false
		}
		if s.accept(".") || s.accept(",") {
			if f.ticks, ok = s.fraction(1, 7); !ok {
				return false
			}
			s.digits(0, len(s.text)) // finer than 100 ns
		}
	}
	s.halfDay(f)
	return true
}

func (s *scanner) halfDay(f *fields) bool {
	at := s.pos
	s.blank()
	for i, name := range []string{"AM", "PM"} {
		if s.acceptFold(name) {
			f.half, f.hour12 = i, true
			return true
		}
	}
	s.pos = at
	return false
}

// zone reads nothing, Z, GMT, UTC or an offset.
func (s *scanner) zone(f *fields) (ok bool) {
	switch {
	case s.done():
		return true
	case s.acceptFold("Z"), s.acceptFold("GMT"), s.acceptFold("UTC"):
		f.zone = UTC
		return true
	}
	f.zone = Offset
	f.offset, ok = s.offset('?')
	return ok
}
