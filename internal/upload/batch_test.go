package upload

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"induct/internal/upload/records"
)

// lengths is a source whose records have these sizes.
type lengths []int

func (l *lengths) Next() (records.Record, error) {
	if len(*l) == 0 {
		return records.Record{}, io.EOF
	}
	n := (*l)[0]
	*l = (*l)[1:]
	return records.Record{Data: []byte(strings.Repeat("x", n))}, nil
}

// Batches are full, in the order of the file, and cut where the bytes are too many.
func TestBatches(t *testing.T) {
	large := batchBytes/2 + 1
	for name, tc := range map[string]struct {
		sizes lengths
		want  []int
	}{
		"none":           {nil, nil},
		"one":            {lengths{1}, []int{1}},
		"full":           {slices.Repeat(lengths{1}, 50), []int{50}},
		"one more":       {slices.Repeat(lengths{1}, 51), []int{50, 1}},
		"many":           {slices.Repeat(lengths{100}, 1006), append(slices.Repeat([]int{50}, 20), 6)},
		"large ones":     {lengths{1, large, large, 1, large}, []int{2, 2, 1}},
		"over the limit": {lengths{1, batchBytes + 1, 1}, []int{1, 1, 1}},
	} {
		var got []int
		for b := (batcher{src: &tc.sizes}); ; {
			next, err := b.take()
			if err == io.EOF {
				break
			}
			if next.key != fmt.Sprint(len(got)) {
				t.Errorf("%s: batch %d is called %s", name, len(got), next.key)
			}
			got = append(got, len(next.recs))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

// The parts of a batch hold its records, each once, and have names of their own.
func TestParts(t *testing.T) {
	for n := 2; n <= 50; n++ {
		b := batch{key: "7"}
		for i := range n {
			b.recs = append(b.recs, records.Record{Line: i + 1})
		}
		for without := -1; without < n; without++ {
			first, second := b.parts(without)
			if without >= 0 && (len(first.recs) != 1 || first.recs[0].Line != without+1) || len(first.recs) == 0 || len(second.recs) == 0 || first.key == second.key {
				t.Fatalf("%d without %d: %v, %v", n, without, first, second)
			}
			var lines []int
			for _, rec := range append(slices.Clone(first.recs), second.recs...) {
				lines = append(lines, rec.Line)
			}
			if slices.Sort(lines); lines[0] != 1 || lines[n-1] != n || len(slices.Compact(lines)) != n {
				t.Fatalf("%d without %d: %v", n, without, lines)
			}
			if b.recs[n-1].Line != n {
				t.Fatal("the batch has changed")
			}
		}
	}
}

func TestSpans(t *testing.T) {
	for want, lines := range map[string][]int{
		"line":               nil,
		"line 7":             {7},
		"lines 2–4, 7, 9–10": {2, 3, 4, 7, 9, 10},
		"lines 1, 3, 5, 7, 9, 11, 13, 15, … 19": {1, 3, 5, 7, 9, 11, 13, 15, 17, 19},
	} {
		var recs []records.Record
		for _, line := range lines {
			recs = append(recs, records.Record{Line: line})
		}
		s := spansOf(recs)
		if s.String() != want {
			t.Errorf("got %q, want %q", s, want)
		}
		for i, line := range lines {
			if s.at(i) != line {
				t.Errorf("%s: %d is %d", want, i, s.at(i))
			}
		}
		if s.at(len(lines)) != 0 || s.at(-1) != 0 {
			t.Errorf("%s: there is more", want)
		}
	}
}
