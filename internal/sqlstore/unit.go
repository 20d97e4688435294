package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/s2"
	"zombiezen.com/go/sqlite"

	"induct/internal/provision"
)

// maxUnreadPaths bounds how many different unread paths a job remembers: clients choose their names.
const maxUnreadPaths = 1000

// Unit is one transaction of a job. The room that keeps its tables here writes through Conn.
type Unit struct {
	s    *Store
	conn *sqlite.Conn
	job  int64
	seq  int64
	last time.Time
}

// Conn returns the connection inside the transaction. It must not outlive the Unit.
func (u *Unit) Conn() *sqlite.Conn { return u.conn }

// Now returns the store's clock.
func (u *Unit) Now() time.Time { return u.s.now() }

// Unit implements provision.Store.
func (s *Store) Unit(ctx context.Context, f provision.Fence, fn func(provision.Unit) error) error {
	return s.w.doLarge(ctx, func(c *sqlite.Conn) error {
		at := int64(-1)
		err := query(c, "SELECT position FROM job WHERE pk = ?1", []any{f.JobPK}, func(st *sqlite.Stmt) error {
			at = st.ColumnInt64(0)
			return nil
		})
		if err != nil {
			return err
		}
		if at != f.Position {
			return fmt.Errorf("position is %d, not %d: %w", at, f.Position, provision.ErrFenced)
		}
		u := &Unit{s: s, conn: c, job: f.JobPK, seq: s.seq, last: s.last}
		if err := fn(u); err != nil {
			return err
		}
		s.seq, s.last = u.seq, u.last
		return nil
	})
}

// People implements provision.Store.
func (s *Store) People(ctx context.Context, jobPK int64, anchors []string) ([]*provision.Person, error) {
	people := make([]*provision.Person, len(anchors))
	err := s.read(ctx, func(c *sqlite.Conn) error {
		for i, a := range anchors {
			err := query(c, "SELECT object, version, hash, program, upload, place, name, kept FROM person WHERE job = ?1 AND anchor = ?2",
				[]any{jobPK, a}, func(st *sqlite.Stmt) error {
					p := &provision.Person{Anchor: a, ObjectID: idText(st, 0), Version: st.ColumnInt64(1),
						Program: uint64(st.ColumnInt64(3)), Upload: st.ColumnInt64(4), Index: st.ColumnInt(5), Name: st.ColumnText(6)}
					st.ColumnBytes(2, p.Hash[:])
					kept, err := s2.Decode(nil, Blob(st, 7))
					p.Kept = kept
					people[i] = p
					return err
				})
			if err != nil {
				return fmt.Errorf("person %q: %w", a, err)
			}
		}
		return nil
	})
	return people, err
}

// idText returns a column's id as text, "" if it is null.
func idText(st *sqlite.Stmt, col int) string {
	if st.ColumnIsNull(col) {
		return ""
	}
	var id uuid.UUID
	st.ColumnBytes(col, id[:])
	return id.String()
}

// idBytes returns the stored form of an id, nil for "" and for what is no id.
func idBytes(id string) []byte {
	u, err := uuid.Parse(id)
	if err != nil {
		return nil
	}
	return u[:]
}

// LinkedAnchors implements provision.Unit.
func (u *Unit) LinkedAnchors(ids []string) ([]string, error) {
	return u.texts("SELECT anchor FROM person WHERE job = ?1 AND object = ?2", ids,
		func(id string) any { return idBytes(id) }, func(st *sqlite.Stmt) string { return st.ColumnText(0) })
}

// Links implements provision.Unit.
func (u *Unit) Links(anchors []string) ([]string, error) {
	return u.texts("SELECT object FROM person WHERE job = ?1 AND anchor = ?2", anchors,
		func(a string) any { return a }, func(st *sqlite.Stmt) string { return idText(st, 0) })
}

func (u *Unit) texts(text string, keys []string, arg func(string) any, value func(*sqlite.Stmt) string) ([]string, error) {
	out := make([]string, len(keys))
	for i, k := range keys {
		if k == "" {
			continue
		}
		err := query(u.conn, text, []any{u.job, arg(k)}, func(st *sqlite.Stmt) error {
			out[i] = value(st)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// PutPeople implements provision.Unit.
func (u *Unit) PutPeople(people []provision.Person) error {
	for i := range people {
		p := &people[i]
		var hash []byte
		if p.Hash != ([16]byte{}) {
			hash = p.Hash[:]
		}
		object := idBytes(p.ObjectID)
		err := query(u.conn, `INSERT INTO person (job, anchor, object, version, hash, program, upload, place, name, kept)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (job, anchor) DO UPDATE SET
			object = excluded.object, version = excluded.version, hash = excluded.hash, program = excluded.program,
			upload = excluded.upload, place = excluded.place, name = excluded.name, kept = excluded.kept`,
			[]any{u.job, p.Anchor, object, p.Version, hash, int64(p.Program), p.Upload, p.Index, p.Name, s2.Encode(nil, p.Kept)}, nil)
		if err != nil {
			return fmt.Errorf("store person %q: %w", p.Anchor, err)
		}
		if object == nil {
			continue
		}
		err = query(u.conn, "UPDATE reference INDEXED BY reference_target SET ready = 1 WHERE job = ?1 AND target = ?2 AND ready = 0", []any{u.job, p.Anchor}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// PutReference implements provision.Unit.
func (u *Unit) PutReference(r provision.PendingReference) error {
	return query(u.conn, `INSERT INTO reference (job, anchor, attribute, target, upload, place, bulk_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
		ON CONFLICT (job, anchor, attribute) DO UPDATE SET target = excluded.target, upload = excluded.upload, place = excluded.place,
		bulk_id = excluded.bulk_id, reported = 0, ready = 1`,
		[]any{u.job, r.Anchor, r.Attribute, r.To, r.Upload, r.Index, r.BulkID}, nil)
}

// ReadyReferences implements provision.Unit.
func (u *Unit) ReadyReferences(limit int) (refs []provision.PendingReference, err error) {
	err = query(u.conn, `SELECT anchor, attribute, target, upload, place, bulk_id, reported FROM reference
		WHERE job = ?1 AND ready = 1 ORDER BY upload, place LIMIT ?2`, []any{u.job, limit}, func(st *sqlite.Stmt) error {
		refs = append(refs, provision.PendingReference{Anchor: st.ColumnText(0), Attribute: st.ColumnText(1), To: st.ColumnText(2),
			Upload: st.ColumnInt64(3), Index: st.ColumnInt(4), BulkID: st.ColumnText(5), Reported: st.ColumnBool(6)})
		return nil
	})
	return refs, err
}

// EndReference implements provision.Unit.
func (u *Unit) EndReference(r provision.PendingReference, resolved bool) error {
	if resolved {
		return query(u.conn, "DELETE FROM reference WHERE job = ?1 AND anchor = ?2 AND attribute = ?3", []any{u.job, r.Anchor, r.Attribute}, nil)
	}
	return query(u.conn, "UPDATE reference SET ready = 0, reported = 1 WHERE job = ?1 AND anchor = ?2 AND attribute = ?3",
		[]any{u.job, r.Anchor, r.Attribute}, nil)
}

// Touch implements provision.Unit.
func (u *Unit) Touch(anchor string, version int64) error {
	return query(u.conn, "UPDATE person SET version = ?3 WHERE job = ?1 AND anchor = ?2", []any{u.job, anchor, version}, nil)
}

// Append implements provision.Unit.
func (u *Unit) Append(entries []provision.LogEntry) error {
	if len(entries) == 0 {
		return nil
	}
	at := u.s.now().UTC().Truncate(time.Microsecond)
	if at.Before(u.last) {
		at = u.last
	}
	first := u.seq + 1
	var status [4]int
	outcomes := map[provision.End]int64{}
	anchors := make([]uint32, 0, len(entries))
	lowest, highest := entries[0].Upload, entries[0].Upload
	for i := range entries {
		e := &entries[i]
		u.seq++
		e.Seq, e.Time = u.seq, at
		status[e.Status]++
		if e.End != "" {
			outcomes[e.End]++
		}
		anchors = append(anchors, anchorHash(e.Anchor))
		lowest, highest = min(lowest, e.Upload), max(highest, e.Upload)
	}
	u.last = at
	err := query(u.conn, `INSERT INTO log_block (first, last, job, cycle, began, ended, lowest, highest, success, failure, skipped, warning, anchors, entries)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)`,
		[]any{first, u.seq, u.job, entries[0].Cycle, at.UnixMicro(), at.UnixMicro(), lowest, highest,
			status[provision.StatusSuccess], status[provision.StatusFailure], status[provision.StatusSkipped], status[provision.StatusWarning],
			packHashes(anchors), u.s.zip.encodeEntries(entries)}, nil)
	if err != nil {
		return fmt.Errorf("append %d log entries: %w", len(entries), err)
	}
	return u.tally(entries[0].Cycle, outcomes)
}

func (u *Unit) tally(cycle int64, outcomes map[provision.End]int64) error {
	for end, n := range outcomes {
		for _, cy := range []int64{0, cycle} {
			err := query(u.conn, `INSERT INTO tally (job, cycle, outcome, records) VALUES (?1, ?2, ?3, ?4)
				ON CONFLICT (job, cycle, outcome) DO UPDATE SET records = records + excluded.records`, []any{u.job, cy, string(end), n}, nil)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// CountUnread implements provision.Unit.
func (u *Unit) CountUnread(paths map[string]int64) error {
	for path, n := range paths {
		err := query(u.conn, `INSERT INTO unread_path (job, path, records)
			SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM unread_path WHERE job = ?1) < ?4 OR EXISTS (SELECT 1 FROM unread_path WHERE job = ?1 AND path = ?2)
			ON CONFLICT (job, path) DO UPDATE SET records = records + excluded.records`, []any{u.job, path, n, maxUnreadPaths}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// Advance implements provision.Unit.
func (u *Unit) Advance(results []provision.UploadResult, now time.Time) error {
	if len(results) == 0 {
		return nil
	}
	last, records := int64(0), int64(0)
	for _, r := range results {
		counts, err := json.Marshal(r.Counts)
		if err != nil {
			return err
		}
		for _, n := range r.Counts {
			records += int64(n)
		}
		last = max(last, r.Number)
		err = query(u.conn, "UPDATE upload SET body = NULL, done = ?3, counts = ?4 WHERE job = ?1 AND number = ?2",
			[]any{u.job, r.Number, now.UnixMicro(), string(counts)}, nil)
		if err != nil {
			return err
		}
	}
	return query(u.conn, "UPDATE job SET position = ?2, queued = queued - ?3 WHERE pk = ?1", []any{u.job, last, records}, nil)
}

// CloseCycle implements provision.Unit.
func (u *Unit) CloseCycle(cy *provision.Cycle, now time.Time) error {
	from := int64(0)
	err := query(u.conn, "SELECT last FROM cycle WHERE job = ?1 AND number = ?2", []any{u.job, cy.Number - 1}, func(st *sqlite.Stmt) error {
		from = st.ColumnInt64(0)
		return nil
	})
	if err != nil {
		return err
	}
	err = query(u.conn, "UPDATE upload SET settled = ?4 WHERE job = ?1 AND number > ?2 AND number <= ?3", []any{u.job, from, cy.To, now.UnixMicro()}, nil)
	if err != nil {
		return err
	}
	return query(u.conn, "UPDATE cycle SET ended = ?3 WHERE job = ?1 AND number = ?2", []any{u.job, cy.Number, now.UnixMicro()}, nil)
}

func anchorHash(a string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(a))
	return h.Sum32()
}

// packHashes returns the distinct hashes, sorted, four bytes each.
func packHashes(hs []uint32) []byte {
	slices.Sort(hs)
	hs = slices.Compact(hs)
	b := make([]byte, 0, 4*len(hs))
	for _, h := range hs {
		b = append(b, byte(h>>24), byte(h>>16), byte(h>>8), byte(h))
	}
	return b
}

var _ provision.Unit = (*Unit)(nil)
