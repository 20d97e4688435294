package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"strings"
)

// maxRecipients bounds the addresses of a job's notifications.
const maxRecipients = 50

// notificationMembers are those of SyncNotificationSettings, as the reference documents them.
const notificationMembers = "Enabled, Recipients, DeleteThresholdEnabled, DeleteThresholdValue and HumanResourcesLookaheadQueryEnabled"

// ParseNotifications reads the value of the secret SyncNotificationSettings, a JSON object as text. Members stand in any
// case and may be null; "" is the zero Notifications. The error says in words for the sender what is wrong with it.
func ParseNotifications(text string) (Notifications, error) {
	var n Notifications
	if strings.TrimSpace(text) == "" {
		return n, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil || members == nil {
		return n, errors.New(`it is not a JSON object written as text, such as {"Enabled":true,"Recipients":"hr-it@contoso.example"}`)
	}
	for name, value := range members {
		if err := n.set(name, value); err != nil {
			return Notifications{}, err
		}
	}
	return n, nil
}

func (n *Notifications) set(name string, value json.RawMessage) error {
	var unused bool
	var recipients string
	switch strings.ToLower(name) {
	case "enabled":
		return member(name, value, &n.Enabled, "true or false")
	case "humanresourceslookaheadqueryenabled":
		return member(name, value, &unused, "true or false")
	case "deletethresholdenabled":
		return member(name, value, &n.DeleteThresholdEnabled, "true or false")
	case "deletethresholdvalue":
		err := member(name, value, &n.DeleteThresholdValue, "a whole number")
		if err == nil && n.DeleteThresholdValue != nil && *n.DeleteThresholdValue < 0 {
			err = fmt.Errorf("%s is negative: to have no threshold set DeleteThresholdEnabled to false", name)
		}
		return err
	case "recipients":
		if err := member(name, value, &recipients, "a text: mail addresses separated by ; or ,"); err != nil {
			return err
		}
		var err error
		n.Recipients, err = parseRecipients(recipients)
		return err
	}
	return fmt.Errorf("%q is none of its members: %s", clip(name), notificationMembers)
}

// member reads the value of a member; null leaves it as it is.
func member(name string, value json.RawMessage, into any, what string) error {
	if json.Unmarshal(value, into) != nil {
		return fmt.Errorf("%s is to be %s", name, what)
	}
	return nil
}

// parseRecipients reads mail addresses (RFC 5322 addr-spec) that are separated by ; or ,.
func parseRecipients(text string) (all []string, err error) {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == ',' }) {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		a, err := mail.ParseAddress(part)
		if err != nil || a.Address != part || len(part) > 254 || strings.ContainsAny(part, "\r\n") {
			return nil, fmt.Errorf("%q is not a mail address: Recipients are addresses such as hr-it@contoso.example, separated by ; or ,", clip(part))
		}
		all = append(all, part)
	}
	if len(all) > maxRecipients {
		return nil, fmt.Errorf("there are %d Recipients, and at most %d are notified: name a distribution list", len(all), maxRecipients)
	}
	return all, nil
}

// clip bounds what an error repeats.
func clip(s string) string {
	if len(s) <= 100 {
		return s
	}
	return strings.ToValidUTF8(s[:100], "") + "…"
}

// Threshold returns how many disables and deletions pass within an interval, by the job's settings and those of its app's
// notifications; limited is false if all do.
func (s JobSettings) Threshold(n Notifications) (most int64, limited bool) {
	switch {
	case s.DeleteThreshold != nil:
		return *s.DeleteThreshold, *s.DeleteThreshold >= 0
	case n.DeleteThresholdEnabled != nil && !*n.DeleteThresholdEnabled:
		return 0, false
	case n.DeleteThresholdValue != nil:
		return *n.DeleteThresholdValue, true
	}
	return DefaultDeleteThreshold, true
}

// Notifications returns what the app's notification settings say; the zero Notifications if there are none, or none that can
// be read.
func (a *App) Notifications() Notifications {
	n, _ := ParseNotifications(a.secret(SecretNotifications))
	return n
}
