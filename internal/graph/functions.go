package graph

import (
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
	functions := expr.Functions()
	return c.collection(o.context+"/schema/functions", objects(functions, functionObject), "", nil)
}

// functionObject is an attributeMappingFunctionSchema, with what a reader wants to know in annotations.
func functionObject(f *expr.Function) object {
	parameters := make([]object, len(f.Params))
	for i := range f.Params {
		p := &f.Params[i]
		parameters[i] = object{
			{"allowMultipleOccurrences", f.Repeats(i)},
			{"name", orDefault(p.Wire, p.Name)},
			{"required", p.Required},
			{"type", p.Type.Schema()},
			{"@induct.documentation", p.Doc},
		}
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
