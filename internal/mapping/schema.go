package mapping

// Schema is the configuration of a job: which source attributes flow into which target attributes,
// and who is in scope. Its parts and names are Graph's synchronizationSchema.
// A Schema is a value: nothing in Induct changes one in place.
type Schema struct {
	ID          string // the job's id, or the template's
	Version     string // opaque, changes with each edit
	Rules       []Rule
	Directories []Directory
}

// Rule is a synchronizationRule: object mappings between two directories.
type Rule struct {
	ID, Name                                 string
	Priority                                 int
	Editable                                 bool
	SourceDirectoryName, TargetDirectoryName string
	ObjectMappings                           []ObjectMapping
}

// ObjectMapping says how one source object type becomes one target object type.
type ObjectMapping struct {
	Name                               string
	Enabled                            bool
	FlowTypes                          FlowTypes
	SourceObjectName, TargetObjectName string
	Scope                              *Filter // nil: everybody is in scope
	AttributeMappings                  []AttributeMapping
}

// FlowTypes is the set of actions allowed on target objects.
type FlowTypes struct{ Add, Update, Delete bool }

// AttributeMapping says where the value of one target attribute comes from.
type AttributeMapping struct {
	TargetAttributeName string
	Expression          string // the source in the expression language, such as [externalId]; "" means no source: only DefaultValue
	DefaultValue        *string
	MatchingPriority    int    // 0: not a matching attribute; else 1, 2, … in the order of matching
	FlowType            string // Always, ObjectAddOnly, MultiValueAddOnly, ValueAddOnly, AttributeAddOnly
	FlowBehavior        string // FlowWhenChanged, FlowAlways
}

// Filter is a scoping filter: groups are or-ed, the clauses of a group are and-ed.
type Filter struct{ Groups []FilterGroup }

// FilterGroup is a named set of clauses that must all hold.
type FilterGroup struct {
	Name    string
	Clauses []Clause
}

// Clause compares one source attribute with at most one value.
type Clause struct {
	SourceOperandName string
	OperatorName      string
	Values            []string
}

// Directory is a directoryDefinition: the objects and attributes that one side knows.
type Directory struct {
	ID, Name, Version string
	ReadOnly          bool
	Objects           []Object
}

// Object is an objectDefinition.
type Object struct {
	Name       string
	Attributes []Attribute
}

// Attribute is an attributeDefinition. The zero value of each field is Graph's default.
type Attribute struct {
	Name           string
	Type           string // String, Integer, Reference, Binary, Boolean, DateTime; "" means String
	Anchor         bool
	Required       bool
	CaseExact      bool
	MultiValued    bool
	FlowNullValues bool
	Mutability     string // ReadWrite, ReadOnly, Immutable, WriteOnly; "" means ReadWrite
	References     string // for Reference: the object type it points at
	MaxLength      int    // of a target's text, in characters (the MaximumLength metadata); 0 means 1024
}
