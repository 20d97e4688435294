package oauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

const (
	maxVerified = 4096      // tokens whose verification is remembered
	maxToken    = 16 * 1024 // bytes of a bearer token
)

// claims are those of an access token for Graph, of an application or of a
// person (Microsoft identity platform access token claims reference).
type claims struct {
	Audience    jwt.Audience     `json:"aud"`
	Issuer      string           `json:"iss"`
	IssuedAt    *jwt.NumericDate `json:"iat"`
	NotBefore   *jwt.NumericDate `json:"nbf"`
	Expires     *jwt.NumericDate `json:"exp"`
	DisplayName string           `json:"app_displayname,omitempty"`
	AppID       uuid.UUID        `json:"appid"`
	AppIDACR    string           `json:"appidacr"` // "0": public, "1": by a secret, "2": by a certificate or another issuer
	AZP         uuid.UUID        `json:"azp"`
	AZPACR      string           `json:"azpacr"`
	IDP         string           `json:"idp"`
	IDType      string           `json:"idtyp"`
	ObjectID    uuid.UUID        `json:"oid"`
	Roles       []string         `json:"roles,omitempty"`
	Name        string           `json:"name,omitempty"`
	Scopes      string           `json:"scp,omitempty"`
	Subject     string           `json:"sub"`
	TenantID    uuid.UUID        `json:"tid"`
	UniqueName  string           `json:"unique_name,omitempty"`
	UPN         string           `json:"upn,omitempty"`
	UTI         string           `json:"uti"`
	Version     string           `json:"ver"`
	WIDs        []string         `json:"wids,omitempty"` // templates of the person's directory roles
}

// grant is what a token says beyond its client.
type grant struct {
	audience string
	issuer   string
	version  string // "1.0" or "2.0"
	proof    string // appidacr
	scopes   []string
}

// idTypes of a token's subject.
const (
	ofApp  = "app"
	ofUser = "user"
)

// issue signs a token for the client, valid from now for the token lifetime:
// its own, or one to act for a person.
func (a *Authority) issue(ctx context.Context, c *Client, p *Person, g grant, now time.Time) (string, error) {
	t := claims{
		Audience:    jwt.Audience{g.audience},
		Issuer:      g.issuer,
		IssuedAt:    jwt.NewNumericDate(now),
		NotBefore:   jwt.NewNumericDate(now),
		Expires:     jwt.NewNumericDate(now.Add(a.lifetime)),
		DisplayName: c.DisplayName,
		AppID:       c.AppID,
		AppIDACR:    g.proof,
		AZP:         c.AppID,
		AZPACR:      g.proof,
		IDP:         g.issuer,
		TenantID:    a.tenant,
		UTI:         newUTI(),
		Version:     g.version,
	}
	if p == nil {
		t.IDType, t.ObjectID, t.Subject, t.Roles = ofApp, c.ObjectID, c.ObjectID.String(), c.Roles
	} else {
		t.IDType, t.ObjectID, t.Subject = ofUser, p.ObjectID, a.subject(c.AppID, p)
		t.Name, t.UPN, t.UniqueName = p.DisplayName, p.UPN, p.UPN
		t.Scopes, t.WIDs = strings.Join(g.scopes, " "), p.DirectoryRoles
	}
	return a.sign(ctx, t)
}

// sign makes a JSON Web Token of claims.
func (a *Authority) sign(ctx context.Context, claims any) (string, error) {
	k, err := a.keys.signing(ctx)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: k.private, KeyID: k.id}},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("x5t", k.x5t()))
	if err != nil {
		return "", fmt.Errorf("oauth: signing a token: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("oauth: signing a token: %w", err)
	}
	return token, nil
}

// Principal is the application that a verified token speaks for, or the person
// for whom it acts. It may be shared with other requests and is not to be
// changed.
type Principal struct {
	AppID       uuid.UUID
	ObjectID    uuid.UUID // of its service principal, or of the person
	DisplayName string    // of the app, or the person, when the token was issued
	Roles       []string  // application permissions it had then
	Expires     time.Time

	User           bool // a person has signed in; the rest is about that person
	UPN            string
	Scopes         []string // delegated permissions
	DirectoryRoles []string // template ids
}

// Has reports whether the principal has at least one of the roles.
func (p *Principal) Has(role ...string) bool {
	return slices.ContainsFunc(role, func(r string) bool { return slices.Contains(p.Roles, r) })
}

// TokenError is a token that is not accepted, to be answered with 401. Its
// message is that of Microsoft Graph and says nothing that the caller may not
// know.
type TokenError struct{ Message string }

func (e *TokenError) Error() string { return e.Message }

// The reasons for which a token is not accepted.
var (
	ErrTokenEmpty     = &TokenError{"Access token is empty."}
	ErrTokenMalformed = &TokenError{"CompactToken parsing failed with error code: 80049217"}
	ErrTokenLifetime  = &TokenError{"Access token has expired or is not yet valid."}
	ErrTokenAudience  = &TokenError{"Access token validation failure. Invalid audience."}
	ErrTokenIssuer    = &TokenError{"Access token validation failure. Invalid issuer."}
	ErrTokenSignature = &TokenError{"Access token validation failure. Invalid signature."}
)

// Bearer returns the token of an Authorization header (RFC 6750 section 2.1).
// Without one, or with another scheme, the error is ErrTokenEmpty.
func Bearer(header string) (string, error) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(header), " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", ErrTokenEmpty
	}
	if len(token) > maxToken || strings.ContainsFunc(token, notB64Token) {
		return "", ErrTokenMalformed
	}
	return token, nil
}

// notB64Token reports whether c cannot be part of a b64token.
func notB64Token(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return false
	}
	return !strings.ContainsRune("-._~+/=", c)
}

// Verify returns the principal of an access token that this authority has
// issued and that is valid now. The error is a *TokenError if the token is not
// accepted; any other error is a failure of the store.
//
// A token lasts until it expires: roles and secrets taken from a client
// meanwhile end with it.
func (a *Authority) Verify(ctx context.Context, bearer string) (*Principal, error) {
	if bearer == "" {
		return nil, ErrTokenEmpty
	}
	if len(bearer) > maxToken {
		return nil, ErrTokenMalformed
	}
	sum := sha256.Sum256([]byte(bearer))
	if p, ok := a.verified.get(sum); ok {
		if a.now().Before(p.Expires) {
			return p, nil
		}
		a.verified.remove(sum)
		return nil, ErrTokenLifetime
	}
	p, err := a.verify(ctx, bearer)
	if err != nil {
		return nil, err
	}
	a.verified.put(sum, p)
	return p, nil
}

func (a *Authority) verify(ctx context.Context, bearer string) (*Principal, error) {
	token, err := jwt.ParseSigned(bearer, []jose.SignatureAlgorithm{jose.RS256}) // refuses none and HS* here
	if err != nil || len(token.Headers) != 1 {
		return nil, ErrTokenMalformed
	}
	k, ok, err := a.keys.find(ctx, token.Headers[0].KeyID)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrTokenSignature
	}
	var c claims
	switch err := token.Claims(&k.private.PublicKey, &c); {
	case errors.Is(err, jose.ErrCryptoFailure):
		return nil, ErrTokenSignature
	case err != nil:
		return nil, ErrTokenMalformed
	}
	return a.accept(&c)
}

// accept checks the claims of a token whose signature is ours. Leeway is given
// for the clocks of several servers where a token is young, not where it ends.
func (a *Authority) accept(c *claims) (*Principal, error) {
	now := a.now()
	switch {
	case c.Expires == nil || c.NotBefore == nil:
		return nil, ErrTokenLifetime
	case !now.Before(c.Expires.Time()) || now.Add(clockSkew).Before(c.NotBefore.Time()):
		return nil, ErrTokenLifetime
	case len(c.Audience) != 1 || c.Audience[0] != graphURI && c.Audience[0] != graphAppID:
		return nil, ErrTokenAudience
	case c.TenantID != a.tenant || c.Issuer != a.issuerV1() && !strings.HasSuffix(c.Issuer, "/"+a.tenant.String()+"/v2.0"):
		return nil, ErrTokenIssuer
	}
	p := &Principal{AppID: c.AppID, ObjectID: c.ObjectID, DisplayName: c.DisplayName, Expires: c.Expires.Time()}
	switch c.IDType {
	case ofApp:
		p.Roles = c.Roles
	case ofUser:
		p.User, p.UPN, p.DisplayName, p.Scopes, p.DirectoryRoles = true, c.UPN, c.Name, strings.Fields(c.Scopes), c.WIDs
	default: // an id token, if it had the audience
		return nil, ErrTokenMalformed
	}
	return p, nil
}
