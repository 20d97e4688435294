package provisiontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"induct/internal/expr"
	"induct/internal/provision"
)

// ErrUnreachable is what the calls of a Memory fail with that Unreachable has doomed.
var ErrUnreachable = errors.New("the target cannot be reached")

// Memory is a provision.Target in memory. As a Colocated target it is its own view in every Unit, but a Unit that
// is rolled back does not undo what was applied: it is a directory elsewhere. It is safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	objects []*provision.Object // in the order of creation
	fail    int
	refuse  map[string]*provision.TargetError
}

// NewMemory returns a target without objects.
func NewMemory() *Memory { return &Memory{refuse: map[string]*provision.TargetError{}} }

// Unreachable makes the next n calls fail with ErrUnreachable, without effect.
func (m *Memory) Unreachable(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = n
}

// Refuse makes the target refuse each change that sets attribute with err; nil makes it accept them again.
func (m *Memory) Refuse(attribute string, err *provision.TargetError) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.refuse, attribute)
		return
	}
	m.refuse[attribute] = err
}

// In implements provision.Colocated.
func (m *Memory) In(provision.Unit) provision.Target { return m }

// Find implements provision.Target.
func (m *Memory) Find(ctx context.Context, queries []provision.Query) ([]provision.Found, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.reach(ctx); err != nil {
		return nil, err
	}
	answers := make([]provision.Found, len(queries))
	for i, q := range queries {
		answers[i] = m.find(q)
	}
	return answers, nil
}

// reach fails if the call is to fail.
func (m *Memory) reach(ctx context.Context) error {
	if m.fail > 0 {
		m.fail--
		return ErrUnreachable
	}
	return ctx.Err()
}

func (m *Memory) find(q provision.Query) provision.Found {
	if q.ID != "" {
		o := m.byID(q.ID)
		switch {
		case o == nil:
			return provision.Found{}
		case q.Version != 0 && q.Version == o.Version:
			return provision.Found{Same: true}
		}
		return provision.Found{Object: clone(o)}
	}
	var found []*provision.Object
	for _, o := range m.objects {
		if v := o.Attributes[q.Attribute]; !v.IsEmpty() && strings.EqualFold(v.String(), q.Value) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 0:
		return provision.Found{}
	case 1:
		return provision.Found{Object: clone(found[0])}
	}
	var ids []string
	for _, o := range found {
		ids = append(ids, o.ID)
	}
	return provision.Found{Ambiguous: ids}
}

func (m *Memory) byID(id string) *provision.Object {
	for _, o := range m.objects {
		if o.ID == id {
			return o
		}
	}
	return nil
}

func clone(o *provision.Object) *provision.Object {
	c := *o
	c.Attributes = maps.Clone(o.Attributes)
	return &c
}

// Apply implements provision.Target.
func (m *Memory) Apply(ctx context.Context, changes []provision.Change) ([]provision.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.reach(ctx); err != nil {
		return nil, err
	}
	results := make([]provision.Result, len(changes))
	for i := range changes {
		results[i] = m.apply(&changes[i])
	}
	return results, nil
}

func (m *Memory) apply(c *provision.Change) provision.Result {
	is := m.byID(c.ID)
	next := &provision.Object{ID: c.ID, Attributes: map[string]expr.Value{}, Created: time.Now().UTC()}
	switch {
	case c.Create && is != nil:
		return refused("Conflict", "", "an object has the id already")
	case !c.Create && is == nil:
		return refused("InvalidAnchor", "", "the object is gone")
	case !c.Create && is.Version != c.Version:
		return refused("Conflict", "", "the object was changed by somebody else in the meantime")
	case !c.Create:
		next = clone(is)
	}
	for _, a := range c.Set {
		if err := m.refuse[a.Attribute]; err != nil {
			return provision.Result{Err: err}
		}
		if a.Value.IsEmpty() {
			delete(next.Attributes, a.Attribute)
		} else {
			next.Attributes[a.Attribute] = a.Value
		}
	}
	upn := next.Attributes["userPrincipalName"].String()
	for _, o := range m.objects {
		if o.ID != c.ID && upn != "" && strings.EqualFold(o.Attributes["userPrincipalName"].String(), upn) {
			return refused("Conflict", "userPrincipalName", fmt.Sprintf("another object has the userPrincipalName '%s' already", upn))
		}
	}
	next.Version++
	if is == nil {
		m.objects = append(m.objects, next)
	} else {
		*is = *next
	}
	name := upn
	if name == "" {
		name = next.Attributes["displayName"].String()
	}
	return provision.Result{Version: next.Version, Name: name}
}

func refused(code, attribute, reason string) provision.Result {
	return provision.Result{Err: &provision.TargetError{Code: code, Attribute: attribute, Reason: reason, Advice: "Send the person again."}}
}

var (
	_ provision.Target    = (*Memory)(nil)
	_ provision.Colocated = (*Memory)(nil)
)
