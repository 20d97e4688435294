package sqlstore

import (
	"cmp"
	"slices"
)

// On PostgreSQL a key is a row of its own, key(hash, nth, "row"), which is written in the transaction that makes it. nth tells
// rows of one hash apart. Of keys that only one at a time may file (Claim) it counts from 0, above what the Unit has
// seen: of two Units that file the same text at once the second meets a unique index, and is done again with what the first has
// left. Of others nth is the row.

type pgKey struct{ nth, row int64 }

// Prefetch reads what is filed under hashes at once, where questions cost a journey each. It changes no answer.
func (u *Unit) Prefetch(hashes []int64) error {
	if u.s.pg == nil {
		return nil
	}
	var unseen []int64
	for _, h := range hashes {
		if _, ok := u.saw[h]; !ok {
			u.saw[h] = nil
			unseen = append(unseen, h)
		}
	}
	if len(unseen) == 0 {
		return nil
	}
	return query(u.conn, `SELECT hash, nth, "row" FROM key WHERE hash = ANY(?1) ORDER BY hash, nth`, []any{unseen}, func(st Row) error {
		h := st.ColumnInt64(0)
		u.saw[h] = append(u.saw[h], pgKey{st.ColumnInt64(1), st.ColumnInt64(2)})
		return nil
	})
}

func (u *Unit) pgKeyed(hash int64) ([]int64, error) {
	if err := u.Prefetch([]int64{hash}); err != nil {
		return nil, err
	}
	rows := make([]int64, 0, len(u.saw[hash]))
	for _, k := range u.saw[hash] {
		rows = append(rows, k.row)
	}
	var buf [8]keyChange
	return apply(rows, u.pending.changes(buf[:0], hash)), nil
}

// flushKeys writes the changes of keys that have been gathered since the last time, in an order that is the same for everybody.
func (u *Unit) flushKeys() error {
	changes := make([]keyChange, 0, len(u.pending.list)-u.flushed)
	var claimed []int64
	for _, c := range u.pending.list[u.flushed:] {
		changes = append(changes, c.keyChange)
		if c.claim && !c.gone {
			claimed = append(claimed, c.hash)
		}
	}
	u.flushed = len(u.pending.list)
	if err := u.Prefetch(claimed); err != nil {
		return err
	}
	slices.SortStableFunc(changes, func(a, b keyChange) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.row, b.row)) })
	last := changes[:0]
	for i, c := range changes {
		if i+1 == len(changes) || changes[i+1].hash != c.hash || changes[i+1].row != c.row { // the latest change decides
			last = append(last, c)
		}
	}
	var hashes, rows []int64
	for _, c := range last {
		if c.gone {
			hashes, rows = append(hashes, c.hash), append(rows, c.row)
			u.saw[c.hash] = slices.DeleteFunc(u.saw[c.hash], func(k pgKey) bool { return k.row == c.row })
		}
	}
	if len(hashes) > 0 {
		err := query(u.conn, `DELETE FROM key USING (SELECT * FROM unnest(?1, ?2)) AS v (h, r) WHERE hash = v.h AND "row" = v.r`, []any{hashes, rows}, nil)
		if err != nil {
			return err
		}
	}
	hashes, rows = nil, nil
	var nths []int64
	for _, c := range last {
		if c.gone || slices.ContainsFunc(u.saw[c.hash], func(k pgKey) bool { return k.row == c.row }) {
			continue
		}
		nth := c.row
		if c.claim {
			nth = 0
			for _, k := range u.saw[c.hash] {
				nth = max(nth, k.nth+1)
			}
			u.saw[c.hash] = append(u.saw[c.hash], pgKey{nth, c.row})
		}
		hashes, nths, rows = append(hashes, c.hash), append(nths, nth), append(rows, c.row)
	}
	if len(hashes) == 0 {
		return nil
	}
	return query(u.conn, `INSERT INTO key (hash, nth, "row") SELECT * FROM unnest(?1, ?2, ?3)`, []any{hashes, nths, rows}, nil)
}

// pgReadKeyed returns what is filed under hashes, in their order.
func pgReadKeyed(c Conn, hashes []int64) ([][]int64, error) {
	found := make(map[int64][]int64, len(hashes))
	err := query(c, `SELECT hash, "row" FROM key WHERE hash = ANY(?1) ORDER BY hash, nth`, []any{hashes}, func(st Row) error {
		found[st.ColumnInt64(0)] = append(found[st.ColumnInt64(0)], st.ColumnInt64(1))
		return nil
	})
	rows := make([][]int64, len(hashes))
	for i, h := range hashes {
		rows[i] = found[h]
	}
	return rows, err
}
