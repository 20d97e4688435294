package expr

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the tests find into testdata and docs, to be looked at")

// TestGolden runs testdata/*.txt. A case is an expression, on one line or several; attributes on lines that begin with
// two blanks, as in `  [mail] "a" "b" [active] true`, where null is no value; and lines with "=> ", what comes of it.
// The name of a file up to its hyphen says what is done with the expression. Lines with # are comments.
func TestGolden(t *testing.T) {
	for kind, run := range map[string]func(src string, given map[string]Value) string{
		"eval": evalCase, "parse": parseCase, "lint": lintCase, "trace": traceCase,
	} {
		files, _ := filepath.Glob("testdata/" + kind + "-*.txt")
		if len(files) == 0 {
			t.Errorf("there is no testdata/%s-*.txt", kind)
		}
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) { golden(t, file, run) })
		}
	}
}

func golden(t *testing.T, file string, run func(string, map[string]Value) string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out, src []string
	given := map[string]Value{}
	cases, done := 0, false
	finish := func() {
		if len(src) == 0 {
			return
		}
		cases++
		for line := range strings.SplitSeq(run(strings.Join(src, "\n"), given), "\n") {
			out = append(out, strings.TrimRight("=> "+line, " "))
		}
		src, given = nil, map[string]Value{}
	}
	for line := range strings.SplitSeq(strings.TrimRight(string(text), "\n"), "\n") {
		if strings.HasPrefix(line, "=>") {
			if !done {
				finish()
				done = true
			}
			continue
		}
		if strings.HasPrefix(line, "#") || line == "" {
			finish()
		} else if strings.HasPrefix(line, "  [") {
			attributes(t, line, given)
		} else {
			src = append(src, line)
		}
		done = false
		out = append(out, line)
	}
	finish()
	got := strings.Join(out, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d cases", cases)
		return
	}
	want, have := strings.Split(string(text), "\n"), strings.Split(got, "\n")
	for i := range have {
		if i >= len(want) || have[i] != want[i] {
			t.Fatalf("%s:%d: got\n%s\nwant\n%s", file, i+1, have[i], strings.Join(want[min(i, len(want)):min(i+1, len(want))], ""))
		}
	}
}

// attributes reads `[name] value value [name] value`.
func attributes(t *testing.T, line string, given map[string]Value) {
	l := lexer{src: line}
	name := ""
	for {
		tok, err := l.next()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		v := Value{}
		switch tok.kind {
		case tokEnd:
			return
		case tokAttribute:
			name = tok.text
			given[name] = Value{}
			continue
		case tokString:
			v = Text(tok.text)
		case tokNumber:
			v = Int(tok.num)
		case tokName:
			if tok.text != "null" {
				v = Bool(tok.text == "true")
			}
		}
		if old := given[name]; !old.IsNull() {
			v = Multi(append(append([]Value(nil), old.Elems()...), v)...)
		}
		given[name] = v
	}
}

func contextOf(p *Program, given map[string]Value) *Context {
	ctx := &Context{Now: now, Seed: 7, DefaultDomain: "contoso.example"}
	for _, name := range p.Attributes() {
		ctx.Attributes = append(ctx.Attributes, given[name])
	}
	return ctx
}

// written shows a value with its kind: "text", True, 12, null, ["a", "b"].
func written(v Value) string {
	switch v.Kind() {
	case Null:
		return "null"
	case String, DateTime:
		return quote(v.String())
	case List:
		parts := make([]string, len(v.Elems()))
		for i, e := range v.Elems() {
			parts[i] = written(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return v.String()
}

func drawn(err error, src string) string {
	if e, ok := err.(*Error); ok {
		return "error at " + fmt.Sprint(e.Pos+1) + ": " + e.Msg + "\n" + e.Caret(src)
	}
	return "fails: " + err.Error()
}

func evalCase(src string, given map[string]Value) string {
	p, err := Compile(src, Env{})
	if err != nil {
		return drawn(err, src)
	}
	v, err := p.Eval(contextOf(p, given))
	if err != nil {
		return "fails: " + err.Error()
	}
	return written(v)
}

// parseCase prints the canonical form and the tree.
func parseCase(src string, _ map[string]Value) string {
	n, err := Parse(src)
	if err != nil {
		return drawn(err, src)
	}
	var b strings.Builder
	b.WriteString(n.String())
	var dump func(n *Node, indent string)
	dump = func(n *Node, indent string) {
		if n == nil {
			b.WriteString("\n" + indent + "-")
			return
		}
		fmt.Fprintf(&b, "\n%s%s %s @%d-%d", indent, n.Kind, n.Name, n.Pos, n.End)
		for _, a := range n.Args {
			dump(a, indent+"  ")
		}
	}
	dump(n, "  ")
	return b.String()
}

func lintCase(src string, given map[string]Value) string {
	var known []string
	for name := range given {
		known = append(known, name)
	}
	p, err := Compile(src, Env{Known: known})
	if err != nil {
		return drawn(err, src)
	}
	var lines []string
	for _, f := range p.Lint() {
		lines = append(lines, f.Code+": "+f.Message+" — "+src[f.Pos:f.End])
	}
	if lines == nil {
		return "nothing"
	}
	return strings.Join(lines, "\n")
}

func traceCase(src string, given map[string]Value) string {
	p, err := Compile(src, Env{})
	if err != nil {
		return drawn(err, src)
	}
	v, steps, err := p.Trace(contextOf(p, given))
	var lines []string
	for _, s := range steps {
		args := make([]string, len(s.Args))
		for i, a := range s.Args {
			if args[i] = a.Name + ": " + written(a.Value); !a.Evaluated {
				args[i] = a.Name + ": -"
			}
		}
		result := written(s.Result)
		if s.Err != nil {
			result = s.Err.Error()
		}
		lines = append(lines, fmt.Sprintf("%s(%s) = %s @%d-%d", s.Func, strings.Join(args, ", "), result, s.Pos, s.End))
	}
	if err != nil {
		return strings.Join(append(lines, "fails: "+err.Error()), "\n")
	}
	return strings.Join(append(lines, written(v)), "\n")
}
