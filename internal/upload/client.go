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

	Credentials

	CAFile    string            // PEM certificates that are trusted beside the system's
	Insecure  bool              // allow plain HTTP to hosts other than this one
	UserAgent string            // default "induct-upload"
	Transport http.RoundTripper // default one of the client's own
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

	posts pacer    // of uploads
	reads pacer    // of all that is read
	met   sync.Map // hosts that have answered

	signIn  chan struct{}            // holds one token: one sign-in at a time
	request func() (*request, error) // what asks for a token; nil if the token is given

	mu     sync.Mutex
	token  string
	expiry time.Time // zero: does not expire
}

// New checks the configuration and reads the certificate files; it makes no request. Errors are *ConfigError.
func New(cfg Config) (*Client, error) {
	graph, err := baseURL("Graph", cfg.Graph, cfg.Insecure)
	if err != nil {
		return nil, err
	}
	if strings.Trim(graph.Path, "/") == "" {
		graph.Path = "/v1.0"
	}
	switch {
	case cfg.ServicePrincipal == "":
		return nil, configErrorf("the service principal's id is missing")
	case cfg.Job == "":
		return nil, configErrorf("the synchronization job's id is missing")
	}
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "induct-upload")
	c := &Client{cfg: cfg, graph: graph, token: cfg.Token, signIn: make(chan struct{}, 1)}
	if c.request, err = cfg.tokenRequest(cfg.Insecure); err != nil {
		return nil, err
	}
	if cfg.Transport == nil {
		if cfg.Transport, err = transport(cfg.CAFile); err != nil {
			return nil, err
		}
	}
	c.jobs = graph.JoinPath("servicePrincipals", url.PathEscape(cfg.ServicePrincipal), "synchronization/jobs", url.PathEscape(cfg.Job)).String()
	c.http = &http.Client{
		Transport: cfg.Transport,
		Timeout:   time.Minute,
		// A redirected POST would lose its body or show the token to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func transport(caFile string) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.MaxIdleConnsPerHost = 64
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if net.ParseIP(r.URL.Hostname()).IsLinkLocalUnicast() { // a machine's own metadata service
			return nil, nil
		}
		return http.ProxyFromEnvironment(r)
	}
	var err error
	if caFile != "" {
		t.TLSClientConfig.RootCAs, err = trust(caFile)
	}
	return t, err
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
	Resumes   time.Time // when the service takes requests again, if it said so and that was too long to wait
	Err       error     // the network's error, if there was no response, or what is wrong with what was read

	once   bool           // see Call
	advise map[int]string // see Call.Advice
}

func (e *ServiceError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + ": ")
	switch {
	case e.Status == 0 && e.Attempts == 0:
		b.WriteString(e.Err.Error())
	case e.Status == 0:
		fmt.Fprintf(&b, "no answer: %v", e.Err)
	default:
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
	if !e.Resumes.IsZero() {
		fmt.Fprintf(&b, "; it takes requests again %s", clock(e.Resumes, time.Now()))
	}
	if advice := e.advice(); advice != "" {
		b.WriteString("; " + advice)
	}
	return b.String()
}

// clock writes when t comes, for somebody who looks at a clock: "at 14:05", "at 03:10 on Sun 22 Nov".
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return "at " + t.Format("15:04")
	}
	return "at " + t.Format("15:04 on Mon 2 Jan")
}

func (e *ServiceError) advice() string {
	var unknownCA x509.UnknownAuthorityError
	if text, ok := e.advise[e.Status]; ok {
		return text
	}
	switch {
	case e.inDoubt():
		return "it may have been carried out all the same: look before you repeat it"
	case !e.Resumes.IsZero():
		return "go on then, or wait for it with a longer --max-wait"
	case errors.As(e.Err, &unknownCA):
		return "name the certificate authority with a CA file"
	case e.Status >= 300 && e.Status < 400:
		return "redirects are not followed; use the service's own URL"
	case e.Op == readingOutcomes && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden):
		return "the app needs SynchronizationData-User.Upload or ProvisioningLog.Read.All"
	case strings.HasPrefix(e.Op, "sign-in") && e.Status/100 == 4:
		return "check the client id, its secret or certificate, and the tenant"
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return "the app needs the application permission SynchronizationData-User.Upload, granted by an administrator"
	case e.Status == http.StatusNotFound:
		return "check the ids of service principal and job"
	}
	return ""
}

// inDoubt reports whether what does not bear repetition may have been done although its answer is lost.
func (e *ServiceError) inDoubt() bool {
	var network *net.OpError
	return e.once && (e.Status >= 500 || e.Status == 0 && !hopeless(e.Err) && !(errors.As(e.Err, &network) && network.Op == "dial"))
}

func (e *ServiceError) Unwrap() error { return e.Err }

// request is one call and all its repetitions.
type request struct {
	op          string
	method, url string
	header      map[string]string
	body        []byte
	id          string   // client-request-id
	anonymous   bool     // sends no token
	metadata    bool     // goes to a metadata service, which answers 404 and 410 while it is not ready
	limit       int64    // bytes of the response
	want        int      // the only status that is success; 0: any 2xx
	secrets     []string // what it carries that no error may repeat
	pace        *pacer   // nil: none
	retry       Retry
	retried     func(Retried)
	once        bool           // see Call
	advice      map[int]string // see Call
	unsure      int            // set by do: attempts that may have reached the service without its answer reaching us
}

type response struct {
	status      int
	header      http.Header
	body        []byte
	started, at time.Time // of the attempt, and of its answer
}

// firstContact is how long a host that has never answered is tried: what is misspelt stays misspelt.
const firstContact = time.Minute

// do sends r until it gets a 2xx response. Waiting ends when stop ends; a request in flight only
// when ctx does. Errors are *ServiceError or those of the contexts.
func (c *Client) do(ctx, stop context.Context, r *request) (*response, error) {
	var trouble time.Time // since when r fails
	renewed := false
	for attempt := 1; ; attempt++ {
		if err := r.pace.wait(stop); err != nil {
			return nil, err
		}
		token, err := c.bearer(ctx, stop, r)
		if err != nil {
			return nil, err
		}
		started := time.Now()
		resp, err := c.once(ctx, r, token)
		if err != nil && ctx.Err() != nil {
			r.unsure++
			return nil, context.Cause(ctx)
		}
		fail := r.failure(resp, err, attempt)
		if fail == nil {
			r.pace.accepted(started, time.Now())
			return resp, nil
		}
		fail.conceal(append(r.secrets, token))
		if fail.Status == http.StatusUnauthorized && !renewed && !r.anonymous && c.forget(token) {
			renewed = true
			continue
		}
		if !fail.transient(r.metadata) {
			return nil, fail
		}
		if trouble.IsZero() {
			trouble = started
		}
		wait := c.pause(r, resp, fail, started, attempt)
		if time.Since(trouble)+wait > c.patience(r, fail) {
			if wait >= longWait {
				fail.Resumes = time.Now().Add(wait)
			}
			return nil, fail
		}
		if r.retried != nil {
			cause := fail.cause()
			if fail.Status == http.StatusTooManyRequests && wait >= longWait {
				cause += " The quota seems to be used up."
			}
			r.retried(Retried{RequestID: r.id, Attempt: attempt, Wait: wait, Until: time.Now().Add(wait), Cause: cause})
		}
		if err := sleep(stop, wait); err != nil {
			return nil, err
		}
	}
}

// patience is how long a request is repeated after what went wrong last.
func (c *Client) patience(r *request, fail *ServiceError) time.Duration {
	u, err := url.Parse(r.url)
	if err != nil || fail.Status != 0 {
		return r.retry.Wait
	}
	if _, met := c.met.Load(u.Host); met {
		return r.retry.Wait
	}
	var dns *net.DNSError
	if errors.As(fail.Err, &dns) && dns.IsNotFound {
		return 0
	}
	return min(r.retry.Wait, firstContact)
}

// failure is what one attempt came to; nil if it was answered with a 2xx.
func (r *request) failure(resp *response, err error, attempt int) *ServiceError {
	fail := &ServiceError{Op: r.op, RequestID: r.id, Attempts: attempt, Err: err, once: r.once, advise: r.advice}
	switch {
	case err != nil:
		if !hopeless(err) {
			r.unsure++
		}
	case resp.status/100 == 2 && (r.want == 0 || r.want == resp.status):
		return nil
	case resp.status/100 == 2:
		r.unsure++
		fail.Status = resp.status
		fail.Message = fmt.Sprintf("expected %d %s; is this the service, or a proxy or sign-in page in front of it?", r.want, http.StatusText(r.want))
	default:
		fail.Status = resp.status
		fail.Code, fail.Message = serviceMessage(resp.body)
		if resp.status >= 500 && !fail.queueFull() {
			r.unsure++
		}
	}
	return fail
}

// conceal takes secrets out of what the service said: it may repeat what it was sent.
func (e *ServiceError) conceal(secrets []string) {
	for _, s := range secrets {
		if s != "" {
			e.Code, e.Message = strings.ReplaceAll(e.Code, s, "…"), strings.ReplaceAll(e.Message, s, "…")
		}
	}
}

// queueFull recognises the documented answer of a job whose queue of uploads is full: nothing was stored.
func (e *ServiceError) queueFull() bool {
	text := strings.ToLower(e.Message)
	return e.Status == http.StatusInternalServerError && strings.Contains(text, "bucket") && strings.Contains(text, "full")
}

// transient reports whether what failed may succeed later.
func (e *ServiceError) transient(metadata bool) bool {
	switch e.Status {
	case 0:
		return !hopeless(e.Err)
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	case http.StatusNotImplemented:
		return false
	case http.StatusNotFound, http.StatusGone:
		return metadata
	}
	return e.Status >= 500
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
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if r.id != "" {
		req.Header.Set("client-request-id", r.id)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	started := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	at := time.Now()
	defer resp.Body.Close()
	c.met.Store(req.URL.Host, true)
	limit := cmp.Or(r.limit, 1<<20)
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil && !(resp.StatusCode == http.StatusAccepted) {
		return nil, err
	}
	if int64(len(body)) > limit {
		body = nil
	}
	return &response{resp.StatusCode, resp.Header, body, started, at}, nil
}

// serviceMessage reads Graph's error object, or RFC 6749's of a token endpoint.
func serviceMessage(body []byte) (code, message string) {
	var graph struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(body, &graph) == nil && graph.Error.Code+graph.Error.Message != "" {
		return Clean(graph.Error.Code), Clean(graph.Error.Message)
	}
	var oauth struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &oauth) == nil {
		description, _, _ := strings.Cut(oauth.Description, " Trace ID:")
		return Clean(oauth.Error), Clean(strings.TrimSpace(description))
	}
	return "", ""
}

// hopeless reports whether a network error will not heal by itself. A name that is not found does,
// if it was found before.
func hopeless(err error) bool {
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	return errors.As(err, &verify) || errors.As(err, &record)
}

const (
	longWait  = 10 * time.Minute // a Retry-After from here on is a quota's, not a burst's
	queueWait = 5 * time.Minute  // longest between looks at a full queue; the reference advises 5 to 10 minutes
)

// pause returns the wait before the next attempt, and tells the pace what concerns other requests too.
func (c *Client) pause(r *request, resp *response, fail *ServiceError, started time.Time, attempt int) time.Duration {
	now := time.Now()
	asked, told := time.Duration(0), false
	if resp != nil {
		asked, told = retryAfter(resp.header.Get("Retry-After"), now)
	}
	most := r.retry.Max
	if fail.queueFull() {
		most = max(most, queueWait)
	}
	wait := most
	if shift := attempt - 1; shift < 20 {
		wait = min(r.retry.Base<<shift, most)
	}
	wait = wait/2 + rand.N(wait/2+1)
	switch {
	case fail.Status == http.StatusTooManyRequests:
		if told {
			wait = asked
		}
		r.pace.throttled(started, now, wait)
		return wait + rand.N(r.retry.Base) // those who waited do not all come back at once
	case told:
		r.pace.silence(now.Add(asked))
		return asked + rand.N(r.retry.Base)
	case fail.queueFull():
		r.pace.silence(now.Add(wait))
	}
	return wait
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

// Clean makes text that others wrote safe for a terminal: one line, no control characters.
func Clean(s string) string {
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
