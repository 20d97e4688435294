package main_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// health runs `induct health` with the arguments and checks its exit code, and that it says the words.
func health(t *testing.T, code int, words string, args ...string) {
	t.Helper()
	r := execute(t, append([]string{"health"}, args...)...)
	if r.code != code {
		t.Errorf("induct health %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	if said := r.stdout + r.stderr; !strings.Contains(said, words) {
		t.Errorf("induct health %s: %q does not stand in\n%s", strings.Join(args, " "), words, said)
	}
}

func TestHealthOfService(t *testing.T) {
	p := start(t, t.TempDir()+"/data", "--metrics-listen", "127.0.0.1:0", "--tls", "local")
	metrics := strings.TrimPrefix(p.metricsAddress(t), "http://")
	listen := strings.TrimSuffix(strings.TrimPrefix(p.env["GRAPH_BASE"], "https://"), "/v1.0")
	health(t, 0, "ok\n", "--metrics-listen", metrics)
	health(t, 0, "ok\n", "--metrics-listen", metrics, "--live")
	health(t, 0, "ok\n", "--listen", listen, "--tls", "local")
	_, port, err := net.SplitHostPort(metrics)
	if err != nil {
		t.Fatal(err)
	}
	health(t, 0, "ok\n", "--metrics-listen", "0.0.0.0:"+port)
	health(t, 0, "ok\n", "--metrics-listen", ":"+port)
	p.kill()
	health(t, 4, "nobody answers", "--metrics-listen", metrics)
	health(t, 4, "has ended", "--metrics-listen", metrics, "--wait", "1h", "--pid", strconv.Itoa(p.cmd.Process.Pid))
}

func TestHealthNotReady(t *testing.T) {
	p := start(t, t.TempDir()+"/data", "--metrics-listen", "127.0.0.1:0", "--reserve-bytes", "4000000000000000000")
	metrics := strings.TrimPrefix(p.metricsAddress(t), "http://")
	health(t, 3, "Uploads are refused", "--metrics-listen", metrics)
	health(t, 3, "Uploads are refused", "--metrics-listen", metrics, "--wait", "600ms")
	health(t, 0, "ok\n", "--metrics-listen", metrics, "--live")
}

func TestHealthWaits(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			http.Error(w, "unavailable: store", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	health(t, 0, "", "--listen", server.Listener.Addr().String(), "--wait", "40s")
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestHealthOfSomethingElse(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("/login", http.StatusFound))
	defer server.Close()
	health(t, 3, "302 Found, as no Induct does", "--listen", server.Listener.Addr().String())
}

func TestHealthCommandLine(t *testing.T) {
	refuses(t, []string{"--listen", "is not HOST:PORT"}, "health", "--listen", "8080")
	refuses(t, []string{"--metrics-listen 127.0.0.1:0", "which"}, "health", "--metrics-listen", "127.0.0.1:0")
	refuses(t, []string{"--wait"}, "health", "--wait", "long")
}
