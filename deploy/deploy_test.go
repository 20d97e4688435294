// Package deploy_test checks what stands in deploy: that it is whole, that its parts agree with each other and with the program, and,
// as far as no container engine and no init system is needed, that it works.
package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const repository = ".." // seen from here

// image is what the Dockerfile makes: TestMain carries out its instructions.
var image struct {
	dockerfile dockerfile
	root       string // of the last stage
}

// binary is the program, of the image.
func binary() string { return filepath.Join(image.root, "induct") }

func TestMain(m *testing.M) { os.Exit(runMain(m)) }

func runMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "induct-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // another user runs the image
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if image.dockerfile, err = readDockerfile("Dockerfile"); err == nil {
		image.root, err = image.dockerfile.build(dir)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "Dockerfile: %v\n", err)
		return 1
	}
	return m.Run()
}

// read returns a file of this directory.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// need returns the path of a program that `make tools` installs.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program) // not on everybody's path
	}
	if err != nil {
		t.Fatalf("%s is not here: `make tools` installs it, or says what to install", program)
	}
	return path
}

// run runs a program to its end and returns what it said and its exit code.
func run(t *testing.T, name string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// flags are the names of what a command takes, without dashes.
func flags(t *testing.T, command ...string) []string {
	t.Helper()
	out, code := run(t, binary(), append(command, "--help")...)
	if code != 0 || strings.Contains(out, "Available Commands:") {
		t.Fatalf("induct %s is no command:\n%s", strings.Join(command, " "), out)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`).FindAllStringSubmatch(out, -1) {
		names = append(names, m[1])
	}
	return names
}

// texts are the files here, and the page about them.
func texts(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, pattern := range []string{"Dockerfile", "compose.yaml", "haproxy.cfg", "prepare", "systemd/*", "systemd/*.d/*", "../docs/deploy.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: nothing there: %v", pattern, err)
		}
		for _, name := range found {
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				all[name] = read(t, name)
			}
		}
	}
	return all
}

// TestCommandsExist: whoever copies a command from here finds it in the program, with each of its flags.
func TestCommandsExist(t *testing.T) {
	count := 0
	for name, text := range texts(t) {
		for line := range strings.SplitSeq(text, "\n") {
			var found []call
			switch {
			case strings.HasSuffix(name, ".md"):
				for _, piece := range code(line) {
					found = append(found, calls(piece)...)
				}
			case !strings.HasPrefix(strings.TrimSpace(line), "#"):
				found = calls(line)
			}
			for _, c := range found {
				known := flags(t, c.command...)
				count++
				for _, f := range c.flags {
					if !slices.Contains(known, f) {
						t.Errorf("%s: induct %s has no --%s: %s", name, strings.Join(c.command, " "), f, line)
					}
				}
			}
		}
	}
	if count < 8 {
		t.Errorf("%d commands found; this test has stopped looking", count)
	}
}

// call is a command of the program with its flags, without dashes.
type call struct{ command, flags []string }

// calls finds the commands of the program in a line of shell, JSON or YAML.
func calls(line string) (all []call) {
	var now *call
	for _, word := range regexp.MustCompile("[^\\s\",\\[\\]`]+").FindAllString(line, -1) {
		flag, isFlag := strings.CutPrefix(word, "--")
		switch {
		case word == "induct" || strings.HasSuffix(word, "/induct"):
			all = append(all, call{})
			now = &all[len(all)-1]
		case now == nil:
		case isFlag:
			flag, _, _ = strings.Cut(flag, "=")
			now.flags = append(now.flags, flag)
		case len(now.flags) == 0 && regexp.MustCompile(`^[a-z]+$`).MatchString(word):
			now.command = append(now.command, word)
		case len(now.flags) == 0: // an argument, or no command at all
			now = nil
		}
	}
	return slices.DeleteFunc(all, func(c call) bool { return len(c.command) == 0 })
}

// code returns a line of a page if it stands in a block of code, which is indented, and else what it has between backquotes.
func code(line string) (pieces []string) {
	if strings.HasPrefix(line, "    ") {
		return []string{line}
	}
	for i, part := range strings.Split(line, "`") {
		if i%2 == 1 {
			pieces = append(pieces, part)
		}
	}
	return pieces
}

// TestSettingsExist: each INDUCT_ variable and each key of induct.yaml is a setting of `induct serve`.
func TestSettingsExist(t *testing.T) {
	known := flags(t, "serve")
	if readme := strings.ReplaceAll(read(t, "../README.md"), "\n", " "); regexp.MustCompile(`There is not yet:[^.]* PostgreSQL`).MatchString(readme) {
		t.Log("README.md says that there is no PostgreSQL yet: --database is taken on trust")
		known = append(known, "database")
	}
	substituted := []string{"INDUCT_HOST", "INDUCT_PORT"} // by Compose, into its own file
	seen := make(map[string]bool)
	for name, text := range texts(t) {
		for _, v := range regexp.MustCompile(`INDUCT_[A-Z_]*[A-Z]`).FindAllString(text, -1) {
			seen[v] = true
			if slices.Contains(substituted, v) {
				continue
			}
			flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(v, "INDUCT_"), "_", "-"))
			if !slices.Contains(known, flag) {
				t.Errorf("%s: %s sets nothing: induct serve has no --%s", name, v, flag)
			}
		}
	}
	for _, v := range []string{"INDUCT_DATABASE", "INDUCT_TRUSTED_PROXIES", "INDUCT_METRICS_LISTEN"} {
		if !seen[v] {
			t.Errorf("%s is nowhere", v)
		}
	}
	for key := range settingsFile(t) {
		if !slices.Contains(known, key) {
			t.Errorf("systemd/induct.yaml: %s: induct serve has no --%s", key, key)
		}
	}
}

// settingsFile reads systemd/induct.yaml with the settings that it only proposes.
func settingsFile(t *testing.T) map[string]string {
	t.Helper()
	text := regexp.MustCompile(`(?m)^# ([a-z-]+: )`).ReplaceAllString(read(t, "systemd/induct.yaml"), "$1")
	var settings map[string]string
	if err := yaml.Unmarshal([]byte(text), &settings); err != nil {
		t.Fatal(err)
	}
	if len(settings) < 7 {
		t.Fatalf("systemd/induct.yaml: %d settings; this test has stopped looking", len(settings))
	}
	return settings
}
