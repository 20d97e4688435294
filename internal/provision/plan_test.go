package provision_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"induct/internal/expr"
	"induct/internal/mapping"
	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
)

func drawValue(t *rapid.T) expr.Value {
	scalar := func() expr.Value {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return expr.Bool(rapid.Bool().Draw(t, "bool"))
		case 1:
			return expr.Int(rapid.Int64Range(-1, 1).Draw(t, "int"))
		}
		return expr.Text(rapid.SampledFrom([]string{"", "a", "A", "ß", "σ", "ς", "True", "0", "a;b"}).Draw(t, "text"))
	}
	switch rapid.IntRange(0, 4).Draw(t, "shape") {
	case 0:
		return expr.Multi(slices.Collect(func(yield func(expr.Value) bool) {
			for range rapid.IntRange(0, 3).Draw(t, "elements") {
				if !yield(scalar()) {
					return
				}
			}
		})...)
	case 1:
		return expr.Value{}
	}
	return scalar()
}

func drawFlows(t *rapid.T) (flows []mapping.Flow) {
	for _, a := range []string{"accountEnabled", "city", "department", "displayName", "jobTitle"} {
		if !rapid.Bool().Draw(t, a) {
			continue
		}
		f := mapping.Flow{Attribute: a, Value: drawValue(t), CaseExact: rapid.Bool().Draw(t, "case exact"), Redacted: rapid.Bool().Draw(t, "redacted"),
			CreateOnly: rapid.IntRange(0, 5).Draw(t, "create only") == 0, Default: rapid.IntRange(0, 5).Draw(t, "default") == 0}
		switch rapid.IntRange(0, 6).Draw(t, "write") {
		case 0:
			f.WhenEmpty = true
		case 1:
			f.AddValues = true
		case 2:
			f.Clear = true // the value is that of a new object
		}
		f.Always = rapid.Bool().Draw(t, "always")
		if f.Value.IsNull() {
			f.Clear = rapid.Bool().Draw(t, "clear")
		}
		flows = append(flows, f)
	}
	return flows
}

// Whatever is wanted of whatever is there: once a plan is applied, nothing is left to do, and Modified tells what was done.
func TestPlanConverges(t *testing.T) {
	everything := mapping.FlowTypes{Add: true, Update: true}
	rapid.Check(t, func(t *rapid.T) {
		target := provisiontest.NewMemory()
		id := uuid.NewString()
		object := func() *provision.Object {
			found, err := target.Find(t.Context(), []provision.Query{{ID: id}})
			if err != nil {
				t.Fatal(err)
			}
			return found[0].Object
		}
		for range rapid.IntRange(1, 3).Draw(t, "records") {
			out := &mapping.Outcome{Flows: drawFlows(t)}
			was := object()
			plan := provision.Plan(out, was, everything)
			if len(plan.Set) < len(plan.Modified) || len(plan.Set) > 0 && len(plan.Modified) == 0 { // what only accompanies is no change
				t.Fatalf("%d assignments, %d modifications", len(plan.Set), len(plan.Modified))
			}
			if forbidden := provision.Plan(out, was, mapping.FlowTypes{}); len(forbidden.Set) != 0 ||
				forbidden.End != provision.EndSkipped && plan.End != provision.EndUnchanged {
				t.Fatalf("nothing is allowed and the plan is %+v", forbidden)
			}
			change := provision.Change{Create: was == nil, ID: id, Set: plan.Set}
			if was != nil {
				if change.Version = was.Version; (plan.End == provision.EndUnchanged) != (len(plan.Set) == 0) {
					t.Fatalf("plan is %+v", plan)
				}
			} else if plan.End != provision.EndCreated {
				t.Fatalf("plan is %+v", plan)
			}
			results, err := target.Apply(t.Context(), []provision.Change{change})
			if err != nil || results[0].Err != nil {
				t.Fatal(err, results[0].Err)
			}
			if was == nil { // what is created may lack what flows on update only
				continue
			}
			if again := provision.Plan(out, object(), everything); again.End != provision.EndUnchanged || len(again.Set) != 0 {
				t.Fatalf("after %+v the plan is %+v", plan, again)
			}
		}
	})
}

// What has just been created is as its record wants it: the same record again changes nothing.
func TestPlanAfterCreation(t *testing.T) {
	everything := mapping.FlowTypes{Add: true, Update: true}
	rapid.Check(t, func(t *rapid.T) {
		flows := slices.DeleteFunc(drawFlows(t), func(f mapping.Flow) bool { return f.Clear && !f.Value.IsNull() }) // a default, cleared by the next record
		out := &mapping.Outcome{Flows: flows}
		created := &provision.Object{ID: uuid.NewString(), Version: 1, Attributes: map[string]expr.Value{}}
		for _, a := range provision.Plan(out, nil, everything).Set {
			if !a.Value.IsEmpty() {
				created.Attributes[a.Attribute] = a.Value
			}
		}
		if again := provision.Plan(out, created, everything); again.End != provision.EndUnchanged {
			t.Fatalf("plan is %+v", again)
		}
	})
}

func TestIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seq := rapid.Int64Range(1, 1<<48-1).Draw(t, "seq")
		job, number := rapid.Int64Range(0, 1<<20-1).Draw(t, "job"), rapid.Int64Range(0, 1<<48-1).Draw(t, "number")
		index := rapid.IntRange(0, 1<<16-1).Draw(t, "index")
		entry, change, cycle := provision.EntryID(seq), provision.ChangeID(job, number, index), provision.CycleID(job, number)
		if got, ok := provision.ParseEntryID(entry); !ok || got != seq {
			t.Errorf("entry %d, %v", got, ok)
		}
		if j, u, i, ok := provision.ParseChangeID(change); !ok || j != job || u != number || i != index {
			t.Errorf("change %d %d %d, %v", j, u, i, ok)
		}
		if j, c, ok := provision.ParseCycleID(cycle); !ok || j != job || c != number {
			t.Errorf("cycle %d %d, %v", j, c, ok)
		}
		for _, id := range []uuid.UUID{entry, change, cycle} {
			if id.Version() != 8 || id.Variant() != uuid.RFC4122 {
				t.Errorf("%s has version %d, variant %s", id, id.Version(), id.Variant())
			}
		}
		if _, ok := provision.ParseEntryID(change); ok {
			t.Error("a change is read as an entry")
		}
		if _, _, ok := provision.ParseCycleID(change); ok {
			t.Error("a change is read as a cycle")
		}
		if _, _, _, ok := provision.ParseChangeID(entry); ok {
			t.Error("an entry is read as a change")
		}
	})
}

// An id that is read is the id that is written: two ids never name one place.
func FuzzParseIDs(f *testing.F) {
	e, c, y := provision.EntryID(7), provision.ChangeID(1, 2, 3), provision.CycleID(1, 2)
	f.Add(e[:])
	f.Add(c[:])
	f.Add(y[:])
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x810\x800000000")) // bits that no entry's id has
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := uuid.FromBytes(b)
		if err != nil {
			return
		}
		if seq, ok := provision.ParseEntryID(id); ok && provision.EntryID(seq) != id {
			t.Errorf("entry %d is written as %s, not %s", seq, provision.EntryID(seq), id)
		}
		if j, u, i, ok := provision.ParseChangeID(id); ok && provision.ChangeID(j, u, i) != id {
			t.Errorf("change is written as %s, not %s", provision.ChangeID(j, u, i), id)
		}
		if j, n, ok := provision.ParseCycleID(id); ok && provision.CycleID(j, n) != id {
			t.Errorf("cycle is written as %s, not %s", provision.CycleID(j, n), id)
		}
	})
}
