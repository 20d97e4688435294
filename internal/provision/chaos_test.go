package provision_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"induct/internal/provision"
	"induct/internal/sqlstore/pgtest"
)

// ask runs a statement that answers one text.
func ask(t *testing.T, pg *pgconn.PgConn, text string) string {
	t.Helper()
	results, err := pg.Exec(context.Background(), text).ReadAll()
	if err != nil {
		t.Errorf("%s: %v", text, err)
		return ""
	}
	if last := results[len(results)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0])
	}
	return ""
}

// Three processes work on one job while connections of theirs are cut in the middle of whatever they do. Everything that was accepted ends
// once, nobody is there twice, and what is counted is what there is.
func TestConnectionsCut(t *testing.T) {
	const people, uploads, each = 30, 60, 10
	url := pgtest.Database(t)
	all := []*process{newProcess(t, url), newProcess(t, url), newProcess(t, url)}
	a := all[0]
	app, err := a.CreateApp(t.Context(), "HR")
	if err != nil {
		t.Fatal(err)
	}
	job, err := a.CreateJob(t.Context(), "API2AAD", app.ServicePrincipalID)
	if err == nil {
		err = a.StartJob(t.Context(), job.PK)
	}
	if err != nil {
		t.Fatal(err)
	}
	pg, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(context.Background())
	stop := make(chan struct{})
	var cutter sync.WaitGroup
	cutter.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(30 * time.Millisecond):
				ask(t, pg, "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) picked")
			}
		}
	})
	random := rand.New(rand.NewPCG(3, 4))
	latest := map[int]string{}
	var accepted []provision.Accepted
	for n := range uploads {
		u := provision.Upload{Job: job, ClientRequestID: fmt.Sprint("request ", n)}
		for i := range each {
			who, title := random.IntN(people), fmt.Sprint("v", n)
			record := person(fmt.Sprint(who), m{"title": title, "active": random.IntN(10) > 0})
			if boss := random.IntN(people); boss != who {
				record[enterprise] = reportsTo(fmt.Sprint(boss))[enterprise]
			}
			data, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			u.Operations = append(u.Operations, provision.Operation{BulkID: fmt.Sprint("b", i), Anchor: fmt.Sprint(who), Data: data})
			latest[who] = title
		}
		u.BodyHash = sha256.Sum256([]byte(u.ClientRequestID))
		for attempt := 0; ; attempt++ {
			acc, err := all[(n+attempt)%len(all)].Accept(t.Context(), u)
			if err == nil {
				accepted = append(accepted, acc)
				break
			}
			if !errors.Is(err, provision.ErrUnavailable) && !errors.Is(err, provision.ErrFenced) {
				t.Fatalf("upload %d: %v", n, err)
			}
		}
	}
	close(stop)
	cutter.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	for i, acc := range accepted {
		if acc.Number != int64(i+1) {
			t.Errorf("upload %d has number %d", i+1, acc.Number)
		}
		st, err := a.WaitUpload(ctx, job.PK, acc.ID, provision.UploadSettled)
		for errors.Is(err, provision.ErrUnavailable) { // a connection that was cut in the pool
			st, err = a.WaitUpload(ctx, job.PK, acc.ID, provision.UploadSettled)
		}
		if err != nil || st.State != provision.UploadSettled {
			t.Fatalf("upload %d: %+v, %v", acc.Number, st, err)
		}
	}
	e := &engine{t: t, Service: a.Service, job: job, users: a.users}
	once := map[string]bool{}
	last := map[string]provision.LogEntry{}
	for _, entry := range e.log(provision.LogQuery{JobPK: job.PK, Limit: 100_000, Ascending: true, Hidden: true}) {
		if entry.Upload <= 0 || entry.Ref || !entry.End.Final() {
			continue
		}
		key := fmt.Sprint(entry.Upload, " ", entry.Index)
		if once[key] {
			t.Errorf("record %s ends twice: %+v", key, entry)
		}
		once[key] = true
		if was := last[entry.Anchor]; entry.End != provision.EndSuperseded && (entry.Upload < was.Upload || entry.Upload == was.Upload && entry.Index < was.Index) {
			t.Errorf("upload %d, record %d of person %s comes after upload %d, record %d", entry.Upload, entry.Index, entry.Anchor, was.Upload, was.Index)
		}
		last[entry.Anchor] = entry
	}
	if len(once) != uploads*each {
		t.Errorf("%d records have ended, of %d", len(once), uploads*each)
	}
	for who, title := range latest {
		if got := e.attr(fmt.Sprintf("u%d@acme.example", who), "jobTitle"); got != title {
			t.Errorf("person %d has jobTitle %s, sent last was %s", who, got, title)
		}
	}
	checkCounts(t, pg, uploads*each)
	for what, text := range map[string]string{"accounts": "SELECT count(*) FROM users", "people": "SELECT count(*) FROM person"} {
		if got := ask(t, pg, text); got != fmt.Sprint(len(latest)) {
			t.Errorf("%s: %s, want %d", what, got, len(latest))
		}
	}
}
