package upload

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// following is how many uploads are followed at once: the oldest, so that what the service finishes in order is
// answered at once, and only the first of them wait.
const following = 8

// follow takes accepted uploads that have receipts, in their order, to the state that was asked for. Those with disables or
// deletions that their cycle has not come to yet are looked at again when the others are done: until then it may go on.
func (r *run) follow(ctx context.Context) error {
	g, stop := errgroup.WithContext(ctx)
	g.SetLimit(following)
	for {
		a, err := r.nextPending(stop)
		if err != nil || a == nil {
			if err = cmp.Or(g.Wait(), err); err != nil {
				return err
			}
			return r.followParked(ctx)
		}
		g.Go(func() error { return r.followOne(stop, a, time.Time{}) })
	}
}

func (r *run) followParked(ctx context.Context) error {
	patience := time.Now().Add(heldLong)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(following)
	for i := range r.parked {
		g.Go(func() error { return r.followOne(ctx, &r.parked[i], patience) })
	}
	return g.Wait()
}

// nextPending waits for an upload to follow; nil ends them.
func (r *run) nextPending(ctx context.Context) (*accepted, error) {
	for {
		r.mu.Lock()
		if len(r.pending) > 0 {
			next := r.pending[0]
			r.pending[0] = accepted{}
			r.pending = r.pending[1:]
			r.mu.Unlock()
			return &next, nil
		}
		ended := r.sent
		r.mu.Unlock()
		if ended {
			return nil, nil
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

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

// Looks at an upload, and how long a disable or deletion may be held, with all uploads done, before its cycle has ended.
const (
	longLook  = 20 // seconds that the service may take to answer
	shortLook = 1
	heldLong  = 2 * time.Minute
)

// followOne takes an upload to the state that was asked for. If it waits for its cycle's end it is parked, or, the second time,
// closed when patience ends.
func (r *run) followOne(ctx context.Context, a *accepted, patience time.Time) error {
	u := r.c.jobs + "/uploads/" + url.PathEscape(a.id)
	known := 0
	if !patience.IsZero() {
		known = a.n
	}
	count := func(now int) {
		r.mu.Lock()
		r.done += now - known
		r.emitProgress()
		r.mu.Unlock()
		known = now
	}
	pause := r.opt.Retry.Base
	look, wait := StateDone, longLook
	for {
		asked := time.Now()
		var status uploadStatus
		err := r.get(ctx, fmt.Sprintf("%s?waitFor=%s&timeout=%d", u, look, wait), &status)
		if isStatus(err, http.StatusNotFound) {
			return r.receiptGone(a)
		}
		if err != nil {
			return err
		}
		now := min(status.firstOutcomes(), a.n)
		if now > known {
			pause = r.opt.Retry.Base
		}
		count(now)
		over, err := r.over(ctx, u, status)
		held := status.State == StateDone && status.Counts["held"] > 0
		switch {
		case err != nil:
			return err
		case over, held && !patience.IsZero() && time.Now().After(patience):
			count(a.n)
			return r.collect(ctx, u, a, status)
		case held && patience.IsZero():
			count(a.n)
			r.mu.Lock()
			r.parked = append(r.parked, *a)
			r.mu.Unlock()
			return nil
		}
		if status.State == StateDone {
			look, wait = StateSettled, longLook
			if held {
				wait = shortLook // that people are to decide comes to pass without a change of state
			}
		}
		// A service that answers at once instead of waiting is not asked in a tight loop.
		if time.Since(asked) < time.Second {
			if err := sleep(ctx, pause); err != nil {
				return err
			}
			pause = min(2*pause, 10*time.Second)
		}
	}
}

// over reports whether there is nothing more to wait for: the state that was asked for is reached, or what has no end waits
// for people or for another attempt of the service. A disable or deletion is held until its cycle has ended, too, and then goes on.
func (r *run) over(ctx context.Context, u string, status uploadStatus) (bool, error) {
	held, retrying := status.Counts["held"], status.Counts["retrying"]
	switch {
	case status.State == StateSettled:
		return true, nil
	case status.State != StateDone:
		return false, nil
	case held == 0:
		return r.opt.Until == StateDone || retrying > 0, nil
	}
	staged := 0
	err := pages(ctx, r, u+"/operations?end=held", func(ops []operation) error {
		for _, op := range ops {
			if op.LogEntryID != "" { // there is an entry once people are asked
				staged++
			}
		}
		return nil
	})
	return staged == held, err
}

// receiptGone ends an upload that the service accepted and no longer knows.
func (r *run) receiptGone(a *accepted) error {
	r.mu.Lock()
	r.done += a.n
	r.sum.Note = fmt.Sprintf("The service accepted %s and no longer knows the upload; its provisioning log may tell what became of them.", a.lines)
	r.mu.Unlock()
	return r.close(a, entry{Counts: map[string]int{"gone": a.n}})
}

// close writes the end of an upload down and adds it to the summary.
func (r *run) close(a *accepted, e entry) error {
	e.What, e.Batch = "ended", a.key
	if err := r.opt.Journal.write(e, false); err != nil {
		return err
	}
	return r.ended(e, a.n, false)
}

// operation is the service's outcome of one operation.
type operation struct {
	Index      int    `json:"index"`
	BulkID     string `json:"bulkId"`
	ExternalID string `json:"externalId"`
	End        string `json:"end"`
	ChangeID   string `json:"changeId"`
	LogEntryID string `json:"logEntryId"`
	Error      struct {
		Code      string `json:"code"`
		Attribute string `json:"attribute"`
		Reason    string `json:"reason"`
		Advice    string `json:"recommendedAction"`
	} `json:"error"`
	Warnings []json.RawMessage `json:"warnings"`
}

// listed are the ends of rows that are listed with their reasons; of others the counts are enough.
var listed = []string{"failed", "skipped", "held", "retrying"}

// collect reads the operations of an upload whose ends are listed, and closes it.
func (r *run) collect(ctx context.Context, u string, a *accepted, status uploadStatus) error {
	e := entry{Counts: status.Counts}
	for _, end := range listed {
		if status.Counts[end] == 0 {
			continue
		}
		err := pages(ctx, r, u+"/operations?end="+end, func(ops []operation) error {
			for _, op := range ops {
				if len(e.Rows) < a.n {
					e.Rows = append(e.Rows, a.outcome(op))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return r.close(a, e)
}

func (a *accepted) outcome(op operation) Outcome {
	o := Outcome{
		Line: a.lines.at(op.Index), Anchor: Clean(op.ExternalID), End: Clean(op.End), ChangeID: Clean(op.ChangeID), Code: Clean(op.Error.Code),
		Attribute: Clean(op.Error.Attribute), Reason: Clean(op.Error.Reason), Advice: Clean(op.Error.Advice),
	}
	for _, w := range op.Warnings {
		o.Warnings = append(o.Warnings, warning(w))
	}
	return o
}

// warning is the text of a warning: a string, or an object with a reason or message.
func warning(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return Clean(text)
	}
	var m map[string]any
	if json.Unmarshal(raw, &m) == nil {
		for _, k := range []string{"reason", "message", "code"} {
			if s, ok := m[k].(string); ok {
				return Clean(s)
			}
		}
		return Clean(strings.Join(slices.Sorted(maps.Keys(m)), ", "))
	}
	return Clean(string(raw))
}

const readingOutcomes = "reading outcomes"

// pages gives each page of a collection to use.
func pages[T any](ctx context.Context, r *run, first string, use func([]T) error) error {
	return Pages(ctx, r.c, r.reading(first), func(page []T) (bool, error) { return true, use(page) })
}

// get reads a JSON resource.
func (r *run) get(ctx context.Context, u string, v any) error {
	_, err := r.c.Do(ctx, r.reading(u), v)
	return err
}

func (r *run) reading(u string) Call {
	return Call{Op: readingOutcomes, URL: u, Retried: r.retried, retry: r.opt.Retry}
}

func isStatus(err error, status ...int) bool {
	var refused *ServiceError
	return errors.As(err, &refused) && slices.Contains(status, refused.Status)
}
