// Package notify sends what jobs have to say to people, by mail. The engine
// makes a notice in the transaction that makes it true; a Notifier takes it
// from the Outbox afterwards and hands it to a mail server. Nobody waits for
// mail, and mail that cannot be sent is tried again for three days.
package notify

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"induct/internal/provision"
)

// Outbox is where notices wait until they are sent.
type Outbox interface {
	// DueNotices returns up to limit notices whose NextAttempt has come, oldest first.
	DueNotices(ctx context.Context, now time.Time, limit int) ([]provision.Notice, error)
	// NoticeTried notes an attempt: sent (zero if it failed), the error's text, and when the next attempt is due
	// (zero: none; it was sent or is given up). A text beside a sent time tells who did not get it.
	NoticeTried(ctx context.Context, id int64, sent time.Time, errText string, next time.Time) error
}

const (
	poll      = 30 * time.Second
	batch     = 50
	batches   = 20 // of one round, so that an outbox that forgets what it is told cannot keep us busy
	noteTime  = 5 * time.Second
	patience  = 3 * 24 * time.Hour // after that a notice is old news
	firstWait = time.Minute
	longWait  = time.Hour
	maxError  = 600 // characters of an error's text
)

// Unsent is the error of notices while there is no mail server.
const Unsent = "no mail server is configured"

// Config is what a Notifier works with.
type Config struct {
	Outbox    Outbox
	Sender    *Sender          // nil: no mail server is configured; notices are marked as Unsent
	PublicURL string           // scheme and host of the service, for links
	Logger    *slog.Logger     // nil: nothing is logged
	Now       func() time.Time // nil: time.Now
}

// Notifier sends notices. Make it with New; its methods may be called from any goroutine.
type Notifier struct {
	cfg  Config
	hint chan struct{}

	mu      sync.Mutex         // one round at a time
	unended map[int64]*unended // by notice
}

// unended is what is known of a notice that was tried and has no end in the outbox yet. It is lost with the process:
// then people who have the mail may get it twice, under the same Message-ID.
type unended struct {
	reached []string  // addresses that have it
	since   time.Time // when the first of them got it
	outcome *outcome  // of an attempt that the outbox could not note
	expires time.Time
}

// outcome is what NoticeTried is told.
type outcome struct {
	sent time.Time
	text string
	next time.Time
}

// New returns a Notifier. Nothing is sent before Run or SendDue.
func New(cfg Config) *Notifier {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Notifier{cfg: cfg, hint: make(chan struct{}, 1), unended: make(map[int64]*unended)}
}

// Hint says that a notice may have come. It never blocks; one that is lost costs half a minute.
func (n *Notifier) Hint() {
	select {
	case n.hint <- struct{}{}:
	default:
	}
}

// Run sends what is due, at each Hint and every 30 seconds, until ctx ends. Whatever goes wrong is logged and stored
// with the notice, and does not end it.
func (n *Notifier) Run(ctx context.Context) {
	if n.cfg.Sender == nil {
		n.cfg.Logger.Warn("notices are shown and not mailed: " + Unsent)
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if err := n.SendDue(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Logger.Error("notices wait: the outbox failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.hint:
		case <-tick.C:
		}
	}
}

// SendDue tries each notice that is due now, once. An error is the outbox's (or ctx's): what the mail server says goes
// to the outbox.
func (n *Notifier) SendDue(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.cfg.Now()
	maps.DeleteFunc(n.unended, func(_ int64, u *unended) bool { return u.expires.Before(now) })
	for range batches {
		due, err := n.cfg.Outbox.DueNotices(ctx, now, batch)
		if err != nil {
			return err
		}
		if err := n.sendAll(ctx, due); err != nil || len(due) < batch {
			return err
		}
	}
	return nil
}

// sendAll tries the notices. Once the server has turned out to be down it is left alone, and the rest fails with it. One that
// cannot be noted does not stop the others; the error is the first of these.
func (n *Notifier) sendAll(ctx context.Context, notices []provision.Notice) error {
	var down, failed error
	for _, notice := range notices {
		o := n.remembered(notice.ID)
		if o == nil {
			var err error
			o, err = n.try(ctx, notice, down)
			if ctx.Err() != nil && (o == nil || o.sent.IsZero()) {
				return ctx.Err() // told to stop: it was no attempt
			}
			if isDown(err) {
				down = err
			}
			n.report(notice, o)
		}
		if err := n.note(ctx, notice, o); err != nil && failed == nil {
			failed = fmt.Errorf("notice %d: %w", notice.ID, err)
		}
	}
	return failed
}

// remembered returns the outcome that the outbox could not note, or nil.
func (n *Notifier) remembered(id int64) *outcome {
	if u := n.unended[id]; u != nil {
		return u.outcome
	}
	return nil
}

// note tells the outbox. A notice that was sent is noted even while the service stops. An outcome that cannot be noted is
// remembered: people are not to get the mail again every half minute because a disk is full.
func (n *Notifier) note(ctx context.Context, notice provision.Notice, o *outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := n.cfg.Outbox.NoticeTried(ctx, notice.ID, o.sent, o.text, o.next); err != nil {
		n.memory(notice).outcome = o
		return err
	}
	if o.next.IsZero() {
		delete(n.unended, notice.ID)
	} else if u := n.unended[notice.ID]; u != nil {
		u.outcome = nil
	}
	return nil
}

// memory returns what is known of a notice without an end, to be added to. It outlives the last attempt.
func (n *Notifier) memory(notice provision.Notice) *unended {
	u := n.unended[notice.ID]
	if u == nil {
		u = &unended{expires: notice.Time.Add(patience)}
		n.unended[notice.ID] = u
	}
	if soon := n.cfg.Now().Add(2 * longWait); soon.After(u.expires) {
		u.expires = soon
	}
	return u
}

// try makes one attempt; with down it fails at once. The error is what became of it as far as the server is concerned.
func (n *Notifier) try(ctx context.Context, notice provision.Notice, down error) (*outcome, error) {
	if n.cfg.Sender == nil {
		return &outcome{text: Unsent}, nil
	}
	to, invalid := addresses(notice.Recipients)
	if len(to) == 0 {
		text := "nobody to send it to"
		if len(invalid) > 0 {
			text += ": " + invalid.String()
		}
		return &outcome{text: n.cfg.Sender.clean(text)}, nil
	}
	refused, err := refusals(nil), down
	if down == nil {
		refused, err = n.send(ctx, notice, to)
	}
	return n.judge(notice, append(refused, invalid...), err), err
}

// report logs what became of an attempt.
func (n *Notifier) report(notice provision.Notice, o *outcome) {
	log := n.cfg.Logger.With("notice", notice.ID, "kind", notice.Kind, "job", notice.JobID)
	switch {
	case o.text == Unsent: // said once, by Run
	case !o.next.IsZero():
		log.Warn("a notice could not be sent", "error", o.text, "next", o.next)
	case o.sent.IsZero():
		log.Error("a notice is given up", "error", o.text)
	case o.text != "":
		log.Warn("a notice was sent, not to everybody", "error", o.text)
	default:
		log.Info("a notice was sent")
	}
}

// send hands the notice to the server for those who do not have it yet, and remembers who has it.
func (n *Notifier) send(ctx context.Context, notice provision.Notice, to []string) (refusals, error) {
	var have []string
	if u := n.unended[notice.ID]; u != nil {
		have = u.reached
	}
	rest := slices.DeleteFunc(slices.Clone(to), func(a string) bool { return slices.Contains(have, a) })
	if len(rest) == 0 {
		return nil, nil
	}
	refused, err := n.cfg.Sender.send(ctx, n.cfg.Sender.message(notice, n.cfg.PublicURL, to), rest)
	if err != nil {
		return refused, err
	}
	u := n.memory(notice)
	for _, a := range rest {
		if !refused.contains(a) {
			u.reached = append(u.reached, a)
		}
	}
	if u.since.IsZero() {
		u.since = n.cfg.Now()
	}
	return refused, nil
}

// judge decides what becomes of a notice after an attempt. It is sent once somebody has it and nobody is left who may
// still get it. While nobody has it, every failure is worth another attempt: most final ones come of a setting that
// somebody is about to correct.
func (n *Notifier) judge(notice provision.Notice, refused refusals, err error) *outcome {
	o := &outcome{text: n.cfg.Sender.text(err, refused)}
	if u := n.unended[notice.ID]; u != nil {
		o.sent = u.since
	}
	if !o.sent.IsZero() && err == nil && !refused.temporary() {
		return o
	}
	next := n.cfg.Now().Add(wait(notice.Attempts))
	if next.Sub(notice.Time) <= patience {
		o.sent, o.next = time.Time{}, next
		return o
	}
	o.text = bounded("given up after "+spoken(patience)+": "+o.text, maxError)
	return o
}

// wait returns how long to wait after so many failed attempts before: a random time between a half and the whole of a
// bound that doubles, so that it is between a minute and an hour.
func wait(attempts int) time.Duration {
	bound := longWait
	if attempts < 5 {
		bound = min(2*firstWait<<max(attempts, 0), longWait)
	}
	return bound/2 + rand.N(bound/2)
}
