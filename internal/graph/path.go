package graph

import (
	"net/http"
	"net/url"
	"strings"
)

// segment is one part of a resource path, percent-decoded.
type segment struct {
	text string // as sent, with its key predicate
	name string // without a key predicate, a "microsoft.graph." and the parentheses of a function call
	key  *key   // the key predicate, if there is one
	full bool   // name had a "microsoft.graph."
}

// namespace is Graph's, which may stand before the names of functions and actions, and must before those of types.
const namespace = "microsoft.graph."

// is reports whether the segment is a word of a pattern. Generated SDKs write types with an alias of the namespace.
func (s segment) is(word string) bool {
	if kind, cast := strings.CutPrefix(word, namespace); cast {
		return s.full && strings.EqualFold(kind, s.name) || strings.EqualFold("graph."+kind, s.name)
	}
	return strings.EqualFold(word, s.name)
}

// key names one entity of a collection: /jobs/{value}, /jobs('value') or, with a property, /servicePrincipals(appId='value').
type key struct{ property, value string }

// resourcePath is a request path in its one canonical form.
type resourcePath struct {
	version  string // "v1.0" or "beta"; "" if it is neither
	segments []segment
}

// mostPath bounds a path in bytes: the longest with a meaning has a few ids of at most 256 characters.
const mostPath = 8 << 10

// parsePath reads the escaped path of a URL. A trailing slash does not count. ok is false if the path is not
// correctly percent-encoded.
func parsePath(escaped string) (p resourcePath, ok bool) {
	parts := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	if last := len(parts) - 1; last > 0 && parts[last] == "" {
		parts = parts[:last]
	}
	for _, v := range []string{"v1.0", "beta"} {
		if strings.EqualFold(parts[0], v) {
			p.version = v
		}
	}
	for _, part := range parts[1:] {
		text, err := url.PathUnescape(part)
		if err != nil {
			return resourcePath{}, false
		}
		p.segments = append(p.segments, parseSegment(text))
	}
	return p, true
}

// parseSegment splits a key predicate (OData 4.01 URL Conventions section 4.3.2) off a segment. What looks like one
// and is none stays part of the name.
func parseSegment(text string) segment {
	s := segment{text: text, name: text}
	open := strings.IndexByte(text, '(')
	if open > 0 && strings.HasSuffix(text, ")") {
		predicate := strings.TrimSpace(text[open+1 : len(text)-1])
		if k, ok := parseKey(predicate); ok {
			s.name, s.key = text[:open], k
		}
	}
	if i := len(namespace); len(s.name) > i && strings.EqualFold(s.name[:i], namespace) {
		s.name, s.full = s.name[i:], true
	}
	return s
}

// parseKey reads what stands between the parentheses of a key predicate; nothing is a function call without parameters.
func parseKey(predicate string) (k *key, ok bool) {
	if predicate == "" {
		return nil, true
	}
	k = &key{value: predicate}
	if quote := strings.IndexByte(predicate, '\''); quote != 0 {
		if property, value, found := strings.Cut(predicate, "="); found && (quote < 0 || len(property) < quote) {
			k.property, k.value = strings.TrimSpace(property), strings.TrimSpace(value)
		}
	}
	if k.value, ok = unquote(k.value); !ok || k.value == "" {
		return nil, false
	}
	return k, true
}

// unquote reads a string literal, in which ' is doubled, or a bare literal such as a GUID.
func unquote(literal string) (string, bool) {
	if !strings.HasPrefix(literal, "'") {
		return literal, !strings.ContainsAny(literal, "'=(),")
	}
	inner, closed := strings.CutSuffix(literal[1:], "'")
	bare := strings.ReplaceAll(inner, "''", "")
	return strings.ReplaceAll(inner, "''", "'"), closed && !strings.Contains(bare, "'")
}

// base is the scheme and host that the client called.
func (s *server) base(r *http.Request) string {
	scheme, host := "http", r.Host
	if r.TLS != nil || s.secure {
		scheme = "https"
	}
	if host == "" {
		_, host, _ = strings.Cut(s.PublicURL, "://")
		host = strings.Trim(host, "/")
	}
	return scheme + "://" + host
}

func hasScheme(rawURL, scheme string) bool {
	s, _, ok := strings.Cut(rawURL, "://")
	return ok && strings.EqualFold(s, scheme)
}
