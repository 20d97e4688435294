package graph

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestRetention(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := newWorld(t, func(c *Config) {
		c.KeepUploads = 90 * 24 * time.Hour
		c.Retention = func(context.Context) ([]Kept, error) {
			return []Kept{{Kind: "log", Keep: 90 * 24 * time.Hour, Dropped: 5, Through: at, Ran: at.Add(time.Hour)}, {Kind: "audit", Keep: 36 * time.Hour}, {Kind: "sources"}}, nil
		}
	})
	rec := w.get("/v1.0/induct/retention")
	for _, part := range []string{
		`{"kind":"log","keep":"P90D","dropped":5,"throughDateTime":"2026-03-01T12:00:00Z","ranDateTime":"2026-03-01T13:00:00Z"}`,
		`{"kind":"audit","keep":"PT36H","dropped":0,"throughDateTime":null,"ranDateTime":null}`, `{"kind":"sources","keep":null,`} {
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), part) {
			t.Errorf("%s is missing in %d %s", part, rec.Code, rec.Body)
		}
	}
	// An upload that is not there may have been: whoever asks is told how long they are kept.
	for _, path := range []string{"", "/operations"} {
		rec := w.get(jobURL + "/uploads/" + uuid.NewString() + path)
		if rec.Code != 404 || !strings.Contains(rec.Body.String(), "Uploads are kept for P90D from their arrival") {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
}
