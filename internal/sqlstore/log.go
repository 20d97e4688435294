package sqlstore

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"induct/internal/provision"
)

// maxScan bounds how many blocks one QueryLog opens, and maxLook how many it looks at without opening them.
const (
	maxScan = 200
	maxLook = 20_000
)

// QueryLog implements provision.Log.
func (s *Store) QueryLog(ctx context.Context, q provision.LogQuery) (provision.LogPage, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	scan := logScan{s: s, q: q}
	err := s.read(ctx, func(c Conn) error {
		bounds, err := timeBounds(c, q)
		if err != nil {
			return err
		}
		if scan.c = c; q.Anchor != "" {
			err = scan.anchor(bounds)
		} else {
			err = scan.blocks(bounds)
		}
		if err == errEnough {
			return nil
		}
		return err
	})
	return scan.page, err
}

// timeBounds returns q with its times turned into places: the entries of a block share one time, which grows with
// the place.
func timeBounds(c Conn, q provision.LogQuery) (provision.LogQuery, error) {
	at := func(t time.Time) (first int64, err error) {
		first = math.MaxInt64
		err = query(c, "SELECT first FROM log_block WHERE began >= ?1 ORDER BY began, first LIMIT 1", []any{ceilMicro(t)}, func(st Row) error {
			first = st.ColumnInt64(0)
			return nil
		})
		return first, err
	}
	if !q.From.IsZero() {
		first, err := at(q.From)
		if err != nil {
			return q, err
		}
		q.After = max(q.After, first-1)
	}
	if !q.To.IsZero() {
		first, err := at(q.To)
		if err != nil {
			return q, err
		}
		if q.Before == 0 || first < q.Before {
			q.Before = first
		}
	}
	return q, nil
}

// anchor takes up the blocks that hold entries of one anchor.
func (l *logScan) anchor(q provision.LogQuery) error {
	firsts, err := blocksOf(l.c, q)
	if err != nil {
		return err
	}
	if !q.Ascending {
		slices.Reverse(firsts)
	}
	where, args := blockConditions(q)
	args = append(args, 0)
	text := "SELECT first, last FROM log_block WHERE " + strings.Join(append(where, "first = ?"+itoa(len(args))), " AND ")
	for _, first := range firsts {
		args[len(args)-1] = first
		if err := query(l.c, text, args, l.block); err != nil {
			return err
		}
	}
	return nil
}

// blocks takes up the blocks that q does not rule out.
func (l *logScan) blocks(q provision.LogQuery) error {
	where, args := blockConditions(q)
	// SQLite keeps no statistics here that would let it choose well.
	text := "SELECT first, last FROM log_block"
	switch {
	case q.JobPK == 0:
		text += " NOT INDEXED"
	case q.Upload != 0:
		text += " INDEXED BY log_block_upload"
	case q.Cycle != 0:
		text += " INDEXED BY log_block_cycle"
	case q.Status != nil:
		text += " INDEXED BY log_block_" + q.Status.String()
	default:
		text += " INDEXED BY log_block_job"
	}
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	if text += " ORDER BY first"; !q.Ascending {
		text += " DESC"
	}
	return l.c.scan(text, args, l.block)
}

// blockConditions rules blocks out by what is known of one without opening it.
func blockConditions(q provision.LogQuery) (where []string, args []any) {
	add := func(clause string, v any) {
		args = append(args, v)
		where = append(where, strings.ReplaceAll(clause, "?", "?"+itoa(len(args))))
	}
	if q.JobPK != 0 {
		add("job = ?", q.JobPK)
	}
	if q.Cycle != 0 {
		add("cycle = ?", q.Cycle)
	}
	if q.Upload != 0 {
		add("highest >= ?", q.Upload)
		add("lowest <= ?", q.Upload)
	}
	if q.Before != 0 {
		add("first < ?", q.Before)
	}
	if q.After != 0 {
		add("last > ?", q.After)
	}
	if q.Status != nil {
		where = append(where, q.Status.String()+" > 0")
	}
	return where, args
}

func itoa(n int) string { return string(rune('0'+n/10%10)) + string(rune('0'+n%10)) }

// ceilMicro returns the first microsecond that is not before t; stored times are whole microseconds.
func ceilMicro(t time.Time) int64 {
	if t.Nanosecond()%1000 != 0 {
		return t.UnixMicro() + 1
	}
	return t.UnixMicro()
}

type logScan struct {
	s            *Store
	c            Conn
	q            provision.LogQuery
	page         provision.LogPage
	opened, seen int
}

// block takes up one block; it returns errEnough when the page is full or the scan's bound is reached.
func (l *logScan) block(st Row) error {
	first, last := st.ColumnInt64(0), st.ColumnInt64(1)
	if l.seen++; l.opened >= maxScan || l.seen > maxLook {
		return l.stop(first, last)
	}
	l.opened++
	var packed []byte
	err := query(l.c, "SELECT packed FROM log_entries WHERE first = ?1", []any{first}, func(st Row) error {
		packed = Blob(st, 0)
		return nil
	})
	if err != nil {
		return err
	}
	entries, err := l.s.zip.open(first, packed)
	if err != nil {
		return err
	}
	for i := range entries.entries {
		if !l.q.Ascending {
			i = len(entries.entries) - 1 - i
		}
		head, err := entries.head(i)
		if err != nil {
			return err
		}
		if !l.selects(&head) {
			continue
		}
		e, err := entries.entry(head)
		if err != nil {
			return err
		}
		if l.q.Match != nil && !l.q.Match(&e) {
			continue
		}
		if len(l.page.Entries) == l.q.Limit {
			return l.stop(e.Seq, e.Seq)
		}
		l.page.Entries = append(l.page.Entries, e)
	}
	return nil
}

// stop ends the page before the entries first to last.
func (l *logScan) stop(first, last int64) error {
	l.page.More, l.page.Next = true, last+1
	if l.q.Ascending {
		l.page.Next = first - 1
	}
	return errEnough
}

// selects reports whether an entry is in question; Match is left to be asked.
func (l *logScan) selects(h *entryHead) bool {
	q := &l.q
	switch {
	case q.Before != 0 && h.seq >= q.Before, q.After != 0 && h.seq <= q.After,
		h.hidden() && !q.Hidden,
		q.Status != nil && h.status() != *q.Status,
		q.Anchor != "" && string(h.anchor) != q.Anchor,
		q.Upload != 0 && h.upload != q.Upload,
		!q.From.IsZero() && h.time.Before(q.From), !q.To.IsZero() && !h.time.Before(q.To):
		return false
	}
	return true
}

// holds reports whether packed sorted hashes hold h.
func holds(packed []byte, h uint32) bool {
	n := len(packed) / 4
	at := func(i int) uint32 { return binary.BigEndian.Uint32(packed[4*i:]) }
	i := sort.Search(n, func(i int) bool { return at(i) >= h })
	return i < n && at(i) == h
}

// LastSeq implements provision.Log.
func (s *Store) LastSeq(ctx context.Context) (seq int64, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT last FROM log_block WHERE first <= ?1 ORDER BY first DESC LIMIT 1", []any{int64(math.MaxInt64)}, func(st Row) error {
			seq = st.ColumnInt64(0)
			return nil
		})
	})
	return seq, err
}
