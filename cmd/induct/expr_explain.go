package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"induct/internal/expr"
	"induct/internal/mapping"
)

// whole evaluates a schema for one person.
func (e *evalJob) whole(cmd *cobra.Command) error {
	if !e.schema.given() {
		return errors.New("give an expression, or a schema with --schema FILE or --template API2AAD")
	}
	if e.person.file == "-" && e.schema.file == "-" {
		return errors.New("--record and --schema cannot both be the standard input")
	}
	schema, err := e.schema.read(cmd)
	if err != nil {
		return e.schema.unusable(cmd, err)
	}
	record, err := e.person.read(cmd)
	if err != nil {
		return unusable(err)
	}
	program, err := mapping.Compile(schema, e.settings.Settings)
	if err != nil {
		return e.schema.unusable(cmd, err)
	}
	x := explanation{program.Explain(mapping.Record{Sent: record, Now: e.settings.now, Seed: e.seed})}
	if err := x.restrict(e.only); err != nil {
		return unusable(err)
	}
	if e.asJSON {
		err = printJSON(cmd.OutOrStdout(), x.json(e.trace))
	} else {
		x.print(cmd.OutOrStdout(), e.trace)
	}
	if err == nil && x.Outcome.Problem != nil {
		return failed()
	}
	return err
}

// explanation is a mapping.Explanation that can be shown.
type explanation struct{ mapping.Explanation }

// restrict keeps only the attribute mappings of these targets; all if there are none.
func (x *explanation) restrict(only []string) error {
	if len(only) == 0 {
		return nil
	}
	var kept []mapping.AttributeExplanation
	for _, name := range only {
		i := slices.IndexFunc(x.Attributes, func(a mapping.AttributeExplanation) bool { return strings.EqualFold(a.Target, name) })
		if i < 0 {
			return fmt.Errorf("--only %s: the schema maps no such target attribute", name)
		}
		kept = append(kept, x.Attributes[i])
	}
	x.Attributes = kept
	return nil
}

// verdict says in a few words what becomes of the person.
func (x *explanation) verdict() string {
	switch o := &x.Outcome; {
	case o.Problem != nil:
		return "fails: " + o.Problem.Code
	case o.OutOfScope != "" && o.OutOfInput:
		return "out of scope by an input filter: passed over, never deprovisioned"
	case o.OutOfScope != "":
		return "out of scope"
	}
	return "in scope"
}

func (x *explanation) print(w io.Writer, trace bool) {
	name := clean(x.Outcome.DisplayName)
	if name == "" {
		name = "the person"
	}
	fmt.Fprintf(w, "%s: %s\n", name, x.verdict())
	if p := x.Outcome.Problem; p != nil {
		fmt.Fprintf(w, "  %s\n", clean(p.Reason))
		if p.Advice != "" {
			fmt.Fprintf(w, "  %s\n", clean(p.Advice))
		}
	}
	x.printScope(w)
	if len(x.Outcome.Matching) > 0 {
		fmt.Fprintln(w, "\nFound in the target by")
		for _, m := range x.Outcome.Matching {
			fmt.Fprintf(w, "  %s = %s\n", m.Attribute, literal(m.Value))
		}
	}
	x.printAttributes(w, trace)
	for i, text := range x.Outcome.Warnings {
		if i == 0 {
			fmt.Fprintln(w, "\nWarnings")
		}
		fmt.Fprintf(w, "  %s\n", clean(text))
	}
	for i, path := range x.Outcome.Unread {
		if i == 0 {
			fmt.Fprintln(w, "\nSent, and read by no mapping")
		}
		fmt.Fprintf(w, "  %s\n", clean(path))
	}
}

func (x *explanation) printScope(w io.Writer) {
	if !x.Scope.Decided || len(x.Scope.Groups) == 0 {
		return
	}
	fmt.Fprintln(w, "\nScope: one of the groups must hold, and in it each clause")
	for i, g := range x.Scope.Groups {
		kind := "group"
		if g.Input {
			kind = "input group"
		}
		name := clean(g.Name)
		if name == "" {
			name = fmt.Sprint(i + 1)
		}
		fmt.Fprintf(w, "  %s %s: %s\n", kind, name, holds(g.Holds))
		for _, c := range g.Clauses {
			fmt.Fprintf(w, "    %s %s", mark(c.Holds), clean(c.Text))
			if c.Why != "" {
				fmt.Fprintf(w, ": %s", clean(c.Why))
			}
			fmt.Fprintln(w)
		}
	}
}

func holds(yes bool) string {
	if yes {
		return "holds"
	}
	return "does not hold"
}

func mark(yes bool) string {
	if yes {
		return "+"
	}
	return "-"
}

func (x *explanation) printAttributes(w io.Writer, trace bool) {
	var flowing, idle []mapping.AttributeExplanation
	for _, a := range x.Attributes {
		if a.Flows {
			flowing = append(flowing, a)
		} else {
			idle = append(idle, a)
		}
	}
	x.printList(w, "\nFlows\n", flowing, trace)
	x.printList(w, "\nDoes not flow\n", idle, trace)
}

func (x *explanation) printList(w io.Writer, title string, list []mapping.AttributeExplanation, trace bool) {
	if len(list) == 0 {
		return
	}
	fmt.Fprint(w, title)
	if trace {
		for i := range list {
			x.printTraced(w, &list[i])
		}
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range list {
		a := &list[i]
		if a.Flows {
			fmt.Fprintf(t, "  %s\t%s\t%s\n", clean(a.Target), shownValue(a), note(a))
		} else {
			fmt.Fprintf(t, "  %s\t%s\n", clean(a.Target), note(a))
		}
	}
	t.Flush()
}

// printTraced writes an attribute mapping with all there is to say about it.
func (x *explanation) printTraced(w io.Writer, a *mapping.AttributeExplanation) {
	fmt.Fprintf(w, "  %s", clean(a.Target))
	if a.Flows {
		fmt.Fprintf(w, " = %s", shownValue(a))
	}
	fmt.Fprintf(w, "\n      %s\n", note(a))
	for _, name := range a.Reads {
		i := slices.IndexFunc(x.Inputs, func(in mapping.InputExplanation) bool { return strings.EqualFold(in.Name, name) })
		if i >= 0 {
			fmt.Fprintf(w, "      [%s] = %s\n", clean(name), shownInput(&x.Inputs[i]))
		}
	}
	printSteps(w, "      ", a.Steps)
	for _, c := range a.Candidates {
		fmt.Fprintf(w, "      candidate %s\n", literal(expr.Text(c)))
	}
}

func shownInput(in *mapping.InputExplanation) string {
	switch {
	case in.Problem != "":
		return clean(in.Problem)
	case !in.Sent:
		return "null  (not sent)"
	case in.Null:
		return "null"
	}
	return literal(expr.Text(in.Value))
}

// shownValue is what flows, or would flow.
func shownValue(a *mapping.AttributeExplanation) string {
	if a.Null {
		return "null"
	}
	return literal(expr.Text(a.Value))
}

// note says where a value comes from, and when it is written or why it is not.
func note(a *mapping.AttributeExplanation) string {
	var parts []string
	if a.Expression != "" {
		parts = append(parts, clean(a.Expression))
	}
	if a.Matching > 0 {
		parts = append(parts, fmt.Sprintf("matching attribute %d", a.Matching))
	}
	if a.Problem != nil {
		parts = append(parts, clean(a.Problem.Reason))
	} else if a.How != "" {
		parts = append(parts, clean(a.How))
	}
	return strings.Join(parts, " - ")
}
