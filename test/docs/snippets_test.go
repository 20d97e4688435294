// Package docs_test runs what the documentation shows.
package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// languages says how each language of a fenced program is run, and what must be installed for it.
var languages = []struct {
	fence, file string
	run         []string // the program's file is appended
	needs       string   // what to install when run[0], or something that the program calls, is missing
	calls       []string
}{
	{"bash", "upload.sh", []string{"bash"}, "bash, curl and jq", []string{"curl", "jq"}},
	{"go", "upload.go", []string{"go", "run"}, "Go", nil},
	{"js", "upload.mjs", []string{"node"}, "nodejs (20 or later)", nil},
	{"python", "upload.py", []string{"python3"}, "python3", nil},
}

func TestClientPrograms(t *testing.T) {
	page, err := os.ReadFile("../../docs/build-a-client.md")
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), serve(t)...)
	for _, l := range languages {
		t.Run(l.fence, func(t *testing.T) {
			for _, program := range append([]string{l.run[0]}, l.calls...) {
				if _, err := exec.LookPath(program); err != nil {
					t.Fatalf("%s is not here: install %s", program, l.needs)
				}
			}
			file := filepath.Join(t.TempDir(), l.file)
			if err := os.WriteFile(file, fenced(t, page, l.fence), 0o600); err != nil {
				t.Fatal(err)
			}
			check(t, command(t, env, append(l.run, file)...))
		})
	}
}

// fenced returns the only program of the page in the given language.
func fenced(t *testing.T, page []byte, language string) []byte {
	t.Helper()
	found := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(page, -1)
	if len(found) != 1 {
		t.Fatalf("the page has %d programs in %s, want 1", len(found), language)
	}
	return found[0][1]
}

// check compares a program's output. The programs send the same people, so that only the first creates them.
func check(t *testing.T, output string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %q, want two lines", output)
	}
	for i, id := range []string{"100001", "100002"} {
		switch lines[i] {
		case id + " created", id + " updated", id + " unchanged":
		default:
			t.Errorf("got %q, want %s created, updated or unchanged", lines[i], id)
		}
	}
}

// command runs a program to its end and returns its standard output; it fails the test unless it exits with 0.
func command(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return out.String()
}

// serve builds and starts a service for development, and returns the environment variables it wrote for its clients.
func serve(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	binary, envFile := filepath.Join(dir, "induct"), filepath.Join(dir, "env")
	command(t, os.Environ(), "go", "build", "-o", binary, "induct/cmd/induct")

	cmd := exec.Command(binary, "serve", "--dev", "--listen", "127.0.0.1:0", "--env-file", envFile)
	cmd.Dir = dir
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("the service said:\n%s", &log)
		}
	})

	deadline := time.After(time.Minute)
	for {
		if vars, ok := readEnv(t, envFile); ok {
			return vars
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("induct serve ended before it was ready: %v", err)
		case <-deadline:
			t.Fatal("induct serve wrote no environment file within a minute")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var required = []string{"GRAPH_BASE", "AUTHORITY", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "SP_ID", "JOB_ID"}

var assignment = regexp.MustCompile(`^(?:export )?([A-Z_]+)=["']?(.*?)["']?$`)

// readEnv reads NAME=value lines; ok is false while the file lacks a required one.
func readEnv(t *testing.T, file string) (vars []string, ok bool) {
	t.Helper()
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(content, []byte("\n")) {
		return nil, false // still being written
	}
	have := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		if m := assignment.FindStringSubmatch(strings.TrimSpace(lines.Text())); m != nil {
			vars = append(vars, m[1]+"="+m[2])
			have[m[1]] = true
		}
	}
	for _, name := range required {
		if !have[name] {
			return nil, false
		}
	}
	return vars, true
}
