package provision

import "context"

// Objects is a directory as it is read: the users of the tenant.
type Objects interface {
	// Object returns the live user with this object id or userPrincipalName (any case), or ErrNotFound.
	Object(ctx context.Context, idOrUPN string) (*Object, error)
	// Objects returns a page of users in the order of their creation.
	Objects(ctx context.Context, q ObjectQuery) (ObjectPage, error)
	// CountObjects returns how many users match q; Limit and After do not matter.
	CountObjects(ctx context.Context, q ObjectQuery) (int64, error)
}

// DeletedItems is where deleted users wait, under their ids, to be restored or purged. Its writes are an
// administrator's: they need no job, and are durable when they return.
type DeletedItems interface {
	// DeletedObject returns the user with this object id if it is in deleted items, or ErrNotFound.
	DeletedObject(ctx context.Context, id string) (*Object, error)
	// Delete moves a live user to deleted items, as a Change with Delete does; ErrNotFound if there is none.
	Delete(ctx context.Context, id string) error
	// Restore makes a user in deleted items live again, under the userPrincipalName upn unless that is empty, and returns
	// it; ErrNotFound if there is none. A refusal is a *TargetError: Conflict if somebody else has the
	// userPrincipalName, AzureActiveDirectoryInvalidUserPrincipalName if upn cannot be one.
	Restore(ctx context.Context, id, upn string) (*Object, error)
	// DeleteForever removes a user from deleted items; ErrNotFound if there is none.
	DeleteForever(ctx context.Context, id string) error
}

// Accounts is the writing of live users by an administrator: it needs no job, and is durable when it returns. A refusal
// is a *TargetError, and then nothing has changed; its Code is Conflict if somebody else has the userPrincipalName.
type Accounts interface {
	// CreateObject makes a user with a new id and returns it.
	CreateObject(ctx context.Context, set []Assignment) (*Object, error)
	// UpdateObject sets attributes of the live user with this object id and returns the user after that; ErrNotFound.
	UpdateObject(ctx context.Context, id string, set []Assignment) (*Object, error)
}

// ObjectQuery selects users.
type ObjectQuery struct {
	Deleted bool // those in deleted items instead of the live ones
	// Equal narrows by attribute = value (any case) for one of the indexed attributes
	// userPrincipalName, employeeId, mail, mailNickname, displayName; others are left to Match.
	Equal map[string]string
	Match func(*Object) bool // nil matches all
	After int64              // the Next of the page before; 0 for the first
	Limit int
}

// ObjectPage is a page of users. With More, the rest is asked for with After = Next; a page may be short,
// even empty, and have More, because one call scans a bounded number of objects.
type ObjectPage struct {
	Objects []Object
	More    bool
	Next    int64
}
