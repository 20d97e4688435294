package sqlstore

import (
	"context"
	"time"
)

// Write runs fn in one transaction that belongs to no job, for the room that keeps its tables here: what an
// administrator does, and what time does. All that fn does becomes durable together, or nothing does; fn is run once.
// Only Conn, Now, Keyed, File, Unfile and AfterCommit of its Unit may be used.
func (s *Store) Write(ctx context.Context, fn func(*Unit) error) error {
	u := &Unit{s: s, saw: map[int64][]pgKey{}}
	// A large piece, because one transaction stages the keys of one Unit, and because fn may have effects in memory.
	return s.db.writeOnce(ctx, func(c Conn) error {
		u.conn = c
		if err := fn(u); err != nil || len(u.pending.list) == 0 {
			return err
		}
		if s.pg != nil {
			return u.flushKeys()
		}
		return s.keys.write(c, &u.pending)
	}, func() {
		if s.pg == nil && len(u.pending.list) > 0 {
			s.keys.publish(&u.pending)
		}
		for _, f := range u.after {
			f()
		}
	})
}

// Shared reports whether other processes may write the database, too: what is remembered of it may be old then.
func (s *Store) Shared() bool { return s.pg != nil }

// Shared is Store.Shared.
func (u *Unit) Shared() bool { return u.s.pg != nil }

// Now returns the store's clock.
func (s *Store) Now() time.Time { return s.now() }
