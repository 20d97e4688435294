package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (j *jobSession) statusCommand() *cobra.Command {
	var watch, check bool
	interval := 5 * time.Second
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What state the job is in, what waits, and what to do",
		Long: "Shows the job's state, its quarantine and the way out, its queue, what is held and retried, the last cycle, all ends to date,\n" +
			"and the brake on disables and deletions. --check ends with exit code 3 if the job is in quarantine or changes wait for a verdict.",
		Example: "  induct job status --credentials induct.env\n  induct job status --watch\n  induct job status --check --json | jq .status.quarantine.reason",
		Args:    cobra.NoArgs,
		RunE: j.does(func(ctx context.Context, _ []string) error {
			switch {
			case interval < time.Second:
				return &exitError{exitJobUsage, errors.New("--interval is at least 1s")}
			case watch && check:
				return &exitError{exitJobUsage, errors.New("--watch or --check, not both")}
			case watch:
				return j.watch(ctx, interval)
			}
			job, raw, err := j.job(ctx)
			if err != nil {
				return err
			}
			if err := j.showStatus(job, raw); err != nil {
				return err
			}
			if check && job.needsAttention() {
				return &exitError{code: exitJobAttention}
			}
			return nil
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&watch, "watch", false, "show it again whenever it has changed, until Ctrl-C")
	f.DurationVar(&interval, "interval", interval, "with --watch: how often to look")
	f.BoolVar(&check, "check", false, "exit code 3 if the job needs attention")
	return cmd
}

// job reads the job.
func (j *jobSession) job(ctx context.Context) (*jobResource, json.RawMessage, error) {
	var raw json.RawMessage
	call := j.call("reading the job", "GET", j.client.JobURL())
	call.Advice[404] = "check the ids of service principal and job"
	if _, err := j.client.Do(ctx, call, &raw); err != nil {
		return nil, nil, err
	}
	var job jobResource
	if err := json.Unmarshal(raw, &job); err != nil {
		return nil, nil, fmt.Errorf("reading the job: the service's answer is not what was expected: %w", err)
	}
	return &job, raw, nil
}

// watch shows the job whenever it has changed.
func (j *jobSession) watch(ctx context.Context, interval time.Duration) error {
	f, _ := j.out.(*os.File)
	redraw := f != nil && !j.asJSON && term.IsTerminal(int(f.Fd()))
	out := j.out
	last := ""
	for {
		job, raw, err := j.job(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			var b bytes.Buffer
			j.out = &b
			err = j.showStatus(job, raw)
			j.out = out
			if err != nil {
				return err
			}
			if text := b.String(); redraw {
				fmt.Fprintf(out, "\x1b[H\x1b[2J%s\n%s; Ctrl-C ends it\n", text, time.Now().Format("15:04:05"))
			} else if text != last {
				if last != "" && !j.asJSON {
					fmt.Fprintln(out)
				}
				fmt.Fprint(out, text)
				last = text
			}
		}
		select {
		case <-ctx.Done(): // that is how a watch ends
			return nil
		case <-time.After(interval):
		}
	}
}

// needsAttention reports whether people have to do something.
func (r *jobResource) needsAttention() bool {
	return r.Status.Quarantine != nil || r.Pending != nil && r.Pending.Staged > 0
}

func (j *jobSession) showStatus(job *jobResource, raw json.RawMessage) error {
	if j.asJSON {
		return j.printRaw(raw)
	}
	t := j.table()
	t.row("Job", job.ID)
	t.row("State", job.state())
	if q := job.Status.Quarantine; q != nil {
		t.row("Quarantine", q.Reason+" since "+clock(q.Began))
		if q.Error != nil {
			t.row("", q.Error.Message)
		}
		t.row("", "next attempt "+clock(q.NextAttempt))
	}
	if q := job.Queue; q != nil {
		t.row("Queue", queueLine(q.Records, q.Age))
	}
	if p := job.Pending; p != nil {
		t.row("Held", fmt.Sprintf("%d, of them %d staged for a verdict", p.Held, p.Staged))
		t.row("Retrying", fmt.Sprint(p.Retrying))
	}
	t.row("Last cycle", job.Status.Last.line())
	if r := job.Reevaluation; r != nil && r.Ended == nil {
		t.row("Re-evaluation", fmt.Sprintf("since %s, %s so far", clock(r.Began), howMany(r.Evaluated, "person", "people")))
	}
	if job.Totals != nil {
		t.row("To date", endsLine(job.Totals))
	}
	if job.Enabled != nil {
		t.row("Accounts", howMany(*job.Enabled, "linked account is enabled", "linked accounts are enabled"))
	}
	if job.Brake != nil {
		t.row("Brake", job.brakeLine())
	}
	t.end()
	j.sayTodo(job)
	return nil
}

// state says whether the job works.
func (r *jobResource) state() string {
	switch code := r.Status.Code; {
	case r.Schedule.State == "Paused", r.Schedule.State == "Disabled":
		return r.Schedule.State + ": uploads are accepted and wait"
	case code == "NotRun":
		return r.Schedule.State + ", and no cycle has ended yet"
	default:
		return code
	}
}

func queueLine(records, age int64) string {
	if records == 0 {
		return "empty"
	}
	return fmt.Sprintf("%s, the oldest since %s", howMany(records, "record", "records"), time.Duration(age)*time.Second)
}

func (e *jobExecution) line() string {
	if e == nil || e.Ended == nil || e.Ended.IsZero() {
		return "none has ended yet"
	}
	text := fmt.Sprintf("%s, ended %s: %s, %d exported, %d failed or retried", e.State, clock(e.Ended), howMany(e.Imported, "record", "records"), e.Exported, e.Escrowed)
	if e.Error != nil && e.Error.Message != "" {
		text += "; " + e.Error.Message
	}
	return text
}

// endWords are the ends of a record, in the order in which they are shown.
var endWords = []string{"created", "updated", "unchanged", "disabled", "deleted", "skipped", "failed", "superseded", "rejected", "purged"}

func endsLine(ends map[string]int64) string {
	var all []string
	for _, end := range endWords {
		if ends[end] > 0 {
			all = append(all, fmt.Sprintf("%d %s", ends[end], end))
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}

func (r *jobResource) brakeLine() string {
	var limits []string
	if r.Brake.Threshold != nil {
		limits = append(limits, fmt.Sprint(*r.Brake.Threshold))
	}
	if r.Brake.Percent != nil {
		limits = append(limits, fmt.Sprintf("%g %% of the enabled accounts", *r.Brake.Percent))
	}
	window := strings.TrimSuffix(strings.TrimPrefix(r.Brake.Window, "PT"), "M") + " minutes"
	if len(limits) == 0 {
		return fmt.Sprintf("no limit; %d disabled or deleted within the last %s", r.Brake.Executed, window)
	}
	return fmt.Sprintf("stops at more than %s; %d disabled or deleted within the last %s", strings.Join(limits, " or "), r.Brake.Executed, window)
}

// sayTodo says what somebody who looks at the job can do about it.
func (j *jobSession) sayTodo(job *jobResource) {
	todo := job.todo()
	if len(todo) == 0 {
		return
	}
	fmt.Fprintln(j.out, "\nWhat to do")
	t := j.table()
	for _, cells := range todo {
		t.row("  "+cells[0], cells[1])
	}
	t.end()
}

// todo are commands that help, each with what it does.
func (r *jobResource) todo() (all [][2]string) {
	add := func(command, does string) { all = append(all, [2]string{command, does}) }
	q := r.Status.Quarantine
	switch {
	case r.Pending != nil && r.Pending.Staged > 0:
		add("induct job held --staged", "whose accounts they are")
		add("induct job approve ID… | --all", "disable or delete them")
		add("induct job reject ID… | --all", "leave them as they are")
	case q == nil:
	case q.Error != nil && q.Error.Code == "NotificationEmailMissing":
		add("induct job notify ADDRESS", "who gets mail when the job needs attention; it is tried at once")
		add("induct job settings InductRunWithoutNotificationMail=True", "or let it run without, then induct job start")
	case q.Reason == "TooManyDeletes":
		add("induct job start", "all is decided: try at once")
	default:
		add("induct job log --status failure", "what failed")
		add("induct job start", "the cause is removed: try at once")
	}
	if r.Schedule.State == "Paused" || r.Schedule.State == "Disabled" {
		add("induct job start", "let it work again")
	}
	if r.Pending != nil && r.Pending.Retrying > 0 {
		add("induct job escrows", "what is retried, and why")
	}
	return all
}
