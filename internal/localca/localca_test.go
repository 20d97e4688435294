package localca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var start = time.Date(2026, 8, 20, 10, 0, 0, 0, time.UTC)

func load(t *testing.T, dir string, now time.Time, hosts ...string) (cert tls.Certificate, ca *x509.Certificate) {
	t.Helper()
	cert, path, err := Load(dir, hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	public, err := readCertificate(path)
	if err != nil {
		t.Fatal(err)
	}
	return cert, public
}

func readCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	secret, err := readPair(filepath.Join(filepath.Dir(path), caSecret))
	if err != nil {
		return nil, err
	}
	want := x509.NewCertPool()
	want.AddCert(secret.Leaf)
	if !pool.Equal(want) {
		return nil, os.ErrInvalid
	}
	return secret.Leaf, nil
}

func verify(cert, ca *x509.Certificate, name string, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now})
	return err
}

func TestLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	cert, ca := load(t, dir, start, "Induct.example", "192.0.2.7", "2001:db8::7")
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "induct.example", "192.0.2.7", "2001:db8::7"} {
		if err := verify(cert.Leaf, ca, name, start); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := verify(cert.Leaf, ca, "other.example", start); err == nil {
		t.Error("is for other.example too")
	}
	if years := ca.NotAfter.Sub(start).Hours() / 24 / 365; years != 10 || !ca.IsCA || !ca.MaxPathLenZero {
		t.Errorf("CA for %v years: %+v", years, ca)
	}
	if cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore) > 398*24*time.Hour {
		t.Errorf("certificate from %v to %v", cert.Leaf.NotBefore, cert.Leaf.NotAfter)
	}
	for name, want := range map[string]os.FileMode{caSecret: 0o600, serverSecret: 0o600, caPublic: 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", name, info, err, want)
		}
	}
	if data, _ := os.ReadFile(filepath.Join(dir, caPublic)); bytes.Contains(data, []byte("PRIVATE")) {
		t.Error("the published file has a key")
	}
	if files, _ := os.ReadDir(dir); len(files) != 3 {
		t.Errorf("%d files, want 3", len(files))
	}
}

func TestServe(t *testing.T) {
	cert, ca := load(t, t.TempDir(), time.Now())
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestRenewal(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		after          time.Duration
		hosts          []string
		newCA, newCert bool
	}{
		"nothing changed":    {after: 300 * day, hosts: []string{"a.example", "B.example."}},
		"other order":        {hosts: []string{"b.example", "a.example", "a.example"}},
		"loopback is there":  {hosts: []string{"a.example", "b.example", "localhost", "127.0.0.1", "[::1]"}},
		"certificate ends":   {after: 368 * day, hosts: []string{"a.example", "b.example"}, newCert: true},
		"host removed":       {hosts: []string{"a.example"}, newCert: true},
		"host added":         {hosts: []string{"a.example", "b.example", "c.example"}, newCA: true, newCert: true},
		"other loopback":     {hosts: []string{"a.example", "b.example", "127.0.0.2"}, newCert: true},
		"address added":      {hosts: []string{"a.example", "b.example", "192.0.2.7"}, newCA: true, newCert: true},
		"CA ends":            {after: (3650 - 29) * day, hosts: []string{"a.example", "b.example"}, newCA: true, newCert: true},
		"clock was set back": {after: -2 * time.Hour, hosts: []string{"a.example", "b.example"}, newCert: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cert1, ca1 := load(t, dir, start, "a.example", "b.example")
			now := start.Add(c.after)
			cert2, ca2 := load(t, dir, now, c.hosts...)
			if got := !ca2.Equal(ca1); got != c.newCA {
				t.Errorf("new CA: %v, want %v", got, c.newCA)
			}
			if got := !cert2.Leaf.Equal(cert1.Leaf); got != c.newCert {
				t.Errorf("new certificate: %v, want %v", got, c.newCert)
			}
			for _, name := range []string{"localhost", "a.example"} {
				if err := verify(cert2.Leaf, ca2, name, start.Add(max(c.after, 0))); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestCAIsConstrained signs a certificate for another site with the CA's key.
func TestCAIsConstrained(t *testing.T) {
	dir := t.TempDir()
	load(t, dir, start, "induct.example")
	ca, err := readPair(filepath.Join(dir, caSecret))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []names{
		{dns: []string{"bank.example"}},
		{dns: []string{"notinduct.example"}},
		{dns: []string{"localhost"}, ips: []net.IP{net.IPv4(192, 0, 2, 1)}},
	} {
		forged, err := loadServer(t.TempDir(), ca, n, start)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(forged.Leaf, ca.Leaf, n.dns[0], start); err == nil {
			t.Errorf("a certificate for %v is valid", n)
		}
	}
}

func TestDamage(t *testing.T) {
	dir := t.TempDir()
	_, ca := load(t, dir, start)
	for _, name := range []string{serverSecret, caPublic} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, again := load(t, dir, start)
	if !again.Equal(ca) || verify(cert.Leaf, ca, "localhost", start) != nil {
		t.Error("the CA was replaced")
	}
	if err := os.WriteFile(filepath.Join(dir, caSecret), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(dir, nil, start); err == nil {
		t.Error("a damaged CA is no error")
	}
}

func TestHosts(t *testing.T) {
	for _, host := range []string{"", "a.example:443", "https://a.example", "*.example", "a..example", "-a.example", "a b", "ä.example", "::g"} {
		if _, _, err := Load(t.TempDir(), []string{host}, start); err == nil {
			t.Errorf("%q: no error", host)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(file, nil, start); err == nil {
		t.Error("a file as directory: no error")
	}
}
