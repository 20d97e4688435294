package graph

import (
	"slices"

	"induct/internal/expr"
	"induct/internal/mapping"
)

// listFunctions answers with the functions of the expression language (synchronizationSchema: functions). The
// documented listing calls a function by name, Graph's metadata by id: both are there.
func (c *call) listFunctions() error {
	o, err := c.schemaOwner()
	if err != nil {
		return err
	}
	functions := slices.DeleteFunc(expr.Functions(), func(f expr.Function) bool { return f.Refused != "" && !slices.Contains(outbound, f.Name) })
	return c.collection(o.context+"/schema/functions", objects(functions, functionObject), "", nil)
}

// outbound are the functions that Graph lists although they have no meaning inbound; they are refused.
var outbound = []string{"AppRoleAssignments", "AppRoleAssignmentsComplex", "SingleAppRoleAssignment"}

// documented are the parameters that Graph's listing describes otherwise than the function reference.
var documented = map[string]struct {
	typ      string
	required bool
}{
	"IsNothing.source":   {"Boolean", true},
	"Not.source":         {"Boolean", true},
	"Split.delimiter":    {"String", false},
	"Switch.switchValue": {"String", false},
}

// parameterObject is an attributeMappingParameterSchema.
func parameterObject(function string, p *expr.Param, repeats bool) object {
	o := object{
		{"allowMultipleOccurrences", repeats},
		{"name", orDefault(p.Wire, p.Name)},
		{"required", p.Required},
		{"type", p.Type.Schema()},
		{"@induct.documentation", p.Doc},
	}
	if d, ok := documented[function+"."+orDefault(p.Wire, p.Name)]; ok {
		o[2].value, o[3].value = d.required, d.typ
	}
	return o
}

// functionObject is an attributeMappingFunctionSchema, with what a reader wants to know in annotations.
func functionObject(f *expr.Function) object {
	parameters := []object{}
	last := ""
	for i := range f.Params {
		p := &f.Params[i]
		if name := orDefault(p.Wire, p.Name); name != last { // Switch's keys and values are one parameter to Graph
			parameters, last = append(parameters, parameterObject(f.Name, p, f.Repeats(i))), name
		}
	}
	if slices.Contains(outbound, f.Name) {
		parameters = append(parameters, parameterObject(f.Name, &expr.Param{Name: "source", Type: expr.Any, Required: true}, false))
	}
	o := object{
		{"id", f.Name},
		{"name", f.Name},
		{"parameters", parameters},
		{"@induct.signature", f.Signature()},
		{"@induct.returns", f.Returns.Schema()},
		{"@induct.documentation", f.Doc},
		{"@induct.traps", append([]string{}, f.Traps...)},
		{"@induct.examples", objects(f.Examples, exampleObject)},
	}
	if f.Extension {
		o = append(o, member{"@induct.extension", true})
	}
	if f.Refused != "" {
		o = append(o, member{"@induct.refused", f.Refused})
	}
	return o
}

func exampleObject(e *expr.Example) object {
	given := objects(e.Given, func(g *expr.Given) object {
		return object{{"key", g.Name}, {"value", append([]string{}, g.Values...)}}
	})
	return object{{"expression", e.Expr}, {"given", given}, {"result", e.Result}}
}

// listFilterOperators answers with the operators of scoping filters (synchronizationSchema: filterOperators).
func (c *call) listFilterOperators() error {
	o, err := c.schemaOwner()
	if err != nil {
		return err
	}
	operators := mapping.Operators()
	return c.collection(o.context+"/schema/filterOperators", objects(operators, operatorObject), "", nil)
}

func operatorObject(o *mapping.Operator) object {
	arity := "Binary"
	if o.Unary {
		arity = "Unary"
	}
	return object{
		{"id", o.Name},
		{"name", o.Name},
		{"arity", arity},
		{"multivaluedComparisonType", "All"},
		{"supportedAttributeTypes", o.Types},
	}
}
