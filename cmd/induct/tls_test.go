package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"induct/internal/localca"
)

// A certificate that is renewed in place is served without a restart, and one that is half written is not.
func TestCertificateFilesChange(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func(host string, age time.Duration) tls.Certificate {
		made, _, err := localca.Load(t.TempDir(), []string{host}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		writePair(t, made, cert, key, time.Now().Add(-age))
		return made
	}
	first := put("one.corp.example", time.Hour)
	c, err := readCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serves := func() string {
		c.looked = time.Time{}
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(got.Certificate[0])
	}
	if serves() != string(first.Certificate[0]) {
		t.Error("it does not serve what it has read")
	}
	second := put("two.corp.example", time.Minute)
	if serves() != string(second.Certificate[0]) {
		t.Error("it does not serve the new certificate")
	}
	if err := os.WriteFile(cert, []byte("half a cert"), 0o600); err != nil {
		t.Fatal(err)
	}
	if serves() != string(second.Certificate[0]) {
		t.Error("a broken file has taken the certificate away")
	}
	if err := os.Remove(key); err != nil || serves() != string(second.Certificate[0]) {
		t.Error("a missing file has taken the certificate away", err)
	}
	if _, err := readCertificate(cert, key, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("it starts without a key")
	}
}

// writePair writes a certificate and its key as they come from elsewhere.
func writePair(t *testing.T, c tls.Certificate, cert, key string, at time.Time) {
	t.Helper()
	var chain []byte
	for _, der := range c.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	pairs := map[string][]byte{cert: chain}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	pairs[key] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for file, text := range pairs {
		if err := errors.Join(os.WriteFile(file, text, 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
}
