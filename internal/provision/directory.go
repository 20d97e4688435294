package provision

import "context"

// Objects is a directory as it is read: the users of the tenant.
type Objects interface {
	// Object returns the live user with this object id or userPrincipalName (any case), or ErrNotFound.
	Object(ctx context.Context, idOrUPN string) (*Object, error)
	// Objects returns a page of live users in the order of their creation.
	Objects(ctx context.Context, q ObjectQuery) (ObjectPage, error)
	// CountObjects returns how many live users match q; Limit and After do not matter.
	CountObjects(ctx context.Context, q ObjectQuery) (int64, error)
}

// ObjectQuery selects users.
type ObjectQuery struct {
	// Equal narrows by attribute = value (any case) for one of the indexed attributes
	// userPrincipalName, employeeId, mail, displayName; others are left to Match.
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
