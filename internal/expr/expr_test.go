package expr

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"induct/internal/expr/regex"
)

var now = time.Date(2021, 7, 2, 15, 33, 38, 0, time.UTC)

func testContext(p *Program, attributes []Given) *Context {
	ctx := &Context{Now: now, Seed: 7, DefaultDomain: "contoso.example"}
	for _, name := range p.Attributes() {
		var v Value
		if i := slices.IndexFunc(attributes, func(g Given) bool { return g.Name == name }); i >= 0 {
			switch values := attributes[i].Values; len(values) {
			case 0:
			case 1:
				v = Text(values[0])
			default:
				for _, t := range values {
					v = Multi(append(slices.Clone(v.Elems()), Text(t))...)
				}
			}
		}
		ctx.Attributes = append(ctx.Attributes, v)
	}
	return ctx
}

// run returns the text of the value, "null", or the error.
func run(t testing.TB, src string, attributes ...Given) string {
	t.Helper()
	p, err := Compile(src, Env{})
	if err != nil {
		t.Fatalf("Compile(%s): %v", src, err)
	}
	v, err := p.Eval(testContext(p, attributes))
	switch {
	case err != nil:
		return err.Error()
	case v.IsNull():
		return "null"
	}
	return v.String()
}

func TestEval(t *testing.T) {
	for _, c := range []struct {
		src, want string
		given     []Given
	}{
		{src: `Join("", Replace([userName], , "(?<Suffix>@(.)*)", "Suffix", "", , ), "@", DefaultDomain())`, want: "bjensen@contoso.example", given: []Given{given("userName", "bjensen@fabrikam.example")}},
		{src: `Replace([WorkerID], , "(?<leadingZeros>^0+)(?<actualValue>[a-zA-Z0-9]+)", , "${actualValue}", ,)`, want: "12345", given: []Given{given("WorkerID", "00012345")}},
		{src: `Join(" ",Replace([s], ,"(?<CountryISOCode>.*)_(?<suffix1>.*)_(?<suffix2>.*)[0-9]", ,"${suffix1} ${suffix2}", , ),[n])`, want: "Van der Hof", given: []Given{given("s", "NLD_Van_der3"), given("n", "Hof")}},
		{src: `Replace(Mid(Replace([u], , "([\\/\\\\\\[\\]\\:\\;\\|\\=\\,\\+\\*\\?\\<\\>])", , "", , ), 1, 20), , "(\\.)*$", , "", , )`, want: "john.smith", given: []Given{given("u", "jo/hn[.]smi*th..")}},
		{src: `Replace([x], , "a*", , "X", , )`, want: "XXbX", given: []Given{given("x", "aab")}}, // as .NET: an empty match may abut another
		{src: `Replace([x], , "\\w+", , "<$&>", , )`, want: "<Zoë> <Ø>", given: []Given{given("x", "Zoë Ø")}},
		{src: `Replace([x], , "\\bde\\b", , "", , )`, want: "Zoë ", given: []Given{given("x", "Zoë de")}},
		{src: `Replace([x], , "(a)(?<n>b)(c)", , "$1$2$3$4", , )`, want: "acb$4", given: []Given{given("x", "abc")}}, // named groups are numbered last
		{src: `Replace([x], "a", , , "b", , )`, want: "null"},
		{src: `Append([x], "b")`, want: "null"},
		{src: `ToLower([x])`, want: "null"},
		{src: `Join(",", [x], "")`, want: "null"},
		{src: `Left([x], 3)`, want: ""},
		{src: `Mid("abc", 9, 2)`, want: "abc"},
		{src: `Mid("abc", 1, [n])`, want: `Mid: length must be a whole number, not null`},
		{src: `Switch([x], , "a", "1")`, want: "null"},
		{src: `IIF([x] = "", "a", "b")`, want: "b"},
		{src: `IIF([x] <> "a", "a", "b")`, want: "b"},
		{src: `IIF("10" > 9, "a", "b")`, want: "a"},
		{src: `IIF("a" = "A", "a", "b")`, want: "b"},
		{src: `IIF([active] = true, "a", "b")`, want: "a", given: []Given{given("active", "True")}},
		{src: `IIF("maybe", "a", "b")`, want: `IIF: the condition is "maybe", which is neither true nor false`},
		{src: `IIF(IsPresent([x]), "a", IgnoreAttributeFlow)`, want: ErrIgnoreAttribute.Error()},
		{src: `IIF(DateDiff("d", Now(), "2021-07-03") <= 14, "False", IgnoreObjectFlow)`, want: "False"},
		{src: `IgnoreObjectFlow()`, want: ErrIgnoreObject.Error()},
		{src: `IgnoreFlowIfNullOrEmpty(Switch([x], "", "1", "Dr."))`, want: ErrIgnoreAttribute.Error()},
		{src: `ToLower([x])`, want: "ToLower: needs a single value but was given 2 values; use Item or Join first", given: []Given{given("x", "a", "b")}},
		{src: `CDate([x])`, want: "CDate: expression is null or empty, not a date; guard it with IIF(IsNullOrEmpty(...), ..., ...)"},
		{src: `DateDiff("d", "2020-12-31", "12/31/9999 11:59:59 PM")`, want: "2914269"},
		{src: `DateAdd("s", 9223372036854775807, Now())`, want: "DateAdd: the result is outside of the years 1 to 9999"},
		{src: `NumFromDate("9999-12-31T23:59:59-08:00")`, want: `NumFromDate: "9999-12-31T23:59:59-08:00": the date is outside of the years 1 to 9999 in UTC`},
		{src: `Now()`, want: "7/2/2021 3:33:38 PM"},
		{src: `Error("no")`, want: "Error: no"},
		{src: `Item([x], 0)`, want: "Item: there is no item 0; the attribute has 1, counted from 1", given: []Given{given("x", "a")}},
		{src: `"a\d\\\"b"`, want: `a\d\"b`},
	} {
		if got := run(t, c.src, c.given...); got != c.want {
			t.Errorf("%s = %q, want %q", c.src, got, c.want)
		}
	}
}

func TestPrint(t *testing.T) {
	for src, want := range map[string]string{
		"replace( [a],,\"x\",\n, \"\" ,,)":        `Replace([a], , "x", , "", , )`,
		`[emails[type eq "a]b"].value]`:           `[emails[type eq "a]b"].value]`,
		`[ urn:x:1.0:User:a_b-c ]`:                `[urn:x:1.0:User:a_b-c]`,
		`bitand(&hf, -010)`:                       `BitAnd(&HF, -10)`,
		`iif([a]=[b],TRUE,ignoreattributeflow())`: `IIF([a] = [b], True, IgnoreAttributeFlow)`,
		`InStr([a], "\d\"", 1, vbtextcompare)`:    `InStr([a], "\\d\"", 1, vbTextCompare)`,
	} {
		p, err := Compile(src, Env{})
		if err != nil {
			t.Errorf("Compile(%s): %v", src, err)
		} else if p.String() != want {
			t.Errorf("%s prints as %s, want %s", src, p, want)
		}
	}
}

func TestErrors(t *testing.T) {
	known := []string{"userName", "displayName"}
	env := Env{Known: known, Attribute: func(name string) (int, error) {
		if i := slices.Index(known, name); i >= 0 {
			return i, nil
		}
		return 0, errors.New("there is no source attribute [" + name + "]")
	}}
	for _, c := range []struct {
		src, msg string
		pos      int
	}{
		{``, "the expression is empty", 0},
		{`Jion("", [userName])`, "did you mean Join?", 0},
		{`ToLower([usrName])`, "did you mean [userName]?", 8},
		{`Mid([userName], 1)`, "the argument length (number 3) is missing; expected Mid(source, start, length)", 0},
		{`Mid([userName], "x", 1)`, "start must be a whole number", 16},
		{`Join(""`, "has no closing )", 4},
		{`Join("é", 'x')`, "double quotes", 10},
		{`[userName`, "no closing ]", 0},
		{`"abc\"`, "no closing quote", 0},
		{`[userName] = "a"`, "condition of IIF or CBool", 0},
		{`"a" & "b"`, "Join", 4},
		{`displayName`, "write [displayName] for an attribute", 0},
		{`ToLower "a"`, "expected ( after the function name", 8},
		{`Switch([userName], , "a")`, "the argument value (number 4) is missing", 0},
		{`Switch([userName], , "a", "b", "c")`, "the last key has no value", 0},
		{`Replace([userName], , , , "a", , )`, "nothing to look for", 0},
		{`Replace([userName], , "(", , "a", , )`, "no closing )", 23},
		{`Replace([userName], , "(?<a>b)", "c", "a", , )`, `no group named "c"`, 33},
		{`RandomString(2, 3, 0, 0, 0)`, "less than the sum", 13},
		{`DateAdd("x", 1, Now())`, "must be one of yyyy", 8},
		{`ToLower("a", "!")`, "not the name of a culture", 13},
		{`ToLower(SelectUniqueValue("a", "b"))`, "outermost", 8},
		{`SelectUniqueValue("a")`, "rule2 (number 2) is missing", 0},
		{`SingleAppRoleAssignment([x])`, "outbound", 0},
		{`FormatDateTime([userName], , "yyyy", "yy'a")`, "not closed", 37},
		{`99999999999999999999`, "not a whole number", 0},
		{strings.Repeat("Not(", 101) + "1" + strings.Repeat(")", 101), "nested more than 100", 403},
		{strings.Repeat("x", 10001), "at most 10000", 0},
	} {
		_, err := Compile(c.src, env)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Compile(%.60s) = %v, want an *Error", c.src, err)
		} else if !strings.Contains(e.Msg, c.msg) || e.Pos != c.pos {
			t.Errorf("Compile(%.60s): %d %s, want %d %s", c.src, e.Pos, e.Msg, c.pos, c.msg)
		}
	}
}

func TestVolatile(t *testing.T) {
	const src = `Redact(Join(" ", RandomString(12, 2, 2, 2, 2), RandomString(12, 2, 2, 2, 2), Guid()))`
	got := run(t, src)
	if got != run(t, src) {
		t.Error("the same seed gave another value")
	}
	parts := strings.Split(got, " ")
	if len(parts) != 3 || parts[0] == parts[1] || len(parts[0]) != 12 || len(parts[2]) != 36 || parts[2][14] != '4' {
		t.Errorf("got %q", got)
	}
	salted, _ := Compile(src, Env{Salt: "mail"})
	if v, _ := salted.Eval(testContext(salted, nil)); v.String() == got {
		t.Error("another salt gave the same value")
	}
	for src, want := range map[string][2]bool{src: {true, true}, `Now()`: {true, false}, `ToLower("a")`: {false, false}} {
		p, _ := Compile(src, Env{})
		if got := [2]bool{p.Volatile(), p.Redacted()}; got != want {
			t.Errorf("%s: volatile, redacted = %v, want %v", src, got, want)
		}
	}
}

// TestPrintParse: a tree that is printed and parsed is the same tree, but for its positions.
func TestPrintParse(t *testing.T) {
	var tree func(depth int) *rapid.Generator[*Node]
	tree = func(depth int) *rapid.Generator[*Node] {
		return rapid.Custom(func(t *rapid.T) *Node {
			switch k := rapid.IntRange(0, 6).Draw(t, "kind"); {
			case k == 0 || depth == 0:
				s := rapid.String().Draw(t, "text")
				return &Node{Kind: TextNode, Name: s, Value: Text(s)}
			case k == 1:
				return &Node{Kind: AttributeNode, Name: rapid.SampledFrom([]string{"a", "urn:a:b", `e[type eq "]"].v`}).Draw(t, "name")}
			case k == 2:
				return numberNode(rapid.Int64().Draw(t, "number"), false)
			case k == 3:
				return numberNode(rapid.Int64Min(0).Draw(t, "number"), true)
			case k == 4:
				return &Node{Kind: BooleanNode, Name: "True", Value: Bool(true)}
			case k == 5:
				op := rapid.SampledFrom([]string{"=", "<>", "<", ">", "<=", ">="}).Draw(t, "op")
				return &Node{Kind: CallNode, Name: "IIF", Args: []*Node{{Kind: ComparisonNode, Name: op, Args: []*Node{tree(depth-1).Draw(t, "left"), tree(depth-1).Draw(t, "right")}}, nil, nil}}
			}
			n := &Node{Kind: CallNode, Name: "Join"}
			for range rapid.IntRange(0, 3).Draw(t, "args") {
				n.Args = append(n.Args, tree(depth-1).Draw(t, "arg"))
			}
			if len(n.Args) > 1 {
				n.Args[rapid.IntRange(0, len(n.Args)-1).Draw(t, "empty")] = nil
			}
			return n
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		want := tree(3).Draw(t, "tree")
		got, err := Parse(want.String())
		if err != nil {
			t.Fatalf("Parse(%s): %v", want, err)
		}
		got.walk(func(n *Node) { n.Pos, n.End = 0, 0 })
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s became %s", want, got)
		}
	})
}

// TestRandomTrees evaluates calls that are put together at random: whatever the values are, there is a value or one of
// the errors that are promised, the same again for the same context, and nothing beyond the bounds.
func TestRandomTrees(t *testing.T) {
	var usable []*Function
	for i := range table {
		if table[i].Refused == "" && table[i].Name != selectUniqueValue {
			usable = append(usable, &table[i])
		}
	}
	texts := []string{"", "a", "Zoë", "12", "-1", "&HF", "true", "d", "yyyy", "yyyy-MM-dd", "2024-02-29", "3/1/2024 3:04:05 PM", "(?<n>a+)", "n", "$1${n}", "99999999999", "en-US", "AssumeUniversal", ",", "a,b", "\x00\xff😀"}
	var argument func(t *rapid.T, p Param, depth int) *Node
	call := func(t *rapid.T, depth int) *Node {
		f := rapid.SampledFrom(usable).Draw(t, "function")
		n := &Node{Kind: CallNode, Name: f.Name}
		for i := range f.Params {
			n.Args = append(n.Args, argument(t, f.Params[i], depth-1))
		}
		for range rapid.IntRange(0, 2).Draw(t, "rounds") * f.Repeat {
			n.Args = append(n.Args, argument(t, f.Param(len(n.Args)), depth-1))
		}
		return n
	}
	argument = func(t *rapid.T, p Param, depth int) *Node {
		kind := rapid.IntRange(0, 9).Draw(t, "kind")
		switch {
		case !p.Required && kind < 4:
			return nil
		case p.Type == CompareType:
			return &Node{Kind: KeywordNode, Name: wordTextCompare}
		case kind < 4 && depth > 0:
			return call(t, depth)
		case kind < 6:
			return &Node{Kind: AttributeNode, Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "attribute")}
		case p.Type == Condition && kind < 8:
			return &Node{Kind: ComparisonNode, Name: "<=", Args: []*Node{argument(t, Param{Required: true}, depth-1), argument(t, Param{Required: true}, 0)}}
		case p.Type == Number:
			return numberNode(rapid.Int64Range(-3, 12).Draw(t, "number"), false)
		}
		s := rapid.SampledFrom(texts).Draw(t, "text")
		return &Node{Kind: TextNode, Name: s, Value: Text(s)}
	}
	value := func(t *rapid.T) Value {
		s := Text(rapid.SampledFrom(texts).Draw(t, "value"))
		return rapid.SampledFrom([]Value{{}, s, Bool(true), Int(-7), Time(now), Multi(), Multi(s), Multi(s, Text("b"), s)}).Draw(t, "attribute value")
	}
	ran := 0
	rapid.Check(t, func(t *rapid.T) {
		src := call(t, 4).String()
		p, err := Compile(src, Env{})
		if err != nil {
			if !errors.As(err, new(*Error)) {
				t.Fatalf("Compile(%s) = %v", src, err)
			}
			return
		}
		ran++
		p.Lint()
		ctx := &Context{Now: now, Seed: 3, DefaultDomain: "contoso.example"}
		for range p.Attributes() {
			ctx.Attributes = append(ctx.Attributes, value(t))
		}
		v, err := p.Eval(ctx)
		checkResult(t, src, v, err)
		again, errAgain := p.Eval(ctx)
		if !reflect.DeepEqual(v, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("%s = %v, %v and then %v, %v", src, v, err, again, errAgain)
		}
		traced, steps, errTraced := p.Trace(ctx)
		if (err == nil) != (errTraced == nil) || !p.Redacted() && !reflect.DeepEqual(v, traced) {
			t.Fatalf("%s = %v, %v and traced %v, %v", src, v, err, traced, errTraced)
		}
		if len(steps) == 0 || steps[len(steps)-1].Pos != 0 {
			t.Fatalf("%s: the last step is not the whole: %v", src, steps)
		}
	})
	if ran == 0 {
		t.Error("no tree could be compiled")
	}
}

func checkResult(t interface{ Fatalf(string, ...any) }, src string, v Value, err error) {
	if e := (*EvalError)(nil); err != nil && err != ErrIgnoreAttribute && err != ErrIgnoreObject && !errors.As(err, &e) {
		t.Fatalf("Eval(%s) = %v", src, err)
	}
	if len(v.String()) > 2*MaxText || len(v.Elems()) > MaxValues {
		t.Fatalf("Eval(%s) gives %d bytes", src, len(v.String()))
	}
}

// TestBounds: expressions that would grow without end, or work without end, fail instead.
func TestBounds(t *testing.T) {
	grow := `[x]`
	for range 40 {
		grow = `Replace(` + grow + `, "a", , , "aa", , )`
	}
	million := given("x", strings.Repeat("a", MaxText))
	for _, c := range []struct {
		src  string
		want error
		x    Given
	}{
		{grow, errTooLong, given("x", "a")},
		{`Join([x], "a", "b", "c")`, errTooLong, million},
		{`Append([x], "b")`, errTooLong, million},
		{`ConvertToUTF8Hex([x])`, errTooLong, million},
		{`Replace([x], , "a", , "$_", , )`, errTooLong, given("x", strings.Repeat("a", 5000))},
		{`Replace([x], , "(?:a?){20}b", , "$_", , )`, regex.ErrSteps, million},
		{`Split([x], "b")`, errTooMany, given("x", strings.Repeat("ab", MaxValues+1))},
		{`Join("", ` + strings.Repeat(`Left(ToUpper([x]), 1), `, 16) + `"")`, errWork, million},
	} {
		if got := run(t, c.src, c.x); !strings.HasSuffix(got, ": "+c.want.Error()) {
			t.Errorf("%.80s = %.200s, want %v", c.src, got, c.want)
		}
	}
}

// TestLargeValues: what a record brings costs time in proportion, also where one value is held against another. Any of
// these would not end within the time of a test if it did not.
func TestLargeValues(t *testing.T) {
	long := strings.Repeat("aé", MaxText/6)
	wide := strings.Repeat("${", MaxText/5)
	for _, src := range []string{`Word([a], 2000000, [a])`, `Len(PCase([a], [a]))`, `Len(Replace([a], , "é$", , [b], , ))`, `InStr([a], [b], 1, vbTextCompare)`,
		`Count(Split([a], [b]))`, `Switch([a], "no", [b], "yes")`, `IIF([a] = [b], "yes", "no")`, `Not([a])`, `IIF(IsString([a]), "yes", "no")`,
		`Len(NormalizeDiacritics([a]))`, `Replace("a", , "a", , [b], , )`} {
		got := run(t, src, given("a", long), given("b", wide))
		if strings.Contains(got, ": ") {
			t.Errorf("%s: %.200s", src, got)
		}
	}
	set := `[` + strings.Repeat(`\p{L}\P{Lu}`, 300) + `]*z`
	if got := run(t, `Replace([a], , `+quote(set)+`, , "", , )`, given("a", long)); got != "Replace: "+regex.ErrSteps.Error() {
		t.Errorf("a set of many classes: %.200s", got)
	}
	var a, b []Value
	for i := range int64(MaxValues) {
		a, b = append(a, Int(i)), append(b, Int(MaxValues-1-i))
	}
	if !Multi(a...).Equal(Multi(b...), false) {
		t.Error("a list is not equal to itself in another order")
	}
	b[0] = Text("x")
	if Multi(a...).Equal(Multi(b...), true) {
		t.Error("a list is equal to another")
	}
}

// TestEqual holds lists as sets that may have a value twice.
func TestEqual(t *testing.T) {
	list := func(texts ...string) Value {
		var elems []Value
		for _, t := range texts {
			elems = append(elems, Text(t))
		}
		return Multi(elems...)
	}
	for _, c := range []struct {
		a, b         Value
		equal, exact bool
	}{
		{list("a", "b"), list("b", "A"), true, false},
		{list("a", "a", "b"), list("a", "b", "b"), false, false},
		{list("a"), Text("A"), true, false},
		{list(), Value{}, true, true},
		{list(""), Multi(Value{}), false, false},
		{list("ſ", "x"), list("X", "S"), true, false},
		{Int(1), Text("1"), true, true},
		{Value{}, Text(""), false, false},
	} {
		if got := c.a.Equal(c.b, false); got != c.equal {
			t.Errorf("%s and %s: %v", written(c.a), written(c.b), got)
		}
		if got := c.b.Equal(c.a, true); got != c.exact {
			t.Errorf("%s and %s exactly: %v", written(c.a), written(c.b), got)
		}
	}
}

// TestRedacted: what stands below Redact reaches neither an error nor a step.
func TestRedacted(t *testing.T) {
	for src, attributes := range map[string]string{
		`Redact([a])`: "a",
		`Join("", Len(Redact(Append([a], [b]))), [c])`: "a b",
		`IIF(IsNull(Redact([a])), [b], [c])`:           "a",
		`Redact(Redact([a]))`:                          "a",
		`Redact("x")`:                                  "",
	} {
		p, err := Compile(src, Env{})
		if err != nil || !p.Redacted() || strings.Join(p.RedactedAttributes(), " ") != attributes {
			t.Errorf("%s: redacted %v, attributes %v, %v", src, p.Redacted(), p.RedactedAttributes(), err)
		}
	}
	const secret = "hunter2"
	for _, src := range []string{`CDate(Redact([a]))`, `CDate(Append(Redact([a]), "x"))`, `Redact(CDate([a]))`, `Join(Redact([a]), CInt([a]))`,
		`IIF(Redact([a]) = "x", "1", CDate([a]))`, `IIF(Redact([a]), "1", "2")`, `Switch([a], Redact([a]), "x", "1")`, `Redact(Error([a]))`} {
		p, err := Compile(src, Env{})
		if err != nil {
			t.Fatal(err)
		}
		ctx := testContext(p, []Given{given("a", secret)})
		_, err = p.Eval(ctx)
		v, steps, traced := p.Trace(ctx)
		if shown := fmt.Sprint(err, v, steps, traced); strings.Contains(shown, secret) {
			t.Errorf("%s shows %s", src, shown)
		}
	}
}

// TestCandidates: rules are evaluated one by one, and only when they are asked for.
func TestCandidates(t *testing.T) {
	p, err := Compile(`SelectUniqueValue([a], Error("second"), Join("", [a], "3"), IgnoreAttributeFlow, [none])`, Env{})
	if err != nil || !p.Unique() || !p.Volatile() {
		t.Fatal(p, err)
	}
	ctx := testContext(p, []Given{given("a", "x")})
	var got []string
	for i := 0; ; i++ {
		v, ok, err := p.Candidate(ctx, i)
		if !ok {
			break
		}
		got = append(got, fmt.Sprintf("%s %v", written(v), err))
	}
	want := []string{`"x" <nil>`, "null Error: second", `"x3" <nil>`, "null " + ErrIgnoreAttribute.Error(), "null <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("candidates are %q, want %q", got, want)
	}
	if v, err := p.Eval(ctx); v.String() != "x" || err != nil {
		t.Errorf("Eval = %v, %v", v, err)
	}
	if _, ok, _ := p.Candidate(ctx, -1); ok {
		t.Error("there is a candidate before the first")
	}
	single, _ := Compile(`ToUpper([a])`, Env{})
	v, ok, err := single.Candidate(testContext(single, []Given{given("a", "x")}), 0)
	if _, more, _ := single.Candidate(ctx, 1); single.Unique() || v.String() != "X" || !ok || err != nil || more {
		t.Error("a program that is not unique is not its only candidate")
	}
}

// TestDeepFinding: Lint warns before the parser refuses.
func TestDeepFinding(t *testing.T) {
	p, err := Compile(strings.Repeat("Not(", deep)+`[a]`+strings.Repeat(")", deep), Env{})
	if err != nil {
		t.Fatal(err)
	}
	if found := p.Lint(); len(found) != 1 || found[0].Code != CodeDepth || found[0].Pos != 4*(deep-1) {
		t.Errorf("found %v", found)
	}
}

// TestPatternFindings: what scoping filters are told.
func TestPatternFindings(t *testing.T) {
	for pattern, want := range map[string]int{"^a$": 0, "(?i)^a$": 0, ".*@contoso.example$": 0, "a": 1, "^a": 1, `a\$`: 1, `a\z`: 1, `\Aa\z`: 0, "": 2, "^": 2, "(": 0} {
		if got := LintPattern(pattern); len(got) != want {
			t.Errorf("LintPattern(%q) = %v, want %d findings", pattern, got, want)
		}
	}
}

// TestConcurrent: one program, many goroutines, formats and patterns that are not constants.
func TestConcurrent(t *testing.T) {
	p, err := Compile(`Join("", Replace([a], , [p], , "-", , ), FormatDateTime([d], , [f], "yyyy"), Now(), Guid())`, Env{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				ctx := testContext(p, []Given{given("a", "abc"), given("p", strings.Repeat("b", i%50+1)+"|c"), given("d", "2024"), given("f", "yyyy"+strings.Repeat("'", i%2*2))})
				if _, err := p.Eval(ctx); err != nil {
					t.Errorf("%d: %v", g, err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzParse(f *testing.F) {
	for i := range table {
		for _, e := range table[i].Examples {
			f.Add(e.Expr)
		}
	}
	f.Add(`IIF([a[b eq "]"].c]>=&HF,IgnoreAttributeFlow,"\d\"")`)
	f.Fuzz(func(t *testing.T, src string) {
		n, err := Parse(src)
		if err != nil {
			e := (*Error)(nil)
			if !errors.As(err, &e) || e.Msg == "" || e.Offset > len(src) || e.Pos > e.Offset {
				t.Fatalf("Parse(%q) = %#v", src, err)
			}
			if lines := strings.Split(e.Caret(src), "\n"); len(lines) != 2 || columns(lines[0]) > caretWidth+2 {
				t.Fatalf("Caret(%q) = %q", src, lines)
			}
			return
		}
		n.walk(func(n *Node) {
			if n.Pos < 0 || n.End < n.Pos || n.End > len(src) {
				t.Fatalf("%q: %v stands at %d-%d", src, n, n.Pos, n.End)
			}
		})
		printed := n.String()
		if len(printed) > MaxLength {
			return
		}
		again, err := Parse(printed)
		if err != nil || again.String() != printed {
			t.Fatalf("%q prints as %q, which is not parsed to itself: %v", src, printed, err)
		}
	})
}

func FuzzCompile(f *testing.F) {
	for i := range table {
		for _, e := range table[i].Examples {
			f.Add(e.Expr, "Zoë_1")
		}
	}
	f.Add(`IIF([a[b eq "]"].c]>=&HF,IgnoreAttributeFlow,"\d\"")`, "")
	f.Fuzz(func(t *testing.T, src, value string) {
		p, err := Compile(src, Env{})
		if err != nil {
			if !errors.As(err, new(*Error)) {
				t.Fatalf("Compile(%q) = %#v", src, err)
			}
			return
		}
		p.Lint()
		if again, err := Compile(p.String(), Env{}); len(p.String()) <= MaxLength && (err != nil || again.String() != p.String()) {
			t.Fatalf("%q prints as %q, which does not compile to itself: %v", src, p, err)
		}
		ctx := &Context{Now: now}
		for range p.Attributes() {
			ctx.Attributes = append(ctx.Attributes, Text(value))
		}
		v, err := p.Eval(ctx)
		checkResult(t, src, v, err)
	})
}
