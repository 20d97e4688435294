package oauth

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const maxRedirect = 2048

// CheckRedirectURI reports why uri cannot be a redirect URI of a client: it must
// be absolute and without fragment; https, http on loopback (RFC 8252 section
// 7.3) or, for a public client, a scheme of the app's own (section 7.1).
func CheckRedirectURI(uri string, public bool) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || len(uri) > maxRedirect || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }):
		return errors.New("the redirect URI is not a URI in ASCII of at most 2048 characters")
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return errors.New("the redirect URI must not have a fragment")
	case u.User != nil || strings.Contains(uri, "*"):
		return errors.New("the redirect URI must not have credentials or wildcards")
	case u.Scheme == "https" && u.Hostname() != "", u.Scheme == "http" && loopbackHost(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("the redirect URI must be https; http is for localhost and loopback addresses only")
	case public && ownScheme(u.Scheme):
		return nil
	}
	return errors.New("the redirect URI must be https or, for a public client, have a scheme of the app's own, such as msal6e3f1b7c://auth")
}

// ownScheme reports whether a scheme is an app's own, and not one that a browser
// acts on.
func ownScheme(scheme string) bool {
	browsers := []string{"", "http", "https", "javascript", "data", "vbscript", "blob", "file", "filesystem", "about", "view-source", "ws", "wss", "ftp", "mailto", "tel", "intent"}
	return !slices.Contains(browsers, scheme)
}

// redirects reports whether uri is one of the client's, exactly as it was
// registered; only the port of a loopback address is free (RFC 8252 section
// 7.3).
func (c *Client) redirects(uri string) bool {
	if CheckRedirectURI(uri, c.Public) != nil {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool { return registered == uri || sameLoopback(registered, uri) })
}

func sameLoopback(a, b string) bool {
	p, err := url.Parse(a)
	q, err2 := url.Parse(b)
	return errors.Join(err, err2) == nil && p.Scheme == "http" && q.Scheme == "http" && loopbackHost(p.Hostname()) && p.Hostname() == q.Hostname() &&
		rooted(p.EscapedPath()) == rooted(q.EscapedPath()) && p.RawQuery == q.RawQuery
}

func rooted(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// cspSource is a redirect URI's origin as a Content-Security-Policy names it, or
// its scheme where that has no way to.
func cspSource(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	if (u.Scheme == "http" || u.Scheme == "https") && plainHost.MatchString(u.Host) {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + ":"
}

var plainHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`)
