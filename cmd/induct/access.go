package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/pflag"

	"induct/internal/upload"
)

// access is where a client's job is, and as whom it comes: what all commands that call a service have in common.
type access struct {
	cfg         upload.Config
	endpoint    string
	credentials string
}

func (a *access) flags(f *pflag.FlagSet) {
	f.StringVar(&a.endpoint, "endpoint", "", "provisioning API endpoint `URL`, instead of --graph, --sp and --job")
	f.StringVar(&a.cfg.Graph, "graph", "", "Graph `URL` with its version (GRAPH_BASE)")
	f.StringVar(&a.cfg.ServicePrincipal, "sp", "", "service principal `ID` of the provisioning app (SP_ID)")
	f.StringVar(&a.cfg.Job, "job", "", "job `ID` (JOB_ID)")
	f.StringVar(&a.cfg.CAFile, "ca-file", "", "PEM `FILE` of certificates to trust beside the system's (CA_FILE)")

	f.StringVar(&a.credentials, "credentials", "", "`FILE` of NAME=value lines, as `induct serve --env-file` writes it")
	f.StringVar(&a.cfg.Authority, "authority", "", "token authority `URL` with its tenant (AUTHORITY)")
	f.StringVar(&a.cfg.ClientID, "client-id", "", "client `ID` (CLIENT_ID)")
	f.StringVar(&a.cfg.CertificateFile, "certificate", "", "PEM `FILE` with the client's RSA key and certificate, instead of a secret")
	f.StringVar(&a.cfg.ManagedIdentity, "managed-identity", "", "sign in as this machine's identity, or as the one with the client `ID`: --managed-identity=ID")
	f.Lookup("managed-identity").NoOptDefVal = upload.SystemIdentity
}

// fill takes what the flags leave open from the credentials file, and then from the environment.
func (a *access) fill(stderr io.Writer) (err error) {
	if a.endpoint != "" {
		if a.cfg.Graph, a.cfg.ServicePrincipal, a.cfg.Job, err = upload.ParseEndpoint(a.endpoint); err != nil {
			return err
		}
	}
	if a.credentials != "" {
		text, err := os.ReadFile(a.credentials)
		if err != nil {
			return fmt.Errorf("--credentials: %w", err)
		}
		if info, err := os.Stat(a.credentials); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			fmt.Fprintf(stderr, "induct: warning: other users of this machine may read %s; `chmod 600 %s` keeps them out\n", a.credentials, a.credentials)
		}
		env, err := upload.ParseAssignments(string(text))
		if err != nil {
			return fmt.Errorf("--credentials %s: %w", a.credentials, err)
		}
		a.cfg.FromEnvironment(func(name string) string { return env[name] })
	}
	a.cfg.FromEnvironment(os.Getenv)
	return nil
}

func newClient(cfg upload.Config) (*upload.Client, error) {
	cfg.UserAgent = strings.TrimSpace("induct-upload/" + version)
	return upload.New(cfg)
}
