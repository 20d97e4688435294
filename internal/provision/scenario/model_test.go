package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// TestAnythingMayHappen has random uploads meet a target that fails in every way, power failures, pauses, restarts, verdicts,
// rivals that come first, and time. Whatever happens, the books balance and the brake holds; and when all trouble is over the directory shows what was
// sent last of each person.
func TestAnythingMayHappen(t *testing.T) {
	t.Parallel()
	for _, place := range sites {
		if place.share == 1 || everything() {
			t.Run(place.name, func(t *testing.T) { anything(t, place.build) })
		}
	}
}

func anything(t *testing.T, build func(testing.TB) site) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, build)
		defer w.close()
		if seed := rapid.Uint64().Draw(rt, "rivals"); seed%2 == 1 {
			w.rivals = rand.New(rand.NewPCG(seed, 0))
		}
		m, err := newModel(w, rapid.SampledFrom([]provision.LeaveAction{provision.LeaveDisable, provision.LeaveDelete, provision.LeaveAlone}).Draw(rt, "leave"))
		for i := 0; i < 15 && err == nil; i++ {
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

// model drives a world of five people and two jobs: HR makes the accounts, Org writes their departments.
type model struct {
	*world
	ctx      context.Context
	hr, org  *job
	leave    provision.LeaveAction
	upper    bool            // titles are mapped to capital letters
	unlinked bool            // links have been reset
	trashed  bool            // accounts have been deleted by hand
	approved map[string]bool // people whose held changes were approved, or who were provisioned on demand: the brake does not count them
	seq      int64           // of the newest entry that the brake was held against
	effects  []time.Time     // disables and deletions of HR on nobody's order

	quarantine *provision.Quarantine // of HR, when that was looked at last
}

// limit is HR's DeleteThreshold.
const limit = 1

func newModel(w *world, leave provision.LeaveAction) (*model, error) {
	m := &model{world: w, leave: leave, ctx: provision.WithActor(w.t.Context(), administrator), approved: map[string]bool{}}
	schema, _ := mapping.Template("API2AAD")
	schema.Rules[0].ObjectMappings[0].Scope = &mapping.Filter{Groups: []mapping.FilterGroup{{Name: "Staff",
		Clauses: []mapping.Clause{{SourceOperandName: "userType", OperatorName: "EQUALS", Values: []string{"Staff"}}}}}}
	if err := w.addJob("HR", schema); err != nil {
		return nil, err
	}
	schema, _ = mapping.Template("API2AAD")
	om := &schema.Rules[0].ObjectMappings[0]
	matching, _ := attributeMapping("[externalId]", "employeeId", "matching")
	department, _ := attributeMapping("[department]", "department", "")
	om.AttributeMappings = []mapping.AttributeMapping{matching, department}
	om.FlowTypes = mapping.FlowTypes{Update: true}
	if err := w.addJob("Org", schema); err != nil {
		return nil, err
	}
	m.hr, m.org = w.jobs[0], w.jobs[1]
	threshold := int64(limit)
	return m, errors.Join(w.SetSettings(m.ctx, m.hr.pk, provision.JobSettings{DeleteThreshold: &threshold, Leave: leave}), w.begin(false))
}

// acts are what may happen, each as often as it stands here.
var acts = []string{"send", "send", "send", "send", "org", "down", "up", "up", "half", "refuse", "refuse for now", "refuse alone", "kill", "kill later", "kill later", "fail later", "fail later", "map", "stop",
	"pause", "start", "start", "pass", "pass", "again", "restart", "approve", "reject", "on demand", "delete by hand"}

// act does one thing, has the service work, and checks the books.
func (m *model) act(rt *rapid.T) error {
	err := m.do(rt, rapid.SampledFrom(acts).Draw(rt, "act"))
	if err == nil {
		err = m.drain()
	}
	if err == nil {
		err = m.ledger.check(m.world)
	}
	if err == nil {
		err = m.brake()
	}
	return err
}

func (m *model) do(rt *rapid.T, act string) error {
	switch act {
	case "send":
		return m.send(m.hr, draw(rt))
	case "org":
		if m.leave == provision.LeaveDelete { // another job's record would bring back whom HR has deleted
			return nil
		}
		r := map[string]any{"externalId": anchor(rt)}
		set(r, "department", rapid.SampledFrom([]string{"Kitchen", "Sales"}).Draw(rt, "department"))
		return m.send(m.org, posts([]map[string]any{r}))
	case "down":
		m.target.answer(errUnreachable)
	case "up":
		m.target.answer(nil)
	case "half":
		m.target.half = true
	case "refuse", "refuse for now", "refuse alone":
		m.target.refusals = append(m.target.refusals, &refusal{anchors: []string{anchor(rt)}, times: rapid.IntRange(1, 3).Draw(rt, "times"), err: refusals[act]})
	case "kill":
		return m.kill()
	case "kill later":
		m.killLater(rapid.IntRange(1, 4).Draw(rt, "call"))
	case "fail later":
		m.target.nthCall(rapid.IntRange(1, 8).Draw(rt, "call"), false, func() error { return errUnreachable })
	case "map":
		return m.mapTitle()
	case "stop":
		return m.stop()
	case "pause":
		return m.PauseJob(m.ctx, m.hr.pk)
	case "start":
		return m.StartJob(m.ctx, m.hr.pk)
	case "pass":
		return m.pass(time.Duration(rapid.SampledFrom([]int{1, 10, 45, 400}).Draw(rt, "minutes")) * time.Minute)
	case "again":
		return m.Reevaluate(m.ctx, m.hr.pk)
	case "restart":
		scope := provision.ResetScope(rapid.IntRange(0, int(provision.ResetFull)).Draw(rt, "scope"))
		if m.trashed { // who is not linked to an account in deleted items gets a new one, and Org's link would lead to the old one
			scope &^= provision.ResetConnectorDataStore
		}
		m.unlinked = m.unlinked || scope&provision.ResetConnectorDataStore != 0
		_, err := m.RestartJob(m.ctx, m.hr.pk, scope)
		if scope&provision.ResetQuarantineState != 0 {
			m.effects = nil
		}
		return err
	case "approve", "reject":
		return m.decide(act == "approve", anchor(rt))
	case "on demand":
		a := anchor(rt)
		m.approved[a] = true
		_, err := m.ProvisionOnDemand(m.ctx, m.hr.pk, a)
		if errors.Is(err, provision.ErrNotFound) || errors.Is(err, errUnreachable) {
			return nil
		}
		return err
	case "delete by hand":
		o, err := m.object("person" + anchor(rt) + "@one.example")
		if err != nil || o == nil || m.unlinked {
			return err
		}
		m.trashed = true
		return m.users.Delete(m.ctx, o.ID)
	}
	return nil
}

// mapTitle changes the mapping of titles.
func (m *model) mapTitle() error {
	m.upper = !m.upper
	return m.edit("HR", func(om *mapping.ObjectMapping, _ *mapping.Schema) error {
		for i := range om.AttributeMappings {
			if a := &om.AttributeMappings[i]; a.TargetAttributeName == "jobTitle" {
				a.Expression = map[bool]string{false: "[title]", true: "ToUpper([title])"}[m.upper]
			}
		}
		return nil
	})
}

var refusals = map[string]provision.TargetError{
	"refuse":         {Code: "InsufficientRights", Reason: "the model refuses this change"},
	"refuse for now": {Code: "Timeout", Reason: "the model refuses this change", Retryable: true},
	"refuse alone":   {Code: "UnprocessableEntity", Attribute: "jobTitle", Reason: "the model refuses this value", Separable: true},
}

func anchor(rt *rapid.T) string { return strconv.Itoa(rapid.IntRange(1, 5).Draw(rt, "anchor")) }

// draw makes an upload of HR.
func draw(rt *rapid.T) []operation {
	var records []map[string]any
	for range rapid.IntRange(1, 4).Draw(rt, "records") {
		a := anchor(rt)
		r := map[string]any{"externalId": a, "userName": "person" + a + "@old.example", "displayName": "Person " + a, "active": rapid.IntRange(0, 2).Draw(rt, "active") > 0}
		if title := rapid.SampledFrom([]string{"", "Baker", "Cook", "Chef"}).Draw(rt, "title"); title != "" {
			r["title"] = title
		}
		if kind := rapid.SampledFrom([]string{"Staff", "Staff", "Staff", "", "Guest"}).Draw(rt, "userType"); kind != "" {
			r["userType"] = kind
		}
		if manager := rapid.SampledFrom([]string{"", "1", "2", "5"}).Draw(rt, "manager"); manager != "" {
			set(r, "manager", manager)
		}
		records = append(records, r)
	}
	return posts(records)
}

func (m *model) decide(approve bool, anchor string) error {
	_, err := m.Decide(m.ctx, m.hr.pk, approve, []string{anchor})
	if errors.Is(err, provision.ErrNotFound) {
		return nil
	}
	m.approved[anchor] = m.approved[anchor] || approve
	return err
}

// brake counts the disables and deletions that nobody has ordered: within 40 minutes they are never more than the limit. The
// count begins anew when somebody has ended a quarantine.
func (m *model) brake() error {
	st, err := m.JobStatus(m.ctx, m.hr.pk)
	if err != nil {
		return err
	}
	if q := st.Condition.Quarantine; m.quarantine != nil && (q == nil || !q.SeriesBegan.Equal(m.quarantine.SeriesBegan)) {
		m.effects = nil
	}
	m.quarantine = st.Condition.Quarantine
	entries, err := m.entries(provision.LogQuery{JobPK: m.hr.pk, After: m.seq})
	if err != nil {
		return err
	}
	for _, e := range entries {
		m.seq = e.Seq
		if (e.Action == provision.ActionDisable || e.Action == provision.ActionDelete) && e.Status == provision.StatusSuccess && !m.approved[e.Anchor] {
			m.effects = append(m.effects, e.Time)
		}
	}
	for i, at := range m.effects {
		if i >= limit && at.Sub(m.effects[i-limit]) < provision.DefaultInterval {
			return fmt.Errorf("%d disables within %s, and the limit is %d", limit+1, at.Sub(m.effects[i-limit]), limit)
		}
	}
	return nil
}

// settle ends the trouble: everything works, everything held is approved, and everybody is evaluated again, which makes up
// for what was refused for good, rejected or purged. Then nothing waits, and everybody is what was sent last.
func (m *model) settle() error {
	m.target.answer(nil)
	m.target.half, m.target.refusals, m.target.called = false, nil, nil
	for range 2 {
		if _, err := m.RestartJob(m.ctx, m.hr.pk, provision.ResetQuarantineState|provision.ResetForceDeletes); err != nil {
			return err
		}
		if err := m.pass(48 * time.Hour); err != nil {
			return err
		}
		for _, j := range m.jobs {
			if err := errors.Join(m.Reevaluate(m.ctx, j.pk), m.drain()); err != nil {
				return err
			}
		}
		if _, err := m.Decide(m.ctx, m.hr.pk, true, nil); err != nil {
			return err
		}
		if err := m.pass(48 * time.Hour); err != nil {
			return err
		}
		if err := m.askForRejected(); err != nil {
			return err
		}
	}
	for _, j := range m.jobs {
		st, err := m.JobStatus(m.ctx, j.pk)
		if err != nil {
			return err
		}
		if st.Queued+st.Held+st.Retrying+st.Staged > 0 || st.Condition.Quarantine != nil {
			return fmt.Errorf("%s is not at rest: %+v", j.name, st)
		}
	}
	if err := m.ledger.checkAll(m.world); err != nil {
		return err
	}
	return m.compare()
}

// askForRejected carries out what somebody has rejected, and brings back whom somebody has deleted, which no re-evaluation does.
func (m *model) askForRejected() error {
	people, err := m.Connections(m.ctx, m.hr.pk, 0, 1000)
	for _, p := range people {
		if p.Pending == provision.PendingRejected || m.trashed {
			_, asked := m.ProvisionOnDemand(m.ctx, m.hr.pk, p.Anchor)
			err = errors.Join(err, asked)
		}
	}
	return err
}

// wanted is what everybody should be: each attribute as the latest record brought it, of those that were not purged from the queue.
func (m *model) wanted(j *job) (map[string]map[string]any, error) {
	people := map[string]map[string]any{}
	for _, u := range j.uploads {
		st, err := m.Upload(m.ctx, j.pk, u.ID)
		if err != nil {
			return nil, err
		}
		if st.Purge != nil {
			continue
		}
		for _, op := range u.operations {
			var r map[string]any
			if err := json.Unmarshal(op.Data, &r); err != nil {
				return nil, err
			}
			if people[op.Anchor] == nil {
				people[op.Anchor] = map[string]any{}
			}
			extension, _ := r["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"].(map[string]any)
			maps.Copy(people[op.Anchor], extension)
			maps.Copy(people[op.Anchor], r)
		}
	}
	return people, nil
}

func (m *model) compare() error {
	people, err := m.wanted(m.hr)
	if err != nil {
		return err
	}
	org, err := m.wanted(m.org)
	if err != nil {
		return err
	}
	all, err := m.everyObject()
	if err != nil {
		return err
	}
	employee, users := map[string]string{}, map[string]int{}
	for i := range all {
		a := all[i].Attributes["employeeId"].String()
		employee[all[i].ID] = a
		users[a]++
	}
	staff := func(a string) bool { return people[a] != nil && people[a]["userType"] == "Staff" }
	for a := range people {
		if users[a] > 1 || users[a] == 0 && staff(a) {
			return fmt.Errorf("the directory has %d users of %s", users[a], a)
		}
	}
	for i := range all {
		a := employee[all[i].ID]
		if people[a] == nil {
			return fmt.Errorf("nobody is %q", a)
		}
		if !staff(a) { // they have left, unless the job has forgotten by then that the account is theirs
			on := all[i].Attributes["accountEnabled"].String() == "True"
			if !m.unlinked && (m.leave == provision.LeaveDelete || m.leave == provision.LeaveDisable && on) {
				return fmt.Errorf("%s has left the scope, and has an account still", a)
			}
			continue
		}
		want := map[string]string{"accountEnabled": map[any]string{true: "True", false: "False"}[people[a]["active"]], "jobTitle": text(people[a]["title"]),
			"department": text(org[a]["department"])}
		if m.upper {
			want["jobTitle"] = strings.ToUpper(want["jobTitle"])
		}
		// A manager who is not there yet is waited for, and the one before stays.
		if ref, ok := people[a]["manager"].(map[string]any); !ok {
			want["manager"] = ""
		} else if id := text(ref["value"]); staff(id) {
			want["manager"] = id
		}
		for _, attribute := range slices.Sorted(maps.Keys(want)) {
			got := all[i].Attributes[attribute].String()
			if attribute == "manager" {
				got = employee[got]
			}
			if got != want[attribute] {
				return fmt.Errorf("the %s of %s is %q, and %q was sent last", attribute, a, got, want[attribute])
			}
		}
	}
	return nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
