package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
)

// Activities of the audit log (Graph's directoryAudit, of the service "Account Provisioning").
const (
	auditCreate   = "Add provisioning configuration"
	auditDelete   = "Delete provisioning configuration"
	auditStart    = "Enable/start provisioning configuration"
	auditPause    = "Disable/pause provisioning configuration"
	auditRestart  = "Enable/restart provisioning configuration"
	auditSettings = "Update provisioning setting or credentials"
	auditMappings = "Update attribute mappings or scope"
	auditDecide   = "Process staged deletions"
	auditConnect  = "Update object connection"
	auditOnDemand = "Provision on demand"
)

// audit completes an entry about a job.
func (s *Service) audit(j *Job, by Actor, activity, operation string, a Audit) Audit {
	a.ID, a.Time, a.Actor, a.Activity, a.OperationType = uuid.New(), s.now(), by, activity, operation
	a.JobID, a.TargetID, a.TargetName = j.ID, j.ServicePrincipalID.String(), j.DisplayName
	return a
}

// mostAttempts is how often something is attempted that others come before.
const mostAttempts = 10

// insist calls fn until nobody else comes first, ErrBusy if that does not come to an end. Between attempts the jobs are read anew.
func (s *Service) insist(ctx context.Context, fn func() error) error {
	for n := range mostAttempts {
		err := fn()
		if !errors.Is(err, ErrFenced) {
			return err
		}
		s.log.Debug("somebody else was first; it is attempted again", "error", err)
		sleep(ctx, fencedPause(n))
		if err := errors.Join(ctx.Err(), s.Refresh(ctx)); err != nil {
			return err
		}
	}
	return ErrBusy
}

// inLane runs fn while no step of the job's runner is under way in this process, and has the runner forget what it has prepared. Other
// processes may hold the job's lanes: what fn commits is fenced, and fn is called again if somebody else came first.
func (s *Service) inLane(ctx context.Context, jobPK int64, fn func(r *runner, job *Job, program *mapping.Program, lane Lane) error) error {
	s.mu.Lock()
	r := s.runners[jobPK]
	s.mu.Unlock()
	if r == nil {
		return fmt.Errorf("job %d: %w", jobPK, ErrNotFound)
	}
	return s.insist(ctx, func() error { return s.inLaneOnce(ctx, r, fn) })
}

func (s *Service) inLaneOnce(ctx context.Context, r *runner, fn func(r *runner, job *Job, program *mapping.Program, lane Lane) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ahead = nil
	job, program, err := s.compiled(r.jobPK)
	if err == nil && job.State == JobDeleted {
		err = fmt.Errorf("job %s: %w", job.ID, ErrNotFound)
	}
	if err != nil {
		return err
	}
	lane, err := s.store.Lane(ctx, r.jobPK)
	if err != nil {
		return err
	}
	defer r.hint()
	return fn(r, job, program, lane)
}

// steer changes a job and its condition in one transaction. ErrFenced if somebody else has changed the job.
func (s *Service) steer(ctx context.Context, jobPK int64, change func(*Job), also func(u Unit, j *Job, cond *Condition) error) error {
	return s.editOnce(ctx, jobPK, change, func(u Unit, j *Job) error {
		cond, err := u.Condition()
		if err == nil {
			err = also(u, j, &cond)
		}
		if err != nil {
			return err
		}
		return u.PutCondition(cond)
	})
}

// StartJob starts a job that is paused, disabled or in quarantine. A quarantine for too many deletions stays: that needs a
// decision. A job with nobody to notify goes into quarantine, unless it may run without.
func (s *Service) StartJob(ctx context.Context, jobPK int64) error {
	return s.inLane(ctx, jobPK, func(_ *runner, was *Job, _ *mapping.Program, _ Lane) error {
		return s.steer(ctx, jobPK, func(j *Job) { j.State = JobActive }, func(u Unit, j *Job, cond *Condition) error {
			held, err := u.Held()
			switch {
			case cond.Quarantine != nil && (!cond.braked() || held == 0):
				err = errors.Join(err, s.release(u, j, cond, "the job was started"))
			case cond.braked() && was.State != JobActive: // its time begins anew
				q, now := *cond.Quarantine, s.now()
				q.SeriesBegan, q.SeriesCount, q.NextAttempt = now, 0, now.Add(retryAfter(0))
				cond.Quarantine = &q
			}
			return errors.Join(err, s.begin(u, j, cond), u.Audit(s.audit(j, ActorOf(ctx), auditStart, "Update", Audit{})))
		})
	})
}

// begin puts a job into quarantine that has nobody to notify.
func (s *Service) begin(u Unit, j *Job, cond *Condition) error {
	if cond.Quarantine == nil && s.needsMail(j) {
		return s.quarantine(u, j, cond, noMail, Notice{})
	}
	return nil
}

// PauseJob pauses a job: the cycle that is under way is finished, and no other begins. Uploads are accepted all the same.
func (s *Service) PauseJob(ctx context.Context, jobPK int64) error {
	return s.SetJobState(ctx, jobPK, JobPaused)
}

// SetJobState starts a job (JobActive, see StartJob), pauses it, or disables it, which stops it after the batch in hand.
// Uploads are accepted in every state.
func (s *Service) SetJobState(ctx context.Context, jobPK int64, state JobState) error {
	if state == JobActive {
		return s.StartJob(ctx, jobPK)
	}
	return s.edit(ctx, jobPK, func(j *Job) { j.State = state }, func(u Unit, j *Job) error {
		return u.Audit(s.audit(j, ActorOf(ctx), auditPause, "Update", Audit{Details: []KeyValue{{"State", string(state)}}}))
	})
}

// SetSettings replaces the settings of a job, and has everybody re-evaluated if they change what records mean.
func (s *Service) SetSettings(ctx context.Context, jobPK int64, set JobSettings) error {
	var before JobSettings
	return s.edit(ctx, jobPK, func(j *Job) { before, j.Settings = j.Settings, set }, func(u Unit, j *Job) error {
		err := u.Audit(s.audit(j, ActorOf(ctx), auditSettings, "Update", Audit{Modified: jsonChange("settings", before, set)}))
		if before.DisableMissing != set.DisableMissing {
			err = errors.Join(err, u.BeginReevaluation(s.now()))
		}
		return errors.Join(err, s.attemptNow(u, j))
	})
}

// RestartJob starts a job anew: what waits in its queue is purged – while a cycle is under way, what is not part of it –, and
// what scope names is forgotten. A restart of scope 0, or ResetForceDeletes alone, purges nothing.
func (s *Service) RestartJob(ctx context.Context, jobPK int64, scope ResetScope) (purge Purge, err error) {
	by := ActorOf(ctx)
	err = s.inLane(ctx, jobPK, func(_ *runner, was *Job, _ *mapping.Program, lane Lane) error {
		after := lane.Job
		if lane.Cycle != nil && lane.Condition.Quarantine == nil && was.State != JobDisabled {
			after = max(after, lane.Cycle.To)
		}
		return s.steer(ctx, jobPK, func(j *Job) { j.State = JobActive }, func(u Unit, j *Job, cond *Condition) error {
			var errs []error
			if scope&^ResetForceDeletes != 0 {
				var err error
				purge, err = u.Purge(after, Purge{Time: s.now(), By: by.label()})
				errs = append(errs, err)
			}
			errs = append(errs, s.reset(u, j, cond, scope, by), s.begin(u, j, cond), u.Audit(s.audit(j, by, auditRestart, "Update", Audit{Details: []KeyValue{
				{"ResetScope", scope.String()}, {"PurgedUploads", fmt.Sprint(purge.Uploads)}, {"PurgedRecords", fmt.Sprint(purge.Records)}}})))
			return errors.Join(errs...)
		})
	})
	if err == nil {
		s.changed()
	}
	return purge, err
}

// reset forgets what a restart's scope names.
func (s *Service) reset(u Unit, j *Job, cond *Condition, scope ResetScope, by Actor) error {
	var errs []error
	if scope&ResetForceDeletes != 0 {
		_, err := u.Judge(PendingHeld, VerdictApproved, by.label(), nil)
		errs = append(errs, err)
	}
	if scope&ResetEscrows != 0 {
		_, err := u.Judge(PendingNone, VerdictPurged, by.label(), nil)
		errs = append(errs, err)
	}
	if scope&ResetConnectorDataStore != 0 {
		cond.Unlink = new(int64)
	}
	if scope&ResetWatermark != 0 {
		cond.SteadyFirst, cond.SteadyLast, cond.Restarted = time.Time{}, time.Time{}, true
		errs = append(errs, u.BeginReevaluation(s.now()))
	}
	switch {
	case scope&(ResetQuarantineState|ResetForceDeletes) != 0:
		errs = append(errs, s.release(u, j, cond, "the job was restarted by "+by.label()))
		cond.Window = Window{}
	case cond.Quarantine != nil: // it is tried at once
		q, now := *cond.Quarantine, s.now()
		q.NextAttempt = now
		if !now.Before(q.SeriesBegan.Add(quarantineLimit)) { // its time begins anew, else it would be given up again at once
			q.SeriesBegan, q.SeriesCount = now, 0
		}
		cond.Quarantine = &q
	}
	return errors.Join(errs...)
}

// String names the flags as Graph spells them.
func (r ResetScope) String() string {
	switch r {
	case 0:
		return "None"
	case ResetFull:
		return "Full"
	}
	var names []string
	for _, f := range []struct {
		flag ResetScope
		name string
	}{{ResetConnectorDataStore, "ConnectorDataStore"}, {ResetEscrows, "Escrows"}, {ResetWatermark, "Watermark"}, {ResetQuarantineState, "QuarantineState"}, {ResetForceDeletes, "ForceDeletes"}} {
		if r&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}

// giveUp disables a job that has been in quarantine for too long, and ends what it retries.
func (s *Service) giveUp(ctx context.Context, job *Job) error {
	return s.steer(ctx, job.PK, func(j *Job) { j.State = JobDisabled }, func(u Unit, j *Job, cond *Condition) error {
		_, err := u.Judge(PendingNone, VerdictPurged, "the service, because the job was in quarantine for 28 days", nil)
		return errors.Join(err, s.notify(u, j, cond, Notice{Kind: NoticeDisabled}),
			u.Audit(s.audit(j, Actor{}, auditPause, "Update", Audit{Reason: "The job was in quarantine for 28 days and is disabled now.", Details: []KeyValue{{"State", string(JobDisabled)}}})))
	})
}

// unlink drops the next links of a reset that is under way.
func (r *runner) unlink(ctx context.Context, job *Job, lane Lane) error {
	r.ahead = nil
	return r.s.store.Unit(ctx, whole(job, &lane), func(u Unit) error {
		place, done, err := u.Unlink(*lane.Condition.Unlink, 2*batchRecords)
		if err != nil {
			return err
		}
		cond, err := u.Condition()
		if err != nil {
			return err
		}
		if cond.Unlink = &place; done {
			cond.Unlink = nil
		}
		return u.PutCondition(cond)
	})
}

// DeleteJob deletes a job: it is gone at once, and what it knew of people is removed in the background. Accounts and the log stay.
func (s *Service) DeleteJob(ctx context.Context, jobPK int64) error {
	return s.edit(ctx, jobPK, func(j *Job) { j.State = JobDeleted }, func(u Unit, j *Job) error {
		return u.Audit(s.audit(j, ActorOf(ctx), auditDelete, "Delete", Audit{}))
	})
}

// remove removes the next rows of a job that was deleted.
func (r *runner) remove(ctx context.Context, job *Job, lane Lane) (bool, error) {
	r.ahead = nil
	done := false
	err := r.s.store.Unit(ctx, whole(job, &lane), func(u Unit) (err error) {
		done, err = u.Remove(2 * batchRecords)
		return err
	})
	r.removed = done && err == nil
	return !r.removed, err
}

// Apps returns all provisioning apps, in the order of their creation. The caller must not change them.
func (s *Service) Apps(ctx context.Context) ([]*App, error) {
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*App(nil), s.apps...), nil
}

// app returns the app of a service principal as it is known; nil if it is not.
func (s *Service) app(servicePrincipal uuid.UUID) *App {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.apps {
		if a.ServicePrincipalID == servicePrincipal {
			return a
		}
	}
	return nil
}

// CreateApp makes a provisioning app without a job.
func (s *Service) CreateApp(ctx context.Context, displayName string) (*App, error) {
	a := &App{ServicePrincipalID: uuid.New(), ApplicationID: uuid.New(), DisplayName: displayName}
	return a, s.editApp(ctx, a.ServicePrincipalID, func(*App) (*App, error) { return a, nil }, nil)
}

// PutApp makes an app of a service principal, or gives the one that it is another name; its secrets stay.
func (s *Service) PutApp(ctx context.Context, servicePrincipal, appID uuid.UUID, displayName string) error {
	return s.editApp(ctx, servicePrincipal, func(a *App) (*App, error) {
		next := App{ServicePrincipalID: servicePrincipal, ApplicationID: appID}
		if a != nil {
			next = *a
		}
		if next.DisplayName == displayName {
			return nil, nil
		}
		next.DisplayName = displayName
		return &next, nil
	}, nil)
}

// editApp has change make another app of the one there is, nil if there is none, and stores that, unless it is nil, with what also
// does in the same transaction. It begins anew if somebody else has changed the app since it was read.
func (s *Service) editApp(ctx context.Context, servicePrincipal uuid.UUID, change func(*App) (*App, error), also func(Unit, *App) error) error {
	return s.insist(ctx, func() error {
		if err := s.Refresh(ctx); err != nil {
			return err
		}
		s.editing.Lock()
		defer s.editing.Unlock()
		a, err := change(s.app(servicePrincipal))
		if err != nil || a == nil {
			return err
		}
		err = s.store.Unit(ctx, Fence{Free: true}, func(u Unit) error {
			if err := u.PutApp(a); err != nil || also == nil {
				return err
			}
			return also(u, a)
		})
		if err != nil {
			return fmt.Errorf("store an app: %w", err)
		}
		s.installApp(a)
		return nil
	})
}

// installApp puts an app in place of the one with its id.
func (s *Service) installApp(a *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, old := range s.apps {
		if old.ServicePrincipalID == a.ServicePrincipalID {
			s.apps[i] = a
			return
		}
	}
	s.apps = append(s.apps, a)
}

// appOf returns the app of a job.
func (s *Service) appOf(j *Job) *App {
	if a := s.app(j.ServicePrincipalID); a != nil {
		return a
	}
	return &App{ServicePrincipalID: j.ServicePrincipalID, ApplicationID: j.ApplicationID, DisplayName: j.DisplayName}
}

// SetSecrets replaces the synchronization secrets of an app; those with an empty value are left out. Of what is confidential
// the caller passes no value. A job in quarantine because there was nobody to notify is attempted at once if there is now.
func (s *Service) SetSecrets(ctx context.Context, sp uuid.UUID, secrets []KeyValue) error {
	var before []KeyValue
	err := s.editApp(ctx, sp, func(a *App) (*App, error) {
		if a == nil {
			return nil, fmt.Errorf("app %s: %w", sp, ErrNotFound)
		}
		next := *a
		before, next.Secrets = a.Secrets, secrets
		return &next, nil
	}, func(u Unit, a *App) error {
		j := &Job{ServicePrincipalID: sp, DisplayName: a.DisplayName}
		return u.Audit(s.audit(j, ActorOf(ctx), auditSettings, "Update", Audit{Modified: jsonChange("secrets", keysAndSettings(before), keysAndSettings(secrets))}))
	})
	if err != nil {
		return err
	}
	return s.attemptForMail(ctx, sp)
}

// attemptForMail has the jobs of an app attempted that wait for somebody to notify.
func (s *Service) attemptForMail(ctx context.Context, sp uuid.UUID) error {
	jobs, err := s.Jobs(ctx)
	for _, j := range jobs {
		if j.ServicePrincipalID == sp && !s.needsMail(j) {
			err = errors.Join(err, s.insist(ctx, func() error {
				return s.store.Unit(ctx, Fence{JobPK: j.PK, Free: true}, func(u Unit) error { return s.attemptNow(u, j) })
			}))
		}
	}
	return err
}

// attemptNow has a job attempted that waited for somebody to notify and needs nobody any more.
func (s *Service) attemptNow(u Unit, j *Job) error {
	cond, err := u.Condition()
	if err != nil || cond.Quarantine == nil || cond.Quarantine.Code != codeNoMail || s.needsMail(j) {
		return err
	}
	cond.Quarantine.NextAttempt = s.now()
	return u.PutCondition(cond)
}

// keysAndSettings are secrets as the audit log shows them: values of notification settings, and otherwise keys.
func keysAndSettings(secrets []KeyValue) map[string]string {
	shown := map[string]string{}
	for _, s := range secrets {
		if shown[s.Key] = "*"; s.Key == SecretNotifications || s.Key == SecretSkipOutOfScope {
			shown[s.Key] = s.Value
		}
	}
	return shown
}

// jsonChange is a modification of something that is shown as JSON; none if it is the same.
func jsonChange(name string, was, is any) []Modification {
	before, err := json.Marshal(was)
	after, err2 := json.Marshal(is)
	if err != nil || err2 != nil || string(before) == string(after) {
		return nil
	}
	return []Modification{change(name, string(before), string(after))}
}

// change is a modification; "" stands for no value.
func change(name, was, is string) Modification {
	m := Modification{Attribute: name}
	if was != "" {
		m.Old = &was
	}
	if is != "" {
		m.New = &is
	}
	return m
}

// maxSchemaChanges bounds how many changed mappings an audit entry names.
const maxSchemaChanges = 200

// schemaChanges compares two schemas mapping by mapping; what else has changed is one modification.
func schemaChanges(was, is *mapping.Schema) []Modification {
	before, after := mappingTexts(was), mappingTexts(is)
	all := []Modification{change("version", was.Version, is.Version)}
	for name, text := range after {
		if text != before[name] {
			all = append(all, change(name, before[name], text))
		}
	}
	for name, text := range before {
		if _, still := after[name]; !still {
			all = append(all, change(name, text, ""))
		}
	}
	slices.SortFunc(all[1:], func(a, b Modification) int { return strings.Compare(a.Attribute, b.Attribute) })
	if len(all) > maxSchemaChanges {
		all = append(all[:maxSchemaChanges], change("and more", "", fmt.Sprintf("%d changes", len(all)-maxSchemaChanges)))
	}
	return all
}

// mappingTexts are the parts of a schema that decide what is provisioned, as text by their names.
func mappingTexts(s *mapping.Schema) map[string]string {
	texts := map[string]string{}
	put := func(name string, v any) {
		if text, err := json.Marshal(v); err == nil {
			texts[name] = string(text)
		}
	}
	for _, r := range s.Rules {
		for _, m := range r.ObjectMappings {
			where := r.Name + "/" + m.Name
			put(where+": scope", m.Scope)
			put(where+": target object actions", m.FlowTypes)
			put(where+": enabled", m.Enabled)
			for _, a := range m.AttributeMappings {
				put(where+": "+a.TargetAttributeName, a)
			}
		}
	}
	put("directories", s.Directories)
	return texts
}

// ruleID returns the id of the rule that the engine carries out.
func ruleID(s *mapping.Schema) string {
	if len(s.Rules) == 0 {
		return ""
	}
	return s.Rules[0].ID
}

// Pending returns pending records of a job.
func (s *Service) Pending(ctx context.Context, jobPK int64, q PendingQuery) (PendingPage, error) {
	return s.store.PendingRecords(ctx, jobPK, q)
}

// Decide approves or rejects held changes: those of the anchors, or all if anchors is nil. It returns how many. If nothing of
// an anchor is held nothing is decided: ErrNotFound. What is approved is planned anew from the person's latest record, and
// carried out while the job is active.
func (s *Service) Decide(ctx context.Context, jobPK int64, approve bool, anchors []string) (n int, err error) {
	by := ActorOf(ctx)
	verdict, word := VerdictRejected, "Rejected"
	if approve {
		verdict, word = VerdictApproved, "Approved"
	}
	err = s.inLane(ctx, jobPK, func(_ *runner, job *Job, _ *mapping.Program, _ Lane) error {
		return s.store.Unit(ctx, free(job), func(u Unit) (err error) {
			if n, err = u.Judge(PendingHeld, verdict, by.label(), anchors); err != nil || n == 0 {
				return err
			}
			details := []KeyValue{{"Decision", word}, {"Changes", fmt.Sprint(n)}}
			if len(anchors) > 0 {
				details = append(details, KeyValue{"Of", strings.Join(anchors[:min(len(anchors), 50)], ", ")})
			}
			return u.Audit(s.audit(job, by, auditDecide, "Update", Audit{Details: details}))
		})
	})
	return n, err
}

// Connection returns what the job knows of a person with an object: by externalId, or else by the object's id. ErrNotFound.
func (s *Service) Connection(ctx context.Context, jobPK int64, id string) (*Person, error) {
	for range 2 {
		people, err := s.store.People(ctx, jobPK, []Sought{{Anchor: id}})
		if err != nil {
			return nil, err
		}
		if p := people[0]; p != nil && p.ObjectID != "" {
			return p, nil
		}
		anchors, err := s.store.LinkedAnchors(ctx, jobPK, []string{id})
		if err != nil {
			return nil, err
		}
		if id = anchors[0]; id == "" {
			break
		}
	}
	return nil, fmt.Errorf("object connection: %w", ErrNotFound)
}

// Connections returns up to limit people with an object, after a place.
func (s *Service) Connections(ctx context.Context, jobPK, after int64, limit int) ([]KeptPerson, error) {
	return s.store.Connected(ctx, jobPK, after, limit)
}

// Disconnect drops the link between a person and an object, if there is one: nothing is done to the object, and the person's next
// record is matched anew. ErrRunning unless the job is paused or disabled.
func (s *Service) Disconnect(ctx context.Context, jobPK int64, id string) error {
	return s.connect(ctx, jobPK, func(u Unit, job *Job) error {
		p, err := s.Connection(ctx, jobPK, id)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return errors.Join(u.Link(p.Anchor, ""), u.Audit(s.audit(job, ActorOf(ctx), auditConnect, "Delete", Audit{Modified: []Modification{change(p.Anchor, p.ObjectID, "")}})))
	})
}

// Relink links a person the job knows to another object. Errors: ErrRunning, ErrNotFound if there is no such person or object,
// ErrTaken if the object belongs to somebody else in the job.
func (s *Service) Relink(ctx context.Context, jobPK int64, anchor, objectID string) error {
	return s.connect(ctx, jobPK, func(u Unit, job *Job) error {
		found, err := s.target.In(u).Find(ctx, []Query{{ID: objectID}})
		if err != nil {
			return err
		}
		if found[0].Object == nil {
			return fmt.Errorf("object %s: %w", objectID, ErrNotFound)
		}
		objectID = found[0].Object.ID
		taken, err := u.LinkedAnchors([]string{objectID})
		if err != nil {
			return err
		}
		if taken[0] != "" && taken[0] != anchor {
			return fmt.Errorf("object %s is linked to %q: %w", objectID, taken[0], ErrTaken)
		}
		was, err := u.Links([]string{anchor})
		if err != nil {
			return err
		}
		return errors.Join(u.Link(anchor, objectID), u.Audit(s.audit(job, ActorOf(ctx), auditConnect, "Update", Audit{Modified: []Modification{change(anchor, was[0], objectID)}})))
	})
}

// connect changes links of a job that does not run.
func (s *Service) connect(ctx context.Context, jobPK int64, do func(Unit, *Job) error) error {
	return s.inLane(ctx, jobPK, func(_ *runner, job *Job, _ *mapping.Program, _ Lane) error {
		if job.State == JobActive {
			return ErrRunning
		}
		return s.store.Unit(ctx, free(job), func(u Unit) error { return do(u, job) })
	})
}

// ProvisionOnDemand carries out a person's kept record now, in whatever state the job is; no brake applies. subject is the externalId
// or the id of the object that is linked to the person. ErrNotFound if nothing is kept of that person.
func (s *Service) ProvisionOnDemand(ctx context.Context, jobPK int64, subject string) (result *OnDemand, err error) {
	err = s.inLane(ctx, jobPK, func(r *runner, job *Job, program *mapping.Program, lane Lane) error {
		p, err := s.kept(ctx, jobPK, subject)
		if err != nil {
			return err
		}
		b := r.prepareKept(job, program, lane)
		b.ordered = true
		b.addKept(p, 0, nil)
		b.records[0].approved = true
		eachOf(b.records, b.run)
		err = s.store.Unit(ctx, free(job), func(u Unit) error {
			if err := b.apply(ctx, u, r.target(u)); err != nil {
				return err
			}
			swept := &sweep{}
			if _, err := r.sweep(ctx, u, job, b.cycle, resolveRounds, swept); err != nil { // what is left then is the lane's
				return err
			}
			e := &b.records[0].entry
			return errors.Join(swept.end(u, b.cycle, s.now()), r.decided(u, job), u.Audit(s.audit(job, ActorOf(ctx), auditOnDemand, "Update", Audit{Details: []KeyValue{{"SourceAnchor", e.Anchor}, {"Result", string(e.End)}}})))
		})
		if err != nil {
			return fmt.Errorf("provision on demand: %w", err)
		}
		result = &OnDemand{Entry: b.records[0].entry, Rule: ruleID(job.Schema)}
		if len(b.said) > 0 { // where it stands in the log
			result.Entry = b.said[0]
		}
		return nil
	})
	if err == nil {
		s.changed()
	}
	return result, err
}

// kept returns the person that subject names, with the kept record.
func (s *Service) kept(ctx context.Context, jobPK int64, subject string) (*Person, error) {
	anchors, err := s.store.LinkedAnchors(ctx, jobPK, []string{subject})
	if err != nil {
		return nil, err
	}
	for _, a := range []string{subject, anchors[0]} {
		people, err := s.store.People(ctx, jobPK, []Sought{{Anchor: a}})
		if err != nil {
			return nil, err
		}
		if people[0] != nil && len(people[0].Kept) > 0 {
			return people[0], nil
		}
	}
	return nil, fmt.Errorf("kept record of %q: %w", subject, ErrNotFound)
}

// QueryAudit returns entries of the audit log.
func (s *Service) QueryAudit(ctx context.Context, q AuditQuery) (AuditPage, error) {
	return s.store.QueryAudit(ctx, q)
}

// Notices returns up to limit notices of a job, newest first.
func (s *Service) Notices(ctx context.Context, jobPK int64, limit int) ([]Notice, error) {
	return s.store.Notices(ctx, jobPK, limit)
}

// Drain does what there is to do now, on all jobs, and returns when nothing is left at this time. The first error of a step,
// such as a target that does not answer, ends the job's turn and is returned; Drain may be called again. It is for a Service
// that does not Run.
func (s *Service) Drain(ctx context.Context) error {
	errs := []error{s.Refresh(ctx)}
	s.mu.Lock()
	all := slices.SortedFunc(maps.Values(s.runners), func(a, b *runner) int { return cmp.Compare(a.jobPK, b.jobPK) })
	s.mu.Unlock()
	for _, r := range all {
		for worked := true; worked; {
			err := s.insist(ctx, func() (err error) { worked, err = r.work(ctx); return err })
			if err != nil {
				errs = append(errs, err)
				break
			}
		}
	}
	return errors.Join(errs...)
}
