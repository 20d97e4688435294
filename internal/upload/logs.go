package upload

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"induct/internal/upload/records"
)

// logFollower finds in the provisioning log what became of rows whose service gives no receipts. An entry names the
// person by the externalId, and nothing names the request: what counts is the last change of a person since the
// request with the row was begun. Rows of one person share its outcome.
type logFollower struct {
	r    *run
	seed maphash.Seed

	rows  []watched
	of    map[uint64]int   // the person's place in rows, by a hash of the anchor
	more  map[uint64][]int // lines of the person's other rows
	open  int              // rows without an outcome
	start time.Time        // of the first request, by the service's clock
	last  time.Time        // of the last one
	seen  time.Time        // the latest entry of a person of ours
}

// watched is what is known of a person.
type watched struct {
	since  int64  // when the request with the person's last row was begun, µs since 1970
	at     int64  // of the change that counts
	change uint64 // a hash of its id
	line   int    // of the last row
	end    string // "" while there is none
}

const (
	logTimeout = 2 * time.Hour    // usual patience: cycles begin every 40 minutes, entries show 5 to 10 minutes later
	logDelay   = 15 * time.Minute // within it an entry of a finished cycle can be read
	logOverlap = 2 * time.Minute  // entries do not show in their order: so far back each look goes,
	logFar     = 20 * time.Minute // and so far each fifth one; the last goes back to the beginning
	logPoll    = 2 * time.Second  // first pause between looks
	logBusy    = 15 * time.Second // longest pause while entries come
	logMost    = time.Minute      // longest pause
	logPage    = "500"
)

func newLogFollower(r *run) *logFollower {
	return &logFollower{r: r, seed: maphash.MakeSeed(), of: map[uint64]int{}, more: map[uint64][]int{}}
}

func (l *logFollower) key(anchor string) uint64 {
	return maphash.String(l.seed, strings.ToLower(strings.TrimSpace(anchor)))
}

// add watches for the outcomes of an accepted batch that was begun at a time of the service's clock. It needs r.mu.
func (l *logFollower) add(b batch, at time.Time) {
	if l.start.IsZero() || at.Before(l.start) {
		l.start = at
	}
	if at.After(l.last) {
		l.last = at
	}
	for _, rec := range b.recs {
		l.watch(rec, at)
	}
	l.open += len(b.recs)
}

func (l *logFollower) watch(rec records.Record, at time.Time) {
	key := l.key(rec.Anchor)
	i, ok := l.of[key]
	if !ok {
		l.of[key] = len(l.rows)
		l.rows = append(l.rows, watched{since: at.UnixMicro(), line: rec.Line})
		return
	}
	l.more[key] = append(l.more[key], l.rows[i].line)
	l.rows[i].line, l.rows[i].since = rec.Line, max(l.rows[i].since, at.UnixMicro())
}

// logEntry is what is read of a provisioningObjectSummary.
type logEntry struct {
	Activity time.Time `json:"activityDateTime"`
	ChangeID string    `json:"changeId"`
	Action   string    `json:"provisioningAction"`
	Source   struct {
		ID string `json:"id"`
	} `json:"sourceIdentity"`
	Info struct {
		Status string `json:"status"`
		Error  *struct {
			Code       string `json:"errorCode"`
			Reason     string `json:"reason"`
			Additional string `json:"additionalDetails"`
			Advice     string `json:"recommendedAction"`
		} `json:"errorInformation"`
	} `json:"provisioningStatusInfo"`
	Steps []struct {
		Details map[string]json.RawMessage `json:"details"`
	} `json:"provisioningSteps"`
}

// end says in the words of our receipts what an entry tells.
func (e logEntry) end() string {
	switch strings.ToLower(e.Info.Status) {
	case "failure":
		return "failed"
	case "skipped":
		if e.redundant() {
			return "unchanged"
		}
		return "skipped"
	}
	switch strings.ToLower(e.Action) {
	case "create":
		return "created"
	case "update":
		return "updated"
	case "disable":
		return "disabled"
	case "delete":
		return "deleted"
	case "stageddelete":
		return "held"
	}
	return "unchanged"
}

// redundant reports whether an entry was skipped because source and target agree already.
func (e logEntry) redundant() bool {
	if e.Info.Error != nil && strings.EqualFold(e.Info.Error.Code, "RedundantExport") {
		return true
	}
	for _, step := range e.Steps {
		if strings.EqualFold(string(step.Details["SkipReason"]), `"RedundantExport"`) {
			return true
		}
	}
	return false
}

func (e logEntry) outcome(end string) Outcome {
	o := Outcome{Anchor: Clean(e.Source.ID), End: end, ChangeID: Clean(e.ChangeID)}
	if info := e.Info.Error; info != nil {
		o.Code, o.Reason, o.Advice = Clean(info.Code), Clean(cmp.Or(info.Reason, info.Additional)), Clean(info.Advice)
	}
	return o
}

// take takes an entry in. Pages overlap and have no order that is relied on: an entry may come twice, and an older
// one after a newer. It needs r.mu.
func (l *logFollower) take(e logEntry) error {
	key := l.key(e.Source.ID)
	i, ok := l.of[key]
	if !ok {
		return nil
	}
	w := &l.rows[i]
	at, change, end := e.Activity.UnixMicro(), maphash.String(l.seed, e.ChangeID), e.end()
	switch {
	case at < w.since:
		return nil // of an earlier record
	case w.end == "":
	case change == w.change:
		// Several entries of one change: the first is the person's, the others are of references, such as the manager.
		// A failure of any of them is one.
		if w.end == "failed" || end != "failed" && at >= w.at {
			return nil
		}
	case at <= w.at:
		return nil
	}
	if e.Activity.After(l.seen) {
		l.seen = e.Activity
	}
	lines := append([]int{w.line}, l.more[key]...)
	if w.end == "" {
		l.open -= len(lines)
		l.r.done += len(lines)
	} else {
		l.r.count(w.end, -len(lines))
	}
	l.r.count(end, len(lines))
	w.at, w.change, w.end = at, change, end
	o := e.outcome(end)
	for _, o.Line = range lines {
		if !slices.Contains(listed, end) {
			l.r.outcomes.drop(o.Line)
		} else if err := l.r.outcomes.put(o); err != nil {
			return err
		}
	}
	return nil
}

// count adds n to the records with an end. It needs r.mu.
func (r *run) count(end string, n int) {
	if r.sum.Ends[end] += n; r.sum.Ends[end] == 0 {
		delete(r.sum.Ends, end)
	}
}

// follow reads the log until each row has an outcome, a cycle that began after the last request has ended and its
// entries can be read, or patience ends.
func (l *logFollower) follow(ctx context.Context) error {
	if l.open == 0 {
		return nil
	}
	l.r.tell(Noted{"The service gives no receipts; outcomes are read in its provisioning log, which may take 40 minutes and more."})
	deadline := time.Now().Add(cmp.Or(l.r.opt.Timeout, logTimeout))
	pause := logPoll
	cycle := cycleWatch{r: l.r, after: l.last}
	for look := 1; ; look++ {
		open := l.open
		over := cycle.over(ctx)
		late := !time.Now().Before(deadline)
		from, back := l.start, logOverlap
		if look%5 == 0 {
			back = logFar
		}
		if recent := l.seen.Add(-back); recent.After(from) && !over && !late {
			from = recent
		}
		began := time.Now()
		err := l.scan(ctx, from)
		if isStatus(err, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound) {
			l.giveUp("unknown", "The service gives no receipts, and these credentials may not read its provisioning log: grant ProvisioningLog.Read.All, or use --until accepted and look there.")
			return nil
		}
		switch {
		case err != nil:
			return err
		case l.open == 0:
			return nil
		case over:
			l.giveUp("unlogged", "A provisioning cycle has ended since the last request, and its log names no failure of the unlogged rows: usually nothing had to be changed.")
			return nil
		case late:
			l.giveUp("unknown", "The provisioning log has not said yet what became of some rows. They are accepted: run the same command again to go on reading, with a longer --timeout to wait longer.")
			return nil
		}
		if pause = min(pause*3/2, logMost); l.open < open {
			pause = min(pause, logBusy)
		}
		pause = max(pause, min(2*time.Since(began), logMost)) // reading takes at most a third of the time
		if err := sleep(ctx, min(pause, max(time.Until(deadline), time.Millisecond))); err != nil {
			return err
		}
	}
}

// giveUp gives the open rows an end and says why.
func (l *logFollower) giveUp(end, note string) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.count(end, l.open)
	l.r.sum.Note = note
}

// scan reads the entries of the job from a time on.
func (l *logFollower) scan(ctx context.Context, from time.Time) error {
	filter := fmt.Sprintf("jobId eq '%s' and activityDateTime ge %s", strings.ReplaceAll(l.r.c.cfg.Job, "'", "''"), from.UTC().Format("2006-01-02T15:04:05Z"))
	u := l.r.c.graph.JoinPath("auditLogs/provisioning").String() + "?$filter=" + strings.ReplaceAll(url.QueryEscape(filter), "+", "%20") + "&$top=" + logPage
	return pages(ctx, l.r, u, func(entries []logEntry) error {
		l.r.mu.Lock()
		defer l.r.mu.Unlock()
		var errs error
		for _, e := range entries {
			errs = errors.Join(errs, l.take(e))
		}
		l.r.emitProgress()
		return errs
	})
}

// cycleWatch looks at the job for a cycle that has taken all requests in.
type cycleWatch struct {
	r      *run
	after  time.Time // the last request, by the service's clock
	ended  time.Time // when such a cycle was first seen to have ended, by ours
	denied bool
	status string
}

// execution is one cycle of a job's status.
type execution struct {
	State string    `json:"state"`
	Began time.Time `json:"timeBegan"`
	Ended time.Time `json:"timeEnded"`
}

// over reports whether such a cycle has ended so long ago that its entries can be read. It also tells when the job
// does not work. Credentials that may upload and read the log need not be allowed to read the job: then it is never over.
func (w *cycleWatch) over(ctx context.Context) bool {
	if w.denied {
		return false
	}
	var job struct {
		Status struct {
			Code       string     `json:"code"`
			Last       *execution `json:"lastExecution"`
			Successful *execution `json:"lastSuccessfulExecution"`
		} `json:"status"`
	}
	if err := w.r.get(ctx, w.r.c.jobs, &job); err != nil {
		w.denied = true
		return false
	}
	if code := Clean(job.Status.Code); code != w.status {
		if w.status = code; code == "Quarantine" || code == "Paused" {
			w.r.tell(Noted{"The job is in state " + code + ": it takes records in and does not process them. Look at its provisioning page."})
		}
	}
	for _, e := range []*execution{job.Status.Last, job.Status.Successful} {
		if e != nil && e.State != "Failed" && e.Began.After(w.after) && e.Ended.After(e.Began) && w.ended.IsZero() {
			w.ended = time.Now()
		}
	}
	return !w.ended.IsZero() && time.Since(w.ended) >= logDelay
}
