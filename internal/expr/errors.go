package expr

import (
	"errors"
	"fmt"
	"strings"
)

// Error says why a source text is not an expression that can run.
type Error struct {
	Pos int // where, in characters from the start of the source, counted from 0
	Msg string
}

func (e *Error) Error() string { return fmt.Sprintf("character %d: %s", e.Pos+1, e.Msg) }

// EvalError says why a function could give no value for one record.
type EvalError struct {
	Func string // the function, as the reference spells it
	Msg  string
}

func (e *EvalError) Error() string { return e.Func + ": " + e.Msg }

// What an expression answers in place of a value.
var (
	// ErrIgnoreAttribute means that the attribute takes no part in the flow: the target keeps its value.
	ErrIgnoreAttribute = errors.New("the expression leaves this attribute out of the flow")
	// ErrIgnoreObject means that the whole record is skipped.
	ErrIgnoreObject = errors.New("the expression leaves this object out of the flow")
)

func errorAt(pos int, format string, args ...any) *Error {
	return &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)}
}

// nearest returns the one of names that is closest to name, or "" if none is close.
func nearest(name string, names []string) string {
	best, limit := "", max(2, len(name)/3)+1
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

// distance is the Levenshtein distance of a and b, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
