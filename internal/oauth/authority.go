// Package oauth issues and verifies the access tokens of one tenant: an OAuth
// 2.0 authorization server that speaks as the Microsoft identity platform does,
// for apps (client credentials, RFC 6749 section 4.4, with secrets, certificates
// and tokens of other issuers, RFC 7523) and for people (authorization code with
// PKCE, RFC 7636, and OpenID Connect), its discovery documents, and the
// verification of bearer tokens (RFC 6750).
package oauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

const (
	graphURI   = "https://graph.microsoft.com"          // audience of tokens, unless asked for by application id
	graphAppID = "00000003-0000-0000-c000-000000000000" // of Microsoft Graph, in every tenant
	clockSkew  = 5 * time.Minute
)

// Config says whose tokens an Authority issues. Only Tenant is required.
type Config struct {
	Tenant    uuid.UUID
	Domains   []string // further names of the tenant in paths, such as its default domain
	PublicURL string   // scheme and host clients use; needed behind a proxy that ends TLS
	Hosts     []string // further hosts (host or host:port) this server is called by
	// Named reports whether a host name or address, without port, is this server's. A client assertion must be meant for
	// such a one: the Host header is whatever its sender wants. Default: those of PublicURL and Hosts, or any if there are none.
	Named func(host string) bool

	People    People            // who may sign in beside those who have accounts of their own; default nobody
	Federated []Issuer          // other issuers whose tokens clients may have federated credentials for; no other is ever asked
	Transport http.RoundTripper // to them; default http.DefaultTransport

	Now           func() time.Time // default time.Now
	TokenLifetime time.Duration    // default 1 h; whole seconds, at least one minute
	Logger        *slog.Logger     // one line per request; default discards
	Observe       func(Request)    // called once for each answered request, by many at once; it must not wait; default nobody
}

// Authority is the token issuer of one tenant. Its methods may be called
// concurrently.
type Authority struct {
	tenant   uuid.UUID
	names    []string               // of the tenant in paths, in lower case
	https    bool                   // clients use TLS, even if this process does not see it
	hosts    []string               // this server's hosts, in lower case
	isNamed  func(host string) bool // without port
	now      func() time.Time
	lifetime time.Duration
	log      *slog.Logger
	observe  func(Request)
	store    Store

	keys     keyring
	verified *lru[[32]byte, *Principal]
	failures *limiter
	issuers  map[string]*issuer // by name
	people   People             // may be nil
	signIns  throttle
	hashing  chan struct{} // holds who computes a password's hash
}

// New returns the Authority that cfg describes. It reads nothing from the
// store: signing keys are loaded, or made, on first use.
func New(cfg Config, store Store) (*Authority, error) {
	if cfg.Tenant == uuid.Nil {
		return nil, errors.New("oauth: the tenant id is missing")
	}
	if store == nil {
		return nil, errors.New("oauth: the store is missing")
	}
	a := &Authority{
		tenant:   cfg.Tenant,
		names:    []string{cfg.Tenant.String()},
		now:      cfg.Now,
		lifetime: cfg.TokenLifetime.Truncate(time.Second),
		log:      cfg.Logger,
		observe:  cfg.Observe,
		store:    store,
		verified: newLRU[[32]byte, *Principal](maxVerified),
		failures: newLimiter(maxFailures, failureWindow),
		people:   cfg.People,
		isNamed:  cfg.Named,
		signIns:  throttle{store},
		hashing:  make(chan struct{}, hashesAtATime),
	}
	if a.now == nil {
		a.now = time.Now
	}
	if cfg.TokenLifetime == 0 {
		a.lifetime = time.Hour
	}
	if a.lifetime < time.Minute {
		return nil, fmt.Errorf("oauth: a token lifetime of %v is too short: use a minute or more", cfg.TokenLifetime)
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.observe == nil {
		a.observe = func(Request) {}
	}
	for _, d := range cfg.Domains {
		d = strings.ToLower(strings.TrimSpace(d))
		if d == "" || strings.Contains(d, "/") || sharedTenant(d) {
			return nil, fmt.Errorf("oauth: %q cannot be a domain of the tenant", d)
		}
		a.names = append(a.names, d)
	}
	for _, h := range cfg.Hosts {
		a.hosts = append(a.hosts, strings.ToLower(h))
	}
	if cfg.PublicURL != "" {
		u, err := url.Parse(cfg.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("oauth: public URL %q: want a scheme and a host only, such as https://induct.example", cfg.PublicURL)
		}
		a.https = u.Scheme == "https"
		a.hosts = append(a.hosts, strings.ToLower(u.Host))
	}
	if a.isNamed == nil {
		a.isNamed = a.isHost
	}
	var err error
	if a.issuers, err = newIssuers(cfg.Federated, cfg.Transport); err != nil {
		return nil, err
	}
	a.keys = keyring{store: store, now: a.now, lifetime: a.lifetime, retries: rate.NewLimiter(rate.Every(keyRetry), keyRetries)}
	return a, nil
}

// sharedTenant reports whether name is a path name that stands for no tenant
// in particular.
func sharedTenant(name string) bool {
	return name == "common" || name == "organizations" || name == "consumers"
}

// named reports whether name, of any case, is this authority's tenant.
func (a *Authority) named(name string) bool {
	return slices.Contains(a.names, strings.ToLower(name))
}

// base is the URL of the tenant on the host that r called, without a trailing
// slash. The Host header decides, so that each name of the server is an
// authority of its own; a token's issuer therefore carries no trust, its
// signature and tenant do.
func (a *Authority) base(r *http.Request) string {
	return a.root(r) + "/" + a.tenant.String()
}

func (a *Authority) root(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || a.https {
		scheme = "https"
	}
	return scheme + "://" + strings.ToLower(r.Host)
}

// own is the path of one of the tenant's pages.
func (a *Authority) own(page string) string { return "/" + a.tenant.String() + "/" + page }

// issuerV1 is the issuer of tokens of the v1 endpoint, whatever the host.
func (a *Authority) issuerV1() string { return "https://sts.windows.net/" + a.tenant.String() + "/" }

// serves reports whether host, in lower case, is a name of this server: a
// configured one or the one r was sent to.
func (a *Authority) serves(r *http.Request, host string) bool {
	return host != "" && (host == strings.ToLower(r.Host) || slices.Contains(a.hosts, host))
}

// isHost reports whether a host name is one of the configured ones; without any
// all are.
func (a *Authority) isHost(name string) bool {
	return len(a.hosts) == 0 || slices.ContainsFunc(a.hosts, func(h string) bool { return hostname(h) == name })
}

// hostname is a host, in lower case, without its port.
func hostname(host string) string {
	return strings.ToLower((&url.URL{Host: host}).Hostname())
}

// Challenge is the WWW-Authenticate header (RFC 6750 section 3) of a 401
// answer to r.
func (a *Authority) Challenge(r *http.Request) string {
	root := strings.Map(func(c rune) rune { // Host is the caller's: keep it inside the quoted string
		if c == '"' || c == '\\' || c < ' ' {
			return -1
		}
		return c
	}, a.root(r))
	return fmt.Sprintf(`Bearer realm="", authorization_uri="%s/common/oauth2/authorize", client_id="%s"`, root, graphAppID)
}

// remoteHost is the address r came from, without the port.
func remoteHost(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}
