package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// maxUnreadPaths bounds how many different unread paths a job remembers: clients choose their names.
const maxUnreadPaths = 1000

// Unit is one transaction of a job. The room that keeps its tables here writes through Conn, and files what its rows
// are found by.
type Unit struct {
	s        *Store
	conn     Conn
	job      int64
	fence    provision.Fence
	seq      int64
	last     time.Time
	pending  keySet
	unmerged unmerged
	linked   int64                           // people who have got a link, less those who have lost one
	enabled  int64                           // and likewise of those whose account is enabled
	held     int64                           // and of records that are held
	staged   int64                           // of them, staged
	retrying int64                           // and of those that are retried
	moves    map[int64]map[provision.End]int // by upload, how its counts change
	blocks   []*block
	tallies  map[tallyKey]int64
	after    []func()
	own      any // of the room that keeps its tables here

	remembered  []rememberedPerson
	looked      provision.PendingReference // on PostgreSQL: how far ReadyReferences has looked
	newlyLinked []string                   // on PostgreSQL: anchors whose references have not been made ready yet
	places      map[string]*place          // of people by anchor, as they are in the transaction
	woken       []int64                    // references that wait no longer, see woken.go
	handed      map[int64]bool             // and those that were handed out since
	waits       map[int64]bool             // references that were read, and whether they waited for their target then

	// On PostgreSQL only:
	saw     map[int64][]pgKey // what was filed under hashes when they were first asked for
	flushed int               // changes of keys that have been written
	head    *jobHead          // of the job, once it is locked
}

// block is a block of log entries on its way into the table; packed gives its bytes.
type block struct {
	first, last, cycle int64
	at                 time.Time
	lowest, highest    int64
	status             [4]int
	anchors            []byte
	packed             chan []byte
}

type tallyKey struct {
	cycle int64
	end   provision.End
}

// Conn returns the connection inside the transaction. It must not outlive the Unit.
func (u *Unit) Conn() Conn { return u.conn }

// AfterCommit has f called once the Unit is durable, before anything else is written.
func (u *Unit) AfterCommit(f func()) { u.after = append(u.after, f) }

// Own returns what the room that keeps its tables here has for this Unit; the first call makes it.
func (u *Unit) Own(make func() any) any {
	if u.own == nil {
		u.own = make()
	}
	return u.own
}

// Now returns the store's clock.
func (u *Unit) Now() time.Time { return u.s.now() }

// Unit implements provision.Store.
func (s *Store) Unit(ctx context.Context, f provision.Fence, fn func(provision.Unit) error) error {
	u := &Unit{s: s, job: f.JobPK, fence: f, saw: map[int64][]pgKey{}, places: map[string]*place{}, tallies: map[tallyKey]int64{}, moves: map[int64]map[provision.End]int{}, handed: map[int64]bool{}, waits: map[int64]bool{}}
	err := s.db.writeOnce(ctx, func(c Conn) error {
		u.conn = c
		if s.pg == nil {
			u.seq, u.last, u.unmerged = s.seq, s.last, s.unmerged
			if err := u.begin(); err != nil {
				return err
			}
		}
		err := fn(u)
		return errors.Join(err, u.complete(err == nil))
	}, func() {
		if s.pg == nil {
			s.seq, s.last, s.unmerged = u.seq, u.last, u.unmerged
			if len(u.pending.list) > 0 {
				s.keys.publish(&u.pending)
			}
			s.known.put(u.remembered)
		}
		for _, f := range u.after {
			f()
		}
	})
	if s.pg != nil {
		s.pg.replicas.note(f.JobPK, err)
	}
	return err
}

// begin checks the fence.
func (u *Unit) begin() error {
	f := u.fence
	if f.Free && f.Revision == 0 {
		return nil
	}
	position, revision, found := int64(0), int64(0), false
	err := query(u.conn, "SELECT p.position, j.revision FROM progress p JOIN job j ON j.pk = p.job WHERE p.job = ?1", []any{f.JobPK}, func(st Row) error {
		position, revision, found = st.ColumnInt64(0), st.ColumnInt64(1), true
		return nil
	})
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("there is no job %d: %w", f.JobPK, provision.ErrFenced)
	case f.Revision != 0 && revision != f.Revision:
		return fmt.Errorf("the job has revision %d, not %d: %w", revision, f.Revision, provision.ErrFenced)
	case !f.Free && !f.Whole && position != f.Position:
		return fmt.Errorf("position is %d, not %d: %w", position, f.Position, provision.ErrFenced)
	}
	return nil
}

// complete writes what has been gathered for the end of the transaction; last the log, which is packed meanwhile. It waits
// for the packers also if nothing is to be written.
func (u *Unit) complete(write bool) error {
	var errs []error
	if write {
		if err := u.lockJob(); err != nil {
			return err
		}
		errs = append(errs, u.stageWoken(), u.makeReady(maps.Keys(u.handed)), u.writeMoves(), u.writeTallies())
		switch {
		case u.s.pg != nil:
			errs = append(errs, u.wakeLinked(), u.flushKeys(), u.writeHead())
		case len(u.pending.list) > 0:
			errs = append(errs, u.s.keys.write(u.conn, &u.pending))
		}
		if u.linked != 0 || u.enabled != 0 || u.held != 0 || u.staged != 0 || u.retrying != 0 {
			errs = append(errs, query(u.conn, "UPDATE progress SET linked = linked + ?2, enabled = enabled + ?3, held = held + ?4, staged = staged + ?5, retrying = retrying + ?6 WHERE job = ?1",
				[]any{u.job, u.linked, u.enabled, u.held, u.staged, u.retrying}, nil))
		}
	}
	for _, b := range u.blocks {
		packed := <-b.packed
		if write {
			errs = append(errs, u.writeBlock(b, packed))
			u.unmerged = u.unmerged.plus(b)
		}
	}
	if write && u.s.pg == nil && u.unmerged.reaches(u.s.runs) {
		errs = append(errs, mergeBlocks(u.conn))
		u.unmerged = unmerged{}
	}
	return errors.Join(errs...)
}

// idText returns a column's id as text, "" if it is null.
func idText(st Row, col int) string {
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

// blockEntries is how many entries are packed together: enough to compress well, few enough to unpack for one of them.
const blockEntries = 500

// Append implements provision.Unit. The entries are packed beside the rest of the Unit's work; they must not be
// changed before the Unit ends.
func (u *Unit) Append(entries []provision.LogEntry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := u.numberLog(len(entries)); err != nil {
		return err
	}
	at := u.last // on PostgreSQL numberLog has set it
	if u.s.pg == nil {
		if now := u.s.now().UTC().Truncate(time.Microsecond); now.After(at) {
			at = now
		}
		u.last = at
	}
	for part := range slices.Chunk(entries, blockEntries) {
		u.appendBlock(part, at)
	}
	return nil
}

func (u *Unit) appendBlock(entries []provision.LogEntry, at time.Time) {
	b := &block{first: u.seq + 1, at: at, cycle: entries[0].Cycle, lowest: entries[0].Upload, highest: entries[0].Upload, packed: make(chan []byte, 1)}
	anchors := make([]uint32, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		u.seq++
		e.Seq, e.Time = u.seq, at
		b.status[e.Status]++
		anchors = append(anchors, anchorHash(e.Anchor))
		b.lowest, b.highest = min(b.lowest, e.Upload), max(b.highest, e.Upload)
	}
	b.last, b.anchors = u.seq, packHashes(anchors)
	u.blocks = append(u.blocks, b)
	go func() { b.packed <- u.s.zip.encodeEntries(entries) }()
}

func (u *Unit) writeBlock(b *block, packed []byte) error {
	err := query(u.conn, `INSERT INTO log_block (first, last, job, cycle, began, ended, lowest, highest, success, failure, skipped, warning, anchors)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)`,
		[]any{b.first, b.last, u.job, b.cycle, b.at.UnixMicro(), b.at.UnixMicro(), b.lowest, b.highest,
			b.status[provision.StatusSuccess], b.status[provision.StatusFailure], b.status[provision.StatusSkipped], b.status[provision.StatusWarning],
			b.anchors}, nil)
	if err == nil {
		err = query(u.conn, "INSERT INTO log_entries (first, packed) VALUES (?1, ?2)", []any{b.first, packed}, nil)
	}
	if err != nil {
		return fmt.Errorf("append %d log entries: %w", b.last-b.first+1, err)
	}
	return nil
}

func (u *Unit) writeTallies() error {
	for k, n := range u.tallies {
		err := query(u.conn, `INSERT INTO tally (job, cycle, outcome, records) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (job, cycle, outcome) DO UPDATE SET records = tally.records + excluded.records`, []any{u.job, k.cycle, string(k.end), n}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// CountUnread implements provision.Unit.
func (u *Unit) CountUnread(paths map[string]int64) error {
	if err := u.lockJob(); err != nil {
		return err
	}
	for path, n := range paths {
		err := query(u.conn, `INSERT INTO unread_path (job, path, records)
			SELECT CAST(?1 AS bigint), CAST(?2 AS text), CAST(?3 AS bigint) WHERE (SELECT count(*) FROM unread_path WHERE job = ?1) < ?4 OR EXISTS (SELECT 1 FROM unread_path WHERE job = ?1 AND path = ?2)
			ON CONFLICT (job, path) DO UPDATE SET records = unread_path.records + excluded.records`, []any{u.job, path, n, maxUnreadPaths}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// Advance implements provision.Unit.
func (u *Unit) Advance(results []provision.UploadResult, cycle int64, now time.Time) error {
	if len(results) == 0 {
		return nil
	}
	if u.s.pg != nil {
		return u.advanceLanes(results, cycle, now)
	}
	last, records := int64(0), int64(0)
	for _, r := range results {
		counts, err := json.Marshal(r.Counts)
		if err != nil {
			return err
		}
		pending := 0
		for end, n := range r.Counts {
			records += int64(n)
			u.tally(cycle, end, n)
			if !end.Final() {
				pending += n
			}
		}
		last = max(last, r.Number)
		err = query(u.conn, "UPDATE upload SET done = ?3, counts = ?4, pending = ?5 WHERE job = ?1 AND number = ?2",
			[]any{u.job, r.Number, now.UnixMicro(), string(counts), pending}, nil)
		if err == nil {
			err = query(u.conn, "DELETE FROM upload_body WHERE job = ?1 AND number = ?2", []any{u.job, r.Number}, nil)
		}
		if err != nil {
			return err
		}
	}
	return query(u.conn, "UPDATE progress SET position = ?2, taken = taken + ?3 WHERE job = ?1", []any{u.job, last, records}, nil)
}

// tally counts n records of a cycle that have come to an end.
func (u *Unit) tally(cycle int64, end provision.End, n int) {
	u.tallies[tallyKey{0, end}] += int64(n)
	if cycle > 0 {
		u.tallies[tallyKey{cycle, end}] += int64(n)
	}
}

// Idle implements provision.Unit.
func (u *Unit) Idle() (idle bool, err error) {
	if err := u.lockJob(); err != nil {
		return false, err
	}
	err = query(u.conn, "SELECT j.accepted = p.taken FROM job j JOIN progress p ON p.job = j.pk WHERE j.pk = ?1", []any{u.job}, func(st Row) error {
		idle = st.ColumnBool(0)
		return nil
	})
	return idle, err
}

// ExtendCycle implements provision.Unit.
func (u *Unit) ExtendCycle(cy *provision.Cycle) error {
	if err := u.lockJob(); err != nil {
		return err
	}
	return query(u.conn, "UPDATE cycle SET last = (SELECT next - 1 FROM job WHERE pk = ?1) WHERE job = ?1 AND number = ?2 AND ended IS NULL",
		[]any{u.job, cy.Number}, nil)
}

// CloseCycle implements provision.Unit.
func (u *Unit) CloseCycle(cy *provision.Cycle, now time.Time) error {
	if err := u.lockJob(); err != nil {
		return err
	}
	from := int64(0)
	err := query(u.conn, "SELECT last FROM cycle WHERE job = ?1 AND number = ?2", []any{u.job, cy.Number - 1}, func(st Row) error {
		from = st.ColumnInt64(0)
		return nil
	})
	if err != nil {
		return err
	}
	if err := u.writeMoves(); err != nil {
		return err
	}
	err = query(u.conn, "UPDATE upload SET closed = ?4, settled = CASE WHEN pending = 0 THEN ?4 END WHERE job = ?1 AND number > ?2 AND number <= ?3 AND purge IS NULL",
		[]any{u.job, from, cy.To, now.UnixMicro()}, nil)
	if err == nil {
		err = u.skipPurged()
	}
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
