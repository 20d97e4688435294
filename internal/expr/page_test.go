package expr

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	_ "embed"
)

const page = "../../docs/reference/expressions.md"

//go:embed testdata/page.md
var pageText string

// TestReferencePage: docs/reference/expressions.md is testdata/page.md with what the table of functions says. After a
// change of either, run `go test ./internal/expr -run ReferencePage -update`.
func TestReferencePage(t *testing.T) {
	var index, functions, refused strings.Builder
	index.WriteString("| Function | What it does |\n|---|---|\n")
	for _, f := range Functions() {
		if f.Refused != "" {
			fmt.Fprintf(&refused, "| `%s` | %s |\n", f.Name, f.Refused)
			continue
		}
		sentence, _, _ := strings.Cut(f.Doc, "\n")
		if i := strings.Index(sentence, ". "); i > 0 {
			sentence = sentence[:i+1]
		}
		fmt.Fprintf(&index, "| [%s](#%s) | %s |\n", f.Name, strings.ToLower(f.Name), strings.ReplaceAll(sentence, "|", `\|`))
		describe(&functions, &f)
	}
	want := strings.NewReplacer("{{index}}\n", index.String(), "{{functions}}\n", functions.String(), "{{refused}}\n", refused.String(),
		"{{codes}}\n", codes(t)).Replace(pageText)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the table of functions says (%v); run go test ./internal/expr -run ReferencePage -update", page, err)
	}
}

// describe writes the section of a function.
func describe(b *strings.Builder, f *Function) {
	fmt.Fprintf(b, "### %s\n\n`%s` gives %s.", f.Name, f.Signature(), kindOf(f.Returns))
	var notes []string
	if f.Extension {
		notes = append(notes, "an addition: Entra does not document it")
	}
	if f.MultiValued {
		notes = append(notes, "made for attributes with several values")
	}
	if f.Volatile {
		notes = append(notes, "another value each time")
	}
	if notes != nil {
		fmt.Fprintf(b, " *%s.*", strings.Join(notes, "; "))
	}
	fmt.Fprintf(b, "\n\n%s\n", f.Doc)
	if len(f.Params) > 0 {
		b.WriteString("\n| Parameter | Takes | |\n|---|---|---|\n")
	}
	for i, p := range f.Params {
		takes := string(p.Type)
		if p.Type == CompareType {
			takes = "keyword"
		}
		if !p.Required {
			takes += ", may be left empty"
		}
		if f.Repeats(i) {
			takes += ", repeats"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", p.Name, takes, p.Doc)
	}
	if len(f.Examples) > 0 {
		b.WriteString("\n| Example | With | Gives |\n|---|---|---|\n")
	}
	for _, e := range f.Examples {
		var with []string
		for _, g := range e.Given {
			value := "nothing"
			if len(g.Values) > 0 {
				value = "`" + strings.Join(g.Values, "`, `") + "`"
				if value == "``" {
					value = "an empty text"
				}
			}
			with = append(with, g.Name+": "+value)
		}
		fmt.Fprintf(b, "| `%s` | %s | `%s` |\n", strings.ReplaceAll(e.Expr, "|", `\|`), strings.Join(with, "; "), e.Result)
	}
	for _, trap := range f.Traps {
		fmt.Fprintf(b, "\n> %s\n", trap)
	}
	b.WriteString("\n")
}

func kindOf(t ParamType) string {
	switch t {
	case Any:
		return "a value of any kind"
	case Scalar:
		return "a text"
	case Number:
		return "a whole number"
	case Truth:
		return "`True` or `False`"
	case DateText:
		return "a date, as the text `M/d/yyyy h:mm:ss tt` in UTC"
	}
	return "several values"
}

// codes reads what the constants of the codes of findings say.
func codes(t *testing.T) string {
	source, err := os.ReadFile("lint.go")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	doc := ""
	for line := range strings.SplitSeq(string(source), "\n") {
		line = strings.TrimSpace(line)
		name, value, isConst := strings.Cut(line, " = ")
		switch {
		case strings.HasPrefix(line, "// "):
			doc = strings.TrimSpace(doc + " " + line[3:])
		case isConst && strings.HasPrefix(name, "Code"):
			_, doc, _ = strings.Cut(doc, ": ")
			fmt.Fprintf(&b, "| `%s` | %s |\n", strings.Trim(value, `"`), doc)
			doc = ""
		default:
			doc = ""
		}
	}
	if b.Len() == 0 {
		t.Fatal("lint.go has no codes")
	}
	return b.String()
}

// TestTable: the table is complete and in order.
func TestTable(t *testing.T) {
	nulls, err := os.ReadFile("testdata/eval-null.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Functions() {
		if f.Refused != "" {
			continue
		}
		if f.Doc == "" || f.build == nil || f.Returns == "" || f.Repeat > len(f.Params) {
			t.Errorf("%s is not described completely: %+v", f.Name, f)
		}
		if len(f.Params) > 0 && f.Name != "RandomString" && f.Name != selectUniqueValue && !strings.Contains(string(nulls), "\n"+f.Name+"(") {
			t.Errorf("testdata/eval-null.txt does not say what %s makes of null", f.Name)
		}
		if len(f.Examples) == 0 && f.Name != "Guid" && f.Name != "Error" {
			t.Errorf("%s has no example", f.Name)
		}
		for i, p := range f.Params {
			if p.Doc == "" || p.Name == "" || p.Wire == "" {
				t.Errorf("%s: parameter %d is not described: %+v", f.Name, i+1, p)
			}
		}
		for _, e := range f.Examples {
			if got := run(t, e.Expr, e.Given...); got != e.Result {
				t.Errorf("%s = %q, want %q", e.Expr, got, e.Result)
			}
			if p, err := Compile(e.Expr, Env{}); err != nil || p.String() != e.Expr {
				t.Errorf("%s is not written in canonical form: %v", e.Expr, err)
			}
		}
	}
	names := func(a, b Function) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) }
	if !slices.IsSortedFunc(Functions(), names) {
		t.Error("the table is not in alphabetical order")
	}
}
