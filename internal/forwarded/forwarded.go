// Package forwarded takes from proxies that are trusted what they say of the requests they pass on: who sent it, to which
// host, and whether over TLS. What anybody else says is left unread.
package forwarded

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Handler passes requests on to next. A request that comes from a trusted proxy is changed to what the client sent to the
// first of the proxies: RemoteAddr, Host and TLS, by the headers Forwarded (RFC 7239) or, if there is none, X-Forwarded-For,
// X-Forwarded-Proto and X-Forwarded-Host. Of several proxies only the entries of trusted ones are believed, from the last one
// backwards. Values that make no sense are passed over. A proxy that writes one of the two families lets a client's own headers
// of the other pass: where both name a sender and not the same one, none of them is believed. The headers stay.
func Handler(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, believe(trusted, r))
	})
}

// maxHops bounds how many entries are read: there are few proxies, and clients may send anything before theirs.
const maxHops = 16

// hop is what one proxy says of the request that it got.
type hop struct{ from, proto, host string }

func believe(trusted []netip.Prefix, r *http.Request) *http.Request {
	peer, ok := address(r.RemoteAddr)
	if !ok || !within(trusted, peer) {
		return r
	}
	hops := read(r.Header)
	if len(hops) == 0 {
		return r
	}
	seen := *r
	for i := len(hops) - 1; i >= 0; i-- {
		h := hops[i]
		switch strings.ToLower(h.proto) {
		case "https": // what stands there means that the client used TLS, though not with this process
			if seen.TLS = r.TLS; seen.TLS == nil {
				seen.TLS = &tls.ConnectionState{HandshakeComplete: true}
			}
		case "http":
			seen.TLS = nil
		}
		if validHost(h.host) {
			seen.Host = h.host
		}
		from, ok := address(h.from)
		if !ok {
			break
		}
		seen.RemoteAddr = net.JoinHostPort(from.String(), "0")
		if !within(trusted, from) {
			break
		}
	}
	return &seen
}

// read returns what the proxies say, the last one last.
func read(h http.Header) []hop {
	senders := list(h, "X-Forwarded-For")
	if values := h.Values("Forwarded"); len(values) > 0 {
		hops := last(forwarded(strings.Join(values, ",")))
		if len(senders) > 0 && !sameAddress(senders[len(senders)-1], hops[len(hops)-1].from) {
			return nil
		}
		return hops
	}
	var hops []hop
	for _, from := range senders {
		hops = append(hops, hop{from: from})
	}
	protos, hosts := list(h, "X-Forwarded-Proto"), list(h, "X-Forwarded-Host")
	if len(hops) == 0 && len(protos)+len(hosts) > 0 {
		hops = append(hops, hop{})
	}
	// These two are one value for all hops, or as many as there are hops.
	for i := range hops {
		hops[i].proto, hops[i].host = at(protos, i, len(hops)), at(hosts, i, len(hops))
	}
	return last(hops)
}

func sameAddress(a, b string) bool {
	x, okX := address(a)
	y, okY := address(b)
	return okX && okY && x == y
}

func at(values []string, i, n int) string {
	switch {
	case len(values) == n:
		return values[i]
	case len(values) > 0 && i == n-1:
		return values[len(values)-1]
	}
	return ""
}

func last(hops []hop) []hop { return hops[max(len(hops)-maxHops, 0):] }

func list(h http.Header, name string) []string {
	var all []string
	for _, line := range h.Values(name) {
		for part := range strings.SplitSeq(line, ",") {
			all = append(all, strings.TrimSpace(part))
		}
	}
	return all
}

// forwarded reads the elements of a Forwarded header. A comma or semicolon within quotes separates nothing.
func forwarded(text string) []hop {
	var hops []hop
	for _, element := range split(text, ',') {
		var h hop
		for _, pair := range split(element, ';') {
			name, value, _ := strings.Cut(pair, "=")
			value = unquote(strings.TrimSpace(value))
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "for":
				h.from = value
			case "proto":
				h.proto = value
			case "host":
				h.host = value
			}
		}
		hops = append(hops, h)
	}
	return hops
}

func split(text string, sep byte) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == sep && !quoted:
			parts, from = append(parts, text[from:i]), i+1
		}
	}
	return append(parts, text[from:])
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`), `\\`, `\`)
}

// address reads an IP address with or without a port, an IPv6 address with or without brackets.
func address(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

func within(trusted []netip.Prefix, a netip.Addr) bool {
	for _, p := range trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// validHost reports whether s can stand in a URL as host and port.
func validHost(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for _, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && !strings.ContainsRune("-._:[]", rune(c)) {
			return false
		}
	}
	return true
}

// ParseProxies reads addresses and networks (CIDR), separated by commas, such as 10.0.0.5, 192.0.2.0/24.
func ParseProxies(text string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if a, err := netip.ParseAddr(part); err == nil {
			all = append(all, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, &net.ParseError{Type: "address or network of a proxy", Text: part}
		}
		all = append(all, p.Masked())
	}
	return all, nil
}
