package sqlstore

import (
	"context"
	"sync"
)

// Lock waits until nobody else holds the lock of that name, in this process or in another one on the same database, and holds
// it until unlock is called or the process ends. It is for what is rare: a change that reads rows, decides, and writes them. A
// name is not to be locked twice by one caller. An error is ctx's, or that the database cannot be reached.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	return s.locks.lock(ctx, name) // one process has the file
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
	err = s.w.do(ctx, func(c Conn) error {
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
