package metrics

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
)

// LocalOnly answers with h to requests that come from the machine itself, and with 404 to all others. What a proxy on this
// machine forwards comes from elsewhere; most say so in a header: Forwarded (RFC 7239), Via (RFC 9110), X-Forwarded-….
// Some do not, so behind a proxy (proxied) nobody is answered.
func LocalOnly(h http.Handler, proxied bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if proxied || !local(r) {
			refuse(w)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, "Metrics are shown here to this machine itself alone, and not through a proxy.\n"+
		"Start the service with --metrics-listen ADDRESS:PORT and read them there.\n")
}

func local(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	for name := range r.Header { // in canonical form
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return false
		}
	}
	return true
}
