// Package regex runs .NET regular expressions over text in bounded time.
//
// It reads the language of Microsoft Learn, "Regular Expression Language - Quick Reference": named groups, lazy
// quantifiers, Unicode classes and their difference, lookaround, atomic groups, back-references and inline options.
// It refuses balancing groups and conditions, and matches characters where .NET matches UTF-16 units.
//
// A match is found by backtracking, in the order that .NET tries, and without back-references no choice is made twice
// at the same place: a search is linear in the text, or quadratic where a run of characters stands in a loop or behind
// another run, and never exponential. All of it is bounded by a count of steps, never by a clock, so that the same text
// always has the same answer.
package regex

import (
	"errors"
	"strings"
	"sync"
	"unicode/utf8"
)

// ErrSteps means that a search needed more steps than it was given.
var ErrSteps = errors.New("the regular expression takes too many steps on this value; make it simpler, or more specific")

const (
	maxMemo  = 1 << 20 // places that failures are remembered of, for one search
	maxStack = 1 << 20
)

// frame is something to go back to.
type frame struct {
	pc  int32 // where to go on; if negative, slot ^pc gets its old value pos back
	pos int32
	run int32 // for opRun: how far it can give back, or how many more it can take; else -1
}

// machine is the state of one search.
type machine struct {
	re    *Regexp
	text  string
	steps int
	start int // where the search began, for \G
	slots []int32
	stack []frame
	seen  []uint32 // by instruction and place: the number of the part that failed there
	part  uint32
	memo  bool
}

var machines = sync.Pool{New: func() any { return new(machine) }}

// Each calls f with each match in text, in order, until f returns false: the bytes of the match and of each group, as
// pairs, -1 for a group that took no part. f must not keep them. As in .NET, an empty match may follow another match
// at once. Steps taken are subtracted from *steps; when they are used up the error is ErrSteps.
func (re *Regexp) Each(text string, steps *int, f func(groups []int32) bool) error {
	m := machines.Get().(*machine)
	defer machines.Put(m)
	m.reset(re, text, *steps)
	defer func() {
		*steps = m.steps
		m.text = ""
		if cap(m.stack) > 1<<12 || cap(m.seen) > 1<<16 {
			m.stack, m.seen = nil, nil
		}
	}()
	for from := 0; from <= len(text); {
		m.start = from
		found, err := m.search(from)
		if err != nil || !found || !f(m.slots[:2*re.groups]) {
			return err
		}
		end := int(m.slots[1])
		if end == int(m.slots[0]) {
			_, size := utf8.DecodeRuneInString(text[end:])
			end += max(size, 1)
		}
		from = end
	}
	return nil
}

// Match reports whether text has a match. Steps are as for Each.
func (re *Regexp) Match(text string, steps *int) (found bool, err error) {
	err = re.Each(text, steps, func([]int32) bool { found = true; return false })
	return found, err
}

func (m *machine) reset(re *Regexp, text string, steps int) {
	m.re, m.text, m.steps = re, text, steps
	m.stack = m.stack[:0]
	if cap(m.slots) < re.slots {
		m.slots = make([]int32, re.slots)
	}
	m.slots = m.slots[:re.slots]
	need := re.memo * (len(text) + 1)
	if m.memo = need > 0 && need <= maxMemo; !m.memo {
		return
	}
	if cap(m.seen) < need {
		m.seen, m.part = make([]uint32, need), 0
	}
	m.seen = m.seen[:need]
}

// newPart numbers a run over the text: a failure is remembered within one part only.
func (m *machine) newPart() uint32 {
	if m.part++; m.part == 0 {
		clear(m.seen[:cap(m.seen)])
		m.part = 1
	}
	return m.part
}

// search finds the first match at or after from.
func (m *machine) search(from int) (bool, error) {
	part := m.newPart()
	for at := from; at <= len(m.text); {
		if m.re.prefix != "" {
			i := strings.Index(m.text[at:], m.re.prefix)
			if i < 0 {
				return false, nil
			}
			at += i
		}
		r, size := utf8.DecodeRuneInString(m.text[at:])
		m.steps -= len(m.slots) / 16
		if m.re.first == nil || size > 0 && m.in(m.re.first, r) {
			for i := range m.slots {
				m.slots[i] = -1
			}
			if _, ok, err := m.run(0, int32(at), part); ok || err != nil {
				m.stack = m.stack[:0]
				return ok, err
			}
		} else if m.steps--; m.steps < 0 {
			return false, ErrSteps
		}
		if m.re.anchored {
			return false, nil
		}
		at += max(size, 1)
	}
	return false, nil
}

// tried reports whether in was tried at pos before in this part, and remembers that it is now. What was tried and has
// brought no match will not bring one; what is being tried again on the same path has taken nothing since.
func (m *machine) tried(in *inst, pos int32, part uint32) bool {
	if !m.memo {
		return false
	}
	i := int(in.id)*(len(m.text)+1) + int(pos)
	if m.seen[i] == part {
		return true
	}
	m.seen[i] = part
	return false
}

func (m *machine) push(f frame) error {
	if len(m.stack) >= maxStack {
		return ErrSteps
	}
	m.stack = append(m.stack, f)
	return nil
}

func (m *machine) save(slot, pos int32) error {
	err := m.push(frame{^slot, m.slots[slot], -1})
	m.slots[slot] = pos
	return err
}

// last makes a group hold the character that a run took last.
func (m *machine) last(in *inst, pos int32) error {
	if m.slots[in.y] == pos {
		return nil
	}
	_, other := m.next(pos, !in.back)
	if err := m.save(in.x, min(pos, other)); err != nil {
		return err
	}
	return m.save(in.x+1, max(pos, other))
}

// run matches from pc on until opMatch, and leaves on the stack what can be undone.
func (m *machine) run(pc, pos int32, part uint32) (end int32, ok bool, err error) {
	base := len(m.stack)
	for {
		if m.steps--; m.steps < 0 {
			return 0, false, ErrSteps
		}
		in := &m.re.prog[pc]
		good := true
		pc++
		switch in.op {
		case opMatch:
			return pos, true, nil
		case opChar:
			r, next := m.next(pos, in.back)
			good, pos = next >= 0 && r == in.r, next
		case opSet:
			r, next := m.next(pos, in.back)
			good, pos = next >= 0 && m.in(in.set, r), next
		case opRun:
			if good = !m.tried(in, pos, part); good {
				pos, good, err = m.take(in, pc, pos)
			}
		case opLoop:
			if m.slots[in.least] == pos { // the last round took nothing, so that another would not end
				pc = in.y
			} else if good = !m.tried(in, pos, part); good {
				pc, err = m.choose(in, pos)
			}
		case opSplit:
			if good = !m.tried(in, pos, part); good {
				pc, err = m.choose(in, pos)
			}
		case opJump:
			pc = in.x
		case opSave:
			err = m.save(in.x, pos)
		case opLast:
			err = m.last(in, pos)
		case opBackref:
			pos, good = m.backref(in, pos)
		case opLook, opAtomic:
			if good = !m.tried(in, pos, part); good {
				pos, good, err = m.apart(in, pc, pos)
				pc = in.y
			}
		default:
			good = m.holds(in.op, int(pos))
		}
		for !good && err == nil {
			if len(m.stack) == base {
				return 0, false, nil
			}
			pc, pos, good = m.back()
		}
		if err != nil {
			return 0, false, err
		}
	}
}

// in reports whether r is in s, and counts what it takes to know.
func (m *machine) in(s *set, r rune) bool {
	if r >= 128 {
		m.steps -= s.cost
	}
	return s.has(r)
}

// next reads the character after pos, or before it if back; next is -1 if there is none.
func (m *machine) next(pos int32, back bool) (rune, int32) {
	if back {
		if pos == 0 {
			return 0, -1
		}
		r, size := utf8.DecodeLastRuneInString(m.text[:pos])
		return r, pos - int32(size)
	}
	if int(pos) >= len(m.text) {
		return 0, -1
	}
	if c := m.text[pos]; c < utf8.RuneSelf {
		return rune(c), pos + 1
	}
	r, size := utf8.DecodeRuneInString(m.text[pos:])
	return r, pos + int32(size)
}

// choose takes one way and remembers the other.
func (m *machine) choose(in *inst, pos int32) (int32, error) {
	first, second := in.x, in.y
	if in.lazy {
		first, second = second, first
	}
	return first, m.push(frame{second, pos, -1})
}

// take runs over characters of a set: as many as there are, or as few as allowed if in is lazy.
func (m *machine) take(in *inst, pc, pos int32) (int32, bool, error) {
	count, least := int32(0), pos
	for most := in.most; most < 0 || count < most; count++ {
		if in.lazy && count == in.least {
			break
		}
		r, next := m.next(pos, in.back)
		if next < 0 || !m.in(in.set, r) {
			break
		}
		if pos = next; count < in.least {
			least = next
		}
	}
	m.steps -= int(count)
	switch {
	case count < in.least:
		return 0, false, nil
	case in.lazy && in.most != in.least:
		left := int32(-2) // no limit
		if in.most >= 0 {
			left = in.most - count
		}
		return pos, true, m.push(frame{pc, pos, left})
	case !in.lazy && pos != least:
		return pos, true, m.push(frame{pc, pos, least})
	}
	return pos, true, nil
}

// back undoes the last choice; ok is false if that alone opens no other way.
func (m *machine) back() (pc, pos int32, ok bool) {
	f := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	if f.pc < 0 {
		m.slots[^f.pc] = f.pos
		return 0, 0, false
	}
	in := &m.re.prog[max(f.pc-1, 0)]
	switch {
	case f.run == -1:
		return f.pc, f.pos, true
	case in.lazy:
		r, next := m.next(f.pos, in.back)
		if f.run == 0 || next < 0 || !m.in(in.set, r) {
			return 0, 0, false
		}
		if f.run > 0 {
			f.run--
		}
		m.stack = append(m.stack, frame{f.pc, next, f.run})
		return f.pc, next, true
	}
	_, pos = m.next(f.pos, !in.back)
	if pos != f.run {
		m.stack = append(m.stack, frame{f.pc, pos, f.run})
	}
	return f.pc, pos, true
}

// apart matches a part by itself: nothing in it is tried again once it has matched.
func (m *machine) apart(in *inst, pc, pos int32) (int32, bool, error) {
	base := len(m.stack)
	end, ok, err := m.run(pc, pos, m.newPart())
	if err != nil {
		return 0, false, err
	}
	kept := m.stack[:base]
	for i := len(m.stack) - 1; in.not && i >= base; i-- {
		if f := m.stack[i]; f.pc < 0 {
			m.slots[^f.pc] = f.pos
		}
	}
	for _, f := range m.stack[base:] {
		if f.pc < 0 && !in.not {
			kept = append(kept, f)
		}
	}
	m.stack = kept
	if in.op == opLook {
		end = pos
	}
	return end, ok != in.not, nil
}

// backref matches what a group took; one that took no part matches nothing.
func (m *machine) backref(in *inst, pos int32) (int32, bool) {
	from, to := m.slots[2*in.x], m.slots[2*in.x+1]
	if from < 0 || to < 0 || from > to {
		return 0, false
	}
	want := m.text[from:to]
	m.steps -= len(want)
	if in.back {
		if int(pos) < len(want) {
			return 0, false
		}
		got := m.text[int(pos)-len(want) : pos]
		return pos - int32(len(want)), got == want || in.fold && strings.EqualFold(got, want)
	}
	if int(pos)+len(want) > len(m.text) {
		return 0, false
	}
	got := m.text[pos : int(pos)+len(want)]
	return pos + int32(len(want)), got == want || in.fold && strings.EqualFold(got, want)
}

// holds decides an assertion.
func (m *machine) holds(o op, pos int) bool {
	switch o {
	case opBegin:
		return pos == 0
	case opEnd:
		return pos == len(m.text)
	case opEndZ:
		return pos == len(m.text) || pos == len(m.text)-1 && m.text[pos] == '\n'
	case opLineStart:
		return pos == 0 || m.text[pos-1] == '\n'
	case opLineEnd:
		return pos == len(m.text) || m.text[pos] == '\n'
	case opStart:
		return pos == m.start
	case opWord, opNotWord:
		before, _ := utf8.DecodeLastRuneInString(m.text[:pos])
		after, _ := utf8.DecodeRuneInString(m.text[pos:])
		return (isWord(before) != isWord(after)) == (o == opWord)
	}
	return false
}
