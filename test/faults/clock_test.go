//go:build unix

package faults

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// skewedClock takes the place of time.Now, time.Since and time.Until in a build of the program for tests: a clock that is off
// by as many seconds as the environment says. The sources stay as they are, and so do the libraries.
const skewedClock = `package skewedclock

import (
	"os"
	"strconv"
	"time"
)

var offset = func() time.Duration {
	seconds, err := strconv.Atoi(os.Getenv("SKEWED_CLOCK"))
	if err != nil {
		panic(err)
	}
	return time.Duration(seconds) * time.Second
}()

func Now() time.Time                  { return time.Now().Add(offset) }
func Since(t time.Time) time.Duration { return Now().Sub(t) }
func Until(t time.Time) time.Duration { return t.Sub(Now()) }
`

var (
	clockUse      = regexp.MustCompile(`\btime\.(Now|Since|Until)\b`)
	packageClause = regexp.MustCompile(`(?m)^package \w+$`)
)

// skewed builds the program with a clock that SKEWED_CLOCK puts forward or back.
func skewed(t *testing.T) string {
	t.Helper()
	path, err := buildSkewed()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildSkewed = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(binary)
	overlay := map[string]string{} // what is built instead of a file
	put := func(file, text string) error {
		overlay[file] = filepath.Join(dir, fmt.Sprintf("skewed%d.go", len(overlay)))
		return os.WriteFile(overlay[file], []byte(text), 0o600)
	}
	if err := put(filepath.Join(root, "internal", "skewedclock", "clock.go"), skewedClock); err != nil {
		return "", err
	}
	for _, below := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, below), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil || !clockUse.Match(text) {
				return err
			}
			changed := clockUse.ReplaceAllString(string(text), "skewedclock.$1")
			at := packageClause.FindStringIndex(changed)[1]
			return put(path, changed[:at]+"\n\nimport \"induct/internal/skewedclock\"\n"+changed[at:]+"\nvar _ time.Time\n")
		})
		if err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", err
	}
	file, out := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "induct-skewed")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		return "", err
	}
	if text, err := exec.Command("go", "build", "-overlay", file, "-o", out, "../../cmd/induct").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program with another clock: %w\n%s", err, text)
	}
	return out, nil
})
