package oauth

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	keyBits    = 2048
	keyRefresh = 5 * time.Minute // how long a process may miss that another one has rotated the key
	keyRetry   = time.Second     // between reads of the store for key ids that are not known
)

// keyring holds the signing keys of the store that are in use: those that may
// sign, and the retired ones whose tokens may not have expired.
type keyring struct {
	store    Store
	now      func() time.Time
	lifetime time.Duration // of tokens

	mu     sync.Mutex
	keys   []key // newest first
	loaded time.Time
}

type key struct {
	id      string
	private *rsa.PrivateKey
	retired time.Time
}

// signing returns the newest key that is not retired, and makes it if there is
// none.
func (r *keyring) signing(ctx context.Context) (key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refresh(ctx, keyRefresh); err != nil {
		return key{}, err
	}
	if i := slices.IndexFunc(r.keys, key.signs); i >= 0 {
		return r.keys[i], nil
	}
	return r.add(ctx)
}

func (k key) signs() bool { return k.retired.IsZero() }

// find returns the published key with the id. A key that another process has
// made is found in the store.
func (r *keyring) find(ctx context.Context, id string) (key, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, age := range []time.Duration{keyRefresh, keyRetry} {
		if err := r.refresh(ctx, age); err != nil {
			return key{}, false, err
		}
		if i := slices.IndexFunc(r.keys, func(k key) bool { return k.id == id }); i >= 0 {
			return r.keys[i], r.published(r.keys[i].retired), nil
		}
	}
	return key{}, false, nil
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

// rotate makes a new signing key and retires all others.
func (r *keyring) rotate(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	made, err := r.add(ctx)
	if err != nil {
		return err
	}
	stored, err := r.store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("oauth: reading signing keys: %w", err)
	}
	for _, k := range stored {
		if k.KeyID == made.id || !k.Retired.IsZero() {
			continue
		}
		k.Retired = r.now()
		if err := r.store.PutSigningKey(ctx, k); err != nil {
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
	if err := r.store.PutSigningKey(ctx, SigningKey{KeyID: id, Private: der, Created: r.now()}); err != nil {
		return key{}, fmt.Errorf("oauth: storing a signing key: %w", err)
	}
	made := key{id: id, private: private}
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
		return key{id: s.KeyID, private: r.keys[i].private, retired: s.Retired}, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(s.Private)
	if err != nil {
		return key{}, fmt.Errorf("oauth: signing key %s: %w", s.KeyID, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return key{}, fmt.Errorf("oauth: signing key %s is of type %T, not RSA", s.KeyID, parsed)
	}
	return key{id: s.KeyID, private: private, retired: s.Retired}, nil
}

// thumbprint is the key id of a public key (RFC 7638).
func thumbprint(public *rsa.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("oauth: naming a signing key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// RotateKey makes a new signing key and retires the others. Those stay
// published until the last token they signed has expired.
func (a *Authority) RotateKey(ctx context.Context) error { return a.keys.rotate(ctx) }
