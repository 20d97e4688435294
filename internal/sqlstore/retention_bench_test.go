package sqlstore

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// A million log entries are dropped. Without the rests between pieces: longest is how long somebody waits at most who writes.
func BenchmarkDropMillionEntries(b *testing.B) {
	const entries, batch = 1_000_000, 2000
	for b.Loop() {
		b.StopTimer()
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		s, err := Open(b.Context(), b.TempDir(), Options{ReserveBytes: -1, Now: func() time.Time { return now }})
		if err != nil {
			b.Fatal(err)
		}
		job := &provision.Job{ID: "j", Schema: &mapping.Schema{}}
		if err := s.PutJob(b.Context(), job); err != nil {
			b.Fatal(err)
		}
		part := make([]provision.LogEntry, batch)
		for n := 0; n < entries; n += batch {
			for i := range part {
				part[i] = provision.LogEntry{JobPK: job.PK, Cycle: 1, Upload: int64(n/50 + i/50), Index: i % 50, Anchor: fmt.Sprintf("E%07d", n+i), Status: provision.StatusSkipped,
					End: provision.EndUnchanged, Code: "RedundantExport", BulkID: fmt.Sprintf("b%07d", n+i), Name: fmt.Sprintf("Person %d", n+i), ObjectID: fmt.Sprintf("%036d", n+i)}
			}
			if err := s.Unit(b.Context(), provision.Fence{JobPK: job.PK, Free: true}, func(u provision.Unit) error { return u.Append(part) }); err != nil {
				b.Fatal(err)
			}
		}
		before, err := s.Space()
		if err != nil {
			b.Fatal(err)
		}
		now = now.Add(31 * day)
		dropped := int64(0)
		r, err := NewRetention(s, Keep{Uploads: 30 * day, Log: 30 * day}, slog.New(slog.DiscardHandler), func(_ string, n int64) { dropped += n })
		if err != nil {
			b.Fatal(err)
		}
		longest, pieces := time.Duration(0), 0
		r.rest = func(_ context.Context, took time.Duration) error {
			longest, pieces = max(longest, took), pieces+1
			return nil
		}
		b.StartTimer()
		if err := r.Pass(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if dropped != entries {
			b.Fatalf("%d entries were dropped", dropped)
		}
		b.ReportMetric(float64(longest.Microseconds())/1000, "longest-ms")
		b.ReportMetric(float64(pieces), "pieces")
		b.ReportMetric(float64(before.Database+before.WAL)/entries, "bytes/entry")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
