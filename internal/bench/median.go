package bench

import "slices"

// medians makes one result of each name out of those of several runs: the median of each figure, and the spread of the
// most telling ones. Of a single run it returns the results as they are.
func medians(runs [][]Result) (out []Result) {
	if len(runs) == 1 {
		return runs[0]
	}
	var names []string
	byName := map[string][]Result{}
	for _, results := range runs {
		for _, r := range results {
			if byName[r.Name] == nil {
				names = append(names, r.Name)
			}
			byName[r.Name] = append(byName[r.Name], r)
		}
	}
	for _, name := range names {
		out = append(out, medianOf(byName[name]))
	}
	return out
}

func medianOf(rs []Result) Result {
	m := rs[len(rs)-1]
	values := func(of func(*Result) float64) []float64 {
		vs := make([]float64, len(rs))
		for i := range rs {
			vs[i] = of(&rs[i])
		}
		slices.Sort(vs)
		return vs
	}
	for _, figure := range []func(*Result) *float64{
		func(r *Result) *float64 { return &r.Seconds }, func(r *Result) *float64 { return &r.PerSecond }, func(r *Result) *float64 { return &r.Micros },
		func(r *Result) *float64 { return &r.CPU }, func(r *Result) *float64 { return &r.CPUMicros },
		func(r *Result) *float64 { return &r.FloorPerSecond }, func(r *Result) *float64 { return &r.Ratio }, func(r *Result) *float64 { return &r.CPURatio },
		func(r *Result) *float64 { return &r.P50 }, func(r *Result) *float64 { return &r.P95 }, func(r *Result) *float64 { return &r.P99 },
		func(r *Result) *float64 { return &r.WrittenPerRecord }, func(r *Result) *float64 { return &r.Others },
	} {
		*figure(&m) = middle(values(func(r *Result) float64 { return *figure(r) }))
	}
	for _, figure := range []func(*Result) *int64{
		func(r *Result) *int64 { return &r.PeakRSS }, func(r *Result) *int64 { return &r.Disk }, func(r *Result) *int64 { return &r.Retries },
	} {
		*figure(&m) = int64(middle(values(func(r *Result) float64 { return float64(*figure(r)) })))
	}
	ends := func(of func(*Result) float64) [2]float64 {
		vs := values(of)
		return [2]float64{vs[0], vs[len(vs)-1]}
	}
	m.Spread = &Spread{len(rs), ends(func(r *Result) float64 { return r.PerSecond }), ends(func(r *Result) float64 { return r.Ratio }),
		ends(func(r *Result) float64 { return r.CPURatio })}
	return m
}

// middle returns the median of sorted values.
func middle(vs []float64) float64 {
	n := len(vs)
	return (vs[(n-1)/2] + vs[n/2]) / 2
}
