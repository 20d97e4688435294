package mapping

import (
	"fmt"

	"induct/internal/expr"
	"induct/internal/scim"
)

// SourceValue is what a record holds for one source attribute.
type SourceValue struct {
	Name    string     // as the source object spells it; as it was asked for if the object does not have it
	Known   bool       // the source object has it
	Sent    bool       // the record has it, perhaps as null
	Value   expr.Value // as expressions see it: a missing `active` is False
	Problem *Problem   // why the record's value, which Reason may quote, cannot be used; nil if it can. Value is null then
}

// ReadSource reads source attributes from a record, one SourceValue per name, for expressions that stand alone: a
// Program sees the same. An attribute that the object does not have is read as text, or as several if a list was sent.
// The error says which name is no attribute path, or that the record is not a JSON object.
func ReadSource(o *Object, names []string, record []byte) ([]SourceValue, error) {
	c := compiler{source: o, from: indexed(o), slots: map[string]int{}}
	slots := make([]int, len(names))
	for i, name := range names {
		slots[i] = c.slot(name)
	}
	reader, err := scim.CompilePaths(c.paths())
	if err != nil {
		return nil, err
	}
	sent, err := reader.Read(record, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("the record cannot be read: %w", err)
	}
	values := make([]SourceValue, len(names))
	for i, slot := range slots {
		in := c.inputs[slot]
		v := SourceValue{Name: in.Name, Sent: sent[slot].Kind != scim.Absent}
		_, v.Known = c.from.at(in.Name)
		in.MultiValued = in.MultiValued || !v.Known && sent[slot].Kind == scim.Many
		value, bad := in.read(sent[slot])
		switch {
		case bad != nil:
			v.Problem = &Problem{Code: bad.code, Attribute: in.Name, Reason: bad.reason, Advice: bad.advice}
		case value.IsNull() && in.Name == activeName:
			v.Value = expr.Bool(false)
		default:
			v.Value = value
		}
		values[i] = v
	}
	return values, nil
}
