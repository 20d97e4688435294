// Package directory is the built-in cloud directory: users whose attributes have the names that provisioning
// mappings use (telephoneNumber, not businessPhones). It is a provision.Target inside the engine's
// transaction, so that an account, its log entry and the queue's position are one commit.
package directory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// Directory is the users of the tenant. It is safe for concurrent use.
type Directory struct {
	store    *sqlstore.Store
	versions *versions // nil if other processes write users, too

	// Retention is how long a deleted user can be restored, 0 for ever; New sets 30 days. It is not to be changed while Run runs.
	Retention time.Duration
}

// rememberedVersions is how many users' versions are held in memory, which takes 24 bytes each.
const rememberedVersions = 1 << 20

// New returns the directory whose tables are in store. There must be one of a store in a process: unless other processes share
// the store, it relies on seeing all writes.
func New(store *sqlstore.Store) *Directory {
	d := &Directory{store: store, Retention: 30 * 24 * time.Hour}
	if !store.Shared() {
		d.versions = newVersions(rememberedVersions)
	}
	return d
}

// In implements provision.Colocated. u must be of the store that the directory was made with.
func (d *Directory) In(u provision.Unit) provision.Target {
	unit := u.(*sqlstore.Unit)
	return unit.Own(func() any {
		return &target{u: unit, versions: d.versions, seen: map[string]*user{}, wrote: map[uuid.UUID]int64{}, sought: map[string]bool{},
			ahead: prefetched{map[uuid.UUID]bool{}, map[uuid.UUID]int64{}, map[int64]string{}}}
	}).(*target)
}

const columns = "id, version, created, deleted, content, pk"

// filed are the attributes that a user can be found by, those that the fewest share first.
var filed = []string{"userPrincipalName", "employeeId", "mail", "mailNickname", "displayName"}

// claimed are those of them that two users must not get at the same time: what has to be unique, and what people are mostly matched
// by. By which others a transaction has looked for people, is claimed by it, too.
var claimed = []string{"userPrincipalName", "employeeId"}

// filing is the key of an attribute's value.
type filing struct {
	attribute string
	hash      int64
}

// key is the hash that users with this value of a filed attribute have.
func key(attribute, value string) int64 { return sqlstore.HashKey("user."+attribute, 0, fold(value)) }

// fold returns s such that two texts are equal in any case (strings.EqualFold) if they are equal folded.
func fold(s string) string {
	if isASCII(s) { // S and K fold to two runes more, but these fold to s and k
		return strings.ToLower(s)
	}
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		if 'A' <= least && least <= 'Z' {
			return least + 'a' - 'A'
		}
		return least
	}, s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// user is a row.
type user struct {
	pk   int64
	uuid uuid.UUID
	*provision.Object
}

// filedAs returns the text by which the user is found under a filed attribute, "" if it is not: none in deleted items is.
func (x *user) filedAs(attribute string) string {
	if v := x.Attributes[attribute]; x.Deleted.IsZero() && !v.IsEmpty() {
		return v.String()
	}
	return ""
}

// has reports whether a text attribute has the value, in any case.
func (x *user) has(attribute, value string) bool {
	v := x.Attributes[attribute]
	return !v.IsNull() && (v.String() == value || fold(v.String()) == fold(value))
}

type target struct {
	u        *sqlstore.Unit
	versions *versions
	seen     map[string]*user    // as they are in the transaction now, by id
	wrote    map[uuid.UUID]int64 // versions that the transaction has made
	sought   map[string]bool     // filed attributes by which it has looked for users
	ahead    prefetched
}

// claims reports whether the transaction must be the only one that files users under a value of an attribute.
func (t *target) claims(attribute string) bool {
	return t.sought[attribute] || slices.Contains(claimed, attribute)
}

// Find implements provision.Target.
func (t *target) Find(_ context.Context, queries []provision.Query) ([]provision.Found, error) {
	answers := make([]provision.Found, len(queries))
	if err := t.prefetch(queries); err != nil {
		return nil, err
	}
	for i, q := range queries {
		var err error
		if q.ID != "" {
			answers[i], err = t.byID(q)
		} else {
			answers[i], err = t.byAttribute(q)
		}
		if err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func (t *target) byID(q provision.Query) (f provision.Found, err error) {
	id, err := uuid.Parse(q.ID)
	if err != nil {
		return f, nil
	}
	if q.Version != 0 {
		version, err := t.version(id)
		if f.Same = version == q.Version; err != nil || f.Same {
			return f, err
		}
	}
	x, err := t.user(id)
	if x != nil {
		f.Object = x.Object
	}
	return f, err
}

// version returns a user's version in the transaction, 0 if there is no such user.
func (t *target) version(id uuid.UUID) (version int64, err error) {
	if version := t.wrote[id]; version != 0 {
		return version, nil
	}
	if version := t.versions.get(id); version != 0 {
		return version, nil
	}
	if version, read := t.ahead.versions[id]; read {
		return version, nil
	}
	err = sqlstore.Query(t.u.Conn(), "SELECT version FROM users WHERE id = ?1", []any{id[:]}, func(st sqlstore.Row) error {
		version = st.ColumnInt64(0)
		return nil
	})
	if err == nil && version != 0 {
		t.versions.put(id, version)
	}
	return version, err
}

// wroteVersion notes what is to be remembered once the transaction is durable, and forgotten until then. Of a new user,
// whose version is 1, nothing is.
func (t *target) wroteVersion(id uuid.UUID, version int64) {
	if len(t.wrote) == 0 {
		t.u.AfterCommit(func() {
			for id, version := range t.wrote {
				t.versions.put(id, version)
			}
		})
	}
	t.wrote[id] = version
	if version != 1 {
		t.versions.put(id, 0)
	}
}

// user returns the user with this id, nil if there is none.
func (t *target) user(id uuid.UUID) (x *user, err error) {
	if x := t.seen[id.String()]; x != nil || t.ahead.users[id] {
		return x, nil
	}
	err = sqlstore.Query(t.u.Conn(), "SELECT "+columns+" FROM users WHERE id = ?1", []any{id[:]}, func(st sqlstore.Row) error {
		if x, err = row(st); err == nil {
			t.seen[x.ID] = x
		}
		return err
	})
	return x, err
}

// byAttribute takes a filed attribute from its key; others are compared user by user.
func (t *target) byAttribute(q provision.Query) (f provision.Found, err error) {
	var ids []string
	take := func(x *user) error {
		if !x.has(q.Attribute, q.Value) {
			return nil
		}
		f.Object = x.Object
		t.seen[x.ID] = x
		if ids = append(ids, x.ID); len(ids) == maxAmbiguous {
			return errStop
		}
		return nil
	}
	if !slices.Contains(filed, q.Attribute) {
		err = stop(sqlstore.Scan(t.u.Conn(), "SELECT "+columns+" FROM users WHERE deleted IS NULL", nil, func(st sqlstore.Row) error {
			x, err := row(st)
			if err != nil {
				return err
			}
			return take(x)
		}))
	} else {
		t.sought[q.Attribute] = true
		err = stop(t.eachFiled(key(q.Attribute, q.Value), take))
	}
	if len(ids) > 1 {
		f = provision.Found{Ambiguous: ids}
	}
	return f, err
}

// maxAmbiguous is how many objects an ambiguous match names.
const maxAmbiguous = 10

// eachFiled calls take with each live row that is filed under a hash; it may hold another value.
func (t *target) eachFiled(hash int64, take func(*user) error) error {
	if t.u.Shared() {
		return t.eachFiledAhead(hash, take)
	}
	rows, err := t.u.Keyed(hash)
	for _, pk := range rows {
		if err == nil {
			err = sqlstore.Query(t.u.Conn(), "SELECT "+columns+" FROM users WHERE pk = ?1", []any{pk}, func(st sqlstore.Row) error {
				x, err := row(st)
				if err != nil {
					return err
				}
				return take(x)
			})
		}
	}
	return err
}

// eachFiledAhead is eachFiled of what can be, or has been, read ahead.
func (t *target) eachFiledAhead(hash int64, take func(*user) error) error {
	if err := t.prefetchFiled([]int64{hash}); err != nil {
		return err
	}
	rows, err := t.u.Keyed(hash)
	if err != nil {
		return err
	}
	for _, pk := range rows {
		if x := t.seen[t.ahead.rows[pk]]; x != nil && x.Deleted.IsZero() { // it may have gone since the keys were read
			if err := take(x); err != nil {
				return err
			}
		}
	}
	return nil
}

// Apply implements provision.Target. What can be made ready without the transaction is, beside it.
func (t *target) Apply(_ context.Context, changes []provision.Change) ([]provision.Result, error) {
	if t.u.Shared() {
		var ids [][]byte
		for _, c := range changes {
			if id, err := uuid.Parse(c.ID); err == nil && !c.Create {
				ids = append(ids, id[:])
			}
		}
		if err := t.prefetchUsers(ids); err != nil {
			return nil, err
		}
	}
	results := make([]provision.Result, len(changes))
	drafts := make([]draft, len(changes))
	for i := range changes {
		was, problem, err := t.before(&changes[i])
		if err != nil {
			return nil, err
		}
		results[i].Err, drafts[i].was = problem, was
	}
	now := t.u.Now().UTC().Truncate(time.Microsecond)
	drafted := provision.Ahead(len(changes), 32, func(i int) {
		if results[i].Err == nil {
			results[i].Err = drafts[i].make(&changes[i], now)
		}
	})
	if t.u.Shared() {
		for i := range changes {
			drafted(i)
		}
		if err := t.prefetchDrafts(drafts); err != nil {
			return nil, err
		}
	}
	for i := range changes {
		if drafted(i); results[i].Err != nil {
			continue
		}
		var err error
		if results[i], err = t.write(&drafts[i]); err != nil {
			return nil, fmt.Errorf("write user %s: %w", changes[i].ID, err)
		}
	}
	return results, nil
}

// before returns the user that a change is about, a new one if it is to be created, or why the change is refused.
func (t *target) before(c *provision.Change) (*user, *provision.TargetError, error) {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("object id %q: %w", c.ID, err)
	}
	if c.Create {
		return &user{uuid: id, Object: &provision.Object{ID: c.ID, Created: t.u.Now()}}, nil, nil
	}
	x, err := t.user(id)
	if err != nil {
		return nil, nil, err
	}
	return x, admit(c, x), nil
}

// admit returns why a change cannot be made to a user as it is; x is nil if there is none.
func admit(c *provision.Change, x *user) *provision.TargetError {
	switch {
	case x == nil:
		return refused("InvalidAnchor", "", "the account that this person was linked to is gone", "Send the person again: a new account is then made or matched.")
	case c.Delete && !x.Deleted.IsZero():
		return nil
	case !c.Restore && !x.Deleted.IsZero():
		return refused("InvalidAnchor", "", "the account that this person was linked to is in deleted items", "Restore the account, or delete it for good, and send the person again.")
	case x.Version != c.Version || c.Restore && x.Deleted.IsZero():
		changed := refused("Conflict", "", "the account was changed by somebody else in the meantime", "Send the person again.")
		changed.Retryable = true
		return changed
	}
	return nil
}

// draft is a user on the way to be stored.
type draft struct {
	was, is *user // the same one if there is nothing to store
	upn     string
	content []byte
	in, out []filing // keys to file it under, and to take it out from
	claims  bool     // it takes a userPrincipalName that it does not hold yet
	restore bool
}

// make checks a change and prepares the user as it leaves it, or returns why it is refused. was, and what it holds, is
// not changed.
func (d *draft) make(c *provision.Change, now time.Time) *provision.TargetError {
	was := d.was
	if c.Delete && !was.Deleted.IsZero() {
		d.is, d.upn = was, was.Attributes["userPrincipalName"].String()
		return nil
	}
	d.is = &user{pk: was.pk, uuid: was.uuid, Object: &provision.Object{ID: was.ID, Version: was.Version + 1, Created: was.Created, Attributes: was.Attributes}}
	if c.Delete {
		d.is.Deleted = now
	} else if problem := d.is.set(c.Set); problem != nil {
		return problem
	}
	d.restore = c.Restore
	d.upn = d.is.Attributes["userPrincipalName"].String()
	d.claims = !c.Delete && (was.pk == 0 || c.Restore || !was.has("userPrincipalName", d.upn))
	d.content = encode(d.is.Attributes)
	for _, a := range filed {
		from, to := was.filedAs(a), d.is.filedAs(a)
		if from == to || from != "" && to != "" && fold(from) == fold(to) {
			continue
		}
		if from != "" {
			d.out = append(d.out, filing{a, key(a, from)})
		}
		if to != "" {
			d.in = append(d.in, filing{a, key(a, to)})
		}
	}
	return nil
}

// set gives the user a map of its attributes with the assignments applied, or returns why they are refused.
func (x *user) set(assignments []provision.Assignment) *provision.TargetError {
	attributes := make(map[string]expr.Value, len(x.Attributes)+len(assignments))
	maps.Copy(attributes, x.Attributes)
	for _, a := range assignments {
		v, problem := check(a)
		if problem != nil {
			return problem
		}
		if v.IsEmpty() {
			delete(attributes, a.Attribute)
		} else {
			attributes[a.Attribute] = v
		}
	}
	x.Attributes = attributes
	return complete(x.Object)
}

// write stores a draft, unless somebody else has its userPrincipalName.
func (t *target) write(d *draft) (provision.Result, error) {
	result := provision.Result{Version: d.is.Version, Name: d.upn}
	if d.is == d.was {
		return result, nil
	}
	if d.claims {
		taken, err := t.taken(d.upn, d.in[0].hash) // userPrincipalName is the first that is filed
		if err != nil {
			return provision.Result{}, err
		}
		if taken {
			return provision.Result{Err: d.conflict()}, nil
		}
	}
	stored, err := t.store(d)
	if err != nil {
		return provision.Result{}, err
	}
	if !stored {
		return provision.Result{Err: refused("Conflict", "", "an account has the id "+d.is.ID+" already", "Send the person again.")}, nil
	}
	t.wroteVersion(d.is.uuid, d.is.Version)
	for _, f := range d.out {
		t.u.Unfile(f.hash, d.is.pk)
	}
	for _, f := range d.in {
		if t.claims(f.attribute) {
			t.u.Claim(f.hash, d.is.pk)
		} else {
			t.u.File(f.hash, d.is.pk)
		}
	}
	return result, nil
}

// conflict is the refusal of a draft whose userPrincipalName somebody else has.
func (d *draft) conflict() *provision.TargetError {
	if d.restore {
		return refused("Conflict", "userPrincipalName", fmt.Sprintf("the deleted account cannot be restored: another account has its userPrincipalName '%s' by now", d.upn),
			"Give the account that has it, or the one to be restored, another userPrincipalName.")
	}
	return refused("Conflict", "userPrincipalName", fmt.Sprintf("another account has the userPrincipalName '%s' already", d.upn),
		"Give this person another userName, or make the userPrincipalName mapping add something unique.")
}

// store writes the row of a draft; false if it is a new one and its id is taken.
func (t *target) store(d *draft) (stored bool, err error) {
	c, is := t.u.Conn(), d.is
	switch {
	case is.pk == 0:
		pk, err := t.u.NewRow("users")
		if err != nil {
			return false, err
		}
		is.pk = pk
		if t.u.Shared() {
			if x, err := t.user(is.uuid); x != nil || err != nil {
				return false, err
			}
			t.seen[is.ID], t.ahead.rows[pk] = is, is.ID
			return true, sqlstore.Query(c, "INSERT INTO users (pk, id, version, created, content) VALUES (?1, ?2, ?3, ?4, ?5)",
				[]any{pk, is.uuid[:], is.Version, is.Created.UnixMicro(), d.content}, nil)
		}
		err = sqlstore.Query(c, "INSERT INTO users (pk, id, version, created, content) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
			[]any{pk, is.uuid[:], is.Version, is.Created.UnixMicro(), d.content}, nil)
		return sqlstore.Changes(c) == 1, err
	case is.Deleted.Equal(d.was.Deleted):
		err = sqlstore.Query(c, "UPDATE users SET version = ?2, content = ?3 WHERE pk = ?1 AND version = ?4 /*ONE ROW*/", []any{is.pk, is.Version, d.content, d.was.Version}, nil)
	default:
		err = sqlstore.Query(c, "UPDATE users SET version = ?2, content = ?3, deleted = ?4 WHERE pk = ?1 AND version = ?5 /*ONE ROW*/", []any{is.pk, is.Version, d.content, microsOrNull(is.Deleted), d.was.Version}, nil)
	}
	t.seen[is.ID] = is
	return true, err
}

func microsOrNull(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UnixMicro()
}

// taken reports whether a live user has the userPrincipalName, which is filed under hash.
func (t *target) taken(upn string, hash int64) (taken bool, err error) {
	err = t.eachFiled(hash, func(x *user) error {
		taken = taken || x.has("userPrincipalName", upn)
		return nil
	})
	return taken, err
}

func refused(code, attribute, reason, advice string) *provision.TargetError {
	return &provision.TargetError{Code: code, Attribute: attribute, Reason: reason, Advice: advice}
}

// row reads a row of columns.
func row(st sqlstore.Row) (*user, error) {
	var id uuid.UUID
	st.ColumnBytes(0, id[:])
	o := &provision.Object{ID: id.String(), Version: st.ColumnInt64(1), Created: time.UnixMicro(st.ColumnInt64(2)).UTC()}
	if !st.ColumnIsNull(3) {
		o.Deleted = time.UnixMicro(st.ColumnInt64(3)).UTC()
	}
	attributes, err := decode(sqlstore.Blob(st, 4))
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", o.ID, err)
	}
	o.Attributes = attributes
	return &user{st.ColumnInt64(5), id, o}, nil
}
