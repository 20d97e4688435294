package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
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
		return e.schema.unusable(cmd, err, e.asJSON)
	}
	record, err := e.person.read(cmd)
	if err != nil {
		return unusable(err)
	}
	program, err := mapping.Compile(schema, e.settings.Settings)
	if err != nil {
		return e.schema.unusable(cmd, err, e.asJSON)
	}
	x := explanation{Explanation: program.Explain(mapping.Record{Sent: record, Now: e.settings.now, Seed: e.seed})}
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
type explanation struct {
	mapping.Explanation
	only bool // some attributes only
}

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
	x.Attributes, x.only = kept, true
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
		fmt.Fprint(w, indent(wrap(clean(p.Reason)+"\n"+clean(p.Advice), 110), "  "))
	}
	if x.only {
		x.printAttributes(w, trace)
		return
	}
	x.printScope(w)
	for i, m := range x.Outcome.Matching {
		if i == 0 {
			fmt.Fprintln(w, "\nFound in the target by")
		}
		fmt.Fprintf(w, "  %s = %s\n", clean(m.Attribute), literal(m.Value))
	}
	x.printAttributes(w, trace)
	printLines(w, "Warnings", x.Outcome.Warnings)
	printLines(w, "Sent, and read by no mapping", x.Outcome.Unread)
}

func printLines(w io.Writer, title string, lines []string) {
	for i, line := range lines {
		if i == 0 {
			fmt.Fprintf(w, "\n%s\n", title)
		}
		fmt.Fprintf(w, "  %s\n", clean(line))
	}
}

func (x *explanation) printScope(w io.Writer) {
	if !x.Scope.Decided || len(x.Scope.Groups) == 0 {
		return
	}
	fmt.Fprintln(w, "\nScope: somebody is in it if all clauses of a group hold")
	for _, g := range x.Scope.Groups {
		name := clean(g.Name)
		if g.Input {
			name += " (input filter)"
		}
		fmt.Fprintf(w, "  %-5s%s\n", holds(g.Holds), name)
		for _, c := range g.Clauses {
			value := "null"
			if c.Value != "" {
				value = literal(expr.Text(c.Value))
			}
			fmt.Fprintf(w, "       %-5s%s; it is %s", holds(c.Holds), clean(strings.TrimPrefix(c.Text, g.Name+".")), value)
			if c.Why != "" {
				fmt.Fprintf(w, ". %s", clean(c.Why))
			}
			fmt.Fprintln(w)
		}
	}
}

func holds(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// printAttributes lists the mappings: what flows, what does not, and what keeps the record from flowing. Without a trace
// nothing is said of the mappings of a record that does not flow, but of those that are the reason.
func (x *explanation) printAttributes(w io.Writer, trace bool) {
	var flowing, idle, wrong []*mapping.AttributeExplanation
	for i := range x.Attributes {
		switch a := &x.Attributes[i]; {
		case a.Problem != nil:
			wrong = append(wrong, a)
		case a.Flows:
			flowing = append(flowing, a)
		default:
			idle = append(idle, a)
		}
	}
	printTraced(w, "Where it fails", x, wrong)
	switch nothing := x.Outcome.Problem != nil || x.Outcome.OutOfScope != ""; {
	case trace:
		printTraced(w, "Flows", x, flowing)
		printTraced(w, "Does not flow", x, idle)
	case nothing:
		fmt.Fprintln(w, "\nNothing is written; --trace shows what the mappings would give.")
	default:
		x.printFlows(w, flowing)
		printIdle(w, idle)
	}
}

// urn is the schema of an attribute.
var urn = regexp.MustCompile(`\[urn:[^]"]*:([^]":]+)`)

// brief is an expression for a table: without the schemas of attributes, and shortened.
func brief(expression string) string {
	return shorten(urn.ReplaceAllString(clean(expression), "[urn:…:$1"), maxSource)
}

// maxSource is how many characters of an expression a table shows.
const maxSource = 60

func (x *explanation) printFlows(w io.Writer, list []*mapping.AttributeExplanation) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, "\nFlows")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, a := range list {
		source := brief(a.Expression)
		if when := x.when(a.Target); when != "" {
			source += " - " + when
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", clean(a.Target), shownValue(a), source)
	}
	t.Flush()
}

func printIdle(w io.Writer, list []*mapping.AttributeExplanation) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, "\nDoes not flow")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, a := range list {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", clean(a.Target), brief(a.Expression), clean(a.How))
	}
	t.Flush()
}

// when says in a few words when a value is written; "" if it always is.
func (x *explanation) when(target string) string {
	for _, f := range x.Outcome.Flows {
		switch {
		case f.Attribute != target:
		case f.Clear && f.Value.IsNull():
			return "removed"
		case f.Clear:
			return "default when created, else removed"
		case f.Default:
			return "default, when created"
		case f.Unique:
			return "when created, if nobody has it"
		case f.CreateOnly:
			return "when created"
		case f.WhenEmpty:
			return "while empty"
		case f.AddValues:
			return "added"
		}
	}
	for _, r := range x.Outcome.References {
		switch {
		case r.Attribute != target:
		case r.Clear:
			return "removed"
		case r.CreateOnly:
			return "refers to this person, when created"
		case r.WhenEmpty:
			return "refers to this person, while empty"
		default:
			return "refers to this person"
		}
	}
	return ""
}

// printTraced writes attribute mappings with all there is to say about them.
func printTraced(w io.Writer, title string, x *explanation, list []*mapping.AttributeExplanation) {
	for i, a := range list {
		if i == 0 {
			fmt.Fprintf(w, "\n%s\n", title)
		}
		fmt.Fprintf(w, "  %s", clean(a.Target))
		if a.Flows {
			fmt.Fprintf(w, " = %s", shownValue(a))
		}
		fmt.Fprintln(w)
		why := a.How
		if a.Problem != nil && x.Outcome.Problem != nil && a.Problem.Reason == x.Outcome.Problem.Reason {
			why = "" // it has been said
		}
		for _, line := range []string{a.Expression, why} {
			if line != "" {
				fmt.Fprintf(w, "      %s\n", clean(line))
			}
		}
		x.printSteps(w, a)
	}
}

func (x *explanation) printSteps(w io.Writer, a *mapping.AttributeExplanation) {
	for _, name := range a.Reads {
		for i := range x.Inputs {
			if strings.EqualFold(x.Inputs[i].Name, name) {
				fmt.Fprintf(w, "        [%s] = %s\n", clean(name), shownInput(&x.Inputs[i]))
			}
		}
	}
	printSteps(w, "        ", a.Expression, a.Steps)
	for i, c := range a.Candidates {
		fmt.Fprintf(w, "        candidate %d: %s\n", i+1, literal(expr.Text(c)))
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

// shorten cuts a text that is longer than most characters.
func shorten(text string, most int) string {
	if t := []rune(text); len(t) > most {
		return string(t[:most-1]) + "…"
	}
	return text
}
