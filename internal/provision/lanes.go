package provision

import "hash/fnv"

// LaneOf returns the lane of a person, by the anchor, among a job's lanes. A record without anchor is in lane 0. Which lane it is
// never changes: positions are kept by it.
func LaneOf(anchor string, lanes int) int {
	if anchor == "" || lanes <= 1 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(anchor))
	return int(uint64(h.Sum32()) * uint64(lanes) >> 32)
}
