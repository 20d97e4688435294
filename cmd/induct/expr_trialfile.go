package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"induct/internal/mapping"
)

// trialFile is a file of mapping tests.
type trialFile struct {
	path     string
	schema   schemaSource
	settings mapping.Settings
	now      time.Time
	tests    []mapping.Test
	lines    []int // where each test begins
}

// Bounds of a test file, beside its size.
const (
	maxTrialDepth = 100     // nested values
	maxTrialNodes = 500_000 // values, each as often as aliases repeat it
)

// trialReader reads one test file.
type trialReader struct {
	file  *trialFile
	open  func(path string) ([]byte, error) // reads a file of a person
	nodes int                               // values that were read
}

// readTrials reads a test file, YAML or JSON, and with open the files that it names. Errors begin with file:line.
func readTrials(path string, open func(path string) ([]byte, error)) (*trialFile, error) {
	data, err := open(path)
	if err != nil {
		return nil, err
	}
	r := &trialReader{open: open, file: &trialFile{path: path, settings: mapping.Settings{DefaultDomain: defaultDomain}}}
	root, err := parseDocument(data)
	if err == nil {
		err = r.document(root)
	}
	if err == nil && len(r.file.tests) == 0 {
		err = errors.New("there are no tests in it; write them as a list under tests")
	}
	if err != nil {
		return nil, fmt.Errorf("%s%w", path, atFile(err))
	}
	return r.file, nil
}

// lineError is an error with its line.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf(":%d: %v", e.line, e.err) }

func (e *lineError) Unwrap() error { return e.err }

// atFile makes an error fit to follow the name of its file.
func atFile(err error) error {
	var at *lineError
	if errors.As(err, &at) {
		return at
	}
	return fmt.Errorf(": %w", err)
}

func at(n *yaml.Node, format string, args ...any) error {
	return &lineError{n.Line, fmt.Errorf(format, args...)}
}

// parseDocument reads one YAML or JSON document.
func parseDocument(data []byte) (*yaml.Node, error) {
	if b := bytes.TrimSpace(data); len(b) > 0 && b[0] == '{' && json.Valid(b) {
		return (&jsonTree{d: newNumberDecoder(data), data: data}).read(0)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		if err == io.EOF {
			return nil, errors.New("the file is empty")
		}
		return nil, yamlError(err)
	}
	if err := d.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("there is more than one document in it; give one a file")
	}
	return doc.Content[0], nil
}

// yamlError gives an error of the YAML reader its place, which stands in its text.
func yamlError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if _, e := fmt.Sscanf(text, "line %d:", &line); e != nil {
		return errors.New(text)
	}
	_, text, _ = strings.Cut(text, ": ")
	return &lineError{line, errors.New(text)}
}

func newNumberDecoder(data []byte) *json.Decoder {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d
}

// jsonTree makes of JSON the tree that YAML gives, with lines.
type jsonTree struct {
	d    *json.Decoder
	data []byte
	line int // line ends before seen
	seen int
}

func (t *jsonTree) at() int {
	offset := int(t.d.InputOffset())
	t.line += bytes.Count(t.data[t.seen:offset], []byte("\n"))
	t.seen = offset
	return t.line + 1
}

func (t *jsonTree) read(depth int) (*yaml.Node, error) {
	token, err := t.d.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: t.at()}
	if depth > maxTrialDepth {
		return nil, at(n, "values are nested more than %d deep", maxTrialDepth)
	}
	switch v := token.(type) {
	case json.Delim:
		if n.Kind = yaml.SequenceNode; v == '{' {
			n.Kind = yaml.MappingNode
		}
		for t.d.More() {
			c, err := t.read(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, c)
		}
		_, err = t.d.Token()
	case string:
		n.Tag, n.Value = "!!str", v
	case json.Number:
		n.Tag, n.Value = "!!float", v.String()
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(v)
	default:
		n.Tag = "!!null"
	}
	return n, err
}

// entry is a member of a mapping.
type entry struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// entries lists the members of a mapping. What it takes over with << comes first, unless it has that member itself.
func (r *trialReader) entries(n *yaml.Node, what string, depth int) ([]entry, error) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		return nil, at(n, "%s is members with values, not %s", what, kindName(n))
	}
	if err := r.count(n, len(n.Content), depth); err != nil {
		return nil, err
	}
	var taken, own []entry
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := resolve(n.Content[i])
		if k.Tag == "!!merge" {
			more, err := r.taken(n.Content[i+1], what, depth+1)
			if err != nil {
				return nil, err
			}
			taken = override(more, taken)
			continue
		}
		if k.Kind != yaml.ScalarNode {
			return nil, at(k, "the name of a member is a text")
		}
		if seen[k.Value] {
			return nil, at(k, "%s has %q twice", what, k.Value)
		}
		seen[k.Value] = true
		own = append(own, entry{k.Value, k, n.Content[i+1]})
	}
	return override(taken, own), nil
}

// taken lists the members that << names: of one mapping, or of several, where the first wins.
func (r *trialReader) taken(n *yaml.Node, what string, depth int) (list []entry, err error) {
	n = resolve(n)
	if n.Kind != yaml.SequenceNode {
		return r.entries(n, what, depth)
	}
	if err := r.count(n, len(n.Content), depth); err != nil {
		return nil, err
	}
	for _, c := range slices.Backward(n.Content) {
		more, err := r.taken(c, what, depth+1)
		if err != nil {
			return nil, err
		}
		list = override(list, more)
	}
	return list, nil
}

// override lays own over list.
func override(list, own []entry) []entry {
	if len(list) == 0 {
		return own
	}
	places := make(map[string]int, len(list))
	for i, e := range list {
		places[e.name] = i
	}
	for _, e := range own {
		if i, ok := places[e.name]; ok {
			list[i] = e
		} else {
			list = append(list, e)
		}
	}
	return list
}

// count bounds the work that nested and repeated values cause.
func (r *trialReader) count(n *yaml.Node, values, depth int) error {
	if depth > maxTrialDepth {
		return at(n, "values are nested more than %d deep", maxTrialDepth)
	}
	if r.nodes += values; r.nodes > maxTrialNodes {
		return at(n, "more than %d values, with all that aliases repeat", maxTrialNodes)
	}
	return nil
}

// resolve follows an alias; one of an alias does not exist.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "members with values"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return fmt.Sprintf("%q", n.Value)
}

// members calls the function of each member; a name without a function is an error.
func (r *trialReader) members(n *yaml.Node, what string, known []member) error {
	list, err := r.entries(n, what, 0)
	if err != nil {
		return err
	}
	for _, e := range list {
		i := slices.IndexFunc(known, func(m member) bool { return m.name == e.name })
		if i < 0 {
			if strings.HasPrefix(e.name, "x-") {
				continue
			}
			names := make([]string, len(known))
			for i, m := range known {
				names[i] = m.name
			}
			return at(e.key, "%s has no %q; it can have %s", what, e.name, strings.Join(names, ", "))
		}
		if err := known[i].read(resolve(e.value)); err != nil {
			var placed *lineError
			if errors.As(err, &placed) {
				return err
			}
			return at(e.value, "%s: %w", e.name, err)
		}
	}
	return nil
}

// member is a member that a mapping can have.
type member struct {
	name string
	read func(*yaml.Node) error
}

func (r *trialReader) document(root *yaml.Node) error {
	f := r.file
	return r.members(root, "the file", []member{
		{"schema", func(n *yaml.Node) error {
			name, err := text(n)
			f.schema.file = r.beside(name)
			return err
		}},
		{"template", into(&f.schema.template, text)},
		{"domain", into(&f.settings.DefaultDomain, text)},
		{"disableMissing", into(&f.settings.DisableMissing, truth)},
		{"now", into(&f.now, date)},
		{"tests", r.tests},
	})
}

// beside returns a path that is written in the file: relative ones begin where the file is.
func (r *trialReader) beside(path string) string {
	if path == "" || filepath.IsAbs(path) || r.file.path == "-" {
		return path
	}
	return filepath.Join(filepath.Dir(r.file.path), path)
}

func (r *trialReader) tests(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("write a list of tests, not %s", kindName(n))
	}
	for i, c := range n.Content {
		t, err := r.test(c, fmt.Sprintf("test %d", i+1))
		if err != nil {
			return err
		}
		r.file.tests = append(r.file.tests, t)
		r.file.lines = append(r.file.lines, c.Line)
	}
	return nil
}

func (r *trialReader) test(n *yaml.Node, what string) (t mapping.Test, err error) {
	t.Name = what
	err = r.members(n, what, []member{
		{"name", into(&t.Name, text)},
		{"record", into(&t.Record, r.record)},
		{"kept", into(&t.Kept, r.record)},
		{"now", into(&t.Now, date)},
		{"update", into(&t.Update, truth)},
		{"expect", into(&t.Attributes, r.attributes)},
		{"exact", into(&t.Exact, truth)},
		{"outOfScope", func(n *yaml.Node) (err error) {
			if n.ShortTag() == "!!bool" {
				t.OutOfScope, err = truth(n)
				return err
			}
			t.OutOfScope = true
			t.Clause, err = text(n)
			return err
		}},
		{"problem", into(&t.Problem, text)},
		{"reason", into(&t.Reason, text)},
		{"warning", into(&t.Warning, text)},
	})
	if err != nil {
		return t, err
	}
	return t, r.consistent(n, what, &t)
}

// consistent refuses what can never hold, or does not say what it seems to.
func (r *trialReader) consistent(n *yaml.Node, what string, t *mapping.Test) error {
	flows := t.Attributes != nil || t.Exact || t.Warning != ""
	switch {
	case t.Record == nil:
		return at(n, "%s has no record; write the person that it is about", what)
	case t.Reason != "" && t.Problem == "":
		return at(n, "%s: reason goes with problem", what)
	case t.OutOfScope && (flows || t.Problem != "") || t.Problem != "" && flows:
		return at(n, "%s: a person flows (expect, exact, warning), or is outOfScope, or has a problem; expect one of them", what)
	}
	return nil
}

// into makes a reader of a member that stores what read gives.
func into[T any](dst *T, read func(*yaml.Node) (T, error)) func(*yaml.Node) error {
	return func(n *yaml.Node) (err error) {
		*dst, err = read(n)
		return err
	}
}

func text(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.Value == "" {
		return "", fmt.Errorf("write a text, not %s", kindName(n))
	}
	return n.Value, nil
}

func truth(n *yaml.Node) (bool, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		return false, fmt.Errorf("write true or false, not %s", kindName(n))
	}
	return strings.EqualFold(n.Value, "true"), nil
}

func date(n *yaml.Node) (time.Time, error) {
	t, err := text(n)
	if err != nil {
		return time.Time{}, err
	}
	return parseDate(t)
}

// record returns a person as JSON: written out, or from the file that is named.
func (r *trialReader) record(n *yaml.Node) ([]byte, error) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value != "" {
		data, err := r.open(r.beside(n.Value))
		if err == nil {
			_, err = decodePerson(data)
		}
		if err != nil {
			return nil, err
		}
		return asSent(data)
	}
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("write a person, or the name of a file with one, not %s", kindName(n))
	}
	data, err := r.appendJSON(nil, n, 0)
	if err != nil {
		return nil, err
	}
	return asSent(data)
}

// appendJSON writes a value as JSON. Scalars keep their spelling: what is no number of JSON, such as 007 or 2026-01-31,
// is text.
func (r *trialReader) appendJSON(dst []byte, n *yaml.Node, depth int) (_ []byte, err error) {
	n = resolve(n)
	if err := r.count(n, 1, depth); err != nil {
		return nil, err
	}
	switch n.Kind {
	case yaml.MappingNode:
		list, err := r.entries(n, "a person", depth)
		if err != nil {
			return nil, err
		}
		dst = append(dst, '{')
		for i, e := range list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, e.name), ':')
			if dst, err = r.appendJSON(dst, e.value, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, c := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = r.appendJSON(dst, c, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	return appendScalar(dst, n), nil
}

func appendScalar(dst []byte, n *yaml.Node) []byte {
	switch n.ShortTag() {
	case "!!null":
		return append(dst, "null"...)
	case "!!bool":
		return append(dst, strings.ToLower(n.Value)...)
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return append(dst, n.Value...)
		}
	}
	return appendQuoted(dst, n.Value)
}

func appendQuoted(dst []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...) // a string always has JSON
	}
	return append(dst, quoted...)
}

// attributes returns what is expected: per target attribute its values as text, none for null.
func (r *trialReader) attributes(n *yaml.Node) (map[string][]string, error) {
	list, err := r.entries(n, "expect", 0)
	if err != nil {
		return nil, err
	}
	want := make(map[string][]string, len(list))
	for _, e := range list {
		values := []*yaml.Node{resolve(e.value)}
		if values[0].Kind == yaml.SequenceNode {
			values = values[0].Content
		}
		texts := []string{}
		for _, v := range values {
			v = resolve(v)
			switch {
			case v.Kind != yaml.ScalarNode:
				return nil, at(v, "%s: write a value, a list of values, or null, not %s", e.name, kindName(v))
			case v.ShortTag() == "!!bool" && strings.EqualFold(v.Value, "true"):
				texts = append(texts, "True")
			case v.ShortTag() == "!!bool":
				texts = append(texts, "False")
			case v.ShortTag() != "!!null":
				texts = append(texts, v.Value)
			}
		}
		want[e.name] = texts
	}
	return want, nil
}
