package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (j *jobSession) settingsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "settings [NAME=VALUE…]",
		Short: "Show the job's settings, or change some of them",
		Long: "Shows the job's settings; with NAME=VALUE it changes those and shows all. NAME= sets one to its default. All are changed, or none.\n\n" +
			"  QuarantineTooManyDeletesThreshold  how many disables and deletions pass within 40 minutes; None is no limit, -1 the default\n" +
			"  InductTooManyDeletesPercent        and how many in percent of the enabled accounts; 0 is no limit\n" +
			"  InductOutOfScopeAction             for the account of who leaves the scope: Disable, Delete or None\n" +
			"  InductRunWithoutNotificationMail   True: the job runs although nobody is to be notified\n" +
			"  InductMissingActive                a record without active leaves the account as it is (Keep) or disables it (Disable)\n" +
			"  InductQueueRecords                 most records in the queue; 0 is the service's setting",
		Example: "  induct job settings\n  induct job settings QuarantineTooManyDeletesThreshold=50 InductTooManyDeletesPercent=2",
		Args: func(_ *cobra.Command, args []string) error {
			_, err := parseSettings(args)
			return err
		},
		RunE: j.does(j.settings),
	}
}

// parseSettings reads NAME=VALUE words; a value that is empty is null.
func parseSettings(words []string) (all []jobSetting, err error) {
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is not of the form NAME=VALUE", w)
		}
		s := jobSetting{Name: name}
		if value != "" {
			s.Value = &value
		}
		all = append(all, s)
	}
	return all, nil
}

func (j *jobSession) settings(ctx context.Context, words []string) error {
	changes, err := parseSettings(words)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		call := j.call("changing the settings", "PATCH", j.client.JobURL())
		call.Body = map[string]any{"synchronizationJobSettings": changes}
		if _, err := j.client.Do(ctx, call, nil); err != nil {
			return err
		}
	}
	job, _, err := j.job(ctx)
	if err != nil {
		return err
	}
	t := j.table()
	for _, s := range job.Settings {
		value := ""
		if s.Value != nil {
			value = *s.Value
		}
		if j.asJSON {
			if err := j.printJSON(s); err != nil {
				return err
			}
			continue
		}
		t.row(s.Name, value)
	}
	t.end()
	return nil
}

// The secrets of an app, as far as they matter here.
const (
	secretNotifications = "SyncNotificationSettings"
	maskedSecret        = "*" // stands for a value that cannot be read back
)

type jobSecret struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (j *jobSession) notifyCommand() *cobra.Command {
	var nobody bool
	cmd := &cobra.Command{
		Use:   "notify [ADDRESS…]",
		Short: "Show or set who gets mail when the job needs attention",
		Long: "Shows who gets mail when the job goes into quarantine or deletions wait for a verdict; with addresses it sets them, in place of those\n" +
			"before. It is a setting of the app: all jobs of it have the same. A job in quarantine because nobody was to be notified is tried at once.\n\n" +
			"The addresses stand in " + secretNotifications + " among the app's secrets, which can only be written all together. The others are\n" +
			"sent back as they were read. Values that read * cannot be read back; Induct keeps none of them and takes the * for what it stands for.\n" +
			"At another service that would overwrite them, so that nothing is changed there as long as there is one.",
		Example: "  induct job notify\n  induct job notify hr-it@corp.example on-call@corp.example\n  induct job notify --nobody",
		Args: func(_ *cobra.Command, addresses []string) error {
			for _, a := range addresses {
				if a == "" || strings.ContainsAny(a, ";, \t\r\n") || !strings.Contains(a, "@") {
					return fmt.Errorf("%q is not one mail address", a)
				}
			}
			if nobody && len(addresses) > 0 {
				return errors.New("addresses or --nobody, not both")
			}
			return nil
		},
		RunE: j.does(func(ctx context.Context, addresses []string) error {
			if len(addresses) > 0 || nobody {
				if err := j.notify(ctx, addresses); err != nil {
					return err
				}
			}
			return j.showNotify(ctx)
		}),
	}
	cmd.Flags().BoolVar(&nobody, "nobody", false, "nobody gets mail")
	return cmd
}

// secrets reads the app's secrets and returns where SyncNotificationSettings stands, -1 if it does not.
func (j *jobSession) secrets(ctx context.Context) (all []jobSecret, at int, err error) {
	var answer struct {
		Value []jobSecret `json:"value"`
	}
	err = j.get(ctx, "reading the app's secrets", j.client.AppURL("synchronization", "secrets"), &answer)
	at = slices.IndexFunc(answer.Value, func(s jobSecret) bool { return s.Key == secretNotifications })
	return answer.Value, at, err
}

// notify has the addresses notified, and nobody else.
func (j *jobSession) notify(ctx context.Context, addresses []string) error {
	all, at, err := j.secrets(ctx)
	if err != nil {
		return err
	}
	if err := j.mayReplace(ctx, all); err != nil {
		return err
	}
	value := ""
	if at >= 0 {
		value = all[at].Value
	}
	if value, err = withRecipients(value, addresses); err != nil {
		return err
	}
	if at >= 0 {
		all[at].Value = value
	} else {
		all = append(all, jobSecret{secretNotifications, value})
	}
	call := j.call("changing who is notified", http.MethodPut, j.client.AppURL("synchronization", "secrets"))
	call.Body = map[string]any{"value": all}
	_, err = j.client.Do(ctx, call, nil)
	return err
}

// mayReplace refuses to send back secrets that cannot be read, unless the service is known to take that well.
func (j *jobSession) mayReplace(ctx context.Context, all []jobSecret) error {
	i := slices.IndexFunc(all, func(s jobSecret) bool { return s.Value == maskedSecret })
	if i < 0 {
		return nil
	}
	job, _, err := j.job(ctx)
	if err != nil {
		return err
	}
	if !job.ours() {
		return fmt.Errorf("the app's secret %s cannot be read back, and secrets can only be written all together: nothing was changed. Set the address on the app's provisioning page", all[i].Key)
	}
	return nil
}

// withRecipients puts addresses into a value of SyncNotificationSettings; its other members stay.
func withRecipients(value string, addresses []string) (string, error) {
	members := map[string]json.RawMessage{}
	if value != "" && json.Unmarshal([]byte(value), &members) != nil || members == nil {
		return "", fmt.Errorf("the app's %s is not a JSON object, and nothing was changed: it is %q", secretNotifications, value)
	}
	for name := range members {
		if strings.EqualFold(name, "Enabled") || strings.EqualFold(name, "Recipients") {
			delete(members, name)
		}
	}
	recipients, err := json.Marshal(strings.Join(addresses, ";"))
	if err != nil {
		return "", err
	}
	members["Recipients"], members["Enabled"] = recipients, json.RawMessage(fmt.Sprint(len(addresses) > 0))
	text, err := json.Marshal(members)
	return string(text), err
}

// showNotify says who is notified.
func (j *jobSession) showNotify(ctx context.Context) error {
	all, at, err := j.secrets(ctx)
	if err != nil {
		return err
	}
	var set struct {
		Enabled    bool
		Recipients string
	}
	if at >= 0 && all[at].Value != "" && json.Unmarshal([]byte(all[at].Value), &set) != nil {
		return fmt.Errorf("the app's %s cannot be read: it is %q", secretNotifications, all[at].Value)
	}
	recipients := strings.FieldsFunc(set.Recipients, func(r rune) bool { return strings.ContainsRune(";, ", r) })
	if !set.Enabled {
		recipients = nil
	}
	if j.asJSON {
		return j.printJSON(struct {
			Recipients []string `json:"recipients"`
		}{append([]string{}, recipients...)})
	}
	if len(recipients) == 0 {
		j.say("Nobody gets mail.")
		return nil
	}
	j.say("Mail goes to %s.", strings.Join(recipients, ", "))
	return nil
}
