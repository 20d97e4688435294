package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Service is a running service, a job of it, and who asks.
type Service struct {
	Graph, Authority, ClientID, ClientSecret, ServicePrincipal, Job string

	CAFile string // PEM certificates that are trusted beside the system's; "" for none
	PID    int    // of its process, to read what it uses; 0 if it is not this machine's, or not known
	Data   string // its data directory, to measure; "" if it is not known
}

// client speaks to a service. It is safe for concurrent use once it is signed in.
type client struct {
	Service
	http    *http.Client
	token   string
	retries atomic.Int64 // answers 429 and 5xx
}

func newClient(s Service, connections int) (*client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = connections, connections
	transport.DisableCompression = true
	transport.WriteBufferSize = 128 << 10
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificates to trust: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificates to trust: %s holds no PEM certificate", s.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &client{Service: s, http: &http.Client{Transport: transport, Timeout: 2 * time.Minute}}, nil
}

// statusError is an answer that is no success.
type statusError struct {
	method, path string
	status       int
	body         string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s %s: %d %s: %.500s", e.method, e.path, e.status, http.StatusText(e.status), e.body)
}

// signIn takes a token (RFC 6749 section 4.4).
func (c *client) signIn(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret},
		"scope": {"https://graph.microsoft.com/.default"}}
	endpoint := strings.TrimSuffix(strings.TrimRight(c.Authority, "/"), "/oauth2/v2.0/token") + "/oauth2/v2.0/token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var got struct {
		Token string `json:"access_token"`
	}
	if err := c.do(req, &got); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	c.token = got.Token
	return nil
}

// do sends a request and decodes the answer into into unless that is nil. Errors: *statusError.
func (c *client) do(req *http.Request, into any) error {
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return &statusError{req.Method, req.URL.Path, res.StatusCode, string(body)}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

// call makes a request of Graph, again and again while the service asks for patience.
func (c *client) call(ctx context.Context, method, address string, into any) error {
	for {
		req, err := http.NewRequestWithContext(ctx, method, address, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+c.token)
		err = c.do(req, into)
		var s *statusError
		if !errors.As(err, &s) || s.status != http.StatusTooManyRequests {
			return err
		}
		if err := c.pause(ctx, ""); err != nil {
			return err
		}
	}
}

// pause counts a retry and waits as long as the service asks for.
func (c *client) pause(ctx context.Context, retryAfter string) error {
	c.retries.Add(1)
	seconds, _ := strconv.Atoi(retryAfter)
	t := time.NewTimer(max(time.Duration(seconds)*time.Second, 50*time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (c *client) jobURL() string {
	return c.Graph + "/servicePrincipals/" + url.PathEscape(c.ServicePrincipal) + "/synchronization/jobs/" + url.PathEscape(c.Job)
}

// post sends one bulk request until it is accepted and returns the upload's id.
func (c *client) post(ctx context.Context, body []byte) (string, error) {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.jobURL()+"/bulkUpload", bytes.NewReader(body))
		if err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "Bearer "+c.token)
		req.Header.Set("Content-Type", "application/scim+json")
		res, err := c.http.Do(req)
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		switch {
		case err != nil:
			return "", err
		case res.StatusCode == http.StatusAccepted:
			id := res.Header.Get("x-induct-upload-id")
			if id == "" {
				return "", errors.New("the service does not name uploads (x-induct-upload-id): nobody can tell when it is done with them")
			}
			return id, nil
		case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
			if err := c.pause(ctx, res.Header.Get("Retry-After")); err != nil {
				return "", fmt.Errorf("%w; the last answer was %s", err, res.Status)
			}
		default:
			return "", &statusError{req.Method, req.URL.Path, res.StatusCode, string(text)}
		}
	}
}

// uploadStatus is what the service says of an upload.
type uploadStatus struct {
	State  string         `json:"state"`
	Counts map[string]int `json:"counts"`
}

// wait returns what became of an upload, once its state is reached; "" does not wait.
func (c *client) wait(ctx context.Context, id, state string) (u uploadStatus, err error) {
	for {
		if err := c.call(ctx, http.MethodGet, c.jobURL()+"/uploads/"+id+"?waitFor="+state+"&timeout=30", &u); err != nil {
			return u, err
		}
		if state == "" || u.State == state || u.State == "settled" {
			return u, nil
		}
	}
}

// list reads the first page of a collection.
func (c *client) list(ctx context.Context, path string, options url.Values, into any) error {
	return c.call(ctx, http.MethodGet, c.Graph+path+"?"+options.Encode(), into)
}
