package expr

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// MaxLength is the longest source, in characters (Microsoft Learn, "Known issues for provisioning").
	MaxLength = 10_000
	// MaxDepth is the deepest nesting of calls.
	MaxDepth = 100
)

// node is one of: attribute, text, number, boolean, keyword, call, comparison.
// String prints it in canonical form; parsing that gives the same node again.
type node interface {
	String() string
	position() int
}

type (
	attribute struct {
		pos  int
		name string
	}
	text struct {
		pos   int
		value string
	}
	number struct {
		pos   int
		value int64
		hex   bool
	}
	boolean struct {
		pos   int
		value bool
	}
	keyword struct {
		pos  int
		name string // as the reference spells it
	}
	call struct {
		pos  int
		name string
		args []node // nil for an argument left empty
	}
	comparison struct {
		pos         int
		op          string
		left, right node
	}
)

func (n attribute) position() int  { return n.pos }
func (n text) position() int       { return n.pos }
func (n number) position() int     { return n.pos }
func (n boolean) position() int    { return n.pos }
func (n keyword) position() int    { return n.pos }
func (n call) position() int       { return n.pos }
func (n comparison) position() int { return n.left.position() }

func (n attribute) String() string { return "[" + n.name + "]" }
func (n text) String() string      { return quote(n.value) }
func (n boolean) String() string   { return Bool(n.value).String() }
func (n keyword) String() string   { return n.name }

func (n number) String() string {
	if n.hex {
		return "&H" + strings.ToUpper(strconv.FormatInt(n.value, 16))
	}
	return strconv.FormatInt(n.value, 10)
}

func (n call) String() string {
	args := make([]string, len(n.args))
	for i, a := range n.args {
		if a != nil {
			args[i] = a.String()
		}
	}
	return n.name + "(" + strings.Join(args, ", ") + ")"
}

func (n comparison) String() string {
	return n.left.String() + " " + n.op + " " + n.right.String()
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Bare words. Those of comparison are arguments of InStr; the others are values.
const (
	wordIgnoreAttribute = "IgnoreAttributeFlow"
	wordIgnoreObject    = "IgnoreObjectFlow"
	wordTextCompare     = "vbTextCompare"
	wordBinaryCompare   = "vbBinaryCompare"
)

func keywordOf(name string) (string, bool) {
	for _, w := range []string{wordIgnoreAttribute, wordIgnoreObject, wordTextCompare, wordBinaryCompare} {
		if strings.EqualFold(w, name) {
			return w, true
		}
	}
	return "", false
}

type parser struct {
	lex   lexer
	tok   token // the next token
	depth int
}

// parse reads the whole of src. Positions, in the tree and in an error, are byte offsets.
func parse(src string) (node, error) {
	if !utf8.ValidString(src) {
		return nil, errorAt(0, "the expression is not valid UTF-8 text")
	}
	if n := utf8.RuneCountInString(src); n > MaxLength {
		return nil, errorAt(0, "the expression has %d characters; at most %d are allowed", n, MaxLength)
	}
	p := parser{lex: lexer{src: src}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokEnd {
		return nil, errorAt(0, "the expression is empty; expected an [attribute], a \"string\", a number or a function")
	}
	n, err := p.comparison()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokEnd {
		return nil, errorAt(p.tok.pos, "expected the end of the expression, found %s", p.tok)
	}
	return n, nil
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lex.next()
	return err
}

func (p *parser) comparison() (node, error) {
	left, err := p.primary()
	if err != nil || p.tok.kind != tokOperator {
		return left, err
	}
	n := comparison{pos: p.tok.pos, op: p.tok.text, left: left}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if n.right, err = p.primary(); err != nil {
		return nil, err
	}
	return n, nil
}

func (p *parser) primary() (node, error) {
	t := p.tok
	if err := p.advance(); err != nil {
		return nil, err
	}
	switch t.kind {
	case tokAttribute:
		return attribute{t.pos, t.text}, nil
	case tokString:
		return text{t.pos, t.text}, nil
	case tokNumber:
		return number{t.pos, t.num, t.hex}, nil
	case tokName:
		return p.named(t)
	}
	return nil, errorAt(t.pos, "expected an [attribute], a \"string\", a number or a function, found %s", t)
}

// named parses what starts with a name: a call, a keyword or a truth value.
func (p *parser) named(t token) (node, error) {
	word, isKeyword := keywordOf(t.text)
	if p.tok.kind == tokOpen {
		args, err := p.arguments()
		if err != nil {
			return nil, err
		}
		if isKeyword && len(args) == 0 {
			return keyword{t.pos, word}, nil
		}
		return call{t.pos, t.text, args}, nil
	}
	switch {
	case isKeyword:
		return keyword{t.pos, word}, nil
	case strings.EqualFold(t.text, "true"), strings.EqualFold(t.text, "false"):
		return boolean{t.pos, strings.EqualFold(t.text, "true")}, nil
	case lookup(t.text) != nil:
		return nil, errorAt(p.tok.pos, "expected ( after the function name %s, found %s", t.text, p.tok)
	}
	return nil, errorAt(t.pos, "%s is not a value; write [%s] for an attribute or %s for a text", t.text, t.text, quote(t.text))
}

// arguments parses ( ... ); the parser stands at the opening parenthesis.
func (p *parser) arguments() ([]node, error) {
	open := p.tok.pos
	if p.depth++; p.depth > MaxDepth {
		return nil, errorAt(open, "calls are nested more than %d deep", MaxDepth)
	}
	defer func() { p.depth-- }()
	if err := p.advance(); err != nil {
		return nil, err
	}
	var args []node
	if p.tok.kind == tokClose {
		return nil, p.advance()
	}
	for {
		var arg node
		if p.tok.kind != tokComma && p.tok.kind != tokClose {
			var err error
			if arg, err = p.comparison(); err != nil {
				return nil, err
			}
		}
		args = append(args, arg)
		switch p.tok.kind {
		case tokClose:
			return args, p.advance()
		case tokComma:
			if err := p.advance(); err != nil {
				return nil, err
			}
		case tokEnd:
			return nil, errorAt(open, "this ( has no closing )")
		default:
			return nil, errorAt(p.tok.pos, "expected , or ) after the argument, found %s", p.tok)
		}
	}
}
