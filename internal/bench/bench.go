// Package bench measures a service from outside, over the wire that clients use, and each figure beside a floor: what
// the same machine does, in the same minute, with the same bytes and nothing else to do. Records per second depend on
// the machine and on who else uses it; the ratio to the floor much less.
//
// The service is a process of its own, so that its memory and processor time are its own. Requests are made before
// the clock starts. Every outcome is checked: a create that did not create is an error, not a figure.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Config says what to measure, and where.
type Config struct {
	People      []int         // sizes of the workforce, each measured on a fresh service
	Repeat      int           // how often each size is measured; 0 means 1
	Connections int           // requests in flight; 0 means 64
	Seed        uint64        // of the workforce
	Tag         string        // of the workforce, see there
	Least       time.Duration // how long a floor is measured at least, and half of what accept is; 0 means two seconds
	Singles     int           // records sent one by one; 0 means 200
	Queries     int           // of each kind of log query; 0 means 300

	// Start starts a service on an empty directory; what names it ("accept", "main" or "create"). If it is nil, Service is
	// measured: then there is no accept phase, which pauses the job, and one size and repetition.
	Start   func(ctx context.Context, what, dir string) (*Running, error)
	Service Service

	Database string // URL of the PostgreSQL server that the services use, to measure the floor of creates there; "": they have their own file
	Dir      string // for loads, floors and data directories; on the disk that is to be measured
	Version  string
	Progress func(phase, what string, done, total int) // may be nil
}

// Running is a service that was started to be measured.
type Running struct {
	Service
	Ended <-chan error // says how its process ended
	Stop  func()       // ends it and returns when it has ended
}

// Report is what was measured. It is the JSON that `induct bench --json` prints.
type Report struct {
	Version        string   `json:"version"`
	Machine        Machine  `json:"machine"`
	People         int      `json:"people"` // the largest size
	Connections    int      `json:"connections"`
	Seed           uint64   `json:"seed"`
	Repeat         int      `json:"repeat"`
	BytesPerRecord float64  `json:"bytes_per_record"` // of request body
	Results        []Result `json:"results"`
	Notes          []string `json:"notes,omitempty"`
	Interrupted    bool     `json:"interrupted,omitempty"` // results are missing
}

// Result is one measurement, or the medians of several. A figure that was not or cannot be measured is left out.
type Result struct {
	Name    string `json:"name"` // accept, create, unchanged, changed, single, single_visible, log_query_…
	People  int    `json:"people"`
	Records int    `json:"records"` // or queries

	Seconds   float64 `json:"seconds"` // from the first request until all is settled
	PerSecond float64 `json:"per_second"`
	Micros    float64 `json:"microseconds_per_record"`

	CPU       float64 `json:"cpu_seconds,omitempty"` // of the service, in user and kernel mode
	CPUMicros float64 `json:"cpu_microseconds_per_record,omitempty"`

	// Others is the share of the machine's processors, 0 to 1, that neither the service nor its load used but somebody
	// else did during the phase, time stolen by other machines included.
	Others float64 `json:"others_cpu_share,omitempty"`

	Floor          string  `json:"floor,omitempty"` // append, decode, bulk load or COPY
	FloorPerSecond float64 `json:"floor_per_second,omitempty"`
	Ratio          float64 `json:"ratio,omitempty"`     // PerSecond / FloorPerSecond
	CPURatio       float64 `json:"cpu_ratio,omitempty"` // the same of records per second of processor time

	P50 float64 `json:"p50_ms,omitempty"` // of a request, a query, or the way of a single record
	P95 float64 `json:"p95_ms,omitempty"`
	P99 float64 `json:"p99_ms,omitempty"`

	PeakRSS          int64   `json:"peak_rss_bytes,omitempty"` // of the service during the phase
	Disk             int64   `json:"disk_bytes,omitempty"`     // of its database at the end of the phase, with its log
	WrittenPerRecord float64 `json:"written_bytes_per_record,omitempty"`
	Retries          int64   `json:"retries,omitempty"` // answers 429 and 5xx

	Outcomes map[string]int `json:"outcomes,omitempty"` // records by end
	Spread   *Spread        `json:"spread,omitempty"`   // with Repeat
}

// Spread is the least and the most of what Result gives the median of.
type Spread struct {
	Runs      int        `json:"runs"`
	PerSecond [2]float64 `json:"per_second"`
	Ratio     [2]float64 `json:"ratio"`
	CPURatio  [2]float64 `json:"cpu_ratio"`
}

func (cfg Config) withDefaults() Config {
	set := func(n *int, usual int) {
		if *n == 0 {
			*n = usual
		}
	}
	set(&cfg.Repeat, 1)
	set(&cfg.Connections, 64)
	set(&cfg.Singles, 200)
	set(&cfg.Queries, 300)
	if cfg.Least == 0 {
		cfg.Least = 2 * time.Second
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, string, int, int) {}
	}
	return cfg
}

// Run measures. If it ends early the report has what was measured so far, and the error says why.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	report := &Report{Version: cfg.Version, Machine: thisMachine(), Connections: cfg.Connections, Seed: cfg.Seed, Repeat: cfg.Repeat, Results: []Result{}}
	for _, people := range cfg.People {
		report.People = max(report.People, people)
		var runs [][]Result
		for range cfg.Repeat {
			r := &run{Config: cfg, report: report, w: Workforce{Seed: cfg.Seed, Tag: cfg.Tag, People: people}}
			err := r.all(ctx)
			runs = append(runs, r.results)
			if err != nil {
				report.Results = append(report.Results, medians(runs)...)
				report.Interrupted = ctx.Err() != nil
				return report, err
			}
		}
		report.Results = append(report.Results, medians(runs)...)
	}
	return report, nil
}

// run measures one size, once.
type run struct {
	Config
	report  *Report
	w       Workforce
	c       *client
	results []Result
	passes  uint64 // that were made
	created *meter // of the phase create
}

// fresh is how often creating is measured at most, each time on a service of its own.
const fresh = 3

func (r *run) all(ctx context.Context) error {
	if r.Start == nil {
		return r.connected(ctx, r.Service, r.main)
	}
	for _, part := range []struct {
		what string
		run  func(context.Context) error
	}{{"accept", r.accept}, {"main", r.main}} {
		if err := r.started(ctx, part.what, part.run); err != nil {
			return err
		}
	}
	for n := 1; n < fresh && r.created.service.seconds < enough.Seconds(); n++ {
		if err := r.started(ctx, "create", r.createAgain); err != nil {
			return err
		}
	}
	return nil
}

// started runs part on a service of its own.
func (r *run) started(ctx context.Context, what string, part func(context.Context) error) (err error) {
	dir := filepath.Join(r.Dir, what)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r.Progress("start a service", "", 0, 0)
	s, err := r.Start(ctx, what, dir)
	if err != nil {
		return err
	}
	defer s.Stop()
	watched, unwatch := context.WithCancelCause(ctx)
	defer unwatch(nil)
	go func() {
		select {
		case err := <-s.Ended:
			unwatch(fmt.Errorf("the service ended while it was measured: %w", err))
		case <-watched.Done():
		}
	}()
	err = r.connected(watched, s.Service, part)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return context.Cause(watched)
	}
	// A connection that breaks may be the first sign of a service that ends.
	select {
	case <-watched.Done():
		return context.Cause(watched)
	case <-time.After(500 * time.Millisecond):
		return err
	}
}

func (r *run) connected(ctx context.Context, s Service, part func(context.Context) error) (err error) {
	if r.c, err = newClient(s, r.Connections); err != nil {
		return err
	}
	defer r.c.http.CloseIdleConnections()
	return part(ctx)
}
