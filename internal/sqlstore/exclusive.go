package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// Lock waits until nobody else holds the lock of that name, in this process or in another one on the same database, and holds
// it until unlock is called or the process ends. It is for what is rare: a change that reads rows, decides, and writes them. A
// name is not to be locked twice by one caller. An error is ctx's, or that the database cannot be reached.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	here, err := s.locks.lock(ctx, name) // first, so that a process needs one connection for those who wait
	if err != nil || s.pg == nil {
		return here, err
	}
	there, err := s.pg.lock(ctx, name)
	if err != nil {
		here()
		return nil, err
	}
	return sync.OnceFunc(func() { there(); here() }), nil
}

// How long a lock of the server is waited for at most, and held by a process that stands still.
const (
	lockWait = 30 * time.Second
	lockIdle = time.Minute
)

// lock takes an advisory lock, which ends with its transaction: when unlock is called, when the process ends, or after lockIdle.
func (p *postgres) lock(ctx context.Context, name string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, classifyPG(err)
	}
	pg := conn.Conn().PgConn()
	sum := sha256.Sum256([]byte("induct " + name))
	text := fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = %d; SELECT pg_advisory_xact_lock(%d)",
		lockIdle.Milliseconds(), int64(binary.BigEndian.Uint64(sum[:])))
	if _, err := pg.Exec(ctx, text).ReadAll(); err != nil {
		conn.Release() // pgx closes one that is in a transaction
		return nil, classifyPG(err)
	}
	return func() {
		end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := pg.Exec(end, "ROLLBACK").ReadAll(); err != nil {
			pg.Close(end)
		}
		conn.Release()
	}, nil
}

// locks are those of this process. The zero value has none.
type locks struct {
	mu    sync.Mutex
	names map[string]chan struct{} // full while it is held
}

func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	l.mu.Lock()
	held := l.names[name]
	if held == nil {
		if l.names == nil {
			l.names = map[string]chan struct{}{}
		}
		held = make(chan struct{}, 1)
		l.names[name] = held
	}
	l.mu.Unlock()
	select {
	case held <- struct{}{}:
		return sync.OnceFunc(func() { <-held }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// PutSettingOnce sets a fact about the installation that is decided once, and returns what holds: value, or what was set
// before, be it by another process at the same moment.
func (s *Store) PutSettingOnce(ctx context.Context, name, value string) (holds string, err error) {
	err = s.db.write(ctx, func(c Conn) error {
		// In this order: who comes second waits until the first has committed, and then reads what that has written.
		if err := query(c, "INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING", []any{name, value}, nil); err != nil {
			return err
		}
		return query(c, "SELECT value FROM setting WHERE name = ?1", []any{name}, func(st Row) error {
			holds = st.ColumnText(0)
			return nil
		})
	})
	return holds, err
}
