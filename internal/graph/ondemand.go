package graph

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// onDemandKey is the key of every answer of provisionOnDemand, as documented.
const onDemandKey = "Microsoft.Identity.Health.CPP.Common.DataContracts.SyncFabric.StatusInfo"

// onDemandRequest is the body of provisionOnDemand: synchronizationJobApplicationParameters.
type onDemandRequest struct {
	Parameters []struct {
		RuleID   string            `json:"ruleId"`
		Subjects []onDemandSubject `json:"subjects"`
	} `json:"parameters"`
}

// onDemandSubject is a synchronizationJobSubject.
type onDemandSubject struct {
	ObjectID       string `json:"objectId"`
	ObjectTypeName string `json:"objectTypeName"`
	Links          *struct {
		Members []onDemandSubject `json:"members"`
		Owners  []onDemandSubject `json:"owners"`
	} `json:"links"`
}

// provisionOnDemand provisions one person now, from what was sent last.
func (c *call) provisionOnDemand() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	var r onDemandRequest
	if err := decode(body, &r); err != nil {
		return err
	}
	job, err := c.job()
	if err != nil {
		return err
	}
	subject, err := r.subject(job.Schema)
	if err != nil {
		return err
	}
	done, err := c.s.Service.ProvisionOnDemand(c.r.Context(), job.PK, subject)
	if isNotFound(err) {
		return badRequest("Nobody is known as '%s': objectId is the externalId of a person who was sent to this job, or the id of the account that is linked to one. Send the person with bulkUpload first.", clip(subject))
	}
	if err != nil {
		return err
	}
	lc, err := c.logContext()
	if err != nil {
		return err
	}
	var value bytes.Buffer
	if err := appendJSON(&value, []object{lc.onDemandObject(done)}); err != nil {
		return err
	}
	return c.entity("microsoft.graph.stringKeyStringValuePair", object{{"key", onDemandKey}, {"value", value.String()}})
}

// subject returns who is to be provisioned: one person, by a rule of the job.
func (r *onDemandRequest) subject(schema *mapping.Schema) (string, error) {
	if len(r.Parameters) != 1 || len(r.Parameters[0].Subjects) != 1 {
		return "", badRequest(`One person is provisioned at a time: send {"parameters": [{"ruleId": "…", "subjects": [{"objectId": "…", "objectTypeName": "User"}]}]} with one subject.`)
	}
	p := &r.Parameters[0]
	s := &p.Subjects[0]
	var rules, types []string
	if schema != nil {
		for i := range schema.Rules {
			rules = append(rules, schema.Rules[i].ID)
			for j := range schema.Rules[i].ObjectMappings {
				types = append(types, schema.Rules[i].ObjectMappings[j].SourceObjectName)
			}
		}
	}
	is := func(name string) func(string) bool {
		return func(known string) bool { return strings.EqualFold(name, known) }
	}
	switch {
	case p.RuleID != "" && !slices.ContainsFunc(rules, is(p.RuleID)):
		return "", badRequest("There is no synchronization rule '%s' in the job's schema: ruleId is %s.", clip(p.RuleID), strings.Join(rules, " or "))
	case s.ObjectTypeName != "" && !strings.EqualFold(s.ObjectTypeName, identityType) && !slices.ContainsFunc(types, is(s.ObjectTypeName)):
		return "", badRequest("objectTypeName is '%s': people are provisioned, which are of the type %s.", clip(s.ObjectTypeName), strings.Join(types, " or "))
	case s.Links != nil && len(s.Links.Members)+len(s.Links.Owners) > 0:
		return "", badRequest("The subject has members or owners, and is no group: leave out links.")
	case strings.TrimSpace(s.ObjectID) == "":
		return "", badRequest("The subject has no objectId: it is the externalId of a person who was sent to this job, or the id of the account that is linked to one.")
	}
	return strings.TrimSpace(s.ObjectID), nil
}

// onDemandObject is what an on-demand run says of itself: the log entry, in the words of that run.
func (lc *logContext) onDemandObject(d *provision.OnDemand) object {
	e := &d.Entry
	entry := lc.entryObject(e)
	run := steps(e)
	for i := range run {
		run[i] = append(run[i], member{"timestamp", timestamp(e.Time)})
		for k := range run[i] {
			switch m := &run[i][k]; m.name {
			case "provisioningStepType":
				m.name, m.value = "type", capital(m.value.(string))
			case "status":
				m.value = capital(m.value.(string))
			}
		}
	}
	return object{
		{"action", capital(e.Action.String())},
		{"changeId", entry.get("changeid")},
		{"logEntryId", entry.get("id")},
		{"ruleId", d.Rule},
		{"startTime", timestamp(e.Time.Add(-e.Duration))},
		{"endTime", timestamp(e.Time)},
		{"durationInMilliseconds", e.Duration.Round(time.Millisecond).Milliseconds()},
		{"reportableIdentifier", display(e)},
		{"statusInfo", object{{"status", capital(e.Status.String())}, {"errorInformation", errorInformation(e)}}},
		{"modifiedProperties", entry.get("modifiedproperties")},
		{"provisioningSteps", run},
		{"sourceIdentity", entry.get("sourceidentity")},
		{"sourceSystem", entry.get("sourcesystem")},
		{"targetIdentity", entry.get("targetidentity")},
		{"targetSystem", entry.get("targetsystem")},
	}
}
