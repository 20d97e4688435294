package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// defaultDomain is what userPrincipalNames of a new installation end with unless it is told better.
const defaultDomain = "induct.example"

var errNoData = errors.New("--data DIR or --database URL is needed: the directory, or the PostgreSQL database, that holds everything (only serve --dev may do without)")

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func serveCommand() *cobra.Command {
	var set settings
	var dev bool
	var profiles profiles
	var envFile, level string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: "Runs the service. Every setting can also stand in the configuration file under the flag's name,\n" +
			"or in the environment as INDUCT_ and the name in capitals (INDUCT_DATA, INDUCT_TLS_CERT, …).\n" +
			"A flag wins over the environment, the environment over the file.\n\n" +
			"With --dev it is ready at once: a tenant, a provisioning app whose job is started, and a client with\n" +
			"every permission, whose credentials it prints.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := configure(cmd); err != nil {
				return err
			}
			log, err := logger(cmd.ErrOrStderr(), level)
			if err != nil {
				return err
			}
			set.log = log
			if !dev && set.data == "" && set.database == "" {
				return errNoData
			}
			return profiles.during(func() error { return serve(cmd, set, dev, envFile) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&dev, "dev", false, "a ready local service with credentials that are printed")
	f.StringVar(&envFile, "env-file", "", "with --dev: write the credentials to this file, mode 0600")
	f.StringVar(&set.listen, "listen", "127.0.0.1:8080", "address to listen on; loopback only unless TLS is on")
	f.StringVar(&set.tls, "tls", "", "`local`: TLS by a certificate authority that is made and kept in the data directory")
	f.StringVar(&set.cert, "tls-cert", "", "PEM `FILE` with the server's certificate chain")
	f.StringVar(&set.key, "tls-key", "", "PEM `FILE` with its private key")
	f.StringSliceVar(&set.tlsNames, "tls-name", nil, "with --tls local: another `NAME` that clients call this server by; repeat it for more")
	f.StringVar(&set.proxies, "trusted-proxies", "", "`ADDRESSES` and networks of proxies whose Forwarded and X-Forwarded-* headers are believed, separated by commas")
	f.StringVar(&set.publicURL, "public-url", "", "scheme and host that clients use, behind a proxy that ends TLS")
	f.StringVar(&set.metricsListen, "metrics-listen", "", "another `ADDRESS:PORT`, of plain HTTP, for /metrics, /livez and /readyz; loopback unless it names a host")
	f.DurationVar(&set.shutdownDelay, "shutdown-delay", 0, "behind a load balancer: how long to go on serving once told to stop, while /readyz already says no; twice the time between its checks")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error; the log goes to standard error as JSON lines")
	f.BoolVar(&set.withoutMail, "without-notification-mail", false, "let jobs start that have no notification e-mail; else they go into quarantine at start")
	mailFlags(f, &set.mail)
	signInFlags(f, &set.signIn)
	profiles.flags(f)
	f.String("config", "", "configuration `FILE` in YAML (default induct.yaml if there is one)")
	engineFlags(f, &set)
	return cmd
}

func engineFlags(f *pflag.FlagSet, set *settings) {
	storeFlags(f, set)
	f.StringVar(&set.domain, "domain", defaultDomain, "default domain of a new installation: what DefaultDomain() gives")
	f.StringVar(&set.limits, "limits", "selfhosted", "rate limits: selfhosted (2,000 requests a second), reference (40 a second), reference-5s (40 in 5 seconds) or none")
	f.Int64Var(&set.daily, "daily-quota", 0, "with reference-5s: requests in 24 hours, such as 2000 or 6000; 0 is no quota")
	f.Int64Var(&set.queueRecords, "queue-records", provision.DefaultQueueRecords, "bound of a job's queue, in records")
	f.Int64Var(&set.reserve, "reserve-bytes", sqlstore.DefaultReserve, "free space below which uploads are refused")
	keepFlags(f, &set.keep)
}

// storeFlags are the flags that say where an installation is kept.
func storeFlags(f *pflag.FlagSet, set *settings) {
	f.StringVar(&set.data, "data", "", "data `DIR`ectory of the installation; one process at a time")
	f.StringVar(&set.database, "database", "", "PostgreSQL database of the installation instead, as a `URL` (postgres://user@host/name); the password is better kept in\nPGPASSWORD, ~/.pgpass or INDUCT_DATABASE; any number of processes at a time")
}

func logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
}

// serve opens the server, says how to reach it, and runs it until it is told to stop.
func serve(cmd *cobra.Command, set settings, dev bool, envFile string) error {
	ctx := cmd.Context()
	done, err := throwAway(&set)
	if err != nil {
		return err
	}
	defer done()
	s, err := open(ctx, set)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	out := cmd.OutOrStdout()
	if !dev {
		fmt.Fprintf(out, "induct %s listens on %s\n# authority: %s/%s\n", version, s.base, s.base, s.tenant.ID)
		if jobs, _ := s.service.Jobs(ctx); len(jobs) == 0 {
			fmt.Fprintf(out, "# There is no provisioning app yet. Stop, make one with\n#   induct app create %s --name \"HR\"\n# and start again.\n", set.where())
		}
		if err := s.welcome(ctx, out, false); err != nil {
			return errors.Join(unlessStopped(ctx, err), s.close())
		}
		return s.run(ctx)
	}
	c, err := s.devApp(ctx)
	if err != nil {
		return errors.Join(unlessStopped(ctx, err), s.close())
	}
	var welcome strings.Builder
	if err := s.welcome(ctx, &welcome, true); err != nil {
		return errors.Join(unlessStopped(ctx, err), s.close())
	}
	ran := make(chan error, 1)
	go func() { ran <- s.run(ctx) }()
	fmt.Fprint(out, c.lines(), welcome.String())
	if s.caFile != "" {
		fmt.Fprintf(out, "# Clients must trust CA_FILE: curl --cacert, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE.\n")
	}
	if envFile != "" {
		if err := c.write(envFile); err != nil {
			return fmt.Errorf("--env-file: %w", err)
		}
	}
	return <-ran
}

// unlessStopped drops an error that only says that the server was told to stop while it started.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// throwAway gives settings without a data directory a temporary one; done removes it.
func throwAway(set *settings) (done func(), err error) {
	if set.data != "" || set.database != "" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "induct-")
	if err != nil {
		return nil, err
	}
	set.data = dir
	return func() { os.RemoveAll(dir) }, nil
}
