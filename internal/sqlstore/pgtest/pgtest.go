// Package pgtest runs private PostgreSQL clusters for tests and measurements: the real server, as the packages of Debian
// and Ubuntu install it, on a loopback port and in a directory of its own, with fsync on. It can be killed and started again.
package pgtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	owner     = "induct"
	startup   = time.Minute // recovery after Kill included
	socketMax = 90          // bytes of a socket's directory; the kernel takes 107 for the whole path
)

// A Server is one PostgreSQL cluster. Its methods may be called from several goroutines.
type Server struct {
	dir      string // holds data, log and the socket
	bin      string
	ours     bool // dir goes with Close
	port     int
	password string
	settings []string

	mu      sync.Mutex
	cmd     *exec.Cmd // nil: not running
	ended   chan struct{}
	watcher func() error
}

// Start makes a cluster in dir, which is made if it is missing, and starts it; settings, such as "work_mem=8MB", are
// PostgreSQL's own and go to its command line. An empty dir is a temporary one. PostgreSQL refuses to run as root: then it
// runs as the user postgres, who gets dir and must be able to reach it. When the calling process ends, in whatever way, the
// server ends too, and a temporary dir is removed. Close ends it before that.
func Start(dir string, settings ...string) (_ *Server, err error) {
	s := &Server{dir: dir, password: rand.Text(), settings: settings}
	if s.bin, err = binaries(); err != nil {
		return nil, err
	}
	if dir == "" {
		s.ours = true
		if s.dir, err = os.MkdirTemp("", "induct-pg-"); err != nil {
			return nil, err
		}
	} else if s.dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := s.initialize(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.watch(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.Restart(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// binaries returns the directory of PostgreSQL's programs, of the newest version that is installed.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	version := func(initdb string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if initdb, err := exec.LookPath("initdb"); err == nil {
		found = append(found, initdb)
	}
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed: run make tools (Debian and Ubuntu: apt-get install postgresql)")
	}
	return filepath.Dir(found[0]), nil
}

// initialize makes the cluster's files and picks its port.
func (s *Server) initialize() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := giveAway(s.dir); err != nil {
		return err
	}
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(s.password), 0o600); err != nil {
		return err
	}
	defer os.Remove(secret)
	if err := giveAway(secret); err != nil {
		return err
	}
	cmd, err := s.command("initdb", "--pgdata", s.data(), "--username", owner, "--pwfile", secret, "--auth-local", "trust",
		"--auth-host", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--data-checksums", "--no-sync")
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb in %s (can its user reach it?): %w\n%s", s.dir, err, out)
	}
	s.port, err = freePort()
	return err
}

// freePort returns a port that is free and that no outgoing connection is given: it must be free again after Kill.
func freePort() (int, error) {
	var first error
	for range 50 {
		var b [2]byte
		rand.Read(b[:])
		port := 20000 + (int(b[0])<<8|int(b[1]))%12000
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		first = errors.Join(first, err)
	}
	return 0, first
}

// command is one of PostgreSQL's programs, in an environment that does not configure it.
func (s *Server) command(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	var err error
	cmd.SysProcAttr, err = apart()
	return cmd, err
}

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) pidFile() string { return filepath.Join(s.data(), "postmaster.pid") }

// watch starts a process that ends the server, and removes a temporary directory, when this one has ended: its standard
// input is a pipe that nobody writes to.
func (s *Server) watch() error {
	script := `cat >/dev/null; "$1/pg_ctl" stop -s -m immediate -D "$2/data" >/dev/null 2>&1; if [ "$3" = true ]; then rm -rf "$2"; fi`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", s.bin, s.dir, strconv.FormatBool(s.ours))
	var err error
	if cmd.SysProcAttr, err = apart(); err != nil {
		return err
	}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.watcher = func() error { return errors.Join(pipe.Close(), cmd.Wait()) }
	return nil
}

// Restart starts the server, after it has been stopped in an orderly way if it runs, and waits until it takes connections.
// The address stays the same.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	log, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, err := s.command("postgres", s.arguments()...)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		cmd.Wait()
		close(ended)
	}(s.ended)
	return s.ready()
}

func (s *Server) arguments() []string {
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	sockets := s.dir
	if len(sockets) > socketMax {
		sockets = ""
	}
	for _, set := range slices.Concat([]string{"listen_addresses=127.0.0.1", "unix_socket_directories=" + sockets, "fsync=on",
		"max_connections=200", "log_min_messages=warning"}, s.settings) {
		args = append(args, "-c", set)
	}
	return args
}

// ready waits until the server says in its file, as pg_ctl reads it, that it takes connections.
func (s *Server) ready() error {
	deadline := time.After(startup)
	for {
		text, err := os.ReadFile(s.pidFile())
		lines := strings.Split(string(text), "\n")
		if err == nil && len(lines) > 7 && lines[0] == strconv.Itoa(s.cmd.Process.Pid) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
		select {
		case <-s.ended:
			s.cmd = nil
			log, _ := os.ReadFile(s.LogFile())
			return fmt.Errorf("PostgreSQL does not start:\n%s", log[max(0, len(log)-2000):])
		case <-deadline:
			s.kill()
			return fmt.Errorf("PostgreSQL is not ready after %v", startup)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends the server in an orderly way: connections are cut, what was committed is flushed. Its data stays.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	defer func() { s.cmd = nil }()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(startup):
		s.kill()
		return fmt.Errorf("PostgreSQL has not ended %v after it was told to", startup)
	}
}

// Kill ends every process of the server as a power failure would; only what has reached the operating system stays.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

func (s *Server) kill() {
	if s.cmd == nil {
		return
	}
	killChildren(s.cmd.Process.Pid)
	s.cmd.Process.Kill()
	<-s.ended
	s.cmd = nil
}

// Close ends the server; a temporary directory goes with it.
func (s *Server) Close() error {
	err := s.Stop()
	os.Remove(s.pidFile()) // after Kill it names a process that may be somebody else's by now
	if s.watcher != nil {
		err = errors.Join(err, s.watcher())
		s.watcher = nil
	}
	if s.ours {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// LogFile is where the server writes its log.
func (s *Server) LogFile() string { return filepath.Join(s.dir, "log") }

// Address is the host and port that the server listens on: what a proxy in front of it dials.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is how a client reaches a database, with the password of its owner, over TCP.
func (s *Server) URL(database string) string { return s.URLThrough(s.Address(), database) }

// URLThrough is URL with another host and port: those of a proxy.
func (s *Server) URLThrough(address, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(owner, s.password), Host: address, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// SocketURL is URL over the server's Unix socket, which asks for no password. Too long a directory has none: "".
func (s *Server) SocketURL(database string) string {
	if len(s.dir) > socketMax {
		return ""
	}
	q := url.Values{"host": {s.dir}, "port": {strconv.Itoa(s.port)}, "user": {owner}}
	u := url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// CreateDatabase makes an empty database; its name is a plain identifier.
func (s *Server) CreateDatabase(name string) error {
	_, err := s.Query("postgres", "CREATE DATABASE "+name)
	return err
}

// DropDatabase removes a database and whoever is connected to it.
func (s *Server) DropDatabase(name string) error {
	_, err := s.Query("postgres", "DROP DATABASE "+name+" WITH (FORCE)")
	return err
}

// Query runs SQL in a database through psql and returns what it prints: a row a line, columns parted by "|".
func (s *Server) Query(database, sql string) (string, error) {
	cmd, err := s.command("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1",
		"--host", "127.0.0.1", "--port", strconv.Itoa(s.port), "--username", owner, "--dbname", database, "--command", sql)
	if err != nil {
		return "", err
	}
	cmd.Env = append(cmd.Env, "PGPASSWORD="+s.password, "PGCONNECT_TIMEOUT=30")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
