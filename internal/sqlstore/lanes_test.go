package sqlstore

import (
	"testing"
	"time"

	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
	"induct/internal/sqlstore/pgtest"
)

func TestPostgresLanes(t *testing.T) {
	provisiontest.TestLanes(t, func(t *testing.T) (a, b provision.Store) {
		url, o := pgtest.Database(t), PostgresOptions{Connections: 4, Lanes: 8, Lease: 3 * time.Second}
		return openPostgres(t, url, o), openPostgres(t, url, o)
	})
}
