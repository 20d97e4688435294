package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"induct/internal/oauth"
)

func credentialCommand() *cobra.Command {
	return group(&cobra.Command{Use: "credential", Short: "What apps prove themselves by: secrets, certificates, other issuers' tokens, or this machine"},
		credentialCertificateCommand(), credentialFederateCommand(), credentialIdentityCommand())
}

const credentialLong = "\nThe data directory must not be in use: stop `induct serve` for the moment, or do the same over Graph."

func credentialCertificateCommand() *cobra.Command {
	var set settings
	var file, name string
	cmd := &cobra.Command{
		Use:   "certificate APP --data DIR --file FILE",
		Short: "Let an app sign its requests with the key of a certificate",
		Long:  "Registers a certificate (PEM or DER, without its private key) with the app of this client id." + credentialLong,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return offline(cmd, &set, func(s *server) error {
				text, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("--file: %w", err)
				}
				c, err := oauth.NewCertificate(name, text, time.Now())
				if err != nil {
					return fmt.Errorf("--file %s: %w", file, err)
				}
				err = s.changeClient(cmd.Context(), args[0], func(client *oauth.Client) error {
					client.Certificates = append(client.Certificates, c)
					return nil
				})
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "Registered; thumbprint (SHA-1) %X, valid until %s.\n", c.SHA1(), c.Expires.UTC().Format(time.DateOnly))
				}
				return err
			})
		},
	}
	userFlags(cmd, &set)
	cmd.Flags().StringVar(&file, "file", "", "the certificate's `FILE`")
	cmd.Flags().StringVar(&name, "name", "", "what to call it")
	return cmd
}

func credentialFederateCommand() *cobra.Command {
	var set settings
	var f oauth.FederatedCredential
	audience := oauth.FederatedAudience
	cmd := &cobra.Command{
		Use:   "federate APP --data DIR --issuer URL --subject SUBJECT",
		Short: "Let an app prove itself by another issuer's tokens",
		Long: "Trusts tokens of an issuer (a CI service, a Kubernetes cluster) about one subject as the app of this client id.\n" +
			"The service must be told where the issuer is: `induct serve --federated-issuer`." + credentialLong,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return offline(cmd, &set, func(s *server) error {
				f.ID, f.Audiences = uuid.New(), []string{audience}
				return s.changeClient(cmd.Context(), args[0], func(client *oauth.Client) error {
					if err := oauth.CheckFederated(f, client.Federated); err != nil {
						return err
					}
					client.Federated = append(client.Federated, f)
					return nil
				})
			})
		},
	}
	userFlags(cmd, &set)
	cmd.Flags().StringVar(&f.Name, "name", "federated", "what to call it, unique in the app")
	cmd.Flags().StringVar(&f.Issuer, "issuer", "", "the issuer, exactly as its tokens have it")
	cmd.Flags().StringVar(&f.Subject, "subject", "", "the subject, exactly as its tokens have it")
	cmd.Flags().StringVar(&audience, "audience", audience, "the audience its tokens must have")
	return cmd
}

func credentialIdentityCommand() *cobra.Command {
	var set settings
	var roles []string
	cmd := &cobra.Command{
		Use:   "managed-identity NAME --data DIR",
		Short: "Make an identity for processes of this machine, which need no credential",
		Long: "Makes a managed identity with these permissions. Processes of this machine get its tokens at\n" +
			"`induct serve --managed-identity-listen`, whoever runs them." + credentialLong,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return offline(cmd, &set, func(s *server) error {
				for _, r := range roles {
					if _, ok := oauth.RoleIDs[r]; !ok {
						return fmt.Errorf("--role %q: use one of %s", r, strings.Join(everyRole(), ", "))
					}
				}
				c := &oauth.Client{AppID: uuid.New(), ObjectID: uuid.New(), DisplayName: args[0], Managed: true, Created: time.Now(), Roles: slices.Clone(roles)}
				err := s.store.PutClient(cmd.Context(), c)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "CLIENT_ID=%s\nOBJECT_ID=%s\n", c.AppID, c.ObjectID)
				}
				return err
			})
		},
	}
	userFlags(cmd, &set)
	cmd.Flags().StringSliceVar(&roles, "role", uploaderRoles, "application permissions")
	return cmd
}

// changeClient changes the client with the id.
func (s *server) changeClient(ctx context.Context, appID string, change func(*oauth.Client) error) error {
	id, err := uuid.Parse(appID)
	if err != nil {
		return fmt.Errorf("%q is not a client id", appID)
	}
	client, err := s.store.Client(ctx, id)
	if errors.Is(err, oauth.ErrNotFound) {
		return fmt.Errorf("there is no app with the client id %s", id)
	}
	if err == nil {
		err = change(client)
	}
	if err != nil {
		return err
	}
	return s.store.PutClient(ctx, client)
}
