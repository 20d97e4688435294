package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// pick returns one of several.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomExpression makes an expression that may or may not compile.
func randomExpression(r *rand.Rand, depth int) string {
	attribute := func() string {
		return "[" + pick(r, "externalId", "title", "TITLE", "active", "aliases", "secret", "grade", "hired", "gone", "berth.gone", "userName", enterprise+"manager") + "]"
	}
	if depth == 0 {
		return pick(r, attribute, attribute, func() string {
			return pick(r, `"x"`, `"7"`, `""`, "3", "True", `"2026-01-02"`, "IgnoreAttributeFlow", "IgnoreObjectFlow")
		})()
	}
	arg := func() string { return randomExpression(r, r.IntN(depth)) }
	switch r.IntN(14) {
	case 0:
		return "Join(" + arg() + ", " + arg() + ", " + arg() + ")"
	case 1:
		return "Switch(" + arg() + ", " + arg() + ", " + arg() + ", " + arg() + ")"
	case 2:
		return "IIF(" + arg() + pick(r, " = ", " > ", " <> ") + arg() + ", " + arg() + ", " + arg() + ")"
	case 3:
		return "SelectUniqueValue(" + arg() + ", " + arg() + ", " + arg() + ")"
	case 4:
		return "Redact(" + arg() + ")"
	case 5:
		return "Split(" + arg() + `, ",")`
	case 6:
		return "Mid(" + arg() + ", 1, 2)"
	case 7:
		return pick(r, "Now()", "Guid()", "DefaultDomain()", "RandomString(5,1,1,1,1,)")
	case 8:
		return "Replace(" + arg() + `, , "(.)", , "$1$1", , )`
	case 9:
		return pick(r, "CDate", "ToUpper", "Not", "Count", "IgnoreFlowIfNullOrEmpty", "CStr", "IsNull") + "(" + arg() + ")"
	}
	return attribute()
}

func randomClause(r *rand.Rand) Clause {
	return clauseOf(pick(r, "title", "active", "grade", "aliases", "secret", "Title"),
		pick(r, "EQUALS", "NOT EQUALS", "IS TRUE", "IS FALSE", "IS NULL", "is not null", "REGEX MATCH", "Greater_Than", "Includes", "&", "!&"),
		pick(r, nil, []string{"7"}, []string{"7"}, []string{"^x"}, []string{"("}))
}

func randomGroups(r *rand.Rand) (groups []FilterGroup) {
	for range r.IntN(3) {
		g := FilterGroup{Name: pick(r, "", "g")}
		for range r.IntN(3) {
			g.Clauses = append(g.Clauses, randomClause(r))
		}
		groups = append(groups, g)
	}
	return groups
}

// randomSchema makes a schema that may or may not compile.
func randomSchema(r *rand.Rand) *Schema {
	var rules []AttributeMapping
	for _, target := range []string{"city", "state", "mail", "userPrincipalName", "manager", "otherMails", "level", "accountEnabled", "employeeHireDate", "fixed", "floor",
		"objectFilter", "passwordProfile.password", "CSA.hr.clearance", "usageLocation", "extension_0123456789abcdef0123456789abcdef_x", "objectId"} {
		if r.IntN(5) > 0 {
			continue
		}
		m := mapped(target, randomExpression(r, r.IntN(4)))
		m.FlowType = pick(r, "", "", FlowTypeAlways, FlowTypeObjectAdd, FlowTypeMultiValueAdd, FlowTypeValueAdd, FlowTypeAttributeAdd)
		m.FlowBehavior = pick(r, "", "", "FlowAlways")
		m.FlowNullValues = r.IntN(3) == 0
		if r.IntN(8) == 0 {
			m.MatchingPriority = pick(r, 1, 2, 3, -1)
		}
		if r.IntN(4) == 0 {
			v := pick(r, "x", "7", "", "True")
			m.DefaultValue = &v
		}
		rules = append(rules, m)
	}
	s := mini(rules...)
	if r.IntN(3) == 0 {
		s.Rules[0].ObjectMappings[0].Scope = &Filter{Groups: randomGroups(r), InputGroups: randomGroups(r)}
	}
	for i := range s.Directories[r.IntN(2)].Objects[0].Attributes {
		if a := &s.Directories[0].Objects[0].Attributes[i%len(s.Directories[0].Objects[0].Attributes)]; r.IntN(60) == 0 {
			a.Type = pick(r, "", "Integer", "Boolean", "DateTime", "Reference", "Binary")
			a.MultiValued = r.IntN(2) == 0
			a.FlowNullValues = r.IntN(2) == 0
		}
	}
	return s
}

// checkSchema compiles a schema and, if that can be done, evaluates a record by it in every way there is.
func checkSchema(t *testing.T, s *Schema, record Record) (runs bool) {
	t.Helper()
	stored, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var loaded Schema
	if err := json.Unmarshal(stored, &loaded); err != nil {
		t.Fatal(err)
	}
	p, err := Compile(s, settings)
	again, errAgain := Compile(&loaded, settings)
	if (err == nil) != (errAgain == nil) {
		t.Fatalf("a schema that was stored compiles otherwise: %v, %v", err, errAgain)
	}
	if err != nil {
		if err.Error() == "" || Lint(s, settings) != nil {
			t.Fatalf("%q", err)
		}
		return false
	}
	if p.ID() != again.ID() {
		t.Fatal("a schema that was stored is another program")
	}
	Lint(s, settings)
	out := p.Evaluate(record)
	soundOutcome(t, record.Sent, out)
	if same := p.Evaluate(record); !reflect.DeepEqual(render(out), render(same)) || !reflect.DeepEqual(out.Source, same.Source) {
		t.Fatalf("the same record has two outcomes:\n%q\n%q", render(out), render(same))
	}
	for _, f := range out.Flows {
		for i := range 5 {
			if f.Candidate != nil {
				_, _, _ = f.Candidate(i)
			}
		}
	}
	x := p.Explain(record)
	if len(x.Attributes) != len(p.rules) && x.Inputs != nil {
		t.Fatalf("%d of %d mappings are explained", len(x.Attributes), len(p.rules))
	}
	const secret = "hunter2"
	alone := bytes.Count(record.Sent, []byte(secret)) == 1 && bytes.Contains(record.Sent, []byte(`"secret":"`+secret+`"`))
	for i := range p.inputs {
		if in := &p.inputs[i]; alone && in.Name == "secret" && in.redacted && strings.Contains(fmt.Sprintf("%+v %+v %+v", x, out.Problem, out.Source), secret) {
			t.Fatalf("something redacted is shown: %+v", x)
		}
	}
	return true
}

func TestRandomSchemas(t *testing.T) {
	ran := 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 1))
		values := random(r)
		for _, name := range []string{"aliases", "grade", "hired", "gone", "berth"} {
			if r.IntN(2) == 0 {
				values[name] = pick[any](r, nil, "", "x", "7", 7, true, []any{"a", "b"}, map[string]any{"gone": nil}, "2026-02-01")
			}
		}
		values["secret"] = "hunter2"
		sent, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		if checkSchema(t, randomSchema(r), Record{Sent: sent, Now: time.Unix(0, 0), Seed: seed}) {
			ran++
		}
	}
	if ran < 150 {
		t.Errorf("only %d schemas could run", ran)
	}
}

// FuzzSchemas evaluates any record by a random schema.
func FuzzSchemas(f *testing.F) {
	f.Add(uint64(1), []byte(full))
	f.Add(uint64(2), []byte(`{"externalId":"1","aliases":["a","b"],"gone":"","secret":"hunter2","grade":"7"}`))
	f.Fuzz(func(t *testing.T, seed uint64, sent []byte) {
		checkSchema(t, randomSchema(rand.New(rand.NewPCG(seed, 1))), Record{Sent: sent, Kept: sent, Now: time.Unix(0, 0), Seed: seed})
	})
}
