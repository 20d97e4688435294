package netdate

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format is a compiled format string. It may be used by many goroutines at once.
type Format struct {
	source string
	parts  []part
	utc    bool // the date is written as it is in UTC, and read as UTC
}

// part is one specifier, repeated count times; or, with kind 0, text that stands for itself.
type part struct {
	kind  byte
	count int
	text  string
}

// standard are the standard formats of the invariant culture.
var standard = map[byte]string{
	'd': "MM/dd/yyyy", 'D': "dddd, dd MMMM yyyy", 'f': "dddd, dd MMMM yyyy HH:mm", 'F': "dddd, dd MMMM yyyy HH:mm:ss",
	'g': "MM/dd/yyyy HH:mm", 'G': "MM/dd/yyyy HH:mm:ss", 'm': "MMMM dd", 'M': "MMMM dd",
	'o': "yyyy'-'MM'-'dd'T'HH':'mm':'ss.fffffffK", 'O': "yyyy'-'MM'-'dd'T'HH':'mm':'ss.fffffffK",
	'r': "ddd, dd MMM yyyy HH':'mm':'ss 'GMT'", 'R': "ddd, dd MMM yyyy HH':'mm':'ss 'GMT'",
	's': "yyyy'-'MM'-'dd'T'HH':'mm':'ss", 't': "HH:mm", 'T': "HH:mm:ss", 'u': "yyyy'-'MM'-'dd HH':'mm':'ss'Z'",
	'U': "dddd, dd MMMM yyyy HH:mm:ss", 'y': "yyyy MMMM", 'Y': "yyyy MMMM",
}

// maxFormat is the longest format string, in bytes.
const maxFormat = 1000

// Compile reads a custom or, if it is one character, a standard format string.
func Compile(format string) (*Format, error) {
	f := &Format{source: format}
	switch {
	case format == "":
		return nil, fmt.Errorf("the date format is empty; write one such as yyyy-MM-dd")
	case len(format) > maxFormat:
		return nil, fmt.Errorf("the date format has %d bytes; at most %d are allowed", len(format), maxFormat)
	case len(format) == 1:
		custom, ok := standard[format[0]]
		if !ok {
			return nil, fmt.Errorf("%q is not a standard date format; write a custom format such as yyyy-MM-dd, and one that has a single letter with %% before it", format)
		}
		f.utc = strings.Contains("rRuU", format)
		format = custom
	}
	for i := 0; i < len(format); {
		n, err := f.specifier(format, i)
		if err != nil {
			return nil, err
		}
		i += n
	}
	return f, nil
}

// specifier reads the part of a format that starts at i, and returns its length.
func (f *Format) specifier(format string, i int) (int, error) {
	c := format[i]
	n := 1
	for i+n < len(format) && format[i+n] == c {
		n++
	}
	switch c {
	case 'd', 'g', 'h', 'H', 'm', 'M', 's', 't', 'y', 'z', 'f', 'F', 'K':
		if c == 'K' {
			n = 1
		}
		if (c == 'f' || c == 'F') && n > 7 {
			return 0, fmt.Errorf("the date format %q has %d digits of a second; at most 7 are possible", f.source, n)
		}
		if n > 9 {
			return 0, fmt.Errorf("the date format %q repeats %c %d times", f.source, c, n)
		}
		if last := len(f.parts) - 1; c == 'F' && last >= 0 && f.parts[last].kind == 0 && strings.HasSuffix(f.parts[last].text, ".") {
			f.parts[last].text = strings.TrimSuffix(f.parts[last].text, ".")
			c = '.' // F with the point, which goes if there is no digit
		}
		f.parts = append(f.parts, part{kind: c, count: n})
		return n, nil
	case '\'', '"':
		text, n, err := f.quoted(format[i:])
		f.literal(text)
		return n, err
	case '\\':
		if i+1 == len(format) {
			return 0, fmt.Errorf("the date format %q ends in a backslash", f.source)
		}
		_, size := utf8.DecodeRuneInString(format[i+1:])
		f.literal(format[i+1 : i+1+size])
		return 1 + size, nil
	case '%':
		if i+1 == len(format) || format[i+1] == '%' {
			return 0, fmt.Errorf("the date format %q has a %% that is not followed by a specifier", f.source)
		}
		return 1, nil
	case 'Z':
		f.parts = append(f.parts, part{kind: 'Z', count: 1})
		return 1, nil
	}
	f.literal(format[i : i+1])
	return 1, nil
}

// quoted reads text between quotes; a backslash in it takes its meaning from what follows.
func (f *Format) quoted(format string) (string, int, error) {
	var b strings.Builder
	for i := 1; i < len(format); i++ {
		switch c := format[i]; {
		case c == format[0]:
			return b.String(), i + 1, nil
		case c == '\\' && i+1 < len(format):
			i++
			b.WriteByte(format[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, fmt.Errorf("the date format %q has a quote that is not closed", f.source)
}

func (f *Format) literal(text string) {
	if last := len(f.parts) - 1; last >= 0 && f.parts[last].kind == 0 {
		f.parts[last].text += text
		return
	}
	f.parts = append(f.parts, part{text: text})
}

// Append writes d behind b.
func (f *Format) Append(b []byte, d Date) []byte {
	if f.utc {
		d = Of(d.UTC())
	}
	for _, p := range f.parts {
		b = p.append(b, d)
	}
	return b
}

func (p part) append(b []byte, d Date) []byte {
	t := d.Wall
	switch p.kind {
	case 0:
		return append(b, p.text...)
	case 'Z':
		return append(b, 'Z')
	case 'd':
		if p.count > 2 {
			return appendName(b, t.Weekday().String(), p.count == 3)
		}
		return pad(b, t.Day(), p.count)
	case 'M':
		if p.count > 2 {
			return appendName(b, t.Month().String(), p.count == 3)
		}
		return pad(b, int(t.Month()), p.count)
	case 'y':
		if p.count <= 2 {
			return pad(b, t.Year()%100, p.count)
		}
		return pad(b, t.Year(), p.count)
	case 'g':
		return append(b, "A.D."...)
	case 'h':
		return pad(b, (t.Hour()+11)%12+1, min(p.count, 2))
	case 'H':
		return pad(b, t.Hour(), min(p.count, 2))
	case 'm':
		return pad(b, t.Minute(), min(p.count, 2))
	case 's':
		return pad(b, t.Second(), min(p.count, 2))
	case 't':
		return append(b, "APM"[t.Hour()/12:][:1]+"M"[:min(p.count-1, 1)]...)
	case 'f', 'F', '.':
		return p.appendFraction(b, t.Nanosecond()/100)
	}
	return p.appendZone(b, d)
}

func appendName(b []byte, name string, short bool) []byte {
	if short {
		name = name[:3]
	}
	return append(b, name...)
}

func pad(b []byte, n, width int) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], int64(n), 10)
	for i := len(text); i < width; i++ {
		b = append(b, '0')
	}
	return append(b, text...)
}

func (p part) appendFraction(b []byte, ticks int) []byte {
	for i := p.count; i < 7; i++ {
		ticks /= 10
	}
	count := p.count
	for p.kind != 'f' && count > 0 && ticks%10 == 0 {
		ticks /= 10
		count--
	}
	if count == 0 {
		return b
	}
	if p.kind == '.' {
		b = append(b, '.')
	}
	return pad(b, ticks, count)
}

// appendZone writes z, zz, zzz and K.
func (p part) appendZone(b []byte, d Date) []byte {
	switch {
	case p.kind == 'K' && d.Zone == Unspecified:
		return b
	case p.kind == 'K' && d.Zone == UTC:
		return append(b, 'Z')
	case p.kind == 'K':
		p.count = 3
	}
	offset := d.Offset
	if offset < 0 {
		b, offset = append(b, '-'), -offset
	} else {
		b = append(b, '+')
	}
	b = pad(b, offset/3600, min(p.count, 2))
	if p.count > 2 {
		b = pad(append(b, ':'), offset/60%60, 2)
	}
	return b
}

// Parse reads a text that has this format, wholly.
func (f *Format) Parse(text string, style Styles) (Date, error) {
	s := scanner{text: text}
	if style.Leading {
		s.blank()
	}
	if style.Trailing {
		s.text = strings.TrimRight(s.text, " \t\n\v\f\r")
		s.pos = min(s.pos, len(s.text))
	}
	parts := noFields()
	for _, p := range f.parts {
		if style.Inner {
			s.blank()
		}
		if !p.read(&s, &parts, style) {
			return Date{}, fmt.Errorf("it does not have the format %q", f.source)
		}
	}
	if style.Inner {
		s.blank()
	}
	if !s.done() {
		return Date{}, fmt.Errorf("it goes on where the format %q ends", f.source)
	}
	if f.utc {
		parts.zone = UTC
	}
	return parts.date(style)
}

// read takes one part from the text; false if the text has something else there.
func (p part) read(s *scanner, f *fields, style Styles) bool {
	number := func(to *int, most int) bool {
		least := min(p.count, most)
		if p.count == 1 {
			most = 2
		}
		n, _, ok := s.digits(least, most)
		return ok && set(to, n)
	}
	switch p.kind {
	case 0:
		return p.readText(s, style)
	case 'Z':
		f.zone = UTC
		return s.accept("Z")
	case 'd':
		if p.count > 2 {
			names := weekdays()
			n, ok := s.name(names[:], short(p.count))
			return ok && set(&f.weekday, n)
		}
		return number(&f.day, 2)
	case 'M':
		if p.count > 2 {
			names := months()
			n, ok := s.name(names[:], short(p.count))
			return ok && set(&f.month, n+1)
		}
		return number(&f.month, 2)
	case 'y':
		return p.readYear(s, f)
	case 'g':
		return s.acceptFold("A.D.") || s.acceptFold("AD")
	case 'h': // hh takes one digit too, because that is what CDate writes, and people read it with hh
		f.hour12 = true
		n, _, ok := s.digits(1, 2)
		return ok && set(&f.hour, n)
	case 'H':
		return number(&f.hour, 2)
	case 'm':
		return number(&f.minute, 2)
	case 's':
		return number(&f.second, 2)
	case 't':
		names := []string{"AM", "PM"}
		n, ok := s.name(names, p.count%2)
		return ok && set(&f.half, n)
	case 'f':
		n, ok := s.fraction(p.count, p.count)
		return ok && set(&f.ticks, n)
	case '.':
		if !s.accept(".") {
			return true
		}
		fallthrough
	case 'F':
		n, _ := s.fraction(0, p.count)
		return set(&f.ticks, n)
	}
	return p.readZone(s, f)
}

// short is how many letters of a name ddd and MMM stand for; 0 is all of them.
func short(count int) int {
	if count == 3 {
		return 3
	}
	return 0
}

func (p part) readText(s *scanner, style Styles) bool {
	if !style.Inner {
		return s.accept(p.text)
	}
	for field := range strings.FieldsSeq(p.text) {
		if s.blank(); !s.accept(field) {
			return false
		}
	}
	return true
}

func (p part) readYear(s *scanner, f *fields) bool {
	least := p.count
	n, _, ok := s.digits(least, max(least, 2))
	if p.count <= 2 {
		n = fullYear(n)
	}
	return ok && set(&f.year, n)
}

func (p part) readZone(s *scanner, f *fields) (ok bool) {
	if p.kind == 'K' {
		if s.accept("Z") {
			f.zone = UTC
			return true
		}
		if s.done() || s.text[s.pos] != '+' && s.text[s.pos] != '-' {
			return true
		}
		p.count = 3
	}
	minutes := byte('-')
	if p.count > 2 {
		minutes = '!'
	}
	f.zone = Offset
	f.offset, ok = s.offset(minutes)
	return ok
}
