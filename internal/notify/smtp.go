package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/netip"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// TLSMode says how the connection to the mail server is protected.
type TLSMode string

// The modes. STARTTLS is required, not tried: a server that does not offer it gets no mail.
const (
	TLSStart    TLSMode = "starttls" // RFC 3207, usually on port 587
	TLSImplicit TLSMode = "implicit" // from the first byte (RFC 8314), usually on port 465
	TLSNone     TLSMode = "none"     // in clear, usually on port 25
)

// AuthMechanism says how to sign in to the mail server.
type AuthMechanism string

// The mechanisms: SASL PLAIN (RFC 4616), LOGIN (never standardised, wide-spread), or none.
const (
	AuthNone  AuthMechanism = "none"
	AuthPlain AuthMechanism = "plain"
	AuthLogin AuthMechanism = "login"
)

// Secret is a text that does not show when it is printed, logged or marshalled.
type Secret string

// String returns a placeholder.
func (Secret) String() string { return "(secret)" }

// GoString returns a placeholder.
func (Secret) GoString() string { return "(secret)" }

// MarshalText returns a placeholder.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// DefaultTimeout is how long the mail server may take for one step.
const DefaultTimeout = time.Minute

const (
	finalAnswer = 5  // times the timeout: a server looks through the whole message before it answers (RFC 5321 section 4.5.3.2.6)
	attempt     = 10 // times the timeout, for everything together
	quitTime    = 5 * time.Second
	maxAnswers  = 1 << 20 // bytes that a server may send on one connection
)

// SMTP says which mail server takes the mail, and how.
type SMTP struct {
	Host           string // DNS name or IP address
	Port           int    // 0: the usual one of the mode
	TLS            TLSMode
	AllowPlaintext bool // TLSNone to a host that is not loopback
	Auth           AuthMechanism
	User           string
	Password       Secret
	From           string         // address, with or without a display name
	HELO           string         // how we introduce ourselves; "": the machine's name
	Timeout        time.Duration  // of one step; 0: DefaultTimeout
	Roots          *x509.CertPool // whom to trust; nil: the system's authorities
}

// Sender hands messages to a mail server, a connection each. Make it with NewSender.
type Sender struct {
	cfg     SMTP
	total   time.Duration // of one attempt
	final   time.Duration // of the answer to the message
	from    *netmail.Address
	address string // of the server, with the port
	secrets *strings.Replacer
}

// NewSender checks the settings; an error says which one is wrong. It does not connect.
func NewSender(cfg SMTP) (*Sender, error) {
	if cfg.TLS == "" {
		cfg.TLS = TLSStart
	}
	if cfg.Auth == "" {
		cfg.Auth = AuthNone
	}
	if cfg.Port == 0 {
		cfg.Port = map[TLSMode]int{TLSStart: 587, TLSImplicit: 465, TLSNone: 25}[cfg.TLS]
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.HELO == "" {
		cfg.HELO = hostname()
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	from, err := netmail.ParseAddress(cfg.From)
	if err == nil && !deliverable(from.Address) {
		err = errUndeliverable
	}
	if err != nil {
		return nil, fmt.Errorf("mail: sender %q is no mail address: %w", cfg.From, err)
	}
	return &Sender{cfg: cfg, total: attempt * cfg.Timeout, final: finalAnswer * cfg.Timeout, from: from, address: net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)), secrets: cfg.masks()}, nil
}

func (c *SMTP) check() error {
	switch {
	case !word(c.Host):
		return fmt.Errorf("mail: server %q is neither a DNS name nor an IP address", c.Host)
	case c.TLS != TLSStart && c.TLS != TLSImplicit && c.TLS != TLSNone:
		return fmt.Errorf("mail: TLS mode %q: use %s, %s or %s", c.TLS, TLSStart, TLSImplicit, TLSNone)
	case c.Port < 1 || c.Port > 65535:
		return fmt.Errorf("mail: port %d: use 1 to 65535", c.Port)
	case c.Auth != AuthNone && c.Auth != AuthPlain && c.Auth != AuthLogin:
		return fmt.Errorf("mail: authentication %q: use %s, %s or %s", c.Auth, AuthPlain, AuthLogin, AuthNone)
	case c.TLS == TLSNone && !loopback(c.Host) && !c.AllowPlaintext:
		return fmt.Errorf("mail: %s would get mail in clear: use TLS, or allow plain text to it", c.Host)
	case c.TLS == TLSNone && !loopback(c.Host) && c.Auth != AuthNone:
		return fmt.Errorf("mail: %s would get the password in clear: use TLS, or no authentication", c.Host)
	case c.Auth != AuthNone && (c.User == "" || c.Password == ""):
		return fmt.Errorf("mail: authentication %s needs a user and a password", c.Auth)
	case c.Auth == AuthNone && (c.User != "" || c.Password != ""):
		return errors.New("mail: a user or a password is given, and the authentication is none")
	case strings.ContainsRune(c.User+string(c.Password), 0):
		return errors.New("mail: a user or a password with a zero byte cannot be sent")
	case !word(c.HELO):
		return fmt.Errorf("mail: HELO name %q: use a DNS name, or an IP address in brackets", c.HELO)
	case c.Timeout < time.Second:
		return fmt.Errorf("mail: timeout %v: use a second or more", c.Timeout)
	}
	return nil
}

// masks replaces the password in each form in which it goes over the wire: a server may repeat what it was sent.
func (c *SMTP) masks() *strings.Replacer {
	if c.Password == "" {
		return strings.NewReplacer()
	}
	password := string(c.Password)
	b64 := base64.StdEncoding.EncodeToString
	mask := c.Password.String()
	return strings.NewReplacer(b64([]byte("\x00"+c.User+"\x00"+password)), mask, b64([]byte(password)), mask, password, mask)
}

// word reports whether s can stand as one argument of an SMTP command.
func word(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func hostname() string {
	if name, err := os.Hostname(); err == nil && word(name) {
		return name
	}
	return "localhost"
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// clean makes an error's text fit to be stored and shown.
func (s *Sender) clean(text string) string {
	return bounded(oneLine(s.secrets.Replace(text)), maxError)
}

// text tells what went wrong: with the whole attempt, and with addresses.
func (s *Sender) text(err error, refused refusals) string {
	var texts []string
	if err != nil {
		texts = append(texts, err.Error())
	}
	if len(refused) > 0 {
		texts = append(texts, refused.String())
	}
	return s.clean(strings.Join(texts, "; "))
}

// refusal is an address that gets no mail, and why.
type refusal struct {
	address string
	err     error
}

type refusals []refusal

func (r refusals) contains(address string) bool {
	return slices.ContainsFunc(r, func(f refusal) bool { return f.address == address })
}

// temporary reports whether one of them may be accepted later (RFC 5321 section 4.2.1).
func (r refusals) temporary() bool {
	return slices.ContainsFunc(r, func(f refusal) bool {
		var reply *textproto.Error
		return errors.As(f.err, &reply) && reply.Code/100 == 4
	})
}

func (r refusals) String() string {
	texts := make([]string, len(r))
	for i, f := range r {
		texts[i] = f.address + ": " + told(f.err)
	}
	return "not delivered to " + strings.Join(texts, "; ")
}

// A failure is an attempt that delivered nothing.
type failure struct {
	server string
	step   string
	down   bool // no mail would have fared better
	err    error
}

func (f *failure) Error() string {
	return fmt.Sprintf("mail server %s: %s: %s", f.server, f.step, told(f.err))
}

func (f *failure) Unwrap() error { return f.err }

// told is the text of an error, with a reply as the server wrote it: quoted, a password in it could not be found.
func told(err error) string {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), reply.Error(), fmt.Sprintf("%d %s", reply.Code, reply.Msg))
}

func isDown(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.down
}

// send hands the message to the server for the addresses. Without an error the server has taken responsibility for all
// of them but the refused. With one nobody has it, unless the server's final answer was lost: then nobody can know.
func (s *Sender) send(ctx context.Context, m *mail.Msg, to []string) (refusals, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.total, fmt.Errorf("not done within %v", s.total))
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, s.failed(ctx, "connect", true, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c, step, err := s.open(conn)
	if err != nil {
		return nil, s.failed(ctx, step, true, err)
	}
	c.SkipSMTPUTF8(true) // asked for and not needed, it makes the mail undeliverable to servers further on that lack it
	refused, step, err := s.transfer(c, m, to)
	if err != nil {
		return refused, s.failed(ctx, step, false, err)
	}
	if c.UpdateDeadline(min(quitTime, s.cfg.Timeout)) == nil {
		_ = c.Quit() // the mail is the server's by now, whatever it says
	}
	return refused, nil
}

// failed words an error, with the reason in place of what it looks like from the socket.
func (s *Sender) failed(ctx context.Context, step string, down bool, err error) error {
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		err = errors.New("no answer in time")
	}
	return &failure{server: s.address, step: step, down: down, err: err}
}

// dial connects, with TLS if it is implicit.
func (s *Sender) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	conn = &limited{Conn: conn, left: maxAnswers}
	if s.cfg.TLS != TLSImplicit {
		return conn, nil
	}
	secure := tls.Client(conn, s.tls())
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secure, nil
}

func (s *Sender) tls() *tls.Config {
	return &tls.Config{ServerName: s.cfg.Host, RootCAs: s.cfg.Roots, MinVersion: tls.VersionTLS12}
}

// open takes the greeting, makes the connection secure and signs in. The caller closes conn.
func (s *Sender) open(conn net.Conn) (c *smtp.Client, step string, err error) {
	if err := conn.SetDeadline(time.Now().Add(s.cfg.Timeout)); err != nil {
		return nil, "connect", err
	}
	if c, err = smtp.NewClient(conn, s.cfg.Host); err != nil {
		return nil, "greeting", err
	}
	if err := s.within(c, func() error { return c.Hello(s.cfg.HELO) }); err != nil {
		return nil, "EHLO " + s.cfg.HELO, err
	}
	if s.cfg.TLS == TLSStart {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return nil, "STARTTLS", errors.New("the server does not offer it, and mail is not sent in clear")
		}
		if err := s.within(c, func() error { return c.StartTLS(s.tls()) }); err != nil {
			return nil, "STARTTLS", err
		}
	}
	if s.cfg.Auth == AuthNone {
		return c, "", nil
	}
	return c, "sign in as " + s.cfg.User, s.within(c, func() error { return s.signIn(c) })
}

func (s *Sender) signIn(c *smtp.Client) error {
	_, offered := c.Extension("AUTH")
	if want := strings.ToUpper(string(s.cfg.Auth)); !slices.Contains(strings.Fields(offered), want) {
		return fmt.Errorf("the server does not offer %s; it offers %q", want, offered)
	}
	clear := loopback(s.cfg.Host)
	if s.cfg.Auth == AuthLogin {
		return c.Auth(smtp.LoginAuth(s.cfg.User, string(s.cfg.Password), s.cfg.Host, clear))
	}
	return c.Auth(smtp.PlainAuth("", s.cfg.User, string(s.cfg.Password), s.cfg.Host, clear))
}

// transfer is one mail transaction (RFC 5321 section 3.3). It goes on without the addresses that are refused.
func (s *Sender) transfer(c *smtp.Client, m *mail.Msg, to []string) (refused refusals, step string, err error) {
	step = "MAIL FROM " + s.from.Address
	err = s.within(c, func() error { return c.Mail(path(s.from.Address)) })
	if err != nil {
		return nil, step, err
	}
	for _, a := range to {
		err := s.within(c, func() error { return c.Rcpt(path(a)) })
		var reply *textproto.Error
		switch {
		case errors.As(err, &reply) && reply.Code != 421: // 421: it closes the connection
			refused = append(refused, refusal{a, err})
		case err != nil:
			return refused, "RCPT TO " + a, err
		}
	}
	if len(refused) == len(to) {
		return refused, "RCPT TO", errors.New("every address was refused")
	}
	var body interface {
		Write([]byte) (int, error)
		Close() error
	}
	if err := s.within(c, func() (err error) { body, err = c.Data(); return err }); err != nil {
		return refused, "DATA", err
	}
	if err := s.within(c, func() error { _, err := m.WriteTo(body); return err }); err != nil {
		return refused, "message", err
	}
	if err := c.UpdateDeadline(s.final); err != nil {
		return refused, "message", err
	}
	if err := body.Close(); err != nil {
		return refused, finalStep(err), err
	}
	return refused, "", nil
}

// finalStep tells a message that was refused from one of which nothing is known.
func finalStep(err error) string {
	if reply := (*textproto.Error)(nil); errors.As(err, &reply) {
		return "message"
	}
	return "message sent, and the final answer was lost (it may have arrived)"
}

func (s *Sender) within(c *smtp.Client, do func() error) error {
	if err := c.UpdateDeadline(s.cfg.Timeout); err != nil {
		return err
	}
	return do()
}

// path writes an address as RFC 5321 section 4.1.2 does.
func path(address string) string { return (&netmail.Address{Address: address}).String() }

// limited is a connection on which a server may not talk without end.
type limited struct {
	net.Conn
	left int
}

func (c *limited) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the server sends more than an SMTP server has to say")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
