package upload

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Present returns what draws events on f, which is usually standard error: a bar on a terminal,
// lines in a pipe.
func Present(f *os.File) func(Event) {
	if term.IsTerminal(int(f.Fd())) {
		return Bar(f)
	}
	return Lines(f, 5*time.Second, time.Now)
}

// Bar draws a progress bar: of accepted records until the first outcome is known, then of outcomes.
func Bar(w io.Writer) func(Event) { return bar(w, 100*time.Millisecond) }

func bar(w io.Writer, throttle time.Duration) func(Event) {
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("uploading"), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false),
		progressbar.OptionThrottle(throttle), progressbar.OptionSetWidth(30),
		progressbar.OptionSetSpinnerChangeInterval(0)) // else it draws by itself, from a goroutine that does not end
	var waiting Retried
	return func(e Event) {
		switch e := e.(type) {
		case Progress:
			position, what := e.Done, "provisioned"
			if e.Done == 0 {
				position, what = e.Accepted, "accepted"
			}
			if time.Now().Before(waiting.Until) { // outcomes come in while requests wait
				bar.Describe(describe(what, position, e.Total) + ", " + waits(waiting))
			} else {
				bar.Describe(describe(what, position, e.Total) + pace(e))
			}
			if e.Total > 0 {
				bar.ChangeMax64(int64(e.Total) + 1) // a bar that is full draws no more
			}
			bar.Set(position)
		case Retried:
			waiting = e
			bar.Describe(waits(e))
		case Noted:
			bar.Clear()
			fmt.Fprintln(w, Clean(e.Text))
		case Finished:
			bar.Clear()
		}
	}
}

func describe(what string, n, total int) string {
	if total > 0 {
		return fmt.Sprintf("%s %s of %s", what, thousands(n), thousands(total))
	}
	return what + " " + thousands(n)
}

// pace is the rate, and how long it will take at that.
func pace(p Progress) string {
	if p.PerSecond == 0 {
		return ""
	}
	text := fmt.Sprintf(", %s/s", thousands(int(p.PerSecond+0.5)))
	if p.Remaining > 0 {
		text += ", " + p.Remaining.String() + " left"
	}
	return text
}

func waits(e Retried) string {
	return "waiting, goes on " + when(e) + ": " + shorten(Clean(e.Cause), 40)
}

// when says when a request is repeated: short waits by their length, long ones by the time of day.
func when(e Retried) string {
	if e.Wait < 2*time.Minute || e.Until.IsZero() {
		return "in " + e.Wait.Round(100*time.Millisecond).String()
	}
	return clock(e.Until, e.Until.Add(-e.Wait))
}

// Lines writes a line of progress at most once every interval, and one for what it waits for.
func Lines(w io.Writer, interval time.Duration, now func() time.Time) func(Event) {
	var last time.Time
	var shown, latest Progress
	var cause string // of the last retry that was told, and how long others of the same cause need not be
	var told time.Time
	line := func() {
		of := ""
		if latest.Total > 0 {
			of = " of " + thousands(latest.Total)
		}
		fmt.Fprintf(w, "accepted %s%s, outcome known for %s%s\n", thousands(latest.Accepted), of, thousands(latest.Done), pace(latest))
		shown = latest
	}
	return func(e Event) {
		switch e := e.(type) {
		case Progress:
			latest = e
			if t := now(); t.Sub(last) >= interval {
				last = t
				line()
			}
		case Retried:
			if t := now(); e.Cause != cause || !t.Before(told) {
				fmt.Fprintf(w, "goes on %s: %s\n", when(e), Clean(e.Cause))
				cause, told = e.Cause, t.Add(e.Wait)
			}
		case Noted:
			fmt.Fprintln(w, Clean(e.Text))
		case Finished:
			if latest != shown {
				line()
			}
		}
	}
}

// JSON writes each event as one JSON object on a line: {"event":"progress","read":50,…}.
// The last, "finished", holds the summary and, if the run failed, its error.
func JSON(w io.Writer) func(Event) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(e Event) {
		// A failed write shows in the exit of the reader at the other end of the pipe.
		switch e := e.(type) {
		case Sent:
			enc.Encode(named[Sent]{e.event(), e})
		case Retried:
			enc.Encode(named[Retried]{e.event(), e})
		case Accepted:
			enc.Encode(named[Accepted]{e.event(), e})
		case Noted:
			enc.Encode(named[Noted]{e.event(), e})
		case Progress:
			enc.Encode(named[Progress]{e.event(), e})
		case Finished:
			f := finishedJSON{Event: e.event(), Summary: e.Summary, Exit: ExitCode(e.Summary, e.Err)}
			if e.Err != nil {
				f.Error = Clean(e.Err.Error())
			}
			enc.Encode(f)
		}
	}
}

type finishedJSON struct {
	Event   string  `json:"event"`
	Exit    int     `json:"exitCode"`
	Error   string  `json:"error,omitempty"`
	Summary Summary `json:"summary"`
}

// named puts an event's name before its members.
type named[E Event] struct {
	name string
	e    E
}

func (n named[E]) MarshalJSON() ([]byte, error) {
	body, err := json.Marshal(n.e)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"event":%q,%s`, n.name, body[1:]), nil
}

// shownRows is how many failed rows a printed summary lists, and shownAlike how many of one reason; the JSON output
// and the file of failed rows have all.
const (
	shownRows  = 50
	shownAlike = 10
)

// PrintSummary writes s for people: counts by end, reasons, and the rows that failed with what to do.
func PrintSummary(w io.Writer, s Summary) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s read, %s accepted in %s, %s.\n", count(s.Read, "row"), thousands(s.Accepted),
		count(s.Requests, "request"), s.Elapsed.Round(100*time.Millisecond))
	if s.Resumed > 0 {
		fmt.Fprintf(&b, "%s had been accepted before; this run went on from there.\n", count(s.Resumed, "row"))
	}
	if s.Refused > 0 {
		fmt.Fprintf(&b, "%s in refused requests: nothing of them is stored.\n", count(s.Refused, "row"))
	}
	if s.Repeated > 0 {
		fmt.Fprintf(&b, "%s sent again after an answer was lost: this service may have taken them twice, which leaves the person as the row says.\n", count(s.Repeated, "row"))
	}
	if s.Retries > 0 {
		fmt.Fprintf(&b, "%s repeated.\n", count(s.Retries, "request"))
	}
	if s.Unknown > 0 {
		fmt.Fprintf(&b, "%s without an answer: they may be stored. Sending them again does no harm.\n", count(s.Unknown, "row"))
	}
	if s.Note != "" {
		b.WriteString(s.Note + "\n")
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(s.Ends) > 0 {
		b.WriteByte('\n')
		for _, end := range byCount(s.Ends) {
			fmt.Fprintf(t, "  %s\t%s\n", end, thousands(s.Ends[end]))
		}
		t.Flush()
	}
	if len(s.Reasons) > 0 {
		b.WriteString("\nReasons\n")
		for _, code := range byCount(s.Reasons) {
			fmt.Fprintf(t, "  %s\t%s\n", code, thousands(s.Reasons[code]))
		}
		t.Flush()
	}
	printRows(&b, "Failed", s.Failed)
	printRows(&b, "Skipped", s.Skipped)
	printRows(&b, "Held", ending(s.Waiting, "held"))
	printRows(&b, "Retrying", ending(s.Waiting, "retrying"))
	if s.Omitted > 0 {
		fmt.Fprintf(&b, "\n%s more failed, were skipped, or wait.\n", count(s.Omitted, "row"))
	}
	if s.FailedFile != "" {
		fmt.Fprintf(&b, "\nThe rows that failed are in %s, each with its reason: correct them there, and upload that file.\n", s.FailedFile)
	}
	if s.Journal != "" {
		fmt.Fprintf(&b, "\nThe upload has not finished. The same command goes on with it; %s remembers how far it has come.\n", s.Journal)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ending returns the rows with an end.
func ending(rows []Outcome, end string) (some []Outcome) {
	for _, o := range rows {
		if o.End == end {
			some = append(some, o)
		}
	}
	return some
}

func printRows(w io.Writer, title string, rows []Outcome) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	shown, alike := 0, map[string]int{}
	for _, o := range rows {
		if alike[o.Code]++; shown == shownRows || alike[o.Code] > shownAlike {
			continue
		}
		shown++
		code := o.Code
		if o.Attribute != "" {
			code += " (" + o.Attribute + ")"
		}
		fmt.Fprintf(t, "  line %d\t%s\t%s\t%s\n", o.Line, cmp.Or(shorten(o.Anchor, 24), "-"), shorten(code, 60), shorten(o.Reason, 160))
	}
	t.Flush()
	if more := len(rows) - shown; more > 0 {
		fmt.Fprintf(w, "  … and %s\n", count(more, "more row"))
	}
	printAdvice(w, rows)
}

// printAdvice writes what to do, once for each code.
func printAdvice(w io.Writer, rows []Outcome) {
	seen := map[string]bool{}
	for _, o := range rows {
		if o.Advice == "" || seen[o.Code] {
			continue
		}
		seen[o.Code] = true
		fmt.Fprintf(w, "  %s: %s\n", cmp.Or(o.Code, "advice"), o.Advice)
	}
}

// byCount returns the keys, the largest count first.
func byCount(m map[string]int) []string {
	keys := slices.Sorted(maps.Keys(m))
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(m[b], m[a]) })
	return keys
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return thousands(n) + " " + noun
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
