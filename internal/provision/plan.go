package provision

import (
	"slices"
	"time"

	"induct/internal/expr"
	"induct/internal/mapping"
)

const accountEnabled = "accountEnabled"

// redacted is what is shown in place of a value that an expression read under Redact().
const redacted = "[Redact]"

// Planned is what a record should do to its object: one of nothing, a creation, an update.
type Planned struct {
	End      End  // EndCreated, EndUpdated, EndDisabled, EndDeleted, EndUnchanged, EndSkipped
	Restore  bool // the object comes back from deleted items first
	Set      []Assignment
	Modified []Modification
}

// destroys reports whether somebody loses the account.
func (p *Planned) destroys() bool { return p.End == EndDisabled || p.End == EndDeleted }

// writes reports whether the target is to be asked for anything.
func (p *Planned) writes() bool { return len(p.Set) > 0 || p.Restore || p.End == EndDeleted }

// without leaves an attribute out, and reports whether something is left to do then.
func (p *Planned) without(attribute string) bool {
	n := len(p.Set)
	p.Set = slices.DeleteFunc(slices.Clone(p.Set), func(a Assignment) bool { return a.Attribute == attribute })
	p.Modified = slices.DeleteFunc(slices.Clone(p.Modified), func(m Modification) bool { return m.Attribute == attribute })
	return len(p.Set) < n && (len(p.Modified) > 0 || p.Restore)
}

// planLeave plans what becomes of the object of somebody who has left the scope. EndSkipped: nothing.
func planLeave(current *Object, action LeaveAction, allow mapping.FlowTypes) Planned {
	was := current.Attributes[accountEnabled]
	on, known := was.AsBool()
	switch {
	case !current.Deleted.IsZero():
	case action == LeaveDelete && allow.Delete:
		return Planned{End: EndDeleted}
	case action == LeaveDisable && allow.Update && (on || !known):
		p := Planned{End: EndDisabled}
		p.add(&mapping.Flow{Attribute: accountEnabled}, was, expr.Bool(false))
		return p
	}
	return Planned{End: EndSkipped}
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
	texts := make([]string, len(out.Flows)) // one piece of memory for all values that are shown
	for i := range out.Flows {
		f := &out.Flows[i]
		if f.Value.IsNull() {
			continue
		}
		if texts[i] = redacted; !f.Redacted {
			texts[i] = f.Value.String()
		}
		p.Set = append(p.Set, Assignment{Attribute: f.Attribute, Value: f.Value})
		p.Modified = append(p.Modified, Modification{Attribute: f.Attribute, New: &texts[i]})
	}
	return p
}

func planUpdate(out *mapping.Outcome, current *Object, allow mapping.FlowTypes) Planned {
	p := Planned{End: EndUnchanged}
	disables := false
	for i := range out.Flows {
		f := &out.Flows[i]
		was := current.Attributes[f.Attribute]
		is, writes := updated(f, was)
		if !writes {
			continue
		}
		p.add(f, was, is)
		if f.Attribute == accountEnabled {
			on, ok := is.AsBool()
			wasOn, known := was.AsBool()
			disables = ok && !on || is.IsNull() && (wasOn || !known) // cleared: it is not enabled any more
		}
	}
	p.Restore = !current.Deleted.IsZero()
	switch {
	case !p.writes():
		return p
	case !allow.Update, p.Restore && !allow.Add: // to bring an account back is as good as to create one
		return Planned{End: EndSkipped}
	case p.Restore:
		p.End = EndUpdated
		gone := current.Deleted.UTC().Format(time.RFC3339)
		p.Modified = append(p.Modified, Modification{Attribute: "deletedDateTime", Old: &gone})
	case disables:
		p.End = EndDisabled
	default:
		p.End = EndUpdated
	}
	p.accompany(out, current)
	return p
}

// updated returns what an attribute that holds was is to hold by f, and whether that is to be written.
func updated(f *mapping.Flow, was expr.Value) (expr.Value, bool) {
	switch {
	case f.CreateOnly || f.Default || f.WhenEmpty && !was.IsEmpty():
		return was, false
	case f.Clear:
		return expr.Value{}, !was.IsNull()
	case f.AddValues:
		return united(was, f)
	}
	return f.Value, !f.Value.IsNull() && !same(was, f)
}

// united adds the values of f that are missing to those that stand there.
func united(was expr.Value, f *mapping.Flow) (expr.Value, bool) {
	all := slices.Clone(was.Elems())
	n := len(all)
	for _, v := range f.Value.Elems() {
		if !v.IsEmpty() && !slices.ContainsFunc(all, func(has expr.Value) bool { return has.Equal(v, f.CaseExact) }) {
			all = append(all, v)
		}
	}
	return expr.Multi(all...), len(all) > n
}

// accompany adds what is written with every other write although it stands there already; it is no change.
func (p *Planned) accompany(out *mapping.Outcome, current *Object) {
	for i := range out.Flows {
		f := &out.Flows[i]
		if f.Always && !f.CreateOnly && !f.Default && !f.Clear && !f.AddValues && !f.WhenEmpty && same(current.Attributes[f.Attribute], f) {
			p.Set = append(p.Set, Assignment{Attribute: f.Attribute, Value: f.Value})
		}
	}
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
