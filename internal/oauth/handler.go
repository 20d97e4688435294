package oauth

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

type endpoint int

const (
	noEndpoint endpoint = iota
	tokenV1
	tokenV2
	metadataV1
	metadataV2
	keySet
	instance
	authorizeV1
	authorizeV2
	loginPage
	logoutV1
	logoutV2
	setupPage
	userInfo
	localIdentity // of another handler
)

// pattern is an endpoint as logs and metrics name it: the documented form of its path.
func (e endpoint) pattern() string {
	return [...]string{"", "/{tenant}/oauth2/token", "/{tenant}/oauth2/v2.0/token", "/{tenant}/.well-known/openid-configuration",
		"/{tenant}/v2.0/.well-known/openid-configuration", "/{tenant}/discovery/keys", "/{tenant}/discovery/instance",
		"/{tenant}/oauth2/authorize", "/{tenant}/oauth2/v2.0/authorize", "/{tenant}/login", "/{tenant}/oauth2/logout", "/{tenant}/oauth2/v2.0/logout", "/{tenant}/setup",
		"/oidc/userinfo", MachinePath}[e]
}

// route splits a path into the tenant's name and the endpoint, of which the
// case and a trailing slash do not matter.
func route(path string) (tenant string, e endpoint) {
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch strings.ToLower(strings.TrimSuffix(rest, "/")) {
	case "oauth2/token":
		e = tokenV1
	case "oauth2/v2.0/token":
		e = tokenV2
	case ".well-known/openid-configuration":
		e = metadataV1
	case "v2.0/.well-known/openid-configuration":
		e = metadataV2
	case "discovery/keys", "discovery/v2.0/keys":
		e = keySet
	case "discovery/instance":
		e = instance
	case "oauth2/authorize":
		e = authorizeV1
	case "oauth2/v2.0/authorize":
		e = authorizeV2
	case "login":
		e = loginPage
	case "oauth2/logout":
		e = logoutV1
	case "oauth2/v2.0/logout":
		e = logoutV2
	case "setup":
		e = setupPage
	case "userinfo":
		if strings.EqualFold(tenant, "oidc") {
			e = userInfo
		}
	}
	if tenant == "" {
		e = noEndpoint
	}
	return tenant, e
}

// Serves reports whether path is one that Handler answers other than with 404.
// It is for servers that have other handlers on the same host: the tenant comes
// first in these paths, which the patterns of a http.ServeMux cannot tell from
// those of others.
func Serves(path string) bool {
	_, e := route(path)
	return e != noEndpoint
}

// Handler serves the endpoints of the tenant:
//
//	POST /{tenant}/oauth2/v2.0/token, /{tenant}/oauth2/token
//	GET  /{tenant}/v2.0/.well-known/openid-configuration, /{tenant}/.well-known/openid-configuration
//	GET  /{tenant}/discovery/v2.0/keys, /{tenant}/discovery/keys
//	GET  /common/discovery/instance
//	GET  /{tenant}/oauth2/v2.0/authorize, /{tenant}/oauth2/v2.0/logout, both by POST and without v2.0, too
//	GET  /{tenant}/login, POST
//	GET  /{tenant}/setup, POST
//	GET  /oidc/userinfo, POST
//
// The tenant is its id or one of its domains. Where it is clear what is meant,
// common and organizations stand for it as well: everywhere but in a request for
// an app's own token.
func (a *Authority) Handler() http.Handler { return http.HandlerFunc(a.serve) }

func (a *Authority) serve(w http.ResponseWriter, r *http.Request) {
	x := a.newExchange(w, r)
	name, e := route(r.URL.Path)
	x.tenantName = name
	x.v1 = e == tokenV1
	x.endpoint = e
	defer x.ended()
	if e == noEndpoint {
		x.fail(&protocolError{status: http.StatusNotFound, kind: "invalid_request", code: 90014,
			text: "There is no such endpoint; see /{tenant}/v2.0/.well-known/openid-configuration for those there are."})
		return
	}
	if e.open() {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			x.preflight(e)
			return
		}
	}
	if err := x.admit(e); err != nil {
		x.fail(err)
		return
	}
	switch e {
	case tokenV1, tokenV2:
		x.token()
	case metadataV1, metadataV2:
		x.metadata(e)
	case keySet:
		x.keySet()
	case instance:
		x.instance()
	case authorizeV1, authorizeV2:
		x.authorize()
	case loginPage:
		x.login()
	case logoutV1, logoutV2:
		x.logout()
	case setupPage:
		x.setup()
	case userInfo:
		x.userInfo()
	}
}

// methods are those that an endpoint takes, as Allow names them.
func (e endpoint) methods() string {
	switch e {
	case tokenV1, tokenV2:
		return "POST"
	case metadataV1, metadataV2, keySet, instance:
		return "GET, HEAD"
	}
	return "GET, HEAD, POST"
}

// open reports whether scripts of any site may call the endpoint (the Fetch
// standard's CORS): where no cookie counts, a script gets no more than anybody.
func (e endpoint) open() bool { return e <= instance || e == userInfo }

// admit checks what all endpoints have in common: method, host and tenant.
func (x *exchange) admit(e endpoint) *protocolError {
	allowed, method := e.methods(), x.r.Method
	if !slices.Contains(strings.Split(allowed, ", "), method) {
		x.w.Header().Set("Allow", allowed)
		first, _, _ := strings.Cut(allowed, ",")
		return &protocolError{status: http.StatusMethodNotAllowed, kind: "invalid_request", code: 900561,
			text: "The endpoint only accepts " + first + " requests. Received a " + shown(method) + " request."}
	}
	if host := x.r.Host; host == "" || len(host) > 261 || strings.ContainsAny(host, "/\\\"<>@?# ") {
		return errInput("The Host header is not the name of a host.")
	}
	name := strings.ToLower(x.tenantName)
	if e == instance || e == userInfo || x.a.named(name) || name == "common" || name == "organizations" {
		return nil
	}
	err := errTenant(x.tenantName)
	if e == metadataV1 || e == metadataV2 || e == keySet {
		err.kind = "invalid_tenant"
	}
	return err
}

// preflight answers a browser that asks whether a script may call the endpoint.
func (x *exchange) preflight(e endpoint) {
	h := x.w.Header()
	h.Set("Access-Control-Allow-Methods", e.methods())
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, client-request-id, return-client-request-id, x-client-sku, x-client-ver, x-client-os, x-client-cpu, x-ms-lib-capability, x-client-current-telemetry, x-client-last-telemetry")
	h.Set("Access-Control-Max-Age", "86400")
	x.status = http.StatusNoContent
	x.w.WriteHeader(x.status)
}

// providerMetadata is a discovery document (OpenID Connect Discovery 1.0
// section 3, RFC 8414), as far as clients of the Microsoft identity platform
// read it.
type providerMetadata struct {
	TokenEndpoint     string   `json:"token_endpoint"`
	TokenAuthMethods  []string `json:"token_endpoint_auth_methods_supported"`
	JWKSURI           string   `json:"jwks_uri"`
	ResponseModes     []string `json:"response_modes_supported"`
	SubjectTypes      []string `json:"subject_types_supported"`
	IDTokenAlgorithms []string `json:"id_token_signing_alg_values_supported"`
	ResponseTypes     []string `json:"response_types_supported"`
	Grants            []string `json:"grant_types_supported"`
	Scopes            []string `json:"scopes_supported"`
	Issuer            string   `json:"issuer"`
	RequestURI        bool     `json:"request_uri_parameter_supported"`
	Authorization     string   `json:"authorization_endpoint"`
	EndSession        string   `json:"end_session_endpoint"`
	UserInfo          string   `json:"userinfo_endpoint"`
	Challenges        []string `json:"code_challenge_methods_supported"`
	Region            *string  `json:"tenant_region_scope"`
	CloudInstance     string   `json:"cloud_instance_name"`
	GraphHost         string   `json:"msgraph_host"`
}

func (x *exchange) metadata(e endpoint) {
	base, version := x.a.base(x.r), "/v2.0"
	issuer := base + "/v2.0"
	if e == metadataV1 {
		version, issuer = "", x.a.issuerV1()
	}
	x.reply(http.StatusOK, "private, max-age=3600", providerMetadata{
		TokenEndpoint:     base + "/oauth2" + version + "/token",
		TokenAuthMethods:  []string{"client_secret_post", "private_key_jwt", "client_secret_basic", "none"},
		JWKSURI:           base + "/discovery" + version + "/keys",
		ResponseModes:     []string{"query", "fragment", "form_post"},
		SubjectTypes:      []string{"pairwise"},
		IDTokenAlgorithms: []string{"RS256"},
		ResponseTypes:     []string{"code"},
		Grants:            []string{grantClient, grantCode, grantRefresh},
		Scopes:            []string{"openid", "profile", "email", "offline_access"},
		Issuer:            issuer,
		Authorization:     base + "/oauth2" + version + "/authorize",
		EndSession:        base + "/oauth2" + version + "/logout",
		UserInfo:          x.a.root(x.r) + "/oidc/userinfo",
		Challenges:        []string{"S256"},
		CloudInstance:     "microsoftonline.com",
		GraphHost:         strings.ToLower(x.r.Host),
	})
}

// webKey is a public key in a set (RFC 7517 section 4, RFC 7518 section 6.3),
// with what clients of the Microsoft identity platform look for beside it.
type webKey struct {
	Type      string   `json:"kty"`
	Use       string   `json:"use"`
	Algorithm string   `json:"alg"`
	ID        string   `json:"kid"`
	X5T       string   `json:"x5t"`
	N         string   `json:"n"`
	E         string   `json:"e"`
	X5C       [][]byte `json:"x5c"`
	Issuer    string   `json:"issuer"`
}

func newWebKey(k key, issuer string) webKey {
	public := &k.private.PublicKey
	return webKey{
		Type: "RSA", Use: "sig", Algorithm: "RS256", ID: k.id, X5T: k.x5t(), X5C: [][]byte{k.cert}, Issuer: issuer,
		N: base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
		E: base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()),
	}
}

func (x *exchange) keySet() {
	keys, err := x.a.keys.public(x.r.Context())
	if err != nil {
		x.unavailable(err)
		return
	}
	set := struct {
		Keys []webKey `json:"keys"`
	}{make([]webKey, 0, len(keys))}
	for _, k := range keys {
		set.Keys = append(set.Keys, newWebKey(k, x.a.base(x.r)+"/v2.0"))
	}
	x.reply(http.StatusOK, "private, max-age=3600", set)
}

// microsoftHosts are the names of one login host of Microsoft's public cloud.
// They are ours where a network's DNS sends them here.
var microsoftHosts = []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"}

type instanceMetadata struct {
	Network string   `json:"preferred_network"`
	Cache   string   `json:"preferred_cache"`
	Aliases []string `json:"aliases"`
}

// instance tells a client whether the authority it is about to use is one.
func (x *exchange) instance() {
	asked := x.r.URL.Query().Get("authorization_endpoint")
	if asked == "" {
		x.fail(errMissing("authorization_endpoint"))
		return
	}
	u, err := url.Parse(asked)
	aliases := x.authorities()
	if err != nil || !slices.Contains(aliases, strings.ToLower(u.Host)) {
		x.fail(&protocolError{status: http.StatusBadRequest, kind: "invalid_instance", code: 50049,
			text: "Unknown or invalid instance. This server knows " + strings.Join(aliases, ", ") + "."})
		return
	}
	host := strings.ToLower(u.Host)
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !x.a.named(tenant) {
		tenant = x.a.tenant.String()
	}
	scheme, _, _ := strings.Cut(x.a.root(x.r), "://")
	x.reply(http.StatusOK, "private, max-age=3600", struct {
		Discovery string             `json:"tenant_discovery_endpoint"`
		Version   string             `json:"api-version"`
		Metadata  []instanceMetadata `json:"metadata"`
	}{
		scheme + "://" + host + "/" + strings.ToLower(tenant) + "/v2.0/.well-known/openid-configuration", "1.1",
		[]instanceMetadata{{host, host, aliases}},
	})
}

// authorities are the hosts that are this authority: those of the server, and
// Microsoft's where one of them was called.
func (x *exchange) authorities() []string {
	hosts := append([]string{strings.ToLower(x.r.Host)}, x.a.hosts...)
	if slices.ContainsFunc(microsoftHosts, func(h string) bool { return slices.Contains(hosts, h) }) {
		hosts = append(hosts, microsoftHosts...)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// reply writes v as JSON.
func (x *exchange) reply(status int, cache string, v any) {
	h := x.w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", cache)
	if strings.Contains(cache, "no-store") {
		h.Set("Pragma", "no-cache")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("x-ms-request-id", x.trace.String())
	h.Set("x-ms-ests-server", "induct")
	h.Set("client-request-id", x.correlation.String())
	x.status = status
	x.w.WriteHeader(status)
	json.NewEncoder(x.w).Encode(v) // an error here is the client's hanging up
}
