package sqlstore

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"induct/internal/mapping"
	"induct/internal/provision"
	"induct/internal/sqlstore/pack"
)

// A block of log entries unpacks to a head, the length of each entry, the names of attributes, and the entries, which have
// the places of names. A query reads of an entry it does not want no more than what it is selected by, and of the others
// what it shows.

// compressor packs and unpacks blocks. It is safe for concurrent use.
type compressor struct {
	w       *zstd.Encoder
	r       *zstd.Decoder
	buffers sync.Pool // of *pack.Enc
}

func newCompressor() (*compressor, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxStored))
	return &compressor{w: w, r: r, buffers: sync.Pool{New: func() any { return new(pack.Enc) }}}, err
}

// encodeEntries packs the entries of one job, cycle and schema; there is at least one.
func (c *compressor) encodeEntries(entries []provision.LogEntry) []byte {
	bodies := c.buffers.Get().(*pack.Enc)
	defer c.buffers.Put(bodies)
	*bodies = (*bodies)[:0]
	first := &entries[0]
	head := make(pack.Enc, 0, 64+2*len(entries))
	head.Uint(uint64(len(entries)))
	head.Int(first.Time.UnixMicro())
	head.Int(first.JobPK)
	head.Int(first.Cycle)
	head.Int(first.Upload)
	head.Text(first.Schema)
	names := nameList{places: map[string]uint64{}}
	for i := range entries {
		from := len(*bodies)
		appendEntry(bodies, &entries[i], first, &names)
		head.Uint(uint64(len(*bodies) - from))
	}
	head.Uint(uint64(len(names.list)))
	for _, name := range names.list {
		head.Text(name)
	}
	return c.w.EncodeAll(append(head, *bodies...), []byte{entriesV1})
}

// nameList gives names places in the order in which they come.
type nameList struct {
	list   []string
	places map[string]uint64
}

func (n *nameList) place(name string) uint64 {
	p, ok := n.places[name]
	if !ok {
		p = uint64(len(n.list))
		n.places[name] = p
		n.list = append(n.list, name)
	}
	return p
}

// appendEntry appends an entry. Those that say nothing but "unchanged" are most of a log: ends and flags are small numbers,
// absent texts one byte.
func appendEntry(e *pack.Enc, x, first *provision.LogEntry, names *nameList) {
	e.Int(x.Time.Sub(first.Time).Microseconds())
	e.Int(x.Upload - first.Upload)
	e.Uint(bit(x.Hidden, 0) | bit(x.Ref, 1) | bit(x.Matched, 2) | uint64(x.Action)<<3 | uint64(x.Status)<<6 | endNumber(x.End)<<8)
	e.Text(x.Anchor)
	e.Uint(uint64(x.Index))
	e.Text(x.BulkID)
	e.Text(x.Name)
	e.Text(x.ObjectID)
	e.Text(x.ObjectName)
	e.Text(x.Code)
	e.Text(x.Attribute)
	e.Text(x.Reason)
	e.Text(x.Advice)
	e.Int(int64(x.Duration))
	e.Uint(uint64(len(x.Source)))
	for _, s := range x.Source {
		e.Uint(names.place(s.Name))
		e.Text(s.Value)
	}
	e.Uint(uint64(len(x.Modified)))
	for _, m := range x.Modified {
		e.Uint(names.place(m.Attribute))
		e.Opt(m.Old)
		e.Opt(m.New)
	}
	e.Uint(uint64(len(x.Warnings)))
	for _, w := range x.Warnings {
		e.Text(w)
	}
}

// entryBlock is an unpacked block.
type entryBlock struct {
	first              int64 // place of its first entry
	time               int64 // of its first entry, in microseconds
	job, cycle, upload int64
	schema             string
	names              []string
	entries            [][]byte
}

// entryHead is what entries are selected by.
type entryHead struct {
	seq, upload int64
	time        time.Time
	flags       uint64
	anchor      []byte
	rest        pack.Dec
}

func (h *entryHead) hidden() bool             { return h.flags&1 != 0 }
func (h *entryHead) status() provision.Status { return provision.Status(h.flags >> 6 & 3) }

// open unpacks a block.
func (c *compressor) open(first int64, b []byte) (*entryBlock, error) {
	corrupt := fmt.Errorf("log block %d: %w", first, errCorrupt)
	if len(b) == 0 || b[0] != entriesV1 {
		return nil, corrupt
	}
	raw, err := c.r.DecodeAll(b[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", corrupt, err)
	}
	d := pack.Dec{B: raw}
	lengths := make([]uint64, d.Count())
	block := &entryBlock{first: first, time: d.Int(), job: d.Int(), cycle: d.Int(), upload: d.Int(), schema: d.Text(), entries: make([][]byte, len(lengths))}
	for i := range lengths {
		lengths[i] = d.Uint()
	}
	block.names = make([]string, d.Count())
	for i := range block.names {
		block.names[i] = d.Text()
	}
	for i, n := range lengths {
		block.entries[i] = d.Bytes(n)
	}
	if d.Bad {
		return nil, corrupt
	}
	return block, nil
}

// name reads a name by its place.
func (b *entryBlock) name(d *pack.Dec) string {
	place := d.Uint()
	if place >= uint64(len(b.names)) {
		d.Bad = true
		return ""
	}
	return b.names[place]
}

// head reads what entry i is selected by.
func (b *entryBlock) head(i int) (entryHead, error) {
	h := entryHead{seq: b.first + int64(i), rest: pack.Dec{B: b.entries[i]}}
	h.time = time.UnixMicro(b.time + h.rest.Int()).UTC()
	h.upload = b.upload + h.rest.Int()
	h.flags = h.rest.Uint()
	h.anchor = h.rest.Bytes(h.rest.Uint())
	if h.rest.Bad {
		return h, fmt.Errorf("log entry %d: %w", h.seq, errCorrupt)
	}
	return h, nil
}

// entry reads the rest of an entry.
func (b *entryBlock) entry(h entryHead) (provision.LogEntry, error) {
	d := &h.rest
	x := provision.LogEntry{Seq: h.seq, JobPK: b.job, Cycle: b.cycle, Time: h.time, Upload: h.upload, Schema: b.schema, Anchor: string(h.anchor),
		Hidden: h.hidden(), Ref: h.flags&2 != 0, Matched: h.flags&4 != 0,
		Action: provision.Action(h.flags >> 3 & 7), Status: h.status(), End: endOf(h.flags >> 8)}
	x.Index, x.BulkID = int(d.Uint()), d.Text()
	x.Name, x.ObjectID, x.ObjectName = d.Text(), d.Text(), d.Text()
	x.Code, x.Attribute, x.Reason, x.Advice = d.Text(), d.Text(), d.Text(), d.Text()
	x.Duration = time.Duration(d.Int())
	if n := d.Count(); n > 0 {
		x.Source = make([]mapping.Imported, n)
		for j := range x.Source {
			x.Source[j] = mapping.Imported{Name: b.name(d), Value: d.Text()}
		}
	}
	if n := d.Count(); n > 0 {
		x.Modified = make([]provision.Modification, n)
		for j := range x.Modified {
			x.Modified[j] = provision.Modification{Attribute: b.name(d), Old: d.Opt(), New: d.Opt()}
		}
	}
	if n := d.Count(); n > 0 {
		x.Warnings = make([]string, n)
		for j := range x.Warnings {
			x.Warnings[j] = d.Text()
		}
	}
	if d.Bad || x.Action > provision.ActionStagedDelete {
		return x, fmt.Errorf("log entry %d: %w", h.seq, errCorrupt)
	}
	return x, nil
}

// storedEnds are the ends by their numbers, from 1; 0 is none. The list only ever grows at its end.
var storedEnds = []provision.End{provision.EndCreated, provision.EndUpdated, provision.EndUnchanged, provision.EndDisabled, provision.EndDeleted,
	provision.EndSkipped, provision.EndFailed, provision.EndSuperseded, provision.EndPurged, provision.EndRejected, provision.EndHeld, provision.EndRetrying}

func endNumber(end provision.End) uint64 { return uint64(slices.Index(storedEnds, end) + 1) }

func endOf(n uint64) provision.End {
	if n == 0 || n > uint64(len(storedEnds)) {
		return ""
	}
	return storedEnds[n-1]
}
