package history

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sound is a history without a fault: clients send people at random, and the service does what it should.
func sound(intn func(n int) int) History {
	var h History
	var clock int64
	tick := func() int64 { clock++; return clock }
	type account struct{ id, value string }
	accounts := map[string]*account{}
	version, ends := 0, map[string]int64{}
	managers := map[string]string{"p1": "p0", "p2": "p0", "p4": "p9"} // nobody is ever p9
	for n := range int64(12) {
		r := Request{ID: fmt.Sprint("r", n), Began: tick()}
		u := Upload{ID: fmt.Sprint("u", n), Number: n + 1, Settled: true, Counts: map[string]int{"held": 0, "failed": 0}}
		r.Answered = tick()
		for range 1 + intn(2) { // repeated
			r.Uploads = append(r.Uploads, u.ID)
		}
		for i := range 1 + intn(5) {
			person := fmt.Sprint("p", intn(6))
			version++
			rec := Record{BulkID: fmt.Sprint("b", i), Person: person, Value: fmt.Sprint("v", version), Manager: managers[person], Delete: n+int64(i) == 3 || intn(9) == 0}
			rcpt := Receipt{Index: i, BulkID: rec.BulkID, Person: person, End: "skipped", Change: fmt.Sprintf("c%d.%d", n, i)}
			if !rec.Delete {
				e := Entry{ID: fmt.Sprint("e", len(h.Entries)), Change: rcpt.Change, Person: person, Status: "success", Modified: true, New: &rec.Value}
				a := accounts[person]
				switch {
				case a == nil:
					a, rcpt.End = &account{id: "o" + person}, "created"
					accounts[person] = a
				case intn(4) == 0:
					rec.Value, rcpt.End = a.value, "unchanged"
					e.Status, e.Modified, e.New = "skipped", false, nil
				default:
					old := a.value
					rcpt.End, e.Old = "updated", &old
				}
				a.value = rec.Value
				e.Object, rcpt.Object, rcpt.Entry = a.id, a.id, e.ID
				h.Entries = append(h.Entries, e)
			}
			ends[rcpt.End]++
			u.Counts[rcpt.End]++
			u.Operations++
			u.Receipts = append(u.Receipts, rcpt)
			r.Records = append(r.Records, rec)
		}
		h.Requests, h.Uploads = append(h.Requests, r), append(h.Uploads, u)
	}
	for person, a := range accounts {
		u := User{ID: a.id, Person: person, Name: person + "@induct.example", Value: a.value}
		if m := accounts[managers[person]]; m != nil {
			u.Manager = m.id
		}
		h.Users = append(h.Users, u)
	}
	slices.SortFunc(h.Users, func(a, b User) int { return len(a.Person+a.ID) - len(b.Person+b.ID) })
	// The log ends with the managers.
	for i, u := range h.Users {
		if u.Manager != "" {
			h.Entries = append(h.Entries, Entry{ID: fmt.Sprint("m", i), Change: changeOf(&h, u.Person), Person: u.Person, Object: u.ID, Status: "success", Reference: true})
		}
	}
	h.Totals = Totals{Uploads: int64(len(h.Requests)), Ends: ends}
	return h
}

func changeOf(h *History, person string) string {
	for _, e := range h.Entries {
		if e.Person == person {
			return e.Change
		}
	}
	panic("nothing was sent of " + person)
}

// A sound history is found sound, however it came about, also with requests under way at the same time.
func TestSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := sound(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") })
		if rapid.Bool().Draw(t, "together") { // all are sent before the first is answered
			for i := range h.Requests {
				h.Requests[i].Began -= 1000
			}
		}
		if v := Judge(h); len(v.Problems) > 0 {
			t.Fatal(v.Problems)
		}
	})
}

// fixed is a random sequence that is always the same.
func fixed() func(int) int {
	x := uint32(7)
	return func(n int) int {
		x = x*1664525 + 1013904223
		return int(x>>16) % n
	}
}

// find returns the first element that fits.
func find[T any](t *testing.T, list []T, fits func(*T) bool) *T {
	t.Helper()
	for i := range list {
		if fits(&list[i]) {
			return &list[i]
		}
	}
	t.Fatal("the example has none of these")
	return nil
}

// receiptOf finds a receipt with the end, and its upload and request.
func receiptOf(t *testing.T, h *History, end string) (*Request, *Upload, *Receipt) {
	t.Helper()
	has := func(u *Upload) bool {
		return slices.ContainsFunc(u.Receipts, func(r Receipt) bool { return r.End == end })
	}
	u := find(t, h.Uploads, has)
	i := slices.IndexFunc(h.Uploads, func(o Upload) bool { return o.ID == u.ID })
	return &h.Requests[i], u, find(t, u.Receipts, func(r *Receipt) bool { return r.End == end })
}

func updated(t *testing.T, h *History) *Entry {
	t.Helper()
	return find(t, h.Entries, func(e *Entry) bool { return e.Old != nil })
}

// become changes the end of a receipt, and every counter with it.
func become(h *History, u *Upload, r *Receipt, end string) {
	u.Counts[r.End]--
	u.Counts[end]++
	h.Totals.Ends[r.End]--
	h.Totals.Ends[end]++
	r.End = end
}

// Each way in which a service can go wrong is seen, and is called what it is.
func TestCorrupted(t *testing.T) {
	tests := map[string]struct {
		want    []Kind // all of them, and others may come with them
		corrupt func(*testing.T, *History)
	}{
		"a request without an answer":          {[]Kind{Unanswered}, func(_ *testing.T, h *History) { h.Requests[3].Answered = 0 }},
		"a repeated request is another upload": {[]Kind{Forked}, func(_ *testing.T, h *History) { h.Requests[3].Uploads = []string{"u3", "u99"} }},
		"two requests are one upload":          {[]Kind{Shared}, func(_ *testing.T, h *History) { h.Requests[3].Uploads = []string{"u4"} }},
		"two uploads have one number":          {[]Kind{Shared, Lost}, func(_ *testing.T, h *History) { h.Uploads[3].Number = 5 }},
		"an accepted upload is gone":           {[]Kind{Lost}, func(_ *testing.T, h *History) { h.Uploads = slices.Delete(h.Uploads, 3, 4) }},
		"the newest accepted upload is gone":   {[]Kind{Lost}, func(_ *testing.T, h *History) { h.Uploads = h.Uploads[:11] }},
		"a number was never given":             {[]Kind{Lost}, func(_ *testing.T, h *History) { h.Uploads[11].Number = 13 }},
		"an upload that nobody has sent":       {[]Kind{Foreign, Unbalanced}, func(_ *testing.T, h *History) { h.Requests = h.Requests[:11] }},
		"an operation is lost":                 {[]Kind{Lost}, func(_ *testing.T, h *History) { u := &h.Uploads[3]; u.Operations--; u.Receipts = u.Receipts[1:] }},
		"an operation is there twice": {[]Kind{Lost}, func(_ *testing.T, h *History) {
			u := &h.Uploads[3]
			u.Operations++
			u.Receipts = append(u.Receipts, u.Receipts[0])
		}},
		"a receipt of another record":             {[]Kind{Misread}, func(_ *testing.T, h *History) { h.Uploads[3].Receipts[0].BulkID = "other" }},
		"a receipt of another person":             {[]Kind{Misread}, func(t *testing.T, h *History) { _, _, r := receiptOf(t, h, "updated"); r.Person = "p99" }},
		"an upload that does not settle":          {[]Kind{Unfinished}, func(_ *testing.T, h *History) { h.Uploads[3].Settled = false }},
		"a record that waits for ever":            {[]Kind{Unfinished}, func(t *testing.T, h *History) { _, u, r := receiptOf(t, h, "updated"); become(h, u, r, "queued") }},
		"a record that is retried for ever":       {[]Kind{Unfinished}, func(t *testing.T, h *History) { _, u, r := receiptOf(t, h, "updated"); become(h, u, r, "retrying") }},
		"a job with something pending":            {[]Kind{Unfinished}, func(_ *testing.T, h *History) { h.Totals.Pending = 1 }},
		"a record that is skipped":                {[]Kind{Refused}, func(t *testing.T, h *History) { _, u, r := receiptOf(t, h, "updated"); become(h, u, r, "skipped") }},
		"a record that fails":                     {[]Kind{Refused}, func(t *testing.T, h *History) { _, u, r := receiptOf(t, h, "updated"); become(h, u, r, "failed") }},
		"a DELETE that deletes":                   {[]Kind{Refused}, func(t *testing.T, h *History) { _, u, r := receiptOf(t, h, "skipped"); become(h, u, r, "deleted") }},
		"a DELETE with an entry":                  {[]Kind{Refused}, func(t *testing.T, h *History) { _, _, r := receiptOf(t, h, "skipped"); r.Entry = "e99" }},
		"counts that are no sum":                  {[]Kind{Unbalanced}, func(_ *testing.T, h *History) { h.Uploads[3].Counts["updated"]++ }},
		"counts that know another end":            {[]Kind{Unbalanced}, func(_ *testing.T, h *History) { h.Uploads[3].Counts["purged"]++ }},
		"a job that has counted twice":            {[]Kind{Unbalanced}, func(_ *testing.T, h *History) { h.Totals.Ends["created"]++ }},
		"a job that has accepted one more":        {[]Kind{Unbalanced}, func(_ *testing.T, h *History) { h.Totals.Uploads++ }},
		"an entry with the id of another":         {[]Kind{LoggedTwice}, func(_ *testing.T, h *History) { h.Entries[4].ID = h.Entries[3].ID }},
		"an entry twice":                          {[]Kind{LoggedTwice}, func(t *testing.T, h *History) { e := *updated(t, h); e.ID = "e99"; h.Entries = append(h.Entries, e) }},
		"no entry":                                {[]Kind{Unlogged}, func(_ *testing.T, h *History) { h.Entries = slices.Delete(h.Entries, 3, 4) }},
		"the newest entry of a person is missing": {[]Kind{Unlogged}, withoutNewest},
		"an entry of a change nobody sent":        {[]Kind{Foreign, Unlogged}, func(t *testing.T, h *History) { updated(t, h).Change = "c99" }},
		"an entry about another person":           {[]Kind{Contradicted}, func(t *testing.T, h *History) { updated(t, h).Person = "p99" }},
		"an entry on another object":              {[]Kind{Contradicted}, func(t *testing.T, h *History) { updated(t, h).Object = "o99" }},
		"an entry with another status":            {[]Kind{Contradicted}, func(t *testing.T, h *History) { updated(t, h).Status = "failure" }},
		"an entry with another value":             {[]Kind{Contradicted}, func(t *testing.T, h *History) { v := "v99"; updated(t, h).New = &v }},
		"an entry that says nothing":              {[]Kind{Contradicted}, func(t *testing.T, h *History) { e := updated(t, h); e.Modified, e.New = false, nil }},
		"two records are one change":              {[]Kind{Contradicted, Foreign}, sameChange},
		"a receipt that names another entry":      {[]Kind{Contradicted}, func(t *testing.T, h *History) { _, _, r := receiptOf(t, h, "updated"); r.Entry = "e99" }},
		"numbers against the order of sending":    {[]Kind{Reordered}, swapNumbers},
		"effects against the order of sending":    {[]Kind{Reordered, Torn}, swapEffects},
		"an update that is lost":                  {[]Kind{Torn}, func(t *testing.T, h *History) { v := "v99"; updated(t, h).Old = &v }},
		"a change that is called none": {[]Kind{Torn}, func(t *testing.T, h *History) {
			q, _, r := receiptOf(t, h, "unchanged")
			q.Records[r.Index].Value = "v99"
		}},
		"a person is created twice": {[]Kind{Doubled, Torn}, func(t *testing.T, h *History) { _, u, r := receiptOf(t, h, "updated"); become(h, u, r, "created") }},
		"a person has two accounts": {[]Kind{Doubled}, func(_ *testing.T, h *History) {
			u := h.Users[0]
			u.ID, u.Name = "o99", "n99"
			h.Users = append(h.Users, u)
		}},
		"an account has two people":         {[]Kind{Doubled}, func(_ *testing.T, h *History) { h.Users[1].ID = h.Users[0].ID }},
		"a name has two people":             {[]Kind{Doubled}, func(_ *testing.T, h *History) { h.Users[1].Name = h.Users[0].Name }},
		"an account that nobody has sent":   {[]Kind{Foreign}, func(_ *testing.T, h *History) { h.Users = append(h.Users, User{ID: "o99", Person: "p99"}) }},
		"an account is gone":                {[]Kind{Lost}, func(_ *testing.T, h *History) { h.Users = h.Users[1:] }},
		"an account with another id":        {[]Kind{Contradicted}, func(_ *testing.T, h *History) { h.Users[0].ID = "o99" }},
		"an account as it was before":       {[]Kind{Stale}, func(t *testing.T, h *History) { e := updated(t, h); userOf(t, h, e.Person).Value = *e.Old }},
		"an account without its manager":    {[]Kind{Unreferenced}, func(t *testing.T, h *History) { userOf(t, h, "p1").Manager = "" }},
		"an account with another's manager": {[]Kind{Unreferenced}, func(t *testing.T, h *History) { userOf(t, h, "p0").Manager = "op1" }},
	}
	seen := map[Kind]bool{}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := sound(fixed())
			test.corrupt(t, &h)
			found := map[Kind]bool{}
			problems := Judge(h).Problems
			for _, p := range problems {
				found[p.Kind] = true
			}
			for _, k := range test.want {
				if !found[k] {
					t.Errorf("it is not found %q, but: %v", k, problems)
				}
			}
		})
		for _, k := range test.want {
			seen[k] = true
		}
	}
	if len(seen) != 17 {
		t.Errorf("%d kinds of problems are tried, there are 17", len(seen))
	}
}

func userOf(t *testing.T, h *History, person string) *User {
	t.Helper()
	return find(t, h.Users, func(u *User) bool { return u.Person == person })
}

func withoutNewest(t *testing.T, h *History) {
	for i, e := range slices.Backward(h.Entries) {
		if e.Old != nil {
			h.Entries = slices.Delete(h.Entries, i, i+1)
			return
		}
	}
	t.Fatal("the example has no update")
}

func sameChange(t *testing.T, h *History) {
	_, _, created := receiptOf(t, h, "created")
	_, _, r := receiptOf(t, h, "updated")
	r.Change = created.Change
}

// swapNumbers gives two uploads each other's number; each history by itself would be sound.
func swapNumbers(_ *testing.T, h *History) {
	h.Uploads[3].Number, h.Uploads[4].Number = h.Uploads[4].Number, h.Uploads[3].Number
}

// swapEffects lets two updates of one person take effect the wrong way round.
func swapEffects(t *testing.T, h *History) {
	for i := range h.Entries {
		for k := range i {
			if h.Entries[i].Old != nil && h.Entries[k].Old != nil && h.Entries[i].Person == h.Entries[k].Person {
				h.Entries[i], h.Entries[k] = h.Entries[k], h.Entries[i]
				return
			}
		}
	}
	t.Fatal("the example updates nobody twice")
}
