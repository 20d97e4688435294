package sqlstore

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// What happens beside a transaction on PostgreSQL, between its statements.
func TestBeside(t *testing.T) {
	p := newPair(t, 0)
	for name, test := range map[string]func(*pair){
		"an error that nobody looks at":                    (*pair).unseenError,
		"a reference whose target is linked":               (*pair).linkedMeanwhile,
		"a link that is changed":                           (*pair).relinkedMeanwhile,
		"lanes of somebody dead whose clock was ahead":     (*pair).deadAhead,
		"a text that is none":                              (*pair).noText,
		"a row that is not there among many of one shape":  (*pair).missingOfMany,
		"a row that is written twice among many like them": (*pair).twiceOfMany,
	} {
		t.Run(name, func(t *testing.T) { test(&pair{t, p.a, p.b, p.job}) })
	}
}

// Nothing is committed after a write that found no row where there had to be one, although the server knows of no error.
func (p *pair) unseenError() {
	err := p.try(p.a, func(u provision.Unit) error {
		c := u.(*Unit).Conn()
		if err := Query(c, "UPDATE person SET revision = revision + 1 WHERE pk = ?1 /*ONE ROW*/", []any{-1}, nil); err != nil {
			return err
		}
		_ = Changes(c)
		return nil
	})
	if !errors.Is(err, provision.ErrFenced) {
		p.Errorf("a Unit that has lost a race: %v", err)
	}
}

// A reference that could not be resolved becomes ready if its target is linked before that is noted.
func (p *pair) linkedMeanwhile() {
	boss := provision.Person{Anchor: "boss", Name: "Boss"}
	p.free(p.a, func(u provision.Unit) error {
		people := []provision.Person{boss, {Anchor: "who", Name: "Who", ObjectID: uuid.NewString()}}
		return errors.Join(u.PutPeople(people), u.PutReference(provision.PendingReference{Anchor: "who", Attribute: "manager", To: "boss", Upload: 1}))
	})
	p.free(p.b, func(u provision.Unit) error {
		refs, err := u.UnreportedReferences(10)
		if err != nil || len(refs) != 1 {
			p.Errorf("%d references, %v", len(refs), err)
			return err
		}
		p.free(p.a, func(u provision.Unit) error {
			boss.ObjectID = uuid.NewString()
			return u.PutPeople([]provision.Person{boss})
		})
		return u.EndReference(refs[0], false)
	})
	p.free(p.a, func(u provision.Unit) error {
		refs, err := u.ReadyReferences(time.Now(), 10)
		if len(refs) != 1 {
			p.Errorf("%d references are ready", len(refs))
		}
		return err
	})
}

// A link that somebody else has changed since it was read is not counted once more.
func (p *pair) relinkedMeanwhile() {
	p.free(p.a, func(u provision.Unit) error {
		return u.PutPeople([]provision.Person{{Anchor: "linked", ObjectID: uuid.NewString()}})
	})
	before, err := p.a.JobStatus(p.Context(), p.job.PK)
	if err != nil {
		p.Fatal(err)
	}
	unlink := func(u provision.Unit) error { return u.Link("linked", "") }
	err = p.try(p.b, func(u provision.Unit) error {
		if _, err := u.Links([]string{"linked"}); err != nil {
			return err
		}
		p.free(p.a, unlink)
		return unlink(u)
	})
	if !errors.Is(err, provision.ErrFenced) {
		p.Errorf("a link that was changed meanwhile: %v", err)
	}
	if after, err := p.a.JobStatus(p.Context(), p.job.PK); err != nil || after.Users != before.Users-1 {
		p.Errorf("%d people are linked, %d were: %v", after.Users, before.Users, err)
	}
}

// A dead replica that seems to have beaten in the future, because the database's clock was set back since, loses its lanes.
func (p *pair) deadAhead() {
	err := p.a.db.write(p.Context(), func(c Conn) error {
		dead, err := inserted(c, "INSERT INTO replica (name, began, beat) VALUES ('dead', "+micro+", "+micro+" + 3600000000) RETURNING pk")
		lanes := make([]laneState, p.job.Lanes)
		for i := range lanes {
			lanes[i].owner = dead
		}
		return errors.Join(err, query(c, "UPDATE progress SET lanes = ?2, epoch = epoch + 1 WHERE job = ?1", []any{p.job.PK, packLanes(lanes)}, nil))
	})
	if err != nil {
		p.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		a, err := p.a.Lane(p.Context(), p.job.PK)
		b, err2 := p.b.Lane(p.Context(), p.job.PK)
		if held := a.Held | b.Held; held == provision.AllLanes(p.job.Lanes) {
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("lanes %b and %b are held, %v", a.Held, b.Held, errors.Join(err, err2))
		}
	}
}

// What PostgreSQL takes for no text is stored as one.
func (p *pair) noText() {
	p.free(p.a, func(u provision.Unit) error {
		return errors.Join(u.PutPeople([]provision.Person{{Anchor: "a\xff", Name: "N\x00l \xc3"}, {Anchor: "b\x00", Name: "b"}}), u.CountUnread(map[string]int64{"\xff\x00": 1}))
	})
}

// Of many writes that go as one each has to find its row.
func (p *pair) missingOfMany() {
	people := make([]provision.Person, 20)
	for i := range people {
		people[i] = provision.Person{Anchor: string(rune('A' + i))}
	}
	p.free(p.a, func(u provision.Unit) error { return u.PutPeople(people) })
	err := p.try(p.b, func(u provision.Unit) error {
		if _, err := u.Links([]string{"A", "B", "C", "D", "E", "F", "G"}); err != nil {
			return err
		}
		p.free(p.a, func(u provision.Unit) error { return u.PutPeople([]provision.Person{people[4]}) })
		return u.PutPeople(people[:7])
	})
	if !errors.Is(err, provision.ErrFenced) {
		p.Errorf("one of seven people was written meanwhile: %v", err)
	}
}

// What is written twice in one transaction is as it was written last.
func (p *pair) twiceOfMany() {
	for range 2 { // new, then known
		p.free(p.a, func(u provision.Unit) error {
			for _, name := range []string{"first", "second", "third"} {
				people := make([]provision.Person, 6)
				for i := range people {
					people[i] = provision.Person{Anchor: "twice " + string(rune('A'+i)), Name: name}
				}
				if err := u.PutPeople(people); err != nil {
					return err
				}
			}
			return nil
		})
		for i := range 6 {
			people, err := p.b.People(p.Context(), p.job.PK, []provision.Sought{{Anchor: "twice " + string(rune('A'+i))}})
			if err != nil || people[0] == nil || people[0].Name != "third" {
				p.Errorf("person %d is %+v, %v", i, people[0], err)
			}
		}
	}
}
