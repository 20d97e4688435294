// Package balance is a small load balancer for HTTP: it goes round the servers that say that they are ready, and sends a
// request to another one if the first cannot be connected to. It never sends a request twice that may have arrived.
package balance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync"
	"time"
)

const (
	probeEvery = 50 * time.Millisecond
	probeWait  = 500 * time.Millisecond
)

// A Balancer serves HTTP on an address of its own. Its methods may be called from several goroutines.
type Balancer struct {
	server   *http.Server
	listener net.Listener
	out      *http.Transport
	stop     context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex
	servers []*backend
	next    int
}

type backend struct {
	address string
	ready   bool
}

// New listens on loopback.
func New() (*Balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Balancer{listener: l, stop: stop, out: &http.Transport{MaxIdleConnsPerHost: 32, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}}
	proxy := &httputil.ReverseProxy{
		Transport: roundTripper(b.send),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Host, r.Out.URL.Scheme = r.In.Host, "http"
			r.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	b.server = &http.Server{Handler: proxy}
	b.work.Go(func() { b.server.Serve(l) })
	b.work.Go(func() { b.watch(ctx) })
	return b, nil
}

// Address is the host and port that the balancer listens on.
func (b *Balancer) Address() string { return b.listener.Addr().String() }

// Set replaces the servers: hosts and ports. One that is new is taken to be ready.
func (b *Balancer) Set(addresses ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var servers []*backend
	for _, a := range addresses {
		if i := slices.IndexFunc(b.servers, func(s *backend) bool { return s.address == a }); i >= 0 {
			servers = append(servers, b.servers[i])
		} else {
			servers = append(servers, &backend{a, true})
		}
	}
	b.servers = servers
}

// Close ends the balancer and what it has under way.
func (b *Balancer) Close() error {
	b.stop()
	err := b.server.Close()
	b.out.CloseIdleConnections()
	b.work.Wait()
	return err
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errNone = errors.New("no server can be connected to")

// send sends a request to the next server that can be connected to.
func (b *Balancer) send(r *http.Request) (*http.Response, error) {
	var body []byte
	var err error
	if r.Body != nil {
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	for _, address := range b.order() {
		out := r.Clone(r.Context())
		out.URL.Host = address
		if r.Body != nil {
			out.Body = io.NopCloser(bytes.NewReader(body))
		}
		var resp *http.Response
		resp, err = b.out.RoundTrip(out)
		var op *net.OpError
		if err == nil || !errors.As(err, &op) || op.Op != "dial" {
			return resp, err
		}
	}
	return nil, errors.Join(errNone, err)
}

// order is the servers as a request tries them: those that are ready, each time beginning with another, then the others.
func (b *Balancer) order() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ready, others []string
	for i := range b.servers {
		s := b.servers[(b.next+i)%len(b.servers)]
		if s.ready {
			ready = append(ready, s.address)
		} else {
			others = append(others, s.address)
		}
	}
	b.next++
	return append(ready, others...)
}

// watch asks the servers whether they are ready.
func (b *Balancer) watch(ctx context.Context) {
	client := &http.Client{Timeout: probeWait, Transport: &http.Transport{DisableKeepAlives: true}}
	for tick := time.NewTicker(probeEvery); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		b.mu.Lock()
		servers := slices.Clone(b.servers)
		b.mu.Unlock()
		var asked sync.WaitGroup
		for _, s := range servers {
			asked.Go(func() {
				ready := probe(ctx, client, s.address)
				b.mu.Lock()
				s.ready = ready
				b.mu.Unlock()
			})
		}
		asked.Wait()
	}
}

func probe(ctx context.Context, client *http.Client, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
