package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"induct/internal/mapping"
	"induct/internal/scim"
)

// PreviewQuery asks what would become of a record.
type PreviewQuery struct {
	Schema    *mapping.Schema // nil: the job's own
	Operation Operation       // without Data: the person's kept record
	Alone     bool            // as if nothing had been sent of the person before; the link to an object counts all the same
}

// Preview is what would become of a record if it came now. Nothing of it has happened.
type Preview struct {
	Explanation mapping.Explanation
	Record      []byte   // the record that was evaluated
	Kept        []byte   // and what decides the scope: everything that would have been sent of the person then
	Person      *Person  // what the job knows of the anchor; nil if nothing
	Current     *Object  // the object that is linked to the person, or matches; nil if there is none or it was not looked for
	Planned     Planned  // what would be written; zero if Entry says that it does not come to that
	Entry       LogEntry // what the log would say, if the target refuses nothing; without Seq, Time and Upload
}

// Preview evaluates, finds and plans as an upload's record is evaluated, found and planned, and writes nothing.
// It reads what is committed, so that an upload that is on its way does not show yet. Errors: those of mapping.Compile
// about the schema; ErrNotFound if there is no Data and no kept record; errors.ErrUnsupported if the target cannot be
// read from outside of a Unit, which takes an Objects.
func (s *Service) Preview(ctx context.Context, jobPK int64, q PreviewQuery) (*Preview, error) {
	objects, ok := s.target.(Objects)
	if !ok {
		return nil, fmt.Errorf("preview: the target: %w", errors.ErrUnsupported)
	}
	job, program, err := s.compiled(jobPK)
	if err == nil && q.Schema != nil {
		trial := *job
		trial.Schema = q.Schema
		job = &trial
		program, err = s.compile(job)
	}
	if err != nil {
		return nil, err
	}
	r := &record{op: &q.Operation, upload: &Queued{Received: s.now()}}
	if anchor := q.Operation.Anchor; anchor != "" {
		people, err := s.store.People(ctx, jobPK, []Sought{{Anchor: anchor}})
		if err != nil {
			return nil, fmt.Errorf("preview: %w", err)
		}
		r.person = people[0]
	}
	if q.Operation.Data == nil {
		if r.person == nil || len(r.person.Kept) == 0 {
			return nil, fmt.Errorf("the kept record of %q: %w", q.Operation.Anchor, ErrNotFound)
		}
		q.Operation.Data = r.person.Kept
	}
	if r.kept = q.Operation.Data; !q.Alone && r.person != nil && len(r.person.Kept) > 0 {
		if merged, err := scim.Merge(r.person.Kept, q.Operation.Data); err == nil {
			r.kept = merged
		}
	}
	b := &batch{store: s.store, job: job, program: program, cycle: &Cycle{}, began: r.upload.Received, policy: s.policy(job).unbraked()}
	return b.preview(ctx, objects, r)
}

// preview takes the batch's way with one record, on a target that finds and does not apply.
func (b *batch) preview(ctx context.Context, objects Objects, r *record) (*Preview, error) {
	given := mapping.Record{Sent: r.op.Data, Kept: r.kept, Now: r.upload.Received, Seed: seed(b.job, 0, 0)}
	out := b.program.Evaluate(given)
	r.out = &out
	t := glass{objects}
	u := glance{ctx: ctx, store: b.store, jobPK: b.job.PK}
	open, err := b.find(ctx, u, t, []*record{r})
	if err == nil {
		err = locate(u, open)
	}
	if err == nil {
		open, _ = b.plan(open)
		err = b.chooseUnique(ctx, t, open)
	}
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	if len(open) > 0 && r.entry.End == "" {
		b.settle(r, Result{})
	}
	if r.object == nil {
		r.entry.ObjectID = "" // it would have one that nobody knows yet
	}
	return &Preview{Explanation: b.program.Explain(given), Record: r.op.Data, Kept: r.kept, Person: r.person, Current: r.object,
		Planned: r.planned, Entry: r.entry}, nil
}

// glance is a Unit as find and locate use one: it reads, outside of any transaction.
type glance struct {
	Unit  // nil: the rest is never called
	ctx   context.Context
	store Store
	jobPK int64
}

func (g glance) LinkedAnchors(ids []string) ([]string, error) {
	return g.store.LinkedAnchors(g.ctx, g.jobPK, ids)
}

func (g glance) Links(anchors []string) ([]string, error) {
	sought := make([]Sought, len(anchors))
	for i, a := range anchors {
		sought[i].Anchor = a
	}
	people, err := g.store.People(g.ctx, g.jobPK, sought)
	ids := make([]string, len(anchors))
	for i, p := range people {
		if p != nil {
			ids[i] = p.ObjectID
		}
	}
	return ids, err
}

// glass is a Target behind glass: its objects can be seen and not touched.
type glass struct{ objects Objects }

// Find implements Target.
func (g glass) Find(ctx context.Context, queries []Query) ([]Found, error) {
	found := make([]Found, len(queries))
	for i, q := range queries {
		var err error
		if found[i], err = g.find(ctx, q); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// mostMatches is how many objects that match are looked for: more than one is ambiguous.
const mostMatches = 10

func (g glass) find(ctx context.Context, q Query) (f Found, err error) {
	if q.ID != "" {
		f.Object, err = g.objects.Object(ctx, q.ID)
		if errors.Is(err, ErrNotFound) {
			return Found{}, nil
		}
		return f, err
	}
	ask := ObjectQuery{Equal: map[string]string{q.Attribute: q.Value}, Limit: mostMatches, Match: func(o *Object) bool {
		return strings.EqualFold(o.Attributes[q.Attribute].String(), q.Value)
	}}
	var all []Object
	for more := true; more && len(all) < mostMatches; {
		page, err := g.objects.Objects(ctx, ask)
		if err != nil {
			return f, err
		}
		all = append(all, page.Objects...)
		more, ask.After = page.More, page.Next
	}
	switch len(all) {
	case 0:
	case 1:
		f.Object = &all[0]
	default:
		for i := range all {
			f.Ambiguous = append(f.Ambiguous, all[i].ID)
		}
	}
	return f, nil
}

// Apply implements Target: it never does.
func (glass) Apply(context.Context, []Change) ([]Result, error) {
	return nil, fmt.Errorf("apply in a preview: %w", errors.ErrUnsupported)
}
