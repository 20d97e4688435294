package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"induct/internal/oauth"
)

func userCommand() *cobra.Command {
	return group(&cobra.Command{Use: "user", Short: "Who may sign in, and as what"},
		userCreateCommand(), userPasswordCommand(), userRolesCommand())
}

const userLong = "\nThe data directory must not be in use: stop `induct serve` for the moment.\n" +
	"A password is asked for at the terminal, or else read as a line of standard input."

func rolesHelp() string {
	return "Directory roles: " + strings.Join(slices.Sorted(maps.Keys(oauth.DirectoryRoles)), ", ") + "."
}

func userCreateCommand() *cobra.Command {
	var set settings
	var roles []string
	var name string
	cmd := &cobra.Command{
		Use:   "create USER --data DIR",
		Short: "Make an account that stands in no directory, with a password",
		Long:  "Makes an account of this service alone, for somebody who is in no directory. USER looks like an address.\n" + rolesHelp() + userLong,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return offline(cmd, &set, func(s *server) error {
				password, err := readPassword(cmd)
				if err != nil {
					return err
				}
				if password == "" {
					return errors.New("the password is empty")
				}
				a, err := s.authority.AddAccount(cmd.Context(), args[0], name, password, roles)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s can sign in (object id %s).\n", a.UPN, a.ObjectID)
				}
				return err
			})
		},
	}
	userFlags(cmd, &set)
	cmd.Flags().StringVar(&name, "name", "", "display name")
	cmd.Flags().StringArrayVar(&roles, "role", nil, "directory `ROLE`; may be repeated")
	return cmd
}

func userPasswordCommand() *cobra.Command {
	var set settings
	cmd := &cobra.Command{
		Use:   "set-password USER --data DIR",
		Short: "Give somebody a password, of the directory or not",
		Long:  "Gives a person another password and ends what that person has signed in to. USER is a user name or object id." + userLong,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return offline(cmd, &set, func(s *server) error {
				password, err := readPassword(cmd)
				if err != nil {
					return err
				}
				return told(cmd, args[0], "has another password", s.authority.SetPassword(cmd.Context(), args[0], password))
			})
		},
	}
	userFlags(cmd, &set)
	return cmd
}

func userRolesCommand() *cobra.Command {
	var set settings
	var roles []string
	cmd := &cobra.Command{
		Use:   "roles USER --data DIR [--role ROLE]...",
		Short: "Give somebody directory roles, and no others",
		Long:  "Gives a person exactly these directory roles and ends what that person has signed in to.\n" + rolesHelp() + userLong,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return offline(cmd, &set, func(s *server) error {
				return told(cmd, args[0], fmt.Sprintf("has the roles %q", roles), s.authority.SetRoles(cmd.Context(), args[0], roles))
			})
		},
	}
	userFlags(cmd, &set)
	cmd.Flags().StringArrayVar(&roles, "role", nil, "directory `ROLE`; may be repeated; without it the person has none")
	return cmd
}

func userFlags(cmd *cobra.Command, set *settings) {
	f := cmd.Flags()
	storeFlags(f, set)
	f.StringVar(&set.domain, "domain", defaultDomain, "default domain, if the installation is new")
	f.String("config", "", "configuration `FILE` in YAML (default induct.yaml if there is one)")
}

func told(cmd *cobra.Command, name, what string, err error) error {
	if errors.Is(err, oauth.ErrNotFound) {
		return fmt.Errorf("there is nobody named %s: `induct user create` makes an account that stands in no directory", name)
	}
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s.\n", name, what)
	}
	return err
}

// readPassword asks for a password at the terminal, without showing it, or reads a line if there is no terminal.
func readPassword(cmd *cobra.Command) (string, error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Again: "} {
		fmt.Fprint(cmd.ErrOrStderr(), prompt)
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		if err != nil {
			return "", err
		}
		typed[i] = string(b)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two passwords differ")
	}
	return typed[0], nil
}
