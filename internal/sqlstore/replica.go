package sqlstore

import (
	"context"
	"errors"
	"math"
	"os"
	"sync"
	"time"

	"induct/internal/provision"
)

// replica is this process among those that share a database. It says that it is alive by the database's clock, takes
// the lanes that are its share, and gives back what is another's. Who is not heard of for a lease has lost its lanes: the next one
// who takes them raises the job's epoch, and what the other still tries to commit is fenced.
//
// A lane of a job belongs to the replica at its place among those alive, in the order of their ids: so all come to the same
// shares without talking, and each job is spread evenly.
type replica struct {
	p     *postgres
	name  string
	lease time.Duration
	quit  chan struct{}
	done  chan struct{}
	hint  chan struct{}

	mu   sync.Mutex
	self int64
	beat time.Time // by the process's clock, before the last beat was sent

	failing map[int64]time.Time // jobs whose steps fail because the database does not answer, since when
	aside   time.Time           // until when this replica stands aside
}

// observer is the id of a process that holds no lanes.
const observer = -1

const micro = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"

func joinReplicas(ctx context.Context, p *postgres, name string, lease time.Duration) (*replica, error) {
	if name == "" {
		name, _ = os.Hostname()
	}
	r := &replica{p: p, name: name, lease: lease, quit: make(chan struct{}), done: make(chan struct{}), hint: make(chan struct{}, 1)}
	if err := r.register(ctx); err != nil {
		return nil, err
	}
	if err := r.share(ctx); err != nil {
		return nil, err
	}
	go r.run()
	return r, nil
}

func (r *replica) id() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.self
}

// alive reports whether this replica has been heard of within the lease, as far as it knows.
func (r *replica) alive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.beat) < r.lease
}

func (r *replica) set(id int64, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self, r.beat = id, at
}

func (r *replica) register(ctx context.Context) error {
	at := time.Now()
	var id int64
	err := r.p.write(ctx, func(c Conn) (err error) {
		id, err = inserted(c, "INSERT INTO replica (name, began, beat) VALUES (?1, "+micro+", "+micro+") RETURNING pk", r.name)
		return err
	})
	if err == nil {
		r.set(id, at)
	}
	return err
}

// run beats and shares until the store is closed.
func (r *replica) run() {
	defer close(r.done)
	tick := time.NewTicker(r.lease / 6)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-r.quit; cancel() }()
	for {
		select {
		case <-r.quit:
			return
		case <-tick.C:
		case <-r.hint:
		}
		if r.isAside() {
			continue
		}
		bounded, stop := context.WithTimeout(ctx, r.lease)
		err := r.heartbeat(bounded)
		switch {
		case err != nil:
		case r.stuck():
			if err = r.standAside(bounded); err == nil {
				r.p.log.Warn("steps of jobs fail though the database answers heartbeats: this replica leaves its work to others for a while", "seconds", (asideFor * r.lease).Seconds())
			}
		default:
			err = r.share(bounded)
		}
		stop()
		if err != nil && ctx.Err() == nil && !errors.Is(err, errAgain) {
			r.p.log.Warn("the database does not answer this replica; others take its work over if that goes on", "error", err)
		}
	}
}

// heartbeat says that this replica is alive. One that was forgotten meanwhile begins anew.
func (r *replica) heartbeat(ctx context.Context) error {
	at, known := time.Now(), false
	id := r.id()
	err := r.p.write(ctx, func(c Conn) error {
		known = false
		return query(c, "UPDATE replica SET beat = "+micro+" WHERE pk = ?1 RETURNING pk", []any{id}, func(Row) error {
			known = true
			return nil
		})
	})
	switch {
	case err != nil:
		return err
	case !known:
		return r.register(ctx)
	}
	r.set(id, at)
	return nil
}

// shared is a job's lanes as they are held.
type sharedJob struct {
	pk    int64
	lanes []laneState
}

// share takes the lanes that are this replica's and held by nobody alive, and gives back those that are another's.
func (r *replica) share(ctx context.Context) error {
	var alive []int64
	var jobs []sharedJob
	err := r.p.read(ctx, func(c Conn) error {
		// A beat that is to come is from before the database's clock was set back: who is alive soon beats again.
		err := query(c, "SELECT pk FROM replica WHERE beat > "+micro+" - ?1 AND beat <= "+micro+" + ?1 ORDER BY pk", []any{r.lease.Microseconds()}, func(st Row) error {
			alive = append(alive, st.ColumnInt64(0))
			return nil
		})
		if err != nil {
			return err
		}
		return query(c, "SELECT job, lanes FROM progress ORDER BY job", nil, func(st Row) error {
			jobs = append(jobs, sharedJob{st.ColumnInt64(0), unpackLanes(Blob(st, 1))})
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if _, changes := r.wanted(j, alive); changes {
			if err := r.take(ctx, j.pk, alive); err != nil {
				return err
			}
		}
	}
	return r.p.write(ctx, func(c Conn) error { // those who are gone for long are forgotten
		return query(c, "DELETE FROM replica WHERE beat < "+micro+" - ?1 OR beat > "+micro+" + ?1", []any{(20 * r.lease).Microseconds()}, nil)
	})
}

// own returns the lanes of a new job: whoever makes it holds them all until others take their share.
func (r *replica) own(n int) []laneState {
	lanes := make([]laneState, n)
	for i := range lanes {
		lanes[i].owner = max(r.id(), 0)
	}
	return lanes
}

// wanted returns a job's lanes as this replica would have them, and whether they are not so.
func (r *replica) wanted(j sharedJob, alive []int64) (lanes []laneState, changes bool) {
	lanes, me := append([]laneState(nil), j.lanes...), r.id()
	isAlive := map[int64]bool{}
	for _, id := range alive {
		isAlive[id] = true
	}
	if !isAlive[me] {
		return lanes, false
	}
	for i := range lanes {
		share := alive[(i*len(alive)/len(lanes)+int(j.pk))%len(alive)]
		switch owner := lanes[i].owner; {
		case share == me && owner != me && !isAlive[owner]:
			lanes[i].owner, changes = me, true
		case share != me && owner == me:
			lanes[i].owner, changes = 0, true
		}
	}
	return lanes, changes
}

// take changes who holds the lanes of a job, as it is wanted once nobody else changes it.
func (r *replica) take(ctx context.Context, jobPK int64, alive []int64) error {
	return r.p.write(ctx, func(c Conn) error {
		j := sharedJob{pk: jobPK}
		err := query(c, "SELECT lanes FROM progress WHERE job = ?1 /*FOR UPDATE*/", []any{jobPK}, func(st Row) error {
			j.lanes = unpackLanes(Blob(st, 0))
			return nil
		})
		lanes, changes := r.wanted(j, alive)
		if err != nil || !changes {
			return err
		}
		if err := query(c, "UPDATE progress SET lanes = ?2, epoch = epoch + 1 WHERE job = ?1", []any{jobPK, packLanes(lanes)}, nil); err != nil {
			return err
		}
		return notify(c, jobPK)
	})
}

// held fills in what this process holds of a job's lanes.
func (r *replica) held(lanes []laneState, l *provision.Lane) {
	l.Held, l.Lanes, l.First, l.Position, l.To = 0, 0, false, math.MaxInt64, math.MaxInt64
	if !r.alive() {
		return
	}
	me := r.id()
	for i, s := range lanes {
		if s.owner != me {
			continue
		}
		switch l.Held |= 1 << i; {
		case s.position < l.Position:
			l.Lanes, l.Position, l.To = 1<<i, s.position, l.Position
		case s.position == l.Position:
			l.Lanes |= 1 << i
		default:
			l.To = min(l.To, s.position)
		}
	}
	l.First = l.Held.Has(0)
	if l.Held == 0 {
		l.Position = 0
	}
}

// leave gives everything back, so that others need not wait for the lease to end.
func (r *replica) leave() {
	if r.quit == nil {
		return
	}
	close(r.quit)
	<-r.done
	ctx, cancel := context.WithTimeout(context.Background(), r.lease)
	defer cancel()
	id := r.id()
	_ = r.p.write(ctx, func(c Conn) error { return query(c, "DELETE FROM replica WHERE pk = ?1", []any{id}, nil) }) // else the lease ends
}

// again has the shares looked at soon.
func (r *replica) again() {
	select {
	case r.hint <- struct{}{}:
	default:
	}
}
