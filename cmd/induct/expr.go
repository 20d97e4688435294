package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"induct/internal/expr"
	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
	"induct/internal/upload"
)

const exprHelp = `Expressions make the values that accounts get of what HR sends. These commands try them, check them and test them on this
machine: no service runs, nothing is changed, and nothing is sent anywhere.

  eval       what does this expression, or a whole schema, make of this person, and why
  check      what is wrong with a schema or a list of expressions, and what is likely not meant
  test       does a schema still make of these people what is written down; for CI
  functions  the functions, each with its parameters and examples
  template   the schema that a new job has, to begin with

Exit codes
    0  as it should be
    1  the command line or a file is wrong: nothing was evaluated
    2  an expression or schema has a mistake, the person fails under it, or a test does not hold`

func exprCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "expr",
		Short: "Try, check and test attribute mappings and their expressions",
		Long:  exprHelp,
	}, exprEvalCommand(), exprCheckCommand(), exprTestCommand(), exprFunctionsCommand(), exprTemplateCommand())
}

// maxExprFile bounds the files of people and of tests.
const maxExprFile = 16 << 20

// readInput reads a file, or the standard input if path is "-", as UTF-8, or as what its byte order mark says: PowerShell
// writes UTF-16. More than max bytes are an error.
func readInput(cmd *cobra.Command, path string, max int64) ([]byte, error) {
	in, name := cmd.InOrStdin(), "standard input"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in, name = f, path
	}
	data, err := io.ReadAll(io.LimitReader(transform.NewReader(in, unicode.BOMOverride(transform.Nop)), max+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%s: more than %d MiB; that is no file for this command", name, max>>20)
	}
	return data, nil
}

// schemaSource says where a schema comes from: a file, or a template.
type schemaSource struct {
	file, template string
	body           []byte // of the file, when it has been read
}

func (s *schemaSource) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.file, "schema", "", "schema `FILE`, as GET …/synchronization/jobs/{id}/schema gives it; - is the standard input")
	f.StringVar(&s.template, "template", "", "in place of --schema: the default schema of the job template `NAME`, such as API2AAD")
	cmd.MarkFlagsMutuallyExclusive("schema", "template")
}

func (s *schemaSource) given() bool { return s.file != "" || s.template != "" }

// name is how messages call the schema.
func (s *schemaSource) name() string {
	if s.file != "" {
		return s.file
	}
	return "template " + s.template
}

// read returns the schema. The error is a *mapping.SchemaError if the file is no schema.
func (s *schemaSource) read(cmd *cobra.Command) (schema *mapping.Schema, err error) {
	if s.file == "" {
		return templateSchema(s.template)
	}
	if s.body, err = readInput(cmd, s.file, syncschema.MaxSize); err != nil {
		return nil, err
	}
	return syncschema.Parse(s.body)
}

// problems lists what err says about the schema, with lines; nil if it is not about that.
func (s *schemaSource) problems(err error) []finding {
	var wrong *mapping.SchemaError
	if !errors.As(err, &wrong) {
		return nil
	}
	list := schemaProblems(wrong.Problems)
	locate(s.body, list)
	return list
}

// unusable ends a command whose schema cannot be read or run.
func (s *schemaSource) unusable(cmd *cobra.Command, err error, asJSON bool) error {
	r := report{file: s.name(), problems: s.problems(err)}
	if r.problems == nil {
		return unusable(err)
	}
	if asJSON {
		if err := printJSON(cmd.OutOrStdout(), r.json()); err != nil {
			return err
		}
		return failed()
	}
	for i := range r.problems {
		r.problems[i].print(cmd.ErrOrStderr(), r.file, "error")
	}
	return failed()
}

func templateSchema(id string) (*mapping.Schema, error) {
	schema, ok := mapping.Template(id)
	if !ok {
		return nil, fmt.Errorf("there is no template %q; there are %s", id, strings.Join(mapping.Templates(), ", "))
	}
	return schema, nil
}

// sourceObject is the object whose attributes an expression may read; without a schema it is API2AAD's.
func (s *schemaSource) sourceObject(cmd *cobra.Command) (*mapping.Object, error) {
	if !s.given() {
		s.template = "API2AAD"
	}
	schema, err := s.read(cmd)
	if err != nil {
		return nil, err
	}
	source, _ := mappedObjects(schema)
	if source == nil {
		return nil, errors.New("the schema has no enabled object mapping whose source object it defines")
	}
	return source, nil
}

// mappedObjects returns the objects of the enabled object mapping, nil for one that the schema does not define.
func mappedObjects(s *mapping.Schema) (source, target *mapping.Object) {
	for _, r := range s.Rules {
		for _, m := range r.ObjectMappings {
			if m.Enabled {
				return findObject(s, r.SourceDirectoryName, m.SourceObjectName), findObject(s, r.TargetDirectoryName, m.TargetObjectName)
			}
		}
	}
	return nil, nil
}

func findObject(s *mapping.Schema, directory, object string) *mapping.Object {
	for i := range s.Directories {
		for j := range s.Directories[i].Objects {
			if o := &s.Directories[i].Objects[j]; s.Directories[i].Name == directory && o.Name == object {
				return o
			}
		}
	}
	return nil
}

// jobSettings are the flags for mapping.Settings and for the clock.
type jobSettings struct {
	mapping.Settings
	now time.Time
}

func (s *jobSettings) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.DefaultDomain, "domain", defaultDomain, "what DefaultDomain() gives: a `DOMAIN`")
	f.BoolVar(&s.DisableMissing, "disable-missing", false, "the job's setting: a person who is sent without active is disabled")
	f.Var((*timeFlag)(&s.now), "now", "what Now() gives: a `DATE` such as 2026-01-31 or 2026-01-31T08:00:00Z (default the clock)")
}

// timeFlag is a flag that holds a date, or a date and time with its offset.
type timeFlag time.Time

func (t *timeFlag) Type() string { return "date" }

func (t *timeFlag) String() string {
	if time.Time(*t).IsZero() {
		return ""
	}
	return time.Time(*t).Format(time.RFC3339)
}

func (t *timeFlag) Set(text string) error {
	parsed, err := parseDate(text)
	*t = timeFlag(parsed)
	return err
}

// parseDate reads RFC 3339, or its date alone, which begins in UTC.
func parseDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date; write 2026-01-31 or 2026-01-31T08:00:00Z", text)
}

// printJSON writes one document, indented.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// clean makes text that others wrote safe for a terminal.
func clean(text string) string { return upload.Clean(text) }

// failed ends a command that has said everything.
func failed() error { return &exitError{code: upload.ExitFailed} }

// unusable ends a command whose command line or file is wrong.
func unusable(err error) error { return &exitError{upload.ExitUsage, err} }

// asExprError returns the mistake in an expression that err is, and nil for any other error.
func asExprError(err error) *expr.Error {
	var e *expr.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// caret draws the line of an expression that a mistake is in, with a caret below it, indented; "" for an empty one.
func caret(expression string, pos, end int) string {
	if strings.TrimSpace(expression) == "" {
		return ""
	}
	e := expr.Error{Offset: pos, End: end}
	return indent(e.Caret(expression), "    ")
}

// indent puts prefix before each line of text that is not empty, and ends each with an end of line.
func indent(text, prefix string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			b.WriteString(prefix + line)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
