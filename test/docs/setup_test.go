package docs_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSetUp runs the program of docs/set-up.md, which begins with nothing but a client that may administer.
func TestSetUp(t *testing.T) {
	page, err := os.ReadFile("../../docs/set-up.md")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "setup.sh")
	if err := os.WriteFile(file, fenced(t, page, "bash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := command(t, append(os.Environ(), serve(t)...), "bash", file); got != "200001 created\n" {
		t.Errorf("got %q", got)
	}
}
