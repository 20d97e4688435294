package sqlstore

import (
	"context"
	"errors"
	"time"

	"induct/internal/provision"
)

// A replica can be heard of and still get nothing done: a network may pass a heartbeat and no batch. It would keep lanes that it
// does not serve. So one whose steps of a job have failed for a lease, because the database did not answer, while its heartbeats
// came through, stands aside: it gives its lanes to the others, and takes its share again after a while.

// asideFor is how many leases a replica stands aside.
const asideFor = 3

// note takes how a step of a job has ended.
func (r *replica) note(job int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		delete(r.failing, job)
	case errors.Is(err, provision.ErrUnavailable) && r.failing[job].IsZero():
		if r.failing == nil {
			r.failing = map[int64]time.Time{}
		}
		r.failing[job] = time.Now()
	}
}

// stuck reports whether the steps of a job have failed for a lease.
func (r *replica) stuck() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, since := range r.failing {
		if time.Since(since) >= r.lease {
			return true
		}
	}
	return false
}

// isAside reports whether the replica stands aside.
func (r *replica) isAside() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.aside)
}

// standAside gives the lanes to the others; the first heartbeat after that is one of a new replica.
func (r *replica) standAside(ctx context.Context) error {
	id := r.id()
	err := r.p.write(ctx, func(c Conn) error { return query(c, "DELETE FROM replica WHERE pk = ?1", []any{id}, nil) })
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beat, r.aside, r.failing = time.Time{}, time.Now().Add(asideFor*r.lease), nil
	return nil
}
