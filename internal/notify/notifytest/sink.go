// Package notifytest is a mail server for tests: it listens on loopback, speaks
// SMTP with STARTTLS and AUTH, keeps what it receives, and misbehaves on request.
package notifytest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"induct/internal/localca"
)

// Verbs that a Script is asked about beside the client's commands (HELO EHLO STARTTLS AUTH MAIL RCPT DATA RSET NOOP QUIT).
const (
	Connect = "CONNECT" // before the greeting
	End     = "END"     // the message is complete and not kept yet
	Kept    = "KEPT"    // the message is kept and the client does not know yet
)

// Answer is what a Script makes the server say: a reply such as "451 4.7.1 come back later", or one of these.
type Answer string

// AsUsual answers as the server would. Drop closes the connection. Hang says nothing until the client goes away.
const (
	AsUsual Answer = ""
	Drop    Answer = "(drop)"
	Hang    Answer = "(hang)"
)

// Script decides about a command with its argument. It may take its time. Calls come from several goroutines.
type Script func(verb, arg string) Answer

// Options say what the server is like. The zero Options: STARTTLS is offered and not required, nobody has to sign in.
type Options struct {
	Implicit       bool // TLS from the first byte
	NoSTARTTLS     bool // it is not offered
	User, Password string
	Mechanisms     string // that are offered if there is a User; "": "PLAIN LOGIN"
	Script         Script
}

// Message is a mail that the server has taken responsibility for.
type Message struct {
	From   string   // of the envelope
	To     []string // of the envelope, without those that were refused
	TLS    bool
	User   string // who has signed in
	Header mail.Header
	Body   string // decoded, lines end in \n
	Raw    []byte // as it came, lines end in \n
}

// Subject returns the decoded subject.
func (m Message) Subject() string {
	s, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return m.Header.Get("Subject")
	}
	return s
}

// Sink is a running server.
type Sink struct {
	Host   string // a loopback address
	Port   int
	CAFile string         // PEM, of the authority that its certificate comes from
	Roots  *x509.CertPool // with that authority

	options  Options
	tls      *tls.Config
	mu       sync.Mutex
	script   Script
	messages []Message
	lines    []string
	conns    map[net.Conn]bool // nil once it is closed
	wg       sync.WaitGroup
}

// Start starts a server that ends with the test.
func Start(t testing.TB, options Options) *Sink {
	t.Helper()
	cert, file, err := localca.Load(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if options.Mechanisms == "" {
		options.Mechanisms = "PLAIN LOGIN"
	}
	s := &Sink{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, CAFile: file, Roots: x509.NewCertPool(),
		options: options, script: options.Script, conns: make(map[net.Conn]bool),
		tls: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}}
	s.Roots.AppendCertsFromPEM(pem)
	s.wg.Go(func() { s.accept(l) })
	t.Cleanup(func() { l.Close(); s.close(); s.wg.Wait() })
	return s
}

// SetScript replaces the script; nil: the server behaves.
func (s *Sink) SetScript(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Messages returns what was received so far, oldest first.
func (s *Sink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Lines returns the commands of all clients so far. Those that came in clear begin with "clear: ".
func (s *Sink) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

func (s *Sink) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.conns == nil {
			conn.Close()
		} else {
			s.conns[conn] = true
			s.wg.Go(func() { s.serve(conn) })
		}
		s.mu.Unlock()
	}
}

func (s *Sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
}

// errDropped ends a session.
var errDropped = errors.New("dropped")

// session is one connection.
type session struct {
	*Sink
	conn   net.Conn
	text   *textproto.Conn
	secure bool
	user   string
	mail   Message // that is coming
}

func (s *Sink) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	c := &session{Sink: s, conn: conn, text: textproto.NewConn(conn)}
	if s.options.Implicit {
		c.startTLS()
	}
	if c.reply(Connect, "", "220 sink.example ESMTP") != nil {
		return
	}
	for {
		line, err := c.text.ReadLine()
		if err != nil || len(line) > 4096 || c.command(line) != nil {
			return
		}
	}
}

func (c *session) startTLS() {
	secure := tls.Server(c.conn, c.tls)
	c.conn, c.text, c.secure = secure, textproto.NewConn(secure), true
}

// ask lets the script decide; ok: it has nothing against it. An error ends the session.
func (c *session) ask(verb, arg string) (ok bool, err error) {
	c.mu.Lock()
	script := c.script
	c.mu.Unlock()
	if script == nil {
		return true, nil
	}
	switch a := script(verb, arg); a {
	case AsUsual:
		return true, nil
	case Drop:
		return false, errDropped
	case Hang:
		_, _ = io.Copy(io.Discard, c.conn)
		return false, errDropped
	default:
		return false, c.text.PrintfLine("%s", a)
	}
}

// reply answers, unless the script does.
func (c *session) reply(verb, arg, usual string) error {
	ok, err := c.ask(verb, arg)
	if !ok {
		return err
	}
	return c.text.PrintfLine("%s", usual)
}

func (c *session) command(line string) error {
	c.record(line)
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	switch verb {
	case "EHLO":
		return c.reply(verb, arg, c.greeting())
	case "STARTTLS":
		ok, err := c.ask(verb, arg)
		switch {
		case !ok:
			return err
		case c.secure || c.options.NoSTARTTLS:
			return c.text.PrintfLine("502 5.5.1 not here")
		}
		if err := c.text.PrintfLine("220 2.0.0 go ahead"); err != nil {
			return err
		}
		c.startTLS()
		return nil
	case "AUTH":
		return c.auth(arg)
	case "MAIL":
		if c.options.User != "" && c.user == "" {
			return c.text.PrintfLine("530 5.7.0 authentication required")
		}
		return c.take(verb, arg, func() { c.mail = Message{From: inner(arg), TLS: c.secure, User: c.user} })
	case "RCPT":
		return c.take(verb, arg, func() { c.mail.To = append(c.mail.To, inner(arg)) })
	case "DATA":
		return c.data()
	case "RSET":
		c.mail = Message{}
		return c.reply(verb, arg, "250 2.0.0 forgotten")
	case "HELO", "NOOP":
		return c.reply(verb, arg, "250 2.0.0 sink.example")
	case "QUIT":
		return errors.Join(c.reply(verb, arg, "221 2.0.0 bye"), errDropped)
	}
	return c.text.PrintfLine("500 5.5.2 unknown command")
}

func (c *session) record(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.secure {
		line = "clear: " + line
	}
	c.lines = append(c.lines, line)
}

func (c *session) greeting() string {
	lines := []string{"sink.example", "8BITMIME", "ENHANCEDSTATUSCODES"}
	if !c.secure && !c.options.NoSTARTTLS {
		lines = append(lines, "STARTTLS")
	}
	if c.options.User != "" {
		lines = append(lines, "AUTH "+c.options.Mechanisms)
	}
	return "250-" + strings.Join(lines[:len(lines)-1], "\r\n250-") + "\r\n250 " + lines[len(lines)-1]
}

// take carries out an accepted command.
func (c *session) take(verb, arg string, do func()) error {
	ok, err := c.ask(verb, arg)
	if !ok {
		return err
	}
	do()
	return c.text.PrintfLine("250 2.1.0 ok")
}

// inner returns the address in FROM:<a@b> and TO:<a@b>.
func inner(arg string) string {
	_, rest, _ := strings.Cut(arg, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

func (c *session) auth(arg string) error {
	if ok, err := c.ask("AUTH", arg); !ok {
		return err
	}
	mechanism, initial, _ := strings.Cut(arg, " ")
	var user, password string
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		parts := strings.Split(decoded(initial), "\x00")
		if len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	case "LOGIN":
		user, password = c.prompt("Username:"), c.prompt("Password:")
	default:
		return c.text.PrintfLine("504 5.5.4 unknown mechanism")
	}
	if user != c.options.User || password != c.options.Password {
		return c.text.PrintfLine("535 5.7.8 authentication failed")
	}
	c.user = user
	return c.text.PrintfLine("235 2.7.0 welcome")
}

// prompt asks for a value as LOGIN does; "" if the client has gone.
func (c *session) prompt(question string) string {
	if c.text.PrintfLine("334 %s", base64.StdEncoding.EncodeToString([]byte(question))) != nil {
		return ""
	}
	line, _ := c.text.ReadLine()
	return decoded(line)
}

func decoded(s string) string {
	b, _ := base64.StdEncoding.DecodeString(s)
	return string(b)
}

func (c *session) data() error {
	if len(c.mail.To) == 0 {
		return c.text.PrintfLine("503 5.5.1 no recipients")
	}
	ok, err := c.ask("DATA", "")
	if !ok {
		return err
	}
	if err := c.text.PrintfLine("354 go ahead"); err != nil {
		return err
	}
	raw, err := c.text.ReadDotBytes()
	if err != nil {
		return err
	}
	if ok, err := c.ask(End, ""); !ok {
		return err
	}
	m, err := parse(c.mail, raw)
	if err != nil {
		return c.text.PrintfLine("554 5.6.0 %s", err)
	}
	c.mu.Lock()
	c.messages = append(c.messages, m)
	c.mu.Unlock()
	c.mail = Message{}
	return c.reply(Kept, "", "250 2.0.0 kept")
}

// parse reads a message into its envelope.
func parse(m Message, raw []byte) (Message, error) {
	read, err := mail.ReadMessage(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return m, err
	}
	var body io.Reader = read.Body
	switch encoding := read.Header.Get("Content-Transfer-Encoding"); encoding {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "", "7bit", "8bit":
	default:
		return m, fmt.Errorf("encoding %q", encoding)
	}
	b, err := io.ReadAll(body)
	m.Header, m.Raw, m.Body = read.Header, raw, strings.ReplaceAll(string(b), "\r\n", "\n")
	return m, err
}
