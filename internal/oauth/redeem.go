package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

// refreshContent is what a refresh token stands for.
type refreshContent struct {
	Client   uuid.UUID
	Scope    string
	SignedIn time.Time
}

// personGrant is a grant of a person that is brought to the token endpoint.
type personGrant struct {
	ticket   *Ticket
	client   uuid.UUID
	scope    string
	nonce    string
	signedIn time.Time
}

func errGrant(code int, text string) *protocolError {
	return &protocolError{status: http.StatusBadRequest, kind: "invalid_grant", code: code, text: text}
}

// redeem answers a token request with an authorization code (RFC 6749 section
// 4.1.3) or a refresh token (section 6).
func (x *exchange) redeem(client *Client, req request) {
	ctx := x.r.Context()
	get := x.takeCode
	if req.grant == grantRefresh {
		get = x.takeRefresh
	}
	g, e, err := get(ctx, client, req)
	if err == nil && e == nil {
		e, err = x.answerGrant(ctx, client, req, g)
	}
	switch {
	case err != nil:
		x.unavailable(err)
	case e != nil:
		x.fail(x.refuse(req, e))
	}
}

// answerGrant sends tokens of a grant that has been found to be good.
func (x *exchange) answerGrant(ctx context.Context, client *Client, req request, g *personGrant) (*protocolError, error) {
	p, err := x.a.enabled(ctx, g.ticket.Person)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return errGrant(50057, "The user account is disabled, or there is no such account."), x.a.store.DeleteTickets(ctx, g.ticket.Family)
	}
	scopes, e := x.scopes(client, p, g.scope)
	if e != nil {
		return e, nil
	}
	x.person = p.ObjectID
	now := x.now.Truncate(time.Second)
	answer := personAnswer{Type: "Bearer", Scope: strings.Join(scopes, " "), ExpiresIn: int(x.a.lifetime/time.Second) - 1}
	answer.ExtExpires = answer.ExpiresIn
	if answer.Token, err = x.a.issue(ctx, client, p, x.grantOf(req, graphURI, scopes), now); err != nil {
		return nil, err
	}
	if slices.Contains(scopes, "openid") {
		if answer.IDToken, err = x.idToken(ctx, client, p, g, scopes, now); err != nil {
			return nil, err
		}
	}
	if life := refreshLifetime - x.now.Sub(g.signedIn); slices.Contains(scopes, "offline_access") && life > 0 {
		answer.Refresh, err = x.a.hand(ctx, Ticket{Kind: refreshTicket, Family: g.ticket.Family, Person: p.ObjectID, Parent: &g.ticket.Hash}, min(life, refreshIdle),
			refreshContent{client.AppID, g.scope, g.signedIn})
		if errors.Is(err, ErrNotFound) { // somebody has brought the same grant meanwhile, which ends the family
			return x.revoked(ctx, g.ticket)
		}
		if err != nil {
			return nil, err
		}
	}
	if req.info {
		answer.ClientInfo = x.a.clientInfo(p)
	}
	x.outcome = TokenIssued
	x.reply(http.StatusOK, "no-store, no-cache", answer)
	return nil, nil
}

// personAnswer is the success answer for a person's grant.
type personAnswer struct {
	Type       string `json:"token_type"`
	Scope      string `json:"scope"`
	ExpiresIn  int    `json:"expires_in"`
	ExtExpires int    `json:"ext_expires_in"`
	Token      string `json:"access_token"`
	Refresh    string `json:"refresh_token,omitempty"`
	IDToken    string `json:"id_token,omitempty"`
	ClientInfo string `json:"client_info,omitempty"`
}

// takeCode takes the code of the request, which is then used up whether or not
// the rest of the request is right.
func (x *exchange) takeCode(ctx context.Context, client *Client, req request) (*personGrant, *protocolError, error) {
	if req.code == "" {
		return nil, errMissing("code"), nil
	}
	var c codeContent
	t, err := x.a.take(ctx, codeTicket, req.code, &c)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case t == nil:
		return nil, errGrant(70008, "The provided authorization code is not valid or has expired. Send a new interactive authorization request."), nil
	case !t.Used.IsZero(): // somebody has it who should not: what the first one got is taken back (RFC 6749 section 4.1.2)
		e, err := x.revoked(ctx, t)
		e.code, e.text = 54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid code."
		return nil, e, err
	case c.Client != client.AppID:
		return nil, errGrant(700005, "The provided authorization code is intended for another application."), nil
	case c.Redirect != req.redirect:
		return nil, errGrant(500112, "The reply address '"+shown(req.redirect)+"' does not match the one that was sent when requesting the authorization code."), nil
	case c.Challenge == "" && req.verifier != "": // a code that was asked for without PKCE must not pass as one with it
		return nil, errGrant(50148, "There is a code_verifier, but no code_challenge was supplied in the authorization request."), nil
	case c.Challenge != "" && !verifies(req.verifier, c.Challenge):
		return nil, errGrant(50148, "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE."), nil
	}
	return &personGrant{t, c.Client, c.Scope, c.Nonce, c.SignedIn}, nil, nil
}

// verifies reports whether a code verifier is the one of an S256 challenge (RFC
// 7636 section 4.6).
func verifies(verifier, challenge string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return len(verifier) >= 43 && len(verifier) <= 128 &&
		subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// takeRefresh takes the refresh token of the request. Each is good for one use;
// one that comes back ends everything that descends from its sign-in (RFC 9700
// section 4.14.2).
func (x *exchange) takeRefresh(ctx context.Context, client *Client, req request) (*personGrant, *protocolError, error) {
	if req.refresh == "" {
		return nil, errMissing("refresh_token"), nil
	}
	var c refreshContent
	t, err := x.a.look(ctx, refreshTicket, req.refresh, &c)
	if err == nil && t != nil && c.Client != client.AppID {
		return nil, errGrant(70000, "The provided refresh token was issued to another application."), nil
	}
	if err == nil && t != nil {
		t, err = x.a.take(ctx, refreshTicket, req.refresh, &c)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case t == nil:
		return nil, errGrant(700082, "The refresh token is not valid, has expired due to inactivity, or was revoked. Sign in again."), nil
	case !t.Used.IsZero():
		e, err := x.revoked(ctx, t)
		return nil, e, err
	}
	g := &personGrant{ticket: t, client: c.Client, scope: c.Scope, signedIn: c.SignedIn}
	if req.scope != "" { // others than at first may be asked for: an administrator has granted them to the client
		g.scope = req.scope
	}
	return g, nil, nil
}

// revoked ends all that descends from the sign-in of a ticket.
func (x *exchange) revoked(ctx context.Context, t *Ticket) (*protocolError, error) {
	return errGrant(50173, "The provided grant has been revoked, because it was used before. Sign in again."), x.a.store.DeleteTickets(ctx, t.Family)
}

// idClaims are those of an id token (OpenID Connect Core section 2).
type idClaims struct {
	Issuer    string           `json:"iss"`
	Audience  uuid.UUID        `json:"aud"`
	IssuedAt  *jwt.NumericDate `json:"iat"`
	NotBefore *jwt.NumericDate `json:"nbf"`
	Expires   *jwt.NumericDate `json:"exp"`
	SignedIn  *jwt.NumericDate `json:"auth_time"`
	Nonce     string           `json:"nonce,omitempty"`
	Name      string           `json:"name,omitempty"`
	UserName  string           `json:"preferred_username,omitempty"`
	ObjectID  uuid.UUID        `json:"oid"`
	Subject   string           `json:"sub"`
	TenantID  uuid.UUID        `json:"tid"`
	UTI       string           `json:"uti"`
	Version   string           `json:"ver"`
}

func (x *exchange) idToken(ctx context.Context, c *Client, p *Person, g *personGrant, scopes []string, now time.Time) (string, error) {
	claims := idClaims{
		Issuer: x.a.base(x.r) + "/v2.0", Audience: c.AppID,
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expires: jwt.NewNumericDate(now.Add(x.a.lifetime)),
		SignedIn: jwt.NewNumericDate(g.signedIn), Nonce: g.nonce,
		ObjectID: p.ObjectID, Subject: x.a.subject(c.AppID, p), TenantID: x.a.tenant, UTI: newUTI(), Version: "2.0",
	}
	if slices.Contains(scopes, "profile") {
		claims.Name, claims.UserName = p.DisplayName, p.UPN
	}
	return x.a.sign(ctx, claims)
}

// subject is a person's name to one client (pairwise, OpenID Connect Core
// section 8.1): two clients cannot tell by it that they have the same person.
func (a *Authority) subject(app uuid.UUID, p *Person) string {
	sum := sha256.Sum256(slices.Concat(a.tenant[:], app[:], p.ObjectID[:]))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// clientInfo tells a library of the Microsoft identity platform whose tokens it
// has got.
func (a *Authority) clientInfo(p *Person) string {
	text, _ := json.Marshal(map[string]uuid.UUID{"uid": p.ObjectID, "utid": a.tenant}) // cannot fail: ids are texts
	return base64.RawURLEncoding.EncodeToString(text)
}

func newUTI() string {
	b := make([]byte, 16)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// userInfo answers GET /oidc/userinfo (OpenID Connect Core section 5.3) with
// what the token of a person lets its client know.
func (x *exchange) userInfo() {
	token, err := Bearer(x.r.Header.Get("Authorization"))
	var p *Principal
	if err == nil {
		p, err = x.a.Verify(x.r.Context(), token)
	}
	var refused *TokenError
	switch {
	case errors.As(err, &refused):
		x.w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		x.fail(&protocolError{status: http.StatusUnauthorized, kind: "invalid_token", code: 50013, text: refused.Message})
		return
	case err != nil:
		x.unavailable(err)
		return
	case !p.User || !slices.Contains(p.Scopes, "openid"):
		x.w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="openid"`)
		x.fail(&protocolError{status: http.StatusForbidden, kind: "insufficient_scope", code: 65001, text: "The token is not one of a person who has signed in with the scope openid."})
		return
	}
	x.client, x.person = p.AppID.String(), p.ObjectID
	info := struct {
		Subject  string `json:"sub"`
		Name     string `json:"name,omitempty"`
		UserName string `json:"preferred_username,omitempty"`
	}{Subject: x.a.subject(p.AppID, &Person{ObjectID: p.ObjectID})}
	if slices.Contains(p.Scopes, "profile") {
		info.Name, info.UserName = p.DisplayName, p.UPN
	}
	x.reply(http.StatusOK, "no-store", info)
}
