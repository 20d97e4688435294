package upload

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/sha1" // the thumbprint of RFC 7515 section 4.1.7
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

// SystemIdentity is the ManagedIdentity that a machine has of its own.
const SystemIdentity = "system"

// Credentials say as whom to upload. The first of Token, ManagedIdentity, CertificateFile and ClientSecret that is
// set is used. None of them stands in an error or an event.
type Credentials struct {
	Authority string // token authority with its tenant, as https://login.microsoftonline.com/contoso.example
	ClientID  string
	Scope     string // default https://graph.microsoft.com/.default

	Token           string // a bearer token that is used as it is
	ClientSecret    string
	CertificateFile string // PEM: an RSA private key and its certificate, with or without its chain

	ManagedIdentity  string // SystemIdentity, or the client id of a user-assigned identity
	IdentityEndpoint string // App Service's; with it the machine's metadata service is not asked
	IdentityHeader   string // the secret that goes to IdentityEndpoint
	MetadataHost     string // default http://169.254.169.254
}

// FromEnvironment fills the members that are empty from variables as getenv returns them: those of the lines that
// `induct serve --env-file` writes, and those that Azure's libraries read.
func (cfg *Config) FromEnvironment(getenv func(string) string) {
	authority := getenv("AUTHORITY")
	if tenant := cmp.Or(getenv("AZURE_TENANT_ID"), getenv("TENANT_ID")); authority == "" && tenant != "" {
		authority = strings.TrimRight(cmp.Or(getenv("AZURE_AUTHORITY_HOST"), "https://login.microsoftonline.com"), "/") + "/" + tenant
	}
	fill(&cfg.Authority, authority)
	fill(&cfg.Graph, getenv("GRAPH_BASE"))
	fill(&cfg.ServicePrincipal, getenv("SP_ID"))
	fill(&cfg.Job, getenv("JOB_ID"))
	fill(&cfg.CAFile, getenv("CA_FILE"))
	fill(&cfg.ClientID, cmp.Or(getenv("CLIENT_ID"), getenv("AZURE_CLIENT_ID")))
	if cfg.Token+cfg.ManagedIdentity+cfg.CertificateFile+cfg.ClientSecret == "" { // who has chosen keeps the choice
		cfg.ClientSecret = cmp.Or(getenv("CLIENT_SECRET"), getenv("AZURE_CLIENT_SECRET"))
		cfg.CertificateFile = cmp.Or(getenv("CLIENT_CERTIFICATE"), getenv("AZURE_CLIENT_CERTIFICATE_PATH"))
		cfg.Token = getenv("ACCESS_TOKEN")
	}
	fill(&cfg.IdentityEndpoint, getenv("IDENTITY_ENDPOINT"))
	fill(&cfg.IdentityHeader, getenv("IDENTITY_HEADER"))
	fill(&cfg.MetadataHost, getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST"))
}

func fill(member *string, value string) {
	if *member == "" {
		*member = value
	}
}

// ParseAssignments reads NAME=value lines, as `induct serve --env-file` writes them: a value may stand in quotes,
// "export " before the name, "#" before a comment. Errors are *ConfigError and repeat no value.
func ParseAssignments(text string) (map[string]string, error) {
	env := map[string]string{}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		n++
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t\"'") {
			return nil, configErrorf("line %d is not of the form NAME=value", n)
		}
		if value, ok = unquote(value); !ok {
			return nil, configErrorf("line %d: the value of %s has a quote that does not close", n, name)
		}
		env[name] = value
	}
	return env, nil
}

// unquote takes a shell word of plain, 'quoted' and "quoted" parts apart; nothing is expanded.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		switch c := s[0]; c {
		case '\'', '"':
			end := strings.IndexByte(s[1:], c)
			if end < 0 {
				return "", false
			}
			b.WriteString(s[1 : end+1])
			s = s[end+2:]
		case '\\':
			if len(s) > 1 {
				b.WriteByte(s[1])
			}
			s = s[min(2, len(s)):]
		default:
			b.WriteByte(c)
			s = s[1:]
		}
	}
	return b.String(), true
}

// tokenRequest returns what makes the request for a token, or nil if there is one already.
func (cfg Credentials) tokenRequest(insecure bool) (func() (*request, error), error) {
	cfg.Scope = cmp.Or(cfg.Scope, "https://graph.microsoft.com/.default")
	switch {
	case cfg.Token != "":
		return nil, nil
	case cfg.ManagedIdentity != "":
		return cfg.managedIdentity()
	case cfg.ClientID == "" || cfg.ClientSecret == "" && cfg.CertificateFile == "":
		return nil, configErrorf("credentials are missing: give a client id and a client secret or certificate, a managed identity, or a token")
	}
	authority, err := baseURL("authority", cfg.Authority, insecure)
	if err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(strings.TrimRight(authority.String(), "/"), "/oauth2/v2.0/token")
	endpoint := base + "/oauth2/v2.0/token"
	prove := func(form url.Values) error {
		form.Set("client_secret", cfg.ClientSecret)
		return nil
	}
	if cfg.CertificateFile != "" {
		if prove, err = cfg.assertion(endpoint); err != nil {
			return nil, err
		}
	}
	return func() (*request, error) {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {cfg.ClientID}, "scope": {cfg.Scope}}
		if err := prove(form); err != nil {
			return nil, err
		}
		return &request{op: "sign-in at " + base, method: http.MethodPost, url: endpoint,
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: []byte(form.Encode()),
			secrets: []string{cfg.ClientSecret, url.QueryEscape(cfg.ClientSecret), form.Get("client_assertion")}}, nil
	}, nil
}

// managedIdentity asks App Service's endpoint if there is one, else the machine's metadata service.
func (cfg Credentials) managedIdentity() (func() (*request, error), error) {
	query := url.Values{"resource": {strings.TrimSuffix(cfg.Scope, "/.default")}}
	if cfg.ManagedIdentity != SystemIdentity {
		query.Set("client_id", cfg.ManagedIdentity)
	}
	endpoint, version, header := cfg.IdentityEndpoint, "2019-08-01", map[string]string{"X-IDENTITY-HEADER": cfg.IdentityHeader}
	if endpoint == "" {
		endpoint = strings.TrimRight(cmp.Or(cfg.MetadataHost, "http://169.254.169.254"), "/") + "/metadata/identity/oauth2/token"
		version, header = "2018-02-01", map[string]string{"Metadata": "true"}
	}
	query.Set("api-version", version)
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" && !local(u.Hostname()) {
		return nil, configErrorf("the managed identity's endpoint must be a URL of this machine")
	}
	u.RawQuery = query.Encode()
	return func() (*request, error) {
		return &request{op: "sign-in as managed identity at " + u.Host, method: http.MethodGet, url: u.String(), header: header, metadata: true, secrets: []string{cfg.IdentityHeader}}, nil
	}, nil
}

// local reports whether host is this machine, or a metadata service that only it can reach.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip.IsLoopback() || ip.IsLinkLocalUnicast()
}

// assertion returns what proves the client with a signed JWT (RFC 7523 section 2.2). PS256 and the SHA-256
// thumbprint are what today's libraries send; the SHA-1 one and the chain are for services that look for them.
func (cfg Credentials) assertion(audience string) (func(url.Values) error, error) {
	key, chain, err := readCertificate(cfg.CertificateFile)
	if err != nil {
		return nil, err
	}
	thumb1, thumb256 := sha1.Sum(chain[0].Raw), sha256.Sum256(chain[0].Raw)
	x5c := make([]string, len(chain))
	for i, cert := range chain {
		x5c[i] = base64.StdEncoding.EncodeToString(cert.Raw)
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("x5c", x5c).
		WithHeader("x5t", base64.RawURLEncoding.EncodeToString(thumb1[:])).
		WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(thumb256[:]))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.PS256, Key: key}, options)
	if err != nil {
		return nil, configErrorf("certificate file %s: its key cannot sign: %v", cfg.CertificateFile, err)
	}
	return func(form url.Values) error {
		now := time.Now()
		token, err := jwt.Signed(signer).Claims(jwt.Claims{
			Issuer: cfg.ClientID, Subject: cfg.ClientID, Audience: jwt.Audience{audience}, ID: uuid.NewString(),
			NotBefore: jwt.NewNumericDate(now), IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(10 * time.Minute)),
		}).Serialize()
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", token)
		return err
	}, nil
}

// readCertificate reads a private key and the certificates of a PEM file, the key's own first.
func readCertificate(file string) (*rsa.PrivateKey, []*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, configErrorf("certificate file: %v", err)
	}
	var key *rsa.PrivateKey
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, configErrorf("certificate file %s: a certificate in it cannot be read", file)
			}
			chain = append(chain, cert)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, nil, configErrorf("certificate file %s: its private key is encrypted; `openssl pkey` writes it without a passphrase", file)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if key = rsaKey(block.Bytes); key == nil {
				return nil, nil, configErrorf("certificate file %s: its private key is not an RSA key", file)
			}
		}
	}
	if key == nil || len(chain) == 0 {
		return nil, nil, configErrorf("certificate file %s: it must hold a private key and its certificate, both as PEM", file)
	}
	for i, cert := range chain {
		if key.PublicKey.Equal(cert.PublicKey) {
			chain[0], chain[i] = chain[i], chain[0]
			return key, chain, nil
		}
	}
	return nil, nil, configErrorf("certificate file %s: no certificate in it belongs to its private key", file)
}

func rsaKey(der []byte) *rsa.PrivateKey {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	key, _ := x509.ParsePKCS8PrivateKey(der)
	rsaKey, _ := key.(*rsa.PrivateKey)
	return rsaKey
}

// bearer returns a token for r that is valid for a while yet (RFC 6749 section 4.4).
func (c *Client) bearer(ctx, stop context.Context, r *request) (string, error) {
	if r.anonymous {
		return "", nil
	}
	if token := c.valid(); token != "" {
		return token, nil
	}
	select {
	case c.signIn <- struct{}{}:
		defer func() { <-c.signIn }()
	case <-stop.Done():
		return "", context.Cause(stop)
	}
	if token := c.valid(); token != "" { // another request has signed in meanwhile
		return token, nil
	}
	ask, err := c.request()
	if err != nil {
		return "", &ServiceError{Op: "sign-in", Err: err}
	}
	ask.anonymous, ask.retry, ask.retried = true, r.retry, r.retried
	resp, err := c.do(ctx, stop, ask)
	if err != nil {
		return "", err
	}
	token, life := readToken(resp.body, time.Now())
	if token == "" {
		return "", &ServiceError{Op: ask.op, Status: resp.status, Message: "the answer holds no access_token"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token, c.expiry = token, time.Now().Add(life-min(life/5, 5*time.Minute))
	return token, nil
}

// valid returns the token if it is there and stays valid for a while, else "".
func (c *Client) valid() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expiry.IsZero() || time.Now().Before(c.expiry) {
		return c.token
	}
	return ""
}

// readToken reads a token endpoint's answer (RFC 6749 section 5.1). Managed identities give numbers as text, and
// may give no expires_in.
func readToken(body []byte, now time.Time) (token string, life time.Duration) {
	var t struct {
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
		ExpiresOn   json.RawMessage `json:"expires_on"`
	}
	if json.Unmarshal(body, &t) != nil {
		return "", 0
	}
	seconds := whole(t.ExpiresIn)
	if on := whole(t.ExpiresOn); seconds <= 0 && on > 0 {
		seconds = on - now.Unix()
	}
	if seconds <= 0 {
		seconds = 300
	}
	return t.AccessToken, time.Duration(min(seconds, 1<<30)) * time.Second
}

// whole reads a number that may stand in quotes; 0 if it is none.
func whole(raw json.RawMessage) int64 {
	var n int64
	if json.Unmarshal(bytes.Trim(raw, `"`), &n) != nil {
		return 0
	}
	return n
}

// forget drops a token that the service refused, and reports whether another can be had.
func (c *Client) forget(token string) bool {
	if c.request == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
	return true
}
