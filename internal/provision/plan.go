package provision

import (
	"induct/internal/expr"
	"induct/internal/mapping"
)

const accountEnabled = "accountEnabled"

// redacted is what is shown in place of a value that an expression read under Redact().
const redacted = "[Redact]"

// Planned is what a record should do to its object: one of nothing, a creation, an update.
type Planned struct {
	End      End // EndCreated, EndUpdated, EndDisabled, EndUnchanged, EndSkipped
	Set      []Assignment
	Modified []Modification
}

// Plan compares what a record wants with the object as it is; current is nil if there is none.
// It is pure, and planning again after its changes were applied gives EndUnchanged.
// EndSkipped is returned when the mapping's flow types forbid what would have to be done.
func Plan(out *mapping.Outcome, current *Object, allow mapping.FlowTypes) Planned {
	if current == nil {
		return planCreate(out, allow)
	}
	return planUpdate(out, current, allow)
}

func planCreate(out *mapping.Outcome, allow mapping.FlowTypes) Planned {
	if !allow.Add {
		return Planned{End: EndSkipped}
	}
	p := Planned{End: EndCreated, Set: make([]Assignment, 0, len(out.Flows)+1), Modified: make([]Modification, 0, len(out.Flows)+1)}
	for i := range out.Flows {
		f := &out.Flows[i]
		if f.Clear || f.Value.IsNull() {
			continue
		}
		p.add(f, expr.Value{}, f.Value)
	}
	return p
}

func planUpdate(out *mapping.Outcome, current *Object, allow mapping.FlowTypes) Planned {
	p := Planned{End: EndUnchanged}
	disables := false
	for i := range out.Flows {
		f := &out.Flows[i]
		if f.CreateOnly || f.Default || f.Value.IsNull() && !f.Clear {
			continue
		}
		was := current.Attributes[f.Attribute]
		if f.Clear && was.IsNull() || !f.Clear && same(was, f) {
			continue
		}
		p.add(f, was, f.Value)
		if f.Attribute == accountEnabled {
			on, ok := f.Value.AsBool()
			disables = ok && !on
		}
	}
	switch {
	case len(p.Set) == 0:
		return p
	case !allow.Update:
		return Planned{End: EndSkipped}
	case disables:
		p.End = EndDisabled
	default:
		p.End = EndUpdated
	}
	return p
}

// same reports whether a target that holds was needs no write of f. An empty text and no value are the same
// to a directory that stores no empty texts.
func same(was expr.Value, f *mapping.Flow) bool {
	if was.IsEmpty() && f.Value.IsEmpty() {
		return true
	}
	return was.Equal(f.Value, f.CaseExact)
}

func (p *Planned) add(f *mapping.Flow, was, is expr.Value) {
	if f.Clear {
		is = expr.Value{}
	}
	p.Set = append(p.Set, Assignment{Attribute: f.Attribute, Value: is})
	m := Modification{Attribute: f.Attribute, Old: shown(was), New: shown(is)}
	if f.Redacted {
		m.Old, m.New = mask(m.Old), mask(m.New)
	}
	p.Modified = append(p.Modified, m)
}

func shown(v expr.Value) *string {
	if v.IsNull() {
		return nil
	}
	s := v.String()
	return &s
}

func mask(s *string) *string {
	if s == nil {
		return nil
	}
	r := redacted
	return &r
}
