package provision

import (
	"context"
	"log/slog"
	"time"
)

// Batch is a batch that has become durable, as logs and metrics see it. Nothing in it is about a person.
type Batch struct {
	JobID        string
	Cycle        int64       // number of the cycle; in a re-evaluation that of the latest
	Reevaluation int64       // number of the re-evaluation; 0 for a batch of uploads
	Uploads      int         // 0 in a re-evaluation
	Records      int         // in a re-evaluation: people
	Ends         map[End]int // sums to Records
	Duration     time.Duration
}

// report tells the log and the metrics what a batch has come to.
func (r *runner) report(ctx context.Context, b *batch) {
	done := Batch{JobID: b.job.ID, Cycle: b.cycle.Number, Uploads: len(b.uploads), Records: len(b.records), Ends: map[End]int{}, Duration: r.s.now().Sub(b.began)}
	for _, rec := range b.records {
		done.Ends[rec.entry.End]++
	}
	if b.redo != nil {
		done.Reevaluation = b.redo.Number
	}
	r.s.seen(done)
	if !r.s.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("job", done.JobID), slog.Int64("cycle", done.Cycle))
	if done.Reevaluation > 0 {
		attrs = append(attrs, slog.Int64("reevaluation", done.Reevaluation))
	}
	attrs = append(attrs, slog.Int("uploads", done.Uploads), slog.Int("records", done.Records), slog.Any("ends", done.Ends),
		slog.Float64("duration_ms", milliseconds(done.Duration)))
	if st, err := r.s.store.JobStatus(ctx, b.job.PK); err == nil {
		attrs = append(attrs, slog.Int64("queued", st.Queued))
	}
	r.s.log.LogAttrs(ctx, slog.LevelInfo, "batch", attrs...)
}

// milliseconds is a duration as the log writes it, to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// jobID is the public id of a job, for the log; "" if there is none.
func (s *Service) jobID(pk int64) string {
	if j, _, err := s.compiled(pk); err == nil {
		return j.ID
	}
	return ""
}
