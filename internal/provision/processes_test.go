package provision_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/directory"
	"induct/internal/provision"
	"induct/internal/sqlstore"
	"induct/internal/sqlstore/pgtest"
)

// process is a service with a store of its own, among others on the same database.
type process struct {
	*provision.Service
	users *directory.Directory
	seen  func() int64 // records of the batches that it has committed
	end   func()
}

func newProcess(t *testing.T, url string) *process {
	t.Helper()
	store, err := sqlstore.OpenPostgres(t.Context(), url, sqlstore.PostgresOptions{Connections: 6, Lanes: 8, Lease: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{users: directory.New(store)}
	var mu sync.Mutex
	records := int64(0)
	p.seen = func() int64 { mu.Lock(); defer mu.Unlock(); return records }
	p.Service, err = provision.NewService(t.Context(), provision.Config{Store: store, Target: p.users, WithoutMail: true, Logger: slog.New(slog.DiscardHandler),
		Tenant:  provision.Tenant{ID: uuid.MustParse("b16687d3-8faf-42ad-b298-92cdcaf01c6e"), DefaultDomain: "acme.example"},
		Observe: func(b provision.Batch) { mu.Lock(); records += int64(b.Records); mu.Unlock() }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	p.end = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.end)
	return p
}

// Processes that share a database work on one job together, take orders about it at the same time, and come and go. Each record
// ends once, in the order of its person; what was sent last is what the directory shows.
func TestProcesses(t *testing.T) {
	const people, uploads, each = 40, 60, 12
	url := pgtest.Database(t)
	a, b := newProcess(t, url), newProcess(t, url)
	app, err := a.CreateApp(t.Context(), "HR")
	if err != nil {
		t.Fatal(err)
	}
	job, err := b.CreateJob(t.Context(), "API2AAD", app.ServicePrincipalID) // of an app that only the other has made
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Job(t.Context(), job.ID); err != nil {
		t.Fatalf("a job that another process has made: %v", err)
	}
	if err := a.StartJob(t.Context(), job.PK); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	e := &engine{t: t, Service: a.Service, job: job, users: a.users}
	latest := map[int]string{}
	var accepted []provision.Accepted
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() { bother(t, []*process{a, b}, job, stop) })
	for n := range uploads {
		var records []m
		for range each {
			who, title := random.IntN(people), fmt.Sprint("v", n)
			records = append(records, person(fmt.Sprint(who), m{"title": title, "active": random.IntN(20) > 0}))
			if boss := random.IntN(people); boss != who {
				records[len(records)-1][enterprise] = reportsTo(fmt.Sprint(boss))[enterprise]
			}
			latest[who] = title
		}
		e.Service = []*process{a, b}[n%2].Service
		accepted = append(accepted, e.accept(records...))
	}
	close(stop)
	others.Wait()
	c := newProcess(t, url)
	a.end() // its lanes are taken over
	e.Service, e.users = c.Service, c.users
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	for _, acc := range accepted {
		st, err := c.WaitUpload(ctx, job.PK, acc.ID, provision.UploadSettled)
		if err != nil || st.State != provision.UploadSettled {
			t.Fatalf("upload %d: %+v, %v", acc.Number, st, err)
		}
		receipts, err := c.Receipts(ctx, job.PK, acc.Number, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		counts := map[provision.End]int{}
		for i, r := range receipts {
			if counts[r.End]++; r.Entry == nil || r.BulkID != fmt.Sprint("b", i) {
				t.Errorf("upload %d, record %d: %+v", acc.Number, i, r)
			}
		}
		if fmt.Sprint(counts) != fmt.Sprint(st.Counts) || len(receipts) != each {
			t.Errorf("upload %d counts %v, and its receipts %v", acc.Number, st.Counts, counts)
		}
	}
	once := map[string]bool{}
	for _, entry := range e.log(provision.LogQuery{JobPK: job.PK, Limit: 100_000}) {
		key := fmt.Sprint(entry.Upload, " ", entry.Index)
		if entry.Upload > 0 && !entry.Ref && once[key] && entry.End.Final() && entry.Code != "Superseded" {
			t.Errorf("record %s ends twice: %+v", key, entry)
		}
		once[key] = once[key] || !entry.Ref && entry.End.Final()
	}
	for who, title := range latest {
		if got := e.attr(fmt.Sprintf("u%d@acme.example", who), "jobTitle"); got != title {
			t.Errorf("person %d has jobTitle %s, sent last was %s", who, got, title)
		}
	}
	js, err := c.JobStatus(ctx, job.PK)
	if err != nil || js.Queued != 0 || js.Users != int64(len(latest)) || js.Held != 0 || js.Retrying != 0 {
		t.Errorf("the job says %+v, %v", js, err)
	}
	sum := int64(0)
	for _, n := range js.TotalCounts {
		sum += n
	}
	if sum != uploads*each {
		t.Errorf("%d records ended, of %d: %v", sum, uploads*each, js.TotalCounts)
	}
	t.Logf("records of batches: %d, %d, %d", a.seen(), b.seen(), c.seen())
}

// bother gives orders about a job to one process and the other until it is to stop.
func bother(t *testing.T, all []*process, job *provision.Job, stop <-chan struct{}) {
	limit := int64(-1)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		p := all[i%len(all)]
		var err error
		switch i % 5 {
		case 0:
			_, err = p.ProvisionOnDemand(t.Context(), job.PK, fmt.Sprint(i%40))
		case 1:
			err = p.SetSettings(t.Context(), job.PK, provision.JobSettings{DeleteThreshold: &limit, Other: []provision.KeyValue{{Key: "n", Value: fmt.Sprint(i)}}})
		case 2:
			err = p.Reevaluate(t.Context(), job.PK)
		case 3:
			err = p.PauseJob(t.Context(), job.PK)
		case 4:
			err = p.StartJob(t.Context(), job.PK)
		}
		if err != nil && !errors.Is(err, provision.ErrNotFound) && !errors.Is(err, provision.ErrBusy) {
			t.Errorf("order %d: %v", i, err)
		}
	}
}
