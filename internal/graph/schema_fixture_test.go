package graph

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// readJSON reads a file of testdata/schema.
func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "schema", name))
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}
