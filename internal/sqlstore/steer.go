package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"time"

	"induct/internal/provision"
)

// PutJob implements provision.Unit.
func (u *Unit) PutJob(j *provision.Job) error {
	if err := u.lockJob(); err != nil {
		return err
	}
	return u.s.putJob(u.conn, j)
}

// PutApp implements provision.Unit.
func (u *Unit) PutApp(a *provision.App) error {
	content, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := u.s.configured(u.conn); err != nil {
		return err
	}
	pk, stored := int64(0), int64(0)
	err = query(u.conn, "SELECT pk, content FROM app WHERE id = ?1 /*FOR UPDATE*/", []any{a.ServicePrincipalID[:]}, func(st Row) error {
		pk, stored = st.ColumnInt64(0), revisionOf(st.ColumnText(1))
		return nil
	})
	switch {
	case err != nil:
		return err
	case pk == 0:
		err = query(u.conn, "INSERT INTO app (id, content) VALUES (?1, ?2)", []any{a.ServicePrincipalID[:], string(content)}, nil)
	case stored != a.Revision:
		return fmt.Errorf("app %s has been changed by somebody else: %w", a.ServicePrincipalID, provision.ErrFenced)
	default:
		err = query(u.conn, "UPDATE app SET content = ?2 WHERE pk = ?1", []any{pk, string(content)}, nil)
	}
	if err == nil {
		a.Revision = revisionOf(string(content))
	}
	return err
}

// revisionOf is the revision of an app: what it holds says whether it is still as it was read.
func revisionOf(content string) int64 {
	h := fnv.New64a()
	h.Write([]byte(content))
	return int64(h.Sum64() | 1)
}

// Apps implements provision.Store.
func (s *Store) Apps(ctx context.Context) (apps []*provision.App, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT content FROM app ORDER BY pk", nil, func(st Row) error {
			a := new(provision.App)
			apps, a.Revision = append(apps, a), revisionOf(st.ColumnText(0))
			return json.Unmarshal([]byte(st.ColumnText(0)), a)
		})
	})
	return apps, err
}

// Condition implements provision.Unit.
func (u *Unit) Condition() (cond provision.Condition, err error) {
	if err := u.lockJob(); err != nil {
		return cond, err
	}
	err = query(u.conn, "SELECT condition FROM progress WHERE job = ?1", []any{u.job}, func(st Row) error {
		return json.Unmarshal([]byte(st.ColumnText(0)), &cond)
	})
	return cond, err
}

// PutCondition implements provision.Unit.
func (u *Unit) PutCondition(cond provision.Condition) error {
	if err := u.lockJob(); err != nil {
		return err
	}
	text, err := json.Marshal(cond)
	if err != nil {
		return err
	}
	return query(u.conn, "UPDATE progress SET condition = ?2 WHERE job = ?1", []any{u.job, string(text)}, nil)
}

// CycleCounts implements provision.Unit.
func (u *Unit) CycleCounts(cycle int64) (map[provision.End]int64, error) {
	if err := u.lockJob(); err != nil {
		return nil, err
	}
	counts := map[provision.End]int64{}
	err := query(u.conn, "SELECT outcome, records FROM tally WHERE job = ?1 AND cycle = ?2", []any{u.job, cycle}, func(st Row) error {
		counts[provision.End(st.ColumnText(0))] = st.ColumnInt64(1)
		return nil
	})
	for k, n := range u.tallies {
		if k.cycle == cycle {
			counts[k.end] += n
		}
	}
	for end, n := range counts {
		if n == 0 {
			delete(counts, end)
		}
	}
	return counts, err
}

// Purge implements provision.Unit.
func (u *Unit) Purge(after int64, p provision.Purge) (provision.Purge, error) {
	if err := u.lockJob(); err != nil {
		return p, err
	}
	after = max(after, u.furthest())
	err := query(u.conn, "SELECT count(*), CAST(coalesce(sum(operations), 0) AS bigint), coalesce(min(number), 0), coalesce(max(number), 0) FROM upload WHERE job = ?1 AND number > ?2 AND done IS NULL",
		[]any{u.job, after}, func(st Row) error {
			p.Uploads, p.Records, p.First, p.Last = st.ColumnInt64(0), st.ColumnInt64(1), st.ColumnInt64(2), st.ColumnInt64(3)
			return nil
		})
	if err != nil || p.Uploads == 0 {
		return p, err
	}
	content, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	pk, err := inserted(u.conn, "INSERT INTO purge (job, content) VALUES (?1, ?2) RETURNING pk", u.job, string(content))
	if err != nil {
		return p, err
	}
	err = query(u.conn, `UPDATE upload SET done = ?3, closed = ?3, settled = ?3, purge = ?4, counts = '{"purged":' || CAST(operations AS text) || '}' WHERE job = ?1 AND number > ?2 AND number <= ?5 AND done IS NULL`,
		[]any{u.job, after, p.Time.UnixMicro(), pk, p.Last}, nil) // what has come since was not counted
	if err != nil {
		return p, err
	}
	u.tally(0, provision.EndPurged, int(p.Records))
	err = query(u.conn, "UPDATE progress SET taken = taken + ?2 WHERE job = ?1", []any{u.job, p.Records}, nil)
	if err != nil {
		return p, err
	}
	return p, u.skipPurged()
}

// skipPurged moves the position over purged uploads that are next, unless a cycle is open that has others before them.
func (u *Unit) skipPurged() error {
	if u.s.pg != nil {
		return u.skipPurgedLanes()
	}
	return query(u.conn, `UPDATE progress SET position = coalesce((SELECT min(number) FROM upload WHERE job = ?1 AND number > progress.position AND done IS NULL), (SELECT next FROM job WHERE pk = ?1)) - 1
		WHERE job = ?1 AND EXISTS (SELECT 1 FROM upload WHERE job = ?1 AND number = progress.position + 1 AND done IS NOT NULL)`, []any{u.job}, nil)
}

// Link implements provision.Unit. Its errors may name the anchor, because they are for whoever has named it.
func (u *Unit) Link(anchor, objectID string) error {
	at, err := u.find(anchor)
	if err != nil {
		return err
	}
	if at.pk == 0 {
		return fmt.Errorf("person %q: %w", anchor, provision.ErrNotFound)
	}
	object := idBytes(objectID)
	if object == nil && objectID != "" {
		return fmt.Errorf("%q is no object id, which is a UUID", objectID)
	}
	taken, err := u.LinkedAnchors([]string{objectID})
	if err != nil {
		return err
	}
	if taken[0] != "" && taken[0] != anchor {
		return fmt.Errorf("object %s: %w", objectID, provision.ErrTaken)
	}
	u.forget(anchor)
	err = query(u.conn, "UPDATE person SET object = ?2, version = 0, hash = NULL, enabled = 0, revision = revision + 1 WHERE pk = ?1 AND revision = ?3 /*ONE ROW*/", []any{at.pk, object, at.revision}, nil)
	if err != nil {
		return err
	}
	return u.relinked(anchor, at, place{pk: at.pk, object: objectID, revision: at.revision + 1, wrote: true})
}

// Unlink implements provision.Unit.
func (u *Unit) Unlink(after int64, limit int) (last int64, done bool, err error) {
	if err := u.lockJob(); err != nil {
		return 0, false, err
	}
	var anchors []string
	err = query(u.conn, "SELECT pk, anchor FROM person INDEXED BY person_job WHERE job = ?1 AND pk > ?2 ORDER BY pk LIMIT ?3", []any{u.job, after, limit}, func(st Row) error {
		last = st.ColumnInt64(0)
		anchors = append(anchors, st.ColumnText(1))
		return nil
	})
	if err != nil {
		return 0, false, err
	}
	if len(anchors) == 0 {
		return after, true, nil
	}
	for _, a := range anchors {
		u.forget(a)
	}
	err = query(u.conn, `UPDATE progress SET linked = linked - (SELECT count(*) FROM person INDEXED BY person_job WHERE job = ?1 AND pk > ?2 AND pk <= ?3 AND object IS NOT NULL),
		enabled = enabled - (SELECT count(*) FROM person INDEXED BY person_job WHERE job = ?1 AND pk > ?2 AND pk <= ?3 AND enabled = 1) WHERE job = ?1`, []any{u.job, after, last}, nil)
	if err != nil {
		return 0, false, err
	}
	err = query(u.conn, "UPDATE person INDEXED BY person_job SET object = NULL, version = 0, hash = NULL, enabled = 0, revision = revision + 1 WHERE job = ?1 AND pk > ?2 AND pk <= ?3", []any{u.job, after, last}, nil)
	return last, len(anchors) < limit, err
}

// Remove implements provision.Unit. The log, the audit log, notices and the job's row stay; so do the numbers of its uploads.
// What is pending goes before its person: the place of a person who is gone may become somebody else's.
func (u *Unit) Remove(limit int) (done bool, err error) {
	if err := u.lockJob(); err != nil {
		return false, err
	}
	steps := []func(limit int) (int, error){u.removeReferences, u.rows("pending", "person"), u.removePeople, u.rows("upload", "number"), u.rows("upload_body", "number"), u.rows("upload_mark", "day"), u.rows("cycle", "number"),
		u.rows("tally", "(cycle, outcome)"), u.rows("reevaluation", "job"), u.rows("unread_path", "path"), u.rows("purge", "pk")}
	if u.s.pg == nil {
		steps = append(steps, u.rows("woken", "number"))
	}
	for _, remove := range steps {
		n, err := remove(limit)
		if limit -= n; err != nil || limit <= 0 {
			return false, err
		}
	}
	return true, query(u.conn, "UPDATE progress SET linked = 0, enabled = 0, held = 0, staged = 0, retrying = 0, taken = (SELECT accepted FROM job WHERE pk = ?1), condition = '{}' WHERE job = ?1", []any{u.job}, nil)
}

// rows returns what removes up to limit of the job's rows from a table whose key besides the job is key.
func (u *Unit) rows(table, key string) func(limit int) (int, error) {
	selected := strings.Trim(key, "()")
	return func(limit int) (int, error) {
		err := query(u.conn, "DELETE FROM "+table+" WHERE job = ?1 AND "+key+" IN (SELECT "+selected+" FROM "+table+" WHERE job = ?1 LIMIT ?2)", []any{u.job, limit}, nil)
		if err != nil {
			return 0, fmt.Errorf("remove from %s: %w", table, err)
		}
		return u.conn.changes(), nil
	}
}

func (u *Unit) removePeople(limit int) (n int, err error) {
	var people []place
	err = query(u.conn, "SELECT pk, anchor FROM person INDEXED BY person_job WHERE job = ?1 ORDER BY pk LIMIT ?2", []any{u.job, limit}, func(st Row) error {
		people = append(people, place{pk: st.ColumnInt64(0)})
		u.forget(st.ColumnText(1))
		u.Unfile(HashKey(anchorSpace, u.job, st.ColumnText(1)), st.ColumnInt64(0))
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, p := range people {
		if err := query(u.conn, "DELETE FROM person WHERE pk = ?1", []any{p.pk}, nil); err != nil {
			return 0, err
		}
	}
	return len(people), nil
}

func (u *Unit) removeReferences(limit int) (n int, err error) {
	var rows []int64
	for _, which := range []string{"reference_ready WHERE ready = 1", "reference_unreported WHERE ready = 0 AND reported = 0", "reference_reported WHERE ready = 0 AND reported = 1"} {
		err = query(u.conn, "SELECT pk, anchor, attribute, target FROM reference INDEXED BY "+which+" AND job = ?1 LIMIT ?2", []any{u.job, limit - len(rows)}, func(st Row) error {
			rows = append(rows, st.ColumnInt64(0))
			u.Unfile(referenceKey(u.job, st.ColumnText(1), st.ColumnText(2)), st.ColumnInt64(0))
			u.Unfile(HashKey(referrerSpace, u.job, st.ColumnText(3)), st.ColumnInt64(0))
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	for _, pk := range rows {
		if err := query(u.conn, "DELETE FROM reference WHERE pk = ?1", []any{pk}, nil); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// Connected implements provision.Store.
func (s *Store) Connected(ctx context.Context, jobPK, after int64, limit int) (people []provision.KeptPerson, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT "+personColumns+" FROM person INDEXED BY person_job WHERE job = ?1 AND pk > ?2 AND object IS NOT NULL ORDER BY pk LIMIT ?3", []any{jobPK, after, limit},
			func(st Row) error {
				people = append(people, provision.KeptPerson{Person: *person(st), Place: st.ColumnInt64(0)})
				return nil
			})
	})
	return people, err
}

// Audit implements provision.Unit.
func (u *Unit) Audit(a provision.Audit) error { return u.s.putAudit(u.conn, a) }

// putAudit adds an entry. As in the log none has a time before that of the entry before it, so that times are found by places.
func (s *Store) putAudit(c Conn, a provision.Audit) error {
	if s.pg != nil {
		if err := query(c, "SELECT pg_advisory_xact_lock(?1)", []any{auditLock}, nil); err != nil {
			return err
		}
	}
	a.Time = a.Time.UTC().Truncate(time.Microsecond)
	err := query(c, "SELECT at FROM audit ORDER BY pk DESC LIMIT 1", nil, func(st Row) error {
		if last := micros(st, 0); a.Time.Before(last) {
			a.Time = last
		}
		return nil
	})
	if err != nil {
		return err
	}
	content, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return query(c, "INSERT INTO audit (at, activity, content) VALUES (?1, ?2, ?3)", []any{a.Time.UnixMicro(), a.Activity, string(content)}, nil)
}

// maxAuditScan bounds how many audit entries one call looks at.
const maxAuditScan = 5000

// QueryAudit implements provision.Store.
func (s *Store) QueryAudit(ctx context.Context, q provision.AuditQuery) (page provision.AuditPage, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	order := "DESC"
	if q.Ascending {
		order = "ASC"
	}
	seen := 0
	err = s.read(ctx, func(c Conn) error {
		after, before, err := auditPlaces(c, q)
		if err != nil {
			return err
		}
		return c.scan("SELECT pk, activity, content FROM audit WHERE pk > ?1 AND pk < ?2 ORDER BY pk "+order, []any{after, before}, func(st Row) error {
			if len(page.Entries) == q.Limit || seen == maxAuditScan {
				page.More = true
				return errEnough
			}
			seen++
			page.Next = st.ColumnInt64(0)
			if q.Activity != "" && st.ColumnText(1) != q.Activity {
				return nil
			}
			var a provision.Audit
			if err := json.Unmarshal([]byte(st.ColumnText(2)), &a); err != nil {
				return err
			}
			if a.Seq = page.Next; q.Match == nil || q.Match(&a) {
				page.Entries = append(page.Entries, a)
			}
			return nil
		})
	})
	if err == errEnough {
		err = nil
	}
	return page, err
}

// auditPlaces returns between which places a query's entries are.
func auditPlaces(c Conn, q provision.AuditQuery) (after, before int64, err error) {
	after, before = q.After, math.MaxInt64
	if q.Before > 0 {
		before = q.Before
	}
	place := func(text string, at time.Time, otherwise int64) (pk int64) {
		pk = otherwise
		err = errors.Join(err, query(c, text, []any{ceilMicro(at)}, func(st Row) error { pk = st.ColumnInt64(0); return nil }))
		return pk
	}
	if !q.From.IsZero() {
		after = max(after, place("SELECT pk FROM audit WHERE at >= ?1 ORDER BY at, pk LIMIT 1", q.From, math.MaxInt64)-1)
	}
	if !q.To.IsZero() {
		before = min(before, place("SELECT pk FROM audit WHERE at < ?1 ORDER BY at DESC, pk DESC LIMIT 1", q.To, 0)+1)
	}
	return after, before, err
}

// Notify implements provision.Unit.
func (u *Unit) Notify(n provision.Notice) error {
	content, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return query(u.conn, "INSERT INTO notice (job, next, content) VALUES (?1, ?2, ?3)", []any{u.job, orNull(n.NextAttempt), string(content)}, nil)
}

// orNull returns what is stored of a time.
func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// Notices implements provision.Store.
func (s *Store) Notices(ctx context.Context, jobPK int64, limit int) ([]provision.Notice, error) {
	return s.notices(ctx, "WHERE job = ?1 ORDER BY pk DESC LIMIT ?2", jobPK, limit)
}

// DueNotices returns up to limit notices whose next attempt has come, the oldest first.
func (s *Store) DueNotices(ctx context.Context, now time.Time, limit int) ([]provision.Notice, error) {
	return s.notices(ctx, "WHERE next <= ?1 ORDER BY next LIMIT ?2", now.UnixMicro(), limit)
}

func (s *Store) notices(ctx context.Context, which string, arg int64, limit int) (all []provision.Notice, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT pk, content, next FROM notice "+which, []any{arg, limit}, func(st Row) error {
			var n provision.Notice
			err := json.Unmarshal([]byte(st.ColumnText(1)), &n)
			n.ID, n.NextAttempt = st.ColumnInt64(0), micros(st, 2)
			all = append(all, n)
			return err
		})
	})
	return all, err
}

// ClaimNotice has the next attempt to send a notice be due at until, if it is still due at due, and reports whether it was: of
// several processes one gets it.
func (s *Store) ClaimNotice(ctx context.Context, id int64, due, until time.Time) (claimed bool, err error) {
	err = s.db.write(ctx, func(c Conn) error {
		claimed = false
		return query(c, "UPDATE notice SET next = ?3 WHERE pk = ?1 AND next = ?2 RETURNING pk", []any{id, due.UnixMicro(), orNull(until)}, func(Row) error {
			claimed = true
			return nil
		})
	})
	return claimed, err
}

// NoticeTried counts an attempt to send a notice, and notes what has come of it: Sent, Error, NextAttempt, Reached and ReachedAt.
func (s *Store) NoticeTried(ctx context.Context, tried provision.Notice) error {
	return s.db.write(ctx, func(c Conn) error {
		var n provision.Notice
		err := query(c, "SELECT content FROM notice WHERE pk = ?1", []any{tried.ID}, func(st Row) error { return json.Unmarshal([]byte(st.ColumnText(0)), &n) })
		if err != nil {
			return err
		}
		n.Sent, n.Error, n.Reached, n.ReachedAt, n.Attempts = tried.Sent, tried.Error, tried.Reached, tried.ReachedAt, n.Attempts+1
		content, err := json.Marshal(n)
		if err != nil {
			return err
		}
		return query(c, "UPDATE notice SET next = ?2, content = ?3 WHERE pk = ?1", []any{tried.ID, orNull(tried.NextAttempt), string(content)}, nil)
	})
}
