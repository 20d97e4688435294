package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"induct/internal/notify/notifytest"
)

const password = `corréct  "h0rse\`

// of returns settings that work with the sink.
func of(s *notifytest.Sink) SMTP {
	return SMTP{Host: s.Host, Port: s.Port, Roots: s.Roots, From: "Induct <induct@corp.example>", HELO: "induct.corp.example"}
}

func signed(s *notifytest.Sink) SMTP {
	c := of(s)
	c.Auth, c.User, c.Password = AuthPlain, "induct", password
	return c
}

func deliver(t *testing.T, cfg SMTP, to ...string) (refusals, error) {
	t.Helper()
	s := sender(t, cfg)
	return s.send(t.Context(), s.message(samples()["deletes"], base, to), to)
}

// Each way to be secure, and each way to sign in.
func TestDelivery(t *testing.T) {
	account := notifytest.Options{User: "induct", Password: password}
	implicit := account
	implicit.Implicit = true
	bare := account
	bare.NoSTARTTLS = true
	tests := map[string]struct {
		options notifytest.Options
		change  func(*SMTP)
		secure  bool
		user    string
	}{
		"STARTTLS, nobody signs in":  {secure: true},
		"STARTTLS and PLAIN":         {account, func(c *SMTP) { c.Auth = AuthPlain }, true, "induct"},
		"STARTTLS and LOGIN":         {account, func(c *SMTP) { c.Auth = AuthLogin }, true, "induct"},
		"implicit TLS and PLAIN":     {implicit, func(c *SMTP) { c.TLS, c.Auth = TLSImplicit, AuthPlain }, true, "induct"},
		"implicit TLS and LOGIN":     {implicit, func(c *SMTP) { c.TLS, c.Auth = TLSImplicit, AuthLogin }, true, "induct"},
		"in clear to loopback":       {notifytest.Options{NoSTARTTLS: true}, func(c *SMTP) { c.TLS = TLSNone }, false, ""},
		"in clear, PLAIN, loopback":  {bare, func(c *SMTP) { c.TLS, c.Auth = TLSNone, AuthPlain }, false, "induct"},
		"in clear, LOGIN, localhost": {bare, func(c *SMTP) { c.TLS, c.Auth, c.Host = TLSNone, AuthLogin, "localhost" }, false, "induct"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sink := notifytest.Start(t, test.options)
			cfg := of(sink)
			if test.change != nil {
				test.change(&cfg)
			}
			if test.user != "" {
				cfg.User, cfg.Password = test.user, password
			}
			refused, err := deliver(t, cfg, "ops@corp.example", "hr@corp.example")
			if err != nil || len(refused) > 0 {
				t.Fatal(refused, err)
			}
			all := sink.Messages()
			if len(all) != 1 {
				t.Fatalf("%d messages", len(all))
			}
			m := all[0]
			if m.TLS != test.secure || m.User != test.user {
				t.Errorf("TLS %v, user %q", m.TLS, m.User)
			}
			if m.From != "induct@corp.example" || !slices.Equal(m.To, []string{"ops@corp.example", "hr@corp.example"}) {
				t.Errorf("from %s to %q", m.From, m.To)
			}
			want := Compose(samples()["deletes"], base)
			if m.Subject() != want.Subject || m.Body != want.Body {
				t.Errorf("subject %q, body\n%s", m.Subject(), m.Body)
			}
			for name, want := range map[string]string{"To": "<ops@corp.example>, <hr@corp.example>", "From": `"Induct" <induct@corp.example>`,
				"Auto-Submitted": "auto-generated", "Date": "Fri, 20 Nov 2026 02:14:07 +0000", "Content-Type": "text/plain; charset=UTF-8"} {
				if got := m.Header.Get(name); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
			if lines := sink.Lines(); !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, "EHLO induct.corp.example") }) || lines[len(lines)-1] != prefix(test.secure)+"QUIT" {
				t.Errorf("commands %q", lines)
			}
		})
	}
}

func prefix(secure bool) string {
	if secure {
		return ""
	}
	return "clear: "
}

// What goes wrong is said, with the server and the step, and never with the password.
func TestFailures(t *testing.T) {
	account := notifytest.Options{User: "induct", Password: password}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00induct\x00" + password))
	tests := map[string]struct {
		options notifytest.Options
		change  func(*SMTP)
		want    string
		down    bool
	}{
		"TLS is not offered": {notifytest.Options{NoSTARTTLS: true, User: "induct", Password: password}, nil,
			"STARTTLS: the server does not offer it, and mail is not sent in clear", true},
		"TLS is refused": {notifytest.Options{User: "induct", Password: password, Script: says("STARTTLS", "454 4.7.0 no certificate")}, nil,
			"STARTTLS: 454 4.7.0 no certificate", true},
		"TLS by a stranger":         {account, func(c *SMTP) { c.Roots = nil }, "STARTTLS: tls: failed to verify certificate", true},
		"implicit TLS, by STARTTLS": {account, func(c *SMTP) { c.TLS = TLSImplicit }, "connect: TLS: tls: first record does not look like a TLS handshake", true},
		"another host's name":       {account, func(c *SMTP) { c.Host = "127.0.0.2" }, "", true},
		"a wrong password":          {account, func(c *SMTP) { c.Password = "wr0ng" }, "sign in as induct: 535 5.7.8 authentication failed", true},
		"a wrong password, LOGIN":   {account, func(c *SMTP) { c.Auth, c.Password = AuthLogin, "wr0ng" }, "sign in as induct: 535 5.7.8", true},
		"no such mechanism":         {notifytest.Options{User: "induct", Mechanisms: "CRAM-MD5"}, nil, `the server does not offer PLAIN; it offers "CRAM-MD5"`, true},
		"nobody signs in there":     {notifytest.Options{}, nil, "the server does not offer PLAIN", true},
		"a password that is repeated": {notifytest.Options{User: "induct", Password: password, Script: says("AUTH", notifytest.Answer("535 not "+password+" nor "+plain))}, nil,
			"sign in as induct: 535 not (secret) nor (secret)", true},
		"busy":                   {notifytest.Options{Script: says(notifytest.Connect, "421 4.3.2 too busy")}, nil, "greeting: 421 4.3.2 too busy", true},
		"gone at once":           {notifytest.Options{Script: says(notifytest.Connect, notifytest.Drop)}, nil, "greeting: EOF", true},
		"EHLO is refused":        {notifytest.Options{Script: says("EHLO", "550 5.7.1 not you", "HELO", "550 5.7.1 not you")}, nil, "EHLO induct.corp.example: ", true},
		"the sender is refused":  {notifytest.Options{User: "induct", Password: password, Script: says("MAIL", "553 5.1.8 unknown sender")}, nil, "MAIL FROM induct@corp.example: 553 5.1.8", false},
		"the relay is refused":   {notifytest.Options{User: "induct", Password: password, Script: says("RCPT", "550 5.7.1 relaying denied")}, nil, "RCPT TO: every address was refused; not delivered to ops@corp.example: 550 5.7.1", false},
		"gone at RCPT":           {notifytest.Options{User: "induct", Password: password, Script: says("RCPT", notifytest.Drop)}, nil, "RCPT TO ops@corp.example: ", false},
		"closing at RCPT":        {notifytest.Options{User: "induct", Password: password, Script: says("RCPT", "421 4.3.0 going down")}, nil, "RCPT TO ops@corp.example: 421 4.3.0", false},
		"DATA is refused":        {notifytest.Options{User: "induct", Password: password, Script: says("DATA", "452 4.3.1 disk full")}, nil, "DATA: 452 4.3.1 disk full", false},
		"the message is refused": {notifytest.Options{User: "induct", Password: password, Script: says(notifytest.End, "554 5.7.1 looks like spam")}, nil, "message: 554 5.7.1 looks like spam", false},
		"gone before the answer": {notifytest.Options{User: "induct", Password: password, Script: says(notifytest.End, notifytest.Drop)}, nil, "the final answer was lost (it may have arrived)", false},
		"in many lines":          {notifytest.Options{User: "induct", Password: password, Script: says("MAIL", "550-5.7.1 first\r\n550 5.7.1 second")}, nil, "550 5.7.1 first 5.7.1 second", false},
		"talking without end": {notifytest.Options{Script: says(notifytest.Connect, notifytest.Answer(strings.Repeat("220-"+strings.Repeat("x", 2000)+"\r\n", 600)+"220 x"))}, nil,
			"greeting: the server sends more than an SMTP server has to say", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sink := notifytest.Start(t, test.options)
			cfg := signed(sink)
			if test.change != nil {
				test.change(&cfg)
			}
			s := sender(t, cfg)
			refused, err := s.send(t.Context(), s.message(samples()["deletes"], base, []string{"ops@corp.example"}), []string{"ops@corp.example"})
			if err == nil {
				t.Fatalf("no error; refused %v", refused)
			}
			text := s.text(err, refused)
			if where := fmt.Sprintf("mail server %s:%d: ", cfg.Host, cfg.Port); !strings.HasPrefix(text, where) {
				t.Errorf("%q does not begin with %q", text, where)
			}
			if !strings.Contains(text, test.want) {
				t.Errorf("%q does not say %q", text, test.want)
			}
			if isDown(err) != test.down {
				t.Errorf("down is %v: %s", isDown(err), text)
			}
			if n := len(sink.Messages()); n != 0 {
				t.Errorf("%d messages were received", n)
			}
			for _, secret := range []string{string(cfg.Password), plain, base64.StdEncoding.EncodeToString([]byte(cfg.Password))} {
				if strings.Contains(text, secret) {
					t.Errorf("%q tells the password", text)
				}
				if lines := strings.Join(sink.Lines(), "\n"); strings.Contains(lines, "clear: AUTH") || strings.Contains(lines, "clear: MAIL") {
					t.Errorf("it went on in clear:\n%s", lines)
				}
			}
		})
	}
}

// says answers verbs, given in pairs with the answers.
func says(pairs ...any) notifytest.Script {
	return func(verb, _ string) notifytest.Answer {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == verb {
				switch a := pairs[i+1].(type) {
				case notifytest.Answer:
					return a
				case string:
					return notifytest.Answer(a)
				}
			}
		}
		return notifytest.AsUsual
	}
}

// A server that falls silent, at whatever step, costs the timeout and no more.
func TestHangingServer(t *testing.T) {
	for _, verb := range []string{notifytest.Connect, "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", notifytest.End, notifytest.Kept} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			sink := notifytest.Start(t, notifytest.Options{User: "induct", Password: password, Script: says(verb, notifytest.Hang)})
			s := sender(t, signed(sink))
			s.cfg.Timeout, s.final = time.Second, time.Second
			_, err := s.send(t.Context(), s.message(samples()["deletes"], base, []string{"a@corp.example"}), []string{"a@corp.example"})
			if err == nil || !strings.HasSuffix(err.Error(), ": no answer in time") {
				t.Errorf("got %v", err)
			}
			if lost := strings.Contains(fmt.Sprint(err), "it may have arrived"); lost != (verb == notifytest.End || verb == notifytest.Kept) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A server that answers each step slowly is left alone after the time for everything; one who is told to stop, stops.
func TestSlowServer(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{Script: func(string, string) notifytest.Answer {
		time.Sleep(20 * time.Millisecond)
		return notifytest.AsUsual
	}})
	s := sender(t, of(sink))
	s.total = time.Second
	var to []string
	for i := range maxRecipients {
		to = append(to, fmt.Sprintf("p%d@corp.example", i))
	}
	_, err := s.send(t.Context(), s.message(samples()["deletes"], base, to), to)
	if err == nil || !strings.HasSuffix(err.Error(), ": not done within 1s") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.total = time.Hour
	sink.SetScript(func(verb, _ string) notifytest.Answer {
		if verb == "MAIL" {
			cancel()
			return notifytest.Hang
		}
		return notifytest.AsUsual
	})
	if _, err := s.send(ctx, s.message(samples()["deletes"], base, to), to); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Nobody listens, and nobody answers.
func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	_, err = deliver(t, SMTP{Host: "127.0.0.1", Port: port, From: "induct@corp.example"}, "ops@corp.example")
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:"+strconv.Itoa(port)+": connect: ") || !isDown(err) {
		t.Errorf("got %v", err)
	}
}

// One refused address does not stop the others.
func TestRefusedAddress(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{Script: refuse("gone@corp.example", "550 5.1.1 no such user")})
	refused, err := deliver(t, of(sink), "gone@corp.example", "ops@corp.example")
	if err != nil {
		t.Fatal(err)
	}
	if want := "not delivered to gone@corp.example: 550 5.1.1 no such user"; refused.String() != want || refused.temporary() {
		t.Errorf("got %q, temporary %v", refused, refused.temporary())
	}
	if all := sink.Messages(); len(all) != 1 || !slices.Equal(all[0].To, []string{"ops@corp.example"}) {
		t.Errorf("got %+v", all)
	}
}

func refuse(address, answer string) notifytest.Script {
	return func(verb, arg string) notifytest.Answer {
		if verb == "RCPT" && strings.Contains(arg, "<"+address+">") {
			return notifytest.Answer(answer)
		}
		return notifytest.AsUsual
	}
}

// Settings that cannot work are refused before anything is sent, and the error says what to change.
func TestNewSender(t *testing.T) {
	good := SMTP{Host: "mail.corp.example", From: "induct@corp.example", Auth: AuthPlain, User: "induct", Password: password}
	if s := sender(t, good); s.address != "mail.corp.example:587" {
		t.Errorf("address %s", s.address)
	}
	tests := map[string]struct {
		change func(*SMTP)
		want   string // in the error; "" if it is fine
	}{
		"implicit":            {func(c *SMTP) { c.TLS = TLSImplicit }, ""},
		"IPv6":                {func(c *SMTP) { c.Host = "2001:db8::25" }, ""},
		"in clear, loopback":  {func(c *SMTP) { c.TLS, c.Host = TLSNone, "::1" }, ""},
		"in clear":            {func(c *SMTP) { c.TLS = TLSNone }, "mail in clear"},
		"in clear, allowed":   {func(c *SMTP) { c.TLS, c.AllowPlaintext, c.Auth, c.User, c.Password = TLSNone, true, AuthNone, "", "" }, ""},
		"password in clear":   {func(c *SMTP) { c.TLS, c.AllowPlaintext = TLSNone, true }, "password in clear"},
		"no host":             {func(c *SMTP) { c.Host = "" }, "neither a DNS name nor an IP address"},
		"host with a command": {func(c *SMTP) { c.Host = "a\r\nQUIT" }, "neither a DNS name nor an IP address"},
		"port":                {func(c *SMTP) { c.Port = 70000 }, "1 to 65535"},
		"TLS mode":            {func(c *SMTP) { c.TLS = "maybe" }, "starttls, implicit or none"},
		"mechanism":           {func(c *SMTP) { c.Auth = "ntlm" }, "plain, login or none"},
		"no password":         {func(c *SMTP) { c.Password = "" }, "needs a user and a password"},
		"no user":             {func(c *SMTP) { c.User = "" }, "needs a user and a password"},
		"idle password":       {func(c *SMTP) { c.Auth = AuthNone }, "the authentication is none"},
		"zero byte":           {func(c *SMTP) { c.User = "a\x00b" }, "zero byte"},
		"no sender":           {func(c *SMTP) { c.From = "" }, "is no mail address"},
		"sender":              {func(c *SMTP) { c.From = "induct" }, "is no mail address"},
		"HELO":                {func(c *SMTP) { c.HELO = "two words" }, "HELO name"},
		"timeout":             {func(c *SMTP) { c.Timeout = time.Millisecond }, "a second or more"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := good
			test.change(&cfg)
			_, err := NewSender(cfg)
			switch {
			case (err == nil) != (test.want == ""), err != nil && !strings.Contains(err.Error(), test.want):
				t.Errorf("got %v, want %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), password):
				t.Errorf("%v tells the password", err)
			}
		})
	}
}

// A password does not get out by printing what holds it.
func TestSecret(t *testing.T) {
	cfg := SMTP{Password: password}
	b, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q", cfg, cfg, cfg, cfg.Password, cfg.Password), string(b)} {
		if strings.Contains(text, password) || !strings.Contains(text, "(secret)") {
			t.Errorf("%s", text)
		}
	}
}

// The golden files are those of the samples and no others.
func TestGoldenFilesAreUsed(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := samples()[strings.TrimSuffix(filepath.Base(f), ".txt")]; !ok {
			t.Errorf("%s is no longer used: remove it", f)
		}
	}
	if _, err := os.Stat("testdata/message.eml"); err != nil || len(files) != len(samples()) {
		t.Errorf("%d files, %d samples, %v", len(files), len(samples()), err)
	}
}
