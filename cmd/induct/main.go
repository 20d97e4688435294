package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"induct/internal/upload"
)

// version is stamped by the Makefile.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes the command line and returns its exit code.
func run(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use:   "induct",
		Short: "API-driven inbound provisioning: HR data in, accounts out",
		Long: "Induct takes HR data in over the wire of Microsoft Graph's API-driven inbound provisioning\n" +
			"and puts accounts out in a directory. Start with `induct demo`.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), demoCommand(), uploadCommand(), jobCommand(), exprCommand(), appCommand(), keyCommand(), userCommand(), credentialCommand(), backupCommand(), restoreCommand(), dbCommand(), benchCommand(), healthCommand(), versionCommand())
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return upload.ExitOK
	}
	var x *exitError
	if errors.As(err, &x) {
		if x.err != nil {
			fmt.Fprintln(os.Stderr, "induct:", x.err)
		}
		return x.code
	}
	fmt.Fprintln(os.Stderr, "induct:", err)
	fmt.Fprintln(os.Stderr, "`induct help` lists the commands; `induct COMMAND --help` explains one.")
	return upload.ExitUsage
}

// group makes a command of commands: alone it prints its help, and a name that it does not have is an error.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		message := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			message += "; did you mean " + near[0] + "?"
		}
		return errors.New(message)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(commands...)
	return cmd
}

// exitError carries an exit code; err may be nil if all has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, Run: func(cmd *cobra.Command, _ []string) {
		fmt.Fprintln(cmd.OutOrStdout(), "induct", version)
	}}
}
