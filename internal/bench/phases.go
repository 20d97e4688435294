package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// phase is a pass of everybody.
type phase struct {
	name    string
	floor   floor
	rounds  int                            // at most; more than one only if a pass can follow itself
	changed func(round, i int) bool        // who differs from the pass before or one before that
	fresh   func(round, i int) bool        // who differs from the pass before
	expect  func(same, fresh int) outcomes // how many are as they were, and how many differ
}

// outcomes counts records by end.
type outcomes map[string]int

// enough is how long a phase is repeated, if it can be, so that it outlasts the bursts of its neighbours.
const enough = 10 * time.Second

func (r *run) create() phase {
	none := func(int, int) bool { return false }
	bulk := bulkLoadFloor(r.Dir, r.Least)
	if r.Database != "" {
		bulk = copyFloor(r.Database, r.Least)
	}
	return phase{"create", bulk, 1, none, none, func(n, _ int) outcomes { return outcomes{"created": n} }}
}

// main measures everything but accept, on one service, in the order of a job's life.
func (r *run) main(ctx context.Context) error {
	decode := decodeFloor(r.Least)
	none := func(int, int) bool { return false }
	for _, p := range []phase{
		r.create(),
		{"unchanged", decode, 3, none, none, func(n, _ int) outcomes { return outcomes{"unchanged": n} }},
		{"changed", decode, 3, func(round, i int) bool { return i%100 >= 7 && i%100 <= 7+round }, func(round, i int) bool { return i%100 == 7+round },
			func(n, fresh int) outcomes { return outcomes{"unchanged": n, "updated": fresh} }},
	} {
		m := &meter{r: r, outcomes: outcomes{}}
		if err := r.pass(ctx, m, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if r.results = append(r.results, m.result(p.name, p.floor.name)); p.name == "create" {
			r.created = m
		}
	}
	if err := r.single(ctx); err != nil {
		return fmt.Errorf("single: %w", err)
	}
	return r.logQueries(ctx)
}

// createAgain adds another round to the result of create; it needs a service that knows nobody.
func (r *run) createAgain(ctx context.Context) error {
	p := r.create()
	if err := r.pass(ctx, r.created, p); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	for i := range r.results {
		if r.results[i].Name == p.name {
			r.results[i] = r.created.result(p.name, p.floor.name)
		}
	}
	return nil
}

// meter adds up what a phase takes, round by round.
type meter struct {
	r        *run
	took     []time.Duration // of requests, or of whatever the quantiles are to be of
	service  effort
	written  int64
	retries  int64
	peak     int64
	others   busy
	floor    effort
	outcomes outcomes
}

// measure runs a round of the phase; fn returns how many records it had.
func (m *meter) measure(fn func() (records int, err error)) error {
	resetPeak(m.r.c.PID)
	before, retries, neighbours := used(m.r.c.PID), m.r.c.retries.Load(), watch(os.Getpid(), m.r.c.PID)
	began := time.Now()
	records, err := fn()
	m.service.seconds += time.Since(began).Seconds()
	after := used(m.r.c.PID)
	if m.r.c.PID != 0 { // or the service would be among the others
		m.others.add(neighbours.stop())
	}
	m.service.records += records
	m.service.cpu += after.cpu - before.cpu
	m.written += after.written - before.written
	m.retries += m.r.c.retries.Load() - retries
	m.peak = max(m.peak, peakRSS(m.r.c.PID))
	return err
}

// measureFloor runs the phase's floor once.
func (m *meter) measureFloor(ctx context.Context, phase string, f floor, l *load) error {
	m.r.Progress(phase, "floor: "+f.name, 0, 0)
	e, err := f.run(ctx, l)
	if err != nil {
		return fmt.Errorf("floor %s: %w", f.name, err)
	}
	m.floor = m.floor.plus(e)
	return m.r.c.signIn(ctx) // a long floor must not use up the token's life
}

// result makes a result of what was added up.
func (m *meter) result(name, floor string) Result {
	n, e := float64(m.service.records), m.service
	res := Result{Name: name, People: m.r.w.People, Records: e.records, Seconds: e.seconds, PerSecond: n / e.seconds, Micros: e.seconds / n * 1e6,
		CPU: e.cpu, CPUMicros: e.cpu / n * 1e6, Others: m.others.share(), PeakRSS: m.peak, Disk: diskUse(m.r.c.Data),
		WrittenPerRecord: float64(m.written) / n, Retries: m.retries, Outcomes: m.outcomes}
	if m.floor.records > 0 && m.floor.seconds > 0 {
		res.Floor, res.FloorPerSecond = floor, float64(m.floor.records)/m.floor.seconds
		res.Ratio = res.PerSecond / res.FloorPerSecond
		if e.cpu > 0 && m.floor.cpu > 0 {
			res.CPURatio = n / e.cpu / (float64(m.floor.records) / m.floor.cpu)
		}
	}
	res.quantiles(m.took)
	return res
}

// accept measures how fast requests are stored, with a paused job: everybody once, and again until it has lasted
// long enough.
func (r *run) accept(ctx context.Context) error {
	l, err := r.makeLoad(ctx, "accept", 0, nobody)
	if err != nil {
		return err
	}
	defer l.close()
	if err := r.c.signIn(ctx); err != nil {
		return err
	}
	if err := r.c.call(ctx, http.MethodPost, r.c.jobURL()+"/pause", nil); err != nil {
		return fmt.Errorf("pause the job: %w", err)
	}
	m := meter{r: r}
	f := appendFloor(r.Dir, r.Connections, r.Least)
	for _, step := range []func() error{
		func() error { return m.measureFloor(ctx, "accept", f, l) },
		func() error {
			return m.measure(func() (int, error) {
				sent, err := r.send(ctx, "accept", l, 2*r.Least)
				m.took = sent.took
				return sent.records, err
			})
		},
		func() error { return m.measureFloor(ctx, "accept", f, l) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("accept: %w", err)
		}
	}
	r.results = append(r.results, m.result("accept", f.name))
	return nil
}

// pass measures a phase: everybody is sent, in an order of its own, until all are settled, and what became of them is
// checked. The floor is measured before the first round and after each.
func (r *run) pass(ctx context.Context, m *meter, p phase) error {
	for round := range p.rounds {
		if round > 0 && m.service.seconds > enough.Seconds() {
			break
		}
		if err := r.round(ctx, m, p, round); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) round(ctx context.Context, m *meter, p phase, round int) error {
	r.passes++
	l, err := r.makeLoad(ctx, p.name, r.passes, func(i int) bool { return p.changed(round, i) })
	if err != nil {
		return err
	}
	defer l.close()
	if round == 0 {
		if err := m.measureFloor(ctx, p.name, p.floor, l); err != nil {
			return err
		}
	}
	var sent sent
	err = m.measure(func() (n int, err error) {
		if sent, err = r.send(ctx, p.name, l, 0); err == nil {
			err = r.follow(ctx, p.name, sent.ids)
		}
		return sent.records, err
	})
	if err != nil {
		return err
	}
	m.took = append(m.took, sent.took...)
	if err := r.check(ctx, m, p, round, sent.ids); err != nil {
		return err
	}
	return m.measureFloor(ctx, p.name, p.floor, l)
}

// check compares what became of the records with what must have.
func (r *run) check(ctx context.Context, m *meter, p phase, round int, ids []string) error {
	got, err := r.outcomes(ctx, p.name, ids)
	if err != nil {
		return err
	}
	fresh := 0
	for i := range r.w.People {
		if p.fresh(round, i) {
			fresh++
		}
	}
	want := p.expect(r.w.People-fresh, fresh)
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	if !maps.Equal(got, want) {
		return fmt.Errorf("the service says %v where %v is right: the figures would mean something else", got, want)
	}
	for end, n := range got {
		m.outcomes[end] += n
	}
	return nil
}

func (r *run) makeLoad(ctx context.Context, phase string, pass uint64, changed func(int) bool) (*load, error) {
	r.Progress(phase, "make the requests", 0, 0)
	l, err := makeLoad(ctx, r.Dir, r.w, r.w.shuffled(pass), perRequest, changed)
	if err == nil {
		r.report.BytesPerRecord = float64(l.size()) / float64(l.records)
	}
	return l, err
}

// sent is what was sent.
type sent struct {
	ids     []string // of uploads, in the order in which they were accepted
	took    []time.Duration
	records int
}

// send sends the requests of l once, and again until least has passed.
func (r *run) send(ctx context.Context, phase string, l *load, least time.Duration) (s sent, err error) {
	s.ids = make([]string, 0, len(l.ends))
	s.took = make([]time.Duration, 0, len(l.ends))
	end := time.Now().Add(least)
	var next atomic.Int64
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for range r.Connections {
		group.Go(func() error {
			var body []byte
			for {
				n := int(next.Add(1) - 1)
				if n >= len(l.ends) && !time.Now().Before(end) {
					return nil
				}
				n %= len(l.ends)
				var err error
				if body, err = l.body(body, n); err != nil {
					return err
				}
				began := time.Now()
				id, err := r.c.post(ctx, body)
				if err != nil {
					return err
				}
				took := time.Since(began)
				mu.Lock()
				s.ids, s.took = append(s.ids, id), append(s.took, took)
				s.records += l.in(n)
				done := s.records
				mu.Unlock()
				r.Progress(phase, "accepted", done, max(done, l.records))
			}
		})
	}
	return s, group.Wait()
}

// follow waits until the uploads are settled. The last of them is among those that were accepted last: no more than
// the connections were under way with it.
func (r *run) follow(ctx context.Context, phase string, ids []string) error {
	const steps = 20
	for step := 1; step <= steps; step++ {
		n := len(ids) * step / steps
		if n == 0 {
			continue
		}
		if _, err := r.c.wait(ctx, ids[n-1], "done"); err != nil {
			return err
		}
		r.Progress(phase, "done", r.w.People*step/steps, r.w.People)
	}
	for _, id := range ids[max(0, len(ids)-r.Connections):] {
		if _, err := r.c.wait(ctx, id, "settled"); err != nil {
			return err
		}
	}
	return nil
}

// outcomes counts the records of uploads by end.
func (r *run) outcomes(ctx context.Context, phase string, ids []string) (outcomes, error) {
	r.Progress(phase, "check the outcomes", 0, 0)
	ends := outcomes{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(min(16, r.Connections))
	for _, id := range ids {
		group.Go(func() error {
			u, err := r.c.wait(ctx, id, "")
			mu.Lock()
			defer mu.Unlock()
			for end, n := range u.Counts {
				if n > 0 {
					ends[end] += n
				}
			}
			return err
		})
	}
	return ends, group.Wait()
}

// quantiles sets the latencies.
func (res *Result) quantiles(took []time.Duration) {
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1)+.5)].Microseconds()) / 1000 }
	res.P50, res.P95, res.P99 = at(.5), at(.95), at(.99)
}

// single sends people whom the service does not know, one by one. Of each it takes the time from the 202 to the
// settled receipt, and to when it has been seen in the directory and in the log.
func (r *run) single(ctx context.Context) error {
	people := make([]int, r.Singles)
	for i := range people {
		people[i] = r.w.People + i
	}
	l, err := makeLoad(ctx, r.Dir, r.w, people, 1, nobody)
	if err != nil {
		return err
	}
	defer l.close()
	m := meter{r: r, outcomes: outcomes{"created": r.Singles}}
	f := appendFloor(r.Dir, 1, r.Least)
	if err := m.measureFloor(ctx, "single", f, l); err != nil {
		return err
	}
	var seen []time.Duration
	sees, looking := true, time.Duration(0) // what the looks take is not the record's
	err = m.measure(func() (int, error) {
		for n := range people {
			r.Progress("single", "settled", n, r.Singles)
			accepted, err := r.one(ctx, &m, l, n)
			if err != nil {
				return n, err
			}
			began := time.Now()
			if sees {
				if sees, err = r.visible(ctx, r.w.ID(people[n])); err != nil {
					return n, err
				}
				seen = append(seen, time.Since(accepted))
			}
			looking += time.Since(began)
		}
		return len(people), nil
	})
	if err == nil {
		err = m.measureFloor(ctx, "single", f, l)
	}
	if err != nil {
		return err
	}
	m.service.seconds -= looking.Seconds()
	m.service.cpu = 0 // the looks are in it
	r.results = append(r.results, m.result("single", f.name))
	if !sees {
		r.report.Notes = append(r.report.Notes, "single_visible was not measured: the client may not read users or provisioning logs.")
		return nil
	}
	visible := meter{r: r, took: seen, service: effort{records: len(seen)}}
	for _, d := range seen {
		visible.service.seconds += d.Seconds()
	}
	r.results = append(r.results, visible.result("single_visible", ""))
	return nil
}

// one sends the one record of request n and waits until it is settled. It returns when it was accepted.
func (r *run) one(ctx context.Context, m *meter, l *load, n int) (accepted time.Time, err error) {
	body, err := l.body(nil, n)
	if err != nil {
		return accepted, err
	}
	id, err := r.c.post(ctx, body)
	if err != nil {
		return accepted, err
	}
	accepted = time.Now()
	u, err := r.c.wait(ctx, id, "settled")
	m.took = append(m.took, time.Since(accepted))
	if err == nil && u.Counts["created"] != 1 {
		err = fmt.Errorf("a new person was not created: %v", u.Counts)
	}
	return accepted, err
}

// visible returns once a person is found in the directory and in the log; allowed is false if the client may not look.
func (r *run) visible(ctx context.Context, id string) (allowed bool, err error) {
	for _, look := range []struct{ path, filter string }{
		{"/users", "employeeId eq '" + id + "'"},
		{"/auditLogs/provisioning", "jobId eq '" + r.c.Job + "' and sourceIdentity/id eq '" + id + "'"},
	} {
		deadline := time.Now().Add(30 * time.Second)
		for {
			var page struct{ Value []struct{ ID string } }
			err := r.c.list(ctx, look.path, url.Values{"$filter": {look.filter}}, &page)
			if forbidden(err) {
				return false, nil
			}
			if err != nil {
				return true, err
			}
			if len(page.Value) > 0 {
				break
			}
			if time.Now().After(deadline) {
				return true, fmt.Errorf("%s of %s is not visible 30 seconds after its receipt", look.path, id)
			}
		}
	}
	return true, nil
}

func forbidden(err error) bool {
	var s *statusError
	return errors.As(err, &s) && s.status == http.StatusForbidden
}

// logEntry is what is read of an entry of the provisioning log.
type logEntry struct {
	Time  time.Time `json:"activityDateTime"`
	Cycle string    `json:"cycleId"`
}

// logQueries measures the first page of the queries that administrators make, each with another value each time.
func (r *run) logQueries(ctx context.Context) error {
	if err := r.c.signIn(ctx); err != nil {
		return err
	}
	first, last, err := r.logSpan(ctx)
	if forbidden(err) {
		r.report.Notes = append(r.report.Notes, "log_query_… were not measured: the client may not read provisioning logs.")
		return nil
	}
	if err != nil {
		return fmt.Errorf("log queries: %w", err)
	}
	rng := rand.New(rand.NewPCG(r.Seed, 2))
	window := func() string {
		span := last.Sub(first)
		from := first.Add(time.Duration(rng.Float64() * float64(span)))
		return fmt.Sprintf(" and activityDateTime ge %s and activityDateTime le %s", stamp(from), stamp(from.Add(span/20)))
	}
	cycles, err := r.someCycles(ctx, window)
	if err != nil {
		return fmt.Errorf("log queries: %w", err)
	}
	statuses := []string{"success", "failure", "skipped", "warning"}
	for _, q := range []struct {
		name string
		next func() string
	}{
		{"log_query_job_time", window},
		{"log_query_job_status", func() string { return " and provisioningStatusInfo/status eq '" + pick(rng, statuses) + "'" }},
		{"log_query_cycle", func() string { return " and cycleId eq '" + pick(rng, cycles) + "'" }},
		{"log_query_source", func() string { return " and sourceIdentity/id eq '" + r.w.ID(rng.IntN(r.w.People)) + "'" }},
	} {
		if err := r.logQuery(ctx, q.name, q.next); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return nil
}

// logQuery asks for the first page so often, each time with the next condition.
func (r *run) logQuery(ctx context.Context, name string, next func() string) error {
	m := meter{r: r}
	err := m.measure(func() (int, error) {
		for n := range r.Queries {
			and := next()
			began := time.Now()
			if _, err := r.entries(ctx, and, false); err != nil {
				return n, err
			}
			m.took = append(m.took, time.Since(began))
			r.Progress(name, "asked", n+1, r.Queries)
		}
		return r.Queries, nil
	})
	if err == nil {
		r.results = append(r.results, m.result(name, ""))
	}
	return err
}

// someCycles returns the ids of cycles, one for each entry in some windows of time.
func (r *run) someCycles(ctx context.Context, window func() string) (cycles []string, err error) {
	for range 20 {
		entries, err := r.entries(ctx, window(), false)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			cycles = append(cycles, e.Cycle)
		}
	}
	if len(cycles) == 0 {
		return nil, errors.New("the log is empty")
	}
	return cycles, nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// logSpan returns the times of the job's oldest and newest entry.
func (r *run) logSpan(ctx context.Context) (first, last time.Time, err error) {
	for _, end := range []struct {
		ascending bool
		at        *time.Time
	}{{true, &first}, {false, &last}} {
		entries, err := r.entries(ctx, "", end.ascending)
		if err != nil {
			return first, last, err
		}
		if len(entries) == 0 {
			return first, last, errors.New("the log is empty")
		}
		*end.at = entries[0].Time
	}
	return first, last, nil
}

// entries reads the first page of the job's log entries that meet a condition.
func (r *run) entries(ctx context.Context, and string, ascending bool) ([]logEntry, error) {
	options := url.Values{"$filter": {"jobId eq '" + r.c.Job + "'" + and}}
	if ascending {
		options.Set("$orderby", "activityDateTime asc")
	}
	var page struct{ Value []logEntry }
	err := r.c.list(ctx, "/auditLogs/provisioning", options, &page)
	return page.Value, err
}
