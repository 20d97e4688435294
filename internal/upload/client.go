package upload

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config says where and as whom to upload.
type Config struct {
	Graph            string // base URL with its version, as https://graph.microsoft.com/v1.0; /v1.0 if it has no path
	ServicePrincipal string // object id of the provisioning app's service principal
	Job              string // id of the synchronization job

	Authority    string // token authority with its tenant, as https://login.microsoftonline.com/contoso.example
	ClientID     string
	ClientSecret string
	Scope        string // default https://graph.microsoft.com/.default
	Token        string // a bearer token that is used instead of client credentials

	CAFile    string // PEM certificates that are trusted beside the system's
	Insecure  bool   // allow plain HTTP to hosts other than this one
	UserAgent string // default "induct-upload"
}

// ParseEndpoint takes the provisioning API endpoint, as an app's provisioning page shows it, apart.
// Errors are *ConfigError.
func ParseEndpoint(endpoint string) (graph, servicePrincipal, job string, err error) {
	base, rest, ok := strings.Cut(strings.TrimRight(endpoint, "/"), "/servicePrincipals/")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 4 || len(parts) > 5 || parts[1] != "synchronization" || parts[2] != "jobs" ||
		(len(parts) == 5 && !strings.EqualFold(parts[4], "bulkUpload")) {
		return "", "", "", configErrorf("endpoint %q: expected https://HOST/v1.0/servicePrincipals/ID/synchronization/jobs/ID/bulkUpload", endpoint)
	}
	return base, parts[0], parts[3], nil
}

// ConfigError says which part of the configuration is wrong.
type ConfigError struct{ Msg string }

func (e *ConfigError) Error() string { return e.Msg }

func configErrorf(format string, args ...any) error {
	return &ConfigError{Msg: fmt.Sprintf(format, args...)}
}

// Client uploads to one job. It is safe for concurrent use.
type Client struct {
	cfg   Config
	graph *url.URL
	jobs  string // URL of the job
	http  *http.Client

	signIn sync.Mutex // one sign-in at a time

	mu     sync.Mutex
	token  string
	expiry time.Time // zero: does not expire
	resume time.Time // the service asked for silence until then
}

// New checks the configuration; it makes no request. Errors are *ConfigError.
func New(cfg Config) (*Client, error) {
	graph, err := baseURL("Graph", cfg.Graph, cfg.Insecure)
	if err != nil {
		return nil, err
	}
	if strings.Trim(graph.Path, "/") == "" {
		graph.Path = "/v1.0"
	}
	cfg.Scope = cmp.Or(cfg.Scope, "https://graph.microsoft.com/.default")
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "induct-upload")
	switch {
	case cfg.ServicePrincipal == "":
		return nil, configErrorf("the service principal's id is missing")
	case cfg.Job == "":
		return nil, configErrorf("the synchronization job's id is missing")
	case cfg.Token == "" && (cfg.ClientID == "" || cfg.ClientSecret == ""):
		return nil, configErrorf("credentials are missing: give a client id and a client secret, or a token")
	}
	if cfg.Token == "" {
		authority, err := baseURL("authority", cfg.Authority, cfg.Insecure)
		if err != nil {
			return nil, err
		}
		cfg.Authority = strings.TrimSuffix(strings.TrimRight(authority.String(), "/"), "/oauth2/v2.0/token")
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		if tlsConfig.RootCAs, err = trust(cfg.CAFile); err != nil {
			return nil, err
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsConfig
	transport.MaxIdleConnsPerHost = 32
	c := &Client{cfg: cfg, graph: graph, token: cfg.Token}
	c.jobs = graph.JoinPath("servicePrincipals", url.PathEscape(cfg.ServicePrincipal), "synchronization/jobs", url.PathEscape(cfg.Job)).String()
	c.http = &http.Client{
		Transport: transport,
		Timeout:   time.Minute,
		// A redirected POST would lose its body or show the token to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func baseURL(what, raw string, insecure bool) (*url.URL, error) {
	if raw == "" {
		return nil, configErrorf("the %s URL is missing", what)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, configErrorf("the %s URL must look like https://HOST/…", what)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, configErrorf("the %s URL must have no user, query or fragment", what)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && !insecure && u.Hostname() != "localhost" && !ip.IsLoopback() {
		return nil, configErrorf("the %s URL %s is not https: secrets would travel in clear", what, u.Redacted())
	}
	return u, nil
}

func trust(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, configErrorf("CA file: %v", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, configErrorf("CA file %s holds no PEM certificate", file)
	}
	return pool, nil
}

// ServiceError is a refusal, or what remained when retrying was given up.
type ServiceError struct {
	Op        string // what was attempted, as "upload of lines 2–51"
	Status    int    // HTTP status; 0 if there was no response
	Code      string // the service's error code
	Message   string // the service's message
	RequestID string // client-request-id, for the service's log
	Attempts  int
	Err       error // the network's error, if there was no response
}

func (e *ServiceError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + ": ")
	if e.Status == 0 {
		fmt.Fprintf(&b, "no answer: %v", e.Err)
	} else {
		fmt.Fprintf(&b, "%d %s", e.Status, http.StatusText(e.Status))
		if detail := strings.TrimPrefix(e.Code+": "+e.Message, ": "); detail != "" {
			b.WriteString(": " + strings.TrimSuffix(detail, ": "))
		}
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (%d attempts)", e.Attempts)
	}
	if e.RequestID != "" {
		b.WriteString(" [client-request-id " + e.RequestID + "]")
	}
	if advice := e.advice(); advice != "" {
		b.WriteString("; " + advice)
	}
	return b.String()
}

func (e *ServiceError) advice() string {
	var unknownCA x509.UnknownAuthorityError
	switch {
	case errors.As(e.Err, &unknownCA):
		return "name the certificate authority with a CA file"
	case e.Status == http.StatusForbidden:
		return "the app needs SynchronizationData-User.Upload"
	case e.Status == http.StatusNotFound:
		return "check the ids of service principal and job"
	case e.Status >= 300 && e.Status < 400:
		return "redirects are not followed; use the service's own URL"
	}
	return ""
}

func (e *ServiceError) Unwrap() error { return e.Err }

// request is one call and all its repetitions.
type request struct {
	op          string
	method, url string
	contentType string
	body        []byte
	id          string // client-request-id
	anonymous   bool   // sends no token
	limit       int64  // bytes of the response
	unsure      bool   // set by do: an attempt may have reached the service without its answer reaching us
}

type response struct {
	status int
	header http.Header
	body   []byte
}

// do sends r until it gets a 2xx response. Waiting ends when stop ends; a request in flight only
// when ctx does. Errors are *ServiceError or those of the contexts.
func (c *Client) do(ctx, stop context.Context, r *request, retry Retry, retried func(Retried)) (*response, error) {
	start := time.Now()
	renewed := false
	for attempt := 1; ; attempt++ {
		if err := c.silence(stop); err != nil {
			return nil, err
		}
		fail := &ServiceError{Op: r.op, RequestID: r.id, Attempts: attempt}
		var resp *response
		token, err := "", error(nil)
		if !r.anonymous {
			if token, err = c.bearer(ctx, stop, retry, retried); err != nil {
				return nil, err
			}
		}
		if resp, err = c.once(ctx, r, token); err != nil {
			fail.Err = err
			dead := hopeless(err)
			r.unsure = r.unsure || !dead
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if dead {
				return nil, fail
			}
		} else {
			if resp.status/100 == 2 {
				return resp, nil
			}
			fail.Status = resp.status
			r.unsure = r.unsure || resp.status >= 500
			fail.Code, fail.Message = serviceMessage(resp.body)
			if resp.status == http.StatusUnauthorized && !renewed && !r.anonymous && c.forget(token) {
				renewed = true
				continue
			}
			if !transient(resp.status) {
				return nil, fail
			}
		}
		wait := c.backoff(resp, attempt, retry)
		if attempt >= retry.Attempts || time.Since(start)+wait > retry.Total {
			return nil, fail
		}
		if retried != nil {
			retried(Retried{RequestID: r.id, Attempt: attempt, Wait: wait, Cause: fail.cause()})
		}
		if err := sleep(stop, wait); err != nil {
			return nil, err
		}
	}
}

func (e *ServiceError) cause() string {
	if e.Status == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("%d %s", e.Status, cmp.Or(e.Message, http.StatusText(e.Status)))
}

func (c *Client) once(ctx context.Context, r *request, token string) (*response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	req.Header.Set("Accept", "application/json")
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.id != "" {
		req.Header.Set("client-request-id", r.id)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	limit := cmp.Or(r.limit, 1<<20)
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil && !(resp.StatusCode == http.StatusAccepted) {
		return nil, err
	}
	if int64(len(body)) > limit {
		body = nil
	}
	return &response{resp.StatusCode, resp.Header, body}, nil
}

// serviceMessage reads Graph's error object, or RFC 6749's of a token endpoint.
func serviceMessage(body []byte) (code, message string) {
	var graph struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(body, &graph) == nil && graph.Error.Code+graph.Error.Message != "" {
		return clean(graph.Error.Code), clean(graph.Error.Message)
	}
	var oauth struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &oauth) == nil {
		description, _, _ := strings.Cut(oauth.Description, " Trace ID:")
		return clean(oauth.Error), clean(strings.TrimSpace(description))
	}
	return "", ""
}

func transient(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return true
	}
	return false
}

// hopeless reports whether a network error will not heal by itself.
func hopeless(err error) bool {
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	return errors.As(err, &verify) || errors.As(err, &record) || (errors.As(err, &dns) && dns.IsNotFound)
}

// backoff returns the wait before the next attempt. A Retry-After also silences all other requests.
func (c *Client) backoff(resp *response, attempt int, retry Retry) time.Duration {
	if resp != nil {
		if wait, ok := retryAfter(resp.header.Get("Retry-After"), time.Now()); ok {
			c.mu.Lock()
			if until := time.Now().Add(min(wait, retry.Total)); until.After(c.resume) {
				c.resume = until
			}
			c.mu.Unlock()
			return wait + rand.N(retry.Base)
		}
	}
	wait := retry.Max
	if shift := attempt - 1; shift < 20 {
		wait = min(retry.Base<<shift, retry.Max)
	}
	return wait/2 + rand.N(wait/2+1)
}

// retryAfter reads the header of RFC 9110 section 10.2.3: seconds or a date.
func retryAfter(h string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(h, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if t, err := http.ParseTime(h); err == nil {
		return max(t.Sub(now), 0), true
	}
	return 0, false
}

// silence waits until the service wants to hear again.
func (c *Client) silence(ctx context.Context) error {
	for {
		c.mu.Lock()
		wait := time.Until(c.resume)
		c.mu.Unlock()
		if wait <= 0 {
			return context.Cause(ctx)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// bearer returns a token that is valid for a while yet (RFC 6749 section 4.4).
func (c *Client) bearer(ctx, stop context.Context, retry Retry, retried func(Retried)) (string, error) {
	c.signIn.Lock()
	defer c.signIn.Unlock()
	c.mu.Lock()
	token, expiry := c.token, c.expiry
	c.mu.Unlock()
	if token != "" && (expiry.IsZero() || time.Now().Before(expiry)) {
		return token, nil
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.cfg.ClientID},
		"client_secret": {c.cfg.ClientSecret}, "scope": {c.cfg.Scope},
	}
	resp, err := c.do(ctx, stop, &request{
		op: "sign-in at " + c.cfg.Authority, method: http.MethodPost, url: c.cfg.Authority + "/oauth2/v2.0/token",
		contentType: "application/x-www-form-urlencoded", body: []byte(form.Encode()), anonymous: true,
	}, retry, retried)
	if err != nil {
		return "", err
	}
	var t struct {
		AccessToken string      `json:"access_token"`
		ExpiresIn   json.Number `json:"expires_in"`
	}
	if err := json.Unmarshal(resp.body, &t); err != nil || t.AccessToken == "" {
		return "", &ServiceError{Op: "sign-in at " + c.cfg.Authority, Status: resp.status, Message: "the answer holds no access_token"}
	}
	seconds, err := t.ExpiresIn.Int64()
	if err != nil || seconds <= 0 {
		seconds = 300
	}
	life := time.Duration(min(seconds, 1<<30)) * time.Second
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token, c.expiry = t.AccessToken, time.Now().Add(life-min(life/5, 5*time.Minute))
	return t.AccessToken, nil
}

// forget drops a token that the service refused, and reports whether another can be had.
func (c *Client) forget(token string) bool {
	if c.cfg.Token != "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
	return true
}

// clean makes text from the service safe for a terminal: one line, no control characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < ' ' || (r >= 0x7f && r < 0xa0):
			return -1
		}
		return r
	}, s)
}
