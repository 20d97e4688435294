package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"induct/internal/upload/records"
)

// Run sends src and follows it. Requests go out in the order of the file; one that concerns a person waits for the
// end of an earlier one that does. events, if not nil, is called for one event at a time and must not block for long.
//
// A request that the service refuses fails its records, or, if the service names an operation, that record alone; the
// rest goes on. With opt.Journal a run goes on where an earlier one with the same journal and source has stopped.
//
// The summary tells what is known also if there is an error: *records.InputError (the source),
// *ServiceError (a refusal of all, or patience was used up), the journal's, or ctx.Err(). After an error nothing
// more is sent; what was accepted stays accepted.
func (c *Client) Run(ctx context.Context, src records.Source, opt Options, events func(Event)) (Summary, error) {
	opt = opt.withDefaults()
	r := &run{c: c, opt: opt, events: events, start: time.Now(), id: uuid.New(), people: newPeople(), wake: make(chan struct{}, 1)}
	if opt.Journal != nil {
		r.id = opt.Journal.run
	}
	if r.outcomes = opt.Outcomes; r.outcomes == nil {
		r.outcomes = &Outcomes{}
		defer r.outcomes.Close()
	}
	r.sum.Ends = map[string]int{}
	r.log = newLogFollower(r)
	c.posts.bound(opt.Rate)

	err := r.sendAndFollow(ctx, src)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Elapsed = time.Since(r.start)
	r.sum.Followed = err == nil && r.sum.Ends["unknown"]+r.sum.Ends["gone"] == 0 && opt.Until != StateAccepted && (opt.Until == StateDone || r.sum.waiting() == 0)
	r.list()
	r.sum.noteWaiting(len(r.log.rows) == 0)
	r.emit(Finished{r.sum, err})
	return r.sum, err
}

func (r *run) sendAndFollow(ctx context.Context, src records.Source) error {
	followCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	followed := make(chan error, 1)
	go func() { followed <- r.follow(followCtx) }()
	err := r.send(ctx, src)
	if err != nil {
		cancel(err)
	} else if r.opt.Timeout > 0 {
		late := &ServiceError{Op: "following the uploads", Err: fmt.Errorf("they are not all %s within %s; they stay accepted", r.opt.Until, r.opt.Timeout)}
		defer time.AfterFunc(r.opt.Timeout, func() { cancel(late) }).Stop()
	}
	if e := <-followed; err == nil {
		err = e
	}
	if err == nil && r.opt.Until != StateAccepted {
		err = r.log.follow(ctx)
	}
	return err
}

// run is the state of one Run.
type run struct {
	c        *Client
	opt      Options
	id       uuid.UUID // names the run; the requests' ids follow from it
	start    time.Time
	events   func(Event)
	outcomes *Outcomes
	log      *logFollower

	people *people       // its held is guarded by mu
	wake   chan struct{} // something was accepted, or sending has ended

	mu       sync.Mutex
	sum      Summary
	done     int
	meter    meter
	told     Progress   // the last, without rates
	refusals int        // their weight while nothing was accepted, then refusalsNoMore
	pending  []accepted // to be followed
	parked   []accepted // done, with disables or deletions that their cycle has not come to yet
	sent     bool       // nothing more will be pending
}

// accepted is a bulk request that the service has stored.
type accepted struct {
	key   string
	id    string // the service's
	lines spans  // of its operations
	n     int
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

// emitProgress tells how far it is, if that has changed. It needs r.mu.
func (r *run) emitProgress() {
	p := Progress{Read: r.sum.Read, Accepted: r.sum.Accepted, Done: r.done, Total: r.opt.Total}
	if r.sent {
		p.Total = p.Read
	} else if p.Total < p.Read {
		p.Total = 0
	}
	if p == r.told {
		return
	}
	r.told = p
	p.PerSecond, p.Remaining = r.meter.read(time.Now(), p.Accepted-r.sum.Resumed, p.Total-p.Accepted)
	r.emit(p)
}

func (r *run) retried(e Retried) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Retries++
	r.emit(e)
}

// list makes the summary's lists of what the outcomes hold. It needs r.mu.
func (r *run) list() {
	r.sum.Reasons = map[string]int{}
	for _, line := range r.outcomes.lines() {
		o, _ := r.outcomes.Line(line)
		rows := &r.sum.Failed
		switch o.End {
		case "skipped":
			rows = &r.sum.Skipped
		case "held", "retrying":
			rows = &r.sum.Waiting
		}
		if rows != &r.sum.Waiting {
			r.sum.Reasons[cmp.Or(o.Code, "unknown")]++
		}
		if len(*rows) < r.opt.MaxFailures {
			*rows = append(*rows, o)
		} else {
			r.sum.Omitted++
		}
	}
}

// noteWaiting says what waits, for what, and what to do; without receipts the service is not ours.
func (s *Summary) noteWaiting(receipts bool) {
	if s.waiting() == 0 {
		return
	}
	var all []string
	if s.Note != "" {
		all = append(all, s.Note)
	}
	if n := s.Ends["held"]; n > 0 {
		where := "Look at the job's provisioning page."
		if receipts {
			where = "`induct job held` lists them, `induct job approve` and `induct job reject` decide."
		}
		all = append(all, "Held until somebody decides: "+count(n, "row")+", for accounts that would be disabled or deleted. "+where)
	}
	if n := s.Ends["retrying"]; n > 0 {
		all = append(all, "Tried again by the service: "+count(n, "row")+", which failed for a reason that may pass. `induct job escrows` tells why, and when.")
	}
	s.Note = strings.Join(append(all, "Do not send these rows again."), " ")
}

// send puts the batches in flight, in their order.
func (r *run) send(ctx context.Context, src records.Source) error {
	g, stop := errgroup.WithContext(ctx)
	g.SetLimit(r.opt.Concurrency)
	err := r.dispatch(ctx, stop, g, &batcher{src: src})
	if e := g.Wait(); e != nil {
		err = e // dispatch only saw that it was told to stop
	}
	r.mu.Lock()
	r.sent = err == nil
	r.emitProgress()
	r.sent = true
	r.mu.Unlock()
	r.signal()
	return err
}

func (r *run) dispatch(ctx, stop context.Context, g *errgroup.Group, batches *batcher) error {
	for {
		b, err := batches.take()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		ids := r.people.of(b)
		if err := r.hold(stop, ids); err != nil {
			return err
		}
		r.mu.Lock()
		r.sum.Read += len(b.recs)
		r.mu.Unlock()
		g.Go(func() error {
			if err := r.deliver(ctx, stop, b); err != nil {
				return err // its people stay held: what concerns them must not overtake it
			}
			r.release(ids)
			return nil
		})
	}
}

// hold waits until no request in flight concerns one of ids, and holds them.
func (r *run) hold(stop context.Context, ids []uint64) error {
	for {
		r.mu.Lock()
		busy := slices.ContainsFunc(ids, func(id uint64) bool { return r.people.held[id] })
		if !busy {
			for _, id := range ids {
				r.people.held[id] = true
			}
		}
		r.mu.Unlock()
		if err := context.Cause(stop); err != nil || !busy {
			return err
		}
		select {
		case <-r.people.freed:
		case <-stop.Done():
		}
	}
}

func (r *run) release(ids []uint64) {
	r.mu.Lock()
	for _, id := range ids {
		delete(r.people.held, id)
	}
	r.mu.Unlock()
	select {
	case r.people.freed <- struct{}{}:
	default:
	}
}

func (r *run) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// deliver brings a batch to the service, unless an earlier process of the run has. When stop ends, what is not yet
// in flight stays unsent.
func (r *run) deliver(ctx, stop context.Context, b batch) error {
	switch past := r.opt.Journal.before(b.key); {
	case past.split:
		return r.deliverParts(ctx, stop, b, past.without)
	case past.ended > 0:
		e, err := r.opt.Journal.end(past)
		if err != nil {
			return err
		}
		return r.ended(e, len(b.recs), true)
	case past.accepted:
		r.accepted(b, past.upload, past.at, true)
		return nil
	default:
		return r.post(ctx, stop, b, past)
	}
}

func (r *run) deliverParts(ctx, stop context.Context, b batch, without int) error {
	if without >= len(b.recs) {
		return fmt.Errorf("the journal does not fit the file at %s; --restart begins anew", spansOf(b.recs))
	}
	first, second := b.parts(without)
	if err := r.deliver(ctx, stop, first); err != nil {
		return err
	}
	return r.deliver(ctx, stop, second)
}

// post sends one bulk request until it is accepted or refused. An earlier process may have sent it.
func (r *run) post(ctx, stop context.Context, b batch, before past) error {
	if err := context.Cause(stop); err != nil {
		return err
	}
	began, again := time.Now(), before.sent
	if again {
		began = before.at
	}
	if err := r.opt.Journal.write(entry{What: "sent", Batch: b.key, At: time.Now().UTC()}, false); err != nil {
		return err
	}
	lines := spansOf(b.recs)
	req := &request{
		op: "upload of " + lines.String(), method: http.MethodPost, url: r.c.jobs + "/bulkUpload", pace: &r.c.posts,
		header: map[string]string{"Content-Type": "application/scim+json"}, want: http.StatusAccepted, body: records.BulkRequest(b.recs),
		id: uuid.NewSHA1(r.id, []byte(b.key)).String(), retry: r.opt.Retry, retried: r.retried,
	}
	r.tell(Sent{req.id, len(b.recs), lines.at(0), lines.at(len(b.recs) - 1)})
	resp, err := r.c.do(ctx, stop, req)
	if req.unsure > 0 {
		r.opt.Journal.keep()
	}
	var refused *ServiceError
	if errors.As(err, &refused) && refused.Op == req.op && (refused.Status == http.StatusBadRequest || refused.Status == http.StatusRequestEntityTooLarge) {
		return r.refused(ctx, stop, b, refused)
	}
	if err != nil {
		if req.unsure > 0 || again {
			r.mu.Lock()
			r.sum.Unknown += len(b.recs)
			r.mu.Unlock()
		}
		return err
	}
	id := resp.header.Get("x-induct-upload-id")
	again = again || req.unsure > 0
	if !again {
		began = resp.started // nothing was stored before
	}
	at := serviceTime(began, resp)
	r.opt.Journal.keep()
	if err := r.opt.Journal.write(entry{What: "accepted", Batch: b.key, Upload: id, At: at.UTC()}, true); err != nil {
		return err
	}
	r.mu.Lock()
	if again && (id == "" || time.Since(before.at) > idempotence && before.sent) {
		r.sum.Repeated += len(b.recs)
	}
	r.emit(Accepted{req.id, id, len(b.recs), lines.at(0), lines.at(len(b.recs) - 1)})
	r.mu.Unlock()
	r.accepted(b, id, at, false)
	return nil
}

// idempotence is how long our service knows a request again.
const idempotence = 24 * time.Hour

// serviceTime is when a request was begun, by the service's clock as far as its answer tells: entries of its log are
// compared with it. A second is taken off, because the Date header has no fractions.
func serviceTime(began time.Time, resp *response) time.Time {
	date, err := http.ParseTime(resp.header.Get("Date"))
	if err != nil {
		return began
	}
	return date.Add(began.Sub(resp.at) - time.Second)
}

// accepted takes in that the service has stored a batch; resumed says that it had before this process began.
func (r *run) accepted(b batch, id string, at time.Time, resumed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(b.recs)
	r.sum.Accepted += n
	r.sum.Requests++
	r.refusals = refusalsNoMore
	if resumed {
		r.sum.Resumed += n
	}
	r.emitProgress()
	switch {
	case r.opt.Until == StateAccepted:
	case id == "":
		r.log.add(b, at)
	default:
		r.pending = append(r.pending, accepted{b.key, id, spansOf(b.recs), n})
		r.signal()
	}
}

// mostRefusals is how many requests may be refused with none accepted before it is clear that all will be. One that is
// refused without a reason in its content counts for many.
const (
	mostRefusals   = 100
	blankRefusal   = 20
	namedRefusal   = 1
	refusalsNoMore = -1
)

// refusedOperation finds the operation that a refusal names.
var refusedOperation = regexp.MustCompile(`Operations\[(\d+)\]`)

// refused deals with a batch that the service did not take, and would not take the next time: one that is too large is
// halved, from one with a bad operation that is taken out, any other fails whole.
func (r *run) refused(ctx, stop context.Context, b batch, refusal *ServiceError) error {
	large := refusal.Status == http.StatusRequestEntityTooLarge
	without := -1
	if !large {
		without = namedOperation(refusal.Message, len(b.recs))
	}
	switch {
	case r.hopeless(large || without >= 0):
		return refusal
	case len(b.recs) == 1 || !large && without < 0:
		return r.fail(b, refusal)
	}
	e := entry{What: "split", Batch: b.key}
	if without >= 0 {
		bad, _ := b.parts(without)
		if err := r.fail(bad, refusal); err != nil {
			return err
		}
		e.Without = &without
	}
	if err := r.opt.Journal.write(e, false); err != nil {
		return err
	}
	first, second := b.parts(without)
	if without < 0 {
		if err := r.deliver(ctx, stop, first); err != nil {
			return err
		}
	}
	return r.deliver(ctx, stop, second)
}

// namedOperation returns which of n operations a message names, or -1.
func namedOperation(message string, n int) int {
	m := refusedOperation.FindStringSubmatch(message)
	if m == nil {
		return -1
	}
	if i, err := strconv.Atoi(m[1]); err == nil && i < n {
		return i
	}
	return -1
}

// hopeless counts a refusal and reports whether there were too many.
func (r *run) hopeless(named bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusals == refusalsNoMore {
		return false
	}
	if r.refusals += blankRefusal; named {
		r.refusals += namedRefusal - blankRefusal
	}
	return r.refusals >= mostRefusals
}

// fail ends all records of a batch that was refused.
func (r *run) fail(b batch, refusal *ServiceError) error {
	e := entry{What: "ended", Batch: b.key, Refused: true, Counts: map[string]int{"failed": len(b.recs)}}
	for _, rec := range b.recs {
		o := Outcome{Line: rec.Line, Anchor: Clean(rec.Anchor), End: "failed", Code: cmp.Or(refusal.Code, strconv.Itoa(refusal.Status)),
			Reason: cmp.Or(refusal.Message, http.StatusText(refusal.Status)), Advice: "Correct what the service names, and send the row again."}
		switch {
		case refusal.Status == http.StatusRequestEntityTooLarge:
			o.Code, o.Advice = "RequestEntityTooLarge", "The record alone is larger than the service takes: send fewer or shorter attributes."
		case len(b.recs) > 1:
			o.Advice = fmt.Sprintf("The request with %s was refused whole; validate these rows, correct what is wrong, and send them again.", spansOf(b.recs))
		}
		e.Rows = append(e.Rows, o)
	}
	if err := r.opt.Journal.write(e, false); err != nil {
		return err
	}
	return r.ended(e, len(b.recs), false)
}

// ended takes in the end of a batch of n records.
func (r *run) ended(e entry, n int, resumed bool) error {
	for _, o := range e.Rows {
		if err := r.outcomes.put(o); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addEnds(e.Counts)
	if resumed || e.Refused { // else it was counted as it came
		r.done += n
	}
	switch {
	case e.Refused:
		r.sum.Refused += n
	case resumed:
		r.sum.Accepted += n
		r.sum.Resumed += n
		r.sum.Requests++
		r.refusals = refusalsNoMore
	}
	r.emitProgress()
	return nil
}

// meter tells how fast it goes, from what was counted in the last half minute.
type meter struct {
	at    []time.Time
	count []int
}

// read notes count and returns the rate, and how long what remains will take at it; zero while that is unknown.
func (m *meter) read(now time.Time, count, remains int) (perSecond float64, remaining time.Duration) {
	const window = 30
	if k := len(m.at); k == 0 || now.Sub(m.at[k-1]) >= time.Second {
		m.at, m.count = append(m.at, now), append(m.count, count)
	}
	if k := len(m.at); k > window {
		m.at, m.count = slices.Delete(m.at, 0, k-window), slices.Delete(m.count, 0, k-window)
	}
	span := now.Sub(m.at[0]).Seconds()
	if span < 1 || count <= m.count[0] {
		return 0, 0
	}
	perSecond = float64(count-m.count[0]) / span
	if remains > 0 {
		remaining = time.Duration(float64(remains) / perSecond * float64(time.Second)).Round(time.Second)
	}
	return perSecond, remaining
}

// addEnds adds counts of ends. It needs r.mu.
func (r *run) addEnds(counts map[string]int) {
	for end, n := range counts {
		if n != 0 {
			r.sum.Ends[Clean(end)] += n
		}
	}
}
