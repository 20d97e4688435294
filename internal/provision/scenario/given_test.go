package scenario

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
	"induct/internal/provision"
)

// What a scenario begins with: jobs, mappings, the directory. Each may be changed later on too.
var givens = []sentence{
	{form: `a job {job} with the default mapping`, run: func(w *world, a args) error { return w.addJob(a.text("job"), nil) }},
	{form: `a job {job} that maps`, run: addMappedJob},
	{form: `{job} maps {rest} to {attribute}( {words})`, run: addMapping},
	{form: `{job} does not map {attribute}`, run: removeMapping},
	{form: `{job} may only {words}`, run: allow},
	{form: `the scope of {job} is {rest}`, run: setScope},
	{form: `everybody is in the scope of {job}`, run: func(w *world, a args) error {
		return w.edit(a.text("job"), func(m *mapping.ObjectMapping, _ *mapping.Schema) error { m.Scope = nil; return nil })
	}},
	{form: `{job} lets null flow from {attribute}`, run: flowNullFrom},
	{form: `{job} lets null flow to {attribute}`, run: flowNullTo},
	{form: `the directory has`, run: addObjects},
}

func (w *world) addJob(name string, schema *mapping.Schema) error {
	stored, err := w.CreateJob(w.t.Context(), "API2AAD", uuid.New(), uuid.New(), name, provision.JobActive)
	if err != nil {
		return err
	}
	j := &job{name: name, pk: stored.PK, latest: map[string]map[string]any{}}
	w.jobs, w.spoken = append(w.jobs, j), j
	if schema != nil {
		return w.SetSchema(w.t.Context(), j.pk, schema)
	}
	return nil
}

// addMappedJob makes a job whose mapping is the table below the step, or a synchronizationSchema of Graph.
func addMappedJob(w *world, a args) error {
	if a.json != "" {
		schema, err := syncschema.Parse([]byte(a.json))
		if err != nil {
			return err
		}
		return w.addJob(a.text("job"), schema)
	}
	schema, _ := mapping.Template("API2AAD")
	m := &schema.Rules[0].ObjectMappings[0]
	m.AttributeMappings = nil
	for _, row := range rows(a.table) {
		am, err := attributeMapping(row["from"], row["to"], row["how"])
		if err != nil {
			return err
		}
		m.AttributeMappings = append(m.AttributeMappings, am)
	}
	return w.addJob(a.text("job"), schema)
}

// rows returns the rows of a table, by the names in its head.
func rows(table [][]string) (all []map[string]string) {
	for _, cells := range table[min(1, len(table)):] {
		row := map[string]string{}
		for i, name := range table[0] {
			row[name] = cells[i]
		}
		all = append(all, row)
	}
	return all
}

// attributeMapping reads how: "matching", "when created", "while empty"; "" is always.
func attributeMapping(from, to, how string) (mapping.AttributeMapping, error) {
	for _, name := range inEnterprise {
		from = strings.ReplaceAll(from, "["+name+"]", "["+path(name)+"]")
	}
	m := mapping.AttributeMapping{TargetAttributeName: to, Expression: from, FlowType: mapping.FlowTypeAlways, FlowBehavior: "FlowWhenChanged"}
	switch how {
	case "":
	case "matching":
		m.MatchingPriority = 1
	case "matching second":
		m.MatchingPriority = 2
	case "when created":
		m.FlowType = mapping.FlowTypeObjectAdd
	case "while empty":
		m.FlowType = mapping.FlowTypeAttributeAdd
	default:
		return m, fmt.Errorf("%q is no way to map: matching, matching second, when created, while empty", how)
	}
	return m, nil
}

// edit gives a job another schema; change gets a copy.
func (w *world) edit(name string, change func(*mapping.ObjectMapping, *mapping.Schema) error) error {
	j, err := w.job(name)
	if err != nil {
		return err
	}
	stored, err := w.stored(j)
	if err != nil {
		return err
	}
	b, err := json.Marshal(stored.Schema)
	if err != nil {
		return err
	}
	var schema mapping.Schema
	if err := json.Unmarshal(b, &schema); err != nil {
		return err
	}
	if err := change(&schema.Rules[0].ObjectMappings[0], &schema); err != nil {
		return err
	}
	return w.SetSchema(w.t.Context(), j.pk, &schema)
}

func addMapping(w *world, a args) error {
	return w.edit(a.text("job"), func(m *mapping.ObjectMapping, _ *mapping.Schema) error {
		am, err := attributeMapping(a.values["rest"], a.values["attribute"], a.values["words"])
		i := slices.IndexFunc(m.AttributeMappings, func(o mapping.AttributeMapping) bool { return o.TargetAttributeName == am.TargetAttributeName })
		if i >= 0 {
			am.MatchingPriority = max(am.MatchingPriority, m.AttributeMappings[i].MatchingPriority)
			m.AttributeMappings[i] = am
		} else {
			m.AttributeMappings = append(m.AttributeMappings, am)
		}
		return err
	})
}

func removeMapping(w *world, a args) error {
	return w.edit(a.text("job"), func(m *mapping.ObjectMapping, _ *mapping.Schema) error {
		n := len(m.AttributeMappings)
		m.AttributeMappings = slices.DeleteFunc(m.AttributeMappings, func(o mapping.AttributeMapping) bool { return o.TargetAttributeName == a.values["attribute"] })
		if len(m.AttributeMappings) == n {
			return fmt.Errorf("no mapping of %s", a.values["attribute"])
		}
		return nil
	})
}

// allow sets the target object actions.
func allow(w *world, a args) error {
	return w.edit(a.text("job"), func(m *mapping.ObjectMapping, _ *mapping.Schema) error {
		words, err := a.list("words")
		m.FlowTypes = mapping.FlowTypes{Add: slices.Contains(words, "create"), Update: slices.Contains(words, "update"), Delete: slices.Contains(words, "delete")}
		return err
	})
}

// setScope reads clauses as the wire has them: department EQUALS Sales and title IS NOT NULL.
func setScope(w *world, a args) error {
	return w.edit(a.text("job"), func(m *mapping.ObjectMapping, _ *mapping.Schema) error {
		parts, err := split(a.values["rest"], " and ")
		g := mapping.FilterGroup{Name: "People"}
		for _, p := range parts {
			attribute, rest, _ := strings.Cut(p, " ")
			c := mapping.Clause{SourceOperandName: path(attribute), OperatorName: rest}
			for _, op := range []string{"NOT EQUALS", "EQUALS", "NOT REGEX MATCH", "REGEX MATCH", "ENDS_WITH", "Includes"} {
				if value, ok := strings.CutPrefix(rest, op+" "); ok {
					c.OperatorName, c.Values = op, []string{unquote(value)}
					break
				}
			}
			g.Clauses = append(g.Clauses, c)
		}
		m.Scope = &mapping.Filter{Groups: []mapping.FilterGroup{g}}
		return err
	})
}

func flowNullFrom(w *world, a args) error {
	return w.edit(a.text("job"), func(_ *mapping.ObjectMapping, s *mapping.Schema) error {
		attributes := s.Directories[0].Objects[0].Attributes
		for i := range attributes {
			if attributes[i].Name == path(a.values["attribute"]) {
				attributes[i].FlowNullValues = true
				return nil
			}
		}
		return fmt.Errorf("no source attribute %s", a.values["attribute"])
	})
}

func flowNullTo(w *world, a args) error {
	return w.edit(a.text("job"), func(m *mapping.ObjectMapping, _ *mapping.Schema) error {
		for i := range m.AttributeMappings {
			if m.AttributeMappings[i].TargetAttributeName == a.values["attribute"] {
				m.AttributeMappings[i].FlowNullValues = true
				return nil
			}
		}
		return fmt.Errorf("no mapping of %s", a.values["attribute"])
	})
}

// addObjects makes users that no job has made.
func addObjects(w *world, a args) error {
	var changes []provision.Change
	for _, row := range rows(a.table) {
		c := provision.Change{Create: true, ID: uuid.NewString()}
		for name, cell := range row {
			if cell != "" {
				c.Set = append(c.Set, provision.Assignment{Attribute: name, Value: targetValue(name, cell)})
			}
		}
		changes = append(changes, c)
		w.ledger.duplicate(row["employeeId"])
	}
	return w.byHand(changes...)
}

// duplicate allows several users with this employeeId.
func (l *ledger) duplicate(employee string) {
	if l.doubled == nil {
		l.doubled = map[string]bool{}
	}
	l.doubled[employee] = true
}

func targetValue(name, text string) expr.Value {
	switch text = unquote(text); {
	case name == "accountEnabled":
		return expr.Bool(strings.EqualFold(text, "true"))
	default:
		return expr.Text(text)
	}
}

// byHand changes the directory as an administrator does.
func (w *world) byHand(changes ...provision.Change) error {
	if len(w.jobs) == 0 {
		return fmt.Errorf("a job comes first")
	}
	j := w.jobs[0]
	position, err := w.store.Position(w.t.Context(), j.pk)
	if err != nil {
		return err
	}
	return w.store.Unit(w.t.Context(), provision.Fence{JobPK: j.pk, Position: position}, func(u provision.Unit) error {
		results, err := w.users.In(u).Apply(w.t.Context(), changes)
		for i, r := range results {
			if r.Err != nil {
				return r.Err
			}
			if w.period.objects != nil { // it is the scenario's own doing
				w.period.objects[changes[i].ID] = r.Version
			}
		}
		return err
	})
}
