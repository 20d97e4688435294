package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"induct/internal/upload"
)

// Exit codes of induct job.
const (
	exitJobFailed    = 1 // the service refused or did not answer, or what was asked for failed
	exitJobUsage     = 2 // the command line is wrong
	exitJobAttention = 3 // status --check: the job is in quarantine, or changes wait for a verdict
)

const jobHelp = `Looks at a provisioning job and steers it, over the same API and with the same credentials as ` + "`induct upload`" + `:
flags, else --credentials FILE, else the environment (GRAPH_BASE SP_ID JOB_ID AUTHORITY CLIENT_ID CLIENT_SECRET …;
` + "`induct upload --help`" + ` has them all). The client needs Synchronization.Read.All to look, Synchronization.ReadWrite.All to
steer, ProvisioningLog.Read.All for log and explain, AuditLog.Read.All for audit.

With --json each prints the service's own resources, one JSON object a line.

Exit codes
    0  fine
    1  the service refused or did not answer, or what was asked for failed: read the message
    2  the command line is wrong
    3  status --check: the job needs attention, it is in quarantine or changes wait for a verdict
  130  interrupted`

const jobExamples = `  induct job status --credentials induct.env        # what is wrong, and what to do
  induct job held --credentials induct.env          # whose accounts would be disabled or deleted
  induct job approve 4711 4712 --credentials induct.env
  induct job explain 4711 --credentials induct.env  # what became of this person, and why

  # or once for all
  set -a; . ./induct.env; set +a
  induct job status --check || page-somebody`

// jobSession is a command's way to a job. Text of the service is made safe for a terminal before it is shown.
type jobSession struct {
	access
	asJSON bool

	client *upload.Client
	out    io.Writer
	errs   io.Writer
	in     io.Reader
}

func jobCommand() *cobra.Command {
	j := &jobSession{}
	cmd := group(&cobra.Command{Use: "job", Short: "Look at a job and steer it: what waits, what failed, what to decide", Long: jobHelp, Example: jobExamples},
		j.statusCommand(), j.startCommand(), j.pauseCommand(), j.restartCommand(), j.heldCommand(), j.approveCommand(), j.rejectCommand(), j.escrowsCommand(),
		j.runCommand(), j.explainCommand(), j.logCommand(), j.auditCommand(), j.connectionCommand(), j.settingsCommand(), j.notifyCommand())
	j.flags(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&j.asJSON, "json", false, "the service's own resources, one JSON object a line")
	asUsage(cmd)
	return cmd
}

// asUsage has errors of the command line end with exitJobUsage.
func asUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return usageError(cmd, check(cmd, args)) }
	}
	for _, c := range cmd.Commands() {
		asUsage(c)
	}
}

func usageError(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitJobUsage, fmt.Errorf("%w\n`%s --help` explains", err, cmd.CommandPath())}
}

// does makes a command's RunE of what it does once it can reach the job.
func (j *jobSession) does(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		j.out, j.errs, j.in = cmd.OutOrStdout(), cmd.ErrOrStderr(), cmd.InOrStdin()
		err := j.fill(j.errs)
		if err == nil {
			j.client, err = newClient(j.cfg)
		}
		if err != nil {
			return &exitError{exitJobUsage, fmt.Errorf("%w\nWhere the job is and as whom to come: --credentials FILE, flags or the environment; `induct job --help` explains", err)}
		}
		if err = do(cmd.Context(), args); err == nil {
			return nil
		}
		var x *exitError
		switch {
		case errors.As(err, &x):
			return x
		case cmd.Context().Err() != nil:
			return &exitError{upload.ExitInterrupted, errors.New("interrupted")}
		}
		return &exitError{exitJobFailed, err}
	}
}

const advisePermission = "the client needs one of the application permissions that are named, granted by an administrator, and then a new token"

// call completes what is the same for all calls.
func (j *jobSession) call(op, method, url string) upload.Call {
	return upload.Call{Op: op, Method: method, URL: url, Advice: map[int]string{401: advisePermission, 403: advisePermission},
		Retried: func(r upload.Retried) {
			fmt.Fprintf(j.errs, "induct: %s; tried again in %s\n", r.Cause, r.Wait.Round(100*time.Millisecond))
		}}
}

// get reads a resource.
func (j *jobSession) get(ctx context.Context, op, url string, into any) error {
	_, err := j.client.Do(ctx, j.call(op, "GET", url), into)
	return err
}

func isStatus(err error, status int) bool {
	var refused *upload.ServiceError
	return errors.As(err, &refused) && refused.Status == status
}

// walk gives the first elements of a collection to show, limit of them, or all if limit is 0; with --json it prints them
// instead. more tells that there are others.
func walk[T any](ctx context.Context, j *jobSession, op, url string, limit int, show func(T)) (n int, more bool, err error) {
	err = upload.Pages(ctx, j.client, j.call(op, "GET", url), func(page []json.RawMessage) (bool, error) {
		for _, raw := range page {
			if more = limit > 0 && n == limit; more {
				return false, nil
			}
			n++
			if j.asJSON {
				if err := j.printRaw(raw); err != nil {
					return false, err
				}
				continue
			}
			var v T
			if err := json.Unmarshal(raw, &v); err != nil {
				return false, fmt.Errorf("%s: the service's answer is not what was expected: %w", op, err)
			}
			show(v)
		}
		return true, nil
	})
	return n, more, err
}

// printRaw prints what the service has sent, as one line.
func (j *jobSession) printRaw(raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(j.out)
	return err
}

// printJSON prints an object that is not the service's, as one line.
func (j *jobSession) printJSON(v any) error {
	enc := json.NewEncoder(j.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// say writes a line for people; with --json there is none.
func (j *jobSession) say(format string, args ...any) {
	if !j.asJSON {
		fmt.Fprintln(j.out, upload.Clean(fmt.Sprintf(format, args...)))
	}
}

// table aligns rows.
type table struct{ w *tabwriter.Writer }

func (j *jobSession) table() table { return table{tabwriter.NewWriter(j.out, 0, 0, 2, ' ', 0)} }

func (t table) row(cells ...string) {
	for i, c := range cells {
		if i > 0 {
			io.WriteString(t.w, "\t")
		}
		io.WriteString(t.w, upload.Clean(c))
	}
	io.WriteString(t.w, "\n")
}

func (t table) end() { t.w.Flush() }

// clock writes a time for somebody who looks at a clock, "-" for none.
func clock(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// howMany writes a number of things.
func howMany[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
