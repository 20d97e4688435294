package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"induct/internal/upload"
	"induct/internal/upload/records"
)

// validateFile prints what is wrong with the records; errors end with exit code 1.
func (u *uploadJob) validateFile(w io.Writer, file *records.File, m *records.Mapping) error {
	src, err := file.Records(m)
	if err != nil {
		return &exitError{upload.ExitUsage, err}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	result, err := records.Validate(src, func(p records.Problem) {
		if u.asJSON {
			enc.Encode(p)
			return
		}
		printProblem(w, p)
	})
	if err != nil {
		return &exitError{upload.ExitUsage, err}
	}
	if u.asJSON {
		enc.Encode(result)
	} else {
		fmt.Fprintf(w, "%d records in %d requests: %d errors, %d warnings, %d of a person who came before. Nothing was sent.\n",
			result.Records, result.Requests, result.Errors, result.Warnings, result.Duplicates)
	}
	if result.Errors > 0 {
		return &exitError{code: upload.ExitUsage}
	}
	return nil
}

func printProblem(w io.Writer, p records.Problem) {
	where := "the file"
	if p.Line > 0 {
		where = fmt.Sprintf("line %d", p.Line)
	}
	if p.Anchor != "" {
		where += " (" + p.Anchor + ")"
	}
	if p.Path != "" {
		where += ", " + p.Path
	}
	fmt.Fprintf(w, "%s: %s: %s\n", where, p.Severity, upload.Clean(p.Message))
}

// printRequests prints the bodies that would be sent, one a line, or the one record on line u.row, indented.
func (u *uploadJob) printRequests(w io.Writer, file *records.File, m *records.Mapping) error {
	src, err := file.Records(m)
	if err != nil {
		return &exitError{upload.ExitUsage, err}
	}
	if u.row != 0 {
		err = printRecord(w, src, u.row)
	} else {
		err = upload.Requests(src, func(body []byte) error {
			_, err := w.Write(append(body, '\n'))
			return err
		})
	}
	if err != nil {
		return &exitError{upload.ExitUsage, err}
	}
	return nil
}

func printRecord(w io.Writer, src records.Source, line int) error {
	for {
		rec, err := src.Next()
		if err == io.EOF {
			return fmt.Errorf("no record begins on line %d", line)
		}
		if err != nil {
			return err
		}
		if rec.Line != line {
			continue
		}
		var b bytes.Buffer
		if err := json.Indent(&b, records.BulkRequest([]records.Record{rec}), "", "  "); err != nil {
			return err
		}
		b.WriteByte('\n')
		_, err = b.WriteTo(w)
		return err
	}
}

func uploadInitCommand() *cobra.Command {
	var input records.Options
	var out string
	var force bool
	cmd := &cobra.Command{
		Use:   "init FILE [-o mapping.json]",
		Short: "Suggest a mapping for a file",
		Long: "Looks at the names of the columns and at some rows, and writes a mapping file: which column is which attribute.\n" +
			"What it made of each column, and how sure it is, goes to standard error. Look through it before you use it.",
		Example: "  induct upload init people.csv -o mapping.json\n  induct upload people.csv -m mapping.json --validate",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := records.Open(args[0], input)
			if err != nil {
				return &exitError{upload.ExitUsage, err}
			}
			defer file.Close()
			if file.IsSCIM() {
				return &exitError{upload.ExitUsage, errors.New("the file holds SCIM records already; it needs no mapping")}
			}
			sample, err := file.Sample(1000)
			if err != nil {
				return &exitError{upload.ExitUsage, err}
			}
			s := records.Suggest(file.Columns(), sample)
			printSuggestion(cmd.ErrOrStderr(), s)
			if err := writeMapping(cmd.OutOrStdout(), out, force, s.Mapping); err != nil {
				return &exitError{upload.ExitUsage, err}
			}
			return nil
		},
	}
	inputFlags(cmd, &input)
	cmd.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write (default standard output)")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the file if it is there")
	return cmd
}

func writeMapping(stdout io.Writer, path string, force bool, mapping []byte) error {
	if path == "" {
		_, err := stdout.Write(mapping)
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; --force overwrites it", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(mapping)
	return errors.Join(err, f.Close())
}

func printSuggestion(w io.Writer, s records.Suggestion) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, a := range s.Attributes {
		column := a.Column
		if column == "" {
			column = "(constant)"
		}
		fmt.Fprintf(t, "%s\t<- %s\t%s\t%s\n", a.Path, upload.Clean(column), a.Confidence, upload.Clean(a.Why))
	}
	t.Flush()
	for _, column := range s.Unmapped {
		fmt.Fprintf(w, "not mapped: %s\n", upload.Clean(column))
	}
}

func uploadSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a mapping file",
		Long:  "Prints the JSON Schema of a mapping file, for editors that complete and check by it.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(records.MappingSchema)
			return err
		},
	}
}
