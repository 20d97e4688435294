package upload

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Call is a request to the service beside an upload's: to look at the job, or to steer it.
type Call struct {
	Op      string         // what it is for, as errors begin: "the job's status"
	Method  string         // default GET
	URL     string         // of JobURL or GraphURL, or a nextLink; of another host it is refused
	Body    any            // is sent as JSON; nil: nothing is
	Once    bool           // it does not bear repetition: an answer that is lost is an error
	Advice  map[int]string // what to do about a status, in place of the usual advice; "" is none
	Retried func(Retried)  // is told of repetitions; nil: nobody is
	retry   Retry
}

// callRetry is for somebody who sits before the screen.
var callRetry = Retry{Base: 500 * time.Millisecond, Max: 5 * time.Second, Wait: 20 * time.Second}

// JobURL is the URL of the job, or, with the names of what is below it, of that: JobURL("uploads", id).
func (c *Client) JobURL(below ...string) string { return c.jobs + join(below) }

// GraphURL is the URL of a resource that is none of the job's: GraphURL("auditLogs", "provisioning").
func (c *Client) GraphURL(names ...string) string {
	return strings.TrimRight(c.graph.String(), "/") + join(names)
}

// AppURL is the URL of what belongs to the job's app: AppURL("synchronization", "secrets").
func (c *Client) AppURL(below ...string) string {
	return c.GraphURL(append([]string{"servicePrincipals", c.cfg.ServicePrincipal}, below...)...)
}

func join(names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString("/" + url.PathEscape(name))
	}
	return b.String()
}

// JobID is the id of the job.
func (c *Client) JobID() string { return c.cfg.Job }

// ServicePrincipal is the id of the job's app.
func (c *Client) ServicePrincipal() string { return c.cfg.ServicePrincipal }

// Do carries a call out and reads its answer into into; nil leaves it unread. What may pass is waited for, 20 seconds at
// most. Errors are *ServiceError or the context's.
func (c *Client) Do(ctx context.Context, call Call, into any) (http.Header, error) {
	// The token goes to the configured service only.
	if target, err := url.Parse(call.URL); err != nil || target.Scheme != c.graph.Scheme || target.Host != c.graph.Host {
		return nil, &ServiceError{Op: call.Op, Err: errors.New("the service's next page is at another host; the token is not sent there")}
	}
	r := &request{op: call.Op, method: cmp.Or(call.Method, http.MethodGet), url: call.URL, id: uuid.NewString(), limit: 16 << 20, pace: &c.reads,
		retry: call.retry, retried: call.Retried, once: call.Once, advice: call.Advice}
	if r.retry == (Retry{}) {
		r.retry = callRetry
	}
	if call.Once {
		r.retry.Wait = 0
	}
	if call.Body != nil {
		body, err := json.Marshal(call.Body)
		if err != nil {
			return nil, err
		}
		r.body, r.header = body, map[string]string{"Content-Type": "application/json"}
	}
	resp, err := c.do(ctx, ctx, r)
	if err != nil {
		return nil, err
	}
	if into != nil && json.Unmarshal(resp.body, into) != nil {
		return nil, &ServiceError{Op: call.Op, Status: resp.status, Message: "the answer is not the JSON that was expected"}
	}
	return resp.header, nil
}

// Pages gives the elements of each page of the collection that call reads to use, until that returns false.
func Pages[T any](ctx context.Context, c *Client, call Call, use func([]T) (more bool, err error)) error {
	for seen := map[string]bool{}; call.URL != ""; {
		var page struct {
			Value []T    `json:"value"`
			Next  string `json:"@odata.nextLink"`
		}
		if seen[call.URL] {
			return &ServiceError{Op: call.Op, Err: errors.New("the service's pages go in a circle")}
		}
		seen[call.URL] = true
		if _, err := c.Do(ctx, call, &page); err != nil {
			return err
		}
		if more, err := use(page.Value); err != nil || !more {
			return err
		}
		call.URL = page.Next
	}
	return nil
}
