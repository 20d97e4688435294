package compat

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// installation is a data directory with an app that has a certificate, trusts an issuer, and a managed identity beside it.
type installation struct {
	data     string
	cert     *x509.Certificate
	key      *rsa.PrivateKey
	certFile string // with the private key, as clients want it
	identity string // client id
	idp      *httptest.Server
	idpCA    string
}

func install(t *testing.T) *installation {
	t.Helper()
	dir := t.TempDir()
	in := &installation{data: filepath.Join(dir, "data"), certFile: filepath.Join(dir, "app.pem"), idpCA: filepath.Join(dir, "idp.pem")}
	var err error
	if in.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "feed"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, in.key.Public(), in.key)
	if err != nil {
		t.Fatal(err)
	}
	if in.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(in.key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, in.certFile, append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), public...))
	publicFile := filepath.Join(dir, "public.pem")
	write(t, publicFile, public)

	in.idp = httptest.NewTLSServer(http.HandlerFunc(in.serveIDP))
	t.Cleanup(in.idp.Close)
	write(t, in.idpCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: in.idp.Certificate().Raw}))

	s := start(t, "--data", in.data) // makes the app
	s.stop()
	bin := binary(t)
	run := func(args ...string) string {
		out, err := exec.Command(bin, append([]string{"credential"}, append(args, "--data", in.data)...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("induct credential %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("certificate", s.env["CLIENT_ID"], "--file", publicFile)
	run("federate", s.env["CLIENT_ID"], "--issuer", in.idp.URL, "--subject", "system:serviceaccount:hr:feed")
	made := run("managed-identity", "feed")
	in.identity = strings.TrimSpace(strings.TrimPrefix(strings.SplitN(made, "\n", 2)[0], "CLIENT_ID="))
	return in
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveIDP is another token issuer.
func (in *installation) serveIDP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, in.idp.URL, in.idp.URL+"/keys")
	case "/keys":
		encode := base64.RawURLEncoding.EncodeToString
		fmt.Fprintf(w, `{"keys":[{"kty":"RSA","use":"sig","kid":"1","n":%q,"e":%q}]}`, encode(in.key.N.Bytes()), encode(big.NewInt(int64(in.key.E)).Bytes()))
	default:
		http.NotFound(w, r)
	}
}

// serviceAccountToken is what a Kubernetes cluster would write into a pod.
func (in *installation) serviceAccountToken(t *testing.T) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{"iss": in.idp.URL, "sub": "system:serviceaccount:hr:feed", "aud": []string{"api://AzureADTokenExchange"}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(nil, in.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// start starts the service on the installation.
func (in *installation) start(t *testing.T) *service {
	t.Helper()
	return start(t, "--data", in.data, "--federated-issuer", in.idp.URL, "--federated-ca", in.idpCA, "--managed-identity-listen", "127.0.0.1:0")
}

func (s *service) cloud() policy.ClientOptions {
	return policy.ClientOptions{Transport: s.http, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: strings.TrimSuffix(s.env["AUTHORITY"], s.env["TENANT_ID"])}}
}

// identityEnvironment sets what App Service gives its processes.
func (in *installation) identityEnvironment(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(in.data, "identity.env"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		t.Setenv(k, v)
	}
}

// Each way to prove an app, with azidentity as it is, ends in a token that lists users.
func TestCredentials(t *testing.T) {
	in := install(t)
	s := in.start(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	write(t, tokenFile, []byte(in.serviceAccountToken(t)))
	in.identityEnvironment(t)
	credentials := map[string]func() (azcore.TokenCredential, error){
		"certificate": func() (azcore.TokenCredential, error) {
			return azidentity.NewClientCertificateCredential(s.env["TENANT_ID"], s.env["CLIENT_ID"], []*x509.Certificate{in.cert}, in.key,
				&azidentity.ClientCertificateCredentialOptions{ClientOptions: s.cloud(), DisableInstanceDiscovery: true})
		},
		"certificate with chain": func() (azcore.TokenCredential, error) {
			return azidentity.NewClientCertificateCredential(s.env["TENANT_ID"], s.env["CLIENT_ID"], []*x509.Certificate{in.cert}, in.key,
				&azidentity.ClientCertificateCredentialOptions{ClientOptions: s.cloud(), DisableInstanceDiscovery: true, SendCertificateChain: true})
		},
		"workload identity": func() (azcore.TokenCredential, error) {
			return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: s.cloud(), DisableInstanceDiscovery: true,
				ClientID: s.env["CLIENT_ID"], TenantID: s.env["TENANT_ID"], TokenFilePath: tokenFile})
		},
		"assertion": func() (azcore.TokenCredential, error) {
			return azidentity.NewClientAssertionCredential(s.env["TENANT_ID"], s.env["CLIENT_ID"], func(context.Context) (string, error) { return in.serviceAccountToken(t), nil },
				&azidentity.ClientAssertionCredentialOptions{ClientOptions: s.cloud(), DisableInstanceDiscovery: true})
		},
		"managed identity": func() (azcore.TokenCredential, error) {
			return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(in.identity)})
		},
		"system's managed identity": func() (azcore.TokenCredential, error) { return azidentity.NewManagedIdentityCredential(nil) },
	}
	for name, make := range credentials {
		t.Run(name, func(t *testing.T) {
			cred, err := make()
			if err != nil {
				t.Fatal(err)
			}
			token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(token.ExpiresOn); left < 50*time.Minute || left > 70*time.Minute {
				t.Errorf("it expires in %v", left)
			}
			path := "/users"
			if strings.Contains(name, "managed") { // which may upload and read the log
				path = "/auditLogs/provisioning"
			}
			if res := s.do(t, token.Token, "GET", s.env["GRAPH_BASE"]+path, nil); res.StatusCode != http.StatusOK {
				t.Errorf("GET %s: %s", path, res.Status)
			}
		})
	}
	t.Run("wrong certificate", func(t *testing.T) {
		other, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, other.Public(), other)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		cred, err := azidentity.NewClientCertificateCredential(s.env["TENANT_ID"], s.env["CLIENT_ID"], []*x509.Certificate{cert}, other,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: s.cloud(), DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}}); err == nil || !strings.Contains(err.Error(), "AADSTS700027") {
			t.Errorf("%v", err)
		}
	})
}
