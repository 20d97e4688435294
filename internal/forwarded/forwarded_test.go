package forwarded

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func seen(t testing.TB, peer string, header map[string]string) *http.Request {
	trusted, err := ParseProxies("10.0.0.0/8, 2001:db8::1, 127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://inner:8080/v1.0/users", nil)
	r.RemoteAddr = peer
	for name, value := range header {
		for line := range strings.SplitSeq(value, "|") {
			r.Header.Add(name, line)
		}
	}
	var got *http.Request
	Handler(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
	return got
}

func TestHandler(t *testing.T) {
	for name, test := range map[string]struct {
		peer         string
		header       map[string]string
		remote, host string
		tls          bool
	}{
		"nothing said":          {"10.0.0.5:99", nil, "10.0.0.5:99", "inner:8080", false},
		"not trusted":           {"192.0.2.7:99", map[string]string{"Forwarded": "for=1.2.3.4;host=evil.example;proto=https", "X-Forwarded-Host": "evil.example"}, "192.0.2.7:99", "inner:8080", false},
		"forwarded":             {"10.0.0.5:99", map[string]string{"Forwarded": `for="203.0.113.9:4711";proto=https;host="id.corp.example"`}, "203.0.113.9:0", "id.corp.example", true},
		"in any case":           {"10.0.0.5:99", map[string]string{"Forwarded": `For=203.0.113.9; Proto=HTTPS; HOST=id.corp.example:8443`}, "203.0.113.9:0", "id.corp.example:8443", true},
		"IPv6":                  {"[2001:db8::1]:99", map[string]string{"Forwarded": `for="[2001:db8:cafe::17]:4711"`}, "[2001:db8:cafe::17]:0", "inner:8080", false},
		"hidden client":         {"10.0.0.5:99", map[string]string{"Forwarded": `for=_hidden;proto=https`}, "10.0.0.5:99", "inner:8080", true},
		"two proxies":           {"10.0.0.5:99", map[string]string{"Forwarded": `for=203.0.113.9;host=id.corp.example;proto=https, for=10.0.0.6;host=inner2`}, "203.0.113.9:0", "id.corp.example", true},
		"two headers":           {"10.0.0.5:99", map[string]string{"Forwarded": `for=203.0.113.9;proto=https|for=10.0.0.6`}, "203.0.113.9:0", "inner:8080", true},
		"a client that lies":    {"10.0.0.5:99", map[string]string{"Forwarded": `for=10.0.0.1;host=evil.example, for=203.0.113.9;host=id.corp.example`}, "203.0.113.9:0", "id.corp.example", false},
		"X-Forwarded":           {"127.0.0.1:99", map[string]string{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "id.corp.example"}, "203.0.113.9:0", "id.corp.example", true},
		"X-Forwarded, lies":     {"127.0.0.1:99", map[string]string{"X-Forwarded-For": "10.9.9.9, 203.0.113.9", "X-Forwarded-Proto": "https"}, "203.0.113.9:0", "inner:8080", true},
		"X-Forwarded, chain":    {"127.0.0.1:99", map[string]string{"X-Forwarded-For": "203.0.113.9, 10.0.0.7", "X-Forwarded-Proto": "https, http"}, "203.0.113.9:0", "inner:8080", true},
		"only the host":         {"127.0.0.1:99", map[string]string{"X-Forwarded-Host": "id.corp.example"}, "127.0.0.1:99", "id.corp.example", false},
		"a host that is none":   {"127.0.0.1:99", map[string]string{"X-Forwarded-Host": "id.corp.example/\r\nx"}, "127.0.0.1:99", "inner:8080", false},
		"both agree":            {"127.0.0.1:99", map[string]string{"Forwarded": "for=10.0.0.8, for=203.0.113.9;proto=https", "X-Forwarded-For": "203.0.113.9:80"}, "203.0.113.9:0", "inner:8080", true},
		"one is the client's":   {"127.0.0.1:99", map[string]string{"Forwarded": "for=203.0.113.9;host=evil.example", "X-Forwarded-For": "198.51.100.1"}, "127.0.0.1:99", "inner:8080", false},
		"so is the other":       {"127.0.0.1:99", map[string]string{"Forwarded": "for=198.51.100.1", "X-Forwarded-For": "x, 203.0.113.9"}, "127.0.0.1:99", "inner:8080", false},
		"rubbish":               {"127.0.0.1:99", map[string]string{"Forwarded": `;;=,for="\",;,for=`}, "127.0.0.1:99", "inner:8080", false},
		"a mapped IPv4 address": {"[::ffff:10.0.0.5]:99", map[string]string{"Forwarded": "for=203.0.113.9"}, "203.0.113.9:0", "inner:8080", false},
	} {
		r := seen(t, test.peer, test.header)
		if r.RemoteAddr != test.remote || r.Host != test.host || (r.TLS != nil) != test.tls {
			t.Errorf("%s: from %s to %s, TLS %t; want %s, %s, %t", name, r.RemoteAddr, r.Host, r.TLS != nil, test.remote, test.host, test.tls)
		}
	}
}

func TestParseProxies(t *testing.T) {
	for _, bad := range []string{"proxy.corp.example", "10.0.0.0/33", "10.0.0.1 10.0.0.2"} {
		if p, err := ParseProxies(bad); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
	if p, err := ParseProxies(""); err != nil || p != nil {
		t.Errorf("nothing is %v, %v", p, err)
	}
}

// Whatever a header holds, what is believed can stand where it is put.
func FuzzForwarded(f *testing.F) {
	f.Add(`for="203.0.113.9:4711";proto=https;host="id.corp.example"`, "203.0.113.9, 10.0.0.1", "a,b")
	f.Fuzz(func(t *testing.T, forwarded, from, host string) {
		r := seen(t, "10.0.0.5:99", map[string]string{"Forwarded": forwarded, "X-Forwarded-For": from, "X-Forwarded-Host": host})
		if strings.ContainsAny(r.Host, "\r\n/\\\"@ ") || len(r.Host) > 255 {
			t.Errorf("host %q", r.Host)
		}
		if _, ok := address(r.RemoteAddr); !ok {
			t.Errorf("remote address %q", r.RemoteAddr)
		}
	})
}
