package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/pflag"

	"induct/internal/directory"
	"induct/internal/oauth"
	"induct/internal/provision"
)

// signInSettings are how clients and people prove who they are.
type signInSettings struct {
	issuers  []string // ISSUER or ISSUER=URL
	issuerCA string   // PEM file

	identityListen string // for local processes; "": none
	keyDays        int    // after which the signing key is rotated; 0: never
}

func signInFlags(f *pflag.FlagSet, set *signInSettings) {
	f.StringSliceVar(&set.issuers, "federated-issuer", nil, "`ISSUER[=URL]` whose tokens apps may have federated credentials for; URL is its discovery document or key set, if not at the usual place; may be repeated")
	f.StringVar(&set.issuerCA, "federated-ca", "", "PEM `FILE` with the certificate authorities of those issuers, instead of the system's")
	f.StringVar(&set.identityListen, "managed-identity-listen", "", "loopback `ADDRESS:PORT` where processes of this machine get tokens of managed identities without a credential")
	f.IntVar(&set.keyDays, "signing-key-days", 90, "days after which a new key signs tokens; 0: only by `induct key rotate`")
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
		Tenant: s.tenant.ID, Domains: []string{s.tenant.DefaultDomain}, PublicURL: s.publicURL, Named: s.named,
		People: people{s.users}, Federated: s.signIn.federated(), Transport: transport,
		Logger: s.log, Observe: s.sawExchange,
	}, s.store)
}

// named reports whether a host name is this server's: one that its certificate is for, that it listens on, or the public one.
func (s *server) named(host string) bool {
	for _, base := range []string{s.base, s.publicURL} {
		if u, err := url.Parse(base); err == nil && base != "" && strings.EqualFold(u.Hostname(), host) {
			return true
		}
	}
	leaf := s.leaf()
	return leaf != nil && leaf.VerifyHostname(host) == nil || leaf == nil && loopback(host)
}

// leaf is the certificate that the server shows, nil if it shows none.
func (s *server) leaf() *x509.Certificate {
	switch {
	case s.tlsConfig == nil:
		return nil
	case s.tlsConfig.GetCertificate == nil:
		return s.tlsConfig.Certificates[0].Leaf
	}
	cert, err := s.tlsConfig.GetCertificate(new(tls.ClientHelloInfo))
	if err != nil {
		return nil
	}
	return cert.Leaf
}

// people are the directory's users as those who may sign in.
type people struct{ *directory.Directory }

// Person implements oauth.People.
func (p people) Person(ctx context.Context, upn string) (*oauth.Person, error) {
	o, err := p.Object(ctx, upn)
	if errors.Is(err, provision.ErrNotFound) {
		return nil, oauth.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	id, err := uuid.Parse(o.ID)
	if err != nil {
		return nil, fmt.Errorf("user %q: %w", o.ID, err)
	}
	enabled, _ := o.Attributes["accountEnabled"].AsBool()
	return &oauth.Person{ObjectID: id, UPN: o.Attributes["userPrincipalName"].String(), DisplayName: o.Attributes["displayName"].String(), Enabled: enabled}, nil
}

// adminScopes are the delegated permissions of the admin center: all there are, so that a person's roles decide.
func adminScopes() string {
	return strings.Join(slices.DeleteFunc(everyRole(), func(role string) bool { return strings.HasSuffix(role, ".OwnedBy") }), " ")
}

// adminCenter makes the public client that people sign in through, with the redirect URIs where this server is reached.
func (s *server) adminCenter(ctx context.Context, dev bool) error {
	id := func(of string) uuid.UUID { return uuid.NewSHA1(s.tenant.ID, []byte("admin-center "+of)) }
	redirects := []string{s.base + "/"}
	if s.publicURL != "" && s.store.Shared() {
		redirects = nil // processes that others share it with would each put their own address there
	}
	if s.publicURL != "" {
		redirects = append(redirects, strings.TrimRight(s.publicURL, "/")+"/")
	}
	if dev {
		redirects = append(redirects, "http://localhost/") // of any port: a front end's own development server
	}
	c, err := s.store.Client(ctx, id("app"))
	if errors.Is(err, oauth.ErrNotFound) {
		c, err = &oauth.Client{AppID: id("app"), ApplicationID: id("application"), ObjectID: id("principal"), DisplayName: "Induct admin center", Public: true, Created: time.Now(),
			Grants: []oauth.Grant{{ID: id("grant").String(), Resource: oauth.GraphObjectID(s.tenant.ID)}}}, nil
	}
	if err != nil {
		return err
	}
	if c.BuiltIn && slices.Equal(c.RedirectURIs, redirects) && len(c.Grants) > 0 && c.Grants[0].Scope == adminScopes() {
		return nil
	}
	c.BuiltIn, c.Public, c.RedirectURIs, c.Application = true, true, redirects, nil
	if len(c.Grants) > 0 {
		c.Grants[0].Scope = adminScopes()
	}
	return s.store.PutClient(ctx, c)
}

// welcome tells how people sign in, as far as that is not known yet: with --dev by a link that signs in at once, otherwise by
// one on which the first administrator is made.
func (s *server) welcome(ctx context.Context, out io.Writer, dev bool) error {
	unlock, err := s.store.Lock(ctx, oauth.LockClients)
	if err != nil {
		return err
	}
	defer unlock()
	if err := errors.Join(s.adminCenter(ctx, dev), s.tellIdentities(out)); err != nil {
		return err
	}
	base := s.base
	if s.publicURL != "" {
		base = strings.TrimRight(s.publicURL, "/")
	}
	if !dev {
		link, err := s.authority.FirstAdministratorLink(ctx)
		if link != "" {
			fmt.Fprintf(out, "# Nobody can sign in as administrator yet. Within an hour, make the first one at\n#   %s%s\n", base, link)
		}
		return err
	}
	name := "dev-admin@" + s.tenant.DefaultDomain
	account, err := s.store.AccountNamed(ctx, name)
	if errors.Is(err, oauth.ErrNotFound) {
		account, err = s.authority.AddAccount(ctx, name, "Developer", "", []string{"Global Administrator"})
	}
	if err != nil {
		return err
	}
	link, err := s.authority.SignInLink(ctx, account.ObjectID)
	if err == nil {
		fmt.Fprintf(out, "# Sign in as %s, once within an hour:\n#   %s%s\n", name, base, link)
	}
	return err
}

// checkIdentityListen refuses to give tokens away to other machines.
func (s *server) checkIdentityListen() error {
	if s.signIn.identityListen == "" {
		return nil
	}
	if s.data == "" {
		return errors.New("--managed-identity-listen needs --data DIR, also with --database: processes of this machine find there what they have to show")
	}
	host, _, err := net.SplitHostPort(s.signIn.identityListen)
	if err != nil {
		return fmt.Errorf("--managed-identity-listen %q is not HOST:PORT: %w", s.signIn.identityListen, err)
	}
	if !loopback(host) {
		return fmt.Errorf("--managed-identity-listen %s: whoever reaches it gets tokens, so it must be a loopback address, such as 127.0.0.1:40342", s.signIn.identityListen)
	}
	return nil
}

func (s *server) bindIdentities() (err error) {
	if s.signIn.identityListen == "" {
		return nil
	}
	if s.identities, err = net.Listen("tcp", s.signIn.identityListen); err != nil {
		return fmt.Errorf("--managed-identity-listen: %w", err)
	}
	return nil
}

func (s *server) closeIdentities() error {
	if s.identities == nil {
		return nil
	}
	return s.identities.Close()
}

const identitySetting = "identity.header" // what local processes show at the App Service form of the endpoint

// identityHeader returns what local processes have to show; the first time, it makes it.
func (s *server) identityHeader(ctx context.Context) (string, error) {
	return once(ctx, s.store, identitySetting, rand.Text)
}

// tellIdentities writes what local processes need into a file that only the service's owner can read, and says where.
func (s *server) tellIdentities(out io.Writer) error {
	if s.identities == nil {
		return nil
	}
	header, err := s.identityHeader(context.Background())
	if err != nil {
		return err
	}
	base, path := "http://"+s.identities.Addr().String(), filepath.Join(s.data, "identity.env")
	text := fmt.Sprintf("IDENTITY_ENDPOINT=%s%s\nIDENTITY_HEADER=%s\n", base, oauth.AppServicePath, header)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(out, "# Processes of this machine get tokens of managed identities at %s%s,\n# or with the lines of %s in their environment.\n", base, oauth.MachinePath, path)
	return nil
}

// serveIdentities serves the endpoints for local processes, if there are any; stop ends that.
func (s *server) serveIdentities(failed chan<- error) (stop func() error) {
	if s.identities == nil {
		return func() error { return nil }
	}
	header, err := s.identityHeader(context.Background())
	if err != nil {
		s.log.Error("identity header", "error", err.Error())
	}
	web := &http.Server{Handler: s.authority.LocalIdentity(header), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: s.webLog()}
	go func() {
		if err := web.Serve(s.identities); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return web.Close
}
