package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pages is where the scenarios are.
const pages = "../../../docs/behaviour"

// TestBehaviour runs the scenarios of docs/behaviour.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	language := compile(t)
	for _, place := range sites {
		t.Run(place.name, func(t *testing.T) {
			n := 0
			for _, doc := range documents(t) {
				doc.scenarios = slices.DeleteFunc(doc.scenarios, func(scenario) bool { n++; return n%place.share != 0 && !everything() })
				t.Run(strings.TrimSuffix(filepath.Base(doc.path), ".md"), func(t *testing.T) {
					behaves(t, language, doc, place.build)
				})
			}
		})
	}
}

// behaves runs the scenarios of a page.
func behaves(t *testing.T, language []*sentence, doc *document, build func(testing.TB) site) {
	for _, s := range doc.scenarios {
		t.Run(s.title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, build)
			defer w.close()
			if err := run(w, language, doc.path, s.steps); err != nil {
				t.Error(err)
			}
		})
	}
}

// documents reads the pages.
func documents(t *testing.T) (all []*document) {
	files, err := filepath.Glob(filepath.Join(pages, "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages in %s: %v", pages, err)
	}
	for _, file := range files {
		if filepath.Base(file) == "README.md" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := parseDocument("docs/behaviour/"+filepath.Base(file), string(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, doc)
	}
	return all
}

// compile returns all sentences, ready to be matched.
func compile(t testing.TB) (all []*sentence) {
	for _, s := range slices.Concat(givens, whens, thens) {
		if err := s.compile(); err != nil {
			t.Fatal(err)
		}
		all = append(all, &s)
	}
	return all
}

// run carries steps out, up to the first that fails.
func run(w *world, language []*sentence, path string, steps []step) error {
	for i := range steps {
		st := &steps[i]
		fail := func(err error) error { return fmt.Errorf("%s:%d: %s %s: %w", path, st.line, st.keyword, st.text, err) }
		s, a, err := read(language, st)
		if err != nil {
			return fail(err)
		}
		acts := st.keyword != "then"
		if begins(steps, i) {
			if err := w.begin(looks(steps[i:])); err != nil {
				return fail(err)
			}
		}
		if err := s.run(w, a); err != nil {
			return fail(err)
		}
		if acts {
			if err := w.drain(); err != nil {
				return fail(err)
			}
			if err := w.ledger.check(w); err != nil {
				return fail(err)
			}
		}
	}
	if err := w.ledger.checkAll(w); err != nil {
		return fmt.Errorf("%s: at the end: %w", path, err)
	}
	return nil
}

// read finds the one sentence that a step is.
func read(language []*sentence, st *step) (found *sentence, a args, err error) {
	for _, s := range language {
		if values, ok := s.match(st); ok {
			if found != nil {
				return nil, a, fmt.Errorf("reads like %q and like %q", found.form, s.form)
			}
			found, a = s, values
		}
	}
	if found == nil {
		return nil, a, fmt.Errorf("no sentence of docs/behaviour/README.md reads like this")
	}
	return found, a, nil
}

// begins reports whether a period begins with a step: the first action of a block, or after what was to be so then.
func begins(steps []step, i int) bool {
	return steps[i].keyword != "then" && (steps[i].first || steps[i-1].keyword == "then")
}

// looks reports whether somebody is going to ask what else happened in the period that begins with steps.
func looks(steps []step) bool {
	for i, s := range steps {
		if i > 0 && begins(steps, i) {
			return false
		}
		if s.text == "nothing else happened" || s.text == "nothing happened" {
			return true
		}
	}
	return false
}
