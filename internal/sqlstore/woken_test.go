package sqlstore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// References become ready when the people they name are linked, in whatever order and number, whenever they are asked for, and
// after a restart; and they are handed out in the order of uploads until they end.
func TestWoken(t *testing.T) {
	t.Parallel()
	const people = 2*wokenAtOnce + 300 // more than two lists
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	job := &provision.Job{ID: "j", Schema: &mapping.Schema{}}
	if err := s.PutJob(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	unit := func(fn func(u provision.Unit) error) {
		t.Helper()
		if err := s.Unit(t.Context(), provision.Fence{JobPK: job.PK}, fn); err != nil {
			t.Fatal(err)
		}
	}
	linked := func(anchor string) provision.Person {
		return provision.Person{Anchor: anchor, ObjectID: uuid.NewString(), Version: 1, Kept: []byte("{}")}
	}
	unit(func(u provision.Unit) error {
		for i := range people {
			anchor := fmt.Sprint("report", i)
			if err := u.PutPeople([]provision.Person{linked(anchor)}); err != nil {
				return err
			}
			r := provision.PendingReference{Anchor: anchor, Attribute: "manager", To: fmt.Sprint("boss", i), Upload: int64(1 + i/50), Index: i % 50}
			if err := u.PutReference(r); err != nil {
				return err
			}
		}
		return nil
	})
	order := rand.New(rand.NewPCG(1, 2)).Perm(people)
	for part := range slices.Chunk(order, 200) {
		unit(func(u provision.Unit) error {
			var bosses []provision.Person
			for _, i := range part {
				bosses = append(bosses, linked(fmt.Sprint("boss", i)))
			}
			return u.PutPeople(bosses)
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), dir, Options{ReserveBytes: -1}); err != nil {
		t.Fatal(err)
	}
	deferred := func(want bool) {
		t.Helper()
		lane, err := s.Lane(t.Context(), job.PK)
		if err != nil || lane.Deferred.IsZero() == want {
			t.Errorf("Lane.Deferred is %v, %v; something to write: %v", lane.Deferred, err, want)
		}
	}
	deferred(true)
	next := 0
	take := func(u provision.Unit, limit int, ends func(i int) bool) {
		t.Helper()
		refs, err := u.ReadyReferences(time.Now(), limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(refs) == 0 || len(refs) > limit {
			t.Fatalf("%d references of at most %d", len(refs), limit)
		}
		for _, r := range refs {
			if want := fmt.Sprint("report", next); r.Anchor != want || r.From == "" {
				t.Fatalf("the reference of %q (%q), want that of %s", r.Anchor, r.From, want)
			}
			next++
			if !ends(next) {
				continue
			}
			if err := u.EndReference(r, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := func(int) bool { return true }
	unit(func(u provision.Unit) error { take(u, 1, all); return nil })                                // less than a list
	unit(func(u provision.Unit) error { take(u, 10, func(i int) bool { return false }); return nil }) // none ends
	next = 1
	unit(func(u provision.Unit) error {
		for next < wokenAtOnce {
			take(u, 300, all)
		}
		return nil
	})
	ended := next
	unit(func(u provision.Unit) error { // the rest, the last list without a write, of which half stays
		take(u, 2*wokenAtOnce, func(i int) bool {
			if i%2 == 0 {
				ended++
			}
			return i%2 == 0
		})
		return nil
	})
	if next != people {
		t.Errorf("%d references of %d were handed out", next, people)
	}
	left := 0
	unit(func(u provision.Unit) error {
		for {
			refs, err := u.ReadyReferences(time.Now(), 1000)
			if left += len(refs); err != nil || len(refs) == 0 {
				return err
			}
			for _, r := range refs {
				if err := u.EndReference(r, true); err != nil {
					return err
				}
			}
		}
	})
	if want := people - ended; left != want {
		t.Errorf("%d references were left, want %d", left, want)
	}
	deferred(false)
}
