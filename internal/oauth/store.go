package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
)

// ErrNotFound is returned by a Store for a client, account or ticket that does not exist.
var ErrNotFound = errors.New("oauth: not found")

// ErrBadKey says that a signing key is not what was stored.
var ErrBadKey = errors.New("oauth: bad signing key")

// Client is an app registration (Graph's application) with its service principal: what asks for tokens, and what may be granted
// permissions. A managed identity has a service principal alone.
type Client struct {
	AppID         uuid.UUID // client_id; Graph's appId
	ApplicationID uuid.UUID // object id of the application; uuid.Nil for a managed identity
	ObjectID      uuid.UUID // object id of the service principal: the oid and sub of its tokens
	DisplayName   string
	TemplateID    string // of the gallery's app that it was made of; "" for others
	Managed       bool   // a managed identity: it gets tokens from the endpoints for local processes only
	Public        bool   // a public client: people sign in through it, and it has no secret of its own
	Disabled      bool   // it gets no token
	BuiltIn       bool   `json:",omitempty"` // the service's own, such as the admin center: nobody changes it over the wire
	Created       time.Time
	Roles         []string         // application permissions granted on Graph, such as SynchronizationData-User.Upload
	Assignments   []RoleAssignment // app role assignments with it as principal; those on Graph are its Roles
	Grants        []Grant          // delegated permissions with it as client
	Owners        []uuid.UUID      // object ids of users and service principals
	RedirectURIs  []string
	Secrets       []Secret
	Certificates  []Certificate
	Federated     []FederatedCredential
	Application   json.RawMessage `json:",omitempty"` // members of the application that a client put and that mean nothing here, as an object
	Principal     json.RawMessage `json:",omitempty"` // and of the service principal
}

// Secret is a client secret as it is stored: never in clear.
type Secret struct {
	KeyID       uuid.UUID
	DisplayName string
	Hash        []byte // as HashSecret returns it
	Hint        string // its first three characters
	Created     time.Time
	Expires     time.Time
}

// Certificate is a certificate whose key signs client assertions (RFC 7523).
type Certificate struct {
	KeyID       uuid.UUID
	DisplayName string
	DER         []byte // X.509
	Created     time.Time
	Expires     time.Time // no later than the certificate's own end
}

// FederatedCredential trusts tokens of an external issuer about one subject (workload identity federation).
type FederatedCredential struct {
	ID          uuid.UUID
	Name        string // unique in the client
	Issuer      string // exactly as its tokens have it
	Subject     string
	Audiences   []string
	Description string
}

// RoleAssignment is an app role that a service principal has on another.
type RoleAssignment struct {
	ID       string    // 43 characters of base64url
	Resource uuid.UUID // object id of the service principal that has the role
	Role     uuid.UUID
	Created  time.Time
}

// Grant lets a client act for people, or for one of them (Graph's oauth2PermissionGrant).
type Grant struct {
	ID       string
	Resource uuid.UUID
	Person   uuid.UUID // uuid.Nil: for everybody
	Scope    string    // separated by blanks
}

// SigningKey is a key of the token issuer.
type SigningKey struct {
	KeyID   string
	Private []byte // PKCS #8
	Created time.Time
	Retired time.Time // zero, or from when on it does not sign; it is published until its last tokens have expired
}

// Store keeps clients, signing keys, accounts and tickets. Its methods may be called concurrently.
type Store interface {
	Client(ctx context.Context, appID uuid.UUID) (*Client, error) // ErrNotFound
	PutClient(ctx context.Context, c *Client) error               // creates or replaces
	Clients(ctx context.Context) ([]*Client, error)               // in the order of their creation
	DeleteClient(ctx context.Context, appID uuid.UUID) error      // nil if there is none
	SigningKeys(ctx context.Context) ([]SigningKey, error)        // newest first
	PutSigningKey(ctx context.Context, k SigningKey) error        // creates or replaces
	DeleteSigningKey(ctx context.Context, id string) error        // nil if there is none

	Account(ctx context.Context, id uuid.UUID) (*Account, error)         // ErrNotFound
	AccountNamed(ctx context.Context, upn string) (*Account, error)      // one that is in no directory, by its UPN; ErrNotFound
	Accounts(ctx context.Context) ([]*Account, error)                    // in the order of their creation
	PutAccount(ctx context.Context, a *Account) error                    // creates or replaces; two must not have one UPN
	PutTicket(ctx context.Context, t Ticket) error                       // and forgets those that had expired when it was issued; ErrNotFound: its Parent is gone
	Ticket(ctx context.Context, hash [sha256.Size]byte) (*Ticket, error) // ErrNotFound
	// UseTicket marks a ticket as used, unless it was, and returns it as it was before: of several callers at once one gets
	// it unused. ErrNotFound.
	UseTicket(ctx context.Context, hash [sha256.Size]byte, now time.Time) (*Ticket, error)
	// DeleteTickets deletes a family, with those that are being put for one of it; DeleteTicketsOf those of a person.
	DeleteTickets(ctx context.Context, family uuid.UUID) error
	DeleteTicketsOf(ctx context.Context, person uuid.UUID) error

	// Failures returns what is counted for each origin, the zero Tally for nothing. AddFailures counts one more for each; a
	// count that began a window before now, or earlier, begins anew, and may be forgotten at any time.
	Failures(ctx context.Context, origins ...[sha256.Size]byte) ([]Tally, error)
	AddFailures(ctx context.Context, now time.Time, window time.Duration, origins ...[sha256.Size]byte) error
	ForgetFailures(ctx context.Context, origin [sha256.Size]byte) error

	// Lock waits until nobody else holds the lock of that name, in whatever process that shares the store, and holds it until
	// unlock is called or the process ends.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// Names of locks, see Store.
const (
	LockClients  = "clients"      // app registrations: of who reads one, changes it and puts it back
	lockAccounts = "accounts"     // the same of accounts
	lockKeys     = "signing keys" // of who makes one because there is none, or none that is young enough
)

// Tally is a count of failures, and when the first of them was.
type Tally struct {
	Count int
	Since time.Time
}
