package provision

import (
	"slices"
	"strings"
	"testing"
)

func TestParseNotifications(t *testing.T) {
	for _, c := range []struct {
		text, bad  string
		recipients []string
		limit      int64 // -1: none
	}{
		{text: "", limit: DefaultDeleteThreshold},
		{text: "{}", limit: DefaultDeleteThreshold},
		{text: `{"Enabled":true,"Recipients":"a@contoso.example;b@contoso.example, c@contoso.example ;","DeleteThresholdEnabled":true,"DeleteThresholdValue":7,"HumanResourcesLookaheadQueryEnabled":false}`,
			recipients: []string{"a@contoso.example", "b@contoso.example", "c@contoso.example"}, limit: 7},
		{text: `{"enabled":false,"recipients":null,"deleteThresholdEnabled":false,"deleteThresholdValue":7}`, limit: -1},
		{text: `{"DeleteThresholdValue":0}`, limit: 0},
		{text: `[]`, bad: "not a JSON object"},
		{text: `null`, bad: "not a JSON object"},
		{text: `{"Enabled":true`, bad: "not a JSON object"},
		{text: `{"Enabled":"yes"}`, bad: "Enabled is to be true or false"},
		{text: `{"Recipients":["a@contoso.example"]}`, bad: "Recipients is to be a text"},
		{text: `{"Recipients":"Ana <a@contoso.example>"}`, bad: "is not a mail address"},
		{text: `{"Recipients":"a@contoso.example b@contoso.example"}`, bad: "is not a mail address"},
		{text: `{"Recipients":"` + strings.Repeat("a@contoso.example;", 51) + `"}`, bad: "at most 50"},
		{text: `{"DeleteThresholdValue":-1}`, bad: "negative"},
		{text: `{"DeleteThresholdValue":1.5}`, bad: "whole number"},
		{text: `{"Recipient":"a@contoso.example"}`, bad: `"Recipient" is none of its members`},
	} {
		n, err := ParseNotifications(c.text)
		if (err != nil) != (c.bad != "") || err != nil && !strings.Contains(err.Error(), c.bad) {
			t.Errorf("%s: %v, want %q", c.text, err, c.bad)
			continue
		}
		limit, limited := JobSettings{}.Threshold(n)
		if !limited {
			limit = -1
		}
		if err == nil && (!slices.Equal(n.Recipients, c.recipients) || limit != c.limit) {
			t.Errorf("%s: %+v, limit %d", c.text, n, limit)
		}
	}
	five, none := int64(5), int64(-1)
	off := false
	app := App{Secrets: []KeyValue{{SecretNotifications, `{"DeleteThresholdEnabled":false}`}}}
	if n := app.Notifications(); n.DeleteThresholdEnabled == nil || *n.DeleteThresholdEnabled != off {
		t.Errorf("%+v", n)
	}
	if most, limited := (JobSettings{DeleteThreshold: &five}).Threshold(app.Notifications()); most != 5 || !limited {
		t.Errorf("the job's own threshold: %d %v", most, limited)
	}
	if _, limited := (JobSettings{DeleteThreshold: &none}).Threshold(Notifications{}); limited {
		t.Error("a negative threshold limits")
	}
}

func FuzzParseNotifications(f *testing.F) {
	f.Add(`{"Enabled":true,"Recipients":"a@contoso.example;b@contoso.example","DeleteThresholdValue":500}`)
	f.Add(`{"recipients":";,"}`)
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNotifications(text)
		if err != nil && len(n.Recipients) > 0 {
			t.Errorf("%q: %+v beside %v", text, n, err)
		}
		for _, r := range n.Recipients {
			if strings.ContainsAny(r, "\r\n,;") || !strings.Contains(r, "@") {
				t.Errorf("%q: recipient %q", text, r)
			}
		}
	})
}
