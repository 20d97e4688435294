package sqlstore

import (
	"context"
	"time"
)

// runMaker makes the runs of the log's index on PostgreSQL, beside the Units: one process at a time does.
type runMaker struct {
	p    *postgres
	quit context.CancelFunc
	done chan struct{}
}

const runsEvery = 2 * time.Second

func startRunMaker(p *postgres) *runMaker {
	ctx, quit := context.WithCancel(context.Background())
	m := &runMaker{p: p, quit: quit, done: make(chan struct{})}
	go m.run(ctx)
	return m
}

func (m *runMaker) stop() {
	m.quit()
	<-m.done
}

func (m *runMaker) run(ctx context.Context) {
	defer close(m.done)
	tick := time.NewTicker(runsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for made := true; made && ctx.Err() == nil; {
			var err error
			if made, err = m.make(ctx); err != nil && ctx.Err() == nil {
				m.p.log.Warn("the log's index was not tidied; it is tried again", "error", err)
			}
		}
	}
}

// make makes a run if enough blocks have come together, unless another process does.
func (m *runMaker) make(ctx context.Context) (made bool, err error) {
	var n unmerged
	count := func(c Conn) error {
		return query(c, `SELECT count(*), CAST(coalesce(sum(last - first + 1), 0) AS bigint) FROM (SELECT first, last FROM log_block WHERE anchors IS NOT NULL ORDER BY first LIMIT ?1) waiting`,
			[]any{m.p.s.runs.blocks}, func(st Row) error {
				n = unmerged{st.ColumnInt64(0), st.ColumnInt64(1)}
				return nil
			})
	}
	if err := m.p.read(ctx, count); err != nil || !n.reaches(m.p.s.runs) {
		return false, err
	}
	err = m.p.writeOnce(ctx, func(c Conn) error {
		mine := false
		err := query(c, "SELECT pg_try_advisory_xact_lock(?1)", []any{runsLock}, func(st Row) error {
			mine = st.ColumnBool(0)
			return nil
		})
		if err != nil || !mine {
			return err
		}
		if err := count(c); err != nil || !n.reaches(m.p.s.runs) {
			return err
		}
		made = true
		return mergeBlocks(c)
	}, nil)
	return made && err == nil, err
}

// Locks of the whole database, by numbers of our own.
const (
	runsLock  = 0x696e64_01
	auditLock = 0x696e64_02
)
