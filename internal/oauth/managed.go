package oauth

import (
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Paths of the endpoints for local processes.
const (
	// MachinePath is where processes on a virtual machine ask (the instance metadata service, IMDS).
	MachinePath = "/metadata/identity/oauth2/token"
	// AppServicePath is where processes ask that were given IDENTITY_ENDPOINT and IDENTITY_HEADER, as App Service does.
	AppServicePath = "/msi/token"
)

// LocalIdentity serves tokens of managed identities to processes of this
// machine, which need no credential of their own: at MachinePath to whoever says
// Metadata: true, at AppServicePath to whoever has the header's value. It
// answers callers on loopback only, and none that came by way of a proxy, so
// that a server that can be talked into a request gets no token out of it. Its
// form is that of the Azure documents "How to use managed identities … on an
// Azure VM to acquire an access token" and "… for App Service".
func (a *Authority) LocalIdentity(header string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := a.newExchange(w, r)
		x.endpoint = localIdentity
		defer x.ended()
		if e := x.admitLocal(header); e != nil {
			x.fail(e)
			return
		}
		x.localToken()
	})
}

func errLocal(kind, text string) *protocolError {
	return &protocolError{status: http.StatusBadRequest, kind: kind, code: 90013, text: text}
}

// admitLocal checks that the request comes from a process of this machine that
// means it.
func (x *exchange) admitLocal(header string) *protocolError {
	r := x.r
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	host, _, splitErr := net.SplitHostPort(r.Host)
	if splitErr != nil {
		host = r.Host
	}
	host = strings.Trim(host, "[]")
	path := strings.TrimSuffix(r.URL.Path, "/") // MSAL for Node.js adds a slash
	switch {
	case err != nil || !remote.Addr().Unmap().IsLoopback():
		return &protocolError{status: http.StatusForbidden, kind: "access_denied", code: 90013, text: "This endpoint is for processes of this machine only."}
	case !loopbackHost(host) && host != "169.254.169.254": // a name that somebody's DNS has turned here
		return errLocal("invalid_request", "The Host header must be localhost, a loopback address or 169.254.169.254.")
	case passedOn(r.Header):
		return errLocal("invalid_request", "The request came by way of a proxy.")
	case path != MachinePath && path != AppServicePath:
		return &protocolError{status: http.StatusNotFound, kind: "not_found", code: 90014, text: "The endpoints here are " + MachinePath + " and " + AppServicePath + "."}
	case r.Method != http.MethodGet:
		x.w.Header().Set("Allow", "GET")
		return &protocolError{status: http.StatusMethodNotAllowed, kind: "bad_request_102", code: 900561, text: "The endpoint only accepts GET requests."}
	case path == MachinePath && !strings.EqualFold(r.Header.Get("Metadata"), "true"):
		return errLocal("invalid_request", "Required metadata header not specified: send Metadata: true.")
	case path == AppServicePath && (header == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get("X-IDENTITY-HEADER")), []byte(header)) != 1):
		return errLocal("invalid_request", "The header X-IDENTITY-HEADER is missing or not that of this service.")
	case r.URL.Query().Get("api-version") == "":
		return errLocal("invalid_request", "The required parameter 'api-version' is missing.")
	}
	return nil
}

// passedOn reports whether a proxy has left a trace, be it an empty one.
func passedOn(h http.Header) bool {
	for name := range h { // in canonical form
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// localAnswer is the answer of both endpoints: all numbers are in strings.
type localAnswer struct {
	Token      string `json:"access_token"`
	ClientID   string `json:"client_id"`
	Refresh    string `json:"refresh_token"` // always empty
	ExpiresIn  int    `json:"expires_in,string"`
	ExtExpires int    `json:"ext_expires_in,string"`
	ExpiresOn  int64  `json:"expires_on,string"`
	NotBefore  int64  `json:"not_before,string"`
	Resource   string `json:"resource"`
	Type       string `json:"token_type"`
}

func (x *exchange) localToken() {
	q := x.r.URL.Query()
	if q.Get("resource") == "" {
		x.fail(errLocal("invalid_resource", "The required parameter 'resource' is missing."))
		return
	}
	audience, e := x.resource(q.Get("resource"))
	if e != nil {
		x.fail(e)
		return
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), 10*time.Second)
	defer cancel()
	clients, err := x.a.store.Clients(ctx)
	if err != nil {
		x.unavailable(err)
		return
	}
	c, e := chosen(clients, q)
	if e != nil {
		x.fail(e)
		return
	}
	x.client = c.AppID.String()
	now := x.now.Truncate(time.Second)
	token, err := x.a.issue(ctx, c, nil, grant{audience: audience, issuer: x.a.issuerV1(), version: "1.0", proof: "2"}, now)
	if err != nil {
		x.unavailable(err)
		return
	}
	seconds := int(x.a.lifetime/time.Second) - 1
	x.outcome = TokenIssued
	x.reply(http.StatusOK, "no-store, no-cache", localAnswer{token, x.client, "", seconds, seconds, now.Add(x.a.lifetime).Unix(), now.Unix(), q.Get("resource"), "Bearer"})
}

// chosen is the managed identity that a request asks for: the only one, unless
// it says which.
func chosen(clients []*Client, q url.Values) (*Client, *protocolError) {
	clients = slices.DeleteFunc(clients, func(c *Client) bool { return !c.Managed || c.Disabled })
	by := map[string]func(*Client) uuid.UUID{
		"client_id":    func(c *Client) uuid.UUID { return c.AppID },
		"clientid":     func(c *Client) uuid.UUID { return c.AppID },
		"object_id":    func(c *Client) uuid.UUID { return c.ObjectID },
		"principal_id": func(c *Client) uuid.UUID { return c.ObjectID },
	}
	for name, id := range by {
		if want := q.Get(name); want != "" {
			clients = slices.DeleteFunc(clients, func(c *Client) bool { return !strings.EqualFold(id(c).String(), want) })
		}
	}
	switch {
	case q.Get("msi_res_id") != "" || q.Get("mi_res_id") != "":
		return nil, errLocal("invalid_request", "Identities have no resource ids here: select by client_id or object_id.")
	case len(clients) == 0:
		return nil, errLocal("invalid_request", "Identity not found: there is no managed identity with that id that is enabled.")
	case len(clients) > 1:
		return nil, errLocal("invalid_request", "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request.")
	}
	return clients[0], nil
}
