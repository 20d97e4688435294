package directory

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"induct/internal/mapping"
	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
	"induct/internal/sqlstore"
)

// open returns a directory in a store of its own, and a target that changes it.
func open(t *testing.T) (*Directory, provision.Target) {
	t.Helper()
	d, target := openWith(t, t.TempDir(), sqlstore.Options{ReserveBytes: -1})
	t.Cleanup(func() {
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, target
}

// openWith is open in a directory that the test names; it closes the store itself.
func openWith(t *testing.T, dir string, o sqlstore.Options) (*Directory, provision.Target) {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	j := &provision.Job{ID: fmt.Sprint("API2AAD.t.", uuid.New()), State: provision.JobActive, Schema: &mapping.Schema{}}
	if err := s.PutJob(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	d := New(s)
	return d, provisiontest.Alone(s, j.PK, d)
}

func TestTarget(t *testing.T) {
	provisiontest.TestTarget(t, func(t *testing.T) provision.Target {
		_, target := open(t)
		return target
	})
}
