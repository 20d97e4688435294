package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"induct/internal/upload"
	"induct/internal/upload/records"
)

const uploadHelp = `Reads people from a file, sends them, and follows them until each has its end. The file is CSV, a workbook (.xlsx),
JSON, JSON Lines, or ready-made SCIM bulk requests; "-" is the standard input. A table needs a mapping: which column
is which attribute. ` + "`induct upload init FILE`" + ` suggests one.

Where and as whom: flags, else --credentials FILE, else the environment, each with the names
  GRAPH_BASE  SP_ID  JOB_ID  AUTHORITY  CLIENT_ID  CLIENT_SECRET  CLIENT_CERTIFICATE  ACCESS_TOKEN  CA_FILE
or AZURE_TENANT_ID  AZURE_CLIENT_ID  AZURE_CLIENT_SECRET  AZURE_CLIENT_CERTIFICATE_PATH  AZURE_AUTHORITY_HOST.
A secret is never a flag: other people see the command line.

It paces itself by what the service bears, and repeats what fails. FILE.induct-upload remembers how far it has come:
killed, interrupted or out of quota, the same command goes on from there. Rows that failed are written to
FILE.failed.csv, with the reason beside them: correct them there and send that file.

Exit codes
    0  every row reached an end that is not a failure
    1  the command line, the mapping or the file is wrong; nothing was sent
    2  some rows failed: see FILE.failed.csv
    3  the service refused, could not be reached, or did not say everything in time: run the same command again
  130  interrupted: run the same command again`

const uploadExamples = `  # against your own service
  induct upload people.csv -m mapping.json --credentials induct.env

  # against the endpoint that a provisioning app's page shows, with a secret or a certificate
  export AZURE_TENANT_ID=… AZURE_CLIENT_ID=… AZURE_CLIENT_SECRET=…
  induct upload people.xlsx --sheet Staff -m mapping.json --endpoint https://graph.example/v1.0/servicePrincipals/…/bulkUpload
  induct upload people.xlsx -m mapping.json --endpoint … --certificate app.pem

  # look before you leap
  induct upload people.csv -m mapping.json --validate
  induct upload people.csv -m mapping.json --dry-run --row 17

  # the quota is used up and there is time
  induct upload people.csv -m mapping.json --max-wait 26h`

// uploadJob is what the flags of upload say.
type uploadJob struct {
	access
	opt       upload.Options
	input     records.Options
	mapping   string
	until     string
	journal   string
	noJournal bool
	restart   bool
	failed    string
	validate  bool
	dryRun    bool
	row       int
	asJSON    bool
}

func uploadCommand() *cobra.Command {
	u := &uploadJob{}
	cmd := &cobra.Command{
		Use:     "upload FILE --mapping FILE",
		Short:   "Upload people from a file and say what became of them",
		Long:    uploadHelp,
		Example: uploadExamples,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return u.run(cmd, args[0]) },
	}
	u.flags(cmd)
	cmd.AddCommand(uploadInitCommand(), uploadSchemaCommand())
	return cmd
}

func (u *uploadJob) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&u.mapping, "mapping", "m", "", "mapping `FILE`: which column is which SCIM attribute")
	inputFlags(cmd, &u.input)

	u.access.flags(f)

	f.BoolVar(&u.validate, "validate", false, "check the records and send nothing")
	f.BoolVar(&u.dryRun, "dry-run", false, "print the requests and send nothing")
	f.IntVar(&u.row, "row", 0, "with --dry-run: only the record on this `LINE`")

	f.StringVar(&u.until, "until", "done", "follow until accepted, done or settled")
	f.DurationVar(&u.opt.Timeout, "timeout", 0, "how long to follow after the last request (default no limit; 2h where only a provisioning log tells)")
	f.DurationVar(&u.opt.Retry.Wait, "max-wait", time.Hour, "how long to wait when the service throttles, is full or cannot be reached")
	f.IntVar(&u.opt.Concurrency, "concurrency", 8, "requests in flight")
	f.Float64Var(&u.opt.Rate, "rate", 0, "requests a second at most (default what the service bears)")

	f.StringVar(&u.journal, "journal", "", "`FILE` that remembers how far the upload has come (default FILE.induct-upload)")
	f.BoolVar(&u.noJournal, "no-journal", false, "remember nothing: an upload that is broken off begins anew")
	f.BoolVar(&u.restart, "restart", false, "begin anew although an upload of the file has not finished")
	f.StringVar(&u.failed, "failed", "", "`FILE` for the rows that failed (default FILE.failed.csv, or .jsonl)")
	f.BoolVar(&u.asJSON, "json", false, "events and summary as JSON lines on standard output")
	cmd.MarkFlagsMutuallyExclusive("journal", "no-journal")
	cmd.MarkFlagsMutuallyExclusive("validate", "dry-run")
}

func inputFlags(cmd *cobra.Command, opt *records.Options) {
	f := cmd.Flags()
	f.StringVar((*string)(&opt.Format), "format", "", "csv, excel, json, jsonl or scim (default what the content looks like)")
	f.StringVar(&opt.Delimiter, "delimiter", "", "of CSV: one `CHARACTER`, or tab (default what the header shows)")
	f.StringVar(&opt.Encoding, "encoding", "", "of CSV: a `NAME` such as windows-1252 (default what the bytes show)")
	f.StringVar(&opt.Sheet, "sheet", "", "of a workbook: the sheet's `NAME` (default the first)")
}

func (u *uploadJob) run(cmd *cobra.Command, path string) error {
	if err := u.check(); err != nil {
		return err
	}
	file, err := records.Open(path, u.input)
	if err != nil {
		return &exitError{upload.ExitUsage, err}
	}
	defer file.Close()
	mapping, m, err := u.readMapping(path, file)
	if err != nil {
		return &exitError{upload.ExitUsage, err}
	}
	switch {
	case u.validate:
		return u.validateFile(cmd.OutOrStdout(), file, m)
	case u.dryRun:
		return u.printRequests(cmd.OutOrStdout(), file, m)
	}
	return u.send(cmd, path, file, mapping, m)
}

func (u *uploadJob) check() error {
	switch upload.State(u.until) {
	case upload.StateAccepted, upload.StateDone, upload.StateSettled:
		u.opt.Until = upload.State(u.until)
	default:
		return fmt.Errorf("--until %s: use accepted, done or settled", u.until)
	}
	switch {
	case u.row != 0 && !u.dryRun:
		return errors.New("--row goes with --dry-run")
	case u.opt.Retry.Wait <= 0:
		return errors.New("--max-wait must be longer than 0")
	case u.opt.Rate < 0 || u.opt.Concurrency < 1:
		return errors.New("--rate and --concurrency must not be negative")
	}
	return nil
}

func (u *uploadJob) readMapping(path string, file *records.File) ([]byte, *records.Mapping, error) {
	if u.mapping == "" {
		if f := file.Format(); f == records.FormatCSV || f == records.FormatExcel {
			return nil, nil, fmt.Errorf("a table needs --mapping FILE: which column is which attribute. `induct upload init %s -o mapping.json` suggests one", path)
		}
		return nil, nil, nil
	}
	text, err := os.ReadFile(u.mapping)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping: %w", err)
	}
	m, err := records.ParseMapping(text)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping %s: %w", u.mapping, err)
	}
	return text, m, nil
}

func (u *uploadJob) send(cmd *cobra.Command, path string, file *records.File, mapping []byte, m *records.Mapping) error {
	if err := u.fill(cmd.ErrOrStderr()); err != nil {
		return err
	}
	if same(u.failed, path) || same(u.failed, u.mapping) {
		return errors.New("--failed names a file that is read; name another")
	}
	client, err := newClient(u.cfg)
	if err != nil {
		return &exitError{upload.ExitUsage, err}
	}
	// The file is read twice: the first time to know that it is well-formed before anything is sent.
	if u.opt.Total, err = countRecords(file, m); err != nil {
		return &exitError{upload.ExitUsage, err}
	}
	if u.opt.Journal, err = u.openJournal(path, client, file, mapping); err != nil {
		return &exitError{upload.ExitUsage, err}
	}
	events := upload.Present(os.Stderr)
	if u.asJSON {
		events = upload.JSON(cmd.OutOrStdout())
	}
	if began, ok := u.opt.Journal.Resumed(); ok {
		events(upload.Noted{Text: "Going on with the upload that began " + began.Local().Format("2006-01-02 15:04") + "."})
	}
	u.opt.Outcomes = &upload.Outcomes{}
	defer u.opt.Outcomes.Close()
	var finished upload.Finished
	sum, err := runUpload(cmd.Context(), client, file, m, u.opt, func(e upload.Event) {
		if f, ok := e.(upload.Finished); ok { // told when the file of failed rows is written
			finished = f
			return
		}
		events(e)
	})
	code := upload.ExitCode(sum, err)
	sum.FailedFile, sum.Journal, err = u.conclude(path, file, err == nil && sum.Ends["unknown"] == 0, err)
	finished.Summary, finished.Err = sum, err
	events(finished)
	if !u.asJSON && (sum.Read > 0 || err == nil) {
		upload.PrintSummary(cmd.OutOrStdout(), sum)
	}
	if code != upload.ExitOK {
		return &exitError{code, err}
	}
	return err
}

// conclude writes the rows that failed and closes the journal, for good if the upload has finished; the names are ""
// where there is no file.
func (u *uploadJob) conclude(path string, file *records.File, finished bool, run error) (failed, journal string, err error) {
	failed, err = u.writeFailed(path, file)
	kept, e := u.opt.Journal.Close(finished && err == nil)
	if kept {
		journal = u.opt.Journal.Path()
	}
	return failed, journal, errors.Join(run, err, e)
}

func (u *uploadJob) openJournal(path string, client *upload.Client, file *records.File, mapping []byte) (*upload.Journal, error) {
	name := u.journal
	if name == "" && path != "-" {
		name = path + ".induct-upload"
	}
	if u.noJournal || name == "" {
		return nil, nil
	}
	content, err := file.Fingerprint()
	if err != nil {
		return nil, err
	}
	print := client.Fingerprint(content, string(mapping), string(file.Format()), u.input.Delimiter, u.input.Encoding, u.input.Sheet)
	return upload.OpenJournal(name, print, u.restart)
}

// same reports whether both are names of one file.
func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// writeFailed writes the rows that failed, whole or not at all, and returns the file's name; "" if none did.
func (u *uploadJob) writeFailed(path string, file *records.File) (string, error) {
	name := u.failed
	if name == "" {
		if path == "-" {
			return "", nil
		}
		name = path + ".failed.csv"
		if f := file.Format(); f != records.FormatCSV && f != records.FormatExcel {
			name = path + ".failed.jsonl"
		}
	}
	if !u.opt.Outcomes.Failed() {
		return "", nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".induct-failed-*") // its mode is 0600: these are people
	if err != nil {
		return "", fmt.Errorf("writing the rows that failed: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = file.WriteFailed(tmp, func(line int) (records.Failure, bool) {
		o, ok := u.opt.Outcomes.Line(line)
		return records.Failure{Line: o.Line, Anchor: o.Anchor, End: o.End, Code: o.Code, Attribute: o.Attribute, Reason: o.Reason, Advice: o.Advice},
			ok && o.End == "failed"
	})
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return "", fmt.Errorf("writing the rows that failed: %w", err)
	}
	return name, nil
}

func countRecords(file *records.File, m *records.Mapping) (int, error) {
	src, err := file.Records(m)
	if err != nil {
		return 0, err
	}
	return records.Count(src)
}

func runUpload(ctx context.Context, client *upload.Client, file *records.File, m *records.Mapping, opt upload.Options, events func(upload.Event)) (upload.Summary, error) {
	src, err := file.Records(m)
	if err != nil {
		return upload.Summary{}, err
	}
	return client.Run(ctx, src, opt, events)
}
