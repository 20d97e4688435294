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
		if v := o.Attributes[q.Attribute]; o.Deleted.IsZero() && !v.IsEmpty() && strings.EqualFold(v.String(), q.Value) {
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
	if err := admit(c, is); err != nil {
		return provision.Result{Err: err}
	}
	if c.Delete && !is.Deleted.IsZero() {
		return provision.Result{Version: is.Version, Name: name(is)}
	}
	next := &provision.Object{ID: c.ID, Attributes: map[string]expr.Value{}, Created: time.Now().UTC()}
	if is != nil {
		next = clone(is)
		next.Deleted = time.Time{}
	}
	if c.Delete {
		next.Deleted = time.Now().UTC()
	} else if err := m.set(next, c); err != nil {
		return provision.Result{Err: err}
	}
	next.Version++
	if is == nil {
		m.objects = append(m.objects, next)
	} else {
		*is = *next
	}
	return provision.Result{Version: next.Version, Name: name(next)}
}

// admit returns why a change cannot be made to an object as it is; nil if there is none yet.
func admit(c *provision.Change, is *provision.Object) *provision.TargetError {
	switch {
	case c.Create && is != nil:
		return refused("Conflict", "", "an object has the id already")
	case c.Create:
		return nil
	case is == nil:
		return refused("InvalidAnchor", "", "the object is gone")
	case c.Delete && !is.Deleted.IsZero():
		return nil
	case !c.Restore && !is.Deleted.IsZero():
		return refused("InvalidAnchor", "", "the object is in deleted items")
	case is.Version != c.Version || c.Restore && is.Deleted.IsZero():
		err := refused("Conflict", "", "the object was changed by somebody else in the meantime")
		err.Retryable = true
		return err
	}
	return nil
}

// set applies the assignments of a change to a copy of its object that is to be live, or returns why it is refused.
func (m *Memory) set(next *provision.Object, c *provision.Change) *provision.TargetError {
	for _, a := range c.Set {
		if err := m.refuse[a.Attribute]; err != nil {
			return err
		}
		if a.Value.IsEmpty() {
			delete(next.Attributes, a.Attribute)
		} else {
			next.Attributes[a.Attribute] = a.Value
		}
	}
	upn := next.Attributes["userPrincipalName"].String()
	for _, o := range m.objects {
		if o.ID != c.ID && o.Deleted.IsZero() && upn != "" && strings.EqualFold(o.Attributes["userPrincipalName"].String(), upn) {
			reason := fmt.Sprintf("another object has the userPrincipalName '%s' already", upn)
			if c.Restore {
				reason = "the object cannot be restored: " + reason
			}
			return refused("Conflict", "userPrincipalName", reason)
		}
	}
	return nil
}

// name is what a Result calls an object.
func name(o *provision.Object) string {
	if upn := o.Attributes["userPrincipalName"].String(); upn != "" {
		return upn
	}
	return o.Attributes["displayName"].String()
}

func refused(code, attribute, reason string) *provision.TargetError {
	return &provision.TargetError{Code: code, Attribute: attribute, Reason: reason, Advice: "Send the person again."}
}

var (
	_ provision.Target    = (*Memory)(nil)
	_ provision.Colocated = (*Memory)(nil)
)
