package upload

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"induct/internal/upload/uploadtest"
)

// certify returns a certificate for key.
func certify(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hr.nordwind.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemFile(t *testing.T, blocks ...*pem.Block) string {
	t.Helper()
	var b bytes.Buffer
	for _, block := range blocks {
		pem.Encode(&b, block)
	}
	path := filepath.Join(t.TempDir(), "app.pem")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A certificate signs in with a JWT that the service can verify with the certificate alone.
func TestCertificate(t *testing.T) {
	key := newKey(t)
	der, other := certify(t, key), certify(t, newKey(t))
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, private := range map[string]*pem.Block{"PKCS #1": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}, "PKCS #8": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		signed := 0
		var s *httptest.Server
		s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/tenant/oauth2/v2.0/token" {
				w.WriteHeader(202)
				return
			}
			token, err := jwt.ParseSigned(r.FormValue("client_assertion"), []jose.SignatureAlgorithm{jose.PS256})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			var claims jwt.Claims
			thumb := sha256.Sum256(der)
			if err := token.Claims(&key.PublicKey, &claims); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := claims.ValidateWithLeeway(jwt.Expected{Issuer: "app", Subject: "app", AnyAudience: jwt.Audience{s.URL + "/tenant/oauth2/v2.0/token"}, Time: time.Now()}, 0); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := token.Headers[0].ExtraHeaders["x5t#S256"]; got != base64.RawURLEncoding.EncodeToString(thumb[:]) ||
				r.FormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || r.FormValue("client_secret") != "" {
				t.Errorf("%s: x5t#S256 %v", name, got)
			}
			signed++
			fmt.Fprint(w, `{"access_token":"t","expires_in":3599}`)
		}))
		c, err := New(Config{Graph: s.URL, ServicePrincipal: "sp", Job: "job", Credentials: Credentials{Authority: s.URL + "/tenant", ClientID: "app",
			CertificateFile: pemFile(t, &pem.Block{Type: "CERTIFICATE", Bytes: other}, private, &pem.Block{Type: "CERTIFICATE", Bytes: der})}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Run(t.Context(), &list{n: 3}, Options{Until: StateAccepted}, nil); err != nil || signed != 1 {
			t.Errorf("%s: %v, %d sign-ins", name, err, signed)
		}
		s.Close()
	}
}

// What is wrong with a certificate file is said, and nothing of it.
func TestBadCertificate(t *testing.T) {
	key := newKey(t)
	private := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for want, file := range map[string]string{
		"no such file":                  filepath.Join(t.TempDir(), "none.pem"),
		"must hold a private key":       pemFile(t, private),
		"belongs to its private key":    pemFile(t, private, &pem.Block{Type: "CERTIFICATE", Bytes: certify(t, newKey(t))}),
		"is not an RSA key":             pemFile(t, &pem.Block{Type: "PRIVATE KEY", Bytes: ecDER}),
		"is encrypted":                  pemFile(t, &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: private.Bytes}),
		"a certificate in it cannot be": pemFile(t, private, &pem.Block{Type: "CERTIFICATE", Bytes: []byte("secret")}),
	} {
		_, err := New(Config{Graph: "https://graph.example", ServicePrincipal: "sp", Job: "job",
			Credentials: Credentials{Authority: "https://login.example/t", ClientID: "app", CertificateFile: file}})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Managed identities are asked for as the machine's metadata service and App Service want it.
func TestManagedIdentity(t *testing.T) {
	asked := ""
	first := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") == "Bearer t":
			w.WriteHeader(202)
		case first: // not ready yet
			first = false
			w.WriteHeader(404)
		default:
			asked = r.URL.RequestURI() + " " + r.Header.Get("Metadata") + r.Header.Get("X-IDENTITY-HEADER")
			fmt.Fprintf(w, `{"access_token":"t","expires_on":"%d","token_type":"Bearer"}`, time.Now().Add(time.Hour).Unix())
		}
	}))
	defer s.Close()
	for want, cred := range map[string]Credentials{
		"/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fgraph.microsoft.com true": {ManagedIdentity: SystemIdentity, MetadataHost: s.URL},
		"/metadata/identity/oauth2/token?api-version=2018-02-01&client_id=mine&resource=api%3A%2F%2Fx true":      {ManagedIdentity: "mine", MetadataHost: s.URL, Scope: "api://x/.default"},
		"/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fgraph.microsoft.com h34der":                    {ManagedIdentity: SystemIdentity, IdentityEndpoint: s.URL + "/msi/token", IdentityHeader: "h34der"},
	} {
		first = true
		c, err := New(Config{Graph: s.URL, ServicePrincipal: "sp", Job: "job", Credentials: cred})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Run(t.Context(), &list{n: 3}, Options{Until: StateAccepted, Retry: quick}, nil); err != nil || asked != want {
			t.Errorf("%v, asked for %s, want %s", err, asked, want)
		}
		if left := time.Until(c.expiry); left < 50*time.Minute || left > time.Hour {
			t.Errorf("the token is used for %s", left)
		}
	}
	if _, err := New(Config{Graph: s.URL, ServicePrincipal: "sp", Job: "job", Credentials: Credentials{ManagedIdentity: SystemIdentity, IdentityEndpoint: "http://evil.example/"}}); err == nil {
		t.Error("the identity's secret would go to another machine in clear")
	}
}

func TestFromEnvironment(t *testing.T) {
	env, err := ParseAssignments("\ufeff# a comment\nGRAPH_BASE=https://graph.example/v1.0\nexport TENANT_ID=t\nCLIENT_SECRET='it'\\''s \"s3cret\"'\n\nSP_ID=\"sp\"\nCA_FILE='/a b/ca.pem'\n")
	if err != nil {
		t.Fatal(err)
	}
	env["AZURE_CLIENT_ID"], env["AZURE_AUTHORITY_HOST"], env["AZURE_CLIENT_CERTIFICATE_PATH"] = "az", "https://login.example/", "/c.pem"
	cfg := Config{Job: "mine"}
	cfg.FromEnvironment(func(name string) string { return env[name] })
	want := Config{Graph: "https://graph.example/v1.0", ServicePrincipal: "sp", Job: "mine", CAFile: "/a b/ca.pem",
		Credentials: Credentials{Authority: "https://login.example/t", ClientID: "az", ClientSecret: `it's "s3cret"`, CertificateFile: "/c.pem"}}
	if cfg != want {
		t.Errorf("got %+v", cfg)
	}
	for _, text := range []string{"s3cret", "A B=s3cret", "=s3cret", "CLIENT_SECRET='s3cret"} {
		if _, err := ParseAssignments("X=1\n" + text); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// Nothing that a run says, draws, writes or returns has the secret in it, whatever goes wrong.
func TestSecretStaysSecret(t *testing.T) {
	for name, s := range map[string]*uploadtest.Service{
		"works": {}, "receipts": {Receipts: true}, "refused": {Refuse: func(string) bool { return true }}, "large": {MaxBytes: 10},
		"lost": {Trouble: func(int) uploadtest.Trouble { return uploadtest.LostRequest }},
	} {
		for _, secret := range []string{uploadtest.Secret, "wr0ng-" + uploadtest.Secret} {
			c, err := New(Config{Graph: uploadtest.Graph, ServicePrincipal: uploadtest.ServicePrincipal, Job: uploadtest.Job, Transport: s,
				Credentials: Credentials{Authority: uploadtest.Authority, ClientID: uploadtest.ClientID, ClientSecret: secret}})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			draws := []func(Event){JSON(&out), bar(&out, 0), Lines(&out, 0, time.Now)}
			path := filepath.Join(t.TempDir(), "j")
			j, err := OpenJournal(path, "f", false)
			if err != nil {
				t.Fatal(err)
			}
			sum, err := c.Run(t.Context(), &list{n: 60}, Options{Until: StateAccepted, Retry: Retry{Base: time.Millisecond, Wait: 20 * time.Millisecond}, Journal: j}, func(e Event) {
				fmt.Fprintf(&out, "%+v", e)
				for _, draw := range draws {
					draw(e)
				}
			})
			PrintSummary(&out, sum)
			journal, e := os.ReadFile(path)
			if e != nil {
				t.Fatal(e)
			}
			fmt.Fprintf(&out, "%v %+v %s", err, sum, journal)
			for _, word := range []string{uploadtest.Secret, "token-"} {
				if strings.Contains(out.String(), word) {
					t.Errorf("%s: %q stands in the output", name, word)
				}
			}
			j.Close(true)
		}
	}
}
