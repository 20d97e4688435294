package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"induct/internal/directory"
	"induct/internal/graph"
	"induct/internal/metrics"
	"induct/internal/provision"
	"induct/internal/sqlstore"
	"induct/internal/sqlstore/pgtest"
)

// replica is a service on a database that others share. Its engine does not run: that is tested elsewhere.
func replica(t *testing.T, database string) (*server, error) {
	s := &server{settings: settings{log: quiet(), publicURL: "https://induct.example", domain: defaultDomain}, base: "http://127.0.0.1:1"}
	store, err := sqlstore.OpenPostgres(t.Context(), database, sqlstore.PostgresOptions{Connections: 8})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { store.Close() })
	s.store, s.users = store, directory.New(store)
	if s.tenant, err = loadTenant(t.Context(), store, s.domain); err == nil {
		s.authority, err = s.newAuthority()
	}
	if err == nil {
		s.service, err = provision.NewService(t.Context(), provision.Config{Store: store, Target: s.users, Tenant: s.tenant, WithoutMail: true, Logger: s.log})
	}
	if err != nil {
		return nil, err
	}
	s.metrics = metrics.New(metrics.Config{Engine: s.service, Store: watched{store}, Version: version})
	wire := graph.New(graph.Config{Service: struct {
		*provision.Service
		*directory.Directory
	}{s.service, s.users}, Apps: store, Tokens: s.authority, PublicURL: s.publicURL, Logger: s.log,
		Limits: graph.Limits{Name: "test", Requests: 40, Window: time.Minute, Daily: 1000}, Allowances: store})
	authority := s.authority.Handler()
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/oauth2/") {
			authority.ServeHTTP(w, r)
			return
		}
		wire.ServeHTTP(w, r)
	})
	return s, nil
}

// caller is a client of several replicas.
type caller struct {
	token string
	turn  atomic.Int64
	all   []*server
}

// at sends a request to a replica.
func (c *caller) at(s *server, method, path, kind, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://induct.example"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	return rec
}

// next sends a request to the next replica, as a load balancer does.
func (c *caller) next(method, path, kind, body string) *httptest.ResponseRecorder {
	return c.at(c.all[int(c.turn.Add(1))%len(c.all)], method, path, kind, body)
}

// Replicas that have started together on an empty database are one service: a tenant, an app that one of them has made, a token that
// one of them has issued, limits, and changes that come in at any of them at the same moment.
func TestReplicasAreOneService(t *testing.T) {
	database := pgtest.Database(t)
	var all [3]*server
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			var err error
			if all[i], err = replica(t, database); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, s := range all[1:] {
		if s.tenant.ID != all[0].tenant.ID || s.tenant.DefaultDomain != all[0].tenant.DefaultDomain {
			t.Fatalf("two tenants: %+v and %+v", s.tenant, all[0].tenant)
		}
	}
	made, err := all[0].makeApp(t.Context(), "HR", "", everyRole(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{all: all[:]}
	var answer struct {
		Token string `json:"access_token"`
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {made.ClientID}, "client_secret": {made.ClientSecret}, "scope": {"https://graph.microsoft.com/.default"}}
	rec := c.at(all[1], "POST", "/"+made.TenantID+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form.Encode())
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || rec.Code != 200 {
		t.Fatalf("token: %d %s", rec.Code, rec.Body)
	}
	c.token = answer.Token
	job := "/v1.0/servicePrincipals/" + made.SPID + "/synchronization/jobs/" + made.JobID
	t.Run("limits", func(t *testing.T) { c.limits(t, job) })
	t.Run("registrations", func(t *testing.T) { c.registrations(t) })
	t.Run("settings", func(t *testing.T) { c.settings(t, job) })
}

func (c *caller) limits(t *testing.T, job string) {
	const body = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[{"method":"POST","bulkId":"1","path":"/Users","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"%d"}}]}`
	var codes [600]atomic.Int32
	var wg sync.WaitGroup
	for i := range 90 {
		wg.Go(func() {
			codes[c.next("POST", job+"/bulkUpload", "application/scim+json", fmt.Sprintf(body, i)).Code].Add(1)
		})
	}
	wg.Wait()
	if accepted, refused := codes[202].Load(), codes[429].Load(); accepted != 40 || refused != 50 {
		t.Errorf("%d uploads were accepted and %d were too many; want 40 and 50", accepted, refused)
	}
}

// Of changes to one app that come to several processes at once none is lost.
func (c *caller) registrations(t *testing.T) {
	rec := c.next("POST", "/v1.0/applications", "application/json", `{"displayName":"One"}`)
	var app struct{ ID string }
	if err := json.Unmarshal(rec.Body.Bytes(), &app); err != nil || rec.Code != 201 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	var wg sync.WaitGroup
	for i := range 18 {
		wg.Go(func() {
			rec := c.next("POST", "/v1.0/applications/"+app.ID+"/addPassword", "application/json", fmt.Sprintf(`{"passwordCredential":{"displayName":"%d"}}`, i))
			if rec.Code != 200 {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
	wg.Wait()
	for _, s := range c.all {
		rec := c.at(s, "GET", "/v1.0/applications/"+app.ID, "application/json", "")
		if n := strings.Count(rec.Body.String(), `"secretText"`); n != 18 {
			t.Errorf("%d secrets are left of 18: %s", n, rec.Body)
		}
	}
}

// What one process has changed of a job another one shows at once, and neither undoes it.
func (c *caller) settings(t *testing.T, job string) {
	for i := range 6 {
		state := []string{"Disabled", "Active"}[i%2]
		if rec := c.next("PATCH", job, "application/json", `{"schedule":{"state":"`+state+`"}}`); rec.Code/100 != 2 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		for _, s := range c.all {
			if rec := c.at(s, "GET", job, "application/json", ""); !strings.Contains(rec.Body.String(), `"state":"`+state+`"`) {
				t.Errorf("%s is not shown: %s", state, rec.Body)
			}
		}
	}
	version := func(s *server) string {
		var schema struct{ Version string }
		rec := c.at(s, "GET", job+"/schema", "application/json", "")
		if err := json.Unmarshal(rec.Body.Bytes(), &schema); err != nil || rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		return schema.Version
	}
	before := version(c.all[0])
	text := c.at(c.all[0], "GET", job+"/schema", "application/json", "").Body.String()
	if rec := c.at(c.all[1], "PUT", job+"/schema", "application/json", text); rec.Code != 204 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	after := version(c.all[1])
	for _, s := range c.all {
		if v := version(s); v != after {
			t.Errorf("the schema's version is %s in one process and %s in another (it was %s)", after, v, before)
		}
	}
}
