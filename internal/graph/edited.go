package graph

import (
	"bytes"
	"encoding/json"
	"strings"

	"induct/internal/expr"
	"induct/internal/mapping"
)

// writtenSchema is a schema as a client wrote it: the texts of its expressions.
type writtenSchema struct {
	Version string `json:"version"`
	Rules   []struct {
		ObjectMappings []struct {
			AttributeMappings []struct {
				Source *struct {
					Expression string `json:"expression"`
				} `json:"source"`
			} `json:"attributeMappings"`
		} `json:"objectMappings"`
	} `json:"synchronizationRules"`
}

// takeEditedTexts gives mappings of next, which was read from body, the texts of their expressions where only those were
// edited. A source has its expression twice, as a text and as a tree. The tree counts if they disagree; but whoever reads
// a schema, corrects a text in it and writes it back leaves the tree as it stands in current, and means the text. Who
// writes the same once more, under a version that is replaced by then, means what stands already.
// Of next it changes only rules that body has.
func takeEditedTexts(next, current *mapping.Schema, body []byte) {
	var written writtenSchema
	if json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &written) != nil {
		return
	}
	standing := expressions(current)
	again := written.Version != "" && written.Version != current.Version
	for i := range min(len(written.Rules), len(next.Rules)) {
		of := written.Rules[i].ObjectMappings
		for j := range min(len(of), len(next.Rules[i].ObjectMappings)) {
			sources := of[j].AttributeMappings
			om := &next.Rules[i].ObjectMappings[j]
			for k := range min(len(sources), len(om.AttributeMappings)) {
				m := &om.AttributeMappings[k]
				old, known := standing[placeOf(&next.Rules[i], om, m)]
				if source := sources[k].Source; known && source != nil && isEdited(source.Expression, m.Expression, old, again) {
					m.Expression = strings.TrimSpace(source.Expression)
				}
			}
		}
	}
}

// isEdited reports whether a text counts, and not the tree beside it, where old stands.
func isEdited(text, tree, old string, again bool) bool {
	text, tree, old = canonical(text), canonical(tree), canonical(old)
	return text != "" && text != tree && (tree == old && !again || text == old && again)
}

// expressions are those of a schema by the place of their mappings.
func expressions(s *mapping.Schema) map[[3]string]string {
	all := map[[3]string]string{}
	for i := range s.Rules {
		for j := range s.Rules[i].ObjectMappings {
			om := &s.Rules[i].ObjectMappings[j]
			for k := range om.AttributeMappings {
				m := &om.AttributeMappings[k]
				all[placeOf(&s.Rules[i], om, m)] = m.Expression
			}
		}
	}
	return all
}

// placeOf names a mapping, wherever it stands in its list.
func placeOf(r *mapping.Rule, om *mapping.ObjectMapping, m *mapping.AttributeMapping) [3]string {
	return [3]string{r.Name, om.Name, strings.ToLower(m.TargetAttributeName)}
}

// canonical is the one form of an expression; what is no expression is its own.
func canonical(text string) string {
	n, err := expr.Parse(text)
	if err != nil {
		return strings.TrimSpace(text)
	}
	return n.String()
}
