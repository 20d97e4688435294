package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"induct/internal/expr"
	"induct/internal/graph/syncschema"
	"induct/internal/mapping"
	"induct/internal/provision"
	"induct/internal/sqlstore"
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
	{form: `{job} has the setting {word} {rest}`, run: putSetting},
	{form: `{job} has the secret {word} {rest}`, run: putSecret},
	{form: `{user} is notified of {job}`, run: notify},
	{form: `nobody is notified of {job}`, run: notify},
	{form: `the directory has`, run: addObjects},
}

func (w *world) addJob(name string, schema *mapping.Schema) error {
	app, err := w.CreateApp(w.t.Context(), name)
	if err != nil {
		return err
	}
	stored, err := w.CreateJob(w.t.Context(), "API2AAD", app.ServicePrincipalID)
	if err != nil {
		return err
	}
	j := &job{name: name, pk: stored.PK, app: app.ServicePrincipalID, latest: map[string]map[string]any{}, secrets: map[string]string{}}
	w.jobs, w.spoken = append(w.jobs, j), j
	if schema != nil {
		if err := w.SetSchema(w.t.Context(), j.pk, schema); err != nil {
			return err
		}
	}
	if err := w.secret(j, provision.SecretNotifications, notified("it@one.example")); err != nil {
		return err
	}
	return w.StartJob(w.t.Context(), j.pk)
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
	return w.store.Write(w.t.Context(), func(u *sqlstore.Unit) error {
		results, err := w.users.In(u).Apply(w.t.Context(), changes)
		for i, r := range results {
			if r.Err != nil {
				return r.Err
			}
			w.own(changes[i].ID, r.Version)
		}
		return err
	})
}

// own notes that a change of an object is the scenario's own doing; of one that is gone the version is 0.
func (w *world) own(id string, version int64) {
	if w.period.objects == nil {
		return
	}
	if w.period.objects[id] = version; version == 0 {
		delete(w.period.objects, id)
	}
}

// notified are notification settings with these recipients.
func notified(recipients string) string {
	b, _ := json.Marshal(map[string]any{"Enabled": recipients != "", "Recipients": recipients})
	return string(b)
}

// secret gives the job's app a secret.
func (w *world) secret(j *job, key, value string) error {
	j.secrets[key] = value
	var all []provision.KeyValue
	for _, k := range slices.Sorted(maps.Keys(j.secrets)) {
		all = append(all, provision.KeyValue{Key: k, Value: j.secrets[k]})
	}
	return w.SetSecrets(w.t.Context(), j.app, all)
}

func putSecret(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	return w.secret(j, a.values["word"], a.text("rest"))
}

func notify(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	return w.secret(j, provision.SecretNotifications, notified(a.values["user"]))
}

// putSetting changes a setting of a job by the name that it has in provision.JobSettings.
func putSetting(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	stored, err := w.stored(j)
	if err != nil {
		return err
	}
	set, value := stored.Settings, a.text("rest")
	n, numeric := strconv.ParseInt(value, 10, 64)
	switch name := a.values["word"]; {
	case name == "DeleteThreshold" && numeric == nil:
		set.DeleteThreshold = &n
	case name == "DeletePercent" && numeric == nil:
		set.DeletePercent = float64(n)
	case name == "QueueRecords" && numeric == nil:
		set.QueueRecords = n
	case name == "Leave":
		set.Leave = provision.LeaveAction(value)
	case name == "RunWithoutMail":
		set.RunWithoutMail = value == "true"
	case name == "DisableMissing":
		set.DisableMissing = value == "true"
	default:
		return fmt.Errorf("no setting %s %s", name, value)
	}
	return w.SetSettings(w.t.Context(), j.pk, set)
}
