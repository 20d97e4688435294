package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// job runs a command of induct job.
func (p *process) job(t *testing.T, args ...string) result {
	t.Helper()
	return execute(t, append(append([]string{"job"}, args...), "--credentials", p.envFile)...)
}

// mustJob is job for what is to go well; it returns what was printed.
func (p *process) mustJob(t *testing.T, args ...string) string {
	t.Helper()
	r := p.job(t, args...)
	if r.code != 0 {
		t.Fatalf("induct job %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// jobStatus is what is read of induct job status --json.
type jobStatus struct {
	Status struct {
		Code       string
		Quarantine *struct {
			Reason string
			Error  struct{ Code string }
		}
	}
	Pending struct{ Held, Staged, Retrying int } `json:"@induct.pending"`
	Queue   struct{ Records int }                `json:"@induct.queue"`
	Totals  map[string]int                       `json:"@induct.totals"`
}

func (p *process) status(t *testing.T) (s jobStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(p.mustJob(t, "status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// becomes waits until the job's status is as it is to be.
func (p *process) becomes(t *testing.T, what string, is func(jobStatus) bool) jobStatus {
	t.Helper()
	for range 200 {
		if s := p.status(t); is(s) {
			return s
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("the job does not become %s: %+v", what, p.status(t))
	return jobStatus{}
}

// says checks that a text has each of the words in it.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not stand in\n%s", w, text)
		}
	}
}

// staff writes n people who are active or not, and a mapping for them.
func staff(t *testing.T, n int, active bool) (people, mapping string) {
	t.Helper()
	dir := t.TempDir()
	people, mapping = filepath.Join(dir, "people.csv"), filepath.Join(dir, "mapping.json")
	b := bytes.NewBufferString("Number;Name;Active\n")
	for i := range n {
		fmt.Fprintf(b, "%d;Person %d;%t\n", 4700+i, i, active)
	}
	write(t, people, b.Bytes())
	write(t, mapping, []byte(`{"attributes":{"externalId":"Number","userName":{"column":"Number"},"displayName":"Name","active":"Active"}}`))
	return people, mapping
}

// sendStaff uploads them and returns how that ended.
func (p *process) sendStaff(t *testing.T, n int, active bool, args ...string) (r result, people string) {
	t.Helper()
	people, mapping := staff(t, n, active)
	return execute(t, append([]string{"upload", people, "-m", mapping, "--credentials", p.envFile}, args...)...), people
}

// Ten disables under a threshold of three are held; who uploads them is told and not kept waiting, people decide, and each
// record has its end.
func TestJobHeldAndDecided(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	says(t, p.mustJob(t, "settings", "QuarantineTooManyDeletesThreshold=3"), "QuarantineTooManyDeletesThreshold", "  3\n")
	if r, _ := p.sendStaff(t, 10, true, "--until", "settled"); r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := p.job(t, "status", "--check"); r.code != 0 {
		t.Errorf("all is well: exit code %d\n%s", r.code, r.stdout)
	}
	r, people := p.sendStaff(t, 10, false, "--until", "settled")
	if r.code != 2 {
		t.Errorf("held: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	says(t, r.stdout, "Held until somebody decides: 10 rows", "induct job held", "4709")
	for _, file := range []string{people + ".failed.csv", people + ".induct-upload"} {
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", file, err)
		}
	}

	if r := p.job(t, "status", "--check"); r.code != 3 {
		t.Errorf("quarantine: exit code %d\n%s", r.code, r.stdout)
	} else {
		says(t, r.stdout, "TooManyDeletes", "10, of them 10 staged", "stops at more than 3", "induct job approve", "next attempt")
	}
	if held := strings.Split(strings.TrimSpace(p.mustJob(t, "held", "--staged", "--json")), "\n"); len(held) != 10 {
		t.Errorf("%d changes are held", len(held))
	}
	says(t, p.mustJob(t, "held"), "PERSON", "4703 (Person 3)", "disable", "4703@induct.example")
	says(t, p.mustJob(t, "explain", "4703"), "created: 4703@induct.example", "held for a verdict", "a disable is held since", "induct job reject 4703")
	if r := p.job(t, "approve", "4700", "9999"); r.code != 1 {
		t.Errorf("somebody of whom nothing is held: exit code %d", r.code)
	} else {
		says(t, r.stderr, "nothing was decided", "induct job held")
	}
	says(t, p.mustJob(t, "approve", "4700", "4701"), "2 changes approved", "Others wait for a verdict")
	says(t, p.mustJob(t, "reject", "--all"), "8 changes rejected")

	s := p.becomes(t, "active", func(s jobStatus) bool { return s.Status.Quarantine == nil && s.Pending.Held == 0 })
	sum := 0
	for _, n := range s.Totals {
		sum += n
	}
	if s.Totals["created"] != 10 || s.Totals["disabled"] != 2 || s.Totals["rejected"] != 8 || sum != 20 {
		t.Errorf("%v of 20 records", s.Totals)
	}
	c := p.client(t)
	type account struct {
		EmployeeID     string
		AccountEnabled bool
	}
	for _, a := range list[account](t, c, c.graph+"/users"+query("$select", "employeeId,accountEnabled", "$top", "100")) {
		if approved := a.EmployeeID == "4700" || a.EmployeeID == "4701"; a.AccountEnabled == approved {
			t.Errorf("%s: enabled is %t", a.EmployeeID, a.AccountEnabled)
		}
	}
	says(t, p.mustJob(t, "explain", "4701"), "disabled: 4701@induct.example", `accountEnabled: "True" → "False"`)
	says(t, p.mustJob(t, "explain", "4705"), "rejected", "because: Rejected by", "what to do:")
	says(t, p.mustJob(t, "log", "--person", "4701"), "created", "held for a verdict", "disabled")
	says(t, p.mustJob(t, "log", "--status", "failure"), "no such entries")
	says(t, p.mustJob(t, "audit"), "Decision: Approved; Changes: 2; Of: 4700, 4701", "Decision: Rejected; Changes: 8", "Quarantine")
	says(t, p.mustJob(t, "run", "4702"), "Import", "Matching", "Export", "disabled")
	if r := p.job(t, "status", "--check"); r.code != 0 {
		t.Errorf("all is decided: exit code %d\n%s", r.code, r.stdout)
	}
}

// A job with nobody to notify goes into quarantine when it starts, says the way out, and works again once somebody is named; the
// app's other secrets stay.
func TestJobNotify(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	c := p.client(t)
	secrets := c.graph + "/servicePrincipals/" + p.env["SP_ID"] + "/synchronization/secrets"
	body := []byte(`{"value":[{"key":"BaseAddress","value":"https://hr.corp.example"},{"key":"Password","value":"s3cr3t"},
		{"key":"SyncNotificationSettings","value":"{\"Enabled\":false,\"DeleteThresholdEnabled\":true,\"DeleteThresholdValue\":77}"}]}`)
	if a, err := c.do(t.Context(), http.MethodPut, secrets, map[string]string{"Content-Type": "application/json"}, body); err != nil || a.status != 204 {
		t.Fatal(err, a.status, string(a.body))
	}
	p.mustJob(t, "pause")
	p.mustJob(t, "settings", "InductRunWithoutNotificationMail=False")
	says(t, p.mustJob(t, "start"), "It is in quarantine", "induct job notify ADDRESS")
	if s := p.status(t); s.Status.Code != "Quarantine" || s.Status.Quarantine.Error.Code != "NotificationEmailMissing" {
		t.Errorf("%+v", s.Status)
	}
	says(t, p.mustJob(t, "notify"), "Nobody gets mail")
	says(t, p.mustJob(t, "notify", "hr-it@corp.example", "on-call@corp.example"), "hr-it@corp.example, on-call@corp.example")
	p.becomes(t, "active", func(s jobStatus) bool { return s.Status.Quarantine == nil })
	type secret struct{ Key, Value string }
	got := map[string]string{}
	for _, s := range list[secret](t, c, secrets) {
		got[s.Key] = s.Value
	}
	if len(got) != 3 || got["BaseAddress"] != "https://hr.corp.example" || got["Password"] != "*" {
		t.Errorf("the secrets are %v", got)
	}
	says(t, got["SyncNotificationSettings"], `"DeleteThresholdValue":77`, `"Recipients":"hr-it@corp.example;on-call@corp.example"`, `"Enabled":true`)
	says(t, p.mustJob(t, "notify", "--nobody", "--json"), `{"recipients":[]}`)
}

// A restart asks before it throws the queue out, and says what it has thrown out.
func TestJobRestart(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	says(t, p.mustJob(t, "pause"), "The job is paused")
	if r, _ := p.sendStaff(t, 120, true, "--until", "accepted"); r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	says(t, p.mustJob(t, "status"), "Paused", "120 records, the oldest since", "induct job start")
	if r := p.job(t, "restart"); r.code != 2 {
		t.Errorf("nobody can be asked: exit code %d", r.code)
	} else {
		says(t, r.stderr, "120 records now", "--yes", "nothing was done")
	}
	if s := p.status(t); s.Queue.Records != 120 || s.Status.Code != "Paused" {
		t.Errorf("it was done all the same: %+v", s)
	}
	if r := p.job(t, "explain", "4700"); r.code != 1 {
		t.Errorf("exit code %d", r.code)
	} else {
		says(t, r.stderr, "nothing is known", "120 records wait in the queue")
	}
	says(t, p.mustJob(t, "restart", "--yes"), "Purged: 120 records of 3 uploads", "send these people again")
	if s := p.status(t); s.Queue.Records != 0 || s.Totals["purged"] != 120 {
		t.Errorf("%+v", s)
	}
	says(t, p.mustJob(t, "restart", "--yes", "--scope", "quarantinestate"), "(QuarantineState)", "nothing was purged")
	says(t, p.mustJob(t, "restart", "--scope", "none", "--json"), `{"resetScope":"None","purgedUploads":0,"purgedRecords":0}`)
}

// Links are shown, dropped and changed.
func TestJobConnection(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	p.sendStaff(t, 2, true, "--until", "settled")
	type connection struct{ SourceAnchor, TargetAnchor string }
	var first, second connection
	for id, into := range map[string]*connection{"4700": &first, "4701": &second} {
		if err := json.Unmarshal([]byte(p.mustJob(t, "connection", "get", id, "--json")), into); err != nil || into.TargetAnchor == "" {
			t.Fatal(err, into)
		}
	}
	says(t, p.mustJob(t, "connection", "get", first.TargetAnchor), "4700 (Person 0)")
	if r := p.job(t, "connection", "delete", "4700"); r.code != 1 {
		t.Errorf("while the job runs: exit code %d", r.code)
	} else {
		says(t, r.stderr, "induct job pause")
	}
	p.mustJob(t, "pause")
	if r := p.job(t, "connection", "relink", "4700", second.TargetAnchor); r.code != 1 {
		t.Errorf("somebody else's account: exit code %d", r.code)
	}
	says(t, p.mustJob(t, "connection", "delete", "4701"), "not linked to the account "+second.TargetAnchor)
	says(t, p.mustJob(t, "connection", "relink", "4700", second.TargetAnchor), second.TargetAnchor)
	if r := p.job(t, "connection", "get", "4701"); r.code != 1 {
		t.Errorf("no link: exit code %d", r.code)
	} else {
		says(t, r.stderr, "linked to no account")
	}
	says(t, p.mustJob(t, "start"), "The job is started")
}

// A command line that is wrong ends with exit code 2 and says what is right.
func TestJobUsage(t *testing.T) {
	tests := map[string]struct {
		args  []string
		words []string
	}{
		"no such command":   {[]string{"aprove"}, []string{"did you mean approve"}},
		"no such flag":      {[]string{"status", "--chek"}, []string{"unknown flag", "induct job status --help"}},
		"nobody":            {[]string{"approve"}, []string{"--all", "induct job held"}},
		"all and somebody":  {[]string{"reject", "4711", "--all"}, []string{"not both"}},
		"an empty id":       {[]string{"approve", ""}, []string{"empty"}},
		"scope":             {[]string{"restart", "--scope", "Everything"}, []string{"Everything", "ConnectorDataStore"}},
		"setting":           {[]string{"settings", "Threshold"}, []string{"NAME=VALUE"}},
		"address":           {[]string{"notify", "a@corp.example;b@corp.example"}, []string{"not one mail address"}},
		"status":            {[]string{"log", "--status", "bad"}, []string{"success, failure, skipped, warning"}},
		"since":             {[]string{"log", "--since", "yesterday"}, []string{"36h"}},
		"upload":            {[]string{"log", "--upload", "7"}, []string{"not an upload's id"}},
		"person":            {[]string{"explain"}, []string{"externalId"}},
		"watch and check":   {[]string{"status", "--watch", "--check"}, []string{"not both"}},
		"no credentials":    {[]string{"status", "--graph", "http://127.0.0.1:1", "--sp", "x", "--job", "y"}, []string{"credentials are missing", "--credentials FILE"}},
		"nothing":           {[]string{"held"}, []string{"Graph URL is missing"}},
		"connection of two": {[]string{"connection", "get", "1", "2"}, []string{"induct job connection get --help"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"job"}, test.args...)
			if !strings.Contains(name, "credentials") && name != "nothing" {
				args = append(args, "--graph", "http://127.0.0.1:1", "--sp", "x", "--job", "y", "--authority", "http://127.0.0.1:1/t", "--managed-identity")
			}
			r := execute(t, args...)
			if r.code != 2 || strings.Contains(r.stderr, "goroutine ") {
				t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			says(t, r.stderr, test.words...)
		})
	}
}

// A client without the permission is told which it needs, and no secret shows anywhere.
func TestJobRefused(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	t.Setenv("ACCESS_TOKEN", "s3cr3t-token")
	r := execute(t, "job", "status", "--endpoint", p.env["GRAPH_BASE"]+"/servicePrincipals/"+p.env["SP_ID"]+"/synchronization/jobs/"+p.env["JOB_ID"])
	if r.code != 1 || strings.Contains(r.stdout+r.stderr, "s3cr3t") {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	says(t, r.stderr, "reading the job", "401")
	secret := p.env["CLIENT_SECRET"]
	for _, args := range [][]string{{"status"}, {"audit"}, {"settings"}, {"notify"}, {"log"}} {
		if r := p.job(t, args...); r.code != 0 || strings.Contains(r.stdout+r.stderr, secret) || strings.Contains(r.stdout+r.stderr, "eyJ") {
			t.Errorf("induct job %s: exit code %d\n%s%s", args, r.code, r.stdout, r.stderr)
		}
	}
}

// What scripts rely on in the output of --json is as it was; everything else in it is the service's own.
func TestJobJSON(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	p.mustJob(t, "settings", "QuarantineTooManyDeletesThreshold=0")
	p.sendStaff(t, 2, true, "--until", "settled")
	r, _ := p.sendStaff(t, 2, false, "--until", "settled", "--json")
	var accepted struct{ UploadID string }
	for line := range strings.Lines(r.stdout) {
		if strings.Contains(line, `"event":"accepted"`) && json.Unmarshal([]byte(line), &accepted) != nil {
			t.Fatal(line)
		}
	}
	jobMembers := []string{"id", "schedule", "@induct.queue", "@induct.pending", "@induct.totals", "@induct.brake"}
	logMembers := []string{"activityDateTime", "provisioningAction", "sourceIdentity", "provisioningStatusInfo", "modifiedProperties"}
	var b strings.Builder
	for _, cmd := range []struct{ args, members []string }{ // without members the whole object is ours
		{[]string{"settings", "InductQueueRecords=5000"}, nil},
		{[]string{"status"}, jobMembers},
		{[]string{"held"}, []string{"id", "externalId", "displayName", "action", "targetName", "sinceDateTime", "staged", "verdict"}},
		{[]string{"escrows"}, nil},
		{[]string{"log", "--person", "4700"}, logMembers},
		{[]string{"log", "--upload", accepted.UploadID}, logMembers},
		{[]string{"explain", "4701"}, []string{"externalId", "connection", "escrows", "moreLogEntries"}},
		{[]string{"approve", "4700"}, nil},
		{[]string{"reject", "--all"}, nil},
		{[]string{"notify", "hr-it@corp.example"}, nil},
		{[]string{"connection", "get", "4701"}, []string{"objectId", "sourceAnchor", "targetAnchor", "displayName", "objectTypeName"}},
		{[]string{"run", "4701"}, []string{"action", "statusInfo", "modifiedProperties", "sourceIdentity"}},
		{[]string{"pause"}, jobMembers[:5]},
		{[]string{"restart", "--yes"}, nil},
		{[]string{"audit", "--limit", "3"}, []string{"activityDisplayName", "activityDateTime", "additionalDetails"}},
	} {
		if cmd.args[0] == "notify" { // what was decided is carried out
			p.becomes(t, "active", func(s jobStatus) bool { return s.Pending.Held == 0 && s.Status.Quarantine == nil })
		}
		fmt.Fprintf(&b, "$ induct job %s\n", strings.ReplaceAll(strings.Join(cmd.args, " "), accepted.UploadID, "UPLOAD"))
		for line := range strings.Lines(p.mustJob(t, append(cmd.args, "--json")...)) {
			b.WriteString(project(t, line, cmd.members) + "\n")
		}
	}
	got := b.String()
	for _, id := range []struct{ value, name string }{{p.env["JOB_ID"], "JOB"}, {p.env["SP_ID"], "SP"}, {p.env["GRAPH_BASE"], "GRAPH"}, {p.env["TENANT_ID"], "TENANT"}} {
		got = strings.ReplaceAll(got, id.value, id.name)
	}
	got = varying.ReplaceAllStringFunc(got, func(s string) string {
		if len(s) == 36 {
			return "GUID"
		}
		return "TIME"
	})
	golden := filepath.Join("testdata", "job.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, golden, []byte(got))
	}
	if want := string(mustRead(t, golden)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// varying is what differs from run to run.
var varying = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// project returns the members of an object that are named, or the line as it is if none are.
func project(t *testing.T, line string, members []string) string {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &all); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if members == nil {
		return strings.TrimSpace(line)
	}
	var parts []string
	for _, m := range members {
		if all[m] == nil {
			t.Errorf("there is no %s in %s", m, line)
		}
		parts = append(parts, fmt.Sprintf("%q:%s", m, all[m]))
	}
	return "{" + strings.Join(parts, ",") + ",…}"
}

// With --json the service's own resources are printed as they are.
func TestJobJSONIsTheServices(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	p.mustJob(t, "settings", "QuarantineTooManyDeletesThreshold=0")
	p.sendStaff(t, 3, true, "--until", "settled")
	p.sendStaff(t, 3, false, "--until", "settled")
	c := p.client(t)
	for command, url := range map[string]string{
		"held": c.job + "/heldChanges", "log": c.graph + "/auditLogs/provisioning",
		"audit": c.graph + "/auditLogs/directoryAudits",
	} {
		want := list[json.RawMessage](t, c, url)
		got := strings.Split(strings.TrimSpace(p.mustJob(t, command, "--json")), "\n")
		if len(got) != len(want) || len(got) < 3 {
			t.Errorf("%s: %d lines for %d resources", command, len(got), len(want))
			continue
		}
		for i := range want {
			if got[i] != string(want[i]) {
				t.Errorf("%s: got\n%s\nwant\n%s", command, got[i], want[i])
			}
		}
	}
}
