package upload

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"induct/internal/upload/records"
)

// Run sends src and follows it. Records of one person are sent in their order and never in two
// requests at once. events, if not nil, is called for one event at a time and must not block for long.
//
// The summary tells what is known also if there is an error: *records.InputError (the source),
// *ServiceError (a refusal, or retries were used up), or ctx.Err(). After an error nothing
// more is sent; what was accepted stays accepted.
func (c *Client) Run(ctx context.Context, src records.Source, opt Options, events func(Event)) (Summary, error) {
	start := time.Now()
	opt.Concurrency = min(max(cmp.Or(opt.Concurrency, 4), 1), 64)
	opt.Until = cmp.Or(opt.Until, StateDone)
	opt.MaxFailures = cmp.Or(opt.MaxFailures, 10000)
	opt.Retry = opt.Retry.withDefaults()
	r := &run{c: c, opt: opt, events: events, wake: make(chan struct{}, 1), limit: rate.NewLimiter(rate.Inf, 1)}
	if opt.Rate > 0 {
		r.limit = rate.NewLimiter(rate.Limit(opt.Rate), 1)
	}
	r.sum.Ends, r.sum.Reasons = map[string]int{}, map[string]int{}

	followCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	followed := make(chan error, 1)
	go func() { followed <- r.follow(followCtx) }()
	err := r.send(ctx, src)
	if err != nil {
		cancel(err)
	} else if opt.Timeout > 0 {
		late := &ServiceError{Op: "following the uploads", Err: fmt.Errorf("not %s within %s; they stay accepted", opt.Until, opt.Timeout)}
		defer time.AfterFunc(opt.Timeout, func() { cancel(late) }).Stop()
	}
	if e := <-followed; err == nil {
		err = e
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Elapsed = time.Since(start)
	r.sum.Followed = err == nil && r.sum.Note == "" && opt.Until != StateAccepted
	slices.SortStableFunc(r.sum.Failed, func(a, b Outcome) int { return cmp.Compare(a.Line, b.Line) })
	slices.SortStableFunc(r.sum.Skipped, func(a, b Outcome) int { return cmp.Compare(a.Line, b.Line) })
	r.emit(Finished{r.sum, err})
	return r.sum, err
}

// run is the state of one Run.
type run struct {
	c      *Client
	opt    Options
	limit  *rate.Limiter
	events func(Event)
	wake   chan struct{} // something was accepted, or sending has ended

	mu      sync.Mutex
	sum     Summary
	done    int
	total   int
	pending []accepted // to be followed
	sent    bool       // nothing more will be pending
}

// accepted is a bulk request that the service has stored.
type accepted struct {
	id    string
	lines []int // of its operations
}

// tell reports an event; r.mu must not be held.
func (r *run) tell(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit(e)
}

func (r *run) emit(e Event) {
	if r.events != nil {
		r.events(e)
	}
}

// emitProgress needs r.mu.
func (r *run) emitProgress() {
	total := r.total
	if total < r.sum.Read {
		total = r.opt.Total
	}
	r.emit(Progress{Read: r.sum.Read, Accepted: r.sum.Accepted, Done: r.done, Total: total})
}

func (r *run) retried(e Retried) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Retries++
	r.emit(e)
}

// ---- sending

// send gives each record to the worker that owns its person; each worker has one request in flight.
func (r *run) send(ctx context.Context, src records.Source) error {
	g, stop := errgroup.WithContext(ctx)
	workers := make([]chan records.Record, r.opt.Concurrency)
	for i := range workers {
		workers[i] = make(chan records.Record, batchSize)
		g.Go(func() error { return r.work(ctx, stop, workers[i]) })
	}
	g.Go(func() error {
		for _, w := range workers {
			defer close(w)
		}
		return r.read(stop, src, workers)
	})
	err := g.Wait()
	r.mu.Lock()
	r.sent = true
	r.total = r.sum.Read
	r.emitProgress()
	r.mu.Unlock()
	r.signal()
	return err
}

func (r *run) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *run) read(stop context.Context, src records.Source, workers []chan records.Record) error {
	seed := maphash.MakeSeed()
	for {
		rec, err := src.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		w := 0
		if rec.Anchor != "" {
			// Folded: a service that compares anchors without case must still see them in order.
			w = int(maphash.String(seed, strings.ToLower(strings.TrimSpace(rec.Anchor))) % uint64(len(workers)))
		}
		select {
		case workers[w] <- rec:
		case <-stop.Done():
			return context.Cause(stop)
		}
		r.mu.Lock()
		r.sum.Read++
		r.mu.Unlock()
	}
}

// work sends what comes in, in batches. When stop ends, what is not yet in flight stays unsent.
func (r *run) work(ctx, stop context.Context, in <-chan records.Record) error {
	var batch []records.Record
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := r.post(ctx, stop, batch)
		batch, size = batch[:0], 0
		return err
	}
	for rec := range in {
		if len(batch) == batchSize || size+len(rec.Data) > batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, rec)
		size += len(rec.Data)
	}
	if stop.Err() != nil {
		return context.Cause(stop)
	}
	return flush()
}

// post sends one bulk request until it is accepted or refused.
func (r *run) post(ctx, stop context.Context, batch []records.Record) error {
	if err := r.limit.Wait(stop); err != nil {
		return cmp.Or(context.Cause(stop), err)
	}
	lines := make([]int, len(batch))
	for i, rec := range batch {
		lines[i] = rec.Line
	}
	req := &request{
		op: "upload of " + lineRange(lines), method: http.MethodPost, url: r.c.jobs + "/bulkUpload",
		contentType: "application/scim+json", body: records.BulkRequest(batch), id: uuid.NewString(),
	}
	r.tell(Sent{req.id, len(batch)})
	resp, err := r.c.do(ctx, stop, req, r.opt.Retry, r.retried)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if req.unsure {
			r.sum.Unknown += len(batch)
		}
		return err
	}
	id := resp.header.Get("x-induct-upload-id")
	r.sum.Accepted += len(batch)
	r.sum.Requests++
	r.emit(Accepted{req.id, id, len(batch)})
	r.emitProgress()
	switch {
	case r.opt.Until == StateAccepted:
	case id == "":
		r.sum.Note = "The service does not report outcomes of an upload; read them in the provisioning logs (auditLogs/provisioning)."
	default:
		r.pending = append(r.pending, accepted{id, lines})
		r.signal()
	}
	return nil
}

// lineRange writes ascending line numbers as "lines 2–4, 7, 9–12", long lists shortened.
func lineRange(lines []int) string {
	var b strings.Builder
	b.WriteString("line")
	if len(lines) > 1 {
		b.WriteByte('s')
	}
	for i, shown := 0, 0; i < len(lines); shown++ {
		if shown == 8 {
			fmt.Fprintf(&b, ", … %d", lines[len(lines)-1])
			break
		}
		j := i
		for j+1 < len(lines) && lines[j+1] == lines[j]+1 {
			j++
		}
		sep := ","
		if i == 0 {
			sep = ""
		}
		fmt.Fprintf(&b, "%s %d", sep, lines[i])
		if j > i {
			fmt.Fprintf(&b, "–%d", lines[j])
		}
		i = j + 1
	}
	return b.String()
}

// ---- following

// uploadStatus is the service's upload resource.
type uploadStatus struct {
	State          State          `json:"state"`
	Counts         map[string]int `json:"counts"`
	OperationCount int            `json:"operationCount"`
}

// firstOutcomes is how many operations have reached an end, or at least a first outcome.
func (u uploadStatus) firstOutcomes() int {
	if u.State == StateDone || u.State == StateSettled {
		return u.OperationCount
	}
	return max(0, u.OperationCount-u.Counts["queued"])
}

// follow takes accepted uploads in their order to the state that was asked for.
func (r *run) follow(ctx context.Context) error {
	for {
		r.mu.Lock()
		var next accepted
		waiting := len(r.pending) > 0
		if waiting {
			next = r.pending[0]
			r.pending = r.pending[1:]
		}
		ended := r.sent
		r.mu.Unlock()
		if waiting {
			if err := r.followOne(ctx, next); err != nil {
				return err
			}
			continue
		}
		if ended {
			return nil
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *run) followOne(ctx context.Context, a accepted) error {
	u := r.c.jobs + "/uploads/" + url.PathEscape(a.id)
	known := 0
	pause := r.opt.Retry.Base
	for {
		asked := time.Now()
		var status uploadStatus
		if err := r.get(ctx, u+"?waitFor="+string(r.opt.Until)+"&timeout=20", &status); err != nil {
			return err
		}
		now := status.firstOutcomes()
		r.mu.Lock()
		r.done += now - known
		r.emitProgress()
		r.mu.Unlock()
		if status.State == r.opt.Until || status.State == StateSettled {
			return r.collect(ctx, u, a, status)
		}
		if now > known {
			pause = r.opt.Retry.Base
		}
		known = now
		// A service that answers at once instead of waiting is not asked in a tight loop.
		if time.Since(asked) < time.Second {
			if err := sleep(ctx, pause); err != nil {
				return err
			}
			pause = min(2*pause, 10*time.Second)
		}
	}
}

// operation is the service's outcome of one operation.
type operation struct {
	Index      int    `json:"index"`
	BulkID     string `json:"bulkId"`
	ExternalID string `json:"externalId"`
	End        string `json:"end"`
	ChangeID   string `json:"changeId"`
	Error      struct {
		Code      string `json:"code"`
		Attribute string `json:"attribute"`
		Reason    string `json:"reason"`
		Advice    string `json:"recommendedAction"`
	} `json:"error"`
	Warnings []json.RawMessage `json:"warnings"`
}

// collect adds an upload's outcomes to the summary.
func (r *run) collect(ctx context.Context, u string, a accepted, status uploadStatus) error {
	r.mu.Lock()
	for end, n := range status.Counts {
		if n != 0 {
			r.sum.Ends[end] += n
		}
	}
	r.mu.Unlock()
	for _, end := range []string{"failed", "skipped"} {
		if status.Counts[end] == 0 {
			continue
		}
		next := u + "/operations?end=" + end
		for seen := map[string]bool{}; next != ""; {
			var page struct {
				Value []operation `json:"value"`
				Next  string      `json:"@odata.nextLink"`
			}
			if seen[next] {
				return &ServiceError{Op: "reading outcomes", Err: errors.New("the service's pages go in a circle")}
			}
			seen[next] = true
			if err := r.get(ctx, next, &page); err != nil {
				return err
			}
			r.mu.Lock()
			for _, op := range page.Value {
				r.keep(a, op)
			}
			r.mu.Unlock()
			next = page.Next
		}
	}
	return nil
}

// keep needs r.mu.
func (r *run) keep(a accepted, op operation) {
	o := Outcome{
		Anchor: clean(op.ExternalID), End: clean(op.End), ChangeID: clean(op.ChangeID), Code: clean(op.Error.Code),
		Attribute: clean(op.Error.Attribute), Reason: clean(op.Error.Reason), Advice: clean(op.Error.Advice),
	}
	if op.Index >= 0 && op.Index < len(a.lines) {
		o.Line = a.lines[op.Index]
	}
	for _, w := range op.Warnings {
		o.Warnings = append(o.Warnings, warning(w))
	}
	r.sum.Reasons[cmp.Or(o.Code, "unknown")]++
	list := &r.sum.Failed
	if o.End == "skipped" {
		list = &r.sum.Skipped
	}
	if len(*list) >= r.opt.MaxFailures {
		r.sum.Omitted++
		return
	}
	*list = append(*list, o)
}

// warning is the text of a warning: a string, or an object with a reason or message.
func warning(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return clean(text)
	}
	var m map[string]any
	if json.Unmarshal(raw, &m) == nil {
		for _, k := range []string{"reason", "message", "code"} {
			if s, ok := m[k].(string); ok {
				return clean(s)
			}
		}
		return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
	}
	return clean(string(raw))
}

// get reads a JSON resource. The token goes to the configured service only.
func (r *run) get(ctx context.Context, u string, v any) error {
	const op = "reading outcomes"
	if target, err := url.Parse(u); err != nil || target.Scheme != r.c.graph.Scheme || target.Host != r.c.graph.Host {
		return &ServiceError{Op: op, Err: fmt.Errorf("the service's next page is at another host; the token is not sent there")}
	}
	resp, err := r.c.do(ctx, ctx, &request{op: op, method: http.MethodGet, url: u, id: uuid.NewString(), limit: 16 << 20}, r.opt.Retry, r.retried)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(resp.body, v); err != nil {
		return &ServiceError{Op: op, Status: resp.status, Message: "the answer is not the JSON that was expected"}
	}
	return nil
}
