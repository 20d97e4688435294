package bench

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Present returns a Config.Progress that draws on f, which is usually standard error: a bar with its rate on a
// terminal, lines in a pipe. close ends the drawing.
func Present(f *os.File) (progress func(phase, what string, done, total int), close func()) {
	if term.IsTerminal(int(f.Fd())) {
		return bars(f)
	}
	return lines(f, 5*time.Second, time.Now), func() {}
}

func bars(w io.Writer) (progress func(phase, what string, done, total int), close func()) {
	var mu sync.Mutex
	var bar *progressbar.ProgressBar
	title := ""
	clear := func() {
		if bar != nil {
			bar.Clear()
			bar = nil
		}
	}
	progress = func(phase, what string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if t := strings.TrimSpace(phase + "  " + what); t != title {
			clear()
			title = t
			bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(title), progressbar.OptionShowIts(),
				progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(30))
			bar.RenderBlank()
		}
		if total > 0 {
			bar.ChangeMax(total + 1) // a bar that is full draws no more
			bar.Set(done)
		}
	}
	return progress, func() {
		mu.Lock()
		defer mu.Unlock()
		clear()
	}
}

// lines writes a line when something else begins, and then at most one every interval.
func lines(w io.Writer, interval time.Duration, now func() time.Time) func(phase, what string, done, total int) {
	var mu sync.Mutex
	var title string
	var last time.Time
	return func(phase, what string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		t := strings.TrimSuffix(phase+": "+what, ": ")
		if t == title && (total == 0 || now().Sub(last) < interval) {
			return
		}
		title, last = t, now()
		if total > 0 {
			t += fmt.Sprintf(" %s of %s", thousands(done), thousands(total))
		}
		fmt.Fprintln(w, t)
	}
}

// Print writes a report for people.
func Print(w io.Writer, rep *Report) error {
	var b strings.Builder
	m := rep.Machine
	fmt.Fprintf(&b, "induct %s, %d CPUs %s, %s/%s %s, %s\n", rep.Version, m.CPUs, m.Model, m.OS, m.Arch, m.Kernel, m.Go)
	fmt.Fprintf(&b, "%s people, seed %d, %d connections, %.0f bytes a record", thousands(rep.People), rep.Seed, rep.Connections, rep.BytesPerRecord)
	if rep.Repeat > 1 {
		fmt.Fprintf(&b, "; medians of %d", rep.Repeat)
	}
	b.WriteString("\n\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "people\twork\trecords/s\tµs\tCPU µs\tothers\tfloor/s\tratio\tCPU ratio\tp50 ms\tp95\tp99\tpeak MB\tdisk MB\twritten B\t floor")
	for i := range rep.Results {
		r := &rep.Results[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t %s\n", thousands(r.People), r.Name, thousands(int(r.PerSecond)),
			decimal(r.Micros, 1), decimal(r.CPUMicros, 1), percent(r.Others), count(int(r.FloorPerSecond)), decimal(r.Ratio, 3), decimal(r.CPURatio, 3),
			decimal(r.P50, 2), decimal(r.P95, 2), decimal(r.P99, 2), count(int(r.PeakRSS>>20)), count(int(r.Disk>>20)), count(int(r.WrittenPerRecord)), r.Floor)
	}
	t.Flush()
	b.WriteByte('\n')
	printSpread(&b, rep.Results)
	printGrowth(&b, rep.Results)
	if most := slices.MaxFunc(append(rep.Results, Result{}), func(a, z Result) int { return cmp.Compare(a.Others, z.Others) }); most.Others > noisy {
		fmt.Fprintf(&b, "Others used up to %s of the processors (%s). Compare CPU ratios before ratios, and ratios before records/s.\n", percent(most.Others), most.Name)
	}
	for _, r := range rep.Results {
		if r.Retries > 0 {
			fmt.Fprintf(&b, "%s: %s requests were put off by the service (429 or 5xx).\n", r.Name, thousands(int(r.Retries)))
		}
	}
	for _, n := range rep.Notes {
		fmt.Fprintln(&b, n)
	}
	if rep.Interrupted {
		fmt.Fprintln(&b, "Interrupted: this is what was measured until then.")
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// noisy is the share of the processors that others may use before it is said.
const noisy = .05

// printSpread writes how far repeated measurements lay apart.
func printSpread(b *strings.Builder, results []Result) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range results {
		if s := r.Spread; s != nil {
			fmt.Fprintf(t, "%s\t%s\trecords/s %s to %s", thousands(r.People), r.Name, thousands(int(s.PerSecond[0])), thousands(int(s.PerSecond[1])))
			if r.Floor != "" {
				fmt.Fprintf(t, "\t ratio %.3f to %.3f", s.Ratio[0], s.Ratio[1])
			}
			if r.CPURatio != 0 {
				fmt.Fprintf(t, "\t CPU ratio %.3f to %.3f", s.CPURatio[0], s.CPURatio[1])
			}
			fmt.Fprintln(t)
		}
	}
	t.Flush()
}

// printGrowth writes, for several sizes, what a record costs beside what it costs at the smallest size.
func printGrowth(b *strings.Builder, results []Result) {
	first, larger := map[string]Result{}, false
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\npeople\twork\ttime of a record\tits CPU\tpeak memory, B a person\t")
	for _, r := range results {
		base, ok := first[r.Name]
		if !ok {
			first[r.Name], base = r, r
		}
		larger = larger || ok
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", thousands(r.People), r.Name, times(r.Micros, base.Micros), times(r.CPUMicros, base.CPUMicros),
			count(int(float64(r.PeakRSS)/float64(r.People))))
	}
	if larger {
		t.Flush()
	}
}

// times writes how often b goes into a.
func times(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	return strconv.FormatFloat(a/b, 'f', 2, 64) + " ×"
}

// decimal writes n, or nothing if it was not measured.
func decimal(n float64, digits int) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatFloat(n, 'f', digits, 64)
}

func percent(share float64) string {
	if share < .005 {
		return ""
	}
	return strconv.Itoa(int(100*share+.5)) + " %"
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return thousands(n)
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
