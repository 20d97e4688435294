package oauth

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	maxAuthorize = 8 * 1024 // bytes of an authorization request's parameters
	maxState     = 4 * 1024
)

// authorization is a request of RFC 6749 section 4.1.1 with those parameters of
// OpenID Connect and RFC 7636 that matter here.
type authorization struct {
	client    *Client
	redirect  string
	mode      string // query, fragment or form_post
	state     string
	scope     string
	nonce     string
	challenge string // S256
	prompt    string
	hint      string // login_hint
	maxAge    time.Duration
	aged      bool // max_age was sent
	info      bool // client_info=1: libraries want to be told who it is without reading a token
	raw       string
}

// codeContent is what an authorization code stands for.
type codeContent struct {
	Client    uuid.UUID
	Redirect  string
	Challenge string
	Scope     string
	Nonce     string
	SignedIn  time.Time
}

// sessionContent is what is known of a browser's session.
type sessionContent struct{ SignedIn time.Time }

// authorizationOnce are the parameters of which there may be one at most.
var authorizationOnce = []string{"client_id", "redirect_uri", "response_type", "response_mode", "state", "scope", "nonce", "prompt",
	"code_challenge", "code_challenge_method", "login_hint", "max_age", "request", "request_uri", "resource"}

// authorize answers an authorization request: with a code if the browser has a
// session, otherwise with the page to sign in on.
func (x *exchange) authorize() {
	form, e := x.authorizeForm()
	if e != nil {
		x.errorPage(e)
		return
	}
	q, e, failure := x.parseAuthorization(form)
	switch {
	case failure != nil:
		x.brokenPage(failure)
	case q == nil:
		x.errorPage(e)
	case e != nil:
		x.returnError(q, e)
	default:
		x.answerAuthorization(q)
	}
}

func (x *exchange) answerAuthorization(q *authorization) {
	s, p, err := x.session()
	if err != nil {
		x.brokenPage(err)
		return
	}
	fresh := s != nil && (!q.aged || x.now.Sub(s.SignedIn) <= q.maxAge)
	switch {
	case q.prompt == "none" && !fresh:
		x.returnError(q, &protocolError{kind: "login_required", code: 50058, text: "A silent sign-in request was sent but no user is signed in."})
	case !fresh || q.prompt == "login" || q.prompt == "select_account":
		x.signInPage(http.StatusOK, q, "", "")
	default:
		x.returnCode(q, p, s.SignedIn)
	}
}

// authorizeForm is the request's parameters, of its query or its body (OpenID
// Connect Core section 3.1.2.1).
func (x *exchange) authorizeForm() (url.Values, *protocolError) {
	if x.r.Method == http.MethodPost {
		return readForm(x.w, x.r)
	}
	form, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, errInput("The query is not well formed.")
	}
	return form, nil
}

// parseAuthorization reads an authorization request. With a request beside the
// error, the client is to be told by way of its redirect URI; without one that
// is not to be trusted and the person is told instead.
func (x *exchange) parseAuthorization(form url.Values) (*authorization, *protocolError, error) {
	raw := form.Encode()
	if len(raw) > maxAuthorize {
		return nil, errInput("The request is longer than 8 KiB."), nil
	}
	for _, name := range authorizationOnce {
		if len(form[name]) > 1 {
			return nil, errInput("The parameter '" + name + "' is included more than once."), nil
		}
	}
	x.client = form.Get("client_id")
	q := &authorization{redirect: form.Get("redirect_uri"), mode: form.Get("response_mode"), state: form.Get("state"), scope: form.Get("scope"), nonce: form.Get("nonce"),
		challenge: form.Get("code_challenge"), prompt: form.Get("prompt"), hint: form.Get("login_hint"), info: form.Get("client_info") == "1", raw: raw}
	id, err := uuid.Parse(x.client)
	if err != nil || len(x.client) != 36 {
		return nil, errApplication(x.client, x.a.tenant), nil
	}
	if q.client, err = x.lookUp(id); err != nil {
		return nil, nil, err
	}
	switch {
	case q.client == nil || q.client.Managed || q.client.Disabled:
		return nil, errApplication(x.client, x.a.tenant), nil
	case !q.client.redirects(q.redirect):
		return nil, &protocolError{status: http.StatusBadRequest, kind: "invalid_request", code: 50011,
			text: "The redirect URI '" + shown(q.redirect) + "' specified in the request does not match the redirect URIs configured for the application '" + id.String() + "'."}, nil
	}
	if q.mode == "" {
		q.mode = "query"
	}
	return q, q.check(form), nil
}

// check finds what is wrong with a request whose redirect URI is right.
func (q *authorization) check(form url.Values) *protocolError {
	mode := q.mode
	if !slices.Contains([]string{"query", "fragment", "form_post"}, mode) {
		q.mode = "query"
	}
	method := form.Get("code_challenge_method")
	switch {
	case q.mode != mode:
		return errInput("The 'response_mode' must be query, fragment or form_post.")
	case form.Get("response_type") == "":
		return errMissing("response_type")
	case form.Get("response_type") != "code":
		return &protocolError{kind: "unsupported_response_type", code: 700054, text: "The 'response_type' must be 'code': tokens are not handed out by way of the browser."}
	case form.Has("request") || form.Has("request_uri"):
		return &protocolError{kind: "request_not_supported", code: 90013, text: "The parameters 'request' and 'request_uri' are not supported."}
	case len(q.state) > maxState || len(q.nonce) > maxState:
		return errInput("'state' and 'nonce' may have at most 4 KiB.")
	case q.scope == "":
		return errMissing("scope")
	case !slices.Contains([]string{"", "none", "login", "select_account", "consent"}, q.prompt):
		return errInput("The 'prompt' must be none, login, select_account or consent.")
	case q.challenge == "" && method != "":
		return errMissing("code_challenge")
	case q.challenge == "" && q.client.Public:
		return &protocolError{kind: "invalid_request", code: 9002325, text: "Proof Key for Code Exchange is required for cross-origin authorization code redemption and for public clients: send 'code_challenge'."}
	case q.challenge != "" && method != "S256":
		return errInput("The 'code_challenge_method' must be S256.")
	case q.challenge != "" && !isChallenge(q.challenge):
		return errInput("The 'code_challenge' is not the base64url of a SHA-256 hash, of 43 characters.")
	}
	if age := form.Get("max_age"); age != "" {
		seconds, err := strconv.Atoi(age)
		if err != nil || seconds < 0 || seconds > 1<<30 {
			return errInput("The 'max_age' must be a number of seconds.")
		}
		q.maxAge, q.aged = time.Duration(seconds)*time.Second, true
	}
	return nil
}

// isChallenge reports whether s can be an S256 code challenge (RFC 7636 section
// 4.2).
func isChallenge(s string) bool {
	return len(s) == 43 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// returnCode sends the browser back to the client with a code.
func (x *exchange) returnCode(q *authorization, p *Person, signedIn time.Time) {
	if _, e := x.scopes(q.client, p, q.scope); e != nil {
		if e.code == 65001 {
			e.kind = "consent_required"
		}
		x.returnError(q, e)
		return
	}
	code, err := x.a.hand(x.r.Context(), Ticket{Kind: codeTicket, Family: uuid.New(), Person: p.ObjectID}, codeLifetime,
		codeContent{q.client.AppID, q.redirect, q.challenge, q.scope, q.nonce, signedIn})
	if err != nil {
		x.brokenPage(err)
		return
	}
	x.person = p.ObjectID
	answer := url.Values{"code": {code}}
	if q.info {
		answer.Set("client_info", x.a.clientInfo(p))
	}
	x.back(q, answer)
}

// returnError sends the browser back to the client with an error (RFC 6749
// section 4.1.2.1).
func (x *exchange) returnError(q *authorization, e *protocolError) {
	x.refused = e
	x.back(q, url.Values{"error": {e.kind}, "error_description": {x.describe(e)}})
}

// back sends the browser to the client's redirect URI, the way it wants the
// answer.
func (x *exchange) back(q *authorization, answer url.Values) {
	if q.state != "" {
		answer.Set("state", q.state)
	}
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("x-ms-request-id", x.trace.String())
	if q.mode == "form_post" {
		x.postPage(q.redirect, answer)
		return
	}
	target, separator := q.redirect, "#"
	if q.mode == "query" {
		separator = "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
	}
	h.Set("Location", target+separator+answer.Encode())
	x.status = http.StatusFound
	if x.r.Method == http.MethodPost {
		x.status = http.StatusSeeOther
	}
	x.w.WriteHeader(x.status)
}

// session returns the browser's session and whose it is; nil if there is none.
func (x *exchange) session() (*sessionContent, *Person, error) {
	cookie, err := x.r.Cookie(x.cookieName(sessionCookie))
	if err != nil {
		return nil, nil, nil
	}
	var s sessionContent
	t, err := x.a.look(x.r.Context(), sessionTicket, cookie.Value, &s)
	if t == nil || err != nil {
		return nil, nil, err
	}
	p, err := x.a.enabled(x.r.Context(), t.Person)
	if p == nil || err != nil {
		return nil, nil, err
	}
	return &s, p, nil
}

// enabled returns the person with the object id; nil if there is none who may
// sign in.
func (a *Authority) enabled(ctx context.Context, id uuid.UUID) (*Person, error) {
	p, _, err := a.find(ctx, id.String())
	if notFound(err) || err == nil && !p.Enabled {
		return nil, nil
	}
	return p, err
}
