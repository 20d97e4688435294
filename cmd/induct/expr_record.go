package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"induct/internal/scim"
)

// personSource says who a command evaluates: a record from a file, and values that are set in it.
type personSource struct {
	file string
	set  []string
}

func (p *personSource) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&p.file, "record", "r", "", "`FILE` with one person, a SCIM user as JSON; - is the standard input")
	f.StringArrayVar(&p.set, "set", nil, "set an attribute: `NAME=TEXT`, or NAME:=JSON for anything else, such as active:=true or title:=null; may be repeated")
}

// read returns the person as the JSON of a SCIM user.
func (p *personSource) read(cmd *cobra.Command) ([]byte, error) {
	record := []byte("{}")
	if p.file != "" {
		var err error
		if record, err = readInput(cmd, p.file, maxExprFile); err != nil {
			return nil, err
		}
	}
	person, err := decodePerson(record)
	if err != nil {
		name := p.file
		if name == "-" {
			name = "standard input"
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(p.set) == 0 {
		return asSent(record)
	}
	for _, assignment := range p.set {
		if err := assign(person, assignment); err != nil {
			return nil, fmt.Errorf("--set %s: %w", assignment, err)
		}
	}
	if record, err = json.Marshal(person); err != nil {
		return nil, err
	}
	return asSent(record)
}

// asSent makes of a person what the service makes of one in a bulk request: the values of passwords are gone, and what it
// would refuse is refused.
func asSent(person []byte) ([]byte, error) {
	const before, after = `{"schemas":["` + scim.BulkRequestURN + `"],"Operations":[{"method":"POST","path":"/Users","data":`, `}]}`
	operations, err := scim.ParseBulk(slices.Concat([]byte(before), person, []byte(after)), scim.Limits{})
	var wrong *scim.Error
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("%s: %s", strings.Replace(wrong.Path, "Operations[0].data", "the person", 1), wrong.Reason)
	}
	if err != nil {
		return nil, err
	}
	return operations[0].Data, nil
}

// decodePerson reads a JSON object that is a person, and not a request with several of them.
func decodePerson(record []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(record))
	d.UseNumber()
	var person map[string]any
	if err := d.Decode(&person); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return nil, fmt.Errorf("a person is a JSON object; found %s", wrong.Value)
		}
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more after the person; give one at a time")
	}
	if person == nil {
		return nil, errors.New("a person is a JSON object, not null")
	}
	if _, ok := person["Operations"]; ok {
		return nil, errors.New("this is a bulk request; take the `data` of one of its Operations")
	}
	return person, nil
}

// assign carries out one --set.
func assign(person map[string]any, assignment string) error {
	name, text, ok := cutAssignment(assignment)
	if !ok {
		return errors.New(`write NAME=TEXT, such as title=Editor, or NAME:=JSON, such as active:=true`)
	}
	var value any = text
	if literal := strings.TrimSuffix(name, ":"); literal != name {
		name = literal
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&value); err != nil || d.More() {
			return fmt.Errorf(`%s is not JSON; write %s=%s for the text, or null, true, 12 or ["a", "b"]`, text, name, text)
		}
	}
	return setPath(person, name, value)
}

// cutAssignment cuts at the first = that is outside of a filter's quotes.
func cutAssignment(s string) (name, text string, ok bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '=' && !quoted:
			return s[:i], s[i+1:], i > 0
		}
	}
	return "", "", false
}

// setPath puts a value where an attribute path of the mapping language reads it: [urn:]name[filter][.sub], the urn up
// to the last colon before the filter (RFC 7644 section 3.10).
func setPath(person map[string]any, path string, value any) error {
	head, rest := path, ""
	if i := strings.IndexByte(path, '['); i >= 0 {
		head, rest = path[:i], path[i:]
	}
	at := person
	if i := strings.LastIndexByte(head, ':'); i >= 0 {
		at = object(person, head[:i])
		head = head[i+1:]
	}
	name, sub, _ := strings.Cut(head, ".")
	if name == "" || rest != "" && sub != "" {
		return fmt.Errorf(`%q is no attribute; write a name such as userName, name.givenName or emails[type eq "work"].value`, path)
	}
	if rest != "" {
		return setElement(at, name, rest, value)
	}
	list, many := value.([]any)
	switch {
	case sub == "":
		at[key(at, name)] = value
	case many:
		at[key(at, name)] = each(sub, list)
	default:
		o := object(at, name)
		o[key(o, sub)] = value
	}
	return nil
}

// each makes an array of objects that have one of the values each.
func each(name string, values []any) []any {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = map[string]any{name: v}
	}
	return list
}

// setElement sets a member of the element that a filter such as [type eq "work"] selects, and adds the element if there is none.
func setElement(at map[string]any, name, rest string, value any) error {
	filter, sub, ok := strings.Cut(rest, "]")
	by, literal, eq := strings.Cut(strings.TrimPrefix(filter, "["), " eq ")
	var want any
	if err := json.Unmarshal([]byte(literal), &want); !ok || !eq || err != nil {
		return fmt.Errorf(`%q is no filter; write one such as [type eq "work"]`, rest)
	}
	by, sub = strings.TrimSpace(by), strings.TrimPrefix(sub, ".")
	if sub == "" {
		sub = "value"
	}
	list, _ := at[key(at, name)].([]any)
	for _, e := range list {
		if o, ok := e.(map[string]any); ok && strings.EqualFold(fmt.Sprint(o[key(o, by)]), fmt.Sprint(want)) {
			o[key(o, sub)] = value
			return nil
		}
	}
	at[key(at, name)] = append(list, map[string]any{by: want, sub: value})
	return nil
}

// key returns the name of a member as the object has it, in whatever case.
func key(o map[string]any, name string) string {
	if _, ok := o[name]; ok {
		return name
	}
	for k := range o {
		if strings.EqualFold(k, name) {
			return k
		}
	}
	return name
}

// object returns the object at a member, which becomes one if it is none.
func object(at map[string]any, name string) map[string]any {
	name = key(at, name)
	o, ok := at[name].(map[string]any)
	if !ok {
		o = map[string]any{}
		at[name] = o
	}
	return o
}
