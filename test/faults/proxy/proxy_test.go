package proxy

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// echo answers each connection with what it says.
func echo(c net.Conn) { io.Copy(c, c) }

// serve gives each connection to its own run of a function.
func serve(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { answer(c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

func start(t *testing.T, answer func(net.Conn)) *Proxy {
	t.Helper()
	p, err := New(serve(t, answer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// say sends text and returns what comes back before the connection ends, or within the time.
func say(c *net.TCPConn, text []byte, within time.Duration) ([]byte, error) {
	go func() { c.Write(text) }()
	c.SetReadDeadline(time.Now().Add(within))
	got := make([]byte, len(text))
	n, err := io.ReadFull(c, got)
	return got[:n], err
}

// What is said passes, whole, and so does the end of it.
func TestPasses(t *testing.T) {
	p := start(t, echo)
	c := dial(t, p)
	text := bytes.Repeat([]byte("people "), 50_000)
	if got, err := say(c, text, 10*time.Second); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%d of %d bytes: %v", len(got), len(text), err)
	}
	c.CloseWrite()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after its end: %d bytes, %v", n, err)
	}
}

// A connection is cut before the limit, and what has passed until then is the beginning of what was said.
func TestCut(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 1000)
	p := start(t, func(c net.Conn) { c.Write(text) })
	p.Set(Fault{Cut: 1000})
	lengths := map[int]bool{}
	for range 50 {
		var got []byte
		c, err := net.Dial("tcp", p.Address()) // it may be cut at once
		if err == nil {
			got, err = io.ReadAll(c)
			c.Close()
		}
		if len(got) >= 1000 || !bytes.HasPrefix(text, got) {
			t.Errorf("%d bytes passed: %v", len(got), err)
		}
		lengths[len(got)] = true
	}
	if p.Cuts() < 50 || len(lengths) < 5 {
		t.Errorf("%d cuts, at %d places", p.Cuts(), len(lengths))
	}
}

// Nothing passes while the network hangs, and everything afterwards.
func TestHang(t *testing.T) {
	p := start(t, echo)
	c := dial(t, p)
	p.Set(Fault{Hang: true})
	if got, err := say(c, []byte("hello"), 50*time.Millisecond); err == nil {
		t.Errorf("%q passed", got)
	}
	p.Set(Fault{})
	if got, err := say(c, []byte(""), 10*time.Second); err != nil {
		t.Errorf("%q: %v", got, err)
	}
	got := make([]byte, 5)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Errorf("%q: %v", got, err)
	}
}

// New connections are refused, open ones are cut, and afterwards all is well.
func TestRefuse(t *testing.T) {
	p := start(t, echo)
	c := dial(t, p)
	if _, err := say(c, []byte("hello"), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	p.Set(Fault{Refuse: true})
	p.CutAll()
	for _, c := range []*net.TCPConn{c, dial(t, p)} {
		if got, err := say(c, []byte("hello"), 10*time.Second); err == nil {
			t.Errorf("%q passed", got)
		}
	}
	p.Set(Fault{Delay: time.Millisecond})
	if got, err := say(dial(t, p), []byte("hello"), 10*time.Second); err != nil {
		t.Errorf("%q: %v", got, err)
	}
}
