package scenario

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// TestAnythingMayHappen has random uploads meet a target that fails in every way, power failures, pauses and time, and
// compares what comes of it with a model of a few lines: the directory shows what was sent last of each person.
func TestAnythingMayHappen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		defer w.close()
		m, err := newModel(w)
		for i := 0; i < 12 && err == nil; i++ {
			err = m.act(rt)
		}
		if err == nil {
			err = m.settle()
		}
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// model is what everybody should be: an attribute's value is that of the latest record that brought it.
type model struct {
	*world
	hr, org *job
	people  map[string]map[string]string // by anchor and attribute of HR's records
	org2    map[string]string            // departments of Org's records
}

func newModel(w *world) (*model, error) {
	m := &model{world: w, people: map[string]map[string]string{}, org2: map[string]string{}}
	if err := w.addJob("HR", nil); err != nil {
		return nil, err
	}
	schema, _ := mapping.Template("API2AAD")
	om := &schema.Rules[0].ObjectMappings[0]
	matching, _ := attributeMapping("[externalId]", "employeeId", "matching")
	department, _ := attributeMapping("[department]", "department", "")
	om.AttributeMappings = []mapping.AttributeMapping{matching, department}
	om.FlowTypes = mapping.FlowTypes{Update: true}
	if err := w.addJob("Org", schema); err != nil {
		return nil, err
	}
	m.hr, m.org = w.jobs[0], w.jobs[1]
	return m, w.begin(false)
}

// act does one thing, has the service work, and checks the books.
func (m *model) act(rt *rapid.T) error {
	var err error
	switch rapid.SampledFrom([]string{"send", "send", "send", "org", "down", "up", "half", "refuse", "kill", "kill later", "stop", "pause", "start", "pass", "again"}).Draw(rt, "act") {
	case "send":
		err = m.send(m.hr, m.draw(rt))
	case "org":
		err = m.send(m.org, m.drawOrg(rt))
	case "down":
		m.target.answer(false)
	case "up":
		m.target.answer(true)
	case "half":
		m.target.half = true
	case "refuse":
		m.target.refusals = append(m.target.refusals, &refusal{anchors: []string{anchor(rt)}, times: rapid.IntRange(1, 3).Draw(rt, "times"),
			err: provision.TargetError{Code: "Timeout", Reason: "the model refuses this change"}})
	case "kill":
		err = m.kill()
	case "kill later":
		m.killLater()
	case "stop":
		err = m.stop()
	case "pause":
		err = m.SetJobState(m.t.Context(), m.hr.pk, provision.JobPaused)
	case "start":
		err = m.SetJobState(m.t.Context(), m.hr.pk, provision.JobActive)
	case "pass":
		err = m.pass(time.Duration(rapid.IntRange(1, 100).Draw(rt, "minutes")) * time.Minute)
	case "again":
		err = m.Reevaluate(m.t.Context(), m.hr.pk)
	}
	if err == nil {
		err = m.drain()
	}
	if err == nil {
		err = m.ledger.check(m.world)
	}
	return err
}

func anchor(rt *rapid.T) string { return strconv.Itoa(rapid.IntRange(1, 5).Draw(rt, "anchor")) }

// draw makes an upload of HR, and notes what it says.
func (m *model) draw(rt *rapid.T) (ops []operation) {
	for range rapid.IntRange(1, 4).Draw(rt, "records") {
		a := anchor(rt)
		if m.people[a] == nil {
			m.people[a] = map[string]string{}
		}
		r := map[string]any{"externalId": a, "userName": "person" + a + "@old.example", "displayName": "Person " + a}
		on := rapid.Bool().Draw(rt, "active")
		r["active"], m.people[a]["accountEnabled"] = on, map[bool]string{true: "True", false: "False"}[on]
		if title := rapid.SampledFrom([]string{"", "Baker", "Cook", "Chef"}).Draw(rt, "title"); title != "" {
			r["title"], m.people[a]["jobTitle"] = title, title
		}
		if manager := rapid.SampledFrom([]string{"", "1", "2", "5"}).Draw(rt, "manager"); manager != "" {
			set(r, "manager", manager)
			m.people[a]["manager"] = manager
		}
		ops = append(ops, operation{Method: "POST", Data: r})
	}
	return ops
}

func (m *model) drawOrg(rt *rapid.T) []operation {
	r := map[string]any{"externalId": anchor(rt)}
	department := rapid.SampledFrom([]string{"Kitchen", "Sales"}).Draw(rt, "department")
	set(r, "department", department)
	m.org2[r["externalId"].(string)] = department
	return []operation{{Method: "POST", Data: r}}
}

// settle ends the trouble. Records that were refused for good are made up for by evaluating everybody again; then everybody
// is what the model says.
func (m *model) settle() error {
	m.target.answer(true)
	m.target.half, m.target.refusals, m.target.applying = false, nil, nil
	if err := m.SetJobState(m.t.Context(), m.hr.pk, provision.JobActive); err != nil {
		return err
	}
	if err := m.pass(48 * time.Hour); err != nil {
		return err
	}
	for _, j := range m.jobs {
		if err := m.Reevaluate(m.t.Context(), j.pk); err != nil {
			return err
		}
		if err := m.drain(); err != nil {
			return err
		}
		counts, err := m.counts(j.uploads)
		if err != nil {
			return err
		}
		if counts[provision.EndQueued]+counts[provision.EndHeld]+counts[provision.EndRetrying] > 0 {
			return fmt.Errorf("%s is not at rest: %v", j.name, counts)
		}
	}
	if err := m.ledger.checkAll(m.world); err != nil {
		return err
	}
	return m.compare()
}

func (m *model) compare() error {
	all, err := m.everyObject()
	if err != nil {
		return err
	}
	if len(all) != len(m.people) {
		return fmt.Errorf("the directory has %d users of %d people", len(all), len(m.people))
	}
	employee := map[string]string{}
	for i := range all {
		employee[all[i].ID] = all[i].Attributes["employeeId"].String()
	}
	for i := range all {
		a := employee[all[i].ID]
		want := map[string]string{"accountEnabled": "", "jobTitle": "", "manager": "", "department": m.org2[a]}
		for attribute, v := range m.people[a] {
			want[attribute] = v
		}
		if manager := want["manager"]; manager != "" && m.people[manager] == nil {
			delete(want, "manager") // who is not there yet is waited for, and the manager before stays
		}
		for attribute, v := range want {
			got := all[i].Attributes[attribute].String()
			if attribute == "manager" {
				got = employee[got]
			}
			if got != v {
				return fmt.Errorf("the %s of %s is %q, and %q was sent last", attribute, a, got, v)
			}
		}
	}
	return nil
}
