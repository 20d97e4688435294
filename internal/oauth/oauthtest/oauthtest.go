// Package oauthtest has an oauth.Store in memory, and the test that every
// oauth.Store has to pass.
package oauthtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// Store is an oauth.Store in memory. The zero Store is empty and ready for use.
type Store struct {
	mu       sync.Mutex
	clients  map[uuid.UUID]*oauth.Client
	keys     []oauth.SigningKey
	accounts []oauth.Account
	tickets  []oauth.Ticket
	failures map[[sha256.Size]byte]oauth.Tally
	locks    map[string]chan struct{} // full while it is held
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

// Account implements oauth.Store.
func (s *Store) Account(ctx context.Context, id uuid.UUID) (*oauth.Account, error) {
	return s.account(ctx, func(a oauth.Account) bool { return a.ObjectID == id })
}

// AccountNamed implements oauth.Store.
func (s *Store) AccountNamed(ctx context.Context, upn string) (*oauth.Account, error) {
	return s.account(ctx, func(a oauth.Account) bool { return upn != "" && a.UPN == upn })
}

func (s *Store) account(ctx context.Context, is func(oauth.Account) bool) (*oauth.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.accounts, is)
	if i < 0 {
		return nil, oauth.ErrNotFound
	}
	a := s.accounts[i]
	a.Roles = slices.Clone(a.Roles)
	return &a, nil
}

// Accounts implements oauth.Store.
func (s *Store) Accounts(ctx context.Context) (all []*oauth.Account, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		a.Roles = slices.Clone(a.Roles)
		all = append(all, &a)
	}
	return all, ctx.Err()
}

// PutAccount implements oauth.Store.
func (s *Store) PutAccount(ctx context.Context, a *oauth.Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.accounts, func(o oauth.Account) bool { return o.ObjectID != a.ObjectID && a.UPN != "" && o.UPN == a.UPN }) {
		return errors.New("oauthtest: two accounts have one UPN")
	}
	c := *a
	c.Roles = slices.Clone(a.Roles)
	s.accounts = append(slices.DeleteFunc(s.accounts, func(o oauth.Account) bool { return o.ObjectID == a.ObjectID }), c)
	slices.SortStableFunc(s.accounts, func(a, b oauth.Account) int { return a.Created.Compare(b.Created) })
	return ctx.Err()
}

// PutTicket implements oauth.Store.
func (s *Store) PutTicket(ctx context.Context, t oauth.Ticket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.Parent != nil && !slices.ContainsFunc(s.tickets, func(o oauth.Ticket) bool { return o.Hash == *t.Parent }) {
		return oauth.ErrNotFound
	}
	s.tickets = slices.DeleteFunc(s.tickets, func(o oauth.Ticket) bool { return o.Expires.Before(t.Issued) })
	t.Content = bytes.Clone(t.Content)
	s.tickets = append(s.tickets, t)
	return ctx.Err()
}

// Ticket implements oauth.Store.
func (s *Store) Ticket(ctx context.Context, hash [sha256.Size]byte) (*oauth.Ticket, error) {
	return s.ticket(ctx, hash, func(*oauth.Ticket) {})
}

// UseTicket implements oauth.Store.
func (s *Store) UseTicket(ctx context.Context, hash [sha256.Size]byte, now time.Time) (*oauth.Ticket, error) {
	return s.ticket(ctx, hash, func(t *oauth.Ticket) {
		if t.Used.IsZero() {
			t.Used = now
		}
	})
}

func (s *Store) ticket(ctx context.Context, hash [sha256.Size]byte, change func(*oauth.Ticket)) (*oauth.Ticket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.tickets, func(t oauth.Ticket) bool { return t.Hash == hash })
	if i < 0 {
		return nil, oauth.ErrNotFound
	}
	t := s.tickets[i]
	t.Content = bytes.Clone(t.Content)
	change(&s.tickets[i])
	return &t, nil
}

// DeleteTickets implements oauth.Store.
func (s *Store) DeleteTickets(ctx context.Context, family uuid.UUID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickets = slices.DeleteFunc(s.tickets, func(t oauth.Ticket) bool { return t.Family == family })
	return ctx.Err()
}

// DeleteTicketsOf implements oauth.Store.
func (s *Store) DeleteTicketsOf(ctx context.Context, person uuid.UUID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickets = slices.DeleteFunc(s.tickets, func(t oauth.Ticket) bool { return t.Person == person })
	return ctx.Err()
}

// Failures implements oauth.Store.
func (s *Store) Failures(ctx context.Context, origins ...[sha256.Size]byte) ([]oauth.Tally, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]oauth.Tally, len(origins))
	for i, o := range origins {
		all[i] = s.failures[o]
	}
	return all, ctx.Err()
}

// AddFailures implements oauth.Store.
func (s *Store) AddFailures(ctx context.Context, now time.Time, window time.Duration, origins ...[sha256.Size]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures == nil {
		s.failures = make(map[[sha256.Size]byte]oauth.Tally)
	}
	for _, o := range origins {
		t := s.failures[o]
		if t.Count == 0 || now.Sub(t.Since) >= window {
			t = oauth.Tally{Since: now}
		}
		t.Count++
		s.failures[o] = t
	}
	return ctx.Err()
}

// ForgetFailures implements oauth.Store.
func (s *Store) ForgetFailures(ctx context.Context, origin [sha256.Size]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failures, origin)
	return ctx.Err()
}

// Lock implements oauth.Store.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	s.mu.Lock()
	held := s.locks[name]
	if held == nil {
		if s.locks == nil {
			s.locks = make(map[string]chan struct{})
		}
		held = make(chan struct{}, 1)
		s.locks[name] = held
	}
	s.mu.Unlock()
	select {
	case held <- struct{}{}:
		return sync.OnceFunc(func() { <-held }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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
	t.Run("accounts", func(t *testing.T) { testAccounts(t, open()) })
	t.Run("tickets", func(t *testing.T) { testTickets(t, open()) })
	t.Run("tickets of an ended family", func(t *testing.T) { testParent(t, open()) })
	t.Run("failures", func(t *testing.T) { testFailures(t, open()) })
	t.Run("locks", func(t *testing.T) { s := open(); testLocks(t, s, s) })
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

func testAccounts(t *testing.T, s oauth.Store) {
	ctx := t.Context()
	a := &oauth.Account{ObjectID: uuid.New(), UPN: "admin@x.example", DisplayName: "Ada", Password: "$argon2id$…", Roles: []string{"r"}, Created: start}
	b := &oauth.Account{ObjectID: uuid.New(), Password: "x", Disabled: true, Created: start.Add(time.Second)}
	c := &oauth.Account{ObjectID: uuid.New(), Created: start.Add(2 * time.Second)} // a second one without UPN
	for _, x := range []*oauth.Account{b, a, c} {
		if err := s.PutAccount(ctx, x); err != nil {
			t.Fatal(err)
		}
	}
	same := func(got, want *oauth.Account) bool {
		return got.ObjectID == want.ObjectID && got.UPN == want.UPN && got.DisplayName == want.DisplayName && got.Password == want.Password &&
			slices.Equal(got.Roles, want.Roles) && got.Disabled == want.Disabled && got.Created.Equal(want.Created)
	}
	for _, want := range []*oauth.Account{a, b} {
		if got, err := s.Account(ctx, want.ObjectID); err != nil || !same(got, want) {
			t.Errorf("account %+v, %v; want %+v", got, err, want)
		}
	}
	if got, err := s.AccountNamed(ctx, a.UPN); err != nil || !same(got, a) {
		t.Errorf("named: %+v, %v", got, err)
	}
	for _, name := range []string{"", "nobody@x.example"} {
		if _, err := s.AccountNamed(ctx, name); !errors.Is(err, oauth.ErrNotFound) {
			t.Errorf("named %q: %v", name, err)
		}
	}
	if _, err := s.Account(ctx, uuid.New()); !errors.Is(err, oauth.ErrNotFound) {
		t.Errorf("no such account: %v", err)
	}
	b.Password, b.Disabled = "y", false
	if err := s.PutAccount(ctx, b); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Accounts(ctx); err != nil || len(all) != 3 || !same(all[0], a) || !same(all[1], b) {
		t.Errorf("accounts %v, %v", all, err)
	}
	if err := s.PutAccount(ctx, &oauth.Account{ObjectID: uuid.New(), UPN: a.UPN}); err == nil {
		t.Error("two accounts have one UPN")
	}
}

func testTickets(t *testing.T, s oauth.Store) {
	ctx := t.Context()
	ticket := func(name string) oauth.Ticket {
		return oauth.Ticket{Hash: sha256.Sum256([]byte(name)), Kind: "code", Family: uuid.New(), Person: uuid.New(), Issued: start, Expires: start.Add(time.Minute), Content: []byte(`{"a":1}`)}
	}
	a, b, old := ticket("a"), ticket("b"), ticket("old")
	old.Expires = start.Add(-time.Second)
	b.Family = a.Family
	for _, x := range []oauth.Ticket{old, a, b} {
		if err := s.PutTicket(ctx, x); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(x oauth.Ticket, why string) {
		t.Helper()
		_, err := s.Ticket(ctx, x.Hash)
		_, err2 := s.UseTicket(ctx, x.Hash, start)
		if !errors.Is(err, oauth.ErrNotFound) || !errors.Is(err2, oauth.ErrNotFound) {
			t.Errorf("%s: %v, %v", why, err, err2)
		}
	}
	gone(old, "expired before the next was issued")
	got, err := s.Ticket(ctx, a.Hash)
	if err != nil || got.Hash != a.Hash || got.Kind != a.Kind || got.Family != a.Family || got.Person != a.Person || !got.Issued.Equal(a.Issued) ||
		!got.Expires.Equal(a.Expires) || !got.Used.IsZero() || string(got.Content) != string(a.Content) {
		t.Errorf("ticket %+v, %v; want %+v", got, err, a)
	}
	var unused atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := s.UseTicket(ctx, a.Hash, start.Add(time.Second)); err != nil {
				t.Error(err)
			} else if got.Used.IsZero() {
				unused.Add(1)
			}
		})
	}
	wg.Wait()
	if got, err := s.UseTicket(ctx, a.Hash, start.Add(time.Hour)); err != nil || !got.Used.Equal(start.Add(time.Second)) || unused.Load() != 1 {
		t.Errorf("%d callers got it unused; now %+v, %v", unused.Load(), got, err)
	}
	c := ticket("c")
	if err := errors.Join(s.PutTicket(ctx, c), s.DeleteTickets(ctx, a.Family)); err != nil {
		t.Fatal(err)
	}
	gone(a, "its family")
	gone(b, "its family")
	if _, err := s.Ticket(ctx, c.Hash); err != nil {
		t.Error(err)
	}
	if err := s.DeleteTicketsOf(ctx, c.Person); err != nil {
		t.Fatal(err)
	}
	gone(c, "its person")
}

// A ticket that is put for another one is not there without it, whatever ends the other's family at the same moment.
func testParent(t *testing.T, s oauth.Store) {
	ctx := t.Context()
	for i := range 20 {
		ticket := func(name string) oauth.Ticket {
			return oauth.Ticket{Hash: sha256.Sum256(fmt.Append(nil, name, i)), Kind: "refresh", Issued: start, Expires: start.Add(time.Minute), Content: []byte("{}")}
		}
		parent, child := ticket("parent"), ticket("child")
		parent.Family, parent.Person = uuid.New(), uuid.New()
		child.Family, child.Person, child.Parent = parent.Family, parent.Person, &parent.Hash
		if err := s.PutTicket(ctx, parent); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.PutTicket(ctx, child); err != nil && !errors.Is(err, oauth.ErrNotFound) {
				t.Error(err)
			}
		})
		wg.Go(func() {
			end, of := s.DeleteTickets, parent.Family
			if i%2 == 1 {
				end, of = s.DeleteTicketsOf, parent.Person
			}
			if err := end(ctx, of); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if _, err := s.Ticket(ctx, child.Hash); !errors.Is(err, oauth.ErrNotFound) {
			t.Fatalf("a ticket has outlived its family: %v", err)
		}
		if err := s.PutTicket(ctx, child); !errors.Is(err, oauth.ErrNotFound) {
			t.Fatalf("a ticket was put for one that is gone: %v", err)
		}
	}
}

func testFailures(t *testing.T, s oauth.Store) {
	ctx, window := t.Context(), time.Minute
	a, b := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	want := func(countA, countB int, since time.Time) {
		t.Helper()
		got, err := s.Failures(ctx, a, b)
		if err != nil || len(got) != 2 || got[0].Count != countA || got[1].Count != countB || countA > 0 && !got[0].Since.Equal(since) {
			t.Errorf("got %+v, %v; want %d since %v, and %d", got, err, countA, since, countB)
		}
	}
	want(0, 0, start)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := s.AddFailures(ctx, start, window, a, b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want(20, 20, start)
	if err := errors.Join(s.AddFailures(ctx, start.Add(-2*time.Second), window, a), s.ForgetFailures(ctx, b)); err != nil { // by a clock that goes behind
		t.Fatal(err)
	}
	want(21, 0, start)
	if err := s.AddFailures(ctx, start.Add(window), window, a); err != nil {
		t.Fatal(err)
	}
	want(1, 0, start.Add(window))
}

// testLocks checks that of those who lock a name on two stores, which may be one, or those of two processes with one
// database, one at a time has it.
func testLocks(t *testing.T, stores ...oauth.Store) {
	ctx := t.Context()
	var holders, most atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			unlock, err := stores[i%len(stores)].Lock(ctx, "a")
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			if n := holders.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Millisecond)
			holders.Add(-1)
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d held the lock at once", most.Load())
	}
	unlock, err := stores[0].Lock(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := stores[len(stores)-1].Lock(ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := stores[len(stores)-1].Lock(short, "a"); err == nil {
		t.Fatal("the lock was had twice")
	}
	unlock()
	unlock() // is harmless
	if unlock, err = stores[len(stores)-1].Lock(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	unlock()
}

// TestShared checks what oauth.Store promises to several processes: that two stores on one empty database see and exclude
// each other.
func TestShared(t *testing.T, a, b oauth.Store) {
	t.Run("locks", func(t *testing.T) { testLocks(t, a, b) })
	t.Run("failures", func(t *testing.T) {
		origin := sha256.Sum256([]byte("a"))
		var wg sync.WaitGroup
		for _, s := range []oauth.Store{a, b} {
			for range 20 {
				wg.Go(func() {
					if err := s.AddFailures(t.Context(), start, time.Minute, origin); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if got, err := a.Failures(t.Context(), origin); err != nil || got[0].Count != 40 {
			t.Errorf("counted %+v, %v; want 40", got, err)
		}
	})
	t.Run("a ticket is used once", func(t *testing.T) {
		for i := range 20 {
			x := oauth.Ticket{Hash: sha256.Sum256(fmt.Append(nil, i)), Kind: "code", Issued: start, Expires: start.Add(time.Minute), Content: []byte("{}")}
			if err := a.PutTicket(t.Context(), x); err != nil {
				t.Fatal(err)
			}
			var unused atomic.Int32
			var wg sync.WaitGroup
			for _, s := range []oauth.Store{a, b} {
				wg.Go(func() {
					if got, err := s.UseTicket(t.Context(), x.Hash, start); err != nil {
						t.Error(err)
					} else if got.Used.IsZero() {
						unused.Add(1)
					}
				})
			}
			wg.Wait()
			if unused.Load() != 1 {
				t.Fatalf("%d have used it first", unused.Load())
			}
		}
	})
	t.Run("tickets of an ended family", func(t *testing.T) { testParent(t, pair{a, b}) })
}

// pair is two stores on one database: what ends tickets goes by the second.
type pair struct {
	oauth.Store
	second oauth.Store
}

// DeleteTickets implements oauth.Store.
func (p pair) DeleteTickets(ctx context.Context, family uuid.UUID) error {
	return p.second.DeleteTickets(ctx, family)
}

// DeleteTicketsOf implements oauth.Store.
func (p pair) DeleteTicketsOf(ctx context.Context, person uuid.UUID) error {
	return p.second.DeleteTicketsOf(ctx, person)
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
