package provision

import "time"

// Window counts what a job did within the last interval, by the minute, so that many small uploads count like one burst.
type Window struct {
	Slots  []Slot
	Linked int64 // enabled accounts when the first of Slots with an effect began
}

// Slot is one minute of a Window.
type Slot struct {
	Minute     int64 // since 1970
	Effects    int64 // disables and deletions that were carried out on nobody's order but a record's
	Records    int64 // that had an outcome
	Failures   int64 // of them failed
	References int64 // that failed
}

// add counts s into the slot of now and forgets the slots that are older than the interval.
func (w *Window) add(now time.Time, interval time.Duration, s Slot) {
	w.prune(now, interval)
	s.Minute = now.Unix() / 60
	if n := len(w.Slots); n > 0 && w.Slots[n-1].Minute >= s.Minute {
		last := &w.Slots[n-1]
		last.Effects += s.Effects
		last.Records += s.Records
		last.Failures += s.Failures
		last.References += s.References
		return
	}
	w.Slots = append(w.Slots, s)
}

func (w *Window) prune(now time.Time, interval time.Duration) {
	oldest := now.Add(-interval).Unix() / 60
	n := 0
	for n < len(w.Slots) && w.Slots[n].Minute < oldest {
		n++
	}
	w.Slots = w.Slots[n:]
}

// sum adds the slots up.
func (w *Window) sum() (s Slot) {
	for _, o := range w.Slots {
		s.Effects += o.Effects
		s.Records += o.Records
		s.Failures += o.Failures
		s.References += o.References
	}
	return s
}

// reached notes that the target has answered, and what came of it.
func reached(u Unit, now time.Time, n Slot) error {
	cond, err := u.Condition()
	if err != nil {
		return err
	}
	if n == (Slot{}) && cond.Unreachable.IsZero() && cond.SuccessiveFailures == 0 {
		return nil
	}
	cond.Unreachable, cond.SuccessiveFailures = time.Time{}, 0
	if n != (Slot{}) {
		cond.Window.add(now, DefaultInterval, n)
	}
	return u.PutCondition(cond)
}
