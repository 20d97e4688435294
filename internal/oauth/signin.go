package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	sessionCookie = "induct_session"
	formCookie    = "induct_form" // ties a form to the browser that it was sent to
)

// Throttles of sign-in, in failures in a window. Other than a client's secret, a
// password can be guessed: whoever fails too often has to wait even with the
// right one.
const (
	signInWindow       = 15 * time.Minute
	maxPairFailures    = 10  // of one name from one address
	maxNameFailures    = 50  // of one name from anywhere
	maxAddressFailures = 100 // from one address, which a proxy or an office may share
)

// throttle holds up who fails to sign in again and again. What it counts is in the store: it holds for all processes together,
// and after a start. Their clocks may differ; a count lasts so much longer or shorter.
type throttle struct{ store Store }

// origins are what the tries of that name, from that network, are counted for, with how many may fail.
func (throttle) origins(name, remote string) (all [][sha256.Size]byte, most []int) {
	hash := func(of, name, remote string) [sha256.Size]byte {
		return sha256.Sum256([]byte(of + "\x00" + name + "\x00" + remote))
	}
	return [][sha256.Size]byte{hash("pair", name, remote), hash("name", name, ""), hash("address", "", remote)},
		[]int{maxPairFailures, maxNameFailures, maxAddressFailures}
}

// wait is how long nobody of that name, from that network, may try.
func (t throttle) wait(ctx context.Context, name, remote string, now time.Time) (wait time.Duration, err error) {
	origins, most := t.origins(name, remote)
	tallies, err := t.store.Failures(ctx, origins...)
	for i, f := range tallies {
		if f.Count >= most[i] {
			wait = max(wait, signInWindow-now.Sub(f.Since))
		}
	}
	return wait, err
}

// fail counts a failed try, even if whoever made it has hung up meanwhile.
func (t throttle) fail(ctx context.Context, name, remote string, now time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	origins, _ := t.origins(name, remote)
	return t.store.AddFailures(ctx, now, signInWindow, origins...)
}

// succeed forgets the failures of that name from that network.
func (t throttle) succeed(ctx context.Context, name, remote string) error {
	origins, _ := t.origins(name, remote)
	return t.store.ForgetFailures(ctx, origins[0])
}

// login answers the page to sign in on: GET shows it, or who has signed in;
// POST signs in.
func (x *exchange) login() {
	if x.r.Method != http.MethodPost {
		_, p, err := x.session()
		switch {
		case err != nil:
			x.brokenPage(err)
		case p != nil:
			x.accountPage(p)
		default:
			x.signInPage(http.StatusOK, nil, "", "")
		}
		return
	}
	form, e := x.pageForm()
	if e != nil {
		x.errorPage(e)
		return
	}
	q, ok := x.resumed(form.Get("request"))
	if !ok {
		return
	}
	x.signIn(q, form.Get("username"), form.Get("password"))
}

// resumed reads the authorization request that a form carries, as if it came
// anew. false: it was answered.
func (x *exchange) resumed(raw string) (*authorization, bool) {
	if raw == "" {
		return nil, true
	}
	form, err := url.ParseQuery(raw)
	if err != nil {
		x.errorPage(errInput("The request is not well formed."))
		return nil, false
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
		return q, true
	}
	return nil, false
}

const (
	textWrong = "The user name or the password is wrong, or the account may not sign in."
	textSlow  = "There were too many failed tries. Wait a quarter of an hour, then try again."
)

func (x *exchange) signIn(q *authorization, name, password string) {
	name = strings.ToLower(strings.TrimSpace(name))
	p, account, err := x.a.find(x.r.Context(), name)
	if err != nil && !notFound(err) {
		x.brokenPage(err)
		return
	}
	key, remote := shown(name), network(x.r)
	if p != nil { // however the name is written, by which there are many ways to one person
		key = p.ObjectID.String()
	}
	if x.heldUp(q, name, key, remote) {
		return
	}
	done, err := x.a.hashSlot(x.r.Context())
	if err != nil {
		x.brokenPage(err)
		return
	}
	defer done()
	if x.heldUp(q, name, key, remote) { // by others, who were tried while this one waited
		return
	}
	right := account.opens(password) && p != nil && p.Enabled
	if right {
		err = x.a.signIns.succeed(x.r.Context(), key, remote)
	} else {
		err = x.a.signIns.fail(x.r.Context(), key, remote, x.now)
	}
	switch {
	case err != nil:
		x.brokenPage(err)
	case !right:
		x.refused = &protocolError{status: http.StatusUnauthorized, kind: "access_denied", code: 50126}
		x.signInPage(http.StatusUnauthorized, q, name, textWrong)
	default:
		x.enter(q, p)
	}
}

// heldUp answers somebody who may not try at this time.
func (x *exchange) heldUp(q *authorization, name, key, remote string) bool {
	wait, err := x.a.signIns.wait(x.r.Context(), key, remote, x.now)
	if err != nil {
		x.brokenPage(err)
		return true
	}
	if wait <= 0 {
		return false
	}
	x.refused = &protocolError{status: http.StatusTooManyRequests, kind: "access_denied", code: 50053}
	x.signInPage(http.StatusTooManyRequests, q, name, textSlow)
	return true
}

// enter begins a session, under a name that was not known before, and goes on to
// where the person wanted to.
func (x *exchange) enter(q *authorization, p *Person) {
	clear, err := x.a.hand(x.r.Context(), Ticket{Kind: sessionTicket, Family: uuid.New(), Person: p.ObjectID}, sessionLifetime, sessionContent{x.now})
	if err == nil {
		err = x.endSession() // of whoever was signed in here
	}
	if err != nil {
		x.brokenPage(err)
		return
	}
	x.person = p.ObjectID
	x.setCookie(sessionCookie, clear)
	x.setCookie(formCookie, "")
	if q != nil {
		x.returnCode(q, p, x.now)
		return
	}
	x.seeOther(x.a.own("login"))
}

func (x *exchange) seeOther(to string) {
	x.w.Header().Set("Location", to)
	x.w.Header().Set("Cache-Control", "no-store")
	x.status = http.StatusSeeOther
	x.w.WriteHeader(x.status)
}

// logout ends the session (OpenID Connect RP-Initiated Logout 1.0). Refresh
// tokens of clients are theirs and stay.
func (x *exchange) logout() {
	if err := x.endSession(); err != nil {
		x.brokenPage(err)
		return
	}
	x.setCookie(sessionCookie, "")
	form, e := x.authorizeForm()
	if e != nil {
		x.errorPage(e)
		return
	}
	target := form.Get("post_logout_redirect_uri")
	known, err := x.isRedirect(target)
	switch {
	case err != nil:
		x.brokenPage(err)
	case !known:
		x.noticePage(http.StatusOK, "You have signed out", "You can close this window.")
	default:
		u, _ := url.Parse(target) // isRedirect has
		if state := form.Get("state"); state != "" {
			query := u.Query()
			query.Set("state", state)
			u.RawQuery = query.Encode()
		}
		x.seeOther(u.String())
	}
}

// isRedirect reports whether a client has registered the URI: a browser is sent
// nowhere else.
func (x *exchange) isRedirect(uri string) (bool, error) {
	if uri == "" {
		return false, nil
	}
	clients, err := x.a.store.Clients(x.r.Context())
	return slices.ContainsFunc(clients, func(c *Client) bool { return !c.Disabled && c.redirects(uri) }), err
}

// endSession forgets the browser's session, if it has one.
func (x *exchange) endSession() error {
	cookie, err := x.r.Cookie(x.cookieName(sessionCookie))
	if err != nil {
		return nil
	}
	t, err := x.a.look(x.r.Context(), sessionTicket, cookie.Value, nil)
	if t == nil || err != nil {
		return err
	}
	return x.a.store.DeleteTickets(x.r.Context(), t.Family)
}

// cookieName is a cookie's name. On TLS its prefix has the browser refuse one
// that another host, or plain HTTP, tries to set (RFC 6265bis section 4.1.3.2).
func (x *exchange) cookieName(name string) string {
	if x.secure() {
		return "__Host-" + name
	}
	return name
}

func (x *exchange) secure() bool { return x.r.TLS != nil || x.a.https }

// setCookie sets a cookie that ends with the browser, or removes it if value is
// "".
func (x *exchange) setCookie(name, value string) {
	c := &http.Cookie{Name: x.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: x.secure(), SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(x.w, c)
}

// formKey is the secret of the browser's forms, made at the first one.
func (x *exchange) formKey() string {
	if c, err := x.r.Cookie(x.cookieName(formCookie)); err == nil && len(c.Value) == secretLength {
		return c.Value
	}
	key := randomText()
	x.setCookie(formCookie, key)
	return key
}

// pageForm reads a form that one of the pages has sent. Another site can neither
// read the browser's key nor hide from it that the form is its own.
func (x *exchange) pageForm() (url.Values, *protocolError) {
	foreign := &protocolError{status: http.StatusForbidden, kind: "access_denied", code: 50012,
		text: "The form did not come from this server's own page, or that page is too old, or cookies are blocked. Go back and load it again."}
	if http.NewCrossOriginProtection().Check(x.r) != nil {
		return nil, foreign
	}
	form, e := readForm(x.w, x.r)
	if e != nil {
		return nil, e
	}
	cookie, err := x.r.Cookie(x.cookieName(formCookie))
	if err != nil || len(cookie.Value) != secretLength || subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(form.Get("csrf"))) != 1 {
		return nil, foreign
	}
	return form, nil
}

// setupFamily is that of the links for the first administrator. Each process that
// is started makes one; the first that is used ends them all.
var setupFamily = uuid.NewSHA1(uuid.NameSpaceURL, []byte("induct:setup"))

// FirstAdministratorLink returns a path, with query, on which somebody can make
// the first administrator: once, within an hour. It is "" if there is somebody
// who can sign in as administrator.
func (a *Authority) FirstAdministratorLink(ctx context.Context) (string, error) {
	if has, err := a.hasAdministrator(ctx); has || err != nil {
		return "", err
	}
	clear, err := a.hand(ctx, Ticket{Kind: setupTicket, Family: setupFamily}, linkLifetime, nil)
	return a.own("setup?code=" + clear), err
}

// SignInLink returns a path, with query, that signs a person in at once, without
// a password: once, within an hour. It is for a service that is tried out; who
// has the link is that person.
func (a *Authority) SignInLink(ctx context.Context, person uuid.UUID) (string, error) {
	clear, err := a.hand(ctx, Ticket{Kind: linkTicket, Family: uuid.New(), Person: person}, linkLifetime, nil)
	return a.own("setup?code=" + clear), err
}

var errLink = &protocolError{status: http.StatusNotFound, kind: "invalid_request", code: 90013,
	text: "This link is not valid: it was used, is older than an hour, or there is an administrator. Start the service again for a new one."}

// setup answers one-time links.
func (x *exchange) setup() {
	code := x.r.URL.Query().Get("code")
	if len(code) > maxState {
		x.errorPage(errLink)
		return
	}
	link, err := x.a.look(x.r.Context(), linkTicket, code, nil)
	if err != nil {
		x.brokenPage(err)
		return
	}
	if link != nil && x.r.Method != http.MethodHead { // something that only looks must not use it up
		x.followLink(code)
		return
	}
	t, err := x.a.look(x.r.Context(), setupTicket, code, nil)
	made := false
	if err == nil && t != nil { // one may have been made otherwise, since the link was
		made, err = x.a.hasAdministrator(x.r.Context())
	}
	switch {
	case err != nil:
		x.brokenPage(err)
	case t == nil || !t.Used.IsZero() || made:
		x.errorPage(errLink)
	case x.r.Method != http.MethodPost:
		x.setupPage(http.StatusOK, code, "", "")
	default:
		x.makeAdministrator(code)
	}
}

func (x *exchange) followLink(code string) {
	ctx := x.r.Context()
	t, err := x.a.take(ctx, linkTicket, code, nil)
	if err == nil && (t == nil || !t.Used.IsZero()) {
		x.errorPage(errLink)
		return
	}
	var p *Person
	if err == nil {
		p, err = x.a.enabled(ctx, t.Person)
	}
	switch {
	case err != nil:
		x.brokenPage(err)
	case p == nil:
		x.errorPage(errLink)
	default:
		x.enter(nil, p)
	}
}

// makeAdministrator makes the first administrator of what the setup page sent.
func (x *exchange) makeAdministrator(code string) {
	ctx := x.r.Context()
	form, e := x.pageForm()
	if e != nil {
		x.errorPage(e)
		return
	}
	name, password := strings.TrimSpace(form.Get("username")), form.Get("password")
	wrong := func(why string) { x.setupPage(http.StatusBadRequest, code, name, why) }
	if password != form.Get("again") {
		wrong("The two passwords differ.")
		return
	}
	if err := errors.Join(checkName(strings.ToLower(name)), CheckPassword(password, name)); err != nil {
		wrong(sentence(err))
		return
	}
	if _, _, err := x.a.find(ctx, name); err == nil {
		wrong("There is a person of that name in the directory. Choose another.")
		return
	} else if !notFound(err) {
		x.brokenPage(err)
		return
	}
	made, err := x.a.addFirst(ctx, code, name, password)
	if err == nil && made == nil {
		x.errorPage(errLink)
		return
	}
	if err != nil {
		x.brokenPage(err)
		return
	}
	x.enter(nil, &Person{made.ObjectID, made.UPN, made.DisplayName, true, made.Roles})
}

// addFirst makes the first administrator of a link's code; nil if the link is not valid any more, because of another one that was
// followed at the same moment, perhaps.
func (a *Authority) addFirst(ctx context.Context, code, name, password string) (*Account, error) {
	unlock, err := a.store.Lock(ctx, lockAccounts)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if has, err := a.hasAdministrator(ctx); has || err != nil {
		return nil, err
	}
	t, err := a.take(ctx, setupTicket, code, nil)
	if err != nil || t == nil || !t.Used.IsZero() {
		return nil, err
	}
	made, err := a.AddAccount(ctx, name, "", password, []string{"Global Administrator"})
	if err != nil {
		return nil, err
	}
	return made, a.store.DeleteTickets(ctx, setupFamily)
}

func notFound(err error) bool { return errors.Is(err, ErrNotFound) }

// inlineSource is a Content-Security-Policy source for an inline text.
func inlineSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + stdBase64(sum[:]) + "'"
}
