package regex

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error says why a pattern cannot be used.
type Error struct {
	Pos int // in characters of the pattern, counted from 0
	Msg string
}

func (e *Error) Error() string {
	return fmt.Sprintf("the regular expression is wrong at its character %d: %s", e.Pos+1, e.Msg)
}

const (
	maxPattern = 10_000 // bytes
	maxNesting = 100
	maxRepeat  = 10_000
)

type kind uint8

const (
	kEmpty  kind = iota
	kChar        // one character, r
	kSet         // one character of set
	kConcat      // subs, one after another
	kAlternate
	kRepeat // subs[0], min to max times; max -1 is no limit
	kGroup  // subs[0], captured as number
	kAtomic
	kLook   // subs[0], ahead or behind
	kAssert // op
	kBackref
)

type node struct {
	kind     kind
	r        rune
	set      *set
	op       op
	fold     bool
	min, max int
	lazy     bool
	number   int
	name     string // of the group, of a backref; "" for a number
	negate   bool
	behind   bool
	pos      int // of a backref
	subs     []*node
}

// options are the RegexOptions that a pattern can set inline.
type options struct{ ignoreCase, multiline, explicit, singleline, whitespace bool }

type parser struct {
	src     string
	pos     int
	opt     options
	depth   int
	groups  []*node // in the order of their opening
	backref []*node
}

func (p *parser) errorf(at int, format string, args ...any) error {
	return &Error{utf8.RuneCountInString(p.src[:min(at, len(p.src))]), fmt.Sprintf(format, args...)}
}

func (p *parser) more() bool            { return p.pos < len(p.src) }
func (p *parser) looking(t string) bool { return strings.HasPrefix(p.src[p.pos:], t) }
func (p *parser) accept(t string) bool {
	if !p.looking(t) {
		return false
	}
	p.pos += len(t)
	return true
}

func (p *parser) rune() rune {
	r, size := utf8.DecodeRuneInString(p.src[p.pos:])
	p.pos += size
	return r
}

// alternation parses up to a closing parenthesis or the end.
func (p *parser) alternation() (*node, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, p.errorf(p.pos, "groups are nested more than %d deep", maxNesting)
	}
	saved := p.opt
	defer func() { p.depth--; p.opt = saved }()
	alt := &node{kind: kAlternate}
	seq := &node{kind: kConcat}
	for p.more() && !p.looking(")") {
		if p.accept("|") {
			alt.subs, seq = append(alt.subs, seq), &node{kind: kConcat}
			continue
		}
		n, err := p.repeated()
		if err != nil {
			return nil, err
		}
		if n != nil {
			seq.subs = append(seq.subs, n)
		}
	}
	if alt.subs = append(alt.subs, seq); len(alt.subs) == 1 {
		return seq, nil
	}
	return alt, nil
}

// blank passes over white space and comments if the options say so.
func (p *parser) blank() error {
	for p.more() {
		switch c := p.src[p.pos]; {
		case p.looking("(?#"):
			end := strings.IndexByte(p.src[p.pos:], ')')
			if end < 0 {
				return p.errorf(p.pos, "the comment (?# has no closing )")
			}
			p.pos += end + 1
		case p.opt.whitespace && c == '#':
			end := strings.IndexByte(p.src[p.pos:], '\n')
			if end < 0 {
				end = len(p.src) - p.pos - 1
			}
			p.pos += end + 1
		case p.opt.whitespace && (c == ' ' || c >= '\t' && c <= '\r'):
			p.pos++
		default:
			return nil
		}
	}
	return nil
}

// repeated parses an atom with its quantifier; nil is nothing, such as a comment.
func (p *parser) repeated() (*node, error) {
	if err := p.blank(); err != nil || !p.more() || p.looking(")") || p.looking("|") {
		return nil, err
	}
	at := p.pos
	n, err := p.atom()
	if err != nil || n == nil {
		return n, err
	}
	if err := p.blank(); err != nil {
		return nil, err
	}
	least, most, ok, err := p.quantifier()
	if err != nil || !ok {
		return n, err
	}
	if most >= 0 && most < least {
		return nil, p.errorf(at, "the quantifier {%d,%d} has its limits the wrong way round", least, most)
	}
	n = &node{kind: kRepeat, min: least, max: most, lazy: p.accept("?"), subs: []*node{n}}
	at = p.pos
	if _, _, again, _ := p.quantifier(); again {
		return nil, p.errorf(at, "a quantifier follows a quantifier; put what is before it in (?:...)")
	}
	return n, nil
}

// quantifier reads * + ? {n} {n,} or {n,m}; any other brace stands for itself.
func (p *parser) quantifier() (least, most int, ok bool, err error) {
	switch {
	case p.accept("*"):
		return 0, -1, true, nil
	case p.accept("+"):
		return 1, -1, true, nil
	case p.accept("?"):
		return 0, 1, true, nil
	case !p.looking("{"):
		return 0, 0, false, nil
	}
	at := p.pos
	p.pos++
	least, ok = p.decimal()
	most = least
	if ok && p.accept(",") {
		if most = -1; !p.looking("}") {
			most, ok = p.decimal()
		}
	}
	if !ok || !p.accept("}") {
		p.pos = at
		return 0, 0, false, nil
	}
	if least > maxRepeat || most > maxRepeat {
		return 0, 0, false, p.errorf(at, "a quantifier can ask for at most %d", maxRepeat)
	}
	return least, most, true, nil
}

func (p *parser) decimal() (int, bool) {
	at := p.pos
	for p.more() && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		p.pos++
	}
	n, err := strconv.Atoi(p.src[at:p.pos])
	if p.pos > at && err != nil {
		n = math.MaxInt32
	}
	return n, p.pos > at
}

func (p *parser) char(r rune) *node {
	if p.opt.ignoreCase && unicode.SimpleFold(r) != r {
		s := &set{fold: true}
		s.add(r, r)
		return &node{kind: kSet, set: s.done()}
	}
	return &node{kind: kChar, r: r}
}

func assert(o op) *node { return &node{kind: kAssert, op: o} }

func (p *parser) atom() (*node, error) {
	at := p.pos
	switch r := p.rune(); r {
	case '(':
		return p.group(at)
	case '[':
		s, err := p.set(at)
		return &node{kind: kSet, set: s}, err
	case '.':
		s := &set{negate: true}
		if !p.opt.singleline {
			s.add('\n', '\n')
		}
		return &node{kind: kSet, set: s.done()}, nil
	case '^':
		if p.opt.multiline {
			return assert(opLineStart), nil
		}
		return assert(opBegin), nil
	case '$':
		if p.opt.multiline {
			return assert(opLineEnd), nil
		}
		return assert(opEndZ), nil
	case '\\':
		return p.escape(at)
	case '*', '+', '?':
		return nil, p.errorf(at, `there is nothing before %c to repeat; write \%c for the character itself`, r, r)
	default:
		return p.char(r), nil
	}
}

// group parses what follows an opening parenthesis.
func (p *parser) group(at int) (*node, error) {
	n := &node{kind: kGroup}
	saved := p.opt
	defer func() { p.opt = saved }()
	switch {
	case !p.looking("?"):
		if p.opt.explicit {
			n.kind = kConcat
		} else {
			p.groups = append(p.groups, n)
		}
	case p.accept("?:"):
		n.kind = kConcat
	case p.accept("?="), p.accept("?!"):
		n.kind, n.negate = kLook, p.src[p.pos-1] == '!'
	case p.accept("?<="), p.accept("?<!"):
		n.kind, n.negate, n.behind = kLook, p.src[p.pos-1] == '!', true
	case p.accept("?>"):
		n.kind = kAtomic
	case p.accept("?<"), p.accept("?'"):
		closing := byte('>')
		if p.src[p.pos-1] == '\'' {
			closing = '\''
		}
		name, err := p.name(at, closing)
		if err != nil {
			return nil, err
		}
		n.name = name
		p.groups = append(p.groups, n)
	case p.looking("?("):
		return nil, p.errorf(at, "a condition (?(...)yes|no) is not supported; write both cases as alternatives with |")
	case p.looking("?P"):
		return nil, p.errorf(at, "(?P is not a group of .NET; name a group with (?<name>...)")
	default:
		p.pos++ // the question mark
		inline, err := p.inline(at)
		if err != nil || inline {
			saved = p.opt // they hold to the end of the enclosing group
			return nil, err
		}
		n.kind = kConcat
	}
	sub, err := p.alternation()
	if err != nil {
		return nil, err
	}
	if !p.accept(")") {
		return nil, p.errorf(at, "this ( has no closing )")
	}
	n.subs = []*node{sub}
	return n, nil
}

func (p *parser) name(at int, closing byte) (string, error) {
	end := strings.IndexByte(p.src[p.pos:], closing)
	if end < 0 {
		return "", p.errorf(at, "the name of the group has no closing %c", closing)
	}
	name := p.src[p.pos : p.pos+end]
	if strings.Contains(name, "-") {
		return "", p.errorf(at, "balancing groups such as (?<%s>...) are not supported", name)
	}
	for _, r := range name {
		if !isWord(r) {
			return "", p.errorf(p.pos, "the name of a group has letters, digits and _ only, and %q has not", name)
		}
	}
	if name == "" || name == "0" {
		return "", p.errorf(p.pos, "the group has no name; write (?<name>...)")
	}
	p.pos += end + 1
	return name, nil
}

// inline reads options; alone tells that they stand for themselves, as in (?i).
func (p *parser) inline(at int) (alone bool, err error) {
	for on := true; p.more(); {
		switch r := p.rune(); r {
		case '-':
			on = false
		case '+':
			on = true
		case 'i':
			p.opt.ignoreCase = on
		case 'm':
			p.opt.multiline = on
		case 'n':
			p.opt.explicit = on
		case 's':
			p.opt.singleline = on
		case 'x':
			p.opt.whitespace = on
		case ')':
			return true, nil
		case ':':
			return false, nil
		default:
			return false, p.errorf(at, "(?%c is not a group of .NET; name a group with (?<name>...)", r)
		}
	}
	return false, p.errorf(at, "this ( has no closing )")
}

// escape parses what follows a backslash outside of a set.
func (p *parser) escape(at int) (*node, error) {
	if !p.more() {
		return nil, p.errorf(at, `the regular expression ends in a backslash; write \\ for the character itself`)
	}
	c := p.src[p.pos]
	if t, ok := class(c); ok {
		p.pos++
		return &node{kind: kSet, set: (&set{tables: []table{t}}).done()}, nil
	}
	simple := map[byte]op{'A': opBegin, 'G': opStart, 'Z': opEndZ, 'z': opEnd, 'b': opWord, 'B': opNotWord}
	switch {
	case simple[c] != 0:
		p.pos++
		return assert(simple[c]), nil
	case c == 'p' || c == 'P':
		t, err := p.property(at)
		return &node{kind: kSet, set: (&set{tables: []table{t}, fold: p.opt.ignoreCase}).done()}, err
	case c == 'k':
		return p.namedBackref(at)
	case c >= '1' && c <= '9':
		n, _ := p.decimal()
		ref := &node{kind: kBackref, number: n, fold: p.opt.ignoreCase, pos: at}
		p.backref = append(p.backref, ref)
		return ref, nil
	}
	r, err := p.literal(at)
	if err != nil {
		return nil, err
	}
	return p.char(r), nil
}

func (p *parser) namedBackref(at int) (*node, error) {
	p.pos++
	closing := byte('>')
	if !p.accept("<") {
		if closing = '\''; !p.accept("'") {
			return nil, p.errorf(at, `\k needs the name of a group, as in \k<name>`)
		}
	}
	name, err := p.name(at, closing)
	ref := &node{kind: kBackref, name: name, fold: p.opt.ignoreCase, pos: at}
	p.backref = append(p.backref, ref)
	return ref, err
}

// property parses p{...} or P{...}.
func (p *parser) property(at int) (table, error) {
	negate := p.src[p.pos] == 'P'
	p.pos++
	end := strings.IndexByte(p.src[p.pos:], '}')
	if !p.looking("{") || end < 0 {
		return table{}, p.errorf(at, `\p needs a category in braces, as in \p{L}`)
	}
	name := p.src[p.pos+1 : p.pos+end]
	p.pos += end + 1
	t, err := property(name, negate)
	if err != nil {
		return t, p.errorf(at, "%v", err)
	}
	return t, nil
}

// literal reads an escape that stands for one character.
func (p *parser) literal(at int) (rune, error) {
	r := p.rune()
	switch r {
	case 't':
		return '\t', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 'f':
		return '\f', nil
	case 'v':
		return '\v', nil
	case 'a':
		return '\a', nil
	case 'e':
		return 0x1b, nil
	case 'x':
		return p.number(at, 2, 16)
	case 'u':
		return p.number(at, 4, 16)
	case 'c':
		if c := byte(0); p.more() {
			if c = p.src[p.pos] &^ 0x20; c >= '@' && c <= '_' {
				p.pos++
				return rune(c - '@'), nil
			}
		}
		return 0, p.errorf(at, `\c needs a letter, as in \cA`)
	case '0':
		n := rune(0)
		for i := 0; i < 2 && p.more() && p.src[p.pos] >= '0' && p.src[p.pos] <= '7'; i++ {
			n = n*8 + rune(p.src[p.pos]-'0')
			p.pos++
		}
		return n, nil
	}
	if isWord(r) {
		return 0, p.errorf(at, `there is no escape \%c; write %c alone for the character itself`, r, r)
	}
	return r, nil
}

func (p *parser) number(at, digits, base int) (rune, error) {
	if p.pos+digits <= len(p.src) {
		if n, err := strconv.ParseUint(p.src[p.pos:p.pos+digits], base, 32); err == nil {
			p.pos += digits
			return rune(n), nil
		}
	}
	return 0, p.errorf(at, "the escape needs %d hexadecimal digits", digits)
}

// set parses what follows an opening bracket.
func (p *parser) set(at int) (*set, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, p.errorf(at, "sets are nested more than %d deep", maxNesting)
	}
	defer func() { p.depth-- }()
	s := &set{negate: p.accept("^"), fold: p.opt.ignoreCase}
	for first := true; ; first = false {
		switch {
		case !p.more():
			return nil, p.errorf(at, `this [ has no closing ]; write \[ for the character itself`)
		case p.looking("]") && !first:
			p.pos++
			return s.done(), nil
		case p.looking("-[") && !first:
			p.pos += 2
			var err error
			if s.minus, err = p.set(p.pos - 1); err != nil {
				return nil, err
			}
			if !p.accept("]") {
				return nil, p.errorf(p.pos, "a set that is taken away, as in [a-z-[aeiou]], must be the last part")
			}
			return s.done(), nil
		}
		if err := p.member(s); err != nil {
			return nil, err
		}
	}
}

// member adds a character, a range or a class to a set.
func (p *parser) member(s *set) error {
	at := p.pos
	if t, isClass, err := p.setClass(); err != nil || isClass {
		s.tables = append(s.tables, t)
		return err
	}
	first, err := p.setChar()
	if err != nil {
		return err
	}
	last := first
	if rest := p.src[p.pos:]; len(rest) > 1 && rest[0] == '-' && rest[1] != ']' && rest[1] != '[' {
		p.pos++
		if _, isClass, _ := p.setClass(); isClass {
			return p.errorf(at, `a range cannot end in a class; write \- for the character itself`)
		}
		if last, err = p.setChar(); err != nil {
			return err
		}
	}
	if last < first {
		return p.errorf(at, "the range %c-%c is the wrong way round", first, last)
	}
	s.add(first, last)
	return nil
}

func (p *parser) setClass() (table, bool, error) {
	if !p.looking(`\`) || p.pos+1 >= len(p.src) {
		return table{}, false, nil
	}
	c := p.src[p.pos+1]
	if t, ok := class(c); ok {
		p.pos += 2
		return t, true, nil
	}
	if c|0x20 == 'p' {
		at := p.pos
		p.pos++
		t, err := p.property(at)
		return t, true, err
	}
	return table{}, false, nil
}

func (p *parser) setChar() (rune, error) {
	at := p.pos
	switch {
	case !p.accept(`\`):
		return p.rune(), nil
	case !p.more():
		return 0, p.errorf(at, "this set has no closing ]")
	case p.accept("b"):
		return '\b', nil
	}
	return p.literal(at)
}
