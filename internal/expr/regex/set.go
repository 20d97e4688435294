package regex

import (
	"fmt"
	"strings"
	"unicode"
)

// set is a set of characters.
type set struct {
	ascii  [2]uint64 // what has decides about the first 128 characters
	ranges []rune    // pairs: first, last
	tables []table
	negate bool
	fold   bool // case does not count
	minus  *set // what is taken away, as in [a-z-[aeiou]]
	cost   int  // how many steps a look at a character beyond ASCII counts as
}

// table is a set of Unicode, or all but it.
type table struct {
	in     []*unicode.RangeTable
	negate bool
}

func (s *set) add(first, last rune) { s.ranges = append(s.ranges, first, last) }

// done must be called once the set is complete.
func (s *set) done() *set {
	s.cost = 1 + len(s.ranges)/16
	for _, t := range s.tables {
		s.cost += len(t.in)
	}
	if s.fold {
		s.cost *= 3
	}
	if s.minus != nil {
		s.cost += s.minus.cost
	}
	for r := range rune(128) {
		if s.slow(r) {
			s.ascii[r>>6] |= 1 << (r & 63)
		}
	}
	return s
}

func (s *set) has(r rune) bool {
	if r < 128 {
		return s.ascii[r>>6]>>(r&63)&1 != 0
	}
	return s.slow(r)
}

func (s *set) slow(r rune) bool {
	in := s.listed(r)
	if s.fold {
		for f := unicode.SimpleFold(r); f != r && !in; f = unicode.SimpleFold(f) {
			in = s.listed(f)
		}
	}
	return in != s.negate && (s.minus == nil || !s.minus.slow(r))
}

func (s *set) listed(r rune) bool {
	for i := 0; i < len(s.ranges); i += 2 {
		if s.ranges[i] <= r && r <= s.ranges[i+1] {
			return true
		}
	}
	for _, t := range s.tables {
		if unicode.In(r, t.in...) != t.negate {
			return true
		}
	}
	return false
}

// The classes of Microsoft Learn, "Character classes in .NET regular expressions".
var (
	wordTables  = []*unicode.RangeTable{unicode.L, unicode.Mn, unicode.Nd, unicode.Pc}
	spaceTables = []*unicode.RangeTable{unicode.Z, {R16: []unicode.Range16{{Lo: '\t', Hi: '\r', Stride: 1}, {Lo: 0x85, Hi: 0x85, Stride: 1}}, LatinOffset: 2}}
	digitTables = []*unicode.RangeTable{unicode.Nd}
)

func class(letter byte) (table, bool) {
	var in []*unicode.RangeTable
	switch letter | 0x20 {
	case 'w':
		in = wordTables
	case 's':
		in = spaceTables
	case 'd':
		in = digitTables
	default:
		return table{}, false
	}
	return table{in, letter&0x20 == 0}, true
}

// isWord tells what \b takes for a part of a word: \w, and the joiners.
func isWord(r rune) bool {
	if r < 128 {
		return r == '_' || r-'0' < 10 && r >= '0' || r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	return unicode.In(r, wordTables...) || r == 0x200c || r == 0x200d
}

// blocks are the named blocks of Unicode that people use in mappings.
var blocks = map[string][2]rune{
	"IsBasicLatin": {0, 0x7f}, "IsLatin-1Supplement": {0x80, 0xff}, "IsLatinExtended-A": {0x100, 0x17f}, "IsLatinExtended-B": {0x180, 0x24f},
	"IsIPAExtensions": {0x250, 0x2af}, "IsSpacingModifierLetters": {0x2b0, 0x2ff}, "IsCombiningDiacriticalMarks": {0x300, 0x36f},
	"IsGreek": {0x370, 0x3ff}, "IsGreekandCoptic": {0x370, 0x3ff}, "IsCyrillic": {0x400, 0x4ff}, "IsArmenian": {0x530, 0x58f},
	"IsHebrew": {0x590, 0x5ff}, "IsArabic": {0x600, 0x6ff}, "IsDevanagari": {0x900, 0x97f}, "IsThai": {0xe00, 0xe7f}, "IsGeorgian": {0x10a0, 0x10ff},
	"IsHangulJamo": {0x1100, 0x11ff}, "IsLatinExtendedAdditional": {0x1e00, 0x1eff}, "IsGreekExtended": {0x1f00, 0x1fff},
	"IsGeneralPunctuation": {0x2000, 0x206f}, "IsCurrencySymbols": {0x20a0, 0x20cf}, "IsHiragana": {0x3040, 0x309f}, "IsKatakana": {0x30a0, 0x30ff},
	"IsCJKUnifiedIdeographs": {0x4e00, 0x9fff}, "IsHangulSyllables": {0xac00, 0xd7af},
}

// property is \p{name} or, negated, \P{name}.
func property(name string, negate bool) (table, error) {
	if t, ok := unicode.Categories[name]; ok {
		return table{[]*unicode.RangeTable{t}, negate}, nil
	}
	if b, ok := blocks[name]; ok {
		t := &unicode.RangeTable{R32: []unicode.Range32{{Lo: uint32(b[0]), Hi: uint32(b[1]), Stride: 1}}}
		return table{[]*unicode.RangeTable{t}, negate}, nil
	}
	if strings.HasPrefix(name, "Is") {
		return table{}, fmt.Errorf(`the block %s is not known; write it as a range such as [\u0400-\u04FF]`, name)
	}
	return table{}, fmt.Errorf(`there is no category %s; use one such as \p{L} for letters or \p{Lu} for capitals`, name)
}
