package expr

import (
	"fmt"
	"slices"
	"strings"

	"induct/internal/expr/netdate"
	"induct/internal/expr/regex"
)

// Finding is something about an expression that runs that an administrator should know.
type Finding struct {
	Pos, End int // bytes of the source
	Code     string
	Message  string // what it does, and what to write if something else is meant
}

// The codes of findings.
const (
	// CodeSpelling: a function, a keyword or an attribute is written with other capitals than its own.
	CodeSpelling = "spelling"
	// CodePortable: Entra does not document it, or documents that it does not work.
	CodePortable = "portable"
	// CodeVolatile: the value differs from one evaluation to the next. It does not matter for a mapping that flows only
	// when a person is created: whoever knows that leaves it out.
	CodeVolatile = "volatile"
	// CodeDateOrder: a DateDiff with Now is compared so that it may hold on the wrong side of the date.
	CodeDateOrder = "dateOrder"
	// CodeDateFormat: a date format has a letter that is probably another one's: minutes for months, D for d.
	CodeDateFormat = "dateFormat"
	// CodeReplace: plain text looks like a regular expression, or the other way round.
	CodeReplace = "replace"
	// CodePattern: a regular expression that matches nothing, everything or, unanchored, a part.
	CodePattern = "pattern"
	// CodeComparison: a comparison does not do what it seems to.
	CodeComparison = "comparison"
	// CodeDuplicateKey: a Switch has a key twice, or twice but for capitals.
	CodeDuplicateKey = "duplicateKey"
	// CodeSwitchSource: the source of a Switch is a function that must not be.
	CodeSwitchSource = "switchSource"
	// CodeSeveral: a function that gives several values stands where one is wanted.
	CodeSeveral = "several"
	// CodeConstant: a condition that is the same for everybody.
	CodeConstant = "constant"
	// CodeRange: a position that is outside of every text.
	CodeRange = "range"
	// CodeDepth: calls are nested nearly as deep as they may be.
	CodeDepth = "depth"
)

// deep is the nesting that Lint warns of.
const deep = MaxDepth * 8 / 10

// Lint looks for what an administrator is likely not to mean. Findings are in the order of the source.
func (p *Program) Lint() []Finding {
	l := linter{known: p.known}
	l.spelling(p.written)
	l.visit(p.tree, nil, 0)
	slices.SortStableFunc(l.found, func(a, b Finding) int { return a.Pos - b.Pos })
	return l.found
}

type linter struct {
	known []string
	found []Finding
}

func (l *linter) add(n *Node, code, format string, args ...any) {
	e := n.errorf(format, args...)
	l.found = append(l.found, Finding{e.Offset, e.End, code, e.Msg})
}

func (l *linter) spelling(tree *Node) {
	tree.walk(func(n *Node) {
		switch n.Kind {
		case CallNode:
			if f := lookup(n.Name); f.Name != n.Name {
				l.add(n, CodeSpelling, "the function is spelled %s; Entra takes that spelling only", f.Name)
			}
		case AttributeNode:
			if slices.Contains(l.known, n.Name) {
				return
			}
			if i := slices.IndexFunc(l.known, func(k string) bool { return strings.EqualFold(k, n.Name) }); i >= 0 {
				l.add(n, CodeSpelling, "the attribute is spelled [%s]", l.known[i])
			}
		}
	})
}

// visit looks at n, which is argument of a call of the function parent.
func (l *linter) visit(n *Node, parent *Function, depth int) {
	if n == nil {
		return
	}
	switch n.Kind {
	case BooleanNode:
		l.add(n, CodePortable, "Entra knows no %s without quotes; write %s", n.Name, quote(n.Name))
	case ComparisonNode:
		l.comparison(n)
	case CallNode:
		f := lookup(n.Name)
		if depth++; depth == deep {
			l.add(n, CodeDepth, "calls are nested %d deep here; at most %d are possible", depth, MaxDepth)
		}
		if f.Extension {
			l.add(n, CodePortable, "Entra does not document %s for app provisioning", f.Name)
		}
		if f.Volatile && !(f.Name == "Now" && parent != nil && (parent.Name == "DateDiff" || parent.Name == "DateAdd")) {
			why := "gives another value each time"
			if f.Name == selectUniqueValue {
				why = "gives another value once somebody has the first one, and that is also the person themself"
			}
			l.add(n, CodeVolatile, "%s %s; apply this mapping only when a person is created", f.Name, why)
		}
		l.call(n)
		parent = f
	}
	for _, a := range n.Args {
		l.visit(a, parent, depth)
	}
}

func (l *linter) call(n *Node) {
	f := lookup(n.Name)
	for i, a := range n.Args {
		if a != nil && a.Kind == CallNode && lookup(a.Name).Returns == Values && f.Param(i).Type != Any {
			l.add(a, CodeSeveral, "%s gives several values and %s takes one; put Item or Join between them", a.Name, f.Name)
		}
	}
	switch n.Name {
	case "IIF", "CBool":
		l.condition(n)
	case "Switch":
		l.switchKeys(n)
	case "Replace":
		l.replace(n)
	case "DateAdd", "DateDiff":
		if name, ok := argument(n, 0); ok && strings.Contains("q w y", name) {
			l.add(n.Args[0], CodePortable, "Entra does not document the interval %s", name)
		}
	case "FormatDateTime":
		l.dateFormat(n, 2)
		l.dateFormat(n, 3)
		l.zone(n)
	case "Mid":
		if start, ok := argumentInt(n, 1); ok && start < 1 {
			l.add(n.Args[1], CodeRange, "a start of %d gives the whole text; the first character is number 1", start)
		}
	case "Item":
		if i, ok := argumentInt(n, 1); ok && i < 1 {
			l.add(n.Args[1], CodeRange, "there is no item %d; the first is number 1", i)
		}
	case "Word":
		if i, ok := argumentInt(n, 1); ok && i < 1 {
			l.add(n.Args[1], CodeRange, "there is no word %d; the first is number 1", i)
		}
	}
}

// argument returns argument i of a call if it is a constant.
func argument(n *Node, i int) (string, bool) {
	if i < 0 || i >= len(n.Args) || n.Args[i] == nil {
		return "", false
	}
	v, ok := constant(n.Args[i])
	return v.String(), ok
}

func argumentInt(n *Node, i int) (int64, bool) {
	t, ok := argument(n, i)
	if !ok {
		return 0, false
	}
	return integer(Text(t))
}

func isFixed(n *Node) bool {
	fixed := true
	n.walk(func(n *Node) {
		f := lookup(n.Name)
		fixed = fixed && n.Kind != AttributeNode && n.Kind != KeywordNode && (n.Kind != CallNode || !f.Volatile && f.Name != "DefaultDomain")
	})
	return fixed
}

func (l *linter) condition(n *Node) {
	c := n.Args[0]
	if isFixed(c) {
		l.add(c, CodeConstant, "the condition is the same for everybody")
	}
	if c.Kind == CallNode && slices.Contains([]string{"IsNull", "IsNullOrEmpty", "IsPresent"}, c.Name) {
		l.add(c, CodePortable, "Entra documents that %s does not work in the condition of IIF", c.Name)
	}
}

// mirrored are the operators for sides that have been swapped.
var mirrored = map[string]string{"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}

// isDate reports whether n is a date: a text that says one, or a function that gives one.
func isDate(n *Node) bool {
	if n.Kind == CallNode {
		return lookup(n.Name).Returns == DateText
	}
	_, err := netdate.Parse(n.Name)
	return n.Kind == TextNode && err == nil
}

func (l *linter) comparison(n *Node) {
	left, right, op := n.Args[0], n.Args[1], n.Name
	if op != "=" && op != "<>" && (isDate(left) || isDate(right)) {
		l.add(n, CodeComparison, "dates are compared here as texts, letter by letter; write DateDiff(\"s\", %s, %s) %s 0", right, left, op)
		return
	}
	if _, ok := constant(left); ok {
		left, right, op = right, left, mirrored[op]
	}
	v, ok := constant(right)
	if !ok {
		return
	}
	switch t := v.String(); {
	case t == "":
		l.add(n, CodeComparison, "a comparison with an empty text does not hold for null; write IsNullOrEmpty(%s)", left)
	case op == "<>" && left.Kind == AttributeNode:
		l.add(n, CodeComparison, "this does not hold for people without %s, because a comparison with null is false; swap the values of IIF and compare with = if it should", left)
	case right.Kind == TextNode && len(t) > 1 && t[0] == '0' && strings.Trim(t, "0123456789") == "":
		l.add(right, CodeComparison, "two numbers are compared as numbers: %s is the same as %s", quote(t), quote(strings.TrimLeft(t[:len(t)-1], "0")+t[len(t)-1:]))
	}
	l.dateOrder(n, left, op, v)
}

func isNow(n *Node) bool {
	return n != nil && n.Kind == CallNode && (n.Name == "Now" || n.Name == "CDate" && isNow(n.Args[0]))
}

// dateOrder explains on which side of a date a condition such as DateDiff("d", Now(), [hireDate]) >= 0 holds.
func (l *linter) dateOrder(n, left *Node, op string, v Value) {
	limit, ok := integer(v)
	if !ok || limit != 0 || left.Kind != CallNode || left.Name != "DateDiff" || !strings.ContainsAny(op, "<>") || op == "<>" {
		return
	}
	from, to := left.Args[1], left.Args[2]
	later := strings.Contains(op, ">")
	if isNow(to) {
		later, from, to = !later, to, from
	}
	if !isNow(from) || isNow(to) {
		return
	}
	side := "after"
	if later {
		side = "before"
	}
	l.add(n, CodeDateOrder, "DateDiff is its last argument minus its second: this holds %s %s", side, to)
}

func (l *linter) switchKeys(n *Node) {
	if s := n.Args[0]; s.Kind == CallNode && slices.Contains([]string{"IsNull", "IsNullOrEmpty", "IsPresent"}, s.Name) {
		l.add(s, CodeSwitchSource, "%s must not be the source of Switch; use IIF", s.Name)
	}
	exact, folded := map[string]bool{}, map[string]bool{}
	for i := 2; i < len(n.Args); i += 2 {
		key, ok := argument(n, i)
		if !ok {
			continue
		}
		switch {
		case exact[key]:
			l.add(n.Args[i], CodeDuplicateKey, "the key %s stands here a second time; only the first counts", quote(key))
		case folded[strings.ToLower(key)]:
			l.add(n.Args[i], CodeDuplicateKey, "another key differs from %s by capitals only; put the source through ToLower and write the keys in small letters", quote(key))
		}
		exact[key], folded[strings.ToLower(key)] = true, true
	}
}

func (l *linter) replace(n *Node) {
	if old, ok := argument(n, replaceOld); ok && (strings.Contains(old, `\`) || strings.Contains(old, ".*") || strings.Contains(old, "(?") || strings.HasPrefix(old, "[") && strings.HasSuffix(old, "]") && len(old) > 2) {
		l.add(n.Args[replaceOld], CodeReplace, "oldValue is plain text and this looks like a regular expression; that is the third argument, regexPattern")
	}
	pattern, ok := argument(n, replacePattern)
	if !ok {
		return
	}
	at := n.Args[replacePattern]
	if strings.TrimFunc(pattern, func(r rune) bool { return !strings.ContainsRune(`\.+*?()[]{}|^$`, r) }) == "" {
		l.add(at, CodeReplace, "this regular expression is plain text; oldValue, the second argument, is simpler")
	}
	if by, ok := argument(n, replaceValue); ok && strings.Contains(by, "$") && n.Args[replaceGroup] == nil {
		l.references(n.Args[replaceValue], pattern, by)
	}
	for _, f := range lintPattern(pattern) {
		l.add(at, f.Code, "%s", f.Message)
	}
}

// references finds what a replacement refers to and the pattern does not have.
func (l *linter) references(at *Node, pattern, by string) {
	re, err := regex.Compile(pattern)
	if err != nil {
		return
	}
	for i := 0; i+1 < len(by); i++ {
		if by[i] != '$' {
			continue
		}
		if by[i+1] == '$' {
			i++
			continue
		}
		if name, _ := reference(by[i+1:]); name != "" {
			if _, ok := re.Group(name); !ok {
				l.add(at, CodeReplace, "the pattern has no group %s, so that $%s stands for itself; write $$ for a dollar sign", name, name)
			}
		}
	}
}

// LintPattern looks at the regular expression of a scoping filter. Pos and End are bytes of the pattern. A pattern that
// cannot be used has no findings.
func LintPattern(pattern string) []Finding {
	found := lintPattern(pattern)
	for i := range found {
		found[i].End = len(pattern)
	}
	plain := strings.TrimPrefix(pattern, "(?i)")
	starts := strings.HasPrefix(plain, "^") || strings.HasPrefix(plain, `\A`) || strings.HasPrefix(plain, ".*")
	ends := strings.HasSuffix(plain, "$") && !strings.HasSuffix(plain, `\$`) || strings.HasSuffix(plain, `\z`) || strings.HasSuffix(plain, `\Z`) || strings.HasSuffix(plain, ".*")
	if _, err := regex.Compile(pattern); err == nil && !(starts && ends) {
		found = append(found, Finding{0, len(pattern), CodePattern,
			fmt.Sprintf("the pattern matches anywhere in the value; write ^(?:%s)$ if it is meant for all of it", pattern)})
	}
	return found
}

// lintPattern finds what is wrong with a pattern wherever it is used.
func lintPattern(pattern string) []Finding {
	re, err := regex.Compile(pattern)
	if err != nil {
		return nil
	}
	steps := 1000
	if matches, err := re.Match("", &steps); err == nil && matches && strings.Trim(pattern, "^$") == "" && pattern != "^$" && pattern != "" {
		return []Finding{{0, 0, CodePattern, "the pattern matches every value"}}
	}
	if pattern == "" {
		return []Finding{{0, 0, CodePattern, "the pattern is empty and matches between all characters"}}
	}
	return nil
}

func (l *linter) dateFormat(n *Node, i int) {
	format, ok := argument(n, i)
	if !ok || len(format) < 2 {
		return
	}
	bare := unquoted(format)
	switch {
	case strings.ContainsAny(bare, "YD"):
		l.add(n.Args[i], CodeDateFormat, "Y and D stand for themselves in a date format; write small letters, yyyy and dd")
	case strings.Contains(bare, "mm") && !strings.Contains(bare, "M") && strings.Contains(bare, "yy") && !strings.ContainsAny(bare, "hH"):
		l.add(n.Args[i], CodeDateFormat, "mm is the minute; write MM for the month")
	case strings.Contains(bare, "hh") && !strings.Contains(bare, "t"):
		l.add(n.Args[i], CodeDateFormat, "hh has 12 hours and no AM or PM stands with it; write HH for 24 hours, or add tt")
	case strings.Contains(bare, "SS"):
		l.add(n.Args[i], CodeDateFormat, "S stands for itself in a date format; write ss for seconds")
	}
}

// zone warns of a Z that is written whatever the offset is.
func (l *linter) zone(n *Node) {
	in, _ := argument(n, 2)
	out, _ := argument(n, 3)
	styles, _ := argument(n, 1)
	universal := strings.Contains(strings.ToLower(styles), "adjusttouniversal")
	if len(out) > 1 && strings.Contains(unquoted(out), "Z") && strings.ContainsAny(unquoted(in), "zK") && !universal {
		l.add(n.Args[3], CodeDateFormat, "Z is written whatever the offset is; write K or zzz, or give AdjustToUniversal as dateTimeStyles")
	}
}

// unquoted is a date format without the text in it that is quoted.
func unquoted(format string) string {
	var b strings.Builder
	quote := rune(0)
	for _, r := range format {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
