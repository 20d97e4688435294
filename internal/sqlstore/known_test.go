package sqlstore

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// What the table answers is what was put last and not forgotten since, or nothing.
func TestKnownForgetsButNeverLies(t *testing.T) {
	type state struct {
		version int64
		program uint64
		object  uuid.UUID
		hash    [16]byte
	}
	rapid.Check(t, func(t *rapid.T) {
		k := newKnown(rapid.IntRange(0, 64).Draw(t, "size"))
		want := map[string]state{}
		anchor := func(label string) (string, anchorKey) {
			a := fmt.Sprint(rapid.IntRange(0, 60).Draw(t, label))
			return a, keyOfAnchor(1, a)
		}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			a, key := anchor("anchor")
			if rapid.IntRange(0, 3).Draw(t, "forget") == 0 {
				k.forget(key)
				delete(want, a)
			} else {
				s := state{version: rapid.SampledFrom([]int64{1, 2, 1 << 32}).Draw(t, "version"), program: rapid.Uint64Range(1, 70).Draw(t, "program"), object: uuid.New()}
				s.hash[0] = rapid.ByteRange(0, 2).Draw(t, "hash")
				k.put([]rememberedPerson{{key: key, object: s.object, version: s.version, program: s.program, hash: s.hash}})
				delete(want, a)
				if s.hash[0] != 0 && s.version < 1<<32 {
					want[a] = s
				}
			}
			a, key = anchor("asked")
			p := k.get(a, key)
			if p == nil {
				continue
			}
			if s, ok := want[a]; !ok || p.Anchor != a || p.ObjectID != s.object.String() || p.Version != s.version || p.Program != s.program || p.Hash != s.hash {
				t.Fatalf("%s is %+v, want %+v", a, p, s)
			}
		}
	})
}

func TestKnownHoldsWhatFits(t *testing.T) {
	const n = 10_000
	k := newKnown(3 * n / 2)
	for i := range n {
		k.put([]rememberedPerson{{key: keyOfAnchor(1, fmt.Sprint(i)), object: uuid.New(), version: 1, program: 7, hash: [16]byte{1}}})
	}
	held := 0
	for i := range n {
		if a := fmt.Sprint(i); k.get(a, keyOfAnchor(1, a)) != nil {
			held++
		}
		if k.get("x", keyOfAnchor(2, fmt.Sprint(i))) != nil {
			t.Fatal("a person of another job is known")
		}
	}
	if held < n*95/100 {
		t.Errorf("%d of %d are held", held, n)
	}
}
