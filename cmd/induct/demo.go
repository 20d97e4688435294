package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"induct/examples/workforce"
	"induct/internal/upload"
	"induct/internal/upload/records"
)

func demoCommand() *cobra.Command {
	var set settings
	var exit bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a service, upload an example workforce of about 1,000 people, show what became of them",
		Long: "Starts a service on loopback, makes a provisioning app with credentials, uploads the example workforce\n" +
			"and prints what became of it. Then it stays up and prints what to try next; Ctrl-C ends it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set.log = quiet()
			return demo(cmd, set, exit)
		},
	}
	f := cmd.Flags()
	f.StringVar(&set.data, "data", "", "keep the state in this `DIR`ectory; without it, it is thrown away")
	f.StringVar(&set.listen, "listen", "127.0.0.1:8080", "loopback address; if the port is taken, another is used")
	f.BoolVar(&exit, "exit", false, "end after the summary")
	f.StringVar(&set.domain, "domain", "nordwind.example", "default domain of a new installation")
	set.limits = "selfhosted"
	return cmd
}

func demo(cmd *cobra.Command, set settings, exit bool) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	done, err := throwAway(&set)
	if err != nil {
		return err
	}
	defer done()
	s, err := open(ctx, set)
	if errors.Is(err, syscall.EADDRINUSE) && !cmd.Flags().Changed("listen") {
		set.listen = "127.0.0.1:0"
		s, err = open(ctx, set)
	}
	if err != nil {
		return err
	}
	c, err := s.devApp(ctx)
	if err != nil {
		s.close()
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- s.run(running) }()
	fmt.Fprintf(out, "A service is up at %s, its state is in %s.\nUploading the example workforce …\n", s.base, set.data)
	sum, err := uploadWorkforce(ctx, c)
	if err != nil {
		stop()
		return errors.Join(&exitError{upload.ExitCode(sum, err), err}, <-ran)
	}
	fmt.Fprintln(out)
	upload.PrintSummary(out, sum)
	if exit {
		stop()
		return <-ran
	}
	printNext(out, c)
	return <-ran
}

func uploadWorkforce(ctx context.Context, c credentials) (sum upload.Summary, err error) {
	client, err := newClient(upload.Config{Graph: c.GraphBase, ServicePrincipal: c.SPID, Job: c.JobID, CAFile: c.CAFile,
		Credentials: upload.Credentials{Authority: c.Authority, ClientID: c.ClientID, ClientSecret: c.ClientSecret}})
	if err != nil {
		return sum, err
	}
	file, err := records.OpenReader(bytes.NewReader(workforce.CSV), records.Options{})
	if err != nil {
		return sum, err
	}
	defer file.Close()
	m, err := records.ParseMapping(workforce.Mapping)
	if err != nil {
		return sum, err
	}
	opt := upload.Options{Until: upload.StateSettled}
	if opt.Total, err = countRecords(file, m); err != nil {
		return sum, err
	}
	return runUpload(ctx, client, file, m, opt, upload.Present(os.Stderr))
}

// printNext prints what to try next, as lines to paste into another shell.
func printNext(w io.Writer, c credentials) {
	var set strings.Builder
	for _, l := range strings.Split(strings.TrimSpace(c.lines()), "\n") {
		set.WriteString("export " + l + "\n")
	}
	fmt.Fprintf(w, `
The service stays up; Ctrl-C ends it. In another shell, paste:

# where and as whom
%s
# a token
TOKEN=$(curl -s "$AUTHORITY/oauth2/v2.0/token" -d grant_type=client_credentials -d "client_id=$CLIENT_ID" \
  -d "client_secret=$CLIENT_SECRET" -d scope=https://graph.microsoft.com/.default | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

# one upload
curl -si "$GRAPH_BASE/servicePrincipals/$SP_ID/synchronization/jobs/$JOB_ID/bulkUpload" -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/scim+json" -d '{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[{"method":"POST","bulkId":"1","path":"/Users","data":{"externalId":"4711","userName":"ada.quist","displayName":"Ada Quist","title":"Engineer","active":true}}]}'

# what became of it
curl -sG "$GRAPH_BASE/auditLogs/provisioning" -H "Authorization: Bearer $TOKEN" --data-urlencode "\$filter=jobId eq '$JOB_ID' and sourceIdentity/id eq '4711'"

# the user
curl -sG "$GRAPH_BASE/users" -H "Authorization: Bearer $TOKEN" --data-urlencode "\$filter=employeeId eq '4711'"
`, set.String())
}
