package main

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"induct/internal/graph"
	"induct/internal/metrics"
	"induct/internal/oauth"
	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// watched is the store as metrics ask it.
type watched struct{ *sqlstore.Store }

// Space implements metrics.Store.
func (w watched) Space() (metrics.Space, error) {
	s, err := w.Store.Space()
	return metrics.Space(s), err
}

// The rooms tell what passes through them; it is counted here. Nothing passes before the server is assembled.

func (s *server) sawRequest(r graph.Request) {
	s.metrics.Request(r.Method, r.Route, r.Status, r.Duration)
}

func (s *server) sawExchange(r oauth.Request) {
	s.metrics.Request(r.Method, r.Route, r.Status, r.Duration)
	if r.Token != "" {
		s.metrics.Token(r.Token)
	}
}

func (s *server) sawBatch(b provision.Batch) { s.metrics.Batch(b) }

func (s *server) sawDropped(kind string, n int64) { s.metrics.Dropped(kind, n) }

// watchPaths are the paths for those who watch the service.
var watchPaths = []string{"/livez", "/readyz", "/healthz", "/metrics"}

// watch serves the paths for those who watch the service.
func (s *server) watch(metrics http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", s.health.ServeLive)
	mux.HandleFunc("GET /healthz", s.health.ServeLive)
	mux.HandleFunc("GET /readyz", s.health.ServeReady)
	mux.Handle("GET /metrics", metrics)
	return mux
}

// checkMetricsListen completes the address of the metrics' own listener: without a host it is loopback, because plain
// HTTP is served there. "" means that there is none.
func (s *server) checkMetricsListen() error {
	if s.metricsListen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.metricsListen)
	if err != nil {
		return fmt.Errorf("--metrics-listen %q is not HOST:PORT: %w", s.metricsListen, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	s.metricsListen = net.JoinHostPort(host, port)
	return nil
}

// bindMetrics listens at the metrics' own address, if there is one.
func (s *server) bindMetrics() (err error) {
	if s.metricsListen == "" {
		return nil
	}
	if s.metricsListener, err = net.Listen("tcp", s.metricsListen); err != nil {
		return fmt.Errorf("--metrics-listen: %w", err)
	}
	return nil
}

// metricsBase is the URL of the metrics' own listener, "" if there is none.
func (s *server) metricsBase() string {
	if s.metricsListener == nil {
		return ""
	}
	return "http://" + s.metricsListener.Addr().String()
}

func (s *server) closeMetrics() error {
	if s.metricsListener == nil {
		return nil
	}
	return s.metricsListener.Close()
}

// serveMetrics serves the metrics' own listener, if there is one, and returns how to end that. An error is sent to failed.
func (s *server) serveMetrics(failed chan<- error) (stop func() error) {
	if s.metricsListener == nil {
		return func() error { return nil }
	}
	web := &http.Server{Handler: s.watch(s.metrics.Handler()), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: s.webLog()}
	go func() {
		if err := web.Serve(s.metricsListener); err != http.ErrServerClosed {
			failed <- fmt.Errorf("metrics: %w", err)
		}
	}()
	return web.Close
}
