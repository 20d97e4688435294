package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// What is read of the service's resources: Graph's, and those of docs/graph-extensions.md. Annotations are pointers, which are
// nil at a service that is not Induct.

// jobResource is a synchronizationJob.
type jobResource struct {
	ID         string `json:"id"`
	TemplateID string `json:"templateId"`
	Schedule   struct {
		State string `json:"state"`
	} `json:"schedule"`
	Status struct {
		Code       string         `json:"code"`
		Last       *jobExecution  `json:"lastExecution"`
		Quarantine *jobQuarantine `json:"quarantine"`
	} `json:"status"`
	Settings []jobSetting `json:"synchronizationJobSettings"`
	Queue    *struct {
		Records int64      `json:"records"`
		Oldest  *time.Time `json:"oldestDateTime"`
		Age     int64      `json:"ageSeconds"`
	} `json:"@induct.queue"`
	Pending *struct {
		Held     int64 `json:"held"`
		Staged   int64 `json:"staged"`
		Retrying int64 `json:"retrying"`
	} `json:"@induct.pending"`
	Totals  map[string]int64 `json:"@induct.totals"`
	Enabled *int64           `json:"@induct.enabled"`
	Brake   *struct {
		Threshold *int64   `json:"threshold"`
		Percent   *float64 `json:"percent"`
		Executed  int64    `json:"executed"`
		Window    string   `json:"window"`
	} `json:"@induct.brake"`
	Reevaluation *struct {
		Began     *time.Time `json:"beganDateTime"`
		Ended     *time.Time `json:"endedDateTime"`
		Evaluated int64      `json:"evaluated"`
	} `json:"@induct.reevaluation"`
}

// ours reports whether the service is an Induct.
func (r *jobResource) ours() bool { return r.Queue != nil }

type jobExecution struct {
	State    string     `json:"state"`
	Began    *time.Time `json:"timeBegan"`
	Ended    *time.Time `json:"timeEnded"`
	Imported int64      `json:"countImported"`
	Exported int64      `json:"countExported"`
	Escrowed int64      `json:"countEscrowed"`
	Error    *jobError  `json:"error"`
}

type jobQuarantine struct {
	Began       *time.Time `json:"currentBegan"`
	NextAttempt *time.Time `json:"nextAttempt"`
	Reason      string     `json:"reason"`
	Error       *jobError  `json:"error"`
}

type jobError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type jobSetting struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

// pendingResource is a held change or an escrow.
type pendingResource struct {
	ExternalID  string     `json:"externalId"`
	DisplayName string     `json:"displayName"`
	Action      string     `json:"action"`
	TargetName  string     `json:"targetName"`
	TargetID    string     `json:"targetId"`
	Upload      *int64     `json:"uploadNumber"`
	Since       *time.Time `json:"sinceDateTime"`
	Staged      bool       `json:"staged"`
	Verdict     string     `json:"verdict"`
	VerdictBy   string     `json:"verdictBy"`
	Reason      string     `json:"reason"`
	Attempts    int64      `json:"attempts"`
	NextAttempt *time.Time `json:"nextAttemptDateTime"`
	Error       *struct {
		Code      string `json:"code"`
		Attribute string `json:"attribute"`
		Reason    string `json:"reason"`
		Advice    string `json:"recommendedAction"`
	} `json:"error"`
}

// person names who it is about.
func (p *pendingResource) person() string { return personName(p.ExternalID, p.DisplayName) }

func personName(id, name string) string {
	if name == "" || name == id {
		return id
	}
	return id + " (" + name + ")"
}

// logResource is a provisioningObjectSummary.
type logResource struct {
	ID       string      `json:"id"`
	Time     *time.Time  `json:"activityDateTime"`
	ChangeID string      `json:"changeId"`
	Action   string      `json:"provisioningAction"`
	Source   logIdentity `json:"sourceIdentity"`
	Target   logIdentity `json:"targetIdentity"`
	Info     struct {
		Status string `json:"status"`
		Error  *struct {
			Code    string `json:"errorCode"`
			Reason  string `json:"reason"`
			Details string `json:"additionalDetails"`
			Advice  string `json:"recommendedAction"`
		} `json:"errorInformation"`
	} `json:"provisioningStatusInfo"`
	Steps        []logStep     `json:"provisioningSteps"`
	Modified     []logModified `json:"modifiedProperties"`
	Reevaluation *int64        `json:"@induct.reevaluation"`
}

type logIdentity struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
	Details     struct {
		UserPrincipalName string `json:"userPrincipalName"`
	} `json:"details"`
}

// account names an account for a reader.
func (i *logIdentity) account() string {
	return cmp.Or(i.Details.UserPrincipalName, i.DisplayName, i.ID)
}

type logStep struct {
	Name        string                     `json:"name"`
	Type        string                     `json:"type"` // of an on-demand run
	Status      string                     `json:"status"`
	Description string                     `json:"description"`
	Details     map[string]json.RawMessage `json:"details"`
}

type logModified struct {
	Name string  `json:"displayName"`
	Old  *string `json:"oldValue"`
	New  *string `json:"newValue"`
}

func (m logModified) String() string { return m.Name + ": " + quoted(m.Old) + " → " + quoted(m.New) }

func quoted(s *string) string {
	if s == nil {
		return "nothing"
	}
	return `"` + *s + `"`
}

// is compares the status of an entry, in any case.
func (e *logResource) is(status string) bool { return strings.EqualFold(e.Info.Status, status) }

// outcome says in a word or two what became of the change.
func (e *logResource) outcome() string {
	code := ""
	if e.Info.Error != nil {
		code = e.Info.Error.Code
	}
	switch action := strings.ToLower(e.Action); {
	case e.is("failure") && action != "other":
		return "could not " + action
	case e.is("failure"):
		return "failed"
	case action == "stageddelete":
		return "held for a verdict"
	case e.unchanged():
		return "unchanged"
	case e.is("skipped") && (code == "Superseded" || code == "Rejected" || code == "Purged"):
		return strings.ToLower(code)
	case e.is("skipped"):
		return "skipped"
	case e.is("warning"):
		return "warning"
	case action == "other":
		return "processed"
	}
	return strings.TrimSuffix(strings.ToLower(e.Action), "e") + "ed"
}

// unchanged reports whether the account was as it was to be already.
func (e *logResource) unchanged() bool {
	if !e.is("skipped") {
		return false
	}
	if e.Info.Error != nil && e.Info.Error.Code == "RedundantExport" {
		return true
	}
	for _, s := range e.Steps {
		if string(s.Details["SkipReason"]) == `"RedundantExport"` {
			return true
		}
	}
	return false
}

// why is the reason of an entry; "" for a plain success.
func (e *logResource) why() string {
	switch {
	case strings.EqualFold(e.Action, "stagedDelete") && e.Info.Error == nil:
		return "more accounts would have been disabled or deleted than the job's brake lets pass"
	case e.Info.Error == nil || e.unchanged():
		return ""
	}
	return cmp.Or(e.Info.Error.Reason, e.Info.Error.Details, e.Info.Error.Code)
}

// advice is what the entry says is to be done.
func (e *logResource) advice() string {
	if e.Info.Error == nil || e.unchanged() {
		return ""
	}
	return e.Info.Error.Advice
}

// auditResource is a directoryAudit.
type auditResource struct {
	Time      *time.Time `json:"activityDateTime"`
	Activity  string     `json:"activityDisplayName"`
	Result    string     `json:"result"`
	Reason    string     `json:"resultReason"`
	Initiator struct {
		User *auditActor `json:"user"`
		App  *auditActor `json:"app"`
	} `json:"initiatedBy"`
	Targets []struct {
		Modified []logModified `json:"modifiedProperties"`
	} `json:"targetResources"`
	Details []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"additionalDetails"`
}

type auditActor struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
}

func (a *auditResource) actor() string {
	for _, who := range []*auditActor{a.Initiator.User, a.Initiator.App} {
		if who != nil && who.DisplayName+who.ID != "" {
			return cmp.Or(who.DisplayName, who.ID)
		}
	}
	return "-"
}

// connectionResource is an objectConnection.
type connectionResource struct {
	ExternalID  string `json:"sourceAnchor"`
	Target      string `json:"targetAnchor"`
	DisplayName string `json:"displayName"`

	raw json.RawMessage // as it was sent
}

// MarshalJSON prints the resource as it was sent.
func (c *connectionResource) MarshalJSON() ([]byte, error) { return c.raw, nil }

func parseConnection(raw json.RawMessage) (*connectionResource, error) {
	c := connectionResource{raw: raw}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("the connection: the service's answer is not what was expected: %w", err)
	}
	return &c, nil
}
