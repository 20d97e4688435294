package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// accepter stores uploads on PostgreSQL: those that wait share a transaction, as pieces of work do in the writer of SQLite.
type accepter struct {
	p    *postgres
	in   chan *accepting
	quit chan struct{}
	done chan struct{}
}

// accepting is an upload that waits to be stored.
type accepting struct {
	upload provision.Upload
	id     uuid.UUID
	body   []byte
	limit  int64
	result provision.Accepted
	err    error
	done   chan struct{}
}

func startAccepter(p *postgres) *accepter {
	a := &accepter{p: p, in: make(chan *accepting, maxGroup), quit: make(chan struct{}), done: make(chan struct{})}
	go a.run()
	return a
}

func (a *accepter) accept(ctx context.Context, k *accepting) (provision.Accepted, error) {
	k.done = make(chan struct{})
	select {
	case a.in <- k:
	case <-ctx.Done():
		return provision.Accepted{}, ctx.Err()
	case <-a.quit:
		return provision.Accepted{}, errClosed
	}
	select {
	case <-k.done:
		return k.result, k.err
	case <-a.done:
		select {
		case <-k.done:
			return k.result, k.err
		default:
			return provision.Accepted{}, errClosed
		}
	}
}

func (a *accepter) stop() {
	close(a.quit)
	<-a.done
}

func (a *accepter) run() {
	defer close(a.done)
	for {
		select {
		case k := <-a.in:
			a.store(a.gather(k))
		case <-a.quit:
			for {
				select {
				case k := <-a.in:
					a.store(a.gather(k))
				default:
					return
				}
			}
		}
	}
}

func (a *accepter) gather(first *accepting) []*accepting {
	group := []*accepting{first}
	for len(group) < maxGroup {
		select {
		case k := <-a.in:
			group = append(group, k)
		default:
			return group
		}
	}
	return group
}

// store stores a group in one transaction, the jobs in the order that everybody takes them in.
func (a *accepter) store(group []*accepting) {
	slices.SortStableFunc(group, func(x, y *accepting) int { return int(x.upload.Job.PK - y.upload.Job.PK) })
	ctx, cancel := context.WithTimeout(context.Background(), unitTimeout)
	defer cancel()
	err := a.p.write(ctx, func(c Conn) error {
		for from := 0; from < len(group); {
			to := from + 1
			for to < len(group) && group[to].upload.Job.PK == group[from].upload.Job.PK {
				to++
			}
			if err := acceptAll(c, group[from].upload.Job.PK, group[from:to]); err != nil {
				return err
			}
			from = to
		}
		return nil
	})
	for _, k := range group {
		if err != nil {
			k.err = err
		}
		close(k.done)
	}
}

// acceptAll stores uploads of one job. Its row is locked first, so that numbers have the order of commits and a replay is seen.
func acceptAll(c Conn, job int64, group []*accepting) error {
	next, room, found := int64(0), int64(0), false
	err := query(c, "SELECT j.next, j.accepted - p.taken, j.state FROM job j JOIN progress p ON p.job = j.pk WHERE j.pk = ?1 /*FOR UPDATE OF j*/", []any{job}, func(st Row) error {
		next, room, found = st.ColumnInt64(0), st.ColumnInt64(1), provision.JobState(st.ColumnText(2)) != provision.JobDeleted
		return nil
	})
	if err != nil {
		return err
	}
	queued, records, first := room, int64(0), next
	var rows []*accepting
	for _, k := range group {
		u := &k.upload
		if k.err, k.result = nil, (provision.Accepted{}); !found {
			k.err = fmt.Errorf("job %d: %w", job, provision.ErrNotFound)
			continue
		}
		if err := replayed(c, u, &k.result); err != nil {
			return err
		}
		if !k.result.Replay { // of the same group
			for _, other := range rows {
				if u.ClientRequestID != "" && other.upload.ClientRequestID == u.ClientRequestID && other.upload.BodyHash == u.BodyHash {
					k.result = other.result
					k.result.Replay = true
				}
			}
		}
		if k.result.Replay {
			continue
		}
		n := int64(len(u.Operations))
		if queued+n > k.limit {
			k.err = provision.ErrQueueFull
			continue
		}
		k.result = provision.Accepted{ID: k.id, Number: next}
		next, queued, records = next+1, queued+n, records+n
		rows = append(rows, k)
	}
	if next == first {
		return nil
	}
	errs := []error{query(c, "UPDATE job SET next = ?2, accepted = accepted + ?3 WHERE pk = ?1", []any{job, next, records}, nil)}
	for _, k := range rows {
		errs = append(errs, putUpload(c, k.upload, k.result))
	}
	for _, k := range rows {
		errs = append(errs, query(c, "INSERT INTO upload_body (job, number, body) VALUES (?1, ?2, ?3)", []any{job, k.result.Number, k.body}, nil))
	}
	return errors.Join(append(errs, notify(c, job))...)
}

// notify hints to all processes, once the transaction is durable, that there may be something to do for a job.
func notify(c Conn, job int64) error {
	return query(c, "SELECT pg_notify('induct', ?1)", []any{strconv.FormatInt(job, 10)}, nil)
}

// Wakes returns a channel of jobs for which there may be something to do that another process has made; nil if there are none.
// Hints may be lost: polling is the rule.
func (s *Store) Wakes(ctx context.Context) <-chan int64 {
	if s.pg == nil {
		return nil
	}
	jobs := make(chan int64, 64)
	go func() {
		for ctx.Err() == nil {
			if err := s.pg.listen(ctx, jobs); err != nil {
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
	}()
	return jobs
}

func (p *postgres) listen(ctx context.Context, jobs chan<- int64) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() {
		conn.Conn().Close(context.WithoutCancel(ctx)) // it listens
		conn.Release()
	}()
	if _, err := conn.Exec(ctx, "LISTEN induct"); err != nil {
		return err
	}
	for {
		n, err := conn.Conn().WaitForNotification(ctx)
		if err != nil {
			return err
		}
		job, err := strconv.ParseInt(n.Payload, 10, 64)
		if err != nil {
			continue
		}
		p.replicas.again()
		select {
		case jobs <- job:
		default:
		}
	}
}
