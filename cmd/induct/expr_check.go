package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"induct/internal/expr"
	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
)

const checkHelp = `Says what is wrong with a schema, and what runs but is likely not meant. The file is a schema as
GET …/synchronization/jobs/{id}/schema gives it, or a list of expressions, one to a line; lines that are empty or begin
with # are passed over. "-" is the standard input.

An error keeps the schema from being used: PUT of it would be refused. A warning does not; --strict counts it as one.
Each has the place, such as synchronizationRules[0].objectMappings[0].attributeMappings[3], and the mistake underlined.

Exit codes
    0  no errors
    1  the command line is wrong, or the file cannot be read
    2  there are errors, or with --strict warnings`

const checkExamples = `  induct expr check schema.json
  induct expr check expressions.txt
  induct expr check schema.json --strict --json`

// checkJob is what the flags of check say.
type checkJob struct {
	schema   schemaSource
	settings mapping.Settings
	strict   bool
	asJSON   bool
}

// report is what there is to say about a file.
type report struct {
	file     string
	problems []finding
	findings []finding
	checked  string // what has been looked at, such as "21 expressions"
}

// finding is a problem, or what is likely not meant. What is not known of its place is "" or 0.
type finding struct {
	line       int    // of the file
	path, name string // in the schema
	code       string // of what is likely not meant
	message    string
	advice     string
	expression string // that pos and end are in
	pos, end   int    // bytes of it
}

func exprCheckCommand() *cobra.Command {
	c := &checkJob{}
	cmd := &cobra.Command{
		Use:     "check FILE",
		Short:   "Find mistakes and traps in a schema or in a list of expressions",
		Long:    checkHelp,
		Example: checkExamples,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	c.schema.flags(cmd)
	f.Lookup("schema").Usage = "for a list of expressions: the schema `FILE` whose attributes they may read (default API2AAD's)"
	f.BoolVar(&c.strict, "strict", false, "warnings are errors")
	f.BoolVar(&c.asJSON, "json", false, "print one JSON document")
	f.StringVar(&c.settings.DefaultDomain, "domain", defaultDomain, "what DefaultDomain() gives: a `DOMAIN`")
	return cmd
}

func (c *checkJob) run(cmd *cobra.Command, path string) error {
	data, err := readInput(cmd, path, syncschema.MaxSize)
	if err != nil {
		return unusable(err)
	}
	r := &report{file: path}
	if b := bytes.TrimSpace(data); len(b) > 0 && b[0] == '{' {
		err = r.schema(data, c.settings)
	} else {
		err = c.expressions(cmd, r, string(data))
	}
	if err != nil {
		return unusable(fmt.Errorf("%s: %w", path, err))
	}
	if c.asJSON {
		err = printJSON(cmd.OutOrStdout(), r.json())
	} else {
		r.print(cmd.OutOrStdout())
	}
	if err == nil && (len(r.problems) > 0 || c.strict && len(r.findings) > 0) {
		return failed()
	}
	return err
}

func (c *checkJob) expressions(cmd *cobra.Command, r *report, text string) error {
	object, err := c.schema.sourceObject(cmd)
	if err != nil {
		return fmt.Errorf("%s: %w", c.schema.name(), err)
	}
	return r.expressions(text, object)
}

func (r *report) schema(body []byte, set mapping.Settings) error {
	source := schemaSource{body: body}
	schema, err := syncschema.Parse(body)
	if err == nil {
		r.checked = count(len(mapped(schema)), "attribute mapping")
		_, err = mapping.Compile(schema, set)
	}
	if err == nil {
		r.findings = schemaFindings(mapping.Lint(schema, set))
		locate(body, r.findings)
		return nil
	}
	if r.problems = source.problems(err); r.problems == nil {
		return err
	}
	return nil
}

// locate gives what has a path its line in the text of a schema.
func locate(body []byte, list []finding) {
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, new(json.RawMessage)); errors.As(err, &syntax) {
		for i := range list {
			list[i].line = 1 + bytes.Count(body[:min(int(syntax.Offset), len(body))], []byte("\n"))
		}
		return
	}
	root, err := parseDocument(body)
	if err != nil {
		return // it is nested too deep, and the problem says so
	}
	for i := range list {
		if list[i].path != "" {
			list[i].line = lineOf(root, list[i].path)
		}
	}
}

// lineOf returns the line of a path such as synchronizationRules[0].name, or of what is there of it.
func lineOf(n *yaml.Node, path string) int {
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		next := child(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return n.Line
}

func child(n *yaml.Node, step string) *yaml.Node {
	if i, err := strconv.Atoi(step); err == nil && n.Kind == yaml.SequenceNode && i >= 0 && i < len(n.Content) {
		return n.Content[i]
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == step {
			return n.Content[i+1]
		}
	}
	return nil
}

// expressions checks one expression to a line. An attribute that the source object does not have is a warning: what may
// be read is up to the schema that the expression is meant for.
func (r *report) expressions(text string, object *mapping.Object) error {
	env := expr.Env{Known: knownNames(object)}
	number, checked := 0, 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		checked++
		p, err := expr.Compile(line, env)
		if e := asExprError(err); e != nil {
			r.problems = append(r.problems, finding{line: number, message: e.Msg, expression: line, pos: e.Offset, end: e.End})
			continue
		}
		if err != nil {
			return err
		}
		if e := asExprError(compileStrictly(line, env)); e != nil {
			r.findings = append(r.findings, finding{line: number, code: codeUnknown, message: e.Msg, expression: line, pos: e.Offset, end: e.End})
		}
		for _, f := range lint(p, line) {
			f.line = number
			r.findings = append(r.findings, f)
		}
	}
	if checked == 0 {
		return errors.New("there is nothing to check; give a schema, or one expression to a line")
	}
	r.checked = count(checked, "expression")
	return nil
}

// codeUnknown is the code of a warning about an attribute that the source object does not have.
const codeUnknown = "unknownAttribute"

// compileStrictly compiles an expression that may read known attributes only.
func compileStrictly(source string, env expr.Env) error {
	env.Attribute = func(name string) (int, error) {
		i := slices.IndexFunc(env.Known, func(k string) bool { return strings.EqualFold(k, name) })
		if i < 0 {
			return 0, fmt.Errorf("the schema has no attribute %s", name)
		}
		return i, nil
	}
	_, err := expr.Compile(source, env)
	return err
}

func (r *report) print(w io.Writer) {
	for _, p := range r.problems {
		p.print(w, r.file, "error")
	}
	for _, f := range r.findings {
		f.print(w, r.file, "warning")
	}
	if r.checked == "" {
		fmt.Fprintf(w, "%s: %s; it is no schema\n", r.file, count(len(r.problems), "error"))
		return
	}
	fmt.Fprintf(w, "%s: %s, %s, %s\n", r.file, r.checked, count(len(r.problems), "error"), count(len(r.findings), "warning"))
}

// print writes file:line: path (name): severity: message, and the expression with the mistake underlined. What is not
// known is left out.
func (f *finding) print(w io.Writer, file, severity string) {
	where := file
	if f.line > 0 {
		where += fmt.Sprintf(":%d", f.line)
	}
	if f.path != "" {
		where += ": " + f.path
	}
	if f.name != "" {
		where += " (" + f.name + ")"
	}
	if where != "" {
		where += ": "
	}
	text := f.message
	if f.advice != "" {
		text += "; " + f.advice
	}
	if f.code != "" {
		text += " [" + f.code + "]"
	}
	fmt.Fprintf(w, "%s%s: %s\n", clean(where), severity, clean(text))
	if f.expression != "" {
		fmt.Fprint(w, caret(f.expression, f.pos, f.end))
	}
}

func (r *report) json() checkJSON {
	return checkJSON{r.file, len(r.problems) == 0, jsonFindings(r.problems), jsonFindings(r.findings)}
}

// lint lists what is likely not meant in an expression.
func lint(p *expr.Program, source string) (list []finding) {
	for _, f := range p.Lint() {
		list = append(list, finding{code: f.Code, message: f.Message, expression: source, pos: f.Pos, end: f.End})
	}
	return list
}

func schemaFindings(findings []mapping.Finding) (list []finding) {
	for _, f := range findings {
		list = append(list, finding{path: f.Path, name: f.Name, code: f.Code, message: f.Message, expression: f.Expression, pos: f.Pos, end: f.End})
	}
	return list
}

func schemaProblems(problems []mapping.SchemaProblem) (list []finding) {
	for _, p := range problems {
		list = append(list, finding{path: p.Path, name: p.Name, message: p.Message, advice: p.Advice, expression: p.Expression, pos: p.Pos, end: p.End})
	}
	return list
}

// count says a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func exprTemplateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "template [NAME]",
		Short: "Print the default schema of a job template",
		Long: "Prints the schema that a new job of a template has, as GET …/synchronization/templates/{id}/schema gives it: something to\n" +
			"begin with. Without a name it lists the templates.",
		Example: "  induct expr template\n  induct expr template API2AAD",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(mapping.Templates(), "\n"))
				return err
			}
			schema, err := templateSchema(args[0])
			if err != nil {
				return unusable(err)
			}
			return printJSON(cmd.OutOrStdout(), json.RawMessage(syncschema.Marshal(schema)))
		},
	}
}
