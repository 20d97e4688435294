package provision_test

import (
	"log/slog"
	"testing"
	"time"

	"induct/internal/expr"
	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
	"induct/internal/sqlstore"
)

// TestOnDemandEntry holds that who asks for one person is answered with the entry that the log has of it.
func TestOnDemandEntry(t *testing.T) {
	e := newEngine(t)
	e.upload(person("1", nil), person("2", nil))
	for _, subject := range []string{"2", e.user("u2@acme.example").ID} {
		done, err := e.ProvisionOnDemand(t.Context(), e.job.PK, subject)
		if err != nil {
			t.Fatal(err)
		}
		newest := e.log(provision.LogQuery{Limit: 1})[0]
		if got := done.Entry; got.Seq != newest.Seq || !got.Time.Equal(newest.Time) || got.Anchor != "2" || got.End != newest.End {
			t.Errorf("%s: %+v, and the log says %+v", subject, got, newest)
		}
	}
}

// A person who is provisioned on demand and has to be tried again is of no upload: the last one had its end.
func TestOnDemandIsTriedAgain(t *testing.T) {
	store, err := sqlstore.Open(t.Context(), t.TempDir(), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	target := provisiontest.NewMemory()
	s, err := provision.NewService(t.Context(), provision.Config{Store: store, Target: target, WithoutMail: true, Logger: slog.New(slog.DiscardHandler),
		Tenant: provision.Tenant{DefaultDomain: "acme.example"}})
	if err != nil {
		t.Fatal(err)
	}
	app, err := s.CreateApp(t.Context(), "HR")
	if err != nil {
		t.Fatal(err)
	}
	job, err := s.CreateJob(t.Context(), "API2AAD", app.ServicePrincipalID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StartJob(t.Context(), job.PK); err != nil {
		t.Fatal(err)
	}
	send := func(text string) provision.Accepted {
		t.Helper()
		a, err := s.Accept(t.Context(), provision.Upload{Job: job, Received: time.Now(), Operations: []provision.Operation{{BulkID: "b", Anchor: "1", Data: []byte(text)}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := send(`{"externalId":"1","userName":"u1@acme.example","displayName":"Person 1","active":true}`)
	p, err := s.Connection(t.Context(), job.PK, "1")
	if err != nil {
		t.Fatal(err)
	}
	rs, err := target.Apply(t.Context(), []provision.Change{{ID: p.ObjectID, Version: p.Version, Set: []provision.Assignment{{Attribute: "displayName", Value: expr.Text("Somebody")}}}})
	if err != nil || rs[0].Err != nil {
		t.Fatal(rs, err)
	}
	target.Refuse("displayName", &provision.TargetError{Code: "Busy", Retryable: true})
	if done, err := s.ProvisionOnDemand(t.Context(), job.PK, "1"); err != nil || done.Entry.End != provision.EndRetrying {
		t.Fatalf("on demand: %+v, %v", done, err)
	}
	if page, err := s.Pending(t.Context(), job.PK, provision.PendingQuery{}); err != nil || len(page.Records) != 1 || page.Records[0].Upload != 0 {
		t.Errorf("pending are %+v, %v", page, err)
	}
	target.Refuse("displayName", nil)
	send(`{"externalId":"1","userName":"u1@acme.example","displayName":"Person One","active":true}`)
	us, err := store.UploadStatus(t.Context(), job.PK, first.ID)
	if err != nil || us.Counts[provision.EndCreated] != 1 || us.State != provision.UploadSettled {
		t.Errorf("the upload is %+v, %v", us, err)
	}
}
