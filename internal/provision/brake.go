package provision

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

func (a *App) secret(key string) string {
	for _, s := range a.Secrets {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// policy is what the settings of a job and of its app say about effects.
type policy struct {
	leave      LeaveAction
	limit      int64   // most disables and deletions within an interval; negative: no limit
	percent    float64 // and most in percent of the enabled accounts; 0: no limit
	recipients []string
}

func (s *Service) policy(j *Job) policy {
	app := s.appOf(j)
	n := app.Notifications()
	p := policy{leave: j.Settings.Leave, limit: -1, percent: j.Settings.DeletePercent}
	if n.Enabled {
		p.recipients = n.Recipients
	}
	switch {
	case strings.EqualFold(strings.TrimSpace(app.secret(SecretSkipOutOfScope)), "true"):
		p.leave = LeaveAlone
	case p.leave == "":
		p.leave = LeaveDisable
	}
	if most, limited := j.Settings.Threshold(n); limited {
		p.limit = most
	}
	return p
}

// holds reports whether disables and deletions wait until they have been counted.
func (p policy) holds() bool { return p.limit >= 0 || p.percent > 0 }

// unbraked returns the policy without limits.
func (p policy) unbraked() policy {
	p.limit, p.percent = -1, 0
	return p
}

// exceeded reports whether n disables and deletions are too many for a job with so many enabled accounts.
func (p policy) exceeded(n, linked int64) bool {
	return p.limit >= 0 && n > p.limit || p.percent > 0 && float64(n)*100 > p.percent*float64(linked)
}

// How long disables and deletions wait for others that come with them: until none has come for a while, and not for ever. So a
// burst is seen as one, although it comes as many uploads; few of them do not wait at all.
const (
	quietTime   = 3 * time.Second
	longestHold = time.Minute
)

// few returns how many disables and deletions within an interval are carried out at once: a hundredth of the limit.
func (p policy) few() int64 { return max(p.limit/100, 1) }

// ripe reports whether it is time to judge what is held.
func (l *Lane) ripe(now time.Time) bool {
	return l.Unjudged && (now.Sub(l.HeldLast) >= quietTime || now.Sub(l.HeldFirst) >= longestHold)
}

// braking is what is held and was carried out within the interval, against the limits.
type braking struct {
	policy
	held, executed, linked int64
}

// weigh counts what is held of which nothing has been decided.
func (r *runner) weigh(u Unit, job *Job, cond *Condition) (b braking, err error) {
	b.policy = r.s.policy(job)
	if b.held, err = u.CountUnjudged(); err != nil || b.held == 0 {
		return b, err
	}
	cond.Window.prune(r.s.now(), DefaultInterval)
	if b.executed = cond.Window.sum().Effects; b.executed == 0 {
		cond.Window.Linked, err = u.Enabled()
	}
	b.linked = cond.Window.Linked
	return b, err
}

// judge lets those held changes pass that nobody has been asked about, if with what was carried out within the interval they
// are few enough; else the job goes into quarantine.
func (r *runner) judge(u Unit, job *Job, cond *Condition) error {
	b, err := r.weigh(u, job, cond)
	if err != nil || b.held == 0 || cond.braked() { // braked: they join those that people are asked about already
		return err
	}
	if !b.exceeded(b.held+b.executed, b.linked) {
		_, err := u.Judge(PendingHeld, VerdictApproved, "", nil)
		return err
	}
	message := fmt.Sprintf("%d accounts would be disabled or deleted, and %d were within the last %d minutes; the job stops at more than %s. Nothing of it has been done. Look at the held changes, then approve or reject them.",
		b.held, b.executed, int(DefaultInterval/time.Minute), b.limits())
	return r.s.quarantine(u, job, cond, fault{QuarantineDeletes, "TooManyDeletes", message, true}, Notice{Kind: NoticeDeletes, Held: b.held, Executed: b.executed})
}

// braked reports whether the job is in quarantine because of too many deletions.
func (c *Condition) braked() bool {
	return c.Quarantine != nil && c.Quarantine.Reason == QuarantineDeletes
}

// passFew lets what is held pass at once if it is a few, and reports whether it did.
func (r *runner) passFew(u Unit, job *Job) (bool, error) {
	cond, err := u.Condition()
	if err != nil || cond.Quarantine != nil {
		return false, err
	}
	b, err := r.weigh(u, job, &cond)
	n := b.held + b.executed
	if err != nil || b.held == 0 || n > b.few() || b.exceeded(n, b.linked) {
		return false, err
	}
	_, err = u.Judge(PendingHeld, VerdictApproved, "", nil)
	return true, errors.Join(err, u.PutCondition(cond))
}

func (p policy) limits() string {
	var all []string
	if p.limit >= 0 {
		all = append(all, fmt.Sprint(p.limit))
	}
	if p.percent > 0 {
		all = append(all, fmt.Sprintf("%g %% of the enabled accounts", p.percent))
	}
	return strings.Join(all, " or ")
}

// Failures at which a job goes into quarantine (Microsoft Learn, "Application provisioning in quarantine status").
const (
	fewestFailures  = 5_000
	mostFailures    = 40_000
	mostInAll       = 60_000 // references included
	mostProportion  = 40     // percent
	quarantineLimit = 28 * 24 * time.Hour
)

// failing returns why the failures within the interval are too many; nil if they are not.
func (w *Window) failing(now time.Time) *fault {
	w.prune(now, DefaultInterval)
	n := w.sum()
	text := fmt.Sprintf("%d of %d records and %d references failed within %d minutes. Look at the failures in the provisioning log, correct the source or the mapping, and restart the job.",
		n.Failures, n.Records, n.References, int(DefaultInterval/time.Minute))
	switch {
	case n.Failures+n.References >= mostInAll:
		return &fault{QuarantineTotal, string(QuarantineTotal), text, true}
	case n.Failures < fewestFailures:
		return nil
	case n.Failures > mostFailures:
		return &fault{QuarantineBase, string(QuarantineBase), text, true}
	case n.Failures*100 > mostProportion*n.Records:
		return &fault{QuarantineProportion, string(QuarantineProportion), text, true}
	}
	return nil
}
