package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"induct/internal/provision"
	"induct/internal/scim"
)

// What happens: records arrive, time passes, the target misbehaves, somebody acts.
var whens = []sentence{
	{form: `{job} sends`, run: sendTable},
	{form: `{job} sends {people}( with {values})( of whom {n} have {values2})( in uploads of {n2})(, one every {time})`, run: sendPeople},
	{form: `{job} sends {anchors} again( with {values})( in uploads of {n2})(, one every {time})`, run: sendAgain},
	{form: `{job} sends a DELETE of {anchors}`, run: sendDelete},
	{form: `{job} repeats the request`, run: repeat},
	{form: `{time} pass/passes`, run: func(w *world, a args) error { return w.pass(a.duration("time")) }},
	{form: `the target does not answer`, run: func(w *world, _ args) error { w.target.answer(errUnreachable); return nil }},
	{form: `the target does not accept the credentials`, run: func(w *world, _ args) error { w.target.answer(errCredentials); return nil }},
	{form: `the target answers again`, run: func(w *world, _ args) error { w.target.answer(nil); return w.again() }},
	{form: `the target carries out half of the next batch and fails`, run: func(w *world, _ args) error { w.target.half = true; return nil }},
	{form: `the target refuses the next change of {anchors} with {word}( of {attribute})(, {how})`, run: func(w *world, a args) error { return refuse(w, a, 1) }},
	{form: `the target refuses every change of {anchors} with {word}( of {attribute})(, {how})`, run: func(w *world, a args) error { return refuse(w, a, -1) }},
	{form: `the target refuses nothing any more`, run: func(w *world, _ args) error { w.target.refusals = nil; return nil }},
	{form: `somebody sets {values} of {user}`, run: changeByHand},
	{form: `the service is restarted`, run: func(w *world, _ args) error { return w.stop() }},
	{form: `the service is killed`, run: func(w *world, _ args) error { return w.kill() }},
	{form: `the service is killed in the middle of the next batch`, run: func(w *world, _ args) error { w.killLater(1); return nil }},
	{form: `somebody deletes {user}( for good)`, run: deleteByHand},
	{form: `somebody restores {user}`, run: restoreByHand},
	{form: `{job} is paused`, run: func(w *world, a args) error { return w.steer(a, w.PauseJob) }},
	{form: `{job} is started`, run: func(w *world, a args) error { return w.steer(a, w.StartJob) }},
	{form: `{job} is disabled`, run: func(w *world, a args) error {
		return w.steer(a, func(ctx context.Context, pk int64) error { return w.SetJobState(ctx, pk, provision.JobDisabled) })
	}},
	{form: `{job} is deleted`, run: deleteJob},
	{form: `{job} is restarted( with {words})`, run: restart},
	{form: `{anchor} is disconnected( from {job})`, run: disconnect},
	{form: `{anchor} is linked to {user}( by {job})`, run: relink},
	{form: `{anchor} is provisioned on demand( by {job})`, run: onDemand},
	{form: `the administrator approves/rejects {anchors}`, run: decide},
	{form: `{job} evaluates everybody again`, run: func(w *world, a args) error { return w.steer(a, w.Reevaluate) }},
}

// sendTable sends the table, or the JSON, below the step as one upload.
func sendTable(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	var records []map[string]any
	switch {
	case strings.HasPrefix(a.json, "["):
		err = decode(a.json, &records)
	case a.json != "":
		records = make([]map[string]any, 1)
		err = decode(a.json, &records[0])
	case len(a.table) > 1:
		for _, cells := range a.table[1:] {
			record := map[string]any{}
			for i, name := range a.table[0] {
				if cells[i] != "" {
					set(record, name, value(name, cells[i]))
				}
			}
			records = append(records, record)
		}
	default:
		err = fmt.Errorf("the people are missing: a table, or JSON, below the sentence")
	}
	if err != nil {
		return err
	}
	return w.send(j, posts(records))
}

// decode reads JSON in which numbers stay as they are written.
func decode(text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

func posts(records []map[string]any) (ops []operation) {
	for _, r := range records {
		ops = append(ops, operation{Method: "POST", Data: r})
	}
	return ops
}

// value reads a cell of a table: null, true, false, "a text", JSON, or a text as it stands.
func value(name, cell string) any {
	var v any
	if name != "externalId" || cell == "null" || cell[0] == '"' {
		if strings.ContainsAny(cell[:1], `"{[tfn`) && json.Unmarshal([]byte(cell), &v) == nil {
			return v
		}
	}
	return cell
}

// inEnterprise are the attributes of the extension, which a scenario calls by their last names.
var inEnterprise = []string{"employeeNumber", "costCenter", "organization", "division", "department", "manager"}

// path returns the name that a schema has for an attribute of a scenario.
func path(name string) string {
	if slices.Contains(inEnterprise, name) {
		return scim.EnterpriseURN + ":" + name
	}
	list, rest, ok := strings.Cut(name, "[")
	if kind, sub, _ := strings.Cut(rest, "]"); ok && !strings.Contains(kind, " ") {
		if sub == "" {
			sub = ".value"
		}
		return fmt.Sprintf("%s[type eq %q]%s", list, kind, sub)
	}
	return name
}

// set puts a value into a record: name.givenName, emails[work], addresses[work].locality, department and manager.
func set(record map[string]any, name string, v any) {
	if slices.Contains(inEnterprise, name) {
		if name == "manager" && v != nil {
			v = map[string]any{"value": v}
		}
		child(record, scim.EnterpriseURN)[name] = v
		return
	}
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		child(record, name[:i])[name[i+1:]] = v
		return
	}
	if list, rest, ok := strings.Cut(name, "["); ok {
		kind, sub, _ := strings.Cut(rest, "]")
		if sub == "" {
			sub = ".value"
		}
		set(element(record, list, kind), sub[1:], v)
		return
	}
	if parent, sub, ok := strings.Cut(name, "."); ok {
		set(child(record, parent), sub, v)
		return
	}
	record[name] = v
}

func child(record map[string]any, name string) map[string]any {
	c, ok := record[name].(map[string]any)
	if !ok {
		c = map[string]any{}
		record[name] = c
	}
	return c
}

func element(record map[string]any, list, kind string) map[string]any {
	all, _ := record[list].([]any)
	for _, x := range all {
		if e, ok := x.(map[string]any); ok && e["type"] == kind {
			return e
		}
	}
	e := map[string]any{"type": kind}
	record[list] = append(all, e)
	return e
}

// assign changes a record as a sentence says.
func assign(record map[string]any, all []assignment) {
	for _, as := range all {
		if as.none {
			drop(record, as.attribute)
		} else {
			set(record, as.attribute, value(as.attribute, as.value))
		}
	}
}

func drop(record map[string]any, name string) {
	if slices.Contains(inEnterprise, name) {
		delete(child(record, scim.EnterpriseURN), name)
		return
	}
	parent, sub, nested := strings.Cut(name, ".")
	if nested {
		drop(child(record, parent), sub)
		return
	}
	delete(record, name)
}

// uploadSize is how many records an upload of many people has: the most that one on the wire may have.
const uploadSize = 50

// sendPeople sends people 1 to n, who have a name each and are active.
func sendPeople(w *world, a args) error {
	from, to := 1, 0
	if first, last, ok := strings.Cut(strings.TrimPrefix(a.values["people"], "people "), " to "); ok {
		from, to = number(first), number(last)
	} else {
		to = number(strings.TrimSuffix(a.values["people"], " people"))
	}
	all, err := a.assignments("values")
	if err != nil {
		return err
	}
	some, err := a.assignments("values2")
	if err != nil {
		return err
	}
	var records []map[string]any
	for i := from; i <= to; i++ {
		r := map[string]any{"externalId": strconv.Itoa(i), "userName": fmt.Sprintf("person%d@one.example", i), "displayName": fmt.Sprint("Person ", i), "active": true}
		assign(r, all)
		if i-from < a.count("n") {
			assign(r, some)
		}
		records = append(records, r)
	}
	return w.sendAll(a, records)
}

// sendAgain sends people once more as they were sent last.
func sendAgain(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	anchors, err := a.anchors("anchors")
	if err != nil {
		return err
	}
	change, err := a.assignments("values")
	if err != nil {
		return err
	}
	var records []map[string]any
	for _, anchor := range anchors {
		last := j.latest[anchor]
		if last == nil {
			return fmt.Errorf("%s has never been sent", anchor)
		}
		r := clone(last)
		assign(r, change)
		records = append(records, r)
	}
	return w.sendAll(a, records)
}

func clone(record map[string]any) map[string]any {
	c := maps.Clone(record)
	for k, v := range c {
		if m, ok := v.(map[string]any); ok {
			c[k] = clone(m)
		}
	}
	return c
}

// sendAll sends records in uploads, either all of them at once or with pauses in which they are worked off.
func (w *world) sendAll(a args, records []map[string]any) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	size := uploadSize
	switch {
	case a.has("n2"):
		size = a.count("n2")
	case a.has("time"):
		size = 1
	}
	first := true
	for part := range slices.Chunk(records, size) {
		if a.has("time") && !first {
			if err := w.pass(a.duration("time")); err != nil {
				return err
			}
		}
		first = false
		if err := w.send(j, posts(part)); err != nil {
			return err
		}
		if a.has("time") {
			if err := w.drain(); err != nil {
				return err
			}
		}
	}
	return nil
}

// repeat sends a job's latest upload once more, with the same client-request-id.
func repeat(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	if len(j.uploads) == 0 {
		return fmt.Errorf("%s has sent nothing", j.name)
	}
	u := *j.uploads[len(j.uploads)-1]
	u.ends, u.cycle, u.settled = make([]provision.End, len(u.operations)), 0, false
	return w.accept(&u)
}

func sendDelete(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	anchors, err := a.anchors("anchors")
	var ops []operation
	for _, anchor := range anchors {
		ops = append(ops, operation{Method: "DELETE", Data: map[string]any{"externalId": anchor}})
	}
	if err != nil {
		return err
	}
	return w.send(j, ops)
}

// answer says what every call of the target fails with; nil: none does.
func (m *misbehaving) answer(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = err
}

// again waits as long as the engine does before it asks a target once more that has not answered.
func (w *world) again() error {
	if w.work == nil {
		return nil
	}
	return w.pass(time.Minute)
}

func refuse(w *world, a args, times int) error {
	r := &refusal{times: times, err: provision.TargetError{Code: a.text("word"), Attribute: a.text("attribute"), Reason: "the scenario refuses this change",
		Advice: "Wait.", Retryable: a.values["how"] == "for now", Separable: a.values["how"] == "alone"}}
	var err error
	if r.anchors, err = a.anchors("anchors"); slices.Equal(r.anchors, []string{"everybody"}) {
		r.anchors = nil
	}
	if times > 0 {
		r.times = times * max(1, len(r.anchors))
	}
	w.target.refusals = append(w.target.refusals, r)
	return err
}

func changeByHand(w *world, a args) error {
	o, err := w.object(a.values["user"])
	if err != nil {
		return err
	}
	if o == nil {
		return fmt.Errorf("there is no user %s", a.values["user"])
	}
	all, err := a.assignments("values")
	if err != nil {
		return err
	}
	c := provision.Change{ID: o.ID, Version: o.Version}
	for _, as := range all {
		v := provision.Assignment{Attribute: as.attribute}
		if !as.none {
			v.Value = targetValue(as.attribute, as.value)
		}
		c.Set = append(c.Set, v)
	}
	return w.byHand(c)
}

// administrator is who acts when a scenario does not say who does.
var administrator = provision.Actor{Kind: provision.ActorUser, ID: "7b1c2f2e-58b4-4a07-9c12-0f4ad9d0a6c3", Name: "the administrator"}

// steer does something to the step's job in the administrator's name.
func (w *world) steer(a args, do func(ctx context.Context, pk int64) error) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	return do(provision.WithActor(w.t.Context(), administrator), j.pk)
}

var resetScopes = map[string]provision.ResetScope{"ConnectorDataStore": provision.ResetConnectorDataStore, "Escrows": provision.ResetEscrows,
	"Watermark": provision.ResetWatermark, "QuarantineState": provision.ResetQuarantineState, "Full": provision.ResetFull, "ForceDeletes": provision.ResetForceDeletes}

func restart(w *world, a args) error {
	names, err := a.list("words")
	if err != nil {
		return err
	}
	var scope provision.ResetScope
	for _, name := range names {
		flag, ok := resetScopes[name]
		if !ok {
			return fmt.Errorf("%q is no scope of a restart", name)
		}
		scope |= flag
	}
	return w.steer(a, func(ctx context.Context, pk int64) error {
		_, err := w.RestartJob(ctx, pk, scope)
		return err
	})
}

// deleteJob deletes a job; the ledger knows nothing of it from then on.
func deleteJob(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	err = w.steer(a, w.DeleteJob)
	w.jobs = slices.DeleteFunc(w.jobs, func(o *job) bool { return o == j })
	return err
}

func disconnect(w *world, a args) error {
	return w.steer(a, func(ctx context.Context, pk int64) error { return w.Disconnect(ctx, pk, a.text("anchor")) })
}

func relink(w *world, a args) error {
	o, err := w.object(a.values["user"])
	if err != nil {
		return err
	}
	if o == nil {
		return fmt.Errorf("there is no user %s", a.values["user"])
	}
	return w.steer(a, func(ctx context.Context, pk int64) error { return w.Relink(ctx, pk, a.text("anchor"), o.ID) })
}

func onDemand(w *world, a args) error {
	return w.steer(a, func(ctx context.Context, pk int64) error {
		_, err := w.ProvisionOnDemand(ctx, pk, a.text("anchor"))
		return err
	})
}

// decide approves or rejects what is held of people; "everything" is of everybody.
func decide(w *world, a args) error {
	anchors, err := a.anchors("anchors")
	if err != nil {
		return err
	}
	if a.values["anchors"] == "everything" {
		anchors = nil
	}
	return w.steer(a, func(ctx context.Context, pk int64) error {
		_, err := w.Decide(ctx, pk, strings.HasPrefix(a.step.text, "the administrator approves"), anchors)
		return err
	})
}

// deleteByHand moves a user to deleted items, or takes one away for good.
func deleteByHand(w *world, a args) error {
	upn, ctx := a.values["user"], w.t.Context()
	o, err := w.object(upn)
	if err != nil {
		return err
	}
	if o != nil {
		w.deleted[upn] = o.ID
		err = w.users.Delete(ctx, o.ID)
		w.own(o.ID, 0)
	}
	if err == nil && strings.HasSuffix(a.step.text, " for good") {
		err = w.users.DeleteForever(ctx, w.deleted[upn])
	}
	return err
}

func restoreByHand(w *world, a args) error {
	o, err := w.users.Restore(w.t.Context(), w.deleted[a.values["user"]], "")
	if err == nil {
		w.own(o.ID, o.Version)
	}
	return err
}
