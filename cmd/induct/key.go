package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func keyCommand() *cobra.Command {
	return group(&cobra.Command{Use: "key", Short: "The keys that sign tokens"}, keyRotateCommand())
}

func keyRotateCommand() *cobra.Command {
	var set settings
	cmd := &cobra.Command{
		Use:   "rotate --data DIR",
		Short: "Make a new signing key and retire the present one",
		Long: "Makes a new key for tokens. The key in use so far is published until its last tokens have expired,\n" +
			"so no client notices. The data directory must not be in use: stop `induct serve` for the moment.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return offline(cmd, &set, func(s *server) error {
				if err := s.authority.RotateKey(cmd.Context()); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "A new signing key is in use; tokens signed by the old one stay valid until they expire.")
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&set.data, "data", "", "data `DIR`ectory of the installation")
	f.String("config", "", "configuration `FILE` in YAML (default induct.yaml if there is one)")
	set.domain = defaultDomain
	return cmd
}
