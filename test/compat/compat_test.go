// Package compat runs clients that others keep, unmodified, against the real binary. It is a module of its own, so
// that what they need is not what Induct needs.
package compat

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	kiotaauth "github.com/microsoft/kiota-authentication-azure-go"
	nethttp "github.com/microsoft/kiota-http-go"
	msgraph "github.com/microsoftgraph/msgraph-sdk-go"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"
	"github.com/microsoftgraph/msgraph-sdk-go/auditlogs"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/users"
)

// service is `induct serve --dev --tls local`, as an integrator's CI starts it.
type service struct {
	env  map[string]string
	http *http.Client // trusts CA_FILE
	stop func()
	out  output
}

// output is what the service prints, which may be read while it runs.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// binary builds the program.
func binary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "induct")
	build := exec.Command("go", "build", "-o", bin, "./cmd/induct")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

func start(t *testing.T, args ...string) *service {
	t.Helper()
	env := filepath.Join(t.TempDir(), "env")
	p := exec.Command(binary(t), append([]string{"serve", "--dev", "--tls", "local", "--listen", "127.0.0.1:0", "--env-file", env}, args...)...)
	s := &service{env: map[string]string{}}
	p.Stdout, p.Stderr = &s.out, os.Stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	s.stop = sync.OnceFunc(func() { p.Process.Signal(syscall.SIGTERM); p.Wait() })
	t.Cleanup(s.stop)
	deadline := time.Now().Add(30 * time.Second)
	for {
		if b, err := os.ReadFile(env); err == nil {
			for line := range strings.Lines(string(b)) {
				k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
				s.env[k] = v
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the service did not start")
		}
		time.Sleep(20 * time.Millisecond)
	}
	pem, err := os.ReadFile(s.env["CA_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	s.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return s
}

// credential is azidentity's own, pointed at the service as its documentation says for a private cloud.
func (s *service) credential(t *testing.T) azcore.TokenCredential {
	t.Helper()
	host := strings.TrimSuffix(s.env["AUTHORITY"], s.env["TENANT_ID"])
	c, err := azidentity.NewClientSecretCredential(s.env["TENANT_ID"], s.env["CLIENT_ID"], s.env["CLIENT_SECRET"],
		&azidentity.ClientSecretCredentialOptions{DisableInstanceDiscovery: true,
			ClientOptions: policy.ClientOptions{Transport: s.http, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: host}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *service) upload(t *testing.T, cred azcore.TokenCredential, people ...map[string]any) {
	t.Helper()
	tok, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	ops := []any{}
	for i, p := range people {
		ops = append(ops, map[string]any{"method": "POST", "bulkId": fmt.Sprint(i), "path": "/Users", "data": p})
	}
	body, err := json.Marshal(map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, "Operations": ops})
	if err != nil {
		t.Fatal(err)
	}
	job := s.env["GRAPH_BASE"] + "/servicePrincipals/" + s.env["SP_ID"] + "/synchronization/jobs/" + s.env["JOB_ID"]
	res := s.do(t, tok.Token, "POST", job+"/bulkUpload", body)
	if res.StatusCode != http.StatusAccepted {
		t.Fatal(res.Status)
	}
	id := res.Header.Get("x-induct-upload-id")
	if res = s.do(t, tok.Token, "GET", job+"/uploads/"+id+"?waitFor=settled&timeout=20", nil); res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
}

func (s *service) do(t *testing.T, token, method, url string, body []byte) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/scim+json")
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res
}

// sdk is the official Graph SDK with its own middleware: it compresses bodies, retries and follows redirects.
func (s *service) sdk(t *testing.T, cred azcore.TokenCredential) *msgraph.GraphServiceClient {
	t.Helper()
	host := strings.TrimPrefix(strings.TrimSuffix(s.env["GRAPH_BASE"], "/v1.0"), "https://")
	name, _, _ := strings.Cut(host, ":")
	provider, err := kiotaauth.NewAzureIdentityAuthenticationProviderWithScopesAndValidHosts(cred, []string{"https://graph.microsoft.com/.default"}, []string{name, host})
	if err != nil {
		t.Fatal(err)
	}
	options := msgraph.GetDefaultClientOptions()
	client := &http.Client{Transport: nethttp.NewCustomTransportWithParentTransport(s.http.Transport, core.GetDefaultMiddlewaresWithOptions(&options)...)}
	adapter, err := msgraph.NewGraphRequestAdapterWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(provider, nil, nil, client)
	if err != nil {
		t.Fatal(err)
	}
	adapter.SetBaseUrl(s.env["GRAPH_BASE"])
	return msgraph.NewGraphServiceClient(adapter)
}

func TestGraphSDK(t *testing.T) {
	s := start(t)
	cred := s.credential(t)
	var people []map[string]any
	for i := range 7 {
		people = append(people, map[string]any{"externalId": fmt.Sprint(100 + i), "userName": fmt.Sprintf("p%d", i), "displayName": fmt.Sprintf("Person %d", i), "active": true})
	}
	s.upload(t, cred, people...)
	g, ctx := s.sdk(t, cred), context.Background()
	filter, top := "employeeId eq '103'", int32(2)
	found, err := g.Users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{QueryParameters: &users.UsersRequestBuilderGetQueryParameters{
		Filter: &filter, Select: []string{"id", "displayName", "accountEnabled", "employeeId"}}})
	if err != nil {
		t.Fatal(err)
	}
	if v := found.GetValue(); len(v) != 1 || *v[0].GetDisplayName() != "Person 3" || !*v[0].GetAccountEnabled() {
		t.Errorf("users by employeeId: %d", len(v))
	}
	page, err := g.Users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Top: &top}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := core.NewPageIterator[models.Userable](page, g.GetAdapter(), models.CreateUserCollectionResponseFromDiscriminatorValue)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := all.Iterate(ctx, func(models.Userable) bool { n++; return true }); err != nil || n != 7 {
		t.Errorf("paging gave %d users, %v", n, err)
	}
	jobs, err := g.ServicePrincipals().ByServicePrincipalId(s.env["SP_ID"]).Synchronization().Jobs().Get(ctx, nil)
	if err != nil || len(jobs.GetValue()) != 1 || *jobs.GetValue()[0].GetId() != s.env["JOB_ID"] {
		t.Errorf("jobs: %v", err)
	}
	schema, err := g.ServicePrincipals().ByServicePrincipalId(s.env["SP_ID"]).Synchronization().Jobs().BySynchronizationJobId(s.env["JOB_ID"]).Schema().Get(ctx, nil)
	if err != nil || len(schema.GetSynchronizationRules()) != 1 {
		t.Errorf("schema: %v", err)
	}
	jobFilter := "jobId eq '" + s.env["JOB_ID"] + "'"
	log, err := g.AuditLogs().Provisioning().Get(ctx, &auditlogs.ProvisioningRequestBuilderGetRequestConfiguration{
		QueryParameters: &auditlogs.ProvisioningRequestBuilderGetQueryParameters{Filter: &jobFilter, Top: &top}})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := core.NewPageIterator[models.ProvisioningObjectSummaryable](log, g.GetAdapter(), models.CreateProvisioningObjectSummaryCollectionResponseFromDiscriminatorValue)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err = entries.Iterate(ctx, func(e models.ProvisioningObjectSummaryable) bool {
		seen[*e.GetSourceIdentity().GetId()] = *e.GetProvisioningAction() == models.CREATE_PROVISIONINGACTION
		return true
	})
	if err != nil || len(seen) != 7 || !seen["100"] {
		t.Errorf("log gave %v, %v", seen, err)
	}
	if _, err := g.Users().ByUserId("nobody@x.example").Get(ctx, nil); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("unknown user: %v", err)
	}
}
