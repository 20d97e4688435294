package main_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A running service tells how long it keeps what, and looks for what is old when it starts.
func TestRetentionIsTold(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"), "--keep-log", "0", "--keep-uploads", "400d")
	c := p.client(t)
	type kept struct {
		Kind, Keep, RanDateTime string
		Dropped                 int
	}
	told := map[string]kept{}
	for deadline := time.Now().Add(20 * time.Second); told["notices"].RanDateTime == ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it has not looked: %v", told)
		}
		a, err := c.do(t.Context(), http.MethodGet, c.graph+"/induct/retention", nil, nil)
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %s, %v", a.status, a.body, err)
		}
		var page struct{ Value []kept }
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Value {
			told[k.Kind] = k
		}
	}
	for kind, want := range map[string]string{"log": "", "uploads": "P400D", "audit": "P365D", "notices": "P90D", "sources": "", "deletedItems": "P30D"} {
		if got, ok := told[kind]; !ok || got.Keep != want {
			t.Errorf("%s: %+v, want %q", kind, got, want)
		}
	}
	a, err := c.do(t.Context(), http.MethodGet, c.job+"/uploads/6b1d0a1e-7f0c-4d1b-9a53-0c3c1f0e7d52", nil, nil)
	if err != nil || a.status != http.StatusNotFound || !strings.Contains(string(a.body), "kept for P400D") {
		t.Errorf("%d %s, %v", a.status, a.body, err)
	}
}
