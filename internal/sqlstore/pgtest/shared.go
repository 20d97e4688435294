package pgtest

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// T is what Database needs of a *testing.T: programs that measure use this package, too, and do not link testing.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(func())
}

// shared is the cluster of a test process; it ends with the process.
var (
	shared = sync.OnceValues(func() (*Server, error) { return Start("") })
	last   atomic.Int64
)

// Database makes an empty database for t, on a cluster that all tests of the process share, and returns its URL. It is
// dropped when t ends. A test that stops or kills the server starts one of its own.
func Database(t T) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("%v", err)
	}
	name := fmt.Sprint("test", last.Add(1))
	if err := s.CreateDatabase(name); err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := s.DropDatabase(name); err != nil {
			t.Errorf("%v", err)
		}
	})
	return s.URL(name)
}
