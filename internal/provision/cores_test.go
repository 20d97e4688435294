package provision

import (
	"sync/atomic"
	"testing"
)

// Ahead makes each element once, and has made it when it is needed, in portions of any size.
func TestAhead(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 31, 32, 33, 1000} {
		for _, each := range []int{1, 32, 2000} {
			made := make([]int, n)
			var calls atomic.Int64
			need := Ahead(n, each, func(i int) {
				calls.Add(1)
				made[i] += i + 1
			})
			for i := range made {
				if need(i); made[i] != i+1 {
					t.Fatalf("%d by %d: element %d is %d when it is needed", n, each, i, made[i])
				}
			}
			if calls.Load() != int64(n) {
				t.Errorf("%d by %d: %d calls", n, each, calls.Load())
			}
		}
	}
}
