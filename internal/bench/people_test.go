package bench

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"induct/internal/mapping"
	"induct/internal/scim"
	"induct/internal/upload/records"
)

// TestPersonIsAFunctionOfItsNumber holds what lets any part of a workforce be made again.
func TestPersonIsAFunctionOfItsNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Workforce{Seed: rapid.Uint64().Draw(t, "seed"), Tag: rapid.SampledFrom([]string{"", "x1"}).Draw(t, "tag"), People: 1000}
		i := rapid.IntRange(0, MostPeople-1).Draw(t, "i")
		once := w.AppendPerson(nil, i, false)
		if again := w.AppendPerson(nil, i, false); !bytes.Equal(once, again) {
			t.Fatalf("person %d is\n%s\nand then\n%s", i, once, again)
		}
		if !json.Valid(once) {
			t.Fatalf("person %d is no JSON: %s", i, once)
		}
		other := Workforce{Seed: w.Seed ^ 1<<40, Tag: w.Tag, People: 1000}
		if bytes.Equal(once, other.AppendPerson(nil, i, false)) {
			t.Fatalf("person %d does not depend on the seed", i)
		}
	})
}

// TestChangedPerson holds that a change is another title and nothing else, in the same order.
func TestChangedPerson(t *testing.T) {
	w := Workforce{Seed: 3, People: 2000}
	for i := range w.People {
		before, after := membersOf(t, w.AppendPerson(nil, i, false)), membersOf(t, w.AppendPerson(nil, i, true))
		isTitle := func(m [2]string) bool { return m[0] == "title" }
		at := slices.IndexFunc(after, isTitle)
		if at < 0 || !strings.HasPrefix(after[at][1], `"Principal `) {
			t.Fatalf("changed person %d has no other title: %v", i, after)
		}
		if b, a := slices.DeleteFunc(before, isTitle), slices.DeleteFunc(after, isTitle); !slices.Equal(b, a) {
			t.Fatalf("person %d changed more than the title:\n%v\n%v", i, b, a)
		}
	}
}

// membersOf returns the members of an object in their order.
func membersOf(t *testing.T, text []byte) (ms [][2]string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		ms = append(ms, [2]string{name.(string), string(value)})
	}
	return ms
}

// TestWorkforceIsAsVariedAsPeopleAre counts what a workforce is made of.
func TestWorkforceIsAsVariedAsPeopleAre(t *testing.T) {
	const n = 60_000
	w := Workforce{Seed: 1, People: n}
	other := Workforce{Seed: 1, Tag: "x2x", People: n}
	ids, users, display, locals := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	optional, absent, nulls, empties, latin, orders := 0, 0, 0, 0, 0, map[string]bool{}
	for i := range n {
		p := w.person(i, false)
		if q := other.person(i, false); ids[p.id] || users[p.userName] || ids[q.id] || users[q.userName] {
			t.Fatalf("person %d shares id %s or user name %s with another", i, p.id, p.userName)
		}
		q := other.person(i, false)
		ids[p.id], users[p.userName], ids[q.id], users[q.userName] = true, true, true, true
		display[p.display] = true
		local, _, _ := strings.Cut(p.userName, "@")
		locals[strings.TrimRight(local, "0123456789")] = true
		if len(local) > 64 || strings.ContainsFunc(local, func(r rune) bool { return r > 'z' }) {
			t.Fatalf("user name %q does not suit as mail nickname", p.userName)
		}
		for _, r := range p.display {
			if r < 0x250 {
				latin++
			}
			break
		}
		for _, f := range []field{p.title, p.nick, p.kind, p.language, p.locale, p.zone, p.mail, p.phone, p.mobile, p.street, p.city, p.region, p.postal,
			p.nation, p.cost, p.firm, p.division, p.unit, p.hired, p.badge, p.building} {
			optional++
			switch {
			case f.state == missing:
				absent++
			case f.state == null:
				nulls++
			case f.text == "":
				empties++
			}
		}
		if i < 500 {
			var names []string
			for _, m := range membersOf(t, w.AppendPerson(nil, i, false)) {
				names = append(names, m[0])
			}
			orders[strings.Join(names, " ")] = true
		}
	}
	share := func(n, of int) float64 { return float64(n) / float64(of) }
	for _, c := range []struct {
		what        string
		share       float64
		least, most float64
	}{
		{"optional values are missing", share(absent, optional), .10, .15},
		{"optional values are null", share(nulls, optional), .005, .02},
		{"optional values are empty", share(empties, optional), .005, .02},
		{"people have a Latin name", share(latin, n), .6, .8},
		{"people have a name of their own", share(len(display), n), .4, 1},
		{"user names differ in more than the number", share(len(locals), n), .4, 1},
		{"people have an order of members of their own", share(len(orders), 500), .95, 1},
	} {
		if c.share < c.least || c.share > c.most {
			t.Errorf("%.3f of %s, want %.3f to %.3f", c.share, c.what, c.least, c.most)
		}
	}
}

// TestPeopleAreProvisioned holds that nobody fails by accident: each request is a bulk request, and the default
// schema makes an account of each record.
func TestPeopleAreProvisioned(t *testing.T) {
	schema, _ := mapping.Template("API2AAD")
	program, err := mapping.Compile(schema, mapping.Settings{DefaultDomain: "nordwind.example"})
	if err != nil {
		t.Fatal(err)
	}
	w := Workforce{Seed: 7, Tag: "x3x", People: 3000}
	l, err := makeLoad(t.Context(), t.TempDir(), w, w.shuffled(0), perRequest, func(i int) bool { return i%100 == 7 })
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	upns, seen := map[string]bool{}, 0
	for n := range l.ends {
		body, err := l.body(nil, n)
		if err != nil {
			t.Fatal(err)
		}
		ops, err := scim.ParseBulk(body, scim.Limits{})
		if err != nil || len(ops) != l.in(n) {
			t.Fatalf("request %d: %d operations, %v", n, len(ops), err)
		}
		for _, op := range ops {
			out := program.Evaluate(mapping.Record{Sent: op.Data, Now: time.Unix(0, 0)})
			if out.Problem != nil || out.OutOfScope != "" {
				t.Fatalf("%s: %+v %s", op.Data, out.Problem, out.OutOfScope)
			}
			for _, f := range out.Flows {
				if f.Attribute == "userPrincipalName" {
					if upns[strings.ToLower(f.Value.String())] {
						t.Fatalf("userPrincipalName %s twice", f.Value.String())
					}
					upns[strings.ToLower(f.Value.String())] = true
				}
			}
			seen++
		}
	}
	if seen != w.People || len(upns) != w.People {
		t.Fatalf("%d records, %d user names of %d people", seen, len(upns), w.People)
	}
}

// TestPassesHaveOrdersOfTheirOwn holds that nothing profits from the order of the pass before.
func TestPassesHaveOrdersOfTheirOwn(t *testing.T) {
	w := Workforce{Seed: 1, People: 1000}
	first, second := w.shuffled(0), w.shuffled(1)
	same := 0
	for i := range first {
		if first[i] == second[i] {
			same++
		}
	}
	if same > 20 || !slices.Equal(first, w.shuffled(0)) {
		t.Fatalf("%d of 1000 stand in the same place", same)
	}
	slices.Sort(first)
	if first[0] != 0 || first[999] != 999 || len(slices.Compact(first)) != 1000 {
		t.Fatal("not everybody stands in a pass once")
	}
}

// TestWrite reads back what is written for other programs.
func TestWrite(t *testing.T) {
	w := Workforce{Seed: 5, People: 120}
	dir := filepath.Join(t.TempDir(), "people")
	files, err := w.Write(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	if want := []string{"people.bulk.jsonl", "people.jsonl", "people.csv", "people.mapping.json"}; !slices.Equal(names, want) {
		t.Fatalf("files %v, want %v", names, want)
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	i, ops := 0, 0
	for line := range bytes.Lines(read("people.jsonl")) {
		if !bytes.Equal(bytes.TrimSuffix(line, []byte("\n")), w.AppendPerson(nil, i, false)) {
			t.Fatalf("line %d of people.jsonl: %s", i+1, line)
		}
		i++
	}
	for line := range bytes.Lines(read("people.bulk.jsonl")) {
		some, err := scim.ParseBulk(line, scim.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		ops += len(some)
	}
	if i != w.People || ops != w.People {
		t.Fatalf("%d records and %d operations of %d people", i, ops, w.People)
	}
	checkCSV(t, w, read("people.csv"), read("people.mapping.json"))

	for _, suffix := range []string{".csv", ".jsonl", ".bulk.jsonl"} {
		if files, err := w.Write(t.Context(), filepath.Join(t.TempDir(), "a"+suffix)); err != nil || len(files) == 0 {
			t.Errorf("%s: %v %v", suffix, files, err)
		}
	}
	if _, err := w.Write(t.Context(), filepath.Join(t.TempDir(), "no", "such", "a.csv")); err == nil {
		t.Error("a file in a directory that is not there was written")
	}
}

// checkCSV holds that the CSV form makes the same people as the records.
func checkCSV(t *testing.T, w Workforce, table, mappingText []byte) {
	t.Helper()
	m, err := records.ParseMapping(mappingText)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := records.NewCSV(bytes.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	src, err := m.Source(rows)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := defaultReader()
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for ; ; i++ {
		rec, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := paths.Read(rec.Data, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := paths.Read(w.AppendPerson(nil, i, false), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range want {
			if got[n].Str != want[n].Str { // null, empty and missing are one in a table
				t.Fatalf("person %d: value %d is %+v, want %+v", i, n, got[n], want[n])
			}
		}
	}
	if i != w.People {
		t.Fatalf("%d rows of %d people", i, w.People)
	}
}
