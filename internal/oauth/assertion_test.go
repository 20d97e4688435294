package oauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"induct/internal/oauth"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// rsaKeys are made once: making them is slow.
var rsaKeys = sync.OnceValue(func() (keys [3]*rsa.PrivateKey) {
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return keys
})

var ecKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

// certify makes a certificate of a key.
func certify(t testing.TB, key crypto.Signer, until time.Time) []byte {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "feed"}, NotBefore: start.Add(-240 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// withCertificates gives the world's client certificates of the first two RSA keys, of which the second is expired, and
// of the EC key.
func (w *world) withCertificates(t testing.TB) {
	t.Helper()
	for i, key := range []crypto.Signer{rsaKeys()[0], rsaKeys()[1], ecKey()} {
		c, err := oauth.NewCertificate(fmt.Sprint(i), certify(t, key, start.Add(48*time.Hour)), start)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			c.Expires = start
		}
		w.client.Certificates = append(w.client.Certificates, c)
	}
	w.save(t)
}

func (w *world) save(t testing.TB) {
	t.Helper()
	if err := w.store.PutClient(t.Context(), w.client); err != nil {
		t.Fatal(err)
	}
}

func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[string]any, claims map[string]any) string {
	t.Helper()
	opts := new(jose.SignerOptions).WithType("JWT")
	for k, v := range header {
		opts.WithHeader(jose.HeaderKey(k), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range claims {
		if v == nil {
			delete(claims, k)
		}
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claims are those of an assertion of the world's client that is accepted, with changes; nil removes one.
func (w *world) claims(changes map[string]any) map[string]any {
	c := map[string]any{
		"aud": "https://" + host + tokenURL, "iss": w.client.AppID.String(), "sub": w.client.AppID.String(), "jti": uuid.NewString(),
		"nbf": start.Unix(), "exp": start.Add(10 * time.Minute).Unix(),
	}
	for k, v := range changes {
		c[k] = v
	}
	return c
}

func (w *world) assert(t testing.TB, assertion string, changes ...string) answer {
	t.Helper()
	r := postForm(tokenURL, w.form(append([]string{"client_secret", "", "client_assertion_type", jwtBearer, "client_assertion", assertion}, changes...)...).Encode())
	w.asserted++
	r.RemoteAddr = fmt.Sprintf("192.0.2.%d:999", w.asserted) // or the limiter would slow it down
	return w.do(t, r)
}

// The header forms are those of MSAL for Go, MSAL for Node with either thumbprint, and go-azure-sdk (Terraform).
func TestAssertionDialects(t *testing.T) {
	w := newWorld(t)
	w.withCertificates(t)
	der := w.client.Certificates[0].DER
	short, long := sha1.Sum(der), sha256.Sum256(der)
	type header = map[string]any
	for name, c := range map[string]struct {
		alg    jose.SignatureAlgorithm
		key    any
		header header
		claims map[string]any
	}{
		"msal go":           {jose.PS256, rsaKeys()[0], header{"x5t#S256": base64.StdEncoding.EncodeToString(long[:])}, nil},
		"msal go, x5c":      {jose.PS256, rsaKeys()[0], header{"x5t#S256": base64.StdEncoding.EncodeToString(long[:]), "x5c": []string{base64.StdEncoding.EncodeToString(der)}}, nil},
		"msal node SHA-256": {jose.PS256, rsaKeys()[0], header{"x5t#S256": base64.RawURLEncoding.EncodeToString(long[:])}, map[string]any{"iat": start.Unix()}},
		"msal node SHA-1":   {jose.RS256, rsaKeys()[0], header{"x5t": base64.RawURLEncoding.EncodeToString(short[:])}, map[string]any{"iat": start.Unix()}},
		"go-azure-sdk":      {jose.RS256, rsaKeys()[0], header{"kid": base64.URLEncoding.EncodeToString(short[:])}, map[string]any{"nbf": nil, "exp": start.Add(time.Hour).Unix()}},
		"hexadecimal kid":   {jose.RS384, rsaKeys()[0], header{"kid": strings.ToUpper(hex.EncodeToString(short[:]))}, nil},
		"no thumbprint":     {jose.PS384, rsaKeys()[0], nil, nil},
		"other thumbprint":  {jose.RS512, rsaKeys()[0], header{"kid": "whatever", "x5t": "AAAA"}, nil},
		"PS512":             {jose.PS512, rsaKeys()[0], nil, nil},
		"ES256":             {jose.ES256, ecKey(), nil, nil},
		"v1 token URL":      {jose.RS256, rsaKeys()[0], nil, map[string]any{"aud": "https://" + host + "/" + tenant + "/oauth2/token"}},
		"issuer":            {jose.RS256, rsaKeys()[0], nil, map[string]any{"aud": []string{"https://x.example", "https://" + host + "/" + tenant + "/v2.0"}}},
		"v1 issuer":         {jose.RS256, rsaKeys()[0], nil, map[string]any{"aud": "https://sts.windows.net/" + tenant + "/"}},
		"authority":         {jose.RS256, rsaKeys()[0], nil, map[string]any{"aud": "https://" + host + "/" + tenant + "/"}},
		"domain, any case":  {jose.RS256, rsaKeys()[0], nil, map[string]any{"aud": "https://Induct.example/Fabrikam.example/oauth2/v2.0/token"}},
		"the reference's":   {jose.RS256, rsaKeys()[0], nil, map[string]any{"aud": "https://login.microsoftonline.com/" + tenant + "/v2.0"}},
		"further host":      {jose.RS256, rsaKeys()[0], nil, map[string]any{"aud": "https://graph.induct.example:8443/" + tenant + "/oauth2/v2.0/token"}},
		"clock is ahead":    {jose.RS256, rsaKeys()[0], nil, map[string]any{"nbf": start.Add(299 * time.Second).Unix()}},
		"clock is behind":   {jose.RS256, rsaKeys()[0], nil, map[string]any{"nbf": start.Add(-time.Hour).Unix(), "exp": start.Add(-299 * time.Second).Unix()}},
		"capital ids":       {jose.RS256, rsaKeys()[0], nil, map[string]any{"iss": strings.ToUpper(w.client.AppID.String())}},
	} {
		t.Run(name, func(t *testing.T) {
			text := sign(t, c.alg, c.key, c.header, w.claims(c.claims))
			for range 2 { // libraries send one assertion again and again
				a := w.assert(t, text)
				if a.Code != http.StatusOK {
					t.Fatalf("status %d: %s", a.Code, a.Body)
				}
				if _, claims := decode(t, a.body["access_token"].(string)); claims["appidacr"] != "2" || claims["azpacr"] != "2" {
					t.Errorf("claims %v", claims)
				}
			}
			if a := w.assert(t, text, "client_id", ""); a.Code != http.StatusOK {
				t.Errorf("without client_id: status %d: %s", a.Code, a.Body)
			}
		})
	}
}

func TestAssertionRefused(t *testing.T) {
	w := newWorld(t)
	w.withCertificates(t)
	other := &oauth.Client{AppID: uuid.New(), ObjectID: uuid.New(), Certificates: w.client.Certificates[:1]}
	if err := w.store.PutClient(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	key := rsaKeys()[0]
	good := sign(t, jose.RS256, key, nil, w.claims(nil))
	parts := strings.Split(good, ".")
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	with := func(changes map[string]any) string { return sign(t, jose.RS256, key, nil, w.claims(changes)) }
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.client.Certificates[0].DER})
	for name, c := range map[string]struct {
		assertion string
		change    []string
		status    int
		kind      string
		code      int
	}{
		"empty type":            {good, []string{"client_assertion_type", ""}, 400, "invalid_request", 900144},
		"other type":            {good, []string{"client_assertion_type", "x"}, 400, "invalid_request", 90013},
		"secret as well":        {good, []string{"client_secret", w.secret}, 400, "invalid_request", 90013},
		"no JWT":                {"x", nil, 401, "invalid_client", 50027},
		"too long":              {strings.Repeat("x", 17000), nil, 401, "invalid_client", 50027},
		"alg none":              {encode(`{"alg":"none"}`) + "." + parts[1] + ".", nil, 401, "invalid_client", 50027},
		"alg HS256, public key": {sign(t, jose.HS256, public, nil, w.claims(nil)), nil, 401, "invalid_client", 50027},
		"unsigned":              {parts[0] + "." + parts[1] + ".", nil, 401, "invalid_client", 700027},
		"other key":             {sign(t, jose.RS256, rsaKeys()[2], nil, w.claims(nil)), nil, 401, "invalid_client", 700027},
		"other key in x5c": {sign(t, jose.RS256, rsaKeys()[2], map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(certify(t, rsaKeys()[2], start.Add(time.Hour)))}},
			w.claims(nil)), nil, 401, "invalid_client", 700027},
		"kid is a path":      {sign(t, jose.RS256, rsaKeys()[2], map[string]any{"kid": "../../etc/passwd"}, w.claims(nil)), nil, 401, "invalid_client", 700027},
		"claims changed":     {parts[0] + "." + encode(`{"iss":"x"}`) + "." + parts[2], nil, 401, "invalid_client", 700027},
		"duplicate claim":    {parts[0] + "." + encode(`{"iss":"x","iss":"y"}`) + "." + parts[2], nil, 401, "invalid_client", 50027},
		"expired key":        {sign(t, jose.RS256, rsaKeys()[1], nil, w.claims(nil)), nil, 401, "invalid_client", 700027},
		"issuer":             {with(map[string]any{"iss": uuid.NewString()}), nil, 401, "invalid_client", 700021},
		"no issuer":          {with(map[string]any{"iss": nil}), nil, 401, "invalid_client", 700021},
		"subject":            {with(map[string]any{"sub": uuid.NewString()}), nil, 401, "invalid_client", 700021},
		"for another client": {good, []string{"client_id", other.AppID.String()}, 401, "invalid_client", 700021},
		"audience":           {with(map[string]any{"aud": "https://login.elsewhere.example/" + tenant + "/oauth2/v2.0/token"}), nil, 401, "invalid_client", 700023},
		"other tenant":       {with(map[string]any{"aud": "https://" + host + "/" + uuid.NewString() + "/oauth2/v2.0/token"}), nil, 401, "invalid_client", 700023},
		"other path":         {with(map[string]any{"aud": "https://" + host + "/" + tenant + "/v1.0/users"}), nil, 401, "invalid_client", 700023},
		"no audience":        {with(map[string]any{"aud": nil}), nil, 401, "invalid_client", 700023},
		"expired":            {with(map[string]any{"exp": start.Add(-301 * time.Second).Unix()}), nil, 401, "invalid_client", 700024},
		"not yet valid":      {with(map[string]any{"nbf": start.Add(302 * time.Second).Unix()}), nil, 401, "invalid_client", 700024},
		"no end":             {with(map[string]any{"exp": nil}), nil, 401, "invalid_client", 700024},
		"valid for long":     {with(map[string]any{"exp": start.Add(25 * time.Hour).Unix()}), nil, 401, "invalid_client", 700024},
		"valid from 0":       {with(map[string]any{"nbf": 0, "exp": 1e15}), nil, 401, "invalid_client", 700024},
		"valid for ever":     {with(map[string]any{"nbf": nil, "exp": 4e9}), nil, 401, "invalid_client", 700024},
		"claims of no type":  {with(map[string]any{"exp": "soon"}), nil, 401, "invalid_client", 50027},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, w.assert(t, c.assertion, c.change...), c.status, c.kind, c.code)
		})
	}
}

// An assertion that a client sent to somebody else is no good here, whatever Host its finder sends.
func TestAssertionForAnotherHost(t *testing.T) {
	w := newWorld(t)
	w.withCertificates(t)
	const elsewhere = "login.elsewhere.example"
	text := sign(t, jose.RS256, rsaKeys()[0], nil, w.claims(map[string]any{"aud": "https://" + elsewhere + tokenURL}))
	r := postForm(tokenURL, w.form("client_secret", "", "client_assertion_type", jwtBearer, "client_assertion", text).Encode())
	r.Host = elsewhere
	wantError(t, w.do(t, r), 401, "invalid_client", 700023)
}

func TestClientsThatGetNoToken(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*oauth.Client)
		status int
		kind   string
		code   int
	}{
		"managed identity": {func(c *oauth.Client) { c.Managed = true }, 400, "unauthorized_client", 700016},
		"public":           {func(c *oauth.Client) { c.Public = true }, 401, "invalid_client", 700025},
		"disabled":         {func(c *oauth.Client) { c.Disabled = true }, 400, "unauthorized_client", 7000112},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w.client)
			w.save(t)
			wantError(t, w.post(t, tokenURL, w.form()), c.status, c.kind, c.code)
		})
	}
}

func TestNewCertificate(t *testing.T) {
	der := certify(t, rsaKeys()[0], start.Add(time.Hour))
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	chain := append(append([]byte{}, asPEM...), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certify(t, rsaKeys()[1], start)})...)
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKeys()[0])})
	for name, in := range map[string][]byte{
		"DER": der, "PEM": asPEM, "chain": chain, "base64": []byte(base64.StdEncoding.EncodeToString(der)),
		"base64url": []byte(base64.RawURLEncoding.EncodeToString(der)), "base64 of PEM": []byte(base64.StdEncoding.EncodeToString(asPEM)),
	} {
		c, err := oauth.NewCertificate("feed", in, start)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if string(c.DER) != string(der) || !c.Expires.Equal(start.Add(time.Hour).Truncate(time.Second)) || c.SHA1() != sha1.Sum(der) || c.SHA256() != sha256.Sum256(der) || c.KeyID == uuid.Nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "private key": private, "both": append(private, asPEM...), "cut off": der[:100],
		"half a PEM": asPEM[:200], "large": make([]byte, 20000), "expired": certify(t, rsaKeys()[0], start.Add(-time.Hour)),
		"1024 bits": certify(t, small, start.Add(time.Hour)), "P-384": certify(t, p384, start.Add(time.Hour)),
	} {
		if _, err := oauth.NewCertificate("feed", in, start); err == nil || strings.Contains(err.Error(), "hello") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// outside is another issuer, of which a test can say what it publishes.
type outside struct {
	*httptest.Server
	keys     map[string]*rsa.PrivateKey
	handle   func(http.ResponseWriter, *http.Request) bool // nil or false: as usual
	requests int
}

func newOutside(t testing.TB) *outside {
	t.Helper()
	o := &outside{keys: map[string]*rsa.PrivateKey{"one": rsaKeys()[2]}}
	o.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.requests++
		if o.handle != nil && o.handle(w, r) {
			return
		}
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, o.URL, o.URL+"/keys")
		case "/keys":
			o.writeKeys(w)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *outside) writeKeys(w http.ResponseWriter) {
	set := jose.JSONWebKeySet{}
	for id, k := range o.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.PublicKey, KeyID: id, Use: "sig", Algorithm: "RS256"})
	}
	json.NewEncoder(w).Encode(set)
}

func (o *outside) token(t testing.TB, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": o.URL, "sub": "repo:hr/feed", "aud": oauth.FederatedAudience, "iat": start.Unix(), "exp": start.Add(time.Hour).Unix()}
	for k, v := range changes {
		claims[k] = v
	}
	return sign(t, jose.RS256, o.keys["one"], map[string]any{"kid": "one"}, claims)
}

func newFederated(t testing.TB, issuers ...oauth.Issuer) (*world, *outside) {
	t.Helper()
	o := newOutside(t)
	if issuers == nil {
		issuers = []oauth.Issuer{{Name: o.URL}}
	}
	w := newWorld(t, func(c *oauth.Config) { c.Federated, c.Transport = issuers, o.Client().Transport })
	w.client.Federated = []oauth.FederatedCredential{{ID: uuid.New(), Name: "feed", Issuer: o.URL, Subject: "repo:hr/feed", Audiences: []string{oauth.FederatedAudience}}}
	w.save(t)
	return w, o
}

func TestFederated(t *testing.T) {
	w, o := newFederated(t)
	for range 3 {
		a := w.assert(t, o.token(t, nil))
		if a.Code != http.StatusOK {
			t.Fatalf("status %d: %s", a.Code, a.Body)
		}
		if _, claims := decode(t, a.body["access_token"].(string)); claims["appidacr"] != "2" {
			t.Errorf("claims %v", claims)
		}
	}
	if o.requests != 2 {
		t.Errorf("%d requests for one document and one key set", o.requests)
	}
	for name, c := range map[string]struct {
		token string
		code  int
	}{
		"issuer":           {o.token(t, map[string]any{"iss": o.URL + "/"}), 700211},
		"subject":          {o.token(t, map[string]any{"sub": "repo:hr/feed2"}), 700213},
		"audience":         {o.token(t, map[string]any{"aud": "https://" + host + tokenURL}), 700212},
		"expired":          {o.token(t, map[string]any{"exp": start.Add(-time.Hour).Unix(), "iat": nil}), 700024},
		"no end":           {o.token(t, map[string]any{"exp": nil}), 700024},
		"own certificate":  {sign(t, jose.RS256, rsaKeys()[0], nil, w.claims(nil)), 700027},
		"other key":        {sign(t, jose.RS256, rsaKeys()[0], map[string]any{"kid": "one"}, map[string]any{"iss": o.URL, "sub": "repo:hr/feed", "aud": oauth.FederatedAudience, "exp": start.Add(time.Hour).Unix()}), 700027},
		"HS256, key known": {sign(t, jose.HS256, []byte(strings.Repeat("one", 11)), map[string]any{"kid": "one"}, map[string]any{"iss": o.URL, "sub": "repo:hr/feed", "aud": oauth.FederatedAudience}), 50027},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, w.assert(t, c.token), 401, "invalid_client", c.code) })
	}
	if o.requests > 4 {
		t.Errorf("%d requests: a key that is not known was asked for more than once", o.requests)
	}
}

// A new key of the issuer is found, and its absence is borne for a day.
func TestFederatedKeys(t *testing.T) {
	w, o := newFederated(t)
	if a := w.assert(t, o.token(t, nil)); a.Code != 200 {
		t.Fatal(a.Body)
	}
	w.now = w.now.Add(time.Minute)
	o.keys["two"] = rsaKeys()[1]
	young := sign(t, jose.RS256, rsaKeys()[1], map[string]any{"kid": "two"}, map[string]any{"iss": o.URL, "sub": "repo:hr/feed", "aud": oauth.FederatedAudience, "exp": start.Add(time.Hour).Unix()})
	if a := w.assert(t, young); a.Code != 200 {
		t.Errorf("new key: %s", a.Body)
	}
	o.handle = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true }
	w.now = w.now.Add(23 * time.Hour)
	long := o.token(t, map[string]any{"iat": w.now.Unix(), "exp": w.now.Add(time.Hour).Unix()})
	if a := w.assert(t, long); a.Code != 200 {
		t.Errorf("issuer away: %s", a.Body)
	}
	w.now = w.now.Add(2 * time.Hour)
	if a := w.assert(t, o.token(t, map[string]any{"iat": w.now.Unix(), "exp": w.now.Add(time.Hour).Unix()})); a.Code != 503 || a.Header().Get("Retry-After") == "" {
		t.Errorf("issuer away for long: %d %s", a.Code, a.Body)
	}
}

// What a token says makes the server call nobody.
func TestFederatedCallsNobodyElse(t *testing.T) {
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was called") }))
	defer trap.Close()
	t.Run("issuer is not configured", func(t *testing.T) {
		w, o := newFederated(t)
		w.client.Federated = append(w.client.Federated, oauth.FederatedCredential{ID: uuid.New(), Issuer: trap.URL, Subject: "s", Audiences: []string{"a"}})
		w.save(t)
		a := w.assert(t, sign(t, jose.RS256, o.keys["one"], map[string]any{"jku": trap.URL, "x5u": trap.URL}, map[string]any{"iss": trap.URL, "sub": "s", "aud": "a", "exp": start.Add(time.Hour).Unix()}))
		wantError(t, a, 401, "invalid_client", 70021)
		if !strings.Contains(a.Body.String(), "--federated-issuer") {
			t.Errorf("answer %s", a.Body)
		}
	})
	for name, handle := range map[string]func(*outside) func(http.ResponseWriter, *http.Request) bool{
		"keys elsewhere": func(o *outside) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, o.URL, trap.URL)
				return true
			}
		},
		"redirect": func(*outside) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, trap.URL, http.StatusFound)
				return true
			}
		},
		"other issuer": func(o *outside) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				fmt.Fprintf(w, `{"issuer":"https://other.example","jwks_uri":%q}`, o.URL+"/keys")
				return true
			}
		},
		"endless": func(o *outside) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				for b := make([]byte, 64<<10); ; {
					if _, err := w.Write(b); err != nil {
						return true
					}
				}
			}
		},
		"no JSON": func(*outside) func(http.ResponseWriter, *http.Request) bool { return text("<html>") },
		"no keys": func(*outside) func(http.ResponseWriter, *http.Request) bool { return text(`{"keys":[]}`) },
		"odd keys": func(*outside) func(http.ResponseWriter, *http.Request) bool {
			return text(`{"keys":[1,{"kty":"oct","k":"AAAA"},{}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, o := newFederated(t)
			o.handle = handle(o)
			for range 3 {
				if a := w.assert(t, o.token(t, nil)); a.Code != 503 || strings.Contains(a.Body.String(), trap.URL) {
					t.Errorf("%d %s", a.Code, a.Body)
				}
			}
			if o.requests != 1 {
				t.Errorf("%d requests at once", o.requests)
			}
		})
	}
}

func text(s string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, s); return true }
}

// The key set may be configured instead of the discovery document.
func TestFederatedKeySetURL(t *testing.T) {
	o := newOutside(t)
	w := newWorld(t, func(c *oauth.Config) {
		c.Federated, c.Transport = []oauth.Issuer{{Name: "https://accounts.elsewhere.example", URL: o.URL + "/keys"}}, o.Client().Transport
	})
	w.client.Federated = []oauth.FederatedCredential{{Issuer: "https://accounts.elsewhere.example", Subject: "s", Audiences: []string{"a"}}}
	w.save(t)
	if a := w.assert(t, o.token(t, map[string]any{"iss": "https://accounts.elsewhere.example", "sub": "s", "aud": "a"})); a.Code != 200 {
		t.Errorf("%s", a.Body)
	}
	for _, bad := range []oauth.Issuer{{}, {Name: "x"}, {Name: "http://idp.example"}, {Name: "https://idp.example", URL: "file:///etc/passwd"}, {Name: "x", URL: "https://u:p@idp.example"}} {
		if _, err := oauth.New(oauth.Config{Tenant: uuid.MustParse(tenant), Federated: []oauth.Issuer{bad}}, w.store); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestCheckFederated(t *testing.T) {
	good := oauth.FederatedCredential{ID: uuid.New(), Name: "main-branch", Issuer: "https://idp.example/x", Subject: "s", Audiences: []string{oauth.FederatedAudience}}
	change := func(f func(*oauth.FederatedCredential)) oauth.FederatedCredential { c := good; f(&c); return c }
	if err := oauth.CheckFederated(good, []oauth.FederatedCredential{good}); err != nil {
		t.Error(err)
	}
	var many []oauth.FederatedCredential
	for i := range oauth.MaxFederated {
		many = append(many, oauth.FederatedCredential{ID: uuid.New(), Name: fmt.Sprint("name", i), Subject: fmt.Sprint(i)})
	}
	for want, c := range map[string]struct {
		f      oauth.FederatedCredential
		others []oauth.FederatedCredential
	}{
		"name: use":           {change(func(f *oauth.FederatedCredential) { f.Name = "a b" }), nil},
		"issuer: use":         {change(func(f *oauth.FederatedCredential) { f.Issuer = "http://idp.example" }), nil},
		"subject: use":        {change(func(f *oauth.FederatedCredential) { f.Subject = "" }), nil},
		"audiences: use":      {change(func(f *oauth.FederatedCredential) { f.Audiences = nil }), nil},
		"description: use":    {change(func(f *oauth.FederatedCredential) { f.Description = strings.Repeat("x", 601) }), nil},
		"there are 20":        {good, many},
		"name: there":         {change(func(f *oauth.FederatedCredential) { f.ID, f.Subject = uuid.New(), "t" }), []oauth.FederatedCredential{good}},
		"issuer and subject:": {change(func(f *oauth.FederatedCredential) { f.ID, f.Name = uuid.New(), "other" }), []oauth.FederatedCredential{good}},
	} {
		if err := oauth.CheckFederated(c.f, c.others); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// FuzzAssertion holds that no assertion but the right ones is accepted, and that none is a failure of the server.
func FuzzAssertion(f *testing.F) {
	w := newWorld(f, func(c *oauth.Config) { c.Logger = nil })
	w.withCertificates(f)
	w.client.Federated = []oauth.FederatedCredential{{Issuer: "https://idp.example", Subject: "s", Audiences: []string{"a"}}}
	w.save(f)
	good := map[string]bool{}
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256} {
		text := sign(f, alg, rsaKeys()[0], map[string]any{"x5t": "AAAA", "kid": "00:11"}, w.claims(nil))
		good[text] = true
		f.Add(text)
	}
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	f.Add(encode(`{"alg":"RS256","crit":["exp"],"x5c":["AA"],"jwk":{}}`) + "." + encode(`{"iss":"https://idp.example","sub":"s","aud":["a"],"exp":1e300}`) + ".AA")
	f.Add(encode(`{"alg":"none"}`) + ".e30.")
	f.Add(`{"payload":"e30","signatures":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {w.client.AppID.String()}, "scope": {".default"},
			"client_assertion_type": {jwtBearer}, "client_assertion": {text}}
		a := w.post(t, tokenURL, form)
		if a.Code >= 500 || a.Code == 200 && !good[strings.TrimSpace(text)] {
			t.Errorf("status %d for %q: %s", a.Code, text, a.Body)
		}
	})
}
