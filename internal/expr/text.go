package expr

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// decimal reads a plain decimal number such as -1.50.
func decimal(v Value) (float64, bool) {
	t := v.String()
	if t == "" || len(t) > 40 || strings.Trim(t, "-.0123456789") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(t, 64)
	return f, err == nil
}

// mid takes a part of a text. The edges are those of the classic function: a start outside of
// the text, and a negative length, give the whole text.
func mid(s *site, ctx *Context) (Value, error) {
	t, ok, err := s.text(ctx, 0)
	if err != nil {
		return Value{}, err
	}
	start, err := s.integer(ctx, 1)
	if err != nil {
		return Value{}, err
	}
	n, err := s.integer(ctx, 2)
	if err != nil {
		return Value{}, err
	}
	switch size := int64(utf8.RuneCountInString(t)); {
	case !ok || n == 0:
		return Text(""), nil
	case n < 0 || start <= 0 || start > size:
		return Text(t), nil
	}
	return Text(firstRunes(dropRunes(t, start-1), n)), nil
}

// firstRunes returns the first n characters of t, or all of it.
func firstRunes(t string, n int64) string {
	for i := range t {
		if n == 0 {
			return t[:i]
		}
		n--
	}
	return t
}

// dropRunes returns t without its first n characters.
func dropRunes(t string, n int64) string { return t[len(firstRunes(t, n)):] }

// side builds Left and Right.
func side(right bool) builder {
	return plain(func(s *site, ctx *Context) (Value, error) {
		t, _, err := s.text(ctx, 0)
		if err != nil {
			return Value{}, err
		}
		n, err := s.integer(ctx, 1)
		switch size := int64(utf8.RuneCountInString(t)); {
		case err != nil:
			return Value{}, err
		case n < 0 || n >= size:
			return Text(t), nil
		case right:
			return Text(dropRunes(t, size-n)), nil
		}
		return Text(firstRunes(t, n)), nil
	})
}

func inStr(s *site, ctx *Context) (Value, error) {
	t, _, err := s.text(ctx, 0)
	if err != nil {
		return Value{}, err
	}
	find, _, err := s.text(ctx, 1)
	if err != nil {
		return Value{}, err
	}
	start := int64(1)
	if s.given(2) {
		if start, err = s.integer(ctx, 2); err != nil {
			return Value{}, err
		}
	}
	if start < 1 {
		return Value{}, fmt.Errorf("start is %d; the first character is number 1", start)
	}
	if how, _ := s.constant(3); how == wordTextCompare {
		t, find = strings.Map(foldRune, t), strings.Map(foldRune, find)
	}
	rest := dropRunes(t, start-1)
	at := strings.Index(rest, find)
	if at < 0 || rest == "" {
		return Int(0), nil
	}
	return Int(start + int64(utf8.RuneCountInString(rest[:at]))), nil
}

// foldRune returns the least of the characters that differ from r by case only.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

// chars is a set of characters, which is asked in the same time however many they are.
type chars struct {
	ascii  [2]uint64
	others map[rune]bool
}

func charsOf(t string) *chars {
	c := &chars{}
	for _, r := range t {
		switch {
		case r < utf8.RuneSelf:
			c.ascii[r>>6] |= 1 << (r & 63)
		case c.others == nil:
			c.others = map[rune]bool{}
			fallthrough
		default:
			c.others[r] = true
		}
	}
	return c
}

func (c *chars) has(r rune) bool {
	if r < utf8.RuneSelf {
		return c.ascii[r>>6]>>(r&63)&1 != 0
	}
	return c.others[r]
}

func word(s *site, ctx *Context) (Value, error) {
	t, _, err := s.text(ctx, 0)
	if err != nil {
		return Value{}, err
	}
	n, err := s.integer(ctx, 1)
	if err != nil {
		return Value{}, err
	}
	delimiters, _, err := s.text(ctx, 2)
	if err != nil {
		return Value{}, err
	}
	separates := charsOf(delimiters)
	for w := range strings.FieldsFuncSeq(t, separates.has) {
		if n--; n == 0 {
			return Text(w), nil
		}
	}
	return Text(""), nil
}

// changeCase builds ToLower and ToUpper. Turkish and Azeri have their own dotless i.
func changeCase(plainCase func(string) string, special func(unicode.SpecialCase, string) string) builder {
	apply := func(t, culture string) (Value, error) {
		if culture == "" {
			return Text(plainCase(t)), nil
		}
		tag, err := language.Parse(culture)
		if err != nil {
			return Value{}, fmt.Errorf("%s is not the name of a culture, such as en-US", shown(Text(culture)))
		}
		if base, _ := tag.Base(); base.String() == "tr" || base.String() == "az" {
			return Text(special(unicode.TurkishCase, t)), nil
		}
		return Text(plainCase(t)), nil
	}
	return func(s *site) (evalFunc, error) {
		if culture, ok := s.constant(1); ok {
			if _, err := apply("", culture); err != nil {
				return nil, s.errorf(1, "%v", err)
			}
		}
		return func(ctx *Context) (Value, error) {
			t, ok, err := s.text(ctx, 0)
			if err != nil || !ok {
				return Value{}, err
			}
			culture, _, err := s.text(ctx, 1)
			if err != nil {
				return Value{}, err
			}
			return apply(t, culture)
		}, nil
	}
}

func lower(t string) string                               { return strings.ToLower(t) }
func lowerSpecial(c unicode.SpecialCase, t string) string { return strings.ToLowerSpecial(c, t) }
func upper(t string) string                               { return strings.ToUpper(t) }
func upperSpecial(c unicode.SpecialCase, t string) string { return strings.ToUpperSpecial(c, t) }

func properCase(s *site, ctx *Context) (Value, error) {
	t, ok, err := s.text(ctx, 0)
	if err != nil || !ok {
		return Value{}, err
	}
	separators, _, err := s.text(ctx, 1)
	if err != nil {
		return Value{}, err
	}
	separates := separatesWords
	if separators != "" {
		separates = charsOf(separators).has
	}
	first := true
	return Text(strings.Map(func(r rune) rune {
		was := first
		first = separates(r)
		if was {
			return unicode.ToTitle(r)
		}
		return unicode.ToLower(r)
	}, t)), nil
}

// separatesWords tells the categories that the reference lists for PCase.
func separatesWords(r rune) bool {
	return unicode.In(r, unicode.Zs, unicode.Cc, unicode.Cf, unicode.P, unicode.S)
}

func toBase64(t string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(t)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return base64.StdEncoding.EncodeToString(b)
}

func toHex(t string) string { return strings.ToUpper(hex.EncodeToString([]byte(t))) }

func fail(t string) (Value, error) { return Value{}, errors.New(t) }
