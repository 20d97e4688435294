//go:build unix

package faults

import (
	"path/filepath"
	"testing"
	"time"
)

// A process on the embedded store that is killed at any moment, also while it starts, loses nothing and does nothing twice.
func TestEmbeddedKilled(t *testing.T) {
	t.Parallel()
	s := install(t, "--data", filepath.Join(t.TempDir(), "data"))
	s.start(1)
	l := s.newLoad(150)
	l.begin(6)
	for range long(t, 20) {
		time.Sleep(20*time.Millisecond + l.moment(300*time.Millisecond))
		s.running()[0].kill()
		if l.intn(4) == 0 {
			r := s.launch()
			time.Sleep(l.moment(60 * time.Millisecond))
			r.kill()
		}
		s.start(1)
	}
	l.end()
	l.judge()
}
