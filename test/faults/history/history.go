// Package history judges what a service has made of the requests that clients sent it while it was killed, frozen and cut
// off: from what the clients saw, and from what the service says afterwards of uploads, log and people, it proves that every
// accepted record had its effect once, in order, and was told of; or it says what is wrong. It has no I/O and no clock.
package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// A History is everything there is to judge, of one job that nothing else has used.
type History struct {
	Requests []Request
	Uploads  []Upload // as the service tells of them, once each that a 202 has named
	Entries  []Entry  // the job's provisioning log, oldest first
	Users    []User   // the directory
	Totals   Totals
}

// A Request is one bulk request, sent until it was answered with 202; what is repeated has the same client-request-id.
type Request struct {
	ID       string
	Began    int64    // when it was first sent, on a clock that all clients share; each reading of it is unique
	Answered int64    // when its first 202 was read, on the same clock; 0: never
	Uploads  []string // the upload that each 202 has named
	Records  []Record
}

// A Record is one operation of a request.
type Record struct {
	BulkID  string
	Person  string // the anchor
	Value   string // what the person's attribute becomes; a new one with each record that is to change something
	Manager string // the anchor of the person's manager: always the same of one person, "" if there is none
	Delete  bool   // a DELETE operation: it has a receipt and no other effect
}

// An Upload is what the service says of an accepted request.
type Upload struct {
	ID         string
	Number     int64
	Settled    bool
	Operations int
	Counts     map[string]int // by end, and by what is no end
	Receipts   []Receipt
}

// A Receipt is what the service says of one operation.
type Receipt struct {
	Index          int
	BulkID, Person string
	End            string
	Change, Entry  string // ids; Entry is "" if there is none
	Object         string // the id of the person's account
}

// An Entry is one of the provisioning log.
type Entry struct {
	ID, Change, Person, Object string
	Status                     string
	Reference                  bool    // it is of the person's manager
	Old, New                   *string // of the attribute, if the entry says that it was modified; nil is no value
	Modified                   bool
}

// A User is an account of the directory.
type User struct {
	ID, Person, Name, Value string
	Manager                 string // the manager's id
}

// Totals are the job's counters.
type Totals struct {
	Uploads int64            // accepted
	Ends    map[string]int64 // records by end
	Pending int64            // records without an end
}

// A Kind is a way in which a history can be wrong.
type Kind string

const (
	Unanswered   Kind = "unanswered"   // the caller's mistake: the fate of a request is open
	Forked       Kind = "forked"       // one request was accepted as two uploads
	Shared       Kind = "shared"       // two requests were accepted as one upload
	Lost         Kind = "lost"         // something that was accepted is not there
	Foreign      Kind = "foreign"      // something is there that nobody has sent
	Unfinished   Kind = "unfinished"   // a record has no end
	Refused      Kind = "refused"      // a record ended without effect, and nothing is wrong with it
	Unbalanced   Kind = "unbalanced"   // counters and what they count differ
	Misread      Kind = "misread"      // a receipt is not of what was sent
	LoggedTwice  Kind = "logged twice" // one change has two entries
	Unlogged     Kind = "unlogged"     // a change has no entry
	Contradicted Kind = "contradicted" // receipt and entry, or entry and record, differ
	Reordered    Kind = "reordered"    // what was sent later took effect, or its place, earlier
	Torn         Kind = "torn"         // an entry does not start from where the one before it ended
	Doubled      Kind = "doubled"      // a person has two accounts, or was created twice, or two have one name
	Stale        Kind = "stale"        // an account is not as the person's last record says
	Unreferenced Kind = "no reference" // an account's manager is not whom the records name
)

// A Problem is one thing that is wrong.
type Problem struct {
	Kind Kind
	Text string
}

func (p Problem) String() string { return string(p.Kind) + ": " + p.Text }

// A Verdict is what Judge has found out.
type Verdict struct {
	Problems []Problem // at most 1,000 of each kind
	Uploads  int
	Ends     map[string]int // of all operations
	Users    int
}

// statusOf is the status of the entry of a record with this end.
var statusOf = map[string]string{"created": "success", "updated": "success", "unchanged": "skipped"}

// Judge says what is wrong with a history; nothing is, if there are no problems.
func Judge(h History) Verdict {
	j := &judge{verdict: Verdict{Uploads: len(h.Uploads), Ends: map[string]int{}, Users: len(h.Users)}, found: map[Kind]int{},
		changes: map[string]*change{}, people: map[string]*person{}}
	uploads := j.accepted(h)
	for i := range h.Requests {
		if u := uploads[&h.Requests[i]]; u != nil {
			j.receipts(&h.Requests[i], u)
		}
	}
	j.totals(h)
	j.order(h.Requests, uploads)
	j.log(h.Entries)
	j.users(h.Users)
	return j.verdict
}

type judge struct {
	verdict Verdict
	found   map[Kind]int
	changes map[string]*change // by id
	people  map[string]*person // by anchor
}

// A change is a record that was accepted, and its receipt.
type change struct {
	place
	Record
	receipt Receipt
	logged  bool
}

// place is where a record stands in the order of its job.
type place struct {
	upload int64
	index  int
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.upload, o.upload), cmp.Compare(p.index, o.index))
}

type person struct {
	last    *change // the record with the highest place
	created *change
	value   *string // as the log has it so far
	effect  place   // of the newest entry so far
	users   int
}

func (j *judge) problem(kind Kind, format string, args ...any) {
	if j.found[kind]++; j.found[kind] <= 1000 {
		j.verdict.Problems = append(j.verdict.Problems, Problem{kind, fmt.Sprintf(format, args...)})
	}
}

func (j *judge) person(anchor string) *person {
	p := j.people[anchor]
	if p == nil {
		p = &person{}
		j.people[anchor] = p
	}
	return p
}

// accepted pairs requests with uploads, one to one.
func (j *judge) accepted(h History) map[*Request]*Upload {
	byID, numbers := map[string]*Upload{}, map[int64]string{}
	for i := range h.Uploads {
		u := &h.Uploads[i]
		if byID[u.ID] != nil {
			j.problem(Shared, "upload %s is listed twice", u.ID)
		}
		if other, twice := numbers[u.Number]; twice {
			j.problem(Shared, "uploads %s and %s have the number %d", other, u.ID, u.Number)
		}
		byID[u.ID], numbers[u.Number] = u, u.ID
	}
	paired, takenBy := map[*Request]*Upload{}, map[string]string{}
	for i := range h.Requests {
		r := &h.Requests[i]
		if r.Answered == 0 || len(r.Uploads) == 0 {
			j.problem(Unanswered, "request %s has no answer: send it again until it has, then judge", r.ID)
			continue
		}
		id := r.Uploads[0]
		for _, other := range r.Uploads[1:] {
			if other != id {
				j.problem(Forked, "request %s was accepted as upload %s, and as upload %s", r.ID, id, other)
			}
		}
		if other, taken := takenBy[id]; taken {
			j.problem(Shared, "requests %s and %s were accepted as upload %s", other, r.ID, id)
			continue
		}
		takenBy[id] = r.ID
		if byID[id] == nil {
			j.problem(Lost, "request %s was accepted as upload %s, which is not there", r.ID, id)
			continue
		}
		paired[r] = byID[id]
	}
	for id, u := range byID {
		if takenBy[id] == "" {
			j.problem(Foreign, "upload %s (number %d) belongs to no request", id, u.Number)
		}
	}
	for n := range int64(len(byID)) {
		if numbers[n+1] == "" {
			j.problem(Lost, "no upload has the number %d of %d", n+1, len(byID))
		}
	}
	return paired
}

// receipts compares what was sent with what became of it.
func (j *judge) receipts(r *Request, u *Upload) {
	if u.Operations != len(r.Records) || len(u.Receipts) != len(r.Records) {
		j.problem(Lost, "upload %d: %d operations were sent, it has %d, and %d receipts", u.Number, len(r.Records), u.Operations, len(u.Receipts))
		return
	}
	if !u.Settled {
		j.problem(Unfinished, "upload %d is not settled", u.Number)
	}
	counts := map[string]int{}
	for i, got := range u.Receipts {
		sent := r.Records[i]
		counts[got.End]++
		j.verdict.Ends[got.End]++
		if got.Index != i || got.BulkID != sent.BulkID || got.Person != sent.Person && !sent.Delete {
			j.problem(Misread, "upload %d: receipt %d is %+v, sent was %+v", u.Number, i, got, sent)
			continue
		}
		j.receipt(&change{place: place{u.Number, i}, Record: sent, receipt: got})
	}
	for _, end := range sorted(counts, u.Counts) {
		if counts[end] != u.Counts[end] {
			j.problem(Unbalanced, "upload %d: its counts say %d %s, its receipts %d", u.Number, u.Counts[end], end, counts[end])
		}
	}
}

func (j *judge) receipt(c *change) {
	got := c.receipt
	switch {
	case got.End == "held", got.End == "retrying", got.End == "queued", got.End == "":
		j.problem(Unfinished, "record %v of %s is %q", c.place, c.Person, got.End)
		return
	case c.Delete:
		if got.End != "skipped" || got.Entry != "" {
			j.problem(Refused, "the DELETE operation %v is %s, with the entry %q", c.place, got.End, got.Entry)
		}
		return
	case statusOf[got.End] == "":
		j.problem(Refused, "record %v of %s is %s", c.place, c.Person, got.End)
		return
	}
	if other := j.changes[got.Change]; other != nil {
		j.problem(Contradicted, "records %v and %v have the change %s", other.place, c.place, got.Change)
		return
	}
	j.changes[got.Change] = c
	p := j.person(c.Person)
	if p.last == nil || c.compare(p.last.place) > 0 {
		p.last = c
	}
	if got.End == "created" {
		if p.created != nil {
			j.problem(Doubled, "%s was created by %v and by %v", c.Person, p.created.place, c.place)
		}
		p.created = c
	}
}

// totals compares the job's counters with the sums of its uploads.
func (j *judge) totals(h History) {
	t := h.Totals
	if t.Uploads != int64(len(h.Requests)) {
		j.problem(Unbalanced, "the job has accepted %d uploads, %d requests were", t.Uploads, len(h.Requests))
	}
	if t.Pending != 0 {
		j.problem(Unfinished, "the job has %d records without an end", t.Pending)
	}
	ends := map[string]int{}
	for end, n := range t.Ends {
		ends[end] = int(n)
	}
	for _, end := range sorted(ends, j.verdict.Ends) {
		if ends[end] != j.verdict.Ends[end] {
			j.problem(Unbalanced, "the job's counters say %d %s, the receipts %d", ends[end], end, j.verdict.Ends[end])
		}
	}
}

func sorted(a, b map[string]int) []string {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return slices.Sorted(maps.Keys(both))
}

// order checks that a request which was first sent after another had been answered has the higher number. With one
// person's records in the order of their places (log), it is what makes them take effect in the order they were sent in.
func (j *judge) order(requests []Request, uploads map[*Request]*Upload) {
	type moment struct {
		at    int64
		began bool
		*Request
	}
	var moments []moment
	for r := range uploads {
		moments = append(moments, moment{r.Began, true, r}, moment{r.Answered, false, r})
	}
	slices.SortFunc(moments, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	var highest int64
	var by string
	for _, m := range moments {
		switch n := uploads[m.Request].Number; {
		case m.began && n < highest:
			j.problem(Reordered, "request %s is upload %d, and was sent after request %s had been answered, which is upload %d", m.ID, n, by, highest)
		case !m.began && n > highest:
			highest, by = n, m.ID
		}
	}
}

// log goes through the entries as they took effect.
func (j *judge) log(entries []Entry) {
	ids := map[string]bool{}
	for _, e := range entries {
		if ids[e.ID] {
			j.problem(LoggedTwice, "two entries have the id %s", e.ID)
		}
		ids[e.ID] = true
		c := j.changes[e.Change]
		switch {
		case c == nil:
			j.problem(Foreign, "entry %s is of the change %s of %q, which nobody has sent", e.ID, e.Change, e.Person)
		case e.Person != c.Person:
			j.problem(Contradicted, "entry %s of record %v is about %q, the record about %q", e.ID, c.place, e.Person, c.Person)
		case e.Reference: // beside the record's own
		case c.logged:
			j.problem(LoggedTwice, "record %v of %s has two entries", c.place, c.Person)
		default:
			c.logged = true
			j.effect(c, e)
		}
	}
	for _, c := range j.changes {
		if !c.logged {
			j.problem(Unlogged, "record %v of %s has the end %s and no entry", c.place, c.Person, c.receipt.End)
		}
	}
}

// effect checks one entry against its record, its receipt, and the entry of the person before it.
func (j *judge) effect(c *change, e Entry) {
	p, got := j.person(c.Person), c.receipt
	if got.Entry != e.ID || got.Object != e.Object || statusOf[got.End] != e.Status {
		j.problem(Contradicted, "record %v of %s: the receipt is %+v, the entry %s has status %s and object %s", c.place, c.Person, got, e.ID, e.Status, e.Object)
	}
	if c.compare(p.effect) <= 0 {
		j.problem(Reordered, "record %v of %s took effect after record %v", c.place, c.Person, p.effect)
	}
	p.effect = c.place
	before := p.value
	p.value = &c.Value
	switch {
	case got.End == "unchanged":
		if e.Modified || text(before) != c.Value {
			j.problem(Torn, "record %v of %s changed nothing, it is %q, and the person was %q", c.place, c.Person, c.Value, text(before))
		}
	case !e.Modified || text(e.New) != c.Value:
		j.problem(Contradicted, "record %v of %s is %q, its entry %s says %q", c.place, c.Person, c.Value, e.ID, text(e.New))
	case got.End == "created" && before != nil, text(e.Old) != text(before):
		j.problem(Torn, "record %v of %s changed %q to %q, and the person was %q", c.place, c.Person, text(e.Old), text(e.New), text(before))
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// users compares the directory with the last record of each person.
func (j *judge) users(users []User) {
	ids, names := map[string]bool{}, map[string]bool{}
	for _, u := range users {
		p := j.people[u.Person]
		if p == nil || p.created == nil {
			j.problem(Foreign, "user %s (%s) was created by no record", u.ID, u.Person)
			continue
		}
		if p.users++; p.users > 1 || ids[u.ID] || names[u.Name] {
			j.problem(Doubled, "user %s (%s, %s) is not the only one", u.ID, u.Person, u.Name)
		}
		ids[u.ID], names[u.Name] = true, true
		if p.created.receipt.Object != u.ID {
			j.problem(Contradicted, "user %s is %s, and was created as %s", u.Person, u.ID, p.created.receipt.Object)
		}
		if u.Value != p.last.Value {
			j.problem(Stale, "user %s is %q, the last record sent (%v) is %q", u.Person, u.Value, p.last.place, p.last.Value)
		}
		want := ""
		if m := j.people[p.last.Manager]; m != nil && m.created != nil {
			want = m.created.receipt.Object
		}
		if u.Manager != want {
			j.problem(Unreferenced, "user %s: the manager is %q, want %q (%s)", u.Person, u.Manager, want, p.last.Manager)
		}
	}
	for anchor, p := range j.people {
		if p.users == 0 {
			j.problem(Lost, "%s is no user", anchor)
		}
	}
}
