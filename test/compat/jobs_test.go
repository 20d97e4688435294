package compat

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/microsoftgraph/msgraph-sdk-go/auditlogs"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"
	"github.com/microsoftgraph/msgraph-sdk-go/serviceprincipals"
)

// TestGraphSDKJobs takes a job through its life with the Graph SDK.
func TestGraphSDKJobs(t *testing.T) {
	s := start(t)
	cred := s.credential(t)
	s.upload(t, cred, map[string]any{"externalId": "100", "userName": "p0", "displayName": "Person 0", "active": true})
	g, ctx := s.sdk(t, cred), context.Background()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %s", what, text(err))
		}
	}
	sync := g.ServicePrincipals().ByServicePrincipalId(s.env["SP_ID"]).Synchronization()

	template := "API2AAD"
	made := models.NewSynchronizationJob()
	made.SetTemplateId(&template)
	created, err := sync.Jobs().Post(ctx, made, nil)
	must("POST", err)
	if *created.GetSchedule().GetState() != models.DISABLED_SYNCHRONIZATIONSCHEDULESTATE || *created.GetStatus().GetCode() != models.PAUSED_SYNCHRONIZATIONSTATUSCODE {
		t.Errorf("a new job is %v %v", created.GetSchedule().GetState(), created.GetStatus().GetCode())
	}
	if n, err := sync.Jobs().Count().Get(ctx, nil); err != nil || *n != 2 {
		t.Errorf("$count: %v %v", n, err)
	}
	job := sync.Jobs().BySynchronizationJobId(*created.GetId())
	name, value := "InductMissingActive", "Disable"
	setting := models.NewKeyValuePair()
	setting.SetName(&name)
	setting.SetValue(&value)
	change := models.NewSynchronizationJob()
	change.SetSynchronizationJobSettings([]models.KeyValuePairable{setting})
	patched, err := job.Patch(ctx, change, nil)
	must("PATCH", err)
	found := ""
	for _, s := range patched.GetSynchronizationJobSettings() {
		if *s.GetName() == name {
			found = *s.GetValue()
		}
	}
	if found != value {
		t.Errorf("the setting is %q", found)
	}
	_, err = job.Patch(ctx, patched, nil) // what was read, sent back
	must("PATCH of what was read", err)
	must("start", job.Start().Post(ctx, nil))
	must("pause", job.Pause().Post(ctx, nil))
	var scope models.SynchronizationJobRestartScope = models.WATERMARK_SYNCHRONIZATIONJOBRESTARTSCOPE | models.ESCROWS_SYNCHRONIZATIONJOBRESTARTSCOPE | models.QUARANTINESTATE_SYNCHRONIZATIONJOBRESTARTSCOPE
	criteria := models.NewSynchronizationJobRestartCriteria()
	criteria.SetResetScope(&scope)
	restart := serviceprincipals.NewItemSynchronizationJobsItemRestartPostRequestBody()
	restart.SetCriteria(criteria)
	must("restart", job.Restart().Post(ctx, restart, nil))
	if again, err := job.Get(ctx, nil); err != nil || *again.GetSchedule().GetState() != models.ACTIVE_SYNCHRONIZATIONSCHEDULESTATE {
		t.Errorf("after the restart: %v %v", again, err)
	}
	saved := true
	check := serviceprincipals.NewItemSynchronizationJobsItemValidateCredentialsPostRequestBody()
	check.SetUseSavedCredentials(&saved)
	must("validateCredentials", job.ValidateCredentials().Post(ctx, check, nil))

	key, token := models.SECRETTOKEN_SYNCHRONIZATIONSECRET, "hunter2"
	secret := models.NewSynchronizationSecretKeyStringValuePair()
	secret.SetKey(&key)
	secret.SetValue(&token)
	secrets := serviceprincipals.NewItemSynchronizationSecretsPutRequestBody()
	secrets.SetValue([]models.SynchronizationSecretKeyStringValuePairable{secret})
	_, err = sync.Secrets().PutAsSecretsPutResponse(ctx, secrets, nil)
	must("PUT secrets", err)
	root, err := sync.Get(ctx, nil)
	must("GET synchronization", err)
	if all := root.GetSecrets(); len(all) != 1 || *all[0].GetKey() != key || *all[0].GetValue() != "*" {
		t.Errorf("secrets: %d", len(all))
	}
	if n, err := sync.Secrets().Count().Get(ctx, nil); err != nil || *n != 1 {
		t.Errorf("secrets/$count: %v %v", n, err)
	}

	anchor, person := "100", "User"
	subject := models.NewSynchronizationJobSubject()
	subject.SetObjectId(&anchor)
	subject.SetObjectTypeName(&person)
	parameters := models.NewSynchronizationJobApplicationParameters()
	parameters.SetSubjects([]models.SynchronizationJobSubjectable{subject})
	ask := serviceprincipals.NewItemSynchronizationJobsItemProvisionOnDemandPostRequestBody()
	ask.SetParameters([]models.SynchronizationJobApplicationParametersable{parameters})
	told, err := sync.Jobs().BySynchronizationJobId(s.env["JOB_ID"]).ProvisionOnDemand().Post(ctx, ask, nil)
	must("provisionOnDemand", err)
	var run []struct{ Action, EndTime string }
	if err := json.Unmarshal([]byte(*told.GetValue()), &run); err != nil || len(run) != 1 || run[0].Action != "Other" {
		t.Errorf("on demand: %v %s", err, *told.GetValue())
	}
	_, err = job.ProvisionOnDemand().Post(ctx, ask, nil) // the other job does not know the person
	wantStatus(t, "somebody unknown", err, 400)

	must("DELETE", job.Delete(ctx, nil))
	_, err = job.Get(ctx, nil)
	wantStatus(t, "GET of a deleted job", err, 404)
	wantStatus(t, "DELETE of a deleted job", job.Delete(ctx, nil), 404)

	filter := "activityDisplayName eq 'Enable/restart provisioning configuration' and targetResources/any(t:t/id eq '" + s.env["SP_ID"] + "')"
	audits, err := g.AuditLogs().DirectoryAudits().Get(ctx, &auditlogs.DirectoryAuditsRequestBuilderGetRequestConfiguration{
		QueryParameters: &auditlogs.DirectoryAuditsRequestBuilderGetQueryParameters{Filter: &filter}})
	must("directoryAudits", err)
	if v := audits.GetValue(); len(v) != 1 || *v[0].GetResult() != models.SUCCESS_OPERATIONRESULT || v[0].GetInitiatedBy().GetApp() == nil || *v[0].GetTargetResources()[0].GetId() != s.env["SP_ID"] {
		t.Errorf("%d audit entries", len(v))
	} else if d := v[0].GetAdditionalDetails(); *d[1].GetKey() != "ResetScope" || *d[1].GetValue() != "Escrows, Watermark, QuarantineState" {
		t.Errorf("the criteria arrived as %s %s", *d[1].GetKey(), *d[1].GetValue())
	}
}

// text is an error of the SDK with Graph's message.
func text(err error) string {
	var e *odataerrors.ODataError
	if errors.As(err, &e) && e.GetErrorEscaped() != nil {
		return err.Error() + ": " + *e.GetErrorEscaped().GetMessage()
	}
	return err.Error()
}

func wantStatus(t *testing.T, what string, err error, status int) {
	t.Helper()
	var e *odataerrors.ODataError
	if !errors.As(err, &e) || e.ResponseStatusCode != status {
		t.Errorf("%s: %v, want %d", what, err, status)
	}
}
