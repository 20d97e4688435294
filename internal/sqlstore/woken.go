package sqlstore

import (
	"errors"
	"fmt"
	"slices"

	"induct/internal/sqlstore/pack"
)

// While everybody is loaded, people come in no order: half of all managers come after those who name them. To note in
// the row of each of these references that it has become ready would write a page of it, and two of its indexes, for each person. So on
// SQLite a transaction notes the rows of all references that it makes ready as one list, in table woken: they are woken.
// Lists are sorted by row when references are first asked for, and then references become ready portion by portion, in
// their order. See docs/decisions/0009-woken-references.md.

// wokenAtOnce is how many references of a sorted list become ready at once.
const wokenAtOnce = 1000

// wake makes the references to somebody ready who has just been linked. Hashes collide, and rows may go before they are
// ready: whoever resolves a reference finds out if it is not ready after all.
func (u *Unit) wake(anchor string) error {
	if !u.s.waiting[u.job] {
		return nil
	}
	rows, err := u.Keyed(HashKey(referrerSpace, u.job, anchor))
	if err != nil {
		return err
	}
	if lists(u.conn) {
		u.woken = append(u.woken, rows...)
		return nil
	}
	for _, pk := range rows {
		err := query(u.conn, "UPDATE reference SET ready = 1 WHERE pk = ?1 AND job = ?2 AND target = ?3 AND ready = 0", []any{pk, u.job, anchor}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// lists reports whether a database has lists of woken references.
func lists(c Conn) bool {
	_, lite := c.(liteConn)
	return lite
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

// readyWoken makes the references of the first list ready; false if there is none.
func (u *Unit) readyWoken() (some bool, err error) {
	if !lists(u.conn) {
		return false, nil
	}
	if err := errors.Join(u.stageWoken(), u.sortWoken()); err != nil {
		return false, err
	}
	var rows []int64
	number := int64(0)
	err = query(u.conn, "SELECT number, rows FROM woken WHERE job = ?1 ORDER BY number LIMIT 1", []any{u.job}, func(st Row) (err error) {
		number = st.ColumnInt64(0)
		rows, err = unpackWoken(Blob(st, 1))
		return err
	})
	if err != nil || number == 0 {
		return false, err
	}
	for _, row := range rows {
		if err := query(u.conn, "UPDATE reference SET ready = 1 WHERE pk = ?1 AND job = ?2 AND ready = 0", []any{row, u.job}, nil); err != nil {
			return false, err
		}
	}
	return true, query(u.conn, "DELETE FROM woken WHERE job = ?1 AND number = ?2", []any{u.job, number}, nil)
}

// wokenWait reports whether a job has woken references that are not ready yet.
func wokenWait(c Conn, job int64) (wait bool, err error) {
	if !lists(c) {
		return false, nil
	}
	err = query(c, "SELECT EXISTS (SELECT 1 FROM woken WHERE job = ?1)", []any{job}, func(st Row) error {
		wait = st.ColumnBool(0)
		return nil
	})
	return wait, err
}
