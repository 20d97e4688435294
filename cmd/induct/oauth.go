package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"induct/internal/oauth"
)

// signInSettings are how clients and people prove who they are.
type signInSettings struct {
	issuers  []string // ISSUER or ISSUER=URL
	issuerCA string   // PEM file
}

func signInFlags(f *pflag.FlagSet, set *signInSettings) {
	f.StringSliceVar(&set.issuers, "federated-issuer", nil, "`ISSUER[=URL]` whose tokens apps may have federated credentials for; URL is its discovery document or key set, if not at the usual place; may be repeated")
	f.StringVar(&set.issuerCA, "federated-ca", "", "PEM `FILE` with the certificate authorities of those issuers, instead of the system's")
}

// federated parses the configured issuers.
func (set signInSettings) federated() (issuers []oauth.Issuer) {
	for _, v := range set.issuers {
		name, url, _ := strings.Cut(v, "=")
		issuers = append(issuers, oauth.Issuer{Name: name, URL: url})
	}
	return issuers
}

// transport is the way to the configured issuers.
func (set signInSettings) transport() (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 1
	if set.issuerCA == "" {
		return t, nil
	}
	text, err := os.ReadFile(set.issuerCA)
	if err != nil {
		return nil, fmt.Errorf("--federated-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--federated-ca %s: there is no certificate in PEM in it", set.issuerCA)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

func (s *server) newAuthority() (*oauth.Authority, error) {
	transport, err := s.signIn.transport()
	if err != nil {
		return nil, err
	}
	return oauth.New(oauth.Config{
		Tenant: s.tenant.ID, Domains: []string{s.tenant.DefaultDomain}, PublicURL: s.publicURL,
		Federated: s.signIn.federated(), Transport: transport,
		Logger: s.log, Observe: s.sawExchange,
	}, s.store)
}
