package sqlstore

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"induct/internal/provision"
)

// The log is searched by anchor through hashes. A block carries those of its entries, until enough blocks have come
// together: then a transaction merges them into a run of 256 rows by the hash's first byte, each sorted, and a query reads
// one row of each run. An index row for each entry would be a random write for each record, which costs more than all
// else about a record that changes nothing.

// runSizes is when a run is made: of so many entries, or of so many blocks where uploads trickle.
var runSizes = unmerged{blocks: 1 << 12, entries: 1 << 16}

// unmerged counts what waits for a run.
type unmerged struct{ blocks, entries int64 }

func (n unmerged) plus(b *block) unmerged {
	return unmerged{n.blocks + 1, n.entries + b.last - b.first + 1}
}

func (n unmerged) reaches(limit unmerged) bool {
	return n.blocks >= limit.blocks || n.entries >= limit.entries
}

func (s *Store) loadUnmerged(c Conn) error {
	return query(c, "SELECT count(*), CAST(coalesce(sum(last - first + 1), 0) AS bigint) FROM log_block INDEXED BY log_block_unmerged WHERE anchors IS NOT NULL", nil,
		func(st Row) error {
			s.unmerged = unmerged{st.ColumnInt64(0), st.ColumnInt64(1)}
			return nil
		})
}

// hashSize is a 32-bit hash in a block; runSize has the place of the block in its run behind it, in 16 bits.
const (
	hashSize = 4
	runSize  = 6
)

// mostInRun is how many blocks a run can have: places in it have 16 bits.
const mostInRun = 1 << 16

// mergeBlocks makes a run of the first blocks that have none. Others may append blocks meanwhile, which come after these.
func mergeBlocks(c Conn) error {
	var firsts []byte
	var low, high int64
	var buckets [256][]byte
	err := query(c, "SELECT first, last, anchors FROM log_block INDEXED BY log_block_unmerged WHERE anchors IS NOT NULL ORDER BY first LIMIT ?1", []any{mostInRun},
		func(st Row) error {
			if low == 0 {
				low = st.ColumnInt64(0)
			}
			high = st.ColumnInt64(1)
			place := uint16(len(firsts) / 8)
			firsts = binary.BigEndian.AppendUint64(firsts, uint64(st.ColumnInt64(0)))
			for h := range slices.Chunk(Blob(st, 2), hashSize) {
				buckets[h[0]] = binary.BigEndian.AppendUint16(append(buckets[h[0]], h...), place)
			}
			return nil
		})
	if err != nil {
		return err
	}
	run, err := inserted(c, "INSERT INTO log_run (first, last, firsts) VALUES (?1, ?2, ?3) RETURNING run", low, high, firsts)
	if err != nil {
		return fmt.Errorf("make a run: %w", err)
	}
	for i, b := range buckets {
		if len(b) == 0 {
			continue
		}
		err := query(c, "INSERT INTO log_run_hash (place, hashes) VALUES (?1, ?2)", []any{run<<8 | int64(i), sortHashes(b)}, nil)
		if err != nil {
			return fmt.Errorf("make a run: %w", err)
		}
	}
	return query(c, "UPDATE log_block INDEXED BY log_block_unmerged SET anchors = NULL WHERE anchors IS NOT NULL AND first <= ?1", []any{high}, nil)
}

// sortHashes sorts the entries of a run's row.
func sortHashes(b []byte) []byte {
	entries := make([]uint64, 0, len(b)/runSize)
	for e := range slices.Chunk(b, runSize) {
		entries = append(entries, uint64(binary.BigEndian.Uint32(e))<<16|uint64(binary.BigEndian.Uint16(e[hashSize:])))
	}
	slices.Sort(entries)
	sorted := make([]byte, 0, len(b))
	for _, e := range entries {
		sorted = binary.BigEndian.AppendUint32(sorted, uint32(e>>16))
		sorted = binary.BigEndian.AppendUint16(sorted, uint16(e))
	}
	return sorted
}

// blocksOf returns where blocks begin that may hold entries of an anchor between q.After and q.Before, in their order.
func blocksOf(c Conn, q provision.LogQuery) (firsts []int64, err error) {
	hash := anchorHash(q.Anchor)
	const between = " AND last > ?1 AND (?2 = 0 OR first < ?2)"
	bounds := []any{q.After, q.Before}
	err = query(c, "SELECT first, anchors FROM log_block INDEXED BY log_block_unmerged WHERE anchors IS NOT NULL"+between, bounds, func(st Row) error {
		if holds(Blob(st, 1), hash) {
			firsts = append(firsts, st.ColumnInt64(0))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = query(c, "SELECT run FROM log_run WHERE run > 0"+between, bounds, func(st Row) error {
		run := st.ColumnInt64(0)
		places, err := inRun(c, run, hash)
		if err != nil || len(places) == 0 {
			return err
		}
		return query(c, "SELECT firsts FROM log_run WHERE run = ?1", []any{run}, func(st Row) error {
			all := Blob(st, 0)
			for _, p := range places {
				if 8*p+8 > len(all) {
					return fmt.Errorf("run %d of the log: %w", run, errCorrupt)
				}
				firsts = append(firsts, int64(binary.BigEndian.Uint64(all[8*p:])))
			}
			return nil
		})
	})
	slices.Sort(firsts)
	return firsts, err
}

// inRun returns the places of a run's blocks that hold a hash.
func inRun(c Conn, run int64, hash uint32) (places []int, err error) {
	err = query(c, "SELECT hashes FROM log_run_hash WHERE place = ?1", []any{run<<8 | int64(hash>>24)}, func(st Row) error {
		b := Blob(st, 0)
		n := len(b) / runSize
		at := func(i int) uint32 { return binary.BigEndian.Uint32(b[i*runSize:]) }
		for i, _ := sort.Find(n, func(i int) int { return cmp.Compare(hash, at(i)) }); i < n && at(i) == hash; i++ {
			places = append(places, int(binary.BigEndian.Uint16(b[i*runSize+hashSize:])))
		}
		return nil
	})
	return places, err
}
