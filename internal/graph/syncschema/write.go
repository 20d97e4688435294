package syncschema

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"induct/internal/mapping"
)

// writer appends JSON. A comma is written before whatever follows another value.
type writer struct {
	b     []byte
	names []string // members written so far of the objects that are open
}

func (w *writer) comma() {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' && w.b[n-1] != ':' {
		w.b = append(w.b, ',')
	}
}

// name writes the name of a member; its value follows.
func (w *writer) name(name string) {
	w.comma()
	w.quote(name)
	w.b = append(w.b, ':')
	w.names = append(w.names, name)
}

func (w *writer) text(name, v string)       { w.name(name); w.quote(v) }
func (w *writer) flag(name string, v bool)  { w.name(name); w.b = strconv.AppendBool(w.b, v) }
func (w *writer) number(name string, v int) { w.name(name); w.b = strconv.AppendInt(w.b, int64(v), 10) }
func (w *writer) null(name string)          { w.name(name); w.b = append(w.b, "null"...) }

// optional writes a text that may be null.
func (w *writer) optional(name string, v *string) {
	if v == nil {
		w.null(name)
		return
	}
	w.text(name, *v)
}

// quote writes a text as encoding/json does, without escaping what only HTML needs escaped.
func (w *writer) quote(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			w.escaped(s)
			return
		}
	}
	w.b = append(append(append(w.b, '"'), s...), '"')
}

func (w *writer) escaped(s string) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	w.b = append(w.b, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// list writes an array member.
func list[T any](w *writer, name string, of []T, element func(*T)) {
	w.name(name)
	w.b = append(w.b, '[')
	for i := range of {
		w.comma()
		element(&of[i])
	}
	w.b = append(w.b, ']')
}

// object writes an object; members writes what is in it, extra is what a client sent besides.
func (w *writer) object(extra mapping.Extra, members func()) {
	from := len(w.names)
	w.b = append(w.b, '{')
	members()
	own := w.names[from:]
	for i := range extra {
		if m := &extra[i]; !slices.Contains(own, m.Name) {
			w.raw(m.Name, m.Value)
		}
	}
	w.b = append(w.b, '}')
	w.names = w.names[:from]
}

func (w *writer) raw(name string, v json.RawMessage) {
	w.name(name)
	if !json.Valid(v) {
		v = json.RawMessage("null")
	}
	w.b = append(w.b, v...)
}

// kept writes a member that Graph has and that means nothing to Induct: as the client sent it, or else null.
func (w *writer) kept(extra mapping.Extra, name string) {
	if v := extra.Get(name); v != nil {
		w.raw(name, v)
		return
	}
	w.null(name)
}

func (w *writer) keyValues(name string, of []mapping.KeyValue) {
	list(w, name, of, func(kv *mapping.KeyValue) {
		w.object(nil, func() { w.text("key", kv.Key); w.text("value", kv.Value) })
	})
}

func (w *writer) texts(name string, of []string) {
	list(w, name, of, func(s *string) { w.quote(*s) })
}

func (w *writer) schema(s *mapping.Schema) {
	w.object(s.Extra, func() {
		w.text("id", s.ID)
		w.text("version", s.Version)
		list(w, "synchronizationRules", s.Rules, w.rule)
		list(w, "directories", s.Directories, w.directory)
	})
}

func (w *writer) rule(r *mapping.Rule) {
	w.object(r.Extra, func() {
		w.text("id", r.ID)
		w.text("name", r.Name)
		w.flag("editable", r.Editable)
		w.number("priority", r.Priority)
		w.text("sourceDirectoryName", r.SourceDirectoryName)
		w.text("targetDirectoryName", r.TargetDirectoryName)
		w.kept(r.Extra, "containerFilter")
		w.kept(r.Extra, "groupFilter")
		w.keyValues("metadata", orElse(r.Metadata, r.DefaultMetadata))
		list(w, "objectMappings", r.ObjectMappings, w.objectMapping)
	})
}

// orElse returns metadata, or what stands for none.
func orElse(metadata []mapping.KeyValue, usual func() []mapping.KeyValue) []mapping.KeyValue {
	if metadata == nil {
		return usual()
	}
	return metadata
}

func (w *writer) objectMapping(m *mapping.ObjectMapping) {
	w.object(m.Extra, func() {
		w.text("name", m.Name)
		w.flag("enabled", m.Enabled)
		w.text("flowTypes", flowTypes(m.FlowTypes))
		w.text("sourceObjectName", m.SourceObjectName)
		w.text("targetObjectName", m.TargetObjectName)
		w.scope(m.Scope)
		w.keyValues("metadata", orElse(m.Metadata, m.DefaultMetadata))
		list(w, "attributeMappings", m.AttributeMappings, w.attributeMapping)
	})
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

// scope writes a filter; null means that everybody is in scope.
func (w *writer) scope(f *mapping.Filter) {
	if f == nil {
		w.null("scope")
		return
	}
	w.name("scope")
	w.object(f.Extra, func() {
		list(w, "categoryFilterGroups", f.CategoryGroups, w.group)
		list(w, "groups", f.Groups, w.group)
		list(w, "inputFilterGroups", f.InputGroups, w.group)
	})
}

func (w *writer) group(g *mapping.FilterGroup) {
	w.object(g.Extra, func() {
		w.text("name", g.Name)
		list(w, "clauses", g.Clauses, w.clause)
	})
}

func (w *writer) clause(c *mapping.Clause) {
	w.object(c.Extra, func() {
		w.text("operatorName", c.OperatorName)
		w.text("sourceOperandName", c.SourceOperandName)
		w.name("targetOperand")
		w.object(nil, func() { w.texts("values", c.Values) })
	})
}

func (w *writer) attributeMapping(m *mapping.AttributeMapping) {
	w.object(m.Extra, func() {
		w.optional("defaultValue", m.DefaultValue)
		w.flag("exportMissingReferences", m.ExportMissingReferences)
		w.text("flowBehavior", orDefault(m.FlowBehavior, "FlowWhenChanged"))
		w.text("flowType", orDefault(m.FlowType, mapping.FlowTypeAlways))
		w.number("matchingPriority", m.MatchingPriority)
		w.name("source")
		w.source(sourceOf(m.Expression))
		w.text("targetAttributeName", m.TargetAttributeName)
		if m.FlowNullValues && m.Extra.Get("flowNullValues") == nil {
			w.flag(perMapping, true)
		}
	})
}

func orDefault(s, usual string) string {
	if s == "" {
		return usual
	}
	return s
}

func (w *writer) source(s *source) {
	if s == nil {
		w.b = append(w.b, "null"...)
		return
	}
	w.object(nil, func() {
		w.text("expression", s.expression)
		w.text("name", s.name)
		list(w, "parameters", s.parameters, func(p *parameter) {
			w.object(nil, func() {
				w.text("key", p.key)
				w.name("value")
				w.source(p.value)
			})
		})
		w.text("type", s.kind)
	})
}

func (w *writer) directory(d *mapping.Directory) {
	w.object(d.Extra, func() {
		w.text("id", d.ID)
		w.text("name", d.Name)
		w.flag("readOnly", d.ReadOnly)
		w.text("version", d.Version)
		w.text("discoverabilities", orDefault(d.Discoverabilities, "None"))
		if d.DiscoveryDateTime == "" {
			w.null("discoveryDateTime")
		} else {
			w.text("discoveryDateTime", d.DiscoveryDateTime)
		}
		list(w, "objects", d.Objects, w.definition)
	})
}

func (w *writer) definition(o *mapping.Object) {
	w.object(o.Extra, func() {
		w.text("name", o.Name)
		w.texts("supportedApis", o.SupportedAPIs)
		w.keyValues("metadata", orElse(o.Metadata, o.DefaultMetadata))
		list(w, "attributes", o.Attributes, w.attribute)
	})
}

func (w *writer) attribute(a *mapping.Attribute) {
	w.object(a.Extra, func() {
		w.text("name", a.Name)
		w.text("type", orDefault(a.Type, "String"))
		w.flag("anchor", a.Anchor)
		w.flag("required", a.Required)
		w.flag("caseExact", a.CaseExact)
		w.flag("multivalued", a.MultiValued)
		w.text("mutability", orDefault(a.Mutability, "ReadWrite"))
		w.flag("flowNullValues", a.FlowNullValues)
		w.optional("defaultValue", a.DefaultValue)
		w.keyValues("metadata", attributeMetadata(a))
		list(w, "referencedObjects", referenced(a), func(r *mapping.ReferencedObject) {
			w.object(nil, func() {
				w.text("referencedObjectName", r.Name)
				if r.Property == "" {
					w.null("referencedProperty")
				} else {
					w.text("referencedProperty", r.Property)
				}
			})
		})
		w.keyValues("apiExpressions", a.APIExpressions)
	})
}

const maximumLength = "MaximumLength"

func attributeMetadata(a *mapping.Attribute) []mapping.KeyValue {
	if a.MaxLength <= 0 {
		return a.Metadata
	}
	return append([]mapping.KeyValue{{Key: maximumLength, Value: strconv.Itoa(a.MaxLength)}}, a.Metadata...)
}

func referenced(a *mapping.Attribute) []mapping.ReferencedObject {
	if a.ReferencedObjects != nil || a.References == "" {
		return a.ReferencedObjects
	}
	return []mapping.ReferencedObject{{Name: a.References}}
}
