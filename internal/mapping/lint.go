package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"induct/internal/expr"
)

// Finding is something about a schema that runs that an administrator should know.
type Finding struct {
	Path       string // as SchemaProblem.Path
	Name       string // of what stands there
	Code       string // one of expr's finding codes, or of the Code constants of this package
	Message    string // what happens, and what to write if something else is meant
	Expression string // the expression that Pos and End are in; "" if it is not about one
	Pos, End   int    // bytes of Expression
}

// The codes of findings about a schema; expr has those about expressions, and of these spelling, portable and pattern are used
// here too.
const (
	// CodeMatching: several people may have the value that people are matched by, or finding them is slow.
	CodeMatching = "matching"
	// CodeSameForAll: an attribute that tells people apart has the same value for everybody.
	CodeSameForAll = "sameForAll"
	// CodeNoActive: no mapping reads active, so nobody is ever disabled.
	CodeNoActive = "noActive"
	// CodeRequired: the target needs the attribute, and no mapping gives it.
	CodeRequired = "required"
	// CodeNoEffect: a setting that does nothing as things stand.
	CodeNoEffect = "noEffect"
	// CodeManyToOne: several values may come where the target takes one.
	CodeManyToOne = "manyToOne"
	// CodeNullExcluded: a clause that reads as "all but" leaves out people without a value.
	CodeNullExcluded = "nullExcluded"
	// CodeLeaver: a filter takes leavers out of scope, so that the record that would disable them is skipped.
	CodeLeaver = "leaver"
	// CodeDefaultDomain: an expression asks for the default domain, and the settings have none.
	CodeDefaultDomain = "defaultDomain"
)

// Lint looks for what runs and is likely not meant: expr's findings about each expression, and those above about the
// schema. It is nil for a schema that Compile refuses. Findings are in the order of the schema; those about the whole come first.
func Lint(s *Schema, set Settings) []Finding {
	c, p := compile(s, set)
	if p == nil {
		return nil
	}
	l := linter{compiler: c, program: p}
	l.whole()
	for i := range p.rules {
		l.rule(&p.rules[i])
	}
	if f := c.mapped.Scope; f != nil {
		at := c.at.member("scope")
		l.groups(at.member("inputFilterGroups"), f.InputGroups)
		l.groups(at.member("groups"), f.Groups)
	}
	return l.found
}

type linter struct {
	*compiler
	program *Program
	found   []Finding
}

func (l *linter) note(at place, code, format string, args ...any) {
	l.found = append(l.found, Finding{Path: at.path, Name: at.name, Code: code, Message: fmt.Sprintf(format, args...)})
}

// whole looks at what is missing.
func (l *linter) whole() {
	at := l.at.member("attributeMappings")
	if !slices.ContainsFunc(l.program.rules, func(r rule) bool { return r.readsActive }) {
		l.note(at, CodeNoActive, "no mapping reads active, so nobody is disabled who leaves; map it to accountEnabled, or Not([active]) to accountDisabled")
	}
	for _, a := range l.target.Attributes {
		if a.Required && !a.Anchor && !slices.ContainsFunc(l.program.rules, func(r rule) bool { return r.target.Name == a.Name }) {
			l.note(place{at.path, a.Name}, CodeRequired, "a new account needs %s, and no mapping gives it one", a.Name)
		}
	}
}

func (l *linter) rule(r *rule) {
	source := r.place.member("source")
	l.spelling(r.place.member("targetAttributeName"), r.mapping.TargetAttributeName, r.target.Name)
	if r.text != "" {
		l.expression(source, r)
	}
	name := strings.ToLower(r.target.Name)
	if r.priority > 0 && !slices.Contains(findable, name) {
		l.note(r.place.member("matchingPriority"), CodeMatching,
			"several people may have the same %s, and who matches two accounts fails; a directory may also have to look through everybody to find it; employeeId, userPrincipalName and mail are safe", r.target.Name)
	}
	if r.kind == Constant && (slices.Contains(findable, name) || slices.Contains(distinct, name)) {
		l.note(source, CodeSameForAll, "everybody would have the same %s, and only the first person can", r.target.Name)
	}
	if r.slot >= 0 && l.inputs[r.slot].MultiValued && !r.target.MultiValued {
		l.note(source, CodeManyToOne, "%s may have several values and %s takes one: such a person fails; map Item([%s], 1) or Join(\"; \", [%s])",
			l.inputs[r.slot].Name, r.target.Name, l.inputs[r.slot].Name, l.inputs[r.slot].Name)
	}
	l.effect(r)
}

// findable are target attributes, in lower case, that tell people apart and that directories find fast; distinct are others
// that no two people should share.
var (
	findable = []string{"employeeid", "userprincipalname", "mail", "samaccountname", "onpremisesimmutableid"}
	distinct = []string{"employeenumber", "mailnickname", "cn", "proxyaddresses"}
)

func (l *linter) spelling(at place, written, is string) {
	if written != is {
		l.note(at, expr.CodeSpelling, "the attribute is spelled %s", is)
	}
}

func (l *linter) expression(at place, r *rule) {
	prog := r.expr
	if prog == nil { // a plain attribute, which is not kept as a program
		var err error
		if prog, err = expr.Compile(r.text, expr.Env{Known: l.known}); err != nil {
			return
		}
	}
	if l.program.set.DefaultDomain == "" && strings.Contains(prog.String(), "DefaultDomain(") {
		l.note(at, CodeDefaultDomain, "the tenant has no default domain, so every record fails; set one, or write a domain in place of DefaultDomain()")
	}
	for _, f := range prog.Lint() {
		if f.Code == expr.CodeVolatile && r.createOnly {
			continue
		}
		l.found = append(l.found, Finding{Path: at.path, Name: at.name, Code: f.Code, Message: f.Message, Expression: r.text, Pos: f.Pos, End: f.End})
	}
}

// effect looks for settings that do nothing.
func (l *linter) effect(r *rule) {
	m := r.mapping
	if m.FlowNullValues && !r.flowNull {
		why := "it is written only once, or only while it is empty"
		for _, slot := range r.reads {
			if !l.inputs[slot].FlowNullValues {
				why = "the source attribute " + l.inputs[slot].Name + " does not let null values flow; switch that on too"
			}
		}
		if len(r.reads) == 0 {
			why = "there is no source attribute that could be missing"
		}
		l.note(r.place.member("flowNullValues"), CodeNoEffect, "null values do not flow: %s", why)
	}
	if m.DefaultValue != nil && r.kind == Constant {
		l.note(r.place.member("defaultValue"), CodeNoEffect, "the source always has a value, so the default value is never used")
	}
	if flow := cmp.Or(m.FlowType, FlowTypeAlways); r.createOnly && flow != FlowTypeObjectAdd {
		why := "SelectUniqueValue is asked only when a person is created"
		if !r.unique {
			why = "the target attribute cannot be changed once it is written"
		}
		l.note(r.place.member("flowType"), CodeNoEffect, "%s is treated as ObjectAddOnly: %s", flow, why)
	}
}

func (l *linter) groups(at place, groups []FilterGroup) {
	for i := range groups {
		for j := range groups[i].Clauses {
			c := &groups[i].Clauses[j]
			l.clause(place{fmt.Sprintf("%s[%d].clauses[%d]", at.path, i, j), c.SourceOperandName}, c)
		}
	}
}

func (l *linter) clause(at place, c *Clause) {
	in := &l.inputs[l.slot(c.SourceOperandName)]
	l.spelling(at.member("sourceOperandName"), c.SourceOperandName, in.Name)
	ops := operators()
	op := ops[slices.IndexFunc(ops, func(o operator) bool { return strings.EqualFold(o.name, c.OperatorName) })]
	if op.name != c.OperatorName {
		l.note(at.member("operatorName"), expr.CodeSpelling, "the operator is spelled %s", op.name)
	}
	switch {
	case in.MultiValued:
		l.note(at, expr.CodePortable, "%s has several values: here the clause must hold for each of them, and Entra does not take such an attribute in a filter", in.Name)
	case op.name == "NOT EQUALS" || op.name == "NOT REGEX MATCH" || op.name == "!&":
		l.note(at, CodeNullExcluded, "people without a %s are out of scope too: every operator but IS NULL is false for no value; add a group with IS NULL if they belong in", in.Name)
	}
	if strings.EqualFold(in.Name, activeName) && (op.name == "IS TRUE" || op.name == isNotNull) {
		l.note(at, CodeLeaver, "a person who leaves falls out of scope with the record that says so, and that record is skipped: the account stays enabled; leave active to its mapping")
	}
	if op.name == "REGEX MATCH" || op.name == "NOT REGEX MATCH" {
		for _, f := range expr.LintPattern(c.Values[0]) {
			values := at.member("targetOperand.values[0]")
			l.found = append(l.found, Finding{Path: values.path, Name: values.name, Code: f.Code, Message: f.Message, Expression: c.Values[0], Pos: f.Pos, End: f.End})
		}
	}
}
