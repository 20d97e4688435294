package expr

import (
	"strconv"
	"strings"
)

// NodeKind tells what a Node is.
type NodeKind uint8

// The kinds of a Node.
const (
	AttributeNode  NodeKind = iota // [name]
	TextNode                       // "text"
	NumberNode                     // 12, -3, &HF7
	BooleanNode                    // True, False
	KeywordNode                    // a bare word such as IgnoreAttributeFlow
	CallNode                       // Name(arguments)
	ComparisonNode                 // left = right
)

// String returns the name of the kind in lower case.
func (k NodeKind) String() string {
	return [...]string{"attribute", "text", "number", "boolean", "keyword", "call", "comparison"}[k]
}

// Node is a part of an expression. A tree belongs to its caller, who may build one and print it with String.
type Node struct {
	Kind NodeKind
	// Name is the name of an attribute, a function or a keyword, the operator of a comparison, the text of a
	// TextNode, and for other constants what String prints.
	Name string
	// Value is what a constant stands for; null for all else.
	Value Value
	// Pos and End are byte offsets in the source: the node is source[Pos:End].
	Pos, End int
	// Args are the arguments of a call, nil for one that is left empty; of a comparison, its left and right side.
	Args []*Node
}

// Bare words. Those of comparison are arguments of InStr; the others are values.
const (
	wordIgnoreAttribute = "IgnoreAttributeFlow"
	wordIgnoreObject    = "IgnoreObjectFlow"
	wordTextCompare     = "vbTextCompare"
	wordBinaryCompare   = "vbBinaryCompare"
)

func keywordOf(name string) (string, bool) {
	for _, w := range [...]string{wordIgnoreAttribute, wordIgnoreObject, wordTextCompare, wordBinaryCompare} {
		if strings.EqualFold(w, name) {
			return w, true
		}
	}
	return "", false
}

func isCompareType(n *Node) bool {
	return n.Kind == KeywordNode && (n.Name == wordTextCompare || n.Name == wordBinaryCompare)
}

// String prints the node in canonical form: ", " between arguments, an empty argument kept as nothing between two
// commas. Parsing that gives the same tree again, but for the positions.
func (n *Node) String() string {
	var b strings.Builder
	n.print(&b)
	return b.String()
}

func (n *Node) print(b *strings.Builder) {
	switch n.Kind {
	case AttributeNode:
		b.WriteString("[" + n.Name + "]")
	case TextNode:
		b.WriteString(quote(n.Name))
	case CallNode:
		b.WriteString(n.Name + "(")
		for i, a := range n.Args {
			if i > 0 {
				b.WriteString(", ")
			}
			if a != nil {
				a.print(b)
			}
		}
		b.WriteString(")")
	case ComparisonNode:
		n.Args[0].print(b)
		b.WriteString(" " + n.Name + " ")
		n.Args[1].print(b)
	default:
		b.WriteString(n.Name)
	}
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func numberNode(n int64, hex bool) *Node {
	name := strconv.FormatInt(n, 10)
	if hex {
		name = "&H" + strings.ToUpper(strconv.FormatInt(n, 16))
	}
	return &Node{Kind: NumberNode, Name: name, Value: Int(n)}
}

// constant returns the value that n writes out.
func constant(n *Node) (Value, bool) {
	switch {
	case n.Kind == TextNode, n.Kind == NumberNode, n.Kind == BooleanNode:
		return n.Value, true
	case isCompareType(n):
		return Text(n.Name), true
	}
	return Value{}, false
}

// walk calls f for n and everything below it, parents first.
func (n *Node) walk(f func(*Node)) {
	if n == nil {
		return
	}
	f(n)
	for _, a := range n.Args {
		a.walk(f)
	}
}
