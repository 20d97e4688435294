package bench

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// perRequest is how many operations a bulk request has: the protocol's limit.
const perRequest = 50

// load is bulk requests in a file, made before the clock starts, so that the generator is no part of what is measured.
// It is safe for concurrent reading.
type load struct {
	file    *os.File
	ends    []int64 // where each request ends
	records int
	per     int // records in a request; the last may have fewer
}

// shuffled returns the people of w in an order of their own for each pass.
func (w Workforce) shuffled(pass uint64) []int {
	return rand.New(rand.NewPCG(w.Seed, 1<<32+pass)).Perm(w.People)
}

// nobody has changed.
func nobody(int) bool { return false }

// makeLoad writes people of w, in their order, as bulk requests of per records into a file in dir.
func makeLoad(ctx context.Context, dir string, w Workforce, people []int, per int, changed func(i int) bool) (_ *load, err error) {
	f, err := os.CreateTemp(dir, "load-")
	if err != nil {
		return nil, err
	}
	l := &load{file: f, records: len(people), per: per}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	out := bufio.NewWriterSize(f, 1<<20)
	bodies := make([][]byte, 8*runtime.GOMAXPROCS(0)) // a window: made on all cores, written in order
	for at := 0; at < len(people); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var group errgroup.Group
		group.SetLimit(runtime.GOMAXPROCS(0))
		n := 0
		for ; n < len(bodies) && at < len(people); n++ {
			some := people[at:min(at+per, len(people))]
			at += len(some)
			slot := &bodies[n]
			group.Go(func() error {
				*slot = w.AppendRequest((*slot)[:0], some, changed)
				return nil
			})
		}
		group.Wait()
		for _, b := range bodies[:n] {
			if _, err := out.Write(b); err != nil {
				return nil, fmt.Errorf("write the requests: %w", err)
			}
			l.ends = append(l.ends, l.size()+int64(len(b)))
		}
	}
	return l, out.Flush()
}

// size returns the bytes of all requests.
func (l *load) size() int64 {
	if len(l.ends) == 0 {
		return 0
	}
	return l.ends[len(l.ends)-1]
}

// in returns how many records request n has.
func (l *load) in(n int) int { return min(l.per, l.records-n*l.per) }

// body reads request n into buf, if it has room.
func (l *load) body(buf []byte, n int) ([]byte, error) {
	begin := int64(0)
	if n > 0 {
		begin = l.ends[n-1]
	}
	size := int(l.ends[n] - begin)
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	_, err := l.file.ReadAt(buf[:size], begin)
	return buf[:size], err
}

func (l *load) close() {
	l.file.Close()
	os.Remove(l.file.Name())
}
