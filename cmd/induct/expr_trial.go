package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"induct/internal/mapping"
)

const testHelp = `Runs tests of attribute mappings: records of people, and what each must look like in the target. A file is YAML or JSON:

  schema: schema.json           # beside this file; or template: API2AAD
  domain: nordwind.example      # what DefaultDomain() gives; also disableMissing: true
  now: 2026-03-01               # what Now() gives, else 2026-01-01; a test may have its own
  tests:
    - name: a joiner gets a user name
      record: {externalId: "4711", userName: ana@hr.example, active: true}
      expect:
        userPrincipalName: ana@nordwind.example
        accountEnabled: true
        jobTitle: null          # nothing flows
    - name: a contractor stays out
      record: people/tom.json
      outOfScope: userType      # true, or a part of the clause that decides

A test has name and record, and may have
  expect      target attributes: a value, a list of values, or null if nothing may flow
  exact       true: no attribute but those of expect may flow
  update      true: expect is for somebody who is in the target already, not for a new account
  outOfScope  true, or a part of the clause that decides
  problem     the code of the failure, such as MissingValues; with reason, a part of its sentence
  warning     a part of a warning
  kept        all that was sent of the person before and now, if that is more than record; it decides the scope
  now         what Now() gives
A test that expects nothing holds if the person flows. Members that begin with x- are passed over: a place for YAML's anchors.

Exit codes
    0  every test holds
    1  the command line or a file is wrong: no test was run
    2  a test does not hold, or the schema has a mistake`

const testExamples = `  induct expr test tests.yaml
  induct expr test tests.yaml --verbose
  induct expr test tests.yaml --run contractor

  # does the schema that the job has now still pass?
  induct expr test tests.yaml --schema schema.json --json`

// trialJob is what the flags of test say.
type trialJob struct {
	schema  schemaSource
	run     string
	verbose bool
	asJSON  bool
}

// trials are the tests of one file, with what became of them.
type trials struct {
	*trialFile
	results  []mapping.TestResult
	problems []finding // the schema cannot run, and no test was
}

func exprTestCommand() *cobra.Command {
	j := &trialJob{}
	cmd := &cobra.Command{
		Use:     "test FILE...",
		Short:   "Test what a schema makes of people",
		Long:    testHelp,
		Example: testExamples,
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return j.all(cmd, args) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	j.schema.flags(cmd)
	f.Lookup("schema").Usage = "test this schema `FILE` in place of the one that the tests name"
	f.Lookup("template").Usage = "test the default schema of the job template `NAME`, such as API2AAD"
	f.StringVar(&j.run, "run", "", "only tests whose name has this `TEXT` in it")
	f.BoolVarP(&j.verbose, "verbose", "v", false, "name the tests that hold, too")
	f.BoolVar(&j.asJSON, "json", false, "print one JSON document")
	return cmd
}

func (j *trialJob) all(cmd *cobra.Command, paths []string) error {
	files := make([]*trials, 0, len(paths))
	open := func(path string) ([]byte, error) { return readInput(cmd, path, maxExprFile) }
	for _, path := range paths {
		f, err := readTrials(path, open)
		if err != nil {
			return unusable(err)
		}
		f.choose(j.run)
		files = append(files, &trials{trialFile: f})
	}
	tests, bad := 0, 0
	for _, f := range files {
		if err := j.one(cmd, f); err != nil {
			return unusable(err)
		}
		tests, bad = tests+len(f.tests), bad+f.failures()
	}
	if tests == 0 {
		return unusable(fmt.Errorf("no test has %q in its name", j.run))
	}
	if err := j.report(cmd.OutOrStdout(), files, tests, bad); err != nil {
		return err
	}
	if bad > 0 {
		return failed()
	}
	return nil
}

// choose keeps the tests that have a text in their name, in whatever case.
func (f *trialFile) choose(text string) {
	var kept trialFile
	for i, t := range f.tests {
		if strings.Contains(strings.ToLower(t.Name), strings.ToLower(text)) {
			kept.tests, kept.lines = append(kept.tests, t), append(kept.lines, f.lines[i])
		}
	}
	f.tests, f.lines = kept.tests, kept.lines
}

// one runs the tests of a file. The error concerns the file; a schema that cannot run is a result.
func (j *trialJob) one(cmd *cobra.Command, f *trials) error {
	source := f.schema
	if j.schema.given() {
		source = j.schema
	}
	if !source.given() {
		return fmt.Errorf("%s: it names no schema; write schema: FILE or template: API2AAD in it, or give --schema FILE", f.path)
	}
	for i := range f.tests {
		if f.tests[i].Now.IsZero() {
			f.tests[i].Now = f.now
		}
	}
	schema, err := source.read(cmd)
	if err == nil {
		err = f.known(schema)
	}
	if err == nil {
		f.results, err = mapping.RunTests(schema, f.tests, f.settings)
	}
	if f.trialFile.schema, f.problems = source, source.problems(err); f.problems != nil {
		return nil
	}
	return err
}

// known refuses tests of attributes that the target does not have: one that expects nothing of them would always hold.
func (f *trialFile) known(s *mapping.Schema) error {
	_, target := mappedObjects(s)
	if target == nil {
		return nil // the schema cannot run, and that is said when it is compiled
	}
	names := append(knownNames(target), mapped(s)...) // extension attributes are mapped without being defined
	for i, t := range f.tests {
		for _, name := range slices.Sorted(maps.Keys(t.Attributes)) {
			if slices.Contains(names, name) {
				continue
			}
			spelled := ""
			if j := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) }); j >= 0 {
				spelled = "; it is spelled " + names[j]
			}
			return fmt.Errorf("%s:%d: %s expects %s, and the target object %s has no such attribute%s", f.path, f.lines[i], t.Name, name, target.Name, spelled)
		}
	}
	return nil
}

// mapped lists the target attributes of all mappings.
func mapped(s *mapping.Schema) (names []string) {
	for _, r := range s.Rules {
		for _, o := range r.ObjectMappings {
			for _, m := range o.AttributeMappings {
				names = append(names, m.TargetAttributeName)
			}
		}
	}
	return names
}

// failures counts the tests that do not hold; all of them if the schema cannot run.
func (f *trials) failures() (n int) {
	if f.problems != nil {
		return max(len(f.tests), 1)
	}
	for i := range f.results {
		if !f.results[i].Passed() {
			n++
		}
	}
	return n
}

func (j *trialJob) report(w io.Writer, files []*trials, tests, bad int) error {
	if j.asJSON {
		return printJSON(w, jsonTrials(files, tests, bad))
	}
	for _, f := range files {
		f.print(w, j.verbose)
	}
	verb := "hold"
	if tests-bad == 1 {
		verb = "holds"
	}
	fmt.Fprintf(w, "%s: %d %s, %d failed\n", count(tests, "test"), max(tests-bad, 0), verb, bad)
	return nil
}

// print writes the tests that do not hold, with verbose all of them.
func (f *trials) print(w io.Writer, verbose bool) {
	if f.problems != nil {
		for i := range f.problems {
			f.problems[i].print(w, f.schema.name(), "error")
		}
		fmt.Fprintf(w, "%s: the schema cannot be used, and no test was run\n", f.path)
		return
	}
	for i := range f.results {
		r := &f.results[i]
		if !r.Passed() {
			fmt.Fprintf(w, "%s:%d: FAIL %s\n", f.path, f.lines[i], clean(r.Name))
			printDifferences(w, r)
		} else if verbose {
			fmt.Fprintf(w, "%s:%d: ok   %s\n", f.path, f.lines[i], clean(r.Name))
		}
	}
}

func printDifferences(w io.Writer, r *mapping.TestResult) {
	if r.Err != "" {
		fmt.Fprintf(w, "    %s\n", clean(r.Err))
	}
	for _, d := range r.Differences {
		fmt.Fprintf(w, "    %s\n      want  %s\n      got   %s\n", clean(d.What), clean(d.Want), clean(d.Got))
		if d.Hint != "" {
			fmt.Fprintf(w, "      why   %s\n", clean(d.Hint))
		}
	}
}

type (
	trialsJSON struct {
		Tests  int             `json:"tests"`
		Failed int             `json:"failed"`
		Files  []trialFileJSON `json:"files"`
	}
	trialFileJSON struct {
		File     string        `json:"file"`
		Problems []findingJSON `json:"problems"` // why the schema cannot run
		Results  []resultJSON  `json:"results"`
	}
	resultJSON struct {
		Name        string           `json:"name"`
		Line        int              `json:"line"`
		Passed      bool             `json:"passed"`
		Error       string           `json:"error,omitempty"`
		Differences []differenceJSON `json:"differences,omitempty"`
	}
	differenceJSON struct {
		What string `json:"what"`
		Want string `json:"want"`
		Got  string `json:"got"`
		Hint string `json:"hint,omitempty"`
	}
)

func jsonTrials(files []*trials, tests, bad int) trialsJSON {
	doc := trialsJSON{Tests: tests, Failed: bad}
	for _, f := range files {
		file := trialFileJSON{File: f.path, Problems: jsonFindings(f.problems), Results: []resultJSON{}}
		for i := range f.results {
			r := &f.results[i]
			result := resultJSON{Name: r.Name, Line: f.lines[i], Passed: r.Passed(), Error: r.Err}
			for _, d := range r.Differences {
				result.Differences = append(result.Differences, differenceJSON(d))
			}
			file.Results = append(file.Results, result)
		}
		doc.Files = append(doc.Files, file)
	}
	return doc
}
