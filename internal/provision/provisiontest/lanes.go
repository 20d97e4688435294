package provisiontest

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// TestLanes is the contract of a Store that several processes share. open returns two of them on one new database; a job that the
// first makes has more than one lane, and both soon hold some of them. Both are closed when t ends.
func TestLanes(t *testing.T, open func(t *testing.T) (a, b provision.Store)) {
	for _, test := range []struct {
		name string
		run  func(p *pair)
	}{
		{"lanes are held by one", (*pair).partition},
		{"a batch is fenced", (*pair).fences},
		{"lanes go their own ways", (*pair).apart},
		{"what spans lanes is for whoever holds the first", (*pair).whole},
		{"a person is written by who has read last", (*pair).people},
		{"a job is changed by who has read last", (*pair).edits},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := open(t)
			p := &pair{lane: newLane(t, a), stores: [2]provision.Store{a, b}}
			p.settle()
			test.run(p)
		})
	}
}

// pair is a job that two processes hold lanes of.
type pair struct {
	*lane
	stores [2]provision.Store
	at     [2]provision.Lane // as each has read it last
}

// settle waits until each process holds lanes and all are held.
func (p *pair) settle() {
	p.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		p.look()
		if p.at[0].Held != 0 && p.at[1].Held != 0 && p.at[0].Epoch == p.at[1].Epoch && p.at[0].Held|p.at[1].Held == provision.AllLanes(p.job.Lanes) {
			return
		}
		if time.Now().After(end) {
			p.Fatalf("of %d lanes %b and %b are held", p.job.Lanes, p.at[0].Held, p.at[1].Held)
		}
	}
}

func (p *pair) look() {
	p.Helper()
	for i, s := range p.stores {
		p.at[i] = must(s.Lane(p.Context(), p.job.PK))(p.lane)
	}
}

// fence is that of the next batch of a process.
func (p *pair) fence(i int) provision.Fence {
	l := p.at[i]
	return provision.Fence{JobPK: p.job.PK, Lanes: l.Lanes, Epoch: l.Epoch, Position: l.Position, Revision: p.job.Revision}
}

func (p *pair) partition() {
	a, b := p.at[0], p.at[1]
	if a.Held&b.Held != 0 || a.First == b.First || a.First != a.Held.Has(0) || b.First != b.Held.Has(0) {
		p.Errorf("held are %b and %b; the first lane is with %t, %t", a.Held, b.Held, a.First, b.First)
	}
	for i, l := range p.at {
		if l.Lanes != l.Held || l.To != math.MaxInt64 || l.Position != 0 || l.Job != 0 {
			p.Errorf("process %d begins with %+v", i, l)
		}
	}
}

// fences: neither another place, nor other lanes, nor another epoch or revision commits anything.
func (p *pair) fences() {
	p.accept(3)
	good := p.fence(0)
	for name, change := range map[string]func(f *provision.Fence){
		"position":       func(f *provision.Fence) { f.Position = 1 },
		"epoch":          func(f *provision.Fence) { f.Epoch++ },
		"revision":       func(f *provision.Fence) { f.Revision++ },
		"other lanes":    func(f *provision.Fence) { f.Lanes = p.at[1].Lanes },
		"too many lanes": func(f *provision.Fence) { f.Lanes = provision.AllLanes(p.job.Lanes) },
		"all lanes":      func(f *provision.Fence) { f.Lanes = 0 },
		"another job":    func(f *provision.Fence) { f.JobPK += 99 },
	} {
		f := good
		change(&f)
		err := p.stores[0].Unit(p.Context(), f, func(u provision.Unit) error {
			return errors.Join(u.PutPeople([]provision.Person{{Anchor: name}}), u.Advance([]provision.UploadResult{{Number: 1}}, 0, noon))
		})
		if !errors.Is(err, provision.ErrFenced) {
			p.Errorf("another %s: %v, want ErrFenced", name, err)
		}
		if q := must(p.s.People(p.Context(), p.job.PK, sought(name)))(p.lane); q[0] != nil {
			p.Errorf("another %s has left %+v", name, q[0])
		}
	}
	p.look()
	if p.at[0].Position != 0 || p.at[0].Job != 0 {
		p.Errorf("a fenced Unit has left %+v", p.at[0])
	}
}

// apart: lanes of two processes pass an upload at the same time, each for its records; it is done when both have.
func (p *pair) apart() {
	a := p.accept(3)
	both := make(chan error, 2)
	started := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	for i := range p.stores {
		go func() {
			both <- p.stores[i].Unit(p.Context(), p.fence(i), func(u provision.Unit) error {
				err := u.PutPeople([]provision.Person{{Anchor: fmt.Sprint("of ", i), Name: "N"}})
				close(started[i])
				<-started[1-i] // both have written people, and neither waits for the other
				return errors.Join(err, u.Append([]provision.LogEntry{p.entry(1, i)}),
					u.Advance([]provision.UploadResult{{Number: 1, Counts: map[provision.End]int{provision.EndCreated: i + 1}}}, 0, noon))
			})
		}()
	}
	for range 2 {
		if err := <-both; err != nil {
			p.Fatal(err)
		}
	}
	st := must(p.s.UploadStatus(p.Context(), p.job.PK, a.ID))(p.lane)
	if st.State != provision.UploadDone || st.Counts[provision.EndCreated] != 3 {
		p.Errorf("the upload is %+v", st)
	}
	p.look()
	for i, l := range p.at {
		if l.Position != 1 || l.Job != 1 || l.Waits {
			p.Errorf("process %d is at %+v", i, l)
		}
	}
	// One that goes ahead alone: the job waits for the other.
	a = p.accept(3)
	err := p.stores[1].Unit(p.Context(), p.fence(1), func(u provision.Unit) error {
		return u.Advance([]provision.UploadResult{{Number: 2, Counts: map[provision.End]int{provision.EndUpdated: 1}}}, 0, noon)
	})
	if err != nil {
		p.Fatal(err)
	}
	p.look()
	st = must(p.s.UploadStatus(p.Context(), p.job.PK, a.ID))(p.lane)
	if p.at[0].Position != 1 || p.at[1].Position != 2 || p.at[0].Job != 1 || p.at[1].Job != 1 {
		p.Errorf("lanes are at %+v and %+v", p.at[0], p.at[1])
	}
	if st.State != provision.UploadAccepted || st.Counts[provision.EndUpdated] != 1 || st.Counts[provision.EndQueued] != 2 {
		p.Errorf("an upload that some lanes have passed is %+v", st)
	}
	if q := must(p.stores[0].Next(p.Context(), p.job.PK, 1, 2, 10))(p.lane); len(q) != 1 || len(q[0].Operations) != 3 {
		p.Errorf("for the other lanes there is %+v", q)
	}
}

func (p *pair) whole() {
	for i, s := range p.stores {
		f := provision.Fence{JobPK: p.job.PK, Whole: true, Epoch: p.at[i].Epoch, Revision: p.job.Revision, Position: 99}
		err := s.Unit(p.Context(), f, func(u provision.Unit) error { return u.PutCondition(provision.Condition{SuccessiveFailures: 1}) })
		if first := p.at[i].First; first && err != nil || !first && !errors.Is(err, provision.ErrFenced) {
			p.Errorf("process %d, which holds %b: %v", i, p.at[i].Held, err)
		}
	}
}

// people: of two who have read somebody, the second to write is fenced, also if it holds no lane; a Unit may write twice.
func (p *pair) people() {
	free := provision.Fence{JobPK: p.job.PK, Free: true, Revision: p.job.Revision}
	write := func(s provision.Store, q provision.Person, times int) (provision.Person, error) {
		err := s.Unit(p.Context(), free, func(u provision.Unit) error {
			for range times {
				people := []provision.Person{q}
				if err := u.PutPeople(people); err != nil {
					return err
				}
				q = people[0]
			}
			return nil
		})
		return q, err
	}
	if _, err := write(p.stores[0], provision.Person{Anchor: "x", Name: "One"}, 2); err != nil {
		p.Fatal(err)
	}
	read := func(s provision.Store) provision.Person {
		p.Helper()
		return *must(s.People(p.Context(), p.job.PK, sought("x")))(p.lane)[0]
	}
	first, second := read(p.stores[0]), read(p.stores[1])
	first.Name, second.Name = "Two", "Three"
	stored, err := write(p.stores[0], first, 2)
	if err != nil {
		p.Fatal(err)
	}
	if _, err := write(p.stores[1], second, 1); !errors.Is(err, provision.ErrFenced) {
		p.Errorf("somebody who was changed is written: %v, want ErrFenced", err)
	}
	if got := read(p.stores[1]); got.Name != "Two" || got.Revision != stored.Revision || got.Revision == first.Revision {
		p.Errorf("stored is %+v, and PutPeople said %+v", got, stored)
	}
	stored.Name = "Four" // what PutPeople has said is enough to go on with
	if _, err := write(p.stores[1], stored, 1); err != nil {
		p.Error(err)
	}
}

// edits: a job that was changed since it was read is not changed, and fences whatever began before.
func (p *pair) edits() {
	before := *p.job
	f := provision.Fence{JobPK: p.job.PK, Free: true, Revision: before.Revision}
	revision := must(p.stores[0].ConfigRevision(p.Context()))(p.lane)
	reads, edited := make(chan struct{}), make(chan struct{})
	late := make(chan error, 1)
	go func() {
		late <- p.stores[1].Unit(p.Context(), f, func(u provision.Unit) error {
			err := u.PutPeople([]provision.Person{{Anchor: uuid.NewString()}})
			close(reads)
			<-edited
			return err
		})
	}()
	<-reads
	next := before
	next.State = provision.JobPaused
	if err := p.stores[0].Unit(p.Context(), f, func(u provision.Unit) error { return u.PutJob(&next) }); err != nil {
		p.Fatal(err)
	}
	close(edited)
	if err := <-late; !errors.Is(err, provision.ErrFenced) {
		p.Errorf("a Unit that began before the edit: %v, want ErrFenced", err)
	}
	again := before
	err := p.stores[1].Unit(p.Context(), provision.Fence{JobPK: p.job.PK, Free: true}, func(u provision.Unit) error { return u.PutJob(&again) })
	if !errors.Is(err, provision.ErrFenced) {
		p.Errorf("an edit of what was read before: %v, want ErrFenced", err)
	}
	if now := must(p.stores[1].ConfigRevision(p.Context()))(p.lane); now == revision {
		p.Error("the other process cannot tell that a job has changed")
	}
	for _, j := range must(p.stores[1].Jobs(p.Context()))(p.lane) {
		if j.PK == p.job.PK && (j.State != provision.JobPaused || j.Revision != next.Revision || j.Revision == before.Revision) {
			p.Errorf("the job is %+v, and PutJob said revision %d", j, next.Revision)
		}
	}
}
