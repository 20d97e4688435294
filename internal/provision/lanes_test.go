package provision

import (
	"fmt"
	"math"
	"testing"
)

// Positions are kept by lane: the lane of an anchor is the same for ever.
func TestLaneOfStays(t *testing.T) {
	for _, test := range []struct {
		anchor string
		lanes  int
		want   int
	}{
		{"", 32, 0}, {"701984", 0, 0}, {"701984", 1, 0}, {"E1", 1, 0},
		{"701984", 32, 0}, {"E1", 32, 16}, {"Zoë", 32, 7}, {"a b", 32, 10},
		{"701984", 7, 0}, {"E1", 7, 3}, {"Zoë", 7, 1}, {"a b", 7, 2},
	} {
		if got := LaneOf(test.anchor, test.lanes); got != test.want {
			t.Errorf("%q is in lane %d of %d, want %d", test.anchor, got, test.lanes, test.want)
		}
	}
}

// Whatever anchors look like, each lane gets its share, give or take five standard deviations.
func TestLaneOfSpreads(t *testing.T) {
	const people = 40_000
	for _, form := range []string{"%d", "%06d", "E%d", "emp-%d-acme.example", "%d000", "%08x", "a\x00%d", "%d@corp.example"} {
		for _, lanes := range []int{2, 3, 7, 32} {
			count := make([]int, lanes)
			for i := range people {
				count[LaneOf(fmt.Sprintf(form, i), lanes)]++
			}
			mean := float64(people) / float64(lanes)
			for lane, n := range count {
				if off := math.Abs(float64(n) - mean); off > 5*math.Sqrt(mean) {
					t.Errorf("%s: lane %d of %d has %d people of %d", form, lane, lanes, n, people)
				}
			}
		}
	}
}

// Each bit of the hash is set for about half of all anchors, and each bit of an anchor turns about half of the bits over.
func TestSpread(t *testing.T) {
	const texts = 4000
	var set [64]int
	for i := range texts {
		text := fmt.Appendf(nil, "p%d", i)
		h := spread(string(text))
		for bit := range set {
			set[bit] += int(h >> bit & 1)
		}
		if i >= 200 {
			continue
		}
		for bit := range 8 * len(text) {
			text[bit/8] ^= 1 << (bit % 8)
			if n := LaneSet(h ^ spread(string(text))).Len(); n < 10 || n > 54 {
				t.Errorf("%q: one bit of it turns %d bits of the hash", text, n)
			}
			text[bit/8] ^= 1 << (bit % 8)
		}
	}
	for bit, n := range set {
		if math.Abs(float64(n)-texts/2) > 5*math.Sqrt(texts)/2 {
			t.Errorf("bit %d is set in %d of %d hashes", bit, n, texts)
		}
	}
}
