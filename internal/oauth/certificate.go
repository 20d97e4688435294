package oauth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	maxCertificate = 16 * 1024 // bytes, in whatever form it came
	minRSABits     = 2048
	maxRSABits     = 8192 // verifying with a larger one would cost whoever does it too much
)

// NewCertificate makes a client's certificate of what a keyCredential's key
// holds: X.509 in DER or PEM, or base64 of either. The key must be RSA of 2048
// to 8192 bits or EC on P-256, which are those that client assertions are signed
// with; a private key beside it is refused, because it is the client's alone. The
// error says what is wrong with key and does not repeat it.
func NewCertificate(name string, key []byte, now time.Time) (Certificate, error) {
	x, err := ParseCertificate(key)
	if err != nil {
		return Certificate{}, err
	}
	if !now.Before(x.NotAfter) {
		return Certificate{}, fmt.Errorf("the certificate has expired on %s", x.NotAfter.UTC().Format(time.DateOnly))
	}
	return Certificate{KeyID: uuid.New(), DisplayName: name, DER: x.Raw, Created: now, Expires: x.NotAfter}, nil
}

// ParseCertificate reads a certificate as NewCertificate does, expired or not.
func ParseCertificate(key []byte) (*x509.Certificate, error) {
	if len(key) > maxCertificate {
		return nil, fmt.Errorf("the certificate is larger than %d KiB", maxCertificate>>10)
	}
	x, err := parseX509(key)
	if err != nil {
		if decoded, ok := decodeBase64(string(key)); ok {
			x, err = parseX509(decoded)
		}
	}
	if err != nil {
		return nil, err
	}
	switch public := x.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("the certificate's RSA key has %d bits: use %d to %d", bits, minRSABits, maxRSABits)
		}
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return nil, errors.New("the certificate's EC key is not on P-256")
		}
	default:
		return nil, fmt.Errorf("the certificate's key is of type %v: use RSA, or EC on P-256", x.PublicKeyAlgorithm)
	}
	return x, nil
}

// parseX509 reads DER, or the one certificate of a PEM file.
func parseX509(b []byte) (*x509.Certificate, error) {
	if !bytes.Contains(b, []byte("-----BEGIN ")) {
		x, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, errors.New("the key is not an X.509 certificate in DER or PEM, or base64 of that")
		}
		return x, nil
	}
	var found *x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case strings.Contains(block.Type, "PRIVATE KEY"):
			return nil, errors.New("there is a private key in it: send the certificate alone, and consider that key as known to others")
		case block.Type != "CERTIFICATE" || found != nil: // what follows the first one is its chain
			continue
		}
		x, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("the PEM block is not an X.509 certificate")
		}
		found = x
	}
	if found == nil {
		return nil, errors.New("there is no complete CERTIFICATE block in the PEM text")
	}
	return found, nil
}

// decodeBase64 reads base64 of either alphabet, padded or not, and over several
// lines.
func decodeBase64(s string) ([]byte, bool) {
	s = strings.NewReplacer("-", "+", "_", "/", "\r", "", "\n", "", " ", "").Replace(strings.TrimSpace(s))
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return b, err == nil && len(b) > 0
}

// SHA1 is the certificate's thumbprint as Graph shows it (customKeyIdentifier)
// and as x5t names it. It is a name here and proves nothing.
func (c Certificate) SHA1() [sha1.Size]byte { return sha1.Sum(c.DER) }

// SHA256 is the certificate's thumbprint as x5t#S256 names it.
func (c Certificate) SHA256() [sha256.Size]byte { return sha256.Sum256(c.DER) }

// Expired reports whether the certificate signs no more assertions at now.
func (c Certificate) Expired(now time.Time) bool { return !now.Before(c.Expires) }

// hasThumbprint reports whether name is one of the certificate's thumbprints, in
// any of the ways that clients write them: hexadecimal, base64 or base64url,
// padded or not.
func (c Certificate) hasThumbprint(name string) bool {
	short, long := c.SHA1(), c.SHA256()
	for _, decode := range []func(string) ([]byte, bool){decodeHex, decodeBase64} {
		if b, ok := decode(name); ok && (bytes.Equal(b, short[:]) || bytes.Equal(b, long[:])) {
			return true
		}
	}
	return false
}

func decodeHex(s string) ([]byte, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	return b, err == nil
}
