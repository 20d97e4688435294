package records

import (
	"archive/zip"
	"math"
	"strconv"
	"strings"
	"time"
)

// numberFormat is what a workbook's number format (ECMA-376 part 1, 18.8.30) means for the reader of a cell: a date,
// a time of day, a pattern of digits, or nothing.
type numberFormat struct {
	date, clock bool
	pattern     string // '0' and '#' stand for digits, a literal one of them has a backslash before it; "" shows the number
}

func (b *workbook) readStyles(f *zip.File) error {
	var styles struct {
		Formats []struct {
			ID   int    `xml:"numFmtId,attr"`
			Code string `xml:"formatCode,attr"`
		} `xml:"numFmts>numFmt"`
		Cells []struct {
			Format int `xml:"numFmtId,attr"`
		} `xml:"cellXfs>xf"`
	}
	if err := b.decode(f, &styles); err != nil {
		return err
	}
	known := map[int]numberFormat{}
	for _, f := range styles.Formats {
		known[f.ID] = parseFormat(f.Code)
	}
	for _, c := range styles.Cells {
		f, ok := known[c.Format]
		if !ok {
			f = builtinFormat(c.Format)
		}
		b.formats = append(b.formats, f)
	}
	return nil
}

// builtinFormat returns the formats that have a number and no code, those of East Asian versions among them.
func builtinFormat(id int) numberFormat {
	switch {
	case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 54, id == 57, id == 58:
		return numberFormat{date: true}
	case id >= 18 && id <= 21, id >= 32 && id <= 35, id == 45, id == 47, id == 55, id == 56:
		return numberFormat{clock: true}
	case id == 22:
		return numberFormat{date: true, clock: true}
	}
	return numberFormat{}
}

// parseFormat reads the first section of a format code.
func parseFormat(code string) numberFormat {
	var f numberFormat
	var pattern strings.Builder
	months, zeros, other := false, 0, false
	literal := func(s string) {
		for _, r := range s {
			if r == '0' || r == '#' || r == '\\' {
				pattern.WriteByte('\\')
			}
			pattern.WriteRune(r)
		}
	}
	if len(code) >= 7 && strings.EqualFold(code[:7], "general") {
		return f
	}
	for i := 0; i < len(code) && code[i] != ';'; i++ {
		switch c := code[i]; c {
		case '"':
			end := strings.IndexByte(code[i+1:], '"')
			if end < 0 {
				end = len(code) - i - 1
			}
			literal(code[i+1 : i+1+end])
			i += end + 1
		case '\\':
			if i+1 < len(code) {
				literal(code[i+1 : i+2])
			}
			i++
		case '_', '*':
			i++
		case '[':
			end := strings.IndexByte(code[i:], ']')
			if end < 0 {
				return numberFormat{}
			}
			inside := strings.ToLower(code[i+1 : i+end])
			if strings.Trim(inside, "hms") == "" { // an elapsed time is a number
				return numberFormat{}
			}
			other = other || strings.HasPrefix(inside, "$") && !strings.HasPrefix(inside, "$-") // a currency
			i += end
		case 'y', 'Y', 'd', 'D', 'b', 'B', 'g', 'G':
			f.date = true
		case 'h', 'H', 's', 'S':
			f.clock = true
		case 'm', 'M':
			months = true
		case 'e', 'E':
			if i+1 < len(code) && (code[i+1] == '+' || code[i+1] == '-') {
				other = true
			} else {
				f.date = true
			}
		case '0':
			zeros++
			pattern.WriteByte('0')
		case '#':
			pattern.WriteByte('#')
		case ' ', '-', '/', '(', ')', ':', '+':
			literal(string(c))
		case 'A', 'a', 'P', 'p':
		default:
			other = true
		}
	}
	if months && !f.clock {
		f.date = true
	}
	if p := pattern.String(); !f.date && !f.clock && !other && firstPlace(p) >= 0 && (zeros > 1 || strings.Trim(p, "0#") != "") {
		f.pattern = p
	}
	return f
}

// show returns a number as text: a date as ISO 8601, a pattern filled with digits, anything else in plain decimals,
// because an identifier must not become 1.2E+07. Grouping, currencies and rounding are not shown.
func (f numberFormat) show(v string, epoch int) string {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
		return v
	}
	if f.date || f.clock {
		if text, ok := f.showTime(n, epoch); ok {
			return text
		}
	}
	text := plainNumber(v, n)
	if f.pattern == "" || strings.Contains(text, ".") {
		return text
	}
	return fill(f.pattern, text)
}

// plainNumber writes n, which v spells, without an exponent and with the 15 digits that Excel shows.
func plainNumber(v string, n float64) string {
	if digits := strings.TrimPrefix(v, "-"); strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0') {
		return v
	}
	if math.Abs(n) < 1e15 {
		n, _ = strconv.ParseFloat(strconv.FormatFloat(n, 'g', 15, 64), 64)
	}
	if math.Abs(n) >= 1e21 {
		return strconv.FormatFloat(n, 'g', -1, 64)
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

// lastDay is 9999-12-31, the last day that Excel knows.
const lastDay = 2958466

func (f numberFormat) showTime(n float64, epoch int) (string, bool) {
	if n < 0 || n >= lastDay {
		return "", false
	}
	day := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case epoch == 1904:
		day = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case n < 60: // Excel counts a 29 February 1900
		day = day.AddDate(0, 0, 1)
	}
	whole := math.Floor(n)
	seconds := math.Round((n - whole) * 86400)
	t := day.AddDate(0, 0, int(whole)).Add(time.Duration(seconds) * time.Second)
	switch {
	case f.date && f.clock:
		return t.Format("2006-01-02T15:04:05"), true
	case f.date:
		return t.Format(time.DateOnly), true
	}
	return t.Format(time.TimeOnly), true
}

// fill puts digits into a pattern from the right; what is left goes into its first place.
func fill(pattern, number string) string {
	digits, minus := strings.CutPrefix(number, "-")
	var out []byte // backwards
	first := firstPlace(pattern)
	for i := len(pattern) - 1; i >= 0; i-- {
		c := pattern[i]
		escaped := escapedAt(pattern, i)
		switch {
		case escaped || c != '0' && c != '#':
			if c != '\\' || escaped {
				out = append(out, c)
			}
		case digits != "":
			out = append(out, digits[len(digits)-1])
			digits = digits[:len(digits)-1]
			for ; i == first && digits != ""; digits = digits[:len(digits)-1] {
				out = append(out, digits[len(digits)-1])
			}
		case c == '0':
			out = append(out, '0')
		}
	}
	if minus {
		out = append(out, '-')
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}

func firstPlace(pattern string) int {
	for i := range len(pattern) {
		if (pattern[i] == '0' || pattern[i] == '#') && !escapedAt(pattern, i) {
			return i
		}
	}
	return -1
}

// escapedAt reports whether an odd number of backslashes stands before i.
func escapedAt(s string, i int) bool {
	n := 0
	for n < i && s[i-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}
