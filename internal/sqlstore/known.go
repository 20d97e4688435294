package sqlstore

import (
	"sync"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// known remembers, of people who are as their latest record wants them, what proves that: enough to tell that the same
// record changes nothing, without a read. A nightly upload of everybody is mostly such records. It is a table of fixed size
// that forgets, and holds what is committed only, by the only process that writes (a nil one knows nobody): what a Unit changes is forgotten at once and remembered when it is
// durable. Readers may ask at any time.
type known struct {
	mu       sync.RWMutex
	slots    []knownSlot
	programs []uint64 // slots name their program by its place here
}

// knownSlot is 48 bytes without a pointer.
type knownSlot struct {
	tag     uint64 // of the anchor's hash, what the place does not say; 0: the slot is free
	program uint32
	version uint32
	object  uuid.UUID
	hash    [16]byte
}

const (
	knownWays   = 8  // slots in which an anchor may be
	maxPrograms = 64 // more than a job's schemas change while the table turns over
)

// newKnown returns a table for n people, in 48 bytes each.
func newKnown(n int) *known {
	return &known{slots: make([]knownSlot, max(n/knownWays, 1)*knownWays)}
}

// ways returns the slots of an anchor.
func (k *known) ways(h anchorKey) []knownSlot {
	set := (uint64(h.hash) >> 32 * uint64(len(k.slots)/knownWays)) >> 32
	return k.slots[set*knownWays:][:knownWays]
}

// get returns what is known of an anchor: its link, and what its record was; nil if it is not known.
func (k *known) get(anchor string, h anchorKey) *provision.Person {
	if k == nil {
		return nil
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, s := range k.ways(h) {
		if s.tag == h.tag {
			return &provision.Person{Anchor: anchor, ObjectID: s.object.String(), Version: int64(s.version), Hash: s.hash, Program: k.programs[s.program]}
		}
	}
	return nil
}

// put remembers people, the latest first in its place, and forgets those who are not as desired.
func (k *known) put(people []rememberedPerson) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range people {
		p := &people[i]
		s := knownSlot{tag: p.key.tag, version: uint32(p.version), object: p.object, hash: p.hash}
		if s.program = k.program(p.program); p.hash == ([16]byte{}) || p.object == uuid.Nil || p.version != int64(s.version) {
			k.drop(p.key)
			continue
		}
		ways := k.ways(p.key)
		at := len(ways) - 1
		for j := range ways {
			if ways[j].tag == s.tag {
				at = j
				break
			}
			if ways[j].tag == 0 && at == len(ways)-1 {
				at = j
			}
		}
		copy(ways[1:at+1], ways[:at])
		ways[0] = s
	}
}

// program returns the place of a program. If there are too many everything is forgotten.
func (k *known) program(id uint64) uint32 {
	for i := len(k.programs) - 1; i >= 0; i-- {
		if k.programs[i] == id {
			return uint32(i)
		}
	}
	if len(k.programs) == maxPrograms {
		clear(k.slots)
		k.programs = k.programs[:0]
	}
	k.programs = append(k.programs, id)
	return uint32(len(k.programs) - 1)
}

// forget forgets an anchor until it is put again.
func (k *known) forget(h anchorKey) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(h)
}

func (k *known) drop(h anchorKey) {
	for i, ways := 0, k.ways(h); i < len(ways); i++ {
		if ways[i].tag == h.tag {
			ways[i] = knownSlot{}
		}
	}
}

// rememberedPerson is what is put of a person.
type rememberedPerson struct {
	key     anchorKey
	object  uuid.UUID
	version int64
	program uint64
	hash    [16]byte
}
