package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// FederatedAudience is the audience of federated credentials unless they name another.
	FederatedAudience = "api://AzureADTokenExchange"
	// MaxFederated is how many federated credentials a client may have.
	MaxFederated = 20

	maxFederatedText = 600
)

// CheckFederated reports what is wrong with a federated credential that is to be
// added to others of the same client, or to take the place of the one with its
// ID: its name, issuer, subject or audiences, or that another has its name or
// its pair of issuer and subject. The message is for the caller.
func CheckFederated(f FederatedCredential, others []FederatedCredential) error {
	others = slices.DeleteFunc(slices.Clone(others), func(o FederatedCredential) bool { return o.ID == f.ID })
	u, err := url.Parse(f.Issuer)
	switch {
	case !federatedName.MatchString(f.Name):
		return errors.New("name: use 3 to 120 letters, digits, '-' and '_', a letter or digit first")
	case err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || len(f.Issuer) > maxFederatedText:
		return fmt.Errorf("issuer: use an https URL without query and fragment, of at most %d characters", maxFederatedText)
	case f.Subject == "" || len(f.Subject) > maxFederatedText:
		return fmt.Errorf("subject: use 1 to %d characters", maxFederatedText)
	case len(f.Audiences) != 1 || f.Audiences[0] == "" || len(f.Audiences[0]) > maxFederatedText:
		return fmt.Errorf("audiences: use exactly one, of at most %d characters, such as %s", maxFederatedText, FederatedAudience)
	case len(f.Description) > maxFederatedText:
		return fmt.Errorf("description: use at most %d characters", maxFederatedText)
	case len(others) >= MaxFederated:
		return fmt.Errorf("there are %d federated identity credentials, and no more are possible", MaxFederated)
	}
	for _, o := range others {
		switch {
		case o.Name == f.Name:
			return fmt.Errorf("name: there is a federated identity credential named %s", o.Name)
		case o.Issuer == f.Issuer && o.Subject == f.Subject:
			return fmt.Errorf("issuer and subject: %s has the same", o.Name)
		}
	}
	return nil
}

var federatedName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{2,119}$`)

// Issuer is another token issuer that this server may ask for its keys.
type Issuer struct {
	Name string // exactly the iss of its tokens
	// URL is where its discovery document (OpenID Connect Discovery 1.0 section 4) or its key set (RFC 7517) is: https,
	// or http on loopback. Default: Name and /.well-known/openid-configuration. Keys that a discovery document names are
	// fetched only from the document's own scheme, host and port.
	URL string
}

const (
	maxKeySet     = 1 << 20 // bytes of a document of another issuer
	maxIssuerKeys = 64
	keySetFresh   = time.Hour
	keySetRetry   = 30 * time.Second // between two tries to fetch
	keySetStale   = 24 * time.Hour   // how long keys are good for while the issuer is away
	fetchTimeout  = 5 * time.Second
)

var errSignature = errors.New("oauth: the signature is not valid")

// issuer is another issuer and what is known of its keys.
type issuer struct {
	name   string
	url    *url.URL
	client *http.Client

	mu      sync.Mutex // also held while keys are fetched, so that this is done once
	keys    []jose.JSONWebKey
	fetched time.Time
	tried   time.Time
	failure error // of the last try
}

// newIssuers checks the configured issuers. transport is used for all of them.
func newIssuers(configured []Issuer, transport http.RoundTripper) (map[string]*issuer, error) {
	client := &http.Client{Transport: transport, Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	all := make(map[string]*issuer)
	for _, c := range configured {
		where := c.URL
		if where == "" {
			where = strings.TrimSuffix(c.Name, "/") + "/.well-known/openid-configuration"
		}
		u, err := url.Parse(where)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && loopbackHost(u.Hostname())) {
			return nil, fmt.Errorf("oauth: federated issuer %q: %q is not an https URL", c.Name, where)
		}
		if c.Name == "" || all[c.Name] != nil {
			return nil, fmt.Errorf("oauth: federated issuer %q is empty or there twice", c.Name)
		}
		all[c.Name] = &issuer{name: c.Name, url: u, client: client}
	}
	return all, nil
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// verify checks a token's signature by the issuer's keys. The error is
// errSignature, or that the keys cannot be had.
func (i *issuer) verify(ctx context.Context, token *jwt.JSONWebToken, now time.Time) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	id := token.Headers[0].KeyID
	for _, age := range []time.Duration{keySetFresh, keySetRetry} { // a key that is not known may be new
		if err := i.refresh(ctx, now, age); err != nil {
			return err
		}
		for _, k := range i.keys {
			if id != "" && k.KeyID != id {
				continue
			}
			var ignored struct{}
			if token.Claims(k.Key, &ignored) == nil {
				return nil
			}
		}
	}
	return errSignature
}

// refresh fetches the keys if they are older than age and that was not tried a
// moment ago. Keys that are too old to be refreshed are used for a while.
func (i *issuer) refresh(ctx context.Context, now time.Time, age time.Duration) error {
	if !i.fetched.IsZero() && now.Sub(i.fetched) < age {
		return nil
	}
	if i.tried.IsZero() || now.Sub(i.tried) >= keySetRetry {
		i.tried = now
		var keys []jose.JSONWebKey
		if keys, i.failure = i.fetch(ctx); i.failure == nil {
			i.keys, i.fetched = keys, now
			return nil
		}
	}
	if !i.fetched.IsZero() && now.Sub(i.fetched) < keySetStale {
		return nil
	}
	return i.failure
}

// fetch reads the issuer's key set, by its discovery document if that is what
// was configured.
func (i *issuer) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout) // a caller who hangs up must not spoil it for others
	defer cancel()
	doc, err := i.get(ctx, i.url)
	if err != nil {
		return nil, err
	}
	if doc.Keys == nil {
		if doc.Issuer != i.name {
			return nil, fmt.Errorf("oauth: the discovery document at %s is of issuer %q, not %q", i.url.Redacted(), shown(doc.Issuer), i.name)
		}
		u, err := url.Parse(doc.JWKS)
		if err != nil || u.Scheme != i.url.Scheme || !strings.EqualFold(u.Host, i.url.Host) || u.User != nil {
			return nil, fmt.Errorf("oauth: the discovery document at %s has its keys at %q, on another host: configure the address of the keys themselves", i.url.Redacted(), shown(doc.JWKS))
		}
		if doc, err = i.get(ctx, u); err != nil {
			return nil, err
		}
	}
	keys := usableKeys(doc.Keys)
	if len(keys) == 0 {
		return nil, fmt.Errorf("oauth: issuer %q publishes no key that can be used", i.name)
	}
	return keys, nil
}

// issuerDocument is a discovery document or a key set.
type issuerDocument struct {
	Issuer string            `json:"issuer"`
	JWKS   string            `json:"jwks_uri"`
	Keys   []json.RawMessage `json:"keys"`
}

func (i *issuer) get(ctx context.Context, u *url.URL) (doc issuerDocument, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return doc, fmt.Errorf("oauth: issuer %q: %w", i.name, err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := i.client.Do(req)
	if err != nil {
		return doc, fmt.Errorf("oauth: issuer %q: %w", i.name, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return doc, fmt.Errorf("oauth: issuer %q: %s answered %s (redirects are not followed)", i.name, u.Redacted(), res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	switch {
	case err != nil:
		return doc, fmt.Errorf("oauth: issuer %q: %w", i.name, err)
	case len(body) > maxKeySet:
		return doc, fmt.Errorf("oauth: issuer %q: %s answered with more than 1 MiB", i.name, u.Redacted())
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return doc, fmt.Errorf("oauth: issuer %q: %s did not answer with JSON", i.name, u.Redacted())
	}
	return doc, nil
}

// usableKeys are the public keys for signatures in a set. What is not
// understood is passed over (RFC 7517 section 5).
func usableKeys(set []json.RawMessage) (keys []jose.JSONWebKey) {
	for _, raw := range set[:min(len(set), maxIssuerKeys)] {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.Valid() && k.IsPublic() && (k.Use == "" || k.Use == "sig") {
			keys = append(keys, k)
		}
	}
	return keys
}
