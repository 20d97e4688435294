package scenario

import (
	"encoding/json"
	"fmt"
	"strings"
)

// document is a page of docs/behaviour.
type document struct {
	path      string
	scenarios []scenario
}

// scenario is what stands below a heading of the second level. It begins with the steps above the first such heading.
type scenario struct {
	title string
	steps []step
}

// step is one sentence of a scenario.
type step struct {
	line    int
	first   bool   // of its block
	keyword string // given, when or then; "and" goes on with the one before
	text    string // without the keyword
	table   [][]string
	json    string
}

// parseDocument reads the ```scenario blocks of a Markdown page.
func parseDocument(path, text string) (*document, error) {
	p := &documentParser{doc: &document{path: path}}
	for i, line := range strings.Split(text, "\n") {
		if err := p.line(i+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	if p.fence != "" {
		return nil, fmt.Errorf("%s: a code block has no end", path)
	}
	if err := p.endJSON(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(p.doc.scenarios) == 0 && len(p.background) > 0 {
		p.doc.scenarios = []scenario{{steps: p.background}}
	}
	return p.doc, nil
}

type documentParser struct {
	doc        *document
	background []step
	fence      string // of the code block that we are in; "" outside
	ours       bool   // it is a scenario
	first      bool   // it has no sentence yet
	keyword    string
	inJSON     bool
}

func (p *documentParser) line(n int, line string) error {
	trimmed := strings.TrimSpace(line)
	switch {
	case p.fence == "" && strings.HasPrefix(trimmed, "```"):
		p.fence, p.ours, p.keyword, p.first = "```", trimmed == "```scenario", "", true
	case p.fence != "" && trimmed == p.fence:
		p.fence = ""
		return p.endJSON()
	case p.fence == "" && strings.HasPrefix(line, "## "):
		p.doc.scenarios = append(p.doc.scenarios, scenario{title: strings.TrimSpace(line[3:]), steps: append([]step(nil), p.background...)})
	case p.fence != "" && p.ours && trimmed != "":
		return p.sentence(n, trimmed)
	}
	return nil
}

// steps are those that a sentence is added to.
func (p *documentParser) steps() *[]step {
	if n := len(p.doc.scenarios); n > 0 {
		return &p.doc.scenarios[n-1].steps
	}
	return &p.background
}

func (p *documentParser) sentence(n int, line string) error {
	steps := p.steps()
	if p.inJSON || line[0] == '{' || line[0] == '[' || line[0] == '|' {
		if p.keyword == "" {
			return fmt.Errorf("a table or JSON belongs below a sentence")
		}
		return (&(*steps)[len(*steps)-1]).more(p, line)
	}
	keyword, text, _ := strings.Cut(line, " ")
	switch keyword = strings.ToLower(keyword); keyword {
	case "given", "when", "then":
		p.keyword = keyword
	case "and":
		if p.keyword == "" {
			return fmt.Errorf("a block cannot begin with \"and\"")
		}
	default:
		return fmt.Errorf("a sentence begins with given, when, then or and, not with %q", keyword)
	}
	*steps = append(*steps, step{line: n, first: p.first, keyword: p.keyword, text: strings.TrimSpace(text)})
	p.first = false
	return nil
}

// more adds a line of a table or of JSON to the step.
func (s *step) more(p *documentParser, line string) error {
	if line[0] == '|' && !p.inJSON {
		row, err := cells(line)
		if err == nil && len(s.table) > 0 && len(row) != len(s.table[0]) {
			err = fmt.Errorf("the row has %d cells, the table's head has %d", len(row), len(s.table[0]))
		}
		s.table = append(s.table, row)
		return err
	}
	s.json += line + "\n"
	p.inJSON = !json.Valid([]byte(s.json))
	return nil
}

// endJSON says that JSON has no end, at the end of its block.
func (p *documentParser) endJSON() error {
	if p.inJSON {
		return fmt.Errorf("the JSON in this block has no end")
	}
	return nil
}

// cells splits a row of a table; within a text in quotes | does not separate.
func cells(row string) ([]string, error) {
	if len(row) < 2 || !strings.HasSuffix(row, "|") {
		return nil, fmt.Errorf("a row of a table begins and ends with |")
	}
	return split(row[1:len(row)-1], "|")
}

// split splits text at a separator outside of quotes, and trims the parts.
func split(text string, separators ...string) (parts []string, err error) {
	quoted, escaped, start := false, false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case escaped:
			escaped = false
		case quoted && text[i] == '\\':
			escaped = true
		case text[i] == '"':
			quoted = !quoted
		case !quoted:
			for _, sep := range separators {
				if strings.HasPrefix(text[i:], sep) {
					parts = append(parts, strings.TrimSpace(text[start:i]))
					start = i + len(sep)
					i = start - 1
					break
				}
			}
		}
	}
	if quoted {
		return nil, fmt.Errorf("a text in quotes has no end: %s", text)
	}
	return append(parts, strings.TrimSpace(text[start:])), nil
}
