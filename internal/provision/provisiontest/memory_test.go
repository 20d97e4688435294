package provisiontest

import (
	"errors"
	"testing"

	"induct/internal/provision"
)

func TestMemory(t *testing.T) {
	TestTarget(t, func(*testing.T) provision.Target { return NewMemory() })
}

func TestMemoryMisbehaves(t *testing.T) {
	m := NewMemory()
	m.Unreachable(2)
	if _, err := m.Apply(t.Context(), []provision.Change{user("ada")}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Apply: %v", err)
	}
	if _, err := m.Find(t.Context(), nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Find: %v", err)
	}
	m.Refuse("city", &provision.TargetError{Code: "UnprocessableEntity", Attribute: "city", Reason: "no", Advice: "none"})
	rs, err := m.Apply(t.Context(), []provision.Change{user("ada", set("city", "Bergen")), user("bo")})
	if err != nil || rs[0].Err == nil || rs[0].Err.Attribute != "city" || rs[1].Err != nil {
		t.Errorf("%+v, %v", rs, err)
	}
	m.Refuse("city", nil)
	if rs, err = m.Apply(t.Context(), []provision.Change{user("ada", set("city", "Bergen"))}); err != nil || rs[0].Err != nil {
		t.Errorf("%+v, %v", rs, err)
	}
}
