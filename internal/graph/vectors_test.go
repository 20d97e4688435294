package graph

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestParseVectors runs testdata/parse-vectors.txt, whose head says how it is written.
func TestParseVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/parse-vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	var expression, given string
	cases := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "  {"):
			given = line
		case strings.HasPrefix(line, "=> "):
			cases++
			if got, want := w.vector(expression, given), wanted(t, line[3:]); !reflect.DeepEqual(got, want) {
				t.Errorf("%s of %s is %v, want %v", expression, given, got, want)
			}
			given = ""
		default:
			expression = line
		}
	}
	if cases < 300 {
		t.Errorf("only %d cases were found", cases)
	}
}

// wanted reads what stands after =>.
func wanted(t *testing.T, text string) any {
	if text == "invalid" || text == "fails" {
		return text
	}
	values := []any{}
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		t.Fatalf("%s: %s", text, err)
	}
	return values
}

// vector asks what an expression gives: the values, "invalid" or "fails".
func (w *world) vector(expression, given string) any {
	w.t.Helper()
	values := m{}
	if given != "" {
		if err := json.Unmarshal([]byte(given), &values); err != nil {
			w.t.Fatalf("%s: %s", given, err)
		}
	}
	var of []any
	for key, value := range values {
		of = append(of, key, value)
	}
	rec := w.write("POST", schemaURL+"/parseExpression", m{"expression": expression, "testInputObject": openProperties(of...)})
	o := decoded(w.t, rec)
	switch {
	case rec.Code != 200:
		return rec.Body.String()
	case o["parsingSucceeded"] != true:
		return "invalid"
	case o["evaluationSucceeded"] != true:
		return "fails"
	}
	return o["evaluationResult"]
}
