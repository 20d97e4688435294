package oauth

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const maxForm = 64 * 1024 // bytes of a token request

// request is a token request as it was sent.
type request struct {
	grant         string
	client        string
	secret        string
	assertionType string
	assertion     string
	scope         string
	resource      string

	code     string
	redirect string
	verifier string // of PKCE
	refresh  string
	info     bool // client_info=1
}

// Grants that the token endpoint takes.
const (
	grantClient  = "client_credentials"
	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"
)

// tokenAnswer is the success answer of RFC 6749 section 5.1. The v1 endpoint
// has all numbers in strings.
type tokenAnswer struct {
	Type       string `json:"token_type"`
	ExpiresIn  int    `json:"expires_in"`
	ExtExpires int    `json:"ext_expires_in"`
	Token      string `json:"access_token"`
}

type tokenAnswerV1 struct {
	Type       string `json:"token_type"`
	ExpiresIn  int    `json:"expires_in,string"`
	ExtExpires int    `json:"ext_expires_in,string"`
	ExpiresOn  int64  `json:"expires_on,string"`
	NotBefore  int64  `json:"not_before,string"`
	Resource   string `json:"resource"`
	Token      string `json:"access_token"`
}

// token answers a token request.
func (x *exchange) token() {
	form, err := readForm(x.w, x.r)
	if err != nil {
		x.fail(err)
		return
	}
	req, err := parseRequest(form, x.r.Header.Get("Authorization"))
	x.client = req.client
	if err != nil {
		x.fail(err)
		return
	}
	audience := ""
	if req.grant == grantClient {
		if audience, err = x.audience(req); err == nil && sharedTenant(strings.ToLower(x.tenantName)) {
			err = &protocolError{status: http.StatusBadRequest, kind: "invalid_request", code: 50059,
				text: "No tenant-identifying information found in either the request or implied by any provided credentials. Use the tenant's id or domain in place of '" + x.tenantName + "'."}
		}
		if err != nil {
			x.fail(err)
			return
		}
	}
	client, err, failure := x.authenticate(req)
	switch {
	case failure != nil:
		x.unavailable(failure)
		return
	case err != nil:
		x.fail(err)
		return
	case req.grant != grantClient:
		x.redeem(client, req)
		return
	}
	now := x.now.Truncate(time.Second)
	token, failure := x.a.issue(x.r.Context(), client, nil, x.grantOf(req, audience, nil), now)
	if failure != nil {
		x.unavailable(failure)
		return
	}
	x.outcome = TokenIssued
	x.grant(token, cmp.Or(req.resource, audience), now)
}

// grantOf is what the token for a request says.
func (x *exchange) grantOf(req request, audience string, scopes []string) grant {
	g := grant{audience: audience, issuer: x.a.base(x.r) + "/v2.0", version: "2.0", proof: req.proof(), scopes: scopes}
	if x.v1 {
		g.issuer, g.version = x.a.issuerV1(), "1.0"
	}
	return g
}

// grant writes the success answer. The lifetime it tells is a second short of
// the token's, for the time that the answer travels.
func (x *exchange) grant(token, resource string, now time.Time) {
	seconds := int(x.a.lifetime/time.Second) - 1
	if !x.v1 {
		x.reply(http.StatusOK, "no-store, no-cache", tokenAnswer{"Bearer", seconds, seconds, token})
		return
	}
	x.reply(http.StatusOK, "no-store, no-cache", tokenAnswerV1{
		"Bearer", seconds, seconds, now.Add(x.a.lifetime).Unix(), now.Unix(), resource, token,
	})
}

// proof is what the client has authenticated by, as the claim appidacr has it:
// nothing, a secret or an assertion.
func (r request) proof() string {
	switch {
	case r.assertion != "":
		return "2"
	case r.secret != "":
		return "1"
	}
	return "0"
}

// readForm reads the body of a token request, of any declared type that is
// not another's.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *protocolError) {
	if t := r.Header.Get("Content-Type"); t != "" {
		if media, _, err := mime.ParseMediaType(t); err != nil || media != "application/x-www-form-urlencoded" {
			e := errMissing("grant_type")
			e.text += " The body must have the Content-Type application/x-www-form-urlencoded."
			return nil, e
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		e := errInput("The request body is larger than 64 KiB.")
		e.status = http.StatusRequestEntityTooLarge
		return nil, e
	}
	if err != nil {
		return nil, errInput("The request body ended early.")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errInput("The request body is not a well-formed form: '%' must be sent as %25, ';' as %3B.")
	}
	return form, nil
}

// once are the parameters of which a request may have one at most.
var once = []string{"grant_type", "client_id", "client_secret", "client_assertion_type", "client_assertion", "scope", "resource",
	"code", "redirect_uri", "code_verifier", "refresh_token"}

// parseRequest takes the parameters from the form and the client's credentials
// from there or from the Authorization header. On error the request is what
// could be read.
func parseRequest(form url.Values, authorization string) (req request, e *protocolError) {
	for _, name := range once {
		if len(form[name]) > 1 { // RFC 6749 section 3.2
			return req, errInput("The parameter '" + name + "' is included more than once.")
		}
	}
	req = request{
		grant:         form.Get("grant_type"),
		client:        form.Get("client_id"),
		secret:        form.Get("client_secret"),
		assertionType: form.Get("client_assertion_type"),
		assertion:     form.Get("client_assertion"),
		scope:         form.Get("scope"),
		resource:      form.Get("resource"),
		code:          form.Get("code"),
		redirect:      form.Get("redirect_uri"),
		verifier:      form.Get("code_verifier"),
		refresh:       form.Get("refresh_token"),
		info:          form.Get("client_info") == "1",
	}
	if id, secret, ok := basic(authorization); ok {
		if req.client != "" && !strings.EqualFold(req.client, id) || req.secret != "" && req.secret != secret {
			return req, errInput("The Authorization header and the body name different clients or secrets.")
		}
		req.client, req.secret = id, secret
	}
	if req.client == "" && req.assertion != "" { // RFC 7523 section 2.2: client_id may be left to it
		if a, e := parseAssertion(req.assertion); e == nil {
			req.client = a.claims.Subject
		}
	}
	switch {
	case req.grant == "":
		return req, errMissing("grant_type")
	case req.grant != grantClient && req.grant != grantCode && req.grant != grantRefresh:
		return req, &protocolError{status: http.StatusBadRequest, kind: "unsupported_grant_type", code: 70003,
			text: "The app requested an unsupported grant type '" + shown(req.grant) + "'. Use 'client_credentials', 'authorization_code' or 'refresh_token'."}
	case req.client == "":
		return req, errMissing("client_id")
	}
	return req, nil
}

// basic decodes client credentials of the Basic scheme (RFC 7617), of which id
// and secret are form-encoded first (RFC 6749 section 2.3.1). What cannot be
// decoded was sent unencoded, as many clients do.
func basic(authorization string) (id, secret string, ok bool) {
	scheme, encoded, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(pair), ":")
	if s, err := url.QueryUnescape(id); err == nil {
		id = s
	}
	if s, err := url.QueryUnescape(secret); err == nil {
		secret = s
	}
	return id, secret, ok
}

// audience is that of the token which the request asks for.
func (x *exchange) audience(req request) (string, *protocolError) {
	if req.resource != "" && (x.v1 || req.scope == "") {
		return x.resource(req.resource)
	}
	if req.scope == "" {
		if x.v1 {
			return "", errMissing("resource")
		}
		return "", errMissing("scope")
	}
	scope, e := soleScope(req.scope)
	if e != nil {
		return "", e
	}
	resource, ok := strings.CutSuffix(scope, "/.default")
	switch {
	case scope == ".default":
		return graphURI, nil
	case !ok:
		return "", errScope(1002012, "The provided value for scope "+shown(scope)+" is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).")
	}
	return x.resource(resource)
}

// soleScope returns the one scope of the list that is not OpenID Connect's:
// clients add those to any request.
func soleScope(list string) (string, *protocolError) {
	scopes := strings.Fields(list)
	slices.Sort(scopes)
	scopes = slices.DeleteFunc(slices.Compact(scopes), func(s string) bool {
		return s == "openid" || s == "profile" || s == "offline_access" || s == "email"
	})
	if len(scopes) != 1 {
		return "", errScope(70011, "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope "+shown(list)+" is not valid: it must name one resource, such as "+graphURI+"/.default.")
	}
	return scopes[0], nil
}

// resource returns the audience that a resource identifier stands for. This
// server's own URL, by any name, is an alias of Graph's.
func (x *exchange) resource(name string) (string, *protocolError) {
	id := strings.ToLower(strings.TrimRight(name, "/"))
	if id == graphURI || id == graphAppID {
		return id, nil
	}
	host, ok := strings.CutPrefix(id, "https://")
	if !ok {
		host, ok = strings.CutPrefix(id, "http://")
	}
	if ok && x.a.serves(x.r, host) {
		return graphURI, nil
	}
	return "", &protocolError{status: http.StatusBadRequest, kind: "invalid_resource", code: 500011,
		text: "The resource principal named " + shown(name) + " was not found in the tenant named " + x.a.tenant.String() + ". This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. Use " + graphURI + "."}
}

// authenticate returns the client of the request, which has proved who it is. The
// protocol error is the client's fault, the other one that of the store or of
// another issuer.
func (x *exchange) authenticate(req request) (*Client, *protocolError, error) {
	id, err := uuid.Parse(req.client)
	if err != nil || len(req.client) != 36 {
		return nil, x.refuse(req, errApplication(req.client, x.a.tenant)), nil
	}
	client, err := x.lookUp(id)
	if err != nil {
		return nil, nil, err
	}
	if client == nil {
		return nil, x.refuse(req, errApplication(req.client, x.a.tenant)), nil
	}
	e, err := x.prove(client, req)
	if err != nil {
		return nil, nil, err
	}
	if e != nil {
		return nil, x.refuse(req, e), nil
	}
	if client.Disabled { // said to nobody but who has its credentials
		return nil, &protocolError{status: http.StatusBadRequest, kind: "unauthorized_client", code: 7000112,
			text: "Application '" + id.String() + "' (" + shown(client.DisplayName) + ") is disabled."}, nil
	}
	return client, nil, nil
}

// prove checks the client's credentials in the request.
func (x *exchange) prove(c *Client, req request) (*protocolError, error) {
	id := c.AppID.String()
	switch {
	case c.Managed:
		return &protocolError{status: http.StatusBadRequest, kind: "unauthorized_client", code: 700016,
			text: "Application with identifier '" + id + "' is a managed identity: it gets tokens from the endpoint for local processes only."}, nil
	case c.Public && req.grant != grantClient && req.proof() == "0": // what it brings is its proof
		return nil, nil
	case c.Public:
		return errClient(700025, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented, and the 'client_credentials' grant type is not for it."), nil
	case req.secret != "" && req.assertion != "":
		return errInput("Send 'client_secret' or 'client_assertion', not both."), nil
	case req.assertion != "" && req.assertionType == "":
		return errMissing("client_assertion_type"), nil
	case req.assertion != "" && req.assertionType != assertionType:
		return errInput("The 'client_assertion_type' must be " + assertionType + "."), nil
	case req.assertion != "":
		return x.checkAssertion(x.r.Context(), c, req)
	case req.secret == "":
		return errClient(7000216, "'client_assertion', 'client_secret' or 'request' is required for the '"+req.grant+"' grant type."), nil
	}
	switch known, valid := c.checkSecret(req.secret, x.now); {
	case !known:
		return errClient(7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '"+id+"'."), nil
	case !valid:
		return errClient(7000222, "The provided client secret keys for app '"+id+"' are expired. Create a new secret for the app."), nil
	}
	return nil, nil
}

// lookUp returns nil if there is no such client.
func (x *exchange) lookUp(id uuid.UUID) (*Client, error) {
	ctx, cancel := context.WithTimeout(x.r.Context(), 10*time.Second)
	defer cancel()
	client, err := x.a.store.Client(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return client, err
}

func errApplication(name string, tenant uuid.UUID) *protocolError {
	return &protocolError{status: http.StatusBadRequest, kind: "unauthorized_client", code: 700016,
		text: "Application with identifier '" + shown(name) + "' was not found in the directory '" + tenant.String() + "'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."}
}

// refuse counts the failed authentication and returns the answer: e, or after
// too many of them that the client has to wait.
func (x *exchange) refuse(req request, e *protocolError) *protocolError {
	wait := x.a.failures.fail(origin{shown(strings.ToLower(req.client)), network(x.r)}, x.now)
	if wait == 0 {
		return e
	}
	return &protocolError{status: http.StatusTooManyRequests, kind: "temporarily_unavailable", code: 90055,
		text: "There are too many failed requests of this application from this address. Correct its credentials before trying again.", wait: wait}
}
