package sqlstore

import (
	"context"
	"crypto/sha256"
	"time"

	"induct/internal/oauth"
)

// Failures implements oauth.Store.
func (s *Store) Failures(ctx context.Context, origins ...[sha256.Size]byte) (all []oauth.Tally, err error) {
	all = make([]oauth.Tally, len(origins))
	err = s.read(ctx, func(c Conn) error {
		for i, o := range origins {
			err := query(c, "SELECT failures, since FROM failure WHERE origin = ?1", []any{o[:]}, func(st Row) error {
				all[i] = oauth.Tally{Count: st.ColumnInt(0), Since: micros(st, 1)}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// AddFailures implements oauth.Store. Each count is one statement, so that several processes lose none.
func (s *Store) AddFailures(ctx context.Context, now time.Time, window time.Duration, origins ...[sha256.Size]byte) error {
	over := now.Add(-window).UnixMicro()
	err := s.db.write(ctx, func(c Conn) error {
		for _, o := range origins {
			err := query(c, `INSERT INTO failure (origin, failures, since) VALUES (?1, 1, ?2) ON CONFLICT (origin) DO UPDATE SET
				failures = CASE WHEN failure.since <= ?3 THEN 1 ELSE failure.failures + 1 END,
				since = CASE WHEN failure.since <= ?3 THEN excluded.since ELSE failure.since END`, []any{o[:], now.UnixMicro(), over}, nil)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Apart, because it locks rows in no order.
	return s.db.write(ctx, func(c Conn) error { return query(c, "DELETE FROM failure WHERE since <= ?1", []any{over}, nil) })
}

// ForgetFailures implements oauth.Store.
func (s *Store) ForgetFailures(ctx context.Context, origin [sha256.Size]byte) error {
	return s.db.write(ctx, func(c Conn) error { return query(c, "DELETE FROM failure WHERE origin = ?1", []any{origin[:]}, nil) })
}
