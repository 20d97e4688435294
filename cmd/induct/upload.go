package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"induct/internal/upload"
	"induct/internal/upload/records"
)

func uploadCommand() *cobra.Command {
	var cfg upload.Config
	var opt upload.Options
	var mapping, endpoint, until string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "upload FILE --mapping FILE",
		Short: "Upload people from a CSV file and say what became of them",
		Long: "Reads people from a CSV file, sends them, and follows them until each has its end.\n" +
			"Where and as whom is read from the flags, or from the environment: GRAPH_BASE, AUTHORITY, CLIENT_ID,\n" +
			"CLIENT_SECRET, SP_ID, JOB_ID, CA_FILE (the lines that `induct serve --dev` prints). The secret is read from\n" +
			"the environment only.\n\n" +
			"Exit codes: 0 all reached an end that is not a failure, 1 the command line or the file is wrong,\n" +
			"2 some records failed, 3 the service could not be reached, refused or did not finish, 130 interrupted.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if endpoint != "" {
				var err error
				if cfg.Graph, cfg.ServicePrincipal, cfg.Job, err = upload.ParseEndpoint(endpoint); err != nil {
					return err
				}
			}
			cfg.FromEnvironment(os.Getenv)
			opt.Until = upload.State(until)
			return uploadFile(cmd, cfg, opt, args[0], mapping, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&mapping, "mapping", "m", "", "mapping `FILE`: which column is which SCIM attribute (required)")
	f.StringVar(&endpoint, "endpoint", "", "provisioning API endpoint `URL`, instead of --graph, --sp and --job")
	f.StringVar(&cfg.Graph, "graph", "", "Graph `URL` with its version (GRAPH_BASE)")
	f.StringVar(&cfg.ServicePrincipal, "sp", "", "service principal `ID` of the provisioning app (SP_ID)")
	f.StringVar(&cfg.Job, "job", "", "job `ID` (JOB_ID)")
	f.StringVar(&cfg.Authority, "authority", "", "token authority `URL` with its tenant (AUTHORITY)")
	f.StringVar(&cfg.ClientID, "client-id", "", "client `ID` (CLIENT_ID)")
	f.StringVar(&cfg.CAFile, "ca-file", "", "PEM `FILE` of certificates to trust beside the system's (CA_FILE)")
	f.IntVar(&opt.Concurrency, "concurrency", 8, "requests in flight")
	f.Float64Var(&opt.Rate, "rate", 0, "requests a second at most; 0 leaves the pace to the service")
	f.DurationVar(&opt.Timeout, "timeout", 0, "how long to follow after the last request; 0 is no limit")
	f.StringVar(&until, "until", "done", "follow until accepted, done or settled")
	f.BoolVar(&asJSON, "json", false, "events and summary as JSON lines on standard output")
	cmd.MarkFlagRequired("mapping")
	return cmd
}

func uploadFile(cmd *cobra.Command, cfg upload.Config, opt upload.Options, path, mappingPath string, asJSON bool) error {
	mapping, err := os.ReadFile(mappingPath)
	if err != nil {
		return err
	}
	open := func() (io.ReadCloser, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, &records.InputError{Msg: err.Error()}
		}
		return f, nil
	}
	events := upload.Present(os.Stderr)
	if asJSON {
		events = upload.JSON(cmd.OutOrStdout())
	}
	sum, err := sendCSV(cmd.Context(), cfg, opt, open, mapping, events)
	if !asJSON && sum.Read > 0 {
		upload.PrintSummary(cmd.OutOrStdout(), sum)
	}
	if code := upload.ExitCode(sum, err); code != upload.ExitOK {
		return &exitError{code, err}
	}
	return nil
}

// sendCSV reads the file twice: the first time to know that it is well-formed before anything is sent.
func sendCSV(ctx context.Context, cfg upload.Config, opt upload.Options, open func() (io.ReadCloser, error), mapping []byte, events func(upload.Event)) (sum upload.Summary, err error) {
	m, err := records.ParseMapping(mapping)
	if err != nil {
		return sum, fmt.Errorf("mapping: %w", err)
	}
	read := func(use func(records.Source) error) error {
		f, err := open()
		if err != nil {
			return err
		}
		defer f.Close()
		csv, err := records.NewCSV(f)
		if err != nil {
			return err
		}
		src, err := m.Source(csv)
		if err != nil {
			return err
		}
		return use(src)
	}
	err = read(func(src records.Source) error {
		opt.Total, err = records.Count(src)
		return err
	})
	if err != nil {
		return sum, err
	}
	cfg.UserAgent = strings.TrimSpace("induct-upload/" + version)
	client, err := upload.New(cfg)
	if err != nil {
		return sum, err
	}
	err = read(func(src records.Source) error {
		sum, err = client.Run(ctx, src, opt, events)
		return err
	})
	return sum, err
}
