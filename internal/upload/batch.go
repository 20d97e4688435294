package upload

import (
	"fmt"
	"hash/maphash"
	"io"
	"strconv"
	"strings"

	"induct/internal/upload/records"
)

const (
	batchSize  = 50      // operations in a bulk request: the protocol's limit
	batchBytes = 3 << 20 // of records in a bulk request, below the usual 4 MB of a Graph write
)

// batch is the records of one bulk request, in their order.
type batch struct {
	key  string // names it in its run: "12", or "12.1" for the second part of what was "12"
	recs []records.Record
}

// batcher makes batches of a source: full ones, in the order of the file. What is in a batch depends on the source
// alone, not on time, concurrency or answers, so that a run that goes on makes the same requests again.
type batcher struct {
	src  records.Source
	next records.Record
	has  bool // next is the first of the next batch
	end  bool // src has ended, and is not asked again
	n    int
}

// take returns the next batch, or io.EOF. After another error there is none.
func (b *batcher) take() (batch, error) {
	out := batch{key: strconv.Itoa(b.n)}
	size := 0
	for {
		if !b.has {
			if b.end {
				return batch{}, io.EOF
			}
			rec, err := b.src.Next()
			if b.end = err == io.EOF; b.end && len(out.recs) > 0 {
				break
			}
			if err != nil {
				return batch{}, err
			}
			b.next, b.has = rec, true
		}
		size += len(b.next.Data) + len(b.next.BulkID)
		if len(out.recs) == batchSize || size > batchBytes && len(out.recs) > 0 {
			break
		}
		out.recs, b.has = append(out.recs, b.next), false
	}
	b.n++
	return out, nil
}

// Requests gives the bodies of the requests that Run would send of src, one after the other.
func Requests(src records.Source, use func(body []byte) error) error {
	for batches := (&batcher{src: src}); ; {
		b, err := batches.take()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = use(records.BulkRequest(b.recs))
		}
		if err != nil {
			return err
		}
	}
}

// part returns the records [from, to) as part n.
func (b batch) part(n, from, to int) batch {
	return batch{fmt.Sprintf("%s.%d", b.key, n), b.recs[from:to:to]}
}

// parts takes a batch apart that was refused whole: without one operation, which is the first part, or, if that is
// -1, into halves.
func (b batch) parts(without int) (first, second batch) {
	if without < 0 {
		half := len(b.recs) / 2
		return b.part(0, 0, half), b.part(1, half, len(b.recs))
	}
	second = b.part(1, 0, without)
	second.recs = append(second.recs, b.recs[without+1:]...)
	return b.part(0, without, without+1), second
}

// spans are ascending line numbers, runs of them as one.
type spans []struct{ first, n int }

func spansOf(recs []records.Record) spans {
	var s spans
	for _, rec := range recs {
		if k := len(s) - 1; k >= 0 && rec.Line == s[k].first+s[k].n {
			s[k].n++
			continue
		}
		s = append(s, struct{ first, n int }{rec.Line, 1})
	}
	return s
}

// at returns the i-th line, or 0 if there is none.
func (s spans) at(i int) int {
	for _, run := range s {
		if i < 0 {
			break
		}
		if i < run.n {
			return run.first + i
		}
		i -= run.n
	}
	return 0
}

// String writes "lines 2–4, 7, 9–12", long lists shortened.
func (s spans) String() string {
	var b strings.Builder
	b.WriteString("line")
	if len(s) > 1 || len(s) == 1 && s[0].n > 1 {
		b.WriteByte('s')
	}
	for i, run := range s {
		last := run.first + run.n - 1
		if i == 8 {
			fmt.Fprintf(&b, ", … %d", s[len(s)-1].first+s[len(s)-1].n-1)
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %d", run.first)
		if run.n > 1 {
			fmt.Fprintf(&b, "–%d", last)
		}
	}
	return b.String()
}

// people are those whom requests in flight concern, by a hash of their anchors: one that two share only makes a
// request wait that need not.
type people struct {
	seed  maphash.Seed
	held  map[uint64]bool
	freed chan struct{} // told, at least once, after some were let go
}

func newPeople() *people {
	return &people{seed: maphash.MakeSeed(), held: map[uint64]bool{}, freed: make(chan struct{}, 1)}
}

// of returns the people of a batch, each once.
func (p *people) of(b batch) []uint64 {
	seen := make(map[uint64]bool, len(b.recs))
	var ids []uint64
	for _, rec := range b.recs {
		if rec.Anchor == "" {
			continue
		}
		// Folded: a service that compares anchors without case must still see them in order.
		id := maphash.String(p.seed, strings.ToLower(strings.TrimSpace(rec.Anchor)))
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}
