package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// main measures everything but accept, on one service, in the order of a job's life.
func (r *run) main(ctx context.Context) error {
	decode := decodeFloor(r.Least)
	for _, p := range []struct {
		name    string
		floor   floor
		changed func(int) bool
		expect  func(people, changed int) map[string]int
	}{
		{"create", bulkLoadFloor(r.Dir), nobody, func(n, _ int) map[string]int { return map[string]int{"created": n} }},
		{"unchanged", decode, nobody, func(n, _ int) map[string]int { return map[string]int{"unchanged": n} }},
		{"changed", decode, func(i int) bool { return i%100 == 7 }, func(n, c int) map[string]int { return map[string]int{"unchanged": n - c, "updated": c} }},
	} {
		if err := r.pass(ctx, p.name, p.floor, p.changed, p.expect); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if err := r.single(ctx); err != nil {
		return fmt.Errorf("single: %w", err)
	}
	return r.logQueries(ctx)
}

// meter reads what a phase takes from the service.
type meter struct {
	began   time.Time
	used    usage
	retries int64
}

func (r *run) meter() meter {
	resetPeak(r.c.PID)
	return meter{time.Now(), used(r.c.PID), r.c.retries.Load()}
}

// stop fills a result with what has been used since the meter was made.
func (r *run) stop(m meter, res *Result) {
	if res.Seconds == 0 {
		res.Seconds = time.Since(m.began).Seconds()
	}
	now := used(r.c.PID)
	res.People = r.w.People
	res.CPU = now.cpu - m.used.cpu
	n := float64(res.Records)
	res.PerSecond, res.Micros, res.CPUMicros = n/res.Seconds, res.Seconds/n*1e6, res.CPU/n*1e6
	res.WrittenPerRecord = float64(now.written-m.used.written) / n
	res.PeakRSS, res.Disk = peakRSS(r.c.PID), diskUse(r.c.Data)
	res.Retries = r.c.retries.Load() - m.retries
}

// against sets a result beside its floor.
func (res *Result) against(name string, f effort) {
	if f.records == 0 || f.seconds == 0 {
		return
	}
	res.Floor, res.FloorPerSecond = name, float64(f.records)/f.seconds
	res.Ratio = res.PerSecond / res.FloorPerSecond
	if res.CPU > 0 && f.cpu > 0 {
		res.CPURatio = float64(res.Records) / res.CPU / (float64(f.records) / f.cpu)
	}
}

// between runs a phase between two runs of its floor.
func (r *run) between(ctx context.Context, f floor, l *load, phase func(*Result) error, res *Result) error {
	r.Progress(res.Name, "floor: "+f.name, 0, 0)
	before, err := f.run(ctx, l)
	if err != nil {
		return fmt.Errorf("floor %s: %w", f.name, err)
	}
	if err := r.c.signIn(ctx); err != nil {
		return err
	}
	if err := phase(res); err != nil {
		return err
	}
	r.Progress(res.Name, "floor: "+f.name, 0, 0)
	after, err := f.run(ctx, l)
	if err != nil {
		return fmt.Errorf("floor %s: %w", f.name, err)
	}
	res.against(f.name, before.plus(after))
	return nil
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
	res := Result{Name: "accept"}
	err = r.between(ctx, appendFloor(r.Dir, r.Connections, r.Least), l, func(res *Result) error {
		m := r.meter()
		sent, err := r.send(ctx, "accept", l, 2*r.Least)
		if err != nil {
			return err
		}
		res.Records = sent.records
		r.stop(m, res)
		res.quantiles(sent.took)
		return nil
	}, &res)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	r.results = append(r.results, res)
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

// pass sends everybody, in an order of its own, until all are settled, and checks what became of them.
func (r *run) pass(ctx context.Context, name string, f floor, changed func(int) bool, expect func(people, changed int) map[string]int) error {
	l, err := r.makeLoad(ctx, name, uint64(len(r.results)), changed)
	if err != nil {
		return err
	}
	defer l.close()
	res := Result{Name: name, Records: r.w.People}
	err = r.between(ctx, f, l, func(res *Result) error {
		m := r.meter()
		sent, err := r.send(ctx, name, l, 0)
		if err == nil {
			err = r.follow(ctx, name, sent.ids)
		}
		if err != nil {
			return err
		}
		r.stop(m, res)
		res.quantiles(sent.took)
		res.Outcomes, err = r.outcomes(ctx, name, sent.ids)
		return err
	}, &res)
	if err != nil {
		return err
	}
	n := 0
	for i := range r.w.People {
		if changed(i) {
			n++
		}
	}
	want := expect(r.w.People, n)
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	if !maps.Equal(res.Outcomes, want) {
		return fmt.Errorf("the service says %v where %v is right: the figures would mean something else", res.Outcomes, want)
	}
	r.results = append(r.results, res)
	return nil
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
func (r *run) outcomes(ctx context.Context, phase string, ids []string) (map[string]int, error) {
	r.Progress(phase, "check the outcomes", 0, 0)
	ends := map[string]int{}
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
	var seen []time.Duration
	sees := true
	res := Result{Name: "single", Records: r.Singles}
	err = r.between(ctx, appendFloor(r.Dir, 1, r.Least), l, func(res *Result) error {
		var settled []time.Duration
		m := r.meter()
		for n := range people {
			r.Progress("single", "settled", n, r.Singles)
			body, err := l.body(nil, n)
			if err != nil {
				return err
			}
			began := time.Now()
			id, err := r.c.post(ctx, body)
			if err != nil {
				return err
			}
			accepted := time.Now()
			u, err := r.c.wait(ctx, id, "settled")
			if err != nil {
				return err
			}
			if u.Counts["created"] != 1 {
				return fmt.Errorf("person %d was not created: %v", people[n], u.Counts)
			}
			settled = append(settled, time.Since(accepted))
			res.Seconds += time.Since(began).Seconds()
			if sees {
				if sees, err = r.visible(ctx, r.w.ID(people[n])); err != nil {
					return err
				}
				seen = append(seen, time.Since(accepted))
			}
		}
		r.stop(m, res)
		res.quantiles(settled)
		res.Outcomes = map[string]int{"created": r.Singles}
		return nil
	}, &res)
	if err != nil {
		return err
	}
	res.CPU, res.CPUMicros, res.CPURatio = 0, 0, 0 // the looks at directory and log would be in it
	r.results = append(r.results, res)
	if !sees {
		r.report.Notes = append(r.report.Notes, "single_visible was not measured: the client may not read users or provisioning logs.")
		return nil
	}
	visible := Result{Name: "single_visible", Records: len(seen), People: r.w.People}
	for _, d := range seen {
		visible.Seconds += d.Seconds()
	}
	visible.PerSecond, visible.Micros = float64(len(seen))/visible.Seconds, visible.Seconds/float64(len(seen))*1e6
	visible.quantiles(seen)
	r.results = append(r.results, visible)
	return nil
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
	span := last.Sub(first)
	rng := rand.New(rand.NewPCG(r.Seed, 2))
	from := func() time.Time { return first.Add(time.Duration(rng.Float64() * float64(span))) }
	window := func(from time.Time) string {
		return fmt.Sprintf(" and activityDateTime ge %s and activityDateTime le %s", stamp(from), stamp(from.Add(span/20)))
	}
	var cycles []string
	for range 20 {
		entries, err := r.entries(ctx, window(from()), false)
		if err != nil {
			return fmt.Errorf("log queries: %w", err)
		}
		for _, e := range entries {
			cycles = append(cycles, e.Cycle)
		}
	}
	if len(cycles) == 0 {
		return errors.New("log queries: the log is empty")
	}
	statuses := []string{"success", "failure", "skipped", "warning"}
	for _, q := range []struct {
		name string
		next func() string
	}{
		{"log_query_job_time", func() string { return window(from()) }},
		{"log_query_job_status", func() string { return " and provisioningStatusInfo/status eq '" + pick(rng, statuses) + "'" }},
		{"log_query_cycle", func() string { return " and cycleId eq '" + pick(rng, cycles) + "'" }},
		{"log_query_source", func() string { return " and sourceIdentity/id eq '" + r.w.ID(rng.IntN(r.w.People)) + "'" }},
	} {
		res := Result{Name: q.name, Records: r.Queries}
		var took []time.Duration
		m := r.meter()
		for n := range r.Queries {
			filter := q.next()
			began := time.Now()
			if _, err := r.entries(ctx, filter, false); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			took = append(took, time.Since(began))
			r.Progress(q.name, "asked", n+1, r.Queries)
		}
		r.stop(m, &res)
		res.quantiles(took)
		r.results = append(r.results, res)
	}
	return nil
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
