package provision

import (
	"errors"
	"fmt"
	"time"
)

// ErrCredentials is wrapped by an error of a Target's call that says that the target does not let the service in: waiting
// does not help.
var ErrCredentials = errors.New("the target does not accept the credentials")

// fault is what brings a job into quarantine.
type fault struct {
	reason     QuarantineReason
	code       string
	message    string
	actionable bool
}

// codeNoMail is the code of a quarantine that a job is in because there is nobody to notify.
const codeNoMail = "NotificationEmailMissing"

var noMail = fault{QuarantineException, codeNoMail,
	"The job has no notification e-mail. Put one into SyncNotificationSettings of the app's secrets and start the job again, or let the job run without.", true}

// retryAfter is how long a job in quarantine waits for the next attempt, after so many that were in vain.
func retryAfter(attempts int64) time.Duration {
	switch attempts {
	case 0:
		return 6 * time.Hour
	case 1:
		return 12 * time.Hour
	}
	return 24 * time.Hour
}

// quarantine puts a job into quarantine, or notes that it is there with reason. News of it are told once for each reason.
func (s *Service) quarantine(u Unit, job *Job, cond *Condition, f fault, n Notice) error {
	now := s.now()
	q := cond.Quarantine
	if cond.braked() { // whatever else is at fault, people have to decide
		f = fault{q.Reason, q.Code, q.Message, q.Actionable}
	}
	news := q == nil || q.Reason != f.reason || q.Code != f.code
	switch {
	case q == nil:
		q = &Quarantine{SeriesBegan: now, CurrentBegan: now, NextAttempt: now.Add(retryAfter(0))}
	default:
		next := *q
		q = &next
		q.SeriesCount++
		q.NextAttempt = now.Add(retryAfter(q.SeriesCount))
		if news {
			q.CurrentBegan = now
		}
	}
	q.Reason, q.Code, q.Message, q.Actionable = f.reason, f.code, f.message, f.actionable
	cond.Quarantine = q
	if !news {
		return nil
	}
	if n.Kind == "" {
		n.Kind = NoticeQuarantined
	}
	s.log.Warn("job in quarantine", "job", job.ID, "reason", f.reason, "code", f.code, "message", f.message, "nextAttempt", q.NextAttempt)
	if err := s.notify(u, job, cond, n); err != nil {
		return err
	}
	return u.Audit(s.audit(job, Actor{}, "Quarantine", "Update", Audit{Reason: f.message, Details: []KeyValue{{"Reason", string(f.reason)}, {"NextAttempt", q.NextAttempt.UTC().Format(time.RFC3339)}}}))
}

// release ends a quarantine, if there is one, and what brakes remember.
func (s *Service) release(u Unit, job *Job, cond *Condition, why string) error {
	if cond.Quarantine == nil {
		return nil
	}
	s.log.Info("job out of quarantine", "job", job.ID, "reason", cond.Quarantine.Reason, "why", why)
	err := s.notify(u, job, cond, Notice{Kind: NoticeRecovered})
	reason := cond.Quarantine.Reason
	cond.Quarantine, cond.Window, cond.Unreachable = nil, Window{}, time.Time{}
	if err != nil {
		return err
	}
	return u.Audit(s.audit(job, Actor{}, "Quarantine", "Update", Audit{Reason: "The job has left the quarantine: " + why, Details: []KeyValue{{"Reason", string(reason)}}}))
}

// notify makes a notice of what is true of the job now.
func (s *Service) notify(u Unit, job *Job, cond *Condition, n Notice) error {
	p, w := s.policy(job), cond.Window.sum()
	n.Time, n.NextAttempt = s.now(), s.now()
	n.JobPK, n.JobID, n.AppID, n.AppName = job.PK, job.ID, job.ServicePrincipalID.String(), job.DisplayName
	n.Recipients, n.Quarantine = p.recipients, cond.Quarantine
	n.Threshold, n.Percent, n.Linked, n.Window = p.limit, p.percent, cond.Window.Linked, DefaultInterval
	n.Failed, n.Records = w.Failures, w.Records
	if len(n.Recipients) == 0 {
		n.NextAttempt = time.Time{}
	}
	return u.Notify(n)
}

// conclude says what an attempt of a job in quarantine has come to, if this was one.
func (s *Service) conclude(u Unit, job *Job, cond *Condition) error {
	q, now := cond.Quarantine, s.now()
	if q == nil || now.Before(q.NextAttempt) {
		return nil
	}
	same := fault{q.Reason, q.Code, q.Message, q.Actionable}
	switch {
	case q.Reason == QuarantineDeletes:
		if held, err := u.Held(); err != nil || held > 0 {
			return errors.Join(err, s.quarantine(u, job, cond, same, Notice{}))
		}
		return s.release(u, job, cond, "nothing is held any more")
	case q.Code == codeNoMail && s.needsMail(job):
		return s.quarantine(u, job, cond, same, Notice{})
	}
	if f := cond.Window.failing(now); f != nil {
		return s.quarantine(u, job, cond, *f, Notice{})
	}
	return s.release(u, job, cond, "an attempt succeeded")
}

// needsMail reports whether a job must not run because there is nobody to notify.
func (s *Service) needsMail(j *Job) bool {
	return !s.withoutMail && !j.Settings.RunWithoutMail && len(s.appOf(j).Notifications().Recipients) == 0
}

// downError says that a call of the target failed as a whole.
type downError struct{ err error }

func (e *downError) Error() string { return "the target does not answer: " + e.err.Error() }
func (e *downError) Unwrap() error { return e.err }

// unreachableLimit is how long a target may not answer before the job goes into quarantine. Until then it is tried every half
// minute, so that an hour's outage heals by itself.
const unreachableLimit = 2 * time.Hour

// down notes that the target did not answer. It counts against nobody's record.
func (s *Service) down(u Unit, job *Job, cond *Condition, cause error) error {
	now := s.now()
	if cond.Unreachable.IsZero() {
		cond.Unreachable = now
	}
	cond.SuccessiveFailures++
	f := fault{QuarantineException, "TargetUnreachable", fmt.Sprintf("The directory does not answer since %s: %s. Nothing is lost: what was accepted waits.",
		cond.Unreachable.UTC().Format(time.RFC3339), cause), true}
	if errors.Is(cause, ErrCredentials) {
		f.code, f.message = "InvalidCredentials", fmt.Sprintf("The directory does not accept the credentials: %s. Correct them and restart the job.", cause)
	}
	cond.Last = &Execution{State: ExecutionFailed, Began: now, Ended: now, Counts: map[End]int64{}, Code: f.code, Message: f.message}
	attempt := cond.Quarantine != nil && !now.Before(cond.Quarantine.NextAttempt)
	if attempt || cond.Quarantine == nil && (f.code == "InvalidCredentials" || now.Sub(cond.Unreachable) >= unreachableLimit) {
		return s.quarantine(u, job, cond, f, Notice{})
	}
	return nil
}
