package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// configure sets the flags that the command line leaves open: from INDUCT_NAME in the environment, else from the
// configuration file (--config, or induct.yaml here if there is one). Keys are the flags' names; an unknown one is an error.
func configure(cmd *cobra.Command) error {
	flags := cmd.Flags()
	k := koanf.New(".")
	path, err := flags.GetString("config")
	if err != nil {
		return err
	}
	named := path != ""
	if !named {
		path = "induct.yaml"
	}
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil && (named || !errors.Is(err, fs.ErrNotExist)) {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	settings := serveCommand().Flags() // the file is the service's; commands beside it take from it what concerns them
	for _, key := range k.Keys() {
		if settings.Lookup(key) == nil && flags.Lookup(key) == nil || key == "config" {
			return fmt.Errorf("configuration file %s: %q is not a setting; `induct serve --help` lists them", path, key)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "config" || f.Name == "help" || err != nil {
			return
		}
		value, source := os.Getenv(envName(f.Name)), "environment variable "+envName(f.Name)
		if value == "" {
			value, source = k.String(f.Name), "configuration file "+path
		}
		if value == "" {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = fmt.Errorf("%s: %s: %w", source, f.Name, e)
		}
	})
	return err
}

func envName(flag string) string {
	return "INDUCT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
