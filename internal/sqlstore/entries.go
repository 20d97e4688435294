package sqlstore

import (
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// A block of log entries unpacks to a head, the length of each entry, the names of attributes, and the entries, which have
// the places of names. A query reads of an entry it does not want no more than what it is selected by, and of the others
// what it shows.

// compressor packs and unpacks blocks. It is safe for concurrent use.
type compressor struct {
	w       *zstd.Encoder
	r       *zstd.Decoder
	buffers sync.Pool // of *enc
}

func newCompressor() (*compressor, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxStored))
	return &compressor{w: w, r: r, buffers: sync.Pool{New: func() any { return new(enc) }}}, err
}

// encodeEntries packs the entries of one job, cycle and schema; there is at least one.
func (c *compressor) encodeEntries(entries []provision.LogEntry) []byte {
	bodies := c.buffers.Get().(*enc)
	defer c.buffers.Put(bodies)
	*bodies = (*bodies)[:0]
	first := &entries[0]
	head := make(enc, 0, 64+2*len(entries))
	head.uint(uint64(len(entries)))
	head.int(first.Time.UnixMicro())
	head.int(first.JobPK)
	head.int(first.Cycle)
	head.int(first.Upload)
	head.text(first.Schema)
	names := nameList{places: map[string]uint64{}}
	for i := range entries {
		from := len(*bodies)
		bodies.entry(&entries[i], first, &names)
		head.uint(uint64(len(*bodies) - from))
	}
	head.uint(uint64(len(names.list)))
	for _, name := range names.list {
		head.text(name)
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

// entry appends an entry. Those that say nothing but "unchanged" are most of a log: ends and flags are small numbers,
// absent texts one byte.
func (e *enc) entry(x, first *provision.LogEntry, names *nameList) {
	e.int(x.Time.Sub(first.Time).Microseconds())
	e.int(x.Upload - first.Upload)
	e.uint(bit(x.Hidden, 0) | bit(x.Ref, 1) | bit(x.Matched, 2) | uint64(x.Action)<<3 | uint64(x.Status)<<6 | endNumber(x.End)<<8)
	e.text(x.Anchor)
	e.uint(uint64(x.Index))
	e.text(x.BulkID)
	e.text(x.Name)
	e.text(x.ObjectID)
	e.text(x.ObjectName)
	e.text(x.Code)
	e.text(x.Attribute)
	e.text(x.Reason)
	e.text(x.Advice)
	e.int(int64(x.Duration))
	e.uint(uint64(len(x.Source)))
	for _, s := range x.Source {
		e.uint(names.place(s.Name))
		e.text(s.Value)
	}
	e.uint(uint64(len(x.Modified)))
	for _, m := range x.Modified {
		e.uint(names.place(m.Attribute))
		e.opt(m.Old)
		e.opt(m.New)
	}
	e.uint(uint64(len(x.Warnings)))
	for _, w := range x.Warnings {
		e.text(w)
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
	rest        dec
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
	d := dec{b: raw}
	lengths := make([]uint64, d.count())
	block := &entryBlock{first: first, time: d.int(), job: d.int(), cycle: d.int(), upload: d.int(), schema: d.text(), entries: make([][]byte, len(lengths))}
	for i := range lengths {
		lengths[i] = d.uint()
	}
	block.names = make([]string, d.count())
	for i := range block.names {
		block.names[i] = d.text()
	}
	for i, n := range lengths {
		block.entries[i] = d.bytes(n)
	}
	if d.bad {
		return nil, corrupt
	}
	return block, nil
}

// name reads a name by its place.
func (b *entryBlock) name(d *dec) string {
	place := d.uint()
	if place >= uint64(len(b.names)) {
		d.bad = true
		return ""
	}
	return b.names[place]
}

// head reads what entry i is selected by.
func (b *entryBlock) head(i int) (entryHead, error) {
	h := entryHead{seq: b.first + int64(i), rest: dec{b: b.entries[i]}}
	h.time = time.UnixMicro(b.time + h.rest.int()).UTC()
	h.upload = b.upload + h.rest.int()
	h.flags = h.rest.uint()
	h.anchor = h.rest.bytes(h.rest.uint())
	if h.rest.bad {
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
	x.Index, x.BulkID = int(d.uint()), d.text()
	x.Name, x.ObjectID, x.ObjectName = d.text(), d.text(), d.text()
	x.Code, x.Attribute, x.Reason, x.Advice = d.text(), d.text(), d.text(), d.text()
	x.Duration = time.Duration(d.int())
	if n := d.count(); n > 0 {
		x.Source = make([]mapping.Imported, n)
		for j := range x.Source {
			x.Source[j] = mapping.Imported{Name: b.name(d), Value: d.text()}
		}
	}
	if n := d.count(); n > 0 {
		x.Modified = make([]provision.Modification, n)
		for j := range x.Modified {
			x.Modified[j] = provision.Modification{Attribute: b.name(d), Old: d.opt(), New: d.opt()}
		}
	}
	if n := d.count(); n > 0 {
		x.Warnings = make([]string, n)
		for j := range x.Warnings {
			x.Warnings[j] = d.text()
		}
	}
	if d.bad || x.Action > provision.ActionStagedDelete {
		return x, fmt.Errorf("log entry %d: %w", h.seq, errCorrupt)
	}
	return x, nil
}

// endNumber numbers the ends as provision.Ends lists them, from 1; 0 is none. The list only ever grows at its end.
func endNumber(end provision.End) uint64 {
	for i, e := range provision.Ends {
		if e == end {
			return uint64(i) + 1
		}
	}
	return 0
}

func endOf(n uint64) provision.End {
	if n == 0 || n > uint64(len(provision.Ends)) {
		return ""
	}
	return provision.Ends[n-1]
}
