package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

const connectionHelp = `A connection is the link between a person and an account. It is changed while the job is paused: induct job pause, then the
change, then induct job start.`

func (j *jobSession) connectionCommand() *cobra.Command {
	return group(&cobra.Command{Use: "connection", Short: "The link between a person and an account: show, drop or change it", Long: connectionHelp,
		Example: "  induct job connection get 4711\n  induct job pause && induct job connection relink 4711 ACCOUNT-ID && induct job start"},
		&cobra.Command{
			Use:     "get ID",
			Short:   "Show the account that a person is linked to",
			Long:    "Shows the account that a person is linked to. ID is the externalId, or the id of the account.",
			Example: "  induct job connection get 4711",
			Args:    cobra.ExactArgs(1),
			RunE:    j.does(j.getConnection),
		},
		&cobra.Command{
			Use:     "delete ID",
			Short:   "Drop a link: the person's next record is matched anew",
			Long:    "Drops the link between a person and an account. Nothing is done to the account, and the person's next record is matched anew.\n" + connectionHelp,
			Example: "  induct job connection delete 4711",
			Args:    cobra.ExactArgs(1),
			RunE:    j.does(j.deleteConnection),
		},
		&cobra.Command{
			Use:     "relink ID ACCOUNT-ID",
			Short:   "Link a person to another account",
			Long:    "Links a person, by externalId, to another account, by its id. Nothing is done to either account now; the person's next record changes the new one.\n" + connectionHelp,
			Example: "  induct job connection relink 4711 6b1d0a1e-7f0c-4d1b-9a53-0c3c1f0e7d52",
			Args:    cobra.ExactArgs(2),
			RunE:    j.does(j.relink),
		})
}

// connection reads the link of a person; nil if there is none.
func (j *jobSession) connection(ctx context.Context, id string) (*connectionResource, error) {
	var raw json.RawMessage
	err := j.get(ctx, "reading the connection", j.client.JobURL("objectConnections", id), &raw)
	switch {
	case isStatus(err, http.StatusNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return parseConnection(raw)
}

func (j *jobSession) getConnection(ctx context.Context, args []string) error {
	c, err := j.connection(ctx, args[0])
	if err != nil {
		return err
	}
	if c == nil {
		return fmt.Errorf("%q is linked to no account: induct job explain %s tells what is known", args[0], args[0])
	}
	return j.showConnection(c)
}

func (j *jobSession) showConnection(c *connectionResource) error {
	if j.asJSON {
		return j.printJSON(c)
	}
	t := j.table()
	t.row("Person", personName(c.ExternalID, c.DisplayName))
	t.row("Account", c.Target)
	t.end()
	return nil
}

// pausedFirst says what to do about an answer that the job runs.
const pausedFirst = "links are changed while the job does not run: induct job pause, then this again, then induct job start"

func (j *jobSession) deleteConnection(ctx context.Context, args []string) error {
	c, err := j.connection(ctx, args[0])
	if err != nil {
		return err
	}
	if c == nil {
		return fmt.Errorf("%q is linked to no account: nothing was changed", args[0])
	}
	call := j.call("dropping the connection", http.MethodDelete, j.client.JobURL("objectConnections", args[0]))
	call.Advice[409] = pausedFirst
	if _, err := j.client.Do(ctx, call, nil); err != nil {
		return err
	}
	if j.asJSON {
		return j.printJSON(c)
	}
	j.say("%s is not linked to the account %s any more. The next record is matched anew.", personName(c.ExternalID, c.DisplayName), c.Target)
	return nil
}

func (j *jobSession) relink(ctx context.Context, args []string) error {
	call := j.call("linking to another account", http.MethodPut, j.client.JobURL("objectConnections", args[0]))
	call.Advice[409], call.Advice[404] = pausedFirst, ""
	call.Body = map[string]string{"targetAnchor": args[1]}
	var raw json.RawMessage
	if _, err := j.client.Do(ctx, call, &raw); err != nil {
		return err
	}
	c, err := parseConnection(raw)
	if err != nil {
		return err
	}
	return j.showConnection(c)
}
