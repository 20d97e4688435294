package sqlstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"induct/internal/sqlstore/pack"
)

// Things are found by texts that arrive in no order: a person by the anchor, a user by userPrincipalName or mail. In an
// index on such texts each new key dirties a page of its own, and at a million people that is most of what is written.
// So all these texts are filed by their hashes in one table, key(hash, row), which they reach late and in order:
//
//   - A transaction writes its changes as one blob (key_stage) and keeps them in memory: they are staged.
//   - It also moves one of 64 slices of the hash space from memory into the table. A slice is a contiguous part of the
//     table, and what 64 transactions have gathered for it goes into few pages.
//   - A blob has been moved as a whole after 64 transactions, and is deleted.
//
// A lookup takes the staged changes and the table together. It may answer too much, because hashes collide and readers
// come at any time, but never too little: whoever asks compares the rows with the text. A reader takes the staged
// changes before its snapshot of the file begins, so what is moved in between is seen in one of the two.
// See docs/decisions/0006-staged-keys.md.

// keySlices is how many transactions a staged change waits at most.
const keySlices = 64

// HashKey returns the hash under which a text is filed. Spaces keep kinds of texts apart; job is 0 for what belongs to
// the tenant. Texts that mean the same must be spelled the same, which is their owner's business.
func HashKey(space string, job int64, text string) int64 {
	h := keySum(space, job, text)
	return int64(binary.BigEndian.Uint64(h[:]))
}

func keySum(space string, job int64, text string) [sha256.Size]byte {
	var buf [256]byte
	b := append(buf[:0], space...)
	b = append(b, 0)
	b = binary.AppendVarint(b, job)
	b = append(b, text...)
	return sha256.Sum256(b)
}

// anchorKey is a person's key with more of its hash: together they are as good as the anchor.
type anchorKey struct {
	hash int64
	tag  uint64 // not 0
}

func keyOfAnchor(job int64, anchor string) anchorKey {
	h := keySum(anchorSpace, job, anchor)
	return anchorKey{int64(binary.BigEndian.Uint64(h[:])), binary.BigEndian.Uint64(h[8:]) | 1}
}

// keyChange files a row under a hash, or takes it out.
type keyChange struct {
	hash, row int64
	gone      bool
	claim     bool // nobody else is to file under the hash at the same time
}

func sliceOf(hash int64) int { return int(uint64(hash) >> 58) }

// keySet holds changes by hash, in an open-addressed table: hashes are as good as random, and a map would hash them again.
type keySet struct {
	list  []chained
	table []int32 // the place of the latest change of each hash, from 1; 0 is free. At most half full.
}

// keySeed keeps those who choose texts from choosing places in the table.
var keySeed = rand.Uint64() | 1

type chained struct {
	keyChange
	before int32 // the place of the change of the same hash before this one; 0 if there is none
}

// slot returns where a hash is in the table, or belongs. The table is not empty.
func (k *keySet) slot(hash int64) *int32 {
	mask := uint64(len(k.table) - 1)
	for i := uint64(hash) * keySeed >> 20 & mask; ; i = (i + 1) & mask {
		if at := k.table[i]; at == 0 || k.list[at-1].hash == hash {
			return &k.table[i]
		}
	}
}

func (k *keySet) add(c keyChange) {
	if 2*len(k.list) >= len(k.table) {
		k.grow()
	}
	at := k.slot(c.hash)
	k.list = append(k.list, chained{c, *at})
	*at = int32(len(k.list))
}

func (k *keySet) grow() {
	k.table = make([]int32, max(64, 2*len(k.table)))
	for i := range k.list {
		*k.slot(k.list[i].hash) = int32(i + 1)
	}
}

// changes appends what has happened to a hash, in order.
func (k *keySet) changes(dst []keyChange, hash int64) []keyChange {
	if len(k.list) == 0 {
		return dst
	}
	from := len(dst)
	for at := *k.slot(hash); at != 0; at = k.list[at-1].before {
		dst = append(dst, k.list[at-1].keyChange)
	}
	slices.Reverse(dst[from:])
	return dst
}

func apply(rows []int64, changes []keyChange) []int64 {
	for _, c := range changes {
		at := slices.Index(rows, c.row)
		switch {
		case c.gone && at >= 0:
			rows = slices.Delete(rows, at, at+1)
		case !c.gone && at < 0:
			rows = append(rows, c.row)
		}
	}
	return rows
}

// keys are the staged changes that are committed, and a filter of all hashes.
type keys struct {
	filter *filter

	mu     sync.RWMutex
	staged [keySlices]keySet
	number int64 // of the latest transaction that staged something

	next func() *sliceChanges // what the next transaction moves; the writer's
}

// changes returns what is staged of each hash.
func (k *keys) changes(hashes []int64) [][]keyChange {
	k.mu.RLock()
	defer k.mu.RUnlock()
	all := make([][]keyChange, len(hashes))
	for i, h := range hashes {
		all[i] = k.staged[sliceOf(h)].changes(nil, h)
	}
	return all
}

// stored returns the rows that the table has under a hash.
func (k *keys) stored(c Conn, hash int64) (rows []int64, err error) {
	if !k.filter.mayHold(hash) {
		return nil, nil
	}
	err = query(c, "SELECT row FROM key WHERE hash = ?1", []any{hash}, func(st Row) error {
		rows = append(rows, st.ColumnInt64(0))
		return nil
	})
	return rows, err
}

// write stages the changes of a transaction inside it, and moves a slice into the table. The caller calls publish once
// the transaction is durable.
func (k *keys) write(c Conn, pending *keySet) error {
	number := k.number + 1
	if err := move(c, k.next()); err != nil {
		return fmt.Errorf("move keys: %w", err)
	}
	b := make(pack.Enc, 0, 13*len(pending.list)+8)
	b.Uint(uint64(len(pending.list)))
	for _, p := range pending.list {
		b = binary.BigEndian.AppendUint64(b, uint64(p.hash))
		b.Uint(uint64(p.row)<<1 | bit(p.gone, 0))
		k.filter.add(p.hash)
	}
	if err := query(c, "INSERT INTO key_stage (number, changes) VALUES (?1, ?2)", []any{number, []byte(b)}, nil); err != nil {
		return fmt.Errorf("stage keys: %w", err)
	}
	return query(c, "DELETE FROM key_stage WHERE number <= ?1", []any{number - keySlices}, nil)
}

func sliceAt(number int64) int { return int(number % keySlices) }

// sliceChanges is what a slice changes in the table.
type sliceChanges struct {
	gone []keyChange
	rows []any // hash, row, hash, row, …: those to be inserted, in their order
}

// gather makes ready what the next transaction moves, beside the work of the writer. Nothing changes the slice before that.
func (k *keys) gather() {
	slice, done := &k.staged[sliceAt(k.number+1)], make(chan struct{})
	var changes sliceChanges
	go func() {
		defer close(done)
		changes = slice.sum()
	}()
	k.next = func() *sliceChanges {
		<-done
		return &changes
	}
}

// sum returns what all changes come to. A row that was filed first was not in the table before.
func (k *keySet) sum() (sum sliceChanges) {
	order := make([]int32, len(k.list))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := &k.list[a], &k.list[b]
		return cmp.Or(cmp.Compare(x.hash, y.hash), cmp.Compare(x.row, y.row), cmp.Compare(a, b))
	})
	sum.rows = make([]any, 0, 2*len(order))
	for i := 0; i < len(order); {
		first := &k.list[order[i]]
		last := first
		for ; i < len(order) && k.list[order[i]].hash == first.hash && k.list[order[i]].row == first.row; i++ {
			last = &k.list[order[i]]
		}
		switch {
		case !last.gone:
			sum.rows = append(sum.rows, last.hash, last.row)
		case first.gone:
			sum.gone = append(sum.gone, last.keyChange)
		}
	}
	return sum
}

// move brings a slice into the table.
func move(c Conn, slice *sliceChanges) error {
	for _, ch := range slice.gone {
		if err := query(c, "DELETE FROM key WHERE hash = ?1 AND row = ?2", []any{ch.hash, ch.row}, nil); err != nil {
			return err
		}
	}
	for rows := range slices.Chunk(slice.rows, 2*keysAtOnce) {
		if len(rows) == 2*keysAtOnce {
			if err := query(c, insertKeys, rows, nil); err != nil {
				return err
			}
			continue
		}
		for pair := range slices.Chunk(rows, 2) {
			if err := query(c, "INSERT INTO key (hash, row) VALUES (?1, ?2) ON CONFLICT DO NOTHING", pair, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// keysAtOnce is how many rows one statement inserts: the cost of a statement is that of several rows.
const keysAtOnce = 16

var insertKeys = "INSERT OR IGNORE INTO key (hash, row) VALUES (?1, ?2)" + func() (more string) {
	for i := 1; i < keysAtOnce; i++ {
		more += fmt.Sprintf(", (?%d, ?%d)", 2*i+1, 2*i+2)
	}
	return more
}()

// publish shows to readers what write has made durable.
func (k *keys) publish(pending *keySet) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.number++
	k.staged[sliceAt(k.number)] = keySet{}
	for _, p := range pending.list {
		k.staged[sliceOf(p.hash)].add(p.keyChange)
	}
	k.gather()
}

// load reads what was staged and had not been moved when the store was closed.
func (k *keys) load(c Conn) error {
	if err := query(c, "SELECT max(number) FROM key_stage", nil, func(st Row) error {
		k.number = st.ColumnInt64(0)
		return nil
	}); err != nil {
		return err
	}
	err := query(c, "SELECT number, changes FROM key_stage ORDER BY number", nil, func(st Row) error {
		number := st.ColumnInt64(0)
		d := pack.Dec{B: Blob(st, 1)}
		for range d.Count() {
			raw := d.Bytes(8)
			v := d.Uint()
			if d.Bad {
				return fmt.Errorf("staged keys %d: %w", number, errCorrupt)
			}
			ch := keyChange{hash: int64(binary.BigEndian.Uint64(raw)), row: int64(v >> 1), gone: v&1 == 1}
			k.filter.add(ch.hash)
			if !movedSince(sliceOf(ch.hash), number, k.number) {
				k.staged[sliceOf(ch.hash)].add(ch)
			}
		}
		return nil
	})
	k.gather()
	return err
}

// movedSince reports whether a transaction after number, up to last, has moved the slice.
func movedSince(slice int, number, last int64) bool {
	ahead := (int64(slice) - number%keySlices + keySlices) % keySlices
	if ahead == 0 { // its own transaction moves before it stages
		ahead = keySlices
	}
	return number+ahead <= last
}

// fill adds the table's hashes to the filter, a piece at a time. Until it has, the filter lets everything through.
func (k *keys) fill(ctx context.Context, s *Store) error {
	const piece = 20_000
	started := false
	last, more := int64(0), true
	for more {
		more = false
		text, args := "SELECT hash FROM key ORDER BY hash LIMIT ?1", []any{piece}
		if started {
			text, args = "SELECT hash FROM key WHERE hash > ?2 ORDER BY hash LIMIT ?1", []any{piece, last}
		}
		n := 0
		err := s.read(ctx, func(c Conn) error {
			return query(c, text, args, func(st Row) error {
				n++
				last = st.ColumnInt64(0)
				k.filter.add(last)
				return nil
			})
		})
		if err != nil {
			return err
		}
		started, more = true, n == piece
	}
	k.filter.complete.Store(true)
	return nil
}

// filter is a Bloom filter of hashes in blocks of a cache line. Until it is complete it holds everything.
type filter struct {
	complete atomic.Bool
	words    []atomic.Uint64
}

const filterBlock = 8 // words

func newFilter(kib int) *filter {
	return &filter{words: make([]atomic.Uint64, max(kib<<10/8/filterBlock, 1)*filterBlock)}
}

// bits calls f with the word and the bit of each of a hash's four places, until f returns false.
func (f *filter) bits(hash int64, use func(w *atomic.Uint64, mask uint64) bool) bool {
	blocks := uint64(len(f.words) / filterBlock)
	block := (uint64(hash) >> 32 * blocks) >> 32
	v := uint64(hash) * 0x9e3779b97f4a7c15
	for range 4 {
		v = v<<16 | v>>48
		if !use(&f.words[block*filterBlock+v>>6&7], 1<<(v&63)) {
			return false
		}
	}
	return true
}

func (f *filter) add(hash int64) {
	f.bits(hash, func(w *atomic.Uint64, mask uint64) bool {
		if w.Load()&mask == 0 {
			w.Or(mask)
		}
		return true
	})
}

func (f *filter) mayHold(hash int64) bool {
	return !f.complete.Load() || f.bits(hash, func(w *atomic.Uint64, mask uint64) bool { return w.Load()&mask != 0 })
}

// ReadKeyed runs fn on a read connection, in one snapshot, with the rows that may be filed under each hash. A row may
// be gone or hold another text: fn compares.
func (s *Store) ReadKeyed(ctx context.Context, hashes []int64, fn func(c Conn, rows [][]int64) error) error {
	if s.pg != nil {
		return s.read(ctx, func(c Conn) error {
			rows, err := pgReadKeyed(c, hashes)
			if err != nil {
				return fmt.Errorf("read keys: %w", err)
			}
			return fn(c, rows)
		})
	}
	staged := s.keys.changes(hashes)
	return s.read(ctx, func(c Conn) error {
		rows := make([][]int64, len(hashes))
		for i, h := range hashes {
			stored, err := s.keys.stored(c, h)
			if err != nil {
				return fmt.Errorf("read keys: %w", err)
			}
			rows[i] = apply(stored, staged[i])
		}
		return fn(c, rows)
	})
}

// Keyed returns the rows that may be filed under a hash, the Unit's own changes included. The caller compares.
func (u *Unit) Keyed(hash int64) ([]int64, error) {
	if u.s.pg != nil {
		return u.pgKeyed(hash)
	}
	rows, err := u.s.keys.stored(u.conn, hash)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	// Only the writer, which runs this, changes what is staged: no lock is needed.
	var buf [8]keyChange
	changes := u.s.keys.staged[sliceOf(hash)].changes(buf[:0], hash)
	return apply(rows, u.pending.changes(changes, hash)), nil
}

// File files a row of some table under a hash, where it is not yet.
func (u *Unit) File(hash, row int64) { u.pending.add(keyChange{hash: hash, row: row}) }

// Claim is File for a text that a Unit has looked up (Keyed) and found to be free for it: if another one files under the same
// hash meanwhile, one of the two fails and is done again.
func (u *Unit) Claim(hash, row int64) {
	u.pending.add(keyChange{hash: hash, row: row, claim: true})
}

// Unfile takes a row out from under a hash.
func (u *Unit) Unfile(hash, row int64) { u.pending.add(keyChange{hash: hash, row: row, gone: true}) }
