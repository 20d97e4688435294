package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"induct/internal/graph"
	"induct/internal/oauth"
	"induct/internal/provision"
)

// credentials are what a client signs in and uploads with: the lines that serve --dev prints.
type credentials struct {
	GraphBase, Authority, TenantID, ClientID, ClientSecret, SPID, JobID, CAFile string
}

// lines are shell assignments.
func (c credentials) lines() string {
	var b strings.Builder
	for _, l := range [][2]string{{"GRAPH_BASE", c.GraphBase}, {"AUTHORITY", c.Authority}, {"TENANT_ID", c.TenantID}, {"CLIENT_ID", c.ClientID},
		{"CLIENT_SECRET", c.ClientSecret}, {"SP_ID", c.SPID}, {"JOB_ID", c.JobID}, {"CA_FILE", c.CAFile}} {
		fmt.Fprintf(&b, "%s=%s\n", l[0], shellWord(l[1]))
	}
	return b.String()
}

// shellWord quotes a value if a shell would read it otherwise than it stands, such as a path with a blank.
func shellWord(v string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+./:@%,[]", r)
	}
	if !strings.ContainsFunc(v, func(r rune) bool { return !plain(r) }) {
		return v
	}
	return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
}

// write puts the lines into a file that only its owner can read, whole or not at all.
func (c credentials) write(path string) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(c.lines()), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (s *server) credentials(clientID uuid.UUID, secret string, job *provision.Job) credentials {
	return credentials{GraphBase: s.base + "/v1.0", Authority: s.base + "/" + s.tenant.ID.String(), TenantID: s.tenant.ID.String(),
		ClientID: clientID.String(), ClientSecret: secret, SPID: job.ServicePrincipalID.String(), JobID: job.ID, CAFile: s.caFile}
}

// everyRole are all application permissions that Induct knows.
func everyRole() []string {
	return slices.Sorted(maps.Keys(oauth.RoleIDs))
}

// uploaderRoles let a client upload, and read what became of it.
var uploaderRoles = []string{"SynchronizationData-User.Upload", "ProvisioningLog.Read.All"}

// operatorRoles let a client look at jobs and steer them, with `induct job`.
var operatorRoles = []string{"Synchronization.ReadWrite.All", "AuditLog.Read.All"}

// devSecretLife is short on purpose: every start of serve --dev adds a fresh secret.
const devSecretLife = 30 * 24 * time.Hour

// maxSecrets bounds how many secrets of a client are kept; the oldest go first.
const maxSecrets = 20

// devApp returns the credentials of the app that serve --dev and demo use; the first time, it makes the app.
func (s *server) devApp(ctx context.Context) (credentials, error) {
	unlock, err := s.store.Lock(ctx, oauth.LockClients)
	if err != nil {
		return credentials{}, err
	}
	defer unlock()
	var ids struct {
		Client uuid.UUID
		Job    string
	}
	saved, err := s.store.Setting(ctx, "dev.app")
	if err != nil {
		return credentials{}, err
	}
	if saved != "" {
		if err := json.Unmarshal([]byte(saved), &ids); err != nil {
			return credentials{}, fmt.Errorf("dev.app: %w", err)
		}
		job, err := s.service.Job(ctx, ids.Job)
		if err != nil {
			return credentials{}, err
		}
		secret, err := s.addSecret(ctx, ids.Client, devSecretLife)
		return s.credentials(ids.Client, secret, job), err
	}
	c, err := s.makeApp(ctx, "API-driven to cloud directory", "", everyRole(), devSecretLife)
	if err != nil {
		return c, err
	}
	ids.Client, ids.Job = uuid.MustParse(c.ClientID), c.JobID
	text, err := json.Marshal(ids)
	if err != nil {
		return c, err
	}
	return c, s.store.PutSetting(ctx, "dev.app", string(text))
}

// makeApp makes a provisioning app with a started job, and a client with the roles. notify is who gets mail about the job;
// without it the job runs all the same.
func (s *server) makeApp(ctx context.Context, name, notify string, roles []string, life time.Duration) (credentials, error) {
	client := newRegistration(name+" client", roles)
	job, err := s.makeJob(ctx, name, client.ObjectID)
	if err != nil {
		return credentials{}, err
	}
	if notify != "" {
		text, err := json.Marshal(map[string]any{"Enabled": true, "Recipients": notify, "DeleteThresholdEnabled": true, "DeleteThresholdValue": provision.DefaultDeleteThreshold})
		if err == nil {
			err = s.service.SetSecrets(ctx, job.ServicePrincipalID, []provision.KeyValue{{Key: provision.SecretNotifications, Value: string(text)}})
		}
		if err != nil {
			return credentials{}, err
		}
	} else if err := s.service.SetSettings(ctx, job.PK, provision.JobSettings{RunWithoutMail: true}); err != nil {
		return credentials{}, err
	}
	if err := s.service.StartJob(ctx, job.PK); err != nil {
		return credentials{}, err
	}
	if err := s.store.PutClient(ctx, client); err != nil {
		return credentials{}, err
	}
	secret, err := s.addSecret(ctx, client.AppID, life)
	return s.credentials(client.AppID, secret, job), err
}

// newRegistration is an app registration with application permissions, in no store yet.
func newRegistration(name string, roles []string) *oauth.Client {
	return &oauth.Client{AppID: uuid.New(), ApplicationID: uuid.New(), ObjectID: uuid.New(), DisplayName: name, Created: time.Now().UTC(), Roles: roles}
}

// makeJob makes an app of the gallery, which owner owns, with a job: the same that POST …/instantiate and POST …/jobs make.
func (s *server) makeJob(ctx context.Context, name string, owner uuid.UUID) (*provision.Job, error) {
	gallery := graph.Gallery()[0]
	app := graph.NewGalleryApp(&gallery, name, time.Now())
	app.Owners = []uuid.UUID{owner}
	if err := s.store.PutClient(ctx, app); err != nil {
		return nil, err
	}
	if err := s.service.PutApp(ctx, app.ObjectID, app.AppID, name); err != nil {
		return nil, err
	}
	return s.service.CreateJob(ctx, gallery.JobTemplate, app.ObjectID)
}

func (s *server) addSecret(ctx context.Context, appID uuid.UUID, life time.Duration) (string, error) {
	client, err := s.store.Client(ctx, appID)
	if err != nil {
		return "", err
	}
	clear, secret := oauth.NewSecret(time.Now(), life)
	client.Secrets = append([]oauth.Secret{secret}, client.Secrets...)
	client.Secrets = client.Secrets[:min(len(client.Secrets), maxSecrets)]
	return clear, s.store.PutClient(ctx, client)
}

func appCommand() *cobra.Command {
	return group(&cobra.Command{Use: "app", Short: "Make provisioning apps and their credentials"}, appCreateCommand(), appClientCommand())
}

func appCreateCommand() *cobra.Command {
	var set settings
	var name, notify string
	var days int
	var operator bool
	cmd := &cobra.Command{
		Use:   "create --data DIR --name NAME",
		Short: "Make a provisioning app with a started job, and a client that may upload to it",
		Long: "Makes a provisioning app whose job is started, and a client with the permissions\n" +
			strings.Join(uploaderRoles, " and ") + ", with --operator also\n" +
			strings.Join(operatorRoles, " and ") + ", which `induct job` needs. The secret is shown once.\n" +
			"A data directory must not be in use: stop `induct serve` for the moment. With a database it may run.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return offline(cmd, &set, func(s *server) error {
				roles := uploaderRoles
				if operator {
					roles = slices.Concat(roles, operatorRoles)
				}
				c, err := s.makeApp(cmd.Context(), name, notify, roles, time.Duration(days)*24*time.Hour)
				if err == nil {
					printApp(cmd.OutOrStdout(), c)
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	storeFlags(f, &set)
	f.StringVar(&name, "name", "API-driven to cloud directory", "name of the app")
	f.StringVar(&notify, "notify", "", "who gets mail when the job needs attention: addresses, separated by ;")
	f.BoolVar(&operator, "operator", false, "the client may also look at jobs and steer them, with `induct job`")
	f.IntVar(&days, "secret-days", 180, "how long the secret is valid")
	f.StringVar(&set.domain, "domain", defaultDomain, "default domain, if the installation is new")
	f.String("config", "", "configuration file (default induct.yaml if there is one)")
	return cmd
}

// adminRoles let a client set up everything else over Graph.
var adminRoles = []string{"Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "DelegatedPermissionGrant.ReadWrite.All", "Synchronization.ReadWrite.All"}

func appClientCommand() *cobra.Command {
	var set settings
	var name string
	var roles []string
	var days int
	cmd := &cobra.Command{
		Use:   "client --data DIR --name NAME",
		Short: "Make an app registration with application permissions and a secret",
		Long: "Makes an app registration without a job. By default it has the permissions with which everything else can be\n" +
			"set up over Graph: " + strings.Join(adminRoles, ", ") + ".\n" +
			"Whoever has its secret can give itself every other permission. The secret is shown once.\n" +
			"A data directory must not be in use: stop `induct serve` for the moment. With a database it may run.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, r := range roles {
				if _, ok := oauth.RoleIDs[r]; !ok {
					return fmt.Errorf("--permission %q: it is one of %s", r, strings.Join(everyRole(), ", "))
				}
			}
			return offline(cmd, &set, func(s *server) error {
				client := newRegistration(name, roles)
				if err := s.store.PutClient(cmd.Context(), client); err != nil {
					return err
				}
				secret, err := s.addSecret(cmd.Context(), client.AppID, time.Duration(days)*24*time.Hour)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "TENANT_ID=%s\nCLIENT_ID=%s\nCLIENT_SECRET=%s\n", s.tenant.ID, client.AppID, secret)
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	storeFlags(f, &set)
	f.StringVar(&name, "name", "Administration", "name of the app")
	f.StringSliceVar(&roles, "permission", adminRoles, "application permissions, separated by commas")
	f.IntVar(&days, "secret-days", 30, "how long the secret is valid")
	f.StringVar(&set.domain, "domain", defaultDomain, "default domain, if the installation is new")
	f.String("config", "", "configuration file (default induct.yaml if there is one)")
	return cmd
}

// offline configures a command that works on a data directory by itself, and calls do with a server on it that serves nobody.
func offline(cmd *cobra.Command, set *settings, do func(*server) error) error {
	if err := configure(cmd); err != nil {
		return err
	}
	if set.data == "" && set.database == "" {
		return errNoData
	}
	set.listen, set.limits, set.log, set.offline = "127.0.0.1:0", "selfhosted", quiet(), true
	s, err := open(cmd.Context(), *set)
	if err != nil {
		return err
	}
	defer s.close()
	unlock, err := s.store.Lock(cmd.Context(), oauth.LockClients) // most of them change one
	if err != nil {
		return err
	}
	defer unlock()
	return do(s)
}

func printApp(w io.Writer, c credentials) {
	fmt.Fprintf(w, "TENANT_ID=%s\nCLIENT_ID=%s\nCLIENT_SECRET=%s\nSP_ID=%s\nJOB_ID=%s\n", c.TenantID, c.ClientID, c.ClientSecret, c.SPID, c.JobID)
	fmt.Fprintf(w, "# endpoint: https://YOUR-HOST/v1.0/servicePrincipals/%s/synchronization/jobs/%s/bulkUpload\n", c.SPID, c.JobID)
	fmt.Fprintf(w, "# authority: https://YOUR-HOST/%s\n", c.TenantID)
}
