package provision

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// The public ids of log entries, changes and cycles are their places, written as version 8 UUIDs (RFC 9562
// section 5.8): a place can be read back from its id, so no index of ids is kept and a redo gives the same id.
const (
	kindEntry  = 0x1
	kindChange = 0x2
	kindCycle  = 0x3
	kindRedone = 0x4
)

// place writes kind, a (20 bits), b (48 bits), c (48 bits) into the free bits of a version 8 UUID.
func place(kind byte, a uint32, b, c uint64) uuid.UUID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[0:8], b<<16)
	u[6] = 0x80 | kind
	u[7] = byte(a >> 12)
	binary.BigEndian.PutUint16(u[8:10], 0x8000|uint16(a&0xfff))
	var tail [8]byte
	binary.BigEndian.PutUint64(tail[:], c<<16)
	copy(u[10:], tail[:6])
	return u
}

func parsePlace(u uuid.UUID, kind byte) (a uint32, b, c uint64, ok bool) {
	if u[6] != 0x80|kind || u[8]&0xf0 != 0x80 {
		return 0, 0, 0, false
	}
	b = binary.BigEndian.Uint64(u[0:8]) >> 16
	a = uint32(u[7])<<12 | uint32(binary.BigEndian.Uint16(u[8:10])&0xfff)
	var tail [8]byte
	copy(tail[:6], u[10:])
	return a, b, binary.BigEndian.Uint64(tail[:]) >> 16, true
}

// EntryID returns the public id of the log entry at seq.
func EntryID(seq int64) uuid.UUID { return place(kindEntry, 0, 0, uint64(seq)) }

// ParseEntryID returns the place of the log entry with this id; ok is false if it cannot be one of ours.
func ParseEntryID(id uuid.UUID) (seq int64, ok bool) {
	a, b, c, ok := parsePlace(id, kindEntry)
	return int64(c), ok && a == 0 && b == 0
}

// ChangeID returns the public id of the change that operation index of an upload makes, or of the one that
// re-evaluation -upload makes to the person at index. jobPK must be below 2^20, upload and index below 2^48.
func ChangeID(jobPK, upload int64, index int) uuid.UUID {
	if upload < 0 {
		return place(kindRedone, uint32(jobPK), uint64(-upload), uint64(index))
	}
	return place(kindChange, uint32(jobPK), uint64(upload), uint64(index))
}

// ParseChangeID is the inverse of ChangeID.
func ParseChangeID(id uuid.UUID) (jobPK, upload int64, index int, ok bool) {
	if a, b, c, ok := parsePlace(id, kindRedone); ok {
		return int64(a), -int64(b), int(c), b > 0
	}
	a, b, c, ok := parsePlace(id, kindChange)
	return int64(a), int64(b), int(c), ok
}

// CycleID returns the public id of a cycle of a job.
func CycleID(jobPK, cycle int64) uuid.UUID {
	return place(kindCycle, uint32(jobPK), uint64(cycle), 0)
}

// ParseCycleID is the inverse of CycleID.
func ParseCycleID(id uuid.UUID) (jobPK, cycle int64, ok bool) {
	a, b, c, ok := parsePlace(id, kindCycle)
	return int64(a), int64(b), ok && c == 0
}

// objectID returns the id that a record gives to the object it creates: it begins with the time at which the
// upload was received, so that ids grow, and is a function of (job, number, index), so that a redo gives the same.
func objectID(job *Job, received time.Time, upload int64, index int) uuid.UUID {
	var in [24]byte
	binary.BigEndian.PutUint64(in[0:], uint64(job.PK))
	binary.BigEndian.PutUint64(in[8:], uint64(upload))
	binary.BigEndian.PutUint64(in[16:], uint64(index))
	h := uuid.NewSHA1(job.ServicePrincipalID, append(in[:], job.ID...))
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(received.UnixMilli()))
	copy(h[0:6], ms[2:8])
	h[6] = h[6]&0x0f | 0x80
	return h
}

// seed returns the seed of a record's volatile functions: a function of (job, number, index).
func seed(job *Job, upload int64, index int) uint64 {
	id := objectID(job, time.Time{}, upload, index)
	return binary.BigEndian.Uint64(id[8:])
}
