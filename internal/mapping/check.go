package mapping

import (
	"fmt"
	"slices"
	"strings"

	"induct/internal/expr"
)

var attributeTypes = []string{"", "String", "Integer", "Reference", "Binary", "Boolean", "DateTime"}

// definitions checks the directories: names that are there twice would make a mapping mean either.
func (c *compiler) definitions() {
	directories := map[string]bool{}
	for i := range c.schema.Directories {
		d := &c.schema.Directories[i]
		at := place{fmt.Sprintf("directories[%d]", i), d.Name}
		if directories[d.Name] {
			c.fail(at, "remove one, or rename it", "there are two directories of this name")
		}
		directories[d.Name] = true
		objects := map[string]bool{}
		for j := range d.Objects {
			o := &d.Objects[j]
			here := place{fmt.Sprintf("%s.objects[%d]", at.path, j), o.Name}
			if objects[o.Name] {
				c.fail(here, "remove one, or rename it", "there are two objects of this name")
			}
			objects[o.Name] = true
			c.attributes(here, o)
		}
	}
}

func (c *compiler) attributes(at place, o *Object) {
	if n := len(o.Attributes); n > maxAttributes {
		c.fail(at, "remove those that no mapping uses", "there are %d attributes; at most %d are allowed", n, maxAttributes)
		return
	}
	seen := make(map[string]int, len(o.Attributes))
	for k := range o.Attributes {
		a := &o.Attributes[k]
		here := place{fmt.Sprintf("%s.attributes[%d]", at.path, k), shorten(a.Name, maxShown)}
		if first, ok := seen[a.Name]; ok {
			c.fail(here, fmt.Sprintf("remove one of them; the other is attributes[%d]", first), "there are two attributes of this name")
			continue
		}
		seen[a.Name] = k
		switch {
		case a.Name == "":
			c.fail(here, "", "the attribute has no name")
		case len(a.Name) > maxNameLength:
			c.fail(here, "", "the name has %d bytes; at most %d are allowed", len(a.Name), maxNameLength)
		case !slices.Contains(attributeTypes, a.Type):
			c.fail(here.member("type"), "use one of "+strings.Join(attributeTypes[1:], ", "), "there is no type %s", quote(a.Type))
		}
	}
}

// anchor checks that records are told apart by what the engine tells them apart by.
func (c *compiler) anchor(at place) {
	here := at.member("sourceObjectName")
	if _, ok := c.from.at(anchorName); !ok {
		c.fail(here, "add it, as String with anchor true", "the source object %s has no attribute %s, which names each record", quote(c.source.Name), anchorName)
	}
	for _, a := range c.source.Attributes {
		if a.Anchor && !strings.EqualFold(a.Name, anchorName) {
			c.fail(here, "make "+anchorName+" the only anchor; map this one to a matching attribute if people are to be found by it",
				"the source object %s has the anchor %s, and records are told apart by %s", quote(c.source.Name), quote(a.Name), anchorName)
		}
	}
}

// checkFlow checks and compiles when a mapping is written.
func (c *compiler) checkFlow(at place, r *rule) {
	switch m := r.mapping; m.FlowType {
	case "", FlowTypeAlways:
	case FlowTypeObjectAdd:
		r.createOnly = true
	case FlowTypeMultiValueAdd:
		if r.addValues = true; !r.target.MultiValued {
			c.fail(at.member("flowType"), "use AttributeAddOnly to write it while it is empty, or Always", "MultiValueAddOnly adds values, and the target attribute takes one")
		}
	case FlowTypeValueAdd:
		r.addValues, r.whenEmpty = r.target.MultiValued, !r.target.MultiValued
	case FlowTypeAttributeAdd:
		r.whenEmpty = true
	default:
		c.fail(at.member("flowType"), "use Always, ObjectAddOnly, MultiValueAddOnly, ValueAddOnly or AttributeAddOnly", "there is no flowType %s", quote(m.FlowType))
	}
	if r.target.Mutability == "Immutable" {
		r.createOnly = true
	}
	switch b := r.mapping.FlowBehavior; b {
	case "", "FlowWhenChanged":
	case "FlowAlways":
		r.always = true
	default:
		c.fail(at.member("flowBehavior"), "use FlowWhenChanged or FlowAlways", "there is no flowBehavior %s", quote(b))
	}
	c.checkNull(at, r)
}

// checkNull checks and compiles the flow of null values (Microsoft Learn, "Clear attribute values").
func (c *compiler) checkNull(at place, r *rule) {
	if !r.mapping.FlowNullValues {
		return
	}
	switch here := at.member("flowNullValues"); {
	case r.priority > 0:
		c.fail(here, "switch it off", "a matching attribute cannot be cleared: nobody would be found by it any more")
		return
	case r.target.Required:
		c.fail(here, "switch it off", "the target attribute is required and cannot be cleared")
		return
	case r.target.MultiValued:
		c.fail(here, "switch it off", "an attribute with several values cannot be cleared; send the values that remain")
		return
	}
	if r.createOnly || r.whenEmpty || r.addValues || len(r.reads) == 0 {
		return // Lint says that the switch does nothing
	}
	r.flowNull = true
	active := c.slot(activeName)
	for _, slot := range r.reads {
		in := &c.inputs[slot]
		r.flowNull = r.flowNull && in.FlowNullValues && slot != active
		if h := holder(in.Name); h != "" {
			i := slices.Index(c.holders, h)
			if i < 0 {
				i = len(c.holders)
				c.holders = append(c.holders, h)
			}
			in.holder = i + 1
		}
	}
}

// holder returns the path of the object or list that an attribute is part of; "" for one of the record itself.
func holder(name string) string {
	head, _, filtered := strings.Cut(name, "[")
	colon := strings.LastIndexByte(head, ':')
	switch {
	case filtered:
		return head
	case strings.Contains(head[colon+1:], "."):
		return head[:colon+1+strings.IndexByte(head[colon+1:], '.')]
	case colon >= 0:
		return head[:colon]
	}
	return ""
}

// checkKind checks what a mapping may do with a target attribute of its kind.
func (c *compiler) checkKind(at place, r *rule) {
	if r.target.Anchor || r.target.Mutability == "ReadOnly" {
		c.fail(at.member("targetAttributeName"), "remove the mapping", "the target sets this attribute itself")
	}
	c.checkMatching(at, r)
	if r.unique && (r.target.MultiValued || r.reference || r.filter) {
		c.fail(at.member("source"), "use it for a text with one value", "SelectUniqueValue gives one value that nobody else has")
	}
	if r.reference {
		c.checkReference(at, r)
		return
	}
	if from := c.staticType(r); !r.filter && never(from, r.target.Type) {
		what := "the source"
		if r.slot >= 0 {
			what = c.inputs[r.slot].Name
		}
		c.fail(at.member("source"), "map another attribute, or correct the type of one of them", "%s is %s and can never be %s", what, article(from), article(r.target.Type))
	}
	c.checkConstant(at, r)
}

// checkMatching checks a matching attribute: people have to be found by it, quickly and one at a time.
func (c *compiler) checkMatching(at place, r *rule) {
	here := at.member("matchingPriority")
	switch t := &r.target; {
	case r.priority == 0:
	case r.priority < 0:
		c.fail(here, "use 0 for none, else 1, 2, …", "the matchingPriority %d is negative", r.priority)
	case t.MultiValued:
		c.fail(here, "use a text attribute with one value", "people cannot be matched by an attribute with several values")
	case t.Type == "Reference" || t.Type == "Boolean" || t.Type == "DateTime" || t.Type == "Binary":
		c.fail(here, "use a text attribute with one value", "people cannot be matched by %s", article(t.Type))
	case r.filter || r.secret():
		c.fail(here, "use a text attribute with one value", "people cannot be matched by this attribute")
	case strings.HasPrefix(strings.ToLower(t.Name), "extensionattribute"):
		c.fail(here, "use employeeId, userPrincipalName or mail", "people cannot be matched by extension attributes, which are not indexed")
	case r.unique:
		c.fail(here, "take the matchingPriority away, or the function", "SelectUniqueValue cannot make a matching attribute: everybody would be new each time")
	case r.redacted:
		c.fail(here, "take Redact away, or match by another attribute", "a matching value stands in the log, and this one is redacted")
	case r.text != "" && len(r.reads) == 0:
		c.fail(here, "map an attribute that tells people apart", "everybody has the same value")
	case r.text == "":
		c.fail(here, "give the mapping a source", "there is nothing to match by: the mapping has no source")
	}
}

func (c *compiler) checkReference(at place, r *rule) {
	if r.slot < 0 {
		c.fail(at.member("source"), "map a plain attribute such as [manager]", "a reference is mapped without functions and constants")
	} else if in := c.inputs[r.slot]; in.MultiValued || in.Type != "Reference" && in.Type != "String" && in.Type != "" {
		c.fail(at.member("source"), "map one Reference or String", "a reference names one other record, and %s does not", in.Name)
	}
	if r.target.MultiValued {
		c.fail(at.member("targetAttributeName"), "", "references with several values are not supported")
	}
	if r.mapping.DefaultValue != nil {
		c.fail(at.member("defaultValue"), "remove it", "a reference cannot have a default value")
	}
	to := r.target.References
	if to == "" && len(r.target.ReferencedObjects) > 0 {
		to = r.target.ReferencedObjects[0].Name
	}
	if to != "" && !slices.ContainsFunc(c.targets.Objects, func(o Object) bool { return o.Name == to }) {
		c.fail(at.member("targetAttributeName"), "correct the attribute's referencedObjects", "it refers to the object %s, and the directory %s has none", quote(to), quote(c.targets.Name))
	}
}

// checkConstant checks a value that is the same for everybody once and for all.
func (c *compiler) checkConstant(at place, r *rule) {
	if r.kind != Constant {
		return
	}
	v, err := r.expr.Eval(&expr.Context{})
	if err != nil {
		return
	}
	if _, bad := r.target.fit(v); bad != nil {
		c.fail(at.member("source"), "write another one", "the constant does not fit: %s", bad.reason)
	}
}

// staticType returns the type that a source has for every record; "" if that is not known.
func (c *compiler) staticType(r *rule) string {
	if r.slot >= 0 {
		return c.inputs[r.slot].Type
	}
	if r.kind != Expression || r.expr == nil {
		return ""
	}
	tree, err := expr.Parse(r.expr.String())
	if err != nil || tree.Kind != expr.CallNode {
		return ""
	}
	f, _ := expr.Lookup(tree.Name)
	switch f.Returns {
	case expr.Truth:
		return "Boolean"
	case expr.Number:
		return "Integer"
	}
	return ""
}

// never reports whether no value of one type fits the other.
func never(from, to string) bool {
	text := func(t string) bool { return t == "" || t == "String" }
	switch {
	case text(from) || text(to) || from == to:
		return false
	case from == "Integer" && to == "Boolean": // 0 and 1
		return false
	}
	return true
}
