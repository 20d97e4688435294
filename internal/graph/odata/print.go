package odata

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// String returns the filter in canonical form: ParseFilter of it gives the same tree, positions aside.
func (f *Filter) String() string {
	var b strings.Builder
	printExpr(&b, f.Root, "")
	return b.String()
}

// element is the name that lambdas' variables have in print.
const element = "x"

// printExpr writes x, whose paths are relative to the variable of that name if it is not "".
func printExpr(b *strings.Builder, x Expr, variable string) {
	switch x := x.(type) {
	case And:
		for i, m := range x {
			if i > 0 {
				b.WriteString(" and ")
			}
			_, or := m.(Or)
			printGroup(b, m, variable, or)
		}
	case Or:
		for i, m := range x {
			if i > 0 {
				b.WriteString(" or ")
			}
			printExpr(b, m, variable)
		}
	case Not:
		b.WriteString("not ")
		c, ok := x.X.(Comparison)
		printGroup(b, x.X, variable, !ok || !tests[c.Op])
	case Any:
		quantifier := "any"
		if x.All {
			quantifier = "all"
		}
		b.WriteString(join(variable, x.Path) + "/" + quantifier + "(")
		if x.Cond != nil {
			b.WriteString(element + ":")
			printExpr(b, x.Cond, element)
		}
		b.WriteByte(')')
	case Comparison:
		printComparison(b, x, variable)
	}
}

func printGroup(b *strings.Builder, x Expr, variable string, parentheses bool) {
	if !parentheses {
		printExpr(b, x, variable)
		return
	}
	b.WriteByte('(')
	printExpr(b, x, variable)
	b.WriteByte(')')
}

func printComparison(b *strings.Builder, c Comparison, variable string) {
	left := join(variable, c.Path)
	if c.Func != "" {
		left = c.Func + "(" + left + ")"
	}
	if tests[c.Op] {
		b.WriteString(c.Op + "(" + left + "," + literal(c.Value) + ")")
		return
	}
	b.WriteString(left + " " + c.Op + " " + literal(c.Value))
}

// literal writes a Comparison's Value.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = literal(item)
		}
		return "(" + strings.Join(items, ",") + ")"
	}
	return fmt.Sprint(v)
}
