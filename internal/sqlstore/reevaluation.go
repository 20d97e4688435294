package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"induct/internal/provision"
)

// BeginReevaluation implements provision.Unit.
func (u *Unit) BeginReevaluation(now time.Time) error {
	if err := u.lockJob(); err != nil {
		return err
	}
	return query(u.conn, `INSERT INTO reevaluation (job, number, cursor, began, evaluated, ends) VALUES (?1, 1, 0, ?2, 0, '{}')
		ON CONFLICT (job) DO UPDATE SET number = reevaluation.number + 1, cursor = 0, began = excluded.began, ended = NULL, evaluated = 0, ends = '{}'`,
		[]any{u.job, now.UnixMicro()}, nil)
}

// Reevaluation implements provision.Store.
func (s *Store) Reevaluation(ctx context.Context, jobPK int64) (r *provision.Reevaluation, err error) {
	err = s.read(ctx, func(c Conn) error {
		r, err = reevaluation(c, jobPK)
		return err
	})
	return r, err
}

func reevaluation(c Conn, jobPK int64) (r *provision.Reevaluation, err error) {
	err = query(c, "SELECT number, cursor, began, ended, evaluated, ends FROM reevaluation WHERE job = ?1", []any{jobPK}, func(st Row) error {
		r = &provision.Reevaluation{Number: st.ColumnInt64(0), Cursor: st.ColumnInt64(1), Began: micros(st, 2), Ended: micros(st, 3),
			Evaluated: st.ColumnInt64(4)}
		return json.Unmarshal([]byte(st.ColumnText(5)), &r.Ends)
	})
	return r, err
}

// PeopleAfter implements provision.Store. The order is that in which people became known.
func (s *Store) PeopleAfter(ctx context.Context, jobPK, cursor int64, limit int) (people []provision.KeptPerson, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT "+personColumns+", kept FROM person INDEXED BY person_job WHERE job = ?1 AND pk > ?2 ORDER BY pk LIMIT ?3", []any{jobPK, cursor, limit},
			func(st Row) (err error) {
				p := provision.KeptPerson{Person: *person(st), Place: st.ColumnInt64(0)}
				p.Kept, err = unpackKept(Blob(st, 12))
				people = append(people, p)
				return err
			})
	})
	return people, err
}

// Reevaluated implements provision.Unit.
func (u *Unit) Reevaluated(r provision.Reevaluation) error {
	if err := u.lockJob(); err != nil {
		return err
	}
	ends, err := json.Marshal(r.Ends)
	if err != nil {
		return err
	}
	var ended any
	if !r.Ended.IsZero() {
		ended = r.Ended.UnixMicro()
	}
	err = query(u.conn, "UPDATE reevaluation SET cursor = ?3, ended = ?4, evaluated = ?5, ends = ?6 WHERE job = ?1 AND number = ?2",
		[]any{u.job, r.Number, r.Cursor, ended, r.Evaluated, string(ends)}, nil)
	if err == nil && u.conn.changes() == 0 {
		err = fmt.Errorf("re-evaluation %d: %w", r.Number, provision.ErrFenced)
	}
	return err
}
