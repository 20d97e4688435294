package provision

import (
	"testing"
	"time"
)

// TestStride: a re-evaluation begins with few people, grows while it is quick, and takes fewer when it keeps uploads waiting.
func TestStride(t *testing.T) {
	var s stride
	if n := s.next(1); n != reevaluationStart {
		t.Errorf("it begins with %d", n)
	}
	for range 20 {
		s.took(time.Millisecond)
	}
	if n := s.next(1); n != reevaluationBatch {
		t.Errorf("quick batches have %d", n)
	}
	s.took(500 * time.Millisecond)
	if n := s.next(1); n != reevaluationBatch {
		t.Errorf("after half a second: %d", n)
	}
	s.took(time.Minute)
	if n := s.next(1); n != reevaluationBatch/2 {
		t.Errorf("after a slow batch: %d", n)
	}
	for range 20 {
		s.took(time.Minute)
	}
	if n := s.next(1); n != 1 {
		t.Errorf("slow batches have %d", n)
	}
	if n := s.next(2); n != reevaluationStart {
		t.Errorf("the next re-evaluation begins with %d", n)
	}
}
