package graph

import (
	"strconv"
	"strings"
	"testing"

	"induct/internal/provision"
)

// settings are the job's settings as they are answered.
func (w *world) settings() map[string]any {
	w.t.Helper()
	all := map[string]any{}
	for _, s := range w.document(jobURL)["synchronizationJobSettings"].([]any) {
		name := at(s, "name").(string)
		if _, twice := all[name]; twice {
			w.t.Errorf("%s stands twice", name)
		}
		all[name] = at(s, "value")
	}
	return all
}

func (w *world) setSetting(name string, value any) (int, string) {
	w.t.Helper()
	rec := w.write("PATCH", jobURL, m{"synchronizationJobSettings": []m{{"name": name, "value": value}}})
	if rec.Code == 200 {
		return 200, ""
	}
	_, message := errorOf(w.t, rec)
	return rec.Code, message
}

func TestSettings(t *testing.T) {
	limit := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name    string
		value   any
		want    provision.JobSettings
		refused bool
	}{
		{name: "QuarantineTooManyDeletesThreshold", value: "12", want: provision.JobSettings{DeleteThreshold: limit(12)}},
		{name: "quarantinetoomanydeletesthreshold", value: " 0 ", want: provision.JobSettings{DeleteThreshold: limit(0)}},
		{name: "QuarantineTooManyDeletesThreshold", value: "none", want: provision.JobSettings{DeleteThreshold: limit(-1)}},
		{name: "QuarantineTooManyDeletesThreshold", value: "-1"},
		{name: "QuarantineTooManyDeletesThreshold", value: ""},
		{name: "QuarantineTooManyDeletesThreshold", value: nil},
		{name: "QuarantineTooManyDeletesThreshold", value: "-2", refused: true},
		{name: "QuarantineTooManyDeletesThreshold", value: "1.5", refused: true},
		{name: "QuarantineTooManyDeletesThreshold", value: "+1", refused: true},
		{name: "QuarantineTooManyDeletesThreshold", value: "99999999999999999999", refused: true},
		{name: "QuarantineTooManyDeletesThreshold", value: "many", refused: true},
		{name: "InductTooManyDeletesPercent", value: "2.5", want: provision.JobSettings{DeletePercent: 2.5}},
		{name: "InductTooManyDeletesPercent", value: "100", want: provision.JobSettings{DeletePercent: 100}},
		{name: "InductTooManyDeletesPercent", value: "100.1", refused: true},
		{name: "InductTooManyDeletesPercent", value: "-1", refused: true},
		{name: "InductTooManyDeletesPercent", value: "NaN", refused: true},
		{name: "InductTooManyDeletesPercent", value: "1e1", refused: true},
		{name: "InductTooManyDeletesPercent", value: "5%", refused: true},
		{name: "InductOutOfScopeAction", value: "delete", want: provision.JobSettings{Leave: provision.LeaveDelete}},
		{name: "InductOutOfScopeAction", value: "None", want: provision.JobSettings{Leave: provision.LeaveAlone}},
		{name: "InductOutOfScopeAction", value: "Disable"},
		{name: "InductOutOfScopeAction", value: "Keep", refused: true},
		{name: "InductRunWithoutNotificationMail", value: "true", want: provision.JobSettings{RunWithoutMail: true}},
		{name: "InductRunWithoutNotificationMail", value: "yes", refused: true},
		{name: "InductMissingActive", value: "Disable", want: provision.JobSettings{DisableMissing: true}},
		{name: "InductMissingActive", value: "False", refused: true},
		{name: "InductQueueRecords", value: "1000", want: provision.JobSettings{QueueRecords: 1000}},
		{name: "InductQueueRecords", value: "1000000001", refused: true},
		{name: "InductQueueRecords", value: "-5", refused: true},
		{name: "AzureIngestionAttributeOptimization", value: "False"},
		{name: "AzureIngestionAttributeOptimization", value: "True", want: provision.JobSettings{Other: []provision.KeyValue{{Key: "AzureIngestionAttributeOptimization", Value: "True"}}}},
		{name: "Theirs", value: "", want: provision.JobSettings{Other: []provision.KeyValue{{Key: "Theirs"}}}},
		{name: "Theirs", value: nil},
		{name: "", value: "x", refused: true},
		{name: strings.Repeat("n", 129), value: "x", refused: true},
		{name: "Theirs", value: strings.Repeat("v", 4097), refused: true},
	} {
		w := newWorld(t)
		status, message := w.setSetting(c.name, c.value)
		if c.refused {
			if status != 400 || !strings.Contains(message, clip(c.name)) || w.fake.did != nil {
				t.Errorf("%s = %v: %d %s", c.name, c.value, status, message)
			}
			continue
		}
		if got := w.fake.job.Settings; status != 200 || encode(got) != encode(c.want) {
			t.Errorf("%s = %v: %d %s %s", c.name, c.value, status, message, encode(got))
		}
		if changed := encode(c.want) != encode(provision.JobSettings{}); changed != (len(w.fake.did) > 0) {
			t.Errorf("%s = %v: did %v", c.name, c.value, w.fake.did)
		}
	}
}

// TestSettingsRoundTrip puts back what was read: nothing changes. What is not named stays.
func TestSettingsRoundTrip(t *testing.T) {
	w := newWorld(t)
	for name, value := range map[string]string{"QuarantineTooManyDeletesThreshold": "7", "InductTooManyDeletesPercent": "0.25", "InductOutOfScopeAction": "Delete",
		"InductRunWithoutNotificationMail": "True", "InductMissingActive": "Disable", "InductQueueRecords": "9", "Theirs": "kept", "LookaheadQueryEnabled": "True"} {
		if status, message := w.setSetting(name, value); status != 200 {
			t.Fatalf("%s: %d %s", name, status, message)
		}
		if got := w.settings()[name]; got != value {
			t.Errorf("%s came back as %v", name, got)
		}
	}
	before, job := len(w.fake.did), w.document(jobURL)
	if rec := w.write("PATCH", jobURL, job); rec.Code != 200 || len(w.fake.did) != before {
		t.Errorf("%d %s, did %v", rec.Code, rec.Body, w.fake.did[before:])
	}
	if after := w.document(jobURL); encode(after) != encode(job) {
		t.Errorf("before\n%s\nafter\n%s", encode(job), encode(after))
	}
	if status, _ := w.setSetting("THEIRS", nil); status != 200 || w.settings()["Theirs"] != nil {
		t.Errorf("null does not remove: %d %v", status, w.settings())
	}
}

func TestSettingsBounds(t *testing.T) {
	w := newWorld(t)
	many := func(n int) (all []m) {
		for i := range n {
			all = append(all, m{"name": "s" + strconv.Itoa(i), "value": "x"})
		}
		return all
	}
	if rec := w.write("PATCH", jobURL, m{"synchronizationJobSettings": many(101)}); rec.Code != 400 || w.fake.did != nil {
		t.Errorf("101 settings: %d", rec.Code)
	}
	if rec := w.write("PATCH", jobURL, m{"synchronizationJobSettings": append(many(2), m{"name": "S1", "value": "y"})}); rec.Code != 400 || w.fake.did != nil {
		t.Errorf("a name twice: %d", rec.Code)
	}
}
