package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"induct/internal/provision"
)

const pendingColumns = "q.person, q.kind, q.verdict, q.staged, q.due, q.content, q.record, q.decided_by"

// pendingRecord reads a row that begins with pendingColumns.
func pendingRecord(st Row) (p provision.Pending, err error) {
	if err := json.Unmarshal([]byte(st.ColumnText(5)), &p); err != nil {
		return p, fmt.Errorf("pending record of person %d: %w", st.ColumnInt64(0), err)
	}
	p.Place, p.Kind, p.Verdict, p.Staged = st.ColumnInt64(0), provision.PendingKind(st.ColumnInt(1)), provision.Verdict(st.ColumnInt(2)), st.ColumnBool(3)
	p.Due = micros(st, 4)
	if by := st.ColumnText(7); by != "" {
		p.By = by
	}
	if !st.ColumnIsNull(6) {
		p.Record, err = unpackKept(Blob(st, 6))
	}
	return p, err
}

// Pending implements provision.Unit.
func (u *Unit) Pending(anchor string) (p *provision.Pending, err error) {
	at, err := u.find(anchor)
	if err != nil || at.pk == 0 {
		return nil, err
	}
	return u.pendingOf(at.pk)
}

// pendingRow returns where the person of a pending record is, 0 if there is none, and what is stored there. Whoever has read the
// record knows its place.
func (u *Unit) pendingRow(p *provision.Pending) (person int64, old *provision.Pending, err error) {
	if p.Place != 0 {
		if old, err = u.pendingOf(p.Place); err != nil || old != nil && old.Anchor == p.Anchor {
			return p.Place, old, err
		}
	}
	at, err := u.find(p.Anchor)
	if err != nil || at.pk == 0 {
		return 0, nil, err
	}
	old, err = u.pendingOf(at.pk)
	return at.pk, old, err
}

func (u *Unit) pendingOf(person int64) (p *provision.Pending, err error) {
	err = query(u.conn, "SELECT "+pendingColumns+" FROM pending q WHERE q.person = ?1 AND q.job = ?2 /*FOR UPDATE*/", []any{person, u.job}, func(st Row) error {
		record, err := pendingRecord(st)
		p = &record
		return err
	})
	return p, err
}

// PutPending implements provision.Unit.
func (u *Unit) PutPending(p provision.Pending) error {
	person, old, err := u.pendingRow(&p)
	if err != nil {
		return err
	}
	if person == 0 {
		return fmt.Errorf("the person of a pending record, operation %d of upload %d: %w", p.Index, p.Upload, provision.ErrNotFound) // without the anchor: errors go to the log
	}
	var record []byte
	if p.Record != nil {
		record = packKept(p.Record)
	}
	p.Record = nil
	content, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = query(u.conn, `INSERT INTO pending (person, job, kind, verdict, staged, due, content, record, decided_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
		ON CONFLICT (person) DO UPDATE SET kind = excluded.kind, verdict = excluded.verdict, staged = excluded.staged, due = excluded.due,
			content = excluded.content, record = excluded.record, decided_by = excluded.decided_by`,
		[]any{person, u.job, int(p.Kind), int(p.Verdict), p.Staged, p.Due.UnixMicro(), string(content), record, p.By}, nil)
	if err != nil {
		return err
	}
	if old != nil && old.Kind != p.Kind && old.Upload == p.Upload && old.Index == p.Index {
		u.move(p, old.Kind.End(), p.Kind.End())
	}
	u.countPending(old, -1)
	u.countPending(&p, 1)
	return u.putPendingKind(person, p.Kind)
}

// EndPending implements provision.Unit.
func (u *Unit) EndPending(p provision.Pending, end provision.End) error {
	person, old, err := u.pendingRow(&p)
	if err != nil || old == nil {
		return err
	}
	if end != "" {
		u.move(*old, old.Kind.End(), end)
	}
	u.countPending(old, -1)
	if err := query(u.conn, "DELETE FROM pending WHERE person = ?1", []any{person}, nil); err != nil {
		return err
	}
	return u.putPendingKind(person, provision.PendingNone)
}

// putPendingKind notes with a person what is pending. That is read far more often than it changes, and rows are large.
func (u *Unit) putPendingKind(person int64, kind provision.PendingKind) error {
	return query(u.conn, "UPDATE person SET pending = ?2 WHERE pk = ?1 AND pending <> ?2", []any{person, int(kind)}, nil)
}

// countPending counts n times a pending record, if there is one.
func (u *Unit) countPending(p *provision.Pending, n int64) {
	switch {
	case p == nil:
	case p.Kind == provision.PendingRetry:
		u.retrying += n
	case p.Staged:
		u.held, u.staged = u.held+n, u.staged+n
	default:
		u.held += n
	}
}

// move notes that a record of an upload counts otherwise now. Re-evaluations have no such counts.
func (u *Unit) move(p provision.Pending, from, to provision.End) {
	if p.Upload <= 0 || from == to {
		return
	}
	m := u.moves[p.Upload]
	if m == nil {
		m = map[provision.End]int{}
		u.moves[p.Upload] = m
	}
	m[from]--
	m[to]++
	u.tally(p.Cycle, from, -1)
	u.tally(p.Cycle, to, 1)
}

// writeMoves changes the counts of uploads by what has been noted, and settles those that nothing keeps open any more.
func (u *Unit) writeMoves() error {
	for number, changes := range u.moves {
		counts := map[provision.End]int{}
		err := query(u.conn, "SELECT counts FROM upload WHERE job = ?1 AND number = ?2", []any{u.job, number}, func(st Row) error {
			return json.Unmarshal([]byte(st.ColumnText(0)), &counts)
		})
		if err != nil {
			return fmt.Errorf("counts of upload %d: %w", number, err)
		}
		pending := 0
		for end, n := range changes {
			if counts[end] += n; counts[end] == 0 {
				delete(counts, end)
			}
		}
		for end, n := range counts {
			if n < 0 {
				return fmt.Errorf("upload %d would count %d records as %s", number, n, end)
			}
			if !end.Final() {
				pending += n
			}
		}
		text, err := json.Marshal(counts)
		if err != nil {
			return err
		}
		err = query(u.conn, `UPDATE upload SET counts = ?3, pending = ?4, settled = CASE WHEN ?4 = 0 AND closed IS NOT NULL THEN coalesce(settled, ?5) END
			WHERE job = ?1 AND number = ?2`, []any{u.job, number, string(text), pending, u.s.now().UnixMicro()}, nil)
		if err != nil {
			return err
		}
	}
	clear(u.moves)
	return nil
}

// Judge implements provision.Unit. Its errors may name an anchor, because they are for whoever has named it.
func (u *Unit) Judge(kind provision.PendingKind, v provision.Verdict, by string, anchors []string) (n int, err error) {
	if err := u.lockJob(); err != nil {
		return 0, err
	}
	const which = " WHERE job = ?1 AND (?2 = 0 OR kind = ?2) AND verdict = 0 AND (staged = 0 OR ?3 = 1)"
	set := "UPDATE pending INDEXED BY pending_job SET verdict = ?4, decided_by = ?5" + which
	asked := by != "" // somebody, who decides about staged records too
	if anchors == nil {
		err := query(u.conn, set, []any{u.job, int(kind), asked, int(v), by}, nil)
		return u.conn.changes(), err
	}
	var rows []int64
	for _, a := range anchors {
		at, err := u.find(a)
		if err != nil {
			return 0, err
		}
		waits := false
		err = query(u.conn, "SELECT 1 FROM pending"+which+" AND person = ?4", []any{u.job, int(kind), asked, at.pk}, func(Row) error { waits = true; return nil })
		if err != nil {
			return 0, err
		}
		if !waits {
			return 0, fmt.Errorf("nothing of the person with externalId %q waits for a verdict: %w", a, provision.ErrNotFound)
		}
		rows = append(rows, at.pk)
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	for _, pk := range rows {
		if err := query(u.conn, "UPDATE pending SET verdict = ?2, decided_by = ?3 WHERE person = ?1", []any{pk, int(v), by}, nil); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// CountUnjudged implements provision.Unit.
func (u *Unit) CountUnjudged() (n int64, err error) {
	if err := u.lockJob(); err != nil {
		return 0, err
	}
	err = query(u.conn, "SELECT count(*) FROM pending INDEXED BY pending_unjudged WHERE job = ?1 AND kind = 1 AND verdict = 0 AND staged = 0", []any{u.job},
		func(st Row) error { n = st.ColumnInt64(0); return nil })
	return n, err
}

// Held implements provision.Unit.
func (u *Unit) Held() (n int64, err error) {
	if err := u.lockJob(); err != nil {
		return 0, err
	}
	err = query(u.conn, "SELECT held FROM progress WHERE job = ?1", []any{u.job}, func(st Row) error { n = st.ColumnInt64(0); return nil })
	return n + u.held, err
}

// Enabled implements provision.Unit.
func (u *Unit) Enabled() (n int64, err error) {
	if err := u.lockJob(); err != nil {
		return 0, err
	}
	err = query(u.conn, "SELECT enabled FROM progress WHERE job = ?1", []any{u.job}, func(st Row) error { n = st.ColumnInt64(0); return nil })
	return n + u.enabled, err
}

// PendingRecords implements provision.Store.
func (s *Store) PendingRecords(ctx context.Context, jobPK int64, q provision.PendingQuery) (page provision.PendingPage, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	take := func(st Row) error {
		if len(page.Records) == q.Limit {
			page.More = true
			return errEnough
		}
		p, err := pendingRecord(st)
		page.Records, page.Next = append(page.Records, p), p.Place
		return err
	}
	if q.Anchor != "" {
		err = s.ReadKeyed(ctx, []int64{HashKey(anchorSpace, jobPK, q.Anchor)}, func(c Conn, rows [][]int64) error {
			for _, pk := range rows[0] {
				err := query(c, "SELECT "+pendingColumns+` FROM pending q JOIN person p ON p.pk = q.person
					WHERE q.person = ?1 AND q.person > ?5 AND p.anchor = ?2 AND q.job = ?3 AND (?4 = 0 OR q.kind = ?4) AND q.staged >= ?6`,
					[]any{pk, q.Anchor, jobPK, int(q.Kind), q.After, q.Staged}, take)
				if err != nil {
					return err
				}
			}
			return nil
		})
		return page, err
	}
	err = s.read(ctx, func(c Conn) error {
		if q.Kind == provision.PendingNone {
			const of = "SELECT " + pendingColumns + " FROM pending q INDEXED BY pending_job WHERE q.job = ?1 AND q.person > ?2 AND q.staged >= ?3 AND q.kind = "
			return c.scan(of+"1 UNION ALL "+of+"2 ORDER BY 1", []any{jobPK, q.After, q.Staged}, take)
		}
		return c.scan("SELECT "+pendingColumns+" FROM pending q INDEXED BY pending_job WHERE q.job = ?1 AND q.kind = ?2 AND q.person > ?3 AND q.staged >= ?4 ORDER BY q.person",
			[]any{jobPK, int(q.Kind), q.After, q.Staged}, take)
	})
	if err == errEnough {
		err = nil
	}
	return page, err
}

// sets are the conditions of provision's PendingSets, and the index of each.
var sets = map[provision.PendingSet]string{
	provision.SetUnjudged: "q INDEXED BY pending_unjudged JOIN person p ON p.pk = q.person WHERE q.job = ?1 AND q.kind = 1 AND q.verdict = 0 AND q.staged = 0 AND ?2 > 0 ORDER BY q.due, q.person",
	provision.SetApproved: "q INDEXED BY pending_approved JOIN person p ON p.pk = q.person WHERE q.job = ?1 AND q.verdict = 1 AND ?2 > 0 ORDER BY q.person",
	provision.SetRefused:  "q INDEXED BY pending_refused JOIN person p ON p.pk = q.person WHERE q.job = ?1 AND q.verdict > 1 AND ?2 > 0 ORDER BY q.person",
	provision.SetDue:      "q INDEXED BY pending_due JOIN person p ON p.pk = q.person WHERE q.job = ?1 AND q.kind = 2 AND q.verdict = 0 AND q.due <= ?2 ORDER BY q.due, q.person",
}

// PendingPeople implements provision.Store.
func (s *Store) PendingPeople(ctx context.Context, jobPK int64, set provision.PendingSet, now time.Time, limit int) (all []provision.PendingPerson, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT "+pendingColumns+", p."+"pk, p.anchor, p.object, p.version, p.hash, p.program, p.upload, p.place, p.name, p.enabled, p.pending, p.revision, p.kept FROM pending "+
			sets[set]+" LIMIT ?3", []any{jobPK, now.UnixMicro(), limit}, func(st Row) error {
			record, err := pendingRecord(st)
			if err != nil {
				return err
			}
			p := personAt(st, 8)
			p.Kept, err = unpackKept(Blob(st, 20))
			all = append(all, provision.PendingPerson{Pending: record, Person: *p})
			return err
		})
	})
	return all, err
}

// Lane implements provision.Store.
func (s *Store) Lane(ctx context.Context, jobPK int64) (l provision.Lane, err error) {
	err = s.read(ctx, func(c Conn) error {
		if s.pg != nil {
			if err := s.pg.lanes(c, jobPK, &l); err != nil {
				return err
			}
		}
		found := false
		err := query(c, `SELECT p.position, j.accepted > p.taken, p.held + p.retrying > 0, p.condition, p.cycle FROM job j JOIN progress p ON p.job = j.pk WHERE j.pk = ?1`, []any{jobPK}, func(st Row) error {
			if l.Job, l.Waits, l.Unjudged, found = st.ColumnInt64(0), st.ColumnBool(1), st.ColumnBool(2), true; s.pg == nil {
				l.Held, l.Lanes, l.Epoch, l.First, l.Position, l.To = 1, 1, 1, true, l.Job, math.MaxInt64
			}
			l.Latest = st.ColumnInt64(4)
			return json.Unmarshal([]byte(st.ColumnText(3)), &l.Condition)
		})
		if err != nil || !found {
			return errorsOr(err, provision.ErrNotFound)
		}
		if l.Cycle, _, err = openCycle(c, jobPK); err != nil {
			return err
		}
		err = query(c, `SELECT CASE WHEN ?2 = 1 AND EXISTS (SELECT 1 FROM reference INDEXED BY reference_ready WHERE job = ?1 AND ready = 1 AND due = 0) THEN 0
			ELSE (SELECT min(due) FROM reference INDEXED BY reference_deferred WHERE job = ?1 AND due > 0) END`, []any{jobPK, l.Cycle == nil}, func(st Row) error {
			l.Deferred = micros(st, 0)
			return nil
		})
		if err == nil && l.Cycle == nil && l.Deferred.IsZero() {
			woken := false
			if woken, err = s.wokenWait(c, jobPK); woken {
				l.Deferred = time.UnixMicro(0)
			}
		}
		if err != nil || !l.Unjudged {
			return err
		}
		return query(c, `SELECT (SELECT min(due) FROM pending INDEXED BY pending_unjudged WHERE job = ?1 AND kind = 1 AND verdict = 0 AND staged = 0),
			(SELECT max(due) FROM pending INDEXED BY pending_unjudged WHERE job = ?1 AND kind = 1 AND verdict = 0 AND staged = 0),
			EXISTS (SELECT 1 FROM pending INDEXED BY pending_approved WHERE job = ?1 AND verdict = 1),
			EXISTS (SELECT 1 FROM pending INDEXED BY pending_refused WHERE job = ?1 AND verdict > 1),
			(SELECT min(due) FROM pending INDEXED BY pending_due WHERE job = ?1 AND kind = 2 AND verdict = 0)`, []any{jobPK}, func(st Row) error {
			l.Unjudged, l.HeldFirst, l.HeldLast = !st.ColumnIsNull(0), micros(st, 0), micros(st, 1)
			l.Approved, l.Refused, l.Due = st.ColumnBool(2), st.ColumnBool(3), micros(st, 4)
			return nil
		})
	})
	return l, err
}

func errorsOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
