package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// Account implements oauth.Store.
func (s *Store) Account(ctx context.Context, id uuid.UUID) (*oauth.Account, error) {
	return s.oneAccount(ctx, "id = ?1", id[:])
}

// AccountNamed implements oauth.Store.
func (s *Store) AccountNamed(ctx context.Context, upn string) (*oauth.Account, error) {
	return s.oneAccount(ctx, "upn = ?1", upn)
}

func (s *Store) oneAccount(ctx context.Context, where string, arg any) (*oauth.Account, error) {
	accounts, err := s.accounts(ctx, where, arg)
	if err == nil && len(accounts) == 0 {
		return nil, fmt.Errorf("account: %w", oauth.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return accounts[0], nil
}

// Accounts implements oauth.Store.
func (s *Store) Accounts(ctx context.Context) ([]*oauth.Account, error) {
	return s.accounts(ctx, "created IS NOT NULL")
}

func (s *Store) accounts(ctx context.Context, where string, args ...any) (accounts []*oauth.Account, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT content FROM account WHERE "+where+" ORDER BY created, id", args, func(st Row) error {
			a := new(oauth.Account)
			accounts = append(accounts, a)
			return json.Unmarshal([]byte(st.ColumnText(0)), a)
		})
	})
	return accounts, err
}

// PutAccount implements oauth.Store.
func (s *Store) PutAccount(ctx context.Context, a *oauth.Account) error {
	content, err := json.Marshal(a)
	if err != nil {
		return err
	}
	var upn any
	if a.UPN != "" {
		upn = a.UPN
	}
	return s.db.write(ctx, func(c Conn) error {
		return query(c, `INSERT INTO account (id, upn, created, content) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (id) DO UPDATE SET upn = excluded.upn, created = excluded.created, content = excluded.content`,
			[]any{a.ObjectID[:], upn, zeroMicro(a.Created), string(content)}, nil)
	})
}

// PutTicket implements oauth.Store.
func (s *Store) PutTicket(ctx context.Context, t oauth.Ticket) error {
	return s.db.write(ctx, func(c Conn) error {
		if t.Parent != nil {
			ended := true
			err := query(c, "UPDATE ticket SET used = used WHERE hash = ?1 RETURNING used", []any{t.Parent[:]}, func(Row) error { // locks it
				ended = false
				return nil
			})
			if err == nil && ended {
				err = fmt.Errorf("ticket: %w", oauth.ErrNotFound)
			}
			if err != nil {
				return err
			}
		}
		if err := query(c, "DELETE FROM ticket WHERE expires < ?1", []any{t.Issued.UnixMicro()}, nil); err != nil {
			return err
		}
		return query(c, "INSERT INTO ticket (hash, kind, family, person, issued, expires, used, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			[]any{t.Hash[:], t.Kind, t.Family[:], t.Person[:], t.Issued.UnixMicro(), t.Expires.UnixMicro(), zeroMicro(t.Used), t.Content}, nil)
	})
}

// Ticket implements oauth.Store.
func (s *Store) Ticket(ctx context.Context, hash [sha256.Size]byte) (t *oauth.Ticket, err error) {
	err = s.read(ctx, func(c Conn) error {
		t, err = ticket(c, hash, "")
		return err
	})
	return t, err
}

// UseTicket implements oauth.Store.
func (s *Store) UseTicket(ctx context.Context, hash [sha256.Size]byte, now time.Time) (t *oauth.Ticket, err error) {
	err = s.db.write(ctx, func(c Conn) error {
		if t, err = ticket(c, hash, " /*FOR UPDATE*/"); err != nil {
			return err
		}
		return query(c, "UPDATE ticket SET used = ?2 WHERE hash = ?1 AND used = 0", []any{hash[:], now.UnixMicro()}, nil)
	})
	return t, err
}

func ticket(c Conn, hash [sha256.Size]byte, lock string) (t *oauth.Ticket, err error) {
	err = query(c, "SELECT kind, family, person, issued, expires, used, content FROM ticket WHERE hash = ?1"+lock, []any{hash[:]}, func(st Row) error {
		t = &oauth.Ticket{Hash: hash, Kind: st.ColumnText(0), Issued: micros(st, 3), Expires: micros(st, 4), Content: Blob(st, 6)}
		copy(t.Family[:], Blob(st, 1))
		copy(t.Person[:], Blob(st, 2))
		if st.ColumnInt64(5) != 0 {
			t.Used = micros(st, 5)
		}
		return nil
	})
	if err == nil && t == nil {
		err = fmt.Errorf("ticket: %w", oauth.ErrNotFound)
	}
	return t, err
}

// DeleteTickets implements oauth.Store.
func (s *Store) DeleteTickets(ctx context.Context, family uuid.UUID) error {
	return s.deleteTickets(ctx, "DELETE FROM ticket WHERE family = ?1", family)
}

// DeleteTicketsOf implements oauth.Store.
func (s *Store) DeleteTicketsOf(ctx context.Context, person uuid.UUID) error {
	return s.deleteTickets(ctx, "DELETE FROM ticket WHERE person = ?1", person)
}

// deleteTickets deletes twice: the first time waits for whoever is putting one that descends from these, the second finds it.
func (s *Store) deleteTickets(ctx context.Context, text string, of uuid.UUID) error {
	return s.db.write(ctx, func(c Conn) error {
		if err := query(c, text, []any{of[:]}, nil); err != nil {
			return err
		}
		return query(c, text, []any{of[:]}, nil)
	})
}
