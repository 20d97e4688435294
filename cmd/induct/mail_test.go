package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"induct/internal/notify"
	"induct/internal/notify/notifytest"
	"induct/internal/provision"
)

// mailFrom parses a command line as serve does, the environment and a configuration file included.
func mailFrom(t *testing.T, args ...string) (mailSettings, error) {
	t.Helper()
	var m mailSettings
	cmd := &cobra.Command{Use: "serve", RunE: func(cmd *cobra.Command, _ []string) error { return configure(cmd) }}
	cmd.Flags().String("config", "", "")
	mailFlags(cmd.Flags(), &m)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	return m, cmd.Execute()
}

func written(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// oneNotice is an outbox with one notice in it.
type oneNotice struct{ notice provision.Notice }

func (o *oneNotice) DueNotices(context.Context, time.Time, int) ([]provision.Notice, error) {
	if o.notice.NextAttempt.IsZero() {
		return nil, nil
	}
	return []provision.Notice{o.notice}, nil
}

func (o *oneNotice) ClaimNotice(context.Context, int64, time.Time, time.Time) (bool, error) {
	return true, nil
}

func (o *oneNotice) NoticeTried(_ context.Context, tried provision.Notice) error {
	o.notice = tried
	return nil
}

// Settings from each place bring a mail to the server.
func TestMailSettings(t *testing.T) {
	const secret = "p4ss word"
	sink := notifytest.Start(t, notifytest.Options{User: "induct", Password: secret})
	implicit := notifytest.Start(t, notifytest.Options{User: "induct", Password: secret, Implicit: true})
	port := func(s *notifytest.Sink) string { return strconv.Itoa(s.Port) }
	tests := map[string]struct {
		sink *notifytest.Sink
		env  map[string]string
		args []string
	}{
		"flags and a password file": {sink, nil, []string{"--smtp-host", sink.Host, "--smtp-port", port(sink), "--smtp-ca", sink.CAFile,
			"--smtp-from", "Induct <induct@corp.example>", "--smtp-user", "induct", "--smtp-password-file", written(t, secret+"\n")}},
		"the environment": {sink, map[string]string{"INDUCT_SMTP_HOST": sink.Host, "INDUCT_SMTP_PORT": port(sink), "INDUCT_SMTP_CA": sink.CAFile, "INDUCT_SMTP_AUTH": "login",
			"INDUCT_SMTP_FROM": "induct@corp.example", "INDUCT_SMTP_USER": "induct", "INDUCT_SMTP_PASSWORD": secret}, nil},
		"a configuration file": {implicit, map[string]string{"INDUCT_SMTP_PASSWORD": secret}, []string{"--config", written(t, "smtp-host: "+implicit.Host+"\nsmtp-port: "+port(implicit)+
			"\nsmtp-tls: implicit\nsmtp-ca: "+implicit.CAFile+"\nsmtp-from: induct@corp.example\nsmtp-user: induct\nsmtp-timeout: 20s\nsmtp-helo: induct.corp.example\n")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			m, err := mailFrom(t, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			sender, err := m.sender()
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			box := &oneNotice{provision.Notice{ID: 1, Kind: provision.NoticeRecovered, Time: now, NextAttempt: now, AppName: name, Recipients: []string{"ops@corp.example"}}}
			if err := notify.New(notify.Config{Outbox: box, Sender: sender}).SendDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			all := test.sink.Messages()
			if box.notice.Sent.IsZero() || len(all) == 0 || !all[len(all)-1].TLS || !strings.Contains(all[len(all)-1].Subject(), name) {
				t.Errorf("%d messages, error %q", len(all), box.notice.Error)
			}
		})
	}
}

// Without a mail server there is no sender, and that is no error.
func TestNoMail(t *testing.T) {
	m, err := mailFrom(t)
	if err != nil {
		t.Fatal(err)
	}
	if sender, err := m.sender(); sender != nil || err != nil {
		t.Errorf("got %v, %v", sender, err)
	}
}

// Settings that cannot work keep the service from starting, and the message says which one it is.
func TestMailSettingsRefused(t *testing.T) {
	const secret = "p4ss word"
	good := []string{"--smtp-host", "mail.corp.example", "--smtp-from", "induct@corp.example"}
	tests := map[string]struct {
		args []string
		env  string // the password in the environment
		want string
	}{
		"no host":         {[]string{"--smtp-from", "induct@corp.example"}, "", "--smtp-host is needed"},
		"no sender":       {good[:2], "", `sender "" is no mail address`},
		"TLS mode":        {append(good, "--smtp-tls", "ssl"), "", `TLS mode "ssl"`},
		"in clear":        {append(good, "--smtp-tls", "none"), "", "mail in clear"},
		"password file":   {append(good, "--smtp-user", "induct", "--smtp-password-file", "/nonexistent/password"), "", "--smtp-password-file: open /nonexistent/password"},
		"no password":     {append(good, "--smtp-user", "induct"), "", "needs a user and a password"},
		"no user":         {good, secret, "the authentication is none"},
		"authorities":     {append(good, "--smtp-ca", written(t, "no certificate")), "", "has no certificate"},
		"no such file":    {append(good, "--smtp-ca", "/nonexistent/ca.pem"), "", "--smtp-ca: open /nonexistent/ca.pem"},
		"clear password":  {append(good, "--smtp-tls", "none", "--smtp-allow-plaintext", "--smtp-user", "induct"), secret, "password in clear"},
		"password as key": {append(good, "--config", written(t, "smtp-password: "+secret+"\n")), "", `"smtp-password" is not a setting`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.env != "" {
				t.Setenv(passwordVariable, test.env)
			}
			m, err := mailFrom(t, test.args...)
			if err == nil {
				_, err = m.sender()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
