package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"induct/internal/notify"
)

// passwordVariable holds the password of the mail account. It is no flag: a flag's value shows in the list of processes.
const passwordVariable = "INDUCT_SMTP_PASSWORD"

// mailSettings say how notices are mailed. Without a host they are not.
type mailSettings struct {
	host, from, user, passwordFile, caFile, helo string
	port                                         int
	tls, auth                                    string
	plaintext                                    bool
	timeout                                      time.Duration
}

func mailFlags(f *pflag.FlagSet, m *mailSettings) {
	f.StringVar(&m.host, "smtp-host", "", "mail server that notices about jobs are sent by; without one they are only shown")
	f.IntVar(&m.port, "smtp-port", 0, "its port (default 587 with starttls, 465 with implicit, 25 with none)")
	f.StringVar(&m.tls, "smtp-tls", string(notify.TLSStart), "starttls (required, not only tried), implicit, or none (only to this machine)")
	f.BoolVar(&m.plaintext, "smtp-allow-plaintext", false, "let --smtp-tls none send mail to another machine in clear; a password is not sent so")
	f.StringVar(&m.caFile, "smtp-ca", "", "PEM `FILE` with the authorities that the mail server's certificate may come from (default the system's)")
	f.StringVar(&m.from, "smtp-from", "", "sender of the mails, such as \"Induct <induct@corp.example>\"")
	f.StringVar(&m.user, "smtp-user", "", "user to sign in to the mail server as")
	f.StringVar(&m.passwordFile, "smtp-password-file", "", "`FILE` with the password; or set "+passwordVariable+" in the environment")
	f.StringVar(&m.auth, "smtp-auth", "", "plain, login or none (default plain if there is a user)")
	f.StringVar(&m.helo, "smtp-helo", "", "name to introduce ourselves by (default this machine's)")
	f.DurationVar(&m.timeout, "smtp-timeout", notify.DefaultTimeout, "how long the mail server may take for one step")
}

// sender returns what sends mail; nil if no mail server is configured.
func (m mailSettings) sender() (*notify.Sender, error) {
	if m.host == "" {
		if m.from+m.user+m.passwordFile+m.caFile != "" || m.port != 0 {
			return nil, errors.New("--smtp-host is needed: mail is configured, and no server to send it by")
		}
		return nil, nil
	}
	password, err := m.password()
	if err != nil {
		return nil, err
	}
	cfg := notify.SMTP{Host: m.host, Port: m.port, TLS: notify.TLSMode(m.tls), AllowPlaintext: m.plaintext,
		Auth: notify.AuthMechanism(m.auth), User: m.user, Password: password, From: m.from, HELO: m.helo, Timeout: m.timeout}
	if cfg.Auth == "" && cfg.User != "" {
		cfg.Auth = notify.AuthPlain
	}
	if m.caFile != "" {
		if cfg.Roots, err = readRoots(m.caFile); err != nil {
			return nil, fmt.Errorf("--smtp-ca: %w", err)
		}
	}
	sender, err := notify.NewSender(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w (see the settings that begin with --smtp)", err)
	}
	return sender, nil
}

// password reads the password from its file, or else from the environment.
func (m mailSettings) password() (notify.Secret, error) {
	if m.passwordFile == "" {
		return notify.Secret(os.Getenv(passwordVariable)), nil
	}
	b, err := os.ReadFile(m.passwordFile)
	if err != nil {
		return "", fmt.Errorf("--smtp-password-file: %w", err)
	}
	return notify.Secret(strings.TrimRight(string(b), "\r\n")), nil
}

func readRoots(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return roots, nil
}

// mailer is what sends the notices of jobs.
func (s *server) mailer() *notify.Notifier {
	url := s.publicURL
	if url == "" {
		url = s.base
	}
	return notify.New(notify.Config{Outbox: s.store, Sender: s.sender, PublicURL: url, Logger: s.log})
}
