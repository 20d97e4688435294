// Package metrics shows a running service to those who watch it: its figures to Prometheus, and to whoever asks whether
// it lives and is ready. It counts requests and batches as they pass; what the engine and the store know it reads when it
// is asked, and not more often than once a second.
//
// Nothing here is about a person. Labels have few values: job ids, the fixed patterns of routes, words of the protocols.
package metrics

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"induct/internal/provision"
)

// Engine is what is asked of the engine at a scrape. Its methods are called concurrently, and must be cheap: counts that
// are kept, never a scan.
type Engine interface {
	Jobs(ctx context.Context) ([]*provision.Job, error)
	JobStatus(ctx context.Context, jobPK int64) (*provision.JobStatus, error)
}

// Store is what is asked of the store. Its methods are called concurrently.
type Store interface {
	Space() (Space, error)
	// CheckRead reads something. It returns why nothing can be read, or nil.
	CheckRead(ctx context.Context) error
	// CheckWrite writes something durably. It returns why nothing can be written, or nil.
	CheckWrite(ctx context.Context) error
}

// Space is what a store takes of its file system, in bytes.
type Space struct {
	Database int64
	WAL      int64 // the write-ahead log
	Free     int64 // -1 if it is not known
	Reserve  int64 // free space below which uploads are refused; 0: they never are for that
}

// Config says what is shown. Engine and Store are required.
type Config struct {
	Engine  Engine
	Store   Store
	Version string           // of the program
	Now     func() time.Time // default time.Now
	Timeout time.Duration    // how long a scrape waits for the engine, and for the store; default 2 seconds
}

// Metrics counts what passes, and answers scrapes. Its methods may be called concurrently.
type Metrics struct {
	registry     *prometheus.Registry
	requests     *prometheus.CounterVec
	durations    *prometheus.HistogramVec
	tokens       *prometheus.CounterVec
	batchSeconds *prometheus.HistogramVec
	batchRecords *prometheus.HistogramVec
	dropped      *prometheus.CounterVec
}

// New returns the metrics of one service, in a registry of their own.
func New(cfg Config) *Metrics {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "induct_http_requests_total",
			Help: "HTTP requests that were answered, by the pattern of their route."}, []string{"route", "method", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "induct_http_request_duration_seconds",
			Help:    "Time to answer an HTTP request. Requests that wait for an upload's end take as long as that does.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"route", "method"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "induct_token_requests_total",
			Help: "Requests for an access token, by what they were answered with: issued, or the error of RFC 6749."}, []string{"outcome"}),
		batchSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "induct_batch_duration_seconds",
			Help:    "Time that a batch took until it was durable.",
			Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{jobLabel, "kind"}),
		batchRecords: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "induct_batch_records",
			Help:    "Records of a batch; in a re-evaluation, people.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}}, []string{jobLabel, "kind"}),
	}
	m.dropped = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "induct_retention_dropped_total",
		Help: "What retention has dropped because it was old, by kind; of the log entries, of all else rows."}, []string{"kind"})
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "induct_build_info", Help: "Always 1; the labels say which program this is."},
		[]string{"version", "goversion"})
	build.WithLabelValues(cfg.Version, runtime.Version()).Set(1)
	m.registry.MustRegister(m.requests, m.durations, m.tokens, m.batchSeconds, m.batchRecords, m.dropped, build,
		newJobCollector(cfg), newStoreCollector(cfg),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers scrapes, in the text format of Prometheus or in OpenMetrics. It asks nobody who they are.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Request counts an answered HTTP request. Route is a pattern of a fixed set, "" for paths that lead nowhere: they share
// one label, as do methods that nobody has heard of.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	if route == "" {
		route = "unknown"
	}
	method = knownMethod(method)
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(route, method).Observe(took.Seconds())
}

func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// Token counts a request for an access token. Outcome is a word of a fixed set.
func (m *Metrics) Token(outcome string) { m.tokens.WithLabelValues(outcome).Inc() }

// Batch counts a batch that has become durable.
func (m *Metrics) Batch(b provision.Batch) {
	kind := "uploads"
	if b.Reevaluation > 0 {
		kind = "reevaluation"
	}
	m.batchSeconds.WithLabelValues(b.JobID, kind).Observe(b.Duration.Seconds())
	m.batchRecords.WithLabelValues(b.JobID, kind).Observe(float64(b.Records))
}

// Dropped counts what retention has dropped. Kind is a word of a fixed set.
func (m *Metrics) Dropped(kind string, n int64) { m.dropped.WithLabelValues(kind).Add(float64(n)) }
