package expr_test

import (
	"errors"
	"fmt"

	"induct/internal/expr"
)

func ExampleCompile() {
	p, err := expr.Compile(`Join(", ", [surname], [givenName])`, expr.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := p.Eval(&expr.Context{Attributes: []expr.Value{expr.Text("Doe"), expr.Text("John")}})
	fmt.Println(v, err)
	// Output: Doe, John <nil>
}

func ExampleError_Caret() {
	const src = `ToLower(Jion("", [mail]))`
	_, err := expr.Compile(src, expr.Env{})
	if e := (*expr.Error)(nil); errors.As(err, &e) {
		fmt.Println(e.Msg)
		fmt.Println(e.Caret(src))
	}
	// Output:
	// there is no function Jion; did you mean Join?
	// ToLower(Jion("", [mail]))
	//         ^~~~
}

func ExampleProgram_Candidate() {
	p, _ := expr.Compile(`SelectUniqueValue(Join(".", [first], [last]), Join(".", Left([first], 1), [last]))`, expr.Env{})
	taken := map[string]bool{"John.Smith": true}
	ctx := &expr.Context{Attributes: []expr.Value{expr.Text("John"), expr.Text("Smith")}}
	for i := 0; ; i++ {
		v, ok, err := p.Candidate(ctx, i)
		if !ok || err != nil {
			fmt.Println("none is free", err)
			return
		}
		if !v.IsEmpty() && !taken[v.String()] {
			fmt.Println(v)
			return
		}
	}
	// Output: J.Smith
}

func ExampleProgram_Trace() {
	const src = `ToUpper(Left([name], 1))`
	p, _ := expr.Compile(src, expr.Env{})
	_, steps, _ := p.Trace(&expr.Context{Attributes: []expr.Value{expr.Text("ana")}})
	for _, s := range steps {
		fmt.Println(src[s.Pos:s.End], "=", s.Result)
	}
	// Output:
	// Left([name], 1) = a
	// ToUpper(Left([name], 1)) = A
}

func ExampleParse() {
	n, _ := expr.Parse(`Replace([mail],"-",,,"_",,)`)
	f, _ := expr.Lookup(n.Name)
	for i, a := range n.Args {
		if a != nil {
			fmt.Println(f.Param(i).Wire, a.Kind, a)
		}
	}
	// Output:
	// source attribute [mail]
	// Find text "-"
	// Replacement text "_"
}
