package provision_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"induct/internal/provision"
	"induct/internal/sqlstore/pgtest"
)

// newShared returns an engine with an active job on PostgreSQL.
func newShared(t *testing.T) *engine {
	t.Helper()
	p := newProcess(t, pgtest.Database(t))
	e := &engine{t: t, Service: p.Service, users: p.users}
	app, err := e.CreateApp(t.Context(), "HR")
	if err != nil {
		t.Fatal(err)
	}
	if e.job, err = e.CreateJob(t.Context(), "API2AAD", app.ServicePrincipalID); err != nil {
		t.Fatal(err)
	}
	if err := e.StartJob(t.Context(), e.job.PK); err != nil {
		t.Fatal(err)
	}
	return e
}

// noise is a text of n characters that does not become much less when it is compressed.
func noise(n int) string {
	random, b := rand.New(rand.NewPCG(1, 2)), make([]rune, n)
	for i := range b {
		b[i] = rune('a' + random.IntN(26) + 0x400*random.IntN(2))
	}
	return string(b)
}

// A record that a database cannot store as it is comes to an end by itself, and keeps nobody else from theirs.
func TestOddTexts(t *testing.T) {
	long := noise(20_000)
	odd := map[string]m{
		"NUL in externalId":    person("n\x00l", m{"userName": "nul1@old.example"}),
		"NUL in a name":        person("1", m{"displayName": "N\x00l"}),
		"NUL in userName":      person("2", m{"userName": "n\x00l@old.example"}),
		"NUL in a reference":   person("3", reportsTo("b\x00ss")),
		"NUL in a path":        person("4", m{"n\x00l": 1}),
		"long externalId":      person("5"+long, m{"userName": "long5@old.example"}),
		"long name":            person("6", m{"displayName": long}),
		"long userName":        person("7", m{"userName": long + "@old.example"}),
		"long reference":       person("8", reportsTo(long)),
		"long path":            person("9", m{long: 1}),
		"long path of schema":  person("10", m{"urn:" + long: m{"a": 1}}),
		"no Unicode character": person("11\xff\xfe", m{"userName": "u11@old.example", "displayName": "\xff"}),
	}
	for name, open := range map[string]func(*testing.T) *engine{"SQLite": newEngine, "PostgreSQL": newShared} {
		t.Run(name, func(t *testing.T) {
			e := open(t)
			n := 0
			for what, record := range odd {
				n++
				other := person(fmt.Sprint("beside ", what), m{"userName": fmt.Sprintf("beside%d@old.example", n)})
				_, first := e.upload(record, other)
				record["title"] = "changed"
				_, second := e.upload(record, other)
				delete(record, "title")
				if first[1].End != provision.EndCreated || second[1].End != provision.EndUnchanged {
					t.Errorf("%s: who came with it is %s, then %s: %+v", what, first[1].End, second[1].End, first[1].Entry)
				}
				if what == "no Unicode character" { // no client can send it: that it ends is enough
					continue
				}
				if a, b := first[0].End, second[0].End; a == provision.EndCreated && b != provision.EndUpdated || a != provision.EndCreated && a != provision.EndFailed {
					t.Errorf("%s: %s, then %s: %+v", what, a, b, second[0].Entry)
				}
			}
		})
	}
}
