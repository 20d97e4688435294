package sqlstore

import (
	"testing"
	"time"

	"induct/internal/oauth"
	"induct/internal/oauth/oauthtest"
	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
	"induct/internal/sqlstore/pgtest"
)

// freshPostgres returns a store in a database of its own.
func freshPostgres(t *testing.T) *Store {
	t.Helper()
	return openPostgres(t, pgtest.Database(t), PostgresOptions{})
}

func openPostgres(t *testing.T, url string, o PostgresOptions) *Store {
	t.Helper()
	if o.Connections == 0 {
		o.Connections = 8
	}
	s, err := OpenPostgres(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestPostgresStore(t *testing.T) {
	provisiontest.TestStore(t, func(t *testing.T) provision.Store {
		s := freshPostgres(t)
		return s
	})
}

func TestPostgresCredentials(t *testing.T) {
	oauthtest.TestStore(t, func() oauth.Store { return freshPostgres(t) })
}

var _ = time.Second
