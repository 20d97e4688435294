package oauth

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// ErrNotFound is returned by a Store for a client that does not exist.
var ErrNotFound = errors.New("oauth: not found")

// Client is an application that may ask for tokens, with its service principal.
type Client struct {
	AppID       uuid.UUID // client_id
	ObjectID    uuid.UUID // of its service principal: the oid and sub of its tokens
	DisplayName string
	Roles       []string // application permissions granted on Graph, such as SynchronizationData-User.Upload
	Secrets     []Secret
}

// Secret is a client secret as it is stored: never in clear.
type Secret struct {
	KeyID   uuid.UUID
	Hash    []byte // as HashSecret returns it
	Hint    string // its first three characters
	Created time.Time
	Expires time.Time
}

// SigningKey is a key of the token issuer.
type SigningKey struct {
	KeyID   string
	Private []byte // PKCS #8
	Created time.Time
	Retired time.Time // zero while it may sign; a retired key is still published until its tokens have expired
}

// Store keeps clients and signing keys. Its methods may be called concurrently.
type Store interface {
	Client(ctx context.Context, appID uuid.UUID) (*Client, error) // ErrNotFound
	PutClient(ctx context.Context, c *Client) error               // creates or replaces
	SigningKeys(ctx context.Context) ([]SigningKey, error)        // newest first
	PutSigningKey(ctx context.Context, k SigningKey) error        // creates or replaces
}
