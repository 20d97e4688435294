package graph

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"induct/internal/provision"
)

const (
	mostBatched = 20               // requests of a batch (Microsoft Graph: combine requests with JSON batching)
	batchTime   = 60 * time.Second // for all requests of a batch
)

// batchItem is one request of a batch as it is sent. Member names may be in any case.
type batchItem struct {
	ID        json.RawMessage `json:"id"`
	Method    string          `json:"method"`
	URL       string          `json:"url"`
	Headers   map[string]any  `json:"headers"`
	Body      json.RawMessage `json:"body"`
	DependsOn []any           `json:"dependsOn"`

	id    string
	after []int // places of the items that it depends on
}

// batchResponse is the answer of one item. It is an http.ResponseWriter.
type batchResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *batchResponse) Header() http.Header { return b.header }

func (b *batchResponse) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *batchResponse) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

// batch answers several requests as one, each as if it had come alone with the batch's token, one after the other.
func (c *call) batch() error {
	if c.batched {
		return badRequest("A $batch request cannot be part of another one.")
	}
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	items, err := c.parseBatch(body)
	if err != nil {
		return err
	}
	order, err := batchOrder(items)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), batchTime)
	defer cancel()
	answers := make([]*batchResponse, len(items))
	for _, i := range order {
		answers[i] = c.answerItem(ctx, items, i, answers)
	}
	responses := make([]object, len(items))
	for i := range items {
		responses[i] = items[i].response(answers[i])
	}
	c.json(http.StatusOK, object{{"responses", responses}})
	return nil
}

// parseBatch reads a batch and checks all that makes it one.
func (c *call) parseBatch(body []byte) ([]batchItem, error) {
	if err := c.scimBatch(body); err != nil {
		return nil, err
	}
	var sent struct {
		Requests json.RawMessage `json:"requests"`
	}
	if err := decode(body, &sent); err != nil {
		return nil, err
	}
	items, err := batchItems(sent.Requests)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, badRequest(`The batch has no requests: send {"requests":[{"id":"1","method":"GET","url":"/users"}]}.`)
	}
	places := map[string]int{}
	for i := range items {
		it := &items[i]
		var ok bool
		if it.id, ok = batchID(it.ID); !ok {
			return nil, badRequest("requests[%d] has no id: it is a text that no other request of the batch has.", i)
		}
		if _, twice := places[strings.ToLower(it.id)]; twice {
			return nil, badRequest("requests[%d] has the id '%s', which another request has already.", i, clip(it.id))
		}
		places[strings.ToLower(it.id)] = i
		it.Method = strings.ToUpper(strings.TrimSpace(it.Method))
		if !slices.Contains([]string{"GET", "POST", "PATCH", "PUT", "DELETE"}, it.Method) {
			return nil, badRequest("requests[%d], id '%s': method is '%s'; it is GET, POST, PATCH, PUT or DELETE.", i, clip(it.id), clip(it.Method))
		}
		if strings.TrimSpace(it.URL) == "" {
			return nil, badRequest("requests[%d], id '%s', has no url: it is relative to the version, such as /users.", i, clip(it.id))
		}
	}
	for i := range items {
		if len(items[i].DependsOn) > mostBatched {
			return nil, badRequest("requests[%d], id '%s', depends on more requests than a batch has.", i, clip(items[i].id))
		}
		for _, d := range items[i].DependsOn {
			place, ok := places[strings.ToLower(fmt.Sprint(d))]
			if !ok {
				return nil, badRequest("requests[%d], id '%s', depends on '%s', which is no id of the batch.", i, clip(items[i].id), clip(fmt.Sprint(d)))
			}
			items[i].after = append(items[i].after, place)
		}
	}
	return items, nil
}

// batchItems reads the items of a list one by one, so that too many cost nothing.
func batchItems(list json.RawMessage) (items []batchItem, err error) {
	if !present(list) {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(list))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return nil, badRequest("The body is not as expected: 'requests' is no array.")
	}
	for d.More() {
		if len(items) == mostBatched {
			return nil, badRequest("The batch has more than %d requests: send the rest in another.", mostBatched)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, badRequest("The body is not valid JSON.")
		}
		var it batchItem
		if err := decode(raw, &it); err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// batchID reads an id, which some clients send as a number.
func batchID(raw json.RawMessage) (id string, ok bool) {
	if json.Unmarshal(raw, &id) == nil {
		return id, id != ""
	}
	var n json.Number
	err := json.Unmarshal(raw, &n)
	return n.String(), err == nil && n != ""
}

// batchOrder returns the places of the items such that each is after those that it depends on, and otherwise as sent.
func batchOrder(items []batchItem) ([]int, error) {
	order, done := make([]int, 0, len(items)), make([]bool, len(items))
	for len(order) < len(items) {
		before := len(order)
		for i := range items {
			if !done[i] && !slices.ContainsFunc(items[i].after, func(d int) bool { return !done[d] }) {
				order, done[i] = append(order, i), true
			}
		}
		if len(order) == before {
			i := slices.Index(done, false)
			return nil, badRequest("requests[%d], id '%s', depends on itself, through dependsOn of one request after the other.", i, clip(items[i].id))
		}
	}
	return order, nil
}

// answerItem carries out one item, unless one that it depends on has failed.
func (c *call) answerItem(ctx context.Context, items []batchItem, i int, answers []*batchResponse) *batchResponse {
	w := &batchResponse{header: http.Header{}}
	r, err := c.itemRequest(ctx, &items[i])
	for _, d := range items[i].after {
		if s := answers[d].status; s >= 400 {
			err = &problem{status: http.StatusFailedDependency, code: "FailedDependency",
				message: fmt.Sprintf("The request dependency failed: request '%s' was answered with %d.", clip(items[d].id), s)}
		}
	}
	c.s.answer(w, r, func(item *call) error {
		item.batched = true
		if err != nil {
			return err
		}
		return c.s.one(item)
	})
	return w
}

// itemRequest is the request that an item stands for. With an error it is one that says whose answer the error is.
func (c *call) itemRequest(ctx context.Context, it *batchItem) (*http.Request, error) {
	r := (&http.Request{Method: it.Method, URL: &url.URL{Path: "/"}, Host: c.r.Host, TLS: c.r.TLS, RemoteAddr: c.r.RemoteAddr,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody}).WithContext(ctx)
	if c.client != "" {
		r.Header.Set("Client-Request-Id", c.client)
	}
	for name, value := range it.Headers {
		switch value.(type) {
		case string, bool, float64:
			r.Header.Set(name, fmt.Sprint(value))
		}
	}
	r.Header.Set("Authorization", c.r.Header.Get("Authorization"))
	r.Header.Del("Content-Length")
	u, err := itemURL(c.version, strings.TrimSpace(it.URL))
	if err != nil {
		return r, err
	}
	r.URL = u
	body, err := it.content()
	if err != nil {
		return r, err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return r, nil
}

// itemURL is a url relative to the version, or the path of an absolute one: whoever it names, it is answered here.
func itemURL(version, sent string) (*url.URL, error) {
	if strings.ContainsFunc(sent, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, badRequest("The url of a request has control characters.")
	}
	sent, _, _ = strings.Cut(sent, "#")
	path, query, _ := strings.Cut(sent, "?")
	if scheme, rest, absolute := strings.Cut(path, "://"); absolute && !strings.Contains(scheme, "/") {
		_, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	} else {
		path = "/" + version + "/" + strings.TrimPrefix(path, "/")
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, badRequest("The path is not correctly percent-encoded.")
	}
	return &url.URL{Path: plain, RawPath: path, RawQuery: strings.ReplaceAll(query, " ", "%20")}, nil
}

// content is the body: JSON as it is, or what a text holds in base64, of either alphabet.
func (it *batchItem) content() ([]byte, error) {
	if !present(it.Body) {
		return nil, nil
	}
	var text string
	if json.Unmarshal(it.Body, &text) != nil {
		return it.Body, nil
	}
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	content, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, badRequest("The body of the request is a text that is not base64: send a JSON object, or base64 for what is none.")
	}
	return content, nil
}

// response is an item's answer as the batch's has it. Content that is not JSON is a text.
func (it *batchItem) response(a *batchResponse) object {
	headers := object{}
	for _, name := range slices.Sorted(headerNames(a.header)) {
		headers = append(headers, member{name, a.header.Get(name)})
	}
	o := object{{"id", it.id}, {"status", a.status}, {"headers", headers}}
	switch {
	case a.body.Len() == 0:
	case strings.HasPrefix(a.header.Get("Content-Type"), "application/json"):
		o = append(o, member{"body", json.RawMessage(a.body.Bytes())})
	default:
		o = append(o, member{"body", a.body.String()})
	}
	return o
}

// headerNames are those of an item's answer; its length is the envelope's business.
func headerNames(h http.Header) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if name != "Content-Length" && !yield(name) {
				return
			}
		}
	}
}

// scimBatch refuses SCIM operations, which a published walk-through has posted here, and says where they belong.
func (c *call) scimBatch(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	open, err := d.Token()
	if err != nil {
		return nil // it is told as for any body
	}
	var first struct{ BulkID, Data, Operations json.RawMessage }
	if open == json.Delim('[') {
		if err := d.Decode(&first); err != nil || first.BulkID == nil && first.Data == nil {
			return badRequest(`The body is an array: send an object, {"requests":[…]}.`)
		}
	} else if json.Unmarshal(body, &first) != nil || first.Operations == nil {
		return nil
	}
	address, err := c.uploadAddress()
	if err != nil {
		return err
	}
	return badRequest(`The body is SCIM operations, which $batch does not take: it combines requests, {"requests":[…]}. `+
		`Send {"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[…]} as application/scim+json with POST to %s.`, address)
}

// uploadAddress is where the caller sends people: to its own job, or to the only one there is, if it may upload there.
func (c *call) uploadAddress() (string, error) {
	jobs, err := c.s.Service.Jobs(c.r.Context())
	if err != nil {
		return "", err
	}
	own := slices.DeleteFunc(slices.Clone(jobs), func(j *provision.Job) bool { return j.ApplicationID != c.principal.AppID })
	anyJob, ownJob := c.principal.Has(mayUpload.permissions...), c.principal.Has(mayUpload.owned...)
	switch {
	case len(own) == 1 && (anyJob || ownJob):
	case len(own) == 0 && len(jobs) == 1 && anyJob:
		own = jobs
	default:
		return c.root() + "/servicePrincipals/{id}/synchronization/jobs/{job-id}/bulkUpload", nil
	}
	return c.root() + "/servicePrincipals/" + own[0].ServicePrincipalID.String() + "/synchronization/jobs/" + own[0].ID + "/bulkUpload", nil
}
