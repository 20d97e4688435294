package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Error says why a source text is not an expression that can run.
type Error struct {
	Pos         int // where, in characters from the start of the source, counted from 0
	Offset, End int // the bytes that are wrong: source[Offset:End]; End may be Offset, and beyond the end of the source
	Msg         string
}

func (e *Error) Error() string { return fmt.Sprintf("character %d: %s", e.Pos+1, e.Msg) }

// caretWidth is how many columns of a line Caret shows.
const caretWidth = 76

// Caret draws the line of src that the error is in, and below it a caret under the mistake. A long line is cut
// around the mistake; tabs and control characters are shown as a blank. The text is two lines without an end of line.
func (e *Error) Caret(src string) string {
	at := min(max(e.Offset, 0), len(src))
	start := strings.LastIndexByte(src[:at], '\n') + 1
	line, _, _ := strings.Cut(src[start:], "\n")
	at = min(at-start, len(line))
	end := min(max(e.End-start, at), len(line))
	before, cutLeft := window([]rune(line[:at]), max(caretWidth/2, caretWidth-columns(line[at:])), true)
	after, cutRight := window([]rune(line[at:]), caretWidth-columns(before), false)
	if cutLeft {
		before = "…" + before
	}
	marks := min(columns(line[at:end]), columns(after))
	if cutRight {
		after += "…"
	}
	return before + after + "\n" + strings.Repeat(" ", columns(before)) + "^" + strings.Repeat("~", max(marks-1, 0))
}

// window keeps at most so many columns of a text, of its end or of its start, and tells whether it cut.
func window(t []rune, most int, end bool) (kept string, cut bool) {
	if end {
		slices.Reverse(t)
		defer func() {
			r := []rune(kept)
			slices.Reverse(r)
			kept = string(r)
		}()
	}
	for i, r := range t {
		if unicode.IsControl(r) {
			t[i] = ' '
		}
		if most -= columns(string(t[i])); most < 0 {
			return string(t[:i]), true
		}
	}
	return string(t), false
}

// columns is how wide a terminal shows t: two columns for East Asian wide characters, none for combining marks.
func columns(t string) (n int) {
	for _, r := range t {
		switch k := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// EvalError says why a function could give no value for one record.
type EvalError struct {
	Func     string // the function, as the reference spells it, or "comparison"
	Pos, End int    // its call in the source, as byte offsets
	Msg      string // holds no value that is read under Redact
}

func (e *EvalError) Error() string { return e.Func + ": " + e.Msg }

// What an expression answers in place of a value.
var (
	// ErrIgnoreAttribute means that the attribute takes no part in the flow: the target keeps its value.
	ErrIgnoreAttribute = errors.New("the expression leaves this attribute out of the flow")
	// ErrIgnoreObject means that the whole record is skipped.
	ErrIgnoreObject = errors.New("the expression leaves this object out of the flow")
)

func errorAt(pos, end int, format string, args ...any) *Error {
	return &Error{Offset: pos, End: max(pos, end), Msg: fmt.Sprintf(format, args...)}
}

func (n *Node) errorf(format string, args ...any) *Error {
	end := n.End
	if n.Kind == CallNode {
		end = n.Pos + len(n.Name)
	}
	return errorAt(n.Pos, end, format, args...)
}

// maxNearest bounds the names that nearest compares: a longer one is not a misspelling of anything.
const maxNearest = 200

// Nearest returns the one of names that is likely meant by name, or "" if none is close: for messages about names that
// are no part of an expression.
func Nearest(name string, names []string) string { return nearest(name, names) }

// nearest returns the one of names that is closest to name, or "" if none is close.
func nearest(name string, names []string) string {
	best, limit := "", max(2, len(name)/3)+1
	if len(name) > maxNearest {
		return ""
	}
	for _, n := range names {
		if abs(len(n)-len(name)) >= limit {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < limit {
			best, limit = n, d
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// distance is how many bytes have to be inserted, removed, changed or swapped with their neighbour to make b of a.
func distance(a, b string) int {
	last, row := make([]int, len(b)+1), make([]int, len(b)+1)
	next := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], last[j-1]+1)
			}
		}
		last, row, next = row, next, last
	}
	return row[len(b)]
}
