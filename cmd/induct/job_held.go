package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// mostDecided is how many people a verdict names at most.
const mostDecided = 1000

func (j *jobSession) heldCommand() *cobra.Command {
	var staged bool
	cmd := &cobra.Command{
		Use:   "held",
		Short: "Whose accounts would be disabled or deleted",
		Long: "Lists the disables and deletions that are held, in the order in which they were first held. Those that are staged wait for a verdict:\n" +
			"there were more of them than the job's brake lets pass. The others are carried out at the end of their cycle, or join them.",
		Example: "  induct job held --staged\n  induct job held --json | jq -r .externalId",
		Args:    cobra.NoArgs,
		RunE: j.does(func(ctx context.Context, _ []string) error {
			u := j.client.JobURL("heldChanges") + "?$top=1000"
			if staged {
				u += "&staged=true"
			}
			return j.listPending(ctx, "reading what is held", u, heldTable)
		}),
	}
	cmd.Flags().BoolVar(&staged, "staged", false, "only what waits for a verdict")
	return cmd
}

func (j *jobSession) escrowsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "escrows",
		Short:   "Records that failed for a reason that may pass, and are tried again",
		Long:    "Lists the records that are tried again, with the reason and the next attempt. `induct job run ID` tries one at once.",
		Example: "  induct job escrows --credentials induct.env",
		Args:    cobra.NoArgs,
		RunE: j.does(func(ctx context.Context, _ []string) error {
			return j.listPending(ctx, "reading what is retried", j.client.JobURL("escrows")+"?$top=1000", escrowTable)
		}),
	}
}

// pendingTable is how pending records are shown: the columns, the cells of one, and what is said if there is none.
type pendingTable struct {
	columns []string
	cells   func(p *pendingResource) []string
	none    string
}

var heldTable = pendingTable{
	[]string{"PERSON", "ACTION", "SINCE", "ACCOUNT", "STATE"},
	func(p *pendingResource) []string {
		return []string{p.person(), p.Action, clock(p.Since), cmp.Or(p.TargetName, p.TargetID, "-"), p.heldState()}
	},
	"Nothing is held.",
}

var escrowTable = pendingTable{
	[]string{"PERSON", "ACTION", "SINCE", "ATTEMPTS", "NEXT", "REASON"},
	func(p *pendingResource) []string {
		return []string{p.person(), p.Action, clock(p.Since), fmt.Sprint(p.Attempts), clock(p.NextAttempt), p.failure()}
	},
	"Nothing is retried.",
}

// heldState says what a held change waits for.
func (p *pendingResource) heldState() string {
	switch {
	case p.Verdict != "":
		return p.Verdict + ", waits for its turn"
	case p.Staged:
		return "staged for a verdict"
	}
	return "waits for the end of its cycle"
}

// failure is why a record is retried.
func (p *pendingResource) failure() string {
	if p.Error == nil {
		return "-"
	}
	text := p.Error.Code
	if p.Error.Attribute != "" {
		text += " (" + p.Error.Attribute + ")"
	}
	return text + ": " + p.Error.Reason
}

func (j *jobSession) listPending(ctx context.Context, op, u string, how pendingTable) error {
	t := j.table()
	header := how.columns
	n, _, err := walk(ctx, j, op, u, 0, func(p pendingResource) {
		if header != nil {
			t.row(header...)
			header = nil
		}
		t.row(how.cells(&p)...)
	})
	t.end()
	if err == nil && n == 0 {
		j.say("%s", how.none)
	}
	return err
}

func (j *jobSession) approveCommand() *cobra.Command {
	return j.decideCommand("approve", "Carry held disables and deletions out",
		"Approves held changes: of the people who are named by externalId, or with --all everything that is held. Each is planned anew from the\n"+
			"person's latest record and carried out while the job is started. If nothing is held of one of the people, nothing is decided.")
}

func (j *jobSession) rejectCommand() *cobra.Command {
	return j.decideCommand("reject", "Never carry held disables and deletions out",
		"Rejects held changes: of the people who are named by externalId, or with --all everything that is held. The accounts stay as they are;\n"+
			"the records end as rejected. The next record of a person counts again. If nothing is held of one of the people, nothing is decided.")
}

func (j *jobSession) decideCommand(verdict, short, long string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     verdict + " ID… | --all",
		Short:   short,
		Long:    long,
		Example: "  induct job " + verdict + " 4711 4712\n  induct job " + verdict + " --all",
		Args: func(_ *cobra.Command, ids []string) error {
			switch {
			case all && len(ids) > 0:
				return errors.New("--all or externalIds, not both")
			case !all && len(ids) == 0:
				return errors.New("name the people by externalId, or give --all; `induct job held` lists them")
			case len(ids) > mostDecided:
				return fmt.Errorf("at most %d people are decided at a time", mostDecided)
			case slices.Contains(ids, ""):
				return errors.New("an externalId is empty")
			}
			return nil
		},
		RunE: j.does(func(ctx context.Context, ids []string) error { return j.decide(ctx, verdict, ids) }),
	}
	cmd.Flags().BoolVar(&all, "all", false, "everything that is held now")
	return cmd
}

// decide gives a verdict on what is held of people; of all if there are no ids.
func (j *jobSession) decide(ctx context.Context, verdict string, ids []string) error {
	call := j.call(verdict, "POST", j.client.JobURL("heldChanges", verdict))
	call.Once = true
	call.Advice[404] = "`induct job held` lists what is held"
	call.Body = map[string]any{"all": true}
	if len(ids) > 0 {
		call.Body = map[string]any{"externalIds": ids}
	}
	var done struct {
		Decided int `json:"decided"`
	}
	if _, err := j.client.Do(ctx, call, &done); err != nil {
		return err
	}
	if j.asJSON {
		return j.printJSON(done)
	}
	word := map[string]string{"approve": "approved", "reject": "rejected"}[verdict]
	if done.Decided == 0 {
		j.say("Nothing is held: there was nothing to decide.")
		return nil
	}
	j.say("%s %s.", howMany(done.Decided, "change", "changes"), word)
	return j.sayUndecided(ctx, verdict)
}

// sayUndecided says what a verdict has left to do.
func (j *jobSession) sayUndecided(ctx context.Context, verdict string) error {
	job, _, err := j.job(ctx)
	if err != nil {
		return nil // the verdict stands; whoever looks next is told
	}
	if verdict == "approve" && job.Schedule.State != "Active" {
		j.say("The job is %s; they are carried out when it is started: induct job start", strings.ToLower(job.Schedule.State))
	}
	waits := 0
	_, more, err := walk(ctx, j, "reading what is held", j.client.JobURL("heldChanges")+"?staged=true&$top=1000", 1000, func(p pendingResource) {
		if p.Verdict == "" {
			waits++
		}
	})
	if err == nil && (waits > 0 || more) {
		j.say("Others wait for a verdict: induct job held --staged")
	}
	return nil
}
