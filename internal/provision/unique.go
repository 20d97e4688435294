package provision

import (
	"context"
	"fmt"
	"strings"

	"induct/internal/expr"
	"induct/internal/mapping"
)

// choice is a value that a record is still looking for, which nobody else may have.
type choice struct {
	*record
	flow *mapping.Flow
	next int // the candidate to try
	err  error
}

// chooseUnique gives each record that creates an object the first candidate of each of its unique attributes that no
// object has and no record before it in the wave has been given. All that look are asked for in one call a round. A record
// for which there is none fails. What a wave has written is found by the next one: both are in one transaction.
func (b *batch) chooseUnique(ctx context.Context, t Target, wave []*record) error {
	open := b.choices(wave)
	reserved := map[string]bool{}
	for len(open) > 0 {
		var asked []*choice
		var queries []Query
		for _, c := range open {
			if c.entry.End != "" { // another of its attributes has failed
				continue
			}
			v, ok := c.candidate(reserved)
			if !ok {
				b.fail(c.record, c.exhausted())
				continue
			}
			asked, queries = append(asked, c), append(queries, Query{Attribute: c.flow.Attribute, Value: v.String()})
			c.planned.set(c.flow, v)
		}
		found, err := t.Find(ctx, queries)
		if err != nil {
			return fmt.Errorf("look for %d values that must be unique: %w", len(queries), err)
		}
		open = open[:0]
		for i, c := range asked {
			if found[i].Object != nil || len(found[i].Ambiguous) > 0 {
				open = append(open, c)
			}
		}
	}
	return nil
}

func (b *batch) choices(wave []*record) (open []*choice) {
	for _, r := range wave {
		if r.planned.End != EndCreated {
			continue
		}
		for i := range r.out.Flows {
			if f := &r.out.Flows[i]; f.Unique {
				open = append(open, &choice{record: r, flow: f})
			}
		}
	}
	return open
}

// candidate returns the next one that is not reserved, and reserves it.
func (c *choice) candidate(reserved map[string]bool) (expr.Value, bool) {
	for {
		v, ok, err := c.flow.Candidate(c.next)
		if !ok {
			return v, false
		}
		c.next++
		if err != nil {
			c.err = err
			continue
		}
		key := c.flow.Attribute + "\x00" + strings.ToLower(v.String())
		if v.IsEmpty() || reserved[key] {
			continue
		}
		reserved[key] = true
		return v, true
	}
}

func (c *choice) exhausted() mapping.Problem {
	p := mapping.Problem{Code: "UniqueValueExhausted", Attribute: c.flow.Attribute,
		Reason: fmt.Sprintf("others have each of the %d values that SelectUniqueValue offers for %s", c.next, c.flow.Attribute),
		Advice: "Give SelectUniqueValue one more way to make a value, such as with a part of the externalId at its end."}
	if c.err != nil && !c.flow.Redacted {
		p.Reason += "; one could not be made: " + c.err.Error()
	}
	return p
}

// set replaces the value that is planned for a flow's attribute.
func (p *Planned) set(f *mapping.Flow, v expr.Value) {
	for i := range p.Set {
		if p.Set[i].Attribute == f.Attribute {
			p.Set[i].Value = v
			if p.Modified[i].New = shown(v); f.Redacted {
				p.Modified[i].New = mask(p.Modified[i].New)
			}
			return
		}
	}
	p.add(f, expr.Value{}, v)
}
