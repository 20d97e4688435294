package regex

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// find shows all matches of a pattern: each as the texts of its groups, "-" for a group that took no part.
func find(t testing.TB, pattern, text string) string {
	t.Helper()
	re, err := Compile(pattern)
	if err != nil {
		return err.Error()
	}
	var all []string
	steps := 1 << 20
	err = re.Each(text, &steps, func(g []int32) bool {
		var groups []string
		for i := 0; i < len(g); i += 2 {
			if g[i] < 0 || g[i+1] < 0 {
				groups = append(groups, "-")
			} else {
				groups = append(groups, text[g[i]:g[i+1]])
			}
		}
		all = append(all, strings.Join(groups, ","))
		return len(all) < 50
	})
	if err != nil {
		return err.Error()
	}
	return strings.Join(all, "|")
}

func TestMatch(t *testing.T) {
	for _, c := range []struct{ pattern, text, want string }{
		// The order of alternatives and quantifiers.
		{`a|ab`, "ab", "a"},
		{`(a|ab)(c|bcd)(d*)`, "abcd", "abcd,a,bcd,"},
		{`a*`, "baac", "|aa||"},
		{`a+?`, "aaa", "a|a|a"},
		{`a*?b`, "aab", "aab"},
		{`a{2}`, "aaaaa", "aa|aa"},
		{`a{2,}?`, "aaaaa", "aa|aa"},
		{`a{2,3}`, "aaaaa", "aaa|aa"},
		{`(?:ab){2,3}`, "ababababab", "ababab|abab"},
		{`(?:ab){2,}?c`, "abababc", "abababc"},
		{`(a)|(b)`, "ab", "a,a,-|b,-,b"},
		{`(a|b)*c`, "abac", "abac,a"},
		{`(a*)*`, "aa", "aa,|,"},
		{`@(.)*`, "a@bc", "@bc,c"},
		{`(\w)*b`, "b ab aab", "b,-|ab,a|aab,a"},
		{`(?:(\w){2,}?b)+`, "xybzzb", "xybzzb,z"},
		{`(?<=(\d)+)x`, "123x", "x,1"},
		{`(a*)+b`, "aaab", "aaab,"},
		{`(a|b*)*c`, "abbc", "abbc,"},
		{`(|a)*`, "a", ",|,"},
		{`x{,2}`, "x{,2}", "x{,2}"},
		{`a{,2}b`, "a{,2}b", "a{,2}b"},
		// Groups.
		{`(a)(?<n>b)(c)`, "abc", "abc,a,c,b"},
		{`(?'n'b)`, "b", "b,b"},
		{`(?<n>a)|(?<n>b)`, "ab", "a,a|b,b"},
		{`(?<2>a)(b)`, "ab", "ab,b,a"},
		{`(?n)(a)(?<x>b)`, "ab", "ab,b"},
		{`(?:a(b))`, "ab", "ab,b"},
		{`(?#a comment)b`, "b", "b"},
		{`(?x) a b # c
		 c`, "abc", "abc"},
		// Options.
		{`(?i)straße`, "STRAßE", "STRAßE"},
		{`(?i:a)b`, "AB Ab", "Ab"},
		{`a(?i)b|c`, "aB C", "aB|C"},
		{`(?i)[a-c]+`, "AbCd", "AbC"},
		{`(?i-i)a`, "Aa", "a"},
		{`(?s).+`, "a\nb", "a\nb"},
		{`.+`, "a\nb", "a|b"},
		{`(?m)^a$`, "a\na\n", "a|a"},
		{`^a`, "aa", "a"},
		{`a$`, "a\n", "a"},
		{`a\z`, "a\n", ""},
		{`a\Z`, "a\n", "a"},
		{`\Ga`, "aaba", "a|a"},
		// Classes.
		{`\w+`, "Zoë_1 Ø", "Zoë_1|Ø"},
		{`\d+`, "1२3", "1२3"},
		{`\s+`, "a \u00a0\u2003b", " \u00a0\u2003"},
		{`\S+`, "a\u2003b", "a|b"},
		{`[^\w]`, "é.", "."},
		{`[\W\d]+`, "a1.b", "1."},
		{`\p{Lu}\P{Lu}`, "éÉé", "Éé"},
		{`[\p{IsCyrillic}]+`, "abЖд", "Жд"},
		{`[a-z-[aeiou]]+`, "hello", "h|ll"},
		{`[^a-c-[x]]+`, "abxyz", "yz"},
		{`[]a]+`, "]a", "]a"},
		{`[a-]+`, "a-", "a-"},
		{`[()\s-]+`, "+1 (999) 888-7777", " (|) |-"},
		{`[\b]`, "\b", "\b"},
		{`\x41\u0042\t\e\cA\061`, "AB\t\x1b\x011", "AB\t\x1b\x011"},
		{`\.\/\[`, "./[", "./["},
		// Boundaries know all letters.
		{`\bde\b`, "Zoë de ëde", "de"},
		{`\Bë`, "Zoë", "ë"},
		// Looking around.
		{`\w+(?=@)`, "ana@contoso.example", "ana"},
		{`a(?!b)`, "abac", "a"},
		{`(?<=@).+`, "ana@contoso.example", "contoso.example"},
		{`(?<!a)b`, "abcb", "b"},
		{`(?<=(\d{2}))x`, "123x", "x,23"},
		{`(?<=(\d+)(\d+))x`, "1234x", "x,1,234"},
		{`(?=(a+))a*b\1`, "baaabac", "aba,a"},
		{`(?:(?=a)a|b)+`, "abab", "abab"},
		{`(?!(a)b)a`, "ac", "a,-"},
		{`(?<=^|,)[^,]*`, "a,,b", "a||b"},
		{`(?<=ä.)b`, "äöb", "b"},
		// Atomic groups and back-references.
		{`(?>a*)ab`, "aab", ""},
		{`(?>a|ab)c`, "abc", ""},
		{`(\w)\1`, "hello", "ll,l"},
		{`(?<c>.)\k<c>`, "hello", "ll,l"},
		{`(?i)(a)\1`, "aA", "aA,a"},
		{`(a)?\1b`, "b", ""},
		{`(a*)*\1b`, "aab", "aab,"},
		// Searches that backtrack without end elsewhere.
		{`(a+)+$`, strings.Repeat("a", 200) + "!", ""},
		{`(a|a)*$`, strings.Repeat("a", 200) + "!", ",-"},
		{`(.*)*x`, strings.Repeat("a", 200), ""},
		{`(?=(a+)+$)a`, strings.Repeat("a", 60) + "!", ""},
		{`(a+)+\1$`, strings.Repeat("a", 60) + "!", ErrSteps.Error()},
	} {
		if got := find(t, c.pattern, c.text); got != c.want {
			t.Errorf("%s on %.40q = %q, want %q", c.pattern, c.text, got, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		pattern string
		pos     int
		msg     string
	}{
		{`(a`, 0, "no closing )"},
		{`a)`, 1, "closes nothing"},
		{`é[a`, 1, "no closing ]"},
		{`a\`, 1, "ends in a backslash"},
		{`*a`, 0, "nothing before * to repeat"},
		{`a**`, 2, "a quantifier follows a quantifier"},
		{`a{3,2}`, 0, "wrong way round"},
		{`[z-a]`, 1, "the range z-a is the wrong way round"},
		{`[a-\d]`, 1, "cannot end in a class"},
		{`[a-z-[b]c]`, 8, "must be the last part"},
		{`\y`, 0, `there is no escape \y`},
		{`\x4`, 0, "2 hexadecimal digits"},
		{`\p{Foo}`, 0, "no category Foo"},
		{`\pL`, 0, "in braces"},
		{`\p{IsElvish}`, 0, "write it as a range"},
		{`(?P<a>b)`, 0, "name a group with (?<name>...)"},
		{`(?<a-b>c)`, 0, "balancing"},
		{`(?<a b>c)`, 3, "letters, digits and _"},
		{`(?(a)b|c)`, 0, "alternatives"},
		{`(?q)`, 0, "not a group of .NET"},
		{`(?#a`, 0, "no closing"},
		{`a\1`, 1, "no group 1"},
		{`\k<x>`, 0, "no group x"},
		{`(?:(?:a{999}){999}b){999}`, 0, "too large"},
		{`(?<3>a)` + strings.Repeat("(", 101), 107, "nested more than 100"},
	} {
		_, err := Compile(c.pattern)
		var e *Error
		if !errors.As(err, &e) || e.Pos != c.pos || !strings.Contains(e.Msg, c.msg) {
			t.Errorf("Compile(%.30s) = %v, want %d %s", c.pattern, err, c.pos, c.msg)
		}
	}
}

// patterns draws patterns that Go's own engine reads in the same way.
func patterns(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if depth == 0 {
			return rapid.SampledFrom([]string{"a", "b", "c", ".", "[ab]", "[^a]", `\A`, `\z`}).Draw(t, "atom")
		}
		sub := func(name string) string { return patterns(depth-1).Draw(t, name) }
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return sub("left") + sub("right")
		case 1:
			return "(?:" + sub("left") + "|" + sub("right") + ")"
		case 2:
			return "(" + sub("group") + ")"
		case 3:
			quantifier := rapid.SampledFrom([]string{"*", "+", "?", "{2}", "{1,2}", "{2,}", "*?", "+?", "??", "{0,2}?"}).Draw(t, "quantifier")
			return "(?:" + sub("repeated") + ")" + quantifier
		}
		return sub("sub")
	})
}

// TestAgainstGo: what both engines can say, they say alike. Loops over nothing are left out: Go ends them otherwise.
func TestAgainstGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := patterns(4).Draw(t, "pattern")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abcé")), 0, 12, -1).Draw(t, "text")
		p := &parser{src: pattern}
		tree, err := p.alternation()
		if err != nil {
			t.Fatal(err)
		}
		if loopsOverNothing(tree) {
			return
		}
		re, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		steps := 1 << 20
		if err := re.Each(text, &steps, func(g []int32) bool {
			for _, at := range g {
				got = append(got, int(at))
			}
			return false
		}); err != nil {
			t.Fatalf("%s on %q: %v", pattern, text, err)
		}
		if want := regexp.MustCompile(pattern).FindStringSubmatchIndex(text); !slices.Equal(got, want) {
			t.Fatalf("%s on %q = %v, want %v", pattern, text, got, want)
		}
	})
}

func loopsOverNothing(n *node) bool {
	return n.kind == kRepeat && nullable(n.subs[0]) || slices.ContainsFunc(n.subs, loopsOverNothing)
}

// TestNoExplosion: twice the text takes at most four times the steps, and a little, for patterns that are known to
// double their work with each character.
func TestNoExplosion(t *testing.T) {
	steps := func(pattern string, n int) int {
		re, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left := 1 << 24
		if _, err := re.Match(strings.Repeat("a", n)+"!", &left); err != nil {
			t.Fatal(err)
		}
		return 1<<24 - left
	}
	for _, pattern := range []string{`(a+)+$`, `(a|aa)+$`, `(a*)*b`, `(?:a?){20}b`, `((a|b|ab)*c)*d`} {
		if short, long := steps(pattern, 500), steps(pattern, 1000); long > 4*short+short/2 {
			t.Errorf("%s takes %d steps on 500 characters and %d on 1000", pattern, short, long)
		}
	}
}

func FuzzRegex(f *testing.F) {
	for _, p := range []string{`(?<=(\d+)(\d+))x`, `(?>a|ab)*?c$`, `[a-z-[aeiou]]{2,3}`, `(?i)(?<c>.)\k<c>+`, `(?x) a # b`, `\p{Lu}|\u00e9`} {
		f.Add(p, "12aéAbc\n")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		re, err := Compile(pattern)
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || e.Pos > len(pattern) {
				t.Fatalf("Compile(%q) = %v", pattern, err)
			}
			return
		}
		steps := 1 << 16
		last := int32(0)
		err = re.Each(text, &steps, func(g []int32) bool {
			if g[0] < last || g[1] < g[0] || int(g[1]) > len(text) {
				t.Fatalf("%q on %q: match %v after %d", pattern, text, g, last)
			}
			for i := 2; i < len(g); i += 2 {
				if g[i] >= 0 && g[i+1] >= 0 {
					_ = fmt.Sprint(text[min(g[i], g[i+1]):max(g[i], g[i+1])])
				}
			}
			last = g[1]
			return true
		})
		if err != nil && !errors.Is(err, ErrSteps) {
			t.Fatal(err)
		}
	})
}

func BenchmarkSuffix(b *testing.B) {
	re, _ := Compile(`(?<Suffix>@(.)*)`)
	b.ReportAllocs()
	for b.Loop() {
		steps := 1 << 20
		_ = re.Each("bjensen@fabrikam.example", &steps, func([]int32) bool { return true })
	}
}
