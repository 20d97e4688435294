package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/oauth"
	"induct/internal/oauth/oauthtest"
)

// replicas are authorities of one tenant on one store, as several processes have them.
func replicas(t *testing.T, store oauth.Store, now func() time.Time) [4]*oauth.Authority {
	t.Helper()
	var all [4]*oauth.Authority
	for i := range all {
		var err error
		if all[i], err = oauth.New(oauth.Config{Tenant: uuid.MustParse(tenant), Now: now}, store); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Processes that start on an empty store at once make one key; those that find it too old at once make one more. What one of them
// signs all verify at once, also those that looked for keys a moment before.
func TestReplicasHaveOneKey(t *testing.T) {
	store, now := oauthtest.NewStore(), start
	all := replicas(t, store, func() time.Time { return now })
	unknown := newWorld(t)
	foreign := unknown.token(t)
	each := func(do func(a *oauth.Authority) error) {
		t.Helper()
		var wg sync.WaitGroup
		for _, a := range all {
			wg.Go(func() {
				if err := do(a); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	each(func(a *oauth.Authority) error { // all have read that there is no key
		if _, err := a.Verify(t.Context(), foreign); !errors.Is(err, oauth.ErrTokenSignature) {
			return errors.Join(errors.New("a token of another store is accepted"), err)
		}
		return nil
	})
	keys := func(want int) {
		t.Helper()
		stored, err := store.SigningKeys(t.Context())
		if err != nil || len(stored) != want {
			t.Fatalf("%d keys, %v; want %d", len(stored), err, want)
		}
	}
	var rotations atomic.Int32
	rotate := func(a *oauth.Authority) error {
		rotated, err := a.RotateKeyAfter(t.Context(), 24*time.Hour)
		if rotated {
			rotations.Add(1)
		}
		return err
	}
	each(rotate)
	keys(1)
	unknown.store, unknown.Authority = store, all[0]
	if err := store.PutClient(t.Context(), unknown.client); err != nil {
		t.Fatal(err)
	}
	token := unknown.token(t)
	each(func(a *oauth.Authority) error { _, err := a.Verify(t.Context(), token); return err })
	now = now.Add(25 * time.Hour)
	each(rotate)
	keys(2)
	if rotations.Load() != 1 {
		t.Errorf("%d say that they have rotated the key", rotations.Load())
	}
}

// Key ids that are made up do not have the store read each time.
func TestUnknownKeysAreBounded(t *testing.T) {
	w, store := newWorld(t), &counting{Store: oauthtest.NewStore()}
	a := replicas(t, store, func() time.Time { return w.now })[0]
	token := w.token(t)
	for i := range 200 {
		if _, err := a.Verify(t.Context(), token); !errors.Is(err, oauth.ErrTokenSignature) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if n := store.reads.Load(); n > 20 {
		t.Errorf("%d reads for 200 tokens", n)
	}
}

// counting counts the reads of signing keys.
type counting struct {
	*oauthtest.Store
	reads atomic.Int32
}

// SigningKeys implements oauth.Store.
func (c *counting) SigningKeys(ctx context.Context) ([]oauth.SigningKey, error) {
	c.reads.Add(1)
	return c.Store.SigningKeys(ctx)
}

// Failures count wherever they are tried: who is held up by one process is by all.
func TestReplicasShareTheThrottle(t *testing.T) {
	c := newClub(t)
	first := c.Authority
	second, err := oauth.New(oauth.Config{Tenant: uuid.MustParse(tenant), Domains: []string{domain}, PublicURL: "https://" + host, Now: func() time.Time { return c.now },
		People: crowd{c.kim}}, c.store)
	if err != nil {
		t.Fatal(err)
	}
	b := c.browser()
	for i := range 10 {
		c.Authority = []*oauth.Authority{first, second}[i%2]
		if rec := b.signIn(t, c.query(), adminUPN, "wrong"); rec.Code != 401 {
			t.Fatalf("try %d: %d", i, rec.Code)
		}
	}
	for _, c.Authority = range []*oauth.Authority{first, second} {
		if rec := b.signIn(t, c.query(), adminUPN, password); rec.Code != 429 {
			t.Errorf("after ten failures: %d", rec.Code)
		}
	}
	c.now = c.now.Add(15 * time.Minute)
	if rec := b.signIn(t, c.query(), adminUPN, password); rec.Code != 303 {
		t.Errorf("a quarter of an hour later: %d", rec.Code)
	}
}

// Each process prints a link for the first administrator; of those that are followed at once one makes it.
func TestReplicasMakeOneAdministrator(t *testing.T) {
	c := newClub(t)
	if err := c.SetRoles(t.Context(), adminUPN, nil); err != nil {
		t.Fatal(err)
	}
	var codes [4]atomic.Int32
	var wg sync.WaitGroup
	for i, a := range replicas(t, c.store, func() time.Time { return c.now }) {
		link, err := a.FirstAdministratorLink(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := c.browser()
		f := fields(b.get(t, link, nil))
		for name, value := range map[string]string{"username": fmt.Sprintf("admin%d@x.example", i), "password": password, "again": password} {
			f.Set(name, value)
		}
		wg.Go(func() { codes[i].Store(int32(b.post(t, link, f).Code)) })
	}
	wg.Wait()
	made := 0
	for i := range codes {
		if codes[i].Load() == 303 {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d administrators were made", made)
	}
}
