package directory

import (
	"testing"

	"induct/internal/mapping"
	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
	"induct/internal/sqlstore"
)

// open returns a directory in a store of its own, and a target that changes it.
func open(t *testing.T) (*Directory, provision.Target) {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), t.TempDir(), sqlstore.Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	j := &provision.Job{ID: "API2AAD.t.1", State: provision.JobActive, Schema: &mapping.Schema{}}
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
