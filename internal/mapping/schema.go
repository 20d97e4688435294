package mapping

import (
	"encoding/json"
	"strconv"
	"strings"

	"induct/internal/expr"
)

// Schema is the configuration of a job: which source attributes flow into which target attributes,
// and who is in scope. Its parts and names are those of Graph's synchronizationSchema; room graph/syncschema
// reads and writes that. A Schema is a value: nothing in Induct changes one in place.
//
// A Schema survives encoding/json both ways: that is how a store keeps it.
type Schema struct {
	ID          string // the job's id, or the template's
	Version     string // opaque, changes with each edit
	Rules       []Rule
	Directories []Directory
	Extra       Extra `json:",omitempty"`
}

// Extra holds the JSON members of a resource that mean nothing to Induct: each as the client sent it, but for
// white space, in the client's order. They come back where they were sent.
type Extra []Member

// Member is one JSON member.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Get returns the value of a member, nil if there is none. Names are compared exactly.
func (x Extra) Get(name string) json.RawMessage {
	for i := range x {
		if x[i].Name == name {
			return x[i].Value
		}
	}
	return nil
}

// KeyValue is a stringKeyStringValuePair of Graph, such as an entry of metadata.
type KeyValue struct{ Key, Value string }

// Rule is a synchronizationRule: object mappings between two directories.
type Rule struct {
	ID, Name                                 string
	Priority                                 int
	Editable                                 bool
	SourceDirectoryName, TargetDirectoryName string
	Metadata                                 []KeyValue `json:",omitzero"` // nil: DefaultMetadata
	ObjectMappings                           []ObjectMapping
	Extra                                    Extra `json:",omitempty"` // containerFilter and groupFilter too, which are for groups
}

// DefaultMetadata is the metadata of a rule that has none of its own.
func (r *Rule) DefaultMetadata() []KeyValue {
	return []KeyValue{{"defaultSourceObjectMappings", "User"}, {"supportsProvisionOnDemand", "False"}}
}

// ObjectMapping says how one source object type becomes one target object type.
type ObjectMapping struct {
	Name                               string
	Enabled                            bool
	FlowTypes                          FlowTypes
	SourceObjectName, TargetObjectName string
	Scope                              *Filter    // nil: everybody is in scope
	Metadata                           []KeyValue `json:",omitzero"` // nil: DefaultMetadata; kept and shown, it decides nothing
	AttributeMappings                  []AttributeMapping
	Extra                              Extra `json:",omitempty"`
}

// DefaultMetadata is the metadata of an object mapping that has none of its own; it follows the first matching attribute.
func (m *ObjectMapping) DefaultMetadata() []KeyValue {
	joining := ""
	for _, a := range m.AttributeMappings {
		if a.MatchingPriority == 1 {
			joining = a.TargetAttributeName
		}
	}
	return []KeyValue{
		{"EscrowBehavior", `"Default"`},
		{"DisableMonitoringForChanges", "false"},
		{"OriginalJoiningProperty", strconv.Quote(joining)},
		{"Disposition", `"Normal"`},
		{"IsCustomerDefined", "false"},
		{"ExcludeFromReporting", "false"},
		{"Unsynchronized", "false"},
	}
}

// FlowTypes is the set of actions allowed on target objects, the "target object actions" of the portal.
type FlowTypes struct{ Add, Update, Delete bool }

// AttributeMapping says where the value of one target attribute comes from, and when it is written.
type AttributeMapping struct {
	TargetAttributeName string
	Expression          string  // the source in the expression language, such as [externalId]; "" means no source: only DefaultValue
	DefaultValue        *string // "default value if null": written when the object is created and the source gives null; never later
	MatchingPriority    int     // 0: not a matching attribute; else 1, 2, … in the order of matching
	FlowType            string  // when the value may be written: one of the constants below; "" means FlowTypeAlways
	FlowBehavior        string  // FlowWhenChanged or FlowAlways; "" means FlowWhenChanged
	FlowNullValues      bool    `json:",omitempty"` // one of the two switches that let nothing remove what stands in the target; the other is Attribute.FlowNullValues
	// ExportMissingReferences is Graph's own business: kept, and without effect here.
	ExportMissingReferences bool  `json:",omitempty"`
	Extra                   Extra `json:",omitempty"`
}

// The flow types (attributeFlowType). An object that is created gets the value whatever the type is. After that:
const (
	FlowTypeAlways        = "Always"            // it replaces what stands in the target
	FlowTypeObjectAdd     = "ObjectAddOnly"     // it is not written again
	FlowTypeMultiValueAdd = "MultiValueAddOnly" // for targets with several values: those that are missing are added, none is removed
	FlowTypeValueAdd      = "ValueAddOnly"      // several values: as MultiValueAddOnly; one value: as AttributeAddOnly
	FlowTypeAttributeAdd  = "AttributeAddOnly"  // it is written while the target has no value
)

// MappingType is what the portal calls a mapping; it follows from the source.
type MappingType string

// The mapping types of Microsoft Learn, "Customize user provisioning attribute-mappings".
const (
	Direct     MappingType = "Direct"     // one source attribute
	Constant   MappingType = "Constant"   // a text, number or truth value that is written out
	Expression MappingType = "Expression" // anything else
	None       MappingType = "None"       // no source: the target is left alone, and has the default value when it is created
)

// Type returns what the mapping is called. A source that is not an expression of the language is an Expression.
func (m *AttributeMapping) Type() MappingType {
	if strings.TrimSpace(m.Expression) == "" {
		return None
	}
	n, err := expr.Parse(m.Expression)
	if err != nil {
		return Expression
	}
	switch n.Kind {
	case expr.AttributeNode:
		return Direct
	case expr.TextNode, expr.NumberNode, expr.BooleanNode:
		return Constant
	}
	return Expression
}

// Filter is a scoping filter: groups are or-ed, the clauses of a group are and-ed. Groups and InputGroups must
// both hold; a set without groups holds for everybody.
type Filter struct {
	Groups         []FilterGroup // who leaves these is out of scope, and is deprovisioned if the job does so
	InputGroups    []FilterGroup `json:",omitempty"` // who leaves these is not looked at any more, and is never deprovisioned
	CategoryGroups []FilterGroup `json:",omitempty"` // "experimental" on the reference: kept; Compile refuses them
	Extra          Extra         `json:",omitempty"`
}

// FilterGroup is a named set of clauses that must all hold.
type FilterGroup struct {
	Name    string
	Clauses []Clause
	Extra   Extra `json:",omitempty"`
}

// Clause compares one source attribute with at most one value.
type Clause struct {
	SourceOperandName string
	OperatorName      string
	Values            []string
	Extra             Extra `json:",omitempty"`
}

// Directory is a directoryDefinition: the objects and attributes that one side knows.
type Directory struct {
	ID, Name, Version string
	ReadOnly          bool
	Discoverabilities string `json:",omitempty"` // what POST …/discover can find, as Graph's flags; "" means None
	DiscoveryDateTime string `json:",omitempty"` // RFC 3339, of the last discovery; "" if there was none
	Objects           []Object
	Extra             Extra `json:",omitempty"`
}

// Object is an objectDefinition.
type Object struct {
	Name          string
	SupportedAPIs []string   `json:",omitempty"`
	Metadata      []KeyValue `json:",omitzero"` // nil: DefaultMetadata
	Attributes    []Attribute
	Extra         Extra `json:",omitempty"`
}

// DefaultMetadata is the metadata of an object that has none of its own: which attributes tell that an account is
// enabled, and that it is deleted.
func (o *Object) DefaultMetadata() []KeyValue {
	metadata := []KeyValue{}
	for _, a := range o.Attributes {
		switch a.Name {
		case "active", "accountEnabled":
			metadata = append(metadata, KeyValue{"PropertyNameAccountEnabled", a.Name})
		case "IsSoftDeleted":
			metadata = append(metadata, KeyValue{"PropertyNameSoftDeleted", a.Name})
		}
	}
	return metadata
}

// Attribute is an attributeDefinition. The zero value of each field is Graph's default.
type Attribute struct {
	Name              string
	Type              string // String, Integer, Reference, Binary, Boolean, DateTime; "" means String
	Anchor            bool
	Required          bool
	CaseExact         bool
	MultiValued       bool
	FlowNullValues    bool               // of a source attribute: see AttributeMapping.FlowNullValues
	Mutability        string             // ReadWrite, ReadOnly, Immutable, WriteOnly; "" means ReadWrite
	DefaultValue      *string            `json:",omitempty"` // of a target attribute: stands for the default value of a mapping that has none
	References        string             // for Reference: the object type it points at
	MaxLength         int                // of a target's text, in characters (the MaximumLength metadata); 0 means 1024
	ReferencedObjects []ReferencedObject `json:",omitempty"` // for Reference, in place of References where that does not say it all
	Metadata          []KeyValue         `json:",omitzero"`  // but for MaximumLength
	APIExpressions    []KeyValue         `json:",omitempty"`
	Extra             Extra              `json:",omitempty"`
}

// ReferencedObject is a referencedObject of Graph: an object type, and the property that names one of its objects.
type ReferencedObject struct {
	Name     string
	Property string // "" means the anchor
}
