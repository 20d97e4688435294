package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// onePerson checks that an externalId is given.
func onePerson(_ *cobra.Command, args []string) error {
	if len(args) != 1 || strings.TrimSpace(args[0]) == "" {
		return errors.New("name one person by externalId")
	}
	return nil
}

func (j *jobSession) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run ID",
		Short: "Provision one person now, from what was sent last, and show each step",
		Long: "Provisions one person on demand, whatever state the job is in, from what was sent of the person so far, and shows each step.\n" +
			"ID is the externalId, or the id of the account. No brake holds it: a disable is carried out. Exit code 1 if it fails.",
		Example: "  induct job run 4711",
		Args:    onePerson,
		RunE:    j.does(func(ctx context.Context, args []string) error { return j.run(ctx, args[0]) }),
	}
}

// onDemandResource is what an on-demand run says of itself.
type onDemandResource struct {
	Action       string        `json:"action"`
	Milliseconds int64         `json:"durationInMilliseconds"`
	Source       logIdentity   `json:"sourceIdentity"`
	Target       logIdentity   `json:"targetIdentity"`
	Modified     []logModified `json:"modifiedProperties"`
	Steps        []logStep     `json:"provisioningSteps"`
	Info         struct {
		Status string `json:"status"`
		Error  *struct {
			Code   string `json:"errorCode"`
			Reason string `json:"reason"`
			Advice string `json:"recommendedAction"`
		} `json:"errorInformation"`
	} `json:"statusInfo"`
}

func (j *jobSession) run(ctx context.Context, id string) error {
	rule, err := j.rule(ctx)
	if err != nil {
		return err
	}
	call := j.call("provisioning on demand", http.MethodPost, j.client.JobURL("provisionOnDemand"))
	call.Once = true
	call.Body = map[string]any{"parameters": []any{map[string]any{"ruleId": rule,
		"subjects": []any{map[string]string{"objectId": id, "objectTypeName": "User"}}}}}
	var answer struct {
		Value json.RawMessage `json:"value"`
	}
	if _, err := j.client.Do(ctx, call, &answer); err != nil {
		return err
	}
	var text string
	var runs []json.RawMessage
	if json.Unmarshal(answer.Value, &text) == nil {
		answer.Value = json.RawMessage(text)
	}
	if err := json.Unmarshal(answer.Value, &runs); err != nil || len(runs) == 0 {
		return errors.New("provisioning on demand: the service's answer is not what was expected; induct job log tells what was done")
	}
	failed := false
	for _, raw := range runs {
		var r onDemandResource
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("provisioning on demand: the service's answer is not what was expected: %w", err)
		}
		failed = failed || strings.EqualFold(r.Info.Status, "failure")
		if j.asJSON {
			if err := j.printRaw(raw); err != nil {
				return err
			}
			continue
		}
		j.showRun(&r)
	}
	if failed {
		return &exitError{code: exitJobFailed}
	}
	return nil
}

// rule returns the id of the job's first synchronization rule, which Graph wants named.
func (j *jobSession) rule(ctx context.Context) (string, error) {
	var schema struct {
		Rules []struct {
			ID string `json:"id"`
		} `json:"synchronizationRules"`
	}
	err := j.get(ctx, "reading the schema", j.client.JobURL("schema"), &schema)
	if err != nil || len(schema.Rules) == 0 {
		return "", err
	}
	return schema.Rules[0].ID, nil
}

func (j *jobSession) showRun(r *onDemandResource) {
	j.say("%s: %s, %s in %s", personName(r.Source.ID, r.Source.DisplayName), strings.ToLower(r.Action), strings.ToLower(r.Info.Status), time.Duration(r.Milliseconds)*time.Millisecond)
	t := j.table()
	for _, s := range r.Steps {
		t.row("  "+cmp.Or(s.Type, s.Name), strings.ToLower(s.Status), s.Description)
	}
	t.end()
	for _, m := range r.Modified {
		j.say("  %s", m)
	}
	if e := r.Info.Error; e != nil {
		j.say("%s: %s", e.Code, e.Reason)
		if e.Advice != "" {
			j.say("What to do: %s", e.Advice)
		}
	}
}

const explainEntries = 50

func (j *jobSession) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "What became of one person, and why",
		Long: fmt.Sprintf("Tells all that the job knows of one person, by externalId: the account, what is held or retried and what to do about it, and the latest\n"+
			"%d entries of the log, in the order of time.", explainEntries),
		Example: "  induct job explain 4711",
		Args:    onePerson,
		RunE:    j.does(func(ctx context.Context, args []string) error { return j.explain(ctx, args[0]) }),
	}
}

// explained is what is known of a person.
type explained struct {
	ExternalID string              `json:"externalId"`
	Connection *connectionResource `json:"connection"`
	Held       []json.RawMessage   `json:"heldChanges"`
	Escrows    []json.RawMessage   `json:"escrows"`
	Entries    []json.RawMessage   `json:"logEntries"` // oldest first
	More       bool                `json:"moreLogEntries"`
}

func (j *jobSession) explain(ctx context.Context, id string) error {
	x := explained{ExternalID: id}
	job, _, err := j.job(ctx)
	if err != nil {
		return err
	}
	if x.Connection, err = j.connection(ctx, id); err != nil {
		return err
	}
	if x.Connection != nil {
		x.ExternalID = x.Connection.ExternalID // id may be the account's
	}
	if job.ours() {
		if x.Held, err = j.rawPending(ctx, "heldChanges", x.ExternalID); err != nil {
			return err
		}
		if x.Escrows, err = j.rawPending(ctx, "escrows", x.ExternalID); err != nil {
			return err
		}
	}
	filter := j.conditions(logFilter{person: x.ExternalID}, time.Time{})
	if x.Entries, x.More, err = j.first(ctx, "reading the log", filtered(j.logs(), filter, pageSize(explainEntries)), explainEntries); err != nil {
		return err
	}
	slices.Reverse(x.Entries)
	if x.Connection == nil && len(x.Held)+len(x.Escrows)+len(x.Entries) == 0 {
		return fmt.Errorf("nothing is known of %q: nobody with this externalId has been provisioned by this job. %s", id, job.perhapsQueued())
	}
	if j.asJSON {
		return j.printJSON(x)
	}
	return j.tell(job, &x)
}

// perhapsQueued says where else a person may be who is not known.
func (r *jobResource) perhapsQueued() string {
	if r.Queue == nil || r.Queue.Records == 0 {
		return "Look at how the externalId is written in what was sent; nothing waits in the queue"
	}
	return howMany(r.Queue.Records, "record waits", "records wait") + " in the queue; induct job status tells why"
}

func (j *jobSession) rawPending(ctx context.Context, set, id string) ([]json.RawMessage, error) {
	all, _, err := j.first(ctx, "reading what waits of a person", j.client.JobURL(set)+"?externalId="+url.QueryEscape(id), 0)
	return all, err
}

// first returns the first elements of a collection as they were sent: limit of them, or all if limit is 0.
func (j *jobSession) first(ctx context.Context, op, u string, limit int) (all []json.RawMessage, more bool, err error) {
	quiet := *j
	quiet.asJSON = false
	all = []json.RawMessage{}
	_, more, err = walk(ctx, &quiet, op, u, limit, func(raw json.RawMessage) { all = append(all, raw) })
	return all, more, err
}

// tell tells what is known of a person.
func (j *jobSession) tell(job *jobResource, x *explained) error {
	held, err := decoded[pendingResource](x.Held)
	if err != nil {
		return err
	}
	escrows, err := decoded[pendingResource](x.Escrows)
	if err != nil {
		return err
	}
	entries, err := decoded[logResource](x.Entries)
	if err != nil {
		return err
	}
	j.say("Person   %s", x.person(held, escrows, entries))
	switch name := accountName(entries); {
	case x.Connection == nil:
		j.say("Account  none is linked")
	case name == "":
		j.say("Account  %s", x.Connection.Target)
	default:
		j.say("Account  %s, %s", name, x.Connection.Target)
	}
	j.tellPending(job, held, escrows)
	if len(entries) == 0 {
		return nil
	}
	fmt.Fprintln(j.out, "\nWhat happened")
	if x.More {
		j.say("  … earlier entries: induct job log --person %s --limit 0", x.ExternalID)
	}
	for i := range entries {
		j.tellEntry(&entries[i])
	}
	return nil
}

// person names the person as the latest source does.
func (x *explained) person(held, escrows []pendingResource, entries []logResource) string {
	name := ""
	if x.Connection != nil {
		name = x.Connection.DisplayName
	}
	for _, e := range entries {
		name = cmp.Or(e.Source.DisplayName, name)
	}
	for _, p := range append(held, escrows...) {
		name = cmp.Or(p.DisplayName, name)
	}
	return personName(x.ExternalID, name)
}

// accountName is what the account was called last; "" if no entry tells.
func accountName(entries []logResource) (name string) {
	for _, e := range entries {
		name = cmp.Or(e.Target.Details.UserPrincipalName, name)
	}
	return name
}

// tellPending tells what waits of a person, and what to do.
func (j *jobSession) tellPending(job *jobResource, held, escrows []pendingResource) {
	for _, p := range held {
		j.say("Now      a %s is held since %s: %s", p.Action, clock(p.Since), p.heldState())
		if p.Verdict == "" && p.Staged {
			j.say("         induct job approve %s   or   induct job reject %s", p.ExternalID, p.ExternalID)
		}
	}
	for _, p := range escrows {
		j.say("Now      retried since %s, %s so far, next %s: %s", clock(p.Since), howMany(p.Attempts, "attempt", "attempts"), clock(p.NextAttempt), p.failure())
		if p.Error != nil && p.Error.Advice != "" {
			j.say("         %s", p.Error.Advice)
		}
		j.say("         induct job run %s   tries at once", p.ExternalID)
	}
	if job.Queue != nil && job.Queue.Records > 0 {
		j.say("Note     %s in the job's queue; newer ones of this person may be among them", howMany(job.Queue.Records, "record waits", "records wait"))
	}
}

// mostChanges is how many changed attributes of an entry are told.
const mostChanges = 12

// tellEntry tells one entry of the log.
func (j *jobSession) tellEntry(e *logResource) {
	line := "  " + clock(e.Time) + "  " + e.outcome()
	if account := e.Target.account(); account != "" {
		line += ": " + account
	}
	if e.Reevaluation != nil {
		line += " (the mapping or the settings had changed)"
	}
	j.say("%s", line)
	if why := e.why(); why != "" {
		j.say("    because: %s", why)
	}
	for i, m := range e.Modified {
		if i == mostChanges {
			j.say("    … and %d more", len(e.Modified)-i)
			break
		}
		j.say("    %s", m)
	}
	if advice := e.advice(); advice != "" {
		j.say("    what to do: %s", advice)
	}
}

func decoded[T any](raw []json.RawMessage) ([]T, error) {
	all := make([]T, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &all[i]); err != nil {
			return nil, fmt.Errorf("the service's answer is not what was expected: %w", err)
		}
	}
	return all, nil
}
