package main_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the commands print into docs/mapping.md, to be looked at")

// exampleDir is where the sessions of docs/mapping.md and the examples of --help run.
const exampleDir = "../../examples/mapping"

// shell runs a line of a session in exampleDir; induct is the program under test.
func shell(t *testing.T, line string) (output string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `induct() { "$INDUCT_BINARY" "$@"; }; `+line)
	cmd.Dir = exampleDir
	cmd.Env = append(os.Environ(), "INDUCT_BINARY="+binary)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%s: %v", line, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestMappingPage: the sessions of docs/mapping.md, lines that begin with "    $ " and what they print, are true. After a change
// run `go test ./cmd/induct -run MappingPage -update`.
func TestMappingPage(t *testing.T) {
	const page = "../../docs/mapping.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, sample, _ := strings.Cut(string(text), "```yaml\n")
	sample, _, _ = strings.Cut(sample, "```")
	if printed, code := shell(t, "induct expr test - -v <<'END'\n"+sample+"END\n"); code != 0 {
		t.Errorf("the tests on the page: exit code %d\n%s", code, printed)
	}
	var out strings.Builder
	session, lines := false, 0
	for line := range strings.Lines(string(text)) {
		command, isCommand := strings.CutPrefix(line, "    $ ")
		switch {
		case isCommand:
			session = true
			lines++
			printed, _ := shell(t, command)
			out.WriteString(line)
			for l := range strings.Lines(printed) {
				out.WriteString(strings.TrimRight("    "+strings.TrimSuffix(l, "\n"), " ") + "\n")
			}
		case session && (strings.HasPrefix(line, "    ") || line == "\n"):
			// what it printed before
		default:
			if session {
				out.WriteByte('\n')
			}
			session = false
			out.WriteString(line)
		}
	}
	if lines < 5 {
		t.Fatalf("%s has %d sessions", page, lines)
	}
	want := out.String()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, is := strings.Split(string(text), "\n"), strings.Split(want, "\n")
	for i := range is {
		if i >= len(was) || was[i] != is[i] {
			t.Fatalf("%s:%d is not what the program prints; run go test ./cmd/induct -run MappingPage -update\nprints: %s", page, i+1, is[i])
		}
	}
}

// The examples of --help run as they stand, but for those whose mistake is the point.
func TestExprHelp(t *testing.T) {
	examples := 0
	for _, sub := range []string{"eval", "check", "test", "functions", "template"} {
		r := execute(t, "expr", sub, "--help")
		_, text, ok := strings.Cut(r.stdout, "Examples:\n")
		if r.code != 0 || !ok {
			t.Fatalf("%d: %s", r.code, r.stdout)
		}
		text, _, _ = strings.Cut(text, "\nFlags:")
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "induct ") {
				continue
			}
			examples++
			if out, code := shell(t, line); code != 0 || out == "" {
				t.Errorf("%s\nexit code %d: %s", line, code, out)
			}
		}
	}
	if examples < 12 {
		t.Errorf("%d examples", examples)
	}
}

// TestUnknownCommand: a misspelt command fails, in a CI above all, and names the one that is likely meant.
func TestUnknownCommand(t *testing.T) {
	for line, want := range map[string]string{"expr tset": "did you mean test?", "app creat": "did you mean create?", "key xyzzy": `unknown command "xyzzy" for "induct key"`} {
		if r := execute(t, strings.Fields(line)...); r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit code %d, %s%s", line, r.code, r.stdout, r.stderr)
		}
	}
	if r := execute(t, "expr"); r.code != 0 || !strings.Contains(r.stdout, "Available Commands") {
		t.Errorf("expr: exit code %d, %s", r.code, r.stdout)
	}
}

func TestExpr(t *testing.T) {
	exampleDir, err := filepath.Abs(exampleDir)
	if err != nil {
		t.Fatal(err)
	}
	person := filepath.Join(exampleDir, "person.json")
	schema := filepath.Join(exampleDir, "schema.json")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		write(t, path, []byte(text))
		return path
	}
	list := file("list.txt", "# comment\n\nJoin(\n[foo]\nNow()\n[title]\n")
	fails := file("fails.yaml", "template: API2AAD\ntests:\n- name: wrong\n  record: {externalId: '1', userName: a@b.example, displayName: x}\n  expect: {displayName: y}\n- {name: right, record: {externalId: '1', userName: a@b.example}}\n")
	broken := file("broken.json", `{"synchronizationRules": [{"sourceDirectoryName": 12}]}`)
	prefix := []string{"expr"}
	for _, c := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // parts; "" for no matter, "-" for nothing
	}{
		{"value", []string{"eval", `Join(" ", [name.givenName], "x")`, "-r", person}, 0, "Ana Lucía x\n", "-"},
		{"null", []string{"eval", `[displayName]`, "-r", person}, 0, "-", "null: nothing flows"},
		{"empty", []string{"eval", `""`}, 0, "\n", "an empty text"},
		{"list", []string{"eval", `Split("a,b", ",")`}, 0, "a\nb\n", "2 values"},
		{"left alone", []string{"eval", `IgnoreAttributeFlow`}, 0, "-", "no value: the expression leaves this attribute out of the flow"},
		{"missing active", []string{"eval", `[active]`, "--trace"}, 0, "[active] = False  (not sent)\nFalse\n", "-"},
		{"syntax", []string{"eval", `Join(", "`}, 2, "-", "^"},
		{"function", []string{"eval", `Jion("a", "b")`}, 2, "-", "did you mean Join?\n    Jion("},
		{"attribute", []string{"eval", `[titel]`}, 2, "-", "did you mean [title]?"},
		{"value fails", []string{"eval", `CDate([title])`, "-r", person}, 2, "-", "CDate([title])\n    ^~~~"},
		{"wrong type", []string{"eval", `ToLower([active], )`, "--set", "active=perhaps"}, 2, "-", `"perhaps" is not a Boolean`},
		{"redacted", []string{"eval", `Redact([title])`, "--set", "title=hush", "--trace"}, 0, "[Redact]\n", "-"},
		{"redacted type", []string{"eval", `Redact([active])`, "--set", "active=hush"}, 2, "-", "redacted, cannot be used"},
		{"candidates", []string{"eval", `SelectUniqueValue("a", [title], "c")`}, 0, "a\n", "takes the first"},
		{"warning", []string{"eval", `Guid()`}, 0, "-4", "[volatile]"},
		{"now", []string{"eval", `FormatDateTime(Now(), , "M/d/yyyy h:mm:ss tt", "yyyy-MM-dd")`, "--now", "2026-01-31"}, 0, "2026-01-31\n", ""},
		{"domain", []string{"eval", `DefaultDomain()`, "--domain", "x.example"}, 0, "x.example\n", ""},
		{"byte order mark", []string{"eval", `[title]`, "-r", file("bom.json", "\ufeff{\"title\": \"ä\"}")}, 0, "ä\n", "-"},
		{"UTF-16", []string{"eval", `[title]`, "-r", file("16.json", "\xff\xfe{\x00\"\x00t\x00i\x00t\x00l\x00e\x00\"\x00:\x00\"\x00\xe4\x00\"\x00}\x00")}, 0, "ä\n", "-"},
		{"no record", []string{"eval", `[title]`, "-r", filepath.Join(dir, "none")}, 1, "-", "none"},
		{"bad set", []string{"eval", `[title]`, "--set", "title"}, 1, "-", "--set title: write NAME=TEXT"},
		{"bad now", []string{"eval", `Now()`, "--now", "today"}, 1, "-", "is no date"},
		{"bad template", []string{"eval", `[title]`, "--template", "x"}, 1, "-", "there are API2AAD"},
		{"nothing", []string{"eval"}, 1, "-", "give an expression, or a schema"},
		{"only", []string{"eval", `[title]`, "--only", "x"}, 1, "-", "--only goes with a schema"},

		{"schema", []string{"eval", "--schema", schema, "-r", person}, 0, "in scope\n", "-"},
		{"schema's attributes", []string{"eval", `[nickName]`, "--schema", schema}, 2, "-", "neither the schema nor the person has"},
		{"out of scope", []string{"eval", "--schema", schema, "-r", person, "--set", "userType=Contractor"}, 0, "out of scope", "-"},
		{"person fails", []string{"eval", "--schema", schema, "-r", person, "--set", "externalId="}, 2, "MissingValues", "-"},
		{"value of a person fails", []string{"eval", "--schema", schema, "-r", person, "--set", "active=perhaps"}, 2, "Where it fails\n  accountEnabled", "-"},
		{"no such target", []string{"eval", "--schema", schema, "-r", person, "--only", "x"}, 1, "-", "maps no such target"},
		{"twice stdin", []string{"eval", "--schema", "-", "-r", "-"}, 1, "-", "cannot both be the standard input"},
		{"no schema", []string{"eval", "--schema", broken}, 2, "-", broken + ":1: synchronizationRules[0].sourceDirectoryName"},

		{"check", []string{"check", schema}, 0, "16 attribute mappings, 0 errors, 0 warnings", "-"},
		{"check list", []string{"check", list}, 2, list + ":3: error: ", "-"},
		{"check list warns", []string{"check", list}, 2, list + ":4: warning: the schema has no attribute foo", "-"},
		{"check list counts", []string{"check", list}, 2, "4 expressions, 1 error, 2 warnings", "-"},
		{"strict", []string{"check", file("now.txt", "Now()"), "--strict"}, 2, "0 errors, 1 warning", "-"},
		{"not strict", []string{"check", file("now2.txt", "Now()")}, 0, "0 errors, 1 warning", "-"},
		{"check broken", []string{"check", broken}, 2, "it is no schema", "-"},
		{"check no JSON", []string{"check", file("no.json", "{\n\n\"a\": }")}, 2, "no.json:3: error: ", "-"},
		{"empty", []string{"eval", ""}, 2, "-", "the expression is empty"},
		{"extension attribute in a test", []string{"test", file("ext.yaml", "schema: ext.json\ntests:\n- {name: x, record: {externalId: a, userName: b, displayName: c}, expect: {extension_00000000000000000000000000000000_shoe: c}}"),
			"--schema", extended(t, dir, schema)}, 0, "1 test: 1 holds", "-"},
		{"check nothing", []string{"check", file("empty", "\n# x\n")}, 1, "-", "nothing to check"},

		{"test", []string{"test", filepath.Join(exampleDir, "tests.yaml")}, 0, "8 tests: 8 hold, 0 failed\n", "-"},
		{"test fails", []string{"test", fails}, 2, "displayName\n      want  y\n      got   x\n", "-"},
		{"test counts", []string{"test", fails, "-v"}, 2, "2 tests: 1 holds, 1 failed\n", "-"},
		{"test place", []string{"test", fails}, 2, fails + ":3: FAIL wrong\n", "-"},
		{"test run", []string{"test", fails, "--run", "RIGHT"}, 0, "1 test: 1 holds, 0 failed\n", "-"},
		{"test none", []string{"test", fails, "--run", "x"}, 1, "-", `no test has "x"`},
		{"test another schema", []string{"test", fails, "--schema", broken}, 2, "no test was run\n", "-"},
		{"no schema for tests", []string{"test", file("none.yaml", "tests: [{record: {a: b}}]")}, 1, "-", "it names no schema"},

		{"unknown attribute in a test", []string{"test", file("typo.yaml", "template: API2AAD\ntests:\n- name: x\n  record: {externalId: a}\n  expect: {jobtitle: null}")}, 1, "-", "typo.yaml:3: x expects jobtitle, and the target object User has no such attribute; it is spelled jobTitle"},

		{"template", []string{"template", "API2AD"}, 0, `"synchronizationRules": [`, "-"},
		{"no template", []string{"template", "x"}, 1, "-", "there are API2AAD"},
		{"functions", []string{"functions"}, 0, "\nJoin ", "-"},
		{"function", []string{"functions", "join"}, 0, "Join(separator", "-"},
		{"word", []string{"functions", "date"}, 0, "DateDiff", "-"},
		{"refused", []string{"functions", "CRef"}, 0, "cannot be used here", "-"},
		{"no function", []string{"functions", "qqq"}, 1, "-", "no function has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := execute(t, append(prefix[:1:1], c.args...)...)
			if r.code != c.code {
				t.Errorf("exit code %d, want %d", r.code, c.code)
			}
			for _, s := range []struct{ name, got, want string }{{"stdout", r.stdout, c.stdout}, {"stderr", r.stderr, c.stderr}} {
				if s.want == "-" && s.got != "" || s.want != "-" && !strings.Contains(s.got, s.want) {
					t.Errorf("%s is %q, want %q", s.name, s.got, s.want)
				}
			}
			if strings.Contains(r.stdout+r.stderr, "hush") {
				t.Errorf("it shows what is redacted:\n%s%s", r.stdout, r.stderr)
			}
			if c.code != 1 && c.args[0] != "template" {
				jsonToo(t, append(prefix[:1:1], append(c.args, "--json")...), c.code)
			}
		})
	}
}

// extended writes a schema that maps an extension attribute of the directory, which needs no definition.
func extended(t *testing.T, dir, schema string) string {
	t.Helper()
	text, err := os.ReadFile(schema)
	if err != nil {
		t.Fatal(err)
	}
	const mappings = `"attributeMappings": [`
	path := filepath.Join(dir, "ext.json")
	write(t, path, []byte(strings.Replace(string(text), mappings, mappings+
		`{"targetAttributeName": "extension_00000000000000000000000000000000_shoe", "source": {"expression": "[displayName]"}},`, 1)))
	return path
}

// jsonToo checks that --json prints one document, and nothing else, and ends with the same code.
func jsonToo(t *testing.T, args []string, code int) {
	t.Helper()
	r := execute(t, args...)
	if r.code != code || !json.Valid([]byte(r.stdout)) || r.stderr != "" {
		t.Errorf("%v: exit code %d\n%s%s", args, r.code, r.stdout, r.stderr)
	}
	if strings.Contains(r.stdout+r.stderr, "hush") {
		t.Errorf("it shows what is redacted:\n%s%s", r.stdout, r.stderr)
	}
}
