package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (j *jobSession) startCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "start",
		Short: "Start the job, or have one in quarantine tried at once",
		Long: "Starts a job that is paused or disabled, and ends a quarantine whose cause is removed: if it is not, the job is soon there again.\n" +
			"A quarantine for too many deletions stays until each held change is approved or rejected.",
		Example: "  induct job start --credentials induct.env",
		Args:    cobra.NoArgs,
		RunE:    j.does(func(ctx context.Context, _ []string) error { return j.steer(ctx, "start") }),
	}
}

func (j *jobSession) pauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pause",
		Short:   "Pause the job: uploads are accepted and wait",
		Long:    "Pauses the job. The cycle that is under way is finished, no other begins. Uploads are accepted and wait until the job is started.",
		Example: "  induct job pause --credentials induct.env",
		Args:    cobra.NoArgs,
		RunE:    j.does(func(ctx context.Context, _ []string) error { return j.steer(ctx, "pause") }),
	}
}

// steer starts or pauses the job and says how it is then.
func (j *jobSession) steer(ctx context.Context, action string) error {
	if _, err := j.client.Do(ctx, j.call(action+" the job", "POST", j.client.JobURL(action)), nil); err != nil {
		return err
	}
	job, raw, err := j.job(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("done, but how the job is now cannot be told: %w", err)
	case j.asJSON:
		return j.printRaw(raw)
	}
	j.say("The job is %s.", map[string]string{"start": "started", "pause": "paused"}[action])
	j.sayTrouble(job)
	return nil
}

// sayTrouble says what keeps a job from working, and what to do.
func (j *jobSession) sayTrouble(job *jobResource) {
	q := job.Status.Quarantine
	if q == nil {
		return
	}
	j.say("It is in quarantine: %s.", q.Reason)
	if q.Error != nil {
		j.say("%s", q.Error.Message)
	}
	j.sayTodo(job)
}

// resetScopes are the flags of Graph's synchronizationJobRestartScope, with what each does.
var resetScopes = []struct{ name, effect string }{
	{"None", "the job is started, and one in quarantine is tried at once"},
	{"Escrows", "what is retried is given up: send these people again"},
	{"Watermark", "everybody who was ever sent is evaluated again"},
	{"QuarantineState", "the quarantine ends; what is held stays held"},
	{"ConnectorDataStore", "all links to accounts are forgotten: people are matched anew"},
	{"Full", "all four of these"},
	{"ForceDeletes", "everything that is held is approved: these accounts are disabled or deleted"},
}

const usualScope = "Escrows,Watermark,QuarantineState"

func (j *jobSession) restartCommand() *cobra.Command {
	var yes bool
	scope := usualScope
	var long strings.Builder
	long.WriteString("Starts the job anew. Unless the scope is None or ForceDeletes alone, what waits in its queue is thrown out, and ends as purged: it asks\n" +
		"before, unless --yes is given. If you only want the job to run again, `induct job start` loses nothing.\n\nScopes\n")
	for _, s := range resetScopes {
		fmt.Fprintf(&long, "  %-20s %s\n", s.name, s.effect)
	}
	cmd := &cobra.Command{
		Use:     "restart",
		Short:   "Throw out what waits, forget what --scope names, and start the job",
		Long:    strings.TrimSpace(long.String()),
		Example: "  induct job restart --credentials induct.env\n  induct job restart --scope QuarantineState,Escrows --yes",
		Args:    cobra.NoArgs,
		RunE: j.does(func(ctx context.Context, _ []string) error {
			scopes, err := parseScopes(scope)
			if err != nil {
				return &exitError{exitJobUsage, err}
			}
			return j.restart(ctx, scopes, yes)
		}),
	}
	cmd.Flags().StringVar(&scope, "scope", scope, "what is forgotten: `NAMES` separated by commas")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// parseScopes reads names in any case and returns them as Graph spells them.
func parseScopes(text string) (scopes []string, err error) {
	var names []string
	for part := range strings.SplitSeq(text, ",") {
		i := -1
		for k, s := range resetScopes {
			if strings.EqualFold(s.name, strings.TrimSpace(part)) {
				i = k
			}
		}
		if i < 0 {
			for _, s := range resetScopes {
				names = append(names, s.name)
			}
			return nil, fmt.Errorf("--scope %q: there is no %q; it is some of %s", text, strings.TrimSpace(part), strings.Join(names, ", "))
		}
		if name := resetScopes[i].name; !slices.Contains(scopes, name) {
			scopes = append(scopes, name)
		}
	}
	return scopes, nil
}

// purges reports whether a restart with the scopes throws out the queue.
func purges(scopes []string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return s != "None" && s != "ForceDeletes" })
}

func (j *jobSession) restart(ctx context.Context, scopes []string, yes bool) error {
	if !yes && !slices.Equal(scopes, []string{"None"}) {
		job, _, err := j.job(ctx)
		if err != nil {
			return err
		}
		if err := j.confirm(job.restartEffects(scopes)); err != nil {
			return err
		}
	}
	scope := strings.Join(scopes, ",")
	call := j.call("restart of the job", "POST", j.client.JobURL("restart"))
	call.Once = true
	call.Body = map[string]any{"criteria": map[string]string{"resetScope": scope}}
	header, err := j.client.Do(ctx, call, nil)
	if err != nil {
		return err
	}
	return j.sayRestarted(ctx, scope, purges(scopes), header)
}

// restartEffects says what a restart with the scopes does.
func (r *jobResource) restartEffects(scopes []string) (all []string) {
	if purges(scopes) {
		waits := "what waits in the queue is thrown out"
		if r.Queue != nil {
			waits += ": " + howMany(r.Queue.Records, "record", "records") + " now"
		}
		all = append(all, waits)
	}
	for _, s := range resetScopes {
		if !slices.Contains(scopes, s.name) {
			continue
		}
		effect := s.effect
		switch {
		case r.Pending == nil:
		case s.name == "Escrows":
			effect += fmt.Sprintf(" (%d now)", r.Pending.Retrying)
		case s.name == "ForceDeletes":
			effect += fmt.Sprintf(" (%d now)", r.Pending.Held)
		}
		all = append(all, s.name+": "+effect)
	}
	return all
}

// confirm says what would happen and asks; an error unless the answer is yes.
func (j *jobSession) confirm(effects []string) error {
	fmt.Fprintln(j.errs, "A restart of the job:")
	for _, e := range effects {
		fmt.Fprintln(j.errs, "  "+e)
	}
	f, ok := j.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &exitError{exitJobUsage, errors.New("nobody can be asked here whether to go on, and nothing was done: add --yes")}
	}
	fmt.Fprint(j.errs, "Go on? [y/N] ")
	line, _ := bufio.NewReader(f).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return &exitError{exitJobFailed, errors.New("nothing was done")}
	}
	return nil
}

// Headers of the answer to a restart.
const (
	headerPurgedUploads = "x-induct-purged-uploads"
	headerPurgedRecords = "x-induct-purged-records"
)

// sayRestarted says what a restart has thrown out, as the answer tells.
func (j *jobSession) sayRestarted(ctx context.Context, scope string, purged bool, header http.Header) error {
	var uploads, records *int64
	for name, n := range map[string]**int64{headerPurgedUploads: &uploads, headerPurgedRecords: &records} {
		if v, err := strconv.ParseInt(header.Get(name), 10, 64); err == nil {
			*n = &v
		}
	}
	if j.asJSON {
		return j.printJSON(struct {
			Scope   string `json:"resetScope"`
			Uploads *int64 `json:"purgedUploads"`
			Records *int64 `json:"purgedRecords"`
		}{scope, uploads, records})
	}
	j.say("The job is restarted (%s).", scope)
	switch {
	case !purged:
	case records == nil || uploads == nil:
		j.say("This service does not say what it has thrown out of the queue.")
	case *records == 0:
		j.say("The queue was empty: nothing was purged.")
	default:
		j.say("Purged: %s of %s. They are not provisioned; send these people again.", howMany(*records, "record", "records"), howMany(*uploads, "upload", "uploads"))
	}
	if job, _, err := j.job(ctx); err == nil {
		j.sayTrouble(job)
	}
	return nil
}
