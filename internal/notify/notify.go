// Package notify sends what jobs have to say to people, by mail. The engine
// makes a notice in the transaction that makes it true; a Notifier takes it
// from the Outbox afterwards and hands it to a mail server. Nobody waits for
// mail, and mail that cannot be sent is tried again for three days.
package notify

import (
	"cmp"
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
	// ClaimNotice has a notice be due at until, if it is still due at due, and reports whether it was: of several processes
	// with one outbox one sends it.
	ClaimNotice(ctx context.Context, id int64, due, until time.Time) (bool, error)
	// NoticeTried counts an attempt and notes what has come of it: Sent (zero if it failed), Error, NextAttempt (zero: none; it
	// was sent or is given up), Reached and ReachedAt. An Error beside Sent tells who did not get it.
	NoticeTried(ctx context.Context, tried provision.Notice) error
}

const (
	poll      = 30 * time.Second
	batch     = 50
	batches   = 20 // of one round, so that an outbox that forgets what it is told cannot keep us busy
	noteTime  = 5 * time.Second
	claimTime = 5 * time.Minute    // longer than an attempt takes: by so much the clocks of processes may differ
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

	mu      sync.Mutex                 // one round at a time
	unnoted map[int64]provision.Notice // as they are after an attempt that the outbox could not note
}

// New returns a Notifier. Nothing is sent before Run or SendDue.
func New(cfg Config) *Notifier {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Notifier{cfg: cfg, hint: make(chan struct{}, 1), unnoted: make(map[int64]provision.Notice)}
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
	failed := n.noteAgain(ctx)
	for range batches {
		due, err := n.cfg.Outbox.DueNotices(ctx, n.cfg.Now(), batch)
		if err != nil {
			return err
		}
		if err := n.sendAll(ctx, due); err != nil || len(due) < batch {
			return cmp.Or(failed, err)
		}
	}
	return failed
}

// sendAll tries the notices that no other process has taken. Once the server has turned out to be down it is left alone, and the
// rest fails with it. One that cannot be noted does not stop the others; the error is the first of these.
func (n *Notifier) sendAll(ctx context.Context, notices []provision.Notice) error {
	var down, failed error
	for _, notice := range notices {
		if _, tried := n.unnoted[notice.ID]; tried {
			continue
		}
		due, until := notice.NextAttempt, n.cfg.Now().Add(n.longest()+claimTime)
		claimed, err := n.cfg.Outbox.ClaimNotice(ctx, notice.ID, due, until)
		if err != nil {
			return err
		}
		if !claimed {
			continue
		}
		err = n.try(ctx, &notice, down)
		if ctx.Err() != nil && notice.Sent.IsZero() { // told to stop: it was no attempt
			n.giveBack(ctx, notice.ID, until, due)
			return ctx.Err()
		}
		if isDown(err) {
			down = err
		}
		n.report(notice)
		if err := n.note(ctx, notice); err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}

// longest is how long an attempt may take.
func (n *Notifier) longest() time.Duration {
	if n.cfg.Sender == nil {
		return 0
	}
	return n.cfg.Sender.total
}

// giveBack has a notice be due again that was claimed in vain. If that fails, it is when the claim ends.
func (n *Notifier) giveBack(ctx context.Context, id int64, until, due time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if _, err := n.cfg.Outbox.ClaimNotice(ctx, id, until, due); err != nil {
		n.cfg.Logger.Warn("a notice waits until its claim ends", "notice", id, "until", until, "error", err)
	}
}

// note tells the outbox. A notice that was sent is noted even while the service stops. What cannot be noted is remembered:
// people are not to get the mail again because a disk is full. It is lost with the process; then they may get it twice, under
// the same Message-ID, as they may if this process cannot note for longer than its claim lasts.
func (n *Notifier) note(ctx context.Context, notice provision.Notice) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := n.cfg.Outbox.NoticeTried(ctx, notice); err != nil {
		n.unnoted[notice.ID] = notice
		return fmt.Errorf("notice %d: %w", notice.ID, err)
	}
	delete(n.unnoted, notice.ID)
	return nil
}

// noteAgain tells the outbox what it could not note.
func (n *Notifier) noteAgain(ctx context.Context) (failed error) {
	for _, id := range slices.Sorted(maps.Keys(n.unnoted)) {
		failed = cmp.Or(failed, n.note(ctx, n.unnoted[id]))
	}
	return failed
}

// try makes one attempt and has the notice say what came of it; with down it fails at once. The error is what became of it as far
// as the server is concerned.
func (n *Notifier) try(ctx context.Context, notice *provision.Notice, down error) error {
	notice.NextAttempt = time.Time{}
	if n.cfg.Sender == nil {
		notice.Error = Unsent
		return nil
	}
	to, invalid := addresses(notice.Recipients)
	if len(to) == 0 {
		text := "nobody to send it to"
		if len(invalid) > 0 {
			text += ": " + invalid.String()
		}
		notice.Error = n.cfg.Sender.clean(text)
		return nil
	}
	refused, err := refusals(nil), down
	if down == nil {
		refused, err = n.send(ctx, notice, to)
	}
	n.judge(notice, append(refused, invalid...), err)
	return err
}

// report logs what became of an attempt.
func (n *Notifier) report(notice provision.Notice) {
	log := n.cfg.Logger.With("notice", notice.ID, "kind", notice.Kind, "job", notice.JobID)
	switch {
	case notice.Error == Unsent: // said once, by Run
	case !notice.NextAttempt.IsZero():
		log.Warn("a notice could not be sent", "error", notice.Error, "next", notice.NextAttempt)
	case notice.Sent.IsZero():
		log.Error("a notice is given up", "error", notice.Error)
	case notice.Error != "":
		log.Warn("a notice was sent, not to everybody", "error", notice.Error)
	default:
		log.Info("a notice was sent")
	}
}

// send hands the notice to the server for those who do not have it yet, and adds who has it then.
func (n *Notifier) send(ctx context.Context, notice *provision.Notice, to []string) (refusals, error) {
	rest := slices.DeleteFunc(slices.Clone(to), func(a string) bool { return slices.Contains(notice.Reached, a) })
	if len(rest) == 0 {
		return nil, nil
	}
	refused, err := n.cfg.Sender.send(ctx, n.cfg.Sender.message(*notice, n.cfg.PublicURL, to), rest)
	if err != nil {
		return refused, err
	}
	for _, a := range rest {
		if !refused.contains(a) {
			notice.Reached = append(notice.Reached, a)
		}
	}
	if notice.ReachedAt.IsZero() {
		notice.ReachedAt = n.cfg.Now()
	}
	return refused, nil
}

// judge decides what becomes of a notice after an attempt. It is sent once somebody has it and nobody is left who may
// still get it. While nobody has it, every failure is worth another attempt: most final ones come of a setting that
// somebody is about to correct.
func (n *Notifier) judge(notice *provision.Notice, refused refusals, err error) {
	notice.Error = n.cfg.Sender.text(err, refused)
	next := n.cfg.Now().Add(wait(notice.Attempts))
	switch {
	case !notice.ReachedAt.IsZero() && err == nil && !refused.temporary():
		notice.Sent = notice.ReachedAt
	case next.Sub(notice.Time) <= patience:
		notice.NextAttempt = next
		return
	default:
		notice.Sent = notice.ReachedAt
		notice.Error = bounded("given up after "+spoken(patience)+": "+notice.Error, maxError)
	}
	notice.Reached, notice.ReachedAt = nil, time.Time{}
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
