package expr

import (
	"errors"
	"slices"
	"strings"
)

// errRedacted stands for the message of a function that has seen a redacted value.
var errRedacted = errors.New("it fails, and why is not shown because the value is redacted")

func isRedact(n *Node) bool { return n.Kind == CallNode && n.Name == "Redact" }

// markRedacted finds the attributes that are read below a Redact, and every node that such a value can reach: what lies
// below a Redact, what has one below it, and what reads such an attribute elsewhere.
func (c *compiler) markRedacted() {
	c.prog.tree.walk(func(n *Node) {
		if !isRedact(n) {
			return
		}
		c.prog.masked = true
		n.walk(func(below *Node) {
			if below.Kind == AttributeNode && !slices.Contains(c.prog.redacted, below.Name) {
				c.prog.redacted = append(c.prog.redacted, below.Name)
			}
		})
	})
	if c.prog.masked {
		c.masked = map[*Node]bool{}
		c.mark(c.prog.tree, false)
	}
}

// mark notes whether a redacted value can reach n, and returns it. Names are compared without case: two spellings may
// be one attribute.
func (c *compiler) mark(n *Node, below bool) bool {
	if n == nil {
		return false
	}
	below = below || isRedact(n)
	reached := below || n.Kind == AttributeNode && slices.ContainsFunc(c.prog.redacted, func(name string) bool { return strings.EqualFold(name, n.Name) })
	for _, a := range n.Args {
		reached = c.mark(a, below) || reached
	}
	c.masked[n] = reached
	return reached
}
