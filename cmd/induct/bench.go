package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"induct/internal/bench"
)

func benchCommand() *cobra.Command {
	var people, connections int
	var seed uint64
	var data, profile string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a service of its own on this machine",
		Long: "Starts `induct serve --dev` as a process of its own, loads it over the wire, and prints what it did:\n" +
			"create everybody, send everybody again unchanged, again with 1 % changed, and single records.\n" +
			"A phase ends when every record has its end in the directory and the log.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir := data
			if dir == "" {
				tmp, err := os.MkdirTemp("", "induct-bench-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(tmp)
				dir = tmp
			}
			cfg, stop, err := startService(cmd, dir, profile)
			if err != nil {
				return err
			}
			defer stop()
			cfg.People, cfg.Connections, cfg.Seed, cfg.Data = people, connections, seed, dir
			results, err := bench.Run(cmd.Context(), cfg)
			if asJSON {
				json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"people": people, "connections": connections, "results": results})
			} else {
				printResults(cmd, results)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&people, "people", 100_000, "people in the workforce")
	f.IntVar(&connections, "connections", 64, "requests in flight")
	f.Uint64Var(&seed, "seed", 1, "of the workforce")
	f.StringVar(&data, "data", "", "data `DIR`ectory; without it, one that is thrown away")
	f.StringVar(&profile, "cpuprofile", "", "write a CPU profile of the service to this `FILE`")
	f.BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

// startService starts this program as a service and returns where it is.
func startService(cmd *cobra.Command, dir, profile string) (cfg bench.Config, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return cfg, nil, err
	}
	env := filepath.Join(dir, "bench.env")
	os.Remove(env)
	args := []string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--env-file", env, "--limits", "selfhosted"}
	if profile != "" {
		args = append(args, "--cpuprofile", profile)
	}
	p := exec.Command(self, args...)
	p.Stderr = cmd.ErrOrStderr()
	if err := p.Start(); err != nil {
		return cfg, nil, err
	}
	exited := make(chan error, 1)
	go func() { exited <- p.Wait() }()
	stop = func() {
		p.Process.Signal(syscall.SIGTERM)
		<-exited
	}
	for range 200 {
		if b, err := os.ReadFile(env); err == nil {
			v := map[string]string{}
			for line := range strings.Lines(string(b)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				v[name] = value
			}
			return bench.Config{Graph: v["GRAPH_BASE"], Authority: v["AUTHORITY"], ClientID: v["CLIENT_ID"], ClientSecret: v["CLIENT_SECRET"],
				SP: v["SP_ID"], Job: v["JOB_ID"], PID: p.Process.Pid}, stop, nil
		}
		select {
		case err := <-exited:
			return cfg, nil, fmt.Errorf("the service ended: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	return cfg, nil, fmt.Errorf("the service did not start within 10 seconds")
}

func printResults(cmd *cobra.Command, results []bench.Result) {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "work\trecords\tseconds\trecords/s\tp50 ms\tp99 ms\tpeak MB\tdisk MB\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f\t%.1f\t%.1f\t%d\t%d\t\n", r.Name, r.Records, r.Seconds, r.PerSecond, r.P50, r.P99, r.PeakRSS>>20, r.Disk>>20)
	}
	w.Flush()
}
