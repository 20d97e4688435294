package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// logStatuses are those of an entry of the provisioning log.
var logStatuses = []string{"success", "failure", "skipped", "warning"}

// logFilter is what a log is narrowed to.
type logFilter struct {
	person, status, upload string
	since                  string
	limit                  int
}

func (j *jobSession) logCommand() *cobra.Command {
	var f logFilter
	cmd := &cobra.Command{
		Use:   "log",
		Short: "What was done, newest first",
		Long: "Lists the job's entries of the provisioning log, newest first; of one upload in the order of its operations, and all of them.\n" +
			"--since is a time (2026-11-20, 2026-11-20T10:00, with or without a zone) or how long ago (90m, 36h).",
		Example: "  induct job log --status failure --since 24h\n  induct job log --person 4711 --limit 0\n  induct job log --upload 6b1d0a1e-7f0c-4d1b-9a53-0c3c1f0e7d52 --json",
		Args:    cobra.NoArgs,
		RunE: j.does(func(ctx context.Context, _ []string) error {
			since, err := f.check(time.Now())
			if err != nil {
				return &exitError{exitJobUsage, err}
			}
			if f.upload != "" {
				return j.uploadLog(ctx, f)
			}
			return j.log(ctx, f, since)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.person, "person", "", "only of the person with this `externalId`")
	flags.StringVar(&f.status, "status", "", "only success, failure, skipped or warning")
	flags.StringVar(&f.since, "since", "", "only from this `TIME` on, or so long ago")
	flags.StringVar(&f.upload, "upload", "", "only of the upload with this `ID`")
	flags.IntVar(&f.limit, "limit", 50, "most entries; 0 is all")
	return cmd
}

// check reads since and refuses what does not fit.
func (f *logFilter) check(now time.Time) (since time.Time, err error) {
	if f.status = strings.ToLower(f.status); f.status != "" && !slices.Contains(logStatuses, f.status) {
		return since, fmt.Errorf("--status %s: it is one of %s", f.status, strings.Join(logStatuses, ", "))
	}
	if f.limit < 0 {
		return since, errors.New("--limit must not be negative")
	}
	if f.upload != "" && (f.person != "" || f.since != "") {
		return since, errors.New("--upload goes with --status alone")
	}
	if _, err := uuid.Parse(f.upload); f.upload != "" && err != nil {
		return since, fmt.Errorf("--upload %q is not an upload's id: `induct upload --json` prints them, and the 202 has them as x-induct-upload-id", f.upload)
	}
	if f.since == "" {
		return since, nil
	}
	return parseSince(f.since, now)
}

// parseSince reads a time, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %q is neither a time such as 2026-11-20T10:00 nor a span such as 36h", text)
}

// conditions are the filter of the job's entries.
func (j *jobSession) conditions(f logFilter, since time.Time) string {
	all := []string{"jobId eq " + odataText(j.client.JobID())}
	if f.person != "" {
		all = append(all, "sourceIdentity/id eq "+odataText(f.person))
	}
	if f.status != "" {
		all = append(all, "provisioningStatusInfo/status eq "+odataText(f.status))
	}
	if !since.IsZero() {
		all = append(all, "activityDateTime ge "+since.UTC().Format(time.RFC3339Nano))
	}
	return strings.Join(all, " and ")
}

// odataText is a string of an OData filter.
func odataText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// filtered is the URL of the part of a collection that a filter lets through.
func filtered(collection, filter string, top int) string {
	return fmt.Sprintf("%s?$filter=%s&$top=%d", collection, strings.ReplaceAll(url.QueryEscape(filter), "+", "%20"), top)
}

// pageSize is how many elements are asked for at a time if limit of them are wanted.
func pageSize(limit int) int {
	if limit == 0 {
		return 1000
	}
	return min(limit+1, 1000)
}

func (j *jobSession) logs() string { return j.client.GraphURL("auditLogs", "provisioning") }

func (j *jobSession) log(ctx context.Context, f logFilter, since time.Time) error {
	t := j.logTable()
	n, more, err := walk(ctx, j, "reading the log", filtered(j.logs(), j.conditions(f, since), pageSize(f.limit)), f.limit, t.entry)
	t.end()
	if err != nil {
		return err
	}
	if n == 0 {
		j.say("The log has no such entries.")
	}
	if more {
		fmt.Fprintf(j.errs, "There are more: --limit 0 shows all.\n")
	}
	return nil
}

// uploadLog lists the entries of an upload, which the log knows by its operations' changes.
func (j *jobSession) uploadLog(ctx context.Context, f logFilter) error {
	u := j.client.JobURL("uploads", f.upload, "operations") + "?$top=1000"
	quiet := *j
	quiet.asJSON = false
	var changes []string
	_, _, err := walk(ctx, &quiet, "reading the upload", u, 0, func(op struct {
		ChangeID string `json:"changeId"`
	}) {
		changes = append(changes, op.ChangeID)
	})
	if isStatus(err, http.StatusNotFound) {
		return fmt.Errorf("there is no upload %s in this job", f.upload)
	}
	if err != nil {
		return err
	}
	t := j.logTable()
	shown := 0
	for _, change := range changes {
		filter := "changeId eq " + odataText(change) + " and " + j.conditions(f, time.Time{})
		n, _, err := walk(ctx, j, "reading the log", filtered(j.logs(), filter, 100)+"&$orderby=activityDateTime", 0, t.entry)
		if err != nil {
			t.end()
			return err
		}
		shown += n
	}
	t.end()
	if shown == 0 {
		j.say("The log has no such entries: the upload waits, or was thrown out by a restart.")
	}
	return nil
}

// logTable shows entries of the log.
type logTable struct {
	table
	headed bool
}

func (j *jobSession) logTable() *logTable { return &logTable{table: j.table()} }

func (t *logTable) entry(e logResource) {
	if !t.headed {
		t.row("TIME", "PERSON", "WHAT", "ACCOUNT", "WHY")
		t.headed = true
	}
	t.row(clock(e.Time), personName(e.Source.ID, e.Source.DisplayName), e.outcome(), orDash(e.Target.account()), orDash(e.why()))
}

func (j *jobSession) auditCommand() *cobra.Command {
	var f logFilter
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Who changed or steered the job, newest first",
		Long:    "Lists who started, paused and restarted the job, changed its settings or mappings, decided on what was held, and when it was in quarantine.",
		Example: "  induct job audit --since 168h",
		Args:    cobra.NoArgs,
		RunE: j.does(func(ctx context.Context, _ []string) error {
			since, err := f.check(time.Now())
			if err != nil {
				return &exitError{exitJobUsage, err}
			}
			return j.audit(ctx, f.limit, since)
		}),
	}
	cmd.Flags().StringVar(&f.since, "since", "", "only from this `TIME` on, or so long ago")
	cmd.Flags().IntVar(&f.limit, "limit", 50, "most entries; 0 is all")
	return cmd
}

// audit lists what was done to the job, and to its app.
func (j *jobSession) audit(ctx context.Context, limit int, since time.Time) error {
	filter := "targetResources/any(t:t/id eq " + odataText(j.client.ServicePrincipal()) + ")"
	if !since.IsZero() {
		filter += " and activityDateTime ge " + since.UTC().Format(time.RFC3339Nano)
	}
	t := j.table()
	header := []string{"TIME", "WHO", "WHAT", "DETAILS"}
	n, more, err := walk(ctx, j, "reading the audit log", filtered(j.client.GraphURL("auditLogs", "directoryAudits"), filter, pageSize(limit)), limit, func(a auditResource) {
		if header != nil {
			t.row(header...)
			header = nil
		}
		t.row(clock(a.Time), a.actor(), a.Activity, a.details())
	})
	t.end()
	if err != nil {
		return err
	}
	if n == 0 {
		j.say("The audit log has no such entries.")
	}
	if more {
		fmt.Fprintf(j.errs, "There are more: --limit 0 shows all.\n")
	}
	return nil
}

// details are the facts of an audit, without the job, which is the same in all.
func (a *auditResource) details() string {
	var all []string
	if a.Result == "failure" {
		all = append(all, "failed")
	}
	for _, d := range a.Details {
		if d.Key != "JobId" && d.Value != "" {
			all = append(all, d.Key+": "+d.Value)
		}
	}
	for _, t := range a.Targets {
		for _, m := range t.Modified {
			all = append(all, m.String())
		}
	}
	if a.Reason != "" {
		all = append(all, a.Reason)
	}
	return orDash(strings.Join(all, "; "))
}
