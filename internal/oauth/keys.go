package oauth

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"
)

const (
	keyBits    = 2048
	keyRefresh = 5 * time.Minute // how long a process may miss that another one has rotated the key
	keyRetry   = time.Second     // between reads of the store for key ids that are not known, in the long run
	keyRetries = 10              // of them at once
	keyLead    = 2 * keyRefresh  // how long a new key is published before it signs
)

// keyring holds the signing keys of the store that are in use: those that may
// sign, and the retired ones whose tokens may not have expired.
type keyring struct {
	store    Store
	now      func() time.Time
	lifetime time.Duration // of tokens
	retries  *rate.Limiter // reads for key ids that are not known, which anybody can make up

	mu     sync.Mutex
	keys   []key // newest first
	loaded time.Time
}

type key struct {
	id      string
	private *rsa.PrivateKey
	created time.Time
	retired time.Time // zero, or from when on it does not sign
	cert    []byte    // X.509, for clients that want one: what a key set has as x5c and x5t
}

// signing returns the newest key that has been published for a while, so that
// whoever verifies tokens has had the time to fetch it; a first key signs at
// once. It makes one if there is none.
func (r *keyring) signing(ctx context.Context) (key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refresh(ctx, keyRefresh); err != nil {
		return key{}, err
	}
	now := r.now()
	signs := slices.DeleteFunc(slices.Clone(r.keys), func(k key) bool { return !k.retired.IsZero() && !now.Before(k.retired) })
	if len(signs) == 0 {
		return r.first(ctx)
	}
	if i := slices.IndexFunc(signs, func(k key) bool { return !now.Before(k.created.Add(keyLead)) }); i >= 0 {
		return signs[i], nil
	}
	return signs[len(signs)-1], nil
}

// find returns the published key with the id. A key that another process has
// made is found in the store.
func (r *keyring) find(ctx context.Context, id string) (key, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refresh(ctx, keyRefresh); err != nil {
		return key{}, false, err
	}
	at := func() int { return slices.IndexFunc(r.keys, func(k key) bool { return k.id == id }) }
	i := at()
	if i < 0 && r.retries.AllowN(r.now(), 1) {
		if err := r.refresh(ctx, 0); err != nil {
			return key{}, false, err
		}
		i = at()
	}
	if i < 0 {
		return key{}, false, nil
	}
	return r.keys[i], r.published(r.keys[i].retired), nil
}

// public returns the keys that verify tokens which may be in use, as a set
// with at least one key.
func (r *keyring) public(ctx context.Context) ([]key, error) {
	if _, err := r.signing(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.keys), func(k key) bool { return !r.published(k.retired) }), nil
}

// rotateAfter rotates if the newest key is older than age.
func (r *keyring) rotateAfter(ctx context.Context, age time.Duration) (rotated bool, err error) {
	if _, err := r.signing(ctx); err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := func() bool { return len(r.keys) == 0 || !r.now().Before(r.keys[0].created.Add(age)) }
	if !old() {
		return false, nil
	}
	err = r.alone(ctx, func() error {
		if rotated = old(); !rotated { // another process was first
			return nil
		}
		return r.rotate(ctx)
	})
	return rotated && err == nil, err
}

// alone has fn make or retire keys, with all that there are at hand and while no
// other process does it.
func (r *keyring) alone(ctx context.Context, fn func() error) error {
	unlock, err := r.store.Lock(ctx, lockKeys)
	if err != nil {
		return fmt.Errorf("oauth: locking signing keys: %w", err)
	}
	defer unlock()
	if err := r.refresh(ctx, 0); err != nil {
		return err
	}
	return fn()
}

// first makes the first key, unless another process has.
func (r *keyring) first(ctx context.Context) (k key, err error) {
	err = r.alone(ctx, func() (err error) {
		if i := slices.IndexFunc(r.keys, func(k key) bool { return k.retired.IsZero() }); i >= 0 {
			k = r.keys[i]
			return nil
		}
		k, err = r.add(ctx)
		return err
	})
	return k, err
}

// rotate makes a new signing key, has the others retire when that begins to
// sign, and forgets those of which no token is left. The caller is alone.
func (r *keyring) rotate(ctx context.Context) error {
	made, err := r.add(ctx)
	if err != nil {
		return err
	}
	stored, err := r.store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("oauth: reading signing keys: %w", err)
	}
	for _, k := range stored {
		switch {
		case k.KeyID == made.id:
		case k.Retired.IsZero():
			k.Retired = made.created.Add(keyLead)
			err = r.store.PutSigningKey(ctx, k)
		case !r.published(k.Retired):
			err = r.store.DeleteSigningKey(ctx, k.KeyID)
		}
		if err != nil {
			return fmt.Errorf("oauth: retiring signing key %s: %w", k.KeyID, err)
		}
	}
	return r.refresh(ctx, 0)
}

// published reports whether tokens of a key that was retired then, zero for
// not at all, may still be valid.
func (r *keyring) published(retired time.Time) bool {
	return retired.IsZero() || r.now().Before(retired.Add(r.lifetime+keyRefresh))
}

// add makes a signing key and stores it.
func (r *keyring) add(ctx context.Context) (key, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return key{}, fmt.Errorf("oauth: making a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return key{}, fmt.Errorf("oauth: encoding a signing key: %w", err)
	}
	id, err := thumbprint(&private.PublicKey)
	if err != nil {
		return key{}, err
	}
	made := key{id: id, private: private, created: r.now().Truncate(time.Second)} // as exact as a certificate is
	if made.cert, err = made.certify(); err != nil {
		return key{}, err
	}
	if err := r.store.PutSigningKey(ctx, SigningKey{KeyID: id, Private: der, Created: made.created}); err != nil {
		return key{}, fmt.Errorf("oauth: storing a signing key: %w", err)
	}
	r.keys = slices.Insert(r.keys, 0, made)
	return made, nil
}

// refresh reads the keys from the store if that was not done within age.
func (r *keyring) refresh(ctx context.Context, age time.Duration) error {
	now := r.now()
	if since := now.Sub(r.loaded); !r.loaded.IsZero() && since >= 0 && since < age {
		return nil
	}
	stored, err := r.store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("oauth: reading signing keys: %w", err)
	}
	var keys []key
	for _, s := range stored {
		if !r.published(s.Retired) {
			continue
		}
		k, err := r.parse(s)
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	r.keys, r.loaded = keys, now
	return nil
}

// parse decodes a stored key, unless that was done before.
func (r *keyring) parse(s SigningKey) (key, error) {
	if i := slices.IndexFunc(r.keys, func(k key) bool { return k.id == s.KeyID }); i >= 0 {
		k := r.keys[i]
		k.retired = s.Retired
		return k, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(s.Private)
	if err != nil {
		return key{}, fmt.Errorf("%w %s: %w", ErrBadKey, s.KeyID, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return key{}, fmt.Errorf("oauth: signing key %s is of type %T, not RSA", s.KeyID, parsed)
	}
	k := key{id: s.KeyID, private: private, created: s.Created, retired: s.Retired}
	k.cert, err = k.certify()
	return k, err
}

// certify makes the key's certificate, the same one each time: it is signed by
// the key itself and proves nothing beyond the key set that it stands in.
func (k key) certify() ([]byte, error) {
	sum := sha256.Sum256([]byte(k.id))
	tmpl := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(sum[:15]), Subject: pkix.Name{CommonName: "Induct token signing"},
		NotBefore: k.created.UTC(), NotAfter: k.created.UTC().AddDate(10, 0, 0), SignatureAlgorithm: x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.private.PublicKey, k.private)
	if err != nil {
		return nil, fmt.Errorf("oauth: certificate of signing key %s: %w", k.id, err)
	}
	return der, nil
}

// x5t is the key's name by its certificate (RFC 7515 section 4.1.7).
func (k key) x5t() string {
	sum := sha1.Sum(k.cert)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// thumbprint is the key id of a public key (RFC 7638).
func thumbprint(public *rsa.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("oauth: naming a signing key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// RotateKey makes a new signing key. It is published at once and signs ten
// minutes later; the others then stop, and stay published until the last token
// they signed has expired. No client notices, and other processes with the same
// store follow within five minutes.
func (a *Authority) RotateKey(ctx context.Context) error {
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	return a.keys.alone(ctx, func() error { return a.keys.rotate(ctx) })
}

// RotateKeyAfter is RotateKey if the newest key is older than age; it reports
// whether it was.
func (a *Authority) RotateKeyAfter(ctx context.Context, age time.Duration) (rotated bool, err error) {
	return a.keys.rotateAfter(ctx, age)
}
