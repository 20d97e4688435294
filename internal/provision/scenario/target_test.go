package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"induct/internal/directory"
	"induct/internal/provision"
)

// What each call of a target fails with that does not answer, or does not let the service in.
var (
	errUnreachable = errors.New("the target cannot be reached")
	errCredentials = fmt.Errorf("%w: %w", errUnreachable, provision.ErrCredentials)
)

// misbehaving is the built-in directory, which can be told not to answer, or to refuse.
type misbehaving struct {
	users *directory.Directory

	mu       sync.Mutex
	down     error // that every call fails with; nil: the target answers
	half     bool  // the next batch of changes is carried out half, and then the call fails
	refusals []*refusal
	called   func(applies bool) error // asked at each call whether it fails; nil: it does not
}

// call is the beginning of each call.
func (m *misbehaving) call(applies bool) error {
	if m.down == nil && m.called != nil {
		return m.called(applies)
	}
	return m.down
}

// nthCall has blow decide about the n-th call from now on, and no other. With apply only those that write count.
func (m *misbehaving) nthCall(n int, apply bool, blow func() error) {
	m.called = func(applies bool) error {
		if applies || !apply {
			n--
		}
		if n > 0 || apply && !applies {
			return nil
		}
		m.called = nil
		return blow()
	}
}

// refusal is a change that is refused.
type refusal struct {
	anchors []string // of the people whose changes are refused; nil: everybody's
	times   int      // how often; negative: until further notice
	err     provision.TargetError
}

// In implements provision.Colocated.
func (m *misbehaving) In(u provision.Unit) provision.Target {
	return &misbehavingUnit{m, m.users.In(u)}
}

type misbehavingUnit struct {
	*misbehaving
	real provision.Target
}

// Find implements provision.Target.
func (t *misbehavingUnit) Find(ctx context.Context, queries []provision.Query) ([]provision.Found, error) {
	if len(queries) == 0 {
		return nil, nil
	}
	t.mu.Lock()
	err := t.call(false)
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return t.real.Find(ctx, queries)
}

// Apply implements provision.Target. What is refused does not reach the directory.
func (t *misbehavingUnit) Apply(ctx context.Context, changes []provision.Change) ([]provision.Result, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.call(true); err != nil {
		return nil, err
	}
	if t.half {
		t.half = false
		if _, err := t.real.Apply(ctx, changes[:(len(changes)+1)/2]); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("after half of %d changes: %w", len(changes), errUnreachable)
	}
	if len(t.refusals) == 0 {
		return t.real.Apply(ctx, changes)
	}
	return t.applySome(ctx, changes)
}

func (t *misbehavingUnit) applySome(ctx context.Context, changes []provision.Change) ([]provision.Result, error) {
	results := make([]provision.Result, len(changes))
	var passed []provision.Change
	var at []int
	for i, c := range changes {
		e, err := t.refuses(ctx, c)
		if err != nil {
			return nil, err
		}
		if results[i].Err = e; e == nil {
			passed, at = append(passed, c), append(at, i)
		}
	}
	answers, err := t.real.Apply(ctx, passed)
	for i, a := range answers {
		results[at[i]] = a
	}
	return results, err
}

// refuses returns why a change is refused, nil if it is not. A refusal of an attribute concerns the changes that set it.
func (t *misbehavingUnit) refuses(ctx context.Context, c provision.Change) (*provision.TargetError, error) {
	anchor, err := t.employee(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, r := range t.refusals {
		sets := func(a provision.Assignment) bool { return a.Attribute == r.err.Attribute }
		switch {
		case r.times == 0, r.anchors != nil && !slices.Contains(r.anchors, anchor):
		case r.err.Attribute != "" && !slices.ContainsFunc(c.Set, sets):
		default:
			r.times--
			e := r.err
			return &e, nil
		}
	}
	return nil, nil
}

// employee returns the employeeId of the object of a change: by the default mapping, the person's externalId.
func (t *misbehavingUnit) employee(ctx context.Context, c provision.Change) (string, error) {
	for _, a := range c.Set {
		if a.Attribute == "employeeId" {
			return a.Value.String(), nil
		}
	}
	if c.Create {
		return "", nil
	}
	found, err := t.real.Find(ctx, []provision.Query{{ID: c.ID}})
	if err != nil || found[0].Object == nil {
		return "", err
	}
	return found[0].Object.Attributes["employeeId"].String(), nil
}
