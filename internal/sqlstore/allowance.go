package sqlstore

import (
	"context"
	"sync/atomic"
	"time"
)

// allowances is when old ones were dropped last, in microseconds.
type allowances struct{ swept atomic.Int64 }

const sweepAllowances = time.Minute

// Allowance has spend change what has been used of limits that all processes on the database share. spend gets the state of each
// name, empty if there is none, and the time by the clock that they share; what it leaves there is stored. Nobody else changes
// any of them meanwhile; all who name several name them in the same order. spend may be called again, after what it did came to
// nothing. A state may be forgotten when nobody has named it for life.
func (s *Store) Allowance(ctx context.Context, life time.Duration, names []string, spend func(now time.Time, states [][]byte)) error {
	var now time.Time
	err := s.db.write(ctx, func(c Conn) error {
		states := make([][]byte, len(names))
		for i, name := range names { // an update, if of nothing, because it locks the row
			err := query(c, `INSERT INTO allowance (name, state, expires) VALUES (?1, ?2, 0)
				ON CONFLICT (name) DO UPDATE SET expires = allowance.expires RETURNING state`, []any{name, []byte{}}, func(st Row) error {
				states[i] = Blob(st, 0)
				return nil
			})
			if err != nil {
				return err
			}
		}
		var err error
		if now, err = s.clock(c); err != nil { // after the locks, so that it does not go back between two who change a state
			return err
		}
		spend(now, states)
		for i, name := range names {
			if states[i] == nil {
				states[i] = []byte{}
			}
			err := query(c, "UPDATE allowance SET state = ?2, expires = ?3 WHERE name = ?1", []any{name, states[i], now.Add(life).UnixMicro()}, nil)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if last := s.allowances.swept.Load(); now.UnixMicro()-last >= sweepAllowances.Microseconds() && s.allowances.swept.CompareAndSwap(last, now.UnixMicro()) {
		return s.db.write(ctx, func(c Conn) error {
			return query(c, "DELETE FROM allowance WHERE expires < ?1", []any{now.UnixMicro()}, nil)
		})
	}
	return nil
}

// clock is the time by the clock that all processes on the database share.
func (s *Store) clock(c Conn) (now time.Time, err error) {
	if s.pg == nil {
		return s.now(), nil
	}
	err = query(c, "SELECT "+micro, nil, func(st Row) error {
		now = micros(st, 0)
		return nil
	})
	return now, err
}
