//go:build unix

package sqlstore

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

// lockFile takes an exclusive lock that the system releases when the process ends, however it ends.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, err
	}
	return f.Close, nil
}

// spaceGauge remembers for a second how much space is free.
type spaceGauge struct {
	mu   sync.Mutex
	read time.Time
	free int64
}

// freeBytes returns the space that an unprivileged process may still use in dir's file system.
func (g *spaceGauge) freeBytes(dir string) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.read) < time.Second {
		return g.free, nil
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	g.read, g.free = time.Now(), int64(st.Bavail)*int64(st.Bsize)
	return g.free, nil
}
