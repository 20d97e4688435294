package directory

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// What the table answers is what was put last, or nothing.
func TestVersionsForgetButNeverLie(t *testing.T) {
	ids := make([]uuid.UUID, 100)
	for i := range ids {
		ids[i] = uuid.New()
	}
	rapid.Check(t, func(t *rapid.T) {
		v := newVersions(rapid.IntRange(0, 64).Draw(t, "size"))
		want := map[uuid.UUID]int64{}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			id := rapid.SampledFrom(ids).Draw(t, "id")
			version := rapid.Int64Range(0, 5).Draw(t, "version")
			v.put(id, version)
			want[id] = version
			if got := v.get(id); got != version {
				t.Fatalf("just put %d, got %d", version, got)
			}
			other := rapid.SampledFrom(ids).Draw(t, "other")
			if got := v.get(other); got != 0 && got != want[other] {
				t.Fatalf("got %d, put last %d", got, want[other])
			}
		}
	})
}

func TestVersionsHoldWhatFits(t *testing.T) {
	const n = 10_000
	v := newVersions(2 * n)
	held := 0
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.New()
		v.put(ids[i], int64(i)+1)
	}
	for i, id := range ids {
		if v.get(id) == int64(i)+1 {
			held++
		}
	}
	if held < n*95/100 {
		t.Errorf("%d of %d are held in a table of twice the size", held, n)
	}
}
