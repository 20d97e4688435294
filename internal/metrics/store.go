package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// storeCollector measures the store at a scrape.
type storeCollector struct {
	facts []storeFact
	up    *prometheus.Desc
	space reading[Space]
}

type storeFact struct {
	desc *prometheus.Desc
	read func(Space) int64 // negative: not known
}

func newStoreCollector(cfg Config) *storeCollector {
	gauge := func(name, help string, read func(Space) int64) storeFact {
		return storeFact{prometheus.NewDesc(name, help, nil, nil), read}
	}
	c := &storeCollector{up: upDesc("store"), facts: []storeFact{
		gauge("induct_store_database_bytes", "Size of the database file.", func(s Space) int64 { return s.Database }),
		gauge("induct_store_wal_bytes", "Size of the database's write-ahead log.", func(s Space) int64 { return s.WAL }),
		gauge("induct_store_free_bytes", "Space that is free on the file system of the data directory.", func(s Space) int64 { return s.Free }),
		gauge("induct_store_reserve_bytes", "Free space below which uploads are refused.", func(s Space) int64 { return s.Reserve }),
	}}
	c.space.now, c.space.fresh, c.space.wait = cfg.Now, time.Second, cfg.Timeout
	c.space.read = func(context.Context) (Space, error) { return cfg.Store.Space() }
	return c
}

// Describe implements prometheus.Collector.
func (c *storeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c.facts {
		out <- f.desc
	}
	out <- c.up
}

// Collect implements prometheus.Collector.
func (c *storeCollector) Collect(out chan<- prometheus.Metric) {
	space, err := c.space.get()
	out <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up(err))
	if err != nil {
		return
	}
	for _, f := range c.facts {
		if n := f.read(space); n >= 0 {
			out <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, float64(n))
		}
	}
}
