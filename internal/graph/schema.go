package graph

import (
	"strconv"
	"strings"

	"induct/internal/expr"
	"induct/internal/mapping"
)

// getSchema renders the job's mappings as a synchronizationSchema.
func (c *call) getSchema() error {
	job, err := c.job()
	if err != nil {
		return err
	}
	s := job.Schema
	if s == nil {
		return notFound("schema of job", job.ID)
	}
	o := schemaObject(s)
	o[0].value = job.ID
	return c.entity(c.jobContext(job)+"/schema/$entity", o)
}

func schemaObject(s *mapping.Schema) object {
	return object{
		{"id", s.ID},
		{"version", s.Version},
		{"synchronizationRules", objects(s.Rules, ruleObject)},
		{"directories", objects(s.Directories, directoryObject)},
	}
}

// objects renders each element of a slice.
func objects[T any](of []T, render func(*T) object) []object {
	out := make([]object, len(of))
	for i := range of {
		out[i] = render(&of[i])
	}
	return out
}

func ruleObject(r *mapping.Rule) object {
	return object{
		{"id", r.ID},
		{"name", r.Name},
		{"editable", r.Editable},
		{"priority", r.Priority},
		{"sourceDirectoryName", r.SourceDirectoryName},
		{"targetDirectoryName", r.TargetDirectoryName},
		{"containerFilter", nil},
		{"groupFilter", nil},
		{"metadata", []keyValue{
			{"defaultSourceObjectMappings", "User"},
			{"supportsProvisionOnDemand", "False"},
		}},
		{"objectMappings", objects(r.ObjectMappings, objectMappingObject)},
	}
}

func objectMappingObject(m *mapping.ObjectMapping) object {
	joining := ""
	for _, a := range m.AttributeMappings {
		if a.MatchingPriority == 1 {
			joining = a.TargetAttributeName
		}
	}
	return object{
		{"name", m.Name},
		{"enabled", m.Enabled},
		{"flowTypes", flowTypes(m.FlowTypes)},
		{"sourceObjectName", m.SourceObjectName},
		{"targetObjectName", m.TargetObjectName},
		{"scope", scopeObject(m.Scope)},
		{"metadata", []keyValue{
			{"EscrowBehavior", `"Default"`},
			{"DisableMonitoringForChanges", "false"},
			{"OriginalJoiningProperty", strconv.Quote(joining)},
			{"Disposition", `"Normal"`},
			{"IsCustomerDefined", "false"},
			{"ExcludeFromReporting", "false"},
			{"Unsynchronized", "false"},
		}},
		{"attributeMappings", objects(m.AttributeMappings, attributeMappingObject)},
	}
}

func flowTypes(f mapping.FlowTypes) string {
	var names []string
	for _, t := range []struct {
		on   bool
		name string
	}{{f.Add, "Add"}, {f.Update, "Update"}, {f.Delete, "Delete"}} {
		if t.on {
			names = append(names, t.name)
		}
	}
	if names == nil {
		return "None"
	}
	return strings.Join(names, ", ")
}

// scopeObject renders a filter; null means that everybody is in scope.
func scopeObject(f *mapping.Filter) any {
	if f == nil {
		return nil
	}
	return object{
		{"categoryFilterGroups", []object{}},
		{"groups", objects(f.Groups, func(g *mapping.FilterGroup) object {
			return object{{"name", g.Name}, {"clauses", objects(g.Clauses, clauseObject)}}
		})},
		{"inputFilterGroups", []object{}},
	}
}

func clauseObject(c *mapping.Clause) object {
	return object{
		{"operatorName", c.OperatorName},
		{"sourceOperandName", c.SourceOperandName},
		{"targetOperand", object{{"values", append([]string{}, c.Values...)}}},
	}
}

func attributeMappingObject(m *mapping.AttributeMapping) object {
	var source any
	if m.Expression != "" {
		source = sourceObject(m.Expression)
	}
	return object{
		{"defaultValue", m.DefaultValue},
		{"exportMissingReferences", false},
		{"flowBehavior", orDefault(m.FlowBehavior, "FlowWhenChanged")},
		{"flowType", orDefault(m.FlowType, "Always")},
		{"matchingPriority", m.MatchingPriority},
		{"source", source},
		{"targetAttributeName", m.TargetAttributeName},
	}
}

func orDefault(s, usual string) string {
	if s == "" {
		return usual
	}
	return s
}

// sourceObject renders an expression as an attributeMappingSource: the text, and the same as a tree.
func sourceObject(expression string) object {
	expression = strings.TrimSpace(expression)
	unescape := strings.NewReplacer(`\\`, `\`, `\"`, `"`)
	kind, name, parameters := "Function", expression, []object{}
	switch {
	case isWhole(expression, '[', ']'):
		kind, name = "Attribute", strings.TrimSpace(expression[1:len(expression)-1])
	case isWhole(expression, '"', '"'):
		kind, name = "Constant", unescape.Replace(expression[1:len(expression)-1])
	case isConstant(expression):
		kind = "Constant"
	default:
		if open := strings.IndexByte(expression, '('); open > 0 && strings.HasSuffix(expression, ")") {
			name = strings.TrimSpace(expression[:open])
			parameters = parameterObjects(name, expression[open+1:len(expression)-1])
		}
	}
	return object{{"expression", expression}, {"name", name}, {"parameters", parameters}, {"type", kind}}
}

// isWhole reports whether the expression is one bracketed or quoted token.
func isWhole(expression string, open, shut byte) bool {
	return len(expression) >= 2 && expression[0] == open && expression[len(expression)-1] == shut && tokenEnd(expression, 0) == len(expression)
}

func isConstant(expression string) bool {
	if strings.EqualFold(expression, "true") || strings.EqualFold(expression, "false") {
		return true
	}
	_, err := strconv.ParseInt(expression, 10, 64)
	return err == nil
}

// tokenEnd returns the end of the text or attribute that begins at i, or i+1 for any other character. An attribute's
// name may hold filters in brackets of their own, with texts in them.
func tokenEnd(s string, i int) int {
	switch s[i] {
	case '"':
		for i++; i < len(s); i++ {
			switch s[i] {
			case '"':
				return i + 1
			case '\\':
				i++
			}
		}
		return len(s)
	case '[':
		for depth := 0; i < len(s); {
			switch {
			case s[i] == '"' && depth > 1:
				i = tokenEnd(s, i)
				continue
			case s[i] == '[':
				depth++
			case s[i] == ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(s)
	}
	return i + 1
}

// parameterObjects renders the arguments of a function under their parameters' names; one that is left out is left out.
func parameterObjects(function, arguments string) []object {
	names := parameterNames(function)
	out := []object{}
	for i, argument := range splitArguments(arguments) {
		if argument == "" {
			continue
		}
		out = append(out, object{{"key", names(i)}, {"value", sourceObject(argument)}})
	}
	return out
}

// splitArguments splits at the commas that stand in no parentheses, text or attribute.
func splitArguments(s string) []string {
	var out []string
	depth, from := 0, 0
	for i := 0; i < len(s); {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
		i = tokenEnd(s, i)
	}
	return append(out, strings.TrimSpace(s[from:]))
}

// parameterNames returns the names of a function's parameters by their place; the last ones may repeat.
// Replace's are those that Graph lists, which the function reference spells otherwise.
func parameterNames(function string) func(i int) string {
	if strings.EqualFold(function, "Replace") {
		names := []string{"source", "Find", "RegularExpression", "RegularExpressionGroupName", "Replacement", "ReplacementPropertyName", "Template"}
		return func(i int) string { return names[min(i, len(names)-1)] }
	}
	for _, f := range expr.Functions() {
		if n := len(f.Params); strings.EqualFold(f.Name, function) && n > 0 {
			return func(i int) string {
				if i >= n {
					repeat := max(f.Repeat, 1)
					i = n - repeat + (i-n)%repeat
				}
				return f.Params[i].Name
			}
		}
	}
	return func(int) string { return "source" }
}

func directoryObject(d *mapping.Directory) object {
	return object{
		{"id", d.ID},
		{"name", d.Name},
		{"readOnly", d.ReadOnly},
		{"version", d.Version},
		{"discoverabilities", "None"},
		{"discoveryDateTime", nil},
		{"objects", objects(d.Objects, definitionObject)},
	}
}

func definitionObject(o *mapping.Object) object {
	metadata := []keyValue{}
	for _, a := range o.Attributes {
		switch a.Name {
		case "active", "accountEnabled":
			metadata = append(metadata, keyValue{"PropertyNameAccountEnabled", a.Name})
		case "IsSoftDeleted":
			metadata = append(metadata, keyValue{"PropertyNameSoftDeleted", a.Name})
		}
	}
	return object{
		{"name", o.Name},
		{"supportedApis", []string{}},
		{"metadata", metadata},
		{"attributes", objects(o.Attributes, attributeObject)},
	}
}

func attributeObject(a *mapping.Attribute) object {
	references, metadata := []object{}, []keyValue{}
	if a.References != "" {
		references = append(references, object{{"referencedObjectName", a.References}, {"referencedProperty", nil}})
	}
	if a.MaxLength > 0 {
		metadata = append(metadata, keyValue{"MaximumLength", strconv.Itoa(a.MaxLength)})
	}
	return object{
		{"name", a.Name},
		{"type", orDefault(a.Type, "String")},
		{"anchor", a.Anchor},
		{"required", a.Required},
		{"caseExact", a.CaseExact},
		{"multivalued", a.MultiValued},
		{"mutability", orDefault(a.Mutability, "ReadWrite")},
		{"flowNullValues", a.FlowNullValues},
		{"defaultValue", nil},
		{"metadata", metadata},
		{"referencedObjects", references},
		{"apiExpressions", []keyValue{}},
	}
}
