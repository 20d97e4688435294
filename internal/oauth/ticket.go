package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
)

// Ticket is something that is handed out to be brought back: an authorization
// code, a refresh token, a browser's session, a one-time link. Only the hash of
// what its holder has is kept.
type Ticket struct {
	Hash    [sha256.Size]byte
	Kind    string
	Family  uuid.UUID // of those that descend from one sign-in and end together
	Person  uuid.UUID // uuid.Nil: nobody's
	Issued  time.Time
	Expires time.Time
	Used    time.Time // when it was used first; zero: not yet
	Content []byte    // JSON

	Parent *[sha256.Size]byte // the ticket that this one is put for, which must still be there; not kept
}

// Kinds of tickets.
const (
	codeTicket    = "code"
	refreshTicket = "refresh"
	sessionTicket = "session"
	setupTicket   = "setup"
	linkTicket    = "link"
)

const (
	codeLifetime    = 5 * time.Minute
	sessionLifetime = 12 * time.Hour
	linkLifetime    = time.Hour
	refreshIdle     = 24 * time.Hour      // how long an unused refresh token is valid
	refreshLifetime = 14 * 24 * time.Hour // after signing in, however often it is renewed
)

// hand makes a ticket and returns what its holder gets: 238 random bits.
func (a *Authority) hand(ctx context.Context, t Ticket, life time.Duration, content any) (string, error) {
	clear := randomText()
	t.Hash, t.Issued = sha256.Sum256([]byte(clear)), a.now()
	t.Expires = t.Issued.Add(life)
	var err error
	if t.Content, err = json.Marshal(content); err != nil {
		return "", err
	}
	return clear, a.store.PutTicket(ctx, t)
}

// look returns the ticket that clear is, nil if there is none of the kind or it
// has expired.
func (a *Authority) look(ctx context.Context, kind, clear string, content any) (*Ticket, error) {
	return a.ticket(kind, content, func() (*Ticket, error) { return a.store.Ticket(ctx, sha256.Sum256([]byte(clear))) })
}

// take is look for a ticket that can be used once. Of one that was used before,
// Used says when.
func (a *Authority) take(ctx context.Context, kind, clear string, content any) (*Ticket, error) {
	if t, err := a.look(ctx, kind, clear, nil); t == nil {
		return nil, err
	}
	return a.ticket(kind, content, func() (*Ticket, error) { return a.store.UseTicket(ctx, sha256.Sum256([]byte(clear)), a.now()) })
}

func (a *Authority) ticket(kind string, content any, get func() (*Ticket, error)) (*Ticket, error) {
	t, err := get()
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case t.Kind != kind || !a.now().Before(t.Expires):
		return nil, nil
	case content == nil:
		return t, nil
	}
	return t, json.Unmarshal(t.Content, content)
}
