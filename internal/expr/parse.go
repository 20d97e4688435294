package expr

import (
	"errors"
	"strings"
	"unicode/utf8"
)

const (
	// MaxLength is the longest source, in characters (Microsoft Learn, "Known issues for provisioning").
	MaxLength = 10_000
	// MaxDepth is the deepest nesting of calls.
	MaxDepth = 100
)

// Parse reads an expression without asking what its names mean: functions and attributes are kept as they are
// written. The error is an *Error.
func Parse(src string) (*Node, error) {
	n, err := parse(src)
	return n, locate(err, src)
}

// locate gives an error its character from its byte.
func locate(err error, src string) error {
	var e *Error
	if errors.As(err, &e) {
		e.Offset = min(e.Offset, len(src))
		e.Pos = utf8.RuneCountInString(src[:e.Offset])
	}
	return err
}

type parser struct {
	lex   lexer
	tok   token // the next token
	depth int
	end   int // of the token before
}

// parse reads the whole of src.
func parse(src string) (*Node, error) {
	if !utf8.ValidString(src) {
		return nil, errorAt(0, 0, "the expression is not valid UTF-8 text")
	}
	if n := utf8.RuneCountInString(src); n > MaxLength {
		return nil, errorAt(0, 0, "the expression has %d characters; at most %d are allowed", n, MaxLength)
	}
	p := parser{lex: lexer{src: src}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokEnd {
		return nil, errorAt(0, 0, "the expression is empty; expected an [attribute], a \"string\", a number or a function")
	}
	n, err := p.comparison()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokEnd {
		return nil, p.unexpected("expected the end of the expression, found %s", p.tok)
	}
	return n, nil
}

func (p *parser) unexpected(format string, args ...any) error {
	return errorAt(p.tok.pos, p.tok.end, format, args...)
}

func (p *parser) advance() (err error) {
	p.end = p.tok.end
	p.tok, err = p.lex.next()
	return err
}

func (p *parser) comparison() (*Node, error) {
	left, err := p.primary()
	if err != nil || p.tok.kind != tokOperator {
		return left, err
	}
	op := p.tok.text
	if err := p.advance(); err != nil {
		return nil, err
	}
	right, err := p.primary()
	if err != nil {
		return nil, err
	}
	if p.tok.kind == tokOperator {
		return nil, p.unexpected("a second comparison; there is no AND and no OR, put an IIF inside an IIF")
	}
	return &Node{Kind: ComparisonNode, Name: op, Pos: left.Pos, End: right.End, Args: []*Node{left, right}}, nil
}

func (p *parser) primary() (*Node, error) {
	t := p.tok
	if t.kind == tokEnd || t.kind == tokClose || t.kind == tokComma || t.kind == tokOperator || t.kind == tokOpen {
		return nil, p.unexpected("expected an [attribute], a \"string\", a number or a function, found %s", t)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	n := &Node{}
	switch t.kind {
	case tokAttribute:
		n.Kind, n.Name = AttributeNode, t.text
	case tokString:
		n.Kind, n.Name, n.Value = TextNode, t.text, Text(t.text)
	case tokNumber:
		n = numberNode(t.num, t.hex)
	default:
		var err error
		if n, err = p.named(t); err != nil {
			return nil, err
		}
	}
	n.Pos, n.End = t.pos, p.end
	return n, nil
}

// named parses what starts with a name: a call, a keyword or a truth value.
func (p *parser) named(t token) (*Node, error) {
	word, isKeyword := keywordOf(t.text)
	if p.tok.kind == tokOpen {
		args, err := p.arguments()
		if err != nil {
			return nil, err
		}
		if isKeyword && len(args) == 0 {
			return &Node{Kind: KeywordNode, Name: word}, nil
		}
		return &Node{Kind: CallNode, Name: t.text, Args: args}, nil
	}
	truth := strings.EqualFold(t.text, "true")
	switch {
	case isKeyword:
		return &Node{Kind: KeywordNode, Name: word}, nil
	case truth, strings.EqualFold(t.text, "false"):
		return &Node{Kind: BooleanNode, Name: Bool(truth).String(), Value: Bool(truth)}, nil
	case lookup(t.text) != nil:
		return nil, p.unexpected("expected ( after the function name %s, found %s", t.text, p.tok)
	case strings.EqualFold(t.text, "and"), strings.EqualFold(t.text, "or"):
		return nil, errorAt(t.pos, t.end, "there is no %s; put an IIF inside an IIF", strings.ToUpper(t.text))
	}
	return nil, errorAt(t.pos, t.end, "%s is not a value; write [%s] for an attribute or %s for a text", t.text, t.text, quote(t.text))
}

// arguments parses ( ... ); the parser stands at the opening parenthesis.
func (p *parser) arguments() ([]*Node, error) {
	open := p.tok
	if p.depth++; p.depth > MaxDepth {
		return nil, p.unexpected("calls are nested more than %d deep", MaxDepth)
	}
	defer func() { p.depth-- }()
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokClose {
		return nil, p.advance()
	}
	var args []*Node
	for {
		var arg *Node
		if p.tok.kind != tokComma && p.tok.kind != tokClose && p.tok.kind != tokEnd {
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
			return nil, errorAt(open.pos, open.end, "this ( has no closing )")
		case tokName:
			if strings.EqualFold(p.tok.text, "and") || strings.EqualFold(p.tok.text, "or") {
				return nil, p.unexpected("there is no %s; put an IIF inside an IIF", strings.ToUpper(p.tok.text))
			}
			fallthrough
		default:
			return nil, p.unexpected("expected , or ) after the argument, found %s", p.tok)
		}
	}
}
