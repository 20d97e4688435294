package graph

import (
	"strings"
	"testing"
	"time"

	"induct/internal/provision"
)

func TestStatusCode(t *testing.T) {
	began := time.Date(2026, 8, 20, 9, 0, 0, 0, time.UTC)
	steady := provision.Condition{SteadyFirst: began}
	quarantine := provision.Condition{SteadyFirst: began, Quarantine: &provision.Quarantine{Reason: provision.QuarantineException}}
	for _, c := range []struct {
		name  string
		state provision.JobState
		st    provision.JobStatus
		code  string
	}{
		{"new", provision.JobDisabled, provision.JobStatus{}, "Paused"},
		{"paused", provision.JobPaused, provision.JobStatus{FirstCycleEnd: began, Condition: steady}, "Paused"},
		{"paused in quarantine", provision.JobPaused, provision.JobStatus{Condition: quarantine}, "Paused"},
		{"disabled by a long quarantine", provision.JobDisabled, provision.JobStatus{Condition: quarantine}, "Paused"},
		{"started", provision.JobActive, provision.JobStatus{Queued: 50, Oldest: began}, "NotRun"},
		{"first cycle over", provision.JobActive, provision.JobStatus{FirstCycleEnd: began}, "Active"},
		{"steady", provision.JobActive, provision.JobStatus{Condition: steady}, "Active"},
		{"restarted", provision.JobActive, provision.JobStatus{FirstCycleEnd: began, Condition: provision.Condition{Restarted: true}}, "NotRun"},
		{"restarted, everybody re-evaluated", provision.JobActive, provision.JobStatus{FirstCycleEnd: began, Condition: provision.Condition{Restarted: true}, Reevaluation: &provision.Reevaluation{Ended: began}}, "Active"},
		{"restarted, under way", provision.JobActive, provision.JobStatus{FirstCycleEnd: began, Condition: provision.Condition{Restarted: true}, Reevaluation: &provision.Reevaluation{}}, "NotRun"},
		{"restarted, with a queue", provision.JobActive, provision.JobStatus{FirstCycleEnd: began, Queued: 1, Condition: provision.Condition{Restarted: true}, Reevaluation: &provision.Reevaluation{Ended: began}}, "NotRun"},
		{"restarted before anybody was sent", provision.JobActive, provision.JobStatus{Condition: provision.Condition{Restarted: true}, Reevaluation: &provision.Reevaluation{Ended: began}}, "NotRun"},
		{"quarantine", provision.JobActive, provision.JobStatus{FirstCycleEnd: began, Condition: quarantine}, "Quarantine"},
	} {
		w := newWorld(t)
		w.fake.job.State, w.fake.status = c.state, c.st
		j := w.document(jobURL)
		if at(j, "status", "code") != c.code || at(j, "schedule", "state") != string(c.state) {
			t.Errorf("%s: %v %v", c.name, at(j, "status", "code"), j["schedule"])
		}
	}
}

// TestStatus checks that each number of a job stands where it belongs.
func TestStatus(t *testing.T) {
	w := newWorld(t)
	at0 := func(minutes int) time.Time {
		return time.Date(2026, 8, 20, 9, minutes, 0, 0, time.UTC)
	}
	last := &provision.Execution{Cycle: 9, State: provision.ExecutionEntryErrors, Began: at0(1), Ended: at0(2), References: 4, Counts: map[provision.End]int64{
		provision.EndCreated: 1, provision.EndUpdated: 2, provision.EndUnchanged: 3, provision.EndDisabled: 4, provision.EndDeleted: 5, provision.EndSkipped: 6,
		provision.EndFailed: 7, provision.EndRetrying: 8, provision.EndHeld: 9, provision.EndQueued: 1000}}
	bad := &provision.Execution{Cycle: 0, State: provision.ExecutionFailed, Began: at0(3), Ended: at0(3), Code: "Unreachable", Message: "the target does not answer"}
	w.fake.job.State = provision.JobActive
	w.fake.apps[0].Secrets = []provision.KeyValue{{Key: provision.SecretNotifications, Value: `{"DeleteThresholdValue":12}`}}
	w.fake.job.Settings.DeletePercent = 2.5
	w.fake.status = provision.JobStatus{Queued: 11, Oldest: w.now.Add(-90 * time.Second), Users: 70, Enabled: 60, Held: 5, Staged: 3, Retrying: 2,
		TotalCounts: map[provision.End]int64{provision.EndCreated: 40, provision.EndPurged: 2},
		Condition: provision.Condition{Last: bad, LastSuccess: last, SuccessiveFailures: 6, SteadyFirst: at0(4), SteadyLast: at0(5),
			Quarantine: &provision.Quarantine{Reason: provision.QuarantineException, Code: "Unreachable", Message: "m", Actionable: true, SeriesBegan: at0(6), CurrentBegan: at0(7), SeriesCount: 8, NextAttempt: at0(9)},
			Window: provision.Window{Slots: []provision.Slot{
				{Minute: w.now.Unix()/60 - 41, Effects: 100}, {Minute: w.now.Unix()/60 - 40, Effects: 10}, {Minute: w.now.Unix() / 60, Effects: 1}}}}}
	j := w.document(jobURL)
	s := j["status"].(m)
	for _, c := range []struct {
		got  any
		want any
	}{
		{s["countSuccessiveCompleteFailures"], 6.0},
		{at(s, "lastExecution", "state"), "Failed"},
		{at(s, "lastExecution", "error", "code"), "Unreachable"},
		{at(s, "lastSuccessfulExecution", "state"), "EntryLevelErrors"},
		{at(s, "lastSuccessfulExecution", "error"), nil},
		{at(s, "lastSuccessfulExecution", "activityIdentifier"), provision.CycleID(7, 9).String()},
		{at(s, "lastSuccessfulExecution", "countImported"), 45.0},
		{at(s, "lastSuccessfulExecution", "countImportedDeltas"), 45.0},
		{at(s, "lastSuccessfulExecution", "countEntitled"), 39.0},
		{at(s, "lastSuccessfulExecution", "countEntitledForProvisioning"), 39.0},
		{at(s, "lastSuccessfulExecution", "countEscrowed"), 15.0},
		{at(s, "lastSuccessfulExecution", "countExported"), 12.0},
		{at(s, "lastSuccessfulExecution", "countImportedReferenceDeltas"), 4.0},
		{at(s, "lastSuccessfulExecution", "timeEnded"), "2026-08-20T09:02:00Z"},
		{s["lastSuccessfulExecutionWithExports"], nil},
		{at(s, "quarantine", "reason"), "EncounteredQuarantineException"},
		{at(s, "quarantine", "seriesBegan"), "2026-08-20T09:06:00Z"},
		{at(s, "quarantine", "currentBegan"), "2026-08-20T09:07:00Z"},
		{at(s, "quarantine", "nextAttempt"), "2026-08-20T09:09:00Z"},
		{at(s, "quarantine", "seriesCount"), 8.0},
		{at(s, "quarantine", "error", "tenantActionable"), true},
		{s["steadyStateFirstAchievedTime"], "2026-08-20T09:04:00Z"},
		{s["steadyStateLastAchievedTime"], "2026-08-20T09:05:00Z"},
		{at(s, "progress", 0, "completedUnits"), 49.0},
		{at(s, "progress", 0, "totalUnits"), 60.0},
		{at(s, "synchronizedEntryCountByType", 0, "value"), 70.0},
		{at(j, "@induct.queue", "records"), 11.0},
		{at(j, "@induct.queue", "ageSeconds"), 90.0},
		{at(j, "@induct.pending", "held"), 5.0},
		{at(j, "@induct.pending", "staged"), 3.0},
		{at(j, "@induct.pending", "retrying"), 2.0},
		{at(j, "@induct.totals", "purged"), 2.0},
		{j["@induct.enabled"], 60.0},
		{at(j, "@induct.brake", "threshold"), 12.0},
		{at(j, "@induct.brake", "percent"), 2.5},
		{at(j, "@induct.brake", "executed"), 11.0},
	} {
		if c.got != c.want {
			t.Errorf("%v, want %v\n%s", c.got, c.want, encode(j))
		}
	}
}

// TestTroubleshootingURL follows the link of a job in trouble.
func TestTroubleshootingURL(t *testing.T) {
	w := logWorld(t)
	link := func(cond provision.Condition) (path string) {
		w.fake.status.Condition = cond
		url, _ := at(w.document(jobURL), "status", "troubleshootingUrl").(string)
		return strings.TrimPrefix(url, "https://graph.contoso.example")
	}
	if url := link(provision.Condition{Last: &provision.Execution{State: provision.ExecutionSucceeded}}); url != "" {
		t.Errorf("no trouble: %s", url)
	}
	if got := strings.Join(w.anchors(link(provision.Condition{Last: &provision.Execution{State: provision.ExecutionEntryErrors}})), " "); got != "7 6 2" {
		t.Errorf("failures: %s", got)
	}
	w.fake.pending = []provision.Pending{{Place: 1, Kind: provision.PendingHeld, Anchor: "a"}, {Place: 2, Kind: provision.PendingHeld, Anchor: "b", Staged: true}}
	if p := w.page(link(provision.Condition{Quarantine: &provision.Quarantine{Reason: provision.QuarantineDeletes}})); len(p.Value) != 1 || p.Value[0]["externalId"] != "b" {
		t.Errorf("held changes: %v", p.Value)
	}
}
