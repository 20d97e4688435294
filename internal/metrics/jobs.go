package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"induct/internal/provision"
)

// jobLabel carries the id of a job, as API2AAD.<tenant>.<guid>.
const jobLabel = "job_id"

// jobView is a job as a scrape sees it.
type jobView struct {
	job    *provision.Job
	status *provision.JobStatus
	now    time.Time
}

// jobFact is a metric of every job, labelled with its id.
type jobFact struct {
	name, help string
	kind       prometheus.ValueType
	label      string // a second label, whose values read gives; "" if there is none
	read       func(v *jobView) samples
}

// samples are the values of a metric by its second label; by "" if it has none.
type samples map[string]float64

func one[N int64 | float64](n N) samples { return samples{"": float64(n)} }

// jobFacts are what a scrape tells of a job. One more is one more line.
func jobFacts() []jobFact {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	return []jobFact{
		{"induct_job_queued_records", "Records that were accepted and have no outcome yet.", gauge, "", func(v *jobView) samples { return one(v.status.Queued) }},
		{"induct_job_oldest_queued_record_age_seconds", "How long the oldest of the queued records has waited; 0 if none waits.", gauge, "", oldest},
		{"induct_job_uploads_accepted_total", "Uploads that were accepted to date. A repeated one counts once.", counter, "", func(v *jobView) samples { return one(v.status.Uploads) }},
		{"induct_job_records_total", "Records to date, by how they ended.", counter, "end", ends},
		{"induct_job_cycles_total", "Cycles that were begun to date.", counter, "", func(v *jobView) samples { return one(v.status.Cycle) }},
		{"induct_job_linked_people", "People who are linked to an account.", gauge, "", func(v *jobView) samples { return one(v.status.Users) }},
		{"induct_job_enabled_accounts", "Accounts of linked people that were enabled when the job last saw them.", gauge, "", func(v *jobView) samples { return one(v.status.Enabled) }},
		{"induct_job_pending_records", "Records with an outcome and no end: held ones wait for a verdict, staged ones for one of people, retrying ones for the next attempt.", gauge, "kind", pending},
		{"induct_job_quarantine", "1 for the reason why the job is in quarantine.", gauge, "reason", quarantine},
		{"induct_job_successive_failures", "Attempts in a row that failed as a whole, because the target did not answer.", gauge, "", func(v *jobView) samples { return one(v.status.Condition.SuccessiveFailures) }},
		{"induct_job_state", "1 for the state that the job is in.", gauge, "state", state},
		{"induct_job_reevaluation_running", "1 while everybody is re-evaluated because the schema or a setting has changed.", gauge, "", reevaluating},
	}
}

func oldest(v *jobView) samples {
	if v.status.Oldest.IsZero() {
		return one(0.0)
	}
	return one(max(v.now.Sub(v.status.Oldest).Seconds(), 0)) // a clock may have been set back
}

// ends gives every end, so that one that was never seen is 0 and not missing.
func ends(v *jobView) samples {
	s := samples{}
	for _, e := range provision.Ends {
		s[string(e)] = float64(v.status.TotalCounts[e])
	}
	return s
}

func pending(v *jobView) samples {
	return samples{"held": float64(v.status.Held - v.status.Staged), "staged": float64(v.status.Staged), "retrying": float64(v.status.Retrying)}
}

func quarantine(v *jobView) samples {
	s := samples{}
	for _, r := range []provision.QuarantineReason{provision.QuarantineException, provision.QuarantineProportion, provision.QuarantineBase, provision.QuarantineTotal, provision.QuarantineDeletes} {
		s[string(r)] = 0
	}
	if q := v.status.Condition.Quarantine; q != nil {
		s[string(q.Reason)] = 1
	}
	return s
}

func state(v *jobView) samples {
	s := samples{}
	for _, st := range []provision.JobState{provision.JobActive, provision.JobPaused, provision.JobDisabled} {
		s[string(st)] = 0
	}
	s[string(v.job.State)] = 1
	return s
}

func reevaluating(v *jobView) samples {
	if re := v.status.Reevaluation; re != nil && re.Ended.IsZero() {
		return one(1.0)
	}
	return one(0.0)
}

// jobCollector reads the jobs at a scrape.
type jobCollector struct {
	now   func() time.Time
	facts []jobFact
	descs []*prometheus.Desc // of facts
	up    *prometheus.Desc
	jobs  reading[[]jobView]
}

func newJobCollector(cfg Config) *jobCollector {
	c := &jobCollector{now: cfg.Now, facts: jobFacts(), up: upDesc("jobs")}
	for _, f := range c.facts {
		labels := []string{jobLabel}
		if f.label != "" {
			labels = append(labels, f.label)
		}
		c.descs = append(c.descs, prometheus.NewDesc(f.name, f.help, labels, nil))
	}
	c.jobs.now, c.jobs.fresh, c.jobs.wait = cfg.Now, time.Second, cfg.Timeout
	c.jobs.read = func(ctx context.Context) ([]jobView, error) { return views(ctx, cfg.Engine) }
	return c
}

func views(ctx context.Context, engine Engine) ([]jobView, error) {
	jobs, err := engine.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]jobView, len(jobs))
	for i, j := range jobs {
		all[i].job = j
		if all[i].status, err = engine.JobStatus(ctx, j.PK); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Describe implements prometheus.Collector.
func (c *jobCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
	out <- c.up
}

// Collect implements prometheus.Collector. Without an answer of the engine the jobs' metrics are missing: a figure that
// is old would not show that it is.
func (c *jobCollector) Collect(out chan<- prometheus.Metric) {
	all, err := c.jobs.get()
	out <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up(err))
	if err != nil {
		return
	}
	for _, v := range all {
		v.now = c.now()
		for i, f := range c.facts {
			for value, n := range f.read(&v) {
				labels := []string{v.job.ID}
				if f.label != "" {
					labels = append(labels, value)
				}
				out <- prometheus.MustNewConstMetric(c.descs[i], f.kind, n, labels...)
			}
		}
	}
}

// upDesc describes the gauge that tells whether a source has answered.
func upDesc(source string) *prometheus.Desc {
	return prometheus.NewDesc("induct_source_up", "1 if the metrics of this source could be read at this scrape; with 0 they are missing.",
		nil, prometheus.Labels{"source": source})
}

func up(err error) float64 {
	if err != nil {
		return 0
	}
	return 1
}
