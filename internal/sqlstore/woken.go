package sqlstore

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"

	"induct/internal/provision"
	"induct/internal/sqlstore/pack"
)

// While everybody is loaded, people come in no order: half of all managers come after those who name them. To note in
// the row of each of these references that it has become ready would write a page of it, and two of its indexes, for each person. So on
// SQLite a transaction notes the rows of all references that it makes ready as one list, in table woken: they are woken.
// Lists are sorted by row when references are first asked for, and then handed out list by list; a reference that is left
// over becomes ready in its row. See docs/decisions/0009-woken-references.md.

// wokenAtOnce is how many references a sorted list has, at most.
const wokenAtOnce = 500

// wake makes the references to somebody ready who has just been linked. Hashes collide, and rows may go before they are
// ready: whoever resolves a reference finds out if it is not ready after all.
func (u *Unit) wake(anchor string) error {
	if u.s.pg == nil && !u.s.waiting[u.job] {
		return nil
	}
	if u.s.pg != nil {
		u.newlyLinked = append(u.newlyLinked, anchor)
		return nil
	}
	rows, err := u.Keyed(HashKey(referrerSpace, u.job, anchor))
	u.woken = append(u.woken, rows...)
	return err
}

// wakeLinked makes the references to those ready, on PostgreSQL, who have been linked since the last time. Those of which no entry
// has been written need no note while a cycle is open, and are most: at its end all of them are looked at (addUnreported), those
// that another Unit has stored at the same time included.
func (u *Unit) wakeLinked() error {
	if len(u.newlyLinked) == 0 {
		return nil
	}
	slices.Sort(u.newlyLinked)
	anchors := u.newlyLinked
	u.newlyLinked = nil
	err := query(u.conn, "UPDATE reference SET ready = 1 WHERE job = ?1 AND target = ANY(?2) AND ready = 0 AND reported = 1", []any{u.job, anchors}, nil)
	if err == nil && u.fence.Lanes == 0 { // not a batch of a cycle: perhaps none is open
		err = query(u.conn, "UPDATE reference SET ready = 1 WHERE job = ?1 AND target = ANY(?2) AND ready = 0 AND reported = 0", []any{u.job, anchors}, nil)
	}
	return err
}

// linkedAtOnce is how many references addUnreported reads at once.
const linkedAtOnce = 1000

// addUnreported adds, on PostgreSQL, references that have not been reported and whose person is linked by now, or is not, from a
// place on, which it moves.
func (u *Unit) addUnreported(refs []provision.PendingReference, linked bool, from *provision.PendingReference, limit int) ([]provision.PendingReference, error) {
	for more := true; more && len(refs) < limit; {
		var page []provision.PendingReference
		var anchors []string
		err := query(u.conn, referenceColumns+" FROM reference r WHERE r.job = ?1 AND r.ready = 0 AND r.reported = 0 AND (r.upload, r.place, r.pk) > (?2, ?3, ?4) ORDER BY r.upload, r.place, r.pk LIMIT ?5",
			[]any{u.job, from.Upload, from.Index, from.Row, linkedAtOnce}, func(st Row) error {
				r := pendingReference(st)
				page, anchors, u.waits[r.Row] = append(page, r), append(anchors, r.To), true
				return nil
			})
		if err != nil {
			return nil, err
		}
		more = len(page) == linkedAtOnce
		links, err := u.Links(anchors)
		if err != nil {
			return nil, err
		}
		for i, r := range page {
			if len(refs) == limit {
				break
			}
			if *from = r; (links[i] != "") == linked {
				refs = append(refs, r)
			}
		}
	}
	return refs, nil
}

// stageWoken stores the list of the references that the Unit has woken so far.
func (u *Unit) stageWoken() error {
	if len(u.woken) == 0 {
		return nil
	}
	err := u.putWoken(u.woken, false)
	u.woken = u.woken[:0]
	return err
}

func (u *Unit) putWoken(rows []int64, sorted bool) error {
	e := make(pack.Enc, 0, 4*len(rows))
	e.Uint(uint64(len(rows)))
	last := int64(0)
	for _, row := range rows {
		e.Int(row - last)
		last = row
	}
	return query(u.conn, "INSERT INTO woken (job, number, sorted, rows) SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM woken WHERE job = ?1",
		[]any{u.job, sorted, []byte(e)}, nil)
}

func unpackWoken(b []byte) ([]int64, error) {
	d := pack.Dec{B: b}
	rows := make([]int64, d.Count())
	last := int64(0)
	for i := range rows {
		last += d.Int()
		rows[i] = last
	}
	if d.Bad {
		return nil, fmt.Errorf("list of references: %w", errCorrupt)
	}
	return rows, nil
}

// sortWoken makes sorted lists of all lists of the job, unless all are sorted: the latest is.
func (u *Unit) sortWoken() error {
	sorted := true
	err := query(u.conn, "SELECT sorted FROM woken WHERE job = ?1 ORDER BY number DESC LIMIT 1", []any{u.job}, func(st Row) error {
		sorted = st.ColumnBool(0)
		return nil
	})
	if err != nil || sorted {
		return err
	}
	var rows []int64
	err = query(u.conn, "SELECT rows FROM woken WHERE job = ?1", []any{u.job}, func(st Row) error {
		list, err := unpackWoken(Blob(st, 0))
		rows = append(rows, list...)
		return err
	})
	if err == nil {
		err = query(u.conn, "DELETE FROM woken WHERE job = ?1", []any{u.job}, nil)
	}
	slices.Sort(rows)
	for list := range slices.Chunk(slices.Compact(rows), wokenAtOnce) {
		if err == nil {
			err = u.putWoken(list, true)
		}
	}
	return err
}

// firstWoken returns the first list of the job; number is 0 if there is none.
func (u *Unit) firstWoken() (number int64, rows []int64, err error) {
	if err := errors.Join(u.stageWoken(), u.sortWoken()); err != nil {
		return 0, nil, err
	}
	err = query(u.conn, "SELECT number, rows FROM woken WHERE job = ?1 ORDER BY number LIMIT 1", []any{u.job}, func(st Row) (err error) {
		number = st.ColumnInt64(0)
		rows, err = unpackWoken(Blob(st, 1))
		return err
	})
	return number, rows, err
}

// addWoken adds woken references to those that are ready, list by list, as long as there is room: they are handed out, and
// their rows need not say that they are ready if they end in this Unit. Where nothing is ready and there is no room for a list,
// what is in it becomes ready; then again is true.
func (u *Unit) addWoken(ready []provision.PendingReference, limit int) (refs []provision.PendingReference, again bool, err error) {
	for u.s.pg == nil && !again {
		number, rows, err := u.firstWoken()
		if err != nil || number == 0 || len(ready) > 0 && len(ready)+len(rows) > limit {
			return ready, false, err
		}
		if again = len(rows) > limit; again {
			err = u.makeReady(slices.Values(rows))
		} else {
			ready, err = u.handOut(ready, rows)
		}
		if err == nil {
			err = query(u.conn, "DELETE FROM woken WHERE job = ?1 AND number = ?2", []any{u.job, number}, nil)
		}
		if err != nil {
			return nil, false, err
		}
	}
	return ready, again, nil
}

// handOut adds the references of a list to others, in the order of uploads.
func (u *Unit) handOut(refs []provision.PendingReference, rows []int64) ([]provision.PendingReference, error) {
	for _, row := range rows {
		err := query(u.conn, referenceColumns+" FROM reference r WHERE r.pk = ?1 AND r.job = ?2 AND r.ready = 0", []any{row, u.job}, func(st Row) error {
			u.handed[row] = true
			refs = append(refs, pendingReference(st))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(refs, func(a, b provision.PendingReference) int {
		return cmp.Or(cmp.Compare(a.Upload, b.Upload), cmp.Compare(a.Index, b.Index))
	})
	return refs, nil
}

// makeReady notes in the rows of references that they are ready.
func (u *Unit) makeReady(rows iter.Seq[int64]) error {
	for row := range rows {
		if err := query(u.conn, "UPDATE reference SET ready = 1 WHERE pk = ?1 AND job = ?2 AND ready = 0", []any{row, u.job}, nil); err != nil {
			return err
		}
	}
	return nil
}

// wokenWait reports whether a job has woken references whose rows do not say so.
func (s *Store) wokenWait(c Conn, job int64) (wait bool, err error) {
	if s.pg != nil {
		return false, nil
	}
	err = query(c, "SELECT EXISTS (SELECT 1 FROM woken WHERE job = ?1)", []any{job}, func(st Row) error {
		wait = st.ColumnBool(0)
		return nil
	})
	return wait, err
}
