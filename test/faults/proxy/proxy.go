// Package proxy stands between two programs that speak TCP and is a bad network: it delays, hangs, refuses, and cuts
// connections off in the middle of what they say.
package proxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// A Fault is how the network is bad. The zero value is a good network.
type Fault struct {
	Refuse bool          // new connections are closed at once
	Hang   bool          // nothing passes; connections stay open
	Delay  time.Duration // each piece of data passes that much later
	Cut    int64         // if not 0: each connection is cut after at most so many more bytes, at a random one, in either direction
}

// A Proxy passes connections on. Its methods may be called from several goroutines.
type Proxy struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed when fault changes
	open    map[*pair]struct{}
	closed  bool
	cuts    int
}

// A pair is a connection and the one that it is passed on to.
type pair struct {
	client, server net.Conn
	gone           chan struct{}
	once           sync.Once
	left           int64 // bytes until it is cut; guarded by the proxy's mu; negative: it is not
}

// New listens on loopback and passes what comes on to target, a host and port.
func New(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, changed: make(chan struct{}), open: map[*pair]struct{}{}}
	p.work.Go(p.accept)
	return p, nil
}

// Address is the host and port that the proxy listens on.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Set makes the network so from now on, for connections that are open as well.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	for c := range p.open {
		c.left = budget(f)
	}
}

func budget(f Fault) int64 {
	if f.Cut == 0 {
		return -1
	}
	return rand.Int64N(f.Cut)
}

// CutAll cuts every connection that is open.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	open := make([]*pair, 0, len(p.open))
	for c := range p.open {
		open = append(open, c)
	}
	p.cuts += len(open)
	p.mu.Unlock()
	for _, c := range open {
		c.end()
	}
}

// Cuts is how many connections have been cut.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.CutAll()
	p.work.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(conn) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	c := &pair{client: client, gone: make(chan struct{})}
	p.mu.Lock()
	refuse := p.fault.Refuse || p.closed
	p.mu.Unlock()
	if refuse {
		client.Close()
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	c.server = server
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.end()
		return
	}
	c.left = budget(p.fault)
	p.open[c] = struct{}{}
	p.mu.Unlock()
	defer func() {
		c.end()
		p.mu.Lock()
		delete(p.open, c)
		p.mu.Unlock()
	}()
	var ways sync.WaitGroup
	ways.Go(func() { p.pass(c, client, server) })
	ways.Go(func() { p.pass(c, server, client) })
	ways.Wait()
}

// end closes both halves: half of the time as a process that ends does, else as one whose machine has forgotten it.
func (c *pair) end() {
	c.once.Do(func() {
		reset := rand.IntN(2) == 0
		for _, conn := range []net.Conn{c.client, c.server} {
			if tcp, ok := conn.(*net.TCPConn); ok && reset {
				tcp.SetLinger(0)
			}
			conn.Close()
		}
		close(c.gone)
	})
}

// pass copies one way until either side is gone.
func (p *Proxy) pass(c *pair, from, to net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			piece, cut := p.admit(c, buf[:n])
			if _, werr := to.Write(piece); werr != nil || cut {
				c.end()
				return
			}
		}
		if err != nil {
			if tcp, ok := to.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
				tcp.CloseWrite() // the other way may go on
				return
			}
			c.end()
			return
		}
	}
}

// admit waits as long as the network hangs or delays, and returns what passes, and whether the connection is then cut.
func (p *Proxy) admit(c *pair, piece []byte) ([]byte, bool) {
	p.mu.Lock()
	for p.fault.Hang && !p.closed {
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-c.gone:
			return nil, true
		}
		p.mu.Lock()
	}
	delay := p.fault.Delay
	p.mu.Unlock()
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.gone:
			return nil, true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.left < 0 {
		return piece, false
	}
	if int64(len(piece)) < c.left {
		c.left -= int64(len(piece))
		return piece, false
	}
	p.cuts++
	return piece[:c.left], true
}
