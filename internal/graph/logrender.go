package graph

import (
	"encoding/json"
	"strings"

	"induct/internal/provision"
)

// Names that stand in every log entry.
const (
	sourceSystemName = "API"
	targetSystemName = "Microsoft Entra ID"
	initiatorName    = "Azure AD Provisioning Service"
	identityType     = "User"
)

// Names of provisioning steps.
const (
	stepImport  = "import"
	stepMatch   = "matching"
	stepScope   = "scoping"
	stepProcess = "processing"
	stepResolve = "referenceResolution"
	stepExport  = "export"
)

// entryObject renders an entry as a provisioningObjectSummary; its sentences are made here, from facts.
func (lc *logContext) entryObject(e *provision.LogEntry) object {
	job := lc.job(e.JobPK)
	o := object{
		{"id", provision.EntryID(e.Seq).String()},
		{"activityDateTime", timestamp(e.Time)},
		{"tenantId", lc.tenant.ID.String()},
		{"jobId", job.ID},
		{"cycleId", provision.CycleID(e.JobPK, e.Cycle).String()},
		{"changeId", provision.ChangeID(e.JobPK, e.Upload, e.Index).String()},
		{"provisioningAction", e.Action.String()},
		{"durationInMilliseconds", e.Duration.Milliseconds()},
		{"servicePrincipal", object{{"id", job.ServicePrincipalID.String()}, {"displayName", job.DisplayName}}},
		{"sourceSystem", object{{"id", systemID(job, false)}, {"displayName", sourceSystemName}, {"details", object{}}}},
		{"targetSystem", object{{"id", systemID(job, true)}, {"displayName", targetSystemName}, {"details", object{
			{"ApplicationId", job.ApplicationID.String()},
			{"ServicePrincipalId", job.ServicePrincipalID.String()},
			{"ServicePrincipalDisplayName", job.DisplayName},
		}}}},
		{"initiatedBy", object{{"id", ""}, {"displayName", initiatorName}, {"initiatorType", "system"}}},
		{"sourceIdentity", object{{"id", e.Anchor}, {"displayName", e.Name}, {"identityType", identityType}, {"details", object{}}}},
		{"targetIdentity", object{{"id", e.ObjectID}, {"displayName", targetName(e)}, {"identityType", identityType}, {"details", targetDetails(e)}}},
		{"provisioningStatusInfo", object{{"status", e.Status.String()}, {"errorInformation", errorInformation(e)}}},
		{"provisioningSteps", steps(e)},
		{"modifiedProperties", objects(e.Modified, modifiedObject)},
	}
	if e.Schema != "" {
		o = append(o, member{"@induct.schemaVersion", e.Schema})
	}
	if e.Upload < 0 {
		o = append(o, member{"@induct.reevaluation", -e.Upload})
	}
	if lc.beta {
		info := object{{"@odata.type", "#microsoft.graph.statusDetails"}, {"status", e.Status.String()}}
		if inner, ok := errorInformation(e).(object); ok {
			info = append(info, inner...)
		}
		o = append(o, member{"action", capital(e.Action.String())}, member{"statusInfo", info})
	}
	return o
}

// systemID is the id of the source or target directory in the job's schema.
func systemID(job *provision.Job, target bool) string {
	if job.Schema == nil {
		return ""
	}
	for _, rule := range job.Schema.Rules {
		name := rule.SourceDirectoryName
		if target {
			name = rule.TargetDirectoryName
		}
		for _, d := range job.Schema.Directories {
			if d.Name == name {
				return d.ID
			}
		}
	}
	return ""
}

// targetName is the display name of the object: the source's, once there is an object.
func targetName(e *provision.LogEntry) string {
	if e.ObjectID == "" {
		return ""
	}
	return orDefault(e.Name, e.ObjectName)
}

func targetDetails(e *provision.LogEntry) object {
	if e.ObjectName == "" {
		return object{}
	}
	return object{{"userPrincipalName", e.ObjectName}}
}

func modifiedObject(m *provision.Modification) object {
	return object{{"displayName", m.Attribute}, {"oldValue", m.Old}, {"newValue", m.New}}
}

// unfulfilled says of ends that nothing was carried out for, where the entry does not say it itself, why that is and what
// can be done.
var unfulfilled = map[provision.End]struct{ code, reason, advice string }{
	provision.EndHeld: {"TooManyDeletes", "The change would disable or delete the account: it is held until it is allowed or rejected",
		"Look through the held changes of the job, then approve or reject them."},
	provision.EndSuperseded: {"Superseded", "A newer record of the person has taken the place of this one", "Nothing to do: the newer record has an entry of its own."},
	provision.EndRejected:   {"Rejected", "The change was held, and was rejected", "Send the person again if it is to be carried out after all."},
	provision.EndPurged:     {"Purged", "The record was thrown out by a restart of the job", "Send the person again."},
}

// reasonOf is the entry's reason, or that of its end.
func reasonOf(e *provision.LogEntry) string { return orDefault(e.Reason, unfulfilled[e.End].reason) }

// errorInformation says why an entry is not a plain success; null if it is one. What is staged has a reason, whatever its status.
func errorInformation(e *provision.LogEntry) any {
	staged := e.Action == provision.ActionStagedDelete
	if e.Status == provision.StatusSuccess && !staged {
		return nil
	}
	reason, category := reasonOf(e), "nonServiceFailure"
	if e.End == provision.EndUnchanged {
		reason = "The state of the entry in both the source and target systems already match. No change to the User '" + e.Anchor + "' currently needs to be made."
	}
	switch {
	case e.Status == provision.StatusSkipped, staged:
		category = "success"
	case serviceFailure(e.Code):
		category = "failure"
	}
	end := unfulfilled[e.End]
	return object{
		{"errorCode", orDefault(e.Code, end.code)},
		{"reason", reason},
		{"additionalDetails", details(e)},
		{"errorCategory", category},
		{"recommendedAction", orNull(orDefault(e.Advice, end.advice))},
	}
}

// details names the attribute that an error is about, and the warnings.
func details(e *provision.LogEntry) any {
	var parts []string
	if e.Attribute != "" && e.Status != provision.StatusSkipped {
		parts = append(parts, "Attribute: "+e.Attribute)
	}
	return orNull(strings.Join(append(parts, e.Warnings...), "; "))
}

// serviceFailure reports whether a code stands for a problem of a service, which passes by itself.
func serviceFailure(code string) bool {
	switch code {
	case "InternalServerError", "InternalError", "WebExceptionProtocolError", "Timeout", "TooManyRequests":
		return true
	}
	return false
}

// step is a provisioningStep.
func step(name, kind string, status provision.Status, description string, details object) object {
	if details == nil {
		details = object{}
	}
	return object{
		{"name", name},
		{"provisioningStepType", kind},
		{"status", status.String()},
		{"description", description},
		{"details", details},
	}
}

// steps composes what happened: import, matching, scoping and export, as far as the record came. Sentences are those of
// the reference's logs.
func steps(e *provision.LogEntry) []object {
	if e.Ref {
		return referenceSteps(e)
	}
	out := []object{importStep(e)}
	switch {
	case e.Code == "ImportSkipped":
		return out
	case e.End == provision.EndSuperseded, e.End == provision.EndRejected, e.End == provision.EndPurged:
		return append(out, skipStep(e, unfulfilled[e.End].code, sentence(e)))
	case e.Status == provision.StatusFailure && e.Action == provision.ActionOther && !aboutMatching(e.Code):
		return append(out, step("EntrySynchronizationError", stepProcess, e.Status, sentence(e), errorDetails(e)))
	case e.Status == provision.StatusFailure && aboutMatching(e.Code):
		return append(out, step("EntryImport", stepMatch, e.Status, sentence(e), errorDetails(e)))
	case outOfScope(e):
		if e.Matched {
			out = append(out, matchStep(e))
		}
		return append(out, scopeStep(e), skipStep(e, "NotEffectivelyEntitled", sentence(e)))
	}
	out = append(out, matchStep(e), scopeStep(e))
	switch {
	case e.Action == provision.ActionStagedDelete:
		return append(out, stagedStep(e))
	case e.End == provision.EndUnchanged:
		return append(out, skipStep(e, "RedundantExport",
			"The state of the user in both the source and target systems already match. No change to the User '"+display(e)+"' currently needs to be made."))
	case e.Status == provision.StatusSkipped:
		return append(out, skipStep(e, orDefault(e.Code, "EntrySynchronizationSkipped"), sentence(e)))
	}
	return append(out, exportStep(e))
}

// aboutMatching reports whether a code says that matching failed.
func aboutMatching(code string) bool {
	return code == "DuplicateTargetEntries" || code == "DuplicateSourceEntries"
}

// outOfScope reports whether the scope decided. The entry then names it in the attribute's place.
func outOfScope(e *provision.LogEntry) bool {
	return e.End == provision.EndSkipped && e.Code == "EntrySynchronizationSkipped" && e.Attribute == "scope"
}

// leftScope reports whether the object loses its account because the person is not in scope any more.
func leftScope(e *provision.LogEntry) bool {
	switch e.Action {
	case provision.ActionDisable, provision.ActionDelete, provision.ActionStagedDelete:
		return e.Attribute == "scope"
	}
	return false
}

func importStep(e *provision.LogEntry) object {
	name, change := "EntryImportAdd", "Add"
	if e.Matched {
		name, change = "EntryImportUpdate", "Update"
	}
	status, description := provision.StatusSuccess, "Received User '"+e.Anchor+"' change of type ("+change+") from API"
	if e.Code == "ImportSkipped" {
		status, description = e.Status, sentence(e)
	}
	sent := make(object, 0, len(e.Source))
	for _, s := range e.Source {
		sent = append(sent, member{s.Name, s.Value})
	}
	return step(name, stepImport, status, description, sent)
}

func matchStep(e *provision.LogEntry) object {
	if e.Matched {
		return step("EntryImport", stepMatch, provision.StatusSuccess, "Retrieved User '"+display(e)+"' from "+targetSystemName, nil)
	}
	return step("EntrySynchronizationAdd", stepMatch, provision.StatusSuccess,
		"User '"+e.Anchor+"' will be created in "+targetSystemName+" (User is active and assigned in API, but no matching User was found in "+targetSystemName+")", nil)
}

func scopeStep(e *provision.LogEntry) object {
	const description = "Determine if User in scope by evaluating against each scoping filter"
	if outOfScope(e) || leftScope(e) {
		result, _ := json.Marshal(map[string]bool{e.Reason: false})
		return step("EntrySynchronizationScoping", stepScope, provision.StatusSkipped, description, object{
			{"Scoping filter evaluation passed", "False"},
			{"ScopeEvaluationResult", string(result)},
		})
	}
	active := "True"
	if e.Action == provision.ActionDisable || sentInactive(e) {
		active = "False"
	}
	return step("EntrySynchronizationScoping", stepScope, provision.StatusSuccess, description, object{
		{"Active in the source system", active},
		{"Assigned to the application", "True"},
		{"Scoping filter evaluation passed", "True"},
		{"ScopeEvaluationResult", "{}"},
	})
}

func sentInactive(e *provision.LogEntry) bool {
	for _, s := range e.Source {
		if s.Name == "active" {
			return strings.EqualFold(s.Value, "false")
		}
	}
	return false
}

func skipStep(e *provision.LogEntry, reason, description string) object {
	return step("EntrySynchronizationSkip", stepExport, provision.StatusSkipped, description, object{{"SkipReason", reason}})
}

// exportStep says what was done to the object, or what was tried.
func exportStep(e *provision.LogEntry) object {
	name, verb, done := "EntryExportUpdate", "update", "updated"
	switch e.Action {
	case provision.ActionCreate:
		name, verb, done = "EntryExportAdd", "create", "created"
	case provision.ActionDisable:
		verb, done = "disable", "disabled"
	case provision.ActionDelete:
		name, verb, done = "EntryExportDelete", "delete", "deleted"
	}
	description := "User '" + display(e) + "' was " + done + " in " + targetSystemName
	if e.Status == provision.StatusFailure {
		description = "Failed to " + verb + " User '" + display(e) + "' in " + targetSystemName
	}
	facts := object{{"ReportableIdentifier", display(e)}}
	if e.Status == provision.StatusFailure {
		facts = append(facts, errorDetails(e)...)
	}
	return step(name, stepExport, e.Status, description, facts)
}

// stagedStep says what waits to be done to the object, as far as the entry tells.
func stagedStep(e *provision.LogEntry) object {
	to := "disabled or deleted"
	for _, m := range e.Modified {
		if m.Attribute == "accountEnabled" {
			to = "disabled"
		}
	}
	return step("EntryExportDelete", stepExport, e.Status, "User '"+display(e)+"' is staged to be "+to+" in "+targetSystemName+": "+sentence(e),
		append(object{{"ReportableIdentifier", display(e)}}, errorDetails(e)...))
}

// referenceSteps composes the steps of an entry about a reference.
func referenceSteps(e *provision.LogEntry) []object {
	to := ""
	for _, m := range e.Modified {
		if m.Attribute == e.Attribute && m.New != nil {
			to = *m.New
		}
	}
	sent := make(object, 0, len(e.Source))
	for _, s := range e.Source {
		sent = append(sent, member{s.Name, s.Value})
	}
	imported := step("EntryImportUpdate", stepImport, provision.StatusSuccess, "Received User '"+e.Anchor+"' change of type (Update) from API", sent)
	switch {
	case e.Status == provision.StatusSuccess:
		return []object{imported,
			step("EntryReferenceResolution", stepResolve, e.Status, "Resolved reference '"+e.Attribute+"' = '"+to+"'", nil), exportStep(e)}
	case to != "":
		return []object{imported,
			step("EntryReferenceResolution", stepResolve, provision.StatusSuccess, "Resolved reference '"+e.Attribute+"' = '"+to+"'", nil), exportStep(e)}
	}
	return []object{imported, step("EntryReferenceResolution", stepResolve, e.Status, sentence(e), errorDetails(e))}
}

func errorDetails(e *provision.LogEntry) object {
	o := object{{"ErrorCode", orDefault(e.Code, unfulfilled[e.End].code)}}
	if e.Attribute != "" {
		o = append(o, member{"Attribute", e.Attribute})
	}
	return o
}

// sentence is the reason, or, if there is none, the code.
func sentence(e *provision.LogEntry) string { return orDefault(reasonOf(e), e.Code) }

// display names the object for a reader.
func display(e *provision.LogEntry) string {
	for _, m := range e.Modified {
		if e.ObjectName == "" && m.Attribute == "userPrincipalName" && m.New != nil {
			return *m.New
		}
	}
	return orDefault(e.ObjectName, e.Anchor)
}
