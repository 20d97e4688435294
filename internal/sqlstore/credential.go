package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

// Client implements oauth.Store.
func (s *Store) Client(ctx context.Context, appID uuid.UUID) (client *oauth.Client, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT content FROM client WHERE app_id = ?1", []any{appID[:]}, func(st Row) error {
			client = new(oauth.Client)
			return json.Unmarshal([]byte(st.ColumnText(0)), client)
		})
	})
	if err == nil && client == nil {
		err = fmt.Errorf("client %s: %w", appID, oauth.ErrNotFound)
	}
	return client, err
}

// PutClient implements oauth.Store.
func (s *Store) PutClient(ctx context.Context, client *oauth.Client) error {
	content, err := json.Marshal(client)
	if err != nil {
		return err
	}
	return s.db.write(ctx, func(c Conn) error {
		return query(c, "INSERT INTO client (app_id, content) VALUES (?1, ?2) ON CONFLICT (app_id) DO UPDATE SET content = excluded.content",
			[]any{client.AppID[:], string(content)}, nil)
	})
}

// Clients implements oauth.Store.
func (s *Store) Clients(ctx context.Context) (clients []*oauth.Client, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT content FROM client", nil, func(st Row) error {
			client := new(oauth.Client)
			clients = append(clients, client)
			return json.Unmarshal([]byte(st.ColumnText(0)), client)
		})
	})
	slices.SortStableFunc(clients, func(a, b *oauth.Client) int { return a.Created.Compare(b.Created) })
	return clients, err
}

// DeleteClient implements oauth.Store.
func (s *Store) DeleteClient(ctx context.Context, appID uuid.UUID) error {
	return s.db.write(ctx, func(c Conn) error {
		return query(c, "DELETE FROM client WHERE app_id = ?1", []any{appID[:]}, nil)
	})
}

// SigningKeys implements oauth.Store.
func (s *Store) SigningKeys(ctx context.Context) (keys []oauth.SigningKey, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT key_id, private, created, retired FROM signing_key ORDER BY created DESC, key_id", nil, func(st Row) error {
			k := oauth.SigningKey{KeyID: st.ColumnText(0), Private: Blob(st, 1), Created: micros(st, 2)}
			if st.ColumnInt64(3) != 0 {
				k.Retired = micros(st, 3)
			}
			keys = append(keys, k)
			return nil
		})
	})
	return keys, err
}

// PutSigningKey implements oauth.Store.
func (s *Store) PutSigningKey(ctx context.Context, k oauth.SigningKey) error {
	return s.db.write(ctx, func(c Conn) error {
		return query(c, `INSERT INTO signing_key (key_id, private, created, retired) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (key_id) DO UPDATE SET private = excluded.private, created = excluded.created, retired = excluded.retired`,
			[]any{k.KeyID, k.Private, k.Created.UnixMicro(), zeroMicro(k.Retired)}, nil)
	})
}

// DeleteSigningKey implements oauth.Store.
func (s *Store) DeleteSigningKey(ctx context.Context, id string) error {
	return s.db.write(ctx, func(c Conn) error {
		return query(c, "DELETE FROM signing_key WHERE key_id = ?1", []any{id}, nil)
	})
}

func zeroMicro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

var _ oauth.Store = (*Store)(nil)
