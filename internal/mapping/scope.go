package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"induct/internal/expr"
	"induct/internal/scim"
)

// scope is a compiled set of filter groups: groups are or-ed, clauses and-ed.
type scope []group

type group struct {
	name    string
	clauses []clause
}

// Bounds of a clause.
const (
	maxValues      = 1000
	maxValueLength = 10_000
)

type clause struct {
	slot int
	name string // of the attribute
	text string // as Outcome.OutOfScope shows it
	test test
}

// test decides about a value that is neither null nor empty; "" is no reason.
type test func(v expr.Value) (holds bool, reason string)

// operator is a filter operator of the "filterOperatorSchema resource type" page of Microsoft Graph, or one of
// those that "Scoping users or groups to be provisioned" adds.
type operator struct {
	name    string
	types   string // the attribute types it takes
	min     int    // values
	max     int
	compile func(typ string, values []string) (test, error)
}

// Operator describes a filter operator, for Graph's listing of filterOperators.
type Operator struct {
	Name  string
	Unary bool     // it takes no value
	Types []string // the attribute types that it takes
}

// Operators returns the filter operators, those of Graph's own listing first.
func Operators() []Operator {
	ops := operators()
	out := make([]Operator, len(ops))
	for i, o := range ops {
		out[i] = Operator{Name: o.name, Unary: o.max == 0, Types: strings.Fields(o.types)}
	}
	return out
}

const (
	isNull    = "IS NULL"
	isNotNull = "IS NOT NULL"
)

func operators() []operator {
	const plain, any = "String Integer", "String Integer Binary Boolean"
	return []operator{
		{"EQUALS", plain, 1, 1, equals(true)},
		{"NOT EQUALS", plain, 1, 1, equals(false)},
		{"IS TRUE", "Boolean", 0, 0, isBool(true)},
		{"IS FALSE", "Boolean", 0, 0, isBool(false)},
		{isNull, any, 0, 0, either(false)},
		{isNotNull, any, 0, 0, either(true)},
		{"REGEX MATCH", plain, 1, 1, matches(true)},
		{"NOT REGEX MATCH", plain, 1, 1, matches(false)},
		{"Greater_Than", plain, 1, 1, greater(func(n, limit int64) bool { return n > limit })},
		{"Greater_Than_OR_EQUALS", plain, 1, 1, greater(func(n, limit int64) bool { return n >= limit })},
		{"Includes", "String", 1, 1, contains(strings.Contains)},
		{"ENDS_WITH", "String", 1, 1, contains(strings.HasSuffix)},
		{"&", plain, 1, maxValues, member(true)},
		{"!&", plain, 1, maxValues, member(false)},
	}
}

func either(holds bool) func(string, []string) (test, error) {
	return func(string, []string) (test, error) {
		return func(expr.Value) (bool, string) { return holds, "" }, nil
	}
}

func isBool(want bool) func(string, []string) (test, error) {
	return func(string, []string) (test, error) {
		return func(v expr.Value) (bool, string) { b, ok := v.AsBool(); return ok && b == want, "" }, nil
	}
}

func equals(want bool) func(string, []string) (test, error) {
	return func(typ string, values []string) (test, error) {
		operand := values[0]
		if typ == "Integer" {
			n, err := integer(operand)
			if err != nil {
				return nil, err
			}
			operand = strconv.FormatInt(n, 10)
		}
		return func(v expr.Value) (bool, string) { return (v.String() == operand) == want, "" }, nil
	}
}

func matches(want bool) func(string, []string) (test, error) {
	return func(_ string, values []string) (test, error) {
		re, err := regexp.Compile(values[0])
		if err != nil {
			return nil, fmt.Errorf("the pattern %s cannot be used: %w", quote(values[0]), err)
		}
		return func(v expr.Value) (bool, string) { return re.MatchString(v.String()) == want, "" }, nil
	}
}

func contains(holds func(s, part string) bool) func(string, []string) (test, error) {
	return func(_ string, values []string) (test, error) {
		if values[0] == "" {
			return nil, fmt.Errorf("the value is empty, which every text has; give a value")
		}
		return func(v expr.Value) (bool, string) { return holds(v.String(), values[0]), "" }, nil
	}
}

func greater(holds func(n, limit int64) bool) func(string, []string) (test, error) {
	return func(_ string, values []string) (test, error) {
		limit, err := integer(values[0])
		if err != nil {
			return nil, err
		}
		return func(v expr.Value) (bool, string) {
			n, ok := v.AsInt()
			if !ok {
				return false, quote(v.String()) + " is not an Integer"
			}
			return holds(n, limit), ""
		}, nil
	}
}

// member tests bits of an Integer, and whether a String is one of the values (or of a comma-separated one).
func member(want bool) func(string, []string) (test, error) {
	return func(typ string, values []string) (test, error) {
		if typ == "Integer" {
			if len(values) != 1 {
				return nil, fmt.Errorf("a bit test takes one value, not %d", len(values))
			}
			mask, err := integer(values[0])
			if err != nil {
				return nil, err
			}
			return func(v expr.Value) (bool, string) { n, _ := v.AsInt(); return (n&mask != 0) == want, "" }, nil
		}
		set := map[string]bool{}
		for _, value := range values {
			set[value] = true
			for part := range strings.SplitSeq(value, ",") {
				set[strings.TrimSpace(part)] = true
			}
		}
		return func(v expr.Value) (bool, string) { return set[v.String()] == want, "" }, nil
	}
}

func integer(s string) (int64, error) {
	n, ok := expr.Text(s).AsInt()
	if !ok {
		return 0, fmt.Errorf("the value %s is not an Integer", quote(s))
	}
	return n, nil
}

// compileClause makes one clause; slot is where its operand, the source attribute a, is read.
func compileClause(group string, c Clause, a *Attribute, slot int) (clause, error) {
	ops := operators()
	i := slices.IndexFunc(ops, func(o operator) bool { return strings.EqualFold(o.name, c.OperatorName) })
	if i < 0 {
		return clause{}, fmt.Errorf("there is no operator %s; use one of %s", quote(c.OperatorName), operatorNames(ops))
	}
	op, typ := ops[i], a.Type
	if typ == "" {
		typ = "String"
	}
	if !slices.Contains(strings.Fields(op.types), typ) {
		return clause{}, fmt.Errorf("%s takes %s, and %s is %s; %s", op.name, strings.ReplaceAll(op.types, " ", ", "), a.Name, article(typ), instead(ops, typ))
	}
	if len(c.Values) > maxValues {
		return clause{}, fmt.Errorf("%d values are given; at most %d are allowed", len(c.Values), maxValues)
	}
	for _, v := range c.Values {
		if len(v) > maxValueLength {
			return clause{}, fmt.Errorf("a value has %d bytes; at most %d are allowed", len(v), maxValueLength)
		}
	}
	values := c.Values
	if op.max == 0 {
		values = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return s == "" })
	}
	if len(values) < op.min || len(values) > op.max {
		return clause{}, fmt.Errorf("%s takes %s, not %d", op.name, arity(op), len(values))
	}
	t, err := op.compile(typ, values)
	if err != nil {
		return clause{}, err
	}
	out := clause{slot: slot, name: a.Name, text: clauseText(group, a.Name, op.name, values), test: t}
	if op.name == isNull {
		out.test = nil
	}
	return out, nil
}

func arity(op operator) string {
	switch {
	case op.max == 0:
		return "no value"
	case op.max == 1:
		return "one value"
	}
	return fmt.Sprintf("%d to %d values", op.min, op.max)
}

// instead says which operators take a type.
func instead(ops []operator, typ string) string {
	ops = slices.DeleteFunc(ops, func(o operator) bool { return !slices.Contains(strings.Fields(o.types), typ) })
	if len(ops) == 0 {
		return "no operator does: decide by another attribute, or by IgnoreObjectFlow in a mapping"
	}
	return "use one of " + operatorNames(ops)
}

func operatorNames(ops []operator) string {
	names := make([]string, len(ops))
	for i, o := range ops {
		names[i] = o.name
	}
	return strings.Join(names, ", ")
}

func clauseText(group, attribute, op string, values []string) string {
	if i := strings.LastIndexByte(attribute, ':'); i >= 0 && strings.HasPrefix(strings.ToLower(attribute), "urn:") {
		attribute = attribute[i+1:]
	}
	var b strings.Builder
	if group != "" {
		b.WriteString(group + ".")
	}
	b.WriteString(attribute + " " + op)
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" '" + shorten(v, maxShown) + "'")
	}
	return b.String()
}

// verdict is what a clause says about a record.
type verdict struct {
	value   expr.Value
	holds   bool
	problem *mismatch // it cannot be decided
}

// decide asks a clause about the value of its attribute. Every operator but IS NULL is false for no value. An attribute
// with several values must hold with each of them, as the "All" of Graph's listing of operators says.
func (c *clause) decide(v expr.Value) verdict {
	d := verdict{value: v}
	if v.IsEmpty() || c.test == nil {
		d.holds = v.IsEmpty() == (c.test == nil)
		return d
	}
	if v.Kind() != expr.List {
		d.holds, d.problem = c.ask(v)
		return d
	}
	d.holds = true
	for _, e := range v.Elems() {
		if holds, problem := c.ask(e); !holds {
			d.holds, d.problem = false, problem
			break
		}
	}
	return d
}

func (c *clause) ask(v expr.Value) (bool, *mismatch) {
	holds, reason := c.test(v)
	if reason != "" {
		return false, &mismatch{codeEntry, reason, "Send a value that the clause can compare, or change the clause."}
	}
	return holds, nil
}

// out returns "" for a record that is in scope, else the clauses that decided: the first that failed of each
// group. source are the values by slot.
func (p *Program) out(s scope, source []scim.Value) (string, *Problem) {
	if len(s) == 0 {
		return "", nil
	}
	var failed []string
	for i := range s {
		c, problem := p.firstFailed(&s[i], source)
		if problem != nil {
			return "", problem
		}
		if c == nil {
			return "", nil
		}
		failed = append(failed, c.text)
	}
	return strings.Join(failed, "; "), nil
}

func (p *Program) firstFailed(g *group, source []scim.Value) (*clause, *Problem) {
	for i := range g.clauses {
		c := &g.clauses[i]
		in := &p.inputs[c.slot]
		v, bad := in.read(source[c.slot])
		if bad != nil {
			return nil, in.problem(bad, "a scoping filter reads it")
		}
		switch d := c.decide(v); {
		case d.problem != nil:
			return nil, in.undecided(c, d.problem)
		case !d.holds:
			return c, nil
		}
	}
	return nil, nil
}

func (in *input) undecided(c *clause, bad *mismatch) *Problem {
	reason := bad.reason
	if in.redacted {
		reason = "the value, which is redacted, cannot be compared"
	}
	return &Problem{Code: bad.code, Attribute: in.Name, Reason: "The scoping clause " + c.text + " cannot be decided: " + reason + ".", Advice: bad.advice}
}
