package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"induct/internal/expr"
	"induct/internal/mapping"
)

const evalHelp = `Evaluates an expression for one person and prints its value: several values one to a line, nothing for null.
Without an expression it evaluates a whole schema, and says what the person would look like in the target, and why.

The person is a SCIM user as JSON (--record), or made of --set, or both: --set wins. Names are those of the mapping:
userName, name.givenName, emails[type eq "work"].value, urn:…:User:department. An expression may read what the person
has, and what the schema knows (--schema, else that of API2AAD); --set NAME:=null is for others that should be null.

Exit codes
    0  there is a value, or null; the person flows, or is out of scope
    1  the command line or a file is wrong
    2  the expression or the schema has a mistake, or the person fails under it`

const evalExamples = `  # what does it give?
  induct expr eval 'Join(", ", [name.familyName], [name.givenName])' --record person.json
  induct expr eval 'ToLower([userName], )' --set userName=Ana.Ruiz@nordwind.example

  # how does it come to that?
  induct expr eval 'Join(".", Left([name.givenName], 1), NormalizeDiacritics([name.familyName]))' --record person.json --trace

  # what would this person look like in the target, and why?
  induct expr eval --schema schema.json --record person.json
  induct expr eval --schema schema.json --record person.json --only userPrincipalName --trace
  induct expr eval --template API2AAD --record person.json --set active:=false --json`

// maxCandidates is how many candidates of SelectUniqueValue are shown.
const maxCandidates = 16

// evalJob is what the flags of eval say.
type evalJob struct {
	schema   schemaSource
	person   personSource
	settings jobSettings
	seed     uint64
	only     []string
	trace    bool
	asJSON   bool
}

func exprEvalCommand() *cobra.Command {
	e := &evalJob{}
	cmd := &cobra.Command{
		Use:     "eval [EXPRESSION] [--record FILE] [--set NAME=VALUE]",
		Short:   "Evaluate an expression, or a whole schema, for one person",
		Long:    evalHelp,
		Example: evalExamples,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if e.settings.now.IsZero() {
				e.settings.now = time.Now().UTC()
			}
			if len(args) == 0 {
				return e.whole(cmd)
			}
			return e.expression(cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	e.person.flags(cmd)
	e.schema.flags(cmd)
	f.StringSliceVar(&e.only, "only", nil, "of a schema: only these target `ATTRIBUTES`, separated by commas")
	f.BoolVar(&e.trace, "trace", false, "show what each function was given and gave")
	f.BoolVar(&e.asJSON, "json", false, "print one JSON document")
	e.settings.flags(cmd)
	f.Uint64Var(&e.seed, "seed", 1, "another `NUMBER` makes RandomString and Guid give something else")
	return cmd
}

// evaluation is an expression that has been evaluated for a person.
type evaluation struct {
	source     string
	inputs     []mapping.SourceValue
	redacted   []string // attributes that are read under Redact
	value      expr.Value
	err        error // an *expr.Error, *expr.EvalError, expr.ErrIgnoreAttribute or expr.ErrIgnoreObject
	steps      []expr.Step
	candidates []candidate
	findings   []finding
}

// candidate is one value of SelectUniqueValue, or why it has none.
type candidate struct {
	value expr.Value
	err   error
}

func (e *evalJob) expression(cmd *cobra.Command, source string) error {
	if len(e.only) > 0 {
		return errors.New("--only goes with a schema, not with an expression")
	}
	object, err := e.schema.sourceObject(cmd)
	if err != nil {
		return e.schema.unusable(cmd, err, e.asJSON)
	}
	record, err := e.person.read(cmd)
	if err != nil {
		return unusable(err)
	}
	ev, err := e.evaluate(source, object, record)
	if err != nil {
		return unusable(err)
	}
	if e.asJSON {
		err = printJSON(cmd.OutOrStdout(), ev.json(e.trace))
	} else {
		ev.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), e.trace)
	}
	if err == nil && ev.fails() {
		return failed()
	}
	return err
}

// evaluate compiles source and evaluates it for a record. What is wrong with the expression, or with the record under
// it, is in the evaluation; the error concerns the record as a whole.
func (e *evalJob) evaluate(source string, object *mapping.Object, record []byte) (*evaluation, error) {
	ev := &evaluation{source: source}
	tree, err := expr.Parse(source)
	if err != nil {
		ev.err = err
		return ev, nil
	}
	names := attributeNames(tree)
	if ev.inputs, err = mapping.ReadSource(object, names, record); err != nil {
		return nil, err
	}
	program, err := expr.Compile(source, expr.Env{Known: knownNames(object), Attribute: func(name string) (int, error) {
		i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
		if v := ev.inputs[i]; !v.Known && !v.Sent {
			return 0, fmt.Errorf("neither the schema nor the person has an attribute %s", name)
		}
		return i, nil
	}})
	if err != nil {
		ev.err = err
		return ev, nil
	}
	ev.redacted = program.RedactedAttributes()
	if ev.err = ev.unreadable(tree); ev.err == nil {
		ev.run(program, e.settings, e.seed)
	}
	ev.findings = lint(program, source)
	return ev, nil
}

// attributeNames lists the attributes that a tree reads, each once.
func attributeNames(tree *expr.Node) (names []string) {
	if tree == nil {
		return nil
	}
	if tree.Kind == expr.AttributeNode {
		return []string{tree.Name}
	}
	for _, a := range tree.Args {
		for _, name := range attributeNames(a) {
			if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
				names = append(names, name)
			}
		}
	}
	return names
}

func knownNames(o *mapping.Object) []string {
	names := make([]string, len(o.Attributes))
	for i, a := range o.Attributes {
		names[i] = a.Name
	}
	return names
}

// unreadable points at the first attribute whose value cannot be used.
func (ev *evaluation) unreadable(tree *expr.Node) error {
	if tree == nil {
		return nil
	}
	if tree.Kind == expr.AttributeNode {
		for _, v := range ev.inputs {
			if v.Problem != nil && strings.EqualFold(v.Name, tree.Name) {
				return &expr.EvalError{Func: "[" + v.Name + "]", Pos: tree.Pos, End: tree.End, Msg: ev.reason(v)}
			}
		}
	}
	for _, a := range tree.Args {
		if err := ev.unreadable(a); err != nil {
			return err
		}
	}
	return nil
}

func (ev *evaluation) isRedacted(name string) bool {
	return slices.ContainsFunc(ev.redacted, func(r string) bool { return strings.EqualFold(r, name) })
}

func (ev *evaluation) reason(v mapping.SourceValue) string {
	if ev.isRedacted(v.Name) {
		return "its value, which is redacted, cannot be used"
	}
	return v.Problem.Reason + ". " + v.Problem.Advice
}

func (ev *evaluation) run(program *expr.Program, set jobSettings, seed uint64) {
	ctx := &expr.Context{Now: set.now, Seed: seed, DefaultDomain: set.DefaultDomain}
	for _, v := range ev.inputs {
		ctx.Attributes = append(ctx.Attributes, v.Value)
	}
	ev.value, ev.steps, ev.err = program.Trace(ctx)
	if !program.Unique() {
		return
	}
	for i := range maxCandidates {
		v, ok, err := program.Candidate(ctx, i)
		if !ok && err == nil {
			return
		}
		if program.Redacted() && !v.IsNull() {
			v = expr.Text(expr.Mask)
		}
		ev.candidates = append(ev.candidates, candidate{v, err})
	}
}

// fails reports whether the expression has a mistake, or no value for this person.
func (ev *evaluation) fails() bool {
	return ev.err != nil && !errors.Is(ev.err, expr.ErrIgnoreAttribute) && !errors.Is(ev.err, expr.ErrIgnoreObject)
}

// print writes the value, and only that, to stdout; the trace stands before it.
func (ev *evaluation) print(stdout, stderr io.Writer, trace bool) {
	for i := range ev.findings {
		ev.findings[i].print(stderr, "", "warning")
	}
	if trace && ev.inputs != nil {
		for _, v := range ev.inputs {
			fmt.Fprintf(stdout, "[%s] = %s\n", v.Name, ev.input(v))
		}
		printSteps(stdout, "", ev.source, ev.steps)
	}
	var mistake *expr.EvalError
	switch e := asExprError(ev.err); {
	case e != nil:
		fmt.Fprintf(stderr, "error: %s\n%s", clean(e.Error()), caret(ev.source, e.Offset, e.End))
	case errors.As(ev.err, &mistake):
		fmt.Fprintf(stderr, "error: %s\n%s", clean(mistake.Error()), caret(ev.source, mistake.Pos, mistake.End))
	case ev.err != nil:
		fmt.Fprintf(stderr, "no value: %s\n", ev.err)
	case len(ev.candidates) > 0:
		ev.printCandidates(stdout, stderr)
	default:
		printValue(stdout, stderr, ev.value)
	}
}

// input is a source attribute's value for people.
func (ev *evaluation) input(v mapping.SourceValue) string {
	switch {
	case v.Problem != nil:
		return ev.reason(v)
	case ev.isRedacted(v.Name) && !v.Value.IsNull():
		return expr.Mask
	case !v.Sent && !v.Value.IsNull():
		return literal(v.Value) + "  (not sent)"
	case !v.Sent:
		return "null  (not sent)"
	}
	return literal(v.Value)
}

func (ev *evaluation) printCandidates(stdout, stderr io.Writer) {
	fmt.Fprintln(stderr, "SelectUniqueValue takes the first of these that nobody in the target has:")
	for _, c := range ev.candidates {
		if c.err != nil {
			fmt.Fprintf(stderr, "error: %s\n", clean(c.err.Error()))
			continue
		}
		fmt.Fprintln(stdout, clean(c.value.String()))
	}
}

func printValue(stdout, stderr io.Writer, v expr.Value) {
	switch {
	case v.IsNull():
		fmt.Fprintln(stderr, "null: nothing flows, or the mapping's default value when the person is created")
	case v.Kind() == expr.List:
		for _, e := range v.Elems() {
			fmt.Fprintln(stdout, clean(e.String()))
		}
		fmt.Fprintf(stderr, "%d values\n", len(v.Elems()))
	case v.IsEmpty():
		fmt.Fprintln(stderr, "an empty text")
		fmt.Fprintln(stdout)
	default:
		fmt.Fprintln(stdout, clean(v.String()))
	}
}

// printSteps writes the trace of an expression: each call with the values it was given, and what it gave. An argument
// that it did not ask for is "…"; one that is left empty stays so.
func printSteps(w io.Writer, prefix, source string, steps []expr.Step) {
	for _, s := range steps {
		end := min(max(s.End, 0), len(source))
		written, err := expr.Parse(source[min(max(s.Pos, 0), end):end])
		args := make([]string, len(s.Args))
		for i, a := range s.Args {
			switch {
			case a.Evaluated:
				args[i] = literal(a.Value)
			case err != nil || i >= len(written.Args) || written.Args[i] != nil:
				args[i] = "…"
			}
		}
		call := s.Func + "(" + strings.Join(args, ", ") + ")"
		if s.Func == "comparison" && len(args) == 2 {
			call = "compare " + args[0] + " with " + args[1]
		}
		result := literal(s.Result)
		if s.Err != nil {
			result = "no value: " + clean(s.Err.Error())
		}
		fmt.Fprintf(w, "%s%s = %s\n", prefix, call, result)
	}
}

// maxLiteral is how many characters of a value a trace shows.
const maxLiteral = 60

// literal shows a value as the language writes it, shortened.
func literal(v expr.Value) string {
	switch v.Kind() {
	case expr.Null:
		return "null"
	case expr.List:
		var parts []string
		for i, e := range v.Elems() {
			if i == 8 {
				parts = append(parts, fmt.Sprintf("… %d in all", len(v.Elems())))
				break
			}
			parts = append(parts, literal(e))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case expr.String:
		return (&expr.Node{Kind: expr.TextNode, Name: shorten(clean(v.String()), maxLiteral)}).String()
	}
	return v.String()
}
