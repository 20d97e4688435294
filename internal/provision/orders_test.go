package provision_test

import (
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

// Three processes work on one job while it is restarted, purged, paused, re-evaluated, decided about and unlinked by way of all of them. What
// is counted is what there is, and no record ends twice.
func TestOrdersAtOnce(t *testing.T) {
	const people, uploads, each = 24, 60, 10
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
	stop := make(chan struct{})
	var orders sync.WaitGroup
	for i, p := range all {
		random := rand.New(rand.NewPCG(5, uint64(i)))
		orders.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				if err := order(t, p, job, random, people); err != nil && !errors.Is(err, provision.ErrNotFound) && !errors.Is(err, provision.ErrBusy) && !errors.Is(err, provision.ErrRunning) && !errors.Is(err, provision.ErrTaken) {
					t.Error(err)
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(6, 7))
	for n := range uploads {
		var records []m
		for range each {
			who := random.IntN(people)
			record := person(fmt.Sprint(who), m{"title": fmt.Sprint("v", n), "active": random.IntN(3) > 0})
			if boss := random.IntN(people); boss != who {
				record[enterprise] = reportsTo(fmt.Sprint(boss))[enterprise]
			}
			records = append(records, record)
		}
		e := &engine{t: t, Service: all[n%3].Service, job: job}
		e.accept(records...)
		time.Sleep(30 * time.Millisecond)
	}
	close(stop)
	orders.Wait()
	for deadline := time.Now().Add(100 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		_, decided := a.Decide(t.Context(), job.PK, true, nil)
		err := errors.Join(decided, a.StartJob(t.Context(), job.PK))
		js, err2 := a.JobStatus(t.Context(), job.PK)
		if err := errors.Join(err, err2); err != nil && !errors.Is(err, provision.ErrBusy) {
			t.Fatal(err)
		}
		if js.Queued == 0 && js.Held == 0 && js.Retrying == 0 && !js.CycleEnded.IsZero() && (js.Reevaluation == nil || !js.Reevaluation.Ended.IsZero()) && js.Condition.Unlink == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job does not come to its end: %+v", js)
		}
	}
	pg, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(t.Context())
	checkCounts(t, pg, uploads*each)
	e := &engine{t: t, Service: a.Service, job: job}
	once := map[string]bool{}
	for _, entry := range e.log(provision.LogQuery{JobPK: job.PK, Limit: 100_000, Ascending: true, Hidden: true}) {
		key := fmt.Sprint(entry.Upload, " ", entry.Index)
		if entry.Upload > 0 && !entry.Ref && entry.End.Final() {
			if once[key] {
				t.Errorf("record %s ends twice: %+v", key, entry)
			}
			once[key] = true
		}
	}
	t.Logf("%d records ended, %s were purged in the queue", len(once), ask(t, pg, "SELECT coalesce(sum(operations), 0) FROM upload WHERE purge IS NOT NULL"))
}

// order gives a job some order.
func order(t *testing.T, p *process, job *provision.Job, random *rand.Rand, people int) (err error) {
	ctx, who := t.Context(), fmt.Sprint(random.IntN(people))
	limit := int64(random.IntN(6) - 1)
	switch n := random.IntN(40); {
	case n < 4:
		_, err = p.ProvisionOnDemand(ctx, job.PK, who)
	case n < 6:
		err = p.SetSettings(ctx, job.PK, provision.JobSettings{DeleteThreshold: &limit})
	case n < 8:
		err = p.Reevaluate(ctx, job.PK)
	case n < 10:
		err = p.PauseJob(ctx, job.PK)
	case n < 24:
		err = p.StartJob(ctx, job.PK)
	case n < 25:
		_, err = p.RestartJob(ctx, job.PK, []provision.ResetScope{provision.ResetFull, provision.ResetEscrows, provision.ResetForceDeletes, provision.ResetConnectorDataStore}[random.IntN(4)])
	case n < 29:
		_, err = p.Decide(ctx, job.PK, random.IntN(2) == 0, nil)
	case n < 37:
		_, err = p.Decide(ctx, job.PK, random.IntN(2) == 0, []string{who})
	default:
		err = p.Disconnect(ctx, job.PK, who)
	}
	return err
}

// checkCounts compares what is counted of the only job with what there is.
func checkCounts(t *testing.T, pg *pgconn.PgConn, records int) {
	t.Helper()
	for what, texts := range map[string][2]string{
		"taken":            {"SELECT taken FROM progress", "SELECT accepted FROM job"},
		"accepted":         {"SELECT accepted FROM job", fmt.Sprintf("SELECT %d", records)},
		"linked":           {"SELECT linked FROM progress", "SELECT count(object) FROM person"},
		"enabled":          {"SELECT enabled FROM progress", "SELECT count(*) FROM person WHERE enabled = 1"},
		"held":             {"SELECT held FROM progress", "SELECT count(*) FROM pending WHERE kind = 1"},
		"staged":           {"SELECT staged FROM progress", "SELECT count(*) FROM pending WHERE kind = 1 AND staged = 1"},
		"retrying":         {"SELECT retrying FROM progress", "SELECT count(*) FROM pending WHERE kind = 2"},
		"tallies":          {"SELECT sum(records) FROM tally WHERE cycle = 0", fmt.Sprintf("SELECT %d", records)},
		"log":              {"SELECT seq FROM log_head", "SELECT sum(last - first + 1) FROM log_block"},
		"bodies":           {"SELECT count(*) FROM upload_body b JOIN upload u ON u.job = b.job AND u.number = b.number WHERE purge IS NULL", "SELECT 0"},
		"ready references": {"SELECT count(*) FROM reference WHERE ready = 1", "SELECT 0"},
		"unsettled":        {"SELECT count(*) FROM upload WHERE settled IS NULL", "SELECT 0"},
		"counts":           {"SELECT count(*) FROM upload u WHERE operations <> (SELECT coalesce(sum(CAST(value AS bigint)), 0) FROM json_each_text(CAST(u.counts AS json)))", "SELECT 0"},
		"doubled people":   {"SELECT count(*) FROM (SELECT anchor FROM person GROUP BY job, anchor HAVING count(*) > 1) d", "SELECT 0"},
		"pending kinds":    {"SELECT count(*) FROM person p LEFT JOIN pending q ON q.person = p.pk WHERE p.pending IN (1, 2) AND q.kind IS DISTINCT FROM p.pending", "SELECT 0"},
	} {
		if got, want := ask(t, pg, texts[0]), ask(t, pg, texts[1]); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
}
