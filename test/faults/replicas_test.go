//go:build unix

package faults

import (
	"testing"
	"time"

	"induct/internal/sqlstore/pgtest"
	"induct/test/faults/proxy"
)

// lease is how long a replica holds its work that is not heard of; see docs/scale.md.
const lease = 6 * time.Second

// takeover is how long it may take, on a machine that is busy with other tests, until others have taken over the work of a
// replica that is gone. How long it took stands in the test's log.
const takeover = 10 * lease

// server is a PostgreSQL server of the test's own, which may be killed, with a database.
func server(t *testing.T) *pgtest.Server {
	t.Helper()
	pg, err := pgtest.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := pg.CreateDatabase("induct"); err != nil {
		t.Fatal(err)
	}
	return pg
}

// works waits until the load's next requests are accepted, and everything that was accepted so far is done.
func (l *load) works(within time.Duration) {
	t := l.s.t
	t.Helper()
	before, began := l.accepted(), time.Now()
	defer func() { l.waits = append(l.waits, time.Since(began).Round(time.Millisecond)) }()
	end := time.Now().Add(within)
	until(t, "uploads are accepted", within, func() bool { return l.accepted() > before+5 })
	l.mu.Lock()
	var newest string
	for _, r := range l.requests {
		if len(r.Uploads) > 0 {
			newest = r.Uploads[0]
		}
	}
	l.mu.Unlock()
	var u struct{ State string }
	defer func() {
		if t.Failed() {
			l.s.trouble()
		}
	}()
	until(t, "what was accepted is done", time.Until(end), func() bool {
		l.get(l.job()+"/uploads/"+newest, &u)
		return u.State != "accepted"
	})
}

// Replicas that are killed at any moment, one after the other, and replaced.
func TestReplicaKilled(t *testing.T) {
	t.Parallel()
	s := install(t, "--database", pgtest.Database(t))
	s.start(3)
	l := s.newLoad(200)
	l.begin(6)
	for range long(t, 20) {
		time.Sleep(50*time.Millisecond + l.moment(500*time.Millisecond))
		all := s.running()
		all[l.intn(len(all))].kill()
		if l.intn(4) == 0 {
			r := s.launch()
			time.Sleep(l.moment(100 * time.Millisecond))
			r.kill()
		}
		s.launch()
	}
	l.works(takeover)
	l.end()
	l.judge()
}

// A replica that is killed and not replaced: the others take its work over within seconds.
func TestReplicaTakenOver(t *testing.T) {
	t.Parallel()
	s := install(t, "--database", pgtest.Database(t))
	s.start(3)
	l := s.newLoad(200)
	l.begin(4)
	for range 2 {
		l.works(takeover)
		s.running()[0].kill()
	}
	l.works(takeover)
	l.end()
	l.judge()
}

// The database server is killed, and comes back; the replicas stay.
func TestDatabaseKilled(t *testing.T) {
	t.Parallel()
	pg := server(t)
	s := install(t, "--database", pg.URL("induct"))
	s.start(2)
	l := s.newLoad(200)
	l.begin(4)
	for range long(t, 5) {
		l.works(takeover)
		time.Sleep(l.moment(500 * time.Millisecond))
		pg.Kill()
		time.Sleep(l.moment(time.Second))
		if err := pg.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	l.works(takeover)
	l.end()
	l.judge()
	if len(s.running()) != 2 {
		t.Errorf("%d of 2 replicas have outlived the database's end", len(s.running()))
	}
}

// Everything is killed at one moment, and started again.
func TestEverythingKilled(t *testing.T) {
	t.Parallel()
	pg := server(t)
	s := install(t, "--database", pg.URL("induct"))
	l := (*load)(nil)
	for round := range long(t, 3) {
		s.start(2)
		if round == 0 {
			l = s.newLoad(200)
			l.begin(4)
		}
		l.works(takeover)
		time.Sleep(l.moment(500 * time.Millisecond))
		pg.Kill()
		for _, r := range s.running() {
			r.kill()
		}
		if err := pg.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	s.start(2)
	l.works(takeover)
	l.end()
	l.judge()
}

// A replica stands still for longer than its lease, and wakes: others have its work by then, and it writes nothing.
func TestReplicaFrozen(t *testing.T) {
	t.Parallel()
	s := install(t, "--database", pgtest.Database(t))
	s.start(3)
	l := s.newLoad(200)
	l.begin(4)
	l.works(takeover)
	for i := range long(t, 2) {
		time.Sleep(l.moment(300 * time.Millisecond))
		all := s.running()
		frozen := all[i%len(all)]
		frozen.freeze()
		time.Sleep(lease + lease/4)
		l.works(takeover) // without it
		frozen.thaw()
		time.Sleep(l.moment(time.Second))
		l.works(takeover)
	}
	l.end()
	l.judge()
}

// The network between one replica and the database is bad in every way; another replica has a good one.
func TestConnectionCut(t *testing.T) {
	t.Parallel()
	pg := server(t)
	bad, err := proxy.New(pg.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bad.Close(); err != nil {
			t.Error(err)
		}
	})
	s := install(t, "--database", pg.URL("induct"))
	s.launch("--database", pg.URLThrough(bad.Address(), "induct")).wait(t)
	s.start(1)
	l := s.newLoad(200)
	l.begin(4)
	l.works(takeover)
	for range long(t, 1) {
		for _, fault := range []proxy.Fault{{Cut: 200 << 10}, {Cut: 5 << 10}, {Delay: 20 * time.Millisecond}, {Hang: true}, {Refuse: true}} {
			t.Logf("the network from now on: %+v", fault)
			bad.Set(fault)
			if fault.Refuse {
				bad.CutAll()
			}
			time.Sleep(time.Second + l.moment(time.Second))
			if fault.Hang {
				time.Sleep(lease)
			}
			for range 5 {
				time.Sleep(l.moment(200 * time.Millisecond))
				bad.CutAll()
			}
			l.works(takeover)
			bad.Set(proxy.Fault{})
		}
	}
	l.works(takeover)
	l.end()
	l.judge()
	t.Logf("%d connections were cut", bad.Cuts())
	if len(s.running()) != 2 {
		t.Errorf("%d of 2 replicas have outlived the bad network", len(s.running()))
	}
}

// Replicas that are started at once on an empty database: one makes the tables, all serve.
func TestMigratedAtOnce(t *testing.T) {
	t.Parallel()
	for range long(t, 2) {
		database := pgtest.Database(t)
		s := &service{t: t}
		s.open("--database", database)
		s.start(3)
		for _, r := range s.running() {
			if code := r.stop(t); code != 0 {
				t.Errorf("exit code %d: %s", code, r.log())
			}
		}
		s.makeApp()
		s.start(3)
		l := s.newLoad(100)
		l.begin(3)
		l.works(takeover)
		l.end()
		l.judge()
	}
}

// Each replica is replaced by a new one while clients send: every request is accepted the first time it is sent.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	s := install(t, "--database", pgtest.Database(t), "--shutdown-delay", "1s")
	s.start(3)
	l := s.newLoad(200)
	l.strict = true
	l.begin(4)
	for range long(t, 2) {
		for _, r := range s.running() {
			s.start(1)
			if code := r.stop(t); code != 0 {
				t.Errorf("exit code %d: %s", code, r.log())
			}
		}
	}
	l.works(takeover)
	l.end()
	l.judge()
}

// The clocks of the replicas are minutes apart.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	binary := skewed(t)
	s := install(t, "--database", pgtest.Database(t))
	s.binary = binary
	clocks := []string{"-240", "0", "240"} // seconds
	for _, seconds := range clocks {
		s.launchWith([]string{"SKEWED_CLOCK=" + seconds}).wait(t)
	}
	l := s.newLoad(200)
	l.begin(4)
	for _, seconds := range clocks[:2] {
		l.works(takeover)
		s.running()[0].kill()
		s.launchWith([]string{"SKEWED_CLOCK=" + seconds}).wait(t)
	}
	l.works(takeover)
	l.end()
	l.judge()
	var first, last time.Time
	for _, r := range l.requests {
		var u struct{ ReceivedDateTime time.Time }
		l.get(l.job()+"/uploads/"+r.Uploads[0], &u)
		if first.IsZero() || u.ReceivedDateTime.Before(first) {
			first = u.ReceivedDateTime
		}
		if u.ReceivedDateTime.After(last) {
			last = u.ReceivedDateTime
		}
	}
	if last.Sub(first) < 8*time.Minute {
		t.Errorf("the clocks were not 8 minutes apart: uploads were received from %v to %v", first, last)
	}
}
