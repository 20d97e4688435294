package provision

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Record adds an entry to the audit log about what is not the engine's to do. Its ID, Time and Actor are filled in.
func (s *Service) Record(ctx context.Context, a Audit) error {
	a.ID, a.Time, a.Actor = uuid.New(), s.now(), ActorOf(ctx)
	if err := s.store.Unit(ctx, Fence{Free: true}, func(u Unit) error { return u.Audit(a) }); err != nil {
		return fmt.Errorf("record what was done: %w", err)
	}
	return nil
}
