package mapping

import (
	"strings"

	"induct/internal/scim"
)

// names are the paths that a person's name is made of, in the order of names' use.
var names = func() *scim.Reader {
	r, err := scim.CompilePaths([]string{"displayName", "name.givenName", "name.familyName", "userName"})
	if err != nil {
		panic(err) // the paths are constants
	}
	return r
}()

// Name returns the DisplayName that Evaluate would give to a record, without evaluating it; "" if it cannot be read.
func (p *Program) Name(record []byte) string {
	if !p.inputs[p.displayName].redacted {
		if name, _ := scim.FirstText(record, "displayname"); strings.TrimSpace(name) != "" {
			return shorten(strings.TrimSpace(name), maxName)
		}
	}
	var room [4]scim.Value
	values, err := names.Read(record, room[:0], nil)
	if err != nil {
		return ""
	}
	text := func(i, slot int) string {
		if p.inputs[slot].redacted || !hasText(values[i]) {
			return ""
		}
		return strings.TrimSpace(values[i].Str)
	}
	name := text(0, p.displayName)
	if name == "" {
		name = strings.TrimSpace(text(1, p.givenName) + " " + text(2, p.familyName))
	}
	if name == "" {
		name = text(3, p.userName)
	}
	return shorten(name, maxName)
}
