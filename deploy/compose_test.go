package deploy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// composeFile is what compose.yaml uses of the Compose specification. A name that is not here is a mistake, there or here.
type composeFile struct {
	Name      string
	Contained any `yaml:"x-contained"`
	Induct    any `yaml:"x-induct"`
	Services  map[string]service
	Networks  map[string]struct {
		Internal bool
		IPAM     struct {
			Config []struct{ Subnet netip.Prefix }
		}
	}
	Volumes map[string]struct{}
	Secrets map[string]struct{ File string }
}

type service struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	Command     []string
	User        string
	Environment map[string]string
	Secrets     []string
	Volumes     []string
	Ports       []string
	Tmpfs       []string
	Networks    map[string]struct {
		Address netip.Addr `yaml:"ipv4_address"`
	}
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck struct {
		Test              []string
		Interval, Timeout time.Duration
		Retries           int
		StartPeriod       time.Duration `yaml:"start_period"`
	}
	Restart         string
	ReadOnly        bool     `yaml:"read_only"`
	CapDrop         []string `yaml:"cap_drop"`
	CapAdd          []string `yaml:"cap_add"`
	SecurityOpt     []string `yaml:"security_opt"`
	Ulimits         map[string]struct{ Soft, Hard int }
	StopSignal      string        `yaml:"stop_signal"`
	StopGracePeriod time.Duration `yaml:"stop_grace_period"`
	ShmSize         string        `yaml:"shm_size"`
	Logging         struct {
		Driver  string
		Options map[string]string
	}
}

func compose(t *testing.T) composeFile {
	t.Helper()
	var file composeFile
	d := yaml.NewDecoder(strings.NewReader(read(t, "compose.yaml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatalf("compose.yaml: %v", err)
	}
	return file
}

var replicas = []string{"induct-a", "induct-b"}

func TestComposeServices(t *testing.T) {
	file := compose(t)
	if len(file.Services) != 4 {
		t.Errorf("%d services, want two replicas, lb and postgres", len(file.Services))
	}
	for name, s := range file.Services {
		if s.Image != "induct:local" && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %s names no release", name, s.Image)
		}
		if len(s.Healthcheck.Test) < 2 || s.Healthcheck.Test[0] != "CMD" || s.Healthcheck.Interval == 0 || s.Healthcheck.Timeout == 0 ||
			s.Healthcheck.Retries == 0 || s.Healthcheck.StartPeriod == 0 {
			t.Errorf("%s: its health check is missing or incomplete: %+v", name, s.Healthcheck)
		}
		if s.Restart != "unless-stopped" || s.StopSignal == "" || s.StopGracePeriod == 0 {
			t.Errorf("%s: how it starts again and stops is not said", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s: it may do more than it needs", name)
		}
		if name != "postgres" && (!s.ReadOnly || len(s.CapAdd) > 0) {
			t.Errorf("%s: it may write to its image, or has capabilities", name)
		}
		if s.Logging.Options["max-size"] == "" {
			t.Errorf("%s: its log fills the disk", name)
		}
		if name != "lb" && len(s.Ports) > 0 {
			t.Errorf("%s: it is published to everybody", name)
		}
		for _, secret := range s.Secrets {
			if _, ok := file.Secrets[secret]; !ok {
				t.Errorf("%s: there is no secret %s", name, secret)
			}
		}
		for network := range s.Networks {
			if _, ok := file.Networks[network]; !ok {
				t.Errorf("%s: there is no network %s", name, network)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, ok := file.Volumes[source]; ok {
				continue
			}
			if _, err := os.Stat(source); err != nil {
				t.Errorf("%s: %s is neither a volume nor a file", name, source)
			}
		}
	}
	for _, name := range replicas {
		s := file.Services[name]
		if s.Build.Context != ".." || s.Build.Dockerfile != "deploy/Dockerfile" {
			t.Errorf("%s: it is built from %+v", name, s.Build)
		}
		if s.DependsOn["postgres"].Condition != "service_healthy" {
			t.Errorf("%s: it does not wait for the database", name)
		}
		if s.Ulimits["nofile"].Soft < 65536 {
			t.Errorf("%s: few open files", name)
		}
		if !slices.Equal(s.Healthcheck.Test[1:], []string{"/induct", "health"}) {
			t.Errorf("%s: health check %q, want one that asks for readiness", name, s.Healthcheck.Test)
		}
	}
	if file.Services["postgres"].Environment["POSTGRES_USER"] == "postgres" {
		t.Error("the database is the superuser's")
	}
	if len(file.Services["postgres"].Networks) != 1 || !file.Networks["back"].Internal {
		t.Error("postgres is not on the internal network alone")
	}
	if _, ok := file.Services["lb"].Networks["back"]; ok {
		t.Error("the load balancer reaches the database")
	}
}

// TestComposeSecrets: passwords and keys come as files, each for those who need it, made by prepare and out of the repository.
func TestComposeSecrets(t *testing.T) {
	file := compose(t)
	dir := prepared(t, "induct.corp.example")
	for name, secret := range file.Secrets {
		if _, err := os.Stat(filepath.Join(dir, secret.File)); err != nil || !strings.HasPrefix(secret.File, "./secrets/") {
			t.Errorf("prepare does not make the secret %s: %v", name, err)
		}
	}
	made, err := os.ReadDir(filepath.Join(dir, "secrets"))
	if err != nil || len(made) != len(file.Secrets) {
		t.Errorf("prepare makes %d files, %d are used: %v", len(made), len(file.Secrets), err)
	}
	for name, s := range file.Services {
		for variable, value := range s.Environment {
			if path, ok := strings.CutPrefix(value, "/run/secrets/"); ok {
				if !slices.Contains(s.Secrets, path) {
					t.Errorf("%s: %s is a secret that it is not given", name, value)
				}
			} else if regexp.MustCompile(`PASS|SECRET|_KEY|TOKEN`).MatchString(variable) || regexp.MustCompile(`://[^/]*:[^/]*@`).MatchString(value) {
				t.Errorf("%s: %s is no file", name, variable)
			}
		}
	}
	for secret, users := range map[string][]string{"postgres_password": {"postgres"}, "site_pem": {"lb"}, "pgpass": replicas, "induct_key": replicas} {
		for name, s := range file.Services {
			if slices.Contains(s.Secrets, secret) != slices.Contains(users, name) {
				t.Errorf("%s is for %q: %s", secret, users, name)
			}
		}
	}
	ignored := strings.Split(read(t, ".gitignore"), "\n")
	if !slices.Contains(ignored, "/secrets/") || !slices.Contains(ignored, "/.env") {
		t.Errorf("git does not ignore what prepare makes: %q", ignored)
	}
}

// TestComposeAgreesWithLoadBalancer: addresses and ports stand in both files.
func TestComposeAgreesWithLoadBalancer(t *testing.T) {
	file := compose(t)
	config := read(t, "haproxy.cfg")
	lb := file.Services["lb"]
	subnet := file.Networks["front"].IPAM.Config[0].Subnet
	for name, s := range file.Services {
		if at, ok := s.Networks["front"]; ok && !subnet.Contains(at.Address) {
			t.Errorf("%s: %s is not of %s", name, at.Address, subnet)
		}
	}
	for _, name := range replicas {
		s := file.Services[name]
		line := fmt.Sprintf("    server %s %s%s\n", name, s.Networks["front"].Address, s.Environment["INDUCT_LISTEN"])
		if !strings.Contains(config, line) {
			t.Errorf("haproxy.cfg has no line %q", line)
		}
		_, port, _ := strings.Cut(s.Environment["INDUCT_METRICS_LISTEN"], ":")
		if !strings.Contains(config, " check port "+port+" ") {
			t.Errorf("haproxy.cfg does not ask at port %s whether %s is ready", port, name)
		}
		if s.Environment["INDUCT_TRUSTED_PROXIES"] != lb.Networks["front"].Address.String() {
			t.Errorf("%s trusts %s, want the load balancer alone", name, s.Environment["INDUCT_TRUSTED_PROXIES"])
		}
		delay, err := time.ParseDuration(s.Environment["INDUCT_SHUTDOWN_DELAY"])
		if every := numbers(t, ` inter (\d+)s `, config)[0]; err != nil || delay < 2*time.Duration(every)*time.Second {
			t.Errorf("%s stops serving after %s, before the load balancer has turned away: %v", name, delay, err)
		}
		if s.StopGracePeriod < unitDuration(t, "TimeoutStopSec") {
			t.Errorf("%s: it is killed after %s, sooner than by systemd", name, s.StopGracePeriod)
		}
	}
	if n := strings.Count(config, "\n    server "); n != len(replicas) {
		t.Errorf("haproxy.cfg has %d servers", n)
	}
	for _, m := range regexp.MustCompile(`/run/secrets/(\w+)`).FindAllStringSubmatch(config, -1) {
		if !slices.Contains(lb.Secrets, m[1]) {
			t.Errorf("haproxy.cfg reads %s, which lb is not given", m[0])
		}
	}
	_, published, _ := strings.Cut(lb.Ports[0], "}:")
	if !strings.Contains(config, "bind :"+published+" ssl ") {
		t.Errorf("haproxy.cfg does not listen at %s, which is published", published)
	}
	if n := numbers(t, `(?m)^ +maxconn (\d+)$`, config)[0]; lb.Ulimits["nofile"].Soft < 2*n+100 {
		t.Errorf("lb may open %d files, too few for %d connections", lb.Ulimits["nofile"].Soft, n)
	}
	if stop := setting(t, config, "hard-stop-after"); stop >= lb.StopGracePeriod {
		t.Errorf("lb is killed after %s, before it gives up by itself, after %s", lb.StopGracePeriod, stop)
	}
}

// TestComposeAgreesWithDatabase: the replicas ask for the database that is made, by the password that it is given.
func TestComposeAgreesWithDatabase(t *testing.T) {
	file := compose(t)
	made := file.Services["postgres"].Environment
	url := fmt.Sprintf("postgres://%s@postgres:5432/%s?sslmode=disable", made["POSTGRES_USER"], made["POSTGRES_DB"])
	for _, name := range replicas {
		if got := file.Services[name].Environment["INDUCT_DATABASE"]; got != url {
			t.Errorf("%s: database %s, want %s", name, got, url)
		}
	}
	secrets := filepath.Join(prepared(t, "induct.corp.example"), "secrets")
	want := fmt.Sprintf("postgres:5432:%s:%s:%s", made["POSTGRES_DB"], made["POSTGRES_USER"], read(t, filepath.Join(secrets, "postgres_password")))
	if got := read(t, filepath.Join(secrets, "pgpass")); got != want || len(got) < 64 {
		t.Error("pgpass is not the line of that database, user and password")
	}
}

// prepared runs prepare in a directory of its own and returns that.
func prepared(t *testing.T, args ...string) string {
	t.Helper()
	need(t, "openssl")
	dir := t.TempDir()
	script := filepath.Join(dir, "prepare")
	if err := os.WriteFile(script, []byte(read(t, "prepare")), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(script, args...).CombinedOutput(); err != nil {
		t.Fatalf("prepare: %v\n%s", err, out)
	}
	return dir
}

func TestPrepare(t *testing.T) {
	dir := prepared(t, "induct.corp.example:8443")
	if got := read(t, filepath.Join(dir, ".env")); got != "INDUCT_HOST=induct.corp.example:8443\nINDUCT_PORT=8443\n" {
		t.Errorf(".env is %q", got)
	}
	secrets := filepath.Join(dir, "secrets")
	if info, err := os.Stat(secrets); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("secrets: others may look: %v, %v", info.Mode(), err)
	}
	for _, name := range []string{"pgpass", "postgres_password", "induct_crt", "induct_key", "site_pem"} {
		if info, err := os.Stat(filepath.Join(secrets, name)); err != nil || info.Mode().Perm() != 0o444 {
			t.Errorf("%s: the container's user could not read it: %v, %v", name, info.Mode(), err)
		}
	}
	vouches(t, "induct", filepath.Join(secrets, "induct_crt"), filepath.Join(secrets, "induct_key"))
	site := filepath.Join(secrets, "site_pem")
	vouches(t, "induct.corp.example", site, site)

	before := contents(t, secrets)
	script := filepath.Join(dir, "prepare")
	if out, code := run(t, script, "other.example"); code != 0 || !slices.Equal(contents(t, secrets), before) {
		t.Errorf("a second run changes what is there: exit code %d\n%s", code, out)
	}
	if got := read(t, filepath.Join(dir, ".env")); got != "INDUCT_HOST=other.example\n" {
		t.Errorf("the second run does not take the new name: %q", got)
	}
	other := filepath.Join(prepared(t, "other.example"), "secrets", "site_pem")
	if out, code := run(t, script, "other.example", other); code != 0 || read(t, site) != read(t, other) {
		t.Errorf("the certificate that is given is not taken: exit code %d\n%s", code, out)
	}
	for _, args := range [][]string{{}, {"a b"}, {"https://x.example"}, {"x.example", filepath.Join(dir, "nothing")}, {"x.example", filepath.Join(secrets, "induct_crt")}, {"-x"}} {
		if out, code := run(t, script, args...); code != 1 || out == "" {
			t.Errorf("prepare %q: exit code %d, want 1 and a reason\n%s", args, code, out)
		}
	}
}

// vouches checks that a certificate is valid for name and trusted by those who trust itself.
func vouches(t *testing.T, name, certificate, key string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
		t.Errorf("%s: %v", certificate, err)
	}
}

func contents(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name()+": "+read(t, filepath.Join(dir, e.Name())))
	}
	return all
}
