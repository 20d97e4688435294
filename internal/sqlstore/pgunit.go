package sqlstore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"induct/internal/provision"
)

// A Unit on PostgreSQL runs beside others. What it does about people and their objects is fenced by their revisions and versions.
// What is the job's – positions, counts, the condition – is read and written under the lock of the job's progress row, which is taken
// when it is first needed and kept to the end: from there on the Units of a job go one after the other. Places in the log
// are taken after that, under the lock of log_head, so that their order is the order of commits.

// jobHead is what the progress row says of the lanes, locked.
type jobHead struct {
	epoch int64
	lanes []laneState
	moved bool // lanes is to be written
}

// laneState is how far a lane has come, and which replica holds it; 0: none.
type laneState struct{ position, owner int64 }

const laneSize = 16

func unpackLanes(b []byte) []laneState {
	lanes := make([]laneState, len(b)/laneSize)
	for i := range lanes {
		lanes[i] = laneState{int64(binary.BigEndian.Uint64(b[i*laneSize:])), int64(binary.BigEndian.Uint64(b[i*laneSize+8:]))}
	}
	return lanes
}

func packLanes(lanes []laneState) []byte {
	b := make([]byte, 0, len(lanes)*laneSize)
	for _, l := range lanes {
		b = binary.BigEndian.AppendUint64(b, uint64(l.position))
		b = binary.BigEndian.AppendUint64(b, uint64(l.owner))
	}
	return b
}

func lowest(lanes []laneState) int64 {
	low := lanes[0].position
	for _, l := range lanes {
		low = min(low, l.position)
	}
	return low
}

// furthest returns how far any lane of the locked job has come.
func (u *Unit) furthest() (position int64) {
	if u.head != nil {
		for _, l := range u.head.lanes {
			position = max(position, l.position)
		}
	}
	return position
}

// lockJob makes this the only Unit that reads and writes what is the job's, and checks the fence. On SQLite there is no other.
func (u *Unit) lockJob() error {
	if u.s.pg == nil || u.head != nil || u.job == 0 {
		return nil
	}
	if err := errors.Join(u.wakeLinked(), u.flushKeys()); err != nil { // before the lock: it may wait for another Unit
		return err
	}
	var head *jobHead
	err := query(u.conn, "SELECT epoch, lanes FROM progress WHERE job = ?1 /*FOR UPDATE*/", []any{u.job}, func(st Row) error {
		head = &jobHead{epoch: st.ColumnInt64(0), lanes: unpackLanes(Blob(st, 1))}
		return nil
	})
	if err != nil {
		return err
	}
	revision := int64(0) // by another statement: one that has waited for a lock sees other tables as they were before
	if err := query(u.conn, "SELECT revision FROM job WHERE pk = ?1", []any{u.job}, func(st Row) error { revision = st.ColumnInt64(0); return nil }); err != nil {
		return err
	}
	if u.head = head; head == nil {
		if u.fence.Free {
			u.head = &jobHead{lanes: []laneState{{}}}
			return nil
		}
		return fmt.Errorf("there is no job %d: %w", u.job, provision.ErrFenced)
	}
	return u.checkFence(revision)
}

func (u *Unit) checkFence(revision int64) error {
	f, me := u.fence, u.s.pg.replicas.id()
	if f.Revision != 0 && f.Revision != revision {
		return fmt.Errorf("the job has revision %d, not %d: %w", revision, f.Revision, provision.ErrFenced)
	}
	if f.Free {
		return nil
	}
	if f.Epoch != 0 && f.Epoch != u.head.epoch {
		return fmt.Errorf("the lanes have epoch %d, not %d: %w", u.head.epoch, f.Epoch, provision.ErrFenced)
	}
	for i, l := range u.head.lanes {
		switch {
		case f.Whole && i > 0, f.Lanes != 0 && !f.Lanes.Has(i):
		case l.owner != me:
			return fmt.Errorf("lane %d is held by replica %d: %w", i, l.owner, provision.ErrFenced)
		case !f.Whole && l.position != f.Position:
			return fmt.Errorf("lane %d is at %d, not %d: %w", i, l.position, f.Position, provision.ErrFenced)
		}
	}
	return nil
}

// numberLog takes the places of n log entries, and their time.
func (u *Unit) numberLog(n int) error {
	if u.s.pg == nil {
		return nil
	}
	if err := u.lockJob(); err != nil {
		return err
	}
	return query(u.conn, "UPDATE log_head SET seq = seq + ?1, last = CASE WHEN last < ?2 THEN ?2 ELSE last END RETURNING seq, last", []any{n, u.s.now().UnixMicro()}, func(st Row) error {
		u.seq, u.last = st.ColumnInt64(0)-int64(n), micros(st, 1)
		return nil
	})
}

// writeHead stores what has become of the lanes.
func (u *Unit) writeHead() error {
	if u.head == nil || !u.head.moved {
		return nil
	}
	return query(u.conn, "UPDATE progress SET lanes = ?2, position = ?3 WHERE job = ?1", []any{u.job, packLanes(u.head.lanes), lowest(u.head.lanes)}, nil)
}

// laneSet returns the lanes that the Unit's batch is of.
func (u *Unit) laneSet() provision.LaneSet {
	if u.fence.Lanes != 0 {
		return u.fence.Lanes
	}
	return 1<<len(u.head.lanes) - 1
}

// advanceLanes is Advance where lanes may stand at different uploads: an upload is done when all have passed it.
func (u *Unit) advanceLanes(results []provision.UploadResult, cycle int64, now time.Time) error {
	if err := u.lockJob(); err != nil {
		return err
	}
	first, last := results[0].Number, results[0].Number
	for _, r := range results {
		first, last = min(first, r.Number), max(last, r.Number)
	}
	earlier := map[int64]map[provision.End]int{} // of other lanes
	err := query(u.conn, "SELECT number, counts FROM upload WHERE job = ?1 AND number >= ?2 AND number <= ?3 AND counts IS NOT NULL", []any{u.job, first, last}, func(st Row) error {
		counts := map[provision.End]int{}
		earlier[st.ColumnInt64(0)] = counts
		return json.Unmarshal([]byte(st.ColumnText(1)), &counts)
	})
	if err != nil {
		return err
	}
	records := int64(0)
	for _, r := range results {
		counts := earlier[r.Number]
		if counts == nil {
			counts = map[provision.End]int{}
		}
		pending := 0
		for end, n := range r.Counts {
			records += int64(n)
			u.tally(cycle, end, n)
			counts[end] += n
		}
		for end, n := range counts {
			if !end.Final() {
				pending += n
			}
		}
		text, err := json.Marshal(counts)
		if err == nil {
			err = query(u.conn, "UPDATE upload SET counts = ?3, pending = ?4 WHERE job = ?1 AND number = ?2", []any{u.job, r.Number, string(text), pending}, nil)
		}
		if err != nil {
			return err
		}
	}
	before, lanes := lowest(u.head.lanes), u.laneSet()
	for i := range u.head.lanes {
		if lanes.Has(i) {
			u.head.lanes[i].position = last
		}
	}
	u.head.moved = true
	if err := query(u.conn, "UPDATE progress SET taken = taken + ?2 WHERE job = ?1", []any{u.job, records}, nil); err != nil {
		return err
	}
	return u.passed(before, lowest(u.head.lanes), now)
}

// passed notes of the uploads after one number, up to another, that all lanes have taken up their records.
func (u *Unit) passed(after, to int64, now time.Time) error {
	if to <= after {
		return nil
	}
	// The bodies of purged uploads stay: their receipts are made of them.
	err := query(u.conn, `DELETE FROM upload_body b USING upload u WHERE b.job = ?1 AND b.number > ?2 AND b.number <= ?3
		AND u.job = ?1 AND u.number = b.number AND u.number > ?2 AND u.number <= ?3 AND u.done IS NULL`, []any{u.job, after, to}, nil)
	if err != nil {
		return err
	}
	return query(u.conn, "UPDATE upload SET done = ?4 WHERE job = ?1 AND number > ?2 AND number <= ?3 AND done IS NULL", []any{u.job, after, to, now.UnixMicro()}, nil)
}

// skipPurgedLanes moves lanes over purged uploads that are next.
func (u *Unit) skipPurgedLanes() error {
	to := map[int64]int64{}
	for i := range u.head.lanes {
		l := &u.head.lanes[i]
		if _, known := to[l.position]; !known {
			err := query(u.conn, `SELECT coalesce((SELECT min(number) FROM upload WHERE job = ?1 AND number > ?2 AND done IS NULL), next) - 1 FROM job
				WHERE pk = ?1 AND EXISTS (SELECT 1 FROM upload WHERE job = ?1 AND number = ?2 + 1 AND done IS NOT NULL)`, []any{u.job, l.position}, func(st Row) error {
				to[l.position] = st.ColumnInt64(0)
				return nil
			})
			if err != nil {
				return err
			}
		}
		if p, skip := to[l.position]; skip && p > l.position {
			l.position, u.head.moved = p, true
		}
	}
	return nil
}

// lanes says what this process holds of a job.
func (p *postgres) lanes(c Conn, jobPK int64, l *provision.Lane) error {
	return query(c, "SELECT epoch, lanes FROM progress WHERE job = ?1", []any{jobPK}, func(st Row) error {
		l.Epoch = st.ColumnInt64(0)
		p.replicas.held(unpackLanes(Blob(st, 1)), l)
		return nil
	})
}

// pgFind returns where a person is stored, as the transaction has it; pk is 0 if there is none.
func (u *Unit) pgFind(anchor string) (*place, error) {
	if err := u.prefetchPeople([]string{anchor}); err != nil {
		return &place{}, err
	}
	return u.places[anchor], nil
}

// prefetchPeople reads where people are stored.
func (u *Unit) prefetchPeople(anchors []string) error {
	if u.s.pg == nil {
		return nil
	}
	var hashes []int64
	for _, a := range anchors {
		if u.places[a] == nil && a != "" {
			u.places[a] = &place{}
			hashes = append(hashes, HashKey(anchorSpace, u.job, a))
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	if err := u.Prefetch(hashes); err != nil {
		return err
	}
	var rows []int64
	for _, h := range hashes {
		for _, k := range u.saw[h] {
			rows = append(rows, k.row)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return query(u.conn, "SELECT pk, object, enabled, revision, anchor, job FROM person WHERE pk = ANY(?1)", []any{rows}, func(st Row) error {
		if at := u.places[st.ColumnText(4)]; at != nil && at.pk == 0 && st.ColumnInt64(5) == u.job {
			*at = place{pk: st.ColumnInt64(0), object: idText(st, 1), enabled: st.ColumnBool(2), revision: st.ColumnInt64(3)}
		}
		return nil
	})
}

// pgPeople is People: one question, whatever the number.
func (s *Store) pgPeople(ctx context.Context, jobPK int64, sought []provision.Sought) ([]*provision.Person, error) {
	people := make([]*provision.Person, len(sought))
	if len(sought) == 0 {
		return people, nil
	}
	hashes, records := make([]int64, len(sought)), make([][]byte, len(sought))
	places := make(map[string]int, len(sought))
	for i, q := range sought {
		hashes[i], places[q.Anchor] = HashKey(anchorSpace, jobPK, q.Anchor), i
		if q.Hash != ([16]byte{}) {
			records[i] = q.Hash[:]
		}
	}
	err := s.read(ctx, func(c Conn) error {
		return query(c, `SELECT p.pk, p.anchor, p.object, p.version, p.hash, p.program, p.upload, p.place, p.name, p.enabled, p.pending, p.revision, CASE WHEN p.hash = s.hash THEN NULL ELSE p.kept END, p.job
			FROM unnest(?1, ?2) AS s (key, hash) JOIN key k ON k.hash = s.key JOIN person p ON p.pk = k."row"`, []any{hashes, records}, func(st Row) (err error) {
			p := person(st)
			i, ok := places[p.Anchor]
			if !ok || st.ColumnInt64(13) != jobPK { // hashes collide
				return nil
			}
			if !st.ColumnIsNull(12) {
				p.Kept, err = unpackKept(Blob(st, 12))
			}
			people[i] = p
			return err
		})
	})
	for i, q := range sought { // somebody who is sought twice
		people[i] = people[places[q.Anchor]]
	}
	return people, err
}
