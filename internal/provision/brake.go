package provision

import (
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

// judge lets those held changes pass that nobody has been asked about, if with what was carried out within the interval they
// are few enough; else the job goes into quarantine. It reports whether they pass.
func (r *runner) judge(u Unit, job *Job, cond *Condition) (pass bool, err error) {
	held, err := u.CountUnjudged()
	if err != nil || held == 0 {
		return true, err
	}
	p, now := r.s.policy(job), r.s.now()
	cond.Window.prune(now, DefaultInterval)
	executed := cond.Window.sum().Effects
	if executed == 0 {
		if cond.Window.Linked, err = u.Enabled(); err != nil {
			return false, err
		}
	}
	deleting := cond.Quarantine != nil && cond.Quarantine.Reason == QuarantineDeletes
	if !deleting && !p.exceeded(held+executed, cond.Window.Linked) {
		_, err := u.Judge(PendingHeld, VerdictApproved, "", nil)
		return true, err
	}
	if deleting { // they join those that people are asked about already
		return false, nil
	}
	message := fmt.Sprintf("%d accounts would be disabled or deleted, and %d were within the last %d minutes; the job stops at more than %s. Nothing of it has been done.",
		held, executed, int(DefaultInterval/time.Minute), p.limits())
	return false, r.s.quarantine(u, job, cond, fault{QuarantineDeletes, "TooManyDeletes", message + " Look at the held changes, then approve or reject them.", true},
		Notice{Kind: NoticeDeletes, Held: held, Executed: executed})
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
