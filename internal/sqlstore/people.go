package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// The spaces of the keys that are filed here, each for one job.
const (
	anchorSpace    = "person"    // an anchor → person
	referenceSpace = "reference" // an anchor and an attribute → reference of that person
	referrerSpace  = "referrer"  // an anchor → references to that person
)

const personColumns = "pk, anchor, object, version, hash, program, upload, place, name, enabled, pending, revision"

// person reads a row of personColumns.
func person(st Row) *provision.Person { return personAt(st, 0) }

// personAt reads a row whose columns from the one given on are personColumns.
func personAt(st Row, i int) *provision.Person {
	p := &provision.Person{Anchor: st.ColumnText(i + 1), ObjectID: idText(st, i+2), Version: st.ColumnInt64(i + 3), Program: uint64(st.ColumnInt64(i + 5)),
		Upload: st.ColumnInt64(i + 6), Index: st.ColumnInt(i + 7), Name: st.ColumnText(i + 8), Enabled: st.ColumnBool(i + 9),
		Pending: provision.PendingKind(st.ColumnInt(i + 10)), Revision: st.ColumnInt64(i + 11)}
	st.ColumnBytes(i+4, p.Hash[:])
	return p
}

// People implements provision.Store.
func (s *Store) People(ctx context.Context, jobPK int64, sought []provision.Sought) ([]*provision.Person, error) {
	if s.pg != nil {
		return s.pgPeople(ctx, jobPK, sought)
	}
	people := make([]*provision.Person, len(sought))
	var places []int // of those who must be read
	var hashes []int64
	for i, q := range sought {
		key := keyOfAnchor(jobPK, q.Anchor)
		if p := s.known.get(q.Anchor, key); p != nil && p.Hash == q.Hash {
			people[i] = p
			continue
		}
		places, hashes = append(places, i), append(hashes, key.hash)
	}
	if len(places) == 0 {
		return people, nil
	}
	err := s.ReadKeyed(ctx, hashes, func(c Conn, rows [][]int64) error {
		for n, i := range places {
			for _, pk := range rows[n] {
				if err := readPerson(c, pk, jobPK, sought[i], &people[i]); err != nil {
					return fmt.Errorf("person in row %d: %w", pk, err) // without the anchor: errors go to the log
				}
			}
		}
		return nil
	})
	return people, err
}

func readPerson(c Conn, pk, jobPK int64, q provision.Sought, into **provision.Person) error {
	return query(c, "SELECT "+personColumns+", kept FROM person WHERE pk = ?1 AND job = ?2 AND anchor = ?3", []any{pk, jobPK, q.Anchor},
		func(st Row) (err error) {
			p := person(st)
			if p.Hash != q.Hash || p.Hash == ([16]byte{}) {
				p.Kept, err = unpackKept(Blob(st, 12))
			}
			*into = p
			return err
		})
}

// Remember implements provision.Unit.
func (u *Unit) Remember(p *provision.Person) {
	u.remembered = append(u.remembered, rememberedPerson{key: keyOfAnchor(u.job, p.Anchor), object: uuidOf(p.ObjectID), version: p.Version, program: p.Program, hash: p.Hash})
}

// forget has nothing known of a person from memory, not even what this Unit has said to remember before.
func (u *Unit) forget(anchor string) {
	key := keyOfAnchor(u.job, anchor)
	u.s.known.forget(key)
	u.remembered = append(u.remembered, rememberedPerson{key: key})
	if u.s.pg == nil {
		delete(u.places, anchor)
	}
}

// uuidOf returns an object's id, the nil UUID for what is none.
func uuidOf(id string) uuid.UUID {
	u, err := uuid.Parse(id)
	if err != nil {
		return uuid.Nil
	}
	return u
}

// place is where a person is stored, and what counters say of the row.
type place struct {
	pk      int64  // 0: there is no such person
	object  string // the link
	enabled bool

	revision int64
	wrote    bool // by this transaction
	fresh    bool // and nobody knew the person before it
}

// find returns the row of an anchor.
func (u *Unit) find(anchor string) (place, error) {
	if u.s.pg != nil {
		at, err := u.pgFind(anchor)
		return *at, err
	}
	return u.findKey(anchor, keyOfAnchor(u.job, anchor))
}

func (u *Unit) findKey(anchor string, key anchorKey) (at place, err error) {
	if u.s.pg != nil {
		return u.find(anchor)
	}
	if at := u.places[anchor]; at != nil {
		return *at, nil
	}
	rows, err := u.Keyed(key.hash)
	if err != nil {
		return at, err
	}
	for _, row := range rows {
		err := query(u.conn, "SELECT pk, object, enabled, revision FROM person WHERE pk = ?1 AND job = ?2 AND anchor = ?3", []any{row, u.job, anchor},
			func(st Row) error {
				at = place{pk: st.ColumnInt64(0), object: idText(st, 1), enabled: st.ColumnBool(2), revision: st.ColumnInt64(3)}
				return nil
			})
		if err != nil || at.pk != 0 {
			return at, err
		}
	}
	return at, nil
}

// LinkedAnchors implements provision.Unit.
func (u *Unit) LinkedAnchors(ids []string) ([]string, error) {
	return linkedAnchors(u.conn, u.job, ids)
}

// LinkedAnchors implements provision.Store.
func (s *Store) LinkedAnchors(ctx context.Context, jobPK int64, ids []string) (anchors []string, err error) {
	err = s.read(ctx, func(c Conn) error {
		anchors, err = linkedAnchors(c, jobPK, ids)
		return err
	})
	return anchors, err
}

func linkedAnchors(conn Conn, job int64, ids []string) ([]string, error) {
	anchors := make([]string, len(ids))
	for i, id := range ids {
		object := idBytes(id)
		if object == nil {
			continue
		}
		err := query(conn, "SELECT anchor FROM person WHERE job = ?1 AND object = ?2", []any{job, object}, func(st Row) error {
			anchors[i] = st.ColumnText(0)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return anchors, nil
}

// Links implements provision.Unit.
func (u *Unit) Links(anchors []string) ([]string, error) {
	ids := make([]string, len(anchors))
	if err := u.prefetchPeople(anchors); err != nil {
		return nil, err
	}
	for i, a := range anchors {
		if a == "" {
			continue
		}
		key := keyOfAnchor(u.job, a)
		if p := u.s.known.get(a, key); p != nil { // nobody of this Unit, and nobody who has lost the link
			ids[i] = p.ObjectID
			continue
		}
		at, err := u.findKey(a, key)
		if err != nil {
			return nil, err
		}
		ids[i] = at.object
	}
	return ids, nil
}

// PutPeople implements provision.Unit.
func (u *Unit) PutPeople(people []provision.Person) error {
	kept := make([][]byte, len(people))
	packed := provision.Ahead(len(people), 32, func(i int) { kept[i] = packKept(people[i].Kept) })
	if u.s.pg != nil {
		anchors := make([]string, len(people))
		for i := range people {
			anchors[i] = people[i].Anchor
		}
		if err := u.prefetchPeople(anchors); err != nil {
			return err
		}
	}
	for i := range people {
		packed(i)
		if err := u.putPerson(&people[i], kept[i]); err != nil {
			return fmt.Errorf("store the person of upload %d, operation %d: %w", people[i].Upload, people[i].Index, err)
		}
	}
	return nil
}

func (u *Unit) putPerson(p *provision.Person, kept []byte) error {
	key := keyOfAnchor(u.job, p.Anchor)
	at, err := u.findKey(p.Anchor, key)
	if err != nil {
		return err
	}
	if p.Revision != 0 && p.Revision != at.revision && !at.wrote {
		return fmt.Errorf("the person has been written by somebody else: %w", provision.ErrFenced)
	}
	object := uuidOf(p.ObjectID)
	linked := p.ObjectID
	if object == uuid.Nil {
		linked = ""
	}
	is := place{pk: at.pk, object: linked, enabled: p.Enabled && linked != "", revision: at.revision + 1, wrote: true, fresh: at.pk == 0 || at.fresh}
	args := []any{at.pk, u.job, p.Anchor, bytesOf(object), p.Version, bytesOf(p.Hash), int64(p.Program), p.Upload, p.Index, p.Name, kept, is.enabled, int(p.Pending), is.revision}
	if at.pk == 0 {
		if is.pk, err = u.NewRow("person"); err != nil {
			return err
		}
		args[0] = is.pk
		err = query(u.conn, `INSERT INTO person (pk, job, anchor, object, version, hash, program, upload, place, name, kept, enabled, pending, revision)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)`, args, nil)
		u.Claim(key.hash, is.pk)
	} else {
		u.s.known.forget(key) // nobody is known who is not stored
		err = query(u.conn, `UPDATE person SET object = ?4, version = ?5, hash = ?6, program = ?7, upload = ?8, place = ?9, name = ?10, kept = ?11,
			enabled = ?12, pending = ?13, revision = ?14 WHERE pk = ?1 AND job = ?2 AND anchor = ?3 AND revision = ?14 - 1 /*ONE ROW*/`, args, nil)
	}
	if err != nil {
		return err
	}
	p.Revision = is.revision
	u.remembered = append(u.remembered, rememberedPerson{key: key, object: object, version: p.Version, program: p.Program, hash: p.Hash})
	return u.relinked(p.Anchor, at, is)
}

// bytesOf returns the stored form of an id or a hash, nil if it is zero.
func bytesOf[T ~[16]byte](b T) []byte {
	if b == (T{}) {
		return nil
	}
	return b[:]
}

// relinked keeps the counters of a person's link, and makes the references to somebody ready who has been linked.
func (u *Unit) relinked(anchor string, was, is place) error {
	u.places[anchor] = &is
	count := func(yes bool) int64 {
		if yes {
			return 1
		}
		return 0
	}
	u.linked += count(is.object != "") - count(was.object != "")
	u.enabled += count(is.enabled) - count(was.enabled)
	if is.object == "" || is.object == was.object {
		return nil
	}
	return u.wake(anchor)
}

// Touch implements provision.Unit.
func (u *Unit) Touch(r provision.PendingReference, version int64) error {
	key := keyOfAnchor(u.job, r.Anchor)
	if p := u.s.known.get(r.Anchor, key); p != nil {
		u.s.known.forget(key)
		p.Version = version
		u.Remember(p)
	}
	return query(u.conn, "UPDATE person SET version = ?2 WHERE pk = ?1 AND job = ?3", []any{r.PersonRow, version, u.job}, nil)
}

// reference returns the row of a person's reference and whom it names; 0 if there is none.
func (u *Unit) reference(anchor, attribute string) (pk int64, target string, err error) {
	if at := u.places[anchor]; at != nil && at.fresh { // only what this Unit has filed is there
		if h := referenceKey(u.job, anchor, attribute); u.s.pg != nil && u.saw[h] == nil {
			u.saw[h] = []pgKey{}
		}
	}
	rows, err := u.Keyed(referenceKey(u.job, anchor, attribute))
	if err != nil {
		return 0, "", err
	}
	for _, row := range rows {
		err := query(u.conn, "SELECT pk, target FROM reference WHERE pk = ?1 AND job = ?2 AND anchor = ?3 AND attribute = ?4",
			[]any{row, u.job, anchor, attribute}, func(st Row) error {
				pk, target = st.ColumnInt64(0), st.ColumnText(1)
				return nil
			})
		if err != nil || pk != 0 {
			return pk, target, err
		}
	}
	return 0, "", nil
}

func referenceKey(job int64, anchor, attribute string) int64 {
	return HashKey(referenceSpace, job, attribute+"\x00"+anchor)
}

// PutReference implements provision.Unit.
func (u *Unit) PutReference(r provision.PendingReference) error {
	if err := u.dropReference(r); err != nil {
		return err
	}
	at, err := u.find(r.Anchor)
	if err != nil {
		return err
	}
	linked, err := u.Links([]string{r.To})
	if err != nil {
		return err
	}
	ready := linked[0] != ""
	pk, err := u.NewRow("reference")
	if err != nil {
		return err
	}
	err = query(u.conn, "INSERT INTO reference (pk, job, person, anchor, attribute, target, upload, place, bulk_id, ready) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
		[]any{pk, u.job, at.pk, r.Anchor, r.Attribute, r.To, r.Upload, r.Index, r.BulkID, ready}, nil)
	if err != nil {
		return err
	}
	if !ready && u.s.pg == nil {
		u.s.waiting[u.job] = true // also if this is rolled back: it only says that there is something to look for
	}
	u.Claim(referenceKey(u.job, r.Anchor, r.Attribute), pk)
	u.File(HashKey(referrerSpace, u.job, r.To), pk)
	return nil
}

// ReadyReferences implements provision.Unit.
func (u *Unit) ReadyReferences(now time.Time, limit int) (refs []provision.PendingReference, err error) {
	err = u.makeReady(maps.Keys(u.handed))
	clear(u.handed)
	for again := true; again && err == nil; {
		if refs, err = u.references("INDEXED BY reference_ready", "r.ready = 1 AND r.due <= ?3", limit, now.UnixMicro()); err == nil {
			refs, again, err = u.addWoken(refs, limit)
		}
	}
	if err != nil || u.s.pg == nil {
		return refs, err
	}
	return u.addUnreported(refs, true, &u.looked, limit) // on from where it was before in this Unit
}

// DeferReference implements provision.Unit.
func (u *Unit) DeferReference(r provision.PendingReference, due time.Time) error {
	delete(u.handed, r.Row)
	return query(u.conn, "UPDATE reference SET ready = 1, due = ?2, attempts = attempts + 1 WHERE pk = ?1", []any{r.Row, due.UnixMicro()}, nil)
}

// UnreportedReferences implements provision.Unit.
func (u *Unit) UnreportedReferences(limit int) ([]provision.PendingReference, error) {
	if u.s.pg == nil && !u.s.waiting[u.job] {
		return nil, nil
	}
	if u.s.pg != nil {
		return u.addUnreported(nil, false, new(provision.PendingReference), limit)
	}
	return u.references("INDEXED BY reference_unreported", "r.ready = 0 AND r.reported = 0", limit)
}

func (u *Unit) references(index, condition string, limit int, args ...any) (refs []provision.PendingReference, err error) {
	err = query(u.conn, referenceColumns+" FROM reference r "+index+
		" WHERE r.job = ?1 AND "+condition+" ORDER BY r.upload, r.place LIMIT ?2", append([]any{u.job, limit}, args...), func(st Row) error {
		r := pendingReference(st)
		refs, u.waits[r.Row] = append(refs, r), st.ColumnInt64(11) == 0
		return nil
	})
	return refs, err
}

// The person is asked for in a subquery: SQLite parses a LEFT JOIN with a parameter in WHERE anew at each use.
const referenceColumns = "SELECT r.anchor, r.attribute, r.target, r.upload, r.place, r.bulk_id, r.reported, (SELECT object FROM person WHERE pk = r.person), r.pk, r.person, r.attempts, r.ready"

// pendingReference reads a row of referenceColumns.
func pendingReference(st Row) provision.PendingReference {
	return provision.PendingReference{Anchor: st.ColumnText(0), Attribute: st.ColumnText(1), To: st.ColumnText(2),
		Upload: st.ColumnInt64(3), Index: st.ColumnInt(4), BulkID: st.ColumnText(5), Reported: st.ColumnBool(6),
		From: idText(st, 7), Row: st.ColumnInt64(8), PersonRow: st.ColumnInt64(9), Attempts: st.ColumnInt(10)}
}

// EndReference implements provision.Unit.
func (u *Unit) EndReference(r provision.PendingReference, resolved bool) error {
	if resolved {
		return u.dropReference(r)
	}
	pk, _, err := u.referenceRow(r)
	if err != nil || pk == 0 {
		return err
	}
	if u.s.pg == nil {
		u.s.waiting[u.job] = true
	}
	delete(u.handed, pk)
	if waits, read := u.waits[pk]; read && waits && u.s.pg != nil { // unless somebody has linked its target since
		return query(u.conn, "UPDATE reference SET reported = 1 WHERE pk = ?1 AND ready = 0", []any{pk}, nil)
	}
	return query(u.conn, "UPDATE reference SET ready = 0, reported = 1, due = 0, attempts = 0 WHERE pk = ?1", []any{pk}, nil)
}

// loadWaiting notes the jobs with references that wait for their target to be linked.
func (s *Store) loadWaiting(c Conn) error {
	s.waiting = map[int64]bool{}
	return query(c, "SELECT DISTINCT job FROM reference WHERE ready = 0", nil, func(st Row) error {
		s.waiting[st.ColumnInt64(0)] = true
		return nil
	})
}

func (u *Unit) dropReference(r provision.PendingReference) error {
	pk, target, err := u.referenceRow(r)
	if err != nil || pk == 0 {
		return err
	}
	delete(u.handed, pk)
	u.Unfile(referenceKey(u.job, r.Anchor, r.Attribute), pk)
	u.Unfile(HashKey(referrerSpace, u.job, target), pk)
	return query(u.conn, "DELETE FROM reference WHERE pk = ?1", []any{pk}, nil)
}

// referenceRow returns where a reference is stored and whom it names there; 0 if it is not.
func (u *Unit) referenceRow(r provision.PendingReference) (pk int64, target string, err error) {
	if r.Row != 0 {
		return r.Row, r.To, nil
	}
	return u.reference(r.Anchor, r.Attribute)
}
