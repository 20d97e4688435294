package regex

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxProgram is how many instructions a pattern may become.
const maxProgram = 3000

type op uint8

const (
	opFail      op = iota
	opMatch        // the end, of the pattern or of a part that is matched by itself
	opChar         // the character r
	opSet          // a character of set
	opRun          // min to max characters of set
	opSplit        // go on at x, and if that fails at y
	opLoop         // as opSplit, but at y only if nothing was taken since the mark
	opJump         // go on at x
	opLast         // group x took the last character since mark y, if there is one
	opSave         // remember where we are as x
	opBegin        // \A
	opEnd          // \z
	opEndZ         // \Z and $: the end, or the line feed at the end
	opLineStart    // (?m)^
	opLineEnd      // (?m)$
	opWord         // \b
	opNotWord      // \B
	opStart        // \G
	opBackref      // what group x took
	opLook         // what follows, up to y, matches here
	opAtomic       // what follows, up to y, in the first way that it matches
)

type inst struct {
	op          op
	lazy        bool
	back        bool // goes from right to left
	fold, not   bool
	id          int32 // among those that the memory of failures is kept of
	x, y        int32
	least, most int32 // of opRun; most -1 is no limit
	r           rune
	set         *set
}

// Regexp is a compiled pattern. It may be used by many goroutines at once.
type Regexp struct {
	source   string
	prog     []inst
	groups   int // with group 0, the match
	slots    int // two for each group, and one for each loop that can take nothing
	names    map[string]int
	memo     int    // how many instructions failures are remembered of; 0 if they cannot be
	prefix   string // what each match begins with
	first    *set   // what each match begins with if prefix is empty; may be nil
	anchored bool
}

// Compile reads a pattern. The error is an *Error.
func Compile(pattern string) (*Regexp, error) {
	p := &parser{src: pattern}
	if len(pattern) > maxPattern {
		return nil, p.errorf(0, "it has %d bytes; at most %d are allowed", len(pattern), maxPattern)
	}
	if !utf8.ValidString(pattern) {
		return nil, p.errorf(0, "it is not valid UTF-8 text")
	}
	tree, err := p.alternation()
	if err != nil {
		return nil, err
	}
	if p.more() {
		return nil, p.errorf(p.pos, `this ) closes nothing; write \) for the character itself`)
	}
	re := &Regexp{source: pattern, names: map[string]int{"0": 0}}
	if err := re.number(p); err != nil {
		return nil, err
	}
	c := compiler{re: re, memo: len(p.backref) == 0}
	c.node(&node{kind: kGroup, subs: []*node{tree}}, false)
	c.emit(inst{op: opMatch})
	if c.full {
		return nil, p.errorf(0, "it is too large; use fewer or smaller repetitions")
	}
	re.lead()
	return re, nil
}

// number gives the groups their numbers: first those without a name, then those with one, as .NET does.
func (re *Regexp) number(p *parser) error {
	re.groups = 1
	explicit := map[int]bool{}
	for _, g := range p.groups {
		if n, err := strconv.Atoi(g.name); err == nil && g.name != "" {
			if n > 1000 {
				return p.errorf(0, "the group number %d is too large", n)
			}
			g.number, explicit[n] = n, true
		}
	}
	for _, named := range []bool{false, true} {
		for _, g := range p.groups {
			if g.number != 0 || (g.name != "") != named {
				continue
			}
			if n, seen := re.names[g.name]; named && seen {
				g.number = n
				continue
			}
			for explicit[re.groups] {
				re.groups++
			}
			g.number = re.groups
			re.names[g.name] = re.groups
			re.groups++
		}
	}
	delete(re.names, "")
	for _, g := range p.groups {
		re.names[strconv.Itoa(g.number)] = g.number
		re.groups = max(re.groups, g.number+1)
	}
	re.slots = 2 * re.groups
	for _, ref := range p.backref {
		name := ref.name
		if name == "" {
			name = strconv.Itoa(ref.number)
		}
		n, ok := re.names[name]
		if !ok {
			return p.errorf(ref.pos, "there is no group %s to refer back to", name)
		}
		ref.number = n
	}
	return nil
}

// Group returns the number of a group by its name or number.
func (re *Regexp) Group(name string) (int, bool) {
	n, ok := re.names[name]
	return n, ok
}

// Groups returns how many groups there are, with group 0, which is the match.
func (re *Regexp) Groups() int { return re.groups }

// String returns the pattern.
func (re *Regexp) String() string { return re.source }

type compiler struct {
	re   *Regexp
	memo bool
	full bool
}

func (c *compiler) emit(in inst) int {
	if len(c.re.prog) >= maxProgram {
		c.full = true
		return 0
	}
	if c.memo && (in.op == opSplit || in.op == opLoop || in.op == opRun || in.op == opLook || in.op == opAtomic) {
		in.id = int32(c.re.memo)
		c.re.memo++
	}
	c.re.prog = append(c.re.prog, in)
	return len(c.re.prog) - 1
}

func (c *compiler) here() int32 { return int32(len(c.re.prog)) }

// node writes the instructions of n; back means that it is matched from right to left.
func (c *compiler) node(n *node, back bool) {
	switch n.kind {
	case kChar:
		c.emit(inst{op: opChar, r: n.r, back: back})
	case kSet:
		c.emit(inst{op: opSet, set: n.set, back: back})
	case kAssert:
		c.emit(inst{op: n.op})
	case kBackref:
		c.emit(inst{op: opBackref, x: int32(n.number), fold: n.fold, back: back})
	case kConcat:
		subs := n.subs
		if back {
			subs = slices.Clone(subs)
			slices.Reverse(subs)
		}
		for _, sub := range subs {
			c.node(sub, back)
		}
	case kAlternate:
		c.alternate(n.subs, back)
	case kRepeat:
		c.repeat(n, back)
	case kGroup:
		open, closing := int32(2*n.number), int32(2*n.number+1)
		if back {
			open, closing = closing, open
		}
		c.emit(inst{op: opSave, x: open})
		c.node(n.subs[0], back)
		c.emit(inst{op: opSave, x: closing})
	case kAtomic, kLook:
		in := inst{op: opAtomic, not: n.negate}
		if n.kind == kLook {
			in.op, back = opLook, n.behind
		}
		at := c.emit(in)
		c.node(n.subs[0], back)
		c.emit(inst{op: opMatch})
		c.re.prog[at].y = c.here()
	}
}

func (c *compiler) alternate(subs []*node, back bool) {
	var jumps []int
	for i, sub := range subs {
		if i == len(subs)-1 {
			c.node(sub, back)
			break
		}
		split := c.emit(inst{op: opSplit})
		c.re.prog[split].x = c.here()
		c.node(sub, back)
		jumps = append(jumps, c.emit(inst{op: opJump}))
		c.re.prog[split].y = c.here()
	}
	for _, j := range jumps {
		c.re.prog[j].x = c.here()
	}
}

func (c *compiler) repeat(n *node, back bool) {
	sub := n.subs[0]
	if s := single(sub); s != nil {
		c.emit(inst{op: opRun, set: s, least: int32(n.min), most: int32(n.max), lazy: n.lazy, back: back})
		return
	}
	if sub.kind == kGroup && single(sub.subs[0]) != nil {
		c.lastOf(n, sub, back)
		return
	}
	for i := 0; i < n.min && !c.full; i++ {
		if i == n.min-1 && n.max < 0 {
			break
		}
		c.node(sub, back)
	}
	if n.max < 0 {
		c.loop(sub, n.min > 0, n.lazy, back)
		return
	}
	var splits []int
	for i := n.min; i < n.max && !c.full; i++ {
		splits = append(splits, c.split(n.lazy))
		c.node(sub, back)
	}
	for _, at := range splits {
		c.leave(at)
	}
}

// lastOf repeats a group of one character, as in (.)*: a run, and then the group holds its last character.
func (c *compiler) lastOf(n, group *node, back bool) {
	mark := int32(c.re.slots)
	c.re.slots++
	c.emit(inst{op: opSave, x: mark})
	run := *n
	run.subs = group.subs
	c.repeat(&run, back)
	c.emit(inst{op: opLast, x: int32(2 * group.number), y: mark, back: back})
}

// loop repeats sub without a limit, at least once if once is set.
func (c *compiler) loop(sub *node, once, lazy, back bool) {
	skip := -1
	if !once {
		skip = c.split(lazy)
	}
	top := c.here()
	mark := int32(-1)
	if nullable(sub) {
		mark = int32(c.re.slots)
		c.re.slots++
		c.emit(inst{op: opSave, x: mark})
	}
	c.node(sub, back)
	in := inst{op: opSplit, x: top, y: c.here() + 1, lazy: lazy}
	if mark >= 0 {
		in.op, in.least = opLoop, mark
	}
	c.emit(in)
	if skip >= 0 {
		c.leave(skip)
	}
}

// split writes a choice between what follows and what leave says.
func (c *compiler) split(lazy bool) int {
	at := c.emit(inst{op: opSplit, lazy: lazy})
	c.re.prog[at].x = c.here()
	return at
}

func (c *compiler) leave(at int) { c.re.prog[at].y = c.here() }

// single returns the set of a node that takes exactly one character, or nil.
func single(n *node) *set {
	switch n.kind {
	case kSet:
		return n.set
	case kChar:
		s := &set{}
		s.add(n.r, n.r)
		return s.done()
	case kConcat:
		if len(n.subs) == 1 {
			return single(n.subs[0])
		}
	}
	return nil
}

// nullable reports whether n can match nothing.
func nullable(n *node) bool {
	switch n.kind {
	case kChar, kSet:
		return false
	case kRepeat:
		return n.min == 0 || nullable(n.subs[0])
	case kGroup, kAtomic:
		return nullable(n.subs[0])
	case kConcat:
		return !slices.ContainsFunc(n.subs, func(s *node) bool { return !nullable(s) })
	case kAlternate:
		return slices.ContainsFunc(n.subs, nullable)
	}
	return true
}

// lead finds what every match must begin with.
func (re *Regexp) lead() {
	for i := range re.prog {
		switch in := &re.prog[i]; {
		case in.op == opSave:
		case in.op == opChar && re.first == nil:
			re.prefix += string(in.r)
		case in.op == opBegin && re.prefix == "":
			re.anchored = true
			return
		case (in.op == opSet || in.op == opRun && in.least > 0) && re.prefix == "":
			re.first = in.set
			return
		default:
			return
		}
	}
}
