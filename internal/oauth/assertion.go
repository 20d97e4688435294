package oauth

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	assertionType     = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 section 2.2
	maxAssertion      = 16 * 1024                                                // bytes
	assertionLifetime = 24 * time.Hour
)

// certificateAlgorithms are those of assertions that a client signs itself.
var certificateAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256}

// federatedAlgorithms are those of other issuers' tokens.
var federatedAlgorithms = append(slices.Clone(certificateAlgorithms), jose.ES384, jose.ES512)

// assertionClaims are those of RFC 7523 section 3 that decide. There is no
// check that a jti is used once: identity libraries send one assertion until it
// expires.
type assertionClaims struct {
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	Audience  jwt.Audience     `json:"aud"`
	Expires   *jwt.NumericDate `json:"exp"`
	NotBefore *jwt.NumericDate `json:"nbf"`
	IssuedAt  *jwt.NumericDate `json:"iat"`
}

// assertion is a client assertion whose signature has not been verified.
type assertion struct {
	token  *jwt.JSONWebToken
	claims assertionClaims
}

var errAssertionMalformed = errClient(50027, "The client assertion is not a JSON Web Token that is signed with RS256, RS384, RS512, PS256, PS384, PS512 or ES256.")

func parseAssertion(text string) (*assertion, *protocolError) {
	if len(text) > maxAssertion {
		return nil, errClient(50027, "The client assertion is longer than 16 KiB.")
	}
	token, err := jwt.ParseSigned(text, federatedAlgorithms)
	if err != nil || len(token.Headers) != 1 {
		return nil, errAssertionMalformed
	}
	a := &assertion{token: token}
	if err := token.UnsafeClaimsWithoutVerification(&a.claims); err != nil {
		return nil, errAssertionMalformed
	}
	return a, nil
}

// checkAssertion verifies that the request's assertion speaks for the client:
// one that the client signed itself has its id as issuer, any other is a token
// of an issuer that the client trusts.
func (x *exchange) checkAssertion(ctx context.Context, c *Client, req request) (*protocolError, error) {
	a, e := parseAssertion(req.assertion)
	if e != nil {
		return e, nil
	}
	if strings.EqualFold(a.claims.Issuer, c.AppID.String()) || len(c.Federated) == 0 {
		return x.checkSigned(c, a), nil
	}
	return x.checkFederated(ctx, c, a)
}

// checkSigned verifies an assertion by the client's certificates.
func (x *exchange) checkSigned(c *Client, a *assertion) *protocolError {
	id := c.AppID.String()
	alg := jose.SignatureAlgorithm(a.token.Headers[0].Algorithm)
	if !slices.Contains(certificateAlgorithms, alg) {
		return errAssertionMalformed
	}
	cert, ok := a.signer(c.Certificates)
	switch {
	case !ok:
		return errClient(700027, "The certificate with identifier used to sign the client assertion is not registered on application '"+id+"', or its signature is not valid.")
	case cert.Expired(x.now):
		return errClient(700027, "The certificate with identifier used to sign the client assertion is expired on application '"+id+"'. Register a new certificate.")
	case !strings.EqualFold(a.claims.Issuer, id) || !strings.EqualFold(a.claims.Subject, id):
		return errClient(700021, "Client assertion application identifier doesn't match 'client_id' parameter: 'iss' and 'sub' must both be '"+id+"'.")
	case !slices.ContainsFunc(a.claims.Audience, x.isAudience):
		return errClient(700023, "Client assertion audience claim does not match Realm issuer. Use the token endpoint, "+x.a.base(x.r)+"/oauth2/v2.0/token.")
	}
	return a.claims.inTime(x.now)
}

// signer returns the certificate that signed the assertion: one that the header
// names if there is such a one, otherwise any.
func (a *assertion) signer(certs []Certificate) (Certificate, bool) {
	named := func(c Certificate) bool {
		h := a.token.Headers[0]
		names := []string{h.KeyID}
		for _, name := range []jose.HeaderKey{"x5t", "x5t#S256"} {
			if s, ok := h.ExtraHeaders[name].(string); ok {
				names = append(names, s)
			}
		}
		return slices.ContainsFunc(names, c.hasThumbprint)
	}
	certs = slices.Clone(certs)
	slices.SortStableFunc(certs, func(p, q Certificate) int { return cmp.Compare(rank(named(p)), rank(named(q))) })
	for _, c := range certs {
		x, err := ParseCertificate(c.DER)
		if err != nil {
			continue // what an earlier release took
		}
		var ignored struct{}
		if a.token.Claims(x.PublicKey, &ignored) == nil {
			return c, true
		}
	}
	return Certificate{}, false
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// isAudience reports whether aud names this authority: a token endpoint of it,
// an issuer, or the tenant's own URL, on any of its hosts or on the
// reference's, which a network's DNS may send here.
func (x *exchange) isAudience(aud string) bool {
	aud = strings.ToLower(strings.TrimRight(aud, "/"))
	if aud == strings.TrimRight(x.a.issuerV1(), "/") {
		return true
	}
	scheme, rest, _ := strings.Cut(aud, "://")
	host, path, _ := strings.Cut(rest, "/")
	if name := hostname(host); scheme != "https" && scheme != "http" || !x.a.isNamed(name) && !slices.Contains(microsoftHosts, name) {
		return false
	}
	name, path, _ := strings.Cut(path, "/")
	return (x.a.named(name) || strings.EqualFold(name, x.tenantName)) && (path == "" || path == "v2.0" || path == "oauth2/token" || path == "oauth2/v2.0/token")
}

// inTime checks when the assertion is valid: now, with five minutes of leeway,
// and for no longer than a day.
func (c *assertionClaims) inTime(now time.Time) *protocolError {
	wrong := func(why string) *protocolError {
		return errClient(700024, "Client assertion is not within its valid time range. Current time: "+now.UTC().Format(time.RFC3339)+", "+why+".")
	}
	if c.Expires == nil {
		return wrong("and there is no 'exp'")
	}
	from := now
	switch {
	case c.NotBefore != nil:
		from = c.NotBefore.Time()
	case c.IssuedAt != nil:
		from = c.IssuedAt.Time()
	}
	expires := c.Expires.Time()
	switch {
	case !now.Before(expires.Add(clockSkew)):
		return wrong("expiry time of assertion " + expires.UTC().Format(time.RFC3339))
	case from.After(now.Add(clockSkew)):
		return wrong("assertion valid from " + from.UTC().Format(time.RFC3339))
	case expires.Sub(from) > assertionLifetime+clockSkew || expires.Sub(now) > assertionLifetime+2*clockSkew:
		return wrong("and the assertion is valid for more than 24 hours")
	}
	return nil
}

// checkFederated verifies a token of another issuer by the client's federated
// credentials (workload identity federation). The issuer is asked for its keys
// only if the operator has configured it and a credential names it, so that a
// token can make this server call nobody.
func (x *exchange) checkFederated(ctx context.Context, c *Client, a *assertion) (*protocolError, error) {
	trusted := slices.Clone(c.Federated)
	for _, step := range []struct {
		code  int
		claim string
		value string
		match func(FederatedCredential) bool
	}{
		{700211, "issuer", a.claims.Issuer, func(f FederatedCredential) bool { return f.Issuer == a.claims.Issuer }},
		{700213, "subject", a.claims.Subject, func(f FederatedCredential) bool { return f.Subject == a.claims.Subject }},
		{700212, "audience", strings.Join(a.claims.Audience, ", "), func(f FederatedCredential) bool {
			return slices.ContainsFunc(a.claims.Audience, func(aud string) bool { return slices.Contains(f.Audiences, aud) })
		}},
	} {
		trusted = slices.DeleteFunc(trusted, func(f FederatedCredential) bool { return !step.match(f) })
		if len(trusted) == 0 {
			return errClient(step.code, "No matching federated identity record found for presented assertion "+step.claim+" '"+shown(step.value)+"'. Check the federated identity credentials of application '"+c.AppID.String()+"'."), nil
		}
	}
	issuer, ok := x.a.issuers[a.claims.Issuer]
	if !ok {
		return errClient(70021, "The issuer '"+shown(a.claims.Issuer)+"' is not configured on this server, which asks no other for its keys. Its operator adds it with `induct serve --federated-issuer`."), nil
	}
	switch err := issuer.verify(ctx, a.token, x.now); {
	case errors.Is(err, errSignature):
		return errClient(700027, "The signature of the assertion is not one of the issuer '"+shown(a.claims.Issuer)+"'."), nil
	case err != nil:
		return nil, err
	}
	return a.claims.inTime(x.now), nil
}
