package upload

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
)

// Outcomes holds what became of the rows that failed, were skipped, or are held or retried, by line, however many they are: the
// rows are in a temporary file, memory has a place for each. It is safe for concurrent use; Close removes the file.
type Outcomes struct {
	mu   sync.Mutex
	f    *os.File
	left bool // it has a name yet
	size int64
	at   map[int]place
	bad  int // of them failed
}

type place struct {
	offset int64
	n      int32
	failed bool
}

// put stores o; what was known of its line is forgotten.
func (s *Outcomes) put(o Outcome) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		if s.f, err = os.CreateTemp("", "induct-outcomes-"); err != nil {
			return fmt.Errorf("keeping failed rows: %w", err)
		}
		s.left = os.Remove(s.f.Name()) != nil // only Windows needs the name; a process that is killed leaves nothing
		s.at = map[int]place{}
	}
	if _, err := s.f.WriteAt(text, s.size); err != nil {
		return fmt.Errorf("keeping failed rows: %w", err)
	}
	s.forget(o.Line)
	s.at[o.Line] = place{s.size, int32(len(text)), o.End == "failed"}
	if o.End == "failed" {
		s.bad++
	}
	s.size += int64(len(text))
	return nil
}

// drop forgets a line.
func (s *Outcomes) drop(line int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(line)
}

// forget needs s.mu.
func (s *Outcomes) forget(line int) {
	if s.at[line].failed {
		s.bad--
	}
	delete(s.at, line)
}

// Failed reports whether any row failed.
func (s *Outcomes) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad > 0
}

// Line returns the outcome of the row on a line, if it is held here.
func (s *Outcomes) Line(line int) (Outcome, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.at[line]
	if !ok {
		return Outcome{}, false
	}
	text := make([]byte, p.n)
	var o Outcome
	if _, err := s.f.ReadAt(text, p.offset); err != nil || json.Unmarshal(text, &o) != nil {
		return Outcome{Line: line, End: "failed", Reason: "its reason could not be read again"}, true
	}
	return o, true
}

// lines returns the lines of all outcomes, in their order.
func (s *Outcomes) lines() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.at))
}

// Close removes the temporary file.
func (s *Outcomes) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	if s.left {
		err = errors.Join(err, os.Remove(s.f.Name()))
	}
	s.f, s.at = nil, nil
	return err
}
