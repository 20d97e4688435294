package provision

import "math/bits"

// LaneOf returns the lane of a person, by the anchor, among a job's lanes. A record without anchor is in lane 0. Which lane it is
// never changes: positions are kept by it.
func LaneOf(anchor string, lanes int) int {
	if anchor == "" || lanes <= 1 {
		return 0
	}
	lane, _ := bits.Mul64(spread(anchor), uint64(lanes))
	return int(lane)
}

// spread is FNV-1a of 64 bits, whose high bits short texts hardly reach, with the finalizer of MurmurHash3 after it, which has each bit
// depend on all others.
func spread(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// LaneSet is a set of a job's lanes, a bit each.
type LaneSet uint64

// MaxLanes is how many lanes a job can have.
const MaxLanes = 32

// AllLanes returns the set of all lanes of a job that has n.
func AllLanes(n int) LaneSet { return 1<<max(n, 1) - 1 }

// Has reports whether lane n is in the set.
func (l LaneSet) Has(n int) bool { return l>>n&1 == 1 }

// Len returns how many lanes are in the set.
func (l LaneSet) Len() int { return bits.OnesCount64(uint64(l)) }
