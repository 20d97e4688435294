package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// dockerfile is a Dockerfile's instructions.
type dockerfile []instruction

type instruction struct {
	stage     int // from 1
	name      string
	options   map[string]string // --name=value before the rest
	arguments string
}

func readDockerfile(name string) (dockerfile, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all dockerfile
	stage := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasSuffix(line, `\`) {
			return nil, fmt.Errorf("%q: lines that go on are not read here", line)
		}
		in := instruction{options: make(map[string]string)}
		in.name, in.arguments, _ = strings.Cut(line, " ")
		for strings.HasPrefix(in.arguments, "--") {
			var option string
			option, in.arguments, _ = strings.Cut(in.arguments, " ")
			key, value, _ := strings.Cut(strings.TrimPrefix(option, "--"), "=")
			in.options[key] = value
		}
		if in.name == "FROM" {
			stage++
		}
		in.stage = stage
		all = append(all, in)
	}
	return all, nil
}

// last returns the arguments of the last stage's only instruction of this name.
func (d dockerfile) last(t *testing.T, name string) instruction {
	t.Helper()
	var found []instruction
	for _, in := range d {
		if in.name == name && in.stage == d[len(d)-1].stage {
			found = append(found, in)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the last stage has %d %s, want 1", len(found), name)
	}
	return found[0]
}

// build carries out what a container engine would, for the two stages that there are: the first one's in dir/build with this machine's
// Go, the second one's in dir/image, whose path it returns. Owners are left as they come.
func (d dockerfile) build(dir string) (root string, err error) {
	stages := map[int]string{1: filepath.Join(dir, "build"), 2: filepath.Join(dir, "image")}
	for _, s := range stages {
		if err := os.Mkdir(s, 0o755); err != nil {
			return "", err
		}
	}
	workdir := "/"
	for _, in := range d {
		here := stages[in.stage]
		switch in.name {
		case "WORKDIR":
			workdir = in.arguments
			err = os.MkdirAll(filepath.Join(here, workdir), 0o755)
		case "COPY":
			from := repository
			if in.options["from"] != "" {
				from = stages[1]
			}
			err = copyInto(here, workdir, from, strings.Fields(in.arguments))
		case "RUN":
			if in.arguments == "go mod download" {
				break // here, the build fetches what it needs
			}
			// Absolute paths are the stage's.
			script := regexp.MustCompile(`(^|\s)/`).ReplaceAllString(in.arguments, "${1}"+here+"/")
			cmd := exec.Command("sh", "-ec", script)
			cmd.Dir, cmd.Env = filepath.Join(here, workdir), append(os.Environ(), "VERSION=test")
			if out, e := cmd.CombinedOutput(); e != nil {
				err = fmt.Errorf("RUN %s: %w\n%s", in.arguments, e, out)
			}
		}
		if err != nil {
			return "", err
		}
	}
	return stages[2], nil
}

// copyInto is COPY: of a directory, its content.
func copyInto(root, workdir, from string, words []string) error {
	for _, source := range words[:len(words)-1] {
		if strings.HasPrefix(source, "/etc/ssl/") {
			continue // of the base image, which is not here
		}
		target := words[len(words)-1]
		into := strings.HasSuffix(target, "/")
		if !path.IsAbs(target) {
			target = path.Join(workdir, target)
		}
		target, source = filepath.Join(root, target), filepath.Join(from, source)
		info, err := os.Stat(source)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			source += "/."
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
		case into:
			target += "/"
		}
		if out, err := exec.Command("cp", "-rp", source, target).CombinedOutput(); err != nil {
			return fmt.Errorf("COPY %s: %w\n%s", source, err, out)
		}
	}
	return nil
}

// pinned are references of images that name one release, not a series that goes on.
var pinned = regexp.MustCompile(`^[a-z/]+:\d+(\.\d+)+(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?$`)

func TestDockerfileBase(t *testing.T) {
	var bases []string
	for _, in := range image.dockerfile {
		if in.name == "FROM" {
			bases = append(bases, strings.Fields(in.arguments)[0])
		}
	}
	if len(bases) != 2 || !pinned.MatchString(bases[0]) || bases[1] != "scratch" {
		t.Fatalf("bases %q, want a release of golang, then scratch", bases)
	}
	theirs := numbers(t, `^golang:(\d+)\.(\d+)\.(\d+)-`, bases[0])
	ours := numbers(t, `(?m)^go (\d+)\.(\d+)\.(\d+)$`, read(t, "../go.mod"))
	if !slices.Equal(theirs[:2], ours[:2]) || theirs[2] < ours[2] {
		t.Errorf("the image is built by Go %d, go.mod says %d: the series must be the same, the patch release no older", theirs, ours)
	}
}

// numbers returns what the groups of a pattern that must stand in text match.
func numbers(t *testing.T, pattern, text string) (all []int) {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s does not stand in %s", pattern, text)
	}
	for _, s := range m[1:] {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

func TestDockerfileRunsAsNobody(t *testing.T) {
	user := image.dockerfile.last(t, "USER").arguments
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("USER %s, want numbers, which hold without /etc/passwd, and not root's", user)
	}
	for _, in := range image.dockerfile {
		if owner := in.options["chown"]; owner != "" && owner != user {
			t.Errorf("COPY %s is for %s, want the user, %s", in.arguments, owner, user)
		}
	}
}

// TestBuildContext: .dockerignore lets pass what is copied, and nothing else.
func TestBuildContext(t *testing.T) {
	var allowed, copied []string
	for line := range strings.SplitSeq(read(t, "Dockerfile.dockerignore"), "\n") {
		if name, ok := strings.CutPrefix(line, "!"); ok {
			allowed = append(allowed, name)
		} else if line != "" && line != "*" && !strings.HasPrefix(line, "#") {
			t.Errorf(".dockerignore: %q is neither * nor an exception", line)
		}
	}
	for _, in := range image.dockerfile {
		if in.name == "COPY" && in.options["from"] == "" {
			words := strings.Fields(in.arguments)
			copied = append(copied, words[:len(words)-1]...)
		}
	}
	slices.Sort(allowed)
	slices.Sort(copied)
	if !slices.Equal(allowed, copied) {
		t.Errorf(".dockerignore allows %q, the Dockerfile copies %q", allowed, copied)
	}
}

// argv reads an instruction in its exec form.
func argv(t *testing.T, text string) (words []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &words); err != nil {
		t.Fatalf("%s: want the exec form, because there is no shell: %v", text, err)
	}
	return words
}
