package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"induct/internal/bench"
	"induct/internal/upload"
)

// benchOptions are the command line of bench.
type benchOptions struct {
	cfg      bench.Config
	people   string
	sizes    []string
	dir, url string
	database string // of a PostgreSQL server; "": the embedded store
	yes      bool
	asJSON   bool
	write    string
	profiles profiles
}

func benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a service, each figure beside what the machine can do at all",
		Long: "Starts `induct serve --dev` as a process of its own, loads it over the wire, and prints what it did. A phase ends\n" +
			"when every record has its end in the directory and the log:\n\n" +
			"  accept      requests stored durably, with the job paused\n" +
			"  create      everybody, in random order; unchanged: everybody again, in another order; changed: 1 % with a new title\n" +
			"  single      one record at a time: from the 202 to the settled receipt; single_visible: until directory and log show it\n" +
			"  log_query_  the first page by job and time, job and status, cycle, source identity\n\n" +
			"Right before and right after a phase its floor is measured: append is the same bytes, compressed and appended with\n" +
			"an fsync that concurrent requests share; bulk load is the same people inserted into two SQLite tables; decode is the\n" +
			"same requests parsed and read on all cores. The ratio to the floor says more than records per second where others\n" +
			"use the machine too, the ratio of processor time (CPU ratio) still more. docs/performance.md explains every column.\n\n" +
			"With --url it measures a service that runs, as the client that the environment names (see `induct upload --help`).\n" +
			"With --write it only writes the people. Exit codes: 0 measured, 1 the command line is wrong, 3 the service could not\n" +
			"be measured, 130 interrupted; then what was measured so far is printed.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.flags(cmd.Flags())
	return cmd
}

func (o *benchOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.people, "people", "100k", "people in the workforce; k and m are thousands and millions")
	f.StringSliceVar(&o.sizes, "sizes", nil, "several workforces, each on a fresh service, such as 10k,100k,1m")
	f.IntVar(&o.cfg.Repeat, "repeat", 1, "measure so often, and print medians and how far they lay apart")
	f.IntVar(&o.cfg.Connections, "connections", 64, "requests in flight")
	f.Uint64Var(&o.cfg.Seed, "seed", 1, "of the workforce; with --url another one each time")
	f.DurationVar(&o.cfg.Least, "least", 2*time.Second, "how long each floor is measured at least; accept takes twice that")
	f.IntVar(&o.cfg.Singles, "singles", 200, "records sent one at a time")
	f.IntVar(&o.cfg.Queries, "queries", 300, "log queries of each kind")
	f.StringVar(&o.dir, "dir", "", "work in this `DIR`ectory, on the disk to be measured; what bench makes there it removes (default: the system's for temporary files)")
	f.StringVar(&o.database, "database", "", "measure the service on PostgreSQL: `URL` of a server where databases may be made; those that bench makes it drops")
	f.StringVar(&o.url, "url", "", "measure the service at this provisioning API endpoint `URL`; it creates people there")
	f.BoolVar(&o.yes, "yes", false, "with --url: do so on another machine too")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	f.StringVar(&o.write, "write", "", "write the people to this `PATH` and measure nothing: a file .csv (with its mapping), .jsonl (records) or .bulk.jsonl (requests), else a directory for all")
	o.profiles.flags(f)
}

func (o *benchOptions) run(cmd *cobra.Command) error {
	if err := o.check(cmd.Flags()); err != nil {
		return err
	}
	ctx := cmd.Context()
	if o.write != "" {
		return o.writePeople(ctx, cmd.OutOrStdout())
	}
	dir, err := os.MkdirTemp(o.dir, "induct-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.cfg.Dir, o.cfg.Version, o.cfg.Database = dir, version, o.database
	if o.url == "" {
		o.cfg.Start = o.start
	}
	progress, done := bench.Present(os.Stderr)
	o.cfg.Progress = progress
	report, err := bench.Run(ctx, o.cfg)
	done()
	return errors.Join(o.print(cmd.OutOrStdout(), report), exitOf(ctx, err))
}

// exitOf gives an error of a bench its exit code.
func exitOf(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &exitError{code: upload.ExitInterrupted}
	}
	return &exitError{upload.ExitService, err}
}

func (o *benchOptions) print(w io.Writer, report *bench.Report) error {
	if !o.asJSON {
		return bench.Print(w, report)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(report)
}

// check reads the command line.
func (o *benchOptions) check(f *pflag.FlagSet) error {
	sizes := o.sizes
	if len(sizes) == 0 {
		sizes = []string{o.people}
	} else if f.Changed("people") {
		return errors.New("--people and --sizes say the same: give one of them")
	}
	for _, s := range sizes {
		n, err := parseSize(s)
		if err != nil {
			return err
		}
		o.cfg.People = append(o.cfg.People, n)
	}
	for flag, n := range map[string]int{"repeat": o.cfg.Repeat, "connections": o.cfg.Connections, "singles": o.cfg.Singles, "queries": o.cfg.Queries} {
		if n < 1 {
			return fmt.Errorf("--%s %d: 1 is the least", flag, n)
		}
	}
	if o.cfg.Least <= 0 {
		return fmt.Errorf("--least %s: give more than nothing", o.cfg.Least)
	}
	if o.url == "" {
		return nil
	}
	if len(o.cfg.People) > 1 || o.cfg.Repeat > 1 {
		return errors.New("--url goes with one size and without --repeat: a second run would not find a fresh service")
	}
	return o.checkURL(f.Changed("seed"))
}

// checkURL prepares to measure a service that is not ours.
func (o *benchOptions) checkURL(seeded bool) error {
	var c upload.Config
	var err error
	if c.Graph, c.ServicePrincipal, c.Job, err = upload.ParseEndpoint(o.url); err != nil {
		return err
	}
	c.FromEnvironment(os.Getenv)
	if _, err := upload.New(c); err != nil {
		return err
	}
	u, err := url.Parse(o.url)
	if err != nil {
		return err
	}
	if !loopback(u.Hostname()) && !o.yes {
		return fmt.Errorf("bench would create %d people at %s who stay there: add --yes if that is what you want", o.cfg.People[0]+o.cfg.Singles, u.Host)
	}
	if !seeded {
		o.cfg.Seed = uint64(time.Now().UnixNano())
	}
	// People of another run must be other people.
	o.cfg.Tag = "x" + strconv.FormatUint(o.cfg.Seed%(36*36*36*36*36*36), 36) + "x"
	o.cfg.Service = bench.Service{Graph: c.Graph, Authority: c.Authority, ClientID: c.ClientID, ClientSecret: c.ClientSecret,
		ServicePrincipal: c.ServicePrincipal, Job: c.Job, CAFile: c.CAFile}
	return nil
}

// parseSize reads 500, 20k or 1m.
func parseSize(s string) (int, error) {
	digits, factor := strings.ToLower(strings.TrimSpace(s)), 1
	if d, ok := strings.CutSuffix(digits, "k"); ok {
		digits, factor = d, 1000
	} else if d, ok := strings.CutSuffix(digits, "m"); ok {
		digits, factor = d, 1_000_000
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > bench.MostPeople/factor {
		return 0, fmt.Errorf("%q people: give a number from 1 to %d, such as 500, 20k or 1m", s, bench.MostPeople)
	}
	return n * factor, nil
}

// start starts this program as a service on dir.
func (o *benchOptions) start(ctx context.Context, what, dir string) (*bench.Running, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	suffix := ""
	if what != "main" {
		suffix = "." + what
	}
	profiles, err := o.profiles.args(suffix)
	if err != nil {
		return nil, err
	}
	env := dir + ".env"
	// No rate limit and a queue that holds everybody, several times: what is measured is the service, not its brakes.
	where, drop, err := o.place(ctx, dir)
	if err != nil {
		return nil, err
	}
	args := append([]string{"serve", "--dev"}, where...)
	args = append(args, []string{"--listen", "127.0.0.1:0", "--env-file", env, "--limits", "none",
		"--queue-records", strconv.Itoa(1 << 40)}...)
	args = append(args, profiles...)
	p := exec.Command(self, args...)
	p.Stderr = os.Stderr
	p.Env = append([]string{envName("log-level") + "=warn"}, os.Environ()...) // a line per request would hide the figures
	if err := p.Start(); err != nil {
		drop()
		return nil, fmt.Errorf("start the service: %w", err)
	}
	ended, gone := make(chan error, 1), make(chan struct{})
	go func() {
		if err := p.Wait(); err != nil {
			ended <- err
		} else {
			ended <- errors.New("exit status 0")
		}
		close(gone)
	}()
	stop := func() {
		p.Process.Signal(os.Interrupt)
		select {
		case <-gone:
		case <-time.After(time.Minute):
			p.Process.Kill()
			<-gone
		}
		drop()
		os.Remove(env)
	}
	running := &bench.Running{Ended: ended, Stop: stop}
	if running.Service, err = o.await(ctx, env, gone); err != nil {
		stop()
		return nil, err
	}
	running.PID, running.Data = p.Process.Pid, dir
	return running, nil
}

// place returns the arguments that say where a service keeps everything: in dir, or in a database that is made, which drop removes.
func (o *benchOptions) place(ctx context.Context, dir string) (args []string, drop func(), err error) {
	if o.database == "" {
		return []string{"--data", dir}, func() {}, nil
	}
	u, err := url.Parse(o.database)
	if err != nil || u.Host == "" {
		return nil, nil, errors.New("--database: it is an address such as postgres://user@host/postgres")
	}
	name := "induct_bench_" + strings.ToLower(rand.Text())
	run := func(ctx context.Context, text string) error {
		conn, err := pgx.Connect(ctx, o.database)
		if err != nil {
			return fmt.Errorf("--database: %w", err)
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, text+pgx.Identifier{name}.Sanitize())
		return err
	}
	if err := run(ctx, "CREATE DATABASE "); err != nil {
		return nil, nil, err
	}
	u.Path = "/" + name
	return []string{"--database", u.String()}, func() {
		if err := run(context.WithoutCancel(ctx), "DROP DATABASE "); err != nil {
			fmt.Fprintf(os.Stderr, "The database %s was not dropped: %v\n", name, err)
		}
	}, nil
}

// await returns how to reach a service once it has said so.
func (o *benchOptions) await(ctx context.Context, env string, gone <-chan struct{}) (s bench.Service, err error) {
	deadline := time.After(time.Minute)
	for {
		if text, err := os.ReadFile(env); err == nil {
			v := map[string]string{}
			for line := range strings.Lines(string(text)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				v[name] = value
			}
			return bench.Service{Graph: v["GRAPH_BASE"], Authority: v["AUTHORITY"], ClientID: v["CLIENT_ID"], ClientSecret: v["CLIENT_SECRET"],
				ServicePrincipal: v["SP_ID"], Job: v["JOB_ID"]}, nil
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-gone:
			return s, errors.New("the service ended before it could be reached; what it said stands above")
		case <-deadline:
			return s, errors.New("the service could not be reached within a minute")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// writePeople writes the workforce for other programs.
func (o *benchOptions) writePeople(ctx context.Context, out io.Writer) error {
	if len(o.cfg.People) > 1 {
		return errors.New("--write goes with one size")
	}
	w := bench.Workforce{Seed: o.cfg.Seed, People: o.cfg.People[0]}
	files, err := w.Write(ctx, o.write)
	if err != nil {
		return exitOf(ctx, err)
	}
	for _, f := range files {
		fmt.Fprintln(out, filepath.ToSlash(f))
	}
	return nil
}
