// Package localca makes the TLS certificate of a server that has no other: a
// certificate authority of its own, that clients are told to trust once, and a
// server certificate from it.
package localca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	caLifetime     = 10 * 365 * 24 * time.Hour
	serverLifetime = 397 * 24 * time.Hour // browsers and Apple's systems take no more than 398 days
	renewal        = 30 * 24 * time.Hour  // before the end
	backdated      = time.Hour            // for clients whose clocks are behind
)

// Files in the directory. The secret ones hold a certificate and its key
// together, so that they cannot get out of step.
const (
	caSecret     = "ca-key.pem"
	caPublic     = "ca.pem"
	serverSecret = "server-key.pem"
)

// Load returns a server certificate for localhost, the loopback addresses and
// the hosts (DNS names or IP addresses, without ports), and the path of the
// file with the CA certificate that clients have to trust. Both are kept in
// dir, keys with mode 0600.
//
// The server certificate is made anew when less than 30 days of it are left or
// the hosts are others. The CA may certify the hosts it was made for and no
// others (name constraints, RFC 5280 section 4.2.1.10), so that who holds its
// key cannot pose as other sites; it is made anew, and has to be trusted anew,
// when a host is added or less than 30 days of its ten years are left.
//
// It is an error if what dir holds cannot be read. Only one process at a time
// may call Load on a directory.
func Load(dir string, hosts []string, now time.Time) (cert tls.Certificate, caPEM string, err error) {
	names, err := parseNames(hosts)
	if err != nil {
		return cert, "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cert, "", fmt.Errorf("localca: %w", err)
	}
	ca, err := loadCA(dir, names, now)
	if err != nil {
		return cert, "", err
	}
	caPEM = filepath.Join(dir, caPublic)
	if err := publish(caPEM, ca.Leaf); err != nil {
		return cert, "", err
	}
	cert, err = loadServer(dir, ca, names, now)
	return cert, caPEM, err
}

// names are what a certificate is for.
type names struct {
	dns []string // sorted, in lower case
	ips []net.IP
}

func parseNames(hosts []string) (names, error) {
	n := names{dns: []string{"localhost"}, ips: []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}}
	for _, h := range hosts {
		host := strings.ToLower(strings.TrimSuffix(h, "."))
		if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
			if v4 := ip.To4(); v4 != nil {
				ip = v4
			}
			n.ips = append(n.ips, ip)
			continue
		}
		if !isDNSName(host) {
			return names{}, fmt.Errorf("localca: host %q: want a DNS name or an IP address, without a port", h)
		}
		n.dns = append(n.dns, host)
	}
	slices.Sort(n.dns)
	n.dns = slices.Compact(n.dns)
	slices.SortFunc(n.ips, func(a, b net.IP) int { return bytes.Compare(a, b) })
	n.ips = slices.CompactFunc(n.ips, net.IP.Equal)
	return n, nil
}

func isDNSName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// loadCA reads the CA, or makes it if there is none or it may not certify the
// names.
func loadCA(dir string, n names, now time.Time) (tls.Certificate, error) {
	path := filepath.Join(dir, caSecret)
	ca, err := readPair(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return ca, fmt.Errorf("localca: %s cannot be used: %w (remove it to make another CA, which clients have to trust anew)", path, err)
	case lasts(ca.Leaf, now) && permits(ca.Leaf, n): // even if the clock was set back: new trust costs more
		return ca, nil
	}
	template := &x509.Certificate{
		Subject:                     pkix.Name{CommonName: "Induct local CA " + now.UTC().Format("2006-01-02 15:04"), Organization: []string{"Induct"}},
		NotBefore:                   now.Add(-backdated),
		NotAfter:                    now.Add(caLifetime),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         n.dns,
		PermittedIPRanges:           append(loopback(), single(n.ips)...),
	}
	return create(path, template, nil)
}

func loopback() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
		{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
	}
}

// single returns the ranges of just the addresses, without those of loopback.
func single(ips []net.IP) (ranges []*net.IPNet) {
	for _, ip := range ips {
		if !ip.IsLoopback() {
			ranges = append(ranges, &net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))})
		}
	}
	return ranges
}

// loadServer reads the server certificate, or makes it if there is none that
// the CA has issued for just these names. It is of no worth beyond that, so one
// that cannot be read is replaced.
func loadServer(dir string, ca tls.Certificate, n names, now time.Time) (tls.Certificate, error) {
	path := filepath.Join(dir, serverSecret)
	cert, err := readPair(path)
	if err == nil && !now.Before(cert.Leaf.NotBefore) && lasts(cert.Leaf, now) && cert.Leaf.CheckSignatureFrom(ca.Leaf) == nil && isFor(cert.Leaf, n) {
		return cert, nil
	}
	end := now.Add(serverLifetime)
	if end.After(ca.Leaf.NotAfter) {
		end = ca.Leaf.NotAfter
	}
	return create(path, &x509.Certificate{
		Subject:               pkix.Name{CommonName: n.dns[0], Organization: []string{"Induct"}},
		NotBefore:             now.Add(-backdated),
		NotAfter:              end,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:              n.dns,
		IPAddresses:           n.ips,
	}, &ca)
}

// lasts reports whether c does not end soon.
func lasts(c *x509.Certificate, now time.Time) bool { return now.Add(renewal).Before(c.NotAfter) }

// permits reports whether the CA may certify all of the names.
func permits(ca *x509.Certificate, n names) bool {
	for _, name := range n.dns {
		if !slices.Contains(ca.PermittedDNSDomains, name) {
			return false
		}
	}
	for _, ip := range n.ips {
		if !slices.ContainsFunc(ca.PermittedIPRanges, func(r *net.IPNet) bool { return r.Contains(ip) }) {
			return false
		}
	}
	return true
}

func isFor(c *x509.Certificate, n names) bool {
	return slices.Equal(c.DNSNames, n.dns) && slices.EqualFunc(c.IPAddresses, n.ips, net.IP.Equal)
}

// create makes a key and its certificate, signed by the CA or without one by
// itself, and writes both to path.
func create(path string, template *x509.Certificate, ca *tls.Certificate) (cert tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, fmt.Errorf("localca: %w", err)
	}
	parent, signer := template, crypto.Signer(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey.(crypto.Signer)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer) // takes a random serial number
	if err != nil {
		return cert, fmt.Errorf("localca: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return cert, fmt.Errorf("localca: %w", err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	if err := write(path, both, 0o600); err != nil {
		return cert, err
	}
	return readPair(path)
}

// readPair reads a file with a certificate and its key.
func readPair(path string) (tls.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(data, data)
}

// publish writes the certificate to path unless it is there.
func publish(path string, c *x509.Certificate) error {
	want := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	if got, err := os.ReadFile(path); err == nil && bytes.Equal(got, want) {
		return nil
	}
	return write(path, want, 0o644)
}

// write replaces the file in one step.
func write(path string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".localca-*") // has mode 0600
	if err != nil {
		return fmt.Errorf("localca: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("localca: %w", err)
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
