package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// One process has a data directory; a second one says so and leaves the first alone.
func TestDataDirectoryInUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	inUse := []string{"induct: ", dir, "in use by another process"}
	refuses(t, inUse, "serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0")
	refuses(t, inUse, "serve", "--data", dir, "--listen", "127.0.0.1:0")
	refuses(t, inUse, "demo", "--exit", "--data", dir, "--listen", "127.0.0.1:0")
	refuses(t, inUse, "app", "create", "--data", dir)
	l := newLedger(1)
	if !l.send(t, t.Context(), p.client(t), l.compose()) {
		t.Error("the first process no longer accepts uploads")
	}
}

// A restart keeps who is who, adds a secret and forgets none.
func TestCredentialsAcrossRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := start(t, dir)
	old := first.env
	before := first.client(t)
	if code := first.stop(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	second := start(t, dir)
	for _, name := range []string{"TENANT_ID", "CLIENT_ID", "SP_ID", "JOB_ID"} {
		if old[name] == "" || second.env[name] != old[name] {
			t.Errorf("%s was %q and is %q", name, old[name], second.env[name])
		}
	}
	if second.env["CLIENT_SECRET"] == old["CLIENT_SECRET"] {
		t.Error("both starts printed the same secret")
	}
	now := second.client(t)
	withOld := map[string]string{}
	for k, v := range second.env {
		withOld[k] = v
	}
	withOld["CLIENT_SECRET"] = old["CLIENT_SECRET"]
	if _, err := signIn(withOld, newHTTP()); err != nil {
		t.Errorf("with the secret of the first start: %v", err)
	}
	withOld["CLIENT_SECRET"] = "wrong" + old["CLIENT_SECRET"]
	if _, err := signIn(withOld, newHTTP()); err == nil {
		t.Error("any secret is good")
	}
	now.token = before.token
	var job struct{ ID string }
	now.get(t, now.job, &job) // a token outlives the process that issued it
	if job.ID != old["JOB_ID"] {
		t.Errorf("the job is %q", job.ID)
	}
}

// The credentials go to a file that only its owner reads, as assignments that a shell takes as they are.
func TestEnvFile(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "a data dir"))
	info, err := os.Stat(p.envFile)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %o", info.Mode().Perm())
	}
	names := []string{"GRAPH_BASE", "AUTHORITY", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "SP_ID", "JOB_ID", "CA_FILE"}
	if len(p.env) != len(names) {
		t.Errorf("it has %d assignments, want %d", len(p.env), len(names))
	}
	script := `set -eu; . "$1"; printf '%s\n' "$GRAPH_BASE" "$AUTHORITY" "$TENANT_ID" "$CLIENT_ID" "$CLIENT_SECRET" "$SP_ID" "$JOB_ID" "$CA_FILE"`
	out, err := exec.Command("sh", "-c", script, "sh", p.envFile).CombinedOutput()
	if err != nil {
		t.Fatalf("a shell cannot read it: %v\n%s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	for i, name := range names {
		if lines[i] != p.env[name] {
			t.Errorf("%s is %q to a shell and %q in the file", name, lines[i], p.env[name])
		}
	}
}

// With local TLS the data directory's path stands in CA_FILE: a shell must read it, whatever its characters.
func TestEnvFileNamesCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "somebody's data")
	p := start(t, dir, "--tls", "local")
	out, err := exec.Command("sh", "-c", `set -eu; . "$1"; cat "$CA_FILE"`, "sh", p.envFile).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("BEGIN CERTIFICATE")) {
		t.Errorf("a shell does not find CA_FILE: %v\n%s", err, out)
	}
}

// Plain HTTP is for loopback only.
func TestListen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
		refuses(t, []string{"plain HTTP", address, "--tls local"}, "serve", "--dev", "--data", dir, "--listen", address)
	}
	refuses(t, []string{"HOST:PORT"}, "serve", "--dev", "--data", dir, "--listen", "8080")
	refuses(t, []string{"--tls"}, "serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--tls", "on")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a refused start has made the data directory: %v", err)
	}
	p := start(t, dir)
	taken, err := url.Parse(p.env["GRAPH_BASE"])
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, []string{"listen", "address already in use"}, "serve", "--dev", "--data", dir+"2", "--listen", taken.Host)
}

// Local TLS works for whoever trusts CA_FILE, and for nobody else, also on all interfaces and after a restart.
func TestLocalTLS(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var ca []byte
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		p := start(t, dir, "--tls", "local", "--listen", address)
		pem, err := os.ReadFile(p.env["CA_FILE"])
		if err != nil {
			t.Fatal(err)
		}
		if ca != nil && !bytes.Equal(ca, pem) {
			t.Error("the certificate authority has changed")
		}
		ca = pem
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			t.Fatal("CA_FILE has no certificate")
		}
		if !strings.HasPrefix(p.env["GRAPH_BASE"], "https://") {
			t.Errorf("GRAPH_BASE is %s", p.env["GRAPH_BASE"])
		}
		if _, err := signIn(p.env, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}}); err == nil {
			t.Error("a client that does not trust CA_FILE was served")
		}
		c, err := signIn(p.env, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}})
		if err != nil {
			t.Fatal(err)
		}
		l := newLedger(1)
		if !l.send(t, t.Context(), c, l.compose()) {
			t.Fatal("the upload was not accepted")
		}
		c.settled(t, l.accepted[0].upload)
		if code := p.stop(t, 10*time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

// What keeps the service from starting is said, with exit code 1.
func TestUnusableDataDirectory(t *testing.T) {
	tmp := t.TempDir()
	file := filepath.Join(tmp, "file")
	broken := filepath.Join(tmp, "broken")
	foreign := filepath.Join(tmp, "foreign")
	for _, err := range []error{
		os.WriteFile(file, []byte("not a directory"), 0o600),
		os.MkdirAll(broken, 0o700), os.WriteFile(filepath.Join(broken, "induct.db"), bytes.Repeat([]byte("not a database. "), 512), 0o600),
		os.MkdirAll(filepath.Join(foreign, "induct.db"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]string{file: "not a directory", filepath.Join(file, "below"): "not a directory",
		broken: "not a database", foreign: "is a directory"}
	if runtime.GOOS == "linux" {
		tests["/proc/induct"] = "/proc/induct" // nobody writes here, root neither
		tests["/proc/self"] = "/proc/self/lock"
	}
	for dir, words := range tests {
		refuses(t, []string{"induct: ", words}, "serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0")
		refuses(t, []string{"induct: ", words}, "demo", "--exit", "--data", dir, "--listen", "127.0.0.1:0")
		refuses(t, []string{"induct: ", words}, "app", "create", "--data", dir)
	}
	refuses(t, []string{"--env-file", "no such file or directory"}, "serve", "--dev", "--data", filepath.Join(tmp, "new"),
		"--listen", "127.0.0.1:0", "--env-file", filepath.Join(tmp, "none", "f.env"))
	refuses(t, []string{"--data DIR or --database URL is needed"}, "serve", "--listen", "127.0.0.1:0")
}

// figures are the ends in the summary of a demo, and the reasons of its failures.
func figures(t *testing.T, dir string) (ends map[string]string, reasons string) {
	t.Helper()
	r := execute(t, "demo", "--exit", "--data", dir, "--listen", "127.0.0.1:0")
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if !regexp.MustCompile(`(?m)^1,006 rows read, 1,006 accepted in \d+ requests`).MatchString(r.stdout) {
		t.Errorf("the summary does not say what was read and accepted:\n%s", r.stdout)
	}
	ends = map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  (created|updated|unchanged|disabled|skipped|failed) +([\d,]+)$`).FindAllStringSubmatch(r.stdout, -1) {
		ends[m[1]] = m[2]
	}
	_, reasons, _ = strings.Cut(r.stdout, "\nReasons\n")
	return ends, reasons
}

// The demo shows what it promises, and again on the same directory creates nobody.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, why := figures(t, dir)
	if first["created"] != "998" || first["updated"] != "6" || first["failed"] != "2" || len(first) != 3 {
		t.Errorf("the first time: %v", first)
	}
	// Six people stand in the file twice, with different data: each of their rows changes them back or forth.
	second, whyAgain := figures(t, dir)
	if second["unchanged"] != "992" || second["updated"] != "12" || second["failed"] != "2" || len(second) != 3 {
		t.Errorf("the second time: %v", second)
	}
	if why == "" || whyAgain != why {
		t.Errorf("the failures were\n%s\nand are\n%s", why, whyAgain)
	}
	p := start(t, dir)
	c := p.client(t)
	if n := len(list[user](t, c, c.graph+"/users"+query("$top", "500"))); n != 998 {
		t.Errorf("the directory has %d users", n)
	}
}

func TestKeyRotationKeepsTheService(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		out, err := exec.Command(binary, "key", "rotate", "--data", dir).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "new signing key") {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// The service's configuration file serves the commands beside it: they take what concerns them, and name what nobody knows.
func TestOneConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "induct.yaml")
	write := func(more string) {
		t.Helper()
		text := "data: " + filepath.Join(dir, "data") + "\nlisten: 127.0.0.1:9\nlimits: reference\n" + more
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	for _, args := range [][]string{{"app", "create", "--name", "HR"}, {"key", "rotate"}} {
		if r := execute(t, append(args, "--config", config)...); r.code != 0 {
			t.Errorf("%v: %d %s", args, r.code, r.stderr)
		}
	}
	write("lissten: 127.0.0.1:8\n")
	refuses(t, []string{"lissten", "induct serve --help"}, "key", "rotate", "--config", config)
}
