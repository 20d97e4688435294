//go:build unix

package faults

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// skewedClock is what time.Now does in a build of the program for tests: its clock is off by as many seconds as the environment
// says. The program's own sources are as they are; the standard library's time.Now is another.
const skewedClock = `
var faultsClock = func() (seconds int64) {
	text, _ := syscall.Getenv("INDUCT_FAULTS_CLOCK")
	back := text != "" && text[0] == '-'
	if back {
		text = text[1:]
	}
	for _, c := range text {
		seconds = 10*seconds + int64(c-'0')
	}
	if back {
		return -seconds
	}
	return seconds
}()
`

// skewed builds the program with a clock that the environment variable INDUCT_FAULTS_CLOCK puts forward or back. The first
// time on a machine that takes minutes, because everything is built again.
func skewed(t *testing.T) string {
	t.Helper()
	path, err := buildSkewed()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildSkewed = sync.OnceValues(func() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	changed := string(text)
	for _, change := range [][2]string{
		{"import (\n", "import (\n\t\"syscall\"\n"},
		{"\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {\n", "\tsec, nsec, mono := runtimeNow()\n\tsec += faultsClock\n\tif mono == 0 {\n"},
	} {
		if strings.Count(changed, change[0]) != 1 {
			return "", &skewError{runtime.Version(), change[0]}
		}
		changed = strings.Replace(changed, change[0], change[1], 1)
	}
	dir := filepath.Dir(binary)
	replacement, overlay, out := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "induct-clock")
	if err := os.WriteFile(replacement, []byte(changed+skewedClock), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{source: replacement}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return "", err
	}
	if text, err := exec.Command("go", "build", "-overlay", overlay, "-o", out, "../../cmd/induct").CombinedOutput(); err != nil {
		return "", &skewError{runtime.Version(), string(text)}
	}
	return out, nil
})

type skewError struct{ version, text string }

func (e *skewError) Error() string {
	return "the standard library of " + e.version + " cannot be given another clock as skewedClock does it: " + e.text
}
