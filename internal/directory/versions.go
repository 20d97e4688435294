package directory

import (
	"encoding/binary"
	"slices"

	"github.com/google/uuid"
)

// versions remembers the versions of users that are committed, so that most proofs that nothing has changed need no
// read. It is a table of fixed size that forgets; nil remembers nothing. Only the store's writer touches it: no lock is needed.
type versions struct{ slots []versionSlot }

type versionSlot struct {
	id      uuid.UUID
	version int64 // 0: the slot is free
}

const versionWays = 8 // slots in which an id may be

// newVersions returns a table for n users, in 24 bytes each.
func newVersions(n int) *versions {
	return &versions{slots: make([]versionSlot, max(n/versionWays, 1)*versionWays)}
}

// ways returns the slots of an id. Its last bytes are as good as random.
func (v *versions) ways(id uuid.UUID) []versionSlot {
	set := binary.BigEndian.Uint64(id[8:]) * 0x9e3779b97f4a7c15 >> 32 * uint64(len(v.slots)/versionWays) >> 32
	return v.slots[set*versionWays:][:versionWays]
}

// get returns the version of a user, 0 if it is not known.
func (v *versions) get(id uuid.UUID) int64 {
	if v == nil {
		return 0
	}
	for _, s := range v.ways(id) {
		if s.id == id {
			return s.version
		}
	}
	return 0
}

// put remembers a version; 0 forgets it. The slot that was filled longest ago makes room.
func (v *versions) put(id uuid.UUID, version int64) {
	if v == nil {
		return
	}
	ways := v.ways(id)
	at := slices.IndexFunc(ways, func(s versionSlot) bool { return s.id == id })
	if at < 0 {
		at = slices.IndexFunc(ways, func(s versionSlot) bool { return s.version == 0 })
	}
	if at < 0 {
		at = len(ways) - 1
	}
	copy(ways[1:at+1], ways[:at])
	ways[0] = versionSlot{id, version}
}
