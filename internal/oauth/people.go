package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// Person is somebody who may sign in.
type Person struct {
	ObjectID       uuid.UUID
	UPN            string // userPrincipalName
	DisplayName    string
	Enabled        bool
	DirectoryRoles []string // template ids of roles that the directory itself gives
}

// People are those of a directory.
type People interface {
	// Person returns the person with a userPrincipalName, in any case, or an object id; ErrNotFound.
	Person(ctx context.Context, upn string) (*Person, error)
}

// Account is what is kept of a person for signing in: of a user of the
// directory, or of somebody who is in no directory, such as the first
// administrator.
type Account struct {
	ObjectID    uuid.UUID // the directory user's, or its own
	UPN         string    // of an account that is in no directory, in lower case; "" for a directory's user
	DisplayName string    // likewise
	Password    string    // as HashPassword returns it; "": no password opens it
	Roles       []string  // template ids of directory roles
	Disabled    bool
	Created     time.Time
}

// DirectoryRoles are the roles that mean something here, each with the id of its
// template (Microsoft Entra built-in roles), which tokens have as wids. It is
// not to be changed.
var DirectoryRoles = map[string]string{
	"Global Administrator":            globalAdministrator,
	"Application Administrator":       "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
	"Cloud Application Administrator": "158c047a-c907-4556-b7ef-446551a6b5f7",
	"Hybrid Identity Administrator":   "8ac3fc64-6eca-42ea-9e69-59f4c7b60eb2",
	"User Administrator":              "fe930be7-5e62-47db-91af-98c3a49a38b1",
	"Reports Reader":                  "4a5d8f65-41da-4de4-8968-e035b65339cf",
	"Security Reader":                 "5d6b6bb7-de71-4623-b4af-96380a352509",
	"Global Reader":                   "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
}

const globalAdministrator = "62e90394-69f5-4237-9190-012177145e10"

// find returns the person with a userPrincipalName or object id, and the account
// if there is one. An account that is in no directory goes first, so that nobody
// takes its name by being provisioned. ErrNotFound.
func (a *Authority) find(ctx context.Context, name string) (*Person, *Account, error) {
	account, err := a.account(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, nil, err
	}
	if account != nil && account.UPN != "" {
		return &Person{account.ObjectID, account.UPN, account.DisplayName, !account.Disabled, account.Roles}, account, nil
	}
	if a.people == nil {
		return nil, nil, ErrNotFound
	}
	found, err := a.people.Person(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	p := *found
	if account, err = a.store.Account(ctx, p.ObjectID); errors.Is(err, ErrNotFound) {
		return &p, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	p.DirectoryRoles = slices.Compact(slices.Sorted(slices.Values(slices.Concat(p.DirectoryRoles, account.Roles))))
	p.Enabled = p.Enabled && !account.Disabled
	return &p, account, nil
}

func (a *Authority) account(ctx context.Context, name string) (*Account, error) {
	if id, err := uuid.Parse(name); err == nil {
		return a.store.Account(ctx, id)
	}
	return a.store.AccountNamed(ctx, strings.ToLower(name))
}

// AddAccount makes an account that is in no directory, with a password or, if
// that is "", without one. roles are names of DirectoryRoles. The error is for
// the caller: about the name, which nobody may have, the password or a role.
func (a *Authority) AddAccount(ctx context.Context, upn, displayName, password string, roles []string) (*Account, error) {
	upn = strings.ToLower(strings.TrimSpace(upn))
	if err := checkName(upn); err != nil {
		return nil, err
	}
	_, _, err := a.find(ctx, upn)
	switch {
	case err == nil:
		return nil, fmt.Errorf("there is a person named %s", upn)
	case !errors.Is(err, ErrNotFound):
		return nil, err
	}
	c := &Account{ObjectID: uuid.New(), UPN: upn, DisplayName: displayName, Created: a.now()}
	if c.DisplayName == "" {
		c.DisplayName, _, _ = strings.Cut(upn, "@")
	}
	if c.Roles, err = roleTemplates(roles); err != nil {
		return nil, err
	}
	if password != "" {
		if err := CheckPassword(password, upn); err != nil {
			return nil, err
		}
		c.Password = HashPassword(password)
	}
	return c, a.store.PutAccount(ctx, c)
}

// SetPassword gives a person, named by userPrincipalName or object id, another
// password and ends what that person has signed in to. ErrNotFound, or what is
// wrong with the password.
func (a *Authority) SetPassword(ctx context.Context, name, password string) error {
	return a.change(ctx, name, func(p *Person, c *Account) error {
		if err := CheckPassword(password, p.UPN); err != nil {
			return err
		}
		c.Password = HashPassword(password)
		return nil
	})
}

// SetRoles gives a person the directory roles with these names, and no others,
// and ends what that person has signed in to. ErrNotFound, or which role there
// is not.
func (a *Authority) SetRoles(ctx context.Context, name string, roles []string) error {
	return a.change(ctx, name, func(_ *Person, c *Account) (err error) {
		c.Roles, err = roleTemplates(roles)
		return err
	})
}

func (a *Authority) change(ctx context.Context, name string, change func(*Person, *Account) error) error {
	unlock, err := a.store.Lock(ctx, lockAccounts)
	if err != nil {
		return err
	}
	defer unlock()
	p, c, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	if c == nil {
		c = &Account{ObjectID: p.ObjectID, Created: a.now()}
	}
	if err := change(p, c); err != nil {
		return err
	}
	if err := a.store.PutAccount(ctx, c); err != nil {
		return err
	}
	return a.store.DeleteTicketsOf(ctx, c.ObjectID)
}

func roleTemplates(names []string) (ids []string, err error) {
	for _, name := range names {
		id, ok := DirectoryRoles[name]
		if !ok {
			return nil, fmt.Errorf("there is no directory role named %q", name)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// hasAdministrator reports whether somebody can sign in who may make others
// able to.
func (a *Authority) hasAdministrator(ctx context.Context) (bool, error) {
	accounts, err := a.store.Accounts(ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(accounts, func(c *Account) bool {
		return c.Password != "" && !c.Disabled && slices.Contains(c.Roles, globalAdministrator)
	}), nil
}

func checkName(upn string) error {
	local, domain, ok := strings.Cut(upn, "@")
	odd := func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' || strings.ContainsRune(`"<>\()[],;:@`, r) }
	if !ok || local == "" || domain == "" || len(upn) > 113 || strings.ContainsFunc(local+domain, odd) {
		return errors.New("the user name must look like an address, such as admin@fabrikam.example, of at most 113 characters")
	}
	return nil
}
