package directory

import (
	"slices"

	"github.com/google/uuid"

	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// Where other processes share the store, a question costs a journey to the database: so what many will ask is asked together before.
// Each prefetch changes no answer; on a store of one process it does nothing.

// prefetched is what has been read ahead.
type prefetched struct {
	users    map[uuid.UUID]bool  // read by id, found or not; who was found is in seen
	versions map[uuid.UUID]int64 // 0: there is no such user
	rows     map[int64]string    // ids by place; "": there is no live user
}

// prefetch reads what queries will ask.
func (t *target) prefetch(queries []provision.Query) error {
	if !t.u.Shared() {
		return nil
	}
	var whole, versioned [][]byte
	var hashes []int64
	for _, q := range queries {
		id, err := uuid.Parse(q.ID)
		switch {
		case q.ID == "":
			if slices.Contains(filed, q.Attribute) {
				hashes = append(hashes, key(q.Attribute, q.Value))
			}
		case err != nil:
		case q.Version != 0:
			versioned = append(versioned, id[:])
		default:
			whole = append(whole, id[:])
		}
	}
	if err := t.prefetchVersions(versioned); err != nil {
		return err
	}
	if err := t.prefetchUsers(whole); err != nil {
		return err
	}
	return t.prefetchFiled(hashes)
}

func (t *target) prefetchVersions(ids [][]byte) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		t.ahead.versions[uuid.UUID(id)] = 0
	}
	return sqlstore.Query(t.u.Conn(), "SELECT id, version FROM users WHERE id = ANY(?1)", []any{ids}, func(st sqlstore.Row) error {
		var id uuid.UUID
		st.ColumnBytes(0, id[:])
		t.ahead.versions[id] = st.ColumnInt64(1)
		return nil
	})
}

// prefetchUsers reads users by id.
func (t *target) prefetchUsers(ids [][]byte) error {
	ids = slices.DeleteFunc(ids, func(id []byte) bool { return t.ahead.users[uuid.UUID(id)] })
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		t.ahead.users[uuid.UUID(id)] = true
	}
	return sqlstore.Query(t.u.Conn(), "SELECT "+columns+" FROM users WHERE id = ANY(?1)", []any{ids}, func(st sqlstore.Row) error {
		_, err := t.see(st)
		return err
	})
}

// see returns a user as the transaction has it of whom a row was read.
func (t *target) see(st sqlstore.Row) (*user, error) {
	x, err := row(st)
	if err != nil {
		return nil, err
	}
	if seen := t.seen[x.ID]; seen != nil {
		return seen, nil
	}
	t.seen[x.ID] = x
	return x, nil
}

// prefetchFiled reads who is filed under hashes.
func (t *target) prefetchFiled(hashes []int64) error {
	if err := t.u.Prefetch(hashes); err != nil {
		return err
	}
	var places []int64
	for _, h := range hashes {
		rows, err := t.u.Keyed(h)
		if err != nil {
			return err
		}
		for _, pk := range rows {
			if _, read := t.ahead.rows[pk]; !read {
				t.ahead.rows[pk] = ""
				places = append(places, pk)
			}
		}
	}
	if len(places) == 0 {
		return nil
	}
	return sqlstore.Query(t.u.Conn(), "SELECT "+columns+" FROM users WHERE pk = ANY(?1)", []any{places}, func(st sqlstore.Row) error {
		x, err := t.see(st)
		if err == nil {
			t.ahead.rows[x.pk] = x.ID
		}
		return err
	})
}

// prefetchDrafts reads who has the names that drafts take, and whether the ids of new users are free.
func (t *target) prefetchDrafts(drafts []draft) error {
	if !t.u.Shared() {
		return nil
	}
	var hashes []int64
	var ids [][]byte
	for i := range drafts {
		d := &drafts[i]
		if d.claims {
			hashes = append(hashes, d.in[0].hash)
		}
		for _, f := range d.in {
			if t.claims(f.attribute) {
				hashes = append(hashes, f.hash)
			}
		}
		if d.is != nil && d.is.pk == 0 {
			ids = append(ids, d.is.uuid[:])
		}
	}
	if err := t.prefetchUsers(ids); err != nil {
		return err
	}
	return t.prefetchFiled(hashes)
}
