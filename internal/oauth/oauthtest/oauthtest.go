// Package oauthtest has an oauth.Store in memory, and the test that every
// oauth.Store has to pass.
package oauthtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// Store is an oauth.Store in memory. The zero Store is empty and ready for use.
type Store struct {
	mu      sync.Mutex
	clients map[uuid.UUID]*oauth.Client
	keys    []oauth.SigningKey
}

// NewStore returns an empty store.
func NewStore() *Store { return new(Store) }

// Client implements oauth.Store.
func (s *Store) Client(ctx context.Context, appID uuid.UUID) (*oauth.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, ok := s.clients[appID]
	if !ok {
		return nil, oauth.ErrNotFound
	}
	return clone(c), nil
}

// PutClient implements oauth.Store.
func (s *Store) PutClient(ctx context.Context, c *oauth.Client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.clients == nil {
		s.clients = make(map[uuid.UUID]*oauth.Client)
	}
	s.clients[c.AppID] = clone(c)
	return nil
}

// Clients implements oauth.Store.
func (s *Store) Clients(ctx context.Context) ([]*oauth.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var all []*oauth.Client
	for _, c := range s.clients {
		all = append(all, clone(c))
	}
	slices.SortFunc(all, func(a, b *oauth.Client) int {
		return cmp.Or(a.Created.Compare(b.Created), bytes.Compare(a.AppID[:], b.AppID[:]))
	})
	return all, nil
}

// DeleteClient implements oauth.Store.
func (s *Store) DeleteClient(ctx context.Context, appID uuid.UUID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, appID)
	return ctx.Err()
}

// SigningKeys implements oauth.Store.
func (s *Store) SigningKeys(ctx context.Context) ([]oauth.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	keys := slices.Clone(s.keys)
	for i := range keys {
		keys[i].Private = bytes.Clone(keys[i].Private)
	}
	return keys, nil
}

// PutSigningKey implements oauth.Store.
func (s *Store) PutSigningKey(ctx context.Context, k oauth.SigningKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	k.Private = bytes.Clone(k.Private)
	s.keys = slices.DeleteFunc(s.keys, func(o oauth.SigningKey) bool { return o.KeyID == k.KeyID })
	s.keys = append(s.keys, k)
	slices.SortStableFunc(s.keys, func(a, b oauth.SigningKey) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.KeyID, b.KeyID))
	})
	return nil
}

// DeleteSigningKey implements oauth.Store.
func (s *Store) DeleteSigningKey(ctx context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = slices.DeleteFunc(s.keys, func(o oauth.SigningKey) bool { return o.KeyID == id })
	return ctx.Err()
}

// clone copies a client as a store that writes JSON would.
func clone(c *oauth.Client) *oauth.Client {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	d := new(oauth.Client)
	if err := json.Unmarshal(text, d); err != nil {
		panic(err)
	}
	return d
}

// TestStore checks that the stores which open makes, each of them empty, do
// what oauth.Store promises.
func TestStore(t *testing.T, open func() oauth.Store) {
	t.Run("no such client", func(t *testing.T) {
		if _, err := open().Client(t.Context(), uuid.New()); !errors.Is(err, oauth.ErrNotFound) {
			t.Errorf("error %v, want ErrNotFound", err)
		}
	})
	t.Run("clients", func(t *testing.T) { testClients(t, open()) })
	t.Run("a client is the store's own copy", func(t *testing.T) { testCopy(t, open()) })
	t.Run("signing keys", func(t *testing.T) { testKeys(t, open()) })
	t.Run("concurrent use", func(t *testing.T) { testConcurrent(t, open()) })
}

// start is in whole milliseconds, which is as exact as a store has to be.
var start = time.Date(2026, 8, 20, 10, 0, 0, 123e6, time.UTC)

func sample() *oauth.Client {
	return &oauth.Client{
		AppID: uuid.New(), ObjectID: uuid.New(), DisplayName: "Zażółć \"HR\" feed",
		Roles: []string{"SynchronizationData-User.Upload", "AuditLog.Read.All"},
		Secrets: []oauth.Secret{
			{KeyID: uuid.New(), Hash: oauth.HashSecret("one"), Hint: "one", Created: start, Expires: start.Add(time.Hour)},
			{KeyID: uuid.New(), Hash: []byte{0, 0xff, '\n', 0}, Hint: "two", Created: start.Add(time.Minute)},
		},
	}
}

func testClients(t *testing.T, s oauth.Store) {
	a, b := sample(), &oauth.Client{AppID: uuid.New(), ObjectID: uuid.New()}
	put(t, s, a)
	put(t, s, b)
	wantClient(t, s, a)
	wantClient(t, s, b)
	a.DisplayName, a.Roles, a.Secrets = "renamed", a.Roles[:1], a.Secrets[1:]
	put(t, s, a)
	wantClient(t, s, a)
	a.Roles, a.Secrets = nil, nil
	put(t, s, a)
	wantClient(t, s, a)
	wantClient(t, s, b)
}

func testCopy(t *testing.T, s oauth.Store) {
	a := sample()
	put(t, s, a)
	want := clone(a)
	a.Roles[0], a.Secrets[0].Hash[0] = "changed", ^a.Secrets[0].Hash[0]
	got, err := s.Client(t.Context(), a.AppID)
	if err != nil {
		t.Fatal(err)
	}
	got.Roles[0] = "changed"
	wantClient(t, s, want)
}

func testKeys(t *testing.T, s oauth.Store) {
	wantKeys(t, s)
	old := oauth.SigningKey{KeyID: "old", Private: []byte{1, 0, 2}, Created: start}
	mid := oauth.SigningKey{KeyID: "mid", Private: []byte{3}, Created: start.Add(time.Hour)}
	young := oauth.SigningKey{KeyID: "young", Private: []byte{4}, Created: start.Add(2 * time.Hour)}
	for _, k := range []oauth.SigningKey{mid, young, old} {
		putKey(t, s, k)
	}
	wantKeys(t, s, young, mid, old)
	mid.Retired = start.Add(3 * time.Hour)
	putKey(t, s, mid)
	wantKeys(t, s, young, mid, old)
	for range 2 { // the second time there is none
		if err := s.DeleteSigningKey(t.Context(), old.KeyID); err != nil {
			t.Error(err)
		}
	}
	wantKeys(t, s, young, mid)
}

func testConcurrent(t *testing.T, s oauth.Store) {
	c := sample()
	put(t, s, c)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			k := oauth.SigningKey{KeyID: fmt.Sprint(i), Private: []byte{byte(i)}, Created: start.Add(time.Duration(i) * time.Second)}
			if err := errors.Join(s.PutClient(t.Context(), c), s.PutSigningKey(t.Context(), k)); err != nil {
				t.Error(err)
			}
			if _, err := s.Client(t.Context(), c.AppID); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantClient(t, s, c)
	if keys, err := s.SigningKeys(t.Context()); err != nil || len(keys) != 8 {
		t.Errorf("%d keys, error %v; want 8", len(keys), err)
	}
}

func put(t *testing.T, s oauth.Store, c *oauth.Client) {
	t.Helper()
	if err := s.PutClient(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func putKey(t *testing.T, s oauth.Store, k oauth.SigningKey) {
	t.Helper()
	if err := s.PutSigningKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
}

func wantClient(t *testing.T, s oauth.Store, want *oauth.Client) {
	t.Helper()
	got, err := s.Client(t.Context(), want.AppID)
	if err != nil {
		t.Fatal(err)
	}
	same := got.AppID == want.AppID && got.ObjectID == want.ObjectID && got.DisplayName == want.DisplayName &&
		slices.Equal(got.Roles, want.Roles) && slices.EqualFunc(got.Secrets, want.Secrets, sameSecret)
	if !same {
		t.Errorf("client is\n%+v, want\n%+v", got, want)
	}
}

func sameSecret(a, b oauth.Secret) bool {
	return a.KeyID == b.KeyID && bytes.Equal(a.Hash, b.Hash) && a.Hint == b.Hint &&
		a.Created.Equal(b.Created) && a.Expires.Equal(b.Expires) && a.Expires.IsZero() == b.Expires.IsZero()
}

func wantKeys(t *testing.T, s oauth.Store, want ...oauth.SigningKey) {
	t.Helper()
	got, err := s.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, sameKey) {
		t.Errorf("keys are\n%+v, want\n%+v", got, want)
	}
}

func sameKey(a, b oauth.SigningKey) bool {
	return a.KeyID == b.KeyID && bytes.Equal(a.Private, b.Private) && a.Created.Equal(b.Created) &&
		a.Retired.Equal(b.Retired) && a.Retired.IsZero() == b.Retired.IsZero()
}
