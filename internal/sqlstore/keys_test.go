package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// keyed is a store whose keys are compared with a model.
type keyed struct {
	dir   string
	store *Store
	job   int64
	model map[int64]map[int64]bool // hash → rows
}

func openKeyed(t rapid.TB, dir string) *keyed {
	k := &keyed{dir: dir, model: map[int64]map[int64]bool{}}
	k.open(t)
	schema, _ := mapping.Template("API2AAD")
	j := &provision.Job{ID: "API2AAD.t.x", TemplateID: "API2AAD", State: provision.JobActive, Schema: schema, Created: time.Unix(0, 0)}
	if err := k.store.PutJob(context.Background(), j); err != nil {
		t.Fatal(err)
	}
	k.job = j.PK
	return k
}

func (k *keyed) open(t rapid.TB) {
	store, err := Open(context.Background(), k.dir, Options{FilterKiB: 1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	k.store = store
}

func (k *keyed) unit(fn func(u *Unit) error) error {
	return k.store.Unit(context.Background(), provision.Fence{JobPK: k.job}, func(u provision.Unit) error { return fn(u.(*Unit)) })
}

// check compares what is read inside a Unit and by a reader with the model.
func (k *keyed) check(t rapid.TB, hashes []int64) {
	var inside, outside [][]int64
	if err := k.unit(func(u *Unit) error {
		for _, h := range hashes {
			rows, err := u.Keyed(h)
			if err != nil {
				return err
			}
			inside = append(inside, rows)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := k.store.ReadKeyed(context.Background(), hashes, func(_ Conn, rows [][]int64) error { outside = rows; return nil }); err != nil {
		t.Fatal(err)
	}
	for i, h := range hashes {
		want := slices.Sorted(maps.Keys(k.model[h]))
		slices.Sort(inside[i])
		slices.Sort(outside[i])
		if !slices.Equal(inside[i], want) || !slices.Equal(outside[i], want) {
			t.Fatalf("rows of %x are %v in a Unit and %v for a reader, want %v", h, inside[i], outside[i], want)
		}
	}
}

// Whatever is filed, taken out, rolled back and opened again, a key has the rows that it was given.
func TestKeysHoldWhatWasFiled(t *testing.T) {
	t.Parallel()
	var hashes []int64
	for i := range 40 {
		hashes = append(hashes, HashKey("test", 0, fmt.Sprint(i)))
	}
	failure := errors.New("failure")
	rapid.Check(t, func(rt *rapid.T) {
		k := openKeyed(rt, t.TempDir())
		defer func() { k.store.Close() }()
		for range rapid.IntRange(1, 3).Draw(rt, "lives") {
			// More transactions than slices, so that blobs are moved and deleted.
			for range rapid.SampledFrom([]int{1, 3, 5, 10, 70}).Draw(rt, "transactions") {
				fails := rapid.IntRange(0, 9).Draw(rt, "fails") == 0
				after := map[int64]map[int64]bool{}
				for h, rows := range k.model {
					after[h] = maps.Clone(rows)
				}
				err := k.unit(func(u *Unit) error {
					for range rapid.IntRange(0, 4).Draw(rt, "changes") {
						h, row := rapid.SampledFrom(hashes).Draw(rt, "hash"), rapid.Int64Range(1, 3).Draw(rt, "row")
						if after[h] == nil {
							after[h] = map[int64]bool{}
						}
						if rapid.Bool().Draw(rt, "gone") {
							u.Unfile(h, row)
							delete(after[h], row)
						} else if !after[h][row] {
							u.File(h, row)
							after[h][row] = true
						}
						rows, err := u.Keyed(h)
						if slices.Sort(rows); err != nil || !slices.Equal(rows, slices.Sorted(maps.Keys(after[h]))) {
							return fmt.Errorf("in the transaction the rows are %v: %w", rows, err)
						}
					}
					if fails {
						return failure
					}
					return nil
				})
				if fails != errors.Is(err, failure) || !fails && err != nil {
					rt.Fatal(err)
				}
				if !fails {
					k.model = after
				}
			}
			k.check(rt, hashes)
			if err := k.store.Close(); err != nil {
				rt.Fatal(err)
			}
			k.open(rt)
			k.check(rt, hashes)
		}
	})
}

// A slice is moved by exactly one of 64 transactions, never by the one that stages.
func TestMovedSince(t *testing.T) {
	for number := range int64(200) {
		for slice := range keySlices {
			moved := false
			for last := number; last <= number+keySlices; last++ {
				if last > number && sliceAt(last) == slice {
					moved = true
				}
				if got := movedSince(slice, number, last); got != moved {
					t.Fatalf("slice %d staged by %d, seen at %d: %v, want %v", slice, number, last, got, moved)
				}
			}
			if !moved {
				t.Fatalf("slice %d staged by %d is never moved", slice, number)
			}
		}
	}
}

// The blobs of changes that have been moved do not stay.
func TestStagedChangesAreBounded(t *testing.T) {
	k := openKeyed(t, t.TempDir())
	defer k.store.Close()
	for i := range int64(3 * keySlices) {
		if err := k.unit(func(u *Unit) error { u.File(HashKey("test", 0, fmt.Sprint(i)), i); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	staged := 0
	for i := range k.store.keys.staged {
		staged += len(k.store.keys.staged[i].list)
	}
	blobs := 0
	if err := k.store.read(t.Context(), func(c Conn) error {
		return query(c, "SELECT 1 FROM key_stage", nil, func(Row) error { blobs++; return nil })
	}); err != nil {
		t.Fatal(err)
	}
	if staged > keySlices || blobs > keySlices {
		t.Errorf("%d changes and %d blobs are staged after %d transactions with a change each", staged, blobs, 3*keySlices)
	}
}

func TestFilterHoldsWhatWasAdded(t *testing.T) {
	f := newFilter(64)
	f.complete.Store(true)
	passes := 0
	for i := range 20_000 {
		f.add(HashKey("in", 0, fmt.Sprint(i)))
	}
	for i := range 20_000 {
		if !f.mayHold(HashKey("in", 0, fmt.Sprint(i))) {
			t.Fatalf("%d was added and is not held", i)
		}
		if f.mayHold(HashKey("out", 0, fmt.Sprint(i))) {
			passes++
		}
	}
	if passes > 20_000*3/100 {
		t.Errorf("%d of 20,000 strangers pass at 26 bits a key", passes)
	}
	if id := uuid.New(); !newFilter(1).mayHold(HashKey("", 0, id.String())) {
		t.Error("a filter that is not complete keeps something out")
	}
}
