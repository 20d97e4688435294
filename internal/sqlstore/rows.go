package sqlstore

import (
	"fmt"
	"math"
	"sync"
)

// numbered are the tables whose rows get their place, pk, from here and not from the database, so that the place is known
// before the row is written.
var numbered = []string{"person", "reference", "users"}

// rowNumbers hands out places of new rows. A place is given once; one whose transaction fails is given to nobody.
type rowNumbers struct {
	more func(table string) (from, to int64, err error) // reserves places from ≤ place < to

	mu   sync.Mutex
	next map[string]int64
	end  map[string]int64
}

func newRowNumbers(more func(table string) (from, to int64, err error)) *rowNumbers {
	return &rowNumbers{more: more, next: map[string]int64{}, end: map[string]int64{}}
}

func (r *rowNumbers) take(table string) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next[table] == r.end[table] {
		from, to, err := r.more(table)
		if err != nil {
			return 0, fmt.Errorf("number a row of %s: %w", table, err)
		}
		r.next[table], r.end[table] = from, to
	}
	r.next[table]++
	return r.next[table] - 1, nil
}

// loadRowNumbers continues after the rows there are, which is enough if nobody else writes.
func (s *Store) loadRowNumbers(c Conn) error {
	s.rows = newRowNumbers(nil)
	for _, table := range numbered {
		err := query(c, "SELECT coalesce(max(pk), 0) FROM "+table, nil, func(st Row) error {
			s.rows.next[table], s.rows.end[table] = st.ColumnInt64(0)+1, math.MaxInt64
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// NewRow returns the place of a row that is about to be inserted into one of the numbered tables.
func (u *Unit) NewRow(table string) (int64, error) { return u.s.rows.take(table) }
