package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"github.com/google/uuid"
)

const (
	secretLength   = 40
	secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	saltLength     = 16
)

// NewSecret makes a client secret that is valid from now on for the lifetime.
// The clear value is 40 random letters and digits (238 bits), so that it needs
// no escaping in a form, a URL or a shell; it is to be shown once and not kept.
func NewSecret(now time.Time, lifetime time.Duration) (clear string, s Secret) {
	clear = randomText()
	return clear, Secret{
		KeyID:   uuid.New(),
		Hash:    HashSecret(clear),
		Hint:    clear[:3],
		Created: now,
		Expires: now.Add(lifetime),
	}
}

func randomText() string {
	const fair = 256 - 256%len(secretAlphabet) // bytes from here on would favour the first letters
	text := make([]byte, 0, secretLength)
	for random := make([]byte, 2*secretLength); ; {
		rand.Read(random) // never fails: see its documentation
		for _, b := range random {
			if int(b) < fair {
				text = append(text, secretAlphabet[int(b)%len(secretAlphabet)])
			}
			if len(text) == secretLength {
				return string(text)
			}
		}
	}
}

// HashSecret returns what is stored of a secret: 16 bytes of random salt and
// the SHA-256 of salt and secret. There is no slow key derivation, on purpose:
// that makes guessing of passwords costly, but a secret of NewSecret has 238
// random bits and cannot be guessed at any speed, while a slow hash would be
// paid for at each token request, by whoever cares to send one. It is thus not
// fit for secrets that people think up.
func HashSecret(secret string) []byte {
	salt := make([]byte, saltLength)
	rand.Read(salt)
	return saltedHash(salt, secret)
}

func saltedHash(salt []byte, secret string) []byte {
	h := sha256.New()
	h.Write(salt)
	h.Write([]byte(secret))
	return h.Sum(salt[:len(salt):len(salt)])
}

// Matches reports whether clear is this secret, expired or not, in a time that
// does not depend on clear's likeness to it.
func (s Secret) Matches(clear string) bool {
	if len(s.Hash) != saltLength+sha256.Size {
		return false
	}
	return subtle.ConstantTimeCompare(s.Hash, saltedHash(s.Hash[:saltLength], clear)) == 1
}

// Expired reports whether the secret is no longer valid at now. A secret
// without an expiry never expires.
func (s Secret) Expired(now time.Time) bool {
	return !s.Expires.IsZero() && !now.Before(s.Expires)
}

// checkSecret finds clear among the client's secrets: whether it is one, and
// whether that one may still be used.
func (c *Client) checkSecret(clear string, now time.Time) (known, valid bool) {
	for _, s := range c.Secrets {
		if s.Matches(clear) {
			known = true
			valid = valid || !s.Expired(now)
		}
	}
	return known, valid
}
