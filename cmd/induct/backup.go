package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"induct/internal/sqlstore"
	"induct/internal/upload"
)

const backupExits = "\n\nExit codes: 0 done, 1 the command line is wrong or was refused before anything was done, 2 the backup is damaged,\n" +
	"3 it could not be done, 130 interrupted."

// place are the flags that say where an installation is.
type place struct{ data, database string }

func (p *place) flags(f *pflag.FlagSet) {
	f.StringVar(&p.data, "data", "", "data `DIR`ectory of the installation")
	f.StringVar(&p.database, "database", "", "`URL` of its PostgreSQL database; with it, --data is not what is meant")
	f.String("config", "", "configuration `FILE` in YAML (default induct.yaml if there is one)")
}

// get reads the flags, the environment and the configuration file.
func (p *place) get(cmd *cobra.Command) (sqlstore.Place, error) {
	if err := configure(cmd); err != nil {
		return sqlstore.Place{}, err
	}
	switch {
	case p.data == "" && p.database == "":
		return sqlstore.Place{}, errors.New("--data DIR or --database URL is needed: where the installation is")
	case p.database != "":
		return sqlstore.ParsePlace(p.database)
	}
	return sqlstore.ParsePlace(p.data)
}

func backupCommand() *cobra.Command {
	var from place
	var out outcome
	cmd := &cobra.Command{
		Use:   "backup --data DIR FILE",
		Short: "Write all of an installation into a file, while it runs",
		Long: "Writes everything that the installation holds at this moment into FILE: jobs, people, directory, queue, logs, accounts\n" +
			"and keys. The service may run, and goes on. FILE is the same for a data directory and for PostgreSQL, and\n" +
			"`induct restore` makes either of it. It gets its name when it is written whole and was read back.\n\n" +
			"FILE holds signing keys, hashed secrets and personal data: whoever has it can sign tokens of the installation.\n" +
			"Keep it as you keep passwords. Not in it: the configuration file, the certificates, and tls/ of the data directory." + backupExits,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := from.get(cmd)
			if err != nil {
				return err
			}
			return out.of(cmd, func(ctx context.Context, o sqlstore.DumpOptions) (sqlstore.Restored, error) {
				sum, err := sqlstore.Backup(ctx, p, args[0], o)
				return sqlstore.Restored{Summary: sum}, err
			}, func(w io.Writer, r sqlstore.Restored) {
				size := int64(0)
				if info, err := os.Stat(args[0]); err == nil {
					size = info.Size()
				}
				fmt.Fprintf(w, "%s: %d rows, %d bytes, checksum %.16s…\nIt contains %s.\n", args[0], r.Rows, size, r.Checksum, r.Header.Contains)
			})
		},
	}
	from.flags(cmd.Flags())
	out.flags(cmd.Flags())
	cmd.AddCommand(backupVerifyCommand())
	return cmd
}

func backupVerifyCommand() *cobra.Command {
	var out outcome
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check that a backup is whole",
		Long:  "Reads FILE to its end, checks every checksum in it, and says what it holds. It needs no installation." + backupExits,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return out.of(cmd, func(ctx context.Context, o sqlstore.DumpOptions) (sqlstore.Restored, error) {
				f, err := os.Open(args[0])
				if err != nil {
					return sqlstore.Restored{}, err
				}
				defer f.Close()
				sum, err := sqlstore.VerifyBackup(ctx, f, o)
				return sqlstore.Restored{Summary: sum}, err
			}, func(w io.Writer, r sqlstore.Restored) {
				h := r.Header
				fmt.Fprintf(w, "%s is whole: tenant %s as of %s, written by Induct %s from %s.\n", args[0], h.Tenant, h.Taken.Format(time.RFC3339), h.Release, h.Source)
				for _, t := range r.Tables {
					fmt.Fprintf(w, "%12d %s\n", t.Rows, t.Name)
				}
			})
		},
	}
	out.flags(cmd.Flags())
	return cmd
}

func restoreCommand() *cobra.Command {
	var to place
	var out outcome
	var force bool
	cmd := &cobra.Command{
		Use:   "restore FILE --data DIR",
		Short: "Make an installation of a backup",
		Long: "Makes an installation of FILE, in a data directory or a PostgreSQL database where there is none. Everything is read back and\n" +
			"compared before it counts; until then `induct serve` refuses the place. What was accepted after the backup was taken is not in it:\n" +
			"its senders must send it again.\n\n" +
			"With --force a database that is in DIR already is renamed to induct.db.before-TIME, once all of the backup is there;\n" +
			"nothing is ever deleted. A PostgreSQL database must be empty." + backupExits,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := to.get(cmd)
			if err != nil {
				return err
			}
			return out.of(cmd, func(ctx context.Context, o sqlstore.DumpOptions) (sqlstore.Restored, error) {
				f, err := os.Open(args[0])
				if err != nil {
					return sqlstore.Restored{}, err
				}
				defer f.Close()
				return sqlstore.Restore(ctx, f, p, force, o)
			}, func(w io.Writer, r sqlstore.Restored) {
				fmt.Fprintf(w, "Tenant %s is restored as of %s: %d rows, each read back.\n", r.Header.Tenant, r.Header.Taken.Format(time.RFC3339), r.Rows)
				if r.Replaced != "" {
					fmt.Fprintf(w, "What was there is now %s.\n", r.Replaced)
				}
			})
		},
	}
	to.flags(cmd.Flags())
	out.flags(cmd.Flags())
	cmd.Flags().BoolVar(&force, "force", false, "rename a database that is there already")
	return cmd
}

func dbCommand() *cobra.Command {
	return group(&cobra.Command{Use: "db", Short: "The database of an installation"}, dbCopyCommand())
}

func dbCopyCommand() *cobra.Command {
	var from, to string
	var out outcome
	cmd := &cobra.Command{
		Use:   "copy --from PLACE --to PLACE",
		Short: "Move an installation between a data directory and PostgreSQL",
		Long: "Copies everything of an installation into a place where there is none, reads it back there and compares. A PLACE is a data\n" +
			"directory or postgres://…. The service must be stopped: what it accepted meanwhile would be lost. The source is left as it is;\n" +
			"do not start it again once the copy serves.\n\n" +
			"It may be interrupted: then the target is not an installation, which `induct serve` says, and the same command begins anew." + backupExits,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			source, err := sqlstore.ParsePlace(from)
			if err != nil {
				return fmt.Errorf("--from: %w", err)
			}
			target, err := sqlstore.ParsePlace(to)
			if err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			return out.of(cmd, func(ctx context.Context, o sqlstore.DumpOptions) (sqlstore.Restored, error) {
				return sqlstore.Copy(ctx, source, target, o)
			}, func(w io.Writer, r sqlstore.Restored) {
				fmt.Fprintf(w, "Tenant %s is copied: %d rows, each read back and compared.\n", r.Header.Tenant, r.Rows)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "`PLACE` of the installation: a data directory or postgres://…")
	f.StringVar(&to, "to", "", "`PLACE` of the copy")
	out.flags(f)
	return cmd
}

// outcome says how a command on a whole installation went.
type outcome struct{ asJSON bool }

func (out *outcome) flags(f *pflag.FlagSet) {
	f.BoolVar(&out.asJSON, "json", false, "print one JSON object: what is in it, table by table, with checksums")
}

// of runs do with a progress bar, and says with tell, or in JSON, what came of it.
func (out *outcome) of(cmd *cobra.Command, do func(context.Context, sqlstore.DumpOptions) (sqlstore.Restored, error), tell func(io.Writer, sqlstore.Restored)) error {
	began := time.Now()
	progress, done := rowProgress(os.Stderr)
	r, err := do(cmd.Context(), sqlstore.DumpOptions{Release: version, Progress: progress})
	done()
	if err != nil {
		return out.failed(cmd, err)
	}
	if !out.asJSON {
		tell(cmd.OutOrStdout(), r)
		return nil
	}
	return printJSON(cmd.OutOrStdout(), struct {
		*sqlstore.Summary
		Replaced string  `json:"replaced,omitempty"`
		Seconds  float64 `json:"seconds"`
	}{r.Summary, r.Replaced, time.Since(began).Seconds()})
}

// failed gives an error its exit code.
func (out *outcome) failed(cmd *cobra.Command, err error) error {
	code := upload.ExitService
	switch {
	case cmd.Context().Err() != nil:
		code, err = upload.ExitInterrupted, errors.New("interrupted; nothing is left half done")
	case errors.Is(err, sqlstore.ErrDamaged):
		code = upload.ExitFailed
	case errors.Is(err, sqlstore.ErrNotEmpty), errors.Is(err, sqlstore.ErrInUse), errors.Is(err, sqlstore.ErrReplicas), errors.Is(err, sqlstore.ErrLanes):
		code = upload.ExitUsage
	}
	if out.asJSON {
		text := struct {
			Error string `json:"error"`
			Exit  int    `json:"exitCode"`
		}{err.Error(), code}
		return errors.Join(printJSON(cmd.OutOrStdout(), text), &exitError{code: code})
	}
	return &exitError{code, err}
}

// rowProgress draws how far the steps of a dump are: a bar on a terminal, a line every few seconds elsewhere.
func rowProgress(f *os.File) (progress func(step string, done, of int64), done func()) {
	if !term.IsTerminal(int(f.Fd())) {
		last, at := "", time.Now()
		return func(step string, done, of int64) {
			if step != last || time.Since(at) > 5*time.Second {
				last, at = step, time.Now()
				fmt.Fprintf(f, "%s: %d of %d\n", step, done, of)
			}
		}, func() {}
	}
	var bar *progressbar.ProgressBar
	last := ""
	clear := func() {
		if bar != nil {
			bar.Clear()
		}
	}
	return func(step string, done, of int64) {
		if step != last {
			clear()
			last = step
			bar = progressbar.NewOptions64(of, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(step),
				progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(30))
		}
		bar.ChangeMax64(of)
		bar.Set64(done)
	}, clear
}
