package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"induct/internal/sqlstore"
)

func keyCommand() *cobra.Command {
	return group(&cobra.Command{Use: "key", Short: "The keys that sign tokens"}, keyRotateCommand())
}

func keyRotateCommand() *cobra.Command {
	var set settings
	cmd := &cobra.Command{
		Use:   "rotate --data DIR",
		Short: "Make a new signing key and retire the present one",
		Long: "Makes a new key for tokens. It is published at once and signs ten minutes later; the key in use so far\n" +
			"is published until its last tokens have expired, so no client notices. The service may be running: it is\n" +
			"asked to do it. It does so by itself every 90 days, see `induct serve --signing-key-days`.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := offline(cmd, &set, func(s *server) error { return s.authority.RotateKey(cmd.Context()) })
			if errors.Is(err, sqlstore.ErrInUse) {
				err = askToRotate(cmd.Context(), set.data)
			}
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), "A new signing key is published and signs in ten minutes; tokens signed by the old one stay valid until they expire.")
			}
			return err
		},
	}
	f := cmd.Flags()
	storeFlags(f, &set)
	f.String("config", "", "configuration `FILE` in YAML (default induct.yaml if there is one)")
	set.domain = defaultDomain
	return cmd
}

// rotateRequest is a file in the data directory: while it is there, the running service is asked to rotate its key.
const rotateRequest = "rotate-key"

const (
	rotateLook = time.Second      // how often the service looks for it
	rotateWait = 20 * time.Second // how long the command waits until it is gone
)

// askToRotate asks the service that has the data directory open, and returns once it has done it.
func askToRotate(ctx context.Context, data string) error {
	path := filepath.Join(data, rotateRequest)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, rotateWait)
	defer cancel()
	look := time.NewTicker(rotateLook / 4)
	defer look.Stop()
	for {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return errors.Join(errors.New("the running service has not rotated its key: see its log"), os.Remove(path))
		}
	}
}

// tendKeys rotates the signing key when it is asked to or the key is old, until ctx ends.
func (s *server) tendKeys(ctx context.Context) {
	look, age := time.NewTicker(rotateLook), time.NewTicker(time.Hour)
	defer look.Stop()
	defer age.Stop()
	s.rotateOldKey(ctx)
	for {
		select {
		case <-look.C:
			s.rotateAsAsked(ctx)
		case <-age.C:
			s.rotateOldKey(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (s *server) rotateAsAsked(ctx context.Context) {
	if s.data == "" { // with a database the command does it itself
		return
	}
	path := filepath.Join(s.data, rotateRequest)
	if _, err := os.Stat(path); err != nil {
		return
	}
	err := s.authority.RotateKey(ctx)
	if err == nil {
		s.log.Info("signing key rotated", "reason", "asked")
		err = os.Remove(path)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("signing key not rotated", "error", err.Error())
	}
}

func (s *server) rotateOldKey(ctx context.Context) {
	if s.signIn.keyDays <= 0 {
		return
	}
	rotated, err := s.authority.RotateKeyAfter(ctx, time.Duration(s.signIn.keyDays)*24*time.Hour)
	if rotated {
		s.log.Info("signing key rotated", "reason", "age")
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("signing key not rotated", "error", err.Error())
	}
}
