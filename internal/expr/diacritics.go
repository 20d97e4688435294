package expr

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// diacritics is the published table of NormalizeDiacritics: what becomes what, in lower case.
// An entry may be a letter followed by combining marks.
var diacritics = foldings(map[string]string{
	"a":  "ä à â ã å á ą ă ā ǟ ǡ a̱ å̄ ā́ ā̀ ā̂ ā̃ ā̈",
	"ae": "æ ǣ",
	"c":  "ç č ć c̄ c̱",
	"d":  "ď d̄ ḏ",
	"e":  "ë è é ê ę ě ė ē ḗ ḕ ē̂ ē̃ ē̈ e̱",
	"g":  "ğ ḡ g̱",
	"i":  "ï î ì í ī ī́ ī̀ ī̂ ī̃ ī̈ i̱",
	"l":  "ľ ł l̄ ḹ ḻ",
	"n":  "ñ ń ň n̄ ṉ",
	"o":  "ö ò ő õ ô ó ō ṓ ṑ ȫ ǭ ȭ ȱ o̱ ō̂",
	"oe": "ø ø̄ œ̄",
	"r":  "ř r̄ ṟ ṝ",
	"s":  "š ś ș ş s̄ s̱",
	"t":  "ť ț t̄ ṯ",
	"u":  "ü ù û ú ů ű ū ǖ ṻ ṳ̄ u̱ ū́ ū̀ ū̂ ū̃",
	"y":  "ÿ ý ȳ y̱ ȳ́ ȳ̀ ȳ̂ ȳ̃ ȳ̈",
	"z":  "ž ź ż z̄ ẕ",
})

func foldings(lower map[string]string) map[string]string {
	all := map[string]string{"ß": "ss", "ı": "i", "İ": "I"}
	for to, from := range lower {
		for letter := range strings.FieldsSeq(from) {
			all[norm.NFC.String(letter)] = to
			all[norm.NFC.String(strings.ToUpper(letter))] = strings.ToUpper(to)
		}
	}
	return all
}

// normalizeDiacritics replaces what the table lists, the longest entry first, and leaves the rest.
func normalizeDiacritics(t string) string {
	ascii := true
	for i := range len(t) {
		ascii = ascii && t[i] < utf8.RuneSelf
	}
	if ascii {
		return t
	}
	t = norm.NFC.String(t)
	var b strings.Builder
	for t != "" {
		n := longestFolding(t)
		if n == 0 {
			_, n = utf8.DecodeRuneInString(t)
			b.WriteString(t[:n])
		} else {
			b.WriteString(diacritics[t[:n]])
		}
		t = t[n:]
	}
	return b.String()
}

// longestFolding returns the length of the longest entry that t starts with: a letter and at most two marks.
func longestFolding(t string) (longest int) {
	n := 0
	for i := 0; i < 3 && n < len(t); i++ {
		r, size := utf8.DecodeRuneInString(t[n:])
		if i > 0 && !unicode.Is(unicode.Mn, r) {
			break
		}
		n += size
		if _, ok := diacritics[t[:n]]; ok {
			longest = n
		}
	}
	return longest
}
