package provision_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"induct/internal/directory"
	"induct/internal/provision"
)

// observed is an engine whose batches and log are kept; both may be read once it has been stopped.
type observed struct {
	*engine
	batches []provision.Batch
	log     bytes.Buffer
}

// newObserved has the engine's service go on under observation.
func newObserved(t *testing.T, level slog.Level) *observed {
	o := &observed{engine: newEngine(t)}
	o.stop()
	service, err := provision.NewService(t.Context(), provision.Config{Store: o.store, Target: directory.New(o.store), Tenant: o.Tenant(),
		Logger:  slog.New(slog.NewJSONHandler(&o.log, &slog.HandlerOptions{Level: level})),
		Observe: func(b provision.Batch) { o.batches = append(o.batches, b) }}) // one job: one at a time
	if err != nil {
		t.Fatal(err)
	}
	o.Service = service
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { service.Run(ctx); close(done) }()
	o.stop = func() { cancel(); <-done }
	return o
}

// lines are those of batches in the log.
func (o *observed) lines() (all []map[string]any) {
	for d := json.NewDecoder(bytes.NewReader(o.log.Bytes())); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			o.t.Fatal(err)
		}
		if line["msg"] == "batch" {
			all = append(all, line)
		}
	}
	return all
}

// Each batch is observed once and is one line; both say the same, of uploads and of a re-evaluation, and name nobody.
func TestBatchesAreReported(t *testing.T) {
	o := newObserved(t, slog.LevelInfo)
	var people []m
	for i := range 40 {
		people = append(people, person(fmt.Sprint("secret", i), m{"title": "Baker"}))
	}
	o.upload(append(people, person("secretx", m{"userName": "usecret0@old.example"}))...) // the last fails: the name is taken
	o.upload(people[:5]...)
	if err := o.SetSchema(t.Context(), o.job.PK, o.mapped("jobTitle", "ToUpper([title])")); err != nil {
		t.Fatal(err)
	}
	o.reevaluated(1)
	o.stop()

	ends, people1 := map[provision.End]int{}, 0
	lines := o.lines()
	if len(lines) != len(o.batches) {
		t.Fatalf("%d lines of %d batches", len(lines), len(o.batches))
	}
	for i, b := range o.batches {
		sum := 0
		for end, n := range b.Ends {
			sum += n
			if b.Reevaluation == 0 {
				ends[end] += n
			}
		}
		if b.Reevaluation > 0 {
			people1 += b.Records
		}
		if sum != b.Records || b.JobID != o.job.ID || b.Cycle < 1 || b.Duration <= 0 || (b.Uploads == 0) != (b.Reevaluation == 1) {
			t.Errorf("batch %+v", b)
		}
		line := lines[i]
		if line["job"] != b.JobID || line["records"] != float64(b.Records) || line["cycle"] != float64(b.Cycle) || (line["reevaluation"] == nil) != (b.Reevaluation == 0) || line["queued"] == nil {
			t.Errorf("batch %+v, line %v", b, line)
		}
	}
	if ends[provision.EndCreated] != 40 || ends[provision.EndFailed] != 1 || ends[provision.EndUnchanged] != 5 || people1 != 41 {
		t.Errorf("%v, %d people re-evaluated", ends, people1)
	}
	if strings.Contains(o.log.String(), "secret") || strings.Contains(o.log.String(), "Baker") {
		t.Errorf("the log names people: %s", &o.log)
	}
	if st := o.status(); st.Uploads != 2 {
		t.Errorf("%d uploads", st.Uploads)
	}
}

// Without the log batches are observed all the same.
func TestBatchesAreObservedInSilence(t *testing.T) {
	o := newObserved(t, slog.LevelWarn)
	o.upload(person("1", nil))
	o.stop()
	if len(o.batches) != 1 || o.log.Len() > 0 {
		t.Errorf("%v, %s", o.batches, &o.log)
	}
}
